// Writes metadata.toml as a lifecycle does that was built with this BurntSushi/toml: what buildpacks wrote goes in
// through its decoder, and comes out of its encoder. One JSON object a line, in and out; texts in base64.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"

	"github.com/BurntSushi/toml"
)

// What a buildpack wrote: its launch.toml, with what its buildpack.toml says of itself beside it.
type input struct {
	Buildpack struct {
		ID       string `toml:"id"`
		Version  string `toml:"version"`
		API      string `toml:"api"`
		Homepage string `toml:"homepage"`
	} `toml:"buildpack"`
	Processes []struct {
		Type             string      `toml:"type"`
		Command          interface{} `toml:"command"`
		Args             []string    `toml:"args"`
		Direct           bool        `toml:"direct"`
		Default          bool        `toml:"default"`
		WorkingDirectory string      `toml:"working-dir"`
	} `toml:"processes"`
	Slices []slice `toml:"slices"`
	Labels []label `toml:"labels"`
	BOM    []entry `toml:"bom"`
}

type slice struct {
	Paths []string `toml:"paths"`
}

type label struct {
	Key   string `toml:"key"`
	Value string `toml:"value"`
}

type entry struct {
	Name     string                 `toml:"name"`
	Version  string                 `toml:"version,omitempty"`
	Metadata map[string]interface{} `toml:"metadata"`
}

// The same as buildpacks/lifecycle's BuildMetadata, as far as any of its releases has it.
type metadata struct {
	BOM        []bom       `toml:"bom"`
	Buildpacks []buildpack `toml:"buildpacks"`
	Labels     []label     `toml:"labels"`
	Processes  []process   `toml:"processes"`
	Slices     []slice     `toml:"slices"`
}

type bom struct {
	entry
	Buildpack buildpack `toml:"buildpack"`
}

type buildpack struct {
	API      string `toml:"api,omitempty"`
	Homepage string `toml:"homepage,omitempty"`
	ID       string `toml:"id"`
	Version  string `toml:"version"`
}

type process struct {
	Type             string      `toml:"type"`
	Command          interface{} `toml:"command"`
	Args             []string    `toml:"args"`
	Direct           bool        `toml:"direct"`
	Default          bool        `toml:"default,omitempty"`
	BuildpackID      string      `toml:"buildpack-id"`
	WorkingDirectory string      `toml:"working-dir,omitempty"`
}

// A command since lifecycle 0.15, which writes it as JSON (launch.RawCommand.MarshalTOML).
type rawCommand struct {
	entries []string
	array   bool
}

func (c rawCommand) MarshalTOML() ([]byte, error) {
	if c.array {
		return json.Marshal(c.entries)
	}
	return json.Marshal(c.entries[0])
}

type request struct {
	Launch []byte `json:"launch"`
	// How a command is written: a string by the encoder itself, or as JSON, a string or an array.
	Command string `json:"command"`
}

type answer struct {
	TOML  []byte `json:"toml,omitempty"`
	Error string `json:"error,omitempty"`
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 64<<20)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for lines.Scan() {
		var asked request
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		said := answer{}
		text, err := build(asked)
		if err != nil {
			said.Error = err.Error()
		} else {
			said.TOML = text
		}
		line, _ := json.Marshal(said)
		out.Write(append(line, '\n'))
	}
}

func build(asked request) (text []byte, err error) {
	defer func() {
		if r := recover(); r != nil { // some versions panic at some values: then there is no app
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	var in input
	if _, err := toml.Decode(string(asked.Launch), &in); err != nil {
		return nil, err
	}
	bp := buildpack{API: in.Buildpack.API, Homepage: in.Buildpack.Homepage, ID: in.Buildpack.ID, Version: in.Buildpack.Version}
	md := metadata{Buildpacks: []buildpack{bp}, Labels: in.Labels, Slices: in.Slices}
	for _, e := range in.BOM {
		md.BOM = append(md.BOM, bom{e, bp})
	}
	for _, p := range in.Processes {
		command, err := commandOf(p.Command, asked.Command)
		if err != nil {
			return nil, err
		}
		md.Processes = append(md.Processes, process{p.Type, command, p.Args, p.Direct, p.Default, bp.ID, p.WorkingDirectory})
	}
	var b bytes.Buffer
	if err := toml.NewEncoder(&b).Encode(md); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func commandOf(value interface{}, form string) (interface{}, error) {
	var entries []string
	switch v := value.(type) {
	case string:
		entries = []string{v}
	case []interface{}:
		for _, item := range v {
			s, ok := item.(string)
			if !ok {
				return nil, fmt.Errorf("a command of %T", item)
			}
			entries = append(entries, s)
		}
	}
	if len(entries) == 0 {
		return nil, fmt.Errorf("no command")
	}
	if form == "string" {
		return entries[0], nil
	}
	return rawCommand{entries, form == "array"}, nil
}
