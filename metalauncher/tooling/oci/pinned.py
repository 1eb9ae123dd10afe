"""A store that is asked only once what its reference names: a tag may be moved while several images of it are read."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Final

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from metalauncher.tooling.oci.model import Descriptor, Store


class PinnedStore:
    """What a reference named when it was first asked. For one thread at a time until then, for several afterwards."""

    def __init__(self, store: Store) -> None:
        """Take the store; nothing is asked yet."""
        self._store: Final = store
        self._top: tuple[Descriptor, bytes] | None = None

    def top(self) -> tuple[Descriptor, bytes]:
        """Return the manifest or index that the reference named."""
        if self._top is None:
            self._top = self._store.top()
        return self._top

    def fetch(self, descriptor: Descriptor, limit: int) -> bytes:
        """Return a blob's content."""
        return self._store.fetch(descriptor, limit)

    def open(self, descriptor: Descriptor) -> AbstractContextManager[IO[bytes]]:
        """Open a blob."""
        return self._store.open(descriptor)
