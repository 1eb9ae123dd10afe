// Exporter exports an app onto a run image by the code of the lifecycle that go.mod names.
//
//	exporter export -root DIR -platform-api V -run IMAGE -out IMAGE [-process-type T] [-launcher FILE]
//
// It rebases none: with the dependencies that this release names its own rebaser panics at every image of a registry.
// DIR is a build container's root: layers and group.toml in /layers, the app in /workspace, the launcher in /cnb/lifecycle.
// What lifecycle's own commands do around these calls (flags, credentials, caches, privileges) is left out.
package main

import (
	"flag"
	"fmt"
	"os"
	"syscall"

	"github.com/buildpacks/imgutil"
	"github.com/buildpacks/imgutil/remote"
	"github.com/buildpacks/lifecycle"
	"github.com/buildpacks/lifecycle/api"
	"github.com/buildpacks/lifecycle/cmd"
	"github.com/buildpacks/lifecycle/layers"
	"github.com/google/go-containerregistry/pkg/authn"
)

const (
	version   = "0.9.3"
	layersDir = "/layers"
	appDir    = "/workspace"
	user      = 1000 // who owns what the app image adds
)

type options struct {
	root, platformAPI, run, out, processType, launcher string
}

func main() {
	if len(os.Args) < 2 || os.Args[1] != "export" {
		fail(fmt.Errorf("usage: exporter export OPTIONS"))
	}
	var o options
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	flags.StringVar(&o.root, "root", "/", "the build container's root")
	flags.StringVar(&o.platformAPI, "platform-api", "", "the Platform API in use")
	flags.StringVar(&o.run, "run", "", "the run image")
	flags.StringVar(&o.out, "out", "", "the image to write")
	flags.StringVar(&o.processType, "process-type", "", "the default process type that the user chose")
	flags.StringVar(&o.launcher, "launcher", "/cnb/lifecycle/launcher", "what goes into the launcher layer")
	_ = flags.Parse(os.Args[2:]) // ExitOnError

	if err := export(o); err != nil {
		fail(err)
	}
}

func export(o options) error {
	platformAPI, err := api.NewVersion(o.platformAPI)
	if err != nil {
		return err
	}
	// The image records the directories by their names, which are those of every build container.
	if err := syscall.Chroot(o.root); err != nil {
		return fmt.Errorf("chroot %s: %w", o.root, err)
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	group, err := lifecycle.ReadGroup(layersDir + "/group.toml")
	if err != nil {
		return err
	}
	artifacts, err := os.MkdirTemp("", "exporter")
	if err != nil {
		return err
	}
	defer os.RemoveAll(artifacts)
	runImage, err := open(o.run, o.run)
	if err != nil {
		return err
	}
	reference, err := runImage.Identifier()
	if err != nil {
		return err
	}
	appImage, err := open(o.out, o.run)
	if err != nil {
		return err
	}
	exporter := &lifecycle.Exporter{
		Buildpacks:   group.Group,
		LayerFactory: &layers.Factory{ArtifactsDir: artifacts, UID: user, GID: user, Logger: cmd.DefaultLogger},
		Logger:       cmd.DefaultLogger,
		PlatformAPI:  platformAPI,
	}
	_, err = exporter.Export(lifecycle.ExportOptions{
		WorkingImage:       appImage,
		AppDir:             appDir,
		LayersDir:          layersDir,
		DefaultProcessType: o.processType,
		RunImageRef:        reference.String(),
		Stack:              lifecycle.StackMetadata{RunImage: lifecycle.StackRunImageMetadata{Image: o.run}},
		LauncherConfig: lifecycle.LauncherConfig{
			Path: o.launcher,
			Metadata: lifecycle.LauncherMetadata{
				Version: version,
				Source: lifecycle.SourceMetadata{
					Git: lifecycle.GitMetadata{Repository: "github.com/buildpacks/lifecycle"},
				},
			},
		},
	})
	return err
}

// open returns the image to be written as `out`, which begins as `base`.
func open(out, base string) (imgutil.Image, error) {
	return remote.NewImage(out, authn.DefaultKeychain, remote.FromBaseImage(base))
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "ERROR:", err)
	os.Exit(1)
}
