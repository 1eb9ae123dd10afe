"""What a user may do with a file, case by case; `test_resolver.py` asks the kernel."""

from __future__ import annotations

import pytest

from metalauncher.tooling.apps.check.permissions import EXECUTE, READ, SEARCH, Answer, may
from metalauncher.tooling.apps.check.user import User
from metalauncher.tooling.oci.tree import Node, Tree

USER = User("", 1000, 100, frozenset([50]), frozenset([60]))
TREE = Tree()
OTHER = (1, 1)


@pytest.mark.parametrize(
    ("owner", "mode", "access", "answer"),
    [
        ((1000, 1), 0o400, READ, "yes"),
        ((1000, 1), 0o077, READ, "no"),
        ((1000, 100), 0o077, READ, "no"),
        ((1000, 60), 0o070, READ, "no"),
        ((1000, 1), 0o100, EXECUTE, "yes"),
        ((1000, 1), 0o200, EXECUTE, "no"),
        ((1, 100), 0o040, READ, "yes"),
        ((1, 100), 0o707, READ, "no"),
        ((1, 50), 0o010, SEARCH, "yes"),
        ((1, 50), 0o701, SEARCH, "no"),
        ((1, 1), 0o004, READ, "yes"),
        ((1, 1), 0o770, READ, "no"),
        ((1, 1), 0o003, READ, "no"),
        ((1, 60), 0o040, READ, "groups"),
        ((1, 60), 0o004, READ, "groups"),
        ((1, 60), 0o044, READ, "yes"),
        ((1, 60), 0o733, READ, "no"),
    ],
)
def test_a_user(owner: tuple[int, int], mode: int, access: int, answer: Answer) -> None:
    """The owner's bits, else a group's, else the others'; a group that not every engine adds is said."""
    for kind in ("file", "directory"):
        assert may(USER, Node(TREE, kind, mode, owner=owner[0], group=owner[1]), access) == answer


@pytest.mark.parametrize("kind", ["file", "directory", "other"])
@pytest.mark.parametrize("mode", [0, 0o001, 0o010, 0o100, 0o666])
def test_root(kind: str, mode: int) -> None:
    """Its capability opens all but files that nobody may run."""
    root = User("", 0, 0)
    node = Node(TREE, kind, mode, owner=OTHER[0], group=OTHER[1])
    assert may(root, node, READ) == ("yes" if mode & 4 else "capability")
    closed = kind != "directory" and not mode & 0o111
    assert may(root, node, EXECUTE) == ("yes" if mode & 1 else "no" if closed else "capability")
