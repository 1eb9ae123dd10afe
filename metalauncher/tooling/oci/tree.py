"""What the layers of an image come to, one upon the other: which path is what, and the content of the files asked for.

Source: the OCI image specification's layer.md (whiteouts, opaque directories); a parent that a lower layer has as a
link is followed, as containerd's and Docker's unpacking do.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, Protocol

from metalauncher.tooling.oci.layer_reader import MEMBERS_LIMIT, Member, open_layer
from metalauncher.tooling.oci.model import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator

    from metalauncher.tooling.oci.image import Image

EXPANDED_LIMIT: Final = 16 << 30  # bytes of one layer's tar that are looked through
WHOLE_LIMIT: Final = 256 << 20  # bytes of one file that are kept at most
_KEPT_LIMIT = 1 << 30  # bytes of all contents kept
_PIECE = 1 << 20  # bytes of a content that are held in memory
_LINKS_LIMIT = 40  # as the kernel's
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"


class Entry(Protocol):
    """What a tree takes of a layer's member."""

    @property
    def path(self) -> str:
        """In the image, as `Member.path`."""

    @property
    def kind(self) -> str:
        """As `Member.kind`."""

    @property
    def mode(self) -> int:
        """Permission bits."""

    @property
    def size(self) -> int:
        """Of a file, in bytes."""

    @property
    def target(self) -> str:
        """Of a link, as `Member.target`."""

    @property
    def owner(self) -> int:
        """The number of the user it belongs to."""

    @property
    def group(self) -> int:
        """That of the group."""


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
        *("_changed", "_tree", "children", "content", "group", "kind", "mode", "number", "owner", "size", "target"),
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
        self._changed = -1  # the topmost layer that changed something here or below


class Tree:
    """The merged tree."""

    def __init__(self, base: Tree | None = None) -> None:
        """Begin with nothing but a root, or with what there is in `base`, which stays as it is."""
        self.root: Final[Node] = Node(self, "directory") if base is None else self._copy(base.root)
        # (path, reason) where unpackers differ in what they make of the layers.
        self.doubts: Final[list[tuple[str, str]]] = [] if base is None else list(base.doubts)

    def fork(self) -> Tree:
        """Return a tree that begins as this one, for further layers; only what those change is copied.

        This one must not change any more. Several threads may fork it at once.
        """
        return Tree(self)

    def _copy(self, node: Node) -> Node:
        copy = Node(
            *(self, node.kind, node.mode, node.size, node.target, node.content),
            owner=node.owner,
            group=node.group,
            number=node.number,
        )
        copy.children.update(node.children)
        copy._changed = node._changed
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

    def _parent(self, path: str, layer: int) -> tuple[Node, str]:
        """Return the directory that `path` lies in, made where there is none, and the path's last part."""
        node, done = self.root, [self.root]
        todo = path.split("/")[::-1]
        last = todo.pop(0)
        links = 0
        while todo:
            part = todo.pop()
            if part in ("", "."):
                continue
            if part == "..":
                done = done[:-1] or [self.root]
                node = done[-1]
                continue
            child = node.children.get(part)
            if child is not None and child.kind == "link":
                links += 1
                if links > _LINKS_LIMIT:
                    raise ImageError("damaged", f"has a layer with a loop of links at {path!r}")
                done = [self.root] if child.target.startswith("/") else done
                node = done[-1]
                todo += child.target.split("/")[::-1]
                continue
            if child is None or child.kind != "directory":
                node.children[part] = Node(self, "directory")
            node = self._own(node, part)
            done.append(node)
        for directory in done:
            directory._changed = layer
        return node, last

    def apply(self, member: Entry, content: str, layer: int, number: int = 0) -> None:
        """Put one member of a layer over what is there.

        Args:
            member: as it came in the layer.
            content: the file that holds its content, "" for none.
            layer: its number, from 0: what the layer itself brought is not whited out by it, whatever the order.
            number: the member's, for `Node.number`.
        """
        if not member.path:
            if member.kind == "directory":
                self.root.mode, self.root.owner, self.root.group = member.mode, member.owner, member.group
            return
        parent, name = self._parent(member.path, layer)
        if name == _OPAQUE:
            _clear(parent, layer)
        elif name.startswith(_WHITEOUT):
            hidden = parent.children.get(name.removeprefix(_WHITEOUT))
            if hidden is not None and hidden._changed < layer:
                del parent.children[name.removeprefix(_WHITEOUT)]
            elif hidden is not None:
                _clear(hidden, layer)
        elif member.kind == "hard link":
            target = self.get(member.target)
            if target is None or target[1].kind == "directory":
                raise ImageError("damaged", f"has a hard link to {member.target!r}, which is no file of the image")
            parent.children[name] = target[1]
        else:
            before = parent.children.get(name)
            if member.kind == "directory" and before is not None and before.kind == "directory":
                before = self._own(parent, name)
                before.mode, before.owner, before.group = member.mode, member.owner, member.group
                before._changed = layer
                return
            node = Node(
                *(self, member.kind, member.mode, member.size, member.target, content),
                owner=member.owner,
                group=member.group,
                number=number,
            )
            node._changed = layer
            parent.children[name] = node


def _clear(directory: Node, layer: int) -> None:
    """Take away what lower layers have in a directory."""
    pending = [directory]
    while pending:
        node = pending.pop()
        for name, child in list(node.children.items()):
            if child._changed < layer:
                del node.children[name]
            elif child.kind == "directory":
                pending.append(child)


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
