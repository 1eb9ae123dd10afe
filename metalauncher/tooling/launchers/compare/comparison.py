"""Compare what came of a case with two launchers. Pure: values in, differences out."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from metalauncher.tooling.launchers.compare.observation import NotRun, Observation, Unfinished

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Literal

    from metalauncher.tooling.launchers.compare.allowances import Allowance
    from metalauncher.tooling.launchers.compare.case import Case
    from metalauncher.tooling.launchers.compare.observation import Outcome, Report

    Verdict = Literal["alike", "different", "allowed", "not-run", "unfinished"]

_ABSENT = b"(none)"


class Difference(NamedTuple):
    """One thing that is not alike.

    Attributes:
        field: what it is: `exit status`, `stdout`, `app: argument 2`, `app: variable PATH`, …
        a: with the first launcher.
        b: with the second.
    """

    field: str
    a: bytes
    b: bytes


class Result(NamedTuple):
    """What came of a case.

    Attributes:
        case: what was run.
        verdict: `allowed`: there are differences, and each is known.
        reason: why it was not run, or did not finish.
        differences: each with what allows it, None for nothing.
    """

    case: Case
    verdict: Verdict
    reason: str
    differences: tuple[tuple[Difference, Allowance | None], ...]


def differences(a: Sequence[Outcome], b: Sequence[Outcome], *, ordered: bool) -> str | NotRun | list[Difference]:
    """Compare all starts of a case.

    Args:
        a: what came of each start of the first launcher.
        b: the same of the second.
        ordered: whether both launchers keep the order of the environment from start to start.

    Returns:
        The differences; why it was not run; why it did not finish.
    """
    for side, outcomes in (("A", a), ("B", b)):
        for outcome in outcomes:
            if isinstance(outcome, Unfinished):
                return f"{side}: {outcome.reason}"
    missing = [outcome for outcome in (*a, *b) if isinstance(outcome, NotRun)]
    if missing:
        return missing[0]
    seen = [[one for one in outcomes if isinstance(one, Observation)] for outcomes in (a, b)]
    found = list(_between(seen[0][0], seen[1][0], ordered=ordered))
    steady = [order_text(one) for one in seen]
    return found + list(_plain("order of the environment", *steady)) if len(a) > 1 else found


def keeps_order(starts: Sequence[Outcome]) -> bool:
    """Tell whether the app's environment has the same order at each start; a Go program's often has not."""
    orders = [report.environment for one in starts if isinstance(one, Observation) for report in one.reports]
    return len(set(orders)) <= 1


def order_text(starts: Sequence[Outcome]) -> bytes:
    """Return the same in words."""
    return b"the same at each start" if keeps_order(starts) else b"another one at each start"


def _between(a: Observation, b: Observation, *, ordered: bool) -> Iterator[Difference]:
    yield from _plain("exit status", a.status.encode(), b.status.encode())
    yield from _plain("stdout", a.stdout, b.stdout)
    yield from _plain("stderr", a.stderr, b.stderr)
    started = [", ".join([report.who for report in one.reports]).encode() or _ABSENT for one in (a, b)]
    yield from _plain("programs started", *started)
    if started[0] == started[1]:
        for one, other in zip(a.reports, b.reports, strict=True):
            yield from _reports(one, other, ordered=ordered)


def _plain(field: str, a: bytes, b: bytes) -> Iterator[Difference]:
    if a != b:
        yield Difference(field, a, b)


def _reports(a: Report, b: Report, *, ordered: bool) -> Iterator[Difference]:
    who = a.who
    yield from _plain(f"{who}: number of arguments", b"%d" % len(a.arguments), b"%d" % len(b.arguments))
    for number in range(max(len(a.arguments), len(b.arguments))):
        ours, theirs = (one.arguments[number] if number < len(one.arguments) else _ABSENT for one in (a, b))
        yield from _plain(f"{who}: argument {number}", ours, theirs)
    variables = [_variables(one.environment) for one in (a, b)]
    for name in sorted({*variables[0], *variables[1]}):
        ours, theirs = (_values(one.get(name)) for one in variables)
        yield from _plain(f"{who}: variable {name.decode('utf-8', 'backslashreplace')}", ours, theirs)
    if ordered:
        common = variables[0].keys() & variables[1].keys()
        names = [_names(one.environment, common) for one in (a, b)]
        yield from _plain(f"{who}: order of the environment", *[b" ".join(one) for one in names])
    for fact in sorted({*a.facts, *b.facts}):
        yield from _plain(f"{who}: {fact}", a.facts.get(fact, _ABSENT), b.facts.get(fact, _ABSENT))


def _variables(environment: Sequence[bytes]) -> dict[bytes, list[bytes]]:
    """Return the values of each name, in order; an entry without `=` is a name of its own without a value."""
    found: dict[bytes, list[bytes]] = {}
    for entry in environment:
        name, equals, value = _split(entry)
        found.setdefault(name, []).append(value if equals else b"(no =)")
    return found


def _values(values: list[bytes] | None) -> bytes:
    return _ABSENT if values is None else b" and again ".join(values)


def _names(environment: Sequence[bytes], names: set[bytes]) -> list[bytes]:
    return [name for name, _, _ in map(_split, environment) if name in names]


def _split(entry: bytes) -> tuple[bytes, bytes, bytes]:
    """Split `NAME=VALUE`; a name may begin with `=`, as the kernel sees it."""
    at = entry.find(b"=", 1)
    return (entry, b"", b"") if at < 0 else (entry[:at], b"=", entry[at + 1 :])
