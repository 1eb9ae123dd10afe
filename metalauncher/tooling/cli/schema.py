"""`metalauncher schema`: the JSON Schemas of descriptors and of what the commands print, for editors and programs."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import Namespace

    from metalauncher.places import Root
    from metalauncher.tooling.console import Console


def text(name: str) -> str:
    """Return the schema of that name."""
    return (files("metalauncher") / "schemas" / f"{name}.schema.json").read_text(encoding="utf-8")


def run(options: Namespace, root: Root, console: Console) -> int:
    """Print; return 0."""
    del root
    console.text(text(options.name))
    return 0
