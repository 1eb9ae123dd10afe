"""An HTTP answer: its status, its headers, its body within bounds, and what a `Content-Encoding` made of that.

We ask for what is there as it is (`Accept-Encoding: identity`). A proxy may compress all the same; then it is undone.
And a storage service may only repeat what it was told when a compressed layer was uploaded; then there is nothing to be
undone. The bytes themselves tell, and in the end the digest. Source: RFC 9110, 8.4.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import zlib
from typing import TYPE_CHECKING, Any, Final

import urllib3.exceptions as urllib3_errors

from metalauncher.explain.terminal import printable
from metalauncher.files import size_text
from metalauncher.tooling.oci.compression import HEAD, compression_of, decompressed
from metalauncher.tooling.oci.http.deadlines import TransportError, transport_error
from metalauncher.tooling.oci.http.errors import ERROR_LIMIT, words
from metalauncher.tooling.oci.model import ImageError

if TYPE_CHECKING:
    from typing import Self

    import urllib3

    from metalauncher.tooling.oci.http.urls import Url
    from metalauncher.tooling.oci.model import Descriptor
    from metalauncher.tooling.oci.verified import Readable

_SKIPPABLE = 64 << 10  # bytes of a body that nobody wants: read, so that the connection can be used again
_CHUNK = 64 << 10
_PREFIX = 4096  # bytes of what is compressed that are looked into
_ENCODINGS = {"gzip": "gzip", "x-gzip": "gzip", "zstd": "zstd", "deflate": "deflate"}
_ZLIB = {"gzip": 31, "deflate": 15}  # window bits, as zlib takes them


class Answer:
    """A response whose body is still to be read; close it.

    Attributes:
        status: the code.
        headers: by any case.
        host: that answered, and if it was not asked itself, who redirected to it.
        url: that was asked in the end.
        redirected: whether it is another than the one that was asked.
        limited: whether it says that its host is asked too much.
        waitable: whether it can be waited for that this has changed.
        encodings: what its body was put through, in order; nothing for what is as it is.
    """

    def __init__(
        self,
        response: urllib3.BaseHTTPResponse,
        host: str,
        url: Url,
        *,
        redirected: bool = False,
        limited: bool = False,
        waitable: bool = True,
    ) -> None:
        """Hold it."""
        self._response = response
        self.status: Final = response.status
        self.headers: Final = response.headers
        self.host: Final = host
        self.url: Final = url
        self.redirected: Final = redirected
        self.limited: Final = limited
        self.waitable: Final = waitable
        self.encodings: Final = parse_encodings(response.headers.get("Content-Encoding", ""))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def length(self) -> int | None:
        """Return how long the body says it is."""
        value = self.headers.get("Content-Length", "")
        return int(value) if value.isdecimal() and len(value) < 20 else None

    def read(self, amount: int) -> bytes:
        """Return the next bytes as they came, fewer than `amount` only at the end.

        Raises:
            TransportError: there are more, but they don't come.
        """
        data = b""
        try:
            while len(data) < amount and (more := self._response.read(amount - len(data), decode_content=False)):
                data = data + more if data else more
        except (urllib3_errors.HTTPError, OSError, http.client.HTTPException, ValueError) as error:
            raise transport_error(error, self.host) from None
        return data

    def whole(self, limit: int, what: str) -> bytes:
        """Return all of the body.

        Raises:
            ImageError: there is more than `limit` bytes of it, or it does not come.
        """
        source = self.content()
        parts, left = [], limit + 1
        if (self.length() or 0) <= limit:
            while left and (data := source.read(min(left, _CHUNK))):
                parts.append(data)
                left -= len(data)
        else:
            left = 0
        if not left:
            raise ImageError("too-large", f"{what} is larger than {size_text(limit)}")
        return b"".join(parts)

    def busy(self, reason: str) -> TransportError:
        """Return the error that an answer is, other than for good: to ask again after, if that helps.

        Args:
            reason: what it is.
        """
        if not self.waitable:
            reason += ": it asks to wait for longer than --timeout"
        return TransportError(reason, retryable=self.waitable, limited=self.limited)

    def words(self, secrets: tuple[str, ...]) -> str:
        """Return what the server says of an error; "" where it says nothing, or that does not come.

        Args:
            secrets: that must not come back out, whoever repeats them.
        """
        try:
            return words(self.content().read(ERROR_LIMIT), secrets)
        except ImageError:
            return ""

    def content(self, descriptor: Descriptor | None = None) -> Readable:
        """Return what to read the content from: the body, or what it was before it was put through an encoding.

        Args:
            descriptor: of the content, if there is one.

        Raises:
            ImageError: it was put through what is not undone here, or is not as long as the descriptor says.
        """
        length = self.length()
        if not self.encodings or (descriptor is not None and length == descriptor.size):
            if descriptor is not None and length is not None and length != descriptor.size:
                raise ImageError("damaged", f"{self.host} serves {length} bytes, not {descriptor.size}")
            return self
        raw = io.BufferedReader(_Raw(self), _CHUNK)
        head = raw.peek(_PREFIX)[:_PREFIX]
        if len(self.encodings) > 1 or self.encodings[0] not in _ENCODINGS:
            if _is_plain(head, "" if descriptor is None else descriptor.media_type):
                return raw
            names = ", ".join(self.encodings)
            reason = f"{self.host} sends it with Content-Encoding {names!r}, though it was asked for none"
            raise ImageError("unsupported", f"{reason}; gzip, deflate or zstd would be undone")
        encoding = _ENCODINGS[self.encodings[0]]
        # Where the length is another than the content's, the body can't be the content itself.
        own = "" if descriptor is None or length is not None else descriptor.media_type
        if not _is_encoded(head, encoding, own):
            return raw
        return _Decoded(raw, encoding, self.host)

    def close(self) -> None:
        """Give the connection back; where too much of the body is left, end it."""
        left = self._response.length_remaining  # 0 for HEAD, and for what has no body
        if left is not None and left <= _SKIPPABLE:
            with contextlib.suppress(TransportError):
                self.read(left + 1)  # only its end lets the connection be used again, even where that is its beginning
        self._response.close()
        self._response.release_conn()


def parse_encodings(header: str) -> tuple[str, ...]:
    """Return the names in a `Content-Encoding`, in lower case, without `identity`, made printable."""
    names = [printable(name.strip().lower()[:40]) for name in header[:1000].split(",")]
    return tuple([name for name in names if name not in {"", "identity"}])


def _is_encoded(head: bytes, encoding: str, media_type: str) -> bool:
    """Whether a body is what a `Content-Encoding` says, or the header only says what the content is in itself.

    Args:
        head: the body's beginning.
        encoding: that the header names.
        media_type: of the content: where that is compressed in itself, the same must come out again; "" for any.
    """
    if encoding == "deflate":
        return _inflate_head(head) is not None
    if compression_of(head[:HEAD]) != encoding:
        return False
    own = _own_compression(media_type)
    if not own:
        return True
    try:
        with decompressed(io.BufferedReader(io.BytesIO(head))) as stream:
            return compression_of(stream.read(HEAD)) == own
    except ImageError:
        return False


def _is_plain(head: bytes, media_type: str) -> bool:
    """Whether a body is its content, whatever its header says: S3 keeps `aws-chunked`, that of an upload, for ever."""
    own = _own_compression(media_type)
    return compression_of(head[:HEAD]) == own if own else head.lstrip()[:1] == b"{"


def _own_compression(media_type: str) -> str:
    own = media_type.rpartition("+")[2].rpartition(".")[2]
    return own if own in {"gzip", "zstd"} else ""


def _inflate_head(head: bytes) -> int | None:
    """Return the window bits with which something deflated is read: with zlib's frame, or as some do it, without."""
    for bits in (_ZLIB["deflate"], -_ZLIB["deflate"]):
        try:
            if zlib.decompressobj(bits).decompress(head, 1) or not head:
                return bits
        except zlib.error:
            continue
    return None


class _Raw(io.RawIOBase):
    """An answer's body as it came."""

    def __init__(self, answer: Answer) -> None:
        self._answer: Final = answer

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed's buffer has no length
        data = self._answer.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class _Decoded:
    """What a body was before it was encoded; damage is said to be that of the encoding."""

    def __init__(self, raw: io.BufferedReader[Any], encoding: str, host: str) -> None:
        self._what: Final = f"{host} sends it with Content-Encoding {encoding!r}, and it is damaged"
        self._stack: Final = contextlib.ExitStack()
        self._source: Final[Readable] = (
            _Inflated(raw) if encoding == "deflate" else self._stack.enter_context(decompressed(raw))
        )

    def read(self, size: int, /) -> bytes:
        try:
            return self._source.read(size)
        except TransportError:
            raise
        except (ImageError, zlib.error, EOFError):
            raise ImageError("damaged", self._what) from None


class _Inflated:
    """What was deflated."""

    def __init__(self, raw: io.BufferedReader[Any]) -> None:
        self._raw: Final = raw
        self._inflater: Final = zlib.decompressobj(_inflate_head(raw.peek(_PREFIX)[:_PREFIX]) or _ZLIB["deflate"])

    def read(self, size: int, /) -> bytes:
        while not self._inflater.eof:
            data = self._inflater.unconsumed_tail or self._raw.read(_CHUNK)
            # Without more to take it may still have more to give.
            if out := self._inflater.decompress(data, size):
                return out
            if not data and not self._inflater.eof:
                raise EOFError
        return b""
