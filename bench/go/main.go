// The reference that metalauncher's start is measured against: the same job, as a careful Go programmer would write it.
// It reads the descriptors and the app's metadata with BurntSushi/toml, applies CNB's rule, ranks, checks and execs.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"

	"github.com/BurntSushi/toml"
)

type version struct{ major, minor uint64 }

func parse(text string) (version, error) {
	major, minor, _ := strings.Cut(strings.TrimPrefix(text, "v"), ".")
	a, err := strconv.ParseUint(major, 10, 64)
	if err != nil || minor == "" {
		return version{major: a}, err
	}
	b, err := strconv.ParseUint(minor, 10, 64)
	return version{a, b}, err
}

type apis struct {
	Supported  []string `toml:"supported"`
	Deprecated []string `toml:"deprecated"`
}

func (set apis) covers(wanted version) bool {
	for _, text := range set.Supported {
		v, err := parse(text)
		if err == nil && (v == wanted || v.major != 0 && v.major == wanted.major && v.minor >= wanted.minor) {
			return true
		}
	}
	return false
}

type descriptor struct {
	SchemaVersion string `toml:"schema-version"`
	Launcher      struct {
		ID       string   `toml:"id"`
		Version  string   `toml:"version"`
		Path     string   `toml:"path"`
		Priority int      `toml:"priority"`
		OptInEnv string   `toml:"opt-in-env"`
		Requires []string `toml:"requires"`
	} `toml:"launcher"`
	Lifecycle struct {
		Version string `toml:"version"`
	} `toml:"lifecycle"`
	APIs struct {
		Platform  apis `toml:"platform"`
		Buildpack apis `toml:"buildpack"`
	} `toml:"apis"`
}

type metadata struct {
	Buildpacks []struct {
		ID  string `toml:"id"`
		API string `toml:"api"`
	} `toml:"buildpacks"`
}

func fail(code int, format string, values ...any) {
	fmt.Fprintf(os.Stderr, "ERROR: "+format+"\n", values...)
	os.Exit(code)
}

func numbers(text string) []int {
	var result []int
	for _, part := range strings.Split(text, ".") {
		n, _ := strconv.Atoi(part)
		result = append(result, n)
	}
	return result
}

func less(a, b string) bool {
	x, y := numbers(a), numbers(b)
	for i := 0; i < len(x) && i < len(y); i++ {
		if x[i] != y[i] {
			return x[i] < y[i]
		}
	}
	return len(x) < len(y)
}

func registry(root string) []descriptor {
	var found []descriptor
	seen := map[string]bool{}
	for _, directory := range []string{"/etc/cnb/launchers.d", "/usr/lib/cnb/launchers.d"} {
		entries, err := os.ReadDir(root + directory)
		if err != nil {
			continue
		}
		for _, entry := range entries {
			name := entry.Name()
			if seen[name] || !strings.HasSuffix(name, ".toml") || strings.HasPrefix(name, ".") {
				continue
			}
			var d descriptor
			if _, err := toml.DecodeFile(filepath.Join(root+directory, name), &d); err != nil || d.Launcher.ID == "" {
				continue
			}
			if d.Launcher.Version == "" {
				d.Launcher.Version = d.Lifecycle.Version
			}
			if d.Launcher.Path == "" {
				d.Launcher.Path = filepath.Join("/usr/lib/cnb/launchers", d.Launcher.ID, d.Launcher.Version, "launcher")
			}
			seen[name] = true
			found = append(found, d)
		}
	}
	return found
}

func main() {
	root := os.Getenv("METALAUNCHER_ROOT")
	platform, err := parse(os.Getenv("CNB_PLATFORM_API"))
	if err != nil {
		fail(11, "failed to parse platform API '%s'", os.Getenv("CNB_PLATFORM_API"))
	}
	layers := os.Getenv("CNB_LAYERS_DIR")
	if layers == "" {
		layers = "/layers"
	}
	var app metadata
	if _, err := toml.DecodeFile(filepath.Join(layers, "config", "metadata.toml"), &app); err != nil {
		fail(1, "failed to read metadata: %v", err)
	}
	var covering []descriptor
next:
	for _, d := range registry(root) {
		if d.Launcher.OptInEnv != "" && os.Getenv(d.Launcher.OptInEnv) != "true" || !d.APIs.Platform.covers(platform) {
			continue
		}
		for _, buildpack := range app.Buildpacks {
			wanted, err := parse(buildpack.API)
			if err != nil || !d.APIs.Buildpack.covers(wanted) {
				continue next
			}
		}
		covering = append(covering, d)
	}
	sort.SliceStable(covering, func(i, j int) bool {
		a, b := covering[i].Launcher, covering[j].Launcher
		if a.Priority != b.Priority {
			return a.Priority > b.Priority
		}
		return less(b.Version, a.Version)
	})
	for _, d := range covering {
		path := root + d.Launcher.Path
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
			continue
		}
		err = syscall.Exec(path, os.Args, os.Environ())
		fmt.Fprintf(os.Stderr, "Warning: %s: %v\n", path, err)
	}
	fail(12, "no launcher covers this app")
}
