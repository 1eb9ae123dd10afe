"""`patch --apply` killed at random moments, over a registry that keeps what it gets: nothing is ever half-written."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import PROJECT
from keeping import Kept
from patching import Yard, kept_yard
from rebased import World

KILLER = PROJECT / "tests/support/killing.py"
APPS = tuple([f"app:{number}" for number in range(4)])
SOURCE, TARGET = "team/app", "team/app-shim"


@pytest.fixture
def yard(world: World, tmp_path: Path, kept: Kept) -> Iterator[Yard]:
    """Return a plan for some apps in that registry."""
    with kept_yard(kept, world, tmp_path, APPS) as (found, _):
        assert found.plan(*APPS, to="{repository}-shim:{tag}").code == 0
        yield found


def look(yard: Yard, kept: Kept, planned: dict[str, str], before: dict[str, str]) -> int:
    """Hold what the registry and the journal have; return how many apps are written."""
    assert kept.tags[SOURCE] == before
    for version, digest in kept.tags[TARGET].items():
        assert digest == planned[f"app:{version}"]
        document = json.loads(kept.manifests[TARGET][digest][1])
        needed = {document["config"]["digest"], *[layer["digest"] for layer in document["layers"]]}
        assert needed <= kept.blobs[TARGET].keys()
    *whole, rest = yard.journal.read_bytes().split(b"\n")
    said = [json.loads(line) for line in whole]
    assert rest == b"" or not rest.endswith(b"}")
    written = {line["progress"]["app"] for line in said if line.get("progress", {}).get("state") == "written"}
    assert {app.rpartition(":")[2] for app in written} <= kept.tags[TARGET].keys()
    return len(kept.tags[TARGET])


@pytest.mark.parametrize("times", [10, pytest.param(200, marks=pytest.mark.thorough)])
def test_killed_at_random_moments(times: int, yard: Yard, kept: Kept) -> None:
    """What is there is whole and as planned; a run goes on with what the one before left, and the last completes."""
    planned = {app: str(entry["new_digest"]) for app, entry in yard.entries().items()}
    before = dict(kept.tags[SOURCE])
    plan = yard.journal.read_bytes()
    draw = random.Random(times)
    words = ("patch", "--apply", str(yard.journal), "--no-cache", "--jobs", "2")
    counts: set[int] = set()
    with subprocess.Popen(
        [sys.executable, KILLER, str(times), "--", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=PROJECT,
        env={"HOME": str(yard.folder), "PYTHONPATH": str(PROJECT)},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for number, _ in enumerate(process.stdout):
            there = look(yard, kept, planned, before)
            assert number or there == len(APPS)  # the first is not killed
            counts.add(there)
            if there == len(APPS) or draw.random() < 0.5:  # begin anew; else the next goes on with this
                for has in (kept.tags, kept.manifests, kept.blobs):
                    has[TARGET].clear()
                yard.journal.write_bytes(plan)
            process.stdin.write("\n")
            process.stdin.flush()
    assert (process.returncode, number) == (0, times)
    assert len(counts) > 1
    assert yard.apply().code == 0
    assert look(yard, kept, planned, before) == len(APPS)
    assert {one["state"] for one in yard.progress().values()} == {"written"}
