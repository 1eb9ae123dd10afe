"""`metalauncher image` for several platforms: one index, each image on its own base, with what its machine runs."""

from __future__ import annotations

import json
import tarfile

import pytest
from bundles import as_process, elf, release
from containers import call, need, registry
from harness import PROJECT, static_form
from images import Layout, base, file, folder, index, pack, sha
from jsonschema import Draft202012Validator
from kit import ARM, FOLDER, Kit, arm_executable, members, said
from platforms import BOTH, MACHINES, Platforms

from metalauncher.tooling.oci.image import Images, load_image
from metalauncher.tooling.oci.sources.layout import LayoutStore, OciArchiveStore


def test_index(platforms: Platforms) -> None:
    """Each image lies on the base's image for its platform, with the executable and launchers for it alone."""
    out = platforms.kit.out
    document = platforms.build(*BOTH, "--base", platforms.base, "--out", f"oci:{out}:run").document
    schema = json.loads((PROJECT / "metalauncher/schemas/image.schema.json").read_text())
    Draft202012Validator(schema).validate(document)
    store = LayoutStore(str(out), "run")
    assert store.top()[0].digest == document["index"]
    assert Images(store).platforms() == tuple(MACHINES)
    assert [one["platform"] for one in document["platforms"]] == list(MACHINES)
    for found in document["platforms"]:
        platform = found["platform"]
        go = platform.rpartition("/")[2]
        image = load_image(store, platform)
        assert (image.manifest.digest, image.platform) == (found["manifest"], platform)
        assert image.environ == (f"MACHINE={go}".encode(),)
        old, _ = Layout(platforms.kit.folder / "base").image(go)
        assert [layer.blob.digest for layer in image.layers[:-1]] == [layer["digest"] for layer in old["layers"]]
        files = members(out, found["layer"])
        with tarfile.open(out.parent / "layer.tar") as archive:
            for name in (
                "usr/bin/metalauncher",
                *[f"{FOLDER}/{version}/launcher" for version in ("0.17.7", "0.21.17")],
            ):
                opened = archive.extractfile(files[name])
                assert opened is not None
                assert opened.read(20)[18] == MACHINES[platform]
        assert found["launchers"] == ["buildpacks/lifecycle@0.17.7", "buildpacks/lifecycle@0.21.17"]
        assert image.labels == found["labels"]


def test_variant_of_the_base(platforms: Platforms) -> None:
    """The index says which variant an image is for, as its config does, which has it from the base."""
    layout = Layout(platforms.kit.folder / "base")
    for go, variant in (("amd64", "v3"), ("arm64", "v9")):
        manifest, config = layout.image(go)
        layout.add(config | {"variant": variant}, manifest["layers"], f"{go}-{variant}")
    layout.save()
    named = {"linux/amd64/v3": "amd64-v3", "linux/arm64/v9": "arm64-v9"}
    bases = index(layout.directory, named, "variants")
    out = platforms.kit.out
    twice = ("--platform", "linux/amd64", "--platform", "linux/amd64/v3", "--platform", "linux/arm64")
    answer = platforms.kit.tool(*platforms.options(*twice, "--base", bases, "--out", f"oci:{out}:run"))
    assert answer.code == 3
    assert "the base's image for it is for linux/amd64/v3, which is asked for too" in answer.err
    document = platforms.build(*BOTH, "--base", bases, "--out", f"oci:{out}:run").document
    store = LayoutStore(str(out), "run")
    assert Images(store).platforms() == tuple(named)
    assert [one["platform"] for one in document["platforms"]] == list(named)
    assert [load_image(store, platform).platform for platform in named] == list(named)


def test_one_digest(platforms: Platforms) -> None:
    """Built again elsewhere, with everything in another order, and as an archive: the same index, byte for byte."""
    kit = platforms.kit
    first = platforms.build(*BOTH, "--base", platforms.base, "--out", f"oci:{kit.out}").document["index"]
    platforms.bundles.reverse()
    platforms.executables.reverse()
    archive = f"oci-archive:{kit.folder}/run.tar:acme/run:1"
    turned = ("--platform", "arm64", "--platform", "linux/x86_64", "--platform", "linux/arm64")
    again = platforms.build(*turned, "--base", platforms.base, "--out", archive, "--out", f"oci:{kit.folder}/again")
    assert again.document["index"] == first
    found = OciArchiveStore(f"{kit.folder}/run.tar", "acme/run:1")
    assert found.top()[0].digest == first
    for platform in MACHINES:
        image = load_image(found, platform)
        assert image.manifest.digest == load_image(LayoutStore(str(kit.out), None), platform).manifest.digest
        for layer in image.layers:
            with found.open(layer.blob) as blob:
                while blob.read(1 << 16):  # to its end, where its digest is looked at
                    pass
    blobs = [{path.name for path in place.glob("blobs/sha256/*")} for place in (kit.out, kit.folder / "again")]
    assert blobs[0] == blobs[1]


def test_one_platform(platforms: Platforms) -> None:
    """One `--platform` gives a manifest, not an index: the very image that its executable alone gives."""
    kit = platforms.kit
    both = platforms.build(*BOTH, "--base", platforms.base, "--out", f"oci:{kit.out}:both").document
    for number, platform in enumerate(MACHINES):
        bundles = [option for bundle in platforms.bundles[number::2] for option in ("--bundle", bundle)]
        alone = ("image", "--json", "--base", platforms.base, "--executable", platforms.executables[number], *bundles)
        named, unnamed = (
            kit.tool(*alone, *options, "--out", f"oci:{kit.out}:one").document
            for options in (("--platform", platform), ())
        )
        assert named == unnamed
        assert named["manifest"] == both["platforms"][number]["manifest"]
        assert "index" not in named


def test_text(platforms: Platforms) -> None:
    """The index's digest on stdout, a line for each platform on stderr; launchers that one lacks are warned of."""
    kit = platforms.kit
    answer = kit.tool(*platforms.options(*BOTH, "--base", "scratch", "--out", f"oci:{kit.out}"))
    digest = json.loads((kit.out / "index.json").read_text())["manifests"][0]["digest"]
    assert (answer.code, answer.out) == (0, f"oci:{kit.out}:latest {digest}\n")
    first, second = said(answer).splitlines()
    assert first.startswith("linux/amd64: one layer of ")
    assert second.startswith("linux/arm64: one layer of ")
    assert second.endswith(" unpacked) on scratch: metalauncher and 2 launchers")
    del platforms.bundles[1]
    answer = kit.tool(*platforms.options(*BOTH, "--base", "scratch", "--out", f"oci:{kit.out}"))
    assert answer.code == 0
    lacks = "Warning: the image for linux/arm64 lacks buildpacks/lifecycle@0.17.7, which another platform has"
    assert answer.err.splitlines()[0] == lacks


def test_wrong_bundle(platforms: Platforms) -> None:
    """A bundle for another architecture is refused by its name, with what to do: of one platform, and of several."""
    kit = platforms.kit
    arm = platforms.bundles[1]
    kit.new, kit.executable = arm, platforms.executables[0]
    for options in ((), ("--platform", "linux/amd64")):
        answer = kit.refuse(f"--bundle {arm}: is for another architecture", *options)
        assert answer.err.splitlines()[1:] == [
            "  need:    a launcher for x86-64: a lifecycle release has it in its …+linux.x86-64.tgz",
            "  have:    one for arm64",
            "  do:      take the tarball of that architecture; or add --platform, and what the other one needs besides",
            "           metalauncher image --help",
        ]
    other = release(kit.folder, "0.20.20", elf(22), architecture="s390x")  # EM_S390
    platforms.bundles.append(other)
    answer = platforms.refuse(f"--bundle {other}: is for another architecture", *BOTH)
    assert "  need:    a launcher for x86-64 or arm64: " in answer.err
    platforms.bundles[-1] = kit.folder / "nowhere"
    platforms.refuse(f"--bundle {kit.folder}/nowhere: no such file or directory", *BOTH)


def test_wrong_executable(platforms: Platforms) -> None:
    """A platform without an executable, or with two, and an executable for no platform, are refused by name."""
    first, second = platforms.executables
    answer = platforms.refuse("there are 2 executables, and no platform")
    assert f"  have:    {first}, for linux/amd64\n           {second}, for linux/arm64\n" in answer.err
    answer = platforms.refuse(f"--executable {second}: is for no platform that is asked for", "--platform", "amd64")
    assert "  do:      take it out, or add --platform linux/arm64\n" in answer.err
    platforms.refuse("--platform linux/s390x: there is no executable for it", *BOTH, "--platform", "s390x")
    platforms.refuse("--platform windows/amd64: is not Linux", "--platform", "windows/amd64", *BOTH)
    platforms.executables.append(platforms.kit.use(elf(ARM, size=6000), "newer"))
    platforms.refuse("--platform linux/arm64: there are several executables for it", *BOTH)


def test_wrong_base(platforms: Platforms) -> None:
    """A base that lacks a platform, or is for one alone, is refused: which platform, and what it has."""
    kit = platforms.kit
    place = platforms.base.rpartition(":")[0]
    options = [*BOTH, "--out", f"oci:{kit.out}"]
    answer = kit.tool(*platforms.options("--base", f"{place}:amd64", *options))
    assert (answer.code, answer.out) == (3, "")
    assert answer.err.startswith(
        f"ERROR: linux/arm64: --base {place}:amd64: is for another platform than --platform linux/arm64\n"
    )
    assert "  have:    a base for linux/amd64\n" in answer.err
    lacking = index(kit.folder / "base", {"linux/amd64": "amd64"}, "lacking")
    answer = kit.tool(*platforms.options("--base", lacking, *options))
    reason = "has no image for linux/arm64; it has linux/amd64"
    assert answer.err.startswith(f"ERROR: linux/arm64: --base {lacking}: {reason}\n")
    assert not kit.out.exists()


def test_docker_archive(platforms: Platforms) -> None:
    """An archive of `docker save` holds one platform's image: for several it is refused before anything is read."""
    kit = platforms.kit
    place = f"docker-archive:{kit.folder}/run.tar"
    message = f"--out {place}: an archive of docker save holds an image for one platform"
    answer = platforms.refuse(message, *BOTH, "--out", place)
    assert f"metalauncher image … --out oci-archive:{kit.folder}/run.tar" in answer.err
    assert not (kit.folder / "run.tar").exists()


def test_scripts_are_for_all(platforms: Platforms) -> None:
    """A launcher that is a script, and the zipapp, go into the image of each platform."""
    kit = platforms.kit
    python = [pack([folder("usr"), folder("usr/bin"), file("usr/bin/python3", b"\x7fELF", 0o755)])]
    for platform in MACHINES:
        base(kit.folder / "base", python, platform.rpartition("/")[2], platform.rpartition("/")[2])
    reference = index(kit.folder / "base", {platform: platform.rpartition("/")[2] for platform in MACHINES}, "python")
    platforms.executables = [kit.use(b"#!/usr/bin/python3 -IS\nprint()\n")]
    platforms.bundles = [release(kit.folder / "script", "0.21.17", b"#!/usr/bin/python3\nprint()\n")]
    document = platforms.build(*BOTH, "--base", reference, "--out", f"oci:{kit.out}").document
    assert [one["launchers"] for one in document["platforms"]] == [["buildpacks/lifecycle@0.21.17"]] * 2
    assert len({one["layer"]["digest"] for one in document["platforms"]}) == 1
    assert len({one["manifest"] for one in document["platforms"]}) == 2


def test_skopeo_reads_it(platforms: Platforms) -> None:
    """Another reader finds both images, in the layout and in a real registry; copied whole, it is the same index."""
    need("skopeo", "docker-registry")
    kit = platforms.kit
    document = platforms.build(*BOTH, "--base", platforms.base, "--out", f"oci:{kit.out}:run").document
    where = f"oci:{kit.out}:run"
    raw = call("skopeo", "inspect", "--raw", where)
    assert sha(raw.encode()) == document["index"]
    assert [entry["platform"]["architecture"] for entry in json.loads(raw)["manifests"]] == ["amd64", "arm64"]
    (kit.folder / "registry").mkdir()
    with registry(kit.folder / "registry") as address:
        target = f"docker://{address}/acme/run:1"
        call("skopeo", "--insecure-policy", "copy", "-q", "--all", "--dest-tls-verify=false", where, target)
        assert sha(call("skopeo", "inspect", "--tls-verify=false", "--raw", target).encode()) == document["index"]
        for found in document["platforms"]:
            architecture = found["platform"].rpartition("/")[2]
            chosen = ("skopeo", "--override-arch", architecture, "inspect", "--tls-verify=false", target)
            image = json.loads(call(*chosen))
            assert image["Architecture"] == architecture
            assert image["Layers"][-1] == found["layer"]["digest"]
        verified = as_process("labels", "--verify", f"{address}/acme/run:1", "--platform", "linux/arm64")
        assert (verified.code, verified.err) == (0, "the labels are correct\n")


@pytest.mark.thorough
def test_real_executables(kit: Kit) -> None:
    """The executables that `make static ARCH=all` makes, together: one index."""
    executables = [static_form().executable, arm_executable()]
    platforms = Platforms(kit)
    platforms.executables = executables
    platforms.build(*BOTH, "--base", platforms.base, "--out", f"oci:{kit.out}:run")
    for platform in MACHINES:
        answer = kit.tool("labels", "--verify", f"oci:{kit.out}:run", "--platform", platform)
        assert (answer.code, answer.err) == (0, "the labels are correct\n")
