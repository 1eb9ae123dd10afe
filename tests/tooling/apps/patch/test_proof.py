"""The run images that an app is proved on: which they are, read once, told apart by what is stored, and few held."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import images
import pytest
from hypothesis import given
from hypothesis import strategies as st
from images import pack
from rebased import World, metadata

from metalauncher.tooling.apps.patch.proof import NotProved, bases_of, named_run_images, nearest_first
from metalauncher.tooling.apps.patch.run_images import HELD_LIMIT, RunImages
from metalauncher.tooling.oci.image import Image, load_image
from metalauncher.tooling.oci.location import parse_location
from metalauncher.tooling.oci.model import Descriptor, ImageError, Store
from metalauncher.tooling.oci.reference import Reference
from metalauncher.tooling.oci.sources.stores import Stores, open_local

LABELS: list[tuple[Any, tuple[str, ...]]] = [
    ({"runImage": {"image": "r.io/run:1"}}, ("r.io/run:1",)),
    ({"runImage": {"image": "r.io/run:1", "mirrors": ["a/b", "c/d"]}}, ("r.io/run:1", "a/b", "c/d")),
    ({"stack": {"runImage": {"image": "r.io/old:1", "mirrors": ["m/n"]}}}, ("r.io/old:1", "m/n")),
    ({"runImage": {"image": "new"}, "stack": {"runImage": {"image": "old"}}}, ("new",)),
    ({"runImage": {"topLayer": "x"}, "stack": {"runImage": {"image": "old"}}}, ("old",)),
    ({"runImage": {"image": "", "mirrors": ["a/b"]}}, ()),
    ({"runImage": {"image": 1, "mirrors": ["a/b"]}}, ()),
    ({"runImage": {"image": "a", "mirrors": "b"}}, ("a",)),
    ({"runImage": {"image": "a", "mirrors": ["", 3, None, "b"]}}, ("a", "b")),
    ({"runImage": []}, ()),
    ({"stack": None}, ()),
    ([], ()),
    (None, ()),
]


@pytest.mark.parametrize(("document", "names"), LABELS)
def test_named_run_images(document: Any, names: tuple[str, ...]) -> None:
    """The image first, then its mirrors; those of a stack where there is no other."""
    assert named_run_images(json.dumps(document)) == names


@pytest.mark.parametrize(
    ("target", "order"),
    [
        ("r.io/app:1", (0, 1, 2, 3)),
        ("M.io/team/app:1", (1, 0, 2, 3)),
        ("app:1", (2, 3, 0, 1)),
        ("m.io:5000/app:1", (0, 1, 2, 3)),
    ],
)
def test_a_rebase_stays_in_the_apps_registry(target: str, order: tuple[int, ...]) -> None:
    """As lifecycle's BestRunImageMirrorFor, of which cases are in its run_image_test.go; Docker Hub has two names."""
    names = ("r.io/run:1", "m.io/run:1", "acme/run:1", "index.docker.io/acme/run:1")
    assert nearest_first(names, Reference.parse(target)) == tuple([names[number] for number in order])
    assert nearest_first(("", "oci:/x", "a b", "\ud800"), Reference.parse(target)) == ("", "oci:/x", "a b", "\ud800")


@given(st.text())
def test_any_label_is_read(label: str) -> None:
    """Whatever a label says, nothing is raised."""
    assert isinstance(named_run_images(label), tuple)
    assert named_run_images("[" * 100_000) == named_run_images('{"a": "' + "x" * (4 << 20) + '"}') == ()


class Counting:
    """A store that counts how often layers are opened."""

    def __init__(self, store: Store) -> None:
        """Take the store."""
        self.store = store
        self.opened: list[str] = []

    def top(self) -> tuple[Descriptor, bytes]:
        """Return the manifest."""
        return self.store.top()

    def fetch(self, descriptor: Descriptor, limit: int) -> bytes:
        """Return a blob."""
        return self.store.fetch(descriptor, limit)

    def open(self, descriptor: Descriptor) -> Any:
        """Open a blob."""
        self.opened.append(descriptor.digest)
        return self.store.open(descriptor)


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[RunImages]:
    """Return the run images of a run, and a directory for them."""
    stores = Stores({}, connections=1, cache="")
    (tmp_path / "scratch").mkdir()
    found = RunImages(stores, str(tmp_path / "scratch"))
    yield found
    found.close()
    stores.close()


def open_image(world: World, tag: str) -> tuple[Image, Counting]:
    """Return an image of the world, and what it is read from."""
    store = Counting(open_local(parse_location(world.reference(tag))))
    return load_image(store), store


def test_each_is_read_once(world: World, runs: RunImages) -> None:
    """However many apps have one inside, and in whatever threads they are."""
    image, store = open_image(world, "two")
    found = []

    def read() -> None:
        with runs.read("x", image, image.layers) as held:
            found.append(held)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(map(id, found))) == 1
    assert store.opened == [image.layers[0].blob.digest]


def test_told_apart_by_what_is_stored(world: World, runs: RunImages) -> None:
    """An app whose config lies about its layers is not judged on what another app's layers hold, and the reverse."""
    good, _ = open_image(world, "two")
    bad, _ = open_image(world, "bare")
    liar = Image(
        bad.store,
        bad.manifest,
        good.config,
        tuple([layer._replace(diff_id=good.layers[0].diff_id) for layer in bad.layers]),
    )
    with runs.read("x", good, good.layers) as one, runs.read("x", liar, liar.layers) as other:
        assert (one.has_metalauncher, other.has_metalauncher) == (True, False)


def test_few_are_held(world: World, runs: RunImages, tmp_path: Path) -> None:
    """What was used longest ago goes, with its files; what is in use stays."""
    tags = [
        world.run(f"held{number}", pack([images.folder("/usr"), images.file(f"/usr/{number}", b"x")]))
        for number in range(HELD_LIMIT + 3)
    ]
    first, store = open_image(world, tags[0])
    with runs.read("x", first, first.layers) as held:
        for tag in tags[1:]:
            image, _ = open_image(world, tag)
            with runs.read("x", image, image.layers):
                pass
        assert len(os.listdir(tmp_path / "scratch")) == HELD_LIMIT
        held.run.refuse_closed()
        with runs.read("x", first, first.layers) as again:
            assert again is held
    assert len(store.opened) == 1


def test_what_can_not_be_read_fails_for_all(world: World, runs: RunImages) -> None:
    """And nothing but that app's run image is concerned."""
    image, _ = open_image(world, "two")

    class Damaged(Counting):
        def open(self, descriptor: Descriptor) -> IO[bytes]:
            self.opened.append(descriptor.digest)
            raise ImageError("absent", "is gone")

    store = Damaged(image.store)
    damaged = Image(store, image.manifest, image.config, image.layers)
    for _ in range(2):
        with pytest.raises(ImageError, match="is gone"), runs.read("x", damaged, damaged.layers):
            pass
    assert len(store.opened) == 1


def test_nothing_is_read_after_the_end(world: World, runs: RunImages) -> None:
    """Threads that are still at work end with an error, and write nothing more."""
    image, store = open_image(world, "two")
    runs.close()
    with pytest.raises(ImageError, match="the run has ended"), runs.read("x", image, image.layers):
        pass
    assert store.opened == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"topLayer": "sha256:" + "0" * 64}, "no-run-image-inside"),
        ({"topLayer": None}, "no-run-image-inside"),
        ({}, "no-named-run-image"),
        ({"image": "r.invalid/x:1/y"}, "named-unreadable"),
        ({"image": "oci:/etc/x"}, "named-unreadable"),
        ({"image": "dir:/"}, "named-unreadable"),
        ({"image": "127.0.0.1:9/x"}, "unreachable"),
    ],
)
def test_what_is_not_known(change: dict[str, Any], code: str, world: World, runs: RunImages) -> None:
    """An app of which one of the two is not known, or can't be had, is not proved."""
    tag = world.app(images.make_app("fine", metadata("0.10"), "0.12"), on="two")
    manifest, config = world.layout.image(tag)
    label = json.loads(config["config"]["Labels"]["io.buildpacks.lifecycle.metadata"])
    label["runImage"] |= change
    labels = {**config["config"]["Labels"], "io.buildpacks.lifecycle.metadata": json.dumps(label)}
    world.put(tag, manifest["layers"], config, (), {"Labels": labels})
    image, _ = open_image(world, tag)
    with pytest.raises(NotProved) as refused, bases_of(image, runs, Reference.parse("r.io/app:1")):
        pass
    assert refused.value.code == code
