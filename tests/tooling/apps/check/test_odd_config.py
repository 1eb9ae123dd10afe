"""Configs that no kernel, or not every one, starts an image with; and passwd files that are too much to look at."""

from __future__ import annotations

import images
import pytest
from rebased import World, metadata

from metalauncher.tooling.apps.check.odd_config import odd_start
from metalauncher.tooling.apps.check.user import User, parse_user

ARGV = [b"/cnb/process/web"]
LONGEST = 131_071  # bytes, with which crun still starts a program


@pytest.mark.parametrize(
    ("argv", "environ", "others", "said"),
    [
        (ARGV, [b"A=1", b"B=", b"C=d=e"], [b"1000", b"/workspace"], ""),
        (ARGV, [b"A=" + b"x" * (LONGEST - 2)], [], ""),
        (ARGV, [b"A=" + b"x" * (LONGEST - 1)], [], "more arguments and variables"),
        ([*ARGV, b"x" * (LONGEST + 1)], [], [], "more arguments and variables"),
        (ARGV, [b"A=" + b"x" * 100_000] * 11, [], "more arguments and variables"),
        (ARGV, [b"A"], [], "a variable without a name or a value"),
        (ARGV, [b"=A"], [], "a variable without a name or a value"),
        ([b"/cnb/process/web\0x"], [], [], "a NUL"),
        (ARGV, [b"A=\0"], [], "a NUL"),
        (ARGV, [], [b"/workspace\0"], "a NUL"),
    ],
)
def test_odd_start(argv: list[bytes], environ: list[bytes], others: list[bytes], said: str) -> None:
    """What runtimes take differently is said, and nothing else is."""
    found = odd_start(argv, environ, others)
    assert said in found
    assert bool(found) == bool(said)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"app:x:1000:1000::/:/\n", ""),
        (b"\n" * 9_999, ""),
        (b"\n" * 10_001, "more than 10000 lines"),
        (b"x" * 65_536, "a line that is too long for most readers"),
        (b"x" * 65_535 + b"\n", ""),
        (b"x\n" * (1 << 20), "more than 1 MiB"),
    ],
)
def test_too_much_of_a_passwd(data: bytes, said: str) -> None:
    """What is not looked at, and what Go's scanner gives up at, is said."""
    assert bool(parse_user("1000", data, b"").doubts) == bool(said)


def test_numbers_of_groups() -> None:
    """A group whose number is invalid is 0 to Go; one out of range is doubted."""
    passwd = b"app:x:1000:1000::/:/\n"
    assert parse_user("app", passwd, b"x:x:junk:app\ny:x:7:other,app\n") == User("app", 1000, 1000, frozenset((0, 7)))
    found = parse_user("app", passwd, b"x:x:" + b"9" * 5000 + b":app\n")
    assert found.doubts == (
        f"its /etc/passwd and /etc/group give its user the id {(1 << 63) - 1}, which is out of range",
    )


def test_a_user_beyond_what_is_read(world: World) -> None:
    """Who is not among the lines that are looked at may be below them: no engine is said to refuse the app."""
    app = images.make_app("late-user", metadata("0.10"), "0.12")
    for blank, kind in ((9_999, "starts"), (10_001, "unknown")):
        passwd = images.pack([images.file("/etc/passwd", b"\n" * blank + b"late:x:1000:1000::/:/\n")])
        found = world.judge(world.app(app, above=[passwd], change={"User": "late"}), "new", thorough=True)
        assert found.kind == kind
    assert found.reason == "its /etc/passwd has more than 10000 lines"
