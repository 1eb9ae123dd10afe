// Says what archive/tar reads of archives. In: for each archive its size, 8 bytes big-endian, and its bytes. Out: a
// line of JSON for each; texts in base64.
package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
)

type member struct {
	Kind    byte   `json:"kind"`
	Name    []byte `json:"name"`
	Target  []byte `json:"target"`
	Size    int64  `json:"size"`
	Mode    int64  `json:"mode"`
	Owner   int    `json:"owner"`
	Group   int    `json:"group"`
	Major   int64  `json:"major"`
	Minor   int64  `json:"minor"`
	Content string `json:"content"`
}

type answer struct {
	Members []member `json:"members"`
	Error   string   `json:"error"`
}

// Bytes of a content that are looked at: a sparse file may have exabytes.
const limit = 1 << 20

func main() {
	in, out := bufio.NewReader(os.Stdin), bufio.NewWriter(os.Stdout)
	for {
		var size uint64
		if binary.Read(in, binary.BigEndian, &size) != nil {
			return
		}
		data := make([]byte, size)
		if _, err := io.ReadFull(in, data); err != nil {
			panic(err)
		}
		line, _ := json.Marshal(read(data))
		out.Write(append(line, '\n'))
		if in.Buffered() == 0 {
			out.Flush()
		}
	}
}

func read(data []byte) (said answer) {
	said.Members = []member{}
	// A stream, as a layer is: where it can seek, the reader skips otherwise.
	archive := tar.NewReader(struct{ io.Reader }{bytes.NewReader(data)})
	for {
		header, err := archive.Next()
		if err == io.EOF {
			return said
		}
		if err != nil {
			said.Error = err.Error()
			return said
		}
		hash := sha256.New()
		if _, err := io.CopyN(hash, archive, limit); err != nil && err != io.EOF {
			said.Error = err.Error()
			return said
		}
		said.Members = append(said.Members, member{
			header.Typeflag, []byte(header.Name), []byte(header.Linkname), header.Size, header.Mode, header.Uid, header.Gid,
			header.Devmajor, header.Devminor, hex.EncodeToString(hash.Sum(nil)),
		})
	}
}
