#!/usr/bin/env python3
"""Propose what is to be changed in the list of known vulnerabilities, by an export of OSV's database.

`tools/vulnerabilities.py EXPORT...`: folders of OSV's JSON files, zip archives of them as osv.dev exports them for each
ecosystem, or single files. It asks no network, and changes nothing: where the code of a vulnerability lies is for
people to find out. Exit 0 where the list has all of it, 1 where something is proposed, 3 where an export can't be read.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import sys
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

TREE = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TREE)]

from packaging.version import InvalidVersion, Version

from metalauncher.tooling.sbom.contents import Contents, WrongContents, parse_contents
from metalauncher.tooling.sbom.vulnerabilities import Vulnerability, known

CONTENTS = TREE / "dist/metalauncher-linux-x86_64.contents.json"
# By what a record names each component: packages of any ecosystem, or the repository of its source.
NAMES = {
    "cpython": {"cpython", "python", "python3", "python3.13"},
    "musl": {"musl"},
    "tomli": {"tomli"},
    "mypyc": {"mypy"},
    "hacl-star": {"hacl-star", "hacl"},
}
REPOSITORIES = {
    "https://github.com/python/cpython": "cpython",
    "https://git.musl-libc.org/git/musl": "musl",
    "https://github.com/hukkin/tomli": "tomli",
    "https://github.com/hacl-star/hacl-star": "hacl-star",
}
# A distribution's own suffix of an upstream version: -r2 (Alpine), -1+deb13u2 (Debian).
SUFFIX = re.compile(r"(-r\d+|-[0-9][0-9a-z.+~]*)$")
# Modules are named in backticks, with a dot, as a file, or as "the tarfile module".
MODULE = re.compile(r"`([a-z_]\w*(?:\.\w+)*)|\b([a-z_]\w*\.[a-z_]\w*)|Lib/([\w/]+)\.py|\b(\w+) module\b|\bmodule (\w+)")


class ExportError(Exception):
    """An export can't be read."""


class Finding(NamedTuple):
    """What a record says of a component that the executable has.

    Attributes:
        names: the CVE first where there is one, then its other names.
        component: as contents.json has it.
        affects: whether the version that is linked in has it; None where the record does not say in versions.
        withdrawn: the record is.
        summary: one line.
        modules: that its text names, of those that there are.
    """

    names: tuple[str, ...]
    component: str
    affects: bool | None
    withdrawn: bool
    summary: str
    modules: tuple[str, ...]


def main() -> int:
    """Print the proposals, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("exports", metavar="EXPORT", nargs="+", type=Path)
    parser.add_argument(
        "--contents", metavar="FILE", type=Path, default=CONTENTS, help="of the executable, by its build"
    )
    asked = parser.parse_args()
    try:
        contents = parse_contents(asked.contents.read_bytes())
        records = [record for export in asked.exports for record in read_export(export)]
    except (OSError, ExportError, WrongContents) as error:
        print(f"vulnerabilities: {error}", file=sys.stderr)
        return 3
    listed, reviewed = known()
    findings = [finding for record in records for finding in findings_of(record, contents)]
    proposals = list(propose(findings, listed))
    print("\n".join(proposals), end="\n" if proposals else "")
    print(
        f"{len(records)} records, {len(findings)} of them about what is linked in; the list has {len(listed)}, last"
        f" looked through on {reviewed:%Y-%m-%d}: {len(proposals)} proposals",
        file=sys.stderr,
    )
    return int(bool(proposals))


def read_export(export: Path) -> Iterator[dict[str, Any]]:
    """Give the records of an export.

    Raises:
        ExportError: it has none, or one that is no JSON object with an id.
        OSError: it can't be read.
    """
    texts: Iterable[tuple[str, bytes]]
    if export.is_dir():
        texts = [(str(file), file.read_bytes()) for file in sorted(export.rglob("*.json"))]
    elif zipfile.is_zipfile(export):
        with zipfile.ZipFile(export) as archive:
            texts = [
                (f"{export}:{name}", archive.read(name))
                for name in sorted(archive.namelist())
                if name.endswith(".json")
            ]
    else:
        texts = [(str(export), export.read_bytes())]
    found = 0
    for name, text in texts:
        try:
            record = json.loads(text)
        except ValueError:
            raise ExportError(f"{name} is not JSON") from None
        if not isinstance(record, dict) or not isinstance(record.get("id"), str):
            raise ExportError(f"{name} is no record of OSV: it has no id")
        found += 1
        yield record
    if not found:
        raise ExportError(f"{export} has no records")


def findings_of(record: dict[str, Any], contents: Contents) -> Iterator[Finding]:
    """Give what a record says of each component that is linked in."""
    affected = [entry for entry in record.get("affected", ()) if isinstance(entry, dict)]
    names = sorted({record["id"], *record.get("aliases", ()), *record.get("upstream", ())}, key=_cve_first)
    text = f"{record.get('summary', '')}\n{record.get('details', '')}"
    for part in contents.parts:
        entries = [entry for entry in affected if part.name in _components(entry)]
        if not entries:
            continue
        said = [_affects(entry, part.version) for entry in entries]
        affects = True if True in said else None if None in said else False
        summary = str(record.get("summary") or record.get("details") or "").strip().partition("\n")[0]
        modules = tuple(_modules(text)) if part.name == "cpython" else ()
        yield Finding(tuple(names), part.name, affects, bool(record.get("withdrawn")), summary[:200], modules)


def _cve_first(name: str) -> tuple[bool, str]:
    return not name.startswith("CVE-"), name


def _components(entry: dict[str, Any]) -> set[str]:
    """Return which components an entry of `affected` is about."""
    name = str((entry.get("package") or {}).get("name", "")).lower()
    found = {component for component, names in NAMES.items() if name in names}
    repositories = [str(item.get("repo", "")).removesuffix(".git").rstrip("/") for item in entry.get("ranges", ())]
    return found | {REPOSITORIES[repository] for repository in repositories if repository in REPOSITORIES}


def _affects(entry: dict[str, Any], version: str) -> bool | None:
    """Tell whether an entry says that a version is affected; None where it names no versions."""
    versions = {SUFFIX.sub("", str(one)).removeprefix("v") for one in entry.get("versions", ())}
    if version in versions:
        return True
    ranges = [item for item in entry.get("ranges", ()) if item.get("type") in ("SEMVER", "ECOSYSTEM")]
    said = [_in_range(item.get("events", ()), version) for item in ranges]
    if True in said:
        return True
    return False if versions or (said and None not in said) else None


def _in_range(events: Iterable[dict[str, Any]], version: str) -> bool | None:
    """Tell whether a version lies in a range of OSV's; None where its bounds are no versions."""
    ours, inside = Version(version), False
    for event in events:
        for kind, bound in event.items():
            try:
                other = Version(SUFFIX.sub("", str(bound)))
            except InvalidVersion:
                return None
            if kind == "introduced" and ours >= other:
                inside = True
            elif (kind == "fixed" and ours >= other) or (kind == "last_affected" and ours > other):
                inside = False
    return inside


def _modules(text: str) -> list[str]:
    """Return the modules of Python's library that a text names."""
    found: set[str] = set()
    for groups in MODULE.findall(text):
        name = "".join(groups).replace("/", ".").removesuffix(".__init__")
        while name and not _is_module(name):
            name = name.rpartition(".")[0]
        if name:
            found.add(name)
    return sorted(found)


def _is_module(name: str) -> bool:
    if name.partition(".")[0] not in sys.stdlib_module_names:
        return False
    try:
        return "." not in name or importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def propose(findings: Iterable[Finding], listed: Iterable[Vulnerability]) -> Iterator[str]:
    """Give the lines to be added to the list, or what of it is to be looked at again; each vulnerability once."""
    there = {vulnerability.identifier: vulnerability for vulnerability in listed}
    done: set[str] = set()
    for finding in sorted(findings, key=lambda finding: (finding.names, finding.component)):
        name = finding.names[0]
        mine = next((one for one in finding.names if one in there), None)
        if name in done:
            continue
        done.add(name)
        if mine is not None:
            if finding.withdrawn:
                yield f"# {mine} is listed, and was withdrawn: {finding.summary}\n"
            elif finding.affects is False:
                yield f"# {mine} is listed, and does not affect the version that is linked in: {finding.summary}\n"
        elif not finding.withdrawn and finding.affects is not False:
            yield _row(finding)


def _row(finding: Finding) -> str:
    doubt = "" if finding.affects else " No versions are named: look whether ours has it."
    where = json.dumps(list(finding.modules))
    kind = "modules" if finding.component == "cpython" else "objects"
    guess = "by its text; look at the fix" if finding.modules else "not told by its text: look at the fix"
    return (
        f"# {finding.summary}{doubt}\n"
        "[[cve]]\n"
        f"id = {json.dumps(finding.names[0])}\n"
        f"component = {json.dumps(finding.component)}\n"
        f"{kind} = {where}  # {guess}\n"
        f"source = {json.dumps('https://osv.dev/vulnerability/' + finding.names[-1])}\n"
    )


if __name__ == "__main__":
    sys.exit(main())
