"""A file of whole lines, of one run at a time: read as far as its last whole line, and written line by line.

Each line is out of this process before the next is begun, so that only the last one can be cut off, by a kill or a full
disk; whoever goes on with the file cuts that off, and writes it again.
"""

from __future__ import annotations

import fcntl
import os
import stat
from typing import IO, TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

LINE_LIMIT: Final = 1 << 20  # bytes; a line of JSONL for an app with a hundred buildpacks has 20 KB


class LineFileError(Exception):
    """A file is none of lines, or is in use; the text says why, without its name."""


class Takes(Protocol):
    """What takes lines."""

    def write(self, data: memoryview) -> int:
        """Take some of `data`, and say how much."""

    def close(self) -> None:
        """Take no more."""


def open_locked(path: str, mode: int, flags: int = os.O_CREAT) -> IO[bytes]:
    """Open a regular file to read it and to go on with it, for as long as it is open as the only one; unbuffered.

    Args:
        path: of it.
        mode: permission bits of a new one, less the umask.
        flags: `O_CREAT` to make it where there is none, and others.

    Raises:
        LineFileError: it is no regular file, or another run writes to it.
        OSError: it can't be opened.
    """
    # O_NONBLOCK: whatever else is there is not waited for.
    number = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK | flags, mode)
    file = open(number, "r+b", buffering=0) if stat.S_ISREG(os.fstat(number).st_mode) else None
    if file is None:
        os.close(number)
        raise LineFileError("is not a regular file")
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise LineFileError("another run is writing to it") from None
    return file


class WholeLines:
    """The whole lines of a file, in one pass.

    Attributes:
        number: of the line that was read last, from 1.
        end: where the last whole line ends.
        rest: what follows it: a line that was cut off.
    """

    def __init__(self, file: IO[bytes]) -> None:
        """Take the file, opened for reading; it stays open."""
        self._file: Final = open(file.fileno(), "rb", closefd=False)
        self.number = 0
        self.end = 0
        self.rest = b""

    def __iter__(self) -> Iterator[bytes]:
        """Give each whole line.

        Raises:
            LineFileError: one is too long.
        """
        while line := self._file.readline(LINE_LIMIT + 1):
            self.number += 1
            if len(line) > LINE_LIMIT:
                raise LineFileError(f"line {self.number} is longer than {LINE_LIMIT >> 20} MiB")
            if not line.endswith(b"\n"):
                self.rest = line
                return
            self.end += len(line)
            yield line


def write_line(file: Takes | IO[bytes], line: str) -> None:
    """Write a line, whole, to a file that is opened unbuffered."""
    view = memoryview(line.encode("utf-8", "backslashreplace") + b"\n")
    while view:
        view = view[file.write(view) :]
