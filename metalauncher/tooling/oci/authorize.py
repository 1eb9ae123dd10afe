"""What to say to a registry that asks who is there: nothing, a password, or a token from the server that it names.

Sources: RFC 7617 (basic), the distribution project's token and OAuth2 specifications (auth/token.md, auth/oauth.md).
"""

from __future__ import annotations

import json
import re
import threading
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode, urlsplit

from metalauncher.tooling.oci.model import ImageError
from metalauncher.tooling.oci.wire import Broken

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from urllib.parse import SplitResult

    from metalauncher.tooling.oci.challenge import Challenge
    from metalauncher.tooling.oci.credentials import Credentials, Login
    from metalauncher.tooling.oci.transport import Transport
    from metalauncher.tooling.oci.wire import Deadline

TOKEN_LIMIT: Final = 1 << 20  # bytes of a token server's answer; the largest have some 10 KB
_SHORTEST, _LONGEST = 60.0, 3600.0  # seconds: what token.md has for servers that don't say; we ask again anyway
_EARLY = 0.9  # of a token's life after which another is asked for, so that none ends on the way
_TOKEN = re.compile(r"[\x21-\x7e]{1,65536}")  # what a header can hold
_CLIENT = "metalauncher"


class Authorizer:
    """What each registry wants to hear; threads may share it."""

    def __init__(self, transport: Transport, credentials: Credentials, clock: Callable[[], float]) -> None:
        """Know nobody yet."""
        self._transport = transport
        self._credentials = credentials
        self._clock = clock
        self._lock = threading.Lock()
        self._wanted: dict[str, Challenge] = {}
        self._tokens: dict[tuple[str, ...], _Token] = {}

    def known(self, host: str, repository: str, deadline: Deadline) -> str:
        """Return the `Authorization` that a registry is known to want; "" where it is not known to want one.

        Raises:
            ImageError: there is one, but it can't be had.
        """
        challenge = self._wanted.get(host)
        return self._answer(host, repository, challenge, "", deadline) if challenge else ""

    def asked(
        self, host: str, repository: str, challenges: Sequence[Challenge], refused: str, deadline: Deadline
    ) -> str:
        """Return the `Authorization` that answers a 401: another one than was refused.

        Raises:
            ImageError: there is none.
        """
        by_scheme = {challenge.scheme: challenge for challenge in reversed(challenges)}
        challenge = by_scheme.get("bearer") or by_scheme.get("basic")
        if challenge is None:
            kinds = ", ".join([challenge.scheme[:20] for challenge in challenges[:4]]) or "nothing"
            raise ImageError("denied", f"{host} wants a login, but asks for neither basic nor bearer: {kinds}")
        answer = self._answer(host, repository, challenge, refused, deadline)
        if not answer:
            raise ImageError("denied", f"{host} wants a login, and there is none for it")
        if answer == refused:
            raise ImageError("denied", f"{host} does not accept the login that there is for it")
        self._wanted[host] = challenge
        return answer

    def _answer(self, host: str, repository: str, challenge: Challenge, refused: str, deadline: Deadline) -> str:
        if challenge.scheme == "basic":
            login = self._credentials.find(host, repository)
            if login is not None and login.identity_token:
                raise ImageError("denied", f"{host} wants a password, and there is only an identity token for it")
            return login.basic() if login else ""
        key = (host, challenge.parameters.get("realm", ""), challenge.parameters.get("service", ""), repository)
        with self._lock:
            token = self._tokens.setdefault(key, _Token())
        # One thread asks, the others that want the same wait for it, but not for longer than they have.
        if not token.lock.acquire(timeout=max(deadline.remaining(), 0)):
            raise Broken(f"the token server of {host} did not answer in time", again=False)
        try:
            if not token.value or token.value == refused or self._clock() >= token.end:
                login = self._credentials.find(host, repository)
                value, seconds = self._fetch(key, login, deadline)
                token.value, token.end = f"Bearer {value}", self._clock() + seconds * _EARLY
            return token.value
        finally:
            token.lock.release()

    def _fetch(self, key: tuple[str, ...], login: Login | None, deadline: Deadline) -> tuple[str, float]:
        host, realm, service, repository = key
        parts = _server(realm)
        if parts is None:
            raise ImageError("denied", f"{host} wants a token, but names no server that gives one")
        if parts.scheme == "http" and not self._transport.may_be_plain(host):
            # Not even of this machine: what else listens here is not for a registry elsewhere to ask.
            raise ImageError("denied", f"{host} wants a token from {parts.netloc} over plain HTTP")
        query = {"service": service} if service else {}
        query["scope"] = f"repository:{repository}:pull"
        server = f"{parts.netloc}, the token server of {host},"
        headers = {"Accept": "application/json"}
        if login is not None and login.identity_token:
            query |= {"grant_type": "refresh_token", "refresh_token": login.identity_token, "client_id": _CLIENT}
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            body = urlencode(query).encode()
            return self._ask("POST", realm, headers, body, server, deadline)
        if login is not None:
            headers["Authorization"] = login.basic()
        url = f"{realm}{'&' if parts.query else '?'}{urlencode(query)}"
        return self._ask("GET", url, headers, None, server, deadline)

    def _ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        server: str,
        deadline: Deadline,
    ) -> tuple[str, float]:
        with self._transport.request(method, url, headers, deadline, body) as answer:
            if answer.status in {400, 401, 403}:
                raise ImageError("denied", f"{server} gives no token: it answered {answer.status}")
            if answer.status != 200:
                again = answer.status == 429 or answer.status >= 500
                raise Broken(f"{server} answered {answer.status}", again=again)
            data = answer.whole(TOKEN_LIMIT, f"the answer of {server.rstrip(',')}")
        try:
            document = json.loads(data)
        except (ValueError, RecursionError):
            document = None
        return _token(document, server)


def _server(realm: str) -> SplitResult | None:
    """Return the parts of a token server's URL; None if it is none."""
    try:
        parts = urlsplit(realm)
        port = parts.port
    except ValueError:
        return None
    sound = realm.isascii() and realm.isprintable() and port != 0 and parts.username is None
    return parts if sound and parts.scheme in {"http", "https"} and parts.hostname else None


class _Token:
    """A token, and until when to use it."""

    __slots__ = ("end", "lock", "value")

    def __init__(self) -> None:
        self.value = ""
        self.end = 0.0
        self.lock = threading.Lock()


def _token(document: Any, server: str) -> tuple[str, float]:
    """Return the token in a token server's answer, and for how many seconds it holds."""
    if not isinstance(document, dict):
        raise ImageError("damaged", f"{server} answered with something else than a JSON object")
    value = document.get("token") or document.get("access_token")
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise ImageError("damaged", f"{server} answered without a token")
    seconds = document.get("expires_in")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
        seconds = _SHORTEST
    return value, min(float(min(seconds, _LONGEST)), _LONGEST)
