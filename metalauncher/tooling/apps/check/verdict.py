"""What `check` finds out about one app image, as a value, and as the JSON that schemas/check.schema.json describes.

Pure: knows no image and no launcher's files. What is read back may be half a line of an interrupted run, or anything.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, get_args

from metalauncher.tooling.apps.json_fields import (
    array,
    as_object,
    boolean,
    integer,
    optional_integer,
    optional_text,
    text,
    texts,
)
from metalauncher.tooling.apps.launcher_inventory import OwnLauncher, own_launcher_from_json, own_launcher_to_json
from metalauncher.tooling.oci.platforms import DEFAULT_SYSTEM

if TYPE_CHECKING:
    from metalauncher.explain.jsontext import Json

SCHEMA_VERSION: Final = 1

# starts: one of the run image's launchers would run it. refused: none covers it, or none that does can be exec'd, and
# metalauncher says so. does-not-start: it delegates to a path of the run image that can't be exec'd, or the launcher
# that is chosen fails on its metadata.toml. keeps-own-launcher: it brings one, so that a rebase neither breaks nor
# patches it. unknown: not proven either way; the reason says why.
Kind = Literal["starts", "refused", "does-not-start", "keeps-own-launcher", "unknown"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
URGENCY: Final[tuple[Kind, ...]] = ("does-not-start", "refused", "unknown", "starts", "keeps-own-launcher")
AT_RISK: Final = frozenset[Kind](("refused", "does-not-start"))

# How the image comes to its launcher: by a link to the run image, by a script that the run image interprets, by a copy
# of metalauncher that dispatches to what the run image has, or by a launcher of its own.
Route = Literal["symlink", "shim", "copy", "binary"]
ROUTES: Final[tuple[Route, ...]] = get_args(Route)


class Chosen(NamedTuple):
    """The launcher that would run.

    Attributes:
        id: of its descriptor.
        version: of its descriptor.
        path: of its executable, inside the run image.
    """

    id: str
    version: str
    path: str

    def __str__(self) -> str:
        """Return `id@version`, for people."""
        return f"{self.id}@{self.version}"


class Before(NamedTuple):
    """The verdict under the run image compared against.

    Attributes:
        kind: of it.
        launcher: that ran, if one did.
    """

    kind: Kind
    launcher: Chosen | None


class Result(NamedTuple):
    """What was found out about one app image.

    Attributes:
        app: the reference as it was given.
        digest: of the image's manifest, for the platform looked at; None where it was not had.
        kind: the verdict.
        reason: why, one line for people.
        launcher: that would run, where it starts.
        exit_code: of the container, where it is refused or does not start and that can be told.
        platform_api: as recorded, None where none is.
        buildpacks: (id, Buildpack API as recorded or None) in the order of the file.
        route: how it comes to its launcher, None where that is not known.
        remedy: what would serve it, "" where there is nothing to be done or nothing known.
        notes: what else is to be known about it, each one line.
        before: with a run image to compare against: the verdict under that.
        own_launcher: which launcher it keeps, where it keeps its own.
        assumes: on what the verdict rests besides what was read, as codes; empty where on nothing.
        layers_read: how many of the image's layers were looked through for it, those remembered from other apps too.
        bytes_read: of these layers, as they are stored.
        wrong_name: what was named is no app for this platform: not the app is to be mended, but the list of apps.
        platform: that of the image, where those of several are judged; None where that of all is asked for.
        parts: of an app for several platforms, the result of each: then this is what they come to, as `in_sum` says.
        unserved: the run image is not there for the platform: nothing is known of it, and nothing is done to it.
    """

    app: str
    digest: str | None
    kind: Kind
    reason: str
    launcher: Chosen | None = None
    exit_code: int | None = None
    platform_api: str | None = None
    buildpacks: tuple[tuple[str, str | None], ...] = ()
    route: Route | None = None
    remedy: str = ""
    notes: tuple[str, ...] = ()
    before: Before | None = None
    own_launcher: OwnLauncher | None = None
    assumes: tuple[str, ...] = ()
    layers_read: int = 0
    bytes_read: int = 0
    wrong_name: bool = False
    platform: str | None = None
    parts: tuple[Result, ...] = ()
    unserved: bool = False

    @property
    def judged(self) -> tuple[Result, ...]:
        """What was judged: for each of several platforms that the run image is there for, or this alone."""
        return tuple([part for part in self.parts if not part.unserved]) or self.parts or (self,)

    @property
    def left_out(self) -> tuple[Result, ...]:
        """What stands beside that: of an app for several platforms those that the run image is not there for."""
        return tuple([part for part in self.parts if part not in self.judged])

    @property
    def owed(self) -> tuple[Result, ...]:
        """Of these the ones for Linux: for other systems there are no launchers, and so no run image to build."""
        return tuple([part for part in self.left_out if (part.platform or "").startswith(f"{DEFAULT_SYSTEM}/")])

    @property
    def regressed(self) -> bool:
        """It would have started under the run image compared against, and now would not, or it is unknown."""
        if self.parts:
            return any([part.regressed for part in self.judged])
        decided = self.kind in AT_RISK or self.kind == "unknown"
        return decided and self.before is not None and self.before.kind == "starts"


def in_sum(app: str, digest: str, parts: tuple[Result, ...]) -> Result:
    """Return what the results for several platforms of one app come to: the most urgent of them, named.

    A platform that the run image is not there for decides nothing, unless it is there for none of them.

    Args:
        app: the reference as it was given.
        digest: of the app's index.
        parts: by platform.
    """
    judged = Result(app, digest, "unknown", "", parts=parts).judged
    worst = min(judged, key=lambda one: (URGENCY.index(one.kind), not one.regressed))
    alike = all([(one.kind, one.reason) == (worst.kind, worst.reason) for one in judged])
    return worst._replace(
        app=app,
        digest=digest,
        reason=worst.reason if alike else f"on {worst.platform}: {worst.reason}",
        assumes=tuple(dict.fromkeys([code for one in parts for code in one.assumes])),
        layers_read=sum([one.layers_read for one in parts]),
        bytes_read=sum([one.bytes_read for one in parts]),
        platform=None,
        parts=parts,
        unserved=False,
    )


def to_json(result: Result) -> dict[str, Json]:
    """Return the result as a JSON object, `$defs/result` of the schema."""
    platform: dict[str, Json] = {} if result.platform is None else {"platform": result.platform}
    parts: dict[str, Json] = {"platforms": [to_json(part) for part in result.parts]} if result.parts else {}
    return {
        "app": result.app,
        "digest": result.digest,
        "kind": result.kind,
        "reason": result.reason,
        "launcher": _launcher_to_json(result.launcher),
        "exit_code": result.exit_code,
        "platform_api": result.platform_api,
        "buildpacks": [{"id": identifier, "api": api} for identifier, api in result.buildpacks],
        "route": result.route,
        "remedy": result.remedy,
        "notes": list(result.notes),
        "before": None
        if result.before is None
        else {"kind": result.before.kind, "launcher": _launcher_to_json(result.before.launcher)},
        "own_launcher": None if result.own_launcher is None else own_launcher_to_json(result.own_launcher),
        "assumes": list(result.assumes),
        "layers_read": result.layers_read,
        "bytes_read": result.bytes_read,
        "wrong_name": result.wrong_name,
        **platform,
        **({"unserved": True} if result.unserved else {}),
        **parts,
    }


def _launcher_to_json(launcher: Chosen | None) -> dict[str, Json] | None:
    return None if launcher is None else {"id": launcher.id, "version": launcher.version, "path": launcher.path}


def to_line(result: Result) -> str:
    """Return the result as one line of `--format jsonl`, without the line's end."""
    return json.dumps({"schema_version": SCHEMA_VERSION, **to_json(result)})


def from_line(line: str | bytes) -> Result:
    """Return the result that a line of `--format jsonl` holds.

    Raises:
        ValueError: it is no whole line of this schema version.
    """
    try:
        value = json.loads(line)
    except RecursionError:
        raise ValueError("is nested too deep") from None
    version = value.get("schema_version") if isinstance(value, dict) else None
    if version != SCHEMA_VERSION or isinstance(version, bool):
        raise ValueError(f"is of schema version {version!r}, not {SCHEMA_VERSION}")
    return from_json(value)


def from_json(value: Any) -> Result:
    """Return the result that a JSON object says.

    Raises:
        ValueError: it is not what `to_json` returns; other keys than those do not matter.
    """
    table = as_object(value, "result")
    before, own = table.get("before"), table.get("own_launcher")
    return Result(
        app=text(table, "app"),
        digest=optional_text(table, "digest"),
        kind=_kind(table),
        reason=text(table, "reason"),
        launcher=_launcher(table),
        exit_code=optional_integer(table, "exit_code"),
        platform_api=optional_text(table, "platform_api"),
        buildpacks=tuple(
            [
                (text(entry, "id"), optional_text(entry, "api"))
                for entry in [as_object(item, "buildpack") for item in array(table, "buildpacks")]
            ]
        ),
        route=_route(table),
        remedy=text(table, "remedy"),
        notes=texts(table, "notes"),
        before=None if before is None else _before(as_object(before, "before")),
        own_launcher=None if own is None else own_launcher_from_json(as_object(own, "own_launcher")),
        assumes=texts(table, "assumes"),
        layers_read=integer(table, "layers_read"),
        bytes_read=integer(table, "bytes_read"),
        wrong_name=boolean(table, "wrong_name"),
        platform=optional_text(table, "platform"),
        parts=_parts(table),
        unserved="unserved" in table and boolean(table, "unserved"),
    )


def _parts(table: dict[str, Any]) -> tuple[Result, ...]:
    """Return the results for several platforms; each is for one, and has none below it."""
    entries = array(table, "platforms") if "platforms" in table else []
    if any([isinstance(entry, dict) and entry.get("platforms") for entry in entries]):
        raise ValueError("platforms has platforms of its own")
    return tuple([from_json(entry) for entry in entries])


def _before(table: dict[str, Any]) -> Before:
    return Before(_kind(table), _launcher(table))


def _launcher(table: dict[str, Any]) -> Chosen | None:
    value = table.get("launcher")
    if value is None:
        return None
    launcher = as_object(value, "launcher")
    return Chosen(text(launcher, "id"), text(launcher, "version"), text(launcher, "path"))


def _kind(table: dict[str, Any]) -> Kind:
    found = text(table, "kind")
    for kind in KINDS:
        if kind == found:
            return kind
    raise ValueError(f"kind is {found!r}, not one of {', '.join(KINDS)}")


def _route(table: dict[str, Any]) -> Route | None:
    found = optional_text(table, "route")
    for route in ROUTES:
        if route == found:
            return route
    if found is None:
        return None
    raise ValueError(f"route is {found!r}, not one of {', '.join(ROUTES)}")
