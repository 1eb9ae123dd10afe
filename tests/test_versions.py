"""versions.py: PEP 440's grammar and order, held against `packaging`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import InvalidVersion, Version

from metalauncher.versions import version_key

NUMBERS = ["0", "1", "2", "10", "01"]
_words = st.sampled_from(["a", "b", "c", "rc", "alpha", "beta", "pre", "preview", "A", "RC", "Beta"])
_separator = st.sampled_from(["", ".", "-", "_"])
_number = st.sampled_from(["", *NUMBERS])
_pre = st.builds(lambda *parts: "".join(parts), _separator, _words, _separator, _number)
_post = st.builds(
    lambda *parts: "".join(parts), _separator, st.sampled_from(["post", "rev", "r", "POST"]), _separator, _number
) | st.sampled_from(["-1", "-02"])
_dev = st.builds(lambda *parts: "".join(parts), _separator, st.sampled_from(["dev", "Dev"]), _separator, _number)
_local = st.builds(
    lambda parts, separator: "+" + separator.join(parts),
    st.lists(st.sampled_from([*NUMBERS, "l", "vendor", "a1", "1a", "V"]), min_size=1, max_size=3),
    st.sampled_from([".", ".", "-", "_"]),
)
well_formed = st.builds(
    lambda prefix, epoch, release, pre, post, dev, local: prefix + epoch + ".".join(release) + pre + post + dev + local,
    st.sampled_from(["", "", "v", "V"]),
    st.sampled_from(["", "", "0!", "1!"]),
    st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=4),
    st.just("") | _pre,
    st.just("") | _post,
    st.just("") | _dev,
    st.just("") | _local,
)
PIECES = [
    *NUMBERS,
    ".",
    ".",
    "-",
    "_",
    "+",
    "!",
    "v",
    "a",
    "b",
    "c",
    "rc",
    "r",
    "post",
    "rev",
    "dev",
    "pre",
    "x",
    "alpha",
    "RC",
    " ",
]
any_text = st.lists(st.sampled_from(PIECES), max_size=8).map("".join) | st.text(max_size=6)


def is_version(text: str) -> bool:
    """Tell whether `packaging` takes `text` for a version."""
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True


@given(well_formed | any_text)
def test_valid_where_packaging_says_so(text: str) -> None:
    """A text is a version exactly if `packaging` says so; with white space around it or beyond ASCII it is none."""
    expected = is_version(text) and text == text.strip() and text.isascii()
    try:
        version_key(text)
        refused = ""
    except ValueError as error:
        refused = str(error)
    assert refused == ("" if expected else f"{text!r} is not a PEP 440 version")


@given(well_formed, well_formed)
def test_order_is_packagings(one: str, other: str) -> None:
    """Two versions stand to each other as `packaging` orders them, equality and locals included."""
    ours, theirs = (version_key(one), version_key(other)), (Version(one), Version(other))
    assert (ours[0] < ours[1]) == (theirs[0] < theirs[1])
    assert (ours[0] == ours[1]) == (theirs[0] == theirs[1])


def test_order_of_pep_440() -> None:
    """The order that PEP 440 itself gives as its example, a vendor's rebuild among it."""
    texts = [
        *(
            "0.9.3",
            "0.17.7",
            "0.17.7+vendor.1",
            "1.dev0",
            "1.0.dev456",
            "1.0a1",
            "1.0a2.dev456",
            "1.0a12.dev456",
            "1.0a12",
        ),
        *("1.0b1.dev456", "1.0b2", "1.0b2.post345.dev456", "1.0b2.post345", "1.0rc1.dev456", "1.0rc1", "1.0"),
        *("1.0+abc.5", "1.0+abc.7", "1.0+5", "1.0.post456.dev34", "1.0.post456", "1.1.dev1", "1!0.1"),
    ]
    assert [version_key(text) for text in texts] == sorted(version_key(text) for text in texts)


@pytest.mark.parametrize(
    "texts",
    [
        *("1+a.b 1+a-b 1+a_b 1.0+A-B", "1+1.x 1+01-x 1.0+1_X", "1-2 1.post2 1.0.r2 1rev-02 1_post_2 1-rev.2"),
        *("1a1 1a.1 1-a-1 1_alpha_01 1.0ALPHA1", "1rc2 1c.2 1-pre-2 1.preview_2", "1.dev3 1dev-3 1_dev_3 1-dev.03"),
        *("1a 1a0 1.a.", "1.post 1r0 1-0", "1dev 1.dev0"),
    ],
)
def test_spellings_of_one_version(texts: str) -> None:
    """What is spelled otherwise is one version all the same."""
    assert len({version_key(text) for text in texts.split()}) == len({Version(text) for text in texts.split()}) == 1


@pytest.mark.parametrize("texts", ["1 1+a 1+a.1 1+b 1+0 1+0.a 1+0.0 1+1 1+2 1+10"])
def test_order_of_locals(texts: str) -> None:
    """Words, then numbers, each among their own kind; a longer one after its own beginning."""
    keys = [version_key(text) for text in texts.split()]
    assert keys == sorted(keys)
    assert sorted(texts.split(), key=Version) == texts.split()
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    "text", [" 1", "1 ", "1\n", "1.0\u0661", "", "v", "1!", "1+", "1+l..1", "1.x", "latest", "1" * 129]
)
def test_no_version(text: str) -> None:
    """What becomes part of a path is plain: no white space around it, ASCII, and at most 128 characters."""
    with pytest.raises(ValueError, match="is not a PEP 440 version"):
        version_key(text)


def test_longest_version() -> None:
    """128 characters are still a version; that many digits are a number."""
    assert version_key("1" * 128)[1] == (int("1" * 128),)
