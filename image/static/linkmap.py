"""Reads the map that lld writes of what it has linked."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

# Columns: two addresses, a size, an alignment, all but the last in hexadecimal; then a section of the output, or
# further to the right one of an input file, or a symbol.
_HEAD = re.compile(r"\s*VMA\s+LMA\s+Size\s+Align\s+Out\s+In\s+Symbol\n")
_LINE = re.compile(r" *([0-9a-f]+) +[0-9a-f]+ +([0-9a-f]+) +\d+ (?:(\S+)|        (\S.*):\((\S+)\))$", re.MULTILINE)


class MapError(Exception):
    """This is no map of lld."""


class Placed(NamedTuple):
    """A section of an input file, at its place.

    Attributes:
        address: in memory.
        size: in bytes.
        output: the section of the output that it is in.
        file: a path, or `ARCHIVE(MEMBER)`.
        name: of the section.
    """

    address: int
    size: int
    output: str
    file: str
    name: str


def read_map(text: str) -> Iterator[Placed]:
    """Yield all sections that are not empty; what was dropped is not in a map."""
    head = _HEAD.match(text)
    if head is None:
        raise MapError("the linker's map is not one of lld")
    output = ""
    for address, size, named, file, name in _LINE.findall(text, head.end()):
        if named:
            output = named
        elif int(size, 16):
            yield Placed(int(address, 16), int(size, 16), output, file, name)
