r"""What TOML forbids and some launchers read all the same: put a sign in its place. Pure. Loaded only for such a file.

It must not know what a document means.

BurntSushi/toml 0.3.1, of lifecycle 0.9 to 0.11, writes control characters as they are, and reads them; it does not look
at the encoding either. Nothing is deleted: an API `0.\x014` has to stay malformed.
"""

from __future__ import annotations

from metalauncher.files import Unreadable
from metalauncher.toml import (
    BOM,
    BYTE_ORDER_MARK,
    CONTROL_CHARACTERS,
    INVALID_UTF_8,
    REPLACEMENT_CHARACTERS,
    parse_toml,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SIGN = "\ufffd"
# All but tab, LF and CR, which TOML allows, and NUL, at which that parser ends.
_CONTROLS = dict.fromkeys((*range(1, 9), 11, 12, *range(14, 32), 127), _SIGN)


def read_again(data: bytes) -> tuple[dict[str, Any], tuple[str, ...], str | None]:
    """Read what the parser or UTF-8 refused, with U+FFFD for whatever TOML forbids: once, and no further.

    Returns:
        The document, the oddities that the file holds, and why it is not TOML; None if it is after all.

    Raises:
        Unreadable: that, where it is not TOML either way.
    """
    try:
        return parse_toml(data), find_oddities(data), None
    except Unreadable as error:
        cleaned = clean(data)
        if cleaned is None:
            raise
        try:
            return parse_toml(cleaned[0].encode()), cleaned[1], error.detail
        except Unreadable:
            raise error from None


def clean(data: bytes) -> tuple[str, tuple[str, ...]] | None:
    """Return a file's text with U+FFFD for whatever TOML forbids, and the oddities it holds.

    None where it holds nothing of the kind: then it is something else that is wrong with it.
    """
    text = data.removeprefix(BOM).decode("utf-8", "replace")
    cleaned = text.translate(_CONTROLS)
    controls = cleaned != text
    invalid = not _is_utf_8(data)
    if not controls and not invalid:
        return None
    kinds = (CONTROL_CHARACTERS,) if controls else ()
    return cleaned, kinds + ((INVALID_UTF_8,) if invalid else ()) + find_oddities(data)


def find_oddities(data: bytes) -> tuple[str, ...]:
    """Return what a file holds that TOML allows and some launchers refuse."""
    found = (REPLACEMENT_CHARACTERS,) if _SIGN.encode() in data else ()
    return found + ((BYTE_ORDER_MARK,) if data.startswith(BOM) else ())


def _is_utf_8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
