"""`check` and the runtimes: small images of which each has a point, judged, and really started."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from containers import need
from harness import DATA, PROJECT
from native import Native
from oracle import Case, Oracle, agrees, said, scratch
from recipes import Recipe, read_recipe, write_recipe

# Where they differ, nothing can be said.
RUNTIMES = ("crun", "runc")
CASES = {path.stem: path for path in sorted((DATA / "tooling/apps/check/oracle").glob("*.toml"))}


@pytest.fixture(scope="module")
def oracle(native: Native) -> Iterator[Oracle]:
    """Return what asks, and tries."""
    need("umoci", "tini-static", *RUNTIMES)
    with scratch() as folder:
        yield Oracle(native.program("mark"), folder)


@pytest.fixture(scope="module")
def judged() -> dict[str, Case]:
    """Return what is known already."""
    return {}


def case(name: str, oracle: Oracle, judged: dict[str, Case]) -> Case:
    """Judge and start an image, once."""
    if name not in judged:
        (judged[name],) = oracle.judge([read_recipe(CASES[name])], RUNTIMES)
    return judged[name]


@pytest.mark.parametrize("name", CASES)
def test_the_verdict_is_so(name: str, oracle: Oracle, judged: dict[str, Case]) -> None:
    """What is said is what happens, and as much is said as can be."""
    found = case(name, oracle, judged)
    assert not found.wrong, f"{found.wrong}\n{found}"
    assert said(found.verdict) == found.recipe.expect, str(found)


@pytest.mark.parametrize("name", CASES)
def test_the_case_is_so(name: str, oracle: Oracle, judged: dict[str, Case]) -> None:
    """The verdict that a case asks for is true: what happens is taken from the runtime, not from the file."""
    found = case(name, oracle, judged)
    kind, _, code = found.recipe.expect.partition(" ")
    for truth in found.truths:
        ran = (
            {"path": truth.execfn} if kind == "starts" and truth.execfn.startswith("/usr/lib/cnb/launchers/") else None
        )
        wanted = {"kind": kind, "exit_code": int(code or 0), "launcher": ran}
        assert not agrees(wanted, truth, found.recipe), str(found)


@pytest.mark.parametrize("name", CASES)
def test_recipes_are_written_as_they_are_read(name: str, tmp_path: Path) -> None:
    """A recipe that a search found can be kept as a file."""
    recipe = read_recipe(CASES[name])
    file = tmp_path / "case.toml"
    file.write_text(write_recipe(recipe))
    again = read_recipe(file)
    assert isinstance(again, Recipe)
    assert again == recipe


# A seed that nobody chose by what came of it.
SEED = 20261201


@pytest.mark.parametrize("count", [60, pytest.param(1000, marks=pytest.mark.thorough)])
def test_search(count: int, tmp_path: Path) -> None:
    """Of random images, none is judged wrongly."""
    need("umoci", "tini-static", "crun", "runc", "runsc")
    options = ("--count", str(count), "--seed", str(SEED), "--jobs", "2", "--findings", tmp_path)
    run = subprocess.run(
        [sys.executable, "fuzz/check_images.py", *map(str, options)], cwd=PROJECT, capture_output=True, text=True
    )
    assert run.stdout.startswith(f"from seed {SEED}\n{count} images\n"), run.stderr
    assert run.returncode == 0, run.stdout
