"""`kill -9` at any moment leaves a registry that works as before or as after, and the next command cleans up."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bundles import MACHINE, Tool, elf, release, tree
from harness import PROJECT

from metalauncher.places import Root
from metalauncher.registry import load_registry
from metalauncher.tooling.installed import digest_of
from metalauncher.tooling.writing import TEMPORARY

KILLER = PROJECT / "tests/support/killing.py"
TIMES = 200
SIZE = 1 << 20  # bytes: writing it takes long enough to be met
OLD = "buildpacks/lifecycle@0.17.7"
NEW = "buildpacks/lifecycle@0.21.17"


def killed(how: str, arguments: list[str | Path], restore: Callable[[], None]) -> Iterator[int]:
    """Yield the exit code of each run, and restore the root after each."""
    command = [sys.executable, KILLER, how, "--", *arguments]
    environ = {"PYTHONPATH": str(PROJECT)}
    with subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for line in process.stdout:
            yield json.loads(line)
            restore()
            process.stdin.write("\n")
            process.stdin.flush()
    assert process.returncode == 0


def state(tool: Tool) -> str:
    """Return which launchers are in effect; each has the executable that its descriptor speaks of."""
    root = Root(bytes(tool.root), whole=True)
    registry = load_registry(root)
    assert registry.invalid == ()
    for launcher in registry.launchers:
        assert digest_of(root.locate(launcher.path.encode())) == launcher.sha256
    return " ".join(sorted(f"{launcher!r}:{(launcher.sha256 or '')[:8]}" for launcher in registry.launchers))


def leftovers(tool: Tool) -> list[Path]:
    """Return the temporary files there are."""
    return sorted(tool.root.rglob(TEMPORARY.decode() + "*"))


@pytest.fixture
def prepared(tool: Tool, tmp_path: Path) -> Callable[[], None]:
    """Install one launcher, and return what puts the root back to that."""
    assert tool.on("bundle", "add", release(tmp_path, "0.17.7", elf(MACHINE, size=SIZE))).code == 0
    saved = tmp_path / "saved"
    shutil.copytree(tool.root, saved)

    def restore() -> None:
        shutil.rmtree(tool.root)
        shutil.copytree(saved, tool.root)

    return restore


def check_and_finish(tool: Tool, arguments: list[str | Path], before: str, after: str) -> str:
    """The registry is as before or as after; lint finds nothing but leftovers; doing it again cleans up."""
    found = state(tool)
    assert found in (before, after)
    left = leftovers(tool)
    lint = tool.on("lint", "--json")
    assert (lint.code, lint.err) == (0, "")
    assert sorted(finding["file"] for finding in lint.document["findings"]) == [str(path) for path in left]
    assert {finding["rule"] for finding in lint.document["findings"]} <= {"ML016"}
    if left or found == before:
        assert tool(*arguments).code == 0
        assert state(tool) == after
        assert leftovers(tool) == []
    return ("after" if found == after else "before") + (", leftover" if left else "")


def test_add_killed_at_random_moments(tool: Tool, tmp_path: Path, prepared: Callable[[], None]) -> None:
    """200 random moments of adding a second launcher."""
    arguments: list[str | Path] = [
        "bundle",
        "add",
        release(tmp_path, "0.21.17", elf(MACHINE, size=SIZE)),
        "--root",
        tool.root,
    ]
    before = state(tool)
    assert tool(*arguments).code == 0
    after = state(tool)
    prepared()
    seen: Counter[str] = Counter()
    for status in killed(str(TIMES), arguments, prepared):
        assert status in (0, -9)
        seen[check_and_finish(tool, arguments, before, after)] += 1
    assert seen.total() == TIMES + 1
    # Whether a moment of the few milliseconds that leave something over is among them is chance on a busy machine; the
    # next test has each of them.
    assert min(seen["before"], seen["after"]) > 0, seen


@pytest.mark.parametrize("replace", [False, True], ids=["add", "replace"])
def test_killed_at_every_step(tool: Tool, tmp_path: Path, prepared: Callable[[], None], replace: bool) -> None:
    """Every single change of the file system, of an add and of a replacement under the same version."""
    tarball = release(tmp_path, "0.17.7" if replace else "0.21.17", elf(MACHINE, size=SIZE + 1))
    arguments: list[str | Path] = ["bundle", "add", tarball, "--root", tool.root, *(["--replace"] if replace else [])]
    before = state(tool)
    assert tool(*arguments).code == 0
    after, files = state(tool), tree(tool.root)
    prepared()
    seen: Counter[str] = Counter()
    for _ in killed("steps", arguments, prepared):
        seen[check_and_finish(tool, arguments, before, after)] += 1
        assert replace or tree(tool.root) == files
    assert seen["before, leftover"] > 5
    assert seen["before"] > 5
    assert seen["after"] > 0


def test_remove_killed_at_every_step(tool: Tool, prepared: Callable[[], None]) -> None:
    """Every single change of a removal: the launcher is there whole, or it is gone."""
    before = state(tool)
    for _ in killed("steps", ["bundle", "remove", OLD, "--root", tool.root], prepared):
        assert state(tool) in (before, "")
