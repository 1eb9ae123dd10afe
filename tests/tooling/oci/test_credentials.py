"""Logins that docker, podman and skopeo left, and helpers that have them."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from asking import fails, logins
from registries import auth

from metalauncher.tooling.oci.credentials import Credentials, Login, read_credentials
from metalauncher.tooling.talk import Unable


def _find(folder: Path, host: str, repository: str = "org/app", **config: Any) -> tuple[str, str, str] | None:
    login = read_credentials(logins(folder, **config)).find(host, repository)
    return (login.username, login.password, login.identity_token) if login else None


def _helper(folder: Path, script: str, name: str = "here") -> dict[bytes, bytes]:
    program = folder / f"docker-credential-{name}"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return {b"PATH": bytes(folder) + b":/usr/bin:/bin"}


def _ask(folder: Path, script: str, host: str = "h.example", seconds: float = 10) -> Login | None:
    environment = _helper(folder, script)
    return Credentials("c.json", {"credsStore": "here"}, environment, seconds).find(host, "app")


def test_reads_each_way_to_write_a_login(tmp_path: Path) -> None:
    """Base64, apart, an identity token beside either; empty entries are none."""
    auths = {
        "a.example": {"auth": auth("ann", "a:b")},
        "b.example": {"username": "bob", "password": "pw"},
        "c.example": {"auth": auth("00000000", ""), "identitytoken": "t"},
        "d.example": {},
        "e.example": {"auth": auth("ann", "pw\0\0")},
    }
    assert _find(tmp_path, "a.example", auths=auths) == ("ann", "a:b", "")
    assert _find(tmp_path, "b.example", auths=auths) == ("bob", "pw", "")
    assert _find(tmp_path, "c.example", auths=auths) == ("", "", "t")
    assert _find(tmp_path, "d.example", auths=auths) is None
    assert _find(tmp_path, "e.example", auths=auths) == ("ann", "pw", "")
    assert _find(tmp_path, "other.example", auths=auths) is None


def test_shows_no_password() -> None:
    """Not even to a debugger."""
    assert repr(Login("ann", "secret", "token")) == "Login('ann', ...)"


@pytest.mark.parametrize(
    "key", ["H.example:5000", "https://h.example:5000", "https://h.example:5000/v1/", "h.example:5000/v2/"]
)
def test_finds_a_host_however_it_is_written(tmp_path: Path, key: str) -> None:
    """With a scheme or a path that only say what was logged in to."""
    assert _find(tmp_path, "h.example:5000", auths={key: {"auth": auth("ann", "pw")}}) == ("ann", "pw", "")
    assert _find(tmp_path, "h.example", auths={key: {"auth": auth("ann", "pw")}}) is None


@pytest.mark.parametrize("key", ["https://index.docker.io/v1/", "docker.io", "index.docker.io"])
def test_finds_docker_hub_under_its_names(tmp_path: Path, key: str) -> None:
    """Docker's own key for it is a URL."""
    assert _find(tmp_path, "registry-1.docker.io", auths={key: {"auth": auth("ann", "pw")}}) == ("ann", "pw", "")


def test_takes_the_most_particular_login(tmp_path: Path) -> None:
    """Podman keeps logins for parts of a registry."""
    auths = {place: {"auth": auth(place, "pw")} for place in ("h.example", "h.example/org", "h.example/org/app")}
    for repository, place in {
        "org/app": "h.example/org/app",
        "org/app/more": "h.example/org/app",
        "org/application": "h.example/org",
        "organisation": "h.example",
    }.items():
        assert _find(tmp_path, "h.example", repository, auths=auths) == (place, "pw", "")


def test_looks_for_the_file_where_others_do(tmp_path: Path) -> None:
    """REGISTRY_AUTH_FILE decides, then DOCKER_CONFIG, then the home; none at all is no error."""
    home = tmp_path / "home"
    (home / ".docker").mkdir(parents=True)
    (home / ".docker/config.json").write_text(json.dumps({"auths": {"h": {"auth": auth("home", "x")}}}))
    environment = {b"HOME": bytes(home)}

    def who() -> str:
        login = read_credentials(environment).find("h", "app")
        return login.username if login else ""

    assert who() == "home"
    environment |= logins(tmp_path, auths={"h": {"auth": auth("docker", "x")}})
    assert who() == "docker"
    (tmp_path / "auth.json").write_text(json.dumps({"auths": {"h": {"auth": auth("podman", "x")}}}))
    environment[b"REGISTRY_AUTH_FILE"] = bytes(tmp_path / "auth.json")
    assert who() == "podman"
    assert read_credentials({}).find("h", "app") is None
    assert read_credentials({b"HOME": bytes(tmp_path / "nobody")}).find("h", "app") is None


FILES = {
    b"{": "is not JSON: line 1, column 2: Expecting property name enclosed in double quotes",
    b"\xff": "is not JSON",
    b"[" * 100_000: "is not JSON",
    b"[]": "is not a JSON object",
    b'{"auths": []}': None,
    b'{"auths": [1]}': "auths is not an object",
    b'{"credHelpers": "x"}': "credHelpers is not an object",
    b" " * ((1 << 20) + 1): "is larger than 1 MiB",
    b"": None,
}


@pytest.mark.parametrize("data", FILES, ids=range(len(FILES)))
def test_says_what_is_wrong_with_the_file(tmp_path: Path, data: bytes) -> None:
    """It is named, and nothing of it is shown."""
    (tmp_path / "config.json").write_bytes(data)
    reason = FILES[data]
    if reason is None:
        assert read_credentials({b"DOCKER_CONFIG": bytes(tmp_path)}).find("h", "app") is None
        return
    with pytest.raises(Unable) as caught:
        read_credentials({b"DOCKER_CONFIG": bytes(tmp_path)})
    assert caught.value.headline == f"{tmp_path}/config.json: {reason}"
    assert caught.value.command == "docker login HOST"


def test_says_that_the_file_can_not_be_read(tmp_path: Path) -> None:
    """A named one that is missing, a directory, a FIFO."""
    environment = {b"REGISTRY_AUTH_FILE": bytes(tmp_path / "none")}
    for make, reason in (
        (lambda _: None, "no such file or directory, but REGISTRY_AUTH_FILE names it"),
        (os.mkfifo, "is not a regular file"),
        (os.mkdir, "is a directory"),
    ):
        (tmp_path / "none").unlink(missing_ok=True)
        make(tmp_path / "none")
        with pytest.raises(Unable) as caught:
            read_credentials(environment)
        assert caught.value.headline == f"{tmp_path}/none: {reason}"


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("x", "the entry for h is not an object"),
        ({"auth": 1}, "the entry for h has something else than strings"),
        ({"auth": "!"}, "the auth of h is not NAME:PASSWORD in base64"),
        ({"auth": "YW5u"}, "the auth of h is not NAME:PASSWORD in base64"),
        ({"auth": "/w=="}, "the auth of h is not NAME:PASSWORD in base64"),
    ],
)
def test_says_which_entry_is_malformed(tmp_path: Path, entry: Any, reason: str) -> None:
    """Only when it is the one that is needed."""
    auths = {"h": entry, "good": {"auth": auth("ann", "pw")}}
    assert _find(tmp_path, "good", auths=auths) == ("ann", "pw", "")
    with fails("denied", f"{tmp_path}/config.json: {reason}"):
        _find(tmp_path, "h", auths=auths)


def test_asks_a_helper(tmp_path: Path) -> None:
    """The host's own before the one for all; Docker Hub by its URL; `<token>` stands for an identity token."""
    script = """read server
case $server in
  https://index.docker.io/v1/) printf '{"Username": "hub", "Secret": "s"}' ;;
  t.example) printf '{"Username": "<token>", "Secret": "t"}' ;;
  *) echo "credentials not found in native keychain"; exit 1 ;;
esac"""
    environment = _helper(tmp_path, script)
    config = {
        "credsStore": "here",
        "credHelpers": {"own.example": "own"},
        "auths": {"inline.example": {"auth": auth("inline", "pw")}},
    }
    _helper(tmp_path, """printf '{"Username": "own", "Secret": "s"}'""", "own")
    credentials = Credentials("c.json", config, environment)

    def find(host: str) -> tuple[str, str, str] | None:
        login = credentials.find(host, "app")
        return (login.username, login.password, login.identity_token) if login else None

    assert find("registry-1.docker.io") == ("hub", "s", "")
    assert find("t.example") == ("", "", "t")
    assert find("own.example") == ("own", "s", "")
    assert find("inline.example") == ("inline", "pw", "")
    assert find("none.example") is None


HELPERS = {
    "echo locked; exit 2": "docker-credential-here: failed with status 2 for h.example: locked",
    "exit 3": "docker-credential-here: failed with status 3 for h.example",
    "printf '\\033[31m'; exit 1": "docker-credential-here: failed with status 1 for h.example: \\x1b[31m",
    "echo secret": "docker-credential-here: did not answer with Username and Secret for h.example",
    "echo '[]'": "docker-credential-here: did not answer with Username and Secret for h.example",
    """echo '{"Username": 1, "Secret": "x"}'""": (
        "docker-credential-here: did not answer with Username and Secret for h.example"
    ),
    "yes": "docker-credential-here: did not answer with Username and Secret for h.example",
    "sleep 60 & exit 0": "docker-credential-here: did not answer within 0.3 seconds",
    "exec sleep 60": "docker-credential-here: did not answer within 0.3 seconds",
    "exec >&-; exec sleep 60": "docker-credential-here: did not answer within 0.3 seconds",
}


@pytest.mark.parametrize("script", HELPERS)
def test_says_what_is_wrong_with_a_helper(tmp_path: Path, script: str) -> None:
    """In bounded time; never with what it said as an answer."""
    started = time.monotonic()
    with fails("denied", HELPERS[script]):
        _ask(tmp_path, script.replace("sleep 60", "sleep 1"), seconds=0.3)
    assert time.monotonic() - started < 1


def test_says_that_a_helper_is_missing_or_no_program(tmp_path: Path) -> None:
    """Its name is not a path, and PATH decides where it is."""
    for helper, reason in (
        ("none", "docker-credential-none, which c.json names for h.example, is not installed"),
        ("../x", "c.json: '../x' is not a credential helper's name"),
        (1, "c.json: '1' is not a credential helper's name"),
        ("broken", "docker-credential-broken: exec format error"),
    ):
        (tmp_path / "docker-credential-broken").write_bytes(b"\x7fELFnot")
        (tmp_path / "docker-credential-broken").chmod(0o755)
        credentials = Credentials("c.json", {"credsStore": helper}, {b"PATH": bytes(tmp_path)})
        for _ in range(2):  # what is remembered says the same
            with fails("denied", reason):
                credentials.find("h.example", "app")
