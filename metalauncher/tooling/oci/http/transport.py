"""HTTP in bounded time: requests that end by a deadline, redirects that give nothing away. Knows no registry.

What urllib3 would do by itself (retries, redirects, decoding) is done here, or not done: each has its own rule here.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import os
import ssl
import threading
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_to_bytes, urlsplit

import urllib3
import urllib3.exceptions as urllib3_errors
from urllib3.util import Timeout

from metalauncher import __version__
from metalauncher.tooling.console import Unable
from metalauncher.tooling.oci.http.challenge import parse_date, parse_retry_after
from metalauncher.tooling.oci.http.deadlines import (
    CURRENT,
    Current,
    PlainPool,
    Sending,
    TlsPool,
    TransportError,
    transport_error,
)
from metalauncher.tooling.oci.http.proxies import is_loopback, proxy_for, proxy_variable
from metalauncher.tooling.oci.http.response import Answer
from metalauncher.tooling.oci.http.urls import PORTS, InvalidUrl, Url, parse_url, resolve
from metalauncher.tooling.reading import ReadError, read_regular

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from metalauncher.tooling.oci.http.deadlines import Deadline
    from metalauncher.tooling.oci.http.rate_limit import Pace
    from metalauncher.tooling.oci.http.request import Body

REDIRECTS: Final = 5
_CA_LIMIT = 16 << 20  # bytes; the system's own have 200 KB
_POOLS = 64  # hosts that connections are kept to
_READING = frozenset(("GET", "HEAD"))
_REDIRECTING = frozenset((301, 302, 303, 307, 308))


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
        pace: Pace,
        now: Callable[[], float],
    ) -> None:
        """Prepare; nothing is connected.

        Args:
            insecure: `HOST` or `HOST:PORT` that may be spoken to without TLS.
            ca_file: certificates in PEM to trust besides the system's.
            environment: says which proxies there are.
            connections: to keep open per host.
            connect_seconds: to wait for a connection.
            read_seconds: to wait for the next bytes.
            pace: says when to ask a host.
            now: seconds since 1970.

        Raises:
            Unable: `ca_file` can't be used.
        """
        self._pace = pace
        self._now = now
        self._insecure = frozenset([host.lower() for host in insecure])
        self._environment = environment
        self._connections = connections
        self._connect_seconds = connect_seconds
        self._read_seconds = read_seconds
        self._tls = _tls_context(ca_file)
        self._trusted = _trusted(ca_file)
        self._managers: dict[str, urllib3.PoolManager] = {}
        self._lock = threading.Lock()

    def may_be_plain(self, netloc: str) -> bool:
        """Whether a host may be spoken to without TLS: this machine itself, and what is named as insecure."""
        try:
            _, host, port, _ = parse_url(f"http://{netloc}")
        except InvalidUrl:
            return False
        return is_loopback(host) or bool(self._insecure & {netloc.lower(), f"{host}:{port}", host, host.strip("[]")})

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        deadline: Deadline,
        body: Body | None = None,
    ) -> Answer:
        """Make one request, and those that redirects lead to; `Authorization` goes to nobody but who was asked.

        Only GET and HEAD are redirected: what is written goes nowhere but where it was sent. Each host is asked when it
        is its turn; one that answers that it is asked too much is asked less from then on.

        Raises:
            TransportError: there is no answer.
        """
        headers = {"User-Agent": f"metalauncher/{__version__}", "Accept-Encoding": "identity", **headers}
        try:
            asked = at = parse_url(url)
        except InvalidUrl as error:
            raise TransportError(f"what it is to be asked for is {error}", retryable=False) from None
        self._check(at, None)
        passed: tuple[str, ...] = ()
        for _ in range(REDIRECTS + 1):
            who = _named(at, passed)
            turn = self._pace.enter(at.netloc, deadline)
            response = self._once(method, at, headers, deadline, body, who)
            wait = parse_retry_after(response.headers.get("Retry-After"), self._time(response))
            limited = response.status == 429 or (response.status == 503 and wait > 0)
            waitable = self._pace.limited(turn, wait) if limited else True
            redirected = at.origin != asked.origin
            answer = Answer(response, who, at, redirected=redirected, limited=limited, waitable=waitable)
            if not limited and (answer.status < 400 or answer.status == 404):
                self._pace.answered(turn)
            location = response.headers.get("Location")
            if method not in _READING or answer.status not in _REDIRECTING or not location:
                return answer
            answer.close()
            try:
                to = resolve(at, location)
            except InvalidUrl as error:
                raise TransportError(f"{who} redirects to {error}", retryable=False) from None
            self._check(to, at)
            if to.origin != at.origin:
                passed = (*passed, at.netloc)
            if to.origin != asked.origin:
                headers = {name: value for name, value in headers.items() if name != "Authorization"}
            at = to
        raise TransportError(f"{asked.netloc} redirects more than {REDIRECTS} times", retryable=False)

    def _time(self, response: urllib3.BaseHTTPResponse) -> float:
        """Return what time it is to the server: its clock decides when a date of its own has come."""
        there = parse_date(response.headers.get("Date"))
        return self._now() if there is None else there

    def _check(self, url: Url, before: Url | None) -> None:
        """See whether a URL may be asked.

        Args:
            url: to be asked.
            before: what redirects to it.

        Raises:
            TransportError: it may not.
        """
        if url.scheme != "http" or self.may_be_plain(url.netloc):
            if url.scheme == "http" and before and before.scheme == "https" and not self.may_be_plain(before.netloc):
                raise TransportError(f"{before.netloc} redirects from HTTPS to plain HTTP", retryable=False)
            return
        where = f"{before.netloc} redirects to {url.netloc}" if before else url.netloc
        raise TransportError(f"{where} over plain HTTP, and {url.host} is not named as insecure", retryable=False)

    def _once(
        self,
        method: str,
        url: Url,
        headers: Mapping[str, str],
        deadline: Deadline,
        body: Body | None,
        who: str,
    ) -> urllib3.BaseHTTPResponse:
        proxy = proxy_for(url.scheme, url.host, url.port, self._environment)
        manager = self._manager(proxy, url.scheme)
        # urllib3 is told whom to ask, and not what for: it would write the path and the query anew.
        target = str(url) if proxy and url.scheme == "http" else url.target
        with contextlib.ExitStack() as stack:
            sending = body and Sending(stack.enter_context(body.open_source()), body.size, deadline)
            token = CURRENT.set(Current(deadline, self._read_seconds, target))
            stack.callback(CURRENT.reset, token)
            try:
                return manager.urlopen(
                    method,
                    f"{url.scheme}://{url.netloc}/",
                    body=sending,
                    headers=dict(headers) if body is None else {**headers, "Content-Length": str(body.size)},
                    timeout=Timeout(
                        connect=deadline.within(self._connect_seconds), read=deadline.within(self._read_seconds)
                    ),
                    retries=False,
                    redirect=False,
                    preload_content=False,
                    decode_content=False,
                )
            except (urllib3_errors.HTTPError, OSError, http.client.HTTPException, ValueError) as error:
                variable = proxy and proxy_variable(url.scheme, self._environment)
                raise transport_error(error, who, variable, self._trusted) from None

    def _manager(self, proxy: str, scheme: str) -> urllib3.PoolManager:
        with self._lock:
            if proxy not in self._managers:
                manager = self._connect_through(proxy, scheme)
                manager.pool_classes_by_scheme = {"http": PlainPool, "https": TlsPool}
                self._managers[proxy] = manager
            return self._managers[proxy]

    def _connect_through(self, proxy: str, scheme: str) -> urllib3.PoolManager:
        options: dict[str, Any] = {"num_pools": _POOLS, "maxsize": self._connections, "ssl_context": self._tls}
        if not proxy:
            return urllib3.PoolManager(**options)
        try:
            parts = urlsplit(proxy)
            sound = parts.scheme in PORTS and parts.hostname and parts.port != 0
        except ValueError:
            sound = False
        if not sound:
            name = proxy_variable(scheme, self._environment)
            raise TransportError(
                f"{name} in the environment is not http://HOST:PORT or https://HOST:PORT", retryable=False
            )
        headers = {}
        if parts.username or parts.password:
            # In bytes, whatever they mean: what is not ASCII is UTF-8 to curl and to Go, and Latin-1 to urllib3.
            written = [(part or "").encode("utf-8", "surrogateescape") for part in (parts.username, parts.password)]
            login = b":".join([unquote_to_bytes(part) for part in written])
            headers["Proxy-Authorization"] = "Basic " + base64.b64encode(login).decode()
        address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        return urllib3.ProxyManager(address, proxy_headers=headers, proxy_ssl_context=self._tls, **options)

    def close(self) -> None:
        """Close all connections that nobody uses."""
        with self._lock:
            for manager in self._managers.values():
                manager.clear()
            self._managers.clear()


def _trusted(ca_file: str | None) -> str:
    """Say whose certificates are trusted: those of a file and of a directory, as OpenSSL finds them."""
    found = ssl.get_default_verify_paths()
    places = (
        (found.openssl_cafile_env, found.openssl_cafile),
        (found.openssl_capath_env, found.openssl_capath),
    )
    texts = []
    if not any([os.environ.get(variable) for variable, _ in places]):
        texts.append("the system's")
    else:
        for variable, default in places:
            if named := os.environ.get(variable):
                missing = "" if any(map(os.path.exists, named.split(os.pathsep))) else " (it is not there)"
                texts.append(f"those in {named}, which {variable} names{missing}")
            elif os.path.exists(default):  # one variable puts nothing in the other's place
                texts.append(f"those in {default}")
    if ca_file is not None:
        texts.append(f"those in {ca_file}")
    return " and ".join(texts)


def _tls_context(ca_file: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            # What stands beside the certificates may be in any encoding.
            context.load_verify_locations(cadata=read_regular(ca_file, _CA_LIMIT).decode("ascii", "ignore"))
        except (ssl.SSLError, ValueError, ReadError) as error:  # ValueError: an empty file
            reason = str(error) if isinstance(error, ReadError) else "has no certificates in PEM"
            raise Unable(
                f"{ca_file}: {reason}",
                need="a file with CA certificates in PEM",
                command=f"openssl x509 -in {ca_file} -noout -subject",
            ) from None
    return context


def _named(url: Url, passed: tuple[str, ...]) -> str:
    """Return a host as messages name it: with those that redirected to it."""
    return f"{url.netloc} (redirected from {' by way of '.join(passed)})" if passed else url.netloc
