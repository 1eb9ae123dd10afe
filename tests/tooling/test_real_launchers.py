"""The commands over releases of the official layout whose launcher and descriptor are lifecycle's own."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from bundles import Tool, lifecycle_toml
from harness import PROJECT, REFERENCE_REGISTRY
from real_launchers import EACH, Launchers

# How many APIs each claims: Platform and Buildpack.
CLAIMS = {
    "0.9.3": (2, 3),
    "0.10.2": (3, 4),
    "0.13.5": (6, 6),
    "0.14.3": (7, 7),
    "0.15.3": (8, 8),
    "0.17.7": (10, 9),
    "0.18.5": (6, 4),
    "0.20.11": (8, 5),
    "0.21.17": (9, 6),
}


@pytest.mark.parametrize("version", EACH)
def test_probe_proves_every_claim(tool: Tool, tmp_path: Path, real: Launchers, version: str) -> None:
    """Each launcher, installed from its release, accepts all that its own descriptor claims, and nothing beside it."""
    added = tool.on("bundle", "add", real.release(tmp_path, version))
    assert (added.code, added.err) == (0, "")
    answer = tool.on("probe")
    claims = sum(CLAIMS[version])
    path = f"{tool.root}/usr/lib/cnb/launchers/buildpacks/lifecycle/{version}/launcher"
    assert answer.out == f"buildpacks/lifecycle@{version}: {claims} of {claims} claims proved ({path})\n"
    assert (answer.code, answer.err) == (0, "")
    (report,) = tool.on("probe", "--json").document["launchers"]
    wrong = [trial for trial in report["trials"] if (trial["exit_code"] == 0) is not trial["claimed"]]
    assert wrong == []
    assert {trial["exit_code"] for trial in report["trials"]} == {0, 11, 12}
