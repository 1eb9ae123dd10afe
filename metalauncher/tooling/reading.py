"""Read files that somebody else may have put there: regular ones alone, as far as a limit, and waiting for nobody.

What the tooling reads and a dispatch does not goes through here, so that no FIFO, device, link or endless file in a
file's place can hold up a command or fill its memory; tests/tooling/test_regular_files.py lists what is excepted, each
with its reason.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Final, Literal

from metalauncher.errnos import errno_text
from metalauncher.files import size_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    # absent: there is none of that name. denied: it may not be read. irregular: it is a directory, a FIFO, a device, a
    # socket, or a link where links are not followed. large: it has more bytes than the limit. failed: all else.
    Fault = Literal["absent", "denied", "irregular", "large", "failed"]

_CHUNK = 1 << 16
_FAULTS: dict[int, Fault] = {
    errno.ENOENT: "absent",
    errno.ENOTDIR: "absent",
    errno.EACCES: "denied",
    errno.EPERM: "denied",
}


class ReadError(Exception):
    """A file can't be read.

    Attributes:
        fault: of which kind the reason is.
        reason: in a few words, without the file's name.
    """

    def __init__(self, fault: Fault, reason: str) -> None:
        """Hold the reason."""
        super().__init__(fault, reason)
        self.fault: Final = fault
        self.reason: Final = reason

    def __str__(self) -> str:
        """Return the reason."""
        return self.reason


def read_regular(path: str | bytes, limit: int, *, follow: bool = True) -> bytes:
    """Return the whole content of a regular file.

    Args:
        path: of it.
        limit: the most bytes that it may have.
        follow: a link leads to the file; False: a link is none.

    Raises:
        ReadError: it is not there, no regular file, larger than the limit, or can't be read.
    """
    with open_regular(path, follow=follow) as file:
        return _read_to_end(file, limit)


def read_named(path: str, limit: int) -> bytes:
    """Return the whole content of what a user named, which may be a pipe: `--sha256 <(curl ...)`. That is waited for.

    Raises:
        ReadError: it is not there, larger than the limit, or can't be read.
    """
    with open_named(path) as file:
        return _read_to_end(file, limit)


def open_regular(path: str | bytes, *, follow: bool = True) -> AbstractContextManager[IO[bytes]]:
    """Open a regular file for reading in parts, for what is too large to be held; the reader keeps its own limit.

    Args:
        path: of it.
        follow: a link leads to the file; False: a link is none.

    Raises:
        ReadError: it is not there, no regular file, or can't be read: when it is opened, and when it is read.
    """
    # O_NONBLOCK: a FIFO without a writer is opened at once, and then refused.
    return _open(path, os.O_NONBLOCK if follow else os.O_NONBLOCK | os.O_NOFOLLOW, regular=True)


def open_named(path: str) -> AbstractContextManager[IO[bytes]]:
    """Open what a user named, which may be a pipe, for reading in parts; the reader keeps its own limit.

    Raises:
        ReadError: it is not there, or can't be read: when it is opened, and when it is read.
    """
    return _open(path, 0, regular=False)


@contextmanager
def _open(path: str | bytes, flags: int, *, regular: bool) -> Iterator[IO[bytes]]:
    try:
        # O_NOCTTY: a terminal does not become ours.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | flags)
    except ValueError:  # a NUL, or what can't be encoded
        raise ReadError("absent", "no file can have such a name") from None
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket
            raise ReadError("irregular", "is not a regular file") from None
        if error.errno == errno.ELOOP and flags & os.O_NOFOLLOW:
            raise ReadError("irregular", "is a link, which is not followed here") from None
        raise _failed(error) from None
    try:
        # Of what was opened, and not of its name, in whose place something else may lie by now.
        kind = stat.S_IFMT(os.fstat(descriptor).st_mode)
        if kind == stat.S_IFDIR:
            raise ReadError("irregular", errno_text(errno.EISDIR))
        if kind != stat.S_IFREG and regular:
            raise ReadError("irregular", "is not a regular file")
        with io.BufferedReader(_File(descriptor, closefd=False)) as file:
            yield file
    finally:
        os.close(descriptor)


def _read_to_end(file: IO[bytes], limit: int) -> bytes:
    """Read to the end, whatever the size was said to be: the file may be growing, and those of procfs say 0."""
    parts: list[bytes] = []
    left = limit + 1
    while left and (data := file.read(min(left, _CHUNK))):
        parts.append(data)
        left -= len(data)
    if not left:
        raise ReadError("large", f"is larger than {size_text(limit)}")
    return b"".join(parts)


class _File(io.FileIO):
    """An open file whose reading raises ReadError alone."""

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed's buffer is any
        """Fill what it can of `buffer`; 0 at the end."""
        try:
            length = super().readinto(buffer)
        except OSError as error:
            raise _failed(error) from None
        if length is None:  # of procfs, with nothing to say yet: /proc/kmsg
            raise ReadError("failed", errno_text(errno.EAGAIN))
        return length

    def readall(self) -> bytes:
        """Refuse: whoever reads a file says how much of it at most."""
        raise AssertionError("a file is read without a limit")


def _failed(error: OSError) -> ReadError:
    return ReadError(_FAULTS.get(error.errno or 0, "failed"), errno_text(error.errno))
