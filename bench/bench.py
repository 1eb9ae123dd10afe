"""The budgets of the start-up, side by side with their references, in one interleaved run: `make bench`.

Every candidate does one dispatch (two descriptors, the app's metadata.toml, exec of a launcher that ends at once) or,
for the references, what their name says. Ratios of medians decide, in a container their difference; the table also
gives minima, page faults and instructions. Exits 1 if a *must* is missed. Without Go, or for a container
without root and crun, a budget is not shown, never met.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import in_container

PROJECT = Path(__file__).resolve().parent.parent
BENCH = PROJECT / "bench"
STATIC = PROJECT / f"dist/metalauncher-linux-{os.uname().machine}"
ZIPAPP = PROJECT / "dist/metalauncher.pyz"
PYTHON = "/usr/bin/python3"  # the zipapp's own
DESCRIPTORS = ("buildpacks_lifecycle@0.21.17.toml", "buildpacks_lifecycle@0.17.7.toml")
SIZES = {"2 KB": 2_000, "20 KB": 20_000, "300 KB": 300_000}
METADATA = (PROJECT / "tests/data/apps/p12/layers/config/metadata.toml").read_text()

# candidate, reference, where measured, must, goal: how many times the reference's median the candidate's may be
BUDGETS = (
    ("static", "go", "2 KB", 0.5, 0.3),
    ("static", "python", "2 KB", 0.12, 0.08),
    ("static", "exec only", "2 KB", None, 4.0),
    ("static", "go", "20 KB", 0.6, 0.4),
    ("static", "go", "300 KB", 0.6, 0.4),
    ("static", "go", "2 KB, evicted", 1.0, 0.7),
    ("zipapp", "python", "2 KB", 4.0, 3.0),
)
CONTAINER = "container"
SIZE_MUST, SIZE_GOAL = 5_000_000, 2_500_000  # bytes


@dataclass(frozen=True)
class Sample:
    """One start: nanoseconds, minor and major page faults."""

    nanoseconds: int
    minor: int
    major: int


def build(scratch: Path) -> dict[str, list[str]]:
    """Compile what is compared, and return each candidate's command."""
    launcher = scratch / "usr/lib/cnb/launchers/buildpacks/lifecycle/0.21.17/launcher"
    launcher.parent.mkdir(parents=True)
    compiler = ["cc", "-O2", "-static", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([*compiler, "-nostdlib", "-o", launcher, BENCH / "launcher.c"], check=True)
    subprocess.run([*compiler, "-o", scratch / "spawn", BENCH / "spawn.c"], check=True)
    musl = shutil.which("musl-gcc")
    floor = [musl, *compiler[1:]] if musl else compiler
    define = f'-DLAUNCHER="{launcher}"'
    subprocess.run([*floor, define, "-o", scratch / "exec-only", BENCH / "exec_only.c"], check=True)
    descriptors = scratch / "usr/lib/cnb/launchers.d"
    descriptors.mkdir(parents=True)
    for name in DESCRIPTORS:
        shutil.copy(PROJECT / "launchers.d" / name, descriptors)
    # Under another name than their own they dispatch.
    shutil.copy2(STATIC, scratch / "static")
    shutil.copy2(ZIPAPP, scratch / "zipapp")
    commands = {
        "static": [str(scratch / "static")],
        "zipapp": [str(scratch / "zipapp")],
        "python": [PYTHON, "-I", "-S", "-c", "pass"],
        "exec only": [str(scratch / "exec-only")],
    }
    if build_go(scratch / "go"):
        commands["go"] = [str(scratch / "go")]
    return commands


def build_go(target: Path, goarch: str = "") -> bool:
    """Build the Go program with the Go there is, by modules or with Debian's package of the library.

    Args:
        target: the program.
        goarch: the architecture that it is for, as Go calls it; this machine's if it is empty.
    """
    if not shutil.which("go"):
        packages = [
            "golang-go:go",
            "golang-github-burntsushi-toml-dev:/usr/share/gocode/src/github.com/BurntSushi/toml",
        ]
        if subprocess.run([PROJECT / "tools/need", *packages], check=False).returncode:
            return False
    command = ["go", "build", "-trimpath", "-ldflags=-s -w", "-o", str(target), "."]
    debian = {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode"}
    for extra in ({"GOFLAGS": "-mod=mod"}, debian):
        environ = os.environ | {"CGO_ENABLED": "0"} | extra | ({"GOARCH": goarch} if goarch else {})
        with tempfile.TemporaryDirectory() as folder:
            shutil.copytree(BENCH / "go", folder, dirs_exist_ok=True)
            run = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
        if run.returncode == 0:
            return True
    print(run.stderr, file=sys.stderr)
    return False


def environment(scratch: Path, size: str) -> dict[str, str]:
    """Write a metadata.toml of about this size, grown by the legacy [[bom]], and return the app's environment."""
    bom = (
        '[[bom]]\n  name = "dep-{0}"\n  version = "1.{0}.0"\n  [bom.metadata]\n'
        '    cpes = ["cpe:2.3:a:example:dep-{0}:1.{0}.0:*:*:*:*:*:*:*"]\n    licenses = ["MIT", "Apache-2.0"]\n'
        '    sha256 = "{0:064x}"\n    uri = "https://repo.example.com/org/example/dep-{0}/1.{0}.0/dep-{0}.jar"\n'
        '  [bom.buildpack]\n    id = "example/java"\n    version = "5.9.1"\n\n'
    )
    text, number = METADATA + "\n", 0
    while len(text) < SIZES[size] - 200:
        text += bom.format(number)
        number += 1
    layers = scratch / f"layers-{size.replace(' ', '')}"
    (layers / "config").mkdir(parents=True, exist_ok=True)
    (layers / "config/metadata.toml").write_text(text)
    return {
        "METALAUNCHER_ROOT": str(scratch),
        "CNB_LAYERS_DIR": str(layers),
        "CNB_PLATFORM_API": "0.12",
        "CNB_DEPRECATION_MODE": "quiet",
        "PATH": "/cnb/process:/cnb/lifecycle:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    }


def measure(
    scratch: Path,
    commands: dict[str, list[str]],
    environ: dict[str, str],
    rounds: int,
    *,
    cold: bool = False,
    inside: tuple[str, ...] = (),
) -> dict[str, list[Sample]]:
    """Start the candidates in turn, by a program that `inside` starts, and return every start of each."""
    spawn = [*inside, str(scratch / "spawn"), str(rounds), str(int(cold)), *("|".join(c) for c in commands.values())]
    output = subprocess.run(spawn, env=environ, stdout=subprocess.PIPE, text=True, check=True).stdout
    samples: dict[str, list[Sample]] = {name: [] for name in commands}
    names = list(commands)
    for line in output.splitlines():
        number, *values = map(int, line.split())
        samples[names[number]].append(Sample(*values))
    return samples


def instructions(command: list[str], environ: dict[str, str]) -> str:
    """Count the instructions up to exec, to about one part in a hundred, where valgrind's callgrind works.

    callgrind says what it counted when a program exits, which none of these does: hence a dump every so often.
    """
    if not shutil.which("valgrind"):
        return "-"
    with tempfile.TemporaryDirectory() as folder:
        options = ["--tool=callgrind", f"--callgrind-out-file={folder}/out", "--dump-every-bb=2000"]
        run = subprocess.run(["valgrind", *options, *command], env=environ, capture_output=True, check=False)
        texts = [file.read_text(errors="replace") for file in Path(folder).iterdir()]
    counted = sum(int(total) for text in texts for total in re.findall(r"^totals: (\d+)", text, re.MULTILINE))
    return f"{counted:,}" if counted and run.returncode == 0 else "-"


def median(samples: list[Sample]) -> float:
    """Return the median in microseconds."""
    return statistics.median(sample.nanoseconds for sample in samples) / 1000


def table(title: str, samples: dict[str, list[Sample]]) -> None:
    """Print medians, minima and faults."""
    print(f"\n{title}\n{'':<12}{'median µs':>12}{'min µs':>12}{'minor faults':>14}{'major':>8}")
    for name, starts in sorted(samples.items(), key=lambda item: median(item[1])):
        least = min(sample.nanoseconds for sample in starts) / 1000
        minor = statistics.median(sample.minor for sample in starts)
        major = statistics.median(sample.major for sample in starts)
        print(f"{name:<12}{median(starts):>12.0f}{least:>12.0f}{minor:>14.0f}{major:>8.0f}")


def judge(results: dict[str, dict[str, list[Sample]]]) -> bool:
    """Print every budget beside its ratio; return whether each *must* is met."""
    print(f"\n{'budget':<44}{'ratio':>8}{'min':>8}{'must':>8}{'goal':>8}")
    met = True
    for candidate, reference, where, must, goal in BUDGETS:
        name = f"{candidate} / {reference}, {where}"
        samples = results[where]
        if reference not in samples:
            print(f"{name:<44}{'not shown: there is no Go here':>32}")
            met = met and must is None
            continue
        ratio = median(samples[candidate]) / median(samples[reference])
        least = min(s.nanoseconds for s in samples[candidate]) / min(s.nanoseconds for s in samples[reference])
        verdict = "goal met" if ratio <= goal else "met" if must is None or ratio <= must else "MISSED"
        verdict = "goal missed" if must is None and ratio > goal else verdict
        met = met and verdict != "MISSED"
        print(f"{name:<44}{ratio:>8.3f}{least:>8.3f}{must or '-':>8}{goal:>8}  {verdict}")
    size = STATIC.stat().st_size
    verdict = "goal met" if size <= SIZE_GOAL else "met" if size <= SIZE_MUST else "MISSED"
    print(f"{'static, bytes':<44}{size:>16,}{SIZE_MUST:>12,}{SIZE_GOAL:>12,}  {verdict}")
    met = met and verdict != "MISSED"
    if CONTAINER not in results:
        print(f"{'metalauncher adds in a container, µs':<44}{f'not shown: {in_container.why_not()}':>32}")
        return False
    through, direct = (results[CONTAINER][name] for name in ("metalauncher", "launcher"))
    added = median(through) - median(direct)
    least = (min(s.nanoseconds for s in through) - min(s.nanoseconds for s in direct)) / 1000
    verdict = "goal met" if added <= in_container.GOAL else "met" if added <= in_container.MUST else "MISSED"
    figures = f"{added:>8.0f}{least:>8.0f}{in_container.MUST:>8}{in_container.GOAL:>8}"
    print(f"{'metalauncher adds in a container, µs':<44}{figures}  {verdict}")
    return met and verdict != "MISSED"


def main() -> int:
    """Run it all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200, help="starts of each candidate, warm (default: %(default)s)")
    parser.add_argument("--cold-rounds", type=int, default=60, help="the same, evicted (default: %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=PROJECT / "dist") as folder:
        scratch = Path(folder)
        commands = build(scratch)
        results: dict[str, dict[str, list[Sample]]] = {}
        for size in SIZES:
            environ = environment(scratch, size)
            chosen = (
                commands if size == "2 KB" else {n: c for n, c in commands.items() if n in ("static", "zipapp", "go")}
            )
            results[size] = measure(
                scratch, chosen, environ, options.rounds if size != "300 KB" else options.rounds // 4
            )
            table(f"metadata.toml of {size}, warm", results[size])
        environ = environment(scratch, "2 KB")
        cold = {name: command for name, command in commands.items() if name in ("static", "go", "exec only")}
        results["2 KB, evicted"] = measure(scratch, cold, environ, options.cold_rounds, cold=True)
        table("metadata.toml of 2 KB, executable evicted from the page cache", results["2 KB, evicted"])
        if not in_container.why_not():
            environ = environment(scratch, "2 KB")
            container = in_container.commands(in_container.lay_out(scratch, STATIC, environ), environ)
            inside = in_container.NO_CGROUPS
            results[CONTAINER] = measure(scratch, container, environ, options.rounds, inside=inside)
            table("a container's start and end, by crun", results[CONTAINER])
        print("\ninstructions to exec")
        for name, command in cold.items():
            print(f"{name:<12}{instructions(command, environ):>16}")
    return 0 if judge(results) else 1


if __name__ == "__main__":
    sys.exit(main())
