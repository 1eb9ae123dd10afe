"""What an app image's labels say of its layers: where the run image ends, and which layers lifecycle wrote. Pure.

Source: buildpacks/lifecycle platform/files (LayersMetadata), the label `io.buildpacks.lifecycle.metadata`: digests of
layers before compression. Labels may be missing (squashed, flattened images), stale or wrong.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from metalauncher.tooling.run_image.labels import APP_LABEL

if TYPE_CHECKING:
    from metalauncher.tooling.oci.image import Image

_REBASABLE = "io.buildpacks.rebasable"
_LIMIT: Final = 4 << 20  # bytes of the label; with hundreds of layers it has 100 KB
_NO_REBASE = "where its run image ends is not known: it can't be rebased as it is"
# What decides about a start is looked at, and never assumed.
_DECIDING = ("launcher", "config", "process-types")


class LayerMap(NamedTuple):
    """Which of an image's layers is which, by number from the lowest.

    Attributes:
        own: the first layer above the run image's; None where the labels don't say it.
        exported: the layers of which the labels say that lifecycle wrote them for a buildpack, an SBOM or the app.
        notes: what is odd about the labels.
    """

    own: int | None
    exported: frozenset[int]
    notes: tuple[str, ...]


def read_layer_map(image: Image) -> LayerMap:
    """Return what an image's labels say of its layers."""
    text = image.labels.get(APP_LABEL)
    notes: list[str] = []
    if image.labels.get(_REBASABLE) == "false":
        notes.append(f"a rebase refuses it: its label {_REBASABLE} is false")
    document = _parse(text or "")
    if document is None:
        notes.append(f"has no label {APP_LABEL}" if text is None else f"its label {APP_LABEL} can't be read")
        return LayerMap(None, frozenset(), (*notes, _NO_REBASE))
    numbers: dict[str, list[int]] = {}
    for number, layer in enumerate(image.layers):
        numbers.setdefault(layer.diff_id, []).append(number)
    deciding = [number for key in _DECIDING for number in numbers.get(_text(document.get(key), "sha"), [])]
    # A rebase takes the lowest of several layers with one content for the run image's topmost.
    top = next(iter(numbers.get(_text(document.get("runImage"), "topLayer"), [])), None)
    if top is not None and any([number <= top for number in deciding]):
        notes.append(f"its label {APP_LABEL} counts the app's layers among the run image's")
        top = None
    elif top is None:
        notes.append(f"its label {APP_LABEL} does not name the run image's topmost layer")
    if top is None:
        notes.append(_NO_REBASE)
    exported = {number for digest in _digests(document) for number in numbers.get(digest, ())}
    return LayerMap(None if top is None else top + 1, frozenset(exported.difference(deciding)), tuple(notes))


def _parse(text: str) -> dict[str, Any] | None:
    try:
        document = json.loads(text) if len(text) <= _LIMIT else None
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _text(value: Any, key: str) -> str:
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""


def _digests(document: dict[str, Any]) -> list[str]:
    """Return the digests of a buildpack's, an SBOM's and the app's layers; each lifecycle has its own tables."""
    found: list[str] = []
    pending: list[Any] = [value for key, value in document.items() if key not in ("runImage", *_DECIDING)]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            found += [item for key, item in value.items() if key == "sha" and isinstance(item, str)]
            pending += value.values()
        elif isinstance(value, list):
            pending += value
    return found
