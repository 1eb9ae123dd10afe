"""Findings as text on a terminal: what is at risk first, then what to do, then the rest in numbers. Writes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from metalauncher.explain.messages import ONLY
from metalauncher.explain.terminal import RED, YELLOW
from metalauncher.tooling.apps.check.bounds import (
    NAME_LIMIT,
    NOTES_SHOWN,
    SENTENCE_LIMIT,
    listed,
    shorten,
    size_in_words,
)
from metalauncher.tooling.apps.check.findings import WORDS, counted
from metalauncher.tooling.apps.check.verdict import AT_RISK
from metalauncher.tooling.apps.launcher_inventory import SOURCE_WORDS
from metalauncher.tooling.console import FAINT, GREEN, count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from metalauncher.tooling.apps.check.findings import Cell, Findings
    from metalauncher.tooling.apps.check.verdict import Kind, Result
    from metalauncher.tooling.apps.launcher_inventory import OwnLauncher

    Paint = Callable[[str, str], str]

_KINDS_OF_LAUNCHERS = 5  # that are named in the summary
# What a verdict may rest on besides what was read, in words.
ASSUMPTIONS: Final = {
    "lifecycle-layers": "layers that lifecycle's label names hold what its exporter writes",
    "unknown-run-image": "what the app's layers have in the run image's places is the old run image's",
    "labels": "the run image's labels are true",
    "init-by-name": "a program of the run image with an init's name is that init",
}
_COLOURS: Final[dict[Kind, str]] = {
    "starts": GREEN,
    "refused": RED,
    "does-not-start": RED,
    "keeps-own-launcher": FAINT,
    "unknown": YELLOW,
}

_MARKS = {"runs": "runs", "covers": "covers it", "opt-in": "by opt-in", "broken": "can't start"}


def lines(findings: Findings, paint: Paint, *, whole: bool = False) -> Iterator[str]:
    """Lay out, line by line: the apps about which something is to be decided, and one that was asked about alone.

    Args:
        findings: of a run.
        paint: makes a text printable, and coloured where that is wanted.
        whole: whether every app is shown.
    """
    shown = findings.results if whole or len(findings.results) == 1 else findings.to_decide
    for result in shown:
        yield from _app(result, paint)
    if shown:
        yield ""
    if findings.needs and (whole or findings.at_risk):
        yield from [*_matrix(findings, paint), ""]
    yield from _summary(findings, paint)


def summary(findings: Findings) -> list[str]:
    """Return what it comes to, without colours."""
    return _summary(findings, lambda text, _: text)


def _app(result: Result, paint: Paint) -> list[str]:
    verdict = WORDS[result.kind] + (f" with {result.launcher}" if result.launcher else "")
    if result.kind in AT_RISK and result.exit_code is not None:
        verdict += f", exit code {result.exit_code}"
    found = [f"{paint(result.app, '')}: {paint(shorten(verdict), _COLOURS[result.kind])}"]
    if result.reason and result.reason != ONLY:  # among the rest that says nothing
        found.append(f"  why:     {paint(shorten(result.reason, SENTENCE_LIMIT), '')}")
    if result.own_launcher is not None:
        found.append(f"  which:   {paint(shorten(own_launcher(result.own_launcher)), '')}")
    if result.regressed and result.before and result.before.launcher:
        found.append(f"  before:  {paint(shorten(f'started with {result.before.launcher}'), '')}")
    if result.remedy:
        found.append(f"  do:      {paint(shorten(result.remedy, SENTENCE_LIMIT), '')}")
    found += [f"  assumes: {paint(shorten(ASSUMPTIONS.get(code, code)), '')}" for code in result.assumes]
    return found + [f"  note:    {paint(note, '')}" for note in notes_shown(result)]


def notes_shown(result: Result) -> list[str]:
    """Return what is to be known about an app besides, as far as people are shown it."""
    notes = (*result.notes, *(() if result.own_launcher is None else result.own_launcher.notes))
    more = [f"and {len(notes) - NOTES_SHOWN:,} more notes, in JSON"] if len(notes) > NOTES_SHOWN else []
    return [*[shorten(note) for note in notes[:NOTES_SHOWN]], *more]


def own_launcher(launcher: OwnLauncher) -> str:
    """Return which launcher an app keeps, and where that was read."""
    built = f", built with {launcher.go_version}" if launcher.go_version else ""
    return f"{launcher.name} (release: {SOURCE_WORDS[launcher.source]}){built}"


def _matrix(findings: Findings, paint: Paint) -> list[str]:
    names = [shorten(repr(launcher), NAME_LIMIT) for launcher in findings.run_image.launchers]
    rows = [
        (shorten(need.text, NAME_LIMIT), f"{need.apps:,}", [_mark(cell) for cell in need.cells], need.at_risk)
        for need in findings.needs
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
    if findings.left_alone:
        found.append(left_alone(findings))
    if findings.own_launchers:
        kept = paint(_own_launchers(findings), "")
        found.append(f"launchers that apps keep; no rebase replaces them, metalauncher patch does: {kept}")
    if findings.bundles:
        found.append(f"to be added to the run image: {paint(', '.join(findings.bundles), '')}")
    if findings.layers_read:
        read = f"{findings.layers_read:,} layers of {size_in_words(findings.bytes_read)} looked through"
        found.append(f"{read}; {resting(findings)}")
    if findings.unchecked:
        found.append(paint(f"{count(findings.unchecked, 'app')} not checked", YELLOW))
    return found


def left_alone(findings: Findings) -> str:
    """Return how many apps the run does not fail by, though they would not start or are unknown."""
    return f"{findings.left_alone:,} left alone ({findings.gate.text})"


def resting(findings: Findings) -> str:
    """Return how many verdicts rest on which assumption, in words."""
    parts = [
        f"{number:,} of {count(len(findings.results), 'verdict')} assume{'s' * (number == 1)} that"
        f" {ASSUMPTIONS.get(code, code)}"
        for code, number in findings.assuming.items()
    ]
    if "lifecycle-layers" in findings.assuming:
        parts.append("--thorough reads those too")
    return "; ".join(parts) or "nothing is assumed"


def _own_launchers(findings: Findings) -> str:
    names = [f"{shorten(one.name, NAME_LIMIT)} ({one.apps:,})" for one in findings.own_launchers]
    return listed(names, _KINDS_OF_LAUNCHERS)
