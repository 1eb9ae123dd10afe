"""A folder for a command's own files, which is gone when the command ends, by whatever may be waited for."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Stopped(BaseException):
    """SIGTERM came. Not an Exception: nothing but cleaning up is to be done about it."""


@contextmanager
def scratch_folder(prefix: str) -> Iterator[str]:
    """Make an empty folder for the block; at SIGTERM the block cleans up before the process ends."""
    previous = signal.getsignal(signal.SIGTERM)
    ours = previous == signal.SIG_DFL and threading.current_thread() is threading.main_thread()
    try:
        with tempfile.TemporaryDirectory(prefix=prefix) as folder:
            if ours:
                signal.signal(signal.SIGTERM, _stop)
            yield folder
    except _Stopped:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)  # whoever waits for the process is to see what ended it
        raise
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _stop(_number: int, _frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one does not interrupt the cleaning up
    raise _Stopped
