"""Read a tar archive as it streams by, member after member, as Go's archive/tar does.

`tar_header` says why it is Go's reading that counts. Where Go reads on, as behind the end mark, so does this; where Go
refuses an archive, so does this. Nothing is held but one member's header and map.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

from metalauncher.tooling.oci.tar_header import (
    BLOCK,
    EXTENDED,
    GLOBAL,
    LONG_LINK,
    LONG_NAME,
    WITHOUT_CONTENT,
    ZEROS,
    Header,
    TarError,
    parse_records,
    until_nul,
)
from metalauncher.tooling.oci.tar_sparse import sparse_map

if TYPE_CHECKING:
    from collections.abc import Iterator

    from metalauncher.tooling.oci.tar_sparse import Pieces
    from metalauncher.tooling.oci.verified import Readable

EXTENDED_LIMIT: Final = 1 << 20  # bytes of a long name, or of PAX records, which are held in memory: Go's
_CHUNK = 1 << 16


class TarReader:
    """One archive.

    Attributes:
        marked: once all members were given, whether an end mark of two blocks of zeros was there; Go needs none.
        begin: where in the archive the member begins that was given last, its extended headers included; once all were
            given, where what is behind them does.
    """

    def __init__(self, stream: Readable, extended_limit: int = EXTENDED_LIMIT) -> None:
        """Take the archive; nothing is read yet.

        Args:
            stream: it. Of a file opened with a buffer contents are skipped, and its position is where a member's
                content begins.
            extended_limit: bytes of a long name, or of a member's PAX records.
        """
        self.marked = False
        self.begin = 0
        self._at = 0  # bytes that were read
        self._stream: Final = (
            stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(_Raw(stream), _CHUNK)
        )
        self._limit: Final = extended_limit
        self._left = 0  # bytes of the member's content, as stored
        self._padding = 0
        self._size = 0  # of the content, as it is read
        self._position = 0  # in it
        self._pieces: Pieces | None = None  # of a sparse member, those not yet read
        self._piece = 0

    def __iter__(self) -> Iterator[Header]:
        """Give the headers of the members, among them global PAX headers as Go gives them.

        A member's content is there until the next is asked for.

        Raises:
            TarError: the archive is damaged.
        """
        while (header := self._next()) is not None:
            yield header

    def _next(self) -> Header | None:
        records: dict[bytes, bytes] = {}
        long_name = long_link = b""
        self._skip()
        self.begin = self._at
        while True:
            self._skip()
            header = self._header()
            if header is None:
                return None
            self._begin(header)
            if header.kind in (EXTENDED, GLOBAL):
                # The last of several is the only one.
                records = parse_records(self._extended(header))
                if header.kind == GLOBAL:
                    return self._global(header, records)
            elif header.kind == LONG_NAME:
                long_name = until_nul(self._extended(header))
            elif header.kind == LONG_LINK:
                long_link = until_nul(self._extended(header))
            else:
                header.merge(records)
                header.name = long_name or header.name
                header.target = long_link or header.target
                if header.kind == b"\0":
                    header.kind = b"5" if header.name.endswith(b"/") else b"0"
                self._begin(header)
                self._begin_sparse(header)
                return header

    def _header(self) -> Header | None:
        block = self._stream.read(BLOCK)
        self._at += BLOCK
        if block == ZEROS:
            block = self._stream.read(BLOCK)
            self.marked = block == ZEROS
            if len(block) == BLOCK and not self.marked:
                raise TarError("zero-block")
            if self.marked:
                return None
        if not block:
            return None
        if len(block) < BLOCK:
            raise TarError("cut-off")
        return Header(block)

    def _begin(self, header: Header) -> None:
        size = 0 if header.kind in WITHOUT_CONTENT else header.size
        if size < 0:
            raise TarError("negative-size", size, header.name)
        self._left = self._size = size
        self._padding = -size % BLOCK
        self._position = 0
        self._pieces = None

    def _begin_sparse(self, header: Header) -> None:
        pieces = sparse_map(header, self._block, self._content_block)
        if pieces is None:
            return
        if header.kind in WITHOUT_CONTENT:
            raise TarError("sparse")
        header.sparse = True
        self._pieces, self._piece, self._size = pieces, 0, header.size

    @staticmethod
    def _global(header: Header, records: dict[bytes, bytes]) -> Header:
        """Return what Go gives of a global header, which changes no member: a name, and the records."""
        header.records = records
        header.name = records.get(b"path") or header.name
        header.target, header.device = b"", (0, 0)
        header.size = header.mode = header.owner = header.group = 0
        return header

    def _extended(self, header: Header) -> bytes:
        if header.size > self._limit:
            raise TarError("too-long", header.size, header.name)
        self._left = self._size = 0
        return self._exactly(header.size)

    def _block(self) -> bytes:
        return self._exactly(BLOCK)

    def _content_block(self) -> bytes:
        if self._left < BLOCK:
            raise TarError("cut-off")
        self._left -= BLOCK
        return self._exactly(BLOCK)

    def _exactly(self, size: int) -> bytes:
        data = self._stream.read(size)
        if len(data) < size:
            raise TarError("cut-off")
        self._at += size
        return data

    def _skip(self) -> None:
        """Go to the end of a member; that its padding is cut off makes it the archive's end."""
        if self._left and self._stream.seekable():
            self._seek(self._left - 1)
            self._left = 1  # which is read: there may be no such byte
        while self._left:
            self._left -= len(self._exactly(min(self._left, _CHUNK)))
        self._at += len(self._stream.read(self._padding))
        self._padding = 0

    def _seek(self, size: int) -> None:
        try:
            self._stream.seek(size, io.SEEK_CUR)
        except (OSError, OverflowError):  # beyond what a file can have
            raise TarError("cut-off") from None
        self._at += size

    def read(self, limit: int) -> bytes:
        """Return so many bytes of the member's content, fewer at its end.

        Raises:
            TarError: the archive ends there, or a sparse file has less data, or more, than its map says.
        """
        wanted = min(limit, self._size - self._position)
        if self._pieces is None:
            self._position += wanted
            self._left -= wanted
            return self._exactly(wanted)
        parts = []
        while wanted > 0:
            part = self._sparse_part(self._pieces, wanted)
            self._position += len(part)
            wanted -= len(part)
            parts.append(part)
        if self._position == self._size and self._left:
            raise TarError("sparse")
        return b"".join(parts)

    def _sparse_part(self, pieces: Pieces, wanted: int) -> bytes:
        """Return what comes next, from one piece of data or one hole."""
        begin, size = pieces[self._piece] if self._piece < len(pieces) else (self._size, 0)
        if self._position < begin:
            return bytes(min(wanted, begin - self._position))
        wanted = min(wanted, begin + size - self._position)
        if wanted > self._left:
            raise TarError("sparse")
        self._left -= wanted
        if self._position + wanted == begin + size:
            self._piece += 1
        return self._exactly(wanted)

    def check_map(self) -> None:
        """See whether a sparse member has as much data as its map says, however much of it was read.

        Raises:
            TarError: it has less, or more.
        """
        if self._pieces is None:
            return
        rest = sum([size for _, size in self._pieces[self._piece :]])
        begun = self._piece < len(self._pieces) and max(0, self._position - self._pieces[self._piece][0])
        if rest - begun != self._left:
            raise TarError("sparse")

    def behind(self, size: int) -> bytes:
        """Return what follows the end mark, at most so many bytes."""
        return self._stream.read(size)


class _Raw(io.RawIOBase):
    """What `io.BufferedReader` reads from."""

    def __init__(self, source: Readable) -> None:
        self._source: Final = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed's buffer has no length
        data = self._source.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
