"""A recipe that random changes are made to, and the places that they are made in."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from baking import environ
from rebased import metadata, place
from recipes import LABELLED, AppLayer, Member, Recipe

VERSIONS = ("0.21.17", "0.17.7")
LAUNCHER = place(VERSIONS[0])
METADATA_PATH = "/layers/config/metadata.toml"
DESCRIPTOR = f"/usr/lib/cnb/launchers.d/lifecycle@{VERSIONS[0]}.toml"
METALAUNCHER = "/usr/bin/metalauncher"
WEB = "/cnb/process/web"
MODES = (0o755, 0o755, 0o700, 0o711, 0o744, 0o750, 0o555, 0o005, 0o070, 0o000, 0o1777, 0o2755)
FILE_MODES = (0o755, 0o644, 0o600, 0o700, 0o711, 0o750, 0o640, 0o044, 0o055, 0o000, 0o111, 0o4755)
OWNERS = ((0, 0), (0, 0), (1000, 1000), (0, 1000), (1001, 1001), (0, 2000), (1000, 0))
USERS = (
    "",
    "0",
    "root",
    "1000",
    "1000:1000",
    "app",
    "app",
    "app:app",
    "app:extra",
    "app:2000",
    "other",
    "1001",
    "1002",
)
ODD_USERS = ("nobody", "1500", "0:1000", "app:nogroup", "1000:", ":1000", "root:app", "-1", "4294967296", "1000:extra")
FOLDERS_OF_RUN = (
    *("/usr", "/usr/bin", "/usr/lib", "/usr/lib/cnb", "/usr/lib/cnb/launchers.d", "/usr/lib/cnb/launchers", "/etc"),
    *("/usr/lib/cnb/launchers/buildpacks", LAUNCHER.rpartition("/")[0], "/etc/cnb", "/etc/cnb/launchers.d"),
)
FOLDERS_OF_APP = ("/cnb", "/cnb/process", "/cnb/lifecycle", "/layers", "/layers/config", "/workspace")


@dataclass
class Draft:
    """A recipe that is being changed."""

    chance: random.Random = field(default_factory=random.Random)
    run: list[list[Member]] = field(default_factory=lambda: [[f"lifecycle@{VERSIONS[0]}"]])
    layers: list[tuple[str, list[Member]]] = field(default_factory=lambda: [(role, [role]) for role in LABELLED[1:]])
    config: dict[str, Any] = field(default_factory=dict)
    env: list[str] = field(default_factory=environ)
    keys: list[tuple[str, Any]] = field(default_factory=list)
    labels: str = "lifecycle"
    metadata: str = metadata("0.10")
    spoil: str = ""

    def pick(self, options: Sequence[Any]) -> Any:
        """Return one of these."""
        return self.chance.choice(options)

    def of(self, role: str) -> list[Member]:
        """Return the members of the layer of a role, of a new one where there is none."""
        for found, members in self.layers:
            if found == role:
                return members
        return self.add("patch")

    def add(self, role: str) -> list[Member]:
        """Return the members of a new layer: extensions lie lowest, patches on top."""
        members: list[Member] = []
        self.layers.insert(0 if role in ("extension", "buildpack") else len(self.layers), (role, members))
        return members

    def above(self) -> list[Member]:
        """Return the members of a new layer of the app that may hold anything."""
        return self.add(self.pick(("patch", "patch", "extension", "buildpack")))

    def somewhere(self) -> list[Member]:
        """Return the members of a layer of the run image, or of a new one of the app."""
        return self.run[-1] if self.run and self.chance.random() < 0.5 else self.above()

    def set_env(self, name: str, value: str) -> None:
        """Give a variable another value."""
        self.env = [entry for entry in self.env if not entry.startswith(f"{name}=")] + [f"{name}={value}"]

    def recipe(self, what: str) -> Recipe:
        """Return what it has become."""
        config = {**self.config, **({} if self.env == environ() else {"Env": self.env})}
        exporters = {"Entrypoint": [WEB], "Env": self.env, "WorkingDir": "/workspace", "User": "1000:1000"}
        text = ""
        if self.keys:
            full = [*{**exporters, **config}.items(), *self.keys, ("Labels", "@labels")]
            text = "{" + ",".join([f"{json.dumps(key)}:{json.dumps(value)}" for key, value in full]) + "}"
        return Recipe(
            what=what,
            run=tuple([tuple(members) for members in self.run]),
            layers=tuple([AppLayer(role, tuple(members)) for role, members in self.layers]),
            config={} if text else config,
            config_json=text,
            labels=self.labels,
            metadata=self.metadata,
            spoil=self.spoil,
        )


def owned_by(draft: Draft, modes: Sequence[int]) -> dict[str, int]:
    """Return a mode, one of these, and an owner."""
    uid, gid = draft.pick(OWNERS)
    return {"mode": draft.pick(modes), "uid": uid, "gid": gid}
