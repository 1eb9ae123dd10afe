"""Apps that lie unpacked, as OCI bundles: the same verdicts as over their images."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import images
import pytest
from rebased import PLATFORM, World, metadata

from metalauncher.tooling.apps.check.judge import Judge

if TYPE_CHECKING:
    from metalauncher.tooling.apps.check.verdict import Result

Unpacked = Callable[[str], Path]


@pytest.fixture
def unpack(world: World, tmp_path: Path) -> Unpacked:
    """Return a function that lays out an app as a bundle, on the run image that it was exported on."""

    def lay_out(tag: str) -> Path:
        bundle = tmp_path / tag
        bundle.mkdir()
        shutil.copytree(world.rebase(tag, "old"), bundle / "rootfs", symlinks=True)
        run = world.layout.image(tag)[1]["config"]
        process = {"args": run["Entrypoint"], "env": run["Env"], "cwd": run["WorkingDir"]}
        (bundle / "config.json").write_text(json.dumps({"ociVersion": "1.0.2", "process": process}))
        return bundle / "rootfs"

    return lay_out


def judge(world: World, root: Path, on: str = "two") -> Result:
    """Check."""
    return Judge(world.run_image(on), None, PLATFORM).judge_unpacked(f"dir:{root}", str(root))


@pytest.mark.parametrize("route", ["symlink", "shim", "self-contained"])
@pytest.mark.parametrize("name", ["p03-unrecorded", "p09-mixed", "p15"])
def test_real_apps(name: str, route: str, world: World, unpack: Unpacked) -> None:
    """An unpacked app has the verdict of its image, and no digest."""
    tag = world.app(images.load_app(name), route, executable=world.rig.launcher)
    root = unpack(tag)
    for run in ("two", "new", "legacy", "none", "bare"):
        found, expected = judge(world, root, run), world.judge(tag, run)
        notes = () if found.kind == "keeps-own-launcher" else found.notes[:1]
        assert found.digest is None
        own, its = found.own_launcher, expected.own_launcher
        assert (own and (own.path, own.digest, own.size)) == (its and (its.path, its.digest, its.size))
        assert (own is not None) == (found.kind == "keeps-own-launcher")
        assert found._replace(app="", notes=(), own_launcher=its, assumes=()) == expected._replace(
            app="",
            notes=(),
            digest=None,
            assumes=(),
            layers_read=1,
            bytes_read=0,
            reason=found.reason if route == "self-contained" else expected.reason,
        )
        assert [note.partition(":")[0] for note in notes] == ["is unpacked"] * len(notes)
        assert found.kind == "keeps-own-launcher" or notes


def test_odd_directories(world: World, unpack: Unpacked, tmp_path: Path) -> None:
    """What is missing or wrong in a bundle is said; nothing outside it is read."""
    root = unpack(world.app(images.make_app("app", metadata("0.10"), "0.12")))
    config = root.parent / "config.json"
    good = config.read_text()
    assert judge(world, root).kind == "starts"
    for text, reason in (
        ("{", "config.json is not JSON"),
        ("{}", "config.json has no process"),
        ('{"process": {"env": [1]}}', "the config's Env is not an array of strings"),
        ('{"process": {}}', "is not an app image built by buildpacks: it has no launcher"),
    ):
        config.write_text(text)
        found = judge(world, root)
        assert (found.kind, found.reason) == ("unknown", reason)
    config.unlink()
    found = judge(world, root)
    assert found.kind == "unknown"
    assert found.reason.startswith("has no config.json beside it, as OCI bundles do: ")
    config.write_text(good)
    outside = tmp_path / "outside"
    (root / "layers").rename(outside)
    (root / "layers").symlink_to(outside)
    found = judge(world, root)
    assert (found.kind, found.exit_code) == ("refused", 1)  # in a container the link leads nowhere
    (root / "layers").unlink()
    assert judge(world, root).exit_code == 1
    assert judge(world, tmp_path / "none-such").reason == "there is no such directory"
    shutil.rmtree(root / "cnb")
    assert judge(world, root).reason == "there is no /cnb/process/web"
