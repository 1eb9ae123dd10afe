"""What long commands say on the way, as events on stderr: in words for people, or a JSON object a line.

structlog filters and renders them; it takes longer to load than most commands take to run, so only those that have
`--log-format` load this.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import structlog

from metalauncher import __version__
from metalauncher.explain.terminal import RED, STDERR, YELLOW, write_lines, write_message, write_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from structlog.typing import EventDict, WrappedLogger

    from metalauncher.explain.jsontext import Json

_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
JSON: Final = structlog.processors.JSONRenderer()


class EventLog:
    """Where a command's events go. For several threads at once: each event is one write."""

    def __init__(self, form: str, level: str, environment: Mapping[bytes, bytes]) -> None:
        """Take what is wanted.

        Args:
            form: `console` or `json`.
            level: `debug`, `info`, `warning` or `error`: what is below it is not said.
            environment: may forbid colour.
        """
        self.for_people: Final = form == "console"
        words: list[Callable[[WrappedLogger, str, EventDict], Any]] = [_words]
        whole: list[Callable[[WrappedLogger, str, EventDict], Any]] = [
            _like_a_dispatch,
            JSON,
        ]
        self._logger: Final = structlog.wrap_logger(
            _People(environment) if self.for_people else _Machine(),
            processors=words if self.for_people else whole,
            wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
            cache_logger_on_first_use=True,
        )

    def emit(self, level: str, event: str, fields: Mapping[str, Json]) -> None:
        """Say one event.

        Args:
            level: as above.
            event: its name: docs/reference/events.md has them all.
            fields: what it is about; `text`, lines, is what people are told in place of the rest.
        """
        getattr(self._logger, level)(event, **fields)


def _like_a_dispatch(_logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Return the event in the shape that METALAUNCHER_LOG=json has (metalauncher.explain.events)."""
    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    head = {"timestamp": time, "level": method, "event": event.pop("event"), "metalauncher": __version__}
    return {**head, **event}


_KEY_VALUES = structlog.processors.LogfmtRenderer()


def _words(logger: WrappedLogger, method: str, event: EventDict) -> tuple[tuple[list[str]], dict[str, Any]]:
    """Return what the functions below take: the event's own text, or all its fields on a line."""
    if "text" in event:
        return (list(event["text"]),), {}
    name = event.pop("event")
    fields = {key: ",".join(map(str, value)) if isinstance(value, list) else value for key, value in event.items()}
    return ([f"{method}: {name} {_KEY_VALUES(logger, method, fields)}".rstrip()],), {}


class _People:
    """Writes lines as the rest of the program does: printable, and coloured where a person looks."""

    def __init__(self, environment: Mapping[bytes, bytes]) -> None:
        self._environment = environment

    def info(self, lines: list[str]) -> None:
        write_lines(STDERR, lines)

    debug = info

    def warning(self, lines: list[str]) -> None:
        write_message("Warning: ", YELLOW, [f"Warning: {line}" for line in lines], self._environment)

    def error(self, lines: list[str]) -> None:
        write_message("ERROR: ", RED, lines, self._environment)


class _Machine:
    """Writes each event as it was rendered."""

    @staticmethod
    def info(line: str) -> None:
        write_text(STDERR, line + "\n")

    debug = warning = error = info
