"""readers.py: what it says of lifecycle releases is the release data, and no more than that."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from harness import DATA
from making import reference_registry

from metalauncher.explain.readers import RELEASES, cannot_read, parsers_of, release_of

KNOWN: dict[str, str] = json.loads((DATA / "lifecycle_toml.json").read_text())["parsers"]
LINES: list[dict[str, str]] = json.loads((DATA / "lifecycle_apis.json").read_text())["lines"]
ALL = ("control-characters", "invalid-utf-8", "replacement-characters", "byte-order-mark")


def numbers(text: str) -> tuple[int, ...]:
    """Return a version's numbers."""
    return tuple([int(part) for part in text.split(".")])


def test_is_the_release_data() -> None:
    """Every release whose go.mod is known has the parser that this names."""
    assert len(KNOWN) > 30
    for release, parser in KNOWN.items():
        found = parsers_of(numbers(release))
        assert found is not None
        oldest, newest = found
        assert oldest <= numbers(parser) <= newest, release


def test_says_no_more_than_is_known() -> None:
    """One parser alone is named only between two releases that have it, two where the neighbours' differ."""
    known = sorted([(numbers(release), numbers(parser)) for release, parser in KNOWN.items()])
    for first, last, oldest, newest in RELEASES:
        inside = {parser for release, parser in known if first <= release <= last}
        before = max([parser for release, parser in known if release <= last], default=None)
        after = min([parser for release, parser in known if release >= first], default=before)
        if oldest == newest:
            assert inside == {oldest}, first
            assert {parser for release, parser in known if release in (first, last)} == {oldest}, first
        else:
            assert not inside, first
            assert (before, after) == (oldest, newest) or after == oldest, first


def test_no_release_is_left_out() -> None:
    """The rows follow each other from the first release to the last that is known."""
    assert RELEASES[0][0] == numbers(LINES[0]["from"])
    assert RELEASES[-1][1] == numbers(LINES[-1]["to"])
    for (_, last, *_), (first, *_) in pairwise(RELEASES):
        assert first in ((*last[:2], last[2] + 1), (last[0], last[1] + 1, 0))
    for line in LINES:
        assert parsers_of(numbers(line["from"]))
        assert parsers_of(numbers(line["to"]))


@pytest.mark.parametrize(
    ("version", "kinds"),
    [
        ("0.9.3", ALL[3:]),
        ("0.11.4", ALL[3:]),
        ("0.12.0", ALL),
        ("0.16.4", ALL),
        ("0.16.5", ALL[:3]),
        ("0.17.7", ALL[:3]),
        ("0.17.7+vendor.1", ALL[:3]),
        ("0.19.7", ALL[:2]),
        ("0.20.11", ALL[:2]),
        ("0.21.17", ALL[:2]),
        ("0.21.18", None),
        ("0.8.1", None),
        ("0.17", None),
        ("0.17.7rc1", None),
        ("0.17.\u0667", None),
        ("", None),
        (None, None),
    ],
)
def test_cannot_read(version: str | None, kinds: tuple[str, ...] | None) -> None:
    """What a release refuses, a vendor's rebuild of it as well; None for what is none known."""
    assert cannot_read("buildpacks/lifecycle", version) == kinds
    assert cannot_read("acme/lifecycle", version) is None
    assert release_of(None, version) is None


def test_the_reference_registry() -> None:
    """Its descriptors say just that."""
    for launcher in reference_registry().launchers:
        known = cannot_read(launcher.id, launcher.version)
        assert launcher.cannot_read == (ALL[:2] if known is None else known)
