"""One repository of a registry, to ask and to write to: its paths, who asks, how often. Knows no blob and no tag."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from metalauncher.tooling.oci.http.errors import Refused
from metalauncher.tooling.oci.http.request import Access, Request
from metalauncher.tooling.oci.model import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import TypeVar

    from metalauncher.tooling.oci.http.deadlines import Deadline
    from metalauncher.tooling.oci.http.request import Body
    from metalauncher.tooling.oci.http.response import Answer
    from metalauncher.tooling.oci.sources.mirrors import Place
    from metalauncher.tooling.oci.sources.registry import Registry

    T = TypeVar("T")

_OK: Final = frozenset((200,))


class Repository:
    """One repository; threads may share it.

    Attributes:
        host: of the registry, as its answers come from.
        name: of the repository there.
    """

    def __init__(self, registry: Registry, place: Place, reads: tuple[str, ...]) -> None:
        """Take what to ask; nothing is asked yet.

        Args:
            registry: asks.
            place: the repository; never a mirror.
            reads: repositories of the same registry, to mount blobs from.
        """
        self._registry: Final = registry
        self._place: Final = place
        self._reader: Final = Access(place.repository)
        self._writer = Access(place.repository, push=True, reads=tuple(sorted(set(reads))))
        self.host: Final = place.host
        self.name: Final = place.repository

    def retry(self, action: Callable[[Deadline], T], deadline: Deadline | None = None) -> T:
        """Do something until it works, a few times, before one deadline.

        Args:
            action: what to do.
            deadline: of what this is a part of; None to begin one.

        Raises:
            ImageError: it did not work, or will not.
        """
        until = deadline or self._registry.deadline()
        return self._registry.retry(self._place, until, lambda: action(until))

    @contextlib.contextmanager
    def read(
        self,
        path: str,
        what: str,
        deadline: Deadline,
        *,
        method: str = "GET",
        accept: str = "*/*",
        expected: frozenset[int] = _OK,
    ) -> Iterator[Answer]:
        """Ask as somebody who may only read.

        Args:
            path: within the repository, or a whole URL that the registry named.
            what: is asked for, in messages.
            deadline: to answer before.
            method: GET or HEAD.
            accept: media types.
            expected: the status codes after which the answer is the caller's.

        Raises:
            ImageError: there is another answer, or none.
        """
        request = Request(self._target(path), self._reader, what, method, {"Accept": accept}, None, expected)
        with self._registry.ask(self._place, request, deadline) as answer:
            yield answer

    @contextlib.contextmanager
    def write(
        self,
        method: str,
        path: str,
        what: str,
        deadline: Deadline,
        *,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        expected: frozenset[int],
    ) -> Iterator[Answer]:
        """Ask as somebody who may write here, and read the repositories to mount from.

        Who may not read these gets no token for both, and from then on is somebody who may write here alone.

        Raises:
            ImageError: there is another answer, or none.
        """
        request = Request(self._target(path), self._writer, what, method, headers or {}, body, expected)
        with contextlib.ExitStack() as stack:
            try:
                answer = stack.enter_context(self._registry.ask(self._place, request, deadline))
            except ImageError as error:
                was_let_in = isinstance(error, Refused) and error.status != 401
                if error.kind != "denied" or was_let_in or not request.access.reads:
                    raise
                self._writer = request.access._replace(reads=())
                alone = request._replace(access=self._writer)
                answer = stack.enter_context(self._registry.ask(self._place, alone, deadline))
            yield answer

    def _target(self, path: str) -> str:
        return path if "://" in path.partition("?")[0] else f"/v2/{self.name}/{path}"
