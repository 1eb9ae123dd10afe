"""Fleets in a real registry: hundreds or thousands of apps of a few dozen kinds, and what becomes of each."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import images
from harness import APPS
from images import Layout
from rebased import World

if TYPE_CHECKING:
    from metalauncher.tooling.apps.check.verdict import Result

ROUTES = ("symlink", "shim", "self-contained")
GONE = images.pack([images.link(images.LIFECYCLE, "/usr/local/bin/launcher")])


def stock(folder: Path, layout: Layout, names: Mapping[str, str]) -> None:
    """Lay images into the storage of a docker-registry that is not running, as pushes would leave them.

    Args:
        folder: of the registry.
        layout: that holds them.
        names: of a tag in it for each `REPOSITORY:TAG`.
    """
    base = folder / "storage/docker/registry/v2"
    digests = {entry["annotations"][images.REF_NAME]: entry["digest"] for entry in layout.entries}
    for name, tag in names.items():
        repository, _, version = name.partition(":")
        place = base / "repositories" / repository
        manifest = layout.read(digests[tag])
        for digest in (digests[tag], manifest["config"]["digest"], *[each["digest"] for each in manifest["layers"]]):
            data = base / "blobs/sha256" / digest[7:9] / digest[7:] / "data"
            if not data.exists():
                data.parent.mkdir(parents=True, exist_ok=True)
                os.link(layout.blob(digest), data)
            if digest != digests[tag]:
                _point(place / "_layers/sha256" / digest[7:], digest)
        _point(place / "_manifests/revisions/sha256" / digests[tag][7:], digests[tag])
        _point(place / "_manifests/tags" / version / "current", digests[tag])


def _point(place: Path, digest: str) -> None:
    try:
        os.makedirs(place)
    except FileExistsError:  # several images of a repository share a layer
        return
    with open(place / "link", "w", encoding="ascii") as file:
        file.write(digest)


@dataclass
class Fleet:
    """Apps of several kinds.

    Attributes:
        world: where they are made.
        names: of a tag of the world's layout for each `REPOSITORY:TAG`.
        kinds: for each of these the tag of the app that it is a copy of.
    """

    world: World
    names: dict[str, str]
    kinds: dict[str, str]

    def prove(self, on: str) -> dict[str, Result]:
        """Start one app of each kind on a run image, hold its verdict against that, and return every app's verdict."""
        return self._spread({tag: self.world.prove(tag, on) for tag in sorted(set(self.kinds.values()))})

    def judge(self, on: str) -> dict[str, Result]:
        """Return every app's verdict without starting any."""
        return self._spread({tag: self.world.judge(tag, on) for tag in sorted(set(self.kinds.values()))})

    def _spread(self, found: Mapping[str, Result]) -> dict[str, Result]:
        return {name: found[tag] for name, tag in self.kinds.items()}


def make_fleet(world: World, copies: int) -> Fleet:
    """Export each app of tests/data/apps by each route, and some that lead nowhere, each so many times.

    Every copy is an image of its own: its metadata.toml has another comment.
    """
    names: dict[str, str] = {}
    kinds: dict[str, str] = {}
    for app in [images.load_app(path.name) for path in sorted(APPS.iterdir())]:
        for route in (*ROUTES, "gone"):
            executable = world.rig.launcher if route == "self-contained" else b""
            for copy in range(copies):
                own = dataclasses.replace(app, metadata=app.metadata + f"\n# copy {copy}\n".encode())
                tag = f"{app.name}-{route}-{copy}"
                images.export(
                    world.layout, "old", own, "symlink" if route == "gone" else route, tag, executable=executable
                )
                if route == "gone":
                    _patch(world.layout, tag, GONE)
                name = f"team-{len(app.name)}/{app.name}-{route}:{copy}"
                names[name], kinds[name] = tag, f"{app.name}-{route}-0"
    world.layout.save()
    return Fleet(world, names, kinds)


def _patch(layout: Layout, tag: str, layer: images.Layer) -> None:
    """Put a layer on top of an image, as patches do."""
    manifest, config = layout.image(tag)
    config["rootfs"]["diff_ids"].append(layer.diff_id)
    config["history"].append({"created_by": "a patch"})
    layout.add(config, [*manifest["layers"], layout.put(layer.data, layer.media_type)], tag)
