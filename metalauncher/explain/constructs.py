"""What a TOML text is written with that not every parser reads: text -> constructs, each with its line. Pure.

Not a parser: tomli has read the text, and this finds its way through it by that. Loaded only when something is said.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Iterator
    from typing import Final

    Found = dict[str, int]

# Of TOML 1.1.
INLINE_LINES = "an inline table of several lines"
INLINE_COMMA = "a comma at the end of an inline table"
NEW_ESCAPES = "the escape \\e or \\x"
NO_SECONDS = "a time without seconds"
# Of TOML 1.0, and not of 0.5 or before.
DOTTED_KEY = "a dotted key"
NUMBER_BASE = "a hexadecimal, octal or binary number"
INF_NAN = "inf or nan"
LOCAL_TIME = "a local time, or a date and time with a blank or in lower case"
CLOSING_QUOTES = "a quote before the closing quotes of a multi-line string"
FOLDED_LINE = "a backslash at the end of a line that ends in blanks or in CR LF"
MIXED_ARRAY = "an array of mixed types"
# Of neither, though tomli reads it.
TOO_LARGE = "a number beyond 64 bits"

_TOKEN: Final = re.compile(
    r"""
    (?P<multi>\"\"\"(?:"{0,2}(?:\\.|[^"\\]))*+(?P<double>"{3,5}) | '''(?:'{0,2}[^'])*+(?P<single>'{3,5}))
    | (?P<string>"(?:\\.|[^"\\\n])*+" | '[^'\n]*')
    | (?P<comment>\#[^\n]*)
    | (?P<bare>[0-9]{4}-[0-9]{2}-[0-9]{2}\ [0-9][^\s,\]}\#]* | [^\s"'\#\[\]{}=,]+)
    | (?P<mark>[][{}=,\n])
    """,
    re.VERBOSE | re.DOTALL,
)
# What is no other escape is the end of a line: tomli has read the string.
_FOLDED_LINE = re.compile(r"(?<!\\)(?:\\\\)*+\\[ \t\r]")
_NEW_ESCAPE = re.compile(r"(?<!\\)(?:\\\\)*+\\[ex]")
_NO_SECONDS = re.compile(r"(?:^|[Tt ])[0-9]{2}:[0-9]{2}(?:[Zz]|[+-][0-9]{2}:[0-9]{2})?$")
_LOCAL_TIME = re.compile(r"^[0-9]{2}:|^[0-9]{4}-.*(?:[tz ])")
_INTEGER = re.compile(r"^[+-]?(?:0x[0-9A-Fa-f_]+|0o[0-7_]+|0b[01_]+|[0-9_]+)$")
_FLOAT = re.compile(r"^[+-]?[0-9][0-9_]*(?:\.[0-9_]+)?(?:[eE][+-]?[0-9_]+)?$")
_DIGITS_LIMIT = 400  # no 64-bit integer has so many


def find_constructs(text: str, document: object, wanted: Container[str]) -> Found:
    """Return the constructs that a text is written with, each with the line (from 1, 0 if not known) of the first.

    Args:
        text: that tomli reads.
        document: what it reads.
        wanted: which constructs to look for.
    """
    found: Found = {}
    odd, mixed = _look_through(document)
    if _is_suspect(text, wanted, odd=odd):
        for name, line in _scan(text):
            if name in wanted:
                found.setdefault(name, line)
    if mixed and MIXED_ARRAY in wanted:
        found[MIXED_ARRAY] = 0
    return found


def _is_suspect(text: str, wanted: Container[str], *, odd: bool) -> bool:
    """Tell whether a text has to be walked through, which takes five times as long as to parse it."""
    return (
        any([name in wanted for name in (DOTTED_KEY, NUMBER_BASE, CLOSING_QUOTES)])
        or (odd and any([name in wanted for name in (NO_SECONDS, LOCAL_TIME, INF_NAN, TOO_LARGE)]))
        or (INLINE_LINES in wanted and "{" in text)
        or (NEW_ESCAPES in wanted and ("\\e" in text or "\\x" in text))
    )


def _scan(text: str) -> Iterator[tuple[str, int]]:
    """Walk from token to token: what a word is, a key or a value, depends on the brackets that are open."""
    line = 1
    opened: list[str] = []
    key, header, comma = True, False, False
    for token in _TOKEN.finditer(text):
        kind, word = token.lastgroup, token[0]
        inline = bool(opened) and opened[-1] == "{"
        if kind == "mark":
            if word == "\n":
                if inline:
                    yield INLINE_LINES, line
                line += 1
                if not opened:
                    key, header = True, False
            elif word == "[" and key and not opened:
                header = True
            elif header:
                pass
            elif word in "[{":
                opened.append(word)
                key = word == "{"
            elif word in "]}":
                if comma and word == "}":
                    yield INLINE_COMMA, line
                del opened[-1:]  # and nothing where none is open: whoever asks is to get an answer, not an exception
                key = False
            else:
                key = word == "," and inline
            comma = word == "," or (comma and word == "\n")
            continue
        if kind == "comment":
            continue
        comma = False
        if kind in ("string", "multi"):
            if word[0] == '"' and _NEW_ESCAPE.search(word):
                yield NEW_ESCAPES, line
            if word.startswith('"""') and _FOLDED_LINE.search(word):
                yield FOLDED_LINE, line
            if len(token["double"] or token["single"] or "") > len('"""'):
                yield CLOSING_QUOTES, line
            line += word.count("\n")
        elif header:
            pass
        elif key:
            if "." in word:
                yield DOTTED_KEY, line
        else:
            for name in _of_value(word):
                yield name, line


def _of_value(word: str) -> Iterator[str]:
    if _INTEGER.match(word):
        if word.lstrip("+-")[:2] in ("0x", "0o", "0b"):
            yield NUMBER_BASE
        if (
            len(word) > _DIGITS_LIMIT
            or not -(2**63) <= int(word, 0 if "x" in word or "o" in word or "b" in word else 10) < 2**63
        ):
            yield TOO_LARGE
    elif _FLOAT.match(word):
        if float(word) in (float("inf"), float("-inf")):
            yield TOO_LARGE
    elif word.lstrip("+-") in ("inf", "nan"):
        yield INF_NAN
    else:
        if _NO_SECONDS.search(word):
            yield NO_SECONDS
        if _LOCAL_TIME.match(word):
            yield LOCAL_TIME


def _look_through(document: object) -> tuple[bool, bool]:
    """Tell whether a document holds values of which there are odd spellings, and whether it holds a mixed array."""
    odd = mixed = False
    values = [document]
    while values:
        one = values.pop()
        if isinstance(one, dict):
            values += one.values()
        elif isinstance(one, list):
            mixed = mixed or len({_type_of(item) for item in one}) > 1
            values += one
        elif isinstance(one, float):
            odd = odd or one - one != 0  # inf or nan, or a number that is too large
        elif isinstance(one, int):
            odd = odd or not -(2**63) <= one < 2**63
        else:
            odd = odd or not isinstance(one, str)  # a date or time
    return odd, mixed


def _type_of(value: object) -> object:
    """Return what counts as one type: dates and times of all kinds do."""
    return type(value) if isinstance(value, (bool, int, float, str, list, dict)) else None
