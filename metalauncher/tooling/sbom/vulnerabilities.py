"""What the known vulnerabilities of the dispatcher's components mean for it: `cves.toml` against what is linked in."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

from metalauncher.tooling.sbom.model import Product, Statement

if TYPE_CHECKING:
    from collections.abc import Iterable

    from metalauncher.tooling.sbom.contents import Contents, Part

# OpenVEX keeps action statements to what is affected: go-vex takes no document that has others.
_ADVICE = (
    "Update the run image's metalauncher to a version that was built with a fixed {name}; `metalauncher vex` of that"
    " version says so."
)


class Vulnerability(NamedTuple):
    """A known vulnerability of something that the dispatcher is made of.

    Attributes:
        identifier: the CVE's.
        component: as in `contents.json`.
        modules: Python modules that have the vulnerable code, each with its submodules: any of them.
        objects: object files that have it: any of them.
        source: URL of the advisory.
    """

    identifier: str
    component: str
    modules: tuple[str, ...]
    objects: tuple[str, ...]
    source: str


def known() -> tuple[tuple[Vulnerability, ...], datetime]:
    """Return the known vulnerabilities, and when the list was last looked through."""
    document = tomllib.loads((files(__package__) / "cves.toml").read_text(encoding="utf-8"))
    found = [
        Vulnerability(
            item["id"],
            item["component"],
            tuple(item.get("modules", ())),
            tuple(item.get("objects", ())),
            item["source"],
        )
        for item in document["cve"]
    ]
    reviewed = document["reviewed"]
    return tuple(found), datetime(reviewed.year, reviewed.month, reviewed.day, tzinfo=UTC)


def judge(contents: Contents, vulnerabilities: Iterable[Vulnerability]) -> list[Statement]:
    """Return a statement for each vulnerability of a component that the executable has.

    Code that is not in the file can't be reached; whether code that is in it can be is not decided here.
    """
    statements: list[Statement] = []
    for vulnerability in vulnerabilities:
        part = contents.part(vulnerability.component)
        if part is None:
            continue
        product = Product(contents.parts[0].purl, contents.sha256, ((part.purl, part.cpe),))
        there = _present(part, vulnerability)
        if there:
            statements.append(
                Statement(
                    vulnerability.identifier,
                    product,
                    "under_investigation",
                    notes=f"The executable has {', '.join(there)} of {part.name}: {vulnerability.source}."
                    f" {_ADVICE.format(name=part.name)}",
                )
            )
        else:
            where = ", ".join([*vulnerability.modules, *[f"{name}.o" for name in vulnerability.objects]])
            statements.append(
                Statement(
                    vulnerability.identifier,
                    product,
                    "not_affected",
                    "vulnerable_code_not_present",
                    notes=f"The vulnerable code is in {where}, which the executable has not: {vulnerability.source}",
                )
            )
    return statements


def _present(part: Part, vulnerability: Vulnerability) -> list[str]:
    """Return what has the vulnerable code and is linked in; all of it where the build can't tell what is."""
    if (vulnerability.modules and not part.modules) or not part.objects:
        return [*vulnerability.modules, *[f"{name}.o" for name in vulnerability.objects]]
    modules = [
        name
        for name in sorted(part.modules)
        if any(name == wanted or name.startswith(wanted + ".") for wanted in vulnerability.modules)
    ]
    return modules + [f"{name}.o" for name in vulnerability.objects if name in part.objects]
