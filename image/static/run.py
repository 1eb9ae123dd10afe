"""Runs the commands of the build."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class BuildError(Exception):
    """A command of the build failed."""


def run(command: list[str], folder: Path | None = None, log: Path | None = None, **variables: str) -> str:
    """Run a command and return its output; if it fails, that ends up in the message.

    Args:
        command: the program and its arguments.
        folder: the working directory.
        log: where its output is written as well.
        variables: of its environment, beside the few that every command gets.
    """
    environment = {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "HOME": os.environ.get("HOME", "/"),
        "LC_ALL": "C",
        "SOURCE_DATE_EPOCH": "0",
        "PYTHONHASHSEED": "0",
        **variables,
    }
    done = subprocess.run(command, cwd=folder, env=environment, check=False, capture_output=True, text=True)
    said = done.stdout + done.stderr
    if log is not None:
        log.write_text(said)
    if done.returncode != 0:
        tail = "\n".join(said.splitlines()[-30:])
        raise BuildError(f"failed: {' '.join(command)}\n{tail}")
    return said
