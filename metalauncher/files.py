"""Read a file that may be hostile, huge, half-written or no file at all. Must not know what a file means.

Paths are bytes. Whatever goes wrong is an errno, or a size or a kind of file that is not taken.
"""

from __future__ import annotations

import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

MISSING = (2, 20)  # ENOENT, ENOTDIR
SCRIPT_HEAD = 256  # bytes that the kernel looks at for a script's interpreter
# O_NONBLOCK: a FIFO without a writer must not hold up the start of a container.
_FLAGS = posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK | posix.O_NOCTTY


class Unreadable(Exception):
    """The file gives no content, or its content no document."""

    def __init__(
        self, detail: str = "", *, errno: int | None = None, kind: int | None = None, line: int | None = None
    ) -> None:
        """Hold what is wrong.

        Args:
            detail: in words, where it is neither of the two that follow.
            errno: of the kernel's refusal.
            kind: that the file is of, `st_mode & S_IFMT`, in place of a regular one.
            line: from 1, where the parser gave one.
        """
        super().__init__(detail, errno, kind, line)
        self._detail: Final = detail
        self.errno: Final = errno
        self.kind: Final = kind
        self.line: Final = line

    def __str__(self) -> str:
        """Return what is wrong."""
        return self.detail

    @property
    def detail(self) -> str:
        """What is wrong, in words; they are loaded only now, for a start that goes on needs none."""
        if self._detail:
            return self._detail
        from metalauncher.errnos import errno_text, kind_text

        return errno_text(self.errno) if self.kind is None else f"is {kind_text(self.kind)}, not a regular file"

    @property
    def missing(self) -> bool:
        """There is no such file."""
        return self.errno in MISSING


def read_file(path: bytes, limit: int) -> bytes:
    """Read the regular file at `path`, of at most `limit` bytes.

    Raises:
        Unreadable: it is missing, not a regular file, larger than `limit`.
    """
    try:
        descriptor = open_read(path)
    except OSError as error:
        raise Unreadable(errno=error.errno) from None
    try:
        status = posix.fstat(descriptor)
        kind = status.st_mode & 0o170000
        if kind != 0o100000:
            raise Unreadable(kind=kind)
        # One byte more than there should be, so that one call shows the end of an ordinary file.
        data = posix.read(descriptor, status.st_size + 1) if status.st_size <= limit else None
        if data is not None and len(data) != status.st_size:
            data = _read_on(descriptor, data, limit)
    except OSError as error:
        raise Unreadable(errno=error.errno) from None
    finally:
        close_read(descriptor)
    if data is None:
        raise Unreadable(f"is larger than {size_text(limit)}")
    return data


def _read_on(descriptor: int, data: bytes, limit: int) -> bytes | None:
    """Read to its end a file whose size was not what `fstat` said: one that grows, or one of procfs.

    Returns None where it is larger than `limit`.
    """
    parts = [data]
    length = len(data)
    while data and length <= limit:
        data = posix.read(descriptor, 1 << 16)
        parts.append(data)
        length += len(data)
    return b"".join(parts) if length <= limit else None


def size_text(size: int) -> str:
    """Write a limit in bytes as people do: `64 KiB`, `64 MiB`."""
    return f"{size >> 20} MiB" if size >= 1 << 20 else f"{size >> 10} KiB"


def read_head(path: bytes, length: int = SCRIPT_HEAD) -> bytes:
    """Return the first `length` bytes of the file at `path`, b"" where it can't be read."""
    try:
        descriptor = open_read(path)
    except OSError:
        return b""
    try:
        return posix.read(descriptor, length)
    except OSError:
        return b""
    finally:
        close_read(descriptor)


def open_read(path: bytes) -> int:
    """Open a file for reading alone, waiting for nobody; return its descriptor.

    Raises:
        OSError: it can't be opened.
    """
    return posix.open(path, _FLAGS)


def close_read(descriptor: int) -> None:
    """Close what was only read; that a network's file system fails at it takes nothing from what was read."""
    try:
        posix.close(descriptor)
    except OSError:
        return
