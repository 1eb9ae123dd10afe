"""Builds the static executables again, all of them, where everything is different, and compares: `make reproduce`.

Another folder, another cache, another time, another environment and umask and, where that is allowed, another file
system and host name. Only what its digest pins is not fetched again: the sources of CPython and tomli, mypyc, and the
compiler with the sources of musl.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True

from architectures import ARCHITECTURES
from cache import Cache
from steps import HERE, TREE, result_of

PINNED = ("source", "tomli", "mypyc", "zig")
ENVIRON = {
    "HOME": "/nonexistent",
    "LANG": "C.UTF-8",
    "LOGNAME": "somebody",
    "PYTHONHASHSEED": "42",
    "SOURCE_DATE_EPOCH": "1234567890",
    "TZ": "Pacific/Auckland",
    "USER": "somebody",
    "WITH_A_LONG_VALUE": "x" * 5000,
}
PASSED = ("PATH", "CPYTHON_SOURCE", "CPYTHON_SHA256")
MEMORY = Path("/dev/shm")  # noqa: S108  # another file system: other numbers of files, another order of directories
# A command that runs another one where the host has another name.
ELSEWHERE = ["unshare", "--uts", "sh", "-c", 'hostname elsewhere && exec "$@"', "sh"]


def rebuild(kept: tuple[str, ...], asked: str) -> dict[str, bytes]:
    """Build elsewhere, with the results of the steps named here and of no others.

    Args:
        kept: the steps.
        asked: an architecture, or `all`.

    Returns:
        the executables by architecture.
    """
    memory = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory() as disk, tempfile.TemporaryDirectory(dir=memory) as other:
        tree = Path(other, "a-folder-with-a-longer-name", "and-another", "tree")
        for part in (HERE, TREE / "metalauncher"):
            shutil.copytree(part, tree / part.relative_to(TREE), ignore=shutil.ignore_patterns("__pycache__"))
        cache = Path(disk, "a-cache-elsewhere")
        cache.mkdir()
        for folder in Cache().root.iterdir():
            if folder.name.partition("-")[0] in kept:
                (cache / folder.name).symlink_to(folder)
        results = Path(disk, "results")
        command = [sys.executable, str(tree / HERE.relative_to(TREE) / "build"), asked, str(results)]
        if subprocess.run([*ELSEWHERE, "true"], check=False, capture_output=True).returncode == 0:
            command = [*ELSEWHERE, *command]
        environ = {name: os.environ[name] for name in PASSED if name in os.environ}
        environ |= {"METALAUNCHER_CACHE": str(cache), **ENVIRON}
        subprocess.run(command, env=environ, umask=0o077, check=True)
        files = {name: result_of(architecture, results) for name, architecture in ARCHITECTURES.items()}
        return {name: file.read_bytes() for name, file in files.items() if file.exists()}


def main() -> int:
    """Build and compare; return the exit code."""
    built = rebuild(PINNED, "all")
    return max([_compare(result_of(ARCHITECTURES[name]), second) for name, second in built.items()])


def _compare(result: Path, second: bytes) -> int:
    first = result.read_bytes()
    if first == second:
        print(f"reproduced: {result.name}, sha256 {hashlib.sha256(first).hexdigest()}")
        return 0
    result.with_suffix(".second").write_bytes(second)
    differing = [offset for offset, (a, b) in enumerate(zip(first, second, strict=False)) if a != b]
    print(
        f"NOT reproduced: {result.name}, {len(first)} and {len(second)} bytes, {len(differing)} differ, "
        f"the first at {differing[:9]}"
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
