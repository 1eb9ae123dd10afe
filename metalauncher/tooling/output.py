"""Where findings go: standard output, or the file that `--output` names, written whole or not at all.

What is no regular file (a FIFO, a terminal, /dev/null) can't be replaced: it is written to as standard output is.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
import tempfile
from typing import TYPE_CHECKING, Final, Protocol

from metalauncher.errors import errno_text
from metalauncher.terminal import BROKEN_PIPE_ERRNO, Unwritten, print_bytes, write_bytes
from metalauncher.tooling.writing import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator

STDOUT_NAME: Final = "-"
_IN_MEMORY = 1 << 20  # bytes, beyond which findings wait in an unnamed file
_MODE = 0o644


class Unwritable(Exception):
    """The file can't be written."""

    def __init__(self, name: str, reason: str) -> None:
        """Hold which, and why."""
        super().__init__(f"--output: {name!r}: {reason}")
        self.need: Final = "a file in a directory that can be written"
        self.command: Final = f"ls -ld {shlex.quote(os.path.dirname(name) or '.')}"


class Output(Protocol):
    """What takes findings."""

    def write(self, data: bytes) -> None:
        """Take all of `data`."""


class _Stdout:
    def write(self, data: bytes) -> None:
        print_bytes(data)


STDOUT: Final[Output] = _Stdout()


@contextlib.contextmanager
def open_output(name: str | None) -> Iterator[Output]:
    """Give where a command's findings go. A file appears when the block ends; not where it ends by an exception.

    Args:
        name: the file; None and `-` for standard output.

    Raises:
        Unwritable: it can't be written. Where that can be seen beforehand it is raised before the block: that is to be
            said before an hour's work, not after it.
        Unwritten: nobody reads the pipe any more that it is.
    """
    if name is None or name == STDOUT_NAME:
        yield STDOUT
        return
    path = os.fsencode(name)
    try:
        special, place = _look(path)
    except OSError as error:
        raise Unwritable(name, errno_text(error.errno)) from None
    if special:
        with _special(name, path) as output:
            yield output
        return
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as waiting:
        yield _Waiting(waiting)
        waiting.seek(0)
        try:
            directory, last = os.path.split(place)
            write_whole(directory, last, iter(lambda: waiting.read(_IN_MEMORY), b""), _MODE)
        except OSError as error:
            raise Unwritable(name, errno_text(error.errno)) from None


def _look(path: bytes) -> tuple[bool, bytes]:
    """Return whether something other than a regular file is there, and else the place to write, links followed.

    Raises:
        OSError: nothing can be written there.
    """
    if not os.path.basename(path):
        raise IsADirectoryError(21, "")
    try:
        kind = stat.S_IFMT(os.stat(path).st_mode)
    except FileNotFoundError:
        kind = 0
    if kind == stat.S_IFDIR:
        raise IsADirectoryError(21, "")
    if kind not in (0, stat.S_IFREG):
        return True, path
    if kind and os.path.islink(path):
        # Whether that link may be followed is the kernel's to say: in /tmp it may be somebody else's.
        os.close(os.open(path, os.O_WRONLY | os.O_CLOEXEC))
    place = os.path.realpath(path)
    directory = os.path.dirname(place)
    os.stat(directory)
    if not os.access(directory, os.W_OK | os.X_OK):
        raise PermissionError(13, "")
    return False, place


@contextlib.contextmanager
def _special(name: str, path: bytes) -> Iterator[Output]:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as error:
        raise Unwritable(name, errno_text(error.errno)) from None
    try:
        yield _Special(name, descriptor)
    finally:
        os.close(descriptor)


class _Special:
    def __init__(self, name: str, descriptor: int) -> None:
        self._name: Final = name
        self._descriptor: Final = descriptor

    def write(self, data: bytes) -> None:
        errno = write_bytes(self._descriptor, data)
        if errno == BROKEN_PIPE_ERRNO:
            raise Unwritten(errno)
        if errno:
            raise Unwritable(self._name, errno_text(errno))


class _Waiting:
    def __init__(self, file: tempfile.SpooledTemporaryFile[bytes]) -> None:
        self._file: Final = file

    def write(self, data: bytes) -> None:
        self._file.write(data)
