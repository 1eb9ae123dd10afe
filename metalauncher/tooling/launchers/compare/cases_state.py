"""How an app ends, and what it inherits besides arguments and environment."""

from __future__ import annotations

import signal

from metalauncher.tooling.launchers.compare.case import (
    LAUNCHER,
    Apis,
    Case,
    File,
    State,
    by_launcher,
    in_shell,
    metadata,
    process,
    shell,
    simple,
)

_DEADLY = (
    "HUP",
    "INT",
    "QUIT",
    "ILL",
    "TRAP",
    "ABRT",
    "BUS",
    "FPE",
    "KILL",
    "USR1",
    "SEGV",
    "USR2",
    "PIPE",
    "ALRM",
    "TERM",
    "STKFLT",
    "XCPU",
    "XFSZ",
    "VTALRM",
    "PROF",
    "IO",
    "PWR",
    "SYS",
)
_SIGNALS = (
    "HUP",
    "INT",
    "QUIT",
    "USR1",
    "USR2",
    "PIPE",
    "ALRM",
    "TERM",
    "CHLD",
    "URG",
    "WINCH",
    "TSTP",
    "TTIN",
    "TTOU",
    "XFSZ",
    "PROF",
)
_LIMITS = {
    "nofile": ("RLIMIT_NOFILE", 100, 200),
    "nofile-small": ("RLIMIT_NOFILE", 20, 20),
    "nofile-soft-only": ("RLIMIT_NOFILE", 64, 512),
    "core": ("RLIMIT_CORE", 0, 4096),
    "stack": ("RLIMIT_STACK", 1 << 20, 4 << 20),
    "file-size": ("RLIMIT_FSIZE", 1 << 20, 2 << 20),
    "cpu": ("RLIMIT_CPU", 1000, 2000),
    "locked-memory": ("RLIMIT_MEMLOCK", 1 << 12, 1 << 13),
    "pending-signals": ("RLIMIT_SIGPENDING", 100, 200),
    "message-queues": ("RLIMIT_MSGQUEUE", 1000, 2000),
    "nice": ("RLIMIT_NICE", 0, 0),
    "real-time": ("RLIMIT_RTPRIO", 0, 0),
    "data": ("RLIMIT_DATA", 1 << 30, 2 << 30),
}


def cases(apis: Apis) -> list[Case]:
    """Return them."""
    found = [
        simple(apis, f"exit-status/{status:03}", f"an app that exits with {status}", then=(("exit", status),))
        for status in range(256)
    ]
    found += [
        simple(
            apis,
            f"signal/ended-by-{name.lower()}",
            f"an app that SIG{name} ends",
            then=(("signal", int(getattr(signal, f"SIG{name}"))), ("exit", 77)),
        )
        for name in _DEADLY
        if hasattr(signal, f"SIG{name}")
    ]
    found += [
        in_shell(apis, f"exit-status/shell-{status}", f"{status} through a shell", then=(("exit", status),))
        for status in (0, 1, 2, 82, 126, 127, 128, 255)
    ]
    found.append(in_shell(apis, "signal/shell-ended-by-term", "SIGTERM through a shell", then=(("signal", 15),)))
    return [*found, *_signals(apis), *_descriptors(apis), *_limits(apis), *_others(apis)]


def _signals(apis: Apis) -> list[Case]:
    found: list[Case] = []
    for name in _SIGNALS:
        number = int(getattr(signal, f"SIG{name}"))
        found.append(
            simple(apis, f"signal/blocked-{name.lower()}", f"SIG{name} is blocked", state=State(blocked=(number,)))
        )
        found.append(
            simple(apis, f"signal/ignored-{name.lower()}", f"SIG{name} is ignored", state=State(ignored=(number,)))
        )
    every = tuple([number for number in range(1, 65) if number not in (9, 19, 32, 33)])
    masks = process(apis.platform, "web", ["grep", "-E", "^Sig(Blk|Ign):|^Shd", "/proc/self/status"])
    ask = {"metadata": metadata(apis, masks), "needs": ("grep",)}
    line = "grep -E '^Sig(Blk|Ign):' /proc/self/status"
    by_itself = [b"--", b"grep", b"-E", b"^Sig(Blk|Ign):", b"/proc/self/status"]
    hook = File("layers/acme_one/layer/exec.d/a", f"#!/bin/sh\n{line} >&2\n".encode(), 0o755)
    return [
        *found,
        simple(apis, "signal/blocked-all", "all signals are blocked", state=State(blocked=every)),
        simple(apis, "signal/ignored-all", "all signals are ignored", state=State(ignored=every)),
        simple(apis, "signal/real-time", "signals 34 and 64", state=State(blocked=(34,), ignored=(64,))),
        in_shell(apis, "signal/shell-blocked", "a shell, and signals are blocked", state=State(blocked=(1, 10, 13))),
        in_shell(apis, "signal/shell-ignored", "a shell, and signals are ignored", state=State(ignored=(1, 10))),
        # The app is a Python, which ignores these two before it can look.
        simple(apis, "signal/masks", "the masks of a program that is no Python", **ask),
        simple(
            apis,
            "signal/masks-ignored-pipe",
            "the same, SIGPIPE and SIGXFSZ ignored",
            state=State(ignored=(13, 25)),
            **ask,
        ),
        simple(
            apis,
            "signal/masks-blocked-pipe",
            "the same, SIGPIPE and SIGXFSZ blocked",
            state=State(blocked=(13, 25)),
            **ask,
        ),
        simple(apis, "signal/masks-ignored-all", "the same, all ignored", state=State(ignored=every), **ask),
        in_shell(
            apis,
            "signal/masks-shell",
            "the same in a shell",
            metadata=metadata(apis, shell(apis, line)),
            needs=("bash", "grep"),
        ),
        simple(
            apis,
            "signal/masks-command",
            "the same of the user's own command",
            argv=by_launcher(*by_itself),
            path=LAUNCHER,
            needs=("grep",),
        ),
        simple(apis, "signal/masks-exec.d", "the same of a program of exec.d", items=(hook,), needs=("bash", "grep")),
    ]


def _descriptors(apis: Apis) -> list[Case]:
    def opened(name: str, about: str, *descriptors: tuple[int, str]) -> Case:
        return simple(apis, f"descriptors/{name}", about, state=State(descriptors=descriptors))

    return [
        opened("file", "a file is open as 3", (3, "read")),
        opened("append", "a file is open as 3 to append to", (3, "append")),
        opened("pipe", "a pipe is open as 3", (3, "pipe")),
        opened("several", "3, 4 and 5 are open", (3, "read"), (4, "pipe"), (5, "append")),
        opened("gap", "5 and 9 are open, 3 is not", (5, "read"), (9, "read")),
        opened("high", "200 is open", (200, "read")),
        opened("ten", "3 to 12 are open", *[(number, "read") for number in range(3, 13)]),
        simple(
            apis,
            "descriptors/stdin-closed-and-more",
            "stdin is closed, 3 is open",
            state=State(stdin="closed", descriptors=((3, "read"),)),
        ),
        in_shell(
            apis,
            "descriptors/shell",
            "3 and 10 are open, and a shell",
            state=State(descriptors=((3, "read"), (10, "read"))),
        ),
    ]


def _limits(apis: Apis) -> list[Case]:
    found = [
        simple(apis, f"limits/{name}", f"{limit[0]} is {limit[1]}, {limit[2]} at most", state=State(limits=(limit,)))
        for name, limit in _LIMITS.items()
    ]
    several = tuple([_LIMITS[name] for name in ("nofile", "core", "cpu", "stack")])
    return [
        *found,
        simple(apis, "limits/several", "several at once", state=State(limits=several)),
        in_shell(apis, "limits/shell", "several at once, and a shell", state=State(limits=several)),
    ]


def _others(apis: Apis) -> list[Case]:
    return [
        *[
            simple(apis, f"state/umask-{umask:03o}", f"a umask of {umask:03o}", state=State(umask=umask))
            for umask in (0, 0o077, 0o777)
        ],
        simple(apis, "state/priority", "a nice value of 5", state=State(priority=5)),
        simple(apis, "state/directory", "started in the root", state=State(directory="")),
        in_shell(apis, "state/shell", "umask and priority, and a shell", state=State(umask=0o027, priority=3)),
    ]
