"""What is left to be read where an app did not start: the termination message, the log as text, a dry run."""

from __future__ import annotations

import os
import socket
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Form, Image
from native import Jail, Starter, need

METADATA = '[[buildpacks]]\nid = "example/bp"\napi = "0.10"\n'
REFUSED = {"CNB_PLATFORM_API": "99.9"}


@pytest.fixture
def app(image: Image, tmp_path: Path) -> Image:
    """Return an image with lifecycle's launchers declared, one of them installed, and an app."""
    image.use_registry()
    image.install("buildpacks/lifecycle", "0.21.17", "#!/bin/sh\necho started\n")
    image.use_metadata(METADATA)
    image.environ |= {"CNB_PLATFORM_API": "0.12", "METALAUNCHER_TERMINATION_LOG": str(tmp_path / "log")}
    return image


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Return the file as Kubernetes mounts it: there, with something in it."""
    file = tmp_path / "log"
    file.write_text("words of the container before " * 400)
    return file


@pytest.mark.parametrize(
    ("variables", "exit_code"),
    [
        ({"CNB_PLATFORM_API": "x"}, 11),
        ({"CNB_PLATFORM_API": ""}, 11),
        (REFUSED, 11),
        ({"METALAUNCHER_ROOT": "/nowhere"}, 80),
        ({"METALAUNCHER_PIN": "a/b"}, 81),
        ({"METALAUNCHER_PIN": "buildpacks/lifecycle@0.17.7"}, 82),
        ({"CNB_LAYERS_DIR": "/nowhere"}, 1),
    ],
)
def test_a_refusal_is_the_termination_message(variables: dict[str, str], exit_code: int, app: Image, log: Path) -> None:
    """Its text is in the file, and nothing else is: what lay there before is gone."""
    app.environ |= variables
    done = app.dispatch()
    assert done.returncode == exit_code
    assert done.stderr.startswith("ERROR: ")
    assert log.read_text() == done.stderr


def test_a_warning_is_no_last_word(app: Image, log: Path) -> None:
    """Where a launcher runs, the file is the app's alone."""
    before = log.read_text()
    app.install("buildpacks/lifecycle", "0.17.7", "#!/bin/sh\necho second\n")
    (app.root / "usr/lib/cnb/launchers/buildpacks/lifecycle/0.21.17/launcher").unlink()
    done = app.dispatch()
    assert (done.returncode, done.stdout) == (0, "second\n")
    assert done.stderr.startswith("Warning: ")
    assert log.read_text() == before


def test_a_long_one_is_cut_at_a_line(app: Image, log: Path) -> None:
    """Kubernetes reads 4,096 bytes: what is there is whole lines of the text, from its beginning."""
    lines = "".join(f'[[buildpacks]]\nid = "example/{"x" * 400}{number}"\napi = "9.9"\n' for number in range(30))
    app.use_metadata(lines)
    done = app.dispatch()
    text = log.read_text()
    assert done.returncode == 12
    assert len(done.stderr) > 4096 >= len(text.encode()) > 3000
    assert done.stderr.startswith(text)
    assert text.endswith("\n")


def _missing(_: Path) -> None: ...


def _directory(path: Path) -> None:
    path.mkdir()


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _link(path: Path) -> None:
    path.with_name("target").write_text("untouched")
    path.symlink_to("target")


def _device(path: Path) -> None:
    path.symlink_to("/dev/full")


def _socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # a socket's path is short
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(path.name)
    finally:
        os.chdir(here)


@pytest.mark.parametrize("make", [_missing, _directory, _fifo, _link, _device, _socket])
def test_what_is_no_file_is_left_alone(make: Callable[[Path], None], app: Image, tmp_path: Path) -> None:
    """Nothing is made, followed or waited for, and the refusal is what it is without."""
    make(tmp_path / "log")
    before = {path: path.lstat().st_mode for path in tmp_path.iterdir()}
    app.environ |= REFUSED
    done = app.dispatch()
    assert (done.returncode, done.stdout) == (11, "")
    assert done.stderr.startswith("ERROR: failed to set platform API")
    assert {path: path.lstat().st_mode for path in tmp_path.iterdir()} == before
    if make is _link:
        assert (tmp_path / "target").read_text() == "untouched"


def test_a_file_that_can_only_be_read(app: Image, log: Path) -> None:
    """It is left as it is; nothing is said of it."""
    before = log.read_text()
    log.chmod(0o444)
    app.environ |= REFUSED
    done = app.dispatch()
    assert done.returncode == 11
    assert log.read_text() == (done.stderr if os.geteuid() == 0 else before)


@pytest.mark.parametrize("limit", [0, 100])
def test_a_limit_of_a_file_s_size(limit: int, app: Image, log: Path) -> None:
    """What fits is there, and nothing else; the refusal and its exit code are what they are without a limit."""
    app.environ |= REFUSED
    whole = app.dispatch()
    log.write_text("words of the container before " * 400)
    script = (
        f"import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}));"
        " os.execv(sys.argv[1], sys.argv[1:])"
    )
    done = app.run(Path(sys.executable), "-c", script, str(app.by_link()))
    assert (done.returncode, done.stderr) == (11, whole.stderr)
    assert log.read_text() == whole.stderr[:limit]


@pytest.mark.parametrize("path", ["", "relative"])
def test_no_place(path: str, app: Image, log: Path, tmp_path: Path) -> None:
    """Empty, there is none."""
    before = log.read_text()
    app.environ |= REFUSED | {"METALAUNCHER_TERMINATION_LOG": path}
    assert app.dispatch().returncode == 11
    assert log.read_text() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted({"log", *[app.root.name]})


def test_the_default_place(form: Form, public: Path, starter: Starter) -> None:
    """Unset, it is Kubernetes' own, /dev/termination-log; a set-id process does not read the variable."""
    need(starter, ("mounts",))
    jail = Jail(public / f"last-words-{form.name}", form)
    jail.use_registry()
    jail.lead("link", "web")
    place, other = jail.root / "dev/termination-log", jail.root / "other"
    place.parent.mkdir()

    def start(*environ: bytes) -> bytes:
        place.write_text("")
        other.write_text("")
        for file in (place, other):
            file.chmod(0o666)
        started = starter.start(
            "/cnb/process/web", (b"/cnb/process/web",), environ, *jail.entered(), ("user", 65534, 65534)
        )
        assert started.exit_code == 11
        return started.stderr

    api = b"CNB_PLATFORM_API=99.9"
    assert start(api) == place.read_bytes() != b""
    assert start(api, b"METALAUNCHER_TERMINATION_LOG=/other") == other.read_bytes()
    assert place.read_bytes() == b""
    if os.geteuid() or form.is_script:  # the kernel takes no set-id bit from a script
        return
    executable = jail.root / "usr/bin/metalauncher"
    executable.chmod(executable.stat().st_mode | stat.S_ISUID)
    assert start(api, b"METALAUNCHER_TERMINATION_LOG=/other") == place.read_bytes()
    assert other.read_bytes() == b""


def test_the_log_as_text(app: Image) -> None:
    """`text` is what `--which` says on stderr, and the launcher runs."""
    expected = app.which().stderr
    assert expected.startswith("launcher: buildpacks/lifecycle@0.21.17 ")
    app.environ["METALAUNCHER_LOG"] = "text"
    done = app.dispatch()
    assert (done.returncode, done.stdout, done.stderr) == (0, "started\n", expected)


def test_the_log_of_a_refusal_as_text(app: Image) -> None:
    """The reasons, and then the refusal as it is without."""
    app.environ |= REFUSED
    refusal = app.dispatch().stderr
    app.environ["METALAUNCHER_LOG"] = "text"
    done = app.dispatch()
    assert done.returncode == 11
    assert done.stderr.endswith(refusal)


DRY_RUNS = {"1": 83, "true": 83, "yes": 83, "exit0": 0}


@pytest.mark.parametrize("value", DRY_RUNS)
def test_a_dry_run(value: str, app: Image) -> None:
    """It says what would run, and ends; a job does not pass for done unless `exit0` asks for that."""
    expected = app.which().stderr
    app.environ["METALAUNCHER_DRYRUN"] = value
    done = app.dispatch("--an", "argument")
    assert (done.returncode, done.stdout, done.stderr) == (DRY_RUNS[value], "", expected)
    assert app.which().stderr == expected


@pytest.mark.parametrize("value", ["", "0", "false"])
def test_no_dry_run(value: str, app: Image) -> None:
    """What Go calls false is none."""
    app.environ["METALAUNCHER_DRYRUN"] = value
    done = app.dispatch()
    assert (done.returncode, done.stdout, done.stderr) == (0, "started\n", "")


@pytest.mark.parametrize("value", DRY_RUNS)
def test_a_dry_run_that_is_refused(value: str, app: Image, log: Path) -> None:
    """It ends with the refusal's own code and text, on stderr and in the termination log."""
    app.environ |= {"METALAUNCHER_PIN": "buildpacks/lifecycle@0.17.7"}
    refused = app.dispatch()
    app.environ |= {"METALAUNCHER_DRYRUN": value}
    done = app.dispatch()
    assert (done.returncode, done.stdout) == (82, "")
    assert refused.stderr in done.stderr
    assert log.read_text() == refused.stderr


def test_a_dry_run_as_json(app: Image) -> None:
    """The log's form holds for a dry run as well."""
    app.environ |= {"METALAUNCHER_DRYRUN": "1", "METALAUNCHER_LOG": "json"}
    done = app.dispatch()
    assert done.returncode == 83
    assert '"event": "dispatch"' in done.stderr
    assert '"dry_run": true' in done.stderr
    assert done.stderr.count("\n") == 1
