"""Images made by hand, byte by byte: layers from a few members, and the layout or archive around them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OCI = "application/vnd.oci.image"
DOCKER = "application/vnd.docker.distribution"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


def file(name: str, content: bytes = b"", mode: int = 0o644) -> tuple[tarfile.TarInfo, bytes]:
    """Return a layer's file."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), mode
    return info, content


def directory(name: str, mode: int = 0o755) -> tuple[tarfile.TarInfo, bytes]:
    """Return a layer's directory."""
    info = tarfile.TarInfo(name)
    info.type, info.mode = tarfile.DIRTYPE, mode
    return info, b""


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tuple[tarfile.TarInfo, bytes]:
    """Return a layer's link."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


def tar(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """Return a layer's tar."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as out:
        for info, content in members:
            out.addfile(info, io.BytesIO(content))
    return archive.getvalue()


def digest(data: bytes) -> str:
    """Return the digest of `data`."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass(frozen=True)
class Packed:
    """A layer as it is stored.

    Attributes:
        blob: its bytes.
        tar: the same, uncompressed.
        media_type: as the manifest has it.
        fields: further ones of its descriptor.
    """

    blob: bytes
    tar: bytes
    media_type: str = f"{OCI}.layer.v1.tar+gzip"
    fields: dict[str, Any] = field(default_factory=dict)


def packed(*members: tuple[tarfile.TarInfo, bytes]) -> Packed:
    """Return a layer compressed with gzip."""
    data = tar(*members)
    return Packed(gzip.compress(data, mtime=0), data)


@dataclass
class Layout:
    """A layout being made."""

    directory: Path
    entries: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make the directory."""
        (self.directory / "blobs/sha256").mkdir(parents=True)
        (self.directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        self.write_index()

    def write_index(self) -> None:
        """Write index.json."""
        index = {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": self.entries}
        (self.directory / "index.json").write_text(json.dumps(index))

    def path(self, name: str) -> Path:
        """Return the file of the blob with that digest."""
        return self.directory / "blobs" / name.replace(":", "/")

    def blob(self, data: bytes, media_type: str, **fields: Any) -> dict[str, Any]:
        """Store a blob and return its descriptor."""
        self.path(digest(data)).write_bytes(data)
        return {"mediaType": media_type, "digest": digest(data), "size": len(data)} | fields

    def document(self, value: Any, media_type: str, **fields: Any) -> dict[str, Any]:
        """Store a JSON document and return its descriptor."""
        return self.blob(json.dumps(value).encode(), media_type, **fields)

    def manifest(self, *layers: Packed, config: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
        """Store an image and return its manifest's descriptor."""
        whole: dict[str, Any] = {"architecture": "amd64", "os": "linux", "config": {}} | (config or {})
        whole.setdefault("rootfs", {"type": "layers", "diff_ids": [digest(layer.tar) for layer in layers]})
        document = {
            "schemaVersion": 2,
            "mediaType": f"{OCI}.manifest.v1+json",
            "config": self.document(whole, f"{OCI}.config.v1+json"),
            "layers": [self.blob(layer.blob, layer.media_type, **layer.fields) for layer in layers],
        }
        return self.document(document, f"{OCI}.manifest.v1+json", **fields)

    def tag(self, descriptor: dict[str, Any], name: str | None = None) -> None:
        """List a manifest or index."""
        annotations = {"annotations": {"org.opencontainers.image.ref.name": name}} if name else {}
        self.entries.append(descriptor | annotations)
        self.write_index()

    def image(self, *layers: Packed, config: dict[str, Any] | None = None, tag: str | None = None) -> Layout:
        """Store an image, list it, and return the layout."""
        self.tag(self.manifest(*layers, config=config), tag)
        return self


def docker_archive(
    path: Path, *layers: Packed, config: dict[str, Any] | None = None, tags: tuple[str, ...] = ("app:latest",)
) -> Path:
    """Write what `docker save` writes."""
    whole: dict[str, Any] = {"architecture": "amd64", "os": "linux", "config": {}} | (config or {})
    whole.setdefault("rootfs", {"type": "layers", "diff_ids": [digest(layer.tar) for layer in layers]})
    data = json.dumps(whole).encode()
    name = f"{digest(data).partition(':')[2]}.json"
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    entry = {"Config": name, "RepoTags": list(tags), "Layers": names}
    members = [file(name, data), file("manifest.json", json.dumps([entry]).encode())]
    members += [file(place, layer.blob) for place, layer in zip(names, layers, strict=True)]
    path.write_bytes(tar(*members))
    return path
