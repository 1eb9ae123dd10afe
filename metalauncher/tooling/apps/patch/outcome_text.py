"""Say why an app is not planned, or not written as planned, and what to do about it: a row for each code. Pure."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final, NamedTuple

from metalauncher.tooling.apps.patch.refusal_text import text_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from metalauncher.tooling.apps.patch.refusals import Refused

_REBASE: Final = "pack rebase {app} --run-image IMAGE"
_LOOK: Final = "skopeo inspect docker://{app}"
_AGAIN: Final = "metalauncher patch --help"
# By code: why, what to do, and a command to run next. {about} is what is known besides.
_TEXTS: Final[Mapping[str, tuple[str, str, str]]] = {
    # Of the plan.
    "unreadable": ("{about}", "see whether the registry has it, and whether you may read it", _LOOK),
    "unreachable": ("{about}", "see whether the registry answers, and run the same command again", _LOOK),
    "defect": ("{about}", "report it, and run the same command again", _AGAIN),
    "no-run-image-inside": (
        "its labels don't say where its run image ends",
        "build the app anew: squashed images can't be rebased either",
        "skopeo inspect --config --raw docker://{app}",
    ),
    "inside-without-metalauncher": (
        "the run image inside it has no metalauncher",
        "rebase the app onto one that has it, and patch what comes of that",
        _REBASE,
    ),
    "no-named-run-image": (
        "its label names no run image, so that nobody knows what the next rebase puts below it",
        "rebase the app onto a run image that has a name",
        _REBASE,
    ),
    "named-unreadable": (
        "the run image that its label names can't be read: {about}",
        "push that run image, or rebase the app onto another one",
        _REBASE,
    ),
    "named-without-metalauncher": (
        "the run image that its label names has no metalauncher, so that the next rebase would kill the app: {about}",
        "build that run image with metalauncher, or rebase the app onto another one",
        "metalauncher image --help",
    ),
    "does-not-start": (
        "would not start on {about}",
        "add a launcher that covers it to that run image",
        "metalauncher matrix --gaps --run-image IMAGE",
    ),
    "unknown": (
        "whether it would start is unknown on {about}",
        "pass --force where you know that it does",
        _AGAIN,
    ),
    "starts-otherwise": (
        "its start does not come by the launcher that would be replaced, on {about}",
        "nothing: patching it would change nothing",
        "metalauncher check --inventory {app}",
    ),
    # Of writing.
    "source-moved": ("is another image now than the one that was planned: {about}", "plan it anew", _LOOK),
    "differs": ("what comes of it is not what was planned: {about}", "plan it anew", _LOOK),
    "moved": ("{about}", "see who writes there, and plan another target", _LOOK),
    "immutable": ("{about}", "plan another target", _AGAIN),
    "unwritable": ("can't be written: {about}", "see whether you may write there", _LOOK),
    "not-as-written": (
        "what lies at its target is not what was written: {about}",
        "see who writes there: nothing may be deployed from it",
        _LOOK,
    ),
}

CODES: Final = tuple(_TEXTS)


class Words(NamedTuple):
    """What is said of an app that is not planned or not written.

    Attributes:
        code: why, for programs.
        reason: the same in one line, without the app's name.
        do: what to do about it.
        command: to run next.
    """

    code: str
    reason: str
    do: str
    command: str


def words_of(code: str, about: str, app: str) -> Words:
    """Return what is said of an app.

    Args:
        code: one of the table's.
        about: what is known besides.
        app: its reference, for the command.
    """
    reason, do, command = _TEXTS[code]
    return Words(code, reason.replace("{about}", about), do, command.replace("{app}", shlex.quote(app)))


def words_of_refusal(refused: Refused, app: str) -> Words:
    """Return what is said of an app whose image can't be rewritten."""
    text = text_of(refused, app)
    return Words(refused.code, f"{text.reason}: {text.have}" if text.have else text.reason, text.do, text.command)
