"""Findings as Markdown, for a comment on a pull request. Pure: returns text.

What images are called and say is not ours: it must not become markup, a link, or a mention of somebody.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from metalauncher.explain.terminal import printable
from metalauncher.tooling.apps.check.bounds import NAME_LIMIT, shorten, size_in_words
from metalauncher.tooling.apps.check.findings import WORDS, counted
from metalauncher.tooling.apps.check.report_text import resting
from metalauncher.tooling.console import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from metalauncher.tooling.apps.check.findings import Cell, Findings
    from metalauncher.tooling.apps.check.verdict import Result

ROWS_LIMIT: Final = 100  # of a table; GitHub takes comments of 65,536 characters
_PUNCTUATION = re.compile(r"([\\`*_{}\[\]<>()#+!|~&$^=])")
_MARKS = {"runs": "**runs**", "covers": "covers it", "opt-in": "by opt-in", "broken": "can't start"}


def markdown(findings: Findings) -> str:
    """Lay out."""
    risky = [result for result in findings.to_decide if result.kind != "unknown"]
    unknown = [result for result in findings.to_decide if result.kind == "unknown"]
    parts = [
        f"## {_sign(findings)} {findings.headline}",
        f"Under run image {as_code(findings.run_image.name)}"
        + (f", compared with {as_code(findings.against)}" if findings.against else "")
        + ": "
        + ", ".join([counted(number, kind) for kind, number in findings.counts.items() if number])
        + ".",
    ]
    if findings.unchecked:
        parts.append(f"**{count(findings.unchecked, 'app')} not checked.**")
    if risky:
        parts.append(_table(risky, ("App", "Verdict", "Why", "What would serve it")))
    if findings.left_alone:
        parts.append(f"{findings.left_alone:,} left alone ({as_code(findings.gate.text)}).")
    if findings.bundles:
        parts.append(f"To be added to the run image: {', '.join([as_code(name) for name in findings.bundles])}.")
    if unknown:
        parts.append(_fold(f"{len(unknown):,} unknown", _table(unknown, ("App", "Verdict", "Why", "Do"))))
    if own := findings.own_launchers:
        rows = [f"| {as_text(shorten(one.name, NAME_LIMIT))} | {one.apps:,} |" for one in own[:ROWS_LIMIT]]
        table = "\n".join(["| Launcher | Apps |", "|---|--:|", *rows])
        parts.append(_fold("Launchers that apps keep, which no rebase patches", table))
    if findings.needs:
        parts.append(_fold("What the apps recorded, and the run image's launchers", _matrix(findings)))
    if findings.layers_read:
        read = f"{findings.layers_read:,} layers of {size_in_words(findings.bytes_read)} looked through"
        parts.append(as_text(f"{read}; {resting(findings)}."))
    return "\n\n".join(parts) + "\n"


def _sign(findings: Findings) -> str:
    if any([result.kind != "unknown" for result in findings.to_decide]):
        return "❌"
    unsure = findings.at_risk or findings.of("unknown") or findings.unchecked or not findings.results
    return "⚠️" if unsure else "✅"


def _table(results: Sequence[Result], head: tuple[str, ...]) -> str:
    rows = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for result in results[:ROWS_LIMIT]:
        verdict = WORDS[result.kind] + (f" (exit {result.exit_code})" if result.exit_code is not None else "")
        verdict += ", **started before**" if result.regressed else ""
        rows.append(f"| {as_code(result.app)} | {verdict} | {as_text(result.reason)} | {as_text(result.remedy)} |")
    if len(results) > ROWS_LIMIT:
        rows.append(f"\nand {len(results) - ROWS_LIMIT:,} more")
    return "\n".join(rows)


def _matrix(findings: Findings) -> str:
    names = [as_code(shorten(repr(launcher), NAME_LIMIT)) for launcher in findings.run_image.launchers]
    rows = [f"| Recorded | Apps | {' | '.join(names)} |", "|---|--:" + "|---" * len(names) + "|"]
    for need in findings.needs:
        sign = "❌ " if need.at_risk else ""
        cells = " | ".join([_mark(cell) for cell in need.cells])
        rows.append(f"| {sign}{as_text(need.text)} | {need.apps:,} | {cells} |")
    if findings.hidden_needs:
        rows.append(f"\nand {findings.hidden_needs} more")
    return "\n".join(rows)


def _mark(cell: Cell) -> str:
    return _MARKS.get(cell.state) or f"lacks {as_text(cell.lacks)}"


def _fold(title: str, body: str) -> str:
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
    # A word joiner, which is not seen, keeps `@` from mentioning and `:`// from linking.
    escaped = _PUNCTUATION.sub(r"\\\1", printable(shorten(text)))
    return escaped.replace("@", "@\u2060").replace("://", ":\u2060//").replace("www.", "www\u2060.")
