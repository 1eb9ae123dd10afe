"""Where each key of a TOML document stands: what a parser doesn't tell. For documents that parse.

Source: TOML 1.0. Keys inside inline tables and arrays are not looked for: the key that holds them stands for them.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    Path = tuple[str, ...]
    Position = tuple[int, int]  # line and column, both from 1

_KEY = re.compile(r"""[ \t]*(?:([A-Za-z0-9_-]+)|"((?:[^"\\\n]|\\.)*)"|'([^'\n]*)')[ \t]*""")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
# One step over a value: a string of any kind, a comment, or one character.
_STEP = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|#[^\n]*|.', flags=re.DOTALL
)


def positions(text: str) -> dict[Path, Position]:
    """Return line and column of every table's header and every key, the first where there are several."""
    found: dict[Path, Position] = {}
    table: Path = ()
    ends = [match.start() for match in re.finditer("\n", text)]
    at = _blank(text, 0)
    while at < len(text):
        begin = at
        if text[at] == "[":
            table, at = _dotted(text, at + (2 if text.startswith("[[", at) else 1))
            path = table
            at = text.find("\n", at)
        else:
            key, at = _dotted(text, at)
            path = table + key
            at = _over_value(text, at)
        if at <= begin:  # not TOML after all, or its end
            at = len(text)
        for length in range(1, len(path) + 1):
            found.setdefault(path[:length], _position(ends, begin))
        at = _blank(text, at)
    return found


def locate(found: dict[Path, Position], path: Path) -> Position:
    """Return where `path` stands, or else the nearest table that would hold it, or else the beginning."""
    while path and path not in found:
        path = path[:-1]
    return found.get(path, (1, 1))


def _position(ends: Sequence[int], at: int) -> Position:
    line = bisect_left(ends, at)
    return line + 1, at - (ends[line - 1] if line else -1)


def _blank(text: str, at: int) -> int:
    match = _BLANK.match(text, at)
    return match.end() if match else at


def _dotted(text: str, at: int) -> tuple[Path, int]:
    parts: list[str] = []
    while match := _KEY.match(text, at):
        parts.append(next(part for part in match.groups() if part is not None))
        at = match.end()
        if text[at : at + 1] != ".":
            break
        at += 1
    return tuple(parts), at


def _over_value(text: str, at: int) -> int:
    depth = 0
    while match := _STEP.match(text, at):
        step = match[0]
        depth += (step in ("[", "{")) - (step in ("]", "}"))
        if step == "\n" and depth <= 0:
            return at
        at = match.end()
    return at
