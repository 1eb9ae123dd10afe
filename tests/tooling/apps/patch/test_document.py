"""JSON documents edited in place, held against a writer that knows where it wrote each value, and against json."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples

from metalauncher.tooling.apps.patch.document import DocumentError, Value, apply, parse

LIMIT = 1 << 20
Path = tuple[str | int, ...]

TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=12
)


class Writer:
    """Writes documents with blanks, escapes and numbers as they come, and notes where each value is."""

    def __init__(self, seed: int) -> None:
        """Begin an empty text."""
        self._random = random.Random(seed)
        self.text = ""
        self.spans: dict[Path, tuple[int, int]] = {}

    def write(self, value: Any, path: Path = ()) -> None:
        """Append a value."""
        begin = len(self.text)
        match value:
            case dict():
                self._between("{", "}", [(self._key(key), (*path, key), each) for key, each in value.items()])
            case list():
                self._between("[", "]", [("", (*path, number), each) for number, each in enumerate(value)])
            case str():
                self.text += self._string(value)
            case float():
                self.text += f"{value!r}".replace("e", self._random.choice("eE"))
            case _:
                self.text += json.dumps(value)
        self.spans[path] = begin, len(self.text)

    def _between(self, first: str, last: str, items: list[tuple[str, Path, Any]]) -> None:
        self.text += first
        for number, (key, path, value) in enumerate(items):
            self.text += ("," if number else "") + self._blank() + key + self._blank()
            self.write(value, path)
        self.text += self._blank() + last

    def _key(self, key: str) -> str:
        return self._string(key) + self._blank() + ":"

    def _blank(self) -> str:
        return "".join(self._random.choices(" \t\r\n", k=self._random.choice((0, 0, 0, 1, 3))))

    def _string(self, text: str) -> str:
        return '"' + "".join([self._character(each) for each in text]) + '"'

    def _character(self, character: str) -> str:
        escaped = json.dumps(character)[1:-1]
        if character >= " " and character not in '"\\' and self._random.random() < 0.7:
            return character
        if character == "/" or self._random.random() < 0.5:
            units = character.encode("utf-16-be")
            numbers = [int.from_bytes(units[at : at + 2], "big") for at in range(0, len(units), 2)]
            return "".join([self._random.choice(("\\u%04x", "\\u%04X")) % number for number in numbers])
        return escaped


def at(value: Value, path: Path) -> Value:
    """Return what is at a path."""
    for step in path:
        value = value.items()[step] if isinstance(step, int) else value.members(exact=True)[step]
    return value


def replaced(value: Any, path: Path, new: Any) -> Any:
    """Return a parsed document with another value at a path."""
    if not path:
        return new
    step, *rest = path
    if isinstance(value, list):
        return [replaced(each, tuple(rest), new) if number == step else each for number, each in enumerate(value)]
    return {key: replaced(each, tuple(rest), new) if key == step else each for key, each in value.items()}


@given(st.dictionaries(TEXTS, VALUES, min_size=1, max_size=4), st.integers(0, 2**32), VALUES, st.data())
@examples(1200)
def test_an_edit_changes_that_value_alone(document: dict[str, Any], seed: int, new: Any, data: st.DataObject) -> None:
    """Before the value and behind it every byte stays; json reads the old document with the new value."""
    writer = Writer(seed)
    writer.write(document)
    path = data.draw(st.sampled_from(sorted(writer.spans, key=repr)))
    start, end = writer.spans[path]
    written = writer.text.encode()
    found = at(parse(written, LIMIT), path)
    assert found.value == json.loads(writer.text[start:end])
    edited = apply(written, [found.replaced(new)])
    before, behind = writer.text[:start].encode(), writer.text[end:].encode()
    assert edited[: len(before)] == before
    assert edited[len(edited) - len(behind) :] == behind
    # In the same order, too.
    assert json.loads(edited, object_pairs_hook=list) == json.loads(
        json.dumps(replaced(document, path, new)), object_pairs_hook=list
    )


@given(st.dictionaries(TEXTS, VALUES, min_size=1, max_size=3), st.integers(0, 2**32), VALUES, TEXTS, st.data())
@examples(400)
def test_a_document_in_a_string_is_edited_the_same_way(
    inner: dict[str, Any], seed: int, new: Any, tail: str, data: st.DataObject
) -> None:
    """Of the string only that value's characters change, whatever escapes it is written with."""
    writer, outer = Writer(seed), Writer(seed + 1)
    writer.write(inner)
    path = data.draw(st.sampled_from(sorted(writer.spans, key=repr)))
    start, end = writer.spans[path]
    outer.write({"a": tail, "label": writer.text, "z": [tail]})
    begin, stop = outer.spans["label",]
    written = outer.text.encode()
    label = parse(written, LIMIT).need("label")
    edited = apply(written, [at(label.embedded(LIMIT), path).replaced(new)])
    assert json.loads(edited) == {
        "a": tail,
        "label": writer.text[:start] + json.dumps(new, separators=(",", ":")) + writer.text[end:],
        "z": [tail],
    }
    # Escapes and all: what the same writer wrote of the characters before the value, and of those behind it.
    assert edited.startswith(outer.text[:begin].encode())
    assert edited.endswith(outer.text[stop:].encode())
    text = edited.decode()
    assert len(text) - len(outer.text) == len(json.dumps(json.dumps(new, separators=(",", ":")))) - 2 - written_size(
        outer.text[begin:stop], start, end
    )


def written_size(literal: str, start: int, end: int) -> int:
    """Return in how many characters a part of a string is written, by decoding ever longer pieces of it."""
    places = [number for number in range(len(literal) - 1) if decodes(literal[1 : 1 + number])]
    sizes: dict[int, int] = {}
    for number in places:
        sizes.setdefault(len(json.loads(f'"{literal[1 : 1 + number]}"')), number)
    return sizes[end] - sizes[start]


def decodes(piece: str) -> bool:
    """Tell whether a piece of a string is whole characters."""
    try:
        found = json.loads(f'"{piece}"')
    except ValueError:
        return False
    return not any(["\ud800" <= character <= "\udfff" for character in found])


def test_several_at_once() -> None:
    """Edits may come in any order; two of one place are a mistake of ours."""
    document = b' {"a" : 1, "b":{"c":[1, 2 ,3]}} '
    value = parse(document, LIMIT)
    items = value.need("b", "c").items()
    edits = [items[2].replaced("x"), value.need("a").replaced(None), items[0].replaced([])]
    assert apply(document, edits) == b' {"a" : null, "b":{"c":[[], 2 ,"x"]}} '
    with pytest.raises(ValueError, match="Edit"):
        apply(document, [value.need("b").replaced(0), items[0].replaced(0)])


def test_keys_match_as_in_go() -> None:
    """Those of structs regardless of case, the Kelvin sign and the long s too; those of maps as they are."""
    value = parse('{"LABEL\u017f":{"a":1,"A":2},"\u212a":3}'.encode(), LIMIT)
    labels = value.need("labels")
    assert [labels.need(key, exact=True).value for key in ("a", "A")] == [1, 2]
    assert value.need("k").value == 3
    assert value.get("labels", "b", exact=True) is None
    with pytest.raises(DocumentError) as error:
        labels.get("a")
    assert (error.value.code, error.value.key) == ("repeated", "LABEL\u017f.A")


CASES: dict[str, tuple[bytes, str, str]] = {
    "not UTF-8": (b'{"a":"\xff"}', "not-utf-8", ""),
    "a surrogate in UTF-8": (b'{"a":"\xed\xa0\x80"}', "not-utf-8", ""),
    "a byte order mark": (b'\xef\xbb\xbf{"a":1}', "not-json", ""),
    "nothing": (b"", "not-json", ""),
    "more behind it": (b'{"a":1}{}', "not-json", ""),
    "cut off": (b'{"a":[1', "not-json", ""),
    "a string that does not end": (b'{"a":"' + b'\\"' * 300_000, "not-json", ""),
    "a control character": (b'{"a":"\n"}', "not-json", ""),
    "not a number": (b'{"a":NaN}', "not-json", ""),
    "a number that is too long": (b'{"a":' + b"1" * 4001 + b"}", "not-json", ""),
    "a number with a zero before": (b'{"a":01}', "not-json", ""),
    "another blank": ('{"a":\u00a01}'.encode(), "not-json", ""),
    "no object": (b"[1]", "type", ""),
    "null": (b"null", "type", ""),
    "too deep": (b'{"a":' + b"[" * 200 + b"]" * 200 + b"}", "too-deep", ""),
    "far too deep": (b"[" * 900_000, "too-deep", ""),
    "too large": (b'{"a":"' + b"x" * LIMIT + b'"}', "too-large", ""),
    "a key twice": (b'{"a":1,"b":2,"a":3}', "repeated", "a"),
    "a key twice, once with an escape": (b'{"a":1,"\\u0061":3}', "repeated", "a"),
    "a key twice, deep in what nobody looks at": (b'{"a":[{"b":{"c":1,"c":2}}]}', "repeated", "c"),
    "keys that Go mends to one": (b'{"\\ud800":1,"\\ufffd":2}', "repeated", "\ufffd"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_refused(case: str) -> None:
    """Whatever could be read in two ways, or in none."""
    document, code, key = CASES[case]
    with pytest.raises(DocumentError) as error:
        parse(document, LIMIT)
    assert (error.value.code, error.value.key) == (code, key)


def test_what_is_not_refused() -> None:
    """Deep is not too deep; brackets in strings are none; what is large is not too large."""
    document = b'{"a":' + b"[" * 199 + b"]" * 199 + b',"b":"' + b'[{\\"' * 1000 + b'"}'
    assert apply(document, [parse(document, len(document)).need("b").replaced(1)]) == document[:404] + b'"b":1}'


STEPS: dict[str, tuple[bytes, tuple[str, ...], str, str]] = {
    "no such key": (b'{"a":{}}', ("a", "b"), "missing", "a.b"),
    "null": (b'{"a":{"b":null}}', ("a", "b"), "missing", "a.b"),
    "null on the way": (b'{"a":null}', ("a", "b"), "missing", "a.b"),
    "no object on the way": (b'{"a":[{"b":1}]}', ("a", "b"), "type", "a"),
    "twice in another case": (b'{"a":{"b":1,"B":2}}', ("a", "b"), "repeated", "a.B"),
    "twice in another case on the way": (b'{"A":{"b":1},"a":{"b":2}}', ("a", "b"), "repeated", "a"),
}


@pytest.mark.parametrize("case", STEPS)
def test_a_path_that_leads_nowhere(case: str) -> None:
    """The error says which value it is about."""
    document, keys, code, key = STEPS[case]
    with pytest.raises(DocumentError) as error:
        parse(document, LIMIT).need(*keys)
    assert (error.value.code, error.value.key) == (code, key)


def test_other_types() -> None:
    """A list, a string and a document in one are asked for by name."""
    value = parse(b'{"a":5,"b":"{","c":"[]"}', LIMIT)
    for act, code, key in (
        (value.need("a").items, "type", "a"),
        (lambda: value.need("a").text, "type", "a"),
        (lambda: value.need("a").embedded(9), "type", "a"),
        (lambda: value.need("b").embedded(9), "not-json", "b"),
        (lambda: value.need("c").embedded(9), "type", "c"),
        (lambda: value.need("c").embedded(1), "too-large", "c"),
    ):
        with pytest.raises(DocumentError) as error:
            act()
        assert (error.value.code, error.value.key) == (code, key)
