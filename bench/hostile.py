"""What a fleet of hostile apps costs `check`: memory in each form of the report, and the slowest of them.

Each has a metadata.toml of up to 2 MB, no two alike, made to be slow to parse or large to keep. They lie in an OCI
layout. Exits 1 if a *must* is missed.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(PROJECT), str(PROJECT / "bench"), str(PROJECT / "tests/support")]

import images
from fleet import MUST_MEMORY, judge, place
from harness import static_form
from measure import wait
from native import Native, Starter
from rebased import Rig, World, metadata

from metalauncher.tooling.apps.check.judge import Judge
from metalauncher.tooling.apps.check.records import WORK_LIMIT, work_of
from metalauncher.tooling.oci.sources.layout import LayoutStore

FORMS = ("text", "json", "jsonl", "markdown", "html")
MUST_SECONDS = 1.0
SIZE = 2 << 20  # bytes of a metadata.toml
METADATA = "/layers/config/metadata.toml"
HEAD = '[[buildpacks]]\nid = "a/{}"\napi = "{}"\n'
DEEP = ".".join("bcdefghijklmnop")


def wide(chance: random.Random, length: int) -> str:
    """Return letters that take four bytes each."""
    return "".join([chr(chance.randrange(0x1F300, 0x1F600)) for _ in range(length)])


def repeated(line: str) -> Callable[[random.Random, int], str]:
    """Return what fills a file with a line, as often as is still parsed."""
    number = int(WORK_LIMIT * 0.95 // (work_of((line.format(12345) * 100).encode()) / 100))

    def fill(chance: random.Random, app: int) -> str:
        del chance
        return HEAD.format(app, "0.10") + "".join([line.format(at) for at in range(number)])[: SIZE - 200]

    return fill


def many(chance: random.Random, app: int) -> str:
    """Return many buildpacks, their names of what takes most room."""
    del app
    return "".join([HEAD.format(wide(chance, 28), wide(chance, 8)) for _ in range(2000)])


def full(chance: random.Random, app: int) -> str:
    """Return as many buildpacks as are kept, each with an API of its own that no launcher has."""
    lines = "".join([HEAD.format(f"{app}/{chance.random()}", f"0.{chance.randrange(99, 10**6)}") for _ in range(64)])
    return lines + "#" + " " * (SIZE - len(lines) - 10) + "\n"


KINDS: dict[str, Callable[[random.Random, int], str]] = {
    "buildpacks": many,
    "as many as are kept": full,
    "one long name": lambda chance, app: HEAD.format(f"{app}{wide(chance, 100_000)}", "0.99"),
    "one long API": lambda chance, app: HEAD.format(app, wide(chance, 100_000)),
    "headers": repeated(f"[a{{}}.{DEEP}]\n"),
    "keys": repeated(f"a{{}}.{DEEP}=1\n"),
    "dates": repeated("a{}=2020-01-01T00:00:00.5\n"),
    "tables": repeated("[[processes]]\ntype='{}'\ncommand='a'\n"),
    "control characters": repeated('a{}="\1"\n'),
    "not parsed": lambda chance, app: HEAD.format(app, chance.random()) + "a=[" + "1," * (SIZE // 2 - 200) + "]\n",
}


def build(folder: Path, number: int) -> tuple[World, list[str]]:
    """Write so many apps, and their run image; return their names."""
    (folder / "native").mkdir()
    native = Native(folder / "native")
    rig = Rig(static_form(), native, Starter(native, folder / "scratch"), folder)
    world = World(rig, images.Layout(folder / "layout"))
    world.run("old", rig.run_layer("0.14.3"))
    world.run("new", rig.run_layer("0.17.7", "0.21.17"))
    images.export(world.layout, "old", images.make_app("app", metadata("0.10"), "0.12"), "symlink", "plain")
    manifest, config = world.layout.image("plain")
    usual = images.config_layer(metadata("0.10").encode()).diff_id
    at_layer = config["rootfs"]["diff_ids"].index(usual)
    makers = list(KINDS.values())
    for at in range(number):
        chance = random.Random(at)  # noqa: S311  # the same apps each time
        text = makers[at % len(makers)](chance, at).encode()
        layer = images.pack([*map(images.folder, ("/layers", "/layers/config")), images.file(METADATA, text)])
        own = json.loads(json.dumps(config).replace(usual, layer.diff_id))
        own["config"]["Env"] += [f"METALAUNCHER_PIN={wide(chance, 5000)}"] * (at % 3 == 0)
        blobs = [*manifest["layers"]]
        blobs[at_layer] = world.layout.put(layer.data, layer.media_type)
        world.layout.add(own, blobs, f"app{at}")
    world.layout.save()
    return world, [f"app{at}" for at in range(number)]


def memory(folder: Path, form: str) -> tuple[int, float]:
    """Check all apps; return the most bytes that this took, and the seconds."""
    command = ["check", "--from", str(folder / "apps.txt"), "--run-image", f"oci:{folder}/layout:new", "--no-cache"]
    command += ["--format", form, "--all", "--output", str(folder / f"out.{form}")]
    began = time.perf_counter()
    with open(folder / "err.txt", "wb") as err:
        process = subprocess.Popen([sys.executable, "-m", "metalauncher", *command], cwd=PROJECT, env={}, stderr=err)
        _, most = wait(process)
    if process.returncode not in (1, 3):
        raise SystemExit(f"the check did not work: {process.returncode}\n{(folder / 'err.txt').read_text()}")
    return most, time.perf_counter() - began


def slowest(world: World, apps: list[str]) -> dict[str, float]:
    """Return how many seconds of a processor an app of each kind takes, alone."""
    taken = {}
    for kind, app in zip(KINDS, apps, strict=False):
        judged = Judge(world.run_image("new"), None, "linux/amd64")
        store = LayoutStore(str(world.layout.directory), app)
        began = time.thread_time()
        result = judged.judge(app, store)
        taken[f"{kind}: {result.kind}"] = time.thread_time() - began
    return taken


def main() -> int:
    """Run it all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000, help="how many (default: %(default)s)")
    parser.add_argument("--format", choices=FORMS, action="append", help="of the reports (default: all)")
    options = parser.parse_args()
    met = []
    with tempfile.TemporaryDirectory(dir=place()) as name:
        folder = Path(name)
        world, apps = build(folder, options.images)
        for what, seconds in slowest(world, apps).items():
            print(f"{what:<44}{seconds:>12.2f} seconds of a processor")
            met.append(seconds <= MUST_SECONDS)
        (folder / "apps.txt").write_text("".join([f"oci:{folder}/layout:{app}\n" for app in apps]))
        for form in options.format or FORMS:
            most, seconds = memory(folder, form)
            print(f"{form}: {seconds:.0f} seconds, a report of {(folder / f'out.{form}').stat().st_size >> 20} MiB")
            met.append(judge(f"MiB, {form}", most >> 20, MUST_MEMORY >> 20, "at most", least=False))
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
