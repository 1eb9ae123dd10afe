"""The rewritten image as others would read it, before it is written anywhere: over the store of the old one."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Final

from metalauncher.tooling.apps.patch.held import Held

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from metalauncher.tooling.apps.patch.rewriting import Rewritten
    from metalauncher.tooling.oci.model import Descriptor, Store


class PatchedStore:
    """A store of the rewritten image: what is new comes from memory, the layers that were kept from the old store."""

    def __init__(self, rewritten: Rewritten, below: Store) -> None:
        """Take the image and the old one's store."""
        blobs = (rewritten.manifest, *rewritten.blobs)
        manifest = rewritten.manifest
        self._new: Final = Held(
            {blob.descriptor.digest: blob.data for blob in blobs}, (manifest.descriptor, manifest.data)
        )
        self._below: Final = below

    def top(self) -> tuple[Descriptor, bytes]:
        """Return the new manifest."""
        return self._new.top()

    def fetch(self, descriptor: Descriptor, limit: int) -> bytes:
        """Return a blob's whole content."""
        store: Store = self._new if self._new.holds(descriptor) else self._below
        return store.fetch(descriptor, limit)

    def open(self, descriptor: Descriptor) -> AbstractContextManager[IO[bytes]]:
        """Open a blob for reading."""
        store: Store = self._new if self._new.holds(descriptor) else self._below
        return store.open(descriptor)
