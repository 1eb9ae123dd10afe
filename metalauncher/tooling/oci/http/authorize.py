"""What to say to a registry that asks who is there: nothing, a password, or a token from the server that it names.

Sources: RFC 7617 (basic), the distribution project's token and OAuth2 specifications (auth/token.md, auth/oauth.md).
"""

from __future__ import annotations

import json
import re
import threading
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlencode

from metalauncher.tooling.oci.http.deadlines import TransportError
from metalauncher.tooling.oci.http.errors import status_text
from metalauncher.tooling.oci.http.request import Body
from metalauncher.tooling.oci.http.urls import InvalidUrl, parse_url, with_query
from metalauncher.tooling.oci.model import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from metalauncher.tooling.oci.http.challenge import Challenge
    from metalauncher.tooling.oci.http.credentials import Credentials
    from metalauncher.tooling.oci.http.deadlines import Deadline
    from metalauncher.tooling.oci.http.login_files import Login
    from metalauncher.tooling.oci.http.request import Access
    from metalauncher.tooling.oci.http.transport import Transport
    from metalauncher.tooling.oci.http.urls import Url

TOKEN_LIMIT: Final = 1 << 20  # bytes of a token server's answer; the largest have some 10 KB
_SHORTEST, _LONGEST = 60.0, 3600.0  # seconds: what token.md has for servers that don't say; we ask again anyway
_EARLY = 0.9  # of a token's life after which another is asked for, so that none ends on the way
_TOKEN = re.compile(r"[\x21-\x7e]{1,65536}")  # what a header can hold
_SCOPE = re.compile(r"repository:([a-z0-9._/-]{1,255}):([a-z,*]{1,64})")
_CLIENT = "metalauncher"
# What token servers without OAuth2's POST answer to one: 405 and 501, 404 (GCR), 401 (JFrog Artifactory), 400 (ACR);
# and others send it elsewhere, where an identity token is not taken along.
_REFUSING = frozenset((301, 302, 303, 307, 308, 400, 401, 403, 404, 405, 501))


class _Wanted(NamedTuple):
    """What a registry asks for where one access is concerned."""

    challenge: Challenge
    scopes: tuple[str, ...]


class _Refused(Exception):
    """A token server gives no token for what it was told."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(status)
        self.status: Final = status
        self.said: Final = said


class Authorizer:
    """What each registry wants to hear, repository by repository; threads may share it.

    What it wants for one repository says nothing about another: there are registries with a token server for each, and
    registries with public repositories beside private ones. Who only reads never gets a token for writing.
    """

    def __init__(self, transport: Transport, credentials: Credentials, clock: Callable[[], float]) -> None:
        """Know nobody yet."""
        self._transport = transport
        self._credentials = credentials
        self._clock = clock
        self._lock = threading.Lock()
        self._wanted: dict[tuple[str, Access], _Wanted] = {}
        self._tokens: dict[tuple[str, ...], _Token] = {}

    def known(self, host: str, access: Access, deadline: Deadline) -> str:
        """Return the `Authorization` that is known to be wanted for something; "" where none is.

        Raises:
            ImageError: there is one, but it can't be had.
        """
        wanted = self._wanted.get((host, access))
        return self._answer(host, access.repository, wanted, "", deadline) if wanted else ""

    def asked(
        self, host: str, access: Access, challenges: Sequence[Challenge], refused: str, deadline: Deadline
    ) -> str:
        """Return the `Authorization` that answers a 401: another one than was refused.

        Raises:
            ImageError: there is none.
        """
        challenge = _choose(challenges)
        if challenge is None:
            kinds = ", ".join([challenge.scheme[:20] for challenge in challenges[:4]]) or "nothing"
            raise ImageError("denied", f"{host} wants a login, but asks for neither basic nor bearer: {kinds}")
        repository, scopes = access.repository, access.scopes()
        if refused and (more := _more(challenge, scopes)):
            scopes += (more,)
        wanted = _Wanted(challenge, scopes)
        answer = self._answer(host, repository, wanted, refused, deadline)
        if not answer:
            where = self._credentials.where(host)
            raise ImageError("denied", f"{host} wants a login, and none was found {where}")
        if answer == refused:
            login = self._credentials.find(host, repository)
            what = f"the login from {login.source}" if login else "the token that it wants"
            raise ImageError("denied", f"{host} does not accept {what}")
        self._wanted[host, access] = wanted
        return answer

    def wants_more(self, host: str, access: Access, challenges: Sequence[Challenge]) -> bool:
        """Whether a registry that has been given a token says that it is for too little: it names another scope."""
        wanted = self._wanted.get((host, access))
        challenge = _choose(challenges)
        return bool(wanted and challenge and _more(challenge, wanted.scopes))

    def who(self, host: str, repository: str) -> str:
        """Say as whom a registry was asked."""
        try:
            login = self._credentials.find(host, repository)
        except ImageError as error:
            return f"without a login: {error.reason}"
        if login is None:
            return f"without a login: there is none for it {self._credentials.where(host)}"
        return f"with the login from {login.source}"

    def secrets(self, host: str, repository: str, authorization: str) -> tuple[str, ...]:
        """Return what a registry was told and must not tell others through us."""
        told = authorization.partition(" ")[2]
        login = self._credentials.find(host, repository) if authorization else None
        return (told, *login.secrets()) if login else (told,)

    def _answer(self, host: str, repository: str, wanted: _Wanted, refused: str, deadline: Deadline) -> str:
        login = self._credentials.find(host, repository)
        if login is not None and login.registry_token:
            # It is for the registry alone: no token server sees it, and no redirect takes it along.
            if not _TOKEN.fullmatch(login.registry_token):
                raise ImageError("denied", f"the registrytoken is not a token: {login.source}")
            return f"Bearer {login.registry_token}"
        if wanted.challenge.scheme == "basic":
            if login is not None and login.identity_token and not login.password:
                reason = f"{host} wants a password, and there is only an identity token for it"
                raise ImageError("denied", f"{reason}: {login.source}")
            return login.basic() if login else ""
        parameters = wanted.challenge.parameters
        key = (host, parameters.get("realm", ""), parameters.get("service", ""), *wanted.scopes)
        with self._lock:
            token = self._tokens.setdefault(key, _Token())
        # One thread asks, the others that want the same wait for it, but not for longer than they have.
        if not token.lock.acquire(timeout=max(deadline.remaining(), 0)):
            raise TransportError(f"the token server of {host} did not answer in time", retryable=False)
        try:
            if not token.value or token.value == refused or self._clock() >= token.end:
                value, seconds = self._fetch(host, repository, wanted, login, deadline)
                token.value, token.end = f"Bearer {value}", self._clock() + seconds * _EARLY
            return token.value
        finally:
            token.lock.release()

    def _fetch(
        self, host: str, repository: str, wanted: _Wanted, login: Login | None, deadline: Deadline
    ) -> tuple[str, float]:
        realm, service = (wanted.challenge.parameters.get(name, "") for name in ("realm", "service"))
        url = _server(realm)
        if url is None:
            raise ImageError("denied", f"{host} wants a token, but names no server that gives one")
        if url.scheme == "http" and not self._transport.may_be_plain(host):
            # Not even of this machine: what else listens here is not for a registry elsewhere to ask.
            raise ImageError("denied", f"{host} wants a token from {url.netloc} over plain HTTP")
        query = [("service", service)] if service else []
        query += [("scope", scope) for scope in wanted.scopes]
        server = f"{url.netloc}, the token server of {host},"
        try:
            if login is not None and login.identity_token:
                try:
                    return self._exchange(realm, query, login, server, deadline)
                except (_Refused, ImageError) as error:
                    # It knows no OAuth2, or does not know this token any more: there the password is for.
                    if not login.password or isinstance(error, TransportError):
                        raise
            has_name = login is not None and (login.username or login.password)
            headers = {"Authorization": login.basic()} if login is not None and has_name else {}
            asking = with_query(realm, urlencode(query))
            return self._ask("GET", asking, headers, None, _secrets(login), server, deadline)
        except TransportError as error:
            if error.limited or server in error.reason:
                raise
            reason = f"{error.reason}; {url.netloc} is the token server of {host}"
            raise TransportError(reason, retryable=error.retryable, plain=error.plain) from None
        except _Refused as refused:
            said = f" ({refused.said})" if refused.said else ""
            who = self.who(host, repository)
            reason = f"{server} gives no token: it answered {status_text(refused.status)}{said}, {who}"
            raise ImageError("denied", reason) from None

    def _exchange(
        self, realm: str, query: Sequence[tuple[str, str]], login: Login, server: str, deadline: Deadline
    ) -> tuple[str, float]:
        """Get a token for an identity token. It is posted, so that it is in nobody's log: in no URL, ever."""
        scopes = " ".join([value for name, value in query if name == "scope"])
        form = {name: value for name, value in query if name != "scope"} | {
            "scope": scopes,
            "grant_type": "refresh_token",
            "refresh_token": login.identity_token,
            "client_id": _CLIENT,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return self._ask("POST", realm, headers, urlencode(form).encode(), _secrets(login), server, deadline)

    def _ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        secrets: tuple[str, ...],
        server: str,
        deadline: Deadline,
    ) -> tuple[str, float]:
        headers = {"Accept": "application/json", **headers}
        sent = None if body is None else Body.of(body)
        with self._transport.request(method, url, headers, deadline, sent) as answer:
            if answer.redirected:
                server = f"{server.rstrip(',')}, {answer.host},"
            if answer.status in {400, 401, 403} or (method == "POST" and answer.status in _REFUSING):
                raise _Refused(answer.status, answer.words(secrets))
            if answer.status != 200:
                reason = f"{server} answered {status_text(answer.status)}"
                if answer.limited:
                    raise answer.busy(reason)
                raise TransportError(reason, retryable=answer.status >= 500)
            data = answer.whole(TOKEN_LIMIT, f"the answer of {server.rstrip(',')}")
        try:
            document = json.loads(data)
        except (ValueError, RecursionError):
            document = None
        return _token(document, server)


def _choose(challenges: Sequence[Challenge]) -> Challenge | None:
    """Return the challenge to answer: the first for a token from a server that can be asked, else for a password."""
    bearers = [challenge for challenge in challenges if challenge.scheme == "bearer"]
    sound = [challenge for challenge in bearers if _server(challenge.parameters.get("realm", ""))]
    basics = [challenge for challenge in challenges if challenge.scheme == "basic"]
    return next(iter([*sound, *basics, *bearers]), None)


def _more(challenge: Challenge, scopes: Sequence[str]) -> str:
    """Return a scope that a challenge names beyond the repositories that a token is for; "" for none.

    It is for pulling alone: nobody is made to ask for more than that by a registry.
    """
    covered = {scope.split(":")[1] for scope in scopes}
    if challenge.scheme == "bearer":
        for text in challenge.parameters.get("scope", "").split():
            match = _SCOPE.fullmatch(text)
            if match and match[1] not in covered:
                return f"repository:{match[1]}:pull"
    return ""


def _server(realm: str) -> Url | None:
    """Return a token server's URL; None if it is none."""
    try:
        return parse_url(realm)
    except InvalidUrl:
        return None


def _secrets(login: Login | None) -> tuple[str, ...]:
    return login.secrets() if login is not None else ()


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
