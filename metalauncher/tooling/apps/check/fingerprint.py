"""Tell whether an unpacked run image still is what it was, as far as that decides: it has no digest to say so."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Final

from metalauncher.places import EXECUTABLE
from metalauncher.tooling.oci.files import open_regular
from metalauncher.tooling.oci.model import ImageError
from metalauncher.tooling.run_image.labels import ENTRYPOINT

if TYPE_CHECKING:
    from metalauncher.tooling.oci.tree import Node
    from metalauncher.tooling.run_image.model import RunImage

_CONTENT_LIMIT: Final = 256 << 20  # bytes of a launcher; of a larger one only the size counts
_CHUNK = 1 << 20


def fingerprint(run: RunImage) -> str:
    """Return a digest of metalauncher, its link and the launchers of an unpacked run image; "" of one with a digest.

    Of each: where its path leads, its mode, size and content, and why it can't be exec'd if it can't, which an
    interpreter or a loader may decide.
    """
    if run.digest is not None:
        return ""
    entries: list[list[object]] = []
    for path in sorted({ENTRYPOINT, EXECUTABLE, *run.starts}):
        found = run.tree.find(path)
        entries.append([path] if found is None else [path, *_describe(*found), run.obstacle(found[0])])
    return hashlib.sha256(json.dumps(entries).encode()).hexdigest()


def _describe(place: str, node: Node) -> list[object]:
    content = ""
    if node.kind == "file" and node.content and node.size <= _CONTENT_LIMIT:
        digest = hashlib.sha256()
        try:
            with open_regular(node.content) as file:
                while data := file.read(_CHUNK):
                    digest.update(data)
            content = digest.hexdigest()
        except (ImageError, OSError) as error:
            content = type(error).__name__
    return [place, node.kind, node.mode, node.size, content]
