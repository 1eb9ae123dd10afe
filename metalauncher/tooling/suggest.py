"""Guess what somebody meant who wrote something else. Pure."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_ALIKE = 0.66  # of 1; `ect` for `etc` has 0.67, `frob` for `root` 0.5


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """Return a question that names the candidate most like `word`; "" where none is like it.

    Args:
        word: as it was written; an option's value after `=` does not count.
        candidates: what could have been meant. Dashes before them count for nothing: `help` may mean `--help`.
    """
    bare = {candidate.lstrip("-").lower(): candidate for candidate in candidates}
    found = difflib.get_close_matches(word.partition("=")[0].lstrip("-").lower(), bare, 1, _ALIKE)
    return f"did you mean {bare[found[0]]}?" if found else ""
