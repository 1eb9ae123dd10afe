"""Words that are gone from what users read stay gone: pages, help, messages, reports, what is new."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import DATA, PROJECT

LIST = DATA / "gone-words.txt"
PAGES = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *PROJECT.glob("docs/**/*.md"), *PROJECT.glob("launchers.d/*.md")]
TEXTS = [*PROJECT.glob("docs/*.1"), *(DATA / "refusals").glob("*.txt"), *PROJECT.glob("metalauncher/**/*.json")]
MODULES = [file for file in PROJECT.glob("metalauncher/**/*.py") if "compare" not in file.parts]


def gone() -> dict[str, str]:
    """Return the words that are gone, each with what to say instead."""
    lines = [line for line in LIST.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split(" | ") for line in lines)


def found(text: str) -> list[str]:
    """Return the words in a text that are gone."""
    flat = " ".join(text.lower().split())
    return [word for word in gone() if re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", flat)]


def said(module: Path) -> Iterator[str]:
    """Give the texts of a module that are not its documentation."""
    tree = ast.parse(module.read_text())
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.value
