"""`make fuzz-check`: random small images, each judged by `check` and really started; says where they disagree.

Prints how many there were by verdict and by what happened, and why how many were unknown. Each disagreement is made
smaller, and written as a file, for tests/data/tooling/apps/check/oracle with the verdict that it ought to be.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import itertools
import multiprocessing
import os
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(PROJECT), str(PROJECT / "tests/support")]

from native import Native  # its folder has to be in the path
from oracle import Oracle, scratch
from oracle_search import compose, shrink, steps
from oracle_truth import Case
from recipes import Recipe, write_recipe

CHUNK = 20
FINDINGS = PROJECT / "build/fuzz/check"


@dataclass(frozen=True)
class Outcome:
    """What came of one image: the verdict, what happened, and where it is wrong the smallest image that is."""

    seed: int
    verdict: str
    truth: str
    reason: str
    wrong: str = ""
    misled: bool = False
    changes: str = ""
    recipe: str = ""


@dataclass
class Tally:
    """Counts over many images."""

    pairs: Counter[tuple[str, str]] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    wrong: list[Outcome] = field(default_factory=list)
    misled: int = 0
    avoidable: int = 0

    def add(self, one: Outcome) -> None:
        """Count one."""
        self.pairs[one.verdict, one.truth] += 1
        if one.verdict.endswith("unknown"):
            self.reasons[re.sub(r"[/\w.@-]*/[\w/.@-]*|[0-9.]{2,}", "…", one.reason)[:90]] += 1
            self.avoidable += one.truth != "it depends"
        self.misled += one.misled
        if one.wrong:
            self.wrong.append(one)

    @property
    def total(self) -> int:
        """How many images there were."""
        return sum(self.pairs.values())

    def report(self) -> Iterator[str]:
        """Give the lines that say it."""
        yield f"{self.total} images"
        for (verdict, truth), count in sorted(self.pairs.items(), key=lambda pair: (pair[0][0], -pair[1])):
            yield f"{count:7}  {verdict:15} {truth}"
        unknown = sum(self.reasons.values())
        yield f"unknown: {unknown} ({100 * unknown / max(self.total, 1):.1f} %), of {self.avoidable} one thing happens"
        yield from [f"{count:7}  {reason}" for reason, count in self.reasons.most_common(30)]
        yield f"wrong: {len(self.wrong)}; where a labelled layer holds what lifecycle does not write: {self.misled}"
        classes = Counter((one.verdict, one.truth, one.changes) for one in self.wrong)
        for (verdict, truth, changes), count in classes.most_common():
            example = next(
                one for one in self.wrong if (one.verdict, one.truth, one.changes) == (verdict, truth, changes)
            )
            yield f"{count:7}  {verdict} / {truth} / {changes} (seed {example.seed}: {example.reason[:60]})"


_oracle: Oracle | None = None


def prepare(program: Path, folder: Path) -> None:
    """Make a worker ready."""
    global _oracle  # noqa: PLW0603  # one for each process: it keeps the layers that it made
    _oracle = Oracle(program, folder)


def try_seeds(seeds: Sequence[int], runtimes: Sequence[str]) -> list[Outcome]:
    """Judge and start the images of these seeds."""
    assert _oracle is not None
    return [outcome(seed, case, runtimes) for seed, case in zip(seeds, judge(seeds, runtimes), strict=True)]


def judge(seeds: Sequence[int], runtimes: Sequence[str]) -> list[Case]:
    """Return what `check` says of them, and what is true."""
    assert _oracle is not None
    return _oracle.judge([compose(steps(seed)) for seed in seeds], runtimes)


def outcome(seed: int, case: Case, runtimes: Sequence[str]) -> Outcome:
    """Return what came of an image; one that is wrong is made smaller."""
    found = Outcome(seed, case.said, case.happened, str(case.verdict["reason"]), case.wrong, misled=case.misled)
    if not case.wrong:
        return found

    why = [case.wrong]

    def is_wrong(recipe: Recipe) -> bool:
        assert _oracle is not None
        (again,) = _oracle.judge([recipe], runtimes)
        same = bool(again.wrong) and (again.said, again.happened) == (case.said, case.happened)
        if same:
            why.append(again.wrong)
        return same

    fewer = shrink(steps(seed), is_wrong)
    recipe = replace(compose(fewer), what=f"Seed {seed}: {why[-1]}", expect="unknown")
    names = "+".join(sorted({name for name, _ in fewer})) or "plain"
    return replace(found, changes=names, recipe=write_recipe(recipe))


def search(
    first: int, count: int | None, seconds: float | None, jobs: int, runtimes: Sequence[str] = ()
) -> Iterator[Outcome]:
    """Try images from a seed on, so many, or for so long, all by these runtimes or a part by each."""
    end = None if seconds is None else time.monotonic() + seconds
    numbers = itertools.count(first) if count is None else iter(range(first, first + count))
    chunks = iter(lambda: list(itertools.islice(numbers, CHUNK)), [])
    with scratch() as folder, tempfile.TemporaryDirectory() as programs:
        program = Native(Path(programs)).program("mark")
        context = multiprocessing.get_context("spawn")  # threads of `check` do not survive a fork
        with concurrent.futures.ProcessPoolExecutor(jobs, context, prepare, (program, folder)) as pool:
            running: set[concurrent.futures.Future[list[Outcome]]] = set()
            for number, seeds in enumerate(chunks):
                if end is not None and time.monotonic() > end:
                    break
                running.add(pool.submit(try_seeds, seeds, runtimes or runtimes_of(number)))
                if len(running) > jobs:
                    done, running = concurrent.futures.wait(running, return_when="FIRST_COMPLETED")
                    yield from [one for future in done for one in future.result()]
            yield from [one for future in concurrent.futures.as_completed(running) for one in future.result()]


def runtimes_of(number: int) -> tuple[str, ...]:
    """Return what starts the images of a chunk: always crun; runc for every fifth, gVisor for every fiftieth."""
    return ("crun", *(("runc",) if number % 5 == 0 else ()), *(("runsc",) if number % 50 == 25 else ()))


def main() -> int:
    """Search, print what was found, and keep what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--count", type=int)
    parser.add_argument("--seed", type=int, default=int(time.time()) * 1000)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--runtime", action="append", choices=("crun", "runc", "runsc"), default=[])
    parser.add_argument("--findings", type=Path, default=FINDINGS)
    options = parser.parse_args()
    seconds = options.seconds if options.seconds or options.count else 60
    tally = Tally()
    print(f"from seed {options.seed}", flush=True)
    options.findings.mkdir(parents=True, exist_ok=True)
    # On Ctrl-C it says what it has found so far.
    with contextlib.suppress(KeyboardInterrupt):
        for one in search(options.seed, options.count, seconds, options.jobs, options.runtime):
            tally.add(one)
            if one.recipe:
                (options.findings / f"{one.seed}.toml").write_text(one.recipe)
            if tally.total % 500 == 0:
                print(f"{tally.total} images, {len(tally.wrong)} wrong", file=sys.stderr, flush=True)
    print("\n".join(tally.report()))
    if tally.wrong:
        print(f"cases: {options.findings}")
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
