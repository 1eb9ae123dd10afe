"""A comparison as text and as a document. Pure: values in, lines out."""

from __future__ import annotations

from collections import Counter
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from metalauncher import __version__
from metalauncher.explain.terminal import RED, YELLOW
from metalauncher.tooling.console import FAINT, Console, count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from metalauncher.explain.jsontext import Json
    from metalauncher.tooling.launchers.compare.acquaintance import Acquaintance
    from metalauncher.tooling.launchers.compare.allowances import Allowance
    from metalauncher.tooling.launchers.compare.comparison import Difference, Result, Verdict
    from metalauncher.tooling.launchers.compare.sides import Side

SCHEMA_VERSION = 1  # schemas/compare.schema.json

_SHOWN = 160  # bytes of a value on one line
_BEFORE = 40  # of them before the first byte that differs
_VERDICTS: tuple[Verdict, ...] = ("alike", "different", "allowed", "not-run", "unfinished")
_COLOURS = {"different": RED, "allowed": FAINT, "not-run": YELLOW, "unfinished": RED, "alike": FAINT}


def exit_code(results: Sequence[Result]) -> int:
    """Return 3 where a case did not finish or none was compared, 1 where something differs, else 0."""
    verdicts = {result.verdict for result in results}
    if "unfinished" in verdicts or not verdicts - {"not-run"}:
        return 3
    return int("different" in verdicts)


def text(results: Sequence[Result], console: Console, *, everything: bool) -> list[str]:
    """Return the findings: each case that differs, was not run, or did not finish.

    Args:
        results: of all cases.
        console: colours.
        everything: also those that are alike, and those whose differences are all allowed.
    """
    lines: list[str] = []
    for result in results:
        if result.verdict in ("alike", "allowed") and not everything:
            continue
        word = result.verdict.replace("-", " ")
        head = f"{result.case.name}: {word}" + (f": {result.reason}" if result.reason else "")
        lines += [console.paint(head, _COLOURS[result.verdict])]
        lines += [console.paint(f"  {result.case.about}", FAINT)] if result.differences else []
        for difference, allowance in result.differences:
            note = f" (allowed: {allowance.reason})" if allowance else ""
            lines.append(console.paint(f"  {difference.field}{note}", FAINT if allowance else ""))
            lines += [
                console.paint(f"    {side} {value}", "") for side, value in zip("AB", excerpts(difference), strict=True)
            ]
    return lines


def excerpts(difference: Difference) -> tuple[str, str]:
    """Return both values on one line each: whole where they are short, else around the first byte that differs."""
    a, b = difference.a, difference.b
    if max(len(a), len(b)) <= _SHOWN:
        return readable(a), readable(b)
    first = next((at for at, (one, other) in enumerate(zip(a, b, strict=False)) if one != other), min(len(a), len(b)))
    begin = max(first - _BEFORE, 0)
    return _cut(a, begin), _cut(b, begin)


def _cut(value: bytes, begin: int) -> str:
    shown = value[begin : begin + _SHOWN]
    head = f"…({begin} bytes) " if begin else ""
    left = len(value) - begin - len(shown)
    return head + readable(shown) + (f" …({left} bytes)" if left > 0 else "")


def readable(value: bytes) -> str:
    """Return bytes as one line of text, what can't be shown escaped as in Python."""
    shown = value.decode("utf-8", "backslashreplace")
    return "".join([one if one.isprintable() else one.encode("unicode_escape").decode() for one in shown])


def summary(
    sides: Sequence[Side], known: Acquaintance, results: Sequence[Result], allowances: Sequence[Allowance]
) -> list[str]:
    """Return what is said at the end."""
    lines = [f"{side.letter}: {side.name} (sha256 {side.sha256[:12]}…)" for side in sides]
    for number, side in enumerate(sides):
        if known.platform is not None and not known.platform[number]:
            why = known.silent[number] or "is it a launcher?"
            lines.append(f"{side.letter} started no app with any Platform API: {why}")
    if known.common is None:
        lines.append("no APIs that both accept: of the cases only those about APIs can be run")
    else:
        platform, buildpack = known.common
        who = "as given" if known.platform is None else "the newest that both accept"
        lines.append(f"compared with Platform API {platform}, Buildpack API {buildpack}, {who}")
    for side, ordered in zip(sides, known.ordered, strict=True):
        if not ordered:
            lines.append(
                f"{side.letter} gives the app's environment another order at each start: no order was compared"
            )
    numbers = Counter([result.verdict for result in results])
    words = [f"{numbers[verdict]} {verdict.replace('-', ' ')}" for verdict in _VERDICTS if numbers[verdict]]
    lines.append(f"{count(len(results), 'case')}: {', '.join(words)}")
    lines += [f"allowed, and not met: {one.case}, {one.field} ({one.file})" for one in _unmet(results, allowances)]
    return lines


def _unmet(results: Sequence[Result], allowances: Sequence[Allowance]) -> list[Allowance]:
    """Return the allowances that speak of a case that was run, and that no difference needed."""
    names = [result.case.name for result in results if result.verdict != "not-run"]
    met = {id(allowance) for result in results for _, allowance in result.differences}
    return [one for one in allowances if id(one) not in met and any(fnmatchcase(name, one.case) for name in names)]


def document(
    sides: Sequence[Side], known: Acquaintance, results: Sequence[Result], allowances: Sequence[Allowance]
) -> dict[str, Json]:
    """Return all of it as one document; what is not UTF-8 is escaped there as in Python."""
    numbers = Counter([result.verdict for result in results])
    unmet = {id(one) for one in _unmet(results, allowances)}
    return {
        "schema_version": SCHEMA_VERSION,
        "metalauncher": __version__,
        "launchers": [
            {
                "side": side.letter,
                "name": side.name,
                "sha256": side.sha256,
                "platform_apis": None if known.platform is None else list(known.platform[number]),
                "buildpack_apis": None if known.buildpack is None else list(known.buildpack[number]),
                "keeps_order": known.ordered[number],
            }
            for number, side in enumerate(sides)
        ],
        "compared_with": None
        if known.common is None
        else {"platform_api": known.common.platform, "buildpack_api": known.common.buildpack},
        "counts": {verdict: numbers[verdict] for verdict in _VERDICTS},
        "cases": [_case(result) for result in results],
        "unmet_allowances": [
            {"file": one.file, "case": one.case, "field": one.field, "reason": one.reason}
            for one in allowances
            if id(one) in unmet
        ],
        "exit_code": exit_code(results),
    }


def _case(result: Result) -> dict[str, Json]:
    return {
        "name": result.case.name,
        "about": result.case.about,
        "verdict": result.verdict,
        "reason": result.reason or None,
        "differences": [
            {
                "field": difference.field,
                "a": difference.a.decode("utf-8", "backslashreplace"),
                "b": difference.b.decode("utf-8", "backslashreplace"),
                "allowed": allowance.reason if allowance else None,
            }
            for difference, allowance in result.differences
        ],
    }
