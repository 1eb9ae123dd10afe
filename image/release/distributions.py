"""The wheel and the source distribution: the same bytes wherever, whenever and by whomever they are made."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from sources import ReleaseError, Sources

# What the wheel is made of, by setuptools, which reads nothing else.
_OF_WHEEL = ("pyproject.toml", "README.md", "LICENSE", "licences/", "metalauncher/")
_EXECUTABLES = "metalauncher/executables"
_TIME = (1980, 1, 1, 0, 0, 0)
_LEVEL = 9
_BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"


def make_wheel(sources: Sources, data: Mapping[str, bytes], sboms: Mapping[str, bytes]) -> tuple[str, bytes]:
    """Return the wheel's name and bytes.

    setuptools makes it; what it does not do is added: SBOMs in `.dist-info/sboms` (PEP 770). Then it is packed anew,
    since what setuptools packs has the modes that the umask left.

    Args:
        sources: the tracked files.
        data: the executables and what is said of them, by name: data of the package.
        sboms: by name.

    Raises:
        ReleaseError: setuptools is not the pinned one, or fails.
    """
    _check_setuptools(sources)
    with tempfile.TemporaryDirectory(prefix="metalauncher-wheel-") as folder:
        work, out = Path(folder, "work"), Path(folder, "out")
        out.mkdir()
        staged = {path: data for path, data in sources.files.items() if path.startswith(_OF_WHEEL)}
        staged |= {f"{_EXECUTABLES}/{name}": content for name, content in data.items()}
        for path, content in staged.items():
            (work / path).parent.mkdir(parents=True, exist_ok=True)
            (work / path).write_bytes(content)
        environ = os.environ | {"SOURCE_DATE_EPOCH": "315532800", "PYTHONHASHSEED": "0"}
        done = subprocess.run(
            [sys.executable, "-c", _BUILD, str(out)], cwd=work, env=environ, capture_output=True, text=True
        )
        if done.returncode != 0:
            raise ReleaseError(f"setuptools can't make the wheel: {done.stderr.strip()}")
        (made,) = out.glob("*.whl")
        with zipfile.ZipFile(made) as archive:
            files = {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}
    (record,) = [name for name in files if name.endswith(".dist-info/RECORD")]
    del files[record]
    information = record.rpartition("/")[0]
    files |= {f"{information}/sboms/{name}": content for name, content in sboms.items()}
    return made.name, _pack_wheel(files, record)


def _check_setuptools(sources: Sources) -> None:
    (pinned,) = tomllib.loads(sources.files["pyproject.toml"].decode())["build-system"]["requires"]
    name, _, wanted = pinned.partition("==")
    if version(name) != wanted:
        raise ReleaseError(f"{name} {version(name)} is installed here, and pyproject.toml wants {wanted}: make venv")


def _pack_wheel(files: Mapping[str, bytes], record: str) -> bytes:
    """Pack a wheel: its `.dist-info` last, as PEP 427 recommends, and RECORD at its very end."""
    lines = [f"{name},sha256={_digest(content)},{len(content)}\n" for name, content in sorted(files.items())]
    whole = dict(files) | {record: "".join([*lines, f"{record},,\n"]).encode()}
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name in sorted(whole, key=lambda name: (".dist-info/" in name, name == record, name)):
            info = zipfile.ZipInfo(name, _TIME)
            info.create_system = 3  # its modes are Unix's
            runs = name.startswith(f"{_EXECUTABLES}/") and not name.endswith(".json")
            info.external_attr = (0o100755 if runs else 0o100644) << 16
            archive.writestr(info, whole[name], zipfile.ZIP_DEFLATED, _LEVEL)
    return target.getvalue()


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")


def make_sdist(sources: Sources, metadata: bytes) -> tuple[str, bytes]:
    """Return the source distribution's name and bytes: all tracked files, from which everything is built.

    Args:
        sources: the tracked files.
        metadata: the wheel's METADATA, which is PKG-INFO here (PEP 643).
    """
    top = f"metalauncher-{sources.version}"
    target = io.BytesIO()
    # Not gzip.compress(), whose header is another one in each Python (3.13: what is new in gzip).
    with (
        gzip.GzipFile("", "wb", _LEVEL, target, mtime=0) as content,
        tarfile.open(fileobj=content, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for path, data in sorted({**sources.files, "PKG-INFO": metadata}.items()):
            info = tarfile.TarInfo(f"{top}/{path}")
            info.mode = 0o755 if path in sources.executable else 0o644
            info.mtime = 315532800  # 1980-01-01, the first that a zip file can say
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return f"{top}.tar.gz", target.getvalue()


def metadata_of(wheel: bytes) -> bytes:
    """Return a wheel's METADATA."""
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return archive.read(name)
