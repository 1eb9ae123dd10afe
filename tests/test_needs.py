"""What a bare machine needs: tools/needs.txt is true to what the Makefile, the build and the tests use, and why."""

from __future__ import annotations

import ast
import os
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

import containers
import pytest
import steps
from architectures import EMULATORS
from harness import PROJECT

MAKEFILE = (PROJECT / "Makefile").read_text()
# Essential in Debian, or there with Python and make.
ESSENTIAL = {
    "bash",
    "dpkg-query",
    "hostname",
    "ldd",
    "ls",
    "mount",
    "sh",
    "sleep",
    "tar",
    "true",
    "xargs",
    "cp",
    "cat",
    "apt-config",
    "apt-get",
    "env",
}
# Looked for, and done without.
OPTIONAL = {"groff", "zsh", "fish", "go", "valgrind"}
# What starts a program or looks for it: module, function.
STARTS = {("subprocess", "run"), ("subprocess", "Popen"), ("shutil", "which")}
STARTS |= {("", name) for name in ("call", "_run", "_print", "_output")}


class Need(NamedTuple):
    """A line of the list."""

    target: str
    package: str
    command: str
    why: str


def needs() -> list[Need]:
    """Return the list."""
    lines = (PROJECT / "tools/needs.txt").read_text().splitlines()
    return [Need(*line.split(maxsplit=3)) for line in lines if line and not line.startswith("#")]


NEEDS = needs()


def started(file: Path) -> set[str]:
    """Return the programs that a Python file starts or looks for, where their names are written there."""
    found: set[str] = set()
    for call in ast.walk(ast.parse(file.read_text())):
        if not isinstance(call, ast.Call) or not call.args:
            continue
        owner = getattr(call.func, "value", None)
        names = (getattr(owner, "id", ""), getattr(call.func, "attr", "") or getattr(call.func, "id", ""))
        if names not in STARTS:
            continue
        first = call.args[0]
        if isinstance(first, ast.List | ast.Tuple) and first.elts:
            first = first.elts[0]
        if isinstance(first, ast.Starred) and isinstance(first.value, ast.Tuple):
            first = first.value.elts[0]
        if isinstance(first, ast.Constant) and isinstance(first.value, str):
            found.add(first.value)
    return {name for name in found if re.fullmatch(r"[a-z][a-z0-9.-]*", name)}


def test_every_line_has_its_reason() -> None:
    """Target, package, command and why; nothing twice."""
    assert len(NEEDS) > 15
    assert len({(need.target, need.command) for need in NEEDS}) == len(NEEDS)
    assert all(len(need.why) > 3 for need in NEEDS)


def test_the_makefile_asks_for_each_target() -> None:
    """No target is asked for that the list lacks, and none is in the list that nobody asks for."""
    sources = MAKEFILE + (PROJECT / "tools/machine.py").read_text().replace('"tools/need", "', "tools/need ")
    asked = {target for targets in re.findall(r"tools/need ([a-z ]+)", sources) for target in targets.split()}
    listed = {need.target for need in NEEDS}
    assert asked <= listed
    assert listed - asked <= {"static"}, "the build of the static executable asks for its tools itself"


def test_the_tables_in_code_agree() -> None:
    """The build's and the container tests' own tables are in the list, and name the same packages."""
    static = {need.command: need.package for need in NEEDS if need.target in ("static", "emulator")}
    assert static.items() <= (steps.TOOLS | EMULATORS).items()
    assert static.keys() >= steps.TOOLS.keys()
    here = {need.command: need.package for need in NEEDS if need.target in ("containers", "test")}
    assert containers.PACKAGES.items() <= here.items()


def test_what_is_started_is_listed() -> None:
    """Whatever program the tests, the benchmarks, the demo and the builds start is in the list, or essential."""
    listed = {need.command for need in NEEDS} | ESSENTIAL | OPTIONAL
    seen: set[str] = set()
    for folder in ("tests", "bench", "demo", "image", "fuzz", "tools"):
        files = sorted((PROJECT / folder).rglob("*.py"))
        for file in files:
            own = started(file)
            assert own <= listed, f"{file}: {own - listed}: which package has it? tools/needs.txt"
            seen |= own
    assert {"openssl", "docker-registry", "musl-gcc"} <= seen


def test_what_is_listed_is_used() -> None:
    """Each command of the list stands in the code that its target runs."""
    texts = [MAKEFILE]
    for folder in ("tests", "bench", "image", "tools"):
        texts += [file.read_text() for file in (PROJECT / folder).rglob("*.py")]
    text = "\n".join(text for text in texts if '"""What a bare machine needs' not in text)
    for need in NEEDS:
        name = "venv" if need.command == "ensurepip" else Path(need.command).name
        if name != "stdlib.h":
            assert re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text), need


@pytest.mark.parametrize("targets", [("test", "fresh"), ("containers",), ("venv",)])
def test_somebody_is_told(targets: tuple[str, ...], tmp_path: Path) -> None:
    """Who is not root gets the packages' names, each once, and the command that brings them; exit status 1."""
    for name in ("sh", "grep", "dirname"):  # a machine with little else
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    for name, does in (("python", "exit 0"), ("id", "echo 1000")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / name).chmod(0o755)
    listed = [
        need.package
        for target in targets
        for need in NEEDS
        if need.target == target and need.command != "ensurepip" and not _is_here(need.command)
    ]
    run = subprocess.run(
        [PROJECT / "tools/need", *targets],
        env={"PATH": str(tmp_path), "PYTHON": str(tmp_path / "python")},
        capture_output=True,
        text=True,
    )
    packages = " ".join(dict.fromkeys(listed))
    said = f"missing: {packages}\nas root: apt-get install {packages}\n" if packages else ""
    assert (run.returncode, run.stdout, run.stderr) == (1 if packages else 0, "", said)
    assert bool(packages) == (targets != ("venv",))


def _is_here(command: str) -> bool:
    places = [command] if "/" in command else [f"/usr/sbin/{command}", f"/sbin/{command}"]
    return any(os.access(place, os.R_OK) for place in places)


def test_a_target_that_is_none() -> None:
    """A target that the list lacks is no target without needs."""
    run = subprocess.run([PROJECT / "tools/need", "nope"], capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (2, "tools/needs.txt lists no target nope\n")
