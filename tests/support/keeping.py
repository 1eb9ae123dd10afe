"""A registry that keeps what is pushed to it, and does what a test wants instead where the test says so."""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from registries import Certificate, HostileRegistry, Reply, Request, digest_of, hostile


@dataclass(frozen=True)
class Lost:
    """The request is done, and its answer does not come: the connection is cut."""


@dataclass(frozen=True)
class Cut:
    """The connection is cut after so many bytes of the body; an upload keeps these."""

    taken: int = 0


Fault = Reply | Lost | Cut | None
Faults = Callable[[Request, int], Fault]
GONE = Reply(raw=True, cut=True)
_PATH = re.compile(r"/v2/(.+)/(manifests|blobs|blobs/uploads|referrers|sessions)/([^/]*)")


@dataclass
class Kept:
    """What a registry has, and how it behaves.

    Attributes:
        faults: what to do instead of what a registry does; is given the request and its number, from 1.
        blobs: by repository, then digest.
        manifests: by repository, then digest: media type and content.
        tags: by repository: the digest.
        referrers: by digest: the answer's body; None where there is no such list.
        sessions: the uploads that are under way.
        mounts: whether blobs are mounted.
        conditional: whether `If-Match` and `If-None-Match` count.
        etag: whether tags have one.
        largest: bytes that a request may have; None for any number.
        named: what manifests are called by.
        hold: is called with each request before it is answered, by its own thread, and may wait.
        number: of requests so far.
    """

    faults: Faults = lambda _, __: None
    blobs: dict[str, dict[str, bytes]] = field(default_factory=lambda: defaultdict(dict))
    manifests: dict[str, dict[str, tuple[str, bytes]]] = field(default_factory=lambda: defaultdict(dict))
    tags: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    referrers: dict[str, bytes] | None = None
    sessions: dict[str, bytearray] = field(default_factory=dict)
    mounts: bool = True
    conditional: bool = False
    etag: bool = True
    largest: int | None = None
    named: Callable[[bytes], str] = digest_of
    hold: Callable[[Request], None] = lambda _: None
    number: int = 0
    _begun: int = 0
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _waiting: dict[int, Fault] = field(default_factory=dict)

    def taken(self, request: Request) -> int | None:
        """Decide what is done with a request, before its body is read."""
        if request.path == "/v2/":
            return None
        with self._lock:
            self.number += 1
            fault = self.faults(request, self.number)
            self._waiting[id(request)] = fault
        return fault.taken if isinstance(fault, Cut) else None

    def answer(self, request: Request) -> Reply:
        """Do what was decided."""
        self.hold(request)
        with self._lock:
            fault = self._waiting.pop(id(request))
            match fault:
                case Reply():
                    return fault
                case Cut():
                    if request.method == "PATCH" and (session := self._session(request)) is not None:
                        session += request.body
                    return GONE
                case Lost():
                    self.serve(request)
                    return GONE
                case None:
                    return self.serve(request)

    def serve(self, request: Request) -> Reply:
        """Do what a registry does."""
        match = _PATH.fullmatch(urlsplit(request.path).path)
        assert match, request.path
        repository, kind, name = match[1], match[2], match[3]
        query = {key: values[0] for key, values in parse_qs(urlsplit(request.path).query).items()}
        actions: dict[tuple[str, str], Callable[[], Reply]] = {
            ("GET", "blobs"): lambda: _content(request, self.blobs[repository].get(name), name, {}),
            ("GET", "manifests"): lambda: self._manifest(request, repository, name),
            ("GET", "referrers"): lambda: self._refer(name),
            ("PUT", "manifests"): lambda: self._put(request, repository, name),
            ("POST", "blobs/uploads"): lambda: self._begin(repository, query),
            **dict.fromkeys(
                [("GET", "sessions"), ("PATCH", "sessions"), ("PUT", "sessions")],
                lambda: self._go_on(request, repository, name, query),
            ),
        }
        if self.largest is not None and len(request.body) > self.largest:
            return error("413 Content Too Large", "SIZE_INVALID")
        action = actions.get(("GET" if request.method == "HEAD" else request.method, kind))
        with self._lock:
            return action() if action else error("405 Method Not Allowed", "UNSUPPORTED")

    def _refer(self, digest: str) -> Reply:
        if self.referrers is None:
            return Reply("404 Not Found")
        return Reply(body=self.referrers.get(digest, _NONE), headers={"Content-Type": INDEX})

    def _manifest(self, request: Request, repository: str, name: str) -> Reply:
        digest = self.tags[repository].get(name, name)
        kind, data = self.manifests[repository].get(digest, ("", None))
        headers = {"Content-Type": kind} | ({"ETag": f'"{digest}"'} if self.etag else {})
        return _content(request, data, digest if data is None else self.named(data), headers)

    def _put(self, request: Request, repository: str, name: str) -> Reply:
        data, digest = request.body, digest_of(request.body)
        now = self.tags[repository].get(name)
        if self.conditional:
            wanted = request.headers.get("If-Match")
            if (wanted and wanted != f'"{now}"') or (request.headers.get("If-None-Match") == "*" and now):
                return error("412 Precondition Failed", "TAG_MOVED")
        document = json.loads(data)
        entries = [*document.get("layers", ()), *([document["config"]] if "config" in document else ())]
        if missing := [entry for entry in entries if entry["digest"] not in self.blobs[repository]]:
            return error("400 Bad Request", "MANIFEST_BLOB_UNKNOWN", missing[0]["digest"])
        if name.startswith("sha256:") and name != digest:
            return error("400 Bad Request", "DIGEST_INVALID")
        self.manifests[repository][digest] = request.headers["Content-Type"], data
        if not name.startswith("sha256:"):
            self.tags[repository][name] = digest
        called = {"Docker-Content-Digest": self.named(data)}
        if self.referrers is not None and "subject" in document:
            subject = document["subject"]["digest"]
            listed = json.loads(self.referrers.get(subject, _NONE))
            entry = {"mediaType": document["mediaType"], "digest": digest, "size": len(data)}
            entry |= {key: document[key] for key in ("artifactType", "annotations") if key in document}
            if entry not in listed["manifests"]:
                listed["manifests"].append(entry)
            self.referrers[subject] = json.dumps(listed).encode()
            called["OCI-Subject"] = subject
        return Reply("201 Created", headers={**called, "Location": f"/v2/x/manifests/{name}"})

    def _begin(self, repository: str, query: dict[str, str]) -> Reply:
        blob = self.blobs[query.get("from", "")].get(query.get("mount", ""))
        if blob is not None and self.mounts:
            self.blobs[repository][query["mount"]] = blob
            return Reply("201 Created", headers={"Docker-Content-Digest": query["mount"]})
        self._begun += 1
        name = f"s{self._begun}"
        self.sessions[name] = bytearray()
        return self._at(repository, name)

    def _go_on(self, request: Request, repository: str, name: str, query: dict[str, str]) -> Reply:
        session = self.sessions.get(name)
        if session is None:
            return error("404 Not Found", "BLOB_UPLOAD_UNKNOWN")
        if request.method == "GET":
            return self._at(repository, name, "204 No Content")
        first = request.headers.get("Content-Range", f"{len(session)}-").partition("-")[0]
        if int(first) != len(session):
            return error("416 Range Not Satisfiable", "BLOB_UPLOAD_INVALID")
        session += request.body
        if request.method == "PATCH":
            return self._at(repository, name)
        data = bytes(session)
        if digest_of(data) != query["digest"]:
            return error("400 Bad Request", "DIGEST_INVALID")
        del self.sessions[name]
        self.blobs[repository][query["digest"]] = data
        return Reply("201 Created", headers={"Docker-Content-Digest": query["digest"], "Location": "/v2/x/blobs/y"})

    def _at(self, repository: str, name: str, status: str = "202 Accepted") -> Reply:
        end = max(len(self.sessions[name]) - 1, 0)
        return Reply(status, headers={"Location": f"/v2/{repository}/sessions/{name}?state=a%2fb", "Range": f"0-{end}"})

    def _session(self, request: Request) -> bytearray | None:
        match = _PATH.fullmatch(urlsplit(request.path).path)
        return self.sessions.get(match[3]) if match else None


INDEX = "application/vnd.oci.image.index.v1+json"
_NONE = b'{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []}'


def error(status: str, code: str, message: str = "no") -> Reply:
    """Answer as registries do that refuse something."""
    return Reply(status, body=json.dumps({"errors": [{"code": code, "message": message}]}).encode())


def _content(request: Request, data: bytes | None, digest: str, headers: dict[str, Any]) -> Reply:
    if data is None:
        return Reply("404 Not Found")
    headers = {"Docker-Content-Digest": digest, "Content-Length": str(len(data)), **headers}
    return Reply(body=b"" if request.method == "HEAD" else data, headers=headers)


@contextlib.contextmanager
def keeping(kept: Kept, tls: Certificate | None = None) -> Iterator[HostileRegistry]:
    """Start a registry that has what is in `kept`, and stop it; it was never asked to DELETE."""
    with hostile(kept.answer, tls, taken=kept.taken) as server:
        yield server
        assert "DELETE" not in {request.method for request in server.requests}
