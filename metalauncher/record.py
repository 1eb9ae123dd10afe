"""What one app image recorded: its `metadata.toml` and Platform API -> Record. Must not know launchers or refusals.

Facts: buildpacks/lifecycle phase/exporter.go (environment), phase/builder.go (the file), launch/launch.go (what a
launcher reads of it). Keys match without regard to case, as Go's decoder does. What TOML forbids and some launchers
read all the same is read here too (cleaning.py), and noted.
"""

from __future__ import annotations

from tomli import loads

from metalauncher.apis import ApiVersion
from metalauncher.files import Unreadable, read_file
from metalauncher.toml import BOM, kind_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from metalauncher.environment import Policy

METADATA_LIMIT = 64 << 20  # bytes; the largest seen in the field have a few hundred KB of [[bom]]


class Buildpack:
    """One buildpack of the app: its id and the Buildpack API it was built for."""

    __slots__ = ("api", "id", "text")

    def __init__(self, identifier: str, text: str | None) -> None:
        """Hold what the file says.

        Args:
            identifier: the buildpack's id, "" where there is none.
            text: its `api` as recorded, None where absent or empty.
        """
        self.id: Final = identifier
        self.text: Final = text
        self.api: Final = None if text is None else ApiVersion.parse_or_none(text)


class Record:
    """The API versions one app image recorded."""

    __slots__ = ("buildpacks", "defect", "keys", "metadata", "oddities", "platform_api", "platform_text")

    def __init__(
        self,
        platform_api: ApiVersion | None,
        platform_text: str,
        buildpacks: tuple[Buildpack, ...],
        keys: frozenset[str],
        metadata: str,
        oddities: tuple[str, ...] = (),
        defect: str | None = None,
    ) -> None:
        """Hold what was read.

        Args:
            platform_api: None where `CNB_PLATFORM_API` is absent or empty.
            platform_text: the variable as it came.
            buildpacks: in file order.
            keys: the file's top-level keys, spelled as there.
            metadata: the file's path.
            oddities: what the file holds that some launchers can't read, of `toml.ODDITIES`.
            defect: why the file is not TOML, where only its cleaned text could be read; None for any other.
        """
        self.platform_api: Final = platform_api
        self.platform_text: Final = platform_text
        self.buildpacks: Final = buildpacks
        self.keys: Final = keys
        self.metadata: Final = metadata
        self.oddities: Final = oddities
        self.defect: Final = defect

    @property
    def unrecorded(self) -> bool:
        """Neither a Platform API nor any Buildpack API was recorded, as lifecycle 0.8 and earlier left it."""
        return self.platform_api is None and not any(buildpack.text for buildpack in self.buildpacks)


class InvalidMetadata(Exception):
    """A metadata.toml that gives no record."""

    def __init__(self, path: str, detail: str, errno: int | None = None) -> None:
        """Hold the file, what is wrong with it, and the errno where it can't be read."""
        super().__init__(path, detail)
        self.path: Final = path
        self.detail: Final = detail
        self.errno: Final = errno


def read_record(path: bytes, policy: Policy) -> Record:
    """Read the app's record.

    Args:
        path: of its metadata.toml, to be opened.
        policy: that holds the Platform API.

    Raises:
        InvalidMetadata: metadata.toml is absent, unreadable, not TOML, or its values have wrong types.
    """
    shown = path.decode("utf-8", "surrogateescape")
    try:
        data = read_file(path, METADATA_LIMIT)
    except Unreadable as error:
        raise InvalidMetadata(shown, error.detail, error.errno) from None
    return parse_record(data, shown, policy)


def parse_record(data: bytes, shown: str, policy: Policy) -> Record:
    """Return what a metadata.toml says. Pure.

    Args:
        data: the file's content.
        shown: its path.
        policy: that holds the Platform API.

    Raises:
        InvalidMetadata: it is not TOML even when cleaned, or its values have wrong types.
    """
    oddities: tuple[str, ...] = ()
    defect: str | None = None
    try:
        try:
            content = data.removeprefix(BOM)
            text = content.decode()
            document = loads(text)
            # Without a BOM it is the same object; and a text in ASCII, as nearly all are, is not looked through.
            if content is not data or "\ufffd" in text:
                from metalauncher.cleaning import find_oddities

                oddities = find_oddities(data)
        except (ValueError, RecursionError):  # all that UTF-8 and tomli refuse a file with
            from metalauncher.cleaning import read_again

            document, oddities, defect = read_again(data)
        buildpacks = _buildpacks(_value(document, "buildpacks"))
    except Unreadable as error:
        raise InvalidMetadata(shown, defect or error.detail) from None
    return Record(policy.platform_api, policy.platform_text, buildpacks, frozenset(document), shown, oddities, defect)


def _buildpacks(value: Any) -> tuple[Buildpack, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise Unreadable(f"buildpacks is {kind_of(value)}, not an array of tables")
    return tuple([_buildpack(entry, index) for index, entry in enumerate(value)])


def _buildpack(entry: Any, index: int) -> Buildpack:
    if not isinstance(entry, dict):
        raise Unreadable(f"buildpacks[{index}] is {kind_of(entry)}, not a table")
    identifier = _value(entry, "id")
    api = _value(entry, "api")
    if not isinstance(identifier, (str, type(None))):
        raise Unreadable(f"buildpacks[{index}].id is {kind_of(identifier)}, not a string")
    if not isinstance(api, (str, type(None))):
        # An unquoted 0.10 is the float 0.1: it must not be guessed at.
        raise Unreadable(f"buildpacks[{index}].api is {kind_of(api)}, not a string")
    return Buildpack(identifier or "", api or None)


def _value(table: dict[str, Any], name: str) -> Any:
    """Return the value of key `name`, spelled in whatever case; the exact spelling goes first; None if absent."""
    if name in table:
        return table[name]
    for key, value in table.items():
        if key.casefold() == name:  # as Go's strings.EqualFold: U+017F is an s
            return value
    return None
