"""CNB API versions, and the sets of them that a launcher supports. Must not know files.

The grammar and the rule are CNB's own (buildpacks/lifecycle, api/version.go and api/apis.go), not PEP 440's:
`packaging` would accept " 0.7 " and 0.7.0, reject "0.", and call 0.8 a superset of 0.7.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

_NUMBER_LIMIT = 2**64
_NUMBER_DIGITS = 20  # of 2**64; leading zeros are not counted

# The same dozen versions stand in every descriptor, so each text is parsed once per process.
_parsed: dict[str, ApiVersion] = {}


class ApiVersion(tuple[int, int]):
    """A Platform or Buildpack API version, `(major, minor)`; compares and hashes as that pair."""

    __slots__ = ()

    def __str__(self) -> str:
        """Return the canonical `major.minor`."""
        return f"{self[0]}.{self[1]}"

    @classmethod
    def parse(cls, text: str) -> ApiVersion:
        r"""Parse CNB's `v?([0-9]+)\.?([0-9]*)`, each number below 2**64, nothing trimmed.

        Source: buildpacks/lifecycle api/version.go.

        Raises:
            ValueError: the text is not of that grammar; the message quotes it.
        """
        try:
            return _parsed[text]
        except KeyError:
            pass
        major, dot, minor = text.removeprefix("v").partition(".")
        version = _parsed[text] = cls((_number(major, text), _number(minor, text) if minor else 0))
        return version

    @classmethod
    def parse_or_none(cls, text: str) -> ApiVersion | None:
        """Parse as `parse` does; None where the text is not of the grammar."""
        try:
            return cls.parse(text)
        except ValueError:
            return None


def _number(digits: str, text: str) -> int:
    # str.isdigit alone admits other scripts' digits, as Go's \d does not.
    if digits.isdigit() and digits.isascii():
        significant = digits.lstrip("0")
        # int() refuses thousands of digits with an error of its own: the length is looked at first.
        if len(significant) <= _NUMBER_DIGITS:
            number = int(significant or "0")
            if number < _NUMBER_LIMIT:
                return number
    raise ValueError(f"{text!r} is not an API version (expected MAJOR.MINOR)")


class OpenRange(ValueError):
    """Nothing closes a range above."""


class ApiRange:
    """A PEP 440 range over `major.minor` that closes above, such as ">=0.3,<=0.12".

    Admitted clauses are `<= < >= > == !=` followed by X.Y or X. A clause "X" means X.0, as in PEP 440. There is no
    pre-, post- or dev-release among API versions, so plain comparison of the pairs is PEP 440's own result; a property
    test holds it against `packaging`.
    """

    __slots__ = ("clauses", "text")

    def __init__(self, text: str) -> None:
        """Parse `text`.

        Raises:
            OpenRange: nothing closes the range above.
            ValueError: a clause is not admitted.
        """
        self.text: Final = text
        clauses: list[tuple[str, ApiVersion]] = []
        closed = False
        for clause in text.split(","):
            operator, version = _clause(clause.strip(" \t"), text)
            clauses.append((operator, version))
            closed = closed or _closes(operator, version)
        if not closed:
            raise OpenRange(f"range {text!r} is open above: add <=X.Y, or <X.Y with Y > 0")
        self.clauses: Final = tuple(clauses)

    def __contains__(self, version: ApiVersion) -> bool:
        """Tell whether `version` satisfies every clause."""
        return all(_HOLDS[operator](version, bound) for operator, bound in self.clauses)

    @property
    def newest(self) -> ApiVersion:
        """The lowest upper bound (for `<X.Y` the minor before it): nothing newer is in the range."""
        bounds = [v if o != "<" else ApiVersion((v[0], v[1] - 1)) for o, v in self.clauses if _closes(o, v)]
        return min(bounds)

    @property
    def oldest(self) -> ApiVersion:
        """The highest lower bound, 0.0 where there is none: nothing older is in the range."""
        bounds = [v if o != ">" else ApiVersion((v[0], v[1] + 1)) for o, v in self.clauses if o in (">=", ">", "==")]
        return max(bounds, default=ApiVersion((0, 0)))


# Operators are tuple's own methods: what `operator` would give, without its import.
_HOLDS = {
    "<=": tuple.__le__,
    "<": tuple.__lt__,
    ">=": tuple.__ge__,
    ">": tuple.__gt__,
    "==": tuple.__eq__,
    "!=": tuple.__ne__,
}


def _closes(operator: str, version: ApiVersion) -> bool:
    return operator in ("<=", "==") or (operator == "<" and version[1] > 0)


def _clause(clause: str, text: str) -> tuple[str, ApiVersion]:
    operator = clause[:2] if clause[:2] in _HOLDS else clause[:1]
    version = clause[len(operator) :].lstrip(" \t")
    # "===0.7" leaves "=0.7" and "==0.*" leaves "0.*": neither is a number.
    if operator in _HOLDS and version[:1].isdigit() and not version.endswith("."):
        try:
            return operator, ApiVersion.parse(version)
        except ValueError:
            pass
    raise ValueError(f"{clause!r} in range {text!r} is not one of <= < >= > == != followed by X.Y")


class ApiSet:
    """The APIs of one kind that a launcher declares: what it supports, what of that is deprecated, its default."""

    __slots__ = ("default", "deprecated", "supported")

    def __init__(
        self,
        supported: Iterable[ApiVersion] | ApiRange,
        deprecated: Iterable[ApiVersion] = (),
        default: ApiVersion | None = None,
    ) -> None:
        """Hold the declared versions.

        Args:
            supported: a list, to which CNB's rule applies, or a range.
            deprecated: the part of it that `CNB_DEPRECATION_MODE=error` takes away.
            default: what an app that recorded nothing at all is taken to have been built with, if the launcher serves
                such apps.
        """
        self.supported: Final = supported if isinstance(supported, ApiRange) else tuple(supported)
        self.deprecated: Final = tuple(deprecated)
        self.default: Final = default

    def covers(self, version: ApiVersion) -> bool:
        """Tell whether the launcher supports `version` (CNB's rule, api/apis.go `IsSupported`)."""
        if version[0] == 0 or isinstance(self.supported, ApiRange):
            return version in self.supported
        # From 1 on an entry covers the same major up to its own minor; 0.x only itself.
        return any(entry[0] == version[0] and entry[1] >= version[1] for entry in self.supported)

    def deprecates(self, version: ApiVersion) -> bool:
        """Tell whether `version` is deprecated (api/apis.go `IsDeprecated`: there, an entry "1" marks all of 1.x)."""
        if version[0] == 0:
            return version in self.deprecated
        return any(entry[0] == version[0] and version[1] >= entry[1] for entry in self.deprecated)

    @property
    def newest(self) -> ApiVersion:
        """The newest version supported."""
        return self.supported.newest if isinstance(self.supported, ApiRange) else max(self.supported)

    @property
    def oldest(self) -> ApiVersion:
        """The oldest version supported."""
        if isinstance(self.supported, ApiRange):
            return self.supported.oldest
        oldest = min(self.supported)
        return oldest if oldest[0] == 0 else ApiVersion((oldest[0], 0))
