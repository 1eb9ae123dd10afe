"""What came of a start, by what a container wrote and how it ended, and whether a verdict of `check` is so. Pure."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from images import Json
from recipes import Recipe

_USAGE, _DRY_RUN = 3, 83
_REFUSALS = (1, 11, 12, 70, 80, 81, 82)

Happened = Literal["ran", "refused", "usage", "crashed", "nothing"]


@dataclass(frozen=True)
class Truth:
    """What came of one start.

    Attributes:
        happened: `ran`: a program of the recipe; `refused`: by metalauncher; `usage`: metalauncher's own command line,
            that was wrong, or a dry run; `crashed`: a program was exec'd, and said nothing; `nothing`: nothing was.
        mark: of the program: `run:PATH` or `app:PATH`, by the image that it comes from.
        through: the same, of its interpreter where it has one.
        execfn: the path that was exec'd.
        code: the container's exit code.
        said: the first line on stderr.
        how: the runtime, and what else was chosen.
    """

    happened: Happened
    mark: str = ""
    through: str = ""
    execfn: str = ""
    code: int = 0
    said: str = ""
    how: str = ""

    @property
    def short(self) -> str:
        """Name it for a table."""
        match self.happened:
            case "ran":
                return f"{self.mark.partition(':')[0]} program ran"
            case "refused":
                return f"refused {self.code}"
            case _:
                return self.happened


@dataclass(frozen=True)
class Case:
    """A recipe, what `check` said, and what is true."""

    recipe: Recipe
    verdict: Json
    truths: tuple[Truth, ...]

    @property
    def wrong(self) -> str:
        """Why the verdict is wrong, "" where it is not."""
        return next((why for why in (agrees(self.verdict, truth, self.recipe) for truth in self.truths) if why), "")

    @property
    def is_settled(self) -> bool:
        """All starts came to the same."""
        return len({(one.happened, one.mark, one.execfn, one.code) for one in self.truths}) == 1

    def __str__(self) -> str:
        """Return both, for people."""
        truths = "\n".join([f"  truth: {one}" for one in self.truths])
        return f"{said(self.verdict)}: {self.verdict['reason']}\n{truths}"


def said(verdict: Mapping[str, Any]) -> str:
    """Name a verdict as recipes do."""
    return f"refused {verdict['exit_code']}" if verdict["kind"] == "refused" else str(verdict["kind"])


def agrees(verdict: Mapping[str, Any], truth: Truth, recipe: Recipe) -> str:
    """Say why a verdict is not so, "" where it is right, or says that it is not known.

    Args:
        verdict: a result of `check`'s JSON.
        truth: what happened.
        recipe: that it is about.
    """
    ran = truth.happened == "ran"
    launcher = (verdict["launcher"] or {}).get("path")
    match verdict["kind"]:
        case "starts":
            ours = truth.mark.startswith("run:") and truth.through.startswith("run:")
            right = ran and ours and truth.execfn == launcher
        case "refused":
            right = truth.happened in ("refused", "usage") and truth.code == verdict["exit_code"]
        case "does-not-start":
            # The launcher that is chosen may be known to fail, which these programs do not.
            right = truth.happened in ("nothing", "usage", "crashed") or (ran and truth.execfn == launcher)
        case "not-affected" | "keeps-its-launcher":
            right = (ran and truth.mark.startswith("app:")) or (truth.happened == "crashed" and recipe.cuts)
        case _:
            right = True
    if right:
        return ""
    what = f"{truth.happened} {truth.mark or truth.code}"
    return f"it is said: {said(verdict)}{f' with {launcher}' if launcher else ''}; but: {what} ({truth.how})"


def read_truth(run: subprocess.CompletedProcess[str], runtime: str, how: str) -> Truth:
    """Return what happened, by what a container wrote and how it ended."""
    lines = run.stderr.splitlines()
    first = next((line for line in lines if line.startswith(("ERROR: ", "metalauncher: "))), lines[0] if lines else "")
    marks = [line.split("\t") for line in run.stdout.splitlines() if line.startswith("ORACLE\t")]
    if marks:
        _, through, mark, execfn = marks[-1]
        return Truth("ran", mark, through, execfn, run.returncode, first, how)
    happened: Happened = "nothing"
    if first.startswith(("ERROR: ", "metalauncher: ")):
        happened = "usage" if run.returncode == _USAGE else "refused" if run.returncode in _REFUSALS else "nothing"
    elif run.returncode == _DRY_RUN:
        happened = "usage"
    elif not lines or (runtime != "crun" and run.returncode > 128):
        happened = "crashed"
    return Truth(happened, code=run.returncode, said=first, how=how)
