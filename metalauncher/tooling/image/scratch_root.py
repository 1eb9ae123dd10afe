"""Lay out in a scratch root what metalauncher brings to a run image, on what its base has of it already.

The scratch root has the base's own links and directories as far as metalauncher's places lead through them, so that
the bundles are installed by the code of `bundle add`. What is new in it makes the layer.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

from metalauncher.places import EXECUTABLE, Root
from metalauncher.tooling.console import Unable
from metalauncher.tooling.elf import HEAD, inspect
from metalauncher.tooling.image.executable import SIZE_LIMIT
from metalauncher.tooling.image.own_layers import ReadBase, read_layers
from metalauncher.tooling.image.parts import for_another
from metalauncher.tooling.launchers import bundle
from metalauncher.tooling.launchers.bundle_source import WrongArchitecture
from metalauncher.tooling.oci.layer_writer import Entry
from metalauncher.tooling.oci.materialise import materialise
from metalauncher.tooling.oci.tree import Tree
from metalauncher.tooling.reading import ReadError, open_regular, read_regular
from metalauncher.tooling.run_image.labels import ENTRYPOINT
from metalauncher.tooling.sbom.contents import CONTENTS
from metalauncher.tooling.sbom.files import SHIM, SHIM_TEXT, image_files
from metalauncher.tooling.writing import make_directories, write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from metalauncher.registry import Registry
    from metalauncher.tooling.console import Console
    from metalauncher.tooling.image.executable import Executable
    from metalauncher.tooling.oci.image import Image

PLACES: Final = ("usr/bin/metalauncher", "usr/lib/cnb", "etc/cnb")
_COMMAND = "metalauncher image --help"
_REBUILD = (
    "give a rebuild a version of its own: `version` under [lifecycle] in the lifecycle.toml of its bundle;"
    " or build without the old one, from the base"
)


class Scratch:
    """The scratch root, and what of it was in the base."""

    def __init__(self, base: ReadBase, folder: str) -> None:
        """Lay out what the base has at metalauncher's places.

        Args:
            base: as it was read.
            folder: an empty directory.
        """
        self._base: Final = base
        self._tree: Final = base.tree
        self._folder: Final = folder
        self.root: Final = Root(os.fsencode(folder), whole=True)
        materialise(base.tree, PLACES, folder)
        self._before: Final = {path: _identity(os.path.join(folder, path)) for path in self._walk()}
        self.replaced: Final = base.own if self._has_all_of_own() else 0

    def _has_all_of_own(self) -> bool:
        """Tell whether all that an earlier metalauncher's layers brought is here, so that the new layer can hold it."""
        own = [(path, node) for path, node in self._tree.walk() if self._base.is_own(node)]
        return not self._base.hides and all(
            [
                path in self._before and not node.owner and not node.group and node.size <= SIZE_LIMIT
                for path, node in own
            ]
        )

    def _walk(self) -> Iterator[str]:
        for folder, directories, files in os.walk(self._folder):
            for name in (*directories, *files):
                yield os.path.relpath(os.path.join(folder, name), self._folder)

    def install(
        self,
        executable: Executable,
        bundles: Iterable[str],
        architecture: str,
        created: datetime | None,
        console: Console,
    ) -> None:
        """Put everything in its place.

        Args:
            executable: metalauncher's.
            bundles: what `bundle add` takes.
            architecture: the launchers', as lifecycle's tarballs name it.
            created: the time that SBOMs carry; None for their own fixed one.
            console: is told of how far it has come.

        Raises:
            Unable: a bundle is none, or contradicts what there is.
            OSError: something of the base is in the way.
        """
        self._put(EXECUTABLE, executable.data, 0o755)
        self._put(CONTENTS, executable.contents, 0o644)
        for source in bundles:
            console.progress(f"adding {source}")
            try:
                added = bundle.add(bundle.Addition(source, architecture), self.root, console)
            except WrongArchitecture as wrong:
                raise for_another(wrong.source, wrong.machine, (wrong.wanted,)) from None
            except bundle.OtherContent as other:
                raise _of_image(other, self._folder, "--bundle ", _REBUILD) from None
            except Unable as unable:
                raise _of_image(unable, self._folder, "--bundle ") from None
            for warning in added.warnings:
                console.warn(f"--bundle {source}: {warning}".replace(self._folder, ""))
        self._put(SHIM, SHIM_TEXT, 0o755)
        folder, name = self._parent(ENTRYPOINT)
        link = os.path.join(folder, name)
        if not (os.path.islink(link) and os.readlink(link) == os.fsencode(EXECUTABLE)):
            if os.path.lexists(link):
                os.unlink(link)
            os.symlink(EXECUTABLE, link)
        console.progress("writing SBOMs")
        try:
            documents = image_files(self.root, created)
        except Unable as unable:
            raise _of_image(unable, self._folder) from None
        for path, data in sorted(documents.items()):
            self._put(f"/{path}", data, 0o644)

    def _parent(self, path: str) -> tuple[bytes, bytes]:
        """Return the directory in which `path` is to lie, made if need be, and its name there."""
        folder = self.root.locate(os.fsencode(os.path.dirname(path)))
        make_directories(folder)
        return folder, os.fsencode(os.path.basename(path))

    def _put(self, path: str, data: bytes, mode: int) -> None:
        folder, name = self._parent(path)
        if not _is_as_written(os.path.join(folder, name), data, mode):
            write_whole(folder, name, data, mode)

    def entries(self) -> list[Entry]:
        """Return what the layer is to hold: what the base does not have, or has otherwise, and what is replaced had.

        Directories of the base are left out: they keep their modes, owners and times.

        Raises:
            Unable: the base has something else where a directory is needed.
        """
        found: list[Entry] = []
        for path in sorted(self._walk()):
            place = os.path.join(self._folder, path)
            there = self._tree.get(path)
            replaced = bool(self.replaced) and there is not None and self._base.is_own(there[1])
            if self._before.get(path) == _identity(place) and not replaced:
                continue
            if os.path.islink(place):
                found.append(Entry(path, "link", 0o777, os.readlink(place)))
            elif os.path.isdir(place):
                if there is not None and there[1].kind != "directory":
                    raise in_the_way(path, there[1].kind)
                if there is None or replaced:
                    found.append(Entry(path, "directory", 0o755, ""))
            else:
                found.append(Entry(path, "file", os.stat(place).st_mode & 0o7777, place))
        return found


def _is_as_written(file: bytes, data: bytes, mode: int) -> bool:
    """Tell whether a file is there with this content and mode; no link is followed: the base's lead out of the root."""
    try:
        status = os.lstat(file)
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(status.st_mode) or (stat.S_IMODE(status.st_mode), status.st_size) != (mode, len(data)):
        return False
    try:
        return read_regular(file, len(data), follow=False) == data
    except ReadError:
        return False


def _of_image(unable: Unable, folder: str, option: str = "", do: str = "") -> Unable:
    """Return another command's message with paths as they are in the image, and this command's way out.

    What that one tells to do counts where it is no option of its own, but about the file: `sha256sum FILE`.
    """
    own = unable.command.startswith("metalauncher ") or folder in unable.command
    return Unable(
        f"{option}{unable.headline}".replace(folder, ""),
        need=unable.need,
        have=[line.replace(folder, "") for line in unable.have],
        do=do or ("" if own else unable.do),
        command=_COMMAND if own else unable.command,
    )


def in_the_way(path: str, kind: str) -> Unable:
    """Return what to say where the base has something where a directory is to be."""
    return Unable(
        f"--base: has a {kind} at /{path}, where a directory is needed",
        need="a base whose /usr and /etc are directories, or links to directories",
        command=_COMMAND,
    )


def _identity(path: str) -> tuple[int, int] | str:
    """Return what is equal only while nothing replaces a path: the inode; for a directory, that it is one."""
    status = os.lstat(path)
    return "directory" if stat.S_ISDIR(status.st_mode) else (status.st_ino, status.st_dev)


def read_base(base: Image | None, folder: str, console: Console) -> ReadBase:
    """Read the base, with the content of all that may be metalauncher's.

    Raises:
        ImageError: a layer can't be read, or is not what manifest and config say.
    """
    if base is None:
        return ReadBase(Tree(), 0, 0, hides=False)

    def say(number: int) -> None:
        console.progress(f"reading the base: layer {number} of {len(base.layers)}")

    return read_layers(base, folder, say)


def check_interpreters(executable: Executable, registry: Registry, scratch: Scratch, tree: Tree) -> None:
    """See that the base has what an executable's first line, or its loader, is to be.

    Raises:
        Unable: it has not: the executable could not be started.
    """
    programs = [("metalauncher", executable.binary)]
    for launcher in registry.launchers:
        try:
            with open_regular(scratch.root.locate(launcher.path.encode())) as file:
                binary = inspect(file.read(HEAD))
        except ReadError:
            continue  # of the base: lint tells
        if not isinstance(binary, str):
            programs.append((repr(launcher), binary))
    for name, binary in programs:
        found = tree.find(binary.interpreter) if binary.interpreter else None
        if binary.interpreter and (found is None or found[1].kind != "file"):
            raise Unable(
                f"{name} needs {binary.interpreter}, which the base does not have",
                need="static executables, or a base with what they need",
                do="take the static ones: make static; the launchers of lifecycle releases are static",
                command=_COMMAND,
            )
