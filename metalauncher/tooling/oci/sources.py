"""Open the store that a reference names. Knows every kind of store, and nothing of what is read from one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metalauncher.tooling.oci.archive import ArchiveStore
from metalauncher.tooling.oci.layout import LayoutStore
from metalauncher.tooling.oci.model import ImageError

if TYPE_CHECKING:
    from metalauncher.tooling.oci.model import Store
    from metalauncher.tooling.oci.reference import Reference


def open_store(reference: Reference) -> Store:
    """Return what holds the image. Nothing is read yet.

    Raises:
        ImageError: images of that kind are not read here.
    """
    match reference.kind:
        case "oci":
            return LayoutStore(reference.place, reference.tag)
        case "docker-archive":
            return ArchiveStore(reference.place, reference.tag)
        case "dir":
            raise ImageError("unsupported", "is an unpacked root filesystem, without an image's config")
        case _:
            raise ImageError(
                "unsupported", f"is in a registry: copy it first, skopeo copy docker://{reference} oci:DIR"
            )
