"""Programs in C that the tests start and become: a starter that chooses a state, and launchers that report it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from harness import Form, Image

if TYPE_CHECKING:
    from toolchain import Toolchain

SOURCES = Path(__file__).resolve().parents[1] / "native"
FLAGS = ("-static", "-O1", "-std=gnu11", "-Wall", "-Wextra", "-Werror")
# Programs without a C library: what they need beside FLAGS.
_NO_LIBRARY = ("-nostdlib", "-ffreestanding")
_FREESTANDING = {
    "answer": _NO_LIBRARY,
    "mark": (*_NO_LIBRARY, "-fno-stack-protector", "-no-pie", "-Wl,--build-id=none", "-Wl,-z,noseparate-code", "-s"),
}
CANNOT = 125  # the starter's exit code where it can't bring about the state it was told to

# A directive of the starter and its arguments, one after another (tests/native/starter.c); "@/" begins a scratch path.
Words = tuple[str | bytes | int, ...]


class Native:
    """Compiles tests/native/NAME.c, once a session, into a directory that any user can read."""

    def __init__(self, folder: Path, tools: Toolchain | None = None) -> None:
        """Take the folder for the programs, and the toolchain of another architecture, if they are for one."""
        self.folder = folder
        self._tools = tools
        self._others: dict[str, Native] = {}

    def of(self, form: Form) -> Native:
        """Return the compiler of programs that a form becomes: they are of its architecture."""
        if form.emulation is None:
            return self
        if form.name not in self._others:
            folder = self.folder / form.name
            folder.mkdir()
            self._others[form.name] = Native(folder, form.emulation.tools)
        return self._others[form.name]

    def program(self, name: str) -> Path:
        """Return the static program of NAME.c."""
        target = self.folder / name
        if not target.exists():
            freestanding = _FREESTANDING.get(name, ())
            self.compile(SOURCES / f"{name}.c", target, *FLAGS, *freestanding)
        return target

    def compile(self, source: Path, target: Path, *flags: str) -> Path:
        """Compile one file; a missing compiler is named with its package."""
        if self._tools is None:
            compiler = [shutil.which("cc") or ""]
        elif "-nostdlib" in flags:
            compiler = [str(self._tools.folder / "clang"), f"--ld-path={self._tools.folder / 'ld'}"]
        else:
            compiler = [str(self._tools.cc)]
        if not compiler[0]:
            pytest.fail("a C compiler (`cc`) is needed: on Debian, the packages gcc and libc6-dev")
        done = subprocess.run(
            [*compiler, *flags, "-o", str(target), str(source)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.fail(f"{source.name} does not compile (on Debian: gcc, libc6-dev):\n{done.stderr}")
        return target


@dataclass(frozen=True)
class Started:
    """What came of a program that the starter exec'd."""

    report: list[str]  # the probe's, empty where it was not reached
    exit_code: int  # -N: ended by signal N
    stdout: bytes
    stderr: bytes

    def values(self, key: str) -> list[str]:
        """Return the values of the report's lines with this key, in order."""
        return [line.partition(" ")[2] for line in self.report if line.partition(" ")[0] == key]


class Starter:
    """Starts programs from a chosen state, each run in the same fresh scratch directory."""

    def __init__(self, native: Native, scratch: Path) -> None:
        """Take the programs, and the directory for what the states need; it is emptied for every run."""
        self.native = native
        self.scratch = scratch

    def start(self, path: Path | str, argv: tuple[bytes, ...], environ: tuple[bytes, ...], *state: Words) -> Started:
        """Exec `path` with these very arrays, from a state that the directives describe."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir()
        self.scratch.chmod(0o777)
        files = {name: self.scratch / name for name in ("spec", "report", "stdout", "stderr")}
        words: list[str | bytes | int] = [*("report", str(files["report"]))]
        words += [word for directive in state for word in directive]
        words += ["path", str(path)]
        words += [word for argument in argv for word in ("arg", argument)]
        words += [word for entry in environ for word in ("env", entry)]
        files["spec"].write_bytes(b"".join(self._word(word) + b"\0" for word in words))
        program = self.native.program("starter")
        with files["stdout"].open("wb") as stdout, files["stderr"].open("wb") as stderr:
            process = subprocess.Popen(
                [program, files["spec"]], stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, env={}
            )
            try:
                code = process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise
        started = Started(
            _normal(files["report"].read_text("ascii"), process.pid) if files["report"].exists() else [],
            code,
            files["stdout"].read_bytes(),
            files["stderr"].read_bytes(),
        )
        assert code != CANNOT, started.stderr
        return started

    def can(self, *state: Words) -> bool:
        """Tell whether this user may be in such a state here."""
        try:
            return self.start(self.native.program("answer"), (), (), *state).exit_code == 42
        except AssertionError:
            return False

    def _word(self, word: str | bytes | int) -> bytes:
        raw = word if isinstance(word, bytes) else str(word).encode()
        return str(self.scratch).encode() + raw[1:] if raw.startswith(b"@/") else raw


def _normal(report: str, pid: int) -> list[str]:
    """Return the report's lines with what differs between any two processes replaced by what it stands for."""
    names = {pid: "itself", os.getpid(): "the test", os.getpgid(0): "the test's", os.getsid(0): "the test's"}
    lines: list[str] = []
    for line in report.splitlines():
        key, _, value = line.partition(" ")
        if key in ("pid", "ppid", "pgid", "sid"):
            line = f"{key} {names.get(int(value), value)}"  # noqa: PLW2901  # the line in other words
        elif key.startswith("ns/"):
            same = value == os.readlink(f"/proc/self/{key}")
            line = f"{key} {'of the test' if same else 'another'}"  # noqa: PLW2901  # the line in other words
        lines.append(re.sub(r"(pipe:|socket:|/dev/pts/)\[?\d+\]?( |$)", r"\1N\2", line))
    return lines


class Jail(Image):
    """An image that is the root itself: its places are `/usr/bin/metalauncher` and so on, and nothing else is there.

    The Python form also gets Python, from the machine: what an image that has it would have.
    """

    def __post_init__(self) -> None:
        """Lead the run image's link to the path inside; make room for what is bound."""
        super().__post_init__()
        self.root.chmod(0o755)
        del self.environ["METALAUNCHER_ROOT"]
        self.link.unlink()
        self.link.symlink_to("/usr/bin/metalauncher")
        self.bound: list[Words] = []
        if self.form.is_script:
            self._bind_python()

    def _bind_python(self) -> None:
        interpreter = self.root / "usr/bin/python3"
        interpreter.touch()
        self.bound.append(("bind", "/usr/bin/python3", str(interpreter)))
        for name in ("lib", "lib64", "usr/lib64"):
            path = Path("/") / name
            if path.is_symlink():
                (self.root / name).symlink_to(path.readlink())
            elif path.is_dir():
                self.bind(path)
        for path in sorted(Path("/usr/lib").iterdir()):
            if path.name.startswith("python3") or path.name == "locale" or "-linux-" in path.name:
                self.bind(path)

    def bind(self, path: Path) -> None:
        """Show a directory of the machine at the same place inside."""
        inside = self.root / path.relative_to("/")
        inside.mkdir(parents=True, exist_ok=True)
        self.bound.append(("bind", str(path), str(inside)))

    def entered(self, *before: Words) -> list[Words]:
        """Return the directives that lead inside, after `before`."""
        return [*self.form.state, ("mounts",), *self.bound, *before, ("root", str(self.root))]

    def lead(self, way: str, *processes: str) -> None:
        """Make /cnb as the exporter does: the launcher by this way, and a process of each name.

        Args:
            way: "link", "straight" (a link that leaves out the run image's own) or "shim".
            processes: the types.
        """
        shutil.rmtree(self.root / "cnb", ignore_errors=True)
        launcher = self.root / "cnb/lifecycle/launcher"
        launcher.parent.mkdir(parents=True)
        if way == "shim":
            launcher.write_text("#!/usr/bin/metalauncher --launch\n")
            launcher.chmod(0o755)
        else:
            launcher.symlink_to("/usr/lib/cnb/launcher" if way == "link" else "/usr/bin/metalauncher")
        for name in processes:
            process = self.root / "cnb/process" / name
            process.parent.mkdir(exist_ok=True)
            process.symlink_to("/cnb/lifecycle/launcher")


def need(starter: Starter, *state: Words) -> None:
    """Skip where this user can't be in such a state here; in CI that is a failure."""
    if not starter.can(*state):
        message = f"this needs {', '.join(str(words[0]) for words in state)}: root, or user namespaces"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)


def public_folder() -> Path:
    """Return a new folder that other users can reach, which pytest's are not; the caller removes it."""
    folder = Path(tempfile.mkdtemp(prefix="metalauncher-"))
    folder.chmod(0o755)
    return folder
