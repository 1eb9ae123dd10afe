"""What Go's own packages read: programs of `readers/`, built once, asked over pipes."""

from __future__ import annotations

import base64
import json
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import golang

READERS = Path(__file__).resolve().parent / "readers"
_TIMEOUT = 600  # seconds; ten thousand archives take a few


class TarMember(NamedTuple):
    """A member as archive/tar gives it; of its content the digest of the first MiB."""

    kind: bytes
    name: bytes
    target: bytes
    size: int
    mode: int
    owner: int
    group: int
    device: tuple[int, int]
    content: str


class Read(NamedTuple):
    """What an archive gave until its end, or until an error."""

    members: tuple[TarMember, ...]
    error: str


def build(name: str, go: golang.Go | None = None) -> Path:
    """Return a program of `readers/`, from the cache where it is there.

    Args:
        name: a folder's there; behind a slash one in it, that is built together with the files of the outer.
        go: to build with.

    Raises:
        golang.Unavailable: Go or a module is not to be had here.
    """
    outer, _, inner = name.rpartition("/")
    with tempfile.TemporaryDirectory(prefix="reader-") as folder:
        for file in [*(READERS / name).iterdir(), *((READERS / outer).iterdir() if outer else ())]:
            if file.is_file():
                shutil.copy(file, folder)
        return (go or golang.find()).program(f"{inner}-reader", Path(folder), ".") / inner


def frames(inputs: Iterable[bytes]) -> bytes:
    """Return inputs as the programs take them: each behind its size."""
    return b"".join([struct.pack(">Q", len(data)) + data for data in inputs])


def ask(program: Path, inputs: Sequence[bytes], *arguments: str | Path) -> list[Any]:
    """Return a program's answer to each input, in their order."""
    done = subprocess.run(
        [program, *arguments], input=frames(inputs), stdout=subprocess.PIPE, timeout=_TIMEOUT, check=True
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(inputs)
    return answers


def read_tars(program: Path, archives: Sequence[bytes]) -> list[Read]:
    """Return what archive/tar reads of each archive."""
    return [Read(tuple([_member(each) for each in one["members"]]), one["error"]) for one in ask(program, archives)]


def _member(value: dict[str, Any]) -> TarMember:
    kind = bytes([value["kind"]])
    return TarMember(
        kind,
        # A global header's is not compared: where a record is wrong, it depends on the order of Go's map.
        b"" if kind == b"g" else base64.b64decode(value["name"] or ""),
        base64.b64decode(value["target"] or ""),
        *(value["size"], value["mode"], value["owner"], value["group"]),
        device=(value["major"], value["minor"]),
        content=value["content"],
    )
