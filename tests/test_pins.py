"""pins.py: METALAUNCHER_PIN's syntax and PEP 440 version specifiers, held against `packaging`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from strategies import examples
from test_versions import any_text, well_formed

from metalauncher.pins import Pin
from metalauncher.versions import version_key

OPERATORS = ["~=", "==", "!=", "<=", ">=", "<", ">"]
clauses = st.builds(
    lambda operator, blank, bound, wildcard: operator + blank + bound + wildcard,
    st.sampled_from(OPERATORS),
    st.sampled_from(["", " "]),
    well_formed | any_text.filter(lambda text: "," not in text and text.isascii() and text.strip() == text),
    st.sampled_from(["", "", "", ".*"]),
)
ranges = st.lists(clauses, min_size=1, max_size=3).map(",".join)


@examples(400)
@given(ranges, st.lists(well_formed, min_size=1, max_size=6))
def test_range_is_pep_440(text: str, versions: list[str]) -> None:
    """A pin's range is valid, and names a version, exactly if `packaging` says so (`===` apart)."""
    try:
        oracle: SpecifierSet | None = SpecifierSet(text)
    except InvalidSpecifier:
        oracle = None
    try:
        pin: Pin | None = Pin(f"acme/x@{text}")
    except ValueError:
        pin = None
    assert (pin is None) == (oracle is None), text
    if pin is None or oracle is None:
        return
    bounds = [part.lstrip("~=!<> ").removesuffix(".*") for part in text.split(",")]
    for version in [*versions, *bounds]:
        expected = oracle.contains(version, prereleases=True)
        assert pin.names("acme/x", version_key(version)) == expected, (text, version)


@given(well_formed, well_formed)
def test_version_alone_means_equal(bound: str, version: str) -> None:
    """`ID@VERSION` is `ID@==VERSION`."""
    assert Pin(f"x@{bound}").names("x", version_key(version)) == Pin(f"x@=={bound}").names("x", version_key(version))


# Every kind of version that PEP 440's clauses treat apart.
KINDS = [
    *("0", "0.9", "1.dev0", "1.0.dev2", "1.0a1.dev1", "1.0a1", "1.0a1.post1", "1.0b2", "1.0rc1", "1.0rc1.post2.dev3"),
    *("1", "1.0", "1.0+l", "1.0+2", "1.0.post1.dev1", "1.0.post1", "1.0.post1+l", "1.0.post2", "1.0.1.dev1", "1.0.1"),
    *("1.1", "1.10", "2", "1!0", "1!1.0", "1!1.0.post1", "v1.0", "V1.1.0", "v1!1.0.1"),
    # The very next ones to some of these: what `>` has to begin with.
    *("1.0.dev3", "1.0.dev3+l", "1.0.dev4", "1.0.post2.dev0", "1.0.post2.dev1", "1.0.post1.dev2", "1.0a1.post2.dev0"),
]


@pytest.mark.parametrize("operator", [*OPERATORS, "wildcard"])
def test_every_kind_of_clause(operator: str) -> None:
    """Over every operator, every kind of bound and every kind of version the answer is that of `packaging`."""
    for bound in KINDS:
        for text in (f"=={bound}.*", f"!={bound}.*") if operator == "wildcard" else (f"{operator}{bound}",):
            try:
                oracle = SpecifierSet(text)
            except InvalidSpecifier:
                with pytest.raises(ValueError, match="is neither a version nor a range of PEP 440"):
                    Pin(f"x@{text}")
                continue
            pin = Pin(f"x@{text}")
            expected = [version for version in KINDS if oracle.contains(version, prereleases=True)]
            assert [version for version in KINDS if pin.names("x", version_key(version))] == expected, text


@pytest.mark.parametrize(
    ("pin", "named", "not_named"),
    [
        ("acme/x", "0.1 9.9 1rc1", ""),
        ("acme/x@1.0", "1 1.0.0 1.0+vendor.1", "1.0.1 1.0rc1"),
        ("acme/x@1.0+vendor.1", "1.0+vendor.1", "1.0 1.0+vendor.2"),
        ("acme/x@>=0.17,<0.18", "0.17 0.17.7 0.17.7+vendor.1", "0.16.9 0.18 0.18.0"),
        ("acme/x@~=0.17.2", "0.17.2 0.17.7", "0.17.1 0.18"),
        ("acme/x@==0.17.*", "0.17 0.17.7 0.17.7rc1", "0.18 0.1"),
        ("acme/x@!=0.17.*", "0.18", "0.17.1"),
        ("acme/x@~=1!2.3", "1!2.4", "2.4 1!3"),
    ],
)
def test_names(pin: str, named: str, not_named: str) -> None:
    """A pin names the launchers of its id whose version it admits, and no other id."""
    found = Pin(pin)
    assert [v for v in named.split() if not found.names("acme/x", version_key(v))] == []
    assert [v for v in not_named.split() if found.names("acme/x", version_key(v))] == []
    assert not any(found.names("acme/y", version_key(v)) for v in named.split())


@pytest.mark.parametrize(
    "spec", ["", " ", ",", "===1.0", "latest", ">=", "1 2", "~=1", "==1.0a1.*", ">=1.*", "<=1+l", "1.0@2", "==1.0.*+l"]
)
def test_malformed_spec(spec: str) -> None:
    """What is neither a version nor a range of PEP 440 is refused and quoted, never ignored."""
    with pytest.raises(ValueError, match="is neither a version nor a range of PEP 440") as refused:
        Pin(f"acme/x@{spec}")
    assert repr(spec) in str(refused.value)


@pytest.mark.parametrize("pin", ["@1.0", "@", ""])
def test_pin_without_id(pin: str) -> None:
    """A pin names a launcher."""
    with pytest.raises(ValueError, match=r"names no launcher|neither a version"):
        Pin(pin)
