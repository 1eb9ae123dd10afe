"""The start of an app in a container, through metalauncher and by its launcher directly: the same root, interleaved.

crun starts both; what differs is the one file that the container's process is. The launcher ends at once, so that the
figure is the start, and the container's own making and unmaking, which is the same for both.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

MUST, GOAL = 2000, 1000  # microseconds that metalauncher may add to the median
CANDIDATES = {
    "launcher": "/usr/lib/cnb/launchers/buildpacks/lifecycle/0.21.17/launcher",
    "metalauncher": "/cnb/process/web",
}
# crun takes no hybrid cgroups: the whole run is shown none.
NO_CGROUPS = ("unshare", "-m", "sh", "-c", 'mount -t tmpfs none /sys/fs/cgroup && exec "$@"', "-")


def why_not() -> str:
    """Return why it can't be measured here, "" if it can."""
    if os.geteuid() != 0:
        return "containers are started as root"
    return "" if shutil.which("crun") else "there is no crun"


def lay_out(scratch: Path, executable: Path, environ: dict[str, str]) -> Path:
    """Make the root of an app's container; return it.

    Args:
        scratch: has the launchers and their descriptors already, below `usr`, and the layers of `environ`.
        executable: metalauncher's.
        environ: the app's environment.
    """
    root = scratch / "container"
    shutil.copytree(scratch / "usr", root / "usr", symlinks=True)
    for name in ("usr/bin", "proc", "dev"):
        (root / name).mkdir()
    shutil.copy2(executable, root / "usr/bin/metalauncher")
    (root / "usr/lib/cnb/launcher").symlink_to("/usr/bin/metalauncher")
    shutil.copytree(environ["CNB_LAYERS_DIR"], root / "layers")
    for place, target in (
        ("cnb/lifecycle/launcher", "/usr/lib/cnb/launcher"),
        ("cnb/process/web", "/cnb/lifecycle/launcher"),
    ):
        (root / place).parent.mkdir(parents=True)
        (root / place).symlink_to(target)
    return root


def commands(root: Path, environ: dict[str, str]) -> dict[str, list[str]]:
    """Return crun's command line for each candidate; its bundle is written beside the root."""
    inside = {name: value for name, value in environ.items() if name != "METALAUNCHER_ROOT"}
    inside["CNB_LAYERS_DIR"] = "/layers"
    found: dict[str, list[str]] = {}
    for name, path in CANDIDATES.items():
        config = {
            "ociVersion": "1.0.2",
            "root": {"path": str(root), "readonly": True},
            "process": {
                "user": {"uid": 1000, "gid": 1000},
                "args": [path],
                "env": [f"{key}={value}" for key, value in inside.items()],
                "cwd": "/",
                "noNewPrivileges": True,
            },
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            ],
            "linux": {"namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")]},
        }
        bundle = root.parent / f"bundle-{name}"
        bundle.mkdir()
        (bundle / "config.json").write_text(json.dumps(config))
        state = str(root.parent / "state")
        options = ["--root", state, "--cgroup-manager=disabled", "run", "-b", str(bundle), f"bench-{name}"]
        found[name] = [str(shutil.which("crun")), *options]
    return found
