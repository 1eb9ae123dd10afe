"""Tags that somebody else moves, or that the registry lets nobody move; and whom a token for writing is for."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from asking import SECRET, Time, client, fails, logins
from faults import Tokens
from keeping import Fault, Faults, Kept, Lost, error, keeping
from registries import (
    LAYER,
    MANIFEST,
    HostileRegistry,
    Reply,
    Request,
    auth,
    digest_of,
    hostile,
    make_certificate,
)

from metalauncher.tooling.oci import uploads
from metalauncher.tooling.oci.destination import Tagged
from metalauncher.tooling.oci.model import Descriptor, ImageError
from metalauncher.tooling.oci.reference import Reference

if TYPE_CHECKING:
    from metalauncher.tooling.oci.destination import Destination
    from metalauncher.tooling.oci.sources.registry import Registry

REPOSITORY = "org/app"
OURS, OLD, THEIRS = [json.dumps({"mediaType": MANIFEST, "number": number}).encode() for number in range(3)]
BLOB = b"a blob" * 1000
DESCRIPTOR = Descriptor(LAYER, digest_of(BLOB), len(BLOB))


def _open() -> contextlib.AbstractContextManager[io.BytesIO]:
    return contextlib.nullcontext(io.BytesIO(BLOB))


def _at(registry: Registry, server: HostileRegistry, *reads: str) -> Destination:
    return registry.destination(Reference.parse(f"{server.host}/{REPOSITORY}:1"), reads)


def _kept(*, tag: bytes | None = None) -> Kept:
    kept = Kept()
    for data in (OURS, OLD, THEIRS):
        kept.manifests[REPOSITORY][digest_of(data)] = MANIFEST, data
    if tag is not None:
        kept.tags[REPOSITORY]["1"] = digest_of(tag)
    return kept


@contextlib.contextmanager
def _target(kept: Kept) -> Iterator[tuple[Destination, HostileRegistry]]:
    with keeping(kept) as server, client(Time()) as registry:
        yield _at(registry, server), server


def _moving(kept: Kept, number: int, to: bytes | None) -> Faults:
    """Let somebody else write the tag just before a request is served."""

    def move(_: Request, asked: int) -> Fault:
        if asked == number and to is None:
            del kept.tags[REPOSITORY]["1"]
        elif asked == number and to is not None:
            kept.tags[REPOSITORY]["1"] = digest_of(to)
        return None

    return move


BEFORE = {"a new tag": None, "a tag that was there": OLD}


@pytest.mark.parametrize("case", BEFORE)
@pytest.mark.parametrize("number", [1, 3])
def test_reports_who_else_wrote(case: str, number: int) -> None:
    """Before we look, and between our write and our second look: it stays what they made it."""
    kept = _kept(tag=BEFORE[case])
    kept.faults = _moving(kept, number, THEIRS)
    was = f", not {digest_of(OLD)}" if BEFORE[case] else ", and was not there"
    before = Tagged(digest_of(OLD), "") if BEFORE[case] else None
    with (
        _target(kept) as (target, server),
        fails("moved", f"somebody else moved the tag 1: it names {digest_of(THEIRS)}{was}"),
    ):
        target.put_tag("1", MANIFEST, OURS, before)
    assert kept.tags[REPOSITORY]["1"] == digest_of(THEIRS)
    assert [request.method for request in server.asked()] == (["HEAD"] if number == 1 else ["HEAD", "PUT", "HEAD"])


@pytest.mark.parametrize("case", BEFORE)
def test_a_registry_that_knows_conditions_closes_the_window(case: str) -> None:
    """Between our look and our write: with `If-Match` and `If-None-Match` nothing is overwritten then either."""
    for conditional in (True, False):
        kept = _kept(tag=BEFORE[case])
        kept.conditional = conditional
        kept.faults = _moving(kept, 2, THEIRS)
        before = Tagged(digest_of(OLD), "") if BEFORE[case] else None
        with _target(kept) as (target, server):
            if conditional:
                with pytest.raises(Exception, match="somebody else moved the tag 1: it names"):
                    target.put_tag("1", MANIFEST, OURS, before)
            else:
                target.put_tag(
                    "1", MANIFEST, OURS, before
                )  # the window that docs/reference/container-registries.md tells of
        assert kept.tags[REPOSITORY]["1"] == digest_of(THEIRS if conditional else OURS)
        put = next(request for request in server.asked() if request.method == "PUT")
        sent = {name: put.headers[name] for name in ("If-Match", "If-None-Match") if name in put.headers}
        assert sent == ({"If-Match": f'"{digest_of(OLD)}"'} if BEFORE[case] else {"If-None-Match": "*"})


def test_reports_a_tag_that_is_gone() -> None:
    """Somebody took it away before we wrote."""
    kept = _kept(tag=OLD)
    kept.faults = _moving(kept, 1, None)
    with (
        _target(kept) as (target, _),
        fails("moved", f"somebody else moved the tag 1: it is not there, not {digest_of(OLD)}"),
    ):
        target.put_tag("1", MANIFEST, OURS, Tagged(digest_of(OLD), ""))


@pytest.mark.parametrize("etag", ['W/"weak"', "bare", '"a b"', '"' + "x" * 600 + '"', '""', '"a", "b"'])
def test_takes_strong_etags_alone(etag: str) -> None:
    """A weak one never matches; what is none is not sent back."""
    kept = _kept(tag=OLD)

    def odd(request: Request, _: int) -> Fault:
        if request.method == "PUT":
            return None
        reply = kept.serve(request)
        reply.headers["ETag"] = etag
        return reply

    kept.faults = odd
    with _target(kept) as (target, server):
        found = target.tagged("1")
        assert found == Tagged(digest_of(OLD), etag if etag == '""' else "")
        target.put_tag("1", MANIFEST, OURS, found)
    put = next(request for request in server.asked() if request.method == "PUT")
    assert put.headers.get("If-Match") == (etag if etag == '""' else None)


def _sha512(data: bytes) -> str:
    return f"sha512:{hashlib.sha512(data).hexdigest()}"


def test_a_registry_that_names_manifests_by_sha512() -> None:
    """It says the same of a tag by another name: what was written has not moved, and another thing is another."""
    kept = _kept(tag=OLD)
    kept.named = _sha512
    with _target(kept) as (target, server):
        before = target.tagged("1")
        assert before is not None
        assert before.digest == digest_of(OLD)
        assert target.put_manifest(MANIFEST, OURS) == digest_of(OURS)
        target.put_tag("1", MANIFEST, OURS, before)
        now = target.tagged("1")
        assert now is not None
        assert now.digest == digest_of(OURS)
        with fails("moved", f"somebody else moved the tag 1: it names {digest_of(OURS)}, not {digest_of(OLD)}"):
            target.put_tag("1", MANIFEST, THEIRS, before)
        kept.named = lambda _: _sha512(OLD)
        answered = f"{server.host} answers for {_sha512(OURS)} with another digest: {_sha512(OLD)[:100]!r}"
        with fails("damaged", answered):
            target.put_manifest(MANIFEST, OURS)


IMMUTABLE = {
    "ECR": error("400 Bad Request", "TAG_INVALID", "The image tag '1' already exists and cannot be overwritten"),
    "ECR's API": error("409 Conflict", "ImageTagAlreadyExistsException", "immutable"),
    "Harbor": error("412 Precondition Failed", "PRECONDITION", "Failed to process request due to 'app:1' immutable"),
    "Google": error("400 Bad Request", "MANIFEST_INVALID", "The repository has enabled tag immutability"),
    "Google, forbidden": error("403 Forbidden", "DENIED", "cannot update tag 1: immutable tags"),
    "Azure": error("405 Method Not Allowed", "UNSUPPORTED", "The operation is disallowed on this registry"),
    "without a word": Reply("409 Conflict"),
}


@pytest.mark.parametrize("case", IMMUTABLE)
def test_knows_immutable_tags(case: str) -> None:
    """Each registry says it in its own way."""
    reply = IMMUTABLE[case]
    kept = _kept(tag=OLD)
    kept.faults = lambda request, _: reply if request.method == "PUT" else None
    document = json.loads(bytes(reply.body)) if reply.body else {"errors": [{}]}  # type: ignore[arg-type]
    said = ": ".join(document["errors"][0].values())
    with _target(kept) as (target, server):
        reason = f"{server.host} does not allow moving the tag 1: it answered {reply.status}" + f" ({said})" * bool(
            said
        )
        with fails("immutable", reason):
            target.put_tag("1", MANIFEST, OURS, Tagged(digest_of(OLD), ""))
    assert kept.tags[REPOSITORY]["1"] == digest_of(OLD)


NOT_IMMUTABLE = {
    "may not push": (error("403 Forbidden", "DENIED", "no"), "denied"),
    "read-only": (error("405 Method Not Allowed", "UNSUPPORTED", "read only"), "refused"),
    "a bad manifest": (error("400 Bad Request", "MANIFEST_INVALID", "bad"), "refused"),
}


@pytest.mark.parametrize("case", NOT_IMMUTABLE)
def test_takes_no_other_refusal_for_that(case: str) -> None:
    """A tag that is not there can't be immutable."""
    reply, kind = NOT_IMMUTABLE[case]
    kept = _kept()
    kept.faults = lambda request, _: reply if request.method == "PUT" else None
    with _target(kept) as (target, _), pytest.raises(ImageError) as caught:
        target.put_tag("1", MANIFEST, OURS, None)
    assert caught.value.kind == kind


def test_knows_its_own_write_again() -> None:
    """The answer to our PUT was lost, and the registry refuses the second: the tag names what we wrote."""
    kept = _kept(tag=OLD)

    def lose(request: Request, asked: int) -> Fault:
        if request.method != "PUT":
            return None
        if asked == 2:
            return Lost()
        return error("409 Conflict", "IMMUTABLE")

    kept.faults = lose
    with _target(kept) as (target, server):
        target.put_tag("1", MANIFEST, OURS, Tagged(digest_of(OLD), ""))
    assert [request.method for request in server.asked()] == ["HEAD", "PUT", "HEAD"]


HEADS: dict[str, tuple[dict[str, str], str]] = {
    "no digest": ({"Docker-Content-Digest": ""}, "200 OK"),
    "no digest at all": ({"Docker-Content-Digest": "latest"}, "200 OK"),
    "HEAD is not known": ({}, "405 Method Not Allowed"),
    "HEAD is a bad request": ({}, "400 Bad Request"),
}


@pytest.mark.parametrize("case", HEADS)
def test_gets_what_head_does_not_say(case: str) -> None:
    """Then the content itself gives its digest."""
    headers, status = HEADS[case]
    kept = _kept(tag=OLD)

    def odd(request: Request, _: int) -> Fault:
        return Reply(status, headers={"Content-Length": "10", **headers}) if request.method == "HEAD" else None

    kept.faults = odd
    with _target(kept) as (target, server):
        assert target.tagged("1") == Tagged(digest_of(OLD), f'"{digest_of(OLD)}"')
    assert [request.method for request in server.asked()] == ["HEAD", "GET"]


@pytest.mark.parametrize("method", ["HEAD", "PUT"])
def test_believes_no_answer_about_another_digest(method: str) -> None:
    """Whoever answers for something else has not done what was asked."""
    other = {"Docker-Content-Digest": digest_of(b"other")}
    status = "200 OK" if method == "HEAD" else "201 Created"
    kept = _kept()
    kept.faults = lambda request, _: Reply(status, headers=other) if request.method == method else None
    with _target(kept) as (target, server):
        reason = f"{server.host} answers for {DESCRIPTOR.digest} with another digest: '{digest_of(b'other')}'"
        with fails("damaged", reason):
            target.upload(DESCRIPTOR, _open)
        if method == "PUT":
            with fails("damaged", reason.replace(DESCRIPTOR.digest, digest_of(OURS))):
                target.put_manifest(MANIFEST, OURS)


@contextlib.contextmanager
def _with_tokens(tokens: Tokens, folder: Path, *reads: str) -> Iterator[tuple[Destination, HostileRegistry, Registry]]:
    with hostile(tokens.give) as giving, keeping(tokens.kept) as server:
        tokens.kept.faults = tokens.want(f"http://{giving.host}/token")
        tokens.kept.blobs["org/source"][DESCRIPTOR.digest] = BLOB
        environment = logins(folder, auths={server.host: {"auth": auth("ann", SECRET)}})
        with client(Time(), environment) as registry:
            yield _at(registry, server, *reads), server, registry


def test_one_token_is_for_all_of_a_push(tmp_path: Path) -> None:
    """To write here, and to read what is mounted; who looks alone asks for no right to write."""
    tokens = Tokens()
    with _with_tokens(tokens, tmp_path, "org/source", "org/base", REPOSITORY) as (target, server, registry):
        assert target.tagged("1") is None
        assert target.referrers(digest_of(OURS)) == ()
        assert tokens.asked == [["repository:org/app:pull"]]
        assert target.copy(DESCRIPTOR, "org/source", _open) == 0
        target.put_manifest(MANIFEST, OURS)
        target.put_tag("1", MANIFEST, OURS, None)
        writing = ["repository:org/app:pull,push", "repository:org/base:pull", "repository:org/source:pull"]
        assert tokens.asked[1:] == [writing]
        # Reading the same repository is not done with the token for writing.
        store = registry.store(Reference.parse(f"{server.host}/{REPOSITORY}:1"))
        assert store.fetch(DESCRIPTOR, len(BLOB)) == BLOB
        assert tokens.asked[2:] == []
    assert server.asked()[-1].headers["Authorization"] == "Bearer repository:org/app:pull"


def test_writes_where_the_source_may_not_be_read(tmp_path: Path) -> None:
    """No token for both: then one for the target alone, and the blob is sent."""
    tokens = Tokens()
    tokens.refused = {"repository:org/source:pull"}
    tokens.kept.mounts = False
    with _with_tokens(tokens, tmp_path, "org/source") as (target, _, _):
        assert target.copy(DESCRIPTOR, "org/source", _open) == len(BLOB)
    both = ["repository:org/app:pull,push", "repository:org/source:pull"]
    assert tokens.asked == [both, ["repository:org/app:pull,push"]]


def test_tells_no_login_to_another_host(tmp_path: Path) -> None:
    """An upload that goes on elsewhere goes there without `Authorization`, and what asks for one there gets none."""
    there: list[Request] = []

    def store(request: Request) -> Reply:
        there.append(request)
        if request.method == "PUT":
            return Reply("401 Unauthorized", headers={"WWW-Authenticate": "Basic realm=x"})
        return Reply("202 Accepted")

    for at in ("POST", "PATCH"):
        there.clear()
        tokens = Tokens()
        with hostile(store) as storage, _with_tokens(tokens, tmp_path) as (target, server, _):
            wanted = tokens.kept.faults
            away = Reply("202 Accepted", headers={"Location": f"http://{storage.host}/put?signature=x%2Fy"})

            def faults(
                request: Request, number: int, wanted: Faults = wanted, away: Reply = away, at: str = at
            ) -> Fault:
                return wanted(request, number) or (away if request.method == at else None)

            tokens.kept.faults = faults
            tokens.kept.largest = 4000
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(uploads, "CHUNK", 4000)
                with fails("denied", f"{storage.host} denies access: it answered 401 Unauthorized"):
                    target.upload(DESCRIPTOR, _open)
        assert [request.method for request in there] == (["PUT"] if at == "POST" else ["PATCH", "PUT"])
        assert all("Authorization" not in request.headers for request in there)
        assert "signature=x%2Fy" in there[0].path
        assert all(request.headers["Authorization"].startswith("Bearer ") for request in server.asked()[2:])


def test_sends_nothing_in_plain_where_the_registry_speaks_tls(tmp_path: Path) -> None:
    """Not even on this machine itself, which may be spoken to without."""
    certificate = make_certificate(tmp_path)
    with hostile(lambda _: Reply("202 Accepted")) as storage:
        kept = Kept()
        away = Reply("202 Accepted", headers={"Location": f"http://{storage.host}/put"})
        kept.faults = lambda request, _: away if request.method == "POST" else None
        with (
            keeping(kept, certificate) as server,
            client(Time(), ca_file=str(certificate.file)) as registry,
            fails("unreachable", f"{server.host} wants uploads sent over plain HTTP"),
        ):
            _at(registry, server).upload(DESCRIPTOR, _open)
        assert storage.requests == []


RANGES: dict[str, Callable[[int], str]] = {
    "one byte more": lambda number: f"0-{number}",
    "more than was sent": lambda _: "0-999999999",
    "none": lambda _: "0-0",
}


@pytest.mark.parametrize("case", RANGES)
def test_a_session_that_never_ends_ends(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry that takes next to nothing of each chunk is given up after some tries."""
    monkeypatch.setattr(uploads, "CHUNK", 1000)
    kept = Kept(largest=1000)
    count = [0]

    def little(request: Request, _: int) -> Fault:
        if "sessions" not in request.path or request.method == "PUT":
            return None
        count[0] += 1
        status = "204 No Content" if request.method == "GET" else "202 Accepted"
        return Reply(status, headers={"Location": request.path, "Range": RANGES[case](count[0])})

    kept.faults = little
    with _target(kept) as (target, server), pytest.raises(ImageError) as caught:
        target.upload(DESCRIPTOR, _open)
    assert caught.value.kind == "unreachable"
    assert len(server.asked()) < 60


LEAST = {"1500": 1500, "999": 1000, "-5": 1000, "x": 1000, "9" * 30: 1000, "1700": 0}


@pytest.mark.parametrize("least", LEAST)
def test_sends_chunks_as_large_as_are_wanted(least: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`OCI-Chunk-Min-Length` counts where it is a number; larger ones than can be held are not sent at all."""
    monkeypatch.setattr(uploads, "CHUNK", 1000)
    monkeypatch.setattr(uploads, "LARGEST_CHUNK", 1600)
    kept = Kept(largest=2000)

    def wanting(request: Request, _: int) -> Fault:
        if request.method != "POST":
            return None
        reply = kept.serve(request)
        reply.headers["OCI-Chunk-Min-Length"] = least
        return reply

    kept.faults = wanting
    with _target(kept) as (target, server):
        if LEAST[least]:
            target.upload(DESCRIPTOR, _open)
        else:
            answer = f"{server.host} refused: it answered 413 Content Too Large (SIZE_INVALID: no)"
            with fails("refused", f"none of 4 uploads to {server.host} came to its end: {answer}"):
                target.upload(DESCRIPTOR, _open)
    chunks = [request.headers["Content-Length"] for request in server.asked() if request.method == "PATCH"]
    assert chunks[:1] == ([str(LEAST[least])] if LEAST[least] else [])


def test_asks_as_a_writer_where_a_reader_is_denied(tmp_path: Path) -> None:
    """A repository that is not there yet is one that only those may ask for who may make it."""
    tokens = Tokens()
    tokens.refused = {"repository:org/app:pull"}
    with _with_tokens(tokens, tmp_path) as (target, _, _):
        assert target.tagged("1") is None
    assert tokens.asked == [["repository:org/app:pull"], ["repository:org/app:pull,push"]]
    tokens.refused |= {"repository:org/app:pull,push"}
    with _with_tokens(tokens, tmp_path) as (target, _, _), pytest.raises(ImageError, match="gives no token"):
        target.tagged("1")
    kept = Kept(faults=lambda _, __: Reply("503 Service Unavailable"))
    with _target(kept) as (target, server), pytest.raises(ImageError, match="answered 503"):
        target.tagged("1")
    assert len(server.asked()) == 4  # and not once more as somebody else


def test_lists_what_cosign_attached() -> None:
    """By tags that are made of the digest, which no list of referrers has."""
    kept = _kept(tag=OLD)
    stem = digest_of(OLD).replace(":", "-")
    for name in (f"{stem}.sig", f"{stem}.sbom", f"{stem}.other"):
        kept.tags[REPOSITORY][name] = digest_of(THEIRS)
    with _target(kept) as (target, server):
        assert target.attachments(digest_of(OLD)) == dict.fromkeys((f"{stem}.sig", f"{stem}.sbom"), digest_of(THEIRS))
        assert target.attachments(digest_of(OURS)) == {}
        # A tag has 128 characters at most: there is none that is made of a longer digest.
        assert target.attachments(_sha512(OLD)) == {}
    assert {request.method for request in server.asked()} == {"HEAD"}
    assert len(server.asked()) == 6
