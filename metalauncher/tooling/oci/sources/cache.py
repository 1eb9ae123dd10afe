"""Keep blobs on disk by their digest, so that what was fetched once is not fetched again. Knows no registry.

Any number of processes and threads may share a directory: an entry appears whole, under its digest, or not at all, and
is used only when its bytes have that digest. It holds what registries gave this user, so that nobody else may
look into it.

The directory is its own, which a marker in it says (the Cache Directory Tagging Specification), and it removes only
what it wrote: regular files of this user whose names have the shape of its own, at the depth where it puts them.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import stat
import threading
import time
from typing import IO, TYPE_CHECKING, Final

from metalauncher.errnos import errno_text
from metalauncher.tooling.oci.model import ImageError
from metalauncher.tooling.oci.verified import Verified, read_whole
from metalauncher.tooling.reading import ReadError, open_regular, read_regular

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from metalauncher.tooling.oci.model import Descriptor

CACHE_LIMIT: Final = 1 << 30  # bytes of all entries; a thousand apps' manifests, configs and metadata have 20 MB
_KEEP = 0.8  # of the limit: what is left after entries were thrown out
_CHUNK = 1 << 16
_TEMPORARY = ".tmp-"
_ABANDONED = 24 * 3600.0  # seconds after which a temporary file is nobody's
_FRESH = 3600.0  # seconds for which an entry that was used is not marked as used again

MARKER: Final = "CACHEDIR.TAG"  # by which backups pass over it, too: https://bford.info/cachedir/
_MARK: Final = b"Signature: 8a477f597d28d172789f06886806bc55\n# A cache of blobs, made by metalauncher.\n"
_ALGORITHM = re.compile(r"sha256|sha512")
_SHARD = re.compile(r"[0-9a-f]{2}")
_ENTRY = re.compile(r"[0-9a-f]{64}|[0-9a-f]{128}")
_TEMPORARY_NAME = re.compile(re.escape(_TEMPORARY) + r"[0-9a-f]{16}")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class BlobCache:
    """A directory of blobs. What can't be read or written there is as if it were not there: no run fails for it."""

    def __init__(self, directory: str, limit: int = CACHE_LIMIT) -> None:
        """Take the directory, which is made when there is something to keep.

        Args:
            directory: where.
            limit: bytes of all entries together. Those used longest ago are thrown out when there are more; for a
                moment there may be an eighth more, for each process.
        """
        self._directory: Final = os.path.abspath(directory)
        self._limit: Final = limit
        self._is_ours = False  # known to be: the marker was seen or written
        self._lock: Final = threading.Lock()
        self._unchecked = limit  # bytes added since the size was last looked at: the first addition looks

    def read(self, descriptor: Descriptor) -> bytes | None:
        """Return a blob's content, None if it is not there; an entry that is damaged is taken away."""
        with self.open(descriptor) as file:
            if file is None:
                return None
            try:
                return read_whole(file, descriptor, descriptor.size)
            except (ImageError, ReadError):
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
        with contextlib.ExitStack() as stack:
            file: IO[bytes] | None = None
            with contextlib.suppress(ReadError):
                file = stack.enter_context(open_regular(self._path(descriptor.digest), follow=False))
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
        path = self._path(descriptor.digest)
        entry = _Entry(path if self._claim() and not self._leads_elsewhere(path) else None)
        try:
            for chunk in chunks:
                entry.add(chunk)
        except BaseException:
            entry.abandon()
            raise
        if entry.keep():
            self._count(descriptor.size)

    def foreign(self) -> str | None:
        """Return why the directory may not be used; None if it may: it is missing, empty, or marked as ours."""
        try:
            if not stat.S_ISDIR(os.stat(self._directory).st_mode):
                return "is not a directory"
            if _is_marked(self._directory):
                return None
            # Another process may be about to mark it.
            others = [name for name in os.listdir(self._directory) if not _TEMPORARY_NAME.fullmatch(name)]
        except FileNotFoundError:
            return None
        except OSError as error:
            return errno_text(error.errno)
        return "is neither empty nor a cache of metalauncher" if others and not _is_marked(self._directory) else None

    def _claim(self) -> bool:
        """Make the directory and its marker, where need be; return whether it is ours."""
        with self._lock:
            if not self._is_ours and self.foreign() is None:
                with contextlib.suppress(OSError):
                    _make_private(self._directory)
                    self._is_ours = _mark(self._directory)
            return self._is_ours

    def _path(self, digest: str) -> str:
        algorithm, _, name = digest.partition(":")
        return os.path.join(self._directory, algorithm, name[:2], name)

    def _drop(self, digest: str) -> None:
        path = self._path(digest)
        if not self._leads_elsewhere(path):
            with contextlib.suppress(OSError):
                os.unlink(path)

    def _leads_elsewhere(self, path: str) -> bool:
        """Whether there is a link below our directory on the way to an entry: what it leads to is not ours."""
        shard = os.path.dirname(path)
        return os.path.islink(shard) or os.path.islink(os.path.dirname(shard))

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
            if _is_marked(self._directory):
                self._throw_out(descriptor, time.time())
        except OSError:
            return
        finally:
            os.close(descriptor)

    def _throw_out(self, top: int, now: float) -> None:
        entries: list[tuple[float, int, str, str, str]] = []
        for algorithm, shard, folder in _shards(top):
            for name in os.listdir(folder):
                is_entry = _ENTRY.fullmatch(name) and name.startswith(shard)
                if not is_entry and not _TEMPORARY_NAME.fullmatch(name):
                    continue
                try:
                    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
                    continue
                if is_entry:
                    entries.append((max(status.st_mtime, 1), status.st_size, algorithm, shard, name))
                elif now - status.st_mtime > _ABANDONED:
                    entries.append((0, status.st_size, algorithm, shard, name))
        total = sum([size for _, size, *_ in entries])
        wanted = self._limit if total <= self._limit else int(self._limit * _KEEP)
        for used, size, algorithm, shard, name in sorted(entries):
            if total <= wanted and used:
                break
            with contextlib.suppress(FileNotFoundError), _folder(top, algorithm, shard) as folder:
                os.unlink(name, dir_fd=folder)
            total -= size


def _shards(top: int) -> Iterator[tuple[str, str, int]]:
    """Yield the folders that entries lie in, each opened: no link on the way leads elsewhere."""
    for algorithm in sorted(filter(_ALGORITHM.fullmatch, os.listdir(top))):
        with contextlib.suppress(NotADirectoryError), _folder(top, algorithm) as outer:
            for shard in sorted(filter(_SHARD.fullmatch, os.listdir(outer))):
                with contextlib.suppress(NotADirectoryError), _folder(top, algorithm, shard) as folder:
                    yield algorithm, shard, folder


@contextlib.contextmanager
def _folder(top: int, *names: str) -> Iterator[int]:
    """Open a folder below `top`, following no link.

    Raises:
        NotADirectoryError: there is a link or a file on the way.
    """
    opened: list[int] = []
    try:
        for name in names:
            try:
                opened.append(os.open(name, _FOLDER, dir_fd=opened[-1] if opened else top))
            except OSError as error:
                if error.errno == errno.ELOOP:
                    raise NotADirectoryError(errno.ENOTDIR, "is a link", name) from None
                raise
        yield opened[-1]
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _is_marked(directory: str) -> bool:
    try:
        return read_regular(os.path.join(directory, MARKER), len(_MARK), follow=False) == _MARK
    except ReadError:
        return False


def _mark(directory: str) -> bool:
    """Write the marker, whole; return whether it is there."""
    temporary = os.path.join(directory, _TEMPORARY + secrets.token_hex(8))
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with open(descriptor, "wb", buffering=0) as file:
            file.write(_MARK)
        os.rename(temporary, os.path.join(directory, MARKER))
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
    return _is_marked(directory)


def _is_sound(file: IO[bytes], descriptor: Descriptor) -> bool:
    verified = Verified(file, descriptor)
    try:
        while verified.read(_CHUNK):
            pass
    except (ImageError, ReadError):
        return False
    return True


class _Entry:
    """A blob as it is being written; where that fails, the rest goes nowhere."""

    def __init__(self, path: str | None) -> None:
        """Take where it is kept, None for nowhere."""
        self._path: Final = path or ""
        folder = os.path.dirname(self._path)
        self._temporary = os.path.join(folder, _TEMPORARY + secrets.token_hex(8))
        self._file: IO[bytes] | None = None
        if path is None:
            return
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
    """Make a folder, named by an absolute path, and what is missing above it, for this user alone."""
    missing = []
    while not os.path.isdir(folder) and folder != os.path.dirname(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    for path in reversed(missing):
        with contextlib.suppress(FileExistsError):  # by another thread or process, since
            os.mkdir(path, 0o700)
