"""Where an app's start leads: by links and scripts, by whatever ENTRYPOINT, to what the run image has there."""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from typing import Any

import images
import pytest
from rebased import World, metadata

APP = images.make_app("app", metadata("0.10"), "0.12")
SHIM = "#!/usr/bin/metalauncher --launch\n"
Members = Sequence[tuple[tarfile.TarInfo, bytes]]


def launcher(world: World, *members: tuple[tarfile.TarInfo, bytes]) -> str:
    """Return an app whose launcher's layer holds this, in the exporter's own order and with labels that say so."""
    tag = world.app(APP)
    manifest, config = world.layout.image(tag)
    number = next(n for n, h in enumerate(config["history"]) if h["created_by"] == images.LAUNCHER_LAYER)
    layer = images.pack([images.folder("/cnb"), images.folder("/cnb/lifecycle"), *members])
    labels = config["config"]["Labels"]
    key = "io.buildpacks.lifecycle.metadata"
    labels[key] = labels[key].replace(config["rootfs"]["diff_ids"][number], layer.diff_id)
    config["rootfs"]["diff_ids"][number] = layer.diff_id
    manifest["layers"][number] = world.layout.put(layer.data, layer.media_type)
    return world.put(f"{tag}-launcher", manifest["layers"], config, (), {})


def link(target: str) -> Members:
    """Return a launcher that is a link."""
    return [images.link(images.LIFECYCLE, target)]


def file(content: str, mode: int = 0o755) -> Members:
    """Return a launcher that is a file."""
    return [images.file(images.LIFECYCLE, content.encode(), mode)]


# what the launcher's layer holds -> kind, route, the beginning of the reason
LAUNCHERS: dict[str, tuple[Members, str, str | None, str]] = {
    "link": (link("/usr/lib/cnb/launcher"), "starts", "symlink", ""),
    "link-straight": (link("/usr/bin/metalauncher"), "starts", "symlink", ""),
    "link-relative": (link("../../usr/lib/cnb/launcher"), "starts", "symlink", ""),
    "link-above-the-root": (link("../../../../../usr/bin/metalauncher"), "starts", "symlink", ""),
    "link-to-a-shim": (link("/usr/lib/cnb/shim/launcher"), "starts", "shim", ""),
    "shim": (file(SHIM), "starts", "shim", ""),
    "shim-with-blanks": (file("#! \t/usr/bin/metalauncher   --launch  \n"), "starts", "shim", ""),
    "shim-without-end": (file(SHIM.strip()), "starts", "shim", ""),
    "shim-without-option": (file("#!/usr/bin/metalauncher\n"), "unknown", None, "/cnb/lifecycle/launcher starts "),
    "shim-with-more": (file("#!/usr/bin/metalauncher --launch x\n"), "unknown", None, "/cnb/lifecycle/launcher starts"),
    "shim-by-link": (
        file("#!/usr/lib/cnb/launcher --launch\n"),
        "unknown",
        None,
        "/cnb/lifecycle/launcher starts /usr",
    ),
    "shim-for-another-place": (
        file("#!/opt/metalauncher --launch\n"),
        "does-not-start",
        "shim",
        "/cnb/lifecycle/launcher is a script for /opt/metalauncher, which the run image does not have",
    ),
    "script-of-a-missing-shell": (
        file("#!/bin/bash\nexec x\n"),
        "does-not-start",
        None,
        "/cnb/lifecycle/launcher is a script for /bin/bash, which the run image does not have",
    ),
    "script": (
        file("#!/usr/bin/program\n"),
        "unknown",
        None,
        "/cnb/lifecycle/launcher is a script for /usr/bin/program, and what that starts is not known",
    ),
    "script-without-interpreter": (
        file("#!\n"),
        "does-not-start",
        None,
        "/cnb/lifecycle/launcher is a script that names no interpreter",
    ),
    "text": (file("exec x\n"), "does-not-start", None, "/cnb/lifecycle/launcher is neither a program nor a script"),
    "empty": (file(""), "does-not-start", None, "/cnb/lifecycle/launcher is neither a program nor a script with #!"),
    "shim-not-executable": (file(SHIM, 0o644), "does-not-start", None, "/cnb/lifecycle/launcher is not executable"),
    "directory": (
        [images.folder(images.LIFECYCLE)],
        "does-not-start",
        None,
        "/cnb/process/web leads to /cnb/lifecycle/launcher, which is a directory",
    ),
    "nothing": ((), "does-not-start", None, "there is no /cnb/lifecycle/launcher"),
    "link-to-nothing": (
        link("/opt/launcher"),
        "does-not-start",
        "symlink",
        "/cnb/process/web leads to /opt/launcher, which the run image does not have",
    ),
    "link-to-what-cant-start": (
        link("/usr/bin/text"),
        "does-not-start",
        "symlink",
        "/cnb/process/web leads to /usr/bin/text of the run image, which is not executable",
    ),
    "link-to-a-program": (
        link("/usr/bin/program"),
        "unknown",
        "symlink",
        "/cnb/process/web leads to /usr/bin/program of the run image, which is not metalauncher",
    ),
    "link-to-itself": (link("launcher"), "does-not-start", None, "/cnb/process/web leads to a loop of links"),
}


@pytest.fixture(scope="module")
def run(world: World) -> str:
    """Return a run image with a few more programs."""
    more = [
        images.file("/usr/bin/program", world.rig.launcher, 0o755),
        images.file("/usr/bin/text", b"text\n", 0o644),
        images.file("/usr/lib/cnb/shim/launcher", SHIM.encode(), 0o755),
    ]
    return world.run("more", world.rig.run_layer("0.21.17", more=more))


@pytest.mark.parametrize("name", LAUNCHERS)
def test_launchers(name: str, world: World, run: str) -> None:
    """What the launcher's layer holds, and what comes of it when it is really started."""
    members, kind, route, reason = LAUNCHERS[name]
    tag = launcher(world, *members)
    found = world.judge(tag, run)
    assert (found.kind, found.route) == (kind, route)
    assert found.reason.startswith(reason)
    if kind != "unknown":
        code = found.exit_code
        proved = world.prove(tag, run)
        assert proved == found
        assert (kind == "does-not-start") == (
            code is not None or any(odd in reason for odd in ("neither", "names no", "a loop"))
        )


START = ["/cnb/process/web"]
STARTS: dict[str, tuple[dict[str, Any], str, str]] = {
    "launcher": ({"Entrypoint": ["/cnb/lifecycle/launcher"]}, "starts", ""),
    "by-PATH": ({"Entrypoint": ["launcher"]}, "starts", ""),
    "process-by-PATH": ({"Entrypoint": ["web"]}, "starts", ""),
    "relative": ({"Entrypoint": ["cnb/process/web"], "WorkingDir": "/"}, "starts", ""),
    "other-spelling": ({"Entrypoint": ["//cnb/./process/web"]}, "starts", ""),
    "CMD": ({"Entrypoint": None, "Cmd": ["/cnb/process/web"]}, "starts", ""),
    "with-arguments": ({"Entrypoint": [*START, "--which"], "Cmd": ["x"]}, "starts", ""),
    "run-images-link": ({"Entrypoint": ["/usr/lib/cnb/launcher"]}, "starts", ""),
    "own-name-launch": ({"Entrypoint": ["/usr/bin/metalauncher", "--launch", "web"]}, "starts", ""),
    "own-name": (
        {"Entrypoint": ["/usr/bin/metalauncher"]},
        "does-not-start",
        "its ENTRYPOINT is /usr/bin/metalauncher, which is metalauncher's own command line",
    ),
    "missing-process": ({"Entrypoint": ["/cnb/process/worker"]}, "does-not-start", "there is no /cnb/process/worker"),
    "shell": (
        {"Entrypoint": ["/bin/sh", "-c", "exec /cnb/process/web"]},
        "does-not-start",
        "there is no /bin/sh",
    ),
    "no-such-command": ({"Entrypoint": ["nothing"]}, "does-not-start", "there is no nothing"),
    "nothing": ({"Entrypoint": None, "Cmd": None}, "unknown", "its config names no program to start"),
    "empty": ({"Entrypoint": [], "Cmd": []}, "unknown", "its config names no program to start"),
}


@pytest.mark.parametrize("name", STARTS)
def test_starts(name: str, world: World) -> None:
    """Whatever the container is started with."""
    change, kind, reason = STARTS[name]
    found = world.judge(world.app(APP, change=change), "two")
    assert found.kind == kind
    assert found.reason.startswith(reason)
    if name == "own-name":
        assert found.exit_code == 3
    if name in (
        "launcher",
        "other-spelling",
        "CMD",
        "run-images-link",
        "own-name-launch",
        "own-name",
        "missing-process",
    ):
        assert world.prove(found.app, "two") == found
    if name == "own-name-launch":
        assert found.route == "shim"
