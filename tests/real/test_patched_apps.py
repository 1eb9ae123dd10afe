"""Apps as lifecycle's own exporter wrote them: patched in a real registry, rebased by its own rebaser, started."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import golang
import launchers
import pytest
from appimages import FIRST, LAUNCHERS, AppImages, app_images, said
from bundles import Answer, as_process
from containers import call, need
from exporting import Exporter, recipes
from table import starts

# Apps that carry a launcher of their own, and the run image that each is rebased onto, which has one that covers it.
NEXT = {
    "p03-launcher": "older",
    "p04-launcher": "older",
    "p06-launcher": "older",
    "p07-launcher": "newest",
    "p09-mixed-launcher": "older",
    "p09-launcher": "newest",
    "p12-mixed-launcher": "older",
    "p12-launcher": "newest",
    "p13-launcher": "newest",
    "p15-launcher": "newest",
}
QUICK = ("p06-launcher", "p15-launcher")
KINDS = ("shim", "symlink")
RECIPES = {recipe.name: recipe for recipe in recipes()}


@pytest.fixture(scope="module")
def exporter() -> Exporter:
    """Return the exporters."""
    need("crun", "skopeo", "umoci", "buildah", "docker-registry")
    try:
        return Exporter(golang.find())
    except golang.Unavailable as missing:
        pytest.fail(str(missing))


@pytest.fixture(scope="module")
def images(exporter: Exporter) -> Iterator[AppImages]:
    """Return run images with real launchers, and the apps on them."""
    try:
        go = golang.find()
        real = {version: launchers.build(version, go).executable for version in launchers.QUICK}
    except golang.Unavailable as missing:
        pytest.fail(str(missing))
    with app_images(exporter, real) as images:
        yield images


def patch(app: str, kind: str, journal: Path, *options: str | Path) -> tuple[Answer, Answer]:
    """Plan, and apply the plan; return both answers."""
    target = f"{{repository}}:{{tag}}-{kind}"
    common = ("--format", "json", "--no-cache")
    plan = as_process("patch", app, "--launcher", kind, "--to", target, "--journal", journal, *common, *options)
    return plan, as_process("patch", "--apply", journal, *common)


def digest(image: str) -> str:
    """Return the digest of an image's manifest, as skopeo has it."""
    return str(json.loads(call("skopeo", "inspect", "--tls-verify=false", f"docker://{image}"))["Digest"])


def read_by_all(image: str, exporter: Exporter, folder: Path) -> None:
    """See that everybody reads an image whole: skopeo, umoci, buildah, go-containerregistry."""
    found = digest(image)
    assert exporter.read(image) == found
    layout = f"oci:{folder}/read:it"
    call("skopeo", "--insecure-policy", "copy", "-q", "--src-tls-verify=false", f"docker://{image}", layout)
    call("umoci", "unpack", "--image", f"{folder}/read:it", folder / "unpacked")
    assert (folder / "unpacked/rootfs/cnb/lifecycle").is_dir()
    storage = ("--root", str(folder / "storage"), "--runroot", str(folder / "run"), "--storage-driver", "vfs")
    policy = folder / "policy.json"
    policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    pull = ("pull", "-q", "--tls-verify=false", "--signature-policy", str(policy), f"docker://{image}")
    subprocess.run(("buildah", *storage, *pull), check=True, capture_output=True, env=dict(os.environ), timeout=300)


def cases() -> list[object]:
    """Return apps and what is to carry them."""
    return [
        pytest.param(name, kind, id=f"{name}-{kind}", marks=() if name in QUICK else (pytest.mark.thorough,))
        for name in NEXT
        for kind in KINDS
    ]


@pytest.mark.parametrize(("name", "kind"), cases())
def test_patched_rebased_and_started(
    name: str, kind: str, images: AppImages, exporter: Exporter, tmp_path: Path
) -> None:
    """It ran its own launcher before; patched, and patched and rebased, it runs the run image's: to the same end."""
    recipe = RECIPES[name]
    app = images.app(recipe, FIRST)
    old = digest(app)
    before = {start.name: images.start(app, start.args) for start in starts(recipe)}
    assert {seen.outcome.kind for seen in before.values()} == {"keeps-own-launcher"}
    plan, applied = patch(app, kind, tmp_path / "journal")
    assert (plan.code, applied.code) == (0, 0), (plan.err, applied.err)
    patched = f"{app}-{kind}"
    assert digest(app) == old
    read_by_all(patched, exporter, tmp_path)
    rebased = f"{patched}-rebased"
    exporter.rebase(recipe, patched, images.run_image(NEXT[name]), rebased)
    for image, on in ((patched, FIRST), (rebased, NEXT[name])):
        (verdict,) = images.check((image,), on)
        assert (verdict["kind"], verdict["route"]) == ("starts", kind)
        for start in starts(recipe):
            seen = images.start(image, start.args)
            assert seen.outcome == said(verdict), start
            assert (seen.outcome.launcher or "").startswith(LAUNCHERS)
            assert (seen.ended.out, seen.ended.err, seen.ended.code) == (
                before[start.name].ended.out,
                before[start.name].ended.err,
                before[start.name].ended.code,
            ), start


@pytest.mark.parametrize("on", [FIRST, "newest"])
def test_both_families_are_read_by_all(on: str, images: AppImages, exporter: Exporter, tmp_path: Path) -> None:
    """Onto an OCI image lifecycle puts layers of Docker's types, which umoci refuses; patched, it is of one family."""
    app = images.exported(RECIPES["p15-launcher"], on)
    before = call("skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{app}")
    assert ("vnd.docker" in before, "vnd.oci" in before) == (True, on == FIRST)
    plan, applied = patch(app, "shim", tmp_path / "journal")
    assert (plan.code, applied.code) == (0, 0), (plan.err, applied.err)
    after = call("skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{app}-shim")
    assert ("vnd.docker" in after, "vnd.oci" in after) == (on != FIRST, on == FIRST)
    read_by_all(f"{app}-shim", exporter, tmp_path)


def test_run_image_without_metalauncher(images: AppImages, tmp_path: Path) -> None:
    """An app whose label names one is refused, for the next rebase would end it; it stays as it is."""
    app = images.exported(RECIPES["p15-launcher"], "plain")
    old, before = digest(app), tags(app)
    plan, applied = patch(app, "shim", tmp_path / "journal")
    assert (plan.code, applied.code) == (1, 1)
    assert "metalauncher" in plan.err + plan.out
    assert (digest(app), tags(app)) == (old, before)


def tags(image: str) -> list[str]:
    """Return the tags of an image's repository."""
    found = json.loads(call("skopeo", "list-tags", "--tls-verify=false", f"docker://{image.rpartition(':')[0]}"))
    return list(found["Tags"])
