"""`metalauncher image --push --attach`: the VEX beside the image, where the registry lists referrers and where not."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from typing import Any
from urllib.request import Request as Question
from urllib.request import urlopen

import pytest
from keeping import Fault, Kept, error, keeping
from kit import Kit, said
from platforms import BOTH, Platforms
from registries import MANIFEST, RealRegistry, Request, digest_of, start_registry
from sboms import check_openvex

INDEX = "application/vnd.oci.image.index.v1+json"
IN_TOTO = "application/vnd.in-toto+json"
OPENVEX = "https://openvex.dev/ns/v0.2.0"
KIND = {"in-toto.io/predicate-type": OPENVEX}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    """Run a registry that has no lists of referrers."""
    with contextlib.closing(start_registry(tmp_path_factory.mktemp("registry"), log=True)) as registry:
        yield registry


def _push(kit: Kit, target: str) -> Any:
    answer = kit.tool(*kit.options("--json")[:-3], "--json", "--push", target, "--attach")
    assert (answer.code, said(answer)) == (0, ""), answer.err
    return answer.document


def _get(server: RealRegistry, path: str) -> bytes:
    accepted = {"Accept": f"{INDEX}, {MANIFEST}"}
    with urlopen(Question(f"http://{server.host}/v2/{path}", headers=accepted), timeout=20) as answer:
        data = answer.read()
    assert isinstance(data, bytes)
    return data


def _statement(manifest: bytes, subject: str, blobs: dict[str, bytes]) -> Any:
    """Return the statement of a referrer, which is as it has to be."""
    document = json.loads(manifest)
    (layer,) = document["layers"]
    assert (document["mediaType"], document["artifactType"]) == (MANIFEST, IN_TOTO)
    assert document["subject"]["digest"] == subject
    assert document["config"] == {
        "mediaType": "application/vnd.oci.empty.v1+json",
        "digest": digest_of(b"{}"),
        "size": 2,
    }
    assert (layer["mediaType"], layer["annotations"], document["annotations"]) == (IN_TOTO, KIND, KIND)
    data = blobs[layer["digest"]]
    assert (digest_of(data), len(data)) == (layer["digest"], layer["size"])
    statement = json.loads(data)
    assert (statement["_type"], statement["predicateType"]) == ("https://in-toto.io/Statement/v1", OPENVEX)
    (about,) = statement["subject"]
    assert about["digest"] == {"sha256": subject.removeprefix("sha256:")}
    check_openvex(statement["predicate"])
    return statement


class _Blobs(dict[str, bytes]):
    """Blobs of a real registry's repository."""

    def __init__(self, server: RealRegistry, repository: str) -> None:
        self.place = server, repository

    def __missing__(self, digest: str) -> bytes:
        server, repository = self.place
        return _get(server, f"{repository}/blobs/{digest}")


def test_by_the_tag(kit: Kit, server: RealRegistry) -> None:
    """Debian's registry lists no referrers: the tag has the list; what it says is what `vex --image` says; once."""
    run = f"{server.host}/acme/run"
    document = _push(kit, f"{run}:1")
    subject = document["manifest"]
    (attached,) = document["pushed"][0]["attached"]
    assert attached == {"subject": subject, "manifest": attached["manifest"], "was_there": False}
    tag = subject.replace(":", "-")
    index = json.loads(_get(server, f"acme/run/manifests/{tag}"))
    manifest = _get(server, f"acme/run/manifests/{attached['manifest']}")
    entry = {"mediaType": MANIFEST, "digest": attached["manifest"], "size": len(manifest)}
    assert index == {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [{**entry, "artifactType": IN_TOTO, "annotations": KIND}],
    }
    statement = _statement(manifest, subject, _Blobs(server, "acme/run"))
    assert statement["subject"][0]["name"] == run
    answer = kit.tool("vex", "--image", f"{run}:1")
    assert statement["predicate"] == answer.document
    again = _push(kit, f"{run}:1")["pushed"][0]
    assert again == {"image": f"{run}:1", "sent": 0, "was_there": True, "attached": [{**attached, "was_there": True}]}
    text = kit.tool(*kit.options()[:-2], "--push", f"{run}:2", "--attach")
    assert (text.code, text.out) == (0, f"{run}:2 {subject}\n")
    assert f"{run}@{subject}: the VEX was attached already, {attached['manifest']}\n" in text.err
    assert json.loads(_get(server, f"acme/run/manifests/{tag}")) == index


def test_what_others_put_there_stays(kit: Kit, server: RealRegistry) -> None:
    """The list is extended: entries and keys of others stay, in their order."""
    run = f"{server.host}/shared/run"
    subject = kit.build().document["manifest"]
    theirs = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": "application/x-theirs",
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest_of(b"{}"), "size": 2},
        "layers": [],
    }
    data = json.dumps(theirs).encode()
    entry = {"mediaType": MANIFEST, "digest": digest_of(data), "size": len(data), "x-of-theirs": {"é": [1, None]}}
    index = {
        "manifests": [entry],
        "schemaVersion": 2,
        "mediaType": INDEX,
        "annotations": {"a": "b"},
        "x-more": 12345678901234567890,
    }
    tag = subject.replace(":", "-")
    server.push("shared/run", blobs=[b"{}"], manifests=[("", data), (tag, json.dumps(index).encode())])
    document = _push(kit, f"{run}:1")
    assert document["manifest"] == subject
    found = json.loads(_get(server, f"shared/run/manifests/{tag}"))
    (mine,) = document["pushed"][0]["attached"]
    assert [each["digest"] for each in found.pop("manifests")] == [entry["digest"], mine["manifest"]]
    assert found == {key: value for key, value in index.items() if key != "manifests"}
    raw = _get(server, f"shared/run/manifests/{tag}").decode()
    assert json.dumps(entry, separators=(",", ":"), ensure_ascii=False) in raw


def test_index(kit: Kit, server: RealRegistry) -> None:
    """Each platform's image has its own; the index has none: nothing is true of all its images alone."""
    platforms = Platforms(kit)
    run = f"{server.host}/both/run"
    options = (*BOTH, "--base", "scratch", "--push", f"{run}:1", "--attach")
    found = platforms.build(*options).document
    subjects = [each["manifest"] for each in found["platforms"]]
    attached = found["pushed"][0]["attached"]
    assert [each["subject"] for each in attached] == subjects
    blobs = _Blobs(server, "both/run")
    for one in attached:
        manifest = _get(server, f"both/run/manifests/{one['manifest']}")
        products = {
            each["products"][0]["@id"].partition("?")[0]
            for each in _statement(manifest, one["subject"], blobs)["predicate"]["statements"]
        }
        assert products == {f"pkg:oci/run@{one['subject'].replace(':', '%3A')}"}
    tags = json.loads(_get(server, "both/run/tags/list"))["tags"]
    assert sorted(tags) == sorted(["1", *[each.replace(":", "-") for each in subjects]])
    again = platforms.build(*options).document["pushed"][0]["attached"]
    assert again == [{**each, "was_there": True} for each in attached]


def test_docker_media_types(kit: Kit, server: RealRegistry) -> None:
    """An image of Docker's media types has a referrer too: its own manifest is OCI's."""
    run = f"{server.host}/docker/run:1"
    answer = kit.tool(*kit.options()[:-2], "--json", "--push", run, "--attach", "--media-types", "docker")
    assert (answer.code, said(answer)) == (0, "")
    (one,) = answer.document["pushed"][0]["attached"]
    manifest = json.loads(_get(server, f"docker/run/manifests/{one['manifest']}"))
    assert manifest["subject"]["mediaType"] == "application/vnd.docker.distribution.manifest.v2+json"
    command = [
        "skopeo",
        "inspect",
        "--raw",
        "--tls-verify=false",
        f"docker://{run.rpartition(':')[0]}@{one['manifest']}",
    ]
    raw = subprocess.run(command, check=True, capture_output=True, timeout=60).stdout
    assert digest_of(raw) == one["manifest"]


def _attached(kit: Kit, kept: Kept, host: str) -> list[str]:
    """Push once; return the digests that the registry lists for the image afterwards."""
    document = _push(kit, f"{host}/acme/run:1")
    subject = document["manifest"]
    assert kept.tags["acme/run"]["1"] == subject
    (one,) = document["pushed"][0]["attached"]
    _statement(kept.manifests["acme/run"][one["manifest"]][1], subject, kept.blobs["acme/run"])
    assert one["subject"] == subject
    assert kept.referrers is not None
    return [each["digest"] for each in json.loads(kept.referrers[subject])["manifests"]]


def test_by_the_registry(kit: Kit) -> None:
    """Where the registry lists it, there is no tag; the second time nothing is written."""
    kept = Kept(referrers={})
    with keeping(kept) as server:
        first = _attached(kit, kept, server.host)
        assert (len(first), list(kept.tags["acme/run"])) == (1, ["1"])
        server.requests.clear()
        assert _attached(kit, kept, server.host) == first
        assert {request.method for request in server.requests} == {"GET", "HEAD"}


def test_failed(kit: Kit) -> None:
    """What is pushed is said where attaching to it fails; the exit code is that of the failure."""
    written: list[str] = []

    def faults(request: Request, _: int) -> Fault | None:
        if request.method != "PUT" or "/manifests/" not in request.path:
            return None
        written.append(request.path)
        # The image's by its digest, its tag, and then what refers to it.
        return error("403 Forbidden", "DENIED", "no referrers here") if len(written) > 2 else None

    with keeping(Kept(faults, referrers={})) as server:
        run = f"{server.host}/acme/run:1"
        answer = kit.tool(*kit.options("--json", "--push", run, "--attach"))
        assert (answer.code, answer.document["pushed"][0]["image"]) == (3, run)
        assert "attached" not in answer.document["pushed"][0]
        assert f"ERROR: --attach to {server.host}/acme/run@{answer.document['manifest']}: " in answer.err


def test_without_a_registry(kit: Kit) -> None:
    """There is nothing to attach to."""
    kit.refuse("--attach: there is no --push", "--attach")
