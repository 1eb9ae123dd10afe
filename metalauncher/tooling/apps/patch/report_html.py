"""What a run of `patch` came to, as one page to look at. Pure. Whatever images are called and say is escaped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from metalauncher.tooling.apps import page
from metalauncher.tooling.apps.check.bounds import CELL_LIMIT, SENTENCE_LIMIT, size_in_words
from metalauncher.tooling.apps.check.findings import WORDS as VERDICTS
from metalauncher.tooling.apps.check.report_html import SIGNS as VERDICT_SIGNS
from metalauncher.tooling.apps.check.report_text import ASSUMPTIONS, own_launcher
from metalauncher.tooling.apps.patch import report
from metalauncher.tooling.apps.patch.findings import WORDS
from metalauncher.tooling.console import count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from metalauncher.tooling.apps.made import Made
    from metalauncher.tooling.apps.patch.entry import Proof
    from metalauncher.tooling.apps.patch.findings import App, Findings, Outcome

_SIGNS: Final[dict[Outcome, str]] = {"written": "✓", "planned": "→", "left-alone": "-", "refused": "✗", "failed": "?"}
_LEGENDS: Final[dict[Outcome, str]] = {
    "written": "its target has what was planned, read back and judged there",
    "planned": "it goes to its target when the plan is applied",
    "left-alone": "nothing is to be done about it, or it was not asked for",
    "refused": "not written; the reason is below",
    "failed": "it could not be told; the same command tries again",
}
_TITLES: Final[dict[Outcome, str]] = {"planned": "Apps to be written", "written": "Apps that are written"}
_SHOWN: Final[tuple[Outcome, ...]] = ("refused", "failed", "planned", "written", "left-alone")
_PATCH: Final = "apps patch"


def html(findings: Findings, made: Made) -> Iterator[str]:
    """Lay out, piece by piece."""
    refused, unsure = findings.counts["refused"], findings.unfinished or not findings.apps
    mood: page.Mood = "bad" if refused else "unsure" if unsure else "good"
    head = page.Head("patch", findings.headline, findings.journal, mood, _facts(findings), made)
    footer = f"Made by metalauncher {findings.asked.metalauncher}, by the rule that dispatches. Nothing was run."
    return page.lay_out(head, _body(findings), footer)


def _facts(findings: Findings) -> Iterator[tuple[str, str]]:
    asked = findings.asked
    yield "What it is", "what became of a plan" if findings.applied else "a plan"
    yield "Journal", page.code(findings.journal)
    yield "Launcher", f"{page.safe(asked.launcher)}{' (experimental)' if asked.launcher == 'symlink' else ''}"
    yield "Targets", page.code(asked.to)
    if asked.must_match:
        yield "Replaced only", ", ".join([page.code(each) for each in asked.must_match])
    if asked.force:
        yield "Forced", "unknown verdicts are written, and images that say they can't be rebased"
    if asked.platform:
        yield "Platform", page.safe(asked.platform)
    if findings.going:
        yield "Uploads", report.moved_in_words(findings)
        yield "Kept as they are", report.kept_in_words(findings)
    if findings.fragile:
        yield "Newest only", page.safe(report.fragile_in_words(findings), SENTENCE_LIMIT)
    if findings.behind:
        yield "Left behind", f"{count(findings.behind, 'referrer')} of old digests, such as signatures"
    if hosts := report.hosts_in_words(findings):
        yield "Asked by labels", page.safe(hosts, SENTENCE_LIMIT)
    if findings.unlisted:
        yield "Not listed", f"what refers to the old digests of {count(findings.unlisted, 'app')}"


def _body(findings: Findings) -> Iterator[str]:
    say, command = report.next_step(findings)
    if say:
        then = f", then {page.code(command, page.APP_LIMIT)}" if command else ""
        yield f'<p class="note{" do" if command else ""}">{page.safe(say)}{then}</p>\n'
    counts = findings.counts
    yield from page.numbers(
        "Apps by outcome", [page.Tile(kind, counts[kind], WORDS[kind], _LEGENDS[kind]) for kind in _SHOWN]
    )
    if findings.apps:
        yield page.FILTER
    if decide := findings.to_decide:
        heads = ("App", "Outcome", "Why", "What to do")
        table = page.Table("decide", "Apps that need a decision", len(decide), heads, _PATCH)
        yield from page.section(table, (page.Row((_name(app), _outcome(app), _why(app), _do(app))) for app in decide))
    for kind, title in _TITLES.items():
        if going := findings.of(kind):
            table = page.Table(kind, title, len(going), ("App", "Outcome", "How it starts", "What moves"), _PATCH)
            yield from page.section(
                table, (page.Row((_name(app), _outcome(app), _proofs(app), _moves(app))) for app in going)
            )
    if alone := findings.of("left-alone"):
        table = page.Table(
            "left-alone", "Apps that are left alone", len(alone), ("App", "Outcome", "Why", "Carries"), _PATCH
        )
        yield from page.section(
            table, (page.Row((_name(app), _outcome(app), _why(app), _carried(app))) for app in alone)
        )
    if launchers := findings.launchers:
        carried = page.Table("launchers", "Launchers that go", len(launchers), ("Launcher", "Apps"), "")
        yield from page.section(
            carried, (page.Row((page.safe(one.name, CELL_LIMIT), f"{one.apps:,}")) for one in launchers)
        )
    if codes := findings.codes:
        reasons = page.Table("codes", "Why apps are not written", len(codes), ("Code", "Apps"), "")
        yield from page.section(reasons, (page.Row((page.code(name), f"{number:,}")) for name, number in codes.items()))


def _name(app: App) -> str:
    return page.code(app.entry.app, page.APP_LIMIT)


def _outcome(app: App) -> str:
    """Give how it stands, from which digest it comes, and where it goes as which."""
    entry = app.entry
    parts = [page.badge(app.outcome, _SIGNS[app.outcome], WORDS[app.outcome])]
    if app.why.code:
        parts.append(f"<small>{page.code(app.why.code)}</small>")
    if entry.target:
        parts.append(f"<small>to {page.code(entry.target, page.APP_LIMIT)}</small>")
    if entry.digest:
        parts.append(f"<small>old {page.code(entry.digest)}</small>")
    if entry.new_digest:
        parts.append(f"<small>new {page.code(entry.new_digest)}</small>")
    return "".join([*parts, page.small(entry.platform)])


def _why(app: App) -> str:
    return f"{page.safe(app.why.reason)}{_proofs(app)}"


def _do(app: App) -> str:
    why = app.why
    command = f"<small>{page.code(why.command, page.APP_LIMIT)}</small>" if why.command else ""
    carried = _carried(app)
    return f"{page.safe(why.remedy)}{command}{f'<small>Carries {carried}</small>' if carried else ''}{_behind(app)}"


def _proofs(app: App) -> str:
    return "".join([_proof(proof) for proof in app.proofs])


def _proof(proof: Proof) -> str:
    over = "the run image inside" if proof.over == "inside" else "the run image that its label names"
    rests = "".join([page.small(f"Assumes that {ASSUMPTIONS.get(each, each)}.") for each in proof.assumes])
    verdict = page.badge(proof.kind, VERDICT_SIGNS[proof.kind], VERDICTS[proof.kind])
    alone = ' class="regressed"' if proof.covering and not proof.remaining else ""
    return f"<p>{verdict} over {over}<small{alone}>{page.safe(report.proof_in_words(proof))}</small>{rests}</p>"


def _carried(app: App) -> str:
    launcher = app.entry.launcher
    return "" if launcher is None else page.safe(own_launcher(launcher), CELL_LIMIT)


def _moves(app: App) -> str:
    entry, progress = app.entry, app.progress
    sent = "" if progress is None else f"; {size_in_words(progress.sent)} were sent"
    return "".join(
        [
            f"{size_in_words(entry.upload)} to upload{sent}",
            page.small(f"{count(entry.kept, 'layer')} of {size_in_words(entry.kept_bytes)} kept"),
            f"<small>In place of {_carried(app)}</small>" if entry.launcher else "",
            page.small(f"Layer {entry.launcher_layer}" if entry.launcher_layer else ""),
            page.small(f"Before: {VERDICTS[entry.before]}" if entry.before else ""),
            _behind(app),
        ]
    )


def _behind(app: App) -> str:
    return page.small(report.left_behind(app.entry))
