"""launchers.d: the reference registry says what the releases support, and serves all that they ever exported."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import pytest
from harness import DATA, REFERENCE_REGISTRY
from making import environment, record, reference_registry, select

from metalauncher.descriptor import Launcher
from metalauncher.record import Record
from metalauncher.registry import Registry, read_descriptor
from metalauncher.selection import Selection

LINES: list[dict[str, Any]] = json.loads((DATA / "lifecycle_apis.json").read_text())["lines"]
REGISTRY = reference_registry()
LAUNCHERS = {repr(launcher): launcher for launcher in REGISTRY.launchers}
RUST = "hone/launcher-rs@0.1.1a4"
OPT_IN = "CNB_EXPERIMENTAL_RUST_LAUNCHER"


def test_launchers() -> None:
    """Three lifecycle launchers and the Rust one, each in a file named `<id with / as _>@<version>.toml`."""
    assert set(LAUNCHERS) == {
        "buildpacks/lifecycle@0.9.3",
        "buildpacks/lifecycle@0.17.7",
        "buildpacks/lifecycle@0.21.17",
        RUST,
    }
    for launcher in LAUNCHERS.values():
        assert launcher.descriptor == f"{launcher.id.replace('/', '_')}@{launcher.version}.toml"
        assert launcher.path == f"/usr/lib/cnb/launchers/{launcher.id}/{launcher.version}/launcher"
    assert len(list(REFERENCE_REGISTRY.glob("*.toml"))) == len(LAUNCHERS)


@pytest.mark.parametrize("version", ["0.9.3", "0.17.7", "0.21.17"])
def test_apis_are_the_release_data(version: str) -> None:
    """The lists, deprecated ones too, equal those of the release's api/apis.go."""
    (line,) = [line for line in LINES if line["to"] == version]
    launcher = LAUNCHERS[f"buildpacks/lifecycle@{version}"]
    for kind, found in (("platform", launcher.platform), ("buildpack", launcher.buildpack)):
        assert isinstance(found.supported, tuple)
        assert [str(api) for api in found.supported] == line["apis"][kind]["supported"]
        assert [str(api) for api in found.deprecated] == line["apis"][kind]["deprecated"]


def test_two_launchers_serve_all_history() -> None:
    """0.17.7 and 0.21.17 cover every Platform x Buildpack combination that lifecycle 0.9.0 to 0.21.17 could export.

    A launcher's APIs are runs without gaps, so a set of Buildpack APIs is covered if its oldest and its newest are:
    all pairs stand for all sets. The single-launcher property is what counts: one launcher covers the whole app.
    """
    two = Registry(tuple(LAUNCHERS[f"buildpacks/lifecycle@{version}"] for version in ("0.17.7", "0.21.17")))
    for launcher in two.launchers:
        for found in (launcher.platform, launcher.buildpack):
            assert isinstance(found.supported, tuple)
            assert [api[1] for api in found.supported] == list(range(found.oldest[1], found.newest[1] + 1))
    exported = {
        (platform, one, other)
        for line in LINES
        for platform in line["apis"]["platform"]["supported"]
        for one, other in product(line["apis"]["buildpack"]["supported"], repeat=2)
    }
    assert len(exported) > 800
    uncovered = [
        combination
        for combination in sorted(exported)
        if not isinstance(select(record(*combination), two, {}), Selection)
    ]
    assert uncovered == []
    alone = Registry(two.launchers[1:])
    assert any(not isinstance(select(record(*combination), alone, {}), Selection) for combination in exported)


def test_defaults_on_the_oldest_alone() -> None:
    """Only 0.9.x really serves apps that recorded no API at all (later ones fail on a buildpack's layers)."""
    defaults = {
        name: (str(launcher.platform.default), str(launcher.buildpack.default))
        for name, launcher in LAUNCHERS.items()
        if launcher.platform.default is not None or launcher.buildpack.default is not None
    }
    assert defaults == {"buildpacks/lifecycle@0.9.3": ("0.3", "0.2")}
    outcome = select(record(None, None, None), REGISTRY, {})
    assert isinstance(outcome, Selection)
    assert [repr(launcher) for launcher in outcome.ranked] == ["buildpacks/lifecycle@0.9.3"]


def _ranked(keys: frozenset[str], **variables: str) -> list[str]:
    outcome = select(record("0.9", "0.9", keys=keys), REGISTRY, environment(**variables))
    assert isinstance(outcome, Selection)
    return [repr(launcher) for launcher in outcome.ranked]


def test_rust_launcher_is_opt_in() -> None:
    """The Rust launcher goes first where it is asked for, and takes no part elsewhere or without the keys it needs."""
    both = frozenset(("processes", "buildpacks"))
    lifecycle = ["buildpacks/lifecycle@0.21.17", "buildpacks/lifecycle@0.17.7"]
    rust: Launcher = LAUNCHERS[RUST]
    assert rust.opt_in_env == OPT_IN
    assert rust.requires == ("processes", "buildpacks")
    assert _ranked(both) == lifecycle
    assert _ranked(both, **{OPT_IN: "true"}) == [RUST, *lifecycle]
    for keys in (frozenset({"processes"}), frozenset({"buildpacks"}), frozenset({"Processes", "buildpacks"})):
        assert _ranked(keys, **{OPT_IN: "true"}) == lifecycle


def test_other_launchers_need_nothing() -> None:
    """The lifecycle's launchers take part always, whatever keys metadata.toml has, all on one level."""
    for name, launcher in LAUNCHERS.items():
        if name != RUST:
            assert (launcher.opt_in_env, launcher.requires, launcher.priority) == (None, (), 0)


def test_optional_launcher() -> None:
    """Lifecycle 0.11.4 beside the others serves the apps that only it reads, and no other."""
    (file,) = (REFERENCE_REGISTRY / "optional").iterdir()
    optional = read_descriptor(str(file).encode(), file.name)
    assert isinstance(optional, Launcher)
    assert file.name == "buildpacks_lifecycle@0.11.4.toml"
    (line,) = [line for line in LINES if line["to"] == "0.11.4"]
    for kind, found in (("platform", optional.platform), ("buildpack", optional.buildpack)):
        assert isinstance(found.supported, tuple)
        assert [str(api) for api in found.supported] == line["apis"][kind]["supported"]
        assert found.default is None
    every = Registry((*REGISTRY.launchers, optional))
    for platform, buildpack in product(("0.3", "0.4", "0.5", "0.6"), ("0.2", "0.4", "0.5", "0.6")):
        plain = record(platform, buildpack)
        for oddities, defect, best in (
            ((), None, "0.17.7"),
            (("control-characters",), "not TOML", "0.11.4"),
            (("replacement-characters",), None, "0.11.4"),
            (("byte-order-mark",), None, "0.17.7"),
        ):
            odd = Record(plain.platform_api, platform, plain.buildpacks, plain.keys, "", oddities, defect)
            outcome = select(odd, every, {})
            assert isinstance(outcome, Selection)
            assert outcome.ranked[0].version == best
