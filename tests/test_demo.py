"""`make demo`, over both forms: what it shows is checked by itself, and that it can fail is checked here."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from harness import PROJECT, Form

DEMO = PROJECT / "demo/demo.py"


def test_demo(form: Form, tmp_path: Path) -> None:
    """It starts at least five apps, refuses one, and ends with 0."""
    run = subprocess.run([sys.executable, DEMO, form.executable, tmp_path / "demo"], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.count("stand-in for buildpacks_lifecycle@") == 6
    assert run.stdout.endswith("6 apps dispatched, 1 refused.\n")


def test_demo_with_launchers(form: Form, tmp_path: Path) -> None:
    """`LAUNCHERS=DIR` puts the launchers found there in place of the stand-in."""
    launchers = tmp_path / "launchers"
    launchers.mkdir()
    for version in ("0.9.3", "0.17.7", "0.21.17"):
        launcher = launchers / f"launcher-{version}"
        launcher.write_text(f"#!/bin/sh\necho the real {version}\n")
        launcher.chmod(0o755)
    command: list[str | Path] = [sys.executable, DEMO, form.executable, tmp_path / "demo", launchers]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.count("the real 0.17.7") == 3


def test_demo_fails_on_a_wrong_choice(tmp_path: Path) -> None:
    """A dispatcher that always takes the newest launcher fails the demo: the stand-in refuses."""
    wrong = tmp_path / "newest"
    wrong.write_text(
        '#!/bin/sh\nexec "$METALAUNCHER_ROOT/usr/lib/cnb/launchers/buildpacks/lifecycle/0.21.17/launcher" "$@"\n'
    )
    wrong.chmod(0o755)
    shutil.copy2(wrong, tmp_path / "metalauncher")
    run = subprocess.run([sys.executable, DEMO, wrong, tmp_path / "demo"], capture_output=True, text=True)
    assert run.returncode == 1
    assert "WRONG: ['p03-unrecorded by shim', 'p04 by symlink'" in run.stdout
