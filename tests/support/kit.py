"""What run images are made of in tests: an executable, releases, a base; and the ways to build and to be refused."""

from __future__ import annotations

import gzip
import json
import os
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest
from bundles import Answer, Tool, besides, elf, release, tree
from harness import PROJECT, static_form
from images import Layout, config_of, file, folder, link, pack, sha
from sboms import sidecar

FOLDER = "usr/lib/cnb/launchers/buildpacks/lifecycle"
BOMS = ("sbom.cdx.json", "sbom.spdx.json")
ARM = 183


def arm_executable() -> Path:
    """Return the executable for aarch64; where it is not built, skip, saying how: in CI that is a failure."""
    found = PROJECT / "dist/metalauncher-linux-aarch64"
    if not found.exists():
        message = f"{found} is missing: run `make static ARCH=aarch64`"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return found


class Kit:
    """An executable, two releases, and where to write to."""

    def __init__(self, tool: Tool, folder: Path) -> None:
        """Make them."""
        self.tool = tool
        self.folder = folder
        self.executable = folder / "metalauncher"
        self.use(elf(size=5000))
        self.old = release(folder, "0.17.7", elf(size=300))
        self.new = release(folder, "0.21.17", elf(size=400))
        self.out = folder / "out"

    def use(self, executable: bytes, name: str = "metalauncher") -> Path:
        """Let this be the executable of that name: the description that its build wrote speaks of it."""
        file = self.folder / name
        file.write_bytes(executable)
        document = json.loads(sidecar(static_form()).read_text()) | {"sha256": sha(executable).removeprefix("sha256:")}
        file.with_name(f"{name}.contents.json").write_text(json.dumps(document))
        return file

    def options(self, *more: str | Path, base: str = "scratch", out: str | Path | None = None) -> list[str | Path]:
        """Return a whole command line; `more` goes after, and before the same options in it."""
        given: list[str | Path] = [
            "image",
            "--base",
            base,
            "--executable",
            self.executable,
            "--bundle",
            self.old,
            "--bundle",
            self.new,
        ]
        return [*given, "--out", f"oci:{self.out}" if out is None else out, *more]

    def build(self, *more: str | Path, **options: Any) -> Answer:
        """Build, which has to succeed; return the answer with the document."""
        answer = self.tool(*self.options("--json", *more, **options))
        assert (answer.code, said(answer)) == (0, ""), answer.err
        return answer

    def refuse(self, message: str, *more: str | Path, **options: Any) -> Answer:
        """Try to build, which has to fail with this message and leave everything as it was."""
        before = tree(self.folder)
        answer = self.tool(*self.options(*more, **options))
        assert (answer.code, answer.out) == (3, "")
        first, *_, last = answer.err.splitlines()
        assert message in first.removeprefix("ERROR: ")
        assert last.removeprefix("  do:").split()[0] in ("metalauncher", "make", "skopeo", "ls", "export", "sha256sum")
        assert tree(self.folder) == before
        return answer


def said(answer: Answer) -> str:
    """Return what was said on stderr, but for what bases of tests lack, which tests of their own look at."""
    lines = besides(answer.err).splitlines(keepends=True)
    return "".join([line for line in lines if not re.match("Warning: --base .* lacks what CNB asks", line)])


def members(layout: Path, layer: dict[str, Any]) -> dict[str, tarfile.TarInfo]:
    """Return a layer's members by name."""
    data = gzip.decompress(Layout(layout).blob(layer["digest"]).read_bytes())
    (layout.parent / "layer.tar").write_bytes(data)
    with tarfile.open(layout.parent / "layer.tar") as archive:
        return {info.name: info for info in archive}


def debian(kit: Kit, **changes: Any) -> str:
    """Write a base of two layers with a rich config; return how to refer to it."""
    lower = pack(
        [folder("etc"), folder("usr", 0o751), folder("usr/bin", 0o700), folder("usr/lib"), link("bin", "usr/bin")],
        "lower",
    )
    upper = pack([file("etc/os-release", b"ID=acme\n"), folder("usr/share")], "upper")
    layout = Layout(kit.folder / "base")
    layers = [lower, upper]
    config = config_of(
        layers,
        Env=["PATH=/usr/bin", "LANG=C.UTF-8", "ODD"],
        User="1000:1000",
        WorkingDir="/home",
        Cmd=["sh"],
        Entrypoint=["/entry"],
        ExposedPorts={"80/tcp": {}},
        StopSignal="SIGQUIT",
        Labels={"io.buildpacks.base.id": "acme", "maintainer": "é"},
    )
    config |= {"author": "é", "x-unknown": [1, {"a": None}], **changes}
    config["history"].insert(1, {"created_by": "ENV", "empty_layer": True})
    blobs = [layout.put(layer.data, layer.media_type) for layer in layers]
    layout.add(config, blobs, "12", annotations={"org.opencontainers.image.title": "base"})
    layout.save()
    return f"oci:{layout.directory}:12"
