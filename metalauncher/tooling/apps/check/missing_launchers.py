"""Which launchers a run image lacks for the apps that would be refused. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metalauncher.apis import ApiVersion
from metalauncher.explain.releases import supporting
from metalauncher.tooling.launchers.coverage import Need
from metalauncher.tooling.launchers.matrix import smallest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from metalauncher.tooling.apps.check.verdict import Result

_PLATFORM, _BUILDPACK = 11, 12  # exit codes of what another launcher would help against


def missing_bundles(results: Iterable[Result]) -> tuple[str, ...]:
    """Return the smallest set of known launchers that serves all refused apps which one of them can serve."""
    needs = {need for result in results for one in result.judged for need in [_need(one)] if need is not None}
    return tuple([known.name for known in smallest(frozenset(needs), ())]) if needs else ()


def _need(result: Result) -> Need | None:
    """Return what a refused app needs; None if no known launcher would help."""
    if result.kind != "refused" or result.exit_code not in (_PLATFORM, _BUILDPACK, 80):
        return None
    try:
        platform = ApiVersion.parse(result.platform_api or "")
        apis = sorted([ApiVersion.parse(api or "") for _, api in result.buildpacks])
    except ValueError:
        return None
    if not apis:  # the file was not read, or lists none: any launcher for the Platform API
        apis = _any_buildpack_api(platform)
    if not apis or not supporting(platform, apis):
        return None
    return Need(platform, apis[0], apis[-1])


def _any_buildpack_api(platform: ApiVersion) -> list[ApiVersion]:
    """Return the newest Buildpack API that some release supports along with a Platform API."""
    for minor in range(99, 0, -1):
        api = ApiVersion((0, minor))
        if supporting(platform, [api]):
            return [api]
    return []
