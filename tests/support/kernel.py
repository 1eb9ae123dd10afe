"""Small trees, laid out on disk and as `check` merges them, and what the kernel says of paths in them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from metalauncher.tooling.apps.check.contents import APP, Contents
from metalauncher.tooling.apps.check.layer_scan import Fact
from metalauncher.tooling.apps.check.user import User
from metalauncher.tooling.oci.tree import Tree

_KINDS = {"dir": "directory", "file": "file", "link": "link", "pipe": "other"}


class Told(NamedTuple):
    """What the kernel says of one operation.

    Attributes:
        errno: 0 where it was done.
        path: the real path that it came to, without a leading slash; "" where that is not known.
    """

    errno: int
    path: str = ""


class Laid:
    """A tree on disk and in memory."""

    def __init__(self, folder: Path, facts: Sequence[Fact]) -> None:
        """Lay it out in a folder that is not there yet; links' own owners included."""
        self.root = folder
        self.facts = facts
        self.tree = Tree()
        contents = {f"{APP}0:{fact.path}": fact for fact in facts}
        self.contents = Contents(contents)
        for fact in facts:
            self.tree.apply(fact, f"{APP}0:{fact.path}", 0)
        folder.mkdir()
        folder.chmod(0o755)
        for fact in facts:
            self._put(fact)
        for fact in facts:
            place = folder / fact.path
            os.chown(place, fact.owner, fact.group, follow_symlinks=False)
            if fact.kind != "link":
                place.chmod(fact.mode)
        self._inodes = {os.lstat(folder / path).st_ino: path for path, _ in self.tree.walk()}
        self._inodes[os.lstat(folder).st_ino] = ""

    def path_of(self, inode: int) -> str:
        """Return the real path of what has this inode."""
        return self._inodes[inode]

    def _put(self, fact: Fact) -> None:
        place = self.root / fact.path
        if fact.kind == "link":
            place.symlink_to(fact.target)
        elif fact.kind == "other":
            os.mkfifo(place)
        elif fact.kind == "directory":
            place.mkdir(exist_ok=True)  # the root is there
        else:
            place.write_bytes(fact.data)
            os.truncate(place, fact.size)


class Kernel:
    """Asks this machine's."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        """Take the process that asks."""
        self._process = process

    def ask(
        self, laid: Laid, user: User, asked: Sequence[tuple[str, str]], cwd: str = "", *, capable: bool = True
    ) -> list[Told]:
        """Return what it says of operations in a tree.

        Args:
            laid: the tree, which is the root.
            user: who asks; with `groups` alone.
            asked: operations, `find`, `read` or `exec`, each with a path.
            cwd: the real path of the working directory.
            capable: root has CAP_DAC_OVERRIDE.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        groups = sorted(user.groups)
        self._process.stdin.write(json.dumps([str(laid.root), cwd, user.uid, user.gid, groups, capable, asked]) + "\n")
        self._process.stdin.flush()
        told = json.loads(self._process.stdout.readline())
        assert len(told) == len(asked)
        return [Told(errno, laid.path_of(inode) if inode else "") for errno, inode in told]


@contextmanager
def asking() -> Iterator[Kernel]:
    """Give what asks the kernel; skip where the user is not root, which may not change its root."""
    if os.geteuid() != 0:
        pytest.skip("root alone may lay out other users' files, and become them")
    program = Path(__file__).with_name("kernel_child.py")
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-X", "utf8", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Kernel(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()


def lay(folder: Path, facts: Sequence[Fact]) -> Laid:
    """Lay a tree out where the one before lay."""
    shutil.rmtree(folder, ignore_errors=True)
    return Laid(folder, facts)


def fact(line: str) -> Fact:
    """Return what a line of a case file says: kind, mode, owner, path, and a link's target or a file's text.

    `file 0755 0:0 bin/run #!/bin/sh`: in the text a backslash begins a control character, as in Python.
    """
    kind, mode, owner, rest = line.split(" ", 3)
    path, _, text = rest.partition(" ")
    uid, _, gid = owner.partition(":")
    target, data = "", b""
    if kind == "link":
        target = text
    elif text:
        data = text.encode().decode("unicode_escape").encode("latin-1")
    found = Fact(path.replace("/", "", 1) if path == "/" else path, _KINDS[kind], int(mode, 8), len(data), target)
    return found._replace(owner=int(uid), group=int(gid), data=data)


def written(facts: Sequence[Fact]) -> str:
    """Return a tree as text, for a failure's message."""
    kinds = {kind: short for short, kind in _KINDS.items()}
    lines = [
        f"{kinds[one.kind]} {one.mode:04o} {one.owner}:{one.group} {one.path or '/'} {one.target or one.data!r}"
        for one in facts
    ]
    return "\n".join(lines)


def as_user(text: str) -> User:
    """Return the user of a case file.

    It is `UID:GID`, then its groups behind a comma each; those that only some engines add have a `?`.
    """
    ids, *more = text.split(",")
    uid, _, gid = ids.partition(":")
    groups = frozenset(int(one) for one in more if not one.endswith("?"))
    perhaps = frozenset(int(one[:-1]) for one in more if one.endswith("?"))
    return User(text, int(uid), int(gid), groups, perhaps)
