"""Which combinations of APIs a registry covers, and which ones lifecycle releases could export. Pure."""

from __future__ import annotations

from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, NamedTuple

from metalauncher.apis import ApiRange, ApiSet, ApiVersion
from metalauncher.environment import Policy
from metalauncher.explain.releases import RELEASES
from metalauncher.record import Buildpack, Record
from metalauncher.selection import sift

if TYPE_CHECKING:
    from collections.abc import Iterable

    from metalauncher.descriptor import Launcher
    from metalauncher.registry import Registry

_MINORS_LIMIT = 100  # of one major version; there are 15 so far


class Need(NamedTuple):
    """What an app needs: a Platform API, and Buildpack APIs from `oldest` to `newest` in one launcher.

    Every launcher of a release supports an unbroken run of Buildpack APIs, so the two ends stand for any mix between.
    """

    platform: ApiVersion
    oldest: ApiVersion
    newest: ApiVersion


def enumerate_apis(apis: ApiSet) -> list[ApiVersion]:
    """Return every version that a set covers, oldest first; at most a hundred minors of each major."""
    if not isinstance(apis.supported, ApiRange):
        # From 1 on an entry covers the minors below it as well (CNB's rule, apis.py).
        listed = set(apis.supported)
        below = [
            ApiVersion((major, minor)) for major, top in listed if major for minor in range(min(top, _MINORS_LIMIT))
        ]
        return sorted({*listed, *below})
    majors = range(min(apis.newest[0], _MINORS_LIMIT) + 1)
    candidates = [ApiVersion((major, minor)) for major in majors for minor in range(_MINORS_LIMIT)]
    return [api for api in candidates if apis.covers(api)]


def exportable() -> frozenset[Need]:
    """Return all that some lifecycle release since 0.9.0 could export."""
    return frozenset(
        [
            Need(ApiVersion((0, platform)), ApiVersion((0, oldest)), ApiVersion((0, newest)))
            for _, _, platform_oldest, platform_newest, buildpack_oldest, buildpack_newest in RELEASES
            for platform in range(platform_oldest, platform_newest + 1)
            for oldest, newest in combinations_with_replacement(range(buildpack_oldest, buildpack_newest + 1), 2)
        ]
    )


def serving(registry: Registry, need: Need) -> Launcher | None:
    """Return the launcher that an app with this need would be given, no opt-in being made."""
    apis = dict.fromkeys((need.oldest, need.newest))
    record = Record(
        need.platform,
        str(need.platform),
        tuple([Buildpack(str(api), str(api)) for api in apis]),
        frozenset([key for launcher in registry.launchers for key in launcher.requires]),
        "",
    )
    covering = sift(record, registry, Policy({})).covering
    return covering[0] if covering else None


def gaps(registry: Registry, needs: Iterable[Need]) -> list[Need]:
    """Return the needs that nothing covers, without those that only contain another one; sorted."""
    uncovered = {need for need in needs if serving(registry, need) is None}
    return sorted(
        [
            need
            for need in uncovered
            if not any(
                need != other
                and need.platform == other.platform
                and need.oldest <= other.oldest
                and other.newest <= need.newest
                for other in uncovered
            )
        ]
    )


def describe_gaps(found: list[Need]) -> list[tuple[Need, str]]:
    """Say each gap in words, neighbouring Buildpack APIs together; with what an app with all of it would need."""
    lines: list[tuple[Need, str]] = []
    run: list[Need] = []
    for need in [*found, None]:
        if run and not (
            need
            and need.platform == run[-1].platform
            and need.oldest == need.newest == ApiVersion((run[-1].newest[0], run[-1].newest[1] + 1))
        ):
            first, last = run[0], run[-1]
            span = str(first.oldest) if first is last else f"{first.oldest} to {last.newest}"
            lines.append(
                (
                    Need(first.platform, first.oldest, last.newest),
                    f"Platform API {first.platform} with Buildpack API {span}",
                )
            )
            run = []
        if need and need.oldest == need.newest:
            run.append(need)
        elif need:
            mix = f"Platform API {need.platform} with buildpacks of API {need.oldest} and {need.newest} in one app"
            lines.append((need, mix))
    return lines
