"""Findings as Markdown, for a comment on a pull request. Pure: returns text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metalauncher.tooling.apps.check.bounds import NAME_LIMIT, shorten, size_in_words
from metalauncher.tooling.apps.check.findings import WORDS, counted
from metalauncher.tooling.apps.check.report_text import about_platforms, by_platform, resting
from metalauncher.tooling.apps.check.verdict import AT_RISK
from metalauncher.tooling.apps.markdown import as_code, as_html, as_text, fold, table
from metalauncher.tooling.console import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from metalauncher.tooling.apps.check.findings import Cell, Findings, Matrix
    from metalauncher.tooling.apps.check.verdict import Result

_MARKS = {"runs": "**runs**", "covers": "covers it", "opt-in": "by opt-in", "broken": "can't start"}
_KEPT = "Launchers that apps keep; no rebase replaces them, <code>metalauncher patch</code> does"


def markdown(findings: Findings) -> str:
    """Lay out."""
    risky = [result for result in findings.to_decide if result.kind in AT_RISK]
    unknown = [result for result in findings.to_decide if result.kind == "unknown"]
    parts = [
        f"## {_sign(findings)} {findings.headline}",
        f"Under run image {as_code(findings.run_image.name)}"
        + (f", compared with {as_code(findings.against)}" if findings.against else "")
        + ": "
        + ", ".join([counted(number, kind) for kind, number in findings.counts.items() if number])
        + ".",
    ]
    parts += _platforms(findings)
    parts += [f"**{as_text(text)}.**" for text in about_platforms(findings)]
    if findings.unchecked:
        parts.append(f"**{count(findings.unchecked, 'app')} not checked.**")
    if risky:
        parts.append(_table(risky, ("App", "Verdict", "Why", "What would serve it")))
    if findings.left_alone:
        parts.append(f"{findings.left_alone:,} left alone ({as_code(findings.gate.text)}).")
    if findings.bundles:
        parts.append(f"Add to the run image: {', '.join([as_code(name) for name in findings.bundles])}.")
    if unknown:
        parts.append(fold(f"{len(unknown):,} unknown", _table(unknown, ("App", "Verdict", "Why", "Do"))))
    if own := findings.own_launchers:
        rows = ((as_text(shorten(one.name, NAME_LIMIT)), f"{one.apps:,}") for one in own)
        kept = table(("Launcher", "Apps:"), rows, len(own))
        parts.append(fold(_KEPT, kept))
    for matrix in findings.matrices:
        if matrix.needs:
            where = f" on {as_html(matrix.run_image.platform)}" if matrix.run_image.platform else ""
            parts.append(fold(f"What the apps recorded{where}, and the run image's launchers", _matrix(matrix)))
    if findings.layers_read:
        read = f"{findings.layers_read:,} layers of {size_in_words(findings.bytes_read)} looked through"
        parts.append(as_text(f"{read}; {resting(findings)}."))
    return "\n\n".join(parts) + "\n"


def _sign(findings: Findings) -> str:
    if any([result.kind in AT_RISK for result in findings.to_decide]):
        return "❌"
    unclear = findings.owed or findings.warnings or findings.unchecked or not findings.results
    unsure = findings.at_risk or findings.of("unknown") or unclear
    return "⚠️" if unsure else "✅"


def _table(results: Sequence[Result], head: tuple[str, ...]) -> str:
    rows = ((_app(result), _verdict(result), _why(result), as_text(result.remedy)) for result in results)
    return table(head, rows, len(results))


def _platforms(findings: Findings) -> list[str]:
    """Return what it comes to on each of several platforms, as one table."""
    if not findings.run_image.platforms:
        return []
    rows = [
        (
            as_text(matrix.run_image.platform),
            f"{sum(matrix.counts.values()):,}",
            ", ".join([counted(number, kind) for kind, number in matrix.counts.items() if number]),
        )
        for matrix in findings.matrices
    ]
    return [table(("Platform", "Apps:", "Verdicts"), rows, len(rows))]


def _app(result: Result) -> str:
    return as_code(result.app) + (f" ({as_text(result.platform)})" if result.platform else "")


def _why(result: Result) -> str:
    """Return the reason; of an app for several platforms what is true of each."""
    return "; ".join(map(as_text, by_platform(result))) or as_text(result.reason)


def _verdict(result: Result) -> str:
    code = f" (exit {result.exit_code})" if result.exit_code is not None else ""
    return WORDS[result.kind] + code + (", **started before**" if result.regressed else "")


def _matrix(matrix: Matrix) -> str:
    names = [as_code(shorten(repr(launcher), NAME_LIMIT)) for launcher in matrix.run_image.launchers]
    rows = (
        (("❌ " if need.at_risk else "") + as_text(need.text), f"{need.apps:,}", *[_mark(cell) for cell in need.cells])
        for need in matrix.needs
    )
    return table(("Recorded", "Apps:", *names), rows, len(matrix.needs) + matrix.hidden)


def _mark(cell: Cell) -> str:
    return _MARKS.get(cell.state) or f"lacks {as_text(cell.lacks)}"
