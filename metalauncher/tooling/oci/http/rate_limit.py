"""How fast each host may be asked: as it likes until it says that this is too much, then slower, for all threads.

A registry that limits how often it is asked answers 429, perhaps with a `Retry-After`. Nobody asks it before that time,
and then one after the other; each answer lets the next come a little earlier, each new 429 takes twice as long. So a
fleet of any size gets through, as fast as the registry likes. One that wants to be left alone for longer than anybody
waits may mean a single repository: that stops nobody else before it has said so many times. Knows no HTTP.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, NamedTuple

from metalauncher.tooling.oci.http.deadlines import TransportError

if TYPE_CHECKING:
    from collections.abc import Callable

    from metalauncher.tooling.oci.http.deadlines import Deadline

FIRST_PAUSE: Final = 0.5  # seconds, where the host does not say how long; twice as much after each other 429
LONGEST_PAUSE: Final = 10.0
FIRST_GAP: Final = 0.02  # seconds from one request to the next after a first 429
LONGEST_GAP: Final = 5.0
SHORTEST_GAP: Final = 0.001  # below that it is as if there were none
LEFT_ALONE: Final = 32  # times that a host says so, and nothing else, after which it is asked no more
RECOVERY: Final = 0.93  # what each answer leaves of a gap


class Turn(NamedTuple):
    """The right to ask a host once.

    Attributes:
        host: to ask.
        round: how often that had said that it is asked too much when this was given.
    """

    host: str
    round: int


class _Host:
    """What is known of a host; times are those of the clock."""

    __slots__ = ("answered", "closed", "first", "gap", "misses", "next", "refusals", "round", "since")

    def __init__(self) -> None:
        self.closed = 0.0  # nobody asks before
        self.next = 0.0  # the next may ask
        self.gap = 0.0  # between two
        self.round = 0
        self.misses = 0  # rounds without an answer between them
        self.refusals = 0  # answers that it is to be left alone for too long, and none of another kind between them
        self.answered = float("-inf")  # the last time that it did
        self.first: int | None = None  # the round after that in which it said that it is asked too much
        self.since = float("-inf")  # when it did, to the last of those who asked together


class Pace:
    """The pace of all hosts; threads share it."""

    def __init__(
        self,
        seconds: float,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        chance: Callable[[], float],
    ) -> None:
        """Take how long to wait.

        Args:
            seconds: for a host that answers nobody but with 429.
            clock: seconds, of any beginning.
            sleep: wait for seconds.
            chance: 0 to 1, so that several clients don't come back all at once.
        """
        self._seconds = seconds
        self._clock = clock
        self._sleep = sleep
        self._chance = chance
        self._lock = threading.Lock()
        self._hosts: dict[str, _Host] = {}

    def enter(self, host: str, deadline: Deadline) -> Turn:
        """Wait until a host may be asked; the deadline is put off by that time.

        Raises:
            TransportError: it may not for longer than is to be waited for anybody.
        """
        while True:
            with self._lock:
                state = self._hosts.setdefault(host, _Host())
                now = self._clock()
                begun = max(deadline.began, state.answered, state.since)
                if state.closed > now and state.closed > begun + self._seconds:
                    raise TransportError(
                        f"{host} accepts no requests for longer than --timeout, {self._seconds:g} seconds",
                        retryable=False,
                        limited=True,
                    )
                at = max(now, state.closed, state.next)
                state.next = at + state.gap
                turn = Turn(host, state.round)
            if at > now:
                self._sleep(at - now)
                deadline.put_off(at - now)
                with self._lock:
                    if state.round != turn.round and state.closed > self._clock():
                        continue  # somebody was told in the meantime that it is too much
            return turn

    def limited(self, turn: Turn, wait: float) -> bool:
        """Take to heart that a host was asked too much; return whether that can be waited out.

        Args:
            turn: that it was asked in.
            wait: seconds that it wants to be left alone; 0 where it does not say.
        """
        with self._lock:
            state = self._hosts[turn.host]
            now = self._clock()
            if state.first is None:
                state.first = turn.round
            if state.first == turn.round:
                state.since = now
            if wait > self._seconds:
                state.refusals += 1
                if state.refusals >= LEFT_ALONE:
                    state.closed = max(state.closed, now + wait)
                return False
            if turn.round == state.round:  # else those who asked at the same time have slowed down already
                state.round += 1
                pause = min(FIRST_PAUSE * 2.0**state.misses, LONGEST_PAUSE) * (0.5 + self._chance() / 2)
                state.misses = min(state.misses + 1, 16)
                state.gap = min(max(state.gap * 2, FIRST_GAP), LONGEST_GAP)
                wait = wait or pause
            state.closed = max(state.closed, now + wait)
            state.next = state.closed
            return True

    def answered(self, turn: Turn) -> None:
        """Take to heart that a host gave what it was asked for."""
        with self._lock:
            state = self._hosts[turn.host]
            state.answered = self._clock()
            state.misses = state.refusals = 0
            state.first = None
            state.gap = state.gap * RECOVERY if state.gap > SHORTEST_GAP else 0.0
