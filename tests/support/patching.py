"""Apps in a real registry that carry a launcher of their own, and `patch` over them as a program."""

from __future__ import annotations

import contextlib
import http.client
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import images
from bundles import Answer, as_process
from images import Json
from rebased import World, metadata
from registries import RealRegistry, digest_of

LABEL = "io.buildpacks.lifecycle.metadata"
RUN = "base/run:1"


@dataclass
class Yard:
    """A registry, and a world whose images are pushed to it.

    Attributes:
        registry: running.
        world: where images are made.
        folder: for journals and records.
        pushed: the digest of each `REPOSITORY:TAG`.
    """

    registry: RealRegistry
    world: World
    folder: Path
    pushed: dict[str, str] = field(default_factory=dict)

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
        label: Json | None = None,
    ) -> str:
        """Export an app, and push it.

        Args:
            name: `REPOSITORY:TAG`.
            on: the run image inside it.
            named: what its label calls its run image, in this registry; None for nothing.
            route: of its launcher.
            apis: of its buildpacks.
            platform_api: recorded.
            change: of its config's `config`.
            label: what else its lifecycle label says.
        """
        app = images.make_app(name, metadata(*apis, more=f"# {name}\n"), platform_api)
        executable = self.world.rig.launcher if route == "self-contained" else b""
        tag = self.world.app(app, route, on, executable=executable)
        manifest, config = self.world.layout.image(tag)
        document = json.loads(config["config"]["Labels"][LABEL])
        if named is not None:
            document["runImage"]["image"] = self.name(named)
        document |= label or {}
        config["config"]["Labels"][LABEL] = json.dumps(document)
        self.world.put(tag, manifest["layers"], config, (), change or {})
        return self.push(tag, name)

    def run(self, *words: str, **environ: str) -> Answer:
        """Run `patch`."""
        return as_process("patch", "--no-cache", *words, environ={"HOME": str(self.folder), **environ})

    def plan(self, *apps: str, to: str = "{repository}:{tag}-shim", options: tuple[str, ...] = ()) -> Answer:
        """Plan, by names without the registry's host."""
        names = [self.name(app) if "/" in app and self.registry.host not in app else app for app in apps]
        return self.run(*names, "--launcher", "shim", "--to", to, "--journal", str(self.journal), *options)

    def apply(self, *options: str) -> Answer:
        """Apply the plan."""
        return self.run("--apply", str(self.journal), *options)

    def lines(self) -> list[Json]:
        """Return the journal's lines."""
        return [json.loads(line) for line in self.journal.read_text().splitlines()]

    def entries(self) -> dict[str, Json]:
        """Return the plan of each app, by its name without the host."""
        prefix = f"{self.registry.host}/"
        return {line["entry"]["app"].removeprefix(prefix): line["entry"] for line in self.lines() if "entry" in line}

    def progress(self) -> dict[str, Json]:
        """Return what became of each app, the last."""
        prefix = f"{self.registry.host}/"
        found = [line["progress"] for line in self.lines() if "progress" in line]
        return {each["app"].removeprefix(prefix): each for each in found}

    def get(self, name: str, what: str = "manifests") -> bytes | None:
        """Return a manifest or a blob as the registry has it; None where it has none."""
        repository, _, reference = name.partition("@") if "@" in name else name.rpartition(":")
        with contextlib.closing(http.client.HTTPConnection(self.registry.host, timeout=20)) as connection:
            accept = f"{images.OCI}.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
            connection.request("GET", f"/v2/{repository}/{what}/{reference}", headers={"Accept": accept})
            answer = connection.getresponse()
            data = answer.read()
            assert answer.status in (200, 404), (answer.status, data)
            return data if answer.status == 200 else None

    def digest(self, name: str) -> str | None:
        """Return what a tag names, None where there is none."""
        data = self.get(name)
        return None if data is None else digest_of(data)
