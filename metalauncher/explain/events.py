"""`METALAUNCHER_LOG=json`: what a dispatch says, as one JSON object a line on stderr. Loaded only when that is set."""

from __future__ import annotations

from datetime import UTC, datetime

from metalauncher import __version__
from metalauncher.explain.jsontext import dump
from metalauncher.explain.refusal_text import text_of
from metalauncher.explain.terminal import STDERR, write_text
from metalauncher.explain.which import forecast_document, rule
from metalauncher.selection import Selection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from metalauncher.explain.jsontext import Json
    from metalauncher.explain.which import Answer
    from metalauncher.refusals import Refusal


def log_dispatch(answer: Answer, *, dry: bool) -> None:
    """Write the event of a dispatch: the launcher that is about to be started, or why there is none."""
    decision = answer.decision
    record = decision.record
    event: dict[str, Json] = {
        "platform_api": decision.policy.platform_text or None,
        "buildpacks": [{"id": b.id, "api": b.text} for b in record.buildpacks] if record else [],
        "dry_run": dry,
    }
    chosen, outcome = answer.launcher, answer.outcome
    if chosen is not None and isinstance(outcome, Selection):
        event |= {
            "launcher": {"id": chosen.id, "version": chosen.version, "path": chosen.path},
            "descriptor": chosen.descriptor,
            "decided_by": rule(answer, outcome),
            "forecast": forecast_document(answer),
        }
        _write("info", "dispatch", event)
    elif not isinstance(outcome, Selection):
        event |= {
            "launcher": None,
            "exit_code": outcome.exit_code,
            "kind": outcome.kind,
            "error": text_of(outcome, decision).headline[-1],
        }
        _write("error", "dispatch", event)


def log_refusal(refusal: Refusal, lines: list[str]) -> None:
    """Write the event of a refusal, with the whole text that is otherwise written as it is."""
    _write("error", "refusal", {"exit_code": refusal.exit_code, "kind": refusal.kind, "text": lines})


def log_warning(text: str) -> None:
    """Write the event of a warning."""
    _write("warning", "warning", {"text": text})


def _write(level: str, event: str, fields: dict[str, Json]) -> None:
    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    head: dict[str, Json] = {"timestamp": time, "level": level, "event": event, "metalauncher": __version__}
    write_text(STDERR, dump(head | fields) + "\n")
