"""Where a sparse file in a tar archive has data, by the four forms that Go's archive/tar reads. The rest is holes.

Source: archive/tar of Go 1.26, reader.go; the GNU tar manual's "Storing Sparse Files".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from metalauncher.tooling.oci.tar_header import BLOCK, OLD_SPARSE, Header, TarError, decimal, number

if TYPE_CHECKING:
    from collections.abc import Callable

    # Offsets in the file: where data begins, and how many bytes of it there are.
    Pieces = list[tuple[int, int]]

_MAP_LIMIT = 1 << 20  # bytes of a map: Go's
_ENTRY = 24
_ENTRIES_LIMIT = 1 << 62  # numbers of entries that Go could not double
_LARGEST = (1 << 63) - 1


def sparse_map(header: Header, block: Callable[[], bytes], content: Callable[[], bytes]) -> Pieces | None:
    """Return a sparse file's pieces of data, empty ones left out; its size, and its name, become the real ones.

    Args:
        header: the member's, with its PAX records.
        block: returns the archive's next block.
        content: returns the next block of the member's content.

    Returns:
        None for a file that is not sparse.

    Raises:
        TarError: the map is not sound.
    """
    if header.kind == OLD_SPARSE:
        pieces = _old(header, block)
    else:
        version = _version(header)
        if version is None:
            return None
        records = header.records
        header.name = records.get(b"GNU.sparse.name") or header.name
        size = records.get(b"GNU.sparse.size") or records.get(b"GNU.sparse.realsize")
        if size:
            header.size = decimal(size)
        pieces = _from_content(content) if version else _from_records(records)
    end = 0
    if header.size < 0:
        raise TarError("sparse")
    for offset, size_ in pieces:
        if offset < end or size_ < 0 or offset + size_ > min(header.size, _LARGEST):
            raise TarError("sparse")
        end = offset + size_
    return [piece for piece in pieces if piece[1]]


def _version(header: Header) -> int | None:
    """Return 1 for a map in the content, 0 for one in the records, None for no sparse file."""
    records = header.records
    version = (records.get(b"GNU.sparse.major", b""), records.get(b"GNU.sparse.minor", b""))
    if version in ((b"0", b"0"), (b"0", b"1")):
        return 0
    if version == (b"1", b"0"):
        return 1
    # The first versions did not number themselves.
    return 0 if version == (b"", b"") and records.get(b"GNU.sparse.map") else None


def _old(header: Header, block: Callable[[], bytes]) -> Pieces:
    if not header.gnu:
        raise TarError("sparse")
    header.size = number(header.block[483:495])
    table, read = header.block[386:483], 0
    pieces: Pieces = []
    read = len(table)
    while read < _MAP_LIMIT:
        entries = len(table) // _ENTRY
        for at in range(0, entries * _ENTRY, _ENTRY):
            if not table[at]:
                break
            pieces.append((number(table[at : at + 12]), number(table[at + 12 : at + 24])))
        if not table[entries * _ENTRY]:
            return pieces
        table = block()
        read += BLOCK
    raise TarError("sparse")


def _from_content(content: Callable[[], bytes]) -> Pieces:
    text, at = b"", 0
    lines = 0
    parts: list[bytes] = []

    def feed(count: int) -> None:
        nonlocal lines
        while lines < count:
            if (len(parts) + 1) * BLOCK > _MAP_LIMIT:
                raise TarError("sparse")
            parts.append(content())
            lines += parts[-1].count(b"\n")

    feed(1)
    first = b"".join(parts).partition(b"\n")[0]
    entries = _entries(first)
    feed(1 + 2 * entries)
    text = b"".join(parts)
    at = 1 + 2 * entries
    numbers = [decimal(line) for line in text.split(b"\n", at)[1:at]]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _from_records(records: dict[bytes, bytes]) -> Pieces:
    entries = _entries(records.get(b"GNU.sparse.numblocks", b""))
    text = records.get(b"GNU.sparse.map", b"")
    fields = text.split(b",") if text else []
    if len(fields) != 2 * entries:
        raise TarError("sparse")
    numbers = [decimal(field) for field in fields]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _entries(text: bytes) -> int:
    count = decimal(text)
    if not 0 <= count < _ENTRIES_LIMIT:
        raise TarError("sparse")
    return count
