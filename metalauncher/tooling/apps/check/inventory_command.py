"""Run an inventory: parse nothing, ask all apps, and write what was found in the form that was asked for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from metalauncher.tooling.apps.check.fleet import JOBS, check_all, interruptible
from metalauncher.tooling.apps.check.gate import UNFINISHED
from metalauncher.tooling.apps.check.inventory import Entry, Stock
from metalauncher.tooling.apps.check.inventory_report import document, line, markdown, summary, text
from metalauncher.tooling.console import Unable, count
from metalauncher.tooling.oci.image import DEFAULT_PLATFORM
from metalauncher.tooling.oci.location import parse_location
from metalauncher.tooling.output import STDOUT_NAME

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from metalauncher.tooling.console import Console
    from metalauncher.tooling.oci.sources.stores import Stores

_COMMAND: Final = "metalauncher check --inventory --from apps.txt"


def refuse_others(options: Namespace) -> None:
    """Refuse options that an inventory has no use for.

    Raises:
        Unable: there is one.
    """
    for given, name in (
        (options.run_image or options.root or options.against, "a run image"),
        (options.fail_on != "any", "--fail-on"),
        (options.resume, "--resume"),
        (options.format == "html", "--format html"),
    ):
        if given:
            need = "--format text, json, jsonl or markdown" if name == "--format html" else ""
            raise Unable(f"--inventory gives no verdicts: it can't be used with {name}", need=need, command=_COMMAND)


def take_inventory(options: Namespace, console: Console, stores: Stores, apps: Sequence[str]) -> int:
    """Say which launcher each app carries.

    Returns:
        3 if one is unknown, and that counts, or one was not looked at; else 0.
    """
    stock = Stock(options.platform or DEFAULT_PLATFORM)
    entries: list[Entry] = []

    def look(app: str) -> Entry:
        reference = parse_location(app)
        if reference.kind == "dir":
            return stock.look_unpacked(app, reference.place)
        return stock.look(app, stores.open(reference))

    def take(entry: Entry) -> None:
        entries.append(entry)
        console.note("app-checked", app=entry.app, verdict=entry.kind, reason=entry.reason)
        if options.format == "jsonl":
            console.text(json.dumps(line(entry)) + "\n")

    def progress() -> None:
        console.progress(f"{len(entries):,} of {count(len(apps), 'app')}")

    with interruptible() as interruption:
        check_all(
            apps,
            look,
            take,
            defect=lambda app, reason: Entry(app, None, "unknown", reason),
            jobs=options.jobs or JOBS,
            progress=progress,
            interruption=interruption,
        )
    console.progress("")
    code = _present(options, console, entries, apps)
    return interruption.exit_code if interruption else code


def _present(options: Namespace, console: Console, entries: list[Entry], apps: Sequence[str]) -> int:
    unchecked = len(apps) - len(entries)
    order = {app: number for number, app in enumerate(apps)}
    entries.sort(key=lambda entry: order[entry.app])
    match options.format:
        case "json":
            console.document(document(entries, unchecked, options.platform or DEFAULT_PLATFORM))
        case "markdown":
            console.text(markdown(entries, unchecked))
        case "text":
            console.out(text(entries, unchecked, console.paint))
    if options.output not in (None, STDOUT_NAME):
        console.say(*summary(entries, unchecked))
    unknown = [entry for entry in entries if entry.kind == "unknown"]
    fails = any([entry.wrong_name or options.unknown == "fail" for entry in unknown])
    return UNFINISHED if fails or unchecked else 0
