"""Lay out a part of a tree as real files, links and directories, for what only looks at files."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

from metalauncher.errnos import errno_text
from metalauncher.tooling.oci.model import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from metalauncher.tooling.oci.tree import Node, Tree

_PATH_MAX = 4096
_NAME_ERRORS = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL)


def materialise(tree: Tree, paths: Iterable[str], root: str) -> None:
    """Lay out a part of the tree as real files, links and directories under `root`, an empty directory.

    Args:
        tree: what to lay out.
        paths: directories, with all that they hold ("" for the whole tree), and files. What their links lead to is laid
            out too; files that no content was kept of are not.
        root: where.

    What is neither file, directory nor link is laid out as a FIFO: whoever reads there finds no file either.

    Raises:
        ImageError: it has what no file system takes.
        OSError: it can't be written.
    """
    for path in paths:
        _lay_out(tree, path, root, set())


def _lay_out(tree: Tree, path: str, root: str, seen: set[str]) -> None:
    pending = [path]
    while pending:
        here = pending.pop()
        if here in seen or len(here) >= _PATH_MAX:  # a link into itself grows for ever
            continue
        seen.add(here)
        with _no_file_system_takes(here):
            found = _lay_out_links(tree, here, root, pending)
            if found is not None:
                pending += _lay_out_node(*found, root)


def _lay_out_node(real: str, node: Node, root: str) -> list[str]:
    """Make what is at a path; return what is to be made in it."""
    place = os.path.join(root, real)
    if node.kind == "directory":
        os.makedirs(place, exist_ok=True)
        return [f"{real}/{name}" if real else name for name in node.children]
    if not os.path.lexists(place):
        os.makedirs(os.path.dirname(place), exist_ok=True)
        if node.kind == "other":
            os.mkfifo(place)
        elif node.content:
            os.link(node.content, place)
        else:
            return []
        os.chmod(place, node.mode)
    return []


@contextlib.contextmanager
def _no_file_system_takes(path: str) -> Iterator[None]:
    """Tell what is wrong with an image's name or link from what is wrong with the place where it is laid out."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NAME_ERRORS:
            raise
        raise ImageError("damaged", f"has /{path}, which no file system takes: {errno_text(error.errno)}") from None


def _lay_out_links(tree: Tree, path: str, root: str, pending: list[str]) -> tuple[str, Node] | None:
    """Make the links met on the way to `path`; return what is at its end, None if that is a link, or nothing."""
    parts = [part for part in path.split("/") if part]
    for number in range(1, len(parts) + 1):
        found = tree.get("/".join(parts[:number]))
        if found is None:
            return None
        real, node = found
        if node.kind == "link":
            place = os.path.join(root, real)
            if not node.target:
                raise ImageError("damaged", f"has /{real}, a link to nothing")
            if not os.path.lexists(place):
                os.makedirs(os.path.dirname(place), exist_ok=True)
                os.symlink(node.target, place)
            rest = "/".join(parts[number:])
            base = "" if node.target.startswith("/") else real.rpartition("/")[0]
            pending.append("/".join([part for part in (base, node.target.lstrip("/"), rest) if part]))
            return None
    return tree.get(path)
