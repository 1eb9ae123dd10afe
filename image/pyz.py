"""Build the zipapp, the dispatching form for run images that have Python: `python3 image/pyz.py OUT`.

One reproducible file: the package without its tooling, and tomli; each module as bytecode of the Python that builds
(what starts fast) and as source (what starts with any other). Stored, not compressed: zlib would be one import more.
"""

from __future__ import annotations

import importlib.util
import io
import marshal
import os
import sys
import zipfile
from pathlib import Path

# An absolute interpreter: PATH begins with /cnb/process, where an app may have a process called python3.
# -I: nothing of the app's PYTHON* variables or working directory; -S: no site-packages.
SHEBANG = b"#!/usr/bin/python3 -IS\n"
MAIN = "from metalauncher.__main__ import main\n\nmain()\n"
# PEP 552: the file holds the source's hash, and nobody compares it at import.
UNCHECKED_HASH = (1).to_bytes(4, "little")
PACKAGES = ("metalauncher", "tomli")


def sources(package: str) -> dict[str, bytes]:
    """Return the package's own modules by their name in the archive; what lies in folders below is the tooling's."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        sys.exit(f"pyz: {package} is missing; run `make venv` first")
    folder = Path(spec.submodule_search_locations[0])
    return {f"{package}/{path.name}": path.read_bytes() for path in sorted(folder.glob("*.py"))}


def build() -> bytes:
    """Return the zipapp's bytes."""
    files = {"__main__.py": MAIN.encode()}
    for package in PACKAGES:
        files |= sources(package)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as out:
        for name, source in sorted(files.items()):
            code = compile(source, f"metalauncher.pyz/{name}", "exec", dont_inherit=True, optimize=2)
            bytecode = (
                importlib.util.MAGIC_NUMBER + UNCHECKED_HASH + importlib.util.source_hash(source) + marshal.dumps(code)
            )
            for entry, data in ((name + "c", bytecode), (name, source)):
                info = zipfile.ZipInfo(entry, (1980, 1, 1, 0, 0, 0))
                info.external_attr = 0o644 << 16
                out.writestr(info, data)
    return SHEBANG + archive.getvalue()


def main() -> None:
    """Write the zipapp whole or not at all."""
    target = Path(sys.argv[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_name(f".{target.name}.{os.getpid()}")
    scratch.write_bytes(build())
    scratch.chmod(0o755)
    scratch.replace(target)
    print(f"{target}: {target.stat().st_size} bytes, bytecode for Python {sys.version_info[0]}.{sys.version_info[1]}")


if __name__ == "__main__":
    main()
