"""Images read from layouts and archives: the right one, whole, or a clear error that says of which kind it is."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from layouts import DOCKER, DOCKER_LAYER, OCI, Layout, Packed, digest, docker_archive, file, link, packed, tar
from making import unprivileged

from metalauncher.tooling.oci.choice import Index
from metalauncher.tooling.oci.image import Image, Images, load_image
from metalauncher.tooling.oci.model import Descriptor, ImageError
from metalauncher.tooling.oci.sources.archive import ArchiveStore
from metalauncher.tooling.oci.sources.layout import LayoutStore

LAYER = packed(file("etc/one", b"1"))
OTHER = packed(file("etc/two", b"2"))


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Return an empty layout."""
    return Layout(tmp_path / "layout")


def load(layout: Layout, tag: str | None = None, platform: str = "linux/amd64") -> Image:
    """Load an image of the layout."""
    return load_image(LayoutStore(str(layout.directory), tag), platform)


def refusal(call: Callable[[], Any]) -> tuple[str, str]:
    """Return of which kind the error is, and the reason."""
    with pytest.raises(ImageError) as caught:
        call()
    assert str(caught.value) == caught.value.reason
    return caught.value.kind, caught.value.reason


def test_whole_image(layout: Layout) -> None:
    """Config, labels, environment, entrypoint and layers with their history arrive as they were written."""
    config = {
        "config": {"Env": ["A=1", "A=2", "B"], "Labels": {"x": "y"}, "Entrypoint": ["/cnb/process/web"]},
        "history": [{"created_by": "one"}, {"created_by": "nothing", "empty_layer": True}, {"created_by": "two"}],
        "variant": "v2",
    }
    image = load(layout.image(LAYER, OTHER, config=config))
    assert image.environ == (b"A=1", b"A=2", b"B")
    assert image.labels == {"x": "y"}
    assert image.entrypoint == ("/cnb/process/web",)
    assert image.platform == "linux/amd64/v2"
    assert [(layer.diff_id, layer.created_by) for layer in image.layers] == [
        (digest(LAYER.tar), "one"),
        (digest(OTHER.tar), "two"),
    ]


def test_by_tag(layout: Layout) -> None:
    """A tag names one of several."""
    first, second = (layout.manifest(config={"config": {"Labels": {"n": n}}}) for n in "12")
    layout.tag(first, "a")
    layout.tag(second, "b")
    assert load(layout, "a").labels == {"n": "1"}
    assert load(layout, "b").labels == {"n": "2"}
    assert refusal(lambda: load(layout, "c")) == ("absent", "there is no image 'c'; there is a, b")
    assert refusal(lambda: load(layout)) == ("ambiguous", "the layout holds 2 images: name one; there is a, b")


def test_index_by_platform(layout: Layout) -> None:
    """Of an index, also one within another, the platform's image is taken: an attestation is not one."""
    arm, amd = (
        layout.manifest(config={"architecture": name}, platform={"os": "linux", "architecture": name, **variant})
        for name, variant in (("arm64", {"variant": "v8"}), ("amd64", {}))
    )
    unknown = layout.manifest(platform={"os": "unknown", "architecture": "unknown"})
    inner = layout.document(
        {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": [unknown, arm, amd]},
        f"{OCI}.index.v1+json",
    )
    outer = {"schemaVersion": 2, "mediaType": f"{DOCKER}.manifest.list.v2+json", "manifests": [inner]}
    layout.tag(layout.document(outer, f"{DOCKER}.manifest.list.v2+json"))
    assert load(layout).platform == "linux/amd64"
    assert load(layout, platform="linux/arm64").platform == "linux/arm64"
    assert refusal(lambda: load(layout, platform="linux/s390x")) == (
        "other-platform",
        "has no image for linux/s390x; it has linux/amd64, linux/arm64",
    )


@pytest.mark.parametrize(
    ("has", "wanted", "chosen"),
    [
        (["amd64/v3", "amd64"], "amd64", "amd64"),
        (["amd64/v3", "amd64/v1"], "amd64", "amd64"),
        (["amd64/v3"], "amd64", "amd64/v3"),
        (["arm64"], "arm64/v8", "arm64"),
        (["arm64/v8"], "arm64", "arm64"),
        (["arm/v5", "arm/v7"], "arm", "arm/v7"),
        (["arm/v6"], "arm", "arm/v6"),
        (["arm/v6"], "arm/v7", None),
        (["amd64"], "amd64/v3", None),
    ],
)
def test_index_of_variants(layout: Layout, has: list[str], wanted: str, chosen: str | None) -> None:
    """What has the usual variant comes before any other, wherever it stands; another than that is never taken."""
    entries = []
    for name in has:
        architecture, _, variant = name.partition("/")
        platform = {"os": "linux", "architecture": architecture, **({"variant": variant} if variant else {})}
        entries.append(layout.manifest(config=platform, platform=platform))
    index = {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": entries}
    layout.tag(layout.document(index, f"{OCI}.index.v1+json"))
    if chosen is None:
        names = ", ".join([f"linux/{name}" for name in has])
        assert refusal(lambda: load(layout, platform=f"linux/{wanted}")) == (
            "other-platform",
            f"has no image for linux/{wanted}; it has {names}",
        )
    else:
        assert load(layout, platform=f"linux/{wanted}").platform == f"linux/{chosen}"


def test_index_is_parsed_once(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many images of it are loaded; an index in it that stands for several platforms too."""
    parsed: list[int] = []

    class Counted(Index):
        def __init__(self, entries: Sequence[Descriptor]) -> None:
            parsed.append(len(entries))
            super().__init__(entries)

    monkeypatch.setattr("metalauncher.tooling.oci.image.Index", Counted)
    platforms = [{"os": "linux", "architecture": f"x{number}"} for number in range(30)]
    children = [layout.manifest(config=platform, platform=platform) for platform in platforms]
    kind = f"{OCI}.index.v1+json"
    inner = layout.document({"schemaVersion": 2, "mediaType": kind, "manifests": children[:2]}, kind)
    entries = [*[inner | {"platform": platform} for platform in platforms[:2]], *children[2:]]
    layout.tag(layout.document({"schemaVersion": 2, "mediaType": kind, "manifests": entries}, kind))
    images = Images(LayoutStore(str(layout.directory), None))
    assert [images.load(platform).platform for platform in images.platforms()] == [f"linux/x{n}" for n in range(30)]
    assert parsed == [30, 2]


def test_index_in_itself(layout: Layout) -> None:
    """Indexes nested without end are not followed for ever."""
    descriptor = layout.manifest()
    for _ in range(5):
        index = {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": [descriptor]}
        descriptor = layout.document(index, f"{OCI}.index.v1+json")
    layout.tag(descriptor)
    assert refusal(lambda: load(layout)) == ("unsupported", "has indexes nested more than 3 deep")


def test_docker_media_types(layout: Layout) -> None:
    """Docker's own media types are read as OCI's."""
    config = layout.document(
        {"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": [digest(LAYER.tar)]}},
        "application/vnd.docker.container.image.v1+json",
    )
    document = {
        "schemaVersion": 2,
        "mediaType": f"{DOCKER}.manifest.v2+json",
        "config": config,
        "layers": [layout.blob(LAYER.blob, DOCKER_LAYER)],
    }
    layout.tag(layout.document(document, f"{DOCKER}.manifest.v2+json"))
    assert load(layout).layers[0].diff_id == digest(LAYER.tar)


def test_schema_1(layout: Layout) -> None:
    """An image of schema 1 is refused by that name, whatever media type is claimed."""
    document = {"schemaVersion": 1, "name": "app", "fsLayers": [], "history": []}
    layout.tag(layout.document(document, f"{OCI}.manifest.v1+json"))
    assert refusal(lambda: load(layout)) == (
        "unsupported",
        "is an image of Docker's schema 1, which no registry takes any more",
    )


def test_artifact(layout: Layout) -> None:
    """What is no image is refused with its media type."""
    layout.tag(layout.document({"schemaVersion": 2}, "application/vnd.example+json"))
    assert refusal(lambda: load(layout)) == (
        "unsupported",
        "is not a container image: its media type is 'application/vnd.example+json'",
    )


BROKEN_CONFIGS: dict[str, tuple[dict[str, Any], str]] = {
    "environment": ({"config": {"Env": "A=1"}}, "the config's Env is not an array of strings"),
    "environment-that-is-empty-and-no-list": ({"config": {"Env": {}}}, "the config's Env is not an array of strings"),
    "environment-of-numbers": ({"config": {"Env": [1]}}, "the config's Env is not an array of strings"),
    "labels": ({"config": {"Labels": []}}, "Labels in the config is not an object"),
    "config": ({"config": []}, "the config has a 'config' of a wrong type"),
    "rootfs": ({"rootfs": 1}, "the config has a 'rootfs' of a wrong type"),
    "diff-ids-too-few": ({"rootfs": {"diff_ids": []}}, "the config does not name the 1 layers that the manifest has"),
    "diff-id": ({"rootfs": {"diff_ids": ["x"]}}, "'x' is not a digest"),
}


@pytest.mark.parametrize("case", BROKEN_CONFIGS)
def test_broken_config(layout: Layout, case: str) -> None:
    """A config whose values have wrong types is damaged, and what is wrong is named."""
    config, reason = BROKEN_CONFIGS[case]
    layout.image(LAYER, config=config)
    assert refusal(lambda: load(layout)) == ("damaged", reason)


BROKEN_MANIFESTS: dict[str, tuple[dict[str, Any], str]] = {
    "no-config": ({"config": None}, "the config is not described by an object"),
    "no-layers": ({"layers": None}, "the manifest lists no layers"),
    "layer-without-size": ({"layers": [{"mediaType": "x", "digest": "x"}]}, "layer 1 has no media type, or no size"),
    "layer-with-negative-size": (
        {"layers": [{"mediaType": "x", "digest": digest(b""), "size": -1}]},
        "layer 1 has no media type, or no size",
    ),
    "layer-with-true-for-a-size": (
        {"layers": [{"mediaType": "x", "digest": digest(b""), "size": True}]},
        "layer 1 has no media type, or no size",
    ),
    "digest-that-leads-elsewhere": (
        {"layers": [{"mediaType": "x", "digest": "sha256:../../../../etc/passwd", "size": 1}]},
        "'sha256:../../../../etc/passwd' is not a digest",
    ),
    "layer-with-odd-urls": (
        {"layers": [{"mediaType": "x", "digest": digest(b""), "size": 1, "urls": 1}]},
        "layer 1 has urls or annotations of a wrong type",
    ),
}


@pytest.mark.parametrize("case", BROKEN_MANIFESTS)
def test_broken_manifest(layout: Layout, case: str) -> None:
    """A manifest whose values have wrong types is damaged, and what is wrong is named."""
    change, reason = BROKEN_MANIFESTS[case]
    sound = layout.manifest(LAYER)
    document = json.loads(layout.path(sound["digest"]).read_bytes()) | change
    layout.tag(layout.document(document, f"{OCI}.manifest.v1+json"))
    assert refusal(lambda: load(layout)) == ("damaged", reason)


def test_many_layers(layout: Layout) -> None:
    """More layers than any run time would mount are refused before any is read."""
    layout.image(*[LAYER] * 513)
    assert refusal(lambda: load(layout)) == ("too-large", "has 513 layers; 512 are allowed")


NO_DOCUMENTS = {
    "empty": (b"", "is not JSON"),
    "nested": (b"[" * 100_000, "is not JSON"),
    "array": (b"[]", "is not a JSON object"),
    "not-utf-8": (b"\xff{}", "is not JSON"),
}


@pytest.mark.parametrize("case", NO_DOCUMENTS)
def test_manifest_that_is_no_document(layout: Layout, case: str) -> None:
    """Bytes that are no JSON object are damage, never a traceback."""
    text, reason = NO_DOCUMENTS[case]
    layout.tag(layout.blob(text, f"{OCI}.manifest.v1+json"))
    assert refusal(lambda: load(layout)) == ("damaged", f"the manifest {reason}")


def test_blob_changed(layout: Layout) -> None:
    """A manifest whose bytes are not those of its digest is refused, whether longer, shorter, or other."""
    descriptor = layout.manifest()
    layout.tag(descriptor)
    blob = layout.path(descriptor["digest"])
    data = blob.read_bytes()
    blob.write_bytes(data.replace(b"2", b"3", 1))
    found = digest(data.replace(b"2", b"3", 1)).removeprefix("sha256:")
    assert refusal(lambda: load(layout)) == ("damaged", f"has another digest than {descriptor['digest']}: {found}")
    blob.write_bytes(data + b" ")
    assert refusal(lambda: load(layout)) == ("damaged", f"is longer than the {len(data)} bytes that it should have")
    blob.write_bytes(data[:-1])
    assert refusal(lambda: load(layout)) == ("damaged", f"ends after {len(data) - 1} of {len(data)} bytes")
    blob.unlink()
    assert refusal(lambda: load(layout)) == ("absent", "is not there")
    os.mkfifo(blob)
    assert refusal(lambda: load(layout)) == ("damaged", "is not a regular file")


def test_huge_config(layout: Layout) -> None:
    """A config that claims gigabytes is refused by what the manifest says, before it is read."""
    sound = layout.manifest()
    document = json.loads(layout.path(sound["digest"]).read_bytes())
    document["config"]["size"] = 1 << 40
    layout.tag(layout.document(document, f"{OCI}.manifest.v1+json"))
    assert refusal(lambda: load(layout)) == ("too-large", f"has {1 << 40} bytes; {8 << 20} are allowed")


def test_no_layout(tmp_path: Path, layout: Layout) -> None:
    """Each way in which a directory is no layout is told apart."""
    assert refusal(lambda: LayoutStore(str(tmp_path / "none"), None).top()) == ("absent", "there is no such directory")
    assert refusal(lambda: LayoutStore(str(tmp_path), None).top()) == (
        "absent",
        "oci-layout: is not there: this is not an OCI layout",
    )
    assert refusal(lambda: load(layout)) == ("absent", "the layout holds no image")
    index = layout.directory / "index.json"
    index.write_text('{"manifests": 1}')
    assert refusal(lambda: load(layout)) == ("damaged", "index.json has a 'manifests' of a wrong type")
    index.write_text(" " * ((4 << 20) + 1))
    assert refusal(lambda: load(layout)) == ("too-large", f"index.json is larger than {4 << 20} bytes")
    (layout.directory / "oci-layout").write_text('{"imageLayoutVersion": "2.0.0"}')
    assert refusal(lambda: load(layout)) == ("unsupported", "has the layout version '2.0.0', not 1.0.0")


def test_unreadable(tmp_path: Path, layout: Layout) -> None:
    """A file that may not be read is a matter of rights."""
    (layout.directory / "oci-layout").chmod(0)
    for parent in (layout.directory, *layout.directory.parents):
        if parent != Path("/tmp") and tmp_path.is_relative_to(parent) and parent.stat().st_uid == os.geteuid():  # noqa: S108  # only compared with
            parent.chmod(parent.stat().st_mode | 0o011)
    with unprivileged():
        assert refusal(lambda: LayoutStore(str(layout.directory), None).top()) == (
            "denied",
            "oci-layout: permission denied",
        )


def test_archive(tmp_path: Path) -> None:
    """What `docker save` writes gives the same image, whether its layers are compressed or not."""
    plain = Packed(OTHER.tar, OTHER.tar)
    archive = docker_archive(tmp_path / "app.tar", LAYER, plain, config={"config": {"Env": ["A=1"]}})
    image = load_image(ArchiveStore(str(archive), None))
    assert image.environ == (b"A=1",)
    for layer, expected in zip(image.layers, (LAYER, OTHER), strict=True):
        with image.store.open(layer.blob) as blob:
            assert blob.read() == expected.tar


def test_archive_by_name(tmp_path: Path) -> None:
    """An archive's image has a name, with or without `latest`."""
    archive = str(docker_archive(tmp_path / "app.tar", LAYER, tags=("example.com/app:latest", "other:1")))
    for name in ("example.com/app", "example.com/app:latest", "other:1", None):
        assert load_image(ArchiveStore(archive, name)).layers
    assert refusal(lambda: ArchiveStore(archive, "other").top()) == (
        "absent",
        "there is no image 'other'; there is example.com/app:latest, other:1",
    )


def test_archive_changed(tmp_path: Path) -> None:
    """A layer that is not the one of its diff id, and a config that is not the one of its name, are refused."""
    lying = Packed(OTHER.blob, LAYER.tar)
    image = load_image(ArchiveStore(str(docker_archive(tmp_path / "layer.tar", lying)), None))
    with image.store.open(image.layers[0].blob) as blob:
        kind, reason = refusal(blob.read)
    assert kind == "damaged"
    assert reason.startswith(f"has another digest than {digest(LAYER.tar)}: ")
    archive = docker_archive(tmp_path / "config.tar", LAYER)
    archive.write_bytes(archive.read_bytes().replace(b'"linux"', b'"minix"'))
    kind, reason = refusal(lambda: ArchiveStore(str(archive), None).top())
    assert (kind, reason[:44]) == ("damaged", "has a config with another digest than its na")


def _negative() -> bytes:
    """Return an archive whose one member has less than nothing."""
    info, _ = file("manifest.json")
    info.size = -1024
    return info.tobuf(tarfile.GNU_FORMAT) + bytes(10240)


BROKEN_ARCHIVES: dict[str, tuple[bytes, str, str]] = {
    "empty": (b"", "damaged", "is not a tar archive: it is empty"),
    "text": (b"hello" * 200, "damaged", "is not a tar archive: "),
    "compressed": (LAYER.blob, "unsupported", "is compressed with gzip: gunzip -c "),
    "other": (
        tar(file("x")),
        "damaged",
        "holds no 'manifest.json': this is not an archive of docker save",
    ),
    "manifest": (tar(file("manifest.json", b"{}")), "damaged", "manifest.json is not a list of images"),
    "manifest-nested": (tar(file("manifest.json", b"[" * 99_999)), "damaged", "manifest.json is not a list of images"),
    "nameless": (tar(file("manifest.json", b"[{}]")), "damaged", "manifest.json names no config or no layers"),
    "config": (
        tar(file("manifest.json", b'[{"Config": "../c", "Layers": []}]')),
        "damaged",
        "holds no '../c': this is not an archive of docker save",
    ),
    "loop": (
        tar(file("manifest.json", b'[{"Config": "a", "Layers": []}]'), link("a", "b"), link("b", "a")),
        "damaged",
        "holds a loop of links at 'a'",
    ),
    "cut": (tar(file("manifest.json", b"[" + b" " * 5000))[:2000], "damaged", "is not a tar archive: unexpected end"),
    "negative": (_negative(), "damaged", "is not a tar archive: "),
}


@pytest.mark.parametrize("case", BROKEN_ARCHIVES)
def test_broken_archive(tmp_path: Path, case: str) -> None:
    """Each way in which a file is no archive is told apart."""
    data, kind, reason = BROKEN_ARCHIVES[case]
    path = tmp_path / "app.tar"
    path.write_bytes(data)
    found = refusal(lambda: ArchiveStore(str(path), None).top())
    assert (found[0], found[1][: len(reason)]) == (kind, reason)


def test_archive_that_links_equal_layers(tmp_path: Path) -> None:
    """Docker once linked a layer that stood in the archive already."""
    archive = docker_archive(tmp_path / "app.tar", LAYER)
    moved = tmp_path / "linked.tar"
    members = [link("0/layer.tar", "../real/layer.tar"), file("real/layer.tar", LAYER.blob)]
    with tarfile.open(archive) as old:
        kept = [(info, (old.extractfile(info) or io.BytesIO()).read()) for info in old if info.name != "0/layer.tar"]
    moved.write_bytes(tar(*kept, *members))
    image = load_image(ArchiveStore(str(moved), None))
    with image.store.open(image.layers[0].blob) as blob:
        assert blob.read() == LAYER.tar
