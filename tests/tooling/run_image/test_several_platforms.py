"""Run images for several platforms, as an index has them: the commands look at each, or at the one asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from bundles import Tool, elf
from harness import PROJECT
from images import REF_NAME, Layout, base, file, folder, index, pack
from jsonschema import Draft202012Validator
from kit import FOLDER, Kit
from platforms import BOTH, MACHINES, Platforms, Shelf
from sboms import check_cyclonedx, check_spdx

DOCUMENTS = ("list --all", "lint", "labels", "matrix", "sbom --verify")


@pytest.fixture
def run(shelf: Shelf, tmp_path: Path) -> str:
    """Return a run image for two platforms."""
    return f"oci:{shelf.copy(tmp_path / 'shelf')}/runs:full"


@pytest.fixture
def lacking(run: str) -> str:
    """Return one that has fewer launchers for arm64."""
    return run.replace(":full", ":lacking")


def valid(name: str, document: Any) -> None:
    """Hold a document against its schema."""
    schema = json.loads((PROJECT / f"metalauncher/schemas/{name}.schema.json").read_text())
    Draft202012Validator(schema).validate(document)


def test_verify(tool: Tool, run: str) -> None:
    """Each platform's labels are verified, and each says so; where one is wrong, that one is named."""
    answer = tool("labels", "--verify", run)
    assert (answer.code, answer.out) == (0, "")
    assert answer.err == "linux/amd64: the labels are correct\nlinux/arm64: the labels are correct\n"
    for platform in MACHINES:
        assert tool("labels", "--verify", run, "--platform", platform).err == "the labels are correct\n"
    spoil_labels(run)
    answer = tool("labels", "--verify", run)
    assert answer.code == 1
    heading, first, *_ = answer.out.splitlines()
    assert (heading, first) == ("linux/arm64", "io.buildpacks.base.launcher.platform-apis: is not a list of versions")
    assert answer.err.splitlines()[:2] == ["linux/amd64: the labels are correct", f"linux/arm64: {run}: 1 label wrong"]
    answer = tool("labels", "--verify", run, "--json")
    valid("labels", answer.document)
    found = {one["platform"]: [each["label"] for each in one["mismatches"]] for one in answer.document["platforms"]}
    assert found == {"linux/amd64": [], "linux/arm64": ["io.buildpacks.base.launcher.platform-apis"]}


def layout_of(run: str) -> Layout:
    """Return the layout that an image is in, which holds no other from now on."""
    _, place, tag = run.split(":")
    layout = Layout(Path(place))
    layout.entries = [entry for entry in layout.entries if entry["annotations"][REF_NAME] == tag]
    return layout


def spoil_labels(run: str) -> None:
    """Let the labels of the image for arm64 say something else."""
    layout = layout_of(run)
    (entry,) = layout.entries
    children = layout.read(entry["digest"])["manifests"]
    for child, tag in zip(children, ("amd64", "arm64"), strict=True):
        layout.entries.append(child | {"annotations": {REF_NAME: tag}})
    layout.save()
    manifest, config = layout.image("arm64")
    config["config"]["Labels"]["io.buildpacks.base.launcher.platform-apis"] = "none"
    layout.add(config, manifest["layers"], "arm64")
    layout.save()
    index(layout.directory, {"linux/amd64": "amd64", "linux/arm64": "arm64"}, run.rpartition(":")[2])


def test_list_and_lint(tool: Tool, run: str) -> None:
    """Findings have a heading for each platform, talk names it, and one platform alone is as if it had no sisters."""
    both = tool("list", "--run-image", run)
    alone = [tool("list", "--run-image", run, "--platform", platform) for platform in MACHINES]
    assert {answer.code for answer in (both, *alone)} == {0}
    assert both.out == "".join([f"{platform}\n{one.out}" for platform, one in zip(MACHINES, alone, strict=True)])
    assert both.err == "linux/amd64: 2 launchers in effect\nlinux/arm64: 2 launchers in effect\n"
    assert [one.err for one in alone] == ["2 launchers in effect\n"] * 2
    answer = tool("lint", "--strict", "--run-image", run)
    assert (answer.code, answer.out) == (0, "")
    assert answer.err == "linux/amd64: clean: 2 descriptors checked\nlinux/arm64: clean: 2 descriptors checked\n"


def test_hostile_platform(tool: Tool, run: str) -> None:
    """What an index calls a platform does not reach the terminal as it is."""
    layout = layout_of(run)
    (entry,) = layout.entries
    amd, arm = layout.read(entry["digest"])["manifests"]
    layout.entries += [amd | {"annotations": {REF_NAME: "amd64"}}, arm | {"annotations": {REF_NAME: "arm64"}}]
    layout.save()
    named = {"linux/a\x1b[31m\nmd64": "amd64", "linux/arm64": "arm64"}
    hostile = index(layout.directory, named, "hostile")
    for command in ("list", "matrix"):
        answer = tool(command, "--run-image", hostile)
        assert answer.code == 0
        assert answer.out.splitlines()[0] == r"linux/a\x1b[31m\nmd64"
        assert "\x1b" not in answer.out + answer.err


@pytest.mark.parametrize("command", DOCUMENTS)
def test_documents(tool: Tool, run: str, tmp_path: Path, command: str) -> None:
    """One document has, by platform, what each would have alone; it obeys the schema, and so do they."""
    name, *options = command.split()
    if options == ["--verify"]:
        written = tmp_path / "sbom.json"
        assert tool("sbom", "--run-image", run, "--output", written).code == 0
        options.append(str(written))
    document = tool(name, *options, "--run-image", run, "--json").document
    valid(name, document)
    assert [one["platform"] for one in document["platforms"]] == list(MACHINES)
    for one in document["platforms"]:
        answer = tool(name, *options, "--run-image", run, "--json", "--platform", one["platform"])
        valid(name, answer.document)
        head = {key: document[key] for key in ("schema_version", "metalauncher")}
        assert answer.document == {**head, **{key: value for key, value in one.items() if key != "platform"}}


def test_a_finding_of_one_platform(kit: Kit) -> None:
    """What is wrong with one platform's image stands under its name alone, and decides the exit code."""
    layout = Layout(kit.folder / "mixed")
    launcher = [folder("usr"), file(f"{FOLDER}/0.21.17/launcher", elf(size=400), 0o755)]  # of x86-64, in both
    layers = [pack(launcher)]
    text = (PROJECT / "launchers.d/buildpacks_lifecycle@0.21.17.toml").read_bytes()
    layers.append(pack([file("usr/lib/cnb/launchers.d/buildpacks_lifecycle@0.21.17.toml", text)]))
    for go in ("amd64", "arm64"):
        base(layout.directory, layers, go, go)
    mixed = index(layout.directory, {"linux/amd64": "amd64", "linux/arm64": "arm64"}, "both")
    answer = kit.tool("lint", "--run-image", mixed)
    assert answer.code == 1
    lines = answer.out.splitlines()
    assert lines[0] == "linux/arm64"
    assert lines[1].endswith("/launcher: is for x86-64, not for arm64")
    assert len(lines) == 2
    assert answer.err == "linux/amd64: clean: 1 descriptor checked\nlinux/arm64: 1 error: 1 descriptor checked\n"
    listed = kit.tool("list", "--run-image", mixed, "--json").document["platforms"]
    assert [one["launchers"][0]["state"] for one in listed] == ["in-effect", "broken"]


def test_executable_of_another_platform(kit: Kit) -> None:
    """An image that says arm64 with everything in it for x86-64 is found, though all of that fits together."""
    answer = kit.tool(*kit.options())
    assert answer.code == 0
    manifest, config = Layout(kit.out).image("latest")
    out = Layout(kit.out)
    out.add({**config, "architecture": "arm64"}, manifest["layers"], "wrong")
    out.save()
    answer = kit.tool("lint", "--run-image", f"oci:{kit.out}:wrong")
    assert answer.code == 1
    assert answer.out == "/usr/bin/metalauncher: error: ML028: is for x86-64, and its image for arm64\n"


def test_index_that_contradicts_its_image(tool: Tool, run: str) -> None:
    """An index that has one platform's image for another one too is no sound run image, though the image itself is."""
    layout = layout_of(run)
    (entry,) = layout.entries
    layout.entries.append(layout.read(entry["digest"])["manifests"][0] | {"annotations": {REF_NAME: "amd64"}})
    layout.save()
    lying = index(layout.directory, {"linux/amd64": "amd64", "linux/arm64": "amd64"}, "lying")
    answer = tool("lint", "--run-image", lying)
    assert answer.code == 1
    message = "the index has it for linux/arm64, and its config says linux/amd64"
    assert answer.out == f"linux/arm64\n{lying}: error: ML028: {message}\n"
    assert answer.err == "linux/amd64: clean: 2 descriptors checked\nlinux/arm64: 1 error: 2 descriptors checked\n"
    answer = tool("labels", "--verify", lying)
    assert answer.code == 3
    assert f"ERROR: linux/arm64: --verify {lying}: {message}\n" in answer.err
    for command in ("list", "labels"):
        warning = (
            f"Warning: {lying}: the index has an image for linux/arm64, and its config says linux/amd64:"
            " what is said of linux/arm64 is of that image\n"
        )
        assert tool(command, "--run-image", lying).err.startswith(warning)


def test_baseline(platforms: Platforms, run: str) -> None:
    """Each platform is held against the baseline's image for it; where there was none, nothing is missed."""
    kit = platforms.kit
    platforms.bundles = [bundle for bundle in platforms.bundles if "0.21.17" in bundle.name]
    newer = f"oci:{kit.folder}/newer"
    platforms.build(*BOTH, "--base", "scratch", "--out", newer)
    answer = kit.tool("lint", "--run-image", newer, "--baseline", run)
    assert answer.code == 1
    assert [line for line in answer.out.splitlines() if "ML015" not in line] == list(MACHINES)
    alone = f"oci:{kit.folder}/alone"
    amd64 = [platforms.executables[0], platforms.bundles[0]]
    made = kit.tool(*("image", "--base", "scratch", "--executable", amd64[0], "--bundle", amd64[1], "--out", alone))
    assert made.code == 0
    answer = kit.tool("lint", "--run-image", newer, "--baseline", alone)
    assert (answer.code, answer.out) == (0, "")
    warning = (
        f"Warning: linux/arm64: --baseline {alone}: has no image for this platform: nothing was served there before"
    )
    assert warning in answer.err.splitlines()
    answer = kit.tool("lint", "--run-image", newer, "--baseline", alone, "--platform", "linux/arm64")
    assert answer.code == 3
    assert answer.err.startswith(f"ERROR: --baseline {alone}: is for linux/amd64, not for --platform linux/arm64\n")


def test_platforms_of_the_baseline(platforms: Platforms, run: str) -> None:
    """A platform that the baseline has and the run image has not is an error, once: its apps have nowhere to go."""
    kit = platforms.kit
    alone = f"oci:{kit.folder}/alone"
    amd64 = [platforms.executables[0], *[bundle for bundle in platforms.bundles if "x86" in bundle.name]]
    bundles = [word for bundle in amd64[1:] for word in ("--bundle", bundle)]
    assert kit.tool(*("image", "--base", "scratch", "--executable", amd64[0], *bundles, "--out", alone)).code == 0
    answer = kit.tool("lint", "--run-image", alone, "--baseline", run)
    assert answer.code == 1
    assert [line for line in answer.out.splitlines() if "ML015" in line] == [
        f"{alone}: error: ML015: linux/arm64: the baseline has an image for it, and now there is none:"
        " no app for it can be rebased"
    ]
    for same in (("--baseline", alone), ("--baseline", run, "--platform", "linux/amd64")):
        answer = kit.tool("lint", "--run-image", alone, *same)
        assert (answer.code, "ML015" in answer.out) == (0, False)
    assert "ML015" not in kit.tool("lint", "--run-image", run, "--baseline", run).out


def test_variants(platforms: Platforms, run: str) -> None:
    """A variant is no other machine: not to a baseline, nor to what a base is there for besides the image."""
    kit, layout = platforms.kit, layout_of(run)
    (entry,) = layout.entries
    for child, tag in zip(layout.read(entry["digest"])["manifests"], ("amd64", "arm64"), strict=True):
        layout.entries.append(child | {"annotations": {REF_NAME: tag}})
    layout.save()
    manifest, config = layout.image("amd64")
    layout.add(config | {"variant": "v2"}, manifest["layers"], "v2")
    layout.save()
    varied = index(layout.directory, {"linux/amd64/v2": "v2", "linux/arm64/v9": "arm64"}, "varied")
    alone = [f"oci:{layout.directory}:{tag}" for tag in ("amd64", "v2")]
    for now, before in ((run, varied), (varied, run), alone, reversed(alone)):
        answer = kit.tool("lint", "--run-image", now, "--baseline", before)
        assert (answer.code, answer.out) == (0, "")
    out = ("--executable", platforms.executables[0], "--bundle", platforms.bundles[0], "--out", f"oci:{kit.folder}/one")
    answer = kit.tool("image", "--base", varied, "--platform", "linux/amd64/v2", *out)
    assert "is also for" not in answer.err
    answer = kit.tool("image", "--base", varied, *out)
    assert (answer.code, f"--base {varied} is also for linux/arm64/v9, the image is not" in answer.err) == (0, True)


def test_one_platform_of_a_base(platforms: Platforms, run: str) -> None:
    """A base for several platforms, and an image for one of them, is warned of, unless it was asked for."""
    kit = platforms.kit
    out = ("--executable", platforms.executables[0], "--bundle", platforms.bundles[0], "--out", f"oci:{kit.folder}/one")
    warning = (
        f"Warning: --base {run} is also for linux/arm64, the image is not: apps for that can't be rebased"
        " onto it; to build for all: --platform linux/amd64 --platform linux/arm64"
    )
    for asked, warned in ((), True), (("--platform", "linux/amd64"), False):
        answer = kit.tool("image", "--base", run, *asked, *out)
        assert answer.code == 0
        assert (warning in answer.err.splitlines()) == warned


def test_labels(tool: Tool, run: str, lacking: str) -> None:
    """The same launchers give the same labels, which are printed once; where they differ a platform has to be named."""
    for form in ("dockerfile", "args"):
        both = tool("labels", "--run-image", run, "--format", form)
        alone = tool("labels", "--run-image", run, "--format", form, "--platform", "linux/arm64")
        assert both == alone
        assert both.code == 0
    answer = tool("labels", "--run-image", lacking)
    assert (answer.code, answer.out) == (3, "")
    assert answer.err.startswith("ERROR: the labels are not the same for every platform\n")
    assert "  need:    --platform, one of linux/amd64, linux/arm64\n" in answer.err
    found = tool("labels", "--run-image", lacking, "--json").document["platforms"]
    assert found[0]["labels"] != found[1]["labels"]
    assert tool("labels", "--run-image", lacking, "--platform", "arm64").code == 0


def test_sbom(tool: Tool, run: str, tmp_path: Path) -> None:
    """One SBOM is of all platforms, valid in either format, and says whose each file is: each can be verified by it."""
    for form in ("cyclonedx", "spdx"):
        written = tmp_path / f"{form}.json"
        answer = tool("sbom", "--run-image", run, "--format", form, "--output", written)
        assert answer.code == 0
        text = written.read_text()
        check_cyclonedx(text) if form == "cyclonedx" else check_spdx(json.loads(text))
        for options in ((), ("--platform", "linux/amd64"), ("--platform", "linux/arm64")):
            answer = tool("sbom", "--run-image", run, "--verify", written, *options)
            assert answer.code == 0
            assert answer.out.count("3 files as ") == (1 if options else 2)
        assert tool("sbom", "--run-image", run, "--format", form).out == text
    alone = tmp_path / "alone.json"
    assert tool("sbom", "--run-image", run, "--platform", "linux/arm64", "--output", alone).code == 0
    answer = tool("sbom", "--run-image", run, "--verify", alone)
    assert answer.code == 1
    assert answer.out.splitlines()[0] == "linux/amd64"
    assert "linux/arm64\n3 files as " in answer.out
    for form in ("cyclonedx", "spdx"):
        _verify_other_platforms(tool, run, tmp_path / f"{form}.json", form)
    answer = tool("sbom", "--root", tool.root, "--verify", tmp_path / "spdx.json")
    assert answer.code == 3
    assert "has two digests of /usr/" in answer.err
    assert ", of several platforms: name one with --platform\n" in answer.err


def _verify_other_platforms(tool: Tool, run: str, whole: Path, form: str) -> None:
    """Verify a document that lacks a platform, one for a platform too many, and one for that alone."""
    text = whole.read_text()
    changed = whole.with_name("changed.json")
    key = "components" if form == "cyclonedx" else "packages"
    document = json.loads(text)
    document[key] = [one for one in document[key] if "linux/arm64" not in json.dumps(one)]
    changed.write_text(json.dumps(document))
    answer = tool("sbom", "--run-image", run, "--verify", changed)
    assert (answer.code, answer.err) == (1, "")
    assert "linux/amd64\n3 files as " in answer.out
    assert answer.out.count(": the document has no digest of it\n") == 3
    assert tool("sbom", "--run-image", run, "--platform", "linux/arm64", "--verify", changed).code == 1
    assert tool("sbom", "--run-image", run, "--platform", "linux/amd64", "--verify", changed).code == 0
    more = [json.loads(json.dumps(one).replace("linux/arm64", "linux/riscv64")) for one in json.loads(text)[key]]
    document[key] = json.loads(text)[key] + [one for one in more if "linux/riscv64" in json.dumps(one)]
    changed.write_text(json.dumps(document))
    answer = tool("sbom", "--run-image", run, "--verify", changed)
    assert (answer.code, answer.err) == (1, "")
    assert answer.out.count("3 files as ") == 2
    extra = "linux/riscv64: the document has files for it, the run image has no image\n"
    assert answer.out.count(extra) == 1
    answer = tool("sbom", "--run-image", run, "--verify", changed, "--json")
    assert answer.code == 1
    found = answer.document["platforms"]
    assert [one.get("lacking") for one in found] == [["linux/riscv64"], None]
    valid("sbom", answer.document)
    for platform in MACHINES:
        assert tool("sbom", "--run-image", run, "--platform", platform, "--verify", changed).code == 0
    document[key] = [one for one in more if "linux/riscv64" in json.dumps(one)]
    changed.write_text(json.dumps(document))
    answer = tool("sbom", "--run-image", run, "--verify", changed)
    assert (answer.code, answer.err, answer.out.count(extra)) == (1, "", 1)


def test_vex(tool: Tool, run: str) -> None:
    """One VEX states of all platforms' files what each platform's states of its own."""
    both = tool("vex", "--run-image", run).document["statements"]
    alone = [tool("vex", "--run-image", run, "--platform", one).document["statements"] for one in MACHINES]
    assert all(alone)
    assert sorted(map(json.dumps, both)) == sorted(map(json.dumps, alone[0] + alone[1]))
    digests = {product["hashes"]["sha-256"] for one in both for product in one["products"]}
    assert len(digests) == 2


def test_platform_without_launchers(platforms: Platforms) -> None:
    """Where one platform can't be looked at, that one is named."""
    kit = platforms.kit
    answer = kit.tool("labels", "--verify", platforms.base)
    assert (answer.code, answer.out) == (3, "")
    assert answer.err.startswith(
        f"ERROR: linux/amd64: --verify {platforms.base}: the image has neither a launcher nor "
    )


def test_index_of_one(tool: Tool, run: str) -> None:
    """An index for one platform is that image: what is not Linux, or stands beside images, is none."""
    layout = layout_of(run)
    (entry,) = layout.entries
    arm = layout.read(entry["digest"])["manifests"][1]
    windows = arm | {"platform": {"os": "windows", "architecture": "amd64"}}
    unknown = arm | {"platform": {"os": "unknown", "architecture": "unknown"}}
    found = {"schemaVersion": 2, "manifests": [windows, arm, unknown]}
    kind = "application/vnd.oci.image.index.v1+json"
    layout.entries.append(layout.put(json.dumps(found).encode(), kind) | {"annotations": {REF_NAME: "one"}})
    layout.save()
    one = run.replace(":full", ":one")
    answer = tool("list", "--run-image", one)
    assert answer == tool("list", "--run-image", run, "--platform", "linux/arm64")
    assert answer.err == "2 launchers in effect\n"


def test_what_goes_wrong_is_said_of_the_image(kit: Kit) -> None:
    """An error about one platform's files names them as they are in the image, and a command that leads there."""
    layers = [pack([folder("usr"), file("usr/x", b"")])]
    for go in ("amd64", "arm64"):
        base(kit.folder / "empty", layers, go, go)
    name = index(kit.folder / "empty", {"linux/amd64": "amd64", "linux/arm64": "arm64"}, "both")
    answer = kit.tool("labels", "--run-image", name)
    assert (answer.code, answer.out) == (3, "")
    assert answer.err == (
        "ERROR: linux/amd64: there is no launcher to make labels of\n"
        "  need:    a valid descriptor, and its executable\n"
        "  have:    nothing usable in /etc/cnb/launchers.d or /usr/lib/cnb/launchers.d\n"
        f"  do:      metalauncher list --all --run-image {name} --platform linux/amd64\n"
    )
