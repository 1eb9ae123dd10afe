"""What the layers of an image come to, one upon the other: which path is what, and the content of the files asked for.

Sources: the OCI image specification's layer.md (whiteouts, opaque directories), and how it is unpacked: by umoci, by
containerd's `archive.Apply` into one folder, and by the same into one folder for each layer that overlayfs mounts, as
Docker and containerd do. Where they differ, or one of them refuses the image, the tree is what umoci makes of it, and
the place is in `Tree.doubts`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from metalauncher.tooling.oci.doubts import Doubts
from metalauncher.tooling.oci.layer_reader import MEMBERS_LIMIT, Entry, Member, open_layer
from metalauncher.tooling.oci.model import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator

    from metalauncher.tooling.oci.image import Image

EXPANDED_LIMIT: Final = 16 << 30  # bytes of one layer's tar that are looked through
WHOLE_LIMIT: Final = 256 << 20  # bytes of one file that are kept at most
_KEPT_LIMIT = 1 << 30  # bytes of all contents kept
_PIECE = 1 << 20  # bytes of a content that are held in memory
_LINKS_LIMIT = 40  # as the kernel's
_STEPS_LIMIT = 20 * MEMBERS_LIMIT  # entries looked at for what opaque directories hide
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"


class Node:
    """What there is at one path.

    Attributes:
        kind: `file`, `directory`, `link` or `other`.
        mode: permission bits.
        size: of a file, in bytes.
        target: of a link, as written.
        content: the file in the scratch directory that holds the content, "" where it was not asked for.
        children: of a directory, by name.
        owner: the number of the user it belongs to.
        group: that of the group.
        number: of the layers' member that it came as, however it is linked to, from 1; 0 where members have none.
    """

    __slots__ = (
        *("_changed", "_entry", "_touched", "_tree"),
        *("children", "content", "group", "kind", "mode", "number", "owner", "size", "target"),
    )

    def __init__(
        self,
        tree: Tree,
        kind: str,
        mode: int = 0o755,
        size: int = 0,
        target: str = "",
        content: str = "",
        *,
        owner: int = 0,
        group: int = 0,
        number: int = 0,
    ) -> None:
        self._tree: Final = tree  # which may change it; forks of that tree copy it first
        self.kind: Final = kind
        self.mode = mode
        self.size: Final = size
        self.target: Final = target
        self.content: Final = content
        self.children: Final[dict[str, Node]] = {}
        self.owner = owner
        self.group = group
        self.number: Final = number
        self._changed = -1  # the topmost layer that has a member here or below
        self._touched = -1  # the same, whiteouts included
        self._entry = -1  # the topmost layer that has a member for this very path


class Tree:
    """The merged tree.

    Attributes:
        root: the directory `/`.
        entered: where members were put that lie behind a link, since this tree began or was forked.
    """

    def __init__(self, base: Tree | None = None) -> None:
        """Begin with nothing but a root, or with what there is in `base`, which stays as it is."""
        self.root: Final[Node] = Node(self, "directory") if base is None else self._copy(base.root)
        self.entered: Final[set[str]] = set()
        self._odd: Final[Doubts] = Doubts(None if base is None else base._odd)
        self._steps = 0

    @property
    def doubts(self) -> list[tuple[str, str]]:
        """Places of which unpackers make different things, each with the reason.

        A place stands for all below it; "" is the whole image, which one of them refuses.
        """
        return self._odd.found

    def doubt(self, place: str, reason: str) -> None:
        """Add to the doubts what a layer's member says of itself, `Member.doubt`."""
        self._odd.note(place, reason)

    def fork(self) -> Tree:
        """Return a tree for further layers that begins as this one, which must not change any more. For threads."""
        return Tree(self)

    def _copy(self, node: Node) -> Node:
        copy = Node(
            *(self, node.kind, node.mode, node.size, node.target, node.content),
            owner=node.owner,
            group=node.group,
            number=node.number,
        )
        copy.children.update(node.children)
        copy._changed, copy._touched, copy._entry = node._changed, node._touched, node._entry
        return copy

    def _own(self, parent: Node, name: str) -> Node:
        """Return a directory's entry, which is a directory too, as one that this tree may change."""
        node = parent.children[name]
        if node._tree is not self:
            node = parent.children[name] = self._copy(node)
        return node

    def find(self, path: str) -> tuple[str, Node] | None:
        """Resolve `path`, and every link on the way and at its end, as if the tree were the whole file system.

        Returns:
            What it comes to, a path without a leading slash, and what is there; None if nothing is.
        """
        return self._walk(path, follow_last=True)

    def get(self, path: str) -> tuple[str, Node] | None:
        """Resolve `path`, but not a link at its very end."""
        return self._walk(path, follow_last=False)

    def _walk(self, path: str, *, follow_last: bool) -> tuple[str, Node] | None:
        done: list[tuple[str, Node]] = []
        todo = [part for part in reversed(path.split("/")) if part not in ("", ".")]
        links = 0
        while todo:
            part = todo.pop()
            if part == "..":
                del done[-1:]
                continue
            here = done[-1][1] if done else self.root
            node = here.children.get(part)
            if node is None:
                return None
            if node.kind == "link" and (todo or follow_last):
                links += 1
                if links > _LINKS_LIMIT:
                    return None
                if node.target.startswith("/"):
                    done = []
                todo += [part for part in reversed(node.target.split("/")) if part not in ("", ".")]
                continue
            if todo and node.kind != "directory":
                return None
            done.append((part, node))
        return "/".join([name for name, _ in done]), done[-1][1] if done else self.root

    def walk(self) -> Iterator[tuple[str, Node]]:
        """Give every path and what is there, directories before what they hold, sorted by name."""
        pending = [("", self.root)]
        while pending:
            path, node = pending.pop()
            if path:
                yield path, node
            prefix = f"{path}/" if path else ""
            pending += [(prefix + name, child) for name, child in sorted(node.children.items(), reverse=True)]

    def _parent(self, path: str, layer: int, *, whiteout: bool) -> tuple[Node, str, str]:
        """Return the directory that `path` lies in, made if need be, its own path, and the last part of `path`."""
        done: list[tuple[str, Node]] = []
        todo = path.split("/")[::-1]
        last = todo.pop(0)
        crossed: list[str] = []  # links of lower layers
        links = 0
        while todo:
            part = todo.pop()
            if part in ("", "."):
                continue
            if part == "..":
                del done[-1:]
                continue
            node = done[-1][1] if done else self.root
            place = "/".join([*[name for name, _ in done], part])
            child = node.children.get(part)
            if child is not None and child.kind == "link":
                links += 1
                if links > _LINKS_LIMIT:
                    raise ImageError("damaged", f"has a layer with a loop of links at {path!r}")
                self._odd.crossing(place, child.target, layer)
                if child._entry < layer:
                    crossed.append(place)
                done = [] if child.target.startswith("/") else done
                todo += child.target.split("/")[::-1]
                continue
            if child is None or child.kind != "directory":
                self._odd.implicit(place, child.kind if child else "", crossed=bool(crossed), whiteout=whiteout)
                node.children[part] = Node(self, "directory")
            child = self._own(node, part)
            child._touched = layer
            child._changed = child._changed if whiteout else layer
            done.append((part, child))
        folder = "/".join([name for name, _ in done])
        self.entered.update([_below(folder, last.removeprefix(_WHITEOUT))] * bool(links))
        if crossed:
            self._odd.crossed(crossed, folder if last == _OPAQUE else _below(folder, last.removeprefix(_WHITEOUT)))
        if not whiteout:
            self.root._changed = layer
        return (done[-1][1] if done else self.root), folder, last

    def apply(self, member: Entry, content: str, layer: int, number: int = 0) -> None:
        """Put one member of a layer over what is there.

        Args:
            member: as it came in the layer.
            content: the file that holds its content, "" for none.
            layer: its number, from 0: what the layer itself brought is not whited out by it, whatever the order.
            number: the member's, for `Node.number`.
        """
        if not member.path:
            self._apply_root(member)
            return
        whiteout = member.path.rpartition("/")[2].startswith(_WHITEOUT)
        parent, folder, name = self._parent(member.path, layer, whiteout=whiteout)
        place = _below(folder, name)
        self._odd.member(member, place, layer)
        if whiteout:
            self._apply_whiteout(parent, folder, name, layer)
        elif member.kind == "hard link":
            self._apply_hard_link(member, parent, place, layer)
        else:
            self._apply_entry(member, parent, place, layer, content, number)

    def _apply_root(self, member: Entry) -> None:
        if member.kind != "directory":
            self._odd.note("", "has a member in place of the root directory")
            return
        self.root.mode, self.root.owner, self.root.group = member.mode, member.owner, member.group
        if (member.mode, member.owner, member.group) != (0o755, 0, 0):
            self._odd.note("", "gives the root directory another mode or owner: not every unpacker takes them")

    def _apply_whiteout(self, parent: Node, folder: str, name: str, layer: int) -> None:
        hidden_name = name.removeprefix(_WHITEOUT)
        place = f"{folder}/" if name == _OPAQUE else _below(folder, hidden_name)
        if name == _OPAQUE and self._odd.hidden.get(place) == layer:
            return
        if name == _OPAQUE:
            if not folder:
                self._odd.note("", "has an opaque root directory")
            self._odd.hidden[place] = layer
            self._odd.gone(folder, layer)
            self._clear(parent, folder, layer, opaque=True)
            return
        if hidden_name in ("", ".", ".."):
            self._odd.note("", f"has a whiteout of no name in /{folder}")
            return
        hidden = parent.children.get(hidden_name)
        if self._odd.hidden.get(place) == layer or (hidden is not None and hidden._touched == layer):
            self._odd.note("", f"whites out /{place} in the layer that has it, or twice")
        self._odd.hidden[place] = layer
        if hidden is None:
            return
        self._odd.gone(place, layer)
        if hidden.kind == "directory":
            self._odd.hidden_folders[place] = layer
        if hidden._changed < layer:
            del parent.children[hidden_name]
        elif hidden.kind == "directory":
            self._clear(self._own(parent, hidden_name), place, layer)

    def _clear(self, directory: Node, folder: str, layer: int, *, opaque: bool = False) -> None:
        """Take away what lower layers have in a directory."""
        pending = [(folder, directory)]
        while pending:
            path, node = pending.pop()
            self._steps += len(node.children)
            if self._steps > _STEPS_LIMIT:
                raise ImageError("too-large", "has layers that hide the same directories again and again")
            for name, child in list(node.children.items()):
                if child._changed < layer:
                    if child._touched == layer:
                        self._odd.note("", f"whites out something in /{_below(path, name)}, and then that itself")
                    del node.children[name]
                elif child.kind == "directory":
                    place = _below(path, name)
                    if opaque and child._entry < layer:
                        self._odd.note("", f"has members below /{place}, and then makes /{folder} opaque")
                    pending.append((place, self._own(node, name)))

    def _apply_hard_link(self, member: Entry, parent: Node, place: str, layer: int) -> None:
        name = place.rpartition("/")[2]
        before = parent.children.pop(name, None)
        found = self.get(member.target)
        if found is None or found[1].kind == "directory":
            raise ImageError("damaged", f"has a hard link to {member.target!r}, which is not a file of the image")
        to, target = found
        if target._entry < layer or to != member.target:
            self._odd.note("", f"has a hard link to /{member.target}, which is not of its own layer")
        self._odd.linked(to, place, target, member)
        self._replace(before, member, place, layer)
        link = self._copy(target)
        link._changed = link._touched = link._entry = layer
        parent.children[name] = link

    def _apply_entry(self, member: Entry, parent: Node, place: str, layer: int, content: str, number: int) -> None:
        name = place.rpartition("/")[2]
        before = parent.children.get(name)
        if member.kind == "directory" and before is not None and before.kind == "directory":
            node = self._own(parent, name)
            node.mode, node.owner, node.group = member.mode, member.owner, member.group
        else:
            node = Node(
                *(self, member.kind, member.mode, member.size, member.target, content),
                owner=member.owner,
                group=member.group,
                number=number,
            )
            self._replace(before, member, place, layer)
            parent.children[name] = node
        node._changed = node._touched = node._entry = layer

    def _replace(self, before: Node | None, member: Entry, place: str, layer: int) -> None:
        if before is not None:
            self._odd.replaced(before.kind, member.kind, place, layer, own=before._touched == layer)


def _below(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def read_tree(
    image: Image,
    wanted: Callable[[Member], int],
    scratch: str,
    *,
    whole: Container[int] = (),
    diff_ids: bool = False,
    say: Callable[[int], None] = lambda _: None,
) -> Tree:
    """Read all layers of an image.

    Args:
        image: whose layers.
        wanted: says how many bytes of a member are to be kept, 0 for none.
        scratch: a directory for what is kept.
        whole: the numbers, as `Node.number` of an earlier reading, of members of which as much as may be is kept.
        diff_ids: whether the layers are held against their digests in the config as well.
        say: told of the number of each layer, from 1, before it is read.

    Raises:
        ImageError: a layer can't be read, is damaged, or a limit is passed.
        OSError: nothing can be written to `scratch`.
    """
    tree = Tree()
    kept = _Kept(scratch)
    members = 0
    for number, layer in enumerate(image.layers):
        say(number + 1)
        with open_layer(image.store, layer, EXPANDED_LIMIT, diff_id=diff_ids) as found:
            for member in found:
                members += 1
                if members > MEMBERS_LIMIT:
                    raise ImageError("too-large", f"has more than {MEMBERS_LIMIT} files")
                if member.doubt is not None:
                    tree.doubt(*member.doubt)
                content = kept.keep(member, WHOLE_LIMIT if members in whole else wanted(member))
                tree.apply(member, content, number, members)
    return tree


class _Kept:
    """The contents kept, each a file of its own."""

    def __init__(self, directory: str) -> None:
        self._directory: Final = directory
        self._number = 0
        self._size = 0

    def keep(self, member: Member, limit: int) -> str:
        if limit <= 0 or member.kind != "file":
            return ""
        self._number += 1
        path = os.path.join(self._directory, str(self._number))
        with open(path, "xb") as file:
            while limit > 0 and (data := member.read(min(limit, _PIECE))):
                self._size += len(data)
                if self._size > _KEPT_LIMIT:
                    raise ImageError("too-large", f"has more than {_KEPT_LIMIT >> 20} MiB of launchers and descriptors")
                file.write(data)
                limit -= len(data)
        return path
