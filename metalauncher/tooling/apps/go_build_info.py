"""What a Go program says of how it was built: by which Go, of which module, with which settings. Runs nothing.

The linker leaves it in every program, stripped or not; `go version -m FILE` prints it. Go 1.18 and later write the two
texts behind a header, older ones pointers to them; both are read here, from ELF files. Whatever the bytes are, the
answer is what Go itself reads, or nothing: also where Go would take what is beyond the limits here, or is not UTF-8.

Source: go/src/debug/buildinfo/buildinfo.go and runtime/debug/mod.go (ParseBuildInfo), Go 1.26.
"""

from __future__ import annotations

import re
from typing import IO, TYPE_CHECKING, Final, NamedTuple

from metalauncher.tooling.apps.elf_file import ElfFile, NotElf

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_MAGIC: Final = b"\xff Go buildinf:"
_ALIGNMENT: Final = 16
_HEADER_SIZE: Final = 32
_POINTER_SIZE_AT, _FLAGS_AT, _POINTERS_AT = 14, 15, 16
_BIG_ENDIAN, _INLINE = 1, 2  # flags
_ADDRESS_LIMIT: Final = 1 << 64
_CHUNK: Final = 1 << 20
_VARINT_SIZE: Final = 10  # bytes that Go reads of a length, however few it has
_VERSION_LIMIT: Final = 256  # bytes; "go1.26.8 X:nocoverageredesign" has 30
_MODULES_LIMIT: Final = 1 << 20  # bytes; a program of 500 modules has 40 KB
_FRAME: Final = 16  # bytes before and after the list of modules, by which runtimes of old knew it
_TO_BE_QUOTED: Final = re.compile('[ \t\r\n"`]')
_ESCAPE: Final = re.compile(r"\\(?:([abfnrtv\\\"])|x([0-9a-fA-F]{2})|([0-7]{3})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))")
_ESCAPED: Final = dict(zip('abfnrtv\\"', '\a\b\f\n\r\t\v\\"', strict=True))


class GoBuildInfo(NamedTuple):
    """What a Go program says of how it was built.

    Attributes:
        go_version: of the Go that built it, as `go1.26.8`.
        path: import path of its main package, "" if not said.
        module: path of the module that this is of, "" if not said.
        module_version: `v0.21.17`; `(devel)` if built in a checkout; "" if not said.
        replacement: what the build took in that module's place, `path@version`; "" if nothing.
        settings: by key, as `-ldflags` and `GOARCH`; of a key that occurs twice, the last.
    """

    go_version: str
    path: str
    module: str
    module_version: str
    replacement: str
    settings: Mapping[str, str]


def read_build_info(file: IO[bytes]) -> GoBuildInfo | None:
    """Return what the program in a file says, None if it is no Go program or says nothing that Go reads.

    Args:
        file: it; seekable.

    Raises:
        OSError: it can't be read.
    """
    try:
        version, modules = _texts(ElfFile(file))
        return _parse(version.decode(), modules.decode("utf-8", "surrogateescape"))
    except ValueError:
        return None


def _texts(elf: ElfFile) -> tuple[bytes, bytes]:
    """Return the version of Go, and the list of modules.

    Raises:
        NotElf: there are none.
    """
    at = _find(elf, *_place(elf))
    header = _exactly(elf, at, _HEADER_SIZE)
    if header[_FLAGS_AT] & _INLINE:
        version, behind = _inline(elf, at + _HEADER_SIZE, _VERSION_LIMIT)
        modules, _ = _inline(elf, behind, _MODULES_LIMIT)
    else:
        size = header[_POINTER_SIZE_AT]
        if size not in (4, 8):
            raise NotElf("pointers of an odd size")
        pointers = _Pointers(elf, size, big=bool(header[_FLAGS_AT] & _BIG_ENDIAN))
        version = pointers.text(pointers.number(header, _POINTERS_AT), _VERSION_LIMIT)
        modules = pointers.text(pointers.number(header, _POINTERS_AT + size), _MODULES_LIMIT)
    if not version:
        raise NotElf("no version of Go")
    framed = len(modules) > 2 * _FRAME and modules[-_FRAME - 1 : -_FRAME] == b"\n"
    return version, modules[_FRAME:-_FRAME] if framed else b""


def _place(elf: ElfFile) -> tuple[int, int]:
    """Return address and size of where to look: the section that is for it, else the program's data."""
    section = elf.section(b".go.buildinfo")
    if section is not None:
        return section.address, section.size
    data = elf.writable_data()
    if data is None:
        raise NotElf("no data")
    return data.address, data.memory_size


def _find(elf: ElfFile, start: int, size: int) -> int:
    """Return the address of the first header.

    Raises:
        NotElf: there is none.
    """
    end = start + size
    if end >= _ADDRESS_LIMIT:
        raise NotElf("data beyond all addresses")
    start += -start % _ALIGNMENT
    while start < end:
        data = elf.read(start, min(_CHUNK, end - start))
        if not data:
            break
        at = data.find(_MAGIC)
        if at >= 0:
            # Go, too, finds nothing behind one that lies askew, or reads something else for it (searchMagic).
            if at % _ALIGNMENT or end - start - at < _HEADER_SIZE:
                raise NotElf("no room for a header")
            return start + at
        start += _CHUNK
    raise NotElf("no header")


def _exactly(elf: ElfFile, address: int, size: int) -> bytes:
    data = elf.read(address, size)
    if len(data) < size:
        raise NotElf("cut off")
    return data


def _inline(elf: ElfFile, address: int, limit: int) -> tuple[bytes, int]:
    """Return the text at an address, its length before it, and the address behind it."""
    data = _exactly(elf, address, _VARINT_SIZE)
    length = 0
    for number, byte in enumerate(data):
        length |= (byte & 0x7F) << (7 * number)
        if byte < 0x80:
            break
    else:
        raise NotElf("a length without an end")
    if length > limit:
        raise NotElf("a text that is too long")
    address += number + 1
    return _exactly(elf, address, length), address + length


class _Pointers:
    """Follows pointers to texts, as Go had them in a header before 1.18: to an address and a length."""

    def __init__(self, elf: ElfFile, size: int, *, big: bool) -> None:
        self._elf: Final = elf
        self._size: Final = size
        self._big: Final = big

    def number(self, data: bytes, at: int) -> int:
        return int.from_bytes(data[at : at + self._size], "big" if self._big else "little")

    def text(self, address: int, limit: int) -> bytes:
        """Return a text, b"" where there is none."""
        try:
            header = _exactly(self._elf, address, 2 * self._size)
            length = self.number(header, self._size)
            return b"" if length > limit else _exactly(self._elf, self.number(header, 0), length)
        except NotElf:
            return b""


def _parse(version: str, modules: str) -> GoBuildInfo:
    """Return what a list of modules says.

    Raises:
        ValueError: Go refuses it, or what counts is not UTF-8.
    """
    path = ""
    main = ("", "")
    replacement = ""
    replaceable = ""  # what a replacement on the next line is for
    settings: dict[str, str] = {}
    for key, rest in _lines(modules):
        match key:
            case "path":
                path = rest
            case "mod" | "dep":
                columns = rest.split("\t")
                if len(columns) not in (2, 3):
                    raise ValueError("a module of too few columns")
                replaceable = key
                if key == "mod":
                    main, replacement = (columns[0], columns[1]), ""
            case "=>":
                columns = rest.split("\t")
                if len(columns) != 3 or not replaceable:
                    raise ValueError("a replacement of nothing")
                if replaceable == "mod":
                    replacement = "@".join([part for part in columns[:2] if part])
                replaceable = ""
            case "build":
                name, value = _setting(rest)
                settings[name] = value
    found = GoBuildInfo(version, path, *main, replacement, settings)
    "".join(
        [*found[:-1], *settings, *settings.values()]
    ).encode()  # a ValueError; what is of no interest may be anything
    return found


def _lines(modules: str) -> Iterator[tuple[str, str]]:
    """Give each whole line's first word, up to a tab, and the rest."""
    for line in modules.split("\n")[:-1]:
        key, tab, rest = line.partition("\t")
        if tab:
            yield key, rest


def _setting(text: str) -> tuple[str, str]:
    """Return a setting's key and value: `key=value`, each quoted as in Go's source where it has to be."""
    if text[:1] in ("`", '"'):
        end = _quoted_end(text)
        name, equals, value = _unquote(text[:end]), text[end : end + 1], text[end + 1 :]
    else:
        name, equals, value = text.partition("=")
        if _TO_BE_QUOTED.search(name) or not name:
            raise ValueError("a key that is not quoted")
    if equals != "=":
        raise ValueError("a setting without a value")
    if value[:1] in ("`", '"'):
        return name, _unquote(value)
    if _TO_BE_QUOTED.search(value):
        raise ValueError("a value that is not quoted")
    return name, value


def _quoted_end(text: str) -> int:
    """Return where the quoted text ends that `text` begins with."""
    found = re.match(r"`[^`]*`|\"(?:[^\"\\]|\\.)*\"", text)
    if found is None:
        raise ValueError("a quote without an end")
    return found.end()


def _unquote(text: str) -> str:
    """Return what a text means that is quoted in Go's way.

    Raises:
        ValueError: it is not quoted so; or what it means is not UTF-8.
    """
    if _quoted_end(text) != len(text):
        raise ValueError("text behind a quote")
    inside = text[1:-1]
    if text[0] == "`":
        return inside.replace("\r", "")
    parts: list[bytes] = []
    at = 0
    while (next_at := inside.find("\\", at)) >= 0:
        found = _ESCAPE.match(inside, next_at)
        if found is None:
            raise ValueError("an odd escape")
        parts += [inside[at:next_at].encode(), _escaped(found)]
        at = found.end()
    return b"".join([*parts, inside[at:].encode()]).decode()


def _escaped(found: re.Match[str]) -> bytes:
    letter, hexadecimal, octal, short, long = found.groups()
    if letter:
        return _ESCAPED[letter].encode()
    if hexadecimal:
        return bytes([int(hexadecimal, 16)])
    if octal:
        return bytes([int(octal, 8)])  # above 255 a ValueError, as in Go
    return chr(int(short or long, 16)).encode()
