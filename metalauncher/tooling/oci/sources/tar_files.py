"""The files of a tar archive that holds images, read in place. Nothing is unpacked, and nothing is trusted."""

from __future__ import annotations

import io
import os
import posixpath
import threading
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Final, NamedTuple

from metalauncher.tooling.console import decode
from metalauncher.tooling.oci.compression import HEAD, compression_of
from metalauncher.tooling.oci.files import open_regular
from metalauncher.tooling.oci.model import ImageError
from metalauncher.tooling.oci.tar_header import TarError
from metalauncher.tooling.oci.tar_reader import TarReader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from metalauncher.tooling.oci.verified import Readable

_MEMBERS_LIMIT = 20_000
_LINKS_LIMIT = 8
_FILES, _LINK = (b"0", b"7"), b"2"
_DECOMPRESS = {"gzip": "gunzip", "zstd": "unzstd", "xz": "unxz", "bzip2": "bunzip2", "lz4": "unlz4"}


class _Part(NamedTuple):
    """Where a member's content lies in the archive; a link's has a target instead."""

    offset: int
    size: int
    target: str


class TarFiles:
    """The files of one archive."""

    def __init__(self, path: str) -> None:
        """Take the archive; it is not looked at yet."""
        self.path: Final = path

    def state(self) -> tuple[int, ...]:
        """Return what is another as soon as the archive is.

        Raises:
            ImageError: it is not there, or no regular file.
        """
        with open_regular(self.path) as file:
            status = os.fstat(file.fileno())
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns

    def holds(self, name: str) -> bool:
        """Tell whether there is a file of that name.

        Raises:
            ImageError: the archive is none, or can't be read.
        """
        return posixpath.normpath(name) in self._parts()

    def size(self, name: str) -> int:
        """Return how many bytes a file has.

        Raises:
            ImageError: it is not there.
        """
        return self._part(name).size

    @contextmanager
    def open(self, name: str) -> Iterator[Readable]:
        """Open a file.

        Raises:
            ImageError: it is not there, or can't be read.
        """
        part = self._part(name)
        with open_regular(self.path) as file:
            yield _Slice(file, part)

    def _part(self, name: str) -> _Part:
        parts = self._parts()
        for _ in range(_LINKS_LIMIT):
            part = parts.get(posixpath.normpath(name))
            if part is None:
                raise ImageError("absent", f"holds no {name!r}")
            if not part.target:
                return part
            name = posixpath.join(posixpath.dirname(name), part.target)  # as Docker linked equal layers
        raise ImageError("damaged", f"holds a loop of links at {name!r}")

    def _parts(self) -> dict[str, _Part]:
        """Return the archive's table of contents; read anew when the archive is another one than last time."""
        state = self.state()
        with _recent_lock:
            before, parts = _recent.get(self.path, ((), {}))
        if before != state:
            parts = _read_parts(self.path)
            with _recent_lock:
                if len(_recent) >= _RECENT_LIMIT:
                    _recent.clear()
                _recent[self.path] = (state, parts)
        return parts


# An archive may hold many images that are read one after another.
_RECENT_LIMIT = 8
_recent: dict[str, tuple[tuple[int, ...], dict[str, _Part]]] = {}
_recent_lock = threading.Lock()


class _Slice(io.RawIOBase):
    """A part of a file, read at its own position."""

    def __init__(self, file: IO[bytes], part: _Part) -> None:
        self._descriptor: Final = file.fileno()
        self._next = part.offset
        self._end: Final = part.offset + part.size

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed's buffer has no length
        """Fill what it can of `buffer`; 0 at the end."""
        data = os.pread(self._descriptor, min(len(buffer), self._end - self._next), self._next)
        self._next += len(data)
        buffer[: len(data)] = data
        return len(data)


def _read_parts(path: str) -> dict[str, _Part]:
    """Return where each member of the archive is; of several with one name the last, as an unpacker would leave it."""
    parts: dict[str, _Part] = {}
    number = 0
    with open_regular(path) as file:
        compression = compression_of(os.pread(file.fileno(), HEAD, 0))
        if compression:
            program = _DECOMPRESS[compression]
            raise ImageError("unsupported", f"is compressed with {compression}: {program} -c {path} > {path}.tar")
        try:
            for number, header in enumerate(TarReader(file), 1):
                if number > _MEMBERS_LIMIT:
                    raise ImageError("too-large", f"has more than {_MEMBERS_LIMIT} members")
                if header.kind in _FILES and not header.sparse:
                    parts[_name(header.name)] = _Part(file.tell(), header.size, "")
                elif header.kind == _LINK:
                    parts[_name(header.name)] = _Part(0, 0, decode(header.target))
        except (TarError, OSError) as error:
            raise ImageError("damaged", f"is not a tar archive: {error}") from None
    if not number:
        raise ImageError("damaged", "is not a tar archive: it is empty")
    return parts


def _name(name: bytes) -> str:
    return posixpath.normpath(decode(name))
