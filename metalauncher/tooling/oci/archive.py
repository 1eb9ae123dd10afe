"""Read images from what `docker save` writes: a tar with `manifest.json`, configs and layers.

Source: Docker's image specification 1.2, "combined image JSON + filesystem changeset format". The archive has no
manifests with digests; its layers are held against the diff ids of the config, which is held against the digest in its
name.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import posixpath
import re
import tarfile
import threading
import zlib
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple

from metalauncher.tooling.oci.layout import open_regular
from metalauncher.tooling.oci.model import (
    CONFIG_LIMIT,
    MANIFEST_LIMIT,
    OCI_CONFIG,
    OCI_MANIFEST,
    Descriptor,
    ImageError,
    parse_digest,
    parse_json,
)
from metalauncher.tooling.oci.verified import Verified, read_whole, refuse_large

if TYPE_CHECKING:
    from collections.abc import Iterator

_TAR_LAYER = "application/vnd.oci.image.layer.v1.tar"
_MEMBERS_LIMIT = 20_000
_LINKS_LIMIT = 8
_CONFIG_NAME = re.compile(r"(?:blobs/sha256/)?([0-9a-f]{64})(?:\.json)?")
_GZIP = b"\x1f\x8b"


class _Part(NamedTuple):
    """Where a member's content lies in the archive; a link's has a target instead."""

    offset: int
    size: int
    target: str


class ArchiveStore:
    """One image of an archive."""

    def __init__(self, file: str, tag: str | None) -> None:
        """Take the file, and the image's name as `docker save` was given it; None for the only one there is."""
        self._file: Final = file
        self._tag: Final = tag
        self._lock: Final = threading.Lock()
        self._parts: dict[str, _Part] = {}
        self._blobs: dict[str, str] = {}  # digest -> member
        self._top: tuple[Descriptor, bytes] | None = None

    def top(self) -> tuple[Descriptor, bytes]:
        """Return a manifest made from the archive's own."""
        with self._lock:
            if self._top is None:
                self._parts = _read_parts(self._file)
                self._top = self._make_manifest()
            return self._top

    def _make_manifest(self) -> tuple[Descriptor, bytes]:
        entry = self._find(_parse_list(self._read("manifest.json", MANIFEST_LIMIT)))
        config_name, layer_names = entry.get("Config"), entry.get("Layers")
        if not isinstance(config_name, str) or not isinstance(layer_names, list):
            raise ImageError("damaged", "manifest.json names no config or no layers")
        data = self._read(config_name, CONFIG_LIMIT)
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        named = _CONFIG_NAME.fullmatch(config_name)
        if named and digest != f"sha256:{named[1]}":
            raise ImageError("damaged", f"has a config with another digest than its name, {config_name!r}")
        rootfs = parse_json(data, "the config").get("rootfs")
        diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
        if not isinstance(diff_ids, list) or len(diff_ids) != len(layer_names):
            raise ImageError("damaged", f"the config does not name the {len(layer_names)} layers of manifest.json")
        layers = []
        for name, diff_id in zip(layer_names, diff_ids, strict=True):
            size = self._part(str(name)).size
            self._blobs[parse_digest(diff_id)] = str(name)
            layers.append({"mediaType": _TAR_LAYER, "digest": diff_id, "size": size})
        self._blobs[digest] = config_name
        manifest: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": OCI_CONFIG, "digest": digest, "size": len(data)},
            "layers": layers,
        }
        text = json.dumps(manifest).encode()
        return Descriptor(OCI_MANIFEST, f"sha256:{hashlib.sha256(text).hexdigest()}", len(text)), text

    def _find(self, entries: list[dict[str, Any]]) -> dict[str, Any]:
        tags = [tag for entry in entries for tag in entry.get("RepoTags") or [] if isinstance(tag, str)]
        have = f"there is {', '.join(sorted(tags)[:10])}" if tags else "none has a name"
        if self._tag is None:
            if len(entries) != 1:
                raise ImageError("absent", f"the archive holds {len(entries)} images: name one; {have}")
            return entries[0]
        wanted = {self._tag, f"{self._tag}:latest"}
        for entry in entries:
            if wanted.intersection([tag for tag in entry.get("RepoTags") or [] if isinstance(tag, str)]):
                return entry
        raise ImageError("absent", f"there is no image {self._tag!r}; {have}")

    def fetch(self, descriptor: Descriptor, limit: int) -> bytes:
        """Return a blob's content."""
        refuse_large(descriptor, limit)
        with self.open(descriptor) as blob:
            return read_whole(blob, descriptor, limit)

    @contextmanager
    def open(self, descriptor: Descriptor) -> Iterator[IO[bytes]]:
        """Open a blob. A layer that is compressed is read decompressed: its digest here is that of its tar."""
        self.top()
        name = self._blobs.get(descriptor.digest)
        if name is None:
            raise ImageError("absent", f"there is no blob {descriptor.digest}")
        part = self._part(name)
        with open_regular(self._file) as file:
            source: Any = _Slice(file, part)
            compressed = os.pread(file.fileno(), 2, part.offset) == _GZIP
            if compressed:
                source = _Decompressed(source)
            yield Verified(source, descriptor, sized=not compressed)  # type: ignore[misc]  # read as an IO[bytes] is

    def _read(self, name: str, limit: int) -> bytes:
        part = self._part(name)
        if part.size > limit:
            raise ImageError("too-large", f"{name} has {part.size} bytes; {limit} are allowed")
        with open_regular(self._file) as file:
            data = os.pread(file.fileno(), part.size, part.offset)
        if len(data) != part.size:
            raise ImageError("damaged", f"is cut off inside {name}")
        return data

    def _part(self, name: str) -> _Part:
        for _ in range(_LINKS_LIMIT):
            part = self._parts.get(posixpath.normpath(name))
            if part is None:
                raise ImageError("damaged", f"holds no {name!r}: this is no archive that docker save wrote")
            if not part.target:
                return part
            name = posixpath.join(posixpath.dirname(name), part.target)  # as Docker linked equal layers
        raise ImageError("damaged", f"holds a loop of links at {name!r}")


class _Slice(io.RawIOBase):
    """A part of a file, read at its own position."""

    def __init__(self, file: IO[bytes], part: _Part) -> None:
        self._descriptor: Final = file.fileno()
        self._next = part.offset
        self._end: Final = part.offset + part.size

    def read(self, size: int = -1, /) -> bytes:
        left = self._end - self._next
        data = os.pread(self._descriptor, left if size < 0 else min(size, left), self._next)
        self._next += len(data)
        return data


class _Decompressed:
    """What gzip makes of a part; damage is an ImageError."""

    def __init__(self, source: _Slice) -> None:
        self._stream = gzip.GzipFile(fileobj=source, mode="rb")

    def read(self, size: int, /) -> bytes:
        try:
            return self._stream.read(size)
        except (EOFError, zlib.error, OSError) as error:
            raise ImageError("damaged", f"has a layer that is damaged: {error}") from None


def _read_parts(path: str) -> dict[str, _Part]:
    """Return where each member of the archive is."""
    parts: dict[str, _Part] = {}
    with open_regular(path) as file:
        if os.pread(file.fileno(), 2, 0) == _GZIP:
            raise ImageError("unsupported", f"is compressed: gunzip it first, or gunzip -c {path} > {path}.tar")
        try:
            with tarfile.open(fileobj=file, mode="r:") as archive:
                for info in archive:
                    if len(parts) >= _MEMBERS_LIMIT:
                        raise ImageError("too-large", f"has more than {_MEMBERS_LIMIT} members")
                    if info.isreg() or info.issym():
                        target = info.linkname if info.issym() else ""
                        parts[posixpath.normpath(info.name)] = _Part(info.offset_data, info.size, target)
        except (tarfile.TarError, ValueError, OverflowError, OSError) as error:
            raise ImageError("damaged", f"is no tar archive: {error}") from None
    return parts


def _parse_list(data: bytes) -> list[dict[str, Any]]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, list) or not value or not all(isinstance(entry, dict) for entry in value):
        raise ImageError("damaged", "manifest.json is no list of images")
    return value
