"""Put findings before people and programs, in the forms that were asked for, and say with which code to exit."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Final

from metalauncher.terminal import print_text
from metalauncher.tooling.check.report_html import html
from metalauncher.tooling.check.report_markdown import markdown
from metalauncher.tooling.check.report_text import lines
from metalauncher.tooling.check.verdict import AT_RISK, SCHEMA_VERSION, to_json
from metalauncher.tooling.talk import Unable, count, encode
from metalauncher.tooling.writing import write_whole

if TYPE_CHECKING:
    from argparse import Namespace

    from metalauncher.jsontext import Json
    from metalauncher.tooling.check.findings import Findings
    from metalauncher.tooling.check.journal import Asked
    from metalauncher.tooling.talk import Console

FINDINGS: Final = 1
UNFINISHED: Final = 3


def check_page(options: Namespace) -> None:
    """See that the page can be written: that is to be said before an hour's work, not after it.

    Raises:
        Unable: it can't be.
    """
    if options.html is None:
        return
    folder = os.path.dirname(os.path.abspath(options.html))
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        command = f"ls -ld {shlex.quote(folder)}"
        raise Unable(f"--html: can't write to {folder!r}", need="a directory to write to", command=command)
    if os.path.isdir(options.html):
        raise Unable(
            f"--html: {options.html!r} is a directory", need="a file's name", command="metalauncher check --help"
        )


def present(options: Namespace, console: Console, findings: Findings, asked: Asked) -> int:
    """Write the reports.

    Args:
        options: of the command line.
        console: where to.
        findings: what was found.
        asked: what the question was.

    Returns:
        1 if an app is at risk; else 3 if one is not checked, or can't be told and that counts; else 0.
    """
    if options.html is not None:
        folder, name = os.path.split(os.path.abspath(options.html))
        write_whole(encode(folder), encode(name), html(findings).encode("utf-8", "backslashreplace"), 0o644)
    if options.json:
        console.document(_document(findings, asked))
    elif options.markdown:
        print_text(markdown(findings))
    elif not options.jsonl:
        console.out(lines(findings, console.paint))
    if findings.unchecked:
        console.say(f"not finished: {count(findings.unchecked, 'app')} not checked")
    counts = findings.counts
    if any([counts[kind] for kind in AT_RISK]):
        return FINDINGS
    return UNFINISHED if findings.unchecked or (counts["unknown"] and options.unknown == "fail") else 0


def _document(findings: Findings, asked: Asked) -> dict[str, Json]:
    return {
        "schema_version": SCHEMA_VERSION,
        "metalauncher": asked.metalauncher,
        "run_image": _without_descriptors(asked.run_image),
        "against": None if asked.against is None else _without_descriptors(asked.against),
        "platform": asked.platform,
        "complete": not findings.unchecked,
        "counts": {str(kind): number for kind, number in findings.counts.items()},
        "regressions": sum([result.regressed for result in findings.results]),
        "bundles": list(findings.bundles),
        "results": [to_json(result) for result in findings.results],
    }


def _without_descriptors(image: dict[str, Json]) -> dict[str, Json]:
    return {key: value for key, value in image.items() if key not in ("descriptors", "obstacles", "fingerprint")}
