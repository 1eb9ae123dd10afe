"""What can be told of an app where a run image says by two flat lists alone what its launchers support. Pure.

Each list is the union of what all launchers support of one kind, so that together they claim pairs of APIs that no
single launcher has. A pair is beyond doubt where no set of launchers without one for it could have made up these lists;
of the launchers nothing is known, so they are taken for those of lifecycle releases, if these can make up the lists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from metalauncher.apis import ApiVersion
from metalauncher.explain.releases import RELEASES
from metalauncher.refusals import PinUnsatisfied, PlatformApiAbsent
from metalauncher.selection import Selection
from metalauncher.tooling.launchers.coverage import enumerate_apis
from metalauncher.tooling.run_image.labels import APIS, UNION

if TYPE_CHECKING:
    from collections.abc import Iterable

    from metalauncher.apis import ApiSet
    from metalauncher.registry import Registry
    from metalauncher.tooling.apps.check.dispatch import Found

    Versions = frozenset[ApiVersion]
    Release = tuple[Versions, Versions]  # its Platform APIs, its Buildpack APIs

REMEDY: Final = f"give the run image the label {APIS}, which has each launcher's own APIs: metalauncher labels"
TAKEN: Final = (
    "the run image says by two lists alone what its launchers support; they are taken for launchers of lifecycle"
    " releases, of which these lists can't be made up without one that covers the app"
)
_LISTS = "the run image says by two lists alone what its launchers support"


def is_union(registry: Registry) -> bool:
    """Tell whether a registry comes from two flat lists."""
    return any([launcher.id == UNION for launcher in registry.launchers])


def judge_lists(found: Found) -> tuple[str, str]:
    """Say why it can't be told of an app whether one launcher covers it ("" if it can), and what is to be noted.

    Where even the lists together do not cover the app, no launcher does: that refusal is beyond doubt, but for what
    lists don't speak of at all.
    """
    decision, outcome = found.decision, found.outcome
    environment = decision.environment
    if isinstance(outcome, PlatformApiAbsent) and not outcome.stripped:
        return f"{_LISTS}, which don't say whether one has defaults for apps that recorded nothing", ""
    pinned = isinstance(outcome, PinUnsatisfied) and outcome.malformed is None
    if pinned or (isinstance(outcome, Selection) and environment.get(b"METALAUNCHER_PIN")):
        return f"its config has a pin, and {_LISTS}, which don't say what they are called", ""
    if not isinstance(outcome, Selection):
        return "", ""
    if environment.get(b"CNB_DEPRECATION_MODE") == b"error":
        return f"its config refuses deprecated APIs, and {_LISTS}, which don't say what of that is deprecated", ""
    platform = None if decision.record is None else decision.record.platform_api
    buildpacks = [buildpack.api for buildpack in found.buildpacks]
    apis = frozenset([api for api in buildpacks if api is not None])
    if platform is None or len(apis) < len(set(buildpacks)):  # not covered by a union, which has no defaults
        raise AssertionError("a selection from lists has all APIs")
    (union,) = decision.registry.launchers
    lists = _versions(union.platform), _versions(union.buildpack)
    # Whoever has any API of a list of one has that one.
    if not apis or len(lists[1]) == 1 or (len(lists[0]) == 1 and len(apis) == 1):
        return "", ""
    if is_certain(platform, apis, lists):
        return "", TAKEN
    names = ", ".join([str(api) for api in sorted(apis)])
    return f"{_LISTS}: whether one has both Platform API {platform} and Buildpack API {names} is not in them", ""


def is_certain(platform: ApiVersion, apis: Versions, lists: Release) -> bool:
    """Tell whether the lists can be made up of lifecycle releases, but not without one that covers these APIs."""
    possible = [release for release in releases() if release[0] <= lists[0] and release[1] <= lists[1]]
    without = [release for release in possible if not (platform in release[0] and apis <= release[1])]
    return union(possible) == lists and union(without) != lists


def releases() -> list[Release]:
    """Return the APIs of all lifecycle releases."""
    return [
        (_span(platform_oldest, platform_newest), _span(oldest, newest))
        for _, _, platform_oldest, platform_newest, oldest, newest in RELEASES
    ]


def _span(oldest: int, newest: int) -> Versions:
    return frozenset([ApiVersion((0, minor)) for minor in range(oldest, newest + 1)])


def union(several: Iterable[Release]) -> Release:
    """Return the APIs that some of these have."""
    platforms, buildpacks = frozenset[ApiVersion](), frozenset[ApiVersion]()
    for platform, buildpack in several:
        platforms |= platform
        buildpacks |= buildpack
    return platforms, buildpacks


def _versions(apis: ApiSet) -> Versions:
    return frozenset(enumerate_apis(apis))
