"""An app image as far as it decides about its start: what it was built with, and what lies where it begins.

Fetches as little as can be. Where an exporter left the layers as it does, these are read:

- the launcher's layer: once in a run, for a fleet has few different ones;
- whatever lies above: the links of the process types, which many apps share, and patches, of which the topmost counts;
- the layer with metadata.toml, unless the launcher is a program of its own;
- then also what no label explains: layers of image extensions.

Else the layers are searched from the top down until nothing below can change the answer.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Final

from metalauncher.environment import metadata_path, read_environment
from metalauncher.tooling.apps.check.layer_map import Shape, read_shape
from metalauncher.tooling.apps.check.layer_scan import (
    CNB,
    RUN_PLACES,
    Fact,
    Interest,
    Search,
    about,
    refuse_many,
    settles,
)
from metalauncher.tooling.console import decode
from metalauncher.tooling.oci.model import ImageError
from metalauncher.tooling.run_image.labels import APP_LABEL, ENTRYPOINT, PATH, PLATFORM_APIS

if TYPE_CHECKING:
    from metalauncher.tooling.oci.image import Image
    from metalauncher.tooling.oci.tree import Node, Tree

# What exporters set in every app image (buildpacks/lifecycle phase/exporter.go), and labels that run images have.
_EXPORTED = (b"CNB_LAYERS_DIR", b"CNB_APP_DIR", b"CNB_PLATFORM_API")
_OF_RUN_IMAGES = (PATH, PLATFORM_APIS, "io.buildpacks.stack.id", "io.buildpacks.base.id")
LAUNCHER: Final = "cnb/lifecycle/launcher"
PROCESSES: Final = "cnb/process"
_ABOVE = 1 << 20  # a layer's number over a run image's, which has fewer
_APP_DATA = "data:"  # of a node: its content is held here, by the layer and the place in it


class AppImage:
    """One app image."""

    def __init__(
        self, image: Image, search: Search, places: tuple[str, ...] = RUN_PLACES, shape: Shape | None = None
    ) -> None:
        """Take an image.

        Args:
            image: it.
            search: what its layers are read with.
            places: paths of the run image that its own layers must not change.
            shape: what its layers are, where not its labels say that.

        Raises:
            ImageError: its config is damaged.
        """
        self.image: Final = image
        self.shape: Final[Shape] = shape or read_shape(image)
        self.argv: Final = _argv(image)
        self.environments: Final = _readings(image.environ)
        self._search: Final = search
        paths = [inside(decode(metadata_path(environment))) for environment in self.environments]
        self._interest: Final = Interest(tuple(dict.fromkeys(paths)), () if self.shape.own is None else places)
        self._facts: Final[dict[int, tuple[Fact, ...]]] = {}

    @property
    def is_built(self) -> bool:
        """Anything says that buildpacks built it."""
        return (
            any([path.startswith(f"/{CNB}/") for path in self.argv])
            or any([name.startswith(b"CNB_") for name in self.environments[0]])
            or any([label.startswith("io.buildpacks.") for label in self.image.labels])
        )

    @property
    def is_run_image(self) -> bool:
        """Nothing says that there is an app in it, neither a label nor what every exporter sets."""
        return (
            APP_LABEL not in self.image.labels
            and not any([path.startswith(f"/{CNB}/") for path in self.argv])
            and not any([name in environment for environment in self.environments for name in _EXPORTED])
            and (self.argv[:1] == (ENTRYPOINT,) or any([label in self.image.labels for label in _OF_RUN_IMAGES]))
        )

    def read_launcher(self) -> None:
        """Read what decides where the start leads.

        Raises:
            ImageError: a layer can't be read.
        """
        launcher, config = self.shape.launcher, self.shape.config
        if not self.shape.is_exporters or launcher is None or config is None:
            self._scan()
            return
        for number in range(config + 1, len(self.image.layers)):
            self._read(number)
        # Also where it is so large that it holds a program: that may be a copy of metalauncher. It is read to its end,
        # not only to that program's head, so that what is concluded from it is held against its digest; what was
        # found is remembered, and thousands of apps share it.
        if not settles(self._read(launcher), LAUNCHER):
            self._scan()

    def read_record(self) -> None:
        """Read what decides about everything else.

        Raises:
            ImageError: a layer can't be read.
        """
        if self.shape.is_exporters and self.shape.config is not None and self.shape.own is not None:
            if not any([settles(self._read(self.shape.config), path) for path in self._interest.metadata]):
                self._scan()
            for number in range(self.shape.own, self.shape.config):
                if number not in self.shape.explained:
                    self._read(number)

    def over(self, run: Tree) -> Tree:
        """Return the run image's tree with what was read of this image laid over it."""
        tree = run.fork()
        for number, facts in sorted(self._facts.items()):
            for place, fact in enumerate(facts):
                content = f"{_APP_DATA}{number}:{place}" if fact.kind == "file" else ""
                tree.apply(fact, content, _ABOVE + number)
        return tree

    @staticmethod
    def owns(node: Node) -> bool:
        """Tell whether a file comes from this image's layers, not from the run image's."""
        return node.content.startswith(_APP_DATA)

    def data(self, node: Node) -> bytes:
        """Return what was read of a file that is its own."""
        number, place = node.content.removeprefix(_APP_DATA).split(":")
        return self._facts[int(number)][int(place)].data

    def changed_places(self) -> list[str]:
        """Return what it puts over the run image's places, directories as such left out."""
        paths = [about(fact.path) for facts in self._facts.values() for fact in facts if fact.kind != "directory"]
        return [
            path
            for path in paths
            if any([_is_at(path, place) or _is_at(place, path) for place in self._interest.places])
        ]

    def _read(self, number: int) -> list[Fact]:
        if number not in self._facts:
            self._facts[number] = self._search.facts(self.image, number, self._interest)
            every = [fact for facts in self._facts.values() for fact in facts]
            refuse_many(len(every), sum([len(fact.data) for fact in every]))
            self._refuse_links(self._facts[number])
        return list(self._facts[number])

    @property
    def _wanted(self) -> list[str]:
        """The paths that decide."""
        start = [path for path in map(inside, self.argv[:1]) if _is_at(path, CNB)]
        return [LAUNCHER, *self._interest.metadata, *start]

    def _refuse_links(self, facts: tuple[Fact, ...]) -> None:
        """Refuse what would be looked for behind a link: not all that may lie there was read."""
        for fact in facts:
            if "link" in fact.kind and any([path.startswith(fact.path + "/") for path in self._wanted]):
                raise ImageError("unsupported", f"has a link at /{fact.path}, where app images have a directory")

    def _scan(self) -> None:
        """Read from the top down until all is settled, and above the run image also what no label explains."""
        seen: list[Fact] = []
        wanted = self._wanted
        for number in range(len(self.image.layers) - 1, (self.shape.own or 0) - 1, -1):
            settled = all([settles(seen, path) for path in wanted])
            if not settled:
                seen += self._read(number)
            elif self.shape.own is None:
                break
            elif number not in self.shape.explained:
                self._read(number)


def _is_at(path: str, place: str) -> bool:
    return path == place or path.startswith(place + "/")


def inside(path: str) -> str:
    """Return a path as layers have it: normal, without a leading slash."""
    return posixpath.normpath("/" + path).lstrip("/")


def _argv(image: Image) -> tuple[str, ...]:
    """Return what a container is started with: ENTRYPOINT and CMD.

    Raises:
        ImageError: one is no array of strings, which runtimes take differently.
    """
    run = image.config.get("config")
    argv: list[str] = []
    for key in ("Entrypoint", "Cmd"):
        words = (run.get(key) if isinstance(run, dict) else None) or []
        if not isinstance(words, list) or not all([isinstance(word, str) for word in words]):
            raise ImageError("damaged", f"the config's {key} is not an array of strings")
        argv += words
    return tuple(argv)


def _readings(environ: tuple[bytes, ...]) -> tuple[dict[bytes, bytes], ...]:
    """Return the environment; where names stand in it twice, as runtimes read it that keep the first, and the last."""
    first, last = (read_environment(list(entries)) for entries in (environ, environ[::-1]))
    return (first,) if first == last else (first, last)
