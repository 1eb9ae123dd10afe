"""Old images, patched ones, flattened ones, and those whose labels are missing, stale or wrong."""

from __future__ import annotations

import json
from typing import Any

import images
import pytest
from bundles import elf
from images import Layer
from rebased import World, metadata, place

FULL = "sha256:" + "0" * 64
LABEL = "io.buildpacks.lifecycle.metadata"
NO_REBASE = "where its run image ends is not known: it can't be rebased as it is"
RESTORED = "no buildpack has an api in its metadata.toml: it was restored from the image's labels, which never carry it"


def app(*apis: str, platform: str | None = "0.12", name: str = "app") -> images.App:
    """Return an app with buildpacks of these APIs."""
    return images.make_app(name, metadata(*apis), platform)


def relabel(world: World, tag: str, change: dict[str, Any] | str | None) -> str:
    """Change what an image's label says of its layers: keys replaced, the whole text, or nothing left of it."""
    manifest, config = world.layout.image(tag)
    labels = config["config"]["Labels"]
    if change is None:
        del labels[LABEL]
    else:
        labels[LABEL] = change if isinstance(change, str) else json.dumps(json.loads(labels[LABEL]) | change)
    return world.put(f"{tag}-relabelled", manifest["layers"], config, (), {})


def config(text: str) -> Layer:
    """Return a layer with a metadata.toml."""
    return images.config_layer(text.encode())


def flattened(world: World, tag: str, keep: int, *, labels: bool) -> str:
    """Merge an image's layers above the first `keep` into one, as docker-squash and `docker export` do."""
    manifest, old = world.layout.image(tag)
    members = {}
    for blob in manifest["layers"][keep:]:
        for info, data in images.members(world.layout.blob(blob["digest"]).read_bytes()):
            members[info.name] = (info, data)
    layer = images.pack(members.values(), "squashed")
    ids = old["rootfs"]["diff_ids"][:keep]
    run = old["config"] if labels else {**old["config"], "Labels": {}}
    whole = {**old, "config": run, "rootfs": {"type": "layers", "diff_ids": ids}, "history": []}
    return world.put(f"{tag}-flat{keep}", manifest["layers"][:keep], whole, [layer], {})


@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize("labels", [True, False])
def test_squashed(world: World, keep: int, labels: bool) -> None:
    """A flattened image is searched; what it recorded is judged, and that it can't be rebased as it is is said."""
    tag = flattened(world, world.app(app("0.10")), keep, labels=labels)
    found = world.judge(tag, "two")
    assert (found.kind, str(found.launcher)) == ("starts", "buildpacks/lifecycle@0.21.17")
    assert found.buildpacks == (("acme/0", "0.10"),)
    if keep == 0 or not labels:
        assert found.notes[-1] == NO_REBASE
    if not labels:
        assert found.notes[0] == f"has no label {LABEL}"
    refused = world.judge(tag, "none")
    assert (refused.kind, refused.exit_code) == ("refused", 80)


def test_missing_labels(world: World) -> None:
    """Without an exporter's labels the layers are searched from the top."""
    tag = world.app(app("0.10", "0.9"), labels=False)
    found = world.prove(tag, "two")
    assert (found.kind, found.notes) == ("starts", (f"has no label {LABEL}", NO_REBASE))
    assert found.buildpacks == (("acme/0", "0.10"), ("acme/1", "0.9"))


@pytest.mark.parametrize("label", ["", "{", "[]", "null", '"x"', "{}", "[" * 100_000])
def test_unreadable_label(world: World, label: str) -> None:
    """A label that is no object counts as missing, and is said to be unreadable; one that says nothing as well."""
    found = world.prove(relabel(world, world.app(app("0.10")), label), "two")
    first = "does not name the run image's topmost layer" if label == "{}" else "can't be read"
    assert (found.kind, found.notes) == ("starts", (f"its label {LABEL} {first}", NO_REBASE))


WRONG: dict[str, dict[str, Any]] = {
    "config-unknown": {"config": {"sha": FULL}},
    "launcher-unknown": {"launcher": {"sha": FULL}},
    "both-unknown": {"launcher": {"sha": FULL}, "config": {"sha": FULL}},
    "types-unknown": {"process-types": {"sha": FULL}},
    "types-missing": {"process-types": None},
    "of-wrong-types": {"config": ["x"], "launcher": 3, "process-types": {"sha": 4}, "app": {"sha": 1}},
    "top-unknown": {"runImage": {"topLayer": FULL}},
    "top-missing": {"runImage": None},
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_labels(world: World, wrong: str) -> None:
    """What a label says of a layer that is not there does not matter."""
    found = world.prove(relabel(world, world.app(app("0.10")), WRONG[wrong]), "two")
    assert (found.kind, found.buildpacks) == ("starts", (("acme/0", "0.10"),))
    assert (NO_REBASE in found.notes) == wrong.startswith("top-")


@pytest.mark.parametrize("key", ["config", "launcher", "process-types"])
@pytest.mark.parametrize("other", range(5))
def test_labels_of_other_layers(world: World, key: str, other: int) -> None:
    """Nor what it says of a layer that is another one."""
    tag = world.app(app("0.10"))
    digests = world.layout.image(tag)[1]["rootfs"]["diff_ids"]
    found = world.prove(relabel(world, tag, {key: {"sha": digests[other]}}), "two")
    assert (found.kind, found.buildpacks) == ("starts", (("acme/0", "0.10"),))


def test_top_layer_above_the_launcher(world: World) -> None:
    """A run image can't reach over the app's own layers."""
    tag = world.app(app("0.10"))
    top = world.layout.image(tag)[1]["rootfs"]["diff_ids"][-1]
    found = world.prove(relabel(world, tag, {"runImage": {"topLayer": top}}), "two")
    assert found.notes == (f"its label {LABEL} counts the app's layers among the run image's", NO_REBASE)


def test_lifecycle_before_the_record(world: World) -> None:
    """What lifecycle 0.8 exported starts where a launcher has defaults, and nowhere else."""
    tag = world.app(images.load_app("p03-unrecorded"))
    assert str(world.prove(tag, "legacy").launcher) == "buildpacks/lifecycle@0.9.3"
    found = world.prove(tag, "two")
    assert (found.kind, found.exit_code, found.platform_api) == ("refused", 11, None)
    assert found.reason == "it recorded no API at all, as lifecycle 0.8 and earlier left it"
    assert "lifecycle 0.9.3" in found.remedy
    assert found.notes == ()


def test_stripped(world: World) -> None:
    """A Platform API that was lost on the way is not guessed."""
    found = world.prove(world.app(app("0.10", platform=None)), "legacy")
    assert (found.kind, found.exit_code) == ("refused", 11)
    assert found.reason == "its config has no CNB_PLATFORM_API, though its buildpacks recorded their APIs"


@pytest.mark.parametrize("text", ["junk", " 0.12", "0.12.1", "v", "-1"])
def test_malformed_platform_api(world: World, text: str) -> None:
    """It is refused, in CNB's own words."""
    found = world.prove(world.app(app("0.10", platform=text)), "two")
    assert (found.kind, found.exit_code) == ("refused", 11)
    assert found.reason == f"failed to parse platform API '{text}'"
    assert found.platform_api == text


def test_restored_from_labels(world: World) -> None:
    """A metadata.toml without any api is refused as the dispatch does it, and what it comes from is said."""
    bare = images.make_app("bare", '[[buildpacks]]\nid = "a/b"\nversion = "1"\n[[processes]]\ntype = "web"\n', "0.12")
    found = world.prove(world.app(bare), "two")
    assert (found.kind, found.exit_code, found.buildpacks) == ("refused", 12, (("a/b", None),))
    assert found.reason == "failed to parse buildpack API '<nil>' for buildpack 'a/b'"
    assert found.notes == (RESTORED,)
    assert found.remedy.startswith("rebuild the app")


def test_refusals_name_what_would_serve(world: World) -> None:
    """Which API, whose, and which lifecycle has a launcher for it."""
    found = world.prove(world.app(app("0.10", "0.6", platform="0.7")), "new")
    assert (found.kind, found.exit_code) == ("refused", 12)
    assert found.reason == (
        "failed to set API for buildpack 'acme/1': buildpack API version '0.6' is incompatible with the lifecycle"
    )
    assert "lifecycle 0.17.0 to 0.17.7 has one" in found.remedy
    assert "--which" not in found.remedy
    found = world.prove(world.app(app("0.10", platform="0.6")), "new")
    assert found.remedy.startswith("add a launcher for all of its APIs to the run image: lifecycle 0.17.0 to 0.17.7 ")
    assert found.buildpacks == (("acme/0", "0.10"),)
    assert (found.exit_code, found.reason) == (
        11,
        "failed to set platform API: platform API version '0.6' is incompatible with the lifecycle",
    )


@pytest.mark.parametrize(
    ("first", "second", "kind"),
    [("0.12", "0.6", "unknown"), ("0.12", "0.11", "starts"), ("0.12", "0.12", "starts"), ("junk", "0.12", "unknown")],
)
def test_duplicate_names(world: World, first: str, second: str, kind: str) -> None:
    """Where it matters which of two entries counts, it can't be told: runtimes differ."""
    tag = world.app(app("0.10"))
    environ = world.layout.image(tag)[1]["config"]["Env"]
    kept = [entry for entry in environ if not entry.startswith("CNB_PLATFORM_API=")]
    both = [f"CNB_PLATFORM_API={first}", *kept, f"CNB_PLATFORM_API={second}"]
    manifest, image = world.layout.image(tag)
    found = world.judge(world.put(f"{tag}-twice", manifest["layers"], image, (), {"Env": both}), "new")
    assert found.kind == kind
    if kind == "unknown":
        assert found.reason == "its config has CNB_PLATFORM_API twice, and whether the first or the last counts decides"
        assert (found.launcher, found.exit_code, found.remedy) == (None, None, "")


PATCHES: dict[str, tuple[list[Layer], tuple[str, int | None]]] = {
    "newer": ([config(metadata("0.12"))], ("refused", 12)),
    "twice": ([config(metadata("0.12")), config(metadata("0.9"))], ("starts", None)),
    "something-else": ([images.pack([images.file("/layers/a/b", b"x")])], ("starts", None)),
    "whiteout": ([images.pack([images.file("/layers/config/.wh.metadata.toml", b"")])], ("refused", 1)),
    "whiteout-of-config": ([images.pack([images.file("layers/.wh.config", b"")])], ("refused", 1)),
    "whiteout-of-layers": ([images.pack([images.file("./.wh.layers", b"")])], ("refused", 1)),
    "opaque": ([images.pack([images.file("/layers/config/.wh..wh..opq", b"")])], ("refused", 1)),
    "opaque-and-new": (
        [
            images.pack(
                [
                    images.folder("/layers/config"),
                    images.file("/layers/config/metadata.toml", metadata("0.9").encode()),
                    images.file("/layers/config/.wh..wh..opq", b""),
                ]
            )
        ],
        ("starts", None),
    ),
    "a-directory": ([images.pack([images.folder("/layers/config/metadata.toml")])], ("refused", 1)),
    "not-toml": ([config("[[")], ("refused", 1)),
    "empty": ([config("")], ("starts", None)),
}


@pytest.mark.parametrize("labels", [True, False])
@pytest.mark.parametrize("patch", PATCHES)
def test_patched(world: World, patch: str, labels: bool) -> None:
    """Of layers laid on top the last wins, as in the container; so do whiteouts."""
    layers, expected = PATCHES[patch]
    found = world.prove(world.app(app("0.10"), above=layers, labels=labels), "run17")
    assert (found.kind, found.exit_code) == expected
    if expected[1] == 1:
        assert found.reason.startswith("failed to read metadata: open /layers/config/metadata.toml: ")


def test_patched_launcher(world: World) -> None:
    """A launcher laid on top counts, whatever the launcher's own layer holds."""
    own = images.pack([images.file("/cnb/lifecycle/launcher", world.rig.launcher, 0o755)])
    assert world.prove(world.app(app("0.10"), above=[own]), "none").kind == "keeps-own-launcher"
    link = images.pack([images.link("/cnb/lifecycle/launcher", "/usr/lib/cnb/launcher")])
    patched = world.app(app("0.10"), "self-contained", executable=world.rig.launcher, above=[link])
    assert world.prove(patched, "two").kind == "starts"
    gone = images.pack([images.file("/cnb/.wh.lifecycle", b"")])
    found = world.prove(world.app(app("0.10"), above=[gone]), "two")
    assert (found.kind, found.reason) == ("does-not-start", "there is no /cnb/lifecycle/launcher")
    other = images.pack([images.link("/cnb/process/web", "/usr/bin/metalauncher")])
    assert world.prove(world.app(app("0.10"), above=[other]), "two").kind == "starts"


_LINK = "/cnb/process/web leads to /usr/lib/cnb/launcher, which the run image does not have"
EXTENSIONS = {
    "harmless": ([images.file("/usr/bin/curl", b"\x7fELF", 0o755), images.folder("/usr/lib/cnb")], "starts", ""),
    "descriptor": (
        [images.file("/etc/cnb/launchers.d/mine.toml", b"")],
        "unknown",
        "its own layers have /etc/cnb/launchers.d/mine.toml, a descriptor of launchers",
    ),
    "another-launcher": ([images.file(place("0.17.7"), b"", 0o755)], "starts", ""),
    "launcher": ([images.file(place("0.21.17"), b"", 0o755)], "starts", "the first in the ranking that can be started"),
    "launcher-of-its-own": (
        [images.file(place("0.21.17"), elf(), 0o755)],
        "unknown",
        f"its own layers have {place('0.21.17')}, which buildpacks/lifecycle@0.21.17 begins with",
    ),
    "executable": (
        [images.file("/usr/bin/metalauncher", b"", 0o755)],
        "does-not-start",
        "/usr/bin/metalauncher is neither a program nor a script with #!",
    ),
    "executable-of-its-own": (
        [images.file("/usr/bin/metalauncher", elf(), 0o755)],
        "unknown",
        "its own layers change /usr/bin/metalauncher, which belongs to the run image",
    ),
    "whiteout": ([images.file("/usr/lib/.wh.cnb", b"")], "does-not-start", _LINK),
    "opaque": ([images.file("/usr/lib/cnb/launchers.d/.wh..wh..opq", b"")], "refused", "no launcher is installed"),
    "opaque-usr": ([images.file("/usr/.wh..wh..opq", b"")], "does-not-start", _LINK),
}


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_extended(world: World, extension: str) -> None:
    """An extension's layers lie over the run image and stay over the next one; what they change of it decides."""
    members, kind, reason = EXTENSIONS[extension]
    tag = world.app(app("0.10"))
    manifest, image = world.layout.image(tag)
    layer = images.pack(members, "RUN apt-get install curl")
    blob = world.layout.put(layer.data, layer.media_type)
    image["rootfs"]["diff_ids"].insert(1, layer.diff_id)
    image["history"].insert(1, {"created_by": layer.created_by})
    blobs = [manifest["layers"][0], blob, *manifest["layers"][1:]]
    found = world.judge(world.put(f"{tag}-{extension}", blobs, image, (), {}), "two")
    assert found.kind == kind
    assert found.reason.startswith(reason)
    if kind != "unknown":
        assert world.prove(found.app, "two") == found


def test_not_rebasable(world: World) -> None:
    """That a rebase will refuse the image is said, but is no verdict."""
    tag = world.app(app("0.10"))
    manifest, image = world.layout.image(tag)
    image["config"]["Labels"]["io.buildpacks.rebasable"] = "false"
    found = world.judge(world.put(f"{tag}-fixed", manifest["layers"], image, (), {}), "two")
    assert (found.kind, found.notes) == ("starts", ("a rebase refuses it: its label io.buildpacks.rebasable is false",))


def test_large_metadata(world: World) -> None:
    """A bill of materials of 300 KB is read; one that is no metadata.toml any more is not."""
    found = world.prove(world.app(images.load_app("p06-bom300k")), "run17")
    assert found.kind == "starts"
    huge = metadata("0.10") + "".join([f'[[bom]]\nname = "{n:0200}"\n' for n in range(10_000)])
    found = world.judge(world.app(images.make_app("huge", huge, "0.12")), "two")
    assert (found.kind, found.reason) == ("unknown", "has a metadata.toml of 2129 KiB; 2048 are looked at")


@pytest.mark.parametrize(
    ("directory", "exit_code"),
    [("/srv/my", None), ("/srv/./my/", None), ("//srv//my/../my", None), ("/srv/x/../my", 1), ("", 12), ("/srv", 1)],
)
def test_other_layers_directory(world: World, directory: str, exit_code: int | None) -> None:
    """`CNB_LAYERS_DIR` says where metadata.toml is; a second one in the usual place does not matter."""
    layer = images.pack([images.file("/srv/my/config/metadata.toml", metadata("0.9").encode())])
    tag = world.app(app("0.12"), above=[layer])
    manifest, image = world.layout.image(tag)
    environ = [f"CNB_LAYERS_DIR={directory}" if "LAYERS_DIR" in entry else entry for entry in image["config"]["Env"]]
    found = world.prove(world.put(f"{tag}-moved", manifest["layers"], image, (), {"Env": environ}), "run17")
    assert found.exit_code == exit_code
    assert found.buildpacks == {None: (("acme/0", "0.9"),), 12: (("acme/0", "0.12"),), 1: ()}[exit_code]


def test_links_in_place_of_directories(world: World) -> None:
    """A link in place of a directory or a file is followed, as the kernel does."""
    record = metadata("0.10").encode()
    there = [images.folder("/srv"), images.folder("/srv/config"), images.file("/srv/config/metadata.toml", record)]
    moved = [images.file("/.wh.layers", b""), images.link("/layers", "srv")]
    for labels in (True, False):
        found = world.prove(world.app(app("0.10"), above=[images.pack(moved)], labels=labels), "two")
        assert (found.kind, found.exit_code) == ("refused", 1)
        followed = world.app(app("0.10"), above=[images.pack([*there, *moved])], labels=labels)
        assert world.prove(followed, "two").kind == "starts"
    link = images.link("/layers/config/metadata.toml", "/etc/metadata.toml")
    found = world.prove(world.app(app("0.10"), above=[images.pack([link])]), "two")
    assert (found.kind, found.exit_code) == ("refused", 1)
    file = images.file("/etc/metadata.toml", record)
    assert world.prove(world.app(app("0.10"), above=[images.pack([file, link])]), "two").kind == "starts"


def test_metadata_of_the_run_image(world: World) -> None:
    """A metadata.toml that only the run image has is not taken for the app's."""
    layer = images.pack([images.file("/layers/config/metadata.toml", metadata("0.10").encode())])
    run = world.run("with-metadata", world.rig.run_layer("0.21.17"), layer)
    gone = relabel(world, world.app(app("0.10")), {"config": {"sha": FULL}})
    manifest, image = world.layout.image(gone)
    kept = [number for number in range(len(manifest["layers"])) if number != 3]
    image["rootfs"]["diff_ids"] = [image["rootfs"]["diff_ids"][number] for number in kept]
    image["history"] = []
    found = world.judge(world.put("lost", [manifest["layers"][number] for number in kept], image, (), {}), run)
    assert found.kind == "unknown"
    assert found.reason == "takes its metadata.toml from the run image, at /layers/config/metadata.toml"


def test_dynamic_launcher(world: World) -> None:
    """A program of the app's own that is loaded by what the run image does not have does not start."""
    interpreter = b"/lib64/ld-linux-x86-64.so.2\0"
    program = bytearray(elf(size=400))
    program[64:68] = (3).to_bytes(4, "little")  # PT_INTERP
    program[72:80] = (200).to_bytes(8, "little")
    program[96:104] = len(interpreter).to_bytes(8, "little")
    program[200 : 200 + len(interpreter)] = interpreter
    tag = world.app(app("0.10"), "self-contained", executable=bytes(program))
    found = world.prove(tag, "two")
    assert (found.kind, found.exit_code, found.route) == ("does-not-start", 127, "binary")
    assert found.reason.endswith("is loaded by /lib64/ld-linux-x86-64.so.2, which the run image does not have")
    loader = images.pack([images.file("/lib64/ld-linux-x86-64.so.2", elf(), 0o755)])
    assert world.judge(tag, world.run("with-loader", world.rig.run_layer(), loader)).kind == "keeps-own-launcher"


def test_foreign_layers(world: World) -> None:
    """Layers that no registry holds matter only where they hold what decides."""
    tag = world.app(app("0.10"))
    manifest, image = world.layout.image(tag)
    foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    for number, kind in ((0, "starts"), (1, "starts"), (2, "unknown"), (3, "unknown"), (4, "unknown")):
        blobs = json.loads(json.dumps(manifest["layers"]))
        blobs[number] |= {"mediaType": foreign, "urls": ["https://example.com/layer"]}
        found = world.judge(world.put(f"{tag}-foreign{number}", blobs, json.loads(json.dumps(image)), (), {}), "two")
        assert found.kind == kind, number
        if kind == "unknown":
            assert found.reason == "has a foreign layer, which its registry does not hold"


def test_schema_1(world: World) -> None:
    """Docker's old manifests are refused clearly."""
    document = {"schemaVersion": 1, "name": "old", "tag": "latest", "fsLayers": [], "history": []}
    blob = world.layout.put(json.dumps(document).encode(), "application/vnd.docker.distribution.manifest.v1+prettyjws")
    world.layout.entries.append(blob | {"annotations": {images.REF_NAME: "schema1"}})
    world.layout.save()
    found = world.judge("schema1", "two")
    assert (found.kind, found.digest) == ("unknown", None)
    assert found.reason == "is an image of Docker's schema 1, which no registry takes any more"


def test_no_app_image(world: World) -> None:
    """What no buildpacks built has no launcher."""
    found = world.judge("old", "two")
    assert (found.kind, found.reason) == ("unknown", "is not an app image built by buildpacks: it has no launcher")


@pytest.mark.parametrize("number", [2, 3])
def test_damaged_layers(world: World, number: int) -> None:
    """A layer that is not what its digest says is never believed."""
    tag = world.app(app("0.10"))
    manifest, image = world.layout.image(tag)
    layer = images.pack([images.file("/damage", bytes([number]))])
    blobs = json.loads(json.dumps(manifest["layers"]))
    wrong = world.layout.put(layer.data, layer.media_type)
    world.layout.blob(wrong["digest"]).write_bytes(world.layout.blob(blobs[number]["digest"]).read_bytes())
    blobs[number] |= {"digest": wrong["digest"]}
    found = world.judge(world.put(f"{tag}-damaged", blobs, image, (), {}), "two")
    assert found.kind == "unknown"
    assert "digest" in found.reason
