"""Write JSON: all that metalauncher's reports need, without the standard library's `json` and what it imports."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Json = str | int | bool | None | Sequence["Json"] | Mapping[str, "Json"]

_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def dump(value: Json, indent: int | None = None, level: int = 0) -> str:
    """Return `value` as JSON in ASCII: on one line, or with `indent` spaces a level."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return '"' + "".join([_escape(c) for c in value]) + '"'
    if isinstance(value, int):
        return str(value)
    if isinstance(value, dict):
        items = [f"{dump(key)}: {dump(item, indent, level + 1)}" for key, item in value.items()]
        return _join("{", items, "}", indent, level)
    return _join("[", [dump(item, indent, level + 1) for item in value], "]", indent, level)


def _join(opening: str, items: list[str], closing: str, indent: int | None, level: int) -> str:
    if indent is None or not items:
        return opening + ", ".join(items) + closing
    pad = "\n" + " " * (indent * (level + 1))
    return opening + pad + ("," + pad).join(items) + "\n" + " " * (indent * level) + closing


def _escape(character: str) -> str:
    if " " <= character <= "~" and character not in '"\\':
        return character
    if character in _ESCAPES:
        return _ESCAPES[character]
    code = ord(character)
    if code < 0x10000:  # lone surrogates too: bytes that were not UTF-8
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
