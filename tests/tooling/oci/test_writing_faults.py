"""Registries that lose answers, cut uploads, are busy, or mean harm: what is written is whole, or nothing is."""

from __future__ import annotations

import contextlib
import hashlib
import io
import random
from collections.abc import Callable, Iterator
from typing import IO, TYPE_CHECKING

import pytest
from asking import Time, client, fails
from keeping import Cut, Fault, Faults, Kept, Lost, error, keeping
from registries import (
    CONFIG,
    LAYER,
    MANIFEST,
    HostileRegistry,
    Reply,
    Request,
    digest_of,
    hostile,
    make_manifest,
)
from urllib3.response import HTTPResponse

from metalauncher.tooling.oci import uploads
from metalauncher.tooling.oci.http.response import Answer
from metalauncher.tooling.oci.http.urls import parse_url
from metalauncher.tooling.oci.model import Descriptor, ImageError
from metalauncher.tooling.oci.reference import Reference

if TYPE_CHECKING:
    from metalauncher.tooling.oci.destination import Destination
    from metalauncher.tooling.oci.sources.registry import Registry

CHUNK = 1000
CONFIG_DATA = b'{"os": "linux"}'
MOUNTED, LARGE, SMALL = b"mounted" * 100, hashlib.shake_256(b"large").digest(3500), b"small"
PUSHED = make_manifest(CONFIG_DATA, MOUNTED, LARGE, SMALL)
TARGET = "org/app"


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "CHUNK", CHUNK)


def _descriptor(data: bytes, kind: str = LAYER) -> Descriptor:
    return Descriptor(kind, digest_of(data), len(data))


def _opens(data: bytes) -> Callable[[], contextlib.AbstractContextManager[IO[bytes]]]:
    return lambda: contextlib.nullcontext(io.BytesIO(data))


def _kept(faults: Faults = lambda _, __: None, *, mounts: bool = True, largest: int | None = None) -> Kept:
    kept = Kept(faults, mounts=mounts, largest=largest)
    kept.blobs["org/source"][digest_of(MOUNTED)] = MOUNTED
    return kept


@contextlib.contextmanager
def _target(kept: Kept, time: Time | None = None) -> Iterator[tuple[Destination, HostileRegistry]]:
    with keeping(kept) as server, client(time or Time()) as registry:
        yield _at(registry, server), server


def _between(first: int, end: int, fault: Fault) -> Faults:
    return lambda _, asked: fault if first <= asked < end else None


def _at_method(method: str, fault: Fault) -> Faults:
    return lambda request, _: fault if request.method == method else None


def _at(registry: Registry, server: HostileRegistry, *reads: str) -> Destination:
    return registry.destination(Reference.parse(f"{server.host}/{TARGET}:1"), reads or ("org/source",))


def _push(target: Destination) -> None:
    target.copy(_descriptor(MOUNTED), "org/source", _opens(MOUNTED))
    for data in (LARGE, SMALL):
        target.upload(_descriptor(data), _opens(data))
    target.upload(_descriptor(CONFIG_DATA, CONFIG), _opens(CONFIG_DATA))
    target.put_manifest(MANIFEST, PUSHED)
    target.put_tag("1", MANIFEST, PUSHED, None)


def _is_whole(kept: Kept) -> bool:
    blobs = {digest_of(data): data for data in (MOUNTED, LARGE, SMALL, CONFIG_DATA)}
    return (
        kept.blobs[TARGET] == blobs
        and kept.manifests[TARGET] == {digest_of(PUSHED): (MANIFEST, PUSHED)}
        and kept.tags[TARGET] == {"1": digest_of(PUSHED)}
    )


# What a push asks where nothing is wrong: nothing more, and in this order.
REQUESTS = [
    "POST blobs/uploads/?mount={mounted}&from=org%2Fsource",
    "HEAD blobs/{large}",
    "POST blobs/uploads/",
    "PUT sessions/s1?state=a%2fb&digest={large}",
    "HEAD blobs/{small}",
    "POST blobs/uploads/",
    "PUT sessions/s2?state=a%2fb&digest={small}",
    "HEAD blobs/{config}",
    "POST blobs/uploads/",
    "PUT sessions/s3?state=a%2fb&digest={config}",
    "PUT manifests/{manifest}",
    "HEAD manifests/1",
    "PUT manifests/1",
    "HEAD manifests/1",
]
_NAMES = {"mounted": MOUNTED, "large": LARGE, "small": SMALL, "config": CONFIG_DATA, "manifest": PUSHED}


def test_asks_no_more_than_it_takes() -> None:
    """A blob is mounted with one request, else looked for and sent with two."""
    kept = _kept()
    with _target(kept) as (target, server):
        _push(target)
    assert _is_whole(kept)
    asked = [f"{request.method} {request.path.removeprefix(f'/v2/{TARGET}/')}" for request in server.asked()]
    digests = {name: digest_of(data) for name, data in _NAMES.items()}
    assert [line.replace("sha256%3A", "sha256:") for line in asked] == [line.format(**digests) for line in REQUESTS]
    assert not any("Content-Range" in request.headers for request in server.asked())
    assert server.connections() == 2  # one to find out that it speaks no TLS


def _asked_for(server: HostileRegistry) -> list[str]:
    return [request.headers.get("Content-Range", request.method) for request in server.asked()]


CHUNKS = ["0-999", "1000-1999", "2000-2999", "3000-3499"]
FIRST = ["HEAD", "POST", "PUT", "POST"]  # what comes before the chunks, where the whole is too large


def test_sends_chunks_where_the_whole_is_too_large() -> None:
    """Each says where it belongs, and how long it is."""
    kept = _kept(largest=CHUNK)
    with _target(kept) as (target, server):
        target.upload(_descriptor(LARGE), _opens(LARGE))
    assert kept.blobs[TARGET] == {digest_of(LARGE): LARGE}
    assert _asked_for(server) == [*FIRST, *CHUNKS, "PUT"]
    patches = [request for request in server.asked() if request.method == "PATCH"]
    assert [request.headers["Content-Length"] for request in patches] == ["1000", "1000", "1000", "500"]


def test_sends_chunks_where_the_whole_was_cut() -> None:
    """And the whole again where the chunks come to no end."""
    kept = _kept(lambda _, asked: Cut(2000) if asked == 3 else None)
    with _target(kept) as (target, server):
        target.upload(_descriptor(LARGE), _opens(LARGE))
    assert _asked_for(server) == ["HEAD", "POST", "PUT", "HEAD", "POST", *CHUNKS, "PUT"]
    drops = Reply("201 Created", headers={"Range": "0-999"})  # as Amazon's ECR does
    kept = _kept(lambda request, asked: Cut(2000) if asked == 3 else drops if request.method == "PATCH" else None)
    with _target(kept) as (target, server):
        target.upload(_descriptor(LARGE), _opens(LARGE))
    assert kept.blobs[TARGET] == {digest_of(LARGE): LARGE}
    assert server.asked()[-1].body == LARGE


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK])
def test_sends_blobs_of_any_size(size: int) -> None:
    """Nothing at all, one chunk exactly, and a byte more."""
    kept = _kept()
    data = LARGE[:size]
    with _target(kept) as (target, server):
        assert target.upload(_descriptor(data), _opens(data)) == size
        assert target.has(_descriptor(data))
    assert kept.blobs[TARGET] == {digest_of(data): data}
    patches = [request for request in server.asked() if request.method == "PATCH"]
    assert patches == []
    kept = _kept(largest=CHUNK)
    with _target(kept) as (target, server):
        assert target.upload(_descriptor(data), _opens(data)) == size
    assert kept.blobs[TARGET] == {digest_of(data): data}
    patches = [request for request in server.asked() if request.method == "PATCH"]
    assert len(patches) == (0 if size <= CHUNK else 2)


BUSY: dict[str, Fault] = {
    "429": Reply("429 Too Many Requests", headers={"Retry-After": "7"}),
    "429 without a time": Reply("429 Too Many Requests"),
    "500": Reply("500 Internal Server Error"),
    "502": Reply("502 Bad Gateway"),
    "503": Reply("503 Service Unavailable", headers={"Retry-After": "3"}),
    "504": Reply("504 Gateway Timeout"),
    "lost": Lost(),
    "cut before the body": Cut(0),
    "cut in the body": Cut(300),
    "no HTTP": Reply(raw=True, body=b"garbage", cut=True),
}


@pytest.mark.parametrize(("times", "largest"), [(1, CHUNK), (3, None)])
@pytest.mark.parametrize("fault", BUSY)
def test_goes_on_after_a_fault_at_each_request(fault: str, times: int, largest: int | None) -> None:
    """Whatever fails a while, and whichever request it is: everything is there in the end, once."""
    kept = _kept(largest=largest)
    requests = len(REQUESTS) + (0 if largest is None else 1 + len(CHUNKS) + 1)
    with _target(kept) as (target, _):
        for number in range(1, requests + 1):
            for of_target in (kept.blobs, kept.manifests, kept.tags):
                of_target.pop(TARGET, None)
            first = kept.number + number
            kept.faults = _between(first, first + times, BUSY[fault])
            before = kept.number
            _push(target)
            assert _is_whole(kept), number
            assert kept.number - before <= requests + 4 * times + 10, number


@pytest.mark.parametrize("seed", range(3))
def test_goes_on_where_every_third_request_fails(seed: int) -> None:
    """Whichever they are, and however they fail."""
    chance = random.Random(seed)
    faults = list(BUSY.values())
    kept = _kept(
        lambda _, __: chance.choice(faults) if chance.random() < 0.33 else None, largest=chance.choice([None, CHUNK])
    )
    with _target(kept) as (target, _):
        _push(target)
    assert _is_whole(kept)


def test_waits_as_long_as_it_is_told() -> None:
    """`Retry-After` holds for what is written as well, and for the whole host."""
    time = Time()
    kept = _kept(lambda _, asked: BUSY["429"] if asked == 5 else None)
    with _target(kept, time) as (target, _):
        _push(target)
    assert 7 in time.slept


def test_gives_up_on_a_registry_that_is_down() -> None:
    """A few tries, and the reason; uploads are not begun again and again."""
    for method, reason in {
        "POST": "{h} answered 500 Internal Server Error",
        "PUT": "none of 4 uploads to {h} came to its end: {h} answered 500 Internal Server Error",
    }.items():
        kept = _kept(_at_method(method, BUSY["500"]))
        with _target(kept) as (target, server), fails("unreachable", reason.format(h=server.host)):
            target.upload(_descriptor(LARGE), _opens(LARGE))
        assert len(server.asked()) < 40
        assert kept.blobs[TARGET] == {}


def test_goes_on_from_what_the_session_has() -> None:
    """The session says how much came: only the rest is sent, in the same session."""
    kept = _kept(lambda _, asked: Cut(300) if asked == 7 else None, largest=CHUNK)
    with _target(kept) as (target, server):
        target.upload(_descriptor(LARGE), _opens(LARGE))
    assert kept.blobs[TARGET] == {digest_of(LARGE): LARGE}
    assert _asked_for(server) == [*FIRST, *CHUNKS[:3], "GET", "2300-2999", "3000-3499", "PUT"]
    kept = _kept(lambda _, asked: Cut(0) if asked == 5 else None, largest=CHUNK)
    with _target(kept) as (target, server):
        target.upload(_descriptor(LARGE), _opens(LARGE))
    assert _asked_for(server) == [*FIRST, CHUNKS[0], "GET", *CHUNKS, "PUT"]  # it says 0-0, and has nothing


def test_believes_what_a_registry_says_that_it_took() -> None:
    """Half of a chunk: the other half is sent. More than it was sent: another upload is begun."""
    kept = _kept(largest=CHUNK)

    def half(_: Request, asked: int) -> Fault:
        if asked != 6:
            return None
        kept.sessions["s2"] += LARGE[CHUNK : CHUNK + 500]
        return Reply("202 Accepted", headers={"Range": "0-1499"})

    kept.faults = half
    with _target(kept) as (target, server):
        target.upload(_descriptor(LARGE), _opens(LARGE))
    assert kept.blobs[TARGET] == {digest_of(LARGE): LARGE}
    assert _asked_for(server) == [*FIRST, *CHUNKS[:2], "GET", "1500-1999", *CHUNKS[2:], "PUT"]
    boasts = Reply("204 No Content", headers={"Range": "0-99999"})
    faults: dict[int, Fault] = {6: Cut(0), 7: boasts}
    kept = _kept(lambda _, asked: faults.get(asked), largest=CHUNK)
    with _target(kept) as (target, server):
        target.upload(_descriptor(LARGE), _opens(LARGE))
    assert _asked_for(server) == [*FIRST, *CHUNKS[:2], "GET", "POST", *CHUNKS, "PUT"]


def test_asks_what_a_session_has_that_is_elsewhere() -> None:
    """It says 416: then what it has counts; where it says so again, another one is begun."""
    odd = Reply("416 Range Not Satisfiable")
    kept = _kept(lambda _, asked: odd if asked == 6 else None, largest=CHUNK)
    with _target(kept) as (target, server):
        target.upload(_descriptor(LARGE), _opens(LARGE))
    assert _asked_for(server) == [*FIRST, *CHUNKS[:2], "GET", *CHUNKS[1:], "PUT"]
    kept = _kept(lambda _, asked: odd if asked in {6, 8} else None, largest=CHUNK)
    with _target(kept) as (target, server):
        target.upload(_descriptor(LARGE), _opens(LARGE))
    assert _asked_for(server) == [*FIRST, *CHUNKS[:2], "GET", CHUNKS[1], "POST", *CHUNKS, "PUT"]


LOST_SESSIONS = {
    "404": error("404 Not Found", "BLOB_UPLOAD_UNKNOWN"),
    "400": error("400 Bad Request", "BLOB_UPLOAD_INVALID"),
    "410": Reply("410 Gone"),
}


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
@pytest.mark.parametrize("reply", LOST_SESSIONS)
def test_begins_anew_where_a_session_is_lost(method: str, reply: str) -> None:
    """Once it is; where all of them are, that is the reason."""
    failed: list[int] = []

    def once(request: Request, asked: int) -> Fault:
        if request.method == method and not failed:
            failed.append(asked)
            return LOST_SESSIONS[reply]
        return None

    kept = _kept(once, largest=CHUNK)
    with _target(kept) as (target, _):
        target.upload(_descriptor(LARGE), _opens(LARGE))
    assert kept.blobs[TARGET] == {digest_of(LARGE): LARGE}
    kept = _kept(_at_method(method, LOST_SESSIONS[reply]), largest=CHUNK)
    why = r"none of 4 uploads to 127\.0\.0\.1:[0-9]+ came to its end: 127\.0\.0\.1:[0-9]+ (refused|has no)"
    with _target(kept) as (target, server), pytest.raises(ImageError, match=why):
        target.upload(_descriptor(LARGE), _opens(LARGE))
    assert len([request for request in server.asked() if request.method == "POST"]) == 4
    assert kept.blobs[TARGET] == {}


MOUNTS = {
    "202": None,
    "202 from a registry that ignores it": Reply("202 Accepted", headers={"Location": "/v2/org/app/sessions/mine"}),
    "201 for another blob": Reply("201 Created", headers={"Docker-Content-Digest": digest_of(b"other")}),
    "400": error("400 Bad Request", "UNSUPPORTED"),
    "403": error("403 Forbidden", "DENIED"),
    "404": error("404 Not Found", "NAME_UNKNOWN"),
    "405": error("405 Method Not Allowed", "UNSUPPORTED"),
    "501": Reply("501 Not Implemented"),
    "500": Reply("500 Internal Server Error"),
}


@pytest.mark.parametrize("case", MOUNTS)
def test_sends_what_is_not_mounted(case: str) -> None:
    """Whatever a registry says to a mount: the blob is there in the end."""
    reply = MOUNTS[case]
    kept = _kept(lambda request, _: reply if "mount=" in request.path else None, mounts=False)
    kept.sessions["mine"] = bytearray()
    with _target(kept) as (target, server):
        assert target.copy(_descriptor(MOUNTED), "org/source", _opens(MOUNTED)) == len(MOUNTED)
    assert kept.blobs[TARGET] == {digest_of(MOUNTED): MOUNTED}
    begun = [request.path for request in server.asked() if request.method == "POST"]
    if case.startswith("202"):
        assert len(begun) == 1  # the session that it began is used
    else:
        assert len(begun) == (5 if case == "500" else 2)  # a 500 is tried again


LOCATIONS = {
    "http://user:word@127.0.0.1/x": "{h} wants uploads sent to a URL with a login in it",
    "http://storage.example/x": "storage.example over plain HTTP, and storage.example is not named as insecure",
    "file:///etc/passwd": "{h} wants uploads sent to something else than HTTP: 'file'",
    "//": "{h} wants uploads sent to something that is not a URL",
    "//user@127.0.0.1/x": "{h} wants uploads sent to a URL with a login in it",
    "/" + "x" * 20_000: "{h} wants uploads sent to something that is not a URL",
    "/a\tb": "{h} wants uploads sent to something that is not a URL",
    "http://127.0.0.1:0/": "{h} wants uploads sent to something that is not a URL",
    "": "{h} begins an upload and does not say where",
}


@pytest.mark.parametrize("location", LOCATIONS, ids=range(len(LOCATIONS)))
@pytest.mark.parametrize("at", ["POST", "PATCH"])
def test_sends_nothing_astray(location: str, at: str) -> None:
    """Where an upload is to go on is refused, at once, where it is not to be sent."""
    if at == "PATCH" and not location:
        return  # it goes on where it was
    headers = {"Location": location} if location else {}
    kept = _kept(_at_method(at, Reply("202 Accepted", headers=headers)), largest=CHUNK)
    with _target(kept) as (target, server):
        reason = LOCATIONS[location].format(h=server.host)
        with fails("unreachable" if location else "damaged", reason):
            target.upload(_descriptor(LARGE), _opens(LARGE))
        assert len(server.asked()) == (2 if at == "POST" else len(FIRST) + 1)


HERE: dict[tuple[str, str], str] = {
    ("https://registry.example/v2/", "https://127.0.0.1/x"): "this machine itself",
    ("http://registry.example/v2/", "http://localhost:8080/x"): "this machine itself",
    ("https://registry.example/v2/", "//[::1]/x"): "this machine itself",
    ("https://registry.example/v2/", "http://registry.example/x"): "over plain HTTP",
    ("https://127.0.0.1:5000/v2/", "https://127.0.0.1:5001/x"): "",
    ("https://registry.example/v2/", "https://storage.example/x"): "",
}


@pytest.mark.parametrize(("at", "location"), HERE)
def test_lets_no_registry_elsewhere_write_here(at: str, location: str) -> None:
    """What listens on this machine is not for it."""
    response = HTTPResponse(headers={"Location": location}, status=202)
    wrong = HERE[at, location]
    with contextlib.closing(response), contextlib.ExitStack() as stack:
        if wrong:
            stack.enter_context(pytest.raises(ImageError, match=f"^h wants uploads sent (to )?{wrong}$"))
        session = uploads.Session(Answer(response, "h", parse_url(at)))
        assert str(session.url) == location


def test_follows_nobody_with_what_it_writes() -> None:
    """A redirect of a POST, a PATCH or a PUT is an answer, and no place to send anything to."""
    with hostile(lambda _: Reply("201 Created")) as other:
        moved = Reply("307 Temporary Redirect", headers={"Location": f"http://{other.host}/x"})
        for at in ("POST", "PATCH", "PUT"):
            kept = _kept(_at_method(at, moved), largest=None if at == "PUT" else CHUNK)
            with _target(kept) as (target, server), fails("unreachable", f"{server.host} answered 307"):
                target.upload(_descriptor(LARGE), _opens(LARGE))
        assert other.requests == []
