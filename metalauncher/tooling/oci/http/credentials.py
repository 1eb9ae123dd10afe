"""Logins to registries: those that `docker login`, `podman login` and `skopeo login` left. Knows no HTTP.

Which files, and what is in one: `login_files`; programs that keep logins: `helpers`. Here they are read and asked. No
message says more of a login than where it is from.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from metalauncher.files import size_text
from metalauncher.tooling.console import Unable
from metalauncher.tooling.oci.files import open_regular
from metalauncher.tooling.oci.http.credential_helpers import HELPER_SECONDS, Helpers
from metalauncher.tooling.oci.http.login_files import (
    HUB_HOSTS,
    Candidate,
    InvalidLogins,
    Login,
    LoginFile,
    candidates,
    parse_login,
    parse_login_file,
)
from metalauncher.tooling.oci.model import ImageError
from metalauncher.tooling.oci.reference import HUB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from metalauncher.tooling.oci.http.login_files import Entry

FILE_LIMIT: Final = 1 << 20  # bytes
_HUB_SERVER = "https://index.docker.io/v1/"


class Credentials:
    """All logins there are; threads may share it."""

    def __init__(
        self,
        files: Iterable[LoginFile] = (),
        environment: Mapping[bytes, bytes] | None = None,
        *,
        looked_in: Iterable[Candidate] = (),
        helper_seconds: float = HELPER_SECONDS,
    ) -> None:
        """Take what the files say.

        Args:
            files: in order: the first with an entry for a repository decides.
            environment: for helpers; PATH says where they are.
            looked_in: where files were looked for, for messages.
            helper_seconds: how long to wait for a helper.
        """
        self._files = tuple(files)
        self._looked_in = tuple(looked_in)
        self._helpers = Helpers(environment or {}, helper_seconds)

    def find(self, host: str, repository: str) -> Login | None:
        """Return the login for a repository: the most particular one of the first file that has one.

        None means anonymous.

        Raises:
            ImageError: there is one, but it can't be had.
        """
        for file in self._files:
            if login := self._find(file, host, repository):
                return login
        return None

    def where(self, host: str) -> str:
        """Say where a login for a registry was looked for."""
        if self._files:
            return "in " + " and ".join([_described(file, host) for file in self._files])
        if not self._looked_in:
            return "anywhere"
        if len(self._looked_in) == 1:
            return f"in {self._looked_in[0]}: it is not there"
        paths = [place.path for place in self._looked_in]
        return f"in {', '.join(paths[:-1])} or {paths[-1]}: none of them can be read"

    def _find(self, file: LoginFile, host: str, repository: str) -> Login | None:
        # As containers-auth.json(5) and docker have it, a registry's own helper stands for all that is written down. A
        # helper for all registries, which that page does not know, comes before the registry's own entry.
        helper = file.helper(host)
        if helper and helper.value is not None and helper.value != "":  # else docker has the login in the file
            return self._ask(helper.value, host, f"credHelpers[{helper.key}]", file)
        for entry in file.namespaces(host, repository):
            if login := _parse(entry, file):
                return login
        if not helper and file.store and (login := self._ask(file.store, host, "credsStore", file)):
            return login
        for entry in file.hosts(host):
            if login := _parse(entry, file):
                return login
        return None

    def _ask(self, name: Any, host: str, key: str, file: LoginFile) -> Login | None:
        # Docker keeps what is Docker Hub's under a URL, podman under its name.
        for server in (_HUB_SERVER, HUB) if host in HUB_HOSTS else (host,):
            if login := self._helpers.ask(name, server, key, file.path):
                return login
        return None


def read_credentials(environment: Mapping[bytes, bytes], warn: Callable[[str], None] = lambda _: None) -> Credentials:
    """Read the files with logins that there are.

    Args:
        environment: says where they are.
        warn: is told of a file that nobody named and that can't be read; it is as if it were not there.

    Raises:
        Unable: a file that a variable names can't be read, or is none.
    """
    places = candidates(environment, os.getuid())
    files = []
    unreadable: dict[str, list[str]] = {}
    for place in places:
        try:
            files.append(parse_login_file(_read(place.path), place.path))
        except (ImageError, InvalidLogins) as error:
            absent = isinstance(error, ImageError) and error.kind == "absent"
            if place.variable and not (absent and _is_made_later(place)):
                raise _refuse(place, str(error)) from None
            if not absent:
                unreadable.setdefault(str(error), []).append(place.path)
    for reason, paths in unreadable.items():
        warn(f"{', '.join(paths)}: {reason}: continuing without these logins")
    return Credentials(files, environment, looked_in=places)


def _is_made_later(place: Candidate) -> bool:
    """Whether it is the config.json of a directory that is there: before the first `docker login` that is empty."""
    return place.variable == "DOCKER_CONFIG" and os.path.isdir(os.path.dirname(place.path) or ".")


def _refuse(place: Candidate, reason: str) -> Unable:
    return Unable(
        f"{place}: {reason}",
        need="the config.json that docker login writes, or the auth.json of podman login and skopeo login",
        do=f"log in again, or unset {place.variable} if no login is needed",
        # docker writes its own file alone, whatever REGISTRY_AUTH_FILE says.
        command="docker login HOST" if place.variable == "DOCKER_CONFIG" else "skopeo login HOST",
    )


def _read(path: str) -> bytes:
    with open_regular(path) as file:
        data = file.read(FILE_LIMIT + 1)
    if len(data) > FILE_LIMIT:
        raise ImageError("too-large", f"is larger than {size_text(FILE_LIMIT)}")
    return data


def _parse(entry: Entry, file: LoginFile) -> Login | None:
    try:
        return parse_login(entry, file.path)
    except InvalidLogins as error:
        raise ImageError("denied", f"{file.path}: {error}") from None


def _described(file: LoginFile, host: str) -> str:
    """Return a file's name, and the helper in it that would have been asked."""
    helper = file.helper(host)
    name = helper.value if helper else file.store
    return f"{file.path} (docker-credential-{name})" if isinstance(name, str) and name else file.path
