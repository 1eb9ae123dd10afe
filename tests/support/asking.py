"""Ask a hostile registry, with a clock that moves only when the client sleeps."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from registries import CONFIG, LAYER, HostileRegistry, Reply, Request, digest_of, make_manifest

from metalauncher.tooling.oci.http.credentials import Credentials, read_credentials
from metalauncher.tooling.oci.model import Descriptor, ImageError
from metalauncher.tooling.oci.reference import Reference
from metalauncher.tooling.oci.sources.registry import Registry, RegistryStore

BLOB = b"0123456789" * 1000
DESCRIPTOR = Descriptor(LAYER, digest_of(BLOB), len(BLOB))
CONFIG_DATA = b"{}"
CONFIG_DESCRIPTOR = Descriptor(CONFIG, digest_of(CONFIG_DATA), len(CONFIG_DATA))
MANIFEST_DATA = make_manifest(CONFIG_DATA, BLOB)
MANIFEST_TYPE = {"Content-Type": "application/vnd.oci.image.manifest.v1+json"}
PATH = "/v2/org/app/manifests/1"
LIMIT = 1 << 20  # bytes that a blob may have
SECRET = "very-secret"  # noqa: S105  # of nobody
BLOB_PATH = f"/v2/org/app/blobs/{DESCRIPTOR.digest}"


class Time:
    """Passes only while somebody sleeps."""

    def __init__(self) -> None:
        """Begin at some time."""
        self.now = 1000.0
        self.slept: list[float] = []

    def clock(self) -> float:
        """Return it."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let it pass."""
        self.slept.append(seconds)
        self.now += seconds


def serve(request: Request) -> Reply:
    """Answer as a sound registry does that has one image."""
    return {
        PATH: Reply(body=MANIFEST_DATA, headers=MANIFEST_TYPE),
        BLOB_PATH: Reply(body=BLOB),
        f"/v2/org/app/blobs/{CONFIG_DESCRIPTOR.digest}": Reply(body=CONFIG_DATA),
    }.get(request.path, Reply("404 Not Found"))


def always(reply: Reply) -> Callable[[Request], Reply]:
    """Answer with the same whatever is asked."""
    return lambda _: reply


def in_turn(*replies: Reply) -> Callable[[Request], Reply]:
    """Answer with one after the other; with the last from then on."""
    left = list(replies)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


def bearer(realm: str, accepted: Callable[[str], bool]) -> Callable[[Request], Reply]:
    """Answer as a registry that wants a token."""
    challenge = {"WWW-Authenticate": f'Bearer realm="{realm}",service="the service",scope="registry:catalog:*"'}

    def answer(request: Request) -> Reply:
        if accepted(request.headers.get("Authorization", "")):
            return serve(request)
        return Reply("401 Unauthorized", headers=challenge)

    return answer


def giving(document: dict[str, Any]) -> Callable[[Request], Reply]:
    """Answer as a token server that gives this."""
    return always(Reply(body=json.dumps(document).encode()))


@contextlib.contextmanager
def client(
    time: Time | None = None, environment: Mapping[bytes, bytes] | None = None, **options: Any
) -> Iterator[Registry]:
    """Return a client that sleeps in `time`, or, for servers that let it wait, in real but short time."""
    settings: dict[str, Any] = {"sleep": lambda _: None, "read_seconds": 0.2, "seconds": 0.5, "chance": lambda: 1.0}
    if time is not None:
        settings = {"clock": time.clock, "sleep": time.sleep, "now": lambda: 0.0, "chance": lambda: 1.0}
    # Without an environment there are no logins, whatever this machine has.
    credentials = read_credentials(environment) if environment else Credentials()
    with contextlib.closing(Registry(credentials, environment=environment or {}, **(settings | options))) as registry:
        yield registry


def store(registry: Registry, server: HostileRegistry, image: str = "org/app:1") -> RegistryStore:
    """Return the store of an image there."""
    return registry.store(Reference.parse(f"{server.host}/{image}"))


def logins(folder: Path, **entries: Any) -> dict[bytes, bytes]:
    """Return an environment whose config.json has this."""
    (folder / "config.json").write_text(json.dumps(entries))
    return {b"DOCKER_CONFIG": bytes(folder)}


@contextlib.contextmanager
def fails(kind: str, reason: str) -> Iterator[None]:
    """Expect an ImageError of this kind with exactly these words."""
    with pytest.raises(ImageError) as caught:
        yield
    assert (caught.value.kind, caught.value.reason) == (kind, reason)
