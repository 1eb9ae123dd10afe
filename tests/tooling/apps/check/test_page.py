"""docs/check.md tells the truth: its example runs, its limits are the program's."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import images
from elf_programs import Program
from harness import PROJECT
from rebased import Rig, World, metadata

from metalauncher.tooling.apps.check import layer_scan as search
from metalauncher.tooling.apps.check.verdict import KINDS
from metalauncher.tooling.oci import image, model

PAGE = (PROJECT / "docs/check.md").read_text()


def test_example(rig: Rig, tmp_path: Path) -> None:
    """The command prints what the page shows."""
    world = World(rig, images.Layout(tmp_path / "images"))
    world.run("run-1", rig.run_layer("0.17.7"))
    world.run("run-2", rig.run_layer("0.21.17"))
    made = {
        "shop": images.make_app("shop", metadata("0.10"), "0.12"),
        "blog": images.make_app("blog", metadata("0.5").replace("acme/0", "acme/ruby"), "0.7"),
    }
    for name, app in made.items():
        images.export(world.layout, "run-1", app, "symlink", name)
    program = bytes(Program(modules="path\tx\nmod\tgithub.com/buildpacks/lifecycle\tv0.17.7\th1:x=\n"))
    images.export(world.layout, "run-1", made["shop"], "self-contained", "tool", executable=program)
    world.layout.save()
    (block,) = re.findall(r"^```console\n\$ (.*?)\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    words = shlex.split(block[0])
    assert words[0] == "metalauncher"
    environ = {"PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-m", *words]
    run = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=120)
    assert (run.returncode, run.stderr) == (1, "")
    assert run.stdout == block[1]


def test_verdicts_and_limits() -> None:
    """Every verdict is explained, and the limits are those of the program."""
    assert set(re.findall(r"^\| `([a-z-]+)` \|", PAGE, flags=re.MULTILINE)) == set(KINDS)
    for name, limit in (
        ("manifest", model.MANIFEST_LIMIT),
        ("config", model.CONFIG_LIMIT),
        ("`metadata.toml`", search.WHOLE_LIMIT),
    ):
        assert f"| {name} | {limit >> 20} MiB" in PAGE
    assert f"| a layer to be searched, as it is stored | {search.LAYER_LIMIT >> 30} GiB |" in PAGE
    held = f"{search.FACTS_LIMIT}, and {search.HELD_LIMIT >> 20} MiB"
    assert f"| members of the layers that matter, and bytes of them that are held | {held} |" in PAGE
    assert f"| layers | {image._LAYERS_LIMIT} |" in PAGE
    expanded = f"{search._EXPANDED_FLOOR >> 20} MiB, and {search._EXPANDED_RATIO} times its size"
    assert f"| what a layer may expand to | {expanded} |" in PAGE
    assert f"of a program {search.HEAD >> 10} KiB are held" in PAGE
