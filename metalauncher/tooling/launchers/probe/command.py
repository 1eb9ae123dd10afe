"""`metalauncher probe`: which launchers are tried, and what the command returns."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from metalauncher.explain.messages import by_rank
from metalauncher.registry import load_registry
from metalauncher.tooling.console import Unable, decode
from metalauncher.tooling.installed import DIRECTORIES, choose
from metalauncher.tooling.launchers.on_linux import need_linux
from metalauncher.tooling.launchers.probe.report import document, lines
from metalauncher.tooling.launchers.probe.running import probe

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from metalauncher.descriptor import Launcher
    from metalauncher.places import Root
    from metalauncher.registry import Registry
    from metalauncher.tooling.console import Console


def run(options: Namespace, root: Root, console: Console) -> int:
    """Probe; return 1 if some launcher accepts less than it claims, else 0.

    Raises:
        Unable: there is nothing to probe, or nothing to start it on.
    """
    need_linux("probe")
    launchers = _chosen(options.names, load_registry(root), root, options.root)
    reports = probe(launchers, root, console, options.jobs or os.cpu_count() or 1, options.timeout)
    if options.format == "json":
        console.document(document(reports))
    else:
        for report in reports:
            console.out(lines(report, console))
    return int(any(level == "error" for report in reports for level, _ in report.findings()))


def _chosen(names: Sequence[str], registry: Registry, root: Root, given: str | None) -> list[Launcher]:
    """Return the launchers in effect that the command line names, all where it names none, as they are ranked.

    Args:
        names: `ID` or `ID@VERSION`.
        registry: what is in effect.
        root: where it was read.
        given: the root as the command line has it.

    Raises:
        Unable: that is none. Nothing was proved then, and that is not to pass for a proof.
    """
    launchers = sorted(registry.launchers, key=by_rank, reverse=True)
    have = [f"{launcher!r} in {launcher.descriptor}" for launcher in launchers]
    where = f" --root {shlex.quote(given)}" if given is not None else ""
    command = f"metalauncher list --all{where}"
    chosen: set[tuple[str, str, str]] = set()
    for name in names:
        wanted = {(one.id, one.version, one.path) for one in [item.launcher for item in choose(root, name, command)]}
        found = wanted & {(one.id, one.version, one.path) for one in launchers}
        if not found:
            raise Unable(
                f"{name} is not in effect: the operator's descriptors override or mask it",
                need="a launcher in effect",
                have=have or ["none"],
                do="see which file does",
                command=command,
            )
        chosen |= found
    if not launchers:
        raise Unable(
            "there is no launcher to probe",
            need="a valid descriptor in " + " or ".join([decode(root.locate(place)) for place in DIRECTORIES.values()]),
            have=[
                *[f"masked: {file or 'nothing'} by {mask}" for file, mask in registry.masked],
                *[f"invalid: {bad}" for bad in registry.invalid],
            ]
            or ["none"],
            do="name the root where the launchers are with --root DIR; see which are not in effect",
            command=command,
        )
    return [one for one in launchers if not names or (one.id, one.version, one.path) in chosen]
