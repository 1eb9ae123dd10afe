"""The launchers a run image carries: `launchers.d/*.toml` -> Registry. Knows no record.

docs/descriptor.md is the format's reference. A broken descriptor is left out and kept with its reason; it never stops
the others.
"""

from __future__ import annotations

import posix

from metalauncher.apis import ApiRange, ApiSet, ApiVersion
from metalauncher.errors import errno_text
from metalauncher.places import IMAGE_DESCRIPTORS, LAUNCHERS, OPERATOR_DESCRIPTORS
from metalauncher.tomlfile import ODDITIES, Unreadable, kind_of, parse_toml, read_file
from metalauncher.versions import version_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from metalauncher.places import Root
    from metalauncher.versions import VersionKey

# Bytes; lifecycle's own files have 800. No more: hostile TOML takes thousands of times its size in memory, and one file
# must not take so much that an app another launcher covers does not start.
DESCRIPTOR_LIMIT = 64 << 10

_LAUNCHER_KEYS = frozenset(
    ("id", "version", "path", "sha256", "priority", "opt-in-env", "requires", "cannot-read", "masked")
)
_ID_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-")
_HEX_DIGITS = frozenset("0123456789abcdefABCDEF")


class Launcher:
    """One launcher and the APIs it declares: a valid descriptor."""

    __slots__ = (
        "buildpack",
        "cannot_read",
        "descriptor",
        "id",
        "opt_in_env",
        "path",
        "platform",
        "priority",
        "requires",
        "sha256",
        "version",
        "version_key",
    )

    def __init__(
        self,
        *,
        identifier: str,
        version: str,
        platform: ApiSet,
        buildpack: ApiSet,
        path: str = "",
        priority: int = 0,
        opt_in_env: str | None = None,
        requires: tuple[str, ...] = (),
        cannot_read: tuple[str, ...] = (),
        sha256: str | None = None,
        descriptor: str = "",
    ) -> None:
        """Hold the descriptor's values.

        Args:
            identifier: `launcher.id`.
            version: `launcher.version`, PEP 440.
            platform: the Platform APIs it declares.
            buildpack: the Buildpack APIs it declares.
            path: of the executable, inside the image; "" means the default place.
            priority: higher goes first.
            opt_in_env: the variable that must be true for it to take part.
            requires: keys the app's metadata.toml must have.
            cannot_read: oddities of a metadata.toml at which it fails, of `tomlfile.ODDITIES`.
            sha256: of the executable, lower-case hex.
            descriptor: the file that declares it, as opened.

        Raises:
            ValueError: the version is not PEP 440.
        """
        self.id: Final = identifier
        self.version: Final = version
        self.version_key: Final[VersionKey] = version_key(version)
        self.platform: Final = platform
        self.buildpack: Final = buildpack
        self.path: Final = path or f"{LAUNCHERS}/{identifier}/{version}/launcher"
        self.priority: Final = priority
        self.opt_in_env: Final = opt_in_env
        self.requires: Final = requires
        self.cannot_read: Final = cannot_read
        self.sha256: Final = sha256
        self.descriptor: Final = descriptor

    def __repr__(self) -> str:
        """Return `id@version`, for people."""
        return f"{self.id}@{self.version}"


class InvalidDescriptor(Exception):
    """A file, or a whole directory, of `launchers.d` that gives no launcher."""

    def __init__(self, file: str, key: str, reason: str, line: int | None = None) -> None:
        """Hold where and why.

        Args:
            file: its path, as opened.
            key: dotted, "" where the file as a whole is meant.
            reason: what is wrong.
            line: from 1, where the parser gave one.
        """
        super().__init__(file, key, reason)
        self.file: Final = file
        self.key: Final = key
        self.reason: Final = reason
        self.line: Final = line

    def __str__(self) -> str:
        """Return `file:line: key: reason`, without what there is not."""
        where = self.file if self.line is None or "(at " in self.reason else f"{self.file}:{self.line}"
        return ": ".join(part for part in (where, self.key, self.reason) if part)


class Registry:
    """All descriptors in effect, and what is to be said about the others."""

    __slots__ = ("directories", "invalid", "launchers", "masked", "overridden")

    def __init__(
        self,
        launchers: tuple[Launcher, ...],
        invalid: tuple[InvalidDescriptor, ...] = (),
        masked: tuple[tuple[str, str], ...] = (),
        overridden: tuple[tuple[str, str], ...] = (),
        directories: tuple[str, ...] = (),
    ) -> None:
        """Hold what was found.

        Args:
            launchers: in effect; their order means nothing.
            invalid: left out, with the reason.
            masked: (the image's file, or "" where there is none; the operator's mask).
            overridden: (the image's file, the operator's file in its place).
            directories: that were looked in, in order of precedence.
        """
        self.launchers: Final = launchers
        self.invalid: Final = invalid
        self.masked: Final = masked
        self.overridden: Final = overridden
        self.directories: Final = directories


class _Mask:
    """A descriptor that only takes away the image's of the same name."""


_MASK = _Mask()


def load_registry(root: Root) -> Registry:
    """Read both descriptor directories; the operator's file replaces or masks the image's of the same name.

    Never raises for what it finds: what can't be used is in the result's `invalid`.
    """
    launchers: list[Launcher] = []
    invalid: list[InvalidDescriptor] = []
    masks: dict[bytes, str] = {}
    masked: list[tuple[str, str]] = []
    overridden: list[tuple[str, str]] = []
    replaced: dict[bytes, str] = {}
    for directory in (OPERATOR_DESCRIPTORS, IMAGE_DESCRIPTORS):
        of_operator = directory is OPERATOR_DESCRIPTORS
        for name, link in _list(root.locate(directory), invalid):
            file = root.locate(directory + b"/" + name)
            entry = root.locate(directory) + b"/" + name
            shown = _shown(entry)
            if not of_operator and name in replaced:
                overridden.append((shown, replaced[name]))
                continue
            if not of_operator and name in masks:
                masked.append((shown, masks.pop(name)))
                continue
            try:
                found = _MASK if link and _is_null(entry) else read_descriptor(file, shown, link=link)
            except InvalidDescriptor as error:
                invalid.append(error)
                continue
            if isinstance(found, Launcher):
                launchers.append(found)
                if of_operator:
                    replaced[name] = shown
            elif of_operator:
                masks[name] = shown
            else:
                masked.append((shown, shown))
    masked += [("", mask) for mask in masks.values()]
    directories = tuple([_shown(root.locate(d)) for d in (OPERATOR_DESCRIPTORS, IMAGE_DESCRIPTORS)])
    return Registry(tuple(launchers), tuple(invalid), tuple(masked), tuple(overridden), directories)


def _shown(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")


def _list(directory: bytes, invalid: list[InvalidDescriptor]) -> list[tuple[bytes, bool]]:
    """Return the names of the descriptors in `directory`, sorted, each with whether it is a link."""
    try:
        with posix.scandir(directory) as entries:
            return sorted(
                [
                    (entry.name, entry.is_symlink())
                    for entry in entries
                    # A Kubernetes volume holds its files under "..data" and links to them.
                    if entry.name.endswith(b".toml") and not entry.name.startswith(b".")
                ]
            )
    except OSError as error:
        if error.errno != 2:  # ENOENT: a registry need not have both
            invalid.append(InvalidDescriptor(_shown(directory), "", errno_text(error.errno)))
        return []


def read_descriptor(file: bytes, shown: str, *, link: bool = False) -> Launcher | _Mask:
    """Read one descriptor.

    Args:
        file: the path to open.
        shown: the path to name in messages.
        link: it is a symbolic link, of which a target that is not there is said to dangle.

    Raises:
        InvalidDescriptor: it is neither a launcher's nor a mask.
    """
    try:
        document = parse_toml(read_file(file, DESCRIPTOR_LIMIT))
    except Unreadable as error:
        dangling = link and error.missing
        raise InvalidDescriptor(shown, "", "dangling link" if dangling else error.detail, error.line) from None
    try:
        return _launcher(document, shown)
    except _Wrong as error:
        raise InvalidDescriptor(shown, error.key, error.reason) from None


def _is_null(link: bytes) -> bool:
    """Tell whether a link says /dev/null. What is at its end does not count: `FROM scratch` may have no /dev."""
    try:
        return posix.readlink(link) == b"/dev/null"
    except OSError:  # it has gone meanwhile
        return False


class _Wrong(Exception):
    """A key's value is not what the format says."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(key, reason)
        self.key: Final = key
        self.reason: Final = reason


def _launcher(document: dict[str, Any], shown: str) -> Launcher | _Mask:
    if not document:
        raise _Wrong("", "is empty")
    schema = document.get("schema-version", "1")
    if schema != "1":
        raise _Wrong("schema-version", 'is not "1", the one that this metalauncher knows')
    table = _table(document, "launcher")
    if table.get("masked", False) is not False:
        return _mask(document, table)
    for key in table:
        if key not in _LAUNCHER_KEYS:
            raise _Wrong(f"launcher.{key}", "unknown key")
    identifier = _string(table, "launcher", "id")
    _check_id(identifier)
    if "version" in table:
        version = _string(table, "launcher", "version")
    else:
        version = _string(_table(document, "lifecycle", "launcher.version"), "lifecycle", "version")
    apis = _table(document, "apis")
    try:
        return Launcher(
            identifier=identifier,
            version=version,
            platform=_api_set(apis, "platform"),
            buildpack=_api_set(apis, "buildpack"),
            path=_path(table),
            priority=_priority(table),
            opt_in_env=_opt_in_env(table),
            requires=_requires(table) if "requires" in table else (),
            cannot_read=_cannot_read(table["cannot-read"]) if "cannot-read" in table else (),
            sha256=_sha256(table),
            descriptor=shown,
        )
    except ValueError as error:
        raise _Wrong("launcher.version" if "version" in table else "lifecycle.version", str(error)) from None


def _mask(document: dict[str, Any], table: dict[str, Any]) -> _Mask:
    # Only this very form masks: a mask with more in it may be a descriptor that somebody began to edit.
    if (
        table != {"masked": True}
        or table["masked"] is not True
        or not document.keys() <= {"launcher", "schema-version"}
    ):
        raise _Wrong("launcher.masked", "a mask holds only [launcher] with masked = true")
    return _MASK


def _table(document: dict[str, Any], key: str, needed: str = "") -> dict[str, Any]:
    value = document.get(key)
    if value is None:
        raise _Wrong(needed or key, "is missing")
    if not isinstance(value, dict):
        raise _Wrong(key, "is not a table")
    return value


def _string(table: dict[str, Any], section: str, key: str) -> str:
    value = table.get(key)
    if value is None:
        raise _Wrong(f"{section}.{key}", "is missing")
    if not isinstance(value, str):
        raise _Wrong(f"{section}.{key}", f"is {kind_of(value)}, not a string in quotes")
    return value


def _check_id(identifier: str) -> None:
    """Check CNB's buildpack id grammar (spec buildpack.md, buildpack.toml: letters, digits, '.', '/', '-')."""
    for segment in identifier.split("/"):
        if segment in ("", ".", "..") or not _ID_CHARACTERS.issuperset(segment):
            raise _Wrong(
                "launcher.id", f"{identifier!r} is not an id: letters, digits, '.', '-', in segments joined by '/'"
            )


def _path(table: dict[str, Any]) -> str:
    if "path" not in table:
        return ""
    path = _string(table, "launcher", "path")
    if not path.startswith("/") or "\0" in path:
        raise _Wrong("launcher.path", f"{path!r} is not an absolute path")
    segments = [segment for segment in path.split("/") if segment not in ("", ".")]
    if not segments or ".." in segments:
        raise _Wrong("launcher.path", f"{path!r} is not a plain path to a file")
    if path.endswith("/"):
        # To the kernel it is a directory's: a file of that name is refused with ENOTDIR (path_resolution(7)).
        raise _Wrong("launcher.path", f"{path!r} ends in '/', which only a directory's path does")
    if segments[0] == "cnb":
        # The app's own launcher layer always lies over that.
        raise _Wrong("launcher.path", f"{path!r} is under /cnb, which belongs to the app")
    return path


def _priority(table: dict[str, Any]) -> int:
    priority = table.get("priority", 0)
    if not isinstance(priority, int) or isinstance(priority, bool):
        raise _Wrong("launcher.priority", f"is {kind_of(priority)}, not an integer")
    if not -(2**63) <= priority < 2**63:  # what TOML guarantees; tomli itself sets no bound
        raise _Wrong("launcher.priority", "is not a 64-bit integer")
    return priority


def _opt_in_env(table: dict[str, Any]) -> str | None:
    if "opt-in-env" not in table:
        return None
    name = _string(table, "launcher", "opt-in-env")
    if not name or "=" in name or "\0" in name:
        raise _Wrong("launcher.opt-in-env", f"{name!r} is not a variable's name")
    return name


def _requires(table: dict[str, Any]) -> tuple[str, ...]:
    keys = table["requires"]
    if not isinstance(keys, list) or not all(isinstance(key, str) and key for key in keys):
        raise _Wrong("launcher.requires", "is not an array of keys in quotes")
    return tuple(keys)


def _cannot_read(kinds: Any) -> tuple[str, ...]:
    if not isinstance(kinds, list) or not all([isinstance(kind, str) for kind in kinds]):
        raise _Wrong("launcher.cannot-read", "is not an array of kinds in quotes")
    for kind in kinds:
        if kind not in ODDITIES:
            raise _Wrong("launcher.cannot-read", f"{kind!r} is not one of {', '.join(ODDITIES)}")
    return tuple(kinds)


def _sha256(table: dict[str, Any]) -> str | None:
    if "sha256" not in table:
        return None
    digest = _string(table, "launcher", "sha256")
    if len(digest) != 64 or not _HEX_DIGITS.issuperset(digest):
        raise _Wrong("launcher.sha256", f"{digest!r} is not 64 hexadecimal digits")
    return digest.lower()


def _api_set(apis: dict[str, Any], kind: str) -> ApiSet:
    table = apis.get(kind)
    section = f"apis.{kind}"
    if not isinstance(table, dict):
        raise _Wrong(section, "is missing" if table is None else "is not a table")
    supported = table.get("supported")
    if supported is None or supported in ("", []):
        raise _Wrong(f"{section}.supported", "is missing" if supported is None else "is empty")
    versions: ApiRange | list[ApiVersion]
    if isinstance(supported, str):
        try:
            versions = ApiRange(supported)
        except ValueError as error:
            raise _Wrong(f"{section}.supported", str(error)) from None
    else:
        versions = _versions(supported, f"{section}.supported")
    result = ApiSet(versions, _versions(table.get("deprecated", []), f"{section}.deprecated"))
    if "default" not in table:
        return result
    default = _version(table["default"], f"{section}.default")
    if not result.covers(default):
        raise _Wrong(f"{section}.default", f"{default} is not among those supported")
    return ApiSet(versions, result.deprecated, default)


def _versions(value: Any, key: str) -> list[ApiVersion]:
    if not isinstance(value, list):
        raise _Wrong(key, f"is {kind_of(value)}, not an array of versions in quotes")
    return [_version(item, key) for item in value]


def _version(value: Any, key: str) -> ApiVersion:
    if not isinstance(value, str):
        # An unquoted 0.10 is the float 0.1.
        raise _Wrong(key, f"holds {kind_of(value)}, not a version in quotes")
    try:
        return ApiVersion.parse(value)
    except ValueError as error:
        raise _Wrong(key, str(error)) from None
