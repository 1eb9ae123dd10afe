"""Decide which launcher serves a record. Pure: no files, and the same answer whatever the order of files.

Coverage is set membership under CNB's own rule, never "same major", never "newest".
"""

from __future__ import annotations

from metalauncher.refusals import (
    BuildpackApisNotCovered,
    MetadataKeyMissing,
    MetadataUnreadable,
    NoLauncherInstalled,
    PinUnsatisfied,
    PlatformApiAbsent,
    PlatformApiNotCovered,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any, Final

    from metalauncher.apis import ApiSet, ApiVersion
    from metalauncher.descriptor import Launcher
    from metalauncher.pins import Pin
    from metalauncher.record import Buildpack, Record
    from metalauncher.refusals import Refusal
    from metalauncher.registry import Registry

# What Go's strconv.ParseBool takes for true; launchers read CNB_NO_COLOR with it.
TRUE_VALUES = frozenset((b"1", b"t", b"T", b"true", b"TRUE", b"True"))


class OptInNotGiven:
    """The launcher takes part only when `variable` is true."""

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


def select(record: Record, registry: Registry, environment: Mapping[bytes, bytes]) -> Selection | Refusal:
    """Rank the launchers of `registry` that cover `record`.

    Args:
        record: what the app recorded.
        registry: the launchers there are.
        environment: read for opt-in variables, `CNB_DEPRECATION_MODE` and `METALAUNCHER_PIN`.

    Returns:
        The selection, or the reason why there is none: the first that applies in the order of docs/exit-codes.md.
    """
    refusal = refuse_platform(record.platform_api, record.platform_text, registry, environment)
    if refusal is not None:
        return refusal
    if record.defect is not None and not any([_reads(launcher, record) for launcher in registry.launchers]):
        return MetadataUnreadable(record.metadata, record.defect)
    if record.platform_api is None and not record.unrecorded:
        return PlatformApiAbsent(stripped=True)
    ranked, left_out = sift(record, registry, environment)
    if not ranked:
        return _not_covered(record, left_out, strict=_is_strict(environment))
    outcome = _obey_pin(ranked, left_out, environment, record.oddities)
    if record.defect is not None and isinstance(outcome, Selection) and not _reads(outcome.ranked[0], record):
        return MetadataUnreadable(record.metadata, record.defect)
    return outcome


def find_unread(launcher: Launcher, oddities: Iterable[str]) -> tuple[str, ...]:
    """Return those of a metadata.toml's oddities at which the launcher fails."""
    return tuple([kind for kind in oddities if kind in launcher.cannot_read])


def _reads(launcher: Launcher, record: Record) -> bool:
    return not find_unread(launcher, record.oddities)


def refuse_platform(
    api: ApiVersion | None, text: str, registry: Registry, environment: Mapping[bytes, bytes]
) -> Refusal | None:
    """Return why the Platform API alone already ends the dispatch, before metadata.toml is opened; None if it doesn't.

    Every launcher of CNB checks the platform first as well (spec platform.md, "Platform API compatibility").
    """
    if not registry.launchers:
        return NoLauncherInstalled()
    if api is None:  # the file has to tell whether it was stripped or never recorded
        return None
    strict = _is_strict(environment)
    pin = _read_pin(environment)
    deprecated = False
    for launcher in registry.launchers:
        if launcher.platform.covers(api) and _takes_part(launcher, environment, pin):
            if not (strict and launcher.platform.deprecates(api)):
                return None
            deprecated = True
    return PlatformApiNotCovered(api, text, deprecated=deprecated)


def sift(
    record: Record, registry: Registry, environment: Mapping[bytes, bytes]
) -> tuple[list[Launcher], list[tuple[Launcher, Rejection]]]:
    """Divide the registry into launchers that cover the record and those left out, both ranked; pins apart."""
    pin = _read_pin(environment)
    strict = _is_strict(environment)
    ranked: list[Launcher] = []
    left_out: list[tuple[Launcher, Rejection]] = []
    for launcher in sorted(registry.launchers, key=_identity):
        reason = _why_not(record, launcher, environment, pin, strict=strict)
        if reason is None:
            ranked.append(launcher)
        else:
            left_out.append((launcher, reason))
    # Sorted by id and path above, and stable: of equals up to version the first by name goes first.
    ranked.sort(key=rank, reverse=True)
    left_out.sort(key=lambda pair: rank(pair[0]), reverse=True)
    if record.oddities:
        ranked.sort(key=lambda launcher: not _reads(launcher, record))
    return ranked, left_out


def _identity(launcher: Launcher) -> tuple[str, str, str]:
    # The descriptor's own path comes last, so that two which differ in nothing else still have one order.
    return launcher.id, launcher.path, launcher.descriptor


def rank(launcher: Launcher) -> tuple[bool, int, Any]:
    """Return what launchers that cover a record are sorted by, the best being the highest."""
    # Nobody but the opted-in has an opt-in variable among those that cover.
    return launcher.opt_in_env is not None, launcher.priority, launcher.version_key


def _why_not(
    record: Record, launcher: Launcher, environment: Mapping[bytes, bytes], pin: Pin | None, *, strict: bool
) -> Rejection | None:
    if not _takes_part(launcher, environment, pin):
        return OptInNotGiven(launcher.opt_in_env or "")
    platform_api = record.platform_api if record.platform_api is not None else launcher.platform.default
    if platform_api is None:
        return PlatformNotCovered(None)
    covered = launcher.platform.covers(platform_api)
    if not covered or (strict and launcher.platform.deprecates(platform_api)):
        return PlatformNotCovered(platform_api, deprecated=covered)
    for buildpack in record.buildpacks:
        api = launcher.buildpack.default if record.platform_api is None else buildpack.api
        covered = api is not None and launcher.buildpack.covers(api)
        if api is None or not covered or (strict and launcher.buildpack.deprecates(api)):
            return BuildpackNotCovered(buildpack, deprecated=covered)
    for key in launcher.requires:
        if key not in record.keys:
            return KeyMissing(key)
    return None


def _takes_part(launcher: Launcher, environment: Mapping[bytes, bytes], pin: Pin | None) -> bool:
    return (
        launcher.opt_in_env is None
        or environment.get(launcher.opt_in_env.encode()) in TRUE_VALUES
        or (pin is not None and pin.names(launcher.id, launcher.version_key))
    )


def _is_strict(environment: Mapping[bytes, bytes]) -> bool:
    return environment.get(b"CNB_DEPRECATION_MODE") == b"error"


def _read_pin(environment: Mapping[bytes, bytes]) -> Pin | None:
    """Return the pin, None if there is none or if it is malformed; that is reported in its turn."""
    text = environment.get(b"METALAUNCHER_PIN")
    try:
        return _parse_pin(text.decode("utf-8", "surrogateescape")) if text else None
    except ValueError:
        return None


def _parse_pin(text: str) -> Pin:
    from metalauncher.pins import Pin  # a dispatch without a pin does without it

    return Pin(text)


def _not_covered(record: Record, left_out: list[tuple[Launcher, Rejection]], *, strict: bool) -> Refusal:
    if record.unrecorded:
        return PlatformApiAbsent(stripped=False)
    offences = [(launcher, reason) for launcher, reason in left_out if isinstance(reason, BuildpackNotCovered)]
    if not offences:  # the Platform API is covered, so what is left is a missing key
        return next(MetadataKeyMissing(launcher, why.key) for launcher, why in left_out if isinstance(why, KeyMissing))
    launcher, offence = offences[0]
    sets = [candidate.buildpack for candidate, _ in offences]
    return BuildpackApisNotCovered(
        launcher,
        offence.buildpack,
        deprecated=offence.deprecated,
        # Where a launcher lacks but a key, it does support them together.
        each_covered=not any(isinstance(why, KeyMissing) for _, why in left_out)
        and all(_some_covers(sets, buildpack, strict=strict) for buildpack in record.buildpacks),
    )


def _some_covers(sets: list[ApiSet], buildpack: Buildpack, *, strict: bool) -> bool:
    api = buildpack.api
    return api is not None and any(apis.covers(api) and not (strict and apis.deprecates(api)) for apis in sets)


def _obey_pin(
    ranked: list[Launcher],
    left_out: list[tuple[Launcher, Rejection]],
    environment: Mapping[bytes, bytes],
    oddities: tuple[str, ...],
) -> Selection | Refusal:
    text = environment.get(b"METALAUNCHER_PIN", b"").decode("utf-8", "surrogateescape")
    if not text:
        return Selection(tuple(ranked), tuple(left_out), None, oddities)
    try:
        pin = _parse_pin(text)
    except ValueError as error:
        return PinUnsatisfied(text, str(error))
    named = [launcher for launcher in ranked if pin.names(launcher.id, launcher.version_key)]
    if not named:
        return PinUnsatisfied(text, None)
    others: list[tuple[Launcher, Rejection]] = [
        (launcher, NotPinned(text)) for launcher in ranked if launcher not in named
    ]
    return Selection(tuple(named), (*others, *left_out), text, oddities)
