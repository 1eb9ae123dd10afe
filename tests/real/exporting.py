"""Apps exported onto run images in a registry, and rebased, by the code of lifecycle releases themselves.

Each release's folder under `exporter/` is a module with a program around its exporter and, where it works, its rebaser;
`python tests/real/exporting.py` builds them.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import tomli

sys.path[:0] = [str(Path(__file__).resolve().parents[2] / name) for name in ("", "tests/support", "image/static")]

import golang
from bundles import sbom
from harness import APPS

EXPORTERS = Path(__file__).resolve().parent / "exporter"
SHIM = "/usr/lib/cnb/shim"

# What goes into the launcher layer: the run image's shim, the lifecycle's own launcher, or a copy of metalauncher:
# what an exporter makes where it is given the run image's link.
Brings = Literal["shim", "launcher", "copy"]
LAUNCHER_FILES: Mapping[Brings, str] = {
    "shim": f"{SHIM}/launcher",
    "launcher": "/cnb/lifecycle/launcher",
    "copy": "/usr/lib/cnb/launcher",
}


@dataclass(frozen=True)
class Recipe:
    """An app, and who exports it how.

    Attributes:
        name: of the app image.
        source: one of tests/data/apps.
        platform_api: in use at the export.
        lifecycle: the release that exports it.
        brings: what goes into its launcher layer.
        prints: what its default process prints at the end, if it has a default.
        process_type: the default one, where the user chose one.
        buildpack_api: of every buildpack, where the source records none.
    """

    name: str
    source: str
    platform_api: str
    lifecycle: str
    brings: Brings
    prints: str | None
    process_type: str = ""
    buildpack_api: str = ""

    @property
    def rebaser(self) -> str:
        """The release that rebases it: the same, but for 0.9.3, whose own rebaser panics."""
        return "0.17.7" if self.lifecycle == "0.9.3" else self.lifecycle

    @property
    def multicall(self) -> bool:
        """Whether each process type has a link (since Platform API 0.4)."""
        return self.platform_api not in ("0.1", "0.2", "0.3")


# What server.sh of every app prints, and their process `arr`.
_SERVER = "server argc=2 args=--port 8080"
_ALWAYS = "always two words dflt1 dflt2"
_COPIED = ("p06-shim", "p15-shim")


def recipes() -> list[Recipe]:
    """Return the apps: every Platform API that changed how apps start, old and new buildpacks, both kinds of launcher.

    Each is exported by the release that could have: from Platform API 0.7 on by 0.21.17, but for apps with buildpacks
    that it does not know any more.
    """
    made: list[Recipe] = []
    brought: tuple[Brings, ...] = ("shim", "launcher")
    for brings in brought:
        made += [
            Recipe(f"p03-{brings}", "p03-unrecorded", "0.3", "0.9.3", brings, _SERVER, "web", "0.2"),
            # Many processes and no default: its entrypoint is the launcher.
            Recipe(f"p04-{brings}", "p04", "0.4", "0.17.7", brings, None),
            Recipe(f"p06-{brings}", "p06", "0.6", "0.17.7", brings, _SERVER),
            Recipe(f"p07-{brings}", "p07", "0.7", "0.21.17", brings, _SERVER),
            Recipe(f"p09-mixed-{brings}", "p09-mixed", "0.9", "0.17.7", brings, _SERVER),
            Recipe(f"p09-{brings}", "p09-new", "0.9", "0.21.17", brings, "worker val-example_ten", "worker"),
            Recipe(f"p12-mixed-{brings}", "p12-mixed", "0.12", "0.17.7", brings, _ALWAYS),
            Recipe(f"p12-{brings}", "p12", "0.12", "0.21.17", brings, _ALWAYS),
            Recipe(f"p13-{brings}", "p12", "0.13", "0.21.17", brings, _ALWAYS),
            Recipe(f"p15-{brings}", "p15", "0.15", "0.21.17", brings, _ALWAYS),
        ]
    copies = [replace(recipe, name=f"{recipe.source}-copy", brings="copy") for recipe in made if recipe.name in _COPIED]
    return [*made, *copies]


def build_root(recipe: Recipe, folder: Path, launcher: Path, run: Path) -> Path:
    """Lay out the root of a build container as the builder leaves it.

    Args:
        recipe: of the app.
        folder: to make the root in.
        launcher: of the lifecycle.
        run: an unpacked run image, of which it has the shim, with its SBOMs, and the link.
    """
    root = folder / recipe.name
    for name in ("layers", "workspace"):
        shutil.copytree(APPS / recipe.source / name, root / name)
    (root / "tmp").mkdir()
    (root / "cnb/lifecycle").mkdir(parents=True)
    shutil.copy(launcher, root / "cnb/lifecycle/launcher")
    for form in ("cdx", "spdx", "syft"):  # as a release has them beside its launcher
        (root / f"cnb/lifecycle/launcher.sbom.{form}.json").write_bytes(sbom("launcher", form))
    for path in (run / name for name in ("usr/lib/cnb/launcher", "usr/lib/cnb/shim", "usr/bin/metalauncher")):
        target = root / path.relative_to(run)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, target)
        else:
            shutil.copy(path, target, follow_symlinks=False)
    metadata = root / "layers/config/metadata.toml"
    text = metadata.read_text()
    if recipe.buildpack_api:
        text = re.sub(r"(?m)^(  version = .*\n)", rf'\1  api = "{recipe.buildpack_api}"\n', text)
        metadata.write_text(text)
    group = ""
    for buildpack in tomli.loads(text)["buildpacks"]:
        fields = [f"{key} = {json.dumps(buildpack[key])}\n" for key in ("id", "version", "api")]
        group += "".join(["[[group]]\n", *fields])
    (root / "layers/group.toml").write_text(group)
    return root


class Exporter:
    """The exporters and rebasers of lifecycle releases."""

    def __init__(self, go: golang.Go) -> None:
        """Take the Go that builds them; each is built when it is first asked for, if it is not in the cache.

        Raises:
            golang.Unavailable: from any method: a module is not to be had here.
        """
        self._go = go

    def program(self, lifecycle: str) -> Path:
        """Return the program of a release."""
        return self._go.program(f"exporter-{lifecycle}", EXPORTERS / lifecycle, ".", ldflags="-s -w") / "exporter"

    def export(self, recipe: Recipe, root: Path, run: str, out: str) -> None:
        """Export an app onto a run image; both are names in a registry."""
        options = ["-root", str(root), "-platform-api", recipe.platform_api, "-run", run, "-out", out]
        if recipe.process_type:
            options += ["-process-type", recipe.process_type]
        options += ["-launcher", LAUNCHER_FILES[recipe.brings]]
        if recipe.brings != "launcher" and recipe.lifecycle != "0.9.3":
            options += ["-launcher-sbom", SHIM]
        self._call(recipe.lifecycle, "export", *options)

    def rebase(self, recipe: Recipe, app: str, run: str, out: str) -> None:
        """Rebase an app onto a run image, under a new name."""
        options = ["-platform-api", recipe.platform_api, "-app", app, "-run", run, "-out", out]
        self._call(recipe.rebaser, "rebase", *options)

    def read(self, app: str) -> str:
        """Return the digest of an image that go-containerregistry has read all of, and found to be what it says."""
        return self._call("0.21.17", "read", "-app", app).strip()

    def _call(self, lifecycle: str, *arguments: str) -> str:
        command = [str(self.program(lifecycle)), *arguments]
        done = subprocess.run(command, env={"HOME": "/nonexistent"}, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"{lifecycle} {' '.join(arguments)}\n{done.stdout}{done.stderr}"
        return done.stdout


def main() -> int:
    """Build the programs and print where they are."""
    try:
        exporter = Exporter(golang.find())
        for module in sorted(EXPORTERS.iterdir()):
            print(f"{module.name}\t{exporter.program(module.name)}")
    except golang.Unavailable as missing:
        print(f"ERROR: {missing}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
