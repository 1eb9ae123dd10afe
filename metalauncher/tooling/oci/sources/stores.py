"""Where the images of one run come from: every kind of reference, blobs shared by all of them. Knows no verdicts."""

from __future__ import annotations

import os
import shlex
import threading
from typing import TYPE_CHECKING, Any, Final, assert_never

from metalauncher.tooling.console import Unable, decode, without_module
from metalauncher.tooling.oci.http.credentials import read_credentials
from metalauncher.tooling.oci.http.urls import without_login
from metalauncher.tooling.oci.model import ImageError
from metalauncher.tooling.oci.reference import InvalidReference, Reference, check_host
from metalauncher.tooling.oci.sources.archive import ArchiveStore
from metalauncher.tooling.oci.sources.blob_pool import Blobs, SharingStore
from metalauncher.tooling.oci.sources.cache import BlobCache
from metalauncher.tooling.oci.sources.layout import LayoutStore, OciArchiveStore
from metalauncher.tooling.oci.sources.mirrors import parse_mirrored

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from metalauncher.tooling.oci.destination import Destination
    from metalauncher.tooling.oci.location import Location
    from metalauncher.tooling.oci.model import Store
    from metalauncher.tooling.oci.sources.registry import Registry


class Stores:
    """The stores of one run. For several threads at once."""

    def __init__(
        self,
        environment: Mapping[bytes, bytes],
        *,
        insecure: Sequence[str] = (),
        mirrors: Sequence[str] = (),
        ca_file: str | None = None,
        connections: int,
        cache: str | None = None,
        seconds: float | None = None,
        warn: Callable[[str], None] = lambda _: None,
        note: Callable[..., None] = lambda _, **__: None,
    ) -> None:
        """Take how to speak to registries; nobody is asked.

        Args:
            environment: says where logins, proxies and the cache are.
            insecure: `HOST` or `HOST:PORT` that may be spoken to without TLS.
            mirrors: `HOST=URL`, the URL to ask first.
            ca_file: certificates to trust besides the system's.
            connections: to keep open per host.
            cache: a directory for blobs; "" for none, None for that of the user.
            seconds: to wait for one thing from a registry; None for what is usual.
            warn: is told what is wrong, and no reason to stop.
            note: is told what happens on the way: an event of docs/reference/events.md, and its fields.

        Raises:
            Unable: a mirror or a host is none, or the named cache is somebody else's.
        """
        self._environment: Final = environment
        self._insecure: Final = _parse_insecure(insecure)
        self._mirrors: Final = _parse_mirrors(mirrors)
        self._ca_file: Final = ca_file
        self._connections: Final = connections
        self._seconds: Final = seconds
        self._warn: Final = warn
        self._note: Final = note
        directory = user_cache(environment) if cache is None else cache
        kept = BlobCache(directory) if directory else None
        foreign = kept.foreign() if kept is not None else None
        if foreign is not None and cache is not None:
            raise Unable(
                f"--cache: {directory}: {foreign}",
                need="a directory that is missing, empty, or was made by an earlier run",
                do="name another one, or --no-cache",
                command=f"ls -la {shlex.quote(directory)}",
            )
        if foreign is not None:
            note("cache-passed-over", directory=directory, reason=foreign)
        # What the user did not name is as if it were not there.
        self._blobs: Final = Blobs(kept if foreign is None else None)
        self._lock: Final = threading.Lock()
        self._registry: Registry | None = None

    def open(self, reference: Location, *, mirrored: bool = True) -> Store:
        """Return what holds an image.

        Args:
            reference: of it.
            mirrored: whether mirrors are asked before its registry, where there are any.

        Raises:
            ImageError: there are no images of that kind.
            Unable: registries can't be spoken to at all.
        """
        if reference.kind != "registry":
            return open_local(reference)
        name = Reference.parse(reference.place)
        assumed = "" if name.digest or reference.place.endswith(f":{name.tag}") else name.tag
        return SharingStore(
            self._registries().store(name, mirrored=mirrored), self._blobs, name.host, name.digest, assumed
        )

    def destination(self, name: Reference, reads: tuple[str, ...] = ()) -> Destination:
        """Return where an image is written to in a registry; nothing is asked yet.

        Args:
            name: its host and repository count.
            reads: repositories of the same registry that blobs are mounted from.

        Raises:
            Unable: registries can't be spoken to at all.
        """
        return self._registries().destination(name, reads)

    def close(self) -> None:
        """Close all connections."""
        if self._registry is not None:
            self._registry.close()

    def _registries(self) -> Registry:
        with self._lock:
            if self._registry is None:
                self._registry = self._connect()
            return self._registry

    def _connect(self) -> Registry:
        try:
            from metalauncher.tooling.oci.sources.registry import Registry
        except ModuleNotFoundError as error:
            raise without_module("reading from registries", error.name or "urllib3", "check") from None
        options: dict[str, Any] = {} if self._seconds is None else {"seconds": self._seconds}
        try:
            return Registry(
                read_credentials(self._environment, self._warn),
                environment=self._environment,
                insecure=self._insecure,
                mirrors=self._mirrors,
                ca_file=self._ca_file,
                connections=self._connections,
                note=self._note,
                **options,
            )
        except ValueError as error:
            raise _no_mirror(str(error)) from None


def open_local(reference: Location) -> Store:
    """Return what holds an image of this machine. Nothing is read yet.

    Raises:
        ImageError: there are no images of that kind.
    """
    match reference.kind:
        case "oci":
            return LayoutStore(reference.place, reference.tag)
        case "oci-archive":
            return OciArchiveStore(reference.place, reference.tag)
        case "docker-archive":
            return ArchiveStore(reference.place, reference.tag)
        case "dir":
            raise ImageError("unsupported", "is an unpacked root filesystem, without an image's config")
        case "registry":
            raise ImageError("unsupported", "is in a registry")
        case other:
            assert_never(other)


def _parse_mirrors(texts: Sequence[str]) -> dict[str, tuple[str, ...]]:
    mirrors: dict[str, tuple[str, ...]] = {}
    for text in texts:
        host, equals, url = text.partition("=")
        if not (host and equals and url):
            raise _no_mirror(f"{without_login(text)!r} is not HOST=URL")
        try:
            host = parse_mirrored(host)
        except InvalidReference as error:
            raise _no_mirror(str(error) if "@" not in text else f"{without_login(text)!r} is not HOST=URL") from None
        mirrors[host] = (*mirrors.get(host, ()), url)
    return mirrors


def _parse_insecure(hosts: Sequence[str]) -> frozenset[str]:
    """Return the hosts; what is none would have no effect, and nobody would know."""
    for host in hosts:
        try:
            check_host(f"[{host}]" if host.count(":") > 1 and "[" not in host else host)
        except InvalidReference:
            raise Unable(
                f"--insecure: {without_login(host)!r} is not a registry's host, HOST or HOST:PORT",
                need="the host as it stands in the image's name",
                command="metalauncher check --insecure registry.example.com:5000 ...",
            ) from None
    return frozenset(hosts)


def _no_mirror(reason: str) -> Unable:
    return Unable(
        f"--mirror: {reason}",
        need="the registry's host and where to ask first",
        command="metalauncher check --mirror docker.io=https://mirror.example.com ...",
    )


def user_cache(environment: Mapping[bytes, bytes]) -> str:
    """Return where the user's programs keep what can be had again (XDG base directory specification); "" if nowhere."""
    for name, rest in ((b"XDG_CACHE_HOME", ""), (b"HOME", ".cache")):
        folder = decode(environment.get(name, b""))
        if folder.startswith("/"):
            return os.path.join(folder, rest, "metalauncher", "blobs")
    return ""
