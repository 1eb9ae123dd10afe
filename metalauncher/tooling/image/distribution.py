"""What CNB asks of a run image and its base lacks, and what the base says of its distribution. Writes nothing."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Final

from metalauncher.tooling.reading import ReadError, read_regular

if TYPE_CHECKING:
    from metalauncher.tooling.oci.image import Image
    from metalauncher.tooling.oci.tree import Tree

OS_RELEASE: Final = ("etc/os-release", "usr/lib/os-release")  # os-release(5), in its order
OS_RELEASE_LIMIT: Final = 64 << 10  # bytes; Debian's has 300
_LABELS = {"io.buildpacks.base.distro.name": "ID", "io.buildpacks.base.distro.version": "VERSION_ID"}
_PLAIN = re.compile(r"[A-Za-z0-9._+~-]{1,64}")


def lacking(image: Image | None, tree: Tree) -> list[str]:
    """Return what CNB asks of a run image and this base has not, each with what adds it.

    Source: the CNB Platform API, "Run Image", and the labels of "Target data", whose values are those of os-release(5).

    Args:
        image: the base; None for an empty one.
        tree: its files, with the content of `OS_RELEASE`.
    """
    config = {} if image is None else image.config
    run = config.get("config")
    labels = {} if image is None else image.labels
    found: list[str] = []
    if str((run if isinstance(run, dict) else {}).get("User") or "").partition(":")[0] in ("", "0", "root"):
        found.append("a user that is not root (USER 1000:1000)")
    wanting = {label: key for label, key in _LABELS.items() if not labels.get(label)}
    if "io.buildpacks.stack.id" not in labels and wanting:
        said = _os_release(tree)
        known = [f"{label}={said[key]}" for label, key in wanting.items() if key in said]
        if len(known) == len(wanting):
            found.append(f"its distribution (LABEL {' '.join(known)})")
        else:
            asked = [f"{label}={said.get(key, label.rpartition('.')[2].upper())}" for label, key in wanting.items()]
            found.append(f"its distribution (LABEL {' '.join(asked)}: not in its /etc/os-release)")
    if image is not None and not (config.get("os") and config.get("architecture")):
        found.append("os and architecture in its config (build it with --platform linux/amd64)")
    return found


def _os_release(tree: Tree) -> dict[str, str]:
    """Return the variables of the base's os-release(5) that can stand in a label as they are."""
    node = next((found[1] for path in OS_RELEASE if (found := tree.find(path)) and found[1].kind == "file"), None)
    if node is None or not node.content:
        return {}
    try:
        text = read_regular(node.content, OS_RELEASE_LIMIT).decode("utf-8", "replace")
    except ReadError:
        return {}
    said: dict[str, str] = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        try:
            words = shlex.split(value, comments=True) if equals else []
        except ValueError:  # a quote without an end
            continue
        if len(words) == 1 and _PLAIN.fullmatch(words[0]):
            said[name] = words[0]
    return said
