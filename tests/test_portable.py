"""The package's commands are started wherever Python is: nothing that Linux alone has is needed to import them.

A Mac is not to be had here. What it lacks is taken away from Python's own modules before anything of ours is imported,
by the availability notes of CPython's documentation; /proc, by a mount of nothing over it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from bundles import as_process, elf, release
from containers import need
from harness import PROJECT, static_form

# What CPython's documentation says is Linux's, of the modules that tooling may use; "*": every name that begins so.
LINUX_ONLY = {
    "os": """
        O_PATH O_TMPFILE O_NOATIME O_DIRECT O_RSYNC memfd_create MFD_* getrandom GRND_* pidfd_open PIDFD_*
        sched_setaffinity sched_getaffinity sched_setscheduler sched_getscheduler posix_fadvise POSIX_FADV_*
        posix_fallocate copy_file_range splice SPLICE_* unshare setns CLONE_* eventfd* EFD_* getxattr setxattr
        listxattr removexattr XATTR_* preadv2 pwritev2 RWF_* getresuid getresgid setresuid setresgid fdatasync
        timerfd_* TFD_* process_cpu_count EX_NOTFOUND P_PIDFD
    """,
    "select": "epoll EPOLL*",
    "signal": "SIGPWR SIGSTKFLT SIGRTMIN SIGRTMAX SIGPOLL SIGCLD sigtimedwait sigwaitinfo",
    "socket": "AF_NETLINK AF_PACKET AF_VSOCK AF_ALG SO_PASSCRED SO_PEERCRED SOCK_CLOEXEC SOCK_NONBLOCK",
    "resource": "prlimit RLIMIT_OFILE RLIMIT_MSGQUEUE RLIMIT_NICE RLIMIT_RTPRIO RLIMIT_RTTIME RLIMIT_SIGPENDING",
    "fcntl": "F_OFD_* F_SETPIPE_SZ F_GETPIPE_SZ F_ADD_SEALS F_GET_SEALS F_SEAL_* F_SETLEASE F_NOTIFY DN_*",
    "time": "CLOCK_BOOTTIME CLOCK_TAI pthread_getcpuclockid",
    "errno": "EDOTDOT EUCLEAN ENOTNAM ENAVAIL EISNAM EREMOTEIO ENOMEDIUM EMEDIUMTYPE EKEYEXPIRED",
}
TAKE_AWAY = f"""
import importlib, sys
taken = []
for module, text in {LINUX_ONLY!r}.items():
    names = text.split()
    also = [module] if module != "os" else ["os", "posix"]
    also += ["_signal"] if module == "signal" else []
    for each in also:
        found = importlib.import_module(each)
        for name in list(vars(found)):
            if any(name == one or one.endswith("*") and name.startswith(one[:-1]) for one in names):
                delattr(found, name)
                taken.append(name)
for name in ("spwd", "_posixshmem", "ossaudiodev"):
    sys.modules[name] = None
sys.platform = "darwin"
assert len(taken) > 80, len(taken)
"""
IMPORT_ALL = """
import pkgutil, metalauncher
names = [found.name for found in pkgutil.walk_packages(metalauncher.__path__, "metalauncher.")]
for name in names:
    importlib.import_module(name)
print(len(names))
"""


def run(script: str, *before: str) -> subprocess.CompletedProcess[str]:
    """Run a script of Python's in a process of its own."""
    command = [*before, sys.executable, "-B", "-c", script]
    return subprocess.run(command, env={"PYTHONPATH": str(PROJECT)}, capture_output=True, text=True, timeout=300)


def test_every_module_is_imported_without_linux() -> None:
    """Those of all commands, and those that dispatch."""
    done = run(TAKE_AWAY + IMPORT_ALL)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == len([*(PROJECT / "metalauncher").rglob("*.py")]) - 1


def test_what_is_taken_away_is_missed() -> None:
    """The test above can fail: a module that takes one of these names at its import is found out."""
    for line in ("from os import O_PATH", "import select; select.epoll", "from posix import getxattr"):
        done = run(TAKE_AWAY + line)
        assert done.returncode == 1
        assert "Error: " in done.stderr


ON_A_MAC = f"""{TAKE_AWAY}
import os
from types import SimpleNamespace
here = os.uname()
os.uname = lambda: SimpleNamespace(sysname="Darwin", machine=here.machine)
from metalauncher.__main__ import console
console()
"""


def on_a_mac(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line without what Linux has; its exit code is the answer's."""
    hidden = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "--"]
    command = [*hidden, sys.executable, "-B", "-c", ON_A_MAC, *arguments]
    return subprocess.run(command, env={"PYTHONPATH": str(PROJECT)}, capture_output=True, text=True, timeout=300)


def test_commands_without_linux(tmp_path: Path) -> None:
    """With neither /proc nor anything of Linux: a run image is built, looked at and described; the same as here."""
    need("unshare")
    tarball = release(tmp_path, "0.21.17", elf(), sboms=False)
    given = ("image", "--base", "scratch", "--executable", str(static_form().executable), "--bundle", str(tarball))
    here = as_process(*given, "--out", f"oci:{tmp_path}/here")
    there = on_a_mac(*given, "--out", f"oci:{tmp_path}/there")
    assert (here.code, there.returncode) == (0, 0), there.stderr
    assert here.out.split()[1] == there.stdout.split()[1]
    root = tmp_path / "root"
    root.mkdir()
    for line in (
        f"bundle add {tarball} --arch x86-64 --root {root}",
        f"bundle show --root {root}",
        f"list --run-image oci:{tmp_path}/there",
        f"matrix --run-image oci:{tmp_path}/there",
        f"lint --run-image oci:{tmp_path}/there",
        f"labels --verify oci:{tmp_path}/there",
        f"sbom --run-image oci:{tmp_path}/there",
        f"vex --arch x86-64 --output {tmp_path}/openvex.json",
        f"executable --arch x86-64 --output {tmp_path}/metalauncher",
        "schema descriptor",
        "completion zsh",
        "--version",
    ):
        done = on_a_mac(*line.split())
        assert done.returncode == 0, (line, done.stderr)
    assert (tmp_path / "metalauncher").read_bytes() == static_form().executable.read_bytes()


@pytest.mark.parametrize("line", ["probe --root ROOT", "compare a b"])
def test_what_needs_linux_says_so(line: str, tmp_path: Path) -> None:
    """What starts launchers."""
    need("unshare")
    done = on_a_mac(*line.replace("ROOT", str(tmp_path)).split())
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == (
        f"ERROR: {line.split(maxsplit=1)[0]} starts launchers, which are programs for Linux\n"
        "  need:    a machine, or a container, with Linux\n"
        "  have:    Darwin\n"
        "  do:      install metalauncher there, and run it with the same arguments\n"
        "           pip install metalauncher\n"
    )
