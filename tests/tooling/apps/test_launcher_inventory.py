"""Which launcher a program is: what it says itself, then its module, then the label; and which of them it was."""

from __future__ import annotations

import json

import pytest

from metalauncher.tooling.apps.go_build_info import GoBuildInfo
from metalauncher.tooling.apps.launcher_inventory import TEXT_LIMIT, OwnLauncher, identify

LIFECYCLE = "github.com/buildpacks/lifecycle"
UPSTREAM = f"-s -w -X '{LIFECYCLE}/cmd.Version=0.20.11' -X '{LIFECYCLE}/cmd.SCMCommit=0123abc'"


def info(version: str = "(devel)", flags: str | None = None, module: str = LIFECYCLE, instead: str = "") -> GoBuildInfo:
    """Return what a launcher says."""
    settings = {} if flags is None else {"-ldflags": flags}
    return GoBuildInfo("go1.26.8", f"{module}/cmd/launcher", module, version, instead, settings)


def label(version: object) -> str:
    """Return a build label."""
    return json.dumps({"bom": None, "launcher": {"version": version, "source": {"git": {"commit": "0123abc"}}}})


@pytest.mark.parametrize(
    ("flags", "release"),
    [
        (UPSTREAM, "0.20.11"),
        (f"-X {LIFECYCLE}/cmd.Version=1", "1"),
        (f'-X="{LIFECYCLE}/cmd.Version=1"', None),  # quotes further inside do not count
        (f"-X={LIFECYCLE}/cmd.Version=1 --X {LIFECYCLE}/cmd.Version=2", "2"),
        ("-X example.com/fork/cmd.Version=3", "3"),
        (f"-X {LIFECYCLE}/cmd.Version=1 -X example.com/fork/cmd.Version=3", "1"),
        (f'"-X" "{LIFECYCLE}/cmd.Version=1 rc"', "1 rc"),
        (f"{LIFECYCLE}/cmd.Version=1", None),
        (f"-x {LIFECYCLE}/cmd.Version=1", None),
        (f"-X {LIFECYCLE}/cmd.Version", None),
        (f"-X {LIFECYCLE}/cmd.Version=", None),
        (f"-X {LIFECYCLE}/cmd.Version={'9' * (TEXT_LIMIT + 1)}", None),
        ("-X", None),
        ("", None),
    ],
)
def test_what_was_linked_in(flags: str, release: str | None) -> None:
    """The flags are split and read as Go's linker does."""
    found = identify(info(flags=flags), None)
    assert (found.release, found.source) == (release, "unknown" if release is None else "ldflags")
    assert (found.go_version, found.module) == ("go1.26.8", LIFECYCLE)


@pytest.mark.parametrize(
    ("said", "claimed", "release", "source"),
    [
        (info("v0.21.17"), "0.21.17", "0.21.17", "module"),
        (info("v0.21.17", UPSTREAM), "0.20.11", "0.20.11", "ldflags"),
        (info("(devel)"), "0.17.7", "0.17.7", "label"),
        (info(""), "v0.17.7", "0.17.7", "label"),
        (info("v0.21.17\n"), "0.17.7", "0.17.7", "label"),
        (info("(devel)"), None, None, "unknown"),
        (None, "0.1.1-alpha.4", "0.1.1-alpha.4", "label"),
        (None, None, None, "unknown"),
    ],
)
def test_where_it_is_read(said: GoBuildInfo | None, claimed: str | None, release: str | None, source: str) -> None:
    """The program before the label; and nothing where neither says it."""
    found = identify(said, None if claimed is None else label(claimed))
    assert (found.release, found.source, found.notes) == (release, source, ())


def test_a_program_that_contradicts_its_label() -> None:
    """The program wins, and that is said."""
    found = identify(info("v0.21.17"), label("0.17.7"))
    note = "the image's label io.buildpacks.build.metadata says 0.17.7, the program says 0.21.17"
    assert found == OwnLauncher("0.21.17", "go1.26.8", LIFECYCLE, "module", notes=(note,))


def test_a_replaced_module() -> None:
    """Its version is that of what was replaced: it tells nothing."""
    found = identify(info("v0.21.17", instead="example.com/fork@v1.0.0"), label("0.17.7"))
    note = "its module was replaced when it was built, by example.com/fork@v1.0.0"
    assert (found.release, found.source, found.notes) == ("0.17.7", "label", (note,))


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"launcher": []}', "[" * 100_000, label(None), label(7), label("a\nb"), label("1" * 300)],
)
def test_odd_labels(text: str) -> None:
    """What claims no release claims nothing."""
    assert identify(None, text) == OwnLauncher(None, None, None, "unknown")


@pytest.mark.parametrize(
    ("launcher", "name"),
    [
        (OwnLauncher("0.21.17", "go1.26.8", LIFECYCLE, "module"), "buildpacks/lifecycle 0.21.17"),
        (OwnLauncher("1", "go1.26.8", "example.com/x", "module"), "example.com/x 1"),
        (OwnLauncher(None, "go1.26.8", None, "unknown"), "Go program of an unknown release"),
        (OwnLauncher("0.1.1", None, None, "label"), "launcher 0.1.1"),
    ],
)
def test_names(launcher: OwnLauncher, name: str) -> None:
    """What people call it."""
    assert launcher.name == name
