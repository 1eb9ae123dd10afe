"""What urllib3 lacks: reads that end by a deadline, errors in our own words. Knows no registry."""

from __future__ import annotations

import contextvars
import http.client
import io
import ssl
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import urllib3
import urllib3.connection
import urllib3.exceptions as urllib3_errors

from metalauncher.errnos import errno_text
from metalauncher.tooling.oci.model import ImageError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from metalauncher.tooling.oci.verified import Readable


SLOWEST: Final = 64 << 10  # bytes a second that an answer may come at


class TransportError(ImageError):
    """A request had no answer, or half of one.

    Attributes:
        retryable: whether another attempt may have an answer.
        plain: whether the other side may be one that speaks no TLS.
        limited: whether it was asked too much, which `pace` knows of.
    """

    def __init__(self, reason: str, *, retryable: bool = True, plain: bool = False, limited: bool = False) -> None:
        """Hold what is wrong."""
        super().__init__("unreachable", reason)
        self.retryable: Final = retryable
        self.plain: Final = plain
        self.limited: Final = limited


class Deadline:
    """When something has to be over.

    Attributes:
        began: when it was begun, by the clock.
    """

    __slots__ = ("_clock", "_end", "began")

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        """Begin now."""
        self._clock = clock
        self.began: Final = clock()
        self._end = self.began + seconds

    def put_off(self, seconds: float) -> None:
        """Let it be over later: that time was spent waiting for a turn."""
        self._end += seconds

    def earn(self, size: int) -> None:
        """Let it be over later: so many bytes have come, and may have taken their time.

        It goes by what has come, not by what is said to come: that may be anything.
        """
        self._end += size / SLOWEST

    def remaining(self) -> float:
        """Return seconds, 0 or less when it is over."""
        return self._end - self._clock()

    def within(self, seconds: float) -> float:
        """Return how long to wait for one thing that may take `seconds`.

        Raises:
            TimeoutError: it is over.
        """
        remaining = self.remaining()
        if remaining <= 0:
            raise TimeoutError
        return min(seconds, remaining)


# urllib3 makes the connections that read the answers, and has no way to hand them more than a time-out for each read. A
# server that sends a byte of a header now and then keeps within that for days. It also writes URLs as it likes them.
class Current(NamedTuple):
    """What the request that is being made must keep to.

    Attributes:
        deadline: of the whole.
        seconds: to wait for the next bytes.
        target: what to ask for, byte for byte.
    """

    deadline: Deadline
    seconds: float
    target: str


CURRENT: contextvars.ContextVar[Current | None] = contextvars.ContextVar("CURRENT", default=None)


class Sending:
    """A request's body, sent block by block before the deadline, which each block that went puts off."""

    def __init__(self, source: Readable, size: int, deadline: Deadline) -> None:
        """Take what gives it, how many bytes it has, and until when it is to be sent."""
        self._source: Final = source
        self._left = size
        self._deadline: Final = deadline
        self._last = 0

    def read(self, size: int) -> bytes:
        """Return the next block; whoever asks has sent the one before.

        Raises:
            TimeoutError: it took too long.
            ImageError: the source has an error.
        """
        self._deadline.earn(self._last)
        self._deadline.within(1)
        block = self._source.read(min(size, self._left)) if self._left else b""
        self._last = len(block)
        self._left -= self._last
        return block


class _Timed(io.RawIOBase):
    """What a socket receives, before the deadline."""

    def __init__(self, raw: io.RawIOBase, connection: socket.socket, deadline: Deadline, seconds: float) -> None:
        self._raw = raw
        self._connection = connection
        self._deadline = deadline
        self._seconds = seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._connection.settimeout(self._deadline.within(self._seconds))
        length = self._raw.readinto(buffer)
        self._deadline.earn(length or 0)
        return length

    def close(self) -> None:
        self._raw.close()
        super().close()


class _TimedResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *arguments: Any, **keywords: Any) -> None:
        super().__init__(sock, *arguments, **keywords)
        current = CURRENT.get()
        if current is not None:
            self.fp = io.BufferedReader(_Timed(self.fp.detach(), sock, current.deadline, current.seconds))

    def begin(self) -> None:
        """Read status and headers: those of the answer itself, after any that tell of it (RFC 9110, 15.2)."""
        super().begin()
        while 100 <= self.status < 200 and self.status != http.client.SWITCHING_PROTOCOLS:
            self.headers = self.msg = None  # type: ignore[assignment]  # so that it reads them again
            super().begin()


class _Verbatim(urllib3.connection.HTTPConnection):
    def putrequest(self, method: str, url: str, skip_host: bool = False, skip_accept_encoding: bool = False) -> None:  # noqa: FBT002  # as its base has it
        current = CURRENT.get()
        super().putrequest(method, current.target if current else url, skip_host, skip_accept_encoding)


class _PlainConnection(_Verbatim):
    response_class = _TimedResponse


class _TlsConnection(_Verbatim, urllib3.connection.HTTPSConnection):
    response_class = _TimedResponse


class PlainPool(urllib3.HTTPConnectionPool):
    """Connections without TLS."""

    ConnectionCls = _PlainConnection


class TlsPool(urllib3.HTTPSConnectionPool):
    """Connections with TLS."""

    ConnectionCls = _TlsConnection


def _causes(error: BaseException | None) -> list[BaseException]:
    """Return an error and what led to it, as urllib3 and Python link them, no more than eight."""
    causes: list[BaseException] = []
    while error is not None and len(causes) < 8:
        causes.append(error)
        nested = error.args[-1] if error.args and isinstance(error.args[-1], Exception) else None
        error = error.__cause__ or error.__context__ or nested
    return causes


def transport_error(  # noqa: C901, PLR0911  # one kind of failure each, in the order in which they are told apart
    error: Exception, host: str, proxy: str = "", trusted: str = ""
) -> TransportError:
    """Say what an error means; never in its own words, which may hold a URL with secrets in it.

    Args:
        error: as it was raised.
        host: that was asked.
        proxy: the variable that names the one that it was asked through; "" for none.
        trusted: whose certificates are.
    """
    who = host
    if proxy:
        # Which of the two did not answer is unknown.
        who = (
            f"the proxy for {host} ({proxy})"
            if isinstance(error, urllib3_errors.ProxyError)
            else f"{host} (by way of {proxy})"
        )
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            reason = f"{who}: its certificate is not trusted: {cause.verify_message}; trusted are {trusted}"
            return TransportError(f"{reason}; --ca-file FILE adds others", retryable=False)
        if isinstance(cause, urllib3_errors.NameResolutionError):
            return TransportError(f"{who}: its name is not known")
        if isinstance(cause, urllib3_errors.NewConnectionError):  # a time-out by its base; what it is comes next
            continue
        if isinstance(cause, urllib3_errors.ConnectTimeoutError):
            return TransportError(f"{who} did not take a connection in time", plain=True)
        if isinstance(cause, TimeoutError | urllib3_errors.TimeoutError):
            return TransportError(f"{who} did not answer in time", plain=True)
        if isinstance(cause, ssl.SSLError):
            return TransportError(f"{who} does not speak TLS as is expected", plain=True)
        if isinstance(cause, ConnectionRefusedError):
            return TransportError(f"{who} refused the connection", plain=True)
        if isinstance(cause, ConnectionError | urllib3_errors.IncompleteRead | http.client.IncompleteRead):
            return TransportError(f"{who} cut the connection", plain=True)
        if isinstance(cause, OSError) and cause.errno is None and isinstance(error, urllib3_errors.ProxyError):
            # It answered CONNECT with an error, which http.client tells as an OSError of its own.
            return TransportError(f"{who} does not connect to it", retryable=False, plain=True)
        if isinstance(cause, OSError) and not isinstance(cause, urllib3_errors.HTTPError):
            return TransportError(f"{who}: {errno_text(cause.errno)}", plain=True)
    return TransportError(f"{who} gave an answer that is not HTTP", plain=True)
