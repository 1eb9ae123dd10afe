"""Challenges, tokens, redirects and mirrors: who is told what, and who is never told anything."""

from __future__ import annotations

import json
import random
import time as real_time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from asking import (
    BLOB,
    BLOB_PATH,
    DESCRIPTOR,
    MANIFEST_DATA,
    MANIFEST_TYPE,
    PATH,
    Time,
    always,
    client,
    fails,
    in_turn,
    logins,
    serve,
    store,
)
from registries import HostileRegistry, Reply, Request, auth, basic, hostile, make_certificate

from metalauncher.tooling.oci.authorize import Authorizer
from metalauncher.tooling.oci.challenge import Challenge
from metalauncher.tooling.oci.credentials import Credentials
from metalauncher.tooling.oci.name import InvalidName, Name
from metalauncher.tooling.oci.pace import Pace
from metalauncher.tooling.oci.transport import Transport
from metalauncher.tooling.oci.urls import parse_url
from metalauncher.tooling.oci.wire import Broken, Deadline

LIMIT = 1 << 20
SECRET = "very-secret"  # noqa: S105 - of nobody


def _bearer(realm: str, accepted: Callable[[str], bool]) -> Callable[[Request], Reply]:
    """Answer as a registry that wants a token."""
    challenge = {"WWW-Authenticate": f'Bearer realm="{realm}",service="the service",scope="registry:catalog:*"'}

    def answer(request: Request) -> Reply:
        if accepted(request.headers.get("Authorization", "")):
            return serve(request)
        return Reply("401 Unauthorized", headers=challenge)

    return answer


def _giving(document: dict[str, Any]) -> Callable[[Request], Reply]:
    return always(Reply(body=json.dumps(document).encode()))


def test_gets_a_token_once() -> None:
    """For nobody in particular, for pulling from the one repository; the next request has it from the start."""
    with hostile(_giving({"token": "t1", "expires_in": 300})) as tokens:
        answer = _bearer(f"http://{tokens.host}/token", lambda given: given == "Bearer t1")
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
    with hostile(_giving({"access_token": "t1"})) as tokens:
        answer = _bearer(f"http://{tokens.host}/token", lambda given: given == "Bearer t1")
        with hostile(answer) as server, client(Time()) as registry, ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: store(registry, server).top(), range(24)))
        assert len(tokens.requests) == 1


def test_renews_a_token_before_it_ends_and_when_it_is_refused() -> None:
    """By its time, and once on a 401; what is refused again is denied."""
    time, accepted = Time(), {"Bearer t1", "Bearer t2", "Bearer t3"}
    replies = [Reply(body=json.dumps({"token": f"t{number}", "expires_in": 100}).encode()) for number in range(1, 6)]
    with hostile(in_turn(*replies)) as tokens:
        answer = _bearer(f"http://{tokens.host}/token", lambda given: given in accepted)
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
    with hostile(_giving({"token": "t1"})) as tokens:
        answer = _bearer(f"http://{tokens.host}/token?account=x", lambda given: given == "Bearer t1")
        with hostile(answer) as server:
            environment = logins(tmp_path, auths={server.host: {"auth": auth("ann", SECRET)}})
            with client(Time(), environment) as registry:
                store(registry, server).top()
            assert [request.headers.get("Authorization") for request in server.asked()] == [None, "Bearer t1"]
        assert tokens.requests[0].headers["Authorization"] == basic("ann", SECRET)
        assert tokens.requests[0].path.startswith("/token?account=x&service=")


def test_exchanges_an_identity_token(tmp_path: Path) -> None:
    """It is posted, so that it is in nobody's log."""
    with hostile(_giving({"access_token": "t1"})) as tokens:
        answer = _bearer(f"http://{tokens.host}/token", lambda given: given == "Bearer t1")
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
        "{t} redirects to something else than HTTP: 'file'",
    ),
}


@pytest.mark.parametrize("case", TOKEN_SERVERS)
def test_says_what_is_wrong_with_a_token_server(case: str) -> None:
    """It may answer anything."""
    reply, trouble, reason = TOKEN_SERVERS[case]
    with hostile(always(reply)) as tokens:
        answer = _bearer(f"http://{tokens.host}/token", lambda _: False)
        with (
            hostile(answer) as server,
            client(Time()) as registry,
            fails(trouble, reason.format(t=tokens.host, h=server.host)),
        ):
            store(registry, server).top()


def test_says_that_a_token_server_is_down() -> None:
    """Nobody is there."""
    with hostile(serve) as tokens:
        down = tokens.host
    with (
        hostile(_bearer(f"http://{down}/token", lambda _: False)) as server,
        client(Time()) as registry,
        fails("unreachable", f"{down} refused the connection"),
    ):
        store(registry, server).top()


def test_gives_no_password_to_a_token_server_in_plain(tmp_path: Path) -> None:
    """Whatever the registry says."""
    with hostile(_bearer("http://tokens.example/token", lambda _: False)) as server:
        environment = logins(tmp_path, auths={server.host: {"auth": auth("ann", SECRET)}})
        reason = "tokens.example over plain HTTP, and tokens.example is not named as insecure"
        with client(Time(), environment) as registry, fails("unreachable", reason):
            store(registry, server).top()


@pytest.mark.parametrize(
    "realm", ["", "/token", "ftp://x/", "https://x:y/", "https://x:0/", "https://u:p@x/", "https://[", "http://\u00e9/"]
)
def test_refuses_a_realm_that_is_no_server(realm: str) -> None:
    """A challenge may name anything."""
    with (
        hostile(_bearer(realm, lambda _: False)) as server,
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


def _to(location: str, status: str = "307 Temporary Redirect") -> Reply:
    return Reply(status, headers={"Location": location})


def _at_blobs(reply: Reply) -> Callable[[Request], Reply]:
    """Want a password, and answer with `reply` for blobs."""

    def answer(request: Request) -> Reply:
        if "Authorization" not in request.headers:
            return Reply("401 Unauthorized", headers={"WWW-Authenticate": "Basic realm=x"})
        return reply if request.path == BLOB_PATH else serve(request)

    return answer


def test_follows_a_redirect_without_its_login(tmp_path: Path) -> None:
    """Another port is another host already; on the same one the login stays."""
    with hostile(always(Reply(body=BLOB))) as storage:
        with hostile(_at_blobs(_to(f"http://{storage.host}/signed?x=y"))) as server:
            environment = logins(tmp_path, auths={server.host: {"auth": auth("ann", SECRET)}})
            with client(Time(), environment) as registry:
                assert store(registry, server).fetch(DESCRIPTOR, LIMIT) == BLOB
        assert [(request.path, request.headers.get("Authorization")) for request in storage.requests] == [
            ("/signed?x=y", None)
        ]
    with hostile(lambda r: _at_blobs(_to("/there"))(r) if r.path == BLOB_PATH else Reply(body=BLOB)) as server:
        environment = logins(tmp_path, auths={server.host: {"auth": auth("ann", SECRET)}})
        with client(Time(), environment) as registry:
            assert store(registry, server).fetch(DESCRIPTOR, LIMIT) == BLOB
        assert server.asked()[-1].path == "/there"
        assert server.asked()[-1].headers["Authorization"] == basic("ann", SECRET)


REDIRECTS = {
    BLOB_PATH: "{h} redirects more than 5 times",
    "file:///etc/passwd": "{h} redirects to something else than HTTP: 'file'",
    "ftp://127.0.0.1/": "{h} redirects to something else than HTTP: 'ftp'",
    "mailto:x": "{h} redirects to something else than HTTP: 'mailto'",
    "http://user:word@127.0.0.1/": "{h} redirects to a URL with a login in it",
    "http://127.0.0.1:port/": "{h} redirects to something that is not a URL",
    "http://127.0.0.1:0/": "{h} redirects to something that is not a URL",
    "http:///x": "{h} redirects to something that is not a URL",
    "http:x": "{h} redirects to something that is not a URL",
    "http://[/": "{h} redirects to something that is not a URL",
    "/a\tb": "{h} redirects to something that is not a URL",
    "http://storage.example/": (
        "{h} redirects to storage.example over plain HTTP, and storage.example is not named as insecure"
    ),
    "/" + "x" * 20_000: "{h} redirects to something that is not a URL",
}


@pytest.mark.parametrize("location", REDIRECTS, ids=range(len(REDIRECTS)))
def test_follows_no_redirect_astray(location: str) -> None:
    """In circles, out of HTTP, into plain HTTP elsewhere: each is refused, at once."""
    with hostile(lambda _: _to(location)) as server, client(Time()) as registry:
        with fails("unreachable", REDIRECTS[location].format(h=server.host)):
            store(registry, server).fetch(DESCRIPTOR, LIMIT)
        assert len(server.asked()) <= 6


def test_follows_no_redirect_out_of_tls(tmp_path: Path) -> None:
    """From HTTPS to HTTP: never, where the first is not named as insecure."""
    certificate = make_certificate(tmp_path)
    with (
        hostile(always(Reply(body=BLOB))) as storage,
        hostile(lambda _: _to(f"http://{storage.host}/"), certificate) as server,
        client(Time(), ca_file=str(certificate.file)) as registry,
    ):
        # Loopback may be plain: both are, so it is followed.
        assert store(registry, server).fetch(DESCRIPTOR, LIMIT) == BLOB
        transport = registry._transport
        with pytest.raises(Broken) as caught:
            transport._check(parse_url(f"http://{storage.host}/"), parse_url("https://registry.example/"))
        assert caught.value.reason == "registry.example redirects from HTTPS to plain HTTP"


def test_does_not_log_in_where_it_was_redirected_to(tmp_path: Path) -> None:
    """A storage that asks for a login gets none."""
    challenge = {"WWW-Authenticate": "Basic realm=x"}
    with hostile(lambda _: Reply("401 Unauthorized", headers=challenge)) as storage:
        with hostile(_at_blobs(_to(f"http://{storage.host}/"))) as server:
            environment = logins(tmp_path, auths={server.host: {"auth": auth("ann", SECRET)}})
            with (
                client(Time(), environment) as registry,
                fails(
                    "denied",
                    f"{storage.host} (redirected from {server.host}) denies access: it answered 401 Unauthorized",
                ),
            ):
                store(registry, server).fetch(DESCRIPTOR, LIMIT)
        assert len(storage.requests) == 1


def _mirrored(server: HostileRegistry, mirror: HostileRegistry, prefix: str = "") -> dict[str, tuple[str, ...]]:
    return {server.host: (f"http://{mirror.host}{prefix}",)}


def test_asks_a_mirror_first() -> None:
    """Under its path, and nobody else if it has the image."""

    def answer(request: Request) -> Reply:
        return serve(Request(request.method, request.path.replace("/cache/hub/", "/"), request.headers, b""))

    with hostile(serve) as server, hostile(answer) as mirror:
        with client(Time(), mirrors=_mirrored(server, mirror, "/cache/hub")) as registry:
            assert store(registry, server).top()[1] == MANIFEST_DATA
            assert store(registry, server).fetch(DESCRIPTOR, LIMIT) == BLOB
        assert mirror.paths() == [
            PATH.replace("/org/", "/cache/hub/org/"),
            BLOB_PATH.replace("/org/", "/cache/hub/org/"),
        ]
        assert server.requests == []


MIRRORS = {
    "absent": Reply("404 Not Found"),
    "denied": Reply("403 Forbidden"),
    "damaged": Reply(body=b"x" * len(BLOB)),
    "unreachable": Reply("503 Service Unavailable"),
    "cut": Reply(body=b"", raw=True, cut=True),
}


@pytest.mark.parametrize("case", MIRRORS)
def test_falls_back_to_the_registry(case: str) -> None:
    """Whatever is wrong with a mirror; what the registry says then counts."""
    with hostile(serve) as server, hostile(lambda _: MIRRORS[case]) as mirror:
        with client(Time(), mirrors=_mirrored(server, mirror)) as registry:
            image = store(registry, server)
            assert image.fetch(DESCRIPTOR, LIMIT) == BLOB
            if case != "damaged":  # of a stream, that is known only at its end
                with image.open(DESCRIPTOR) as file:
                    assert file.read() == BLOB
            with fails("absent", f"{server.host} has no such tag or manifest"):
                store(registry, server, "org/app:none").top()
        assert mirror.asked()


@pytest.mark.parametrize(
    "url", ["", "mirror.example", "ftp://x", "https://", "https://x/A", "https://u:p@x", "https://x?y"]
)
def test_refuses_a_mirror_that_is_no_url(url: str) -> None:
    """Before anything is asked."""
    with pytest.raises(InvalidName) as caught, client(Time(), mirrors={"docker.io": (url,)}):
        pass
    assert str(caught.value) == f"{url!r} is not the URL of a mirror, https://HOST[:PORT][/PREFIX]"


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "http://", "http://127.0.0.1:x", "http://[", "http://:0"])
def test_refuses_a_proxy_that_is_none(proxy: str) -> None:
    """It is not gone around."""
    reason = "the proxy of the environment is not http://HOST:PORT or https://HOST:PORT"
    with client(Time(), {b"ALL_PROXY": b"", b"https_proxy": proxy.encode()}) as registry, fails("unreachable", reason):
        registry.store(Name.parse("registry.example/app")).top()


def test_goes_through_a_proxy() -> None:
    """Where the environment names one: plain HTTP is asked of it whole, TLS is tunnelled through it."""
    manifest = Reply(body=MANIFEST_DATA, headers=MANIFEST_TYPE)
    with hostile(lambda r: manifest if r.method == "GET" else Reply("403 Forbidden", cut=True)) as proxy:
        environment = {
            b"http_proxy": f"http://a%6en:{SECRET}@{proxy.host}".encode(),
            b"HTTPS_PROXY": proxy.host.encode(),
        }
        with client(Time(), environment, insecure=frozenset(["registry.example"])) as registry:
            assert registry.store(Name.parse("registry.example/org/app:1")).top()[1] == MANIFEST_DATA
            assert [(r.method, r.path) for r in proxy.requests] == [
                ("CONNECT", "registry.example:443"),
                ("GET", "http://registry.example/v2/"),
                ("GET", f"http://registry.example{PATH}"),
            ]
            assert proxy.requests[2].headers["Proxy-Authorization"] == basic("ann", SECRET)
            with fails("unreachable", "the proxy for other.example does not let anybody through to it"):
                registry.store(Name.parse("other.example/org/app:1")).top()


def test_says_that_a_login_is_not_accepted(tmp_path: Path) -> None:
    """The first time in the registry's words; then it is known."""
    challenge = {"WWW-Authenticate": 'Basic realm="x"'}
    reply = in_turn(
        Reply("401 Unauthorized", headers=challenge),
        Reply(body=MANIFEST_DATA, headers=MANIFEST_TYPE),
        Reply("401 Unauthorized", headers=challenge),
    )
    with hostile(reply) as server:
        environment = logins(tmp_path, auths={server.host: {"auth": auth("ann", SECRET)}})
        with client(Time(), environment) as registry:
            store(registry, server).top()
            source = f"{tmp_path}/config.json, entry {server.host}"
            with fails("denied", f"{server.host} does not accept the login from {source}"):
                store(registry, server).top()
        assert len(server.asked()) == 3


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
        answer = _bearer(f"http://{tokens.host}/token", lambda _: False)
        with (
            hostile(answer) as server,
            client(seconds=0.6, read_seconds=0.4) as registry,
            ThreadPoolExecutor(4) as pool,
        ):
            started = real_time.monotonic()
            futures = [pool.submit(store(registry, server).top) for _ in range(4)]
            reasons = {str(future.exception(10)) for future in futures}
            assert real_time.monotonic() - started < 2
        first = f"{tokens.host} did not answer in time"
        assert {first} <= reasons <= {first, f"the token server of {server.host} did not answer in time"}


def test_asks_nothing_of_this_machine_for_a_registry_elsewhere() -> None:
    """A registry that is spoken to over TLS gets no token over plain HTTP, though loopback may be plain."""
    with hostile(_giving({"token": "t1"})) as tokens:
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
            authorizer.asked("registry.example", "org/app", [challenge], "", deadline)
        transport.close()
        assert tokens.requests == []
