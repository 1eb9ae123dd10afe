"""`metalauncher image` over what can't be built on: each refusal says why, and leaves everything as it was."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import PurePath
from typing import Any

import pytest
from bundles import STAND_IN, as_process, elf, entry, lifecycle_toml, release
from bundles import pack as pack_tarball
from harness import PROJECT, python_form, static_form
from images import OCI, REF_NAME, Layer, Layout, base, config_of, file, folder, link, pack, sha
from kit import ARM, FOLDER, Kit, debian, members, said

from metalauncher.tooling.oci.model import ImageError


def test_without_what_writes_sboms(kit: Kit) -> None:
    """Where the libraries of the extra are missing the command says what to install."""
    environ = {"PYTHONPATH": f"{kit.folder}:{PROJECT}"}
    (kit.folder / "cyclonedx").mkdir()
    (kit.folder / "cyclonedx/__init__.py").write_text("raise ModuleNotFoundError(name='cyclonedx')\n")
    command = [sys.executable, "-m", "metalauncher", *map(str, kit.options())]
    run = subprocess.run(command, cwd=kit.folder, env=environ, capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stdout) == (3, "")
    assert run.stderr.endswith("pip install 'metalauncher[image]'\n")


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


def test_number_that_no_double_holds(kit: Kit) -> None:
    """Written again it would not be JSON, and nobody could read the layout's other tags."""
    kit.build()
    index = kit.out / "index.json"
    index.write_text(index.read_text().replace("{", '{"x":1e400,', 1))
    kit.refuse("has a number too large for a double: it can't be written again", out=f"oci:{kit.out}:other")


def test_diff_id_that_lies(kit: Kit) -> None:
    """A layer that is not the one that its config names is refused, as container runtimes would refuse the image."""
    layer, other = pack([folder("etc")]), pack([folder("usr")])
    reference = base(kit.folder / "base", [Layer(layer.data, other.diff_id)])
    kit.refuse(f"has another digest than {other.diff_id}: {layer.diff_id.removeprefix('sha256:')}", base=reference)


def test_base_that_may_not_be_read(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who may not read it is not sent to fetch it again."""
    reference = debian(kit)

    def closed(*_: object) -> None:
        raise ImageError("denied", "oci-layout: permission denied")

    monkeypatch.setattr("metalauncher.tooling.image.base.Images.load", closed)  # root itself may read everything
    answer = kit.refuse(f"--base {reference}: oci-layout: permission denied", base=reference)
    look = f"  do:      look at what is there\n           ls -ld {kit.folder}/base\n"
    assert answer.err.endswith("  need:    a base that can be read\n" + look)


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
    for wanted, message in (
        ("arm64", "the image has neither a launcher nor"),
        ("s390x", "has no image for linux/s390x"),
    ):
        answer = kit.tool("labels", "--verify", f"oci:{layout.directory}:both", "--platform", f"linux/{wanted}")
        assert answer.code == 3
        assert message in answer.err
    answer = kit.tool(*kit.options("--json", base=f"oci:{layout.directory}:both"))
    assert (answer.code, said(answer).count("\n")) == (0, 1)
    assert " is also for linux/arm64, the image is not: " in said(answer)
    _, found = Layout(kit.out).image("latest")
    assert found["architecture"] == "amd64"
    answer = kit.refuse("is for another platform than --executable", base=f"oci:{layout.directory}:arm64")
    assert "have:    a base for linux/arm64" in answer.err
    kit.use(elf(ARM, size=5000))
    kit.refuse("is for another architecture", base=f"oci:{layout.directory}:both")
    for tarball, version in ((kit.old, "0.17.7"), (kit.new, "0.21.17")):
        members_ = [entry("lifecycle.toml", lifecycle_toml(version).encode()), entry("lifecycle/launcher", elf(ARM))]
        tarball.write_bytes(pack_tarball(members_))
    answer = kit.tool(*kit.options("--json", base=f"oci:{layout.directory}:both", out=f"oci:{kit.out}:arm"))
    assert answer.code == 0
    assert " is also for linux/amd64, the image is not: " in said(answer)
    assert Layout(kit.out).image("arm")[1]["architecture"] == "arm64"
    kit.build(out=f"oci:{kit.out}:scratch")
    assert Layout(kit.out).image("scratch")[1]["architecture"] == "arm64"


def test_refused_before_anything_is_written(kit: Kit) -> None:
    """What is wrong with executable, bundles, base or outputs is said, and nothing is written."""
    nowhere = kit.folder / "nowhere"
    kit.refuse("there is no such directory", base=f"oci:{nowhere}")
    kit.refuse("is not there", base=f"docker-archive:{nowhere}")
    kit.refuse("is an unpacked root filesystem", base="dir:/")
    kit.refuse("is a path: write oci:./base", base="./base")
    kit.refuse("names no place", base="oci:")
    kit.refuse("is neither a layout nor an archive", out="dir:x")
    answer = kit.refuse("--out run:1: is the name of an image in a registry", out="run:1")
    assert answer.err.endswith(
        "  do:      push it there, or write oci:run:1 for a layout\n           metalauncher image … --push run:1\n"
    )
    kit.refuse("no such file or directory", "--executable", nowhere)
    kit.refuse("is a directory", "--executable", kit.folder)
    kit.refuse("is not a regular file", "--executable", "/dev/null")
    kit.refuse("is neither an ELF file nor a script", "--executable", kit.old)
    kit.refuse("no such file or directory", "--bundle", nowhere)
    kit.refuse("is metalauncher itself", "--bundle", kit.executable)
    kit.refuse("no such file or directory", out=f"oci:{nowhere}/below/run")
    kit.refuse("not a directory", out=f"oci:{kit.old}/run")
    kit.refuse("is not a directory: this is not an OCI layout", out=f"oci:{kit.old}")
    kit.refuse("is not a directory: this is not an OCI layout", base=f"oci:{kit.old}")
    kit.refuse("this is not an OCI layout", out=f"oci:{kit.folder}")
    kit.refuse("no such file or directory", out=f"docker-archive:{nowhere}/run.tar")
    kit.refuse("is a directory", out=f"docker-archive:{kit.folder}")
    kit.use(elf(size=5000)[:300])
    kit.refuse("is cut off: an ELF file of 300 bytes that needs 5000")
    kit.use(b"#!/usr/bin/python3 -IS\nprint()\n")
    kit.refuse("is a script, which an empty image can't start")


def test_description_of_the_executable(kit: Kit) -> None:
    """One that is missing, is none, or is another executable's is named as it is called here, with a way out."""
    description = kit.executable.with_name("metalauncher.contents.json")
    right = description.read_bytes()
    description.write_bytes(right.replace(sha(kit.executable.read_bytes()).removeprefix("sha256:").encode(), b"0" * 64))
    answer = kit.refuse(f"--executable {description}: describes another executable")
    assert f"have:    that of sha256 {'0' * 64}" in answer.err
    description.write_bytes(right[:100])
    assert "make static" in kit.refuse(f"--executable {description}: is not JSON").err
    description.unlink()
    for form in (static_form(), python_form()):
        kit.executable.write_bytes(form.executable.read_bytes())
        kit.refuse(f"--executable {description}: no such file or directory")


def test_what_is_not_metalauncher(kit: Kit) -> None:
    """A program of another kind is called that, before anything is said of what it has not."""
    for program in (elf(), b"#!/bin/sh\n"):
        (kit.folder / "ls").write_bytes(program)
        answer = kit.tool(*kit.options(), "--executable", kit.folder / "ls")
        assert (answer.code, answer.out) == (3, "")
        assert answer.err.startswith(f"ERROR: --executable {kit.folder}/ls: is not metalauncher's executable\n")
        assert "have:    a file without metalauncher's mark, and no ls.contents.json\n" in answer.err


def test_without_launchers(kit: Kit) -> None:
    """An image with no launcher is refused."""
    answer = kit.tool("image", "--base", "scratch", "--executable", kit.executable, "--out", f"oci:{kit.out}")
    assert (answer.code, answer.out) == (3, "")
    assert answer.err.startswith("ERROR: the image would have no launcher\n")
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


NOT_UTF_8 = "x\udcff"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (f"oci:{{out}}:{NOT_UTF_8}", "names no image in a layout"),
        (f"oci-archive:{{out}}:{NOT_UTF_8}", "names no image in a layout"),
        ("oci:{out}:a b/c", "names no image in a layout"),
        ("oci:{out}:a__b", "names no image in a layout"),
        (f"docker-archive:{{out}}:{NOT_UTF_8}", "is not an image's name"),
        ("docker-archive:{out}:Bad Name!!", "is not an image's name"),
        ("docker-archive:{out}:UP/Case:1", "is not an image's name"),
        ("docker-archive:{out}:acme/run@sha256:" + "a" * 64, "has a digest"),
    ],
)
def test_name_that_nobody_could_ask_for(kit: Kit, name: str, message: str) -> None:
    """An image that has a name only here is not written."""
    kit.refuse(message, out=name.format(out=kit.out))


def test_annotation_that_is_no_text(kit: Kit) -> None:
    """A manifest is JSON, which is UTF-8."""
    for text in (f"k={NOT_UTF_8}", f"{NOT_UTF_8}=v"):
        kit.refuse("is not UTF-8", "--annotation", text)


@pytest.mark.parametrize("name", ["a--b/c@d:e+f", "acme/run:1"])
def test_names_that_skopeo_knows(kit: Kit, name: str) -> None:
    """What a layout may call an image is what skopeo takes."""
    kit.build(out=f"oci:{kit.out}:{name}")
    run = ["skopeo", "inspect", f"oci:{kit.out}:{name}"]
    subprocess.run(run, check=True, capture_output=True, timeout=60)


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


@pytest.mark.parametrize("place", ["usr/bin/metalauncher", "usr/lib/cnb/metalauncher/contents.json"])
def test_links_of_the_base_lead_nowhere_on_this_machine(kit: Kit, place: str) -> None:
    """Where the base has a link in a file's place the link is replaced; what it names on this machine is not opened."""
    pipe = kit.folder / "pipe"
    os.mkfifo(pipe)  # whoever opens it waits for ever
    layer = pack([*parents(place), link(place, str(pipe))])
    answer = as_process(*kit.options("--json", base=base(kit.folder / "base", [layer])))
    assert (answer.code, said(answer)) == (0, "")
    assert members(kit.out, answer.document["layer"])[place].isreg()


def parents(place: str) -> list[tuple[tarfile.TarInfo, bytes]]:
    """Return the directories that lead to a place."""
    return [folder(str(parent)) for parent in reversed(PurePath(place).parents) if parent.name]


def test_vex_of_the_base_that_is_a_link(kit: Kit) -> None:
    """A base's statements are read from the base, and not from where its link would lead on this machine."""
    outside = kit.folder / "outside.toml"
    outside.write_text("secret = 1\n")
    kit.build("--json", out=f"oci:{kit.folder}/first")
    first = Layout(kit.folder / "first")
    manifest, config = first.image("latest")
    beside = f"{FOLDER}/0.17.7/vex.toml"
    extra = pack([*parents(beside), link(beside, str(outside))])
    config["rootfs"]["diff_ids"].append(extra.diff_id)
    config["history"].append({"created_by": "link"})
    first.add(config, [*manifest["layers"], first.put(extra.data, extra.media_type)], "link")
    first.save()
    kit.refuse(f"{outside}: no such file or directory", base=f"oci:{first.directory}:link")


def test_too_many_layers(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be read again is not written; what Docker does not take is said."""
    full = base(kit.folder / "full", [pack([folder(f"f{number}")]) for number in range(127)])
    answer = kit.tool(*kit.options(base=full))
    assert answer.code == 0
    assert f"Warning: the image has 128 layers: Docker takes 127; squash --base {full}\n" in answer.err
    monkeypatch.setattr("metalauncher.tooling.oci.append_layer.LAYERS_LIMIT", 127)
    kit.refuse(f"--base {full}: has 127 layers, and 127 are allowed with the new one", base=full)


def test_index_that_would_be_too_large(kit: Kit) -> None:
    """An index.json that could not be read again is not written."""
    kit.build()
    index = json.loads((kit.out / "index.json").read_text())
    room = (4 << 20) - len(json.dumps(index)) - 60
    (kit.out / "index.json").write_text(json.dumps(index | {"annotations": {"a": "x" * room}}))
    answer = kit.refuse("index.json would have 4", out=f"oci:{kit.out}:second")
    assert "; 4194304 are allowed\n" in answer.err


def test_tag_of_several_images(kit: Kit) -> None:
    """Of images that docker save told apart by their full names none is taken away for a tag that they share."""
    kit.build(out=f"oci:{kit.out}:1")
    index = json.loads((kit.out / "index.json").read_text())
    (first,) = index["manifests"]
    names = [f"docker.io/acme/{name}:1" for name in "ab"]
    index["manifests"] = [first | {"annotations": {REF_NAME: "1", "io.containerd.image.name": name}} for name in names]
    (kit.out / "index.json").write_text(json.dumps(index))
    kit.refuse(f"has the tag 1 for several images, {', '.join(names)}: name another one", out=f"oci:{kit.out}:1")
    kit.build(out=f"oci:{kit.out}:2")
    assert json.loads((kit.out / "index.json").read_text())["manifests"][:2] == index["manifests"]


def test_foreign_layer(kit: Kit) -> None:
    """A layer that its image only links to can't be copied."""
    layer = pack([folder("etc")])
    layout = Layout(kit.folder / "base")
    media_type = f"{OCI}.layer.nondistributable.v1.tar+gzip"
    blob = layout.put(layer.data, media_type) | {"urls": ["https://example.com/layer"]}
    layout.add(config_of([layer]), [blob], "base")
    layout.save()
    kit.refuse("has a foreign layer", base=f"oci:{layout.directory}")


def test_tag_that_is_not_there(kit: Kit) -> None:
    """What is wrong with a name is not to be found in the directory's rights: the layout's own list is."""
    debian(kit)
    wrong = f"oci:{kit.folder}/base:13"
    for answer in (kit.tool(*kit.options(base=wrong)), kit.tool("list", "--run-image", wrong)):
        assert answer.code == 3
        assert f"{wrong}: there is no image '13'; there is 12\n" in answer.err
        last = ["  do:      name an image that is in the layout", f"           cat {kit.folder}/base/index.json"]
        assert answer.err.splitlines()[-2:] == last
