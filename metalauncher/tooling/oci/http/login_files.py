"""Files with logins: where they are, in which order they count, and what is in one. Pure: opens nothing.

Sources: containers-auth.json(5) (the order of the files, keys by namespace, credHelpers), docker/cli's
cli/config/types/authconfig.go (an entry's fields) and cli/config/configfile/file.go (`auth`, credsStore, credHelpers),
both of which are read as Go reads JSON: a key counts in any case.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from metalauncher.tooling.console import decode
from metalauncher.tooling.oci.reference import HUB

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HUB_HOSTS: Final = (HUB, "index.docker.io", "registry-1.docker.io")
_RUNTIME = "/run/containers"  # where podman and skopeo go without XDG_RUNTIME_DIR
_OLD_NAME = ".dockercfg"
_HALF = re.compile(r"[\ud800-\udfff]")


class InvalidLogins(ValueError):
    """A file's content is not what any of those tools writes; the message says why, without quoting it."""


class Login:
    """Who to be at a registry.

    Attributes:
        username: "" where there is only a token.
        password: never shown.
        identity_token: to be exchanged for others; never shown; "" where there is none.
        registry_token: for the registry itself, as it is; never shown; "" where there is none.
        source: the file and the entry, or the helper, that it comes from.
    """

    __slots__ = ("identity_token", "password", "registry_token", "source", "username")

    def __init__(
        self, username: str, password: str, identity_token: str = "", registry_token: str = "", source: str = ""
    ) -> None:
        """Hold it."""
        self.username: Final = username
        self.password: Final = password
        self.identity_token: Final = identity_token
        self.registry_token: Final = registry_token
        self.source: Final = source

    def __repr__(self) -> str:
        return f"Login({self.username!r}, ...)"

    def basic(self) -> str:
        """Return it as HTTP's basic scheme writes it (RFC 7617); what was not UTF-8 in the file is what it was."""
        text = f"{self.username}:{self.password}".encode("utf-8", "surrogateescape")
        return "Basic " + base64.b64encode(text).decode()

    def secrets(self) -> tuple[str, ...]:
        """Return what must not be repeated to anybody: also as a header has it, which base64 does not hide."""
        header = self.basic().partition(" ")[2].rstrip("=") if self.password else ""
        return tuple([text for text in (self.password, self.identity_token, self.registry_token, header) if text])


class Candidate(NamedTuple):
    """A place where a file with logins may be.

    Attributes:
        path: of the file.
        variable: that names it, or the directory that it is in; "" where nobody does.
    """

    path: str
    variable: str = ""

    def __str__(self) -> str:
        return f"{self.path}, which {self.variable} names" if self.variable else self.path


def candidates(environment: Mapping[bytes, bytes], uid: int) -> tuple[Candidate, ...]:
    """Return where to look, in order: the one place that a variable names, else all that tools write to."""
    if named := environment.get(b"REGISTRY_AUTH_FILE"):
        return (Candidate(decode(named), "REGISTRY_AUTH_FILE"),)
    if folder := environment.get(b"DOCKER_CONFIG"):
        return (Candidate(os.path.join(decode(folder), "config.json"), "DOCKER_CONFIG"),)
    runtime = _folder(environment, b"XDG_RUNTIME_DIR")
    home = _folder(environment, b"HOME")
    config = _folder(environment, b"XDG_CONFIG_HOME") or (home and os.path.join(home, ".config"))
    paths = [os.path.join(runtime, "containers/auth.json") if runtime else f"{_RUNTIME}/{uid}/auth.json"]
    paths += [os.path.join(config, "containers/auth.json")] if config else []
    paths += [os.path.join(home, ".docker/config.json"), os.path.join(home, _OLD_NAME)] if home else []
    return tuple([Candidate(path) for path in dict.fromkeys(paths)])


def _folder(environment: Mapping[bytes, bytes], name: bytes) -> str:
    """Return a directory that a variable says; a relative one is ignored (XDG base directory specification)."""
    folder = decode(environment.get(name, b""))
    return folder if folder.startswith("/") else ""


class Entry(NamedTuple):
    """Something that a file has under a key.

    Attributes:
        key: as it is written there.
        value: as it is written there.
    """

    key: str
    value: Any


class LoginFile(NamedTuple):
    """What a file holds. Entries are looked at no closer before they are needed: one that is broken harms no other.

    Attributes:
        path: of the file.
        auths: by `HOST` or `HOST/NAMESPACE`.
        helpers: of single registries, by host.
        store: the helper for all others; None if there is none.
    """

    path: str
    auths: Mapping[str, Entry]
    helpers: Mapping[str, Entry]
    store: Any

    def helper(self, host: str) -> Entry | None:
        """Return the helper that the file names for this very registry."""
        return next((self.helpers[name] for name in names_of(host) if name in self.helpers), None)

    def namespaces(self, host: str, repository: str) -> Iterator[Entry]:
        """Give the entries for a repository and the namespaces that it is in, the most particular one first."""
        parts = repository.split("/")
        for length in range(len(parts), 0, -1):
            yield from self._at(host, "/".join(["", *parts[:length]]))

    def hosts(self, host: str) -> Iterator[Entry]:
        """Give the entries for a whole registry."""
        yield from self._at(host, "")

    def _at(self, host: str, rest: str) -> Iterator[Entry]:
        for name in names_of(host):
            if entry := self.auths.get(name + rest):
                yield entry


def names_of(host: str) -> tuple[str, ...]:
    """Return the names under which a registry may stand in a file: Docker Hub has several."""
    return HUB_HOSTS if host in HUB_HOSTS else (host,)


def parse_login_file(data: bytes, path: str) -> LoginFile:
    """Parse a file with logins: docker's config.json, podman's auth.json, or the .dockercfg of old.

    Args:
        data: its content; empty is a file without logins.
        path: its name, which tells nothing but the age of a file that could be of either form.

    Raises:
        InvalidLogins: it is none.
    """
    try:
        document = json.loads(data) if data.strip() else {}
    except json.JSONDecodeError as error:
        raise InvalidLogins(f"is not JSON: line {error.lineno}, column {error.colno}: {error.msg}") from None
    except (ValueError, RecursionError):
        raise InvalidLogins("is not JSON") from None
    if not isinstance(document, dict):
        raise InvalidLogins("is not a JSON object")
    if _is_old(document, path):
        return LoginFile(path, _by_place(document), {}, None)
    auths, helpers = (_table(document, key) for key in ("auths", "credHelpers"))
    return LoginFile(path, _by_place(auths), _by_place(helpers), _field(document, "credsStore"))


def _is_old(document: Mapping[str, Any], path: str) -> bool:
    """Whether the logins stand at the top, as Docker before 1.7, and Kubernetes' kubernetes.io/dockercfg, have them."""
    if any(key.lower() in {"auths", "credhelpers", "credsstore"} for key in document):
        return False
    return os.path.basename(path) == _OLD_NAME or any(
        isinstance(value, dict) and any(key.lower() in {"auth", "username"} for key in value)
        for value in document.values()
    )


def _table(document: Mapping[str, Any], key: str) -> dict[str, Any]:
    table = _field(document, key) or {}
    if not isinstance(table, dict):
        raise InvalidLogins(f"{key} is not an object")
    return table


def _field(table: Mapping[str, Any], name: str) -> Any:
    """Return a field; one that is written exactly so decides over one in another case."""
    if name in table:
        return table[name]
    return next((value for key, value in table.items() if key.lower() == name.lower()), None)


def _by_place(table: Mapping[str, Any]) -> dict[str, Entry]:
    """Return a table by `HOST` or `HOST/PATH`.

    Where several keys are of one place, the one that is written so already decides, and next one that is a registry's
    URL: beside the login for Docker Hub, docker keeps tokens of its own under `https://index.docker.io/v1/access-token`.
    """
    places: dict[str, tuple[int, Entry]] = {}
    for key, value in table.items():
        _, scheme, rest = key.rpartition("://")
        host, _, path = rest.strip("/").partition("/")
        is_registry = path in {"", "v1", "v2"}
        # Docker keeps whole URLs, of which only the host counts; podman keeps namespaces, never with a scheme.
        place = host.lower() if scheme or is_registry else f"{host.lower()}/{path}"
        rank = 2 if key.lower() == place else 1 if is_registry else 0
        if place not in places or rank > places[place][0]:
            places[place] = rank, Entry(key, value)
    return {place: entry for place, (_, entry) in places.items()}


def parse_login(entry: Entry, path: str) -> Login | None:
    """Parse an entry; None where it is empty, as Docker leaves it for a registry whose login a helper has.

    Args:
        entry: to parse.
        path: of its file.

    Raises:
        InvalidLogins: it is none; the message says which entry.
    """
    if entry.value is None:  # to Go as good as empty
        return None
    if not isinstance(entry.value, dict):
        raise InvalidLogins(f"the entry for {entry.key} is not an object")
    names = ("auth", "username", "password", "identitytoken", "registrytoken")
    fields = [_field(entry.value, name) or "" for name in names]
    if not all([isinstance(field, str) for field in fields]):
        raise InvalidLogins(f"the entry for {entry.key} has something else than strings")
    auth, username, password, identity_token, registry_token = map(whole_characters, fields)
    if auth:
        try:
            username, password = decode_auth(auth)
        except ValueError:
            if not identity_token and not registry_token:
                raise InvalidLogins(f"the auth of {entry.key} is not NAME:PASSWORD in base64") from None
    if not (username or password or identity_token or registry_token):
        return None
    return Login(username, password, identity_token, registry_token, f"{path}, entry {entry.key}")


def whole_characters(text: str) -> str:
    """Return what JSON has without halves of characters, which can be sent to nobody; Go replaces them as well."""
    return _HALF.sub("\ufffd", text)


def decode_auth(text: str) -> tuple[str, str]:
    """Return name and password from an entry's `auth`.

    Go's decoder, which reads it elsewhere, passes over line breaks; Kubernetes and go-containerregistry also take it
    without padding. Docker pads passwords with NULs, and drops them.

    Raises:
        ValueError: it is not NAME:PASSWORD in base64.
    """
    data = "".join(text.split()).rstrip("=")
    try:
        decoded = base64.b64decode(data + "=" * (-len(data) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None
    username, colon, password = decoded.partition(b":")
    if not colon:
        raise ValueError("there is no colon in it")
    return decode(username), decode(password.strip(b"\0"))
