"""The launcher that an app image carries: where it is, and which one it is. Knows no run image and no verdict.

Reads the layers that decide what /cnb/lifecycle/launcher is, the topmost first, and of a program that layer once more:
a fleet has few different launchers, and what one is found to be is remembered by its layer's digest.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from typing import IO, TYPE_CHECKING, Final, Literal, NamedTuple

from metalauncher.errnos import errno_text
from metalauncher.tooling.apps.check.app_image import CNB, AppImage, RunTree
from metalauncher.tooling.apps.check.layer_scan import HEAD, Scanner, is_at
from metalauncher.tooling.apps.check.resolver import ENOENT, Resolver
from metalauncher.tooling.apps.check.user import ROOT
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

LAUNCHER: Final = "cnb/lifecycle/launcher"
LAUNCHER_LIMIT: Final = 64 << 20  # bytes of a launcher; lifecycle's have 2 to 5 million
_EXPANDED_FLOOR, _EXPANDED_RATIO = 256 << 20, 200  # a layer may expand to so many bytes, and so many times its size
_PIECE: Final = 1 << 18
_KEPT: Final = 4096  # launchers that are remembered
_UNKNOWN: Final = "which launcher it keeps is not known"
NO_RUN_IMAGE: Final = RunTree(Tree(), frozenset())  # no run image lies below

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


def find_launcher(image: Image, scanner: Scanner) -> Carried:
    """Return what an image has at /cnb/lifecycle/launcher.

    Args:
        image: of an app.
        scanner: what its layers are looked through with.

    Raises:
        ImageError: it has nothing there, or a layer can't be read.
    """
    app = AppImage(image, NO_RUN_IMAGE, scanner)
    while True:
        tree, contents = app.merge()
        resolver = Resolver(tree, ROOT)
        place = resolver.find(f"/{LAUNCHER}")
        if not app.read_on(resolver.touched):
            break
    if place.node is None:
        if place.errno != ENOENT or is_at(place.path, CNB):
            raise ImageError("absent", f"has no launcher: /{place.path}: {errno_text(place.errno)}")
        return Carried("run-image", f"/{place.path}")
    if place.node.kind != "file":
        raise ImageError("unsupported", f"has no launcher, but a directory or a device at /{place.path}")
    kept = contents.of_app(place)
    if kept.fact.data.startswith(b"#!"):
        return Carried("run-image", _interpreter(kept.fact.data))
    kind: Carries = "copy" if has_note(kept.fact.data) else "own"
    return Carried(kind, f"/{kept.fact.path}", kept.layer, kept.fact.size)


def _interpreter(head: bytes) -> str:
    return head.partition(b"\n")[0][2:].decode("utf-8", "replace").strip()


def add_own_launcher(result: Result, image: Image, scanner: Scanner, launchers: Launchers) -> Result:
    """Return a result with the launcher that an app keeps; a note says so where that can't be told."""
    try:
        carried = find_launcher(image, scanner)
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


class _Read(NamedTuple):
    """What a launcher's bytes say."""

    digest: str | None
    info: GoBuildInfo | None
    note: str = ""


class Launchers:
    """Tells which launchers images carry, and remembers them. For several threads at once."""

    def __init__(self) -> None:
        """Begin with nothing remembered."""
        self._lock: Final = threading.Lock()
        self._locks: Final[dict[tuple[str, str], threading.Lock]] = {}
        self._found: Final[dict[tuple[str, str], _Read]] = {}

    def identify(self, image: Image, carried: Carried) -> OwnLauncher:
        """Return which launcher it is that an image carries as a file.

        Raises:
            ImageError: its layer can't be read.
        """
        layer = image.layers[carried.layer].blob.digest
        key = layer, carried.path
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:  # others that want the same one wait for it; nothing is fetched twice
            read = self._found.get(key)
            if read is None:
                read = _read_program(image, carried)
                with self._lock:
                    if len(self._found) >= _KEPT:
                        self._found.clear()
                        self._locks.clear()
                    self._found[key] = read
        return describe(read.digest, read.info, carried, image.labels.get(BUILD_LABEL), layer, read.note)


def describe(
    digest: str | None, info: GoBuildInfo | None, carried: Carried, label: str | None, layer: str | None, note: str = ""
) -> OwnLauncher:
    """Return which launcher some bytes are, with where they lie."""
    found = identify(info, label)
    notes = (*found.notes, note) if note else found.notes
    return found._replace(path=carried.path, layer=layer, digest=digest, size=carried.size, notes=notes)


def _too_large(size: int) -> str:
    return f"it has {size >> 20} MiB and was not read: at most {LAUNCHER_LIMIT >> 20} are"


def _read_program(image: Image, carried: Carried) -> _Read:
    """Read a launcher out of its layer, to the layer's end, so that it is held against its digest."""
    if carried.size > LAUNCHER_LIMIT:
        return _Read(None, None, _too_large(carried.size))
    layer = image.layers[carried.layer]
    expanded = _EXPANDED_FLOOR + _EXPANDED_RATIO * layer.blob.size
    with tempfile.TemporaryFile() as file:
        digest = hashlib.sha256()
        with open_layer(image.store, layer, expanded) as members:
            for member in members:
                if member.path == carried.path.lstrip("/") and member.kind == "file":
                    digest = hashlib.sha256()
                    file.seek(0)
                    file.truncate()
                    left = min(member.size, LAUNCHER_LIMIT)
                    while left and (data := member.read(min(_PIECE, left))):
                        file.write(data)
                        digest.update(data)
                        left -= len(data)
        return _Read(f"sha256:{digest.hexdigest()}", read_build_info(file))


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
