"""Really run images: a registry on loopback, umoci, crun, runc and gVisor. All of it ends with its test."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from images import file, folder, link

# command: the Debian package that has it
PACKAGES = {
    "crun": "crun",
    "runc": "runc",
    "runsc": "runsc",
    "skopeo": "skopeo",
    "umoci": "umoci",
    "docker-registry": "docker-registry",
    "buildah": "buildah",
    "tini-static": "tini",
    "dumb-init": "dumb-init",
    "catatonit": "catatonit",
}
# `make test` runs containers with the first, `make test-all` with each.
RUNTIMES = ("crun", *[pytest.param(name, marks=pytest.mark.thorough) for name in ("runc", "runsc")])
# crun takes no hybrid cgroups: it is shown none.
NO_CGROUPS = ("unshare", "-m", "sh", "-c", 'mount -t tmpfs none /sys/fs/cgroup && exec "$@"', "-")
# gVisor is a kernel in a process: with ptrace it needs neither KVM nor modules, and a network it needs none.
GVISOR = ("--network=none", "--ignore-cgroups", "--platform=ptrace")


def need(*commands: str) -> None:
    """Skip where a command is missing or the user is not root, saying what is needed; in CI that is a failure."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    missing = [PACKAGES[command] for command in commands if shutil.which(command, path=path) is None]
    message = f"on Debian: apt-get install {' '.join(missing)}" if missing else ""
    if os.geteuid() != 0:
        message = "containers are run as root here"
    if message:
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)


def call(*command: str | Path) -> str:
    """Run a program that has to succeed; return its stdout."""
    environ = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/nonexistent"}
    run = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, f"{' '.join(map(str, command))}\n{run.stdout}{run.stderr}"
    return run.stdout


@contextlib.contextmanager
def registry(folder: Path) -> Iterator[str]:
    """Run Debian's docker-registry with its data under `folder`; give `127.0.0.1:PORT`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    config = {
        "version": "0.1",
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": address},
    }
    file = folder / "registry.yml"
    file.write_text(json.dumps(config))  # YAML takes it
    process = subprocess.Popen(
        ["docker-registry", "serve", file],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"], "OTEL_TRACES_EXPORTER": "none"},
    )
    try:
        _wait(lambda: _answers(address), process)
        yield address
    finally:
        process.kill()
        process.wait()


def _answers(address: str) -> bool:
    host, _, port = address.partition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True


def _wait(done: Callable[[], bool], process: subprocess.Popen[Any]) -> None:
    end = time.monotonic() + 20
    while not done():
        assert process.poll() is None, f"ended with {process.returncode}"
        assert time.monotonic() < end, "it did not get ready"
        time.sleep(0.02)


@dataclass(frozen=True)
class Ended:
    """How a container ended, and what it wrote."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Container:
    """A running one.

    Attributes:
        process: the runtime that started it.
        kill: sends its PID 1 a signal.
        pid: of its PID 1 as the host numbers it; of gVisor's kernel, where that is the runtime.
        processes: gives the names of the processes in it.
    """

    process: subprocess.Popen[str]
    kill: Callable[[str], None]
    pid: int
    processes: Callable[[], list[str]]


def _in_namespace_of(pid: int) -> list[str]:
    """Return the names of the processes in the PID namespace of a process."""
    mine = (Path("/proc") / str(pid) / "ns/pid").readlink()
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and (entry / "ns/pid").readlink() == mine:
                found.append((entry / "comm").read_text().strip())
    return found


def _in_gvisor(base: list[str], name: str) -> list[str]:
    """Return the names of the processes in a container of gVisor, whose kernel alone knows them."""
    header, *rows = call(*base, "ps", name).splitlines()
    return [row[header.index("CMD") :].strip() for row in rows]


class Bundle:
    """An unpacked image, to be run as many times as wanted."""

    def __init__(self, layout: Path, tag: str, folder: Path) -> None:
        """Unpack the image into `folder` with umoci."""
        need("umoci")
        self.folder = folder
        self.layout, self.tag = layout, tag
        call("umoci", "unpack", "--image", f"{layout}:{tag}", folder)
        config = json.loads((folder / "config.json").read_text())
        self.image_config = config
        self.rootfs = folder / "rootfs"
        manifest = json.loads(call("skopeo", "inspect", "--raw", f"oci:{layout}:{tag}"))
        digest = manifest["config"]["digest"].partition(":")[2]
        self.image = json.loads((layout / "blobs/sha256" / digest).read_text())["config"]

    def _configure(
        self, args: list[str] | None, environ: dict[str, str], mounts: list[dict[str, Any]], namespace: str
    ) -> None:
        config = json.loads(json.dumps(self.image_config))
        process = config["process"]
        process.update(
            terminal=False,
            user={"uid": 1000, "gid": 1000},
            args=args or self.image["Entrypoint"],
            # umoci adds TERM: the image's own, and what `docker run -e` adds.
            env=[*self.image.get("Env", []), *[f"{name}={value}" for name, value in environ.items()]],
            capabilities={},
            noNewPrivileges=True,
        )
        process.pop("rlimits", None)
        config["root"]["readonly"] = True
        config["linux"].pop("resources", None)
        config["linux"]["namespaces"] = [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")]
        if namespace:  # crun takes one that maps every user for the machine's own, where it may make devices
            config["linux"]["namespaces"].append({"type": "user"})
            for kind in ("uidMappings", "gidMappings"):
                config["linux"][kind] = [{"containerID": 0, "hostID": 0, "size": 1 << 16}]
        proc = [mount for mount in config["mounts"] if mount["destination"] in ("/proc", "/dev")]
        config["mounts"] = [*proc, *mounts]
        (self.folder / "config.json").write_text(json.dumps(config))

    @contextlib.contextmanager
    def start(
        self,
        runtime: str,
        args: list[str] | None = None,
        environ: dict[str, str] | None = None,
        mounts: list[dict[str, Any]] | None = None,
        namespace: str = "",
    ) -> Iterator[Container]:
        """Run the image, the entrypoint's or other arguments; whatever happens, nothing of it is left at the end.

        Args:
            runtime: that runs it.
            args: in place of the image's entrypoint.
            environ: besides the image's own.
            mounts: besides /proc and /dev.
            namespace: the file of a user namespace that it is run in; "" for that of the tests.
        """
        need(runtime)
        self._configure(args, environ or {}, mounts or [], namespace)
        name = f"metalauncher-{secrets.token_hex(6)}"
        state = self.folder / f"state-{name}"
        base = [runtime, "--root", str(state)]
        if runtime == "crun":
            inside = ("nsenter", f"--user={namespace}") if namespace else ()
            base = [*inside, *NO_CGROUPS, *base, "--cgroup-manager=disabled"]
        if runtime == "runsc":
            base = [*base, *GVISOR]
        pid_file = self.folder / f"{name}.pid"
        process = subprocess.Popen(
            [*base, "run", "--pid-file", str(pid_file), "--bundle", str(self.folder), name],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
        )
        try:
            end = time.monotonic() + 30
            while process.poll() is None and not (pid_file.exists() and pid_file.read_text()):
                assert time.monotonic() < end, "the container did not start"
                time.sleep(0.005)
            pid = int(pid_file.read_text()) if pid_file.exists() and pid_file.read_text() else 0

            def processes() -> list[str]:
                return _in_gvisor(base, name) if runtime == "runsc" else _in_namespace_of(pid)

            yield Container(process, lambda signal: _signal(base, name, signal), pid, processes)
        finally:
            # Also where it has ended: the runtimes then say that there is no such container.
            subprocess.run([*base, "delete", "--force", name], capture_output=True, timeout=60)
            process.kill()
            process.communicate(timeout=60)
            shutil.rmtree(state, ignore_errors=True)

    def run(self, runtime: str, args: list[str] | None = None, **options: Any) -> Ended:
        """Run the image to its end."""
        with self.start(runtime, args, **options) as container:
            out, err = container.process.communicate(timeout=60)
            return Ended(container.process.returncode, out, err)


def _signal(base: list[str], name: str, signal: str) -> None:
    run = subprocess.run([*base, "kill", name, signal], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr


def machine_files(*programs: Path) -> dict[str, Path]:
    """Return programs of this machine and the libraries that they load: where each is to lie, and where it is."""
    found = {str(program): program for program in programs}
    for path in re.findall(r"(/\S+) \(0x", call("ldd", *programs)):
        found[path if path.startswith("/usr/") else f"/usr{path}"] = Path(path).resolve()
    return found


def debian_members(found: dict[str, Path]) -> list[tuple[tarfile.TarInfo, bytes]]:
    """Return the members of a small Debian's layer: what says that it is one, its links, and these files.

    /usr/bin has a mode of its own, so that a layer above that changes it is found out.
    """
    found = found | {name: Path(name).resolve() for name in ("/etc/os-release", "/etc/debian_version")}
    members = {name: folder(name) for name in ("etc", "tmp", "usr", "usr/lib", "usr/lib64", "usr/sbin")}
    members["usr/bin"] = folder("usr/bin", 0o751)
    members |= {name: link(name, f"usr/{name}") for name in ("bin", "lib", "lib64", "sbin")}
    for name, source in sorted(found.items()):
        if not source.exists():
            continue  # another distribution's
        parts = name.lstrip("/").split("/")
        for number in range(1, len(parts)):
            parent = "/".join(parts[:number])
            members.setdefault(parent, folder(parent))
        members[name] = file(name.lstrip("/"), source.read_bytes(), source.stat().st_mode & 0o777)
    return [*members.values(), link("usr/bin/sh", "dash")]
