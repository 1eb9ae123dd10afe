"""docs/reference/container-registries.md tells the truth: its commands run, its tables are the program's."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import images
import pytest
from fleets import stock
from harness import PROJECT
from pages import agrees, blocks, commands
from rebased import World, metadata
from registries import Certificate, RealRegistry, auth, make_certificate, start_registry

from metalauncher.tooling.oci import referrers, uploads
from metalauncher.tooling.oci.http import credential_helpers as helpers
from metalauncher.tooling.oci.http import credentials, login_files
from metalauncher.tooling.oci.http import deadlines as wire
from metalauncher.tooling.oci.http import rate_limit as pace
from metalauncher.tooling.oci.sources import registry

PAGE = PROJECT / "docs/reference/container-registries.md"
TEXT = PAGE.read_text()
HOST = "registry.example.com"
LOGIN = ("ann", "s3cret pass:word")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """Return a certificate for loopback."""
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def served(world: World, certificate: Certificate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    """Run the registry that the page speaks of."""
    shop = world.app(images.make_app("shop", metadata("0.10"), "0.12"))
    folder = tmp_path_factory.mktemp("registry")
    stock(folder, world.layout, {"team/shop:1": shop, "hub/library/shop:1": shop, "base/run:noble": "new"})
    with contextlib.closing(start_registry(folder, htpasswd=LOGIN, tls=certificate)) as running:
        yield running


def test_commands(served: RealRegistry, certificate: Certificate, tmp_path: Path) -> None:
    """Each, one after the other, in one directory."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/metalauncher"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m metalauncher "$@"\n')
    program.chmod(0o755)
    (tmp_path / "certs").mkdir()
    (tmp_path / "certs/ca.crt").write_bytes(certificate.file.read_bytes())
    (tmp_path / "password").write_text(LOGIN[1])
    (tmp_path / "other.json").write_text(json.dumps({"auths": {"other.example": {"auth": auth(*LOGIN)}}}))
    (tmp_path / "stale.json").write_text(json.dumps({"auths": {served.host: {"auth": auth("ann", "old")}}}))
    environ = {"PATH": f"{tmp_path}/bin:/usr/bin:/bin", "PYTHONPATH": str(PROJECT), "HOME": str(tmp_path / "home")}
    page = commands(PAGE)
    assert len(page) > 6
    for command, shown in page:
        run = subprocess.run(
            ["bash", "-c", command.replace(HOST, served.host)],
            cwd=tmp_path,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )
        assert run.returncode == (3 if shown[0].startswith("ERROR: ") else 0), f"{command}\n{run.stdout}"
        assert agrees(shown, run.stdout.replace(served.host, HOST).splitlines()), f"{command}\n{run.stdout}"


def test_files() -> None:
    """The table of files has those that are looked at, in their order."""
    rows = re.findall(r"^\| (.*) \| (?:alone|else|second|third|last)[^|]* \|$", TEXT, flags=re.MULTILINE)
    shown = [re.findall(r"`([^`]*/[^`]*)`", row) for row in rows]
    with_all = {b"HOME": b"~", b"XDG_RUNTIME_DIR": b"${XDG_RUNTIME_DIR}", b"XDG_CONFIG_HOME": b"${XDG_CONFIG_HOME}"}
    absolute = {name: b"/" + value for name, value in with_all.items()}
    assert [files[0] for files in shown[2:]] == [place.path[1:] for place in login_files.candidates(absolute, 0)]
    home = login_files.candidates({b"HOME": b"/~"}, 0)
    assert shown[2][1].replace("UID", "0") == home[0].path
    assert shown[3][1] == home[1].path[1:]
    assert [re.findall(r"`([A-Z_]+)`", row) for row in rows[:2]] == [["REGISTRY_AUTH_FILE"], ["DOCKER_CONFIG"]]


def test_figures() -> None:
    """The limits are the program's."""
    for text, value in {
        "A file may have 1 MiB": credentials.FILE_LIMIT == 1 << 20,
        "It has 30 seconds": helpers.HELPER_SECONDS == 30,
        "`--timeout`, 60 seconds": registry.SECONDS == 60,
        "a second for each 64 KiB": wire.SLOWEST == 64 << 10,
        "four times in all": registry.TRIES == 4,
        "half\na second at most, a second, two": pace.FIRST_PAUSE == 0.5,
        "in chunks of 4 MiB": uploads.CHUNK == 4 << 20,
        "up to 64 MiB": uploads.LARGEST_CHUNK == 64 << 20,
        "is begun again, four times in all": uploads.SESSIONS == 4,
        "100 pages\nand 10,000 entries": (referrers.PAGES, referrers.ENTRIES) == (100, 10_000),
    }.items():
        assert text in TEXT
        assert value, text
    assert blocks(PAGE, "console")
