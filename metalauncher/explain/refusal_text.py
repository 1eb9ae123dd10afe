"""The whole text of a refusal, for people at 3 a.m.: one case for each kind. Loaded only when one is said.

After CNB's own first line: what happened, in a plain sentence; what the app needs; what there is; what helps now; what
mends it; and how to see more from outside, for the container is dead by then.
"""

from __future__ import annotations

import posix

from metalauncher import __version__
from metalauncher.explain.messages import (
    app_needs,
    buildpack_need,
    buildpack_needs,
    by_rank,
    can_not_read,
    describe,
    headline,
    name_oddities,
    platform_need,
    why,
)
from metalauncher.explain.shortfall import add_launcher, add_reader, how_far, masked_that_cover, opt_in, opt_in_for_all
from metalauncher.files import errno_text
from metalauncher.pins import Pin
from metalauncher.places import EXECUTABLE
from metalauncher.record import read_platform_api
from metalauncher.refusals import (
    BuildpackApisNotCovered,
    MetadataKeyMissing,
    MetadataUnreadable,
    NoLauncherInstalled,
    NothingExecuted,
    PinUnsatisfied,
    PlatformApiAbsent,
    PlatformApiMalformed,
    PlatformApiNotCovered,
)
from metalauncher.selection import sift

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from metalauncher.apis import ApiVersion
    from metalauncher.decision import Decision
    from metalauncher.descriptor import Launcher
    from metalauncher.record import Record
    from metalauncher.refusals import Refusal

_HAVE_LIMIT = 20  # launchers and broken descriptors listed one by one
_CULPRITS_LIMIT = 10  # buildpacks that no launcher here supports, listed one by one

_GO_BACK = "if it started before a rebase, redeploy the app's image from before that rebase"
_ALLOW_DEPRECATED = "unset CNB_DEPRECATION_MODE: images carry quiet"
# What a container gets besides its image's config, and that decides.
_DECIDING = (b"METALAUNCHER_PIN", b"CNB_DEPRECATION_MODE")
_INSPECT = ("docker image inspect --format '{{json .Config.Env}}' IMAGE",)
_PAGE = "docs/troubleshooting.md"


class Text:
    """What there is to say, section by section."""

    __slots__ = ("details", "fix", "have", "need", "now", "what")

    def __init__(
        self,
        what: list[str],
        need: list[str],
        have: list[str],
        now: list[str],
        fix: list[str],
        details: tuple[str, ...] = (),
    ) -> None:
        """Hold each section's lines; one without lines is left out, but for `details`: then it is `--which`."""
        self.what: Final = what
        self.need: Final = need
        self.have: Final = have
        self.now: Final = now
        self.fix: Final = fix
        self.details: Final = details


def fixes(refusal: Refusal, decision: Decision) -> list[str]:
    """Return what mends it, for whoever can change the run image or the app."""
    return _text(refusal, decision).fix


def refusal_lines(refusal: Refusal, decision: Decision) -> list[str]:
    """Return the whole text of a refusal, line by line."""
    lines = ["ERROR: " + line for line in headline(refusal)]
    text = _text(refusal, decision)
    for label, texts in (
        ("what:", text.what),
        ("need:", text.need),
        ("have:", text.have),
        ("now:", text.now),
        ("fix:", _then_rebase(text.fix)),
        ("details:", text.details or _which(decision.environment)),
        ("about:", [f"metalauncher {__version__}, exit code {refusal.exit_code}: {_PAGE}"]),
    ):
        lines += [f"  {label if number == 0 else '':<9}{line}" for number, line in enumerate(texts)]
    return lines


def _which(environment: Mapping[bytes, bytes], more: str = "") -> tuple[str, ...]:
    """Return the commands that ask the image, from outside, what this dispatch was asked."""
    given = [
        f"{name.decode()}={_quoted(environment[name].decode('utf-8', 'surrogateescape'))}"
        for name in _DECIDING
        if environment.get(name, b"quiet") not in (b"", b"quiet")  # lifecycle's exporter puts quiet into the config
    ]
    docker = "".join([f" -e {variable}" for variable in given])
    kubectl = "".join([f" --env={variable}" for variable in given])
    return (
        f"docker run --rm{docker} --entrypoint {EXECUTABLE} IMAGE --which{more}",
        f"kubectl run which --rm -it --restart=Never --image=IMAGE{kubectl} --command -- {EXECUTABLE} --which{more}",
    )


def _quoted(value: str) -> str:
    """Return a value as a shell takes it."""
    return value if value.isascii() and value.replace("-", "").isalnum() else "'" + value.replace("'", "'\\''") + "'"


def _text(refusal: Refusal, decision: Decision) -> Text:
    match refusal:
        case PlatformApiMalformed():
            return _platform_malformed(refusal)
        case PlatformApiAbsent():
            return _stripped(decision) if refusal.stripped else _nothing_recorded(decision)
        case PlatformApiNotCovered():
            return _platform_not_covered(refusal, decision)
        case BuildpackApisNotCovered():
            return _buildpacks_not_covered(refusal, decision)
        case MetadataKeyMissing():
            return _key_missing(refusal, decision)
        case MetadataUnreadable():
            return _metadata_unreadable(refusal, decision)
        case NoLauncherInstalled():
            return _none_installed(decision)
        case PinUnsatisfied():
            return _pin(refusal, decision)
        case NothingExecuted():
            return _nothing_executed(refusal, decision)


def _platform_malformed(refusal: PlatformApiMalformed) -> Text:
    return Text(
        what=["the app did not start: CNB_PLATFORM_API, which says how it was built, is no API version"],
        need=[f"CNB_PLATFORM_API as MAJOR.MINOR, such as 0.12; it is {refusal.text!r}"],
        have=[],
        now=["start the container with the CNB_PLATFORM_API of the image's config, unchanged"],
        fix=[],
        details=_INSPECT,
    )


def _stripped(decision: Decision) -> Text:
    return Text(
        what=[
            "the app did not start: CNB_PLATFORM_API is missing. Either the container's environment replaces the"
            " image's, or the app started a launcher itself (launchers remove this variable from what they start)",
        ],
        need=["CNB_PLATFORM_API, the Platform API that this app was exported with", *buildpack_needs(decision.record)],
        have=[],
        now=["set CNB_PLATFORM_API to its value in the image's config"],
        fix=[],
        details=_INSPECT,
    )


def _nothing_recorded(decision: Decision) -> Text:
    return Text(
        what=[
            "the app did not start: nothing says which APIs it was built with. CNB_PLATFORM_API is not set, and no"
            f" buildpack in {_metadata(decision)} has an api",
            "lifecycle 0.8 and earlier recorded no APIs; a launcher serves such apps if its descriptor has defaults",
        ],
        need=["a launcher for an app that recorded no API at all"],
        have=_have(decision),
        now=[
            "if the image's config has a CNB_PLATFORM_API, start the container with it",
            f"else {_GO_BACK}",
        ],
        fix=["rebuild the app, or add a launcher for such apps (lifecycle 0.9.3) to the run image"],
        details=_INSPECT,
    )


def _platform_not_covered(refusal: PlatformApiNotCovered, decision: Decision) -> Text:
    launchers = decision.registry.launchers
    sets = [(launcher, launcher.platform) for launcher in launchers]
    add = add_launcher(refusal.api, (), f"Platform API {refusal.api}", refusal.deprecated)
    return Text(
        what=[
            "the app did not start: no launcher in this run image supports the Platform API it was built with",
            how_far("Platform", refusal.api, sets, refusal.deprecated),
        ],
        need=[platform_need(refusal.text)],
        have=_have(decision),
        now=[_ALLOW_DEPRECATED if refusal.deprecated else _GO_BACK],
        fix=_unmask(decision, refusal.api) or [*opt_in(refusal, decision), add],
    )


def _buildpacks_not_covered(refusal: BuildpackApisNotCovered, decision: Decision) -> Text:
    offender, record = refusal.offender, decision.record
    what = ["the app did not start: no launcher in this run image supports everything the app was built with"]
    fix: list[str]
    if offender.api is None and offender.text is None:
        what.append(
            f"buildpack '{offender.id}' has no api: usually {_metadata(decision)} was restored from the image's labels,"
            " which never carry it",
        )
        fix = ["rebuild the app, so that its metadata.toml says which APIs it was built with"]
    elif offender.api is None or record is None:
        what.append(f"{offender.text!r} is not MAJOR.MINOR, such as 0.10")
        fix = ["rebuild the app, so that its metadata.toml says which APIs it was built with"]
    else:
        sets = [(refusal.launcher, refusal.launcher.buildpack)]
        what.append(how_far("Buildpack", offender.api, sets, refusal.deprecated))
        if refusal.each_covered:
            what.append(
                "each of these APIs is supported by some launcher here, but no single one supports them together"
            )
        apis = [buildpack.api for buildpack in record.buildpacks if buildpack.api is not None]
        add = add_launcher(record.platform_api, apis, "all of these APIs", refusal.deprecated)
        fix = _unmask(decision) or [*opt_in_for_all(refusal, decision), add]
    return Text(
        what=what,
        need=_culprits(refusal, decision),
        have=_have(decision),
        now=[_ALLOW_DEPRECATED if refusal.deprecated else _GO_BACK],
        fix=fix,
    )


def _culprits(refusal: BuildpackApisNotCovered, decision: Decision) -> list[str]:
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
        lines.append(f"and {more} more that it does not support")
    if fine:
        lines.append(f"{fine} other buildpack{'s are' if fine > 1 else ' is'} fine with it ({record.metadata})")
    return [platform_need(record.platform_text), *lines]


def _key_missing(refusal: MetadataKeyMissing, decision: Decision) -> Text:
    return Text(
        what=[
            "the app did not start: the launchers here that support its APIs can't read its metadata.toml",
            f"{refusal.launcher!r} covers the app's APIs, but requires '{refusal.key}' in metadata.toml",
        ],
        need=[*app_needs(decision.record), f"a launcher that reads a metadata.toml without '{refusal.key}'"],
        have=_have(decision),
        now=[_GO_BACK],
        fix=_unmask(decision)
        or [f"add a launcher to the run image that does not require '{refusal.key}', or rebuild the app"],
    )


def _metadata_unreadable(refusal: MetadataUnreadable, decision: Decision) -> Text:
    if refusal.detail in (errno_text(2), errno_text(20)):
        return _metadata_missing(refusal, decision)
    if decision.record is not None:
        return _metadata_unread(refusal, decision.record, decision)
    remedy = _METADATA_REMEDIES.get(refusal.detail)
    return Text(
        what=["the app did not start: the file that says what it was built with can't be used"],
        need=["the app's metadata.toml, which says which Buildpack APIs the app was built with"],
        have=[f"{refusal.path}: {refusal.detail}"],
        now=[remedy] if remedy else [],
        fix=[] if remedy else ["rebuild the app, whose file this is; to look at it:"],
        details=(f"docker create --name look IMAGE && docker cp look:{refusal.path} . ; docker rm look",),
    )


def _metadata_unread(refusal: MetadataUnreadable, record: Record, decision: Decision) -> Text:
    """Say what there is to say of a file that some launcher would read, but none that could be chosen."""
    held = name_oddities(record.oddities)
    covering = decision.covering()
    pinned = bool(covering) and not can_not_read(covering[0], record.oddities)  # else that one would have been started
    who = "no launcher that METALAUNCHER_PIN names" if pinned else "no launcher here that covers the app"
    return Text(
        what=[
            f"the app did not start: the file that says what it was built with is not TOML, and {who} reads it all the"
            " same"
        ],
        need=[*app_needs(record), f"a launcher that can read {held}"],
        have=[
            f"{launcher!r} ({launcher.descriptor}) {can_not_read(launcher, record.oddities)}"
            for launcher in covering[:_HAVE_LIMIT]
            if can_not_read(launcher, record.oddities)
        ],
        now=[f"unset METALAUNCHER_PIN: without it {covering[0]!r} would be started" if pinned else _GO_BACK],
        fix=[] if pinned else _unmask(decision) or [add_reader(record)],
        details=(f"docker create --name look IMAGE && docker cp look:{refusal.path} . ; docker rm look",),
    )


def _metadata_missing(refusal: MetadataUnreadable, decision: Decision) -> Text:
    if b"CNB_PLATFORM_API" not in decision.environment and not _exists(refusal.path.rpartition("/config/")[0]):
        return Text(
            what=["this is a run image, started by itself: there is no app in it, and so nothing to start"],
            need=["an app image that was built on this run image, or rebased onto it"],
            have=[],
            now=["start the app's image instead"],
            fix=["to see which launchers this run image has, ask about an app that is yet to be:"],
            details=_which(decision.environment, " --platform-api 0.12 --buildpack-api example/app=0.10"),
        )
    return Text(
        what=[
            "this container holds no buildpacks app. Is it a run image? Otherwise a volume may hide the layers, or"
            " CNB_LAYERS_DIR was changed",
        ],
        need=["the app's metadata.toml, which says which Buildpack APIs the app was built with"],
        have=[],
        now=[
            "check that CNB_LAYERS_DIR is that of the image's config, and that no volume lies over it; else rebuild the"
            " app",
        ],
        fix=[],
        details=(f"docker create --name look IMAGE && docker cp look:{refusal.path} . ; docker rm look", *_INSPECT),
    )


def _exists(path: str) -> bool:
    try:
        posix.stat(path.encode("utf-8", "surrogateescape"))
    except (OSError, ValueError):
        return False
    return True


_METADATA_REMEDIES: Mapping[str, str] = {
    errno_text(13): "start the container as the user of the image's config, or make the file readable for this one",
    errno_text(23): "raise the machine's limit of open files",
    errno_text(24): "raise the container's limit of open files",
}


def _none_installed(decision: Decision) -> Text:
    return Text(
        what=["the app did not start: this run image has no launcher that could start any app"],
        need=["at least one launcher with a valid descriptor"],
        have=_have(decision),
        now=[_GO_BACK],
        fix=_unmask(decision, _platform_api(decision))
        or [
            f"{'repair the descriptors above, or ' if decision.registry.invalid else ''}use a run image that has"
            " launchers",
        ],
    )


def _platform_api(decision: Decision) -> ApiVersion | None:
    try:
        return read_platform_api(decision.environment)[0]
    except PlatformApiMalformed:
        return None


def _is_half_named(launcher: Launcher, pin: str) -> bool:
    """Tell whether a pin has a launcher's version alone, or the last part of its id."""
    return pin in (launcher.version, launcher.id.rpartition("/")[2])


def _pin(refusal: PinUnsatisfied, decision: Decision) -> Text:
    pin = "METALAUNCHER_PIN as ID, ID@VERSION or ID@RANGE" if refusal.malformed else f"METALAUNCHER_PIN={refusal.pin}"
    covering = decision.covering()
    without = ", ".join([repr(launcher) for launcher in covering])
    meant = [repr(launcher) for launcher in covering if _is_half_named(launcher, refusal.pin)]
    what = ["the app did not start: METALAUNCHER_PIN asks for a launcher that can't be had"]
    if refusal.malformed is None and decision.record is not None:
        parsed = Pin(refusal.pin)
        _, left_out = sift(decision.record, decision.registry, decision.environment)
        named = [pair for pair in left_out if parsed.names(pair[0].id, pair[0].version_key)]
        what += [f"{launcher!r} is left out: {why(reason)}" for launcher, reason in named] or [
            f"no launcher here is called {refusal.pin}",
            *[
                f"{launcher!r}, should that be meant, is left out: {why(reason)}"
                for launcher, reason in left_out
                if _is_half_named(launcher, refusal.pin)
            ],
        ]
    if meant:
        what.append(f"did you mean {' or '.join(meant)}?")
    return Text(
        what=what,
        need=[pin, *app_needs(decision.record)],
        have=_have(decision),
        now=[f"unset METALAUNCHER_PIN: without it {covering[0]!r} would be started"] if covering else [],
        fix=[f"name one of the launchers that cover this app: {without}"] if covering else ["unset METALAUNCHER_PIN"],
    )


def _nothing_executed(refusal: NothingExecuted, decision: Decision) -> Text:
    cause = refusal.failures[-1].reason
    limit = _LIMITS.get(cause)
    have = [str(failure) for failure in refusal.failures[:_HAVE_LIMIT]]
    more = len(refusal.failures) - _HAVE_LIMIT
    have += [f"and {more} more"] if more > 0 else []
    have += [f"left out: {broken}" for broken in decision.registry.invalid[:_HAVE_LIMIT]]
    return Text(
        what=["the app did not start: metalauncher chose a launcher for it, but the kernel would not start its file"],
        need=app_needs(decision.record),
        have=have,
        now=[limit] if limit else [_GO_BACK],
        fix=[] if limit else ["repair the launcher in the run image (metalauncher lint finds what is wrong with it)"],
    )


_LIMITS: Mapping[str, str] = {
    errno_text(7): "start the container with fewer or shorter arguments and environment variables",
    errno_text(11): "raise the container's limit of processes",
    errno_text(12): "give the container more memory",
}


def _have(decision: Decision) -> list[str]:
    registry = decision.registry
    launchers = sorted(registry.launchers, key=by_rank, reverse=True)
    have = [f"{describe(launcher)} ({launcher.descriptor})" for launcher in launchers]
    have += [f"left out: {broken}" for broken in registry.invalid]
    have += [f"masked: {image} by {mask}" for image, mask in registry.masked if image]
    if len(have) > _HAVE_LIMIT:
        have[_HAVE_LIMIT:] = [f"and {len(have) - _HAVE_LIMIT} more"]
    return have or [f"no descriptor in {' or '.join(registry.directories)}"]


def _unmask(decision: Decision, platform_api: ApiVersion | None = None) -> list[str]:
    would = "may do" if decision.record is None else "would do"
    return [
        f"remove the mask {mask}: it takes away {launcher!r}, which is in this run image and {would}"
        for launcher, _, mask in masked_that_cover(decision, platform_api)
    ]


def _then_rebase(fix: list[str]) -> list[str]:
    return [f"{line}; then rebase again" if line.startswith("add ") else line for line in fix]


def _metadata(decision: Decision) -> str:
    return decision.record.metadata if decision.record else "metadata.toml"
