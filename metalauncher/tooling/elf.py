"""What kind of executable some bytes are: ELF and for which machine, or a script. Knows no files.

Source: the ELF specification (elf.h), and Linux fs/binfmt_elf.c for what the kernel looks at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from metalauncher.execute import interpreter_of
from metalauncher.explain.elf import HEADER_SIZE, INTERPRETER, LOAD, MAGIC, NOTE, PROGRAMS, Elf
from metalauncher.tooling.architectures import from_elf

if TYPE_CHECKING:
    from typing import Literal

HEAD = 4096  # bytes: an ELF file's program headers and interpreter lie at its beginning

_32_BITS = (3, 40)  # EM_386, EM_ARM
_VERSION = 1  # EV_CURRENT, of e_ident
_WIDTHS = {62: 2, 183: 2, 243: 2, 21: 2, 3: 1, 40: 1}  # EM_* of machines whose order is little -> their EI_CLASS
_NOTE_NAME, _NOTE_TYPE = b"metalauncher\0", 1  # as image/static/start.c has it


class Binary(NamedTuple):
    """An executable.

    Attributes:
        kind: `elf` or `script`.
        machine: an ELF file's architecture, "" for a script.
        interpreter: a script's, or the loader of a dynamically linked ELF file, else "".
        size: bytes that an ELF file must at least have to be whole.
    """

    kind: Literal["elf", "script"]
    machine: str
    interpreter: str
    size: int


def inspect(head: bytes) -> Binary | str:
    """Return what the file that begins with `head` is, or why it is no executable."""
    if head.startswith(b"#!"):
        interpreter = interpreter_of(head[:HEAD])
        if not interpreter:
            return "is a script that names no interpreter"
        return Binary("script", "", interpreter.decode("utf-8", "surrogateescape"), 0)
    if head.startswith(MAGIC):
        return _inspect_elf(head)
    return "is empty" if not head else "is neither an ELF file nor a script with #!"


def _inspect_elf(head: bytes) -> Binary | str:
    if len(head) < 64 or head[4] not in (1, 2) or head[5] not in (1, 2):
        return "is an ELF file with a damaged header"
    elf = Elf(head)
    if elf.kind not in PROGRAMS:
        return "is an ELF file, but no executable (an object file or a core dump)"
    machine = from_elf(elf.machine, big_endian=elf.order == "big")
    if not elf.wide:  # 32 bits: its headers are laid out differently; the machine tells enough
        return Binary("elf", machine if elf.machine in _32_BITS else f"{machine}, 32 bits", "", 0)
    interpreter, needed = "", 64
    for kind, offset, length, _ in elf.segments():
        if kind == LOAD:
            needed = max(needed, offset + length)
        elif kind == INTERPRETER:
            interpreter = head[offset : offset + length].partition(b"\0")[0].decode("utf-8", "surrogateescape")
    return Binary("elf", machine, interpreter, needed)


def odd_header(head: bytes, size: int) -> str:
    """Say what of an ELF file not every kernel reads as `inspect` does, or takes; "" where nothing is odd.

    Linux goes by the machine alone, and not by what the file says of its width, order of bytes and version; gVisor
    looks at these (pkg/sentry/loader/elf.go, `parseHeader`).

    Args:
        head: its first bytes, `HEAD` of them where it has as many.
        size: of the whole file, in bytes.
    """
    if not head.startswith(MAGIC) or len(head) < 64:
        return ""
    width = _WIDTHS.get(int.from_bytes(head[18:20], "little"))
    if width is not None and head[4:7] != bytes([width, 1, _VERSION]):
        return "a header that contradicts itself"
    elf = Elf(head)
    if not elf.wide or elf.kind not in PROGRAMS:
        return ""
    end = elf.start + elf.entry_size * elf.entries
    if elf.entry_size != HEADER_SIZE or not elf.entries or end > min(len(head), size):
        return "program headers that not every kernel reads"
    segments = elf.segments()
    loaders = [head[offset : offset + length] for kind, offset, length, _ in segments if kind == INTERPRETER]
    whole = all([offset + length <= len(head) for kind, offset, length, _ in segments if kind == INTERPRETER])
    if len(loaders) > 1 or not whole or not all([loader.find(b"\0") == len(loader) - 1 > 0 for loader in loaders]):
        return "a loader's name that not every kernel reads"
    return ""


def has_note(head: bytes) -> bool:
    """Tell whether the file that begins with `head` is a copy of metalauncher's static executable, by its ELF note.

    Whatever the bytes are: what does not lie in them, or is laid out otherwise than there, is no note.
    """
    head = head[:HEAD]
    if len(head) < 64 or not head.startswith(MAGIC + b"\x02") or head[5] not in (1, 2):
        return False
    elf = Elf(head)
    return elf.entry_size == HEADER_SIZE and any(
        kind == NOTE and _is_noted(head[offset : offset + length], elf.order, 8 if alignment == 8 else 4)
        for kind, offset, length, alignment in elf.segments()
    )


def _is_noted(notes: bytes, order: Literal["little", "big"], alignment: int) -> bool:
    """Look for the note in a segment of notes: sizes of name and description, type, name, description, each padded."""
    at = 0
    while at + 12 <= len(notes):
        name, description, kind = [int.from_bytes(notes[at + 4 * n : at + 4 * n + 4], order) for n in range(3)]
        if kind == _NOTE_TYPE and notes[at + 12 : at + 12 + name] == _NOTE_NAME:
            return True
        behind = at + 12 + name
        at = behind + -behind % alignment + description
        at += -at % alignment
    return False
