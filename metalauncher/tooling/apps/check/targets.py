"""The apps to check, as people and programs name them: arguments, and lists of one a line. Knows no image.

A list may have blank lines, `# comments`, and JSON: a string, or an object with the image under `app` or `image`, which
is what `--format jsonl` and many inventories write. All that is wrong is said at once, before anything is fetched.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import sys
from typing import IO, TYPE_CHECKING, Final, NamedTuple

from metalauncher.tooling.apps.line_file import LINE_LIMIT
from metalauncher.tooling.console import Unable, count
from metalauncher.tooling.oci.location import lies_here, parse_location
from metalauncher.tooling.oci.reference import Reference
from metalauncher.tooling.reading import ReadError, open_named

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

APPS_LIMIT: Final = 1_000_000
_FAULTS_LIMIT = 10  # that are shown
STDIN: Final = "-"
_INDEX = b"JOB_COMPLETION_INDEX"


class Shard(NamedTuple):
    """One of several parts that a list is split into, the same ones every time, whatever its order.

    Attributes:
        number: from 1.
        of: how many there are.
    """

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def holds(self, app: str) -> bool:
        """Tell whether an app belongs to this part."""
        digest = hashlib.sha256(app.encode("utf-8", "surrogateescape")).digest()
        return int.from_bytes(digest[:8], "big") % self.of == self.number - 1


def parse_shard(text: str, environment: Mapping[bytes, bytes]) -> Shard:
    """Parse `I/N`, or `auto/N`, where a Kubernetes Job says which one this is: it counts from 0.

    Raises:
        Unable: it is neither.
    """
    index, slash, total = text.partition("/")
    if index == "auto" and slash:
        given = environment.get(_INDEX, b"").decode("ascii", "replace")
        if not _is_number(given):
            raise Unable(
                f"--shard {text}: JOB_COMPLETION_INDEX is {repr(given) if given else 'not set'}",
                need="JOB_COMPLETION_INDEX in the environment, as a Kubernetes Job of completionMode Indexed sets it",
                do="or name the part yourself",
                command="metalauncher check --from apps.txt --run-image IMAGE --shard 1/4",
            )
        index = str(int(given) + 1)
    if _is_number(index) and _is_number(total) and 1 <= int(index) <= int(total):
        return Shard(int(index), int(total))
    raise Unable(
        f"--shard {text}: is not a part",
        need="I/N with I from 1 to N, or auto/N",
        command="metalauncher check --from apps.txt --run-image IMAGE --shard 1/4",
    )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 6


def read_targets(
    arguments: Sequence[str], files: Sequence[str], shard: Shard | None = None, *, command: str
) -> tuple[str, ...]:
    """Return the apps, each once, in the order in which they are first named.

    Args:
        arguments: apps, or `-` for a list on stdin.
        files: lists.
        shard: only those of this part.
        command: that is to be run next where a list is wrong.

    Raises:
        Unable: something in a list, or an argument, names no image, or a list can't be read.
    """
    found: dict[str, None] = {}
    faults = _Faults(command)
    for argument in arguments:
        if argument == STDIN:
            _read(sys.stdin.buffer, "stdin", found, faults)
        elif instead := lies_here(argument):
            faults.add(f"{instead}; a list of apps is read with --from {shlex.quote(argument)}")
        else:
            _add(argument, "", found, faults)
    for file in files:
        try:
            with open_named(file) as opened:  # also a pipe: `--from <(kubectl ...)`
                _read(opened, file, found, faults)
        except ReadError as error:
            raise Unable(
                f"--from: {file}: {error}",
                need="a list that can be read, or - for stdin",
                command=f"ls -l {shlex.quote(file)}",
            ) from None
    faults.raise_any()
    if not found and (arguments or files):  # a part may well be empty, the whole fleet is not
        lists = ["stdin" for argument in arguments if argument == STDIN] + [f"--from {file}" for file in files]
        raise Unable(
            f"{' and '.join(lists)}: no app is named there",
            need="an app on each line; a line that begins with # is none",
            command=command,
        )
    return tuple([app for app in found if shard is None or shard.holds(app)])


class _Faults:
    """What is wrong with the lists."""

    def __init__(self, command: str) -> None:
        self.command: Final = command
        self._first: list[str] = []
        self._number = 0

    def add(self, text: str) -> None:
        self._number += 1
        if len(self._first) < _FAULTS_LIMIT:
            self._first.append(text)

    def raise_any(self) -> None:
        if not self._number:
            return
        more = self._number - len(self._first)
        raise Unable(
            self._first[0] if self._number == 1 else f"{self._number} names are not image names",
            have=[] if self._number == 1 else [*self._first, *([f"and {more} more"] if more else [])],
            need="a reference a line, blank lines, # comments, or JSON: a string, or an object with an app or image",
            command=self.command,
        )


def _read(file: IO[bytes], name: str, found: dict[str, None], faults: _Faults) -> None:
    for number, line in enumerate(_lines(file, name, faults.command), 1):
        where = f"{name}:{number}: "
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
            app = _app(text)
        except UnicodeDecodeError:
            faults.add(f"{where}is not UTF-8")
        except ValueError as error:
            faults.add(where + str(error))
        else:
            if app:
                _add(app, where, found, faults)


def _lines(file: IO[bytes], name: str, command: str) -> Iterator[bytes]:
    number = 0
    while line := file.readline(LINE_LIMIT + 1):
        number += 1
        if len(line) > LINE_LIMIT:
            raise Unable(f"{name}:{number}: is longer than {LINE_LIMIT >> 20} MiB", command=command)
        yield line


def _app(text: str) -> str:
    """Return the app that a line names, "" if it names none.

    Raises:
        ValueError: it is JSON that names none.
    """
    if not text or text.startswith("#"):
        return ""
    if text[0] not in '{["':
        head, blank, tail = text.partition(" #")
        if blank:
            text = head.rstrip()
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("is not JSON, though it begins like it") from None
    if isinstance(value, dict):
        value = value.get("app", value.get("image"))
    if not isinstance(value, str) or not value:
        raise ValueError("is JSON without an app or image")
    return value


def _add(app: str, where: str, found: dict[str, None], faults: _Faults) -> None:
    if app in found:
        return
    try:
        reference = parse_location(app)
        if reference.kind == "registry":
            Reference.parse(reference.place)
    except ValueError as error:
        faults.add(f"{where}{error}")
        return
    if len(found) >= APPS_LIMIT:
        raise Unable(
            f"more than {count(APPS_LIMIT, 'app')} are named",
            need="fewer at a time",
            do="split the list",
            command=faults.command,
        )
    found[app] = None
