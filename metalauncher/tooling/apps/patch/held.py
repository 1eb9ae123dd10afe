"""Blobs that are held in memory, as a store that others read them from."""

from __future__ import annotations

import io
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Final

from metalauncher.tooling.oci.model import Descriptor, ImageError
from metalauncher.tooling.oci.verified import Verified, read_whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Held:
    """A store of blobs in memory, every byte checked as from any other."""

    def __init__(self, blobs: Mapping[str, bytes], top: tuple[Descriptor, bytes] | None = None) -> None:
        """Take what is there.

        Args:
            blobs: by their digests.
            top: the manifest that stands for the image; None for none.
        """
        self._blobs: Final = blobs
        self._top: Final = top

    def holds(self, descriptor: Descriptor) -> bool:
        """Tell whether a blob is there."""
        return descriptor.digest in self._blobs

    def top(self) -> tuple[Descriptor, bytes]:
        """Return the manifest.

        Raises:
            ImageError: there is none.
        """
        if self._top is None:
            raise ImageError("absent", "there is no manifest")
        return self._top

    def fetch(self, descriptor: Descriptor, limit: int) -> bytes:
        """Return a blob's whole content.

        Raises:
            ImageError: it is not there, larger than the limit, or not what its descriptor says.
        """
        return read_whole(io.BytesIO(self._get(descriptor)), descriptor, limit)

    @contextmanager
    def open(self, descriptor: Descriptor) -> Iterator[IO[bytes]]:
        """Open a blob for reading.

        Raises:
            ImageError: it is not there; from `read`: it is not what its descriptor says.
        """
        yield Verified(io.BytesIO(self._get(descriptor)), descriptor)  # type: ignore[misc]  # read as an IO[bytes] is

    def _get(self, descriptor: Descriptor) -> bytes:
        data = self._blobs.get(descriptor.digest)
        if data is None:
            raise ImageError("absent", f"there is no blob {descriptor.digest}")
        return data
