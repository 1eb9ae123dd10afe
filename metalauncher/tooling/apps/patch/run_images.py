"""The run images of a run: each read once, however many apps have it inside or name it, and few held at a time.

They are told apart by their layers: apps on one run image share its reading, and one that an app has inside, and names
as well, is one and the same. What labels say of launchers counts for nothing here.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import threading
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from metalauncher.places import EXECUTABLE
from metalauncher.tooling.apps.check.findings import RunImage as ShownRunImage
from metalauncher.tooling.apps.check.findings import find, rank
from metalauncher.tooling.apps.check.judge import Judge
from metalauncher.tooling.oci.image import DEFAULT_PLATFORM, Image, Images
from metalauncher.tooling.oci.location import Location
from metalauncher.tooling.oci.model import ImageError
from metalauncher.tooling.oci.reference import Reference
from metalauncher.tooling.run_image.reader import load_run_image, read_loaded
from metalauncher.versions import version_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from metalauncher.tooling.apps.check.verdict import Result
    from metalauncher.tooling.oci.image import Layer
    from metalauncher.tooling.oci.model import Store
    from metalauncher.tooling.oci.sources.stores import Stores
    from metalauncher.tooling.run_image.model import RunImage

    Key = tuple[str, tuple[tuple[str, str], ...]]

HELD_LIMIT: Final = 8  # run images that are kept though no app needs them at the moment
NAMES_LIMIT: Final = 16  # of one app's label: its image and mirrors; real ones have one or two
_REMEMBERED = 256  # names
_PATIENCE = 2.0  # seconds to wait for whoever is still reading one when the run ends


class HeldRunImage:
    """A run image that was read, and its judges. For several threads at once."""

    def __init__(self, run: RunImage) -> None:
        """Take it."""
        self.run: Final = run
        self._glance: Final = Judge(run, None, DEFAULT_PLATFORM)
        self._judge: Final = Judge(run, None, DEFAULT_PLATFORM, thorough=True)
        launchers = rank(run.registry.launchers)
        obstacles = tuple([run.obstacle_of(one) for one in launchers])
        self._shown: Final = ShownRunImage(run.name, run.digest, launchers, obstacles)
        newest = max(launchers, key=lambda one: version_key(one.version), default=None)
        self._newest: Final = None if newest is None else launchers.index(newest)

    @property
    def has_metalauncher(self) -> bool:
        """Something is in metalauncher's place; whether it is metalauncher, the verdict says."""
        return self.run.tree.find(EXECUTABLE) is not None

    def judge(self, name: str, store: Store) -> Result:
        """Return the verdict over an app that assumes nothing of its layers, as `check --thorough`."""
        return self._judge.judge(name, store)

    def glance(self, name: str, store: Store) -> Result:
        """Return the verdict over an app by as little as may be read."""
        return self._glance.judge(name, store)

    def coverage(self, result: Result) -> tuple[int, int]:
        """Return how many launchers cover an app that starts, and how many of them are left without the newest."""
        if result.kind != "starts":
            return 0, 0
        needs = find(self._shown, [result]).needs
        cells = [cell.state in ("runs", "covers") for cell in needs[0].cells] if needs else []
        if not any(cells):  # it recorded nothing: the one that starts it
            cells = [str(result.launcher) == repr(launcher) for launcher in self._shown.launchers]
        newest = 0 if self._newest is None else int(cells[self._newest])
        return sum(cells), sum(cells) - newest


class _Entry:
    """One run image, from when it is first asked for."""

    def __init__(self) -> None:
        self.lock: Final = threading.Lock()
        self.users = 0
        self.held: HeldRunImage | None = None
        self.failure: ImageError | None = None
        self.folder = ""


class Named(NamedTuple):
    """What a name in a label stands for today.

    Attributes:
        name: that could be read first.
        image: it.
    """

    name: str
    image: Image


class RunImages:
    """The run images of one run. For several threads at once."""

    def __init__(self, stores: Stores, scratch: str) -> None:
        """Take where they come from, and a directory for what is kept of them."""
        self._stores: Final = stores
        self._scratch: Final = scratch
        self._lock: Final = threading.Lock()
        self._entries: Final[dict[Key, _Entry]] = {}
        self._names: Final[dict[tuple[str, str], Image | ImageError]] = {}
        self._closed = False

    @contextlib.contextmanager
    def read(self, name: str, image: Image, layers: Sequence[Layer]) -> Iterator[HeldRunImage]:
        """Give the run image that some of an image's layers are, for as long as the block lasts.

        Args:
            name: what to call it.
            image: that has them.
            layers: the lowest of its layers.

        Raises:
            ImageError: one can't be had.
        """
        # By what is stored: a config may say that other layers are the same.
        key = image.platform, tuple([(layer.blob.digest, layer.blob.media_type) for layer in layers])
        with self._lock:
            entry = self._entries.pop(key) if key in self._entries else _Entry()
            self._entries[key] = entry  # as the one used last
            entry.users += 1
        try:
            with entry.lock:
                held = self._held(entry, name, image, layers)
            yield held
        finally:
            with self._lock:
                entry.users -= 1
                surplus = self._surplus()
            for each in surplus:
                _discard(each)

    def find(self, names: Sequence[str], platform: str) -> Named:
        """Return what the first of several names stands for that can be read.

        Args:
            names: of images in registries, and nowhere else, whatever they look like.
            platform: of the app.

        Raises:
            ImageError: none can be read.
        """
        failure = ImageError("absent", "no run image is named")
        for name in names[:NAMES_LIMIT]:
            found = self._find(name, platform)
            if isinstance(found, Image):
                return Named(name, found)
            unreachable = "unreachable" in (found.kind, failure.kind)
            failure = ImageError("unreachable" if unreachable else found.kind, f"{name[:200]}: {found.reason}")
        raise failure

    def close(self) -> None:
        """Write no more to the directory, so that it can be taken away, whoever is still at work."""
        with self._lock:
            self._closed = True
            entries = list(self._entries.values())
        for entry in entries:
            if entry.lock.acquire(timeout=_PATIENCE):
                entry.lock.release()
            if entry.held is not None:
                entry.held.run.close()

    def _held(self, entry: _Entry, name: str, image: Image, layers: Sequence[Layer]) -> HeldRunImage:
        if entry.failure is not None:
            raise ImageError(entry.failure.kind, entry.failure.reason)
        if entry.held is None:
            self._go_on(0)
            entry.folder = tempfile.mkdtemp(dir=self._scratch)
            try:
                run = read_loaded(name, _without_labels(image, layers), entry.folder, self._go_on)
            except ImageError as error:
                entry.failure = error
                raise
            entry.held = HeldRunImage(run)
        return entry.held

    def _go_on(self, number: int) -> None:
        del number  # of a layer
        if self._closed:
            raise ImageError("unreachable", "was not read: the run has ended")

    def _surplus(self) -> list[_Entry]:
        """Take away what is held without need, what was used longest ago first."""
        idle = [key for key, entry in self._entries.items() if not entry.users]
        return [self._entries.pop(key) for key in idle[: max(0, len(self._entries) - HELD_LIMIT)]]

    def _find(self, name: str, platform: str) -> Image | ImageError:
        key = name, platform
        found = self._names.get(key)
        if found is None:
            try:
                Reference.parse(name)
                store = self._stores.open(Location("registry", name, None))
                image = load_run_image(Images(store), platform or DEFAULT_PLATFORM)
                found = _without_labels(image, image.layers)
            except ImageError as error:
                found = error
            except ValueError as error:
                found = ImageError("absent", str(error))
            with self._lock:
                if len(self._names) >= _REMEMBERED:
                    self._names.clear()
                # Two that asked at once go by one answer: a tag that moves meanwhile gives no app another run image.
                found = self._names.setdefault(key, found)
        return found


def _without_labels(image: Image, layers: Sequence[Layer]) -> Image:
    """Return some of an image's layers as an image of their own, of which only the platform is said."""
    about: dict[str, Any] = {key: image.config[key] for key in ("os", "architecture", "variant") if key in image.config}
    return Image(image.store, image.manifest, about, tuple(layers))


def _discard(entry: _Entry) -> None:
    if entry.held is not None:
        entry.held.run.close()
    if entry.folder:
        shutil.rmtree(entry.folder, ignore_errors=True)
