"""Read a layer's tar as it streams by, compressed in whatever way. Knows no image: gives member after member.

Sources: the OCI image specification's layer.md; containerd's pkg/archive for how names are taken.
"""

from __future__ import annotations

import io
import posixpath
import tarfile
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple

from metalauncher.tooling.oci.compression import decompressed
from metalauncher.tooling.oci.model import Descriptor, ImageError
from metalauncher.tooling.oci.verified import Verified

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from metalauncher.tooling.oci.image import Layer
    from metalauncher.tooling.oci.model import Store
    from metalauncher.tooling.oci.verified import Readable

MEMBERS_LIMIT: Final = 500_000
_HEADERS_LIMIT = 1 << 20  # bytes of one member's long names and PAX headers, which are held in memory
_CHUNK = 1 << 16
_KINDS = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.CONTTYPE: "file",
    tarfile.GNUTYPE_SPARSE: "file",
    tarfile.DIRTYPE: "directory",
    tarfile.SYMTYPE: "link",
    tarfile.LNKTYPE: "hard link",
}


class Member(NamedTuple):
    """One member of a layer.

    Attributes:
        path: in the image, without a leading slash, `.` or `..`; "" for the root.
        kind: `file`, `directory`, `link`, `hard link`, or `other`: a device or a FIFO.
        mode: permission bits.
        size: of a file, in bytes.
        target: of a link, as written; of a hard link, as a path like `path`.
        read: returns so many bytes of the file's content, from where the call before it ended, fewer at its end; to be
            called before the next member is asked for.
        owner: the number of the user it belongs to.
        group: that of the group.
    """

    path: str
    kind: str
    mode: int
    size: int
    target: str
    read: Callable[[int], bytes]
    owner: int = 0
    group: int = 0


@contextmanager
def open_layer(store: Store, layer: Layer, expanded_limit: int, *, diff_id: bool = False) -> Iterator[Iterator[Member]]:
    """Give a layer's members in their order.

    They are to be trusted only once the iterator has come to its end: it then has read the whole blob, whose digest is
    right.

    Args:
        store: where the blob is.
        layer: which.
        expanded_limit: bytes of the uncompressed tar.
        diff_id: whether the tar, too, is held against its digest in the config.

    Raises:
        ImageError: also from the iterator: it can't be read, is damaged, or larger than a limit.
    """
    _refuse_foreign(layer)
    with store.open(layer.blob) as blob:
        yield _members(blob, expanded_limit, layer.diff_id if diff_id else None)


def _refuse_foreign(layer: Layer) -> None:
    if layer.blob.urls and ("foreign" in layer.blob.media_type or "nondistributable" in layer.blob.media_type):
        raise ImageError("unsupported", "has a foreign layer, which its registry does not hold")


@contextmanager
def open_tar(store: Store, layer: Layer, expanded_limit: int) -> Iterator[Readable]:
    """Give a layer's uncompressed tar. What is read is to be trusted only once the end was read.

    Args:
        store: where the blob is.
        layer: which.
        expanded_limit: bytes of the tar.

    Raises:
        ImageError: also from `read`: it can't be read, is damaged, or larger than the limit.
    """
    _refuse_foreign(layer)
    with store.open(layer.blob) as blob:
        source = io.BufferedReader(blob, _CHUNK)  # type: ignore[type-var]  # to look at its beginning
        with decompressed(source) as stream:
            yield _verified(_Limited(stream, expanded_limit), layer.diff_id)
        while source.read(_CHUNK):  # the blob's own end, where its digest is looked at
            pass


def _verified(tar: Readable, diff_id: str) -> Verified:
    return Verified(tar, Descriptor("", diff_id, 0), sized=False)


def _members(blob: IO[bytes], expanded_limit: int, diff_id: str | None) -> Iterator[Member]:
    source = io.BufferedReader(blob, _CHUNK)  # type: ignore[type-var]  # to look at its beginning
    with _as_damage():
        with decompressed(source) as stream:
            tar: Readable = _Limited(stream, expanded_limit)
            tar = tar if diff_id is None else _verified(tar, diff_id)
            yield from _read_tar(tar)
            while tar.read(_CHUNK):  # what follows the end mark: padding
                pass
        while source.read(_CHUNK):  # the blob's own end, where its digest is looked at
            pass


@contextmanager
def _as_damage() -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise ImageError("damaged", f"has a layer that is damaged: {error}") from None


class _Limited:
    """Passes on what is read, up to a limit."""

    def __init__(self, source: Any, limit: int) -> None:
        self._source = source
        self._limit = limit
        self._left = limit

    def read(self, size: int) -> bytes:
        data: bytes = self._source.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise ImageError("too-large", f"has a layer that expands to more than {self._limit >> 20} MiB")
        return data


@contextmanager
def _as_damaged_header() -> Iterator[None]:
    """Refuse a damaged header: tarfile takes one, unless it is the first, for the end."""
    try:
        yield
    except (tarfile.EOFHeaderError, tarfile.EmptyHeaderError):  # type: ignore[attr-defined]  # typeshed leaves them out
        raise
    except tarfile.HeaderError as error:
        raise ImageError("damaged", f"has a layer that is damaged: {error}") from None


class _Info(tarfile.TarInfo):
    """A member's header that is refused where it is damaged, or would take much memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Any:
        with _as_damaged_header():
            return super().frombuf(buf, encoding, errors)

    @classmethod
    def _frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str, **more: Any) -> Any:
        # What Pythons since mid-2025 call in its place.
        with _as_damaged_header():
            return super()._frombuf(buf, encoding, errors, **more)  # type: ignore[misc]  # typeshed leaves it out

    def _proc_member(self, archive: tarfile.TarFile) -> Any:
        headers = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
        names = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
        if self.size < 0 or (self.type in headers + names and self.size > _HEADERS_LIMIT):
            raise ImageError("damaged", f"has a layer with a header of {self.size} bytes")
        return super()._proc_member(archive)  # type: ignore[misc]  # typeshed leaves it out


def _read_tar(stream: Readable) -> Iterator[Member]:
    try:
        archive = tarfile.open(fileobj=stream, mode="r|", tarinfo=_Info, bufsize=_CHUNK)  # type: ignore[call-overload]
    except tarfile.ReadError as error:
        if str(error) == "empty file":  # to Go, which writes most layers, an empty file is an archive without members
            return
        raise
    with archive:
        for number, info in enumerate(archive, 1):
            if number > MEMBERS_LIMIT:
                raise ImageError("too-large", f"has a layer with more than {MEMBERS_LIMIT} members")
            archive.members = []  # it keeps them all
            kind = _KINDS.get(info.type, "other")
            target = clean(info.linkname) if kind == "hard link" else info.linkname
            yield Member(
                clean(info.name),
                kind,
                info.mode & 0o7777,
                info.size,
                target,
                _reader(archive, info),
                info.uid,
                info.gid,
            )


def _reader(archive: tarfile.TarFile, info: tarfile.TarInfo) -> Callable[[int], bytes]:
    file: IO[bytes] | None = None
    left = info.size if info.isreg() else 0

    def read(limit: int) -> bytes:
        nonlocal file, left
        if left and file is None:
            file = archive.extractfile(info)
        with _as_damage():
            data = file.read(min(limit, left)) if file else b""
        if len(data) < min(limit, left):
            raise ImageError("damaged", f"has a layer that ends inside {info.name!r}")
        left -= len(data)
        return data

    return read


def clean(name: str) -> str:
    """Return a member's name as the path it has in the image: `..` does not lead above the root."""
    return posixpath.normpath("/" + name).lstrip("/")
