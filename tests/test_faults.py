"""Every system call on the path may fail, and the file system may be hostile: the right launcher, or a clear refusal.

Calls fail by a seccomp filter that tests/native/faults.c installs before the exec; nothing is preloaded. In the
registry of these tests `best` and `second` cover the app, and `newer` does not: to become that would be the silent
wrong choice.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest
from harness import Form, Image
from making import minors
from native import Native

EPERM, ENOENT, EINTR, EIO, ENXIO, E2BIG, ENOEXEC, EBADF = 1, 2, 4, 5, 6, 7, 8, 9
EAGAIN, ENOMEM, EACCES, ENODEV, ENOTDIR, ENFILE, EMFILE, ETXTBSY = 11, 12, 13, 19, 20, 23, 24, 26
ENOSPC, EPIPE, ENOSYS, ELOOP, ESTALE = 28, 32, 38, 40, 116

LAUNCHED = 42  # tests/native/answer.c
BOUND = 20.0  # seconds; what is found here takes milliseconds, on a busy machine a few hundred

# What the one call of the source is in the C libraries of the two forms.
SPELLINGS = {
    "open": ("open", "openat"),
    "stat": ("stat", "newfstatat"),
    "fstat": ("fstat", "newfstatat"),
    "readlink": ("readlink", "readlinkat"),
}
DESCRIPTOR = """
[launcher]
id = "acme/{name}"
version = "{version}"
path = "/opt/{name}"
[apis.platform]
supported = [{platform}]
[apis.buildpack]
supported = ["0.7", "0.8"]
"""


@dataclass(frozen=True)
class Outcome:
    """What came of a dispatch."""

    became: str  # the launcher's name, "" if none
    code: int
    stderr: str
    seconds: float
    trace: tuple[tuple[str, str], ...]  # call, path

    @property
    def refused(self) -> int:
        """The exit code of a clear refusal: a documented one with a message; 0 if it is anything else."""
        is_clear = any(line.startswith("ERROR: ") and len(line) > len("ERROR: ") for line in self.stderr.splitlines())
        return self.code if not self.became and is_clear and self.code in (1, 11, 12, 70, 80, 81, 82) else 0


class Scene:
    """A run image with three launchers, and an app that two of them cover."""

    def __init__(self, image: Image, native: Native) -> None:
        """Lay it out."""
        self.image = image
        self.bound = BOUND * (6 if image.form.emulation else 1)  # an emulator takes its time
        self.faults = native.program("faults")
        self.answer = native.of(image.form).program("answer")
        image.environ["CNB_PLATFORM_API"] = "0.8"
        self.metadata = image.use_metadata('[[buildpacks]]\nid = "a"\napi = "0.7"\n')
        self.declare("best", "2.0", minors(7, 8))
        self.declare("second", "1.0", minors(7, 8))
        self.declare("newer", "9.0", minors(20, 21))
        image.etc.mkdir(parents=True)
        self.web = image.by_link()

    def declare(self, name: str, version: str, platform: str) -> Path:
        """Add a launcher and its descriptor; return the descriptor."""
        place = self.image.root / "opt" / name
        place.parent.mkdir(exist_ok=True)
        if not place.exists():
            place.write_bytes(self.answer.read_bytes())
            place.chmod(0o755)
        file = self.image.usr / f"{name}.toml"
        listed = ", ".join(f'"{api}"' for api in platform.split())
        file.write_text(DESCRIPTOR.format(name=name, version=version, platform=listed))
        return file

    def dispatch(self, *words: str | int) -> Outcome:
        """Dispatch with these faults."""
        record = self.image.root / "trace"
        record.unlink(missing_ok=True)
        command = [str(word) for word in (self.faults, *words, "trace", record, "--", self.web, self.web)]
        started = time.monotonic()
        done = subprocess.run(
            command,
            env=self.image.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=self.bound,
            check=False,
            preexec_fn=self.image.form.enter,  # no threads
        )
        seconds = time.monotonic() - started
        assert done.returncode != 125, done.stderr
        lines = [line.split(" ", 3) for line in record.read_text(errors="replace").split("\0")[:-1]]
        trace = tuple([(line[1], line[3]) for line in lines])
        tried = [path for line, (call, path) in zip(lines, trace, strict=True) if call == "execve" and line[2] == "0"]
        became = Path(tried[-1]).name if tried and done.returncode == LAUNCHED else ""
        return Outcome(became, done.returncode, done.stderr.decode(), seconds, trace)


@pytest.fixture
def scene(image: Image, native: Native) -> Scene:
    """Return the scene of these tests."""
    return Scene(image, native)


@pytest.mark.emulated
def test_nothing_fails(scene: Scene) -> None:
    """Without a fault the best launcher is started, in silence."""
    outcome = scene.dispatch()
    assert (outcome.became, outcome.stderr) == ("best", "")


# Call, errno, part of the path: what comes of it. A launcher's name, with "!" where a warning has to name the failure,
# or an exit code. The calls fail each time they are made on such a path.
Fault = tuple[str, int, str]
DESCRIPTORS = "/launchers.d/"
FAULTS: dict[str, tuple[Fault, str | int]] = {
    # The app's record: nothing is guessed at.
    **{
        f"metadata-open-{number}": (("open", number, "/metadata.toml"), 1)
        for number in (ENOENT, EACCES, EPERM, EIO, ENXIO, ENOTDIR, ENFILE, EMFILE, ENOMEM, ELOOP, ESTALE, ENOSYS)
    },
    **{f"metadata-fstat-{number}": (("fstat", number, "/metadata.toml"), 1) for number in (EIO, ENOMEM, ESTALE)},
    **{f"metadata-read-{number}": (("read", number, "/metadata.toml"), 1) for number in (EIO, EAGAIN, ENOMEM, ESTALE)},
    **{f"metadata-close-{number}": (("close", number, "/metadata.toml"), "best") for number in (EIO, EINTR, EBADF)},
    # One descriptor: it is left out, and stops nobody else.
    **{
        f"descriptor-open-{number}": (("open", number, "/best.toml"), "second")
        for number in (ENOENT, EACCES, EPERM, EIO, ENFILE, EMFILE, ENOMEM, ELOOP, ESTALE, ENOSYS)
    },
    **{f"descriptor-fstat-{number}": (("fstat", number, "/best.toml"), "second") for number in (EIO, ENOMEM)},
    **{f"descriptor-read-{number}": (("read", number, "/best.toml"), "second") for number in (EIO, EAGAIN, ESTALE)},
    **{f"descriptor-close-{number}": (("close", number, "/best.toml"), "best") for number in (EIO, EINTR, EBADF)},
    **{
        f"stranger-{call}-{number}": ((call, number, "/newer.toml"), "best")
        for call in ("open", "fstat", "read", "close")
        for number in (EACCES, EIO)
    },
    "descriptors-open-EMFILE": (("open", EMFILE, DESCRIPTORS), 80),
    "descriptors-read-EIO": (("read", EIO, DESCRIPTORS), 80),
    "descriptors-fstat-EIO": (("fstat", EIO, DESCRIPTORS), 80),
    # A directory of descriptors.
    **{
        f"directory-open-{number}": (("open", number, "usr/lib/cnb/launchers.d"), 80)
        for number in (ENOENT, EACCES, EIO, EMFILE, ENOMEM, ENOTDIR, ELOOP)
    },
    **{
        f"directory-getdents-{number}": (("getdents64", number, "usr/lib/cnb/launchers.d"), 80)
        for number in (EIO, ENOENT, ENOMEM, EBADF)
    },
    **{
        f"operators-{call}-{number}": ((call, number, "etc/cnb/launchers.d"), "best")
        for call in ("open", "getdents64")
        for number in (EACCES, EIO, ENOTDIR)
    },
    "directory-close-EIO": (("close", EIO, "lib/cnb/launchers.d"), "best"),
    # The launchers: looked at, and exec'd.
    **{f"launcher-stat-{number}": (("stat", number, "/opt/best"), "best") for number in (EACCES, EIO, ENOMEM)},
    **{
        f"launcher-exec-{number}": (("execve", number, "/opt/best"), "second!")
        for number in (ENOENT, EACCES, EPERM, EIO, ENOEXEC, ETXTBSY, ELOOP, EMFILE, ENFILE, ENODEV, ENOTDIR, ENOSYS)
    },
    **{f"launcher-exec-{number}": (("execve", number, "/opt/best"), 82) for number in (E2BIG, ENOMEM, EAGAIN)},
    **{f"launchers-exec-{number}": (("execve", number, "/opt/"), 82) for number in (ENOENT, EACCES, EIO)},
}


@pytest.mark.emulated
@pytest.mark.parametrize("name", FAULTS)
def test_a_call_fails(name: str, scene: Scene) -> None:
    """A call that fails, each time it is made, has the outcome of the table."""
    (call, number, text), expected = FAULTS[name]
    words = [word for spelled in SPELLINGS.get(call, (call,)) for word in ("path", spelled, text, number)]
    outcome = scene.dispatch(*words)
    assert any(text in path for _, path in outcome.trace), outcome.trace
    if isinstance(expected, int):
        assert outcome.refused == expected, outcome
        assert "internal error" not in outcome.stderr
    else:
        assert outcome.became == expected.removesuffix("!"), outcome
        warnings = [line for line in outcome.stderr.splitlines() if line.startswith("Warning: acme/best@2.0 ")]
        assert len(warnings) == expected.count("!")


@pytest.mark.emulated
@pytest.mark.parametrize("number", [EPIPE, EIO, ENOSPC, EBADF, EAGAIN, 0])
def test_nobody_can_be_told(number: int, scene: Scene) -> None:
    """A refusal that can't be written keeps its exit code, a warning its fallback; 0: nothing is written."""
    scene.metadata.unlink()
    outcome = scene.dispatch("where", "write", number, 0, 2)
    assert (outcome.code, outcome.stderr) == (1, "")
    scene.metadata.write_text("")
    (scene.image.root / "opt/best").unlink()
    outcome = scene.dispatch("where", "write", number, 0, 2)
    assert (outcome.became, outcome.stderr) == ("second", "")


def _told_nobody(scene: Scene, stderr: int) -> int:
    """Dispatch with this stderr, and every signal's disposition the default; return the exit code."""
    done = subprocess.run(
        [scene.web],
        env=scene.image.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        timeout=BOUND,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),  # no threads
        check=False,
    )
    return done.returncode


def test_nobody_reads(scene: Scene) -> None:
    """Neither a pipe that is closed nor a file at its limit ends a dispatch by its signal: SIGPIPE, SIGXFSZ."""
    reader, pipe = os.pipe()
    os.close(reader)
    with (scene.image.root / "stderr").open("wb") as file:
        for stderr in (pipe, file.fileno()):
            assert _told_nobody(scene, stderr) == LAUNCHED
            place = (scene.image.root / "opt/best").rename(scene.image.root / "opt/away")
            assert _told_nobody(scene, stderr) == LAUNCHED
            place.rename(scene.image.root / "opt/best")
            text = scene.metadata.read_bytes()
            scene.metadata.write_bytes(b"x")
            assert _told_nobody(scene, stderr) == 1
            scene.metadata.write_bytes(text)
    os.close(pipe)


def _is_python(path: str, scene: Scene) -> bool:
    """Tell whether a path is the interpreter's or the program's own, and not one of those that are decided upon."""
    root = str(scene.image.root)
    return not path.startswith(root) or path.startswith((str(scene.image.executable), str(scene.web)))


def _has_errno(call: str) -> bool:
    """Tell whether a call can fail with an errno: brk(2) gives the old end then, and all is an end to C libraries."""
    return call != "brk"


def _judge(  # noqa: PLR0911  # one return for each thing that may be wrong
    outcome: Outcome, call: str, path: str, number: int, scene: Scene
) -> str:
    """Return what is wrong with the outcome of a dispatch during which one call failed, "" if nothing is."""
    if outcome.became == "best":
        return ""
    if outcome.became == "second":
        if path.endswith("/best.toml"):
            return ""
        warned = outcome.stderr.startswith("Warning: acme/best@2.0 ")
        return "" if warned and path.endswith("/opt/best") else "fell back without a reason"
    if outcome.became or outcome.code in (0, LAUNCHED):
        return "became something else"
    if call == "write" or outcome.refused in (1, 80, 82):
        return ""
    is_memory = call in ("mmap", "mremap") or number == ENOMEM
    if outcome.refused == 70 and (is_memory or (scene.image.form.is_script and _is_python(path, scene))):
        return ""
    return "no clear refusal"


def _search(scene: Scene, numbers: tuple[int, ...], positions: list[int], trace: tuple[tuple[str, str], ...]) -> int:
    """Let each call at these positions fail with each errno; return how many dispatches that were."""
    wrong: list[str] = []
    positions = [position for position in positions if _has_errno(trace[position][0])]
    for position in positions:
        call, path = trace[position]
        for number in numbers:
            outcome = scene.dispatch("number", position + 1, number)
            reason = _judge(outcome, call, path, number, scene)
            if reason:
                wrong.append(f"{call} {path}: errno {number}: {reason}: exit {outcome.code}: {outcome.stderr[:300]}")
    assert not wrong, "\n".join(wrong)
    return len(positions) * len(numbers)


def test_any_one_call_fails(scene: Scene) -> None:
    """Whichever single call of a dispatch fails: the best launcher, the next one with a reason, or a clear refusal."""
    trace = scene.dispatch().trace
    first = next(index for index, (_, path) in enumerate(trace) if path.endswith("/etc/cnb/launchers.d"))
    own = list(range(first, len(trace)))
    if scene.image.form.is_script:
        # Fewer, for each dispatch starts an interpreter.
        assert _search(scene, (EIO, ENOMEM), own, trace) > 50
    else:
        numbers = (EIO, ENOMEM, EACCES, ENOENT, EMFILE, EINTR, EAGAIN, ENOSYS, EPERM, ELOOP)
        assert _search(scene, numbers, list(range(len(trace))), trace) > 150


def test_any_one_call_of_a_refusal_fails(scene: Scene) -> None:
    """Whichever single call of a refused dispatch fails, nothing is started, and the exit code is not 0."""
    scene.image.environ["CNB_PLATFORM_API"] = "0.12"
    whole = scene.dispatch()
    assert whole.refused == 11
    first = next(index for index, (_, path) in enumerate(whole.trace) if path.endswith("/etc/cnb/launchers.d"))
    positions = [position for position in range(first, len(whole.trace)) if _has_errno(whole.trace[position][0])]
    for position in positions if not scene.image.form.is_script else positions[::4]:
        outcome = scene.dispatch("number", position + 1, EIO)
        assert outcome.became == ""
        call, path = whole.trace[position]
        assert outcome.code in (11, 80) or (outcome.code == 70 and _is_python(path, scene)), (call, path, outcome)
        assert outcome.refused or call == "write"


@pytest.mark.only("python")
def test_the_interpreter_cannot_start(scene: Scene) -> None:
    """What fails before the program's first line is the interpreter's to report; no launcher is started by mistake."""
    trace = scene.dispatch().trace
    first = next(index for index, (_, path) in enumerate(trace) if path.endswith("/etc/cnb/launchers.d"))
    for position in range(0, first, 1 + first // 25):
        outcome = scene.dispatch("number", position + 1, EIO)
        assert outcome.became in ("best", ""), outcome
        # Python 3.11.2, Debian 12's, crashes in places without a word; the tracer reports a signal as a shell does.
        crashed = outcome.code in (128 + signal.SIGSEGV, 128 + signal.SIGABRT)
        ended = crashed or (outcome.code not in (0, LAUNCHED) and outcome.stderr)
        assert outcome.became or ended, (trace[position], outcome)


# Limits.


def test_no_memory_is_left(form: Form, scene: Scene) -> None:
    """Where the kernel refuses memory a dispatch ends with one line, or becomes the launcher, but never another one."""
    strings = [f'k{number} = "{"x" * 90}"' for number in range(30_000)]
    scene.metadata.write_text("\n".join([*strings, "[[buildpacks]]", 'id = "a"', 'api = "0.7"']))
    outcome = scene.dispatch("always", "mremap" if form.is_script else "mmap", ENOMEM)
    if form.is_script:
        assert outcome.became == "best"
    else:
        assert (outcome.refused, outcome.stderr) == (70, "ERROR: metalauncher: internal error: out of memory\n")


def test_little_memory(scene: Scene) -> None:
    """A record whose parsing takes more memory than there may be ends the dispatch with one line."""
    # The parser keeps each beginning of a dotted key: 200 KB of text become 500 MB.
    scene.metadata.write_text("".join(f"r{n}." + "a." * 990 + "k=1\n" for n in range(100)))
    done = subprocess.run(
        [scene.web],
        env=scene.image.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=BOUND,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (200 << 20, 200 << 20)),  # no threads
        check=False,
    )
    text = "MemoryError: " if scene.image.form.is_script else "out of memory"
    assert (done.returncode, done.stderr.decode()) == (70, f"ERROR: metalauncher: internal error: {text}\n")


@pytest.mark.only("static")  # an interpreter needs several to start
@pytest.mark.parametrize("files", [3, 4])
def test_few_descriptors(files: int, scene: Scene) -> None:
    """One descriptor is enough; with none to open, no launcher is found, and why is said."""
    done = subprocess.run(
        [scene.web],
        env=scene.image.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=BOUND,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files)),  # no threads
        check=False,
    )
    if files == 4:
        assert (done.returncode, done.stderr) == (LAUNCHED, b"")
    else:
        assert done.returncode == 80
        assert b"too many open files" in done.stderr


# A hostile file system.


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _link_to_a_fifo(path: Path) -> None:
    if not (path.parent / "fifo").exists():
        _fifo(path.parent / "fifo")
    path.symlink_to("fifo")


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(path.parent)  # a socket's name has 107 bytes at most
        try:
            server.bind(path.name)
        finally:
            os.chdir(here)


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


HOSTILE: dict[str, Callable[[Path], None]] = {
    "fifo": _fifo,
    "socket": _socket,
    "directory": lambda path: path.mkdir(),
    "loop": lambda path: path.symlink_to(path.name),
    "dangling": lambda path: path.symlink_to("/nowhere/at all"),
    "link-to-a-directory": lambda path: path.symlink_to("/"),
    "link-to-a-fifo": _link_to_a_fifo,
    "zeros": lambda path: path.symlink_to("/dev/zero"),
    "full": lambda path: path.symlink_to("/dev/full"),
    "random": lambda path: path.symlink_to("/dev/urandom"),
    "terminal": lambda path: path.symlink_to("/dev/tty"),
    "stdin": lambda path: path.symlink_to("/dev/stdin"),
    "memory": lambda path: path.symlink_to("/proc/self/mem"),
    "page-map": lambda path: path.symlink_to("/proc/self/pagemap"),
    "sparse": _sparse,
    "empty": lambda path: path.touch(),
    "binary": lambda path: (path.write_bytes(bytes(range(256)) * 4000), None)[1],
    "nul": lambda path: (path.write_bytes(b"\0" * 900_000), None)[1],
    "not-a-descriptor": lambda path: (path.write_text("[[a]]\n" * 9000), None)[1],
}


@pytest.mark.emulated
@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_descriptor_stops_nobody(kind: str, scene: Scene) -> None:
    """Whatever else lies in launchers.d, in either directory, the best launcher is started, soon and in silence."""
    HOSTILE[kind](scene.image.usr / "aaa.toml")
    (scene.image.etc / "sub").mkdir()
    HOSTILE[kind](scene.image.etc / "best.toml")
    HOSTILE[kind](scene.image.etc / "zzz\x1b[31m\n.toml")
    outcome = scene.dispatch()
    assert (outcome.became, outcome.stderr) == ("best", "")
    assert outcome.seconds < scene.bound / 2


@pytest.mark.emulated
@pytest.mark.parametrize("kind", [kind for kind in HOSTILE if kind not in ("empty", "not-a-descriptor")])
def test_a_hostile_record_is_refused(kind: str, scene: Scene) -> None:
    """Whatever lies in the place of metadata.toml, it is read in bounded time, or refused with what it is."""
    scene.metadata.unlink()
    HOSTILE[kind](scene.metadata)
    outcome = scene.dispatch()
    assert outcome.refused == 1, outcome
    assert str(scene.metadata) in outcome.stderr.splitlines()[0]
    assert outcome.seconds < scene.bound / 2


@pytest.mark.emulated
@pytest.mark.parametrize("kind", [kind for kind in HOSTILE if kind != "stdin"])
def test_a_hostile_launcher_is_passed_over(kind: str, scene: Scene) -> None:
    """Whatever lies in the place of a launcher, the next one is started, with a warning."""
    place = scene.image.root / "opt/best"
    place.unlink()
    HOSTILE[kind](place)
    outcome = scene.dispatch()
    assert outcome.became == "second"
    assert outcome.stderr.startswith("Warning: acme/best@2.0 ")
    assert outcome.seconds < scene.bound / 2


# What changes while it is read.


class Churn:
    """Repeats a change until it is told to stop, in a process of its own."""

    def __init__(self, change: Callable[[int], None]) -> None:
        """Take what to do; it is given the number of the round."""
        self.change = change
        self.process = 0

    def __enter__(self) -> Self:
        """Begin."""
        self.process = os.fork()
        if self.process == 0:
            try:
                number = 0
                while True:
                    self.change(number)
                    number += 1
            finally:
                os._exit(1)
        return self

    def __exit__(self, *_: object) -> None:
        """End it; it must not have ended by itself."""
        assert os.waitpid(self.process, os.WNOHANG) == (0, 0)
        os.kill(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)


def _dispatches(scene: Scene, form: Form) -> Iterator[Outcome]:
    web = [str(scene.web)]
    for _ in range(30 if form.is_script else 300):
        started = time.monotonic()
        done = subprocess.run(
            web, env=scene.image.environ, stdin=subprocess.DEVNULL, capture_output=True, timeout=BOUND, check=False
        )
        seconds = time.monotonic() - started
        yield Outcome(done.stdout.decode().strip(), done.returncode, done.stderr.decode(), seconds, ())


def _named(scene: Scene) -> None:
    """Make launchers that say their names."""
    for name in ("best", "second", "newer"):
        place = scene.image.root / "opt" / name
        place.write_text(f"#!/bin/sh\necho {name}\n")
        place.chmod(0o755)


def test_files_come_and_go(form: Form, scene: Scene) -> None:
    """While strangers are created, replaced, cut and removed, the best launcher is started every time, in silence."""
    _named(scene)
    files = [scene.image.usr / f"{n}.toml" for n in range(8)]
    whole = (scene.image.usr / "newer.toml").read_text()

    def change(number: int) -> None:
        file = files[number % 8]
        way = number % 5
        if way == 0:
            file.write_text(whole)
        elif way == 1:
            os.truncate(file, number % len(whole)) if file.exists() and not file.is_symlink() else None
        elif way == 2:
            file.unlink(missing_ok=True)
        elif way == 3:
            file.unlink(missing_ok=True)
            file.symlink_to(file.name)
        else:
            scratch = scene.image.usr / ".scratch"
            scratch.write_text(whole[: number % len(whole)])
            scratch.replace(file)

    with Churn(change):
        for outcome in _dispatches(scene, form):
            assert (outcome.became, outcome.code, outcome.stderr) == ("best", 0, "")


def test_a_launcher_comes_and_goes(form: Form, scene: Scene) -> None:
    """While the best launcher is installed and removed, it or the next is started: never nothing, never a wrong one."""
    _named(scene)
    descriptor, place = scene.image.usr / "best.toml", scene.image.root / "opt/best"
    away = scene.image.root / "away"

    def change(number: int) -> None:
        del number
        descriptor.rename(away)
        place.chmod(0o600)  # not removed: it is a script, which its interpreter opens once it has been exec'd
        place.chmod(0o755)
        away.rename(descriptor)

    with Churn(change):
        seen = set()
        for outcome in _dispatches(scene, form):
            assert outcome.code == 0, outcome
            assert outcome.became in ("best", "second")
            assert outcome.stderr == "" or (outcome.stderr.startswith("Warning: ") and outcome.became == "second")
            seen.add(outcome.became)
    assert form.is_script or len(seen) == 2


def test_a_record_is_replaced(form: Form, scene: Scene) -> None:
    """While metadata.toml is replaced whole, the old one or the new one decides, and nothing between."""
    _named(scene)
    texts = ['[[buildpacks]]\nid = "a"\napi = "0.7"\n', '[[buildpacks]]\nid = "a"\napi = "0.99"\n' + "# x\n" * 9000]
    scratch = scene.metadata.with_name("scratch")

    def change(number: int) -> None:
        scratch.write_text(texts[number % 2])
        scratch.replace(scene.metadata)

    with Churn(change):
        for outcome in _dispatches(scene, form):
            assert (outcome.became, outcome.code) in (("best", 0), ("", 12)), outcome


def test_a_directory_grows_while_it_is_read(form: Form, scene: Scene) -> None:
    """A directory that gains files for as long as it is read is read to an end."""
    _named(scene)
    stop = threading.Event()

    def grow() -> None:
        number = 0
        while not stop.is_set() and number < 20_000:
            (scene.image.usr / f".hidden-{number}").touch()
            number += 1

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        for outcome in _dispatches(scene, form):
            assert (outcome.became, outcome.stderr) == ("best", "")
            assert outcome.seconds < BOUND / 2
            if not writer.is_alive():
                break
    finally:
        stop.set()
        writer.join()
