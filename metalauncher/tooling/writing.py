"""Write files whole or not at all, so that no crash leaves half of one under its name.

A temporary file in the same directory, fsync, rename, fsync of the directory: rename(2) is atomic within one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import BinaryIO

# Begins with a dot, so that the registry passes over it, and is recognised by `lint` and by the next `bundle add`.
TEMPORARY = b".metalauncher-tmp-"


def write_whole(
    directory: bytes, name: bytes, data: bytes | Iterable[bytes], mode: int, owner: tuple[int, int] | None = None
) -> None:
    """Write `data`, in one or in pieces, as `directory/name`, with exactly `mode`, in place of what is there.

    Args:
        directory: it is there.
        name: of the file.
        data: all that it is to hold.
        mode: permission bits.
        owner: user and group, as far as the process may give files away; None for its own.

    Raises:
        OSError: what was there is as before; or, where the disk can't be told to keep it, all of the new is there.
    """
    with whole_file(directory, name, mode, owner) as file:
        for piece in (data,) if isinstance(data, bytes) else data:
            file.write(piece)
    sync(directory)


@contextlib.contextmanager
def whole_file(directory: bytes, name: bytes, mode: int, owner: tuple[int, int] | None = None) -> Iterator[BinaryIO]:
    """Give a file to write to; where the block ends without an exception, it is `directory/name`, on the disk.

    That it has this name is to last over a crash only after `sync` of the directory.

    Args:
        directory: it is there.
        name: of the file.
        mode: permission bits, whatever the umask.
        owner: user and group, as far as the process may give files away; None for its own.

    Raises:
        OSError: it can't be written; what was there is as before.
    """
    temporary = temporary_name(directory)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    file = open(descriptor, "wb")
    try:
        yield file
        file.flush()
        if owner is not None:
            with contextlib.suppress(PermissionError):
                os.fchown(descriptor, *owner)
        os.fchmod(descriptor, mode)
        os.fsync(descriptor)
        file.close()
        os.rename(temporary, directory + b"/" + name)
    except BaseException as error:
        with contextlib.suppress(OSError):  # what is still in its buffer
            file.close()
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        # A full disk names no file; and the temporary one is nobody's concern.
        if isinstance(error, OSError) and error.filename in (None, temporary):
            error.filename, error.filename2 = os.fsdecode(directory + b"/" + name), None
        raise


def temporary_name(directory: bytes) -> bytes:
    """Return a name in the directory that nobody has, and that `leftovers` knows."""
    return directory + b"/" + TEMPORARY + secrets.token_hex(8).encode()


def sync(directory: bytes) -> None:
    """Make the directory's entries last over a crash of the machine."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directories(path: bytes) -> list[bytes]:
    """Make `path` and what is missing above it, with mode 0755; return those made, outermost first."""
    made: list[bytes] = []
    missing: list[bytes] = []
    path = os.path.abspath(path)
    while not os.path.isdir(path) and path != os.path.dirname(path):
        missing.append(path)
        path = os.path.dirname(path)
    for directory in reversed(missing):
        os.mkdir(directory)
        made.append(directory)
        os.chmod(directory, 0o755)  # noqa: S103  # whatever the umask: every user of the container is to read it
        sync(os.path.dirname(directory))
    return made


@contextlib.contextmanager
def undo_directories() -> Iterator[Callable[[bytes], None]]:
    """Give a `make_directories` whose directories are taken away again if what follows fails."""
    made: list[bytes] = []
    try:
        yield lambda path: made.extend(make_directories(path))
    except BaseException:
        for directory in reversed(made):
            with contextlib.suppress(OSError):  # not empty: somebody else's
                os.rmdir(directory)
        raise


@contextlib.contextmanager
def lock(directory: bytes, waiting: Callable[[], None]) -> Iterator[None]:
    """Be the only one that changes what is under `directory`; the lock ends with the process, however it ends.

    Args:
        directory: an existing one; no file is made for the lock.
        waiting: called if somebody else has it.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def leftovers(*directories: bytes) -> list[bytes]:
    """Return the temporary files under the directories that an interrupted run left, sorted."""
    return sorted(
        [
            folder + b"/" + name
            for directory in directories
            for folder, _, names in os.walk(directory)
            for name in names
            if name.startswith(TEMPORARY)
        ]
    )
