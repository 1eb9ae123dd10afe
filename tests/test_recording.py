"""The recording in the README is what its commands print today, over both forms."""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from html import escape
from pathlib import Path

import launchers
import pytest
import record
from harness import PROJECT, Form
from real_launchers import Launchers

RECORDING = PROJECT / "docs/recording.svg"


@pytest.fixture(autouse=True)
def built(real: Launchers) -> None:
    """Build the launchers that it is made with."""
    for version in launchers.QUICK:
        assert real[version].executable.exists()


def recorded(executable: Path, output: Path) -> str:
    """Return a recording that is made now."""
    subprocess.run([sys.executable, PROJECT / "tools/record.py", executable, output], check=True)
    return output.read_text()


def test_recording_is_true(form: Form, tmp_path: Path) -> None:
    """Whoever runs it again gets the same: after a change of what is printed, `make recording` makes it anew."""
    assert recorded(form.executable, tmp_path / "now.svg") == RECORDING.read_text(), "make recording"


@pytest.mark.only("python")
def test_recording_of_something_else(form: Form, tmp_path: Path) -> None:
    """A dispatcher that takes the newest launcher for each app makes another one."""
    wrong = tmp_path / "newest"
    newest = f"$METALAUNCHER_ROOT/{record.LIFECYCLE}/{record.NEWEST}/launcher"
    wrong.write_text(f'#!/bin/sh\nexec "{newest}" "$@"\n')
    wrong.chmod(0o755)
    assert form.executable.exists()
    made = recorded(wrong, tmp_path / "wrong.svg")
    assert escape(record.SCENES[-1][1]) in made
    assert made != RECORDING.read_text()


def test_recording_is_a_picture() -> None:
    """It is XML, loads nothing, runs nothing, has a title and every command, and its lines fit."""
    text = RECORDING.read_text()
    tree = ET.fromstring(text)  # noqa: S314  # our own
    space = "{http://www.w3.org/2000/svg}"
    assert tree.find(f"{space}title") is not None
    rows = ["".join(row.itertext()) for row in tree.iter(f"{space}text")]
    assert {f"$ {command}" for _, command in record.SCENES} <= set(rows)
    assert rows[-1] == "exit code 11"
    assert len(rows) <= 30
    assert max(map(len, rows)) <= record.COLUMNS
    assert not re.search(r"href|url\(|@import|<script|\x1b|/tmp", text)


def test_lines_of_a_terminal() -> None:
    """Colours last until they are changed, tabs go to the next stop, and what is too long goes on below."""
    plain, red = "", "#ff8a80"
    assert record.lines("a\tb\n\x1b[31;1mERR\nOR\x1b[0m: x\n") == [
        [(f"a{' ' * 7}b", plain)],
        [("ERR", red)],
        [("OR", red), (": x", plain)],
    ]
    long = record.lines("y" * (record.COLUMNS + 3))
    assert [len(piece.text) for row in long for piece in row] == [record.COLUMNS, 3]
    assert record.lines("\n\n") == [[], []]
