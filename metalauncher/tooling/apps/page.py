"""The frame of the pages to look at, and what they have in common. Nothing is loaded, and a script only filters. Pure.

What is given as text is escaped here; what is given as HTML was put together by the page's own module, with `safe`. The
page's policy lets no other style or script run than its own.

Not with jinja2: tried on the page of `check`, it took 105 lines of Python and 116 of template in place of 212 lines of
Python, for what a page shows is decided by code; and it brings two distributions (158 KB of wheels), one compiled.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from metalauncher.explain.terminal import printable
from metalauncher.tooling.apps.check.bounds import SENTENCE_LIMIT, shorten

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from metalauncher.tooling.apps.made import Made

Mood = Literal["good", "unsure", "bad"]
# The script shows these: without it there is nothing to filter by.
FILTER: Final = (
    '<p class="filter" hidden><label for="filter">Filter by name</label>'
    '<input id="filter" type="search" autocomplete="off" spellcheck="false">'
    "<span>or press a number above</span>"
    '<button type="button" hidden>Show all</button>'
    '<output for="filter" aria-live="polite"></output></p>\n'
    '<p class="note nothing" hidden>No app fits the filter.</p>\n'
)
APP_LIMIT: Final = 2000  # characters of an app's name
COMMAND_LIMIT: Final = 1000  # characters of the command line, which may name every app
CLOSE_TABLE: Final = "</tbody>\n</table>\n</div>\n"
CLOSE_SECTION: Final = "</section>\n"
_BAR: Final = 1000  # units wide; no part is too narrow to be seen, however few its apps are
_NARROWEST: Final = 6.0


class Head(NamedTuple):
    """What stands at the top of a page.

    Attributes:
        command: that made it.
        headline: the whole in one sentence, text.
        about: what it is about, for the window's title, text.
        mood: how it looks.
        facts: what was asked and found, each a name and HTML.
        made: when, and by which command line.
    """

    command: str
    headline: str
    about: str
    mood: Mood
    facts: Iterable[tuple[str, str]]
    made: Made


class Tile(NamedTuple):
    """How many apps are of a kind; the script makes it a button that shows them alone.

    Attributes:
        kind: of which the style knows the colour; the badge in a row's second cell has the same.
        number: of apps.
        words: for the kind.
        legend: what these apps have in common.
    """

    kind: str
    number: int
    words: str
    legend: str


class Row(NamedTuple):
    """A row of a table.

    Attributes:
        cells: HTML; the first names the row.
        needs: the ids of the rows of a matrix that count this app, each with `!` behind it where the app is at risk.
    """

    cells: tuple[str, ...]
    needs: str = ""


class Table(NamedTuple):
    """A table in a section of its own.

    Attributes:
        name: its id.
        title: of the section.
        number: of rows.
        heads: of the columns.
        classes: `apps` for one that can be filtered.
    """

    name: str
    title: str
    number: int
    heads: tuple[str, ...]
    classes: str = "apps"


def lay_out(head: Head, body: Iterable[str], footer: str) -> Iterator[str]:
    """Lay out, piece by piece: the page of a large fleet is several times as large as what is known of it.

    Args:
        head: its top.
        body: the rest, HTML.
        footer: one line, text.
    """
    style, script = _asset("page.css"), _asset("page.js")
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; base-uri 'none';"
        " form-action 'none'"
    )
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    yield f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">\n'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    yield '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
    yield f"<title>{safe(head.headline)}: {safe(head.about)}</title>\n"
    yield f"<style>{style}</style>\n</head>\n<body>\n"
    yield f'<header class="{head.mood}">\n<p class="over">metalauncher {head.command}</p>\n'
    yield f"<h1>{safe(head.headline)}</h1>\n<dl>\n"
    for name, value in head.facts:
        yield f"<div><dt>{name}</dt><dd>{value}</dd></div>\n"
    time = f'<time datetime="{head.made.time:%Y-%m-%dT%H:%M:%SZ}">{head.made.time:%Y-%m-%d %H:%M} UTC</time>'
    yield f"<div><dt>Made</dt><dd>{time}</dd></div>\n"
    yield f"<div><dt>Command</dt><dd>{code(head.made.command, COMMAND_LIMIT)}</dd></div>\n"
    yield "</dl>\n</header>\n<main>\n"
    yield from body
    yield f"</main>\n<footer>{safe(footer)}</footer>\n<script>{script}</script>\n</body>\n</html>\n"


def safe(text: str, limit: int = SENTENCE_LIMIT) -> str:
    """Return a text as HTML: what is not printable is made so, and no more than `limit` characters are shown."""
    return escape(printable(shorten(text, limit)))


def code(text: str, limit: int = SENTENCE_LIMIT) -> str:
    """Return a name, a digest or a command as HTML."""
    return f"<code>{safe(text, limit)}</code>"


def small(text: str) -> str:
    """Return a text as HTML, small and below what it belongs to; nothing if there is none."""
    return f"<small>{safe(text)}</small>" if text else ""


def numbers(label: str, tiles: Iterable[Tile]) -> Iterator[str]:
    """Give how many apps are of which kind: a bar of that name, and tiles."""
    tiles = list(tiles)
    total = sum([tile.number for tile in tiles])
    if total:
        widths = {tile.kind: max(_BAR * tile.number / total, _NARROWEST) for tile in tiles if tile.number}
        yield f'<svg class="bar" role="img" aria-label="{label}" preserveAspectRatio="none"'
        yield f' viewBox="0 0 {sum(widths.values()):.1f} 12">\n'
        left = 0.0
        for kind, width in widths.items():
            yield f'<rect class="{kind}" x="{left:.1f}" y="0" width="{width:.1f}" height="12"/>\n'
            left += width
        yield "</svg>\n"
    yield f'<ul class="tiles" aria-label="{label}">\n'
    for tile in tiles:
        yield f'<li class="{tile.kind}{"" if tile.number else " zero"}">'
        yield f'<button type="button" disabled data-kind="{tile.kind}"><b>{tile.number:,}</b> <span>{tile.words}</span>'
        yield f"<small>{tile.legend}</small></button></li>\n"
    yield "</ul>\n"


def badge(kind: str, sign: str, words: str) -> str:
    """Return a kind as HTML: its sign, which is not read aloud, and its words."""
    return f'<span class="verdict {kind}"><i aria-hidden="true">{sign}</i> {words}</span>'


def section(table: Table, rows: Iterable[Row]) -> Iterator[str]:
    """Give a table, row by row. Each cell names its column, for where a row is laid out as a card."""
    yield from open_section(table)
    yield "<thead><tr>"
    for head in table.heads:
        yield f'<th scope="col">{head}</th>'
    yield "</tr></thead>\n<tbody>\n"
    for row in rows:
        first, *more = row.cells
        needs = f' data-needs="{row.needs}"' if row.needs else ""
        named = zip(table.heads[1:], more, strict=True)
        cells = "".join([f'<td data-head="{head}">{cell}</td>' for head, cell in named])
        yield f'<tr{needs}><th scope="row">{first}</th>{cells}</tr>\n'
    yield CLOSE_TABLE + CLOSE_SECTION


def open_section(table: Table) -> str:
    """Return the beginning of a section, as far as its table is open."""
    number = f' <span class="number">{table.number:,}</span>' if table.number else ""
    return (
        f'<section aria-labelledby="{table.name}-title">\n<h2 id="{table.name}-title">{table.title}{number}</h2>\n'
        f'<div class="scroll" role="region" aria-labelledby="{table.name}-title" tabindex="0">\n'
        f'<table id="{table.name}" class="{table.classes}">\n'
    )


@cache
def _asset(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
