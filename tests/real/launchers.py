"""Real launchers of lifecycle, built through its Go module: `python tests/real/launchers.py [quick|all|VERSION…]`.

Each version's folder under `launchers/` is a module of its own; its go.mod requires, and its go.sum vouches for, the
versions of everything that the release was built from. Official binaries differ in the Go that built them, and in
their build information: it names a checkout, these name the module.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2] / "image/static")]

import golang

MODULES = Path(__file__).resolve().parent / "launchers"
LIFECYCLE = "github.com/buildpacks/lifecycle"
# The descriptors of launchers.d, and what the quick tests run over.
QUICK = ("0.9.3", "0.17.7", "0.21.17")
SBOM_FORMATS = ("application/vnd.cyclonedx+json", "application/spdx+json", "application/vnd.syft+json")


@dataclass(frozen=True)
class Real:
    """A launcher of lifecycle."""

    version: str
    folder: Path

    @property
    def executable(self) -> Path:
        """The launcher itself."""
        return self.folder / "launcher"

    @property
    def lifecycle_toml(self) -> str:
        """The descriptor that the release's tarball has."""
        return (self.folder / "lifecycle.toml").read_text()


def in_order(found: Iterable[str]) -> list[str]:
    """Return versions oldest first."""
    return sorted(found, key=lambda version: [int(part) for part in version.split(".")])


def versions() -> list[str]:
    """Return all versions there are modules for, oldest first."""
    return in_order(folder.name for folder in MODULES.iterdir())


def build(version: str, go: golang.Go | None = None, goarch: str = "") -> Real:
    """Return the launcher of a version, for an architecture or this machine's, from the cache where it is there.

    Raises:
        golang.Unavailable: Go or a module is not to be had here.
    """
    go = go or golang.find()
    module = MODULES / version

    def describe(folder: Path) -> None:
        source = Path(go.run("list", "-m", "-f", "{{.Dir}}", LIFECYCLE, folder=module).strip())
        (folder / "lifecycle.toml").write_text(lifecycle_toml(source, version))

    # As its Makefile links it; SCMCommit, which only --version of other programs shows, is not in the module.
    ldflags = f"-s -w -X {LIFECYCLE}/cmd.Version={version}"
    package = f"{LIFECYCLE}/cmd/launcher"
    folder = go.program(f"launcher-{version}", module, package, ldflags=ldflags, more=describe, goarch=goarch)
    return Real(version, folder)


def build_upstream(version: str, go: golang.Go | None = None) -> Path:
    """Return the launcher of a version as its Makefile builds it: in a checkout, with its flags recorded.

    Raises:
        golang.Unavailable: Go or a module is not to be had here.
    """
    go = go or golang.find()
    flags = f"-s -w -X '{LIFECYCLE}/cmd.Version={version}' -X '{LIFECYCLE}/cmd.SCMCommit=0123abc'"

    def make(folder: Path) -> None:
        source = Path(go.run("list", "-m", "-f", "{{.Dir}}", LIFECYCLE, folder=MODULES / version).strip())
        with tempfile.TemporaryDirectory() as place:
            checkout = shutil.copytree(source, Path(place) / "lifecycle", copy_function=shutil.copyfile)
            go.run("build", f"-ldflags={flags}", "-o", folder / "launcher", "./cmd/launcher", folder=checkout)

    name = f"upstream-launcher-{version}"
    return golang.CACHE.step(name, go.version, flags, make=make, say=f"building {name} with {go.version}") / "launcher"


def lifecycle_toml(source: Path, version: str) -> str:
    """Fill in the module's own template, as its packager does; before 0.11 the version alone is left open."""
    values = {"lifecycle_version": version, "sbom_formats": json.dumps(SBOM_FORMATS)}
    for name, supported, deprecated in re.findall(
        r"^\s*(Platform|Buildpack)\s*=\s*newApisMustParse\(\[\]string\{(.*?)\}, (?:nil|\[\]string\{(.*?)\})\)$",
        (source / "api/apis.go").read_text(),
        re.MULTILINE,
    ):
        values[f"apis_{name.lower()}_supported"] = f"[{supported}]"
        values[f"apis_{name.lower()}_deprecated"] = f"[{deprecated}]"
    template = (source / "lifecycle.toml").read_text()
    return re.sub(r"\{\{\.(\w+)\}\}", lambda place: values[place[1]], template)


def main(wanted: list[str]) -> int:
    """Build launchers and print where they are."""
    names = {"quick": QUICK, "all": versions()}
    chosen = [version for word in wanted or ["quick"] for version in names.get(word, (word,))]
    if unknown := [version for version in chosen if version not in versions()]:
        print(f"no module for {', '.join(unknown)}; there is: quick, all, {', '.join(versions())}", file=sys.stderr)
        return 3
    try:
        go = golang.find()
        for version in chosen:
            print(f"{version}\t{build(version, go).executable}")
    except golang.Unavailable as missing:
        print(f"ERROR: {missing}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
