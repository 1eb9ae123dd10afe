"""Images written to Debian's docker-registry, without and with a login, and read from there by skopeo."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import re
import socket
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

import pytest
from asking import fails
from registries import (
    CONFIG,
    LAYER,
    LOOPBACK,
    MANIFEST,
    Certificate,
    RealRegistry,
    auth,
    digest_of,
    make_certificate,
    make_manifest,
    start_registry,
)

from metalauncher.tooling.oci import uploads
from metalauncher.tooling.oci.destination import Destination, Tagged
from metalauncher.tooling.oci.http.credentials import Credentials, read_credentials
from metalauncher.tooling.oci.model import Descriptor
from metalauncher.tooling.oci.reference import Reference
from metalauncher.tooling.oci.sources.registry import Registry

USER = ("ann", "pass:word é")
CONFIG_DATA = json.dumps(
    {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}, "config": {}}
).encode()
LARGE = gzip.compress(hashlib.shake_256(b"large").digest(2 * uploads.CHUNK + 12345), 1)  # three chunks, where it is cut
SMALL = gzip.compress(b"a small layer")


def _descriptor(data: bytes, kind: str = LAYER) -> Descriptor:
    return Descriptor(kind, digest_of(data), len(data))


def _opens(data: bytes) -> Callable[[], contextlib.AbstractContextManager[IO[bytes]]]:
    return lambda: contextlib.nullcontext(io.BytesIO(data))


def _log(server: RealRegistry) -> str:
    return Path(server.process.args[-1]).with_name("registry.log").read_text()  # type: ignore[index, arg-type]


def _unread() -> contextlib.AbstractContextManager[IO[bytes]]:
    raise AssertionError("a blob was read that is to be mounted")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """Return a certificate for loopback."""
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module", params=["plain", "guarded"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, certificate: Certificate
) -> Iterator[RealRegistry]:
    """Run a registry: anybody's over plain HTTP, or one that wants TLS and a password."""
    guarded = request.param == "guarded"
    options: dict[str, Any] = {"htpasswd": USER, "tls": certificate} if guarded else {}
    with contextlib.closing(start_registry(tmp_path_factory.mktemp("registry"), log=True, **options)) as registry:
        yield registry


@pytest.fixture
def client(server: RealRegistry, certificate: Certificate, tmp_path: Path) -> Iterator[Registry]:
    """Return a client with a login for it."""
    (tmp_path / "config.json").write_text(json.dumps({"auths": {server.host: {"auth": auth(*USER)}}}))
    environment = {b"DOCKER_CONFIG": bytes(tmp_path)}
    client = Registry(read_credentials(environment), environment=environment, ca_file=str(certificate.file))
    with contextlib.closing(client):
        yield client


def _at(client: Registry, server: RealRegistry, repository: str, *reads: str) -> Destination:
    return client.destination(Reference.parse(f"{server.host}/{repository}:1"), reads)


def _skopeo(server: RealRegistry, folder: Path, image: str) -> dict[str, bytes]:
    """Return the blobs of an image, by digest, as skopeo copies it."""
    (folder / "certificates").mkdir()
    options = ["--src-tls-verify=false"]
    if server.tls is not None:
        (folder / "certificates/ca.crt").write_bytes(server.tls.file.read_bytes())
        options = [f"--src-cert-dir={folder}/certificates", f"--src-creds={USER[0]}:{USER[1]}"]
    subprocess.run(
        [
            "skopeo",
            "copy",
            "-q",
            "--preserve-digests",
            *options,
            f"docker://{server.host}/{image}",
            f"oci:{folder}/layout:it",
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )
    blobs = (folder / "layout/blobs/sha256").iterdir()
    return {f"sha256:{blob.name}": blob.read_bytes() for blob in blobs}


def test_writes_an_image_that_others_read(server: RealRegistry, client: Registry, tmp_path: Path) -> None:
    """In chunks, at once, by its digest, by its tag: what skopeo reads is what was written."""
    manifest = make_manifest(CONFIG_DATA, LARGE, SMALL)
    target = _at(client, server, "org/written")
    assert target.tagged("1") is None
    assert not target.has(_descriptor(LARGE))
    assert target.upload(_descriptor(LARGE), _opens(LARGE)) == len(LARGE)
    assert target.has(_descriptor(LARGE))
    assert target.upload(_descriptor(LARGE), _unread) == 0
    assert target.copy(_descriptor(SMALL), "", _opens(SMALL)) == len(SMALL)
    assert target.upload(_descriptor(CONFIG_DATA, CONFIG), _opens(CONFIG_DATA)) == len(CONFIG_DATA)
    assert target.put_manifest(MANIFEST, manifest) == digest_of(manifest)
    assert target.tagged("1") is None
    target.put_tag("1", MANIFEST, manifest, None)
    found = target.tagged("1")
    assert found is not None
    assert found == Tagged(digest_of(manifest), f'"{digest_of(manifest)}"')
    assert target.referrers(digest_of(manifest)) == ()
    blobs = _skopeo(server, tmp_path, "org/written:1")
    assert {digest_of(data): data for data in (manifest, LARGE, SMALL, CONFIG_DATA)} == blobs


def test_mounts_instead_of_moving(server: RealRegistry, client: Registry) -> None:
    """A blob of another repository is taken from there; of one that has it not, it is sent after all."""
    blob = b"mounted" * 1000
    assert _at(client, server, "org/source").upload(_descriptor(blob), _opens(blob)) == len(blob)
    target = _at(client, server, "other/target", "org/source", "org/written")
    assert target.copy(_descriptor(blob), "org/source", _unread) == 0
    assert target.has(_descriptor(blob))
    assert _at(client, server, "other/second", "org/source").mount(_descriptor(blob), "org/source")
    assert not target.mount(_descriptor(b"nowhere"), "org/source")
    assert target.copy(_descriptor(b"nowhere"), "org/source", _opens(b"nowhere")) == len(b"nowhere")


def test_moves_a_tag_only_from_where_it_was(server: RealRegistry, client: Registry) -> None:
    """What somebody else wrote in the meantime stays; what was written already is no error."""
    target = _at(client, server, "org/tags")
    manifests = [make_manifest(CONFIG_DATA, layer) for layer in (b"one", b"two", b"three")]
    for data in (CONFIG_DATA, b"one", b"two", b"three"):
        target.upload(_descriptor(data), _opens(data))
    for manifest in manifests:
        target.put_manifest(MANIFEST, manifest)
    one, two, three = [digest_of(manifest) for manifest in manifests]
    target.put_tag("t", MANIFEST, manifests[0], None)
    target.put_tag("t", MANIFEST, manifests[0], None)
    before = target.tagged("t")
    assert before is not None
    target.put_tag("t", MANIFEST, manifests[1], before)
    with fails("moved", f"somebody else moved the tag t: it names {two}, not {one}"):
        target.put_tag("t", MANIFEST, manifests[2], before)
    with fails("moved", f"somebody else moved the tag t: it names {two}, and was not there"):
        target.put_tag("t", MANIFEST, manifests[2], None)
    with fails("moved", f"somebody else moved the tag new: it is not there, not {three}"):
        target.put_tag("new", MANIFEST, manifests[2], Tagged(three, ""))
    assert (now := target.tagged("t"))
    assert now.digest == two


def test_says_what_the_registry_refuses(server: RealRegistry, client: Registry) -> None:
    """A manifest whose blobs are not there; a blob that is not what its descriptor says is not even sent to its end."""
    target = _at(client, server, "org/refused")
    manifest = make_manifest(b"not there")
    said = "it answered 400 Bad Request (MANIFEST_BLOB_UNKNOWN: blob unknown to registry)"
    with fails("refused", f"{server.host} refused: {said}"):
        target.put_manifest(MANIFEST, manifest)
    with fails("damaged", f"has another digest than {digest_of(b'right')}: {digest_of(b'wrong')[7:]}"):
        target.upload(_descriptor(b"right"), _opens(b"wrong"))
    with fails("damaged", "ends after 3 of 5 bytes"):
        target.upload(_descriptor(b"right"), _opens(b"rig"))
    assert not target.has(_descriptor(b"right"))


@pytest.mark.parametrize("server", ["guarded"], indirect=True)
def test_denies_who_has_no_login(server: RealRegistry, certificate: Certificate, tmp_path: Path) -> None:
    """Where a login is wanted, its absence is the reason."""
    (tmp_path / "config.json").write_text("{}")
    environment = {b"DOCKER_CONFIG": bytes(tmp_path)}
    client = Registry(read_credentials(environment), environment=environment, ca_file=str(certificate.file))
    with contextlib.closing(client):
        reason = f"{server.host} wants a login, and none was found in {tmp_path}/config.json"
        for action in (
            lambda: _at(client, server, "org/a").tagged("1"),
            lambda: _at(client, server, "org/a", "org/b").upload(_descriptor(SMALL), _opens(SMALL)),
            lambda: _at(client, server, "org/a", "org/b").put_manifest(MANIFEST, b"{}"),
        ):
            with fails("denied", reason):
                action()


def test_many_threads_write_at_once(server: RealRegistry, client: Registry) -> None:
    """To one repository and to many.

    What apps of a repository share is there before: docker-registry answers 400 now and then where a blob is sent twice
    at one time, so `patch` sends it once (tests/tooling/apps/patch/test_patch_blobs.py).
    """
    for number in range(5):
        for blob in (CONFIG_DATA, SMALL):
            _at(client, server, f"fleet/app{number}", "org/source").copy(_descriptor(blob), "org/source", _opens(blob))

    def write(number: int) -> None:
        target = _at(client, server, f"fleet/app{number % 5}", "org/source")
        data = bytes([number]) * 100_000
        manifest = make_manifest(CONFIG_DATA, data, SMALL)
        for blob in (CONFIG_DATA, data, SMALL):  # each once: data is this thread's own
            target.copy(_descriptor(blob), "org/source", _opens(blob))
        target.put_manifest(MANIFEST, manifest)
        target.put_tag(f"t{number}", MANIFEST, manifest, None)
        assert (now := target.tagged(f"t{number}"))
        assert now.digest == digest_of(manifest)

    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(write, number) for number in range(20)]:
            future.result(60)


class _Cutting:
    """Passes bytes on to a registry, and cuts some connections after so many."""

    def __init__(self, host: str, cuts: list[int]) -> None:
        self._to = (host.partition(":")[0], int(host.partition(":")[2]))
        self._cuts = [sys.maxsize, *cuts]  # the first only asks whether it speaks TLS
        self._server = socket.create_server((LOOPBACK, 0))
        self._threads = [threading.Thread(target=self._serve)]
        self._sockets: list[socket.socket] = []
        self.host = f"{LOOPBACK}:{self._server.getsockname()[1]}"
        self._threads[0].start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near = self._server.accept()[0]
                far = socket.create_connection(self._to)
                self._sockets += [near, far]
                left = self._cuts.pop(0) if self._cuts else sys.maxsize
                for source, sink, most in ((near, far, left), (far, near, sys.maxsize)):
                    self._threads.append(threading.Thread(target=self._pass, args=(source, sink, most)))
                    self._threads[-1].start()

    @staticmethod
    def _pass(source: socket.socket, sink: socket.socket, most: int) -> None:
        with contextlib.suppress(OSError):
            while most and (data := source.recv(min(65536, most))):
                sink.sendall(data)
                most -= len(data)
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            while not most and source.recv(65536):  # what was on its way
                pass

    def close(self) -> None:
        for each in (self._server, *self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(20)
        for each in (self._server, *self._sockets):
            each.close()


@pytest.mark.parametrize("server", ["plain"], indirect=True)
@pytest.mark.parametrize("cuts", [[500] * 2, [5_000] * 2, [3 << 20] * 2, [3 << 20, 6 << 20], [7 << 20]])
def test_gets_through_cut_connections(server: RealRegistry, cuts: list[int]) -> None:
    """In the whole, in a first chunk, in a second: whatever the registry kept of it, the blob is whole in the end."""
    blob = LARGE + str(cuts).encode()
    with (
        contextlib.closing(_Cutting(server.host, cuts)) as between,
        contextlib.closing(Registry(Credentials(), environment={})) as client,
    ):
        target = client.destination(Reference.parse(f"{between.host}/org/cut:1"))
        assert target.upload(_descriptor(blob), _opens(blob)) == len(blob)
        with client.store(Reference.parse(f"{between.host}/org/cut:1")).open(_descriptor(blob)) as file:
            assert file.read() == blob


@pytest.mark.parametrize("server", ["plain"], indirect=True)
@pytest.mark.parametrize("cuts", [[], [1 << 20]], ids=["as a whole", "in chunks"])
def test_holds_no_more_than_a_chunk(server: RealRegistry, cuts: list[int]) -> None:
    """However large a blob is, and less where it is sent as a whole."""
    size = 20 * uploads.CHUNK
    digest = hashlib.sha256()
    for _ in range(20):
        digest.update(bytes(uploads.CHUNK))
    blob = Descriptor(LAYER, f"sha256:{digest.hexdigest()}", size)
    with (
        contextlib.closing(_Cutting(server.host, cuts)) as between,
        contextlib.closing(Registry(Credentials(), environment={})) as client,
    ):
        target = client.destination(Reference.parse(f"{between.host}/org/zeros{len(cuts)}:1"))
        assert not target.has(blob)
        tracemalloc.start()
        target.upload(blob, lambda: contextlib.nullcontext(io.BufferedReader(_Zeros(size))))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert target.has(blob)
    assert peak < (1.5 if cuts else 0.5) * uploads.CHUNK
    assert _log(server).count(f'"PATCH /v2/org/zeros{len(cuts)}/') == (20 if cuts else 0)


class _Zeros(io.RawIOBase):
    """So many of them."""

    def __init__(self, size: int) -> None:
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed's buffer has no length
        length = min(len(buffer), self._left)
        buffer[:length] = bytes(length)
        self._left -= length
        return length


def test_never_deletes(server: RealRegistry) -> None:
    """Of all that the tests above asked, nothing was DELETE, and nothing is but what pushing takes."""
    methods = set(re.findall(r'"([A-Z]+) /v2/', _log(server)))
    assert {"HEAD", "POST", "PUT"} <= methods <= {"HEAD", "GET", "POST", "PATCH", "PUT"}
