"""One request of a registry, and what it takes to be let in for it. Pure.

Sources: the OCI distribution specification 1.1; the distribution project's token specification (auth/scope.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


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


class Request(NamedTuple):
    """What to ask of a registry.

    Attributes:
        target: path and query at the registry, or a whole URL that it named.
        access: what that takes.
        what: is asked for, in messages.
        method: of HTTP.
        headers: besides `Authorization`.
        body: to send.
        expected: the status codes after which the answer is the caller's; any other is an error.
    """

    target: str
    access: Access
    what: str
    method: str = "GET"
    headers: Mapping[str, str] = {}
    body: bytes | memoryview | None = None
    expected: frozenset[int] = frozenset((200,))
