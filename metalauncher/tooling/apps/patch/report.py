"""What a run of `patch` came to, as text for a terminal and as JSON; its sentences. Pure: returns what is written."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final

from metalauncher.explain.terminal import RED, YELLOW
from metalauncher.tooling.apps.check.bounds import SENTENCE_LIMIT, listed, shorten, size_in_words
from metalauncher.tooling.apps.check.findings import WORDS as VERDICTS
from metalauncher.tooling.apps.check.gate import UNFINISHED
from metalauncher.tooling.apps.check.report_text import ASSUMPTIONS
from metalauncher.tooling.apps.patch.entry import entry_to_json, progress_to_json
from metalauncher.tooling.apps.patch.findings import CODES, OUTCOMES, WORDS
from metalauncher.tooling.apps.patch.journal import SCHEMA_VERSION
from metalauncher.tooling.console import FAINT, GREEN, count

if TYPE_CHECKING:
    from collections.abc import Callable

    from metalauncher.explain.jsontext import Json
    from metalauncher.tooling.apps.patch.entry import Entry, Proof
    from metalauncher.tooling.apps.patch.findings import App, Findings, Outcome

    Paint = Callable[[str, str], str]

_FEW = 20  # apps that are written, or to be, which are listed without --all

_COLOURS: Final[dict[Outcome, str]] = {
    "written": GREEN,
    "planned": GREEN,
    "left-alone": FAINT,
    "refused": RED,
    "failed": YELLOW,
}


def lines(findings: Findings, paint: Paint, *, whole: bool = False) -> list[str]:
    """Lay out: the apps about which something is to be decided, those that go where they are few, and the sum.

    Args:
        findings: of a run.
        paint: makes a text printable, and coloured where that is wanted.
        whole: whether every app is shown.
    """
    going = findings.going
    listed_alone = {*findings.to_decide, *(going if len(going) <= _FEW else ())}
    shown = [app for app in findings.apps if whole or len(findings.apps) == 1 or app in listed_alone]
    found = [line for app in shown for line in _app(app, paint)]
    hidden = len(findings.apps) - len(shown)
    return [*found, *([""] if found else []), *[paint(line, "") for line in summary(findings, hidden=hidden)]]


def _app(app: App, paint: Paint) -> list[str]:
    entry, why = app.entry, app.why
    found = [f"{paint(entry.app, '')}: {paint(WORDS[app.outcome], _COLOURS[app.outcome])}"]
    if app.outcome in ("planned", "written"):
        found.append(f"  to:      {paint(entry.target, '')} {paint(entry.new_digest or '', FAINT)}")
    else:
        found.append(f"  why:     {paint(shorten(why.reason, SENTENCE_LIMIT), '')}")
    if entry.launcher is not None:
        found.append(f"  carries: {paint(shorten(entry.launcher.name), '')}")
    for proof in app.proofs:
        found.append(
            f"  {'on:' if proof.over == 'named' else 'inside:':<8} {paint(shorten(proof_in_words(proof)), '')}"
        )
        found += [f"  assumes: {paint(shorten(ASSUMPTIONS.get(code, code)), '')}" for code in proof.assumes]
    if behind := left_behind(entry):
        found.append(f"  behind:  {paint(shorten(behind, SENTENCE_LIMIT), '')}")
    if why.remedy:
        found += [f"  do:      {paint(shorten(why.remedy, SENTENCE_LIMIT), '')}"]
    return found + ([f"           {paint(why.command, '')}"] if why.command else [])


def left_behind(entry: Entry) -> str:
    """Return what refers to the old digest, and stays there; "" if nothing does, and all of it is known."""
    types = listed(sorted({referrer.artifact_type for referrer in entry.referrers}))
    number = len(entry.referrers)
    stay = "stays" if number == 1 else "stay"
    parts = [f"{count(number, 'referrer')} of the old digest {stay} there: {types}"] * bool(number)
    parts += [f"referrers not listed: {entry.referrers_unknown}"] * bool(entry.referrers_unknown)
    return "; ".join(parts)


def proof_in_words(proof: Proof) -> str:
    """Return what comes of an app over a run image, and how many of its launchers would have it."""
    where = f"{proof.run_image}: " if proof.run_image else ""
    if proof.kind != "starts":
        return f"{where}{VERDICTS[proof.kind]}: {proof.reason}"
    cover = f"{count(proof.covering, 'launcher')} {'covers' if proof.covering == 1 else 'cover'} it"
    return f"{where}starts with {proof.launcher}; {cover}, {proof.remaining} without the newest"


def summary(findings: Findings, *, hidden: int = 0) -> list[str]:
    """Return what it comes to; `hidden` is how many apps are not listed above it."""
    counts = findings.counts
    parts = [f"{counts[kind]:,} {WORDS[kind]}" for kind in OUTCOMES if counts[kind]]
    found = [f"not listed: {count(hidden, 'app')}; --all lists every app"] if hidden else []
    found += [f"{count(len(findings.apps), 'app')}: {', '.join(parts)}" if parts else "no app was looked at"]
    if findings.going:
        found.append(f"{moved_in_words(findings)}; kept as they are: {kept_in_words(findings)}")
        names = [f"{shorten(one.name)} ({one.apps:,})" for one in findings.launchers]
        found += [f"launchers that go: {listed(names)}"] if names else []
        found += [fragile_in_words(findings)] if findings.fragile else []
        behind = findings.behind
        found += [f"what refers to the old digests stays behind: {behind:,}"] if behind else []
        found += [f"referrers not listed: {count(findings.unlisted, 'app')}"] if findings.unlisted else []
    if hosts := hosts_in_words(findings):
        found.append(f"asked because labels name them: {hosts}")
    codes = [(number, code, CODES.get(code, "")) for code, number in findings.codes.items()]
    found += [f"{number:>7,}  {code}{f': {words}' if words else ''}" for number, code, words in codes]
    if counts["refused"] and not findings.applied:
        found.append("this journal keeps what is refused: when the reason is gone, plan these apps with a new one")
    say, command = next_step(findings)
    say += " (--all lists every app)" if command and hidden else ""
    if say:
        found.append(f"{say}, then {command}" if command else say)
    return found


def fragile_in_words(findings: Findings) -> str:
    """Return how many apps lose their only launcher with the newest one; there is one at least."""
    who, it = count(findings.fragile, "app"), "it" if findings.fragile == 1 else "they"
    what = f"{'has' if findings.fragile == 1 else 'have'} only a run image's newest launcher"
    return f"{who} {what} ('0 without the newest'): {it} will not start on a run image without that one"


def hosts_in_words(findings: Findings) -> str:
    """Return which registries were asked because labels name them, and for how many apps; "" for none."""
    hosts = findings.label_hosts
    number = "1 registry" if len(hosts) == 1 else f"{len(hosts):,} registries"
    named = listed([f"{shorten(host)} ({apps:,})" for host, apps in hosts.items()])
    return f"{number}, {named}" if hosts else ""


def kept_in_words(findings: Findings) -> str:
    """Return which layers are kept."""
    kept, size = findings.kept
    return f"{kept:,} layers of {size_in_words(size)}"


def next_step(findings: Findings) -> tuple[str, str]:
    """Return what is to be done next, and the command for it; "" where there is none."""
    if findings.missing:
        return f"not finished: {count(findings.missing, 'app')} without a plan; run the same command again", ""
    if findings.applied and findings.unplanned:
        again = "run the command again that made the plan, and then this one"
        return f"not finished: {count(findings.unplanned, 'app')} could not be planned; {again}", ""
    if findings.applied and findings.exit_code == UNFINISHED:
        return "not finished: run the same command again", ""
    if not findings.applied and findings.counts["planned"]:
        return "nothing is written yet: review the plan", f"metalauncher patch --apply {shlex.quote(findings.journal)}"
    if findings.applied and findings.counts["written"]:
        return "deploy the new tags; the old ones are unchanged. Before each rebase: metalauncher check", ""
    return "", ""


def moved_in_words(findings: Findings) -> str:
    """Return how much is to be sent to registries, and how much was."""
    planned = [app.entry.upload for app in findings.apps if app.outcome == "planned"]
    written = [app.progress.sent for app in findings.apps if app.progress is not None and app.outcome == "written"]
    numbers = (("to upload", planned), ("uploaded, manifests aside", written))
    return "; ".join([f"{what}: {size_in_words(sum(sizes))}" for what, sizes in numbers if sizes])


def document(findings: Findings) -> dict[str, Json]:
    """Return one JSON document, as schemas/patch.schema.json describes it."""
    return {
        "schema_version": SCHEMA_VERSION,
        "asked": findings.asked.document(),
        "applied": findings.applied,
        "complete": findings.exit_code != UNFINISHED,
        "counts": {str(kind): number for kind, number in findings.counts.items()},
        "codes": {**findings.codes},
        "launchers": [
            {"module": one.launcher.module, "release": one.launcher.release, "apps": one.apps}
            for one in findings.launchers
        ],
        "newest_alone": findings.fragile,
        "label_hosts": {**findings.label_hosts},
        "apps": [
            {
                "outcome": app.outcome,
                "entry": entry_to_json(app.entry),
                "progress": None if app.progress is None else progress_to_json(app.progress),
            }
            for app in findings.apps
        ],
    }
