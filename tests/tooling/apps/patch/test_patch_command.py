"""`patch` as a program, over a real registry: planned, reviewed, applied; what is refused, and what is left alone."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import images
import pytest
from containers import need
from harness import PROJECT
from jsonschema import Draft202012Validator, ValidationError
from patching import LABEL, RUN, Yard
from rebased import World
from registries import RealRegistry, digest_of, start_registry

from metalauncher.tooling.cli.schema import text as schema


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    """Return a registry."""
    need("docker-registry")
    found = start_registry(tmp_path_factory.mktemp("registry"), log=True)
    yield found
    found.close()


@pytest.fixture
def yard(world: World, tmp_path: Path, registry: RealRegistry) -> Yard:
    """Return a registry with a run image that has metalauncher; apps have repositories of their own for each test."""
    found = Yard(registry, world, tmp_path)
    found.push("two", RUN)
    found.team = tmp_path.name.lower().replace("_", "-")
    return found


def valid(name: str, document: Any) -> None:
    """Hold a document against its schema."""
    Draft202012Validator(json.loads(schema(name))).validate(document)


def test_planned_and_applied(yard: Yard, tmp_path: Path) -> None:
    """A plan writes nothing but its journal; applied, the app is there under its target, proved, and recorded."""
    app = yard.app("app:1")
    before = yard.digest("app:1")
    answer = yard.plan("app:1")
    assert (answer.code, answer.err) == (0, ""), answer
    assert f"{app}: to be written" in answer.out
    assert f"nothing is written yet: review the plan, then metalauncher patch --apply {yard.journal}" in answer.out
    assert yard.digest("app:1-shim") is None
    entry = yard.entries()["app:1"]
    assert (entry["app"], entry["decision"], entry["digest"]) == (app, "planned", before)
    assert (entry["before"], [proof["kind"] for proof in entry["proofs"]]) == ("keeps-own-launcher", ["starts"] * 2)
    assert [(proof["over"], proof["run_image"]) for proof in entry["proofs"]] == [
        ("inside", ""),
        ("named", yard.name(RUN)),
    ]
    assert [(proof["covering"], proof["remaining"]) for proof in entry["proofs"]] == [(2, 1)] * 2
    assert entry["launcher"]["path"] == images.LIFECYCLE

    answer = yard.apply("--record", str(tmp_path / "records"))
    assert (answer.code, answer.err) == (0, ""), answer
    assert f"{app}: written" in answer.out
    progress = yard.progress()["app:1"]
    assert yard.digest("app:1-shim") == entry["new_digest"] == progress["digest"]
    assert (yard.digest("app:1"), progress["sent"] < 8192) == (before, True)
    (record,) = (tmp_path / "records").iterdir()
    predicate = json.loads(record.read_text())
    valid("patch-record", predicate)
    assert record.name == f"{yard.name(yard.full('app:1-shim')).replace('/', '%2F')}.json"
    assert (predicate["source"]["digest"], predicate["target"]["digest"]) == (before, entry["new_digest"])

    whole = yard.journal.read_bytes()
    document = json.loads(yard.apply("--json").out)
    valid("patch", document)
    assert (document["counts"]["written"], document["complete"], yard.journal.read_bytes()) == (1, True, whole)
    (found,) = document["apps"]
    stands = found["outcome"], found["entry"]["decision"], found["progress"]["state"]
    assert stands == ("written", "planned", "written")
    for odd in ({"outcome": "planned"}, {"outcome": "refused"}, {"progress": None}):  # what contradicts itself is none
        with pytest.raises(ValidationError):
            valid("patch", document | {"apps": [found | odd]})
    for line in yard.lines():
        valid("patch-journal", line)
    again = yard.plan("app:1")
    assert (again.code, yard.journal.read_bytes()) == (0, whole)


def test_the_same_plan_anywhere(yard: Yard) -> None:
    """The digests do not depend on when and where it is made."""
    yard.app("app:1")
    yard.plan("app:1")
    first = yard.entries()
    yard.journal.unlink()
    yard.plan("app:1", options=("--jobs", "1", "--cache", str(yard.folder / "cache")))
    assert yard.entries() == first


@pytest.mark.parametrize("launcher", ["shim", "symlink"])
def test_what_was_written_starts(launcher: str, yard: Yard) -> None:
    """The patched image is what `check` says that starts, by the route that was asked for."""
    yard.app("app:1")
    yard.plan("app:1", launcher=launcher)
    assert yard.apply().code == 0
    name = yard.name(yard.full("app:1-shim"))
    answer = yard.run(name, "--run-image", yard.name(RUN), "--json", command="check")
    (result,) = json.loads(answer.out)["results"]
    assert (result["kind"], result["route"]) == ("starts", launcher)


# How an app is made, the options of its plan, and what is said of it: exit code, outcome and code.
CASES: dict[str, tuple[dict[str, Any], tuple[str, ...], int, str, str]] = {
    "bare": ({"named": "base/bare:1"}, (), 1, "refused", "named-without-metalauncher"),
    "missing": ({"named": "base/nothing:1"}, (), 1, "refused", "named-unreadable"),
    "local": ({"label": {"runImage": {"image": "oci:/etc:x"}}}, (), 1, "refused", "no-run-image-inside"),
    "unnamed": ({"named": None}, (), 1, "refused", "no-named-run-image"),
    "inside": ({"on": "bare"}, (), 1, "refused", "inside-without-metalauncher"),
    "uncovered": ({"platform_api": "0.99"}, (), 1, "refused", "does-not-start"),
    "uncovered-force": ({"platform_api": "0.99"}, ("--force",), 1, "refused", "does-not-start"),
    "launchers": ({"on": "none"}, (), 1, "refused", "does-not-start"),
    "named-launchers": ({"named": "base/none:1"}, (), 1, "refused", "does-not-start"),
    "entrypoint": ({"change": {"Entrypoint": ["/workspace/x"]}}, (), 1, "refused", "does-not-start"),
    "shim": ({"route": "shim"}, (), 0, "left-alone", "delegates"),
    "symlink": ({"route": "symlink"}, (), 0, "left-alone", "delegates"),
    "by-entrypoint": ({"change": {"Entrypoint": ["/usr/lib/cnb/launcher"]}}, (), 0, "left-alone", "starts-already"),
    "by-link-above": (
        {"above": [images.pack([images.link("cnb/lifecycle/launcher", "/usr/lib/cnb/launcher")])]},
        ("--force",),
        0,
        "left-alone",
        "starts-already",
    ),
    "by-shim-above": (
        {"above": [images.pack([images.file("cnb/lifecycle/launcher", b"#!/usr/bin/metalauncher --launch\n", 0o755)])]},
        (),
        0,
        "left-alone",
        "starts-already",
    ),
    "match": ({}, ("--must-match-sha", "sha256:" + "0" * 64), 0, "left-alone", "not-matched"),
    "rebasable": ({"labels": {"io.buildpacks.rebasable": "false"}}, (), 1, "refused", "not-rebasable"),
    "rebasable-force": ({"labels": {"io.buildpacks.rebasable": "false"}}, ("--force",), 0, "planned", ""),
    "unknown": ({"change": {"Volumes": {"/cnb/lifecycle": {}}}}, (), 1, "refused", "unknown"),
    "unknown-force": ({"change": {"Volumes": {"/cnb/lifecycle": {}}}}, ("--force",), 0, "planned", ""),
    "platform": ({}, ("--platform", "linux/arm64"), 0, "planned", ""),  # what is alone is taken as it is
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_not_planned(name: str, yard: Yard) -> None:
    """Each app is refused, left alone or planned for what it is; nothing but the planned ones is written."""
    how, options, exit_code, outcome, code = CASES[name]
    yard.push("bare", "base/bare:1")
    yard.push("none", "base/none:1")
    app = yard.app("app:1", **how)
    answer = yard.plan("app:1", options=(*options, "--all"))
    entry = yard.entries()["app:1"]
    assert (answer.code, entry["decision"], entry["code"]) == (exit_code, outcome, code), answer
    assert bool(entry["reason"] and entry["remedy"] and entry["command"]) == (outcome != "planned")
    assert f"  why:     {entry['reason']}" in answer.out or outcome == "planned"
    assert ("this journal keeps what is refused" in answer.out) == (outcome == "refused")
    # What there was is said of whatever came to a verdict, whether or not it is planned.
    judged = bool(entry["proofs"]) or code == "starts-already"
    assert [entry[key] is not None for key in ("before", "launcher_layer")] == [judged] * 2
    applied = yard.apply()
    assert applied.code == exit_code
    assert (yard.digest("app:1-shim") is not None) == (outcome == "planned")
    assert yard.digest("app:1") == yard.pushed[yard.full("app:1")], app


# How an app is made that would not start, what is to be done about it, and with which command one goes on.
REMEDIES: dict[str, tuple[dict[str, Any], str, str]] = {
    "uncovered": (
        {"platform_api": "0.99"},
        "use a run image with a launcher for all of its APIs",
        "metalauncher matrix --gaps --run-image IMAGE",
    ),
    "no launchers": (
        {"named": "base/none:1"},
        "install launchers in the run image: metalauncher bundle add",
        "metalauncher matrix --gaps --run-image {host}/base/none:1",
    ),
    "its own command line": (
        {"change": {"Entrypoint": ["/usr/bin/metalauncher"]}},
        "make /usr/lib/cnb/launcher the ENTRYPOINT",
        "skopeo inspect --config --raw docker://{app} || skopeo inspect --raw docker://{app}",
    ),
    "nothing there": (
        {"change": {"Entrypoint": ["/workspace/x"]}},
        "rebuild the app",
        "skopeo inspect --config --raw docker://{app} || skopeo inspect --raw docker://{app}",
    ),
}


@pytest.mark.parametrize("name", REMEDIES)
def test_what_to_do_about_an_app_that_would_not_start(name: str, yard: Yard) -> None:
    """What `check` says to do about that verdict: not always is it a launcher that is missing."""
    how, remedy, command = REMEDIES[name]
    yard.push("none", "base/none:1")
    app = yard.app("app:1", **how)
    answer = yard.plan("app:1")
    entry = yard.entries()["app:1"]
    assert entry["code"] == "does-not-start"
    (proof,) = [each for each in entry["proofs"] if each["kind"] != "starts"][:1]
    assert entry["remedy"] == proof["remedy"]
    assert entry["remedy"].startswith(remedy)
    assert entry["command"] == command.format(host=yard.registry.host, app=app)
    assert f"  do:      {entry['remedy']}\n           {entry['command']}\n" in answer.out


def test_a_copy_of_metalauncher_is_replaced(yard: Yard) -> None:
    """An app that carries metalauncher itself starts by what the run image has, but no rebase renews that copy."""
    yard.app("app:1", executable=yard.world.rig.form.executable.read_bytes())
    assert yard.plan("app:1").code == 0
    entry = yard.entries()["app:1"]
    assert (entry["before"], entry["decision"]) == ("starts", "planned")


def test_the_inventory_says_what_must_match(yard: Yard) -> None:
    """What `check --inventory` calls the diffID of a launcher's layer is what `--must-match-sha` takes."""
    app = yard.app("app:1")
    yard.app("app:2", executable=yard.world.rig.launcher + b"another")
    answer = yard.run("--inventory", "--json", app, command="check")
    document = json.loads(answer.out)
    valid("inventory", document)
    (found,) = document["apps"]
    assert found["launcher"]["diff_id"] in json.loads(yard.config("app:1"))["rootfs"]["diff_ids"]
    assert yard.plan("app:1", "app:2", options=("--must-match-sha", found["launcher"]["diff_id"])).code == 0
    codes = {name: (entry["decision"], entry["code"]) for name, entry in yard.entries().items()}
    assert codes == {"app:1": ("planned", ""), "app:2": ("left-alone", "not-matched")}
    entry = yard.entries()["app:1"]
    assert entry["launcher"] == found["launcher"]
    assert entry["launcher_layer"] == found["launcher"]["diff_id"]


def test_a_mirror_beside_the_app_comes_first(yard: Yard, tmp_path: Path) -> None:
    """A rebase takes the run image from the app's own registry: one that lost metalauncher there would kill the app."""
    folder = tmp_path / "other"
    folder.mkdir()
    with contextlib.closing(start_registry(folder)) as other:
        Yard(other, yard.world, folder).push("two", RUN)
        yard.push("bare", "base/bare:1")
        image = {"image": f"{other.host}/{RUN}", "mirrors": [yard.name("base/bare:1")]}
        yard.app("app:1", label_run_image=image)
        assert yard.plan("app:1").code == 1
        assert yard.entries()["app:1"]["code"] == "named-without-metalauncher"
        yard.journal.unlink()
        assert yard.plan("app:1", to=f"{other.host}/app:1").code == 0  # from there on it is rebased there


def test_hosts_that_labels_have_asked(yard: Yard, tmp_path: Path) -> None:
    """Whom nobody named but a label is named, and for how many apps: also where nothing came of it."""
    folder = tmp_path / "other"
    folder.mkdir()
    dead = "127.0.0.1:1"  # nobody listens there
    with contextlib.closing(start_registry(folder)) as other:
        Yard(other, yard.world, folder).push("two", RUN)
        there = f"{other.host}/{RUN}"
        images_of: dict[str, dict[str, Any]] = {
            "app:1": {"image": f"{dead}/run:1", "mirrors": [there, "never.example/asked:1"]},
            "app:2": {"image": there},
            "app:3": {"image": f"{dead}/run:1", "mirrors": ["no name", f"{dead}/run:2"]},
            "app:4": {"image": yard.name(RUN), "mirrors": [there]},  # its own registry has it
        }
        for name, image in images_of.items():
            yard.app(name, label_run_image=image)
        answer = yard.plan(*images_of, options=("--timeout", "2"))
        assert answer.code == 3  # app:3 is not finished
        found = {name: entry["label_hosts"] for name, entry in yard.entries().items()}
        assert found == {"app:1": [dead, other.host], "app:2": [other.host], "app:3": [dead], "app:4": []}
        said = f"asked because labels name them: 2 registries, {dead} (2), {other.host} (2)"
        assert f"\n{said}\n" in answer.out
        for form in ("html", "markdown"):
            shown = yard.apply("--timeout", "2", "--format", form).out.replace("\\", "")
            assert said.partition(": ")[2] in shown
        document = json.loads(yard.apply("--timeout", "2", "--json").out)
        valid("patch", document)
        assert document["label_hosts"] == {dead: 2, other.host: 2}


def test_mirrors_are_asked_after_the_image(yard: Yard) -> None:
    """The first name that can be read is what the next rebase takes."""
    image = {"image": yard.name("base/nothing:1"), "mirrors": [yard.name("base/no:1"), yard.name(RUN)]}
    yard.app("app:1", label_run_image=image)
    yard.app("app:2", stack=image)
    assert yard.plan("app:1", "app:2").code == 0
    for entry in yard.entries().values():
        assert [proof["run_image"] for proof in entry["proofs"]] == ["", yard.name(RUN)]


def test_a_name_in_a_label_is_no_place_here(yard: Yard, tmp_path: Path) -> None:
    """It means an image in a registry, whatever it looks like: no layout of this machine is read for an app."""
    for name in (f"oci:{yard.world.layout.directory}:two", "dir:/", f"docker-archive:{tmp_path}/x", "docker://x"):
        yard.journal.unlink(missing_ok=True)
        yard.app("app:1", label_run_image={"image": name})
        assert yard.plan("app:1").code == 1
        assert yard.entries()["app:1"]["code"] == "named-unreadable"


@pytest.mark.parametrize(
    ("to", "kept"), [("{repository}:{tag}-shim", 0), ("{repository}-shim:{tag}", 0), ("{other}:{tag}", 4)]
)
def test_other_places(to: str, kept: int, yard: Yard, tmp_path: Path) -> None:
    """Within a registry no layer moves; another registry gets them all."""
    folder = tmp_path / "other"
    folder.mkdir()
    other = start_registry(folder)
    try:
        to = to.replace("{other}", f"{other.host}/patched")
        yard.app("app:1")
        assert yard.plan("app:1", to=to).code == 0
        entry = yard.entries()["app:1"]
        assert yard.apply().code == 0
        sent = yard.progress()["app:1"]["sent"]
        assert (sent > entry["kept_bytes"]) == bool(kept)
        assert entry["kept"] == 4
    finally:
        other.close()


def test_a_target_that_is_taken(yard: Yard) -> None:
    """Whatever lies at a target that this journal did not write refuses the whole run, before anything is written."""
    yard.app("app:1")
    yard.app("app:2")
    yard.app("app:2-shim")
    answer = yard.plan("app:1", "app:2")
    assert answer.code == 3
    assert f"ERROR: {yard.name(yard.full('app:2-shim'))}: is there already, as sha256:" in answer.err
    assert "nothing was written" in answer.err
    other = f"--to '{{repository}}:{{tag}}-shim2' --journal {yard.folder}/journal-2.jsonl\n"
    assert answer.err.endswith(f"metalauncher patch --from apps.txt --launcher shim {other}")
    assert yard.journal.read_bytes() == b""
    # What the same journal wrote is no stranger; to another journal it is.
    yard.journal.unlink()
    assert (yard.plan("app:1").code, yard.apply().code, yard.plan("app:1").code) == (0, 0, 0)
    yard.journal.unlink()
    assert yard.plan("app:1").code == 3


def test_a_source_that_moved(yard: Yard) -> None:
    """Another image than the one that was reviewed is not written."""
    yard.app("app:1")
    yard.app("app:2")
    assert yard.plan("app:1", "app:2").code == 0
    yard.app("app:1", platform_api="0.11")
    answer = yard.apply()
    assert (answer.code, yard.progress()["app:1"]["code"]) == (1, "source-moved")
    assert (yard.digest("app:1-shim"), yard.progress()["app:2"]["state"]) == (None, "written")
    assert "do:      plan it again, with a new journal\n" in answer.out


def test_a_target_that_somebody_else_wrote(yard: Yard) -> None:
    """It is refused and never overwritten; the run goes on."""
    yard.app("app:1")
    yard.app("app:2")
    assert yard.plan("app:1", "app:2").code == 0
    yard.app("app:1-shim")
    theirs = yard.digest("app:1-shim")
    answer = yard.apply()
    assert (answer.code, yard.progress()["app:1"]["code"]) == (1, "moved")
    assert (yard.digest("app:1-shim"), yard.progress()["app:2"]["state"]) == (theirs, "written")
    assert re.search(r"(?m)^ +skopeo inspect --raw docker://\S+/app:1-shim$", answer.out)
    assert re.search(r"(?m)^\S+/app:2: written$", answer.out)
    assert "not listed: " not in answer.out
    assert re.search(r"(?m)^uploaded, manifests aside: [^;]+; kept as they are: ", answer.out)
    assert "to upload" not in answer.out
    assert answer.out.endswith("the old ones are unchanged. Before each rebase: metalauncher check\n")


@pytest.mark.parametrize(("key", "code"), [("new_digest", "differs"), ("digest", "source-moved")])
def test_a_journal_with_another_digest(key: str, code: str, yard: Yard) -> None:
    """What comes of the app has to be what the plan says, and the app what it was."""
    yard.app("app:1")
    yard.plan("app:1")
    entry = yard.entries()["app:1"]
    yard.journal.write_text(yard.journal.read_text().replace(entry[key], "sha256:" + "0" * 64))
    assert yard.apply().code == 1
    assert (yard.progress()["app:1"]["code"], yard.digest("app:1-shim")) == (code, None)


def test_a_journal_that_lies_about_verdicts(yard: Yard) -> None:
    """Each app is proved again before it is written, whatever the plan says of it."""
    yard.app("app:1")
    yard.app("app:2", platform_api="0.99")
    yard.plan("app:1", "app:2")
    first, *entries = yard.lines()
    one, two = sorted(entries, key=lambda line: str(line["entry"]["app"]))
    lie = two["entry"] | {
        "decision": "planned",
        "code": "",
        "new_digest": one["entry"]["new_digest"],
        "proofs": one["entry"]["proofs"],
        "launcher_layer": one["entry"]["launcher_layer"],
    }
    yard.journal.write_text("".join([json.dumps(line) + "\n" for line in (first, one, {**two, "entry": lie})]))
    assert yard.apply().code == 1
    assert yard.progress()["app:2"]["code"] == "differs"
    # With the digest that really comes of it, the proof refuses.
    lie["new_digest"] = yard.progress()["app:2"]["reason"].partition("planned: ")[2].partition(",")[0]
    yard.journal.write_text("".join([json.dumps(line) + "\n" for line in (first, one, {**two, "entry": lie})]))
    assert yard.apply().code == 1
    assert (yard.progress()["app:2"]["code"], yard.digest("app:2-shim")) == ("does-not-start", None)


def test_a_run_image_that_lost_metalauncher(yard: Yard) -> None:
    """Between plan and apply the name in the label may come to mean another run image: then nothing is written."""
    yard.push("two", f"{yard.team}/base:1")
    yard.app("app:1", label_run_image={"image": yard.name(f"{yard.team}/base:1")})
    assert yard.plan("app:1").code == 0
    yard.push("bare", f"{yard.team}/base:1")
    assert yard.apply().code == 1
    assert (yard.progress()["app:1"]["code"], yard.digest("app:1-shim")) == ("named-without-metalauncher", None)


def test_an_index(yard: Yard) -> None:
    """It is refused by name; with a platform that image is taken out of it, and the target is one image."""
    yard.app("app:1")
    manifest = yard.get(yard.full("app:1"))
    assert manifest is not None
    entry = {
        "mediaType": f"{images.OCI}.manifest.v1+json",
        "digest": digest_of(manifest),
        "size": len(manifest),
        "platform": {"os": "linux", "architecture": "amd64"},
    }
    index = {"schemaVersion": 2, "mediaType": f"{images.OCI}.index.v1+json", "manifests": [entry]}
    yard.registry.push(yard.team + "/app", manifests=[("all", json.dumps(index).encode())])
    answer = yard.plan("app:all")
    assert (answer.code, yard.entries()["app:all"]["code"]) == (1, "index")
    assert "metalauncher patch --platform linux/amd64" in answer.out
    yard.journal.unlink()
    assert yard.plan("app:all", options=("--platform", "linux/arm64")).code == 1
    assert yard.entries()["app:all"]["code"] == "unreadable"
    yard.journal.unlink()
    assert yard.plan("app:all", options=("--platform", "linux/amd64")).code == 0
    assert (yard.apply().code, yard.entries()["app:all"]["digest"]) == (0, digest_of(manifest))
    patched = json.loads(yard.get(yard.full("app:all-shim")) or b"")
    assert patched["mediaType"] == f"{images.OCI}.manifest.v1+json"


def test_referrers_stay_behind(yard: Yard) -> None:
    """What refers to the old digest is listed, and said to stay."""
    yard.app("app:1")
    digest = yard.digest("app:1")
    assert digest is not None
    empty = b"{}"
    signature = {
        "schemaVersion": 2,
        "mediaType": f"{images.OCI}.manifest.v1+json",
        "artifactType": "application/vnd.example.signature",
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest_of(empty), "size": 2},
        "layers": [],
    }
    data = json.dumps(signature).encode()
    described = {"mediaType": signature["mediaType"], "digest": digest_of(data), "size": len(data)}
    index = {
        "schemaVersion": 2,
        "mediaType": f"{images.OCI}.index.v1+json",
        "manifests": [{**described, "artifactType": signature["artifactType"]}],
    }
    tag = digest.replace(":", "-")
    yard.registry.push(yard.team + "/app", blobs=[empty], manifests=[("", data), (tag, json.dumps(index).encode())])
    answer = yard.plan("app:1")
    assert "1 referrer of the old digest stays there: application/vnd.example.signature" in answer.out
    one = {"digest": digest_of(data), "artifact_type": signature["artifactType"]}
    assert yard.entries()["app:1"]["referrers"] == [one]
    # What cosign attaches by a tag is in no list.
    yard.journal.unlink()
    yard.registry.push(yard.team + "/app", manifests=[(f"{tag}.sig", data)])
    answer = yard.plan("app:1")
    assert "2 referrers of the old digest stay there: application/vnd.example.signature, cosign sig" in answer.out
    assert yard.entries()["app:1"]["referrers"] == [one, {"digest": digest_of(data), "artifact_type": "cosign sig"}]
    valid("patch-journal", yard.lines()[-1])


def start(yard: Yard, *words: str) -> subprocess.Popen[bytes]:
    """Start `patch`, and do not wait for it."""
    command = [sys.executable, "-m", "metalauncher", "patch", *words, "--no-cache", "--jobs", "2"]
    return subprocess.Popen(
        command, cwd=PROJECT, env={"HOME": str(yard.folder)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_ended_at_any_moment(ending: signal.Signals, yard: Yard) -> None:
    """Every state is as before or as after, and the same commands complete."""
    names = [f"app:{number}" for number in range(8)]
    apps = [yard.app(name) for name in names]
    before = {name: yard.digest(name) for name in names}
    plan = (*apps, "--launcher", "shim", "--to", "{repository}:{tag}-shim", "--journal", str(yard.journal))
    for words in (plan, ("--apply", str(yard.journal))):
        wait, ended = 0.5, False
        while not ended:
            process = start(yard, *words)
            time.sleep(wait)
            process.send_signal(ending)
            process.communicate(timeout=60)
            ended = process.returncode == 0
            wait += 0.15
            if yard.journal.exists():
                planned = {name: entry["new_digest"] for name, entry in yard.entries().items()}
                for name in names:
                    assert yard.digest(name) == before[name]
                    assert yard.digest(f"{name}-shim") in {None, planned.get(name)}
    assert {name: yard.digest(f"{name}-shim") for name in names} == planned
    assert {one["state"] for one in yard.progress().values()} == {"written"}


# Starts a program that can write no file larger than so many bytes.
_LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
os.execv(sys.executable, [sys.executable, "-m", "metalauncher", "patch", *sys.argv[2:]])
"""


def test_a_full_disk(yard: Yard) -> None:
    """It is said which file has no room; with room the same commands go on, and nothing is lost."""
    names = [f"app:{number}" for number in range(3)]
    apps = [yard.app(name) for name in names]
    plan = (*apps, "--launcher", "shim", "--to", "{repository}:{tag}-shim", "--journal", str(yard.journal))
    for words in (plan, ("--apply", str(yard.journal))):
        limit = 100 + (yard.journal.stat().st_size if yard.journal.exists() else 0)
        # No bytecode: what the limit cuts off would be taken for whole by all who come after.
        command = [sys.executable, "-c", _LIMITED, str(limit), *words, "--no-cache"]
        environment = {"HOME": str(yard.folder), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=60)
        assert (done.returncode, yard.journal.stat().st_size) == (3, limit), done
        assert done.stderr.startswith(f"ERROR: {yard.journal}: file too large\n")
        assert f"  df {yard.folder}\n" in done.stderr
        assert yard.run(*words).code == 0
    assert {one["state"] for one in yard.progress().values()} == {"written"}
    assert None not in [yard.digest(f"{name}-shim") for name in names]


WRONG: dict[str, tuple[str, str]] = {
    "r.io/a:1 --to {repository}:{tag}-x --journal J": ("there is no --launcher", "--launcher shim"),
    "r.io/a:1 --launcher shim --journal J": ("there is no --to", "{repository}"),
    "r.io/a:1 --launcher shim --to {repository}:x": ("there is no --journal", "--journal FILE"),
    "--launcher shim --to {repository}:x --journal J": ("no app is given", "--from"),
    "r.io/a:1 --launcher shim --to {tag --journal J": ("--to: '{tag' has another brace", "a template"),
    "oci:x:1 --launcher shim --to {repository}:x --journal J": ("is in no registry", "a target for each app"),
    "r.io/a:1 --launcher shim --to {repository}:x --journal J --record D": ("a plan writes nothing", "--apply"),
    "r.io/a:1 --launcher shim --to {repository}:x --journal J --must-match-sha x": ("'x' is not a digest", "diffID"),
    "r.io/a:1 --launcher binary --to {repository}:x --journal J": ("invalid choice: 'binary'", ""),
    "--apply J r.io/a:1": ("it can't be used with APP", "a plan that says so"),
    "--apply J --force": ("it can't be used with --force", "a plan that says so"),
    "--apply J --to {repository}:x": ("it can't be used with --to", "a plan that says so"),
    "--apply J --platform linux/amd64": ("it can't be used with --platform", "a plan that says so"),
    "r.io/a:1 --launcher shim --to {repository}:x --journal J --output ./J": ("./J is the journal", "another file"),
    "--apply J --output J": ("J is the journal", "another file"),
    "--apply /nowhere/J": ("/nowhere/J: no such file or directory", "a plan to apply"),
    "r.io/a:1 --launcher shim --to {repository}:x --journal /nowhere/J": (
        "/nowhere/J: no such file",
        "a directory for",
    ),
}


@pytest.mark.parametrize("line", WRONG)
def test_wrong_command_lines(line: str, run_patch: Callable[..., tuple[int, str]]) -> None:
    """Each is refused with exit code 3 before anybody is asked, and says what is needed and what to run."""
    said, needed = WRONG[line]
    code, err = run_patch(*line.split())
    assert code == 3
    assert said in err.splitlines()[0]
    assert needed in err
    assert any([each in err.splitlines()[-1] for each in ("metalauncher ", "ls -l", "mkdir -p")])


@pytest.fixture
def run_patch(tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """Return what runs `patch` in an empty directory."""

    def run(*words: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "metalauncher", "patch", *words],
            cwd=tmp_path,
            env={"PYTHONPATH": str(PROJECT), "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert list(tmp_path.iterdir()) == []
        return done.returncode, done.stderr

    return run


@pytest.mark.parametrize("key", ["os", "architecture", "variant"])
def test_a_platform_of_any_length(key: str, yard: Yard) -> None:
    """Whatever an image says of itself, no line of the journal is longer than is read."""
    yard.app("app:1")
    layout = yard.world.layout
    tag = str(layout.entries[-1]["annotations"][images.REF_NAME])
    manifest, config = layout.image(tag)
    config[key] = f"{config.get(key, '')}{'x' * (2 << 20)}"
    yard.world.put(tag, manifest["layers"], config, (), {})
    yard.push(tag, yard.full("app:1"))
    first = yard.plan("app:1")
    entry = yard.entries()["app:1"]
    assert (first.code, len(entry["platform"])) == (int(key != "variant"), 300)
    assert yard.plan("app:1").code == yard.apply().code == first.code


def test_labels_are_kept(yard: Yard) -> None:
    """What nobody knows of the config comes through; the label names the new layer."""
    yard.app("app:1", labels={"com.example.team": "checkout", "x": "\u00e9"})
    yard.plan("app:1")
    yard.apply()
    config = json.loads(yard.config("app:1-shim"))
    before = json.loads(yard.config("app:1"))
    labels, old = (each["config"]["Labels"] for each in (config, before))
    assert (labels["com.example.team"], labels["x"]) == ("checkout", "\u00e9")
    launcher = json.loads(labels[LABEL])["launcher"]["sha"]
    assert launcher != json.loads(old[LABEL])["launcher"]["sha"]
    assert launcher in config["rootfs"]["diff_ids"]
