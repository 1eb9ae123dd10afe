"""Programs that keep logins: what they answer, and how they fail."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from asking import fails
from hypothesis import given
from hypothesis import strategies as st

from metalauncher.tooling.oci.http.credential_helpers import ANSWER_LIMIT, Helpers, parse_answer

if TYPE_CHECKING:
    from metalauncher.tooling.oci.http.login_files import Login

SOURCE = "docker-credential-here, which credsStore of c.json names"


def _install(folder: Path, script: str, name: str = "here") -> dict[bytes, bytes]:
    program = folder / f"docker-credential-{name}"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return {b"PATH": bytes(folder) + b":/usr/bin:/bin"}


def _ask(folder: Path, script: str, seconds: float = 10) -> Login | None:
    return Helpers(_install(folder, script), seconds).ask("here", "h.example", "credsStore", "c.json")


ANSWERS: dict[str, tuple[str, str, str] | None] = {
    '{"ServerURL": "h", "Username": "ann", "Secret": "pw"}': ("ann", "pw", ""),
    '{"username": "ann", "secret": "pw"}': ("ann", "pw", ""),
    '{"Username": "<token>", "Secret": "t"}': ("", "", "t"),
    '{"Username": "", "Secret": "pw"}': ("", "pw", ""),
    '{"ServerURL": "", "Username": "", "Secret": ""}': None,
    '{"Username": "", "Secret": null}': None,
    '{"Username": "<token>", "Secret": ""}': None,
    '{"Username": "ann", "Secret": ""}': ("ann", "", ""),
    '{"ServerURL": "h"}': None,
    "{}": None,
    "null": None,
    " \n": None,
    "": None,
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_reads_an_answer(tmp_path: Path, answer: str) -> None:
    """One with an empty name and secret, or with nothing at all, is that of a helper that has no login."""
    (tmp_path / "answer").write_text(answer)
    login = _ask(tmp_path, f"cat {tmp_path}/answer")
    assert (login and (login.username, login.password, login.identity_token)) == ANSWERS[answer]
    assert login is None or login.source == SOURCE


@pytest.mark.parametrize("stream", ["", " >&2"])
def test_hears_that_there_is_no_login(tmp_path: Path, stream: str) -> None:
    """What docker-credential-helpers says then, on either stream."""
    assert _ask(tmp_path, f'echo "credentials not found in native keychain"{stream}; exit 1') is None


def test_is_asked_once(tmp_path: Path) -> None:
    """For each server; it is told which on its stdin."""
    helpers = Helpers(_install(tmp_path, f'read s; echo "$1 $s" >>{tmp_path}/log; echo "{{}}"'), 10)
    for server in ("a.example", "b.example", "a.example"):
        assert helpers.ask("here", server, "credsStore", "c.json") is None
    assert (tmp_path / "log").read_text() == "get a.example\nget b.example\n"


NO_ANSWER = f"{SOURCE}, did not answer with Username and Secret for h.example"
FAILURES = {
    "echo locked; exit 2": f"{SOURCE}, failed with status 2 for h.example: locked",
    "exit 3": f"{SOURCE}, failed with status 3 for h.example",
    "printf '\\033[31m'; exit 1": f"{SOURCE}, failed with status 1 for h.example: \\x1b[31m",
    "echo token expired, run: cloud login >&2; exit 1": (
        f"{SOURCE}, failed with status 1 for h.example: token expired, run: cloud login"
    ),
    "echo no; printf 'run:\\n  cloud login\\n' >&2; exit 1": (
        f"{SOURCE}, failed with status 1 for h.example: no: run: cloud login"
    ),
    "echo same; echo same >&2; exit 1": f"{SOURCE}, failed with status 1 for h.example: same",
    """echo '{"Username": "ann", "Secret": "x"}'; echo oh >&2; exit 1""": (
        f"{SOURCE}, failed with status 1 for h.example: oh"
    ),
    "kill -9 $$": f"{SOURCE}, failed with status -9 for h.example",
    "echo secret": NO_ANSWER,
    "echo '[]'": NO_ANSWER,
    "echo 1": NO_ANSWER,
    """echo '{"Username": 1, "Secret": "x"}'""": NO_ANSWER,
    "echo not signed in >&2; echo oops": f"{NO_ANSWER}: not signed in",
    "yes": NO_ANSWER,
    "sleep 60 & exit 0": f"{SOURCE}, did not answer within 0.4 seconds for h.example",
    "exec sleep 60": f"{SOURCE}, did not answer within 0.4 seconds for h.example",
    "exec >&-; exec sleep 60": f"{SOURCE}, did not answer within 0.4 seconds for h.example",
    "exec >&- 2>&-; exec sleep 60": f"{SOURCE}, did not answer within 0.4 seconds for h.example",
    "echo open https://login.example >&2; exec sleep 60": (
        f"{SOURCE}, did not answer within 0.4 seconds for h.example: open https://login.example"
    ),
}


@pytest.mark.parametrize("script", FAILURES)
def test_says_what_is_wrong_with_a_helper(tmp_path: Path, script: str) -> None:
    """In bounded time, with its reason from either stream; never with what it said as an answer."""
    with fails("denied", FAILURES[script]):
        _ask(tmp_path, script.replace("sleep 60", "sleep 2"), seconds=0.4 if "sleep" in script else 20)


def test_keeps_the_end_of_what_is_said(tmp_path: Path) -> None:
    """However much it is: the last line of a traceback is what helps."""
    script = "i=0; while [ $i -lt 20000 ]; do echo some line of a log; i=$((i + 1)); done >&2; echo at last >&2; exit 1"
    with pytest.raises(Exception, match=r"status 1 for h\.example: ….* some line of a log at last$") as caught:
        _ask(tmp_path, script)
    assert len(str(caught.value)) < 600


def test_does_not_wait_for_what_a_helper_left_behind(tmp_path: Path) -> None:
    """An agent that it started, and that keeps its stderr, is not waited for."""
    started = time.monotonic()
    login = _ask(tmp_path, """sleep 20 >/dev/null & echo '{"Username": "ann", "Secret": "pw"}'""")
    assert login is not None
    assert login.username == "ann"
    assert time.monotonic() - started < 15


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("none", "docker-credential-none, which credsStore of c.json names, is not installed"),
        ("../x", "c.json, credsStore: '../x' is not a credential helper's name"),
        ("", "c.json, credsStore: '' is not a credential helper's name"),
        (1, "c.json, credsStore: '1' is not a credential helper's name"),
        ("broken", "docker-credential-broken, which credsStore of c.json names: exec format error"),
    ],
)
def test_says_that_a_helper_is_missing_or_no_program(tmp_path: Path, name: Any, reason: str) -> None:
    """Its name is not a path, and PATH decides where it is."""
    (tmp_path / "docker-credential-broken").write_bytes(b"\x7fELFnot")
    (tmp_path / "docker-credential-broken").chmod(0o755)
    helpers = Helpers({b"PATH": bytes(tmp_path)}, 10)
    for _ in range(2):  # what is remembered says the same
        with fails("denied", reason):
            helpers.ask(name, "h.example", "credsStore", "c.json")


FIELDS = st.none() | st.text(max_size=5) | st.integers()


@given(
    st.binary(max_size=60)
    | st.fixed_dictionaries({}, optional={"Username": FIELDS, "Secret": FIELDS, "ServerURL": FIELDS}).map(
        lambda document: json.dumps(document).encode()
    )
)
def test_reads_any_answer(answer: bytes) -> None:
    """There is a login, there is none, or it is no answer."""
    try:
        login = parse_answer(answer, "x")
    except ValueError:
        return
    assert login is None or login.username or login.secrets()


@pytest.mark.parametrize("answer", [b"[" * 50_000, b'{"Secret": "' + b"x" * ANSWER_LIMIT + b'"}', b"\xff"])
def test_refuses_a_hostile_answer(answer: bytes) -> None:
    """Too deep, too long, not UTF-8."""
    with pytest.raises(ValueError, match=r"."):
        parse_answer(answer, "x")
