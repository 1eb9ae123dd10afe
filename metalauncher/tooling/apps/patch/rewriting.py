"""Rewrite one app image so that it delegates to the run image's launcher: bytes in, bytes out, the same anywhere. Pure.

The launcher's layer is replaced in place, its SBOMs in theirs, and what names them: `layers` of the manifest,
`rootfs.diff_ids` and two labels of the config. All else stays byte for byte, what nobody knows too. Media types of the
other family, which lifecycle's exporter mixes in, become the manifest's own: some readers refuse a mixture.
Source: buildpacks/lifecycle platform/files, LayersMetadata and BuildMetadata.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from metalauncher.tooling.apps.patch.document import apply
from metalauncher.tooling.apps.patch.launcher_layer import check_launcher_layer, launcher_layer
from metalauncher.tooling.apps.patch.refusals import Refused
from metalauncher.tooling.apps.patch.sbom_layer import replace_sboms
from metalauncher.tooling.apps.patch.source import Opened, Source, as_refusal, open_source
from metalauncher.tooling.apps.patch.turn import LARGE, Turn, Turns
from metalauncher.tooling.oci.media_types import in_family
from metalauncher.tooling.oci.model import OCI_LAYER, Descriptor, describe
from metalauncher.tooling.sbom.files import SHIM_VERSION
from metalauncher.tooling.sbom.shim import shim_files

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from metalauncher.tooling.apps.patch.document import Edit
    from metalauncher.tooling.apps.patch.launcher_layer import LauncherKind
    from metalauncher.tooling.apps.patch.layer_bytes import NewLayer
    from metalauncher.tooling.oci.image import Layer

# What the build label says of the launcher from now on: of what the app itself has, which no rebase changes.
_CARRIES: Final[Mapping[LauncherKind, str]] = {"shim": f"metalauncher-shim@{SHIM_VERSION}", "symlink": "run-image"}


class NewBlob(NamedTuple):
    """A blob to be uploaded.

    Attributes:
        descriptor: of it.
        data: its content.
    """

    descriptor: Descriptor
    data: bytes


class Rewritten(NamedTuple):
    """An app image as it is to be.

    Attributes:
        manifest: of it.
        config: of it, one of `blobs` too.
        blobs: what the registry has to be given: the config, the launcher's layer, and that of the SBOMs where it is
            another one.
        kept: the other layers, each once, without those that registries do not hold.
        old_launcher_layer: diffID of the layer that was replaced.
    """

    manifest: NewBlob
    config: NewBlob
    blobs: tuple[NewBlob, ...]
    kept: tuple[Descriptor, ...]
    old_launcher_layer: str


def layers_to_read(source: Source) -> tuple[Descriptor, ...]:
    """Return the layers that `rewrite` will ask for: the launcher's, and the SBOMs' where there is one.

    Raises:
        Refused: the image can't be rewritten, whatever is in them.
    """
    opened = open_source(source, force=True)  # who asks has not said yet
    return tuple([opened.image.layers[number].blob for number in (opened.launcher, opened.sbom) if number is not None])


def rewrite(
    source: Source,
    kind: LauncherKind,
    read: Callable[[Descriptor], bytes],
    version: str,
    *,
    force: bool = False,
    must_match: frozenset[str] = frozenset(),
    seen: dict[tuple[str, str], Refused | None] | None = None,
    turn: Turn | None = None,
) -> Rewritten:
    """Return the image as it is to be.

    Args:
        source: the image as it is.
        kind: what is to carry it to the run image's launcher.
        read: gives a layer's blob; its digest is looked at here. Whatever it raises passes through.
        version: of metalauncher, which the shim's SBOMs name as their author.
        force: also where a label says that the image is not to be rebased.
        must_match: diffIDs of the launcher's layers that are to be replaced; empty for all.
        seen: what launchers' layers were found to be, by digest and diffID: a fleet has few, and each is then read
            once. Several threads may share it. None: the layer is read.
        turn: is had while a large layer is held, and from then on where one is returned. None: nobody else has any.

    Raises:
        Refused: it is not rewritten: it can't be, or there is nothing to do.
    """
    turn = Turn(Turns()) if turn is None else turn
    opened = open_source(source, force=force)
    old = opened.image.layers[opened.launcher]
    if must_match and old.diff_id not in must_match:
        raise Refused("not-matched", old.diff_id)
    _check(old, read, {} if seen is None else seen, turn)
    new = {opened.launcher: launcher_layer(kind)}
    if opened.sbom is not None:
        replaced = _replace(opened.image.layers[opened.sbom], read, shim_files(version) if kind == "shim" else {}, turn)
        if replaced is not None:
            new[opened.sbom] = replaced
    config = apply(source.config, as_refusal(lambda: _config_edits(opened, new, kind)))
    media_type = _own_type(opened, opened.config_blob.media_type)
    config_blob = NewBlob(describe(media_type, config), config)
    layer_type = _own_type(opened, OCI_LAYER)
    layers = {
        number: NewBlob(Descriptor(layer_type, each.digest, len(each.data)), each.data) for number, each in new.items()
    }
    manifest = apply(source.manifest, as_refusal(lambda: _manifest_edits(opened, config_blob, layers)))
    kept = [layer.blob for number, layer in enumerate(opened.image.layers) if number not in new and not layer.blob.urls]
    return Rewritten(
        NewBlob(describe(opened.media_type, manifest), manifest),
        config_blob,
        (config_blob, *layers.values()),
        tuple({blob.digest: blob for blob in kept}.values()),
        old.diff_id,
    )


def _replace(
    old: Layer, read: Callable[[Descriptor], bytes], files: Mapping[str, bytes], turn: Turn
) -> NewLayer | None:
    """Return the SBOMs' layer with others; a large one, which shows only when it is made, is made again in turn."""
    if old.blob.size > LARGE:
        turn.take()
    data = read(old.blob)
    while True:
        with turn.making:
            replaced = replace_sboms(old, data, files)
            is_large = replaced is not None and len(replaced.data) > LARGE
            if is_large and not turn.is_taken:
                replaced = None
        if not is_large:
            turn.give()
        if not is_large or turn.is_taken:
            return replaced
        turn.take()


def _check(
    old: Layer, read: Callable[[Descriptor], bytes], seen: dict[tuple[str, str], Refused | None], turn: Turn
) -> None:
    """See that the launcher's layer is one that may be replaced."""
    key = old.blob.digest, old.diff_id
    if key not in seen and old.blob.size > LARGE:
        turn.take()
    if key not in seen:
        data = read(old.blob)
        try:
            check_launcher_layer(old, data)
            seen[key] = None
        except Refused as error:
            seen[key] = Refused(error.code, error.place, error.found)  # without the frames, which hold the layer
    turn.give()
    if (found := seen[key]) is not None:
        raise Refused(found.code, found.place, found.found)


def _config_edits(opened: Opened, new: Mapping[int, NewLayer], kind: LauncherKind) -> list[Edit]:
    diff_ids = opened.config.need("rootfs", "diff_ids").items()
    edits = [diff_ids[number].replaced(each.diff_id) for number, each in new.items()]
    edits.append(opened.lifecycle.need("launcher", "sha").replaced(new[opened.launcher].diff_id))
    if opened.sbom is not None and opened.sbom in new:
        edits.append(opened.lifecycle.need("sbom", "sha").replaced(new[opened.sbom].diff_id))
    launcher = None if opened.build is None else opened.build.get("launcher")
    if launcher is not None:
        edits.append(launcher.replaced(_launcher_metadata(kind)))
    return edits


def _launcher_metadata(kind: LauncherKind) -> dict[str, Any]:
    """Return lifecycle's LauncherMetadata, whole: where the old launcher's source was is no fact of ours."""
    return {"version": _CARRIES[kind], "source": {"git": {"repository": "", "commit": ""}}}


def _manifest_edits(opened: Opened, config: NewBlob, new: Mapping[int, NewBlob]) -> list[Edit]:
    edits = _descriptor_edits(opened.manifest.need("config").members(), config.descriptor)
    for number, entry in enumerate(opened.manifest.need("layers").items()):
        members = entry.members()
        if number in new:
            edits += _descriptor_edits(members, new[number].descriptor)
            continue
        media_type = members["mediatype"]
        if media_type.text != (own := _own_type(opened, media_type.text)):
            edits.append(media_type.replaced(own))
    return edits


def _descriptor_edits(members: Mapping[str, Any], descriptor: Descriptor) -> list[Edit]:
    named = (("mediatype", descriptor.media_type), ("digest", descriptor.digest), ("size", descriptor.size))
    return [members[key].replaced(value) for key, value in named if members[key].value != value]


def _own_type(opened: Opened, media_type: str) -> str:
    own = in_family(media_type, opened.media_type)
    if own is None:
        raise Refused("mixed-types", opened.media_type, media_type)
    return own
