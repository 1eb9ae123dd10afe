"""What `metalauncher check` says of real app images on real run images, and what crun does.

`python tests/real/table.py [APP…]` prints the table, in Markdown; it takes root.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2] / name) for name in ("", "tests/support", "image/static")]

import golang
import launchers
from appimages import FIRST, RUN_IMAGES, AppImages, Outcome, Seen, app_images, said
from exporting import Exporter, Recipe, recipes
from images import LIFECYCLE

NO_DEFAULT = "when there is no default process a command is required"


@dataclass(frozen=True)
class Start:
    """A way to start an app.

    Attributes:
        name: of it.
        args: of the container, None for the image's own entrypoint.
        prints: what a launcher, or the process that it starts, prints at the end.
        works: whether a process is to be started at all.
    """

    name: str
    args: tuple[str, ...] | None
    prints: str
    works: bool = True


def starts(recipe: Recipe) -> list[Start]:
    """Return the ways to start an app."""
    default = recipe.prints or NO_DEFAULT
    # Since Platform API 0.4 which process is the default is in the entrypoint's name alone.
    bare = NO_DEFAULT if recipe.multicall else default
    found = [
        Start("entrypoint", None, default, default != NO_DEFAULT),
        Start("launcher", (LIFECYCLE,), bare, bare != NO_DEFAULT),
        Start("launcher COMMAND", (LIFECYCLE, 'echo "from $0"'), "from bash"),
        Start("launcher -- COMMAND", (LIFECYCLE, "--", "printf", "[%s]", "one two"), "[one two]"),
    ]
    if not recipe.multicall:
        return [*found, Start("launcher TYPE", (LIFECYCLE, "direct"), "[a b]\n[$HOME]\n[]")]
    return [
        *found,
        Start("launcher by PATH", ("launcher", "--", "printf", "[%s]", "--help"), "[--help]"),
        Start("/cnb/process/TYPE", ("/cnb/process/direct",), "[a b]\n[$HOME]\n[]"),
        Start("/cnb/process/TYPE ARGUMENT", ("/cnb/process/direct", "--which"), "[a b]\n[$HOME]\n[]\n[--which]"),
    ]


@dataclass(frozen=True)
class Row:
    """An app on a run image.

    Attributes:
        recipe: of the app.
        on: the run image, that it was exported onto or rebased onto.
    """

    recipe: Recipe
    on: str

    @property
    def name(self) -> str:
        """What it is called in the names of tests."""
        return f"{self.recipe.name}-on-{self.on}"


@dataclass(frozen=True)
class Filled:
    """A row with what there is to know.

    Attributes:
        row: this.
        before: what `check` says of the app as it was exported, were it on the row's run image.
        after: what it says of the app that is on that.
        reason: why.
        seen: what crun does, for each start.
    """

    row: Row
    before: Outcome
    after: Outcome
    reason: str
    seen: dict[Start, Seen]

    @property
    def alike(self) -> bool:
        """Whether what was said is what is seen."""
        return {self.before, self.after} == {seen.outcome for seen in self.seen.values()}


def rows(names: list[str] | None = None) -> list[Row]:
    """Return the rows, all or those of some apps."""
    return [Row(recipe, on) for recipe in recipes() for on in RUN_IMAGES if not names or recipe.name in names]


def fill(row: Row, images: AppImages) -> Filled:
    """Export, rebase, ask about both, and start what came of it."""
    app = images.app(row.recipe, row.on)
    before, after = images.check((images.app(row.recipe, FIRST), app), row.on)
    seen = {start: images.start(app, start.args) for start in starts(row.recipe)}
    return Filled(row, said(before), said(after), after["reason"], seen)


_HEAD = ("app", "Platform API", "exported by", "brings", "run image", "check before", "check after", "crun", "")


def markdown(filled: Filled) -> str:
    """Return a row for people; starts that came to the same are counted together."""
    recipe, on = filled.row.recipe, filled.row.on
    ended: dict[Outcome, Counter[int]] = {}
    for seen in filled.seen.values():
        ended.setdefault(seen.outcome, Counter())[seen.ended.code] += 1
    crun = "; ".join(
        [
            f"{outcome} ({', '.join([f'{n} ended {code}' for code, n in codes.items()])})"
            for outcome, codes in ended.items()
        ]
    )
    before = "" if on == FIRST else str(filled.before)
    cells = (recipe.name, recipe.platform_api, recipe.lifecycle, recipe.brings, on, before, str(filled.after), crun)
    return _line((*cells, "alike" if filled.alike else "**differ**"))


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def main(names: list[str]) -> int:
    """Print the table; how many containers ended with what is in brackets."""
    wanted = rows(names)
    if unknown := set(names) - {row.recipe.name for row in wanted}:
        known = ", ".join([recipe.name for recipe in recipes()])
        print(f"no app {', '.join(sorted(unknown))}; there is: {known}", file=sys.stderr)
        return 3
    if os.geteuid() != 0:
        print("ERROR: containers are run as root here", file=sys.stderr)
        return 3
    differ = 0
    try:
        go = golang.find()
        real = {version: launchers.build(version, go).executable for version in launchers.QUICK}
        with app_images(Exporter(go), real) as images:
            print(f"{_line(_HEAD)}\n{_line(('---',) * len(_HEAD))}")
            for row in wanted:
                filled = fill(row, images)
                differ += not filled.alike
                print(markdown(filled), flush=True)
    except golang.Unavailable as missing:
        print(f"ERROR: {missing}", file=sys.stderr)
        return 1
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
