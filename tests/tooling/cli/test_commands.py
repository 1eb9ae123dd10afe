"""The one definition of the command line: help, completions and manual page say what the program does."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from bundles import Tool, release
from harness import PROJECT, Image

from metalauncher.explain.cli import run
from metalauncher.explain.options import TOOLS, help_text
from metalauncher.tooling.cli.arguments import Parser
from metalauncher.tooling.cli.commands import parser
from metalauncher.tooling.cli.completion import bash, fish, zsh
from metalauncher.tooling.cli.manual import manual
from metalauncher.tooling.cli.model import Command, outline

COMMANDS = outline()
OWN = [command for command in COMMANDS if command.path and not command.path[0].startswith("--")]
NAMES = [" ".join(command.path) for command in OWN]


def test_names_are_those_that_the_program_hands_on() -> None:
    """What the dispatching forms know as the package's commands are all there are, with one line of help each."""
    tops = {command.path[0]: command.summary for command in OWN if len(command.path) == 1}
    assert set(tops) == set(TOOLS)
    listed = dict(re.findall(r"^  ([a-z]+) {3,}(\S.*)$", help_text(), flags=re.MULTILINE))
    assert listed == tops


def test_options_of_the_dispatching_forms() -> None:
    """What completions and manual page say of `--which` is in its help, and the program takes it."""
    which, launch, version = COMMANDS[1:4]
    assert [command.path for command in (which, launch, version)] == [("--which",), ("--launch",), ("--version",)]
    in_help = set(re.findall(r"^ +(--[a-z-]+)(?: |$)", help_text(), flags=re.MULTILINE))
    assert in_help == {name for option in which.options for name in option.names} | {"--which", "--launch"}
    values = {"ID=V": b"a/b=0.7", "V": b"0.7", "FILE": b"/dev/null", "DIR": b"/dev", "FORMAT": b"text"}
    for option in which.options:
        given = [option.names[0].encode(), *([values[option.metavar]] if option.metavar else [])]
        assert run([b"--which", *given], [], b"/metalauncher", None) == 80, option


@pytest.mark.parametrize("command", OWN, ids=NAMES)
def test_help(tool: Tool, command: Command) -> None:
    """Help names every option, fits in 80 columns, speaks in one voice, and has an example that parses."""
    answer = tool(*command.path, "--help")
    assert (answer.code, answer.err) == (0, "")
    assert all(len(line) <= 80 for line in answer.out.splitlines())
    for option in command.options:
        assert option.names[-1] in answer.out
    assert "Exit codes: 0 done, 1 findings, 3 could not finish." in answer.out
    assert re.match(r"[A-Z][a-z]+ [^!]*\.$", command.description)
    assert command.summary[0].islower()
    assert not command.summary.endswith(".")
    for option in (*command.options, *command.arguments):
        assert option.text
        assert option.text[0].islower()
        assert not option.text.endswith(".")
    assert command.actions or command.examples
    for example in command.examples:
        assert f"$ {example}\n" in answer.out
        words = shlex.split(re.split(r" > |<\(|\)$", example)[-2 if "<(" in example else 0].replace("\\\n", ""))
        assert words[0] == "metalauncher"
        parser().parse_args(words[1:])


@pytest.mark.parametrize(
    "command",
    [c for c in OWN if not c.actions and c.path[0] not in ("schema", "completion", "executable", "image", "patch")],
)
def test_every_command_has_json_and_root(command: Command) -> None:
    """Whatever reads or changes a registry takes --root, and --json if it does not print JSON anyway."""
    wanted = {"--root"} if command.path == ("vex",) else {"--json", "--root"}
    assert wanted <= {name for option in command.options for name in option.names}


def test_wrong_command_line(tool: Tool) -> None:
    """What is unknown is refused with 3 and the help to ask for."""
    answer = tool("frobnicate")
    assert answer.code == 3
    assert answer.err == "ERROR: there is no command 'frobnicate'\n  do:      metalauncher --help\n"
    answer = tool("list", "--frob")
    assert answer.err == "ERROR: unrecognized arguments: --frob\n  do:      metalauncher list --help\n"


GUESSES = {
    ("lst",): "list",
    ("help",): "--help",
    ("--whch",): "--which",
    ("chek", "x"): "check",
    ("bundle", "ad", "x"): "add",
    ("bundle", "add", "x", "--into", "ect"): "etc",
    ("bundle", "add", "x", "--platform-api=0.7"): "--platform-apis",
    ("lint", "--Strict"): "--strict",
    ("list", "--jsn"): "--json",
    ("check", "x", "--run-imgae", "y"): "--run-image",
    ("schema", "descriptr"): "descriptor",
}


@pytest.mark.parametrize("words", GUESSES, ids=" ".join)
def test_what_may_have_been_meant(tool: Tool, words: tuple[str, ...]) -> None:
    """What is misspelled, be it a command, an option or a value, is refused with what is most like it."""
    answer = tool(*words)
    assert (answer.code, answer.out) == (3, "")
    assert f"did you mean {GUESSES[words]}?" in answer.err
    assert answer.err.splitlines()[-1].strip().removeprefix("do:").strip().startswith("metalauncher")


@pytest.mark.parametrize("words", [("frobnicate",), ("list", "--frob"), ("bundle", "add", "x", "--into", "opt"), ("",)])
def test_nothing_like_it(tool: Tool, words: tuple[str, ...]) -> None:
    """Where nothing is like it, nothing is suggested."""
    answer = tool(*words)
    assert answer.code == 3
    assert "did you mean" not in answer.err


def test_misspelled_launcher(tool: Tool, tmp_path: Path) -> None:
    """A launcher's name is compared with those that are installed, with its version if one is given."""
    for version in ("0.17.7", "0.21.17"):
        assert tool.on("bundle", "add", release(tmp_path, version)).code == 0
    for name, meant in (
        ("buildpacks/lifecyle", "buildpacks/lifecycle"),
        ("lifecycle@0.17.7", "buildpacks/lifecycle@0.17.7"),
        ("buildpacks/lifecycle@0.21.7", "buildpacks/lifecycle@0.21.17"),
    ):
        answer = tool.on("bundle", "show", name)
        assert (answer.code, answer.err.splitlines()[0]) == (3, f"ERROR: there is no launcher {name!r}")
        assert f"  do:      did you mean {meant}?\n" in answer.err


def test_a_defect_is_one_line(tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception that should not have been is one line and exit code 70; an interrupt ends as a shell reports it."""

    def fail(_: Parser, arguments: list[str]) -> None:
        raise (KeyboardInterrupt if arguments[1:] else RuntimeError)("oh")

    monkeypatch.setattr(Parser, "parse_args", fail)
    answer = tool("list")
    assert (answer.code, answer.err) == (70, "ERROR: metalauncher: internal error: RuntimeError: oh\n")
    answer = tool("list", "x")
    assert (answer.code, answer.err) == (130, "")


def test_forms_without_the_package(image: Image) -> None:
    """The dispatching forms say that they have no such command, and what has it."""
    run = image.run(image.executable, "list")
    assert run.returncode == 3
    assert run.stdout == ""
    assert run.stderr == (
        "ERROR: 'list' needs the Python package: pip install metalauncher\n  do:      metalauncher --help\n"
    )


def test_manual_is_up_to_date() -> None:
    """docs/metalauncher.1 is what the definition makes: `python -m metalauncher.tooling.cli.manual`."""
    assert (PROJECT / "docs/metalauncher.1").read_text() == manual()


def test_manual_has_everything() -> None:
    """Every command, option and argument has its place in the page; roff, where there is one, has nothing to say."""
    page = manual()
    for command in COMMANDS[1:]:
        assert f".SS {' '.join(command.path)}".replace("-", r"\-") in page
        for option in command.options:
            assert option.names[-1] == "--help" or option.names[-1].replace("-", r"\-") in page
    groff = shutil.which("groff")
    if groff:
        checked = subprocess.run(
            [groff, "-man", "-ww", "-Tascii", "-z"], input=page, capture_output=True, text=True, timeout=60
        )
        assert (checked.returncode, checked.stderr) == (0, "")


def complete_bash(folder: Path, *words: str) -> set[str]:
    """Return what bash offers for the last of `words`."""
    script = folder / "completion.bash"
    script.write_text(bash())
    quoted = " ".join([shlex.quote(word) for word in words])
    ask = (
        f"compopt() {{ :; }}; source {script}; COMP_WORDS=(metalauncher {quoted}); COMP_CWORD={len(words)};"
        ' _metalauncher; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    run = subprocess.run(["bash", "--norc", "-c", ask], cwd=folder, capture_output=True, text=True, timeout=60)
    assert run.stderr == ""
    return set(run.stdout.split())


@pytest.mark.parametrize("command", COMMANDS, ids=[" ".join(command.path) or "-" for command in COMMANDS])
def test_bash_offers_all_there_is(tmp_path: Path, command: Command) -> None:
    """In each place bash offers every option and action, and the values of each option that has few."""
    words = {name for option in command.options for name in option.names if name.startswith("--")}
    words |= {name for name, _ in command.actions}
    words |= {choice for argument in command.arguments for choice in argument.choices}
    assert complete_bash(tmp_path, *command.path, "") - {"completion.bash"} == words
    for option in command.options:
        if option.choices:
            assert complete_bash(tmp_path, *command.path, option.names[0], "") == set(option.choices)


def test_bash_in_the_midst(tmp_path: Path) -> None:
    """A beginning narrows it down; files and directories are offered where they are wanted."""
    (tmp_path / "rootfs").mkdir()
    (tmp_path / "release.tgz").write_text("")
    assert complete_bash(tmp_path, "bundle", "add", "--r") == {"--requires", "--root", "--replace"}
    assert complete_bash(tmp_path, "bundle", "add", "--root", "r") == {"rootfs"}
    assert complete_bash(tmp_path, "bundle", "add", "r") == {"rootfs", "release.tgz"}
    assert complete_bash(tmp_path, "bundle", "add", "--json", "x.tgz", "--in") == {"--into"}
    assert complete_bash(tmp_path, "bundle", "add", "--id", "") == set()


@pytest.mark.parametrize(("shell", "text"), [("zsh", zsh()), ("fish", fish())])
def test_other_shells(tmp_path: Path, tool: Tool, shell: str, text: str) -> None:
    """The others' completions have every option and action, and are sound where the shell is there to ask."""
    assert tool("completion", shell).out == text
    for command in COMMANDS:
        for option in command.options:
            name = option.names[-1]
            assert (f"-l {name[2:]} " in text) if shell == "fish" else (name in text)
        for name, _ in command.actions:
            assert name.removeprefix("--") in text
    script = tmp_path / "completion"
    script.write_text(text)
    program = shutil.which(shell)
    if program:
        checked = subprocess.run([program, "-n", script], capture_output=True, text=True, timeout=60)
        assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize("command", ["list", "matrix", "lint", "probe", "sbom", "vex"])
def test_root_that_is_none(tool: Tool, tmp_path: Path, command: str) -> None:
    """A root that isn't there, or an empty one as of an unset variable, is refused; so is METALAUNCHER_ROOT."""
    for root in (str(tmp_path / "none"), ""):
        answer = tool(command, "--root", root)
        assert (answer.code, answer.out) == (3, "")
        assert answer.err.startswith(f"ERROR: --root: {root!r} is not a directory\n")
    answer = tool(command, environ={"METALAUNCHER_ROOT": "/no/such"})
    assert answer.err.startswith("ERROR: METALAUNCHER_ROOT: '/no/such' is not a directory\n")


def test_error_of_the_system(tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the system refuses in the midst of a command ends it with 3, naming the file."""

    def fail(_: Parser, __: list[str]) -> None:
        raise OSError(5, "Input/output error", "/dev/bad")

    monkeypatch.setattr(Parser, "parse_args", fail)
    answer = tool("list")
    assert answer.code == 3
    assert answer.err == "ERROR: /dev/bad: input/output error\n  do:      metalauncher --help\n"
