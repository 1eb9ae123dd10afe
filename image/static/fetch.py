"""Fetches what the build is made of, each pinned by its sha256."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import urllib.request
import zipfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from cache import Cache

CPYTHON_VERSION = "3.13.5"
CPYTHON_SHA256 = "93e583f243454e6e9e4588ca2c2662206ad961659863277afcdb96801647d640"
# The release's very bytes also are the .orig.tar.xz of Debian's package, in this suite.
DEBIAN_SUITE, DEBIAN_SOURCE = "trixie", "python3.13"
DEBIAN_MIRROR = "http://deb.debian.org/debian"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

HERE = Path(__file__).resolve().parent
TOMLI = HERE / "tomli-requirements.txt"
MYPYC = HERE / "mypyc-requirements.txt"
_PIN = re.compile(r"^([\w.-]+)==(\S+)((?:\s*\\\n\s+--hash=sha256:[0-9a-f]{64})+)$", re.MULTILINE)


class FetchError(Exception):
    """Something could not be had, or is not what it should be."""


class Pin(NamedTuple):
    """A distribution as a file of requirements pins it: its version, and the sha256 of each wheel that may be taken."""

    version: str
    sha256: tuple[str, ...]


def pins(requirements: Path) -> dict[str, Pin]:
    """Return what a file of requirements pins, by name; pip reads the same file, and checks the digests."""
    found = _PIN.findall(requirements.read_text())
    return {name: Pin(version, tuple(re.findall(r"[0-9a-f]{64}", hashes))) for name, version, hashes in found}


def cpython_sha256() -> str:
    """Return the digest that CPython's source must have: the release's, or CPYTHON_SHA256 for a patched one."""
    return os.environ.get("CPYTHON_SHA256", CPYTHON_SHA256)


def fetch_cpython(folder: Path) -> None:
    """Unpack CPython's source into `folder`/source: from CPYTHON_SOURCE, else python.org, else Debian."""
    archive = folder / "source.tar.xz"
    given = os.environ.get("CPYTHON_SOURCE")
    if given:
        shutil.copyfile(given, archive)
    elif not _download(f"https://www.python.org/ftp/python/{CPYTHON_VERSION}/Python-{CPYTHON_VERSION}.tar.xz", archive):
        print("static: python.org can't be reached; taking the same file from Debian's source package", flush=True)
        _fetch_debian_source(folder / "apt", archive)
    _verify(archive, cpython_sha256())
    with tarfile.open(archive) as tar:
        # Python 3.11.3 and older know no filters (Debian 12 has 3.11.2); what is unpacked is known by its digest.
        tar.extraction_filter = getattr(tarfile, "tar_filter", None)
        tar.extractall(folder / "unpacked")  # noqa: S202  # pinned by hash
    (unpacked,) = (folder / "unpacked").iterdir()
    unpacked.rename(folder / "source")
    (folder / "unpacked").rmdir()
    archive.unlink()
    shutil.rmtree(folder / "apt", ignore_errors=True)


def fetch_wheels(requirements: Path, folder: Path, wanted: Callable[[str], bool] = lambda _: True) -> list[str]:
    """Unpack the wheels of pinned distributions into `folder`: of their files those that are wanted, by name.

    Return the sha256 of each wheel.
    """
    wheels = folder / "wheels"
    pip(["download", "--no-deps", "--only-binary=:all:", "--require-hashes", f"--dest={wheels}",
         f"--requirement={requirements}"])  # fmt: skip
    found = sorted(wheels.glob("*.whl"))
    digests = [hashlib.sha256(wheel.read_bytes()).hexdigest() for wheel in found]
    for wheel in found:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder, [name for name in archive.namelist() if wanted(name)])  # noqa: S202  # pip knows its digest
    shutil.rmtree(wheels)
    return digests


def fetch_tomli(cache: Cache) -> Path:
    """Return a folder with tomli, for both dispatching forms."""
    return cache.step("tomli", TOMLI, make=partial(fetch_wheels, TOMLI), say="fetching tomli")


def pip(arguments: list[str]) -> None:
    """Run this Python's pip."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]
    if subprocess.run(command, check=False).returncode != 0:
        raise FetchError(f"pip failed (Debian: python3-pip): {' '.join(command)}")


def _verify(file: Path, sha256: str) -> None:
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    if found != sha256:
        raise FetchError(f"{file.name} has the sha256 {found}, not {sha256}")


def _download(url: str, file: Path) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10) as response, file.open("wb") as target:  # noqa: S310  # python.org
            shutil.copyfileobj(response, target)
    except OSError:
        return False
    return True


def _fetch_debian_source(folder: Path, archive: Path) -> None:
    """Download the original tarball of Debian's source package.

    With lists, cache and sources of their own: the suite never enters the machine's, so nothing of it is installed.
    """
    for name in ("lists/partial", "cache/archives/partial", "sources", "out"):
        (folder / name).mkdir(parents=True)
    (folder / "sources/source.sources").write_text(
        f"Types: deb-src\nURIs: {_mirror()}\nSuites: {DEBIAN_SUITE}\nComponents: main\nSigned-By: {KEYRING}\n"
    )
    apt = [
        "apt-get",
        "--quiet=2",
        "-o=Dir::Etc::SourceList=/dev/null",
        f"-o=Dir::Etc::SourceParts={folder}/sources",
        f"-o=Dir::State::Lists={folder}/lists",
        f"-o=Dir::Cache={folder}/cache",
    ]
    with (folder / "log").open("w") as log:
        for arguments in (["update"], ["source", "--download-only", "--tar-only", DEBIAN_SOURCE]):
            done = subprocess.run([*apt, *arguments], check=False, cwd=folder / "out", stdout=log, stderr=log)
            if done.returncode != 0:
                log.flush()
                raise FetchError(f"apt-get {arguments[0]} failed:\n{(folder / 'log').read_text()}")
    (found,) = (folder / "out").glob("*.orig.tar.xz")
    found.rename(archive)


def _mirror() -> str:
    """Return the mirror that this machine takes Debian from."""
    for sources in [*sorted(Path("/etc/apt/sources.list.d").glob("*.sources")), Path("/etc/apt/sources.list")]:
        text = sources.read_text() if sources.is_file() else ""
        for url in re.findall(r"^(?:URIs:|deb )\s*(?:\[.*?\] *)?(\S+)", text, re.MULTILINE):
            if url.rstrip("/").endswith("/debian"):
                return str(url)
    return DEBIAN_MIRROR
