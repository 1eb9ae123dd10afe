"""A small Debian for another architecture: its static busybox and bash, which are what the apps need.

apt fetches them, and verifies them by the machine's own keys, with lists of its own: nothing of the machine changes.
"""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from cache import Cache
from images import file, folder, link

# package: its program
_PACKAGES = {"busybox-static": "bin/busybox", "bash-static": "bin/bash-static"}
_APPLETS = ("cat", "echo", "printf", "pwd", "sh", "sleep", "uname")
_CACHE = Cache(speaker="apt")


def members(architecture: str) -> list[tuple[tarfile.TarInfo, bytes]]:
    """Return the members of its layer.

    Args:
        architecture: as Debian calls it.
    """
    fetched = _fetch(architecture)
    found = [folder(name) for name in ("bin", "dev", "etc", "proc", "sys", "tmp", "usr", "usr/bin", "usr/lib")]
    found += [file(place, (fetched / Path(place).name).read_bytes(), 0o755) for place in _PACKAGES.values()]
    return [*found, link("bin/bash", "bash-static"), *[link(f"bin/{name}", "busybox") for name in _APPLETS]]


def _fetch(architecture: str) -> Path:
    def make(place: Path) -> None:
        apt_folder = place / "apt"
        for name in ("state/lists/partial", "cache/archives/partial"):
            (apt_folder / name).mkdir(parents=True)
        (apt_folder / "status").touch()
        options = [
            f"Dir::State={apt_folder}/state",
            f"Dir::State::status={apt_folder}/status",
            f"Dir::Cache={apt_folder}/cache",
            f"APT::Architecture={architecture}",
            f"APT::Architectures={architecture}",
            "APT::Sandbox::User=root",
        ]
        apt = ["apt-get", "-qq", *[word for option in options for word in ("-o", option)]]
        for command in ([*apt, "update"], [*apt, "download", *_PACKAGES]):
            _call(command, apt_folder)
        for package in apt_folder.glob("*.deb"):
            _call(["dpkg-deb", "-x", package, apt_folder / "root"], apt_folder)
        for program in _PACKAGES.values():
            (apt_folder / "root" / program).rename(place / Path(program).name)
        shutil.rmtree(apt_folder)

    names = " and ".join([f"{name}:{architecture}" for name in _PACKAGES])
    return _CACHE.step(f"debian-{architecture}", *_PACKAGES, make=make, say=f"fetching {names}")


def _call(command: Sequence[str | Path], place: Path) -> None:
    done = subprocess.run(command, cwd=place, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
    if done.returncode:
        pytest.fail(f"{command[0]} can't fetch {' and '.join(_PACKAGES)}: {done.stderr.strip()[-500:]}")
