"""Where an app image's start leads: to metalauncher, to a launcher of its own, or nowhere, as the kernel would go.

Knows no APIs. Source: `metalauncher.__main__` for what metalauncher takes for which way in.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Final, NamedTuple

from metalauncher.execute import interpreter_of
from metalauncher.refusals import USAGE
from metalauncher.tooling.apps.check.appimage import PROCESSES, inside
from metalauncher.tooling.apps.check.layer_scan import CNB
from metalauncher.tooling.console import decode
from metalauncher.tooling.elf import has_note, inspect

if TYPE_CHECKING:
    from metalauncher.tooling.apps.check.appimage import AppImage
    from metalauncher.tooling.apps.check.verdict import Kind, Route
    from metalauncher.tooling.oci.tree import Node, Tree
    from metalauncher.tooling.run_image.model import RunImage

# What container runtimes and shells make of an exec that fails: 127 where there is no such file, else 126.
_NOT_FOUND, _NOT_EXECUTABLE = 127, 126
_MISSING_ERRNOS = ("no such file or directory", "not a directory")
_REBUILD = "rebuild the app"
_LINKS_LIMIT = 40  # as the kernel's
# They change neither the environment nor the program that they are given.
_BAKED_IN: Final = "has a copy of metalauncher baked in: a rebase changes the launchers, but not that copy"
_INITS = ("tini", "tini-static", "dumb-init", "docker-init", "catatonit")


class Leads(NamedTuple):
    """The start leads to metalauncher, or to what the run image's labels call its launcher."""

    route: Route
    notes: tuple[str, ...] = ()


class Ends(NamedTuple):
    """The start leads elsewhere, and that is the verdict."""

    kind: Kind
    reason: str
    route: Route | None = None
    exit_code: int | None = None
    remedy: str = ""


def follow(app: AppImage, tree: Tree, run: RunImage) -> Leads | Ends:
    """Follow the start of an app image, whose layers lie over those of a run image in `tree`."""
    if not app.argv:
        return Ends("unknown", "its config names no program to start")
    start = _start(app, tree)
    notes: tuple[str, ...] = ()
    if not inside(start).startswith(f"{CNB}/") and not run.is_its_launcher(tree.find(start)):
        through = _through(app.argv, tree.find(start), run)
        if through is None:
            return Ends("unknown", f"it starts {app.argv[0]}, and whether that starts its launcher can't be told")
        notes = (f"it starts {app.argv[0]}, which is taken to start {through}",)
        start = through
    found = _Follower(app, tree, run).follow(start)
    return found._replace(notes=(*notes, *found.notes)) if isinstance(found, Leads) else found


def _through(argv: tuple[str, ...], found: tuple[str, Node] | None, run: RunImage) -> str | None:
    """Return what an init that the run image has starts; None of other programs, which may do anything first."""
    if found is None or found[1].kind != "file" or not found[1].mode & 0o111:
        return None
    if posixpath.basename(argv[0]) not in _INITS or run.obstacle(found[0]) is not None:
        return None
    option = False  # the word before is one, and this may be its value
    for word in argv[1:]:
        if word.startswith("/"):
            return word if inside(word).startswith(f"{CNB}/") else None
        if not word.startswith("-") and not option:
            return None
        option = word.startswith("-") and word != "--"
    return None


def _start(app: AppImage, tree: Tree) -> str:
    """Return the path that would be exec'd, as a container's runtime finds it."""
    name = app.argv[0]
    if name.startswith("/"):
        return name
    if "/" in name:
        run = app.image.config.get("config")
        directory = run.get("WorkingDir") if isinstance(run, dict) else None
        return posixpath.join("/", directory if isinstance(directory, str) else "", name)
    for directory in decode(app.environments[0].get(b"PATH", b"")).split(":"):
        path = posixpath.join(directory, name)
        if directory.startswith("/") and tree.find(path):
            return path
    return name


class _Follower:
    """Follows one start."""

    def __init__(self, app: AppImage, tree: Tree, run: RunImage) -> None:
        self._app: Final = app
        self._tree: Final = tree
        self._run: Final = run

    def follow(self, start: str) -> Leads | Ends:
        found = self._tree.find(start)
        if found is None:
            return self._missing(start)
        path, node = found
        if node.kind != "file":
            what = "a directory" if node.kind == "directory" else "no file"
            return Ends("does-not-start", f"{start} leads to /{path}, which is {what}", None, _NOT_EXECUTABLE)
        if not self._app.owns(node):
            return self._in_run_image(start, path, node)
        if not node.mode & 0o111:
            return Ends("does-not-start", f"/{path} is not executable", None, _NOT_EXECUTABLE, _REBUILD)
        return self._own(path, self._app.data(node), node)

    def _in_run_image(self, start: str, path: str, node: Node) -> Leads | Ends:
        if not self._run.is_its_launcher((path, node)):
            if not node.mode & 0o111:
                reason = f"{start} leads to /{path} of the run image, which is not executable"
                return Ends("does-not-start", reason, "symlink", _NOT_EXECUTABLE, f"repair /{path} in the run image")
            head = self._run.head(node)
            if head.startswith(b"#!"):
                return self._script(path, head)
            reason = f"{start} leads to /{path} of the run image, which is not metalauncher"
            return Ends("unknown", reason, "symlink")
        if posixpath.basename(start) == "metalauncher" and posixpath.dirname(inside(start)) != PROCESSES:
            arguments = self._app.argv[1:]
            if arguments[:1] == ("--launch",) and len(arguments) > 1:
                return self._dispatch("shim", path)
            reason = f"its ENTRYPOINT is {start}, which is metalauncher's own command line"
            code = None if arguments else USAGE  # with others it does what they say
            return Ends("does-not-start", reason, None, code, "make /usr/lib/cnb/launcher the ENTRYPOINT")
        return self._dispatch("symlink", path)

    def _dispatch(self, route: Route, path: str) -> Leads | Ends:
        obstacle = self._run.obstacle(path)
        if obstacle is None:
            return Leads(route)
        code = _NOT_FOUND if obstacle in _MISSING_ERRNOS else _NOT_EXECUTABLE
        reason = f"/{path} of the run image can't be started: {obstacle}"
        return Ends("does-not-start", reason, route, code, f"repair /{path} in the run image")

    def _own(self, path: str, head: bytes, node: Node) -> Leads | Ends:
        if head.startswith(b"#!"):
            return self._script(path, head)
        if not head and node.size:  # not below /cnb
            return Ends("unknown", f"its own layers change /{path}, which belongs to the run image")
        if not head.startswith(b"\x7fELF"):
            reason = f"/{path} is neither a program nor a script with #!"
            return Ends("does-not-start", reason, None, None, _REBUILD)
        if has_note(head):
            return Leads("copy", (_BAKED_IN,))
        binary = inspect(head)
        loader = "" if isinstance(binary, str) else binary.interpreter
        if loader and self._app.shape.own is not None and self._tree.find(loader) is None:
            reason = f"/{path} is loaded by {loader}, which the run image does not have"
            return Ends("does-not-start", reason, "binary", _NOT_FOUND, f"use a run image with {loader}")
        return Ends("keeps-own-launcher", f"/{path} is a program of its own", "binary")

    def _script(self, path: str, head: bytes) -> Leads | Ends:
        interpreter = decode(interpreter_of(head))
        if not interpreter:
            return Ends("does-not-start", f"/{path} is a script that names no interpreter", None, None, _REBUILD)
        ours = posixpath.basename(interpreter) == "metalauncher"
        found = self._tree.find(interpreter)
        if found is None:
            reason = f"/{path} is a script for {interpreter}, which the run image does not have"
            remedy = f"use a run image that has {interpreter}"
            return Ends("does-not-start", reason, "shim" if ours else None, _NOT_FOUND, remedy)
        if not self._run.is_its_launcher(found):
            return Ends("unknown", f"/{path} is a script for {interpreter}, and what that starts can't be told")
        if not ours or _argument(head, interpreter) != "--launch":
            return Ends("unknown", f"/{path} starts {interpreter}, but not by '#!/usr/bin/metalauncher --launch'")
        return self._dispatch("shim", found[0])

    def _missing(self, start: str) -> Ends:
        end = self._end(start)
        if end is None:
            return Ends("does-not-start", f"{start} leads round in a loop of links", None, None, _REBUILD)
        if inside(end).startswith(f"{CNB}/") or end == start:
            return Ends("does-not-start", f"there is no {end}", None, _NOT_FOUND, _REBUILD)
        reason = f"{start} leads to {end}, which the run image does not have"
        return Ends("does-not-start", reason, "symlink", _NOT_FOUND, f"use a run image that has {end}")

    def _end(self, start: str) -> str | None:
        """Return where the links from `start` end, though nothing is there; None if they never do."""
        path = posixpath.normpath(start)
        for _ in range(_LINKS_LIMIT):
            found = self._tree.get(path)
            if found is None or found[1].kind != "link":
                return path
            path = posixpath.normpath(posixpath.join("/", posixpath.dirname(found[0]), found[1].target))
        return None


def _argument(head: bytes, interpreter: str) -> str:
    """Return the one argument that a script's first line gives its interpreter (Linux, fs/binfmt_script.c)."""
    line = decode(head.partition(b"\n")[0][2:].replace(b"\t", b" ")).lstrip(" ")
    return line.removeprefix(interpreter).strip(" ")
