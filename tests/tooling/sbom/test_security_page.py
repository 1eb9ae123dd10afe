"""docs/reference/security.md on vulnerabilities: what it says is in the executables, and is not, is so."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from cache import Cache
from harness import PROJECT
from packaging.requirements import Requirement
from releases import ARCHITECTURES, BUILT
from steps import inputs

from metalauncher.tooling.sbom.contents import Contents, parse_contents
from metalauncher.tooling.sbom.vulnerabilities import judge, known

WHOLE = (PROJECT / "docs/reference/security.md").read_text()
(PAGE,) = re.findall(r"^## Vulnerabilities of what it is made of\n(.*?)^## ", WHOLE, re.MULTILINE | re.DOTALL)
CANNOT = PAGE[PAGE.index("### What cannot") : PAGE.index("### When a release")]
(PRESENT,) = re.findall(r"```modules\n(.*?)```", PAGE, re.DOTALL)
ABSENT = [
    name for row in re.findall(r"^\| [^|]+ \| (`[^|]+`) \|$", CANNOT, re.MULTILINE) for name in row.strip("`").split()
]
(OF_MUSL,) = re.findall(r"^Of musl, by object files: (.*?)\. Its ", CANNOT, re.MULTILINE | re.DOTALL)
OBJECTS = [name for group in re.findall(r"`([^`]+)`", OF_MUSL) for name in group.split()]
NOT_PYTHONS = {"cffi"}  # in no standard library; it is looked for all the same


@pytest.fixture(params=ARCHITECTURES)
def contents(request: pytest.FixtureRequest) -> Contents:
    """Return what each executable is made of."""
    return parse_contents((BUILT / f"metalauncher-linux-{request.param}.contents.json").read_bytes())


def test_what_is_there(contents: Contents) -> None:
    """The page names all modules of CPython that are in the file, and the versions of its parts."""
    cpython, musl = contents.part("cpython"), contents.part("musl")
    assert cpython is not None
    assert musl is not None
    assert sorted(PRESENT.split()) == sorted(cpython.modules)
    assert f"| CPython {cpython.version} |" in PAGE
    assert f"| musl {musl.version} |" in PAGE
    assert {part.name for part in contents.parts} == {
        "metalauncher",
        "cpython",
        "musl",
        "tomli",
        "mypyc",
        "hacl-star",
        "zig",
    }
    assert {"ceval", "compile", "marshal"} <= cpython.objects
    assert not {"getpath", "main"} & cpython.objects
    assert {"socket", "connect", "sendmsg", "execve"} <= musl.objects
    text = (PROJECT / "metalauncher/tooling/sbom/cves.toml").read_text()
    assert f"those of CPython {cpython.version} and musl {musl.version} that" in text


def test_what_is_not_there(contents: Contents) -> None:
    """None of the modules, no submodule of one, and none of the object files."""
    assert len(ABSENT) == len(set(ABSENT)) > 70
    assert len(OBJECTS) > 10
    cpython, musl = contents.part("cpython"), contents.part("musl")
    assert cpython is not None
    assert musl is not None
    assert [name for name in ABSENT for there in cpython.modules if f"{there}.".startswith(f"{name}.")] == []
    assert set(OBJECTS) & musl.objects == set()


def test_names_are_real() -> None:
    """A misspelled name would be absent from everything."""
    unknown = set(ABSENT) - sys.stdlib_module_names - {"_frozen_importlib_external"} - NOT_PYTHONS
    assert unknown == set()
    tools = inputs(Cache()).tools
    listed = subprocess.run([tools.ar, "t", tools.folder / "lib/libc.a"], capture_output=True, text=True, check=True)
    members = {Path(member).stem for member in listed.stdout.split()}
    assert set(OBJECTS) - members == set()


def test_status_of_today(contents: Contents) -> None:
    """All that is known is `not_affected`, as the page says; each of its modules is among those that it names."""
    vulnerabilities, _ = known()
    assert {statement.status for statement in judge(contents, vulnerabilities)} == {"not_affected"}
    assert "Today all are `not_affected`" in PAGE
    for vulnerability in vulnerabilities:
        for name in vulnerability.modules:
            top = name.partition(".")[0]
            assert top in {*ABSENT, "posixpath", "ntpath"}, name
        assert set(vulnerability.objects) <= {*OBJECTS, "getpath"}


def test_what_is_installed_beside() -> None:
    """What the package needs, and the page lists, are what pyproject.toml has."""
    text = (PROJECT / "pyproject.toml").read_text()
    needed = {Requirement(line).name for line in re.findall(r'"([a-z0-9-]+>=[^"]+)"', text)}
    assert needed - {"cyclonedx-python-lib", "spdx-tools", "tomli"} == {
        "packaging",
        "structlog",
        "urllib3",
        "zstandard",
    }
    assert all(version(name) for name in needed)
