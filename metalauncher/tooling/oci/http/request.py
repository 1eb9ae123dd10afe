"""One request of a registry, and what it takes to be let in for it. Pure.

Sources: the OCI distribution specification 1.1; the distribution project's token specification (auth/scope.md).
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager
    from typing import Self

    from metalauncher.tooling.oci.verified import Readable


class Access(NamedTuple):
    """What somebody wants to do at one registry.

    Attributes:
        repository: that is asked; its login counts.
        push: whether it is written to.
        reads: other repositories of the same registry, to mount blobs from.
    """

    repository: str
    push: bool = False
    reads: tuple[str, ...] = ()

    def scopes(self) -> tuple[str, ...]:
        """Return the scopes of one token for all of that."""
        own = f"repository:{self.repository}:{'pull,push' if self.push else 'pull'}"
        return (own, *[f"repository:{other}:pull" for other in self.reads if other != self.repository])


class _Held:
    """Bytes to read; unlike `io.BytesIO` it does not hold them twice."""

    def __init__(self, data: bytes | memoryview) -> None:
        self._rest = memoryview(data)

    def read(self, size: int, /) -> bytes:
        block, self._rest = bytes(self._rest[:size]), self._rest[size:]
        return block


class Body(NamedTuple):
    """What is sent with a request.

    Attributes:
        size: in bytes.
        open_source: opens what gives them, each time that they are sent.
    """

    size: int
    open_source: Callable[[], AbstractContextManager[Readable]]

    @classmethod
    def of(cls, data: bytes | memoryview) -> Self:
        """Return what sends these bytes."""
        return cls(len(data), lambda: contextlib.nullcontext(_Held(data)))


class Request(NamedTuple):
    """What to ask of a registry.

    Attributes:
        target: path and query at the registry, or a whole URL that it named.
        access: what that takes.
        what: is asked for, in messages.
        method: of HTTP.
        headers: besides `Authorization`.
        body: to send; None for none.
        expected: the status codes after which the answer is the caller's; any other is an error.
    """

    target: str
    access: Access
    what: str
    method: str = "GET"
    headers: Mapping[str, str] = {}
    body: Body | None = None
    expected: frozenset[int] = frozenset((200,))
