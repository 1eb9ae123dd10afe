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


_ENDING = (signal.SIGTERM, signal.SIGHUP)


class _Stopped(BaseException):
    """A signal came. Not an Exception: nothing but cleaning up is to be done about it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def scratch_folder(prefix: str) -> Iterator[str]:
    """Make an empty folder for the block; at SIGTERM and SIGHUP the block cleans up before the process ends."""
    here = threading.current_thread() is threading.main_thread()
    ours = [number for number in _ENDING if here and signal.getsignal(number) == signal.SIG_DFL]
    try:
        with tempfile.TemporaryDirectory(prefix=prefix) as folder:
            for number in ours:
                signal.signal(number, _stop)
            yield folder
    except _Stopped as stopped:
        signal.signal(stopped.number, signal.SIG_DFL)
        os.kill(os.getpid(), stopped.number)  # whoever waits for the process is to see what ended it
        raise
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def _stop(number: int, _frame: object) -> None:
    for other in _ENDING:
        signal.signal(other, signal.SIG_IGN)  # a second one does not interrupt the cleaning up
    raise _Stopped(number)
