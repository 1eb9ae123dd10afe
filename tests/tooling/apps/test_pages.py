"""The pages of `check` and `patch` in a real browser: on a telephone, a wide screen and paper, by day and by night."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import check_samples
import patch_samples
import pytest
from browser import page_facts, print_pages

from metalauncher.tooling.apps.check import report_html as check_report
from metalauncher.tooling.apps.patch import report_html as patch_report

if TYPE_CHECKING:
    from pathlib import Path

NARROW, WIDE = 420, 1400
PAPER = {"day": "rgb(246, 247, 249)", "night": "rgb(17, 20, 24)"}
LIGHT = {"day": (), "night": ("--blink-settings=preferredColorScheme=0",)}
pytestmark = pytest.mark.thorough

Facts = dict[str, Any]


def texts() -> dict[str, str]:
    """Return the page of each command; of the plan nothing is written yet."""
    return {
        "check": "".join(check_report.html(check_samples.findings(more=40), check_samples.MADE)),
        "patch": "".join(patch_report.html(patch_samples.findings(more=30), patch_samples.MADE)),
    }


@pytest.fixture(scope="module", params=LIGHT)
def light(request: pytest.FixtureRequest) -> str:
    """Return whether it is day or night."""
    return str(request.param)


@pytest.fixture(scope="module")
def facts(light: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Facts]:
    """Return what is met in each page at each width."""
    pages = {f"{name} {width}": (text, width) for name, text in texts().items() for width in (NARROW, WIDE)}
    return page_facts(pages, tmp_path_factory.mktemp("pages"), *LIGHT[light])


def test_fits(facts: dict[str, Facts]) -> None:
    """Nothing is cut off, and nothing is to be scrolled sideways; on a telephone each cell says what it is."""
    for name, found in facts.items():
        assert found["width"] == int(name.partition(" ")[2])
        assert len(found["sideways"]) == 1 + len(found["begin"]["sections"])
        assert set(found["sideways"]) == {0}, name
        assert found["cut"] == [], name
    assert set(facts["check 1400"]["labels"]) == set(facts["patch 1400"]["labels"]) == {"none"}
    assert {
        '"Why"',
        '"What would serve it"',
        '"Buildpack API"',
        '"Apps"',
        '"buildpacks/lifecycle@0.21.17"',
    } <= set(facts["check 420"]["labels"])
    assert {'"Why"', '"What to do"', '"How it starts"', '"What moves"'} <= set(facts["patch 420"]["labels"])


def test_can_be_read(facts: dict[str, Facts], light: str) -> None:
    """All text stands out from what is behind it by WCAG's 4.5 to 1: by day, by night, on a pressed card, on paper."""
    for name, found in facts.items():
        assert found["paper"] == PAPER[light]
        assert found["faint"] == found["faintPressed"] == found["faintPrinted"] == [], name


def test_by_keyboard(facts: dict[str, Facts]) -> None:
    """Each control can be reached, has a name that is seen, shows that it has the focus, and can be hit by a thumb."""
    for name, found in facts.items():
        controls = found["controls"]
        tables = len(found["begin"]["sections"])
        cards = 5 if name.startswith("check") else 4
        assert [each["what"] for each in controls] == ["button"] * cards + ["input"] + ["div"] * tables
        for each in controls:
            assert each["reached"], each
            assert each["name"], each
            assert each["ring"] >= 2, each
            assert each["ringContrast"] >= 3, each
            assert each["height"] >= 24, each
        assert controls[cards]["name"] == "Filter by name"
        # Nothing is written yet: a card that would show nothing is none to press.
        assert found["asleep"] == ([] if name.startswith("check") else ["written"])


def test_cards_filter(facts: dict[str, Facts]) -> None:
    """A card that is pressed says so, and shows its apps alone; a second one theirs as well; both can be let go."""
    for name, found in facts.items():
        begin, one, two = found["begin"], found["one"], found["two"]
        first, second = begin["kinds"][:2]
        assert begin["pressed"] == []
        assert (one["kinds"], one["pressed"]) == ([first], [first])
        assert (two["kinds"], two["pressed"]) == ([first, second], [first, second])
        assert one["rows"] < two["rows"] < begin["rows"]
        assert two["output"] == f"{two['rows']} of {begin['rows']} apps"
        assert found["pressedLooks"] == 2
        assert (begin["reset"], one["reset"]) == (False, True)
        assert found["none"] == begin, name
    assert facts["check 420"]["one"]["numbers"] == ["1 of 5"]
    assert facts["patch 420"]["two"]["sections"] == ["decide"]  # sums over all apps would mislead beside a filter


def test_matrix_is_filtered(facts: dict[str, Facts]) -> None:
    """The matrix counts the apps that are shown, and has no row for what none of them recorded."""
    for found in (facts["check 420"], facts["check 1400"]):
        assert found["begin"]["counted"] == ["2 2 at risk", "42 1 at risk", "1 1 at risk", "1 1 at risk", "1"]
        assert found["one"]["counted"] == ["1 1 at risk"]
        assert found["typed"]["counted"] == ["2 2 at risk", "2 1 at risk", "1 1 at risk", "1"]


def test_filter_without_hits(facts: dict[str, Facts]) -> None:
    """It says so, and no table stands there as if it had some; `Show all` brings everything back, and the focus."""
    for name, found in facts.items():
        missed = found["missed"]
        assert (missed["rows"], missed["sections"], missed["nothing"]) == (0, [], True), name
        assert missed["output"] == f"0 of {found['begin']['rows']} apps"
        assert found["begin"]["nothing"] is False
        assert found["end"] == found["begin"]
        assert found["focused"] == "INPUT"
    assert facts["check 420"]["typed"]["output"] == "8 of 49 apps"


def test_on_paper(facts: dict[str, Facts]) -> None:
    """Whatever is filtered, and by night too: white paper, all rows, the heads of all tables, nothing to press."""
    for name, found in facts.items():
        unfiltered = {"pressed": found["two"]["pressed"]}
        assert found["printed"] == found["begin"] | unfiltered, name
        assert found["after"] == found["two"]
        assert found["paperPrinted"] == "rgb(255, 255, 255)"
        assert found["controlsPrinted"] == 0
        assert found["headsPrinted"] == len(found["begin"]["sections"])


@pytest.mark.parametrize("name", ["check", "patch"])
def test_prints_everything(name: str, tmp_path: Path) -> None:
    """The browser's own print of a page whose filter fits nothing has as many sheets as without a filter."""
    page = tmp_path / "page.html"
    page.write_text(texts()[name], encoding="utf-8")
    sheets = print_pages(page, tmp_path / "all.pdf")
    assert sheets >= 2
    assert print_pages(page, tmp_path / "filtered.pdf", "#filter=no-such-app") == sheets
