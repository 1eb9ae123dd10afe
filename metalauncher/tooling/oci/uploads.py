"""Send a blob to a repository: begin an upload, send it, go on where it was cut, and end it.

A session is begun with POST, and ended with a PUT that has all of the blob: this alone works everywhere. Amazon's ECR
drops all chunks but the first, and GitHub's takes none above 4 MiB. Where the PUT was cut, or is too large for what is
in between, the next session takes the blob in chunks: each is sent with PATCH, and each answer says where it goes on
(`Location`). After an answer that did not come, the session is asked how much it has; where that is not sure, another
one is begun. No session is ended with DELETE: registries drop what nobody goes on with.

Source: the OCI distribution specification 1.1 ("Pushing blobs").
"""

from __future__ import annotations

import contextlib
import re
from typing import IO, TYPE_CHECKING, Final
from urllib.parse import urlencode

from metalauncher.tooling.oci.http.deadlines import TransportError
from metalauncher.tooling.oci.http.errors import Refused
from metalauncher.tooling.oci.http.proxies import is_loopback
from metalauncher.tooling.oci.http.request import Body
from metalauncher.tooling.oci.http.urls import InvalidUrl, resolve, with_query
from metalauncher.tooling.oci.model import ImageError
from metalauncher.tooling.oci.verified import Verified

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from metalauncher.tooling.oci.http.deadlines import Deadline
    from metalauncher.tooling.oci.http.response import Answer
    from metalauncher.tooling.oci.model import Descriptor
    from metalauncher.tooling.oci.repository import Repository
    from metalauncher.tooling.oci.verified import Readable

    Open = Callable[[], AbstractContextManager[IO[bytes]]]

CHUNK: Final = 4 << 20  # bytes that are held and sent at a time: the most that GitHub takes
LARGEST_CHUNK: Final = 64 << 20  # bytes; a registry that wants larger ones gets blobs as a whole
SESSIONS: Final = 4  # that are begun for one blob
_BUFFER = 64 << 10
_RANGE = re.compile(r"(?:bytes[= ])?0-([0-9]{1,18})")
# What a registry answers that does not know the session any more, or has something else in it than was sent.
_LOST = frozenset((400, 404, 409, 410, 416))
_BEGUN, _TAKEN, _DONE = frozenset((202,)), frozenset((201, 202, 204)), frozenset((201,))
_STATUS = frozenset((200, 202, 204))


class _LostError(Exception):
    """A session can't go on: why, and what the registry answered where it said so."""

    def __init__(self, reason: str, refused: Refused | None = None) -> None:
        super().__init__(reason)
        self.reason: Final = reason
        self.refused: Final = refused


class Session:
    """An upload that a registry has begun.

    Attributes:
        url: where it goes on.
        chunk: bytes to send at a time, where it is not sent as a whole.
        offset: how many bytes it has.
        is_doubtful: whether that is to be asked first.
    """

    __slots__ = ("chunk", "is_doubtful", "offset", "url")

    def __init__(self, answer: Answer) -> None:
        """Begin where the answer says.

        Raises:
            ImageError: it says nothing that can be gone on with.
        """
        if not answer.headers.get("Location"):
            raise ImageError("damaged", f"{answer.host} begins an upload and does not say where")
        self.url = answer.url
        self.follow(answer)
        self.chunk = CHUNK
        self.offset = 0
        self.is_doubtful = False
        least = answer.headers.get("OCI-Chunk-Min-Length", "")
        if least.isdecimal() and len(least) < 20:
            self.chunk = max(CHUNK, int(least))

    def follow(self, answer: Answer) -> None:
        """Take where the upload goes on from an answer; where it says nothing, there is where it was.

        Raises:
            TransportError: it leads where nothing is sent.
        """
        location = answer.headers.get("Location")
        if not location:
            return
        try:
            url = resolve(answer.url, location)
        except InvalidUrl as error:
            raise TransportError(f"{answer.host} wants uploads sent to {error}", retryable=False) from None
        if is_loopback(url.host) and not is_loopback(answer.url.host):
            # What listens here is not for a registry elsewhere to write to.
            raise TransportError(f"{answer.host} wants uploads sent to this machine itself", retryable=False)
        if url.scheme == "http" and answer.url.scheme == "https":
            raise TransportError(f"{answer.host} wants uploads sent over plain HTTP", retryable=False)
        self.url = url


def begin(repository: Repository, blob: Descriptor | None = None, source: str = "") -> Session | None:
    """Begin an upload; with a blob and where else it is, have it mounted from there if the registry does that.

    Returns:
        The session; None where the blob was mounted.

    Raises:
        ImageError: the registry does not begin one.
    """
    query, expected = "", _BEGUN
    if blob is not None and source:
        query, expected = "?" + urlencode({"mount": blob.digest, "from": source}), _BEGUN | _DONE

    def ask(deadline: Deadline) -> Session | None:
        with repository.write("POST", f"blobs/uploads/{query}", "repository", deadline, expected=expected) as answer:
            if blob is not None and answer.status == 201:
                check_digest(answer, blob.digest)
                return None
            return Session(answer)

    return repository.retry(ask)


def send(repository: Repository, blob: Descriptor, open_blob: Open, session: Session | None = None) -> None:
    """Send a blob.

    Args:
        repository: to send it to.
        blob: what it is.
        open_blob: opens it for reading from its beginning; may be called several times.
        session: begun before, and not used yet; None to begin one.

    Raises:
        ImageError: the blob is not there now, or is not what `blob` says.
    """
    failure: ImageError | _LostError | None = None
    is_too_large = False
    for number in range(SESSIONS):
        session = session or begin(repository)
        if session is None:
            return
        in_chunks = session.chunk < blob.size and session.chunk <= LARGEST_CHUNK and (is_too_large or number % 2 == 1)
        try:
            (_send_in_chunks if in_chunks else _send_whole)(repository, session, blob, open_blob)
        except _LostError as lost:
            failure, session = lost.refused or lost, None
            is_too_large = is_too_large or (lost.refused is not None and lost.refused.status == 413)
        except TransportError as error:
            if error.limited or not error.retryable:
                raise
            failure, session = error, None
        else:
            return
    text = f"none of {SESSIONS} uploads to {repository.host} came to its end: {failure.reason if failure else ''}"
    if isinstance(failure, Refused) and failure.kind == "refused":
        raise Refused("refused", text, failure.status, failure.said)
    raise ImageError("unreachable", text)


def has(repository: Repository, blob: Descriptor, deadline: Deadline | None = None) -> bool:
    """Whether a repository has a blob.

    Args:
        repository: that is asked.
        blob: to look for.
        deadline: of what this is a part of; None to begin one.

    Raises:
        ImageError: it does not say.
    """
    return repository.retry(lambda until: _has(repository, blob, until), deadline)


def _has(repository: Repository, blob: Descriptor, deadline: Deadline) -> bool:
    answered = frozenset((200, 404))
    try:
        with repository.write("HEAD", f"blobs/{blob.digest}", "blob", deadline, expected=answered) as answer:
            if answer.status == 200 and not answer.redirected:
                check_digest(answer, blob.digest)
            return answer.status == 200
    except Refused as refused:
        # A storage service that was redirected to may let nobody ask. Then the blob is sent again.
        if not refused.is_redirected:
            raise
        return False


def check_digest(answer: Answer, digest: str) -> None:
    """See whether an answer is about what was asked for.

    Raises:
        ImageError: it names another digest.
    """
    named = answer.headers.get("Docker-Content-Digest") or digest
    if named != digest:
        raise ImageError("damaged", f"{answer.host} answers for {digest} with another digest: {named[:100]!r}")


def _send_whole(repository: Repository, session: Session, blob: Descriptor, open_blob: Open) -> None:
    """Send a blob with the PUT that ends the session."""

    @contextlib.contextmanager
    def open_source() -> Iterator[Readable]:
        with open_blob() as file:
            yield _Checked(file, blob)

    _end(repository, session, blob, Body(blob.size, open_source))


class _Checked:
    """A blob's bytes, of which the last are given only when all of them are known to be right."""

    def __init__(self, file: IO[bytes], blob: Descriptor) -> None:
        self._source: Final = Verified(file, blob)
        self._left = blob.size

    def read(self, size: int, /) -> bytes:
        data = self._source.read(min(size, self._left))
        self._left -= len(data)
        if not self._left:
            self._source.read(1)
        return data


def _send_in_chunks(repository: Repository, session: Session, blob: Descriptor, open_blob: Open) -> None:
    held = memoryview(bytearray(session.chunk))
    start = 0
    with open_blob() as file:
        source = Verified(file, blob)
        while start < blob.size:
            data = _fill(held, source)
            end = start + len(data)
            if end == blob.size or not data:
                source.read(1)  # the end: only now it is known to be the blob
            _patch(repository, session, data, start)
            start = end
    _end(repository, session, blob, None)


def _fill(held: memoryview, source: Verified) -> memoryview:
    """Return what was read into what is held: all of it, less at the end."""
    length = 0
    while length < len(held) and (more := source.readinto(held[length : length + _BUFFER])):
        length += more
    return held[:length]


def _patch(repository: Repository, session: Session, data: memoryview, start: int) -> None:
    """Send one chunk, as much of it as the session does not have."""
    end = start + len(data)
    session.offset = start

    def send_rest(deadline: Deadline) -> None:
        was_asked = session.is_doubtful
        if was_asked:
            repository.retry(lambda until: _ask_offset(repository, session, start, end, until), deadline)
        if session.offset == end:
            session.is_doubtful = False
            return
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Range": f"{session.offset}-{end - 1}",
        }
        rest = data[session.offset - start :]
        session.is_doubtful = True
        try:
            with repository.write(
                "PATCH", str(session.url), "upload", deadline, headers=headers, body=Body.of(rest), expected=_TAKEN
            ) as answer:
                session.follow(answer)
                taken = _offset(answer)
        except Refused as refused:
            if refused.status == 416 and not was_asked:
                raise TransportError(refused.reason) from None  # ask what it has, and go on from there
            if refused.status in _LOST:
                raise _LostError(refused.reason, refused) from None
            raise
        if taken not in {None, end}:
            raise TransportError(f"{repository.host} took {taken} of {end} bytes")
        session.offset = end
        session.is_doubtful = False

    repository.retry(send_rest)


def _ask_offset(repository: Repository, session: Session, start: int, end: int, deadline: Deadline) -> None:
    """Ask a session how much it has.

    Raises:
        _LostError: it does not say, or it is not something between `start` and `end`.
    """
    try:
        with repository.write("GET", str(session.url), "upload", deadline, expected=_STATUS) as answer:
            session.follow(answer)
            offset = _offset(answer)
    except Refused as refused:
        if refused.status in _LOST:
            raise _LostError(refused.reason, refused) from None
        raise
    if offset == 1 and start == 0:
        offset = 0  # `0-0` is said of one byte, and of none; where it was one, it takes no more from the beginning
    if offset is None or not start <= offset <= end:
        raise _LostError(f"{repository.host} has {'an unknown number of' if offset is None else offset} bytes of it")
    session.offset = offset


def _offset(answer: Answer) -> int | None:
    """Return how many bytes a session says that it has; None where it does not say."""
    match = _RANGE.fullmatch(answer.headers.get("Range", ""))
    return int(match[1]) + 1 if match else None


def _end(repository: Repository, session: Session, blob: Descriptor, body: Body | None) -> None:
    """End an upload, with all of the blob or nothing. Where the answer was lost, it may be there all the same."""
    url = with_query(str(session.url), urlencode({"digest": blob.digest}))
    failed = ""

    def end(deadline: Deadline) -> None:
        nonlocal failed
        if failed and has(repository, blob, deadline):
            return
        if failed and body is not None:
            raise _LostError(failed)  # nobody knows how much the session has
        headers = {"Content-Type": "application/octet-stream"}
        try:
            with repository.write("PUT", url, "upload", deadline, headers=headers, body=body, expected=_DONE) as answer:
                check_digest(answer, blob.digest)
        except TransportError as error:
            failed = failed if error.limited else error.reason
            raise
        except Refused as refused:
            if refused.status == 413 and body is not None:
                raise _LostError(refused.reason, refused) from None
            if refused.status not in _LOST:
                raise
            if not has(repository, blob, deadline):
                raise _LostError(refused.reason, refused) from None

    repository.retry(end)
