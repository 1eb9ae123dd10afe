"""Starts of a launcher with a metadata.toml of the test's own, and what is foretold of lifecycle's releases."""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from launchers import in_order, versions
from making import launcher

from metalauncher.explain.forecast import Forecast, foretell
from metalauncher.explain.readers import LIFECYCLE, cannot_read

# Of each lifecycle, the newest Platform and Buildpack API that it exports apps with.
NEWEST = {
    "0.9.3": ("0.4", "0.4"),
    "0.10.2": ("0.5", "0.5"),
    "0.11.4": ("0.6", "0.6"),
    "0.13.5": ("0.8", "0.7"),
    "0.14.3": ("0.9", "0.8"),
    "0.15.3": ("0.10", "0.9"),
    "0.17.7": ("0.12", "0.10"),
    "0.18.5": ("0.12", "0.10"),
    "0.20.11": ("0.14", "0.11"),
    "0.21.17": ("0.15", "0.12"),
}
PROCESS = "web"
# What old and new launchers take alike: those before 0.13 the one, the others the other.
OLD, NEW = ("0.4", "0.4"), ("0.8", "0.7")
VERSIONS = in_order(NEWEST)
assert versions() == VERSIONS


@dataclass(frozen=True)
class Started:
    """What came of a start."""

    code: int
    said: str

    @property
    def read(self) -> bool:
        """Whether it got past metadata.toml and the buildpacks' layers, whatever became of the app's command."""
        layers = "/layers/" in self.said and ("file name too long" in self.said or "invalid argument" in self.said)
        # The parser of old lifecycles panics at a few files.
        return not ("failed to read metadata" in self.said or "panic: BUG" in self.said or layers)


def start(executable: Path, data: bytes, platform: str, **environ: str) -> Started:
    """Start an app of nothing but this metadata.toml, as its process `web`."""
    with tempfile.TemporaryDirectory(prefix="reading-") as folder:
        file = Path(folder, "layers/config/metadata.toml")
        file.parent.mkdir(parents=True)
        file.write_bytes(data)
        done = subprocess.run(
            [PROCESS],
            executable=executable,
            env={
                "PATH": "/usr/bin:/bin",
                "CNB_LAYERS_DIR": f"{folder}/layers",
                "CNB_APP_DIR": folder,
                "CNB_PLATFORM_API": platform,
                "CNB_DEPRECATION_MODE": "quiet",
                "CNB_NO_COLOR": "1",
                # Before Platform API 0.4 argv[0] does not say so.
                **({"CNB_PROCESS_TYPE": "web"} if platform == "0.3" else {}),
                **environ,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )
    return Started(done.returncode, (done.stdout + done.stderr).decode("utf-8", "replace").strip())


def forecast(data: bytes, version: str) -> Forecast:
    """Return what is foretold of a lifecycle's launcher."""
    return foretell(data, launcher(f"{LIFECYCLE}@{version}", cannot_read=cannot_read(LIFECYCLE, version) or ()))
