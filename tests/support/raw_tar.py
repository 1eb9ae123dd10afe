"""Tar archives written byte by byte: sound ones, and such as no program writes; composed and mutated by chance."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterable, Sequence

BLOCK = 512
END = bytes(2 * BLOCK)
USTAR, GNU, V7, STAR = b"ustar\x0000", b"ustar  \0", b"", b"ustar\x0000tar\0"


def octal(value: int, width: int) -> bytes:
    """Return a number as most headers have it."""
    return b"%0*o\0" % (width - 1, value)


def base256(value: int, width: int) -> bytes:
    """Return a number in GNU's other form."""
    bits = 8 * width
    return (value % (1 << bits) | 1 << (bits - 1) if value >= 0 else value % (1 << bits)).to_bytes(width, "big")


def block(
    name: bytes = b"file",
    size: int | bytes = 0,
    kind: bytes = b"0",
    *,
    magic: bytes = USTAR,
    target: bytes = b"",
    prefix: bytes = b"",
    mode: int | bytes = 0o644,
    owner: int | bytes = 0,
    group: int | bytes = 0,
    time: int | bytes = 0,
    device: tuple[int | bytes, int | bytes] = (0, 0),
    more: dict[int, bytes] | None = None,
    signed: bool = False,
    checksum: bytes | None = None,
) -> bytes:
    """Return a header.

    Args:
        name: and all fields as they stand; a number is written in octal.
        size: so.
        kind: so.
        magic: USTAR, GNU, V7 or STAR.
        target: as it stands.
        prefix: so.
        mode: so.
        owner: so.
        group: so.
        time: so.
        device: major and minor number.
        more: what to put at other offsets.
        signed: whether its sum is of signed bytes.
        checksum: as it stands.
    """
    made = bytearray(BLOCK)

    def put(at: int, width: int, value: int | bytes) -> None:
        text = octal(value, width) if isinstance(value, int) else value
        made[at : at + width] = text[:width].ljust(width, b"\0")

    put(0, 100, name)
    put(100, 8, mode)
    put(108, 8, owner)
    put(116, 8, group)
    put(124, 12, size)
    put(136, 12, time)
    put(156, 1, kind)
    put(157, 100, target)
    if magic:
        put(257, 8, magic[:8])
        put(329, 8, device[0])
        put(337, 8, device[1])
    if magic == STAR:
        put(508, 4, b"tar\0")
    if prefix:
        put(345, 131 if magic == STAR else 155, prefix)
    for at, data in (more or {}).items():
        made[at : at + len(data)] = data
    return summed(bytes(made), signed=signed) if checksum is None else bytes(made[:148] + checksum + made[156:])


def summed(header: bytes, *, signed: bool = False) -> bytes:
    """Return a header with its right sum."""
    bare = header[:148] + b" " * 8 + header[156:]
    total = sum(struct.unpack("512b", bare)) if signed else sum(bare)
    return header[:148] + b"%06o\0 " % max(0, total) + header[156:]


def padded(data: bytes) -> bytes:
    """Return content as it lies in an archive."""
    return data + bytes(-len(data) % BLOCK)


def member(name: bytes = b"file", content: bytes = b"", kind: bytes = b"0", **fields: object) -> bytes:
    """Return a header and its content."""
    fields.setdefault("size", len(content))
    return block(name, kind=kind, **fields) + padded(content)  # type: ignore[arg-type]


def record(key: bytes, value: bytes) -> bytes:
    """Return a PAX record."""
    body = b" " + key + b"=" + value + b"\n"
    size = len(body)
    while size != len(str(size)) + len(body):
        size = len(str(size)) + len(body)
    return b"%d" % size + body


def pax(records: Iterable[tuple[bytes, bytes]], kind: bytes = b"x") -> bytes:
    """Return a PAX header."""
    return member(b"PaxHeaders/x", b"".join([record(*each) for each in records]), kind)


def long_name(name: bytes, kind: bytes = b"L") -> bytes:
    """Return GNU's header for a long name; kind `K` for a link's target."""
    return member(b"././@LongLink", name + b"\0", kind, magic=GNU)


def old_sparse(pieces: Sequence[tuple[int, int]], real: int, content: bytes, name: bytes = b"sparse") -> bytes:
    """Return a sparse file as GNU tar used to write it."""

    def table(entries: Sequence[tuple[int, int]], room: int, *, further: bool) -> bytes:
        text = b"".join([octal(offset, 12) + octal(size, 12) for offset, size in entries])
        return text.ljust(24 * room, b"\0") + (b"\1" if further else b"\0")

    first, rest = pieces[:4], pieces[4:]
    more = {386: table(first, 4, further=bool(rest)), 483: octal(real, 12)}
    made = block(name, len(content), b"S", magic=GNU, more=more)
    while rest:
        part, rest = rest[:21], rest[21:]
        made += table(part, 21, further=bool(rest)).ljust(BLOCK, b"\0")
    return made + padded(content)


def sparse_1_0(pieces: Sequence[tuple[int, int]], real: int, content: bytes, name: bytes = b"sparse") -> bytes:
    """Return a sparse file of PAX, version 1.0."""
    lines = [len(pieces), *[number for piece in pieces for number in piece]]
    table = padded(b"".join([b"%d\n" % line for line in lines]))
    head = pax(
        [
            (b"GNU.sparse.major", b"1"),
            (b"GNU.sparse.minor", b"0"),
            (b"GNU.sparse.name", name),
            (b"GNU.sparse.realsize", b"%d" % real),
        ]
    )
    return head + member(b"GNUSparseFile.0/" + name, table + content)


def sparse_0(
    pieces: Sequence[tuple[int, int]], real: int, content: bytes, name: bytes = b"sparse", *, minor: int
) -> bytes:
    """Return a sparse file of PAX, version 0.0 or 0.1."""
    records = [(b"GNU.sparse.size", b"%d" % real), (b"GNU.sparse.numblocks", b"%d" % len(pieces))]
    if minor:
        records += [(b"GNU.sparse.map", b",".join([b"%d,%d" % piece for piece in pieces])), (b"GNU.sparse.name", name)]
    else:
        for offset, size in pieces:
            records += [(b"GNU.sparse.offset", b"%d" % offset), (b"GNU.sparse.numbytes", b"%d" % size)]
    return pax(records) + member(name, content)


_NAMES = [
    b"a",
    b"dir/",
    b"dir/file",
    b"./a",
    b"../up",
    b"/abs",
    b"",
    b"a\0b",
    b"x" * 100,
    b"y" * 99 + b"/",
    b"\xff\xfe",
    b"/",
]
_NUMBERS: list[int | bytes] = [
    *(0, 1, 5, 511, 512, 513, 1024),
    *(b"7", b" 5", b"5 ", b"\0005", b"5\0005", b"8", b"-1", b"+5", b"0x5", b"1_0", b"", b"       ", b"00000000010"),
    *(b"777777777777", b"\x80", b"\xff" * 12, b"\x80" + b"\xff" * 11, b"\x80" + bytes(10) + b"\5"),
    *(b"\xc0" + bytes(11), b"\x80\0\0\0\x7f" + b"\xff" * 7, b"\x80\0\0\0\x80" + bytes(7), b"\xff" * 11 + b"\xf0"),
    *(b"\x80\0\0\0\0\0\0\5", b"\xff\xff\xff\xff\xff\xff\xff\xfe", b"\xbf" + b"\xff" * 7),
]
_DECIMALS = [
    *(b"", b"0", b"5", b"+5", b"-5", b"-0", b"0512", b"512", b"1_0", b" 5", b"5 ", b"0x5", b"5.0", b"1e3", b"\0"),
    *(b"9223372036854775807", b"9223372036854775808", b"-9223372036854775808", b"-9223372036854775809", b"0" * 5000),
    *(b"4294967296", b"1.5", b"-1.5", b".5", b"1.", b"1.5x", b"1.2.3", b"12\n"),
]
_KINDS = [bytes([kind]) for kind in b"0000\0\0001234567xgLKSXVNDA"]
_KEYS = [
    *(b"path", b"linkpath", b"size", b"uid", b"gid", b"mtime", b"atime", b"ctime", b"uname", b"gname", b"comment"),
    *(b"SCHILY.xattr.user.a", b"GNU.sparse.major", b"GNU.sparse.minor", b"GNU.sparse.name", b"GNU.sparse.realsize"),
    *(b"GNU.sparse.size", b"GNU.sparse.map", b"GNU.sparse.numblocks", b"GNU.sparse.offset", b"GNU.sparse.numbytes"),
    *(b"", b"a=b", b"k\0y", b"hdrcharset", b"PATH"),
]


class Composer:
    """Archives by chance, from one seed."""

    def __init__(self, seed: int) -> None:
        """Begin."""
        self.random = random.Random(seed)

    def archive(self) -> bytes:
        """Return an archive: composed of sound and odd parts, sometimes changed here and there."""
        chance = self.random
        parts = [self._part() for _ in range(chance.choice((1, 2, 2, 3, 4, 6)))]
        data = b"".join(parts) + chance.choice((END, END, END, END + bytes(9000), bytes(512), b"", END + b"garbage"))
        for _ in range(chance.choice((0, 0, 0, 0, 1, 1, 2, 4))):
            data = self._mutated(data)
        return data

    def _some(self, *values: bytes) -> bytes:
        return self.random.choice(values)

    def _number(self, odd: float = 0.15) -> int | bytes:
        return self.random.choice(_NUMBERS) if self.random.random() < odd else self.random.choice((0, 1, 0o755, 1000))

    def _part(self) -> bytes:  # noqa: PLR0911  # one return for each kind of part
        chance = self.random
        content = chance.randbytes(chance.choice((0, 0, 1, 10, 511, 512, 513, 1500)))
        match chance.randrange(12):
            case 0 | 1 | 2:
                return self._member(content)
            case 3:
                return member(chance.choice(_NAMES), content)
            case 4 | 5:
                return pax(self._records(), chance.choice((b"x", b"x", b"x", b"x", b"g"))) + self._rest(content)
            case 6:
                return member(b"pax", self._raw_records(), b"x") + self._rest(content)
            case 7:
                name = chance.choice((*_NAMES, b"n" * 300, b"n" * 200 + b"/"))
                return long_name(name, chance.choice((b"L", b"K"))) + self._rest(content)
            case 8 | 9 | 10:
                return self._sparse()
            case _:
                return chance.choice((bytes(BLOCK), END, chance.randbytes(BLOCK), b"x" * 100))

    def _rest(self, content: bytes) -> bytes:
        """Return what comes behind an extended header: mostly a member, sometimes another of its like, or nothing."""
        match self.random.randrange(8):
            case 0:
                return self._part()
            case 1:
                return b""
            case _:
                return self._member(content)

    def _member(self, content: bytes) -> bytes:
        chance = self.random
        odd = chance.choice((0, 0, 0.1, 0.4))
        return block(
            chance.choice(_NAMES),
            chance.choice(_NUMBERS) if chance.random() < odd else len(content),
            chance.choice(_KINDS),
            magic=chance.choice((USTAR, USTAR, GNU, GNU, V7, STAR, b"ustar\x00xx", b"ustar \x000")),
            target=chance.choice(_NAMES) if chance.random() < 0.4 else b"",
            prefix=chance.choice((b"pre", b"/", b"\xc3\xa9", b"p" * 155, b"00000000001"))
            if chance.random() < 0.3
            else b"",
            mode=self._number(odd),
            owner=self._number(odd),
            group=self._number(odd),
            time=self._number(odd),
            device=(self._number(odd), self._number(odd)),
            signed=chance.random() < 0.1,
        ) + padded(content)

    def _records(self) -> list[tuple[bytes, bytes]]:
        chance = self.random

        def value(key: bytes) -> bytes:
            if key in {b"path", b"linkpath", b"GNU.sparse.name"} or chance.random() < 0.1:
                return chance.choice(_NAMES)
            return chance.choice(_DECIMALS) if chance.random() < 0.5 else b"%d" % chance.choice((0, 1, 5, 512))

        keys = chance.choices(_KEYS, weights=[4] * 8 + [1] * (len(_KEYS) - 8), k=chance.choice((0, 1, 1, 2, 3)))
        return [(key, value(key)) for key in keys]

    def _raw_records(self) -> bytes:
        chance = self.random
        good = [record(*each) for each in [*self._records(), (b"comment", b"x")]]
        odd = [
            b"5 a=\n",
            b"4 a=",
            b"05 a=\n",
            b"+6 a=\n",
            b"6 a=b\n",
            b"9 path=a\0",
            b"12 path=abc\n",
            b"99 a=b\n",
            b"\0" * 3,
        ]
        odd += [
            b"10 a=b\nc=d\n",
            b"0000000000000000000000000000000000000000038 a\n",
            b" 6 a=b\n",
            b"7  a=b\n",
            b"-6 a=b\n",
        ]
        return b"".join(chance.choices((*good, *odd), k=chance.choice((1, 2, 3))))

    def _sparse(self) -> bytes:
        chance = self.random
        pieces: list[tuple[int, int]] = []
        at = 0
        for _ in range(chance.choice((0, 1, 2, 3, 4, 5, 6, 26, 30))):
            offset, size = at + chance.choice((0, 1, 512, 700)), chance.choice((0, 1, 5, 512, 600))
            pieces.append((offset, size))
            at = offset + size
        content = chance.randbytes(sum([size for _, size in pieces]))
        real = at + chance.choice((0, 0, 1, 512, 1 << 40))
        match chance.randrange(10):
            case 0 if pieces:
                pieces[chance.randrange(len(pieces))] = (chance.choice((0, 1, 1 << 33)), chance.choice((0, 1, 512)))
            case 1:
                content = content[: -chance.choice((1, 512))]
            case 2:
                content += b"more"
            case 3:
                real = max(0, real - chance.choice((1, 512, 4096)))
            case _:
                pass
        name = chance.choice((b"sparse", b"", b"s\0p", b"dir/"))
        match chance.randrange(4):
            case 0:
                return old_sparse(pieces, real, content, name)
            case 1:
                return sparse_1_0(pieces, real, content, name)
            case minor:
                return sparse_0(pieces, real, content, name, minor=minor - 2)

    def _mutated(self, data: bytes) -> bytes:  # noqa: PLR0911  # one return for each change
        chance = self.random
        made = bytearray(data)
        match chance.randrange(7):
            case 0:
                return data[: chance.randrange(len(data) + 1)]
            case 1:
                at = chance.randrange(len(data) // BLOCK + 1) * BLOCK
                return data[:at]
            case 2 if data:
                made[chance.randrange(len(made))] = chance.choice((0, 32, 48, 49, 128, 255, chance.randrange(256)))
                return bytes(made)
            case 3:
                at = chance.randrange(len(data) // BLOCK + 1) * BLOCK
                return data[:at] + chance.choice((bytes(BLOCK), END, member(), data[:BLOCK])) + data[at:]
            case 4:
                at = chance.randrange(len(data) // BLOCK + 1) * BLOCK
                return data[:at] + data[at + BLOCK :]
            case _ if len(data) >= BLOCK:
                # One byte of a block that may be a header, and its sum made right again.
                at = chance.randrange(len(data) // BLOCK) * BLOCK
                field = chance.choice(
                    (0, 99, 100, 107, 108, 116, 124, 130, 135, 136, 147, 156, 156, 157, 257, 262, 263)
                )
                place = at + chance.choice((field, field, chance.choice((329, 345, 386, 397, 410, 482, 483, 500, 508))))
                made[place] = chance.choice((0, 32, 45, 47, 48, 49, 53, 55, 56, 83, 103, 120, 128, 255))
                return bytes(made[:at]) + summed(bytes(made[at : at + BLOCK])) + bytes(made[at + BLOCK :])
            case _:
                return data
