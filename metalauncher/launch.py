"""Dispatch: decide which launcher covers the app, and become it. The only module of the hot path that prints."""

from __future__ import annotations

from metalauncher.errors import MetadataUnreadable, PlatformApiMalformed
from metalauncher.execute import Itself, execute
from metalauncher.places import root_from
from metalauncher.record import read_environment, read_platform_api, read_record
from metalauncher.registry import load_registry
from metalauncher.selection import Selection, refuse_platform, select, sift

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Final

    from metalauncher.descriptor import Launcher
    from metalauncher.errors import Failure, Refusal
    from metalauncher.execute import Become
    from metalauncher.places import Root
    from metalauncher.record import Record
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


def decide(environment: Mapping[bytes, bytes], root: Root, read: Callable[[Registry], Record]) -> Decision:
    """Read what the decision needs, in the order of docs/exit-codes.md, and make it.

    Args:
        environment: the variables the container was started with.
        root: where to look.
        read: reads the app's record; called only if the Platform API doesn't already end the dispatch.
    """
    registry = load_registry(root)
    record: Record | None = None
    outcome: Selection | Refusal | None
    try:
        api, text = read_platform_api(environment)
        outcome = refuse_platform(api, text, registry, environment)
        if outcome is None:
            record = read(registry)
            outcome = select(record, registry, environment)
    except (PlatformApiMalformed, MetadataUnreadable) as refusal:
        outcome = refusal
    return Decision(environment, registry, record, outcome)


def launch(environ: list[bytes], become: Become, skip: int, *own: bytes) -> int:
    """Dispatch the app of this container; returns only if there is no launcher to become.

    Args:
        environ: the environment as it came, entry by entry.
        become: execs a path.
        skip: how many leading arguments are metalauncher's own.
        own: paths of metalauncher itself, which is never a launcher.

    Returns:
        The exit code.
    """
    environment = read_environment(environ)
    root = root_from(environment)
    decision = decide(environment, root, lambda _: read_record(environment, root))
    outcome = decision.outcome
    itself = Itself(root, *own)
    if environment.get(b"METALAUNCHER_LOG") or environment.get(b"METALAUNCHER_DRYRUN"):
        from metalauncher.observe import observe

        status = observe(decision, root, itself)
        if status is not None:
            return status
    if isinstance(outcome, Selection):
        outcome = execute(outcome.ranked, root, become, skip, itself, lambda failure: _warn(failure, environment))
    from metalauncher.report import refuse

    refuse(outcome, decision)
    return outcome.exit_code


def _warn(failure: Failure, environment: Mapping[bytes, bytes]) -> None:
    from metalauncher.report import warn

    warn(str(failure), environment)
