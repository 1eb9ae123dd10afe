"""Tokens and logins: who is told what, and who is never told anything."""

from __future__ import annotations

import json
import random
import time as real_time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import parse_qs, quote, quote_plus, urlsplit

import pytest
from asking import (
    BLOB,
    DESCRIPTOR,
    LIMIT,
    MANIFEST_DATA,
    SECRET,
    Time,
    always,
    bearer,
    client,
    fails,
    giving,
    in_turn,
    logins,
    serve,
    store,
)
from registries import Reply, Request, auth, basic, hostile

from metalauncher.tooling.oci.http.authorize import Authorizer
from metalauncher.tooling.oci.http.challenge import Challenge
from metalauncher.tooling.oci.http.credentials import Credentials
from metalauncher.tooling.oci.http.deadlines import Deadline
from metalauncher.tooling.oci.http.rate_limit import Pace
from metalauncher.tooling.oci.http.request import Access
from metalauncher.tooling.oci.http.transport import Transport
from metalauncher.tooling.oci.model import ImageError


def test_gets_a_token_once() -> None:
    """For nobody in particular, for pulling from the one repository; the next request has it from the start."""
    with hostile(giving({"token": "t1", "expires_in": 300})) as tokens:
        answer = bearer(f"http://{tokens.host}/token", lambda given: given == "Bearer t1")
        with hostile(answer) as server, client(Time()) as registry:
            assert store(registry, server).top()[1] == MANIFEST_DATA
            assert store(registry, server).fetch(DESCRIPTOR, LIMIT) == BLOB
            assert [request.headers.get("Authorization") for request in server.asked()] == [
                None,
                "Bearer t1",
                "Bearer t1",
            ]
        (asked,) = tokens.requests
    assert urlsplit(asked.path).path == "/token"
    assert parse_qs(urlsplit(asked.path).query) == {"service": ["the service"], "scope": ["repository:org/app:pull"]}
    assert "Authorization" not in asked.headers


def test_gets_a_token_once_for_all_threads() -> None:
    """The others wait for the one that asks."""
    with hostile(giving({"access_token": "t1"})) as tokens:
        answer = bearer(f"http://{tokens.host}/token", lambda given: given == "Bearer t1")
        with hostile(answer) as server, client(Time()) as registry, ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: store(registry, server).top(), range(24)))
        assert len(tokens.requests) == 1


def test_renews_a_token_before_it_ends_and_when_it_is_refused() -> None:
    """By its time, and once on a 401; what is refused again is denied."""
    time, accepted = Time(), {"Bearer t1", "Bearer t2", "Bearer t3"}
    replies = [Reply(body=json.dumps({"token": f"t{number}", "expires_in": 100}).encode()) for number in range(1, 6)]
    with hostile(in_turn(*replies)) as tokens:
        answer = bearer(f"http://{tokens.host}/token", lambda given: given in accepted)
        with hostile(answer) as server, client(time) as registry:
            image = store(registry, server)
            image.top()
            time.now += 89
            image.top()
            assert len(tokens.requests) == 1
            time.now += 2
            image.top()
            assert len(tokens.requests) == 2
            accepted.remove("Bearer t2")  # revoked
            image.top()
            assert len(tokens.requests) == 3
            accepted.clear()
            reason = f"{server.host} denies access: it answered 401 Unauthorized, without a login: there is none for it"
            with fails("denied", f"{reason} anywhere"):
                image.top()
            assert len(tokens.requests) == 4


def test_gives_its_password_to_the_token_server_alone(tmp_path: Path) -> None:
    """The registry gets the token only."""
    with hostile(giving({"token": "t1"})) as tokens:
        answer = bearer(f"http://{tokens.host}/token?account=x", lambda given: given == "Bearer t1")
        with hostile(answer) as server:
            environment = logins(tmp_path, auths={server.host: {"auth": auth("ann", SECRET)}})
            with client(Time(), environment) as registry:
                store(registry, server).top()
            assert [request.headers.get("Authorization") for request in server.asked()] == [None, "Bearer t1"]
        assert tokens.requests[0].headers["Authorization"] == basic("ann", SECRET)
        assert tokens.requests[0].path.startswith("/token?account=x&service=")


def test_exchanges_an_identity_token(tmp_path: Path) -> None:
    """It is posted, so that it is in nobody's log."""
    with hostile(giving({"access_token": "t1"})) as tokens:
        answer = bearer(f"http://{tokens.host}/token", lambda given: given == "Bearer t1")
        with hostile(answer) as server:
            environment = logins(tmp_path, auths={server.host: {"identitytoken": SECRET}})
            with client(Time(), environment) as registry:
                store(registry, server).top()
        (asked,) = tokens.requests
    assert (asked.method, asked.path) == ("POST", "/token")
    assert parse_qs(asked.body.decode()) == {
        "grant_type": ["refresh_token"],
        "refresh_token": [SECRET],
        "service": ["the service"],
        "scope": ["repository:org/app:pull"],
        "client_id": ["metalauncher"],
    }


@pytest.mark.parametrize(
    "status",
    ["404 Not Found", "405 Method Not Allowed", "401 Unauthorized", "400 Bad Request", "307 Elsewhere", "200 OK"],
)
def test_uses_the_password_where_an_identity_token_can_not_be_exchanged(tmp_path: Path, status: str) -> None:
    """A token server without OAuth2's POST is asked with GET, name and password; the identity token is in no URL."""
    other = Reply(status, b"<html>", {"Location": "/elsewhere"})
    with hostile(lambda r: other if r.method == "POST" else Reply(body=b'{"token": "token-1"}')) as tokens:
        answer = bearer(f"http://{tokens.host}/token", lambda given: given == "Bearer token-1")
        with hostile(answer) as server:
            entry = {"auth": auth("ann", "password-1"), "identitytoken": SECRET}
            with client(Time(), logins(tmp_path, auths={server.host: entry})) as registry:
                store(registry, server).top()
        posted, asked = tokens.requests
    assert (posted.method, posted.path, asked.method) == ("POST", "/token", "GET")
    assert "Authorization" not in posted.headers
    assert asked.headers["Authorization"] == basic("ann", "password-1")
    assert SECRET not in asked.path


@pytest.mark.parametrize(
    "status", ["404 Not Found", "405 Method Not Allowed", "401 Unauthorized", "307 Temporary Redirect"]
)
def test_never_puts_an_identity_token_into_a_url(tmp_path: Path, status: str) -> None:
    """Where there is no password beside it, that is the end; a redirect does not take it elsewhere."""
    with hostile(always(Reply(status, headers={"Location": "/elsewhere"}))) as tokens:
        with hostile(bearer(f"http://{tokens.host}/token", lambda _: False)) as server:
            environment = logins(tmp_path, auths={server.host: {"identitytoken": SECRET}})
            said = status if not status.startswith("307") else "307"
            reason = (
                f"{tokens.host}, the token server of {server.host}, gives no token: it answered {said},"
                f" with the login from {tmp_path}/config.json, entry {server.host}"
            )
            with client(Time(), environment) as registry, fails("denied", reason):
                store(registry, server).top()
        assert [(request.method, request.path) for request in tokens.requests] == [("POST", "/token")]


SERVER = "{t}, the token server of {h}, "

TOKEN_SERVERS = {
    "garbage": (Reply(body=b"<html>"), "damaged", SERVER + "answered with something else than a JSON object"),
    "deep": (Reply(body=b"[" * 50_000), "damaged", SERVER + "answered with something else than a JSON object"),
    "without": (Reply(body=b'{"token": ""}'), "damaged", SERVER + "answered without a token"),
    "header in it": (Reply(body=b'{"token": "a\\r\\nX: y"}'), "damaged", SERVER + "answered without a token"),
    "huge": (
        Reply(body=[b"x" * 65536] * 64, cut=True),
        "too-large",
        "the answer of {t}, the token server of {h} is larger than 1 MiB",
    ),
    "denies": (
        Reply("403 Forbidden"),
        "denied",
        SERVER + "gives no token: it answered 403 Forbidden, without a login: there is none for it anywhere",
    ),
    "fails": (Reply("500 Oh"), "unreachable", SERVER + "answered 500 Internal Server Error"),
    "lost": (
        Reply("302 Found", headers={"Location": "file:///etc/passwd"}),
        "unreachable",
        "{t} redirects to something else than HTTP: 'file'; {t} is the token server of {h}",
    ),
}


@pytest.mark.parametrize("case", TOKEN_SERVERS)
def test_says_what_is_wrong_with_a_token_server(case: str) -> None:
    """It may answer anything."""
    reply, kind, reason = TOKEN_SERVERS[case]
    with hostile(always(reply)) as tokens:
        answer = bearer(f"http://{tokens.host}/token", lambda _: False)
        with (
            hostile(answer) as server,
            client(Time()) as registry,
            fails(kind, reason.format(t=tokens.host, h=server.host)),
        ):
            store(registry, server).top()


def test_says_that_a_token_server_is_down() -> None:
    """Nobody is there."""
    with hostile(serve) as tokens:
        down = tokens.host
    with (
        hostile(bearer(f"http://{down}/token", lambda _: False)) as server,
        client(Time()) as registry,
        fails("unreachable", f"{down} refused the connection; {down} is the token server of {server.host}"),
    ):
        store(registry, server).top()


def test_gives_no_password_to_a_token_server_in_plain(tmp_path: Path) -> None:
    """Whatever the registry says."""
    with hostile(bearer("http://tokens.example/token", lambda _: False)) as server:
        environment = logins(tmp_path, auths={server.host: {"auth": auth("ann", SECRET)}})
        reason = (
            "tokens.example over plain HTTP, and tokens.example is not named as insecure;"
            f" tokens.example is the token server of {server.host}"
        )
        with client(Time(), environment) as registry, fails("unreachable", reason):
            store(registry, server).top()


@pytest.mark.parametrize(
    "realm", ["", "/token", "ftp://x/", "https://x:y/", "https://x:0/", "https://u:p@x/", "https://[", "http://\u00e9/"]
)
def test_refuses_a_realm_that_is_no_server(realm: str) -> None:
    """A challenge may name anything."""
    with (
        hostile(bearer(realm, lambda _: False)) as server,
        client(Time()) as registry,
        fails("denied", f"{server.host} wants a token, but names no server that gives one"),
    ):
        store(registry, server).top()


def test_passes_on_no_secret_that_is_repeated(tmp_path: Path) -> None:
    """A registry that answers with what it was told does not get it into our messages."""

    def answer(request: Request) -> Reply:
        told = request.headers.get("Authorization", "")
        if not told:
            return Reply("401 Unauthorized", headers={"WWW-Authenticate": "Negotiate, Basic realm=x"})
        message = f"not {told} nor {SECRET}"
        return Reply("403 Forbidden", json.dumps({"errors": [{"message": message}]}).encode())

    with hostile(answer) as server:
        environment = logins(tmp_path, auths={server.host: {"auth": auth("ann", SECRET)}})
        reason = (
            f"{server.host} denies access: it answered 403 Forbidden (not Basic … nor …),"
            f" with the login from {tmp_path}/config.json, entry {server.host}"
        )
        with client(Time(), environment) as registry, fails("denied", reason):
            store(registry, server).top()


SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "as the header has it": lambda secret: basic("ann", secret),
    "as the header has it, unpadded": lambda secret: basic("ann", secret).rstrip("="),
    "the header in a URL": lambda secret: quote(basic("ann", secret), safe=""),
    "as in a form": quote_plus,
    "as in a URL": quote,
    "as in a part of a URL": lambda secret: quote(secret, safe=""),
    "in lower case": lambda secret: quote(secret, safe="").replace("%2F", "%2f").replace("%C3", "%c3"),
    "every byte quoted": lambda secret: "".join([f"%{byte:02x}" for byte in secret.encode()]),
}


@pytest.mark.parametrize("kind", ["password", "identity token"])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_passes_on_no_secret_that_a_token_server_repeats(spelling: str, kind: str, tmp_path: Path) -> None:
    """However it is written."""
    secret = "a b/c+d=%é.*"  # noqa: S105  # of nobody
    said = SPELLINGS[spelling](secret).removeprefix("Basic").removeprefix("%20").strip()
    entry = {"auth": auth("ann", secret)} | ({"identitytoken": secret} if kind == "identity token" else {})
    reply = Reply("403 Forbidden", json.dumps({"error": f"not {said}: no"}).encode())
    with hostile(always(reply)) as tokens, hostile(bearer(f"http://{tokens.host}/token", lambda _: False)) as server:
        environment = logins(tmp_path, auths={server.host: entry})
        with client(Time(), environment) as registry, pytest.raises(ImageError) as caught:
            store(registry, server).top()
    padding = said[len(said.rstrip("=")) :] if "header" in spelling else ""
    masked = "…%3D: no" if said.endswith("%3D") and "header" in spelling else f"…{padding}: no"
    assert f"it answered 403 Forbidden (not {masked}), with the login from" in caught.value.reason


def test_passes_on_no_part_of_a_secret(tmp_path: Path) -> None:
    """One may hold another."""
    entry = {"auth": auth("ann", "key"), "identitytoken": "key-of-ann"}
    reply = Reply("403 Forbidden", json.dumps({"error": "not key-of-ann, key"}).encode())
    with hostile(always(reply)) as tokens, hostile(bearer(f"http://{tokens.host}/token", lambda _: False)) as server:
        environment = logins(tmp_path, auths={server.host: entry})
        with client(Time(), environment) as registry, pytest.raises(ImageError) as caught:
            store(registry, server).top()
    assert "it answered 403 Forbidden (not …, …), with the login from" in caught.value.reason


def test_takes_no_identity_token_for_a_password(tmp_path: Path) -> None:
    """The registry wants a password, and there is only a token."""
    with hostile(always(Reply("401 Unauthorized", headers={"WWW-Authenticate": 'Basic realm="x"'}))) as server:
        environment = logins(tmp_path, auths={server.host: {"identitytoken": SECRET}})
        reason = (
            f"{server.host} wants a password, and there is only an identity token for it:"
            f" {tmp_path}/config.json, entry {server.host}"
        )
        with client(Time(), environment) as registry, fails("denied", reason):
            store(registry, server).top()


def test_waits_for_another_s_token_only_so_long() -> None:
    """A token server that is silent holds up all threads that want the same token, each for its own time."""
    with hostile(always(Reply(body=[3600.0], raw=True))) as tokens:
        answer = bearer(f"http://{tokens.host}/token", lambda _: False)
        with (
            hostile(answer) as server,
            client(seconds=0.6, read_seconds=0.4) as registry,
            ThreadPoolExecutor(4) as pool,
        ):
            started = real_time.monotonic()
            futures = [pool.submit(store(registry, server).top) for _ in range(4)]
            reasons = {str(future.exception(10)) for future in futures}
            assert real_time.monotonic() - started < 2
        first = f"{tokens.host} did not answer in time; {tokens.host} is the token server of {server.host}"
        assert {first} <= reasons <= {first, f"the token server of {server.host} did not answer in time"}


def test_asks_nothing_of_this_machine_for_a_registry_elsewhere() -> None:
    """A registry that is spoken to over TLS gets no token over plain HTTP, though loopback may be plain."""
    with hostile(giving({"token": "t1"})) as tokens:
        transport = Transport(
            insecure=frozenset(),
            ca_file=None,
            environment={},
            connections=1,
            connect_seconds=1,
            read_seconds=1,
            pace=Pace(1, real_time.monotonic, real_time.sleep, random.random),
            now=real_time.time,
        )
        authorizer = Authorizer(transport, Credentials(), real_time.monotonic)
        challenge = Challenge("bearer", {"realm": f"http://{tokens.host}/admin"})
        deadline = Deadline(1, real_time.monotonic)
        with fails("denied", f"registry.example wants a token from {tokens.host} over plain HTTP"):
            authorizer.asked("registry.example", Access("org/app"), [challenge], "", deadline)
        transport.close()
        assert tokens.requests == []
