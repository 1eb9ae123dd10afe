"""How fast a fleet is patched, in how much memory, and what is moved for it: `make bench`.

The fleet is in a real registry on this machine, which shares two processors with whoever asks it. It is planned, the
plan is applied into other repositories, so that layers are mounted, and then applied once more, when all is done.
Exits 1 if a *must* is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(PROJECT), str(PROJECT / "tests/support")]

import images
from fleet import PROCESSORS, judge, place
from harness import static_form
from measure import wait
from native import Native, Starter
from patching import RUN, Yard
from rebased import Rig, World
from registries import RealRegistry, start_registry

MUST_RATE = 1000  # images a minute
MUST_MEMORY = 200 << 20  # bytes
REPOSITORIES = 20
_GOT = re.compile(rb'"(GET|HEAD|POST|PATCH|PUT) /v2/\S+ HTTP/[0-9.]+" ([0-9]+) ([0-9]+)')


@dataclass(frozen=True)
class Run:
    """What a run took.

    Attributes:
        seconds: from its start to its end.
        processor: seconds of processors.
        memory: bytes at most.
        requests: to the registry, reading ones and writing ones.
        mounted: layers that the registry took from another repository.
        down: bytes that the registry answered with.
        up: bytes of blobs that were uploaded.
    """

    seconds: float
    processor: float
    memory: int
    requests: tuple[int, int]
    mounted: int
    down: int
    up: int


def build(folder: Path, registry: RealRegistry, number: int) -> tuple[Yard, list[str]]:
    """Push so many apps that carry a launcher of their own."""
    public = folder / "native"
    public.mkdir()
    native = Native(public)
    rig = Rig(static_form(), native, Starter(native, folder / "scratch"), folder)
    world = World(rig, images.Layout(folder / "layout"))
    world.run("two", rig.run_layer("0.17.7", "0.21.17"))
    yard = Yard(registry, world, folder)
    yard.push("two", RUN)
    return yard, [yard.app(f"team/app-{each % REPOSITORIES}:{each}") for each in range(number)]


def run(yard: Yard, *words: str) -> Run:
    """Run `patch`, and measure."""
    log = yard.folder / "registry/registry.log"
    before = log.stat().st_size
    command = [sys.executable, "-m", "metalauncher", "patch", "--json", *words]
    with open(yard.folder / "out.json", "w+b") as out:
        began = time.perf_counter()
        process = subprocess.Popen(command, cwd=PROJECT, env={"HOME": str(yard.folder)}, stdout=out)
        usage, memory = wait(process)
        seconds = time.perf_counter() - began
        out.seek(0)
        document = json.load(out)
    if process.returncode != 0:
        raise SystemExit(f"it did not work: exit code {process.returncode}, {document['counts']}")
    time.sleep(0.3)  # the registry writes its log a little later
    with open(log, "rb") as file:
        file.seek(before)
        said = file.read()
    found = _GOT.findall(said)
    reading = sum(method in (b"GET", b"HEAD") for method, _, _ in found)
    down = sum(int(size) for method, _, size in found if method == b"GET")
    mounted = len(re.findall(rb'"POST /v2/\S*[?&]mount=\S* HTTP/[0-9.]+" 201', said))
    up = sum(line["progress"]["sent"] for line in yard.lines() if "progress" in line) if "--apply" in words else 0
    processor = usage.ru_utime + usage.ru_stime
    return Run(seconds, processor, memory, (reading, len(found) - reading), mounted, down, up)


def main() -> int:
    """Run it all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1000, help="how many (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=16, help="at a time (default: %(default)s)")
    options = parser.parse_args()
    processors = sorted(os.sched_getaffinity(0))[:PROCESSORS]
    os.sched_setaffinity(0, processors)
    with tempfile.TemporaryDirectory(dir=place()) as name:
        storage = Path(name) / "registry"
        storage.mkdir()
        registry = start_registry(storage, log=True)
        try:
            yard, apps = build(Path(name), registry, options.images)
            (yard.folder / "apps.txt").write_text("\n".join(apps) + "\n")
            more = ("--jobs", str(options.jobs), "--cache", str(yard.folder / "cache"))
            journal = str(yard.journal)
            ways = ("--launcher", "shim", "--to", "{repository}-shim:{tag}", "--journal", journal)
            runs = {
                "plan": run(yard, "--from", str(yard.folder / "apps.txt"), *ways, *more),
                "apply": run(yard, "--apply", journal, *more),
                "apply again": run(yard, "--apply", journal, *more),
            }
        finally:
            registry.close()
    number = len(apps)
    print(f"\n{number:,} images in a registry on the same {len(processors)} processors; bytes are of one image")
    print(
        f"{'':<12}{'seconds':>10}{'of processors':>15}{'MiB':>8}{'reads':>8}{'writes':>8}{'mounts':>8}"
        f"{'bytes down':>12}{'bytes up':>10}{'images a minute':>18}"
    )
    for title, each in runs.items():
        print(
            f"{title:<12}{each.seconds:>10.1f}{each.processor:>15.1f}{each.memory >> 20:>8}"
            f"{each.requests[0]:>8,}{each.requests[1]:>8,}{each.mounted:>8,}"
            f"{each.down / number:>12,.0f}{each.up / number:>10,.0f}{number * 60 / each.seconds:>18,.0f}"
        )
    print(f"\n{'budget, of each run':<44}{'':>12}{'must':>12}")
    met = [
        judge("images a minute, plan", number * 60 / runs["plan"].seconds, MUST_RATE, "at least", least=True),
        judge("images a minute, apply", number * 60 / runs["apply"].seconds, MUST_RATE, "at least", least=True),
        judge("MiB, plan", runs["plan"].memory >> 20, MUST_MEMORY >> 20, "at most", least=False),
        judge("MiB, apply", runs["apply"].memory >> 20, MUST_MEMORY >> 20, "at most", least=False),
        judge("writes when all is done", runs["apply again"].requests[1], 0, "at most", least=False),
    ]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
