"""What stands in the pages of docs/: their blocks, and the commands in them with what these print."""

from __future__ import annotations

import re
from pathlib import Path


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
