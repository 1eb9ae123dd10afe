"""Small images as data: the layers of a run image and of an app on it, and the app's config, as a TOML file has them.

A member of a layer is a name, of what every exporter writes (STOCK), or a table whose first key is its kind and path:

    {dir = "/etc/cnb", mode = 0o700}              {link = "/a", to = "b"}        {hard = "/a", to = "/b"}
    {file = "/a", mode = 0o644, uid = 1, text = "…"}   {fifo = "/a"}   {device = "/a", number = [1, 3]}
    {gone = "/a"} (a whiteout)   {opaque = "/a"}   {drop = "/a"} (of what stands before it in the layer)

Of the archive alone, before the next member: {zeros = 1} (blocks), {pax = {path = "x"}}, {gnu = "a long name"}; and
`v7 = true` beside a member, whose header then has a prefix that V7 does not know.

What a file holds: `text`; `program = true`, which says that it ran (tests/native/mark.c), with `interpreter`,
`machine`, `poke` (pairs of a place and the byte there) or `keep` (the first bytes alone); or `from`: metalauncher,
another-build, zipapp, tini. Nothing of metalauncher's own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

import tomli
from images import LIFECYCLE, LINK, SHIM
from rebased import descriptor, metadata, place

Member = str | Mapping[str, Any]
Members = tuple[Member, ...]

METADATA = metadata("0.10")
# Roles of an app's layers; those of the first row have a label, and are written by lifecycle's exporter.
LABELLED = ("buildpack", "app", "launcher", "config", "process-types")
ROLES = (*LABELLED, "extension", "patch")
# What the exporter writes in a layer of that role, and below which directories alone.
WRITTEN = {
    "buildpack": ("/layers",),
    "app": ("/workspace",),
    "launcher": ("/cnb",),
    "config": ("/layers/config",),
    "process-types": ("/cnb/process",),
}
LABELS = ("lifecycle", "none", "no-top", "no-launcher", "no-config", "stale", "damaged")
KINDS = ("dir", "file", "link", "hard", "fifo", "device", "gone", "opaque", "drop", "zeros", "pax", "gnu")
HEADERS = ("zeros", "pax", "gnu")  # no members themselves
SPOILS = ("", "diff-id", "tag-twice", "dir")
_USERS = "root:x:0:0::/root:/\napp:x:1000:1000::/workspace:/\nother:x:1001:1001::/:/\n1002:x:1003:1003::/:/\n"
_GROUPS = "root:x:0:\napp:x:1000:\nother:x:1001:\nextra:x:2000:app\n"


def _folders(*paths: str) -> Members:
    return tuple({"dir": path} for path in paths)


@cache
def stock(name: str) -> Members:
    """Return what a name stands for."""
    known: dict[str, Members] = {
        "root": (
            *_folders("/etc", "/usr", "/usr/bin", "/usr/lib", "/usr/lib/cnb"),
            {"file": "/etc/passwd", "text": _USERS},
            {"file": "/etc/group", "text": _GROUPS},
        ),
        "metalauncher": (
            {"file": "/usr/bin/metalauncher", "mode": 0o755, "from": "metalauncher"},
            {"link": LINK, "to": "/usr/bin/metalauncher"},
        ),
        "app": (*_folders("/workspace"), {"file": "/workspace/data", "text": "data", "uid": 1000, "gid": 1000}),
        "launcher": (*_folders("/cnb", "/cnb/lifecycle"), {"link": LIFECYCLE, "to": LINK}),
        "shim": (*_folders("/cnb", "/cnb/lifecycle"), {"file": LIFECYCLE, "mode": 0o755, "text": SHIM.decode()}),
        "own": (*_folders("/cnb", "/cnb/lifecycle"), {"file": LIFECYCLE, "mode": 0o755, "program": True}),
        "config": (*_folders("/layers", "/layers/config"), {"file": "/layers/config/metadata.toml", "text": ""}),
        "process-types": (*_folders("/cnb", "/cnb/process"), {"link": "/cnb/process/web", "to": LIFECYCLE}),
        "tini": ({"file": "/usr/bin/tini", "mode": 0o755, "from": "tini"},),
    }
    if name.startswith("lifecycle@"):
        version = name.partition("@")[2]
        parts = place(version.rstrip("+")).split("/")
        above = ["/".join(parts[:number]) for number in range(5, len(parts))]
        return (
            *_folders("/usr", "/usr/lib", "/usr/lib/cnb", "/usr/lib/cnb/launchers.d", *[one for one in above if one]),
            {
                "file": f"/usr/lib/cnb/launchers.d/lifecycle@{version.rstrip('+')}.toml",
                "text": descriptor(version.rstrip("+"), defaults=version.endswith("+")).decode(),
            },
            {"file": place(version.rstrip("+")), "mode": 0o755, "program": True},
        )
    return known[name]


@dataclass(frozen=True)
class AppLayer:
    """One layer of an app image: what it is for, and its members."""

    role: str
    members: Members


def _default(role: str) -> AppLayer:
    return AppLayer(role, (role,))


@dataclass(frozen=True)
class Recipe:
    """A run image, an app, and what `check` ought to say of it.

    Attributes:
        what: the point of it, one line.
        expect: the verdict that it ought to be: its kind, or `refused CODE`.
        run: the layers of the run image above its first, which has `root` and `metalauncher`.
        layers: of the app, from the lowest.
        config: changes the exporter's config: User, Env, Entrypoint, Cmd, WorkingDir; what is false is left out.
        config_json: the whole of the config instead, to the letter.
        labels: one of LABELS.
        metadata: the text of the stock's metadata.toml.
        base: the first layer of the run image.
        spoil: `diff-id`: the config layer is not what the config says; `tag-twice`: the layout has the app's name
            twice; `dir`: `check` is asked about the unpacked image with its config.json.
    """

    what: str = ""
    expect: str = ""
    run: tuple[Members, ...] = (("lifecycle@0.21.17",),)
    layers: tuple[AppLayer, ...] = tuple(_default(role) for role in LABELLED[1:])
    config: Mapping[str, Any] = field(default_factory=dict)
    config_json: str = ""
    labels: str = "lifecycle"
    metadata: str = METADATA
    base: Members = ("root", "metalauncher")
    spoil: str = ""

    @property
    def is_honest(self) -> bool:
        """Each labelled layer holds what lifecycle's exporter writes into one: nothing elsewhere, and no whiteouts.

        And no layer of the app is one that could be of the run image that it was built on.
        """
        return not self._may_be_run_image and all(
            kind_of(one) not in ("gone", "opaque")
            and _is_below(path_of(one), WRITTEN[layer.role])
            and (kind_of(one) == "dir" or path_of(one) not in WRITTEN[layer.role])
            for layer in self.layers
            if layer.role in WRITTEN
            for one in expand(layer.members)
            if kind_of(one) not in HEADERS
        )

    @property
    def _may_be_run_image(self) -> bool:
        """The label names no layer of the run image, and below the app's lies more than lifecycle writes."""
        if self.labels not in ("none", "no-top", "damaged"):
            return False
        written = [path for paths in WRITTEN.values() for path in paths]
        for layer in self.layers:
            places = [path_of(one) for one in expand(layer.members) if kind_of(one) not in HEADERS]
            if not all(_is_below(path, written) for path in places):
                return True
            if any(path == one or path.startswith(f"{one}/") for path in places for one in written):
                return False
        return False

    @property
    def cuts(self) -> bool:
        """A program of the app's own layers is cut off: it may start, and crash."""
        return any("keep" in one for layer in self.layers for one in layer.members if not isinstance(one, str))


def _is_below(path: str, places: Sequence[str]) -> bool:
    return any(path == one or path.startswith(f"{one}/") or one.startswith(f"{path}/") for one in places)


def kind_of(member: Mapping[str, Any]) -> str:
    """Return a member's kind."""
    return next(kind for kind in KINDS if kind in member)


def path_of(member: Mapping[str, Any]) -> str:
    """Return a member's path, or what else stands beside its kind."""
    return str(member[kind_of(member)])


def expand(members: Members) -> list[dict[str, Any]]:
    """Return the members, names replaced; of one path the last counts, where the first stood."""
    found: dict[str, dict[str, Any]] = {}
    for number, member in enumerate(members):
        tables = stock(member) if isinstance(member, str) else (member,)
        for one in tables:
            assert not isinstance(one, str), "the stock holds no names"
            kind = kind_of(one)
            if kind == "drop":
                found.pop(one["drop"], None)
            else:
                key = f"{kind} {number}" if kind in (*HEADERS, "gone", "opaque") else path_of(one)
                found[key] = dict(one)
    return list(found.values())


def read_recipe(path: Path) -> Recipe:
    """Return the recipe of a file."""
    document = tomli.loads(path.read_text())
    known = {one.name for one in fields(Recipe)}
    assert document.keys() <= known, f"{path}: {document.keys() - known}"
    if "layers" in document:
        document["layers"] = tuple(
            AppLayer(one["role"], tuple(one.get("members", [one["role"]]))) for one in document["layers"]
        )
    if "run" in document:
        document["run"] = tuple(tuple(members) for members in document["run"])
    if "base" in document:
        document["base"] = tuple(document["base"])
    recipe = Recipe(**document)
    assert recipe.what, path
    assert all(layer.role in ROLES for layer in recipe.layers), path
    assert recipe.labels in LABELS, path
    assert recipe.spoil in SPOILS, path
    return recipe


def write_recipe(recipe: Recipe) -> str:
    """Return a recipe as a file has it; what is the default is left out."""
    default = Recipe()
    lines = [f"what = {_value(recipe.what)}", f"expect = {_value(recipe.expect)}"]
    texts: dict[str, Callable[[], str]] = {
        "labels": lambda: _value(recipe.labels),
        "spoil": lambda: _value(recipe.spoil),
        "metadata": lambda: _value(recipe.metadata),
        "config_json": lambda: _value(recipe.config_json),
        "base": lambda: _members(recipe.base),
        "run": lambda: "[" + ", ".join([_members(members) for members in recipe.run]) + "]",
    }
    lines += [f"{name} = {say()}" for name, say in texts.items() if getattr(recipe, name) != getattr(default, name)]
    if recipe.config:
        lines += ["", "[config]", *[f"{key} = {_value(value)}" for key, value in recipe.config.items()]]
    if recipe.layers != default.layers:
        for layer in recipe.layers:
            lines += ["", "[[layers]]", f"role = {_value(layer.role)}"]
            lines += [] if layer.members == (layer.role,) else [f"members = {_members(layer.members)}"]
    return "\n".join(lines) + "\n"


def _members(members: Members) -> str:
    return "[\n" + "".join([f"  {_value(member)},\n" for member in members]) + "]"


def _key(name: str) -> str:
    return name if name.replace("-", "").isalnum() else json.dumps(name)


def _value(value: Any, key: str = "") -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join([f"{_key(one)} = {_value(each, one)}" for one, each in value.items()]) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join([_value(each) for each in value]) + "]"
    if key == "mode" and isinstance(value, int):
        return f"0o{value:o}"
    return json.dumps(value)  # a TOML string, number or truth value, too
