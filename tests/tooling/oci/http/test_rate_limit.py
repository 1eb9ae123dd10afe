"""Registries that limit how often they are asked: everybody gets through, later."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from asking import (
    BLOB,
    BLOB_PATH,
    CONFIG_DATA,
    CONFIG_DESCRIPTOR,
    DESCRIPTOR,
    LIMIT,
    MANIFEST_DATA,
    MANIFEST_TYPE,
    Time,
    always,
    client,
    fails,
    in_turn,
    serve,
    store,
)
from hypothesis import given
from hypothesis import strategies as st
from registries import Reply, Request, hostile

from metalauncher.tooling.oci.http.deadlines import Deadline, TransportError
from metalauncher.tooling.oci.http.rate_limit import FIRST_GAP, LEFT_ALONE, LONGEST_GAP, LONGEST_PAUSE, Pace, Turn
from metalauncher.tooling.oci.sources.registry import REFUSALS

MANIFEST = Reply(body=MANIFEST_DATA, headers=MANIFEST_TYPE)


def _limited(**headers: str) -> Reply:
    return Reply(
        "429 Too Many Requests",
        b'{"errors": [{"code": "TOOMANYREQUESTS", "message": "slow down"}]}',
        {name.replace("_", "-"): value for name, value in headers.items()},
    )


class _Bucket:
    """Lets so many requests a second through, by a clock that only the client moves."""

    def __init__(self, time: Time, rate: float, size: float) -> None:
        self.time, self.rate, self.size = time, rate, size
        self.left, self.at, self.refused = size, time.now, 0
        self.lock = threading.Lock()

    def __call__(self, request: Request) -> Reply:
        with self.lock:
            self.left = min(self.size, self.left + (self.time.now - self.at) * self.rate)
            self.at = self.time.now
            if self.left < 1:
                self.refused += 1
                return _limited()
            self.left -= 1
        return serve(request)


def test_gets_through_as_fast_as_it_may() -> None:
    """A hundred requests to a registry that takes ten a second: all answered, in not much more than their time."""
    time = Time()
    bucket = _Bucket(time, rate=10, size=10)
    with hostile(bucket) as server, client(time) as registry:
        for _ in range(100):
            assert store(registry, server).top()[1] == MANIFEST_DATA
    assert time.now - 1000 < 30  # 9 s would do without any search for the pace
    assert 0 < bucket.refused < 40


def test_slows_down_for_all_threads() -> None:
    """One that is told to wait makes all wait: nobody asks before the time."""
    lock, asked = threading.Lock(), []

    def answer(request: Request) -> Reply:
        with lock:
            asked.append(request.path)
            if len(asked) == 1:
                return _limited(Retry_After="2")
        return serve(request)

    slept: list[float] = []
    with (
        hostile(answer) as server,
        client(sleep=slept.append, seconds=60, read_seconds=20) as registry,
        ThreadPoolExecutor(8) as pool,
    ):
        store(registry, server).top()
        list(pool.map(lambda _: store(registry, server).top(), range(8)))
    assert slept
    assert max(slept) > 1.5
    assert len(asked) == 10


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "0.5"}, 0.5),
        ({"Retry-After": "Thu, 01 Jan 1970 00:00:09 GMT"}, 9.0),
        # The server's own clock says when its date has come.
        ({"Retry-After": "Thu, 01 Jan 2026 00:00:09 GMT", "Date": "Thu, 01 Jan 2026 00:00:05 GMT"}, 4.0),
        ({"Retry-After": "0"}, 0.5),
        ({"Retry-After": "soon"}, 0.5),
        ({}, 0.5),
        ({"Retry-After": "59"}, 59.0),
        ({"Retry-After": "60"}, 60.0),  # as long as --timeout is not longer
    ],
)
def test_waits_as_long_as_it_says(headers: dict[str, str], seconds: float) -> None:
    """By seconds, or by a date; where it does not say, a little."""
    time = Time()
    with (
        hostile(in_turn(Reply("429 Too Many Requests", headers=headers), MANIFEST)) as server,
        client(time) as registry,
    ):
        assert store(registry, server).top()[1] == MANIFEST_DATA
    assert time.slept == [seconds]


@pytest.mark.parametrize("took", [0.0, 3.0])
def test_waits_as_long_as_it_may(took: float) -> None:
    """For a host that asks for the whole of --timeout, also where the answer took its time, and where several asked."""
    time = Time()
    pace = Pace(60, time.clock, time.sleep, lambda: 0.0)
    deadlines = [Deadline(60, time.clock) for _ in range(3)]
    turns = [pace.enter("h", deadline) for deadline in deadlines]
    for turn in turns:
        time.now += took
        assert pace.limited(turn, 60)
    turn = pace.enter("h", deadlines[0])
    assert time.now == 1000 + 3 * took + 60
    assert pace.limited(turn, 60)
    with pytest.raises(TransportError, match="h accepts no requests for longer than --timeout, 60 seconds"):
        pace.enter("h", deadlines[0])
    # Once it has answered, it may ask for as long again.
    pace.answered(turn)
    time.now += 60
    turn = pace.enter("h", deadlines[1])
    time.now += took
    assert pace.limited(turn, 60)
    pace.enter("h", deadlines[1])


def test_tries_more_often_than_it_would_after_failures() -> None:
    """Ten times too much in a row is no reason to give up."""
    time = Time()
    replies = [_limited(Retry_After="3")] * 10
    with hostile(in_turn(*replies, MANIFEST)) as server, client(time) as registry:
        assert store(registry, server).top()[1] == MANIFEST_DATA
        assert len(server.asked()) == 11


def test_gives_up_when_nobody_gets_through() -> None:
    """With the registry's words, once it has answered nothing else for as long as --timeout says."""
    time = Time()
    with hostile(always(_limited())) as server, client(time, seconds=20) as registry:
        closed = f"{server.host} accepts no requests for longer than --timeout, 20 seconds"
        said = f"{server.host} answered 429 Too Many Requests (TOOMANYREQUESTS: slow down)"
        with fails("unreachable", f"{said}: {closed}"):
            store(registry, server).top()
        assert 10 < time.now - 1000 <= 20


def test_waits_for_ever_while_others_get_through() -> None:
    """Thirty refusals a minute apart are waited out as long as the registry answers somebody between them."""
    time = Time()
    replies = [reply for _ in range(30) for reply in (_limited(Retry_After="55"), MANIFEST)]
    with hostile(in_turn(*replies)) as server, client(time) as registry:
        for _ in range(30):
            assert store(registry, server).top()[1] == MANIFEST_DATA


def test_waits_for_a_token_server() -> None:
    """It may be limited as well; the registry itself is not slowed down by that."""
    time = Time()
    with hostile(in_turn(_limited(Retry_After="5"), Reply(body=b'{"token": "t"}'))) as tokens:
        challenge = {"WWW-Authenticate": f'Bearer realm="http://{tokens.host}/token"'}

        def answer(request: Request) -> Reply:
            return serve(request) if "Authorization" in request.headers else Reply("401 No", headers=challenge)

        with hostile(answer) as server, client(time) as registry:
            assert store(registry, server).top()[1] == MANIFEST_DATA
        assert len(tokens.requests) == 2
    assert time.slept == [5.0]


def test_waits_for_a_storage_service() -> None:
    """It is the one that redirects lead to; its 503 with a `Retry-After` means the same."""
    time = Time()
    busy = Reply("503 Slow Down", headers={"Retry-After": "4"})
    with hostile(in_turn(busy, Reply(body=BLOB))) as storage:
        location = {"Location": f"http://{storage.host}/x"}
        redirect = Reply("307 Temporary Redirect", headers=location)
        with hostile(lambda r: redirect if r.path == BLOB_PATH else serve(r)) as server, client(time) as registry:
            assert store(registry, server).fetch(DESCRIPTOR, LIMIT) == BLOB
            assert store(registry, server).fetch(CONFIG_DESCRIPTOR, LIMIT) == CONFIG_DATA
    assert time.slept == [4.0]


def test_waits_twice_at_most_for_a_mirror() -> None:
    """There is somebody else to ask."""
    time = Time()
    with hostile(serve) as server, hostile(always(_limited(Retry_After="5"))) as mirror:
        with client(time, mirrors={server.host: (f"http://{mirror.host}",)}) as registry:
            assert store(registry, server).top()[1] == MANIFEST_DATA
        assert len(mirror.requests) == 2
    assert time.slept == [5.0]


class _Hand(Time):
    """A clock, and a pace by it."""

    def __init__(self, seconds: float = 60) -> None:
        super().__init__()
        self.pace = Pace(seconds, self.clock, self.sleep, lambda: 1.0)

    def enter(self, host: str = "h") -> Turn:
        return self.pace.enter(host, Deadline(60, self.clock))


def test_costs_nothing_before_anybody_complains() -> None:
    """Nobody waits."""
    hand = _Hand()
    for _ in range(1000):
        hand.pace.answered(hand.enter())
    assert hand.slept == []


def test_slows_down_once_for_those_who_asked_together() -> None:
    """Sixteen that are refused at once are one refusal."""
    hand = _Hand()
    turns = [hand.enter() for _ in range(16)]
    for turn in turns:
        hand.pace.limited(turn, 0)
    waits = []
    for _ in range(16):
        before = hand.now
        hand.enter()
        waits.append(round(hand.now - before, 6))
    assert waits == [0.5, *[FIRST_GAP] * 15]
    assert _Hand().enter("other").host == "other"


def test_puts_a_deadline_off_by_what_was_waited() -> None:
    """To wait for one's turn is no part of the time that an answer may take."""
    hand = _Hand()
    hand.pace.limited(hand.enter(), 40)
    deadline = Deadline(5, hand.clock)
    hand.pace.enter("h", deadline)
    assert (hand.slept, deadline.remaining()) == ([40], 5)


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 59)), max_size=60), st.floats(0, 1))
def test_comes_back_to_its_pace(events: list[tuple[bool, float]], chance: float) -> None:
    """Whatever happened: no wait is longer than was asked for, and after enough answers nobody waits any more."""
    time = Time()
    pace = Pace(60, time.clock, time.sleep, lambda: chance)
    for refused, wait in events:
        turn = pace.enter("h", Deadline(60, time.clock))
        if refused:
            pace.limited(turn, wait)
        else:
            pace.answered(turn)
        pace.answered(pace.enter("h", Deadline(60, time.clock)))
        assert (time.slept or [0])[-1] <= max(wait, LONGEST_PAUSE, LONGEST_GAP) + 0.001
    for _ in range(200):
        pace.answered(pace.enter("h", Deadline(60, time.clock)))
    time.slept.clear()
    pace.answered(pace.enter("h", Deadline(60, time.clock)))
    assert time.slept == []


def test_stops_nobody_else_for_one_that_can_not_be_waited_for() -> None:
    """A repository that is closed for a day leaves the others as they are, at their pace."""
    time = Time()
    closed = Reply("429 Too Many Requests", headers={"Retry-After": "86400"})
    with hostile(lambda r: closed if "/closed/" in r.path else serve(r)) as server, client(time) as registry:
        reason = f"{server.host} answered 429 Too Many Requests: it asks to wait for longer than --timeout"
        for _ in range(2 * LEFT_ALONE):
            with fails("unreachable", reason):
                store(registry, server, "closed/app:1").top()
            assert store(registry, server).top()[1] == MANIFEST_DATA
    assert time.slept == []


def test_leaves_alone_who_says_so_to_all() -> None:
    """After a number of refusals, and nothing else, it is asked no more."""
    time = Time()
    with hostile(always(_limited(Retry_After="86400"))) as server, client(time) as registry:
        said = f"{server.host} answered 429 Too Many Requests (TOOMANYREQUESTS: slow down)"
        for number in range(2 * LEFT_ALONE):
            reason = f"{said}: it asks to wait for longer than --timeout"
            if number >= LEFT_ALONE:
                reason = f"{server.host} accepts no requests for longer than --timeout, 60 seconds"
            with fails("unreachable", reason):
                store(registry, server).top()
        assert len(server.asked()) == LEFT_ALONE
    assert time.slept == []


def test_gives_up_what_alone_is_refused() -> None:
    """One repository that is refused again and again, while another gets through each time, has its number of tries."""
    time = Time()
    within: list[bool] = []

    def sleep(seconds: float) -> None:
        time.sleep(seconds)
        if not within:
            within.append(True)
            assert store(registry, server).top()[1] == MANIFEST_DATA
            within.clear()

    with (
        hostile(lambda r: _limited(Retry_After="30") if "/closed/" in r.path else serve(r)) as server,
        client(time, sleep=sleep) as registry,
    ):
        said = f"{server.host} answered 429 Too Many Requests (TOOMANYREQUESTS: slow down)"
        with fails("unreachable", said):
            store(registry, server, "closed/app:1").top()
        assert len([path for path in server.paths() if "/closed/" in path]) == REFUSALS


def test_says_who_lets_nobody_through() -> None:
    """Also to those who never asked."""
    hand = _Hand(seconds=10)
    for _ in range(LEFT_ALONE):
        assert not hand.pace.limited(hand.enter(), 11)
    with pytest.raises(
        TransportError, match=r"^h accepts no requests for longer than --timeout, 10 seconds$"
    ) as caught:
        hand.enter()
    assert (caught.value.retryable, caught.value.limited, hand.slept) == (False, True, [])
