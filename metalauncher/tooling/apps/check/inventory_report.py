"""An inventory as text, Markdown and JSON. Pure: returns what is to be written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from metalauncher import __version__
from metalauncher.tooling.apps.check.bounds import LISTED, NAME_LIMIT, shorten
from metalauncher.tooling.apps.check.inventory import KINDS, entry_to_json, releases
from metalauncher.tooling.apps.launcher_inventory import SOURCE_WORDS
from metalauncher.tooling.apps.markdown import as_code, as_text, table
from metalauncher.tooling.console import FAINT, count

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from metalauncher.explain.jsontext import Json
    from metalauncher.tooling.apps.check.inventory import Entry, Kind
    from metalauncher.tooling.apps.launcher_inventory import OwnLauncher

SCHEMA_VERSION: Final = 1
WORDS: Final[dict[Kind, str]] = {
    "own": "a launcher of its own",
    "run-image": "the run image's",
    "copy": "a copy of metalauncher",
    "unknown": "unknown",
}
_HEAD: Final = ("app", "launcher", "release from", "Go", "digest", "layer")
_SHORT: Final = len("sha256:") + 12


def rows(entries: Sequence[Entry]) -> list[tuple[str, ...]]:
    """Return the table's rows: of each app which launcher it carries, where its release was read, and where it lies."""
    return [(entry.app, *_cells(entry)) for entry in entries]


def _cells(entry: Entry) -> tuple[str, ...]:
    launcher = entry.launcher
    if launcher is None:
        return (shorten(f"{WORDS[entry.kind]}: {entry.reason}" if entry.kind == "unknown" else WORDS[entry.kind]),)
    return (
        shorten(launcher.name, NAME_LIMIT),
        SOURCE_WORDS[launcher.source],
        shorten(launcher.go_version or "-", NAME_LIMIT),
        (launcher.digest or "-")[:_SHORT],
        (launcher.layer or "-")[:_SHORT],
    )


def text(entries: Sequence[Entry], unchecked: int, paint: Callable[[str, str], str]) -> list[str]:
    """Lay out for a terminal: a table, what is odd, and the launchers by release.

    Args:
        entries: what was found.
        unchecked: how many apps were not looked at.
        paint: makes a text printable, and coloured where that is wanted.
    """
    table = [_HEAD, *rows(entries)]
    whole = [row for row in table if len(row) == len(_HEAD)]
    widths = [max([len(row[at]) for row in whole]) for at in range(len(_HEAD))]
    widths[0] = min(max([len(row[0]) for row in table]), 80)
    found = []
    for number, row in enumerate(table):
        cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)]
        found.append(paint("  ".join(cells).rstrip(), "" if number else FAINT))
    notes = [f"{entry.app}: {note}" for entry in entries if entry.launcher for note in entry.launcher.notes]
    found += ["", *[f"note: {paint(shorten(note), '')}" for note in notes[:LISTED]]]
    if len(notes) > LISTED:
        found.append(f"and {len(notes) - LISTED:,} more notes")
    return [*found, *([""] if notes else []), *[paint(line, "") for line in summary(entries, unchecked)]]


def summary(entries: Sequence[Entry], unchecked: int) -> list[str]:
    """Return what it comes to: how many apps carry what, and the launchers by release."""
    kinds = [(sum([entry.kind == kind for entry in entries]), kind) for kind in KINDS]
    parts = [f"{number:,} {WORDS[kind]}" for number, kind in kinds if number]
    found = [f"{count(len(entries), 'app')}: {', '.join(parts)}" if parts else "no app was looked at"]
    found += [f"{release.apps:>7,}  {shorten(release.name, NAME_LIMIT)}" for release in releases(entries)]
    if unchecked:
        found.append(f"{count(unchecked, 'app')} not looked at")
    return found


def markdown(entries: Sequence[Entry], unchecked: int) -> str:
    """Lay out as Markdown, for a comment."""
    kinds = [(sum([entry.kind == kind for entry in entries]), kind) for kind in KINDS]
    parts = [f"{number:,} {WORDS[kind]}" for number, kind in kinds if number]
    found = ["## Launchers in app images", f"{count(len(entries), 'app')}: {', '.join(parts) or 'none looked at'}."]
    if unchecked:
        found.append(f"**{count(unchecked, 'app')} not looked at.**")
    by_release = releases(entries)
    if by_release:
        launchers = ((as_text(shorten(one.name, NAME_LIMIT)), f"{one.apps:,}") for one in by_release)
        found.append(table(("Launcher", "Apps:"), launchers, len(by_release)))
    found.append(table(_HEAD, (_row(entry) for entry in entries), len(entries)))
    return "\n\n".join(found) + "\n"


def _row(entry: Entry) -> tuple[str, ...]:
    cells = [as_text(cell) for cell in _cells(entry)]
    return (as_code(entry.app), *cells, *[""] * (len(_HEAD) - 1 - len(cells)))


def document(entries: Sequence[Entry], unchecked: int, platform: str) -> dict[str, Json]:
    """Return one JSON document, as schemas/inventory.schema.json describes it."""
    return {
        "schema_version": SCHEMA_VERSION,
        "metalauncher": __version__,
        "platform": platform,
        "complete": not unchecked,
        "counts": {str(kind): sum([entry.kind == kind for entry in entries]) for kind in KINDS},
        "releases": [_release(one.launcher, one.apps) for one in releases(entries)],
        "apps": [entry_to_json(entry) for entry in entries],
    }


def line(entry: Entry) -> dict[str, Json]:
    """Return an entry as a line of JSON has it."""
    return {"schema_version": SCHEMA_VERSION, **entry_to_json(entry)}


def _release(launcher: OwnLauncher, apps: int) -> dict[str, Any]:
    return {"module": launcher.module, "release": launcher.release, "apps": apps}
