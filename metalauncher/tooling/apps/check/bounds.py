"""How much of what an app recorded is kept, and how much of it people are shown. Pure.

An app may record whatever it likes: an API of a thousand digits, thousands of buildpacks. What is kept of it goes into
each form of the report, and stays in memory until the last app is checked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from metalauncher.explain.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from metalauncher.tooling.apps.check.verdict import Result

CELL_LIMIT: Final = 300  # characters of one text in a table
NAME_LIMIT: Final = 60  # of a launcher's or a buildpack's name
API_LIMIT: Final = 12  # of an API; real ones have 4
SENTENCE_LIMIT: Final = 600  # of a reason or a remedy
NOTES_SHOWN: Final = 3  # of one app
LISTED: Final = 8  # buildpacks, or APIs, that people are shown of one app

_BUILDPACKS_LIMIT: Final = 64  # of an app; real ones have 3 to 40
_RECORDED_LIMIT: Final = 2048  # characters of all that it recorded about them
_ID_LIMIT, _RECORDED_API_LIMIT = 256, 64
_NOTES_LIMIT, _NOTE_LIMIT = 8, 300  # notes of one app, and characters of each


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


def bounded(result: Result) -> Result:
    """Return a result of which no part is larger than is kept; a note says what was cut off."""
    buildpacks, notes = _buildpacks(result.buildpacks)
    short = [_cut(note, _NOTE_LIMIT) for note in result.notes[:_NOTES_LIMIT]]
    if len(result.notes) > _NOTES_LIMIT:
        notes.append(f"{len(result.notes) - _NOTES_LIMIT} more notes are left out")
    api = None if result.platform_api is None else _cut(result.platform_api, _RECORDED_API_LIMIT)
    return result._replace(
        reason=_cut(result.reason, SENTENCE_LIMIT),
        platform_api=api,
        buildpacks=buildpacks,
        remedy=_cut(result.remedy, SENTENCE_LIMIT),
        notes=(*short, *notes),
    )


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text) - limit:,} more characters)"


def _buildpacks(found: tuple[tuple[str, str | None], ...]) -> tuple[tuple[tuple[str, str | None], ...], list[str]]:
    """Return the buildpacks that are kept, of each API one if possible, and what is to be said of the others."""
    whole = sum([len(identifier) + len(api or "") for identifier, api in found])
    if len(found) <= _BUILDPACKS_LIMIT and whole <= _RECORDED_LIMIT:
        return found, []
    first = {api: number for number, (_, api) in reversed(list(enumerate(found)))}
    order = [*sorted(first.values()), *[n for n, (_, api) in enumerate(found) if first[api] != n]]
    kept: dict[int, tuple[str, str | None]] = {}
    room = _RECORDED_LIMIT
    for number in order[:_BUILDPACKS_LIMIT]:
        identifier, api = found[number]
        entry = _cut(identifier, _ID_LIMIT), None if api is None else _cut(api, _RECORDED_API_LIMIT)
        room -= len(entry[0]) + len(entry[1] or "")
        if room < 0:
            break
        kept[number] = entry
    notes = [f"{len(found) - len(kept):,} of {len(found):,} buildpacks are left out"] if len(kept) < len(found) else []
    return tuple([kept[number] for number in sorted(kept)]), notes
