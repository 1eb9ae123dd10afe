"""What people read: the text, the comment, and the page, which a real browser opens. Names of images are hostile."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser import browse, parse, table
from check_samples import HOSTILE, MADE, OWN, findings, launchers, results
from harness import PROJECT
from making import launcher, minors, reference_registry

from metalauncher.tooling.apps.check import judge, report_html, report_text
from metalauncher.tooling.apps.check.bounds import bounded
from metalauncher.tooling.apps.check.findings import (
    NEEDS_LIMIT,
    Cell,
    Findings,
    RunImage,
    describe,
    find,
    parse_launcher,
)
from metalauncher.tooling.apps.check.gate import Gate
from metalauncher.tooling.apps.check.inits import INIT_BY_NAME
from metalauncher.tooling.apps.check.report_markdown import markdown
from metalauncher.tooling.apps.check.verdict import Before, Chosen, Result
from metalauncher.tooling.apps.markdown import ROWS_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable

    from metalauncher.descriptor import Launcher


def lines_of(found: Findings, paint: Callable[[str, str], str], *, whole: bool = False) -> list[str]:
    """Return the text's lines."""
    return list(report_text.lines(found, paint, whole=whole))


def html(found: Findings) -> str:
    """Return the whole page."""
    return "".join(report_html.html(found, MADE))


def test_order() -> None:
    """Who is at risk comes first, who started before first of these; then what can't be told; then the rest."""
    assert [result.app for result in findings().results] == [
        "shop/g:1",
        "shop/f:1",
        HOSTILE,
        "shop/e:1",
        "shop/h:1",
        "shop/d:1",
        "shop/a:1",
        "shop/b:1",
        "shop/c:1",
    ]
    assert findings().counts == {"starts": 2, "refused": 4, "does-not-start": 1, "keeps-own-launcher": 1, "unknown": 1}
    assert findings().headline == "5 of 9 apps would not start or be refused"


@pytest.mark.parametrize(
    ("kinds", "said"),
    [
        ((), "No app was checked"),
        (("starts",), "The app would start"),
        (("refused",), "The app would be refused"),
        (("refused", "starts"), "1 of 2 apps would be refused"),
        (("unknown",), "It is unknown whether the app would start"),
        (("starts", "keeps-own-launcher"), "All 2 apps would start"),
        (("starts", "unknown"), "It is unknown whether 1 of 2 apps would start"),
        (("does-not-start", "unknown"), "1 of 2 apps would not start"),
    ],
)
def test_headline(kinds: tuple[str, ...], said: str) -> None:
    """The whole in one sentence."""
    found = [Result(f"app:{n}", None, kind, "") for n, kind in enumerate(kinds)]  # type: ignore[arg-type]  # no app: only kinds are counted
    assert find(RunImage("run", None, ()), found).headline == said


def test_matrix() -> None:
    """What was recorded, those at risk first, against each launcher, by the rule that dispatches."""
    needs = {need.text: need for need in findings().needs}
    opt_in = Cell("opt-in")
    assert [need.at_risk for need in findings().needs] == sorted([n.at_risk for n in findings().needs], reverse=True)
    mixed = needs["Platform API 0.15, Buildpack API 0.2, 0.12"]
    assert (mixed.apps, mixed.at_risk) == (2, 2)
    assert mixed.cells == (Cell("lacks", "Buildpack 0.2"), Cell("lacks", "Platform 0.15"), opt_in)
    assert needs["Platform API 0.12, Buildpack API 0.10"].cells == (Cell("runs"), Cell("covers"), opt_in)
    assert needs["Platform API 0.4, Buildpack API 0.3"].cells == (Cell("lacks", "Platform 0.4"), Cell("runs"), opt_in)
    assert needs["nothing recorded"].cells == (
        Cell("lacks", "Platform default"),
        Cell("lacks", "Platform default"),
        opt_in,
    )
    malformed = next(need for text, need in needs.items() if "0.99" in text)
    assert {cell.state for cell in malformed.cells} == {"lacks"}


def test_matrix_of_apps_that_lost_their_platform_api() -> None:
    """An app whose Platform API was stripped is refused by the dispatch, whatever launchers have defaults."""
    image = RunImage("run", None, (launcher(platform="0.7 0.8"),))
    lost = Result("app", None, "refused", "", None, 11, None, (("a/b", "0.7"),))
    (need,) = find(image, [lost]).needs
    assert need.cells == (Cell("lacks", "Platform default"),)
    keyed = RunImage("run", None, (launcher(platform="0.7", requires=("slices",)),))
    (need,) = find(keyed, [lost._replace(platform_api="0.7")]).needs
    assert need.cells == (Cell("covers"),)


def test_matrix_of_apps_that_are_not_read() -> None:
    """APIs don't decide alone: a launcher is said to run what it starts, and only to cover what it can't read."""
    newest, older = launcher("a/b@2"), launcher("a/b@1")
    image = RunImage("run", None, (newest, older))
    unread = Result("raw", None, "refused", "toml: Illegal character", None, 1, "0.7", (("a/b", "0.7"),))
    (need,) = find(image, [unread]).needs
    assert (need.at_risk, need.cells) == (1, (Cell("covers"), Cell("covers")))
    fails = unread._replace(kind="does-not-start", launcher=Chosen("a/b", "2", newest.path))
    (need,) = find(image, [fails]).needs
    assert (need.at_risk, need.cells) == (1, (Cell("covers"), Cell("covers")))
    read = unread._replace(app="read", kind="starts", exit_code=None, launcher=Chosen("a/b", "1", older.path))
    (need,) = find(image, [unread, read]).needs
    assert (need.apps, need.at_risk, need.cells) == (2, 1, (Cell("covers"), Cell("runs")))
    sound = read._replace(app="sound", launcher=Chosen("a/b", "2", newest.path))
    (need,) = find(image, [read, sound]).needs
    assert need.cells == (Cell("runs"), Cell("runs"))


def test_matrix_of_launchers_that_cant_start() -> None:
    """The matrix says of no launcher that it runs which can't be exec'd, nor of others that run nothing."""
    newest, older = launcher("a/b@2"), launcher("a/b@1")
    app = Result("app", None, "refused", "can't be started", None, 82, "0.7", (("a/b", "0.7"),))
    (need,) = find(RunImage("run", None, (newest, older), ("permission denied", None)), [app]).needs
    assert need.cells == (Cell("broken"), Cell("covers"))
    found = find(RunImage("run", None, (newest, older), ("permission denied", "exec format error")), [app])
    assert found.needs[0].cells == (Cell("broken"), Cell("broken"))
    lines = lines_of(found, lambda text, _: text)
    (row,) = [line for line in lines if line.startswith("Platform API 0.7")]
    assert row.count("can't start") == 2
    assert "| can't start | can't start |" in markdown(found)
    page = html(found)
    assert page.count("can't start</td>") == 2
    assert "runs</td>" not in page
    assert "<small>none that covers it can be started</small>" in page
    assert "no launcher covers it" not in page
    unread = app._replace(app="unread", exit_code=1)
    assert "<small>its metadata.toml can't be read</small>" in html(find(found.run_image, [unread]))
    fails = unread._replace(kind="does-not-start", launcher=Chosen("a/b", "2", newest.path))
    nowhere = app._replace(app="nowhere", kind="does-not-start", exit_code=127)
    assert "<small>the launcher that is chosen refuses it</small>" in html(find(found.run_image, [fails]))
    assert "leads nowhere, or the launcher that is chosen refuses it<" in html(find(found.run_image, [fails, nowhere]))
    both = html(find(found.run_image, [app, app._replace(app="other", exit_code=12)]))
    assert "<small>no launcher covers it, or none that covers it can be started</small>" in both


def test_matrix_is_bounded() -> None:
    """Thousands of different records don't make a table of thousands of rows."""
    many = [Result(f"app:{n}", None, "starts", "", platform_api=f"0.{n}") for n in range(NEEDS_LIMIT + 40)]
    found = find(RunImage("run", None, launchers()), many)
    assert (len(found.needs), found.matrices[0].hidden) == (NEEDS_LIMIT, 40)
    assert "and 40 more" in "\n".join(lines_of(found, lambda text, _: text, whole=True))
    assert "And 40 more combinations." in html(found)
    assert "and 40 more" in markdown(found)


@pytest.mark.parametrize(
    "given",
    [
        *reference_registry().launchers,
        launcher("a/b@1.2", ">=0.3,<=0.12", minors(2, 5), priority=-3, requires=("x",), opt_in_env="V"),
    ],
    ids=repr,
)
def test_launchers_there_and_back(given: Launcher) -> None:
    """A launcher in a file of results is the one that it was: the same document, and the same sets."""
    back = parse_launcher(describe(given))
    assert describe(back) == describe(given)
    assert (repr(back), back.priority, back.opt_in_env, back.requires) == (
        repr(given),
        given.priority,
        given.opt_in_env,
        given.requires,
    )


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({}, "is empty"),
        ({"launcher": {"masked": True}}, "is a mask"),
        ({"launcher": {"id": "a b"}, "apis": {}}, "launcher.id 'a b' is not an id"),
    ],
)
def test_launchers_that_are_none(document: dict[str, object], said: str) -> None:
    """Files of results are others' too."""
    with pytest.raises(ValueError, match=re.escape(said)):
        parse_launcher(document)


def test_text() -> None:
    """What needs a decision is shown, with why and what to do, the rest counted; nothing raw reaches the terminal."""
    painted: list[str] = []

    def paint(text: str, colour: str) -> str:
        painted.append(text)
        return f"<{text}>" if colour else text

    lines = lines_of(findings(), paint)
    assert lines[:4] == [
        "shop/g:1: <would not start, exit code 127>",
        "  why:     leads nowhere",
        "  do:      link it",
        "shop/f:1: <would be refused, exit code 12>",
    ]
    assert "  before:  started with buildpacks/lifecycle@0.17.7" in lines
    assert "  note:    odd" in lines
    assert not [line for line in lines if "shop/a:1" in line or "shop/c:1" in line]
    assert lines[-4] == (
        "9 apps under acme/run:<new>, before acme/run:<old>: <4 would be refused>, <1 would not start>,"
        " <2 start>, <1 keeps its own launcher>, <1 unknown>"
    )
    assert lines[-3:] == [
        "<1 of the apps at risk started before>",
        "launchers that apps keep (only metalauncher patch replaces them): buildpacks/lifecycle 0.17.7 (1)",
        "add to the run image: buildpacks/lifecycle@0.9.3",
    ]
    assert HOSTILE in painted  # whoever paints makes it printable
    whole = lines_of(findings(), paint, whole=True)
    assert "shop/a:1: <starts with buildpacks/lifecycle@0.21.17>" in whole
    assert "  which:   buildpacks/lifecycle 0.17.7 (release: linked in), built with go1.26.8" in whole


def test_text_of_one_app() -> None:
    """Who asks about one app alone is answered, whatever the verdict."""
    lines = lines_of(find(RunImage("run", None, launchers()), results()[:1]), lambda text, _: text)
    assert lines[0] == "shop/a:1: starts with buildpacks/lifecycle@0.21.17"


def test_what_verdicts_rest_on() -> None:
    """Each form says how much was looked through, and how many verdicts rest on an assumption."""
    assumed = results()[0]._replace(assumes=("lifecycle-layers",), layers_read=3, bytes_read=5 << 20)
    proved = results()[1]._replace(layers_read=2, bytes_read=1 << 19)
    found = find(RunImage("run", None, launchers()), [assumed, proved])
    said = (
        "5 layers of 5.5 MiB looked through; 1 of 2 verdicts assumes that layers that lifecycle's label names hold what"
        " its exporter writes; --thorough reads those too"
    )
    assert report_text.summary(found)[-1] == said
    assert said.partition(";")[0] in markdown(found)
    assert "5 layers of 5.5 MiB; 1 of 2 verdicts assumes that" in html(found).replace("&#x27;", "'")
    assert "  assumes: layers that lifecycle's label names hold" in "\n".join(
        lines_of(find(RunImage("run", None, launchers()), [assumed]), lambda text, _: text)
    )
    nothing = find(RunImage("run", None, launchers()), [proved])
    assert report_text.summary(nothing)[-1] == "2 layers of 512.0 KiB looked through; nothing is assumed"
    labelled = find(RunImage("run", None, launchers()), [proved, proved._replace(assumes=("labels",))])
    assert report_text.summary(labelled)[-1].endswith(
        "; 1 of 2 verdicts assumes that the run image's labels are correct"
    )


def test_assumptions_have_words() -> None:
    """Each assumption that a verdict may name is said in words, and is in the schema."""
    codes = {judge.LIFECYCLE_LAYERS, judge.RUN_IMAGE, judge.LABELS, INIT_BY_NAME}
    assert set(report_text.ASSUMPTIONS) == codes
    schema = json.loads((PROJECT / "metalauncher/schemas/check.schema.json").read_text())
    assert set(schema["properties"]["assuming"]["propertyNames"]["enum"]) == codes
    assert set(schema["$defs"]["result"]["properties"]["assumes"]["items"]["enum"]) == codes


def test_what_is_left_alone() -> None:
    """Apps that were dead before need no decision where regressions alone count: they are counted in every form."""
    dead = [one._replace(before=Before("refused", None)) for one in results() if one.kind == "refused"]
    found = find(RunImage("run", None, launchers()), [*dead, results()[0]], gate=Gate("regressions", "warn"))
    assert (found.left_alone, found.to_decide) == (4, ())
    text = "\n".join(lines_of(found, lambda text, _: text))
    assert "shop/e:1" not in text
    assert "4 left alone (--fail-on regressions --unknown warn)" in text
    assert "4 left alone (`--fail-on regressions --unknown warn`)." in markdown(found)
    assert markdown(found).startswith("## ⚠️ ")
    assert "<strong>4 left alone</strong> by <code>--fail-on regressions --unknown warn</code>" in html(found)


def test_whatever_an_app_recorded_people_can_read_it() -> None:
    """An API of thousands of digits, and ids and lists without an end, leave the table and the page as they are."""
    long = "9" * 1900
    many = tuple([(f"acme/{n}-{'x' * 500}", f"0.{n}{long}") for n in range(3000)])
    app = Result("app", None, "refused", long, None, 12, f"0.{long}", many, "shim", long, (long,) * 50)
    app = app._replace(own_launcher=OWN._replace(release=long, module=long))
    found = find(RunImage("run", None, launchers()), [app])
    lines = lines_of(found, lambda text, _: text)
    assert max([len(line) for line in lines if "Platform API" in line or "apps " in line]) < 200
    assert max(map(len, lines)) <= 620
    assert len(markdown(found)) < 6000
    assert (
        len(html(find(RunImage("run", None, launchers()), [bounded(app)]))) - len(html(find(found.run_image, [])))
        < 20000
    )


def test_text_of_a_fleet() -> None:
    """Of many only those are shown about whom something is to be done."""
    many = findings(more=500, unchecked=3)
    text = "\n".join(lines_of(many, lambda text, _: text))
    assert "fleet/" not in text
    assert "shop/e:1" in text
    assert text.endswith("3 apps not checked")


def test_markdown() -> None:
    """A comment for a pull request: the headline, who is at risk and why, the rest folded."""
    text = markdown(findings())
    assert text.startswith(
        "## ❌ 5 of 9 apps would not start or be refused\n\nUnder run image `acme/run:<new>`, compared with"
    )
    assert "| `shop/f:1` | would be refused (exit 12), **started before** | lacks 0.2 | add |" in text
    assert "| `shop/g:1` | would not start (exit 127) | leads nowhere | link it |" in text
    assert "Add to the run image: `buildpacks/lifecycle@0.9.3`." in text
    assert "<details><summary>1 unknown</summary>" in text
    assert "Launchers that apps keep; no rebase replaces them, <code>metalauncher patch</code> does</summary>" in text
    assert "| Platform API 0.12, Buildpack API 0.10 | 2 | **runs** | covers it | by opt-in |" in text.replace("❌ ", "")


def test_markdown_of_nothing_bad() -> None:
    """All is well, or all that could be told."""
    image = RunImage("run", None, launchers())
    assert markdown(find(image, results()[:3])).startswith("## ✅ All 3 apps would start\n")
    assert markdown(find(image, results()[:4])).startswith("## ⚠️ It is unknown whether 1 of 4 apps would start\n")
    assert markdown(find(image, results()[:3], unchecked=4)).startswith("## ⚠️ All 3 apps would start\n")
    assert "**4 apps not checked.**" in markdown(find(image, results()[:3], unchecked=4))


def test_markdown_is_hostile_names() -> None:
    """Whatever an image is called: no line of its own, no cell of its own, no markup, no link, no mention."""
    text = markdown(find(RunImage(HOSTILE, None, launchers()), results(), against=HOSTILE))
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u202e\udc80-\udcff]", text)
    plain = re.compile(r"\\[!-/:-@\[-`{-~]|<code>.*?</code>|(`+).*?\1")  # escaped, or code
    outside = plain.sub("", text)
    assert not re.search(r"<(?!/?(details|summary)>)|\]\(|@\w|\w://|`", outside)
    rows = [plain.sub("", line) for line in text.splitlines() if line.startswith("|")]
    assert {row.count("|") for row in rows} == {3, 5, 6}  # launchers that apps keep, the matrix, those at risk


def test_markdown_is_bounded() -> None:
    """GitHub takes comments of 65,536 characters."""
    many = [results()[4]._replace(app=f"registry.example.com/team/app-{n}:1", reason="r" * 2000) for n in range(5000)]
    text = markdown(find(RunImage("run", None, launchers()), many))
    assert len(text) < 65_536
    assert text.count("registry.example.com") == ROWS_LIMIT
    assert "\nand 4,900 more\n" in text


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page of a few apps."""
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(html(findings(more=40)), encoding="utf-8")
    return file


def test_page_is_self_contained(page: Path) -> None:
    """It names no other resource, and its policy lets run what is its own, and nothing else."""
    text = page.read_text()
    document = parse(text)
    (policy,) = [each for each in document.find("meta") if "http-equiv" in each.attributes]
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        (element,) = document.find(tag)
        digest = base64.b64encode(hashlib.sha256(element.text.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}';" in policy.attributes["content"] + ";"
    assert policy.attributes["content"].startswith("default-src 'none'; ")
    assert not re.search(r"""\s(?:src|href|action|data|style|on\w+)=["']""", text)
    assert "url(" not in text
    assert "@import" not in text


def test_page_escapes(page: Path) -> None:
    """A hostile name is text, in every place that it comes to."""
    document = parse(page.read_text())
    assert len(document.find("script")) == 1
    assert not document.find("a")
    shown = r"""evil/<script>alert(1)</script>\u202e"'`|\|@team\n[x](http://evil.example)\x1b[31m\udcff:x"""
    (row,) = [row for row in table(document, "at-risk") if row[0].startswith("evil/")]
    assert row[0] == shown
    assert row[2].startswith(shown)
    assert row[3] == shown
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u202e\udc80-\udcff]", page.read_text())


def test_page_is_accessible(page: Path) -> None:
    """A language, one h1, heads with scope, names of regions that are there, a labelled input, no id twice."""
    document = parse(page.read_text())
    assert document.find("html", lang="en")
    assert len(document.find("h1")) == len(document.find("main")) == 1
    assert all(head.attributes.get("scope") in ("col", "row", "colgroup") for head in document.find("th"))
    ids = re.findall(r' id="([^"]+)"', page.read_text())
    assert len(ids) == len(set(ids))
    named = re.findall(r'aria-labelledby="([^"]+)"| for="([^"]+)"', page.read_text())
    assert {a or b for a, b in named} <= set(ids)
    for rows in document.find("tr"):
        assert rows.find("th") or rows.find("td")


def test_page_in_a_browser(page: Path) -> None:
    """A browser shows the table of those at risk, in their order, with why and what to do."""
    document = parse(browse(page, "--dump-dom"))
    rows = table(document, "at-risk")
    assert [row[0] for row in rows] == [
        "shop/g:1",
        "shop/f:1",
        r"""evil/<script>alert(1)</script>\u202e"'`|\|@team\n[x](http://evil.example)\x1b[31m\udcff:x""",
        "shop/e:1",
        "shop/h:1",
    ]
    assert rows[0][1:] == [
        "✗ would not startexit code 127",
        "leads nowhereRecorded: Platform API 0.12; acme/node 0.10",
        "link it",
    ]
    assert rows[1][1] == "✗ would be refusedexit code 12started before with buildpacks/lifecycle@0.17.7"
    assert document.find("h1")[0].text == "5 of 49 apps would not start or be refused"
    assert [row[0] for row in table(document, "unknown")] == ["shop/d:1"]
    assert len(table(document, "rest")) == 42
    (own,) = table(document, "own")
    assert own[0] == "shop/c:1"
    assert own[2].startswith(
        "buildpacks/lifecycle 0.17.7 (release: linked in), built with go1.26.8a program of its own"
    )
    assert len(table(document, "matrix")) == 5
    (bar,) = document.find("p", **{"class": "filter"})
    assert "hidden" not in bar.attributes  # its script ran


def test_page_is_filtered(page: Path) -> None:
    """Filtering leaves the apps whose names have all the words, counts them, and hides tables without any."""
    document = parse(browse(page, "--dump-dom", fragment="#filter=TEAM-3+app"))
    shown = table(document, "rest")
    assert [row[0] for row in shown] == [f"fleet/team-3/app-{n}:1" for n in (12, 21, 30, 39, 3)]
    assert document.find("output")[0].text == "5 of 49 apps"
    hidden = {each.attributes["aria-labelledby"] for each in document.find("section") if "hidden" in each.attributes}
    assert hidden == {"at-risk-title", "unknown-title", "own-title"}
    (field,) = document.find("input")
    assert field.attributes["type"] == "search"


def test_page_is_filtered_by_verdict(page: Path) -> None:
    """A link may also name verdicts: their cards are pressed."""
    document = parse(browse(page, "--dump-dom", fragment="#kind=refused&kind=unknown&kind=none-such"))
    pressed = [card.attributes["data-kind"] for card in document.find("button", **{"aria-pressed": "true"})]
    assert sorted(pressed) == ["refused", "unknown"]
    assert [row[0] for row in table(document, "unknown")] == ["shop/d:1"]
    assert len(table(document, "at-risk")) == 4
    assert document.find("output")[0].text == "5 of 49 apps"


def test_page_says_when_and_how(page: Path) -> None:
    """When it was made, for people and programs, and by which command line, which is text like any other."""
    document = parse(page.read_text())
    (time,) = document.find("time", datetime="2026-11-30T09:05:07Z")
    assert time.text == "2026-11-30 09:05 UTC"
    (fact,) = [each for each in document.find("div") if each.children and "<apps>" in each.text]
    assert fact.text == "Commandmetalauncher check --from '<apps>.txt'"
    long = MADE._replace(command="metalauncher check " + "app " * 5000)
    assert len("".join(report_html.html(findings(), long))) - len(html(findings())) < 1000


def test_page_without_its_script(page: Path, tmp_path: Path) -> None:
    """Where its script may not run all is there but the filter. Another script than its own does not run."""
    text = page.read_text()
    other = tmp_path / "other.html"
    other.write_text(text.replace('"use strict";', '"use strict"; document.title = "changed";'))
    assert other.read_text() != text
    document = parse(browse(other, "--dump-dom"))
    assert document.find("title")[0].text == "5 of 49 apps would not start or be refused: acme/run:<new>"
    assert len(table(document, "at-risk")) == 5
    (bar,) = document.find("p", **{"class": "filter"})
    assert "hidden" in bar.attributes
    assert len(document.find("button", disabled="")) == 5


def test_page_of_a_fleet(tmp_path: Path) -> None:
    """Five thousand apps make a page that opens."""
    file = tmp_path / "fleet.html"
    file.write_text(html(findings(more=5000, unchecked=7)))
    assert file.stat().st_size < 4 << 20
    document = parse(browse(file, "--dump-dom", fragment="#filter=app-4999"))
    assert [row[0] for row in table(document, "rest")] == ["fleet/team-4/app-4999:1"]
    assert "7 apps not checked:" in document.text


def test_page_of_nothing() -> None:
    """No app, no launcher: a page all the same."""
    document = parse(html(find(RunImage("run", None, ()), [])))
    assert document.find("h1")[0].text == "No app was checked"
    assert not document.find("table")
