"""What refers to a manifest: listed by the registry, or by an index with a tag made of the digest."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from asking import Time, client, fails
from registries import Reply, Request, digest_of, hostile

from metalauncher.tooling.oci import referrers
from metalauncher.tooling.oci.model import OCI_INDEX, OCI_MANIFEST, Descriptor
from metalauncher.tooling.oci.reference import Reference

if TYPE_CHECKING:
    from registries import HostileRegistry

    from metalauncher.tooling.oci.destination import Destination

DIGEST = digest_of(b"an image")
API = f"/v2/org/app/referrers/{DIGEST}"
TAG = f"/v2/org/app/manifests/{DIGEST.replace(':', '-')}"
SIGNATURE = "application/vnd.dev.sigstore.bundle.v0.3+json"


def _entry(name: str) -> dict[str, Any]:
    data = name.encode()
    return {"mediaType": OCI_MANIFEST, "digest": digest_of(data), "size": len(data), "artifactType": SIGNATURE}


def _described(*names: str) -> tuple[Descriptor, ...]:
    return tuple([Descriptor(OCI_MANIFEST, digest_of(n.encode()), len(n), artifact_type=SIGNATURE) for n in names])


def _index(*names: str, **headers: str) -> Reply:
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [_entry(name) for name in names]}
    return Reply(body=json.dumps(document).encode(), headers={"Content-Type": OCI_INDEX, **headers})


@contextlib.contextmanager
def _asked(answer: Callable[[Request], Reply]) -> Iterator[tuple[Destination, HostileRegistry]]:
    with hostile(answer) as server, client(Time()) as registry:
        yield registry.destination(Reference.parse(f"{server.host}/org/app:1")), server


def _serving(**replies: Reply) -> Callable[[Request], Reply]:
    paths = {"api": API, "tag": TAG, "second": f"{API}?n=2", "third": f"{API}?n=3"}
    by_path = {paths[name]: reply for name, reply in replies.items()}
    return lambda request: by_path.get(request.path, Reply("404 Not Found"))


FOUND = {
    "by the registry": (_serving(api=_index("a", "b")), _described("a", "b")),
    "none": (_serving(api=_index()), ()),
    "by the tag": (_serving(tag=_index("a")), _described("a")),
    "by neither": (_serving(), ()),
    "in pages": (
        _serving(
            api=_index("a", Link='<?n=2>; rel="next"'),
            second=_index("b", "a", Link=f"<{API}?n=3>; title=x; rel=next"),
            third=_index("c"),
        ),
        _described("a", "b", "c"),
    ),
    "a page of HTML, then by the tag": (
        _serving(api=Reply(body=b"<html>", headers={"Content-Type": "text/html"}), tag=_index("a")),
        _described("a"),
    ),
    "a tag that is an image": (
        _serving(tag=Reply(body=b"{}", headers={"Content-Type": OCI_MANIFEST})),
        (),
    ),
    "another link": (_serving(api=_index("a", Link='<?n=2>; rel="last"')), _described("a")),
    **{
        f"not known, {status}": (_serving(api=Reply(status), tag=_index("a")), _described("a"))
        for status in ("400 Bad Request", "405 Method Not Allowed", "501 Not Implemented")
    },
}


@pytest.mark.parametrize("case", FOUND)
def test_lists_what_refers_to_an_image(case: str) -> None:
    """Each once, with what it is."""
    answer, expected = FOUND[case]
    with _asked(answer) as (target, server):
        assert target.referrers(DIGEST) == expected
    assert {request.method for request in server.asked()} == {"GET"}


def test_a_tag_of_a_longer_digest() -> None:
    """Of a SHA-512 the tag has the first 64 digits: a tag has 128 characters at most (referrers tag schema)."""
    digits = "a" * 64 + "b" * 64
    path = f"/v2/org/app/manifests/sha512-{'a' * 64}"
    with _asked(lambda request: _index("a") if request.path == path else Reply("404 Not Found")) as (target, _):
        assert target.referrers(f"sha512:{digits}") == _described("a")


ENDLESS = "{h} has a list of referrers that does not end"
REFUSED: dict[str, tuple[Reply, str, str]] = {
    "a page that is its own next": (_index("a", Link=f"<{API}>; rel=next"), "damaged", ENDLESS),
    "another host": (
        _index("a", Link="<http://127.0.0.1:1/v2/x>; rel=next"),
        "damaged",
        "{h} has more of the list of referrers at another host, 127.0.0.1:1",
    ),
    "another host, without a scheme": (
        _index("a", Link="<//evil.example/v2/x>; rel=next"),
        "damaged",
        "{h} has more of the list of referrers at another host, evil.example",
    ),
    "a login": (
        _index("a", Link="<http://user:word@127.0.0.1/>; rel=next"),
        "damaged",
        "{h} has more of the list of referrers at a URL with a login in it",
    ),
    "a next page that is not there": (
        _index("a", Link=f"<{API}?n=2>; rel=next"),
        "damaged",
        "{h} has a list of referrers that breaks off",
    ),
    "no JSON": (
        Reply(body=b"[", headers={"Content-Type": OCI_INDEX}),
        "damaged",
        "the list of referrers is not JSON",
    ),
    "no list": (
        Reply(body=b'{"manifests": {}}', headers={"Content-Type": OCI_INDEX}),
        "damaged",
        "the list of referrers has a 'manifests' of a wrong type",
    ),
    "no digest": (
        Reply(
            body=b'{"manifests": [{"mediaType": "x", "size": 1, "digest": "../x"}]}',
            headers={"Content-Type": OCI_INDEX},
        ),
        "damaged",
        "'../x' is not a digest",
    ),
    "too large": (
        Reply(headers={"Content-Type": OCI_INDEX, "Content-Length": "99999999"}, cut=True),
        "too-large",
        "the list of referrers is larger than 4 MiB",
    ),
    "forbidden": (
        Reply("403 Forbidden"),
        "denied",
        "{h} denies access: it answered 403 Forbidden, and asked for no login",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses_a_list_that_is_none(case: str) -> None:
    """Where it leads elsewhere, never ends, or is something else: an error, and no half a list."""
    reply, kind, reason = REFUSED[case]
    with _asked(_serving(api=reply)) as (target, server), fails(kind, reason.format(h=server.host)):
        target.referrers(DIGEST)


def test_reads_no_more_than_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages and entries have limits."""

    def more(request: Request) -> Reply:
        number = int(request.path.partition("n=")[2] or "0") + 1
        return _index(str(number), Link=f"<?n={number}>; rel=next")

    monkeypatch.setattr(referrers, "PAGES", 10)
    with _asked(more) as (target, server):
        with fails("damaged", ENDLESS.format(h=server.host)):
            target.referrers(DIGEST)
        assert len(server.asked()) == 10
        monkeypatch.setattr(referrers, "ENTRIES", 5)
        with fails("too-large", f"{server.host} lists more than 5 referrers"):
            target.referrers(DIGEST)
