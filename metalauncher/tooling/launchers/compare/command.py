"""`metalauncher compare`: run two launchers over many small apps, and say what differs."""

from __future__ import annotations

import os
import re
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from metalauncher.tooling.console import Console, Unable
from metalauncher.tooling.launchers.compare.acquaintance import Acquaintance, control_case, get_acquainted
from metalauncher.tooling.launchers.compare.allowances import read_allowances
from metalauncher.tooling.launchers.compare.case import Apis
from metalauncher.tooling.launchers.compare.cases import all_cases, areas
from metalauncher.tooling.launchers.compare.comparison import Result, differences
from metalauncher.tooling.launchers.compare.layout import Site
from metalauncher.tooling.launchers.compare.observation import NotRun, Observation, Outcome
from metalauncher.tooling.launchers.compare.present import document, exit_code, readable, summary, text
from metalauncher.tooling.launchers.compare.runner import Machine, Running, obstacle
from metalauncher.tooling.launchers.compare.runner import run as run_case
from metalauncher.tooling.launchers.compare.sides import COMMAND, Side, prepare
from metalauncher.tooling.launchers.on_linux import need_linux
from metalauncher.tooling.scratch import scratch_folder

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Sequence

    from metalauncher.places import Root
    from metalauncher.tooling.launchers.compare.acquaintance import Both
    from metalauncher.tooling.launchers.compare.allowances import Allowance
    from metalauncher.tooling.launchers.compare.case import Case

_API = re.compile(r"[0-9]+\.[0-9]+")
BASH = "/bin/bash"  # what launchers start for a process that wants a shell (lifecycle, launch/bash.go)


class Bench(NamedTuple):
    """What starts both launchers for cases.

    Attributes:
        sides: both.
        scratch: where places are laid out.
        interpreter: Python.
        timeout: seconds for each start.
        executor: runs several at a time.
        running: what runs now.
    """

    sides: tuple[Side, Side]
    scratch: str
    interpreter: str
    timeout: float
    executor: ThreadPoolExecutor
    running: Running

    def run(self, cases: Sequence[Case], told: Callable[[int, Case], None]) -> list[Both]:
        """Start both for each case: one after the other in the same place, so that no path differs.

        Args:
            cases: what is run.
            told: called with the number of cases that are done, and the one that just was.
        """
        tasks = {
            self.executor.submit(self._both, case, Site(f"{self.scratch}/{number:04}", self.interpreter)): number
            for number, case in enumerate(cases)
        }
        try:
            for done, task in enumerate(as_completed(tasks), 1):
                told(done, cases[tasks[task]])
        except BaseException:  # an interruption is not to wait for launchers that hang
            self.running.end()
            self.executor.shutdown(cancel_futures=True)
            raise
        return [task.result() for task in tasks]

    def _both(self, case: Case, site: Site) -> Both:
        a, b = (run_case(case, site, side.file, self.timeout, self.running) for side in self.sides)
        shutil.rmtree(site.place, ignore_errors=True)
        return _freed(a, site), _freed(b, site)


def run(options: Namespace, root: Root, console: Console) -> int:
    """Compare; return 0 where all is alike, 1 where something differs, 3 where some case did not finish."""
    need_linux("compare")
    machine = Machine(BASH if os.access(BASH, os.X_OK) else None, shutil.which("grep", path="/usr/bin:/bin"))
    allowances = [allowance for file in options.allow for allowance in read_allowances(file)]
    _check_names(options.only)
    given = _given_apis(options.platform_api, options.buildpack_api)
    with scratch_folder("metalauncher-compare-") as scratch:
        os.chmod(scratch, 0o755)  # noqa: S103  # programs of the places lie in it
        interpreter = _interpreter(scratch)
        sides = (prepare("A", options.a, root, scratch), prepare("B", options.b, root, scratch))
        with ThreadPoolExecutor(options.jobs or os.cpu_count() or 1) as executor:
            bench = Bench(sides, scratch, interpreter, options.timeout, executor, Running())
            console.progress("trying both launchers")
            _check_app(bench, scratch)
            known = get_acquainted(lambda cases: bench.run(cases, lambda *_: None), given)
            if given is not None and known.common is None:
                raise Unable(
                    f"compare: neither started an app with Platform API {given.platform} and Buildpack API"
                    f" {given.buildpack}",
                    need="APIs that they accept",
                    do="leave both options out: then the newest that both accept are found",
                    command=COMMAND,
                )
            if known.platform == ((), ()):
                raise Unable(
                    "compare: neither started an app with any Platform API",
                    need="two launchers",
                    have=[
                        f"{side.name}: {why or 'it ended, and no app was started'}"
                        for side, why in zip(sides, known.silent, strict=True)
                    ],
                    command=COMMAND,
                )
            cases = [case for case in all_cases(known.common) if _wanted(case, options.only)]
            obstacles = [_obstacle(case, machine, known) for case in cases]
            runnable = [case for case, why in zip(cases, obstacles, strict=True) if not why]

            def told(done: int, case: Case) -> None:
                console.progress(f"comparing: {done} of {len(runnable)} cases")
                console.note("case-run", case=case.name)

            for case, why in zip(cases, obstacles, strict=True):
                if why:
                    console.note("case-skipped", case=case.name, reason=why)
            outcomes = bench.run(runnable, told)
        console.progress("")
    seen: dict[str, Both | str] = {case.name: why for case, why in zip(cases, obstacles, strict=True)}
    seen |= dict(zip([case.name for case in runnable], outcomes, strict=True))
    results = [_result(case, seen[case.name], known, allowances) for case in cases]
    if options.format == "json":
        console.document(document(sides, known, results, allowances))
    else:
        console.out(text(results, console, everything=options.all))
        console.say(*summary(sides, known, results, allowances))
    return exit_code(results)


def _given_apis(platform: str | None, buildpack: str | None) -> Apis | None:
    """Return the APIs that the command line wants, None for those that both launchers accept."""
    if platform is None and buildpack is None:
        return None
    for option, api in (("--platform-api", platform), ("--buildpack-api", buildpack)):
        if api is None or not _API.fullmatch(api):
            raise Unable(
                f"{option}: is {'missing' if api is None else f'{api!r}, which is no API'}",
                need="--platform-api and --buildpack-api together, each MAJOR.MINOR",
                command=COMMAND,
            )
    return Apis(platform or "", buildpack or "")


def _check_names(patterns: Sequence[str]) -> None:
    """See that each pattern names a case."""
    names = [case.name for case in all_cases(None)]
    for pattern in patterns:
        if not any(_matches(name, pattern) for name in names):
            raise Unable(
                f"--only {pattern}: there is no such case",
                need="AREA, AREA/NAME, or a pattern with *",
                have=[f"areas: {', '.join(areas())}"],
                command=COMMAND,
            )


def _wanted(case: Case, patterns: Sequence[str]) -> bool:
    return not patterns or any(_matches(case.name, pattern) for pattern in patterns)


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or name.startswith(pattern.rstrip("/") + "/")


def _check_app(bench: Bench, scratch: str) -> None:
    """See that the app runs here at all: not that all launchers are found to be unable to start it."""
    ((outcome, *_), _), *_ = bench.run([control_case()], lambda *_: None)
    if isinstance(outcome, Observation) and outcome.reports:
        return
    why = f"{outcome.status}, {readable(outcome.stderr[-200:])}" if isinstance(outcome, Observation) else outcome.reason
    raise Unable(
        f"compare: programs in {scratch} can't be run here: {why}",
        need=f"a directory for scratch where programs may be run, and a Python that runs with an empty environment:"
        f" {bench.interpreter}",
        do="name another directory",
        command="TMPDIR=/var/tmp metalauncher compare A B",
    )


def _obstacle(case: Case, machine: Machine, known: Acquaintance) -> str:
    if known.common is None and not case.own_apis:
        return "there are no APIs that both accept"
    return obstacle(case, machine)


def _interpreter(scratch: str) -> str:
    """Return the Python that the app is run by: this very one."""
    if not sys.executable or not os.path.exists("/proc/self/environ"):
        what = "an installed Python" if not sys.executable else "/proc"
        raise Unable(
            f"compare: there is no {what} here",
            need="the interpreter that runs metalauncher, for the app, and /proc, where the app sees what it got",
            do="run it where metalauncher is installed as a package",
            command="pip install metalauncher",
        )
    if not Site(f"{scratch}/0000", sys.executable).shebang_fits():
        raise Unable(
            f"compare: the path of the scratch directory, {scratch}, is too long for a script's first line",
            need="a short one",
            command="TMPDIR=/tmp metalauncher compare A B",
        )
    return os.path.realpath(sys.executable)


def _freed(outcomes: Sequence[Outcome], site: Site) -> list[Outcome]:
    """Return the outcomes with `$PLACE` for the path of the place, which is another one at the next run."""
    place = site.place.encode()

    def free(data: bytes) -> bytes:
        return data.replace(place, b"$PLACE")

    freed: list[Outcome] = []
    for outcome in outcomes:
        if not isinstance(outcome, Observation):
            freed.append(outcome)
            continue
        reports = tuple(
            [
                report._replace(
                    arguments=tuple(map(free, report.arguments)),
                    environment=tuple(map(free, report.environment)),
                    facts={name: free(value) for name, value in report.facts.items()},
                )
                for report in outcome.reports
            ]
        )
        freed.append(outcome._replace(stdout=free(outcome.stdout), stderr=free(outcome.stderr), reports=reports))
    return freed


def _result(case: Case, both: Both | str, known: Acquaintance, allowances: Sequence[Allowance]) -> Result:
    if isinstance(both, str):
        return Result(case, "not-run", both, ())
    found = differences(*both, ordered=all(known.ordered))
    if isinstance(found, str):
        return Result(case, "unfinished", found, ())
    if isinstance(found, NotRun):
        return Result(case, "not-run", found.reason, ())
    named = tuple([(one, next((a for a in allowances if a.allows(case, one)), None)) for one in found])
    if not named:
        return Result(case, "alike", "", ())
    return Result(case, "different" if any(a is None for _, a in named) else "allowed", "", named)
