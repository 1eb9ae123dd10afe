"""HTTP in bounded time: requests that end by a deadline, redirects that give nothing away. Knows no registry.

What urllib3 would do by itself (retries, redirects, decoding) is done here, or not done: each has its own rule here.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import ssl
import threading
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urljoin, urlsplit

import urllib3
import urllib3.exceptions as trouble
from urllib3.util import Timeout, make_headers

from metalauncher import __version__
from metalauncher.errors import errno_text
from metalauncher.tomlfile import size_text
from metalauncher.tooling.oci.model import ImageError
from metalauncher.tooling.oci.proxies import is_loopback, proxy_for
from metalauncher.tooling.oci.wire import CURRENT, Broken, PlainPool, TlsPool, broken
from metalauncher.tooling.talk import Unable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from metalauncher.tooling.oci.wire import Deadline

REDIRECTS: Final = 5
_POOLS = 64  # hosts that connections are kept to
_REDIRECTING = frozenset((301, 302, 303, 307, 308))
_SKIPPABLE = 64 << 10  # bytes of a body that nobody wants: read, so that the connection can be used again
_PORTS = {"http": 80, "https": 443}
_URL_LIMIT = 16 << 10  # characters; storage services sign theirs at length


class Answer:
    """A response whose body is still to be read; close it.

    Attributes:
        status: the code.
        headers: by any case.
        host: that answered.
        redirected: whether it is another than the one that was asked.
    """

    def __init__(self, response: urllib3.BaseHTTPResponse, url: str, *, redirected: bool) -> None:
        """Hold it."""
        self._response = response
        self.status: Final = response.status
        self.headers: Final = response.headers
        self.host: Final = urlsplit(url).netloc
        self.redirected: Final = redirected

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def length(self) -> int | None:
        """Return how long the body says it is."""
        value = self.headers.get("Content-Length", "")
        return int(value) if value.isdecimal() and len(value) < 20 else None

    def read(self, amount: int) -> bytes:
        """Return the next bytes as they came, fewer than `amount` only at the end.

        Raises:
            Broken: there are more, but they don't come.
        """
        data = b""
        try:
            while len(data) < amount and (more := self._response.read(amount - len(data), decode_content=False)):
                data = data + more if data else more
        except (trouble.HTTPError, OSError, http.client.HTTPException, ValueError) as error:
            raise broken(error, self.host, "") from None
        return data

    def whole(self, limit: int, what: str) -> bytes:
        """Return all of the body.

        Raises:
            ImageError: there is more than `limit` bytes of it, or it does not come.
        """
        if (self.length() or 0) > limit or len(body := self.read(limit + 1)) > limit:
            raise ImageError("too-large", f"{what} is larger than {size_text(limit)}")
        return body

    def close(self) -> None:
        """Give the connection back; where too much of the body is left, end it."""
        length = self.length()
        if length is not None and length <= _SKIPPABLE:
            with contextlib.suppress(Broken):
                self.read(length)
        self._response.close()
        self._response.release_conn()


class Transport:
    """All connections there are, kept open between requests; threads may share it."""

    def __init__(
        self,
        *,
        insecure: frozenset[str],
        ca_file: str | None,
        environment: Mapping[bytes, bytes],
        connections: int,
        connect_seconds: float,
        read_seconds: float,
    ) -> None:
        """Prepare; nothing is connected.

        Args:
            insecure: `HOST` or `HOST:PORT` that may be spoken to without TLS.
            ca_file: certificates in PEM to trust besides the system's.
            environment: says which proxies there are.
            connections: to keep open per host.
            connect_seconds: to wait for a connection.
            read_seconds: to wait for the next bytes.

        Raises:
            Unable: `ca_file` can't be used.
        """
        self._insecure = frozenset([host.lower() for host in insecure])
        self._environment = environment
        self._connections = connections
        self._connect_seconds = connect_seconds
        self._read_seconds = read_seconds
        self._tls = _tls_context(ca_file)
        self._managers: dict[str, urllib3.PoolManager] = {}
        self._lock = threading.Lock()

    def may_be_plain(self, netloc: str) -> bool:
        """Whether a host may be spoken to without TLS: this machine itself, and what is named as insecure."""
        host = _split(f"http://{netloc}")[1]
        return is_loopback(host) or bool(self._insecure & {netloc.lower(), host, host.strip("[]")})

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        deadline: Deadline,
        body: bytes | None = None,
    ) -> Answer:
        """Make one request, and those that redirects lead to; `Authorization` goes to nobody but who was asked.

        Raises:
            Broken: there is no answer.
        """
        headers = {"User-Agent": f"metalauncher/{__version__}", "Accept-Encoding": "identity", **headers}
        asked = origin = self._check(url)
        token = CURRENT.set((deadline, self._read_seconds))
        try:
            for _ in range(REDIRECTS + 1):
                response = self._once(method, url, headers, deadline, body)
                answer = Answer(response, url, redirected=origin != asked)
                location = response.headers.get("Location")
                if method != "GET" or answer.status not in _REDIRECTING or not location:
                    return answer
                answer.close()
                url = _redirect(url, location)
                origin = self._check(url, origin)
                if origin != asked:
                    headers = {name: value for name, value in headers.items() if name != "Authorization"}
        finally:
            CURRENT.reset(token)
        raise Broken(f"{answer.host} redirects more than {REDIRECTS} times", again=False)

    def _check(self, url: str, before: tuple[str, str, int] | None = None) -> tuple[str, str, int]:
        """Return scheme, host and port of a URL that may be asked.

        Args:
            url: to be asked.
            before: what redirects to it.

        Raises:
            Broken: it may not.
        """
        origin = scheme, host, port = _split(url)
        netloc = f"{host}:{port}"
        if scheme == "http" and not (self.may_be_plain(netloc) or self.may_be_plain(host)):
            where = f"{before[1]} redirects to {host}" if before else host
            raise Broken(f"{where} over plain HTTP, and {host} is not named as insecure", again=False)
        if scheme == "http" and before and before[0] == "https" and not self.may_be_plain(f"{before[1]}:{before[2]}"):
            raise Broken(f"{before[1]} redirects from HTTPS to plain HTTP", again=False)
        return origin

    def _once(
        self, method: str, url: str, headers: Mapping[str, str], deadline: Deadline, body: bytes | None
    ) -> urllib3.BaseHTTPResponse:
        scheme, host, port = _split(url)
        proxy = proxy_for(scheme, host, port, self._environment)
        manager = self._manager(proxy)
        try:
            timeout = Timeout(connect=deadline.within(self._connect_seconds), read=deadline.within(self._read_seconds))
            return manager.urlopen(
                method,
                url,
                body=body,
                headers=dict(headers),
                timeout=timeout,
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
        except (trouble.HTTPError, OSError, http.client.HTTPException, ValueError) as error:
            raise broken(error, f"{host}:{port}" if port != _PORTS[scheme] else host, proxy) from None

    def _manager(self, proxy: str) -> urllib3.PoolManager:
        with self._lock:
            if proxy not in self._managers:
                manager = self._connect_through(proxy)
                manager.pool_classes_by_scheme = {"http": PlainPool, "https": TlsPool}
                self._managers[proxy] = manager
            return self._managers[proxy]

    def _connect_through(self, proxy: str) -> urllib3.PoolManager:
        options: dict[str, Any] = {"num_pools": _POOLS, "maxsize": self._connections, "ssl_context": self._tls}
        if not proxy:
            return urllib3.PoolManager(**options)
        try:
            parts = urlsplit(proxy)
            sound = parts.scheme in _PORTS and parts.hostname and parts.port != 0
        except ValueError:
            sound = False
        if not sound:
            raise Broken("the proxy of the environment is not http://HOST:PORT or https://HOST:PORT", again=False)
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else None
        address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        return urllib3.ProxyManager(
            address, proxy_headers=make_headers(proxy_basic_auth=login), proxy_ssl_context=self._tls, **options
        )

    def close(self) -> None:
        """Close all connections that nobody uses."""
        with self._lock:
            for manager in self._managers.values():
                manager.clear()
            self._managers.clear()


def _tls_context(ca_file: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except OSError as error:  # ssl.SSLError too
            reason = "has no certificates in PEM" if isinstance(error, ssl.SSLError) else errno_text(error.errno)
            raise Unable(
                f"{ca_file}: {reason}",
                need="a file with the certificates of those who vouch for the registry, in PEM",
                command=f"openssl x509 -in {ca_file} -noout -subject",
            ) from None
    return context


@functools.lru_cache(maxsize=256)
def _split(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port of a URL.

    Raises:
        Broken: it is none that can be asked.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Broken("it redirects to something that is not a URL", again=False) from None
    if parts.scheme not in _PORTS or not parts.hostname or parts.username is not None:
        raise Broken(f"it redirects to something else than HTTP: {parts.scheme[:20]!r}", again=False)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return parts.scheme, host, port or _PORTS[parts.scheme]


def _redirect(url: str, location: str) -> str:
    if len(location) > _URL_LIMIT or not location.isascii() or not location.isprintable():
        raise Broken(f"{_split(url)[1]} redirects to something that is not a URL", again=False)
    try:
        return urljoin(url, location)
    except ValueError:
        raise Broken(f"{_split(url)[1]} redirects to something that is not a URL", again=False) from None
