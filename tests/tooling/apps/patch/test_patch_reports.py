"""What people read of `patch`: the page, which a real browser opens, and the comment. Names of images are hostile."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import pytest
from browser import browse, parse, table
from patch_samples import (
    ASKED,
    HOSTILE,
    LAYER,
    MADE,
    NEW,
    OLD,
    OWN,
    SHOWN,
    entries,
    findings,
    going,
)

from metalauncher.tooling.apps.markdown import COMMENT_LIMIT
from metalauncher.tooling.apps.patch import outcome_text
from metalauncher.tooling.apps.patch.entry import Entry, Progress
from metalauncher.tooling.apps.patch.findings import CODES, OUTCOMES, Findings, Outcome, find
from metalauncher.tooling.apps.patch.refusals import RefusalCode
from metalauncher.tooling.apps.patch.report import lines, summary
from metalauncher.tooling.apps.patch.report_html import html
from metalauncher.tooling.apps.patch.report_markdown import markdown

if TYPE_CHECKING:
    from browser import Element


def of(*kinds: Outcome, asked: int = 0, applied: bool = False) -> Findings:
    """Return a run of apps that stand so."""
    made = [going(f"r.io/{n}:1") for n in range(len(kinds))]
    plans = {
        one.app: one
        if kind in ("planned", "written")
        else Entry(one.app, "refused" if kind == "refused" else "failed" if kind == "failed" else "left-alone", "x")
        for one, kind in zip(made, kinds, strict=True)
    }
    done = {
        one.app: Progress(one.app, "written", digest=NEW)
        for one, kind in zip(made, kinds, strict=True)
        if kind == "written"
    }
    return find(ASKED._replace(apps=asked or len(kinds)), "plan.jsonl", plans, done, applied=applied)


@pytest.mark.parametrize(
    ("found", "said", "mood", "sign"),
    [
        (of(), "No app was looked at", "unsure", "⚠️"),
        (of("planned"), "The app is to be written", "good", "✅"),
        (of("planned", "planned", "left-alone"), "2 of 3 apps are to be written", "good", "✅"),
        (of("written", "written", applied=True), "All 2 apps are written", "good", "✅"),
        (of("written", "planned", applied=True), "1 of 2 apps are not finished", "unsure", "⚠️"),
        (of("planned", asked=3), "2 of 3 apps are not finished", "unsure", "⚠️"),
        (of("failed", "refused", "planned"), "1 of 3 apps are refused", "bad", "❌"),
        (of("left-alone", "left-alone"), "All 2 apps are left alone", "good", "✅"),
    ],
)
def test_headline(found: Findings, said: str, mood: str, sign: str) -> None:
    """The whole in one sentence: what is refused before what is not finished, and that before what is done."""
    assert found.headline == said
    document = parse("".join(html(found, MADE)))
    assert document.find("h1")[0].text == said
    assert document.find("header", **{"class": mood})
    assert markdown(found).startswith(f"## {sign} {said}\n")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page of a plan that was applied in part."""
    file = tmp_path_factory.mktemp("page") / "plan.html"
    file.write_text("".join(html(findings(more=30, applied=True), MADE)), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def document(page: Path) -> Element:
    """Return the page as a browser has it."""
    return parse(browse(page, "--dump-dom"))


def test_page_has_everything(document: Element) -> None:
    """What was asked, all that is known of an app, and each app once, those that need a decision first."""
    names = ("decide", "planned", "written", "left-alone")
    rows = {name: table(document, name) for name in names}
    assert [each.attributes["id"] for each in document.find("table")] == [*names, "launchers", "codes"]
    assert {row[0] for name in names for row in rows[name]} == {
        *(entry.app for entry in entries() if entry.app != HOSTILE),
        *(f"fleet/team-{n % 9}/app-{n}:1" for n in range(30)),
        SHOWN,
    }
    assert sum(map(len, rows.values())) == 36
    assert rows["decide"][1] == [
        "r.io/d:1",
        "✗ refusedindex",
        "it is an index",
        "name a platformmetalauncher patch --platform x",
    ]
    assert rows["decide"][2][1:] == [
        "? not finishedunreachableto r.io/e:1-shim",
        "registry answered 503",
        "run it again",
    ]
    (written,) = rows["written"]
    assert written == [
        "r.io/b:1",
        f"✓ writtento r.io/b:1-shimold {OLD}new {NEW}linux/amd64",
        "✓ starts over the run image insidestarts with a/b@2; 2 launchers cover it, 1 without the newest"
        "✓ starts over the run image that its label names"
        "r.io/run:1: starts with a/b@2; 1 launcher covers it, 0 without the newest"
        "Assumes that layers that lifecycle's label names hold what its exporter writes.",
        "5.0 KiB to upload; 4.0 KiB were sent4 layers of 7.0 MiB kept"
        "In place of buildpacks/lifecycle 0.17.7 (release: linked in), built with go1.26.8"
        f"Layer {LAYER}Before: keeps its own launcher"
        "2 referrers of the old digest stay there: application/spdx+json, application/vnd.dev.sigstore",
    ]
    assert rows["left-alone"][0][2:] == [
        "its layer is another",
        "buildpacks/lifecycle 0.17.7 (release: linked in), built with go1.26.8",
    ]
    assert table(document, "launchers") == [["buildpacks/lifecycle 0.17.7", "32"]]
    facts = dict(
        zip([each.text for each in document.find("dt")], [each.text for each in document.find("dd")], strict=True)
    )
    assert facts == {
        "What it is": "what became of a plan",
        "Journal": "p<l>an.jsonl",
        "Launcher": "symlink (experimental)",
        "Targets": "{repository}:{tag}-<shim>",
        "Replaced only": LAYER,
        "Forced": "unknown verdicts are written, and images that say they can't be rebased",
        "Platform": "linux/amd64",
        "Uploads": "to upload: 155.0 KiB; uploaded, manifests aside: 4.0 KiB",
        "Kept as they are": "128 layers of 224.0 MiB",
        "Newest only": "32 apps have only a run image's newest launcher ('0 without the newest'): they will not start"
        " on a run image without that one",
        "Left behind": "64 referrers of old digests, such as signatures",
        "Made": "2026-11-30 09:05 UTC",
        "Command": "metalauncher patch --apply 'p<l>an.jsonl'",
    }
    tiles = {each.attributes["class"]: each.find("b")[0].text for each in document.find("li")}
    assert tiles == {"refused": "2", "failed": "1", "planned": "31", "written": "1", "left-alone": "1"}
    assert set(get_args(Outcome)) == set(OUTCOMES) == set(tiles)
    assert "not finished: 1 app could not be planned; run the command again that made the plan" in document.text


def test_page_escapes(page: Path) -> None:
    """A hostile name is text, in every place that it comes to; nothing is loaded."""
    text = page.read_text()
    found = parse(text)
    assert len(found.find("script")) == 1
    assert not found.find("a")
    (row,) = [row for row in table(found, "decide") if row[0].startswith("evil/")]
    for cell, times in zip(row, (1, 3, 4, 4), strict=True):
        assert cell.count(r"evil/<script>alert(1)</script>\u202e") >= times, cell
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u202e\udc80-\udcff]", text)
    assert not re.search(r"""\s(?:src|href|action|data|style|on\w+)=["']""", text)
    ids = re.findall(r' id="([^"]+)"', text)
    assert len(ids) == len(set(ids))


def test_page_of_a_plan_says_what_is_next() -> None:
    """The command that applies it, as a shell takes it."""
    found = parse("".join(html(findings(), MADE)))
    assert "nothing is written yet: review the plan, then metalauncher patch --apply 'p<l>an.jsonl'" in found.text
    assert len(table(found, "planned")) == 2
    assert not found.find("table", id="written")


def test_page_is_filtered(page: Path) -> None:
    """As the page of `check`."""
    found = parse(browse(page, "--dump-dom", fragment="#filter=TEAM-3+app"))
    assert [row[0] for row in table(found, "planned")] == [f"fleet/team-3/app-{n}:1" for n in (12, 21, 3)]
    assert found.find("output")[0].text == "3 of 36 apps"


def test_markdown() -> None:
    """What was asked, those that need a decision first, what goes, and sums; of a hostile name nothing is markup."""
    text = markdown(findings())
    lines = text.splitlines()
    assert lines[0] == "## ❌ 2 of 6 apps are refused"
    assert lines[2] == (
        "symlink to `{repository}:{tag}-<shim>`, journal `p<l>an.jsonl`,"
        f" only layers `{LAYER}`, forced, linux/amd64: 2 to be written, 1 left alone, 2 refused, 1 not finished."
    )
    assert "then `metalauncher patch --apply 'p<l>an.jsonl'`" in lines[4]
    assert (
        "| `r.io/d:1` | refused (`index`) | it is an index | name a platform<br>`metalauncher patch --platform x` |"
        in lines
    )
    (change,) = [line for line in lines if line.startswith("| `r.io/a:1`")]
    for said in ("`r.io/a:1-shim`: to be written", f"`{OLD}` → `{NEW}`", "5.0 KiB", "buildpacks/lifecycle 0.17.7"):
        assert said in change
    assert "1 launcher covers it, 0 without the newest" in change
    assert "2 referrers of the old digest stay there" in change
    assert "To upload: 10.0 KiB; kept as they are: 8 layers of 14.0 MiB" in text
    assert "| buildpacks/lifecycle 0.17.7 | 2 |" in lines
    assert "| `not-matched` | 1 |" in lines
    plain = re.sub(r"<code>[^<]*</code>|`[^`]*`", "", text)
    assert not re.search(r"(?<!\\)<script", plain)
    assert "@team" not in plain
    assert "http://evil" not in plain
    for line in lines:
        if line.startswith("| "):
            assert line.endswith(" |")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u202e\udc80-\udcff]", text)


def test_markdown_of_a_fleet_fits() -> None:
    """GitHub takes comments of 65,536 characters, whatever is recorded."""
    evil = {
        f"{HOSTILE}{n}": Entry(f"{HOSTILE}{n}", "refused", f"{n}{HOSTILE * 9}", HOSTILE * 9, HOSTILE * 9, HOSTILE * 9)
        for n in range(2000)
    }
    many = {
        f"{n}": going(f"{n}{HOSTILE * 9}")._replace(launcher=OWN._replace(module=f"{n}{HOSTILE * 9}"))
        for n in range(2000)
    }
    text = markdown(find(ASKED._replace(must_match=(LAYER,) * 99), "j", {**evil, **many}, {}, applied=False))
    assert len(text) < COMMENT_LIMIT
    assert len(re.findall(r"^and 1,\d+ more$", text, flags=re.MULTILINE)) == 4


def test_text_lists_what_goes() -> None:
    """What is written, or to be, is listed where it is little; else the last line says how to see it."""
    few = lines(findings(more=18), lambda text, _: text)
    assert len([line for line in few if line.endswith(": to be written")]) == 20
    assert "not listed: 1 app; --all lists every app" in few
    many = lines(findings(more=19), lambda text, _: text)
    assert not [line for line in many if line.endswith(": to be written")]
    assert "not listed: 22 apps; --all lists every app" in many
    last = "nothing is written yet: review the plan (--all lists every app), then metalauncher patch --apply"
    assert many[-1] == f"{last} 'p<l>an.jsonl'"
    whole = lines(findings(more=19), lambda text, _: text, whole=True)
    assert "nothing is written yet: review the plan, then metalauncher patch --apply 'p<l>an.jsonl'" in whole
    assert "      1  not-matched: left alone, as its launcher's layer is none of --must-match-sha" in whole


def test_every_code_has_words() -> None:
    """No code stands alone in the sums."""
    assert set(CODES) == {*get_args(RefusalCode), *outcome_text.CODES}


def test_forms_agree() -> None:
    """The sums of the terminal are those of the page and the comment."""
    found = findings(more=3)
    for line in (
        "to upload: 25.0 KiB; kept as they are: 20 layers of 35.0 MiB",
        "what refers to the old digests stays behind: 10",
    ):
        assert line in summary(found)
        assert line.lower() in markdown(found).lower().replace("\\", "")
