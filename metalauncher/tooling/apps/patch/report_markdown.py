"""What a run of `patch` came to, as Markdown, for a comment on a pull request. Pure: returns text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from metalauncher.tooling.apps.check.bounds import NAME_LIMIT, shorten, size_in_words
from metalauncher.tooling.apps.markdown import COMMENT_LIMIT, as_code, as_text, fold, table
from metalauncher.tooling.apps.patch import report
from metalauncher.tooling.apps.patch.findings import GOING, OUTCOMES, WORDS
from metalauncher.tooling.console import count

if TYPE_CHECKING:
    from metalauncher.tooling.apps.patch.findings import App, Findings

_DECISION: Final = ("App", "Outcome", "Why", "What to do")
_CHANGE: Final = ("App", "Target", "Digests", "How it starts", "Upload:", "Carries")
# Of the comment, for those to be decided about and those that go; the lists of launchers and codes take less.
_MOST: Final = COMMENT_LIMIT // 3
_LITTLE: Final = COMMENT_LIMIT // 12


def markdown(findings: Findings) -> str:
    """Lay out."""
    parts = [f"## {_sign(findings)} {findings.headline}", _asked(findings)]
    say, command = report.next_step(findings)
    if say:
        parts.append(f"**{as_text(say)}**" + (f", then {as_code(command)}" if command else ""))
    if decide := findings.to_decide:
        parts.append(table(_DECISION, (_decision(app) for app in decide), len(decide), _MOST))
    if going := findings.going:
        counted = [f"{len(found):,} {WORDS[kind]}" for kind in GOING if (found := findings.of(kind))]
        changes = table(_CHANGE, (_change(app) for app in going), len(going), _MOST)
        parts.append(fold(", ".join(counted), changes))
        parts.append(_sums(findings))
    if hosts := report.hosts_in_words(findings):
        parts.append(f"Asked because labels name them: {as_text(hosts)}.")
    if launchers := findings.launchers:
        rows = ((as_text(shorten(one.name, NAME_LIMIT)), f"{one.apps:,}") for one in launchers)
        parts.append(fold("Launchers that go", table(("Launcher", "Apps:"), rows, len(launchers), _LITTLE)))
    if codes := findings.codes:
        counts = ((as_code(code), f"{number:,}") for code, number in codes.items())
        parts.append(fold("Why apps are not written", table(("Code", "Apps:"), counts, len(codes), _LITTLE)))
    return "\n\n".join(parts) + "\n"


def _sign(findings: Findings) -> str:
    if findings.counts["refused"]:
        return "❌"
    return "⚠️" if findings.unfinished or not findings.apps else "✅"


def _asked(findings: Findings) -> str:
    asked = findings.asked
    parts = [f"{as_text(asked.launcher)} to {as_code(asked.to)}", f"journal {as_code(findings.journal)}"]
    if asked.must_match:
        parts.append(f"only layers {', '.join([as_code(each) for each in asked.must_match[:1]])}")
        if len(asked.must_match) > 1:
            parts.append(f"and {len(asked.must_match) - 1:,} more")
    parts += ["forced"] * asked.force
    parts += [as_text(asked.platform)] if asked.platform else []
    counts = findings.counts
    numbers = ", ".join([f"{counts[kind]:,} {WORDS[kind]}" for kind in OUTCOMES if counts[kind]])
    return f"{', '.join(parts)}: {numbers or 'no app'}."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _sums(findings: Findings) -> str:
    parts = [_capital(report.moved_in_words(findings)), f"kept as they are: {report.kept_in_words(findings)}"]
    if findings.fragile:
        parts.append(as_text(report.fragile_in_words(findings)))
    if findings.behind:
        parts.append(f"what refers to the old digests stays behind: {findings.behind:,}")
    if findings.unlisted:
        parts.append(f"referrers not listed: {count(findings.unlisted, 'app')}")
    return f"{'; '.join(parts)}."


def _decision(app: App) -> tuple[str, ...]:
    why = app.why
    remedy = [as_text(why.remedy)] * bool(why.remedy) + [as_code(why.command)] * bool(why.command)
    reasons = [as_text(why.reason), *_proofs(app)]
    return (
        as_code(app.entry.app),
        f"{WORDS[app.outcome]} ({as_code(why.code)})",
        "<br>".join(reasons),
        "<br>".join(remedy),
    )


def _change(app: App) -> tuple[str, ...]:
    entry = app.entry
    digests = [as_code(digest) for digest in (entry.digest, entry.new_digest) if digest]
    behind = [as_text(each) for each in (report.left_behind(entry),) if each]
    carried = [as_text(shorten(entry.launcher.name, NAME_LIMIT))] if entry.launcher else []
    return (
        as_code(entry.app),
        f"{as_code(entry.target)}: {WORDS[app.outcome]}",
        " → ".join(digests),
        "<br>".join(_proofs(app)),
        size_in_words(entry.upload),
        "<br>".join([*carried, *behind]),
    )


def _proofs(app: App) -> list[str]:
    return [
        as_text(f"{'named' if each.over == 'named' else 'inside'}: {report.proof_in_words(each)}")
        for each in app.proofs
    ]
