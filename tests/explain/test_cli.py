"""cli.py and __main__.py: metalauncher's own command line, reached under its own name only."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from harness import PROJECT, Form, Image
from making import reference

import metalauncher
from metalauncher import __main__ as entry
from metalauncher.__main__ import start
from metalauncher.explain.options import help_text

OWN = b"/usr/bin/metalauncher"


def never(_path: bytes, _skip: int) -> int:
    """Stand in for `become` where nothing is to be exec'd."""
    raise AssertionError("nothing was to be exec'd")


def run(capfd: pytest.CaptureFixture[str], *arguments: bytes) -> tuple[int, str, str]:
    """Run metalauncher under its own name; return (exit code, stdout, stderr)."""
    status = start([OWN, *arguments], [], OWN, never)
    out, err = capfd.readouterr()
    return status, out, err


USAGE = [
    ((), "no command: use --which, --launch, --version or --help"),
    ((b"",), "no command: use --which, --launch, --version or --help"),
    ((b"web",), "there is no command 'web'"),
    ((b"--verbose",), "there is no command '--verbose'"),
    ((b"\xff\x1b[31m",), "there is no command '\\udcff\\x1b[31m'"),
    ((b"--version", b"x"), "--version takes no argument"),
    ((b"--help", b"x"), "--help takes no argument"),
    ((b"-h", b"x"), "-h takes no argument"),
    ((b"--launch",), "--launch needs ARGV0, the path as it was invoked"),
    ((b"--which", b"--verbose"), "--which has no option '--verbose'"),
    ((b"--which", b"web"), "--which has no option 'web'"),
    ((b"--which", b"--json=yes"), "--which has no option '--json=yes'"),
    ((b"--which", b"--quiet="), "--which has no option '--quiet='"),
    ((b"--which", b"--platform-api"), "--platform-api needs a value"),
    ((b"--which", b"--buildpack-api"), "--buildpack-api needs a value"),
    ((b"--which", b"--metadata"), "--metadata needs a value"),
    ((b"--which", b"--metadata", b""), "--metadata needs a path"),
    ((b"--which", b"--root="), "--root needs a path"),
    ((b"--which", b"--format"), "--format needs a value"),
    ((b"--which", b"--format", b"xml"), "--which has no format 'xml': choose from text, json"),
    ((b"--which", b"--json", b"--format=text"), "--json: not allowed with --format text"),
    ((b"--which", b"--output", b"x"), "--which has no --output: use metalauncher --which > FILE"),
    ((b"--which", b"--buildpack-api", b"0.7"), "--buildpack-api needs ID=V, such as acme/node=0.10; not '0.7'"),
]


@pytest.mark.parametrize(("arguments", "text"), USAGE, ids=[repr(arguments) for arguments, _ in USAGE])
def test_usage_error(arguments: tuple[bytes, ...], text: str, capfd: pytest.CaptureFixture[str]) -> None:
    """A bad command line is exit code 3, what is wrong with it on stderr, and a command to run last."""
    assert run(capfd, *arguments) == (3, "", f"ERROR: {text}\n  do:      metalauncher --help\n")


def test_usage_error_of_the_form(image: Image) -> None:
    """Either form says the same."""
    result = image.run(image.executable, "--frobnicate")
    assert (result.returncode, result.stdout) == (3, "")
    assert result.stderr == "ERROR: there is no command '--frobnicate'\n  do:      metalauncher --help\n"


def test_tools_are_not_in_the_forms(image: Image) -> None:
    """A command of the package is named as such by a form that does not hold it."""
    result = image.run(image.executable, "lint")
    assert (result.returncode, result.stdout) == (3, "")
    assert "pip install metalauncher" in result.stderr


def test_version(image: Image, capfd: pytest.CaptureFixture[str]) -> None:
    """`--version` is one line on stdout."""
    result = image.run(image.executable, "--version")
    expected = (0, f"metalauncher {metalauncher.__version__}\n", "")
    assert (result.returncode, result.stdout, result.stderr) == expected
    assert run(capfd, b"--version") == expected
    assert re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+(\.dev[0-9]+)?", metalauncher.__version__)


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help(option: str, image: Image, capfd: pytest.CaptureFixture[str]) -> None:
    """`--help` names every option and exit code, in lines that fit a terminal."""
    result = image.run(image.executable, option)
    assert (result.returncode, result.stdout, result.stderr) == (0, help_text(), "")
    assert run(capfd, option.encode()) == (0, help_text(), "")
    assert max(map(len, help_text().splitlines())) <= 80
    for word in ("--json", "--quiet", "--platform-api", "--buildpack-api", "--metadata", "--root", "80", "81", "82"):
        assert word in help_text()


@pytest.mark.parametrize("name", ["web", "launcher", "metalauncher.zip", "python3"])
@pytest.mark.parametrize("argument", ["--which", "--help", "--version", "--launch"])
def test_other_names_take_no_argument(name: str, argument: str, image: Image) -> None:
    """Under any other name every argument is the app's."""
    image.use_registry()
    image.use_metadata("")
    image.environ["CNB_PLATFORM_API"] = "0.12"
    image.install("buildpacks/lifecycle", "0.21.17", '#!/bin/sh\necho "app: $*"\n')
    result = image.run(image.by_link(name), argument)
    assert (result.returncode, result.stdout, result.stderr) == (0, f"app: {argument}\n", "")


@pytest.mark.parametrize(
    ("execfn", "own"),
    [
        (b"/usr/bin/metalauncher", True),
        (b"metalauncher", True),
        (b"./metalauncher", True),
        (b"/cnb/processes/metalauncher", True),
        (b"/cnb/process/x/metalauncher", True),
        (b"/cnb/process/metalauncher", False),
        (b"//cnb/./process//metalauncher", False),
        (b"/tmp/metalauncher.pyz", True),  # as downloaded
        (b"./metalauncher-linux-arm64", True),
        (b"/cnb/process/metalauncher.pyz", False),
        (b"/usr/bin/metalauncher.py", False),
        (b"/cnb/process/web", False),
        (b"", False),
        (b"/", False),
    ],
)
def test_own_name(execfn: bytes, own: bool, capfd: pytest.CaptureFixture[str]) -> None:
    """Its own are `metalauncher` and the names of what is built, in any directory but the app's processes."""
    status = start([b"metalauncher", b"--version"], [b"METALAUNCHER_ROOT=/nowhere"], execfn, never)
    assert (status == 0) == own
    assert ("no launcher is installed" in capfd.readouterr().err) == (not own)


class Recorder:
    """Stands in for `become`: records what was asked for, and fails as if there were no such file."""

    def __init__(self) -> None:
        """Record nothing yet."""
        self.calls: list[tuple[bytes, int]] = []

    def __call__(self, path: bytes, skip: int) -> int:
        """Record one call."""
        self.calls.append((path, skip))
        return 2


def app(tmp_path: Path, **variables: str) -> list[bytes]:
    """Return the environment of an app that 0.21.17 and 0.17.7 cover."""
    root = reference(tmp_path).prefix
    (tmp_path / "config").mkdir()
    (tmp_path / "config/metadata.toml").touch()
    entries = [b"CNB_PLATFORM_API=0.9", b"METALAUNCHER_ROOT=" + root, b"CNB_LAYERS_DIR=" + root]
    return [*entries, *(os.fsencode(f"{name}={value}") for name, value in variables.items())]


ROUTES = [
    ([b"/usr/bin/metalauncher", b"--launch", b"/cnb/process/web", b"x"], b"/cnb/process/web", 2),
    ([b"metalauncher", b"--launch", b"/cnb/process/web"], b"/cnb/process/web", 2),
    # Not the shim's: that path was not exec'd, or the name is another one, so they are the app's arguments.
    ([b"/usr/bin/metalauncher", b"--launch", b"/cnb/process/worker"], b"/cnb/process/web", 0),
    ([b"web", b"--launch", b"/cnb/process/web"], b"/cnb/process/web", 0),
    ([b"/cnb/process/web", b"--launch"], b"/cnb/process/web", 0),
    ([b"web"], b"/cnb/process/web", 0),
    ([], b"/cnb/process/web", 0),
    ([b"metalauncher", b"--launch", b"/x/web", b"y"], b"/usr/bin/metalauncher", 2),
]


@pytest.mark.parametrize(("argv", "execfn", "skip"), ROUTES)
def test_routes(argv: list[bytes], execfn: bytes, skip: int, tmp_path: Path) -> None:
    """The shim's two leading arguments are dropped where it was the shim that was exec'd, and never else."""
    become = Recorder()
    assert start(argv, app(tmp_path), execfn, become) == 82
    launchers = [f"{tmp_path}/usr/lib/cnb/launchers/buildpacks/lifecycle/{v}/launcher" for v in ("0.21.17", "0.17.7")]
    assert become.calls == [(path.encode(), skip) for path in launchers]


@pytest.mark.parametrize("outcome", ["launcher", "refusal", "unreadable"])
def test_log(outcome: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """METALAUNCHER_LOG=json prints one event per dispatch as one JSON line, before all else."""
    import json

    environ = app(tmp_path, METALAUNCHER_LOG="json")
    if outcome == "refusal":
        environ.insert(0, b"CNB_PLATFORM_API=0.99")
    if outcome == "unreadable":
        (tmp_path / "config/metadata.toml").unlink()
    launcher = tmp_path / "usr/lib/cnb/launchers/buildpacks/lifecycle/0.17.7/launcher"
    launcher.parent.mkdir(parents=True)
    launcher.write_text("#!/bin/sh\n")
    launcher.chmod(0o755)
    start([b"web"], environ, b"/cnb/process/web", Recorder())
    line = capfd.readouterr().err.splitlines()[0]
    event = json.loads(line)
    assert (event["event"], event["metalauncher"]) == ("dispatch", metalauncher.__version__)
    if outcome == "launcher":
        assert event["launcher"]["version"] == "0.17.7"
        assert event["platform_api"] == "0.9"
        assert event["decided_by"] == "the first in the ranking that can be started"  # 0.21.17 is not there
    else:
        expected = {
            "refusal": (11, "platform-api-not-covered", "0.99"),
            "unreadable": (1, "metadata-unreadable", "0.9"),
        }
        code, kind, api = expected[outcome]
        assert (event["launcher"], event["exit_code"], event["kind"]) == (None, code, kind)
        assert event["platform_api"] == api
        assert event["error"].startswith("failed to ")


@pytest.mark.parametrize("value", ["", "1", "JSON"])
def test_no_log(value: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Empty prints nothing but the dispatch's own; what is no form is said to be none."""
    start([b"web"], app(tmp_path, METALAUNCHER_LOG=value), b"/cnb/process/web", Recorder())
    first = capfd.readouterr().err.splitlines()[0]
    assert ("METALAUNCHER_LOG is text or json" in first) == bool(value)
    assert first.startswith("Warning: ")


def module(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m metalauncher`, what pip's console script does."""
    return subprocess.run(
        [sys.executable, "-m", "metalauncher", *arguments],
        cwd=PROJECT,
        env={"METALAUNCHER_ROOT": "/nowhere", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_console_script() -> None:
    """What pip installs has the whole command line."""
    result = module("--version")
    assert (result.returncode, result.stdout, result.stderr) == (0, f"metalauncher {metalauncher.__version__}\n", "")
    result = module("--which", "--platform-api", "0.7", "--quiet")
    assert (result.returncode, result.stdout) == (80, "")
    assert module().returncode == 3


def test_console_script_does_not_dispatch() -> None:
    """But it never dispatches: it has no -I, so the app's PYTHON* variables and directory would count."""
    result = module("--launch", "/cnb/process/web")
    assert (result.returncode, result.stdout) == (3, "")
    assert result.stderr.startswith("ERROR: the pip package does not dispatch: use the static executable or the zipapp")


class Exited(Exception):
    """What `posix._exit` would have done."""


@pytest.mark.parametrize(
    ("function", "argv", "arguments", "status"),
    [
        ("console", ["/venv/bin/metalauncher", "--version"], ["--version"], 0),
        ("console", ["/venv/bin/metalauncher"], [], 3),
        ("main", ["/usr/bin/metalauncher", "--version"], ["--version"], 0),
        ("main", ["/cnb/process/web", "--version"], ["--version"], 80),
    ],
)
def test_starting_points(
    function: str, argv: list[str], arguments: list[str], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both starting points find their arguments after the interpreter's own, and exit without finalising anything."""
    monkeypatch.setattr(sys, "orig_argv", ["/usr/bin/python3", "-IS", argv[0], *arguments])
    monkeypatch.setattr(sys, "argv", argv)
    monkeypatch.setattr("metalauncher.process._original_environ", lambda: [b"METALAUNCHER_ROOT=/nowhere"])
    codes: list[int] = []

    def leave(code: int) -> None:
        codes.append(code)
        raise Exited

    monkeypatch.setattr("posix._exit", leave)
    with pytest.raises(Exited):
        getattr(entry, function)()
    assert codes == [status]


def test_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while it starts ends it as SIGINT ends any other program."""
    codes: list[int] = []
    monkeypatch.setattr("posix._exit", codes.append)
    monkeypatch.setattr("metalauncher.process.PythonProcess.interrupt", staticmethod(lambda: 130))

    def interrupted(*_arguments: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(entry, "start", interrupted)
    monkeypatch.setattr(sys, "orig_argv", ["python3", "/cnb/process/web"])
    monkeypatch.setattr(sys, "argv", ["/cnb/process/web"])
    entry.main()
    assert codes == [130]


def test_forms_are_both_known(form: Form) -> None:
    """Both forms are one file each."""
    assert form.executable.is_file()


@pytest.mark.parametrize("root", ["/no/such", "/etc/passwd", "\0"])
def test_a_root_that_is_none(root: str, capfd: pytest.CaptureFixture[str]) -> None:
    """`--which --root` of what is not a directory is a wrong command line, not a run image without launchers."""
    code, out, err = run(capfd, b"--which", b"--root", root.encode())
    assert (code, out) == (3, "")
    assert err.splitlines()[0] == f"ERROR: --root: {root!r} is not a directory".replace("\\x00", "\\x00")


def test_a_root_that_holds_one(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """`--which --root` of a bundle's folder names the root inside; it is not a run image without launchers."""
    (tmp_path / "rootfs/usr/lib/cnb/launchers.d").mkdir(parents=True)
    code, out, err = run(capfd, b"--which", b"--root", bytes(tmp_path))
    assert (code, out) == (3, "")
    holds = f"ERROR: --root: '{tmp_path}' is not a root filesystem, but contains one: '{tmp_path}/rootfs'"
    assert err.splitlines()[0] == holds
    assert run(capfd, b"--which", b"--root", bytes(tmp_path / "rootfs"))[0] == 80


def test_metadata_that_is_not_there(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """`--which --metadata` of a file that is not there is a wrong command line, not an app without metadata."""
    code, out, err = run(capfd, b"--which", b"--metadata", bytes(tmp_path / "none.toml"))
    assert (code, out, err.splitlines()[0]) == (3, "", f"ERROR: --metadata: '{tmp_path}/none.toml' is not there")
