"""However much an app recorded, little of it is kept, less of it shown, and what is cut off is said."""

from __future__ import annotations

import pytest

from metalauncher.tooling.apps.check.bounds import bounded, listed, shorten, size_in_words
from metalauncher.tooling.apps.check.verdict import Result, from_line, to_line
from metalauncher.tooling.apps.line_file import LINE_LIMIT

SMALL = Result(
    "app", None, "starts", "why", platform_api="0.12", buildpacks=(("acme/node", "0.10"),) * 40, notes=("a",)
)


@pytest.mark.parametrize(
    ("text", "limit", "short"),
    [
        ("0.12", 12, "0.12"),
        ("x" * 12, 12, "x" * 12),
        ("x" * 13, 12, "x" * 11 + "…"),
        ("\x1b" * 3, 12, "\x1b" * 3),  # whoever prints it makes it \\x1b\\x1b\\x1b
        ("\x1b" * 4, 12, "\\x1b\\x1b\\x1…"),
    ],
)
def test_shorten(text: str, limit: int, short: str) -> None:
    """What is short stays; of what is not, as people would see it, the beginning."""
    assert shorten(text, limit) == short


def test_listed() -> None:
    """A few by name, the rest by number."""
    assert listed(["a", "b"], 2) == "a, b"
    assert listed(["a", "b", "c", "d"], 2) == "a, b, and 2 more"


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0 bytes"), (1023, "1023 bytes"), (1 << 10, "1.0 KiB"), (3 << 29, "1.5 GiB")]
)
def test_sizes(number: int, words: str) -> None:
    """In the largest unit that fits."""
    assert size_in_words(number) == words


def test_what_real_apps_recorded_is_kept() -> None:
    """Forty buildpacks, and all that is said of them."""
    assert bounded(SMALL) == SMALL


def test_what_is_cut_off_is_said() -> None:
    """Of buildpacks without an end some are kept, of each API one if possible."""
    found = tuple([(f"acme/{n}", f"0.{max(1, n - 4948)}") for n in range(5000)])
    kept = bounded(SMALL._replace(buildpacks=found))
    assert {api for _, api in kept.buildpacks} == {api for _, api in found}
    assert kept.buildpacks == tuple([one for one in found if one in kept.buildpacks])
    assert kept.notes == ("a", f"{5000 - len(kept.buildpacks):,} of 5,000 buildpacks are left out")


def test_hostile() -> None:
    """A line of JSON stays far below what is read back, whatever was recorded."""
    long = "\U0001f600" * 2_000_000
    result = SMALL._replace(
        reason=long, remedy=long, platform_api=long, notes=(long,) * 20, buildpacks=((long, long),) * 3000
    )
    kept = bounded(result)
    assert kept.reason == "\U0001f600" * 600 + "… (1,999,400 more characters)"
    assert kept.notes[-2:] == ("2,995 of 3,000 buildpacks are left out", "12 more notes are left out")
    line = to_line(kept)
    assert len(line) < LINE_LIMIT / 4
    assert from_line(line) == kept
