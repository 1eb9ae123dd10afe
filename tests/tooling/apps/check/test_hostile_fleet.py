"""A fleet on a registry that is slow, cuts off, lies or never ends: never a wrong verdict, in bounded time."""

from __future__ import annotations

import dataclasses
import itertools
import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import images
import pytest
from bundles import Tool
from harness import APPS
from rebased import World
from registries import LOOPBACK, MANIFEST, HostileRegistry, Reply, Request, hostile

from metalauncher.tooling.oci.sources.registry import Registry

SECONDS = 5.0  # that one thing may take, in place of a minute
Answer = Callable[[Reply], Reply]


def _endless(good: Reply) -> Reply:
    return Reply(body=itertools.repeat(b"x" * 65536), cut=True, headers=good.headers)


def _bytes(good: Reply) -> bytes:
    assert isinstance(good.body, bytes)
    return good.body


def _drip(good: Reply) -> Reply:
    body = _bytes(good)
    pieces: Iterator[bytes | float] = itertools.chain.from_iterable(
        [(body[at : at + 1], 0.3) for at in range(len(body))]
    )
    return Reply(body=pieces, headers={**good.headers, "Content-Length": str(len(body))})


def _slow(good: Reply) -> Reply:
    body = _bytes(good)
    pieces: list[bytes | float] = [0.3, body[:100], 0.3, body[100:]]
    return Reply(body=pieces, headers={**good.headers, "Content-Length": str(len(body))})


def _changed(good: Reply) -> Reply:
    return Reply(body=_bytes(good).replace(b"0.", b"1."), headers=good.headers)


def _with(body: bytes) -> Answer:
    return lambda good: Reply(body=body, headers=good.headers)


def _status(status: str, **headers: str) -> Reply:
    return Reply(status, headers={name.replace("_", "-"): text for name, text in headers.items()})


# What a registry does to an app, when it is asked for what, and how the verdict says so.
ALL, BLOBS = "", "/blobs/"
WORSE: dict[str, tuple[str, Answer | Reply, str]] = {
    "401": (ALL, _status("401 Unauthorized"), "wants a login, but asks for neither basic nor bearer"),
    "challenge": (
        ALL,
        _status("401 Unauthorized", WWW_Authenticate='Basic realm="x"'),
        "wants a login, and none was found",
    ),
    "403": (ALL, _status("403 Forbidden"), "denies access: it answered 403 Forbidden"),
    "404": (ALL, _status("404 Not Found"), "has no such tag"),
    "404-blob": (BLOBS, _status("404 Not Found"), "has no such blob"),
    "429": (ALL, _status("429 Too Many Requests", Retry_After="99999"), "answered 429 Too Many Requests"),
    "500": (ALL, _status("500 Internal Server Error"), "answered 500 Internal Server Error"),
    "418": (ALL, _status("418 I'm a teapot"), "answered 418"),
    "loop": (ALL, _status("307 Temporary Redirect", Location="?again"), "redirect"),
    "away": (ALL, _status("307 Temporary Redirect", Location="http://192.0.2.1/"), "192.0.2.1"),
    "no-http": (ALL, Reply(body=b"220 smtp\r\n", raw=True, cut=True), "HTTP"),
    "cut": (ALL, Reply(body=b"", raw=True, cut=True), "connection"),
    "cut-blob": (BLOBS, Reply(body=[b"{"], cut=True), "ends after 1 of"),
    "drip": (ALL, _drip, "did not answer in time"),
    "drip-blob": (BLOBS, _drip, "did not answer in time"),
    "endless": (ALL, _endless, "larger than 4 MiB"),
    "endless-blob": (BLOBS, _endless, "longer than the"),
    "lies": (BLOBS, _changed, "another digest"),
    "html": (ALL, Reply(body=b"<html>log in</html>", headers={"Content-Type": "text/html"}), "JSON"),
    "schema-1": (ALL, _with(b'{"schemaVersion": 1, "fsLayers": []}'), "schema 1"),
    "bomb": (ALL, _with(b"[" * 100_000), "JSON"),
}
EACH = 3  # apps that are served in each way


class Town:
    """A registry with sound apps; what stands first in a name says how it is served."""

    def __init__(self, world: World) -> None:
        """Export an app for each way, so that none has a blob of another's but the launcher's layer."""
        self.layout = world.layout
        app = images.load_app("p12")
        for how in ("good", "slow", *WORSE):
            for number in range(EACH):
                own = dataclasses.replace(app, metadata=app.metadata + f"# {how} {number}\n".encode())
                images.export(world.layout, "old", own, "shim", f"{how}-{number}")
        self.digests = {entry["annotations"][images.REF_NAME]: entry["digest"] for entry in world.layout.entries}

    def __call__(self, request: Request) -> Reply:
        """Answer."""
        _, _, how, number, kind, what = request.path.partition("?")[0].split("/")
        if kind == "manifests":
            good = Reply(body=self.layout.blob(self.digests[f"{how}-{number}"]).read_bytes())
            good.headers["Content-Type"] = MANIFEST
        else:
            good = Reply(body=self.layout.blob(what).read_bytes())
        if how in ("good", "slow"):
            return good if how == "good" else _slow(good)
        part, answer, _ = WORSE[how]
        if part not in request.path:
            return good
        return answer if isinstance(answer, Reply) else answer(good)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for seconds where the client waits for a minute."""
    defaults: dict[str, Any] = Registry.__init__.__kwdefaults__ or {}
    assert {"seconds", "read_seconds", "connect_seconds"} <= defaults.keys()
    for name, seconds in (("seconds", SECONDS), ("read_seconds", 2.0), ("connect_seconds", 2.0)):
        monkeypatch.setitem(defaults, name, seconds)


@pytest.fixture
def town(world: World) -> Iterator[HostileRegistry]:
    """Return the registry."""
    with hostile(Town(world)) as server:
        yield server


@pytest.mark.usefixtures("impatient")
def test_fleet_on_a_hostile_registry(town: HostileRegistry, world: World, tool: Tool, tmp_path: Path) -> None:
    """Who can be read has the right verdict; who can't is unknown, and says why; nobody else is said to start."""
    apps = {f"{town.host}/{how}/{number}:1": how for how in ("good", "slow", *WORSE) for number in range(EACH)}
    (tmp_path / "apps.txt").write_text("\n".join(apps))
    options = ("--from", tmp_path / "apps.txt", "--run-image", world.reference("new"), "--json", "--no-cache")
    began = time.monotonic()
    answer = tool("check", *options)
    took = time.monotonic() - began
    assert (answer.code, answer.err) == (3, "")
    found = {result["app"]: result for result in answer.document["results"]}
    assert found.keys() == apps.keys()
    for app, how in apps.items():
        kind, reason = found[app]["kind"], found[app]["reason"]
        if how in ("good", "slow"):
            assert (kind, found[app]["launcher"]["version"]) == ("starts", "0.21.17"), app
        else:
            assert kind == "unknown", (app, reason)
            assert WORSE[how][2] in reason, (app, reason)
            assert reason.isprintable()
    assert answer.document["complete"]
    # Sixteen at a time: no more than every one of them waiting for its turn, several requests each.
    assert took < len(apps) / 16 * 4 * SECONDS + 10
    assert tool("check", *options[:4], "--no-cache", "--unknown", "warn", "--json").code == 0


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("how", ["403", "500", "cut", "endless", "lies", "drip", "404"])
def test_run_image_on_a_hostile_registry(town: HostileRegistry, tool: Tool, how: str) -> None:
    """Without the run image nothing can be said: the command can't finish, whatever the apps are."""
    app = f"{town.host}/good/0:1"
    began = time.monotonic()
    answer = tool("check", app, "--run-image", f"{town.host}/{how}/0:1", "--no-cache")
    assert time.monotonic() - began < 4 * SECONDS + 10
    assert (answer.code, answer.out) == (3, "")
    assert answer.err.startswith(f"ERROR: {town.host}/{how}/0:1: ")
    assert WORSE[how][2] in answer.err


def test_dead_registry(world: World, tool: Tool, tmp_path: Path) -> None:
    """Where nobody listens, a whole fleet is unknown soon: not each app waits as long as the first."""
    with socket.create_server((LOOPBACK, 0)) as free:
        host = f"{LOOPBACK}:{free.getsockname()[1]}"
    apps = [f"{host}/app-{number}:1" for number in range(400)]
    (tmp_path / "apps.txt").write_text("\n".join(apps))
    began = time.monotonic()
    answer = tool(
        "check", "--from", tmp_path / "apps.txt", "--run-image", world.reference("new"), "--no-cache", "--json"
    )
    assert time.monotonic() - began < 45
    assert answer.code == 3
    assert answer.document["counts"]["unknown"] == 400
    assert all(host in result["reason"] for result in answer.document["results"])


def test_hostile_images(world: World, tool: Tool, tmp_path: Path) -> None:
    """Configs that no exporter wrote, on a sound registry: unknown or refused, never a defect of ours."""
    tag = world.app(images.load_app("p12"), "shim")
    manifest, config = world.layout.image(tag)
    assert len(list(APPS.iterdir())) == 10
    odd: list[Any] = [None, 0, "x", [], {}, [None], {"": None}, "\ud800", 2**70, [[]], {"a": {"b": []}}]
    documents = [config | {key: value} for key in ("config", "rootfs", "history", "os") for value in odd]
    run = config["config"]
    documents += [
        config | {"config": run | {key: value}} for key in ("Env", "Entrypoint", "Cmd", "Labels") for value in odd
    ]
    documents += [
        config | {"config": run | {"Labels": {"io.buildpacks.lifecycle.metadata": json.dumps(value)}}} for value in odd
    ]
    apps = []
    for number, document in enumerate(documents):
        name = f"odd-{number}"
        blob = world.layout.put(json.dumps(document).encode(), manifest["config"]["mediaType"])
        data = json.dumps(manifest | {"config": blob}).encode()
        descriptor = world.layout.put(data, manifest["mediaType"])
        world.layout.entries.append(descriptor | {"annotations": {images.REF_NAME: name}})
        apps.append(f"oci:{world.layout.directory}:{name}")
    world.layout.save()
    (tmp_path / "apps.txt").write_text("\n".join(apps))
    answer = tool("check", "--from", tmp_path / "apps.txt", "--run-image", world.reference("new"), "--json")
    found = {result["app"]: result for result in answer.document["results"]}
    assert found.keys() == set(apps)
    defects = {app: result["reason"] for app, result in found.items() if "a defect" in result["reason"]}
    assert defects == {}
    assert answer.document["counts"]["unknown"] > 20
