"""Put findings before people and programs, in the forms that were asked for, and say with which code to exit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from metalauncher.tooling.apps.check.report_html import html
from metalauncher.tooling.apps.check.report_markdown import markdown
from metalauncher.tooling.apps.check.report_text import lines, summary
from metalauncher.tooling.apps.check.verdict import AT_RISK, SCHEMA_VERSION, to_json
from metalauncher.tooling.console import count
from metalauncher.tooling.output import STDOUT_NAME

if TYPE_CHECKING:
    from argparse import Namespace

    from metalauncher.explain.jsontext import Json
    from metalauncher.tooling.apps.check.findings import Findings
    from metalauncher.tooling.apps.check.journal import Asked
    from metalauncher.tooling.console import Console

FINDINGS: Final = 1
UNFINISHED: Final = 3


def present(options: Namespace, console: Console, findings: Findings, asked: Asked) -> int:
    """Write the report.

    Args:
        options: of the command line.
        console: where to; in the format jsonl the results stand there already.
        findings: what was found.
        asked: what the question was.

    Returns:
        1 if an app is at risk; else 3 if one is not checked, or can't be told and that counts; else 0.
    """
    match options.format:
        case "json":
            console.document(_document(findings, asked))
        case "markdown":
            console.text(markdown(findings))
        case "html":
            console.text(html(findings))
        case "text":
            console.out(lines(findings, console.paint))
    if options.output not in (None, STDOUT_NAME):  # who waits for it is told what became of it
        console.say(*summary(findings))
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
