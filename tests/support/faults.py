"""What registries do to whoever writes to them: faults, and tokens without which they take nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from urllib.parse import parse_qsl, urlsplit

from asking import SECRET
from keeping import Cut, Fault, Faults, Kept, Lost, error
from registries import Reply, Request, basic

_REPOSITORY = re.compile(r"/v2/(.+)/(?:manifests|blobs|referrers|sessions)/")


def every(number: int, fault: Fault) -> Callable[[Request, int], Fault]:
    """Return faults that come every so many requests."""
    return lambda _, count: fault if count % number == 0 else None


def once(method: str, path: str, fault: Fault, times: int = 1) -> Callable[[Request, int], Fault]:
    """Return a fault that comes the first times that something is asked."""
    left = times

    def faults(request: Request, _: int) -> Fault:
        nonlocal left
        if left and request.method == method and re.search(path, request.path):
            left -= 1
            return fault
        return None

    return faults


FAULTS: dict[str, Callable[[], Callable[[Request, int], Fault]]] = {
    "429": lambda: every(25, Reply("429 Too Many Requests", headers={"Retry-After": "0"})),
    "500": lambda: every(9, Reply("500 Internal Server Error")),
    "503": lambda: every(11, Reply("503 Service Unavailable")),
    "lost answers": lambda: every(9, Lost()),
    "cut": lambda: every(9, Cut(100)),
    "lost tag": lambda: once("PUT", "manifests/[0-9]", Lost(), 3),
    "lost manifest": lambda: once("PUT", "manifests/sha256", Lost(), 3),
    "lost upload": lambda: once("PUT", "sessions", Lost(), 3),
    "no mount": lambda: once("POST", "mount=", error("403 Forbidden", "DENIED"), 99),
    "half a manifest": lambda: once("PUT", "manifests/sha256", error("400 Bad Request", "MANIFEST_INVALID"), 1),
}


class Tokens:
    """A token server, and a registry that wants its tokens.

    Attributes:
        asked: for which scopes.
        refused: scopes that it gives no token for.
    """

    def __init__(self) -> None:
        """Give a token for everything."""
        self.asked: list[list[str]] = []
        self.refused: set[str] = set()
        self.kept = Kept()

    def give(self, request: Request) -> Reply:
        """Give a token that names its scopes."""
        assert request.headers["Authorization"] == basic("ann", SECRET)
        scopes = [value for name, value in parse_qsl(urlsplit(request.path).query) if name == "scope"]
        self.asked.append(scopes)
        if self.refused & set(scopes):
            return Reply("403 Forbidden")
        return Reply(body=json.dumps({"token": "+".join(scopes), "expires_in": 3600}).encode())

    def want(self, realm: str) -> Faults:
        """Want a token that is for what is asked."""

        def want(request: Request, _: int) -> Fault:
            scopes = request.headers.get("Authorization", "").removeprefix("Bearer ").split("+")
            right = "pull" if request.method in {"GET", "HEAD"} else "pull,push"
            match = _REPOSITORY.match(request.path)
            assert match
            ours = {f"repository:{match[1]}:{right}", f"repository:{match[1]}:pull,push"}
            if ours & set(scopes):
                return None
            return Reply("401 Unauthorized", headers={"WWW-Authenticate": f'Bearer realm="{realm}",service="s"'})

        return want
