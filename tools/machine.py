"""A bare Debian that holds Python, make and what is committed here, for one command: `tools/fresh SUITE COMMAND`.

What a machine of long use has installed, cached or configured hides what the project needs of a new one. Another root
file system, mounts and processes of its own, and the network of this machine, with the registries that it is set up
for: the command can do what a newcomer could, and leaves nothing. A chroot would not do, since containers want a root
that is a mount point.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType

TREE = Path(__file__).resolve().parent.parent
INCLUDED = ("ca-certificates", "python3", "make")
MIRRORS = {"debian": "http://deb.debian.org/debian", "debian-security": "http://security.debian.org/debian-security"}
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
PREFIX = "metalauncher-fresh-"
PLACE = Path(os.environ.get("TMPDIR") or "/var/tmp")  # noqa: S108  # gigabytes; each is a folder that mkdtemp makes

# Where registries are found, and by which certificates they are known. CI makes a skipped test a failure.
PASSED = re.compile(
    r"CI|PIP_.*|UV_.*|GO(PROXY|SUMDB|NOSUMDB|NOSUMCHECK|PRIVATE|NOPROXY|INSECURE)|(?i:(https?|ftp|all|no)_proxy)"
    r"|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE"
)
# The same in files: those of the machine, and those of the user that starts this.
FILES = ("etc/resolv.conf", "etc/hosts", "etc/pip.conf", "etc/ssl/certs/ca-certificates.crt")
USER_FILES = (".config/pip/pip.conf", ".pip/pip.conf", ".config/go/env")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# $1: the root; what follows: folders of this machine to be shown at the same place, read-only; `--`; the command.
ENTER = """
root=$1
shift
mount --make-rprivate /
mount --bind "$root" "$root"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
mount --rbind /sys "$root/sys"
while [ "$1" != -- ]; do
  mkdir -p "$root$1"
  mount -o bind,ro "$1" "$root$1"
  shift
done
shift
cd "$root"
mkdir old
pivot_root . old
mount -t proc proc /proc
umount -l /old
rmdir /old
exec "$@"
"""


def main(arguments: list[str]) -> int:
    """Run the command and return its exit status; what is missing here is said."""
    parser = argparse.ArgumentParser(prog="tools/fresh", description="Run a command in a bare Debian, as root.")
    parser.add_argument("suite", metavar="SUITE", help="bookworm, trixie, ...")
    parser.add_argument("command", metavar="COMMAND", help="for sh, in a copy of what is committed")
    parser.add_argument("--user", help="run it as this user, who is made for it")
    parser.add_argument(
        "--need",
        metavar="TARGET",
        nargs="+",
        default=[],
        help="targets of tools/needs.txt for which root installs first",
    )
    options = parser.parse_args(arguments)
    if os.geteuid() != 0:
        print("fresh: a machine of its own can be made by root alone", file=sys.stderr)
        return 1
    if subprocess.run([TREE / "tools/need", "fresh"], check=False).returncode != 0:
        return 1
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    started = time.monotonic()
    _sweep()
    try:
        tarball = bare(options.suite)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"fresh: the root file system of {options.suite} can't be made: {error}", file=sys.stderr)
        return 1
    made = Path(tempfile.mkdtemp(prefix=f".{PREFIX}", dir=PLACE))
    claim = os.open(made, os.O_RDONLY)
    fcntl.flock(claim, fcntl.LOCK_EX)
    # Under its name only once it is claimed: another run removes what nobody claims.
    root = made.rename(PLACE / made.name.removeprefix("."))
    try:
        furnish(root, tarball)
        say(f"{options.suite}: {options.command}")
        status = enter(root, script(options.command, options.need, options.user))
    finally:
        shutil.rmtree(root)
        os.close(claim)
    say(f"{options.suite}: exit status {status} after {time.monotonic() - started:.0f} seconds")
    return status


def say(text: str) -> None:
    """Tell people."""
    print(f"fresh: {text}", file=sys.stderr, flush=True)


def bare(suite: str) -> Path:
    """Return the tarball of a bare root file system, which is made once for what it is made from."""
    mirrors = {**MIRRORS, **found_mirrors()}
    suites = [("debian", suite), ("debian", f"{suite}-updates"), ("debian-security", f"{suite}-security")]
    command = [
        *("mmdebstrap", "--quiet", "--variant=minbase", "--format=tar", f"--include={','.join(INCLUDED)}"),
        *[f"--aptopt={line}" for line in apt_options()],
    ]
    sources = [f"deb [signed-by={KEYRING}] {mirrors[mirror]} {name} main" for mirror, name in suites]
    key = hashlib.sha256("\0".join([*command, *sources]).encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "metalauncher"
    folder = Path(os.environ.get("METALAUNCHER_CACHE") or cache)
    tarball = folder / f"debian-{suite}-{key}.tar"
    if tarball.exists():
        return tarball
    folder.mkdir(parents=True, exist_ok=True)
    say(f"making the root file system of {suite}, once")
    with tempfile.TemporaryDirectory(prefix=f".{suite}-", dir=folder) as scratch:
        made = Path(scratch, "root.tar")
        subprocess.run([*command, suite, made, *sources], check=True, stdin=subprocess.DEVNULL)
        made.rename(tarball)
    return tarball


def found_mirrors() -> dict[str, str]:
    """Return the mirrors that this machine takes Debian from, by the last part of their addresses."""
    listed = _output("apt-get", "indextargets", "--format", "$(REPO_URI)").split()
    return {url.rstrip("/").rpartition("/")[2]: url.rstrip("/") for url in listed}


def apt_options() -> list[str]:
    """Return how this machine's apt reaches its mirrors: proxies, certificates, time-outs."""
    lines = _output("apt-config", "dump").splitlines()
    return [line for line in lines if re.match(r'Acquire::(https?|Retries)\b.* "[^"]+";$', line)]


def furnish(root: Path, tarball: Path) -> None:
    """Unpack a bare system into `root`, and what is committed; lay out where this machine finds its registries."""
    subprocess.run(["tar", "-xpf", tarball, "-C", root], check=True)
    root.chmod(0o755)
    project = root / "root/project"
    project.mkdir()
    git = ("git", "-c", f"safe.directory={TREE}", "-C", str(TREE))
    if _output(*git, "status", "--porcelain"):
        say("what is not committed is left out")
    with subprocess.Popen([*git, "archive", "HEAD"], stdout=subprocess.PIPE) as archive:
        subprocess.run(["tar", "-x", "-C", project], stdin=archive.stdout, check=True)
    if archive.returncode != 0:
        raise SystemExit("fresh: git archive failed")
    certificates = [value for value in passed(os.environ).values() if value.startswith("/") and Path(value).is_file()]
    for name in (*FILES, *[name.lstrip("/") for name in certificates]):
        _copy(Path("/", name), root / name)
    for name in USER_FILES:
        _copy(Path.home() / name, root / "root" / name)


def passed(environ: dict[str, str] | os._Environ[str]) -> dict[str, str]:
    """Return the variables that the machine gets of these."""
    return {name: value for name, value in environ.items() if PASSED.fullmatch(name)}


def script(command: str, need: list[str], user: str | None) -> str:
    """Return what the machine's shell runs."""
    lines = ["cd /root/project"]
    if need:
        lines.append(f"tools/need {shlex.join(need)}")
    if user is None:
        return "\n".join([*lines, command])
    home = f"/home/{user}"
    lines += [
        f"useradd --create-home {user}",
        f"for name in .config .pip; do [ ! -e /root/$name ] || cp -r /root/$name {home}; done",
        f"mv /root/project {home}/project",
        f"chown -R {user}: {home}",
        f"cd {home}/project",
        f"export HOME={home}",
        "unset CI",  # what only root can do is skipped, and no failure
        f"exec setpriv --reuid={user} --regid={user} --init-groups sh -euc {shlex.quote(command)}",
    ]
    return "\n".join(lines)


def enter(root: Path, text: str) -> int:
    """Run a script in the machine and return its exit status; what it started ends with it, or with this program."""
    environ = {"HOME": "/root", "PATH": PATH, **passed(os.environ)}
    folders = [
        value
        for value in environ.values()
        if value.startswith("/") and Path(value).is_dir() and not (root / value[1:]).is_dir()
    ]
    inside = ["env", "-i", *[f"{name}={value}" for name, value in environ.items()], "sh", "-euc", text]
    own = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--ipc", "--fork", "--kill-child"]
    command = [*own, "sh", "-euc", ENTER, "enter", str(root), *folders, "--", *inside]
    with subprocess.Popen(command, stdin=None if sys.stdin.isatty() else subprocess.DEVNULL) as process:
        try:
            return process.wait()
        finally:
            process.kill()  # and --kill-child ends all in there


def _sweep() -> None:
    """Remove the machines of those who were killed."""
    for root in PLACE.glob(f"{PREFIX}*"):
        try:
            claim = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:  # gone, or nothing of ours: anybody may put a name there
            continue
        try:
            if os.fstat(claim).st_uid == os.geteuid():
                fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(root)
        except BlockingIOError:
            pass
        finally:
            os.close(claim)


def _copy(source: Path, target: Path) -> None:
    if source.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""


def _end(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)
