"""Where claim and behaviour of a launcher differ, as text and as JSON. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from metalauncher import __version__
from metalauncher.explain.messages import name_oddities
from metalauncher.explain.terminal import RED, YELLOW
from metalauncher.tooling.console import GREEN, count, decode
from metalauncher.tooling.launcher_json import launcher_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

    from metalauncher.descriptor import Launcher
    from metalauncher.explain.jsontext import Json
    from metalauncher.tooling.console import Console
    from metalauncher.tooling.launchers.probe.trials import Result

    Finding = tuple[Literal["error", "note"], str]

SCHEMA_VERSION = 1  # schemas/probe.schema.json

_SAY = "add to cannot-read in its descriptor:"


class Report(NamedTuple):
    """All about one launcher.

    Attributes:
        launcher: it.
        path: what was run.
        obstacle: why it was not, or "".
        results: in the order of kinds and versions.
    """

    launcher: Launcher
    path: bytes
    obstacle: str
    results: tuple[Result, ...]

    def findings(self) -> list[Finding]:
        """Return where claim and behaviour differ: less than claimed is an error, more is a note."""
        if self.obstacle:
            return [("error", f"can't be run: {self.obstacle}")]
        found = [finding for result in self.results if (finding := _difference(result))]
        if not any(result.behaviour == "accepted" for result in self.results if result.trial.kind == "platform"):
            found.append(("error", "accepts no Platform API: its Buildpack APIs were not tried"))
        return found


def _difference(result: Result) -> Finding | None:
    """Return where claim and behaviour of one start differ; None where they don't."""
    trial, behaviour, code, said = result
    if trial.claimed == (behaviour == "accepted"):
        return None
    what = f"{name_oddities([trial.oddity])} in metadata.toml" if trial.oddity else ""
    what = what or f"{trial.kind.capitalize()} API {trial.api}"
    if behaviour == "accepted":
        return (
            "note",
            f"reads {what}, though its descriptor says it can't"
            if trial.oddity
            else f"accepts {what}, though its descriptor does not claim it",
        )
    how = f"exit code {code}" + (f": {said}" if said else "") if code is not None else said or "no answer in time"
    if trial.oddity:
        return "error", f"can't read {what} ({how}): {_SAY} {trial.oddity!r}"
    return "error", f"claims {what}, but {'refuses it' if behaviour == 'refused' else 'fails'} ({how})"


def lines(report: Report, console: Console) -> list[str]:
    """Return what was found of one launcher, for people."""
    findings = report.findings()
    apis = [result for result in report.results if result.trial.claimed and not result.trial.oddity]
    held = sum([result.behaviour == "accepted" for result in apis])
    colour = RED if any(level == "error" for level, _ in findings) else YELLOW if findings else GREEN
    head = f"{report.launcher!r}: {held} of {count(len(apis), 'claim')} proved ({decode(report.path)})"
    return [console.paint(head, colour), *[console.paint(f"  {level}: {text}", colour) for level, text in findings]]


def document(reports: Sequence[Report]) -> dict[str, Json]:
    """Return the document that schemas/probe.schema.json describes."""
    return {
        "schema_version": SCHEMA_VERSION,
        "metalauncher": __version__,
        "launchers": [
            {
                **launcher_name(report.launcher),
                "path": decode(report.path),
                "obstacle": report.obstacle or None,
                "findings": [{"level": level, "message": text} for level, text in report.findings()],
                "trials": [
                    {
                        "kind": trial.kind,
                        "api": str(trial.api),
                        "oddity": trial.oddity or None,
                        "claimed": trial.claimed,
                        "behaviour": behaviour,
                        "exit_code": code,
                        "output": said or None,
                    }
                    for trial, behaviour, code, said in report.results
                ],
            }
            for report in reports
        ],
    }
