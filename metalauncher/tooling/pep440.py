"""Versions and ranges of versions, as `packaging` judges them, within what metalauncher takes for a version."""

from __future__ import annotations

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from metalauncher.versions import LENGTH_LIMIT


def parse_version(text: str) -> Version:
    r"""Return a version.

    It becomes part of a path, so what packaging would overlook is refused: white space around it, more than 128
    characters, and what releases of packaging before 26 take for an ASCII letter, such as the long s in `1.po\u017ft1`.

    Raises:
        ValueError: it is none.
    """
    if len(text) <= LENGTH_LIMIT and text.isascii() and text == text.strip():
        try:
            return Version(text)
        except InvalidVersion:
            pass
    raise ValueError(f"{text!r} is not a PEP 440 version")


def matching(text: str, versions: list[str]) -> list[str]:
    """Return those of `versions` that `text` means, in their order.

    Args:
        text: a version means that one, however it is spelled, and no rebuild of it (`1.0` is not `1.0+vendor.1`); a
            range means all it admits, pre-releases among them.
        versions: those of valid descriptors.

    Raises:
        ValueError: it is neither a version nor a range of PEP 440.
    """
    if text.lstrip()[:1] not in set("~=!<>"):
        wanted = parse_version(text)
        return [version for version in versions if parse_version(version) == wanted]
    try:
        if "===" in text:  # compares spellings, and is no part of a pin either
            raise InvalidSpecifier
        return list(SpecifierSet(text).filter(versions, prereleases=True))
    except InvalidSpecifier:
        raise ValueError(f"{text!r} is neither a version nor a range of PEP 440") from None
