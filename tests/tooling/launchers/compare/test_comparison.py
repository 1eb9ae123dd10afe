"""What is told apart of two observations, and what is not: values in, differences out."""

from __future__ import annotations

import pytest

from metalauncher.tooling.launchers.compare.case import Apis, simple
from metalauncher.tooling.launchers.compare.cases import all_cases, areas
from metalauncher.tooling.launchers.compare.comparison import Difference, Result, differences, keeps_order
from metalauncher.tooling.launchers.compare.observation import (
    NotRun,
    Observation,
    Process,
    Report,
    Unfinished,
    read_reports,
    status_text,
    steady,
)
from metalauncher.tooling.launchers.compare.present import excerpts, exit_code, readable

APP = Report("app", (b"web", b"x"), (b"A=1", b"B=2", b"C=3"), {"umask": b"0022", "working directory": b"/app"})
SEEN = Observation("exit 0", b"out\n", b"", (APP,))
CASES = all_cases(Apis("0.12", "0.10"))


def compare(other: Observation, *, ordered: bool = True) -> list[tuple[str, bytes, bytes]]:
    """Return what differs from `SEEN`."""
    found = differences([SEEN], [other], ordered=ordered)
    assert isinstance(found, list)
    return [(one.field, one.a, one.b) for one in found]


def with_app(**changed: object) -> Observation:
    """Return `SEEN` with another app."""
    return SEEN._replace(reports=(APP._replace(**changed),))  # type: ignore[arg-type]  # fields by name


def test_alike() -> None:
    """Equal observations have no differences."""
    assert compare(SEEN._replace()) == []


@pytest.mark.parametrize(
    ("other", "found"),
    [
        (SEEN._replace(status="exit 1"), [("exit status", b"exit 0", b"exit 1")]),
        (SEEN._replace(stdout=b"out"), [("stdout", b"out\n", b"out")]),
        (SEEN._replace(stdout=b"", stderr=b"out\n"), [("stdout", b"out\n", b""), ("stderr", b"", b"out\n")]),
        (SEEN._replace(reports=()), [("programs started", b"app", b"(none)")]),
        (SEEN._replace(reports=(APP, APP)), [("programs started", b"app", b"app, app")]),
        (with_app(arguments=(b"web", b"y")), [("app: argument 1", b"x", b"y")]),
        (
            with_app(arguments=(b"web",)),
            [("app: number of arguments", b"2", b"1"), ("app: argument 1", b"x", b"(none)")],
        ),
        (with_app(environment=(b"A=1", b"B=3", b"C=3")), [("app: variable B", b"2", b"3")]),
        (with_app(environment=(b"A=1", b"C=3")), [("app: variable B", b"2", b"(none)")]),
        (with_app(environment=(b"A=1", b"B=2", b"C=3", b"D=")), [("app: variable D", b"(none)", b"")]),
        (
            with_app(environment=(b"A=1", b"B=2", b"C=3", b"A=1")),
            [("app: variable A", b"1", b"1 and again 1"), ("app: order of the environment", b"A B C", b"A B C A")],
        ),
        (with_app(environment=(b"A=1", b"C=3", b"B=2")), [("app: order of the environment", b"A B C", b"A C B")]),
        (with_app(environment=(b"A=1", b"B", b"C=3")), [("app: variable B", b"2", b"(no =)")]),
        (with_app(facts={"umask": b"0077", "working directory": b"/app"}), [("app: umask", b"0022", b"0077")]),
        (with_app(facts={"working directory": b"/app"}), [("app: umask", b"0022", b"(none)")]),
    ],
)
def test_each_difference(other: Observation, found: list[tuple[str, bytes, bytes]]) -> None:
    """Whatever is not equal is named, with both values, and by itself."""
    assert compare(other) == found


def test_order_that_is_not_kept() -> None:
    """Where a launcher shuffles the environment, another order is no difference; another value is."""
    assert compare(with_app(environment=(b"C=3", b"A=1", b"B=2")), ordered=False) == []
    assert compare(with_app(environment=(b"C=3", b"A=1", b"B=9")), ordered=False) == [("app: variable B", b"2", b"9")]


def test_that_one_shuffles_is_a_difference() -> None:
    """Over several starts: one keeps the order, the other does not."""
    shuffled = with_app(environment=(b"C=3", b"A=1", b"B=2"))
    assert (keeps_order([SEEN, SEEN]), keeps_order([SEEN, shuffled])) == (True, False)
    assert differences([SEEN, SEEN], [SEEN, shuffled], ordered=False) == [
        Difference("order of the environment", b"the same at each start", b"another one at each start")
    ]


def test_what_did_not_finish() -> None:
    """One start that did not finish makes the case unfinished, whatever the others say; then comes what was not run."""
    assert differences([SEEN], [Unfinished("late")], ordered=True) == "B: late"
    assert differences([Unfinished("late")], [NotRun("no shell")], ordered=True) == "A: late"
    assert differences([SEEN], [NotRun("no shell")], ordered=True) == NotRun("no shell")


def test_exit_codes() -> None:
    """0 alike, 1 different, 3 not finished or nothing compared; what is allowed counts as alike."""
    case = CASES[0]

    def code(*verdicts: str) -> int:
        return exit_code([Result(case, verdict, "", ()) for verdict in verdicts])  # type: ignore[arg-type]  # verdicts that the test made up

    assert (code("alike"), code("alike", "allowed", "not-run"), code("alike", "different")) == (0, 0, 1)
    assert (code("different", "unfinished"), code("not-run"), code()) == (3, 3, 3)


def test_long_values_are_shown_where_they_differ() -> None:
    """A short value is shown whole; of a long one what is around the first byte that differs."""
    assert excerpts(Difference("stdout", b"a\n\x1b\xff", b"")) == ("a\\n\\x1b\\xff", "")
    a, b = excerpts(Difference("stdout", b"x" * 500 + b"A" + b"y" * 500, b"x" * 500 + b"B" + b"y" * 10))
    assert a == "…(460 bytes) " + "x" * 40 + "A" + "y" * 119 + " …(381 bytes)"
    assert b == "…(460 bytes) " + "x" * 40 + "B" + "y" * 10
    assert readable("é".encode()) == "é"


def test_what_changes_from_start_to_start_is_no_difference() -> None:
    """Times of Go's log, and addresses of a Go panic; but a number in a message is one."""
    assert steady(b"2026/11/30 20:29:41 error logging: full\n") == b"$TIME error logging: full\n"
    panic = b"panic: oops 0x1\n\ngoroutine 1 [running]:\nmain.main(0xc000012345, 0x1)\n\t/a.go:1 +0x1b\n"
    assert (
        steady(panic)
        == b"panic: oops 0x1\n\ngoroutine 1 [running]:\nmain.main($ADDRESS, $ADDRESS)\n\t/a.go:1 +$ADDRESS\n"
    )
    assert steady(b"port 0x1f at 2026/11/30 20:29:41\n") == b"port 0x1f at 2026/11/30 20:29:41\n"


def test_status_text() -> None:
    """An end by a signal is told from the status that a shell makes of it."""
    assert [status_text(code) for code in (0, 143, -15, -40)] == [
        "exit 0",
        "exit 143",
        "signal 15 (SIGTERM)",
        "signal 40",
    ]


@pytest.mark.parametrize("line", [b"{}", b"[", b"1", b"\xff", b"{'who': 1}", b"[" * 10_000, b"__import__('os')"])
def test_reports_that_are_none(line: bytes) -> None:
    """What a program wrote that is no report is told, and never run."""
    with pytest.raises(ValueError, match="no report: "):
        read_reports(line, Process(1, 2, 0))


def test_there_are_enough_cases() -> None:
    """Every area, every Platform and Buildpack API, every exit status; names are unique, and say where they belong."""
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names) > 150 + 256
    assert all(case.about and case.name.startswith(f"{case.area}/") for case in CASES)
    statuses = {f"exit-status/{status:03}" for status in range(256)}
    assert statuses <= set(names)
    apis = {f"platform-0.{minor}" for minor in range(2, 17)} | {f"buildpack-0.{minor}" for minor in range(1, 14)}
    assert apis <= set(areas())
    assert {
        "route",
        "arguments",
        "directory",
        "path",
        "environment",
        "env-files",
        "layers",
        "profile.d",
        "exec.d",
    } <= set(areas())
    assert {
        "deprecation",
        "colour",
        "streams",
        "platform-api",
        "buildpack-api",
        "metadata",
        "exit-status",
        "signal",
    } <= set(areas())
    assert {"descriptors", "limits", "state"} <= set(areas())


def test_cases_that_need_a_shell_say_so() -> None:
    """Whatever has `direct = false` for the process that is run names its need."""
    for case in CASES:
        if b"direct = false" in (case.metadata or b"") and not case.needs:
            pytest.fail(case.name)


def test_cases_do_not_share_what_they_are_made_of() -> None:
    """A plain case is the same whenever it is made."""
    apis = Apis("0.12", "0.10")
    assert simple(apis, "a/b", "c") == simple(apis, "a/b", "c")
