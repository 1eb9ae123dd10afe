"""What of an image's config runtimes take differently, or no kernel takes. Pure.

Sources: execve(2), "Limits on size of arguments and environment"; runc and umoci, which refuse variables without "=".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_WORD_LIMIT: Final = (128 << 10) - 1  # bytes of one argument or variable where pages have 4 KiB
_WORDS_LIMIT: Final = 1 << 20  # bytes of all; Linux takes a quarter of the stack's limit, as a rule 2 MiB


def odd_start(argv: Sequence[bytes], environ: Sequence[bytes], others: Sequence[bytes]) -> str:
    """Say why not every runtime starts an image with this config; "" where nothing speaks against it.

    Args:
        argv: its program and arguments.
        environ: its variables, `NAME=VALUE`.
        others: what else goes to the kernel as text.
    """
    if any([b"\0" in text for text in (*argv, *environ, *others)]):
        return "its config has a NUL, which some runtimes refuse and some take for the end"
    if any([entry.find(b"=") < 1 for entry in environ]):
        return "its config has a variable without a name or a value, which not every runtime takes"
    words = (*argv, *environ)
    if max([len(word) for word in words], default=0) > _WORD_LIMIT or sum(map(len, words)) > _WORDS_LIMIT:
        return "its config has more arguments and variables than every kernel takes"
    return ""
