"""The examples of every command's help do what they are there for: each is run as it stands, by a shell."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import images
import pytest
from bundles import elf, entry, lifecycle_toml, release
from bundles import pack as tarball
from containers import debian_members, machine_files, need
from harness import PROJECT, static_form
from images import Layout
from kit import ARM, arm_executable
from patching import RUN, Yard
from real_launchers import Launchers
from rebased import Rig, World, metadata
from registries import start_registry
from sboms import install_dispatcher

from metalauncher.tooling.cli.model import outline

EXAMPLES = [example for command in outline() for example in command.examples]
OLD, NEW = "lifecycle-v0.17.7+linux.x86-64.tgz", "lifecycle-v0.21.17+linux.x86-64.tgz"
# What CNB asks of a run image: without it there is a warning.
RUN_IMAGE: dict[str, Any] = {
    "User": "1000:1000",
    "Labels": {"io.buildpacks.base.distro.name": "debian", "io.buildpacks.base.distro.version": "12"},
}


class Shell:
    """A folder that has what the examples name, and a registry that has the rest."""

    def __init__(self, place: Path, yard: Yard) -> None:
        """Take both."""
        self.place = place
        self.host = yard.registry.host
        self._tools = place.with_name("tools")
        self._tools.mkdir()
        tool = self._tools / "metalauncher"
        tool.write_text(f'#!/bin/sh\nexec {sys.executable} -m metalauncher "$@"\n')
        tool.chmod(0o755)

    def run(self, line: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run a line in bash; what is said of registries is said of ours."""
        folder = folder or self.place
        line = line.replace("registry.example.com/", f"{self.host}/").replace(" acme/run", f" {self.host}/acme/run")
        environ = {
            "PATH": f"{self._tools}:/usr/sbin:/usr/bin:/sbin:/bin",
            "PYTHONPATH": str(PROJECT),
            "HOME": str(folder),
            "METALAUNCHER_ROOT": str(folder / "rootfs"),
        }
        command = ["bash", "-e", "-o", "pipefail", "-c", line]
        return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=300)

    def do(self, line: str) -> None:
        """Run a line that has to succeed."""
        done = self.run(line)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"


@pytest.fixture(scope="module")
def shell(rig: Rig, tmp_path_factory: pytest.TempPathFactory, real: Launchers) -> Iterator[Shell]:
    """Return the folder, filled, and the registry."""
    need("docker-registry")
    folder = tmp_path_factory.mktemp("examples")
    (folder / "registry").mkdir()
    registry = start_registry(folder / "registry")
    try:
        world = World(rig, Layout(folder / "world"))
        world.run("two", rig.run_layer("0.17.7", "0.21.17"))
        yard = Yard(registry, world, folder)
        (folder / "place").mkdir()
        shell = Shell(folder / "place", yard)
        put_launchers(shell.place, real)
        put_root(shell)
        put_images(shell, yard)
        yield shell
    finally:
        registry.close()


def put_launchers(place: Path, real: Launchers) -> None:
    """Write launchers in every form that they come in."""
    launcher = real["0.21.17"].executable.read_bytes()
    for version in ("0.17.7", "0.21.17"):
        real.release(place, version)
    release(place, "0.20.11", launcher)
    release(place, "0.21.17", elf(ARM), architecture="arm64")
    (place / "launcher.tgz").write_bytes(tarball([entry("launcher", launcher)]))
    (place / "rebuilt/lifecycle").mkdir(parents=True)
    (place / "rebuilt/lifecycle.toml").write_text(lifecycle_toml("0.21.17"))
    for name in ("rebuilt/lifecycle/launcher", "go-launcher", "rust-launcher"):
        (place / name).write_bytes(launcher)
        (place / name).chmod(0o755)
    shutil.copy(real["0.17.7"].executable, place / "launcher")
    for end in ("", ".contents.json"):
        shutil.copy(f"{static_form().executable}{end}", place / f"metalauncher-linux-x86_64{end}")
    shutil.copytree(PROJECT / "launchers.d", place / "launchers.d")


def put_images(shell: Shell, yard: Yard) -> None:
    """Write bases, run images and an app as layouts, and push the same and two apps of the yard."""
    debian = images.pack(debian_members(machine_files(Path("/usr/bin/dash"))))
    images.base(shell.place / "debian", [debian], tag="12", Cmd=["sh"], **RUN_IMAGE)
    for architecture in ("amd64", "arm64"):
        images.base(shell.place / "debian-both", [debian], architecture, architecture, Cmd=["sh"], **RUN_IMAGE)
    images.index(shell.place / "debian-both", {"linux/amd64": "amd64", "linux/arm64": "arm64"}, "12")
    build = f"metalauncher image --base oci:debian:12 --bundle {OLD}"
    shell.do(f"{build} --out oci:run:1")
    places = "--out oci:run:2 --out oci:run:12 --out oci:new-run"
    shell.do(f"{build} --bundle {NEW} {places} --push {shell.host}/acme/run:noble")
    world = yard.world
    yard.push(world.run("debian", debian, **RUN_IMAGE), "debian:12")
    yard.push("two", RUN)
    apps = [yard.app("shop:1"), yard.app("blog:1")]
    (shell.place / "apps.txt").write_text("".join([f"{app}\n" for app in apps]))
    made = images.make_app("app", metadata("0.10"), "0.12")
    yard.push(world.app(made, on="two"), "app:1")
    images.base(shell.place / "app", [debian], "base", **RUN_IMAGE)
    layout = Layout(shell.place / "app")
    images.export(layout, "base", made, "symlink", "app")
    layout.entries = [each for each in layout.entries if each["annotations"][images.REF_NAME] == "app"]
    layout.save()


def put_root(shell: Shell) -> None:
    """Lay out a root with two launchers, and write what is said of it."""
    root = shell.place / "rootfs"
    install_dispatcher(root)
    for bundle in (OLD, NEW):
        shell.do(f"metalauncher bundle add {bundle} --root rootfs")
    shell.do("metalauncher sbom --root rootfs --format spdx --output launchers.spdx.json")
    (shell.place / "acme.toml").write_text(
        '[[statement]]\nvulnerability = "CVE-2025-0001"\nstatus = "fixed"\nlauncher = "buildpacks/lifecycle@0.21.17"\n'
    )


@pytest.mark.parametrize(
    "example",
    # arm64's executable is not always built.
    [pytest.param(each, marks=(pytest.mark.thorough,) if "arm64" in each else ()) for each in EXAMPLES],
)
def test_examples(shell: Shell, example: str, tmp_path: Path) -> None:
    """It ends with 0: nothing is wrong with what it is run on."""
    place = tmp_path / "place"
    shutil.copytree(shell.place, place, symlinks=True, copy_function=os.link)  # whatever is written anew is a new file
    if "arm64" in example:
        arm_executable()
    if "linux/arm64" in example:
        shutil.rmtree(place / "debian")
        (place / "debian-both").rename(place / "debian")
    if "--out oci:run" in example:
        shutil.rmtree(place / "run")
    elif "oci:run" in example and "oci:run:" not in example:  # a layout of one image
        shutil.rmtree(place / "run")
        shutil.copytree(place / "new-run", place / "run")
    if "--apply" in example:
        plan = next(each for each in EXAMPLES if " patch " in each and "--apply" not in each)
        assert shell.run(plan, place).returncode == 0
    if " compare " in example:
        example += " --only route/link"  # one case of a thousand
    done = shell.run(example, place)
    assert (done.returncode, "ERROR" in done.stderr) == (0, False), f"{example}\n{done.stdout[-3000:]}{done.stderr}"
