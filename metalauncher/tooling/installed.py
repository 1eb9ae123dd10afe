"""What is installed under a root: every descriptor of both directories, also those that another one overrides."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from metalauncher.descriptor import Launcher
from metalauncher.places import IMAGE_DESCRIPTORS, LAUNCHERS, OPERATOR_DESCRIPTORS
from metalauncher.registry import InvalidDescriptor, list_descriptors, read_descriptor
from metalauncher.tooling.console import Unable, decode
from metalauncher.tooling.pep440 import matching
from metalauncher.tooling.reading import ReadError, open_regular
from metalauncher.tooling.suggest import did_you_mean

if TYPE_CHECKING:
    from metalauncher.places import Root

DIRECTORIES = {"etc": OPERATOR_DESCRIPTORS, "usr": IMAGE_DESCRIPTORS}


class Installed(NamedTuple):
    """A valid descriptor.

    Attributes:
        into: `etc` or `usr`.
        directory: where it lies, as opened.
        name: its file's.
        launcher: what it declares.
    """

    into: str
    directory: bytes
    name: bytes
    launcher: Launcher

    @property
    def file(self) -> bytes:
        """The descriptor's path."""
        return self.directory + b"/" + self.name


def installed(root: Root) -> list[Installed]:
    """Return the valid descriptors of both directories, the operator's first, sorted by name."""
    found: list[Installed] = []
    ignored: list[InvalidDescriptor] = []
    for into, place in DIRECTORIES.items():
        directory = root.locate(place)
        for name, link in list_descriptors(directory, ignored):
            file = root.locate(place + b"/" + name) if root.whole and link else directory + b"/" + name
            try:
                launcher = read_descriptor(file, decode(directory + b"/" + name), link=link)
            except InvalidDescriptor:
                continue
            if isinstance(launcher, Launcher):
                found.append(Installed(into, directory, name, launcher))
    return found


def choose(root: Root, name: str | None, command: str) -> list[Installed]:
    """Return the descriptors of `ID`, `ID@VERSION` or `ID@RANGE`, of all for None.

    Raises:
        Unable: there is none.
    """
    everything = installed(root)
    if name is None:
        return everything
    identifier, at, version = name.partition("@")
    found = [item for item in everything if item.launcher.id == identifier]
    if at:
        try:
            meant = matching(version, [item.launcher.version for item in found])
        except ValueError:
            meant = []
        found = [item for item in found if item.launcher.version in meant]
    if not found:
        have = sorted({repr(item.launcher) for item in everything})
        raise Unable(
            f"there is no launcher {name!r}",
            need="ID or ID@VERSION of one that a valid descriptor declares",
            do=did_you_mean(name, [text if at else text.partition("@")[0] for text in have]),
            have=have
            or [f"no valid descriptor in {' or '.join([decode(root.locate(d)) for d in DIRECTORIES.values()])}"],
            command=command,
        )
    return found


def digest_of(path: bytes) -> str | None:
    """Return the sha256 of the regular file at `path`, lower-case hex; None if it can't be read."""
    try:
        with open_regular(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # a BufferedReader, which typeshed wants more of
    except ReadError:
        return None


def own_folder(launcher: Launcher) -> str:
    """Return the folder, inside the image, that belongs to this launcher alone."""
    return f"{LAUNCHERS}/{launcher.id}/{launcher.version}"


def is_own(launcher: Launcher) -> bool:
    """Tell whether the executable lies in the launcher's own folder, where `bundle` may remove it."""
    return launcher.path.startswith(own_folder(launcher) + "/")
