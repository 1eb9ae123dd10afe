"""What `check` finds out about one app image, as a value, and as the JSON that schemas/check.schema.json describes.

Pure: knows no image and no launcher's files. What is read back may be half a line of an interrupted run, or anything.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, get_args

if TYPE_CHECKING:
    from metalauncher.explain.jsontext import Json

SCHEMA_VERSION: Final = 1

# starts: one of the run image's launchers would run it. refused: none covers it, or none that does can be exec'd, and
# metalauncher says so. does-not-start: it delegates to a path of the run image that can't be exec'd, or the launcher
# that is chosen fails on its metadata.toml. not-affected: it brings its own launcher. unknown: it can't be told; the
# reason says why.
Kind = Literal["starts", "refused", "does-not-start", "not-affected", "unknown"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
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
        assumes: what it rests on that was not looked at, as codes.
        layers_read: how many of the app's layers were read for it.
        bytes_read: how many bytes these have as they are stored.
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
    assumes: tuple[str, ...] = ()
    layers_read: int = 0
    bytes_read: int = 0

    @property
    def regressed(self) -> bool:
        """It is at risk, and would have started under the run image compared against."""
        return self.kind in AT_RISK and self.before is not None and self.before.kind == "starts"


def to_json(result: Result) -> dict[str, Json]:
    """Return the result as a JSON object, `$defs/result` of the schema."""
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
    table = _object(value, "result")
    before = table.get("before")
    return Result(
        app=_text(table, "app"),
        digest=_optional_text(table, "digest"),
        kind=_kind(table),
        reason=_text(table, "reason"),
        launcher=_launcher(table),
        exit_code=_exit_code(table),
        platform_api=_optional_text(table, "platform_api"),
        buildpacks=tuple(
            [
                (_text(entry, "id"), _optional_text(entry, "api"))
                for entry in [_object(item, "buildpack") for item in _array(table, "buildpacks")]
            ]
        ),
        route=_route(table),
        remedy=_text(table, "remedy"),
        notes=tuple([_string(note, "notes") for note in _array(table, "notes")]),
        before=None if before is None else _before(_object(before, "before")),
    )


def _before(table: dict[str, Any]) -> Before:
    return Before(_kind(table), _launcher(table))


def _launcher(table: dict[str, Any]) -> Chosen | None:
    value = table.get("launcher")
    if value is None:
        return None
    launcher = _object(value, "launcher")
    return Chosen(_text(launcher, "id"), _text(launcher, "version"), _text(launcher, "path"))


def _kind(table: dict[str, Any]) -> Kind:
    text = _text(table, "kind")
    for kind in KINDS:
        if kind == text:
            return kind
    raise ValueError(f"kind is {text!r}, not one of {', '.join(KINDS)}")


def _route(table: dict[str, Any]) -> Route | None:
    text = _optional_text(table, "route")
    for route in ROUTES:
        if route == text:
            return route
    if text is None:
        return None
    raise ValueError(f"route is {text!r}, not one of {', '.join(ROUTES)}")


def _exit_code(table: dict[str, Any]) -> int | None:
    value = table.get("exit_code")
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise ValueError(f"exit_code is {value!r}, not an integer")


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{what} is not an object")  # noqa: TRY004  # a wrong document, not a wrong call
    return value


def _array(table: dict[str, Any], key: str) -> list[Any]:
    value = table.get(key)
    if not isinstance(value, list):
        raise ValueError(f"{key} is not an array")  # noqa: TRY004  # a wrong document, not a wrong call
    return value


def _text(table: dict[str, Any], key: str) -> str:
    return _string(table.get(key), key)


def _optional_text(table: dict[str, Any], key: str) -> str | None:
    return None if table.get(key) is None else _text(table, key)


def _string(value: Any, key: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{key} is not a string")  # noqa: TRY004  # a wrong document, not a wrong call
    return value
