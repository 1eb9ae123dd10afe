"""Read images from an OCI image layout: `oci-layout`, `index.json` and `blobs` (image-layout.md).

It is a directory, or the tar of one, as `skopeo copy … oci-archive:` and `buildx --output type=oci` write it.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Final

from metalauncher.tooling.oci.choice import Named, as_index, wanted
from metalauncher.tooling.oci.files import Folder, read_limited
from metalauncher.tooling.oci.go_json import CONFIG, LAYOUT, MANIFEST
from metalauncher.tooling.oci.model import (
    CONFIG_LIMIT,
    MANIFEST_LIMIT,
    MANIFESTS,
    OCI_INDEX,
    Descriptor,
    ImageError,
    describe,
    parse_descriptor,
    parse_json,
    platform_of,
)
from metalauncher.tooling.oci.sources.tar_files import TarFiles
from metalauncher.tooling.oci.verified import Verified, read_whole, refuse_large

if TYPE_CHECKING:
    from collections.abc import Iterator

    from metalauncher.tooling.oci.files import Files

TAG: Final = "org.opencontainers.image.ref.name"
NAME: Final = (
    "io.containerd.image.name"  # the name in full, where `docker save` and containerd write only the tag as TAG
)


class IndexedStore:
    """One image of a layout, wherever its files are."""

    def __init__(self, files: Files, tag: str | None, what: str) -> None:
        """Take the files, and the image's name in them; None for the only one there is.

        Args:
            files: of the layout.
            tag: as `index.json` has it, or as Docker reads the same name.
            what: the layout is, for messages.
        """
        self._files: Final = files
        self._tag: Final = tag
        self._what: Final = what

    def top(self) -> tuple[Descriptor, bytes]:
        """Return the manifest or index that has the name; where it is several images', an index of them."""
        found = wanted(_index(self._files), self._tag, self._what)
        if len(found) == 1:
            return found[0].manifest, self.fetch(found[0].manifest, MANIFEST_LIMIT)
        data = as_index(
            [image._replace(manifest=self._with_platform(image.manifest)) for image in found], self._tag, self._what
        )
        return describe(OCI_INDEX, data), data

    def _with_platform(self, manifest: Descriptor) -> Descriptor:
        """Return a manifest's descriptor with the platform that its config has, where the layout's index has none."""
        if manifest.platform or manifest.media_type not in MANIFESTS:
            return manifest
        document = parse_json(self.fetch(manifest, MANIFEST_LIMIT), "the manifest", MANIFEST)
        config = parse_descriptor(document.get("config"), "the config")
        return manifest._replace(
            platform=platform_of(parse_json(self.fetch(config, CONFIG_LIMIT), "the config", CONFIG))
        )

    def fetch(self, descriptor: Descriptor, limit: int) -> bytes:
        """Return a blob's content."""
        refuse_large(descriptor, limit)
        with self._files.open(_place(descriptor)) as file:
            return read_whole(file, descriptor, limit)

    @contextmanager
    def open(self, descriptor: Descriptor) -> Iterator[IO[bytes]]:
        """Open a blob."""
        with self._files.open(_place(descriptor)) as file:
            yield Verified(file, descriptor)  # type: ignore[misc]  # a RawIOBase is read as an IO[bytes] is


class LayoutStore(IndexedStore):
    """One image of a layout in a directory."""

    def __init__(self, directory: str, tag: str | None) -> None:
        """Take the directory, and the image's name; None for the only one there is."""
        super().__init__(Folder(directory), tag, "the layout")


class OciArchiveStore(IndexedStore):
    """One image of a layout in a tar archive."""

    def __init__(self, file: str, tag: str | None) -> None:
        """Take the archive, and the image's name; None for the only one there is."""
        super().__init__(TarFiles(file), tag, "the archive")


def _place(descriptor: Descriptor) -> str:
    algorithm, _, digest = descriptor.digest.partition(":")
    return f"blobs/{algorithm}/{digest}"


# A layout may hold thousands of images that are read one after another: its index is not parsed for each.
_RECENT_LIMIT = 8
_recent: dict[str, tuple[tuple[int, ...], list[Named]]] = {}
_recent_lock = threading.Lock()


def _index(files: Files) -> list[Named]:
    """Return what a layout's index lists; parsed anew when the file is another one than last time."""
    state = files.state()
    with _recent_lock:
        before, images = _recent.get(files.path, ((), []))
    if before != state or not state:
        images = [Named(_names(entry), entry, number) for number, entry in enumerate(read_index(files))]
        with _recent_lock:
            if len(_recent) >= _RECENT_LIMIT:
                _recent.clear()
            _recent[files.path] = (state, images)
    return images


def _names(entry: Descriptor) -> tuple[str, ...]:
    annotations = dict(entry.annotations)
    return tuple([name for key in (TAG, NAME) if (name := annotations.get(key))])


def read_index(files: Files) -> list[Descriptor]:
    """Return what a layout's `index.json` lists.

    Raises:
        ImageError: it is no layout.
    """
    files.state()
    version = parse_json(_read(files, "oci-layout"), "oci-layout", LAYOUT).get("imageLayoutVersion")
    if not isinstance(version, str) or not version.startswith("1."):
        raise ImageError("unsupported", f"has the layout version {version!r}, not 1.0.0")
    entries = parse_json(_read(files, "index.json"), "index.json", MANIFEST).get("manifests")
    if not isinstance(entries, list):
        raise ImageError("damaged", "index.json lists no manifests")
    return [parse_descriptor(entry, f"image {number} of index.json") for number, entry in enumerate(entries, 1)]


def _read(files: Files, name: str) -> bytes:
    try:
        return read_limited(files, name, MANIFEST_LIMIT)
    except ImageError as error:
        if error.kind not in {"absent", "damaged"}:
            reason = error.reason if isinstance(files, TarFiles) or name in error.reason else f"{name}: {error.reason}"
            raise ImageError(error.kind, reason) from None
        if isinstance(files, TarFiles):
            if error.kind == "absent" and files.holds("manifest.json"):
                reason = f"is an archive as docker save writes it: docker-archive:{files.path}"
                raise ImageError("unsupported", reason) from None
            raise ImageError(error.kind, f"{error.reason}: this is not an archive of an OCI layout") from None
        raise ImageError(error.kind, f"{name}: {error.reason}: this is not an OCI layout") from None
