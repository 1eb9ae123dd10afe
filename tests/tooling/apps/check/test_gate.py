"""What a run fails by, and with which code; what it leaves alone."""

from __future__ import annotations

import itertools

import pytest

from metalauncher.tooling.apps.check.gate import Gate
from metalauncher.tooling.apps.check.verdict import AT_RISK, KINDS, Before, Kind, Result, in_sum


def result(kind: Kind, before: Kind | None = None, *, wrong_name: bool = False) -> Result:
    """Return a result."""
    return Result("app", None, kind, "", before=None if before is None else Before(before, None), wrong_name=wrong_name)


@pytest.mark.parametrize(("kind", "before"), list(itertools.product(KINDS, (None, *KINDS))))
def test_each_result(kind: Kind, before: Kind | None) -> None:
    """By default whatever would not start, or can't be told; else of these what started before, or may have."""
    one = result(kind, before)
    assert Gate().concerns(one) == (kind in AT_RISK or kind == "unknown")
    assert not Gate().leaves_alone(one)
    regressions = Gate("regressions")
    started = before == "starts" or (kind == "unknown" and before is None)
    assert regressions.concerns(one) == (Gate().concerns(one) and started)
    assert regressions.leaves_alone(one) == (Gate().concerns(one) and not started)
    assert Gate(unknown="warn").leaves_alone(one) == (kind == "unknown")


@pytest.mark.parametrize(
    ("results", "gate", "code"),
    [
        ([result("starts"), result("keeps-own-launcher")], Gate(), 0),
        ([result("refused"), result("unknown")], Gate(), 1),
        ([result("unknown")], Gate(), 3),
        ([result("unknown")], Gate(unknown="warn"), 0),
        ([result("unknown", wrong_name=True)], Gate(unknown="warn"), 3),
        ([result("does-not-start", "refused")], Gate("regressions"), 0),
        ([result("does-not-start", "starts")], Gate("regressions"), 1),
        ([result("unknown", "starts")], Gate("regressions"), 3),
        ([result("unknown", "unknown")], Gate("regressions"), 0),
    ],
)
def test_exit_codes(results: list[Result], gate: Gate, code: int) -> None:
    """1 before 3 before 0; and what is not checked is not finished."""
    assert gate.exit_code(results, 0) == code
    assert gate.exit_code(results, 2) == (code or 3)


def test_of_several_platforms() -> None:
    """A run fails by any platform of an app, also by one that is less urgent than another that it leaves alone."""
    dead = Result("app", None, "refused", "", before=Before("refused", None), platform="linux/amd64")
    lost = Result("app", None, "unknown", "", before=Before("starts", None), platform="linux/arm64")
    app = in_sum("app", "sha256:1", (dead, lost))
    assert app.kind == "refused"
    gate = Gate("regressions")
    assert (gate.concerns(app), gate.fails(app), gate.leaves_alone(app)) == (True, True, False)
    assert gate.exit_code([app], 0) == 3
    assert Gate("any").exit_code([app], 0) == 1
    assert Gate("regressions", "warn").exit_code([app], 0) == 0
    assert Gate("regressions", "warn").leaves_alone(app)
