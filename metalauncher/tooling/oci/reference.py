"""The name of an image in a registry, `[HOST[:PORT]/]REPOSITORY[:TAG][@DIGEST]`. Pure: knows no network.

Sources: the grammar of distribution/reference (reference.go, regexp.go, normalize.go), which all clients share; what it
leaves out of a name is filled in as Docker does: Docker Hub, its `library/`, the tag `latest`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from metalauncher.tooling.oci.model import ImageError, parse_digest

if TYPE_CHECKING:
    from typing import Self

HUB: Final = "docker.io"
HUB_NAMES: Final = frozenset((HUB, "index.docker.io", "registry-1.docker.io"))
_HUB_API = "registry-1.docker.io"

_TEXT_LIMIT = 1024  # characters; longer than a name with all its parts can be
_REPOSITORY_LIMIT = 255  # characters (NameTotalLengthMax)
_PORTS = 65535

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:]+\])(?::([0-9]+))?")
_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_IMAGE_ID = re.compile(r"[0-9a-f]{64}")


class InvalidReference(ValueError):
    """A text is not an image's name; the message quotes it and says why."""


class Reference(NamedTuple):
    """An image in a registry. `str` gives it in full.

    Attributes:
        host: of the registry as written, with its port if it has one; `docker.io` is Docker Hub.
        repository: in full, with `library/` where Docker Hub leaves that out.
        tag: `latest` where there is neither tag nor digest; "" where there is only a digest.
        digest: "" where there is none; where there is one, it decides, not the tag.
    """

    host: str
    repository: str
    tag: str
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a name as people write it.

        Raises:
            InvalidReference: it is none.
        """
        if len(text) > _TEXT_LIMIT:
            raise InvalidReference(f"{text[:60]!r}… is not an image's name: it has {len(text)} characters")
        rest, at, digest = text.partition("@")
        if at:
            _check_digest(text, digest)
        head, colon, tag = rest.rpartition(":")
        if not colon or "/" in tag:  # that colon is the port's
            head, colon, tag = rest, "", ""
        if colon and not _TAG.fullmatch(tag):
            raise _invalid(text, f"the tag {tag!r} is not 1 to 128 letters, digits, '_', '.' and '-'")
        host, repository = _split(text, head)
        return cls(host, repository, tag or ("" if digest else "latest"), digest)

    @property
    def reference(self) -> str:
        """What to ask the registry for: the digest, else the tag."""
        return self.digest or self.tag

    @property
    def api_host(self) -> str:
        """The host that answers for the registry, in lower case: Docker Hub's has another name."""
        return _HUB_API if self.host == HUB else self.host.lower()

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.host}/{self.repository}{tag}{digest}"


def check_host(host: str) -> str:
    """Return `HOST[:PORT]` as it stands.

    Raises:
        InvalidReference: it is none.
    """
    match = _HOST.fullmatch(host)
    if not match or len(host) > _REPOSITORY_LIMIT:
        raise InvalidReference(f"{host[:_REPOSITORY_LIMIT]!r} is not a registry's host, HOST or HOST:PORT")
    if match[1] and not 0 < int(match[1][:6]) <= _PORTS:
        raise InvalidReference(f"{host!r} is not a registry's host: there is no port {match[1][:20]}")
    return host


def check_repository(repository: str) -> str:
    """Return a repository as it stands.

    Raises:
        InvalidReference: it is none.
    """
    if len(repository) > _REPOSITORY_LIMIT:
        raise InvalidReference(f"the repository has {len(repository)} characters, more than {_REPOSITORY_LIMIT}")
    if not _REPOSITORY.fullmatch(repository):
        if _REPOSITORY.fullmatch(repository.lower()):
            raise InvalidReference("a repository is written in lower case")
        reason = "is not lower-case letters and digits, with '.', '_', '__', '-' between them and '/' between its parts"
        raise InvalidReference(f"the repository {repository!r} {reason}")
    return repository


def _invalid(text: str, reason: str) -> InvalidReference:
    return InvalidReference(f"{text!r} is not an image's name: {reason}")


def _check_digest(text: str, digest: str) -> None:
    try:
        parse_digest(digest)
    except ImageError:
        raise _invalid(text, f"{digest!r} is not a digest, sha256: and 64 hexadecimal digits") from None


def _split(text: str, head: str) -> tuple[str, str]:
    """Return host and repository. What stands before the first slash is a host only if it looks like one."""
    if not head:
        raise _invalid(text, "there is no repository in it")
    if "://" in text:
        raise _invalid(text, "it is a URL; leave out what ends in '://'")
    first, slash, rest = head.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost" or first != first.lower()):
        try:
            host = check_host(first)
        except InvalidReference as error:
            raise _invalid(text, str(error)) from None
        repository = rest
    else:
        host, repository = HUB, head
    if host.lower() in HUB_NAMES:
        host, repository = HUB, repository if "/" in repository else f"library/{repository}"
    try:
        check_repository(repository)
    except InvalidReference as error:
        raise _invalid(text, str(error)) from None
    if host == HUB and _IMAGE_ID.fullmatch(head):
        raise _invalid(text, "it is an image's ID, which names no image in a registry")
    return host, repository
