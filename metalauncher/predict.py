"""Foretell whether exec'ing a launcher would fail, as the kernel would see it. Runs nothing; not on the hot path."""

from __future__ import annotations

import posix

from metalauncher.errors import errno_text
from metalauncher.execute import interpreter_of, read_head

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    from metalauncher.execute import Itself
    from metalauncher.places import Root
    from metalauncher.registry import Launcher

_ENOENT, _ENOEXEC, _EACCES = 2, 8, 13
_HEAD = 4096  # bytes: an ELF file's headers lie at its beginning

# uname's machine -> the ELF machines that its kernel runs (elf.h, EM_*)
_ELF_MACHINES = {"x86_64": (62, 3), "aarch64": (183, 40), "ppc64le": (21,), "s390x": (22,), "riscv64": (243,)}
_ELF = b"\x7fELF"
_PT_INTERP = 3


def locate(launcher: Launcher, root: Root) -> bytes:
    """Return the path at which the launcher would be exec'd."""
    return root.locate(launcher.path.encode())


def why_not_executable(launcher: Launcher, root: Root, itself: Itself) -> str | None:
    """Return why exec would fail, in the words of the dispatch's warning; None if nothing speaks against it."""
    path = locate(launcher, root)
    if itself.is_at(path):
        return "is metalauncher itself"
    try:
        if posix.stat(path).st_mode & 0o170000 != 0o100000 or not posix.access(path, posix.X_OK):
            return errno_text(_EACCES)
    except OSError as error:
        return errno_text(error.errno)
    head = read_head(path, _HEAD)
    if head.startswith(b"#!"):
        interpreter = interpreter_of(head)
        missing = bool(interpreter) and not _is_there(interpreter, root)
        return errno_text(_ENOENT) if missing else None if interpreter else errno_text(_ENOEXEC)
    if head.startswith(_ELF):
        return _why_not_elf(head, root)
    # A file that may be exec'd but not read shows nothing: the kernel will tell.
    return errno_text(_ENOEXEC) if head or posix.access(path, posix.R_OK) else None


def _why_not_elf(head: bytes, root: Root) -> str | None:
    """Check machine and program interpreter, as Linux does before its point of no return (fs/binfmt_elf.c)."""
    machines = _ELF_MACHINES.get(posix.uname().machine)
    order: Literal["little", "big"] = "little" if head[5:6] == b"\x01" else "big"
    if machines and int.from_bytes(head[18:20], order) not in machines:
        return errno_text(_ENOEXEC)
    if head[4:5] != b"\x02":
        return None  # a 32-bit program: its headers are laid out differently, and nobody ships a launcher as one
    start, size, count = (int.from_bytes(head[at : at + n], order) for at, n in ((32, 8), (54, 2), (56, 2)))
    for at in range(start, min(start + size * count, len(head)), size or 1):
        if int.from_bytes(head[at : at + 4], order) == _PT_INTERP:
            offset = int.from_bytes(head[at + 8 : at + 16], order)
            interpreter = head[offset : offset + int.from_bytes(head[at + 32 : at + 40], order)].rstrip(b"\0")
            return None if not interpreter or _is_there(interpreter, root) else errno_text(_ENOENT)
    return None


def _is_there(path: bytes, root: Root) -> bool:
    try:
        posix.stat(root.locate_layers(path))
    except OSError:
        return False
    return True
