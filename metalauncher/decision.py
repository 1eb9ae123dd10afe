"""One dispatch decided: variables, registry, record -> Decision. Reads nothing itself, and says nothing."""

from __future__ import annotations

from metalauncher.record import read_platform_api
from metalauncher.refusals import MetadataUnreadable, PlatformApiMalformed
from metalauncher.selection import Selection, refuse_platform, select, sift

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Final

    from metalauncher.descriptor import Launcher
    from metalauncher.record import Record
    from metalauncher.refusals import Refusal
    from metalauncher.registry import Registry


class Decision:
    """What was found and what follows from it."""

    __slots__ = ("environment", "outcome", "record", "registry")

    def __init__(
        self,
        environment: Mapping[bytes, bytes],
        registry: Registry,
        record: Record | None,
        outcome: Selection | Refusal,
    ) -> None:
        """Hold the registry, the record (None where it was not to be read, or could not be), and the outcome."""
        self.environment: Final = environment
        self.registry: Final = registry
        self.record: Final = record
        self.outcome: Final = outcome

    def covering(self) -> list[Launcher]:
        """Return the launchers that cover the record, best first, whatever a pin says."""
        if self.record is None:
            return []
        return sift(self.record, self.registry, self.environment)[0]


def decide(environment: Mapping[bytes, bytes], registry: Registry, read: Callable[[], Record]) -> Decision:
    """Decide, in the order of docs/exit-codes.md.

    Args:
        environment: the variables the container was started with.
        registry: the launchers that there are.
        read: reads the app's record; called only if the Platform API doesn't already end the dispatch.
    """
    record: Record | None = None
    outcome: Selection | Refusal | None
    try:
        api, text = read_platform_api(environment)
        outcome = refuse_platform(api, text, registry, environment)
        if outcome is None:
            record = read()
            outcome = select(record, registry, environment)
    except (PlatformApiMalformed, MetadataUnreadable) as refusal:
        outcome = refusal
    return Decision(environment, registry, record, outcome)
