"""tooling/pep440.py: packaging's judgement of versions and ranges, and that a dispatch's is the same."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples
from test_pins import ranges
from test_versions import any_text, well_formed

from metalauncher.pins import Pin
from metalauncher.tooling.pep440 import matching, parse_version
from metalauncher.versions import version_key


@examples(300)
@given(well_formed | any_text, well_formed | any_text)
def test_commands_judge_versions_as_a_dispatch_does(one: str, other: str) -> None:
    """The same texts are versions, for the same reason if not; and they stand in the same order."""
    judged: list[tuple[object, ...]] = []
    for parse in (parse_version, version_key):
        try:
            keys = [parse(text) for text in (one, other)]
            judged.append((keys[0] < keys[1], keys[0] == keys[1]))  # type: ignore[operator]  # two keys of one kind
        except ValueError as error:
            judged.append((str(error),))
    assert judged[0] == judged[1]


@examples(300)
@given(ranges, st.lists(well_formed, max_size=6))
def test_commands_judge_ranges_as_a_pin_does(text: str, versions: list[str]) -> None:
    """A range means the launchers that a pin of it names, pre-releases among them; both refuse the same."""
    try:
        pin = Pin(f"acme/x@{text}")
    except ValueError as error:
        with pytest.raises(ValueError, match=f"^{re.escape(str(error))}$"):
            matching(text, versions)
    else:
        assert matching(text, versions) == [one for one in versions if pin.names("acme/x", version_key(one))]


HAVE = ["0.17.7", "0.17.7+vendor.1", "0.21.17", "0.1.1a4", "v1.0"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.17.7", ["0.17.7"]),  # not its rebuild, which has a name of its own
        ("0.17.7.0", ["0.17.7"]),
        ("==0.17.7", ["0.17.7", "0.17.7+vendor.1"]),
        ("0.17.7+vendor.1", ["0.17.7+vendor.1"]),
        ("0.1.1-alpha.4", ["0.1.1a4"]),
        ("1", ["v1.0"]),
        ("<0.2", ["0.1.1a4"]),
        (">=0.17.7,<1", ["0.17.7", "0.17.7+vendor.1", "0.21.17"]),
        ("~=0.21.0", ["0.21.17"]),
        ("2", []),
    ],
)
def test_meant(text: str, expected: list[str]) -> None:
    """A version means itself alone, a range all it admits."""
    assert matching(text, HAVE) == expected


@pytest.mark.parametrize("text", ["", "latest", "1 ", " 1", "1\n", "1" * 129, "0.\u0661", "1.po\u017ft1", "1+\u212a"])
def test_no_version(text: str) -> None:
    """What could not be part of a path is no version, whatever packaging overlooks."""
    with pytest.raises(ValueError, match="is not a PEP 440 version"):
        matching(text, HAVE)


@pytest.mark.parametrize("text", ["===0.17.7", " ===1", ">=", ">=latest", "==1.*.*"])
def test_no_range(text: str) -> None:
    """What is no range is refused, `===` with it."""
    with pytest.raises(ValueError, match="is neither a version nor a range of PEP 440"):
        matching(text, HAVE)
