"""How fast a fleet is checked, and in how much memory, beside a loop over `skopeo inspect`: `make bench`.

The fleet is in a real registry on this machine, which shares two processors with whoever asks it. Once with nothing
kept (cold), once more from what was kept (warm), and both ways with `--thorough`, which reads every layer. The loop
runs over a sample, and its time for all is worked out from that. It asks for less: `skopeo inspect` reads no layer, so
no metadata.toml. Exits 1 if a *must* is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(PROJECT), str(PROJECT / "tests/support")]

import images
from fleets import make_fleet, stock
from harness import static_form
from measure import wait
from native import Native, Starter
from rebased import Rig, World
from registries import start_registry

PROCESSORS = 2
KINDS = 40  # of apps, that make_fleet makes
MUST_RATE = 5000  # images a minute
MUST_MEMORY = 200 << 20  # bytes
SAMPLE = 60
ROOM = 1 << 30  # bytes


@dataclass(frozen=True)
class Run:
    """What a run took.

    Attributes:
        seconds: from its start to its end.
        processor: seconds of processors.
        memory: bytes at most.
        requests: to the registry, for manifests and for blobs.
        read: bytes of layers that were looked through, as stored, of an image on average.
        counts: of the verdicts.
    """

    seconds: float
    processor: float
    memory: int
    requests: tuple[int, int]
    read: float
    counts: dict[str, int]


def build(folder: Path, number: int) -> tuple[str, list[str], object]:
    """Make a fleet of at least so many images, and start a registry that has it; return its host, its apps, and it."""
    public = folder / "native"
    public.mkdir()
    native = Native(public)
    rig = Rig(static_form(), native, Starter(native, folder / "scratch"), folder)
    world = World(rig, images.Layout(folder / "layout"))
    world.run("old", rig.run_layer("0.14.3", "0.17.7"))
    world.run("new", rig.run_layer("0.21.17"))
    fleet = make_fleet(world, -(-number // KINDS))
    storage = folder / "registry"
    storage.mkdir()
    stock(storage, world.layout, fleet.names | {"base/run:new": "new"})
    registry = start_registry(storage, log=True)
    return registry.host, [f"{registry.host}/{name}" for name in fleet.names], registry


def check(folder: Path, host: str, *options: str) -> Run:
    """Check all apps of the list, and measure."""
    log = folder / "registry/registry.log"
    before = log.stat().st_size
    command = ["check", "--from", str(folder / "apps.txt"), "--run-image", f"{host}/base/run:new", "--json", *options]
    with open(folder / "out.json", "w+b") as out:
        began = time.perf_counter()
        process = subprocess.Popen([sys.executable, "-m", "metalauncher", *command], cwd=PROJECT, env={}, stdout=out)
        usage, memory = wait(process)
        seconds = time.perf_counter() - began
        out.seek(0)
        document = json.load(out)
    if process.returncode != 1 or not document["complete"] or document["counts"]["unknown"]:
        raise SystemExit(f"the check did not work: exit code {process.returncode}, {document['counts']}")
    time.sleep(0.3)  # the registry writes its log a little later
    with open(log, "rb") as file:
        file.seek(before)
        paths = re.findall(rb'"GET /v2/\S+/(manifests|blobs)/', file.read())
    asked = paths.count(b"manifests"), paths.count(b"blobs")
    read = sum(result["bytes_read"] for result in document["results"]) / len(document["results"])
    return Run(seconds, usage.ru_utime + usage.ru_stime, memory, asked, read, document["counts"])


def loop(apps: list[str]) -> float | None:
    """Return how many images a minute `skopeo inspect` reads, as many at a time as there are processors."""
    if not shutil.which("skopeo"):
        return None
    step = max(1, len(apps) // SAMPLE)
    sample = apps[::step][:SAMPLE]
    script = 'skopeo inspect --tls-verify=false --raw "docker://$0" && skopeo inspect --tls-verify=false --config "docker://$0"'
    began = time.perf_counter()
    subprocess.run(
        ["xargs", "-n", "1", "-P", str(PROCESSORS), "sh", "-c", script],
        input="\n".join(sample).encode(),
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return len(sample) * 60 / (time.perf_counter() - began)


def place() -> str:
    """Return where to put the fleet: in memory, if there is room, for the disk is nobody's merit or fault."""
    memory = "/dev/shm"  # noqa: S108  # a directory of its own is made in it
    if os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > ROOM:
        return memory
    return str(PROJECT / "dist")


def judge(name: str, value: float, must: float, unit: str, *, least: bool) -> bool:
    """Print a figure beside what it must be; return whether it is."""
    met = value >= must if least else value <= must
    print(f"{name:<44}{value:>12,.0f}{must:>12,.0f} {unit:<16}{'met' if met else 'MISSED'}")
    return met


def main() -> int:
    """Run it all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000, help="how many (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=16, help="at a time (default: %(default)s)")
    options = parser.parse_args()
    processors = sorted(os.sched_getaffinity(0))[:PROCESSORS]
    os.sched_setaffinity(0, processors)
    with tempfile.TemporaryDirectory(dir=place()) as name:
        folder = Path(name)
        host, apps, registry = build(folder, options.images)
        try:
            (folder / "apps.txt").write_text("\n".join(apps) + "\n")
            more = ("--jobs", str(options.jobs), "--cache", str(folder / "cache"))
            thorough = ("--thorough", "--jobs", str(options.jobs), "--cache", str(folder / "thorough"))
            runs = {
                "cold": check(folder, host, *more),
                "warm": check(folder, host, *more),
                "thorough, cold": check(folder, host, *thorough),
                "thorough, warm": check(folder, host, *thorough),
            }
            skopeo = loop(apps)
        finally:
            registry.close()  # type: ignore[attr-defined]  # no store but that of a registry has it
    print(f"\n{len(apps):,} images in a registry on the same {len(processors)} processors")
    print(
        f"{'':<16}{'seconds':>10}{'of processors':>15}{'MiB':>8}{'manifests':>12}{'blobs':>8}{'bytes an image':>16}"
        f"{'images a minute':>18}"
    )
    for title, run in runs.items():
        rate = len(apps) * 60 / run.seconds
        print(
            f"{title:<16}{run.seconds:>10.1f}{run.processor:>15.1f}{run.memory >> 20:>8}"
            f"{run.requests[0]:>12,}{run.requests[1]:>8,}{run.read:>16,.0f}{rate:>18,.0f}"
        )
    if skopeo is None:
        print("skopeo is not here: nothing to compare with")
    else:
        minutes = len(apps) / skopeo
        print(
            f"a loop over skopeo inspect, {PROCESSORS} at a time: {skopeo:,.0f} images a minute (of {SAMPLE} of them);"
        )
        print(f"for all, that is {minutes * 60:,.0f} seconds, without any metadata.toml")
    print(f"\n{'budget':<44}{'':>12}{'must':>12}")
    met = [
        judge("images a minute, cold", len(apps) * 60 / runs["cold"].seconds, MUST_RATE, "at least", least=True),
        judge("images a minute, warm", len(apps) * 60 / runs["warm"].seconds, MUST_RATE, "at least", least=True),
        judge("MiB, cold", runs["cold"].memory >> 20, MUST_MEMORY >> 20, "at most", least=False),
        judge("MiB, warm", runs["warm"].memory >> 20, MUST_MEMORY >> 20, "at most", least=False),
        judge("MiB, thorough", runs["thorough, cold"].memory >> 20, MUST_MEMORY >> 20, "at most", least=False),
        judge("blobs asked for, warm", runs["warm"].requests[1], 0, "at most", least=False),
    ]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
