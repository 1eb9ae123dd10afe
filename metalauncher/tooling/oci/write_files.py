"""Write a file from a stream, and a tar archive: each is there whole or not at all. Knows no images."""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import tarfile
from typing import TYPE_CHECKING

from metalauncher.tooling.writing import TEMPORARY, sync

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from metalauncher.tooling.oci.verified import Readable

_CHUNK = 1 << 20


class _Unwritten(Exception):
    """Carries an error of writing past a reader's context, which takes every OSError for one of reading."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error)
        self.error = error


def write_stream(opened: AbstractContextManager[Readable], folder: str, path: str, made: list[str]) -> None:
    """Write all that is read as the file `path` in `folder`; it is there whole or not at all.

    Args:
        opened: gives what to read from; that, or its end, raises where the bytes are not the right ones.
        folder: for the temporary file.
        path: the file.
        made: is told of a file that was not there before.
    """
    temporary = os.path.join(folder, TEMPORARY.decode() + secrets.token_hex(8))
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            with opened as source:
                _copy(source, descriptor)
            os.fchmod(descriptor, 0o644)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        new = not os.path.lexists(path)
        os.rename(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, _Unwritten):
            raise error.error from None
        raise
    if new:
        made.append(path)


def _copy(source: Readable, descriptor: int) -> None:
    while data := source.read(_CHUNK):
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(descriptor, view) :]
        except OSError as error:
            raise _Unwritten(error) from error


@contextlib.contextmanager
def whole_tar(file: str) -> Iterator[tuple[tarfile.TarFile, str]]:
    """Give an archive to write to, and a name beside it for a scratch file; at the block's end it lies at its place.

    Args:
        file: the archive's path, replaced if it is there.

    Raises:
        OSError: it can't be written. What is at its place is as before, also where the block raises.
    """
    folder = os.path.dirname(os.path.abspath(file))
    temporary = os.path.join(folder, TEMPORARY.decode() + secrets.token_hex(8))
    try:
        with tarfile.open(temporary, "x", format=tarfile.USTAR_FORMAT) as archive:
            yield archive, f"{temporary}-scratch"
        os.chmod(temporary, 0o644)
        descriptor = os.open(temporary, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(temporary, file)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    sync(os.fsencode(folder))


def append(archive: tarfile.TarFile, name: str, size: int, source: Readable) -> None:
    """Append a file of `size` bytes. Whatever the machine and the hour, its header is the same."""
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0o644
    archive.addfile(info, source)  # type: ignore[arg-type]  # it is only read


def append_bytes(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    """Append a file with this content."""
    append(archive, name, len(data), io.BytesIO(data))
