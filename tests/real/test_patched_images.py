"""App images that lifecycle's own exporter wrote, rewritten: judged by `check`, read by others, and started by crun."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import golang
import launchers
import pytest
from appimages import FIRST, AppImages, Outcome, app_images
from bundles import as_process
from containers import call, need
from exporting import Exporter, recipes
from images import members
from table import Row, starts
from test_app_images import expected

from metalauncher import __version__
from metalauncher.tooling.apps.patch.launcher_layer import LAUNCHER_KINDS, LauncherKind, launcher_layer
from metalauncher.tooling.apps.patch.patched_store import PatchedStore
from metalauncher.tooling.apps.patch.refusals import Refused
from metalauncher.tooling.apps.patch.rewriting import Rewritten, layers_to_read, rewrite
from metalauncher.tooling.apps.patch.source import Source
from metalauncher.tooling.oci.image import load_image
from metalauncher.tooling.oci.location import parse_location
from metalauncher.tooling.oci.model import CONFIG_LIMIT, Store, parse_descriptor
from metalauncher.tooling.oci.sources.stores import Stores
from metalauncher.tooling.oci.write import write_layout

SBOMS = "/layers/sbom/launch/buildpacksio_lifecycle/launcher"
RECIPES = {recipe.name: recipe for recipe in recipes()}
LIMIT = 1 << 26
# Own launchers 0.17.7 and 0.21.17; OCI's manifest with layers of Docker's type, and Docker's with layers of OCI's.
ROWS = (
    Row(RECIPES["p04-launcher"], "three"),
    Row(RECIPES["p09-mixed-launcher"], "three"),
    Row(RECIPES["p15-launcher"], "newest"),
)


class Patched:
    """An app of the registry, rewritten, and put beside the old one."""

    def __init__(self, images: AppImages, row: Row, kind: LauncherKind, address: str) -> None:
        """Rewrite the app and put it there."""
        name, _, tag = images.app(row.recipe, row.on).removeprefix(f"{address}/").partition(":")
        self._base = f"http://{address}/v2/{name}"
        self.old = f"{address}/{name}:{tag}"
        self.new = f"{address}/{name}:{tag}-{kind}"
        self._stores = Stores({}, insecure=[address], connections=2, cache="")
        self.below: Store = self._stores.open(parse_location(self.old))
        descriptor, manifest = self.below.top()
        config = parse_descriptor(json.loads(manifest)["config"], "the config")
        self.source = Source(descriptor, manifest, self.below.fetch(config, CONFIG_LIMIT))
        self.result: Rewritten = rewrite(self.source, kind, lambda blob: self.below.fetch(blob, LIMIT), __version__)
        for blob in self.result.blobs:
            self._send("POST", "/blobs/uploads/", b"", digest=blob.descriptor.digest, data=blob.data)
        self._put(f"{self._base}/manifests/{tag}-{kind}", self.result.manifest.data, descriptor.media_type)

    def _send(self, method: str, path: str, body: bytes, *, digest: str, data: bytes) -> None:
        request = urllib.request.Request(self._base + path, body, method=method)  # noqa: S310  # on loopback
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            location = answer.headers["Location"]
        mark = "&" if "?" in location else "?"
        self._put(f"{location}{mark}digest={digest}", data, "application/octet-stream")

    @staticmethod
    def _put(url: str, data: bytes, media_type: str) -> None:
        headers = {"Content-Type": media_type}
        request = urllib.request.Request(url, data, headers, method="PUT")  # noqa: S310  # on loopback
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            assert answer.status == 201

    @property
    def store(self) -> PatchedStore:
        """The new image as it is judged before it is written."""
        return PatchedStore(self.result, self.below)

    def close(self) -> None:
        """Close all connections."""
        self._stores.close()


@pytest.fixture(scope="module")
def images() -> Iterator[AppImages]:
    """Return run images with real launchers, and the apps on them."""
    need("crun", "skopeo", "umoci", "buildah", "docker-registry")
    try:
        go = golang.find()
        real = {version: launchers.build(version, go).executable for version in launchers.QUICK}
    except golang.Unavailable as missing:
        pytest.fail(str(missing))
    with app_images(Exporter(go), real) as images:
        yield images


@pytest.fixture(scope="module")
def make(images: AppImages) -> Iterator[Any]:
    """Return what rewrites an app; each app once."""
    made: dict[tuple[str, str], Patched] = {}
    address = images.run_image(FIRST).partition("/")[0]

    def patched(row: Row, kind: LauncherKind) -> Patched:
        if (row.name, kind) not in made:
            made[row.name, kind] = Patched(images, row, kind, address)
        return made[row.name, kind]

    yield patched
    for one in made.values():
        one.close()


@pytest.mark.parametrize("kind", LAUNCHER_KINDS)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_it_starts_with_the_run_images_launcher(
    row: Row, kind: LauncherKind, images: AppImages, make: Any, tmp_path: Path
) -> None:
    """Before, `check` says that it keeps its own; after, in memory and in the registry, what crun then does."""
    patched: Patched = make(row, kind)
    (before,) = images.check([patched.old], row.on)
    assert before["kind"] == "keeps-own-launcher"
    (after,) = images.check([patched.new], row.on)
    brought = RECIPES[row.recipe.name.replace("-launcher", "-shim")]
    outcome = expected(Row(brought, row.on))
    assert outcome.kind == "starts"
    assert (after["kind"], after["launcher"]["path"], after["route"]) == ("starts", outcome.launcher, kind)
    assert after["digest"] == patched.result.manifest.descriptor.digest
    write_layout(patched.store, str(tmp_path / "layout"), "new", lambda _: None)
    run = images.run_image(row.on)
    answer = as_process("check", f"oci:{tmp_path}/layout:new", "--run-image", run, "--json", "--no-cache")
    (judged,) = answer.document["results"]
    differ = ("app", "bytes_read")
    assert {**judged, **dict.fromkeys(differ)} == {**after, **dict.fromkeys(differ)}
    for start in starts(row.recipe):
        was, seen = images.start(patched.old, start.args), images.start(patched.new, start.args)
        assert was.outcome == Outcome("keeps-own-launcher"), start
        assert seen.outcome == outcome, start
        assert (seen.ended.code, seen.ended.out, seen.ended.err) == (was.ended.code, was.ended.out, was.ended.err), (
            start
        )


@pytest.mark.parametrize("kind", LAUNCHER_KINDS)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_others_read_it(row: Row, kind: LauncherKind, make: Any, tmp_path: Path) -> None:
    """Skopeo and umoci, which refuse what lifecycle mixed, and buildah; all see the same config and layers."""
    patched: Patched = make(row, kind)
    skopeo = ("skopeo", "--insecure-policy", "copy", "-q", "--src-tls-verify=false")
    call(*skopeo, "--preserve-digests", f"docker://{patched.new}", f"dir:{tmp_path}/dir")
    assert (tmp_path / "dir/manifest.json").read_bytes() == patched.result.manifest.data
    call(*skopeo, "--format", "oci", f"docker://{patched.new}", f"oci:{tmp_path}/oci:new")
    call("umoci", "unpack", "--image", f"{tmp_path}/oci:new", tmp_path / "bundle")
    launcher = tmp_path / "bundle/rootfs/cnb/lifecycle/launcher"
    if kind == "shim":
        assert launcher.read_bytes() == b"#!/usr/bin/metalauncher --launch\n"
        assert launcher.stat().st_mode & 0o777 == 0o755
    else:
        assert launcher.readlink() == Path("/usr/lib/cnb/launcher")
    store = ("--root", tmp_path / "root", "--runroot", tmp_path / "run", "--storage-driver", "vfs")
    call("buildah", *store, "pull", "-q", "--tls-verify=false", f"docker://{patched.new}")
    (pulled,) = json.loads(call("buildah", *store, "images", "--json"))
    told = json.loads(call("buildah", *store, "inspect", "--type", "image", pulled["id"]))
    assert json.loads(told["Config"]) == json.loads(patched.result.config.data)


def test_layers_and_history_are_the_old_ones(make: Any) -> None:
    """In their old places but for the launcher's and the SBOMs', which are those that were uploaded."""
    numbers = []
    for row in ROWS:
        patched: Patched = make(row, "shim")
        old, new = load_image(patched.below), load_image(patched.store)
        kept = {blob.digest for blob in patched.result.kept}
        uploaded = {blob.descriptor.digest for blob in patched.result.blobs[1:]}
        for before, after in zip(old.layers, new.layers, strict=True):
            if before.blob.digest in kept:
                assert (after.blob.digest, after.diff_id) == (before.blob.digest, before.diff_id)
            else:
                assert after.blob.digest in uploaded
                assert before.blob in layers_to_read(patched.source)
        assert new.config["history"] == old.config["history"]
        numbers.append(len(uploaded))
    assert numbers == [1, 1, 2]  # lifecycle has brought its launcher's SBOMs since Platform API 0.11


def test_the_layer_is_the_exporters_own(images: AppImages, make: Any) -> None:
    """Given the shim, lifecycle's exporter writes the same tar; such an app is left alone."""
    address = images.run_image(FIRST).partition("/")[0]
    with pytest.raises(Refused) as error:
        Patched(images, Row(RECIPES["p15-shim"], FIRST), "shim", address)
    assert error.value.code == "delegates"
    stores = Stores({}, insecure=[address], connections=2, cache="")
    try:
        image = load_image(stores.open(parse_location(images.app(RECIPES["p15-shim"], FIRST))))
    finally:
        stores.close()
    assert launcher_layer("shim").diff_id in [layer.diff_id for layer in image.layers]
    # The SBOMs come out as the exporter puts them there, too: with the shim's, where the launcher's were.
    patched: Patched = make(Row(RECIPES["p15-launcher"], "newest"), "shim")
    (layer,) = patched.result.blobs[2:]
    names = [info.name for info, _ in members(layer.data)]
    assert [name for name in names if name.startswith(f"{SBOMS}/")] == [
        f"{SBOMS}/sbom.cdx.json",
        f"{SBOMS}/sbom.spdx.json",
    ]
    assert layer.descriptor.digest in [each.blob.digest for each in load_image(patched.store).layers]


def test_lifecycle_rebases_it(images: AppImages, make: Any) -> None:
    """Its rebaser finds the layers that the labels name; the app starts on the other run image as it did before."""
    row = ROWS[2]
    patched: Patched = make(row, "shim")
    out = patched.new.replace("-shim", "-rebased")
    Exporter(golang.find()).rebase(row.recipe, patched.new, images.run_image("three"), out)
    (after,) = images.check([out], "three")
    assert (after["kind"], after["route"]) == ("starts", "shim")
