"""Which launcher each app carries: told without a run image, from what lies in the image, whatever its labels claim."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import images
import pytest
from bundles import Answer, Tool
from elf_programs import Program
from harness import PROJECT
from jsonschema import Draft202012Validator
from rebased import World, metadata

from metalauncher.tooling.apps.check.inventory import Entry
from metalauncher.tooling.apps.check.inventory_report import markdown, text
from metalauncher.tooling.apps.check.launcher_file import LAUNCHER_LIMIT
from metalauncher.tooling.apps.launcher_inventory import OwnLauncher

LIFECYCLE = "github.com/buildpacks/lifecycle"
FLAGS = f"-s -w -X '{LIFECYCLE}/cmd.Version=0.17.7' -X '{LIFECYCLE}/cmd.SCMCommit=0123abc'"
MODULES = f'path\t{LIFECYCLE}/cmd/launcher\nmod\t{LIFECYCLE}\t(devel)\t\nbuild\t-ldflags="{FLAGS}"\n'


def program(modules: str = MODULES, padding: int = 0) -> bytes:
    """Return a launcher that says how it was built."""
    return bytes(Program(modules=modules)) + bytes(padding)


@pytest.fixture(scope="module")
def apps(world: World) -> dict[str, str]:
    """Return references: one app of each sort."""
    made = images.make_app("fine", metadata("0.10"), "0.12")
    by_module = program(f"path\tx\nmod\t{LIFECYCLE}\tv0.21.17\th1:x=\n")
    return {
        "official": world.reference(world.app(made, "self-contained", executable=program())),
        "by module": world.reference(world.app(made, "self-contained", executable=by_module)),
        "no Go": world.reference(world.app(made, "self-contained", executable=world.rig.launcher)),
        "link": world.reference(world.app(made)),
        "shim": world.reference(world.app(made, "shim")),
        "copy": world.reference(world.app(made, "self-contained", executable=world.rig.form.executable.read_bytes())),
        "lost": world.reference("none-such"),
    }


@pytest.fixture
def inventory(tool: Tool) -> Any:
    """Return a function that takes stock of apps."""

    def run(*arguments: str) -> Answer:
        return tool("check", "--inventory", *arguments)

    return run


def schema() -> Draft202012Validator:
    """Return what holds documents against the published schema."""
    return Draft202012Validator(json.loads((PROJECT / "metalauncher/schemas/inventory.schema.json").read_text()))


def test_json(inventory: Any, apps: dict[str, str], world: World) -> None:
    """Release, Go, module, and from where; path, layer and digest; or that it is the run image's."""
    answer = inventory(*apps.values(), "--json")
    document = answer.document
    assert (answer.code, answer.err) == (3, "")
    assert list(schema().iter_errors(document)) == []
    assert document["counts"] == {"own": 3, "run-image": 2, "copy": 1, "unknown": 1}
    assert [one["app"] for one in document["apps"]] == list(apps.values())
    found = dict(zip(apps, document["apps"], strict=True))
    official = found["official"]["launcher"]
    manifest, config = world.layout.image(apps["official"].rpartition(":")[2])
    label = json.loads(config["config"]["Labels"]["io.buildpacks.lifecycle.metadata"])
    layer = manifest["layers"][config["rootfs"]["diff_ids"].index(label["launcher"]["sha"])]["digest"]
    claimed = "the image's label io.buildpacks.build.metadata says 0.20.20, the program says"
    assert official == {
        "release": "0.17.7",
        "go_version": "go1.26.8",
        "module": LIFECYCLE,
        "source": "ldflags",
        "path": "/cnb/lifecycle/launcher",
        "layer": layer,
        "digest": images.sha(program()),
        "size": len(program()),
        "notes": [f"{claimed} 0.17.7"],
        "diff_id": label["launcher"]["sha"],
    }
    other = found["by module"]["launcher"]
    assert (other["release"], other["source"], other["notes"]) == ("0.21.17", "module", [f"{claimed} 0.21.17"])
    other = found["no Go"]["launcher"]
    assert (other["release"], other["source"], other["go_version"]) == ("0.20.20", "label", None)
    assert {name: one["reason"] for name, one in found.items() if one["launcher"] is None} == {
        "link": "/cnb/lifecycle/launcher leads to /usr/lib/cnb/launcher, the run image's",
        "shim": "/cnb/lifecycle/launcher leads to /usr/bin/metalauncher --launch, the run image's",
        "copy": "/cnb/lifecycle/launcher is a copy of metalauncher, which starts the run image's",
        "lost": found["lost"]["reason"],
    }
    assert document["releases"] == [
        {"module": LIFECYCLE, "release": "0.17.7", "apps": 1},
        {"module": LIFECYCLE, "release": "0.21.17", "apps": 1},
        {"module": None, "release": "0.20.20", "apps": 1},
    ]


def test_text(inventory: Any, apps: dict[str, str]) -> None:
    """A table, what contradicts its label, and the launchers by release."""
    answer = inventory(apps["official"], apps["by module"], apps["link"])
    head, first, second, third, *rest = answer.out.splitlines()
    assert (answer.code, answer.err) == (0, "")
    assert head.split() == ["app", "launcher", "release", "from", "Go", "digest", "layer"]
    digest = images.sha(program())[: len("sha256:") + 12]
    assert first.split()[1:6] == ["buildpacks/lifecycle", "0.17.7", "linked", "in", "go1.26.8"]
    assert first.split()[6] == digest
    assert " module version " in second
    assert third == f"{apps['link']}  the run image's"
    assert rest[1].startswith(f"note: {apps['official']}: the image's label io.buildpacks.build.metadata says 0.20.20")
    assert rest[-3:] == [
        "3 apps: 2 a launcher of its own, 1 the run image's",
        "      1  buildpacks/lifecycle 0.17.7",
        "      1  buildpacks/lifecycle 0.21.17",
    ]


def test_other_forms(inventory: Any, apps: dict[str, str], tmp_path: Path) -> None:
    """A line for each as soon as it is there, and a comment; a file, and on stderr what it comes to."""
    answer = inventory(*apps.values(), "--format", "jsonl")
    whole: Any = schema().schema
    lines = Draft202012Validator({**whole["$defs"]["entry"], "$defs": whole["$defs"]})
    assert [list(lines.iter_errors(json.loads(line))) for line in answer.out.splitlines()] == [[]] * len(apps)
    answer = inventory(apps["official"], apps["link"], "--format", "markdown", "--output", str(tmp_path / "x.md"))
    assert (answer.code, answer.out) == (0, "")
    assert answer.err.startswith("2 apps: 1 a launcher of its own, 1 the run image's\n")
    assert "| buildpacks/lifecycle 0.17.7 | 1 |" in (tmp_path / "x.md").read_text()


def test_exit_codes(inventory: Any, apps: dict[str, str], world: World) -> None:
    """3 where it can't be told, unless that is allowed; and where what is named is no app."""
    assert inventory(apps["lost"]).code == 3
    assert inventory(apps["lost"], "--unknown", "warn").code == 0
    world.run("labelled-too", world.rig.run_layer(), Labels={"io.buildpacks.stack.id": "acme"})
    answer = inventory(world.reference("labelled-too"), "--unknown", "warn")
    assert (answer.code, "is a run image: there is no app in it" in answer.out) == (3, True)
    answer = inventory(world.reference("none"), "--unknown", "warn")
    assert "is not an app image built by buildpacks: it has no launcher" in answer.out


@pytest.mark.parametrize(
    "more",
    [
        ("--run-image", "oci:x"),
        ("--against", "oci:x"),
        ("--resume", "x"),
        ("--fail-on", "regressions"),
        ("--format", "html"),
    ],
)
def test_what_it_has_no_use_for(inventory: Any, more: tuple[str, ...]) -> None:
    """Nothing is judged: what belongs to that is refused."""
    answer = inventory("oci:app", *more)
    assert (answer.code, answer.out) == (3, "")
    assert answer.err.startswith("ERROR: --inventory gives no verdicts: it can't be used with ")


def test_unpacked(inventory: Any, apps: dict[str, str], world: World, tmp_path: Path) -> None:
    """Of a directory the same, but for the layer; nothing outside it is read."""
    root = tmp_path / "rootfs"
    shutil.copytree(world.rebase(apps["official"].rpartition(":")[2], "new"), root, symlinks=True)
    document = inventory(f"dir:{root}", "--json").document
    launcher = document["apps"][0]["launcher"]
    assert (launcher["release"], launcher["layer"], launcher["digest"]) == ("0.17.7", None, images.sha(program()))
    elsewhere = tmp_path / "elsewhere"
    (root / "cnb/lifecycle").rename(elsewhere)
    (root / "cnb/lifecycle").symlink_to(elsewhere)
    answer = inventory(f"dir:{root}", "--json")
    assert (answer.code, answer.document["apps"][0]["reason"]) == (
        3,
        "has a link on the way to /cnb/lifecycle/launcher",
    )
    (root / "cnb/lifecycle").unlink()
    (root / "cnb/lifecycle").mkdir()
    (root / "cnb/lifecycle/launcher").symlink_to("/usr/lib/cnb/launcher")
    assert inventory(f"dir:{root}", "--json").document["apps"][0]["kind"] == "run-image"
    (root / "cnb/lifecycle/launcher").unlink()
    answer = inventory(f"dir:{root}", "--json")
    assert answer.document["apps"][0]["reason"] == "has no launcher: there is no /cnb/lifecycle/launcher"


def test_the_topmost_counts(inventory: Any, world: World) -> None:
    """A patch that puts another launcher over it, or takes it away; links that go round."""
    made = images.make_app("patched", metadata("0.10"), "0.12")
    other = program(f"path\tx\nmod\t{LIFECYCLE}\tv0.13.5\th1:x=\n")

    def patched(*members: Any) -> dict[str, Any]:
        tag = world.app(made, "self-contained", executable=program(), above=[images.pack(list(members))])
        (entry,) = inventory(world.reference(tag), "--json").document["apps"]
        assert isinstance(entry, dict)
        return entry

    entry = patched(images.file("/cnb/lifecycle/launcher", other, 0o755))
    assert (entry["launcher"]["release"], entry["launcher"]["digest"]) == ("0.13.5", images.sha(other))
    entry = patched(images.file("/cnb/lifecycle/.wh.launcher", b""))
    assert (entry["kind"], entry["reason"]) == ("unknown", "has no launcher: there is no /cnb/lifecycle/launcher")
    entry = patched(images.link("/cnb/lifecycle/launcher", "launcher"))
    assert (entry["kind"], entry["reason"]) == (
        "unknown",
        "has no launcher: there is no /cnb/lifecycle/launcher: too many levels of symbolic links",
    )
    entry = patched(images.link("/cnb/lifecycle/launcher", "other"), images.file("/cnb/lifecycle/other", other, 0o755))
    assert (entry["launcher"]["release"], entry["launcher"]["path"]) == ("0.13.5", "/cnb/lifecycle/other")


def test_a_launcher_that_is_too_large(inventory: Any, world: World) -> None:
    """It is not read: what it is its label alone says."""
    made = images.make_app("large", metadata("0.10"), "0.12")
    tag = world.app(made, "self-contained", executable=program(padding=LAUNCHER_LIMIT))
    (entry,) = inventory(world.reference(tag), "--json").document["apps"]
    launcher = entry["launcher"]
    assert (launcher["source"], launcher["digest"]) == ("label", None)
    assert launcher["notes"] == ["it has 64 MiB and was not read: at most 64 are"]


def test_the_verdict_has_it_too(tool: Tool, apps: dict[str, str], world: World) -> None:
    """With a run image, an app that keeps its own launcher says which one."""
    answer = tool("check", apps["official"], apps["by module"], "--run-image", world.reference("new"), "--json")
    assert answer.code == 0
    launchers = [one["own_launcher"] for one in answer.document["results"]]
    assert [(one["release"], one["source"]) for one in launchers] == [("0.17.7", "ldflags"), ("0.21.17", "module")]
    assert answer.document["own_launchers"] == [
        {"module": LIFECYCLE, "release": release, "apps": 1} for release in ("0.17.7", "0.21.17")
    ]


def test_hostile() -> None:
    """Whatever a launcher says of itself: the table stays narrow, and Markdown stays Markdown."""
    evil = "evil|`<b>@team\x1b[31m\u202e" * 50
    launcher = OwnLauncher(evil, evil, evil, "module", evil, evil, evil, 1, (evil,) * 30)
    entries = [Entry(evil, None, "own", evil, launcher), Entry("b", None, "unknown", evil)] * 200
    lines = text(entries, 3, lambda text, _: text)
    assert max([len(line) for line in lines if line.startswith(("b ", "note:"))]) < 420
    assert lines[-1] == "3 apps not looked at"
    assert "and 5,992 more notes" in lines
    page = markdown(entries, 3)
    assert len(page) < 65_536 * 2
    assert "\x1b" not in page
    assert "<b>@team" not in page.replace("`", "")
