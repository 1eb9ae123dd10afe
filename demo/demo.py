"""The demo: a run image's places under a scratch root, real apps' layers beside it, and every app started through it.

`python3 demo/demo.py EXECUTABLE ROOT [LAUNCHERS]`: EXECUTABLE is a dispatching form; ROOT is made anew. The launchers
are lifecycle's own, built through its Go module; where that can't be done the demo says why, and a stand-in takes their
place. LAUNCHERS is a folder to take them from, as `launcher-VERSION`, or `stand-ins`. Exits 1 if anything went
otherwise than it should.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(PROJECT / "image/static"), str(PROJECT / "tests/real")]

import golang
import launchers as real

APPS = PROJECT / "tests/data/apps"
DESCRIPTORS = PROJECT / "launchers.d"
STAND_IN = PROJECT / "demo/stand-in-launcher"

# app, route, the lifecycle whose launcher is to run (or the exit code of the refusal), what the app is
SHOWS: tuple[tuple[str, str, str | int, str], ...] = (
    ("p03-unrecorded", "shim", "0.9.3", "lifecycle 0.8: it recorded no API at all"),
    ("p04", "symlink", "0.17.7", "2020: Platform API 0.4"),
    ("p06-bom300k", "shim", "0.17.7", "2021: a metadata.toml with 300 KB of [[bom]]"),
    ("p09-mixed", "symlink", "0.17.7", "2022: buildpacks from API 0.2 to 0.8 in one app"),
    ("p12", "shim", "0.21.17", "2024: Platform API 0.12"),
    ("p15", "symlink", "0.21.17", "2025: the newest APIs there are"),
    ("p15", "symlink", 12, "the same with a buildpack from the future, which nothing covers"),
)


def versions() -> list[str]:
    """Return the versions of lifecycle that the demo's descriptors declare, oldest first."""
    return real.in_order(file.stem.partition("@")[2] for file in DESCRIPTORS.glob("buildpacks_lifecycle@*.toml"))


def choose(wanted: str) -> tuple[dict[str, Path], str]:
    """Return the launchers by version, and what to call them."""
    if wanted not in ("", "stand-ins"):
        return {version: Path(wanted, f"launcher-{version}") for version in versions()}, f"those in {wanted}"
    if not wanted:
        try:
            go = golang.find()
            built = {version: real.build(version, go).executable for version in versions()}
        except golang.Unavailable as missing:
            print(f"The real launchers of lifecycle can't be built: {missing}\nIt falls back to stand-ins.\n")
        else:
            return built, f"the real ones of lifecycle {', '.join(built)}, built with {go.version}"
    return dict.fromkeys(versions(), STAND_IN), "stand-ins"


def lay_out(root: Path, executable: Path, launchers: dict[str, Path]) -> None:
    """Put metalauncher, the descriptors and the launchers where a run image has them."""
    shutil.rmtree(root, ignore_errors=True)
    program = root / "usr/bin/metalauncher"
    program.parent.mkdir(parents=True)
    shutil.copy2(executable, program)
    places = root / "usr/lib/cnb"
    places.mkdir(parents=True)
    (places / "launcher").symlink_to(program)
    shim = places / "shim/launcher"
    shim.parent.mkdir()
    shim.write_text(f"#!{program} --launch\n")
    shim.chmod(0o755)
    (places / "launchers.d").mkdir()
    for descriptor in sorted(DESCRIPTORS.glob("buildpacks_lifecycle@*.toml")):
        shutil.copy(descriptor, places / "launchers.d")
        version = descriptor.stem.partition("@")[2]
        launcher = places / "launchers/buildpacks/lifecycle" / version / "launcher"
        launcher.parent.mkdir(parents=True)
        shutil.copy2(launchers[version], launcher)


def export(root: Path, app: str, route: str) -> Path:
    """Lay out the app's layers as an exporter leaves them, its launcher layer leading to the run image's launcher."""
    image = root / "apps" / f"{app}-{route}"
    shutil.copytree(APPS / app, image, dirs_exist_ok=True)
    launcher = image / "cnb/lifecycle/launcher"
    launcher.parent.mkdir(parents=True, exist_ok=True)
    launcher.unlink(missing_ok=True)
    if route == "shim":  # `exporter -launcher` copies the file
        shutil.copy2(root / "usr/lib/cnb/shim/launcher", launcher)
    else:
        launcher.symlink_to(root / "usr/lib/cnb/launcher")
    process = image / "cnb/process/web"
    process.parent.mkdir(parents=True, exist_ok=True)
    process.unlink(missing_ok=True)
    process.symlink_to(launcher)
    return image


def environment(root: Path, image: Path) -> dict[str, str]:
    """Return the image's own environment, its folders being where they are laid out."""
    lines = (image / "image-env").read_text().splitlines()
    variables = dict(line.split("=", 1) for line in lines)
    places = {"CNB_LAYERS_DIR": image / "layers", "CNB_APP_DIR": image / "workspace", "METALAUNCHER_ROOT": root}
    return variables | {name: str(path) for name, path in places.items()}


def show(root: Path, number: int, app: str, route: str, expected: str | int, what: str) -> bool:
    """Start one app, print what ran and why; return whether it was what it should be."""
    image = export(root, app, route)
    environ = environment(root, image)
    if isinstance(expected, int):
        metadata = image / "layers/config/metadata.toml"
        metadata.write_text(metadata.read_text().replace('api = "0.12"', 'api = "9.9"'))
    web = image / "cnb/process/web"
    print(f"\n{number}. {app}, by {route}: {what}")
    print(f"   $ {web.relative_to(root)}", flush=True)
    run = subprocess.run([web], env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    for line in (run.stdout + run.stderr).splitlines():
        print(f"   {line}")
    if isinstance(expected, int):
        print(f"   exit code {run.returncode}")
        return run.returncode == expected
    why = subprocess.run(
        [root / "usr/bin/metalauncher", "--which"], env=environ, capture_output=True, text=True, check=False
    )
    for line in why.stderr.splitlines()[:3]:
        print(f"   {line}")
    started = run.returncode == 0 and "server argc=2 args=--port 8080\n" in run.stdout  # the app's own words
    return started and why.returncode == 0 and f"/{expected}/launcher" in why.stdout


def main() -> int:
    """Lay everything out, start each app, and say whether all went as it should."""
    executable, root = Path(sys.argv[1]), Path(sys.argv[2]).absolute()
    launchers, called = choose(sys.argv[3] if len(sys.argv) > 3 else "")
    lay_out(root, executable, launchers)
    print(f"A run image's places are laid out under {root}; its launchers are {called}.")
    wrong = [
        f"{app} by {route}"
        for number, (app, route, expected, what) in enumerate(SHOWS, 1)
        if not show(root, number, app, route, expected, what)
    ]
    refused = sum(isinstance(expected, int) for _, _, expected, _ in SHOWS)
    print(f"\nLaunchers: {called}.")
    print(f"{len(SHOWS) - refused} apps dispatched, {refused} refused" + (f"; WRONG: {wrong}" if wrong else "."))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
