"""Read a run image, from an image or an unpacked root filesystem, into what apps are judged by."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from typing import TYPE_CHECKING, Final

from metalauncher.places import EXECUTABLE, Root
from metalauncher.tooling.console import decode, encode
from metalauncher.tooling.elf import HEAD
from metalauncher.tooling.installed import installed
from metalauncher.tooling.oci.materialise import materialise
from metalauncher.tooling.oci.model import ImageError
from metalauncher.tooling.oci.tree import WHOLE_LIMIT, Tree, read_tree
from metalauncher.tooling.roots import root_within
from metalauncher.tooling.run_image.labels import APP_LABEL, PATH, registry_from_labels
from metalauncher.tooling.run_image.model import RunImage
from metalauncher.tooling.sbom.inventory import is_beside_launcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from metalauncher.tooling.oci.image import Image, Images
    from metalauncher.tooling.oci.layer_reader import Member
    from metalauncher.tooling.oci.tree import Node

_DESCRIPTORS = ("etc/cnb/", "usr/lib/cnb/")
ACCOUNTS: Final = ("etc/passwd", "etc/group")  # whom the config's `User` names
ACCOUNTS_LIMIT: Final = (1 << 20) + 1  # bytes; one more than is looked at tells that there are more
_ENTRIES_LIMIT = 1_000_000  # files of an unpacked root filesystem


class _Entry:
    """A file of an unpacked root filesystem, as a tree takes it."""

    __slots__ = ("group", "kind", "mode", "owner", "path", "size", "target")

    def __init__(self, path: str, kind: str, status: os.stat_result, target: str = "") -> None:
        self.path: Final = path
        self.kind: Final = kind
        self.mode: Final = stat.S_IMODE(status.st_mode)
        self.size: Final = status.st_size if kind in ("file", "other") else 0
        self.target: Final = target
        self.owner: Final = status.st_uid
        self.group: Final = status.st_gid


def read_loaded(name: str, image: Image, scratch: str, say: Callable[[int], None] = lambda _: None) -> RunImage:
    """Read a run image's launchers from its layers; where those carry none, from its labels.

    Args:
        name: what it is called.
        image: it, with its config.
        scratch: an empty directory that outlives the run image.
        say: told of the number of each layer, from 1, before it is read; what it raises passes through.

    Raises:
        ImageError: a layer can't be had.
        OSError: nothing can be written to `scratch`.
    """
    tree, root = _read_tree(image, scratch, say)
    _refuse_links(tree)
    return _run_image(name, image, tree, root, scratch)


def read_whole_run_image(
    name: str, image: Image, scratch: str, say: Callable[[int], None] = lambda _: None
) -> RunImage:
    """Read a run image so that its root has, whole, all that metalauncher's commands look at in an unpacked one.

    That is what lies at metalauncher's places, the launchers wherever they lie, and what lies beside them. Where that
    is known only when descriptors are read, the layers are read again.

    Args:
        name: as it was given.
        image: of which the config is known already.
        scratch: as for `read_loaded`.
        say: as for `read_loaded`.

    Raises:
        ImageError: it can't be had, or has something there that is too large.
        OSError: nothing can be written to `scratch`.
    """
    whole: frozenset[int] = frozenset()
    while True:
        folder = tempfile.mkdtemp(dir=scratch)
        tree, root = _read_tree(image, folder, say, whole)
        run = _run_image(name, image, tree, root, folder)
        places = _looked_at(tree, run)
        # By number: a file may have come under another name, and be linked to, or through a link.
        cut = {node.number: real for real, node in _files(tree, places) if not _is_whole(node)}
        if whole.issuperset(cut):
            break
        whole |= frozenset(cut)
        run.close()
        shutil.rmtree(folder)
    if cut:
        raise ImageError("too-large", f"has /{min(cut.values())} of more than {WHOLE_LIMIT >> 20} MiB")
    materialise(tree, places, decode(root.prefix))
    return run


def _looked_at(tree: Tree, run: RunImage) -> list[str]:
    """Return what the commands look at: files, and directories with all that they hold."""
    places = [EXECUTABLE.lstrip("/"), *_DESCRIPTORS]
    for item in installed(run.root):
        found = tree.find(item.launcher.path)
        if found is not None:
            folder = found[0].rpartition("/")[0]
            beside = tree.find(folder)
            names = beside[1].children if beside is not None else ()
            places += [found[0], *[f"{folder}/{name}" for name in names if is_beside_launcher(name)]]
    return places


def _files(tree: Tree, places: Iterable[str]) -> Iterator[tuple[str, Node]]:
    """Give the regular files at places and below them, whatever links lead there, each once."""
    seen: set[str] = set()
    pending = list(places)
    while pending:
        found = tree.find(pending.pop())
        if found is None or found[0] in seen:
            continue
        seen.add(found[0])
        if found[1].kind == "directory":
            pending += [f"{found[0]}/{name}" for name in found[1].children]
        elif found[1].kind == "file":
            yield found


def _is_whole(node: Node) -> bool:
    return node.content != "" and os.path.getsize(node.content) >= node.size


class AppInstead(ImageError):
    """An app is named where a run image is asked for."""


def load_run_image(images: Images, platform: str) -> Image:
    """Fetch a run image's config.

    Args:
        images: what its name names.
        platform: `os/architecture[/variant]`, looked up in indexes.

    Raises:
        AppInstead: it is an app image.
        ImageError: it can't be had.
    """
    image = images.load(platform)
    if APP_LABEL in image.labels:
        raise AppInstead("unsupported", f"is an app image, not a run image: it has the label {APP_LABEL}")
    return image


def _read_tree(
    image: Image, scratch: str, say: Callable[[int], None], whole: frozenset[int] = frozenset()
) -> tuple[Tree, Root]:
    kept, root = os.path.join(scratch, "kept"), os.path.join(scratch, "root")
    os.mkdir(kept)
    os.mkdir(root)
    return read_tree(image, _wanted, kept, whole=whole, say=say), Root(encode(root), whole=True)


def _run_image(name: str, image: Image, tree: Tree, root: Root, scratch: str) -> RunImage:
    # Where metalauncher is, only its descriptors count, be there none.
    has_launchers = tree.find(EXECUTABLE) is not None or any([_has_descriptors(tree, place) for place in _DESCRIPTORS])
    labelled = None if has_launchers else registry_from_labels(image.labels)
    return RunImage(
        name=name,
        digest=image.manifest.digest,
        platform=image.platform,
        tree=tree,
        root=root,
        scratch=scratch,
        laid_out=False,
        labels=image.labels,
        labelled=labelled,
        labelled_path="" if labelled is None else image.labels.get(PATH, ""),
    )


def _wanted(member: Member) -> int:
    """Keep whole what metalauncher reads whole, and of other programs what the kernel looks at."""
    if member.path in ACCOUNTS:
        return ACCOUNTS_LIMIT
    descriptor = "/launchers.d/" in member.path and member.path.endswith(".toml")  # behind a link in place of /etc/cnb
    if descriptor or member.path.startswith(_DESCRIPTORS) or "/" + member.path == EXECUTABLE:
        return WHOLE_LIMIT
    return HEAD if member.mode & 0o111 else 0


def _refuse_links(tree: Tree) -> None:
    """Refuse descriptors that lie where none was looked for, so that none is left out in silence."""
    for place in _DESCRIPTORS:
        folder = tree.find(place + "launchers.d")
        for name in [] if folder is None else folder[1].children:
            found = tree.find(f"{place}launchers.d/{name}")
            if name.endswith(".toml") and found is not None and found[1].size and not found[1].content:
                raise ImageError("unsupported", f"has /{place}launchers.d/{name} behind a link to /{found[0]}")


def _has_descriptors(tree: Tree, place: str) -> bool:
    found = tree.find(place + "launchers.d")
    return found is not None and any([name.endswith(".toml") for name in found[1].children])


def open_directory(directory: str) -> Root:
    """Return the root that an unpacked root filesystem is.

    Raises:
        ImageError: it is none.
    """
    if not os.path.isdir(directory):
        raise ImageError("absent", "there is no such directory")
    within = root_within(encode(directory))
    if within is not None:
        raise ImageError("unsupported", f"is not a root filesystem, but contains one: dir:{decode(within)}")
    return Root(encode(os.path.abspath(directory)), whole=True)


def read_run_directory(name: str, directory: str, scratch: str) -> RunImage:
    """Read an unpacked root filesystem in place of a run image.

    Raises:
        ImageError: there is no such directory, or it can't be read.
    """
    root = open_directory(directory)
    tree = Tree()
    try:
        for number, entry in enumerate(_walk(directory)):
            if number > _ENTRIES_LIMIT:
                raise ImageError("too-large", f"has more than {_ENTRIES_LIMIT} files")
            content = os.path.join(os.path.abspath(directory), entry.path) if entry.kind == "file" else ""
            tree.apply(entry, content, 0)
    except PermissionError as error:
        raise ImageError("denied", f"{error.filename} can't be read") from None
    return RunImage(
        name=name,
        digest=None,
        platform="",
        tree=tree,
        root=root,
        scratch=scratch,
        laid_out=True,
    )


def _walk(directory: str) -> Iterator[_Entry]:
    """Give all files, those of other file systems that are mounted there left out."""
    device = os.stat(directory).st_dev
    pending = [""]
    while pending:
        folder = pending.pop()
        with os.scandir(os.path.join(directory, folder)) as entries:
            for found in entries:
                path = os.path.join(folder, found.name)
                status = found.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    yield _Entry(path, "directory", status)
                    if status.st_dev == device:
                        pending.append(path)
                elif stat.S_ISLNK(status.st_mode):
                    yield _Entry(path, "link", status, os.readlink(found.path))
                else:
                    yield _Entry(path, "file" if stat.S_ISREG(status.st_mode) else "other", status)
