"""`METALAUNCHER_LOG=json`: one event per dispatch, one JSON line on stderr. Loaded only when that is set."""

from __future__ import annotations

from metalauncher import __version__
from metalauncher.jsontext import dump
from metalauncher.messages import decided_by, headline
from metalauncher.predict import why_not_executable
from metalauncher.selection import Selection
from metalauncher.terminal import STDERR, write_text

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
    record, outcome = decision.record, decision.outcome
    event: dict[str, Json] = {
        "event": "dispatch",
        "metalauncher": __version__,
        "platform_api": decision.environment.get(b"CNB_PLATFORM_API", b"").decode("utf-8", "surrogateescape") or None,
        "buildpacks": [{"id": b.id, "api": b.text} for b in record.buildpacks] if record else [],
    }
    if isinstance(outcome, Selection):
        fit = [launcher for launcher in outcome.ranked if why_not_executable(launcher, root, itself) is None]
        chosen = (fit or outcome.ranked)[0]
        event |= {
            "launcher": {"id": chosen.id, "version": chosen.version, "path": chosen.path},
            "descriptor": chosen.descriptor,
            "decided_by": decided_by(outcome),
        }
    else:
        event |= {
            "launcher": None,
            "exit_code": outcome.exit_code,
            "kind": outcome.kind,
            "error": headline(outcome)[-1],
        }
    write_text(STDERR, dump(event) + "\n")
