"""What `check` says of logins and busy registries, as a whole program."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import images
import pytest
from bundles import Answer, as_process
from harness import PROJECT
from rebased import World, metadata
from registries import HostileRegistry, Reply, Request, auth, basic, hostile

LOGIN = ("ann", "pw")
APP = "team/app:1"


class Served:
    """A registry with one app that wants a login, as the test says."""

    def __init__(self, world: World) -> None:
        """Take the image."""
        self.world = world
        self.busy = 0
        self.login = True
        tag = world.app(images.make_app("served", metadata("0.10"), "0.12"))
        entry = next(e for e in world.layout.entries if e["annotations"][images.REF_NAME] == tag)
        self.digest, self.kind = entry["digest"], entry["mediaType"]

    def __call__(self, request: Request) -> Reply:
        """Answer."""
        if self.busy:
            self.busy -= 1
            return Reply("429 Too Many Requests", headers={"Retry-After": "1"})
        if self.login and request.headers.get("Authorization") != basic(*LOGIN):
            return Reply("401 Unauthorized", headers={"WWW-Authenticate": 'Basic realm="x"'})
        if "/manifests/" in request.path:
            return Reply(body=self.world.layout.blob(self.digest).read_bytes(), headers={"Content-Type": self.kind})
        return Reply(body=self.world.layout.blob(request.path.rpartition("/")[2]).read_bytes())

    def check(self, server: HostileRegistry, *options: str, **environ: str) -> Answer:
        """Check the app."""
        run_image = self.world.reference("new")
        return as_process(
            "check", f"{server.host}/{APP}", "--run-image", run_image, "--no-cache", *options, environ=environ
        )


@pytest.fixture
def served(world: World) -> Served:
    """Return the registry's content."""
    return Served(world)


@pytest.fixture
def server(served: Served) -> Iterator[HostileRegistry]:
    """Run the registry."""
    with hostile(served) as running:
        yield running


def test_warns_and_goes_on(served: Served, server: HostileRegistry, tmp_path: Path) -> None:
    """Of a file that nobody named: on stderr, once; the answer is the same, also in JSON."""
    file = tmp_path / ".docker/config.json"
    file.parent.mkdir()
    file.write_text("{")
    served.login = False
    for options in ([], ["--json"]):
        answer = served.check(server, *options, HOME=str(tmp_path), XDG_RUNTIME_DIR=str(tmp_path))
        assert answer.code == 0
        assert answer.err == (
            f"Warning: {file}: is not JSON: line 1, column 2: Expecting property name enclosed in double quotes:"
            " continuing without these logins\n"
        )
    assert answer.document["counts"]["starts"] == 1


def test_refuses_a_named_file(served: Served, server: HostileRegistry, tmp_path: Path) -> None:
    """Though nobody asks for a login: it was named; nothing is asked of the registry."""
    served.login = False
    answer = served.check(server, REGISTRY_AUTH_FILE=str(tmp_path / "none"))
    assert (answer.code, answer.out) == (3, "")
    assert answer.err.startswith(f"ERROR: {tmp_path}/none, which REGISTRY_AUTH_FILE names: is not there\n")
    assert server.requests == []


def test_reads_as_somebody_else_than_the_home_s_owner(tmp_path: Path) -> None:
    """A container that runs as another user with HOME=/root: nobody asked for a login."""
    home = tmp_path / "home"
    (home / ".docker").mkdir(parents=True)
    (home / ".docker/config.json").write_text(json.dumps({"auths": {}}))
    home.chmod(0)
    program = (
        "import os, sys\n"
        "import metalauncher.tooling.oci.http.credentials as c\n"
        "if os.geteuid() == 0:\n    os.setresuid(65532, 65532, 65532)\n"
        "c.read_credentials(dict(os.environb), print)\n"
        f"os.environb[b'DOCKER_CONFIG'] = os.fsencode({str(home / '.docker')!r})\n"
        "try:\n    c.read_credentials(dict(os.environb), print)\n"
        "except c.Unable as unable:\n    print(unable.headline)\n"
    )
    environ = {"HOME": str(home), "PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT)}
    run = subprocess.run(
        [sys.executable, "-c", program], env=environ, cwd="/", capture_output=True, text=True, timeout=60
    )
    home.chmod(0o700)
    names = [".config/containers/auth.json", ".docker/config.json", ".dockercfg"]
    listed = ", ".join(f"{home}/{name}" for name in names)
    assert run.stdout == (
        f"{listed}: permission denied: continuing without these logins\n"
        f"{home}/.docker/config.json, which DOCKER_CONFIG names: permission denied\n"
    ), run.stderr


def test_says_which_login_was_used(served: Served, server: HostileRegistry, tmp_path: Path) -> None:
    """The right one, a wrong one, none."""
    file = tmp_path / "auth.json"
    for name, reason in (
        (server.host, ""),
        ("other.example", f"{server.host} wants a login, and none was found in {file}"),
    ):
        file.write_text(json.dumps({"auths": {name: {"auth": auth(*LOGIN)}}}))
        answer = served.check(server, "--json", REGISTRY_AUTH_FILE=str(file))
        (result,) = answer.document["results"]
        assert (answer.code, result["kind"]) == ((3, "unknown") if reason else (0, "starts"))
        assert not reason or result["reason"] == reason


def test_waits_for_a_busy_registry(served: Served, server: HostileRegistry) -> None:
    """Up to --timeout, which says so where that is not enough."""
    served.login, served.busy = False, 2
    assert served.check(server).code == 0
    served.busy = 1
    started = time.monotonic()
    answer = served.check(server, "--timeout", "0.5", "--json")
    assert time.monotonic() - started < 60
    (result,) = answer.document["results"]
    assert (answer.code, result["kind"]) == (3, "unknown")
    assert result["reason"] == (
        f"{server.host} answered 429 Too Many Requests: it asks to wait for longer than --timeout"
    )


@pytest.mark.parametrize("value", ["0", "-1", "x", "nan", "inf"])
def test_refuses_a_senseless_timeout(served: Served, server: HostileRegistry, value: str) -> None:
    """It is a positive number of seconds."""
    answer = served.check(server, f"--timeout={value}")
    assert answer.code == 3
    assert "argument --timeout: " in answer.err
    assert server.requests == []
