"""What commands say: findings where `--output` says, talk on stderr, colour and progress only where a person looks."""

from __future__ import annotations

import json
import posix
import re
from typing import TYPE_CHECKING, Final

from metalauncher.errnos import errno_text
from metalauncher.explain.terminal import (
    RED,
    STDERR,
    STDOUT,
    YELLOW,
    is_coloured,
    printable,
    write_lines,
    write_message,
    write_text,
)
from metalauncher.tooling.output import STDOUT as STANDARD_OUTPUT

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Mapping

    from metalauncher.explain.jsontext import Json
    from metalauncher.tooling.log import EventLog
    from metalauncher.tooling.output import Output

GREEN = "\x1b[32;1m"
FAINT = "\x1b[2m"
BOLD = "\x1b[1m"
_RESET = "\x1b[0m"
_COLOUR = re.compile(r"(\x1b\[[0-9;]*m)")
_BATCH = 1 << 16  # characters that are written at once
_CLEAR_LINE = "\r\x1b[K"


class Unable(Exception):
    """A command can't be finished. Nothing was changed."""

    def __init__(
        self,
        headline: str,
        *,
        command: str,
        need: str = "",
        have: Iterable[str] = (),
        do: str = "",
    ) -> None:
        """Hold what to say.

        Args:
            headline: what went wrong.
            command: the last line: a command to run next.
            need: what was needed.
            have: what there is.
            do: what to do.
        """
        super().__init__(headline)
        self.headline: Final = headline
        self.command: Final = command
        self.need: Final = need
        self.have: Final = tuple(have)
        self.do: Final = do

    def about(self, what: str) -> Unable:
        """Return the same, said of one of several things: a platform."""
        return Unable(f"{what}: {self.headline}", command=self.command, need=self.need, have=self.have, do=self.do)

    def lines(self) -> list[str]:
        """Return the whole text, laid out as a dispatch's refusal is."""
        lines = [f"ERROR: {self.headline}"]
        for label, texts in (
            ("need:", (self.need,) if self.need else ()),
            ("have:", self.have),
            ("do:", (self.do, self.command) if self.do else (self.command,)),
        ):
            lines += [f"  {label if number == 0 else '':<9}{text}" for number, text in enumerate(texts)]
        return lines


def without_module(who: str, module: str, extra: str) -> Unable:
    """Return what to say where a library is missing that an extra of the package installs.

    Args:
        who: needs it, for people.
        module: Python's name of the library.
        extra: the extra's name.
    """
    headline = f"{who} needs the Python module {module!r}, which is not installed"
    return Unable(headline, command=f"pip install 'metalauncher[{extra}]'")


class Console:
    """Where a command writes."""

    def __init__(
        self,
        environment: Mapping[bytes, bytes],
        output: Output = STANDARD_OUTPUT,
        rename: Callable[[str], str] = lambda text: text,
        log: EventLog | None = None,
    ) -> None:
        """Take where to write, and how.

        Args:
            environment: may forbid colour.
            output: takes findings.
            rename: is asked for every text before it is written: what lies in a folder of this command's own, to
                others lies somewhere else.
            log: takes all that is said on stderr, of the commands that have `--log-format`.
        """
        self.environment: Final = environment
        self._rename: Final = rename
        self.output: Final = output
        self._coloured = output is STANDARD_OUTPUT and is_coloured(STDOUT, environment)
        self._log: Final = log
        self._progress = posix.isatty(STDERR) and (log is None or log.for_people)

    def out(self, lines: Iterable[str]) -> None:
        """Give findings, a line each, every one made printable.

        Raises:
            Unwritten: standard output can't take them.
        """
        self.pieces(self._safe(line) + "\n" for line in lines)

    def _safe(self, line: str) -> str:
        if not self._coloured:
            return printable(line)
        # Colours stay; whatever else is not printable is escaped.
        return "".join([part if _COLOUR.fullmatch(part) else printable(part) for part in _COLOUR.split(line)])

    def document(self, document: Mapping[str, Json]) -> None:
        """Give one JSON document.

        Raises:
            Unwritten: standard output can't take it.
        """
        self.text(json.dumps(document, indent=2) + "\n")

    def pieces(self, pieces: Iterable[str]) -> None:
        """Give a text as it is, of which little is held at a time.

        Raises:
            Unwritten: standard output can't take it.
        """
        held: list[str] = []
        size = 0
        for piece in pieces:
            held.append(piece)
            size += len(piece)
            if size >= _BATCH:
                self.text("".join(held))
                held, size = [], 0
        self.text("".join(held))

    def renamed(self, text: str) -> str:
        """Return a text as others are to read it."""
        return self._rename(text)

    def text(self, text: str) -> None:
        """Give a whole text as it is, as UTF-8.

        Raises:
            Unwritten: standard output can't take it.
        """
        self.output.write(self._rename(text).encode("utf-8", "backslashreplace"))

    def paint(self, text: str, colour: str) -> str:
        """Return `text`, made printable, coloured if it goes to a person's terminal."""
        safe = printable(text)
        return f"{colour}{safe}{_RESET}" if self._coloured else safe

    def say(self, *lines: str) -> None:
        """Talk, on stderr."""
        renamed = [self._rename(line) for line in lines]
        if self._log is None:
            write_lines(STDERR, renamed)
        else:
            self._log.emit("info", "message", {"text": renamed})

    def warn(self, text: str) -> None:
        """Write one warning on stderr."""
        if self._log is None:
            write_message("Warning: ", YELLOW, [f"Warning: {self._rename(text)}"], self.environment)
        else:
            self._log.emit("warning", "warning", {"text": [self._rename(text)]})

    def fail(self, unable: Unable) -> None:
        """Say why a command can't be finished."""
        lines = [self._rename(line) for line in unable.lines()]
        if self._log is None:
            write_message("ERROR: ", RED, lines, self.environment)
        else:
            self._log.emit("error", "failed", {"text": lines})

    def note(self, event: str, **fields: Json) -> None:
        """Say what happens on the way: an event of docs/reference/events.md. For any thread."""
        if self._log is not None:
            self._log.emit("debug", event, fields)

    def progress(self, text: str) -> None:
        """Show how far long work has come, on a terminal only; "" takes it away."""
        if self._progress:
            write_text(STDERR, _CLEAR_LINE + printable(text))


def system_text(error: OSError) -> str:
    """Return what the system refused: in the dispatch's words where it has some, else in the system's own."""
    text = errno_text(error.errno)
    own = error.strerror or text
    return text if not text.startswith("errno ") else own[:1].lower() + own[1:]


def count(number: int, noun: str) -> str:
    """Return `1 launcher`, `2 launchers`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def encode(text: str) -> bytes:
    """Return the bytes that the command line's `text` was decoded from."""
    return text.encode("utf-8", "surrogateescape")


def decode(data: bytes) -> str:
    """Return bytes of a path as text; what is not UTF-8 survives the way back."""
    return data.decode("utf-8", "surrogateescape")


def format_of(options: argparse.Namespace, *formats: str, when: str) -> str:
    """Return the format of a command that has other ones in another case.

    Args:
        options: of the command line.
        formats: that it has in this case, the default first.
        when: the case.

    Raises:
        Unable: another one is asked for.
    """
    chosen: str = options.format or formats[0]
    if chosen not in formats:
        raise Unable(
            f"{options.format_by}: {options.command} has no such format {when}",
            need=f"--format {' or '.join(formats)}",
            command=f"metalauncher {options.command} --help",
        )
    return chosen
