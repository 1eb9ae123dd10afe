"""What `metalauncher image` says of what it made: as text, and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from metalauncher import __version__
from metalauncher.tooling.console import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from metalauncher.explain.jsontext import Json
    from metalauncher.tooling.console import Console
    from metalauncher.tooling.image.push import Pushed
    from metalauncher.tooling.oci.append_layer import AmendedStore
    from metalauncher.tooling.oci.layer_writer import NewLayer
    from metalauncher.tooling.sbom.model import Stated

SCHEMA_VERSION = 1  # schemas/image.schema.json


class Built(NamedTuple):
    """One image that was made.

    Attributes:
        platform: `os/architecture[/variant]`.
        store: holds the image.
        layer: the one that was added; None where the base had all of it.
        labels: that were added.
        launchers: their names, as the registry has them.
        stated: what is known of vulnerabilities in what metalauncher brings to it.
        missing: what CNB asks of a run image, and the base has not.
        was: the digest of the base's manifest; "" for an empty base.
    """

    platform: str
    store: AmendedStore
    layer: NewLayer | None
    labels: dict[str, str]
    launchers: tuple[str, ...]
    stated: Stated
    missing: tuple[str, ...]
    was: str


class Written(NamedTuple):
    """What was written, and where.

    Attributes:
        base: as it was named.
        digest: of the manifest, or of the index.
        outputs: where to, as references.
        pushed: to which registries.
    """

    base: str
    digest: str
    outputs: tuple[str, ...]
    pushed: tuple[Pushed, ...] = ()


def report(built: Sequence[Built], written: Written, console: Console, form: str) -> None:
    """Say it.

    Args:
        built: the images; several are in an index.
        written: what was written, and where.
        console: where to.
        form: `json` or `text`.
    """
    if form == "json":
        console.document(_document(built, written))
        return
    places = [*written.outputs, *[str(one.target) for one in written.pushed]]
    console.out([f"{place} {written.digest}" for place in places])
    for push in written.pushed:
        was = "names this image already" if push.was_there else "pushed"
        console.say(f"{push.target}: {was}, {push.sent:,} bytes sent")
        for one in push.attached:
            was = "the VEX was attached already" if one.was_there else "VEX attached"
            console.say(f"{push.target.host}/{push.target.repository}@{one.subject}: {was}, {one.manifest}")
    for image in built:
        platform = f"{image.platform}: " if len(built) > 1 else ""
        added = f"no layer on {written.base}, which has all of it"
        if image.store.top()[0].digest != image.was:
            added += " (only its config is new, and with it the digest)"
        if image.layer is not None:
            size = f"{image.layer.layer.blob.size:,} bytes ({image.layer.expanded:,} unpacked)"
            added = f"one layer of {size} on {written.base}"
        console.say(f"{platform}{added}: metalauncher and {count(len(image.launchers), 'launcher')}")


def _document(built: Sequence[Built], written: Written) -> dict[str, Json]:
    head: dict[str, Json] = {
        "schema_version": SCHEMA_VERSION,
        "metalauncher": __version__,
        "base": written.base,
    }
    pushed: list[Json] = [_pushed(one) for one in written.pushed]
    places: dict[str, Json] = {"outputs": list(written.outputs), **({"pushed": pushed} if pushed else {})}
    images = [_image(one) for one in built]
    if len(built) == 1:
        return {**head, **images[0], **places}
    platforms: list[Json] = [{"platform": one.platform, **image} for one, image in zip(built, images, strict=True)]
    return {**head, "index": written.digest, "platforms": platforms, **places}


def _pushed(one: Pushed) -> dict[str, Json]:
    attached: list[Json] = [each._asdict() for each in one.attached]
    return {
        "image": str(one.target),
        "sent": one.sent,
        "was_there": one.was_there,
        **({"attached": attached} if attached else {}),
    }


def _image(one: Built) -> dict[str, Any]:
    layer = None
    if one.layer is not None:
        blob = one.layer.layer.blob
        layer = {
            "digest": blob.digest,
            "diff_id": one.layer.layer.diff_id,
            "size": blob.size,
            "expanded": one.layer.expanded,
        }
    return {
        "manifest": one.store.top()[0].digest,
        "layer": layer,
        "launchers": list(one.launchers),
        "labels": dict(one.labels),
    }
