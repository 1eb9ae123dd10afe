"""Launchers that are another one but for one thing, each with where `compare` has to find it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from native import FLAGS, SOURCES, Native


@dataclass(frozen=True)
class Change:
    """One thing that a wrapper of a launcher changes.

    Attributes:
        name: as tests/native/wrapper.c calls it.
        case: a case of `compare` that shows it.
        fields: what has to differ there, and nothing else.
    """

    name: str
    case: str
    fields: tuple[str, ...]


# A wrapper that forks gives the app another process than the launcher's, with a parent from outside the comparison.
FORKED = ("app: parent", "app: process")

CHANGES = (
    Change("variable-value", "route/link", ("app: variable HOME",)),
    Change("variable-added", "route/link", ("app: variable ADDED",)),
    Change("variable-removed", "route/link", ("app: variable HOME",)),
    # A Go launcher shuffles the environment: that it came in another order shows where a name is there twice.
    Change("environment-order", "environment/duplicates", ("app: variable A",)),
    Change("argument-value", "arguments/equals", ("app: argument 6",)),
    Change("argument-added", "arguments/equals", ("app: number of arguments", "app: argument 7")),
    Change("argument-removed", "arguments/equals", ("app: number of arguments", "app: argument 6")),
    Change("argv0", "profile.d/one", ("app: variable SEEN",)),
    Change("descriptor", "route/link", ("app: descriptor 7",)),
    # A Go program opens /dev/null in the place of what is closed.
    Change("stdin-closed", "streams/input", ("stdout", "app: descriptor 0")),
    Change("stderr-for-stdout", "streams/both", ("stdout", "stderr", "app: descriptor 1")),
    Change("blocked-signal", "route/link", ("app: blocked signals",)),
    Change("ignored-signal", "route/link", ("app: ignored signals",)),
    Change("umask", "route/link", ("app: umask",)),
    # A launcher goes to the app's directory itself: where it was started shows where that is a relative path.
    Change("directory", "directory/layers-dir-relative", ("exit status", "stdout", "programs started")),
    Change("limit", "route/link", ("app: limit max open files",)),
    Change("hard-limit", "limits/nofile-soft-only", ("app: limit max open files",)),
    Change("priority", "route/link", ("app: priority",)),
    Change("timer-slack", "route/link", ("app: timerslack_ns",)),
    Change("no-new-privileges", "route/link", ("app: NoNewPrivs",)),
    Change("personality", "route/link", ("app: personality",)),
    Change("scheduler", "route/link", ("app: scheduler",)),
    Change("exit-status", "exit-status/082", ("exit status", *FORKED)),
    Change("fork", "route/link", FORKED),
    Change("signal-as-status", "signal/ended-by-term", ("exit status", *FORKED)),
    Change("message-byte", "path/not-found", ("stdout",)),
    Change("line-doubled", "path/not-found", ("stdout",)),
)


def wrap(native: Native, launcher: Path, change: str, folder: Path) -> Path:
    """Return a program that becomes `launcher`, and changes one thing."""
    wrapper = folder / f"wrapper-{change}"
    native.compile(SOURCES / "wrapper.c", wrapper, *FLAGS, f'-DCHANGE="{change}"', f'-DLAUNCHER="{launcher}"')
    return wrapper
