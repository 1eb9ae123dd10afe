"""What a registry asks for, repository by repository, and which of several challenges is answered."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from asking import (
    BLOB,
    BLOB_PATH,
    DESCRIPTOR,
    LIMIT,
    MANIFEST_DATA,
    MANIFEST_TYPE,
    SECRET,
    Time,
    always,
    bearer,
    client,
    fails,
    giving,
    in_turn,
    logins,
    serve,
    store,
)
from registries import Reply, Request, auth, basic, hostile


@pytest.mark.parametrize("challenge", ["Bearer", "Basic", 'Bearer realm="https://tokens.example/"'])
def test_gives_a_registry_token_to_its_registry_alone(tmp_path: Path, challenge: str) -> None:
    """As it is, whatever scheme is asked for; no token server and no storage service sees it."""
    with hostile(always(Reply(body=BLOB))) as storage:
        location = {"Location": f"http://{storage.host}/x"}

        def answer(request: Request) -> Reply:
            if request.headers.get("Authorization") != f"Bearer {SECRET}":
                return Reply("401 Unauthorized", headers={"WWW-Authenticate": challenge})
            return Reply("307 There", headers=location) if request.path == BLOB_PATH else serve(request)

        with hostile(answer) as server:
            environment = logins(tmp_path, auths={server.host: {"registrytoken": SECRET}})
            with client(Time(), environment) as registry:
                assert store(registry, server).top()[1] == MANIFEST_DATA
                assert store(registry, server).fetch(DESCRIPTOR, LIMIT) == BLOB
        assert "Authorization" not in storage.requests[0].headers


def test_gives_a_registry_token_to_no_token_server(tmp_path: Path) -> None:
    """Where the registry refuses it, that is the end, though there is a password too."""
    with hostile(giving({"token": "token-1"})) as tokens:
        with hostile(bearer(f"http://{tokens.host}/t", lambda given: given == "Bearer token-1")) as server:
            entry = {"registrytoken": SECRET, "auth": auth("ann", "pw")}
            source = f"{tmp_path}/config.json, entry {server.host}"
            with (
                client(Time(), logins(tmp_path, auths={server.host: entry})) as registry,
                fails(
                    "denied",
                    f"{server.host} denies access: it answered 401 Unauthorized, with the login from {source}",
                ),
            ):
                store(registry, server).top()
        assert tokens.requests == []


def test_refuses_a_registry_token_that_is_none(tmp_path: Path) -> None:
    """It would be another header."""
    with hostile(always(Reply("401 No", headers={"WWW-Authenticate": "Basic"}))) as server:
        environment = logins(tmp_path, auths={server.host: {"registrytoken": "a\r\nX: y"}})
        source = f"{tmp_path}/config.json, entry {server.host}"
        with client(Time(), environment) as registry, fails("denied", f"the registrytoken is not a token: {source}"):
            store(registry, server).top()


def _by_repository(request: Request) -> Reply:
    """Answer as a registry that has a token server for each repository, and public ones without any."""
    parts = urlsplit(request.path)
    if parts.path.startswith("/token/"):
        repository = parts.path.removeprefix("/token/")
        scopes = parse_qs(parts.query)["scope"]
        good = scopes == [f"repository:{repository}:pull"] and "Authorization" not in request.headers
        return Reply(body=json.dumps({"token": f"for-{repository}"}).encode()) if good else Reply("403 Forbidden")
    repository = parts.path.removeprefix("/v2/").rpartition("/")[0].rpartition("/")[0]
    given = request.headers.get("Authorization")
    if repository.startswith("public/"):
        return Reply("400 Bad Request") if given else Reply(body=MANIFEST_DATA, headers=MANIFEST_TYPE)
    if given != f"Bearer for-{repository}":
        realm = f"http://{request.headers['Host']}/token/{repository}"
        return Reply("401 Unauthorized", headers={"WWW-Authenticate": f'Bearer realm="{realm}"'})
    return Reply(body=MANIFEST_DATA, headers=MANIFEST_TYPE)


@pytest.mark.parametrize("order", [("a/x", "b/x", "public/x"), ("public/x", "b/x", "a/x", "b/x", "public/x")])
def test_remembers_what_each_repository_wants(order: tuple[str, ...]) -> None:
    """Whatever was asked for before: one repository's challenge, token or freedom says nothing of another's."""
    with hostile(_by_repository) as server, client(Time()) as registry:
        for name in order:
            assert store(registry, server, f"{name}:1").top()[1] == MANIFEST_DATA
        tokens = [path for path in server.paths() if path.startswith("/token/")]
        assert len(tokens) == len(set(tokens)) == 2


def test_keeps_the_tokens_of_repositories_apart() -> None:
    """One token server for all: its token for one repository is not shown for another."""

    def give(request: Request) -> Reply:
        (scope,) = parse_qs(urlsplit(request.path).query)["scope"]
        return Reply(body=json.dumps({"token": f"for-{scope.split(':')[1]}"}).encode())

    with hostile(give) as tokens:
        shown: list[str] = []

        def answer(request: Request) -> Reply:
            repository = request.path.removeprefix("/v2/").rpartition("/manifests/")[0]
            given = request.headers.get("Authorization", "")
            shown.append(f"{repository}: {given}")
            if given == f"Bearer for-{repository}":
                return Reply(body=MANIFEST_DATA, headers=MANIFEST_TYPE)
            realm = f'Bearer realm="http://{tokens.host}/token",service="x"'
            return Reply("401 Unauthorized", headers={"WWW-Authenticate": realm})

        with hostile(answer) as server, client(Time()) as registry:
            for name in ("a/x", "b/x", "a/x"):
                assert store(registry, server, f"{name}:1").top()[1] == MANIFEST_DATA
    assert shown == ["a/x: ", "a/x: Bearer for-a/x", "b/x: ", "b/x: Bearer for-b/x", "a/x: Bearer for-a/x"]


def test_has_a_password_for_one_repository_and_none_for_the_next(tmp_path: Path) -> None:
    """Basic logins by namespace: each repository gets its own, and one without a login gets none."""
    seen: dict[str, set[str | None]] = {}

    def answer(request: Request) -> Reply:
        repository = request.path.split("/")[2]
        given = request.headers.get("Authorization")
        seen.setdefault(repository, set()).add(given)
        if repository != "free" and given != basic(repository, "pw"):
            return Reply("401 Unauthorized", headers={"WWW-Authenticate": 'Basic realm="x"'})
        return Reply(body=MANIFEST_DATA, headers=MANIFEST_TYPE)

    with hostile(answer) as server:
        auths = {f"{server.host}/{name}": {"auth": auth(name, "pw")} for name in ("a", "b")}
        with client(Time(), logins(tmp_path, auths=auths)) as registry:
            for name in ("a", "free", "b", "a"):
                assert store(registry, server, f"{name}/x:1").top()[1] == MANIFEST_DATA
            with fails("denied", f"{server.host} wants a login, and none was found in {tmp_path}/config.json"):
                store(registry, server, "c/x:1").top()
    assert seen == {
        "a": {None, basic("a", "pw")},
        "b": {None, basic("b", "pw")},
        "free": {None},
        "c": {None},
    }


def test_asks_for_a_wider_token_where_one_is_too_narrow() -> None:
    """A registry that names another repository to pull from, besides: a cache of another registry does."""
    wanted = "repository:org/app:pull repository:upstream/app:pull"

    def give(request: Request) -> Reply:
        scopes = parse_qs(urlsplit(request.path).query)["scope"]
        return Reply(body=json.dumps({"token": "wide" if len(scopes) == 2 else "narrow"}).encode())

    with hostile(give) as tokens:

        def answer(request: Request) -> Reply:
            if request.headers.get("Authorization") == "Bearer wide":
                return serve(request)
            scope = 'repository:upstream/app:pull,push",error="insufficient_scope'
            realm = f'Bearer realm="http://{tokens.host}/t",scope="{scope}"'
            return Reply("401 Unauthorized", headers={"WWW-Authenticate": realm})

        with hostile(answer) as server, client(Time()) as registry:
            assert store(registry, server).top()[1] == MANIFEST_DATA
            assert store(registry, server).fetch(DESCRIPTOR, LIMIT) == BLOB
            assert len(server.asked()) == 4
        asked = [parse_qs(urlsplit(request.path).query)["scope"] for request in tokens.requests]
    assert asked == [["repository:org/app:pull"], wanted.split()]


@pytest.mark.parametrize(
    "challenge",
    [
        'Negotiate, Bearer realm="{t}", Basic realm="x"',
        'bEARER rEALM="{t}"',
        'Basic realm="a, Bearer realm=b", Bearer realm="{t}"',
        'Bearer realm="nowhere", Bearer realm="{t}"',
    ],
)
def test_answers_the_challenge_that_it_can(challenge: str) -> None:
    """Of several in one header, with commas in quotes, in any case."""
    with hostile(giving({"token": "token-1"})) as tokens:
        header = {"WWW-Authenticate": challenge.format(t=f"http://{tokens.host}/t")}

        def answer(request: Request) -> Reply:
            good = request.headers.get("Authorization") == "Bearer token-1"
            return serve(request) if good else Reply("401 Unauthorized", headers=header)

        with hostile(answer) as server, client(Time()) as registry:
            assert store(registry, server).top()[1] == MANIFEST_DATA


def test_gives_a_password_where_no_token_server_can_be_asked(tmp_path: Path) -> None:
    """Bearer without a realm, and basic besides."""
    header = {"WWW-Authenticate": 'Bearer service="x", Basic realm="x"'}

    def answer(request: Request) -> Reply:
        good = request.headers.get("Authorization") == basic("ann", SECRET)
        return serve(request) if good else Reply("401 Unauthorized", headers=header)

    with hostile(answer) as server:
        environment = logins(tmp_path, auths={server.host: {"auth": auth("ann", SECRET)}})
        with client(Time(), environment) as registry:
            assert store(registry, server).top()[1] == MANIFEST_DATA


def test_says_that_a_login_is_not_accepted(tmp_path: Path) -> None:
    """The first time in the registry's words; then it is known."""
    challenge = {"WWW-Authenticate": 'Basic realm="x"'}
    reply = in_turn(
        Reply("401 Unauthorized", headers=challenge),
        Reply(body=MANIFEST_DATA, headers=MANIFEST_TYPE),
        Reply("401 Unauthorized", headers=challenge),
    )
    with hostile(reply) as server:
        environment = logins(tmp_path, auths={server.host: {"auth": auth("ann", SECRET)}})
        with client(Time(), environment) as registry:
            store(registry, server).top()
            source = f"{tmp_path}/config.json, entry {server.host}"
            with fails("denied", f"{server.host} does not accept the login from {source}"):
                store(registry, server).top()
        assert len(server.asked()) == 3
