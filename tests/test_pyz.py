"""The zipapp (image/pyz.py): exactly these files, the same bytes whenever it is built, and any Python from 3.11 on."""

from __future__ import annotations

import importlib.util
import io
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from harness import PROJECT, Image

import metalauncher

BUILD = PROJECT / "image/pyz.py"
PACKAGE = PROJECT / "metalauncher"
MODULES = sorted(str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if "tooling" not in path.parts)


def build(target: Path) -> bytes:
    """Build the zipapp as `make pyz` does; return its bytes."""
    subprocess.run(
        [sys.executable, str(BUILD), str(target)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(PROJECT), *sys.path]), "PYTHONHASHSEED": "random"},
        capture_output=True,
        check=True,
    )
    return target.read_bytes()


@pytest.fixture(scope="module")
def pyz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a zipapp built now."""
    target = tmp_path_factory.mktemp("pyz") / "metalauncher.pyz"
    build(target)
    return target


def test_files(pyz: Path) -> None:
    """It holds the package's own modules and tomli's, each as source and as bytecode, stored, and nothing else."""
    data = pyz.read_bytes()
    assert data.startswith(b"#!/usr/bin/python3 -IS\n")
    archive = zipfile.ZipFile(io.BytesIO(data))
    sources = [
        "__main__.py",
        *[f"metalauncher/{name}" for name in MODULES],
        *[f"tomli/{name}.py" for name in ("__init__", "_parser", "_re", "_types")],
    ]
    assert sorted(archive.namelist()) == sorted([*sources, *[f"{name}c" for name in sources]])
    assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
    for name in MODULES:
        assert archive.read(f"metalauncher/{name}") == (PROJECT / "metalauncher" / name).read_bytes()


def test_modules_of_the_package() -> None:
    """The modules beside those of the tooling are these: each is in every form, and counts towards its size."""
    dispatch = """
        __init__ __main__ apis cleaning decision descriptor environment errnos execute files launch
        pins places process record refusals refusing registry selection toml versions
    """
    explain = """
        __init__ cli constructs elf events forecast jsontext messages
        observe options predict readers refusal_parts refusal_text releases report shortfall terminal which
    """
    assert (
        sorted([*[f"{name}.py" for name in dispatch.split()], *[f"explain/{name}.py" for name in explain.split()]])
        == MODULES
    )


def test_reproducible(pyz: Path, tmp_path: Path) -> None:
    """Two builds of one tree are the same bytes."""
    assert build(tmp_path / "elsewhere.pyz") == pyz.read_bytes()


def test_no_scratch_file_is_left(tmp_path: Path) -> None:
    """It is written whole or not at all, executable, and replaces what was there."""
    target = tmp_path / "new/metalauncher.pyz"
    build(target)
    build(target)
    assert {path.name for path in target.parent.iterdir()} == {target.name, f"{target.name}.contents.json"}
    assert target.stat().st_mode & 0o777 == 0o755


def other_pythons() -> list[str]:
    """Return the interpreters of other minor versions, from 3.11 on, that are here."""
    found: list[str] = []
    beside = Path(sys.base_prefix).parent  # where version managers have them
    for minor in range(11, 20):
        candidates = [shutil.which(f"python3.{minor}"), *map(str, beside.glob(f"*/bin/python3.{minor}"))]
        code = f"import sys; assert sys.version_info[1] == {minor} != {sys.version_info[1]}"
        for candidate in filter(None, candidates):
            if subprocess.run([candidate, "-IS", "-c", code], capture_output=True, check=False).returncode == 0:
                found.append(candidate)
                break
    return found


@pytest.mark.parametrize("python", [None, *other_pythons()])
def test_other_python(python: str | None, pyz: Path, tmp_path: Path) -> None:
    """A Python whose bytecode it does not hold runs it from source, with the same answer.

    Where there is no other Python, this one is made one: the number that tells the bytecode's version is changed.
    """
    executable = tmp_path / "metalauncher"
    data = pyz.read_bytes()
    if python is None:
        python = sys.executable
        changed = data.replace(importlib.util.MAGIC_NUMBER, b"\x00\x00\r\n")  # stored: it is there as it is
        assert changed != data
        data = changed
    executable.write_bytes(data)
    result = subprocess.run(
        [python, "-IS", str(executable), "--version"], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, f"metalauncher {metalauncher.__version__}\n", "")
    result = subprocess.run(
        [python, "-IS", str(executable), "--which", "--json", "--platform-api=0.9", "--buildpack-api=a/b=0.7"],
        env={"METALAUNCHER_ROOT": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 80
    assert '"no-launcher-installed"' in result.stdout
    assert result.stderr == ""


def test_built_form_is_current(image: Image, pyz: Path) -> None:
    """The zipapp that the other tests run is the one that the tree builds now."""
    if image.form.name == "python":
        assert image.form.executable.read_bytes() == pyz.read_bytes(), "run `make pyz`"
