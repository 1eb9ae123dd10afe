"""The headers of an ELF file, read from its first bytes. Pure; whatever the bytes are, nothing is raised.

Source: the ELF specification (elf.h, Elf64_Ehdr and Elf64_Phdr).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, Literal

MAGIC = b"\x7fELF"
PROGRAMS = (2, 3)  # ET_EXEC, ET_DYN
LOAD, INTERPRETER, NOTE = 1, 3, 4  # PT_LOAD, PT_INTERP, PT_NOTE
HEADER_SIZE = 56  # bytes of a program header of 64 bits
# uname(2)'s names of machines -> whose programs their kernels start (EM_*): their own first, then 32-bit ones.
MACHINES = {"x86_64": (62, 3), "aarch64": (183, 40), "ppc64le": (21,), "s390x": (22,), "riscv64": (243,)}


class Elf:
    """The headers of an ELF file. What lies beyond the bytes reads as 0; of 32 bits only kind and machine are right."""

    __slots__ = ("_head", "entries", "entry_size", "kind", "machine", "order", "start", "wide")

    def __init__(self, head: bytes) -> None:
        """Read the file's header.

        Args:
            head: the first bytes of the file, which begin with `MAGIC`.
        """
        self._head: Final = head
        self.order: Final[Literal["little", "big"]] = "little" if head[5:6] == b"\x01" else "big"
        self.wide: Final = head[4:5] == b"\x02"  # 64 bits
        self.kind: Final = self._number(16, 2)
        self.machine: Final = self._number(18, 2)
        self.start: Final = self._number(32, 8)  # of the program headers
        self.entry_size: Final = self._number(54, 2)
        self.entries: Final = self._number(56, 2)

    def segments(self) -> list[tuple[int, int, int, int]]:
        """Return type, offset, length in the file and alignment of each program header that lies in the bytes."""
        end = min(self.start + self.entry_size * self.entries, len(self._head) - HEADER_SIZE + 1)
        return [
            (self._number(at, 4), self._number(at + 8, 8), self._number(at + 32, 8), self._number(at + 48, 8))
            for at in range(self.start, end, self.entry_size or 1)
        ]

    def _number(self, at: int, size: int) -> int:
        return int.from_bytes(self._head[at : at + size], self.order)
