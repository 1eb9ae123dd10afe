// Says as whom moby/sys/user lets a container run. In: for each its size, 8 bytes big-endian, and a JSON object of texts:
// the config's User, and passwd and group in base64. Out: a line of JSON each.
package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io"
	"os"

	"github.com/moby/sys/user"
)

type question struct {
	User          string
	Passwd, Group []byte
}

type answer struct {
	Error  string `json:"error"`
	Uid    int    `json:"uid"`
	Gid    int    `json:"gid"`
	Groups []int  `json:"groups"`
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
		var asked question
		if err := json.Unmarshal(data, &asked); err != nil {
			panic(err)
		}
		said := answer{}
		found, err := user.GetExecUser(asked.User, nil, bytes.NewReader(asked.Passwd), bytes.NewReader(asked.Group))
		if err != nil {
			said.Error = err.Error()
		} else {
			said.Uid, said.Gid, said.Groups = found.Uid, found.Gid, found.Sgids
		}
		line, err := json.Marshal(said)
		if err != nil {
			panic(err)
		}
		out.Write(append(line, '\n'))
	}
}
