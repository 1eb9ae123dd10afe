"""`metalauncher bundle`: what it installs, what it refuses, and that nothing is lost or left behind."""

from __future__ import annotations

import fcntl
import hashlib
import os
import resource
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest
from bundles import (
    MACHINE,
    STAND_IN,
    Answer,
    Tool,
    as_process,
    besides,
    elf,
    entry,
    lifecycle_toml,
    pack,
    release,
    release_members,
    sbom,
    tree,
)
from harness import PROJECT, REFERENCE_REGISTRY, Image

from metalauncher.descriptor import Launcher
from metalauncher.places import Root
from metalauncher.registry import load_registry, read_descriptor
from metalauncher.tooling.elf import inspect
from metalauncher.tooling.launcher_json import launcher_document
from metalauncher.tooling.writing import TEMPORARY

FOLDER = "usr/lib/cnb/launchers/buildpacks/lifecycle"
APIS = 'apis = { platform = { supported = ["0.7"] }, buildpack = { supported = ["0.7"] } }\n'
DESCRIPTORS = "usr/lib/cnb/launchers.d"


def launchers(tool: Tool) -> list[str]:
    """Return the launchers in effect; the registry has to load whole."""
    registry = load_registry(Root(bytes(tool.root), whole=True))
    assert registry.invalid == ()
    return sorted(map(repr, registry.launchers))


def ok(answer: Answer) -> Answer:
    """Return the answer of a command that did what it was asked."""
    assert (answer.code, besides(answer.err)) == (0, "")
    return answer


def refused(answer: Answer, *texts: str) -> None:
    """The command ended with 3 and a whole message: what is wrong first, a command to run last."""
    assert answer.code == 3
    assert answer.out == ""
    lines = answer.err.splitlines()
    assert lines[0].startswith("ERROR: ")
    assert lines[-1].split()[-1 if lines[-1].split()[0] != "do:" else 0 :]
    assert lines[-1].removeprefix("  do:").strip().split()[0] in ("metalauncher", "sha256sum", "df", "ls")
    for text in texts:
        assert text in answer.err


def test_add_twice_dispatch_remove(image: Image, tmp_path: Path) -> None:
    """Two releases as published serve an old and a new app; without the old one, the old app is refused with 11."""
    tarballs = [release(tmp_path, version) for version in ("0.15.3", "0.21.17")]
    for tarball in tarballs:
        answer = ok(as_process("bundle", "add", tarball, "--root", image.root))
        assert answer.out.startswith("added buildpacks/lifecycle@")
    before = tree(image.root)
    for tarball in tarballs:
        answer = ok(as_process("bundle", "add", tarball, "--root", image.root))
        assert answer.out.startswith("already there, nothing to do: buildpacks/lifecycle@")
    assert tree(image.root) == before
    environ = {"METALAUNCHER_ROOT": str(image.root)}
    listed = as_process("list", environ=environ)
    assert [line.split()[0] for line in listed.out.splitlines()[1:]] == [
        "buildpacks/lifecycle@0.21.17",
        "buildpacks/lifecycle@0.15.3",
    ]
    assert listed.err == "2 launchers in effect\n"
    lint = as_process("lint", "--strict", environ=environ)
    assert (lint.code, lint.out, lint.err) == (0, "", "clean: 2 descriptors checked\n")
    assert as_process("matrix", environ=environ).out.splitlines()[5].split() == [
        "API",
        "0.6",
        *"BBBBBBBB",
        "!",
        ".",
        ".",
    ]
    for app, version in (("p06", "0.15.3"), ("p15", "0.21.17")):
        image.use_app(app)
        which = image.which("--quiet")
        assert which.stdout == f"{image.root}/{FOLDER}/{version}/launcher\n"
        workspace = PROJECT / "tests/data/apps" / app / "workspace"
        image.environ["CNB_APP_DIR"] = str(workspace)
        run = image.dispatch()
        assert run.stdout.startswith(f"stand-in for buildpacks_lifecycle@{version} starts: "), run.stderr
    ok(as_process("bundle", "remove", "buildpacks/lifecycle@0.15.3", "--root", image.root))
    image.use_app("p06")
    run = image.dispatch()
    assert run.returncode == 11
    assert "platform API version '0.6' is incompatible with the lifecycle" in run.stderr
    assert "lifecycle 0.11.0 to 0.17.7 has one" in run.stderr
    assert not (image.root / FOLDER / "0.15.3").exists()


@pytest.mark.parametrize("version", ["0.9.3", "0.17.7", "0.21.17"])
def test_release_gives_the_reference_descriptor(tool: Tool, tmp_path: Path, version: str) -> None:
    """A published tarball gives the descriptor that the reference registry has, and the launcher's digest."""
    ok(tool.on("bundle", "add", release(tmp_path, version)))
    name = f"buildpacks_lifecycle@{version}.toml"
    found, wanted = (
        read_descriptor(str(folder / name).encode(), name) for folder in (tool.root / DESCRIPTORS, REFERENCE_REGISTRY)
    )
    assert isinstance(found, Launcher)
    assert isinstance(wanted, Launcher)
    assert launcher_document(found) == launcher_document(wanted) | {"sha256": hashlib.sha256(STAND_IN).hexdigest()}


def test_files_and_modes(tool: Tool, tmp_path: Path) -> None:
    """Executable, SBOMs and descriptor lie where they belong, for every user of the container, whatever the umask."""
    before = os.umask(0o077)
    try:
        ok(tool.on("bundle", "add", release(tmp_path, "0.21.17")))
    finally:
        os.umask(before)
    found = tree(tool.root)
    assert {path for path, (_, content) in found.items() if content != "a directory"} == {
        f"{DESCRIPTORS}/buildpacks_lifecycle@0.21.17.toml",
        *[f"{FOLDER}/0.21.17/{name}" for name in ("launcher", "sbom.cdx.json", "sbom.spdx.json", "sbom.syft.json")],
    }
    assert found[f"{FOLDER}/0.21.17/launcher"] == (0o755, STAND_IN)
    assert found[f"{FOLDER}/0.21.17/sbom.spdx.json"] == (0o644, sbom("launcher", "spdx"))
    assert {mode for mode, content in found.values() if content == "a directory"} == {0o755}


def test_oldest_shape(tool: Tool, tmp_path: Path) -> None:
    """A `lifecycle.toml` with `[api]` alone supports just that, and serves apps that recorded nothing."""
    ok(tool.on("bundle", "add", release(tmp_path, "0.8.1")))
    (launcher,) = load_registry(Root(bytes(tool.root), whole=True)).launchers
    assert launcher_document(launcher)["platform"] == {"supported": ["0.3"], "deprecated": [], "default": "0.3"}
    assert launcher_document(launcher)["buildpack"] == {"supported": ["0.2"], "deprecated": [], "default": "0.2"}
    assert not list((tool.root / FOLDER).rglob("sbom*"))


def test_vendor_rebuild_goes_first(tool: Tool, tmp_path: Path) -> None:
    """A rebuild with a local version is another launcher, needs no `--replace`, and goes before the original."""
    ok(tool.on("bundle", "add", release(tmp_path, "0.17.7", elf(MACHINE))))
    rebuilt = release(tmp_path, "0.17.7", elf(MACHINE, size=300))
    ok(tool.on("bundle", "add", rebuilt, "--version", "0.17.7+vendor.1"))
    assert launchers(tool) == ["buildpacks/lifecycle@0.17.7", "buildpacks/lifecycle@0.17.7+vendor.1"]
    answer = tool.on("--which", "--quiet", "--platform-api", "0.6", "--buildpack-api", "a=0.6")
    assert answer.out.endswith("/0.17.7+vendor.1/launcher\n")


def test_directory_and_json(tool: Tool, tmp_path: Path) -> None:
    """A directory of a release's shape is as good as the tarball; `--json` says all that was done."""
    source = tmp_path / "unpacked"
    (source / "lifecycle").mkdir(parents=True)
    (source / "lifecycle.toml").write_text(lifecycle_toml("0.20.20"))
    (source / "lifecycle/launcher").write_bytes(STAND_IN)
    (source / "lifecycle/launcher.sbom.cdx.json").write_bytes(b"{}")
    document = ok(tool.on("bundle", "add", source, "--json", "--priority", "-5", "--into", "etc")).document
    (bundle,) = document["bundles"]
    assert (document["action"], bundle["priority"], bundle["into"]) == ("added", -5, "etc")
    assert bundle["descriptor"] == f"{tool.root}/etc/cnb/launchers.d/buildpacks_lifecycle@0.20.20.toml"
    assert bundle["executable"]["sha256"] == bundle["sha256"] == hashlib.sha256(STAND_IN).hexdigest()
    assert bundle["sboms"] == [f"{tool.root}/{FOLDER}/0.20.20/sbom.cdx.json"]


def test_bare_executable(tool: Tool, tmp_path: Path) -> None:
    """A bare executable is told everything on the command line: lists or ranges, opt-in, required keys."""
    program = tmp_path / "launcher"
    program.write_bytes(elf())
    options = (
        *("--id", "acme/rust", "--version", "1.0", "--platform-apis", ">=0.7,<=0.15", "--buildpack-apis", "0.7, 0.8"),
        *("--opt-in-env", "ACME", "--requires", "processes", "--requires", "buildpacks", "--arch", "x86-64"),
    )
    ok(tool.on("bundle", "add", program, *options))
    (launcher,) = load_registry(Root(bytes(tool.root), whole=True)).launchers
    found = launcher_document(launcher)
    assert (found["id"], found["opt_in_env"], found["requires"]) == ("acme/rust", "ACME", ["processes", "buildpacks"])
    assert found["platform"] == {"supported": ">=0.7,<=0.15", "deprecated": [], "default": None}
    silent = "a bare executable has no metadata: "
    every = "--id, --version, --platform-apis and --buildpack-apis must be given\n"
    refused(tool.on("bundle", "add", program), silent + every)
    apis = ("--platform-apis", "0.7", "--buildpack-apis", "0.7")
    refused(tool.on("bundle", "add", program, "--id", "a/b", *apis), silent + "--version must be given\n")
    answer = tool.on("bundle", "add", program, "--id", "a/b", "--version", "1")
    refused(answer, silent + "--platform-apis and --buildpack-apis must be given\n", f"{program} --id a/b --version 1 ")
    refused(tool.on("bundle", "add", program, *options, "--platform-apis", ">=0.7"), "range '>=0.7' is open above")


@pytest.mark.parametrize(
    ("version", "options", "kinds"),
    [
        ("0.9.3", (), ["byte-order-mark"]),
        ("0.17.7", (), ["control-characters", "invalid-utf-8", "replacement-characters"]),
        ("0.21.17", (), ["control-characters", "invalid-utf-8"]),
        ("0.17.7", ("--version", "0.17.7+vendor.1"), ["control-characters", "invalid-utf-8", "replacement-characters"]),
        ("0.17.7", ("--version", "2"), ["control-characters", "invalid-utf-8", "replacement-characters"]),
        ("0.17.7", ("--id", "acme/other"), []),
        ("0.17.7", ("--cannot-read", "byte-order-mark"), ["byte-order-mark"]),
    ],
)
def test_cannot_read(tool: Tool, tmp_path: Path, version: str, options: tuple[str, ...], kinds: list[str]) -> None:
    """What a release is known to refuse gets into its descriptor, unless the command line says what it is."""
    assert tool.on("bundle", "add", release(tmp_path, version), *options).code == 0
    name = options[1] if "--id" in options else "buildpacks/lifecycle"
    (bundle,) = tool.on("bundle", "show", name, "--json").document["bundles"]
    assert bundle["cannot_read"] == kinds
    (file,) = (tool.root / "usr/lib/cnb/launchers.d").iterdir()
    assert tomllib.loads(file.read_text())["launcher"].get("cannot-read", []) == kinds
    shown = tool.on("bundle", "show", name).out
    assert (f"  can't read {', '.join(kinds)} in metadata.toml" in shown) == bool(kinds)


def test_cannot_read_is_added(tool: Tool, tmp_path: Path) -> None:
    """A descriptor of before such a key gets it when its release is added again; another list is another bundle."""
    source = release(tmp_path, "0.17.7")
    assert tool.on("bundle", "add", source).code == 0
    (file,) = (tool.root / "usr/lib/cnb/launchers.d").iterdir()
    whole = file.read_text()
    file.write_text("".join([line for line in whole.splitlines(keepends=True) if "cannot-read" not in line]))
    assert tool.on("bundle", "add", source, "--json").document["action"] == "completed"
    assert file.read_text() == whole
    answer = tool.on("bundle", "add", source, "--cannot-read", "byte-order-mark")
    assert answer.code == 3
    assert "cannot-read is ['control-characters', 'invalid-utf-8', 'replacement-characters'], not" in answer.err


FLAT = ("--id", "hone/launcher-rs", "--version", "0.1.1a4", "--platform-apis", "0.7,0.8", "--buildpack-apis", "0.7")


def flat_release(folder: Path, *more: tuple[tarfile.TarInfo, bytes], prefix: str = "") -> Path:
    """Write the tarball of a launcher that is released by itself: it and its SBOMs at the top, no lifecycle.toml."""
    sboms = [entry(f"{prefix}launcher.sbom.{kind}.json", sbom("launcher", kind)) for kind in ("cdx", "spdx", "syft")]
    file = folder / "launcher-x86_64.tgz"
    file.write_bytes(pack([entry(f"{prefix}launcher", STAND_IN), *sboms, *more]))
    return file


@pytest.mark.parametrize("prefix", ["", "./"])
def test_flat_release(tool: Tool, tmp_path: Path, prefix: str) -> None:
    """A flat tarball is installed with its SBOMs; what it can't say itself the command line says; its digest counts."""
    tarball = flat_release(tmp_path, prefix=prefix)
    ok(tool.on("bundle", "add", tarball, *FLAT, "--sha256", hashlib.sha256(tarball.read_bytes()).hexdigest()))
    (launcher,) = load_registry(Root(bytes(tool.root), whole=True)).launchers
    assert repr(launcher) == "hone/launcher-rs@0.1.1a4"
    assert launcher_document(launcher)["platform"] == {"supported": ["0.7", "0.8"], "deprecated": [], "default": None}
    folder = tool.root / "usr/lib/cnb/launchers/hone/launcher-rs/0.1.1a4"
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == {
        "launcher": STAND_IN,
        **{f"sbom.{kind}.json": sbom("launcher", kind) for kind in ("cdx", "spdx", "syft")},
    }
    assert ok(tool.on("bundle", "add", tarball, *FLAT)).out.startswith("already there, nothing to do: ")


def test_flat_release_says_nothing_about_itself(tool: Tool, tmp_path: Path) -> None:
    """Without those options it is refused, and they are named; so is a release that has its launcher in both places."""
    tarball = flat_release(tmp_path)
    silent = f"{tarball}: a launcher without lifecycle.toml has no metadata: "
    answer = tool.on("bundle", "add", tarball)
    refused(answer, f"{silent}--id, --version, --platform-apis and --buildpack-apis must be given\n")
    refused(tool.on("bundle", "add", tarball, *FLAT[:6]), f"{silent}--buildpack-apis must be given\n")
    both = flat_release(tmp_path, entry("lifecycle/launcher", STAND_IN))
    refused(tool.on("bundle", "add", both, *FLAT), "has lifecycle/launcher and launcher: which of them is meant?")
    below = flat_release(tmp_path, prefix="launcher-rs/")
    refused(tool.on("bundle", "add", below, *FLAT), "has 'launcher-rs/launcher': its files belong at the top")
    foreign = flat_release(tmp_path)
    foreign.write_bytes(pack([entry("launcher", elf(machine=999))]))
    refused(tool.on("bundle", "add", foreign, *FLAT), f"{foreign}: launcher: is for another architecture")
    assert tree(tool.root) == {}


def test_flat_directory(tool: Tool, tmp_path: Path) -> None:
    """A directory of that shape will do, and where a lifecycle.toml lies in it, that says what the launcher is."""
    source = tmp_path / "unpacked"
    source.mkdir()
    (source / "launcher").write_bytes(STAND_IN)
    (source / "launcher.sbom.cdx.json").write_bytes(b"{}")
    ok(tool.on("bundle", "add", source, *FLAT))
    (source / "lifecycle.toml").write_text(f'{APIS}[launcher]\nid = "acme/l"\nversion = "2"\n')
    ok(tool.on("bundle", "add", source))
    assert launchers(tool) == ["acme/l@2", "hone/launcher-rs@0.1.1a4"]
    assert (tool.root / "usr/lib/cnb/launchers/acme/l/2/sbom.cdx.json").read_bytes() == b"{}"


def test_same_version_other_launcher(tool: Tool, tmp_path: Path) -> None:
    """Another executable, or other values, under one id and version are refused, and nothing is changed."""
    tarball = release(tmp_path, "0.17.7")
    ok(tool.on("bundle", "add", tarball))
    before = tree(tool.root)
    other = release(tmp_path / "other", "0.17.7", STAND_IN + b"# another\n")
    refused(tool.on("bundle", "add", other), "already installed, with other content", "another executable, sha256")
    assert tree(tool.root) == before
    refused(tool.on("bundle", "add", tarball, "--priority", "7"), "priority is 0, not 7")
    refused(tool.on("bundle", "add", tarball, "--version", "v0.17.7"), "its version written as '0.17.7'")
    refused(tool.on("bundle", "add", other, "--into", "etc"), "another executable")
    assert tree(tool.root) == before


def test_replace(tool: Tool, tmp_path: Path) -> None:
    """`--replace` changes executable and descriptor in one step, by another path, and leaves nothing of the old one."""
    ok(tool.on("bundle", "add", release(tmp_path, "0.17.7")))
    new = STAND_IN + b"# another\n"
    digest = hashlib.sha256(new).hexdigest()
    answer = ok(tool.on("bundle", "add", release(tmp_path, "0.17.7", new), "--replace"))
    assert answer.out.startswith("replaced buildpacks/lifecycle@0.17.7\n")
    (launcher,) = load_registry(Root(bytes(tool.root), whole=True)).launchers
    assert launcher.path == f"/{FOLDER}/0.17.7/{digest[:16]}/launcher"
    assert (tool.root / launcher.path[1:]).read_bytes() == new
    assert not (tool.root / FOLDER / "0.17.7/launcher").exists()
    assert not (tool.root / FOLDER / "0.17.7/sbom.cdx.json").exists()
    ok(tool.on("bundle", "add", release(tmp_path, "0.17.7", new)))
    ok(tool.on("bundle", "add", release(tmp_path, "0.17.7"), "--replace"))
    (launcher,) = load_registry(Root(bytes(tool.root), whole=True)).launchers
    assert launcher.path == f"/{FOLDER}/0.17.7/launcher"
    assert not (tool.root / FOLDER / "0.17.7" / digest[:16]).exists()
    ok(tool.on("bundle", "add", release(tmp_path, "0.17.7"), "--replace", "--priority", "3"))
    assert launchers(tool) == ["buildpacks/lifecycle@0.17.7"]
    ok(tool.on("bundle", "remove", "buildpacks/lifecycle"))
    assert [path for path, (_, content) in tree(tool.root).items() if content != "a directory"] == []


def test_descriptor_before_executable(tool: Tool, tmp_path: Path) -> None:
    """A reference descriptor that was copied before its executable is completed, not contradicted."""
    folder = tool.root / DESCRIPTORS
    folder.mkdir(parents=True)
    shutil.copy(REFERENCE_REGISTRY / "buildpacks_lifecycle@0.17.7.toml", folder)
    answer = ok(tool.on("bundle", "add", release(tmp_path, "0.17.7")))
    assert answer.out.startswith("completed buildpacks/lifecycle@0.17.7\n")
    (launcher,) = load_registry(Root(bytes(tool.root), whole=True)).launchers
    assert launcher.sha256 == hashlib.sha256(STAND_IN).hexdigest()


def test_adding_again_makes_whole(tool: Tool, tmp_path: Path) -> None:
    """What was deleted or changed of a bundle since, adding it again puts right."""
    tarball = release(tmp_path, "0.21.17")
    ok(tool.on("bundle", "add", tarball))
    whole = tree(tool.root)
    folder = tool.root / FOLDER / "0.21.17"
    for spoil in (
        (folder / "launcher").unlink,
        lambda: (folder / "launcher").chmod(0o700),
        lambda: (folder / "launcher").chmod(0o4755),  # set-id: whoever starts the app would become the file's owner
        lambda: (folder / "launcher").chmod(0o2755),
        (folder / "sbom.cdx.json").unlink,
        lambda: (folder / "sbom.spdx.json").write_text("{}"),
    ):
        spoil()
        assert ok(tool.on("bundle", "add", tarball)).out.startswith("completed buildpacks/lifecycle@0.21.17\n")
        assert tree(tool.root) == whole
    without = release(tmp_path, "0.21.17", sboms=False)
    answer = tool.on("bundle", "add", without)
    assert (answer.code, answer.out.partition(" ")[0]) == (0, "completed")
    warning = "buildpacks/lifecycle@0.21.17 came without an SBOM: that of a run image won't say what is in it"
    assert answer.err == f"Warning: {warning}\n"
    assert not list(folder.glob("sbom*"))
    assert tool.on("bundle", "add", without, "--json").document["warnings"] == [warning]


def test_two_at_a_time(tool: Tool, tmp_path: Path) -> None:
    """A second command on the same root waits for the first, says so, and then does its work."""
    tarball = release(tmp_path, "0.21.17")
    place = tool.root / "usr/lib/cnb"
    place.mkdir(parents=True)
    descriptor = os.open(place, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    command: list[str | Path] = [sys.executable, "-m", "metalauncher", "bundle", "add", tarball, "--root", tool.root]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        assert process.stderr.readline() == "waiting for another `metalauncher bundle`\n"
        assert sorted(place.iterdir()) == []
        os.close(descriptor)
        assert process.stdout.read().startswith("added ")
    assert process.returncode == 0


def test_operator_goes_first(tool: Tool, tmp_path: Path) -> None:
    """Adding to the image what the operator overrides or masks is done, and said."""
    tarball = release(tmp_path, "0.17.7")
    ok(tool.on("bundle", "add", tarball, "--into", "etc"))
    answer = tool.on("bundle", "add", tarball)
    assert answer.code == 0
    assert answer.err == (
        f"Warning: {tool.root}/etc/cnb/launchers.d/buildpacks_lifecycle@0.17.7.toml goes before this descriptor\n"
    )
    ok(tool.on("bundle", "remove", "buildpacks/lifecycle@0.17.7"))
    assert launchers(tool) == []
    (tool.root / "etc/cnb/launchers.d/buildpacks_lifecycle@0.17.7.toml").symlink_to("/dev/null")
    assert "may mask this descriptor" in tool.on("bundle", "add", tarball).err


def test_digest(tool: Tool, tmp_path: Path) -> None:
    """The digest is taken as hex, from a file in either order, or from the file that lies beside the tarball."""
    tarball = release(tmp_path, "0.17.7")
    digest = hashlib.sha256(tarball.read_bytes()).hexdigest()
    wrong = "0" * 64
    refused(tool.on("bundle", "add", tarball, "--sha256", wrong), "has another digest than expected", digest, wrong)
    refused(tool.on("bundle", "add", tarball, "--sha256", "123"), "'123' is neither 64 hexadecimal digits nor a file")
    beside = tmp_path / f"{tarball.name}.sha256"
    for text in (f"{tarball.name} {wrong}\n", f"{wrong}  {tarball.name}\n", wrong):
        beside.write_text(text)
        refused(tool.on("bundle", "add", tarball), wrong, beside.name)
    for text in ("", "nothing\n", f"{digest}  another.tgz\n", f"{digest} {digest}\n"):
        beside.write_text(text)
        refused(tool.on("bundle", "add", tarball), f"{beside}: has no digest for {tarball.name}")
    assert tree(tool.root) == {}
    beside.write_text(f"out/{tarball.name} {digest}\n")
    ok(tool.on("bundle", "add", tarball))
    ok(tool.on("bundle", "add", tarball, "--sha256", digest.upper()))
    ok(tool.on("bundle", "add", tarball, "--sha256", f"sha256:{digest}"))
    sums = tmp_path / "SHA256SUMS"
    sums.write_text(f"{wrong}  other.tgz\n{digest} *{tarball.name}\n")
    ok(tool.on("bundle", "add", tarball, "--sha256", sums))


@pytest.mark.parametrize(
    ("launcher", "message"),
    [
        (b"", "lifecycle/launcher: is empty"),
        (b"PK\x03\x04", "is neither an ELF file nor a script with #!"),
        (b"#!\n", "is a script that names no interpreter"),
        (b"#!/bin/sh", "is a script without a second line"),
        (b"#!/usr/bin/metalauncher --launch\n", "is the shim: it would start metalauncher again"),
        (b"\x7fELF", "is an ELF file with a damaged header"),
        (elf(kind=1), "is an ELF file, but no executable"),
        (
            elf(machine=183),
            "is for another architecture\n  need:    an executable for x86-64\n  have:    one for arm64",
        ),
        (elf(machine=999), "have:    one for machine 999"),
        (elf()[:150], "is cut off: an ELF file of 150 bytes that needs 200"),
    ],
)
def test_unsound_launcher(tool: Tool, tmp_path: Path, launcher: bytes, message: str) -> None:
    """What can't be started is not installed."""
    refused(tool.on("bundle", "add", release(tmp_path, "0.17.7", launcher), "--arch", "x86-64"), message)
    assert tree(tool.root) == {}


def test_other_architecture(tool: Tool, tmp_path: Path) -> None:
    """`--arch` says for which machine the run image is."""
    ok(tool.on("bundle", "add", release(tmp_path, "0.17.7", elf(machine=183)), "--arch", "arm64"))
    assert inspect(elf(machine=22)[:64]) != inspect(elf())


def test_metalauncher_is_no_launcher(tool: Tool, tmp_path: Path) -> None:
    """The root's own metalauncher is not installed as a launcher."""
    (tool.root / "usr/bin").mkdir(parents=True)
    (tool.root / "usr/bin/metalauncher").write_bytes(STAND_IN)
    refused(tool.on("bundle", "add", release(tmp_path, "0.17.7")), "is metalauncher itself")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("= 1", "is not TOML"),
        ("launcher = 1", "launcher: is not a table"),
        ('[launcher]\npath = "/x"', "launcher.path: the launcher goes to its default place"),
        ('[launcher]\nsha256 = "0"', "launcher.sha256: is '0', but the launcher's is "),
        ("[launcher]\nmasked = true", "launcher.masked: a mask holds only"),
        (f'{APIS}[launcher]\nversion = "1"\npriority = "1"', "launcher.priority: is a string, not an integer"),
        (f'{APIS}[lifecycle]\nversion = "x"', "lifecycle.version: 'x' is not a PEP 440 version"),
        ("[lifecycle]\nversion = 0.17", "lifecycle.version: is a float, not a string"),
        ('[lifecycle]\nversion = "1"\n[apis.platform]\nsupported = [0.10]', "apis.platform.supported: holds a float"),
    ],
)
def test_unsound_lifecycle_toml(tool: Tool, tmp_path: Path, text: str, message: str) -> None:
    """What would make an invalid descriptor is refused with the key and the reason."""
    source = tmp_path / "unpacked"
    (source / "lifecycle").mkdir(parents=True)
    (source / "lifecycle.toml").write_text(text)
    (source / "lifecycle/launcher").write_bytes(STAND_IN)
    refused(tool.on("bundle", "add", source), f"{source}: lifecycle.toml: ", message)
    assert tree(tool.root) == {}


def test_descriptor_texts_survive(tool: Tool, tmp_path: Path) -> None:
    """Quotes, escapes and other scripts' letters in a value come back as they went in."""
    program = tmp_path / "launcher"
    program.write_bytes(STAND_IN)
    key = 'a"b\\c\td\u00e9\U0001f680'
    options = ("--id", "a/b", "--version", "1", "--platform-apis", "0.7", "--buildpack-apis", "0.7", "--requires", key)
    ok(tool.on("bundle", "add", program, *options))
    (launcher,) = load_registry(Root(bytes(tool.root), whole=True)).launchers
    assert launcher.requires == (key,)


def test_sources_that_are_none(tool: Tool, tmp_path: Path) -> None:
    """A missing file, a FIFO, a text, an empty directory: each is named, with what was needed."""
    refused(tool.on("bundle", "add", tmp_path / "none.tgz"), "none.tgz: no such file or directory")
    os.mkfifo(tmp_path / "fifo")
    refused(tool.on("bundle", "add", tmp_path / "fifo"), "fifo: is not a regular file")
    (tmp_path / "text").write_text("hello")
    refused(tool.on("bundle", "add", tmp_path / "text"), "text: is neither a tarball")
    (tmp_path / "empty").write_text("")
    refused(tool.on("bundle", "add", tmp_path / "empty"), "empty: is empty")
    (tmp_path / "folder").mkdir()
    refused(tool.on("bundle", "add", tmp_path / "folder"), "folder: has no lifecycle.toml and no lifecycle/launcher")
    tarball = release(tmp_path, "0.17.7")
    refused(tool("bundle", "add", tarball, "--root", tmp_path / "none"), "is not a directory")
    refused(tool("bundle", "add", tarball, "--root", ""), "--root: '' is not a directory")
    assert tree(tool.root) == {}


def test_links_of_a_root_stay_inside(tool: Tool, tmp_path: Path) -> None:
    """Under `--root`, absolute and upward links of the image lead to places of the image, not of this machine."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (tool.root / "usr").mkdir()
    (tool.root / "usr/lib").symlink_to(outside)
    (tool.root / "etc").symlink_to("../../../../../../etc-of-the-image")
    ok(tool.on("bundle", "add", release(tmp_path, "0.17.7")))
    assert tree(outside) == {}
    assert launchers(tool) == ["buildpacks/lifecycle@0.17.7"]


def test_remove(tool: Tool, tmp_path: Path) -> None:
    """What isn't there, or there twice, is not removed; what others use, or lies elsewhere, stays."""
    refused(tool.on("bundle", "remove", "acme/none"), "there is no launcher 'acme/none'", "no valid descriptor in")
    for version in ("0.17.7", "0.21.17"):
        ok(tool.on("bundle", "add", release(tmp_path, version)))
    refused(tool.on("bundle", "remove", "buildpacks/lifecycle"), "installed in 2 versions", "lifecycle@0.21.17")
    elsewhere = tool.root / "opt/launcher"
    elsewhere.parent.mkdir()
    elsewhere.write_bytes(STAND_IN)
    descriptor = tool.root / DESCRIPTORS / "acme.toml"
    text = (REFERENCE_REGISTRY / "buildpacks_lifecycle@0.17.7.toml").read_text()
    descriptor.write_text(text.replace('id = "buildpacks/lifecycle"', 'id = "acme/l"\npath = "/opt/launcher"'))
    answer = tool.on("bundle", "remove", "acme/l")
    assert answer.err == "Warning: /opt/launcher was left: it lies outside /usr/lib/cnb/launchers/acme/l/0.17.7\n"
    assert elsewhere.exists()
    place = f"/{FOLDER}/0.17.7/launcher"
    descriptor.write_text(text.replace('id = "buildpacks/lifecycle"', f'id = "acme/l"\npath = "{place}"'))
    ok(tool.on("bundle", "remove", "buildpacks/lifecycle@0.17.7"))
    assert (tool.root / place[1:]).exists()
    assert launchers(tool) == ["acme/l@0.17.7", "buildpacks/lifecycle@0.21.17"]


def test_show(tool: Tool, tmp_path: Path) -> None:
    """`bundle show` has one launcher or all, with what is there on disk beside what is declared."""
    ok(
        tool.on(
            "bundle", "add", release(tmp_path, "0.9.3"), "--priority", "2", "--opt-in-env", "OLD", "--requires", "x"
        )
    )
    answer = ok(tool.on("bundle", "show", "buildpacks/lifecycle"))
    for text in ("serves apps that recorded no API", "priority   2", "only with OLD=true", "requires   x in"):
        assert text in answer.out
    (tool.root / FOLDER / "0.9.3/launcher").unlink()
    (bundle,) = ok(tool.on("bundle", "show", "--json")).document["bundles"]
    executable = bundle["executable"]
    assert (executable["present"], executable["sha256"], executable["kind"]) == (False, None, None)
    refused(tool.on("bundle", "show", "buildpacks/lifecycle@1"), "have:    buildpacks/lifecycle@0.9.3")
    for spelled in ("v0.9.3.0", ">=0.9,<0.10"):
        assert ok(tool.on("bundle", "show", f"buildpacks/lifecycle@{spelled}")).out == answer.out
    for other in ("0.9.3+vendor.1", ">0.9.3", "latest", ""):
        refused(tool.on("bundle", "show", f"buildpacks/lifecycle@{other}"), "have:    buildpacks/lifecycle@0.9.3")


@pytest.mark.parametrize("shape", ["release", "directory", "flat"])
@pytest.mark.parametrize("text", [b"", b"<bom/>", b"[]", b"\xff{}", b"[" * 200_000, b'{"a": 1'])
def test_sbom_that_is_none(tool: Tool, tmp_path: Path, shape: str, text: bytes) -> None:
    """What lies where an SBOM belongs and is none is named, and nothing is installed."""
    name, sbom = {
        "release": ("lifecycle.tgz", "lifecycle/launcher.sbom.spdx.json"),
        "directory": ("folder", "lifecycle/launcher.sbom.cdx.json"),
        "flat": ("launcher.tgz", "launcher.sbom.syft.json"),
    }[shape]
    source = tmp_path / name
    if shape == "directory":
        (source / "lifecycle").mkdir(parents=True)
        for info, data in release_members("0.21.17"):
            if info.isreg():
                (source / info.name).write_bytes(text if info.name == sbom else data)
    elif shape == "release":
        members = [one for one in release_members("0.21.17") if one[0].name != sbom]
        source.write_bytes(pack([*members, entry(sbom, text, mode=0o644)]))
    else:
        source.write_bytes(pack([entry("launcher", elf(MACHINE)), entry(sbom, text, mode=0o644)]))
    before = tree(tool.root)
    answer = tool.on("bundle", "add", source)
    refused(answer, f"ERROR: {source}: {sbom} is not an SBOM: it is not a JSON object\n", "need:    SBOMs in JSON, as ")
    assert tree(tool.root) == before


def test_disk_full(tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the descriptor can't be written, executable and SBOMs don't stay either."""
    ok(tool.on("bundle", "add", release(tmp_path, "0.21.17")))
    before = tree(tool.root)
    rename = os.rename

    def full(source: bytes, target: bytes) -> None:
        if target.endswith(b".toml"):
            raise OSError(28, "No space left on device", target)
        rename(source, target)

    monkeypatch.setattr(os, "rename", full)
    said = "buildpacks_lifecycle@0.17.7.toml: no space left on device"
    refused(tool.on("bundle", "add", release(tmp_path, "0.17.7")), said, "df -h ")
    monkeypatch.undo()
    other = release(tmp_path / "other", "0.17.7", STAND_IN.ljust(200_000, b"\n"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:  # the kernel names no file where a write fails
        answer = tool.on("bundle", "add", other)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    refused(answer, ": file too large")
    assert f"{tool.root}/{FOLDER}/0.17.7/" in answer.err.splitlines()[0]
    assert tree(tool.root) == before


def test_not_allowed(tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who may not write is not sent to look for space: the root was not named, or it is somebody else's."""
    tarball = release(tmp_path, "0.21.17")

    def closed(*_: object) -> None:
        raise PermissionError(13, "Permission denied", b"/usr/lib/cnb")

    monkeypatch.setattr("metalauncher.tooling.launchers.bundle.add", closed)  # root itself may write everywhere
    answer = tool.on("bundle", "add", tarball)
    refused(answer, "permission denied", "do:      run it as the owner of the root", f"ls -ld {tool.root}\n")
    answer = tool("bundle", "add", tarball)
    refused(answer, "permission denied", "name the root of a run image", "metalauncher bundle add SOURCE --root DIR\n")
    assert "df -h" not in answer.err


def test_leftover_is_cleaned(tool: Tool, tmp_path: Path) -> None:
    """The temporary file of an interrupted `add` is passed over by the registry and removed by the next one."""
    tarball = release(tmp_path, "0.21.17")
    ok(tool.on("bundle", "add", tarball))
    left = tool.root / FOLDER / "0.21.17" / (TEMPORARY.decode() + "0123")
    left.write_text("half")
    assert launchers(tool) == ["buildpacks/lifecycle@0.21.17"]
    assert ok(tool.on("bundle", "add", tarball)).out.endswith(f"cleaned up {left}\n")
    assert not left.exists()


def test_command_line(tool: Tool) -> None:
    """A wrong command line names what is wrong and the help; help goes to stdout."""
    refused(tool("bundle"), "the following arguments are required: ACTION", "metalauncher bundle --help")
    refused(tool("bundle", "add"), "required: SOURCE", "metalauncher bundle add --help")
    refused(tool("bundle", "add", "x", "--into", "opt"), "invalid choice: 'opt'")
    refused(tool("bundle", "add", "x", "--prio", "1"), "unrecognized arguments: --prio")
    answer = ok(tool("bundle", "add", "--help"))
    assert "examples:\n  $ metalauncher bundle add lifecycle-v0.21.17+linux.x86-64.tgz" in answer.out


def test_commands_to_run_next_keep_to_the_root(tool: Tool, tmp_path: Path) -> None:
    """What is copied from a message acts on the root that was given, not on this machine."""
    for version in ("0.17.7", "0.21.17"):
        assert tool.on("bundle", "add", release(tmp_path / version, version)).code == 0
    said = tool.on("bundle", "remove", "buildpacks/lifecycle").err
    assert (
        said.splitlines()[-1] == f"  do:      metalauncher bundle remove buildpacks/lifecycle@0.17.7 --root {tool.root}"
    )
    said = tool.on("bundle", "remove", "acme/none").err
    assert said.splitlines()[-1].endswith(f"metalauncher list --root {tool.root}")
    other = release(tmp_path / "other", "0.17.7", elf(MACHINE, size=300))
    said = tool.on("bundle", "add", other, "--version", "0.17.7").err
    again = f"metalauncher bundle add {other} --version 0.17.7 --replace --root {tool.root}"
    assert said.splitlines()[-1].strip() == again
    assert tool(*again.split()[1:]).code == 0


def stated(launcher: bytes, name: str = "CVE-2025-0001") -> bytes:
    """Return a vendor's statements about a launcher."""
    digest = hashlib.sha256(launcher).hexdigest()
    return f'sha256 = "{digest}"\n[[statement]]\nvulnerability = "{name}"\nstatus = "fixed"\n'.encode()


@pytest.mark.parametrize("kind", ["release", "flat", "directory"])
def test_statements_of_the_vendor(tool: Tool, tmp_path: Path, kind: str) -> None:
    """A `vex.toml` beside the launcher is installed with it, renewed by the next, and kept where one brings none."""
    launcher, source = elf(MACHINE), tmp_path / "bundle"
    below = "" if kind == "flat" else "lifecycle/"

    def write(statements: bytes | None) -> None:
        members = [entry("lifecycle.toml", lifecycle_toml("0.17.7").encode()), entry(f"{below}launcher", launcher)]
        if statements is not None:
            members.append(entry(f"{below}vex.toml", statements))
        if kind == "directory":
            for info, data in members:
                (source / info.name).parent.mkdir(parents=True, exist_ok=True)
                (source / info.name).write_bytes(data)
        else:
            source.write_bytes(pack(members))

    def names() -> list[str]:
        statements = tool.on("vex").document["statements"]
        return [one["vulnerability"]["name"] for one in statements]

    write(stated(launcher))
    assert ok(tool.on("bundle", "add", source)).out.startswith("added ")
    assert names() == ["CVE-2025-0001"]
    assert ok(tool.on("bundle", "add", source)).out.startswith("already there, nothing to do: ")
    write(stated(launcher, "CVE-2025-0002"))
    assert ok(tool.on("bundle", "add", source)).out.startswith("completed ")
    assert names() == ["CVE-2025-0002"]
    if kind != "directory":
        write(None)
        assert ok(tool.on("bundle", "add", source)).out.startswith("already there, nothing to do: ")
        assert names() == ["CVE-2025-0002"]
    ok(tool.on("bundle", "remove", "buildpacks/lifecycle"))
    assert [path for path in tool.root.rglob("*") if path.name in {"launcher", "vex.toml"}] == []


@pytest.mark.parametrize(
    ("name", "statements", "text"),
    [
        ("lifecycle/vex.toml", stated(b"another launcher"), "vex.toml: sha256: "),
        ("lifecycle/vex.toml", b"[[statement", "vex.toml: toml: "),
        ("lifecycle/vex.toml", b"#" * (256 * 1024 + 1), "has a 'lifecycle/vex.toml' of 262145 bytes"),
        ("vex.toml", stated(elf(MACHINE)), "has vex.toml, which belongs beside the launcher: as lifecycle/vex.toml"),
    ],
)
def test_statements_that_are_refused(tool: Tool, tmp_path: Path, name: str, statements: bytes, text: str) -> None:
    """Statements about another launcher, broken ones and lost ones are said at once, and nothing is written."""
    tarball = tmp_path / "release.tgz"
    tarball.write_bytes(pack([*release_members("0.17.7", elf(MACHINE)), entry(name, statements)]))
    before = tree(tool.root)
    refused(tool.on("bundle", "add", tarball), text)
    assert tree(tool.root) == before
