"""What the small inits that containers begin with go on to start: tini, dumb-init and catatonit. Pure.

They change neither the environment nor the program that they are given. Sources: their own option parsers (tini.c,
dumb-init.c, catatonit.c). What begins otherwise may start anything.
"""

from __future__ import annotations

import posixpath
import re
from typing import Final, NamedTuple

_SIGNALS = (
    *(
        "HUP",
        "INT",
        "QUIT",
        "ILL",
        "TRAP",
        "ABRT",
        "BUS",
        "FPE",
        "KILL",
        "USR1",
        "SEGV",
        "USR2",
        "PIPE",
        "ALRM",
        "TERM",
    ),
    *("CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "SYS"),
)
# option -> the values that it takes: with another the init ends at once.
_VALUES: Final = {
    "e": re.compile(r"[0-9]|[1-9][0-9]|1[0-9][0-9]|2[0-4][0-9]|25[0-5]"),
    "p": re.compile(f"SIG({'|'.join(_SIGNALS)})"),
    "r": re.compile(r"([1-9]|[12][0-9]|3[01]):([0-9]|[12][0-9]|3[01])"),
    "-rewrite": re.compile(r"([1-9]|[12][0-9]|3[01]):([0-9]|[12][0-9]|3[01])"),
}
# init -> its options without a value, and those with one. Of long ones the value may follow "=".
_TINI: Final = (frozenset("svwg"), frozenset("pe"))
_INITS: Final = {
    "tini": _TINI,
    "tini-static": _TINI,
    "docker-init": _TINI,
    "dumb-init": (frozenset(("c", "v", "-single-child", "-verbose")), frozenset(("r", "-rewrite"))),
    "catatonit": (frozenset("g"), frozenset()),
}


def starts(argv: tuple[str, ...]) -> tuple[str, ...]:
    """Return what an init is told to start, with its arguments; nothing where it is none, or that is not known."""
    known = _INITS.get(posixpath.basename(argv[0]))
    if known is None:
        return ()
    flags, valued = known
    words = list(argv[1:])
    while words and words[0].startswith("-") and words[0] != "-":
        word = words.pop(0)
        if word == "--":
            break
        given = _long(word, valued) if word.startswith("--") else _short(word, flags, valued)
        if given is None or (given.name not in flags and given.name not in valued):
            return ()
        if given.name in valued:
            value = given.value or (words.pop(0) if words else "")
            if not _VALUES[given.name].fullmatch(value):
                return ()
        elif given.value:
            return ()
    return tuple(words)


class _Option(NamedTuple):
    """The last option of a word, and the value that stands behind it, "" for none."""

    name: str
    value: str


def _long(word: str, valued: frozenset[str]) -> _Option | None:
    name, equals, value = word[1:].partition("=")
    return None if equals and (name not in valued or not value) else _Option(name, value)


def _short(word: str, flags: frozenset[str], valued: frozenset[str]) -> _Option | None:
    """Return the last of letters that stand together; None where another is not known."""
    for at, letter in enumerate(word[1:], 1):
        if letter in valued:
            return _Option(letter, word[at + 1 :])
        if letter not in flags:
            return None
    return _Option(word[-1], "")
