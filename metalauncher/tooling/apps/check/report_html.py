"""Findings as one page to look at. Pure. Whatever images are called and say is escaped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from metalauncher.refusals import MetadataUnreadable, NothingExecuted, PinUnsatisfied
from metalauncher.tooling.apps import page
from metalauncher.tooling.apps.check.bounds import (
    API_LIMIT,
    LISTED,
    NAME_LIMIT,
    listed,
    shorten,
    size_in_words,
)
from metalauncher.tooling.apps.check.findings import WORDS, counted, recorded_by
from metalauncher.tooling.apps.check.report_text import (
    ASSUMPTIONS,
    about_platforms,
    by_platform,
    notes_shown,
    own_launcher,
    resting,
)
from metalauncher.tooling.apps.check.verdict import AT_RISK
from metalauncher.tooling.console import count
from metalauncher.tooling.oci.platforms import under

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from metalauncher.tooling.apps.check.findings import Cell, Findings, Matrix, Need
    from metalauncher.tooling.apps.check.verdict import Kind, Result
    from metalauncher.tooling.apps.made import Made

SIGNS: Final[dict[Kind, str]] = {
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
    "keeps-own-launcher": "this rebase neither breaks nor replaces it; metalauncher patch replaces it",
    "unknown": "its verdict would be a guess; the reason is below",
}
# Of those that are refused, by exit code, where it is not for want of an API.
_CAUSES: Final = {
    NothingExecuted.exit_code: "none that covers it can be started",
    MetadataUnreadable.exit_code: "its metadata.toml can't be read",
    PinUnsatisfied.exit_code: "none that its pin names covers it",
}
_SHOWN: Final[tuple[Kind, ...]] = ("does-not-start", "refused", "unknown", "starts", "keeps-own-launcher")


def html(findings: Findings, made: Made) -> Iterator[str]:
    """Lay out, piece by piece."""
    mood: page.Mood = "bad" if findings.at_risk else "unsure" if _is_unsure(findings) else "good"
    head = page.Head("check", findings.headline, findings.run_image.name, mood, _facts(findings), made)
    footer = f"Checked by metalauncher {findings.version}, by the rule that dispatches. Nothing was run."
    return page.lay_out(head, _body(findings), footer)


def _facts(findings: Findings) -> Iterator[tuple[str, str]]:
    image = findings.run_image
    yield "Run image", page.code(image.name)
    if image.digest:
        yield "Digest", page.code(image.digest)
    if findings.against:
        regressed = sum([result.regressed for result in findings.results])
        what = f", under which {regressed:,} of those at risk would start" if findings.at_risk else ""
        yield "Compared with", f"{page.code(findings.against)}{what}"
    if findings.platform:
        yield "Platform", page.safe(findings.platform)
    for one in image.platforms or (image,):
        launchers = ", ".join([page.code(repr(launcher), NAME_LIMIT) for launcher in one.launchers])
        yield f"Launchers for {page.safe(one.platform)}" if one.platform else "Launchers", launchers or "none"
    for matrix in findings.matrices if image.platforms else ():
        counts = ", ".join([counted(number, kind) for kind, number in matrix.counts.items() if number])
        yield f"Apps for {page.safe(matrix.run_image.platform)}", page.safe(counts or "none")
    if findings.layers_read:
        read = f"{findings.layers_read:,} layers of {size_in_words(findings.bytes_read)}; {resting(findings)}"
        yield "Looked through", page.safe(read)


def _is_unsure(findings: Findings) -> bool:
    unclear = findings.owed or findings.warnings
    return bool(findings.of("unknown") or findings.unchecked or unclear or not findings.results)


def _body(findings: Findings) -> Iterator[str]:
    if findings.unchecked:
        yield f'<p class="note"><strong>{count(findings.unchecked, "app")} not checked:</strong>'
        yield " the check was interrupted, and this is what it had found by then.</p>\n"
    counts = findings.counts
    tiles = [page.Tile(kind, counts[kind], _TILES[kind], _legend(kind, findings)) for kind in _SHOWN]
    yield from page.numbers("Apps by verdict", tiles)
    if findings.left_alone:
        yield f'<p class="note"><strong>{findings.left_alone:,} left alone</strong> by'
        yield f" {page.code(findings.gate.text)}: the run does not fail by them.</p>\n"
    for text in about_platforms(findings):
        yield f'<p class="note">{page.safe(text)}.</p>\n'
    if findings.bundles:
        names = ", ".join([page.code(name) for name in findings.bundles])
        yield f'<p class="note do"><strong>To be added to the run image:</strong> {names}</p>\n'
    if findings.results:
        yield page.FILTER
    yield from _tables(findings)


def _tables(findings: Findings) -> Iterator[str]:
    rows = _NeedRows(findings)
    if findings.at_risk:
        yield from _apps("at-risk", "Apps at risk", findings.at_risk, rows, ("Why", "What would serve it"))
    if unknown := findings.of("unknown"):
        yield from _apps("unknown", "Apps whose verdict is unknown", unknown, rows, ("Why", "What to do"))
    for number, matrix in enumerate(findings.matrices):
        if matrix.needs:
            yield from _matrix(matrix, number)
    if starting := findings.of("starts"):
        yield from _apps("rest", "Apps that start", starting, rows, ("Why", "Notes"))
    if keeping := findings.of("keeps-own-launcher"):
        yield from _apps("own", "Apps that keep their own launcher", keeping, rows, ("Which one", "Notes"))


class _NeedRows:
    """Which rows of the matrices count an app, so that a filter of apps filters these too."""

    def __init__(self, findings: Findings) -> None:
        self._platforms: Final = [matrix.run_image.platform for matrix in findings.matrices]
        self._ids: Final = {
            (matrix.run_image.platform, need.platform, need.buildpacks): _need_id(number, row)
            for number, matrix in enumerate(findings.matrices)
            for row, need in enumerate(matrix.needs)
        }

    def of(self, result: Result) -> str:
        """Return their ids, as a row of a page has them."""
        found = []
        for one in result.judged:
            platform = under(self._platforms, one.platform or "") if any(self._platforms) else ""
            recorded = recorded_by(one)
            name = self._ids.get((platform or "", *recorded)) if recorded else None
            if name is not None:
                found.append(f"{name}!" if one.kind in AT_RISK else name)
        return " ".join(found)


def _need_id(matrix: int, row: int) -> str:
    return f"{matrix}.{row}"


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


def _apps(name: str, title: str, results: Collection[Result], needs: _NeedRows, more: tuple[str, str]) -> Iterator[str]:
    rows = (
        page.Row(
            (_app(result), _verdict(result), f"{_why(result)}{_recorded(result)}", _last(result)), needs.of(result)
        )
        for result in results
    )
    return page.section(page.Table(name, title, len(results), ("App", "Verdict", *more)), rows)


def _app(result: Result) -> str:
    return page.code(result.app, page.APP_LIMIT) + (page.small(result.platform) if result.platform else "")


def _verdict(result: Result) -> str:
    parts = [page.badge(result.kind, SIGNS[result.kind], WORDS[result.kind])]
    if result.launcher:
        parts.append(f"<small>with {page.safe(str(result.launcher))}</small>")
    if result.exit_code is not None and result.kind in AT_RISK:
        parts.append(f"<small>exit code {result.exit_code}</small>")
    if result.regressed and result.before and result.before.launcher:
        parts.append(f'<small class="regressed">started before with {page.safe(str(result.before.launcher))}</small>')
    return "".join(parts)


def _why(result: Result) -> str:
    if result.parts:
        return "".join([page.small(line) for line in by_platform(result)])
    if result.own_launcher is None:
        return page.safe(result.reason)
    digest = result.own_launcher.digest
    place = f"<small>{page.code(digest)}</small>" if digest else ""
    return f"{page.safe(own_launcher(result.own_launcher))}{page.small(result.reason)}{place}"


def _recorded(result: Result) -> str:
    if result.kind not in AT_RISK or (result.platform_api is None and not result.buildpacks):
        return ""
    apis = listed(
        [f"{shorten(name, NAME_LIMIT)} {shorten(api or 'none', API_LIMIT)}" for name, api in result.buildpacks]
    )
    text = f"Recorded: Platform API {shorten(result.platform_api or 'none', API_LIMIT)}" + (f"; {apis}" if apis else "")
    return page.small(text)


def _last(result: Result) -> str:
    rests = [f"Assumes that {ASSUMPTIONS.get(code, code)}." for code in result.assumes]
    notes = "".join([page.small(note) for note in (*notes_shown(result), *rests)])
    return f"{page.safe(result.remedy)}{notes}"


def _matrix(matrix: Matrix, number: int) -> Iterator[str]:
    """Yield the section of a platform; its id has nothing of what an image says."""
    platform = matrix.run_image.platform
    where = f" on {page.safe(platform)}" if platform else ""
    name = f"matrix-{number}" if number else "matrix"
    title = f"What the apps recorded{where}, and the launchers"
    yield page.open_section(page.Table(name, title, 0, (), "matrix"))
    yield '<thead>\n<tr><th scope="col" rowspan="2">Platform API</th><th scope="col" rowspan="2">Buildpack API</th>'
    yield '<th scope="col" rowspan="2" class="amount">Apps</th>'
    launchers = matrix.run_image.launchers
    if launchers:
        yield f'<th scope="colgroup" colspan="{len(launchers)}">Launchers of the run image</th>'
    yield "</tr>\n<tr>"
    names = []
    for launcher in launchers:
        parts = page.safe(launcher.id, NAME_LIMIT), page.safe(launcher.version, NAME_LIMIT)
        names.append("@".join(parts))
        yield f'<th scope="col"><code>{"<wbr>@".join(parts)}</code></th>'
    yield "</tr>\n</thead>\n<tbody>\n"
    for row, need in enumerate(matrix.needs):
        yield _need(need, _need_id(number, row), names)
    yield page.CLOSE_TABLE
    if matrix.hidden:
        yield f"<p>And {matrix.hidden:,} more combinations.</p>\n"
    yield '<p class="legend"><span class="runs">● runs</span> <span class="covers">○ covers it</span> '
    yield '<span class="lacks">✗ lacks an API, or can\'t start</span> '
    yield f'<span class="opt-in">◌ only by opt-in</span></p>\n{page.CLOSE_SECTION}'


def _need(need: Need, identity: str, launchers: Collection[str]) -> str:
    buildpacks = " ".join([f"<span>{page.safe(api or 'none', API_LIMIT)}</span>" for api in need.buildpacks[:LISTED]])
    if len(need.buildpacks) > LISTED:
        buildpacks += f" and {len(need.buildpacks) - LISTED:,} more"
    platform = page.safe(need.platform or "none recorded", 2 * API_LIMIT)
    risk = f"<small>{need.at_risk:,} at risk</small>" if need.at_risk else ""
    cells = [_cell(cell, name) for cell, name in zip(need.cells, launchers, strict=True)]
    return (
        f'<tr{" class=risky" if need.at_risk else ""} data-need="{identity}"><th scope="row">{platform}</th>'
        f'<td class="apis" data-head="Buildpack API">{buildpacks or "none"}</td>'
        f'<td class="amount" data-head="Apps"><b>{need.apps:,}</b>{risk}</td>{"".join(cells)}</tr>\n'
    )


def _cell(cell: Cell, launcher: str) -> str:
    match cell.state:
        case "runs":
            kind, sign, words = "runs", "●", "runs"
        case "covers":
            kind, sign, words = "covers", "○", "covers it"
        case "opt-in":
            kind, sign, words = "opt-in", "◌", "by opt-in"
        case "broken":
            kind, sign, words = "lacks", "✗", "can't start"
        case "lacks":
            kind, sign, words = "lacks", "✗", page.safe(cell.lacks)
    return f'<td class="{kind}" data-head="{launcher}"><i aria-hidden="true">{sign}</i> {words}</td>'
