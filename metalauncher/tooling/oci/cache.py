"""Keep blobs on disk by their digest, so that what was fetched once is not fetched again. Knows no registry.

Any number of processes and threads may share a directory: an entry appears whole, under its digest, or not at all, and
is believed only when its bytes come to that digest. It holds what registries gave this user, so that nobody else may
look into it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import threading
import time
from typing import IO, TYPE_CHECKING, Final

from metalauncher.tooling.oci.model import ImageError
from metalauncher.tooling.oci.verified import Verified, read_whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from metalauncher.tooling.oci.model import Descriptor

CACHE_LIMIT: Final = 1 << 30  # bytes of all entries; a thousand apps' manifests, configs and metadata have 20 MB
_KEEP = 0.8  # of the limit: what is left after entries were thrown out
_CHUNK = 1 << 16
_TEMPORARY = ".tmp-"
_ABANDONED = 24 * 3600.0  # seconds after which a temporary file is nobody's
_FRESH = 3600.0  # seconds for which an entry that was used is not marked as used again


class BlobCache:
    """A directory of blobs. What can't be read or written there is as if it were not there: no run fails for it."""

    def __init__(self, directory: str, limit: int = CACHE_LIMIT) -> None:
        """Take the directory, which is made when there is something to keep.

        Args:
            directory: where.
            limit: bytes of all entries together. Those used longest ago are thrown out when there are more; for a
                moment there may be an eighth more, for each process.
        """
        self._directory: Final = directory
        self._limit: Final = limit
        self._lock: Final = threading.Lock()
        self._unchecked = limit  # bytes added since the size was last looked at: the first addition looks

    def read(self, descriptor: Descriptor) -> bytes | None:
        """Return a blob's content, None if it is not there; an entry that is damaged is taken away."""
        with self.open(descriptor) as file:
            if file is None:
                return None
            try:
                return read_whole(file, descriptor, descriptor.size)
            except (ImageError, OSError):
                self._drop(descriptor.digest)
                return None

    def size(self, digest: str) -> int | None:
        """Return how large an entry is, None if it is not there."""
        try:
            return os.stat(self._path(digest), follow_symlinks=False).st_size
        except OSError:
            return None

    @contextlib.contextmanager
    def open(self, descriptor: Descriptor) -> Iterator[IO[bytes] | None]:
        """Open an entry, None if it is not there. Its bytes are not looked at yet."""
        try:
            file = open(os.open(self._path(descriptor.digest), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW), "rb")
        except OSError:
            yield None
            return
        with file:
            self._mark_used(file)
            yield file

    @contextlib.contextmanager
    def open_checked(self, descriptor: Descriptor) -> Iterator[IO[bytes] | None]:
        """Open an entry, None if it is not there or damaged; it is read through once before."""
        with self.open(descriptor) as file:
            if file is not None and _is_sound(file, descriptor):
                file.seek(0)
                yield Verified(file, descriptor)  # type: ignore[misc]  # a RawIOBase is read as an IO[bytes] is
                return
        if file is not None:
            self._drop(descriptor.digest)
        yield None

    def write(self, descriptor: Descriptor, chunks: Iterable[bytes]) -> None:
        """Keep a blob.

        Args:
            descriptor: of it.
            chunks: its bytes. What they raise is passed on, and nothing is kept; they are read to the end also where
                nothing can be written.
        """
        entry = _Entry(self._path(descriptor.digest))
        try:
            for chunk in chunks:
                entry.add(chunk)
        except BaseException:
            entry.abandon()
            raise
        if entry.keep():
            self._count(descriptor.size)

    def _path(self, digest: str) -> str:
        algorithm, _, name = digest.partition(":")
        return os.path.join(self._directory, algorithm, name[:2], name)

    def _drop(self, digest: str) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self._path(digest))

    def _mark_used(self, file: IO[bytes]) -> None:
        with contextlib.suppress(OSError):
            if time.time() - os.fstat(file.fileno()).st_mtime > _FRESH:
                os.utime(file.fileno())

    def _count(self, size: int) -> None:
        with self._lock:
            self._unchecked += size
            if self._unchecked < self._limit // 8:
                return
            self._unchecked = 0
        self.trim()

    def trim(self) -> None:
        """Throw out what was used longest ago until the limit is kept; left to another process that is just at it."""
        try:
            descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._throw_out(time.time())
        except OSError:
            return
        finally:
            os.close(descriptor)

    def _throw_out(self, now: float) -> None:
        entries: list[tuple[float, int, str]] = []
        for folder, _, names in os.walk(self._directory):
            for name in names:
                path = os.path.join(folder, name)
                try:
                    status = os.lstat(path)
                except FileNotFoundError:
                    continue
                if not name.startswith(_TEMPORARY):
                    entries.append((status.st_mtime, status.st_size, path))
                elif now - status.st_mtime > _ABANDONED:
                    entries.append((0, status.st_size, path))
        total = sum([size for _, size, _ in entries])
        wanted = self._limit if total <= self._limit else int(self._limit * _KEEP)
        for used, size, path in sorted(entries):
            if total <= wanted and used:
                break
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            total -= size


def _is_sound(file: IO[bytes], descriptor: Descriptor) -> bool:
    verified = Verified(file, descriptor)
    try:
        while verified.read(_CHUNK):
            pass
    except (ImageError, OSError):
        return False
    return True


class _Entry:
    """A blob as it is being written; where that fails, the rest goes nowhere."""

    def __init__(self, path: str) -> None:
        self._path: Final = path
        folder = os.path.dirname(path)
        self._temporary = os.path.join(folder, _TEMPORARY + secrets.token_hex(8))
        self._file: IO[bytes] | None = None
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            try:
                descriptor = os.open(self._temporary, flags, 0o600)
            except FileNotFoundError:
                _make_private(folder)
                descriptor = os.open(self._temporary, flags, 0o600)
        except OSError:
            return
        self._file = open(descriptor, "wb", buffering=0)

    def add(self, chunk: bytes) -> None:
        view = memoryview(chunk)
        while view and self._file:
            try:
                view = view[self._file.write(view) :]
            except OSError:  # the disk is full
                self.abandon()

    def keep(self) -> bool:
        # No fsync: what a crash of the machine leaves half written does not come to its digest.
        if not self._file:
            return False
        try:
            self._file.close()
            os.rename(self._temporary, self._path)
        except OSError:
            self.abandon()
            return False
        return True

    def abandon(self) -> None:
        if self._file:
            with contextlib.suppress(OSError):
                self._file.close()
            with contextlib.suppress(OSError):
                os.unlink(self._temporary)
        self._file = None


def _make_private(folder: str) -> None:
    """Make a folder and what is missing above it, for this user alone."""
    missing = []
    while not os.path.isdir(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    for path in reversed(missing):
        with contextlib.suppress(FileExistsError):  # by another thread or process, since
            os.mkdir(path, 0o700)
