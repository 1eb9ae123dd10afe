"""Put the results of several runs together: those of the parts of a fleet. Checks nothing, and asks nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from metalauncher.tooling.apps.check.findings import RunImage, find, parse_launcher
from metalauncher.tooling.apps.check.gate import Gate
from metalauncher.tooling.apps.check.journal import Asked, read
from metalauncher.tooling.apps.check.missing_launchers import missing_bundles
from metalauncher.tooling.apps.check.output import present
from metalauncher.tooling.console import Unable

if TYPE_CHECKING:
    from argparse import Namespace

    from metalauncher.descriptor import Launcher
    from metalauncher.tooling.apps.check.targets import Shard
    from metalauncher.tooling.apps.check.verdict import Result
    from metalauncher.tooling.console import Console

_COMMAND = "metalauncher check --merge 1.jsonl 2.jsonl --format html --output report.html"


def merge(options: Namespace, console: Console) -> int:
    """Report what the files of earlier runs hold; return the exit code of one run over all of it.

    Raises:
        Unable: they are of different questions, parts are missing, or one is damaged.
    """
    for given, name in (
        (options.apps or options.from_files, "an app"),
        (options.run_image or options.root or options.against, "a run image"),
        (options.resume, "--resume"),
        (options.shard, "--shard"),
        (options.format == "jsonl", "--format jsonl"),
        (options.inventory, "--inventory"),
        (options.thorough, "--thorough"),
    ):
        if given:
            raise Unable(f"--merge checks nothing: it can't be used with {name}", command=_COMMAND)
    first: Asked | None = None
    results: dict[str, Result] = {}
    parts: dict[Shard | None, int] = {}  # how many apps each has
    for file in options.merge:
        asked, found = read(file)
        if first is not None and (difference := first._replace(shard=None).difference(asked._replace(shard=None))):
            what, here, there = difference
            raise Unable(
                f"{file}: belongs to another run than {options.merge[0]}",
                have=[f"{what} {here}", f"{what} {there}"],
                need="results of one question",
                command=_COMMAND,
            )
        first = first or asked
        parts[asked.shard] = max(asked.apps, parts.get(asked.shard, 0))
        for app, result in found.items():
            if app not in results or results[app].kind == "unknown":
                results[app] = result
    if first is None:
        raise AssertionError("there is at least one file")
    if options.fail_on == "regressions" and first.against is None:
        raise Unable(
            "--fail-on regressions: these results say nothing of an old run image",
            need="results of runs with --against IMAGE",
            command=_COMMAND,
        )
    _refuse_missing([shard for shard in parts if shard is not None])
    findings = find(
        _run_image(first.run_image, options.merge[0]),
        results.values(),
        against="" if first.against is None else str(first.against.get("name")),
        platform=first.platform,
        unchecked=max(0, sum(parts.values()) - len(results)),
        bundles=missing_bundles(results.values()),
        gate=Gate(options.fail_on, options.unknown),
        version=first.metalauncher,
    )
    return present(options, console, findings, first._replace(shard=None, apps=sum(parts.values())))


def _refuse_missing(shards: list[Shard]) -> None:
    totals = sorted({shard.of for shard in shards})
    if len(totals) > 1:
        have = [f"parts of {total}" for total in totals]
        raise Unable("the files are of fleets that were split differently", have=have, command=_COMMAND)
    if not totals:
        return
    there = {shard.number for shard in shards}
    missing = [str(number) for number in range(1, totals[0] + 1) if number not in there]
    if missing:
        raise Unable(
            f"{len(missing)} of {totals[0]} parts are missing: {', '.join(missing[:20])}{', …' * (len(missing) > 20)}",
            need="the file of every part",
            command=_COMMAND,
        )


def _run_image(document: dict[str, Any], file: str) -> RunImage:
    """Return the run image that results are of; of an index with that for each platform."""
    name, digest = str(document.get("name")), document.get("digest")
    platforms = document.get("platforms")
    if isinstance(platforms, list):
        found = [_run_image({**one, "platforms": None}, file) for one in platforms if isinstance(one, dict)]
        return RunImage(name, digest, (), (), platforms=tuple(found))
    platform, warning = str(document.get("platform") or ""), str(document.get("warning") or "")
    return RunImage(name, digest, _launchers(document, file), _obstacles(document), platform, warning=warning)


def _launchers(document: dict[str, Any], file: str) -> tuple[Launcher, ...]:
    documents: Any = document.get("descriptors")
    try:
        return tuple([parse_launcher(one) for one in documents if isinstance(one, dict)])
    except (ValueError, TypeError) as error:
        raise Unable(f"{file}: has an invalid launcher: {error}", command=_COMMAND) from None


def _obstacles(document: dict[str, Any]) -> tuple[str | None, ...]:
    found: Any = document.get("obstacles")
    return tuple([None if text is None else str(text) for text in found]) if isinstance(found, list) else ()
