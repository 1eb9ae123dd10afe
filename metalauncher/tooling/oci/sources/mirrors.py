"""Where to ask for an image: its registry, and mirrors of that. Pure."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlsplit

from metalauncher.tooling.oci.http.urls import without_login
from metalauncher.tooling.oci.reference import HUB, HUB_NAMES, InvalidReference, check_host, check_repository


class Place(NamedTuple):
    """One that may have the image.

    Attributes:
        host: with its port, if it has one.
        repository: as it is called there.
        scheme: "" where it is to be found out.
        tries: how often to ask.
    """

    host: str
    repository: str
    scheme: str
    tries: int


def parse_mirrored(host: str) -> str:
    """Return a registry's host as names of images have it: in lower case, Docker Hub's by the one name.

    Raises:
        InvalidReference: it is none.
    """
    host = check_host(host).lower()
    return HUB if host in HUB_NAMES else host


def parse_mirror(url: str) -> tuple[str, str, str]:
    """Return scheme, host and what goes before the repository.

    Raises:
        InvalidReference: it is not the URL of a mirror.
    """
    try:
        parts = urlsplit(url)
        host, prefix = check_host(parts.netloc).lower(), parts.path.strip("/")
        if parts.scheme in {"http", "https"} and not parts.query and not parts.fragment:
            return parts.scheme, host, f"{check_repository(prefix)}/" if prefix else ""
    except ValueError:
        pass
    raise InvalidReference(f"{without_login(url)!r} is not the URL of a mirror, https://HOST[:PORT][/PREFIX]")
