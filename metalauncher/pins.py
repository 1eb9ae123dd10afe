"""`METALAUNCHER_PIN`: an operator's demand for one launcher, `ID[@SPEC]`. Must not know launchers or variables."""

from __future__ import annotations

from metalauncher.versions import DEV_ONLY, FINAL, NO_DEV, NO_POST, version_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from metalauncher.versions import VersionKey

_OPERATORS = ("~=", "==", "!=", "<=", ">=", "<", ">")


class Pin:
    """A parsed pin."""

    __slots__ = ("_clauses", "id")

    def __init__(self, text: str) -> None:
        """Parse `ID`, `ID@VERSION` (meaning `==VERSION`) or `ID@RANGE` (PEP 440 version specifiers, without `===`).

        Raises:
            ValueError: there is no id, or what follows "@" is neither a version nor a range.
        """
        identifier, at, spec = text.partition("@")
        self.id: Final = identifier
        self._clauses: Final = _clauses(spec) if at else []
        if not identifier:
            raise ValueError("it names no launcher")

    def names(self, identifier: str, version: VersionKey) -> bool:
        """Tell whether this is the launcher, or one of the launchers, meant."""
        return identifier == self.id and all([_holds(operator, version, bound) for operator, bound in self._clauses])


def _clauses(spec: str) -> list[tuple[str, str]]:
    clauses: list[tuple[str, str]] = []
    for part in spec.split(","):
        clause = part.strip()
        operator = next((o for o in _OPERATORS if clause.startswith(o)), "")
        bound = clause.removeprefix(operator).strip()
        if clause:
            clauses.append((operator or "==", bound))
    if not clauses or not all([_is_valid(operator, bound) for operator, bound in clauses]):
        raise ValueError(f"{spec!r} is neither a version nor a range of PEP 440")
    return clauses


def _is_valid(operator: str, bound: str) -> bool:
    wildcard = operator in ("==", "!=") and bound.endswith(".*")
    try:
        _, _, pre, post, dev, local = version_key(bound.removesuffix(".*") if wildcard else bound)
    except ValueError:
        return False
    if wildcard:
        return (pre, post, dev, local) == (FINAL, NO_POST, NO_DEV, ())
    if operator == "~=" and not _series(bound).rpartition("!")[2]:  # there is no series of one number
        return False
    return not local or operator in ("==", "!=")


def _holds(operator: str, version: VersionKey, bound: str) -> bool:
    """Evaluate one clause (PEP 440, "Version specifiers")."""
    if operator == "!=":
        return not _holds("==", version, bound)
    if bound.endswith(".*"):
        return _begins(version, bound.removesuffix(".*"))
    key = version_key(bound)
    public = (*version[:5], ())
    if operator == "==":
        return (version if key[5] else public) == key
    if operator == "<=":
        return public <= key
    if operator == ">=":
        return public >= key
    if operator == "~=":
        return public >= key and _begins(version, _series(bound))
    epoch, release, pre, post, dev, _ = key
    if operator == "<":
        if not _is_pre(key):  # neither the pre-releases of the very version that is excluded
            key = (epoch, release, pre if post != NO_POST else DEV_ONLY, post, (0, 0), ())
        return version < key
    # ">": neither the local versions of the one that is excluded, nor, unless it is one itself, its post-releases.
    if dev != NO_DEV:
        return version >= (epoch, release, pre, post, (0, dev[1] + 1), ())
    if post != NO_POST:
        return version >= (epoch, release, pre, post + 1, (0, 0), ())
    return version > key and version[:3] != key[:3]


def _is_pre(key: VersionKey) -> bool:
    return key[2] != FINAL or key[4] != NO_DEV


def _begins(version: VersionKey, prefix: str) -> bool:
    """Tell whether the release begins with that of `prefix`, zeros padded."""
    epoch, bang, release = prefix.lower().removeprefix("v").rpartition("!")
    numbers = tuple([int(number) for number in release.split(".")])
    padded = version[1] + (0,) * len(numbers)
    return version[0] == int(epoch or "0") and padded[: len(numbers)] == numbers


def _series(bound: str) -> str:
    """Return the release of `bound` without its last number, as `~=` compares it, epoch kept."""
    epoch, bang, rest = bound.lower().removeprefix("v").rpartition("!")
    numbers: list[str] = []
    for part in rest.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(digits)
        if digits != part:
            break
    return epoch + bang + ".".join(numbers[:-1])
