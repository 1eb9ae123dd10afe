"""What is printed is whole, or the command says that it is not: a full disk, a limit, a closed pipe, a closed stdout.

Every command has a line in COMMANDS; a new one without it fails.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import images
import pytest
from bundles import MACHINE, Tool, elf, release
from harness import Image
from real_launchers import Launchers
from rebased import World, metadata
from sboms import install_dispatcher

from metalauncher.tooling.apps.patch.entry import Entry
from metalauncher.tooling.apps.patch.journal import Asked, fleet_of, open_plan
from metalauncher.tooling.cli.model import outline
from metalauncher.tooling.writing import write_whole

FULL = "ERROR: standard output: no space left on device\n"
CLOSED = "ERROR: standard output: bad file descriptor\n"
CLOSED_PIPE = 141

# What each command prints on standard output, by a command line that {names} what is laid out for it.
COMMANDS: dict[str, tuple[str, ...]] = {
    "bundle": ("bundle --help", "bundle show --root {root} buildpacks/lifecycle@0.17.7"),
    "bundle add": ("bundle add --help", "bundle add --json --root {root} {tarball}"),
    "bundle remove": ("bundle remove --help", "bundle remove --json --root {root} buildpacks/lifecycle@0.17.7"),
    "bundle show": ("bundle show --help", "bundle show --json --root {root} buildpacks/lifecycle@0.17.7"),
    "list": ("list --help", "list --root {root}", "list --json --root {root}"),
    "matrix": (
        "matrix --help",
        "matrix --root {root}",
        "matrix --json --root {root}",
        "matrix --format markdown --root {root}",
    ),
    "lint": ("lint --help", "lint --json --root {root}"),
    "probe": ("probe --help", "probe --json --root {root}"),
    "compare": ("compare --help", "compare --json --only colour {launcher} {launcher}"),
    "check": (
        "check --help",
        "check --no-cache --run-image {run} {app}",
        "check --no-cache --json --run-image {run} {app}",
        "check --no-cache --format jsonl --run-image {run} {app}",
        "check --no-cache --format markdown --run-image {run} {app}",
        "check --no-cache --format html --run-image {run} {app}",
        "check --no-cache --inventory {app}",
        "check --no-cache --inventory --json {app}",
        "check --no-cache --inventory --format jsonl {app}",
    ),
    "patch": (
        "patch --help",
        "patch --apply {journal}",
        "patch --json --apply {journal}",
        "patch --format markdown --apply {journal}",
        "patch --format html --apply {journal}",
    ),
    "image": (
        "image --help",
        "image --json --base scratch --executable {root}/usr/bin/metalauncher --bundle {tarball} --out oci:{out}",
    ),
    "executable": ("executable --help", "executable"),
    "labels": (
        "labels --help",
        "labels --root {root}",
        "labels --json --root {root}",
        "labels --format args --root {root}",
    ),
    "sbom": ("sbom --help", "sbom --root {root}", "sbom --format spdx --root {root}"),
    "vex": ("vex --help", "vex --root {root}"),
    "schema": ("schema --help", "schema check"),
    "completion": ("completion --help", "completion bash"),
}
LINES = [line for lines in COMMANDS.values() for line in lines] + ["--help", "--version"]


def test_every_command_is_here() -> None:
    """None is left out: of each its help and what it finds, in every form."""
    assert {
        " ".join(command.path) for command in outline() if command.path and not command.path[0].startswith("--")
    } == set(COMMANDS)


@pytest.fixture
def run(tmp_path: Path, world: World, real: Launchers) -> Callable[..., tuple[int, str]]:
    """Return a function that runs a command line with a standard output of one's choice: (exit code, stderr)."""
    root = tmp_path / "rootfs"
    root.mkdir()
    contents = install_dispatcher(root)
    shutil.copy(contents, root / "usr/bin/metalauncher.contents.json")
    names = {
        "root": root,
        "launcher": real["0.21.17"].executable,
        "tarball": release(tmp_path / "new", "0.21.17", elf(MACHINE)),
        "out": tmp_path / "out",
        "app": world.reference(world.app(images.make_app("fine", metadata("0.10"), "0.12"))),
        "run": world.reference("new"),
        "journal": tmp_path / "journal.jsonl",
    }
    asked = Asked("shim", "{repository}:{tag}-shim", (), False, None, 1, fleet_of(["r.io/a:1"]))
    journal, _ = open_plan(str(names["journal"]), asked, ["r.io/a:1"])
    journal.plan(Entry("r.io/a:1", "left-alone", "not-matched", "its layer is another", target="r.io/a:1-shim"))
    journal.close()
    old = release(tmp_path / "old", "0.17.7")

    def start(line: str, stdout: Any, **more: Any) -> tuple[int, str]:
        _call(["bundle", "add", str(old), "--root", str(root)], subprocess.PIPE)
        return _call([word.format_map(names) for word in line.split()], stdout, **more)

    return start


def _call(words: list[str], stdout: Any, **more: Any) -> tuple[int, str]:
    done = subprocess.run(
        # -B: an import under a limit on the size of files would leave a cut-off .pyc to everybody else.
        [sys.executable, "-B", "-m", "metalauncher", *words],
        env={},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
        **more,
    )
    return done.returncode, done.stderr


def _close_two() -> None:
    os.close(0)
    os.close(1)


def _closed_pipe() -> int:
    reader, writer = os.pipe()
    os.close(reader)
    return writer


@pytest.mark.parametrize("line", LINES)
def test_what_can_not_be_written_is_said(line: str, run: Callable[..., tuple[int, str]]) -> None:
    """On a full disk: exit code 3 and one line. Who closes a pipe is told nothing: 141."""
    with open("/dev/full", "wb") as full:
        code, said = run(line, full)
    assert (code, said.splitlines(keepends=True)[-1:]) == (3, [FULL]), said
    writer = _closed_pipe()
    try:
        code, said = run(line, writer)
    finally:
        os.close(writer)
    assert (code, "ERROR" in said) == (CLOSED_PIPE, False)


def test_a_limit_on_the_size(run: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    """A file that may not grow so large holds what fitted, and the command says so; SIGXFSZ ends nothing."""
    with (tmp_path / "document").open("wb") as file:
        code, said = run(
            "schema check", file, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        )
    assert (code, said) == (3, "ERROR: standard output: file too large\n")
    assert (tmp_path / "document").stat().st_size == 1000


def test_no_file_becomes_the_standard_output(run: Callable[..., tuple[int, str]]) -> None:
    """With descriptors 0 to 2 closed nothing that a command opens takes their place, and is written to."""
    assert run("list --json --root {root}", None, preexec_fn=lambda: os.close(1)) == (3, CLOSED)
    code, said = run("list --root {root}", None, preexec_fn=_close_two)
    assert (code, said) == (3, CLOSED)


@pytest.mark.parametrize("options", [(), ("--json",), ("--quiet",)])
@pytest.mark.parametrize("api", ["0.12", "99.9"])
def test_which_on_a_full_disk(api: str, options: tuple[str, ...], image: Image) -> None:
    """Both forms: 3 and one line if the answer is cut off; a refusal that is on stderr alone has its own code."""
    image.use_registry()
    image.install("buildpacks/lifecycle", "0.21.17", "#!/bin/sh\n")
    image.use_metadata('[[buildpacks]]\nid = "a"\napi = "0.10"\n')
    image.environ["CNB_PLATFORM_API"] = api
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [image.executable, "--which", *options], env=image.environ, stdout=full, stderr=subprocess.PIPE, text=True
        )
    if api == "99.9" and options != ("--json",):
        assert done.returncode == 11
        assert done.stderr.startswith("ERROR: failed to set platform API")
    else:
        assert (done.returncode, done.stderr) == (3, FULL)


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_our_own_options_on_a_full_disk(option: str, image: Image) -> None:
    """Both forms."""
    with open("/dev/full", "wb") as full:
        done = subprocess.run([image.executable, option], env={}, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (3, FULL)
    writer = _closed_pipe()
    try:
        done = subprocess.run([image.executable, option], env={}, stdout=writer, stderr=subprocess.PIPE, text=True)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (CLOSED_PIPE, "")


def test_a_refusal_keeps_its_code_when_stderr_is_full(image: Image) -> None:
    """The exit code says what happened, whether or not anybody can read the text."""
    image.environ["CNB_PLATFORM_API"] = "99.9"
    image.use_registry()
    writer = _closed_pipe()
    try:
        with open("/dev/full", "wb") as full:
            for stderr in (full, writer):
                done = subprocess.run([image.by_link()], env=image.environ, stdout=subprocess.DEVNULL, stderr=stderr)
                assert done.returncode == 11
    finally:
        os.close(writer)


def test_a_command_keeps_its_code_when_stderr_is_full(tool: Tool) -> None:
    """A wrong command line is 3, findings are 1."""
    with open("/dev/full", "wb") as full:
        words = [sys.executable, "-m", "metalauncher"]
        assert subprocess.run([*words, "list", "--no"], stdout=subprocess.DEVNULL, stderr=full).returncode == 3
        command = [*words, "lint", "--root", str(tool.root)]
        assert subprocess.run(command, stdout=subprocess.DEVNULL, stderr=full).returncode == 1


def test_a_file_on_a_full_disk_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The system names no file in such an error: the command does, and leaves nothing half written."""

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("metalauncher.tooling.writing.os.fsync", full)
    with pytest.raises(OSError, match="No space left") as raised:
        write_whole(bytes(tmp_path), b"report.html", b"<html>", 0o644)
    assert raised.value.filename == f"{tmp_path}/report.html"
    assert list(tmp_path.iterdir()) == []
