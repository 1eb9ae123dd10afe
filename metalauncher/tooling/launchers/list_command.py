"""`metalauncher list`: the launchers in effect, and what is left aside, each with where it comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from metalauncher import __version__
from metalauncher.execute import Itself
from metalauncher.explain.messages import by_rank, span
from metalauncher.explain.predict import locate, why_not_executable
from metalauncher.explain.terminal import RED, YELLOW
from metalauncher.places import EXECUTABLE
from metalauncher.registry import load_registry
from metalauncher.tooling.console import FAINT, GREEN, Console, count, decode
from metalauncher.tooling.installed import installed
from metalauncher.tooling.launcher_json import launcher_document

if TYPE_CHECKING:
    from argparse import Namespace

    from metalauncher.descriptor import Launcher
    from metalauncher.explain.jsontext import Json
    from metalauncher.places import Root

SCHEMA_VERSION = 1  # schemas/list.schema.json

IN_EFFECT, BROKEN, OVERRIDDEN, MASKED, INVALID = "in-effect", "broken", "overridden", "masked", "invalid"
_COLOURS = {IN_EFFECT: GREEN, BROKEN: RED, OVERRIDDEN: FAINT, MASKED: FAINT, INVALID: YELLOW}


class Entry(NamedTuple):
    """One descriptor.

    Attributes:
        state: one of the five.
        descriptor: its file.
        launcher: what it declares; None if it is invalid, or a mask of nothing.
        reason: why it is not simply in effect, or "".
    """

    state: str
    descriptor: str
    launcher: Launcher | None
    reason: str


class Machine(Protocol):
    """A run image, as far as a list asks it."""

    def obstacle_of(self, launcher: Launcher) -> str | None:
        """Say why a launcher can't be started there; None where it can."""


def collect(root: Root, image: Machine | None = None) -> tuple[list[Entry], tuple[str, ...]]:
    """Return every descriptor, those in effect first and in the order of the ranking, and the directories looked in.

    Args:
        root: where they lie.
        image: of which that is the root: its launchers are to start on its machine; None: on this one.
    """
    registry = load_registry(root)
    itself = Itself(root, root.locate(EXECUTABLE.encode()))

    def why_not(launcher: Launcher) -> str | None:
        return why_not_executable(launcher, root, itself) if image is None else image.obstacle_of(launcher)

    entries: list[Entry] = []
    for launcher in sorted(registry.launchers, key=by_rank, reverse=True):
        reason = why_not(launcher)
        entries.append(Entry(BROKEN if reason else IN_EFFECT, launcher.descriptor, launcher, reason or ""))
    aside = {decode(item.file): item.launcher for item in installed(root)}
    entries += [Entry(OVERRIDDEN, image, aside.get(image), f"by {operator}") for image, operator in registry.overridden]
    entries += [
        Entry(MASKED, image, aside.get(image), f"by {mask}")
        if image and image != mask
        else Entry(MASKED, mask, None, "masks nothing")
        for image, mask in registry.masked
    ]
    for broken in registry.invalid:
        key = f"{broken.key}: " if broken.key else ""
        entries.append(Entry(INVALID, broken.file, None, f"{key}{broken.reason}"))
    return entries, registry.directories


def run(options: Namespace, root: Root, console: Console) -> int:
    """List; return 0."""
    entries, directories = collect(root, options.image)
    if options.format == "json":
        console.document(_document(entries, directories, root))
        return 0
    shown = [entry for entry in entries if options.all or entry.state in (IN_EFFECT, BROKEN, INVALID)]
    console.out(_table(shown, console))
    console.say(_summary(entries, directories, options_all=options.all))
    return 0


def _table(entries: list[Entry], console: Console) -> list[str]:
    rows = [_row(entry) for entry in entries]
    head = ("LAUNCHER", "PLATFORM API", "BUILDPACK API", "STATE", "DESCRIPTOR")
    widths = [max([len(row[column]) for row in [head, *rows]]) for column in range(4)]
    lines: list[str] = []
    for entry, row in zip(entries, rows, strict=True):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        cells[3] = console.paint(cells[3], _COLOURS[entry.state])
        lines.append("  ".join([*[console.paint(cell, "") for cell in cells[:3]], cells[3], console.paint(row[4], "")]))
        if entry.reason:
            lines.append(console.paint(f"  {entry.reason}", _COLOURS[entry.state]))
    if not rows:
        return []
    return ["  ".join([cell.ljust(width) for cell, width in zip(head, [*widths, 0], strict=True)]), *lines]


def _row(entry: Entry) -> tuple[str, str, str, str, str]:
    launcher = entry.launcher
    if launcher is None:
        return "-", "-", "-", entry.state, entry.descriptor
    notes = [f"priority {launcher.priority}"] if launcher.priority else []
    notes += [f"with {launcher.opt_in_env}"] if launcher.opt_in_env else []
    state = ", ".join([entry.state.replace("-", " "), *notes])
    return repr(launcher), span(launcher.platform), span(launcher.buildpack), state, entry.descriptor


def _summary(entries: list[Entry], directories: tuple[str, ...], *, options_all: bool) -> str:
    numbers = {state: sum([entry.state == state for entry in entries]) for state in _COLOURS}
    if not entries:
        return f"no descriptor in {' or '.join(directories)}"
    parts = [f"{count(numbers[IN_EFFECT], 'launcher')} in effect"]
    parts += [f"{numbers[state]} {state}" for state in (BROKEN, INVALID) if numbers[state]]
    hidden = [f"{numbers[state]} {state}" for state in (OVERRIDDEN, MASKED) if numbers[state]]
    if hidden:
        parts.append(", ".join(hidden) + ("" if options_all else " (shown with --all)"))
    return ", ".join(parts)


def _document(entries: list[Entry], directories: tuple[str, ...], root: Root) -> dict[str, Json]:
    return {
        "schema_version": SCHEMA_VERSION,
        "metalauncher": __version__,
        "directories": list(directories),
        "launchers": [
            {
                "state": entry.state,
                "descriptor": entry.descriptor,
                "reason": entry.reason or None,
                "executable": None if entry.launcher is None else decode(locate(entry.launcher, root)),
                "launcher": None if entry.launcher is None else launcher_document(entry.launcher),
            }
            for entry in entries
        ],
    }
