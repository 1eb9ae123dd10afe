"""Edit a JSON document in place: values are replaced where they stand, everything else stays byte for byte. Pure.

What is found is what Go's encoding/json finds: keys of structs match regardless of case. A document that could be read
in two ways is refused: a key twice in any object, or, in an object that is looked into, twice but for its case.

A string that is itself a document, such as a label, is edited the same way: its other characters keep their escapes.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from metalauncher.tooling.oci.go_json import fold

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import NoReturn

# too-large, not-utf-8, not-json, too-deep: the whole document. repeated: a key of it. missing, type: a value of it.
DocumentCode = Literal["too-large", "not-utf-8", "not-json", "too-deep", "repeated", "missing", "type"]

DEPTH_LIMIT: Final = 200  # of objects and arrays in one another; the deepest real ones, buildpacks' metadata, have 20
_DIGITS_LIMIT: Final = 4000  # of a number; Python's own limit is 4,300
# A string, or one that does not end, or a bracket.
_BRACKETS = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{}]', re.DOTALL)
_LONE = re.compile("[\ud800-\udfff]")
_BLANKS = re.compile(r"[ \t\n\r]*")
# One character of a string as it is written: a pair of surrogates, which is one, an escape, or a run of plain ones.
_WRITTEN = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.|[^\\]+")


class DocumentError(Exception):
    """A document can't be edited.

    Attributes:
        code: why.
        key: what it is about: the path of a value, or a key that is there twice; "" for the whole document.
    """

    def __init__(self, code: DocumentCode, key: str = "") -> None:
        """Hold why."""
        super().__init__(code, key)
        self.code: Final = code
        self.key: Final = key


class Edit(NamedTuple):
    """What is to stand in the place of a value.

    Attributes:
        start: of the value, in characters of the outermost document.
        end: behind it.
        text: instead.
    """

    start: int
    end: int
    text: str


class Value:
    """A value in a document, and where it stands.

    Attributes:
        value: decoded.
        path: of its keys in its own document, for messages.
    """

    __slots__ = ("_end", "_outer", "_start", "_text", "path", "value")

    def __init__(self, text: str, start: int, end: int, value: Any, path: str, outer: Value | None) -> None:
        """Hold a value of a document that `parse` has read.

        Args:
            text: the document.
            start: of the value in it.
            end: behind it.
            value: decoded.
            path: of its keys.
            outer: the string that the document is written in; None for the outermost.
        """
        self._text: Final = text
        self._start: Final = start
        self._end: Final = end
        self._outer: Final = outer
        self.value: Final = value
        self.path: Final = path

    def members(self, *, exact: bool = False) -> dict[str, Value]:
        """Return an object's members, by their keys.

        Args:
            exact: whether keys are what they are, as those of a Go map; else they are folded as those of a struct.

        Raises:
            DocumentError: it is no object, or has a key twice.
        """
        if not isinstance(self.value, dict):
            raise DocumentError("type", self.path)
        found: dict[str, Value] = {}
        at = self._skip(self._start + 1)
        while self._text[at] != "}":
            if self._text[at] == ",":
                at = self._skip(at + 1)
            written, at = _DECODER.raw_decode(self._text, at)
            key = written if exact else fold(written)
            if key in found:
                raise DocumentError("repeated", f"{self.path}.{written}".lstrip("."))
            value = self._read(self._skip(self._skip(at) + 1), f"{self.path}.{written}".lstrip("."))
            found[key] = value
            at = self._skip(value._end)
        return found

    def items(self) -> list[Value]:
        """Return an array's items.

        Raises:
            DocumentError: it is no array.
        """
        if not isinstance(self.value, list):
            raise DocumentError("type", self.path)
        found: list[Value] = []
        at = self._skip(self._start + 1)
        while self._text[at] != "]":
            if self._text[at] == ",":
                at = self._skip(at + 1)
            value = self._read(at, f"{self.path}[{len(found)}]")
            found.append(value)
            at = self._skip(value._end)
        return found

    def get(self, *keys: str, exact: bool = False) -> Value | None:
        """Return the value at a path of keys, None where there is none, or null.

        Args:
            keys: of the objects on the way.
            exact: whether the last of them is of a Go map.

        Raises:
            DocumentError: something on the way is no object, or has a key twice.
        """
        found = self
        for number, key in enumerate(keys, 1):
            as_map = exact and number == len(keys)
            value = found.members(exact=as_map).get(key if as_map else fold(key))
            if value is None or value.value is None:
                return None
            found = value
        return found

    def need(self, *keys: str, exact: bool = False) -> Value:
        """Return the value at a path of keys.

        Raises:
            DocumentError: as `get`, or there is none.
        """
        found = self.get(*keys, exact=exact)
        if found is None:
            raise DocumentError("missing", ".".join([self.path, *keys]).lstrip("."))
        return found

    @property
    def text(self) -> str:
        """What a string says.

        Raises:
            DocumentError: it is no string.
        """
        if not isinstance(self.value, str):
            raise DocumentError("type", self.path)
        return self.value

    def embedded(self, limit: int) -> Value:
        """Return the document that is written in a string.

        Args:
            limit: characters of it.

        Raises:
            DocumentError: it is no string, or there is no document in it.
        """
        return _parse(self.text, limit, self)

    def replaced(self, value: Any) -> Edit:
        """Return the edit that puts another value here: compact, and ASCII alone.

        Args:
            value: what `json.dumps` takes; an object's keys keep their order.
        """
        return self._edit(self._start, self._end, json.dumps(value, separators=(",", ":")))

    def _edit(self, start: int, end: int, text: str) -> Edit:
        if self._outer is None:
            return Edit(start, end, text)
        outer = self._outer
        begin, stop = _written(outer._text, outer._start + 1, (start, end))
        return outer._edit(begin, stop, json.dumps(text)[1:-1])

    def _read(self, at: int, path: str) -> Value:
        value, end = _DECODER.raw_decode(self._text, at)
        return Value(self._text, at, end, value, path, self._outer)

    def _skip(self, at: int) -> int:
        found = _BLANKS.match(self._text, at)
        return at if found is None else found.end()


def parse(data: bytes, limit: int) -> Value:
    """Return a whole document, which is an object.

    Args:
        data: it.
        limit: bytes of it.

    Raises:
        DocumentError: it is none that can be edited.
    """
    if len(data) > limit:
        raise DocumentError("too-large")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise DocumentError("not-utf-8") from None
    return _parse(text, limit, None)


def apply(data: bytes, edits: Iterable[Edit]) -> bytes:
    """Return a document with values replaced; no two edits may be of one place."""
    text = data.decode()
    parts: list[str] = []
    at = 0
    for edit in sorted(edits):
        if edit.start < at:
            raise ValueError(edit)
        parts += [text[at : edit.start], edit.text]
        at = edit.end
    return "".join([*parts, text[at:]]).encode()


def _parse(text: str, limit: int, outer: Value | None) -> Value:
    path = "" if outer is None else outer.path
    if len(text) > limit:
        raise DocumentError("too-large", path)
    _refuse_deep(text, path)
    blanks = _BLANKS.match(text)
    start = 0 if blanks is None else blanks.end()
    try:
        value, end = _DECODER.raw_decode(text, start)
    except _Repeated as error:
        raise DocumentError("repeated", str(error)) from None
    except (ValueError, RecursionError):
        raise DocumentError("not-json", path) from None
    if text[end:].strip(" \t\n\r"):
        raise DocumentError("not-json", path)
    if not isinstance(value, dict):
        raise DocumentError("type", path)
    return Value(text, start, end, value, "", outer)


def _refuse_deep(text: str, path: str) -> None:
    """Refuse what is nested deeper than anybody writes, before a parser that calls itself comes to it."""
    depth = 0
    for found in _BRACKETS.finditer(text):
        bracket = found[0]
        if bracket in "[{":
            depth += 1
            if depth > DEPTH_LIMIT:
                raise DocumentError("too-deep", path)
        elif bracket in "]}":
            depth -= 1


def _written(text: str, at: int, positions: tuple[int, int]) -> tuple[int, int]:
    """Return where characters of a string are written.

    Args:
        text: the document with the string.
        at: where its first character is written.
        positions: numbers of characters in the string, in order.
    """
    found: list[int] = []
    number = 0  # of the character that is written at `at`
    while len(found) < len(positions):
        wanted = positions[len(found)]
        if number == wanted:
            found.append(at)
            continue
        piece = _WRITTEN.match(text, at)
        assert piece is not None  # noqa: S101  # the string was read before
        plain = not piece[0].startswith("\\")
        step = min(len(piece[0]), wanted - number) if plain else 1
        number += step
        at = at + step if plain else piece.end()
    return found[0], found[1]


class _Repeated(ValueError):
    """An object has a key twice; the text is the key."""


def _object(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
    seen: set[str] = set()
    for key, _ in pairs:
        name = key if key.isascii() else _LONE.sub("\ufffd", key)  # as Go mends it
        if name in seen:
            raise _Repeated(key)
        seen.add(name)
    return dict(pairs)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _integer(digits: str) -> int:
    if len(digits) > _DIGITS_LIMIT:
        raise ValueError(digits[:9])
    return int(digits)


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_constant, parse_int=_integer)
