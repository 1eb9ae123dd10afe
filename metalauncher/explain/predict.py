"""Foretell whether exec'ing a launcher would fail, as the kernel would see it. Runs nothing; not on the hot path."""

from __future__ import annotations

import posix

from metalauncher.errnos import errno_text
from metalauncher.execute import ITSELF, SCRIPTS_LIMIT, Failure, interpreter_of
from metalauncher.files import read_head

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    from metalauncher.descriptor import Launcher
    from metalauncher.execute import Itself
    from metalauncher.places import Root

_ENOEXEC, _EACCES, _ELOOP = 8, 13, 40
_HEAD = 4096  # bytes: an ELF file's headers lie at its beginning

# uname's machine -> the ELF machines that its kernel runs (elf.h, EM_*)
_ELF_MACHINES = {"x86_64": (62, 3), "aarch64": (183, 40), "ppc64le": (21,), "s390x": (22,), "riscv64": (243,)}
_ELF = b"\x7fELF"
_ELF_PROGRAMS = (2, 3)  # ET_EXEC, ET_DYN
_PT_INTERP = 3
_PROGRAM_HEADER_SIZE, _PROGRAM_HEADERS_LIMIT = 56, 65536  # bytes


def locate(launcher: Launcher, root: Root) -> bytes:
    """Return the path at which the launcher would be exec'd."""
    return root.locate(launcher.path.encode())


def why_not_executable(launcher: Launcher, root: Root, itself: Itself) -> str | None:
    """Return why exec would fail, in the words of the dispatch's warning; None if nothing speaks against it."""
    failure = foretell_failure(launcher, root, itself)
    return failure.reason if failure else None


def foretell_failure(launcher: Launcher, root: Root, itself: Itself) -> Failure | None:
    """Return what the dispatch would be told if it exec'd a launcher; None if nothing speaks against it."""
    path = locate(launcher, root)
    if itself.is_at(path):
        return Failure(launcher, path, ITSELF)
    errno = exec_errno(path, root)
    return Failure(launcher, path, errno_text(errno), errno) if errno else None


def exec_errno(path: bytes, root: Root, depth: int = 0) -> int:
    """Return the errno of Linux's refusal to exec `path`, 0 if it would not refuse (fs/exec.c).

    Args:
        path: of the executable.
        root: where its interpreters are.
        depth: how many scripts have led to it.
    """
    errno = _why_not_open(path)
    if errno:
        return errno
    if depth > SCRIPTS_LIMIT:
        return _ELOOP
    head = read_head(path, _HEAD)
    if head.startswith(b"#!"):
        interpreter = interpreter_of(head)
        return exec_errno(root.locate_layers(interpreter), root, depth + 1) if interpreter else _ENOEXEC
    if head.startswith(_ELF):
        return _why_not_elf(head, root)
    # A file that may be exec'd but not read shows nothing: the kernel will tell.
    return _ENOEXEC if head or posix.access(path, posix.R_OK) else 0


def _why_not_open(path: bytes) -> int:
    try:
        regular = posix.stat(path).st_mode & 0o170000 == 0o100000
    except OSError as error:
        return error.errno or _EACCES
    return 0 if regular and posix.access(path, posix.X_OK) else _EACCES


def _why_not_elf(head: bytes, root: Root) -> int:
    """Check what Linux does before its point of no return (fs/binfmt_elf.c): headers, and the program's interpreter."""
    machines = _ELF_MACHINES.get(posix.uname().machine)
    order: Literal["little", "big"] = "little" if head[5:6] == b"\x01" else "big"
    kind, machine = (int.from_bytes(head[at : at + 2], order) for at in (16, 18))
    if kind not in _ELF_PROGRAMS or (machines and machine not in machines):
        return _ENOEXEC
    if head[4:5] != b"\x02":
        return 0  # a 32-bit program: its headers are laid out differently, and nobody ships a launcher as one
    start, size, count = (int.from_bytes(head[at : at + n], order) for at, n in ((32, 8), (54, 2), (56, 2)))
    end = start + size * count
    if size != _PROGRAM_HEADER_SIZE or not 0 < size * count <= _PROGRAM_HEADERS_LIMIT or len(head) < min(end, _HEAD):
        return _ENOEXEC
    for at in range(start, min(end, len(head)), size):
        if int.from_bytes(head[at : at + 4], order) == _PT_INTERP:
            offset = int.from_bytes(head[at + 8 : at + 16], order)
            interpreter = head[offset : offset + int.from_bytes(head[at + 32 : at + 40], order)].rstrip(b"\0")
            return _why_not_open(root.locate_layers(interpreter)) if interpreter else 0
    return 0
