// Exporter exports an app onto a run image, and rebases it, by the code of the lifecycle that go.mod names.
//
//	exporter export -root DIR -platform-api V -run IMAGE -out IMAGE [-process-type T] [-launcher FILE] [-launcher-sbom DIR]
//	exporter rebase -platform-api V -app IMAGE -run IMAGE -out IMAGE
//	exporter read -app IMAGE
//
// What `read` reads is all of the image, as go-containerregistry does: every digest, diffID and size.
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
	"github.com/buildpacks/lifecycle/api"
	"github.com/buildpacks/lifecycle/layers"
	"github.com/buildpacks/lifecycle/log"
	"github.com/buildpacks/lifecycle/phase"
	"github.com/buildpacks/lifecycle/platform/files"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	registry "github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

const (
	version   = "0.21.17"
	layersDir = "/layers"
	appDir    = "/workspace"
	user      = 1000 // who owns what the app image adds
)

type options struct {
	root, platformAPI, run, out, app, processType, launcher, sboms string
}

func main() {
	if len(os.Args) < 2 || (os.Args[1] != "export" && os.Args[1] != "rebase" && os.Args[1] != "read") {
		fail(fmt.Errorf("usage: exporter export|rebase|read OPTIONS"))
	}
	var o options
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	flags.StringVar(&o.root, "root", "/", "the build container's root")
	flags.StringVar(&o.platformAPI, "platform-api", "", "the Platform API in use")
	flags.StringVar(&o.run, "run", "", "the run image")
	flags.StringVar(&o.out, "out", "", "the image to write")
	flags.StringVar(&o.app, "app", "", "the app image to rebase")
	flags.StringVar(&o.processType, "process-type", "", "the default process type that the user chose")
	flags.StringVar(&o.launcher, "launcher", "/cnb/lifecycle/launcher", "what goes into the launcher layer")
	flags.StringVar(&o.sboms, "launcher-sbom", "", "the directory of that launcher's SBOMs")
	_ = flags.Parse(os.Args[2:]) // ExitOnError
	if os.Args[1] == "read" {
		if err := read(o); err != nil {
			fail(err)
		}
		return
	}

	platformAPI, err := api.NewVersion(o.platformAPI)
	if err != nil {
		fail(err)
	}
	logger := log.NewDefaultLogger(os.Stderr)
	if os.Args[1] == "export" {
		err = export(o, platformAPI, logger)
	} else {
		err = rebase(o, platformAPI, logger)
	}
	if err != nil {
		fail(err)
	}
}

func export(o options, platformAPI *api.Version, logger log.Logger) error {
	// The image records the directories by their names, which are those of every build container.
	if err := syscall.Chroot(o.root); err != nil {
		return fmt.Errorf("chroot %s: %w", o.root, err)
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	group, err := files.Handler.ReadGroup(layersDir + "/group.toml")
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
	var more []imgutil.ImageOption
	if platformAPI.AtLeast("0.12") {
		more = append(more, remote.WithHistory())
	}
	appImage, err := open(o.out, o.run, more...)
	if err != nil {
		return err
	}
	exporter := &phase.Exporter{
		Buildpacks:   group.Group,
		LayerFactory: &layers.Factory{ArtifactsDir: artifacts, UID: user, GID: user, Logger: logger},
		Logger:       logger,
		PlatformAPI:  platformAPI,
	}
	report, err := exporter.Export(phase.ExportOptions{
		WorkingImage:       appImage,
		AppDir:             appDir,
		LayersDir:          layersDir,
		DefaultProcessType: o.processType,
		RunImageRef:        reference.String(),
		RunImageForExport:  files.RunImageForExport{Image: o.run},
		LauncherConfig: phase.LauncherConfig{
			Path:    o.launcher,
			SBOMDir: o.sboms,
			Metadata: files.LauncherMetadata{
				Version: version,
				Source:  files.SourceMetadata{Git: files.GitMetadata{Repository: "github.com/buildpacks/lifecycle"}},
			},
		},
	})
	if err == nil {
		fmt.Println(report.Image.Digest)
	}
	return err
}

func rebase(o options, platformAPI *api.Version, logger log.Logger) error {
	// Under the app's own name: lifecycle reads labels only of an image that it finds.
	appImage, err := open(o.app, o.app)
	if err != nil {
		return err
	}
	runImage, err := open(o.run, o.run)
	if err != nil {
		return err
	}
	// Force: the new run image may have another name than the one that the app was exported onto.
	rebaser := &phase.Rebaser{Logger: logger, PlatformAPI: platformAPI, Force: true}
	report, err := rebaser.Rebase(appImage, runImage, o.out, nil)
	if err == nil {
		fmt.Println(report.Image.Digest)
	}
	return err
}

func read(o options) error {
	reference, err := name.ParseReference(o.app)
	if err != nil {
		return err
	}
	image, err := registry.Image(reference)
	if err != nil {
		return err
	}
	if err := validate.Image(image); err != nil {
		return err
	}
	digest, err := image.Digest()
	if err == nil {
		fmt.Println(digest)
	}
	return err
}

// open returns the image to be written as `out`, which begins as `base`.
func open(out, base string, more ...imgutil.ImageOption) (imgutil.Image, error) {
	return remote.NewImage(out, authn.DefaultKeychain, append(more, remote.FromBaseImage(base))...)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "ERROR:", err)
	os.Exit(1)
}
