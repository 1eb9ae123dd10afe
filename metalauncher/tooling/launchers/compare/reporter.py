"""The app of the comparison: a script that says what it got, and then ends as its case wants it.

No compiler is needed where the command runs: the interpreter that runs the command runs the app, too. It reads what the
kernel says of the process, which an interpreter can't change: /proc/self/environ and cmdline are what exec was given,
in order, byte for byte; PEP 538's LC_CTYPE is not among them. But CPython ignores SIGPIPE and SIGXFSZ before its first
line (Python/pylifecycle.c), so nothing can be said here about those two: cases of their own ask `grep`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from metalauncher.tooling.launchers.compare.case import Program

REPORTS = "out/reports"

_BODY = r"""
import posix

def read(path):
    try:
        descriptor = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return b""
    parts = []
    try:
        while part := posix.read(descriptor, 1 << 20):
            parts.append(part)
    except OSError:
        pass
    posix.close(descriptor)
    return b"".join(parts)

descriptors = []
for name in sorted(posix.listdir(b"/proc/self/fd"), key=int):
    try:
        target = posix.readlink(b"/proc/self/fd/" + name)
    except OSError:
        continue
    descriptors.append((int(name), target, read(b"/proc/self/fdinfo/" + name)))
facts = {name: read(b"/proc/self/" + name.encode()) for name in (
    "cmdline", "environ", "status", "limits", "oom_score_adj", "coredump_filter", "timerslack_ns", "personality",
)}
try:
    facts["cwd"] = posix.readlink(b"/proc/self/cwd")
except OSError:
    facts["cwd"] = b""
facts["who"] = WHO
facts["descriptors"] = descriptors
facts["ids"] = (posix.getpid(), posix.getppid(), posix.getpgrp(), posix.getsid(0))
facts["priority"] = posix.getpriority(posix.PRIO_PROCESS, 0)
facts["scheduler"] = posix.sched_getscheduler(0)
line = (repr(facts) + "\n").encode()
descriptor = posix.open(REPORTS, posix.O_WRONLY | posix.O_APPEND | posix.O_CLOEXEC)
while line:
    line = line[posix.write(descriptor, line):]
posix.close(descriptor)
for word, *values in THEN:
    if word == "write":
        number, data = values
        try:
            while data:
                data = data[posix.write(number, data):]
        except OSError:
            posix._exit(99)
    elif word == "copy":
        try:
            while data := posix.read(0, 65536):
                posix.write(1, data)
        except OSError:
            posix._exit(98)
    elif word == "signal":
        import _signal
        try:
            _signal.signal(values[0], _signal.SIG_DFL)
        except (OSError, ValueError):
            pass
        posix.kill(posix.getpid(), values[0])
    elif word == "exit":
        posix._exit(values[0])
posix._exit(0)
"""


def script(program: Program, place: str, interpreter: str) -> bytes:
    """Return the script of `program`.

    Args:
        program: what it is called, and what it does at the end.
        place: the directory that stands for the root.
        interpreter: the path of Python for its first line; at most 127 bytes of it are sure to be read (execve(2)).
    """
    head = f"#!{interpreter} -IS\nREPORTS = {place + '/' + REPORTS!r}\nWHO = {program.who!r}\nTHEN = {program.then!r}\n"
    return (head + _BODY).encode()
