"""As whom a container runs: as moby/sys/user says, by examples and by chance."""

from __future__ import annotations

import base64
import json
import random
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import golang
import goreaders
import pytest
import strategies
from harness import DATA

from metalauncher.tooling.apps.check.user import FILE_LIMIT, UnknownUser, User, parse_user

CASES: dict[str, dict[str, Any]] = tomllib.loads((DATA / "tooling/apps/check/users.toml").read_text())
SEARCHED = 200 if strategies.PROFILE == "quick" else 5000


class Question(NamedTuple):
    """A config's `User`, and the image's two files."""

    text: str
    passwd: bytes
    group: bytes


@pytest.fixture(scope="module")
def program() -> Path:
    """Return what asks moby/sys/user."""
    try:
        return goreaders.build("user")
    except golang.Unavailable as missing:
        pytest.fail(str(missing))


def ask(program: Path, questions: list[Question]) -> list[dict[str, Any]]:
    """Return what moby/sys/user says."""
    texts = [
        {
            "User": one.text,
            "Passwd": base64.b64encode(one.passwd).decode(),
            "Group": base64.b64encode(one.group).decode(),
        }
        for one in questions
    ]
    return goreaders.ask(program, [json.dumps(text).encode() for text in texts])


def hold(question: Question, truth: dict[str, Any]) -> User | str:
    """Hold what we say against what moby/sys/user says; return what we say."""
    shown = f"{question} is {truth}"
    try:
        user = parse_user(*question)
    except UnknownUser as error:
        if truth["error"] or error.doubts:
            return str(error)
        raise AssertionError(shown) from error
    if truth["error"]:
        assert any("KiB or more" in doubt for doubt in user.doubts), shown
        return user
    if not any("more than" in doubt for doubt in user.doubts):
        assert (user.uid, user.gid, user.groups) == (truth["uid"], truth["gid"], frozenset(truth["groups"])), shown
    assert not user.perhaps or ":" in question.text, shown
    for number in (user.uid, user.gid, *user.groups):
        assert 0 <= number < 1 << 31 or any(str(number) in doubt for doubt in user.doubts), shown
    return user


@pytest.mark.parametrize("name", CASES)
def test_an_example(name: str, program: Path) -> None:
    """What the file says, we say, and moby/sys/user says."""
    case = CASES[name]
    question = Question(case["user"], case.get("passwd", "").encode(), case.get("group", "").encode())
    (truth,) = ask(program, [question])
    said = hold(question, truth)
    if "error" in case:
        assert said == case["error"]
    else:
        wanted = User(
            case["user"],
            case["uid"],
            case["gid"],
            frozenset(case.get("groups", [])),
            frozenset(case.get("perhaps", [])),
            tuple(case.get("doubts", [])),
        )
        assert said == wanted


@pytest.mark.parametrize(
    ("passwd", "group", "doubts"),
    [
        (b"cnb:x:1:2\n" + b"#" * ((1 << 16) - 1), b"", ()),
        (b"cnb:x:1:2\n" + b"#" * (1 << 16), b"", ("its /etc/passwd has a line of 64 KiB or more",)),
        (b"cnb:x:1:2\n" + b"# " * (1 << 15), b"", ("its /etc/passwd has a line of 64 KiB or more",)),
        (b"cnb:x:1:2\n" + b"\n" * 9999, b"\n" * 10000, ()),
        (b"cnb:x:1:2\napp:x:3:4\n" + b"\n" * 20000, b"", ("its /etc/passwd has more than 10000 lines",)),
        (
            b"cnb:x:1:2\n" + b"#" * (1 << 16) + b"\n" * 10000,
            b"",
            ("its /etc/passwd has more than 10000 lines", "its /etc/passwd has a line of 64 KiB or more"),
        ),
        (b"cnb:x:1:2\n" + b"\n" * 10000, b"", ("its /etc/passwd has more than 10000 lines",)),
        (b"cnb:x:1:2\n", b"\n" * 10001, ("its /etc/group has more than 10000 lines",)),
        (b"cnb:x:1:2\n", b"#" * FILE_LIMIT, ()),
        (b"cnb:x:1:2\n", b"#" * (FILE_LIMIT + 1), ("its /etc/group has more than 1 MiB",)),
    ],
)
def test_limits(passwd: bytes, group: bytes, doubts: tuple[str, ...], program: Path) -> None:
    """What is too large is no known user."""
    question = Question("cnb", passwd, group)
    said = hold(question, ask(program, [question])[0])
    assert said == User("cnb", 1, 2, frozenset(), frozenset(), doubts)


def test_the_last_line_counts() -> None:
    """As many lines as there may be are read, and no more."""
    for blank, uid in ((9999, 7), (10_000, None)):
        passwd = b"\n" * blank + b"late:x:7:7"
        if uid is not None:
            assert parse_user("late", passwd, b"").uid == uid
            continue
        with pytest.raises(UnknownUser) as caught:
            parse_user("late", passwd, b"")
        assert caught.value.doubts == ("its /etc/passwd has more than 10000 lines",)
    assert parse_user("root:late", b"root:x:0:0", b"\n" * 9999 + b"late:x:7:").gid == 7


NAMES = ("root", "cnb", "app", "1000", "", "#c", "é", "c nb", "+5", "٣")
NUMBERS = (
    *("0", "1000", "1001", "50", "+5", "-5", "007", "", "x", "1_0", "2147483647", "2147483648", "4294967295", " 5"),
    *("99999999999", "9223372036854775807", "9223372036854775808", "-9223372036854775809", "0" * 30 + "50", "٣"),
)
SPACES = ("", "", "", "", " ", "\t", "\r", "\xa0", "\x85", "\x1c", "\u2003", "\u200b", "\v\f")


def some_file(chance: random.Random, *, is_group: bool) -> bytes:
    """Return a passwd or group file."""
    lines = []
    for _ in range(chance.choice((0, 1, 2, 3, 5, 8))):
        fields = [chance.choice(NAMES), "x", chance.choice(NUMBERS)]
        if is_group:
            fields.append(",".join([chance.choice(NAMES) for _ in range(chance.randint(0, 3))]))
        else:
            fields += [chance.choice(NUMBERS), "Gecos", "/home", "/bin/sh"]
        fields = fields[: chance.choice((9, 9, 9, 9, 4, 3, 2, 1))]
        line = chance.choice(SPACES) + chance.choice(("", "", "", "", "", "#", "# ")) + ":".join(fields)
        lines.append((line + chance.choice(SPACES)).encode())
    data = chance.choice((b"\n", b"\n", b"\n", b"\n", b"\r\n", b"\r")).join(lines) + chance.choice((b"", b"\n"))
    if data and chance.random() < 0.05:
        at = chance.randrange(len(data))
        data = data[:at] + bytes([chance.randrange(256)]) + data[at:]
    return data


def some_question(chance: random.Random) -> Question:
    """Return a question of which something may be found."""
    word = chance.choice((*NAMES, *NUMBERS))
    text = chance.choice(("", word, word, word, f"{word}:", f":{word}"))
    if chance.random() < 0.5:
        text = f"{word}:{chance.choice((*NAMES, *NUMBERS))}{chance.choice(('', '', '', ':x', ':'))}"
    return Question(text, some_file(chance, is_group=False), some_file(chance, is_group=True))


def test_any_user(program: Path) -> None:
    """Whatever the files hold, and whatever is asked for."""
    questions = [some_question(random.Random(seed)) for seed in range(SEARCHED * 10)]
    kinds = {type(hold(one, truth)) for one, truth in zip(questions, ask(program, questions), strict=True)}
    assert kinds == {User, str}
