"""Registries on loopback: the real one, with what to push to it, and one that does whatever a test has it do."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

LOOPBACK = "127.0.0.1"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


@dataclass(frozen=True)
class Certificate:
    """For 127.0.0.1 and localhost, signed by itself: `file` is also what to trust."""

    file: Path
    key: Path


def make_certificate(folder: Path) -> Certificate:
    """Make one with openssl."""
    certificate = Certificate(folder / "certificate.pem", folder / "key.pem")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"),
            *("-keyout", certificate.key, "-out", certificate.file),
        ],
        check=True,
        capture_output=True,
    )
    return certificate


def digest_of(data: bytes) -> str:
    """Return the sha256 digest as images write it."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass
class RealRegistry:
    """A docker-registry that runs until it is closed."""

    host: str
    process: subprocess.Popen[bytes]
    login: tuple[str, str] | None
    tls: Certificate | None

    def push(
        self, repository: str, *, blobs: Iterable[bytes] = (), manifests: Iterable[tuple[str, bytes]] = ()
    ) -> None:
        """Upload blobs, then manifests, each `(tag, content)`; "" as a tag: by digest alone."""
        with contextlib.closing(self._connect()) as connection:
            for blob in blobs:
                location, _ = self._call(connection, "POST", f"/v2/{repository}/blobs/uploads/", 202)
                parts = urlsplit(location)
                self._call(connection, "PUT", f"{parts.path}?{parts.query}&digest={digest_of(blob)}", 201, blob)
            for tag, manifest in manifests:
                kind = {"Content-Type": json.loads(manifest)["mediaType"]}
                self._call(
                    connection, "PUT", f"/v2/{repository}/manifests/{tag or digest_of(manifest)}", 201, manifest, kind
                )

    def _connect(self) -> http.client.HTTPConnection:
        if self.tls is None:
            return http.client.HTTPConnection(self.host, timeout=20)
        context = ssl.create_default_context(cafile=str(self.tls.file))
        return http.client.HTTPSConnection(self.host, timeout=20, context=context)

    def _call(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        status: int,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
    ) -> tuple[str, bytes]:
        headers = {"Content-Type": "application/octet-stream", **(headers or {})}
        if self.login:
            headers["Authorization"] = basic(*self.login)
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        data = response.read()
        assert response.status == status, (method, path, response.status, data)
        return response.headers.get("Location", ""), data

    def close(self) -> None:
        """Stop it."""
        self.process.terminate()
        self.process.wait(20)


def basic(username: str, password: str) -> str:
    """Return what stands in `Authorization` for them."""
    return "Basic " + auth(username, password)


def auth(username: str, password: str) -> str:
    """Return what stands in config.json's `auth` for them."""
    return base64.b64encode(f"{username}:{password}".encode()).decode()


def start_registry(
    folder: Path, *, htpasswd: tuple[str, str] | None = None, tls: Certificate | None = None, log: bool = False
) -> RealRegistry:
    """Start Debian's docker-registry on a free port, with its files in `folder`; close it.

    Args:
        folder: that is there and empty.
        htpasswd: the name and password without which it gives nothing.
        tls: its certificate; without one it speaks plain HTTP.
        log: write every request to `registry.log`.
    """
    with socket.create_server((LOOPBACK, 0)) as free:
        port = free.getsockname()[1]
    settings: dict[str, Any] = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": not log}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "storage")}},
        "http": {"addr": f"{LOOPBACK}:{port}"},
    }
    if tls is not None:
        settings["http"]["tls"] = {"certificate": str(tls.file), "key": str(tls.key)}
    if htpasswd is not None:
        users = folder / "users"
        subprocess.run(["htpasswd", "-Bbc", "-C", "4", users, *htpasswd], check=True, capture_output=True)
        settings["auth"] = {"htpasswd": {"realm": "test", "path": str(users)}}
    (folder / "registry.yml").write_text(json.dumps(settings))  # YAML too
    with open(folder / "registry.log", "wb") as said:
        process = subprocess.Popen(
            ["docker-registry", "serve", folder / "registry.yml"], stdin=subprocess.DEVNULL, stdout=said, stderr=said
        )
    registry = RealRegistry(f"{LOOPBACK}:{port}", process, htpasswd, tls)
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection((LOOPBACK, port), timeout=1).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                process.wait(20)
                raise AssertionError((folder / "registry.log").read_text()) from None
            time.sleep(0.01)
        else:
            return registry


def make_manifest(config: bytes, *layers: bytes) -> bytes:
    """Return the OCI manifest of an image with these blobs."""

    def describe(kind: str, data: bytes) -> dict[str, Any]:
        return {"mediaType": kind, "digest": digest_of(data), "size": len(data)}

    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": describe(CONFIG, config),
        "layers": [describe(LAYER, layer) for layer in layers],
    }
    return json.dumps(document).encode()


@dataclass
class Request:
    """What a hostile registry was asked."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Reply:
    """What a hostile registry answers.

    Attributes:
        status: code and words.
        body: sent piece by piece; a number is seconds to wait between two.
        headers: besides Content-Length, which is right if the body is bytes and this does not say another.
        cut: the connection after it.
        raw: the body is all there is: no status, no headers.
    """

    status: str = "200 OK"
    body: bytes | Iterable[bytes | float] = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    raw: bool = False

    def pieces(self) -> Iterator[bytes | float]:
        """Return all that is to be sent."""
        headers = dict(self.headers)
        if isinstance(self.body, bytes) and not {"Content-Length", "Transfer-Encoding"} & headers.keys():
            headers["Content-Length"] = str(len(self.body))
        if not self.raw:
            lines = [f"HTTP/1.1 {self.status}", *[f"{name}: {value}" for name, value in headers.items()], "", ""]
            yield "\r\n".join(lines).encode()
        if isinstance(self.body, bytes):
            yield self.body
        else:
            yield from self.body


class HostileRegistry:
    """Answers what it is told to; keeps what it was asked. Speaks no TLS unless it is given a certificate."""

    def __init__(
        self,
        answer: Callable[[Request], Reply],
        tls: Certificate | None,
        ping: Reply,
        taken: Callable[[Request], int | None] = lambda _: None,
    ) -> None:
        """Start."""
        self._taken = taken
        self._ping = ping
        self.requests: list[Request] = []
        self.sent = 0
        self._answer = answer
        self._ending = threading.Event()
        self._context: ssl.SSLContext | None = None
        if tls is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(tls.file, tls.key)
        self._server = socket.create_server((LOOPBACK, 0), backlog=64)
        self.port = self._server.getsockname()[1]
        self.host = f"{LOOPBACK}:{self.port}"
        self._threads = [threading.Thread(target=self._serve, daemon=True)]
        self._threads[0].start()

    def asked(self) -> list[Request]:
        """Return what it was asked, without the question whether it is there."""
        return [request for request in self.requests if request.path != "/v2/"]

    def connections(self) -> int:
        """Return how many it was asked over."""
        return len(self._threads) - 1

    def paths(self) -> list[str]:
        """Return the paths of that."""
        return [request.path for request in self.asked()]

    def close(self) -> None:
        """Stop, in the middle of whatever it does."""
        self._ending.set()
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for thread in self._threads:
            thread.join(20)

    def _serve(self) -> None:
        while not self._ending.is_set():
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            connection.settimeout(0.1)
            thread = threading.Thread(target=self._converse, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _converse(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            if self._context is not None:
                connection.settimeout(5)
                connection = self._context.wrap_socket(connection, server_side=True)
                connection.settimeout(0.1)
            with connection:
                while (request := self._read(connection)) and self._send(connection, self._reply(request)):
                    pass

    def _reply(self, request: Request) -> Reply:
        self.requests.append(request)
        return self._ping if request.path == "/v2/" else self._answer(request)

    def _read(self, connection: socket.socket) -> Request | None:
        data = b""
        while b"\r\n\r\n" not in data:
            more = self._receive(connection)
            data += more
            if not more or data[:1] == b"\x16":  # TLS
                return None
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ")
        headers = {name.title(): value for name, value in (line.split(": ", 1) for line in lines)}
        request = Request(method, path, headers, b"")
        length = int(headers.get("Content-Length", "0"))
        taken = self._taken(request)
        wanted = length if taken is None else min(taken, length)
        parts, have = [body], len(body)
        while have < wanted and (more := self._receive(connection)):
            parts.append(more)
            have += len(more)
        request.body = b"".join(parts)[:wanted]
        return request if have >= wanted else None

    def _receive(self, connection: socket.socket) -> bytes:
        while not self._ending.is_set():
            with contextlib.suppress(TimeoutError):
                return connection.recv(65536)
        return b""

    def _send(self, connection: socket.socket, reply: Reply) -> bool:
        for piece in reply.pieces():
            if self._ending.is_set():
                return False
            if isinstance(piece, bytes):
                connection.settimeout(5)
                connection.sendall(piece)
                connection.settimeout(0.1)
                self.sent += len(piece)
            elif self._ending.wait(piece):
                return False
        return not reply.cut


@contextlib.contextmanager
def hostile(
    answer: Callable[[Request], Reply],
    tls: Certificate | None = None,
    ping: Reply | None = None,
    taken: Callable[[Request], int | None] = lambda _: None,
) -> Iterator[HostileRegistry]:
    """Start a hostile registry, and stop it.

    Args:
        answer: to whatever it is asked.
        tls: its certificate; without one it speaks plain HTTP.
        ping: what it answers to the question whether it is there, `/v2/`.
        taken: how many bytes of a request's body it takes before it answers; None for all.
    """
    registry = HostileRegistry(answer, tls, ping or Reply(), taken)
    try:
        yield registry
    finally:
        registry.close()
