"""Registries that are slow, cut off, lie, redirect, or never end: each has its verdict, in bounded time and memory."""

from __future__ import annotations

import itertools
import json
import os
import time as real_time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

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
    PATH,
    Time,
    always,
    client,
    fails,
    in_turn,
    serve,
    store,
)
from registries import LAYER, Reply, Request, digest_of, hostile, make_certificate

from metalauncher.tooling.console import Unable
from metalauncher.tooling.oci.model import MANIFEST_LIMIT, Descriptor
from metalauncher.tooling.oci.reference import Reference

GOOD = Reply(body=BLOB)


def _endless(_: Request) -> Reply:
    return Reply(body=itertools.repeat(b"x" * 65536), cut=True)


def _drip(piece: bytes, start: bytes = b"", *, raw: bool = False) -> Callable[[Request], Reply]:
    def pieces() -> Iterator[bytes | float]:
        yield start
        while True:
            yield 0.02
            yield piece

    return lambda _: Reply(body=pieces(), raw=raw, headers={} if raw else {"Content-Length": str(len(BLOB))})


def test_serves_what_a_sound_registry_has() -> None:
    """The scripted registry is one, when it wants to be."""
    with hostile(serve) as server, client(Time()) as registry:
        image = store(registry, server)
        assert image.top()[1] == MANIFEST_DATA
        assert image.fetch(CONFIG_DESCRIPTOR, LIMIT) == CONFIG_DATA
        assert image.fetch(DESCRIPTOR, len(BLOB)) == BLOB
        with image.open(DESCRIPTOR) as file:
            assert file.read() == BLOB
        accept = server.asked()[0].headers["Accept"].split(", ")
    assert accept == [
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    ]


def test_refuses_what_is_too_large_before_it_asks() -> None:
    """A limit is held against the descriptor."""
    with hostile(serve) as server, client(Time()) as registry:
        with fails("too-large", "has 10000 bytes; 8192 are allowed"):
            store(registry, server).fetch(DESCRIPTOR, 8 << 10)
        assert server.requests == []


LONGER = "is longer than the 10000 bytes that it should have"
LIES = {
    "another blob of the size": (
        Reply(body=b"x" * len(BLOB)),
        f"has another digest than {DESCRIPTOR.digest}: {digest_of(b'x' * len(BLOB))[7:]}",
    ),
    "shorter, and says so": (Reply(body=BLOB[:-1]), "{host} serves 9999 bytes, not 10000"),
    "longer, and says so": (Reply(body=BLOB + b"x"), "{host} serves 10001 bytes, not 10000"),
    "shorter without saying": (Reply(body=[BLOB[:-1]], cut=True), "ends after 9999 of 10000 bytes"),
    "longer without saying": (Reply(body=[BLOB, b"x"], cut=True), LONGER),
    "endless": (_endless(Request("", "", {}, b"")), LONGER),
    "endless chunks": (
        Reply(body=itertools.repeat(b"400\r\n" + b"x" * 1024 + b"\r\n"), headers={"Transfer-Encoding": "chunked"}),
        LONGER,
    ),
}


@pytest.mark.parametrize("case", LIES)
def test_believes_no_blob_but_its_digest(case: str) -> None:
    """A blob that is not what its descriptor says is damaged, is not asked for again, and is no stream to its end."""
    reply, reason = LIES[case]
    with hostile(always(reply)) as server, client(Time()) as registry:
        with fails("damaged", reason.format(host=server.host)):
            store(registry, server).fetch(DESCRIPTOR, LIMIT)
        assert server.paths() == [BLOB_PATH]
        got = bytearray()
        with fails("damaged", reason.format(host=server.host)), store(registry, server).open(DESCRIPTOR) as file:
            while piece := file.read(1000):
                got += piece
        assert len(got) <= len(BLOB)


def test_reads_no_more_of_an_endless_body_than_it_has_to() -> None:
    """What the registry could send, and what is held in memory, stay near the limit."""
    with hostile(_endless) as server, client(Time()) as registry:
        tracemalloc.start()
        try:
            with fails("too-large", "the manifest is larger than 4 MiB"):
                store(registry, server).top()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 6 * MANIFEST_LIMIT
    assert server.sent < 4 * MANIFEST_LIMIT  # the kernel's buffers hold some


def test_leaves_contents_as_they_are() -> None:
    """A `Content-Encoding` is not undone: the digest is of what was sent."""
    with (
        hostile(lambda _: Reply(body=BLOB, headers={"Content-Encoding": "gzip"})) as server,
        client(Time()) as registry,
    ):
        assert store(registry, server).fetch(DESCRIPTOR, LIMIT) == BLOB
        assert server.asked()[0].headers["Accept-Encoding"] == "identity"


SLOW = {
    "silent": lambda _: Reply(body=[3600.0], raw=True),
    "drips its status": _drip(b"H", b"HTTP", raw=True),
    "drips a header": _drip(b"x", b"HTTP/1.1 200 OK\r\nX: ", raw=True),
    "always about to begin": _drip(b"HTTP/1.1 100 Continue\r\n\r\n", raw=True),
    "always with hints": _drip(b"HTTP/1.1 103 Early Hints\r\nLink: </>\r\n\r\n", raw=True),
    "drips its body": _drip(b"x"),
    "drips the size of a chunk": _drip(b"0", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", raw=True),
    "stops in its body": lambda _: Reply(body=[BLOB[:100], 3600.0], headers={"Content-Length": str(len(BLOB))}),
}


@pytest.mark.parametrize("case", SLOW)
def test_ends_in_time(case: str) -> None:
    """However little a registry sends, it is waited for only as long as was said."""
    with hostile(SLOW[case]) as server, client() as registry:
        started = real_time.monotonic()
        with fails("unreachable", f"{server.host} did not answer in time"):
            store(registry, server).fetch(DESCRIPTOR, LIMIT)
        assert real_time.monotonic() - started < 1.5


def test_gives_no_time_for_what_does_not_come() -> None:
    """However much is said to come."""
    large = DESCRIPTOR._replace(size=1 << 40)
    with hostile(always(Reply(body=[b"x", 0.02] * 1000, cut=True))) as server, client() as registry:
        started = real_time.monotonic()
        with (
            fails("unreachable", f"{server.host} did not answer in time"),
            store(registry, server).open(large) as file,
        ):
            while file.read(1):
                pass
        assert real_time.monotonic() - started < 5


def test_gives_time_for_what_comes() -> None:
    """Slow, but not too slow, and longer than everything else may take."""
    piece = bytes(32 << 10)
    blob = piece * 8
    reply = Reply(body=[part for _ in range(8) for part in (piece, 0.1)], cut=True)
    with hostile(always(reply)) as server, client(seconds=0.4, read_seconds=0.4) as registry:
        descriptor = DESCRIPTOR._replace(size=len(blob), digest=digest_of(blob))
        assert store(registry, server).fetch(descriptor, LIMIT) == blob


def test_asks_again_after_a_cut() -> None:
    """A body that ends early is fetched again; so is one that never began."""
    half = Reply(body=BLOB[:5000], headers={"Content-Length": str(len(BLOB))}, cut=True)
    none = Reply(body=b"", raw=True, cut=True)
    time = Time()
    with hostile(in_turn(half, none, GOOD)) as server, client(time) as registry:
        assert store(registry, server).fetch(DESCRIPTOR, LIMIT) == BLOB
        assert server.paths() == [BLOB_PATH] * 3
    assert time.slept == [0.5, 1.0]


def test_gives_up_after_some_cuts() -> None:
    """A registry that cuts every answer is tried a few times; after a few images, once for each."""
    half = Reply(body=BLOB[:5000], headers={"Content-Length": str(len(BLOB))}, cut=True)
    time = Time()
    with hostile(lambda _: half) as server, client(time) as registry:
        for tries in (4, 4, 4, 1, 1):
            before = len(server.asked())
            with fails("unreachable", f"{server.host} cut the connection"):
                store(registry, server).fetch(DESCRIPTOR, LIMIT)
            assert len(server.asked()) - before == tries
    assert time.slept == [0.5, 1.0, 2.0] * 3


def test_fails_to_stream_what_is_cut() -> None:
    """What was read can't be taken back: a stream that breaks is an error."""
    half = Reply(body=BLOB[:5000], headers={"Content-Length": str(len(BLOB))}, cut=True)
    with (
        hostile(lambda _: half) as server,
        client(Time()) as registry,
        fails("unreachable", f"{server.host} cut the connection"),
        store(registry, server).open(DESCRIPTOR) as file,
    ):
        file.read()


def test_says_who_refuses_connections() -> None:
    """Nobody is there."""
    with hostile(serve) as server:
        host = server.host
    with client(Time()) as registry, fails("unreachable", f"{host} refused the connection"):
        store(registry, server).top()


STATUSES = {
    "401 Unauthorized": (
        "denied",
        "{host} wants a login, but asks for neither basic nor bearer: nothing",
    ),
    "403 Forbidden": (
        "denied",
        "{host} denies access: it answered 403 Forbidden (DENIED: \\x1b[31mno\\nway), and asked for no login",
    ),
    "404 Not Found": ("absent", "{host} has no such tag or manifest (DENIED: \\x1b[31mno\\nway)"),
    "400 Bad Request": ("refused", "{host} refused: it answered 400 Bad Request (DENIED: \\x1b[31mno\\nway)"),
    "418 Teapot": ("refused", "{host} refused: it answered 418 (DENIED: \\x1b[31mno\\nway)"),
    "204 No Content": ("unreachable", "{host} answered 204"),
}


@pytest.mark.parametrize("status", STATUSES)
def test_tells_answers_apart(status: str) -> None:
    """Each status has its verdict, with the registry's own words made printable; none is asked for again."""
    kind, reason = STATUSES[status]
    body = b"" if status.startswith("204") else b'{"errors": [{"code": "DENIED", "message": "\\u001b[31mno\\nway"}]}'
    with hostile(lambda _: Reply(status, body)) as server, client(Time()) as registry:
        with fails(kind, reason.format(host=server.host)):
            store(registry, server).top()
        assert server.paths() == [PATH]


def test_tells_an_unknown_repository() -> None:
    """By the registry's code."""
    body = b'{"errors": [{"code": "NAME_UNKNOWN", "message": "unknown"}]}'
    with (
        hostile(lambda _: Reply("404 Not Found", body)) as server,
        client(Time()) as registry,
        fails("absent", f"{server.host} has no such repository (NAME_UNKNOWN: unknown)"),
    ):
        store(registry, server).top()


@pytest.mark.parametrize(
    "body", [b"[" * 16000, b"<html>", b'{"errors": []}', b'{"errors": [1]}', b'{"errors": [{"message": 1}]}', b"\xff"]
)
def test_passes_on_no_words_where_there_are_none(body: bytes) -> None:
    """An error's body that is not the protocol's is left out."""
    with (
        hostile(lambda _: Reply("404 Not Found", body)) as server,
        client(Time()) as registry,
        fails("absent", f"{server.host} has no such tag or manifest"),
    ):
        store(registry, server).top()


def test_waits_and_tries_again() -> None:
    """429 and 5xx are asked again: later and later, or when they say, by seconds or by a date, within bounds."""
    replies = [
        Reply("500 Internal Server Error"),
        Reply("429 Too Many Requests", headers={"Retry-After": "7"}),
        Reply("503 Service Unavailable", headers={"Retry-After": "Thu, 01 Jan 1970 00:00:09 GMT"}),
        Reply(body=MANIFEST_DATA, headers=MANIFEST_TYPE),
    ]
    time = Time()
    with hostile(in_turn(*replies)) as server, client(time) as registry:
        assert store(registry, server).top()[1] == MANIFEST_DATA
    assert time.slept == [0.5, 7.0, 9.0]


def test_waits_no_longer_than_bearable() -> None:
    """A registry that wants to be left alone for longer than we have is given up at once, for this one thing."""
    for value in ("86400", "9" * 60):
        time = Time()
        with (
            hostile(always(Reply("429 Too Many Requests", headers={"Retry-After": value}))) as server,
            client(time) as registry,
        ):
            closed = "it asks to wait for longer than --timeout"
            with fails("unreachable", f"{server.host} answered 429 Too Many Requests: {closed}"):
                store(registry, server).fetch(DESCRIPTOR, LIMIT)
            assert len(server.asked()) == 1
        assert time.slept == []


NO_IMAGES = {
    b"": ("damaged", "the manifest is not JSON"),
    b"[" * 100_000: ("damaged", "the manifest is not JSON"),
    b"\xff\xfe": ("damaged", "the manifest is not JSON"),
    b"[]": ("damaged", "the manifest is not a JSON object"),
    b"{}": ("unsupported", "it is not an image: its media type is 'none'"),
    b'{"mediaType": "text/\\u001bx"}': ("unsupported", "it is not an image: its media type is 'text/\\\\x1bx'"),
    b'{"schemaVersion": 1, "fsLayers": []}': (
        "unsupported",
        "its manifest is of Docker's schema 1, outdated and not read here; push the image again with a current client",
    ),
    b'{"layers": [], "manifests": []}': (
        "damaged",
        "the manifest's fields are not those of application/vnd.oci.image.index.v1+json",
    ),
    b'{"mediaType": "application/vnd.oci.image.manifest.v1+json", "manifests": []}': (
        "damaged",
        "the manifest's fields are not those of application/vnd.oci.image.manifest.v1+json",
    ),
}


@pytest.mark.parametrize("body", NO_IMAGES, ids=range(len(NO_IMAGES)))
def test_refuses_what_is_no_image(body: bytes) -> None:
    """Garbage, schema 1, two kinds at once."""
    kind, reason = NO_IMAGES[body]
    with hostile(lambda _: Reply(body=body)) as server, client(Time()) as registry, fails(kind, reason):
        store(registry, server).top()


def test_goes_by_the_media_type() -> None:
    """Schema 1 is told by the header too; a header that contradicts the manifest is refused; any JSON is looked at."""
    schema_1 = {"Content-Type": "application/vnd.docker.distribution.manifest.v1+prettyjws"}
    docker = {"Content-Type": "application/vnd.docker.distribution.manifest.v2+json; charset=utf-8"}
    with (
        hostile(lambda _: Reply(body=MANIFEST_DATA, headers=schema_1)) as server,
        client(Time()) as registry,
        fails("unsupported", NO_IMAGES[b'{"schemaVersion": 1, "fsLayers": []}'][1]),
    ):
        store(registry, server).top()
    with hostile(lambda _: Reply(body=MANIFEST_DATA, headers=docker)) as server, client(Time()) as registry:
        oci = MANIFEST_TYPE["Content-Type"]
        served = "application/vnd.docker.distribution.manifest.v2+json"
        with fails("damaged", f"the manifest says that it is {oci}, and is served as {served}"):
            store(registry, server).top()
    silent = json.dumps({"schemaVersion": 2, "config": {}, "layers": []}).encode()
    for headers, kind in ((docker, served), ({"Content-Type": "application/json"}, oci)):
        with hostile(always(Reply(body=silent, headers=headers))) as server, client(Time()) as registry:
            assert store(registry, server).top() == (Descriptor(kind, digest_of(silent), len(silent)), silent)


def test_holds_a_manifest_against_the_digest_asked_for() -> None:
    """Whatever `Docker-Content-Digest` says."""
    digest = digest_of(b"another")
    headers = {**MANIFEST_TYPE, "Docker-Content-Digest": digest}
    with hostile(lambda _: Reply(body=MANIFEST_DATA, headers=headers)) as server, client(Time()) as registry:
        with fails("damaged", f"{server.host} served a manifest with the digest {digest_of(MANIFEST_DATA)}"):
            store(registry, server, f"org/app@{digest}").top()
        assert store(registry, server, "org/app:1").top()[0].digest == digest_of(MANIFEST_DATA)


@pytest.mark.parametrize("length", ["-1", "1e3", "9" * 40, "5, 6", "", "x"])
def test_survives_a_senseless_length(length: str) -> None:
    """It is ignored or refused; what is read is held against the descriptor."""
    reply = Reply(body=[BLOB], headers={"Content-Length": length}, cut=True)
    with hostile(lambda _: reply) as server, client(Time()) as registry:
        try:
            data = store(registry, server).fetch(DESCRIPTOR, LIMIT)
        except Exception as error:
            assert str(error) in {  # noqa: PT017  # both outcomes are right
                f"{server.host} gave an answer that is not HTTP",
                f"{server.host} cut the connection",
            }
        else:
            assert data == BLOB


@pytest.mark.parametrize(
    "before", ["100 Continue", "102 Processing", "103 Early Hints\r\nLink: </x>\r\nContent-Length: 5"]
)
@pytest.mark.parametrize("times", [1, 3])
def test_passes_over_what_comes_before_an_answer(before: str, times: int) -> None:
    """As any client has to."""
    head = f"HTTP/1.1 {before}\r\n\r\n" * times + f"HTTP/1.1 200 OK\r\nContent-Length: {len(BLOB)}\r\n\r\n"
    with hostile(always(Reply(body=head.encode() + BLOB, raw=True))) as server, client(Time()) as registry:
        for _ in range(2):
            assert store(registry, server).fetch(DESCRIPTOR, LIMIT) == BLOB


def test_takes_no_answer_that_is_not_http() -> None:
    """Another protocol, or far too many headers."""
    many = b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n"
    for raw in (b"SSH-2.0-OpenSSH\r\n", many, b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n"):
        with (
            hostile(always(Reply(body=raw, raw=True, cut=True))) as server,
            client(Time()) as registry,
            fails("unreachable", f"{server.host} gave an answer that is not HTTP"),
        ):
            store(registry, server).fetch(Descriptor(LAYER, DESCRIPTOR.digest, 10), LIMIT)


def test_says_that_a_name_is_not_known() -> None:
    """`.invalid` never is (RFC 6761)."""
    with client(Time()) as registry, fails("unreachable", "registry.invalid: its name is not known"):
        registry.store(Reference.parse("registry.invalid/org/app:1")).top()


def test_tries_no_plain_http_where_a_server_wants_tls() -> None:
    """What such servers say without it is 400; then the failure over TLS is what counts."""
    with hostile(serve, ping=Reply("400 Bad Request")) as server, client(Time()) as registry:
        with fails("unreachable", f"{server.host} does not speak TLS as is expected"):
            store(registry, server).top()
        assert server.asked() == []


def test_gives_up_an_error_s_words_when_they_do_not_come() -> None:
    """The status is enough."""
    reply = Reply("403 Forbidden", [b"{", 3600.0], headers={"Content-Length": "100"})
    with (
        hostile(always(reply)) as server,
        client() as registry,
        fails("denied", f"{server.host} denies access: it answered 403 Forbidden, and asked for no login"),
    ):
        store(registry, server).top()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (None, "no such file or directory"),
        (b"", "has no certificates in PEM"),
        (b"\xff\xfe", "has no certificates in PEM"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "has no certificates in PEM"),
    ],
)
def test_says_what_is_wrong_with_a_ca_file(tmp_path: Path, data: bytes | None, reason: str) -> None:
    """Before anything is asked."""
    file = tmp_path / "ca.pem"
    if data is not None:
        file.write_bytes(data)
    with pytest.raises(Unable) as caught, client(Time(), ca_file=str(file)):
        pass
    assert caught.value.headline == f"{file}: {reason}"
    assert caught.value.command == f"openssl x509 -in {file} -noout -subject"


def test_waits_for_no_ca_file(tmp_path: Path) -> None:
    """A FIFO in its place is refused; OpenSSL itself would wait for it."""
    os.mkfifo(tmp_path / "ca.pem")
    with (
        pytest.raises(Unable, match="is not a regular file"),
        client(Time(), ca_file=str(tmp_path / "ca.pem")),
    ):
        pass


def test_reads_certificates_among_words(tmp_path: Path) -> None:
    """What stands around a certificate, in whatever encoding, is passed over."""
    certificate = make_certificate(tmp_path)
    file = tmp_path / "ca.pem"
    file.write_bytes(b"# F\xc3\xbcr uns, \xff\n" + certificate.file.read_bytes() + b"\n# end\n")
    with hostile(serve, certificate) as server, client(Time(), ca_file=str(file)) as registry:
        assert store(registry, server).fetch(DESCRIPTOR, 1 << 20) == BLOB
