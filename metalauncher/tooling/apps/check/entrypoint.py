"""Where an app image's start leads: to metalauncher, to a launcher of its own, or nowhere, as the kernel would go.

Knows no APIs. Source: `metalauncher.__main__` for what metalauncher takes for which way in.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Final, NamedTuple

from metalauncher.errnos import errno_text
from metalauncher.refusals import USAGE
from metalauncher.tooling.apps.check.app_image import CNB
from metalauncher.tooling.apps.check.inits import INIT_BY_NAME, starts
from metalauncher.tooling.apps.check.layer_scan import is_at
from metalauncher.tooling.apps.check.programs import ENOEXEC, Exec
from metalauncher.tooling.apps.check.resolver import EACCES, ELOOP, ENOENT, ENOTDIR
from metalauncher.tooling.console import decode
from metalauncher.tooling.elf import has_note

if TYPE_CHECKING:
    from collections.abc import Mapping

    from metalauncher.tooling.apps.check.app_image import AppImage
    from metalauncher.tooling.apps.check.contents import Kept
    from metalauncher.tooling.apps.check.programs import Step
    from metalauncher.tooling.apps.check.verdict import Kind, Route
    from metalauncher.tooling.apps.check.walk import Walk
    from metalauncher.tooling.run_image.model import RunImage

# What container runtimes and shells make of an exec that fails: 127 where there is no such file, else 126.
_NOT_FOUND, _NOT_EXECUTABLE = 127, 126
_REBUILD = "rebuild the app"
_PROCESSES = "cnb/process"
# They change neither the environment nor the program that they are given.
_BAKED_IN: Final = "contains its own copy of metalauncher: a rebase changes the launchers, but not that copy"
_NAME = "metalauncher"
_SET_USER, _SET_GROUP = 0o4000, 0o2010  # of a mode; the latter counts where the group may start it


class Leads(NamedTuple):
    """The start leads to metalauncher, or to what the run image's labels call its launcher.

    Attributes:
        route: how.
        notes: what else is to be known about it.
        start: the path that is exec'd.
        invoked: on the shim's route, the path of the shim.
        assumes: what that rests on besides what was read, as codes.
    """

    route: Route
    notes: tuple[str, ...] = ()
    start: str = ""
    invoked: str = ""
    assumes: tuple[str, ...] = ()


class Ends(NamedTuple):
    """The start leads elsewhere, and that is the verdict.

    Attributes:
        kind: the verdict.
        reason: why.
        route: how it comes there.
        exit_code: of the container, where that is known.
        remedy: what to do, "" where there is nothing to be done.
        own: the program of the app's own that it ends in.
        assumes: what that rests on besides what was read, as codes.
    """

    kind: Kind
    reason: str
    route: Route | None = None
    exit_code: int | None = None
    remedy: str = ""
    own: Kept | None = None
    assumes: tuple[str, ...] = ()


def follow(app: AppImage, walk: Walk, run: RunImage, environment: Mapping[bytes, bytes]) -> Leads | Ends:
    """Follow the start of an app image, with one reading of its environment."""
    if not app.argv:
        return Ends("unknown", "its config names no program to start")
    path = environment.get(b"PATH")
    search_path = None if path is None else decode(path)
    argv = app.argv
    notes: tuple[str, ...] = ()
    assumes: tuple[str, ...] = ()
    start = walk.look_up(argv[0], search_path)
    if start is None:
        return Ends("does-not-start", f"there is no {argv[0]}", None, _NOT_FOUND, _REBUILD)
    found = walk.exec(start)
    if not _is_launchers(start, found, run) and not found.errno:
        inner = _through_init(app, walk, run, found, search_path)
        if isinstance(inner, Ends):
            return inner
        notes = (f"it starts {app.argv[0]}, which is assumed to start {inner.start}",)
        assumes = (INIT_BY_NAME,)
        argv, start, found = inner
    end = _Start(app, walk, run, argv, start).end(found)._replace(assumes=assumes)
    return end._replace(notes=(*notes, *end.notes)) if isinstance(end, Leads) else end


class _Inner(NamedTuple):
    """What an init starts: with which arguments, the path that is exec'd, and what the kernel makes of it."""

    argv: tuple[str, ...]
    start: str
    found: Exec


def _through_init(app: AppImage, walk: Walk, run: RunImage, init: Exec, search_path: str | None) -> _Inner | Ends:
    """Follow the start of what an init starts, or say why that is not known."""
    argv = starts(app.argv) if not walk.contents.is_apps(init.steps[0].place) else ()
    start = walk.look_up(argv[0], search_path) if argv else None
    changed = _changed(init, walk, run)
    if start is None or changed:
        return Ends("unknown", changed or f"it starts {app.argv[0]}, and whether that starts its launcher is not known")
    _doubt_set_id(init, walk)
    found = walk.exec(start)
    # As execvp(3) does.
    if found.errno == ENOEXEC or (found.errno and "/" not in argv[0]):
        return Ends("unknown", f"{app.argv[0]} may start {start} by /bin/sh, or another one later in PATH")
    if not _is_launchers(start, found, run) and not found.errno:
        return Ends("unknown", f"it starts {app.argv[0]} and {start}, which may start anything")
    return _Inner(argv, start, found)


def _is_launchers(start: str, found: Exec, run: RunImage) -> bool:
    """Tell whether a start is that of a launcher, by where it is looked for or what it leads to."""
    return is_at(posixpath.normpath("/" + start).lstrip("/"), CNB) or any(
        [run.is_its_launcher(step.place) for step in found.steps[:2]]
    )


def _doubt_set_id(found: Exec, walk: Walk) -> None:
    """Doubt a program that becomes another user: where new privileges are not allowed it does not."""
    place = found.steps[-1].place
    node, user = place.node, walk.resolver.user
    if node is None or found.errno:
        return
    set_user = node.mode & _SET_USER and node.owner != user.uid
    if set_user or (node.mode & _SET_GROUP == _SET_GROUP and node.group != user.gid):
        walk.resolver.doubt(f"/{place.path} is set-id: whether it changes the user is up to the container engine")


def _changed(found: Exec, walk: Walk, run: RunImage) -> str:
    """Say which file of the run image that a start comes by the app's own layers change; "" if none."""
    for place in found.files:
        if walk.contents.is_apps(place) and run.tree.get(place.path) is not None:
            return f"its own layers change /{place.path}, which belongs to the run image"
    return ""


class _Start:
    """One start, whose path was found."""

    def __init__(self, app: AppImage, walk: Walk, run: RunImage, argv: tuple[str, ...], start: str) -> None:
        self._app: Final = app
        self._walk: Final = walk
        self._run: Final = run
        self._argv: Final = argv
        self._start: Final = start

    def end(self, found: Exec) -> Leads | Ends:
        """Return what an exec of the path comes to."""
        if found.errno:
            return self._refused(found)
        if changed := _changed(found, self._walk, self._run):
            return Ends("unknown", changed, self._route(found))
        itself = [number for number, step in enumerate(found.steps) if self._run.is_its_launcher(step.place)]
        if itself:
            _doubt_set_id(found, self._walk)
            if self._run.doubt:
                self._walk.resolver.doubt(self._run.doubt)
        if itself == [0]:
            return self._entered("symlink", self._start, self._argv[1:])
        if itself == [1]:
            return self._script(found.steps[0], found.steps[1])
        if itself or len(found.steps) > 1:
            return self._other_script(found)
        return self._program(found.steps[0])

    def _entered(self, route: Route, path: str, arguments: tuple[str, ...]) -> Leads | Ends:
        """Return what metalauncher, or a copy of it, makes of being started by a path of this name."""
        notes = (_BAKED_IN,) if route == "copy" else ()
        folder = posixpath.normpath("/" + posixpath.dirname(path)).lstrip("/")
        if posixpath.basename(path) != _NAME or (path.startswith("/") and folder == _PROCESSES):
            return Leads(route, notes, self._start)
        if arguments[:1] == ("--launch",) and len(arguments) > 1:
            return Leads("copy" if route == "copy" else "shim", notes, self._start, arguments[1])
        reason = f"its ENTRYPOINT is {path}, which is metalauncher's own command line"
        code = None if arguments else USAGE  # with others it does what they say
        return Ends("does-not-start", reason, None, code, "make /usr/lib/cnb/launcher the ENTRYPOINT")

    def _script(self, script: Step, interpreter: Step) -> Leads | Ends:
        """Return what a script comes to that metalauncher interprets."""
        own_name = posixpath.basename(interpreter.path) == _NAME
        if not own_name or script.argument != "--launch":
            return Ends(
                "unknown",
                f"/{script.place.path} starts {interpreter.path}, but not by '#!/usr/bin/metalauncher --launch'",
            )
        return Leads("shim", (), self._start, self._start)

    def _other_script(self, found: Exec) -> Ends:
        script, interpreter = found.steps[0], found.steps[1]
        reason = f"/{script.place.path} is a script for {interpreter.path}, and what that starts is not known"
        return Ends("unknown", reason)

    def _program(self, step: Step) -> Leads | Ends:
        place = step.place
        if not self._walk.contents.is_apps(place):
            reason = f"{self._start} leads to /{place.path} of the run image, which is not metalauncher"
            return Ends("unknown", reason, "symlink")
        if has_note(self._walk.contents.head(place)):
            _doubt_set_id(Exec(0, (step,)), self._walk)
            return self._entered("copy", self._start, self._argv[1:])
        own = self._walk.contents.of_app(place)
        return Ends("keeps-own-launcher", f"/{place.path} is the app's own program", "binary", own=own)

    def _route(self, found: Exec) -> Route | None:
        return "symlink" if len(found.steps) == 1 else None

    def _refused(self, found: Exec) -> Ends:  # noqa: PLR0911  # one return for each thing that stands in the way
        """Say why the kernel refuses the start."""
        last = found.steps[-1]
        code = _NOT_FOUND if found.errno in (ENOENT, ENOTDIR) else _NOT_EXECUTABLE
        for number, step in enumerate(found.steps):
            if self._run.is_its_launcher(step.place) and (step is not last or found.culprit != last.path):
                reason = f"/{step.place.path} of the run image can't be started: {errno_text(found.errno)}"
                remedy = f"repair /{step.place.path} in the run image"
                return Ends("does-not-start", reason, "shim" if number else "symlink", code, remedy)
        if last.loader is not None and found.culprit != last.path:
            return self._no_loader(last, found, code)
        if len(found.steps) > 1:
            return self._no_interpreter(found.steps[-2], last, found.errno, code)
        if found.errno == ELOOP:
            return Ends("does-not-start", f"{self._start} leads to a loop of links", None, None, _REBUILD)
        if last.place.node is None:
            return self._missing(last, found.errno, code)
        if last.place.node.kind != "file":
            what = "a directory" if last.place.node.kind == "directory" else "no file"
            return Ends("does-not-start", f"{self._start} leads to /{last.place.path}, which is {what}", None, code)
        return self._closed(last, found.errno, code)

    def _no_loader(self, step: Step, found: Exec, code: int) -> Ends:
        reason = f"/{step.place.path} is loaded by {found.culprit}, which the run image does not have"
        if found.errno != ENOENT:
            reason = f"/{step.place.path} is loaded by {found.culprit}: {errno_text(found.errno)}"
        route: Route | None = "binary" if self._walk.contents.is_apps(step.place) else "symlink"
        return Ends("does-not-start", reason, route, code, f"use a run image with {found.culprit}")

    def _no_interpreter(self, script: Step, last: Step, errno: int, code: int) -> Ends:
        ours = posixpath.basename(last.path) == _NAME
        reason = f"/{script.place.path} is a script for {last.path}, which the run image does not have"
        remedy = f"use a run image that has {last.path}"
        if errno != ENOENT:
            reason = f"/{script.place.path} is a script for {last.path}: {errno_text(errno)}"
            remedy = f"repair {last.path} in the run image"
        if self._run.is_its_launcher(last.place):
            reason = f"/{last.place.path} of the run image can't be started: {errno_text(errno)}"
            remedy = f"repair /{last.place.path} in the run image"
        return Ends("does-not-start", reason, "shim" if ours else None, code, remedy)

    def _missing(self, step: Step, errno: int, code: int) -> Ends:
        end = f"/{step.place.path}"
        if errno not in (ENOENT, ENOTDIR):
            who = f"the user {self._app.user!r}" if self._app.user else "root"
            reason = f"{self._start} leads through {end}, which is not accessible to {who}"
            if errno != EACCES:
                reason = f"{self._start} leads to {end}: {errno_text(errno)}"
            return Ends("does-not-start", reason, None, code, _REBUILD)
        if errno == ENOTDIR:
            reason = f"{self._start} leads through {end}, which is not a directory"
            return Ends("does-not-start", reason, None, code, _REBUILD)
        if is_at(step.place.path, CNB) or end == posixpath.normpath(self._start):
            return Ends("does-not-start", f"there is no {end}", None, code, _REBUILD)
        reason = f"{self._start} leads to {end}, which the run image does not have"
        return Ends("does-not-start", reason, "symlink", code, f"use a run image that has {end}")

    def _closed(self, step: Step, errno: int, code: int) -> Ends:
        place = step.place
        node = place.node
        is_script = step.is_script
        if errno != EACCES or node is None:
            reason = f"/{place.path} is neither a program nor a script with #!"
            if is_script:
                reason = f"/{place.path} is a script that names no interpreter"
            elif self._walk.contents.head(place).startswith(b"\x7fELF"):
                reason = f"/{place.path} can't be started: {errno_text(errno)}"
            return Ends("does-not-start", reason, None, None, _REBUILD)
        if not self._walk.contents.is_apps(place):
            if node.mode & 0o111:
                reason = f"{self._start} leads to /{place.path} of the run image, which is not accessible to its user"
            else:
                reason = f"{self._start} leads to /{place.path} of the run image, which is not executable"
            return Ends("does-not-start", reason, "symlink", code, f"repair /{place.path} in the run image")
        if node.mode & 0o111:
            who = f"the user {self._app.user!r}" if self._app.user else "root"
            return Ends("does-not-start", f"/{place.path} is not accessible to {who}", None, code, _REBUILD)
        return Ends("does-not-start", f"/{place.path} is not executable", None, code, _REBUILD)
