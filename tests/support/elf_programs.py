"""Small ELF files with Go's build information in them, as linkers of old and new releases of Go leave it."""

from __future__ import annotations

import struct
from dataclasses import dataclass

_BASE = 0x400000  # where the file is loaded
MAGIC = b"\xff Go buildinf:"
_FRAME = bytes(range(16))  # before and behind the list of modules; its content matters to nobody
NAMES = b"\0.shstrtab\0.go.buildinfo\0.data\0"


@dataclass(frozen=True)
class Program:
    """An ELF file that says how it was built.

    Attributes:
        go: the version of Go.
        modules: the list of modules, as runtime/debug has it.
        bits: 64 or 32.
        big: whether numbers begin with their largest byte.
        inline: as Go 1.18 and later have it; else by pointers.
        section: whether a section says where it is.
        before: bytes of other data before it.
    """

    go: str = "go1.26.8"
    modules: str = "path\texample.com/app\nmod\texample.com/app\tv1.2.3\th1:abc=\nbuild\tGOOS=linux\n"
    bits: int = 64
    big: bool = False
    inline: bool = True
    section: bool = True
    before: int = 0

    def __bytes__(self) -> bytes:
        """Return the file: headers, one segment of data, the sections' names, and their headers."""
        order = ">" if self.big else "<"
        wide = self.bits == 64
        header_size, segment_size, section_size = (64, 56, 64) if wide else (52, 32, 40)
        start = -(-(header_size + segment_size) // 64) * 64
        data = bytes(self.before) + self._information(_BASE + start + self.before, order)
        names_at = start + len(data)
        sections_at = names_at + len(NAMES) + -(names_at + len(NAMES)) % 8
        count = 3 if self.section else 0
        ident = b"\x7fELF" + bytes([2 if wide else 1, 2 if self.big else 1, 1]) + bytes(9)
        address = "Q" if wide else "I"
        header = struct.pack(
            f"{order}HHI{address * 3}IHHHHHH",
            *(2, 62 if wide else 3, 1, _BASE, header_size, sections_at if count else 0, 0),
            *(header_size, segment_size, 1, section_size, count, 1 if count else 0),
        )
        place = (start, _BASE + start, _BASE + start, len(data), len(data) + 512)
        if wide:
            segment = struct.pack(f"{order}IIQQQQQQ", 1, 6, *place, 4096)
        else:
            segment = struct.pack(f"{order}IIIIIIII", 1, *place, 6, 4096)
        sections = [(0, 0, 0, 0, 0, 0), (1, 3, 0, 0, names_at, len(NAMES))]
        sections.append((11, 1, 3, _BASE + start + self.before, start + self.before, len(data) - self.before))
        table = [struct.pack(f"{order}II{address * 4}II{address * 2}", *one, 0, 0, 1, 0) for one in sections[:count]]
        file = (ident + header + segment).ljust(start, b"\0") + data + NAMES
        return file.ljust(sections_at, b"\0") + b"".join(table)

    def _information(self, address: int, order: str) -> bytes:
        """Return the header with its texts, 32 spare bytes behind; it comes to lie at an address."""
        go = self.go.encode("utf-8", "surrogateescape")
        modules = _FRAME + self.modules.encode("utf-8", "surrogateescape") + _FRAME if self.modules else b""
        if self.inline:
            found = MAGIC + bytes([0, 2]) + bytes(16) + _varint(len(go)) + go + _varint(len(modules)) + modules
            return found + bytes(32)
        size = self.bits // 8
        form = order + ("Q" if size == 8 else "I") * 2
        texts = address + 32 + 4 * size
        header = (MAGIC + bytes([size, self.big]) + struct.pack(form, address + 32, address + 32 + 2 * size)).ljust(32)
        pointers = struct.pack(form, texts, len(go)) + struct.pack(form, texts + len(go), len(modules))
        return header + pointers + go + modules + bytes(32)


def _varint(number: int) -> bytes:
    found = b""
    while number >= 0x80:
        found += bytes([number & 0x7F | 0x80])
        number >>= 7
    return found + bytes([number])
