"""An app image over a run image: its config, and the merged file system, of which as little is read as settles a start.

A place is settled by the topmost layer that has an entry for it, or hides it; what lies below does not matter. Layers
are therefore read from the top down, as long as a place that the start came by is not settled above them. The layers
that the labels name as a buildpack's, an SBOM's or the app's are not read, but assumed to hold what lifecycle writes
there, unless all is to be read.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Final, NamedTuple

from metalauncher.environment import metadata_path, read_environment
from metalauncher.tooling.apps.check.contents import APP, Contents
from metalauncher.tooling.apps.check.layer_map import LayerMap, read_layer_map
from metalauncher.tooling.apps.check.layer_scan import (
    Fact,
    Interest,
    Scan,
    Scanner,
    about,
    ancestors,
    hidden,
    is_at,
    refuse_many,
)
from metalauncher.tooling.apps.check.odd_config import odd_start
from metalauncher.tooling.console import decode, encode
from metalauncher.tooling.oci.model import ImageError
from metalauncher.tooling.run_image.labels import APP_LABEL, ENTRYPOINT, PATH, PLATFORM_APIS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Set as AbstractSet

    from metalauncher.tooling.apps.check.user import User
    from metalauncher.tooling.oci.image import Image
    from metalauncher.tooling.oci.tree import Tree

# What exporters set in every app image (buildpacks/lifecycle phase/exporter.go), and labels that run images have.
_EXPORTED = (b"CNB_LAYERS_DIR", b"CNB_APP_DIR", b"CNB_PLATFORM_API")
_OF_RUN_IMAGES = (PATH, PLATFORM_APIS, "io.buildpacks.stack.id", "io.buildpacks.base.id")
CNB: Final = "cnb"
PASSWD, GROUP = "etc/passwd", "etc/group"
# Every start comes by these: for whom it is, is asked first.
_ALWAYS: Final = frozenset(("", "etc", PASSWD, GROUP))
# Where nearly every start comes by: looked for at once, so that a layer is seldom read twice.
_BELOW = frozenset((CNB, "etc/cnb", "usr/lib/cnb"))
_PLACES = ("usr/bin/metalauncher", PASSWD, GROUP, "lib64/ld-linux-x86-64.so.2", "lib/ld-linux-aarch64.so.1")
_DISPATCH = ("etc/cnb", "usr/lib/cnb", "usr/bin/metalauncher")
_AT_CNB: Final = Interest(frozenset(("", CNB)), frozenset((CNB,)))
_ABOVE = 1 << 20  # a layer's number over a run image's, which has fewer
_READINGS_LIMIT = 64  # times that layers are read again for a place that was not looked for


class RunTree(NamedTuple):
    """The files of a run image.

    Attributes:
        tree: all of them; must not change any more.
        links: the paths of its symbolic links.
    """

    tree: Tree
    links: frozenset[str]


class AppImage:
    """One app image over one run image.

    Attributes:
        image: it.
        map: what its labels say of its layers.
        argv: what a container is started with, ENTRYPOINT and CMD.
        environments: its variables; two readings where a name stands there twice.
        odd: why not every runtime starts it with this config, "" where nothing speaks against it.
        volumes: the config's `Volumes`, as paths without a leading slash.
        user: the config's `User`.
        directory: the config's `WorkingDir`.
        records: where its metadata.toml may be, as real paths.
        scans: what was found in each of its layers that was read, by number.
        numeric_user: who runs, where not the config's `User` says that; None where it does.
    """

    def __init__(
        self,
        image: Image,
        run: RunTree,
        scanner: Scanner,
        *,
        thorough: bool = False,
        layer_map: LayerMap | None = None,
        is_started: bool = True,
    ) -> None:
        """Take an image.

        Args:
            image: it.
            run: what its layers are to lie over.
            scanner: what its layers are read with.
            thorough: read every layer, and assume nothing.
            layer_map: what its layers are, where not its labels say that.
            is_started: its start is to be followed; else only what lies at /cnb is looked for, of all apps the same.

        Raises:
            ImageError: its config is damaged.
        """
        self.image: Final = image
        self.map: Final[LayerMap] = layer_map or read_layer_map(image)
        self.argv: Final = _argv(image)
        self.environments: Final = _readings(image.environ)
        self.user: Final = _config_text(image, "User")
        self.directory: Final = _config_text(image, "WorkingDir")
        words = [encode(word) for word in self.argv]
        self.odd: Final = odd_start(words, image.environ, (encode(self.user), encode(self.directory)))
        self.volumes: Final = _volumes(image)
        self.numeric_user: User | None = None
        self._run: Final = run
        self._scanner: Final = scanner
        self._thorough: Final = thorough
        self.records: Final = {_normal(decode(metadata_path(environment))) for environment in self.environments}
        paths = (*self.records, *_PLACES, *_BELOW, _normal(self.directory))
        places = {above for path in paths for above in ancestors(path)}
        whole = frozenset([*self.records, PASSWD, GROUP])
        self._interest = Interest(frozenset(places), _BELOW, whole) if is_started else _AT_CNB
        self.scans: Final[dict[int, Scan]] = {}
        self._inside: Final[dict[int, bool]] = {}  # of each: it has members in the app's or another layer's directories
        self._entered: frozenset[str] = frozenset()  # where members lie behind links, and above
        self._targets: Final[set[str]] = set()  # of hard links, not found so far
        self._readings = 0
        self._assumed = False
        self._replaced = False
        self._lowest = -1  # of its layers that has something of the app: below lies what may be a run image

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

    @property
    def assumes_layers(self) -> bool:
        """A layer that was not read is taken to hold what lifecycle writes there."""
        return self._assumed

    @property
    def layers_read(self) -> int:
        """How many of its layers were read."""
        return len(self.scans)

    @property
    def bytes_read(self) -> int:
        """How many bytes these have as they are stored."""
        return sum([scan.size for scan in self.scans.values()])

    @property
    def assumes_app(self) -> bool:
        """The app's own layers were not read, and are taken to have its directory."""
        return not self._thorough and not self.map.exported <= self.scans.keys()

    @property
    def app_directory(self) -> str:
        """Where its app lies, a real path without a leading slash."""
        return _normal(decode(self.environments[0].get(b"CNB_APP_DIR", b"")) or "/workspace")

    def begin(self) -> None:
        """Read the layers that any start depends on, all at once: each look at what was read so far takes its time.

        Raises:
            ImageError: a layer can't be read.
        """
        self._read_for(_ALWAYS)

    def merge(self) -> tuple[Tree, Contents]:
        """Return the merged file system, as far as it was read.

        Raises:
            ImageError: a layer can't be read, or they contradict each other.
        """
        while True:
            through = self._members_behind_links()
            if through:
                self._widen(Interest(frozenset(), through))
                continue
            tree = self._run.tree.fork()
            if self.assumes_app and self.app_directory and tree.get(self.app_directory) is None:
                tree.apply(Fact(self.app_directory, "directory", 0o755, 0, ""), "", _ABOVE - 1)
            contents: dict[str, Fact] = {}
            self._targets.clear()
            self._replaced = False
            self._lowest = self._lowest_of_app()
            for number in sorted(self.scans):
                self._lay_over(tree, contents, number)
            self._entered = frozenset([place for path in tree.entered for place in ancestors(path)])
            wanted = self._entered | self._targets
            if self._looks_for(wanted):
                return tree, Contents(contents)
            self._widen(Interest(wanted))

    def _lay_over(self, tree: Tree, contents: dict[str, Fact], number: int) -> None:
        """Lay a layer over what is there."""
        for where, reason in self.scans[number].doubts:
            tree.doubt(where, reason)
        for place, fact in enumerate(self.scans[number].facts):
            if number <= self._lowest and self._is_replaced(fact):
                self._replaced = True
                continue
            key = f"{APP}{number}:{place}" if fact.kind == "file" else ""
            if key:
                contents[key] = fact
            if fact.kind == "hard link" and tree.get(fact.target) is None and not self._is_whole:
                self._targets.update(ancestors(fact.target))  # it may lie in a layer that was not read
                tree.doubt(fact.path, f"is a hard link to /{fact.target}, which was not found")
            else:
                tree.apply(fact, key, _ABOVE + number)

    def _is_replaced(self, fact: Fact) -> bool:
        """Tell whether a member is taken for one of the run image that the app was built on.

        That is where the labels don't say where that run image ends: at the places of a dispatch, and wherever the run
        image that is given has something itself, but for what lifecycle writes.
        """
        if self.map.own is not None or self._thorough:
            return False
        path = about(fact.path)
        if hidden(fact) is not None:  # what is hidden is hidden of whatever lies below
            return False
        if self._is_of_app(path):
            return False
        return any([is_at(path, place) for place in _DISPATCH]) or self._run.tree.get(path) is not None

    def _lowest_of_app(self) -> int:
        """Return the lowest layer with something of the app's in it, by what was read or by what the labels say."""
        of_app = [number for number, scan in self.scans.items() if any(map(self._is_of_app, scan.folders))]
        return min([*of_app, *self.map.exported], default=len(self.image.layers))

    def _is_of_app(self, path: str) -> bool:
        """Tell whether lifecycle writes there."""
        return any([is_at(path, folder) for folder in (CNB, self._layers_directory, self.app_directory) if folder])

    @property
    def replaces_run_image(self) -> bool:
        """What its layers have at the run image's places was left out of account."""
        return self._replaced

    @property
    def _is_whole(self) -> bool:
        return len(self.scans) == len(self.image.layers) - (self.map.own or 0)

    def _members_behind_links(self) -> frozenset[str]:
        """Return the directories of the layers read that are links or files below: what lies in them lies elsewhere."""
        links: set[str] = set()
        files = {path for path in self._interest.places if (at := self._run.tree.get(path)) and at[1].kind == "file"}
        found: set[str] = set()
        for _, scan in sorted(self.scans.items()):
            links |= scan.links
            found |= (scan.folders & self._run.links) | (scan.folders & links) | (scan.folders & files)
            files |= {fact.path for fact in scan.facts if fact.kind not in ("directory", "link")}
        return frozenset(found.difference(self._interest.below))

    def read_on(self, touched: AbstractSet[str]) -> bool:
        """Read the layers that may change one of these places; return False where none may.

        Args:
            touched: real paths, without a leading slash; with one at its end, all that a directory holds.

        Raises:
            ImageError: a layer can't be read.
        """
        self._assumed = False
        if not self._looks_for(touched):
            folders = frozenset([path.rstrip("/") for path in touched if path.endswith("/")])
            self._widen(Interest(frozenset(touched), folders))
            return True
        return self._read_for(touched | self._targets | self._entered)

    def _read_for(self, places: AbstractSet[str]) -> bool:
        open_places = {path: ancestors(path) for path in places}
        written = self._written_by_lifecycle(places)
        before = len(self.scans)
        inside = False  # what lies there may be links in a layer below, which lead elsewhere
        for number in range(len(self.image.layers) - 1, (self.map.own or 0) - 1, -1):
            if number not in self.scans:
                is_assumed = number in self.map.exported and not self._thorough
                if is_assumed and not inside and written.isdisjoint(open_places):
                    self._assumed = self._assumed or bool(open_places)
                    continue
                self._read(number)
            inside = inside or self._inside[number]
            settled = self.scans[number].settled
            open_places = {path: above for path, above in open_places.items() if not settled.holds(path, above)}
        return len(self.scans) > before

    def keep_whole(self, path: str) -> None:
        """Read a file's whole content as well, where so far only its head was kept.

        Raises:
            ImageError: a layer can't be read.
        """
        self._widen(Interest(frozenset(ancestors(path)), frozenset(), frozenset([path])))

    def _written_by_lifecycle(self, places: Iterable[str]) -> frozenset[str]:
        """Return those places for which the layers, too, have to be read that are assumed to be lifecycle's."""
        beside = (*self._written_below, *self._targets)
        config = f"{self._config}/"  # whose layer is read whenever something there is not settled
        layers = self._layers_directory  # each layer that lies in it may say of which mode it is
        return frozenset(
            [
                path
                for path in places
                if path == layers or (path.startswith(beside) and not f"{path}/".startswith(config))
            ]
        )

    @property
    def _written_below(self) -> tuple[str, ...]:
        """The directories, with a slash, below which lifecycle writes: there its layers may have anything."""
        return tuple([f"{folder}/".lstrip("/") for folder in (self._layers_directory, self.app_directory)])

    @property
    def _layers_directory(self) -> str:
        return posixpath.dirname(self._config)

    @property
    def _config(self) -> str:
        return posixpath.dirname(_normal(decode(metadata_path(self.environments[0]))))

    def _looks_for(self, touched: AbstractSet[str]) -> bool:
        return all([self._interest.holds(path) for path in touched])

    def _widen(self, more: Interest) -> None:
        """Look for more, and read again what was read without it."""
        self._readings += 1
        if self._readings > _READINGS_LIMIT:
            raise ImageError("too-large", "leads through too many places to be followed")
        self._interest = Interest(*[ours | theirs for ours, theirs in zip(self._interest, more, strict=True)])
        for number in list(self.scans):
            self._read(number)

    def _read(self, number: int) -> None:
        scan = self.scans[number] = self._scanner.scan(self.image, number, self._interest)
        below = self._written_below
        self._inside[number] = any([path.startswith(below) and path != self._config for path in scan.folders])
        scans = self.scans.values()
        refuse_many(sum([len(scan.facts) for scan in scans]), sum([scan.held for scan in scans]))


def _normal(path: str) -> str:
    return posixpath.normpath("/" + path).lstrip("/")


def _config_text(image: Image, key: str) -> str:
    run = image.config.get("config")
    value = run.get(key) if isinstance(run, dict) else None
    if value is not None and not isinstance(value, str):
        raise ImageError("damaged", f"the config's {key} is not a string")
    return value or ""


def _volumes(image: Image) -> tuple[str, ...]:
    run = image.config.get("config")
    found = run.get("Volumes") if isinstance(run, dict) else None
    paths = [_normal(path) for path in found] if isinstance(found, dict) else []
    return tuple([path for path in paths if path])


def _argv(image: Image) -> tuple[str, ...]:
    """Return what a container is started with: ENTRYPOINT and CMD.

    Raises:
        ImageError: one is no array of strings, which runtimes take differently.
    """
    return tuple([word for key in ("Entrypoint", "Cmd") for word in image.words(key)])


def _readings(environ: tuple[bytes, ...]) -> tuple[dict[bytes, bytes], ...]:
    """Return the environment; where names stand in it twice, as runtimes read it that keep the first, and the last."""
    first, last = (read_environment(list(entries)) for entries in (environ, environ[::-1]))
    return (first,) if first == last else (first, last)
