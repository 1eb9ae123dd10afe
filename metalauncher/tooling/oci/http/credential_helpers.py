"""Programs that keep logins: `docker-credential-NAME get`, by the protocol of docker-credential-helpers. Knows no HTTP.

A helper that has no login says so, or answers with nothing. One that fails says why on stdout, as the protocol has it,
or on stderr, as those of clouds do: both are passed on.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from metalauncher.errnos import errno_text
from metalauncher.explain.terminal import printable
from metalauncher.tooling.console import decode
from metalauncher.tooling.oci.http.login_files import Login, whole_characters
from metalauncher.tooling.oci.model import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ANSWER_LIMIT: Final = 64 << 10  # bytes of a helper's answer; the largest tokens have a few thousand
HELPER_SECONDS: Final = 30.0  # some ask a cloud's servers, or a person
_ABSENT = "credentials not found"  # in what docker-credential-helpers says of a server that it has no login for
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
_QUOTE = 400  # characters of a helper's own words
_TOKEN_USER = "<token>"  # noqa: S105  # what stands in place of a user's name
_POLL = 20  # milliseconds
_LAST_WORDS = 64  # times that what a program left in its pipes is read; others may go on to fill them


class Helpers:
    """All helpers; each is asked once for a server, for it may be slow, and thousands of images come from one."""

    def __init__(self, environment: Mapping[bytes, bytes], seconds: float) -> None:
        """Take the environment.

        Args:
            environment: for helpers; PATH says where they are.
            seconds: how long to wait for one.
        """
        self._environment = environment
        self._seconds = seconds
        self._lock = threading.Lock()
        self._answers: dict[tuple[str, str], Login | ImageError | None] = {}

    def ask(self, name: Any, server: str, key: str, file: str) -> Login | None:
        """Return the login that a helper has for a server; None if it has none.

        Args:
            name: of the helper, without `docker-credential-`.
            server: to ask for.
            key: of the file that names the helper, for messages.
            file: that names it.

        Raises:
            ImageError: it can't be asked, or fails.
        """
        if not isinstance(name, str) or not name or not _LETTERS.issuperset(name):
            raise ImageError("denied", f"{file}, {key}: {str(name)[:100]!r} is not a credential helper's name")
        with self._lock:
            if (name, server) not in self._answers:
                source = f"docker-credential-{name}, which {key} of {file} names"
                try:
                    self._answers[name, server] = self._run(f"docker-credential-{name}", server, source)
                except ImageError as error:
                    self._answers[name, server] = error
            answer = self._answers[name, server]
        if isinstance(answer, ImageError):
            raise ImageError(answer.kind, answer.reason)
        return answer

    def _run(self, program: str, server: str, source: str) -> Login | None:
        path = shutil.which(program, path=decode(self._environment.get(b"PATH", os.defpath.encode())))
        if path is None:
            raise ImageError("denied", f"{source}, is not installed")
        words = bytearray()
        try:
            code, answer = _converse(path, server, self._environment, self._seconds, words)
        except TimeoutError:
            reason = f"{source}, did not answer within {self._seconds:g} seconds for {server}"
            raise ImageError("denied", reason + _after(_last(words))) from None
        except OSError as error:
            raise ImageError("denied", f"{source}: {errno_text(error.errno)}") from None
        if code != 0:
            # An answer all the same is not for messages: it is a login.
            said = b"" if answer.lstrip().startswith(b"{") else answer
            told = [text for text in (_first(said), _last(words)) if text]
            if any(_ABSENT in text for text in told):
                return None
            raise ImageError("denied", f"{source}, failed with status {code} for {server}{_after(*told)}")
        try:
            return parse_answer(answer, source)
        except ValueError:
            # What it said in place of an answer may be a password.
            reason = f"{source}, did not answer with Username and Secret for {server}"
            raise ImageError("denied", reason + _after(_last(words))) from None


def parse_answer(answer: bytes, source: str) -> Login | None:
    """Parse what a helper answers with; None where it has no login: name and secret are empty, or not there.

    Raises:
        ValueError: it is no answer.
    """
    if len(answer) > ANSWER_LIMIT:
        raise ValueError("it is too long")
    if not answer.strip():
        return None
    try:
        document = json.loads(answer)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    if document is None:
        return None
    if not isinstance(document, dict):
        raise ValueError("it is not an object")  # noqa: TRY004  # it is what was said
    fields = {key.lower(): value for key, value in document.items()}  # as Go's decoder takes them
    username, secret = fields.get("username") or "", fields.get("secret") or ""
    if not isinstance(username, str) or not isinstance(secret, str):
        raise ValueError("it has something else than strings")  # noqa: TRY004  # the same
    username, secret = whole_characters(username), whole_characters(secret)
    if not secret and username in {"", _TOKEN_USER}:
        return None
    if username == _TOKEN_USER:
        return Login("", "", secret, source=source)
    return Login(username, secret, source=source)


def _after(*told: str) -> str:
    """Return a helper's own words, each once, as the end of a message."""
    return "".join([f": {text}" for text in dict.fromkeys(told) if text])


def _first(said: bytes) -> str:
    text = _one_line(said)
    return printable(text if len(text) <= _QUOTE else text[:_QUOTE] + "…")


def _last(said: bytes | bytearray) -> str:
    """Return the end of what was said: that of a traceback, or of a log, is what helps."""
    text = _one_line(said)
    return printable(text if len(text) <= _QUOTE else "…" + text[-_QUOTE:])


def _one_line(said: bytes | bytearray) -> str:
    return " ".join(said.decode("utf-8", "replace").split())


def _converse(  # noqa: C901  # one conversation: parted, each part would need all of its state
    program: str, server: str, environment: Mapping[bytes, bytes], seconds: float, words: bytearray
) -> tuple[int, bytes]:
    """Ask a helper for a server's login; return its exit status and what it said, no more than a little over the limit.

    Args:
        program: to start.
        server: to ask for.
        environment: of the program.
        seconds: to wait.
        words: is filled with the end of what it says on stderr, also where this raises.

    Raises:
        TimeoutError: it took too long.
        OSError: it can't be started.
    """
    deadline = time.monotonic() + seconds
    said = bytearray()

    def left() -> float:
        return max(deadline - time.monotonic(), 0)

    with subprocess.Popen(  # noqa: S603  # the program that the file names, found as docker finds it
        [program, "get"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(environment),
    ) as process:
        try:
            if process.stdin is None or process.stdout is None or process.stderr is None:
                raise AssertionError("all are pipes")
            try:
                process.stdin.write(server.encode())
                process.stdin.close()
            except BrokenPipeError:  # it did not care to read
                pass
            ears = {process.stdout.fileno(): said.extend, process.stderr.fileno(): _keep_the_end(words)}
            poll = select.poll()
            for descriptor in ears:
                poll.register(descriptor, select.POLLIN)
            _listen(poll, ears, process.stdout.fileno(), said, left)
            if len(said) > ANSWER_LIMIT:
                process.kill()
            # What it started may go on, with its stderr: only its own end is waited for.
            while process.poll() is None:
                if not left():
                    raise TimeoutError
                _hear(poll, ears, _POLL)
            for _ in range(_LAST_WORDS):
                if not _hear(poll, ears, 0):
                    break
            code = process.returncode
        finally:
            process.kill()  # where it has ended, this does nothing
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()
    # Killed for saying too much: the caller sees by the length what it was.
    return (0 if len(said) > ANSWER_LIMIT else code), bytes(said)


def _keep_the_end(words: bytearray) -> Callable[[bytes], None]:
    def keep(data: bytes) -> None:
        words.extend(data)
        del words[:-ANSWER_LIMIT]

    return keep


def _listen(
    poll: select.poll,
    ears: dict[int, Callable[[bytes], None]],
    output: int,
    said: bytearray,
    left: Callable[[], float],
) -> None:
    """Listen until the output ends, or there is too much of it."""
    while output in ears and len(said) <= ANSWER_LIMIT:
        if not _hear(poll, ears, left() * 1000):
            raise TimeoutError


def _hear(poll: select.poll, ears: dict[int, Callable[[bytes], None]], milliseconds: float) -> bool:
    """Take what is said within some time; return whether there was anything, be it an end."""
    if not ears:
        time.sleep(milliseconds / 1000)
        return False
    events = poll.poll(milliseconds)
    for descriptor, _ in events:
        data = os.read(descriptor, ANSWER_LIMIT)
        if data:
            ears[descriptor](data)
        else:
            poll.unregister(descriptor)
            del ears[descriptor]
    return bool(events)
