"""Where findings go: standard output, or the file that `--output` names, written whole or not at all.

What is no regular file (a FIFO, a terminal, /dev/null) can't be replaced: it is written to as standard output is. So is
a file that is open already, under a name like /dev/stdout: whoever opened it counts on that very file.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
import tempfile
from typing import TYPE_CHECKING, Final, Protocol

from metalauncher.errnos import errno_text
from metalauncher.explain.terminal import BROKEN_PIPE_ERRNO, Unwritten, print_bytes, write_bytes
from metalauncher.tooling.writing import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator

STDOUT_NAME: Final = "-"
_IN_MEMORY = 1 << 20  # bytes, beyond which findings wait in an unnamed file
_MODE = 0o666  # less the umask
_LINKS_LIMIT = 40  # as the kernel's


class Unwritable(Exception):
    """The file can't be written."""

    def __init__(self, name: str, reason: str, place: str = "") -> None:
        """Hold which, and why, and the directory to look at if it is not the file's own."""
        super().__init__(f"--output: {name!r}: {reason}" if name else "--output: no file is named")
        self.need: Final = (
            f"room in {place}, or another TMPDIR" if place else "a file in a directory that can be written"
        )
        self.command: Final = (
            f"df {shlex.quote(place)}" if place else f"ls -ld {shlex.quote(os.path.dirname(name) or '.')}"
        )


class Output(Protocol):
    """What takes findings."""

    def write(self, data: bytes) -> None:
        """Take all of `data`."""


class _Stdout:
    def write(self, data: bytes) -> None:
        print_bytes(data)


STDOUT: Final[Output] = _Stdout()


def regular_place(name: str | None) -> str | None:
    """Return the path of the file that `open_output` replaces or makes, links followed; None where it does neither.

    Args:
        name: as `open_output` is given it.

    Raises:
        Unwritable: it can't be written.
    """
    if name is None or name == STDOUT_NAME:
        return None
    there, place, number = _looked_up(name)
    return os.fsdecode(place) if _is_replaced(there, number) else None


@contextlib.contextmanager
def open_output(name: str | None, mode: int | None = None) -> Iterator[Output]:
    """Give where a command's findings go. A file appears when the block ends; not where it ends by an exception.

    Args:
        name: the file; None and `-` for standard output.
        mode: permission bits of a file that is not there yet; None for what a shell's `>` gives it.

    Raises:
        Unwritable: it can't be written. Where that can be seen beforehand it is raised before the block: that is to be
            said before an hour's work, not after it.
        Unwritten: nobody reads the pipe any more that it is.
    """
    if name is None or name == STDOUT_NAME:
        yield STDOUT
        return
    there, place, number = _looked_up(name)
    if not _is_replaced(there, number):
        with _special(name, os.fsencode(name), number) as output:
            yield output
        return
    with contextlib.closing(_Waiting(name)) as waiting:
        yield waiting
        pieces = waiting.read()
        try:
            directory, last = os.path.split(place)
            write_whole(directory, last, pieces, *_whose(there, mode))
        except OSError as error:
            raise Unwritable(name, errno_text(error.errno)) from None


def _looked_up(name: str) -> tuple[os.stat_result | None, bytes, int | None]:
    """Return what is there, the place to write, and the number of the open file that it is."""
    path = os.fsencode(name)
    try:
        there, place = _look(path)
        return there, place, _own_descriptor(path) if there is not None else None
    except OSError as error:
        raise Unwritable(name, errno_text(error.errno)) from None


def _is_replaced(there: os.stat_result | None, number: int | None) -> bool:
    return number is None and (there is None or stat.S_ISREG(there.st_mode))


def _look(path: bytes) -> tuple[os.stat_result | None, bytes]:
    """Return what is there, None for nothing, and the place to write, links followed.

    Raises:
        OSError: nothing can be written there.
    """
    if not os.path.basename(path):
        raise IsADirectoryError(21, "")
    try:
        there = os.stat(path)
    except FileNotFoundError:
        there = None
    if there is not None and stat.S_ISDIR(there.st_mode):
        raise IsADirectoryError(21, "")
    if there is not None and not stat.S_ISREG(there.st_mode):
        return there, path
    if there is not None and os.path.islink(path):
        # Whether that link may be followed is the kernel's to say: in /tmp it may be somebody else's.
        os.close(os.open(path, os.O_WRONLY | os.O_CLOEXEC))
    place = os.path.realpath(path)
    directory = os.path.dirname(place)
    os.stat(directory)
    if not os.access(directory, os.W_OK | os.X_OK):
        raise PermissionError(13, "")
    return there, place


def _own_descriptor(path: bytes) -> int | None:
    """Return the number of this process's open file that `path` is a name of: /dev/stdout, /dev/fd/3, links to such."""
    own = {os.path.realpath(folder) for folder in (b"/proc/self/fd", b"/proc/thread-self/fd")}
    for _ in range(_LINKS_LIMIT):
        directory, name = os.path.split(path)
        if name.isdigit() and os.path.realpath(directory) in own:
            return int(name)
        if not os.path.islink(path):
            return None
        path = os.path.join(directory, os.readlink(path))
    return None


def _whose(there: os.stat_result | None, mode: int | None) -> tuple[int, tuple[int, int] | None]:
    """Return the mode and the owner of the file that is written: as a shell's `>` leaves or makes them."""
    if there is not None:
        return there.st_mode & 0o777, (there.st_uid, there.st_gid)
    if mode is not None:
        return mode, None
    mask = os.umask(0o077)
    os.umask(mask)
    return _MODE & ~mask, None


@contextlib.contextmanager
def _special(name: str, path: bytes, number: int | None) -> Iterator[Output]:
    try:
        # Opened anew, a file that is open already would be written from its beginning.
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOCTTY) if number is None else os.dup(number)
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
    """Keeps findings until they are complete, in memory or in an unnamed file."""

    def __init__(self, name: str) -> None:
        self._name: Final = name
        self._file: Final = tempfile.SpooledTemporaryFile(_IN_MEMORY)

    def write(self, data: bytes) -> None:
        with self._unwritable():
            self._file.write(data)

    def read(self) -> Iterator[bytes]:
        with self._unwritable():  # what is still in a buffer
            self._file.seek(0)
        return iter(lambda: self._file.read(_IN_MEMORY), b"")

    def close(self) -> None:
        with contextlib.suppress(OSError):  # what could not be written can't be now
            self._file.close()

    @contextlib.contextmanager
    def _unwritable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            # That there is a place for it was seen before; its disk may be full by now.
            place = tempfile.gettempdir()
            raise Unwritable(self._name, f"{errno_text(error.errno)} in {place}, where it waits", place) from None
