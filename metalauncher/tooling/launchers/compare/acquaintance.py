"""Get to know two launchers before they are compared: which APIs both accept, and whether they keep an order.

Most cases are not about APIs. They are run with the newest that both accept: else two releases would differ in nothing
but refusals.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from metalauncher.tooling.launchers.compare.case import APP, Apis, direct, environment, metadata, simple
from metalauncher.tooling.launchers.compare.comparison import keeps_order
from metalauncher.tooling.launchers.compare.observation import Observation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from metalauncher.tooling.launchers.compare.case import Case
    from metalauncher.tooling.launchers.compare.observation import Outcome

    Both = tuple[list[Outcome], list[Outcome]]
    Accepted = tuple[tuple[str, ...], tuple[str, ...]]

PLATFORM_APIS = tuple([f"0.{minor}" for minor in range(2, 17)])  # those there have been, and one on either side
BUILDPACK_APIS = tuple([f"0.{minor}" for minor in range(1, 14)])
_NAMES = 40  # variables: so many that chance does not keep an order


class Acquaintance(NamedTuple):
    """What is known of both.

    Attributes:
        platform: the Platform APIs that each accepts; None: not asked.
        buildpack: the Buildpack APIs that each accepts, beside the newest common Platform API.
        ordered: whether each keeps the order of the environment from start to start.
        common: the APIs to compare with: the newest that both accept, None where there are none.
        silent: of each that started no app at all, what came of the first try; "" where it ended by itself.
    """

    platform: Accepted | None
    buildpack: Accepted | None
    ordered: tuple[bool, bool]
    common: Apis | None
    silent: tuple[str, str] = ("", "")


def control_case() -> Case:
    """Return the case that has no launcher: the app itself is exec'd, which any machine has to be able to do."""
    return simple(Apis("0.12", "0.10"), "acquaintance/app", "", path=APP.removeprefix("@PLACE@/"))


def order_case(apis: Apis) -> Case:
    """Return the case that shows whether a launcher keeps the order of the environment."""
    variables = [f"ORDER_{number * 7919 % 1000:03}=x".encode() for number in range(_NAMES)]
    return simple(
        apis,
        "environment/order-from-start-to-start",
        "whether the app's environment has the same order at each of four starts",
        environ=environment(apis.platform, *variables),
        starts=4,
    )


def get_acquainted(run: Callable[[Sequence[Case]], list[Both]], given: Apis | None) -> Acquaintance:
    """Start both launchers a few times.

    Args:
        run: starts both for each case.
        given: the APIs to compare with; None: find the newest that both accept.

    Returns:
        What was found; with `common` None where neither accepts the given APIs: two refusals are no proof of anything.
    """
    if given is not None:
        if not any(_accepted(run([_trial(given)]), [given.platform])):
            return Acquaintance(None, None, (True, True), None)
        return Acquaintance(None, None, _ordered(run, given), given)
    trials = run([_trial(Apis(api, "")) for api in PLATFORM_APIS])
    platform = _accepted(trials, PLATFORM_APIS)
    newest = _newest(platform, PLATFORM_APIS)
    if newest is None:
        return Acquaintance(platform, ((), ()), (True, True), None, (_obstacle(trials, 0), _obstacle(trials, 1)))
    buildpack = _accepted(run([_trial(Apis(newest, api)) for api in BUILDPACK_APIS]), BUILDPACK_APIS)
    api = _newest(buildpack, BUILDPACK_APIS)
    if api is None:
        return Acquaintance(platform, buildpack, (True, True), None)
    common = Apis(newest, api)
    return Acquaintance(platform, buildpack, _ordered(run, common), common)


def _ordered(run: Callable[[Sequence[Case]], list[Both]], apis: Apis) -> tuple[bool, bool]:
    ((a, b),) = run([order_case(apis)])
    return keeps_order(a), keeps_order(b)


def _trial(apis: Apis) -> Case:
    """Return a case that succeeds where the APIs are accepted: the process `web`, which is every API's default."""
    text = metadata(apis, direct(apis)) if apis.buildpack else direct(apis).encode()
    return simple(apis, f"acquaintance/{apis.platform}+{apis.buildpack}", "", metadata=text)


def _accepted(results: Sequence[Both], apis: Sequence[str]) -> Accepted:
    sides = [tuple([api for api, both in zip(apis, results, strict=True) if _started(both[side])]) for side in (0, 1)]
    return sides[0], sides[1]


def _obstacle(trials: Sequence[Both], side: int) -> str:
    for both in trials:
        first = both[side][0]
        if not isinstance(first, Observation):
            return first.reason
    return ""


def _started(outcomes: Sequence[Outcome]) -> bool:
    first = outcomes[0]
    return isinstance(first, Observation) and bool(first.reports)


def _newest(accepted: Accepted, order: Sequence[str]) -> str | None:
    both = [api for api in order if api in accepted[0] and api in accepted[1]]
    return both[-1] if both else None
