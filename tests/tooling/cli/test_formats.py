"""In which format findings go, and where to: one form for all commands, and nothing cut off that passes for whole."""

from __future__ import annotations

import os
import pty
import resource
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import images
import pytest
from bundles import MACHINE, Answer, Tool, elf, release
from harness import PROJECT
from rebased import World, metadata
from sboms import install_dispatcher

from metalauncher.explain.terminal import Unwritten
from metalauncher.tooling.cli.arguments import FORMATS
from metalauncher.tooling.cli.model import outline
from metalauncher.tooling.output import Unwritable, open_output

# The formats of every command that has some.
OF_COMMANDS: dict[str, tuple[str, ...]] = {
    "--which": ("text", "json"),
    "bundle add": ("text", "json"),
    "bundle remove": ("text", "json"),
    "bundle show": ("text", "json"),
    "list": ("text", "json"),
    "matrix": ("text", "markdown", "json"),
    "lint": ("text", "json"),
    "probe": ("text", "json"),
    "compare": ("text", "json"),
    "check": ("text", "json", "jsonl", "markdown", "html"),
    "patch": ("text", "json", "markdown", "html"),
    "image": ("text", "json"),
    "labels": ("text", "json", "dockerfile", "args"),
    "sbom": ("text", "json", "cyclonedx", "spdx"),
    "vex": ("openvex",),
    "schema": ("json",),
}
WITHOUT_OUTPUT = {"--which", "image"}
OLD = {
    "check app --run-image x --jsonl": "write --format jsonl",
    "check app --run-image x --markdown": "write --format markdown",
    "check app --run-image x --html report.html": "write --format html --output FILE",
    "check app --run-image x --html=report.html": "write --format html --output report.html",
    "matrix --format md": "write --format markdown",
    "matrix --markdown": "write --format markdown",
    "labels --args": "write --format args",
    "sbom --spdx": "write --format spdx",
    "list --html x": "the formats of this command are text, json",
    "vex --json": "the formats of this command are openvex",
    "image --base scratch --executable x --out y --output z": "write --out for the image; what is said of it goes to",
}


def test_every_command_is_here() -> None:
    """What has formats has them as all others: `--format`, `--json` for JSON, and `--output`."""
    found: dict[str, tuple[str, ...]] = {}
    for command in outline():
        options = {name: option for option in command.options for name in option.names}
        name = " ".join(command.path)
        if "--format" in options:
            found[name] = options["--format"].choices
            assert ("--json" in options) == ("json" in found[name]), name
        if command.path and not command.actions and name not in WITHOUT_OUTPUT | {"--launch", "--version"}:
            assert "--output" in options, name
    assert found == OF_COMMANDS
    assert set(FORMATS) == {one for formats in found.values() for one in formats}


@pytest.mark.parametrize("command", [name for name in OF_COMMANDS if not name.startswith("-")])
def test_a_format_that_it_has_not(tool: Tool, command: str) -> None:
    """It lists those it has."""
    answer = tool(*command.split(), "--format", "xml")
    assert (answer.code, answer.out) == (3, "")
    listed = ", ".join(OF_COMMANDS[command])
    assert answer.err == (
        f"ERROR: argument --format: invalid choice: 'xml' (choose from {listed})\n"
        f"  do:      metalauncher {command} --help\n"
    )


@pytest.mark.parametrize("line", OLD)
def test_old_spellings(tool: Tool, line: str) -> None:
    """They are gone, and answered with the new ones."""
    answer = tool(*line.split())
    assert (answer.code, answer.out) == (3, "")
    assert answer.err.splitlines()[1].startswith(f"  do:      {OLD[line]}")


CONTRADICTIONS = {
    "list --json --format text": "argument --format: not allowed with --json",
    "list --format text --json": "argument --json: not allowed with --format text",
    "matrix --format json --format markdown": "argument --format: not allowed with --format json",
    "sbom --json": "--json: sbom has no such format without --verify",
    "sbom --format text": "--format text: sbom has no such format without --verify",
    "sbom --format spdx --verify x": "--format spdx: sbom has no such format with --verify",
    "labels --format text": "--format text: labels has no such format without --verify",
    "labels --format args --verify oci:x": "--format args: labels has no such format with --verify",
}


@pytest.mark.parametrize("line", CONTRADICTIONS)
def test_contradictions(tool: Tool, line: str) -> None:
    """Two formats at once, or one that is for another case, are refused."""
    answer = tool(*line.split())
    assert (answer.code, answer.out) == (3, "")
    assert answer.err.startswith(f"ERROR: {CONTRADICTIONS[line]}\n")


def test_one_format_twice(installed: Tool) -> None:
    """The same one by two spellings is no contradiction."""
    assert installed.on("list", "--json", "--format", "json") == installed.on("list", "--json")


@pytest.fixture
def installed(tool: Tool, tmp_path: Path) -> Tool:
    """Return a root with metalauncher and a launcher in it."""
    install_dispatcher(tool.root)
    assert tool.on("bundle", "add", release(tmp_path, "0.21.17", elf(MACHINE), sboms=False)).code == 0
    return tool


ON_ROOT = (
    *("bundle show", "list", "list --json", "matrix", "matrix --format markdown", "lint", "lint --json"),
    *("labels", "labels --format args", "labels --json", "sbom", "sbom --format spdx", "vex"),
)


def test_the_same_in_a_file(installed: Tool, tmp_path: Path) -> None:
    """What is printed otherwise is in the file, and nothing else lies beside it."""
    folder = tmp_path / "reports"
    folder.mkdir()
    lines = [f"{line} --root {installed.root}" for line in ON_ROOT] + ["schema check", "completion fish"]
    for line in lines:
        printed = installed(*line.split())
        file = folder / "report"
        file.write_text("of before")
        answer = installed(*line.split(), "--output", file)
        assert answer == Answer(printed.code, "", printed.err), line
        assert file.read_text() == printed.out, line
        assert installed(*line.split(), "--output", "-").out == printed.out
        assert list(folder.iterdir()) == [file]


EPOCH = {"SOURCE_DATE_EPOCH": "1700000000"}  # the page says when it was made


@pytest.mark.parametrize("kind", OF_COMMANDS["check"])
def test_check(tool: Tool, world: World, tmp_path: Path, kind: str) -> None:
    """Each format of check in a file; on stderr what it comes to, for whoever waits."""
    app = world.reference(world.app(images.make_app("fine", metadata("0.10"), "0.12")))
    line = ("check", app, "--run-image", world.reference("two"), "--no-cache", "--format", kind)
    printed = tool(*line, environ=EPOCH)
    answer = tool(*line, "--output", tmp_path / "report", environ=EPOCH)
    assert (answer.code, answer.out) == (0, "")
    counted, read = answer.err.splitlines()
    assert counted == f"1 app under {world.reference('two')}: 1 starts"
    assert read.startswith("3 layers of 722 bytes looked through; 1 of 1 verdict assumes that")
    assert (tmp_path / "report").read_text() == printed.out
    assert tool(*line, "--output", "-", environ=EPOCH) == printed


def test_what_fails_changes_nothing(installed: Tool, tmp_path: Path) -> None:
    """A command that could not finish leaves the file as it was; and makes none."""
    file = tmp_path / "report"
    answer = installed("labels", "--verify", "oci:/none-such", "--output", file)
    assert answer.code == 3
    assert not file.exists()
    file.write_text("of before")
    answer = installed("labels", "--verify", "oci:/none-such", "--output", file)
    assert (answer.code, file.read_text()) == (3, "of before")


def test_it_is_said_before_the_work(tool: Tool, tmp_path: Path) -> None:
    """A file that can't be written is refused before anything is asked for."""
    (tmp_path / "folder").mkdir()
    for name, reason in (
        (tmp_path / "none/report", "no such file or directory"),
        (tmp_path / "folder", "is a directory"),
        (f"{tmp_path}/folder/", "is a directory"),
        ("", ""),
    ):
        answer = tool("check", "oci:/none-such", "--run-image", "oci:/none-such", "--output", name)
        assert (answer.code, answer.out) == (3, "")
        first = f"'{name}': {reason}" if name else "no file is named"
        assert answer.err.startswith(f"ERROR: --output: {first}\n"), answer.err
        assert "  need:    a file in a directory that can be written\n" in answer.err


def test_a_limit(installed: Tool, tmp_path: Path) -> None:
    """A file that may not grow so large is not written at all; the one of before stays."""
    file = tmp_path / "report"
    file.write_text("of before")
    done = subprocess.run(
        [sys.executable, "-B", "-m", "metalauncher", "schema", "check", "--output", str(file)],
        env={"TMPDIR": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)),
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith(f"ERROR: --output: '{file}': file too large\n")
    assert file.read_text() == "of before"
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [
        "lifecycle-v0.21.17+linux.x86-64.tgz",
        "report",
    ]
    del installed


def test_no_room_for_what_waits(tmp_path: Path) -> None:
    """What is too much to be held in memory waits on a disk; that one has no room, it is said of, and where it is."""
    file = tmp_path / "report"
    script = (
        "import sys\nfrom metalauncher.tooling.output import open_output, Unwritable\n"
        "try:\n    with open_output(sys.argv[1]) as output:\n        for _ in range(3): output.write(bytes(700_000))\n"
        "except Unwritable as error: print(error, error.need, error.command, sep='; ', end='')"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", script, str(file)],
        env={"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000)),
    )
    assert done.stdout == (
        f"--output: '{file}': file too large in {tmp_path}, where it waits; room in {tmp_path}, or another TMPDIR;"
        f" df {tmp_path}"
    ), done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/thread-self/fd/1", "link"])
def test_a_file_that_is_open_already(name: str, tmp_path: Path) -> None:
    """By whatever name, it is what standard output is: it goes on where it is, and is not replaced."""
    (tmp_path / "link").symlink_to("/dev/stdout")
    file = tmp_path / "report"
    file.write_text("before\n")
    line = '"$0" -B -m metalauncher schema check --output "$1" && echo after'
    with file.open("ab") as stdout:
        command = ["/bin/sh", "-c", line, sys.executable, name]
        environ = {"PYTHONPATH": str(PROJECT)}
        subprocess.run(command, cwd=tmp_path, env=environ, stdout=stdout, check=True)
    text = file.read_text()
    assert text.startswith("before\n{")
    assert text.endswith("}\nafter\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "report"]


def test_whose_it_is(tool: Tool, tmp_path: Path) -> None:
    """A new file is as open as the umask says; one that was there keeps its mode, and its owner where that can be."""
    secret, new = tmp_path / "secret", tmp_path / "new"
    secret.write_text("of before")
    secret.chmod(0o600)
    if os.geteuid() == 0:
        os.chown(secret, 1234, 4321)
    before = secret.stat()
    mask = os.umask(0o027)
    try:
        for file in (secret, new):
            assert tool("schema", "check", "--output", file).code == 0
    finally:
        assert os.umask(mask) == 0o027
    after = secret.stat()
    assert after.st_size > before.st_size
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert stat.S_IMODE(new.stat().st_mode) == 0o640


def test_a_link(tool: Tool, tmp_path: Path) -> None:
    """It is followed, and stays."""
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere/report", tmp_path / "link"
    link.symlink_to("elsewhere/report")
    for _ in range(2):  # to nothing yet, and to a file
        assert tool("schema", "check", "--output", link) == Answer(0, "", "")
        assert link.is_symlink()
        assert target.read_text() == tool("schema", "check").out


def test_what_is_no_file(tool: Tool, tmp_path: Path) -> None:
    """A FIFO and a terminal get what standard output would get, and stay what they are."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "link").symlink_to(pipe)
    expected = tool("schema", "check").out
    for name in (pipe, tmp_path / "link"):
        got: list[str] = []
        reader = threading.Thread(target=lambda into: into.append(pipe.read_text()), args=(got,), daemon=True)
        reader.start()
        assert tool("schema", "check", "--output", name) == Answer(0, "", "")
        reader.join(20)
        assert got == [expected]
        assert pipe.is_fifo()
    ours, theirs = pty.openpty()
    assert tool("bundle", "show", "--root", tool.root, "--output", os.ttyname(theirs)).code == 0
    os.close(ours)
    os.close(theirs)


def test_nobody_reads() -> None:
    """A closed pipe is what it is for standard output: said to nobody, 141."""
    reader, writer = os.pipe()
    with pytest.raises(Unwritten):
        _write(f"/proc/self/fd/{writer}", lambda: os.close(reader))
    os.close(writer)


def test_a_full_device() -> None:
    """A device that takes nothing is said to; it is never replaced."""
    with open("/dev/full", "wb") as full, pytest.raises(Unwritable, match="no space left on device"):
        _write(f"/proc/self/fd/{full.fileno()}")
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)


def _write(name: str, first: Callable[[], None] = lambda: None) -> None:
    with open_output(name) as output:
        first()
        output.write(b"x")


def test_much(tmp_path: Path) -> None:
    """More than is held in memory comes out whole and in order."""
    pieces = [bytes([number]) * 300_000 for number in range(10)]
    with open_output(str(tmp_path / "report")) as output:
        for piece in pieces:
            output.write(piece)
        assert not (tmp_path / "report").exists()
    assert (tmp_path / "report").read_bytes() == b"".join(pieces)


def test_colour_is_for_terminals(installed: Tool, tmp_path: Path) -> None:
    """A file has no colours, though the command runs on a terminal."""
    ours, theirs = pty.openpty()
    file = tmp_path / "report"
    command = [sys.executable, "-m", "metalauncher", "list", "--root", str(installed.root), "--output", str(file)]
    subprocess.run(command, env={}, stdin=theirs, stdout=theirs, stderr=theirs, timeout=60)
    os.close(ours)
    os.close(theirs)
    assert file.read_text() == installed.on("list").out
