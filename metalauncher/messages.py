"""Refusals and reasons in words, for people at 3 a.m.: need, have, nearest, do. Loaded only when something is said.

First comes CNB's own text where there is one, because people search for it (buildpacks/lifecycle cmd/apis.go,
cmd/launcher/cli/launcher.go); the last line is a command to run.
"""

from __future__ import annotations

from metalauncher.errors import (
    INTERNAL,
    BuildpackApisNotCovered,
    MetadataKeyMissing,
    MetadataUnreadable,
    NoLauncherInstalled,
    NothingExecuted,
    PinUnsatisfied,
    PlatformApiAbsent,
    PlatformApiMalformed,
    PlatformApiNotCovered,
    errno_text,
)
from metalauncher.pins import Pin
from metalauncher.places import EXECUTABLE
from metalauncher.releases import RELEASES, supporting
from metalauncher.selection import (
    TRUE_VALUES,
    BuildpackNotCovered,
    KeyMissing,
    NotPinned,
    OptInNotGiven,
    PlatformNotCovered,
    sift,
)
from metalauncher.terminal import RED, STDERR, YELLOW, write_lines, write_message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from metalauncher.apis import ApiSet, ApiVersion
    from metalauncher.errors import Refusal
    from metalauncher.launch import Decision
    from metalauncher.record import Buildpack, Record
    from metalauncher.registry import Launcher
    from metalauncher.selection import Rejection, Selection
    from metalauncher.versions import VersionKey

WHICH = f"{EXECUTABLE} --which"
_HAVE_LIMIT = 20  # launchers and broken descriptors listed one by one
_NEED_LIMIT = 50  # buildpacks listed one by one: a hostile record has a million
_INCOMPATIBLE = "is incompatible with the lifecycle"
_ABSENT = (
    "failed to get platform API version; please set 'CNB_PLATFORM_API' to specify the desired platform API version"
)


def warn(text: str, environment: Mapping[bytes, bytes]) -> None:
    """Write one warning line on stderr."""
    write_message("Warning: ", YELLOW, [f"Warning: {text}"], environment)


def refuse(refusal: Refusal, decision: Decision) -> None:
    """Write a refusal on stderr."""
    write_message("ERROR: ", RED, refusal_lines(refusal, decision), decision.environment)


def report_bug(error: Exception) -> int:
    """Write one line about an exception that should not have been; return the exit code for it."""
    write_lines(STDERR, [f"ERROR: metalauncher: internal error: {type(error).__name__}: {error}"])
    return INTERNAL


def refusal_lines(refusal: Refusal, decision: Decision) -> list[str]:
    """Return the whole text of a refusal, line by line."""
    lines = ["ERROR: " + line for line in headline(refusal)]
    for label, texts in (
        ("need:", _need(refusal, decision)),
        ("have:", _have(refusal, decision)),
        ("nearest:", _nearest(refusal, decision)),
        ("do:", _do(refusal, decision)),
    ):
        lines += [f"  {label if number == 0 else '':<9}{text}" for number, text in enumerate(texts)]
    return lines


def headline(refusal: Refusal) -> list[str]:
    """Return the first lines: CNB's own text where it has one."""
    match refusal:
        case PlatformApiMalformed():
            # A blank one is what launchers since 0.18 call absent.
            return [f"failed to parse platform API '{refusal.text}'" if refusal.text.strip() else _ABSENT]
        case PlatformApiAbsent():
            return [_ABSENT]
        case PlatformApiNotCovered():
            return [
                *_deprecated(f"Platform requested deprecated API '{refusal.text}'", refusal.deprecated),
                f"failed to set platform API: platform API version '{refusal.text}' {_INCOMPATIBLE}",
            ]
        case BuildpackApisNotCovered():
            identifier, text = refusal.offender.id, refusal.offender.text
            if refusal.offender.api is None:
                # The literal is CNB's: its launchers print what they failed to parse, not what they were given.
                return [f"failed to parse buildpack API '<nil>' for buildpack '{identifier}'"]
            return [
                *_deprecated(f"buildpack '{identifier}' requests deprecated API '{text}'", refusal.deprecated),
                f"failed to set API for buildpack '{identifier}': buildpack API version '{text}' {_INCOMPATIBLE}",
            ]
        case MetadataKeyMissing():
            return [f"no launcher can read this app's metadata: '{refusal.key}' is missing from it"]
        case MetadataUnreadable():
            return [f"failed to read metadata: open {refusal.path}: {refusal.detail}"]
        case PinUnsatisfied():
            what = (
                "is malformed: " + refusal.malformed if refusal.malformed else "is not among those that cover this app"
            )
            return [f"pinned launcher '{refusal.pin}' {what}"]
        case NothingExecuted():
            first = refusal.failures[0]
            return [f"failed to launch: {first.path}: {first.reason}"]
        case NoLauncherInstalled():
            return ["no launcher is installed: there is no usable descriptor"]


def _deprecated(line: str, deprecated: bool) -> list[str]:
    return [line, "Deprecated APIs are disabled by CNB_DEPRECATION_MODE=error"] if deprecated else []


def _need(refusal: Refusal, decision: Decision) -> list[str]:
    match refusal:
        case PlatformApiMalformed():
            return [f"CNB_PLATFORM_API as MAJOR.MINOR, such as 0.12; it is {refusal.text!r}"]
        case PlatformApiAbsent(stripped=True):
            return [
                "CNB_PLATFORM_API, the Platform API that this app was exported with",
                *_buildpack_needs(decision.record),
            ]
        case PlatformApiAbsent():
            return [
                "a launcher for an app that recorded no API at all: CNB_PLATFORM_API is not set, and no buildpack in"
                f" {_metadata(decision)} has an api",
            ]
        case PlatformApiNotCovered():
            return [_platform_need(refusal.text)]
        case MetadataUnreadable():
            return ["the app's metadata.toml, which says which Buildpack APIs the app was built with"]
        case MetadataKeyMissing():
            return [*app_needs(decision.record), f"a launcher that reads a metadata.toml without '{refusal.key}'"]
        case NoLauncherInstalled():
            return ["at least one launcher with a valid descriptor"]
        case PinUnsatisfied():
            pin = (
                "METALAUNCHER_PIN as ID, ID@VERSION or ID@RANGE"
                if refusal.malformed
                else f"METALAUNCHER_PIN={refusal.pin}"
            )
            return [pin, *app_needs(decision.record)]
        case BuildpackApisNotCovered() | NothingExecuted():
            return app_needs(decision.record)


def _platform_need(text: str) -> str:
    return f"Platform API {text} (CNB_PLATFORM_API)" if text else "no Platform API: CNB_PLATFORM_API is not set"


def app_needs(record: Record | None) -> list[str]:
    """Say what the app needs, and who says so."""
    return [] if record is None else [_platform_need(record.platform_text), *_buildpack_needs(record)]


def _buildpack_needs(record: Record | None) -> list[str]:
    if record is None:
        return []
    if not record.buildpacks:
        return [f"no Buildpack API: {record.metadata} lists no buildpack"]
    first, *others = [_buildpack_need(buildpack) for buildpack in record.buildpacks[:_NEED_LIMIT]]
    more = len(record.buildpacks) - _NEED_LIMIT
    return [f"{first} ({record.metadata})", *others, *([f"and {more} more"] if more > 0 else [])]


def _buildpack_need(buildpack: Buildpack) -> str:
    name = buildpack.id or "a buildpack without id"
    if buildpack.text is None:
        return f"no Buildpack API recorded by {name}"
    return f"Buildpack API {buildpack.text}{' (malformed)' if buildpack.api is None else ''} for {name}"


def _have(refusal: Refusal, decision: Decision) -> list[str]:
    if isinstance(refusal, (PlatformApiMalformed, MetadataUnreadable)):
        return []  # no launcher would do
    if isinstance(refusal, NothingExecuted):
        have = [str(failure) for failure in refusal.failures]
        return have + [f"left out: {broken}" for broken in decision.registry.invalid[:_HAVE_LIMIT]]
    registry = decision.registry
    launchers = sorted(registry.launchers, key=_by_rank, reverse=True)
    have = [f"{describe(launcher)} ({launcher.descriptor})" for launcher in launchers]
    have += [f"left out: {broken}" for broken in registry.invalid]
    have += [f"masked: {image} by {mask}" for image, mask in registry.masked if image]
    if len(have) > _HAVE_LIMIT:
        have[_HAVE_LIMIT:] = [f"and {len(have) - _HAVE_LIMIT} more"]
    return have or [f"no descriptor in {' or '.join(registry.directories)}"]


def _by_rank(launcher: Launcher) -> tuple[int, VersionKey, str, str]:
    return launcher.priority, launcher.version_key, launcher.id, launcher.descriptor


def describe(launcher: Launcher) -> str:
    """Name a launcher, what it supports, and what it takes for it to take part."""
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


def _nearest(refusal: Refusal, decision: Decision) -> list[str]:
    launchers = decision.registry.launchers
    match refusal:
        case PlatformApiNotCovered():
            sets = [(launcher, launcher.platform) for launcher in launchers]
            return [_how_far("Platform", refusal.api, sets, refusal.deprecated)]
        case BuildpackApisNotCovered():
            return _nearest_buildpack(refusal, decision)
        case PlatformApiAbsent(stripped=True):
            return [
                "a launcher removes CNB_PLATFORM_API from what it starts: an app that starts a launcher again has to"
                " set it; or the container was started with an environment of its own",
            ]
        case PlatformApiAbsent():
            return [
                "lifecycle 0.8 and earlier recorded no APIs; a launcher serves such apps if its descriptor has defaults"
            ]
        case MetadataKeyMissing():
            return [f"{refusal.launcher!r} covers the app's APIs, but requires '{refusal.key}' in metadata.toml"]
        case PlatformApiMalformed() | MetadataUnreadable() | NoLauncherInstalled():
            return []
        case PinUnsatisfied():
            return _nearest_pin(refusal, decision)
        case NothingExecuted():
            return []


def _nearest_pin(refusal: PinUnsatisfied, decision: Decision) -> list[str]:
    lines: list[str] = []
    if refusal.malformed is None and decision.record is not None:
        pin = Pin(refusal.pin)
        _, left_out = sift(decision.record, decision.registry, decision.environment)
        named = [pair for pair in left_out if pin.names(pair[0].id, pair[0].version_key)]
        lines = [f"{launcher!r} is left out: {why(reason)}" for launcher, reason in named]
        lines = lines or [f"no launcher here is called {refusal.pin}"]
    covering = decision.covering()
    return [*lines, "without the pin: " + ", ".join([repr(launcher) for launcher in covering])] if covering else lines


def _nearest_buildpack(refusal: BuildpackApisNotCovered, decision: Decision) -> list[str]:
    offender = refusal.offender
    if offender.api is None:
        if offender.text is not None:
            return [f"{offender.text!r} is not MAJOR.MINOR, such as 0.10"]
        return [
            f"buildpack '{offender.id}' has no api: usually {_metadata(decision)} was restored from the image's labels,"
            " which never carry it",
        ]
    lines = [_how_far("Buildpack", offender.api, [(refusal.launcher, refusal.launcher.buildpack)], refusal.deprecated)]
    if refusal.each_covered:
        lines.append("each of these APIs is supported by some launcher, but no single launcher supports them together")
    return lines


def _how_far(kind: str, api: ApiVersion, sets: Sequence[tuple[Launcher, ApiSet]], deprecated: bool) -> str:
    """Say on which side of what there is an API lies, and which launcher comes nearest."""
    newest, best = max([(apis.newest, launcher) for launcher, apis in sets], key=_bound)
    oldest, first = min([(apis.oldest, launcher) for launcher, apis in sets], key=_bound)
    if api > newest:
        return f"{best!r}, up to {kind} API {newest}: {api} is too new for it"
    if api < oldest:
        return f"{first!r}, from {kind} API {oldest}: {api} is too old for it"
    for launcher, apis in sets:
        if apis.covers(api) and (not deprecated or apis.deprecates(api)):
            reason = (
                f"{api} is deprecated, and CNB_DEPRECATION_MODE=error"
                if deprecated
                else f"it takes part only with {launcher.opt_in_env}=true"
            )
            return f"{launcher!r} supports {kind} API {api}, but is left out: {reason}"
    older = max([(apis.newest, launcher) for launcher, apis in sets if apis.newest < api], key=_bound, default=None)
    newer = min([(apis.oldest, launcher) for launcher, apis in sets if apis.oldest > api], key=_bound, default=None)
    if older and newer:
        return (
            f"{api} is too new for {older[1]!r}, up to {kind} API {older[0]}, and too old for {newer[1]!r}, from"
            f" {newer[0]}"
        )
    return f"{best!r}, up to {kind} API {newest}: {api} is not among what it supports"


def _bound(pair: tuple[ApiVersion, Launcher]) -> ApiVersion:
    return pair[0]


def _do(refusal: Refusal, decision: Decision) -> list[str]:
    match refusal:
        case PlatformApiMalformed():
            return ["start the container with the CNB_PLATFORM_API of the image's config, unchanged", _INSPECT]
        case PlatformApiAbsent(stripped=True):
            return ["set CNB_PLATFORM_API to its value in the image's config", _INSPECT]
        case PlatformApiAbsent():
            return [
                "if the image's config has a CNB_PLATFORM_API, start the container with it; else rebuild the app, or"
                " add a launcher for such apps (lifecycle 0.9.3) to the run image",
                _INSPECT,
            ]
        case PlatformApiNotCovered():
            add = _add_launcher(refusal.api, (), f"Platform API {refusal.api}", refusal.deprecated)
            return [*_opt_in(refusal, decision), add, WHICH]
        case BuildpackApisNotCovered():
            return [*_opt_in_for_all(refusal, decision), _do_buildpacks(refusal, decision), WHICH]
        case MetadataKeyMissing():
            return [f"add a launcher to the run image that does not require '{refusal.key}', or rebuild the app", WHICH]
        case MetadataUnreadable():
            remedy = _METADATA_REMEDIES.get(refusal.detail)
            if remedy is None:
                return ["rebuild the app, whose file this is; to look at it", f"docker cp CONTAINER:{refusal.path} ."]
            return [remedy, f"ls -l {refusal.path}"]
        case NoLauncherInstalled():
            repair = "repair the descriptors above, or " if decision.registry.invalid else ""
            return [
                f"{repair}use a run image that has launchers; look at what there is",
                f"ls -l {' '.join(decision.registry.directories)}",
            ]
        case PinUnsatisfied():
            return ["unset METALAUNCHER_PIN, or name one of the launchers that cover this app", WHICH]
        case NothingExecuted():
            cause = refusal.failures[-1].reason
            return [_REMEDIES.get(cause, "repair the launcher in the run image; see what would be tried"), WHICH]


_REMEDIES = {
    errno_text(7): "start the container with fewer or shorter arguments and environment variables",
    errno_text(11): "raise the container's limit of processes",
    errno_text(12): "give the container more memory",
}
_CHECK_PLACE = (
    "check that CNB_LAYERS_DIR is that of the image's config, and that no volume lies over it; else rebuild the app"
)
_METADATA_REMEDIES = {
    errno_text(2): _CHECK_PLACE,
    errno_text(20): _CHECK_PLACE,
    errno_text(13): "start the container as the user of the image's config, or make the file readable for this one",
    errno_text(23): "raise the machine's limit of open files",
    errno_text(24): "raise the container's limit of open files",
}
_INSPECT = "docker image inspect --format '{{json .Config.Env}}' IMAGE"


def _opt_in(refusal: PlatformApiNotCovered, decision: Decision) -> list[str]:
    """Name the variables that would let launchers take part which support the Platform API, were it not deprecated."""
    if refusal.deprecated:
        return []
    variables = {
        launcher.opt_in_env: None for launcher in decision.registry.launchers if launcher.platform.covers(refusal.api)
    }
    return [f"set {variable}=true to let that launcher take part, or" for variable in variables]


def _opt_in_for_all(refusal: BuildpackApisNotCovered, decision: Decision) -> list[str]:
    """Name the variables that would let launchers take part which support all that the app recorded."""
    record = decision.record
    if record is None or refusal.deprecated:
        return []
    apis = [buildpack.api for buildpack in record.buildpacks]
    variables = {
        launcher.opt_in_env: None
        for launcher in decision.registry.launchers
        if launcher.opt_in_env is not None
        and record.platform_api is not None
        and launcher.platform.covers(record.platform_api)
        and all([api is not None and launcher.buildpack.covers(api) for api in apis])
        and record.keys.issuperset(launcher.requires)
        and decision.environment.get(launcher.opt_in_env.encode()) not in TRUE_VALUES
    }
    return [
        f"set {variable}=true to let the launcher here take part that supports them all, or" for variable in variables
    ]


def _do_buildpacks(refusal: BuildpackApisNotCovered, decision: Decision) -> str:
    record = decision.record
    if record is None or refusal.offender.api is None:
        return "rebuild the app, so that its metadata.toml says which APIs it was built with"
    apis = [buildpack.api for buildpack in record.buildpacks if buildpack.api is not None]
    return _add_launcher(record.platform_api, apis, "all of these APIs", refusal.deprecated)


def _add_launcher(platform_api: ApiVersion | None, apis: Sequence[ApiVersion], what: str, deprecated: bool) -> str:
    if deprecated:
        return "unset CNB_DEPRECATION_MODE, or rebuild the app with newer APIs"
    spans, newest = supporting(platform_api, apis), RELEASES[-1][1]
    if not spans:
        return f"use a run image with a launcher for {what} (no lifecycle up to {newest} has one), or rebuild the app"
    releases = ", ".join([first if first == last else f"{first} to {last}" for first, last in spans])
    return f"add a launcher for {what} to the run image: lifecycle {releases} has one"


def _metadata(decision: Decision) -> str:
    return decision.record.metadata if decision.record else "metadata.toml"


def why(reason: Rejection) -> str:
    """Say why a launcher was left out."""
    match reason:
        case OptInNotGiven():
            return f"takes part only with {reason.variable}=true"
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


def decided_by(selection: Selection) -> str:
    """Say which rule of the ranking put the first launcher before the second (docs/descriptor.md)."""
    chosen = selection.ranked[0]
    if len(selection.ranked) == 1:
        return (
            f"pinned by METALAUNCHER_PIN={selection.pin}" if selection.pin else "the only launcher that covers the app"
        )
    second = selection.ranked[1]
    pinned = f"pinned by METALAUNCHER_PIN={selection.pin}; of those, " if selection.pin else ""
    if (chosen.opt_in_env is None) != (second.opt_in_env is None):
        return f"{pinned}opted in by {chosen.opt_in_env}, before {second!r}"
    if chosen.priority != second.priority:
        return f"{pinned}priority {chosen.priority}, before {second!r} with {second.priority}"
    if chosen.version_key != second.version_key:
        return f"{pinned}the highest version that covers the app, before {second!r}"
    return f"{pinned}first by id and path among equals; next is {second!r} ({second.descriptor})"
