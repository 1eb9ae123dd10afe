"""Every app image that is not rewritten: the code, the facts, and the text as a file.

The texts lie in tests/data/tooling/apps/patch/refusals, without the digits of digests, which depend
on zlib. METALAUNCHER_UPDATE=1 rewrites them, for review.
"""

from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

import pytest
import zstandard
from harness import DATA
from images import LIFECYCLE, Layer, fifo, file, folder, hard_link, link, pack, sha
from patchable import (
    APP,
    CONFIG,
    FAMILIES,
    LAUNCHER,
    LIFECYCLE_LABEL,
    RUN,
    SBOM,
    SBOMS,
    Patchable,
    patchable,
    sbom_layer,
)
from raw_tar import END, member

from metalauncher.tooling.apps.patch.refusal_text import text_of
from metalauncher.tooling.apps.patch.refusals import LEFT_ALONE, RefusalCode, Refused
from metalauncher.tooling.apps.patch.rewriting import layers_to_read, rewrite
from metalauncher.tooling.apps.patch.source import Source
from metalauncher.tooling.oci.model import Descriptor, describe

TEXTS = DATA / "tooling/apps/patch/refusals"
NAME = "registry.example/acme/shop:1"
CODES: tuple[RefusalCode, ...] = get_args(RefusalCode)
# What is wrong with an app, by the text's file: its name begins with the code.
Case = Callable[[Patchable], Source | None]
CASES: dict[str, Case] = {}
PROGRAM = file(LIFECYCLE, b"\x7fELF", 0o755)
FOLDERS = (folder("/cnb"), folder("/cnb/lifecycle"))
OCI_LAYER = FAMILIES["oci"][2]


def case(name: str) -> Callable[[Case], Case]:
    """Add a case."""

    def add(make: Case) -> Case:
        CASES[name] = make
        return make

    return add


def put(app: Patchable, number: int, layer: Layer) -> None:
    """Put a layer in another's place, and its diffID into the label."""
    text = json.dumps(app.lifecycle).replace(app.layers[number].diff_id, layer.diff_id)
    app.lifecycle, app.layers[number] = json.loads(text), layer


def with_descriptor(app: Patchable, number: int, **more: Any) -> None:
    """Say more of a layer in the manifest, or something else."""
    layers = json.loads(app.source().manifest)["layers"]
    app.manifest = {"layers": [each | more if at == number else each for at, each in enumerate(layers)]}


def launcher_of(name: str, *members: Any) -> None:
    """Add a case of a launcher's layer with these members."""
    CASES[name] = lambda app: put(app, LAUNCHER, pack(members))


def sboms_of(name: str, *members: Any) -> None:
    """Add a case of a layer of SBOMs with these members."""
    CASES[name] = lambda app: put(app, SBOM, pack(members))


def manifest_of(name: str, document: bytes, media_type: str = FAMILIES["oci"][0]) -> None:
    """Add a case of another manifest."""
    CASES[name] = lambda app: Source(describe(media_type, document), document, app.source().config)


def label_of(name: str, label: Any) -> None:
    """Add a case of another label of lifecycle's."""

    def make(app: Patchable) -> None:
        app.lifecycle = label

    CASES[name] = make


manifest_of("schema-1", b'{"schemaVersion":1,"fsLayers":[]}', "application/vnd.docker.distribution.manifest.v1+json")
manifest_of("index", b'{"schemaVersion":2,"manifests":[]}', "application/vnd.oci.image.index.v1+json")
manifest_of("no-image-unknown", b'{"schemaVersion":2}')
manifest_of("no-image-no-json", b"{")
label_of("no-label", None)
label_of("damaged-label", "{")
label_of("damaged-label-list", "[]")
label_of("damaged-label-no-launcher", {"runImage": {}})
label_of("damaged-label-no-sha", {"launcher": {"data": None}})
label_of("damaged-label-deep", '{"a":' + "[" * 300 + "]" * 300 + "}")
label_of("damaged-document-sha", {"launcher": {"sha": 5}})
label_of("repeated-key-label", '{"launcher":{"sha":"a"},"launcher":{"sha":"b"}}')
label_of("repeated-key-label-case", '{"launcher":{"sha":"a","SHA":"b"}}')
label_of("no-layer", {"launcher": {"sha": "sha256:" + "0" * 64}})
launcher_of("delegates-shim", *FOLDERS, file(LIFECYCLE, b"#!/usr/bin/metalauncher --launch\n", 0o755))
launcher_of("delegates-link", *FOLDERS, link(LIFECYCLE, "/usr/lib/cnb/launcher"))
launcher_of("launcher-layer-more", *FOLDERS, PROGRAM, file("/cnb/lifecycle/lifecycle", b""))
launcher_of("launcher-layer-whiteout", *FOLDERS, PROGRAM, file("/cnb/.wh.process", b""))
launcher_of("launcher-layer-twice", *FOLDERS, PROGRAM, PROGRAM)
launcher_of("launcher-layer-hard-link", *FOLDERS, hard_link(LIFECYCLE, "/usr/bin/launcher"))
launcher_of("launcher-layer-fifo", *FOLDERS, fifo(LIFECYCLE))
launcher_of("launcher-layer-directory", *FOLDERS, folder(LIFECYCLE))
launcher_of("launcher-layer-link-on-the-way", link("/cnb", "/opt/cnb"), PROGRAM)
launcher_of("launcher-layer-empty", *FOLDERS)
sboms_of("sbom-layer-hard-link", file(f"{SBOMS}/sbom.cdx.json", b""), hard_link("/a", f"{SBOMS}/sbom.cdx.json"))
sboms_of("sbom-layer-long", file(f"/{'l' * 60}/{SBOMS}/sbom.cdx.json", b""))


@case("damaged-document-utf-8")
def _(app: Patchable) -> Source:
    config = app.source().config.replace(b"\\u00e9<", b"\xff<")
    app.manifest = {
        "config": json.loads(app.source().manifest)["config"] | {"size": len(config), "digest": sha(config)}
    }
    return app.source()._replace(config=config)


@case("repeated-key")
def _(app: Patchable) -> None:
    app.encode = lambda document: json.dumps(document).encode().replace(b'"created": "', b'"os": "linux", "created": "')


@case("repeated-key-case")
def _(app: Patchable) -> None:
    app.config = {"Created": "1980-01-01T00:00:01Z"}


@case("repeated-key-manifest")
def _(app: Patchable) -> Source:
    manifest = app.source().manifest.replace(b'"acme.kept"', b'"acme.kept": "0", "acme.kept"')
    return Source(describe(FAMILIES["oci"][0], manifest), manifest, app.source().config)


@case("unequal-layers")
def _(app: Patchable) -> None:
    app.config = {"rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in app.layers[1:]]}}


@case("descriptor-urls")
def _(app: Patchable) -> None:
    with_descriptor(app, LAUNCHER, urls=["https://elsewhere.example/blob"])


@case("descriptor-data")
def _(app: Patchable) -> None:
    with_descriptor(app, SBOM, data="YQ==")


@case("descriptor-annotations")
def _(app: Patchable) -> None:
    with_descriptor(app, LAUNCHER, annotations={"containerd.io/snapshot/stargz/toc.digest": "sha256:" + "0" * 64})


@case("descriptor-config")
def _(app: Patchable) -> None:
    app.manifest = {"config": json.loads(app.source().manifest)["config"] | {"annotations": {"a": "b"}}}


@case("layer-type-zstd")
def _(app: Patchable) -> None:
    old = app.layers[LAUNCHER]
    data = zstandard.compress(gzip.decompress(old.data))
    app.layers[LAUNCHER] = Layer(data, old.diff_id, "", "application/vnd.oci.image.layer.v1.tar+zstd")


@case("layer-type-encrypted")
def _(app: Patchable) -> None:
    with_descriptor(app, SBOM, mediaType=f"{OCI_LAYER}+encrypted")


@case("layer-type-foreign")
def _(app: Patchable) -> None:
    with_descriptor(app, LAUNCHER, mediaType="application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")


@case("mixed-types")
def _(app: Patchable) -> None:
    with_descriptor(app, APP, mediaType="application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")


@case("digest-config")
def _(app: Patchable) -> Source:
    source = app.source()
    return source._replace(config=source.config.replace(b"linux", b"Linux"))


@case("digest-manifest")
def _(app: Patchable) -> Source:
    source = app.source()
    return source._replace(manifest=source.manifest.replace(b"acme", b"Acme"))


@case("not-rebasable")
def _(app: Patchable) -> None:
    app.labels["io.buildpacks.rebasable"] = "false"


@case("no-layer-sbom")
def _(app: Patchable) -> None:
    app.lifecycle["sbom"]["sha"] = "sha256:" + "0" * 64


@case("repeated-layer")
def _(app: Patchable) -> None:
    app.layers.append(app.layers[LAUNCHER])


@case("repeated-layer-sbom")
def _(app: Patchable) -> None:
    app.layers.insert(RUN, app.layers[SBOM])


@case("repeated-layer-named-twice")
def _(app: Patchable) -> None:
    app.lifecycle["config"]["sha"] = app.layers[LAUNCHER].diff_id


@case("run-image-layer")
def _(app: Patchable) -> None:
    app.lifecycle["runImage"]["topLayer"] = app.layers[CONFIG].diff_id


@case("run-image-layer-sbom")
def _(app: Patchable) -> None:
    app.layers[RUN], app.layers[SBOM] = app.layers[SBOM], app.layers[RUN]


@case("damaged-layer-digest")
def _(app: Patchable) -> None:
    source, old = app.source(), app.layers[LAUNCHER]
    app.manifest = {"layers": json.loads(source.manifest)["layers"]}
    app.layers[LAUNCHER] = replace(old, data=old.data[:-1] + b"x")


@case("damaged-layer-diff-id")
def _(app: Patchable) -> None:
    other = pack([*FOLDERS, file(LIFECYCLE, b"\x7fELF another", 0o755)])
    app.layers[LAUNCHER] = replace(app.layers[LAUNCHER], data=other.data)


@case("damaged-layer-gzip")
def _(app: Patchable) -> None:
    app.layers[LAUNCHER] = replace(app.layers[LAUNCHER], data=app.layers[LAUNCHER].data[:-9])


@case("damaged-layer-tar")
def _(app: Patchable) -> None:
    content = gzip.decompress(app.layers[SBOM].data)
    content = content[:512] + b"x" + content[513:]
    put(app, SBOM, Layer(gzip.compress(content), sha(content)))


@case("damaged-layer-member")
def _(app: Patchable) -> None:
    content = member(b"/cnb/lifecycle/launcher", kind=b"V") + END
    put(app, LAUNCHER, Layer(gzip.compress(content), sha(content)))


@case("large-layer")
def _(app: Patchable) -> None:
    content = bytes((64 << 20) + 512)
    put(app, SBOM, Layer(gzip.compress(content, 1), sha(content)))


@case("large-layer-launcher")
def _(app: Patchable) -> None:
    put(app, LAUNCHER, pack([*FOLDERS, file(LIFECYCLE, bytes(64 << 20), 0o755)]))


def refused(app: Patchable, source: Source | None = None, **options: Any) -> Refused:
    """Return why an app is not rewritten."""

    def read(blob: Descriptor) -> bytes:
        listed = json.loads((source or app.source()).manifest)["layers"]
        return app.layers[[each["digest"] for each in listed].index(blob.digest)].data

    with pytest.raises(Refused) as error:
        rewrite(source or app.source(), "shim", read, "1", **options)
    return error.value


def written(found: Refused) -> str:
    """Return what is said, as the file has it."""
    text = text_of(found, NAME)
    lines = [
        f"{found.code}: {text.reason}",
        *[f"{key}: {value}" for key, value in text._asdict().items() if key != "reason"],
    ]
    return re.sub("[0-9a-f]{64}", "…", "".join([line.rstrip() + "\n" for line in lines]))


@pytest.mark.parametrize("name", CASES)
def test_what_is_refused(name: str) -> None:
    """The code is the one that the case is named for; the text is the file's."""
    app = patchable()
    found = refused(app, CASES[name](app))
    if os.environ.get("METALAUNCHER_UPDATE"):
        (TEXTS / f"{name}.txt").write_text(written(found))
    assert name.startswith(found.code)
    assert written(found) == (TEXTS / f"{name}.txt").read_text()
    assert found.left_alone == (found.code in LEFT_ALONE)
    command = text_of(found, "a b").command
    assert command.count("'a b'") == command.count("a b") > 0


def test_not_matched() -> None:
    """A launcher's layer that nobody asked for is left alone, and not even read."""
    app = patchable()

    def read(blob: Descriptor) -> bytes:
        raise AssertionError(blob)

    with pytest.raises(Refused) as error:
        rewrite(app.source(), "shim", read, "1", must_match=frozenset(["sha256:" + "0" * 64]))
    assert (error.value.code, error.value.place) == ("not-matched", app.layers[LAUNCHER].diff_id)
    name = "not-matched"
    if os.environ.get("METALAUNCHER_UPDATE"):
        (TEXTS / f"{name}.txt").write_text(written(error.value))
    assert written(error.value) == (TEXTS / f"{name}.txt").read_text()
    assert error.value.left_alone


def test_every_code_and_every_file_has_its_case() -> None:
    """None is said without a test, and no text lies about."""
    names = {*CASES, "not-matched"}
    assert {file.stem for file in TEXTS.iterdir()} == names
    assert [code for code in CODES if not any([name.startswith(code) for name in names])] == []


@pytest.mark.parametrize("name", sorted(CASES))
def test_before_a_layer_is_read(name: str) -> None:
    """What can be told without the layers is told before they are fetched; the other cases ask for two."""
    app = patchable()
    source = CASES[name](app) or app.source()
    code = next(code for code in sorted(CODES, key=len, reverse=True) if name.startswith(code))
    later = (
        "delegates",
        "launcher-layer",
        "damaged-layer",
        "large-layer",
        "sbom-layer",
        "mixed-types",
        "not-rebasable",
    )
    if code in later:
        assert len(layers_to_read(source)) == 2
    else:
        with pytest.raises(Refused) as error:
            layers_to_read(source)
        assert error.value.code == code


def test_long_facts_are_cut() -> None:
    """An image says whatever it likes; nobody has to read all of it."""
    text = text_of(Refused("layer-type", "sha256:0", "x" * 5000), NAME)
    assert text.reason == f"a layer that would be replaced is {'x' * 200}…"
    assert text_of(Refused("layer-type", "{app}", "{place}"), NAME).have == "{app}"


def test_sbom_layer_is_the_usual_one() -> None:
    """The cases are about what they change: without it the app is rewritten."""
    app = patchable()
    assert app.layers[SBOM] == sbom_layer()
    assert LIFECYCLE_LABEL in json.loads(app.source().config)["config"]["Labels"]
    assert rewrite(app.source(), "shim", app.read, "1").kept
