"""What an image, or an index of several, is made of: what has to be written for it to be anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from metalauncher.tooling.oci.go_json import MANIFEST
from metalauncher.tooling.oci.model import INDEXES, MANIFEST_LIMIT, Descriptor, parse_descriptor, parse_json

if TYPE_CHECKING:
    from metalauncher.tooling.oci.model import Store


class Parts(NamedTuple):
    """What an image, or an index of several, is made of.

    Attributes:
        top: what the image's name is to name, and its content.
        children: the manifests that `top` lists, where it is an index.
        blobs: layers and configs, each once.
    """

    top: tuple[Descriptor, bytes]
    children: tuple[tuple[Descriptor, bytes], ...]
    blobs: tuple[Descriptor, ...]


def parts_of(store: Store) -> Parts:
    """Return what the image that a store holds is made of.

    Raises:
        ImageError: it can't be read.
    """
    top = store.top()
    children: list[tuple[Descriptor, bytes]] = []
    if top[0].media_type in INDEXES:
        entries = parse_json(top[1], "the index", MANIFEST)["manifests"]
        images = [parse_descriptor(entry, "an image") for entry in entries]
        children = [(image, store.fetch(image, MANIFEST_LIMIT)) for image in images]
    blobs: dict[str, Descriptor] = {}
    for _, manifest in children or [top]:
        document = parse_json(manifest, "the manifest", MANIFEST)
        for entry in (*document["layers"], document["config"]):
            blob = parse_descriptor(entry, "a part")
            blobs.setdefault(blob.digest, blob)
    return Parts(top, tuple(children), tuple(blobs.values()))
