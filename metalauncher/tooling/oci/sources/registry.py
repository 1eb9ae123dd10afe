"""Images in registries, by the OCI distribution protocol: all content is verified by digest.

Source: the OCI distribution specification 1.1 (pulling manifests, pulling blobs). Needs urllib3, which the extra
`check` brings.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import random
import threading
import time
from typing import IO, TYPE_CHECKING, Final

from metalauncher.tooling.oci.destination import Destination
from metalauncher.tooling.oci.http.authorize import Authorizer
from metalauncher.tooling.oci.http.challenge import parse_challenges
from metalauncher.tooling.oci.http.deadlines import Deadline, TransportError
from metalauncher.tooling.oci.http.errors import refusal, status_text
from metalauncher.tooling.oci.http.rate_limit import Pace
from metalauncher.tooling.oci.http.request import Access, Request
from metalauncher.tooling.oci.http.transport import Transport
from metalauncher.tooling.oci.http.urls import parse_url, resolve
from metalauncher.tooling.oci.media_types import ACCEPT, manifest_type
from metalauncher.tooling.oci.model import INDEXES, MANIFEST_LIMIT, MANIFESTS, Descriptor, ImageError
from metalauncher.tooling.oci.repository import Repository
from metalauncher.tooling.oci.sources.mirrors import Place, parse_mirror
from metalauncher.tooling.oci.verified import Verified, read_whole, refuse_large

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import TypeVar

    from metalauncher.tooling.oci.http.credentials import Credentials
    from metalauncher.tooling.oci.http.response import Answer
    from metalauncher.tooling.oci.http.urls import Url
    from metalauncher.tooling.oci.reference import Reference
    from metalauncher.tooling.oci.verified import Readable

    T = TypeVar("T")

CONNECTIONS: Final = 16
TRIES: Final = 4
MIRROR_TRIES: Final = 2  # there is somebody else to ask
SECONDS: Final = 60.0  # for one thing to be had, with all tries and pauses, besides what its bytes may take
CONNECT_SECONDS: Final = 10.0
READ_SECONDS: Final = 20.0
PAUSE: Final = 0.25  # seconds before the second try, twice as much before each other
LONGEST_PAUSE: Final = 30.0
REFUSALS: Final = 20  # times that one thing is refused because its host is asked too much, while others get through
GIVEN_UP: Final = 3  # times in a row after which a host is tried but once: it is not down for one image alone
_CHUNK = 64 << 10
_RETRIED = frozenset((408, 429, 500, 502, 503, 504))


class Registry:
    """All registries, for all threads: connections, tokens and what was learned about hosts are shared."""

    def __init__(
        self,
        credentials: Credentials,
        *,
        environment: Mapping[bytes, bytes],
        insecure: frozenset[str] = frozenset(),
        mirrors: Mapping[str, tuple[str, ...]] | None = None,
        ca_file: str | None = None,
        connections: int = CONNECTIONS,
        seconds: float = SECONDS,
        connect_seconds: float = CONNECT_SECONDS,
        read_seconds: float = READ_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,  # noqa: S311  # how long to wait is no secret
        note: Callable[..., None] = lambda _, **__: None,
    ) -> None:
        """Prepare; nothing is connected.

        Args:
            credentials: the logins there are.
            environment: says which proxies there are.
            insecure: `HOST` or `HOST:PORT` that may be spoken to without TLS, as loopback always may.
            mirrors: by the registry's host, URLs to ask first, in order; a path goes before the repository.
            ca_file: certificates in PEM to trust besides the system's.
            connections: to keep open per host: as many as there are threads.
            seconds: for one thing, besides what its bytes may take; and for a host that says it is asked too much.
            connect_seconds: to wait for a connection.
            read_seconds: to wait for the next bytes.
            clock: seconds, of any beginning.
            sleep: wait for seconds.
            now: seconds since 1970.
            chance: 0 to 1, so that threads don't come back all at once.
            note: is told what happens on the way: an event of docs/reference/events.md, and its fields.

        Raises:
            InvalidReference: a mirror is not a URL to use as one.
            Unable: `ca_file` can't be used.
        """
        self._transport = Transport(
            insecure=insecure,
            ca_file=ca_file,
            environment=environment,
            connections=connections,
            connect_seconds=connect_seconds,
            read_seconds=read_seconds,
            pace=Pace(seconds, clock, sleep, chance),
            now=now,
        )
        self._authorizer = Authorizer(self._transport, credentials, clock)
        self._mirrors = {
            host.lower(): tuple([parse_mirror(url) for url in urls]) for host, urls in (mirrors or {}).items()
        }
        self.note: Final = note
        self._seconds = seconds
        self._clock, self._sleep, self._chance = clock, sleep, chance
        self._lock = threading.Lock()
        self._schemes: dict[str, str] = {}
        self._given_up: dict[str, int] = {}

    def store(self, name: Reference, *, mirrored: bool = True) -> RegistryStore:
        """Return where the parts of an image come from; nothing is asked yet.

        Args:
            name: of the image.
            mirrored: whether its registry's mirrors are asked first.
        """
        mirrors = [
            Place(host, f"{prefix}{name.repository}", scheme, MIRROR_TRIES)
            for scheme, host, prefix in (self._mirrors.get(name.host.lower(), ()) if mirrored else ())
        ]
        return RegistryStore(self, name, (*mirrors, Place(name.api_host, name.repository, "", TRIES)))

    def destination(self, name: Reference, reads: tuple[str, ...] = ()) -> Destination:
        """Return where an image is written to: the registry itself, never a mirror. Nothing is asked yet.

        Args:
            name: its host and repository count.
            reads: repositories of the same registry that blobs are mounted from.
        """
        return Destination(Repository(self, Place(name.api_host, name.repository, "", TRIES), reads))

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()

    def deadline(self) -> Deadline:
        """Begin to wait for something."""
        return Deadline(self._seconds, self._clock)

    def retry(self, place: Place, deadline: Deadline, action: Callable[[], T]) -> T:
        """Do something until it works, a few times, with longer and longer pauses.

        Being told that a registry is asked too much is no try: the next one waits for its turn.

        Raises:
            ImageError: it did not work, or will not.
        """
        given_up = self._given_up.get(place.host, 0)
        left = 1 if given_up >= GIVEN_UP else place.tries
        number = 0
        limited, refusals = "", 0
        while True:
            try:
                result = action()
            except TransportError as error:
                if error.limited and error.retryable and given_up < GIVEN_UP and place.tries == TRIES:
                    refusals += 1
                    limited = error.reason
                    if refusals < REFUSALS:
                        self.note("request-delayed", host=place.host, reason=error.reason)
                        continue
                number += 1
                pause = min(PAUSE * 2**number * (0.5 + self._chance() / 2), LONGEST_PAUSE)
                if not error.retryable or number == left or refusals == REFUSALS or pause >= deadline.remaining():
                    self._given_up[place.host] = given_up + 1
                    if limited and error.reason != limited and error.limited:
                        raise TransportError(f"{limited}: {error.reason}", retryable=False, limited=True) from None
                    raise
                self.note("request-retried", host=place.host, reason=error.reason, failed=number)
                if not error.limited:
                    self._sleep(pause)
            except ImageError:  # it is there, and answers
                self._given_up.pop(place.host, None)
                raise
            else:
                self._given_up.pop(place.host, None)
                return result

    @contextlib.contextmanager
    def ask(self, place: Place, request: Request, deadline: Deadline) -> Iterator[Answer]:
        """Ask a registry for something, as whoever it wants, and give its answer if that is an expected one.

        Where the request is of a URL at another host, that is told nothing of who asks.

        Raises:
            TransportError: there was no answer, or one to try again after.
            Refused: the answer is another.
            ImageError: there is no login that the registry accepts.
        """
        base = parse_url(f"{self._scheme(place, deadline)}://{place.host}/")
        url = resolve(base, request.target)
        is_own = url.origin == base.origin
        authorization = self._authorizer.known(place.host, request.access, deadline) if is_own else ""
        answer = self._send(url, request, authorization, deadline)
        for again in (False, True):
            if answer.status != 401 or answer.redirected or not is_own:
                break
            challenges = parse_challenges(answer.headers.getlist("WWW-Authenticate"))
            if again and not self._authorizer.wants_more(place.host, request.access, challenges):
                break
            answer.close()
            authorization = self._authorizer.asked(place.host, request.access, challenges, authorization, deadline)
            answer = self._send(url, request, authorization, deadline)
        with answer:
            if answer.status in request.expected:
                yield answer
                return
            said = answer.words(self._authorizer.secrets(place.host, place.repository, authorization))
            if answer.status in _RETRIED:
                reason = f"{answer.host} answered {status_text(answer.status)}"
                raise answer.busy(f"{reason} ({said})" if said else reason)
            who = ""
            if is_own and not answer.redirected:
                who = self._authorizer.who(place.host, place.repository) if authorization else "and asked for no login"
            raise refusal(answer.host, answer.status, said, request.what, who, is_redirected=answer.redirected)

    def _send(self, url: Url, request: Request, authorization: str, deadline: Deadline) -> Answer:
        headers = {**request.headers} | ({"Authorization": authorization} if authorization else {})
        return self._transport.request(request.method, str(url), headers, deadline, request.body)

    def _scheme(self, place: Place, deadline: Deadline) -> str:
        """Return with which scheme a host is to be asked; where it may be plain HTTP, find out, once."""
        if place.scheme or not self._transport.may_be_plain(place.host):
            return place.scheme or "https"
        with self._lock:
            scheme = self._schemes.get(place.host)
        if scheme is None:
            scheme = self._probe(place.host, deadline)
            with self._lock:
                self._schemes[place.host] = scheme
        return scheme

    def _probe(self, host: str, deadline: Deadline) -> str:
        try:
            self._transport.request("GET", f"https://{host}/v2/", {}, deadline).close()
        except TransportError as error:
            if not error.plain:
                raise
            with self._transport.request("GET", f"http://{host}/v2/", {}, deadline) as answer:
                if answer.status == 400:  # what servers that want TLS say without it
                    raise
            return "http"
        return "https"


class RegistryStore:
    """One image in a registry, as `model.Store` describes it."""

    def __init__(self, registry: Registry, name: Reference, places: tuple[Place, ...]) -> None:
        """Take where to ask, in order."""
        self._registry = registry
        self._name = name
        self._places = places

    def top(self) -> tuple[Descriptor, bytes]:
        """Return the manifest or index that the name names, and what it is."""
        return self._somewhere(self._top)

    def fetch(self, descriptor: Descriptor, limit: int) -> bytes:
        """Return a manifest's or blob's whole content, of the descriptor's size and digest."""
        refuse_large(descriptor, limit)
        return self._somewhere(lambda place: self._fetch(place, descriptor))

    @contextlib.contextmanager
    def open(self, descriptor: Descriptor) -> Iterator[IO[bytes]]:
        """Open a blob for reading; at its end there is an error if it was not what the descriptor says."""
        with contextlib.ExitStack() as stack:
            yield io.BufferedReader(self._somewhere(lambda place: self._open(place, descriptor, stack)), _CHUNK)

    def _somewhere(self, get: Callable[[Place], T]) -> T:
        """Get something from the first that has it; where nobody has, the registry's own answer counts.

        What was wrong with its mirrors is said as well: where they alone can be reached, that is the reason.
        """
        faults = []
        for place in self._places[:-1]:
            try:
                return get(place)
            except ImageError as error:
                self._registry.note("mirror-passed-over", host=place.host, reason=error.reason)
                faults.append(f"; its mirror before it: {error.reason}")
        try:
            return get(self._places[-1])
        except ImageError as error:
            if not faults:
                raise
            raise ImageError(error.kind, error.reason + "".join(faults)) from None

    def _top(self, place: Place) -> tuple[Descriptor, bytes]:
        deadline = self._registry.deadline()

        def get() -> tuple[bytes, str | None]:
            request = _reading(place, f"manifests/{self._name.reference}", ACCEPT, "tag or manifest")
            with self._registry.ask(place, request, deadline) as answer:
                return answer.whole(MANIFEST_LIMIT, "the manifest"), answer.headers.get("Content-Type")

        body, header = self._registry.retry(place, deadline, get)
        algorithm = self._name.digest.partition(":")[0] or "sha256"
        digest = f"{algorithm}:{hashlib.new(algorithm, body).hexdigest()}"
        if self._name.digest and digest != self._name.digest:
            raise ImageError("damaged", f"{place.host} served a manifest with the digest {digest}")
        return Descriptor(manifest_type(body, header), digest, len(body)), body

    def _fetch(self, place: Place, descriptor: Descriptor) -> bytes:
        deadline = self._registry.deadline()

        def get() -> bytes:
            with self._ask(place, descriptor, deadline) as answer:
                return read_whole(answer.content(descriptor), descriptor, descriptor.size)

        return self._registry.retry(place, deadline, get)

    def _open(self, place: Place, descriptor: Descriptor, stack: contextlib.ExitStack) -> Verified:
        deadline = self._registry.deadline()

        def get() -> Readable:
            return stack.enter_context(self._ask(place, descriptor, deadline)).content(descriptor)

        return Verified(self._registry.retry(place, deadline, get), descriptor)

    @contextlib.contextmanager
    def _ask(self, place: Place, descriptor: Descriptor, deadline: Deadline) -> Iterator[Answer]:
        if descriptor.media_type in INDEXES | MANIFESTS:
            path, accept, what = f"manifests/{descriptor.digest}", ACCEPT, "manifest"
        else:
            path, accept, what = f"blobs/{descriptor.digest}", "*/*", "blob"
        with self._registry.ask(place, _reading(place, path, accept, what), deadline) as answer:
            try:
                yield answer
            except ImageError as error:
                if error.kind != "damaged" or not (answer.redirected or answer.encodings):
                    raise
                raise ImageError("damaged", f"{error.reason}{_marked(answer)}") from None


def _reading(place: Place, path: str, accept: str, what: str) -> Request:
    return Request(f"/v2/{place.repository}/{path}", Access(place.repository), what, headers={"Accept": accept})


def _marked(answer: Answer) -> str:
    """Return what is unusual about an answer that turned out to be damaged."""
    encodings = f" with Content-Encoding {', '.join(answer.encodings)!r}" if answer.encodings else ""
    return f"; it came from {answer.host}{encodings}"
