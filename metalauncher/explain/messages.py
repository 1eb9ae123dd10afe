"""What the dispatch decides, in words: APIs and launchers as people name them, reasons.

What a whole refusal says stands in refusal_text.py. Loaded only when something is said.
"""

from __future__ import annotations

from metalauncher.selection import (
    BuildpackNotCovered,
    KeyMissing,
    NotPinned,
    OptInNotGiven,
    PlatformNotCovered,
    find_unread,
    rank,
)
from metalauncher.toml import BYTE_ORDER_MARK, CONTROL_CHARACTERS, INVALID_UTF_8, REPLACEMENT_CHARACTERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from metalauncher.apis import ApiSet, ApiVersion
    from metalauncher.decision import Decision
    from metalauncher.descriptor import Launcher
    from metalauncher.record import Buildpack, Record
    from metalauncher.selection import Rejection, Selection
    from metalauncher.versions import VersionKey

GIVEN = b"--platform-api"  # stands in the environment where this option says what CNB_PLATFORM_API is
ONLY = "the only launcher that covers the app"
_NEED_LIMIT = 50  # buildpacks listed one by one: a hostile record has a million
# What a metadata.toml may hold that some launchers can't read.
_ODDITIES: Mapping[str, str] = {
    CONTROL_CHARACTERS: "raw control characters",
    INVALID_UTF_8: "bytes that are not UTF-8",
    REPLACEMENT_CHARACTERS: "the character U+FFFD",
    BYTE_ORDER_MARK: "a byte order mark",
}


def platform_need(text: str, environment: Mapping[bytes, bytes]) -> str:
    """Say which Platform API is needed, and who says so."""
    source = "--platform-api" if GIVEN in environment else "CNB_PLATFORM_API"
    return f"Platform API {text} ({source})" if text else "no Platform API: CNB_PLATFORM_API is not set"


def app_needs(decision: Decision) -> list[str]:
    """Say what the app needs, and who says so."""
    record = decision.record
    if record is None:
        return []
    return [platform_need(record.platform_text, decision.environment), *buildpack_needs(record)]


def buildpack_needs(record: Record | None) -> list[str]:
    """Say which Buildpack APIs are needed: one line each, up to a limit."""
    if record is None:
        return []
    if not record.buildpacks:
        return [f"no Buildpack API: {record.metadata} lists no buildpack"]
    first, *others = [buildpack_need(buildpack) for buildpack in record.buildpacks[:_NEED_LIMIT]]
    more = len(record.buildpacks) - _NEED_LIMIT
    return [f"{first} ({record.metadata})", *others, *([f"and {more} more"] if more > 0 else [])]


def buildpack_need(buildpack: Buildpack) -> str:
    """Say which Buildpack API one buildpack needs."""
    name = buildpack.id or "a buildpack without id"
    if buildpack.text is None:
        return f"no Buildpack API recorded by {name}"
    return f"Buildpack API {buildpack.text}{' (malformed)' if buildpack.api is None else ''} for {name}"


def by_rank(launcher: Launcher) -> tuple[int, VersionKey, str, str]:
    """Return what launchers are sorted by, for people."""
    return launcher.priority, launcher.version_key, launcher.id, launcher.descriptor


def describe(launcher: Launcher) -> str:
    """Name a launcher, what it supports, and what makes it eligible."""
    text = f"{launcher!r}: Platform API {span(launcher.platform)}, Buildpack API {span(launcher.buildpack)}"
    return text + f", only with {launcher.opt_in_env}=true" if launcher.opt_in_env else text


def span(apis: ApiSet) -> str:
    """Write a set of APIs as people do: `0.3 to 0.12`, gaps shown."""
    if not isinstance(apis.supported, tuple):
        return apis.supported.text
    runs: list[list[ApiVersion]] = []
    for version in sorted(set(apis.supported)):
        if runs and runs[-1][-1][0] == version[0] and runs[-1][-1][1] + 1 == version[1]:
            runs[-1].append(version)
        else:
            runs.append([version])
    return ", ".join([str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs])


def why(reason: Rejection) -> str:
    """Say why a launcher was left out."""
    match reason:
        case OptInNotGiven():
            return f"is used only with {reason.variable}=true"
        case KeyMissing():
            return f"requires '{reason.key}' in metadata.toml"
        case NotPinned():
            return f"covers the app, but METALAUNCHER_PIN={reason.pin}"
        case BuildpackNotCovered():
            if reason.buildpack.text is None:
                return f"buildpack '{reason.buildpack.id}' recorded no Buildpack API"
            state = "deprecated (CNB_DEPRECATION_MODE=error)" if reason.deprecated else "not supported"
            return f"Buildpack API {reason.buildpack.text} of buildpack '{reason.buildpack.id}' is {state}"
        case PlatformNotCovered():
            if reason.api is None:
                return "has no default for an app that recorded no Platform API"
            state = "deprecated (CNB_DEPRECATION_MODE=error)" if reason.deprecated else "not supported"
            return f"Platform API {reason.api} is {state}"


def name_oddities(kinds: Sequence[str]) -> str:
    """Name what a metadata.toml holds: `raw control characters and a byte order mark`."""
    return " and ".join([_ODDITIES[kind] for kind in kinds])


def can_not_read(launcher: Launcher, oddities: Sequence[str]) -> str:
    """Say what of a metadata.toml a launcher can't read, after its name; "" where it can read all of it."""
    kinds = find_unread(launcher, oddities)
    return f"can't read {name_oddities(kinds)}, which this metadata.toml holds" if kinds else ""


def decided_by(selection: Selection) -> str:
    """Say which rule of the ranking put the first launcher before the second (docs/reference/descriptor.md)."""
    chosen = selection.ranked[0]
    better = [
        launcher
        for launcher in selection.ranked
        if find_unread(launcher, selection.oddities) and rank(launcher) >= rank(chosen)
    ]
    if better and chosen not in better:  # only for what it can't read does a better one go behind
        pinned = f"pinned by METALAUNCHER_PIN={selection.pin}; of those, " if selection.pin else ""
        return f"{pinned}the first that can read the app's metadata.toml: {better[0]!r} " + can_not_read(
            better[0], selection.oddities
        )
    if len(selection.ranked) == 1:
        return f"pinned by METALAUNCHER_PIN={selection.pin}" if selection.pin else ONLY
    second = selection.ranked[1]
    pinned = f"pinned by METALAUNCHER_PIN={selection.pin}; of those, " if selection.pin else ""
    if (chosen.opt_in_env is None) != (second.opt_in_env is None):
        return f"{pinned}opted in by {chosen.opt_in_env}, before {second!r}"
    if chosen.priority != second.priority:
        return f"{pinned}priority {chosen.priority}, before {second!r} with {second.priority}"
    if chosen.version_key != second.version_key:
        return f"{pinned}the highest version that covers the app, before {second!r}"
    return f"{pinned}first by id and path among equals; next is {second!r} ({second.descriptor})"
