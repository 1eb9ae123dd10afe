"""Roots as people name them: commands to run next keep to one, and a directory may be taken for one by mistake."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from metalauncher.tooling.console import decode

if TYPE_CHECKING:
    from metalauncher.places import Root

_TOP = (b"usr", b"etc")
_PLACES = (b"usr/lib/cnb", b"etc/cnb")
_CHILDREN_LIMIT = 1000


def on_root(command: str, root: Root) -> str:
    """Return `command` for this root: what is copied and run must not act on another one, the machine's own."""
    return f"{command} --root {shlex.quote(decode(root.prefix))}" if root.whole and root.prefix else command


def root_within(directory: bytes) -> bytes | None:
    """Return the only root filesystem right below a directory that is none itself: a bundle's rootfs; else None.

    Args:
        directory: as it was named.
    """
    if any(os.path.isdir(os.path.join(directory, name)) for name in _TOP):
        return None
    try:
        children = sorted(os.listdir(directory))[:_CHILDREN_LIMIT]
    except OSError:
        return None  # opening it will tell
    found = [child for child in children if _is_root(os.path.join(directory, child))]
    return os.path.join(directory, found[0]) if len(found) == 1 else None


def _is_root(directory: bytes) -> bool:
    return any(os.path.isdir(os.path.join(directory, place)) for place in _PLACES) or all(
        os.path.isdir(os.path.join(directory, name)) for name in _TOP
    )
