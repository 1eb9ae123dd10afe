"""URLs of registries, token servers and storage services, kept byte for byte. Pure.

A storage service signs the very bytes of a URL: whoever writes `%2f` as `%2F` on the way, drops an empty query or
resolves a dot, asks for something that was never signed. What HTTP can't carry (spaces, what is not ASCII) is quoted,
nothing else is touched. Sources: RFC 3986 (5.2, resolving a reference), RFC 9112 (3.2, the forms of a target).
"""

from __future__ import annotations

import functools
import ipaddress
import re
from typing import Final, NamedTuple
from urllib.parse import quote

URL_LIMIT: Final = 16 << 10  # characters; storage services sign theirs at length
PORTS: Final = {"http": 80, "https": 443}
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^#]*)(?:#.*)?")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+;=-]+)(?::([0-9]{0,5}))?")
_PRINTABLE = "".join([chr(code) for code in range(0x21, 0x7F)])


class InvalidUrl(ValueError):
    """A text is not a URL that can be asked; the message says what it is instead, and quotes no secret."""


class Url(NamedTuple):
    """A URL that can be asked.

    Attributes:
        scheme: `http` or `https`.
        host: in lower case; an IPv6 address in brackets.
        port: of the host.
        target: path and query, as they were written.
    """

    scheme: str
    host: str
    port: int
    target: str

    @property
    def origin(self) -> tuple[str, str, int]:
        """Return what a login is for."""
        return self.scheme, self.host, self.port

    @property
    def netloc(self) -> str:
        """Return the host, with the port if it is not the scheme's own."""
        return self.host if self.port == PORTS[self.scheme] else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc}{self.target}"


@functools.lru_cache(maxsize=256)
def parse_url(text: str) -> Url:
    """Parse an absolute URL; its fragment is left out, as nobody is sent that.

    Raises:
        InvalidUrl: it is none.
    """
    match = _URL.fullmatch(text) if len(text) <= URL_LIMIT else None
    if not match or not _is_sendable(text):
        begin = _SCHEME.match(text)
        if begin and begin[1].lower() not in PORTS:
            raise InvalidUrl(f"something else than HTTP: {begin[1][:20]!r}")
        raise InvalidUrl("something that is not a URL")
    scheme, netloc, target = match[1].lower(), match[2], match[3]
    if scheme not in PORTS:
        raise InvalidUrl(f"something else than HTTP: {scheme[:20]!r}")
    if "@" in netloc:
        raise InvalidUrl("a URL with a login in it")
    named = _HOST.fullmatch(netloc)
    port = int(named[2]) if named and named[2] else PORTS[scheme]
    if not named or not 0 < port <= 65535 or not _is_host(named[1]):
        raise InvalidUrl("something that is not a URL")
    return Url(scheme, named[1].lower(), port, target if target.startswith("/") else f"/{target}")


def _is_host(host: str) -> bool:
    """Whether what stands in brackets is an IPv6 address; other names are anybody's."""
    try:
        return not host.startswith("[") or ipaddress.IPv6Address(host[1:-1]).version == 6
    except ValueError:
        return False


def resolve(base: Url, location: str) -> Url:
    """Return where a `Location` leads from a URL.

    Raises:
        InvalidUrl: it leads to nothing that can be asked.
    """
    if len(location) > URL_LIMIT or not all([c >= " " and c != "\x7f" for c in location]):
        raise InvalidUrl("something that is not a URL")
    location = _carriable(location.strip(" ").partition("#")[0])
    if _SCHEME.match(location):
        return parse_url(location)
    if location.startswith("//"):
        return parse_url(f"{base.scheme}:{location}")
    path, question, query = base.target.partition("?")
    if location.startswith("/"):
        target = location
    elif location.startswith("?"):
        target = path + location
    elif location:
        path, question, query = location.partition("?")
        target = _without_dots(base.target.partition("?")[0].rpartition("/")[0] + "/" + path) + question + query
    else:
        target = base.target
    return base._replace(target=target)


def with_query(url: str, query: str) -> str:
    """Return a URL with more in its query."""
    url = url.partition("#")[0]
    joint = "" if url.endswith(("?", "&")) else "&" if "?" in url else "?"
    return f"{url}{joint}{query}"


def without_login(text: str) -> str:
    """Return what was to be a URL as a message may show it: without what stands before an `@`."""
    before, at, after = text.rpartition("@")
    begin = before[: before.find("://") + 3] if "://" in before else ""
    return f"{begin}…@{after}" if at else text


def _is_sendable(text: str) -> bool:
    return all(["\x20" < c < "\x7f" for c in text])


def _carriable(text: str) -> str:
    """Quote what HTTP can't carry. http.client reads headers as Latin-1: their bytes are those that were sent."""
    if _is_sendable(text):
        return text
    try:
        data = text.encode("latin-1")
    except UnicodeEncodeError:
        data = text.encode()
    return quote(data, safe=_PRINTABLE)


def _without_dots(path: str) -> str:
    """Return a path that was put together of two, without `.` and `..` (RFC 3986, 5.2.4)."""
    parts: list[str] = []
    segments = path.split("/")
    for number, segment in enumerate(segments):
        if segment == "..":
            if len(parts) > 1:
                parts.pop()
        elif segment != ".":
            parts.append(segment)
            continue
        if number == len(segments) - 1:
            parts.append("")
    return "/".join(parts)
