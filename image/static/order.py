"""Writes hot-code.txt and hot-data.txt anew: which sections of the linked program a dispatch touches, in that order.

    python image/static/order.py

For after a change of CPython, tomli, the compiler, or much of the application. The lists only order the file, so a name
too few or too many is no mistake. Needs valgrind, which sees every access.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from bisect import bisect_right
from pathlib import Path

sys.dont_write_bytecode = True

from linkmap import Placed, read_map

HERE = Path(__file__).resolve().parent
CODE, DATA = (".text", ".cold"), (".data", ".cold_data")  # layout.ld's
HEAD = "# Sections that a dispatch touches, in the order in which it first does. Written by order.py.\n"
TRUE = "/bin/true"
# Larger ones come last, those at the end of which most is not touched.
LARGE = 4096
# What is dispatched: METALAUNCHER_ROOT is driver.py's, and so are the versions.
VERSIONS = ("0.12", "0.9", "0.14")
KINDS = ("I ", " L", " S", " M")  # of an instruction, a load, a store, both


def main() -> None:
    """Trace a few dispatches of the executable that the tree makes now."""
    from cache import Cache
    from steps import WARM_UP, build

    folder = build(Cache())
    placed = read_map((folder / "map").read_text())
    sections = sorted(section for section in placed if section.output in CODE + DATA)
    touched: dict[Placed, set[int]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch, "root")
        shutil.copytree(WARM_UP, root)
        for launcher in root.glob("usr/lib/cnb/launchers/*/*/*/launcher"):
            launcher.unlink()  # the build has nothing to exec
            shutil.copy(TRUE, launcher)
        for version in VERSIONS:
            trace(folder / "metalauncher", root, version, sections, touched)
    for name, outputs in (("hot-code.txt", CODE), ("hot-data.txt", DATA)):
        found = [section for section in touched if section.output in outputs]
        found.sort(key=lambda section: section.size / len(touched[section]) if section.size > LARGE else 0)
        lines = dict.fromkeys(f"{section.name}\n" for section in found)
        (HERE / name).write_text(HEAD + "".join(lines))
        print(f"{name}: {len(lines)} sections, {sum(section.size for section in found) // 1024} KB")


def trace(program: Path, root: Path, version: str, sections: list[Placed], touched: dict[Placed, set[int]]) -> None:
    """Add the sections that a dispatch touches, each with its pages that it touches."""
    environ = {
        "METALAUNCHER_ROOT": str(root),
        "CNB_LAYERS_DIR": str(root / "layers"),
        "CNB_PLATFORM_API": version,
        "PATH": "/usr/bin:/bin",
    }
    addresses = [section.address for section in sections]
    web = root / "web"  # under its own name it does not dispatch
    web.unlink(missing_ok=True)
    shutil.copy(program, web)
    command = ["valgrind", "--tool=lackey", "--trace-mem=yes", "--log-fd=1", str(web)]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as run:
        # In the order of first touch.
        accesses = dict.fromkeys(line[3:].partition(",")[0] for line in run.stdout or () if line[:2] in KINDS)
    if run.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with code {run.returncode}")
    for access in accesses:
        address = int(access, 16)
        section = sections[max(bisect_right(addresses, address) - 1, 0)]
        if section.address <= address < section.address + section.size:
            touched.setdefault(section, set()).add(address // 4096)


if __name__ == "__main__":
    main()
