"""An index made of images for several platforms, as one store that others read it from. Pure."""

from __future__ import annotations

from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, Final

from metalauncher.tooling.oci.go_json import MANIFEST
from metalauncher.tooling.oci.media_types import INDEX_TYPES
from metalauncher.tooling.oci.model import Descriptor, ImageError, describe, parse_descriptor, parse_json, to_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from metalauncher.tooling.oci.media_types import Family
    from metalauncher.tooling.oci.model import Store

_KEYS = ("os", "architecture", "variant")


class IndexStore:
    """An index, and the images that it lists: sorted by platform, so that it is the same however they were named."""

    def __init__(
        self, images: Mapping[str, Store], family: Family = "oci", annotations: Mapping[str, str] | None = None
    ) -> None:
        """Take what is in it.

        Args:
            images: by platform, `os/architecture[/variant]`; the top of each is a manifest.
            family: whose media type the index has.
            annotations: of the index itself; Docker's have none.

        Raises:
            ImageError: one can't be read.
        """
        entries: list[dict[str, Any]] = []
        self._holders: Final[dict[str, Store]] = {}
        for platform, store in sorted(images.items()):
            manifest, data = store.top()
            entries.append(
                {
                    "mediaType": manifest.media_type,
                    "digest": manifest.digest,
                    "size": manifest.size,
                    "platform": dict(zip(_KEYS, platform.split("/"), strict=False)),
                }
            )
            document = parse_json(data, "the manifest", MANIFEST)
            parts = [parse_descriptor(entry, "a part") for entry in (*document["layers"], document["config"])]
            for part in (manifest, *parts):
                self._holders.setdefault(part.digest, store)
        index: dict[str, Any] = {"schemaVersion": 2, "mediaType": INDEX_TYPES[family], "manifests": entries}
        if annotations:
            index["annotations"] = dict(annotations)
        self._index: Final = to_json(index)
        self._descriptor: Final = describe(INDEX_TYPES[family], self._index)

    def top(self) -> tuple[Descriptor, bytes]:
        """Return the index."""
        return self._descriptor, self._index

    def fetch(self, descriptor: Descriptor, limit: int) -> bytes:
        """Return a blob's content."""
        return self._holder(descriptor).fetch(descriptor, limit)

    @contextmanager
    def open(self, descriptor: Descriptor) -> Iterator[IO[bytes]]:
        """Open a blob."""
        with self._holder(descriptor).open(descriptor) as blob:
            yield blob

    def _holder(self, descriptor: Descriptor) -> Store:
        holder = self._holders.get(descriptor.digest)
        if holder is None:
            raise ImageError("absent", f"there is no blob {descriptor.digest}")
        return holder
