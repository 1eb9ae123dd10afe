"""What media types say, of manifests and indexes, and of layers. Pure.

Sources: the OCI image specification 1.1 (media-types.md), and Docker's image manifest version 2, schema 2.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal

from metalauncher.explain.terminal import printable
from metalauncher.tooling.oci.go_json import MANIFEST
from metalauncher.tooling.oci.model import (
    INDEXES,
    MANIFESTS,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
    ImageError,
    parse_json,
)

if TYPE_CHECKING:
    from typing import Any

Family = Literal["oci", "docker"]
MANIFEST_TYPES: Final[dict[Family, str]] = {
    "oci": OCI_MANIFEST,
    "docker": "application/vnd.docker.distribution.manifest.v2+json",
}
INDEX_TYPES: Final[dict[Family, str]] = {
    "oci": OCI_INDEX,
    "docker": "application/vnd.docker.distribution.manifest.list.v2+json",
}
ACCEPT: Final = ", ".join(sorted(INDEXES | MANIFESTS, key=lambda kind: ("oci" not in kind, kind)))
OCI_TAR: Final = "application/vnd.oci.image.layer.v1.tar"  # a layer that is not compressed
_SCHEMA_1 = re.compile(r"application/vnd\.docker\.distribution\.manifest\.v1\+.*")
# An OCI manifest names OCI's media types; the bytes of Docker's layers are the same.
_OF_DOCKER = {
    "application/vnd.docker.image.rootfs.diff.tar": OCI_TAR,
    "application/vnd.docker.image.rootfs.diff.tar.gzip": OCI_LAYER,
    "application/vnd.docker.image.rootfs.diff.tar.zstd": f"{OCI_TAR}+zstd",
    "application/vnd.docker.container.image.v1+json": OCI_CONFIG,
}
# The other way round without zstd, which Docker's specification does not have.
_TO_DOCKER = {oci: docker for docker, oci in _OF_DOCKER.items() if not oci.endswith("+zstd")}
_OCI, _DOCKER = "application/vnd.oci.", "application/vnd.docker."


def manifest_type(body: bytes, header: str | None) -> str:
    """Return the media type of a manifest or index.

    Its own `mediaType` decides, then the header, then its fields: older indexes and manifests say nothing themselves,
    and some registries serve everything as JSON.

    Args:
        body: the document.
        header: the media type that it was served with; None for none.

    Raises:
        ImageError: it is none, of a kind that is not read, or two at once: with another media type it would be
            another image (CVE-2021-41190).
    """
    served = (header or "").partition(";")[0].strip().lower()
    if _SCHEMA_1.fullmatch(served):
        raise _schema_1()
    document = parse_json(body, "the manifest", MANIFEST)
    if document.get("schemaVersion") == 1:
        raise _schema_1()
    own = document.get("mediaType")
    known = INDEXES | MANIFESTS
    kind = own if isinstance(own, str) and own else served if served in known else _guess(document)
    if kind not in known:
        raise ImageError("unsupported", f"it is not an image: its media type is {printable(str(kind)[:100])!r}")
    if served in known and served != kind:
        raise ImageError("damaged", f"the manifest says that it is {kind}, and is served as {served}")
    if ("manifests" in document) != (kind in INDEXES) or ("layers" in document) != (kind in MANIFESTS):
        raise ImageError("damaged", f"the manifest's fields are not those of {kind}")
    return kind


def _guess(document: dict[str, Any]) -> str:
    return OCI_INDEX if "manifests" in document else OCI_MANIFEST if "layers" in document else "none"


def _schema_1() -> ImageError:
    return ImageError(
        "unsupported",
        "its manifest is of Docker's schema 1, outdated and not read here; push the image again with a current client",
    )


def family_of(media_type: str) -> Family:
    """Return whose media type that of a manifest or an index is."""
    return "docker" if media_type.startswith(_DOCKER) else "oci"


def in_family(media_type: str, manifest: str) -> str | None:
    """Return what the content is called in the family of a manifest: OCI's or Docker's.

    Args:
        media_type: of a layer or a config.
        manifest: media type of the manifest that is to list it.

    Returns:
        The same where it is of that family, or of neither; None where there is no counterpart.
    """
    docker = manifest.startswith(_DOCKER)
    if not media_type.startswith(_OCI if docker else _DOCKER):
        return media_type
    return (_TO_DOCKER if docker else _OF_DOCKER).get(media_type)
