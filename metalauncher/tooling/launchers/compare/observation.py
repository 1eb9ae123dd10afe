"""What was seen of one start of a launcher, as plain values that can be compared."""

from __future__ import annotations

import ast
import re
import signal
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

_PYTHONS_OWN = (1 << signal.SIGPIPE - 1) | (1 << signal.SIGXFSZ - 1)  # it ignores these before it can look
_STATUS = (
    "Umask",
    "Uid",
    "Gid",
    "Groups",
    "SigPnd",
    "ShdPnd",
    "SigBlk",
    "SigIgn",
    "CapInh",
    "CapPrm",
    "CapEff",
    "CapBnd",
    "CapAmb",
    "NoNewPrivs",
    "Seccomp",
    "Cpus_allowed",
    "TracerPid",
)
_WORDS = {
    "Umask": "umask",
    "SigPnd": "pending signals",
    "ShdPnd": "pending signals of the process",
    "SigBlk": "blocked signals",
    "SigIgn": "ignored signals",
}


class Report(NamedTuple):
    """What one program said that it got.

    Attributes:
        who: `app`, or a program of `exec.d`.
        arguments: argv.
        environment: its entries, in order.
        facts: all else, by name.
    """

    who: str
    arguments: tuple[bytes, ...]
    environment: tuple[bytes, ...]
    facts: Mapping[str, bytes]


class Observation(NamedTuple):
    """What came of one start.

    Attributes:
        status: `exit 0`, `signal 15 (SIGTERM)`.
        stdout: what was written there.
        stderr: the same.
        reports: in the order in which they were made.
    """

    status: str
    stdout: bytes
    stderr: bytes
    reports: tuple[Report, ...]


class Unfinished(NamedTuple):
    """A start of which nothing certain can be said.

    Attributes:
        reason: why.
    """

    reason: str


class NotRun(NamedTuple):
    """A case that says nothing on this machine.

    Attributes:
        reason: what is missing.
    """

    reason: str


# What a Go program's own log writes before a line, and what it says at a panic.
_TIME = re.compile(rb"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d ", re.MULTILINE)
_TRACE = re.compile(rb"^goroutine \d+ .*\[running", re.MULTILINE)
_ADDRESS = re.compile(rb"\b0x[0-9a-f]+")

Outcome = Observation | Unfinished | NotRun


class Process(NamedTuple):
    """The process that became the launcher: what the app's is compared with."""

    pid: int
    parent: int
    priority: int


def status_text(code: int) -> str:
    """Return what a `returncode` of `subprocess` says."""
    if code >= 0:
        return f"exit {code}"
    try:
        return f"signal {-code} ({signal.Signals(-code).name})"
    except ValueError:
        return f"signal {-code}"


def steady(output: bytes) -> bytes:
    """Return what was written without what is another one at each start: times, and the addresses of a Go panic."""
    output = _TIME.sub(b"$TIME ", output)
    trace = _TRACE.search(output)
    return output if trace is None else output[: trace.start()] + _ADDRESS.sub(b"$ADDRESS", output[trace.start() :])


def read_reports(data: bytes, process: Process) -> tuple[Report, ...]:
    """Read what the programs of a case wrote, one line each.

    Raises:
        ValueError: that is not what they write.
    """
    try:
        return tuple([_report(ast.literal_eval(line.decode("ascii")), process) for line in data.splitlines()])
    except (SyntaxError, ValueError, KeyError, TypeError, AttributeError, MemoryError, RecursionError) as error:
        raise ValueError(f"no report: {error}") from error


def _report(raw: dict[str, Any], process: Process) -> Report:
    facts: dict[str, bytes] = {"working directory": raw["cwd"]}
    for number, target, info in raw["descriptors"]:
        facts[f"descriptor {number}"] = _target(target) + b" " + _flags(info)
    status = dict([line.split(b":\t", 1) for line in raw["status"].splitlines() if b":\t" in line])
    for name in _STATUS:
        if (value := status.get(name.encode())) is not None:
            facts[_WORDS.get(name, name)] = _mask(value) if name == "SigIgn" else value.strip()
    for line in raw["limits"].splitlines()[1:]:
        facts["limit " + line[:26].decode("ascii").strip().lower()] = b" ".join(line[26:].split())
    for name in ("oom_score_adj", "coredump_filter", "timerslack_ns", "personality"):
        facts[name] = raw[name].strip()
    facts["priority"] = str(raw["priority"] - process.priority).encode()
    facts["scheduler"] = str(raw["scheduler"]).encode()
    # Numbers of processes differ from start to start; what they are to each other must not.
    names = {0: b"outside", process.pid: b"the launcher's own", process.parent: b"the starter's"}
    for what, number in zip(("process", "parent", "process group", "session"), raw["ids"], strict=True):
        facts[what] = names.get(number, b"another one's")
    return Report(raw["who"], tuple(raw["cmdline"].split(b"\0")[:-1]), tuple(raw["environ"].split(b"\0")[:-1]), facts)


def _target(target: bytes) -> bytes:
    """Return what a descriptor leads to, without the number that is another one at each start."""
    kind, bracket, _ = target.partition(b":[")
    if bracket:
        return kind
    return b"/dev/pts/" if target.startswith(b"/dev/pts/") else target


def _flags(info: bytes) -> bytes:
    """Return the flags of fdinfo in octal, but for close-on-exec, which no descriptor has that came through an exec."""
    for line in info.splitlines():
        if line.startswith(b"flags:"):
            return b"%#o" % (int(line.split()[1], 8) & ~0o2000000)
    return b"?"


def _mask(value: bytes) -> bytes:
    return b"%016x" % (int(value, 16) & ~_PYTHONS_OWN)
