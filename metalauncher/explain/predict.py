"""Foretell whether exec'ing a launcher would fail, as the kernel would see it. Runs nothing; not on the hot path."""

from __future__ import annotations

import posix

from metalauncher.errnos import errno_text
from metalauncher.execute import ITSELF, SCRIPTS_LIMIT, Failure, interpreter_of
from metalauncher.explain.elf import HEADER_SIZE, INTERPRETER, MACHINES, MAGIC, PROGRAMS, Elf
from metalauncher.files import read_head

TYPE_CHECKING = False
if TYPE_CHECKING:
    from metalauncher.descriptor import Launcher
    from metalauncher.execute import Itself
    from metalauncher.places import Root

_ENOEXEC, _EACCES, _ELOOP = 8, 13, 40
_HEAD = 4096  # bytes: an ELF file's headers lie at its beginning

# uname's machine -> the ELF machines that its kernel runs (elf.h, EM_*)
_PROGRAM_HEADERS_LIMIT = 65536  # bytes


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
    if head.startswith(MAGIC):
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
    machines = MACHINES.get(posix.uname().machine)
    elf = Elf(head)
    if elf.kind not in PROGRAMS or (machines and elf.machine not in machines):
        return _ENOEXEC
    if not elf.wide:
        return 0  # a 32-bit program: its headers are laid out differently, and nobody ships a launcher as one
    table = elf.entry_size * elf.entries
    if (
        elf.entry_size != HEADER_SIZE
        or not 0 < table <= _PROGRAM_HEADERS_LIMIT
        or len(head) < min(elf.start + table, _HEAD)
    ):
        return _ENOEXEC
    for kind, offset, length, _ in elf.segments():
        if kind == INTERPRETER:
            interpreter = head[offset : offset + length].partition(b"\0")[0]
            return _why_not_open(root.locate_layers(interpreter)) if interpreter else 0
    return 0
