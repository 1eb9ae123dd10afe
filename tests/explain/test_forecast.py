"""forecast.py: what each release's launcher will refuse. A case is a file of tests/data/forecasts, `.expect` by it.

An `.expect` has a line for each release in tests/real/launchers. What it says is held against those launchers.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from harness import DATA
from making import launcher
from reading import NEW, OLD, VERSIONS, forecast, start
from real_launchers import EACH, Launchers

from metalauncher.environment import Policy
from metalauncher.explain.forecast import foretell
from metalauncher.record import parse_record

CASES = sorted((DATA / "forecasts").glob("*.toml"))


def expected(file: Path) -> dict[str, str]:
    """Return what is foretold of each release."""
    lines = file.with_suffix(".expect").read_text().splitlines()
    return dict([line.split(": ", 1) for line in lines])


def summary(data: bytes) -> str:
    """Return what is foretold, as `.expect` files have it."""
    lines: list[str] = []
    for version in VERSIONS:
        found = forecast(data, version)
        code = "" if found.exit_code is None else f"exit code {found.exit_code}, "
        text = f"unknown, {found.doubt}" if found.doubt else f"{code}{found.reason}" if found.reason else "starts"
        lines.append(f"{version}: {text}\n")
    return "".join(lines)


def test_there_are_cases() -> None:
    """There are cases, each with its expectation, and each is a file that metalauncher itself can read."""
    assert len(CASES) > 60
    assert [file.stem for file in CASES] == [file.stem for file in sorted((DATA / "forecasts").glob("*.expect"))]
    for file in CASES:
        assert parse_record(file.read_bytes(), file.name, Policy({})).buildpacks


@pytest.mark.parametrize("file", CASES, ids=lambda file: file.stem)
def test_case(file: Path) -> None:
    """What is foretold of each release is the text beside the case."""
    found = summary(file.read_bytes())
    if os.environ.get("METALAUNCHER_UPDATE"):
        file.with_suffix(".expect").write_text(found)
    assert found == file.with_suffix(".expect").read_text()


@pytest.mark.parametrize("version", EACH)
def test_launchers_do_what_is_foretold(version: str, real: Launchers) -> None:
    """Each launcher starts the app of every case of which it is foretold, and of no other."""
    executable = real[version].executable
    platform, buildpack = NEW if VERSIONS.index(version) >= VERSIONS.index("0.13.5") else OLD
    wrong: list[str] = []
    for file in CASES:
        said = expected(file)[version]
        started = start(
            executable, file.read_bytes().replace(b'api = "0.7"', f'api = "{buildpack}"'.encode()), platform
        )
        code = int(said.split()[2].rstrip(",")) if said.startswith("exit code") else None
        if not said.startswith("unknown") and (
            started.read != (said == "starts") or (code is not None and started.code != code)
        ):
            wrong.append(f"{file.stem}: {said}; it did {started}")
    assert wrong == []


def test_of_others_only_their_descriptors_are_known() -> None:
    """Of a launcher that is no release of lifecycle nothing is foretold but what its descriptor says."""
    for file in CASES:
        data = file.read_bytes()
        assert foretell(data, launcher("acme/launcher@0.17.7")).reason == ""
        assert foretell(data, launcher("buildpacks/lifecycle@7.0.0")).reason == ""
    data = (DATA / "forecasts/raw-escape.toml").read_bytes()
    found = foretell(data, launcher("acme/launcher@1", cannot_read=("control-characters",)))
    assert (found.reason, found.exit_code) == ("can't read raw control characters in metadata.toml", 1)
    assert foretell(data, launcher("acme/launcher@1", cannot_read=("byte-order-mark",))).reason == ""


def test_a_rebuild_reads_what_its_release_does() -> None:
    """A vendor's rebuild of a release is that release; between two parsers only what both refuse is foretold."""
    data = (DATA / "forecasts/inline-table-with-a-last-comma.toml").read_bytes()
    assert forecast(data, "0.17.7+vendor.1").reason == forecast(data, "0.17.7").reason != ""
    assert forecast(data, "0.21.3").reason == forecast(data, "0.21.17").reason == ""
    assert forecast(data, "0.21.0").reason != ""


def test_processes_of_strings_at_their_own_release() -> None:
    """Lifecycle 0.15.0 alone wrote processes as an array of strings, and by its source reads them."""
    data = (DATA / "forecasts/processes-of-strings.toml").read_bytes()
    assert forecast(data, "0.15.0").reason == ""
    assert forecast(data, "0.15.1").reason == "can't read metadata.toml: processes[0] is a string, not a table"


@pytest.mark.parametrize("data", [b"", b"= broken", b"\xff\xfe", b"a = \x01"])
def test_nothing_is_foretold_of_what_is_no_file_at_all(data: bytes) -> None:
    """What metalauncher itself refuses is not this module's to judge."""
    assert forecast(data, "0.17.7").reason == ""
