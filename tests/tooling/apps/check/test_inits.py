"""What inits go on to start: as the real ones do, by examples and by chance."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest
import strategies
from containers import need

from metalauncher.tooling.apps.check.inits import starts

SEARCHED = 60 if strategies.PROFILE == "quick" else 1000
INITS = {"tini": "tini-static", "dumb-init": "dumb-init", "catatonit": "catatonit"}
SHOW = """#!/bin/sh
printf '%s\\0' "$0" "$@"
"""

# A line, `PROGRAM` being what is to be started, and whether that is known to be.
LINES = {
    "tini PROGRAM": True,
    "tini PROGRAM x - y": True,
    "tini PROGRAM -x -- y": False,
    "tini PROGRAM x -g": False,
    "tini PROGRAM --": False,
    "tini -- PROGRAM -x -- y": True,
    "tini -- PROGRAM -g": True,
    "tini -s -g -- PROGRAM": True,
    "tini -sgvvw PROGRAM": True,
    "tini -gp SIGTERM PROGRAM": True,
    "tini -pSIGTERM -e 143 -e0 PROGRAM": True,
    "tini -e 255 PROGRAM": True,
    "tini -e 256 PROGRAM": False,
    "tini -p SIGNONE PROGRAM": False,
    "tini -p SIGTERM": False,
    "tini -p": False,
    "tini -h PROGRAM": False,
    "tini --help PROGRAM": False,
    "tini --s PROGRAM": False,
    "tini -Xs PROGRAM": False,
    "tini": False,
    "dumb-init PROGRAM": True,
    "dumb-init -- PROGRAM --": True,
    "dumb-init -c -v PROGRAM": True,
    "dumb-init -cv PROGRAM -c": True,
    "dumb-init --single-child --verbose -- PROGRAM": True,
    "dumb-init -r 15:3 PROGRAM": True,
    "dumb-init -cr15:0 PROGRAM": True,
    "dumb-init --rewrite 15:31 PROGRAM": True,
    "dumb-init --rewrite=2:3 --rewrite=31:10 PROGRAM": True,
    "dumb-init --rewrite=0:3 PROGRAM": False,
    "dumb-init --rewrite= 3:3 PROGRAM": False,
    "dumb-init -r 15 PROGRAM": False,
    "dumb-init --single-child= PROGRAM": False,
    "dumb-init --single-child=x PROGRAM": False,
    "dumb-init --single PROGRAM": False,
    "dumb-init -V PROGRAM": False,
    "dumb-init --rewrite": False,
    "catatonit PROGRAM": True,
    "catatonit -g PROGRAM": True,
    "catatonit -gg -- PROGRAM -g": True,
    "catatonit PROGRAM -g": False,
    "catatonit -P PROGRAM": False,
    "catatonit -V PROGRAM": False,
}


@pytest.fixture(scope="module")
def program(public: Path) -> Path:
    """Return a program that says what it was started with."""
    need("tini-static", "dumb-init", "catatonit")
    path = public / "show"
    path.write_text(SHOW)
    path.chmod(0o755)
    return path


def truth(argv: tuple[str, ...]) -> tuple[str, ...]:
    """Return what is really started; nothing where nothing is."""
    run = subprocess.run(argv, executable=_real(argv[0]), stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    return tuple(run.stdout.decode().split("\0")[:-1])


def _real(name: str) -> str:
    return f"/usr/bin/{INITS[name]}"


@pytest.mark.parametrize("line", LINES)
def test_a_line(line: str, program: Path) -> None:
    """What is known to be started is, and where nothing is known, it says so."""
    words = tuple(str(program) if word == "PROGRAM" else word for word in line.split())
    said = starts(words)
    assert bool(said) == LINES[line]
    if LINES[line]:
        assert said == truth(words) == words[words.index(str(program)) :]


@pytest.mark.parametrize("name", ["tini-static", "docker-init", "/sbin/tini", "/x/dumb-init", "./catatonit"])
def test_the_name_counts(name: str) -> None:
    """An init is known by its file's name, wherever it lies."""
    assert starts((name, "--", "web", "-x")) == ("web", "-x")
    assert starts((name, "web", "x")) == ("web", "x")
    assert starts((f"{name}2", "web")) == ()
    assert starts((f"{name}/", "web")) == ()


def test_a_dash_is_a_program() -> None:
    """A dash by itself ends the options."""
    assert starts(("dumb-init", "-", "-g")) == ("-", "-g")


WORDS = {
    "tini": (
        "-s",
        "-g",
        "-vw",
        "-gv",
        "-sp",
        "-p",
        "-e",
        "-e1",
        "-e300",
        "-pSIGHUP",
        "SIGTERM",
        "SIG",
        "1",
        "256",
        "--",
        "-h",
    ),
    "dumb-init": (
        *("-c", "-v", "-vc", "-cvr", "-r", "-r1:2", "15:3", "15:0", "32:1", "1:x", "--rewrite", "--rewrite=1:2"),
        *("--verbose", "--single-child", "--verb", "--", "-V"),
    ),
    "catatonit": ("-g", "-g", "-gg", "--", "-P", "-v"),
}


@pytest.mark.parametrize("name", INITS)
def test_any_line(name: str, program: Path) -> None:
    """Whatever stands before it: what is said to be started is."""
    known = 0
    for seed in range(SEARCHED):
        chance = random.Random(seed)
        words = [chance.choice(WORDS[name]) for _ in range(chance.choice((1, 2, 2, 3, 4)))]
        argv = (name, *words, str(program), chance.choice(("x", "x", "x", "-g", "--")))
        said = starts(argv)
        if said:
            known += said[0] == str(program)
            assert truth(argv) == (said if said[0] == str(program) else ()), argv
    assert known > SEARCHED // 12
