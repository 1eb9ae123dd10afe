"""What came of a start, by what a container wrote and how it ended, and whether a verdict of `check` is so. Pure."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from images import Json
from recipes import Recipe

Words = tuple[str, ...]
_THOROUGH = "--thorough"
# What `check` is asked with, beside the images. To be `((), (_THOROUGH,))` once that is there.
WAYS: Final[tuple[Words, ...]] = ((), (_THOROUGH,))
_USAGE, _DRY_RUN = 3, 83
_SIGNALS = 128  # a code above it: ended by a signal
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
    """A recipe, what `check` said in each of the WAYS, and what is true."""

    recipe: Recipe
    verdicts: tuple[Json, ...]
    truths: tuple[Truth, ...]

    @property
    def verdict(self) -> Json:
        """That of the way that looks closest."""
        return self.verdicts[-1]

    @property
    def wrong(self) -> str:
        """Why a verdict is wrong, "" where none is. Where a layer lies, those that trust its label do not count."""
        return self._wrong([way for way in WAYS if self.recipe.is_honest or _THOROUGH in way])

    @property
    def misled(self) -> bool:
        """A verdict is wrong that trusts a layer which lies."""
        return not self.wrong and bool(self._wrong(WAYS))

    def _wrong(self, ways: Sequence[Words]) -> str:
        asked = [verdict for way, verdict in zip(WAYS, self.verdicts, strict=True) if way in ways]
        found = [agrees(verdict, truth, self.recipe) for verdict in asked for truth in self.truths]
        return next((why for why in found if why), "")

    @property
    def said(self) -> str:
        """Name the verdict; where the ways differ, each."""
        return " / ".join(dict.fromkeys([said(verdict) for verdict in self.verdicts]))

    @property
    def happened(self) -> str:
        """Name what is true."""
        # Runtimes have codes of their own for what they do not start.
        found = {(one.short, one.mark, one.execfn) for one in self.truths}
        return self.truths[0].short if len(found) == 1 else "it depends"

    def __str__(self) -> str:
        """Return both, for people."""
        verdicts = [f"{said(verdict)}: {verdict['reason']}" for verdict in self.verdicts]
        return "\n".join([*verdicts, *[f"  truth: {one}" for one in self.truths]])


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
        case "keeps-own-launcher" | "keeps-its-launcher":
            right = (ran and truth.mark.startswith("app:")) or (truth.happened == "crashed" and recipe.cuts)
        case _:
            right = True
    if right:
        return ""
    what = f"{truth.happened} {truth.mark or truth.code}"
    return f"it is said: {said(verdict)}{f' with {launcher}' if launcher else ''}; but: {what} ({truth.how})"


def read_truth(run: subprocess.CompletedProcess[str], how: str) -> Truth:
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
    elif not lines or run.returncode > _SIGNALS:
        happened = "crashed"
    return Truth(happened, code=run.returncode, said=first, how=how)
