"""Look through an app's layers for the few paths that decide about its start. Knows no labels and no launchers.

Layers stream by; of what they hold only the members at those paths are kept, as a tree takes them.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, NamedTuple

from metalauncher.tooling.oci.layer_reader import open_layer
from metalauncher.tooling.oci.model import ImageError

if TYPE_CHECKING:
    from metalauncher.tooling.oci.image import Image
    from metalauncher.tooling.oci.layer_reader import Member

HEAD: Final = 4096  # bytes of a program: a script's first line, an ELF file's headers
METADATA_LIMIT: Final = 2 << 20  # bytes of a metadata.toml, held in memory; with a [[bom]] they have 300 KB
LAYER_LIMIT: Final = 2 << 30  # bytes of a layer as it is stored, where one has to be searched
_EXPANDED_FLOOR, _EXPANDED_RATIO = 64 << 20, 200  # a layer may expand to so many bytes, and so many times its size
FACTS_LIMIT: Final = 2000  # members of an image at the paths looked for; an app has a few dozen
HELD_LIMIT: Final = 8 << 20  # bytes of an image's, held in memory: several metadata.toml one upon the other
# Of dots and brackets in a metadata.toml: parsed, each may take 1 KB (tables of dotted keys). With 300 KB of [[bom]]
# there are 16,000.
_STRUCTURE_LIMIT = 100_000
# Layers whose facts are remembered, and how many each: apps share those of their launcher and of their process types.
_REMEMBERED, _REMEMBERED_FACTS = 1024, 64

CNB: Final = "cnb"
# Where a run image has what decides (metalauncher.places): an app that changes them does not start as others do.
RUN_PLACES: Final = ("etc/cnb", "usr/lib/cnb", "usr/bin/metalauncher")
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"


class Interest(NamedTuple):
    """What is looked for.

    Attributes:
        metadata: the paths at which metadata.toml may be, without a leading slash.
        places: those of the run image, where the app's own layers must change nothing.
    """

    metadata: tuple[str, ...]
    places: tuple[str, ...] = ()

    def below(self) -> tuple[str, ...]:
        """Return the paths below which everything counts."""
        return (CNB, *self.metadata, *self.places)


class Fact(NamedTuple):
    """A member of a layer that counts; as a tree takes it (`tree.Entry`).

    Attributes:
        path: in the image.
        kind: as `Member.kind`.
        mode: permission bits.
        size: of a file.
        target: of a link.
        data: the whole metadata.toml, or a program's head.
    """

    path: str
    kind: str
    mode: int
    size: int
    target: str
    data: bytes = b""

    @property
    def owner(self) -> int:
        """Not kept: nothing asks whose an app's files are."""
        return 0

    @property
    def group(self) -> int:
        """Not kept either."""
        return 0

    @property
    def hidden(self) -> str | None:
        """Of a whiteout: the path that it hides, or below which it hides all; None of others."""
        parent, _, name = self.path.rpartition("/")
        if name == _OPAQUE:
            return parent
        if name.startswith(_WHITEOUT):
            return f"{parent}/{name.removeprefix(_WHITEOUT)}".lstrip("/")
        return None


class Search:
    """Searches layers, and remembers the small ones that many apps share. For several threads at once."""

    def __init__(self) -> None:
        """Begin with nothing remembered."""
        self._lock: Final = threading.Lock()
        self._found: Final[dict[tuple[str, Interest], tuple[Fact, ...]]] = {}

    def facts(self, image: Image, number: int, interest: Interest) -> tuple[Fact, ...]:
        """Return the members of an image's layer that count, in their order.

        Raises:
            ImageError: the layer can't be read, is damaged, or larger than a limit.
        """
        key = (image.layers[number].blob.digest, interest)
        with self._lock:
            found = self._found.get(key)
        if found is None:
            found = _search(image, number, interest)
            # A metadata.toml is each app's own, and may be large.
            if len(found) <= _REMEMBERED_FACTS and not any([fact.path in interest.metadata for fact in found]):
                with self._lock:
                    if len(self._found) >= _REMEMBERED:
                        self._found.clear()
                    self._found[key] = found
        return found


def _search(image: Image, number: int, interest: Interest) -> tuple[Fact, ...]:
    layer = image.layers[number]
    if layer.blob.size > LAYER_LIMIT:
        size = f"{layer.blob.size >> 20} MiB"
        raise ImageError("too-large", f"has a layer of {size} to search; at most {LAYER_LIMIT >> 20} are searched")
    below = interest.below()
    above = frozenset(["", *[path[:at] for path in below for at, letter in enumerate(path) if letter == "/"]])
    facts: list[Fact] = []
    held = 0
    expanded = _EXPANDED_FLOOR + _EXPANDED_RATIO * layer.blob.size
    with open_layer(image.store, layer, expanded) as members:
        for member in members:
            path = about(member.path)
            if path in above or _is_below(path, below):
                facts.append(_fact(member, interest))
                held += len(facts[-1].data)
                refuse_many(len(facts), held)
    return tuple(facts)


def refuse_many(facts: int, held: int) -> None:
    """Refuse an image of which too much would have to be held.

    Raises:
        ImageError: it has more members that count, or more bytes in them, than the limits.
    """
    if facts > FACTS_LIMIT:
        raise ImageError("too-large", f"has more than {FACTS_LIMIT} launchers and processes")
    if held > HELD_LIMIT:
        raise ImageError("too-large", f"has more than {HELD_LIMIT >> 20} MiB of metadata.toml in its layers")


def about(path: str) -> str:
    """Return the path that a member is about: a whiteout's is the one it hides."""
    parent, slash, name = path.rpartition("/")
    if name == _OPAQUE:
        return parent
    return parent + slash + name.removeprefix(_WHITEOUT)


def _is_below(path: str, places: tuple[str, ...]) -> bool:
    return any([path == place or path.startswith(place + "/") for place in places])


def _fact(member: Member, interest: Interest) -> Fact:
    data = b""
    if member.kind == "file" and member.path in interest.metadata:
        if member.size > METADATA_LIMIT:
            size = f"{member.size >> 10} KiB"
            raise ImageError("too-large", f"has a metadata.toml of {size}; {METADATA_LIMIT >> 10} are looked at")
        data = member.read(METADATA_LIMIT)
        if data.count(b".") + data.count(b"[") > _STRUCTURE_LIMIT:
            raise ImageError("too-large", "has a metadata.toml of too many tables")
    elif member.kind == "file" and _is_below(member.path, (CNB,)):
        data = member.read(HEAD)
    return Fact(member.path, member.kind, member.mode, member.size, member.target, data)


def settles(facts: list[Fact], path: str) -> bool:
    """Tell whether layers with these facts leave nothing to layers below them of what is at `path`."""
    for fact in facts:
        hidden = fact.hidden
        if hidden is not None:
            opaque = fact.path.endswith(_OPAQUE)
            if path.startswith(f"{hidden}/" if hidden else "") or (path == hidden and not opaque):
                return True
        elif fact.path == path or (fact.kind != "directory" and path.startswith(fact.path + "/")):
            return True
    return False
