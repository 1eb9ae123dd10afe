"""The whole text of a refusal, for people at 3 a.m.: one case for each kind. Loaded only when one is said.

After CNB's own first line: what happened, in a plain sentence; what the app needs; what there is; what helps now; what
mends it; and how to see more from outside, for the container is dead by then.
"""

from __future__ import annotations

import posix

from metalauncher import __version__
from metalauncher.explain.messages import (
    app_needs,
    buildpack_needs,
    can_not_read,
    name_oddities,
    platform_need,
    why,
)
from metalauncher.explain.refusal_parts import (
    ALLOW_DEPRECATED,
    GO_BACK,
    HAVE_LIMIT,
    INSPECT,
    Text,
    ask_which,
    copy_out,
    have,
    metadata_of,
    repair,
    unmask,
)
from metalauncher.explain.shortfall import add_launcher, add_reader, culprits, how_far, opt_in, opt_in_for_all
from metalauncher.files import MISSING
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
from metalauncher.selection import is_pinned

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from metalauncher.decision import Decision
    from metalauncher.descriptor import Launcher
    from metalauncher.record import Record
    from metalauncher.refusals import Refusal

# CNB's own texts, which people search for (buildpacks/lifecycle cmd/apis.go, cmd/launcher/cli/launcher.go).
_INCOMPATIBLE = "is incompatible with the lifecycle"
_ABSENT = (
    "failed to get platform API version; please set 'CNB_PLATFORM_API' to specify the desired platform API version"
)
_PAGE = "docs/on-call/troubleshooting.md"


def refusal_lines(refusal: Refusal, decision: Decision, *, asked: bool = False) -> list[str]:
    """Return the whole text of a refusal, line by line; without the commands of `--which` where that is `asked`."""
    text = text_of(refusal, decision)
    lines = ["ERROR: " + line for line in text.headline]
    for label, texts in (
        ("what:", text.what),
        ("need:", text.need),
        ("have:", text.have),
        ("now:", text.now),
        ("fix:", _then_rebase(text.fix)),
        ("details:", text.details or (() if asked else ask_which(decision.environment))),
        ("about:", [f"metalauncher {__version__}, exit code {refusal.exit_code}: {_PAGE}"]),
    ):
        lines += [f"  {label if number == 0 else '':<9}{line}" for number, line in enumerate(texts)]
    return lines


def text_of(refusal: Refusal, decision: Decision) -> Text:
    """Return all that there is to say of a refusal: one case for each kind."""
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


def _deprecated(line: str, deprecated: bool) -> list[str]:
    return [line, "Deprecated APIs are disabled by CNB_DEPRECATION_MODE=error"] if deprecated else []


def _platform_malformed(refusal: PlatformApiMalformed) -> Text:
    return Text(
        # A blank one is what launchers since 0.18 call absent.
        headline=[f"failed to parse platform API '{refusal.text}'" if refusal.text.strip() else _ABSENT],
        what=["the app did not start: CNB_PLATFORM_API is not an API version"],
        need=[f"CNB_PLATFORM_API as MAJOR.MINOR, such as 0.12; it is {refusal.text!r}"],
        now=["start the container with CNB_PLATFORM_API as the image's config has it"],
        details=INSPECT,
    )


def _stripped(decision: Decision) -> Text:
    return Text(
        headline=[_ABSENT],
        what=[
            "the app did not start: CNB_PLATFORM_API is missing. Either the container's environment replaces the"
            " image's, or the app started a launcher itself (launchers remove this variable from what they start)",
        ],
        need=["CNB_PLATFORM_API, the Platform API that this app was exported with", *buildpack_needs(decision.record)],
        now=["set CNB_PLATFORM_API to its value in the image's config"],
        details=INSPECT,
    )


def _nothing_recorded(decision: Decision) -> Text:
    return Text(
        headline=[_ABSENT],
        what=[
            "the app did not start: nothing says which APIs it was built with. CNB_PLATFORM_API is not set, and no"
            f" buildpack in {metadata_of(decision)} has an api",
            "lifecycle 0.8 and earlier recorded no APIs; a launcher serves such apps if its descriptor has defaults",
        ],
        need=["a launcher for an app that recorded no API at all"],
        have=have(decision),
        now=[
            "if the image's config has a CNB_PLATFORM_API, start the container with it",
            f"else {GO_BACK}",
        ],
        fix=["rebuild the app, or add a launcher for such apps (lifecycle 0.9.3) to the run image"],
        details=INSPECT,
    )


def _platform_not_covered(refusal: PlatformApiNotCovered, decision: Decision) -> Text:
    launchers = decision.registry.launchers
    sets = [(launcher, launcher.platform) for launcher in launchers]
    add = add_launcher(refusal.api, (), f"Platform API {refusal.api}", refusal.deprecated)
    return Text(
        headline=[
            *_deprecated(f"Platform requested deprecated API '{refusal.text}'", refusal.deprecated),
            f"failed to set platform API: platform API version '{refusal.text}' {_INCOMPATIBLE}",
        ],
        what=[
            "the app did not start: no launcher in this run image supports the Platform API it was built with",
            how_far("Platform", refusal.api, sets, refusal.deprecated),
        ],
        need=[platform_need(refusal.text, decision.environment)],
        have=have(decision),
        now=[ALLOW_DEPRECATED if refusal.deprecated else GO_BACK],
        fix=unmask(decision, refusal.api) or [*repair(decision), *opt_in(refusal, decision), add],
    )


def _buildpacks_not_covered(refusal: BuildpackApisNotCovered, decision: Decision) -> Text:
    offender, record = refusal.offender, decision.record
    if offender.api is None:
        # The literal is CNB's: its launchers print what they failed to parse, not what they were given.
        headline = [f"failed to parse buildpack API '<nil>' for buildpack '{offender.id}'"]
    else:
        headline = [
            *_deprecated(f"buildpack '{offender.id}' requests deprecated API '{offender.text}'", refusal.deprecated),
            f"failed to set API for buildpack '{offender.id}': buildpack API version '{offender.text}' {_INCOMPATIBLE}",
        ]
    what = ["the app did not start: no launcher in this run image supports everything the app was built with"]
    fix: list[str]
    if offender.api is None and offender.text is None:
        what.append(
            f"buildpack '{offender.id}' has no api: usually {metadata_of(decision)} was restored from the image's"
            " labels, which never carry it",
        )
        fix = ["rebuild the app, so that its metadata.toml says which APIs it was built with"]
    elif offender.api is None or record is None:
        what.append(f"{offender.text!r} is not MAJOR.MINOR, such as 0.10")
        fix = ["rebuild the app, so that its metadata.toml says which APIs it was built with"]
    else:
        sets = [(refusal.launcher, refusal.launcher.buildpack)]
        what.append(how_far("Buildpack", offender.api, sets, refusal.deprecated))
        if refusal.each_covered:
            what.append("each of these APIs has a launcher here, but no launcher supports all of them")
        apis = [buildpack.api for buildpack in record.buildpacks if buildpack.api is not None]
        add = add_launcher(record.platform_api, apis, "all of these APIs", refusal.deprecated)
        fix = unmask(decision) or [*repair(decision), *opt_in_for_all(refusal, decision), add]
    return Text(
        headline=headline,
        what=what,
        need=culprits(refusal, decision),
        have=have(decision),
        now=[ALLOW_DEPRECATED if refusal.deprecated else GO_BACK],
        fix=fix,
    )


def _key_missing(refusal: MetadataKeyMissing, decision: Decision) -> Text:
    return Text(
        headline=[f"no launcher can read this app's metadata: '{refusal.key}' is missing from it"],
        what=[
            "the app did not start: the launchers here that support its APIs can't read its metadata.toml",
            f"{refusal.launcher!r} supports the app's APIs, but requires '{refusal.key}' in metadata.toml",
        ],
        need=[*app_needs(decision), f"a launcher that reads a metadata.toml without '{refusal.key}'"],
        have=have(decision),
        now=[GO_BACK],
        fix=unmask(decision)
        or [f"add a launcher to the run image that does not require '{refusal.key}', or rebuild the app"],
    )


def _unreadable(refusal: MetadataUnreadable) -> list[str]:
    return [f"failed to read metadata: open {refusal.path}: {refusal.detail}"]


def _metadata_unreadable(refusal: MetadataUnreadable, decision: Decision) -> Text:
    if refusal.errno in MISSING:
        return _metadata_missing(refusal, decision)
    if decision.record is not None:
        return _metadata_unread(refusal, decision.record, decision)
    remedy = _METADATA_REMEDIES.get(refusal.errno or 0)
    return Text(
        headline=_unreadable(refusal),
        what=["the app did not start: its metadata.toml can't be used"],
        need=["the app's metadata.toml, which says which Buildpack APIs the app was built with"],
        have=[f"{refusal.path}: {refusal.detail}"],
        now=[remedy] if remedy else [],
        fix=[] if remedy else ["rebuild the app; to look at the file first:"],
        details=(copy_out(refusal.path),),
    )


def _metadata_unread(refusal: MetadataUnreadable, record: Record, decision: Decision) -> Text:
    """Say what there is to say of a file that some launcher would read, but none that could be chosen."""
    held = name_oddities(record.oddities)
    covering = decision.sifted.covering
    pinned = bool(covering) and not can_not_read(covering[0], record.oddities)  # else that one would have been started
    who = "no launcher that METALAUNCHER_PIN names" if pinned else "no launcher here that supports the app"
    return Text(
        headline=_unreadable(refusal),
        what=[f"the app did not start: its metadata.toml is not valid TOML, and {who} reads it anyway"],
        need=[*app_needs(decision), f"a launcher that can read {held}"],
        have=[
            f"{launcher!r} ({launcher.descriptor}) {can_not_read(launcher, record.oddities)}"
            for launcher in covering[:HAVE_LIMIT]
            if can_not_read(launcher, record.oddities)
        ],
        now=[f"unset METALAUNCHER_PIN: without it {covering[0]!r} would be started" if pinned else GO_BACK],
        fix=[] if pinned else unmask(decision) or [add_reader(record)],
        details=(copy_out(refusal.path),),
    )


def _metadata_missing(refusal: MetadataUnreadable, decision: Decision) -> Text:
    if b"CNB_PLATFORM_API" not in decision.environment and not _exists(refusal.path.rpartition("/config/")[0]):
        return Text(
            headline=_unreadable(refusal),
            what=["this is a run image without an app: there is nothing to start"],
            need=["an app image that was built on this run image, or rebased onto it"],
            now=["start the app's image instead"],
            details=(
                "to see which launchers this run image has:",
                *ask_which(decision.environment, " --platform-api 0.12 --buildpack-api example/app=0.10"),
            ),
        )
    return Text(
        headline=_unreadable(refusal),
        what=[
            "this container holds no buildpacks app. Is it a run image? Otherwise a volume may hide the layers, or"
            " CNB_LAYERS_DIR was changed",
        ],
        need=["the app's metadata.toml, which says which Buildpack APIs the app was built with"],
        now=[
            "check that CNB_LAYERS_DIR is as in the image's config, and that no volume hides it; else rebuild the app",
        ],
        details=(copy_out(refusal.path), *INSPECT),
    )


def _exists(path: str) -> bool:
    try:
        posix.stat(path.encode("utf-8", "surrogateescape"))
    except (OSError, ValueError):
        return False
    return True


_METADATA_REMEDIES: Mapping[int, str] = {  # by errno: EACCES, ENFILE, EMFILE
    13: "start the container as the user of the image's config, or make the file readable for this one",
    23: "raise the machine's limit of open files",
    24: "raise the container's limit of open files",
}


def _none_installed(decision: Decision) -> Text:
    return Text(
        headline=["no launcher is installed: there is no usable descriptor"],
        what=["the app did not start: there is no launcher here that could start any app"],
        need=["at least one launcher with a valid descriptor"],
        have=have(decision),
        now=[GO_BACK],
        fix=unmask(decision, decision.policy.platform_api)
        or [
            "repair the descriptors above, or use a run image that has launchers"
            if decision.registry.invalid
            else "if a volume hides /usr/lib/cnb, remove it; else use a run image that has launchers",
        ],
    )


def _is_half_named(launcher: Launcher, pin: str) -> bool:
    """Tell whether a pin has a launcher's version alone, or the last part of its id."""
    return pin in (launcher.version, launcher.id.rpartition("/")[2])


def _pin(refusal: PinUnsatisfied, decision: Decision) -> Text:
    complaint = f"is malformed: {refusal.malformed}" if refusal.malformed else "is not available for this app"
    pin = "METALAUNCHER_PIN as ID, ID@VERSION or ID@RANGE" if refusal.malformed else f"METALAUNCHER_PIN={refusal.pin}"
    covering = decision.sifted.covering
    without = ", ".join([repr(launcher) for launcher in covering])
    meant = [repr(launcher) for launcher in covering if _is_half_named(launcher, refusal.pin)]
    what = ["the app did not start: METALAUNCHER_PIN names no launcher that can start it"]
    if refusal.malformed is None and decision.record is not None:
        left_out = decision.sifted.left_out
        named = [pair for pair in left_out if is_pinned(pair[0], decision.policy)]
        what += [f"{launcher!r} can't be used: {why(reason)}" for launcher, reason in named] or [
            f"no launcher here is called {refusal.pin}",
            *[
                f"if you meant {launcher!r}, it can't be used: {why(reason)}"
                for launcher, reason in left_out
                if _is_half_named(launcher, refusal.pin)
            ],
        ]
    if meant:
        what.append(f"did you mean {' or '.join(meant)}?")
    return Text(
        headline=[f"pinned launcher '{refusal.pin}' {complaint}"],
        what=what,
        need=[pin, *app_needs(decision)],
        have=have(decision),
        now=[f"unset METALAUNCHER_PIN: without it {covering[0]!r} would be started"] if covering else [],
        fix=[f"name a launcher that supports this app: {without}"] if covering else ["unset METALAUNCHER_PIN"],
    )


def _nothing_executed(refusal: NothingExecuted, decision: Decision) -> Text:
    limit = _LIMITS.get(refusal.failures[-1].errno or 0)
    tried = [str(failure) for failure in refusal.failures[:HAVE_LIMIT]]
    more = len(refusal.failures) - HAVE_LIMIT
    tried += [f"and {more} more"] if more > 0 else []
    tried += [f"invalid: {broken}" for broken in decision.registry.invalid[:HAVE_LIMIT]]
    return Text(
        headline=[f"failed to launch: {refusal.failures[0].path}: {refusal.failures[0].reason}"],
        what=["the app did not start: metalauncher chose a launcher for it, which can't be started"],
        need=app_needs(decision),
        have=tried,
        now=[limit] if limit else [GO_BACK],
        fix=[] if limit else ["repair the launcher in the run image (metalauncher lint says what is wrong)"],
    )


_LIMITS: Mapping[int, str] = {  # by errno: E2BIG, EAGAIN, ENOMEM
    7: "start the container with fewer or shorter arguments and environment variables",
    11: "raise the container's limit of processes",
    12: "give the container more memory",
}


def _then_rebase(fix: Sequence[str]) -> list[str]:
    return [_with_rebase(line) if line.startswith("add ") else line for line in fix]


def _with_rebase(line: str) -> str:
    add, comma, otherwise = line.partition(", or ")
    return f"{add}; then rebase again{comma}{otherwise}"
