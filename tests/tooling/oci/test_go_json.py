"""Documents of images as Go's encoding/json decodes them into image-spec's structs, held against it."""

from __future__ import annotations

import json
import random
from functools import cache
from pathlib import Path
from typing import Any

import goreaders
import pytest

from metalauncher.tooling.oci.go_json import CONFIG, MANIFEST
from metalauncher.tooling.oci.model import VALUES_LIMIT, ImageError, parse_json, to_json

_SHAPES = {"m": MANIFEST, "i": MANIFEST, "c": CONFIG}
_OMITTED: tuple[Any, ...] = ({}, [], "", None, False)
_DIGEST = "sha256:" + "ab" * 32
_DESCRIPTOR = {"mediaType": "a/b", "digest": _DIGEST, "size": 5, "platform": {"os": "linux", "architecture": "amd64"}}
_SOUND: dict[str, Any] = {
    "m": {"schemaVersion": 2, "mediaType": "m", "config": _DESCRIPTOR, "layers": [_DESCRIPTOR, _DESCRIPTOR]},
    "i": {"schemaVersion": 2, "manifests": [_DESCRIPTOR], "annotations": {"a": "b", "A": "c"}},
    "c": {
        "created": "2024-02-29T01:02:03.5Z",
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "User": "1000",
            "Env": ["A=1", "B=2"],
            "Entrypoint": ["/cnb/process/web"],
            "Cmd": ["x"],
            "WorkingDir": "/workspace",
            "Labels": {"a": "b", "A": "c", "x": ""},
            "Volumes": {"/data": {}},
        },
        "rootfs": {"type": "layers", "diff_ids": [_DIGEST, _DIGEST]},
        "history": [{"created_by": "one"}, {"created_by": "two", "empty_layer": True}],
    },
}


@cache
def program() -> Path:
    """Return the program that decodes with Go."""
    return goreaders.build("json")


def bare(value: Any) -> Any:
    """Return a document without what Go leaves out where it writes one: to Go, what is empty is not there."""
    if isinstance(value, dict):
        items = {key: bare(item) for key, item in value.items()}
        return {key: item for key, item in items.items() if item not in _OMITTED or item is True}
    return [bare(item) for item in value] if isinstance(value, list) else value


def known(value: Any, shape: Any) -> Any:
    """Return the fields that Go's structs have, as they are written."""
    if isinstance(shape, list):
        return [known(item if item is not None else {}, shape[0]) for item in value or []]
    if not isinstance(shape, dict):
        return sorted(value or {}) if shape == "sets" else value
    return {key: known(value[key], kind) for key, kind in shape.items() if value and key in value}


def difference(document: bytes, theirs: dict[str, Any]) -> str:
    """Return how a document is decoded otherwise than by Go; "" where it is not, or where it is refused."""
    kind = chr(document[0])
    shape = _SHAPES[kind]
    try:
        ours = parse_json(document[1:], "it", shape)
    except ImageError as error:
        whole = error.kind == "unsupported" or theirs["error"] or document[1:].strip() == b"null"
        return "" if whole else f"refused: {error}"
    if theirs["error"]:
        # What whoever asks for it looks at, as `?` in the shape says.
        return "" if _looked_at(ours, shape) else f"Go refuses it: {theirs['error']}"
    mine, other = bare(known(ours, shape)), bare(known(theirs["value"], shape))
    # Times are written in Go's own way.
    return "" if _timeless(mine) == _timeless(other) else f"{mine}\n  Go: {other}"


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(item) for key, item in value.items() if key != "created" and item not in (0, {})}
    return [_timeless(item) for item in value] if isinstance(value, list) else value


def _looked_at(value: Any, shape: Any) -> bool:
    """Tell whether a field is of a wrong type that its reader refuses."""
    if isinstance(shape, list):
        return any([_looked_at(item, shape[0]) for item in value or []])
    if isinstance(shape, dict):
        return any([_looked_at((value or {}).get(key), kind) for key, kind in shape.items()])
    right: Any = {"?text": str, "?number": int, "?texts": list, "?list": list, "?map": dict}.get(shape)
    if value is None or right is None:
        return False
    if not isinstance(value, right) or isinstance(value, bool):
        return True
    if shape == "?number":
        return bool(not -(1 << 63) <= value < 1 << 63)
    return bool(shape == "?texts" and not all([isinstance(each, str) for each in value]))


CASES: dict[str, tuple[str, Any]] = {
    # document -> a value that is to be found, as path and value; or the reason of a refusal
    '{"config": {"ENV": ["A=1"]}}': ("config.Env", ["A=1"]),
    '{"config": {"Env": ["A=1"], "env": ["B=2"]}}': ("config.Env", ["B=2"]),
    '{"config": {"env": ["B=2"], "Env": null}}': ("config.Env", None),
    '{"config": {"Env": [null, "B=2"]}}': ("config.Env", ["", "B=2"]),
    '{"config": {"User": "a", "USER": "b", "u\u017fer": "c"}}': ("config.User", "c"),
    '{"config": {"User": "a", "USER": null}}': ("config.User", "a"),
    '{"config": {"WorKingDir": "/k"}}': ("config.WorkingDir", "/k"),
    '{"config": {"Labels": {"a": "1", "A": "2", "a": "3", "n": null}}}': (
        "config.Labels",
        {"a": "3", "A": "2", "n": ""},
    ),
    '{"config": {"User": "\\ud800x"}}': ("config.User", "\ufffdx"),
    '{"config": {"User": "\\ud83d\\ude00"}}': ("config.User", "\U0001f600"),
    '{"OS": "linux", "other": {"os": 1}}': ("os", "linux"),
    '{"config": {}, "Config": {}}': (
        "",
        "it has 'config' twice, in whatever case: programs differ in how they merge them",
    ),
    '{"config": {"Labels": {}, "labels": {}}}': (
        "",
        "it has 'Labels' twice, in whatever case: programs differ in how they merge them",
    ),
    '{"config": {"Env": ["a"], "env": [null]}}': (
        "",
        "it has 'Env' twice, in whatever case: programs differ in how they merge them",
    ),
    '{"history": [], "History": []}': (
        "",
        "it has 'history' twice, in whatever case: programs differ in how they merge them",
    ),
    '{"config": {"User": 1}}': ("", "it has a 'User' of a wrong type"),
    '{"config": {"Labels": {"a": 1}}}': ("", "it has a 'Labels' of a wrong type"),
    '{"config": []}': ("", "it has a 'config' of a wrong type"),
    '{"history": {}}': ("", "it has a 'history' of a wrong type"),
    '{"history": [""]}': ("", "it has a 'history' of a wrong type"),
    '{"created": "2023-02-29T00:00:00Z"}': ("", "it has a 'created' of a wrong type"),
    '{"config": {}} x': ("", "it is not JSON"),
    '\ufeff{"config": {}}': ("", "it is not JSON"),
    '{"a": NaN}': ("", "it is not JSON"),
    '{"a": ' + "1" * 5000 + "}": ("", "it is not JSON"),
    '{"a": "\t"}': ("", "it is not JSON"),
}


@pytest.mark.parametrize("document", CASES, ids=lambda text: text[:60])
def test_case(document: str) -> None:
    """Each is decoded as by Go, or refused."""
    path, expected = CASES[document]
    data = b"c" + document.encode("utf-8", "surrogatepass")
    assert difference(data, goreaders.ask(program(), [data])[0]) in {"", "refused: it is not JSON"}
    if not path:
        with pytest.raises(ImageError) as caught:
            parse_json(data[1:], "it", CONFIG)
        assert (caught.value.kind, caught.value.reason) == (
            "unsupported" if "twice" in expected else "damaged",
            expected,
        )
        return
    value: Any = parse_json(data[1:], "it", CONFIG)
    for part in path.split("."):
        value = value[part]
    assert value == expected


def test_broken_utf_8() -> None:
    """Each byte that is no UTF-8 becomes a character of its own."""
    data = b'c{"config": {"User": "\xe2\x82\xed\xa0\x80\xff\xc3\xa9"}}'
    assert difference(data, goreaders.ask(program(), [data])[0]) == ""
    assert parse_json(data[1:], "it", CONFIG)["config"]["User"] == "\ufffd" * 6 + "é"


_VALUES = [
    *('""', '"x"', "0", "1", "-1", "1.5", "1e3", "9223372036854775808", "true", "false", "null", "[]", "{}", "[null]"),
    *(
        '["x"]',
        '["x", null]',
        "[1]",
        '{"a": "b"}',
        '{"a": null}',
        '{"a": 1}',
        '{"a": {}}',
        '"\\ud800"',
        '"\\u212a"',
        "[{}]",
    ),
    *(
        '"2024-01-01T00:00:00Z"',
        '"2024-01-01"',
        '[{"size": 1}]',
        '"\\ud83d\\ude00"',
        "01",
        "nul",
        '"\\x"',
        "[1,]",
        "-0",
        "+1",
    ),
]


class Documents:
    """Documents by chance: sound ones, with keys in other cases, again, and with other values."""

    def __init__(self, seed: int) -> None:
        """Begin."""
        self.random = random.Random(seed)

    def document(self) -> bytes:
        """Return one, behind the letter that says what it is."""
        kind = self.random.choice("mic")
        data = (kind + self._write(_SOUND[kind])).encode("utf-8", "surrogatepass")
        if self.random.random() < 0.15:
            at = self.random.randrange(1, len(data))
            data = (
                data[:at]
                + self.random.choice((b"\xff", b"\xe2\x82", b"", b"\0", b'"', b"\\", b" ", b"{", b"\xef\xbb\xbf"))
                + data[at:]
            )
        return data

    def _write(self, value: Any) -> str:
        chance = self.random
        if isinstance(value, list):
            return f"[{', '.join([self._write(item) for item in value])}]"
        if not isinstance(value, dict):
            return chance.choice(_VALUES) if chance.random() < 0.02 else json.dumps(value)
        pairs = [
            (self._key(key), self._write(item) if chance.random() > 0.03 else chance.choice(_VALUES))
            for key, item in value.items()
        ]
        if pairs and chance.random() < 0.15:
            key, text = chance.choice(pairs)
            pairs.insert(
                chance.randrange(len(pairs) + 1),
                (self._key(key), text if chance.random() < 0.5 else chance.choice(_VALUES)),
            )
        return "{" + ", ".join([f"{json.dumps(key, ensure_ascii=False)}: {text}" for key, text in pairs]) + "}"

    def _key(self, key: str) -> str:
        chance = self.random
        match chance.randrange(12):
            case 0:
                return key.upper()
            case 1:
                return key.replace("s", "\u017f").replace("k", "\u212a")
            case 2:
                return "".join([chance.choice((letter.upper(), letter.lower())) for letter in key])
            case _:
                return key


@pytest.mark.parametrize(("first", "count"), [(0, 300), pytest.param(300, 20_000, marks=pytest.mark.thorough)])
def test_search(first: int, count: int) -> None:
    """Documents by chance are decoded as by Go, or refused where Go refuses, or merges."""
    documents = [Documents(seed).document() for seed in range(first, first + count)]
    answers = goreaders.ask(program(), documents)
    found = [(data, difference(data, theirs)) for data, theirs in zip(documents, answers, strict=True)]
    assert [each for each in found if each[1]] == []
    assert 0.1 < sum([bool(theirs["error"]) for theirs in answers]) / count < 0.9


@pytest.mark.parametrize("value", ["[]", "{}", "0", '{"":0}'])
def test_no_more_than_memory_holds(value: str) -> None:
    """Many small values take far more memory than their text: they are counted before they are parsed."""
    number = VALUES_LIMIT - 2
    few = f'{{"x":[{",".join(["0"] * number)}]}}'.encode()
    assert len(parse_json(few, "the config", CONFIG)["x"]) == number
    with pytest.raises(ImageError) as caught:
        parse_json(f'{{"x":[{",".join([value] * VALUES_LIMIT)}]}}'.encode(), "the config", CONFIG)
    reason = f"the config has more than {VALUES_LIMIT} brackets, braces and commas"
    assert (caught.value.kind, caught.value.reason) == ("too-large", reason)


def test_written_again() -> None:
    """What was read is written as JSON, or not at all: a number that no double holds would not be."""
    document = parse_json('{"ä": [1.5, 12345678901234567890, null, true]}'.encode(), "it")
    assert to_json(document) == '{"ä":[1.5,12345678901234567890,null,true]}'.encode()
    with pytest.raises(ImageError, match=r"^has a number too large for a double: it can't be written again$"):
        to_json(parse_json(b'{"x": 1e400}', "it"))
