"""Results of a run in a file, one a line as they arrive, so that an interrupted run is taken up where it stopped.

The first line says what was asked: under which run image, with which options. Each time the run is taken up, another
such line may follow; results are put together only where that is the same. The last line may be cut off, of a run that
was killed; any other line that is not whole is a damaged file.
"""

from __future__ import annotations

import json
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple

from metalauncher import __version__
from metalauncher.tooling.apps.check.bounds import Shared, bounded
from metalauncher.tooling.apps.check.targets import Shard
from metalauncher.tooling.apps.check.verdict import SCHEMA_VERSION, Result, from_line, to_line
from metalauncher.tooling.apps.line_file import LineFileError, WholeLines, open_locked, write_line
from metalauncher.tooling.console import Unable
from metalauncher.tooling.reading import ReadError, open_regular

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

    from metalauncher.explain.jsontext import Json
    from metalauncher.tooling.output import Output

_FIRST = b'{"schema_version": 1, "metalauncher": '
_COMMAND = "metalauncher check --from apps.txt --run-image IMAGE --resume FILE"


class Asked(NamedTuple):
    """What a run was asked, and by which program.

    Attributes:
        run_image: what it was called, its digests and its launchers, as --json has it, their descriptors, why some
            can't be exec'd, and for an unpacked one a fingerprint of its executables.
        against: the same of the run image compared against, or None.
        platform: `os/architecture`.
        shard: the part of the fleet, None for all of it.
        apps: how many there are to check.
        metalauncher: the version.
        chosen: whether the platform was named; else apps are looked at for all of theirs.
    """

    run_image: dict[str, Any]
    against: dict[str, Any] | None
    platform: str
    shard: Shard | None
    apps: int
    metalauncher: str = __version__
    chosen: bool = False

    def line(self) -> str:
        """Return the file's first line."""
        document: dict[str, Json] = {
            "schema_version": SCHEMA_VERSION,
            "metalauncher": self.metalauncher,
            "run_image": self.run_image,
            "against": self.against,
            "platform": self.platform,
            "platform_chosen": self.chosen,
            "shard": None if self.shard is None else list(self.shard),
            "apps": self.apps,
        }
        return json.dumps(document)

    @classmethod
    def parse(cls, line: bytes) -> Self:
        """Parse a first line.

        Raises:
            ValueError: it is none.
        """
        try:
            value = json.loads(line)
        except RecursionError:
            raise ValueError("is nested too deep") from None
        if not isinstance(value, dict) or not isinstance(value.get("run_image"), dict):
            raise ValueError("says nothing of a run image")  # noqa: TRY004  # a wrong document, not a wrong call
        if value.get("schema_version") != SCHEMA_VERSION:
            raise ValueError(f"is of schema version {value.get('schema_version')!r}, not {SCHEMA_VERSION}")
        against, shard, apps = value.get("against"), value.get("shard"), value.get("apps")
        if not isinstance(against, dict | None) or not isinstance(apps, int):
            raise ValueError("has against or apps of a wrong type")  # noqa: TRY004  # a wrong document, not a wrong call
        if shard is not None and not (isinstance(shard, list) and len(shard) == 2 and _are_integers(shard)):
            raise ValueError("has a shard that is not I/N")
        return cls(
            value["run_image"],
            against,
            str(value.get("platform")),
            None if shard is None else Shard(*shard),
            apps,
            str(value.get("metalauncher")),
            value.get("platform_chosen") is True,
        )

    @property
    def _platform(self) -> str:
        return f"{self.platform}, by --platform" if self.chosen else self.platform

    def difference(self, other: Asked) -> tuple[str, str, str] | None:
        """Return what keeps results of two runs apart, with the value of each; None if nothing does."""
        for what, mine, its in (
            ("run image", _identity(self.run_image), _identity(other.run_image)),
            ("run image compared against", _identity(self.against), _identity(other.against)),
            ("platform", self._platform, other._platform),
            ("shard", str(self.shard), str(other.shard)),
            ("metalauncher", self.metalauncher, other.metalauncher),
        ):
            if mine != its:
                return what, mine, its
        return None


def _are_integers(values: list[Any]) -> bool:
    return all([isinstance(value, int) and not isinstance(value, bool) for value in values])


def _identity(image: dict[str, Any] | None) -> str:
    """Return what tells whether two run images decide alike."""
    if image is None:
        return "none"
    executables = f", executables {image['fingerprint']}" if image.get("fingerprint") else ""
    return f"{image.get('digest') or image.get('name')}, launchers {image.get('registry_digest')}{executables}"


class Printed:
    """A command's output as a file: that it can't take a line ends the command, as it does with any other findings."""

    def __init__(self, output: Output) -> None:
        """Take it."""
        self._output: Final = output

    def write(self, data: memoryview) -> int:
        """Write all of `data`.

        Raises:
            Unwritten: standard output can't take it.
        """
        self._output.write(bytes(data))
        return len(data)

    def close(self) -> None:
        """Leave it open: it is not this journal's alone."""


class Journal:
    """Where results are written to: each line whole, and out of this process, before the next is begun."""

    def __init__(self, file: IO[bytes] | Printed) -> None:
        """Take the file, opened unbuffered."""
        self._file: Final = file

    def begin(self, asked: Asked) -> None:
        """Write the first line."""
        write_line(self._file, asked.line())

    def add(self, result: Result) -> None:
        """Write a result."""
        write_line(self._file, to_line(result))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def resume(path: str, asked: Asked, wanted: Iterable[str]) -> tuple[Journal, dict[str, Result]]:
    """Open the file of an earlier run, or make it, and go on with it.

    Args:
        path: the file.
        asked: what is asked now.
        wanted: the apps whose results are taken over. Those that are unknown are not: they may be told now.

    Returns:
        What to write further results to, and the results there are, by app.

    Raises:
        Unable: it is damaged, another run writes to it, or it is of a run that was asked something else.
        OSError: it can't be opened or written.
    """
    try:
        file = open_locked(path, 0o666)
    except LineFileError as error:
        raise _refuse(path, str(error)) from None
    try:
        lines = WholeLines(file)
        before, results = _read(path, lines)
        if before is None:
            # Cut off in its first line, or another file altogether: that is not for us to cut.
            if not asked.line().encode().startswith(lines.rest):
                raise _refuse(path, "is not a file of results")
        elif found := asked.difference(before):
            what, mine, its = found
            raise Unable(
                f"{path}: belongs to another run: its {what} is {its}",
                need=f"results for {what} {mine}",
                do="keep that file, and start a new one",
                command="metalauncher check --from apps.txt --run-image IMAGE --resume NEW-FILE",
            )
        file.truncate(lines.end)
        file.seek(lines.end)
        journal = Journal(file)
        if before != asked:
            journal.begin(asked)
    except BaseException:
        file.close()
        raise
    names = frozenset(wanted)
    return journal, {app: one for app, one in results.items() if app in names and one.kind != "unknown"}


def read(path: str) -> tuple[Asked, dict[str, Result]]:
    """Read the file of an earlier run.

    Raises:
        Unable: it is damaged, or none.
    """
    try:
        with open_regular(path) as file:
            asked, results = _read(path, WholeLines(file))
    except ReadError as error:
        raise _refuse(path, str(error)) from None
    if asked is None:
        raise _refuse(path, "is not a file of results")
    return asked, results


def _read(path: str, lines: WholeLines) -> tuple[Asked | None, dict[str, Result]]:
    """Return what was asked, None if there is no whole line, and the last result of each app."""
    asked: Asked | None = None
    results: dict[str, Result] = {}
    shared = Shared()
    try:
        for line in lines:
            if asked is None or line.startswith(_FIRST):
                newer = Asked.parse(line)
                if asked is not None and newer.difference(asked):
                    raise ValueError("belongs to another run than what goes before it")
                asked = newer
            else:
                result = bounded(from_line(line), shared)
                results[result.app] = result
    except ValueError as error:
        raise _refuse(path, f"line {lines.number} {_reason(error)}") from None
    except LineFileError as error:
        raise _refuse(path, str(error)) from None
    return asked, results


def _reason(error: ValueError) -> str:
    return "is not JSON" if isinstance(error, json.JSONDecodeError | UnicodeDecodeError) else str(error)


def _refuse(path: str, reason: str) -> Unable:
    return Unable(
        f"{path}: {reason}",
        need="what metalauncher check --format jsonl or --resume wrote",
        command=_COMMAND,
    )
