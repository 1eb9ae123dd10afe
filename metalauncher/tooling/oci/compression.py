"""Decompress what gzip or zstd made, as it streams by.

What it begins with tells which of them it was, not a name or a media type: those are wrong in some images.
Sources: RFC 1952 (gzip), RFC 8878 (zstd: frames, and skippable frames, may stand one after another in any order).
"""

from __future__ import annotations

import gzip
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from metalauncher.tooling.oci.model import ImageError

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Iterator

    from metalauncher.tooling.oci.verified import Readable

HEAD: Final = 6  # bytes that tell the kind
_PIECE = 256  # bytes of zstd taken at a time: four of them may expand to 128 KiB, all of which are held
_WINDOW_LIMIT = 128 << 20  # bytes that a zstd frame may make us hold; `zstd --ultra -22` needs 128 MiB
_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xfd7zXZ\0": "xz",
    b"BZh": "bzip2",
    b"\x04\x22\x4d\x18": "lz4",
}
_SKIPPABLE = b"\x2a\x4d\x18"  # behind a byte from 0x50 to 0x5f


def compression_of(head: bytes) -> str:
    """Return what compressed a file that begins like this: `gzip`, `zstd`, `xz`, `bzip2` or `lz4`; "" for nothing."""
    if head[1:4] == _SKIPPABLE and 0x50 <= head[0] <= 0x5F:
        return "zstd"
    return next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), "")


@contextmanager
def decompressed(source: io.BufferedReader[Any]) -> Iterator[Readable]:
    """Give what is behind the compression of a layer; the layer itself if there is none.

    Raises:
        ImageError: also where it is read: it is damaged, or compressed by what is not read here.
    """
    kind = compression_of(source.peek(HEAD)[:HEAD])
    match kind:
        case "":
            yield source
        case "gzip":
            with gzip.GzipFile(fileobj=source, mode="rb") as stream:
                yield _Sound(stream, (EOFError, zlib.error, gzip.BadGzipFile))
        case "zstd":
            yield _zstd(source)
        case _:
            raise ImageError("unsupported", f"has a layer compressed with {kind}: images have gzip or zstd")


def _zstd(source: io.BufferedReader[Any]) -> _Sound:
    try:
        import zstandard
    except ModuleNotFoundError:
        needed = "the Python module 'zstandard': pip install 'metalauncher[check]'"
        reason = f"has a layer compressed with zstd, which needs {needed}"
        raise ImageError("unsupported", reason) from None
    decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW_LIMIT)
    return _Sound(_Frames(source, decompressor.decompressobj), (EOFError, zstandard.ZstdError))


class _Sound:
    """Passes on what is decompressed; damage is an ImageError, wherever it is read."""

    def __init__(self, stream: Readable, damage: tuple[type[Exception], ...]) -> None:
        self._stream: Final = stream
        self._damage: Final = damage

    def read(self, size: int, /) -> bytes:
        try:
            return self._stream.read(size)
        except self._damage as error:
            raise ImageError("damaged", f"has a layer that is damaged: {error}") from None


class _Frames:
    """Reads zstd frames, one after the other. zstandard's own stream_reader takes one that is cut off for its end."""

    def __init__(self, source: io.BufferedReader[Any], begin: Callable[[], Any]) -> None:
        self._source: Final = source
        self._begin: Final = begin
        self._frame: Any = None
        self._left = b""  # compressed, behind a frame's end
        self._data = memoryview(b"")

    def read(self, size: int, /) -> bytes:
        while not self._data:
            piece = self._left or self._source.read(_PIECE)
            if not piece:
                if self._frame is not None:
                    raise EOFError("a zstd frame is cut off")
                return b""
            self._frame = self._frame or self._begin()
            self._data, self._left = memoryview(self._frame.decompress(piece)), b""
            if self._frame.eof:
                self._left, self._frame = self._frame.unused_data, None
        data, self._data = bytes(self._data[:size]), self._data[size:]
        return data
