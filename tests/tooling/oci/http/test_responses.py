"""What a proxy or a storage service did to an answer's body: undone where it was done, or named."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import random
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
import zstandard
from asking import (
    BLOB,
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
from hypothesis import given
from hypothesis import strategies as st
from registries import Reply, digest_of, hostile
from urllib3 import HTTPResponse

from metalauncher.tooling.oci.http.response import Answer, parse_encodings
from metalauncher.tooling.oci.http.urls import parse_url
from metalauncher.tooling.oci.model import MANIFEST_LIMIT, Descriptor


def _deflate(data: bytes) -> bytes:
    """Deflate without zlib's frame, as some servers do."""
    deflater = zlib.compressobj(wbits=-15)
    return deflater.compress(data) + deflater.flush()


ENCODERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("X-GZip", gzip.compress),
    "gzip in two members": ("gzip", lambda data: gzip.compress(data[:50]) + gzip.compress(data[50:])),
    "zstd": ("zstd", zstandard.ZstdCompressor().compress),
    "deflate": ("deflate", zlib.compress),
    "deflate without a frame": ("deflate", _deflate),
    "identity": ("identity", bytes),
    "identity and gzip": ("identity, gzip", gzip.compress),
}
KINDS = {
    "no media type of its own": ("application/octet-stream", BLOB),
    "compressed with gzip": ("application/vnd.oci.image.layer.v1.tar+gzip", gzip.compress(BLOB, mtime=0)),
    "compressed with zstd": (
        "application/vnd.oci.image.layer.v1.tar+zstd",
        zstandard.ZstdCompressor().compress(BLOB),
    ),
    "Docker's": ("application/vnd.docker.image.rootfs.diff.tar.gzip", gzip.compress(BLOB, mtime=0)),
    "a config": ("application/vnd.oci.image.config.v1+json", json.dumps({"config": {}}).encode()),
}


@pytest.mark.parametrize("sized", [True, False])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", ENCODERS)
def test_undoes_an_encoding(case: str, kind: str, sized: bool) -> None:
    """Of a manifest and of blobs, also of those that are compressed in themselves, with and without a length."""
    header, encode = ENCODERS[case]
    media_type, blob = KINDS[kind]
    descriptor = Descriptor(media_type, digest_of(blob), len(blob))

    def reply(data: bytes) -> Reply:
        headers = {**MANIFEST_TYPE, "Content-Encoding": header}
        return Reply(body=encode(data) if sized else [encode(data)], headers=headers, cut=not sized)

    with hostile(lambda r: reply(MANIFEST_DATA if r.path == PATH else blob)) as server, client(Time()) as registry:
        image = store(registry, server)
        assert image.top()[1] == MANIFEST_DATA
        assert image.fetch(descriptor, LIMIT) == blob
        with image.open(descriptor) as file:
            assert file.read() == blob


@pytest.mark.parametrize("case", ["deflate", "deflate without a frame", "gzip", "zstd"])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_undoes_an_encoding_piece_by_piece(case: str, size: int) -> None:
    """To its end, also where the last of what comes out is held back until it is asked for."""
    header, encode = ENCODERS[case]
    for length in range(3, 120):
        data = b"{" + b"a" * length
        with contextlib.closing(HTTPResponse(io.BytesIO(encode(data)), preload_content=False)) as response:
            response.headers["Content-Encoding"] = header
            source = Answer(response, "h", parse_url("https://h/")).content()
            pieces = [source.read(size) for _ in range(length + 3)]
        assert b"".join(pieces) == data, length


@pytest.mark.parametrize("sized", [True, False])
@pytest.mark.parametrize("header", ["gzip", "zstd", "br", "gzip, br", "aws-chunked"])
@pytest.mark.parametrize("kind", ["compressed with gzip", "compressed with zstd", "a config"])
def test_leaves_what_is_not_encoded(kind: str, header: str, sized: bool) -> None:
    """A storage service repeats the header that a layer was uploaded with: it says what the layer is in itself."""
    media_type, blob = KINDS[kind]
    headers = {**MANIFEST_TYPE, "Content-Encoding": header}
    replies = {
        path: Reply(body=data if sized else [data], headers=headers, cut=not sized)
        for path, data in ((PATH, MANIFEST_DATA), (f"/v2/org/app/blobs/{digest_of(blob)}", blob))
    }
    descriptor = Descriptor(media_type, digest_of(blob), len(blob))
    with hostile(lambda r: replies[r.path]) as server, client(Time()) as registry:
        assert store(registry, server).top()[1] == MANIFEST_DATA
        assert store(registry, server).fetch(descriptor, LIMIT) == blob
        with store(registry, server).open(descriptor) as file:
            assert file.read() == blob


@pytest.mark.parametrize(("header", "names"), [("br", "br"), ("GZIP, br", "gzip, br"), ("x\x1b", "x\\\\x1b")])
def test_names_an_encoding_that_is_not_read(header: str, names: str) -> None:
    """Nobody asked for it."""
    reply = Reply(body=b"\x1b\x00\x00", headers={**MANIFEST_TYPE, "Content-Encoding": header})
    with hostile(always(reply)) as server, client(Time()) as registry:
        said = f"{server.host} sends it with Content-Encoding '{names}', though it was asked for none"
        with fails("unsupported", f"{said}; gzip, deflate or zstd would be undone"):
            store(registry, server).top()
        with fails("unsupported", f"{said}; gzip, deflate or zstd would be undone"):
            store(registry, server).fetch(DESCRIPTOR, LIMIT)


@pytest.mark.parametrize("case", ["gzip", "zstd", "deflate"])
def test_says_that_an_encoding_is_damaged(case: str) -> None:
    """One that is cut off, or broken at its end, where the sum of all is."""
    header, encode = ENCODERS[case]
    whole = (
        zstandard.ZstdCompressor(write_checksum=True).compress(BLOB[:9000]) if case == "zstd" else encode(BLOB[:9000])
    )
    for data in (whole[:-9], whole[:-1] + bytes([whole[-1] ^ 0xFF])):
        reply = Reply(body=data, headers={**MANIFEST_TYPE, "Content-Encoding": header})
        with hostile(always(reply)) as server, client(Time()) as registry:
            said = f"{server.host} sends it with Content-Encoding '{case}', and it is damaged"
            with fails("damaged", said):
                store(registry, server).top()
            with fails("damaged", f"{said}; it came from {server.host} with Content-Encoding '{case}'"):
                store(registry, server).fetch(DESCRIPTOR, LIMIT)


def test_says_that_what_comes_out_is_something_else() -> None:
    """By its digest, with the encoding that it was sent with."""
    reply = Reply(body=gzip.compress(b"x" * len(BLOB)), headers={"Content-Encoding": "gzip"})
    with hostile(always(reply)) as server, client(Time()) as registry:
        digests = f"has another digest than {DESCRIPTOR.digest}: {digest_of(b'x' * len(BLOB))[7:]}"
        with fails("damaged", f"{digests}; it came from {server.host} with Content-Encoding 'gzip'"):
            store(registry, server).fetch(DESCRIPTOR, LIMIT)


@pytest.mark.parametrize("case", ["gzip", "zstd", "deflate"])
def test_undoes_no_more_than_is_allowed(case: str) -> None:
    """What would grow a thousand times is not held."""
    header, encode = ENCODERS[case]
    bomb = encode(bytes(64 * MANIFEST_LIMIT))
    reply = Reply(body=bomb, headers={**MANIFEST_TYPE, "Content-Encoding": header})
    with hostile(always(reply)) as server, client(Time()) as registry:
        tracemalloc.start()
        try:
            with fails("too-large", "the manifest is larger than 4 MiB"):
                store(registry, server).top()
            with fails(
                "damaged",
                f"is longer than the 10000 bytes that it should have; it came from {server.host} with"
                f" Content-Encoding '{case}'",
            ):
                store(registry, server).fetch(DESCRIPTOR, LIMIT)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 6 * MANIFEST_LIMIT


def test_reads_encoded_words_and_tokens() -> None:
    """The answers of token servers, and what is said of errors."""
    token = Reply(body=gzip.compress(b'{"token": "token-1"}'), headers={"Content-Encoding": "gzip"})
    with hostile(always(token)) as tokens:
        challenge = {"WWW-Authenticate": f'Bearer realm="http://{tokens.host}/token"'}
        words = b'{"errors": [{"code": "DENIED", "message": "not yours"}]}'
        denied = Reply("403 No", gzip.compress(words), {"Content-Encoding": "gzip"})
        with (
            hostile(in_turn(Reply("401 No", headers=challenge), denied)) as server,
            client(Time()) as registry,
            fails(
                "denied",
                f"{server.host} denies access: it answered 403 Forbidden (DENIED: not yours), without a login:"
                " there is none for it anywhere",
            ),
        ):
            store(registry, server).top()


def test_tries_again_when_an_encoded_body_is_cut() -> None:
    """A connection that breaks is no damage, at its beginning or later."""
    blob = random.Random(1).randbytes(300_000)
    body = gzip.compress(blob)
    descriptor = Descriptor("application/octet-stream", digest_of(blob), len(blob))
    headers = {"Content-Encoding": "gzip", "Content-Length": str(len(body))}
    cuts = [Reply(body=body[:size], headers=headers, cut=True) for size in (20, 200_000)]
    with hostile(in_turn(*cuts, Reply(body=body, headers=headers))) as server, client(Time()) as registry:
        assert store(registry, server).fetch(descriptor, LIMIT) == blob
        assert len(server.paths()) == 3


def test_leaves_what_another_encoding_made() -> None:
    """A blob of no media type that is compressed in itself, and a header that names another encoding."""
    blob = gzip.compress(BLOB, mtime=0)
    descriptor = Descriptor("application/octet-stream", digest_of(blob), len(blob))
    with (
        hostile(lambda _: Reply(body=[blob], headers={"Content-Encoding": "zstd"}, cut=True)) as server,
        client(Time()) as registry,
    ):
        assert store(registry, server).fetch(descriptor, LIMIT) == blob


@given(st.text("gzip, \t;=\x1b", max_size=40) | st.text(max_size=40))
def test_reads_any_header(header: str) -> None:
    """The names in it, in lower case, printable."""
    names = parse_encodings(header)
    assert all(name and name.isprintable() and name.lower() != "identity" for name in names)
    assert len(names) <= header.count(",") + 1


def test_serves_what_is_not_encoded() -> None:
    """As ever."""
    with hostile(serve) as server, client(Time()) as registry:
        assert store(registry, server).fetch(DESCRIPTOR, LIMIT) == BLOB
