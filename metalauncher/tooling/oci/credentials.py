"""Logins to registries: those that `docker login`, `podman login` and `skopeo login` left. Knows no HTTP.

The file is docker's `config.json`, as docker/cli cli/config/types and containers-auth.json(5) describe it, with helpers
by the docker-credential-helpers protocol. No message says more of a login than whose it is.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import select
import shutil
import stat
import subprocess
import threading
import time
from typing import IO, TYPE_CHECKING, Any, Final

from metalauncher.errors import errno_text
from metalauncher.terminal import printable
from metalauncher.tomlfile import size_text
from metalauncher.tooling.oci.model import ImageError
from metalauncher.tooling.oci.name import HUB
from metalauncher.tooling.talk import Unable, decode

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE_LIMIT: Final = 1 << 20  # bytes
ANSWER_LIMIT: Final = 64 << 10  # bytes of a helper's answer; the largest tokens have a few thousand
HELPER_SECONDS: Final = 30.0  # some ask a cloud's servers, or a person
_HUB_SERVER = "https://index.docker.io/v1/"
_HUB_HOSTS = (HUB, "index.docker.io", "registry-1.docker.io")
_HELPER_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
_QUOTE = 200  # characters of a helper's own words
_TOKEN_USER = "<token>"  # noqa: S105 - what stands in place of a user's name


class Login:
    """Who to be at a registry: a name and a password, or an identity token to be exchanged for others.

    Attributes:
        username: "" where there is only a token.
        password: never shown.
        identity_token: never shown; "" where there is none.
    """

    __slots__ = ("identity_token", "password", "username")

    def __init__(self, username: str, password: str, identity_token: str = "") -> None:
        """Hold it."""
        self.username: Final = username
        self.password: Final = password
        self.identity_token: Final = identity_token

    def __repr__(self) -> str:
        return f"Login({self.username!r}, ...)"

    def basic(self) -> str:
        """Return it as HTTP's basic scheme writes it (RFC 7617)."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


class Credentials:
    """All logins there are; threads may share it."""

    def __init__(
        self,
        file: str = "",
        config: Mapping[str, Any] | None = None,
        environment: Mapping[bytes, bytes] | None = None,
        helper_seconds: float = HELPER_SECONDS,
    ) -> None:
        """Take what the file says.

        Args:
            file: its path, for messages.
            config: its contents.
            environment: for helpers; PATH says where they are.
            helper_seconds: how long to wait for one.
        """
        config = config or {}
        self._file = file
        self._environment = environment or {}
        self._helper_seconds = helper_seconds
        self._auths = _by_place(_table(config, "auths", file))
        self._helpers = _by_place(_table(config, "credHelpers", file))
        self._store = config.get("credsStore")
        self._lock = threading.Lock()
        self._answers: dict[tuple[str, str], Login | ImageError | None] = {}

    def find(self, host: str, repository: str) -> Login | None:
        """Return the login for a repository: the most particular one there is; None: be nobody.

        Raises:
            ImageError: there is one, but it can't be had.
        """
        hosts = _HUB_HOSTS if host in _HUB_HOSTS else (host,)
        server = _HUB_SERVER if host in _HUB_HOSTS else host
        helper = next((self._helpers[place] for place in hosts if place in self._helpers), self._store)
        if helper and (login := self._ask(helper, server)):
            return login
        parts = repository.split("/")
        for length in range(len(parts), -1, -1):
            for candidate in hosts:
                place = "/".join([candidate, *parts[:length]])
                if place in self._auths and (login := self._entry(self._auths[place], place)):
                    return login
        return None

    def _entry(self, entry: Any, place: str) -> Login | None:
        if not isinstance(entry, dict):
            raise ImageError("denied", f"{self._file}: the entry for {place} is not an object")
        fields = [entry.get(key) or "" for key in ("auth", "username", "password", "identitytoken")]
        if not all([isinstance(field, str) for field in fields]):
            raise ImageError("denied", f"{self._file}: the entry for {place} has something else than strings")
        auth, username, password, token = fields
        if auth and not token:
            try:
                # Docker writes NULs after the password that it drops when it reads it.
                text = base64.b64decode(auth, validate=True).decode().rstrip("\0")
            except (binascii.Error, ValueError):
                text = ""
            username, colon, password = text.partition(":")
            if not colon:
                raise ImageError("denied", f"{self._file}: the auth of {place} is not NAME:PASSWORD in base64")
        return Login(username, password, token) if token or username else None

    def _ask(self, helper: Any, server: str) -> Login | None:
        """Ask a helper, once: it may be slow, and thousands of images may come from one registry."""
        if not isinstance(helper, str) or not helper or not _HELPER_LETTERS.issuperset(helper):
            raise ImageError("denied", f"{self._file}: {str(helper)[:100]!r} is not a credential helper's name")
        with self._lock:
            if (helper, server) not in self._answers:
                try:
                    self._answers[helper, server] = self._run(f"docker-credential-{helper}", server)
                except ImageError as error:
                    self._answers[helper, server] = error
            answer = self._answers[helper, server]
        if isinstance(answer, ImageError):
            raise ImageError(answer.trouble, answer.reason)
        return answer

    def _run(self, program: str, server: str) -> Login | None:
        path = shutil.which(program, path=decode(self._environment.get(b"PATH", os.defpath.encode())))
        if path is None:
            raise ImageError("denied", f"{program}, which {self._file} names for {server}, is not installed")
        try:
            code, answer = _converse(path, server, self._environment, self._helper_seconds)
        except TimeoutError:
            reason = f"did not answer within {self._helper_seconds:g} seconds"
            raise ImageError("denied", f"{program}: {reason}") from None
        except OSError as error:
            raise ImageError("denied", f"{program}: {errno_text(error.errno)}") from None
        if code != 0:
            said = printable(answer[:_QUOTE].decode("utf-8", "replace").strip())
            # What docker-credential-helpers says of a server that it has no login for, and what others say after it.
            if "credentials not found" in said:
                return None
            raise ImageError(
                "denied", f"{program}: failed with status {code} for {server}" + (f": {said}" * bool(said))
            )
        try:
            document = json.loads(answer if len(answer) <= ANSWER_LIMIT else b"")
            username, secret = document["Username"], document["Secret"]
        except (ValueError, TypeError, KeyError, RecursionError):
            username, secret = None, None
        if not isinstance(username, str) or not isinstance(secret, str):
            raise ImageError("denied", f"{program}: did not answer with Username and Secret for {server}")
        return Login("", "", secret) if username == _TOKEN_USER else Login(username, secret)


def read_credentials(environment: Mapping[bytes, bytes]) -> Credentials:
    """Read the file that `REGISTRY_AUTH_FILE` names, else docker's, in `DOCKER_CONFIG` or ~/.docker, if there is one.

    Raises:
        Unable: it can't be read, or is not what docker writes.
    """
    named = environment.get(b"REGISTRY_AUTH_FILE")
    folder, home = environment.get(b"DOCKER_CONFIG"), environment.get(b"HOME")
    if named:
        file = decode(named)
    elif folder:
        file = os.path.join(decode(folder), "config.json")
    elif home:
        file = os.path.join(decode(home), ".docker", "config.json")
    else:
        return Credentials(environment=environment)
    try:
        with open(os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as opened:
            config = _parse(opened, file)
    except FileNotFoundError:
        if named:
            raise _refuse(file, f"{errno_text(2)}, but REGISTRY_AUTH_FILE names it") from None
        return Credentials(environment=environment)
    except OSError as error:
        raise _refuse(file, errno_text(error.errno)) from None
    return Credentials(file, config, environment)


def _parse(opened: IO[bytes], file: str) -> dict[str, Any]:
    if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
        raise _refuse(file, "is not a regular file")
    data = opened.read(FILE_LIMIT + 1)
    if len(data) > FILE_LIMIT:
        raise _refuse(file, f"is larger than {size_text(FILE_LIMIT)}")
    try:
        config = json.loads(data or b"{}")
    except json.JSONDecodeError as error:
        raise _refuse(file, f"is not JSON: line {error.lineno}, column {error.colno}: {error.msg}") from None
    except (ValueError, RecursionError):
        raise _refuse(file, "is not JSON") from None
    if not isinstance(config, dict):
        raise _refuse(file, "is not a JSON object")
    return config


def _refuse(file: str, reason: str) -> Unable:
    return Unable(
        f"{file}: {reason}",
        need="the config.json that docker login writes, or the auth.json of podman login and skopeo login",
        do="log in again, or name another file with REGISTRY_AUTH_FILE",
        command="docker login HOST",
    )


def _table(config: Mapping[str, Any], key: str, file: str) -> dict[str, Any]:
    table = config.get(key) or {}
    if not isinstance(table, dict):
        raise _refuse(file, f"{key} is not an object")
    return table


def _by_place(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table by `HOST` or `HOST/PATH`; the key that is written so already decides over one with a scheme."""
    places: dict[str, Any] = {}
    for key, value in table.items():
        _, scheme, rest = key.rpartition("://")
        host, _, path = rest.strip("/").partition("/")
        # Docker keeps whole URLs, of which only the host counts; podman keeps namespaces, never with a scheme.
        place = host.lower() if scheme or path in {"", "v1", "v2"} else f"{host.lower()}/{path}"
        if place not in places or key.lower() == place:
            places[place] = value
    return places


def _converse(program: str, server: str, environment: Mapping[bytes, bytes], seconds: float) -> tuple[int, bytes]:
    """Ask a helper for a server's login; return its exit status and what it said, no more than a little over the limit.

    Raises:
        TimeoutError: it took too long.
        OSError: it can't be started.
    """
    deadline = time.monotonic() + seconds
    said = bytearray()
    with subprocess.Popen(  # noqa: S603 - the program that the file names, found as docker finds it
        [program, "get"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=dict(environment),
    ) as process:
        try:
            if process.stdin is None or process.stdout is None:
                raise AssertionError("both are pipes")
            try:
                process.stdin.write(server.encode())
                process.stdin.close()
            except BrokenPipeError:  # it did not care to read
                pass
            output = process.stdout.fileno()
            poll = select.poll()
            poll.register(output, select.POLLIN)
            while len(said) <= ANSWER_LIMIT:
                if not poll.poll(max(deadline - time.monotonic(), 0) * 1000):
                    raise TimeoutError
                chunk = os.read(output, ANSWER_LIMIT)
                if not chunk:
                    break
                said += chunk
            else:
                process.kill()
            try:
                code = process.wait(max(deadline - time.monotonic(), 0.01))
            except subprocess.TimeoutExpired:
                raise TimeoutError from None
        finally:
            process.kill()  # where it has ended, this does nothing
    # Killed for saying too much: the caller sees by the length what it was.
    return (0 if len(said) > ANSWER_LIMIT else code), bytes(said)
