"""`check` on a run image for several platforms: each app's image under the run image's for its platform, and in sum."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from browser import parse
from bundles import Answer, Tool
from containers import call, need, registry
from harness import PROJECT
from images import OCI, REF_NAME, App, Layout, base, export, folder, index, make_app, pack
from jsonschema import Draft202012Validator
from platforms import MACHINES, Shelf

SCHEMA = json.loads((PROJECT / "metalauncher/schemas/check.schema.json").read_text())


def metadata(api: str) -> str:
    """Return a metadata.toml of one buildpack."""
    process = '[[processes]]\ntype = "web"\ncommand = ["/bin/true"]\ndirect = true\n'
    return f'[[buildpacks]]\nid = "acme/node"\nversion = "1"\napi = "{api}"\n{process}'


NEW, OLD = make_app("new", metadata("0.10"), "0.15"), make_app("old", metadata("0.5"), "0.7")


class Fleet:
    """A layout with a run image for two platforms, of which arm64 lacks the older launcher; and apps on it."""

    def __init__(self, tool: Tool, place: Path) -> None:
        """Take the layouts that the shelf laid out; apps are made of the images of the base."""
        self.tool = tool
        self.place, self.out = place / "base", place / "runs"
        self.full, self.run = f"oci:{self.out}:full", f"oci:{self.out}:lacking"
        self.layout = Layout(self.place)

    def app(self, tag: str, **apps: App) -> str:
        """Export apps by architecture, and put them into an index if there are several; return how to refer to it."""
        for architecture, app in apps.items():
            export(self.layout, architecture, app, "symlink", f"{tag}-{architecture}")
        self.layout.save()
        if len(apps) == 1:
            (architecture,) = apps
            return f"oci:{self.place}:{tag}-{architecture}"
        reference = index(self.place, {f"linux/{one}": f"{tag}-{one}" for one in apps}, tag)
        self.layout = Layout(self.place)
        return reference

    def index(self, *entries: tuple[str, dict[str, Any]]) -> str:
        """Make an index of tags, each with what its entry has besides; return how to refer to it."""
        manifests = []
        for tag, fields in entries:
            (found,) = [one for one in self.layout.entries if one["annotations"][REF_NAME] == tag]
            manifests.append({key: found[key] for key in ("mediaType", "digest", "size")} | fields)
        media_type = f"{OCI}.index.v1+json"
        document = {"schemaVersion": 2, "mediaType": media_type, "manifests": manifests}
        made = self.layout.put(json.dumps(document).encode(), media_type)
        self.layout.entries.append(made | {"annotations": {REF_NAME: "made"}})
        self.layout.save()
        return f"oci:{self.place}:made"

    def check(self, *arguments: str | Path) -> Answer:
        """Run `check` on the run image."""
        return self.tool("check", *arguments, "--run-image", self.run)

    def document(self, *arguments: str | Path, code: int) -> dict[str, Any]:
        """Return the JSON document of a run, which obeys the schema."""
        answer = self.check(*arguments, "--json")
        assert answer.code == code, answer.err
        Draft202012Validator(SCHEMA).validate(answer.document)
        return answer.document


@pytest.fixture
def fleet(shelf: Shelf, tool: Tool, tmp_path: Path) -> Fleet:
    """Return a run image for two platforms, and where to put apps."""
    return Fleet(tool, shelf.copy(tmp_path / "fleet"))


def test_each_platform_and_in_sum(fleet: Fleet) -> None:
    """An app is judged for each of its platforms; in sum it is what its most urgent one is, and counts once."""
    new, old = fleet.app("new", amd64=NEW, arm64=NEW), fleet.app("old", amd64=OLD, arm64=OLD)
    document = fleet.document(new, old, code=1)
    assert document["platform"] == "linux/amd64,linux/arm64"
    assert document["counts"] | {"starts": 1, "refused": 1} == document["counts"]
    found = [(one["platform"], one["counts"]["starts"], one["counts"]["refused"]) for one in document["platforms"]]
    assert found == [("linux/amd64", 2, 0), ("linux/arm64", 1, 1)]
    first, second = document["results"]
    assert (first["app"], first["kind"], first["exit_code"]) == (old, "refused", 12)
    assert first["reason"].startswith("on linux/arm64: failed to set API for buildpack 'acme/node'")
    parts = {part["platform"]: part for part in first["platforms"]}
    assert list(parts) == list(MACHINES)
    assert (parts["linux/amd64"]["kind"], parts["linux/arm64"]["kind"]) == ("starts", "refused")
    assert parts["linux/amd64"]["launcher"]["version"] == "0.17.7"
    assert [(part["kind"], part["launcher"]["version"]) for part in second["platforms"]] == [("starts", "0.21.17")] * 2
    assert first["digest"] == next(
        entry["digest"] for entry in fleet.layout.entries if entry["annotations"].popitem()[1] == "old"
    )
    assert document["bundles"] == ["buildpacks/lifecycle@0.17.7"]
    run = document["run_image"]
    assert [one["platform"] for one in run["platforms"]] == list(MACHINES)
    assert [len(one["launchers"]) for one in run["platforms"]] == [2, 1]
    for platform in MACHINES:
        alone = fleet.document(new, old, "--platform", platform, code=int(platform == "linux/arm64"))
        for result in alone["results"]:
            (whole,) = [one for one in document["results"] if one["app"] == result["app"]]
            (part,) = [one for one in whole["platforms"] if one["platform"] == platform]
            assert {**result, "platform": platform} == part
        assert not {"platforms"} & alone.keys()


def test_one_platform_is_as_before(fleet: Fleet) -> None:
    """With `--platform` nothing speaks of platforms but what always did; so does an app alone on a run image alone."""
    new = fleet.app("new", amd64=NEW, arm64=NEW)
    document = fleet.document(new, "--platform", "linux/arm64", code=0)
    assert document["platform"] == "linux/arm64"
    assert not {"platform", "platforms"} & document["results"][0].keys()
    single = alone(fleet, fleet.run, "single", "linux/arm64")
    fleet.app("one", arm64=NEW)
    listed = index(fleet.place, {"linux/arm64": "one-arm64"}, "listed")
    for app in (f"oci:{fleet.place}:one-arm64", listed):
        found = fleet.tool("check", app, "--run-image", single, "--json").document
        assert (found["results"][0]["kind"], found["counts"]["starts"]) == ("starts", 1)
        assert not {"platform", "platforms"} & found["results"][0].keys()


def test_text(fleet: Fleet) -> None:
    """The text has each platform of an app below it, a table for each platform, and what each comes to."""
    old, alone = fleet.app("old", amd64=OLD, arm64=OLD), fleet.app("alone", arm64=NEW)
    answer = fleet.check(old, alone, "--all")
    assert answer.code == 1
    lines = answer.out.splitlines()
    assert lines[:4] == [
        f"{old}: would be refused on linux/arm64",
        "  linux/amd64: starts with buildpacks/lifecycle@0.17.7",
        "    assumes: layers that lifecycle's label names hold what its exporter writes",
        "  linux/arm64: would be refused, exit code 12",
    ]
    assert f"{alone} (linux/arm64): starts with buildpacks/lifecycle@0.21.17" in lines
    tables = [line.partition("  ")[0] for line in lines if line.startswith("what the apps recorded")]
    assert tables == ["what the apps recorded on linux/amd64", "what the apps recorded on linux/arm64"]
    at = lines.index("linux/amd64: 1 app: 1 starts")
    assert lines[at + 1 : at + 3] == [
        "linux/arm64: 2 apps: 1 would be refused, 1 starts",
        f"2 apps under {fleet.run}: 1 would be refused, 1 starts",
    ]


def test_apps_of_one_platform(fleet: Fleet) -> None:
    """An app that is no index is judged for the platform that it says it is for."""
    apps = [fleet.app("one", amd64=OLD), fleet.app("two", arm64=OLD)]
    document = fleet.document(*apps, code=1)
    assert {one["app"]: (one["platform"], one["kind"]) for one in document["results"]} == {
        apps[0]: ("linux/amd64", "starts"),
        apps[1]: ("linux/arm64", "refused"),
    }


def test_platform_that_the_run_image_has_not(fleet: Fleet) -> None:
    """What an app is there for and the run image is not is said, with what to do; its other platforms are judged."""
    layers = [pack([folder("etc")])]
    base(fleet.place, layers, "s390x", "s390x")
    fleet.layout = Layout(fleet.place)
    app = fleet.app("three", amd64=NEW, s390x=NEW)
    document = fleet.document(app, code=3)
    assert document["unserved"] == {"linux/s390x": 1}
    (result,) = document["results"]
    assert (result["kind"], result["reason"], "unserved" in result) == (
        "starts",
        result["platforms"][0]["reason"],
        False,
    )
    reason = "is for linux/s390x, which the run image is not there for: it has linux/amd64, linux/arm64"
    assert [(part["platform"], part["kind"], "unserved" in part) for part in result["platforms"]] == [
        ("linux/amd64", "starts", False),
        ("linux/s390x", "unknown", True),
    ]
    assert result["platforms"][1]["reason"] == reason
    assert result["platforms"][1]["remedy"].startswith("build the run image for linux/s390x too")
    told = "not judged: linux/s390x (1 app); the run image is not there for it: build it for linux/s390x too"
    told += ", or name with --platform the one that counts"
    answer = fleet.check(app)
    assert answer.code == 3
    assert answer.out.splitlines()[0] == f"{app}: starts on linux/amd64"
    assert {"  linux/s390x: not judged", f"    why:     {reason}", told} <= set(answer.out.splitlines())
    for form in ("html", "markdown"):
        shown = fleet.check(app, "--format", form).out.replace("\\", "")
        assert f"{told}." in shown
        assert "The app would start on the platforms that the run image has" in shown
    lines = fleet.check(app, "--format", "jsonl")
    assert (lines.code, lines.err) == (3, f"{told}\n")
    (fleet.place / "one.jsonl").write_text(lines.out)
    merged = fleet.tool("check", "--merge", fleet.place / "one.jsonl", "--json")
    assert (merged.code, merged.document) == (3, document)
    alone = fleet.app("four", s390x=NEW)
    (result,) = fleet.document(alone, code=3)["results"]
    assert (result["kind"], result["reason"], result["platform"]) == ("unknown", reason, "linux/s390x")
    assert fleet.check(app, "--unknown", "warn").code == 0


def test_run_image_for_one_platform(fleet: Fleet) -> None:
    """Under a run image for one platform alone, an app's others are not judged, and every form says so."""
    new = fleet.app("new", amd64=NEW, arm64=NEW)
    single = alone(fleet, fleet.full, "amd64", "linux/amd64")
    listed = index(fleet.out, {"linux/amd64": "amd64"}, "listed")
    told = "not judged: linux/arm64 (1 app); the run image is not there for it: build it for linux/arm64 too"
    told += ", or name with --platform the one that counts"
    for run in (single, listed):
        check = ("check", new, "--run-image", run)
        answer = fleet.tool(*check, "--json")
        Draft202012Validator(SCHEMA).validate(answer.document)
        assert (answer.code, answer.document["unserved"]) == (3, {"linux/arm64": 1})
        assert (answer.document["platform"], "platforms" in answer.document) == ("linux/amd64", False)
        (result,) = answer.document["results"]
        assert (result["kind"], [part.get("unserved") for part in result["platforms"]]) == ("starts", [None, True])
        text = fleet.tool(*check)
        assert (text.code, text.out.splitlines()[0]) == (3, f"{new}: starts on linux/amd64")
        assert {"  linux/arm64: not judged", told} <= set(text.out.splitlines())
        for form in ("html", "markdown"):
            shown = fleet.tool(*check, "--format", form)
            assert (shown.code, f"{told}." in shown.out.replace("\\", "")) == (3, True)
            assert "The app would start on the platforms that the run image has" in shown.out
        lines = fleet.tool(*check, "--format", "jsonl")
        assert (lines.code, lines.err) == (3, f"{told}\n")
        assert fleet.tool(*check, "--unknown", "warn").code == 0
        chosen = fleet.tool(*check, "--platform", "linux/amd64")
        assert (chosen.code, "not judged" in chosen.out) == (0, False)
    file = fleet.place / "one.jsonl"
    assert fleet.tool("check", new, "--run-image", single, "--platform", "linux/amd64", "--resume", file).code == 0
    other = fleet.tool("check", new, "--run-image", single, "--resume", file)
    assert (other.code, "linux/amd64, by --platform" in other.err) == (3, True), other.err
    other = fleet.tool("check", fleet.app("far", arm64=NEW), "--run-image", single, "--json")
    assert other.document["results"][0]["reason"] == "is for linux/arm64, the run image for linux/amd64"


def test_app_for_another_system_too(fleet: Fleet) -> None:
    """An image for Windows is named, and decides nothing beside those for Linux; alone it is unknown."""
    fleet.app("new", amd64=NEW, arm64=NEW)
    fleet.app("old", amd64=OLD, arm64=OLD)
    plan9 = {"platform": {"os": "plan9", "architecture": "arm64"}}
    windows = {"platform": {"os": "windows", "architecture": "amd64", "os.version": "10.0.20348.2113"}}
    app = fleet.index(("new-amd64", AMD64), ("new-arm64", ARM64), ("old-amd64", windows))
    document = fleet.document(app, code=0)
    (result,) = document["results"]
    assert (document["counts"]["starts"], document["unserved"]) == (1, {"windows/amd64": 1})
    assert [(part["platform"], part.get("unserved")) for part in result["platforms"]] == [
        ("linux/amd64", None),
        ("linux/arm64", None),
        ("windows/amd64", True),
    ]
    lines = fleet.check(app).out.splitlines()
    assert {
        "  windows/amd64: not judged",
        "not judged: windows/amd64 (1 app); the run image is not there for it",
    } <= set(lines)
    fleet.layout.entries.pop()
    app = fleet.index(("old-arm64", ARM64), ("new-amd64", windows))  # one that would not start stays one
    (result,) = fleet.document(app, code=1)["results"]
    assert (result["kind"], result["exit_code"]) == ("refused", 12)
    fleet.layout.entries.pop()
    (result,) = fleet.document(fleet.index(("new-amd64", windows)), code=3)["results"]
    assert (result["kind"], "unserved" in result) == ("unknown", False)
    assert result["reason"].startswith("is for windows/amd64, which the run image is not there for: ")
    fleet.layout.entries.pop()
    (result,) = fleet.document(fleet.index(("new-amd64", windows), ("new-arm64", plan9)), code=3)["results"]
    assert (result["kind"], len(result["platforms"])) == ("unknown", 2)
    assert result["reason"].startswith("on windows/amd64: is for windows/amd64, which ")


def test_index_that_contradicts_its_image(fleet: Fleet) -> None:
    """A run image whose index has an image for another machine is warned of in every form; so is an app's."""
    alone(fleet, fleet.full, "amd64", "linux/amd64")
    lying = index(fleet.out, {"linux/amd64": "amd64", "linux/arm64": "amd64"}, "lying")
    fleet.app("new", amd64=NEW, arm64=NEW)
    app = index(fleet.place, {"linux/amd64": "new-amd64", "linux/arm64": "new-amd64"}, "app-lying")
    warning = "the run image's index has an image for linux/arm64, and its config says linux/amd64"
    warning += ": containers for linux/arm64 can't start on it"
    note = "its index has it for linux/arm64, and its config says linux/amd64"
    answer = fleet.tool("check", app, "--run-image", lying, "--json")
    Draft202012Validator(SCHEMA).validate(answer.document)
    assert [one.get("warning") for one in answer.document["run_image"]["platforms"]] == [None, warning]
    (result,) = answer.document["results"]
    assert [note in part["notes"] for part in result["platforms"]] == [False, True]
    text = fleet.tool("check", app, "--run-image", lying).out.splitlines()
    assert {f"warning: {warning}", f"    note:    {note}"} <= set(text)
    for form in ("html", "markdown"):
        shown = fleet.tool("check", app, "--run-image", lying, "--format", form).out.replace("\\", "")
        assert warning.partition("'")[2].rpartition("'")[0] in shown
    lines = fleet.tool("check", app, "--run-image", lying, "--format", "jsonl")
    assert lines.err == f"warning: {warning}\n"
    (fleet.place / "one.jsonl").write_text(lines.out)
    assert fleet.tool("check", "--merge", fleet.place / "one.jsonl", "--json").document == answer.document
    single = index(fleet.out, {"linux/arm64": "amd64"}, "single")
    document = fleet.tool("check", app, "--run-image", single, "--json").document
    assert document["run_image"]["warning"] == warning
    assert "warning" not in fleet.document(app, code=3)["run_image"]


def test_against(fleet: Fleet) -> None:
    """What an app did before is said by platform; one that started there and would not now fails the run in sum too."""
    old = fleet.app("old", amd64=OLD, arm64=OLD)
    (result,) = fleet.document(old, "--against", fleet.full, "--fail-on", "regressions", code=1)["results"]
    before = {part["platform"]: part["before"]["kind"] for part in result["platforms"]}
    assert before == {"linux/amd64": "starts", "linux/arm64": "starts"}
    document = fleet.document(old, "--against", fleet.run, "--fail-on", "regressions", code=0)
    assert (document["regressions"], document["left_alone"]) == (0, 1)
    child = Layout(fleet.out)
    (entry,) = [one for one in child.entries if one["annotations"].popitem()[1] == "full"]
    amd64 = child.read(entry["digest"])["manifests"][0]["digest"]
    number = len(Layout(fleet.out).entries)
    layout = Layout(fleet.out)
    manifest = layout.read(amd64)
    layout.add(layout.read(manifest["config"]["digest"]), manifest["layers"], "amd64")
    layout.save()
    assert number == 2
    answer = fleet.check(old, "--against", f"oci:{fleet.out}:amd64", "--json")
    assert answer.code == 1
    parts = answer.document["results"][0]["platforms"]
    assert [part["before"] and part["before"]["kind"] for part in parts] == ["starts", None]


def test_unpacked_app(fleet: Fleet, tmp_path: Path) -> None:
    """A directory names no platform: it is judged for the default one, and the result says so."""
    root = tmp_path / "app/rootfs"
    root.mkdir(parents=True)
    (root / "usr").mkdir()
    (root / "etc").mkdir()
    (root.parent / "config.json").write_text('{"process": {"args": ["/bin/true"], "env": [], "cwd": "/"}}')
    (result,) = fleet.document(f"dir:{root}", code=3)["results"]
    assert result["platform"] == "linux/amd64"


@pytest.mark.parametrize("report", ["markdown", "html"])
def test_reports(fleet: Fleet, report: str) -> None:
    """Each form of the report says what is true of each platform."""
    old, alone = fleet.app("old", amd64=OLD, arm64=OLD), fleet.app("alone", arm64=NEW)
    answer = fleet.check(old, alone, "--format", report)
    assert answer.code == 1
    assert "linux/amd64: starts with buildpacks/lifecycle" in answer.out
    assert "linux/arm64: would be refused: failed to set API" in answer.out
    assert "What the apps recorded on linux/arm64, and the" in answer.out
    assert "1 of 2 apps would be refused" in answer.out


def test_interrupted_and_merged(fleet: Fleet, tmp_path: Path) -> None:
    """Results with platforms are taken up by a later run, and put together from the parts of a fleet."""
    apps = [fleet.app("old", amd64=OLD, arm64=OLD), fleet.app("new", amd64=NEW, arm64=NEW)]
    whole = fleet.document(*apps, code=1)
    file = tmp_path / "results.jsonl"
    fleet.document(apps[0], "--resume", file, code=1)
    answer = fleet.check(*apps, "--resume", file, "--json")
    assert (answer.code, answer.err) == (1, f"1 result taken over from {file}\n")
    assert answer.document == whole
    merged = fleet.tool("check", "--merge", file, "--json")
    assert (merged.code, merged.document) == (1, whole)
    text = fleet.tool("check", "--merge", file)
    assert text.out == fleet.check(*apps).out
    answer = fleet.check(*apps, "--resume", file, "--platform", "linux/arm64")
    assert answer.code == 3
    assert "belongs to another run" in answer.err
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [len(line["platforms"]) for line in lines if "app" in line] == [2, 2]


def test_in_a_registry(fleet: Fleet, tmp_path: Path) -> None:
    """In a real registry the answers are those of the layout."""
    need("docker-registry", "skopeo")
    fleet.app("old", amd64=OLD, arm64=OLD)
    fleet.app("alone", arm64=NEW)
    with registry(tmp_path) as address:
        pushed = {
            "apps/old": f"oci:{fleet.place}:old",
            "apps/alone": f"oci:{fleet.place}:alone-arm64",
            "run": fleet.run,
        }
        for name, where in pushed.items():
            target = f"docker://{address}/{name}:1"
            call("skopeo", "--insecure-policy", "copy", "-q", "--all", "--dest-tls-verify=false", where, target)
        names = [f"{address}/apps/old:1", f"{address}/apps/alone:1"]
        answer = fleet.tool("check", "--no-cache", *names, "--run-image", f"{address}/run:1", "--json")
        assert answer.code == 1
        kinds = {
            one["app"]: [part["kind"] for part in one.get("platforms", [one])] for one in answer.document["results"]
        }
        assert kinds == {names[0]: ["starts", "refused"], names[1]: ["starts"]}


HOSTILE = 'x"><img src=x onerror=alert(1)>|@team\x1b[31m\nx'


def test_hostile_platform(fleet: Fleet) -> None:
    """What an index calls a platform is text in every report: no markup, no attribute, no cell, no escape sequence."""
    named = {"linux/amd64": "amd64", f"linux/{HOSTILE}": "arm64"}
    runs = Layout(fleet.out)
    children = runs.read(tagged(fleet.out, "full")["digest"])["manifests"]
    runs.entries += [
        child | {"annotations": {REF_NAME: go}} for child, go in zip(children, named.values(), strict=True)
    ]
    runs.save()
    hostile = index(fleet.out, named, "hostile")
    fleet.app("app", amd64=OLD, arm64=OLD)
    app = index(fleet.place, {platform: f"app-{go}" for platform, go in named.items()}, "app")
    answers = {
        form: fleet.tool("check", app, "--run-image", hostile, "--format", form)
        for form in ("html", "markdown", "text")
    }
    assert {answer.code for answer in answers.values()} == {0}, answers["text"].err
    page = parse(answers["html"].out)
    assert not page.find("img")
    assert [one.attributes["id"] for one in page.find("table") if "matrix" in one.attributes["id"]] == [
        "matrix",
        "matrix-1",
    ]
    (row,) = [one for one in page.find("tr") if "data-needs" in one.attributes]
    counted = [one.attributes["data-need"] for one in page.find("tr") if "data-need" in one.attributes]
    assert row.attributes["data-needs"].split() == counted == ["0.0", "1.0"]  # what a filter of apps counts
    told = answers["markdown"].out
    assert not re.search(r"(?<!\\)<img", told)
    assert "@team" not in told
    assert "<summary>What the apps recorded on linux/x&quot;&gt;&lt;img src=x" in told
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in told.splitlines() if row.startswith("| linux/")}) == 1
    for answer in answers.values():
        assert "\x1b" not in answer.out


def tagged(directory: Path, tag: str) -> dict[str, Any]:
    """Return a layout's entry of a tag."""
    (entry,) = [one for one in Layout(directory).entries if one.get("annotations", {}).get(REF_NAME) == tag]
    return entry


AMD64, ARM64 = ({"platform": {"os": "linux", "architecture": one}} for one in ("amd64", "arm64"))


@pytest.mark.parametrize("tag", ["old-arm64", "nested"])
@pytest.mark.parametrize("fields", [{}, {"platform": None}, {"platform": {"os": "linux"}}], ids=str)
def test_entry_without_a_platform(fleet: Fleet, tag: str, fields: dict[str, Any]) -> None:
    """What an index does not say the platform of, beside images that have one, is not passed over."""
    fleet.app("old", amd64=OLD, arm64=OLD)
    fleet.app("nested", amd64=OLD, arm64=OLD)
    app = fleet.index(("old-amd64", AMD64), (tag, fields))
    (result,) = fleet.document(app, code=3)["results"]
    reason = "is an index that names the platform of some images, and not that of manifest 2"
    assert (result["kind"], result["reason"]) == ("unknown", reason)
    (result,) = fleet.document(app, "--platform", "linux/amd64", code=0)["results"]
    assert result["kind"] == "starts"
    answer = fleet.tool("list", "--run-image", app)
    assert (answer.code, answer.err.splitlines()[0]) == (3, f"ERROR: {app}: {reason}")


def test_entry_with_a_type(fleet: Fleet) -> None:
    """An entry with a type of its own is judged, where it is an image's, or runtimes have no other for a platform."""
    fleet.app("old", amd64=OLD, arm64=OLD)
    for kind in (f"{OCI}.config.v1+json", f"{OCI}.manifest.v1+json", "application/vnd.acme.notes"):
        app = fleet.index(("old-amd64", AMD64), ("old-arm64", {**ARM64, "artifactType": kind}))
        (result,) = fleet.document(app, code=1)["results"]
        assert [part["kind"] for part in result["platforms"]] == ["starts", "refused"]
        fleet.layout.entries.pop()
    notes = {"artifactType": "application/vnd.acme.notes"}
    app = fleet.index(("old-arm64", notes), ("old-arm64", {**AMD64, **notes}), ("old-amd64", AMD64))
    (result,) = fleet.document(app, code=0)["results"]
    assert result["kind"] == "starts"


def alone(fleet: Fleet, run: str, tag: str, platform: str) -> str:
    """Give a run image's image for a platform a tag of its own; return how to refer to it."""
    layout = Layout(fleet.out)
    (whole,) = [one for one in layout.entries if one["annotations"][REF_NAME] == run.rpartition(":")[2]]
    children = layout.read(whole["digest"])["manifests"]
    (child,) = [one for one in children if platform.endswith("/" + one["platform"]["architecture"])]
    layout.entries.append(
        {key: child[key] for key in ("mediaType", "digest", "size")} | {"annotations": {REF_NAME: tag}}
    )
    layout.save()
    return f"oci:{fleet.out}:{tag}"


def test_against_another_machine(fleet: Fleet) -> None:
    """A run image of before for another machine is refused: no app would have started there, and a gate would pass."""
    old = fleet.app("old", arm64=OLD)
    now = alone(fleet, fleet.run, "now", "linux/arm64")
    was = alone(fleet, fleet.full, "was", "linux/arm64")
    other = alone(fleet, fleet.full, "other", "linux/amd64")
    listed = index(fleet.out, {"linux/arm64": "now"}, "listed")
    wrong = index(fleet.out, {"linux/amd64": "other", "linux/arm64": "other"}, "wrong")
    for run, before in ((now, other), (listed, other), (listed, wrong), (fleet.run, wrong)):
        answer = fleet.tool("check", old, "--run-image", run, "--against", before, "--fail-on", "regressions")
        message = f"ERROR: --against {before}: is for linux/amd64, and {run} for linux/arm64"
        assert (answer.code, answer.err.splitlines()[0]) == (3, message)
    answer = fleet.tool("check", old, "--run-image", now, "--against", was, "--fail-on", "regressions")
    assert answer.code == 1
    answer = fleet.tool("lint", "--run-image", other, "--baseline", was)
    message = f"ERROR: --baseline {was}: is for linux/arm64, and {other} for linux/amd64"
    assert (answer.code, answer.err.splitlines()[0]) == (3, message)


def test_many_platforms(fleet: Fleet) -> None:
    """What is not judged is not fetched; an index of more platforms than there are is not gone through at all."""
    fleet.app("new", amd64=NEW, arm64=NEW)
    made_up = [{"platform": {"os": "linux", "architecture": f"x{number}"}} for number in range(31)]
    app = fleet.index(("new-amd64", AMD64), *[("new-arm64", fields) for fields in made_up])
    gone = next(one["digest"] for one in fleet.layout.entries if one["annotations"][REF_NAME] == "new-arm64")
    fleet.layout.blob(gone).unlink()
    (result,) = fleet.document(app, code=3)["results"]
    assert len(result["platforms"]) == 32
    assert {part["reason"][:20] for part in result["platforms"] if part["kind"] == "unknown"} == {
        *[f"is for linux/x{number}, which"[:20] for number in range(31)],
    }
    fleet.layout.entries.pop()
    app = fleet.index(("new-amd64", AMD64), ("new-arm64", ARM64), *[("new-arm64", fields) for fields in made_up])
    (result,) = fleet.document(app, code=3)["results"]
    reason = "is an index for 33 platforms; 32 are allowed"
    assert (result["kind"], result["reason"]) == ("unknown", reason)
    answer = fleet.tool("list", "--run-image", app)
    assert (answer.code, answer.err.splitlines()[0]) == (3, f"ERROR: {app}: {reason}")


def test_variants(fleet: Fleet) -> None:
    """A variant does not count: not in what each platform comes to, and not in what is held against before."""
    fleet.app("old", amd64=OLD, arm64=OLD)
    app = index(fleet.place, {"linux/amd64": "old-amd64", "linux/arm64/v9": "old-arm64"}, "v9")
    document = fleet.document(app, code=1)
    found = [(one["platform"], one["counts"]["refused"]) for one in document["platforms"]]
    assert found == [("linux/amd64", 0), ("linux/arm64", 1)]
    for one in MACHINES:
        alone(fleet, fleet.run, one.rpartition("/")[2], one)
    run = index(fleet.out, {"linux/amd64": "amd64", "linux/arm64/v9": "arm64"}, "run-v9")
    old = f"oci:{fleet.place}:old"
    before = ("--against", fleet.full, "--fail-on", "regressions", "--json")
    answer = fleet.tool("check", old, "--run-image", run, *before)
    assert (answer.code, answer.document["regressions"]) == (1, 1)
