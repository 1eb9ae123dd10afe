"""`patch` over a registry that fails: nothing half-written, nothing overwritten, and the same command completes."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faults import FAULTS, once
from jsonschema import Draft202012Validator
from keeping import Fault, Kept, error
from patching import Yard, kept_yard
from rebased import World
from registries import Reply, Request, digest_of, hostile

from metalauncher.tooling.cli.schema import text as schema

APPS = tuple([f"app:{number}" for number in range(3)])
TO = "{repository}-shim:{tag}"


def target(app: str) -> str:
    """Return where an app goes."""
    return app.replace(":", "-shim:")


@pytest.fixture
def yard(world: World, tmp_path: Path, kept: Kept) -> Iterator[Yard]:
    """Return a plan for some apps in that registry."""
    with kept_yard(kept, world, tmp_path, APPS) as (found, server):
        yield found
        assert not [request for request in server.requests if request.method == "DELETE"]


def valid(name: str, document: Any) -> None:
    """Hold a document against its schema."""
    Draft202012Validator(json.loads(schema(name))).validate(document)


def check_state(yard: Yard, kept: Kept, before: dict[str, str]) -> None:
    """Hold what the registry has: sources as they were, targets absent or as planned."""
    entries = yard.entries()
    for app in APPS:
        assert kept.tags["team/app"][app.partition(":")[2]] == before[app]
        found = kept.tags["team/app-shim"].get(app.partition(":")[2])
        assert found in {None, entries[app]["new_digest"]}


@pytest.mark.parametrize(("name", "mounts"), [*[(name, True) for name in FAULTS], ("500", False), ("cut", False)])
def test_faults(name: str, mounts: bool, yard: Yard, kept: Kept) -> None:
    """Whatever a registry answers in between, what it has is as before or as after, and the run completes."""
    before = dict(zip(APPS, [kept.tags["team/app"][app.partition(":")[2]] for app in APPS], strict=True))
    assert yard.plan(*APPS, to=TO).code == 0
    kept.mounts = mounts
    kept.faults = FAULTS[name]()
    for _ in range(6):
        answer = yard.apply("--jobs", "2")
        check_state(yard, kept, before)
        if answer.code == 0:
            break
    assert answer.code == 0, answer
    kept.faults = lambda _, __: None
    for app, entry in yard.entries().items():
        manifest = yard.get(target(app))
        assert manifest is not None
        assert digest_of(manifest) == entry["new_digest"]


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (error("400 Bad Request", "TAG_INVALID", "the tag is immutable"), "immutable"),
        (error("412 Precondition Failed", "PRECONDITION", "configured as immutable"), "immutable"),
        (error("403 Forbidden", "DENIED", "you may not"), "unwritable"),
    ],
)
def test_a_registry_that_says_no(reply: Reply, code: str, yard: Yard, kept: Kept) -> None:
    """Where a tag may not be written that app is refused and counted, and the run goes on."""
    assert yard.plan(*APPS, to=TO).code == 0
    kept.faults = once("PUT", "manifests/1$", reply, 99)
    answer = yard.apply()
    assert answer.code == 1
    assert {app: one["code"] for app, one in yard.progress().items()} == {"app:0": "", "app:1": code, "app:2": ""}
    assert sorted(kept.tags["team/app-shim"]) == ["0", "2"]
    assert f"  why:     {yard.progress()['app:1']['reason']}" in answer.out
    kept.faults = lambda _, __: None
    assert yard.apply().code == 0
    assert sorted(kept.tags["team/app-shim"]) == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "uploads/$"), ("PUT", "sessions"), ("PUT", "manifests/sha256"), ("PUT", "manifests/1$")],
)
@pytest.mark.parametrize("status", ["413 Content Too Large", "422 Unprocessable Content"])
def test_a_registry_that_takes_something_not(status: str, method: str, path: str, yard: Yard, kept: Kept) -> None:
    """It did answer: the app is refused, in its own words, with its status as a number; the run is finished."""
    assert yard.plan(APPS[1], to=TO).code == 0
    kept.faults = once(method, path, error(status, "SIZE_INVALID", "too much of it"), 99)
    answer = yard.apply("--json")
    assert answer.code == 1, answer
    progress = yard.progress()["app:1"]
    assert (progress["state"], progress["code"], progress["status"]) == ("refused", "unwritable", int(status[:3]))
    assert f"refused: it answered {status} (SIZE_INVALID: too much of it)" in progress["reason"]
    assert json.loads(answer.out)["apps"][0]["progress"] == progress
    valid("patch", json.loads(answer.out))
    valid("patch-journal", yard.lines()[-1])


def test_a_registry_that_names_manifests_by_sha512(yard: Yard, kept: Kept) -> None:
    """What it has is what was planned, whatever it calls it: nothing has moved, not the next time either."""
    kept.named = lambda data: f"sha512:{hashlib.sha512(data).hexdigest()}"
    assert yard.plan(*APPS, to=TO).code == 0
    assert (yard.apply().code, yard.apply().code) == (0, 0)
    assert {app: digest_of(yard.get(target(app)) or b"") for app in APPS} == {
        app: entry["new_digest"] for app, entry in yard.entries().items()
    }
    # The journal is gone, and what lies there is a stranger's.
    yard.journal.unlink()
    answer = yard.plan(APPS[0], to=TO)
    assert (answer.code, "is there already, as sha256:" in answer.err) == (3, True)


def test_an_app_that_is_named_by_sha512(yard: Yard, kept: Kept) -> None:
    """Its digest is what it is called by, in the plan and when that is applied."""
    data = kept.manifests["team/app"][kept.tags["team/app"]["0"]]
    digest = f"sha512:{hashlib.sha512(data[1]).hexdigest()}"
    kept.manifests["team/app"][digest] = data
    app = f"{yard.name('team/app')}@{digest}"
    words = (app, "--launcher", "shim", "--to", "{repository}-shim:1", "--journal", str(yard.journal))
    assert yard.run(*words).code == 0
    (entry,) = yard.entries().values()
    assert (entry["digest"], entry["decision"]) == (digest, "planned")
    assert yard.apply().code == 0
    assert kept.tags["team/app-shim"]["1"] == entry["new_digest"]


@pytest.mark.parametrize("conditional", [True, False])
def test_another_writer(conditional: bool, yard: Yard, kept: Kept) -> None:
    """Who writes a target between two looks at it keeps what was written."""
    assert yard.plan(*APPS, to=TO).code == 0
    theirs = kept.tags["team/app"]["2"]
    kept.conditional = conditional

    def faults(request: Request, _: int) -> Fault:
        # As soon as the manifest is there, and before the tag is looked at for the last time.
        if request.method == "PUT" and "manifests/sha256" in request.path:
            kept.manifests["team/app-shim"][theirs] = kept.manifests["team/app"][theirs]
            kept.tags["team/app-shim"]["1"] = theirs
        return None

    kept.faults = faults
    answer = yard.apply("--jobs", "1")
    codes = {app: one["code"] for app, one in yard.progress().items()}
    assert (answer.code, codes["app:1"], kept.tags["team/app-shim"]["1"]) == (1, "moved", theirs)
    assert codes["app:0"] == codes["app:2"] == ""


def test_what_lies_at_the_target_is_read_back(yard: Yard, kept: Kept) -> None:
    """A registry that has another thing than was written is not believed."""
    assert yard.plan(*APPS, to=TO).code == 0
    other = kept.tags["team/app"]["2"]

    def faults(request: Request, _: int) -> Fault:
        if request.method == "GET" and re.search("app-shim/manifests/1$", request.path):
            kind, data = kept.manifests["team/app"][other]
            return Reply(body=data, headers={"Content-Type": kind, "Docker-Content-Digest": other})
        return None

    kept.faults = faults
    assert yard.apply().code == 1
    assert yard.progress()["app:1"]["code"] == "not-as-written"
    assert yard.progress()["app:1"]["reason"].endswith(f"names {other}")


def test_a_mirror_of_the_target_is_not_asked(yard: Yard, kept: Kept) -> None:
    """Apps may come from a mirror; what was written is read back from the registry itself, whatever the mirror says."""

    def stale(request: Request) -> Reply:
        if "app-shim/manifests/" in request.path:
            kind, data = kept.manifests["team/app"][kept.tags["team/app"]["1"]]
            return Reply(body=data, headers={"Content-Type": kind})
        return Reply("404 Not Found")

    with hostile(stale) as mirror:
        options = ("--mirror", f"{yard.registry.host}=http://{mirror.host}")
        assert yard.plan(APPS[0], to=TO, options=options).code == 0
        answer = yard.apply(*options)
        assert (answer.code, kept.tags["team/app-shim"]["0"]) == (0, yard.entries()[APPS[0]]["new_digest"]), answer
        assert {one.method for one in mirror.requests} <= {"GET", "HEAD"}
        assert not [one for one in mirror.requests if "app-shim" in one.path]


def test_a_registry_that_is_down(yard: Yard, kept: Kept) -> None:
    """A plan is not finished, and says so; the same command goes on with it."""
    kept.faults = lambda request, _: Reply("503 Service Unavailable") if "app/manifests/1" in request.path else None
    answer = yard.plan(*APPS, to=TO, options=("--timeout", "2"))
    assert (answer.code, yard.entries()["app:1"]["decision"], yard.entries()["app:1"]["code"]) == (
        3,
        "failed",
        "unreachable",
    )
    answer = yard.apply("--timeout", "2")  # what is planned is written; no more comes of doing that again
    assert (answer.code, sorted(kept.tags["team/app-shim"])) == (3, ["0", "2"])
    assert "not finished: 1 app could not be planned; run the command again that made the plan" in answer.out
    kept.faults = lambda _, __: None
    assert yard.plan(*APPS, to=TO).code == 0
    assert yard.apply().code == 0
    assert sorted(kept.tags["team/app-shim"]) == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("status", "path", "said"),
    [
        ("401 Unauthorized", "/referrers/", "wants a login"),
        ("403 Forbidden", "/referrers/", "answered 403 Forbidden (NOT_FOR_YOU: no)"),
        (
            "422 Unprocessable Content",
            "/referrers/",
            "refused: it answered 422 Unprocessable Content (NOT_FOR_YOU: no)",
        ),
        ("503 Service Unavailable", "/referrers/", "answered 503 Service Unavailable (NOT_FOR_YOU: no)"),
        ("403 Forbidden", r"manifests/sha256-\w+\.sig", "answered 403 Forbidden"),
    ],
)
def test_referrers_that_the_registry_does_not_list(status: str, path: str, said: str, yard: Yard, kept: Kept) -> None:
    """They are information: that they are not known is said, in each form, and the app is patched all the same."""
    reply = error(status, "NOT_FOR_YOU")
    kept.faults = lambda request, _: reply if re.search(path, request.path) else None
    answer = yard.plan(APPS[0], to=TO, options=("--timeout", "2"))
    assert answer.code == 0, answer
    entry = yard.entries()[APPS[0]]
    assert (entry["decision"], entry["referrers"]) == ("planned", [])
    assert said in entry["referrers_unknown"]
    assert f"  behind:  referrers not listed: {entry['referrers_unknown']}\n" in answer.out
    assert "\nreferrers not listed: 1 app\n" in answer.out
    # A plan asks for no right to write, and never as somebody who may.
    assert "POST" not in {request.method for request in yard.registry.server.requests}  # type: ignore[attr-defined]
    for form in ("html", "markdown"):
        shown = yard.plan(APPS[0], to=TO, options=("--format", form)).out.replace("\\", "")
        assert f"referrers not listed: {entry['referrers_unknown']}" in shown
    applied = yard.apply("--timeout", "2")
    assert (applied.code, sorted(kept.tags["team/app-shim"])) == (0, ["0"])


def test_a_target_of_which_nothing_is_known(yard: Yard, kept: Kept) -> None:
    """An app whose registry does not say what lies at its target is refused, as it might be overwritten."""
    kept.faults = lambda request, _: error("403 Forbidden", "NO") if "app-shim/manifests/1" in request.path else None
    answer = yard.plan(*APPS, to=TO)
    assert (answer.code, {app: entry["code"] for app, entry in yard.entries().items()}) == (
        1,
        {"app:0": "", "app:1": "unwritable", "app:2": ""},
    )
    there = yard.name("team/app-shim:1")
    assert f"  why:     can't be written: what lies at {there} is not known: " in answer.out
    assert f"\n           skopeo inspect --raw docker://{there}\n" in answer.out
    assert (yard.apply().code, sorted(kept.tags["team/app-shim"])) == (1, ["0", "2"])


def test_targets_at_a_registry_that_does_not_answer(yard: Yard, kept: Kept) -> None:
    """These apps are not finished, and the others are planned; the same command goes on with them."""
    dead = "127.0.0.1:1/team/app:9"  # nobody listens there
    command = (dead, *(yard.name(yard.full(app)) for app in APPS), "--launcher", "shim", "--to", TO, "--timeout", "2")
    kept.faults = lambda request, _: (
        Reply("503 Service Unavailable") if "app-shim/manifests/2" in request.path else None
    )
    answer = yard.run(*command, "--journal", str(yard.journal))
    expected = {dead: "unreachable", "app:0": "", "app:1": "", "app:2": "unreachable"}
    assert (answer.code, {app: entry["code"] for app, entry in yard.entries().items()}) == (3, expected)
    assert "why:     what lies at 127.0.0.1:1/team/app-shim:9 is not known: " in answer.out
    kept.faults = lambda _, __: None
    answer = yard.run(*command, "--journal", str(yard.journal))
    expected["app:2"] = ""
    assert (answer.code, {app: entry["code"] for app, entry in yard.entries().items()}) == (3, expected)
    assert (yard.apply("--timeout", "2").code, sorted(kept.tags["team/app-shim"])) == (3, ["0", "1", "2"])
