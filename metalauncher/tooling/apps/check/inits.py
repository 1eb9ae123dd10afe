"""What the small inits that containers begin with go on to start: tini, dumb-init and catatonit. Pure.

They change neither the environment nor the program that they are given. Sources: their own option parsers (tini.c,
dumb-init.c, catatonit.c). What begins otherwise may start anything.
"""

from __future__ import annotations

import posixpath
from typing import Final

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
        if word.startswith("--"):
            name, equals, _ = word[1:].partition("=")
            if name in valued:
                words = words if equals else words[1:]
            elif name not in flags or equals:
                return ()
            continue
        for at, letter in enumerate(word[1:], 1):
            if letter in valued:
                words = words if word[at + 1 :] else words[1:]
                break
            if letter not in flags:
                return ()
    return tuple(words)
