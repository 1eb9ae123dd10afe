"""docs/platforms/check.md tells the truth: its example runs, its limits are the program's."""

from __future__ import annotations

import ast
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import images
from elf_programs import Program
from harness import PROJECT
from rebased import PLATFORM, Rig, World, metadata

from metalauncher.tooling.apps.check import dispatch, user
from metalauncher.tooling.apps.check import layer_scan as search
from metalauncher.tooling.apps.check.judge import Judge
from metalauncher.tooling.apps.check.report_text import ASSUMPTIONS
from metalauncher.tooling.apps.check.verdict import KINDS
from metalauncher.tooling.oci import image, model
from metalauncher.tooling.oci.location import parse_location
from metalauncher.tooling.oci.sources.stores import open_local
from metalauncher.tooling.run_image.labels import BUILDPACK_APIS, PATH, PLATFORM_APIS

PAGE = (PROJECT / "docs/platforms/check.md").read_text()


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
    """Every verdict and every assumption is explained, and the limits are those of the program."""
    verdicts, assumptions = section("## Verdicts").split("### On what it rests")
    assert codes(verdicts) == set(KINDS)
    assert codes(assumptions) == set(ASSUMPTIONS)
    for name, limit in (
        ("manifest", model.MANIFEST_LIMIT),
        ("config", model.CONFIG_LIMIT),
        ("`metadata.toml`", search.WHOLE_LIMIT),
    ):
        assert f"| {name} | {limit >> 20} MiB" in PAGE
    assert f"| a layer to be searched, as it is stored | {search.LAYER_LIMIT >> 30} GiB |" in PAGE
    held = f"{search.FACTS_LIMIT}, and {search.HELD_LIMIT >> 20} MiB"
    assert f"| members of the layers that matter, and bytes of them that are held | {held} |" in PAGE
    assert f"| layers | {image.LAYERS_LIMIT} |" in PAGE
    expanded = f"{search._EXPANDED_FLOOR >> 20} MiB, and {search._EXPANDED_RATIO} times its size"
    assert f"| what a layer may expand to | {expanded} |" in PAGE
    assert f"of a program {search.HEAD >> 10} KiB are held" in PAGE
    assert f"| links and directories of a layer | {search.NAMES_LIMIT:,} |" in PAGE
    assert f"| files in a directory of descriptors | {dispatch._ENTRIES_LIMIT:,} |" in PAGE
    assert f"| `/etc/passwd`, `/etc/group` | {user.FILE_LIMIT >> 20} MiB each |" in PAGE


def test_what_verdicts_rest_on(world: World, tmp_path: Path) -> None:
    """Each assumption is made where the page says so, and `--thorough` does without those that it says."""
    made = images.make_app("app", metadata("0.10"), "0.12")
    link = images.pack([images.link("/cnb/lifecycle/launcher", "/opt/launcher")])
    launcher = images.pack([images.file("/opt/launcher", world.rig.launcher, 0o755)])
    world.run("labelled", launcher, Labels={PLATFORM_APIS: "0.12", BUILDPACK_APIS: "0.10", PATH: "/opt/launcher"})
    bundle = tmp_path / "bundle"
    tag = world.app(made)
    shutil.copytree(world.rebase(tag, "old"), bundle / "rootfs", symlinks=True)
    config = world.layout.image(tag)[1]["config"]
    process = {"args": config["Entrypoint"], "env": config["Env"], "cwd": config["WorkingDir"]}
    (bundle / "config.json").write_text(json.dumps({"ociVersion": "1.0.2", "process": process}))

    def ask(app: str, on: str = "two", *, thorough: bool) -> tuple[str, tuple[str, ...], int]:
        judge = Judge(world.run_image(on), None, PLATFORM, thorough=thorough)
        if app.startswith("/"):
            found = judge.judge_unpacked(app, app)
        else:
            found = judge.judge(app, open_local(parse_location(world.reference(app))))
        return found.kind, found.assumes, found.layers_read

    assert ask(tag, thorough=False) == ("starts", ("lifecycle-layers",), 3)
    assert ask(tag, thorough=True) == ("starts", (), 4)
    unlabelled = world.app(made, labels=False)
    assert ask(unlabelled, thorough=False) == ("starts", ("unknown-run-image",), 5)  # the old run image's as well
    assert ask(unlabelled, thorough=True) == ("unknown", (), 5)
    for thorough in (False, True):
        assert ask(str(bundle / "rootfs"), thorough=thorough)[:2] == ("starts", ("unknown-run-image",))
        kind, assumes, _ = ask(world.app(made, above=[link]), "labelled", thorough=thorough)
        assert (kind, assumes) == ("starts", ("labels",) if thorough else ("lifecycle-layers", "labels"))


def section(heading: str) -> str:
    """Return what stands below a heading, up to the next of its kind."""
    return PAGE.partition(f"{heading}\n")[2].partition("\n## ")[0]


def codes(text: str) -> set[str]:
    """Return the codes that the items of a list begin with."""
    return set(re.findall(r"^- \*\*`([a-z-]+)`\*\*", text, flags=re.MULTILINE))


def reasons() -> list[str]:
    """Return what may be printed of an unknown verdict, as the page has it."""
    return re.findall(r"^  - `([^`]+)`$", section("## When it is unknown"), flags=re.MULTILINE)


def texts(node: ast.AST) -> Iterator[str]:
    """Give the texts in a piece of source, as they stand between what is put into them."""
    for each in ast.walk(node):
        if isinstance(each, ast.Constant) and isinstance(each.value, str):
            yield each.value


def parsed(folder: str) -> list[ast.Module]:
    """Return the modules below a folder of the package."""
    return [ast.parse(file.read_text()) for file in sorted((PROJECT / "metalauncher" / folder).rglob("*.py"))]


def test_reasons_are_the_programs() -> None:
    """Each reason in the list of what makes a verdict unknown is printed by the program, but for its names."""
    said = [text for module in (*parsed("tooling"), *parsed("explain")) for text in texts(module)]
    assert len(reasons()) > 50
    for reason in reasons():
        for part in reason.split("…"):
            assert any(part.strip() in text for text in said), f"nothing prints {part!r} of {reason!r}"


def test_doubts_are_on_the_page() -> None:
    """Each doubt that the judgement may have is in that list."""
    listed = " ".join(reasons())
    calls = [node for module in parsed("tooling/apps/check") for node in ast.walk(module) if isinstance(node, ast.Call)]
    doubts = [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "doubt"]
    said = [max(found, key=len) for call in doubts if (found := list(texts(call)))]
    assert len(said) > 15
    for text in said:
        assert text.strip() in listed, f"add it to the list in docs/platforms/check.md: {text!r}"


def test_tables_can_be_read() -> None:
    """A cell is no paragraph: what needs one is a list."""
    cells = [cell.strip() for line in PAGE.splitlines() if line.startswith("|") for cell in line.split("|")]
    assert [cell for cell in cells if len(cell) > 160] == []


def test_each_reason_says_what_to_do() -> None:
    """Above the words that are printed stands what they mean, and what to do."""
    items = re.split(r"^- ", section("## When it is unknown"), flags=re.MULTILINE)[1:]
    assert len(items) > 30
    for item in items:
        assert re.match(r"\S.*?\.( |\n  )\*\*Do:\*\*( |\n  )\S.*?\.\n  - ", item, flags=re.DOTALL), item
