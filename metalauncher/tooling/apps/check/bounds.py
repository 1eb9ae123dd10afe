"""How much of what an app recorded is kept, and how much of it people are shown. Pure.

An app may record whatever it likes: an API of a thousand digits, thousands of buildpacks. What is kept of it goes into
each form of the report, and stays in memory until the last app is checked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from metalauncher.explain.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from metalauncher.tooling.apps.check.verdict import Result

CELL_LIMIT: Final = 300  # characters of one text in a table
NAME_LIMIT: Final = 60  # of a launcher's or a buildpack's name
API_LIMIT: Final = 12  # of an API; real ones have 4
SENTENCE_LIMIT: Final = 600  # of a reason or a remedy
NOTES_SHOWN: Final = 3  # of one app
LISTED: Final = 8  # buildpacks, or APIs, that people are shown of one app

_BUILDPACKS_LIMIT: Final = 64  # of an app; real ones have 3 to 40
_RECORDED_LIMIT: Final = 10_000  # bytes that they take in memory; 40 of real ones take 6,000
_ENTRY_BYTES, _TEXT_BYTES = 64, 56  # of a pair, and of a text besides its letters (CPython, of 64 bits)
_ID_LIMIT, _RECORDED_API_LIMIT = 256, 128
_NOTES_LIMIT, _NOTE_LIMIT, _ALL_NOTES_LIMIT = 8, 300, 1200  # notes of one app, and characters of each, and of all
_TAIL: Final = 40  # characters of what says how much is left out
_SHARED, _SHARED_LIMIT = 4096, 100  # texts that are shared, and characters of one


def shorten(text: str, limit: int = CELL_LIMIT) -> str:
    """Return a text for people: only its beginning, if it takes more than `limit` characters once made printable."""
    safe = printable(text)
    return text if len(safe) <= limit else safe[: limit - 1] + "…"


def listed(texts: Sequence[str], limit: int = LISTED) -> str:
    """Return texts with commas between: of more than `limit` the first, and how many more there are."""
    more = [f"and {len(texts) - limit:,} more"] if len(texts) > limit else []
    return ", ".join([*texts[:limit], *more])


def size_in_words(number: int) -> str:
    """Return a number of bytes for people."""
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if number >= size:
            return f"{number / size:,.1f} {unit}"
    return f"{number} bytes"


class Shared:
    """Holds equal texts once: of a fleet thousands of apps recorded the same. For several threads at once."""

    def __init__(self) -> None:
        """Begin with none."""
        self._texts: Final[dict[str, str]] = {}

    def __call__(self, text: str) -> str:
        """Return a text that is equal, and was there before if one was."""
        if len(text) > _SHARED_LIMIT:
            return text
        if len(self._texts) >= _SHARED:
            self._texts.clear()
        return self._texts.setdefault(text, text)


def bounded(result: Result, shared: Callable[[str], str] = str) -> Result:
    """Return a result of which no part is larger than is kept; a note says what was cut off.

    Args:
        result: with whatever an app recorded, or one that was cut before, which stays as it is.
        shared: returns one of equal texts.
    """
    buildpacks, left_out = _buildpacks(result.buildpacks, shared)
    api = None if result.platform_api is None else shared(_cut(result.platform_api, _RECORDED_API_LIMIT))
    return result._replace(
        reason=shared(_cut(result.reason, SENTENCE_LIMIT)),
        platform_api=api,
        buildpacks=buildpacks,
        remedy=shared(_cut(result.remedy, SENTENCE_LIMIT)),
        notes=tuple([shared(note) for note in _notes(result.notes, left_out)]),
        parts=tuple([bounded(part, shared) for part in result.parts]),
    )


def _letters(text: str) -> int:
    """Return how many letters a text has; those count twice that make each of them take four bytes in memory."""
    return len(text) * (2 if not text.isascii() and max(text) > "\uffff" else 1)


def _bytes(text: str) -> int:
    """Return about how many bytes a text takes in memory."""
    return _TEXT_BYTES + (len(text) if text.isascii() else 2 * _letters(text))


def _cut(text: str, limit: int) -> str:
    """Return a text of at most `limit` letters, with what says how many are left out where some are."""
    if len(text) <= limit and _letters(text) <= limit:
        return text
    kept = (limit if _letters(text[:limit]) <= limit else limit // 2) - _TAIL
    return f"{text[:kept]}… ({len(text) - kept:,} more characters)"


def _notes(found: tuple[str, ...], more: list[str]) -> list[str]:
    """Return the notes that are kept, with those in `more`, and what says how many are left out."""
    notes = [_cut(note, _NOTE_LIMIT) for note in found[: _NOTES_LIMIT + 1]]
    if len(found) + len(more) <= _NOTES_LIMIT and sum(map(_letters, [*notes, *more])) <= _ALL_NOTES_LIMIT:
        return [*notes, *more]
    kept: list[str] = []
    room = _ALL_NOTES_LIMIT - 2 * _TAIL
    for note in notes[: _NOTES_LIMIT - len(more) - 1]:
        room -= _letters(note)
        if room < 0:
            break
        kept.append(note)
    return [*kept, *more, f"{len(found) - len(kept):,} more notes are left out"]


def _buildpacks(
    found: tuple[tuple[str, str | None], ...], shared: Callable[[str], str]
) -> tuple[tuple[tuple[str, str | None], ...], list[str]]:
    """Return the buildpacks that are kept, of each API one if possible, and what is to be said of the others."""
    first = {api: number for number, (_, api) in reversed(list(enumerate(found)))}
    order = [*sorted(first.values()), *[n for n, (_, api) in enumerate(found) if first[api] != n]]
    kept: dict[int, tuple[str, str | None]] = {}
    room = _RECORDED_LIMIT
    for number in order[:_BUILDPACKS_LIMIT]:
        identifier, api = found[number]
        entry = shared(_cut(identifier, _ID_LIMIT)), None if api is None else shared(_cut(api, _RECORDED_API_LIMIT))
        room -= _ENTRY_BYTES + _bytes(entry[0]) + (_bytes(entry[1] or "") if first[api] == number else 0)
        if room < 0:
            break
        kept[number] = entry
    notes = [f"{len(found) - len(kept):,} of {len(found):,} buildpacks are left out"] if len(kept) < len(found) else []
    return tuple([kept[number] for number in sorted(kept)]), notes
