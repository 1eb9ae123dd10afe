"""What apps share is put into a repository once in a run, though they are written at one time."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from keeping import Fault, Kept, error
from patching import KeptRegistry, Yard, kept_yard
from rebased import World
from registries import HostileRegistry, Request

APPS = ("app:0", "app:1", "app:2", "web:0")  # of two repositories
TO = "{repository}-shim:{tag}"
_TARGET = re.compile(r"/v2/(team/\w+-shim)/(blobs|sessions|manifests)/(?:uploads/)?([^?]*)(.*)")


class Together:
    """Lets all apps be written at one time: none goes on before each looked at its target, and writing takes long."""

    def __init__(self) -> None:
        """Begin."""
        self._barrier = threading.Barrier(len(APPS), timeout=120)
        self._seen: set[str] = set()

    def __call__(self, request: Request) -> None:
        """Let a request wait."""
        match = _TARGET.fullmatch(request.path)
        if match is None:
            return
        if request.method == "HEAD" and match[2] == "manifests" and request.path not in self._seen:
            self._seen.add(request.path)
            self._barrier.wait()
        if request.method in ("POST", "PUT"):
            time.sleep(0.2)


@pytest.fixture
def yard(world: World, tmp_path: Path, kept: Kept) -> Iterator[Yard]:
    """Return a plan for some apps of two repositories, about to be applied to all of them at one time."""
    with kept_yard(kept, world, tmp_path, APPS) as (found, server):
        assert found.plan(*APPS, to=TO).code == 0
        server.requests.clear()
        kept.hold = Together()
        yield found


def asked(yard: Yard) -> Counter[tuple[str, str, str]]:
    """Return how often each blob was asked for, mounted or sent: by what was done, repository and digest."""
    assert isinstance(yard.registry, KeptRegistry)
    server: HostileRegistry = yard.registry.server
    found: Counter[tuple[str, str, str]] = Counter()
    for request in server.requests:
        match = _TARGET.fullmatch(request.path)
        if match is None or match[2] == "manifests":
            continue
        query = dict(part.split("=", 1) for part in match[4].removeprefix("?").split("&") if "=" in part)
        digest = unquote(query.get("mount") or query.get("digest") or match[3])
        if digest.startswith("sha256:"):
            found[request.method, match[1], digest] += 1
    return found


def layers(yard: Yard, name: str) -> set[str]:
    """Return the layers of an image."""
    return {layer["digest"] for layer in json.loads(yard.get(name) or b"")["layers"]}


@pytest.mark.parametrize("mounts", [True, False])
def test_what_is_shared_moves_once(mounts: bool, yard: Yard, kept: Kept) -> None:
    """Each blob is mounted once in a repository; where that can't be done it is looked for, and sent, once."""
    kept.mounts = mounts
    answer = yard.apply()
    assert answer.code == 0, answer
    counts = asked(yard)
    for repository, apps in (("team/app", APPS[:3]), ("team/web", APPS[3:])):
        before: set[str] = set().union(*[layers(yard, app) for app in apps])
        after = [layers(yard, app.replace(":", "-shim:")) for app in apps]
        shared = set.intersection(*after)
        assert len(shared) >= 3
        assert shared - before  # the shim's layer, which is new
        for digest in set[str]().union(*after):
            moved = {method: counts[method, f"{repository}-shim", digest] for method in ("POST", "HEAD", "PUT")}
            if digest not in before:
                # Looked for and sent once; and each app that is read back has it looked for again.
                assert moved == {"POST": 0, "HEAD": 1 + sum([digest in each for each in after]), "PUT": 1}
            else:
                assert moved == ({"POST": 1, "HEAD": 0, "PUT": 0} if mounts else {"POST": 1, "HEAD": 1, "PUT": 1})


def test_a_blob_that_one_app_could_not_put(yard: Yard, kept: Kept) -> None:
    """The next app that wants it puts it, and is written; nobody waits for ever, or takes it to be there."""
    kept.mounts = False
    # The base's own: an app's launcher, which all have too, is replaced and never sent.
    shared = json.loads(yard.get(APPS[0]) or b"")["layers"][0]["digest"]
    assert all(shared in layers(yard, app) for app in APPS)
    failed: list[str] = []

    def faults(request: Request, _: int) -> Fault:
        match = _TARGET.fullmatch(request.path)
        if request.method == "PUT" and match and match[2] == "sessions" and shared in unquote(match[4]):
            failed.append(match[1])
            if failed.count("team/app-shim") == 1 and match[1] == "team/app-shim":
                return error("403 Forbidden", "DENIED", "not now")
        return None

    kept.faults = faults
    answer = yard.apply()
    assert answer.code == 1, answer
    states = Counter([(one["state"], one["code"]) for one in yard.progress().values()])
    assert states == {("written", ""): 3, ("refused", "unwritable"): 1}
    assert Counter(failed) == {"team/app-shim": 2, "team/web-shim": 1}  # once in vain, and once for the others
    kept.hold = lambda _: None
    assert yard.apply().code == 0
    assert Counter(failed) == {"team/app-shim": 2, "team/web-shim": 1}  # it was there
