"""Mirrors, which are asked first, and proxies."""

from __future__ import annotations

import base64
import contextlib
from pathlib import Path
from typing import Any

import pytest
from asking import (
    BLOB,
    BLOB_PATH,
    DESCRIPTOR,
    LIMIT,
    MANIFEST_DATA,
    MANIFEST_TYPE,
    PATH,
    SECRET,
    Time,
    always,
    client,
    fails,
    logins,
    serve,
    store,
)
from registries import HostileRegistry, Reply, Request, basic, hostile, make_certificate

from metalauncher.tooling.console import Unable
from metalauncher.tooling.oci.location import parse_location
from metalauncher.tooling.oci.model import ImageError
from metalauncher.tooling.oci.reference import InvalidReference, Reference
from metalauncher.tooling.oci.sources.stores import Stores


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


MIRROR_REASONS = {
    "absent": "{h} has no such tag or manifest",
    "denied": "{h} denies access: it answered 403 Forbidden, and asked for no login",
    "damaged": "the manifest is not JSON",
    "unreachable": "{h} answered 503 Service Unavailable",
    "cut": "{h} cut the connection",
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
            reason = MIRROR_REASONS[case].format(h=mirror.host)
            with fails("absent", f"{server.host} has no such tag or manifest; its mirror before it: {reason}"):
                store(registry, server, "org/app:none").top()
        assert mirror.asked()


def test_says_what_is_wrong_with_a_mirror_where_it_alone_can_be_reached(tmp_path: Path) -> None:
    """Behind a wall, the registry's own answer is that nobody is there: what the mirrors said is the reason."""
    with hostile(serve) as gone:
        pass
    wants = Reply("401 Unauthorized", headers={"WWW-Authenticate": 'Basic realm="x"'})
    with hostile(always(wants)) as first, hostile(always(Reply("403 Forbidden"))) as second:
        mirrors = {gone.host: (f"http://{first.host}", f"http://{second.host}")}
        with (
            client(Time(), logins(tmp_path), mirrors=mirrors) as registry,
            fails(
                "unreachable",
                f"{gone.host} refused the connection; its mirror before it: {first.host} wants a login, and none"
                f" was found in {tmp_path}/config.json; its mirror before it: {second.host} denies access:"
                " it answered 403 Forbidden, and asked for no login",
            ),
        ):
            store(registry, gone).top()


@pytest.mark.parametrize(
    "url", ["", "mirror.example", "ftp://x", "https://", "https://x/A", "https://u:p@x", "https://x?y"]
)
def test_refuses_a_mirror_that_is_no_url(url: str) -> None:
    """Before anything is asked."""
    with pytest.raises(InvalidReference) as caught, client(Time(), mirrors={"docker.io": (url,)}):
        pass
    shown = url.replace("u:p@", "…@")
    assert str(caught.value) == f"{shown!r} is not the URL of a mirror, https://HOST[:PORT][/PREFIX]"


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "http://", "http://127.0.0.1:x", "http://[", "http://:0"])
def test_refuses_a_proxy_that_is_none(proxy: str) -> None:
    """It is not gone around."""
    for name in ("https_proxy", "HTTPS_PROXY"):
        reason = f"{name} in the environment is not http://HOST:PORT or https://HOST:PORT"
        environment = {b"ALL_PROXY": b"", name.encode(): proxy.encode()}
        with client(Time(), environment) as registry, fails("unreachable", reason):
            registry.store(Reference.parse("registry.example/app")).top()


def test_speaks_tls_to_a_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where its URL says so; its certificate is held to the same as all."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    certificate = make_certificate(tmp_path)
    manifest = Reply(body=MANIFEST_DATA, headers=MANIFEST_TYPE)
    with hostile(lambda r: manifest if r.method == "GET" else Reply("403 Forbidden", cut=True), certificate) as proxy:
        environment = {b"http_proxy": f"https://{proxy.host}".encode()}
        for ca_file in (str(certificate.file), None):
            with client(Time(), environment, insecure=frozenset(["registry.example"]), ca_file=ca_file) as registry:
                registry._schemes["registry.example"] = "http"
                image = registry.store(Reference.parse("registry.example/org/app:1"))
                if ca_file:
                    assert image.top()[1] == MANIFEST_DATA
                    continue
                reason = (
                    "the proxy for registry.example (http_proxy): its certificate is not trusted:"
                    " self-signed certificate; trusted are the system's; --ca-file FILE adds others"
                )
                with fails("unreachable", reason):
                    image.top()
        assert [request.path for request in proxy.requests] == [f"http://registry.example{PATH}"]


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("ann:p%C3%BC%E2%82%AC", "ann:pü€".encode()),
        ("ann:pü€", "ann:pü€".encode()),
        ("ann:p%FF%3A%40", b"ann:p\xff:@"),
        ("ann", b"ann:"),
        (":pw", b":pw"),
    ],
)
def test_sends_a_proxy_the_bytes_of_its_login(written: str, sent: bytes) -> None:
    """Whatever they mean, as curl does."""
    manifest = Reply(body=MANIFEST_DATA, headers=MANIFEST_TYPE)
    with hostile(always(manifest)) as proxy:
        environment = {b"http_proxy": f"http://{written}@{proxy.host}".encode()}
        with client(Time(), environment, insecure=frozenset(["registry.example"])) as registry:
            registry._schemes["registry.example"] = "http"
            assert registry.store(Reference.parse("registry.example/org/app:1")).top()[1] == MANIFEST_DATA
        header = proxy.requests[0].headers["Proxy-Authorization"]
    assert base64.b64decode(header.removeprefix("Basic ")) == sent


def test_names_the_proxy_that_is_silent() -> None:
    """Nobody can tell whether it is the proxy, or the registry behind it."""
    with hostile(always(Reply(body=[3600.0], raw=True))) as proxy:
        environment = {b"http_proxy": f"http://ann:{SECRET}@{proxy.host}".encode()}
        with client(environment=environment, seconds=0.3, insecure=frozenset(["registry.example"])) as registry:
            registry._schemes["registry.example"] = "http"
            with fails("unreachable", "registry.example (by way of http_proxy) did not answer in time"):
                registry.store(Reference.parse("registry.example/org/app:1")).top()


def test_goes_through_a_proxy() -> None:
    """Where the environment names one: plain HTTP is asked of it whole, TLS is tunnelled through it."""
    manifest = Reply(body=MANIFEST_DATA, headers=MANIFEST_TYPE)
    with hostile(lambda r: manifest if r.method == "GET" else Reply("403 Forbidden", cut=True)) as proxy:
        environment = {
            b"http_proxy": f"http://a%6en:{SECRET}@{proxy.host}".encode(),
            b"HTTPS_PROXY": proxy.host.encode(),
        }
        with client(Time(), environment, insecure=frozenset(["registry.example"])) as registry:
            assert registry.store(Reference.parse("registry.example/org/app:1")).top()[1] == MANIFEST_DATA
            assert [(r.method, r.path) for r in proxy.requests] == [
                ("CONNECT", "registry.example:443"),
                ("GET", "http://registry.example/v2/"),
                ("GET", f"http://registry.example{PATH}"),
            ]
            assert proxy.requests[2].headers["Proxy-Authorization"] == basic("ann", SECRET)
            with fails("unreachable", "the proxy for other.example (HTTPS_PROXY) does not connect to it"):
                registry.store(Reference.parse("other.example/org/app:1")).top()


@pytest.mark.parametrize("name", ["docker.io", "Docker.IO", "index.docker.io", "registry-1.docker.io"])
def test_mirrors_docker_hub_by_any_of_its_names(name: str) -> None:
    """As names of images have it; all that is said of one host counts, in its order."""
    with hostile(serve) as mirror:
        urls = [f"{name}=http://{mirror.host}/none", f"docker.io=http://{mirror.host}"]
        stores = Stores({}, mirrors=urls, connections=1, cache="")
        with contextlib.closing(stores), pytest.raises(ImageError):
            stores.open(parse_location("org/app:1")).fetch(DESCRIPTOR._replace(size=1), LIMIT)
        assert [request.path for request in mirror.requests if "blobs" in request.path] == [
            BLOB_PATH.replace("/org/", "/none/org/"),
            BLOB_PATH,
        ]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (
            {"mirrors": ["https://docker.io=https://m.example"]},
            "--mirror: 'https://docker.io' is not a registry's host",
        ),
        (
            {"mirrors": ["docker.io/library=https://m.example"]},
            "--mirror: 'docker.io/library' is not a registry's host",
        ),
        ({"mirrors": ["https://ann:pw@m.example"]}, "--mirror: 'https://…@m.example' is not HOST=URL"),
        ({"mirrors": ["https://ann:p=w@m.example"]}, "--mirror: 'https://…@m.example' is not HOST=URL"),
        ({"insecure": ["http://r.example"]}, "--insecure: 'http://r.example' is not a registry's host"),
        ({"insecure": ["r.example/"]}, "--insecure: 'r.example/' is not a registry's host"),
        ({"insecure": [""]}, "--insecure: '' is not a registry's host"),
        ({"insecure": ["http://ann:pw@r.example"]}, "--insecure: 'http://…@r.example' is not a registry's host"),
        ({"insecure": ["r.example:x"]}, "--insecure: 'r.example:x' is not a registry's host"),
    ],
)
def test_refuses_a_host_that_is_none(options: dict[str, Any], reason: str) -> None:
    """It would have no effect, and nobody would know."""
    with pytest.raises(Unable) as caught:
        Stores({}, connections=1, cache="", **options)
    assert str(caught.value).startswith(reason)


@pytest.mark.parametrize("host", ["r.example", "R.example:5000", "localhost", "[::1]:5000", "::1", "10.0.0.1"])
def test_takes_any_host_as_insecure(host: str) -> None:
    """With and without a port."""
    Stores({}, connections=1, cache="", insecure=[host])
