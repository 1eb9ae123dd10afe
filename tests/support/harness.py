"""A scratch run image, an app in it, and the ways to start the app through either dispatching form."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emulated import Emulation

PROJECT = Path(__file__).resolve().parents[2]
DATA = PROJECT / "tests" / "data"
APPS = DATA / "apps"
REFERENCE_REGISTRY = PROJECT / "launchers.d"


@dataclass(frozen=True)
class Form:
    """One dispatching form of metalauncher: what it is called in test ids, and its one file."""

    name: str
    executable: Path
    emulation: Emulation | None = None  # what it runs by, where it is another machine's

    @property
    def enter(self) -> Callable[[], None] | None:
        """What a process calls before it execs this form, as `preexec_fn`."""
        if self.emulation is None:
            return None
        self.emulation.prepare()
        return self.emulation.enter

    @property
    def state(self) -> tuple[tuple[str, str], ...]:
        """What the starter does first, before it execs this form."""
        return self.emulation.state if self.emulation else ()

    @property
    def is_script(self) -> bool:
        """A script has limits (docs/on-call/exit-codes.md): argv[0] arrives as the kernel wrote it."""
        return self.name == "python"


@dataclass
class Image:
    """A run image's places, and an app's, under one scratch directory, reached through METALAUNCHER_ROOT."""

    root: Path
    form: Form
    environ: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Install the executable where run images have it."""
        self.executable = self.root / "usr/bin/metalauncher"
        self.executable.parent.mkdir(parents=True)
        shutil.copy2(self.form.executable, self.executable)
        self.etc = self.root / "etc/cnb/launchers.d"
        self.usr = self.root / "usr/lib/cnb/launchers.d"
        self.usr.mkdir(parents=True)
        self.link = self.root / "usr/lib/cnb/launcher"
        self.link.symlink_to(self.executable)
        self.environ["METALAUNCHER_ROOT"] = str(self.root)

    def use_registry(self, directory: Path = REFERENCE_REGISTRY) -> None:
        """Copy every descriptor of `directory` into the image."""
        for file in sorted(directory.glob("*.toml")):
            shutil.copy(file, self.usr / file.name)

    def install(self, identifier: str, version: str, executable: Path | str) -> Path:
        """Put a launcher at its default place: a file to copy, or a script's text."""
        place = self.root / f"usr/lib/cnb/launchers/{identifier}/{version}/launcher"
        place.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(executable, Path):
            shutil.copy2(executable, place)
        else:
            place.write_text(executable)
            place.chmod(0o755)
        return place

    def use_app(self, app: str) -> None:
        """Take the layers and the image's environment of one of tests/data/apps."""
        for line in (APPS / app / "image-env").read_text().splitlines():
            name, _, value = line.partition("=")
            self.environ[name] = value
        self.environ["CNB_LAYERS_DIR"] = str(APPS / app / "layers")

    def use_metadata(self, text: str | bytes) -> Path:
        """Give the app a metadata.toml of its own."""
        layers = self.root / "layers"
        file = layers / "config/metadata.toml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        self.environ["CNB_LAYERS_DIR"] = str(layers)
        return file

    def by_link(self, name: str = "web") -> Path:
        """Return `/cnb/process/NAME` of the symlink route: -> /cnb/lifecycle/launcher -> the executable."""
        return self._process(name, lambda launcher: launcher.symlink_to(self.link))

    def by_shim(self, name: str = "web") -> Path:
        """Return `/cnb/process/NAME` of the shim route: -> /cnb/lifecycle/launcher, a script of one line."""

        def write(launcher: Path) -> None:
            launcher.write_text(f"#!{self.executable} --launch\n")
            launcher.chmod(0o755)

        return self._process(name, write)

    def _process(self, name: str, make: object) -> Path:
        assert callable(make)
        launcher = self.root / "cnb/lifecycle/launcher"
        launcher.parent.mkdir(parents=True, exist_ok=True)
        launcher.unlink(missing_ok=True)
        make(launcher)
        process = self.root / "cnb/process" / name
        process.parent.mkdir(parents=True, exist_ok=True)
        process.unlink(missing_ok=True)
        process.symlink_to(launcher)
        return process

    def run(self, executable: Path, *arguments: str, argv0: str | None = None) -> subprocess.CompletedProcess[str]:
        """Exec `executable` with the image's environment and nothing else; stdin is empty."""
        return subprocess.run(
            [argv0 or str(executable), *arguments],
            executable=executable,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=60,
            check=False,
            preexec_fn=self.form.enter,  # no threads
        )

    def dispatch(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Start the app's `web` by the symlink route."""
        return self.run(self.by_link(), *arguments)

    def which(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Ask `metalauncher --which`."""
        return self.run(self.executable, "--which", *options)


def python_form() -> Form:
    """Return the zipapp that `make pyz` built; CI builds it first."""
    return Form("python", PROJECT / "dist/metalauncher.pyz")


def static_form() -> Form:
    """Return the static executable that `make static` built."""
    return Form("static", PROJECT / f"dist/metalauncher-linux-{os.uname().machine}")
