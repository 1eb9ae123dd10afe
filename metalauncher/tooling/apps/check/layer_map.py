"""What an app image's labels say of its layers: where the run image ends, and which layer holds what. Pure.

Source: buildpacks/lifecycle platform/files (LayersMetadata), the label `io.buildpacks.lifecycle.metadata`: digests of
layers before compression. Labels may be missing (squashed, flattened images), stale or wrong: what they say is held
against the layers there are, and what is found in a layer decides.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from metalauncher.tooling.run_image.labels import APP_LABEL

if TYPE_CHECKING:
    from metalauncher.tooling.oci.image import Image

_REBASABLE = "io.buildpacks.rebasable"
_LIMIT: Final = 4 << 20  # bytes of the label; with hundreds of layers it has 100 KB


class Shape(NamedTuple):
    """Which of an image's layers is which, by number from the lowest; None where the labels don't say it.

    Attributes:
        own: the first layer above the run image's.
        launcher: holds `/cnb/lifecycle/launcher`.
        config: holds `metadata.toml`.
        explained: all layers that the labels name, whatever as.
        notes: what is odd about the labels.
    """

    own: int | None
    launcher: int | None
    config: int | None
    explained: frozenset[int]
    notes: tuple[str, ...]

    @property
    def is_exporters(self) -> bool:
        """The layers lie as an exporter leaves them: run image, buildpacks and app, launcher, config, process types."""
        return self.own is not None and self.launcher is not None and self.config == self.launcher + 1


def read_shape(image: Image) -> Shape:
    """Return what an image's labels say of its layers."""
    text = image.labels.get(APP_LABEL)
    notes: list[str] = []
    if image.labels.get(_REBASABLE) == "false":
        notes.append(f"a rebase refuses it: its label {_REBASABLE} is false")
    document = _parse(text or "")
    if document is None:
        notes.append(f"has no label {APP_LABEL}" if text is None else f"its label {APP_LABEL} can't be read")
        return Shape(None, None, None, frozenset(), (*notes, _NO_REBASE))
    # Of layers with the same content, the topmost counts.
    numbers = {layer.diff_id: number for number, layer in enumerate(image.layers)}
    launcher, config = (numbers.get(_text(document.get(key), "sha")) for key in ("launcher", "config"))
    # A rebase takes the lowest of them for the run image's topmost.
    lowest = {layer.diff_id: number for number, layer in reversed(list(enumerate(image.layers)))}
    top = lowest.get(_text(document.get("runImage"), "topLayer"))
    if top is not None and any([number is not None and number <= top for number in (launcher, config)]):
        notes.append(f"its label {APP_LABEL} counts the app's layers among the run image's")
        top = None
    elif top is None:
        notes.append(f"its label {APP_LABEL} does not name the run image's topmost layer")
    if top is None:
        notes.append(_NO_REBASE)
    explained = frozenset([numbers[digest] for digest in _digests(document) if digest in numbers])
    return Shape(None if top is None else top + 1, launcher, config, explained, tuple(notes))


_NO_REBASE = "where its run image ends is not known: it can't be rebased as it is"


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
    """Return every `sha` in it, wherever: each lifecycle has its own tables."""
    found: list[str] = []
    pending: list[Any] = [document]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            found += [item for key, item in value.items() if key == "sha" and isinstance(item, str)]
            pending += value.values()
        elif isinstance(value, list):
            pending += value
    return found
