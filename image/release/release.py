"""Make a release: all that is published, into one folder, from what is tracked and what was built. `make release`.

It signs and publishes nothing: whoever does has SHA256SUMS, and inputs.json for the provenance.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "static"), str(HERE.parent.parent)]

from cache import Cache
from distributions import make_sdist, make_wheel, metadata_of
from inputs import inputs_json
from rootfs import make_layer, write_index
from sources import TREE, ReleaseError, Sources, check_version, read_sources
from steps import own_python

from metalauncher.tooling.architectures import to_uname
from metalauncher.tooling.console import Unable
from metalauncher.tooling.executables import PREFIX, RELEASED
from metalauncher.tooling.image.executable import Executable, read_executable
from metalauncher.tooling.sbom.as_openvex import document as openvex
from metalauncher.tooling.sbom.contents import SUFFIX, parse_contents
from metalauncher.tooling.sbom.files import FORMATS, render
from metalauncher.tooling.sbom.inventory import of_executable
from metalauncher.tooling.sbom.model import EPOCH, PROJECT, Stated
from metalauncher.tooling.sbom.vulnerabilities import judge, known

_SBOM = {"cyclonedx": ".cdx.json", "spdx": ".spdx.json"}
_PYZ = "metalauncher.pyz"
_SUMS = "SHA256SUMS"


class Asked(NamedTuple):
    """What was asked for.

    Attributes:
        out: the folder that is made.
        built: the folder with the executables.
        version: that is released, "" for a development version's artefacts.
        partial: make it of the executables that there are.
        python: CPython's folder, of whose version the zipapp's bytecode is; None for that of the build's cache.
    """

    out: Path
    built: Path
    version: str
    partial: bool
    python: Path | None


def main() -> None:
    """Make what is asked for; a failure is one message."""
    parser = argparse.ArgumentParser(prog="image/release/release.py", description=__doc__)
    parser.add_argument("--out", type=Path, default=TREE / "dist/release", help="the folder that is made")
    parser.add_argument("--built", type=Path, default=TREE / "dist", help="where the executables lie")
    parser.add_argument("--version", default="", help="what is released; else it must be a development version")
    parser.add_argument("--partial", action="store_true", help="for trying: of the executables that there are")
    parser.add_argument("--python", type=Path, help="CPython's folder, as image/static builds it, for the zipapp")
    options = parser.parse_args()
    asked = Asked(options.out, options.built, options.version, options.partial, options.python)
    try:
        files = release(asked)
    except ReleaseError as error:
        sys.exit(f"release: {error}")
    except Unable as error:
        sys.exit("\n".join(error.lines()))
    print(f"release: {asked.out}, {len(files)} files, {sum(map(len, files.values())):,} bytes")


def release(asked: Asked) -> dict[str, bytes]:
    """Make the folder, whole or not at all; return what is in it, by name.

    Raises:
        ReleaseError: something is missing, or is not what a release may be made from.
        Unable: an executable is not what its description says.
    """
    sources = read_sources()
    check_version(sources, asked.version)
    executables = _executables(asked, sources.version)
    files = _made(asked, sources, executables)
    sums = [f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted(files.items())]
    files[_SUMS] = "".join(sums).encode()
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{asked.out.name}-", dir=asked.out.parent))
    try:
        fresh.chmod(0o755)
        for name, data in files.items():
            (fresh / name).write_bytes(data)
            (fresh / name).chmod(0o755 if name == _PYZ or _is_executable(name) else 0o644)
        shutil.rmtree(asked.out, ignore_errors=True)
        fresh.rename(asked.out)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return files


def _is_executable(name: str) -> bool:
    return name in {PREFIX + to_uname(architecture) for architecture in RELEASED}


def _executables(asked: Asked, version: str) -> dict[str, Executable]:
    """Return the executables by architecture: all that a release has, each of this very version."""
    found: dict[str, Executable] = {}
    for architecture in RELEASED:
        file = asked.built / (PREFIX + to_uname(architecture))
        if file.exists():
            found[architecture] = read_executable(os.fspath(file))
            said = parse_contents(found[architecture].contents).parts[0].version
            if said != version:
                raise ReleaseError(f"{file} is of version {said}, and the tree of {version}: make static ARCH=all")
        elif not asked.partial or asked.version:
            raise ReleaseError(
                f"{file} is missing, and a release is for {' and '.join(map(to_uname, RELEASED))}: make static ARCH=all"
                " (PARTIAL=1 makes a development version's of what there is)"
            )
        else:
            print(f"release: not whole: there is no {file}", file=sys.stderr)
    if not found:
        raise ReleaseError(f"{asked.built} has no executable: make static ARCH=all")
    return found


def _made(asked: Asked, sources: Sources, executables: Mapping[str, Executable]) -> dict[str, bytes]:
    """Return every file but the sums."""
    programs = {PREFIX + to_uname(architecture): executable for architecture, executable in executables.items()}
    data: dict[str, bytes] = {}
    sboms: dict[str, bytes] = {}
    statements: dict[str, bytes] = {}
    for name, executable in programs.items():
        data |= {name: executable.data, f"{name}{SUFFIX}": executable.contents}
        contents = parse_contents(executable.contents)
        for form in FORMATS:
            sboms[f"{name}{_SBOM[form]}"] = render(of_executable(contents), form, EPOCH)
        statements[f"{name}.openvex.json"] = _vex(executable)
    wheel_name, wheel = make_wheel(sources, data, sboms)
    sdist_name, sdist = make_sdist(sources, metadata_of(wheel))
    files = {**data, **sboms, **statements, wheel_name: wheel, sdist_name: sdist}
    with tempfile.TemporaryDirectory(prefix="metalauncher-release-") as folder:
        files |= _zipapp(asked, Path(folder))
        layers = {}
        for architecture, executable in executables.items():
            file = Path(folder, f"metalauncher-{sources.version}-linux-{to_uname(architecture)}.tar.gz")
            layers[architecture] = make_layer(executable, file)
            files[file.name] = file.read_bytes()
        archive = Path(folder, f"metalauncher-{sources.version}.oci.tar")
        write_index(layers, sources.version, archive)
        files[archive.name] = archive.read_bytes()
    whole = set(executables) == set(RELEASED)
    files["inputs.json"] = inputs_json(sources, map(to_uname, executables), whole=whole)
    return files


def _vex(executable: Executable) -> bytes:
    vulnerabilities, reviewed = known()
    statements = judge(parse_contents(executable.contents), vulnerabilities)
    stated = Stated(tuple(sorted(statements)), (PROJECT,), reviewed)
    return json.dumps(openvex(stated, reviewed), indent=1, sort_keys=True).encode() + b"\n"


def _zipapp(asked: Asked, folder: Path) -> dict[str, bytes]:
    """Build the zipapp with the bytecode of the build's own CPython: whichever Python makes the release, the same."""
    python = asked.python or own_python(Cache("release"))
    script, target = HERE.parent / "pyz.py", folder / _PYZ
    command = [sys.executable, str(script), str(target), "--python", str(python)]
    environ = os.environ | {"PYTHONPATH": os.pathsep.join([str(TREE), *filter(None, sys.path)])}
    done = subprocess.run(command, env=environ, capture_output=True, text=True)
    if done.returncode != 0:
        raise ReleaseError(f"the zipapp can't be built: {done.stderr.strip()}")
    return {name: (folder / name).read_bytes() for name in (_PYZ, _PYZ + SUFFIX)}


if __name__ == "__main__":
    main()
