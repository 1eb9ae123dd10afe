"""Where files with logins are, and what is in one: as docker, podman and skopeo write them, and as people do."""

from __future__ import annotations

import base64
import itertools
import json
import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from registries import auth

from metalauncher.tooling.oci.http.login_files import (
    Candidate,
    Entry,
    InvalidLogins,
    Login,
    candidates,
    decode_auth,
    parse_login,
    parse_login_file,
)

DEFAULTS = ["/r/containers/auth.json", "/h/.config/containers/auth.json", "/h/.docker/config.json", "/h/.dockercfg"]
BOTH = {b"HOME": b"/h", b"XDG_RUNTIME_DIR": b"/r"}
PLACES: dict[str, tuple[dict[bytes, bytes], list[str]]] = {
    "nothing": ({}, ["/run/containers/7/auth.json"]),
    "all": (BOTH, DEFAULTS),
    "no runtime directory": ({b"HOME": b"/h"}, ["/run/containers/7/auth.json", *DEFAULTS[1:]]),
    "no home": ({b"XDG_RUNTIME_DIR": b"/r"}, DEFAULTS[:1]),
    "another config directory": (
        {**BOTH, b"XDG_CONFIG_HOME": b"/c"},
        [DEFAULTS[0], "/c/containers/auth.json", *DEFAULTS[2:]],
    ),
    "relative ones": (
        {b"HOME": b"h", b"XDG_RUNTIME_DIR": b"r", b"XDG_CONFIG_HOME": b"c"},
        ["/run/containers/7/auth.json"],
    ),
    "empty ones": ({**BOTH, b"REGISTRY_AUTH_FILE": b"", b"DOCKER_CONFIG": b""}, DEFAULTS),
    "docker's": ({**BOTH, b"DOCKER_CONFIG": b"/d"}, ["/d/config.json"]),
    "podman's": ({**BOTH, b"DOCKER_CONFIG": b"/d", b"REGISTRY_AUTH_FILE": b"a.json"}, ["a.json"]),
}


@pytest.mark.parametrize("case", PLACES)
def test_knows_where_to_look(case: str) -> None:
    """A variable that names a file, or docker's directory, alone; else all places, in this order."""
    environment, paths = PLACES[case]
    found = candidates(environment, 7)
    assert [place.path for place in found] == paths
    variable = {"docker's": "DOCKER_CONFIG", "podman's": "REGISTRY_AUTH_FILE"}.get(case, "")
    assert {place.variable for place in found} == {variable}
    assert str(found[0]) == (f"{paths[0]}, which {variable} names" if variable else paths[0])


AUTHS = {
    "plain": base64.b64encode(b"user:secre").decode(),
    "wrapped": base64.encodebytes(b"user:" + b"p" * 90).decode(),
    "wrapped with CRLF": base64.encodebytes(b"user:" + b"p" * 90).decode().replace("\n", "\r\n"),
    "a line break after it": base64.b64encode(b"user:secre").decode() + "\n",
    "unpadded": base64.b64encode(b"user:secre").decode().rstrip("="),
    "unpadded and wrapped": base64.encodebytes(b"user:" + b"p" * 90).decode().replace("=", ""),
    "padded by one too few": base64.b64encode(b"user:secre").decode()[:-1],
    "spaces around it": f"  {base64.b64encode(b'user:secre').decode()} ",
}


@pytest.mark.parametrize("case", AUTHS)
def test_reads_base64_as_others_do(case: str) -> None:
    """Line breaks are passed over, padding may be missing."""
    assert decode_auth(AUTHS[case]) == ("user", "p" * 90 if "wrapped" in case else "secre")


@pytest.mark.parametrize("text", ["!", "YW5u", "/w==", "YW5uOng*", "a", "YW=5uOng=", "\u00e9", "YW5u-_"])
def test_refuses_what_is_no_login(text: str) -> None:
    """Something else than base64, or no colon in it."""
    with pytest.raises(ValueError, match=r"."):
        decode_auth(text)


@given(st.binary(max_size=60).filter(lambda name: b":" not in name), st.binary(max_size=200), st.data())
def test_reads_what_was_written(name: bytes, password: bytes, data: st.DataObject) -> None:
    """Whatever the bytes, wherever line breaks are put, with padding or not: what is sent is what was written."""
    text = base64.b64encode(name + b":" + password).decode()
    if data.draw(st.booleans()):
        text = text.rstrip("=")
    breaks = data.draw(st.lists(st.integers(0, len(text)), max_size=4))
    for at in sorted(breaks, reverse=True):
        text = text[:at] + data.draw(st.sampled_from(["\n", "\r\n"])) + text[at:]
    login = Login(*decode_auth(text))
    assert login.basic() == "Basic " + base64.b64encode(name + b":" + password.strip(b"\0")).decode()


ENTRIES: dict[str, tuple[Any, tuple[str, str, str, str] | None]] = {
    "auth": ({"auth": auth("ann", "a:b")}, ("ann", "a:b", "", "")),
    "apart": ({"username": "bob", "password": "pw"}, ("bob", "pw", "", "")),
    "both": ({"auth": auth("ann", "pw"), "username": "bob", "password": "x"}, ("ann", "pw", "", "")),
    "padded with NULs": ({"auth": auth("ann", "pw\0\0")}, ("ann", "pw", "", "")),
    "an identity token": ({"identitytoken": "t"}, ("", "", "t", "")),
    "an identity token and a password": ({"auth": auth("u", "pw"), "identitytoken": "t"}, ("u", "pw", "t", "")),
    "an identity token and a name": ({"auth": auth("0000", ""), "identitytoken": "t"}, ("0000", "", "t", "")),
    "an identity token and no login": ({"auth": "!", "identitytoken": "t"}, ("", "", "t", "")),
    "a registry token": ({"registrytoken": "r"}, ("", "", "", "r")),
    "another case": ({"Auth": auth("ann", "pw"), "IdentityToken": "t"}, ("ann", "pw", "t", "")),
    "an exact key beside one in another case": ({"AUTH": "!", "auth": auth("ann", "pw")}, ("ann", "pw", "", "")),
    "no name": ({"auth": auth("", "pw")}, ("", "pw", "", "")),
    "empty": ({}, None),
    "empty fields": ({"auth": "", "username": None}, None),
    "an e-mail address alone": ({"email": "x@example"}, None),
    "null": (None, None),  # to Go as good as empty
    "half a character": ({"username": "ann", "password": "p\ud800w"}, ("ann", "p\ufffdw", "", "")),
    "half a character in a token": ({"identitytoken": "\udfff"}, ("", "", "\ufffd", "")),
    "nothing but a colon": ({"auth": auth("", "")}, None),
}


@pytest.mark.parametrize("case", ENTRIES)
def test_reads_each_way_to_write_a_login(case: str) -> None:
    """As docker/cli's AuthConfig has it; an empty entry is none."""
    value, expected = ENTRIES[case]
    login = parse_login(Entry("h.example", value), "f.json")
    if login is None:
        assert expected is None
        return
    assert expected is not None
    assert (login.username, login.password, login.identity_token, login.registry_token) == expected
    assert login.source == "f.json, entry h.example"
    header = {login.basic().removeprefix("Basic ").rstrip("=")} if login.password else set()
    assert set(login.secrets()) == {*expected[1:]} - {""} | header


def test_shows_no_password() -> None:
    """Not even to a debugger."""
    assert repr(Login("ann", "secret", "token", "another")) == "Login('ann', ...)"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("x", "the entry for h is not an object"),
        ([], "the entry for h is not an object"),
        ({"auth": 1}, "the entry for h has something else than strings"),
        ({"identitytoken": ["x"]}, "the entry for h has something else than strings"),
        ({"auth": "!"}, "the auth of h is not NAME:PASSWORD in base64"),
        ({"auth": "YW5u"}, "the auth of h is not NAME:PASSWORD in base64"),
    ],
)
def test_says_what_is_wrong_with_an_entry(value: Any, reason: str) -> None:
    """Which one it is, and nothing of it."""
    with pytest.raises(InvalidLogins) as caught:
        parse_login(Entry("h", value), "f.json")
    assert str(caught.value) == reason


def _keys(data: Any, host: str, repository: str = "org/app", path: str = "config.json") -> list[str]:
    file = parse_login_file(json.dumps(data).encode(), path)
    return [entry.key for entry in (*file.namespaces(host, repository), *file.hosts(host))]


@pytest.mark.parametrize(
    "key",
    ["H.example:5000", "https://h.example:5000", "https://h.example:5000/v1/", "h.example:5000/v2/", "h.example:5000/"],
)
def test_finds_a_host_however_it_is_written(key: str) -> None:
    """With a scheme or a path that only say what was logged in to; with another port it is another."""
    assert _keys({"auths": {key: {}}}, "h.example:5000") == [key]
    assert _keys({"auths": {key: {}}}, "h.example") == []


@pytest.mark.parametrize("keys", [("h.example", "https://h.example/v1/"), ("https://h.example/v1/", "h.example")])
def test_takes_the_key_that_is_written_so_already(keys: tuple[str, str]) -> None:
    """Whichever comes first in the file."""
    assert _keys({"auths": {key: {} for key in keys}}, "h.example") == ["h.example"]


@pytest.mark.parametrize("keys", list(itertools.permutations(["", "access-token", "refresh-token"])))
def test_takes_no_token_of_docker_s_own_for_a_login(keys: tuple[str, ...]) -> None:
    """Since it logs in to Docker Hub with a browser, it keeps such beside the login."""
    auths: dict[str, Any] = {f"https://index.docker.io/v1/{key}": {} for key in keys}
    assert _keys({"auths": auths}, "docker.io") == ["https://index.docker.io/v1/"]


@pytest.mark.parametrize("key", ["https://index.docker.io/v1/", "docker.io", "index.docker.io", "registry-1.docker.io"])
def test_finds_docker_hub_under_its_names(key: str) -> None:
    """Docker's own key for it is a URL."""
    assert _keys({"auths": {key: {}}}, "registry-1.docker.io") == [key]
    assert _keys({"auths": {key: {}}}, "docker.io.example") == []


def test_takes_the_most_particular_entry_first() -> None:
    """Podman keeps logins for parts of a registry."""
    auths: dict[str, Any] = {"auths": {"h.example": {}, "h.example/org": {}, "h.example/org/app": {}}}
    for repository, keys in {
        "org/app": ["h.example/org/app", "h.example/org", "h.example"],
        "org/app/more": ["h.example/org/app", "h.example/org", "h.example"],
        "org/application": ["h.example/org", "h.example"],
        "organisation": ["h.example"],
    }.items():
        assert _keys(auths, "h.example", repository) == keys
    hub: dict[str, Any] = {"auths": {"docker.io": {}, "docker.io/library": {}}}
    assert _keys(hub, "registry-1.docker.io", "library/x") == ["docker.io/library", "docker.io"]


OLD: dict[str, tuple[Any, str, list[str]]] = {
    "by its name": ({"https://index.docker.io/v1/": {"auth": "x", "email": "y"}}, "/h/.dockercfg", ["docker.io"]),
    "by its form": ({"docker.io": {"auth": "x"}}, "/secret/auth.json", ["docker.io"]),
    "a name and a password": ({"docker.io": {"username": "x", "password": "y"}}, "x.json", ["docker.io"]),
    "a new one of that name": ({"auths": {"docker.io": {"auth": "x"}}}, "/h/.dockercfg", ["docker.io"]),
    "a new one without logins": ({"plugins": {"x": {"hooks": "y"}}, "credsStore": "s"}, "config.json", []),
    "one with proxies": ({"proxies": {"default": {"httpProxy": "x"}}}, "config.json", []),
}


@pytest.mark.parametrize("case", OLD)
def test_reads_the_old_form(case: str) -> None:
    """Before `auths` the entries were at the top: ~/.dockercfg, and what was made of it."""
    data, path, hosts = OLD[case]
    assert len(_keys(data, "docker.io", path=path)) == len(hosts)


FILES = {
    b"{": "is not JSON: line 1, column 2: Expecting property name enclosed in double quotes",
    b"\xff": "is not JSON",
    b"[" * 100_000: "is not JSON",
    b"[]": "is not a JSON object",
    b'{"auths": [1]}': "auths is not an object",
    b'{"credHelpers": "x"}': "credHelpers is not an object",
}


@pytest.mark.parametrize("data", FILES, ids=range(len(FILES)))
def test_says_what_is_wrong_with_a_file(data: bytes) -> None:
    """And quotes nothing of it."""
    with pytest.raises(InvalidLogins) as caught:
        parse_login_file(data, "f.json")
    assert str(caught.value) == FILES[data]


@pytest.mark.parametrize("data", [b"", b" \n", b"{}", b'{"auths": null}', b'{"auths": []}', b"\xef\xbb\xbf{}"])
def test_reads_a_file_without_logins(data: bytes) -> None:
    """That nobody is logged in is no error."""
    file = parse_login_file(data, "f.json")
    assert (dict(file.auths), dict(file.helpers), file.store) == ({}, {}, None)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just(auth("a", "b")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["auths", "credHelpers", "credsStore", "auth", "username", "h", "https://h/v1/", "h/org"])
            | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(st.binary(max_size=80) | JSON.map(lambda value: json.dumps(value).encode()))
def test_reads_any_file(data: bytes) -> None:
    """There are logins, or the file says why not; the same each time."""
    try:
        file = parse_login_file(data, "f.json")
    except InvalidLogins as error:
        reason = str(error)
        assert reason.startswith(("is not ", "auths is not ", "credHelpers is not "))
        return
    assert file == parse_login_file(data, "f.json")
    for entry in (*file.namespaces("h", "org/app"), *file.hosts("h")):
        try:
            login = parse_login(entry, "f.json")
        except InvalidLogins as error:
            reason = str(error)
            assert entry.key in reason
        else:
            assert login is None or login.basic().startswith("Basic ")


@given(
    st.dictionaries(
        st.sampled_from([b"HOME", b"XDG_RUNTIME_DIR", b"XDG_CONFIG_HOME", b"DOCKER_CONFIG", b"REGISTRY_AUTH_FILE"]),
        st.binary(min_size=1, max_size=9).filter(lambda value: b"\0" not in value),
    )
)
def test_looks_nowhere_twice(environment: dict[bytes, bytes]) -> None:
    """Whatever the variables say: one place that is named, or several that nobody names, each once."""
    found = candidates(environment, 7)
    assert len(found) == len(set(found)) >= 1
    named = {b"DOCKER_CONFIG", b"REGISTRY_AUTH_FILE"} & environment.keys()
    assert (len(found) == 1 and found[0].variable != "") if named else {place.variable for place in found} == {""}
    assert all(isinstance(place, Candidate) and os.path.isabs(place.path) for place in found if not named)
