"""`metalauncher patch`: a plan for apps, kept in a journal; or with `--apply` what such a plan says, done."""

from __future__ import annotations

import contextlib
import os
import shlex
from typing import TYPE_CHECKING, Final

from metalauncher.tooling.apps.check.fleet import JOBS, check_all, interruptible
from metalauncher.tooling.apps.check.targets import read_targets
from metalauncher.tooling.apps.made import note_made
from metalauncher.tooling.apps.patch.apply import Applier
from metalauncher.tooling.apps.patch.entry import Entry, Progress
from metalauncher.tooling.apps.patch.findings import find
from metalauncher.tooling.apps.patch.journal import Asked, fleet_of, open_apply, open_plan
from metalauncher.tooling.apps.patch.outcome_text import words_of
from metalauncher.tooling.apps.patch.plan import Look, Planner
from metalauncher.tooling.apps.patch.record import Records
from metalauncher.tooling.apps.patch.report import document, lines, summary
from metalauncher.tooling.apps.patch.report_html import html
from metalauncher.tooling.apps.patch.report_markdown import markdown
from metalauncher.tooling.apps.patch.run_images import RunImages
from metalauncher.tooling.apps.patch.template import (
    NEED,
    InvalidTemplate,
    beside,
    find_targets,
    parse_template,
    plan_command,
    refuse_taken,
)
from metalauncher.tooling.console import Unable, count
from metalauncher.tooling.oci.model import ImageError, parse_digest
from metalauncher.tooling.output import STDOUT_NAME
from metalauncher.tooling.run_image.opener import open_stores
from metalauncher.tooling.scratch import scratch_folder

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from metalauncher.places import Root
    from metalauncher.tooling.apps.check.fleet import Answer
    from metalauncher.tooling.apps.patch.findings import Findings
    from metalauncher.tooling.apps.patch.journal import Contents
    from metalauncher.tooling.console import Console
    from metalauncher.tooling.oci.reference import Reference
    from metalauncher.tooling.oci.sources.stores import Stores

_APPLY: Final = "metalauncher patch --apply patch.jsonl --record records"


def run(options: Namespace, root: Root, console: Console) -> int:
    """Plan, or apply a plan.

    Returns:
        0 if all is done, or rightly left alone; 1 if an app is refused; 3 if something is not finished.
    """
    del root
    _refuse_output(options)
    note_made(options, console)
    if options.apply_journal is not None:
        _refuse_with_apply(options)
        return _apply(options, console)
    return _plan(options, console)


def _read_options(options: Namespace) -> tuple[Asked, dict[str, Reference]]:
    """Return what a plan is asked for, and the target of each app.

    Raises:
        Unable: something is missing, or an app can't go where the template says.
    """
    for value, name, need in (
        (options.launcher, "--launcher", "--launcher shim, or symlink, which is experimental"),
        (options.to, "--to", NEED),
        (options.journal, "--journal", "--journal FILE, where the plan is kept to be reviewed, and applied"),
    ):
        if not value:
            raise Unable(f"there is no {name}", need=need, command=plan_command())
    if options.record is not None:
        raise Unable("--record: a plan writes nothing that could be recorded", need="--apply JOURNAL", command=_APPLY)
    apps = read_targets(options.apps, options.from_files, command=plan_command())
    if not apps:
        raise Unable("no app is given", need="APP, or a list with --from", command=plan_command())
    try:
        targets = find_targets(parse_template(options.to), apps)
    except InvalidTemplate as error:
        raise Unable(f"--to: {error}", need=NEED, command=plan_command()) from None
    return Asked(
        options.launcher,
        options.to,
        tuple(sorted({_diff_id(text) for text in options.must_match_sha})),
        options.force,
        options.platform,
        len(apps),
        fleet_of(apps),
    ), targets


def _plan(options: Namespace, console: Console) -> int:
    asked, targets = _read_options(options)
    with _stores(options, console) as (stores, runs):
        journal, found = open_plan(options.journal, asked, targets)
        with contextlib.closing(journal):
            todo = [app for app in targets if app not in found.entries or found.entries[app].decision == "failed"]
            fleet = _Fleet(options, console, len(targets))
            planner = Planner(asked, targets, stores, runs)

            def defect(app: str, reason: str) -> Entry:
                return planner.fail(Entry(app, "failed", target=str(targets[app])), "defect", reason)

            def take(entry: Entry) -> None:
                found.entries[entry.app] = entry
                journal.plan(entry)
                console.note("app-planned", app=entry.app, decision=entry.decision, code=entry.code)

            looks, code = _look_at_targets(fleet, planner, options.journal, found, todo, defect)
            if code is not None:
                return code
            for look in looks:
                if look.unseen is not None:
                    take(look.unseen)
            seen = [look.app for look in looks if look.unseen is None]
            code = fleet.run(seen, planner.plan, take, defect, lambda: len(found.entries))
    return _present(options, console, find(asked, options.journal, found.entries, found.progress, applied=False), code)


def _look_at_targets(
    fleet: _Fleet,
    planner: Planner,
    path: str,
    found: Contents,
    todo: Sequence[str],
    defect: Callable[[str, str], Entry],
) -> tuple[list[Look], int | None]:
    """Return what lies at the targets, and the exit code of a run that was interrupted.

    Raises:
        Unable: something does that was not written by this journal's plan.
    """
    looks: list[Look] = []

    def look(app: str) -> Look:
        entry = found.entries.get(app)
        return planner.look_at_target(app, None if entry is None else entry.new_digest)

    code = fleet.run(
        todo, look, looks.append, lambda app, reason: Look(app, unseen=defect(app, reason)), lambda: len(looks)
    )
    other = found.asked.command(beside(path), f"{found.asked.to}2")
    refuse_taken([each.taken for each in looks if each.taken], other)
    return looks, code


def _apply(options: Namespace, console: Console) -> int:
    journal, found = open_apply(options.apply_journal)
    with contextlib.closing(journal):
        targets = find_targets(parse_template(found.asked.to), found.entries)
        records = None if options.record is None else Records(options.record, found.asked)
        planned = [app for app, entry in found.entries.items() if entry.decision == "planned"]
        done = {app for app, progress in found.progress.items() if progress.state == "written"}
        if records is not None:
            for app in done:  # by a run that ended before their records were written, or had none to write
                records.write(found.entries[app], found.progress[app])
        with _stores(options, console) as (stores, runs):
            applier = Applier(found.asked, found.entries, targets, stores, runs)

            def take(progress: Progress) -> None:
                found.progress[progress.app] = progress
                journal.apply(progress)
                console.note("app-patched", app=progress.app, state=progress.state, code=progress.code)
                if progress.state == "written":
                    done.add(progress.app)
                    if records is not None:
                        records.write(found.entries[progress.app], progress)

            code = _Fleet(options, console, len(planned)).run(
                [app for app in planned if app not in done],
                applier.apply,
                take,
                _defect,
                lambda: len(done),
            )
    findings = find(found.asked, options.apply_journal, found.entries, found.progress, applied=True)
    return _present(options, console, findings, code)


def _defect(app: str, reason: str) -> Progress:
    words = words_of("defect", reason, app)
    return Progress(app, "failed", words.code, words.reason, words.do, words.command)


class _Fleet:
    """Looks at many apps at a time, with a line of progress."""

    def __init__(self, options: Namespace, console: Console, total: int) -> None:
        self._jobs: Final = options.jobs or JOBS
        self._console: Final = console
        self._total: Final = total

    def run(
        self,
        apps: Sequence[str],
        look: Callable[[str], Answer],
        take: Callable[[Answer], None],
        defect: Callable[[str, str], Answer],
        done: Callable[[], int],
    ) -> int | None:
        """Do something with each app; return the exit code of a run that was interrupted, else None."""

        def progress() -> None:
            self._console.progress(f"{done():,} of {count(self._total, 'app')}")

        with interruptible() as interruption:
            check_all(apps, look, take, defect=defect, jobs=self._jobs, progress=progress, interruption=interruption)
        self._console.progress("")
        return interruption.exit_code if interruption else None


@contextlib.contextmanager
def _stores(options: Namespace, console: Console) -> Iterator[tuple[Stores, RunImages]]:
    cache = "" if options.no_cache else options.cache
    with contextlib.ExitStack() as stack:
        stores = open_stores(options, console, connections=options.jobs or JOBS, cache=cache)
        stack.enter_context(contextlib.closing(stores))
        scratch = stack.enter_context(scratch_folder("metalauncher-patch-"))
        yield stores, stack.enter_context(contextlib.closing(RunImages(stores, scratch)))


def _present(options: Namespace, console: Console, findings: Findings, interrupted: int | None) -> int:
    match options.format:
        case "json":
            console.document(document(findings))
        case "markdown":
            console.text(markdown(findings))
        case "html":
            console.pieces(html(findings, options.made))
        case "text":
            console.out(lines(findings, console.paint, whole=options.all))
    if options.output not in (None, STDOUT_NAME):  # who waits for it is told what became of it
        console.say(*summary(findings))
    return findings.exit_code if interrupted is None else interrupted


def _diff_id(text: str) -> str:
    try:
        return parse_digest(text)
    except ImageError as error:
        raise Unable(
            f"--must-match-sha: {error.reason}",
            need="the diffID of a launcher's layer, sha256: and 64 hexadecimal digits",
            do="plan without it first: launcher_layer in the journal is the diffID of each app's",
            command=plan_command(),
        ) from None


def _refuse_output(options: Namespace) -> None:
    """Refuse findings in the place of the journal, which would be lost.

    Raises:
        Unable: that is asked for.
    """
    journal = options.journal if options.apply_journal is None else options.apply_journal
    if not journal or options.output in (None, STDOUT_NAME):
        return
    if os.path.realpath(options.output) == os.path.realpath(journal):
        raise Unable(
            f"--output: {options.output} is the journal",
            need="another file for the findings: the journal says what is written, and what was",
            command=f"ls -l {shlex.quote(journal)}",
        )


def _refuse_with_apply(options: Namespace) -> None:
    """Refuse what the journal says already.

    Raises:
        Unable: there is such an option.
    """
    given: Mapping[str, object] = {
        "APP": options.apps,
        "--from": options.from_files,
        "--launcher": options.launcher,
        "--to": options.to,
        "--journal": options.journal,
        "--must-match-sha": options.must_match_sha,
        "--force": options.force,
        "--platform": options.platform,
    }
    odd = next((name for name, value in given.items() if value), None)
    if odd is not None:
        raise Unable(
            f"--apply carries out the plan: it can't be used with {odd}",
            need="a plan that says so",
            command=f"metalauncher patch --apply {shlex.quote(options.apply_journal)}",
        )
