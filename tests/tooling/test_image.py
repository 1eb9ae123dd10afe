"""`metalauncher image`: the same bytes on every build, the base kept as it is, and nothing half-written, ever."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import signal
import stat
import struct
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from bundles import STAND_IN, Answer, Tool, elf, entry, lifecycle_toml, on_terminal, release, tree
from bundles import pack as pack_tarball
from harness import PROJECT, static_form
from images import OCI, REF_NAME, SHIM, Layer, Layout, base, config_of, file, folder, link, pack, sha
from images import tar as make_tar
from sboms import check_cyclonedx, check_spdx, sidecar

from metalauncher.tooling.oci.archive import ArchiveStore
from metalauncher.tooling.oci.image import load_image
from metalauncher.tooling.oci.layout import LayoutStore
from metalauncher.tooling.oci.write import write_layout
from metalauncher.tooling.writing import TEMPORARY

FOLDER = "usr/lib/cnb/launchers/buildpacks/lifecycle"
BOMS = ("sbom.cdx.json", "sbom.spdx.json")
ARM = 183


class Kit:
    """An executable, two releases, and where to write to."""

    def __init__(self, tool: Tool, folder: Path) -> None:
        """Make them."""
        self.tool = tool
        self.folder = folder
        self.executable = folder / "metalauncher"
        self.use(elf(size=5000))
        self.old = release(folder, "0.17.7", elf(size=300))
        self.new = release(folder, "0.21.17", elf(size=400))
        self.out = folder / "out"

    def use(self, executable: bytes) -> None:
        """Let this be the executable: the description that its build wrote speaks of it."""
        self.executable.write_bytes(executable)
        document = json.loads(sidecar(static_form()).read_text()) | {"sha256": sha(executable).removeprefix("sha256:")}
        self.executable.with_name("metalauncher.contents.json").write_text(json.dumps(document))

    def options(self, *more: str | Path, base: str = "scratch", out: str | Path | None = None) -> list[str | Path]:
        """Return a whole command line; `more` goes after, and before the same options in it."""
        given: list[str | Path] = [
            "image",
            "--base",
            base,
            "--executable",
            self.executable,
            "--bundle",
            self.old,
            "--bundle",
            self.new,
        ]
        return [*given, "--out", f"oci:{self.out}" if out is None else out, *more]

    def build(self, *more: str | Path, **options: Any) -> Answer:
        """Build, which has to succeed; return the answer with the document."""
        answer = self.tool(*self.options("--json", *more, **options))
        assert (answer.code, answer.err) == (0, ""), answer.err
        return answer

    def refuse(self, message: str, *more: str | Path, **options: Any) -> Answer:
        """Try to build, which has to fail with this message and leave everything as it was."""
        before = tree(self.folder)
        answer = self.tool(*self.options(*more, **options))
        assert (answer.code, answer.out) == (3, "")
        first, *_, last = answer.err.splitlines()
        assert message in first.removeprefix("ERROR: ")
        assert last.removeprefix("  do:").split()[0] in ("metalauncher", "make", "skopeo", "ls", "export")
        assert tree(self.folder) == before
        return answer


@pytest.fixture
def kit(tool: Tool, tmp_path: Path) -> Kit:
    """Return what images are made of."""
    place = tmp_path / "kit"
    place.mkdir()
    return Kit(tool, place)


def members(layout: Path, layer: dict[str, Any]) -> dict[str, tarfile.TarInfo]:
    """Return a layer's members by name."""
    data = gzip.decompress(Layout(layout).blob(layer["digest"]).read_bytes())
    (layout.parent / "layer.tar").write_bytes(data)
    with tarfile.open(layout.parent / "layer.tar") as archive:
        return {info.name: info for info in archive}


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
            *("--bundle", kit.old, "--out", later / "layout", "--out", f"docker-archive:{later / 'two.tar'}:acme/run"),
        )
    finally:
        os.umask(umask)
        monkeypatch.undo()
        time.tzset()
    assert other.err == ""
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
    run = subprocess.run(command[:4], cwd=PROJECT, capture_output=True, text=True, timeout=120)
    assert run.returncode == 2
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
        "ERROR: SOURCE_DATE_EPOCH: 'yesterday' is no number of seconds since 1970",
    )


def debian(kit: Kit, **changes: Any) -> str:
    """Write a base of two layers with a rich config; return how to refer to it."""
    lower = pack(
        [folder("etc"), folder("usr", 0o751), folder("usr/bin", 0o700), folder("usr/lib"), link("bin", "usr/bin")],
        "lower",
    )
    upper = pack([file("etc/os-release", b"ID=acme\n"), folder("usr/share")], "upper")
    layout = Layout(kit.folder / "base")
    layers = [lower, upper]
    config = config_of(
        layers,
        Env=["PATH=/usr/bin", "LANG=C.UTF-8", "ODD"],
        User="1000:1000",
        WorkingDir="/home",
        Cmd=["sh"],
        Entrypoint=["/entry"],
        ExposedPorts={"80/tcp": {}},
        StopSignal="SIGQUIT",
        Labels={"io.buildpacks.base.id": "acme", "maintainer": "é"},
    )
    config |= {"author": "é", "x-unknown": [1, {"a": None}], **changes}
    config["history"].insert(1, {"created_by": "ENV", "empty_layer": True})
    blobs = [layout.put(layer.data, layer.media_type) for layer in layers]
    layout.add(config, blobs, "12", annotations={"org.opencontainers.image.title": "base"})
    layout.save()
    return f"oci:{layout.directory}:12"


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
    """A run image as base: only what is new is added, and labels tell of all; what contradicts it is refused."""
    first = kit.tool(*kit.options()[:7], "--out", f"oci:{kit.out}:one")
    assert first.code == 0
    document = kit.build(base=f"oci:{kit.out}:one", out=f"oci:{kit.out}:two").document
    assert document["launchers"] == ["buildpacks/lifecycle@0.17.7", "buildpacks/lifecycle@0.21.17"]
    found = members(kit.out, document["layer"])
    assert {name for name, info in found.items() if not info.isdir()} == {
        "usr/lib/cnb/launchers.d/buildpacks_lifecycle@0.21.17.toml",
        *[f"{FOLDER}/0.21.17/{name}" for name in ("launcher", "sbom.cdx.json", "sbom.spdx.json", "sbom.syft.json")],
    }
    assert kit.tool("labels", "--verify", f"oci:{kit.out}:two").code == 0
    other = release(kit.folder / "other", "0.17.7", elf(size=999))
    answer = kit.refuse(
        "buildpacks/lifecycle@0.17.7 is installed already, and is another one",
        *("--bundle", other),
        base=f"oci:{kit.out}:one",
    )
    assert "  have:    /usr/lib/cnb/launchers.d/buildpacks_lifecycle@0.17.7.toml: another executable" in answer.err


def test_newer_executable_replaces_the_bases(kit: Kit) -> None:
    """An update of metalauncher is the executable and what speaks of it in the new layer."""
    kit.build(out=f"oci:{kit.out}:one")
    kit.use(elf(size=6000))
    document = kit.build(base=f"oci:{kit.out}:one").document
    place = "usr/lib/cnb/metalauncher"
    assert set(members(kit.out, document["layer"])) == {
        "usr/bin/metalauncher",
        *[f"{place}/{name}" for name in ("contents.json", "openvex.json", *BOMS)],
    }


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
    kit.refuse("/usr/lib/cnb/metalauncher/contents.json: speaks of another executable")
    kit.executable.with_name("metalauncher.contents.json").unlink()
    answer = kit.refuse("metalauncher.contents.json: no such file or directory")
    assert "and NAME.contents.json beside it" in answer.err


def test_without_what_writes_sboms(kit: Kit) -> None:
    """Where the libraries of the extra are missing the command says what to install."""
    environ = {"PYTHONPATH": f"{kit.folder}:{PROJECT}"}
    (kit.folder / "cyclonedx").mkdir()
    (kit.folder / "cyclonedx/__init__.py").write_text("raise ModuleNotFoundError(name='cyclonedx')\n")
    command = [sys.executable, "-m", "metalauncher", *map(str, kit.options())]
    run = subprocess.run(command, cwd=kit.folder, env=environ, capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stdout) == (3, "")
    assert run.stderr.endswith("pip install 'metalauncher[image]'\n")


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
    assert (again["layer"]["expanded"], again["launchers"]) == (10240, document["launchers"])
    assert kit.tool("labels", "--verify", reference).code == 0
    before = archive.read_bytes()
    kit.build("--out", f"docker-archive:{archive}:acme/run", base=debian(kit))
    assert archive.read_bytes() == before


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


def test_other_tags_are_kept(kit: Kit) -> None:
    """A tag is added or replaced; others, and what is not known, stay; a blob that is there is not written again."""
    layout = Layout(kit.out)
    base(kit.out, [pack([folder("etc")])], tag="other")
    index = json.loads((kit.out / "index.json").read_text()) | {"annotations": {"a": "b"}}
    (kit.out / "index.json").write_text(json.dumps(index))
    first = kit.build(out=f"{kit.out}:run").document
    inode = layout.blob(first["layer"]["digest"]).stat().st_ino
    kit.build(out=f"{kit.out}:again")
    kit.build(out=f"{kit.out}:run")
    found = json.loads((kit.out / "index.json").read_text())
    assert [entry_["annotations"][REF_NAME] for entry_ in found["manifests"]] == ["other", "again", "run"]
    assert found["manifests"][0] == index["manifests"][0]
    assert found["annotations"] == {"a": "b"}
    assert layout.blob(first["layer"]["digest"]).stat().st_ino == inode


def test_damaged_blob_in_the_layout_is_mended(kit: Kit) -> None:
    """A blob of the right name and other content is written anew; what an interrupted run left is removed."""
    document = kit.build().document
    blob = Layout(kit.out).blob(document["layer"]["digest"])
    good = blob.read_bytes()
    blob.write_bytes(good[:-1] + b"x")
    left = blob.parent / f"{TEMPORARY.decode()}0123"
    left.write_bytes(b"half")
    kit.build()
    assert blob.read_bytes() == good
    assert not left.exists()


def test_two_at_once(kit: Kit) -> None:
    """Several writers of one layout wait for each other: every tag is there."""
    base(kit.out, [pack([folder("etc")])])
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "metalauncher", *map(str, kit.options(out=f"oci:{kit.out}:{number}"))],
            cwd=PROJECT,
            stdout=subprocess.DEVNULL,
        )
        for number in range(4)
    ]
    assert [process.wait(timeout=120) for process in running] == [0] * 4
    index = json.loads((kit.out / "index.json").read_text())
    assert {entry_["annotations"][REF_NAME] for entry_ in index["manifests"]} == {"base", "0", "1", "2", "3"}


def spoil_digest(kit: Kit, layout: Layout, manifest: dict[str, Any]) -> None:
    """Change one byte of a layer."""
    del kit
    blob = layout.blob(manifest["layers"][0]["digest"])
    data = bytearray(blob.read_bytes())
    data[-3] ^= 1
    blob.write_bytes(data)


def cut_off(kit: Kit, layout: Layout, manifest: dict[str, Any]) -> None:
    """Take a layer's end away."""
    del kit
    blob = layout.blob(manifest["layers"][1]["digest"])
    blob.write_bytes(blob.read_bytes()[:-10])


def lose_config(kit: Kit, layout: Layout, manifest: dict[str, Any]) -> None:
    """Remove the config."""
    del kit
    layout.blob(manifest["config"]["digest"]).unlink()


def lose_layer(kit: Kit, layout: Layout, manifest: dict[str, Any]) -> None:
    """Remove a layer."""
    del kit
    layout.blob(manifest["layers"][1]["digest"]).unlink()


SPOILED: dict[str, tuple[Callable[[Kit, Layout, dict[str, Any]], None], str]] = {
    "digest": (spoil_digest, "has another digest than sha256:"),
    "cut off": (cut_off, "bytes"),
    "no config": (lose_config, "is not there"),
    "no layer": (lose_layer, "is not there"),
}


@pytest.mark.parametrize("name", SPOILED)
@pytest.mark.parametrize("existing", [False, True], ids=["new", "existing"])
def test_spoiled_base(kit: Kit, name: str, existing: bool) -> None:
    """A base with a missing or damaged part is refused, and the output is as it was: absent, or whole."""
    reference = debian(kit)
    if existing:
        kit.build()
    layout = Layout(kit.folder / "base")
    spoil, message = SPOILED[name]
    spoil(kit, layout, layout.image("12")[0])
    answer = kit.refuse(f"--base {reference}: ", base=reference)
    assert message in answer.err
    kit.refuse(f"--base {reference}: ", base=reference, out=f"docker-archive:{kit.folder}/run.tar")


def test_diff_id_that_lies(kit: Kit) -> None:
    """A layer that is not the one that its config names is refused, as container runtimes would refuse the image."""
    layer, other = pack([folder("etc")]), pack([folder("usr")])
    reference = base(kit.folder / "base", [Layer(layer.data, other.diff_id)])
    kit.refuse(f"has another digest than {other.diff_id}: {layer.diff_id.removeprefix('sha256:')}", base=reference)


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


def test_platform_of_an_index(kit: Kit) -> None:
    """Of a base for several platforms the executable's is taken; a wrong one is refused, both named."""
    layout = Layout(kit.folder / "base")
    manifests = []
    for architecture in ("arm64", "amd64"):
        layer = pack([folder(architecture)])
        config = config_of([layer], architecture)
        digest = layout.add(config, [layout.put(layer.data, layer.media_type)], architecture)
        size = layout.blob(digest).stat().st_size
        platform = {"os": "linux", "architecture": architecture}
        manifests.append({"mediaType": f"{OCI}.manifest.v1+json", "digest": digest, "size": size, "platform": platform})
    index = {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": manifests}
    entry_ = layout.put(json.dumps(index).encode(), f"{OCI}.index.v1+json")
    layout.entries.append(entry_ | {"annotations": {REF_NAME: "both"}})
    layout.save()
    kit.build(base=f"oci:{layout.directory}:both")
    _, found = Layout(kit.out).image("latest")
    assert found["architecture"] == "amd64"
    answer = kit.refuse("is for another platform than --executable", base=f"oci:{layout.directory}:arm64")
    assert "have:    a base for linux/arm64" in answer.err
    kit.use(elf(ARM, size=5000))
    kit.refuse("is for another architecture", base=f"oci:{layout.directory}:both")
    for tarball, version in ((kit.old, "0.17.7"), (kit.new, "0.21.17")):
        members_ = [entry("lifecycle.toml", lifecycle_toml(version).encode()), entry("lifecycle/launcher", elf(ARM))]
        tarball.write_bytes(pack_tarball(members_))
    kit.build(base=f"oci:{layout.directory}:both", out=f"oci:{kit.out}:arm")
    assert Layout(kit.out).image("arm")[1]["architecture"] == "arm64"
    kit.build(out=f"oci:{kit.out}:scratch")
    assert Layout(kit.out).image("scratch")[1]["architecture"] == "arm64"


def test_refused_before_anything_is_written(kit: Kit) -> None:
    """What is wrong with executable, bundles, base or outputs is said, and nothing is written."""
    nowhere = kit.folder / "nowhere"
    kit.refuse("there is no such directory", base=f"oci:{nowhere}")
    kit.refuse("is not there", base=f"docker-archive:{nowhere}")
    kit.refuse("is neither a layout nor an archive", base="docker://debian:12")
    kit.refuse("is neither a layout nor an archive", base="dir:/")
    kit.refuse("names no place", base="oci:")
    kit.refuse("is neither a layout nor an archive", out="docker://example.com/a")
    kit.refuse("no such file or directory", "--executable", nowhere)
    kit.refuse("is a directory", "--executable", kit.folder)
    kit.refuse("is not a regular file", "--executable", "/dev/null")
    kit.refuse("is neither an ELF file nor a script", "--executable", kit.old)
    kit.refuse("no such file or directory", "--bundle", nowhere)
    kit.refuse("is metalauncher itself", "--bundle", kit.executable)
    kit.refuse("no such file or directory", out=f"oci:{nowhere}/below/run")
    kit.refuse("not a directory", out=f"oci:{kit.old}/run")
    kit.refuse("there is no such directory", out=f"oci:{kit.old}")
    kit.refuse("this is no OCI layout", out=f"oci:{kit.folder}")
    kit.refuse("no such file or directory", out=f"docker-archive:{nowhere}/run.tar")
    kit.refuse("is a directory", out=f"docker-archive:{kit.folder}")
    kit.use(elf(size=5000)[:300])
    kit.refuse("is cut off: an ELF file of 300 bytes that needs 5000")
    kit.use(b"#!/usr/bin/python3 -IS\nprint()\n")
    kit.refuse("is a script, which an empty image can't start")


def test_without_launchers(kit: Kit) -> None:
    """An image with no launcher is refused."""
    answer = kit.tool("image", "--base", "scratch", "--executable", kit.executable, "--out", kit.out)
    assert (answer.code, answer.out) == (3, "")
    assert answer.err.startswith("ERROR: there would be no launcher in the image\n")
    assert not kit.out.exists()


def dynamic(interpreter: bytes) -> bytes:
    """Return an ELF file that needs a loader."""
    data = bytearray(elf(size=1000))
    struct.pack_into("<H", data, 56, 2)
    data[120:176] = struct.pack("<IIQQQQQQ", 3, 4, 500, 0, 0, len(interpreter) + 1, 0, 1)
    data[500 : 501 + len(interpreter)] = interpreter + b"\0"
    return bytes(data)


def test_what_the_base_can_not_start(kit: Kit) -> None:
    """A loader or a script's interpreter that the base lacks is named; on a base that has it the image is built."""
    rebuilt = release(kit.folder / "other", "0.20.20", dynamic(b"/lib64/ld-linux.so.2"))
    kit.refuse(
        "buildpacks/lifecycle@0.20.20 needs /lib64/ld-linux.so.2, which the base does not have", "--bundle", rebuilt
    )
    script = release(kit.folder / "third", "0.19.7", STAND_IN)
    kit.refuse("buildpacks/lifecycle@0.19.7 needs /usr/bin/python3, which the base does not have", "--bundle", script)
    loader = [folder("usr/lib64"), link("lib64", "usr/lib64"), file("usr/lib64/ld-linux.so.2", elf(), 0o755)]
    python = [folder("usr/bin"), file("usr/bin/python3", elf(), 0o755)]
    reference = base(kit.folder / "base", [pack([folder("usr"), *loader, *python])])
    kit.use(b"#!/usr/bin/python3 -IS\nprint()\n")
    document = kit.build("--bundle", rebuilt, "--bundle", script, base=reference).document
    assert len(document["launchers"]) == 4


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (file("usr", b""), "has a file at /usr, where a directory is needed"),
        (file("usr/lib/cnb", b""), "has a file at /usr/lib/cnb, where a directory is needed"),
        (link("usr", "usr"), "too many levels of symbolic links"),
    ],
)
def test_base_that_is_in_the_way(kit: Kit, member: tuple[tarfile.TarInfo, bytes], message: str) -> None:
    """A file of the base where a directory has to be is not replaced silently."""
    layers = [pack([folder("usr"), folder("usr/lib"), member] if "/" in member[0].name else [member])]
    kit.refuse(message, base=base(kit.folder / "base", layers))


def test_foreign_layer(kit: Kit) -> None:
    """A layer that its image only links to can't be copied."""
    layer = pack([folder("etc")])
    layout = Layout(kit.folder / "base")
    media_type = f"{OCI}.layer.nondistributable.v1.tar+gzip"
    blob = layout.put(layer.data, media_type) | {"urls": ["https://example.com/layer"]}
    layout.add(config_of([layer]), [blob], "base")
    layout.save()
    kit.refuse("has a foreign layer", base=f"oci:{layout.directory}")


@pytest.mark.parametrize("fail_at", [1, 3, 6])
@pytest.mark.parametrize("place", ["layout", "new layout", "archive"])
def test_full_disk(kit: Kit, monkeypatch: pytest.MonkeyPatch, fail_at: int, place: str) -> None:
    """Where writing fails midway the output is as it was, and nothing is left beside it."""
    if place == "layout":
        base(kit.out, [pack([folder("etc")])], tag="other")
    reference = debian(kit)
    out = f"docker-archive:{kit.folder}/run.tar" if place == "archive" else f"oci:{kit.out}"
    left = [fail_at if place != "archive" else 1]
    real = os.fsync

    def fsync(descriptor: int) -> None:
        # Not of the scratch root that the layer is made from.
        if str(kit.folder) in os.readlink(f"/proc/self/fd/{descriptor}"):
            left[0] -= 1
            if left[0] == 0:
                raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    kit.refuse("no space left on device", base=reference, out=out)
    assert left[0] == 0


def test_full_disk_while_a_blob_is_written(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader of a base is not blamed for a disk that is full."""
    reference = debian(kit)
    real = os.write

    def write(descriptor: int, data: bytes) -> int:
        if str(kit.folder) in os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(28, "No space left on device")
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    for out in (f"oci:{kit.out}", f"docker-archive:{kit.folder}/run.tar"):
        kit.refuse(f"--out {out}: no space left on device", base=reference, out=out)


CHANGES = ("rename", "unlink", "mkdir", "rmdir", "chmod", "fchmod", "fsync")


def write_until(step: int, source: Path, target: Path) -> int:
    """Copy the image in a process of its own that is killed before its change number `step`; return how it ended."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    left = step

    def count(change: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*given: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return change(*given, **named)

        return counted

    for name in CHANGES:
        setattr(os, name, count(getattr(os, name)))
    status = 70
    try:
        write_layout(LayoutStore(str(source), "latest"), str(target), "run", lambda _: None)
        status = 0
    finally:
        os._exit(status)


@pytest.mark.parametrize("existing", [False, True], ids=["new", "existing"])
def test_killed_at_every_step(kit: Kit, existing: bool) -> None:
    """`kill -9` before any change of the file system leaves the old image or the new one, whole; the next run mends."""
    source = kit.folder / "source"
    digest = kit.build(base=debian(kit), out=f"oci:{source}").document["manifest"]
    seen = []
    for step in range(200):
        shutil.rmtree(kit.out, ignore_errors=True)
        if existing:
            base(kit.out, [pack([folder("etc")])], tag="run")
        code = write_until(step, source, kit.out)
        layout = Layout(kit.out) if (kit.out / "index.json").exists() else None
        for entry_ in layout.entries if layout else []:
            assert layout is not None
            manifest = layout.read(entry_["digest"])
            for blob in (entry_, manifest["config"], *manifest["layers"]):
                assert sha(layout.blob(blob["digest"]).read_bytes()) == blob["digest"]
        seen.append([entry_["digest"] for entry_ in layout.entries] == [digest] if layout else False)
        assert kit.out.exists() == (layout is not None)
        if code == 0:
            break
        assert code == -signal.SIGKILL
        assert write_until(1000, source, kit.out) == 0
        assert Layout(kit.out).entries[0]["digest"] == digest
        assert not list(kit.out.rglob(TEMPORARY.decode() + "*"))
    assert code == 0
    assert len(seen) > 15
    assert not seen[0]
    assert seen[-1]


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
    assert answer.err.startswith("one layer of ")
    assert answer.err.endswith(" unpacked) on scratch: metalauncher and 2 launchers\n")
    assert stat.S_IMODE(kit.out.stat().st_mode) == 0o755
    shown = on_terminal(Tool(None, kit.out), "labels", "--verify", f"oci:{kit.out}")
    assert "reading layer 1 of 1" in shown


def test_invalid_descriptor_of_the_base(kit: Kit) -> None:
    """A broken descriptor that the base brings is said, and left out of the labels."""
    path = "etc/cnb/launchers.d/wrong.toml"
    members_ = [folder("etc"), folder("etc/cnb"), folder("etc/cnb/launchers.d"), file(path, b"[launcher]\nid = 1\n")]
    answer = kit.tool(*kit.options(base=base(kit.folder / "base", [pack(members_)])))
    assert answer.code == 0
    assert "Warning: left out: " in answer.err
    assert "launcher.id: is an integer, not a string in quotes" in answer.err
