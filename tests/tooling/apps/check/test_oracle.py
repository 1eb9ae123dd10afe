"""`check` and the runtimes: small images of which each has a point, judged, and really started."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from containers import need
from harness import DATA, PROJECT
from native import Native
from oracle import Oracle, scratch
from oracle_search import CHANGES, compose, shrink, steps
from oracle_truth import Case, Truth, agrees, read_truth, said
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
    hold(case(name, oracle, judged))


@pytest.mark.thorough
@pytest.mark.parametrize("name", CASES)
def test_the_case_is_so_in_gvisor(name: str, oracle: Oracle) -> None:
    """Another kernel, and the same."""
    need("runsc")
    (found,) = oracle.judge([read_recipe(CASES[name])], ("runsc",))
    hold(found)


def hold(found: Case) -> None:
    """Hold the verdict that a case asks for against what happens."""
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


def test_random_recipes_can_be_kept(tmp_path: Path) -> None:
    """Whatever a search makes is read from a file as it was; the same seed makes the same, and each change is made."""
    file = tmp_path / "case.toml"
    made = {seed: steps(seed) for seed in range(1000)}
    assert {name for chosen in made.values() for name, _ in chosen} == {change.__name__ for change in CHANGES}
    for seed, chosen in made.items():
        recipe = compose(chosen)
        file.write_text(write_recipe(recipe))
        assert read_recipe(file) == recipe == compose(steps(seed)), seed


def test_shrink() -> None:
    """Of changes, those are left without which it is not wrong any more."""
    chosen = [("user", 1), ("shim", 2), ("harmless", 3), ("order", 4)]
    fewer = shrink(chosen, lambda recipe: {"shim", "order"} <= set(recipe.what.split(" + ")))
    assert fewer == [("shim", 2), ("order", 4)]


LAUNCHER = "/usr/lib/cnb/launchers/a/b/1/launcher"
OTHER = "/usr/lib/cnb/launchers/a/b/2/launcher"
RAN = Truth("ran", f"run:{LAUNCHER}", f"run:{LAUNCHER}", LAUNCHER, 42)
TRUTHS = {
    "the launcher": RAN,
    "the launcher through a link": replace(RAN, mark="run:/opt/launcher", through="run:/opt/launcher"),
    "another launcher": replace(RAN, execfn=OTHER),
    "the app's file in its place": replace(RAN, mark=f"app:{LAUNCHER}", through=f"app:{LAUNCHER}"),
    "the app's interpreter under it": replace(RAN, through="app:/lib/ld.so"),
    "the app's own": Truth("ran", "app:/cnb/lifecycle/launcher", "app:/cnb/lifecycle/launcher", "/cnb/process/web", 42),
    "refused 82": Truth("refused", code=82),
    "refused 1": Truth("refused", code=1),
    "usage": Truth("usage", code=3),
    "crashed": Truth("crashed", code=139),
    "nothing": Truth("nothing", code=1),
}
# Verdict: with which truths it is right.
RIGHT: dict[str, set[str]] = {
    "starts": {"the launcher", "the launcher through a link"},
    "refused 82": {"refused 82"},
    "does-not-start": {"usage", "crashed", "nothing"},
    "keeps-own-launcher": {"the app's own", "the app's file in its place"},
    "unknown": set(TRUTHS),
}


@pytest.mark.parametrize("truth", TRUTHS)
@pytest.mark.parametrize("verdict", RIGHT)
def test_what_agrees(verdict: str, truth: str) -> None:
    """A verdict is right where that very thing happens, and *unknown* always is."""
    kind, _, code = verdict.partition(" ")
    result = {
        "kind": kind,
        "exit_code": int(code) if code else None,
        "launcher": {"path": LAUNCHER} if kind == "starts" else None,
    }
    why = agrees(result, TRUTHS[truth], Recipe())
    assert (why == "") == (truth in RIGHT[verdict]), why
    assert not why or (why.startswith(f"it is said: {verdict}") and TRUTHS[truth].happened in why)


def test_what_a_container_said() -> None:
    """A program's mark counts, then metalauncher's refusal; a runtime's own error is nothing that started."""

    def read(code: int, out: str, err: str) -> tuple[str, str, int]:
        truth = read_truth(subprocess.CompletedProcess([], code, out, err), "")
        return truth.happened, truth.mark, truth.code

    assert read(42, "ORACLE\trun:/l\tapp:/a\t/cnb/process/web\n", "Warning: x\n") == ("ran", "app:/a", 42)
    assert read(12, "", "Warning: x\nERROR: failed to set API\n") == ("refused", "", 12)
    assert read(1, "", "ERROR: failed to read metadata: x\n") == ("refused", "", 1)
    assert read(1, "", "open executable: No such file or directory\n") == ("nothing", "", 1)
    assert read(3, "", "ERROR: no such command\n") == ("usage", "", 3)
    assert read(139, "", "") == ("crashed", "", 139)


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
