"""What stands in the pages of docs/: their blocks, and the commands in them with what these print."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from harness import PROJECT


def blocks(page: Path, language: str) -> list[str]:
    """Return the fenced blocks of that language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def commands(page: Path) -> list[tuple[str, list[str]]]:
    """Return the commands of a page's console blocks, in order, each with what is shown of its output."""
    found: list[tuple[str, list[str]]] = []
    for block in blocks(page, "console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            lines = part.splitlines()
            # A command goes on in indented lines where a line says so.
            end = next(number for number, line in enumerate(lines) if not line.endswith(("\\", "|")))
            found.append(("\n".join(lines[: end + 1]), lines[end + 1 :]))
    return found


def agrees(shown: list[str], said: list[str]) -> bool:
    """Tell whether output is as shown: `…` in a line stands for some text, `…` alone for any number of lines."""
    pattern = "".join(
        [r"(?:.*\n)*?" if line.strip() == "…" else re.escape(line).replace("…", ".*") + r"\n" for line in shown]
    )
    return re.fullmatch(pattern, "".join(line + "\n" for line in said)) is not None


def follow(page: Path, folder: Path, names: Mapping[str, str] = MappingProxyType({}), *, outputs: bool = True) -> int:
    """Run a page's commands, one after another, in one directory: each does what the page shows.

    Args:
        page: whose console blocks are run.
        folder: an empty one to run them in, or one with the files that they name.
        names: in the page, such as a registry's, each with what stands for it here.
        outputs: whether the page shows what the commands print.

    Returns:
        How many commands there are.
    """
    tools = folder / "tools"
    tools.mkdir()
    (tools / "metalauncher").write_text(f'#!/bin/sh\nexec {sys.executable} -m metalauncher "$@"\n')
    (tools / "metalauncher").chmod(0o755)
    environ = {"PATH": f"{tools}:/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": str(PROJECT), "HOME": str(folder)}
    found = [each for each in commands(page) if not each[0].startswith("make ")]
    for command, shown in found:
        line = command
        for name, here in names.items():
            line = line.replace(name, here)
        run = subprocess.run(
            ["bash", "-o", "pipefail", "-c", line],
            cwd=folder,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )
        assert run.returncode == 0, f"{command}\n{run.stdout}"
        said = run.stdout
        for name, here in names.items():
            said = said.replace(here, name)
        hidden = not shown and (not outputs or command.startswith("umoci"))
        assert hidden or agrees(shown, said.splitlines()), f"{command}\n{said}"
    return len(found)
