"""tools/fresh: a bare Debian for one command, of which nothing is left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import machine
import pytest
from harness import PROJECT

FRESH = PROJECT / "tools/fresh"
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="root alone can make a machine")


def placed(folder: Path) -> dict[str, str]:
    """Return the environment of a machine that lies in this folder."""
    return {**os.environ, "TMPDIR": str(folder)}


def test_what_is_passed_on() -> None:
    """Where registries are is passed on, whatever they are; nothing else is."""
    given = {
        "PIP_INDEX_URL": "https://a",
        "PIP_CERT": "/c",
        "GOPROXY": "https://b",
        "UV_INDEX_URL": "https://c",
        "https_proxy": "http://d",
        "HTTPS_PROXY": "http://d",
        "NO_PROXY": "e",
        "SSL_CERT_FILE": "/f",
        "CI": "true",
    }
    others = {
        "HOME": "/h",
        "GOFLAGS": "-x",
        "LANG": "C",
        "PATH": "/bin",
        "PYTHONPATH": "x",
        "XPIP_Y": "1",
        "TOKEN": "t",
    }
    assert machine.passed(given | others) == given


@pytest.mark.parametrize("user", [None, "somebody"])
def test_script(user: str | None) -> None:
    """The script is one that the shell takes; the command in it is what was given, quotes and all."""
    text = machine.script('echo "it\'s" $((1 + 1))', ["venv"], user)
    assert subprocess.run(["sh", "-n"], input=text, text=True, capture_output=True).stderr == ""
    assert "tools/need venv\n" in text
    assert ("setpriv --reuid=somebody" in text) == (user is not None)
    subprocess.run(["sh", "-n"], input=machine.ENTER, text=True, check=True)


def test_nobody_but_root(public: Path) -> None:
    """Anyone else is told, before anything is done."""
    command: list[str | Path] = [FRESH]
    if os.geteuid() == 0:
        for file in (FRESH, FRESH.with_name("machine.py")):  # where that user may read it
            shutil.copy(file, public)
        command = ["setpriv", "--reuid=65534", "--clear-groups", "/usr/bin/python3", public / "fresh"]
    run = subprocess.run([*command, "bookworm", "true"], capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (1, "fresh: a machine of its own can be made by root alone\n")


@root_only
@pytest.mark.thorough
def test_a_machine(tmp_path: Path) -> None:
    """It has Python, make and the tree, no compiler and no git; the exit status is the command's; nothing is left."""
    command = "python3 -V; make help; ! command -v cc git gcc; pwd; echo $$; exit 7"
    run = subprocess.run(
        [FRESH, "bookworm", command], capture_output=True, text=True, timeout=600, env=placed(tmp_path)
    )
    assert run.returncode == 7, run.stderr
    lines = run.stdout.splitlines()
    assert lines[0].startswith("Python 3.11.")
    assert any(line.startswith("make demo: ") for line in lines)
    assert lines[-2:] == ["/root/project", "1"]
    assert not list(tmp_path.iterdir())


@root_only
@pytest.mark.thorough
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_machine_that_is_ended(number: int, tmp_path: Path) -> None:
    """Whoever ends it ends all in it; what SIGKILL leaves of its files, the next one removes."""
    marker = f"{86400 + os.getpid()}.{int(number)}"
    environ = placed(tmp_path)
    process = subprocess.Popen(
        [FRESH, "bookworm", f"sleep {marker} & sleep {marker}"],
        env=environ,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
    )
    try:
        _wait(lambda: _running(marker) == 2)
        process.send_signal(number)
        assert process.wait(timeout=120) == (128 + number if number == signal.SIGTERM else -number)
        _wait(lambda: _running(marker) == 0)
    finally:
        process.kill()
        process.wait()
    if number == signal.SIGKILL:
        assert list(tmp_path.iterdir())
        subprocess.run([FRESH, "bookworm", "true"], env=environ, capture_output=True, check=True, timeout=600)
    assert not list(tmp_path.iterdir())


def _running(marker: str) -> int:
    count = 0
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            count += file.read_bytes() == f"sleep\0{marker}\0".encode()
        except OSError:
            continue
    return count


def _wait(condition: object) -> None:
    assert callable(condition)
    end = time.monotonic() + 600
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.2)
