"""A refusal in one line, and what to do about it before the container is ever started. Pure.

The texts of a dispatch (refusal_text.py) are for whom a container has refused; where they speak of the run image they
are the same here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, assert_never

from metalauncher.explain.refusal_text import text_of
from metalauncher.explain.shortfall import add_launcher, opt_in
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

if TYPE_CHECKING:
    from metalauncher.refusals import Refusal
    from metalauncher.tooling.apps.check.dispatch import Found

_NOTHING_RECORDED: Final = "it recorded no API at all, as lifecycle 0.8 and earlier left it"
_STRIPPED: Final = "its config has no CNB_PLATFORM_API, though its buildpacks recorded their APIs"


def reason_of(refusal: Refusal, found: Found) -> str:
    """Return what the dispatch would say, in one line."""
    match refusal:
        case PlatformApiAbsent():
            return _STRIPPED if refusal.stripped else _NOTHING_RECORDED
        case NothingExecuted():
            return "; ".join([str(failure) for failure in refusal.failures])
        case _:
            return ": ".join(text_of(refusal, found.decision).headline)


def remedy_of(refusal: Refusal, found: Found) -> str:
    """Return what to do about it."""
    decision = found.decision
    match refusal:
        case PlatformApiNotCovered():
            # A dispatch that ends here has not looked at the Buildpack APIs yet; a launcher has to have them as well.
            apis = [buildpack.api for buildpack in found.buildpacks if buildpack.api is not None]
            what = "all of its APIs" if apis else f"Platform API {refusal.api}"
            add = add_launcher(refusal.api, apis, what, refusal.deprecated)
            return " ".join([*opt_in(refusal, decision), add])
        case BuildpackApisNotCovered() | MetadataKeyMissing():
            return " ".join(text_of(refusal, decision).fix)
        case PlatformApiMalformed():
            return "rebuild the app, or correct CNB_PLATFORM_API in its config"
        case PlatformApiAbsent():
            if refusal.stripped:
                return "rebuild the app, or give its config the CNB_PLATFORM_API that it was exported with"
            return "rebuild the app, or add a launcher with defaults for such apps (lifecycle 0.9.3) to the run image"
        case MetadataUnreadable():
            if decision.record is None:
                return "rebuild the app"
            return " ".join(text_of(refusal, decision).fix) or "take METALAUNCHER_PIN out of the image's config"
        case NoLauncherInstalled():
            repair = "repair its descriptors, or " if decision.registry.invalid else ""
            return f"{repair}install launchers in the run image: metalauncher bundle add"
        case PinUnsatisfied():
            return "take METALAUNCHER_PIN out of the image's config, or name a launcher that covers the app"
        case NothingExecuted():
            return "repair these launchers in the run image: metalauncher lint says what is wrong with them"
        case _:
            assert_never(refusal)
