"""Platforms: what is the same, whoever wrote it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metalauncher.tooling.oci.platforms import contradict, normal, parse_platform, select, serves

# containerd's own names for what Debian, uname, Docker and Go call these (platforms/database.go).
SAME = {
    "linux/amd64": ["linux/x86_64", "linux/x86-64", "Linux/AMD64", "linux/amd64/v1", "linux/x86_64/v1"],
    "linux/amd64/v3": ["linux/x86_64/v3"],
    "linux/arm64": ["linux/aarch64", "linux/arm64/v8", "linux/arm64/8", "linux/aarch64/v8", "linux/ARM64"],
    "linux/arm64/v9": ["linux/aarch64/v9"],
    "linux/arm/v7": ["linux/arm", "linux/armhf", "linux/arm/7"],
    "linux/arm/v6": ["linux/armel", "linux/arm/6"],
    "linux/386": ["linux/i386"],
    "darwin/arm64": ["macos/aarch64"],
    "windows/amd64": [],
    "linux/s390x": [],
    "": [],
}


@pytest.mark.parametrize("name", SAME)
def test_one_name_for_each(name: str) -> None:
    """All spellings come to one, and that one stays."""
    assert normal(name) == name
    assert {normal(text) for text in SAME[name]} <= {name}


@pytest.mark.parametrize(
    ("text", "platform"),
    [
        ("linux/x86_64", "linux/amd64"),
        ("amd64", "linux/amd64"),
        ("aarch64", "linux/arm64"),
        ("arm64/v8", "linux/arm64"),
        ("arm/v6", "linux/arm/v6"),
        ("windows/amd64", "windows/amd64"),
        ("linux/amd64/v3", "linux/amd64/v3"),
        ("linux/sparc64", "linux/sparc64"),
    ],
)
def test_as_people_write_them(text: str, platform: str) -> None:
    """An architecture alone is Linux's."""
    assert parse_platform(text) == platform


@pytest.mark.parametrize("text", ["", "linux", "linux/", "/amd64", "amd46", "linux/amd64/v1/x", "linux amd64", "l/ä"])
def test_none(text: str) -> None:
    """What names no platform is quoted, with what one looks like."""
    with pytest.raises(ValueError, match="is not a platform") as caught:
        parse_platform(text)
    assert str(caught.value) == f"{text!r} is not a platform, OS/ARCH[/VARIANT] such as linux/amd64 or linux/arm64"


@given(st.text(alphabet="abcxV0126348_/-", max_size=30))
def test_normal_is_a_fixed_point(text: str) -> None:
    """A name that was made normal is not changed again."""
    assert normal(normal(text)) == normal(text)


def test_chosen() -> None:
    """Just the one that is asked for goes first; any variant will do only where none is asked for."""
    assert select(["linux/amd64/v3", "linux/x86_64"], "linux/amd64") == 1
    assert select(["linux/amd64/v3", "linux/amd64/v2"], "linux/amd64") == 0
    assert select(["linux/amd64"], "linux/amd64/v3") is None
    assert select(["", "linux/aarch64"], "linux/arm64") == 1
    assert select([], "linux/arm64") is None
    assert serves("linux/arm64/v8", "linux/arm64")
    assert serves("linux/amd64/v3", "linux/amd64")
    assert not serves("linux/amd64", "linux/arm64")
    assert not serves("linux/arm/v6", "linux/arm/v7")


def test_contradict() -> None:
    """Another system or architecture is a contradiction; a variant, another name for the same, and silence are none."""
    assert contradict("linux/arm64", "linux/amd64")
    assert contradict("windows/amd64", "linux/amd64")
    assert not contradict("linux/arm64/v9", "linux/aarch64")
    assert not any([contradict("linux/arm64", silent) or contradict(silent, "linux/arm64") for silent in ("", "linux")])
