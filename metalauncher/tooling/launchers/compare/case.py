"""What one case of a comparison is. Values alone: nothing here runs or touches a file.

Texts and bytes of a case may hold `@PLACE@`: the scratch directory, the same for both launchers, that stands for the
root of a container.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from metalauncher.explain.jsontext import dump

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

    from metalauncher.explain.jsontext import Json

    Need = Literal["bash", "grep"]
    Channel = Literal["file", "closed", "nobody", "terminal", "full"]
    Input = Literal["empty", "closed", "pipe"]

PLACE = b"@PLACE@"
LAUNCHER = "cnb/lifecycle/launcher"
PYTHON = "@PLACE@/python"  # a link to the interpreter that runs the reports
APP = "@PLACE@/app/report"
SYSTEM_PATH = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_FIRST_ARRAY_COMMAND = (0, 10)  # from this Platform API on metadata.toml has a process's command as an array


class Apis(NamedTuple):
    """The APIs that a case's app was built with, as texts."""

    platform: str
    buildpack: str


class File(NamedTuple):
    """A file below the place."""

    path: str
    content: bytes
    mode: int = 0o644


class Link(NamedTuple):
    """A symbolic link below the place."""

    path: str
    target: str


class Folder(NamedTuple):
    """A directory below the place, with nothing in it."""

    path: str


class Program(NamedTuple):
    """A program that reports what it got, and then does something.

    Attributes:
        path: below the place.
        who: its name in the reports.
        then: what it does after: `("exit", 7)`, `("signal", 15)`, `("write", 3, b"…")`, `("copy",)` for stdin to
            stdout. Without an end of its own it exits with 0.
    """

    path: str
    who: str
    then: tuple[tuple[str | int | bytes, ...], ...] = ()


class State(NamedTuple):
    """What the launcher finds besides arguments and environment.

    Attributes:
        directory: the working directory, below the place.
        umask: the file mode creation mask.
        blocked: signals.
        ignored: signals.
        limits: name as in Python's `resource`, soft, hard.
        descriptors: open files besides 0 to 2: number, and whether `read`, `append` or `pipe`.
        stdin: what it is; `pipe` has one line of text in it.
        stdout: what it is; `nobody` is a pipe that nobody reads.
        stderr: the same.
        priority: the nice value to be added.
    """

    directory: str = "app"
    umask: int = 0o022
    blocked: tuple[int, ...] = ()
    ignored: tuple[int, ...] = ()
    limits: tuple[tuple[str, int, int], ...] = ()
    descriptors: tuple[tuple[int, str], ...] = ()
    stdin: Input = "empty"
    stdout: Channel = "file"
    stderr: Channel = "file"
    priority: int = 0


class Case(NamedTuple):
    """One start of a launcher, in a place laid out for it.

    Attributes:
        name: `AREA/WHAT`.
        about: the same in words.
        metadata: metadata.toml, None for no such file.
        argv: the launcher's arguments, argv[0] included.
        environ: the launcher's environment, entry by entry.
        path: what is exec'd, below the place.
        items: what else lies in the place.
        then: what the app does after its report; as of `Program`.
        state: what else the launcher finds.
        needs: programs of this machine without which the case says nothing.
        starts: how often each launcher is started.
        own_apis: it is about its APIs: it makes sense also where the launchers have none in common.
    """

    name: str
    about: str
    metadata: bytes | None
    argv: tuple[bytes, ...]
    environ: tuple[bytes, ...]
    path: str = "cnb/process/web"
    items: tuple[File | Link | Folder | Program, ...] = ()
    then: tuple[tuple[str | int | bytes, ...], ...] = ()
    state: State = State()
    needs: tuple[Need, ...] = ()
    starts: int = 1
    own_apis: bool = False

    @property
    def area(self) -> str:
        """What of a launcher it is about."""
        return self.name.partition("/")[0]


WEB = (b"@PLACE@/cnb/process/web",)


def by_type(name: str, *arguments: bytes) -> tuple[bytes, ...]:
    """Return the arguments as a runtime passes them on that starts a process type."""
    return (f"@PLACE@/cnb/process/{name}".encode(), *arguments)


def by_launcher(*arguments: bytes) -> tuple[bytes, ...]:
    """Return the arguments as a runtime passes them on that starts the launcher itself."""
    return (b"@PLACE@/" + LAUNCHER.encode(), *arguments)


def environment(platform: str | None, *more: bytes, without: Sequence[bytes] = ()) -> tuple[bytes, ...]:
    """Return what the config of an app image has, and `more`, which replaces variables of the same name.

    Args:
        platform: the Platform API; None: not set.
        more: `NAME=VALUE`, or whatever else.
        without: names that are left out.
    """
    usual = [
        b"PATH=/cnb/process:/cnb/lifecycle:" + SYSTEM_PATH,
        b"HOME=/home/cnb",
        b"CNB_LAYERS_DIR=@PLACE@/layers",
        b"CNB_APP_DIR=@PLACE@/app",
        *([b"CNB_PLATFORM_API=" + platform.encode()] if platform is not None else []),
        b"CNB_DEPRECATION_MODE=quiet",
        b"CNB_NO_COLOR=true",
    ]
    replaced = {entry.partition(b"=")[0] for entry in more} | set(without)
    return (*[entry for entry in usual if entry.partition(b"=")[0] not in replaced], *more)


def takes_arrays(platform: str) -> bool:
    """Tell whether a process's command is an array in a metadata.toml of that Platform API."""
    return tuple(map(int, platform.split("."))) >= _FIRST_ARRAY_COMMAND


def process(
    platform: str,
    name: str,
    command: Sequence[str],
    arguments: Sequence[str] = (),
    *,
    direct: bool = True,
    buildpack: str = "acme/one",
    more: str = "",
) -> str:
    """Return a process as a lifecycle of that Platform API writes it.

    Args:
        platform: the Platform API.
        name: its type.
        command: the program, and the arguments that always are passed.
        arguments: those that a user's replace.
        direct: without a shell.
        buildpack: whose it is.
        more: further keys.
    """
    entries: Json = list(command)
    rest: Json = list(arguments)
    if not takes_arrays(platform):
        entries, rest = command[0], [*command[1:], *arguments]
    flag = "true" if direct else "false"
    return (
        f"[[processes]]\ntype = {dump(name)}\ncommand = {dump(entries)}\nargs = {dump(rest)}\ndirect = {flag}\n"
        f"buildpack-id = {dump(buildpack)}\n{more}"
    )


def buildpack(api: str | None, name: str = "acme/one") -> str:
    """Return a buildpack as metadata.toml records it."""
    line = "" if api is None else f"api = {dump(api)}\n"
    return f'[[buildpacks]]\nid = {dump(name)}\nversion = "1.0"\n{line}'


def direct(apis: Apis, *arguments: str, name: str = "web", more: str = "") -> str:
    """Return the process that runs the app without a shell."""
    return process(apis.platform, name, [PYTHON, "-I", "-S", APP], arguments, more=more)


def shell(apis: Apis, command: str = APP, *arguments: str, name: str = "web") -> str:
    """Return the process that runs the app in a shell."""
    return process(apis.platform, name, [command], arguments, direct=False)


def metadata(apis: Apis, *parts: str) -> bytes:
    """Return metadata.toml of an app with one buildpack, and these processes."""
    return "".join([buildpack(apis.buildpack), *parts]).encode()


def simple(apis: Apis, name: str, about: str, **fields: Any) -> Case:
    """Return a case of the plainest app, which runs directly as `web`, but for `fields`."""
    case = Case(name, about, metadata(apis, direct(apis)), WEB, environment(apis.platform))
    return case._replace(**fields)


def in_shell(apis: Apis, name: str, about: str, **fields: Any) -> Case:
    """Return a case of the plainest app that runs in a shell."""
    case = Case(name, about, metadata(apis, shell(apis)), WEB, environment(apis.platform), needs=("bash",))
    return case._replace(**fields)
