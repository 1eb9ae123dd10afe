"""Redirects: followed byte for byte, with nothing taken along, and named where something is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from asking import (
    BLOB,
    BLOB_PATH,
    DESCRIPTOR,
    LIMIT,
    SECRET,
    Time,
    always,
    client,
    fails,
    logins,
    serve,
    store,
)
from registries import Reply, Request, auth, basic, digest_of, hostile, make_certificate

from metalauncher.tooling.oci.http.deadlines import TransportError
from metalauncher.tooling.oci.http.urls import parse_url
from metalauncher.tooling.oci.reference import Reference


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
        with pytest.raises(TransportError) as caught:
            transport._check(parse_url(f"http://{storage.host}/"), parse_url("https://registry.example/"))
        assert caught.value.reason == "registry.example redirects from HTTPS to plain HTTP"


SIGNED = ["/b/x?sig=ab%2fcd%3d&e=1", "/b//x/./y?sig=A%2BB+C&&d=", "/b/%7Ex;v=1?", "/b/[x]?a={b}|c"]


@pytest.mark.parametrize("target", SIGNED)
def test_keeps_a_signed_url(target: str) -> None:
    """Byte for byte: storage services sign what they were asked to sign, not what it means."""
    with hostile(always(Reply(body=BLOB))) as storage:
        for location in (f"http://{storage.host}{target}", f"//{storage.host}{target}#part"):
            with hostile(always(_to(location))) as server, client(Time()) as registry:
                assert store(registry, server).fetch(DESCRIPTOR, LIMIT) == BLOB
        assert storage.paths() == [target] * 2
    with (
        hostile(lambda r: _to(target) if r.path == BLOB_PATH else Reply(body=BLOB)) as server,
        client(Time()) as registry,
    ):
        assert store(registry, server).fetch(DESCRIPTOR, LIMIT) == BLOB
        assert server.paths() == [BLOB_PATH, target]


def test_keeps_a_signed_url_through_a_proxy() -> None:
    """A proxy for plain HTTP is told all of it."""
    target = SIGNED[0]
    answers = {f"http://registry.example{BLOB_PATH}": _to(f"http://storage.example:81{target}")}
    with hostile(lambda r: answers.get(r.path, Reply(body=BLOB))) as proxy:
        environment = {b"http_proxy": f"http://{proxy.host}".encode()}
        insecure = frozenset(["registry.example", "storage.example"])
        with client(Time(), environment, insecure=insecure) as registry:
            image = registry.store(Reference.parse("registry.example/org/app:1"))
            registry._schemes["registry.example"] = "http"
            assert image.fetch(DESCRIPTOR, LIMIT) == BLOB
        assert [(r.path, r.headers["Host"]) for r in proxy.requests] == [
            (f"http://registry.example{BLOB_PATH}", "registry.example"),
            (f"http://storage.example:81{target}", "storage.example:81"),
        ]


FAULTS = {
    "denied": (Reply("403 Forbidden"), "denied", "{s} denies access: it answered 403 Forbidden"),
    "absent": (Reply("404 Not Found"), "absent", "{s} has no such blob"),
    "broken": (Reply(body=b"", raw=True, cut=True), "unreachable", "{s} cut the connection"),
    "busy": (Reply("500 Oh"), "unreachable", "{s} answered 500 Internal Server Error"),
    "in circles": (_to("/again"), "unreachable", "{r} redirects more than 5 times"),
    "astray": (_to("ftp://x"), "unreachable", "{s} redirects to something else than HTTP: 'ftp'"),
    "shorter": (Reply(body=BLOB[1:]), "damaged", "{s} serves 9999 bytes, not 10000; it came from {s}"),
    "other": (
        Reply(body=BLOB[::-1]),
        "damaged",
        f"has another digest than {DESCRIPTOR.digest}: {digest_of(BLOB[::-1])[7:]}; it came from {{s}}",
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_names_the_redirect(case: str) -> None:
    """Whatever is wrong with what was redirected to, the message says who redirected there, and shows no URL."""
    reply, kind, reason = FAULTS[case]
    with (
        hostile(always(reply)) as storage,
        hostile(always(_to(f"http://{storage.host}/b?sig={SECRET}"))) as server,
        client(Time()) as registry,
    ):
        named = f"{storage.host} (redirected from {server.host})"
        with fails(kind, reason.format(s=named, r=server.host)):
            store(registry, server).fetch(DESCRIPTOR, LIMIT)


def test_names_all_who_redirected() -> None:
    """In their order; one that is not there."""
    with hostile(serve) as gone:
        pass
    with (
        hostile(always(_to(f"http://{gone.host}/"))) as second,
        hostile(always(_to(f"http://{second.host}/"))) as first,
        client(Time()) as registry,
    ):
        where = f"{gone.host} (redirected from {first.host} by way of {second.host})"
        with fails("unreachable", f"{where} refused the connection"):
            store(registry, first).fetch(DESCRIPTOR, LIMIT)


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
