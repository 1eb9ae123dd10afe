"""A manifest that refers to another one: listed by the registry, or in the index of a tag that others write as well."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from asking import Time, client, fails
from keeping import INDEX, Cut, Fault, Kept, Lost, error, keeping
from registries import MANIFEST, Reply, Request, digest_of

from metalauncher.tooling.oci.model import MANIFEST_LIMIT, ImageError
from metalauncher.tooling.oci.reference import Reference
from metalauncher.tooling.oci.referring import extended, refer

if TYPE_CHECKING:
    from metalauncher.tooling.oci.destination import Destination

SUBJECT = digest_of(b"an image")
TAG = SUBJECT.replace(":", "-")
TAG_PATH = f"/v2/org/app/manifests/{TAG}"
NOTES = {"a": "é"}


def _manifest(**more: Any) -> bytes:
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": "application/x-config", "digest": digest_of(b"{}"), "size": 2},
        "layers": [],
        "subject": {"mediaType": MANIFEST, "digest": SUBJECT, "size": 8},
    }
    return json.dumps({**document, **more}).encode()


MINE = _manifest(artifactType="application/x-mine", annotations=NOTES)
THEIRS = {"mediaType": MANIFEST, "digest": digest_of(b"theirs"), "size": 6}


def _index(*entries: Any, **more: Any) -> bytes:
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": list(entries), **more}).encode()


def _kept(**options: Any) -> Kept:
    kept = Kept(**options)
    kept.blobs["org/app"][digest_of(b"{}")] = b"{}"
    return kept


def _name(kept: Kept, data: bytes, kind: str = INDEX) -> None:
    """Let the tag name something."""
    kept.manifests["org/app"][digest_of(data)] = kind, data
    kept.tags["org/app"][TAG] = digest_of(data)


@contextlib.contextmanager
def _target(kept: Kept) -> Iterator[Destination]:
    with keeping(kept) as server, client(Time()) as registry:
        yield registry.destination(Reference.parse(f"{server.host}/org/app:1"))


def _listed(kept: Kept) -> list[str]:
    """Return the digests that are listed, by the registry or by the tag."""
    if kept.referrers is not None:
        assert not kept.tags["org/app"]
        index = kept.referrers[SUBJECT]
    else:
        index = kept.manifests["org/app"][kept.tags["org/app"][TAG]][1]
    return [each["digest"] for each in json.loads(index)["manifests"]]


FAULTS: dict[str, Fault] = {
    "nothing": None,
    "lost": Lost(),
    "cut": Cut(),
    "too many": error("429 Too Many Requests", "TOOMANYREQUESTS"),
    "broken": error("500 Internal Server Error", "UNKNOWN"),
    "a page": Reply("502 Bad Gateway", b"<html>"),
}


@pytest.mark.parametrize("api", [True, False])
@pytest.mark.parametrize("fault", FAULTS)
def test_written_once(fault: str, api: bool) -> None:
    """Whichever of the writes fails once, it is done again; the list has it once; the second time nothing is sent."""
    failed: set[str] = set()

    def faults(request: Request, _: int) -> Fault:
        if request.method != "PUT" or request.path in failed:
            return None
        failed.add(request.path)
        return FAULTS[fault]

    kept = _kept(faults=faults, referrers={} if api else None)
    with _target(kept) as target:
        assert refer(target, MINE)
        assert _listed(kept) == [digest_of(MINE)]
        assert len(failed) == (1 if api else 2)
        failed.clear()
        assert not refer(target, MINE)
        assert (_listed(kept), failed) == ([digest_of(MINE)], set())


def test_listed_and_gone() -> None:
    """A list may still have what the registry has no more: it is written again, and not listed twice."""
    kept = _kept()
    with _target(kept) as target:
        refer(target, MINE)
        del kept.manifests["org/app"][digest_of(MINE)]
        assert refer(target, MINE)
    assert kept.manifests["org/app"][digest_of(MINE)][1] == MINE
    assert _listed(kept) == [digest_of(MINE)]


@pytest.mark.parametrize("conditional", [True, False])
@pytest.mark.parametrize("was_there", [True, False])
def test_another_writes_the_list(conditional: bool, was_there: bool) -> None:
    """Between reading the list and writing it: both are in it. After the last look that takes the registry's help."""
    kept = _kept(conditional=conditional)
    if was_there:
        _name(kept, _index(annotations={"old": "1"}))
    asked: list[str] = []

    def faults(request: Request, _: int) -> Fault:
        if request.path == TAG_PATH and request.method in ("PUT", "HEAD"):
            asked.append(request.method)
            if asked == (["HEAD", "PUT"] if conditional else ["HEAD"]):
                _name(kept, _index(THEIRS))
        return None

    kept.faults = faults
    with _target(kept) as target:
        assert refer(target, MINE)
    assert _listed(kept) == [THEIRS["digest"], digest_of(MINE)]
    assert len(asked) > 3


def test_a_registry_without_lists_that_says_it_has_them() -> None:
    """What nobody would find is listed by the tag; then it is found, and not written again."""
    kept = _kept(referrers={})
    kept.faults = lambda request, _: error("404 Not Found", "NAME_UNKNOWN") if "/referrers/" in request.path else None
    with _target(kept) as target:
        assert refer(target, MINE)
        kept.referrers = None
        assert _listed(kept) == [digest_of(MINE)]
        assert not refer(target, MINE)


def test_a_list_that_never_stays() -> None:
    """Others write it whenever it is looked at: it is given up, and theirs stays."""
    kept, number = _kept(), 0

    def faults(request: Request, _: int) -> Fault:
        nonlocal number
        if request.path == TAG_PATH and request.method == "HEAD":
            number += 1
            _name(kept, _index(annotations={"n": str(number)}))
        return None

    kept.faults = faults
    with _target(kept) as target, pytest.raises(ImageError, match=f"somebody else moved the tag {TAG}") as raised:
        refer(target, MINE)
    assert (raised.value.kind, number, _listed(kept)) == ("moved", 5, [])


NO_LISTS: dict[str, tuple[str, bytes, str, str]] = {
    "an image": (
        MANIFEST,
        _manifest(),
        "unsupported",
        f"the tag {TAG}, which is to name the list of referrers, names a {MANIFEST}",
    ),
    "no JSON": (INDEX, b"[", "damaged", "the list of referrers is not JSON"),
    "no UTF-8": (
        INDEX,
        _index(annotations={"a": "x"}).replace(b'x"', b'\xff"'),
        "unsupported",
        "the list of referrers is not UTF-8: it can't be added to and kept as it is",
    ),
    "no double": (
        INDEX,
        _index(x=1).replace(b" 1}", b" 1e400}"),
        "unsupported",
        "has a number too large for a double: it can't be written again",
    ),
    "no digest": (INDEX, _index({"mediaType": "x", "size": 1, "digest": "x"}), "damaged", "'x' is not a digest"),
}


@pytest.mark.parametrize("case", NO_LISTS)
def test_a_tag_that_names_no_list(case: str) -> None:
    """It is somebody's: it is not written."""
    kind, data, error_kind, reason = NO_LISTS[case]
    kept = _kept()
    _name(kept, data, kind)
    with _target(kept) as target, fails(error_kind, reason):
        refer(target, MINE)
    assert kept.tags["org/app"] == {TAG: digest_of(data)}


def test_extended() -> None:
    """All that others wrote stays as it is, to its keys and numbers; a type that is not named is the config's."""
    theirs = {**THEIRS, "x-of-theirs": {"é": [1.5, None, 12345678901234567890]}}
    before = _index(theirs, **{"annotations": {"k": "v"}, "x-more": [True]})
    after = extended(before, MINE)
    assert after is not None
    entry = {"mediaType": MANIFEST, "digest": digest_of(MINE), "size": len(MINE)}
    document = json.loads(before)
    document["manifests"].append({**entry, "artifactType": "application/x-mine", "annotations": NOTES})
    assert json.loads(after) == document
    assert list(json.loads(after)) == list(document)
    assert extended(after, MINE) is None
    half = extended(before.replace(b'"v"', b'"\\ud800"'), MINE)
    assert half is not None
    assert json.loads(half.decode())["annotations"] == {"k": "\ud800"}  # still an escape: anything else is not UTF-8
    plain = extended(None, _manifest())
    assert plain is not None
    (only,) = json.loads(plain)["manifests"]
    assert (only["artifactType"], "annotations" in only) == ("application/x-config", False)
    assert json.loads(extended(b'{"manifests": null}', MINE) or b"")["manifests"][0]["digest"] == digest_of(MINE)


def test_not_extended() -> None:
    """What programs would read otherwise than it is written here, and what registries do not take."""
    odd = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "Manifests": [THEIRS]}).encode()
    with fails(
        "unsupported",
        "the list of referrers has 'manifests' twice, in whatever case: programs differ in how they merge them",
    ):
        extended(odd, MINE)
    with fails("too-large", "the list of referrers would be larger than 4 MiB"):
        extended(_index(THEIRS, annotations={"a": "x" * MANIFEST_LIMIT}), MINE)
