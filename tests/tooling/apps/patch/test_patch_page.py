"""docs/platforms/patch.md: its commands do what it says, and its table of codes has every one."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from containers import need
from harness import PROJECT
from pages import agrees, commands
from patching import RUN, Yard
from rebased import World
from registries import start_registry

from metalauncher.tooling.apps.patch.outcome_text import CODES
from metalauncher.tooling.apps.patch.proof import ProofCode
from metalauncher.tooling.apps.patch.refusals import LEFT_ALONE, RefusalCode

PAGE = PROJECT / "docs/platforms/patch.md"
HOST = "registry.example.com"


@pytest.fixture
def yard(world: World, tmp_path: Path) -> Iterator[Yard]:
    """Return a registry as the page has it."""
    need("docker-registry")
    folder = tmp_path / "registry"
    folder.mkdir()
    registry = start_registry(folder)
    found = Yard(registry, world, tmp_path)
    for tag in ("1", "2"):
        found.push("two", f"{RUN.partition(':')[0]}:{tag}")
    found.app("shop:1")
    yield found
    registry.close()


def test_commands(yard: Yard, tmp_path: Path) -> None:
    """One after another, in one directory, each does what the page shows."""
    place = tmp_path / "here"
    tools = tmp_path / "tools"
    for folder in (place, tools):
        folder.mkdir()
    (tools / "metalauncher").write_text(f'#!/bin/sh\nexec {sys.executable} -m metalauncher "$@"\n')
    (tools / "metalauncher").chmod(0o755)
    environ = {"PATH": f"{tools}:/usr/bin:/bin", "PYTHONPATH": str(PROJECT), "HOME": str(tmp_path)}
    page = commands(PAGE)
    assert len(page) == 4
    for command, shown in page:
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command.replace(HOST, yard.registry.host)],
            cwd=place,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        said = done.stdout.replace(yard.registry.host, HOST).splitlines()
        assert agrees(shown, said), f"{command}\n{done.stdout}"
    (record,) = (place / "records").iterdir()
    assert f"records/{record.name.replace(yard.registry.host, HOST)}" in PAGE.read_text()


def test_run_image_page_leads_here() -> None:
    """Who makes a run image reads there what becomes of apps that exist."""
    page = (PROJECT / "docs/vendors/run-image.md").read_text()
    assert "[`metalauncher patch`](../platforms/patch.md)" in page.partition("## Builders")[2]


def test_codes() -> None:
    """Each code that an app may have stands in the table, once, and no other; what is no fault is said to be none."""
    table = PAGE.read_text().partition("| code | why |")[2].partition("\n\n")[0]
    rows = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("| `")]
    listed = [code for codes, _ in rows for code in re.findall(r"`([^`]+)`", codes)]
    assert sorted(listed) == sorted([*get_args(RefusalCode), *CODES])
    assert set(get_args(ProofCode)) <= set(CODES)
    alone = {code for codes, why in rows if why.startswith(" left alone") for code in re.findall(r"`([^`]+)`", codes)}
    assert alone == {*LEFT_ALONE, "starts-already", "starts-otherwise"}
