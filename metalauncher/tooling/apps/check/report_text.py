"""Findings as text on a terminal: what is at risk first, then what to do, then the rest in numbers. Writes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from metalauncher.explain.messages import ONLY
from metalauncher.explain.terminal import RED, YELLOW
from metalauncher.tooling.apps.check.findings import WORDS, counted
from metalauncher.tooling.apps.check.verdict import AT_RISK
from metalauncher.tooling.console import FAINT, GREEN, count

if TYPE_CHECKING:
    from collections.abc import Callable

    from metalauncher.tooling.apps.check.findings import Cell, Findings
    from metalauncher.tooling.apps.check.verdict import Kind, Result

    Paint = Callable[[str, str], str]

FEW: Final = 20  # apps, up to which each is shown, whatever its verdict
_COLOURS: Final[dict[Kind, str]] = {
    "starts": GREEN,
    "refused": RED,
    "does-not-start": RED,
    "keeps-own-launcher": FAINT,
    "unknown": YELLOW,
}

_MARKS = {"runs": "runs", "covers": "covers it", "opt-in": "by opt-in", "broken": "can't start"}


def lines(findings: Findings, paint: Paint) -> list[str]:
    """Lay out.

    Args:
        findings: of a run.
        paint: makes a text printable, and coloured where that is wanted.
    """
    shown = findings.results
    if len(shown) > FEW:
        shown = findings.of("refused", "does-not-start", "unknown")
    found = [line for result in shown for line in _app(result, paint)]
    if found:
        found.append("")
    if findings.needs and (len(findings.results) > FEW or findings.at_risk):
        found += [*_matrix(findings, paint), ""]
    return found + _summary(findings, paint)


def summary(findings: Findings) -> list[str]:
    """Return what it comes to, without colours."""
    return _summary(findings, lambda text, _: text)


def _app(result: Result, paint: Paint) -> list[str]:
    verdict = WORDS[result.kind] + (f" with {result.launcher}" if result.launcher else "")
    if result.kind in AT_RISK and result.exit_code is not None:
        verdict += f", exit code {result.exit_code}"
    found = [f"{paint(result.app, '')}: {paint(verdict, _COLOURS[result.kind])}"]
    if result.reason and result.reason != ONLY:  # among the rest that says nothing
        found.append(f"  why:     {paint(result.reason, '')}")
    if result.regressed and result.before and result.before.launcher:
        found.append(f"  before:  {paint(f'started with {result.before.launcher}', '')}")
    if result.remedy:
        found.append(f"  do:      {paint(result.remedy, '')}")
    return found + [f"  note:    {paint(note, '')}" for note in result.notes]


def _matrix(findings: Findings, paint: Paint) -> list[str]:
    names = [repr(launcher) for launcher in findings.run_image.launchers]
    rows = [
        (need.text, f"{need.apps:,}", [_mark(cell) for cell in need.cells], need.at_risk) for need in findings.needs
    ]
    title = "what the apps recorded"
    label = max([len(title), *[len(row[0]) for row in rows]])
    widths = [max([len(name), *[len(row[2][at]) for row in rows]]) for at, name in enumerate(names)]
    head = "  ".join([f"{name:<{width}}" for name, width in zip(names, widths, strict=True)])
    found = [paint(f"{title:<{label}}  {'apps':>6}  {head}".rstrip(), FAINT)]
    for text, apps, marks, at_risk in rows:
        cells = "  ".join([f"{mark:<{width}}" for mark, width in zip(marks, widths, strict=True)])
        found.append(paint(f"{text:<{label}}  {apps:>6}  {cells}".rstrip(), RED if at_risk else ""))
    if findings.hidden_needs:
        found.append(paint(f"and {findings.hidden_needs} more", FAINT))
    return found


def _mark(cell: Cell) -> str:
    return _MARKS.get(cell.state) or f"lacks {cell.lacks}"


def _summary(findings: Findings, paint: Paint) -> list[str]:
    counts = findings.counts
    parts = [
        paint(counted(number, kind), _COLOURS[kind])
        for kind, number in sorted(counts.items(), key=lambda item: item[0] not in AT_RISK)
        if number
    ]
    against = f", before {paint(findings.against, '')}" if findings.against else ""
    found = [f"{count(len(findings.results), 'app')} under {paint(findings.run_image.name, '')}{against}"]
    if parts:
        found[0] += ": " + ", ".join(parts)
    regressed = sum([result.regressed for result in findings.results])
    if regressed:
        found.append(paint(f"{regressed:,} of them started before", RED))
    if findings.bundles:
        found.append(f"to be added to the run image: {paint(', '.join(findings.bundles), '')}")
    if findings.unchecked:
        found.append(paint(f"{count(findings.unchecked, 'app')} not checked", YELLOW))
    return found
