"""The run image's side: what is taken for its launchers, whether they could be started, and what another one had."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import images
import pytest
from bundles import elf, noted
from rebased import PLATFORM, World, descriptor, metadata, place

from metalauncher.tooling.apps.check.judge import Judge
from metalauncher.tooling.apps.check.verdict import Before, Chosen
from metalauncher.tooling.oci.location import parse_location
from metalauncher.tooling.oci.model import ImageError
from metalauncher.tooling.oci.sources.stores import open_local
from metalauncher.tooling.run_image.labels import APIS, BUILDPACK_APIS, PATH, PLATFORM_APIS, labels
from metalauncher.tooling.run_image.reader import read_run_directory

NEW, OLD = "buildpacks/lifecycle@0.21.17", "buildpacks/lifecycle@0.17.7"
Member = tuple[tarfile.TarInfo, bytes]


@pytest.fixture(scope="module")
def app(world: World) -> str:
    """Return an app that both launchers cover."""
    return world.app(images.make_app("app", metadata("0.10"), "0.12"), "symlink")


def broken(*launchers: bytes, mode: int = 0o755) -> Iterator[Member]:
    """Give descriptors and launchers, newest first."""
    for version, data in zip(("0.21.17", "0.17.7"), launchers, strict=False):
        yield images.file(f"/usr/lib/cnb/launchers.d/{version}.toml", descriptor(version))
        if data:
            yield images.file(place(version), data, mode)


OBSTACLES = {
    "missing": (b"", 0o755, "no such file or directory"),
    "not-executable": (b"\x7fELF", 0o644, "permission denied"),
    "not-a-program": (b"text\n", 0o755, "exec format error"),
    "another-machine": (elf(21), 0o755, "exec format error"),
    "script": (b"#!/bin/bash\n", 0o755, "no such file or directory"),
    "metalauncher": (b"itself", 0o755, "is metalauncher itself"),
    "shim": (b"#!/usr/bin/metalauncher --launch\n", 0o755, "is metalauncher itself"),
}


@pytest.mark.parametrize("name", OBSTACLES)
def test_launchers_that_cant_start(name: str, world: World, app: str) -> None:
    """The next in the ranking is named; where there is none it is refused, as the dispatch does it."""
    data, mode, obstacle = OBSTACLES[name]
    data = world.rig.form.executable.read_bytes() if data == b"itself" else data
    run = world.run(f"broken-{name}", world.rig.run_layer(more=broken(data, world.rig.launcher, mode=mode)))
    found = world.judge(app, run)
    if mode == 0o755:  # else the second has the same
        assert (found.kind, str(found.launcher)) == ("starts", OLD)
        assert found.reason == "the first in the ranking that can be started"
        assert world.prove(app, run) == found
    run = world.run(f"alone-{name}", world.rig.run_layer(more=broken(data, mode=mode)))
    found = world.prove(app, run)
    assert (found.kind, found.exit_code) == ("refused", 82)
    assert found.reason == f"{NEW} at {place('0.21.17')} can't be started: {obstacle}"
    assert found.remedy == "repair these launchers in the run image: metalauncher lint says what is wrong with them"


@pytest.mark.parametrize("copied", [True, False])
def test_launchers_elsewhere(copied: bool, world: World, app: str) -> None:
    """A launcher may lie anywhere; one that is a copy of metalauncher is none."""
    program = world.rig.form.executable.read_bytes() if copied else world.rig.launcher
    text = descriptor("0.21.17", 'path = "/opt/vendor/launcher"')
    more = [
        images.file("/etc/cnb/launchers.d/vendor.toml", text),
        images.file("/opt/vendor/launcher.real", program, 0o755),
        images.link("/opt/vendor/launcher", "launcher.real"),
    ]
    found = world.prove(app, world.run(f"elsewhere-{copied}", world.rig.run_layer(more=more)))
    assert found.launcher == (None if copied else Chosen("buildpacks/lifecycle", "0.21.17", "/opt/vendor/launcher"))
    assert found.exit_code == (82 if copied else None)


def test_metalauncher_that_cant_start(world: World, app: str) -> None:
    """An app does not start either where metalauncher itself can't."""
    text = images.file("/usr/bin/metalauncher", b"#!/usr/bin/python3 -IS\n", 0o755)
    found = world.prove(app, world.run("no-python", world.rig.run_layer("0.21.17", more=[text])))
    assert (found.kind, found.exit_code, found.route) == ("does-not-start", 127, "symlink")
    assert found.reason == "/usr/bin/metalauncher of the run image can't be started: no such file or directory"
    text = images.file("/usr/bin/metalauncher", b"\x7fELF", 0o644)
    found = world.prove(app, world.run("no-mode", world.rig.run_layer("0.21.17", more=[text])))
    assert (found.kind, found.exit_code) == ("does-not-start", 126)


def test_layers_of_the_run_image(world: World, app: str) -> None:
    """Its own layers lie one on the other as well: masks, whiteouts, replaced launchers."""
    masked = images.pack([images.link("/etc/cnb/launchers.d/lifecycle@0.21.17.toml", "/dev/null")])
    gone = images.pack([images.file("/usr/lib/cnb/launchers.d/.wh.lifecycle@0.17.7.toml", b"")])
    first = world.rig.run_layer("0.17.7", "0.21.17")
    assert str(world.prove(app, world.run("masked", first, masked)).launcher) == OLD
    found = world.prove(app, world.run("gone", first, masked, gone))
    assert (found.kind, found.exit_code) == ("refused", 80)
    assert found.reason == "no launcher is installed: there is no usable descriptor"
    assert found.remedy == "install launchers in the run image: metalauncher bundle add"


def test_pins(world: World) -> None:
    """A pin in the app's config counts."""
    pinned = world.app(images.make_app("app", metadata("0.10"), "0.12"))
    manifest, config = world.layout.image(pinned)
    for pin, code, launcher in (
        ("buildpacks/lifecycle@0.17.7", None, OLD),
        ("acme/launcher", 81, "None"),
        ("@", 81, "None"),
    ):
        environ = [*config["config"]["Env"], f"METALAUNCHER_PIN={pin}"]
        changed = json.loads(json.dumps(config))
        found = world.prove(world.put("pinned", manifest["layers"], changed, (), {"Env": environ}), "two")
        assert (found.exit_code, str(found.launcher)) == (code, launcher)
        assert found.notes == (f"its config pins METALAUNCHER_PIN={pin}",)


def test_another_root(world: World, app: str) -> None:
    """Where the config sets METALAUNCHER_ROOT, the run image's launchers are not those that count."""
    manifest, config = world.layout.image(app)
    environ = [*config["config"]["Env"], "METALAUNCHER_ROOT=/opt"]
    found = world.judge(world.put("rooted", manifest["layers"], config, (), {"Env": environ}), "two")
    assert (found.kind, found.platform_api) == ("unknown", "0.12")
    assert found.reason == "its config sets METALAUNCHER_ROOT: its launchers are not those of the run image"


def test_deprecation_mode(world: World) -> None:
    """`CNB_DEPRECATION_MODE=error` in the config counts."""
    old = world.app(images.make_app("old", metadata("0.6"), "0.6"))
    manifest, config = world.layout.image(old)
    environ = [entry.replace("quiet", "error") for entry in config["config"]["Env"]]
    found = world.prove(world.put("strict", manifest["layers"], config, (), {"Env": environ}), "two")
    assert (found.kind, found.exit_code) == ("refused", 11)
    assert found.reason.startswith("Platform requested deprecated API '0.6': Deprecated APIs are disabled by ")
    assert world.prove(old, "two").kind == "starts"


def test_against(world: World, app: str) -> None:
    """What was before is said: another launcher, a regression, or the same refusal."""
    chosen = Chosen("buildpacks/lifecycle", "0.17.7", place("0.17.7"))
    found = world.judge(app, "new", "run17")
    assert (found.kind, str(found.launcher), found.before) == ("starts", NEW, Before("starts", chosen))
    assert not found.regressed
    old = world.app(images.make_app("old", metadata("0.6"), "0.7"))
    found = world.judge(old, "new", "run17")
    assert (found.kind, found.before, found.regressed) == ("refused", Before("starts", chosen), True)
    found = world.judge(old, "new", "none")
    assert (found.before, found.regressed) == (Before("refused", None), False)
    assert world.judge(old, "bare", "run17").regressed
    assert world.judge(old, "run17", "new").before == Before("refused", None)


def test_machines(world: World) -> None:
    """Images for two machines don't go together, unless the app needs nothing of the run image; a foreign pair does."""
    made = images.make_app("app", metadata("0.10"), "0.12")
    layer = world.rig.run_layer()
    arm = world.run("arm", layer, images.pack(broken(elf(183))), architecture="arm64")
    found = world.judge(world.app(made), arm)
    assert (found.kind, found.reason) == ("unknown", "is for linux/amd64, the run image for linux/arm64")
    assert (
        world.judge(world.app(made, "self-contained", executable=world.rig.launcher), arm).kind == "keeps-own-launcher"
    )
    # The launcher is one for that machine, not for the one that checks; metalauncher here is for the wrong one.
    metalauncher = images.pack([images.file("/usr/bin/metalauncher", noted(machine=183), 0o755)])
    right = world.run("arm2", layer, metalauncher, images.pack(broken(elf(183))), architecture="arm64")
    foreign = world.app(made, on=right)
    assert str(world.judge(foreign, right).launcher) == NEW
    assert world.judge(foreign, arm).kind == "does-not-start"
    wrong = world.run("arm3", layer, metalauncher, images.pack(broken(elf(62))), architecture="arm64")
    if os.uname().machine == "aarch64":
        assert world.judge(foreign, wrong).exit_code == 82


def test_closed_files(world: World) -> None:
    """What is not accessible to the app's user decides; root is let at its own."""
    made = images.make_app("app", metadata("0.10"), "0.12")
    metalauncher = images.file("/usr/bin/metalauncher", world.rig.form.executable.read_bytes(), 0o750)
    users = images.file("/etc/passwd", b"root:x:0:0::/:\ncnb:x:1000:1000::/:\n")
    closed = {
        "executable": world.run("closed", world.rig.run_layer("0.21.17", more=[metalauncher, users])),
        "launcher": world.run("closed2", world.rig.run_layer(more=[*broken(world.rig.launcher, mode=0o700), users])),
        "metadata": world.run("open", world.rig.run_layer("0.21.17", more=[users])),
    }
    secret = images.pack([images.file("/layers/config/metadata.toml", made.metadata, 0o600)])
    said = {
        "executable": (
            "does-not-start",
            126,
            "/cnb/process/web leads to /usr/bin/metalauncher of the run image, which is not accessible to its user",
        ),
        "launcher": (
            "refused",
            82,
            f"buildpacks/lifecycle@0.21.17 at {place('0.21.17')} can't be started: permission denied",
        ),
        "metadata": ("refused", 1, "failed to read metadata: open /layers/config/metadata.toml: permission denied"),
    }
    for name, run in closed.items():
        above = [secret] if name == "metadata" else []
        for user in ("1000:1000", "cnb", "1000", ":1000", "root", "0:1000", ""):
            found = world.judge(world.app(made, change={"User": user}, above=above), run)
            if user.startswith(("1000", "cnb")):
                assert (found.kind, found.exit_code, found.reason) == said[name]
            else:
                assert found.kind == "starts"
        found = world.judge(world.app(made, change={"User": "nobody"}, above=above), run)
        assert (found.kind, found.reason) == (
            "does-not-start",
            "its config's User is 'nobody': there is no user 'nobody' in its /etc/passwd",
        )


LISTS = {PLATFORM_APIS: "0.7,0.12", BUILDPACK_APIS: "0.9,0.10"}


def labelled(world: World, tag: str, found: dict[str, str], *, path: str = "/opt/launcher") -> str:
    """Add a run image that says by labels what its launcher can."""
    layer = images.pack([images.file("/opt/launcher", world.rig.launcher, 0o755)])
    return world.run(tag, layer, Labels={**found, PATH: path})


def at_opt(world: World) -> images.Layer:
    """Return a layer that makes an app start what a labelled run image has."""
    assert world.layout.directory.is_dir()
    return images.pack([images.link("/cnb/lifecycle/launcher", "/opt/launcher")])


def test_lists_in_labels(world: World) -> None:
    """Without descriptors the labels count; two lists may claim too much: what they alone claim is not believed."""
    run = labelled(world, "lists", LISTS)
    link = at_opt(world)
    made = images.make_app("app", metadata("0.10"), "0.12")
    found = world.judge(world.app(made, above=[link]), run)
    assert (found.kind, found.route, found.launcher, found.exit_code) == ("unknown", "symlink", None, None)
    assert found.reason == (
        "the run image says by two lists alone what its launchers support: whether one has both Platform API 0.12 and"
        " Buildpack API 0.10 is not in them"
    )
    assert found.remedy == (
        f"give the run image the label {APIS}, which has each launcher's own APIs: metalauncher labels"
    )
    assert (found.platform_api, found.buildpacks) == ("0.12", (("acme/0", "0.10"),))
    assert world.run_image(run).source == "labels"
    found = world.judge(world.app(images.make_app("new", metadata("0.12"), "0.12"), above=[link]), run)
    assert (found.kind, found.exit_code, found.assumes) == ("refused", 12, ("lifecycle-layers", "labels"))
    found = world.judge(world.app(images.make_app("newer", metadata("0.10"), "0.13"), above=[link]), run)
    assert (found.kind, found.exit_code, found.assumes) == ("refused", 11, ("lifecycle-layers", "labels"))
    found = world.judge(world.app(made), run)
    assert (found.kind, found.exit_code, found.assumes) == ("does-not-start", 127, ("lifecycle-layers",))
    assert world.judge(world.app(made, above=[link]), labelled(world, "no-path", LISTS, path="/x")).kind == "unknown"


def test_lists_that_leave_no_doubt(world: World) -> None:
    """Lists of one, and those that lifecycle releases can't make up without one that covers the app, are believed."""
    made = world.app(images.make_app("app", metadata("0.10"), "0.12"), above=[at_opt(world)])
    for name, platforms, buildpacks, notes in (
        ("one", "0.12", "0.10", 0),
        ("one-platform", "0.12", "0.9,0.10", 0),
        ("one-buildpack", "0.11,0.12", "0.10", 0),
        ("release", "0.7,0.8,0.9,0.10,0.11,0.12,0.13,0.14,0.15", "0.7,0.8,0.9,0.10,0.11,0.12", 1),
    ):
        found = world.judge(
            made, labelled(world, f"lists-{name}", {PLATFORM_APIS: platforms, BUILDPACK_APIS: buildpacks})
        )
        assert (found.kind, len(found.notes)) == ("starts", notes), name
        assert all("taken for launchers of lifecycle releases" in note for note in found.notes)
    mixed = world.app(images.make_app("mixed", metadata("0.9", "0.10"), "0.12"), above=[at_opt(world)])
    assert (
        world.judge(mixed, labelled(world, "mixed", {PLATFORM_APIS: "0.12", BUILDPACK_APIS: "0.9,0.10"})).kind
        == "unknown"
    )


def test_what_lists_do_not_say(world: World) -> None:
    """Defaults, names and deprecations are not in them: an app that turns on these can't be told."""
    run = labelled(world, "silent", {PLATFORM_APIS: "0.12", BUILDPACK_APIS: "0.10"})
    made = images.make_app("app", metadata("0.10"), "0.12")
    older = world.app(
        images.make_app("older", metadata("0.10").replace('api = "0.10"\n', ""), None), above=[at_opt(world)]
    )
    for tag, said in (
        (older, "which don't say whether one has defaults"),
        (environ(world, made, "METALAUNCHER_PIN=a/b"), "its config has a pin"),
        (environ(world, made, "METALAUNCHER_PIN=union-of-all-launchers"), "its config has a pin"),
        (environ(world, made, "CNB_DEPRECATION_MODE=error"), "its config refuses deprecated APIs"),
    ):
        found = world.judge(tag, run)
        assert found.kind == "unknown"
        assert said in found.reason
    found = world.judge(environ(world, made, "METALAUNCHER_PIN=@"), run)
    assert (found.kind, found.exit_code) == ("refused", 81)


def environ(world: World, made: images.App, entry: str) -> str:
    """Return an app for a labelled run image with one more, or another, variable."""
    tag = world.app(made, above=[at_opt(world)])
    manifest, config = world.layout.image(tag)
    name = entry.partition("=")[0]
    kept = [old for old in config["config"]["Env"] if old.partition("=")[0] != name]
    return world.put(f"{tag}-environ", manifest["layers"], config, (), {"Env": [*kept, entry]})


def test_structured_label(world: World) -> None:
    """The label of each launcher's own sets goes first; descriptors go before any label."""
    registry = world.run_image("two").registry
    run = labelled(world, "structured", labels(registry) | LISTS)
    link = images.pack([images.link("/cnb/lifecycle/launcher", "/opt/launcher")])
    made = world.app(images.make_app("app", metadata("0.10"), "0.12"), above=[link])
    found = world.judge(made, run)
    assert (found.kind, str(found.launcher), found.notes) == ("starts", NEW, ())
    both = world.run("both", world.rig.run_layer("0.17.7"), Labels=labels(registry))
    assert world.run_image(both).source == "descriptors"
    assert str(world.judge(world.app(images.make_app("app", metadata("0.10"), "0.12")), both).launcher) == OLD
    lying = world.run("lying", world.rig.run_layer(), Labels=labels(registry))
    assert world.judge(world.app(images.make_app("app", metadata("0.10"), "0.12")), lying).exit_code == 80
    broken_label = labelled(world, "broken-label", {APIS: "{"})
    assert world.run_image(broken_label).source == "descriptors"
    assert world.judge(made, broken_label).kind == "unknown"


def test_closed(world: World, app: str) -> None:
    """What is taken away at the end of a run is not written to by whoever is still at work, nor is anything guessed."""
    run = world.run("ended", world.rig.run_layer("0.21.17"))
    image = world.run_image(run)
    image.close()
    found = world.judge(app, run)
    assert (found.kind, found.reason) == ("unknown", "was not checked: the run has ended")


def test_directory(world: World, app: str, tmp_path: Path) -> None:
    """An unpacked root filesystem in place of an image gives the same verdicts."""
    for run in ("two", "new", "none", "bare"):
        root = tmp_path / run
        root.mkdir()
        for blob in world.layout.image(run)[0]["layers"]:
            images.unpack(world.layout.blob(blob["digest"]).read_bytes(), root)
        scratch = tmp_path / f"scratch-{run}"
        scratch.mkdir()
        judge = Judge(read_run_directory(run, str(root), str(scratch)), None, PLATFORM)
        found = judge.judge(app, open_local(parse_location(world.reference(app))))
        assert found == world.judge(app, run)
    with pytest.raises(ImageError, match="there is no such directory"):
        read_run_directory("x", str(tmp_path / "none-such"), str(tmp_path))
