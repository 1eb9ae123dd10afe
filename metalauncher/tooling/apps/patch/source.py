"""Open an app image that is to be rewritten: its two documents, its labels, and which layers are which. Pure.

All that is refused before a layer is read is refused here.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from metalauncher.tooling.apps.launcher_inventory import BUILD_LABEL
from metalauncher.tooling.apps.patch.document import DocumentError, Value, parse
from metalauncher.tooling.apps.patch.held import Held
from metalauncher.tooling.apps.patch.refusals import Refused
from metalauncher.tooling.oci.go_json import CONFIG, MANIFEST
from metalauncher.tooling.oci.image import Image, load_image
from metalauncher.tooling.oci.media_types import manifest_type
from metalauncher.tooling.oci.model import (
    CONFIG_LIMIT,
    INDEXES,
    MANIFEST_LIMIT,
    OCI_LAYER,
    Descriptor,
    ImageError,
    parse_descriptor,
    parse_json,
)
from metalauncher.tooling.oci.verified import read_whole
from metalauncher.tooling.run_image.labels import APP_LABEL

if TYPE_CHECKING:
    from collections.abc import Callable

    from metalauncher.tooling.apps.patch.refusals import RefusalCode
    from metalauncher.tooling.oci.image import Layer

REBASABLE: Final = "io.buildpacks.rebasable"
_LABEL_LIMIT: Final = 4 << 20  # characters of a label; with hundreds of layers it has 100 KB
_DESCRIPTOR_KEYS = {"mediatype", "digest", "size"}
_LAYER_TYPES = frozenset(
    (
        OCI_LAYER,
        "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.docker.image.rootfs.diff.tar",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
    )
)
_Result = TypeVar("_Result")


class Source(NamedTuple):
    """An app image of one platform, as it is stored.

    Attributes:
        descriptor: of the manifest.
        manifest: the document.
        config: the document.
    """

    descriptor: Descriptor
    manifest: bytes
    config: bytes


class Opened(NamedTuple):
    """An image that may be rewritten, as far as can be told without its layers.

    Attributes:
        media_type: of the manifest.
        manifest: the document.
        config: the document.
        lifecycle: that in the label `io.buildpacks.lifecycle.metadata`.
        build: that in the label `io.buildpacks.build.metadata`; None where there is none.
        image: the same as others read it.
        config_blob: what the manifest says of the config.
        launcher: number of the launcher's layer, from the lowest.
        sbom: that of the SBOMs' layer; None where there is none.
    """

    media_type: str
    manifest: Value
    config: Value
    lifecycle: Value
    build: Value | None
    image: Image
    config_blob: Descriptor
    launcher: int
    sbom: int | None


def as_refusal(act: Callable[[], _Result], what: str = "") -> _Result:
    """Return what a function returns that looks into a document.

    Args:
        act: the function.
        what: the document, for messages.

    Raises:
        Refused: the document can't be edited.
    """
    try:
        return act()
    except DocumentError as error:
        place = f"{what}: {error.key}" if what and error.key else what or error.key
        code: RefusalCode = "repeated-key" if error.code == "repeated" else "damaged-document"
        raise Refused(code, place, "" if code == "repeated-key" else error.code) from None


def open_source(source: Source, *, force: bool = False) -> Opened:
    """Open an image.

    Args:
        source: the image.
        force: also where a label says that the image is not to be rebased.

    Raises:
        Refused: it can't be rewritten.
    """
    media_type, image, config_blob = _load(source)
    manifest = as_refusal(lambda: parse(source.manifest, MANIFEST_LIMIT), "the manifest")
    config = as_refusal(lambda: parse(source.config, CONFIG_LIMIT), "the config")
    if image.labels.get(REBASABLE) == "false" and not force:
        raise Refused("not-rebasable", REBASABLE)
    lifecycle = _label(config, APP_LABEL)
    if lifecycle is None:
        raise Refused("no-label", APP_LABEL)
    build = _label(config, BUILD_LABEL)
    sha = _sha(lifecycle, "launcher")
    if sha is None:
        raise Refused("damaged-label", APP_LABEL, "launcher.sha")
    launcher = _find(image, sha, "launcher.sha", lifecycle)
    top = _text(lifecycle, "runImage", "topLayer")
    _refuse_run_image(image, launcher, top, "launcher.sha")
    sbom = None
    if (sha := _sha(lifecycle, "sbom")) is not None:
        sbom = _find(image, sha, "sbom.sha", lifecycle)
        _refuse_run_image(image, sbom, top, "sbom.sha")
    for number in (launcher, *(() if sbom is None else (sbom,))):
        _refuse_type(image.layers[number])
    as_refusal(lambda: _refuse_descriptors(manifest, launcher, sbom), "the manifest")
    return Opened(media_type, manifest, config, lifecycle, build, image, config_blob, launcher, sbom)


def _load(source: Source) -> tuple[str, Image, Descriptor]:
    """Return the image as all commands read it."""
    try:
        _verify(source.manifest, source.descriptor, "the manifest")
        document = parse_json(source.manifest, "the manifest", MANIFEST)
        if document.get("schemaVersion") == 1:
            raise Refused("schema-1")
        media_type = manifest_type(source.manifest, source.descriptor.media_type)
        if media_type in INDEXES:
            raise Refused("index", media_type)
        config = parse_descriptor(document.get("config"), "the config")
        _verify(source.config, config, "the config")
        _refuse_unequal(document, parse_json(source.config, "the config", CONFIG))
        image = load_image(Held({config.digest: source.config}, (source.descriptor, source.manifest)), "")
    except ImageError as error:
        raise Refused("no-image", "", error.reason) from None
    return media_type, image, config


def _verify(data: bytes, descriptor: Descriptor, what: str) -> None:
    try:
        read_whole(io.BytesIO(data), descriptor, CONFIG_LIMIT)
    except ImageError as error:
        raise Refused("digest", what, error.reason) from None


def _refuse_unequal(manifest: dict[str, Any], config: dict[str, Any]) -> None:
    layers, rootfs = manifest.get("layers"), config.get("rootfs")
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    numbers = [len(each) if isinstance(each, list) else 0 for each in (layers, diff_ids)]
    if numbers[0] != numbers[1]:
        raise Refused("unequal-layers", "", f"{numbers[0]} in the manifest, {numbers[1]} in the config")


def _label(config: Value, name: str) -> Value | None:
    found = as_refusal(lambda: config.get("config"), "the config")
    labels = None if found is None else as_refusal(lambda: found.get("Labels"), "the config")
    label = None if labels is None else as_refusal(lambda: labels.get(name, exact=True), "the config")
    if label is None:
        return None
    try:
        return label.embedded(_LABEL_LIMIT)
    except DocumentError as error:
        code: RefusalCode = "repeated-key" if error.code == "repeated" else "damaged-label"
        raise Refused(code, f"{name}: {error.key}" if code == "repeated-key" else name, error.code) from None


def _sha(lifecycle: Value, key: str) -> str | None:
    return _text(lifecycle, key, "sha")


def _text(lifecycle: Value, *keys: str) -> str | None:
    found = as_refusal(lambda: lifecycle.get(*keys), APP_LABEL)
    return None if found is None else as_refusal(lambda: found.text, APP_LABEL) or None


def _find(image: Image, diff_id: str, key: str, lifecycle: Value) -> int:
    """Return the number of the one layer that a label names."""
    numbers = [number for number, layer in enumerate(image.layers) if layer.diff_id == diff_id]
    if not numbers:
        raise Refused("no-layer", diff_id, key)
    if len(numbers) > 1 or _count(lifecycle.value, diff_id) > 1:
        raise Refused("repeated-layer", diff_id, key)
    return numbers[0]


def _refuse_run_image(image: Image, number: int, top: str | None, key: str) -> None:
    """Refuse a layer of the run image, which is not the app's to change."""
    if any([layer.diff_id == top for layer in image.layers[number:]]):
        raise Refused("run-image-layer", image.layers[number].diff_id, key)


def _count(value: object, text: str) -> int:
    """Return how often a text is among the values of a document."""
    if isinstance(value, dict):
        return sum([_count(each, text) for each in value.values()])
    if isinstance(value, list):
        return sum([_count(each, text) for each in value])
    return value == text


def _refuse_type(layer: Layer) -> None:
    if layer.blob.media_type not in _LAYER_TYPES:
        raise Refused("layer-type", layer.blob.digest, layer.blob.media_type)


def _refuse_descriptors(manifest: Value, launcher: int, sbom: int | None) -> None:
    """Refuse what says more of a blob than would be known of the one in its place: URLs, data, an index for stargz."""
    layers = manifest.need("layers").items()
    for each in (manifest.need("config"), layers[launcher], *(() if sbom is None else (layers[sbom],))):
        for key, value in each.members().items():
            if key not in _DESCRIPTOR_KEYS and value.value:
                raise Refused("descriptor", value.path)
