"""How far what there is falls short of what an app needs, and what would make it good. Pure, but for masked files.

Loaded only when a refusal is said.
"""

from __future__ import annotations

import posix

from metalauncher.descriptor import Launcher
from metalauncher.explain.messages import buildpack_need, platform_need
from metalauncher.explain.readers import LIFECYCLE, cannot_read
from metalauncher.explain.releases import RELEASES, supporting
from metalauncher.registry import InvalidDescriptor, read_descriptor
from metalauncher.selection import reads, why_not

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from metalauncher.apis import ApiSet, ApiVersion
    from metalauncher.decision import Decision
    from metalauncher.record import Record
    from metalauncher.refusals import BuildpackApisNotCovered, PlatformApiNotCovered

_CULPRITS_LIMIT = 10  # buildpacks that no launcher here supports, listed one by one


def how_far(kind: str, api: ApiVersion, sets: Sequence[tuple[Launcher, ApiSet]], deprecated: bool) -> str:
    """Say on which side of what there is an API lies, and which launcher comes nearest."""
    newest, best = max([(apis.newest, launcher) for launcher, apis in sets], key=_bound)
    oldest, first = min([(apis.oldest, launcher) for launcher, apis in sets], key=_bound)
    if api > newest:
        return f"{best!r} supports {kind} API up to {newest}: {api} is too new"
    if api < oldest:
        return f"{first!r} supports {kind} API from {oldest}: {api} is too old"
    for launcher, apis in sets:
        if apis.covers(api) and (not deprecated or apis.deprecates(api)):
            reason = (
                f"{api} is deprecated, and CNB_DEPRECATION_MODE=error"
                if deprecated
                else f"it is used only with {launcher.opt_in_env}=true"
            )
            return f"{launcher!r} supports {kind} API {api}, but can't be used: {reason}"
    older = max([(apis.newest, launcher) for launcher, apis in sets if apis.newest < api], key=_bound, default=None)
    newer = min([(apis.oldest, launcher) for launcher, apis in sets if apis.oldest > api], key=_bound, default=None)
    if older and newer:
        return (
            f"{kind} API {api} is too new for {older[1]!r} (up to {older[0]}) and too old for {newer[1]!r} (from"
            f" {newer[0]})"
        )
    return f"{best!r} supports {kind} API up to {newest}, but not {api}"


def _bound(pair: tuple[ApiVersion, Launcher]) -> ApiVersion:
    return pair[0]


def culprits(refusal: BuildpackApisNotCovered, decision: Decision) -> list[str]:
    """Name the buildpacks that the nearest launcher does not support, and count those that it does."""
    record = decision.record
    if record is None:
        return []
    strict = refusal.deprecated
    apis = refusal.launcher.buildpack
    fine = 0
    lines: list[str] = []
    more = 0
    for buildpack in record.buildpacks:
        api = buildpack.api
        if api is not None and apis.covers(api) and not (strict and apis.deprecates(api)):
            fine += 1
        elif len(lines) < _CULPRITS_LIMIT:
            lines.append(f"{buildpack_need(buildpack)} <- not supported by {refusal.launcher!r}")
        else:
            more += 1
    if more:
        lines.append(f"and {more} more <- not supported")
    if fine:
        lines.append(f"{fine} other buildpack{'s are' if fine > 1 else ' is'} supported ({record.metadata})")
    return [platform_need(record.platform_text, decision.environment), *lines]


def opt_in(refusal: PlatformApiNotCovered, decision: Decision) -> list[str]:
    """Name the variables that would make launchers eligible which support the Platform API, were it not deprecated."""
    if refusal.deprecated:
        return []
    variables = {
        launcher.opt_in_env: None for launcher in decision.registry.launchers if launcher.platform.covers(refusal.api)
    }
    return [f"set {variable}=true to allow that launcher, or" for variable in variables]


def opt_in_for_all(refusal: BuildpackApisNotCovered, decision: Decision) -> list[str]:
    """Name the variables that would make launchers eligible which support all that the app recorded."""
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
        and not decision.policy.opts_in(launcher.opt_in_env)
    }
    return [f"set {variable}=true to allow a launcher here that supports them all, or" for variable in variables]


def add_launcher(platform_api: ApiVersion | None, apis: Sequence[ApiVersion], what: str, deprecated: bool) -> str:
    """Say which releases of lifecycle have a launcher for these APIs."""
    if deprecated:
        return "remove CNB_DEPRECATION_MODE=error, or rebuild the app with newer APIs"
    spans, oldest, newest = supporting(platform_api, apis), RELEASES[0][0], RELEASES[-1][1]
    if not spans:
        none = f"no lifecycle from {oldest} to {newest} has one"
        return f"use a run image with a launcher for {what} ({none}), or rebuild the app"
    releases = ", ".join([first if first == last else f"{first} to {last}" for first, last in spans])
    return f"add a launcher for {what} to the run image: lifecycle {releases} has one"


def add_reader(record: Record) -> str:
    """Say which lifecycle has a launcher that supports what an app recorded, and reads its file, which is no TOML."""
    apis = [buildpack.api for buildpack in record.buildpacks if buildpack.api is not None]
    readers = [
        first
        for first, last, *_ in RELEASES
        for spans in [supporting(record.platform_api, apis)]
        if any([_numbers(low) <= _numbers(first) and _numbers(last) <= _numbers(high) for low, high in spans])
        and not set(record.oddities).intersection(cannot_read(LIFECYCLE, last) or record.oddities)
    ]
    if not readers:
        return "rebuild the app: no lifecycle has a launcher that supports its APIs and reads this"
    newest = max(readers, key=_numbers)
    line = newest.rpartition(".")[0]
    return f"add a launcher that reads it to the run image (that of lifecycle {line} does), or rebuild the app"


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def masked_that_cover(decision: Decision, platform_api: ApiVersion | None) -> list[tuple[Launcher, str, str]]:
    """Return the launchers that the operator's masks take away and that would do.

    Returns:
        (the launcher, the image's file, the mask), in the order of the masks. Where the record was not read, those that
        support `platform_api`.
    """
    found: list[tuple[Launcher, str, str]] = []
    for image, mask in decision.registry.masked:
        # A link may lead out of an unpacked root.
        if not image or image == mask or _is_link(image):
            continue
        try:
            hidden = read_descriptor(image.encode("utf-8", "surrogateescape"), image)
        except InvalidDescriptor:
            continue
        if isinstance(hidden, Launcher) and _would_do(hidden, decision, platform_api):
            found.append((hidden, image, mask))
    return found


def _is_link(path: str) -> bool:
    try:
        return posix.lstat(path.encode("utf-8", "surrogateescape")).st_mode & 0o170000 == 0o120000
    except OSError:
        return True


def _would_do(launcher: Launcher, decision: Decision, platform_api: ApiVersion | None) -> bool:
    if decision.record is not None:
        if decision.record.defect is not None and not reads(launcher, decision.record):
            return False
        return why_not(decision.record, launcher, decision.policy) is None
    return platform_api is None or launcher.platform.covers(platform_api)
