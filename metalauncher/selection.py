"""Which launchers cover a record, and which goes first. Pure. Must not know files, wording or refusals.

Coverage is set membership under CNB's own rule, never "same major", never "newest"; the order of files decides nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Final

    from metalauncher.apis import ApiVersion
    from metalauncher.descriptor import Launcher
    from metalauncher.environment import Policy
    from metalauncher.record import Buildpack, Record
    from metalauncher.registry import Registry


class OptInNotGiven:
    """The launcher is eligible only when `variable` is true."""

    __slots__ = ("variable",)

    def __init__(self, variable: str) -> None:
        """Hold the variable's name."""
        self.variable: Final = variable


class KeyMissing:
    """The launcher can't read a metadata.toml without `key`."""

    __slots__ = ("key",)

    def __init__(self, key: str) -> None:
        """Hold the first key missing."""
        self.key: Final = key


class PlatformNotCovered:
    """The launcher does not support the Platform API."""

    __slots__ = ("api", "deprecated")

    def __init__(self, api: ApiVersion | None, *, deprecated: bool = False) -> None:
        """Hold the API (None: none was recorded, and the launcher serves no such app), and whether it is deprecated."""
        self.api: Final = api
        self.deprecated: Final = deprecated


class BuildpackNotCovered:
    """The launcher does not support the Buildpack API of a buildpack."""

    __slots__ = ("buildpack", "deprecated")

    def __init__(self, buildpack: Buildpack, *, deprecated: bool = False) -> None:
        """Hold the first such buildpack in file order, and whether its API is supported but deprecated."""
        self.buildpack: Final = buildpack
        self.deprecated: Final = deprecated


class NotPinned:
    """The launcher covers the app, but an operator's pin names another one."""

    __slots__ = ("pin",)

    def __init__(self, pin: str) -> None:
        """Hold the pin."""
        self.pin: Final = pin


if TYPE_CHECKING:
    Rejection = OptInNotGiven | KeyMissing | PlatformNotCovered | BuildpackNotCovered | NotPinned


class Sifted:
    """The registry divided by a record, both parts ranked, whatever a pin says."""

    __slots__ = ("covering", "left_out")

    def __init__(
        self, covering: tuple[Launcher, ...] = (), left_out: tuple[tuple[Launcher, Rejection], ...] = ()
    ) -> None:
        """Hold the launchers that cover the record, best first, and every other one with its reason."""
        self.covering: Final = covering
        self.left_out: Final = left_out


class Selection:
    """The launchers that cover the record, best first, and every other one with its reason."""

    __slots__ = ("left_out", "oddities", "pin", "ranked")

    def __init__(
        self,
        ranked: tuple[Launcher, ...],
        left_out: tuple[tuple[Launcher, Rejection], ...],
        pin: str | None,
        oddities: tuple[str, ...] = (),
    ) -> None:
        """Hold what was decided.

        Args:
            ranked: the ranking, never empty.
            left_out: the others, in the order of the same ranking.
            pin: the one that was obeyed.
            oddities: of the record: who can't read them goes last in the ranking.
        """
        self.ranked: Final = ranked
        self.left_out: Final = left_out
        self.pin: Final = pin
        self.oddities: Final = oddities


def sift(record: Record, registry: Registry, policy: Policy) -> Sifted:
    """Divide the registry into launchers that cover the record and those left out."""
    covering: list[Launcher] = []
    left_out: list[tuple[Launcher, Rejection]] = []
    for launcher in sorted(registry.launchers, key=_identity):
        reason = why_not(record, launcher, policy)
        if reason is None:
            covering.append(launcher)
        else:
            left_out.append((launcher, reason))
    # Sorted by id and path above, and stable: of equals up to version the first by name goes first.
    covering.sort(key=rank, reverse=True)
    left_out.sort(key=lambda pair: rank(pair[0]), reverse=True)
    if record.oddities:
        covering.sort(key=lambda launcher: not reads(launcher, record))
    return Sifted(tuple(covering), tuple(left_out))


def choose(record: Record, sifted: Sifted, policy: Policy) -> Selection | None:
    """Rank the launchers that the dispatch may become; None where there is none.

    Args:
        record: what the app recorded.
        sifted: the registry, by that record.
        policy: what the variables ask for.
    """
    if record.platform_api is None and not record.unrecorded:  # the variable was lost on the way
        return None
    ranked, left_out = sifted.covering, sifted.left_out
    if policy.pin_text:
        ranked = tuple([launcher for launcher in sifted.covering if is_pinned(launcher, policy)])
        others = [(launcher, NotPinned(policy.pin_text)) for launcher in sifted.covering if launcher not in ranked]
        left_out = (*others, *left_out)
    if not ranked or (record.defect is not None and not reads(ranked[0], record)):
        return None
    return Selection(ranked, left_out, policy.pin_text or None, record.oddities)


def _identity(launcher: Launcher) -> tuple[str, str, str]:
    # The descriptor's own path comes last, so that two which differ in nothing else still have one order.
    return launcher.id, launcher.path, launcher.descriptor


def rank(launcher: Launcher) -> tuple[bool, int, Any]:
    """Return what launchers that cover a record are sorted by, the best being the highest."""
    # Nobody but the opted-in has an opt-in variable among those that cover.
    return launcher.opt_in_env is not None, launcher.priority, launcher.version_key


def why_not(record: Record, launcher: Launcher, policy: Policy) -> Rejection | None:
    """Return the first reason why a launcher does not cover a record; None if it does."""
    reason = why_not_platform(record.platform_api, launcher, policy)
    if reason is not None:
        return reason
    for buildpack in record.buildpacks:
        api = launcher.buildpack.default if record.platform_api is None else buildpack.api
        covered = api is not None and launcher.buildpack.covers(api)
        if api is None or not covered or (policy.strict and launcher.buildpack.deprecates(api)):
            return BuildpackNotCovered(buildpack, deprecated=covered)
    for key in launcher.requires:
        if key not in record.keys:
            return KeyMissing(key)
    return None


def why_not_platform(
    api: ApiVersion | None, launcher: Launcher, policy: Policy
) -> OptInNotGiven | PlatformNotCovered | None:
    """Return why a launcher is not for a platform, or not without being asked for; None if it is.

    Args:
        api: None where none was recorded: then it is the launcher's default.
        launcher: that is looked at.
        policy: what the variables ask for.
    """
    variable = launcher.opt_in_env
    if variable is not None and not policy.opts_in(variable) and not is_pinned(launcher, policy):
        return OptInNotGiven(variable)
    if api is None:
        api = launcher.platform.default
        if api is None:
            return PlatformNotCovered(None)
    covered = launcher.platform.covers(api)
    if not covered or (policy.strict and launcher.platform.deprecates(api)):
        return PlatformNotCovered(api, deprecated=covered)
    return None


def is_pinned(launcher: Launcher, policy: Policy) -> bool:
    """Tell whether the pin, where there is one, names this launcher."""
    return policy.pin is not None and policy.pin.names(launcher.id, launcher.version_key)


def find_unread(launcher: Launcher, oddities: Iterable[str]) -> tuple[str, ...]:
    """Return those of a metadata.toml's oddities at which the launcher fails."""
    return tuple([kind for kind in oddities if kind in launcher.cannot_read])


def reads(launcher: Launcher, record: Record) -> bool:
    """Tell whether the launcher reads whatever oddities the record's file holds."""
    return not find_unread(launcher, record.oddities)
