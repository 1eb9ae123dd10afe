"""Run images for two platforms: executables, tarballs and a base for each, and the ways to build of them."""

from __future__ import annotations

import shutil
from pathlib import Path

from bundles import Answer, Tool, as_process, elf, noted, release
from images import base, file, folder, index, pack
from kit import ARM, Kit, said

BOTH = ("--platform", "linux/amd64", "--platform", "linux/arm64")
MACHINES = {"linux/amd64": 62, "linux/arm64": ARM}
EXECUTABLES = {"linux/amd64": "metalauncher-linux-x86_64", "linux/arm64": "metalauncher-linux-aarch64"}
TARBALLS = {"linux/amd64": "x86-64", "linux/arm64": "arm64"}


class Platforms:
    """Executables, tarballs and a base for two platforms, and the ways to build of them."""

    def __init__(self, kit: Kit) -> None:
        """Make them."""
        self.kit = kit
        self.executables = [kit.use(noted(machine=MACHINES[one]), name) for one, name in EXECUTABLES.items()]
        self.bundles = [
            release(kit.folder, version, elf(MACHINES[platform], size=size), architecture=architecture)
            for version, size in (("0.17.7", 300), ("0.21.17", 400))
            for platform, architecture in TARBALLS.items()
        ]
        place = kit.folder / "base"
        for platform in MACHINES:
            go = platform.rpartition("/")[2]
            layers = [
                pack([folder("etc"), file("etc/machine", go.encode())]),
                pack([folder("usr"), folder(f"opt-{go}")]),
            ]
            base(place, layers, go, go, Env=[f"MACHINE={go}"])
        self.base = index(place, {platform: platform.rpartition("/")[2] for platform in MACHINES}, "both")

    def options(self, *more: str | Path) -> list[str | Path]:
        """Return a whole command line but for platforms, base and outputs."""
        given: list[str | Path] = ["image"]
        for executable in self.executables:
            given += ["--executable", executable]
        for bundle in self.bundles:
            given += ["--bundle", bundle]
        return [*given, *more]

    def build(self, *more: str | Path) -> Answer:
        """Build, which has to succeed."""
        answer = self.kit.tool(*self.options("--json", *more))
        assert (answer.code, said(answer)) == (0, ""), answer.err
        return answer

    def refuse(self, message: str, *more: str | Path) -> Answer:
        """Try to build, which has to fail with this message, and to write nothing."""
        answer = self.kit.tool(*self.options("--base", "scratch", "--out", f"oci:{self.kit.out}", *more))
        assert (answer.code, answer.out) == (3, "")
        assert answer.err.splitlines()[0] == f"ERROR: {message}"
        assert not self.kit.out.exists()
        return answer


class Shelf:
    """Two run images for two platforms, made once: `full`, and `lacking`, which has no 0.17.7 for arm64."""

    def __init__(self, folder_: Path) -> None:
        """Make them."""
        self._folder = folder_
        platforms = Platforms(Kit(Tool(None, folder_), folder_))
        for tag in ("full", "lacking"):
            where = f"oci:{folder_}/runs:{tag}"
            made = as_process(*platforms.options(*BOTH, "--base", platforms.base, "--out", where))
            assert made.code == 0, made.err
            del platforms.bundles[1]

    def copy(self, to: Path) -> Path:
        """Lay out the run images, in `runs`, and what they were made on, in `base`."""
        for name in ("runs", "base"):
            shutil.copytree(self._folder / name, to / name)
        return to
