"""Pass on a blob's bytes as they are read, and say so where they turn out not to be what its descriptor says."""

from __future__ import annotations

import hashlib
import io
import sys
from typing import IO, TYPE_CHECKING, Protocol

from metalauncher.tooling.oci.model import Descriptor, ImageError

if TYPE_CHECKING:
    from typing import Final

_CHUNK = 1 << 16


class Readable(Protocol):
    """What bytes are read from."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes, none at the end."""


class Verified(io.RawIOBase):
    """A blob's bytes; reading past the last that there should be, or to an end with others, raises ImageError."""

    def __init__(self, source: Readable, descriptor: Descriptor, *, sized: bool = True) -> None:
        """Take what to read from, and what the bytes should be.

        Args:
            source: gives the bytes.
            descriptor: says what they should be.
            sized: whether their number has to be right too; False where only the digest is known.
        """
        self._source: Final = source
        self._descriptor: Final = descriptor
        self._sized: Final = sized
        self._left = descriptor.size if sized else sys.maxsize
        self._digest: Final = hashlib.new(descriptor.digest.partition(":")[0])
        self._ended = False

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed's buffer has no length
        """Fill what it can of `buffer`; 0 at the end.

        Raises:
            ImageError: the bytes are not what the descriptor says.
        """
        # Also where none are left: only a read beyond them shows that there is no more.
        data = self._source.read(max(1, min(len(buffer), self._left)))
        if len(data) > self._left:
            raise ImageError("damaged", f"is longer than the {self._descriptor.size} bytes that it should have")
        self._left -= len(data)
        self._digest.update(data)
        if not data and len(buffer) and not self._ended:
            self._check()
        buffer[: len(data)] = data
        return len(data)

    def _check(self) -> None:
        if self._left and self._sized:
            have = self._descriptor.size - self._left
            raise ImageError("damaged", f"ends after {have} of {self._descriptor.size} bytes")
        found = self._digest.hexdigest()
        if found != self._descriptor.digest.partition(":")[2]:
            raise ImageError("damaged", f"has another digest than {self._descriptor.digest}: {found}")
        self._ended = True


def read_whole(source: IO[bytes] | Readable, descriptor: Descriptor, limit: int) -> bytes:
    """Return all of a blob's bytes, which are what its descriptor says.

    Raises:
        ImageError: they are not, or there are more than `limit`.
    """
    refuse_large(descriptor, limit)
    verified = Verified(source, descriptor)
    parts = []
    while data := verified.read(_CHUNK):
        parts.append(data)
    return b"".join(parts)


def refuse_large(descriptor: Descriptor, limit: int) -> None:
    """Refuse a blob of more than `limit` bytes before any is read.

    Raises:
        ImageError: its descriptor says that it has more.
    """
    if descriptor.size > limit:
        raise ImageError("too-large", f"has {descriptor.size} bytes; {limit} are allowed")
