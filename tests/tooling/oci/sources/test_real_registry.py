"""The client against Debian's docker-registry: anonymous, with a login, over TLS."""

from __future__ import annotations

import contextlib
import json
import os
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from registries import (
    CONFIG,
    LAYER,
    Certificate,
    RealRegistry,
    auth,
    digest_of,
    make_certificate,
    make_manifest,
    start_registry,
)

from metalauncher.tooling.oci.http.credentials import read_credentials
from metalauncher.tooling.oci.model import OCI_INDEX, OCI_MANIFEST, Descriptor, ImageError
from metalauncher.tooling.oci.reference import Reference
from metalauncher.tooling.oci.sources.registry import Registry

CONFIG_DATA = b'{"config": {"Env": ["CNB_PLATFORM_API=0.12"]}}'
LAYER_DATA = bytes(range(256)) * 1000
MANIFEST = make_manifest(CONFIG_DATA, LAYER_DATA)
INDEX = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [{"mediaType": OCI_MANIFEST, "digest": digest_of(MANIFEST), "size": len(MANIFEST)}],
    }
).encode()
USER = ("ann", "pass:word é")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """Return a certificate for loopback."""
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    """Run a registry for everybody, with one image and one index in it."""
    with contextlib.closing(start_registry(tmp_path_factory.mktemp("plain"))) as registry:
        _fill(registry)
        yield registry


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, certificate: Certificate) -> Iterator[RealRegistry]:
    """Run a registry that wants TLS and a password, with the same in it."""
    folder = tmp_path_factory.mktemp("guarded")
    with contextlib.closing(start_registry(folder, htpasswd=USER, tls=certificate)) as registry:
        _fill(registry)
        yield registry


def _fill(registry: RealRegistry) -> None:
    registry.push("org/app", blobs=[CONFIG_DATA, LAYER_DATA], manifests=[("1", MANIFEST), ("all", INDEX)])


@contextlib.contextmanager
def _client(environment: Mapping[bytes, bytes] | None = None, **options: Any) -> Iterator[Registry]:
    environment = environment or {}
    client = Registry(read_credentials(environment), environment=environment, **options)
    with contextlib.closing(client):
        yield client


def _read_all(client: Registry, registry: RealRegistry) -> None:
    store = client.store(Reference.parse(f"{registry.host}/org/app:1"))
    top, body = store.top()
    assert top == Descriptor(OCI_MANIFEST, digest_of(MANIFEST), len(MANIFEST))
    assert body == MANIFEST
    config = Descriptor(CONFIG, digest_of(CONFIG_DATA), len(CONFIG_DATA))
    assert store.fetch(config, 1 << 20) == CONFIG_DATA
    with store.open(Descriptor(LAYER, digest_of(LAYER_DATA), len(LAYER_DATA))) as file:
        assert file.read(10) == LAYER_DATA[:10]
        assert file.read() == LAYER_DATA[10:]
        assert file.read() == b""


def _docker_config(folder: Path, document: Mapping[str, Any]) -> dict[bytes, bytes]:
    (folder / "config.json").write_text(json.dumps(document))
    return {b"DOCKER_CONFIG": bytes(folder)}


def test_reads_as_nobody(plain: RealRegistry) -> None:
    """Manifest, config and layer are as they were pushed."""
    with _client() as client:
        _read_all(client, plain)


def test_follows_an_index(plain: RealRegistry) -> None:
    """An index is given as one; what it refers to is fetched as a manifest."""
    with _client() as client:
        store = client.store(Reference.parse(f"{plain.host}/org/app:all"))
        assert store.top() == (Descriptor(OCI_INDEX, digest_of(INDEX), len(INDEX)), INDEX)
        assert store.fetch(Descriptor(OCI_MANIFEST, digest_of(MANIFEST), len(MANIFEST)), 1 << 20) == MANIFEST
        by_digest = client.store(Reference.parse(f"{plain.host}/org/app@{digest_of(MANIFEST)}"))
        assert by_digest.top() == (Descriptor(OCI_MANIFEST, digest_of(MANIFEST), len(MANIFEST)), MANIFEST)


def test_reads_from_many_threads(plain: RealRegistry) -> None:
    """A client is for all threads."""
    with _client() as client, ThreadPoolExecutor(16) as pool:
        for future in [pool.submit(_read_all, client, plain) for _ in range(64)]:
            future.result(20)


def test_says_what_is_absent(plain: RealRegistry) -> None:
    """Repository, tag and blob are told apart."""
    with _client() as client:
        with pytest.raises(ImageError) as caught:
            client.store(Reference.parse(f"{plain.host}/org/none:1")).top()
        assert (caught.value.kind, caught.value.reason) == (
            "absent",
            f"{plain.host} has no such tag or manifest (MANIFEST_UNKNOWN: manifest unknown)",
        )
        store = client.store(Reference.parse(f"{plain.host}/org/app:1"))
        with pytest.raises(ImageError) as caught:
            store.fetch(Descriptor(LAYER, digest_of(b"none"), 4), 100)
        assert (caught.value.kind, caught.value.reason) == (
            "absent",
            f"{plain.host} has no such blob (BLOB_UNKNOWN: blob unknown to registry)",
        )


def test_logs_in_over_tls_from_config_json(guarded: RealRegistry, certificate: Certificate, tmp_path: Path) -> None:
    """A password of config.json, and a certificate that only --ca-file's like vouch for."""
    environment = _docker_config(tmp_path, {"auths": {guarded.host: {"auth": auth(*USER)}}})
    with _client(environment, ca_file=str(certificate.file)) as client:
        _read_all(client, guarded)


def test_logs_in_with_a_helper(guarded: RealRegistry, certificate: Certificate, tmp_path: Path) -> None:
    """A helper is asked for the host, once for all that is fetched."""
    helper = tmp_path / "docker-credential-here"
    answer = json.dumps({"ServerURL": guarded.host, "Username": USER[0], "Secret": USER[1]})
    (tmp_path / "answer").write_text(answer)
    helper.write_text(f'#!/bin/sh\necho "$1 $(cat)" >>{tmp_path}/asked\ncat {tmp_path}/answer\n')
    helper.chmod(0o755)
    environment = _docker_config(tmp_path, {"credHelpers": {guarded.host: "here"}})
    environment[b"PATH"] = bytes(tmp_path) + b":/usr/bin:/bin"
    with _client(environment, ca_file=str(certificate.file)) as client:
        _read_all(client, guarded)
    assert (tmp_path / "asked").read_text() == f"get {guarded.host}\n"


def test_is_denied_without_or_with_a_wrong_login(
    guarded: RealRegistry, certificate: Certificate, tmp_path: Path
) -> None:
    """The registry wants a login: there is none, or another than it knows."""
    name = Reference.parse(f"{guarded.host}/org/app:1")
    with _client(ca_file=str(certificate.file)) as client, pytest.raises(ImageError) as caught:
        client.store(name).top()
    assert caught.value.kind == "denied"
    assert caught.value.reason.startswith(f"{guarded.host} wants a login, and none was found in /run/containers/")
    environment = _docker_config(tmp_path, {"auths": {guarded.host: {"auth": auth("ann", "wrong-password")}}})
    with _client(environment, ca_file=str(certificate.file)) as client, pytest.raises(ImageError) as caught:
        client.store(name).top()
    assert caught.value.kind == "denied"
    assert caught.value.reason == (
        f"{guarded.host} denies access: it answered 401 Unauthorized (UNAUTHORIZED: authentication required),"
        f" with the login from {tmp_path}/config.json, entry {guarded.host}"
    )


def test_trusts_no_certificate_that_nobody_vouches_for(
    guarded: RealRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the CA file the connection is not used, nor is plain HTTP tried; whose are trusted is said."""
    other = make_certificate(tmp_path).file
    # The file alone is another one then, as for all that OpenSSL is in; the directory is still the system's.
    folder = ssl.get_default_verify_paths().openssl_capath
    rest = f" and those in {folder}" if os.path.exists(folder) else ""
    for named, ca_file, trusted in (
        (None, None, "the system's"),
        (None, str(other), f"the system's and those in {other}"),
        (str(other), None, f"those in {other}, which SSL_CERT_FILE names{rest}"),
        (str(other), str(other), f"those in {other}, which SSL_CERT_FILE names{rest} and those in {other}"),
        ("missing.crt", None, f"those in missing.crt, which SSL_CERT_FILE names (it is not there){rest}"),
    ):
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)
        monkeypatch.delenv("SSL_CERT_DIR", raising=False)
        if named:
            monkeypatch.setenv("SSL_CERT_FILE", named)
        with _client(ca_file=ca_file) as client, pytest.raises(ImageError) as caught:
            client.store(Reference.parse(f"{guarded.host}/org/app:1")).top()
        assert caught.value.kind == "unreachable"
        reason = f"{guarded.host}: its certificate is not trusted: self-signed certificate; trusted are {trusted}"
        assert caught.value.reason == f"{reason}; --ca-file FILE adds others"


@pytest.mark.parametrize("named", ["other", "the directory"])
def test_trusts_a_file_and_a_directory(
    named: str, guarded: RealRegistry, certificate: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is in place of the system's own: SSL_CERT_FILE takes nothing from SSL_CERT_DIR."""
    (tmp_path / "other").mkdir()
    (tmp_path / "ca").mkdir()
    (tmp_path / "ca/ca.pem").write_bytes(certificate.file.read_bytes())
    subprocess.run(["openssl", "rehash", tmp_path / "ca"], check=True, capture_output=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.crt"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / ("ca" if named == "the directory" else "other")))
    with _client() as client:
        image = client.store(Reference.parse(f"{guarded.host}/org/app:1"))
        with pytest.raises(ImageError) as caught:
            image.top()
    assert (caught.value.kind == "denied") == (named == "the directory"), caught.value.reason
