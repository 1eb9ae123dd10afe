"""A release of this very tree, made once a session, of the executables that `make static ARCH=all` has built."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from harness import PROJECT, static_form

from metalauncher import __version__

BUILT = PROJECT / "dist"
ALL = ("x86_64", "aarch64")
# By hand there may be one of them; a release that is whole has both.
ARCHITECTURES = tuple([name for name in ALL if (BUILT / f"metalauncher-linux-{name}").exists()])


@dataclass(frozen=True)
class Release:
    """A folder that `make release` has made."""

    folder: Path

    def file(self, name: str) -> Path:
        """Return one of its files."""
        return self.folder / name

    def contents(self, name: str) -> bytes:
        """Return the description of one of its executables."""
        return self.file(f"{name}.contents.json").read_bytes()

    @property
    def wheel(self) -> Path:
        """The wheel."""
        return self.file(f"metalauncher-{__version__}-py3-none-any.whl")

    @property
    def sdist(self) -> Path:
        """The source distribution."""
        return self.file(f"metalauncher-{__version__}.tar.gz")


def make_release(out: Path, *options: str | Path) -> Release:
    """Make a release as `make release` does, by this Python; partial where an executable is missing, but for CI."""
    if set(ARCHITECTURES) != set(ALL) and (os.environ.get("CI") or not ARCHITECTURES):
        pytest.fail("an executable is missing: run `make static ARCH=all`")
    partial = () if set(ARCHITECTURES) == set(ALL) else ("--partial",)
    command = [sys.executable, PROJECT / "image/release/release.py", "--out", out, *partial, *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert static_form().executable.parent == BUILT
    return Release(out)
