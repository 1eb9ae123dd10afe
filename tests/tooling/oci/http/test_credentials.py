"""Which login is taken for a repository: of several files, of a file and its helpers; and files that can't be read."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from asking import fails, logins
from registries import auth

from metalauncher.tooling.console import Unable
from metalauncher.tooling.oci.http.credentials import Credentials, read_credentials
from metalauncher.tooling.oci.http.login_files import parse_login_file

ONE = {"auths": {"h": {"auth": auth("ann", "pw")}}}


def _write(path: Path, document: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


def _user(credentials: Credentials, host: str = "h", repository: str = "org/app") -> str:
    login = credentials.find(host, repository)
    return login.username if login else ""


def _home(folder: Path) -> dict[bytes, bytes]:
    return {b"HOME": bytes(folder / "home"), b"XDG_RUNTIME_DIR": bytes(folder / "run")}


FILES = ["run/containers/auth.json", "home/.config/containers/auth.json", "home/.docker/config.json", "home/.dockercfg"]


@pytest.mark.parametrize("number", range(len(FILES)))
def test_takes_the_first_file_with_an_entry(tmp_path: Path, number: int) -> None:
    """A file before it that has none for this repository, an empty one, or a broken one for another, is passed over."""
    for name in FILES[:number]:
        _write(tmp_path / name, {"auths": {"h": {}, "other": {"auth": "!"}, "h/another": {"auth": auth("x", "y")}}})
    for name in FILES[number:]:
        entries = {"h": {"auth": auth(name, "pw")}}
        _write(tmp_path / name, entries if name.endswith("cfg") else {"auths": entries})
    credentials = read_credentials(_home(tmp_path))
    login = credentials.find("h", "org/app")
    assert login is not None
    assert (login.username, login.source) == (FILES[number], f"{tmp_path}/{FILES[number]}, entry h")


def test_takes_the_file_that_a_variable_names_alone(tmp_path: Path) -> None:
    """Others are not looked at, though only they have an entry."""
    for name in FILES:
        _write(tmp_path / name, ONE)
    environment = _home(tmp_path)
    assert _user(read_credentials(environment)) == "ann"
    environment |= logins(tmp_path, auths={"other": {"auth": auth("docker", "x")}})
    assert (_user(read_credentials(environment)), _user(read_credentials(environment), "other")) == ("", "docker")
    environment[b"REGISTRY_AUTH_FILE"] = bytes(_write(tmp_path / "a.json", {"auths": {"x": {"auth": auth("a", "x")}}}))
    found = [_user(read_credentials(environment), host) for host in ("h", "other", "x")]
    assert found == ["", "", "a"]


def _helper(folder: Path, name: str, script: str) -> None:
    program = folder / f"docker-credential-{name}"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_asks_helpers_in_their_order(tmp_path: Path) -> None:
    """A registry's own alone; else entries of namespaces, then the one for all, then the registry's entry."""
    _helper(tmp_path, "own", """printf '{"Username": "own", "Secret": "s"}'""")
    _helper(tmp_path, "empty", "echo '{}'")
    _helper(
        tmp_path,
        "all",
        """read server
case $server in
  https://index.docker.io/v1/) printf '{"Username": "hub", "Secret": "s"}' ;;
  t.example) printf '{"Username": "all", "Secret": "t"}' ;;
  *) echo "credentials not found in native keychain"; exit 1 ;;
esac""",
    )
    auths = {f"{name}.example": {"auth": auth(name, "pw")} for name in ("t", "own", "empty", "inline")}
    auths |= {"t.example/org": {"auth": auth("org", "pw")}, "own.example/org": {"auth": auth("no", "pw")}}
    config = {
        "credsStore": "all",
        "credHelpers": {"own.example": "own", "https://empty.example": "empty"},
        "auths": auths,
    }
    file = parse_login_file(json.dumps(config).encode(), "c.json")
    credentials = Credentials([file], {b"PATH": bytes(tmp_path) + b":/usr/bin:/bin"})
    assert _user(credentials, "registry-1.docker.io") == "hub"
    assert _user(credentials, "t.example", "app") == "all"
    assert _user(credentials, "t.example", "org/app") == "org"
    assert _user(credentials, "own.example") == "own"
    assert _user(credentials, "empty.example") == ""
    assert _user(credentials, "inline.example") == "inline"
    assert _user(credentials, "none.example") == ""
    assert credentials.where("none.example") == "in c.json (docker-credential-all)"
    assert credentials.where("empty.example") == "in c.json (docker-credential-empty)"


def test_asks_a_helper_for_docker_hub_under_both_names(tmp_path: Path) -> None:
    """Docker keeps that under a URL, podman under `docker.io`."""
    _helper(
        tmp_path,
        "podman",
        'read s; [ $s = docker.io ] && echo \'{"Username": "p", "Secret": "s"}\' || echo credentials not found >&2',
    )
    file = parse_login_file(b'{"credHelpers": {"docker.io": "podman"}}', "c.json")
    assert _user(Credentials([file], {b"PATH": bytes(tmp_path) + b":/usr/bin:/bin"}), "registry-1.docker.io") == "p"


def test_goes_on_with_the_next_file_after_a_helper_without_a_login(tmp_path: Path) -> None:
    """It answers with nothing."""
    _helper(tmp_path, "empty", """echo '{"ServerURL": "", "Username": "", "Secret": ""}'""")
    _write(tmp_path / FILES[1], {"credsStore": "empty"})
    _write(tmp_path / FILES[2], ONE)
    environment = {**_home(tmp_path), b"PATH": bytes(tmp_path) + b":/usr/bin:/bin"}
    assert _user(read_credentials(environment)) == "ann"
    assert _user(read_credentials(environment), "other") == ""


@pytest.mark.parametrize(
    ("entry", "reason"),
    [("x", "the entry for h is not an object"), ({"auth": "!"}, "the auth of h is not NAME:PASSWORD in base64")],
)
def test_says_which_entry_is_malformed(tmp_path: Path, entry: Any, reason: str) -> None:
    """Only when it is the one that is needed."""
    credentials = read_credentials(logins(tmp_path, auths={"h": entry, "good": {"auth": auth("ann", "pw")}}))
    assert _user(credentials, "good") == "ann"
    with fails("denied", f"{tmp_path}/config.json: {reason}"):
        credentials.find("h", "app")


BROKEN: dict[str, tuple[Callable[[Path], Any], str]] = {
    "not JSON": (lambda path: path.write_bytes(b"{"), "is not JSON: line 1, column 2: Expecting property name"),
    "no object": (lambda path: path.write_bytes(b"[]"), "is not a JSON object"),
    "too large": (lambda path: path.write_bytes(b" " * ((1 << 20) + 1)), "is larger than 1 MiB"),
    "a directory": (os.mkdir, "is a directory"),
    "a FIFO": (os.mkfifo, "is not a regular file"),
    "a loop": (lambda path: path.symlink_to(path), "too many levels of symbolic links"),
}


@contextmanager
def _refused(headline: str) -> Iterator[None]:
    with pytest.raises(Unable) as caught:
        yield
    assert caught.value.headline.startswith(headline)
    # docker writes its own file, whatever REGISTRY_AUTH_FILE says
    tool = "docker" if "which DOCKER_CONFIG names" in headline else "skopeo"
    assert caught.value.command == f"{tool} login HOST"


@pytest.mark.parametrize("case", BROKEN)
def test_refuses_a_named_file_that_can_not_be_read(tmp_path: Path, case: str) -> None:
    """With the file, and the variable that names it."""
    make, reason = BROKEN[case]
    file = tmp_path / "config.json"
    make(file)
    with _refused(f"{file}, which DOCKER_CONFIG names: {reason}"):
        read_credentials({b"DOCKER_CONFIG": bytes(tmp_path)})
    with _refused(f"{file}, which REGISTRY_AUTH_FILE names: {reason}"):
        read_credentials({b"REGISTRY_AUTH_FILE": bytes(file), b"DOCKER_CONFIG": bytes(tmp_path)})


@pytest.mark.parametrize("case", BROKEN)
def test_warns_of_a_file_that_nobody_named(tmp_path: Path, case: str) -> None:
    """Nobody asked for a login: it is said once, and the others are read."""
    make, reason = BROKEN[case]
    file = tmp_path / FILES[2]
    file.parent.mkdir(parents=True)
    make(file)
    _write(tmp_path / FILES[3], {"h": {"auth": auth("ann", "pw")}})
    warnings: list[str] = []
    assert _user(read_credentials(_home(tmp_path), warnings.append)) == "ann"
    (warning,) = warnings
    assert warning.startswith(f"{file}: {reason}")
    assert warning.endswith(": continuing without these logins")


def test_warns_once_of_several_files(tmp_path: Path) -> None:
    """Of a home that belongs to somebody else, for instance."""
    for name in FILES[1:]:
        (tmp_path / name).mkdir(parents=True)
    warnings: list[str] = []
    credentials = read_credentials(_home(tmp_path), warnings.append)
    names = ", ".join(f"{tmp_path}/{name}" for name in FILES[1:])
    assert warnings == [f"{names}: is a directory: continuing without these logins"]
    assert credentials.find("h", "app") is None


@pytest.mark.parametrize("home", ["none", "file", "file/below"])
def test_has_no_logins_where_there_are_no_files(tmp_path: Path, home: str) -> None:
    """A home that is not there, or is not a directory, as /dev/null is none: nothing to warn of."""
    (tmp_path / "file").touch()
    warnings: list[str] = []
    credentials = read_credentials(
        {b"HOME": bytes(tmp_path / home), b"XDG_RUNTIME_DIR": bytes(tmp_path / home)}, warnings.append
    )
    assert (credentials.find("h", "app"), warnings) == (None, [])
    paths = [f"{tmp_path}/{home}/{name}" for name in ("containers/auth.json", ".config/containers/auth.json")]
    paths += [f"{tmp_path}/{home}/{name}" for name in (".docker/config.json", ".dockercfg")]
    assert credentials.where("h") == f"in {', '.join(paths[:3])} or {paths[3]}: none of them can be read"


def test_knows_a_named_file_that_is_not_there(tmp_path: Path) -> None:
    """It is an error, but for docker's before the first login: there the directory is enough."""
    with _refused(f"{tmp_path}/none, which REGISTRY_AUTH_FILE names: is not there"):
        read_credentials({b"REGISTRY_AUTH_FILE": bytes(tmp_path / "none")})
    with _refused(f"{tmp_path}/none/config.json, which DOCKER_CONFIG names: is not there"):
        read_credentials({b"DOCKER_CONFIG": bytes(tmp_path / "none")})
    credentials = read_credentials({b"DOCKER_CONFIG": bytes(tmp_path)})
    assert credentials.find("h", "app") is None
    assert credentials.where("h") == f"in {tmp_path}/config.json, which DOCKER_CONFIG names: it is not there"
