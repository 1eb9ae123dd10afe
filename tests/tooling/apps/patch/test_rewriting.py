"""An app image rewritten: the fields that change are the table's, and everything else is as it was."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import goreaders
import pytest
from images import LIFECYCLE as LIFECYCLE_LAUNCHER
from images import SHIM, file, folder, members, pack, sha
from patchable import (
    APP,
    BUILD_LABEL,
    CONFIG,
    FAMILIES,
    LAUNCHER,
    LIFECYCLE_LABEL,
    RUN,
    SBOM,
    SBOMS,
    Patchable,
    launcher_layer,
    patchable,
    plain,
    sbom_layer,
    spelled,
)

from metalauncher import __version__
from metalauncher.tooling.apps.patch import launcher_layer as ours
from metalauncher.tooling.apps.patch.patched_store import PatchedStore
from metalauncher.tooling.apps.patch.refusals import Refused
from metalauncher.tooling.apps.patch.rewriting import Rewritten, layers_to_read, rewrite
from metalauncher.tooling.apps.patch.turn import Turn, Turns
from metalauncher.tooling.oci.image import load_image
from metalauncher.tooling.oci.layer_reader import open_layer
from metalauncher.tooling.oci.model import Descriptor, ImageError, describe

KINDS = ours.LAUNCHER_KINDS
# The diffID is that of the layer which lifecycle 0.21.17's exporter makes of the shim: tests/real holds it.
DIGESTS = {
    "shim": (
        "sha256:d9155aea8c706537330eb0f446f4a6526d0257af927ab6c79c439cfcad150c8f",
        "sha256:6233fb0280893c3c133c8ae3ff65519eaf10005e189833f96f074a672d094e9d",
    ),
}
CARRIES = {"shim": "metalauncher-shim@1", "symlink": "run-image"}


def rewritten(app: Patchable, kind: ours.LauncherKind = "shim", **options: Any) -> Rewritten:
    """Return an app rewritten, by this version."""
    return rewrite(app.source(), kind, app.read, __version__, **options)


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Give each value of a document with its path, in their order; labels that are documents are looked into."""
    if isinstance(value, dict):
        yield path, "{}"
        for key, each in value.items():
            yield from leaves(each, f"{path}/{key}")
    elif isinstance(value, list):
        yield path, len(value)
        for number, each in enumerate(value):
            yield from leaves(each, f"{path}/{number}")
    elif isinstance(value, str) and path.endswith((LIFECYCLE_LABEL, BUILD_LABEL)):
        yield from leaves(json.loads(value), path)
    else:
        yield path, value


def changes(old: bytes, new: bytes) -> dict[str, Any]:
    """Return the values of a document that are others, by path; all keys are there in their old order."""
    before, after = list(leaves(json.loads(old))), list(leaves(json.loads(new)))
    assert [path for path, _ in before] == [path for path, _ in after]
    return {path: value for (path, was), (_, value) in zip(before, after, strict=True) if was != value}


LIFECYCLE, BUILD = f"/config/Labels/{LIFECYCLE_LABEL}", f"/config/Labels/{BUILD_LABEL}"


def expected(result: Rewritten, kind: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what is to change in the manifest and in the config."""
    config, launcher, *sboms = result.blobs
    numbers = {LAUNCHER: launcher, **({SBOM: sboms[0]} if sboms else {})}
    manifest: dict[str, Any] = {"/config/size": len(config.data), "/config/digest": sha(config.data)}
    diff_ids = {number: sha(ungzipped(blob.data)) for number, blob in numbers.items()}
    for number, blob in numbers.items():
        manifest |= {f"/layers/{number}/size": len(blob.data), f"/layers/{number}/digest": sha(blob.data)}
    changed = {f"/rootfs/diff_ids/{number}": diff_id for number, diff_id in diff_ids.items()}
    changed[f"{LIFECYCLE}/launcher/sha"] = diff_ids[LAUNCHER]
    if SBOM in diff_ids:
        changed[f"{LIFECYCLE}/sbom/sha"] = diff_ids[SBOM]
    git = {"repository": "", "commit": ""}
    changed |= {f"{BUILD}/launcher/source/git/{key}": value for key, value in git.items()}
    return manifest, {**changed, f"{BUILD}/launcher/version": CARRIES[kind]}


def ungzipped(data: bytes) -> bytes:
    """Return what `gunzip` makes of it."""
    import subprocess

    return subprocess.run(["gunzip", "-c"], input=data, capture_output=True, check=True).stdout


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_what_changes(family: str, kind: ours.LauncherKind) -> None:
    """In the manifest two layers and the config, in the config what names them; no key moves, none is lost."""
    app = patchable(family)
    source, result = app.source(), rewritten(app, kind)
    assert (changes(source.manifest, result.manifest.data), changes(source.config, result.config.data)) == expected(
        result, kind
    )
    _, config, layer = FAMILIES[family]
    assert [blob.descriptor for blob in result.blobs] == [
        describe(config, result.blobs[0].data),
        *[describe(layer, blob.data) for blob in result.blobs[1:]],
    ]
    assert result.manifest.descriptor == describe(FAMILIES[family][0], result.manifest.data)
    assert [blob.digest for blob in result.kept] == [sha(app.layers[number].data) for number in (RUN, APP, CONFIG)]
    assert result.old_launcher_layer == app.layers[LAUNCHER].diff_id
    assert result.config is result.blobs[0]
    assert [blob.digest for blob in layers_to_read(source)] == [
        sha(app.layers[number].data) for number in (LAUNCHER, SBOM)
    ]


def test_every_other_byte_stays() -> None:
    """The old documents with the old values replaced as text are the new ones."""
    app = patchable()
    source, result = app.source(), rewritten(app)
    config, launcher, sboms = result.blobs
    text = source.config.decode()
    for number, blob in ((LAUNCHER, launcher), (SBOM, sboms)):
        text = text.replace(app.layers[number].diff_id, sha(ungzipped(blob.data)))
    old = json.dumps(json.dumps(app.build["launcher"]))[1:-1]
    new = {"version": "metalauncher-shim@1", "source": {"git": {"repository": "", "commit": ""}}}
    assert text.count(old) == 1
    assert config.data.decode() == text.replace(old, json.dumps(json.dumps(new, separators=(",", ":")))[1:-1])
    text = source.manifest.decode()
    for data, blob in (
        (source.config, config),
        (app.layers[LAUNCHER].data, launcher),
        (app.layers[SBOM].data, sboms),
    ):
        size, digest = f'"size": {len(data)}, "digest": "{sha(data)}"', blob.descriptor.digest
        assert text.count(size) == 1
        text = text.replace(size, f'"size": {len(blob.data)}, "digest": "{digest}"')
    assert result.manifest.data.decode() == text


def test_the_launcher_layers() -> None:
    """The shim as lifecycle itself would have written it, and the link; of each only one digest in the world."""
    shim, link = [ours.launcher_layer(kind) for kind in KINDS]
    assert {"shim": (shim.diff_id, shim.digest)} == DIGESTS
    for layer, content in ((shim, SHIM), (link, b"")):
        assert (sha(layer.data), sha(ungzipped(layer.data))) == (layer.digest, layer.diff_id)
        found = members(layer.data)
        assert [(info.name, info.mode, info.uid, info.gid, info.mtime) for info, _ in found] == [
            (name, 0o755, 0, 0, 315532801) for name in ("/cnb", "/cnb/lifecycle", "/cnb/lifecycle/launcher")
        ]
        assert [data for _, data in found] == [b"", b"", content]
    assert [info.isdir() for info, _ in members(link.data)] == [True, True, False]
    assert members(link.data)[2][0].linkname == "/usr/lib/cnb/launcher"


@pytest.mark.parametrize(
    "change",
    ["no sbom", "no launcher's sbom", "no build label", "no launcher in the build label", "null in the build label"],
)
def test_what_is_not_there_is_not_made(change: str) -> None:
    """Old exporters wrote no SBOMs; a layer of SBOMs without the launcher's stays as it is."""
    app = patchable()
    match change:
        case "no sbom":
            del app.lifecycle["sbom"]
        case "no launcher's sbom":
            app.layers[SBOM] = app.layers[APP]
            del app.layers[APP], app.lifecycle["app"]
            app.lifecycle["sbom"]["sha"] = app.layers[APP].diff_id
        case "no build label":
            app.build = None
        case "no launcher in the build label":
            del app.build["launcher"]
        case _:
            app.build["launcher"] = None
    source, result = app.source(), rewritten(app)
    assert len(result.blobs) == (2 if "sbom" in change else 3)
    changed = changes(source.config, result.config.data)
    wanted = [] if "build" in change else [path for path in expected(result, "shim")[1] if path.startswith(BUILD)]
    assert sorted([path for path in changed if path.startswith(BUILD)]) == sorted(wanted)


def test_media_types_become_the_manifests_own() -> None:
    """Lifecycle's exporter puts layers of Docker's type onto OCI's; readers that refuse a mixture can read it then."""
    for family, other in (("oci", "docker"), ("docker", "oci")):
        app = patchable(family)
        mixed = [layer for number, layer in enumerate(app.layers) if number != RUN]
        app.layers[1:] = [type(layer)(layer.data, layer.diff_id, "", FAMILIES[other][2]) for layer in mixed]
        result = rewritten(app)
        listed = json.loads(result.manifest.data)["layers"]
        assert {entry["mediaType"] for entry in listed} == {FAMILIES[family][2]}
        assert changes(app.source().config, result.config.data) == expected(result, "shim")[1]


def test_layers_that_are_not_compressed() -> None:
    """They are replaced as well; what is new is gzip, whose one digest serves all apps."""
    for family, media_type in (
        ("oci", "application/vnd.oci.image.layer.v1.tar"),
        ("docker", "application/vnd.docker.image.rootfs.diff.tar"),
    ):
        app = patchable(family)
        for number in (SBOM, LAUNCHER):
            app.layers[number] = plain(app.layers[number], media_type)
        usual = rewritten(patchable(family))
        assert [blob.descriptor for blob in rewritten(app).blobs] == [blob.descriptor for blob in usual.blobs]


def test_foreign_layers_that_are_kept_are_not_asked_for() -> None:
    """A registry does not hold them, and can't mount them."""
    app = patchable()
    source = app.source()
    layers = json.loads(source.manifest)["layers"]
    layers[RUN] |= {"mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "urls": ["https://x"]}
    app.manifest = {"layers": layers}
    result = rewritten(app)
    assert [blob.digest for blob in result.kept] == [sha(app.layers[number].data) for number in (APP, CONFIG)]
    assert json.loads(result.manifest.data)["layers"][RUN] == layers[RUN]


def test_a_label_says_not_to() -> None:
    """Who knows that the app may start on another run image says --force."""
    app = patchable()
    app.labels["io.buildpacks.rebasable"] = "false"
    assert rewritten(app, force=True).old_launcher_layer == app.layers[LAUNCHER].diff_id
    app.labels["io.buildpacks.rebasable"] = "true"
    assert rewritten(app).old_launcher_layer == app.layers[LAUNCHER].diff_id


def test_only_those_asked_for() -> None:
    """A launcher's layer that is among them is replaced."""
    app = patchable()
    matched = frozenset([app.layers[LAUNCHER].diff_id, "sha256:" + "0" * 64])
    assert rewritten(app, must_match=matched) == rewritten(app)


def test_a_launchers_layer_is_read_once() -> None:
    """A fleet has few: what one was found to be is kept, the layers that are refused too."""
    sound, shim = patchable(), patchable(launcher=pack([folder("/cnb"), file(LIFECYCLE_LAUNCHER, SHIM, 0o755)]))
    seen: dict[tuple[str, str], Refused | None] = {}
    asked: list[str] = []
    for _ in range(3):
        for app in (sound, shim):

            def read(blob: Descriptor, app: Patchable = app) -> bytes:
                asked.append(blob.digest)
                return app.read(blob)

            if app is sound:
                assert rewrite(app.source(), "shim", read, __version__, seen=seen) == rewritten(app)
            else:
                with pytest.raises(Refused, match="delegates"):
                    rewrite(app.source(), "shim", read, __version__, seen=seen)
    launchers = [sha(app.layers[LAUNCHER].data) for app in (sound, shim)]
    assert asked == [launchers[0], sha(sound.layers[SBOM].data), launchers[1], *[sha(sound.layers[SBOM].data)] * 2]


@pytest.mark.parametrize("large", [True, False])
def test_large_layers_are_held_one_at_a_time(large: bool) -> None:
    """However well an attacker's SBOMs compress; small ones, which fleets have, wait for nobody."""
    app = patchable()
    more = [file(f"/layers/sbom/launch/x{number}", bytes(1 << 20)) for number in range(5 if large else 2)]
    old = file(f"{SBOMS}/sbom.cdx.json", b"{}")
    app.layers[SBOM] = pack([folder("/layers"), folder("/layers/sbom"), folder("/layers/sbom/launch"), *more, old])
    app.lifecycle["sbom"]["sha"] = app.layers[SBOM].diff_id
    assert len(app.layers[SBOM].data) < 100_000
    source, turns = app.source(), Turns()
    together = threading.Barrier(3)
    holding: list[int] = []
    most: list[int] = []

    def one() -> None:
        with Turn(turns) as turn:
            rewrite(source, "shim", app.read, __version__, turn=turn)
            holding.append(1)
            if large:
                time.sleep(0.05)
            else:
                together.wait(60)
            most.append(len(holding))
            holding.pop()

    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(one) for _ in range(3)]:
            done.result()
    assert max(most) == (1 if large else 3)
    assert not turns.holding.locked()


def test_it_is_read_as_if_it_were_written() -> None:
    """New blobs come from memory, the others from the old image's store; wrong ones are found out by both."""
    app = patchable()
    result = rewritten(app)
    below = Below(app)
    store = PatchedStore(result, below)
    image = load_image(store)
    assert image.manifest == result.manifest.descriptor
    names = []
    for layer in image.layers:
        with open_layer(store, layer, 1 << 20, diff_id=True) as found:
            names.append([member.path for member in found])
    assert names[LAUNCHER] == ["cnb", "cnb/lifecycle", "cnb/lifecycle/launcher"]
    assert below.asked == [app.layers[number].diff_id for number in (RUN, APP, CONFIG)]
    assert store.fetch(image.layers[LAUNCHER].blob, 1 << 20) == result.blobs[1].data
    with pytest.raises(ImageError, match="3095 bytes; 9 are allowed"):
        store.fetch(image.layers[LAUNCHER].blob, 9)


class Below:
    """The old image's store, which tells what of it was asked for."""

    def __init__(self, app: Patchable) -> None:
        """Take the image."""
        from metalauncher.tooling.apps.patch.held import Held

        source = app.source()
        self._held = Held(app.blobs, (source.descriptor, source.manifest))
        self._names = {sha(layer.data): layer.diff_id for layer in app.layers}
        self.asked: list[str] = []

    def top(self) -> Any:
        """Return the old manifest."""
        raise AssertionError

    def fetch(self, descriptor: Any, limit: int) -> bytes:
        """Return a blob."""
        return self._held.fetch(descriptor, limit)

    def open(self, descriptor: Any) -> Any:
        """Open a blob."""
        self.asked.append(self._names[descriptor.digest])
        return self._held.open(descriptor)


@cache
def program() -> Path:
    """Return the program that decodes with Go."""
    return goreaders.build("json")


def odd(seed: int) -> Patchable:
    """Return an app whose documents have keys that nobody knows, in any order, written in any way."""
    chance = random.Random(seed)
    app = patchable(chance.choice(list(FAMILIES)), launcher_layer(b"\x7fELF%d" % seed))
    app.encode = spelled(seed)
    values: list[Any] = [1e3, -0.0, 10**30, "", "\x7f\u2028", None, [[]], {"": {}}]
    unknown = {
        chance.choice(("x", "é", "a b", "𝄞", "\\", '"', "Launchers", "sha ")) + str(number): value
        for number, value in enumerate(chance.choices(values, k=4))
    }
    for document in (app.lifecycle, app.build, app.lifecycle["launcher"], app.config, app.manifest):
        items = [*document.items(), *unknown.items()]
        chance.shuffle(items)
        document.clear()
        document.update(items)
    for document, key in ((app.lifecycle, "launcher"), (app.build, "launcher"), (app.lifecycle, "sbom")):
        if key in document and chance.random() < 0.3:
            document[chance.choice((key.upper(), key.title()))] = document.pop(key)
    app.labels |= {f"label.{number}": str(value) for number, value in enumerate(unknown)}
    return app


@pytest.mark.parametrize(("first", "count"), [(0, 60), pytest.param(60, 500, marks=pytest.mark.thorough)])
def test_search(first: int, count: int) -> None:
    """Whatever the documents look like, json and Go read the same of them but for the fields of the table."""
    documents: list[bytes] = []
    wanted: list[tuple[dict[str, Any], dict[str, Any]]] = []
    for seed in range(first, first + count):
        app, kind = odd(seed), KINDS[seed % 2]
        source, result = app.source(), rewritten(app, kind)
        assert rewritten(odd(seed), kind) == result
        manifest, config = expected(result, kind)
        for key in ("launcher", "sbom"):
            for label, document in ((LIFECYCLE, app.lifecycle), (BUILD, app.build)):
                own = next((each for each in document if each.lower() == key), key)
                config = {path.replace(f"{label}/{key}/", f"{label}/{own}/"): value for path, value in config.items()}
        assert (changes(source.manifest, result.manifest.data), changes(source.config, result.config.data)) == (
            manifest,
            config,
        )
        documents += [
            b"m" + source.manifest,
            b"m" + result.manifest.data,
            b"c" + source.config,
            b"c" + result.config.data,
        ]
        wanted.append((manifest, config))
    answers = goreaders.ask(program(), documents)
    assert {answer["error"] for answer in answers} == {""}
    for number, (manifest, config) in enumerate(wanted):
        read = [json.dumps(answer["value"]).encode() for answer in answers[4 * number : 4 * number + 4]]
        assert (changes(read[0], read[1]), changes(read[2], read[3])) == (manifest, config)


def test_sboms_of_the_shim_take_the_place() -> None:
    """Where the launcher's were the shim's are; with a link there is no file that an SBOM could describe."""
    shim, link = [rewritten(patchable(), kind) for kind in KINDS]
    kept = [info.name for info, _ in members(sbom_layer().data) if not info.name.startswith(f"{SBOMS}/")]
    at = kept.index(SBOMS) + 1
    names = [info.name for info, _ in members(shim.blobs[2].data)]
    assert names == [*kept[:at], f"{SBOMS}/sbom.cdx.json", f"{SBOMS}/sbom.spdx.json", *kept[at:]]
    assert [info.name for info, _ in members(link.blobs[2].data)] == [name for name in kept if name != SBOMS]
