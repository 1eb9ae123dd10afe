"""Tell a directory that is taken for a root filesystem by mistake: it holds one."""

from __future__ import annotations

import os

_TOP = (b"usr", b"etc")
_PLACES = (b"usr/lib/cnb", b"etc/cnb")
_CHILDREN_LIMIT = 1000


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
