"""Write a file from a stream, and a tar archive: each is there whole or not at all. Knows no images."""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
from typing import TYPE_CHECKING

from metalauncher.tooling.writing import sync, temporary_name, whole_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from typing import BinaryIO

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
    new = not os.path.lexists(path)
    try:
        with whole_file(os.fsencode(folder), os.fsencode(os.path.basename(path)), 0o644) as file, opened as source:
            _copy(source, file)
    except _Unwritten as error:
        raise error.error from None
    if new:
        made.append(path)


def _copy(source: Readable, file: BinaryIO) -> None:
    while data := source.read(_CHUNK):
        view = memoryview(data)
        try:
            while view:  # not into a buffer, whose error would come too late to be told from one of reading
                view = view[os.write(file.fileno(), view) :]
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
    folder, name = os.path.split(os.path.abspath(os.fsencode(file)))
    with (
        whole_file(folder, name, 0o644) as written,
        tarfile.open(fileobj=written, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        yield archive, os.fsdecode(temporary_name(folder))
    sync(folder)


def append(archive: tarfile.TarFile, name: str, size: int, source: Readable) -> None:
    """Append a file of `size` bytes. Whatever the machine and the hour, its header is the same."""
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0o644
    archive.addfile(info, source)  # type: ignore[arg-type]  # it is only read


def append_bytes(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    """Append a file with this content."""
    append(archive, name, len(data), io.BytesIO(data))
