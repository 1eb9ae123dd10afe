"""Look through one layer for the places that decide about a start. Knows no labels and no launchers.

A layer streams by; of what it holds only the members at those places are kept, as a tree takes them, and of the others
as much as tells whether they could lead to such a place: where there are links, and which directories have members.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, NamedTuple

from metalauncher.tooling.apps.check.launcher_file import LAUNCHER, read_launcher_file
from metalauncher.tooling.elf import has_note
from metalauncher.tooling.oci.layer_reader import open_layer
from metalauncher.tooling.oci.model import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from metalauncher.tooling.apps.check.launcher_file import LauncherFile
    from metalauncher.tooling.oci.image import Image
    from metalauncher.tooling.oci.layer_reader import Member

HEAD: Final = 4096  # bytes of a program: a script's first line, an ELF file's headers
WHOLE_LIMIT: Final = 2 << 20  # bytes of a file that is kept whole; a metadata.toml with a [[bom]] has 300 KB
LAYER_LIMIT: Final = 2 << 30  # bytes of a layer as it is stored, where one has to be searched
_EXPANDED_FLOOR, _EXPANDED_RATIO = 64 << 20, 200  # a layer may expand to so many bytes, and so many times its size
FACTS_LIMIT: Final = 2000  # members of an image at the places looked for; an app has a few dozen
HELD_LIMIT: Final = 8 << 20  # bytes of an image's, held in memory: several metadata.toml one upon the other
NAMES_LIMIT: Final = 200_000  # links, and directories, of a layer; node_modules have 50,000
# Scans that are remembered, and how much each may hold: apps share the layers of their launcher and process types.
_REMEMBERED, _REMEMBERED_FACTS, _REMEMBERED_NAMES, _REMEMBERED_BYTES = 1024, 64, 256, 64 << 10

_LAUNCHERS = LAUNCHER.rpartition("/")[0] + "/"
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"


class Interest(NamedTuple):
    """What is looked for; all paths without a leading slash.

    Attributes:
        places: real paths.
        below: directories of which all that they hold counts.
        whole: files of which the whole content is kept, and not only the head.
    """

    places: frozenset[str]
    below: frozenset[str] = frozenset()
    whole: frozenset[str] = frozenset()

    def holds(self, path: str) -> bool:
        """Tell whether what lies at a path counts."""
        return path in self.places or not self.below.isdisjoint(ancestors(path))


class Fact(NamedTuple):
    """A member of a layer that counts; as a tree takes it (`tree.Entry`).

    Attributes:
        path: in the image.
        kind: as `Member.kind`.
        mode: permission bits.
        size: of a file, in bytes.
        target: of a link.
        owner: the number of the user it belongs to.
        group: that of the group.
        data: a file's content, or its head.
        program: what a program says that lies where launchers do.
    """

    path: str
    kind: str
    mode: int
    size: int
    target: str
    owner: int = 0
    group: int = 0
    data: bytes = b""
    program: LauncherFile | None = None


class Settled(NamedTuple):
    """The places of which a layer leaves nothing to layers below it.

    Attributes:
        own: these by themselves.
        covered: these, and all below them.
        emptied: all below these.
    """

    own: frozenset[str]
    covered: frozenset[str]
    emptied: frozenset[str]

    def holds(self, path: str, above: Sequence[str]) -> bool:
        """Tell whether what is at a path, or may be there, is settled; `above` are its `ancestors`."""
        return path in self.own or not (self.covered.isdisjoint(above) and self.emptied.isdisjoint(above[1:]))


class Scan(NamedTuple):
    """What was found in one layer.

    Attributes:
        facts: the members that count, in their order.
        links: the paths of all symbolic links.
        folders: every directory that a member lies in, by its name in the layer, and those above them.
        size: bytes of the layer as it is stored.
        doubts: of what unpackers make different things, by itself: the place, "" for the whole image, and the reason.
        settled: the places that the facts settle.
        held: bytes of the facts' contents.
    """

    facts: tuple[Fact, ...]
    links: frozenset[str]
    folders: frozenset[str]
    size: int
    doubts: tuple[tuple[str, str], ...]
    settled: Settled
    held: int


class Scanner:
    """Scans layers, and remembers the small ones that many apps share. For several threads at once."""

    def __init__(self) -> None:
        """Begin with nothing remembered."""
        self._lock: Final = threading.Lock()
        self._found: Final[dict[tuple[str, Interest], Scan]] = {}
        self._locks: Final[dict[tuple[str, Interest], threading.Lock]] = {}

    def scan(self, image: Image, number: int, interest: Interest) -> Scan:
        """Return what a layer has at the places looked for.

        Raises:
            ImageError: the layer can't be read, is damaged, not of its digests, or larger than a limit.
        """
        key = (image.layers[number].blob.digest + image.layers[number].diff_id, interest)
        with self._lock:
            if len(self._locks) >= _REMEMBERED:
                self._locks.clear()
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:  # others that want the same one wait for it: nothing is fetched twice
            with self._lock:
                found = self._found.get(key)
            if found is None:
                found = _scan(image, number, interest)
                if _is_small(found):
                    with self._lock:
                        if len(self._found) >= _REMEMBERED:
                            self._found.clear()
                        self._found[key] = found
        return found


def _is_small(scan: Scan) -> bool:
    return (
        len(scan.facts) <= _REMEMBERED_FACTS
        and len(scan.links) + len(scan.folders) <= _REMEMBERED_NAMES
        and scan.held <= _REMEMBERED_BYTES
    )


def _scan(image: Image, number: int, interest: Interest) -> Scan:
    layer = image.layers[number]
    if layer.blob.size > LAYER_LIMIT:
        size = f"{layer.blob.size >> 20} MiB"
        raise ImageError("too-large", f"has a layer of {size} to search; at most {LAYER_LIMIT >> 20} are searched")
    facts: list[Fact] = []
    links: set[str] = set()
    folders: set[str] = set()
    doubts: dict[tuple[str, str], None] = {}
    held = 0
    expanded = _EXPANDED_FLOOR + _EXPANDED_RATIO * layer.blob.size
    with open_layer(image.store, layer, expanded, diff_id=True) as members:
        for member in members:
            folder = member.path.rpartition("/")[0]
            if folder not in folders:
                folders.update(ancestors(folder))
            if member.doubt is not None and (not member.doubt[0] or interest.holds(member.doubt[0])):
                doubts[member.doubt] = None
            if member.kind == "link":
                links.add(member.path)
            if len(links) + len(folders) + len(doubts) > NAMES_LIMIT:
                raise ImageError("too-large", f"has a layer with more than {NAMES_LIMIT} links and directories")
            if interest.holds(about(member.path)):
                facts.append(_fact(member, interest))
                held += len(facts[-1].data)
                refuse_many(len(facts), held)
    return scan_of(facts, links, folders, layer.blob.size, doubts)


def scan_of(
    facts: Iterable[Fact],
    links: Iterable[str] = (),
    folders: Iterable[str] = (),
    size: int = 0,
    doubts: Iterable[tuple[str, str]] = (),
) -> Scan:
    """Return what was found in a layer, with what follows from it; the arguments are as the attributes."""
    found = tuple(facts)
    held = sum([len(fact.data) for fact in found])
    return Scan(found, frozenset(links), frozenset(folders), size, tuple(doubts), settled_by(found), held)


def refuse_many(facts: int, held: int) -> None:
    """Refuse an image of which too much would have to be held.

    Raises:
        ImageError: it has more members that count, or more bytes in them, than the limits.
    """
    if facts > FACTS_LIMIT:
        raise ImageError("too-large", f"has more than {FACTS_LIMIT} launchers and processes")
    if held > HELD_LIMIT:
        raise ImageError("too-large", f"has more than {HELD_LIMIT >> 20} MiB of metadata.toml in its layers")


def ancestors(path: str) -> list[str]:
    """Return a path and all directories above it, the root, "", included."""
    return [path, *[path[:at] for at, letter in enumerate(path) if letter == "/"], ""]


def is_at(path: str, place: str) -> bool:
    """Tell whether a path is a place, or lies below it."""
    return path == place or path.startswith(place + "/")


def about(path: str) -> str:
    """Return the path that a member is about: a whiteout's is the one it hides."""
    parent, slash, name = path.rpartition("/")
    if name == _OPAQUE:
        return parent
    return parent + slash + name.removeprefix(_WHITEOUT)


def _fact(member: Member, interest: Interest) -> Fact:
    data, program = b"", None
    if member.kind == "file":
        data = member.read(WHOLE_LIMIT + 1 if member.path in interest.whole else HEAD)
        if member.path.startswith(_LAUNCHERS) and data.startswith(b"\x7fELF") and not has_note(data):
            program = read_launcher_file(member.read, data, member.size)
    return Fact(
        *(member.path, member.kind, member.mode, member.size, member.target),
        owner=member.owner,
        group=member.group,
        data=data,
        program=program,
    )


def hidden(fact: Fact) -> tuple[str, bool] | None:
    """Return what a whiteout hides: a path, and whether only what lies below it; None of other members."""
    parent, slash, name = fact.path.rpartition("/")
    if name == _OPAQUE:
        return parent, True
    if name.startswith(_WHITEOUT):
        return parent + slash + name.removeprefix(_WHITEOUT), False
    return None


def settled_by(facts: tuple[Fact, ...]) -> Settled:
    """Return what a layer with these members leaves nothing of to layers below it."""
    own: set[str] = set()
    covered: set[str] = set()
    emptied: set[str] = set()
    for fact in facts:
        gone = hidden(fact)
        if gone is None:
            (own if fact.kind == "directory" or not fact.path else covered).add(fact.path)
        elif gone[1]:
            emptied.add(gone[0])
            own.update([""] * (not gone[0]))  # of an opaque root directory nothing is left
        else:
            covered.add(gone[0])
    return Settled(frozenset(own), frozenset(covered), frozenset(emptied))
