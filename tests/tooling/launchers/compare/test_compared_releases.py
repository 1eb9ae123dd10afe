"""Releases of lifecycle side by side: each difference is known, with the reason that was found in their sources."""

from __future__ import annotations

from pathlib import Path

import pytest
from bundles import Tool
from harness import DATA
from real_launchers import Launchers

KNOWN = sorted((DATA / "compare").glob("*.toml"))


def test_there_are_files() -> None:
    """The glob finds what the differences are written in."""
    assert {path.stem for path in KNOWN} == {"0.15.3", "0.17.7", "0.20.11"}


@pytest.mark.thorough
@pytest.mark.parametrize("known", KNOWN, ids=lambda path: path.stem)
def test_every_difference_is_known(tool: Tool, known: Path, real: Launchers) -> None:
    """Against an older release there is none but those of its file, and each of these is met."""
    answer = tool("compare", real["0.21.17"].executable, real[known.stem].executable, "--allow", known, "--json")
    new = {case["name"]: case["differences"] for case in answer.document["cases"] if case["verdict"] == "different"}
    assert (new, answer.document["unmet_allowances"]) == ({}, [])
    assert answer.code == 0
    assert answer.document["counts"]["allowed"] > 20
