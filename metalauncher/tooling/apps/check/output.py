"""Put findings before people and programs, in the forms that were asked for, and say with which code to exit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from metalauncher.tooling.apps.check.report_html import html
from metalauncher.tooling.apps.check.report_markdown import markdown
from metalauncher.tooling.apps.check.report_text import about_platforms, left_alone, lines, summary
from metalauncher.tooling.apps.check.under import without_descriptors
from metalauncher.tooling.apps.check.verdict import SCHEMA_VERSION, to_json
from metalauncher.tooling.console import count
from metalauncher.tooling.output import STDOUT_NAME

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

    from metalauncher.explain.jsontext import Json
    from metalauncher.tooling.apps.check.findings import Findings
    from metalauncher.tooling.apps.check.journal import Asked
    from metalauncher.tooling.console import Console


def present(options: Namespace, console: Console, findings: Findings, asked: Asked) -> int:
    """Write the report.

    Args:
        options: of the command line.
        console: where to; in the format jsonl the results stand there already.
        findings: what was found.
        asked: what the question was.

    Returns:
        As `Gate.exit_code`.
    """
    match options.format:
        case "json":
            console.pieces(_document(findings, asked))
        case "markdown":
            console.text(markdown(findings))
        case "html":
            console.pieces(html(findings, options.made))
        case "text":
            console.out(lines(findings, console.paint, whole=options.all))
    if options.output not in (None, STDOUT_NAME):  # who waits for it is told what became of it
        console.say(*summary(findings))
    elif options.format == "jsonl":  # its lines say nothing of the whole
        console.say(*about_platforms(findings), *([left_alone(findings)] if findings.left_alone else []))
    if findings.unchecked:
        console.say(f"not finished: {count(findings.unchecked, 'app')} not checked")
    return findings.gate.exit_code(findings.results, findings.unchecked)


def _document(findings: Findings, asked: Asked) -> Iterator[str]:
    """Give the document in pieces, as `Console.document` writes one: of the results one at a time."""
    document: dict[str, Json] = {
        "schema_version": SCHEMA_VERSION,
        "metalauncher": asked.metalauncher,
        "run_image": without_descriptors(asked.run_image),
        "against": None if asked.against is None else without_descriptors(asked.against),
        "platform": asked.platform,
        "complete": not findings.unchecked,
        "counts": {str(kind): number for kind, number in findings.counts.items()},
        "fail_on": findings.gate.fail_on,
        "left_alone": findings.left_alone,
        "layers_read": findings.layers_read,
        "bytes_read": findings.bytes_read,
        "assuming": findings.assuming,
        "own_launchers": [
            {"module": one.launcher.module, "release": one.launcher.release, "apps": one.apps}
            for one in findings.own_launchers
        ],
        **({"unserved": dict(findings.unserved)} if findings.unserved else {}),
        "regressions": sum([result.regressed for result in findings.results]),
        "bundles": list(findings.bundles),
        **_by_platform(findings),
    }
    yield json.dumps(document, indent=2).removesuffix("\n}") + ',\n  "results": ['
    for number, result in enumerate(findings.results):
        text = json.dumps(to_json(result), indent=2).replace("\n", "\n    ")
        yield f"{',' if number else ''}\n    {text}"
    yield "\n  ]\n}\n" if findings.results else "]\n}\n"


def _by_platform(findings: Findings) -> dict[str, Json]:
    """Return what it comes to on each of several platforms; of one, nothing besides."""
    if not findings.run_image.platforms:
        return {}
    platforms: list[Json] = [
        {
            "platform": matrix.run_image.platform,
            "counts": {str(kind): number for kind, number in matrix.counts.items()},
            "regressions": matrix.regressed,
        }
        for matrix in findings.matrices
    ]
    return {"platforms": platforms}
