"""The two launchers: from what the command line names to a file that can be started. Nothing here starts one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from metalauncher.explain.predict import locate
from metalauncher.tooling.architectures import this_architecture
from metalauncher.tooling.console import Unable, decode
from metalauncher.tooling.installed import choose
from metalauncher.tooling.launchers.bundle_source import read_source
from metalauncher.tooling.roots import on_root

if TYPE_CHECKING:
    from metalauncher.places import Root

COMMAND = "metalauncher compare --help"
_LIST = "metalauncher list"


class Side(NamedTuple):
    """One of the two.

    Attributes:
        letter: `A` or `B`.
        name: as named on the command line.
        sha256: of the executable, lower-case hex.
        file: a copy of it in the scratch directory.
    """

    letter: str
    name: str
    sha256: str
    file: str


def prepare(letter: str, name: str, root: Root, scratch: str) -> Side:
    """Find a launcher and lay a copy of it in the scratch directory.

    Args:
        letter: which of the two.
        name: a path, or `ID[@VERSION]` under the root.
        root: where installed ones are.
        scratch: an existing directory.

    Raises:
        Unable: there is no such launcher, or it can't run here.
    """
    source = name if os.path.exists(name) else _installed(name, root)
    try:
        bundle = read_source(source, this_architecture(), None)
    except Unable as error:  # it tells how to install one
        raise Unable(error.headline, need=error.need, have=error.have, do=error.do, command=COMMAND) from None
    file = f"{scratch}/{letter}"
    with open(file, "xb") as copy:
        copy.write(bundle.launcher)
    os.chmod(file, 0o755)  # noqa: S103  # it is a program
    return Side(letter, name, bundle.sha256, file)


def _installed(name: str, root: Root) -> str:
    """Return the path of an installed launcher's executable."""
    if name.startswith((".", "/")):
        raise Unable(
            f"{name}: no such file",
            need="an executable, a release's tarball, or ID[@VERSION] of an installed launcher",
            command=f"ls -l {os.path.dirname(name) or '.'}",
        )
    try:
        found = choose(root, name, on_root(_LIST, root))
    except Unable as error:
        raise Unable(
            f"{name}: there is no such file here, and no launcher of that name",
            need="an executable, a release's tarball, or ID[@VERSION] of an installed launcher",
            have=error.have,
            do=error.do,
            command=on_root(_LIST, root),
        ) from None
    launchers = {(item.launcher.id, item.launcher.version, item.launcher.path): item.launcher for item in found}
    if len(launchers) > 1:
        raise Unable(
            f"{name}: there are several",
            need="ID@VERSION of one",
            have=sorted([repr(launcher) for launcher in launchers.values()]),
            command=on_root(_LIST, root),
        )
    (launcher,) = launchers.values()
    return decode(locate(launcher, root))
