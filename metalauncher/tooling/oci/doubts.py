"""What unpackers make of layers differently: umoci, and containerd into one folder or into overlayfs.

Knows no tree: `tree` tells it what it does. A place is a path as `Member.path`; it stands for all below it, and ""
for the whole image, which one of them refuses. Sources: umoci 0.4.7 oci/layer, containerd 2.4 pkg/archive; what is
said here is held against both in the tests.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from metalauncher.tooling.oci.layer_reader import Entry
    from metalauncher.tooling.oci.tree import Node

_WINDING = re.compile(r"[^/.][^/]*/+(?:[^/]+/+)*\.\.(?:/|$)|\.\.[^/]+/+(?:[^/]+/+)*\.\.(?:/|$)")
_NAME_LIMIT, _PATH_LIMIT = 255, 4096  # bytes, as Linux's
_ID_LIMIT = (1 << 32) - 1  # the last is no user's: it leaves the owner as it is
_DOUBTS_LIMIT = 1000
_CROSSED_LIMIT = 100


class Doubts:
    """The doubts about the layers of one tree.

    Attributes:
        found: places and reasons.
        hidden: the topmost layer that took something of lower ones away at a path; in it, at a path and a slash.
        hidden_folders: the same, of directories alone.
    """

    def __init__(self, base: Doubts | None) -> None:
        """Begin with those of a tree that is forked."""
        self.found: Final[list[tuple[str, str]]] = [] if base is None else list(base.found)
        self.hidden: Final[dict[str, int]] = {} if base is None else dict(base.hidden)
        self.hidden_folders: Final[dict[str, int]] = {} if base is None else dict(base.hidden_folders)
        self._linked: Final[dict[str, list[str]]] = {}  # all names of a file that hard links lead to
        self._crossed: Final[set[str]] = set()  # the links that a layer has members through
        self._crossing = -1  # which layer

    def note(self, place: str, reason: str) -> None:
        """Note that unpackers make different things of a place, or of the whole image, "".

        Args:
            place: which.
            reason: what is odd there, in a few words.
        """
        if len(self.found) < _DOUBTS_LIMIT:
            self.found.append((place, reason))
        elif len(self.found) == _DOUBTS_LIMIT:
            self.found.append(("", f"has more than {_DOUBTS_LIMIT} places that unpackers read differently"))

    def implicit(self, place: str, before: str, *, crossed: bool, whiteout: bool) -> None:
        """Doubt a directory that no member makes.

        Args:
            place: its own.
            before: the kind of what was there, "" for nothing.
            crossed: whether a link of a lower layer leads there.
            whiteout: whether it is made for a whiteout alone.
        """
        if before:
            self.note("", f"has a member below /{place}, which is not a directory")
        elif whiteout:
            self.note(place, "is not there, but something in it is whited out")
        elif crossed:
            self.note(place, "is made through a link of a lower layer")
        if self._was_hidden(place):
            self.note("", f"has a member below /{place}, which was removed, and not made again")

    def _was_hidden(self, place: str) -> bool:
        """Tell whether a layer took something away at a place, or above it."""
        if not self.hidden:
            return False
        parts = place.split("/")
        above = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
        return any([path in self.hidden or f"{path}/" in self.hidden for path in above])

    def replaced(self, before: str, kind: str, place: str, layer: int, *, own: bool) -> None:
        """Take note of what a member replaces, unless both are directories.

        Args:
            before: the kind of what was there.
            kind: the member's.
            place: where.
            layer: the member's.
            own: whether the same layer has something there already, or below.
        """
        if before != kind:
            self.hidden[place] = layer
        if before == "directory":
            self.hidden_folders[place] = layer
            if own:
                self.note("", f"replaces the directory /{place} that it has itself")
        if before in {"directory", "link"}:
            self.gone(place, layer)

    def member(self, member: Entry, place: str, layer: int) -> None:
        """Doubt what is odd about a member where it is put."""
        if len(member.path) > _NAME_LIMIT // 4 and _is_long(member.path):
            self.note("", "has a name that is too long for most file systems")
        if member.kind == "directory" and self.hidden_folders.get(place) == layer:
            self.note(place, "is made again by the layer that removes it: on overlayfs the removed files come back")
        if member.kind == "link" and not 0 < len(os.fsencode(member.target)) < _PATH_LIMIT:
            self.note("", f"has a link at /{place} that no file system takes")
        if not (0 <= member.owner < _ID_LIMIT and 0 <= member.group < _ID_LIMIT):
            self.note(place, "belongs to a user or group whose number is invalid")

    def linked(self, to: str, place: str, target: Node, member: Entry) -> None:
        """Doubt a hard link of another mode or owner: containerd gives them to the file, umoci does not."""
        names = self._linked.setdefault(to, [to])
        names.append(place)
        self._linked[place] = names
        same_mode = target.kind == "link" or target.mode == member.mode
        if not same_mode or (target.owner, target.group) != (member.owner, member.group):
            for each in names:
                self.note(each, "is a hard link of another mode or owner than the file that it leads to")

    def crossed(self, links: list[str], place: str) -> None:
        """Doubt links of lower layers that lead to a place: on overlayfs they become directories."""
        for link in links:
            self.note(link, "is a link that a higher layer has members through")
        if any([self._was_hidden(each) for each in (*links, place)]):
            self.note("", f"reaches /{place} through a link, where a lower layer had something else")
        self.note(place, "is reached through a link of a lower layer")

    def crossing(self, place: str, target: str, layer: int) -> None:
        """Take note of a link that a member lies behind."""
        if _WINDING.search(target):
            self.note("", f"has a member through /{place}, a link that leads down and up again")
        if layer != self._crossing:
            self._crossing = layer
            self._crossed.clear()
        self._crossed.add(place)
        if len(self._crossed) > _CROSSED_LIMIT:
            self.note("", f"has members through more than {_CROSSED_LIMIT} links")
            self._crossed.clear()

    def gone(self, place: str, layer: int) -> None:
        """Doubt that a link goes away through which its own layer has members: containerd comes back to them."""
        if layer == self._crossing and any([not place or f"{each}/".startswith(f"{place}/") for each in self._crossed]):
            self.note("", f"has members through /{place}, which it then takes away")


def _is_long(path: str) -> bool:
    data = os.fsencode(path)
    return len(data) > _PATH_LIMIT // 2 or max([len(part) for part in data.split(b"/")]) > _NAME_LIMIT
