"""Foretell what a launcher will refuse of the app's metadata.toml. Pure; runs nothing. Loaded only when somebody asks.

What a launcher reads is known of lifecycle's releases (readers.py), and of others what their descriptors say in
`cannot-read`. Of what is not known nothing is foretold. Sources: launch.Metadata, launch.Process and launch.Env of
buildpacks/lifecycle at each release; tests hold it against the launchers themselves.
"""

from __future__ import annotations

from metalauncher.cleaning import clean, find_oddities
from metalauncher.explain.constructs import (
    CLOSING_QUOTES,
    DOTTED_KEY,
    FOLDED_LINE,
    INF_NAN,
    INLINE_COMMA,
    INLINE_LINES,
    LOCAL_TIME,
    MIXED_ARRAY,
    NEW_ESCAPES,
    NO_SECONDS,
    NUMBER_BASE,
    TOO_LARGE,
    find_constructs,
)
from metalauncher.explain.messages import name_oddities
from metalauncher.explain.readers import cannot_read, parsers_of, release_of
from metalauncher.files import Unreadable
from metalauncher.toml import BOM, ODDITIES, kind_of, parse_toml

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any, Final

    from metalauncher.descriptor import Launcher
    from metalauncher.explain.readers import Version

_TOML_1_1 = (1, 6)  # BurntSushi/toml, the first that reads it
_TOML_1_0 = (0, 4)
# construct -> the first parser that reads it, and the last that did before it came into TOML, if any.
_SINCE: Mapping[str, tuple[Version, Version]] = {
    INLINE_LINES: (_TOML_1_1, ()),
    INLINE_COMMA: (_TOML_1_1, (0, 3, 1)),
    NEW_ESCAPES: (_TOML_1_1, ()),
    NO_SECONDS: (_TOML_1_1, ()),
    DOTTED_KEY: (_TOML_1_0, ()),
    NUMBER_BASE: (_TOML_1_0, ()),
    INF_NAN: (_TOML_1_0, ()),
    LOCAL_TIME: (_TOML_1_0, ()),
    CLOSING_QUOTES: (_TOML_1_0, ()),
    FOLDED_LINE: (_TOML_1_0, ()),
    MIXED_ARRAY: (_TOML_1_0, ()),
    TOO_LARGE: ((9,), ()),
}

_STRINGS = "an array of strings"
# key of a process -> the types that are read, and the first release that looks at it.
_PROCESS: Mapping[str, tuple[tuple[str, ...], Version]] = {
    "type": (("a string",), ()),
    "command": (("a string",), ()),
    "args": ((_STRINGS,), ()),
    "direct": (("a boolean",), ()),
    "buildpack-id": (("a string",), ()),
    "default": (("a boolean",), (0, 11, 4)),
    "working-dir": (("a string",), (0, 14)),
    "exec-env": ((_STRINGS,), (0, 21)),
}
_COMMAND_ARRAY = (0, 15)  # from here on a command may be an array
# By its source it alone reads, and writes, processes as an array of strings (buildpacks/lifecycle #945).
_ODD_RELEASE = (0, 15, 0)
_NAME_MAX = 255  # bytes of a file's name on Linux's usual file systems; a buildpack's layers lie in a folder of its id


class Forecast:
    """What will become of it."""

    __slots__ = ("doubt", "exit_code", "reason")

    def __init__(self, reason: str = "", doubt: str = "", exit_code: int | None = None) -> None:
        """Hold what is foretold.

        Args:
            reason: why the launcher will fail, after its name; "" where nothing is known that it would fail at.
            doubt: why it can't be told, "" where it can.
            exit_code: the launcher's, None where it depends on more than this.
        """
        self.reason: Final = reason
        self.doubt: Final = doubt
        self.exit_code: Final = exit_code


NOTHING_AGAINST = Forecast()


def foretell(data: bytes, launcher: Launcher) -> Forecast:
    """Return what the launcher will do with a metadata.toml that metalauncher itself can read, `data`."""
    read = _read(data)
    if read is None:
        return NOTHING_AGAINST
    text, document, oddities = read
    release = release_of(launcher.id, launcher.version)
    known = cannot_read(launcher.id, launcher.version) or ()
    unread = [kind for kind in ODDITIES if kind in oddities and (kind in launcher.cannot_read or kind in known)]
    if unread:
        return Forecast(f"can't read {name_oddities(unread)} in metadata.toml", exit_code=1)
    parsers = parsers_of(release) if release else None
    if release is None or parsers is None:
        return NOTHING_AGAINST
    refused = [construct for construct in _SINCE if _refuses(parsers, construct)]
    for construct, line in find_constructs(text, document, refused).items():
        where = f" (at line {line})" if line else ""
        # Before it read TOML 1.0, the parser ended with a panic at some of them.
        code = 1 if parsers[0] >= _TOML_1_0 else None
        return Forecast(f"can't read {construct} in metadata.toml{where}", exit_code=code)
    twice = next(_doubled(document), "")
    if twice:
        return Forecast(doubt=f"metadata.toml has {twice} in two spellings, and which one counts is left to chance")
    wrong = next(_wrong_types(document, release), "")
    if wrong:
        return Forecast(f"can't read metadata.toml: {wrong}", exit_code=1)
    bad = next(_bad_ids(document), "")
    return Forecast(bad) if bad else NOTHING_AGAINST


def _read(data: bytes) -> tuple[str, dict[str, Any], tuple[str, ...]] | None:
    """Return the text that metalauncher reads, what it reads, and its oddities; None where it refuses the file."""
    try:
        text = data.removeprefix(BOM).decode()
        return text, parse_toml(data), find_oddities(data)
    except (Unreadable, UnicodeDecodeError):
        cleaned = clean(data)
    try:
        return cleaned and (cleaned[0], parse_toml(cleaned[0].encode()), cleaned[1])
    except Unreadable:
        return None


def _refuses(parsers: tuple[Version, Version], construct: str) -> bool:
    """Tell whether all parsers that a launcher may have been built with refuse a construct."""
    oldest, newest = parsers
    since, before = _SINCE[construct]
    return newest < since and oldest > before


def _doubled(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield the keys that launchers read and that are there more than once, as Go's strings.EqualFold has it."""
    yield from _spelled_twice(document, ("processes", "buildpacks"), "")
    for name, keys in (("processes", tuple(_PROCESS)), ("buildpacks", ("id", "api"))):
        for number, table in enumerate(_tables(document, name)):
            yield from _spelled_twice(table, keys, f"{name}[{number}].")


def _spelled_twice(table: Mapping[str, Any], names: tuple[str, ...], where: str) -> Iterator[str]:
    for name in names:
        if sum([_is(key, name) for key in table]) > 1:
            yield f"'{where}{name}'"


def _is(key: str, name: str) -> bool:
    # Unlike casefold, EqualFold makes no two letters of one, such as of U+00DF.
    return len(key) == len(name) and key.casefold() == name


def _get(table: Mapping[str, Any], name: str) -> Any:
    return next((value for key, value in table.items() if _is(key, name)), None)


def _tables(document: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    value = _get(document, name)
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _wrong_types(document: Mapping[str, Any], release: Version) -> Iterator[str]:
    """Yield what is not of the type that the launcher reads it as."""
    processes = _get(document, "processes")
    if processes is None or release == _ODD_RELEASE:
        return
    if not isinstance(processes, list):
        yield f"processes is {kind_of(processes)}, not an array of tables"
        return
    for number, process in enumerate(processes):
        if not isinstance(process, dict):
            yield f"processes[{number}] is {kind_of(process)}, not a table"
            return
        for key, (types, since) in _PROCESS.items():
            value = _get(process, key)
            if value is None or release < since:
                continue
            kind = _STRINGS if _are_strings(value) else kind_of(value)
            array = key == "command" and isinstance(value, list) and release >= _COMMAND_ARRAY
            if kind not in types and not array:
                yield f"processes[{number}].{key} is {kind}, not {' or '.join(types)}"


def _are_strings(value: object) -> bool:
    return isinstance(value, list) and all([isinstance(item, str) for item in value])


def _bad_ids(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is no name of a folder: the launcher looks for the layers of each buildpack."""
    for number, buildpack in enumerate(_tables(document, "buildpacks")):
        identifier = _get(buildpack, "id")
        if not isinstance(identifier, str):
            continue
        if "\0" in identifier:
            yield f"can't look for the layers of buildpacks[{number}]: its id holds NUL"
        elif len(identifier.encode("utf-8", "surrogatepass")) > _NAME_MAX:
            yield f"can't look for the layers of buildpacks[{number}]: its id has more than {_NAME_MAX} bytes"
