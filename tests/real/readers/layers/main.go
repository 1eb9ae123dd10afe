// Unpacks layers one over the other as one of those does that start containers, and says what there then is. In: for each
// image its size, 8 bytes big-endian, and its layers, each again behind its size, the lowest first. Out: a line of JSON
// each. The argument is a folder to work in. `unpack` is in the folder of the program that is asked.
package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

type node struct {
	Kind    string `json:"kind"`
	Mode    uint32 `json:"mode"`
	Owner   uint32 `json:"owner"`
	Group   uint32 `json:"group"`
	Target  []byte `json:"target"`
	Content string `json:"content"`
}

type result struct {
	Error string          `json:"error"`
	Tree  map[string]node `json:"tree"`
}

func main() {
	syscall.Umask(0o022)
	in, out := bufio.NewReader(os.Stdin), bufio.NewWriter(os.Stdout)
	for number := 0; ; number++ {
		image := frame(in)
		if image == nil {
			out.Flush()
			return
		}
		var layers [][]byte
		for parts := bytes.NewReader(image); ; {
			part := frame(parts)
			if part == nil {
				break
			}
			layers = append(layers, part)
		}
		place := filepath.Join(os.Args[1], fmt.Sprint(number))
		line, err := json.Marshal(unpack(place, layers))
		if err != nil {
			panic(err)
		}
		os.RemoveAll(place)
		out.Write(append(line, '\n'))
	}
}

func frame(in io.Reader) []byte {
	var size uint64
	if binary.Read(in, binary.BigEndian, &size) != nil {
		return nil
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(in, data); err != nil {
		panic(err)
	}
	return data
}

func into(root string, layers [][]byte, apply func(string, io.Reader) error) result {
	make_(root)
	for _, data := range layers {
		if err := apply(root, struct{ io.Reader }{bytes.NewReader(data)}); err != nil {
			return result{Error: err.Error()}
		}
	}
	return walk(root)
}

func make_(path string) {
	if err := os.MkdirAll(path, 0o755); err != nil {
		panic(err)
	}
}

func walk(root string) result {
	tree := map[string]node{}
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Lstat(path)
		if os.IsNotExist(err) { // a whiteout that overlayfs lists, but does not have
			return nil
		}
		if err != nil {
			return err
		}
		status := info.Sys().(*syscall.Stat_t)
		found := node{Kind: "other", Mode: status.Mode & 0o7777, Owner: status.Uid, Group: status.Gid}
		switch status.Mode & syscall.S_IFMT {
		case syscall.S_IFDIR:
			found.Kind = "directory"
		case syscall.S_IFLNK:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			found.Kind, found.Mode, found.Target = "link", 0, []byte(target)
		case syscall.S_IFREG:
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			sum := sha256.Sum256(data)
			found.Kind, found.Content = "file", hex.EncodeToString(sum[:])
		}
		tree[strings.TrimPrefix(strings.TrimPrefix(path, root), "/")] = found
		return nil
	})
	if err != nil {
		return result{Error: err.Error()}
	}
	return result{Tree: tree}
}
