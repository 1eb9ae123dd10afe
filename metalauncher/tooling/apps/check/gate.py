"""Which results a run fails by, and which it leaves alone. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from metalauncher.tooling.apps.check.verdict import AT_RISK

if TYPE_CHECKING:
    from collections.abc import Collection

    from metalauncher.tooling.apps.check.verdict import Result

FINDINGS: Final = 1
UNFINISHED: Final = 3

# any: whatever would not start. regressions: what started under the run image compared against, and would not now, or
# is unknown now; an app that was dead before does not hold up a rebase.
FailOn = Literal["any", "regressions"]


class Gate(NamedTuple):
    """What a run fails by.

    Attributes:
        fail_on: which apps.
        unknown: whether it fails by an app whose verdict is unknown.
    """

    fail_on: FailOn = "any"
    unknown: Literal["fail", "warn"] = "fail"

    def concerns(self, result: Result) -> bool:
        """Tell whether somebody has to decide something about an app, on whichever of its platforms."""
        if result.parts:
            return any([self.concerns(part) for part in (*result.judged, *result.owed)])
        if result.kind == "unknown":
            # With nothing known of before it may have started.
            return self.fail_on == "any" or result.before is None or result.regressed
        return result.kind in AT_RISK and (self.fail_on == "any" or result.regressed)

    def fails(self, result: Result) -> bool:
        """Tell whether a run fails by an app, on whichever of its platforms."""
        if result.parts:
            return any([self.fails(part) for part in (*result.judged, *result.owed)])
        tolerated = result.kind == "unknown" and self.unknown == "warn" and not result.wrong_name
        return self.concerns(result) and not tolerated

    def leaves_alone(self, result: Result) -> bool:
        """Tell whether an app would not start, or is unknown, and the run does not fail by it."""
        return (result.kind in AT_RISK or result.kind == "unknown") and not self.fails(result)

    def exit_code(self, results: Collection[Result], unchecked: int) -> int:
        """Return the exit code of a run.

        Args:
            results: all there are.
            unchecked: how many apps have none.

        Returns:
            1 if it fails by an app that would not start; else 3 if by one that is unknown, or that is there for a
            platform of Linux that the run image is not there for, or one is not checked; else 0.
        """
        parts = [one for result in results for one in (*result.judged, *result.owed)]
        failed = {one.kind in AT_RISK for one in parts if self.fails(one)}
        if True in failed:
            return FINDINGS
        return UNFINISHED if failed or unchecked else 0

    @property
    def text(self) -> str:
        """The options that leave something alone, as they are written."""
        options = ["--fail-on regressions"] if self.fail_on == "regressions" else []
        return " ".join([*options, *(["--unknown warn"] if self.unknown == "warn" else [])])


DEFAULT_GATE: Final = Gate()
