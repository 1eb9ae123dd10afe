"""`metalauncher check`: would these app images start on that run image? Parses, calls, and says what was found."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from metalauncher.tooling.apps.check.bounds import Shared, bounded
from metalauncher.tooling.apps.check.findings import find
from metalauncher.tooling.apps.check.fleet import JOBS, check_all, interruptible
from metalauncher.tooling.apps.check.gate import Gate
from metalauncher.tooling.apps.check.inventory_command import refuse_others, take_inventory
from metalauncher.tooling.apps.check.journal import Asked, Journal, Printed, resume
from metalauncher.tooling.apps.check.merge import merge
from metalauncher.tooling.apps.check.missing_launchers import missing_bundles
from metalauncher.tooling.apps.check.output import present
from metalauncher.tooling.apps.check.targets import parse_shard, read_targets
from metalauncher.tooling.apps.check.under import read_under
from metalauncher.tooling.apps.check.verdict import Result
from metalauncher.tooling.apps.made import note_made
from metalauncher.tooling.console import Unable, count, decode, encode
from metalauncher.tooling.memory import return_large_blocks
from metalauncher.tooling.oci.location import parse_location
from metalauncher.tooling.roots import root_within
from metalauncher.tooling.run_image.opener import RunImages, open_stores
from metalauncher.tooling.scratch import scratch_folder

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

    from metalauncher.places import Root
    from metalauncher.tooling.apps.check.findings import Findings
    from metalauncher.tooling.apps.check.judge import Judge
    from metalauncher.tooling.apps.check.platforms import Judges
    from metalauncher.tooling.apps.check.targets import Shard
    from metalauncher.tooling.apps.check.under import Under
    from metalauncher.tooling.console import Console
    from metalauncher.tooling.oci.sources.stores import Stores

_HELP = "metalauncher check --help"


def run(options: Namespace, root: Root, console: Console) -> int:
    """Check; return 0 if all apps start or keep their launcher, 1 if one is at risk, 3 if one is unknown."""
    note_made(options, console)
    if options.merge:
        return merge(options, console)
    if options.inventory:
        refuse_others(options)
    elif (options.run_image is None) == (options.root is None):
        raise Unable(
            "no run image is given" if options.root is None else "--run-image and --root are both given",
            need="one of --run-image IMAGE and --root DIR",
            command="metalauncher check oci:app --run-image oci:run",
        )
    if options.fail_on == "regressions" and options.against is None:
        raise Unable(
            "--fail-on regressions needs the old run image",
            need="--against IMAGE, the old run image",
            command="metalauncher check oci:app --run-image oci:new-run --against oci:run --fail-on regressions",
        )
    shard = parse_shard(options.shard, console.environment) if options.shard else None
    apps = read_targets(options.apps, options.from_files, shard, command=_HELP)
    if not options.apps and not options.from_files:  # a part of those named may well be empty
        raise Unable("no app is given", need="APP, or a list with --from", command=_HELP)
    return_large_blocks()
    cache = "" if options.no_cache else options.cache
    stores = open_stores(options, console, connections=options.jobs or JOBS, cache=cache)
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.closing(stores))
        if options.inventory:
            return take_inventory(options, console, stores, apps)
        scratch = stack.enter_context(scratch_folder("metalauncher-check-"))
        reader = RunImages(stores, options.platform, scratch, console, _HELP)
        under = read_under(options, root, reader)
        for one in under.images:  # an interrupted run's threads may still be at work
            stack.enter_context(contextlib.closing(one))
        return _Run(options, console, under, apps, shard).run(stores)


class _Run:
    """One run over all apps."""

    def __init__(
        self, options: Namespace, console: Console, under: Under, apps: tuple[str, ...], shard: Shard | None
    ) -> None:
        self._options: Final = options
        self._console: Final = console
        self._under: Final = under
        self._apps: Final = apps
        self._shown: Final = under.shown()
        run_images = under.described(), under.described_against()
        self._asked: Final = Asked(*run_images, under.platform, shard, len(apps), chosen=under.chosen)

    def run(self, stores: Stores) -> int:
        judge = self._under.judges(thorough=self._options.thorough)
        shared = Shared()

        def check(app: str) -> Result:
            reference = parse_location(app)
            if reference.kind == "dir":
                return bounded(_judge_unpacked(judge, app, reference.place), shared)
            return bounded(judge.judge(app, stores.open(reference)), shared)

        with contextlib.ExitStack() as stack:
            results, takers = self._begin(stack)
            todo = [app for app in self._apps if app not in results]

            def take(result: Result) -> None:
                results[result.app] = result
                self._console.note("app-checked", app=result.app, verdict=result.kind, reason=result.reason)
                for taker in takers:
                    taker(result)

            def progress() -> None:
                self._console.progress(f"{len(results):,} of {count(len(self._apps), 'app')}")

            interruption = stack.enter_context(interruptible())
            check_all(
                todo,
                check,
                take,
                defect=lambda app, reason: Result(app, None, "unknown", reason),
                jobs=self._options.jobs or JOBS,
                progress=progress,
                interruption=interruption,
            )
            self._console.progress("")
        code = present(self._options, self._console, self._find(results), self._asked)
        return interruption.exit_code if interruption else code

    def _begin(self, stack: contextlib.ExitStack) -> tuple[dict[str, Result], list[Callable[[Result], None]]]:
        """Return the results that an earlier run left, and who takes new ones as they arrive."""
        results: dict[str, Result] = {}
        takers: list[Callable[[Result], None]] = []
        if self._options.resume is not None:
            journal, results = resume(self._options.resume, self._asked, self._apps)
            stack.callback(journal.close)
            takers.append(journal.add)
            if results:
                self._console.say(f"{count(len(results), 'result')} taken over from {self._options.resume}")
        if self._options.format == "jsonl":
            journal = Journal(Printed(self._console.output))
            stack.callback(journal.close)
            journal.begin(self._asked)
            for result in results.values():
                journal.add(result)
            takers.append(journal.add)
        return results, takers

    def _find(self, results: dict[str, Result]) -> Findings:
        return find(
            self._shown,
            results.values(),
            against=self._under.against,
            platform=self._under.platform,
            unchecked=len(self._apps) - len(results),
            bundles=missing_bundles(results.values()),
            gate=Gate(self._options.fail_on, self._options.unknown),
        )


def _judge_unpacked(judge: Judge | Judges, app: str, directory: str) -> Result:
    """Return the verdict over an unpacked app; what is only the folder around one is named wrongly."""
    within = root_within(encode(directory))
    if within is not None:
        reason = f"is not a root filesystem, but contains one: dir:{decode(within)}"
        return Result(app, None, "unknown", reason, wrong_name=True)
    return judge.judge_unpacked(app, directory)
