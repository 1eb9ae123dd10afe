// naive: into one folder. overlay: into a folder for each layer, over which an overlayfs is mounted, as Docker and
// containerd mostly do; left out where nothing can be mounted.
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/containerd/containerd/v2/pkg/archive"
)

func unpack(place string, layers [][]byte) map[string]result {
	said := map[string]result{"naive": into(filepath.Join(place, "naive"), layers, func(root string, data io.Reader) error {
		_, err := archive.Apply(context.Background(), root, data)
		return err
	})}
	if overlay, able := mounted(filepath.Join(place, "overlay"), layers); able {
		said["overlay"] = overlay
	}
	return said
}

func mounted(place string, layers [][]byte) (result, bool) {
	bottom, root := filepath.Join(place, "0"), filepath.Join(place, "m")
	make_(bottom)
	make_(root)
	parents := []string{bottom}
	for number, data := range layers {
		upper := filepath.Join(place, fmt.Sprint(number+1))
		make_(upper)
		options := []archive.ApplyOpt{archive.WithConvertWhiteout(archive.OverlayConvertWhiteout), archive.WithParents(parents)}
		if _, err := archive.Apply(context.Background(), upper, struct{ io.Reader }{bytes.NewReader(data)}, options...); err != nil {
			return result{Error: err.Error()}, true
		}
		parents = append([]string{upper}, parents...)
	}
	if err := syscall.Mount("overlay", root, "overlay", 0, "lowerdir="+strings.Join(parents, ":")); err != nil {
		return result{}, false
	}
	defer syscall.Unmount(root, syscall.MNT_DETACH)
	return walk(root), true
}

