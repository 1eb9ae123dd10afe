"""The plan of a run of `patch`, and how far it was applied: a file of JSON lines, which is all that both know.

The first line says what was asked, each other one is the plan for an app, or what became of it. It is for its owner
alone, and checked to its last key before anything is done by it: wherever its lines come from, nothing is written but
to what its own template makes of the apps that it names.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shlex
import stat
from typing import IO, TYPE_CHECKING, Any, Final, Literal, NamedTuple, get_args

from metalauncher import __version__
from metalauncher.tooling.apps.json_fields import boolean, exactly, natural, one_of, optional_text, text, texts
from metalauncher.tooling.apps.line_file import LineFileError, WholeLines, open_locked, write_line
from metalauncher.tooling.apps.patch.entry import (
    Entry,
    Progress,
    entry_from_json,
    entry_to_json,
    progress_from_json,
    progress_to_json,
)
from metalauncher.tooling.apps.patch.template import (
    InvalidTemplate,
    beside,
    find_targets,
    parse_template,
    plan_command,
)
from metalauncher.tooling.console import Unable, count, system_text
from metalauncher.tooling.oci.model import ImageError, parse_digest
from metalauncher.tooling.oci.platforms import parse_platform

if TYPE_CHECKING:
    from collections.abc import Iterable

    from metalauncher.explain.jsontext import Json

SCHEMA_VERSION: Final = 1
KIND: Final = "patch"
LauncherKind = Literal["shim", "symlink"]
LAUNCHERS: Final[tuple[LauncherKind, ...]] = get_args(LauncherKind)
_MODE = 0o600


class Asked(NamedTuple):
    """What a plan was asked for, and by which program.

    Attributes:
        launcher: what the apps are to carry.
        to: the template of the targets.
        must_match: the diffIDs of the launcher layers that are replaced, sorted; empty: whichever.
        force: whether unknown verdicts are written, and images that say they can't be rebased.
        platform: that is taken out of an index; None: an index is refused.
        apps: how many there are.
        fleet: what tells their list from others.
        metalauncher: the version.
    """

    launcher: LauncherKind
    to: str
    must_match: tuple[str, ...]
    force: bool
    platform: str | None
    apps: int
    fleet: str
    metalauncher: str = __version__

    def document(self) -> dict[str, Json]:
        """Return it as a JSON object, `$defs/asked` of the schema."""
        return {**self._asdict(), "must_match": list(self.must_match)}

    def command(self, journal: str, to: str | None = None) -> str:
        """Return the command that asks for it, with another journal or template.

        Args:
            journal: the file to keep the plan in.
            to: the template; None for the same.
        """
        more = [word for digest in self.must_match for word in ("--must-match-sha", digest)]
        more += ["--force"] * self.force + (["--platform", self.platform] if self.platform else [])
        return plan_command(self.to if to is None else to, journal, self.launcher, *more)

    def difference(self, other: Asked) -> tuple[str, str, str] | None:
        """Return what keeps two plans apart, with the value of each; None if nothing does."""
        names = {
            "launcher": "--launcher",
            "to": "--to",
            "must_match": "--must-match-sha",
            "force": "--force",
            "platform": "--platform",
            "apps": "number of apps",
            "fleet": "list of apps",
            "metalauncher": "version of metalauncher",
        }
        for key, name in names.items():
            mine, its = getattr(self, key), getattr(other, key)
            if mine != its:
                return name, str(mine), str(its)
        return None


class Contents(NamedTuple):
    """What a journal holds.

    Attributes:
        asked: its first line.
        entries: the plan for each app, the last where there are several.
        progress: what became of each, as far as it was applied.
    """

    asked: Asked
    entries: dict[str, Entry]
    progress: dict[str, Progress]


def fleet_of(apps: Iterable[str]) -> str:
    """Return what tells a list of apps from others, whatever its order."""
    return f"sha256:{hashlib.sha256(chr(10).join(sorted(apps)).encode('utf-8', 'surrogateescape')).hexdigest()}"


class Journal:
    """Where the plan and its progress are written to."""

    def __init__(self, path: str, file: IO[bytes], new: Asked | None = None) -> None:
        """Take the file, opened unbuffered, at its end; and of a new one what is asked, for its first line."""
        self._path: Final = path
        self._file: Final = file
        self._new = new

    def plan(self, entry: Entry) -> None:
        """Write the plan for an app, and before the first one what was asked."""
        if self._new is not None:
            self._write(_line("asked", self._new.document()))
            self._new = None
        self._write(_line("entry", entry_to_json(entry)))

    def apply(self, progress: Progress) -> None:
        """Write what became of an app."""
        self._write(_line("progress", progress_to_json(progress)))

    def _write(self, line: str) -> None:
        try:
            write_line(self._file, line)
        except OSError as error:
            raise Unable(
                f"{self._path}: {system_text(error)}",
                need="room for the journal: what is not in it is done again, or found to be done",
                do="make room, and run the same command again: it goes on",
                command=f"df {shlex.quote(os.path.dirname(self._path) or '.')}",
            ) from None

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _line(key: str, value: Json) -> str:
    return json.dumps({"schema_version": SCHEMA_VERSION, "kind": KIND, key: value})


def open_plan(path: str, asked: Asked, apps: Iterable[str]) -> tuple[Journal, Contents]:
    """Make a journal, or go on with one that was asked the same.

    Args:
        path: of it.
        asked: what is asked now.
        apps: which are to be planned.

    Raises:
        Unable: it is damaged or somebody else's, another run writes to it, or it was asked something else.
        OSError: it can't be opened or written.
    """
    file = _open(path, os.O_CREAT)
    try:
        lines = WholeLines(file)
        found = _read(path, lines)
        if found is None and not _line("asked", asked.document()).encode().startswith(lines.rest):
            raise _refuse(path, "is not a journal")  # another file, which is not for us to cut
        if found is not None and (different := asked.difference(found.asked)):
            what, mine, its = different
            raise Unable(
                f"{path}: is the journal of another plan, with another {what}: {its}",
                need=f"the journal of a plan with this {what}: {mine}",
                do="keep that file, and name a new one with --journal",
                command=asked.command(beside(path)),
            )
        _go_on(file, lines.end)
        journal = Journal(path, file, asked if found is None else None)
        found = found or Contents(asked, {}, {})
        strangers = found.entries.keys() - set(apps)
        if strangers:
            raise _refuse(path, f"has a plan for {min(strangers)[:200]}, which is not among the apps")
    except BaseException:
        file.close()
        raise
    return journal, found


def open_apply(path: str) -> tuple[Journal, Contents]:
    """Open the journal of a plan that is to be applied, or was in part.

    Raises:
        Unable: it is none, damaged, somebody else's or not finished, or another run writes to it.
        OSError: it can't be opened.
    """
    file = _open(path, 0)
    try:
        lines = WholeLines(file)
        found = _read(path, lines)
        if found is None:
            raise _refuse(path, "is not a journal")
        if found.asked.metalauncher != __version__:
            raise Unable(
                f"{path}: was planned by metalauncher {found.asked.metalauncher}, and this is {__version__}",
                need="the version that made the plan: another one may write other bytes",
                do="or plan again, with a new journal",
                command=found.asked.command(beside(path)),
            )
        missing = found.asked.apps - len(found.entries)
        if missing or fleet_of(found.entries) != found.asked.fleet:
            raise Unable(
                f"{path}: the plan is not finished: {count(missing, 'app')} missing"
                if missing > 0
                else f"{path}: its apps are not those that were planned",
                need="the plan for every app that was named",
                do="run the command again that made the plan",
                command=found.asked.command(path),
            )
        _go_on(file, lines.end)
    except BaseException:
        file.close()
        raise
    return Journal(path, file), found


def _open(path: str, flags: int) -> IO[bytes]:
    """Open a journal, which is this user's alone.

    Raises:
        Unable: it is somebody else's, or no regular file, or another run writes to it.
        OSError: it can't be opened.
    """
    try:
        file = open_locked(path, _MODE, os.O_NOFOLLOW | flags)
    except LineFileError as error:
        raise _refuse(path, str(error)) from None
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise _missing(path, is_new=bool(flags & os.O_CREAT)) from None
        link = error.errno == errno.ELOOP
        raise _refuse(path, "is a link, which is not followed here" if link else system_text(error)) from None
    status = os.fstat(file.fileno())
    if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        file.close()
        raise _refuse(path, "belongs to somebody else, or others may write to it: it says where images are written to")
    return file


def _go_on(file: IO[bytes], end: int) -> None:
    """Write on behind the last whole line of what is known to be a journal."""
    os.fchmod(file.fileno(), _MODE)
    file.truncate(end)
    file.seek(end)


def _read(path: str, lines: WholeLines) -> Contents | None:
    """Return what a journal holds; None where it has no whole line.

    Raises:
        Unable: it is damaged, or says what no plan says.
    """
    found: Contents | None = None
    try:
        for line in lines:
            what, value = _parse(line)
            if found is None:
                if what != "asked":
                    raise ValueError("does not say what was asked")
                found = Contents(_asked(value), {}, {})
            elif what == "entry":
                _add_entry(found, entry_from_json(value))
            elif what == "progress":
                _add_progress(found, progress_from_json(value))
            else:
                raise ValueError("says again what was asked")
    except LineFileError as error:
        raise _refuse(path, str(error)) from None
    except ValueError as error:
        raise _refuse(path, f"line {lines.number} {_reason(error)}") from None
    if found is not None:
        _hold_targets(path, found)
    return found


def _hold_targets(path: str, found: Contents) -> None:
    """Refuse a journal whose targets are not what its own template makes of its apps."""
    targets = find_targets(parse_template(found.asked.to), found.entries)
    for app, entry in found.entries.items():
        if entry.target != str(targets[app]):
            raise _refuse(path, f"has another target for {app[:200]} than its template: {entry.target[:200]}")


def _add_entry(found: Contents, entry: Entry) -> None:
    before = found.entries.get(entry.app)
    if (before is not None and before.decision != "failed") or entry.app in found.progress:
        raise ValueError(f"plans {entry.app[:200]} again")
    if len(found.entries) - (before is not None) >= found.asked.apps:
        raise ValueError(f"plans more than {count(found.asked.apps, 'app')}")
    found.entries[entry.app] = entry


def _add_progress(found: Contents, progress: Progress) -> None:
    entry = found.entries.get(progress.app)
    if entry is None or entry.decision != "planned":
        raise ValueError(f"is about {progress.app[:200]}, which is not planned")
    if progress.digest not in (None, entry.new_digest):
        raise ValueError(f"says that {progress.app[:200]} was written otherwise than planned")
    found.progress[progress.app] = progress


def _parse(line: bytes) -> tuple[str, Any]:
    """Return what a line is about, and what it says.

    Raises:
        ValueError: it is no line of this schema.
    """
    try:
        table = json.loads(line, object_pairs_hook=_unique, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("is nested too deep") from None
    if not isinstance(table, dict):
        raise ValueError("is not an object")  # noqa: TRY004  # a wrong document, not a wrong call
    version = table.get("schema_version")
    if version != SCHEMA_VERSION or isinstance(version, bool) or table.get("kind") != KIND:
        raise ValueError(f"is not of the kind {KIND!r} and schema version {SCHEMA_VERSION}")
    names = [key for key in table if key not in ("schema_version", "kind")]
    if len(names) != 1 or names[0] not in ("asked", "entry", "progress"):
        raise ValueError("has other keys than a line of a journal")
    return names[0], table[names[0]]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("has a key twice")
    return table


def _no_number(name: str) -> Any:
    raise ValueError(f"has {name}, which is not JSON")


def _asked(value: Any) -> Asked:
    table = exactly(value, "what was asked", Asked._fields)
    platform = optional_text(table, "platform")
    try:
        must_match = tuple([parse_digest(item) for item in texts(table, "must_match")])
        fleet = parse_digest(table["fleet"])
        parse_template(text(table, "to"))
    except (ImageError, InvalidTemplate) as error:
        raise ValueError(str(error)) from None
    return Asked(
        launcher=one_of(table, "launcher", LAUNCHERS),
        to=text(table, "to"),
        must_match=must_match,
        force=boolean(table, "force"),
        platform=None if platform is None else parse_platform(platform),
        apps=natural(table, "apps"),
        fleet=fleet,
        metalauncher=text(table, "metalauncher"),
    )


def _reason(error: ValueError) -> str:
    return "is not JSON" if isinstance(error, json.JSONDecodeError | UnicodeDecodeError) else str(error)


def _missing(path: str, *, is_new: bool) -> Unable:
    """Return the refusal of a journal that is not there, or that can't be made as its directory is not."""
    reason = f"{path}: no such file or directory"
    if is_new:
        folder = os.path.dirname(path)
        return Unable(reason, need="a directory for the journal", command=f"mkdir -p {shlex.quote(folder)}")
    return Unable(reason, need="a plan to apply", do="make it first", command=plan_command(journal=path))


def _refuse(path: str, reason: str) -> Unable:
    return Unable(
        f"{path}: {reason}",
        need="a journal that metalauncher patch --journal made",
        do="look at what is there",
        command=f"ls -l {shlex.quote(path)}",
    )
