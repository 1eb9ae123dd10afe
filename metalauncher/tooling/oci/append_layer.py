"""An image made of another one and at most one layer more: its manifest, its config, and where its blobs are."""

from __future__ import annotations

import copy
import io
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple

from metalauncher.tooling.oci.files import open_regular
from metalauncher.tooling.oci.go_json import MANIFEST
from metalauncher.tooling.oci.image import LAYERS_LIMIT
from metalauncher.tooling.oci.media_types import MANIFEST_TYPES, in_family
from metalauncher.tooling.oci.model import (
    CONFIG_LIMIT,
    MANIFEST_LIMIT,
    OCI_CONFIG,
    Descriptor,
    ImageError,
    describe,
    parse_json,
    to_json,
)
from metalauncher.tooling.oci.verified import Verified, read_whole, refuse_large

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from metalauncher.tooling.oci.image import Image
    from metalauncher.tooling.oci.layer_writer import NewLayer
    from metalauncher.tooling.oci.media_types import Family


class Changes(NamedTuple):
    """What is changed in the config.

    Attributes:
        platform: `os/architecture`, for an image made from nothing.
        entrypoint: the new one. CMD, which would be its arguments, is cleared, as a Dockerfile's ENTRYPOINT does.
        labels: added to those there are.
        created: RFC 3339, of the image and of the layer's history.
        family: whose media types it has.
        annotations: of the manifest, added to those of the base's; Docker's have none.
    """

    platform: str
    entrypoint: tuple[str, ...]
    labels: Mapping[str, str]
    created: str
    family: Family = "oci"
    annotations: tuple[tuple[str, str], ...] = ()


class AmendedStore:
    """The new image, as a store that others read it from.

    Attributes:
        config: its bytes.
        kept: digests of the base's layers.
    """

    def __init__(self, base: Image | None, layer: NewLayer | None, changes: Changes) -> None:
        """Take the image that a layer is added to, None for an empty one; without a layer only the config is changed.

        Raises:
            ImageError: the base can't be read, or not be added to.
        """
        self._base: Final = base
        self._layer: Final = layer
        self.config: Final = to_json(_config(base, layer, changes))
        self.kept: Final = frozenset([each.blob.digest for each in base.layers] if base else [])
        kind = MANIFEST_TYPES[changes.family]
        blob = describe(_named(OCI_CONFIG, kind), self.config)
        self._manifest: Final = to_json(_manifest(base, layer, blob, changes))
        self._descriptor: Final = describe(kind, self._manifest)
        for what, data, limit in (
            ("manifest", self._manifest, MANIFEST_LIMIT),
            ("config", self.config, CONFIG_LIMIT),
        ):
            if len(data) > limit:
                raise ImageError("too-large", f"the {what} would have {len(data)} bytes; {limit} are allowed")
        self._blobs: Final = {blob.digest: self.config, self._descriptor.digest: self._manifest}

    def top(self) -> tuple[Descriptor, bytes]:
        """Return the manifest."""
        return self._descriptor, self._manifest

    def fetch(self, descriptor: Descriptor, limit: int) -> bytes:
        """Return a blob's content."""
        refuse_large(descriptor, limit)
        if descriptor.digest in self._blobs:
            return self._blobs[descriptor.digest]
        with self.open(descriptor) as blob:
            return read_whole(blob, descriptor, limit)

    @contextmanager
    def open(self, descriptor: Descriptor) -> Iterator[IO[bytes]]:
        """Open a layer, or the config."""
        if descriptor.digest in self._blobs:
            yield io.BytesIO(self._blobs[descriptor.digest])
        elif self._layer is not None and descriptor.digest == self._layer.layer.blob.digest:
            with open_regular(self._layer.file) as file:
                yield Verified(file, descriptor)  # type: ignore[misc]  # a RawIOBase is read as an IO[bytes] is
        elif self._base is not None:
            with self._base.store.open(descriptor) as blob:
                yield blob
        else:
            raise ImageError("absent", f"there is no blob {descriptor.digest}")


def _config(base: Image | None, layer: NewLayer | None, changes: Changes) -> dict[str, Any]:
    """Return the base's config with the changes, and everything else as it was."""
    system, _, architecture = changes.platform.partition("/")
    config: dict[str, Any] = (
        {"architecture": architecture, "os": system} if base is None else copy.deepcopy(base.config)
    )
    config["created"] = changes.created
    run = config["config"] = config.get("config") or {}
    run["Entrypoint"] = list(changes.entrypoint)
    run.pop("Cmd", None)
    run["Labels"] = {**(run.get("Labels") or {}), **changes.labels}
    if layer is None:
        return config
    rootfs = config["rootfs"] = config.get("rootfs") or {"type": "layers"}
    diff_ids = rootfs.get("diff_ids") or []
    rootfs["diff_ids"] = [*diff_ids, layer.layer.diff_id]
    history = config.get("history")
    history = history if isinstance(history, list) else []
    # A history tells of every layer or of none: readers count.
    if len([entry for entry in history if not (isinstance(entry, dict) and entry.get("empty_layer"))]) == len(diff_ids):
        config["history"] = [*history, {"created": changes.created, "created_by": layer.layer.created_by}]
    return config


def _named(media_type: str, manifest: str) -> str:
    """Return what a part is called in a manifest of that media type."""
    name = in_family(media_type, manifest)
    if name is None:
        raise ImageError("unsupported", f"has a part of {media_type}, for which Docker has no name: --media-types oci")
    return name


def _manifest(base: Image | None, layer: NewLayer | None, config: Descriptor, changes: Changes) -> dict[str, Any]:
    blobs = [*[each.blob for each in (base.layers if base else ())], *([layer.layer.blob] if layer else [])]
    if len(blobs) > LAYERS_LIMIT:
        raise ImageError("too-large", f"has {len(blobs) - 1} layers, and {LAYERS_LIMIT} are allowed with the new one")
    for blob in blobs:
        if blob.urls:
            raise ImageError("unsupported", "has a foreign layer, which can't be copied")
    kind = MANIFEST_TYPES[changes.family]
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": kind,
        "config": _reference(config),
        "layers": [_reference(blob._replace(media_type=_named(blob.media_type, kind))) for blob in blobs],
    }
    annotations = {**(_annotations(base) if base else {}), **dict(changes.annotations)}
    if annotations and changes.family == "oci":
        manifest["annotations"] = annotations
    return manifest


def _reference(blob: Descriptor) -> dict[str, Any]:
    document: dict[str, Any] = {"mediaType": blob.media_type, "digest": blob.digest, "size": blob.size}
    return document | ({"annotations": dict(blob.annotations)} if blob.annotations else {})


def _annotations(base: Image) -> dict[str, Any]:
    """Return what the base's manifest is annotated with; an archive's has nothing of its own."""
    top, data = base.store.top()
    if top.digest != base.manifest.digest:
        data = base.store.fetch(base.manifest, MANIFEST_LIMIT)
    found = parse_json(data, "the manifest", MANIFEST).get("annotations")
    return found if isinstance(found, dict) else {}
