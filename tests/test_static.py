"""How the static executable is built: the same bytes everywhere, in the order in which a start needs them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from struct import pack, unpack_from
from typing import NamedTuple

import pytest
from architectures import ARCHITECTURES
from cache import Cache
from harness import Form
from linkmap import read_map
from reproduce import rebuild
from steps import build

PAGE = 4096
LARGEST = {"x86_64": 4096, "aarch64": 65536}  # pages
USER_SPACE = 1 << 39  # the least that a kernel of either architecture gives a process: arm64's with pages of 4 KB
LOAD, NOTE, STACK = 1, 4, 0x6474E551  # types of segments
EXECUTE, WRITE = 1, 2  # flags

pytestmark = [pytest.mark.only("static"), pytest.mark.emulated]


class Segment(NamedTuple):
    """A program header, as far as it is looked at here."""

    type: int
    flags: int
    offset: int
    address: int
    size: int  # in the file
    memory: int


@pytest.fixture
def executable(form: Form) -> bytes:
    """Return the file."""
    return Path(form.executable).read_bytes()


def segments(executable: bytes) -> Iterator[Segment]:
    """Yield the program headers."""
    table, size, count = unpack_from("<32xQ14xHH", executable)
    for offset in range(table, table + size * count, size):
        yield Segment(*unpack_from("<IIQQ8xQQ", executable, offset))


def architecture_of(form: Form) -> str:
    """Return the architecture's name, as the executable's has it."""
    return form.executable.name.rpartition("-")[2]


@pytest.mark.thorough
def test_reproducible(form: Form, executable: bytes) -> None:
    """The application's part of the build gives the same bytes elsewhere; `make reproduce` is for all of it."""
    kept = ("source", "tomli", "mypyc", "zig", "toolchain", "parser", "python")
    name = architecture_of(form)
    assert rebuild(kept, name) == {name: executable}


def test_it_is_for_its_architecture(form: Form, executable: bytes) -> None:
    """The ELF header says so; every address is one that all kernels have."""
    (machine,) = unpack_from("<18xH", executable)
    assert machine == {"x86_64": 62, "aarch64": 183}[architecture_of(form)]
    assert max(segment.address + segment.memory for segment in segments(executable)) < USER_SPACE


def test_no_page_has_two_kinds_of_rights(form: Form, executable: bytes) -> None:
    """Whatever size pages have: a kernel can map each segment, and gives none the rights of another."""
    largest = LARGEST[architecture_of(form)]
    rights: dict[int, int] = {}
    loaded = [segment for segment in segments(executable) if segment.type == LOAD]
    assert len(loaded) == 5
    for segment in loaded:
        assert segment.address % largest == segment.offset % largest
        for page in range(segment.address // largest, (segment.address + segment.memory - 1) // largest + 1):
            assert rights.setdefault(page, segment.flags) == segment.flags


def test_it_keeps_no_page_size(form: Form, executable: bytes) -> None:
    """The building machine's is not in it, where there are several: the C library asks the kernel that starts it."""
    folder = build(Cache(), ARCHITECTURES[architecture_of(form)])
    assert (folder / "metalauncher").read_bytes() == executable
    (found,) = [placed for placed in read_map((folder / "map").read_text()) if placed.name == ".bss.__libc"]
    (segment,) = [s for s in segments(executable) if s.type == LOAD and s.address <= found.address < s.address + s.size]
    state = unpack_from("<8s6Q", executable, segment.offset + found.address - segment.address)
    *_, tls_align, tls_count, page_size = state  # musl's src/internal/libc.h
    assert (tls_align >= 8, tls_count) == (True, 1)
    assert page_size == {"x86_64": 4096, "aarch64": 0}[architecture_of(form)]  # x86-64's is the C library's constant


def test_it_begins_with_its_entry(executable: bytes) -> None:
    """What asks the kernel to read no more than it needs is in the first page, which exec reads anyway."""
    (entry,) = unpack_from("<24xQ", executable)
    first = next(segments(executable))
    assert (first.type, first.offset) == (LOAD, 0)
    assert first.address < entry < first.address + PAGE


def test_no_memory_is_both_written_and_executed(executable: bytes) -> None:
    """Neither a segment nor the stack."""
    flags = {segment.flags for segment in segments(executable) if segment.type in (LOAD, STACK)}
    assert flags
    assert not any(flag & EXECUTE and flag & WRITE for flag in flags)


def test_says_whose_it_is(executable: bytes) -> None:
    """A note in its first page names it, so that a copy under any name can be told from a launcher."""
    (note,) = [segment for segment in segments(executable) if segment.type == NOTE]
    assert note.offset + note.size <= PAGE
    assert executable[note.offset : note.offset + note.size] == pack("<3I16s", 13, 0, 1, b"metalauncher")
