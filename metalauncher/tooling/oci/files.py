"""Open files that somebody else may have put there: regular ones, without waiting for anybody."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Final, Protocol

from metalauncher.errnos import errno_text
from metalauncher.tooling import reading
from metalauncher.tooling.oci.model import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from metalauncher.tooling.oci.model import ErrorKind
    from metalauncher.tooling.oci.verified import Readable
    from metalauncher.tooling.reading import Fault

_CHUNK = 1 << 16
_KINDS: dict[Fault, ErrorKind] = {
    "absent": "absent",
    "denied": "denied",
    "irregular": "damaged",
    "large": "too-large",
    "failed": "unreachable",
}


class Files(Protocol):
    """The files of an OCI layout: those of a directory, or of an archive. All raise ImageError, and nothing else."""

    @property
    def path(self) -> str:
        """The directory, or the archive."""

    def state(self) -> tuple[int, ...]:
        """Return what is another one as soon as the layout's index is."""

    def holds(self, name: str) -> bool:
        """Tell whether there is a file of that name."""

    def open(self, name: str) -> AbstractContextManager[Readable]:
        """Open a file."""


class Folder:
    """The files below a directory."""

    def __init__(self, path: str) -> None:
        """Take the directory; it is not looked at yet."""
        self.path: Final = path

    def state(self) -> tuple[int, ...]:
        """Return what identifies `index.json` as it is.

        Raises:
            ImageError: the directory is none, or `index.json` is not there.
        """
        if not os.path.isdir(self.path):
            if os.path.lexists(self.path):
                raise ImageError("damaged", "is not a directory: this is not an OCI layout")
            raise ImageError("absent", "there is no such directory")
        try:
            status = os.stat(os.path.join(self.path, "index.json"))
        except OSError:
            return ()  # reading it says what is wrong
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns

    def holds(self, name: str) -> bool:
        """Tell whether there is a file of that name."""
        return os.path.lexists(os.path.join(self.path, name))

    @contextmanager
    def open(self, name: str) -> Iterator[Readable]:
        """Open a file.

        Raises:
            ImageError: it is not there, no regular file, or can't be read.
        """
        with open_regular(os.path.join(self.path, name)) as file:
            yield file


@contextmanager
def open_regular(path: str) -> Iterator[IO[bytes]]:
    """Open a regular file for reading; reading it, too, raises ImageError alone.

    Raises:
        ImageError: it is not there, no regular file, or can't be read.
    """
    try:
        with reading.open_regular(path) as file:
            yield file
    except reading.ReadError as error:
        reason = "is not there" if error.fault == "absent" else error.reason
        raise ImageError(_KINDS[error.fault], reason) from None
    except OSError as error:  # of reading at a place of one's own: pread
        raise ImageError("unreachable", errno_text(error.errno)) from None


def read_limited(files: Files, name: str, limit: int) -> bytes:
    """Return a file's whole content.

    Raises:
        ImageError: it can't be read, or has more than `limit` bytes.
    """
    parts: list[bytes] = []
    left = limit + 1
    with files.open(name) as file:
        while left and (data := file.read(min(left, _CHUNK))):
            parts.append(data)
            left -= len(data)
    if not left:
        raise ImageError("too-large", f"{name} is larger than {limit} bytes")
    return b"".join(parts)
