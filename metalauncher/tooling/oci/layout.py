"""Read images from an OCI image layout: a directory with `oci-layout`, `index.json` and `blobs` (image-layout.md)."""

from __future__ import annotations

import os
import stat
import threading
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Final, NamedTuple

from metalauncher.errors import errno_text
from metalauncher.tooling.oci.model import (
    MANIFEST_LIMIT,
    Descriptor,
    ImageError,
    parse_descriptor,
    parse_json,
)
from metalauncher.tooling.oci.verified import Verified, read_whole, refuse_large

if TYPE_CHECKING:
    from collections.abc import Iterator

TAG: Final = "org.opencontainers.image.ref.name"


class LayoutStore:
    """One image of a layout."""

    def __init__(self, directory: str, tag: str | None) -> None:
        """Take the directory, and the image's tag; None for the only one there is."""
        self._directory: Final = directory
        self._tag: Final = tag

    def top(self) -> tuple[Descriptor, bytes]:
        """Return the manifest or index that has the tag."""
        descriptor = self._find(_index(self._directory))
        return descriptor, self.fetch(descriptor, MANIFEST_LIMIT)

    def _find(self, index: _Index) -> Descriptor:
        if self._tag is not None:
            found = index.tags.get(self._tag)
            if found is None:
                raise ImageError("absent", f"there is no tag {self._tag!r}; {_names(index)}")
            return found
        if not index.entries:
            raise ImageError("absent", "the layout holds no image")
        if len(index.entries) > 1:
            raise ImageError("absent", f"the layout holds several images: name one's tag; {_names(index)}")
        return index.entries[0]

    def fetch(self, descriptor: Descriptor, limit: int) -> bytes:
        """Return a blob's content."""
        refuse_large(descriptor, limit)
        with open_regular(self._path(descriptor)) as file:
            return read_whole(file, descriptor, limit)

    @contextmanager
    def open(self, descriptor: Descriptor) -> Iterator[IO[bytes]]:
        """Open a blob."""
        with open_regular(self._path(descriptor)) as file:
            yield Verified(file, descriptor)  # type: ignore[misc]  # a RawIOBase is read as an IO[bytes] is

    def _path(self, descriptor: Descriptor) -> str:
        algorithm, _, digest = descriptor.digest.partition(":")
        return os.path.join(self._directory, "blobs", algorithm, digest)


class _Index(NamedTuple):
    """What `index.json` lists.

    Attributes:
        entries: in its order.
        tags: those that have a tag; of several with one tag the last, which was added last.
    """

    entries: list[Descriptor]
    tags: dict[str, Descriptor]


# A layout may hold thousands of images that are read one after another: its index is not parsed for each.
_RECENT_LIMIT = 8
_recent: dict[str, tuple[tuple[int, ...], _Index]] = {}
_recent_lock = threading.Lock()


def _index(directory: str) -> _Index:
    """Return what a layout's index lists; parsed anew when the file is another one than last time."""
    file = os.path.join(directory, "index.json")
    try:
        status = os.stat(file)
    except OSError:
        read_index(directory)  # says what is wrong
        raise ImageError("damaged", "index.json came and went") from None
    state = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    with _recent_lock:
        before, index = _recent.get(directory, ((), None))
    if index is None or before != state:
        entries = read_index(directory)
        tags = [(dict(entry.annotations).get(TAG), entry) for entry in entries]
        index = _Index(entries, {tag: entry for tag, entry in tags if tag})
        with _recent_lock:
            if len(_recent) >= _RECENT_LIMIT:
                _recent.clear()
            _recent[directory] = (state, index)
    return index


def read_index(directory: str) -> list[Descriptor]:
    """Return what a layout's `index.json` lists.

    Raises:
        ImageError: it is no layout.
    """
    if not os.path.isdir(directory):
        if os.path.lexists(directory):
            raise ImageError("damaged", "is not a directory: this is no OCI layout")
        raise ImageError("absent", "there is no such directory")
    version = parse_json(_read(directory, "oci-layout"), "oci-layout").get("imageLayoutVersion")
    if not isinstance(version, str) or not version.startswith("1."):
        raise ImageError("unsupported", f"has the layout version {version!r}, not 1.0.0")
    entries = parse_json(_read(directory, "index.json"), "index.json").get("manifests")
    if not isinstance(entries, list):
        raise ImageError("damaged", "index.json lists no manifests")
    return [parse_descriptor(entry, f"image {number} of index.json") for number, entry in enumerate(entries, 1)]


def _read(directory: str, name: str) -> bytes:
    try:
        with open_regular(os.path.join(directory, name)) as file:
            data = file.read(MANIFEST_LIMIT + 1)
    except ImageError as error:
        raise ImageError(error.trouble, f"{name}: {error.reason}: this is no OCI layout") from None
    if len(data) > MANIFEST_LIMIT:
        raise ImageError("too-large", f"{name} is larger than {MANIFEST_LIMIT} bytes")
    return data


@contextmanager
def open_regular(path: str) -> Iterator[IO[bytes]]:
    """Open a regular file for reading; reading it, too, raises ImageError alone.

    Raises:
        ImageError: it is not there, no regular file, or can't be read.
    """
    try:
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ImageError("damaged", "is not a regular file")
            yield file
    except FileNotFoundError:
        raise ImageError("absent", "is not there") from None
    except PermissionError as error:
        raise ImageError("denied", errno_text(error.errno)) from None
    except OSError as error:
        raise ImageError("unreachable", errno_text(error.errno)) from None


def _names(index: _Index) -> str:
    names = sorted(index.tags)
    return f"there is {', '.join(names[:10])}{', …' if len(names) > 10 else ''}" if names else "none has a tag"
