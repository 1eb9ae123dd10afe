"""How many redirects are followed: five, and not one more."""

from __future__ import annotations

import pytest
from asking import BLOB, BLOB_PATH, DESCRIPTOR, LIMIT, Time, client, fails, serve, store
from registries import Reply, Request, hostile

FOLLOWED = 5


def _through(steps: int) -> Reply:
    return Reply("307 Temporary Redirect", headers={"Location": f"/step/{steps}"}) if steps else Reply(body=BLOB)


@pytest.mark.parametrize("steps", range(FOLLOWED + 1))
def test_followed(steps: int) -> None:
    """As many redirects as are allowed lead to the blob, each asked for once."""

    def answer(request: Request) -> Reply:
        if request.path == BLOB_PATH:
            return _through(steps)
        if request.path.startswith("/step/"):
            return _through(int(request.path.removeprefix("/step/")) - 1)
        return serve(request)

    with hostile(answer) as server, client(Time()) as registry:
        assert store(registry, server).fetch(DESCRIPTOR, LIMIT) == BLOB
        assert [path for path in server.paths() if path.startswith("/step/")] == [
            f"/step/{left}" for left in range(steps, 0, -1)
        ]


def test_not_followed() -> None:
    """One redirect more is refused, and what it leads to is not asked for."""

    def answer(request: Request) -> Reply:
        if request.path == BLOB_PATH:
            return _through(FOLLOWED + 1)
        return _through(int(request.path.removeprefix("/step/")) - 1) if "/step/" in request.path else serve(request)

    with hostile(answer) as server, client(Time()) as registry:
        with fails("unreachable", f"{server.host} redirects more than {FOLLOWED} times"):
            store(registry, server).fetch(DESCRIPTOR, LIMIT)
        assert [path for path in server.paths() if path.startswith("/step/")] == [
            f"/step/{left}" for left in range(FOLLOWED + 1, 1, -1)
        ]
