"""Read one header block of a tar archive as Go's archive/tar does, and the records of a PAX header. Pure.

Everything that unpacks images (containerd, Docker, umoci, containers/storage) is written in Go: what Go takes, refuses
or overlooks is what counts. Source: archive/tar of Go 1.26, format.go, strconv.go and reader.go.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing import Literal

    Code = Literal[
        "checksum", "cut-off", "header", "negative-size", "number", "records", "sparse", "too-long", "zero-block"
    ]

BLOCK: Final = 512
ZEROS: Final = bytes(BLOCK)
LONG_NAME: Final = b"L"
LONG_LINK: Final = b"K"
EXTENDED: Final = b"x"
GLOBAL: Final = b"g"
OLD_SPARSE: Final = b"S"
# A member of such a type has no content, whatever its size: links, devices, directories, FIFOs.
WITHOUT_CONTENT: Final = frozenset((b"1", b"2", b"3", b"4", b"5", b"6"))

_INT64 = 1 << 63
_WORDS: dict[Code, str] = {
    "checksum": "bad checksum",
    "cut-off": "unexpected end of data",
    "header": "invalid header",
    "negative-size": "a size below zero",
    "number": "a number that is none",
    "records": "invalid PAX records",
    "sparse": "an invalid map of a sparse file",
    "too-long": "an extended header that is too long",
    "zero-block": "a block of zeros, and then another header",
}
_DECIMAL = re.compile(rb"[+-]?[0-9]+")
_OCTAL = re.compile(rb"[0-7]+")
_TIME = re.compile(rb"([^.]*)(?:\.([0-9]*))?")
# The values that may hold no NUL; of others the key may not.
_TEXTS = (b"path", b"linkpath", b"uname", b"gname")
_TIMES = (b"atime", b"mtime", b"ctime")


class TarError(Exception):
    """A tar archive that Go refuses.

    Attributes:
        code: why.
        size: that a header claims, in bytes; of `negative-size` and `too-long`.
        name: of the member, where it is known.
    """

    def __init__(self, code: Code, size: int = 0, name: bytes = b"") -> None:
        """Hold why."""
        super().__init__(code, size, name)
        self.code: Final = code
        self.size: Final = size
        self.name: Final = name

    def __str__(self) -> str:
        """Return the reason in a few words."""
        return _WORDS[self.code]


class Header:
    """One member's header.

    Attributes:
        kind: the type flag, one byte; of a V7 member `0` or `5`.
        name: as it stands.
        target: of a link, as it stands.
        size: of the content, holes included; what is written, where the type has no content.
        mode: may be any number.
        owner: the number of the user, may be any number.
        group: that of the group.
        device: its major and its minor number.
        records: those of its PAX header.
        sparse: whether its content has a map of holes.
        block: as it stands in the archive.
        gnu: whether it is of GNU's own format.
    """

    __slots__ = (
        "block",
        "device",
        "gnu",
        "group",
        "kind",
        "mode",
        "name",
        "owner",
        "records",
        "size",
        "sparse",
        "target",
    )

    def __init__(self, block: bytes) -> None:
        """Read a block that is not all zeros.

        Raises:
            TarError: it is no header.
        """
        _check_sum(block)
        self.block: Final = block
        self.kind = block[156:157]
        self.name = until_nul(block[0:100])
        self.target = until_nul(block[157:257])
        self.size = number(block[124:136])
        self.mode = number(block[100:108])
        self.owner = number(block[108:116])
        self.group = number(block[116:124])
        number(block[136:148])  # the time: only whether it is one
        self.device = (0, 0)
        self.records: dict[bytes, bytes] = {}
        self.sparse = False
        self.gnu: Final = block[257:265] == b"ustar  \0"
        if self.gnu or block[257:263] == b"ustar\0":
            self.device = (number(block[329:337]), number(block[337:345]))
            prefix = self._prefix()
            if prefix:
                self.name = prefix + b"/" + self.name

    def _prefix(self) -> bytes:
        block = self.block
        if self.gnu:
            # GNU has two times there. Go before 1.8 wrote a prefix by mistake: where the times are none, it is read.
            try:
                for field in (block[345:357], block[357:369]):
                    if field[0]:
                        number(field)
            except TarError:
                prefix = until_nul(block[345:500])
                return prefix if prefix.isascii() else b""
            return b""
        if block[508:512] == b"tar\0":  # star's
            number(block[476:488])
            number(block[488:500])
            return until_nul(block[345:476])
        return until_nul(block[345:500])

    def merge(self, records: dict[bytes, bytes]) -> None:
        """Let PAX records replace what the block says; an empty one replaces nothing.

        Raises:
            TarError: one is no number where it should be.
        """
        self.records = records
        self.name = records.get(b"path") or self.name
        self.target = records.get(b"linkpath") or self.target
        for key in _TIMES:
            if records.get(key):
                _check_time(records[key])
        if records.get(b"uid"):
            self.owner = decimal(records[b"uid"])
        if records.get(b"gid"):
            self.group = decimal(records[b"gid"])
        if records.get(b"size"):
            self.size = decimal(records[b"size"])


def until_nul(field: bytes) -> bytes:
    """Return a text that a NUL or the field's end ends."""
    return field.partition(b"\0")[0]


def number(field: bytes) -> int:
    """Return a number in octal digits, or in GNU's base 256.

    Raises:
        TarError: it is none, or not of 64 bits.
    """
    if not field[0] & 0x80:
        return _octal(field)
    value = int.from_bytes(field, "big")
    bits = 8 * len(field)
    # The first bit marks the form, the second is the sign.
    value = value - (1 << bits) if field[0] & 0x40 else value - (1 << (bits - 1))
    if not -_INT64 <= value < _INT64:
        raise TarError("number")
    return value


def _octal(field: bytes) -> int:
    digits = field.strip(b" \0")
    if not digits:
        return 0
    digits = until_nul(digits)
    if not _OCTAL.fullmatch(digits):
        raise TarError("number")
    return int(digits, 8)


def decimal(text: bytes) -> int:
    """Return a decimal number.

    Raises:
        TarError: it is none, or not of 64 bits.
    """
    if not _DECIMAL.fullmatch(text):
        raise TarError("number")
    digits = text.lstrip(b"+-").lstrip(b"0") or b"0"
    if len(digits) > 19:
        raise TarError("number")
    value = -int(digits) if text[:1] == b"-" else int(digits)
    if not -_INT64 <= value < _INT64:
        raise TarError("number")
    return value


def _check_time(text: bytes) -> None:
    found = _TIME.fullmatch(text)
    if found is None:
        raise TarError("number")
    decimal(found[1])


def _check_sum(block: bytes) -> None:
    try:
        claimed = _octal(block[148:156])
    except TarError:
        raise TarError("header") from None
    unsigned = sum(block) - sum(block[148:156]) + 8 * ord(" ")
    if claimed != unsigned:
        high = sum([byte >= 0x80 for byte in block[:148] + block[156:]])
        if claimed != unsigned - 256 * high:  # the sum of signed bytes, as Sun's tar wrote it
            raise TarError("checksum")


def parse_records(data: bytes) -> dict[bytes, bytes]:
    """Return the records of a PAX header; the map of a sparse file 0.0 as that of 0.1.

    Raises:
        TarError: one is malformed.
    """
    records: dict[bytes, bytes] = {}
    holes: list[bytes] = []
    at = 0
    while at < len(data):
        space = data.find(b" ", at)
        size = decimal(data[at:space]) if space > 0 else 0
        end = at + size
        # At least `5 a=\n`; what stands before the end is a key, `=`, and a value.
        if size < 5 or end > len(data) or end <= space + 1 or data[end - 1 : end] != b"\n":
            raise TarError("records")
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not key or not equals or b"\0" in (value if key in _TEXTS else key):
            raise TarError("records")
        at = end
        if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
            if (key == b"GNU.sparse.offset") != (len(holes) % 2 == 0) or b"," in value:
                raise TarError("records")
            holes.append(value)
        else:
            records[key] = value
    if holes:
        records[b"GNU.sparse.map"] = b",".join(holes)
    return records
