"""What a program that was started takes: its processor time, and the most memory that it held itself."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import time
from pathlib import Path

_PATIENCE = 0.02  # seconds between two looks
_HELD = re.compile(r"^VmHWM:\s+([0-9]+) kB$", re.MULTILINE)


def wait(process: subprocess.Popen[bytes]) -> tuple[resource.struct_rusage, int]:
    """Wait for a program; return what the system counted of it, and bytes of memory.

    The system's own figure, ru_maxrss, begins with what the program held that started it (Linux, fs/exec.c,
    `exec_mmap`): a benchmark that made a fleet before would measure itself.
    """
    most = 0
    while True:
        number, status, usage = os.wait4(process.pid, os.WNOHANG)
        if number:
            process.returncode = os.waitstatus_to_exitcode(status)
            return usage, most
        held = _HELD.search(Path(f"/proc/{process.pid}/status").read_text())  # none once it has ended
        most = max(most, int(held[1]) << 10 if held else 0)
        time.sleep(_PATIENCE)
