"""Findings as one page to look at: nothing is loaded, and without its script it only can't be filtered. Pure.

Whatever images are called and say is escaped, and the page's policy lets no other style or script run than its own.

Not with jinja2: tried, it took 105 lines of Python and 116 of template in place of 212 lines of Python, for what the
page shows is decided by code; and it brings two distributions (158 KB of wheels), one of them compiled.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from metalauncher.explain.terminal import printable
from metalauncher.refusals import MetadataUnreadable, NothingExecuted, PinUnsatisfied
from metalauncher.tooling.apps.check.bounds import (
    API_LIMIT,
    LISTED,
    NAME_LIMIT,
    SENTENCE_LIMIT,
    listed,
    shorten,
    size_in_words,
)
from metalauncher.tooling.apps.check.findings import WORDS
from metalauncher.tooling.apps.check.report_text import ASSUMPTIONS, notes_shown, own_launcher, resting
from metalauncher.tooling.apps.check.verdict import AT_RISK
from metalauncher.tooling.console import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from metalauncher.tooling.apps.check.findings import Cell, Findings, Need
    from metalauncher.tooling.apps.check.verdict import Kind, Result

_SIGNS: Final[dict[Kind, str]] = {
    "starts": "✓",
    "refused": "✗",
    "does-not-start": "✗",
    "keeps-own-launcher": "-",
    "unknown": "?",
}
_TILES: Final[dict[Kind, str]] = {
    "starts": "start",
    "refused": "would be refused",
    "does-not-start": "would not start",
    "keeps-own-launcher": "keep their own launcher",
    "unknown": "unknown",
}
_LEGENDS: Final[dict[Kind, str]] = {
    "starts": "a launcher of the run image covers it",
    "refused": "no launcher covers it",
    "does-not-start": "its way into the run image leads nowhere",
    "keeps-own-launcher": "this rebase neither breaks nor patches it",
    "unknown": "its verdict would be a guess; the reason is below",
}
# Of those that are refused, by exit code, where it is not for want of an API.
_CAUSES: Final = {
    NothingExecuted.exit_code: "none that covers it can be started",
    MetadataUnreadable.exit_code: "its metadata.toml can't be read",
    PinUnsatisfied.exit_code: "none that its pin names covers it",
}
_SHOWN: Final[tuple[Kind, ...]] = ("does-not-start", "refused", "unknown", "starts", "keeps-own-launcher")


def html(findings: Findings) -> Iterator[str]:
    """Lay out, piece by piece: the page of a large fleet is several times as large as what is known of it."""
    style, script = _asset("page.css"), _asset("page.js")
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; base-uri 'none';"
        " form-action 'none'"
    )
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    yield f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">\n'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    yield '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
    yield f"<title>{_safe(findings.headline)}: {_safe(findings.run_image.name)}</title>\n"
    yield f"<style>{style}</style>\n</head>\n<body>\n"
    yield from _header(findings)
    yield "<main>\n"
    yield from _body(findings)
    yield f"</main>\n<footer>Checked by metalauncher {_safe(findings.version)}, by the rule that dispatches."
    yield f" Nothing was run.</footer>\n<script>{script}</script>\n</body>\n</html>\n"


@cache
def _asset(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _safe(text: str, limit: int = SENTENCE_LIMIT) -> str:
    return escape(printable(shorten(text, limit)))


def _header(findings: Findings) -> Iterator[str]:
    image = findings.run_image
    mood = "bad" if findings.at_risk else "unsure" if _is_unsure(findings) else "good"
    yield f'<header class="{mood}">\n<p class="over">metalauncher check</p>\n<h1>{_safe(findings.headline)}</h1>\n'
    yield f"<dl>\n<div><dt>Run image</dt><dd><code>{_safe(image.name)}</code></dd></div>\n"
    if image.digest:
        yield f"<div><dt>Digest</dt><dd><code>{_safe(image.digest)}</code></dd></div>\n"
    if findings.against:
        regressed = sum([result.regressed for result in findings.results])
        what = f", under which {regressed:,} of those at risk would start" if findings.at_risk else ""
        yield f"<div><dt>Compared with</dt><dd><code>{_safe(findings.against)}</code>{what}</dd></div>\n"
    if findings.platform:
        yield f"<div><dt>Platform</dt><dd>{_safe(findings.platform)}</dd></div>\n"
    launchers = (
        ", ".join([f"<code>{_safe(repr(launcher), NAME_LIMIT)}</code>" for launcher in image.launchers]) or "none"
    )
    yield f"<div><dt>Launchers</dt><dd>{launchers}</dd></div>\n"
    if findings.layers_read:
        read = f"{findings.layers_read:,} layers of {size_in_words(findings.bytes_read)}; {resting(findings)}"
        yield f"<div><dt>Looked through</dt><dd>{_safe(read)}</dd></div>\n"
    yield "</dl>\n</header>\n"


def _is_unsure(findings: Findings) -> bool:
    return bool(findings.of("unknown") or findings.unchecked or not findings.results)


def _body(findings: Findings) -> Iterator[str]:
    if findings.unchecked:
        yield f'<p class="note"><strong>{count(findings.unchecked, "app")} not checked:</strong>'
        yield " the check was interrupted, and this is what it had found by then.</p>\n"
    yield from _numbers(findings)
    if findings.left_alone:
        yield f'<p class="note"><strong>{findings.left_alone:,} left alone</strong> by'
        yield f" <code>{_safe(findings.gate.text)}</code>: the run does not fail by them.</p>\n"
    if findings.bundles:
        names = ", ".join([f"<code>{_safe(name)}</code>" for name in findings.bundles])
        yield f'<p class="note do"><strong>To be added to the run image:</strong> {names}</p>\n'
    if findings.results:
        yield '<p class="filter" hidden><label for="filter">Filter by name</label>'
        yield '<input id="filter" type="search" autocomplete="off" spellcheck="false">'
        yield '<output for="filter" aria-live="polite"></output></p>\n'
    if findings.at_risk:
        yield from _apps("at-risk", "Apps at risk", findings.at_risk, ("Why", "What would serve it"))
    if unknown := findings.of("unknown"):
        yield from _apps("unknown", "Apps whose verdict is unknown", unknown, ("Why", "What to do"))
    if findings.needs:
        yield from _matrix(findings)
    if starting := findings.of("starts"):
        yield from _apps("rest", "Apps that start", starting, ("Why", "Notes"))
    if keeping := findings.of("keeps-own-launcher"):
        yield from _apps("own", "Apps that keep their own launcher", keeping, ("Which one", "Notes"))


def _numbers(findings: Findings) -> Iterator[str]:
    total = len(findings.results)
    counts = findings.counts
    if total:
        # What is at risk is to be seen, however few they are.
        widths = {kind: max(1000 * counts[kind] / total, 6.0) for kind in _SHOWN if counts[kind]}
        yield '<svg class="bar" role="img" aria-label="Apps by verdict" preserveAspectRatio="none"'
        yield f' viewBox="0 0 {sum(widths.values()):.1f} 12">\n'
        left = 0.0
        for kind, width in widths.items():
            yield f'<rect class="{kind}" x="{left:.1f}" y="0" width="{width:.1f}" height="12"/>\n'
            left += width
        yield "</svg>\n"
    yield '<ul class="tiles">\n'
    for kind in _SHOWN:
        zero = "" if counts[kind] else " zero"
        yield f'<li class="{kind}{zero}"><b>{counts[kind]:,}</b> <span>{_TILES[kind]}</span>'
        yield f"<small>{_legend(kind, findings)}</small></li>\n"
    yield "</ul>\n"


def _legend(kind: Kind, findings: Findings) -> str:
    """Say what the apps of a kind have in common: of those that are there, each cause once."""
    causes: list[str] = []
    if kind == "refused":
        codes = {result.exit_code for result in findings.of(kind)}
        causes = [_LEGENDS[kind]] if codes.difference(_CAUSES) else []
        causes += [cause for code, cause in _CAUSES.items() if code in codes]
    elif kind == "does-not-start":
        chosen = {result.launcher is not None for result in findings.of(kind)}
        causes = [_LEGENDS[kind]] if False in chosen else []
        causes += ["the launcher that is chosen refuses it"] if True in chosen else []
    return ", or ".join(causes) or _LEGENDS[kind]


def _apps(name: str, title: str, results: Iterable[Result], more: tuple[str, str]) -> Iterator[str]:
    rows = list(results)
    yield f'<section aria-labelledby="{name}-title">\n'
    yield f'<h2 id="{name}-title">{title} <span class="number">{len(rows):,}</span></h2>\n'
    yield f'<div class="scroll" role="region" aria-labelledby="{name}-title" tabindex="0">\n'
    yield f'<table id="{name}" class="apps">\n<thead><tr>'
    for head in ("App", "Verdict", *more):
        yield f'<th scope="col">{head}</th>'
    yield "</tr></thead>\n<tbody>\n"
    for result in rows:
        yield f'<tr><th scope="row"><code>{_safe(result.app, 2000)}</code></th><td>{_verdict(result)}</td>'
        yield f"<td>{_why(result)}{_recorded(result)}</td><td>{_last(result)}</td></tr>\n"
    yield "</tbody>\n</table>\n</div>\n</section>\n"


def _verdict(result: Result) -> str:
    words = WORDS[result.kind]
    parts = [f'<span class="verdict {result.kind}"><i aria-hidden="true">{_SIGNS[result.kind]}</i> {words}</span>']
    if result.launcher:
        parts.append(f"<small>with {_safe(str(result.launcher))}</small>")
    if result.exit_code is not None and result.kind in AT_RISK:
        parts.append(f"<small>exit code {result.exit_code}</small>")
    if result.regressed and result.before and result.before.launcher:
        parts.append(f'<small class="regressed">started before with {_safe(str(result.before.launcher))}</small>')
    return "".join(parts)


def _why(result: Result) -> str:
    if result.own_launcher is None:
        return _safe(result.reason)
    digest = result.own_launcher.digest
    place = f"<small><code>{_safe(digest)}</code></small>" if digest else ""
    return f"{_safe(own_launcher(result.own_launcher))}<small>{_safe(result.reason)}</small>{place}"


def _recorded(result: Result) -> str:
    if result.kind not in AT_RISK or (result.platform_api is None and not result.buildpacks):
        return ""
    apis = listed(
        [f"{shorten(name, NAME_LIMIT)} {shorten(api or 'none', API_LIMIT)}" for name, api in result.buildpacks]
    )
    text = f"Recorded: Platform API {shorten(result.platform_api or 'none', API_LIMIT)}" + (f"; {apis}" if apis else "")
    return f"<small>{_safe(text)}</small>"


def _last(result: Result) -> str:
    rests = [f"Assumes that {ASSUMPTIONS.get(code, code)}." for code in result.assumes]
    notes = "".join([f"<small>{_safe(note)}</small>" for note in (*notes_shown(result), *rests)])
    return f"{_safe(result.remedy)}{notes}"


def _matrix(findings: Findings) -> Iterator[str]:
    yield '<section aria-labelledby="matrix-title">\n'
    yield '<h2 id="matrix-title">What the apps recorded, and the launchers</h2>\n'
    yield '<div class="scroll" role="region" aria-labelledby="matrix-title" tabindex="0">\n<table id="matrix">\n'
    yield '<thead>\n<tr><th scope="col" rowspan="2">Platform API</th><th scope="col" rowspan="2">Buildpack API</th>'
    yield '<th scope="col" rowspan="2" class="amount">Apps</th>'
    launchers = findings.run_image.launchers
    if launchers:
        yield f'<th scope="colgroup" colspan="{len(launchers)}">Launchers of the run image</th>'
    yield "</tr>\n<tr>"
    for launcher in launchers:
        name = f"{_safe(launcher.id, NAME_LIMIT)}<wbr>@{_safe(launcher.version, NAME_LIMIT)}"
        yield f'<th scope="col"><code>{name}</code></th>'
    yield "</tr>\n</thead>\n<tbody>\n"
    for need in findings.needs:
        yield _need(need)
    yield "</tbody>\n</table>\n</div>\n"
    if findings.hidden_needs:
        yield f"<p>And {findings.hidden_needs:,} more combinations.</p>\n"
    yield '<p class="legend"><span class="runs">● runs</span> <span class="covers">○ covers it</span> '
    yield '<span class="lacks">✗ lacks an API, or can\'t start</span> '
    yield '<span class="opt-in">◌ only by opt-in</span></p>\n</section>\n'


def _need(need: Need) -> str:
    buildpacks = " ".join([f"<span>{_safe(api or 'none', API_LIMIT)}</span>" for api in need.buildpacks[:LISTED]])
    if len(need.buildpacks) > LISTED:
        buildpacks += f" and {len(need.buildpacks) - LISTED:,} more"
    platform = _safe(need.platform or "none recorded", 2 * API_LIMIT)
    risk = f"<small>{need.at_risk:,} at risk</small>" if need.at_risk else ""
    return (
        f'<tr{" class=risky" if need.at_risk else ""}><th scope="row">{platform}</th>'
        f'<td class="apis">{buildpacks or "none"}</td><td class="amount">{need.apps:,}{risk}</td>'
        + "".join([_cell(cell) for cell in need.cells])
        + "</tr>\n"
    )


def _cell(cell: Cell) -> str:
    match cell.state:
        case "runs":
            return '<td class="runs"><i aria-hidden="true">●</i> runs</td>'
        case "covers":
            return '<td class="covers"><i aria-hidden="true">○</i> covers it</td>'
        case "opt-in":
            return '<td class="opt-in"><i aria-hidden="true">◌</i> by opt-in</td>'
        case "broken":
            return '<td class="lacks"><i aria-hidden="true">✗</i> can\'t start</td>'
        case "lacks":
            return f'<td class="lacks"><i aria-hidden="true">✗</i> {_safe(cell.lacks)}</td>'
