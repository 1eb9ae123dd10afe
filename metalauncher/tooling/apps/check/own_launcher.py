"""The launcher that an app image carries: where it is, and which one it is. Knows no run image.

Reads the layers that decide what /cnb/lifecycle/launcher is. A fleet has few different launchers: each layer is fetched
once, however many threads want it, and what was found in it is remembered by its digest.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from typing import IO, TYPE_CHECKING, Final, Literal, NamedTuple

from metalauncher.tooling.apps.check.appimage import LAUNCHER, inside
from metalauncher.tooling.apps.check.layer_map import read_shape
from metalauncher.tooling.apps.check.layer_scan import CNB, HEAD, Fact, about, refuse_many, settles
from metalauncher.tooling.apps.go_build_info import read_build_info
from metalauncher.tooling.apps.launcher_inventory import BUILD_LABEL, OwnLauncher, identify
from metalauncher.tooling.elf import has_note
from metalauncher.tooling.oci.files import open_regular
from metalauncher.tooling.oci.layer_reader import open_layer
from metalauncher.tooling.oci.model import ImageError
from metalauncher.tooling.oci.tree import Tree

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from metalauncher.tooling.apps.check.verdict import Result
    from metalauncher.tooling.apps.go_build_info import GoBuildInfo
    from metalauncher.tooling.oci.image import Image
    from metalauncher.tooling.oci.layer_reader import Member

LAUNCHER_LIMIT: Final = 64 << 20  # bytes of a launcher; lifecycle's have 2 to 5 million
_EXPANDED_FLOOR, _EXPANDED_RATIO = 256 << 20, 200  # a layer may expand to so many bytes, and so many times its size
_PIECE: Final = 1 << 18
_KEPT, _KEPT_FACTS = 4096, 64  # layers that are remembered, and members of each
_UNKNOWN: Final = "which launcher it keeps is not known"

# own: a program. run-image: a link or a script that leads to the run image. copy: of metalauncher itself.
Carries = Literal["own", "run-image", "copy"]


class Carried(NamedTuple):
    """What an app image has at /cnb/lifecycle/launcher.

    Attributes:
        kind: of what.
        path: where that is, or leads to, in the image.
        layer: number of the layer that has the file, from the lowest; -1 where no layer has it.
        size: of the file, in bytes.
    """

    kind: Carries
    path: str
    layer: int = -1
    size: int = 0


class _Read(NamedTuple):
    """What a program's bytes say."""

    digest: str | None
    info: GoBuildInfo | None
    note: str = ""


class _Layer(NamedTuple):
    """What counts of a layer: its members at and below /cnb, and of those that are programs what they say, by path."""

    facts: tuple[Fact, ...]
    programs: dict[str, _Read]


class Launchers:
    """Tells which launchers images carry, and remembers them. For several threads at once."""

    def __init__(self) -> None:
        """Begin with nothing remembered."""
        self._lock: Final = threading.Lock()
        self._locks: Final[dict[str, threading.Lock]] = {}
        self._found: Final[dict[str, _Layer]] = {}

    def find(self, image: Image) -> Carried:
        """Return what an app image has at /cnb/lifecycle/launcher.

        Raises:
            ImageError: it has nothing there, or a layer can't be read.
        """
        layers = self._read(image)
        tree = Tree()
        for number, layer in sorted(layers.items()):
            for place, fact in enumerate(layer.facts):
                tree.apply(fact, f"{number}:{place}" if fact.kind == "file" else "", number)
        end = _end(tree)
        at = tree.get(end)
        if at is None:
            if _is_ours(end):
                raise ImageError("absent", f"has no launcher: there is no {end}")
            return Carried("run-image", end)
        if at[1].kind != "file" or not at[1].content:
            raise ImageError("unsupported", f"has no launcher, but a directory or a device at {end}")
        number, place = map(int, at[1].content.split(":"))
        fact = layers[number].facts[place]
        if fact.data.startswith(b"#!"):
            return Carried("run-image", _interpreter(fact.data))
        return Carried("copy" if has_note(fact.data) else "own", f"/{fact.path}", number, fact.size)

    def identify(self, image: Image, carried: Carried) -> OwnLauncher:
        """Return which launcher it is that an image carries as a file.

        Raises:
            ImageError: its layer can't be read.
        """
        read = self._layer(image, carried.layer).programs[inside(carried.path)]
        layer = image.layers[carried.layer].blob.digest
        return describe(read.digest, read.info, carried, image.labels.get(BUILD_LABEL), layer, read.note)

    def _read(self, image: Image) -> dict[int, _Layer]:
        """Return what counts of the layers down to the one that settles it."""
        shape = read_shape(image)
        numbers = range(len(image.layers) - 1, -1, -1)
        found: dict[int, _Layer] = {}
        if shape.is_exporters and shape.config is not None and shape.launcher is not None:
            # metadata.toml lies between the process types and the launcher.
            for number in [*numbers[: len(numbers) - shape.config - 1], shape.launcher]:
                found[number] = self._layer(image, number)
            if _is_settled(found):
                return found
        for number in numbers:
            found[number] = self._layer(image, number)
            if _is_settled(found):
                break
        return found

    def _layer(self, image: Image, number: int) -> _Layer:
        key = image.layers[number].blob.digest
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:  # others that want the same one wait for it: nothing is fetched twice
            with self._lock:
                found = self._found.get(key)
            if found is None:
                found = _read_layer(image, number)
                if len(found.facts) <= _KEPT_FACTS:
                    with self._lock:
                        if len(self._found) >= _KEPT:
                            self._found.clear()
                            self._locks.clear()
                        self._found[key] = found
        return found


def _is_settled(layers: dict[int, _Layer]) -> bool:
    return settles([fact for layer in layers.values() for fact in layer.facts], LAUNCHER)


def _read_layer(image: Image, number: int) -> _Layer:
    """Read a layer to its end, so that it is held against its digest."""
    layer = image.layers[number]
    facts: list[Fact] = []
    programs: dict[str, _Read] = {}
    held = 0
    with open_layer(image.store, layer, _EXPANDED_FLOOR + _EXPANDED_RATIO * layer.blob.size) as members:
        for member in members:
            path = about(member.path)
            if path not in ("", CNB) and not path.startswith(f"{CNB}/"):
                continue
            head = member.read(HEAD) if member.kind == "file" else b""
            facts.append(Fact(member.path, member.kind, member.mode, member.size, member.target, head))
            held += len(head)
            refuse_many(len(facts), held)
            if member.kind == "file":
                programs[member.path] = _read_program(member, head)
    return _Layer(tuple(facts), programs)


def _read_program(member: Member, head: bytes) -> _Read:
    if member.size > LAUNCHER_LIMIT:
        return _Read(None, None, _too_large(member.size))
    with tempfile.TemporaryFile() as file:
        digest = hashlib.sha256()
        data = head
        while data:
            digest.update(data)
            file.write(data)
            data = member.read(_PIECE)
        return _Read(f"sha256:{digest.hexdigest()}", read_build_info(file))


def _too_large(size: int) -> str:
    return f"it has {size >> 20} MiB and was not read: at most {LAUNCHER_LIMIT >> 20} are"


def describe(
    digest: str | None, info: GoBuildInfo | None, carried: Carried, label: str | None, layer: str | None, note: str = ""
) -> OwnLauncher:
    """Return which launcher some bytes are, with where they lie."""
    found = identify(info, label)
    notes = (*found.notes, note) if note else found.notes
    return found._replace(path=carried.path, layer=layer, digest=digest, size=carried.size, notes=notes)


def _is_ours(path: str) -> bool:
    return inside(path).startswith(f"{CNB}/")


def _end(tree: Tree) -> str:
    """Return where the links from /cnb/lifecycle/launcher end, within /cnb, or the first path outside.

    Raises:
        ImageError: they go round.
    """
    path = f"/{LAUNCHER}"
    for _ in range(40):  # as the kernel's limit
        found = tree.get(path)
        if found is None or found[1].kind != "link" or not _is_ours(path):
            return path
        parent = "/" + found[0].rpartition("/")[0]
        path = "/" + inside(found[1].target if found[1].target.startswith("/") else f"{parent}/{found[1].target}")
    raise ImageError("unsupported", f"has links at /{LAUNCHER} that go round")


def _interpreter(head: bytes) -> str:
    return head.partition(b"\n")[0][2:].decode("utf-8", "replace").strip()


def add_own_launcher(result: Result, image: Image, launchers: Launchers) -> Result:
    """Return a result with the launcher that an app keeps; a note says so where that can't be told."""
    try:
        carried = launchers.find(image)
        if carried.kind == "own":
            return result._replace(own_launcher=launchers.identify(image, carried))
        reason = f"/{LAUNCHER} is not it"
    except ImageError as error:
        reason = error.reason
    return result._replace(notes=(*result.notes, f"{_UNKNOWN}: {reason}"))


def add_unpacked_launcher(result: Result, directory: str) -> Result:
    """Return a result with the launcher that an unpacked app keeps."""
    try:
        carried = find_unpacked(directory)
        if carried.kind == "own":
            return result._replace(own_launcher=read_unpacked(directory, carried))
        reason = f"/{LAUNCHER} is not it"
    except ImageError as error:
        reason = error.reason
    return result._replace(notes=(*result.notes, f"{_UNKNOWN}: {reason}"))


def find_unpacked(directory: str) -> Carried:
    """Return what an unpacked app has at /cnb/lifecycle/launcher.

    Raises:
        ImageError: it has nothing there, or what it has can't be read.
    """
    if not os.path.isdir(directory):
        raise ImageError("absent", "there is no such directory")
    place = os.path.join(directory, LAUNCHER)
    if not os.path.lexists(place):
        raise ImageError("absent", f"has no launcher: there is no /{LAUNCHER}")
    if os.path.islink(place):  # of the run image nothing is known: it lies in the same directory
        return Carried("run-image", os.readlink(place))
    with _open_unpacked(directory) as file:
        head = file.read(HEAD)
        size = file.seek(0, os.SEEK_END)
    if head.startswith(b"#!"):
        return Carried("run-image", _interpreter(head))
    return Carried("copy" if has_note(head) else "own", f"/{LAUNCHER}", -1, size)


def read_unpacked(directory: str, carried: Carried) -> OwnLauncher:
    """Return which launcher it is that an unpacked app has as a file.

    Raises:
        ImageError: it can't be read.
    """
    if carried.size > LAUNCHER_LIMIT:
        return describe(None, None, carried, None, None, _too_large(carried.size))
    with _open_unpacked(directory) as file:
        digest = hashlib.sha256()
        left = LAUNCHER_LIMIT
        while left and (data := file.read(min(_PIECE, left))):
            digest.update(data)
            left -= len(data)
        return describe(f"sha256:{digest.hexdigest()}", read_build_info(file), carried, None, None)


def _open_unpacked(directory: str) -> AbstractContextManager[IO[bytes]]:
    """Open an unpacked app's launcher, which lies in that directory and not behind a link that leads out of it."""
    place = os.path.realpath(os.path.join(directory, LAUNCHER))
    if place != os.path.join(os.path.realpath(directory), LAUNCHER):
        raise ImageError("unsupported", f"has a link on the way to /{LAUNCHER}")
    return open_regular(place)
