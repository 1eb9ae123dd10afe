"""Follow paths through a merged file system as the kernel does for one user, and keep account of all places.

Sources: Linux, fs/namei.c; path_resolution(7); symlink(7).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from metalauncher.tooling.apps.check.permissions import READ, SEARCH, may
from metalauncher.tooling.oci.tree import Node

if TYPE_CHECKING:
    from metalauncher.tooling.apps.check.user import User
    from metalauncher.tooling.oci.tree import Tree

ENOENT, EACCES, ENOTDIR, ENAMETOOLONG, ELOOP = 2, 13, 20, 36, 40
_LINKS_LIMIT = 40
_PATH_LIMIT, _NAME_LIMIT = 4096, 255  # bytes, with the final zero of a path
# What a runtime mounts there is not the image's (OCI runtime specification, config-linux.md, "Default Filesystems").
MOUNTED: Final = frozenset(("proc", "sys", "dev"))
_STICKY_AND_OPEN = 0o1002


class Place(NamedTuple):
    """Where a path leads.

    Attributes:
        path: the real path, without a leading slash; where nothing is there, the place at which it stops, or as far as
            the path would have led.
        node: what is there; None where `errno` is not 0.
        errno: of the refusal to follow it, 0 if there is none.
    """

    path: str
    node: Node | None
    errno: int = 0


class Resolver:
    """Follows paths for one user in one tree.

    Attributes:
        tree: the merged file system.
        user: for whom.
        touched: every place that was looked at, as a real path without a leading slash; "" is the root. With a slash
            at its end it stands for all that the directory holds; with "/." for whether it is open.
        doubts: why what was found may be otherwise in a container, each once.
    """

    def __init__(self, tree: Tree, user: User) -> None:
        """Begin in a tree that no longer changes."""
        self.tree: Final = tree
        self.user: Final = user
        self.touched: Final[set[str]] = set()
        self.doubts: Final[dict[str, None]] = {}

    def find(  # noqa: C901, PLR0911, PLR0912  # one walk, in the order in which the kernel looks
        self, path: str, cwd: str = ""
    ) -> Place:
        """Follow a path, and the links on the way and at its end.

        Args:
            path: as it is given to the kernel.
            cwd: the real path of the directory that a relative one begins in.
        """
        if not path:
            return Place("", None, ENOENT)
        if len(path.encode("utf-8", "surrogateescape")) >= _PATH_LIMIT:
            return Place("", None, ENAMETOOLONG)
        if not path.startswith("/"):
            self.touched.add(f"{cwd}/.")
        done = [] if path.startswith("/") else self._directories(cwd)
        todo = _parts(path)
        links = 0
        while todo:
            part = todo.pop()
            here = done[-1][1] if done else self.tree.root
            where = done[-1][0] if done else ""
            self.touched.add(where)
            if here.kind != "directory":
                return Place(where, None, ENOTDIR)
            if part == "":  # a slash at the end asks for a directory
                continue
            if not self._allowed(here, where, SEARCH):
                return Place(where, None, EACCES)
            if part == ".":
                continue
            if part == "..":
                del done[-1:]
                continue
            at = f"{where}/{part}" if where else part
            self.touched.add(at)
            if at in MOUNTED:
                self.doubt_mounted(at)
            if len(part.encode("utf-8", "surrogateescape")) > _NAME_LIMIT:
                return Place(at, None, ENAMETOOLONG)
            node = here.children.get(part)
            if node is None:
                return self._missing(at, todo)
            if node.kind == "link":
                links += 1
                if links > _LINKS_LIMIT:
                    return Place(at, None, ELOOP)
                if not node.target:
                    return Place(at, None, ENOENT)
                self._protected(here, node, at)
                if node.target.startswith("/"):
                    done = []
                todo += _parts(node.target)
                continue
            done.append((at, node))
        path, node = done[-1] if done else ("", self.tree.root)
        self.touched.add(path)
        return Place(path, node)

    def read(self, path: str, cwd: str = "") -> Place:
        """Follow a path to something that is opened for reading."""
        place = self.find(path, cwd)
        if place.node is not None and not self._allowed(place.node, place.path, READ):
            return Place(place.path, None, EACCES)
        return place

    def list_all(self, place: Place) -> None:
        """Note that all entries of a directory were looked at."""
        self.touched.add(f"{place.path}/")

    def access(self, place: Place, access: int) -> bool:
        """Tell whether the user has this access to what is there."""
        return place.node is not None and self._allowed(place.node, place.path, access)

    def doubt_mounted(self, at: str) -> None:
        """Note that a place is looked at where a runtime mounts something."""
        self.doubt(f"/{at} is looked at, which the container's runtime mounts")

    def doubt(self, reason: str) -> None:
        """Note why what is found may be otherwise."""
        self.doubts[reason] = None

    def _allowed(self, node: Node, path: str, access: int) -> bool:
        answer = may(self.user, node, access)
        if answer == "capability":
            self.doubt(f"/{path} (mode {node.mode:04o}) is open to root by the capability CAP_DAC_OVERRIDE alone")
        elif answer == "groups":
            self.doubt(f"/{path} (mode {node.mode:04o}) is open or closed by a group that not every engine adds")
        return answer != "no"

    def _missing(self, at: str, todo: list[str]) -> Place:
        """Note where the path would have led on: a layer that was not read may have it there."""
        for part in reversed(todo):
            if part not in ("", ".", ".."):
                at = f"{at}/{part}"
                self.touched.add(at)
        return Place(at, None, ENOENT)

    def _protected(self, directory: Node, link: Node, at: str) -> None:
        """Doubt a link that fs.protected_symlinks may refuse (Linux, Documentation/admin-guide/sysctl/fs.rst)."""
        is_open = directory.mode & _STICKY_AND_OPEN == _STICKY_AND_OPEN
        if is_open and link.owner not in (self.user.uid, directory.owner):
            self.doubt(f"/{at} is somebody else's link in a directory that all may write to")

    def _directories(self, cwd: str) -> list[tuple[str, Node]]:
        """Return the directories that lead to a working directory; what is not there of it, runtimes make as root."""
        done: list[tuple[str, Node]] = []
        node, at = self.tree.root, ""
        for part in [part for part in cwd.split("/") if part]:
            node = node.children.get(part) or Node(self.tree, "directory")
            at = f"{at}/{part}" if at else part
            done.append((at, node))
        return done


def _parts(path: str) -> list[str]:
    """Return a path's parts, the last first; "" in front of them stands for a slash at the end."""
    parts = [part for part in path.split("/") if part]
    return ([""] if path.endswith("/") and parts else []) + parts[::-1]
