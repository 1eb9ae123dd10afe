"""docs/vendors/install.md: every way to install, from what `make release` makes, by the page's own lines.

The names in the page are put for those that are here: a version, a registry on loopback, a file in place of PyPI.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from bundles import MACHINE, elf
from bundles import release as make_tarball
from containers import Bundle, call, debian_members, machine_files, need, registry
from harness import PROJECT
from images import base, pack
from releases import ARCHITECTURES, Release

from metalauncher import __version__

pytestmark = pytest.mark.thorough
PAGE = (PROJECT / "docs/vendors/install.md").read_text()
HERE = os.uname().machine
# What `pip install` alone has to be told of here.
LIMITS = ("--ulimit", "nproc=4096:4096", "--ulimit", "nofile=1024:1024")


def lines(kind: str, first: str) -> str:
    """Return the page's block of this kind that has this text, as it is."""
    (block,) = [block for block in re.findall(rf"```{kind}\n(.*?)```", PAGE, flags=re.DOTALL) if first in block]
    return str(block)


def commands(first: str) -> list[str]:
    """Return the commands of the page's block that has this text."""
    text = lines("console", first).replace("\\\n", "")
    return [line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ ")]


def run(command: str, folder: Path, *first: Path, **environ: str) -> str:
    """Run a command line of the page in a folder, with these folders first in PATH; it has to succeed."""
    path = os.pathsep.join([*map(str, first), "/usr/local/bin:/usr/bin:/bin"])
    done = subprocess.run(
        ["/bin/sh", "-ec", command],
        cwd=folder,
        env={"PATH": path, "HOME": str(folder), "PIP_DISABLE_PIP_VERSION_CHECK": "1", **network(), **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def network() -> dict[str, str]:
    """Return the variables and files by which this machine reaches PyPI."""
    names = (
        *("PIP_INDEX_URL", "PIP_CONFIG_FILE", "PIP_CERT", "UV_INDEX_URL", "UV_DEFAULT_INDEX", "SSL_CERT_FILE"),
        *("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "https_proxy", "http_proxy", "no_proxy"),
    )
    found = {name: os.environ[name] for name in names if name in os.environ}
    files = (Path.home() / ".config/pip/pip.conf", Path.home() / ".pip/pip.conf")
    for file in files:
        if file.exists() and "PIP_CONFIG_FILE" not in found:
            found["PIP_CONFIG_FILE"] = str(file)
    return found


def of_wheel(command: str, release: Release) -> str:
    """Return a command of the page with the wheel in place of the name on PyPI."""
    assert "'metalauncher[image]'" in command
    return command.replace("'metalauncher[image]'", f"'{release.wheel}[image]'")


def try_it(program: Path, folder: Path, release: Release) -> None:
    """See that the installed command is that of the release, and builds run images for all that it has."""
    assert call(program, "--version") == f"metalauncher {__version__}\n"
    (folder / "use").mkdir()
    for name in ARCHITECTURES:
        call(program, "executable", "--arch", name, "--output", folder / f"use/{name}")
        assert (folder / f"use/{name}").read_bytes() == release.file(f"metalauncher-linux-{name}").read_bytes()
    machines = {"x86_64": ("x86-64", 62, "amd64"), "aarch64": ("arm64", 183, "arm64")}
    (line,) = commands("metalauncher image")
    assert line.count("--platform") == line.count("--bundle") == len(machines)
    line = line.replace("--base oci:debian:12", "--base scratch")
    for name, (architecture, machine, go) in machines.items():
        make_tarball(folder / "use", "0.21.17", elf(machine), architecture=architecture)
        if name not in ARCHITECTURES:
            line = line.replace(f"--platform linux/{go} ", "")
            line = re.sub(rf"--bundle \S+{architecture}\.tgz", "", line)
    run(line, folder / "use", program.parent)
    text = call(program, "labels", "--verify", f"oci:{folder}/use/run:12", "--platform", f"linux/{machines[HERE][2]}")
    assert text == ""
    assert json.loads(call(program, "vex", "--arch", HERE))["statements"]


def test_pip(release: Release, tmp_path: Path) -> None:
    """Into a virtual environment of its own; what it needs comes from PyPI."""
    call(sys.executable, "-m", "venv", tmp_path / "venv")
    line = next(line for line in commands("pip install") if line.startswith("pip "))
    run(of_wheel(line, release), tmp_path, tmp_path / "venv/bin")
    try_it(tmp_path / "venv/bin/metalauncher", tmp_path, release)
    assert (next((tmp_path / "venv/lib").glob("*/site-packages/metalauncher/py.typed"))).exists()


@pytest.mark.parametrize("tool", ["uv", "pipx"])
def test_tools(release: Release, tmp_path: Path, tool: str) -> None:
    """As a command of one's own, by uv and by pipx."""
    line = next(line for line in commands("pip install") if line.startswith(tool))
    environ = {
        "UV_TOOL_DIR": f"{tmp_path}/tools",
        "UV_TOOL_BIN_DIR": f"{tmp_path}/bin",
        "UV_PYTHON_DOWNLOADS": "never",
        "PIPX_HOME": f"{tmp_path}/tools",
        "PIPX_BIN_DIR": f"{tmp_path}/bin",
    }
    run(of_wheel(line, release), tmp_path, Path(sys.executable).parent, **environ)
    try_it(tmp_path / "bin/metalauncher", tmp_path, release)


def test_tarball(release: Release, tmp_path: Path) -> None:
    """Checked by its sum, and unpacked: it runs; a tarball that is another one is told."""
    name = f"metalauncher-{__version__}-linux-{HERE}.tar.gz"
    for file in (name, "SHA256SUMS"):
        shutil.copy(release.file(file), tmp_path / file)
    check, *others = [line.replace("VERSION", __version__).replace("x86_64", HERE) for line in commands("tar -xzf")]
    assert run(check, tmp_path) == f"{name}: OK\n"
    for line in others:
        run(line, tmp_path)
    assert call(tmp_path / "rootfs/usr/bin/metalauncher", "--version") == f"metalauncher {__version__}\n"
    with (tmp_path / name).open("ab") as tarball:
        tarball.write(b"x")
    with pytest.raises(AssertionError, match="FAILED"):
        run(check, tmp_path)


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Return a registry's address."""
    need("buildah", "skopeo", "docker-registry", "umoci", "crun")
    (tmp_path / "registry").mkdir()
    with registry(tmp_path / "registry") as address:
        yield address


def test_copy(release: Release, tmp_path: Path, address: str) -> None:
    """The image goes to a registry as the page says, and a vendor's Dockerfile copies from it: an image that starts."""
    (line,) = commands("skopeo copy")
    line = line.replace("oci-archive:", f"oci-archive:{release.folder}/")
    line = line.replace("registry.example.com", address).replace("VERSION", __version__)
    run(line.replace("copy --all", "--insecure-policy copy -q --dest-tls-verify=false --all"), tmp_path)
    raw = call("skopeo", "inspect", "--tls-verify=false", "--raw", f"docker://{address}/metalauncher:{__version__}")
    assert len(json.loads(raw)["manifests"]) == len(ARCHITECTURES)
    base(tmp_path / "base", [pack(debian_members(machine_files(Path("/usr/bin/dash"))))], Env=["PATH=/usr/bin:/bin"])
    target = f"docker://{address}/base:1"
    call("skopeo", "--insecure-policy", "copy", "-q", "--dest-tls-verify=false", f"oci:{tmp_path}/base:base", target)
    context = tmp_path / "context"
    (context / "launchers").mkdir(parents=True)
    architecture = {"x86_64": "x86-64", "aarch64": "arm64"}[HERE]
    tarball = make_tarball(tmp_path, "0.21.17", elf(MACHINE), architecture=architecture)
    (add,) = re.findall(r"`(metalauncher bundle add [^`]+)`", PAGE)
    add = re.sub(r"lifecycle-\S+\.tgz", str(tarball), add).replace(
        "metalauncher", f"{sys.executable} -m metalauncher", 1
    )
    run(add, context, PYTHONPATH=unpacked(release, tmp_path))
    text = lines("dockerfile", "COPY --from").replace("debian:bookworm-slim", f"{address}/base:1")
    text = text.replace("registry.example.com", address).replace("VERSION", __version__)
    (context / "Dockerfile").write_text(text)
    store = ("--root", tmp_path / "root", "--runroot", tmp_path / "run", "--storage-driver", "vfs")
    call("buildah", *store, "bud", "--isolation=chroot", *LIMITS, "--tls-verify=false", "-q", "-t", "run", context)
    call("buildah", *store, "push", "-q", "localhost/run", f"oci:{tmp_path}/built:run")
    ended = Bundle(tmp_path / "built", "run", tmp_path / "bundle").run("crun")
    assert ended.code == 1
    assert ended.err.startswith("ERROR: failed to read metadata: ")
    shutil.rmtree(tmp_path / "root", ignore_errors=True)


def unpacked(release: Release, folder: Path) -> str:
    """Return a folder with the release's package, beside what is installed here."""
    shutil.unpack_archive(release.wheel, folder / "site", "zip")
    return str(folder / "site")


def test_what_is_not_installed(release: Release, tmp_path: Path) -> None:
    """A package made from the source distribution has no executables, and says where they are to be had."""
    shutil.unpack_archive(release.sdist, tmp_path)
    (source,) = [folder for folder in tmp_path.iterdir() if folder.is_dir()]
    command = [sys.executable, "-c", "from setuptools import build_meta as b; print(b.build_wheel('../out'))"]
    (tmp_path / "out").mkdir()
    subprocess.run(command, cwd=source, capture_output=True, check=True)
    (wheel,) = (tmp_path / "out").glob("*.whl")
    assert wheel.stat().st_size < release.wheel.stat().st_size / 3
    shutil.unpack_archive(wheel, tmp_path / "site", "zip")
    done = subprocess.run(
        [sys.executable, "-m", "metalauncher", "executable"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert "this package was made from source; the wheel of a release has them" in done.stderr
