"""What the small inits that containers begin with go on to start: tini, dumb-init and catatonit. Pure.

They are known by their names. Whether a program is what it is called does not show in it: every distribution builds its
own. What follows from it rests on that, `INIT_BY_NAME`.

They change neither the environment nor the program that they are given. Sources: their own option parsers (tini.c,
dumb-init.c, catatonit.c). What begins otherwise may start anything.
"""

from __future__ import annotations

import posixpath
import re
from typing import Final

INIT_BY_NAME: Final = "init-by-name"
# tini.c's table, and a status; a pair of signals. With other values they start nothing.
_SIGNAL: Final = re.compile(
    "SIG(HUP|INT|QUIT|ILL|TRAP|ABRT|BUS|FPE|KILL|USR1|SEGV|USR2|PIPE|ALRM|TERM|CHLD|CONT|STOP|TSTP|TTIN|TTOU|URG|XCPU"
    "|XFSZ|VTALRM|PROF|WINCH|SYS)"
)
_STATUS: Final = re.compile("[0-9]{1,2}|1[0-9][0-9]|2[0-4][0-9]|25[0-5]")
_PAIR: Final = re.compile("([1-9]|[12][0-9]|3[01]):([0-9]|[12][0-9]|3[01])")
# init -> its options without a value, and those with one and what that may be. Of long ones the value may follow "=".
_TINI: Final = (frozenset("svwg"), {"p": _SIGNAL, "e": _STATUS})
_INITS: Final[dict[str, tuple[frozenset[str], dict[str, re.Pattern[str]]]]] = {
    "tini": _TINI,
    "tini-static": _TINI,
    "docker-init": _TINI,
    "dumb-init": (frozenset(("c", "v", "-single-child", "-verbose")), {"r": _PAIR, "-rewrite": _PAIR}),
    "catatonit": (frozenset("g"), {}),
}
# The others take what stands behind the program for an option as well, where they are built with glibc.
_IN_ORDER = "dumb-init"


def starts(argv: tuple[str, ...]) -> tuple[str, ...]:
    """Return what an init is told to start, with its arguments; nothing where it is none, or that is not known."""
    init = posixpath.basename(argv[0])
    known = _INITS.get(init)
    if known is None:
        return ()
    flags, valued = known
    words = list(argv[1:])
    while words and _is_option(words[0]):
        word = words.pop(0)
        if word == "--":
            return tuple(words)
        option, value = _split(word[1:], flags)
        if option in flags and value is None:
            continue
        if option not in valued:
            return ()
        if value is None:
            value = words.pop(0) if words else ""
        if not valued[option].fullmatch(value):
            return ()
    if init != _IN_ORDER and any(map(_is_option, words)):
        return ()
    return tuple(words)


def _is_option(word: str) -> bool:
    return word.startswith("-") and word != "-"


def _split(word: str, flags: frozenset[str]) -> tuple[str, str | None]:
    """Return the option that a word ends in, behind short ones without a value, and the value in the word, if any."""
    if word.startswith("-"):
        name, equals, value = word.partition("=")
        return name, value if equals else None
    rest = word.lstrip("".join([flag for flag in flags if len(flag) == 1]))
    return (rest[0], rest[1:] or None) if rest else (word[-1], None)
