"""`make release`: what is in it, that it is the same bytes for whoever makes it, and what it refuses.

What is slow here is made once: a release of this very tree, with the executables that `make static` has built.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from cache import Cache
from fetch import MYPYC, fetch_tomli, pins
from harness import PROJECT
from jsonschema import Draft202012Validator
from native import public_folder
from releases import ALL, ARCHITECTURES, BUILT, Release
from sboms import check_cyclonedx, check_openvex, check_spdx
from steps import inputs, own_python

from metalauncher import __version__
from metalauncher.tooling.elf import has_note

# From a checkout of git, which a bare machine of `make fresh` does not have.
pytestmark = pytest.mark.thorough
SBOM_CHECKS = ((".cdx.json", check_cyclonedx), (".spdx.json", lambda text: check_spdx(json.loads(text))))
EXECUTABLES = [f"metalauncher-linux-{name}" for name in ARCHITECTURES]


def test_what_is_in_it(release: Release) -> None:
    """These files, each of them in SHA256SUMS, which sha256sum takes."""
    assert sorted(file.name for file in release.folder.iterdir()) == sorted(
        [
            *("SHA256SUMS", "inputs.json", "metalauncher.pyz", "metalauncher.pyz.contents.json"),
            *[
                f"{name}{suffix}"
                for name in EXECUTABLES
                for suffix in ("", ".contents.json", ".cdx.json", ".spdx.json", ".openvex.json")
            ],
            f"metalauncher-{__version__}-py3-none-any.whl",
            f"metalauncher-{__version__}.tar.gz",
            f"metalauncher-{__version__}.oci.tar",
            *[f"metalauncher-{__version__}-linux-{name}.tar.gz" for name in ARCHITECTURES],
        ]
    )
    command = ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"]
    assert subprocess.run(command, cwd=release.folder, capture_output=True).returncode == 0
    assert len(release.file("SHA256SUMS").read_text().splitlines()) == len(list(release.folder.iterdir())) - 1
    runs = {file.name for file in release.folder.iterdir() if stat.S_IMODE(file.stat().st_mode) == 0o755}
    assert runs == {*EXECUTABLES, "metalauncher.pyz"}


def test_wheel(release: Release) -> None:
    """What PyPI and others look at is as they want it; it holds executables, SBOMs (PEP 770) and all licences."""
    tools = Path(sys.executable).parent
    for command in (
        [str(tools / "twine"), "check", "--strict", str(release.wheel), str(release.sdist)],
        [str(tools / "check-wheel-contents"), str(release.wheel)],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
    with zipfile.ZipFile(release.wheel) as archive:
        infos = {info.filename: info for info in archive.infolist()}
        information = f"metalauncher-{__version__}.dist-info"
        for name in EXECUTABLES:
            program = infos[f"metalauncher/executables/{name}"]
            assert stat.S_IMODE(program.external_attr >> 16) == 0o755
            data = archive.read(program)
            assert data == release.file(name).read_bytes()
            assert has_note(data)
            assert archive.read(f"metalauncher/executables/{name}.contents.json") == release.contents(name)
            for kind, check in SBOM_CHECKS:
                text = archive.read(f"{information}/sboms/{name}{kind}")
                assert text == release.file(name + kind).read_bytes()
                check(text.decode())
        metadata = archive.read(f"{information}/METADATA").decode()
        assert "metalauncher/py.typed" in infos
        assert list(infos)[-1] == f"{information}/RECORD"
    (expression,) = re.findall(r"^License-Expression: (.*)$", metadata, re.MULTILINE)
    components = json.loads(release.contents(EXECUTABLES[0]))["components"]
    assert {component["licence"] for component in components} == set(expression.split(" AND "))
    for component in components:
        name = f"{information}/licenses/licences/{component['name']}.txt"
        assert component["name"] == "metalauncher" or name in infos
    assert release.wheel.stat().st_size < 4 << 20


def test_licences_are_those_of_what_is_built() -> None:
    """Each text is the one that came with the very source that the build fetches."""
    given = inputs(Cache())
    cached = given.source.parent.parent
    mypyc = next(cached.glob(f"mypyc-*/mypy-{pins(MYPYC)['mypy'].version}.dist-info/licenses/LICENSE"))
    zig = (
        next(file.parent for file in cached.glob("zig-*/wheel.sha256") if file.read_text() == given.tools.sha256)
        / "ziglang"
    )
    (tomli,) = given.tomli.glob("tomli-*.dist-info/licenses/LICENSE")
    for name, source in {
        "cpython": given.source / "LICENSE",
        "musl": zig / "lib/libc/musl/COPYRIGHT",
        "zig": zig / "LICENSE",
        "tomli": tomli,
        "mypyc": mypyc,
    }.items():
        assert (PROJECT / f"licences/{name}.txt").read_bytes() == source.read_bytes(), name
    hacl = (given.source / "Modules/_hacl/Hacl_Hash_SHA2.c").read_text().partition("*/")[0]
    lines = [re.sub(r"^(/| )\* ?", "", line) for line in hacl.splitlines()]
    assert "\n".join(lines).split() == (PROJECT / "licences/hacl-star.txt").read_text().split()


def test_sdist(release: Release) -> None:
    """It is what is tracked, and PKG-INFO; its wheel is the release's without the executables."""
    listed = subprocess.run(["git", "-C", PROJECT, "ls-files"], capture_output=True, text=True, check=True).stdout
    with tarfile.open(release.sdist) as archive:
        members = {info.name: info for info in archive.getmembers()}
    top = f"metalauncher-{__version__}"
    there = [name for name in listed.splitlines() if (PROJECT / name).is_file()]
    assert sorted(members) == sorted(f"{top}/{name}" for name in [*there, "PKG-INFO"])
    assert {(info.uid, info.uname, info.mtime) for info in members.values()} == {(0, "", 315532800)}
    assert {info.mode for info in members.values()} == {0o644, 0o755}


def test_rootfs(release: Release) -> None:
    """A tarball to be unpacked, and an index to be copied from, with the same layers: metalauncher, and no launcher."""
    layout: dict[str, bytes] = {}
    with tarfile.open(release.file(f"metalauncher-{__version__}.oci.tar")) as archive:
        for info in archive.getmembers():
            file = archive.extractfile(info)
            layout[info.name] = file.read() if file else b""

    def blob(descriptor: Mapping[str, str]) -> bytes:
        return layout["blobs/sha256/" + descriptor["digest"].removeprefix("sha256:")]

    (top,) = json.loads(layout["index.json"])["manifests"]
    assert top["annotations"]["org.opencontainers.image.ref.name"] == __version__
    manifests: list[dict[str, Any]] = json.loads(blob(top))["manifests"]
    assert [entry["platform"]["architecture"] for entry in manifests] == [
        {"x86_64": "amd64", "aarch64": "arm64"}[name] for name in ARCHITECTURES
    ]
    for entry, architecture in zip(manifests, ARCHITECTURES, strict=True):
        manifest = json.loads(blob(entry))
        (layer,) = manifest["layers"]
        tarball = release.file(f"metalauncher-{__version__}-linux-{architecture}.tar.gz").read_bytes()
        assert blob(layer) == tarball
        config = json.loads(blob(manifest["config"]))
        assert config["config"]["Entrypoint"] == ["/usr/bin/metalauncher"]
        assert config["config"]["Labels"]["org.opencontainers.image.version"] == __version__
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(tarball))) as files:
            assert sorted(info.name for info in files if not info.isdir()) == [
                "usr/bin/metalauncher",
                "usr/lib/cnb/launcher",
                *[
                    f"usr/lib/cnb/metalauncher/{name}"
                    for name in ("contents.json", "openvex.json", "sbom.cdx.json", "sbom.spdx.json")
                ],
                *[f"usr/lib/cnb/shim/{name}" for name in ("launcher", "sbom.cdx.json", "sbom.spdx.json")],
            ]
            program = files.extractfile("usr/bin/metalauncher")
            assert program is not None
            assert program.read() == release.file(f"metalauncher-linux-{architecture}").read_bytes()


def test_documents(release: Release) -> None:
    """SBOMs and VEX are those of the executables beside them, and pass their formats' own checks."""
    for name in EXECUTABLES:
        digest = hashlib.sha256(release.file(name).read_bytes()).hexdigest()
        check_cyclonedx(release.file(f"{name}.cdx.json").read_text())
        check_spdx(json.loads(release.file(f"{name}.spdx.json").read_text()))
        vex = json.loads(release.file(f"{name}.openvex.json").read_text())
        check_openvex(vex)
        assert {one["products"][0]["hashes"]["sha-256"] for one in vex["statements"]} == {digest}


def test_inputs(release: Release) -> None:
    """Every archive that the build fetches is there with its hash, the commit, and the locks of what is installed."""
    document = json.loads(release.file("inputs.json").read_text())
    schema = json.loads((PROJECT / "metalauncher/schemas/inputs.schema.json").read_text())
    Draft202012Validator(schema).validate(document)
    assert (document["schema_version"], document["version"]) == (1, __version__)
    assert document["whole"] is (len(ARCHITECTURES) == 2)
    assert document["architectures"] == sorted(ARCHITECTURES)
    head = subprocess.run(["git", "-C", PROJECT, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    assert document["source"]["commit"] == head.stdout.strip()
    found = {item["name"]: item for item in document["inputs"]}
    assert {"cpython", "ziglang", "tomli", "mypy"} <= set(found)
    for item in found.values():
        assert item["sha256"]
        assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in item["sha256"])
    for component in json.loads(release.contents(EXECUTABLES[0]))["components"]:
        if component["source_sha256"] and component["name"] != "hacl-star":  # in CPython's archive
            assert component["source_sha256"] in {digest for item in found.values() for digest in item["sha256"]}
    (lock,) = document["locks"]
    assert lock["sha256"] == hashlib.sha256((PROJECT / lock["file"]).read_bytes()).hexdigest()
    assert {"setuptools", "cyclonedx-python-lib", "spdx-tools"} <= set(lock["distributions"])


def clone(folder: Path) -> Path:
    """Clone this project."""
    command = ["git", "-c", "safe.directory=*", "clone", "-q", "--no-hardlinks", str(PROJECT), str(folder)]
    subprocess.run(command, check=True)
    return folder


def in_clone(tree: Path, *options: str | Path, **more: Any) -> subprocess.CompletedProcess[str]:
    """Make a release from a clone."""
    python = more.pop("python", sys.executable)
    command = [python, "-B", tree / "image/release/release.py", "--out", tree / "dist/release", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, **more)


def link_or_copy(source: str, target: str) -> None:
    """Let a file be in a second place; it is only read there."""
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)


@pytest.fixture
def everybody() -> Iterator[Path]:
    """Return a folder that every user may enter, with what the Makefile's Python has, the executables, and CPython."""
    folder = public_folder()
    large = shutil.ignore_patterns("mypy*", "ruff*", "__pycache__")
    shutil.copytree(sysconfig.get_path("purelib"), folder / "site", copy_function=link_or_copy, ignore=large)
    shutil.copytree(own_python(Cache()), folder / "python", copy_function=link_or_copy)
    tomli = fetch_tomli(Cache())
    shutil.copytree(tomli, folder / "cache" / tomli.name, copy_function=link_or_copy)
    shutil.copytree(BUILT, folder / "built", ignore=shutil.ignore_patterns("release", "*.pyz*"))
    for place in ("site", "python", "built", "cache", f"cache/{tomli.name}"):
        (folder / place).chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_same_bytes_for_whoever_makes_it(everybody: Path, tmp_path: Path) -> None:
    """In another folder, by another user with another umask, zone, language and Python: the same sums."""
    partial = () if set(ARCHITECTURES) == set(ALL) else ("--partial",)
    given = ("--built", everybody / "built", *partial)
    first = in_clone(clone(tmp_path / "one"), *given)
    assert first.returncode == 0, first.stderr
    other = clone(everybody / "a longer name")
    who: dict[str, Any] = {}
    if os.geteuid() == 0:
        for place in (other, *other.rglob("*")):
            os.chown(place, 65534, 65534, follow_symlinks=False)
        who = {"user": 65534, "group": 65534, "extra_groups": []}
    system = Path(f"/usr/bin/python{sys.version_info[0]}.{sys.version_info[1]}")
    environ = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(everybody / "site"),
        "HOME": "/nonexistent",
        "METALAUNCHER_CACHE": str(everybody / "cache"),
        "TZ": "Asia/Kathmandu",
        "LC_ALL": "C",
        "PYTHONHASHSEED": "1",
    }
    python = system if system.exists() else Path(sys.executable).resolve()
    second = in_clone(
        other, *given, "--python", everybody / "python", python=python, env=environ, umask=0o077, cwd="/", **who
    )
    assert second.returncode == 0, second.stderr
    assert (other / "dist/release").stat().st_uid == (65534 if who else os.geteuid())
    sums = [(tree / "dist/release/SHA256SUMS").read_text() for tree in (tmp_path / "one", other)]
    assert sums[0].count("\n") >= 12
    assert sums[0] == sums[1]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a clone, to be changed."""
    return clone(tmp_path_factory.mktemp("refused") / "tree")


def commit(tree: Path) -> None:
    """Commit all that is changed in a clone."""
    who = ("-c", "user.name=nobody", "-c", "user.email=nobody@example.com")
    subprocess.run(["git", "-C", tree, *who, "commit", "-q", "-a", "--allow-empty", "-m", "x"], check=True)


def refusal(tree: Path, *options: str | Path) -> str:
    """Return why a release is refused; it leaves nothing behind."""
    done = in_clone(tree, "--built", BUILT, *options)
    assert done.returncode == 1
    assert done.stdout == ""
    assert not (tree / "dist").exists()
    return done.stderr.removeprefix("release: ").rstrip("\n")


def test_refused(tree: Path) -> None:
    """A version is released from what was committed under that very version, with a line in the changelog, whole."""
    package, changelog = tree / "metalauncher/__init__.py", tree / "CHANGELOG.md"
    assert refusal(tree, "--version", "1.2.0") == (
        f"metalauncher/__init__.py says {__version__}, and VERSION=1.2.0 is asked for: write it there, its one place,"
        " and commit it"
    )
    assert refusal(tree, "--version", __version__).startswith(f"VERSION={__version__} is no version to be released: ")
    before = package.read_text()
    package.write_text(before.replace(__version__, "1.2.0"))
    assert refusal(tree) == (
        "metalauncher/__init__.py says 1.2.0, which is no development version: make release VERSION=1.2.0"
    )
    assert refusal(tree, "--version", "1.2.0") == (
        "the working tree is not what was committed: metalauncher/__init__.py: commit it, or put it back"
    )
    commit(tree)
    assert refusal(tree, "--version", "1.2.0") == (
        "CHANGELOG.md has no heading '## 1.2.0': say there what is new in it"
    )
    changelog.write_text(changelog.read_text().replace("## Unreleased", "## Unreleased\n\n## 1.2.0 (2026-12-01)", 1))
    commit(tree)
    (tree / "stray").touch()
    assert refusal(tree, "--version", "1.2.0").startswith("the working tree is not what was committed: stray: ")
    (tree / "stray").unlink()
    # Now the tree is right; what was built is of another version, or missing.
    assert f"is of version {__version__}, and the tree of 1.2.0: make static ARCH=all" in refusal(
        tree, "--version", "1.2.0"
    )
    empty = tree.parent / "empty"
    empty.mkdir()
    wanted = (
        f"{empty}/metalauncher-linux-x86_64 is missing, and a release is for x86_64 and aarch64: make static ARCH=all"
    )
    for options in (("--version", "1.2.0"), ("--version", "1.2.0", "--partial")):
        assert refusal(tree, "--built", empty, *options).startswith(wanted)


def test_partial(tmp_path: Path) -> None:
    """With one executable it is a development version's, on demand, and does not call itself whole."""
    name = f"metalauncher-linux-{ARCHITECTURES[0]}"
    built = tmp_path / "built"
    built.mkdir()
    for file in (name, f"{name}.contents.json"):
        shutil.copy(BUILT / file, built / file)
    done = in_clone(clone(tmp_path / "tree"), "--built", built, "--partial")
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("release: not whole: there is no ")
    document = json.loads((tmp_path / "tree/dist/release/inputs.json").read_text())
    assert (document["whole"], document["architectures"]) == (False, [ARCHITECTURES[0]])


def test_no_checkout(tmp_path: Path) -> None:
    """What is no checkout of git has no commit to be named: it is refused."""
    shutil.copytree(PROJECT / "image", tmp_path / "tree/image")
    shutil.copytree(PROJECT / "metalauncher", tmp_path / "tree/metalauncher")
    assert "is no checkout of git" in refusal(tmp_path / "tree")
