"""`METALAUNCHER_LOG` and `METALAUNCHER_DRYRUN`: show a dispatch, or look at it without running anything.

Loaded only when one of them is set. There is nobody left to write once exec succeeds, so what is said is what is
about to be done.
"""

from __future__ import annotations

from metalauncher.explain.report import refuse, warn
from metalauncher.explain.terminal import STDERR, write_lines
from metalauncher.explain.which import Answer, explanation
from metalauncher.refusals import DRY_RUN
from metalauncher.selection import Selection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from metalauncher.decision import Decision
    from metalauncher.execute import Itself
    from metalauncher.places import Root

_FALSE_VALUES = frozenset((b"", b"0", b"f", b"F", b"false", b"FALSE", b"False"))  # Go's strconv.ParseBool


def observe(decision: Decision, root: Root, itself: Itself) -> int | None:
    """Say what the dispatch is about to do.

    Returns:
        The exit code of a dry run; None where the dispatch is to go on.
    """
    environment = decision.environment
    mode = environment.get(b"METALAUNCHER_DRYRUN", b"")
    dry = mode not in _FALSE_VALUES
    log = environment.get(b"METALAUNCHER_LOG", b"")
    if log not in (b"", b"text", b"json"):
        shown = log.decode("utf-8", "surrogateescape")
        warn(f"METALAUNCHER_LOG is text or json, not {shown!r}: nothing is logged", environment)
    answer = Answer(decision, root, itself)
    if log == b"json":
        from metalauncher.explain.events import log_dispatch

        log_dispatch(answer, dry=dry)
    elif dry or log == b"text":
        write_lines(STDERR, explanation(answer))
    if not dry:
        return None
    if not isinstance(answer.outcome, Selection):
        refuse(answer.outcome, decision)
        return answer.outcome.exit_code
    return 0 if mode == b"exit0" else DRY_RUN
