"""Where images come from: what a command line says of registries, where blobs are kept, and what may be missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from harness import PROJECT

from metalauncher.tooling.console import Unable
from metalauncher.tooling.oci.location import parse_location
from metalauncher.tooling.oci.model import ImageError
from metalauncher.tooling.oci.sources.archive import ArchiveStore
from metalauncher.tooling.oci.sources.blob_pool import SharingStore
from metalauncher.tooling.oci.sources.layout import LayoutStore
from metalauncher.tooling.oci.sources.stores import Stores, user_cache

KINDS = {"oci:x:y": LayoutStore, "docker-archive:x": ArchiveStore, "registry.example.com/a": SharingStore}


@pytest.mark.parametrize("text", KINDS)
def test_kinds(text: str) -> None:
    """Each kind of reference has its store; nothing is asked, not even for one in a registry."""
    stores = Stores({}, connections=1, cache="")
    assert isinstance(stores.open(parse_location(text)), KINDS[text])
    stores.close()
    stores.close()


def test_directories() -> None:
    """A root filesystem is no image."""
    with pytest.raises(ImageError, match=r"^is an unpacked root filesystem, without an image's config$"):
        Stores({}, connections=1).open(parse_location("dir:/"))


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, ""),
        ({b"HOME": b"/home/me"}, "/home/me/.cache/metalauncher/blobs"),
        ({b"HOME": b"/home/me", b"XDG_CACHE_HOME": b"/var/cache"}, "/var/cache/metalauncher/blobs"),
        ({b"HOME": b"/home/me", b"XDG_CACHE_HOME": b"relative"}, "/home/me/.cache/metalauncher/blobs"),
        ({b"HOME": b"", b"XDG_CACHE_HOME": b""}, ""),
    ],
)
def test_cache(environment: dict[bytes, bytes], expected: str) -> None:
    """Blobs are kept where the user's programs keep such things, if anywhere."""
    assert user_cache(environment) == expected


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no-url": ({"mirrors": ["docker.io"]}, "--mirror: 'docker.io' is not HOST=URL"),
    "no-host": ({"mirrors": ["=https://x"]}, "--mirror: '=https://x' is not HOST=URL"),
    "not-a-url": ({"mirrors": ["docker.io=x"]}, "--mirror: "),
    "no-certificates": ({"ca_file": "/none-such"}, ""),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong(case: str) -> None:
    """What can't be meant is refused before anybody is asked."""
    options, headline = WRONG[case]
    with pytest.raises(Unable) as caught:
        Stores({}, connections=1, cache="", **options).open(parse_location("registry.example.com/a"))
    assert caught.value.headline.startswith(headline)


def test_without_the_extra(tmp_path: Path) -> None:
    """Where what reads registries is not installed, it is named; layouts are read all the same."""
    program = (
        "import sys; sys.modules['urllib3'] = None\n"
        "from metalauncher.explain.cli import run\n"
        "sys.exit(run([word.encode() for word in sys.argv[1:]], [], b'metalauncher', None))"
    )
    command = [sys.executable, "-c", program, "check", f"oci:{tmp_path}", "--run-image"]
    for run_image, code, text in (
        ("registry.example.com/run", 3, "pip install 'metalauncher[check]'"),
        (f"oci:{tmp_path}", 3, f"ERROR: oci:{tmp_path}: oci-layout: is not there: this is not an OCI layout"),
    ):
        run = subprocess.run([*command, run_image], cwd=PROJECT, capture_output=True, text=True, timeout=60)
        assert (run.returncode, run.stdout) == (code, "")
        assert text in run.stderr
