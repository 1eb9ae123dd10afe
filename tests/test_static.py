"""How the static executable is built: the same bytes everywhere, in the order in which a start needs them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from struct import pack, unpack_from
from typing import NamedTuple

import pytest
from harness import Form
from reproduce import rebuild

PAGE = 4096
LOAD, NOTE, STACK = 1, 4, 0x6474E551  # types of segments
EXECUTE, WRITE = 1, 2  # flags

pytestmark = pytest.mark.only("static")


class Segment(NamedTuple):
    """A program header, as far as it is looked at here."""

    type: int
    flags: int
    offset: int
    address: int
    size: int


@pytest.fixture
def executable(form: Form) -> bytes:
    """Return the file."""
    return Path(form.executable).read_bytes()


def segments(executable: bytes) -> Iterator[Segment]:
    """Yield the program headers."""
    table, size, count = unpack_from("<32xQ14xHH", executable)
    for offset in range(table, table + size * count, size):
        kind, flags, position, address, length = unpack_from("<IIQQ8xQ", executable, offset)
        yield Segment(kind, flags, position, address, length)


@pytest.mark.thorough
def test_reproducible(executable: bytes) -> None:
    """The application's part of the build gives the same bytes elsewhere; `make reproduce` is for all of it."""
    assert rebuild(("source", "tomli", "mypyc", "zig", "toolchain", "parser", "python")) == executable


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
