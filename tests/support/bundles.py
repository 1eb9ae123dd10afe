"""Lifecycle releases made as the official ones are laid out, a run image to put them in, and the program to ask."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import struct
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import DATA, PROJECT

from metalauncher.explain.cli import run as run_cli

TOOLING = DATA / "tooling"
STAND_IN = (PROJECT / "demo/stand-in-launcher").read_bytes()
MACHINE = {"x86_64": 62, "aarch64": 183}[os.uname().machine]  # of ELF files that run here
PHASES = ("analyzer", "builder", "creator", "detector", "exporter", "rebaser", "restorer")
_LINES: list[dict[str, Any]] = json.loads((DATA / "lifecycle_apis.json").read_text())["lines"]


@dataclass(frozen=True)
class Answer:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """Its JSON document."""
        document: dict[str, Any] = json.loads(self.out)
        return document


@dataclass(frozen=True)
class Tool:
    """The command line, run in this very process; `capture` takes what it wrote."""

    capture: Any
    root: Path

    def __call__(self, *arguments: str | Path, environ: Mapping[str, str] | None = None) -> Answer:
        """Run it."""
        variables = [f"{name}={value}".encode() for name, value in (environ or {}).items()]
        self.capture.readouterr()
        code = run_cli([os.fsencode(a) for a in arguments], variables, b"metalauncher", None)
        out, err = self.capture.readouterr()
        return Answer(code, out, err)

    def on(self, *arguments: str | Path, environ: Mapping[str, str] | None = None) -> Answer:
        """Run it with `--root`."""
        return self(*arguments, "--root", self.root, environ=environ)


def as_process(*arguments: str | Path, environ: Mapping[str, str] | None = None) -> Answer:
    """Run the installed command's own start, `python -m metalauncher`, as a process."""
    run = subprocess.run(
        [sys.executable, "-m", "metalauncher", *arguments],
        cwd=PROJECT,
        env=dict(environ or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return Answer(run.returncode, run.stdout, run.stderr)


def on_terminal(tool: Tool | None, *arguments: str, **environ: str) -> str:
    """Run the program, with the root of a tool, and everything on a terminal; return what arrives there."""
    ours, theirs = pty.openpty()
    root = [] if tool is None else ["--root", str(tool.root)]
    command = [sys.executable, "-m", "metalauncher", *arguments, *root]
    try:
        subprocess.run(command, cwd=PROJECT, env=environ, stdin=theirs, stdout=theirs, stderr=theirs, timeout=60)
        return os.read(ours, 1 << 16).decode()
    finally:
        os.close(ours)
        os.close(theirs)


def lifecycle_toml(version: str) -> str:
    """Return a release's `lifecycle.toml`: since 0.9 with the lists of api/apis.go, before only with `[api]`."""
    if version.startswith("0.8."):
        return f'[api]\n  platform = "0.3"\n  buildpack = "0.2"\n\n[lifecycle]\n  version = "{version}"\n'
    apis = next(line["apis"] for line in _LINES if _within(version, line["from"], line["to"]))
    text = ""
    for kind in ("buildpack", "platform"):
        text += f"[apis.{kind}]\n  deprecated = {json.dumps(apis[kind]['deprecated'])}\n"
        text += f"  supported = {json.dumps(apis[kind]['supported'])}\n\n"
    text += '[api]\n  platform = "0.3"\n  buildpack = "0.2"\n\n'
    return text + f'[lifecycle]\n  version = "{version}"\n'


def _within(version: str, first: str, last: str) -> bool:
    numbers, low, high = ([int(part) for part in text.split(".")] for text in (version, first, last))
    return low <= numbers <= high


def elf(machine: int = 62, kind: int = 2, size: int = 200) -> bytes:
    """Return an ELF file of 64 bits, little-endian, with one program header that needs `size` bytes."""
    header = (
        b"\x7fELF\x02\x01\x01"
        + bytes(9)
        + struct.pack("<HHIQQQIHHHHHH", kind, machine, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    )
    return (header + struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, size, size, 4096)).ljust(size, b"\0")


# metalauncher's own, as image/static/start.c has it.
NOTE = struct.pack("<III", 13, 0, 1) + b"metalauncher\0\0\0\0"


def note_header(offset: int, size: int, alignment: int = 4) -> bytes:
    """Return a program header of notes."""
    return struct.pack("<IIQQQQQQ", 4, 4, offset, 0, 0, size, size, alignment)


def noted(notes: bytes = NOTE, *, alignment: int = 4, at: int = 200, machine: int = 62) -> bytes:
    """Return a program of a few bytes whose only header is one of notes."""
    program = bytearray(elf(machine, size=4096))
    program[64:120] = note_header(at, len(notes), alignment)
    program[at : at + len(notes)] = notes
    return bytes(program)


def entry(name: str, data: bytes = b"", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    """Return a tarball's member."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    info.mode = 0o755
    info.mtime = 315532801  # what lifecycle's packager writes: 1980-01-01 00:00:01
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tuple[tarfile.TarInfo, bytes]:
    """Return a tarball's member that is a link."""
    return entry(name, type=kind, linkname=target)


def directory(name: str) -> tuple[tarfile.TarInfo, bytes]:
    """Return a tarball's member that is a directory."""
    return entry(name, type=tarfile.DIRTYPE)


def release_members(
    version: str, launcher: bytes = STAND_IN, *, sboms: bool | None = None, descriptor: str | None = None
) -> list[tuple[tarfile.TarInfo, bytes]]:
    """Return the members of a release: SBOMs from 0.16 on, the phases being links to one program."""
    with_sboms = int(version.split(".")[1]) >= 16 if sboms is None else sboms
    members = [
        entry("lifecycle.toml", (descriptor or lifecycle_toml(version)).encode(), mode=0o644),
        directory("lifecycle"),
        entry("lifecycle/launcher", launcher),
        entry("lifecycle/lifecycle", b"\x7fELF the lifecycle itself"),
        *[link(f"lifecycle/{phase}", "lifecycle") for phase in PHASES],
    ]
    if with_sboms:
        members += [
            entry(f"lifecycle/{program}.sbom.{kind}.json", sbom(program, kind), mode=0o644)
            for program in ("launcher", "lifecycle")
            for kind in ("cdx", "spdx", "syft")
        ]
    return members


def besides(text: str) -> str:
    """Return what was said on stderr besides that a launcher came without an SBOM, as most of those in tests do."""
    lines = text.splitlines(keepends=True)
    return "".join([line for line in lines if not re.match(r"Warning: .* came without an SBOM: ", line)])


def sbom(program: str, kind: str) -> bytes:
    """Return a text in an SBOM's place."""
    return json.dumps({"of": program, "format": kind}).encode()


def pack(members: Iterable[tuple[tarfile.TarInfo, bytes]], *, mode: str = "w:gz") -> bytes:
    """Return a tarball."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode=mode, format=tarfile.GNU_FORMAT) as tar:  # type: ignore[call-overload]  # a mode that is no literal
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return archive.getvalue()


def release(
    folder: Path,
    version: str,
    launcher: bytes = STAND_IN,
    *,
    sboms: bool | None = None,
    descriptor: str | None = None,
    architecture: str = "x86-64",
) -> Path:
    """Write a release's tarball under its official name."""
    folder.mkdir(exist_ok=True)
    file = folder / f"lifecycle-v{version}+linux.{architecture}.tgz"
    file.write_bytes(pack(release_members(version, launcher, sboms=sboms, descriptor=descriptor)))
    return file


def tree(root: Path) -> dict[str, tuple[int, bytes | str]]:
    """Return everything under `root`: mode, and content or link target."""
    return {
        str(path.relative_to(root)): (
            path.lstat().st_mode & 0o7777,
            str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else "a directory",
        )
        for path in sorted(root.rglob("*"))
    }
