"""The rules about a registry as a whole: who hides, ties with, or is always beaten by whom; and lost coverage. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metalauncher.selection import rank
from metalauncher.tooling.launchers.coverage import Need, describe_gaps, enumerate_apis, gaps, serving
from metalauncher.tooling.lint.rules import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from metalauncher.apis import ApiSet, ApiVersion
    from metalauncher.descriptor import Launcher
    from metalauncher.registry import Registry


def lint_registry(registry: Registry, hidden: Mapping[str, Launcher]) -> list[Finding]:
    """Return the findings.

    Args:
        registry: what is in effect, and what is not.
        hidden: what overridden and overriding files declare, by file.
    """
    findings = [*_ties(registry.launchers), *_never_selected(registry.launchers)]
    for image, operator in registry.overridden:
        one, other = hidden.get(image), hidden.get(operator)
        if one and other and (one.id, one.version_key) != (other.id, other.version_key):
            message = f"has the name of {image}, and so hides {one!r}, another launcher than its own {other!r}"
            findings.append(Finding(operator, None, None, "ML011", message))
    for image, mask in registry.masked:
        if not image or image == mask:
            findings.append(Finding(mask, None, None, "ML012", "masks nothing: the image has no file of this name"))
    if not registry.launchers:
        where = " and ".join(registry.directories)
        findings.append(
            Finding(registry.directories[-1], None, None, "ML014", f"no launcher is in effect: looked in {where}")
        )
    return findings


def lint_baseline(registry: Registry, baseline: Registry) -> list[Finding]:
    """Return a finding for whatever the baseline served and the registry does not."""
    needs = {need for launcher in baseline.launchers for need in _needs(launcher)}
    served = {need: before for need in needs if (before := serving(baseline, need)) is not None}
    where = registry.directories[-1]
    findings = [
        Finding(where, None, None, "ML015", f"{text}: {before!r} served that, and now no launcher does")
        for need, text in describe_gaps(gaps(registry, served))
        if (before := serving(baseline, need) or serving(baseline, Need(need.platform, need.oldest, need.oldest)))
    ]
    unrecorded = [one for one in baseline.launchers if one.platform.default and not one.opt_in_env]
    if unrecorded and not any(one.platform.default and not one.opt_in_env for one in registry.launchers):
        text = f"apps that recorded no API: {unrecorded[0]!r} served them, and now no launcher does"
        findings.append(Finding(where, None, None, "ML015", text))
    return findings


def _needs(launcher: Launcher) -> Iterator[Need]:
    if launcher.opt_in_env:
        return
    buildpacks = enumerate_apis(launcher.buildpack)
    for platform in enumerate_apis(launcher.platform):
        for number, oldest in enumerate(buildpacks):
            for newest in buildpacks[number:]:
                yield Need(platform, oldest, newest)


def _ties(launchers: Sequence[Launcher]) -> Iterator[Finding]:
    ordered = sorted(launchers, key=lambda one: one.descriptor)
    for number, one in enumerate(ordered):
        for other in ordered[:number]:
            if rank(one) == rank(other) and _meet(one, other):
                message = (
                    f"{one!r} ties with {other!r} ({other.descriptor}): both cover the same apps, with one priority and"
                    " version; give one another priority"
                )
                yield Finding(one.descriptor, None, None, "ML010", message)


def _meet(one: Launcher, other: Launcher) -> bool:
    if one.platform.default and other.platform.default:
        return True
    # Apps without buildpacks need a Platform API alone.
    return any(other.platform.covers(api) for api in enumerate_apis(one.platform))


def _never_selected(launchers: Sequence[Launcher]) -> Iterator[Finding]:
    for launcher in sorted(launchers, key=lambda one: one.descriptor):
        rivals = [other for other in launchers if _goes_before(other, launcher)]
        winners: list[Launcher] = []
        for platform in enumerate_apis(launcher.platform):
            winner = next((rival for rival in rivals if _replaces(rival, launcher, platform)), None)
            if winner is None:
                break
            winners.append(winner)
        else:
            if launcher.platform.default and not any(rival.platform.default for rival in rivals):
                continue
            names = ", ".join(dict.fromkeys([repr(winner) for winner in winners]))
            yield Finding(
                launcher.descriptor,
                None,
                None,
                "ML013",
                f"{launcher!r} is never selected: {names} covers all that it does, and goes before it",
            )


def _goes_before(rival: Launcher, launcher: Launcher) -> bool:
    """Tell whether the rival is eligible wherever the launcher is, and ranks higher."""
    return (
        rival is not launcher
        and rival.opt_in_env in (None, launcher.opt_in_env)
        and rank(rival) > rank(launcher)
        and set(rival.requires) <= set(launcher.requires)
        # A launcher that reads what its rival can't is the one selected for an app with such a metadata.toml.
        and set(rival.cannot_read) <= set(launcher.cannot_read)
    )


def _replaces(rival: Launcher, launcher: Launcher, platform: ApiVersion) -> bool:
    """Tell whether the rival covers any app of this Platform API that the launcher covers, deprecation included."""
    return _as_good(rival.platform, launcher.platform, [platform]) and _as_good(
        rival.buildpack, launcher.buildpack, enumerate_apis(launcher.buildpack)
    )


def _as_good(rival: ApiSet, apis: ApiSet, versions: Sequence[ApiVersion]) -> bool:
    return all(rival.covers(api) and (apis.deprecates(api) or not rival.deprecates(api)) for api in versions)
