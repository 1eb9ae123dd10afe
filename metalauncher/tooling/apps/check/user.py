"""As whom a container's process runs: the config's `User`, looked up in the image's own passwd and group files. Pure.

Source: moby/sys/user (GetExecUser), which Docker, podman, containerd's CRI and umoci resolve users with. Where engines
differ in which supplementary groups they add, these groups are kept apart: what depends on them is not known.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE_LIMIT: Final = 1 << 20  # bytes of a passwd or group file
_HIGHEST = (1 << 31) - 1  # of an id: what GetExecUser takes
_LINES_LIMIT = 10_000
_LINE_LIMIT = 65_000  # bytes: Go's scanner of lines gives up at 65,536
_NUMBER = re.compile(r"[+-]?[0-9]+")
_GO_INT = (1 << 63) - 1
_DIGITS = 20  # more than a Go int has
# What Go's bytes.TrimSpace takes away (unicode.IsSpace).
_SPACES = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))


class User(NamedTuple):
    """Who runs.

    Attributes:
        text: as the config has it.
        uid: the user's number.
        gid: of the primary group.
        groups: supplementary groups that every engine adds.
        perhaps: supplementary groups that some engines add.
        doubt: why not every runtime starts it so, "" where nothing speaks against it.
    """

    text: str
    uid: int
    gid: int
    groups: frozenset[int] = frozenset()
    perhaps: frozenset[int] = frozenset()
    doubt: str = ""


class UnknownUser(Exception):
    """No engine starts a container as this user; the message says why."""


ROOT: Final = User("", 0, 0)


def parse_user(text: str, passwd: bytes, group: bytes) -> User:
    """Return the user that a config names.

    Args:
        text: `[USER][:GROUP]`, each a name or a number; "" means root.
        passwd: the content of `/etc/passwd`, empty where there is none.
        group: that of `/etc/group`.

    Raises:
        UnknownUser: there is no such user or group in the files, or the number is out of range.
    """
    name, group_name = [*text.split(":"), ""][:2]
    uid, gid, login = 0, 0, None
    wanted = _atoi(name or "0")
    for fields in _lines(passwd, 4):
        number = _number(fields[2])
        if number == wanted if wanted is not None else fields[0] == name:
            uid, gid, login = number, _number(fields[3]), fields[0]
            break
    if name and login is None:
        uid = _in_range(name, "user", "/etc/passwd")
    named = frozenset(_memberships(group, login)) if login else frozenset[int]()
    if not group_name:
        return _doubted(User(text, uid, gid, named))
    wanted = _atoi(group_name)
    for fields in _lines(group, 3):
        number = _number(fields[2])
        if number == wanted if wanted is not None else fields[0] == group_name:
            return _doubted(User(text, uid, number, frozenset(), named))
    return _doubted(User(text, uid, _in_range(group_name, "group", "/etc/group"), frozenset(), named))


def doubt_lines(data: bytes) -> str:
    """Say what a passwd or group file has that is not looked at, or that Go can't read; "" if nothing."""
    if len(data) > FILE_LIMIT:
        return f"more than {FILE_LIMIT >> 20} MiB"
    lines = data.split(b"\n")
    if len(lines) > _LINES_LIMIT:
        return f"more than {_LINES_LIMIT} lines"
    return "a line that is too long for most readers" if max(map(len, lines)) > _LINE_LIMIT else ""


def _doubted(user: User) -> User:
    """Return a user with what is odd: of numbers out of range that files have, runtimes make different ones."""
    odd = [number for number in (user.uid, user.gid, *user.groups) if not 0 <= number <= _HIGHEST]
    return user._replace(doubt=f"its user or a group has the number {odd[0]}") if odd else user


def _in_range(text: str, what: str, file: str) -> int:
    number = _atoi(text)
    if number is None:
        raise UnknownUser(f"there is no {what} {text[:100]!r} in its {file}")
    if not 0 <= number <= _HIGHEST:
        raise UnknownUser(f"the {what} {text[:100]!r} is out of range")
    return number


def _memberships(group: bytes, login: str) -> Iterator[int]:
    for fields in _lines(group, 4):
        if login in fields[3].split(","):
            yield _number(fields[2])


def _lines(data: bytes, least: int) -> Iterator[list[str]]:
    """Give the fields of each line; missing ones are empty, as Go's parser has them."""
    for line in data[:FILE_LIMIT].split(b"\n", _LINES_LIMIT)[:_LINES_LIMIT]:
        text = line.decode("utf-8", "surrogateescape").strip(_SPACES)
        if text:
            fields = text.split(":")
            yield fields + [""] * (least - len(fields))


def _atoi(text: str) -> int | None:
    """Return a number as Go's strconv.Atoi reads it; None where that fails."""
    number = _number(text) if _NUMBER.fullmatch(text) else None
    return None if number is None or abs(number) > _GO_INT else number


def _number(text: str) -> int:
    """Return a number in a file: 0 for what is none, and one out of range for what Go can't hold."""
    if not _NUMBER.fullmatch(text):
        return 0
    sign, digits = (-1 if text[0] == "-" else 1), text.lstrip("+-0")
    return sign * (int(digits or "0") if len(digits) <= _DIGITS else _GO_INT + 1)
