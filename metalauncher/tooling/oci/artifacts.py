"""What registries and layouts hold beside images: Helm charts, signatures, attestations, and other artifacts. Pure.

Sources: the OCI image specification 1.1 (manifest.md, "Guidelines for Artifact Usage"), and the media types that the
projects named below register or document.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from metalauncher.tooling.oci.model import INDEXES, MANIFESTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from metalauncher.tooling.oci.model import Descriptor

# Some registries' oldest images of Docker's schema 2 have the last one.
_IMAGE_CONFIGS = frozenset(
    (
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.docker.container.image.v1+json",
        "application/octet-stream",
    )
)
# What an index may say that an entry is, and is an image: the type of its config (referrers), or of its manifest.
_IMAGES = _IMAGE_CONFIGS | MANIFESTS | INDEXES
_EMPTY = "application/vnd.oci.empty.v1+json"
# What a media type begins with: what people call it.
_KINDS: Final = {
    "application/vnd.cncf.helm.": "a Helm chart",
    "application/vnd.in-toto": "an attestation",
    "application/vnd.dsse.envelope": "an attestation",
    "application/vnd.dev.cosign.": "a signature",
    "application/vnd.dev.sigstore.bundle": "a signature",
    "application/vnd.cncf.notary.signature": "a signature",
    "application/vnd.docker.plugin.": "a Docker plugin",
    "application/vnd.docker.ai.": "a model",
    "application/vnd.cncf.model.": "a model",
    "application/vnd.wasm.": "a WebAssembly module",
    "application/vnd.cncf.flux.": "a Flux artifact",
    "application/vnd.cncf.openpolicyagent.": "a policy",
    "application/vnd.cyclonedx": "an SBOM",
    "application/spdx+json": "an SBOM",
    "text/spdx": "an SBOM",
    "application/vnd.syft+json": "an SBOM",
}
_ATTESTATION = ("vnd.docker.reference.type", "attestation-manifest")  # BuildKit's, in indexes


def artifact_of(manifest: Mapping[str, Any], config: Descriptor, layers: Sequence[Descriptor]) -> str:
    """Return what a manifest is that is no image's, such as `a Helm chart (application/…)`; "" for an image's.

    Args:
        manifest: the document.
        config: what it names as the config.
        layers: what it names as layers.
    """
    declared = manifest.get("artifactType")
    if config.media_type not in _IMAGE_CONFIGS:
        kind = config.media_type
        return _called(str(declared) if declared and kind == _EMPTY else kind)
    # BuildKit's attestations and cosign's first signatures have an image's config, and layers that are no file systems.
    # What the layers of an image are called is not looked at any closer: some tools give them types of their own.
    if layers and all(_kind_of(layer.media_type) for layer in layers):
        return _called(layers[0].media_type)
    return ""


def _called(media_type: str) -> str:
    return f"{_kind_of(media_type) or 'an artifact'} ({media_type[:100]})"


def _kind_of(media_type: str) -> str:
    return next((name for start, name in _KINDS.items() if media_type.startswith(start)), "")


def is_beside_images(descriptor: Descriptor) -> bool:
    """Tell whether an index says of an entry that it is none of its images: an attestation, a signature."""
    if descriptor.platform == "unknown/unknown" or _ATTESTATION in descriptor.annotations:
        return True
    return bool(descriptor.artifact_type) and descriptor.artifact_type not in _IMAGES
