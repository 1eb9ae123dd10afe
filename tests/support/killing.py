"""`kill -9` a command at chosen moments, each time in a process of its own; one JSON line for each on stdout.

`python killing.py TIMES -- ARGUMENT...` kills at TIMES moments drawn over the command's whole run;
`python killing.py steps -- ARGUMENT...` kills before every single change of the file system, and ends when the command
got through. Between two of them `python killing.py` waits for a line on stdin: the caller looks at what is left.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from metalauncher.explain.cli import run

CHANGES = ("rename", "unlink", "mkdir", "rmdir", "chmod", "fchmod", "fsync")


def command(arguments: list[str]) -> int:
    """Run the command, its output thrown away."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (1, 2):
        os.dup2(null, descriptor)
    return run([os.fsencode(argument) for argument in arguments], [], b"metalauncher", None)


def in_child(body: Callable[[], int]) -> int:
    """Return the id of a process that runs `body`."""
    child = os.fork()
    if not child:
        status = 70
        try:
            status = body()
        finally:
            os._exit(status)
    return child


def timed(arguments: list[str], delay: float) -> int:
    """Kill after `delay` seconds; return the exit code, negative for a signal."""
    child = in_child(lambda: command(arguments))
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def stepped(arguments: list[str], step: int) -> int:
    """Kill before the change number `step`."""
    left = [step]

    def count(change: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*given: Any, **named: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return change(*given, **named)

        return counted

    def body() -> int:
        for name in CHANGES:
            setattr(os, name, count(getattr(os, name)))
        return command(arguments)

    return os.waitstatus_to_exitcode(os.waitpid(in_child(body), 0)[1])


def report(status: int) -> None:
    """Say how it ended, and wait until the caller has looked."""
    print(json.dumps(status), flush=True)
    sys.stdin.readline()


def main() -> None:
    """Kill as asked."""
    how, _, *arguments = sys.argv[1:]
    if how == "steps":
        step, status = 0, -signal.SIGKILL
        while status < 0:
            status = stepped(arguments, step)
            report(status)
            step += 1
        return
    begin = time.perf_counter()
    timed(arguments, 0)  # the modules are loaded by now
    os.waitpid(in_child(lambda: command(arguments)), 0)
    whole = time.perf_counter() - begin
    report(0)
    draw = random.Random(5)
    for _ in range(int(how)):
        report(timed(arguments, draw.uniform(0, whole * 1.1)))


main()
