"""Start a launcher for a case, and see what comes of it."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import signal
import subprocess
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from metalauncher.tooling.console import system_text
from metalauncher.tooling.launchers.compare import starter
from metalauncher.tooling.launchers.compare.layout import lay_out
from metalauncher.tooling.launchers.compare.observation import (
    NotRun,
    Observation,
    Process,
    Unfinished,
    read_reports,
    status_text,
    steady,
)
from metalauncher.tooling.launchers.compare.reporter import REPORTS
from metalauncher.tooling.reading import ReadError, open_regular

if TYPE_CHECKING:
    from metalauncher.tooling.launchers.compare.case import Case
    from metalauncher.tooling.launchers.compare.layout import Site
    from metalauncher.tooling.launchers.compare.observation import Outcome

OUTPUT_LIMIT = 1 << 20  # bytes looked at of each stream
_REPORTS_LIMIT = starter.OUTPUT_LIMIT
_OBSTACLE_LIMIT = 1 << 16
_SLICE = 0.05  # seconds between two looks, where the kernel can't say when a process has ended


class Machine(NamedTuple):
    """What cases need of the machine: the path of each program, None where there is none."""

    bash: str | None
    grep: str | None


def obstacle(case: Case, machine: Machine) -> str:
    """Return why the case says nothing here, or ""."""
    missing = [need for need in case.needs if getattr(machine, need) is None]
    texts = {
        "bash": "there is no shell: launchers start /bin/bash",
        "grep": "there is no grep, which says how a signal was handed on",
    }
    return "; ".join([texts[need] for need in missing])


class Running:
    """The launchers that run now, for several threads: an interruption ends them, and lets no other begin."""

    def __init__(self) -> None:
        """Begin with none."""
        self._lock = threading.Lock()
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._ended = False

    def begin(self, process: subprocess.Popen[bytes]) -> None:
        """Take one, and end it where all are to end."""
        with self._lock:
            self._processes.add(process)
            if self._ended:
                _kill(process)

    def forget(self, process: subprocess.Popen[bytes]) -> None:
        """Know that it ended."""
        with self._lock:
            self._processes.discard(process)

    def end(self) -> None:
        """End them all."""
        with self._lock:
            self._ended = True
            for process in self._processes:
                _kill(process)


def run(case: Case, site: Site, executable: str, timeout: float, running: Running) -> list[Outcome]:
    """Start the launcher as often as the case wants, each time in a place laid out anew.

    Args:
        case: what is run.
        site: where.
        executable: the launcher's file.
        timeout: seconds for each start.
        running: what runs now.

    Returns:
        What came of each start, up to the first that did not finish.
    """
    outcomes: list[Outcome] = []
    for _ in range(case.starts):
        try:
            lay_out(case, site, executable)
            outcomes.append(_start(case, site, timeout, running))
        except OSError as error:
            outcomes.append(Unfinished(f"the case could not be laid out: {system_text(error)}"))
        if not isinstance(outcomes[-1], Observation):
            break
    return outcomes


def _start(case: Case, site: Site, timeout: float, running: Running) -> Outcome:
    place = site.place
    task = starter.Start(
        place,
        f"{place}/{case.path}".encode(),
        tuple(map(site.fill, case.argv)),
        tuple(map(site.fill, case.environ)),
        case.state,
    )
    with open(f"{place}/out/start", "wb") as script:
        script.write(starter.script(task))
    terminal = _Terminal() if "terminal" in (case.state.stdout, case.state.stderr) else None
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(open(f"{place}/out/{name}", "xb")) for name in ("stdout", "stderr")]
        if terminal is not None:
            stack.callback(terminal.close)
        kinds = (case.state.stdout, case.state.stderr)
        out, err = [
            terminal.theirs if terminal is not None and kind == "terminal" else stream.fileno()
            for kind, stream in zip(kinds, streams, strict=True)
        ]
        process = subprocess.Popen(  # noqa: S603  # to start programs is what the command is for
            [site.interpreter, "-I", "-S", f"{place}/out/start"],
            cwd=place,
            env={},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        running.begin(process)
        try:
            ended = _wait(process, timeout, terminal)
        finally:
            _end(process)
            running.forget(process)
        if not ended:
            return Unfinished(f"it had not ended after {timeout:g} s")
        said = terminal.said if terminal is not None else b""
    try:
        return _observe(process, case, place, said)
    except ReadError as error:  # what was started has put something else in its place
        return Unfinished(f"what it wrote can't be read: {error}")


def _observe(process: subprocess.Popen[bytes], case: Case, place: str, said: bytes) -> Outcome:
    if obstacle := _read(f"{place}/{starter.OBSTACLE}", _OBSTACLE_LIMIT).decode("utf-8", "replace"):
        what, _, reason = obstacle.partition("\n")
        if what == "exec":
            return Unfinished(f"it could not be run: {reason[:1].lower() + reason[1:]}")
        return NotRun(f"this machine refuses {what.removeprefix('state: ')}: {reason}")
    stdout, stderr = (_read(f"{place}/out/{name}", OUTPUT_LIMIT) for name in ("stdout", "stderr"))
    if case.state.stdout == "terminal":
        stdout = said
    elif case.state.stderr == "terminal":
        stderr = said
    for name, data in (("stdout", stdout), ("stderr", stderr)):
        if len(data) > OUTPUT_LIMIT:
            return Unfinished(f"it wrote more than {OUTPUT_LIMIT >> 20} MiB to {name}: cut there")
    here = Process(process.pid, os.getpid(), os.getpriority(os.PRIO_PROCESS, 0))
    try:
        reports = read_reports(_read(f"{place}/{REPORTS}", _REPORTS_LIMIT), here)
    except ValueError:
        return Unfinished("what its app reported can't be read")
    return Observation(status_text(process.returncode), steady(stdout), steady(stderr), reports)


def _read(path: str, limit: int) -> bytes:
    try:
        with open_regular(path) as file:
            return file.read(limit + 1)
    except ReadError as error:
        if error.fault == "absent":
            return b""
        raise


def _wait(process: subprocess.Popen[bytes], timeout: float, terminal: _Terminal | None) -> bool:
    """Wait for the process; tell whether it ended in time. What arrives on the terminal is read meanwhile."""
    until = time.monotonic() + timeout
    poll = select.poll()
    if terminal is not None:
        poll.register(terminal.ours, select.POLLIN)
    try:
        watched = os.pidfd_open(process.pid)
    except OSError:  # an old kernel, or a sandbox: look now and then
        watched = -1
    try:
        if watched >= 0:
            poll.register(watched, select.POLLIN)
        while process.poll() is None:
            left = until - time.monotonic()
            if left <= 0:
                return False
            poll.poll(1000 * (left if watched >= 0 else min(left, _SLICE)))
            if terminal is not None:
                terminal.read()
    finally:
        if watched >= 0:
            os.close(watched)
    if terminal is not None:
        terminal.read()
    return True


def _end(process: subprocess.Popen[bytes]) -> None:
    """End what it started and left running in its group, and itself."""
    _kill(process)
    process.wait()


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)


class _Terminal:
    """A terminal for one start: what a person at it would see."""

    def __init__(self) -> None:
        self.ours, self.theirs = pty.openpty()
        os.set_blocking(self.ours, False)
        self.said = b""

    def read(self) -> None:
        """Take what has arrived."""
        with contextlib.suppress(OSError):  # nothing there, or nobody writes any more
            while len(self.said) <= OUTPUT_LIMIT and (data := os.read(self.ours, 65536)):
                self.said += data

    def close(self) -> None:
        """Give it back."""
        os.close(self.ours)
        os.close(self.theirs)
