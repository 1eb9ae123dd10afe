"""The layers that an earlier `metalauncher image` put on its base: a new one replaces them, and holds what they did."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Final, NamedTuple

from metalauncher.tooling.image.distribution import OS_RELEASE, OS_RELEASE_LIMIT
from metalauncher.tooling.image.executable import SIZE_LIMIT
from metalauncher.tooling.oci.image import Image
from metalauncher.tooling.oci.tree import read_tree

if TYPE_CHECKING:
    from collections.abc import Callable

    from metalauncher.tooling.oci.layer_reader import Member
    from metalauncher.tooling.oci.tree import Node, Tree

CREATED_BY: Final = "metalauncher image"
_WHITEOUT = ".wh."


class ReadBase(NamedTuple):
    """What a base's layers come to.

    Attributes:
        tree: all of them.
        own: how many on top are an earlier metalauncher's, by the history.
        first: the number of the first member of these, as `Node.number`.
        hides: whether one of them hides something below it.
    """

    tree: Tree
    own: int
    first: int
    hides: bool

    def is_own(self, node: Node) -> bool:
        """Tell whether a node came with one of them."""
        return bool(self.own) and node.number >= self.first


def read_layers(base: Image, folder: str, say: Callable[[int], None]) -> ReadBase:
    """Read the base, with the content of all that may be metalauncher's.

    Args:
        base: to be read.
        folder: for the content.
        say: told of the number of each layer, from 1, before it is read.

    Raises:
        ImageError: a layer can't be read, or is not what manifest and config say.
    """
    own = 0
    while own < len(base.layers) and base.layers[-1 - own].created_by == CREATED_BY:
        own += 1
    members = first = 0
    hides = False

    def layer(number: int) -> None:
        nonlocal first
        say(number)
        if number <= len(base.layers) - own + 1:
            first = members + 1

    def wanted(member: Member) -> int:
        nonlocal members, hides
        members += 1
        *folders, name = member.path.split("/")
        hides = hides or (members >= first and bool(own) and name.startswith(_WHITEOUT))
        if member.path in OS_RELEASE:
            return min(member.size, OS_RELEASE_LIMIT)
        return min(member.size, SIZE_LIMIT) if "cnb" in folders or name == "metalauncher" else 0

    tree = read_tree(base, wanted, folder, diff_ids=True, say=layer)
    return ReadBase(tree, own, first, hides)


def without(base: Image, number: int) -> Image:
    """Return an image without its topmost layers, as if they had never been added. Pure.

    Args:
        base: the image.
        number: how many layers.
    """
    if not number:
        return base
    config = copy.deepcopy(base.config)
    config["rootfs"]["diff_ids"] = config["rootfs"]["diff_ids"][:-number]
    history, left = config.get("history"), number
    if isinstance(history, list):
        for place in range(len(history) - 1, -1, -1):
            if left and not (isinstance(history[place], dict) and history[place].get("empty_layer")):
                del history[place]
                left -= 1
    return Image(base.store, base.manifest, config, base.layers[:-number])
