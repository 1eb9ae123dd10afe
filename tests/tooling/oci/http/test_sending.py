"""Bodies are sent in bounded time: as slowly as is allowed, and not to somebody who does not take them."""

from __future__ import annotations

import io
import time as real_time

import pytest
from asking import Time, client, fails
from registries import MANIFEST, Reply, Request, hostile

from metalauncher.tooling.oci.http.deadlines import SLOWEST, Deadline, Sending
from metalauncher.tooling.oci.reference import Reference


@pytest.mark.parametrize("pace", [SLOWEST, SLOWEST // 2])
def test_each_block_that_went_puts_the_end_off(pace: int) -> None:
    """At the slowest pace that is allowed a body is sent whole, however long that takes; below it is not."""
    time = Time()
    sending = Sending(io.BytesIO(bytes(100 * SLOWEST)), 100 * SLOWEST, Deadline(10, time.clock))
    sent = 0
    try:
        while block := sending.read(SLOWEST):
            sent += len(block)
            time.now += len(block) / pace
    except TimeoutError:
        assert pace < SLOWEST
        assert sent == 10 * SLOWEST
    else:
        assert pace == SLOWEST
        assert sent == 100 * SLOWEST


def test_sends_no_more_than_it_says() -> None:
    """Of a source that has more."""
    sending = Sending(io.BytesIO(b"0123456789"), 4, Deadline(10, Time().clock))
    assert [sending.read(3), sending.read(3), sending.read(3)] == [b"012", b"3", b""]


def test_gives_up_on_who_takes_nothing() -> None:
    """A registry that reads no body: a few tries, and none waits for longer than there is."""

    def never(_: Request) -> Reply:
        return Reply(raw=True, body=iter([600.0]))

    began = real_time.monotonic()
    with (
        hostile(never, taken=lambda _: 0) as server,
        client(connect_seconds=0.3) as registry,
        fails("unreachable", f"{server.host} did not answer in time"),
    ):
        registry.destination(Reference.parse(f"{server.host}/org/app:1")).put_manifest(MANIFEST, bytes(32 << 20))
    assert real_time.monotonic() - began < 10
