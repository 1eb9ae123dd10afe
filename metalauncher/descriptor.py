"""One descriptor: a TOML document -> the launcher that it declares. Pure. Must not know files or records.

docs/reference/descriptor.md is the format's reference.
"""

from __future__ import annotations

from metalauncher.apis import ApiRange, ApiSet, ApiVersion, OpenRange
from metalauncher.places import LAUNCHERS
from metalauncher.toml import ODDITIES, kind_of
from metalauncher.versions import version_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from metalauncher.versions import VersionKey

LAUNCHER_KEYS = frozenset(
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
            opt_in_env: the variable that must be true for it to be eligible.
            requires: keys the app's metadata.toml must have.
            cannot_read: oddities of a metadata.toml at which it fails, of `toml.ODDITIES`.
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


class Mask:
    """A descriptor that only takes away the image's of the same name."""


MASK = Mask()


# What can be wrong with a key: codes for programs, `reason` has the words.
INVALID, WRONG_TYPE, UNKNOWN_KEY, OPEN_RANGE, APP_PATH, DIRECTORY_PATH = (
    "invalid",
    "wrong-type",
    "unknown-key",
    "open-range",
    "app-path",
    "directory-path",
)


class InvalidValue(Exception):
    """A key's value is not what the format says."""

    def __init__(self, key: str, reason: str, code: str = INVALID) -> None:
        """Hold what is wrong.

        Args:
            key: dotted, "" for the document as a whole.
            reason: in words.
            code: one of the six above.
        """
        super().__init__(key, reason, code)
        self.key: Final = key
        self.reason: Final = reason
        self.code: Final = code


def parse_descriptor(document: dict[str, Any], shown: str = "") -> Launcher | Mask:
    """Return what a descriptor declares.

    Args:
        document: its content.
        shown: the path of its file, which the launcher keeps.

    Raises:
        InvalidValue: it is neither a launcher's nor a mask; the first thing that is wrong.
    """
    if not document:
        raise InvalidValue("", "is empty")
    schema = document.get("schema-version", "1")
    if schema != "1":
        raise InvalidValue("schema-version", 'is not "1", the one that this metalauncher knows')
    table = _table(document, "launcher")
    if table.get("masked", False) is not False:
        return _mask(document, table)
    for key in table:
        if key not in LAUNCHER_KEYS:
            raise InvalidValue(f"launcher.{key}", "unknown key", UNKNOWN_KEY)
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
        raise InvalidValue("launcher.version" if "version" in table else "lifecycle.version", str(error)) from None


def _mask(document: dict[str, Any], table: dict[str, Any]) -> Mask:
    # Only this very form masks: a mask with more in it may be a descriptor that somebody began to edit.
    if (
        table != {"masked": True}
        or table["masked"] is not True
        or not document.keys() <= {"launcher", "schema-version"}
    ):
        raise InvalidValue("launcher.masked", "a mask holds only [launcher] with masked = true")
    return MASK


def _table(document: dict[str, Any], key: str, needed: str = "") -> dict[str, Any]:
    value = document.get(key)
    if value is None:
        raise InvalidValue(needed or key, "is missing")
    if not isinstance(value, dict):
        raise InvalidValue(key, "is not a table", WRONG_TYPE)
    return value


def _string(table: dict[str, Any], section: str, key: str) -> str:
    value = table.get(key)
    if value is None:
        raise InvalidValue(f"{section}.{key}", "is missing")
    if not isinstance(value, str):
        raise InvalidValue(f"{section}.{key}", f"is {kind_of(value)}, not a string in quotes", WRONG_TYPE)
    return value


def _check_id(identifier: str) -> None:
    """Check CNB's buildpack id grammar (spec buildpack.md, buildpack.toml: letters, digits, '.', '/', '-')."""
    for segment in identifier.split("/"):
        if segment in ("", ".", "..") or not _ID_CHARACTERS.issuperset(segment):
            raise InvalidValue(
                "launcher.id", f"{identifier!r} is not an id: letters, digits, '.', '-', in segments joined by '/'"
            )


def _path(table: dict[str, Any]) -> str:
    if "path" not in table:
        return ""
    path = _string(table, "launcher", "path")
    if not path.startswith("/") or "\0" in path:
        raise InvalidValue("launcher.path", f"{path!r} is not an absolute path")
    segments = [segment for segment in path.split("/") if segment not in ("", ".")]
    if not segments or ".." in segments:
        raise InvalidValue("launcher.path", f"{path!r} is not a plain path to a file")
    if path.endswith("/"):
        # To the kernel it is a directory's: a file of that name is refused with ENOTDIR (path_resolution(7)).
        raise InvalidValue("launcher.path", f"{path!r} ends in '/', which only a directory's path does", DIRECTORY_PATH)
    if segments[0] == "cnb":
        # The app's own launcher layer always lies over that.
        raise InvalidValue("launcher.path", f"{path!r} is under /cnb, which belongs to the app", APP_PATH)
    return path


def _priority(table: dict[str, Any]) -> int:
    priority = table.get("priority", 0)
    if not isinstance(priority, int) or isinstance(priority, bool):
        raise InvalidValue("launcher.priority", f"is {kind_of(priority)}, not an integer", WRONG_TYPE)
    if not -(2**63) <= priority < 2**63:  # what TOML guarantees; tomli itself sets no bound
        raise InvalidValue("launcher.priority", "is not a 64-bit integer")
    return priority


def _opt_in_env(table: dict[str, Any]) -> str | None:
    if "opt-in-env" not in table:
        return None
    name = _string(table, "launcher", "opt-in-env")
    if not name or "=" in name or "\0" in name:
        raise InvalidValue("launcher.opt-in-env", f"{name!r} is not a variable's name")
    return name


def _requires(table: dict[str, Any]) -> tuple[str, ...]:
    keys = table["requires"]
    if not isinstance(keys, list) or not all(isinstance(key, str) and key for key in keys):
        raise InvalidValue("launcher.requires", "is not an array of keys in quotes")
    return tuple(keys)


def _cannot_read(kinds: Any) -> tuple[str, ...]:
    if not isinstance(kinds, list) or not all([isinstance(kind, str) for kind in kinds]):
        raise InvalidValue("launcher.cannot-read", "is not an array of kinds in quotes")
    for kind in kinds:
        if kind not in ODDITIES:
            raise InvalidValue("launcher.cannot-read", f"{kind!r} is not one of {', '.join(ODDITIES)}")
    return tuple(kinds)


def _sha256(table: dict[str, Any]) -> str | None:
    if "sha256" not in table:
        return None
    digest = _string(table, "launcher", "sha256")
    if len(digest) != 64 or not _HEX_DIGITS.issuperset(digest):
        raise InvalidValue("launcher.sha256", f"{digest!r} is not 64 hexadecimal digits")
    return digest.lower()


def _api_set(apis: dict[str, Any], kind: str) -> ApiSet:
    table = apis.get(kind)
    section = f"apis.{kind}"
    if not isinstance(table, dict):
        raise (
            InvalidValue(section, "is missing")
            if table is None
            else InvalidValue(section, "is not a table", WRONG_TYPE)
        )
    supported = table.get("supported")
    if supported is None or supported in ("", []):
        raise InvalidValue(f"{section}.supported", "is missing" if supported is None else "is empty")
    versions: ApiRange | list[ApiVersion]
    if isinstance(supported, str):
        try:
            versions = ApiRange(supported)
        except OpenRange as error:
            raise InvalidValue(f"{section}.supported", str(error), OPEN_RANGE) from None
        except ValueError as error:
            raise InvalidValue(f"{section}.supported", str(error)) from None
    else:
        versions = _versions(supported, f"{section}.supported")
    result = ApiSet(versions, _versions(table.get("deprecated", []), f"{section}.deprecated"))
    if "default" not in table:
        return result
    default = _version(table["default"], f"{section}.default")
    if not result.covers(default):
        raise InvalidValue(f"{section}.default", f"{default} is not among those supported")
    return ApiSet(versions, result.deprecated, default)


def _versions(value: Any, key: str) -> list[ApiVersion]:
    if not isinstance(value, list):
        raise InvalidValue(key, f"is {kind_of(value)}, not an array of versions in quotes", WRONG_TYPE)
    return [_version(item, key) for item in value]


def _version(value: Any, key: str) -> ApiVersion:
    if not isinstance(value, str):
        # An unquoted 0.10 is the float 0.1.
        raise InvalidValue(key, f"holds {kind_of(value)}, not a version in quotes", WRONG_TYPE)
    try:
        return ApiVersion.parse(value)
    except ValueError as error:
        raise InvalidValue(key, str(error)) from None
