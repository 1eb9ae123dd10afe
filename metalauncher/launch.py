"""Dispatch: read, decide which launcher covers the app, and become it. The only module of the hot path that prints."""

from __future__ import annotations

from metalauncher.decision import decide
from metalauncher.environment import metadata_path, read_environment
from metalauncher.execute import Itself, execute
from metalauncher.places import root_from
from metalauncher.record import read_record
from metalauncher.registry import load_registry
from metalauncher.selection import Selection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from metalauncher.execute import Become, Failure


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
    metadata = root.locate_layers(metadata_path(environment))
    decision = decide(environment, load_registry(root), lambda policy: read_record(metadata, policy))
    outcome = decision.outcome
    itself = Itself(root, *own)
    if environment.get(b"METALAUNCHER_LOG") or environment.get(b"METALAUNCHER_DRYRUN"):
        from metalauncher.explain.observe import observe

        status = observe(decision, root, itself)
        if status is not None:
            return status
    if isinstance(outcome, Selection):
        failures = execute(outcome.ranked, root, become, skip, itself, lambda failure: _warn(failure, environment))
        from metalauncher.refusals import NothingExecuted

        outcome = NothingExecuted(failures)
    from metalauncher.explain.report import refuse

    refuse(outcome, decision)
    return outcome.exit_code


def _warn(failure: Failure, environment: Mapping[bytes, bytes]) -> None:
    from metalauncher.explain.report import warn

    warn(str(failure), environment)
