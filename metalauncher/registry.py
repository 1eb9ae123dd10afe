"""The launchers a run image carries: `launchers.d/*.toml` -> Registry. Must not know records or refusals.

A broken descriptor is left out and kept with its reason; it never stops the others.
"""

from __future__ import annotations

import posix

from metalauncher.descriptor import MASK, InvalidValue, Launcher, Mask, parse_descriptor
from metalauncher.files import Unreadable, read_file
from metalauncher.places import IMAGE_DESCRIPTORS, OPERATOR_DESCRIPTORS
from metalauncher.toml import parse_toml

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from metalauncher.places import Root

    List = Callable[[bytes, list["InvalidDescriptor"]], list[tuple[bytes, bool]]]
    Read = Callable[[bytes, bytes, str, bool], Launcher | Mask]

# Bytes; lifecycle's own files have 800. No more: hostile TOML takes thousands of times its size in memory, and one file
# must not take so much that an app another launcher covers does not start.
DESCRIPTOR_LIMIT = 64 << 10
DANGLING = "dangling link"


class InvalidDescriptor(Exception):
    """A file, or a whole directory, of `launchers.d` that gives no launcher."""

    def __init__(self, file: str, key: str, reason: str | Unreadable, line: int | None = None) -> None:
        """Hold where and why.

        Args:
            file: its path, as opened.
            key: dotted, "" where the file as a whole is meant.
            reason: what is wrong.
            line: from 1, where the parser gave one.
        """
        super().__init__(file, key, reason)
        self.file: Final = file
        self.key: Final = key
        self._reason: Final = reason
        self.line: Final = line

    @property
    def reason(self) -> str:
        """What is wrong, in words."""
        return str(self._reason)

    def __str__(self) -> str:
        """Return `file: key: reason`, without what there is not; where there is a line, the reason has it."""
        return ": ".join(part for part in (self.file, self.key, self.reason) if part)


class Registry:
    """All descriptors in effect, and what is to be said about the others."""

    __slots__ = ("directories", "invalid", "launchers", "masked", "overridden")

    def __init__(
        self,
        launchers: tuple[Launcher, ...],
        invalid: tuple[InvalidDescriptor, ...] = (),
        masked: tuple[tuple[str, str], ...] = (),
        overridden: tuple[tuple[str, str], ...] = (),
        directories: tuple[str, ...] = (),
    ) -> None:
        """Hold what was found.

        Args:
            launchers: in effect; their order means nothing.
            invalid: left out, with the reason.
            masked: (the image's file, or "" where there is none; the operator's mask).
            overridden: (the image's file, the operator's file in its place).
            directories: that were looked in, in order of precedence.
        """
        self.launchers: Final = launchers
        self.invalid: Final = invalid
        self.masked: Final = masked
        self.overridden: Final = overridden
        self.directories: Final = directories


def load_registry(root: Root, list_: List | None = None, read: Read | None = None) -> Registry:
    """Read both descriptor directories; the operator's file replaces or masks the image's of the same name.

    Never raises for what it finds: what can't be used is in the result's `invalid`.

    Args:
        root: where the directories are.
        list_: lists one of them, as `list_descriptors` does where none is given.
        read: reads one descriptor, as `read_entry` does where none is given.
    """
    list_ = list_ or list_descriptors
    read = read or read_entry
    launchers: list[Launcher] = []
    invalid: list[InvalidDescriptor] = []
    masks: dict[bytes, str] = {}
    masked: list[tuple[str, str]] = []
    overridden: list[tuple[str, str]] = []
    replaced: dict[bytes, str] = {}
    for directory in (OPERATOR_DESCRIPTORS, IMAGE_DESCRIPTORS):
        of_operator = directory is OPERATOR_DESCRIPTORS
        for name, link in list_(root.locate(directory), invalid):
            file = root.locate(directory + b"/" + name)
            entry = root.locate(directory) + b"/" + name
            shown = _shown(entry)
            if not of_operator and name in replaced:
                overridden.append((shown, replaced[name]))
                continue
            if not of_operator and name in masks:
                masked.append((shown, masks.pop(name)))
                continue
            try:
                found = read(entry, file, shown, link)
            except InvalidDescriptor as error:
                invalid.append(error)
                continue
            if isinstance(found, Launcher):
                launchers.append(found)
                if of_operator:
                    replaced[name] = shown
            elif of_operator:
                masks[name] = shown
            else:
                masked.append((shown, shown))
    masked += [("", mask) for mask in masks.values()]
    directories = tuple([_shown(root.locate(d)) for d in (OPERATOR_DESCRIPTORS, IMAGE_DESCRIPTORS)])
    return Registry(tuple(launchers), tuple(invalid), tuple(masked), tuple(overridden), directories)


def _shown(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")


def list_descriptors(directory: bytes, invalid: list[InvalidDescriptor]) -> list[tuple[bytes, bool]]:
    """Return the names of the descriptors in a directory, sorted, each with whether it is a link.

    Args:
        directory: that need not be there.
        invalid: takes the directory itself, where it can't be read.
    """
    try:
        with posix.scandir(directory) as entries:
            return sorted([(entry.name, entry.is_symlink()) for entry in entries if is_descriptor(entry.name)])
    except OSError as error:
        if error.errno != 2:  # ENOENT: a registry need not have both
            invalid.append(InvalidDescriptor(_shown(directory), "", Unreadable(errno=error.errno)))
        return []


def is_descriptor(name: bytes) -> bool:
    """Tell whether a file of this name counts; a Kubernetes volume holds its files under "..data" and links to them."""
    return name.endswith(b".toml") and not name.startswith(b".")


def read_entry(entry: bytes, file: bytes, shown: str, link: bool) -> Launcher | Mask:  # as it was listed
    """Read what one entry of a descriptor directory says.

    Args:
        entry: its path.
        file: the path to open, links resolved in the root.
        shown: the path to name in messages.
        link: it is a symbolic link.

    Raises:
        InvalidDescriptor: it is neither a launcher's nor a mask.
    """
    return MASK if link and is_mask(entry) else read_descriptor(file, shown, link=link)


def read_descriptor(file: bytes, shown: str, *, link: bool = False) -> Launcher | Mask:
    """Read one descriptor.

    Args:
        file: the path to open.
        shown: the path to name in messages.
        link: it is a symbolic link, of which a target that is not there is said to dangle.

    Raises:
        InvalidDescriptor: it is neither a launcher's nor a mask.
    """
    try:
        data = read_file(file, DESCRIPTOR_LIMIT)
    except Unreadable as error:
        dangling = link and error.missing
        raise InvalidDescriptor(shown, "", DANGLING if dangling else error, error.line) from None
    return parse_file(data, shown)


def parse_file(data: bytes, shown: str) -> Launcher | Mask:
    """Return what the content of a descriptor's file declares.

    Raises:
        InvalidDescriptor: it is neither a launcher nor a mask.
    """
    try:
        return parse_descriptor(parse_toml(data), shown)
    except Unreadable as error:
        raise InvalidDescriptor(shown, "", error, error.line) from None
    except InvalidValue as error:
        raise InvalidDescriptor(shown, error.key, error.reason) from None


def is_mask(link: bytes) -> bool:
    """Tell whether a link says /dev/null. What is at its end does not count: `FROM scratch` may have no /dev."""
    try:
        return posix.readlink(link) == b"/dev/null"
    except OSError:  # it has gone meanwhile
        return False
