"""`metalauncher image` from a registry to a registry: Debian's docker-registry, and skopeo as who else reads it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from images import OCI, Layer, Layout, config_of, file, folder, pack, sha, tar
from images import base as make_base
from kit import Kit, debian, said
from platforms import BOTH, Platforms
from registries import RealRegistry, start_registry

DOCKER = "application/vnd.docker"
MEMORY = 200_000  # KiB
OF_CNB = {"io.buildpacks.base.distro.name": "debian", "io.buildpacks.base.distro.version": "12"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    """Run a registry that logs what it is asked."""
    with contextlib.closing(start_registry(tmp_path_factory.mktemp("registry"), log=True)) as registry:
        yield registry


def _log(server: RealRegistry) -> str:
    return Path(str(server.process.args[-1])).with_name("registry.log").read_text()  # type: ignore[index]


def _copy(source: str, target: str, *options: str) -> None:
    command = ["skopeo", "copy", "-q", "--all", "--dest-tls-verify=false", *options, source, f"docker://{target}"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)


def _inspect(name: str, *options: str) -> Any:
    """Return what skopeo reads at a name."""
    command = ["skopeo", "inspect", "--tls-verify=false", *options, f"docker://{name}"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout)


def _push(kit: Kit, *more: str, base: str) -> Any:
    answer = kit.tool(*kit.options("--json", base=base)[:-3], "--json", *more)
    assert (answer.code, said(answer)) == (0, ""), answer.err
    return answer.document


def test_registry_to_registry(kit: Kit, server: RealRegistry) -> None:
    """The base's layers are mounted and not sent; twice is one digest; skopeo reads what was built."""
    base, run = f"{server.host}/one/debian:12", f"{server.host}/one/run"
    _copy(debian(kit), base)
    document = _push(kit, "--push", f"{run}:1", "--out", f"oci:{kit.out}", base=base)
    layers = Layout(kit.folder / "base").image("12")[0]["layers"]
    raw = _inspect(f"{run}:1", "--raw")
    assert raw["layers"][:2] == layers
    assert _inspect(f"{run}:1")["Digest"] == document["manifest"]
    assert document["outputs"] == [f"oci:{kit.out}:latest"]
    sent = document["layer"]["size"] + raw["config"]["size"]
    assert document["pushed"] == [{"image": f"{run}:1", "sent": sent, "was_there": False}]
    log = _log(server)
    for layer in layers:
        digest = layer["digest"].replace(":", "%3A")
        assert f"/v2/one/run/blobs/uploads/?mount={digest}&from=one%2Fdebian" in log
    puts = [line for line in log.splitlines() if '"PUT /v2/one/run/blobs/uploads/' in line and " 201 " in line]
    assert len(puts) == 2  # the new layer and the config
    again = _push(kit, "--push", f"{run}:2", base=base)
    assert (again["manifest"], again["pushed"][0]["sent"]) == (document["manifest"], 0)
    there = _push(kit, "--push", f"{run}:1", base=base)
    assert there["pushed"] == [{"image": f"{run}:1", "sent": 0, "was_there": True}]
    assert kit.tool("labels", "--verify", f"{run}:1").code == 0


def test_tag_that_names_another_image(kit: Kit, server: RealRegistry) -> None:
    """It is moved with --force alone, and without it nothing is written anywhere."""
    base, run = f"{server.host}/two/debian:12", f"{server.host}/two/run:1"
    _copy(debian(kit), base)
    _copy(debian(kit), run)
    before = _inspect(run)["Digest"]
    place = kit.folder / "not"
    answer = kit.refuse(
        f"--push {run}: the tag already names another image", "--push", run, base=base, out=f"oci:{place}"
    )
    assert f"  have:    {run} is {before}\n" in answer.err
    assert answer.err.endswith(f"  do:      metalauncher image … --push {run} --force\n")
    assert _inspect(run)["Digest"] == before
    document = _push(kit, "--push", run, "--force", base=base)
    assert _inspect(run)["Digest"] == document["manifest"] != before


def test_between_registries(kit: Kit, server: RealRegistry, tmp_path: Path) -> None:
    """Where the base lies in another registry, or on this machine, its layers are sent."""
    base = f"{server.host}/three/debian:12"
    _copy(debian(kit), base)
    (tmp_path / "other").mkdir()
    with contextlib.closing(start_registry(tmp_path / "other")) as other:
        first = _push(kit, "--push", f"{other.host}/run:1", base=base)
        raw = _inspect(f"{other.host}/run:1", "--raw")
        total = sum([blob["size"] for blob in (*raw["layers"], raw["config"])])
        assert first["pushed"][0]["sent"] == total
        second = _push(kit, "--push", f"{other.host}/local:1", base=debian(kit))
        assert (second["manifest"], second["pushed"][0]["sent"]) == (first["manifest"], total)


def test_docker_media_types(kit: Kit, server: RealRegistry) -> None:
    """The family is the base's, unless another one is asked for; Docker's has no annotations, layouts have OCI's."""
    base, run = f"{server.host}/four/debian:12", f"{server.host}/four/run"
    _copy(debian(kit), base, "--format", "v2s2")
    _push(kit, "--push", f"{run}:docker", base=base)
    raw = _inspect(f"{run}:docker", "--raw")
    assert raw["mediaType"] == f"{DOCKER}.distribution.manifest.v2+json"
    assert raw["config"]["mediaType"] == f"{DOCKER}.container.image.v1+json"
    assert {layer["mediaType"] for layer in raw["layers"]} == {f"{DOCKER}.image.rootfs.diff.tar.gzip"}
    assert "annotations" not in raw
    assert _inspect(f"{run}:docker", "--config")["config"]["User"] == "1000:1000"
    assert kit.tool("labels", "--verify", f"{run}:docker").code == 0
    _push(kit, "--push", f"{run}:oci", "--media-types", "oci", "--annotation", "a=b=c", base=base)
    raw = _inspect(f"{run}:oci", "--raw")
    assert (raw["mediaType"].split(".")[1:3], raw["annotations"]) == (["oci", "image"], {"a": "b=c"})
    assert not [layer for layer in raw["layers"] if "docker" in layer["mediaType"]]
    _push(kit, "--push", f"{run}:both", "--out", f"oci:{kit.out}", base=base)
    assert "oci" in _inspect(f"{run}:both", "--raw")["mediaType"]
    kit.refuse(
        "--media-types docker has no annotations",
        "--annotation",
        "a=b",
        "--media-types",
        "docker",
        out=f"docker-archive:{kit.out}",
    )
    kit.refuse("is OCI's, and holds no image of Docker's", "--media-types", "docker")
    kit.refuse("--annotation: 'a' is not KEY=VALUE", "--annotation", "a")


@pytest.mark.parametrize("family", ["oci", "docker"])
def test_index(kit: Kit, server: RealRegistry, family: str) -> None:
    """An index goes with all its images, of one family; annotations are on it and on each."""
    platforms = Platforms(kit)
    base, run = f"{server.host}/{family}/base:both", f"{server.host}/{family}/run:both"
    _copy(platforms.base, base)
    notes = ("--annotation", "k=é") if family == "oci" else ()
    found = platforms.build(*BOTH, "--base", base, "--push", run, *notes, "--media-types", family).document
    raw = _inspect(run, "--raw")
    assert raw.get("annotations") == ({"k": "é"} if notes else None)
    assert [entry["digest"] for entry in raw["manifests"]] == [each["manifest"] for each in found["platforms"]]
    assert all([("docker" in each["mediaType"]) == (family == "docker") for each in (raw, *raw["manifests"])])
    for entry in raw["manifests"]:
        image = _inspect(f"{run.rpartition(':')[0]}@{entry['digest']}", "--raw")
        assert image.get("annotations") == ({"k": "é"} if notes else None)


def test_names(kit: Kit, monkeypatch: pytest.MonkeyPatch, server: RealRegistry) -> None:
    """A name is taken for the same thing everywhere, and an error says for which."""
    nowhere = f"{server.host}/no/debian:12"
    answer = kit.refuse(f"--base {nowhere}: ", base=nowhere)
    assert f"has {nowhere}; or write oci:DIR[:NAME], if you meant a layout\n" in answer.err
    debian(kit)
    monkeypatch.chdir(kit.folder)
    answer = kit.refuse(
        "'base' is a layout here: write oci:base:12, or for a registry's image docker://", base="base:12"
    )
    answer = kit.refuse("--push oci:run:1: is a place on this machine", "--push", "oci:run:1")
    assert answer.err.endswith("metalauncher image … --out oci:run:1\n")
    answer = kit.refuse("has a digest, which only the finished image has", "--push", f"a/b@sha256:{'0' * 64}")
    kit.refuse("is not an image's name", "--push", "a/B:1")
    answer = kit.tool(*kit.options()[:-2])
    assert answer.err.startswith("ERROR: no target is given for the image\n")


def test_what_cnb_asks(kit: Kit) -> None:
    """What a base lacks is one warning, after all is done, with what adds it."""
    layers = [pack([folder("etc"), file("etc/x", b"x")])]
    whole = make_base(kit.folder / "base", layers, "whole", User="1000:1000", Labels=OF_CNB)
    stack = make_base(kit.folder / "base", layers, "stack", User="cnb", Labels={"io.buildpacks.stack.id": "x"})
    for reference in (whole, stack):
        answer = kit.tool(*kit.options(base=reference))
        assert (answer.code, "Warning" in answer.err) == (0, False)
    for user in ({}, {"User": "0:0"}, {"User": "root"}):
        answer = kit.tool(*kit.options(base=make_base(kit.folder / "base", layers, "lacks", **user)))
        assert answer.code == 0
        (warning,) = [line for line in answer.err.splitlines() if line.startswith("Warning")]
        assert "a user that is not root (USER 1000:1000)" in warning
        assert "LABEL io.buildpacks.base.distro.name=NAME io.buildpacks.base.distro.version=VERSION: not in" in warning


def test_vex_of_what_was_pushed(kit: Kit, server: RealRegistry) -> None:
    """`vex --image` names the image as scanners do, by the digest of its manifest, with what it says of its parts."""
    base, run = f"{server.host}/six/debian:12", f"{server.host}/six/run:1"
    _copy(debian(kit), base)
    digest = _push(kit, "--push", run, base=base)["manifest"]
    purl = f"pkg:oci/run@{digest.replace(':', '%3A')}?repository_url={server.host.replace(':', '%3A')}/six/run"
    answer = kit.tool("vex", "--image", run)
    assert (answer.code, answer.err) == (0, "")
    for statement in answer.document["statements"]:
        (product,) = statement["products"]
        assert (product["@id"], product["identifiers"]) == (purl, {"purl": purl})
        assert product["subcomponents"][0]["@id"].startswith("pkg:generic/metalauncher@")
    same = kit.tool("vex", "--run-image", run, "--product", purl)
    assert same.document == answer.document
    for options, message in (
        (("--image", "oci:run"), "--image oci:run: is not in a registry, so that it has no package URL"),
        (("--image", run, "--run-image", run), "--image stands for --run-image as well"),
        (("--image", run, "--product", purl), "--image stands for --product as well"),
        (("--image", "a/B"), "--image: 'a/B' is not an image's name"),
    ):
        answer = kit.tool("vex", *options)
        assert (answer.code, answer.out) == (3, "")
        assert answer.err.startswith(f"ERROR: {message}")


def test_vex_of_an_index(kit: Kit, server: RealRegistry) -> None:
    """Each platform's image is a product of its own: which one is meant has to be said."""
    platforms = Platforms(kit)
    base, run = f"{server.host}/seven/base:both", f"{server.host}/seven/run:both"
    _copy(platforms.base, base)
    found = platforms.build(*BOTH, "--base", base, "--push", run).document["platforms"]
    answer = kit.tool("vex", "--image", run)
    assert answer.err.startswith(f"ERROR: --image {run}: is there for several platforms, each an image of its own\n")
    answer = kit.tool("vex", "--image", run, "--platform", "linux/arm64")
    digests = {each["platform"]: each["manifest"].replace(":", "%3A") for each in found}
    assert {each["products"][0]["@id"].partition("?")[0] for each in answer.document["statements"]} == {
        f"pkg:oci/run@{digests['linux/arm64']}"
    }


def test_memory(kit: Kit, server: RealRegistry) -> None:
    """However large the base: from a registry to another repository of it, and into a layout."""
    layout = Layout(kit.folder / "base")
    content = tar([file("large", os.urandom(1 << 20) * 400)])  # not compressed: that is how large the blob is
    layer = Layer(content, sha(content), media_type=f"{OCI}.layer.v1.tar")
    layout.add(config_of([layer]), [layout.put(layer.data, layer.media_type)], "12")
    layout.save()
    base, run = f"{server.host}/five/debian:12", f"{server.host}/five/run:1"
    _copy(f"oci:{layout.directory}:12", base)
    command = [sys.executable, "-m", "metalauncher", *map(str, kit.options("--push", run, base=base))]
    # A child begins with the peak of whoever started it: of this process, which held all of the base.
    program = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=2);"
    program += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    run_it = subprocess.run([sys.executable, "-c", program, *command], check=True, capture_output=True, timeout=300)
    assert int(run_it.stdout) < MEMORY
