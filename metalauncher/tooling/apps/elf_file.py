"""The segments and sections of an ELF file, accepted and refused as Go's debug/elf does. Knows no Go.

Reads little: the headers, and the sections' names. Whatever the bytes are, memory is bounded by the limits here, and
what is damaged or beyond a limit raises `NotElf`, nothing else.

Not `explain/elf`, which reads what the kernel looks at of a file's first bytes, and never refuses: the two have to
differ where the kernel starts what Go's readers refuse. Source: go/src/debug/elf/file.go (NewFile), Go 1.26.
"""

from __future__ import annotations

import struct
from typing import IO, Final, NamedTuple

_TABLE_LIMIT: Final = 4 << 20  # bytes of the program headers, the section headers or the sections' names
_SECTIONS_LIMIT: Final = 1 << 16
_NAME_LIMIT: Final = 64  # bytes of a section's name that are kept
_ADDRESSES: Final = (1 << 64) - 1  # addresses and sizes are computed in 64 bits, and wrap
_LARGEST_OFFSET: Final = (1 << 63) - 1
_SHN_LORESERVE, _SHN_XINDEX = 0xFF00, 0xFFFF
_SHT_STRTAB: Final = 3
_SHF_COMPRESSED: Final = 1 << 11
_PT_LOAD: Final = 1
_PF_X, _PF_W = 1, 2


class NotElf(ValueError):
    """It is no ELF file, a damaged one, or one beyond the limits; the text says which."""


class _Layout(NamedTuple):
    """How the headers of a class are laid out, in `struct`'s words, and the order in which Segment and Section want it.

    Attributes:
        header: version, offsets and counts of the two tables, after the 16 bytes of identification.
        segment: a program header.
        segment_order: where type, flags, offset, address, file size and memory size stand in it.
        section: a section header: name, type, flags, address, offset, size, link and more.
        compression: the header of a compressed section: type, then size.
        compression_size: where in it the size stands.
    """

    header: str
    segment: str
    segment_order: tuple[int, ...]
    section: str
    compression: str
    compression_size: int


_LAYOUTS: Final = {
    1: _Layout("HHIIIIIHHHHHH", "IIIIIIII", (0, 6, 1, 2, 4, 5), "IIIIIIIIII", "III", 1),
    2: _Layout("HHIQQQIHHHHHH", "IIQQQQQQ", (0, 1, 2, 3, 5, 6), "IIQQQQIIQQ", "IIQQ", 2),
}


class Segment(NamedTuple):
    """A part of the file that is loaded, or described, by a program header."""

    kind: int
    flags: int
    offset: int
    address: int
    file_size: int
    memory_size: int

    @property
    def is_writable_data(self) -> bool:
        """It is loaded, may be written and not executed."""
        return self.kind == _PT_LOAD and self.flags & (_PF_X | _PF_W) == _PF_W


class Section(NamedTuple):
    """A named part of the file."""

    name: bytes
    kind: int
    flags: int
    address: int
    offset: int
    size: int


class ElfFile:
    """An ELF file's segments and sections.

    Attributes:
        segments: in the order of the file.
        sections: in the order of the file; without names where there is no table of names.
    """

    def __init__(self, file: IO[bytes]) -> None:
        """Read the headers.

        Args:
            file: it; seekable.

        Raises:
            NotElf: it is none, or damaged.
            OSError: it can't be read.
        """
        self._file: Final = file
        self._size: Final = file.seek(0, 2)
        ident = self._at(0, 16)
        if not ident.startswith(b"\x7fELF") or ident[4] not in _LAYOUTS or ident[5] not in (1, 2) or ident[6] != 1:
            raise NotElf("no ELF header")
        self._layout: Final = _LAYOUTS[ident[4]]
        self._order: Final = "<" if ident[5] == 1 else ">"
        _, _, version, _, segments_at, sections_at, _, _, segment_size, segments, section_size, sections, names = (
            self._unpack(self._layout.header, 16)
        )
        if version & 0xFF != 1 or max(segments_at, sections_at) > _LARGEST_OFFSET:
            raise NotElf("a damaged header")
        if (not sections_at and sections) or (sections and names >= sections):
            raise NotElf("no place for its sections")
        self.segments: Final = self._segments(segments_at, segments, segment_size)
        if sections_at and not sections:
            sections, names = self._many_sections(sections_at, names)
        self.sections: Final = self._sections(sections_at, sections, section_size, names)

    def read(self, address: int, size: int) -> bytes:
        """Return what is loaded at an address, from the first segment that has it.

        Returns:
            At most `size` bytes, fewer where the segment or the file ends.

        Raises:
            NotElf: no segment has the address.
        """
        for segment in self.segments:
            if segment.address <= address <= (segment.address + segment.file_size - 1) & _ADDRESSES:
                inside = address - segment.address
                left = max(0, segment.file_size - inside)
                return self._read(segment.offset + inside, min(size, left))
        raise NotElf("nothing is loaded at that address")

    def _read(self, offset: int, size: int) -> bytes:
        if offset >= self._size:
            return b""
        self._file.seek(offset)
        return self._file.read(size)

    def _at(self, offset: int, size: int) -> bytes:
        data = self._read(offset, size)
        if len(data) < size:
            raise NotElf("cut off")
        return data

    def _unpack(self, form: str, offset: int) -> tuple[int, ...]:
        form = self._order + form
        return struct.unpack(form, self._at(offset, struct.calcsize(form)))

    def _table(self, offset: int, entries: int, size: int, form: str) -> list[tuple[int, ...]]:
        """Return the entries of a table, each of `size` bytes of which `form` describes the first."""
        form = self._order + form
        if entries and size < struct.calcsize(form):
            raise NotElf("headers that are too short")
        if entries * size > _TABLE_LIMIT:
            raise NotElf("too many headers")
        data = self._at(offset, entries * size)
        return [struct.unpack_from(form, data, at) for at in range(0, entries * size, size or 1)]

    def _segments(self, offset: int, entries: int, size: int) -> tuple[Segment, ...]:
        order = self._layout.segment_order
        table = self._table(offset, entries, size, self._layout.segment)
        found = tuple([Segment(*[entry[place] for place in order]) for entry in table])
        if any([max(segment.offset, segment.file_size) > _LARGEST_OFFSET for segment in found]):
            raise NotElf("a segment beyond every file")
        return found

    def _many_sections(self, offset: int, names: int) -> tuple[int, int]:
        """Return how many sections there are, and which has their names, where the header has no room to say it."""
        _, kind, _, _, _, size, link, *_ = self._unpack(self._layout.section, offset)
        if kind or size < _SHN_LORESERVE:
            raise NotElf("a damaged first section")
        if names == _SHN_XINDEX:
            names = link
            if names < _SHN_LORESERVE:
                raise NotElf("a damaged first section")
        return size, names

    def _sections(self, offset: int, entries: int, size: int, names: int) -> tuple[Section, ...]:
        if entries > _SECTIONS_LIMIT or (entries and names >= entries):
            raise NotElf("too many sections")
        table = self._table(offset, entries, size, self._layout.section)
        found = [self._section(entry) for entry in table]
        if not found or not names:
            return tuple(found)
        held = found[names]
        if held.kind != _SHT_STRTAB or held.flags & _SHF_COMPRESSED or held.size > _TABLE_LIMIT:
            raise NotElf("no names of its sections")
        text = self._at(held.offset, held.size)
        last = text.rfind(b"\0")
        if any([entry[0] > last for entry in table]):
            raise NotElf("a section without a name")
        names_at = [entry[0] for entry in table]
        return tuple(
            [
                section._replace(name=text[at : at + _NAME_LIMIT].partition(b"\0")[0])
                for section, at in zip(found, names_at, strict=True)
            ]
        )

    def _section(self, entry: tuple[int, ...]) -> Section:
        _, kind, flags, address, offset, size, *_ = entry
        if max(offset, size) > _LARGEST_OFFSET:
            raise NotElf("a section beyond every file")
        if flags & _SHF_COMPRESSED:
            form = self._order + self._layout.compression
            if size < struct.calcsize(form):
                raise NotElf("a section cut off")
            size = self._unpack(self._layout.compression, offset)[self._layout.compression_size]
        return Section(b"", kind, flags, address, offset, size)

    def section(self, name: bytes) -> Section | None:
        """Return the first section of a name."""
        return next((section for section in self.sections if section.name == name), None)

    def writable_data(self) -> Segment | None:
        """Return the first segment of writable data."""
        return next((segment for segment in self.segments if segment.is_writable_data), None)
