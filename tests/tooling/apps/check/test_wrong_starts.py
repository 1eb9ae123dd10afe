"""What could make a check say that an app starts which does not: odd configs, wrappers, links, extensions."""

from __future__ import annotations

import tarfile
from typing import Any

import images
import pytest
from bundles import elf
from harness import PROJECT
from rebased import World, descriptor, metadata, place

from metalauncher.tooling.oci.model import ImageError

APP = images.make_app("app", metadata("0.10"), "0.12")
TINI, WEB = "/usr/bin/tini", "/cnb/process/web"


@pytest.mark.parametrize("directory", ["layers", "./layers", "../layers"])
def test_relative_layers_directory(world: World, directory: str) -> None:
    """It is taken from the directory that the container is started in, not from the root."""
    there = images.pack([images.file("/workspace/layers/config/metadata.toml", metadata("0.99").encode())])
    tag = world.app(APP, above=[there])
    manifest, image = world.layout.image(tag)
    environ = [f"CNB_LAYERS_DIR={directory}" if "LAYERS_DIR" in entry else entry for entry in image["config"]["Env"]]
    found = world.judge(world.put(f"{tag}-moved", manifest["layers"], image, (), {"Env": environ}), "two")
    assert (found.kind, found.platform_api) == ("unknown", "0.12")
    assert found.reason == (
        f"its config has CNB_LAYERS_DIR={directory}, which depends on the directory that it is started in"
    )


def program(path: str, mode: int = 0o755, data: bytes = elf()) -> tuple[tarfile.TarInfo, bytes]:
    """Return a program of a run image."""
    return images.file(path, data, mode)


# ENTRYPOINT; what the run image has more; the launcher that it is taken to start, None where that can't be told
WRAPPERS: dict[str, tuple[list[str], list[tuple[tarfile.TarInfo, bytes]], str | None]] = {
    "init": ([TINI, WEB], [program(TINI)], WEB),
    "init-with-options": ([TINI, "-g", "-e", "143", "--", WEB, "x"], [program(TINI)], WEB),
    "init-of-another-name": (
        ["/sbin/dumb-init", "--", "/cnb/lifecycle/launcher"],
        [program("/sbin/dumb-init")],
        "/cnb",
    ),
    "init-of-something-else": ([TINI, "--", "/bin/sh", WEB], [program(TINI), program("/bin/sh")], None),
    "init-of-env": ([TINI, "--", "env", "CNB_PLATFORM_API=0.99", WEB], [program(TINI)], None),
    "init-of-a-name": ([TINI, "--", "web"], [program(TINI)], WEB),
    "init-with-an-option-that-is-not-known": ([TINI, "-x", WEB], [program(TINI)], None),
    "init-alone": ([TINI, "--"], [program(TINI)], None),
    "env": (["/usr/bin/env", "CNB_PLATFORM_API=0.99", WEB], [program("/usr/bin/env")], None),
    "echo": (["/bin/echo", WEB], [program("/bin/echo")], None),
}


@pytest.mark.parametrize("name", WRAPPERS)
def test_wrappers(world: World, name: str) -> None:
    """Only an init that is there starts what it is given, and with the same environment."""
    entrypoint, more, through = WRAPPERS[name]
    run = world.run(f"wrapper-{name}", world.rig.run_layer("0.21.17", more=more))
    found = world.judge(world.app(APP, change={"Entrypoint": entrypoint}), run)
    if through is None:
        assert found.kind == "unknown"
        assert found.reason in (
            f"it starts {entrypoint[0]}, and whether that starts its launcher is not known",
            f"it starts {entrypoint[0]} and /bin/sh, which may start anything",
        )
    else:
        assert (found.kind, len(found.notes)) == ("starts", 1)
        assert found.notes[0].startswith(f"it starts {entrypoint[0]}, which is assumed to start {through}")
        assert found.assumes == ("lifecycle-layers", "init-by-name")


@pytest.mark.parametrize(
    ("more", "code"),
    [([], 127), ([images.folder(TINI)], 126), ([program(TINI, 0o644)], 126), ([program(TINI, data=b"\x7fELF")], None)],
    ids=["missing", "directory", "closed", "damaged"],
)
def test_inits_that_do_not_start(world: World, more: list[tuple[tarfile.TarInfo, bytes]], code: int | None) -> None:
    """An init that can't be exec'd starts nothing."""
    run = world.run(f"init-{code}-{len(more)}", world.rig.run_layer("0.21.17", more=more))
    found = world.prove(world.app(APP, change={"Entrypoint": [TINI, "--", WEB]}), run)
    assert (found.kind, found.exit_code) == ("does-not-start", code)


def test_init_of_a_relative_path(world: World) -> None:
    """An init starts what it is given from the working directory."""
    run = world.run("init-relative", world.rig.run_layer("0.21.17", more=[program(TINI)]))
    for directory, kind in (("/", "starts"), ("/workspace", "does-not-start")):
        change = {"Entrypoint": [TINI, WEB[1:]], "WorkingDir": directory}
        found = world.judge(world.app(APP, change=change), run)
        assert (found.kind, found.assumes[-1]) == (kind, "init-by-name")


@pytest.mark.parametrize("key", ["Entrypoint", "Cmd"])
@pytest.mark.parametrize("value", ["/bin/false", ["/cnb/process/web", 3], {"a": "b"}, {}, "", 0, False])
def test_start_of_another_type(world: World, key: str, value: Any) -> None:
    """An ENTRYPOINT that is no array is not passed over, so that CMD would count."""
    change: dict[str, Any] = {"Entrypoint": ["/cnb/process/web"], "Cmd": ["/cnb/process/web"], key: value}
    found = world.judge(world.app(APP, change=change), "two")
    assert (found.kind, found.reason) == ("unknown", f"the config's {key} is not an array of strings")


def test_hard_link(world: World) -> None:
    """What a hard link leads to is read whole, as large as it is."""
    text = metadata("0.10") + "\n" * 5000 + metadata("0.99").partition("[[processes]]")[0]
    link = tarfile.TarInfo("/layers/config/metadata.toml")
    link.type, link.linkname = tarfile.LNKTYPE, "/cnb/x"
    layer = images.pack([images.file("/cnb/x", text.encode()), (link, b"")])
    found = world.prove(world.app(APP, above=[layer]), "two")
    assert (found.kind, found.exit_code) == ("refused", 12)


def test_linked_descriptors(world: World) -> None:
    """Descriptors count where a link in place of a directory leads to them."""
    link = images.link("/etc/cnb", "/opt/cnb")
    old = images.file(place("0.17.7"), world.rig.launcher, 0o755)
    there = images.file("/opt/cnb/launchers.d/x.toml", descriptor("0.17.7"))
    run = world.run("linked", world.rig.run_layer("0.21.17"), images.pack([there, old, link]))
    found = world.prove(world.app(images.make_app("old", metadata("0.6"), "0.6")), run)
    assert (found.kind, str(found.launcher)) == ("starts", "buildpacks/lifecycle@0.17.7")


def test_descriptors_elsewhere(world: World) -> None:
    """A descriptor whose content was not looked for where it lies is not left out in silence: it may mask others."""
    there = images.file("/opt/x.toml", descriptor("0.17.7"))
    link = images.link("/etc/cnb/launchers.d/x.toml", "/opt/x.toml")
    run = world.run("elsewhere", world.rig.run_layer("0.21.17"), images.pack([there, link]))
    with pytest.raises(ImageError) as caught:
        world.run_image(run)
    assert caught.value.reason == "has /etc/cnb/launchers.d/x.toml behind a link to /opt/x.toml"


@pytest.mark.parametrize("again", [False, True])
def test_extension_changes_a_launcher(world: World, again: bool) -> None:
    """Wherever that lies; and though a layer above it has the content of the run image's topmost."""
    moved = descriptor("0.17.7", 'path = "/opt/launcher"')
    more = [images.file("/etc/cnb/launchers.d/x.toml", moved), images.file("/opt/launcher", world.rig.launcher, 0o755)]
    run = world.run("moved", world.rig.run_layer("0.21.17", more=more))
    tag = world.app(images.make_app("old", metadata("0.6"), "0.6"))
    assert world.judge(tag, run).kind == "starts"
    manifest, image = world.layout.image(tag)
    extension = images.pack([images.file("/opt/launcher", b"", 0o755)], "RUN a command of an extension")
    ids, blobs = image["rootfs"]["diff_ids"], manifest["layers"]
    new = [world.layout.put(extension.data, extension.media_type), *([blobs[0]] if again else [])]
    ids[1:1] = [extension.diff_id, *([ids[0]] if again else [])]
    image["history"] = []
    found = world.judge(world.put(f"{tag}-extended{again}", [blobs[0], *new, *blobs[1:]], image, (), {}), run)
    if again:
        reason = "its own layers change /usr/bin/metalauncher, which belongs to the run image"
        assert (found.kind, found.reason) == ("unknown", reason)
    else:
        assert (found.kind, found.exit_code) == ("refused", 82)
        assert world.prove(found.app, run) == found


def test_a_copy_of_the_archive(world: World) -> None:
    """metalauncher.pyz in place of a launcher is a script, large as it is: the app depends on the run image."""
    archive = (PROJECT / "dist/metalauncher.pyz").read_bytes()
    found = world.prove(world.app(APP, "self-contained", executable=archive), "two")
    assert (found.kind, found.exit_code) == ("does-not-start", 127)
    assert found.reason.startswith("/cnb/lifecycle/launcher is a script for /usr/bin/python3")
