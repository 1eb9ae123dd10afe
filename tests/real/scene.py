"""From `pip install` to an app that starts, in a bare Debian 12, timed: `make scene`, of what `make release` has made.

The Debian is that of `tools/fresh`, with its python3 and pip and nothing else; the wheel is the release's, and what
that needs comes from PyPI. A registry on loopback has a Debian 12 as the base. The launcher is lifecycle's own. The
image is then pulled by skopeo, an app is put onto it as an exporter would, and crun starts it. As root; not among the
tests, since it takes minutes and a network.
"""

from __future__ import annotations

import gzip
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(PROJECT / name) for name in ("tests/support", "tools", "image/static", ".")]

import launchers
import machine
from bundles import release as make_tarball
from containers import Bundle, call, registry
from images import Layer, Layout, base, export, make_app, sha

METADATA = """\
[[buildpacks]]
  id = "acme/sh"
  version = "1.0.0"
  api = "0.10"

[[processes]]
  type = "web"
  command = ["/bin/sh"]
  args = ["-c", "echo it starts on $(cat /etc/debian_version)"]
  direct = true
  buildpack-id = "acme/sh"
"""
CNB = {"io.buildpacks.base.distro.name": "debian", "io.buildpacks.base.distro.version": "12"}


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Say how long something took."""
    started = time.monotonic()
    yield
    print(f"{time.monotonic() - started:7.1f} s  {what}", flush=True)


def push_debian(tarball: Path, folder: Path, target: str) -> None:
    """Push the bare Debian as an image, as who runs a registry has it."""
    data = tarball.read_bytes()
    layer = Layer(gzip.compress(data, 1, mtime=0), sha(data))
    environ = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
    reference = base(folder / "debian", [layer], "12", Env=environ, User="1000:1000", Labels=CNB)
    call("skopeo", "--insecure-policy", "copy", "-q", "--dest-tls-verify=false", reference, f"docker://{target}")


def start_app(run: str, folder: Path) -> str:
    """Pull the run image, put an app onto it, start that by crun; return what it says."""
    pull = ("skopeo", "--insecure-policy", "copy", "-q", "--src-tls-verify=false")
    call(*pull, f"docker://{run}", f"oci:{folder}/pulled:run")
    layout = Layout(folder / "pulled")
    export(layout, "run", make_app("app", METADATA, "0.13"), "symlink", "app")
    layout.save()
    ended = Bundle(folder / "pulled", "app", folder / "bundle").run("crun")
    assert ended.code == 0, ended.err
    return ended.out.strip()


def main() -> int:
    """Run it."""
    (wheel,) = (PROJECT / "dist/release").glob("*.whl")
    tarball = machine.bare("bookworm")
    folder = Path(tempfile.mkdtemp(prefix="metalauncher-scene-", dir=machine.PLACE))
    folder.chmod(0o755)
    root = folder / "machine"
    root.mkdir()
    try:
        machine.furnish(root, tarball)
        shutil.rmtree(root / "root/project")  # what pip installs is all that there is
        real = launchers.build("0.21.17")
        lifecycle = make_tarball(
            folder / "lifecycle", "0.21.17", real.executable.read_bytes(), descriptor=real.lifecycle_toml
        )
        shutil.copy(lifecycle, root / "root/lifecycle.tgz")
        shutil.copy(wheel, root / "root" / wheel.name)
        (folder / "registry").mkdir()
        with registry(folder / "registry") as address:
            push_debian(tarball, folder, f"{address}/debian:12")
            with timed("apt-get install python3-pip python3-venv, not counted"):
                text = "apt-get -qq update && apt-get -qq install --no-install-recommends python3-pip python3-venv"
                _in_machine(root, f"DEBIAN_FRONTEND=noninteractive; export DEBIAN_FRONTEND; ({text}) >/dev/null 2>&1")
            started = time.monotonic()
            with timed("python3 -m venv, pip install 'WHEEL[image]'"):
                pip = f"/root/own/bin/pip install -q --disable-pip-version-check '/root/{wheel.name}[image]'"
                _in_machine(root, f"python3 -m venv /root/own && {pip}")
            image = f"metalauncher image --base {address}/debian:12 --bundle lifecycle.tgz --push {address}/run:1"
            with timed(image):
                _in_machine(root, f"cd /root && own/bin/{image}")
            with timed("skopeo copy, umoci unpack, crun run"):
                said = start_app(f"{address}/run:1", folder)
            assert said == "it starts on " + (root / "etc/debian_version").read_text().strip()
            print(f"{time.monotonic() - started:7.1f} s  in all, on {platform.machine()}: the app says {said!r}")
    finally:
        shutil.rmtree(folder)
    return 0


def _in_machine(root: Path, text: str) -> None:
    status = machine.enter(root, text)
    if status != 0:
        raise subprocess.CalledProcessError(status, text)


if __name__ == "__main__":
    sys.exit(main())
