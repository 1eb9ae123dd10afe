"""The executables of all architectures beside the Go program that does the same job: sizes and instructions.

    python bench/machines.py

After `make static ARCH=all`. Instructions are counted up to the exec, by qemu-user in blocks of one instruction: the
program's own, and never the kernel's. How long they take on hardware is not shown.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent / "image/static")]

from architectures import ARCHITECTURES, EMULATORS
from steps import result_of

import bench

GOARCH = {"x86_64": "amd64", "aarch64": "arm64"}
# qemu's log has one line for each block that it runs.
LINE = b"Trace "


def instructions(emulator: str, program: Path, environ: dict[str, str], folder: Path) -> int:
    """Count the instructions of a dispatch, of 2 KB of metadata, up to its exec."""
    log = folder / "log"
    log.unlink(missing_ok=True)
    os.mkfifo(log)
    counted: list[int] = []

    def count() -> None:
        total, rest = 0, b""
        with log.open("rb") as lines:
            while part := lines.read(1 << 20):
                text = rest + part
                total += text.count(LINE)
                rest = text[-(len(LINE) - 1) :]
        counted.append(total)

    reader = threading.Thread(target=count)
    reader.start()
    options = ["-singlestep", "-d", "exec,nochain", "-D", str(log)]
    done = subprocess.run([emulator, *options, str(program)], env=environ, capture_output=True, check=False)
    reader.join()
    if done.returncode != 0:
        sys.exit(f"{program} did not dispatch: {done.stderr.decode()}")
    return counted[0]


def main() -> int:
    """Print the table; return the exit code."""
    subprocess.run([bench.PROJECT / "tools/need", "test", "emulator"], check=True)
    print(f"{'':<20}{'bytes':>14}{'instructions':>16}")
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        bench.build(scratch)
        environ = bench.environment(scratch, "2 KB")
        for architecture in ARCHITECTURES.values():
            go = scratch / f"go-{architecture.name}"
            static = scratch / f"static-{architecture.name}"  # under another name than its own it dispatches
            static.write_bytes(result_of(architecture).read_bytes())
            static.chmod(0o755)
            if not bench.build_go(go, GOARCH[architecture.name]):
                sys.exit("there is no Go here")
            emulator = next(name for name in EMULATORS if name.split("-")[1] == architecture.name)
            for label, program in (("static", static), ("Go", go)):
                counted = instructions(emulator, program, environ, scratch)
                print(f"{f'{label}, {architecture.name}':<20}{program.stat().st_size:>14,}{counted:>16,}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
