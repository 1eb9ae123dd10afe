"""apis.py: CNB's grammar and rule (buildpacks/lifecycle api/version.go, api/apis.go), and ranges."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from harness import DATA
from hypothesis import given
from hypothesis import strategies as st
from making import apis, decide_app, environment, reference
from packaging.specifiers import SpecifierSet

from metalauncher.apis import ApiRange, ApiSet, ApiVersion
from metalauncher.selection import Selection

VECTORS: dict[str, Any] = json.loads((DATA / "vectors.json").read_text())

numbers = st.integers(0, 30) | st.integers(0, 2**64 - 1)
versions = st.builds(lambda major, minor: ApiVersion((major, minor)), st.integers(0, 3) | numbers, numbers)


@pytest.fixture(autouse=True)
def _nothing_is_parsed_already(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an earlier test parsed, perhaps by other code than now, answers nothing."""
    monkeypatch.setattr("metalauncher.apis._parsed", {})


# A backslash in a name could not be asked for again: pytest escapes it once more.
NAMES = [ascii(text).replace("\\", "%") for text, _ in VECTORS["grammar"]]


@pytest.mark.parametrize(("text", "expected"), VECTORS["grammar"], ids=NAMES)
def test_grammar(text: str, expected: list[int] | None) -> None:
    """A version parses, or is refused with itself quoted, as CNB's launchers do (api/version.go)."""
    if expected is None:
        with pytest.raises(ValueError, match="is not an API version") as refused:
            ApiVersion.parse(text)
        assert repr(text) in str(refused.value)
    else:
        assert ApiVersion.parse(text) == tuple(expected)
        assert str(ApiVersion.parse(text)) == f"{expected[0]}.{expected[1]}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("18446744073709551615.18446744073709551615", (2**64 - 1, 2**64 - 1)),
        ("0" * 5000 + "7", (7, 0)),
        ("0." + "0" * 5000 + "7", (0, 7)),
    ],
)
def test_numbers_up_to_64_bits(text: str, expected: tuple[int, int]) -> None:
    """Every number below 2**64 is one, however many zeros lead it (Go's strconv.ParseUint)."""
    assert ApiVersion.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "0.18446744073709551616",
        "9" * 5000,
        "0." + "9" * 5000,
        "vv0.7",
        "v.7",
        "..",
        "0..7",
        "²",
        "0.²",
        "0x7",
        "0_7.1",
        "1e3",
    ],
)
def test_no_version(text: str) -> None:
    """What Go's parser refuses and Python's int or str.isdigit would take is refused."""
    with pytest.raises(ValueError, match="is not an API version"):
        ApiVersion.parse(text)


@given(versions)
def test_canonical_text_round_trips(version: ApiVersion) -> None:
    """A version's own text parses to itself."""
    assert ApiVersion.parse(str(version)) == version


@given(st.text("0123456789.v+- \n", max_size=8))
def test_grammar_is_the_expression(text: str) -> None:
    r"""A text parses exactly if CNB's `^v?(\d+)\.?(\d*)$` matches it whole."""
    import re

    match = re.fullmatch(r"v?([0-9]+)\.?([0-9]*)", text)
    try:
        version = ApiVersion.parse(text)
    except ValueError:
        assert match is None
    else:
        assert match is not None
        assert version == (int(match[1]), int(match[2] or "0"))


def test_order_is_numeric() -> None:
    """0.9 is older than 0.10, and 0.99 than 1.0."""
    texts = ["0.0", "0.2", "0.9", "0.10", "0.99", "1.0", "1.2", "10.0"]
    assert sorted(map(ApiVersion.parse, reversed(texts))) == list(map(ApiVersion.parse, texts))


# What CNB's launchers of two releases answered, and where metalauncher's decision differs from the older's by design.
CASES: dict[str, tuple[dict[str, str], str | None]] = {
    "no env": ({}, '[[buildpacks]]\nid = "a/b"\napi = "0.7"\n'),
    "CNB_PLATFORM_API whitespace": ({"CNB_PLATFORM_API": " "}, ""),
    "p0.3": ({"CNB_PLATFORM_API": "0.3"}, ""),
    "p0.99": ({"CNB_PLATFORM_API": "0.99"}, ""),
    "p0.3 mode=error": ({"CNB_PLATFORM_API": "0.3", "CNB_DEPRECATION_MODE": "error"}, ""),
    "metadata missing (p0.7)": ({"CNB_PLATFORM_API": "0.7"}, None),
    "metadata empty file": ({"CNB_PLATFORM_API": "0.7"}, ""),
    "buildpack api missing, no layer dir": ({"CNB_PLATFORM_API": "0.7"}, '[[buildpacks]]\nid = "a/b"\n'),
    "api junk": ({"CNB_PLATFORM_API": "0.7"}, '[[buildpacks]]\nid = "a/b"\napi = "junk"\n'),
    "api float": ({"CNB_PLATFORM_API": "0.7"}, '[[buildpacks]]\nid = "a/b"\napi = 0.9\n'),
    "api 0.99": ({"CNB_PLATFORM_API": "0.7"}, '[[buildpacks]]\nid = "a/b"\napi = "0.99"\n'),
    "extension api 0.99": ({"CNB_PLATFORM_API": "0.7"}, '[[extensions]]\nid = "a/b"\napi = "0.99"\n'),
    "no buildpacks": ({"CNB_PLATFORM_API": "0.7"}, "processes = []\n"),
    "duplicate key": ({"CNB_PLATFORM_API": "0.7"}, '[[buildpacks]]\nid = "a/b"\napi = "0.7"\napi = "0.8"\n'),
    "utf8 bom": ({"CNB_PLATFORM_API": "0.7"}, '\ufeff[[buildpacks]]\nid = "a/b"\napi = "0.7"\n'),
}
# These fail in the launcher after it was chosen.
NOT_DECIDED = ("buildpack api missing, layer dir present", "launch failure")
# Lifecycle 0.17 assumed a Platform API, a Buildpack API 0.2, and had a laxer parser; newer ones don't.
STRICTER = {
    ("no env", "0.17.7"): 11,
    ("buildpack api missing, no layer dir", "0.17.7"): 12,
    ("duplicate key", "0.17.7"): 1,
}


@pytest.mark.parametrize("version", ["0.17.7", "0.21.17"])
@pytest.mark.parametrize("case", VECTORS["launcher_rc"], ids=lambda case: case["case"])
def test_decision_is_the_launchers(case: dict[str, Any], version: str, tmp_path: Path) -> None:
    """With one launcher alone the dispatch refuses exactly what that launcher itself refuses, with its exit code."""
    name = case["case"]
    if name.startswith(NOT_DECIDED) or version not in case:
        return
    variables, metadata = CASES[name]
    file = tmp_path / "layers/config/metadata.toml"
    file.parent.mkdir(parents=True)
    if metadata is not None:
        file.write_text(metadata)
    decision = decide_app(
        reference(tmp_path, version), environment(**variables, CNB_LAYERS_DIR=str(tmp_path / "layers"))
    )
    code = 0 if isinstance(decision.outcome, Selection) else decision.outcome.exit_code
    assert code == STRICTER.get((name, version), case[version])


def test_every_vector_is_used() -> None:
    """A vector added to the file is either decided on here or named as one that can't be."""
    names = {case["case"] for case in VECTORS["launcher_rc"] if not case["case"].startswith(NOT_DECIDED)}
    assert names == set(CASES)
    assert len(VECTORS["grammar"]) > 20


@pytest.mark.parametrize(
    ("supported", "covered", "not_covered"),
    [
        ("0.7 0.8", "0.7 0.8", "0.0 0.6 0.9 0.70 1.7"),
        ("1.2", "1.0 1.1 1.2", "0.2 1.3 2.0 2.2 0.1"),
        ("0.9 1.0", "0.9 1.0", "0.8 0.10 1.1"),
        ("2", "2.0", "1.0 2.1"),
        (">=0.3,<=0.5", "0.3 0.4 0.5", "0.2 0.6 1.0"),
        # A range is evaluated as it stands: CNB's rule for 1 and later belongs to lists.
        ("==1.2", "1.2", "1.0 1.1 1.3"),
        (">0.3,<0.6,!=0.5", "0.4", "0.3 0.5 0.6"),
    ],
)
def test_covers(supported: str, covered: str, not_covered: str) -> None:
    """0.x covers itself alone; from 1 on an entry covers its major up to its minor (api/apis.go, IsSupersetOf)."""
    found = apis(supported)
    assert [v for v in covered.split() if not found.covers(ApiVersion.parse(v))] == []
    assert [v for v in not_covered.split() if found.covers(ApiVersion.parse(v))] == []


@pytest.mark.parametrize(
    ("deprecated", "yes", "no"),
    [
        ("0.3 0.4", "0.3 0.4", "0.2 0.5 1.3"),
        ("1", "1.0 1.1 1.99", "0.0 0.1 2.0"),
        ("1.2", "1.2 1.3", "1.0 1.1 2.2"),
        ("", "", "0.0 1.0"),
    ],
)
def test_deprecates(deprecated: str, yes: str, no: str) -> None:
    """A deprecated 0.x marks itself alone; "1" marks all of 1.x (api/apis.go, IsDeprecated)."""
    found = apis("0.3 0.4 1.3", deprecated)
    assert [v for v in yes.split() if not found.deprecates(ApiVersion.parse(v))] == []
    assert [v for v in no.split() if found.deprecates(ApiVersion.parse(v))] == []


@pytest.mark.parametrize(
    ("supported", "oldest", "newest"),
    [
        ("0.9 0.10 0.7", "0.7", "0.10"),
        ("1.3", "1.0", "1.3"),
        ("0.9 1.3", "0.9", "1.3"),
        (">=0.3,<=0.12", "0.3", "0.12"),
        (">0.3,<0.12,<=0.20", "0.4", "0.11"),
        ("<=0.4", "0.0", "0.4"),
        ("==0.5", "0.5", "0.5"),
    ],
)
def test_bounds(supported: str, oldest: str, newest: str) -> None:
    """Nothing outside `oldest` and `newest` is covered: what "too new" and "too old" in a refusal go by."""
    found = apis(supported)
    assert (str(found.oldest), str(found.newest)) == (oldest, newest)


@pytest.mark.parametrize(
    "text",
    [
        "<=0.12",
        ">=0.3,<=0.12",
        "<0.1",
        "==0.7",
        "== 0.7",
        " >=0.3 , <0.9 ",
        "<=1",
        "==1",
        "!=0.3,<=0.9",
        ">0.1,\t<=0.9",
    ],
)
def test_range_is_admitted(text: str) -> None:
    """A range closes above with <=X.Y, <X.Y with Y > 0, or ==X.Y; white space around clauses does not count."""
    assert ApiRange(text).text == text


@pytest.mark.parametrize("text", [">=0.3", ">0.3", "!=0.3", "<1.0", "<1", "<0.0", ">=0.3,!=0.5", ">=0.3,<2.0"])
def test_range_open_above(text: str) -> None:
    """A range that claims APIs not released yet is refused: 0.x minors may break, so <1.0 is no bound."""
    with pytest.raises(ValueError, match=r"is open above: add <=X\.Y, or <X\.Y with Y > 0$") as refused:
        ApiRange(text)
    assert repr(text) in str(refused.value)


@pytest.mark.parametrize(
    "clause",
    [
        *("~=0.7", "===0.7", "==0.*", "!=0.*", "<=0.7.1", "<=v0.7", "<=0.7rc1", "<=0.7.", "<=", "0.7", "", "=0.7"),
        *("=>0.7", "<>0.7", "<=0,7", "<=1!0.7", "<=0.7+l", "<=\u0660.\u0667", "<=0. 7", "<=0.7X", "X<=0.7", "<=0.7\n"),
        *("\u2003<=0.7", "<=\n0.7", "<=X0.7", "<=7."),
    ],
)
def test_range_clause_not_admitted(clause: str) -> None:
    """Compatible-release, arbitrary-equality and wildcard clauses, and versions that are no API, are refused."""
    text = f">=0.1,{clause},<=0.9"
    with pytest.raises(ValueError, match=r"is not one of <= < >= > == != followed by X\.Y$") as refused:
        ApiRange(text)
    assert f" in range {text!r} is not" in str(refused.value)


clauses = st.tuples(
    st.sampled_from(["<=", "<", ">=", ">", "==", "!="]),
    st.sampled_from(["", " "]),
    st.integers(0, 2),
    st.none() | st.integers(0, 20),
)


@given(
    st.lists(clauses, max_size=4),
    st.sampled_from(["<=", "<", "=="]),
    st.tuples(st.integers(0, 2), st.integers(1, 20)),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 22)), min_size=1, max_size=10),
)
def test_range_is_pep_440(
    others: list[tuple[str, str, int, int | None]], closing: str, bound: tuple[int, int], asked: list[tuple[int, int]]
) -> None:
    """Over all admitted ranges and versions the evaluation is PEP 440's own: equal to `packaging`."""
    texts = [
        f"{operator}{blank}{major}" + ("" if minor is None else f".{minor}") for operator, blank, major, minor in others
    ]
    text = ",".join([*texts, f"{closing}{bound[0]}.{bound[1]}"])
    ours, oracle = ApiRange(text), SpecifierSet(text)
    for pair in [*asked, bound, *((major, minor or 0) for _, _, major, minor in others)]:
        version = ApiVersion(pair)
        assert (version in ours) == oracle.contains(str(version)), version
        if version in ours:
            assert ours.oldest <= version <= ours.newest


def test_a_set_of_what_can_be_read_once() -> None:
    """The versions are kept, wherever they come from."""
    found = ApiSet(iter([ApiVersion((0, 3)), ApiVersion((1, 2))]), iter([ApiVersion((0, 3))]))
    for _ in range(2):
        assert found.covers(ApiVersion((0, 3)))
        assert found.covers(ApiVersion((1, 1)))
        assert found.deprecates(ApiVersion((0, 3)))


def test_long_numbers() -> None:
    """Zeros before a number count for nothing, however many there are; the largest is 2**64 - 1."""
    assert ApiVersion.parse("0" * 30 + "7." + "0" * 30 + "10") == (7, 10)
    assert ApiVersion.parse(f"{2**64 - 1}.{2**64 - 1}") == (2**64 - 1, 2**64 - 1)
    assert ApiVersion.parse("100.200") == (100, 200)
    for text in (f"{2**64}", f"0.{2**64}", "9" * 21, "0." + "9" * 5000):
        with pytest.raises(ValueError, match="is not an API version"):
            ApiVersion.parse(text)


def test_range_in_a_set() -> None:
    """A set made from a range covers what the range holds, and keeps its text for people to read."""
    found = ApiSet(ApiRange(">=0.3,<=0.5"), [ApiVersion((0, 3))], ApiVersion((0, 4)))
    assert isinstance(found.supported, ApiRange)
    assert found.supported.text == ">=0.3,<=0.5"
    assert found.default == (0, 4)
    assert found.deprecates(ApiVersion((0, 3)))
