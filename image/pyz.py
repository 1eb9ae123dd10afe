"""Build the zipapp, the dispatching form for run images that have Python: `python3 image/pyz.py OUT [--python FOLDER]`.

One reproducible file: the package without its tooling, and tomli; each module as bytecode of the Python that builds, or
of that in FOLDER, which image/static has built (what starts fast), and as source (what starts with any other). Stored,
not compressed: zlib would be one import more.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import metalauncher

sys.dont_write_bytecode = True
sys.path.append(str(Path(__file__).resolve().parent / "static"))

from application import application_sources
from cache import Cache
from fetch import TOMLI, fetch_tomli, pins

# An absolute interpreter: PATH begins with /cnb/process, where an app may have a process called python3.
# -I: nothing of the app's PYTHON* variables or working directory; -S: no site-packages.
SHEBANG = b"#!/usr/bin/python3 -IS\n"
MAIN = "from metalauncher.__main__ import main\n\nmain()\n"
# PEP 552: the file holds the source's hash, and nobody compares it at import: the flags are 1. The hash's key is the
# interpreter's magic number.
COMPILE = """
import importlib.util, marshal, sys
source = sys.stdin.buffer.read()
code = compile(source, sys.argv[1], "exec", dont_inherit=True, optimize=2)
head = importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little") + importlib.util.source_hash(source)
sys.stdout.buffer.write(head + marshal.dumps(code))
"""
# What image/static builds has no site, and finds its library by variables alone.
BUILT = ["-B", "-S", "-X", "frozen_modules=off"]


def sources(package: Path) -> dict[str, bytes]:
    """Return the modules of a package that dispatches need, by their names in the archive."""
    return {str(path.relative_to(package.parent)): path.read_bytes() for path in application_sources(package)}


def compiled(source: bytes, name: str, python: Path | None = None) -> bytes:
    """Return a module's bytecode file, by an interpreter of its own: this Python, or the one in a folder.

    marshal writes an object otherwise where somebody else in the process holds it, too: a name that a module uses which
    was imported from source, and not from its bytecode. So it is asked in a process that has nothing else.
    """
    command, environ = [sys.executable, "-IS"], None
    if python is not None:
        command, environ = [str(python / "python"), *BUILT], {"PYTHONHOME": "/", "PYTHONPATH": str(python / "Lib")}
    command += ["-c", COMPILE, name]
    return subprocess.run(command, input=source, stdout=subprocess.PIPE, env=environ, check=True).stdout


def build(python: Path | None = None) -> bytes:
    """Return the zipapp's bytes; with the bytecode of this Python, or of the one in a folder."""
    files = {"__main__.py": MAIN.encode()}
    for package in (Path(metalauncher.__file__).parent, fetch_tomli(Cache()) / "tomli"):
        files |= sources(package)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as out:
        for name, source in sorted(files.items()):
            bytecode = compiled(source, f"metalauncher.pyz/{name}", python)
            for entry, data in ((name + "c", bytecode), (name, source)):
                info = zipfile.ZipInfo(entry, (1980, 1, 1, 0, 0, 0))
                info.external_attr = 0o644 << 16
                out.writestr(info, data)
    return SHEBANG + archive.getvalue()


def contents(data: bytes) -> bytes:
    """Return what the zipapp is made of, as image/static/contents.py says it of the executable: a JSON document."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = sorted({name.removesuffix(".py") for name in archive.namelist() if name.endswith(".py")})
    version, (digest,) = pins(TOMLI)["tomli"]
    components = [
        {
            "name": "metalauncher",
            "version": metalauncher.__version__,
            "licence": "Apache-2.0",
            "purl": f"pkg:generic/metalauncher@{metalauncher.__version__}",
            "cpe": None,
            "source_sha256": None,
        },
        {
            "name": "tomli",
            "version": version,
            "licence": "MIT",
            "purl": f"pkg:pypi/tomli@{version}",
            "cpe": None,
            "source_sha256": digest,
        },
    ]
    modules = [name.replace("/", ".").removesuffix(".__init__") for name in names if "/" in name]
    document = {
        "schema_version": 1,
        "sha256": hashlib.sha256(data).hexdigest(),
        "components": components,
        "modules": {"application": modules},
    }
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def main() -> None:
    """Write the zipapp and its contents, each whole or not at all."""
    parser = argparse.ArgumentParser(prog="image/pyz.py")
    parser.add_argument("target", type=Path)
    parser.add_argument("--python", type=Path)
    asked = parser.parse_args()
    target: Path = asked.target
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f"{target.name}.contents.json")
    beside.unlink(missing_ok=True)  # it never speaks of another zipapp
    scratch = target.with_name(f".{target.name}.{os.getpid()}")
    data = build(asked.python)
    for file, content, mode in ((target, data, 0o755), (beside, contents(data), 0o644)):
        scratch.write_bytes(content)
        scratch.chmod(mode)
        scratch.replace(file)
    whose = asked.python or f"Python {sys.version_info[0]}.{sys.version_info[1]}"
    print(f"{target}: {target.stat().st_size} bytes, with the bytecode of {whose}")


if __name__ == "__main__":
    main()
