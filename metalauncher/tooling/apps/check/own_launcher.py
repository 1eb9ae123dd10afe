"""The launcher that an app image carries: where it is, and which one it is. Knows no run image and no verdict.

Reads the layers that decide what /cnb/lifecycle/launcher is, the topmost first, and of a program that layer once more:
a fleet has few different launchers, and what one is found to be is remembered by its layer's digest.
"""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING, Final, Literal, NamedTuple

from metalauncher.errnos import errno_text
from metalauncher.tooling.apps.check.app_image import CNB, AppImage, RunTree
from metalauncher.tooling.apps.check.launcher_file import LAUNCHER, LauncherFile, read_launcher_file
from metalauncher.tooling.apps.check.layer_scan import HEAD, Scanner, is_at
from metalauncher.tooling.apps.check.resolver import ENOENT, Resolver
from metalauncher.tooling.apps.check.user import ROOT
from metalauncher.tooling.apps.launcher_inventory import BUILD_LABEL, OwnLauncher, identify
from metalauncher.tooling.elf import has_note
from metalauncher.tooling.oci.files import open_regular
from metalauncher.tooling.oci.model import ImageError
from metalauncher.tooling.oci.tree import Tree

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from metalauncher.tooling.apps.check.contents import Kept
    from metalauncher.tooling.apps.check.verdict import Result
    from metalauncher.tooling.oci.image import Image

UNKNOWN: Final = "which launcher it keeps is not known"
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


def find_launcher(image: Image, scanner: Scanner) -> tuple[Carried, Kept | None]:
    """Return what an image has at /cnb/lifecycle/launcher, and the file where it is one of its own.

    Args:
        image: of an app.
        scanner: what its layers are looked through with.

    Raises:
        ImageError: it has nothing there, or a layer can't be read.
    """
    app = AppImage(image, NO_RUN_IMAGE, scanner, is_started=False)
    while True:
        tree, contents = app.merge()
        resolver = Resolver(tree, ROOT)
        place = resolver.find(f"/{LAUNCHER}")
        if not app.read_on(resolver.touched):
            break
    if place.node is None:
        if place.errno != ENOENT or is_at(place.path, CNB):
            reason = "" if place.errno == ENOENT else f": {errno_text(place.errno)}"
            raise ImageError("absent", f"has no launcher: there is no /{place.path}{reason}")
        return Carried("run-image", f"/{place.path}"), None
    if place.node.kind != "file":
        raise ImageError("unsupported", f"has no launcher, but a directory or a device at /{place.path}")
    kept = contents.of_app(place)
    if kept.fact.data.startswith(b"#!"):
        return Carried("run-image", _interpreter(kept.fact.data)), None
    kind: Carries = "copy" if has_note(kept.fact.data) else "own"
    return Carried(kind, f"/{kept.fact.path}", kept.layer, kept.fact.size), kept


def _interpreter(head: bytes) -> str:
    return head.partition(b"\n")[0][2:].decode("utf-8", "replace").strip()


def describe(file: LauncherFile, carried: Carried, label: str | None = None) -> OwnLauncher:
    """Return which launcher some bytes are, with where they lie, but for the layer."""
    found = identify(file.info, label)
    notes = (*found.notes, file.note) if file.note else found.notes
    return found._replace(path=carried.path, digest=file.digest, size=carried.size, notes=notes)


def describe_kept(image: Image, kept: Kept) -> OwnLauncher | None:
    """Return which launcher a program of an app image is; None of one that lies elsewhere than launchers do."""
    if kept.fact.program is None:
        return None
    carried = Carried("own", f"/{kept.fact.path}", kept.layer, kept.fact.size)
    layer = image.layers[kept.layer]
    found = describe(kept.fact.program, carried, image.labels.get(BUILD_LABEL))
    return found._replace(layer=layer.blob.digest, diff_id=layer.diff_id or None)


def add_unpacked_launcher(result: Result, directory: str) -> Result:
    """Return a result with the launcher that an unpacked app keeps."""
    try:
        carried = find_unpacked(directory)
        if carried.kind == "own":
            return result._replace(own_launcher=read_unpacked(directory, carried))
        reason = f"/{LAUNCHER} is not it"
    except ImageError as error:
        reason = error.reason
    return result._replace(notes=(*result.notes, f"{UNKNOWN}: {reason}"))


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
    with _open_unpacked(directory) as file:
        return describe(read_launcher_file(file.read, file.read(HEAD), carried.size), carried)


def _open_unpacked(directory: str) -> AbstractContextManager[IO[bytes]]:
    """Open an unpacked app's launcher, which lies in that directory and not behind a link that leads out of it."""
    place = os.path.realpath(os.path.join(directory, LAUNCHER))
    if place != os.path.join(os.path.realpath(directory), LAUNCHER):
        raise ImageError("unsupported", f"has a link on the way to /{LAUNCHER}")
    return open_regular(place)
