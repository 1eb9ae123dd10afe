"""Which image is meant, where a layout or an archive holds several: as other tools name them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from containers import call, need
from layouts import OCI, Layout, Packed, digest, docker_archive, file, packed, tar

from metalauncher.tooling.oci.choice import Index
from metalauncher.tooling.oci.image import Image, load_image
from metalauncher.tooling.oci.model import OCI_MANIFEST, Descriptor, ImageError, Store
from metalauncher.tooling.oci.sources.archive import ArchiveStore
from metalauncher.tooling.oci.sources.layout import LayoutStore, OciArchiveStore

LAYER = packed(file("etc/one", b"1"))
INDEX = f"{OCI}.index.v1+json"
CONTAINERD = "io.containerd.image.name"
TAG = "org.opencontainers.image.ref.name"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Return an empty layout."""
    return Layout(tmp_path / "layout")


def labelled(layout: Layout, label: str, architecture: str = "amd64", **fields: Any) -> dict[str, Any]:
    """Store an image that tells which it is."""
    config = {"architecture": architecture, "config": {"Labels": {"n": label}}}
    return layout.manifest(LAYER, config=config, **fields)


def load(layout: Layout, tag: str | None = None, platform: str = "linux/amd64") -> Image:
    """Load an image of the layout."""
    return load_image(LayoutStore(str(layout.directory), tag), platform)


def refusal(call: Callable[[], Any]) -> tuple[str, str]:
    """Return of which kind the error is, and the reason."""
    with pytest.raises(ImageError) as caught:
        call()
    return caught.value.kind, caught.value.reason


# A name that an image has, and those that it is asked for by.
NAMES = {
    "docker.io/acme/app:1": ["acme/app:1", "index.docker.io/acme/app:1", "docker.io/acme/app:1"],
    "docker.io/library/shop:1": ["shop:1", "library/shop:1", "docker.io/shop:1"],
    "acme/app:1": ["docker.io/acme/app:1"],
    "shop:latest": ["shop", "docker.io/library/shop", "library/shop:latest"],
    "localhost/app:1": ["localhost/app:1"],
    "registry.example.com:5000/acme/app:1.0": ["registry.example.com:5000/acme/app:1.0"],
}
OTHERS = ["acme/other:1", "acme/app:2", "quay.io/acme/app:1", "localhost/acme/app:1", "app:1"]


@pytest.mark.parametrize("name", NAMES)
def test_names_in_full_and_in_short(layout: Layout, tmp_path: Path, name: str) -> None:
    """In layouts and archives a name is found however much of it is written, and no other name is."""
    layout.tag(labelled(layout, "it"), name)
    layout.tag(labelled(layout, "another"), "quay.io/another/image:1")
    archive = str(docker_archive(tmp_path / "app.tar", LAYER, tags=(name,)))
    for asked in NAMES[name]:
        assert load(layout, asked).labels == {"n": "it"}
        assert load_image(ArchiveStore(archive, asked)).layers
    for other in OTHERS:
        assert refusal(LayoutStore(str(layout.directory), other).top) == (
            "absent",
            f"there is no image {other!r}; there is {', '.join(sorted([name, 'quay.io/another/image:1']))}",
        )
        assert refusal(ArchiveStore(archive, other).top) == (
            "absent",
            f"there is no image {other!r}; there is {name}",
        )


def test_to_the_letter_goes_first(layout: Layout) -> None:
    """Where two names are one to Docker, the one that is written is the one that is meant."""
    layout.tag(labelled(layout, "short"), "shop:1")
    layout.tag(labelled(layout, "full"), "docker.io/library/shop:1")
    assert load(layout, "shop:1").labels == {"n": "short"}
    assert load(layout, "docker.io/library/shop:1").labels == {"n": "full"}
    assert refusal(lambda: load(layout, "library/shop:1"))[0] == "ambiguous"


def test_names_of_containerd(layout: Layout) -> None:
    """`docker save` writes the tag alone as the layout's name, and the whole name beside it."""
    for repository in ("acme/app", "acme/other"):
        manifest = labelled(layout, repository)
        annotations = {CONTAINERD: f"docker.io/{repository}:1", TAG: "1"}
        layout.entries.append(manifest | {"annotations": annotations})
    layout.write_index()
    assert load(layout, "acme/app:1").labels == {"n": "acme/app"}
    assert load(layout, "docker.io/acme/other:1").labels == {"n": "acme/other"}
    assert refusal(lambda: load(layout, "1"))[0] == "ambiguous"


def test_tag_twice(layout: Layout) -> None:
    """One tag for two images of one platform is not guessed at: both digests are said, and each can be named."""
    first, second = labelled(layout, "1"), labelled(layout, "2")
    layout.tag(labelled(layout, "0"), "other")
    layout.tag(first, "app")
    layout.tag(second, "app")
    digests = f"@1 is {first['digest']}, @2 is {second['digest']}"
    assert refusal(lambda: load(layout, "app")) == (
        "ambiguous",
        f"'app' names 2 images for linux/amd64: name one by its place; {digests}",
    )
    assert [load(layout, f"@{place}").labels["n"] for place in range(3)] == ["0", "1", "2"]
    assert refusal(lambda: load(layout, "@3")) == ("absent", "there is no image @3: the layout holds 3, from @0")


def test_same_image_twice(layout: Layout) -> None:
    """One image that is listed twice is one image."""
    manifest = labelled(layout, "it")
    layout.tag(manifest, "app")
    layout.tag(manifest, "app")
    assert load(layout, "app").labels == {"n": "it"}
    assert load(layout).labels == {"n": "it"}


@pytest.mark.parametrize(
    ("platforms", "had"),
    [
        (
            ["linux/s390", "linux/amd64", "", ""],
            "it has linux/amd64, linux/s390 and images whose platform it does not say",
        ),
        (["", ""], "it does not say which platforms its images are for"),
        (["unknown/unknown"], "it has only attestations and the like, and no image"),
        ([], "it has no image"),
    ],
)
def test_no_image_for_a_platform(platforms: list[str], had: str) -> None:
    """What an index has in place of the image for a platform is said in words that are true of it."""
    entries = [Descriptor(OCI_MANIFEST, f"sha256:{n:064}", 1, platform) for n, platform in enumerate(platforms)]
    with pytest.raises(ImageError) as caught:
        Index(entries).for_platform("linux/s390x")
    assert caught.value.reason == f"has no image for linux/s390x; {had}"


@pytest.mark.parametrize("told", [True, False], ids=["by the index", "by the configs"])
def test_one_name_for_several_platforms(layout: Layout, told: bool) -> None:
    """The platform decides, be it said in the layout's index or in the configs alone."""
    for architecture in ("arm64", "x86_64"):
        fields = {"platform": {"os": "linux", "architecture": architecture}} if told else {}
        layout.tag(labelled(layout, architecture, architecture, **fields), "app")
    for name in ("app", None):
        assert load(layout, name).labels == {"n": "x86_64"}
        assert load(layout, name, "linux/aarch64").labels == {"n": "arm64"}
        with pytest.raises(ImageError) as caught:
            load(layout, name, "linux/s390x")
        assert caught.value.reason == "has no image for linux/s390x; it has linux/amd64, linux/arm64"


def test_archive_for_several_platforms(tmp_path: Path) -> None:
    """The same of a docker archive; two of one platform are ambiguous, and their digests named."""
    members, entries = [], []
    for number, architecture in enumerate(("arm64", "amd64", "amd64")):
        config = json.dumps(
            {
                "architecture": architecture,
                "os": "linux",
                "config": {"Labels": {"n": str(number)}},
                "rootfs": {"type": "layers", "diff_ids": [digest(LAYER.tar)]},
            }
        ).encode()
        name = f"{digest(config).removeprefix('sha256:')}.json"
        members.append(file(name, config))
        entries.append({"Config": name, "RepoTags": ["acme/app:1"], "Layers": ["layer.tar"]})
    path = tmp_path / "app.tar"

    def write(count: int) -> str:
        listing = file("manifest.json", json.dumps(entries[:count]).encode())
        path.write_bytes(tar(*members, file("layer.tar", LAYER.blob), listing))
        return str(path)

    archive = write(2)
    assert load_image(ArchiveStore(archive, "acme/app:1")).labels == {"n": "1"}
    assert load_image(ArchiveStore(archive, None), "linux/arm64").labels == {"n": "0"}
    image = load_image(ArchiveStore(archive, "acme/app:1"))
    with image.store.open(image.layers[0].blob) as blob:
        assert blob.read() == LAYER.tar
    archive = write(3)
    kind, reason = refusal(ArchiveStore(archive, "acme/app:1").top)
    assert kind == "ambiguous"
    assert reason.startswith("'acme/app:1' names 3 images for linux/amd64: name one by its place; @0 is sha256:")
    assert load_image(ArchiveStore(archive, "@2")).labels == {"n": "2"}


def test_two_indexes_of_one_name(layout: Layout) -> None:
    """Two indexes with one name are as ambiguous as two images; one beside an image of another platform is not."""
    for label in "ab":
        amd = labelled(layout, label, platform={"os": "linux", "architecture": "amd64"})
        document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [amd]}
        layout.tag(layout.document(document, INDEX), "app")
    kind, reason = refusal(lambda: load(layout, "app"))
    assert (kind, reason[:52]) == ("ambiguous", "'app' names 2 images: name one by its place; @0 is s")
    layout.entries[1:] = [labelled(layout, "arm", "arm64", annotations={TAG: "app"})]
    layout.write_index()
    assert load(layout, "app").labels == {"n": "a"}
    assert load(layout, "app", "linux/arm64").labels == {"n": "arm"}


def test_what_lies_beside_an_image_is_none(layout: Layout) -> None:
    """A layout with one image, its signature and its attestation holds one image, which needs no name."""
    layout.tag(labelled(layout, "it"), "app")
    for fields in (
        {"artifactType": "application/vnd.dev.cosign.artifact.sig.v1+json"},
        {"annotations": {"vnd.docker.reference.type": "attestation-manifest"}},
        {"platform": {"os": "unknown", "architecture": "unknown"}},
    ):
        layout.entries.append(labelled(layout, str(fields), **fields))
    layout.write_index()
    assert load(layout).labels == {"n": "it"}


# Config's media type, first layer's media type, artifactType, what it is called.
ARTIFACTS = {
    "helm": (
        "application/vnd.cncf.helm.config.v1+json",
        "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
        None,
        "a Helm chart (application/vnd.cncf.helm.config.v1+json)",
    ),
    "cosign": (
        f"{OCI}.config.v1+json",
        "application/vnd.dev.cosign.simplesigning.v1+json",
        None,
        "a signature (application/vnd.dev.cosign.simplesigning.v1+json)",
    ),
    "buildkit": (
        f"{OCI}.config.v1+json",
        "application/vnd.in-toto+json",
        None,
        "an attestation (application/vnd.in-toto+json)",
    ),
    "sigstore": (
        "application/vnd.oci.empty.v1+json",
        "application/vnd.dev.sigstore.bundle.v0.3+json",
        "application/vnd.dev.sigstore.bundle.v0.3+json",
        "a signature (application/vnd.dev.sigstore.bundle.v0.3+json)",
    ),
    "sbom": (
        "application/vnd.oci.empty.v1+json",
        "application/spdx+json",
        "application/spdx+json",
        "an SBOM (application/spdx+json)",
    ),
    "oras": (
        "application/vnd.oci.empty.v1+json",
        "text/plain",
        "application/vnd.example.notes",
        "an artifact (application/vnd.example.notes)",
    ),
    "plugin": (
        "application/vnd.docker.plugin.v1+json",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
        None,
        "a Docker plugin (application/vnd.docker.plugin.v1+json)",
    ),
}


@pytest.mark.parametrize("case", ARTIFACTS)
def test_what_is_no_image(layout: Layout, case: str) -> None:
    """It is called what it is, and not damaged."""
    config, layer, kind, called = ARTIFACTS[case]
    document = {
        "schemaVersion": 2,
        "mediaType": f"{OCI}.manifest.v1+json",
        "config": layout.document({}, config),
        "layers": [layout.blob(b"x", layer)],
    } | ({"artifactType": kind} if kind else {})
    layout.tag(layout.document(document, f"{OCI}.manifest.v1+json"))
    assert refusal(lambda: load(layout)) == ("unsupported", f"is not a container image, but {called}")


def test_layers_of_unusual_types_are_layers(layout: Layout) -> None:
    """What the layers of an image are called does not make it another thing."""
    for number, kind in enumerate(("application/octet-stream", "application/x-tar", f"{OCI}.layer.v1.tar+enc")):
        layout.tag(layout.manifest(Packed(LAYER.blob, LAYER.tar, kind)), str(number))
        assert len(load(layout, str(number)).layers) == 1


def oci_archive(layout: Layout, path: Path, prefix: str = "") -> str:
    """Write a layout as one tar."""
    names = [name for name in sorted(layout.directory.rglob("*")) if name.is_file()]
    path.write_bytes(tar(*[file(f"{prefix}{name.relative_to(layout.directory)}", name.read_bytes()) for name in names]))
    return str(path)


@pytest.mark.parametrize("prefix", ["", "./"])
def test_oci_archive(layout: Layout, tmp_path: Path, prefix: str) -> None:
    """The tar of a layout is read as the layout is, where it lies; other archives are told apart."""
    layout.tag(labelled(layout, "1"), "acme/app:1")
    layout.tag(labelled(layout, "2"), "acme/app:2")
    archive = oci_archive(layout, tmp_path / "app.tar", prefix)
    image = load_image(OciArchiveStore(archive, "docker.io/acme/app:2"))
    assert image.labels == {"n": "2"}
    with image.store.open(image.layers[0].blob) as blob:
        assert blob.read() == LAYER.blob
    assert refusal(OciArchiveStore(archive, None).top) == (
        "ambiguous",
        "the archive holds 2 images: name one; there is acme/app:1, acme/app:2",
    )
    assert refusal(ArchiveStore(archive, None).top) == (
        "unsupported",
        f"is the archive of an OCI layout: oci-archive:{archive}",
    )


def test_no_oci_archive(layout: Layout, tmp_path: Path) -> None:
    """What is none is said to be what it is; a blob that was changed is found out."""
    docker = str(docker_archive(tmp_path / "docker.tar", LAYER))
    assert refusal(OciArchiveStore(docker, None).top) == (
        "unsupported",
        f"is an archive as docker save writes it: docker-archive:{docker}",
    )
    other = tmp_path / "other.tar"
    other.write_bytes(tar(file("x")))
    assert refusal(OciArchiveStore(str(other), None).top) == (
        "absent",
        "holds no 'oci-layout': this is not an archive of an OCI layout",
    )
    assert refusal(OciArchiveStore(str(tmp_path / "none"), None).top) == ("absent", "is not there")
    for data, kind, program in ((LAYER.blob, "gzip", "gunzip"), (zstandard.compress(b"x"), "zstd", "unzstd")):
        other.write_bytes(data)
        for store in (OciArchiveStore, ArchiveStore):
            found, reason = refusal(store(str(other), None).top)
            assert (found, reason) == (
                "unsupported",
                f"is compressed with {kind}: {program} -c {other} > {other}.tar",
            )
    layout.image(LAYER)
    blob = layout.path(digest(LAYER.blob))
    blob.write_bytes(blob.read_bytes()[:-1] + b"!")
    image = load_image(OciArchiveStore(oci_archive(layout, tmp_path / "app.tar"), None))
    with image.store.open(image.layers[0].blob) as opened:
        assert refusal(opened.read)[0] == "damaged"


SKIPPED = b"\x5a\x2a\x4d\x18\x03\0\0\0xyz"


@pytest.mark.parametrize(
    "pack",
    [
        zstandard.compress,
        lambda data: SKIPPED + zstandard.compress(data),
        lambda data: zstandard.compress(data[:500]) + SKIPPED + zstandard.compress(data[500:]) + SKIPPED,
    ],
    ids=["plain", "skippable first", "skippable between and last"],
)
def test_zstd_in_docker_archives(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    """Layers that some tools leave as zstd in an archive are read, and what is damaged is found out."""
    image = load_image(ArchiveStore(str(docker_archive(tmp_path / "a.tar", Packed(pack(LAYER.tar), LAYER.tar))), None))
    with image.store.open(image.layers[0].blob) as blob:
        assert blob.read() == LAYER.tar
    cut = Packed(zstandard.compress(LAYER.tar)[:-4], LAYER.tar)
    image = load_image(ArchiveStore(str(docker_archive(tmp_path / "b.tar", cut)), None))
    with image.store.open(image.layers[0].blob) as blob:
        assert refusal(blob.read) == ("damaged", "has a layer that is damaged: a zstd frame is cut off")


def test_other_compressions(tmp_path: Path) -> None:
    """What images don't have is called by its name."""
    for magic, kind in ((b"\xfd7zXZ\0", "xz"), (b"BZh9", "bzip2"), (b"\x04\x22\x4d\x18", "lz4")):
        odd = Packed(magic + b"x" * 600, LAYER.tar)
        image = load_image(ArchiveStore(str(docker_archive(tmp_path / f"{kind}.tar", odd)), None))
        reason = f"has a layer compressed with {kind}: images have gzip or zstd"
        assert refusal(image.store.open(image.layers[0].blob).__enter__) == ("unsupported", reason)


def skopeo(reference: str) -> str:
    """Return the digest of the manifest that skopeo finds, or "" where it finds none."""
    try:
        return digest(call("skopeo", "inspect", "--raw", reference).encode())
    except AssertionError:
        return ""


def ours(store: Store) -> str:
    """Return the digest of the manifest that is found here, or "" where none is."""
    try:
        return store.top()[0].digest
    except ImageError:
        return ""


def test_as_skopeo_names_them(layout: Layout, tmp_path: Path) -> None:
    """Whatever skopeo finds in a layout or an archive is found here by the same reference, and is the same."""
    need("skopeo")
    names = ("run", "acme/app:1", "registry.example.com:5000/acme/app:1.0", "v1.0-rc.1")
    for name in names:
        layout.tag(labelled(layout, name), name)
    archive = oci_archive(layout, tmp_path / "oci.tar")
    docker = str(docker_archive(tmp_path / "docker.tar", LAYER, tags=("docker.io/library/shop:1", "quay.io/a/b:2")))
    asked = [*names, "acme/app", "1.0", "docker.io/acme/app:2"]
    for name in asked:
        expected = skopeo(f"oci:{layout.directory}:{name}")
        assert bool(expected) == (name in names), name
        assert ours(LayoutStore(str(layout.directory), name)) == expected, name
        assert ours(OciArchiveStore(archive, name)) == skopeo(f"oci-archive:{archive}:{name}") == expected, name
    found = [
        name
        for name in ("shop:1", "docker.io/library/shop:1", "library/shop:1", "quay.io/a/b:2", "quay.io/a/b")
        if skopeo(f"docker-archive:{docker}:{name}")
    ]
    assert found == ["shop:1", "docker.io/library/shop:1", "library/shop:1", "quay.io/a/b:2"]
    for name in found:
        assert ours(ArchiveStore(docker, name)), name
    assert not ours(ArchiveStore(docker, "quay.io/a/b"))
