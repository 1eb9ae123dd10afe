"""One dispatch decided: variables, registry, record -> Decision. Pure. Must not know files or wording."""

from __future__ import annotations

from metalauncher.environment import Policy
from metalauncher.record import InvalidMetadata
from metalauncher.selection import Sifted, choose, sift, why_not_platform

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Final

    from metalauncher.record import Record
    from metalauncher.refusals import Refusal
    from metalauncher.registry import Registry
    from metalauncher.selection import Selection


class Decision:
    """What was found and what follows from it."""

    __slots__ = ("environment", "outcome", "policy", "record", "registry", "sifted")

    def __init__(
        self,
        environment: Mapping[bytes, bytes],
        policy: Policy,
        registry: Registry,
        record: Record | None,
        sifted: Sifted,
        outcome: Selection | Refusal,
    ) -> None:
        """Hold what was decided.

        Args:
            environment: the variables the container was started with.
            policy: what they ask for.
            registry: the launchers that there are.
            record: None where it was not to be read, or could not be.
            sifted: the registry by that record; empty without one.
            outcome: the launchers to try, or why there is none.
        """
        self.environment: Final = environment
        self.policy: Final = policy
        self.registry: Final = registry
        self.record: Final = record
        self.sifted: Final = sifted
        self.outcome: Final = outcome


def decide(environment: Mapping[bytes, bytes], registry: Registry, read: Callable[[Policy], Record]) -> Decision:
    """Decide.

    Args:
        environment: the variables the container was started with.
        registry: the launchers that there are.
        read: reads the app's record; called only if the Platform API doesn't already end the dispatch.
    """
    policy = Policy(environment)
    record: Record | None = None
    sifted = Sifted()
    outcome: Selection | Refusal | None = None
    invalid: InvalidMetadata | None = None
    if serves_platform(registry, policy):
        try:
            record = read(policy)
        except InvalidMetadata as error:
            invalid = error
        else:
            sifted = sift(record, registry, policy)
            outcome = choose(record, sifted, policy)
    if outcome is None:
        from metalauncher.refusing import refuse

        outcome = refuse(policy, registry, record or invalid, sifted)
    return Decision(environment, policy, registry, record, sifted, outcome)


def serves_platform(registry: Registry, policy: Policy) -> bool:
    """Tell whether metadata.toml is to be opened: some launcher may be for the platform.

    Every launcher of CNB checks the platform first as well (spec platform.md, "Platform API compatibility"). Where no
    Platform API was given, the file has to tell whether it was lost or never recorded.
    """
    api = policy.platform_api
    if api is None:
        return bool(registry.launchers) and not policy.platform_text
    for launcher in registry.launchers:  # noqa: SIM110  # any() would take a frame of its own to find the first
        if why_not_platform(api, launcher, policy) is None:
            return True
    return False
