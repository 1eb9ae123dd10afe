package main

import (
	"io"

	"github.com/opencontainers/umoci/oci/layer"
)

func unpack(place string, layers [][]byte) map[string]result {
	return map[string]result{"umoci": into(place, layers, func(root string, data io.Reader) error {
		return layer.UnpackLayer(root, data, &layer.UnpackOptions{})
	})}
}
