"""Look at many apps at a time, and give each answer as soon as it is there. Knows no image and no report.

Threads wait for registries; what they find passes through a queue that holds a few, so that nothing but the answers
themselves grows with the fleet.
"""

from __future__ import annotations

import contextlib
import queue
import signal
import threading
import time
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from metalauncher.tooling.console import Unable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import FrameType

Answer = TypeVar("Answer")

JOBS: Final = 16
# Bytes of a thread's stack. CPython 3.13 reads JSON that is nested 10,000 deep before it refuses it, and takes over
# 1 MiB for that; what is not touched costs nothing.
_STACK = 8 << 20
_LEAVE = 2.0  # seconds for those at work to come to an end
_PATIENCE = 0.2  # seconds between two looks at whether to stop, and between two lines of progress


class Interruption:
    """Whether somebody asked to stop: Ctrl-C, or the system with SIGTERM.

    It is only noted, so that no line is cut off by it; whoever works looks at it. A second one ends the program.
    """

    def __init__(self) -> None:
        """Begin with nobody having asked."""
        self.signal: int | None = None

    def __bool__(self) -> bool:
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """As a shell reports it."""
        return 128 + (self.signal or 0)


@contextlib.contextmanager
def interruptible() -> Iterator[Interruption]:
    """Note the first SIGINT or SIGTERM from here on."""
    interruption = Interruption()
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    def note(number: int, frame: FrameType | None) -> None:
        del frame
        restore()
        interruption.signal = number

    for number in previous:
        signal.signal(number, note)
    try:
        yield interruption
    finally:
        restore()


def check_all(
    apps: Sequence[str],
    check: Callable[[str], Answer],
    take: Callable[[Answer], object],
    *,
    defect: Callable[[str, str], Answer],
    jobs: int = JOBS,
    progress: Callable[[], None] = lambda: None,
    interruption: Interruption | None = None,
) -> None:
    """Check apps, several at a time, until all are checked or somebody asks to stop.

    Args:
        apps: their references.
        check: finds out about one; called from several threads.
        take: is given each answer, in this thread.
        defect: makes the answer about an app of what `check` raised, but Unable: one odd image must not keep the
            answers about all the others from anybody.
        jobs: how many at a time.
        progress: called several times a second, in this thread.
        interruption: where it is noted that somebody asked to stop.

    Raises:
        Unable: `check` can't go on, with no app.
    """
    crew = _Crew(apps, check, defect, max(1, min(jobs, len(apps))))
    stop = Interruption() if interruption is None else interruption
    shown = 0.0
    try:
        crew.start()
        for _ in apps:
            outcome = None
            while outcome is None:
                if stop:
                    return
                outcome = crew.next()
                if outcome is None:
                    progress()
            if isinstance(outcome, Unable):
                raise outcome
            take(outcome)
            now = time.monotonic()
            if now - shown >= _PATIENCE:
                progress()
                shown = now
    finally:
        crew.stop()


class _Crew(Generic[Answer]):
    """The threads. At the end they are waited for only a moment: they may be waiting for a registry themselves."""

    def __init__(
        self,
        apps: Sequence[str],
        check: Callable[[str], Answer],
        defect: Callable[[str, str], Answer],
        jobs: int,
    ) -> None:
        self._apps: Final = iter(apps)
        self._check: Final = check
        self._defect: Final = defect
        self._jobs: Final = jobs
        self._done: Final = queue.Queue[Answer | Unable](2 * jobs)
        self._stopped: Final = threading.Event()
        self._lock: Final = threading.Lock()
        self._threads: Final[list[threading.Thread]] = []

    def start(self) -> None:
        before = threading.stack_size(_STACK)
        try:
            for _ in range(self._jobs):
                thread = threading.Thread(target=self._work, daemon=True)
                thread.start()
                self._threads.append(thread)
        finally:
            threading.stack_size(before)

    def stop(self) -> None:
        self._stopped.set()
        deadline = time.monotonic() + _LEAVE
        for thread in self._threads:
            thread.join(max(deadline - time.monotonic(), 0))

    def next(self) -> Answer | Unable | None:
        """Return what is ready, None if nothing is for a while."""
        try:
            return self._done.get(timeout=_PATIENCE)
        except queue.Empty:
            return None

    def _work(self) -> None:
        while not self._stopped.is_set():
            with self._lock:
                app = next(self._apps, None)
            if app is None:
                return
            self._put(self._outcome(app))

    def _outcome(self, app: str) -> Answer | Unable:
        try:
            return self._check(app)
        except Unable as unable:
            return unable
        except Exception as error:
            return self._defect(app, f"a defect in metalauncher: {type(error).__name__}: {error}")

    def _put(self, outcome: Answer | Unable) -> None:
        while not self._stopped.is_set():
            with contextlib.suppress(queue.Full):
                self._done.put(outcome, timeout=_PATIENCE)
                return
