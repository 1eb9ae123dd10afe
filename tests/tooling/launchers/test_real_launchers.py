"""The commands over releases of the official layout whose launcher and descriptor are lifecycle's own."""

from __future__ import annotations

import hashlib
import json
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

import images
import pytest
from bundles import Tool, as_process, besides, lifecycle_toml
from harness import APPS, REFERENCE_REGISTRY, Image, static_form
from images import Layout
from kit import FOLDER, Kit
from native import Native, Started, Starter, need
from real_launchers import EACH, Launchers

from metalauncher.descriptor import Launcher
from metalauncher.registry import read_descriptor
from metalauncher.tooling.launcher_json import launcher_document

# How many APIs each claims: Platform and Buildpack.
CLAIMS = {
    "0.9.3": (2, 3),
    "0.10.2": (3, 4),
    "0.11.4": (4, 5),
    "0.13.5": (6, 6),
    "0.14.3": (7, 7),
    "0.15.3": (8, 8),
    "0.17.7": (10, 9),
    "0.18.5": (6, 4),
    "0.20.11": (8, 5),
    "0.21.17": (9, 6),
}


@pytest.mark.parametrize("version", EACH)
def test_what_is_built(real: Launchers, version: str) -> None:
    """It is that version's module; its descriptor lists the APIs that the stand-ins' releases do."""
    launcher = real[version]
    built = launcher.executable.read_bytes()
    assert f"\tgithub.com/buildpacks/lifecycle\tv{version}\th1:".encode() in built
    assert b"\nbuild\tCGO_ENABLED=0\n" in built
    described, ours = (tomllib.loads(text) for text in (launcher.lifecycle_toml, lifecycle_toml(version)))
    assert described["apis"] == ours["apis"]
    assert described["lifecycle"]["version"] == ours["lifecycle"]["version"]


REFERENCE = ["0.9.3", pytest.param("0.11.4", marks=pytest.mark.thorough), "0.17.7", "0.21.17"]


@pytest.mark.parametrize("version", REFERENCE)
def test_release_gives_the_reference_descriptor(tool: Tool, tmp_path: Path, real: Launchers, version: str) -> None:
    """A real release gives the descriptor that the reference registry has, and the launcher's digest."""
    added = tool.on("bundle", "add", real.release(tmp_path, version))
    assert (added.code, besides(added.err)) == (0, "")
    name = f"buildpacks_lifecycle@{version}.toml"
    installed = tool.root / "usr/lib/cnb/launchers.d"
    reference = REFERENCE_REGISTRY / ("optional" if version == "0.11.4" else "")
    found, wanted = (read_descriptor(str(folder / name).encode(), name) for folder in (installed, reference))
    assert isinstance(found, Launcher)
    assert isinstance(wanted, Launcher)
    digest = hashlib.sha256(real[version].executable.read_bytes()).hexdigest()
    assert launcher_document(found) == launcher_document(wanted) | {"sha256": digest}


def test_add_dispatch_remove(image: Image, tmp_path: Path, real: Launchers) -> None:
    """Two real releases start an old and a new app; without the old one, the old app is refused with 11."""
    for version in ("0.17.7", "0.21.17"):
        added = as_process("bundle", "add", real.release(tmp_path, version), "--root", image.root)
        assert (added.code, besides(added.err)) == (0, "")
    environ = {"METALAUNCHER_ROOT": str(image.root)}
    lint = as_process("lint", "--strict", environ=environ)
    assert (lint.code, lint.out, lint.err) == (0, "", "clean: 2 descriptors checked\n")
    for app, version in (("p06", "0.17.7"), ("p15", "0.21.17")):
        image.use_app(app)
        assert image.which("--quiet").stdout == f"{image.root}/{FOLDER}/{version}/launcher\n"
        image.environ["CNB_APP_DIR"] = str(APPS / app / "workspace")
        run = image.dispatch()
        assert (run.returncode, run.stderr) == (0, "")
        assert run.stdout.startswith("exec.d:")  # what a layer brings, which no stand-in runs
        assert run.stdout.endswith("\nserver argc=2 args=--port 8080\n")
    removed = as_process("bundle", "remove", "buildpacks/lifecycle@0.17.7", "--root", image.root)
    assert (removed.code, removed.err) == (0, "")
    image.use_app("p06")
    run = image.dispatch()
    assert run.returncode == 11
    assert "platform API version '0.6' is incompatible with the lifecycle" in run.stderr


@pytest.mark.parametrize("version", EACH)
def test_probe_proves_every_claim(tool: Tool, tmp_path: Path, real: Launchers, version: str) -> None:
    """Each launcher, installed from its release, accepts all that its own descriptor claims, and nothing beside it."""
    added = tool.on("bundle", "add", real.release(tmp_path, version))
    assert (added.code, besides(added.err)) == (0, "")
    answer = tool.on("probe", "--json")
    assert (answer.code, answer.err) == (0, "")
    (report,) = answer.document["launchers"]
    assert report["findings"] == []
    proved = [trial["kind"] for trial in report["trials"] if trial["claimed"] and trial["exit_code"] == 0]
    assert (proved.count("platform"), proved.count("buildpack")) == CLAIMS[version]
    neighbours = [trial for trial in report["trials"] if not trial["claimed"]]
    assert len(neighbours) >= 3
    assert {(trial["kind"], trial["exit_code"]) for trial in neighbours} == {
        *(("platform", 11), ("buildpack", 12), ("reading", 1))
    }


def test_probe_finds_a_claim_too_many(tool: Tool, tmp_path: Path, real: Launchers) -> None:
    """A descriptor that claims one API more than the real launcher has is found out."""
    assert tool.on("bundle", "add", real.release(tmp_path, "0.17.7")).code == 0
    descriptor = tool.root / "usr/lib/cnb/launchers.d/buildpacks_lifecycle@0.17.7.toml"
    text = descriptor.read_text()
    assert text.count('"0.12"') == 1
    descriptor.write_text(text.replace('"0.12"', '"0.12", "0.13"'))
    answer = tool.on("probe")
    assert answer.code == 1
    assert "  error: claims Platform API 0.13, but refuses it (exit code 11: " in answer.out


WEB = """[[buildpacks]]
id = "acme/bp"
version = "1"
api = "{}"

[[processes]]
type = "web"
command = {}
args = ["from the build"]
direct = true
buildpack-id = "acme/bp"
"""
# The app's Platform and Buildpack API, what `check` has to say, the launcher or the exit code.
APPS_ON_IT = {
    "old": ("0.6", "0.6", "starts", "0.17.7"),
    "both": ("0.12", "0.10", "starts", "0.21.17"),
    "mixed": ("0.12", "0.2", "starts", "0.17.7"),
    "new": ("0.15", "0.12", "starts", "0.21.17"),
    "too-new": ("0.15", "0.13", "refused", 12),
    "too-old": ("0.2", "0.2", "refused", 11),
}


@pytest.fixture
def roots(public: Path) -> Iterator[Path]:
    """Return a folder for roots, which every user can reach."""
    folder = public / "real-run-image"
    folder.mkdir()
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_image_and_check(kit: Kit, real: Launchers, native: Native, starter: Starter, roots: Path) -> None:
    """What `check` says of apps on a run image that `image` built of real releases is what comes of starting them."""
    need(starter, ("mounts",))
    kit.use(static_form().executable.read_bytes())
    kit.old, kit.new = (real.release(kit.folder, version) for version in ("0.17.7", "0.21.17"))
    kit.build()
    layout = Layout(kit.out)
    program = {"app": native.program("app").read_bytes()}
    tags = {f"{route}-{name}": name for route in ("symlink", "shim") for name in APPS_ON_IT}
    for tag, name in tags.items():
        platform, buildpack, *_ = APPS_ON_IT[name]
        command = ["/workspace/app"] if [int(part) for part in platform.split(".")] >= [0, 10] else "/workspace/app"
        metadata = WEB.format(buildpack, json.dumps(command))
        app = images.make_app(name, metadata, platform, files=program)
        images.export(layout, "latest", app, tag.partition("-")[0], tag)
    layout.save()
    on = ("--run-image", f"oci:{kit.out}:latest", "--json")
    answer = kit.tool("check", *[f"oci:{kit.out}:{tag}" for tag in tags], *on)
    results = {result["app"].rpartition(":")[2]: result for result in answer.document["results"]}
    assert results.keys() == tags.keys()
    for tag, name in tags.items():
        *_, verdict, expected = APPS_ON_IT[name]
        result = results[tag]
        started = start(layout, tag, starter, roots / tag)
        assert result["kind"] == verdict, tag
        if verdict == "refused":
            assert (result["exit_code"], started.exit_code, started.stdout) == (expected, expected, b""), tag
            continue
        assert f"buildpacks/lifecycle/{expected}/launcher" in json.dumps(result["launcher"]), tag
        assert (started.exit_code, started.stderr) == (0, b""), (tag, started.stdout)
        said = started.stdout.decode().splitlines()
        # The user's own comes last, whether or not the build's stay before it.
        assert [line for line in said if line.startswith("argument ")][-1] == "argument more", tag
        assert "cwd /workspace" in said, tag
        assert [line for line in said if line.startswith("env CNB_") or "/cnb/process" in line] == [], tag


def start(layout: Layout, tag: str, starter: Starter, root: Path) -> Started:
    """Unpack an image and start it as a container runtime does, with an argument more."""
    root.mkdir()
    root.chmod(0o755)
    manifest, config = layout.image(tag)
    for layer in manifest["layers"]:
        images.unpack(layout.blob(layer["digest"]).read_bytes(), root)
    argv = tuple([word.encode() for word in config["config"]["Entrypoint"]])
    environ = tuple([entry.encode() for entry in config["config"]["Env"]])
    return starter.start(argv[0].decode(), (*argv, b"more"), environ, ("mounts",), ("root", str(root)))
