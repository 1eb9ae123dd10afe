"""What is huge, endless or of a size that it only claims: a clear answer, in bounded memory, and never a wrong one."""

from __future__ import annotations

import gzip
import json
import resource
import tarfile
import tracemalloc
from typing import TYPE_CHECKING

import images
import pytest
from images import Layer
from rebased import World, metadata

if TYPE_CHECKING:
    from metalauncher.tooling.apps.check.verdict import Result

APP = images.make_app("app", metadata("0.10"), "0.12")
METADATA = "/layers/config/metadata.toml"


def judged(world: World, *above: Layer, labels: bool = True) -> Result:
    """Check an app with these layers on top."""
    return world.judge(world.app(APP, above=above, labels=labels), "two")


def toml(data: bytes) -> Layer:
    """Return a layer with this metadata.toml."""
    return images.pack([images.file(METADATA, data)])


def zeros(size: int) -> Layer:
    """Return a layer that expands to so much."""
    info = tarfile.TarInfo("/zeros")
    info.size = size
    data = info.tobuf() + bytes(size)
    return Layer(gzip.compress(data, 9), images.sha(data))


MANY = [images.file(f"/cnb/process/{number}", b"x" * 4096, 0o755) for number in range(2001)]
TABLES = "".join([f"[a{number}.b.c.d.e.f.g]\n" for number in range(15_000)]).encode()
CASES: dict[str, tuple[list[Layer], str]] = {
    "metadata": ([toml(b"#" * (2 << 20) + b"1")], "has a metadata.toml of 2048 KiB; 2048 are looked at"),
    "tables": ([toml(TABLES)], "has a metadata.toml of too many tables, keys and values"),
    "processes": ([images.pack(MANY)], "has more than 2000 launchers and processes"),
    "processes-in-layers": (
        [images.pack(MANY[:1100]), images.pack(MANY[1100:])],
        "has more than 2000 launchers and processes",
    ),
    "metadata-in-layers": (
        [toml(b"#" * ((2 << 20) - 1) + bytes([number])) for number in b"123456"],
        "has more than 8 MiB of metadata.toml in its layers",
    ),
    "metadata-in-one-layer": (
        [images.pack([images.file(METADATA, b"#" * (2 << 20))] * 6)],
        "has more than 8 MiB of metadata.toml in its layers",
    ),
    "expands": ([zeros(400 << 20)], "has a layer that expands to more than "),
}


@pytest.mark.parametrize("labels", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_large(world: World, case: str, labels: bool) -> None:
    """It can't be told, and little is held meanwhile."""
    layers, reason = CASES[case]
    world.run_image("two")
    tracemalloc.start()
    try:
        found = judged(world, *layers, labels=labels)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.kind == "unknown"
    assert found.reason.startswith(reason)
    assert peak < 64 << 20


def test_claimed_size(world: World) -> None:
    """What its descriptor calls larger than what is searched is not even opened."""
    tag = world.app(APP)
    manifest, config = world.layout.image(tag)
    blobs = json.loads(json.dumps(manifest["layers"]))
    blobs[-1]["size"] = 3 << 30
    found = world.judge(world.put("claimed", blobs, config, (), {}), "two")
    assert (found.kind, found.reason) == ("unknown", "has a layer of 3072 MiB to search; at most 2048 are searched")


def test_layers_that_do_not_matter(world: World) -> None:
    """A layer of a buildpack is not opened, whatever its size."""
    tag = world.app(APP)
    manifest, config = world.layout.image(tag)
    blobs = json.loads(json.dumps(manifest["layers"]))
    blobs[1] |= {"digest": "sha256:" + "0" * 64, "size": 3 << 30}
    assert world.judge(world.put(f"{tag}-absent", blobs, config, (), {}), "two").kind == "starts"


def test_a_launcher_that_is_not_there(world: World) -> None:
    """A launcher's layer that can't be had, or is too large to look into, says of nobody that it keeps its own."""
    for size, reason in ((3 << 30, "has a layer of 3072 MiB to search"), (300 << 10, "is not there")):
        tag = world.app(APP, "self-contained", executable=b"\x7fELF" + bytes(range(256)) * 1000)
        manifest, config = world.layout.image(tag)
        blobs = json.loads(json.dumps(manifest["layers"]))
        blobs[2] |= {"digest": "sha256:" + "0" * 64, "size": size}
        found = world.judge(world.put(f"{tag}-absent", blobs, config, (), {}), "two")
        assert found.kind == "unknown"
        assert found.reason.startswith(reason)


def test_memory_of_a_fleet(world: World) -> None:
    """Thousands of verdicts leave nothing behind but themselves."""
    tags = [world.app(images.make_app("app", metadata("0.10", more=f"# {n}\n"), "0.12")) for n in range(50)]
    judge = [world.judge(tag, "two") for tag in tags]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(20):
        assert [world.judge(tag, "two") for tag in tags] == judge
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 << 10  # KB
