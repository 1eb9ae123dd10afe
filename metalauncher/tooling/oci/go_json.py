"""Decode JSON as Go's encoding/json decodes it into the image specification's structs.

All that unpack and run images are written in Go: keys match regardless of case, what occurs twice is taken once, or
merged, and broken texts are mended. Where Go merges, nobody should have to know what comes out: that is refused.
Sources: encoding/json of Go 1.26 (decode.go, fold.go); image-spec 1.1, specs-go/v1.

On purpose otherwise, and always a refusal: nesting of more than about 1,000 (Go: 10,000), numbers of more than 4,000
digits, a document that is `null`.
"""

from __future__ import annotations

import codecs
import json
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    # What a struct's field is: "text", "texts" (a list), "number", "flag", "time", "map" (of texts), "sets" (a map
    # of nothing), a struct, or a list of structs. With a `?` in front: whoever asks for it looks at its type, whatever
    # it is; of "?map" and "?list", a list of texts, not at those of what is in it.
    Shape = str | Mapping[str, "Shape"] | list[Mapping[str, "Shape"]]

_PLATFORM: Final[dict[str, Shape]] = {
    **dict.fromkeys(("architecture", "os", "os.version", "variant"), "text"),
    "os.features": "texts",
}
_DESCRIPTOR: Final[dict[str, Shape]] = {
    **dict.fromkeys(("mediaType", "digest"), "?text"),
    "size": "?number",
    "urls": "?list",
    "annotations": "?map",
    "artifactType": "text",
    "platform": _PLATFORM,
}
MANIFEST: Final[dict[str, Shape]] = {  # and an index
    "schemaVersion": "number",
    "mediaType": "text",
    "artifactType": "text",
    "annotations": "map",
    "config": _DESCRIPTOR,
    "layers": [_DESCRIPTOR],
    "subject": _DESCRIPTOR,
    "manifests": [_DESCRIPTOR],
}
CONFIG: Final[dict[str, Shape]] = {
    **_PLATFORM,
    "created": "time",
    "author": "text",
    "config": {
        **dict.fromkeys(("User", "WorkingDir", "StopSignal"), "text"),
        "Env": "?texts",
        "Entrypoint": "?texts",
        "Cmd": "?texts",
        "Labels": "?map",
        "ArgsEscaped": "flag",
        **dict.fromkeys(("ExposedPorts", "Volumes"), "sets"),
    },
    "rootfs": {"type": "text", "diff_ids": "?texts"},
    "history": [
        {**dict.fromkeys(("created_by", "author", "comment"), "text"), "created": "time", "empty_layer": "flag"},
    ],
}
LAYOUT: Final[dict[str, Shape]] = {"imageLayoutVersion": "?text"}

_SCALARS: Final = ("text", "?text", "number", "?number", "flag", "time")
_DIGITS_LIMIT = 4000  # Python's own is 4,300
# Of the letters that are not ASCII two fold to one that is: the Kelvin sign and the long s.
_FOLDED = {**{ord(letter): letter.lower() for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}, 0x212A: "k", 0x17F: "s"}
_LONE = re.compile("[\ud800-\udfff]")
_ESCAPED = re.compile(r"\\u[dD][89a-fA-F]")
_TIME = re.compile(
    r"(?!0000-00)\d{4}-(?P<month>0[1-9]|1[0-2])-(?P<day>0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d"
    r"(?:\.\d+)?(?:Z|[+-]([01]\d|2[0-3]):[0-5]\d)",
    re.ASCII,
)


class NotJsonError(Exception):
    """It is no JSON that Go takes; the text says where, as far as that is known."""


class MergedError(Exception):
    """A key occurs twice where Go merges what is there; the text is the key."""


class _Repeated(dict[str, Any]):
    """An object in which a key occurs twice."""

    pairs: list[tuple[str, Any]]


def _go_utf_8(error: Any) -> tuple[str, int]:
    """Replace one byte at a time, as Go does; Python's own handler takes several for one."""
    return "\ufffd", error.start + 1


codecs.register_error("metalauncher-go", _go_utf_8)


def decode(data: bytes, shape: Mapping[str, Shape]) -> Any:
    """Return a document, in which the keys of the shape are spelled as there; others stay as they are.

    Args:
        data: the document.
        shape: of the struct that Go decodes it into.

    Raises:
        NotJsonError: Go refuses it.
        MergedError: Go merges something that occurs twice.
    """
    text = data.decode("utf-8", "metalauncher-go")
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant, parse_int=_integer)
        if _ESCAPED.search(text):
            value = _mended(value)
        return _struct(value, shape) if isinstance(value, dict) else value
    except (ValueError, RecursionError):
        raise NotJsonError("") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    repeated = _Repeated(found)
    repeated.pairs = pairs
    return repeated


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _integer(digits: str) -> int:
    if len(digits) > _DIGITS_LIMIT:
        raise ValueError(digits[:9])
    return int(digits)


def _mended(value: Any) -> Any:
    """Replace halves of surrogate pairs."""
    if isinstance(value, str):
        return _LONE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_mended(item) for item in value]
    if isinstance(value, dict):
        return _object([(_LONE.sub("\ufffd", key), _mended(item)) for key, item in _pairs(value)])
    return value


def _pairs(value: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    return value.pairs if isinstance(value, _Repeated) else value.items()


def fold(key: str) -> str:
    """Return what a key is matched by, of keys of which one is ASCII: Go compares them regardless of case."""
    return key.translate(_FOLDED)


def _struct(value: dict[str, Any], shape: Mapping[str, Shape]) -> dict[str, Any]:
    names: dict[str, str] = {}
    found: dict[str, Any] = {}
    seen: set[str] = set()
    for key, item in _pairs(value):
        name: str | None = key
        if key not in shape:  # nearly all keys are spelled as there
            names = names or {fold(name): name for name in shape}
            name = names.get(fold(key))
        if name is None:
            found[key] = item
            continue
        kind = shape[name]
        if name in seen:
            _refuse_merged(name, kind, item, found.get(name))
            if item is None and kind in _SCALARS:
                continue  # as if it were not there
        seen.add(name)
        found[name] = _field(item, kind, name)
    return found


def _refuse_merged(name: str, kind: Shape, item: Any, before: Any) -> None:
    """Let only what replaces what was there occur again: scalars, and lists of them without holes."""
    if not isinstance(kind, str):
        raise MergedError(name)
    texts = kind in {"texts", "?texts", "?list"}
    if kind in _SCALARS:
        right = not isinstance(item, (dict, list))
    elif texts:
        right = item is None or (isinstance(item, list) and all([isinstance(each, str) for each in item]))
    else:
        right = False
    # What is of a wrong type makes Go refuse all, though the next is right: whoever looks at it sees but the last.
    sound = before is None or _is(before, "texts" if texts else kind.removeprefix("?"))
    if not right or not sound:
        raise MergedError(name)


def _field(item: Any, kind: Shape, name: str) -> Any:
    if item is None:
        return None
    if isinstance(kind, list):
        if not isinstance(item, list):
            raise NotJsonError(name)
        return [_field(each, kind[0], name) for each in item]
    if not isinstance(kind, str):
        if not isinstance(item, dict):
            raise NotJsonError(name)
        return _struct(item, kind)
    if kind.endswith(("texts", "list")) and isinstance(item, list):
        item = ["" if each is None else each for each in item]
    inside = (kind == "?map" and isinstance(item, dict)) or (kind == "?list" and isinstance(item, list))
    if (inside or not kind.startswith("?")) and not _is(item, kind):
        raise NotJsonError(name)
    if kind.endswith("map") and isinstance(item, dict):
        return {key: "" if each is None else each for key, each in item.items()}
    return item


def _is(item: Any, kind: str) -> bool:  # noqa: PLR0911  # one return for each kind of value
    """Tell whether Go takes a value for a field."""
    match kind:
        case "text":
            return isinstance(item, str)
        case "texts" | "?list":
            return isinstance(item, list) and all([isinstance(each, str) for each in item])
        case "number":
            return isinstance(item, int) and not isinstance(item, bool) and -(1 << 63) <= item < 1 << 63
        case "flag":
            return isinstance(item, bool)
        case "time":
            return isinstance(item, str) and _is_time(item)
        case "map" | "?map":
            return isinstance(item, dict) and all([each is None or isinstance(each, str) for _, each in _pairs(item)])
        case _:
            return isinstance(item, dict) and all([each is None or isinstance(each, dict) for _, each in _pairs(item)])


def _is_time(text: str) -> bool:
    found = _TIME.fullmatch(text)
    if found is None:
        return False
    year, month, day = int(text[:4]), int(found["month"]), int(found["day"])
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return day <= {2: 29 if leap else 28, 4: 30, 6: 30, 9: 30, 11: 30}.get(month, 31)
