"""`metalauncher compare` finds every one thing that a launcher does otherwise, and nothing where there is nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from bundles import Tool
from native import Native
from real_launchers import Launchers
from wrapped import CHANGES, Change, wrap

# Given, so that the launchers need not be asked which they accept: that takes most of the time of a single case.
APIS = ("--platform-api", "0.15", "--buildpack-api", "0.12")


def differing(document: dict[str, object]) -> dict[str, list[str]]:
    """Return the fields that differ, by case."""
    cases = document["cases"]
    assert isinstance(cases, list)
    return {
        case["name"]: [difference["field"] for difference in case["differences"]]
        for case in cases
        if case["differences"]
    }


@pytest.mark.parametrize("change", CHANGES, ids=[change.name for change in CHANGES])
def test_one_change(tool: Tool, native: Native, tmp_path: Path, change: Change, real: Launchers) -> None:
    """What a wrapper changes is named, and nothing else with it."""
    launcher = real["0.21.17"].executable
    wrapper = wrap(native, launcher, change.name, tmp_path)
    answer = tool("compare", launcher, wrapper, "--only", change.case, *APIS, "--json")
    assert answer.code == 1, answer.err
    assert {name: sorted(fields) for name, fields in differing(answer.document).items()} == {
        change.case: sorted(change.fields)
    }


def test_a_wrapper_that_changes_nothing(tool: Tool, native: Native, tmp_path: Path, real: Launchers) -> None:
    """The wrapper itself is not what is found."""
    launcher = real["0.21.17"].executable
    wrapper = wrap(native, launcher, "nothing", tmp_path)
    cases = sorted({change.case for change in CHANGES})
    only = [word for case in cases for word in ("--only", case)]
    answer = tool("compare", launcher, wrapper, *only, *APIS, "--json")
    assert (answer.code, differing(answer.document)) == (0, {}), answer.out
    assert answer.document["counts"]["alike"] == len(cases)


def test_a_copy(tool: Tool, tmp_path: Path, real: Launchers) -> None:
    """A launcher and a copy of it are alike in each case but the exit statuses', which are many and of one kind."""
    launcher = real["0.21.17"].executable
    shutil.copy2(launcher, tmp_path / "copy")
    areas = (
        "route",
        "directory",
        "path",
        "environment",
        "env-files",
        "layers",
        "exec.d",
        "colour",
        "streams",
        "metadata",
    )
    only = [word for area in areas for word in ("--only", area)]
    answer = tool("compare", launcher, tmp_path / "copy", *only)
    assert (answer.code, answer.out) == (0, ""), answer.out
    assert answer.err.splitlines()[-1].endswith(" alike")


@pytest.mark.thorough
@pytest.mark.parametrize("version", ["0.9.3", "0.20.11", "0.21.17"])
def test_a_copy_in_every_case(tool: Tool, tmp_path: Path, version: str, real: Launchers) -> None:
    """The same in all cases, also for launchers that panic in some (0.20.11), or know none of today's APIs (0.9.3)."""
    launcher = real[version].executable
    shutil.copy2(launcher, tmp_path / "copy")
    answer = tool("compare", launcher, tmp_path / "copy")
    assert (answer.code, answer.out) == (0, ""), answer.out
