"""What the apps' metadata.toml say, and what launchers make of them: parsed in bounded time and memory, and remembered.

Tags of one app, and apps that one builder made, share the file; a judgement under two run images reads it twice.
"""

from __future__ import annotations

import hashlib
import re
import threading
from contextlib import nullcontext
from typing import TYPE_CHECKING, Final, TypeVar

from metalauncher.explain.forecast import foretell
from metalauncher.record import parse_record
from metalauncher.tooling.oci.model import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from metalauncher.descriptor import Launcher
    from metalauncher.environment import Policy
    from metalauncher.explain.forecast import Forecast
    from metalauncher.record import Record

    Answer = TypeVar("Answer")

# How many microseconds the parser and the forecast together work for each of these bytes, at most: measured at 2.4 GHz,
# over texts that are made of little else.
_WORK: Final[tuple[tuple[float, bytes], ...]] = (
    (5, b"="),
    (4, b"."),
    (3.5, b",[{"),
    (1, b"\n"),
    (0.9, b"\\" + bytes([byte for byte in range(256) if byte < 32 or byte > 126]).translate(None, b"\n\r\t")),
    (0.4, b'"_0123456789abcdefABCDEF'),
)
_HEADER = re.compile(rb"^[ \t]*+\[[^\n]*", re.MULTILINE)
_BEFORE_VALUE = re.compile(rb"^[^=\n]++", re.MULTILINE)  # a key, or a header
_HEADER_WORK, _HEADER_DOT_WORK, _KEY_DOT_WORK = 10, 8, 4  # besides
# 300 KB of [[bom]], the most that is known, come to 220,000. Each microsecond takes up to 100 bytes of memory.
WORK_LIMIT: Final = 600_000
# Bytes, and work, of a file of which only one is parsed at a time; most come to 4 KiB, and 2,000.
_LARGE, _MUCH = 256 << 10, 30_000
# What lies under a header of n parts takes n times as long, and a key of n parts n times n.
_PARTS_LIMIT = 16
_LONG_KEY = re.compile(
    rb"""
    ^(?: [ \t]*+\[ (?:[^.\n]*+\.){%(n)d}
       | (?: (?: "(?:\\.|[^"\\\n])*+" | '[^'\n]*+' | [^.=\n"'] )*+ \. ){%(n)d} )
    """
    % {b"n": _PARTS_LIMIT},
    re.MULTILINE | re.VERBOSE,
)
_REMEMBERED = 1024  # answers, none with more than so many texts, and letters in them
_REMEMBERED_PARTS, _REMEMBERED_BYTES = 64, 4096


class Records:
    """Parses the records of apps. For several threads at once."""

    def __init__(self) -> None:
        """Begin with nothing remembered."""
        self._one_large: Final = threading.Lock()
        self._records: Final[dict[Hashable, Record]] = {}
        self._forecasts: Final[dict[Hashable, Forecast]] = {}

    def parse(self, data: bytes, path: str, policy: Policy) -> Record:
        """Return what a metadata.toml says.

        Raises:
            InvalidMetadata: it is no record.
            ImageError: it would take too long.
        """
        key = (_digest(data), path, policy.platform_text)
        return self._answer(self._records, key, data, lambda: _parse(data, path, policy), _is_small)

    def foretell(self, data: bytes, launcher: Launcher) -> Forecast:
        """Return what a launcher will make of a metadata.toml that was parsed before."""
        key = (_digest(data), launcher.id, launcher.version, launcher.cannot_read)
        return self._answer(self._forecasts, key, data, lambda: foretell(data, launcher), _is_short)

    def _answer(
        self,
        known: dict[Hashable, Answer],
        key: Hashable,
        data: bytes,
        find: Callable[[], Answer],
        is_small: Callable[[Answer], bool],
    ) -> Answer:
        found = known.get(key)
        if found is None:
            is_large = len(data) > _LARGE or work_of(data) > _MUCH
            with self._one_large if is_large else nullcontext():
                found = find()
            if is_small(found):
                if len(known) >= _REMEMBERED:
                    known.clear()
                known[key] = found
        return found


def _parse(data: bytes, path: str, policy: Policy) -> Record:
    refuse_slow(data)
    return parse_record(data, path, policy)


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _is_small(record: Record) -> bool:
    parts = [*record.keys, *[text or "" for one in record.buildpacks for text in (one.id, one.text)]]
    size = sum([len(text) for text in (*parts, record.platform_text, record.defect or "")])
    return len(parts) <= _REMEMBERED_PARTS and size <= _REMEMBERED_BYTES


def _is_short(forecast: Forecast) -> bool:
    return len(forecast.reason) + len(forecast.doubt) <= _REMEMBERED_BYTES


def work_of(data: bytes) -> float:
    """Return how many microseconds it may take to parse a text and to foretell what launchers make of it.

    It is counted, not parsed: what looks like a key and lies in a text counts as one.
    """
    work = sum([each * (len(data) - len(data.translate(None, of))) for each, of in _WORK])
    if work > WORK_LIMIT:
        return work
    headers = _HEADER.findall(data)
    work += _HEADER_WORK * len(headers) + _HEADER_DOT_WORK * b"".join(headers).count(b".")
    return work + _KEY_DOT_WORK * b"".join(_BEFORE_VALUE.findall(data)).count(b".")


def refuse_slow(data: bytes) -> None:
    """Refuse what would take a parser, or the forecast, long, or much memory.

    Raises:
        ImageError: it has too many tables, keys and values, or too deep ones.
    """
    if work_of(data) > WORK_LIMIT:
        raise ImageError("too-large", "has a metadata.toml of too many tables, keys and values")
    if data.count(b".") >= _PARTS_LIMIT and _LONG_KEY.search(data):
        raise ImageError("too-large", f"has a metadata.toml with keys of more than {_PARTS_LIMIT} parts")
