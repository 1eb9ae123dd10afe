"""However much an app recorded, little of it is kept, less of it shown, and what is cut off is said."""

from __future__ import annotations

import sys

import pytest

from metalauncher.tooling.apps.check.bounds import Shared, bounded, listed, shorten, size_in_words
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
    assert kept.reason == "\U0001f600" * 260 + "… (1,999,740 more characters)"
    assert kept.notes[-2:] == ("2,984 of 3,000 buildpacks are left out", "16 more notes are left out")
    line = to_line(kept)
    assert len(line) < LINE_LIMIT / 4
    assert from_line(line) == kept


NOTES = ["n" * length for length in (10, 300, 301, 299, 300, 200, 1000, 5, 5, 5)]
TEXTS = ["x" * 600, "x" * 601, "ü" * 10_000, "\U0001f600" * 300, "\U0001f600" * 301, "x" * 599 + "\U0001f600"]


@pytest.mark.parametrize("count", range(len(NOTES) + 1))
@pytest.mark.parametrize("text", TEXTS, ids=lambda text: f"{text[-1]}{len(text)}")
def test_what_was_cut_stays(count: int, text: str) -> None:
    """Results that are read back are cut again, and nothing more is lost."""
    result = SMALL._replace(reason=text, platform_api=text, buildpacks=((text, text), ("b", text)) * 40)
    kept = bounded(result._replace(notes=tuple(NOTES[:count])))
    assert bounded(kept) == kept
    assert len(kept.notes) <= 8
    assert (kept.reason == text) == (text in TEXTS[::3])
    assert max(len(one) for one in (kept.reason, *kept.notes)) <= 600


def memory_of(result: Result) -> int:
    """Return how many bytes a result takes."""
    seen: dict[int, object] = {}
    todo: list[object] = [result]
    while todo:
        one = todo.pop()
        if id(one) not in seen:
            seen[id(one)] = one
            todo += one if isinstance(one, tuple) else []
    return sum(map(sys.getsizeof, seen.values()))


@pytest.mark.parametrize("letter", ["a", "ü", "…", "\U0001f600"])
@pytest.mark.parametrize("length", [1, 8, 30, 300, 3000])
def test_memory(letter: str, length: int) -> None:
    """Whatever was recorded, a result takes 20 KB: 5,000 of them half of what `check` may take."""

    def text(number: int) -> str:
        return f"{number}{letter * length}"

    result = SMALL._replace(
        reason=text(1),
        remedy=text(2),
        platform_api=text(3),
        notes=tuple(map(text, range(20))),
        buildpacks=tuple([(text(n), text(-n)) for n in range(2000)]),
    )
    assert memory_of(bounded(result)) < 20_000


def test_equal_texts_are_held_once() -> None:
    """Of many apps that recorded the same."""
    shared = Shared()
    first, second = (bounded(from_line(to_line(SMALL)), shared) for _ in range(2))
    assert first.buildpacks[0][0] is second.buildpacks[-1][0]
    assert first.reason is second.reason
    assert first.platform_api is second.platform_api
    assert shared("x" * 101) == "x" * 101
    for number in range(10_000):
        shared(str(number))
    assert bounded(SMALL, shared) == SMALL
