"""Hostile and damaged tarballs: each is refused with its own message, and nothing is written anywhere.

The messages are in tests/data/tooling/hostile.txt, one line per case.
"""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from bundles import STAND_IN, TOOLING, Tool, directory, entry, lifecycle_toml, link, pack, release_members, tree

from metalauncher.tooling.launchers import tarball as limits

Members = list[tuple[tarfile.TarInfo, bytes]]
TOML = ("lifecycle.toml", lifecycle_toml("0.17.7").encode())
MESSAGES = dict(line.split(": ", 1) for line in (TOOLING / "hostile.txt").read_text().splitlines())


def _with(*more: tuple[tarfile.TarInfo, bytes]) -> bytes:
    return pack([*release_members("0.17.7"), *more])


def _first(*more: tuple[tarfile.TarInfo, bytes]) -> bytes:
    return pack([*more, *release_members("0.17.7")])


def _launcher(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    return pack([entry(*TOML), *members])


def _raw(data: bytes) -> bytes:
    return gzip.compress(data)


def _plain() -> bytes:
    return pack(release_members("0.17.7"), mode="w")


def _damaged_header() -> bytes:
    data = bytearray(_plain())
    at = data.index(b"lifecycle/exporter")
    data[at + 5] ^= 0xFF
    return _raw(bytes(data))


def _sized(member: tuple[tarfile.TarInfo, bytes], size: int, data: bytes = b"") -> bytes:
    """Return a tarball whose first header claims `size` bytes."""
    info, _ = member
    info.size = size
    return _raw(info.tobuf(tarfile.GNU_FORMAT) + data)


def _pax(**headers: str) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz", format=tarfile.PAX_FORMAT) as tar:
        info, data = entry("lifecycle/launcher", STAND_IN)
        info.pax_headers = headers
        tar.addfile(info, io.BytesIO(data))
        tar.addfile(entry(*TOML)[0], io.BytesIO(TOML[1]))
    return archive.getvalue()


def _global(**headers: str) -> bytes:
    """Return a tarball that begins with a global header, as those of `git archive` do."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz", format=tarfile.PAX_FORMAT, pax_headers=headers) as tar:
        for info, data in release_members("0.17.7"):
            tar.addfile(info, io.BytesIO(data))
    return archive.getvalue()


def _bomb() -> bytes:
    """Return 600 MiB of zeros, as a member nobody asked for, in half a megabyte."""
    info, _ = entry("lifecycle/lifecycle")
    info.size = 600 << 20
    archive = io.BytesIO()
    with gzip.GzipFile(fileobj=archive, mode="wb", compresslevel=1) as out:
        out.write(info.tobuf(tarfile.GNU_FORMAT))
        for _ in range(600):
            out.write(bytes(1 << 20))
    return archive.getvalue()


CASES: dict[str, Callable[[], bytes]] = {
    "absolute-name": lambda: _with(entry("/etc/passwd", b"x")),
    "upward-name": lambda: _with(entry("lifecycle/../../evil", b"x")),
    "upward-launcher": lambda: _with(entry("x/../lifecycle/launcher", b"x")),
    "control-characters": lambda: _with(entry("lifecycle/\x1b[31m", b"x")),
    "backslashes": lambda: _with(entry("..\\evil", b"x")),
    "launcher-is-a-link": lambda: _launcher(link("lifecycle/launcher", "/bin/sh")),
    "folder-is-a-link": lambda: _first(link("lifecycle", "/etc")),
    "absolute-link": lambda: _with(link("lifecycle/helper", "/etc/passwd")),
    "upward-link": lambda: _with(link("lifecycle/helper", "../../etc/passwd")),
    "hard-link": lambda: _with(link("lifecycle/helper", "lifecycle/launcher", tarfile.LNKTYPE)),
    "launcher-is-a-hard-link": lambda: _launcher(link("lifecycle/launcher", "/bin/sh", tarfile.LNKTYPE)),
    "character-device": lambda: _with(entry("lifecycle/null", type=tarfile.CHRTYPE)),
    "block-device": lambda: _with(entry("lifecycle/sda", type=tarfile.BLKTYPE)),
    "fifo": lambda: _with(entry("lifecycle/fifo", type=tarfile.FIFOTYPE)),
    "sparse-file": lambda: _with(entry("lifecycle/sparse", type=tarfile.GNUTYPE_SPARSE)),
    "contiguous-file": lambda: _with(entry("lifecycle/other", type=tarfile.CONTTYPE)),
    "unknown-type": lambda: _with(entry("lifecycle/other", type=b"V")),
    "set-uid-launcher": lambda: _launcher(entry("lifecycle/launcher", STAND_IN, mode=0o4755)),
    "set-gid-elsewhere": lambda: _with(entry("lifecycle/su", b"x", mode=0o2755)),
    "two-launchers": lambda: _with(entry("lifecycle/launcher", b"#!/bin/evil\n\n")),
    "two-launchers-spelled": lambda: _with(entry("./lifecycle//launcher", b"#!/bin/evil\n\n")),
    "launcher-is-a-directory": lambda: _launcher(directory("lifecycle/launcher")),
    "folder-is-a-file": lambda: _first(entry("lifecycle", b"x")),
    "flat-launcher-is-a-link": lambda: pack([link("launcher", "launcher-0.1")]),
    "flat-launcher-is-a-directory": lambda: pack([directory("launcher")]),
    "flat-launcher-with-set-uid": lambda: pack([entry("launcher", STAND_IN, mode=0o4755)]),
    "too-many-members": lambda: _with(*[entry(f"lifecycle/{number}") for number in range(300)]),
    "bomb": _bomb,
    "huge-launcher": lambda: _sized(entry("lifecycle/launcher"), 65 << 20),
    "huge-toml": lambda: _sized(entry("lifecycle.toml"), 2 << 20),
    "huge-sbom": lambda: _sized(entry("lifecycle/launcher.sbom.cdx.json"), 17 << 20),
    "huge-pax-header": lambda: _pax(comment="x" * 70000),
    "huge-long-name": lambda: _sized(entry("././@LongLink", type=tarfile.GNUTYPE_LONGNAME), 1 << 30),
    "negative-pax-size": lambda: _pax(size="-512"),
    "global-header": lambda: _global(uname="x", comment="0123456789abcdef"),
    "zeros-in-the-middle": lambda: _raw(bytes(512) + _plain()),
    "pax-sparse-file": lambda: _pax(**{"GNU.sparse.map": "0,1", "GNU.sparse.numblocks": "1", "GNU.sparse.size": "9"}),
    "damaged-first-header": lambda: _raw(b"lifecycle.toml".ljust(512, b"x")),
    "damaged-header": _damaged_header,
    "cut-off-between-members": lambda: _raw(_plain()[: _plain().index(b"lifecycle/launcher\0")]),
    "cut-off-in-launcher": lambda: _raw(_plain()[: _plain().index(b"#!/usr/bin/python3") + 700]),
    "cut-off-gzip": lambda: _plain_gzip()[:-40],
    "damaged-gzip": lambda: _plain_gzip()[:400] + b"\xff" * 60 + _plain_gzip()[460:],
    "wrong-checksum-of-gzip": lambda: _plain_gzip()[:-8] + bytes(8),
    "garbage-after-gzip": lambda: _plain_gzip() + b"garbage",
    "second-archive-behind": lambda: _raw(_plain() + _plain()),
    "no-launcher": lambda: pack([entry(*TOML)]),
    "no-toml": lambda: pack([entry("lifecycle/launcher", STAND_IN)]),
    "nothing": lambda: pack([]),
    "in-a-folder": lambda: pack([entry(f"release/{info.name}", data) for info, data in release_members("0.17.7")[:4]]),
}


def _plain_gzip() -> bytes:
    return gzip.compress(_plain(), mtime=0)


def test_every_case_has_its_message() -> None:
    """There are thirty and more, each has an expected message, and no two are alike."""
    assert set(CASES) == set(MESSAGES)
    assert len(CASES) >= 30
    assert len(set(MESSAGES.values())) == len(MESSAGES)


@pytest.mark.parametrize("case", CASES)
def test_hostile(tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    """It is refused with its message and exit code 3; neither root nor neighbourhood nor temporary folder changes."""
    tarball = tmp_path / "t.tgz"
    tarball.write_bytes(CASES[case]())
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    before = sorted(os.listdir(tmp_path))
    answer = tool.on("bundle", "add", tarball)
    assert answer.code == 3
    assert answer.err.splitlines()[0] == f"ERROR: {tarball}: {MESSAGES[case]}"
    assert tree(tool.root) == {}
    assert sorted(os.listdir(tmp_path)) == before
    assert os.listdir(temporary) == []


def test_official_layout_passes(tool: Tool, tmp_path: Path) -> None:
    """The links of a release, a leading `./`, PAX headers and an archive that isn't compressed are no offence."""
    tarball = tmp_path / "t.tgz"
    members = release_members("0.21.17")
    for data in (
        pack(members),
        pack(members, mode="w"),
        pack(
            [
                entry("./", type=tarfile.DIRTYPE),
                *[entry(f"./{i.name}", d, type=i.type, linkname=i.linkname) for i, d in members],
            ]
        ),
        _pax(comment="fine"),
        _global(comment="0123456789abcdef"),
    ):
        tarball.write_bytes(data)
        assert tool.on("bundle", "add", tarball).code == 0
    assert 10 * len(members) < limits.MEMBERS_LIMIT
