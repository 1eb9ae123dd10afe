// Says what encoding/json makes of images' documents, in image-spec's structs. In: for each its size, 8 bytes big-endian,
// and its bytes, the first of which says what it is: a manifest, an index or a config. Out: a line of JSON each.
package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"io"
	"os"

	"github.com/opencontainers/image-spec/specs-go/v1"
)

type answer struct {
	Error string `json:"error"`
	Value any    `json:"value"`
}

func main() {
	in, out := bufio.NewReader(os.Stdin), bufio.NewWriter(os.Stdout)
	for {
		var size uint64
		if binary.Read(in, binary.BigEndian, &size) != nil {
			out.Flush()
			return
		}
		data := make([]byte, size)
		if _, err := io.ReadFull(in, data); err != nil {
			panic(err)
		}
		var value any
		switch data[0] {
		case 'm':
			value = &v1.Manifest{}
		case 'i':
			value = &v1.Index{}
		default:
			value = &v1.Image{}
		}
		said := answer{Value: value}
		if err := json.Unmarshal(data[1:], value); err != nil {
			said.Error = err.Error()
		}
		line, err := json.Marshal(said)
		if err != nil {
			panic(err)
		}
		out.Write(append(line, '\n'))
	}
}
