"""One user's view of an app's merged file system: what a start asks of it. Knows no launchers."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Final

from metalauncher.tooling.apps.check.app_image import GROUP, PASSWD
from metalauncher.tooling.apps.check.permissions import EXECUTE, SEARCH
from metalauncher.tooling.apps.check.programs import Exec, follow_exec
from metalauncher.tooling.apps.check.resolver import ENOENT, ENOTDIR, MOUNTED, Resolver
from metalauncher.tooling.apps.check.user import FILE_LIMIT, ROOT, User, parse_user

if TYPE_CHECKING:
    from metalauncher.tooling.apps.check.app_image import AppImage
    from metalauncher.tooling.apps.check.contents import Contents
    from metalauncher.tooling.oci.tree import Tree


class NoDirectory(Exception):
    """No runtime starts a container in its working directory; the message says why."""


class Walk:
    """A merged file system as the container's process meets it.

    Attributes:
        resolver: follows paths as the container's user.
        contents: of the files.
        machine: the image's architecture, as `tooling.elf` names it.
        cwd: the real path of the working directory.
    """

    def __init__(self, tree: Tree, contents: Contents, machine: str) -> None:
        """Take a file system, in which nothing was looked at."""
        self._tree: Final = tree
        self._as_root: Final = Resolver(tree, ROOT)
        self.contents: Final = contents
        self.machine: Final = machine
        self.resolver = Resolver(tree, ROOT)
        self.cwd = ""

    def begin(self, app: AppImage) -> None:
        """Become the user, and go to the directory, that the app's config names.

        Raises:
            UnknownUser: no container is started as this user.
            NoDirectory: nor in this directory.
            NotKept: what decides was not kept.
        """
        before = self.resolver
        self.resolver = Resolver(self._tree, self._user(app))
        for doubt in (*before.doubts, *self.resolver.user.doubts):
            self.resolver.doubt(doubt)
        try:
            self.cwd = self._enter(app)
        finally:
            for at in sorted(MOUNTED & self._as_root.touched):
                self.resolver.doubt_mounted(at)

    @property
    def touched(self) -> set[str]:
        """Every place that was looked at."""
        return self.resolver.touched | self._as_root.touched

    def exec(self, path: str) -> Exec:
        """Follow an exec in the working directory."""
        return follow_exec(path, self.resolver, self.contents, self.machine, self.cwd)

    def look_up(self, name: str, search_path: str | None) -> str | None:
        """Return the path that a program's name stands for, as runtimes find it; None if it stands for none.

        Args:
            name: the command's first word.
            search_path: the variable PATH; None where there is none.
        """
        if "/" in name:
            return name
        if search_path is None:
            self.resolver.doubt(f"its config has no PATH, and where {name} is searched is up to the container engine")
        found = None
        for directory in (search_path or "").split(":"):
            if not directory.startswith("/"):
                self.resolver.doubt(f"its PATH has {directory!r}, which not every runtime takes")
                continue
            path = posixpath.join(directory, name)
            if self.resolver.find(path).errno == ENOTDIR:
                self.resolver.doubt(f"{directory} in its PATH is not a directory, where gVisor looks no further")
            ours, theirs = (self._is_program(resolver, path) for resolver in (self.resolver, self._as_root))
            if ours != theirs:  # some look as root, some as the user
                self.resolver.doubt(f"{path} can be started by root, and not by the user that the config names")
            if ours and found is None:
                found = path
                break
        return found

    @staticmethod
    def _is_program(resolver: Resolver, path: str) -> bool:
        place = resolver.find(path)
        return place.node is not None and place.node.kind == "file" and resolver.access(place, EXECUTE)

    def _user(self, app: AppImage) -> User:
        """Return as whom the container runs."""
        if app.numeric_user is not None:
            return app.numeric_user
        files = []
        for path in (PASSWD, GROUP):
            place = self._as_root.find("/" + path)
            is_file = place.node is not None and place.node.kind == "file"
            files.append(self.contents.whole(place, FILE_LIMIT) if is_file else b"")
        return parse_user(app.user, *files)

    def _enter(self, app: AppImage) -> str:
        """Go to the working directory, as runtimes do: as root, or as the user where that can't."""
        if app.directory and not app.directory.startswith("/"):
            self.resolver.doubt(f"its working directory {app.directory} is relative, which not every runtime takes")
        path = posixpath.join("/", app.directory)
        place = self._as_root.find(path)
        if place.errno == ENOENT and place.path == posixpath.normpath(path).lstrip("/"):
            return place.path  # runtimes make it, as root
        if place.errno == ENOENT:
            self.resolver.doubt(f"its working directory {path} leads to /{place.path}, which is not there")
            return ""
        if place.node is None or place.node.kind != "directory":
            raise NoDirectory(f"its working directory {path} is not a directory")
        if not self.resolver.access(place, SEARCH):
            self.resolver.doubt(f"its working directory {path} is not accessible to the user that its config names")
        return place.path
