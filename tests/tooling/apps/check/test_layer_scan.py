"""Which places a layer's members are about, and what they leave to lower layers; `tree` says what they come to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples

from metalauncher.tooling.apps.check.layer_scan import (
    Fact,
    Interest,
    about,
    ancestors,
    hidden,
    is_at,
    refuse_many,
    settled_by,
)
from metalauncher.tooling.oci.model import ImageError
from metalauncher.tooling.oci.tree import Node, Tree


def file(path: str, kind: str = "file") -> Fact:
    """Return a member."""
    return Fact(path, kind, 0o755, 0, "target" if kind == "link" else "")


@pytest.mark.parametrize(
    ("path", "hides", "place"),
    [
        ("a", None, "a"),
        ("a/b", None, "a/b"),
        ("a.wh.b", None, "a.wh.b"),
        (".wh.a/b", None, ".wh.a/b"),
        (".wh.a", ("a", False), "a"),
        ("a/.wh.b", ("a/b", False), "a/b"),
        ("a/.wh..wh.b", ("a/.wh.b", False), "a/.wh.b"),
        ("a/.wh..wh..opq", ("a", True), "a"),
        (".wh..wh..opq", ("", True), ""),
        ("a/.wh.", ("a/", False), "a/"),
    ],
)
def test_whiteouts(path: str, hides: tuple[str, bool] | None, place: str) -> None:
    """A whiteout is about what it hides."""
    assert hidden(file(path)) == hides
    assert about(path) == place


@pytest.mark.parametrize(
    ("member", "settled", "left"),
    [
        (file("a/b"), ["a/b", "a/b/c"], ["a", "a/bc", "", "b"]),
        (file("a/b", "link"), ["a/b", "a/b/c"], ["a", "a/bc"]),
        (file("a/b", "directory"), ["a/b"], ["a/b/c", "a"]),
        (file("a/.wh.b"), ["a/b", "a/b/c"], ["a", "a/bc"]),
        (file("a/b/.wh..wh..opq"), ["a/b/c", "a/b/c/d"], ["a/b", "a", "a/bc"]),
        (file(".wh..wh..opq"), ["a", "a/b"], []),
    ],
)
def test_settles(member: Fact, settled: list[str], left: list[str]) -> None:
    """What a layer has, or hides, lower ones don't decide about."""
    assert [path for path in settled + left if settles((file("other"), member), path)] == settled
    assert not settles((), "")


def settles(facts: tuple[Fact, ...], path: str) -> bool:
    """Tell whether members leave nothing of a place to layers below."""
    return settled_by(facts).holds(path, ancestors(path))


PARTS = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map("/".join)
MEMBERS = st.one_of(
    st.builds(file, PARTS, st.sampled_from(["file", "link", "directory"])),
    PARTS.map(lambda path: file("/".join([*path.split("/")[:-1], f".wh.{path[-1]}"]))),
    PARTS.map(lambda path: file(f"{path}/.wh..wh..opq")),
)


@examples(2000)
@given(MEMBERS, st.lists(st.builds(file, PARTS, st.sampled_from(["file", "directory"])), max_size=6), PARTS)
def test_what_is_settled_is_so_in_the_tree(member: Fact, below: list[Fact], path: str) -> None:
    """Whatever lower layers have, a place that a layer settles is the same."""
    if not settles((member,), path):
        return
    trees = [Tree(), Tree()]
    for one in below:
        trees[0].apply(one, "", 0)
    for tree in trees:
        tree.apply(member, "", 1)
    assert at(trees[0], path) == at(trees[1], path)


def at(tree: Tree, path: str) -> str:
    """Return what is there, links not followed."""
    node: Node | None = tree.root
    for part in path.split("/"):
        node = node.children.get(part) if node is not None else None
    return node.kind if node is not None else ""


def test_interest() -> None:
    """Places themselves, and all that some directories hold."""
    interest = Interest(frozenset(["etc/passwd"]), frozenset(["cnb"]))
    asked = ("etc/passwd", "cnb", "cnb/a/b", "etc", "etc/passwd/x", "cnb2", "")
    assert [path for path in asked if interest.holds(path)] == ["etc/passwd", "cnb", "cnb/a/b"]
    assert Interest(frozenset(), frozenset([""])).holds("any/thing")


def test_paths() -> None:
    """A path, what is above it, and what is below."""
    assert ancestors("a/b/c") == ["a/b/c", "a", "a/b", ""]
    assert ancestors("a") == ["a", ""]
    assert is_at("a/b", "a/b")
    assert is_at("a/b/c", "a/b")
    assert not is_at("a/bc", "a/b")
    assert not is_at("a", "a/b")


def test_limits() -> None:
    """So many members, and so many bytes, and no more."""
    refuse_many(2000, 8 << 20)
    with pytest.raises(ImageError, match="has more than 2000 launchers and processes"):
        refuse_many(2001, 0)
    with pytest.raises(ImageError, match=r"has more than 8 MiB of metadata\.toml in its layers"):
        refuse_many(0, (8 << 20) + 1)
