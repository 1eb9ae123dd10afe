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
_LINES_LIMIT = 10_000  # of each
_LINE_LIMIT = 1 << 16  # bytes of a line of passwd: Go's Scanner takes no longer one
_HIGHEST = (1 << 31) - 1  # of an id: what GetExecUser takes where the files do not have it
_INT = 1 << 63  # Go's int ends below it
_NUMBER = re.compile(r"([+-]?)0*([0-9]+)")
# What Go's bytes.TrimSpace takes away (Unicode, White_Space); Python's `strip` takes more.
_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))


class User(NamedTuple):
    """Who runs.

    Attributes:
        text: as the config has it.
        uid: the user's number.
        gid: of the primary group.
        groups: supplementary groups that every engine adds.
        perhaps: supplementary groups that some engines add.
        doubts: why an engine may make another user of it, or refuse it.
    """

    text: str
    uid: int
    gid: int
    groups: frozenset[int] = frozenset()
    perhaps: frozenset[int] = frozenset()
    doubts: tuple[str, ...] = ()


class UnknownUser(Exception):
    """No engine starts a container as this user; the message says why.

    Attributes:
        doubts: why an engine may find one all the same.
    """

    def __init__(self, reason: str, doubts: tuple[str, ...] = ()) -> None:
        """Hold why."""
        super().__init__(reason)
        self.doubts: Final = doubts


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
    doubts = _doubts(passwd, "/etc/passwd") + _doubts(group, "/etc/group")
    if any([len(line) >= _LINE_LIMIT for line in passwd.split(b"\n")]):
        doubts += (f"its /etc/passwd has a line of {_LINE_LIMIT >> 10} KiB or more",)
    try:
        login, uid, gid = _find_user(name or "0", passwd)
        if group_name:
            gid = _find_group(group_name, group)
    except UnknownUser as error:  # among the lines that were looked at
        raise UnknownUser(str(error), doubts) from None
    named = frozenset(_memberships(group, login)) if login else frozenset[int]()
    for number in (uid, gid, *named):
        if not 0 <= number <= _HIGHEST:
            doubts += (f"its /etc/passwd and /etc/group give its user the id {number}, which is out of range",)
    if group_name:
        return User(text, uid, gid, frozenset(), named, doubts)
    return User(text, uid, gid, named, frozenset(), doubts)


def _find_user(wanted: str, passwd: bytes) -> tuple[str, int, int]:
    """Return a user's name, "" where it has none, with its number and group's."""
    number, is_number = _atoi(wanted)
    for fields in _lines(passwd, comments=False):
        own = _atoi(fields[2])[0]
        if own == number if is_number else fields[0] == wanted:
            return fields[0], own, _atoi(fields[3])[0]
    return "", _in_range(wanted, "user", "/etc/passwd"), 0


def _find_group(wanted: str, group: bytes) -> int:
    number, is_number = _atoi(wanted)
    for fields in _lines(group, comments=True):
        own = _atoi(fields[2])[0]
        if own == number if is_number else fields[0] == wanted:
            return own
    return _in_range(wanted, "group", "/etc/group")


def _in_range(text: str, what: str, file: str) -> int:
    number, is_number = _atoi(text)
    if not is_number:
        raise UnknownUser(f"there is no {what} {text[:100]!r} in its {file}")
    if not 0 <= number <= _HIGHEST:
        raise UnknownUser(f"the {what} {text[:100]!r} is out of range")
    return number


def _memberships(group: bytes, login: str) -> Iterator[int]:
    for fields in _lines(group, comments=True):
        if login in fields[3].split(","):
            yield _atoi(fields[2])[0]


def _lines(data: bytes, *, comments: bool) -> Iterator[list[str]]:
    """Give the fields of each line; missing ones are empty, as Go's parser has them.

    Args:
        data: the file's.
        comments: whether lines with a # at their beginning don't count: passwd has no comments.
    """
    for line in data[:FILE_LIMIT].split(b"\n", _LINES_LIMIT)[:_LINES_LIMIT]:
        text = line.decode("utf-8", "surrogateescape").strip(_SPACE)
        if text and not (comments and text.startswith("#")):
            yield [*text.split(":"), "", "", ""]


def _doubts(data: bytes, file: str) -> tuple[str, ...]:
    """Say that a file is too large to be read to its end."""
    if len(data) > FILE_LIMIT:
        return (f"its {file} has more than {FILE_LIMIT >> 20} MiB",)
    lines = data.count(b"\n") + (not data.endswith(b"\n"))
    return (f"its {file} has more than {_LINES_LIMIT} lines",) if lines > _LINES_LIMIT else ()


def _atoi(text: str) -> tuple[int, bool]:
    """Return what Go's `strconv.Atoi` makes of a text, and whether that is the number it stands for."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        return 0, False
    number = int(match[1] + match[2][:20])  # more digits are too many, whichever they are
    return max(-_INT, min(number, _INT - 1)), -_INT <= number < _INT
