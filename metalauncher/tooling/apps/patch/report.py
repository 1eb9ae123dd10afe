"""What a run of `patch` came to, as text for a terminal and as JSON. Pure: returns what is to be written."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final

from metalauncher.explain.terminal import RED, YELLOW
from metalauncher.tooling.apps.check.bounds import SENTENCE_LIMIT, listed, shorten, size_in_words
from metalauncher.tooling.apps.check.findings import WORDS as VERDICTS
from metalauncher.tooling.apps.check.report_text import ASSUMPTIONS
from metalauncher.tooling.apps.patch.entry import entry_to_json, progress_to_json
from metalauncher.tooling.apps.patch.findings import KINDS, WORDS
from metalauncher.tooling.apps.patch.journal import SCHEMA_VERSION
from metalauncher.tooling.console import FAINT, GREEN, count

if TYPE_CHECKING:
    from collections.abc import Callable

    from metalauncher.explain.jsontext import Json
    from metalauncher.tooling.apps.patch.entry import Proof
    from metalauncher.tooling.apps.patch.findings import App, Findings, Kind

    Paint = Callable[[str, str], str]

_COLOURS: Final[dict[Kind, str]] = {
    "written": GREEN,
    "planned": GREEN,
    "left-alone": FAINT,
    "refused": RED,
    "failed": YELLOW,
}
_TO_DECIDE: Final = ("refused", "failed")


def lines(findings: Findings, paint: Paint, *, whole: bool = False) -> list[str]:
    """Lay out: the apps about which something is to be decided, one that was asked about alone, and the sum.

    Args:
        findings: of a run.
        paint: makes a text printable, and coloured where that is wanted.
        whole: whether every app is shown.
    """
    shown = [app for app in findings.apps if whole or len(findings.apps) == 1 or app.kind in _TO_DECIDE]
    found = [line for app in shown for line in _app(app, paint)]
    hidden = len(findings.apps) - len(shown)
    more = [f"not listed: {count(hidden, 'app')}; --all lists every app"] if hidden else []
    return [*found, *([""] if found else []), *[paint(line, "") for line in [*more, *summary(findings)]]]


def _app(app: App, paint: Paint) -> list[str]:
    entry, why = app.entry, app.why
    found = [f"{paint(entry.app, '')}: {paint(WORDS[app.kind], _COLOURS[app.kind])}"]
    if app.kind in ("planned", "written"):
        found.append(f"  to:      {paint(entry.target, '')} {paint(entry.new_digest or '', FAINT)}")
    else:
        found.append(f"  why:     {paint(shorten(why.reason, SENTENCE_LIMIT), '')}")
    if entry.launcher is not None:
        found.append(f"  carries: {paint(shorten(entry.launcher.name), '')}")
    for proof in app.proofs:
        found.append(f"  {'on:' if proof.over == 'named' else 'inside:':<8} {paint(shorten(_proof(proof)), '')}")
        found += [f"  assumes: {paint(shorten(ASSUMPTIONS.get(code, code)), '')}" for code in proof.assumes]
    if entry.referrers:
        types = listed(sorted({referrer.artifact_type for referrer in entry.referrers}))
        stay = "stays" if len(entry.referrers) == 1 else "stay"
        behind = f"{count(len(entry.referrers), 'referrer')} of the old digest {stay} there: {types}"
        found.append(f"  behind:  {paint(shorten(behind), '')}")
    if why.remedy:
        found += [f"  do:      {paint(shorten(why.remedy, SENTENCE_LIMIT), '')}"]
    return found + ([f"           {paint(why.command, '')}"] if why.command else [])


def _proof(proof: Proof) -> str:
    where = f"{proof.run_image}: " if proof.run_image else ""
    if proof.kind != "starts":
        return f"{where}{VERDICTS[proof.kind]}: {proof.reason}"
    cover = f"{count(proof.covering, 'launcher')} {'covers' if proof.covering == 1 else 'cover'} it"
    return f"{where}starts with {proof.launcher}; {cover}, {proof.remaining} without the newest"


def summary(findings: Findings) -> list[str]:
    """Return what it comes to."""
    counts = findings.counts
    parts = [f"{counts[kind]:,} {WORDS[kind]}" for kind in KINDS if counts[kind]]
    found = [f"{count(len(findings.apps), 'app')}: {', '.join(parts)}" if parts else "no app was looked at"]
    going = findings.going
    if going:
        kept, size = (
            sum(numbers) for numbers in zip(*[(app.entry.kept, app.entry.kept_bytes) for app in going], strict=True)
        )
        found.append(f"{_moved(findings)}; kept as they are: {kept:,} layers of {size_in_words(size)}")
        names = [f"{shorten(one.name)} ({one.apps:,})" for one in findings.launchers]
        found += [f"launchers that go: {listed(names)}"] if names else []
        if findings.fragile:
            found.append(f"covered by the newest launcher of a run image alone: {count(findings.fragile, 'app')}")
        behind = sum([len(app.entry.referrers) for app in going])
        found += [f"what refers to the old digests stays behind: {behind:,}"] if behind else []
    found += [f"{number:>7,}  {code}" for code, number in findings.codes.items()]
    if counts["refused"] and not findings.applied:
        found.append("this journal keeps what is refused: when the reason is gone, plan these apps with a new one")
    if findings.missing:
        found.append(f"not finished: {count(findings.missing, 'app')} without a plan; run the same command again")
    elif findings.applied and findings.unplanned:
        again = "run the command again that made the plan, and then this one"
        found.append(f"not finished: {count(findings.unplanned, 'app')} could not be planned; {again}")
    elif findings.applied and findings.exit_code == 3:
        found.append("not finished: run the same command again")
    elif not findings.applied and counts["planned"]:
        command = f"metalauncher patch --apply {shlex.quote(findings.journal)}"
        found.append(f"nothing is written yet: review the plan, then {command}")
    elif findings.applied and counts["written"]:
        found.append("deploy the new tags; the old ones are as they were. Before each rebase: metalauncher check")
    return found


def _moved(findings: Findings) -> str:
    """Return how much is to be sent to registries, and how much was."""
    planned = [app.entry.upload for app in findings.apps if app.kind == "planned"]
    written = [app.progress.sent for app in findings.apps if app.progress is not None and app.kind == "written"]
    numbers = (("to upload", planned), ("uploaded", written))
    return "; ".join([f"{what}: {size_in_words(sum(sizes))}" for what, sizes in numbers if sizes])


def document(findings: Findings) -> dict[str, Json]:
    """Return one JSON document, as schemas/patch.schema.json describes it."""
    return {
        "schema_version": SCHEMA_VERSION,
        "asked": findings.asked.document(),
        "applied": findings.applied,
        "complete": findings.exit_code != 3,
        "counts": {str(kind): number for kind, number in findings.counts.items()},
        "codes": {**findings.codes},
        "launchers": [
            {"module": one.launcher.module, "release": one.launcher.release, "apps": one.apps}
            for one in findings.launchers
        ],
        "newest_alone": findings.fragile,
        "apps": [
            {
                "kind": app.kind,
                "entry": entry_to_json(app.entry),
                "progress": None if app.progress is None else progress_to_json(app.progress),
            }
            for app in findings.apps
        ],
    }
