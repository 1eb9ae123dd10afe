"""Make a layer whose bytes depend on its content alone, on no library and no machine. Pure.

Sources: POSIX ustar, with every field as Go's archive/tar writes it, so that what lifecycle writes comes out the same;
RFC 1952 and 1951 for gzip of stored blocks: what compresses gives other bytes with another zlib.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from metalauncher.tooling.oci.tar_header import BLOCK

if TYPE_CHECKING:
    from collections.abc import Iterable

LIFECYCLE_TIME: Final = (
    315_532_801  # 1980-01-01T00:00:01Z, that of all that lifecycle writes (archive.NormalizedModTime)
)
NAME_LIMIT: Final = 100  # bytes, of a name or a target, without extended headers
END: Final = bytes(2 * BLOCK)
_STORED_LIMIT = 0xFFFF  # bytes of one stored block
_GZIP_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"  # no name, no time, no level, no system
_KINDS = {"file": b"0", "link": b"2", "directory": b"5"}


class NewLayer(NamedTuple):
    """A layer that was made.

    Attributes:
        data: as it is stored, gzip.
        digest: of that.
        diff_id: digest of its uncompressed tar.
    """

    data: bytes
    digest: str
    diff_id: str


def member(
    name: str,
    kind: Literal["file", "directory", "link"],
    content: bytes = b"",
    *,
    mode: int = 0o755,
    owner: int = 0,
    group: int = 0,
) -> bytes:
    """Return a member of a tar: its header, and its content padded to whole blocks.

    Args:
        name: as it is to stand there, at most 100 bytes in UTF-8.
        kind: of it.
        content: of a file; of a link its target.
        mode: permission bits.
        owner: the number of the user, below 2^21.
        group: that of the group.
    """
    target, data = (content, b"") if kind == "link" else (b"", content)
    fields = [
        name.encode("utf-8", "surrogateescape").ljust(NAME_LIMIT, b"\0"),
        *[b"%07o\0" % number for number in (mode, owner, group)],
        *[b"%011o\0" % number for number in (len(data), LIFECYCLE_TIME)],
        b" " * 8,  # the checksum
        _KINDS[kind],
        target.ljust(NAME_LIMIT, b"\0"),
        b"ustar\0" + b"00",
        bytes(64),  # names of user and group
        b"%07o\0" % 0 * 2,  # device
    ]
    header = b"".join(fields).ljust(BLOCK, b"\0")
    header = header[:148] + b"%06o\0 " % sum(header) + header[156:]
    return header + data + bytes(-len(data) % BLOCK)


def layer(members: Iterable[bytes | memoryview]) -> NewLayer:
    """Return a layer of members as `member` gives them, or as they stood in another layer."""
    tar = b"".join([*members, END])
    data = stored_gzip(tar)
    return NewLayer(data, _digest(data), _digest(tar))


def stored_gzip(data: bytes) -> bytes:
    """Return gzip of data, not compressed."""
    view = memoryview(data)
    parts: list[bytes | memoryview] = [_GZIP_HEADER]
    last = max(len(data) - 1, 0) // _STORED_LIMIT * _STORED_LIMIT
    for start in range(0, last + 1, _STORED_LIMIT):
        block = view[start : start + _STORED_LIMIT]
        parts += [struct.pack("<BHH", start == last, len(block), len(block) ^ 0xFFFF), block]
    parts.append(struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF))
    return b"".join(parts)


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
