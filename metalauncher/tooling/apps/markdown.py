"""Markdown for comments on a pull request: what images are called and say is not ours. Pure.

It must not become markup, a link, or a mention of somebody.
"""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING, Final

from metalauncher.explain.terminal import printable
from metalauncher.tooling.apps.check.bounds import shorten

if TYPE_CHECKING:
    from collections.abc import Iterable

ROWS_LIMIT: Final = 100  # of a table
COMMENT_LIMIT: Final = 65_536  # characters that GitHub takes
_PUNCTUATION = re.compile(r"([\\`*_{}\[\]<>()#+!|~&$^=])")


def table(heads: Iterable[str], rows: Iterable[Iterable[str]], number: int, room: int = COMMENT_LIMIT) -> str:
    """Return a table.

    Args:
        heads: of its columns; those that end with a colon are aligned to the right.
        rows: their cells, Markdown; no more of them are taken than are shown.
        number: of all rows; the last line says how many are not shown.
        room: characters that its rows may take.
    """
    names = list(heads)
    found = [
        f"| {' | '.join([name.removesuffix(':') for name in names])} |",
        "".join(["|--:" if name.endswith(":") else "|---" for name in names]) + "|",
    ]
    shown, size = 0, 0
    for row in rows:
        line = f"| {' | '.join(row)} |"
        size += len(line) + 1
        if shown == ROWS_LIMIT or size > room:
            break
        found.append(line)
        shown += 1
    if shown < number:
        found.append(f"\nand {number - shown:,} more")
    return "\n".join(found)


def fold(title: str, body: str) -> str:
    """Return what is seen once its title, HTML, is clicked."""
    return f"<details><summary>{title}</summary>\n\n{body}\n\n</details>"


def as_code(text: str) -> str:
    """Return text as code: nothing in it is markup, whatever backticks it has."""
    safe = printable(shorten(text))
    if "|" in safe:  # it would end the cell, and with a backslash before it GitHub and others do not agree
        return f"<code>{''.join([c if c.isalnum() else f'&#{ord(c)};' for c in safe])}</code>"
    fence = "`" * (max([len(run) for run in re.findall("`+", safe)], default=0) + 1)
    pad = " " if "`" in safe else ""
    return f"{fence}{pad}{safe or ' '}{pad}{fence}"


def as_text(text: str) -> str:
    """Return text in which nothing is markup, a link or a mention."""
    return _quiet(_PUNCTUATION.sub(r"\\\1", printable(shorten(text))))


def as_html(text: str) -> str:
    """Return text for where HTML stands, as in a title that is folded: there a backslash escapes nothing."""
    return _quiet(escape(printable(shorten(text))))


def _quiet(text: str) -> str:
    # A word joiner, which is not seen, keeps `@` from mentioning and `:`// from linking.
    return text.replace("@", "@\u2060").replace("://", ":\u2060//").replace("www.", "www\u2060.")
