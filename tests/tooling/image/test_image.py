"""`metalauncher image`: the same bytes on every build, the base kept as it is."""

from __future__ import annotations

import gzip
import json
import os
import re
import stat
import subprocess
import tarfile
import time

import pytest
import zstandard
from bundles import elf, lifecycle_toml, on_terminal, release, release_members, tree
from bundles import pack as tarball
from containers import call, need
from harness import PROJECT, static_form
from images import OCI, SHIM, Layer, Layout, base, config_of, file, folder, link, pack, sha
from images import tar as make_tar
from jsonschema import Draft202012Validator
from kit import BOMS, FOLDER, Kit, debian, members, said
from sboms import check_cyclonedx, check_spdx

from metalauncher.tooling.oci.image import load_image
from metalauncher.tooling.oci.sources.archive import ArchiveStore
from metalauncher.tooling.oci.sources.layout import LayoutStore, OciArchiveStore


def test_layer_and_image(kit: Kit) -> None:
    """One layer with all of it: root-owned, one time, sorted, parents first; the config says the rest."""
    document = kit.build().document
    manifest, config = Layout(kit.out).image("latest")
    assert document["outputs"] == [f"oci:{kit.out}:latest"]
    assert [each["digest"] for each in manifest["layers"]] == [document["layer"]["digest"]]
    assert document["launchers"] == ["buildpacks/lifecycle@0.17.7", "buildpacks/lifecycle@0.21.17"]
    found = members(kit.out, document["layer"])
    assert list(found) == sorted(found)
    assert {(info.uid, info.gid, info.uname, info.gname, info.mtime) for info in found.values()} == {(0, 0, "", "", 0)}
    sboms = [
        f"{FOLDER}/{version}/sbom.{kind}.json" for version in ("0.17.7", "0.21.17") for kind in ("cdx", "spdx", "syft")
    ]
    own = [f"usr/lib/cnb/metalauncher/{name}" for name in ("contents.json", "openvex.json", *BOMS)]
    assert {name: info.mode for name, info in found.items() if info.isreg()} == {
        "usr/bin/metalauncher": 0o755,
        "usr/lib/cnb/shim/launcher": 0o755,
        f"{FOLDER}/0.17.7/launcher": 0o755,
        f"{FOLDER}/0.21.17/launcher": 0o755,
        "usr/lib/cnb/launchers.d/buildpacks_lifecycle@0.17.7.toml": 0o644,
        "usr/lib/cnb/launchers.d/buildpacks_lifecycle@0.21.17.toml": 0o644,
        **dict.fromkeys([*sboms, *own, *[f"usr/lib/cnb/shim/{name}" for name in BOMS]], 0o644),
    }
    assert {info.mode for info in found.values() if info.isdir()} == {0o755}
    assert {name: info.linkname for name, info in found.items() if info.issym()} == {
        "usr/lib/cnb/launcher": "/usr/bin/metalauncher"
    }
    with tarfile.open(kit.folder / "layer.tar") as archive:
        shim = archive.extractfile("usr/lib/cnb/shim/launcher")
        assert shim is not None
        assert shim.read() == b"#!/usr/bin/metalauncher --launch\n"
    assert config == {
        "architecture": "amd64",
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {"Entrypoint": ["/usr/lib/cnb/launcher"], "Labels": document["labels"]},
        "rootfs": {"type": "layers", "diff_ids": [document["layer"]["diff_id"]]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "metalauncher image"}],
    }
    assert kit.tool("labels", "--verify", f"oci:{kit.out}").code == 0


def test_same_bytes_on_every_build(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the umask, zone, time, order of bundles and place: the same digests, and the same archive."""
    archive = kit.folder / "one.tar"
    first = kit.build("--out", f"docker-archive:{archive}:acme/run").document
    before = tree(kit.out)
    assert kit.build().document["manifest"] == first["manifest"]
    assert tree(kit.out) == before
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    time.tzset()
    umask = os.umask(0o077)
    later = kit.folder / "later"
    later.mkdir()
    try:
        other = kit.tool(
            *("image", "--json", "--base", "scratch", "--executable", kit.executable, "--bundle", kit.new),
            *(
                "--bundle",
                kit.old,
                "--out",
                f"oci:{later / 'layout'}",
                "--out",
                f"docker-archive:{later / 'two.tar'}:acme/run",
            ),
        )
    finally:
        os.umask(umask)
        monkeypatch.undo()
        time.tzset()
    assert said(other) == ""
    assert (other.document["manifest"], other.document["layer"]) == (first["manifest"], first["layer"])
    assert (later / "two.tar").read_bytes() == archive.read_bytes()
    assert tree(later / "layout") == before


def test_make_image(kit: Kit) -> None:
    """`make image` twice prints the same digest; without its variables it says how it is called."""
    command = ["make", "-s", "image", f"EXECUTABLE={kit.executable}", f"OUT=oci:{kit.out}"]
    command.append(f"LIFECYCLE={kit.old} {kit.new}")
    runs = [subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=120) for _ in range(2)]
    assert [run.returncode for run in runs] == [0, 0]
    assert runs[0].stdout == runs[1].stdout
    assert re.fullmatch(rf"oci:{re.escape(str(kit.out))}:latest sha256:[0-9a-f]{{64}}\n", runs[0].stdout)
    for asked in (command[:4], command[:3]):
        run = subprocess.run(asked, cwd=PROJECT, capture_output=True, text=True, timeout=120)
        assert (run.returncode, run.stdout) == (2, "")  # no executable is built first
        assert 'make image LIFECYCLE="A.tgz B.tgz" OUT=oci:run' in run.stderr


def test_time_of_everything(kit: Kit) -> None:
    """SOURCE_DATE_EPOCH is the time of every file, of the layer and of the image."""
    answer = kit.tool(*kit.options("--json"), environ={"SOURCE_DATE_EPOCH": "1700000000"})
    assert {info.mtime for info in members(kit.out, answer.document["layer"]).values()} == {1700000000}
    _, config = Layout(kit.out).image("latest")
    assert {config["created"], config["history"][0]["created"]} == {"2023-11-14T22:13:20Z"}
    answer = kit.tool(*kit.options(), environ={"SOURCE_DATE_EPOCH": "yesterday"})
    assert (answer.code, answer.err.splitlines()[0]) == (
        3,
        "ERROR: SOURCE_DATE_EPOCH: 'yesterday' is not seconds since 1970",
    )


def test_base_is_kept(kit: Kit) -> None:
    """Layers, config, annotations: all of the base's is kept, but ENTRYPOINT, CMD, the time, and the labels added."""
    reference = debian(kit)
    document = kit.build(base=reference).document
    old_manifest, old = Layout(kit.folder / "base").image("12")
    manifest, config = Layout(kit.out).image("latest")
    assert manifest["layers"][:2] == old_manifest["layers"]
    assert manifest["annotations"] == old_manifest["annotations"]
    assert config["rootfs"]["diff_ids"] == [*old["rootfs"]["diff_ids"], document["layer"]["diff_id"]]
    assert config["history"][:-1] == old["history"]
    assert config["history"][-1]["created_by"] == "metalauncher image"
    run = dict(old["config"])
    del run["Cmd"]
    run["Entrypoint"] = ["/usr/lib/cnb/launcher"]
    run["Labels"] = old["config"]["Labels"] | document["labels"]
    assert config["config"] == run
    untouched = old.keys() - {"config", "history", "rootfs", "created"}
    assert {key: config[key] for key in untouched} == {key: old[key] for key in untouched}
    for blob in manifest["layers"]:
        assert sha(Layout(kit.out).blob(blob["digest"]).read_bytes()) == blob["digest"]


def test_directories_of_the_base_are_left_alone(kit: Kit) -> None:
    """What the base has keeps its mode: only directories that it lacks are in the layer."""
    document = kit.build(base=debian(kit)).document
    found = members(kit.out, document["layer"])
    assert [name for name, info in found.items() if info.isdir()][:2] == ["usr/lib/cnb", "usr/lib/cnb/launchers"]
    assert not {"usr", "usr/bin", "usr/lib", "etc"} & set(found)


def test_links_of_the_base_are_followed(kit: Kit) -> None:
    """Where /usr/lib and /usr/bin are links, everything goes where they lead, also when that is not there yet."""
    layer = pack([folder("usr"), link("usr/lib", "../lib"), folder("lib", 0o711), link("usr/bin", "/opt/bin")])
    document = kit.build(base=base(kit.folder / "base", [layer])).document
    found = members(kit.out, document["layer"])
    assert {"opt", "opt/bin", "opt/bin/metalauncher", "lib/cnb", "lib/cnb/launcher"} <= set(found)
    assert not [name for name in found if name.startswith("usr")]
    assert "lib" not in found


def test_on_a_run_image(kit: Kit) -> None:
    """A run image as base: its layer is replaced by one with all launchers; what contradicts it is refused."""
    reference = debian(kit)
    assert kit.tool(*kit.options(base=reference)[:7], "--out", f"oci:{kit.out}:one").code == 0
    document = kit.build(base=f"oci:{kit.out}:one", out=f"oci:{kit.out}:two").document
    assert document["launchers"] == ["buildpacks/lifecycle@0.17.7", "buildpacks/lifecycle@0.21.17"]
    assert kit.tool("labels", "--verify", f"oci:{kit.out}:two").code == 0
    # The same as from the base itself, byte for byte; and built on itself it is what it was.
    assert kit.build(base=reference, out=f"oci:{kit.out}:three").document["manifest"] == document["manifest"]
    again = kit.build(base=f"oci:{kit.out}:two", out=f"oci:{kit.out}:four").document
    assert again["manifest"] == document["manifest"]
    manifest, config = Layout(kit.out).image("two")
    assert len(manifest["layers"]) == 3
    assert [each["created_by"] for each in config["history"]].count("metalauncher image") == 1
    other = release(kit.folder / "other", "0.17.7", elf(size=999))
    answer = kit.refuse(
        "buildpacks/lifecycle@0.17.7 is already installed, with other content",
        *("--bundle", other),
        base=f"oci:{kit.out}:one",
    )
    assert "  have:    /usr/lib/cnb/launchers.d/buildpacks_lifecycle@0.17.7.toml: another executable" in answer.err
    assert (
        "  do:      give a rebuild a version of its own: `version` under [lifecycle] in the lifecycle.toml"
        in answer.err
    )
    # As that says.
    rebuild = kit.folder / "rebuild.tgz"
    text = lifecycle_toml("0.17.7").replace("0.17.7", "0.17.7+vendor.1")
    rebuild.write_bytes(tarball(release_members("0.17.7", elf(size=999), descriptor=text)))
    document = kit.build("--bundle", rebuild, base=f"oci:{kit.out}:one", out=f"oci:{kit.out}:five").document
    assert "buildpacks/lifecycle@0.17.7+vendor.1" in document["launchers"]


def test_bundle_with_another_digest(kit: Kit) -> None:
    """A checksum file beside the tarball that is of another file is said with what to do about it."""
    kit.old.with_name(f"{kit.old.name}.sha256").write_text("0" * 64)
    answer = kit.refuse(f"--bundle {kit.old}: has another digest than expected")
    assert answer.err.splitlines()[-2].startswith("  do:      fetch the file again")
    assert answer.err.splitlines()[-1] == f"           sha256sum {kit.old}"


def test_base_that_has_all_of_it(kit: Kit) -> None:
    """A run image that was made otherwise, as by a Dockerfile, gets the config that it lacks, and no empty layer."""
    made = kit.build(base=debian(kit), out=f"oci:{kit.out}:one").document
    layout = Layout(kit.out)
    manifest, config = layout.image("one")
    config["history"][-1]["created_by"] = "COPY --from=metalauncher / /"
    config["config"].update(Entrypoint=["/bin/sh"], Labels={"mine": "1"})
    layout.add(config, manifest["layers"], "other")
    layout.save()
    answer = kit.tool(*kit.options(base=f"oci:{kit.out}:other", out=f"oci:{kit.out}:two"))
    assert (answer.code, said(answer)) == (
        0,
        f"no layer on oci:{kit.out}:other, which has all of it (only its config is new, and with it the digest):"
        " metalauncher and 2 launchers\n",
    )
    answer = kit.tool(*kit.options(base=f"oci:{kit.out}:two", out=f"oci:{kit.out}:three"))
    assert said(answer) == f"no layer on oci:{kit.out}:two, which has all of it: metalauncher and 2 launchers\n"
    assert (
        answer.out.split()[1]
        == kit.tool("image", "--json", *kit.options(base=f"oci:{kit.out}:two")[1:]).document["manifest"]
    )
    again, amended = Layout(kit.out).image("two")
    assert again["layers"] == manifest["layers"]
    assert (amended["rootfs"], amended["history"]) == (config["rootfs"], config["history"])
    assert amended["config"]["Labels"] == {"mine": "1", **made["labels"]}
    assert amended["config"]["Entrypoint"] == ["/usr/lib/cnb/launcher"]
    document = kit.build(base=f"oci:{kit.out}:other", out=f"docker-archive:{kit.folder}/two.tar").document
    assert document["layer"] is None
    schema = json.loads((PROJECT / "metalauncher/schemas/image.schema.json").read_text())
    Draft202012Validator(schema).validate(document)
    assert kit.tool("labels", "--verify", f"docker-archive:{kit.folder}/two.tar").code == 0


@pytest.mark.parametrize("what", ["elsewhere", "whiteout", "owner"])
def test_layer_that_is_not_metalaunchers_alone(kit: Kit, what: str) -> None:
    """A layer that says that metalauncher made it, and has what a new one would not bring, is kept."""
    run = kit.build(base=debian(kit), out=f"oci:{kit.out}:one").document
    layout = Layout(kit.out)
    manifest, config = layout.image("one")
    member = {
        "elsewhere": file("etc/x", b"x"),
        "whiteout": file("etc/.wh.os-release", b""),
        "owner": folder("usr/lib/cnb/x"),
    }
    if what == "owner":
        member[what][0].uid = 7
    old = members(kit.out, run["layer"])
    with tarfile.open(kit.folder / "layer.tar") as archive:
        opened = [(info, archive.extractfile(info) if info.isreg() else None) for info in old.values()]
        kept = [(info, b"" if found is None else found.read()) for info, found in opened]
    layer = pack([*kept, member[what]], "metalauncher image")
    config["rootfs"]["diff_ids"][-1] = layer.diff_id
    layout.add(config, [*manifest["layers"][:-1], layout.put(layer.data, layer.media_type)], "odd")
    layout.save()
    kit.use(elf(size=6000))
    document = kit.build(base=f"oci:{kit.out}:odd", out=f"oci:{kit.out}:new").document
    manifest, _ = Layout(kit.out).image("new")
    assert [each["digest"] for each in manifest["layers"][2:]] == [sha(layer.data), document["layer"]["digest"]]
    place = "usr/lib/cnb/metalauncher"
    assert set(members(kit.out, document["layer"])) == {
        "usr/bin/metalauncher",
        *[f"{place}/{name}" for name in ("contents.json", "openvex.json", *BOMS)],
    }


def test_newer_executable_replaces_the_bases(kit: Kit) -> None:
    """An update of metalauncher leaves nothing of the old one in the image, and is what a build from the base is."""
    reference = debian(kit)
    kit.build(base=reference, out=f"oci:{kit.out}:one")
    kit.use(elf(size=6000))
    document = kit.build(base=f"oci:{kit.out}:one").document
    assert members(kit.out, document["layer"])["usr/bin/metalauncher"].size == 6000
    assert len(Layout(kit.out).image("latest")[0]["layers"]) == 3
    assert kit.build(base=reference, out=f"oci:{kit.out}:other").document["manifest"] == document["manifest"]


def test_sboms_match_the_files(kit: Kit) -> None:
    """The image's SBOMs are valid and have the files' digests; an executable that they don't speak of is refused."""
    document = kit.build().document
    found = members(kit.out, document["layer"])
    with tarfile.open(kit.folder / "layer.tar") as archive:
        for place, whose in (("metalauncher", kit.executable.read_bytes()), ("shim", SHIM)):
            for name in BOMS:
                opened = archive.extractfile(found[f"usr/lib/cnb/{place}/{name}"])
                assert opened is not None
                text = opened.read().decode()
                check_cyclonedx(text) if "cdx" in name else check_spdx(json.loads(text))
                assert sha(whose).removeprefix("sha256:") in text
    kit.executable.write_bytes(elf(size=5001))
    kit.refuse(f"--executable {kit.executable}.contents.json: describes another executable")
    kit.executable.with_name("metalauncher.contents.json").unlink()
    answer = kit.refuse(f"--executable {kit.executable}: is not metalauncher's executable")
    assert "and NAME.contents.json beside it" in answer.err


def test_archive(kit: Kit) -> None:
    """The docker-archive holds the same image: read back whole, and a base again."""
    archive = kit.folder / "run.tar"
    reference = f"docker-archive:{archive}:acme/run"
    document = kit.build("--out", reference, base=debian(kit)).document
    assert document["outputs"][1] == reference
    image = load_image(ArchiveStore(str(archive), "acme/run:latest"))
    _, config = Layout(kit.out).image("latest")
    assert image.config == config
    with tarfile.open(archive) as found:
        (listing,) = json.load(found.extractfile("manifest.json"))  # type: ignore[arg-type]  # it is a file
        assert listing["RepoTags"] == ["acme/run:latest"]
        for name, diff_id in zip(listing["Layers"], config["rootfs"]["diff_ids"], strict=True):
            member = found.extractfile(name)
            assert member is not None
            assert sha(member.read()) == diff_id
    again = kit.build(base=reference, out=f"oci:{kit.folder}/again").document
    assert (again["layer"], again["launchers"]) == (document["layer"], document["launchers"])
    assert kit.tool("labels", "--verify", reference).code == 0
    before = archive.read_bytes()
    kit.build("--out", f"docker-archive:{archive}:acme/run", base=debian(kit))
    assert archive.read_bytes() == before


def test_oci_archive(kit: Kit) -> None:
    """The oci-archive holds the very image of the layout: a base again, and the same bytes on every build."""
    archive = kit.folder / "run.tar"
    reference = f"oci-archive:{archive}:registry.example.com/acme/run:1"
    document = kit.build("--out", reference, base=debian(kit)).document
    assert document["outputs"][1] == reference
    manifest, _ = OciArchiveStore(str(archive), "registry.example.com/acme/run:1").top()
    assert manifest.digest == document["manifest"] == LayoutStore(str(kit.out), "latest").top()[0].digest
    image = load_image(OciArchiveStore(str(archive), None))
    for layer in image.layers:
        with image.store.open(layer.blob) as blob:
            while blob.read(1 << 16):  # to its end, where its digest is looked at
                pass
    again = kit.build(base=reference, out=f"oci:{kit.folder}/again").document
    assert again["launchers"] == document["launchers"]
    assert kit.tool("labels", "--verify", reference).code == 0
    before = archive.read_bytes()
    kit.build("--out", reference, base=debian(kit))
    assert archive.read_bytes() == before
    kit.build("--out", f"oci-archive:{kit.folder}/nameless.tar", base=debian(kit))
    assert load_image(OciArchiveStore(f"{kit.folder}/nameless.tar", None)).manifest.digest == document["manifest"]
    names = sorted(path.name for path in kit.folder.iterdir())
    assert [name for name in names if "tmp" in name] == []


@pytest.mark.parametrize(
    "reference", ["oci:{}/layout:registry.example.com:5000/acme/run:1", "oci-archive:{}/run.tar:a/b:1"]
)
def test_skopeo_reads_what_was_written(kit: Kit, reference: str) -> None:
    """By the very reference that it was written to, skopeo finds the image and copies it whole."""
    need("skopeo")
    where = reference.format(kit.folder)
    digest = kit.build(out=where).document["manifest"]
    assert sha(call("skopeo", "inspect", "--raw", where).encode()) == digest
    call("skopeo", "--insecure-policy", "copy", "-q", where, f"oci-archive:{kit.folder}/copy.tar:acme/copy:2")
    assert OciArchiveStore(f"{kit.folder}/copy.tar", "docker.io/acme/copy:2").top()[0].digest == digest
    call("skopeo", "--insecure-policy", "copy", "-q", where, f"docker-archive:{kit.folder}/docker.tar:acme/copy:2")
    assert kit.tool("labels", "--verify", f"docker-archive:{kit.folder}/docker.tar:docker.io/acme/copy:2").code == 0


def test_layer_twice_in_an_archive(kit: Kit) -> None:
    """A base that has one layer twice makes an archive that holds it once."""
    layer = pack([folder("etc")])
    kit.build(base=base(kit.folder / "base", [layer, layer]), out=f"docker-archive:{kit.folder}/run.tar")
    with tarfile.open(kit.folder / "run.tar") as found:
        assert len(found.getnames()) == 4  # two layers, config, manifest.json
    assert len(load_image(ArchiveStore(str(kit.folder / "run.tar"), None)).layers) == 3


@pytest.mark.parametrize("kind", ["zstd", "plain", "docker"])
def test_other_layers(kit: Kit, kind: str) -> None:
    """Layers compressed with zstd, not at all, or of Docker's media types are taken over byte for byte."""
    content = make_tar([folder("usr", 0o750), file("usr/x", b"x")])
    layer = {
        "zstd": Layer(zstandard.compress(content), sha(content), media_type=f"{OCI}.layer.v1.tar+zstd"),
        "plain": Layer(content, sha(content), media_type=f"{OCI}.layer.v1.tar"),
        "docker": Layer(
            gzip.compress(content), sha(content), media_type="application/vnd.docker.image.rootfs.diff.tar.gzip"
        ),
    }[kind]
    document = kit.build(
        "--out", f"docker-archive:{kit.folder}/a.tar", base=base(kit.folder / "base", [layer])
    ).document
    manifest, _ = Layout(kit.out).image("latest")
    wanted = f"{OCI}.layer.v1.tar+gzip" if kind == "docker" else layer.media_type
    assert manifest["layers"][0] == {"mediaType": wanted, "digest": sha(layer.data), "size": len(layer.data)}
    assert "usr" not in members(kit.out, document["layer"])


def test_base_without_history(kit: Kit) -> None:
    """A base whose history does not tell of every layer keeps it as it is: readers count."""
    layer = pack([folder("etc")])
    layout = Layout(kit.folder / "base")
    config = config_of([layer])
    del config["history"]
    del config["config"]
    layout.add(config, [layout.put(layer.data, layer.media_type)], "base")
    layout.save()
    kit.build(base=f"oci:{layout.directory}")
    _, found = Layout(kit.out).image("latest")
    assert "history" not in found
    assert found["config"].keys() == {"Entrypoint", "Labels"}


def test_what_the_image_adds(kit: Kit) -> None:
    """Beside the real executable and the bundles' own files the layer has at most 100 KB, tar's padding included."""
    kit.executable = static_form().executable
    document = kit.build().document
    found = members(kit.out, document["layer"])
    bundles = sum(info.size for name, info in found.items() if name.startswith("usr/lib/cnb/launchers/"))
    own = found["usr/bin/metalauncher"].size
    assert own == kit.executable.stat().st_size
    assert bundles > 700
    assert 0 < document["layer"]["expanded"] - own - bundles <= 100_000
    assert document["layer"]["size"] < own


def test_talk(kit: Kit) -> None:
    """Without --json: the place and the digest on stdout, what was added on stderr; progress on a terminal alone."""
    answer = kit.tool(*kit.options())
    digest = json.loads((kit.out / "index.json").read_text())["manifests"][0]["digest"]
    assert answer.code == 0
    assert answer.out == f"oci:{kit.out}:latest {digest}\n"
    assert said(answer).startswith("one layer of ")
    assert answer.err.endswith(" unpacked) on scratch: metalauncher and 2 launchers\n")
    assert stat.S_IMODE(kit.out.stat().st_mode) == 0o755
    shown = on_terminal(None, "labels", "--verify", f"oci:{kit.out}")
    assert f"reading oci:{kit.out}, layer 1" in shown


def test_invalid_descriptor_of_the_base(kit: Kit) -> None:
    """A broken descriptor that the base brings is said, and left out of the labels."""
    path = "etc/cnb/launchers.d/wrong.toml"
    members_ = [folder("etc"), folder("etc/cnb"), folder("etc/cnb/launchers.d"), file(path, b"[launcher]\nid = 1\n")]
    answer = kit.tool(*kit.options(base=base(kit.folder / "base", [pack(members_)])))
    assert answer.code == 0
    assert f"Warning: invalid descriptor: /{path}" in answer.err
    assert "launcher.id: is an integer, not a string in quotes" in answer.err


def test_statements_of_a_bundle(kit: Kit) -> None:
    """What a vendor states beside the launcher in a bundle is in the image, and in its VEX."""
    source, launcher = kit.folder / "bundle", elf(size=600)
    (source / "lifecycle").mkdir(parents=True)
    (source / "lifecycle.toml").write_text(lifecycle_toml("0.20.20"))
    (source / "lifecycle/launcher").write_bytes(launcher)
    digest = sha(launcher).removeprefix("sha256:")
    (source / "lifecycle/vex.toml").write_text(
        f'sha256 = "{digest}"\n[[statement]]\nvulnerability = "CVE-2025-0001"\nstatus = "fixed"\n'
    )
    answer = kit.build("--bundle", source)
    assert f"{FOLDER}/0.20.20/vex.toml" in members(kit.out, answer.document["layer"])
    statements = kit.tool("vex", "--run-image", f"oci:{kit.out}").document["statements"]
    assert "CVE-2025-0001" in {one["vulnerability"]["name"] for one in statements}
