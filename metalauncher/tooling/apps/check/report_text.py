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
    from collections.abc import Callable, Iterator, Mapping

    from metalauncher.tooling.apps.check.findings import Cell, Findings, Matrix
    from metalauncher.tooling.apps.check.verdict import Kind, Result
    from metalauncher.tooling.apps.launcher_inventory import OwnLauncher

    Paint = Callable[[str, str], str]

_KINDS_OF_LAUNCHERS = 5  # that are named in the summary
# What a verdict may rest on besides what was read, in words.
ASSUMPTIONS: Final = {
    "lifecycle-layers": "layers that lifecycle's label names hold what its exporter writes",
    "unknown-run-image": "what the app's layers have in the run image's places is the old run image's",
    "labels": "the run image's labels are correct",
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
    for matrix in findings.matrices:
        if matrix.needs and (whole or findings.at_risk):
            yield from [*_matrix(matrix, paint), ""]
    yield from _summary(findings, paint)


def summary(findings: Findings) -> list[str]:
    """Return what it comes to, without colours."""
    return _summary(findings, lambda text, _: text)


def _app(result: Result, paint: Paint) -> list[str]:
    if result.parts:
        verdict = paint(words_in_sum(result), _COLOURS[result.kind])
        parts = [line for part in result.parts for line in _verdict(part, part.platform or "unknown platform", paint)]
        return [f"{paint(result.app, '')}: {verdict}", *[f"  {line}" for line in parts]]
    return _verdict(result, f"{result.app} ({result.platform})" if result.platform else result.app, paint)


def words_in_sum(result: Result) -> str:
    """Return the verdict over an app for several platforms, and on which of them it is that."""
    found = [part.platform or "an unknown platform" for part in result.parts if part.kind == result.kind]
    return WORDS[result.kind] + (f" on {', '.join(found)}" if len(found) < len(result.parts) else "")


def _word(result: Result) -> str:
    return "not judged" if result.unserved else WORDS[result.kind]


def by_platform(result: Result) -> list[str]:
    """Return, for each platform of an app for several, the verdict and its reason, one line each."""
    return [
        shorten(
            f"{part.platform or 'unknown platform'}: {_word(part)}"
            + (f" with {part.launcher}" if part.launcher else "")
            + (f": {part.reason}" if part.reason and part.reason != ONLY else "")
        )
        for part in result.parts
    ]


def _verdict(result: Result, name: str, paint: Paint) -> list[str]:
    verdict = _word(result) + (f" with {result.launcher}" if result.launcher else "")
    if result.kind in AT_RISK and result.exit_code is not None:
        verdict += f", exit code {result.exit_code}"
    found = [f"{paint(name, '')}: {paint(shorten(verdict), _COLOURS[result.kind])}"]
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


def _matrix(matrix: Matrix, paint: Paint) -> list[str]:
    names = [shorten(repr(launcher), NAME_LIMIT) for launcher in matrix.run_image.launchers]
    rows = [
        (shorten(need.text, NAME_LIMIT), f"{need.apps:,}", [_mark(cell) for cell in need.cells], need.at_risk)
        for need in matrix.needs
    ]
    title = "what the apps recorded" + (f" on {matrix.run_image.platform}" if matrix.run_image.platform else "")
    label = max([len(title), *[len(row[0]) for row in rows]])
    widths = [max([len(name), *[len(row[2][at]) for row in rows]]) for at, name in enumerate(names)]
    head = "  ".join([f"{name:<{width}}" for name, width in zip(names, widths, strict=True)])
    found = [paint(f"{title:<{label}}  {'apps':>6}  {head}".rstrip(), FAINT)]
    for text, apps, marks, at_risk in rows:
        cells = "  ".join([f"{mark:<{width}}" for mark, width in zip(marks, widths, strict=True)])
        found.append(paint(f"{text:<{label}}  {apps:>6}  {cells}".rstrip(), RED if at_risk else ""))
    if matrix.hidden:
        found.append(paint(f"and {matrix.hidden} more", FAINT))
    return found


def _mark(cell: Cell) -> str:
    return _MARKS.get(cell.state) or f"lacks {cell.lacks}"


def _summary(findings: Findings, paint: Paint) -> list[str]:
    parts = _counted(findings.counts, paint)
    against = f", before {paint(findings.against, '')}" if findings.against else ""
    found = [_of_platform(matrix, paint) for matrix in findings.matrices if matrix.run_image.platform]
    head = f"{count(len(findings.results), 'app')} under {paint(findings.run_image.name, '')}{against}"
    found.append(head + (": " + ", ".join(parts) if parts else ""))
    found += [paint(text, YELLOW) for text in about_platforms(findings)]
    regressed = [result for result in findings.results if result.regressed]
    if regressed:
        whose = "at risk" if all([result.kind in AT_RISK for result in regressed]) else "at risk or unknown"
        found.append(paint(f"{len(regressed):,} of the apps {whose} started before", RED))
    if findings.left_alone:
        found.append(left_alone(findings))
    if findings.own_launchers:
        kept = paint(_own_launchers(findings), "")
        found.append(f"launchers that apps keep (only metalauncher patch replaces them): {kept}")
    if findings.bundles:
        found.append(f"add to the run image: {paint(', '.join(findings.bundles), '')}")
    if findings.layers_read:
        read = f"{findings.layers_read:,} layers of {size_in_words(findings.bytes_read)} looked through"
        found.append(f"{read}; {resting(findings)}")
    if findings.unchecked:
        found.append(paint(f"{count(findings.unchecked, 'app')} not checked", YELLOW))
    return found


def about_platforms(findings: Findings) -> list[str]:
    """Return what is wrong with the run image's index, and which platforms of apps it is not there for, in words."""
    found = [f"warning: {text}" for text in findings.warnings]
    if findings.unserved:
        names = [f"{platform} ({count(number, 'app')})" for platform, number in findings.unserved.items()]
        owed = f": build it for {listed(list(findings.owed))} too, or name with --platform the one that counts"
        do = owed if findings.owed else ""
        found.append(f"not judged: {listed(names)}; the run image is not there for it{do}")
    return found


def _counted(counts: Mapping[Kind, int], paint: Paint) -> list[str]:
    ordered = sorted(counts.items(), key=lambda item: item[0] not in AT_RISK)
    return [paint(counted(number, kind), _COLOURS[kind]) for kind, number in ordered if number]


def _of_platform(matrix: Matrix, paint: Paint) -> str:
    number = sum(matrix.counts.values())
    counts = ", ".join(_counted(matrix.counts, paint))
    return f"{paint(matrix.run_image.platform, '')}: {count(number, 'app')}" + (f": {counts}" if counts else "")


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
