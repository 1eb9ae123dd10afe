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
_NUMBER = re.compile(r"[+-]?[0-9]{1,4000}")


class User(NamedTuple):
    """Who runs.

    Attributes:
        text: as the config has it.
        uid: the user's number.
        gid: of the primary group.
        groups: supplementary groups that every engine adds.
        perhaps: supplementary groups that some engines add.
    """

    text: str
    uid: int
    gid: int
    groups: frozenset[int] = frozenset()
    perhaps: frozenset[int] = frozenset()


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
    name, _, group_name = text.partition(":")
    uid, gid, login = 0, 0, ""
    wanted = name or "0"
    for fields in _lines(passwd, 4):
        number = _number(fields[2]) or 0
        is_wanted = number == int(wanted) if _NUMBER.fullmatch(wanted) else fields[0] == wanted
        if is_wanted and not login:
            uid, gid, login = number, _number(fields[3]) or 0, fields[0]
    if name and not login:
        uid = _in_range(name, "user", "/etc/passwd")
    named = frozenset(_memberships(group, login)) if login else frozenset[int]()
    if not group_name:
        return User(text, uid, gid, named)
    for fields in _lines(group, 3):
        number = _number(fields[2]) or 0
        if fields[0] == group_name or str(number) == group_name:
            return User(text, uid, number, frozenset(), named)
    return User(text, uid, _in_range(group_name, "group", "/etc/group"), frozenset(), named)


def _in_range(text: str, what: str, file: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise UnknownUser(f"there is no {what} {text[:100]!r} in its {file}")
    number = int(text[:20])
    if not 0 <= number <= _HIGHEST:
        raise UnknownUser(f"the {what} {text[:100]!r} is out of range")
    return number


def _memberships(group: bytes, login: str) -> Iterator[int]:
    for fields in _lines(group, 4):
        number = _number(fields[2])
        if number is not None and login in fields[3].split(","):
            yield number


def _lines(data: bytes, least: int) -> Iterator[list[str]]:
    """Give the fields of each line; missing ones are empty, as Go's parser has them."""
    for line in data[:FILE_LIMIT].splitlines()[:_LINES_LIMIT]:
        text = line.strip().decode("utf-8", "replace")
        if text and not text.startswith("#"):
            fields = text.split(":")
            yield fields + [""] * (least - len(fields))


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,10}", text) else None
