"""Make a layer whose bytes depend on its content alone: sorted, root-owned, one time for all. Knows no image."""

from __future__ import annotations

import gzip
import hashlib
import os
import tarfile
from typing import IO, TYPE_CHECKING, Any, Final, Literal, NamedTuple

from metalauncher.tooling.oci.image import Layer
from metalauncher.tooling.oci.model import OCI_LAYER, Descriptor

if TYPE_CHECKING:
    from collections.abc import Iterable

_GZIP_LEVEL = 9  # fixed: the compressed bytes are to be the same on every build (with one zlib)
_CHUNK = 1 << 20
_TYPES = {"file": tarfile.REGTYPE, "directory": tarfile.DIRTYPE, "link": tarfile.SYMTYPE}


class Entry(NamedTuple):
    """What the layer is to hold at one path.

    Attributes:
        path: in the image, without a leading slash.
        kind: of it.
        mode: permission bits.
        source: a file's content, as a path on this machine; a link's target.
    """

    path: str
    kind: Literal["file", "directory", "link"]
    mode: int
    source: str


class NewLayer(NamedTuple):
    """A layer in a file.

    Attributes:
        layer: as an image refers to it.
        file: its blob.
        expanded: bytes of its uncompressed tar.
    """

    layer: Layer
    file: str
    expanded: int


class _Hashed:
    """Passes bytes on, counting and hashing them."""

    def __init__(self, target: IO[bytes] | gzip.GzipFile) -> None:
        self._target: Final = target
        self._digest: Final = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes, /) -> int:
        self._digest.update(data)
        self.size += len(data)
        return self._target.write(data)

    def flush(self) -> None:
        self._target.flush()

    @property
    def digest(self) -> str:
        return f"sha256:{self._digest.hexdigest()}"


def write_layer(entries: Iterable[Entry], file: str, *, time: int, created_by: str) -> NewLayer:
    """Write a layer, compressed with gzip.

    Args:
        entries: in any order.
        file: where to; there must be none yet.
        time: of every entry, seconds since 1970.
        created_by: for the image's history.

    Raises:
        OSError: a source can't be read, or the file not written.
    """
    with open(file, "xb") as target:
        blob: Any = _Hashed(target)
        # No name and no time in its header.
        with gzip.GzipFile("", "wb", _GZIP_LEVEL, blob, mtime=0) as compressed:
            content: Any = _Hashed(compressed)
            with tarfile.open(fileobj=content, mode="w|", format=tarfile.PAX_FORMAT, bufsize=_CHUNK) as tar:
                for entry in sorted(entries):
                    _add(tar, entry, time)
    descriptor = Descriptor(OCI_LAYER, blob.digest, blob.size)
    return NewLayer(Layer(descriptor, content.digest, created_by), file, content.size)


def _add(tar: tarfile.TarFile, entry: Entry, time: int) -> None:
    info = tarfile.TarInfo(entry.path)
    info.type = _TYPES[entry.kind]
    info.mode = entry.mode
    info.mtime = time
    if entry.kind != "file":
        info.linkname = entry.source if entry.kind == "link" else ""
        tar.addfile(info)
        return
    with open(entry.source, "rb") as file:
        info.size = os.fstat(file.fileno()).st_size
        tar.addfile(info, file)
