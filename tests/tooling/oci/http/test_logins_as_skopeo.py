"""The same files for skopeo and for us, and a real registry behind a password: who gets in?"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from harness import PROJECT
from registries import RealRegistry, auth, make_manifest, start_registry

from metalauncher.tooling.oci.http.credentials import read_credentials
from metalauncher.tooling.oci.model import ImageError
from metalauncher.tooling.oci.reference import Reference
from metalauncher.tooling.oci.sources.registry import Registry

USER = ("ann", "pass:word" * 9)
GOOD, WRONG = auth(*USER), auth("ann", "wrong")
CONFIG = b'{"architecture": "amd64", "os": "linux"}'
RUN, CONFIG_HOME, DOCKER, OLD = (
    "run/containers/auth.json",
    "home/.config/containers/auth.json",
    "home/.docker/config.json",
    "home/.dockercfg",
)
NAMED = {"REGISTRY_AUTH_FILE": "{d}/a.json"}
HELPERS = {
    "good": json.dumps({"Username": USER[0], "Secret": USER[1]}),
    "wrong": json.dumps({"Username": USER[0], "Secret": "wrong"}),
    "empty": json.dumps({"ServerURL": "", "Username": "", "Secret": ""}),
}


class Case(NamedTuple):
    """Files, and who gets in with them.

    Attributes:
        files: by their names; {h} in a key is the registry.
        environment: besides PATH, HOME and XDG_RUNTIME_DIR; {d} is the directory.
        ours: whether we get in.
        other: skopeo does not, where we do, and why.
    """

    files: dict[str, Any]
    environment: dict[str, str]
    ours: bool
    other: str = ""


def _named(config: Any, ours: bool, other: str = "") -> Case:
    return Case({"a.json": config}, NAMED, ours, other)


def _keys(ours: bool, *keys: str, other: str = "") -> dict[str, Case]:
    return {key: _named({"auths": {key: {"auth": GOOD}}}, ours, other) for key in keys}


def _auth(text: str, ours: bool, other: str = "") -> Case:
    return _named({"auths": {"{h}": {"auth": text}}}, ours, other)


def _first(number: int) -> Case:
    """All files from one on have a login, the first of them the right one; those before have an empty entry."""
    files = (RUN, CONFIG_HOME, DOCKER, OLD)
    entries = [{} if n < number else {"auth": GOOD if n == number else WRONG} for n in range(len(files))]
    found = {
        name: {"{h}": entry} if name == OLD else {"auths": {"{h}": entry}}
        for name, entry in zip(files, entries, strict=True)
    }
    return Case(found, {}, True)


CASES = {
    "nothing": Case({}, {}, False),
    **_keys(True, "{h}", "http://{h}", "https://{h}", "https://{h}/v1/", "{h}/org", "{h}/org/app"),
    **_keys(True, "{h}/", "{h}/v2/", other="it normalizes these for Docker's own file of old alone"),
    **_keys(False, "{h}/org/ap", "{h}/org/app/x", "{h}/other", "127.0.0.1", "https://127.0.0.1"),
    "the namespace decides": _named({"auths": {"{h}": {"auth": WRONG}, "{h}/org": {"auth": GOOD}}}, True),
    "the namespace decides wrongly": _named({"auths": {"{h}": {"auth": GOOD}, "{h}/org": {"auth": WRONG}}}, False),
    "the host's own key decides": _named({"auths": {"{h}": {"auth": GOOD}, "https://{h}/v1/": {"auth": WRONG}}}, True),
    "the repository decides": _named({"auths": {"{h}/org": {"auth": WRONG}, "{h}/org/app": {"auth": GOOD}}}, True),
    "a line break": _auth(GOOD + "\n", True),
    "wrapped": _auth(base64.encodebytes(base64.b64decode(GOOD)).decode(), True),
    "wrapped by CRLF": _auth(base64.encodebytes(base64.b64decode(GOOD)).decode().replace("\n", "\r\n"), True),
    "NULs": _auth(auth(USER[0], USER[1] + "\0\0"), True),
    "unpadded": _auth(GOOD.rstrip("="), True, "Kubernetes and go-containerregistry take it, skopeo does not"),
    "no base64": _auth("!!", False),
    "no colon": _auth("YW5u", False),
    "name and password apart": _named(
        {"auths": {"{h}": {"username": USER[0], "password": USER[1]}}}, True, "Docker and Kubernetes take it"
    ),
    "other letter cases": _named({"Auths": {"{h}": {"AUTH": GOOD}}}, True),
    "a helper": _named({"credHelpers": {"{h}": "good"}}, True),
    "a helper over an entry": _named({"credHelpers": {"{h}": "good"}, "auths": {"{h}": {"auth": WRONG}}}, True),
    "a helper over a namespace": _named({"credHelpers": {"{h}": "good"}, "auths": {"{h}/org": {"auth": WRONG}}}, True),
    "a wrong helper": _named({"credHelpers": {"{h}": "wrong"}, "auths": {"{h}": {"auth": GOOD}}}, False),
    "an empty helper": _named({"credHelpers": {"{h}": "empty"}}, False),
    "an empty helper over an entry": _named({"credHelpers": {"{h}": "empty"}, "auths": {"{h}": {"auth": GOOD}}}, False),
    "a helper without the login": _named({"credHelpers": {"{h}": "none"}}, False),
    "a helper, then another file": Case(
        {RUN: {"credHelpers": {"{h}": "none"}}, DOCKER: {"auths": {"{h}": {"auth": GOOD}}}}, {}, True
    ),
    "no helper for this one": _named(
        {"credHelpers": {"{h}": ""}, "credsStore": "wrong", "auths": {"{h}": {"auth": GOOD}}},
        True,
        "an empty name is Docker's way to say that there is none",
    ),
    "another's helper": _named({"credHelpers": {"x.example": "wrong"}, "auths": {"{h}": {"auth": GOOD}}}, True),
    "a helper for all": _named({"credsStore": "good"}, True, "credsStore is Docker's alone"),
    "an empty helper for all": _named({"credsStore": "empty"}, False),
    "an empty helper for all, and an entry": _named({"credsStore": "empty", "auths": {"{h}": {"auth": GOOD}}}, True),
    **{f"the first of the files from {number}": _first(number) for number in range(4)},
    "old, by URL": Case({OLD: {"https://{h}/v1/": {"auth": GOOD, "email": "x"}}}, {}, True),
    "another config directory": Case(
        {"c/containers/auth.json": {"auths": {"{h}": {"auth": GOOD}}}}, {"XDG_CONFIG_HOME": "{d}/c"}, True
    ),
    "Docker's directory": Case({"c/config.json": {"auths": {"{h}": {"auth": GOOD}}}}, {"DOCKER_CONFIG": "{d}/c"}, True),
    "a named file alone": Case({"a.json": {}, RUN: {"auths": {"{h}": {"auth": GOOD}}}}, NAMED, False),
}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    """Run a registry that wants a password, with an image in it."""
    with contextlib.closing(start_registry(tmp_path_factory.mktemp("guarded"), htpasswd=USER)) as registry:
        registry.push("org/app", blobs=[CONFIG, b"layer"], manifests=[("1", make_manifest(CONFIG, b"layer"))])
        yield registry


def _prepare(folder: Path, case: Case, host: str) -> dict[str, str]:
    for name in ("run", "home", "bin"):
        (folder / name).mkdir()
    for name, answer in HELPERS.items():
        (folder / f"bin/docker-credential-{name}").write_text(f"#!/bin/sh\ncat >/dev/null\necho '{answer}'\n")
    (folder / "bin/docker-credential-none").write_text(
        "#!/bin/sh\necho credentials not found in native keychain\nexit 1\n"
    )
    for program in (folder / "bin").iterdir():
        program.chmod(0o755)
    for name, document in case.files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(document).replace("{h}", host))
    environment = {name: value.replace("{d}", str(folder)) for name, value in case.environment.items()}
    own = {"PATH": f"{folder}/bin:/usr/bin:/bin", "HOME": f"{folder}/home", "XDG_RUNTIME_DIR": f"{folder}/run"}
    return {**own, **environment}


def _gets_in(environment: dict[str, str], image: str) -> bool:
    encoded = {os.fsencode(name): os.fsencode(value) for name, value in environment.items()}
    with contextlib.closing(Registry(read_credentials(encoded), environment=encoded)) as registry:
        try:
            registry.store(Reference.parse(image)).top()
        except ImageError as error:
            kind = error.kind
            assert kind == "denied"
            return False
    return True


@pytest.mark.parametrize("name", CASES)
def test_gets_in_where_skopeo_does(guarded: RealRegistry, tmp_path: Path, name: str) -> None:
    """And nowhere else, but where there is a reason."""
    case = CASES[name]
    environment = _prepare(tmp_path, case, guarded.host)
    image = f"{guarded.host}/org/app:1"
    run = subprocess.run(
        ["skopeo", "inspect", "--tls-verify=false", "--raw", f"docker://{image}"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    if not case.other:  # there a newer skopeo may do as we do
        assert (run.returncode == 0) == case.ours, run.stderr
    assert _gets_in(environment, image) == case.ours


def test_looks_where_podman_does_without_a_runtime_directory(guarded: RealRegistry, tmp_path: Path) -> None:
    """In /run/containers/UID, here that of namespaces of its own."""
    (tmp_path / "a.json").write_text(json.dumps({"auths": {guarded.host: {"auth": GOOD}}}))
    (tmp_path / "run.py").write_text(
        "import os, sys\n"
        "from metalauncher.tooling.oci.http.credentials import read_credentials\n"
        f"print(read_credentials(dict(os.environb)).find({guarded.host!r}, 'org/app').source)\n"
    )
    script = "mount -t tmpfs none /run; mkdir -p /run/containers/0; cp a.json /run/containers/0/auth.json; "
    script += f'skopeo inspect --tls-verify=false --raw docker://{guarded.host}/org/app:1 >/dev/null && exec "$@"'
    run = subprocess.run(
        ["unshare", "-Urm", "sh", "-ec", script, "sh", sys.executable, "run.py"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.stdout == f"/run/containers/0/auth.json, entry {guarded.host}\n", run.stderr
