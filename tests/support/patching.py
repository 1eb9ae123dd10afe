"""Apps in a real registry that carry a launcher of their own, and `patch` over them as a program."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import images
from bundles import Answer, as_process
from images import Json
from keeping import Kept, keeping
from rebased import World, metadata
from registries import HostileRegistry, digest_of

LABEL = "io.buildpacks.lifecycle.metadata"
RUN = "base/run:1"


class Pushes(Protocol):
    """A registry that takes images."""

    @property
    def host(self) -> str:
        """Where it is."""

    def push(
        self, repository: str, *, blobs: Iterable[bytes] = (), manifests: Iterable[tuple[str, bytes]] = ()
    ) -> None:
        """Take blobs and manifests, as `RealRegistry` does."""


@dataclass
class KeptRegistry:
    """What `keeping` runs."""

    kept: Kept
    server: HostileRegistry

    @property
    def host(self) -> str:
        """Where it is."""
        return self.server.host

    def push(
        self, repository: str, *, blobs: Iterable[bytes] = (), manifests: Iterable[tuple[str, bytes]] = ()
    ) -> None:
        """Put in what is pushed, without a request."""
        self.kept.blobs[repository] |= {digest_of(blob): blob for blob in blobs}
        for tag, manifest in manifests:
            self.kept.manifests[repository][digest_of(manifest)] = json.loads(manifest)["mediaType"], manifest
            self.kept.tags[repository][tag] = digest_of(manifest)


@dataclass
class Yard:
    """A registry, and a world whose images are pushed to it.

    Attributes:
        registry: running.
        world: where images are made.
    """

    registry: Pushes
    world: World
    folder: Path
    pushed: dict[str, str] = field(default_factory=dict)
    team: str = "team"

    def full(self, name: str) -> str:
        """Return `REPOSITORY:TAG` of an app that is called `NAME:TAG` for short."""
        return name if "/" in name else f"{self.team}/{name}"

    @property
    def journal(self) -> Path:
        """Where the plan is kept."""
        return self.folder / "journal.jsonl"

    def name(self, name: str) -> str:
        """Return an image's name in full."""
        return f"{self.registry.host}/{name}"

    def push(self, tag: str, name: str) -> str:
        """Push an image of the world's layout."""
        layout = self.world.layout
        (entry,) = [each for each in layout.entries if each["annotations"][images.REF_NAME] == tag]
        manifest = layout.read(entry["digest"])
        repository, _, version = name.rpartition(":")
        digests = {each["digest"] for each in (manifest["config"], *manifest["layers"])}
        self.registry.push(
            repository,
            blobs=[layout.blob(digest).read_bytes() for digest in sorted(digests)],
            manifests=[(version, layout.blob(entry["digest"]).read_bytes())],
        )
        self.pushed[name] = entry["digest"]
        return self.name(name)

    def app(
        self,
        name: str,
        *,
        on: str = "two",
        named: str | None = RUN,
        route: str = "self-contained",
        apis: tuple[str, ...] = ("0.10",),
        platform_api: str = "0.12",
        change: dict[str, Any] | None = None,
        labels: Mapping[str, str] | None = None,
        label: Json | None = None,
        label_run_image: Json | None = None,
        stack: Json | None = None,
        above: Iterable[images.Layer] = (),
        executable: bytes = b"",
    ) -> str:
        """Export an app, and push it.

        Args:
            name: `NAME:TAG`, of the team.
            on: the run image inside it.
            named: what its label calls its run image, in this registry; None for nothing.
            route: of its launcher.
            apis: of its buildpacks.
            platform_api: recorded.
            change: of its config's `config`.
            labels: others that it has.
            label: what else its lifecycle label says.
            label_run_image: what that says of the run image, besides its topmost layer.
            stack: what it says of it where images of before Platform API 0.12 do.
            above: layers on top, which no label names.
            executable: of its own; empty: the world's launcher.
        """
        app = images.make_app(name, metadata(*apis, more=f"# {name}\n"), platform_api)
        executable = executable or self.world.rig.launcher
        tag = self.world.app(app, route, on, executable=executable if route == "self-contained" else b"")
        manifest, config = self.world.layout.image(tag)
        document = json.loads(config["config"]["Labels"][LABEL])
        if named is not None:
            document["runImage"]["image"] = self.name(named)
        document["runImage"] |= label_run_image or {}
        if stack is not None:
            del document["runImage"]["image"]
            document["stack"] = {"runImage": stack}
        document |= label or {}
        config["config"]["Labels"] |= {LABEL: json.dumps(document), **(labels or {})}
        self.world.put(tag, manifest["layers"], config, above, change or {})
        return self.push(tag, self.full(name))

    def run(self, *words: str, command: str = "patch", **environ: str) -> Answer:
        """Run a command that asks registries."""
        return as_process(command, "--no-cache", *words, environ={"HOME": str(self.folder), **environ})

    def plan(
        self,
        *apps: str,
        to: str = "{repository}:{tag}-shim",
        launcher: str = "shim",
        options: tuple[str, ...] = (),
    ) -> Answer:
        """Plan apps of the team."""
        names = [self.name(self.full(app)) for app in apps]
        return self.run(*names, "--launcher", launcher, "--to", to, "--journal", str(self.journal), *options)

    def apply(self, *options: str) -> Answer:
        """Apply the plan."""
        return self.run("--apply", str(self.journal), *options)

    def lines(self) -> list[Json]:
        """Return the journal's lines."""
        return [json.loads(line) for line in self.journal.read_text().splitlines()]

    def entries(self) -> dict[str, Json]:
        """Return the plan of each app, by its name without the host."""
        prefix = f"{self.registry.host}/{self.team}/"
        return {line["entry"]["app"].removeprefix(prefix): line["entry"] for line in self.lines() if "entry" in line}

    def progress(self) -> dict[str, Json]:
        """Return what became of each app, the last."""
        prefix = f"{self.registry.host}/{self.team}/"
        found = [line["progress"] for line in self.lines() if "progress" in line]
        return {each["app"].removeprefix(prefix): each for each in found}

    def get(self, name: str, what: str = "manifests") -> bytes | None:
        """Return a manifest or a blob as the registry has it; None where it has none."""
        name = self.full(name)
        repository, _, reference = name.partition("@") if "@" in name else name.rpartition(":")
        with contextlib.closing(http.client.HTTPConnection(self.registry.host, timeout=20)) as connection:
            accept = f"{images.OCI}.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
            connection.request("GET", f"/v2/{repository}/{what}/{reference}", headers={"Accept": accept})
            answer = connection.getresponse()
            data = answer.read()
            assert answer.status in {200, 404}, (answer.status, data)
            return data if answer.status == 200 else None

    def digest(self, name: str) -> str | None:
        """Return what a tag names, None where there is none."""
        data = self.get(name)
        return None if data is None else digest_of(data)

    def config(self, name: str) -> bytes:
        """Return an image's config."""
        digest = json.loads(self.get(name) or b"")["config"]["digest"]
        found = self.get(f"{self.full(name).rpartition(':')[0]}@{digest}", "blobs")
        assert found is not None
        return found


@contextlib.contextmanager
def kept_yard(kept: Kept, world: World, folder: Path, apps: Iterable[str]) -> Iterator[tuple[Yard, HostileRegistry]]:
    """Run a registry that keeps what it gets, with a run image and apps on it; give the yard, and the registry."""
    with keeping(kept) as server:
        found = Yard(KeptRegistry(kept, server), world, folder)
        found.push("two", RUN)
        for app in apps:
            found.app(app)
        yield found, server
