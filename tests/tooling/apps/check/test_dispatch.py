"""Every verdict is what the dispatch does: the app is laid over the run image, and really started."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import images
import pytest
from harness import APPS, Form
from rebased import World

from metalauncher.explain import which

NAMES = sorted(path.name for path in APPS.iterdir())
RUNS = ("two", "new", "legacy", "none", "bare")
ROUTES = ("symlink", "shim", "self-contained")


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("name", NAMES)
def test_real_apps(name: str, route: str, world: World) -> None:
    """The same launcher is reached, or the same exit code, on every run image and by every route."""
    executable = world.rig.launcher if route == "self-contained" else b""
    app = world.app(images.load_app(name), route, executable=executable)
    for run in RUNS:
        result = world.prove(app, run)
        assert result.app == app
        assert result.digest == images.sha(world.layout.blob(result.digest or "").read_bytes())
        if result.kind in ("refused", "does-not-start"):
            assert result.kind == ("does-not-start" if run == "bare" else "refused")
            assert result.remedy
        assert result.route == ("binary" if route == "self-contained" else route)


@pytest.mark.parametrize("name", NAMES)
def test_which(name: str, form: Form, world: World, tmp_path: Path) -> None:
    """`metalauncher --which`, of either form, says the same over the root that a rebase makes."""
    app = world.app(images.load_app(name))
    environ = dict([entry.split("=", 1) for entry in world.layout.image(app)[1]["config"]["Env"]])
    executable = shutil.copy2(form.executable, tmp_path / "metalauncher")  # by any other name it dispatches
    for run in ("two", "legacy", "none"):
        root = world.rebase(app, run)
        command = [str(executable), "--which", "--json", "--root", str(root)]
        document = json.loads(subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60).stdout)
        found = world.judge(app, run)
        path = None if document["launcher"] is None else document["launcher"]["path"].removeprefix(str(root))
        assert (found.launcher and found.launcher.path, found.exit_code or 0) == (path, document["exit_code"])
        assert found.kind == "refused" or found.reason == document["decided_by"]
        if document["need"]["metadata_read"]:
            assert [{"id": one, "api": api} for one, api in found.buildpacks] == document["need"]["buildpacks"]
        digest = which.digest(world.run_image(run).registry)
        assert digest == document["registry"]["digest"]


def test_all_verdicts_are_seen(world: World) -> None:
    """The apps bring about each verdict there is, but for what can't be told."""
    seen: Counter[str] = Counter()
    for name in NAMES:
        app = images.load_app(name)
        tags = [world.app(app), world.app(app, "self-contained", executable=world.rig.launcher)]
        seen.update([world.judge(tag, run).kind for tag in tags for run in RUNS])
    assert set(seen) == {"starts", "refused", "does-not-start", "keeps-own-launcher"}
    assert min(seen.values()) >= 10
