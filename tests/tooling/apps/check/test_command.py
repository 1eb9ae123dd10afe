"""The command as people and CI use it: what it prints in each form, and with which exit code it ends."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import images
import pytest
from bundles import Answer, Tool, as_process
from harness import PROJECT
from jsonschema import Draft202012Validator
from layouts import Layout, file, packed
from rebased import World, descriptor, metadata, place
from registries import Reply, hostile

from metalauncher.tooling.apps.check.verdict import Result, from_json, from_line, to_json

OLD, NEW = "buildpacks/lifecycle@0.17.7", "buildpacks/lifecycle@0.21.17"


@pytest.fixture(scope="module")
def apps(world: World) -> dict[str, str]:
    """Return references: one app for each verdict."""
    made = images.make_app("fine", metadata("0.10"), "0.12")
    shell = images.pack([images.file("/bin/sh", world.rig.launcher, 0o755)])
    return {
        "fine": world.reference(world.app(made)),
        "old": world.reference(world.app(images.make_app("old", metadata("0.6"), "0.7"))),
        "own": world.reference(world.app(made, "self-contained", executable=world.rig.launcher)),
        "odd": world.reference(world.app(made, change={"Entrypoint": ["/bin/sh"]}, above=[shell])),
        "lost": world.reference("none-such"),
    }


@pytest.fixture
def check(tool: Tool, world: World) -> Any:
    """Return a function that checks apps on a run image."""

    def run(*arguments: str, on: str = "new", **environ: str) -> Answer:
        return tool("check", *arguments, "--run-image", world.reference(on), environ=environ)

    return run


def schema() -> Draft202012Validator:
    """Return what holds documents against the published schema."""
    return Draft202012Validator(json.loads((PROJECT / "metalauncher/schemas/check.schema.json").read_text()))


def test_exit_codes(check: Any, apps: dict[str, str]) -> None:
    """0: all start or keep their launcher; 1: one is at risk; 3: it can't be told of one, unless that is allowed."""
    assert check(apps["fine"], apps["own"]).code == 0
    assert check(apps["fine"], apps["old"], apps["odd"]).code == 1
    assert check(apps["fine"], on="bare").code == 1
    for unknown in ("odd", "lost"):
        assert check(apps["fine"], apps[unknown]).code == 3
        assert check(apps["fine"], apps[unknown], "--unknown", "warn").code == 0
        assert check(apps["old"], apps[unknown], "--unknown", "warn").code == 1


def test_regressions_alone(check: Any, apps: dict[str, str], world: World, tmp_path: Path) -> None:
    """An app that was dead before does not hold up a rebase; one that started, or may have, does."""
    only = ("--fail-on", "regressions", "--against")
    dead, old = world.reference("new"), world.reference("run17")
    assert check(apps["old"], apps["fine"], *only, dead).code == 0
    assert check(apps["old"], apps["fine"], *only, old).code == 1
    assert check(apps["old"], "--against", dead).code == 1
    answer = check(apps["old"], apps["fine"], apps["own"], *only, dead)
    assert "1 left alone (--fail-on regressions)" in answer.out.splitlines()
    document = check(apps["old"], apps["fine"], *only, dead, "--json").document
    assert (document["fail_on"], document["left_alone"], document["regressions"]) == ("regressions", 1, 0)
    assert list(schema().iter_errors(document)) == []
    lines = check(apps["old"], apps["fine"], *only, dead, "--format", "jsonl")
    assert lines.err == "1 left alone (--fail-on regressions)\n"
    assert check(apps["lost"], *only, dead).code == 3  # of which nothing is known
    assert check(apps["lost"], *only, dead, "--unknown", "warn").code == 0
    answer = check(apps["old"], "--fail-on", "regressions")
    assert (answer.code, answer.out) == (3, "")
    assert answer.err.startswith("ERROR: --fail-on regressions needs the old run image\n")
    file = str(tmp_path / "results")
    check(apps["old"], "--against", dead, "--resume", file)
    tool_answer = as_process("check", "--merge", file, "--fail-on", "regressions")
    assert (tool_answer.code, "1 left alone" in tool_answer.out) == (0, True)
    check(apps["old"], "--resume", str(tmp_path / "other"))
    tool_answer = as_process("check", "--merge", tmp_path / "other", "--fail-on", "regressions")
    assert (tool_answer.code, tool_answer.out) == (3, "")
    assert "these results say nothing of an old run image" in tool_answer.err


def test_wrong_names_are_errors(check: Any, tool: Tool, apps: dict[str, str], world: World, tmp_path: Path) -> None:
    """A run image as app, a platform that is not there, a folder too high: 3, whatever is tolerated."""
    tolerant = ("--unknown", "warn")
    world.run("labelled", world.rig.run_layer(), Labels={"io.buildpacks.stack.id": "acme"})
    answer = check(world.reference("labelled"), *tolerant)
    assert (answer.code, "is a run image: there is no app in it" in answer.out) == (3, True)
    layout, tag = world.layout, apps["fine"].rpartition(":")[2]
    (entry,) = [one for one in layout.entries if one["annotations"] == {images.REF_NAME: tag}]
    entry = {**entry, "platform": {"os": "linux", "architecture": "arm64"}}
    index = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    top = layout.put(index, f"{images.OCI}.index.v1+json")
    layout.entries.append(top | {"annotations": {images.REF_NAME: "indexed"}})
    layout.save()
    answer = check(world.reference("indexed"), *tolerant)
    assert (answer.code, "has no image for linux/amd64; it has linux/arm64" in answer.out) == (3, True)
    bundle = tmp_path / "bundle"
    (bundle / "rootfs/usr").mkdir(parents=True)
    (bundle / "rootfs/etc").mkdir()
    answer = check(f"dir:{bundle}", *tolerant)
    assert (answer.code, f"is not a root filesystem, but contains one: dir:{bundle}/rootfs" in answer.out) == (3, True)
    answer = tool("check", apps["fine"], "--run-image", apps["fine"], *tolerant)
    assert (answer.code, answer.out) == (3, "")
    assert "is an app image, not a run image" in answer.err


def test_text(check: Any, apps: dict[str, str]) -> None:
    """Those at risk first, with reason and remedy; then what can't be told, then the rest; last what is to be done."""
    few = [line for line in check(*apps.values()).out.splitlines() if line.startswith("oci:")]
    answer = check(*apps.values(), "--all")
    lines = answer.out.splitlines()
    assert lines[0] == f"{apps['old']}: would be refused, exit code 12"
    assert lines[1] == (
        "  why:     failed to set API for buildpack 'acme/0': buildpack API version '0.6' is incompatible with the"
        " lifecycle"
    )
    assert (
        lines[2]
        == "  do:      add a launcher for all of these APIs to the run image: lifecycle 0.12.0 to 0.17.7 has one"
    )
    assert "the only launcher" not in answer.out  # of an app that starts that says nothing
    verdicts = [line.rpartition(": ")[2] for line in lines if line.startswith("oci:")]
    assert verdicts == [
        "would be refused, exit code 12",
        "unknown",
        "unknown",
        f"starts with {NEW}",
        "keeps its own launcher",
    ]
    assert few == [line for line in lines if line.startswith("oci:")][:3]  # what needs a decision
    assert "  which:   launcher 0.20.20 (release: image label)" in lines
    assert f"add to the run image: {OLD}" in lines
    assert lines[-1].startswith("13 layers of ")
    assert lines[-1].endswith(
        "looked through; 3 of 5 verdicts assume that layers that lifecycle's label names hold what its exporter writes;"
        " --thorough reads those too"
    )
    thorough = check(*apps.values(), "--thorough").out
    assert "verdicts assume" not in thorough
    assert "nothing is assumed" in thorough
    assert answer.err == ""


def test_bundles_help(world: World, check: Any, apps: dict[str, str]) -> None:
    """With the launchers that it names, the apps do start."""
    (named,) = check(apps["old"], "--json").document["bundles"]
    assert named == OLD
    assert check(apps["old"], on="two").code == 0
    document = check(*apps.values(), "--json", on="none").document
    assert document["bundles"] == [OLD]
    assert [result["exit_code"] for result in document["results"] if result["kind"] == "refused"] == [80, 80]
    assert check(apps["fine"], apps["old"], on="run17").code == 0
    beyond = world.reference(world.app(images.make_app("beyond", metadata("0.99"), "0.12")))
    assert check(beyond, "--json").document["bundles"] == []


def test_json(check: Any, apps: dict[str, str], world: World) -> None:
    """One document that obeys its schema and says all that is known."""
    answer = check(*apps.values(), "--against", world.reference("run17"), "--json")
    document = answer.document
    assert (answer.code, answer.err) == (1, "")
    assert list(schema().iter_errors(document)) == []
    assert document["counts"] == {"starts": 1, "refused": 1, "does-not-start": 0, "keeps-own-launcher": 1, "unknown": 2}
    assert (document["complete"], document["regressions"], document["platform"]) == (True, 1, "linux/amd64")
    assert document["run_image"]["launchers"] == [NEW]
    assert document["against"]["launchers"] == [OLD]
    assert document["run_image"]["registry_digest"] != document["against"]["registry_digest"]
    results = {result["app"]: from_json(result) for result in document["results"]}
    assert [to_json(result) for result in results.values()] == document["results"]
    old = results[apps["old"]]
    assert (old.kind, old.exit_code, old.platform_api, old.buildpacks) == ("refused", 12, "0.7", (("acme/0", "0.6"),))
    assert (old.regressed, str(old.before and old.before.launcher)) == (True, OLD)
    assert results[apps["lost"]].reason.startswith("there is no image 'none-such'; there is ")
    assert results[apps["lost"]].digest is None


def test_jsonl(check: Any, apps: dict[str, str]) -> None:
    """First what was asked, then a result a line."""
    answer = check(*apps.values(), "--format", "jsonl")
    first, *rest = answer.out.splitlines()
    assert json.loads(first)["apps"] == len(apps)
    results: list[Result] = [from_line(line) for line in rest]
    assert {result.app for result in results} == set(apps.values())
    whole: Any = schema().schema
    of_lines = Draft202012Validator({**whole["$defs"]["result"], "$defs": whole["$defs"]})
    assert [list(of_lines.iter_errors(json.loads(line))) for line in rest] == [[]] * len(apps)


def test_lists(check: Any, apps: dict[str, str], tmp_path: Path) -> None:
    """Apps come from files as well, with comments and as lines of JSON."""
    file = tmp_path / "apps"
    file.write_text(f"# the fleet\n{apps['fine']}\n\n" + json.dumps({"app": apps["own"]}) + "\n")
    document = check("--from", str(file), "--json").document
    assert {result["app"] for result in document["results"]} == {apps["fine"], apps["own"]}


def test_stdin(apps: dict[str, str], world: World) -> None:
    """`-` is a list on stdin."""
    command = [sys.executable, "-m", "metalauncher", "check", "-", "--run-image", world.reference("two"), "--json"]
    run = subprocess.run(
        command, cwd=PROJECT, input=apps["old"] + "\n", env={}, capture_output=True, text=True, timeout=120
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert [result["app"] for result in json.loads(run.stdout)["results"]] == [apps["old"]]


def test_archive_and_directory(check: Any, tool: Tool, apps: dict[str, str], world: World, tmp_path: Path) -> None:
    """What `docker save` wrote, a bundle, and a root in place of a run image are read alike."""
    tag = apps["fine"].rpartition(":")[2]
    manifest, config = world.layout.image(tag)
    archive = tmp_path / "app.tar"
    names = [f"{number}.tar" for number in range(len(manifest["layers"]))]
    data = json.dumps(config).encode()
    entry = {"Config": "config.json", "RepoTags": ["app:1"], "Layers": names}
    members = [images.file("config.json", data), images.file("manifest.json", json.dumps([entry]).encode())]
    for name, blob in zip(names, manifest["layers"], strict=True):
        members.append(images.file(name, world.layout.blob(blob["digest"]).read_bytes()))
    archive.write_bytes(images.tar(members))
    document = check(f"docker-archive:{archive}", "--json", on="two").document
    assert [result["kind"] for result in document["results"]] == ["starts"]
    bundle = tmp_path / "bundle"
    shutil.copytree(world.rebase(tag, "new"), bundle / "rootfs", symlinks=True)
    process = {"args": ["/cnb/process/web"], "env": config["config"]["Env"]}
    (bundle / "config.json").write_text(json.dumps({"process": process}))
    for option in ("--root", "--registry-root"):
        answer = tool("check", f"dir:{bundle}/rootfs", option, f"{bundle}/rootfs", "--json")
        assert [(one["kind"], one["launcher"]["version"]) for one in answer.document["results"]] == [
            ("starts", "0.21.17")
        ]
        assert answer.document["run_image"]["digest"] is None
    assert check(apps["fine"], "--against", f"dir:{bundle}/rootfs", "--json").document["against"]["launchers"] == [NEW]


def test_markdown_and_page(check: Any, apps: dict[str, str], tmp_path: Path) -> None:
    """A comment for a pull request on stdout; a page in a file, and on stderr what it comes to."""
    answer = check(*apps.values(), "--format", "markdown")
    assert answer.code == 1
    assert answer.out.startswith("## ")
    assert apps["old"] in answer.out
    page = tmp_path / "report.html"
    answer = check(*apps.values(), "--format", "html", "--output", str(page))
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == "".join(check(*apps.values()).out.partition(f"{len(apps)} apps under ")[1:])
    assert apps["old"] in page.read_text()
    assert page.stat().st_mode & 0o777 == 0o644
    answer = check("oci:/none-such", "--format", "html", "--output", str(tmp_path / "none-such/report.html"))
    assert (answer.code, answer.out) == (3, "")
    assert answer.err.startswith(f"ERROR: --output: '{tmp_path}/none-such/report.html': no such file or directory\n")


def test_resume(check: Any, apps: dict[str, str], tmp_path: Path) -> None:
    """What an earlier run found is taken over, but for what it could not tell."""
    file = tmp_path / "results.jsonl"
    whole = check(*apps.values(), "--json").document
    check(apps["old"], apps["odd"], "--resume", str(file))
    answer = check(*apps.values(), "--resume", str(file), "--json")
    assert answer.err == f"1 result taken over from {file}\n"
    assert answer.document == whole
    answer = check(*apps.values(), "--resume", str(file), on="two")
    assert (answer.code, answer.out) == (3, "")
    assert "belongs to another run" in answer.err


def test_an_empty_part(check: Any, apps: dict[str, str]) -> None:
    """Of one app all parts but one are empty: they are done at once, and find nothing."""
    answers = [check(apps["fine"], "--shard", f"{part}/3", "--json") for part in (1, 2, 3)]
    assert [answer.code for answer in answers] == [0, 0, 0]
    assert sorted([len(answer.document["results"]) for answer in answers]) == [0, 0, 1]


@pytest.mark.parametrize("text", ["", "\n# oci:app\n"])
def test_an_empty_list(check: Any, tmp_path: Path, text: str) -> None:
    """A fleet without an app is a mistake, and no good news."""
    (tmp_path / "apps.txt").write_text(text)
    answer = check("--from", str(tmp_path / "apps.txt"))
    assert (answer.code, answer.out) == (3, "")
    assert answer.err.startswith(
        f"ERROR: --from {tmp_path}/apps.txt: no app is named there\n  need:    an app on each line"
    )


def test_the_root_of_this_machine(apps: dict[str, str]) -> None:
    """`--root /` is a directory like any other; what is wrong with one is said before its files are read."""
    try:
        said = as_process("check", apps["fine"], "--root", "/", "--no-cache").err
    except subprocess.TimeoutExpired as many_files:
        said = (many_files.stderr or b"").decode()
    assert "there is no such directory" not in said


def test_shards(check: Any, apps: dict[str, str]) -> None:
    """The parts of a list make up the whole."""
    parts = [check(*apps.values(), "--shard", f"{part}/3", "--json").document for part in (1, 2, 3)]
    assert sorted([one["app"] for part in parts for one in part["results"]]) == sorted(apps.values())


WRONG = {
    "no run image": (("oci:x",), "no run image is given"),
    "two run images": (("oci:x", "--run-image", "oci:y", "--root", "/"), "--run-image and --root are both given"),
    "no app": (("--run-image", "oci:x"), "no app is given"),
    "no image": (("oci:", "--run-image", "oci:x"), "'oci:' names no place"),
    "no run image's name": (("oci:x", "--run-image", "oci:"), "'oci:' names no place"),
    "no such run image": (("oci:x", "--run-image", "oci:/none-such"), "oci:/none-such: there is no such directory"),
    "no such archive": (
        ("oci:x", "--run-image", "docker-archive:/none-such"),
        "docker-archive:/none-such: is not there",
    ),
    "no such root": (("oci:x", "--run-image", "dir:/none-such"), "dir:/none-such: there is no such directory"),
    "no such root directory": (("oci:x", "--root", "/none-such"), "--root: '/none-such' is not a directory"),
    "platform": (
        ("oci:x", "--run-image", "oci:x", "--platform", "amd46"),
        "argument --platform: 'amd46' is not a platform, OS/ARCH[/VARIANT] such as linux/amd64 or linux/arm64",
    ),
    "mirror": (("oci:x", "--run-image", "oci:x", "--mirror", "x"), "--mirror: 'x' is not HOST=URL"),
    "formats": (
        ("oci:x", "--run-image", "oci:x", "--json", "--format", "jsonl"),
        "argument --format: not allowed with --json",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_command_lines(tool: Tool, wrong: str) -> None:
    """They are refused, with what was needed and a command to run."""
    arguments, headline = WRONG[wrong]
    answer = tool("check", *arguments)
    assert (answer.code, answer.out) == (3, "")
    assert answer.err.startswith(f"ERROR: {headline}")
    assert "metalauncher" in answer.err or "ls -ld" in answer.err


@pytest.mark.parametrize("platform", ["linux/x86_64", "amd64", "linux/amd64/v1", "x86_64"])
def test_platform_however_it_is_written(check: Any, apps: dict[str, str], platform: str) -> None:
    """What other tools call this platform is this platform; reports have it in Go's names."""
    answer = check(apps["fine"], "--platform", platform, "--json")
    assert (answer.code, answer.err) == (0, "")
    assert answer.document["platform"] == "linux/amd64"


def test_platform_that_the_run_image_is_not_for(tool: Tool, check: Any, world: World, apps: dict[str, str]) -> None:
    """A platform that was asked for is not passed over where the run image is for another one: nothing is proved."""
    answer = check(apps["fine"], "--platform", "linux/arm64")
    assert (answer.code, answer.out) == (3, "")
    reason = "is for linux/amd64, not for --platform linux/arm64"
    assert answer.err.startswith(f"ERROR: {world.reference('new')}: {reason}\n")
    assert answer.err.splitlines()[-2:] == [
        "  do:      name the run image for linux/arm64, or leave --platform out",
        f"           metalauncher list --run-image {world.reference('new')}",
    ]
    answer = tool("labels", "--verify", world.reference("new"), "--platform", "aarch64")
    assert (answer.code, answer.out) == (3, "")
    assert answer.err.startswith(f"ERROR: --verify {world.reference('new')}: {reason}\n")


def test_files_that_are_taken_for_names(
    tool: Tool, check: Any, apps: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list, an archive or a layout that lies here is not asked for at Docker Hub; how to name it is said."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fleet.txt").write_text(f"{apps['fine']}\n")
    (tmp_path / "images").mkdir()
    (tmp_path / "images/oci-layout").write_text("{}")
    answer = check("fleet.txt")
    assert (answer.code, answer.out) == (3, "")
    assert answer.err.splitlines()[0] == (
        "ERROR: 'fleet.txt' is a file here, and no image's name: an archive is docker-archive:fleet.txt or"
        " oci-archive:fleet.txt; a list of apps is read with --from fleet.txt"
    )
    assert check("images").err.startswith("ERROR: 'images' is a layout here: write oci:images; a list of apps")
    assert check("--from", "fleet.txt").code == 0
    answer = tool("check", apps["fine"], "--run-image", "fleet.txt")
    assert (answer.code, answer.err.splitlines()[0]) == (
        3,
        "ERROR: 'fleet.txt' is a file here, and no image's name: an archive is docker-archive:fleet.txt or"
        " oci-archive:fleet.txt",
    )


def test_app_and_run_image_confused(tool: Tool, check: Any, apps: dict[str, str], tmp_path: Path) -> None:
    """An app image as the run image proves nothing; a run image as the app is no app to be rebuilt."""
    answer = tool("check", apps["fine"], "--run-image", apps["fine"])
    assert (answer.code, answer.out) == (3, "")
    reason = "is an app image, not a run image: it has the label io.buildpacks.lifecycle.metadata"
    assert answer.err.startswith(f"ERROR: {apps['fine']}: {reason}\n")
    assert answer.err.splitlines()[-2:] == [
        "  do:      name the run image, not an app",
        "           metalauncher check --help",
    ]
    for number, config in enumerate(
        (
            {"Entrypoint": ["/usr/lib/cnb/launcher"]},
            {"Labels": {"io.buildpacks.run.launcher.path": "/usr/lib/cnb/launcher"}, "Cmd": ["sh"]},
        )
    ):
        made = Layout(tmp_path / str(number)).image(packed(file("usr/lib/os-release")), config={"config": config})
        answer = check(f"oci:{made.directory}")
        assert answer.code == 3
        assert answer.out.splitlines()[:2] == [
            f"oci:{made.directory}: unknown",
            "  why:     is a run image: there is no app in it",
        ]


@pytest.mark.parametrize("command", ["list", "lint", "matrix", "probe", "check", "check dir:"])
def test_root_one_folder_too_high(tool: Tool, apps: dict[str, str], tmp_path: Path, command: str) -> None:
    """The folder around a root filesystem is not taken for one without launchers: nothing starts there, or is clean."""
    rootfs = tmp_path / "bundle/rootfs"
    (rootfs / "usr/lib/cnb/launchers.d").mkdir(parents=True)
    if command == "check dir:":
        answer = tool("check", apps["fine"], "--run-image", f"dir:{rootfs.parent}")
        expected = f"dir:{rootfs.parent}: is not a root filesystem, but contains one: dir:{rootfs}"
    else:
        answer = tool(command, *([apps["fine"]] if command == "check" else []), "--root", rootfs.parent)
        expected = f"--root: {str(rootfs.parent)!r} is not a root filesystem, but contains one"
        assert f"  do:      name {rootfs}, or whichever is meant\n" in answer.err
    assert (answer.code, answer.out) == (3, "")
    assert answer.err.startswith(f"ERROR: {expected}\n")


def test_as_process(apps: dict[str, str], world: World, tmp_path: Path) -> None:
    """It runs as the installed command, leaves nothing behind, and needs no home."""
    environ = {"TMPDIR": str(tmp_path), "PATH": os.environ["PATH"]}
    run = as_process("check", apps["fine"], "--run-image", world.reference("two"), environ=environ)
    assert (run.code, run.err) == (0, "")
    assert list(tmp_path.iterdir()) == []


def test_page_is_reproducible(tool: Tool, world: World, apps: dict[str, str], tmp_path: Path) -> None:
    """With SOURCE_DATE_EPOCH the same question gives the same page; what is no time is refused before the work."""
    words = ("check", apps["fine"], "--run-image", world.reference(world.run("page", world.rig.run_layer("0.17.7"))))
    epoch, wrong = {"SOURCE_DATE_EPOCH": "1700000000"}, {"SOURCE_DATE_EPOCH": "now"}
    first, second = (tool(*words, "--format", "html", environ=epoch) for _ in range(2))
    assert first == second
    assert '<time datetime="2023-11-14T22:13:20Z">2023-11-14 22:13 UTC</time>' in first.out
    assert f"<code>metalauncher {shlex.join(words)} --format html</code>" in first.out
    journal = tmp_path / "journal.jsonl"
    answer = tool(*words, "--format", "html", "--resume", str(journal), environ=wrong)
    assert (answer.code, answer.out) == (3, "")
    assert answer.err.startswith("ERROR: SOURCE_DATE_EPOCH: 'now' is not seconds since 1970\n")
    assert not journal.exists()
    assert tool(*words, environ=wrong).code == 0  # the text has no time


def test_launchers_that_cant_start(tool: Tool, world: World, apps: dict[str, str], tmp_path: Path) -> None:
    """The matrix agrees with the verdict: a launcher that can't be exec'd runs nothing; also after a merge."""
    layer = world.rig.run_layer(more=[images.file("/usr/lib/cnb/launchers.d/x.toml", descriptor("0.21.17"))])
    broken = world.reference(world.run("command-82", layer))
    results = tmp_path / "results.jsonl"
    answer = tool("check", apps["fine"], "--run-image", broken, "--resume", str(results))
    assert (answer.code, answer.err) == (1, "")
    assert answer.out.splitlines()[0] == f"{apps['fine']}: would be refused, exit code 82"
    assert "Platform API 0.12, Buildpack API 0.10       1  can't start" in answer.out
    again = tool("check", "--merge", str(results))
    assert (again.code, again.out) == (1, answer.out)
    page = tool("check", apps["fine"], "--run-image", broken, "--format", "html").out
    merged = tool("check", "--merge", str(results), "--format", "html").out
    made = re.compile("<div><dt>(?:Made|Command)</dt>.*\n")
    assert len(made.findall(page)) == len(made.findall(merged)) == 2
    assert f"<dd><code>metalauncher check --merge {results} --format html</code></dd>" in merged
    assert made.sub("", merged) == made.sub("", page)
    assert "<small>none that covers it can be started</small>" in page
    document = tool("check", apps["fine"], "--run-image", broken, "--json").document
    assert list(schema().iter_errors(document)) == []


@pytest.mark.parametrize("change", ["gone", "closed", "other", "metalauncher"])
def test_resume_over_a_changed_directory(
    tool: Tool, world: World, apps: dict[str, str], tmp_path: Path, change: str
) -> None:
    """An unpacked run image has no digest: results are taken over only while its executables are the same."""
    root = tmp_path / "run"
    root.mkdir()
    for blob in world.layout.image("new")[0]["layers"]:
        images.unpack(world.layout.blob(blob["digest"]).read_bytes(), root)
    command = ("check", apps["fine"], "--run-image", f"dir:{root}", "--resume", str(tmp_path / "results.jsonl"))
    assert tool(*command).code == 0
    (root / "var").mkdir()  # what does not decide does not matter
    assert tool(*command).code == 0
    launcher = root / place("0.21.17")[1:]
    match change:
        case "gone":
            launcher.unlink()
        case "closed":
            launcher.chmod(0o644)
        case "other":
            launcher.write_bytes(launcher.read_bytes()[:-1] + b"x")
        case _:
            (root / "usr/bin/metalauncher").unlink()
    answer = tool(*command)
    assert (answer.code, answer.out) == (3, "")
    assert f"belongs to another run: its run image is dir:{root}" in answer.err
    assert "keep that file, and start a new one" in answer.err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, 130)])
def test_interrupted_while_the_run_image_is_read(
    apps: dict[str, str], tmp_path: Path, number: signal.Signals, code: int
) -> None:
    """Nothing of it is left in the temporary directory."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        host = f"127.0.0.1:{server.getsockname()[1]}"
        command = [sys.executable, "-m", "metalauncher", "check", apps["fine"], "--run-image", f"{host}/run:1"]
        environ = {"TMPDIR": str(tmp_path), "HOME": str(tmp_path / "home")}
        process = subprocess.Popen(
            [*command, "--insecure", host, "--no-cache"], cwd=PROJECT, env=environ, stderr=subprocess.DEVNULL
        )
        connection, _ = server.accept()  # and never an answer
        with connection:
            assert [path.name.startswith("metalauncher-check-") for path in tmp_path.iterdir()] == [True]
            process.send_signal(number)
            assert process.wait(60) == code
    assert list(tmp_path.iterdir()) == []


def test_what_can_not_be_had_is_said_with_what_to_do(tool: Tool, apps: dict[str, str], tmp_path: Path) -> None:
    """A list that is not there, and a run image whose registry does not answer, or that is none."""
    answer = tool("check", "--from", f"{tmp_path}/none", "--run-image", "oci:/run")
    assert (answer.code, answer.out) == (3, "")
    assert answer.err.splitlines() == [
        f"ERROR: --from: {tmp_path}/none: no such file or directory",
        "  need:    a list that can be read, or - for stdin",
        f"  do:      ls -l {tmp_path}/none",
    ]
    assert "--from: /: is a directory" in tool("check", "--from", "/", "--run-image", "oci:/run").err
    with socket.create_server(("127.0.0.1", 0)) as server:
        host = f"127.0.0.1:{server.getsockname()[1]}"
    answer = tool("check", apps["fine"], "--run-image", f"{host}/run:1", "--insecure", host, "--no-cache")
    assert answer.code == 3
    assert answer.err.splitlines()[-2:] == [
        "  do:      check that the registry answers, and has the image",
        f"           skopeo inspect docker://{host}/run:1",
    ]
    with hostile(lambda _: Reply("401 Unauthorized", headers={"WWW-Authenticate": "Basic realm=x"})) as registry:
        answer = tool("check", apps["fine"], "--run-image", f"{registry.host}/org/run:1", "--no-cache")
    assert answer.code == 3
    assert answer.err.splitlines()[-2:] == [
        "  do:      log in as a user who may read it (docs/reference/container-registries.md)",
        f"           skopeo login {registry.host}",
    ]
    answer = tool("check", apps["fine"], "--run-image", f"oci:{tmp_path}/none")
    assert answer.code == 3
    assert answer.err.splitlines()[-2:] == ["  do:      look at what is there", f"           ls -ld {tmp_path}/none"]
