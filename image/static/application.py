"""Which of the package's modules the dispatching forms hold: all but the tooling's."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def application_sources(package: Path) -> list[Path]:
    """Return the source files that dispatch, and those that explain it, in an order that no file system decides."""
    return sorted([*package.glob("*.py"), *package.glob("explain/*.py")])


def module_name(package: Path, source: Path) -> str:
    """Return a module's dotted name: `metalauncher.explain.which`; of `__init__.py` the package's own."""
    parts = source.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
