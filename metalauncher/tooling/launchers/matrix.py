"""`metalauncher matrix`: which launcher serves which APIs, where the gaps are, and which launchers would do."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

from metalauncher import __version__
from metalauncher.apis import ApiRange, ApiSet, ApiVersion
from metalauncher.explain.messages import by_rank, span
from metalauncher.explain.releases import RELEASES, supporting
from metalauncher.explain.terminal import RED
from metalauncher.registry import load_registry
from metalauncher.tooling.console import FAINT, Console, Unable
from metalauncher.tooling.launcher_json import launcher_name
from metalauncher.tooling.launchers.coverage import Need, describe_gaps, enumerate_apis, exportable, gaps, serving
from metalauncher.tooling.pep440 import parse_version

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from packaging.version import Version

    from metalauncher.descriptor import Launcher
    from metalauncher.explain.jsontext import Json
    from metalauncher.places import Root
    from metalauncher.registry import Registry

SCHEMA_VERSION = 1  # schemas/matrix.schema.json

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_HUES = (32, 36, 34, 35, 33)  # of the launchers' letters, in turn: red is for gaps
_GAP, _NOTHING = "!", "."
_AXIS_LIMIT = 40  # versions of one kind that are drawn
_SET_LIMIT = 5  # launchers of the smallest set; two cover everything so far


class Known(NamedTuple):
    """A launcher that could be installed, or is.

    Attributes:
        name: `id@version`.
        version: of it.
        platform: Platform APIs.
        buildpack: Buildpack APIs.
        installed: whether it is in effect.
    """

    name: str
    version: str
    platform: ApiSet
    buildpack: ApiSet
    installed: bool

    def covers(self, need: Need) -> bool:
        """Tell whether it serves such an app alone."""
        return (
            self.platform.covers(need.platform)
            and self.buildpack.covers(need.oldest)
            and self.buildpack.covers(need.newest)
        )


class Picture(NamedTuple):
    """All that is shown.

    Attributes:
        launchers: in effect, without opt-in, best first: their index is what a cell holds.
        platforms: the rows.
        buildpacks: the columns.
        cells: by (platform, buildpack): the launcher's index, or None.
        exported: the cells that some lifecycle release could export.
        gaps: what such releases could export and nothing covers.
        minimal: the smallest set of launchers for it all, None if it is not asked for.
    """

    launchers: tuple[Launcher, ...]
    platforms: tuple[ApiVersion, ...]
    buildpacks: tuple[ApiVersion, ...]
    cells: dict[tuple[ApiVersion, ApiVersion], int | None]
    exported: frozenset[tuple[ApiVersion, ApiVersion]]
    gaps: tuple[Need, ...]
    minimal: tuple[Known, ...] | None


def run(options: Namespace, root: Root, console: Console) -> int:
    """Draw; return 1 if `--gaps` is asked for and there are some, else 0."""
    registry = load_registry(root)
    limits = tuple(
        [
            _limit(text, option)
            for text, option in ((options.platform_apis, "platform"), (options.buildpack_apis, "buildpack"))
        ]
    )
    picture = collect(registry, limits[0], limits[1], minimal=options.minimal)
    if options.format == "json":
        console.document(_document(picture))
    else:
        lines: list[str] = []
        if not (options.gaps or options.minimal):
            lines += _draw(picture, console) if options.format == "text" else _markdown(picture)
        if options.gaps:
            lines += _gap_lines(picture, console)
        if picture.minimal is not None:
            lines += _minimal_lines(picture.minimal)
        console.out(lines)
        for broken in registry.invalid:
            console.warn(f"invalid descriptor: {broken}")
    return 1 if options.gaps and picture.gaps else 0


def _limit(text: str | None, kind: str) -> ApiSet | None:
    if text is None:
        return None
    try:
        if text[:1] in "<>=!":
            return ApiSet(ApiRange(text))
        return ApiSet([ApiVersion.parse(part.strip()) for part in text.split(",")])
    except ValueError as error:
        raise Unable(
            f"--{kind}-apis: {error}",
            need="versions with commas, or a range that closes above",
            command=f"metalauncher matrix --{kind}-apis '>=0.7,<=0.12'",
        ) from None


def collect(
    registry: Registry, platform_limit: ApiSet | None, buildpack_limit: ApiSet | None, *, minimal: bool
) -> Picture:
    """Compute the picture of a registry, within limits where they are given."""

    def inside(need: Need) -> bool:
        return (platform_limit is None or platform_limit.covers(need.platform)) and (
            buildpack_limit is None or (buildpack_limit.covers(need.oldest) and buildpack_limit.covers(need.newest))
        )

    needs = frozenset([need for need in exportable() if inside(need)])
    launchers = tuple(sorted([one for one in registry.launchers if not one.opt_in_env], key=by_rank, reverse=True))
    platforms = {need.platform for need in needs} | {
        api
        for one in launchers
        for api in enumerate_apis(one.platform)
        if platform_limit is None or platform_limit.covers(api)
    }
    buildpacks = {need.oldest for need in needs} | {
        api
        for one in launchers
        for api in enumerate_apis(one.buildpack)
        if buildpack_limit is None or buildpack_limit.covers(api)
    }
    rows, columns = (tuple(sorted(apis)[:_AXIS_LIMIT]) for apis in (platforms, buildpacks))
    index = {id(launcher): number for number, launcher in enumerate(launchers)}
    cells: dict[tuple[ApiVersion, ApiVersion], int | None] = {}
    for platform in rows:
        for buildpack in columns:
            found = serving(registry, Need(platform, buildpack, buildpack))
            cells[platform, buildpack] = None if found is None else index[id(found)]
    return Picture(
        launchers,
        rows,
        columns,
        cells,
        frozenset([(need.platform, need.oldest) for need in needs if need.oldest == need.newest]),
        tuple(gaps(registry, needs)),
        smallest(needs, launchers) if minimal else None,
    )


def smallest(needs: frozenset[Need], launchers: Sequence[Launcher]) -> tuple[Known, ...]:
    """Return the smallest set that covers `needs`: of equal ones, that with more installed, then with newer ones."""
    known = [Known(repr(one), one.version, one.platform, one.buildpack, True) for one in launchers]
    names = {one.name for one in known}
    for _, last, *numbers in RELEASES:
        platform, buildpack = (
            ApiSet([ApiVersion((0, minor)) for minor in range(oldest, newest + 1)])
            for oldest, newest in (numbers[:2], numbers[2:])
        )
        name = f"buildpacks/lifecycle@{last}"
        if name not in names:
            known.append(Known(name, last, platform, buildpack, False))
    known.sort(key=lambda one: (one.installed, parse_version(one.version)), reverse=True)
    covered = [frozenset([need for need in needs if one.covers(need)]) for one in known]
    for size in range(_SET_LIMIT + 1):
        fitting = [
            chosen
            for chosen in combinations(range(len(known)), size)
            if frozenset().union(*[covered[number] for number in chosen]) == needs
        ]
        if fitting:
            best = max(fitting, key=lambda chosen: _preference([known[number] for number in chosen]))
            return tuple([known[number] for number in best])
    return ()


def _preference(chosen: list[Known]) -> tuple[int, list[Version]]:
    return sum([one.installed for one in chosen]), sorted([parse_version(one.version) for one in chosen], reverse=True)


def _draw(picture: Picture, console: Console) -> list[str]:
    width = max([len(str(api)) for api in picture.buildpacks], default=0) + 1
    label = max([len(str(api)) for api in picture.platforms], default=0)
    lines = [
        f"{'':<{label + 9}} Buildpack API",
        f"{'Platform':<{label + 9}}{''.join([f'{api!s:>{width}}' for api in picture.buildpacks])}",
    ]
    for platform in picture.platforms:
        cells = [_cell(picture, platform, buildpack, width, console) for buildpack in picture.buildpacks]
        lines.append(f"{'API':>8} {platform!s:<{label}}{''.join(cells)}")
    lines.append("")
    first = set(picture.cells.values())
    for number, launcher in enumerate(picture.launchers):
        text = f"{_letter(number)} {launcher!r} ({launcher.descriptor})"
        # Without a word a launcher that is in no cell looks as if nobody needed it.
        text += "" if number in first else ": in no cell: other launchers are chosen first"
        text += "" if launcher.platform.default is None else "; serves apps that recorded no API, too"
        lines.append(console.paint(text, _hue(number)))
    lines.append(console.paint(f"{_GAP} a gap: a lifecycle release could export it, and no launcher serves it", RED))
    lines.append(console.paint(f"{_NOTHING} no release could export it", FAINT))
    if any(number is not None and cell not in picture.exported for cell, number in picture.cells.items()):
        lines.append("lower case: served, though no release could export it")
    mixes = [need for need in picture.gaps if need.oldest != need.newest]
    if mixes:
        text = f"{len(mixes)} mixes of Buildpack APIs in one app are served by no single launcher: see --gaps"
        lines.append(console.paint(text, RED))
    return lines


def _letter(number: int) -> str:
    return _LETTERS[number % len(_LETTERS)]


def _hue(number: int) -> str:
    return f"\x1b[{_HUES[number % len(_HUES)]}m"


def _mark(picture: Picture, platform: ApiVersion, buildpack: ApiVersion) -> str:
    number = picture.cells[platform, buildpack]
    exported = (platform, buildpack) in picture.exported
    if number is None:
        return _GAP if exported else _NOTHING
    return _letter(number) if exported else _letter(number).lower()


def _cell(picture: Picture, platform: ApiVersion, buildpack: ApiVersion, width: int, console: Console) -> str:
    mark = _mark(picture, platform, buildpack)
    number = picture.cells[platform, buildpack]
    colour = (RED if mark == _GAP else FAINT) if number is None else _hue(number)
    return " " * (width - 1) + console.paint(mark, colour)


def _markdown(picture: Picture) -> list[str]:
    lines = [
        f"| Platform \\ Buildpack API | {' | '.join([str(api) for api in picture.buildpacks])} |",
        "|---" * (len(picture.buildpacks) + 1) + "|",
    ]
    for platform in picture.platforms:
        marks = [_mark(picture, platform, buildpack) for buildpack in picture.buildpacks]
        lines.append(f"| {platform} | {' | '.join([mark if mark != _NOTHING else '' for mark in marks])} |")
    lines.append("")
    lines += [f"- {_letter(number)}: `{launcher!r}`" for number, launcher in enumerate(picture.launchers)]
    if _GAP in {_mark(picture, *cell) for cell in picture.cells}:
        lines.append(f"- {_GAP}: a gap")
    return lines


def _gap_lines(picture: Picture, console: Console) -> list[str]:
    if not picture.gaps:
        return ["no gaps: whatever a lifecycle release could export is served by one launcher"]
    lines: list[str] = []
    for need, text in describe_gaps(list(picture.gaps)):
        releases = ", ".join([f"{first} to {last}" for first, last in supporting(need.platform, need[1:])])
        remedy = f"lifecycle {releases} would serve it" if releases else "no lifecycle release alone would serve it"
        lines.append(console.paint(f"{text}: no launcher here; {remedy}", RED))
    return lines


def _minimal_lines(minimal: tuple[Known, ...]) -> list[str]:
    lines = [
        f"{one.name}: Platform API {span(one.platform)}, Buildpack API {span(one.buildpack)}"
        + ("" if one.installed else " (not installed)")
        for one in minimal
    ]
    return lines or ["nothing is needed: no lifecycle release could export any of this"]


def _document(picture: Picture) -> dict[str, Json]:
    return {
        "schema_version": SCHEMA_VERSION,
        "metalauncher": __version__,
        "platform_apis": [str(api) for api in picture.platforms],
        "buildpack_apis": [str(api) for api in picture.buildpacks],
        "launchers": [launcher_name(one) for one in picture.launchers],
        "cells": [
            {
                "platform_api": str(platform),
                "buildpack_api": str(buildpack),
                "launcher": number,
                "exportable": (platform, buildpack) in picture.exported,
            }
            for (platform, buildpack), number in picture.cells.items()
        ],
        "gaps": [
            {
                "platform_api": str(need.platform),
                "buildpack_apis": [str(api) for api in dict.fromkeys(need[1:])],
                "releases": [list(pair) for pair in supporting(need.platform, need[1:])],
            }
            for need in picture.gaps
        ],
        "minimal": None
        if picture.minimal is None
        else [{"name": one.name, "version": one.version, "installed": one.installed} for one in picture.minimal],
    }
