"""An arm64 run image in crun: its programs are started by the kernel, which has qemu-user for them in a namespace.

The launchers are lifecycle's own for arm64, the apps its own exporter's; the base is a small Debian for arm64.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

import debian
import golang
import launchers
import pytest
from appimages import FIRST, LAUNCHERS, METALAUNCHER, AppImages, Machine, Outcome, app_images, said
from bundles import as_process, release
from containers import Bundle, Container, Ended, call, debian_members, machine_files, need
from emulated import OTHER, Emulation
from exporting import Exporter, recipes
from harness import static_form
from images import LIFECYCLE, Layout, base, index, launcher_layer, pack
from kit import arm_executable

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(
        OTHER.name != "aarch64",
        reason="these start arm64 programs by qemu-user; without it, on an arm64 machine, is not written",
    ),
]
PRINTS = "always two words dflt1 dflt2"
# Which launcher serves which app: one has a buildpack that only the older one knows.
APPS = {"p12-mixed-shim": "0.17.7", "p15-shim": "0.21.17"}
RECIPES = {recipe.name: recipe for recipe in recipes()}


@pytest.fixture(scope="module")
def arm() -> Iterator[Machine]:
    """Return what arm64 run images are made of, and the namespace in which the kernel starts their programs."""
    need("crun", "skopeo", "umoci", "docker-registry")
    with contextlib.closing(Emulation(OTHER)) as emulation:
        ((_, namespace),) = emulation.state
        yield Machine("arm64", "arm64", arm_executable(), debian.members("arm64"), namespace)


@pytest.fixture(scope="module")
def images(arm: Machine) -> Iterator[AppImages]:
    """Return arm64 run images with real launchers, and the apps on them."""
    with app_images(Exporter(golang.find()), programs("arm64"), arm) as images:
        yield images


def programs(architecture: str) -> dict[str, Path]:
    """Return lifecycle's launchers for an architecture, "" for this machine's, by version."""
    return {version: launchers.build(version, goarch=architecture).executable for version in launchers.QUICK}


def starts(version: str) -> Outcome:
    """Return what becomes of an app that a version's launcher serves."""
    return Outcome("starts", f"{LAUNCHERS}/buildpacks/lifecycle/{version}/launcher")


def ended_well(ended: Ended) -> bool:
    """Tell whether an app did what it does; what its buildpacks' helpers print goes before."""
    lines = ended.out.splitlines()
    return (ended.code, lines[-1:], ended.err) == (0, [PRINTS], "") and len(lines) > 1


@pytest.mark.parametrize("name", APPS)
def test_app_by_shim_in_crun_by_qemu(name: str, images: AppImages) -> None:
    """`check` foretells the launcher, the kernel starts that one through the shim, and the app's process prints."""
    app = images.app(RECIPES[name], FIRST)
    (result,) = images.check([app], FIRST)
    assert said(result) == starts(APPS[name])
    seen = images.start(app, None)
    assert seen.outcome == starts(APPS[name])
    assert ended_well(seen.ended)


@pytest.mark.parametrize("name", APPS)
def test_app_by_symlink_in_crun_by_qemu(name: str, images: AppImages, arm: Machine, tmp_path: Path) -> None:
    """The same app, its launcher layer the link that buildpacks/rfcs #336 proposes."""
    bundle = linked(images.unpacked(images.app(RECIPES[name], FIRST)), tmp_path)
    ended = bundle.run("crun", namespace=arm.namespace)
    assert ended_well(ended)
    which = bundle.run("crun", [METALAUNCHER, "--which", "--quiet"], namespace=arm.namespace)
    assert (which.code, which.out.strip()) == (0, starts(APPS[name]).launcher)


def linked(app: Bundle, folder: Path) -> Bundle:
    """Return an app whose launcher is the run image's, by a link."""
    layout = Layout(app.layout)
    manifest, config = layout.image(app.tag)
    lifecycle = json.loads(config["config"]["Labels"]["io.buildpacks.lifecycle.metadata"])
    number = config["rootfs"]["diff_ids"].index(lifecycle["launcher"]["sha"])
    layer = launcher_layer("symlink")
    manifest["layers"][number] = layout.put(layer.data, layer.media_type)
    config["rootfs"]["diff_ids"][number] = layer.diff_id
    tag = f"{app.tag}-linked"
    layout.add(config, manifest["layers"], tag)
    layout.save()
    bundle = Bundle(app.layout, tag, folder / "bundle")
    assert (bundle.rootfs / LIFECYCLE.lstrip("/")).is_symlink()
    return bundle


@pytest.mark.parametrize("name", APPS)
def test_one_process_in_crun_by_qemu(name: str, images: AppImages, arm: Machine) -> None:
    """Nothing is left of metalauncher and the launcher: the container has the app's process alone, which is PID 1."""
    bundle = images.unpacked(images.app(RECIPES[name], FIRST))
    with bundle.start("crun", [LIFECYCLE, "--", "sleep", "600"], namespace=arm.namespace) as container:
        wait_for(container, "sleep")
        assert container.processes() == ["sleep"]
        container.kill("KILL")
        container.process.communicate(timeout=60)


def wait_for(container: Container, name: str) -> None:
    """Wait until a container's first process is of that name."""
    comm = Path(f"/proc/{container.pid}/comm")
    for _ in range(600):
        if comm.read_text().strip() == name:
            return
        time.sleep(0.1)
    pytest.fail(f"it is still {comm.read_text().strip()}")


def test_which_inside_by_qemu(images: AppImages, arm: Machine) -> None:
    """`--which` inside the container names the launcher that starts, and why; a refusal there is the container's."""
    app = images.unpacked(images.app(RECIPES["p12-mixed-shim"], FIRST))
    asked = app.run("crun", [METALAUNCHER, "--which"], namespace=arm.namespace)
    assert (asked.code, asked.out) == (0, f"{starts('0.17.7').launcher}\n")
    assert "buildpacks/lifecycle@0.21.17" in asked.err
    lacking = images.app(RECIPES["p12-mixed-shim"], "newest")
    (result,) = images.check([lacking], "newest")
    assert said(result) == Outcome("refused", None, 12)
    seen = images.start(lacking, None)
    assert seen.outcome == Outcome("refused", None, 12)
    assert seen.ended.err.splitlines()[0] == f"ERROR: {result['reason']}"


def test_fleet_of_two_platforms(arm: Machine, images: AppImages, tmp_path: Path) -> None:
    """One index of real executables and launchers for both, twice the same: `check` is right for an app's platform."""
    both = {"linux/amd64": "amd64", "linux/arm64": "arm64"}
    layers = {"amd64": debian_members(machine_files(Path("/usr/bin/dash"))), "arm64": arm.base}
    for go, members in layers.items():
        base(tmp_path / "base", [pack(members)], go, go, Env=["PATH=/usr/bin:/bin"])
    tarballs: list[str | Path] = []
    for go, name in (("amd64", "x86-64"), ("arm64", "arm64")):
        for version, program in programs("" if go == "amd64" else go).items():
            if (go, version) != ("arm64", "0.17.7"):
                made = release(tmp_path / "releases", version, program.read_bytes(), architecture=name)
                tarballs += ["--bundle", made]
    where = f"oci:{tmp_path}/run:1"
    command = ("image", "--base", index(tmp_path / "base", both, "both"), "--out", where)
    executables = ("--executable", static_form().executable, "--executable", arm.executable)
    platforms = [word for platform in both for word in ("--platform", platform)]
    first, second = (as_process(*command, *executables, *platforms, *tarballs, "--json") for _ in range(2))
    assert first.code == 0, first.err
    assert first.document["index"] == second.document["index"]
    found = json.loads(call("skopeo", "inspect", "--raw", where))["manifests"]
    assert [entry["platform"]["architecture"] for entry in found] == ["amd64", "arm64"]
    app = images.app(RECIPES["p12-mixed-shim"], FIRST)
    answer = as_process("check", app, "--run-image", where, "--no-cache", "--json")
    (result,) = answer.document["results"]
    assert (answer.code, result["platform"], result["kind"], result["exit_code"]) == (1, "linux/arm64", "refused", 12)
    answer = as_process("check", images.app(RECIPES["p15-shim"], FIRST), "--run-image", where, "--no-cache", "--json")
    (result,) = answer.document["results"]
    assert (answer.code, result["kind"], result["launcher"]["version"]) == (0, "starts", "0.21.17")
