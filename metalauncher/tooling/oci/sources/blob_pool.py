"""Fetch each blob once in a run, however many images share it, and not at all where an earlier run left it on disk."""

from __future__ import annotations

import contextlib
import io
import threading
from typing import IO, TYPE_CHECKING, Final

from metalauncher.tooling.oci.media_types import manifest_type
from metalauncher.tooling.oci.model import (
    MANIFEST_LIMIT,
    Descriptor,
    ImageError,
)
from metalauncher.tooling.oci.verified import refuse_large

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from metalauncher.tooling.oci.model import Store
    from metalauncher.tooling.oci.sources.cache import BlobCache

RECENT_LIMIT: Final = 16 << 20  # bytes of what is held in memory
WHOLE_LIMIT: Final = 1 << 20  # bytes of a blob that is held in memory, also by who opens it
KEPT_LIMIT: Final = 64 << 20  # bytes of a blob that is put on disk; what is larger streams by, each time it is opened
_CHUNK = 1 << 16


class _Turn:
    """Who fetches a blob, how many wait for it, and what they are told where it can't be had."""

    __slots__ = ("failure", "lock", "number")

    def __init__(self) -> None:
        self.lock: Final = threading.Lock()
        self.number = 0
        self.failure: ImageError | None = None


class Blobs:
    """The blobs of one run, shared by all its stores and threads."""

    def __init__(self, disk: BlobCache | None) -> None:
        """Take where blobs are kept beyond the run; None: nowhere."""
        self.disk: Final = disk
        self._recent: Final[dict[str, bytes]] = {}  # in the order of their last use
        self._size = 0
        self._turns: Final[dict[tuple[str, str], _Turn]] = {}
        self._lock: Final = threading.Lock()

    def find(self, descriptor: Descriptor) -> bytes | None:
        """Return a blob's content if it is here."""
        with self._lock:
            data = self._recent.pop(descriptor.digest, None)
            if data is not None:
                self._recent[descriptor.digest] = data
        if data is None and self.disk is not None:
            data = self.disk.read(descriptor)
            if data is not None:
                self._remember(descriptor.digest, data)
        # One digest, two sizes: the other descriptor lies, and is answered by its own store.
        return data if data is not None and len(data) == descriptor.size else None

    def keep(self, descriptor: Descriptor, data: bytes) -> None:
        """Keep a blob's content, which is what its descriptor says."""
        self._remember(descriptor.digest, data)
        if self.disk is not None:
            self.disk.write(descriptor, [data])

    def _remember(self, digest: str, data: bytes) -> None:
        if len(data) > WHOLE_LIMIT:
            return
        with self._lock:
            self._size += len(data) - len(self._recent.pop(digest, b""))
            self._recent[digest] = data
            while self._size > RECENT_LIMIT:
                self._size -= len(self._recent.pop(next(iter(self._recent))))

    @contextlib.contextmanager
    def turn(self, origin: str, digest: str) -> Iterator[None]:
        """Be the only one that fetches a blob from a place.

        Raises:
            ImageError: whoever was at it meanwhile got no answer, so that there is no use in asking again at once.
        """
        key = origin, digest
        with self._lock:
            turn = self._turns.setdefault(key, _Turn())
            turn.number += 1
        try:
            with turn.lock:
                if turn.failure is not None:
                    raise ImageError(turn.failure.kind, turn.failure.reason)
                try:
                    yield
                except ImageError as error:
                    if error.kind == "unreachable":  # others concern one repository, and are told by each
                        turn.failure = error
                    raise
        finally:
            with self._lock:
                turn.number -= 1
                if not turn.number:
                    del self._turns[key]


class SharingStore:
    """A store whose blobs are taken from those of the run where they are there."""

    def __init__(self, store: Store, blobs: Blobs, origin: str, digest: str = "", assumed: str = "") -> None:
        """Take what to share.

        Args:
            store: where the image is.
            blobs: of the run.
            origin: who has it, for instance the registry's host.
            digest: of the manifest, where the image's name has it: it then need not be asked for. A tag always is.
            assumed: the tag that is asked for where the name has none; "" where it has one, or a digest.
        """
        self._store: Final = store
        self._blobs: Final = blobs
        self._origin: Final = origin
        self._digest: Final = digest
        self._assumed: Final = assumed

    def top(self) -> tuple[Descriptor, bytes]:
        """Return the manifest or index that the reference names."""
        if self._digest and (found := self._find_top()):
            return found
        try:
            descriptor, data = self._store.top()
        except ImageError as error:
            if self._assumed and error.kind == "absent":
                text = f"{error.reason} (the name has no tag: {self._assumed!r} was asked for)"
                raise ImageError("absent", text) from None
            raise
        self._blobs.keep(descriptor, data)
        return descriptor, data

    def _find_top(self) -> tuple[Descriptor, bytes] | None:
        disk = self._blobs.disk
        size = None if disk is None else disk.size(self._digest)
        if size is None or size > MANIFEST_LIMIT:
            return None
        data = self._blobs.find(Descriptor("", self._digest, size))
        if data is None:
            return None
        try:
            return Descriptor(manifest_type(data, None), self._digest, size), data
        except ImageError:  # nothing that is read here: the registry tells what it is
            return None

    def fetch(self, descriptor: Descriptor, limit: int) -> bytes:
        """Return a manifest's or blob's whole content."""
        refuse_large(descriptor, limit)
        return self._fetch(descriptor, lambda: self._store.fetch(descriptor, limit))

    def _fetch(self, descriptor: Descriptor, fetch: Callable[[], bytes]) -> bytes:
        data = self._blobs.find(descriptor)
        if data is not None:
            return data
        with self._blobs.turn(self._origin, descriptor.digest):
            data = self._blobs.find(descriptor)  # by whoever was at it meanwhile
            if data is None:
                data = fetch()
                self._blobs.keep(descriptor, data)
            return data

    @contextlib.contextmanager
    def open(self, descriptor: Descriptor) -> Iterator[IO[bytes]]:
        """Open a blob for reading from its beginning to its end."""
        if descriptor.size <= WHOLE_LIMIT:
            yield io.BytesIO(self.fetch(descriptor, WHOLE_LIMIT))
            return
        disk = self._blobs.disk
        if disk is None or descriptor.size > KEPT_LIMIT:
            with self._store.open(descriptor) as blob:
                yield blob
            return
        with contextlib.ExitStack() as stack:
            blob = self._open_kept(descriptor, disk, stack)
            yield blob

    def _open_kept(self, descriptor: Descriptor, disk: BlobCache, stack: contextlib.ExitStack) -> IO[bytes]:
        kept = stack.enter_context(disk.open_checked(descriptor))
        if kept is None:
            with self._blobs.turn(self._origin, descriptor.digest):
                kept = stack.enter_context(disk.open_checked(descriptor))
                if kept is None:
                    with self._store.open(descriptor) as blob:
                        disk.write(descriptor, iter(lambda: blob.read(_CHUNK), b""))
                    kept = stack.enter_context(disk.open_checked(descriptor))
        # Nothing can be written there: it streams.
        return kept if kept is not None else stack.enter_context(self._store.open(descriptor))
