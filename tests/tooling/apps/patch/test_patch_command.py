"""`patch` as a program, over a real registry: planned, reviewed, applied; what is refused, and what is left alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from containers import need
from patching import RUN, Yard
from rebased import World
from registries import start_registry


@pytest.fixture
def yard(world: World, tmp_path: Path) -> Iterator[Yard]:
    """Return a registry with a run image that has metalauncher."""
    need("docker-registry")
    folder = tmp_path / "registry"
    folder.mkdir()
    registry = start_registry(folder)
    found = Yard(registry, world, tmp_path)
    found.push("two", RUN)
    yield found
    registry.close()


def test_planned_and_applied(yard: Yard) -> None:
    """A plan writes nothing but its journal; applied, the app is there under its target, and proved."""
    app = yard.app("team/app:1")
    before = yard.digest("team/app:1")
    answer = yard.plan("team/app:1")
    assert (answer.code, answer.err) == (0, ""), answer
    assert "team/app:1: to be written" in answer.out
    assert yard.digest("team/app:1-shim") is None
    entry = yard.entries()["team/app:1"]
    assert (entry["app"], entry["outcome"], entry["digest"]) == (app, "planned", before)
    assert (entry["before"], [proof["kind"] for proof in entry["proofs"]]) == ("keeps-own-launcher", ["starts"] * 2)
    answer = yard.apply()
    assert (answer.code, answer.err) == (0, ""), answer
    assert "team/app:1: written" in answer.out
    assert yard.digest("team/app:1-shim") == entry["new_digest"] == yard.progress()["team/app:1"]["digest"]
    assert yard.digest("team/app:1") == before
    whole = yard.journal.read_bytes()
    again = yard.apply()
    assert (again.code, yard.journal.read_bytes()) == (0, whole)
    assert json.loads(yard.run("--apply", str(yard.journal), "--json").out)["counts"]["written"] == 1
