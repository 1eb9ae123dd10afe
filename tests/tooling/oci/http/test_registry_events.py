"""What the registry client tells on the way: events of docs/reference/events.md."""

from __future__ import annotations

from typing import Any

from asking import BLOB, DESCRIPTOR, Time, client, in_turn, serve, store
from registries import Reply, hostile


def test_registries() -> None:
    """A registry that is asked again, or asked too much, and a mirror that is passed over."""
    found: list[tuple[str, dict[str, Any]]] = []

    def note(event: str, **fields: Any) -> None:
        found.append((event, fields))

    busy, broken, absent = Reply("429 Too Many Requests"), Reply("503 Service Unavailable"), Reply("404 Not Found")
    with hostile(in_turn(busy, broken, Reply(body=BLOB))) as server, hostile(lambda _: absent) as mirror:
        mirrors = {server.host: (f"http://{mirror.host}",)}
        with client(Time(), mirrors=mirrors, note=note) as registry:
            assert store(registry, server).fetch(DESCRIPTOR, len(BLOB)) == BLOB
    assert found == [
        ("mirror-passed-over", {"host": mirror.host, "reason": f"{mirror.host} has no such blob"}),
        ("request-delayed", {"host": server.host, "reason": f"{server.host} answered 429 Too Many Requests"}),
        (
            "request-retried",
            {"host": server.host, "reason": f"{server.host} answered 503 Service Unavailable", "failed": 1},
        ),
    ]
    with hostile(serve) as server, client(Time(), note=note) as registry:
        store(registry, server).fetch(DESCRIPTOR, len(BLOB))
    assert len(found) == 3
