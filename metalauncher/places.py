"""Fixed paths in a run image, and the root under which to look. Must not know what is at them.

Paths are bytes: what the kernel is given must not depend on a locale.
"""

from __future__ import annotations

import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

OPERATOR_DESCRIPTORS = b"/etc/cnb/launchers.d"
IMAGE_DESCRIPTORS = b"/usr/lib/cnb/launchers.d"
LAUNCHERS = "/usr/lib/cnb/launchers"
EXECUTABLE = "/usr/bin/metalauncher"
LAYERS = b"/layers"  # CNB_LAYERS_DIR's default (spec platform.md, launcher inputs)
PROCESSES = b"/cnb/process"

_LINKS_LIMIT = 40  # as the kernel's
_PATH_MAX = 4096


class Root:
    """Maps a path of the image to the path to open.

    There are three: the image as it is; `METALAUNCHER_ROOT`, which moves metalauncher's own places only, because the
    launcher will use `CNB_LAYERS_DIR` as it is; and a whole unpacked root filesystem (`--root`), where the layers lie
    inside too and a link's absolute target means a path inside.
    """

    __slots__ = ("prefix", "whole")

    def __init__(self, prefix: bytes = b"", *, whole: bool = False) -> None:
        """Take the directory that stands for `/`, without a trailing slash, and whether everything lies under it."""
        self.prefix: Final = prefix.rstrip(b"/")
        self.whole: Final = whole

    def locate(self, path: bytes) -> bytes:
        """Return where the image's `path`, one of metalauncher's own places, is to be opened."""
        if not self.whole:
            return self.prefix + path
        return _resolve_inside(self.prefix, path)

    def locate_layers(self, path: bytes) -> bytes:
        """Return where a path below `CNB_LAYERS_DIR` is to be opened."""
        return _resolve_inside(self.prefix, path) if self.whole else path


def root_from(environment: Mapping[bytes, bytes]) -> Root:
    """Return the root that `METALAUNCHER_ROOT` names.

    Ignored where it is not absolute (the working directory configures nothing), and in a set-id process: there the
    environment is somebody else's.
    """
    prefix = environment.get(b"METALAUNCHER_ROOT", b"")
    if not prefix.startswith(b"/") or posix.getuid() != posix.geteuid() or posix.getgid() != posix.getegid():
        return Root()
    return Root(prefix)


def _resolve_inside(root: bytes, path: bytes) -> bytes:
    """Resolve every link of `path` as if `root` were `/`; the result has none left, and so can't lead outside."""
    if len(path) >= _PATH_MAX:  # the kernel refuses it whole; link by link it would take for ever
        return root + path
    done: list[bytes] = []
    todo = [part for part in reversed(path.split(b"/")) if part not in (b"", b".")]
    links = 0
    while todo:
        part = todo.pop()
        if part == b"..":
            del done[-1:]
            continue
        done.append(part)
        here = b"/".join((root, *done))
        if len(here) >= _PATH_MAX:  # links made it so long: it can't be opened, whatever follows
            return here
        try:
            target = posix.readlink(here)
        except OSError:  # not a link, or not there: opening it will tell
            continue
        links += 1
        if links > _LINKS_LIMIT:  # a link left in the result would lead outside: a name that no file can have
            return root + b"/" + b"(too many levels of symbolic links)".ljust(256, b".")
        done = [] if target.startswith(b"/") else done[:-1]
        todo += [part for part in reversed(target.split(b"/")) if part not in (b"", b".")]
    return b"/".join((root, *done))
