"""`METALAUNCHER_LOG=json`: one event per dispatch, one JSON line on stderr. Loaded only when that is set."""

from __future__ import annotations

from metalauncher import __version__
from metalauncher.jsontext import dump
from metalauncher.messages import headline
from metalauncher.selection import Selection
from metalauncher.terminal import STDERR, write_text
from metalauncher.which import Answer, rule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from metalauncher.execute import Itself
    from metalauncher.jsontext import Json
    from metalauncher.launch import Decision
    from metalauncher.places import Root


def log_dispatch(decision: Decision, root: Root, itself: Itself) -> None:
    """Write the event: a launcher is about to be started, or why none is.

    There is nobody left to write once exec succeeds, so the launcher named is the first that nothing speaks against.
    """
    record = decision.record
    event: dict[str, Json] = {
        "event": "dispatch",
        "metalauncher": __version__,
        "platform_api": decision.environment.get(b"CNB_PLATFORM_API", b"").decode("utf-8", "surrogateescape") or None,
        "buildpacks": [{"id": b.id, "api": b.text} for b in record.buildpacks] if record else [],
    }
    answer = Answer(decision, root, itself)
    chosen, outcome = answer.launcher, answer.outcome
    if chosen is not None and isinstance(outcome, Selection):
        event |= {
            "launcher": {"id": chosen.id, "version": chosen.version, "path": chosen.path},
            "descriptor": chosen.descriptor,
            "decided_by": rule(answer, outcome),
        }
    elif not isinstance(outcome, Selection):
        event |= {
            "launcher": None,
            "exit_code": outcome.exit_code,
            "kind": outcome.kind,
            "error": headline(outcome)[-1],
        }
    write_text(STDERR, dump(event) + "\n")
