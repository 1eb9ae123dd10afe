"""The contents of a merged tree's files, as far as they were kept: the app's in memory, the run image's on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from metalauncher.files import read_head
from metalauncher.tooling.console import encode
from metalauncher.tooling.elf import HEAD
from metalauncher.tooling.reading import ReadError, open_regular

if TYPE_CHECKING:
    from collections.abc import Mapping

    from metalauncher.tooling.apps.check.layer_scan import Fact
    from metalauncher.tooling.apps.check.resolver import Place
    from metalauncher.tooling.oci.tree import Node

APP: Final = "app:"  # of a node's content: it is the app's, held in memory by this key


class NotKept(Exception):
    """More of a file is needed than was kept of it when its layer was read."""

    def __init__(self, name: str) -> None:
        """Hold the name under which the app's layer has it, "" for a file of the run image."""
        super().__init__(name)
        self.name: Final = name


class Kept(NamedTuple):
    """A file of the app.

    Attributes:
        fact: the member that it came as.
        layer: the number of its layer, from the lowest.
    """

    fact: Fact
    layer: int


class Contents:
    """What is known of the files' contents."""

    def __init__(self, app: Mapping[str, Fact]) -> None:
        """Take what was kept of the app's files, by the keys that its nodes have."""
        self._app: Final = app

    def head(self, place: Place) -> bytes:
        """Return a file's first bytes, as many as the kernel looks at.

        Raises:
            NotKept: it was read without them.
        """
        data = self._kept(place.node, HEAD)
        if place.node is not None and len(data) < min(place.node.size, HEAD):
            raise self._not_kept(place.node)
        return data[:HEAD]

    def whole(self, place: Place, limit: int) -> bytes:
        """Return a file's content.

        Args:
            place: where it lies.
            limit: bytes; of a larger file these, and one more.

        Raises:
            NotKept: it was read without it.
        """
        data = self._kept(place.node, limit + 1)
        if place.node is not None and len(data) < min(place.node.size, limit + 1):
            raise self._not_kept(place.node)
        return data

    def of_app(self, place: Place) -> Kept:
        """Return what was kept of one of the app's files."""
        content = "" if place.node is None else place.node.content
        return Kept(self._app[content], int(content.removeprefix(APP).partition(":")[0]))

    def is_apps(self, place: Place) -> bool:
        """Tell whether a file comes from the app's layers, not from the run image's."""
        return place.node is not None and is_apps(place.node)

    def _not_kept(self, node: Node) -> NotKept:
        return NotKept(self._app[node.content].path if is_apps(node) else "")

    def _kept(self, node: Node | None, limit: int) -> bytes:
        if node is None or not node.content:
            return b""
        if node.content.startswith(APP):
            return self._app[node.content].data
        if limit <= HEAD:
            return read_head(encode(node.content), HEAD)
        try:
            with open_regular(node.content) as file:
                return file.read(limit)
        except ReadError:
            return b""


def is_apps(node: Node) -> bool:
    """Tell whether a file comes from the app's layers, not from the run image's."""
    return node.content.startswith(APP)
