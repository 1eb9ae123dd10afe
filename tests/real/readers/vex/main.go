// Says what OpenVEX's own module makes of documents, and finds those that are attached to images as other tools do.
//
//	vex attached IMAGE...  each manifest that go-containerregistry lists as a referrer of IMAGE, with its statement
//	vex named IMAGE...     what scanners that use openvex/discovery call IMAGE, on linux/amd64
//	vex FILE               In: for each its size, 8 bytes big-endian, and a question about the document in FILE
//
// Out: a line of JSON each.
package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"io"
	"os"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/openvex/discovery/pkg/oci"
	"github.com/openvex/go-vex/pkg/vex"
)

type question struct{ Vulnerability, Product, Subcomponent string }

type referrer struct {
	Digest       string            `json:"digest"`
	ArtifactType string            `json:"artifactType"`
	Annotations  map[string]string `json:"annotations"`
	Layers       []json.RawMessage `json:"layers"`
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func attached(image string) []referrer {
	found := []referrer{}
	digest := must(name.NewDigest(image))
	index := must(remote.Referrers(digest))
	for _, entry := range must(index.IndexManifest()).Manifests {
		one := referrer{Digest: entry.Digest.String(), ArtifactType: entry.ArtifactType, Annotations: entry.Annotations}
		image := must(remote.Image(digest.Context().Digest(entry.Digest.String())))
		for _, layer := range must(image.Layers()) {
			content := must(layer.Compressed())
			one.Layers = append(one.Layers, must(io.ReadAll(content)))
		}
		found = append(found, one)
	}
	return found
}

func named(image string) []string {
	bundle := must(oci.GenerateReferenceIdentifiers(image, "linux", "amd64"))
	return bundle.ToStringSlice()
}

func matches(document *vex.VEX, in io.Reader, out *json.Encoder) {
	for {
		var size uint64
		if binary.Read(in, binary.BigEndian, &size) != nil {
			return
		}
		data := make([]byte, size)
		must(io.ReadFull(in, data))
		var asked question
		if err := json.Unmarshal(data, &asked); err != nil {
			panic(err)
		}
		said := []string{}
		for _, one := range document.Matches(asked.Vulnerability, asked.Product, []string{asked.Subcomponent}) {
			said = append(said, string(one.Status))
		}
		out.Encode(said)
	}
}

func main() {
	buffered := bufio.NewWriter(os.Stdout)
	defer buffered.Flush()
	out := json.NewEncoder(buffered)
	switch os.Args[1] {
	case "attached":
		for _, image := range os.Args[2:] {
			out.Encode(attached(image))
		}
	case "named":
		for _, image := range os.Args[2:] {
			out.Encode(named(image))
		}
	default:
		document := must(vex.Open(os.Args[1]))
		for _, statement := range document.Statements {
			if err := statement.Validate(); err != nil {
				panic(err)
			}
		}
		matches(document, bufio.NewReader(os.Stdin), out)
	}
}
