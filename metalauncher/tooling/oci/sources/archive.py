"""Read images from what `docker save` writes: a tar with `manifest.json`, configs and layers.

Source: Docker's image specification 1.2, "combined image JSON + filesystem changeset format". The archive has no
manifests with digests; its layers are held against the diff ids of the config, which is held against the digest in its
name.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import threading
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, Final

from metalauncher.tooling.oci.choice import Named, as_index, wanted
from metalauncher.tooling.oci.compression import HEAD, compression_of, decompressed
from metalauncher.tooling.oci.files import read_limited
from metalauncher.tooling.oci.go_json import CONFIG
from metalauncher.tooling.oci.media_types import OCI_TAR
from metalauncher.tooling.oci.model import (
    CONFIG_LIMIT,
    MANIFEST_LIMIT,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    ImageError,
    describe,
    parse_digest,
    parse_json,
    platform_of,
)
from metalauncher.tooling.oci.sources.tar_files import TarFiles
from metalauncher.tooling.oci.verified import Verified, read_whole, refuse_large

if TYPE_CHECKING:
    from collections.abc import Iterator

_CONFIG_NAME = re.compile(r"(?:blobs/sha256/)?([0-9a-f]{64})(?:\.json)?")
_LIST = "manifest.json"
_WHAT = "the archive"
_CHUNK = 1 << 16


class ArchiveStore:
    """One image of an archive."""

    def __init__(self, file: str, tag: str | None) -> None:
        """Take the file, and the image's name as `docker save` was given it; None for the only one there is."""
        self._files: Final = TarFiles(file)
        self._tag: Final = tag
        self._lock: Final = threading.Lock()
        self._blobs: dict[str, str] = {}  # digest -> member
        self._made: dict[str, bytes] = {}  # digest -> a manifest that is not in the archive
        self._top: tuple[Descriptor, bytes] | None = None

    def top(self) -> tuple[Descriptor, bytes]:
        """Return a manifest made from the archive's own; where the name is several images', an index of them."""
        with self._lock:
            if self._top is None:
                self._top = self._find()
            return self._top

    def _find(self) -> tuple[Descriptor, bytes]:
        """Make the manifests of the images that have the name, and no others: an archive may hold hundreds."""
        entries = _parse_list(self._read(_LIST, MANIFEST_LIMIT))
        # What tells images apart, until there are manifests, is which entry they are.
        listed = [Named(_names(entry), Descriptor("", str(place), 0), place) for place, entry in enumerate(entries)]
        found = [
            image._replace(manifest=self._make_manifest(entries[image.place]))
            for image in wanted(listed, self._tag, _WHAT)
        ]
        different = list({image.manifest.digest: image for image in found}.values())
        if len(different) == 1:
            return different[0].manifest, self._made[different[0].manifest.digest]
        index = as_index(different, self._tag, _WHAT)
        return describe(OCI_INDEX, index), index

    def _make_manifest(self, entry: dict[str, Any]) -> Descriptor:
        config_name, layer_names = entry.get("Config"), entry.get("Layers")
        if not isinstance(config_name, str) or not isinstance(layer_names, list):
            raise ImageError("damaged", "manifest.json names no config or no layers")
        data = self._read(config_name, CONFIG_LIMIT)
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        named = _CONFIG_NAME.fullmatch(config_name)
        if named and digest != f"sha256:{named[1]}":
            raise ImageError("damaged", f"has a config with another digest than its name, {config_name!r}")
        config = parse_json(data, "the config", CONFIG)
        rootfs = config.get("rootfs")
        diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
        if not isinstance(diff_ids, list) or len(diff_ids) != len(layer_names):
            raise ImageError("damaged", f"the config does not name the {len(layer_names)} layers of manifest.json")
        layers = []
        for name, diff_id in zip(layer_names, diff_ids, strict=True):
            size = self._size(str(name))
            self._blobs[parse_digest(diff_id)] = str(name)
            layers.append({"mediaType": OCI_TAR, "digest": diff_id, "size": size})
        self._blobs[digest] = config_name
        manifest: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": OCI_CONFIG, "digest": digest, "size": len(data)},
            "layers": layers,
        }
        text = json.dumps(manifest).encode()
        descriptor = describe(OCI_MANIFEST, text)._replace(platform=platform_of(config))
        self._made[descriptor.digest] = text
        return descriptor

    def fetch(self, descriptor: Descriptor, limit: int) -> bytes:
        """Return a blob's content."""
        refuse_large(descriptor, limit)
        self.top()
        if descriptor.digest in self._made:
            return self._made[descriptor.digest]
        with self.open(descriptor) as blob:
            return read_whole(blob, descriptor, limit)

    @contextmanager
    def open(self, descriptor: Descriptor) -> Iterator[IO[bytes]]:
        """Open a blob. A layer that is compressed is read decompressed: its digest here is that of its tar."""
        self.top()
        name = self._blobs.get(descriptor.digest)
        if name is None:
            raise ImageError("absent", f"there is no blob {descriptor.digest}")
        with self._files.open(name) as file:
            source = io.BufferedReader(file, _CHUNK)  # type: ignore[type-var]  # to look at its beginning
            compressed = bool(compression_of(source.peek(HEAD)[:HEAD]))
            with decompressed(source) as stream:
                yield Verified(stream, descriptor, sized=not compressed)  # type: ignore[misc]  # read as an IO[bytes] is

    def _read(self, name: str, limit: int) -> bytes:
        size = self._size(name)
        data = read_limited(self._files, name, limit)
        if len(data) != size:
            raise ImageError("damaged", f"is cut off inside {name}")
        return data

    def _size(self, name: str) -> int:
        if self._files.holds(name):
            return self._files.size(name)
        if name == _LIST and self._files.holds("oci-layout"):
            raise ImageError("unsupported", f"is the archive of an OCI layout: oci-archive:{self._files.path}")
        raise ImageError("damaged", f"holds no {name!r}: this is not an archive of docker save")


def _names(entry: dict[str, Any]) -> tuple[str, ...]:
    tags = entry.get("RepoTags")
    return tuple([tag for tag in tags if isinstance(tag, str)]) if isinstance(tags, list) else ()


def _parse_list(data: bytes) -> list[dict[str, Any]]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, list) or not value or not all(isinstance(entry, dict) for entry in value):
        raise ImageError("damaged", "manifest.json is not a list of images")
    return value
