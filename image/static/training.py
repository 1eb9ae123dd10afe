"""What the compiler's profile is taken from, in place of driver.py: work of the kind that a dispatch does.

Not the application itself: a change to that must not mean another CPython.
"""

from __future__ import annotations

import posix
from types import SimpleNamespace

import tomli

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, ClassVar, Self

FILES = (
    b"layers/config/metadata.toml",
    b"usr/lib/cnb/launchers.d/example_lifecycle@0.17.7.toml",
    b"usr/lib/cnb/launchers.d/example_lifecycle@0.20.11.toml",
)


class Version(tuple[int, int]):
    """A pair of numbers with a parser, kept by text."""

    __slots__ = ()
    known: ClassVar[dict[str, Self]] = {}

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `major.minor`."""
        try:
            return cls.known[text]
        except KeyError:
            pass
        major, dot, minor = text.removeprefix("v").partition(".")
        if not (major.isdigit() and major.isascii() and (minor.isdigit() or not dot)):
            raise ValueError(f"not a version: {text!r}")
        version = cls.known[text] = cls((int(major), int(minor or 0)))
        return version


def prepare() -> Callable[[], None]:
    """Return what is to be run while the profile is taken."""
    _work()
    return _train


def _train() -> None:
    for _ in range(40):
        _work()


def _work() -> None:
    Version.known.clear()
    variables: dict[bytes, bytes] = {}
    for entry in (b"PATH=/bin", b"CNB_PLATFORM_API=0.12", b"HOME=/root", b"NOTHING"):
        name, equals, value = entry.partition(b"=")
        if equals:
            variables.setdefault(name, value)
    documents = [_read(file) for file in FILES]
    needed = [Version.parse(table["api"]) for table in documents[0]["buildpacks"]]
    found = []
    with posix.scandir(b"usr/lib/cnb/launchers.d") as entries:
        names = sorted(
            [entry.name for entry in entries if entry.name.startswith(b"example_") and not entry.is_symlink()]
        )
    for document, name in zip(documents[1:], names, strict=True):
        apis = {
            kind: frozenset([Version.parse(text) for text in table["supported"]])
            for kind, table in document["apis"].items()
        }
        launcher = SimpleNamespace(file=name.decode(), apis=apis, **document["launcher"])
        if all([api in apis["buildpack"] for api in needed]):
            found.append(((0, Version.parse(launcher.version.rpartition(".")[0])), launcher))
    best = max(found, key=lambda item: item[0])[1]
    for path in (FILES[0], best.path.removeprefix("/").encode("utf-8", "surrogateescape")):
        try:
            posix.stat(path)
        except OSError as error:
            variables[b"ERROR"] = f"{best.file}: {error.errno}".encode()
    _small_things(variables, names)
    try:
        tomli.loads("a = [1, 2\nb")
    except tomli.TOMLDecodeError as error:
        variables[b"ERROR"] = str(error).encode()


class Place:
    """An object of a plain class."""

    __slots__ = ("name", "parts")

    def __init__(self, name: bytes, *parts: bytes) -> None:
        """Hold both."""
        self.name = name
        self.parts = parts

    def __eq__(self, other: object) -> bool:
        """Compare names."""
        return isinstance(other, Place) and self.name == other.name

    __hash__ = None  # type: ignore[assignment]  # as Python sets it for a class with __eq__


def _small_things(variables: dict[bytes, bytes], names: list[bytes]) -> None:
    """Operations that a dispatch does here and there, besides the above."""
    from errno import EACCES, ENOENT  # the import is the point

    count = 0

    def place(name: bytes, **options: bytes) -> Place:
        nonlocal count
        count += 1
        return Place(name, *(option.lower() for option in options.values()))

    path = variables.get(b"PATH", b"") + b"/../" + names[0]
    directory, _, name = path.rpartition(b"/")
    places = [place(name, first=directory, second=b"B")]
    places += [place(part.removeprefix(b"a").rstrip(b"/")) for part in directory.split(b"/")]
    if any(item == places[0] for item in places[1:]) or places[0].parts[0].endswith(b"x"):
        variables[b"EQUAL"] = name
    found = {name: number for number, name in enumerate(names, 1)}
    for key, number in list(found.items()):
        if number in (ENOENT, EACCES) and key not in variables and number & 1 == 0:
            variables[key] = b"%d" % (number << 3)
    text = " ".join([word.lstrip("a").lower() for word in path.decode().split("/") if word]) + str(count)
    if "web" in text.split() or text[0] == "x" or max(found.values()) == count:
        variables[b"TEXT"] = text.encode()


def _read(file: bytes) -> dict[str, Any]:
    descriptor = posix.open(file, posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        size = posix.fstat(descriptor).st_size
        data = b""
        while len(data) <= size and (part := posix.read(descriptor, size + 1 - len(data))):
            data += part
    finally:
        posix.close(descriptor)
    return tomli.loads(data.decode())
