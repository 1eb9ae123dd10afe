"""Launcher versions in PEP 440's order. Must not know launchers or ranges.

Written out here because every dispatch compares versions, and a pin may have a range. Measured with packaging 26.3,
imported only where it is needed: a version that is more than dotted integers costs the zipapp 1.2 to 1.3 times its
start, a range twice its start; and what judges ranges takes along `subprocess`, `threading`, `logging` and `platform`,
whose C modules the static executable does not have. Ranges are built on the keys below, so both stay. A property test
holds both modules, this and pins.py, against `packaging` over all versions and ranges; commands use that itself
(tooling/pep440.py).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    # epoch, release without trailing zeros, pre, post, dev, local: compares as PEP 440 orders versions.
    VersionKey = tuple[
        int, tuple[int, ...], tuple[int, str, int], int, tuple[int, int], tuple[tuple[int, int, str], ...]
    ]

FINAL = (1, "", 0)  # after any pre-release, which is (0, letter, number)
DEV_ONLY = (-1, "", 0)  # before any pre-release
NO_POST = -1
NO_DEV = (1, 0)  # after any dev release, which is (0, number)

LENGTH_LIMIT = 128  # characters; the version is part of a path
_SEPARATORS = ("-", "_", ".")
_PRE = {"alpha": "a", "beta": "b", "preview": "rc", "pre": "rc", "rc": "rc", "a": "a", "b": "b", "c": "rc"}
_POST = {"post": "", "rev": "", "r": ""}
_DEV = {"dev": ""}


def version_key(text: str) -> VersionKey:
    """Return what orders version `text` among others.

    Source: PEP 440, appendix B (the grammar) and "Summary of permitted suffixes and relative ordering".

    Raises:
        ValueError: it is not a PEP 440 version, or has white space around it or more than 128 characters.
    """
    key = _parse(text) if len(text) <= LENGTH_LIMIT and text.isascii() else None
    if key is None:
        raise ValueError(f"{text!r} is not a PEP 440 version")
    return key


def _parse(text: str) -> VersionKey | None:
    public, plus, local = text.lower().partition("+")
    epoch, bang, rest = public.removeprefix("v").partition("!")
    if not bang:
        epoch, rest = "0", epoch
    release, rest = _release(rest)
    letter, pre, rest = _suffix(rest, _PRE)
    if rest[:1] == "-" and rest[1:2].isdigit():  # 1.0-1 is 1.0.post1
        digits = _digits(rest[1:])
        post, rest = int(digits), rest[1 + len(digits) :]
    else:
        _, post, rest = _suffix(rest, _POST)
    _, dev, rest = _suffix(rest, _DEV)
    segments = local.replace("-", ".").replace("_", ".").split(".") if plus else []
    if rest or not release or not epoch.isdigit() or not all([segment.isalnum() for segment in segments]):
        return None
    pre_key = (0, letter, pre)
    if pre == NO_POST:
        pre_key = DEV_ONLY if post == NO_POST and dev != NO_POST else FINAL
    # Numbers go above words, each among its own kind, and a longer one after its own beginning.
    local_key = tuple([(1, int(part), "") if part.isdigit() else (0, 0, part) for part in segments])
    return int(epoch), release, pre_key, post, NO_DEV if dev == NO_POST else (0, dev), local_key


def _release(text: str) -> tuple[tuple[int, ...], str]:
    """Take `N(.N)*` from the front; return it without trailing zeros, and the rest. Empty if there is none."""
    numbers: list[int] = []
    while digits := _digits(text):
        numbers.append(int(digits))
        text = text[len(digits) :]
        if text[:1] != "." or not text[1:2].isdigit():
            break
        text = text[1:]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers), text


def _suffix(text: str, words: dict[str, str]) -> tuple[str, int, str]:
    """Take `[-_.]?WORD[-_.]?N?` from the front.

    Returns:
        The word's normal form, N (0 if it is left out, -1 if there is no such suffix), and the rest.
    """
    body = text[1:] if text.startswith(_SEPARATORS) else text
    for word, normal in words.items():
        if body.startswith(word):
            body = body[len(word) :]
            body = body[1:] if body.startswith(_SEPARATORS) else body
            digits = _digits(body)
            return normal, int(digits or "0"), body[len(digits) :]
    return "", NO_POST, text


def _digits(text: str) -> str:
    return text[: len(text) - len(text.lstrip("0123456789"))]
