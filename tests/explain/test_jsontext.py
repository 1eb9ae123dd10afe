"""jsontext.py: what it writes is the JSON that the standard library reads back."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from metalauncher.explain.jsontext import dump

texts = st.text(st.characters(codec=None, exclude_categories=())) | st.sampled_from(
    ["\udcff", "😀", "\x7f", "\u2028", '"\\/']
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@given(values, st.sampled_from([None, 2]))
def test_reads_back(value: object, indent: int | None) -> None:
    """Every value comes back from the standard library's parser, and the text is printable ASCII (and line ends)."""
    text = dump(value, indent)  # type: ignore[arg-type]  # hypothesis's values are of the type, which it can't say
    assert json.loads(text) == value
    assert all(" " <= character <= "~" for character in text.replace("\n", ""))


@given(values, st.sampled_from([None, 2]))
def test_layout_is_the_standard_librarys(value: object, indent: int | None) -> None:
    """The layout is the familiar one of `json.dumps`, on one line or indented."""
    text = dump(value, indent)  # type: ignore[arg-type]  # hypothesis's values are of the type, which it can't say
    assert text == json.dumps(value, indent=indent).replace("\\b", "\\u0008").replace("\\f", "\\u000c")
