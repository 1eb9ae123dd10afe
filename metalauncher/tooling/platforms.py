"""What a command says of a run image that is there for several platforms: of each what it says of one, and then all.

Text has a heading for each platform with findings, and the talk names its platform. JSON has one document, whose
`platforms` are the documents that each would have been by itself. Knows no image.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from metalauncher.explain.terminal import printable
from metalauncher.tooling.console import Console, Unable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from metalauncher.explain.jsontext import Json
    from metalauncher.places import Root
    from metalauncher.tooling.log import EventLog

_OF_ALL: Final = ("schema_version", "metalauncher")


class OfPlatform(Protocol):
    """Something that is there for one platform."""

    @property
    def platform(self) -> str:
        """`os/architecture[/variant]`; "" where nobody says."""

    @property
    def rename(self) -> Callable[[str], str]:
        """Make of a text of the command's one for people: paths of its own, and commands for them."""


One = TypeVar("One", bound=OfPlatform)
Found = TypeVar("Found")


class Section(Console):
    """Where a command writes what it has to say of one platform of several.

    Attributes:
        documents: that it would have printed, if there were this platform alone.
    """

    def __init__(self, title: str, console: Console, rename: Callable[[str], str], log: EventLog | None) -> None:
        """Take the platform, and where what is said of it goes."""
        super().__init__(console.environment, console.output, rename, log)
        self._title: Final = title
        self._begun = False
        self.documents: Final[list[dict[str, Json]]] = []

    def document(self, document: Mapping[str, Json]) -> None:
        """Keep a document."""
        self.documents.append(json.loads(self.renamed(json.dumps(document))))

    def text(self, text: str) -> None:
        """Give a text, under the platform's name, made printable, where it is the first."""
        if text and not self._begun:
            self._begun = True
            super().text(f"{printable(self._title)}\n")
        super().text(text)

    def say(self, *lines: str) -> None:
        """Talk, of this platform."""
        super().say(*[f"{self._title}: {line}" if number == 0 else line for number, line in enumerate(lines)])

    def warn(self, text: str) -> None:
        """Write one warning, of this platform."""
        super().warn(f"{self._title}: {text}")


def for_each(things: Sequence[One], console: Console, log: EventLog | None, run: Callable[[One, Console], int]) -> int:
    """Run a command on each of several; return the highest exit code.

    Args:
        things: one is as if there were no others.
        console: what is said of all of them goes there.
        log: the console's.
        run: the command; returns its exit code.

    Raises:
        Unable: it can't be finished on one of them, which is named.
    """
    if len(things) == 1:
        return run(things[0], Console(console.environment, console.output, things[0].rename, log))
    code = 0
    documents: list[tuple[str, dict[str, Json]]] = []
    for thing in things:
        section = Section(thing.platform, console, thing.rename, log)
        try:
            code = max(code, run(thing, section))
        except Unable as unable:
            raise unable.about(thing.platform) from None
        documents += [(thing.platform, document) for document in section.documents]
    if documents:
        console.document(of_all(documents))
    return code


def of_each(roots: Mapping[str, Root], look: Callable[[Root], Found]) -> dict[str, Found]:
    """Return what is found in the root of each platform.

    Args:
        roots: by platform.
        look: at one.

    Raises:
        Unable: one can't be looked at, which is named.
    """
    found: dict[str, Found] = {}
    for platform, root in roots.items():
        try:
            found[platform] = look(root)
        except Unable as unable:
            raise unable.about(platform) from None
    return found


def of_all(documents: Iterable[tuple[str, Mapping[str, Json]]]) -> dict[str, Json]:
    """Return one document of those of several platforms."""
    given = list(documents)
    head: dict[str, Json] = {key: value for key, value in given[0][1].items() if key in _OF_ALL}
    platforms: list[Json] = [
        {"platform": platform, **{key: value for key, value in document.items() if key not in _OF_ALL}}
        for platform, document in given
    ]
    return {**head, "platforms": platforms}
