"""Read a layer's tar as it streams by, compressed in whatever way. Knows no image: gives member after member.

Sources: the OCI image specification's layer.md; Go's archive/tar (`tar_reader`); containerd's pkg/archive for how names
are taken.
"""

from __future__ import annotations

import io
import posixpath
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from metalauncher.tooling.oci.compression import decompressed
from metalauncher.tooling.oci.model import Descriptor, ImageError
from metalauncher.tooling.oci.tar_header import GLOBAL, Header, TarError
from metalauncher.tooling.oci.tar_reader import TarReader
from metalauncher.tooling.oci.verified import Verified

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from metalauncher.tooling.oci.image import Layer
    from metalauncher.tooling.oci.model import Store
    from metalauncher.tooling.oci.verified import Readable

MEMBERS_LIMIT: Final = 500_000
_CHUNK = 1 << 16
_XATTR = b"SCHILY.xattr."
_XATTR_LIMIT = 1024  # bytes; some file systems keep all of a file's in 4 KiB
_USUAL = (b"user.", b"security.capability", b"security.selinux")
_CAPABILITY = b"security.capability"
_OVERLAY = (b"trusted.", b"user.overlay.")
_KINDS = {  # what else there is in a tar, unpackers refuse
    b"0": "file",
    b"5": "directory",
    b"2": "link",
    b"1": "hard link",
    **dict.fromkeys((b"3", b"4", b"6", GLOBAL), "other"),
}


class Entry(Protocol):
    """What a tree takes of a layer's member."""

    @property
    def path(self) -> str:
        """In the image, as `Member.path`."""

    @property
    def kind(self) -> str:
        """As `Member.kind`."""

    @property
    def mode(self) -> int:
        """Permission bits."""

    @property
    def size(self) -> int:
        """Of a file, in bytes."""

    @property
    def target(self) -> str:
        """Of a link, as `Member.target`."""

    @property
    def owner(self) -> int:
        """The number of the user it belongs to."""

    @property
    def group(self) -> int:
        """That of the group."""


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
        doubt: where unpackers make different things of it by itself: the place, "" for the whole image, and the reason.
    """

    path: str
    kind: str
    mode: int
    size: int
    target: str
    read: Callable[[int], bytes]
    owner: int = 0
    group: int = 0
    doubt: tuple[str, str] | None = None


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
            yield from read_tar(tar)
            while tar.read(_CHUNK):  # what follows the end mark: padding
                pass
        while source.read(_CHUNK):  # the blob's own end, where its digest is looked at
            pass


@contextmanager
def _as_damage() -> Iterator[None]:
    try:
        yield
    except TarError as error:
        if error.code in {"negative-size", "too-long"}:
            raise ImageError("damaged", f"has a layer with a header of {error.size} bytes") from None
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


def read_tar(stream: Readable) -> Iterator[Member]:
    """Give the members of a tar that is not compressed.

    Raises:
        ImageError: from the iterator: it has what nothing unpacks.
        TarError: it is damaged.
    """
    reader = TarReader(stream)
    for number, header in enumerate(reader, 1):
        if number > MEMBERS_LIMIT:
            raise ImageError("too-large", f"has a layer with more than {MEMBERS_LIMIT} members")
        path, kind = clean(text(header.name)), _KINDS.get(header.kind, "")
        target = text(header.target)
        if (not kind and not path.rpartition("/")[2].startswith(".wh.")) or "\0" in path:
            what = f"of type {text(header.kind)!r}" if not kind else "with a NUL in its name"
            raise ImageError("damaged", f"has a layer with a member {what}, which nothing unpacks")
        yield Member(
            path,
            kind or "file",
            header.mode & 0o7777,
            header.size if kind == "file" else 0,
            clean(target) if kind == "hard link" else target,
            _content(reader, header),
            header.owner,
            header.group,
            _doubt(header, path, target),
        )
        reader.check_map()


def _doubt(  # noqa: PLR0911  # one return for each oddity
    header: Header, path: str, target: str
) -> tuple[str, str] | None:
    """Return what is odd about a member in itself."""
    if header.kind == GLOBAL:
        return "", "has a global PAX header, which umoci refuses"
    if header.kind == b"1" and (target.endswith("/") or ".." in target.split("/")):
        return "", "has a hard link to a path that leads up again, or to a directory"
    if header.kind in (b"3", b"4", b"6") and (
        header.mode >> 12 or not all([0 <= part < 256 for part in header.device])
    ):
        return "", "has a device of an odd number or mode"
    if header.kind == b"3" and header.device == (0, 0):
        return path, "is a device 0:0, which overlayfs takes for a whiteout"
    for key, value in header.records.items():
        if value and key.startswith(_XATTR):
            attribute = key.removeprefix(_XATTR)
            usual = attribute.startswith(_USUAL) and len(value) <= _XATTR_LIMIT
            overlay = attribute.startswith(_OVERLAY)
            if header.kind not in (b"0", b"5") or not (usual or overlay):
                return "", "has an extended attribute that not every unpacker and file system takes"
            if attribute == _CAPABILITY and value[:1] == b"\x01":  # VFS_CAP_FLAGS_EFFECTIVE
                return path, "has capabilities, with which a kernel does not start it where a container has fewer"
            if overlay:
                return path, "has an attribute of overlayfs, or one that not every unpacker sets"
    return None


def text(name: bytes) -> str:
    """Return a name as Python's own functions for files take it, whatever its bytes."""
    return name.decode("utf-8", "surrogateescape")


def _content(reader: TarReader, header: Header) -> Callable[[int], bytes]:
    def read(limit: int) -> bytes:
        with _as_damage():
            return reader.read(limit)

    return read if _KINDS.get(header.kind) == "file" else _nothing


def _nothing(_: int) -> bytes:
    return b""


def clean(name: str) -> str:
    """Return a member's name as the path it has in the image: `..` does not lead above the root."""
    return posixpath.normpath("/" + name).lstrip("/")
