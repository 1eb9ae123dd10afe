"""Say why an app is not planned, or not written as planned, and what to do about it: a row for each code. Pure."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final, NamedTuple

from metalauncher.tooling.apps.patch.refusal_text import SHOW_CONFIG, SHOW_MANIFEST, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from metalauncher.tooling.apps.patch.proof import NotProved
    from metalauncher.tooling.apps.patch.refusals import Refused

# From Platform API 0.12 on, as pack has it, a rebase takes a run image that the label does not name by force alone, and
# then the label names it. Source: buildpacks/lifecycle phase/rebaser.go.
_REBASE: Final = (
    "skopeo copy --all docker://{app} docker://COPY && pack rebase {app} --run-image IMAGE --force --publish"
)
_COPY: Final = "copy the app to another tag (a rebase overwrites this one)"
_ONTO_ANOTHER: Final = f"{_COPY}, and rebase the app onto another one by force, so that its label names that"
_GAPS: Final = "metalauncher matrix --gaps --run-image"
_LOOK_AT_TARGET: Final = "skopeo inspect --raw docker://{target}"
_PLAN: Final = "metalauncher patch {app} --launcher … --to … --journal NEW_FILE"
_ANEW: Final = ("plan it again, with a new journal", _PLAN)
# By code: why, what to do, and a command to run next. {about} is what is known besides.
_TEXTS: Final[Mapping[str, tuple[str, str, str]]] = {
    # Of the plan.
    "unreadable": ("{about}", "check that the registry has it, and that you may read it", SHOW_MANIFEST),
    "unreachable": ("{about}", "check that the registry answers, and run the same command again", SHOW_MANIFEST),
    "defect": ("{about}", "report it, and run the same command again", "metalauncher --version"),
    "no-run-image-inside": (
        "its labels don't say where its run image ends",
        "rebuild the app: squashed images can't be rebased either",
        SHOW_CONFIG,
    ),
    "inside-without-metalauncher": (
        "the run image inside it has no metalauncher",
        f"{_COPY}, rebase the app onto a run image that has it (without --force where its label names that one), and"
        " patch what comes of that",
        _REBASE,
    ),
    "no-named-run-image": (
        "its label names no run image, so that nobody knows what the next rebase puts below it",
        f"{_COPY}, and rebase the app onto a run image by force, so that its label names that",
        _REBASE,
    ),
    "named-unreadable": (
        "the run image that its label names can't be read: {about}",
        f"push that run image; or {_ONTO_ANOTHER}",
        _REBASE,
    ),
    "named-without-metalauncher": (
        "after the next rebase the app won't start: the run image that its label names has no metalauncher: {about}",
        f"push a run image with metalauncher under that name; or {_ONTO_ANOTHER}",
        _REBASE,
    ),
    "does-not-start": (
        "would not start on {about}",
        "fix that, then plan it again with a new journal",
        SHOW_CONFIG,
    ),
    "unknown": (
        "whether it would start is unknown on {about}",
        "pass --force if you know that it does",
        f"{_PLAN} --force",
    ),
    "starts-already": (
        "it starts the run image's launcher already: {about}",
        "nothing to do: patching it changes nothing",
        "metalauncher check --inventory {app}",
    ),
    "starts-otherwise": (
        "its start does not come by the launcher that would be replaced, on {about}",
        "nothing to do: patching it changes nothing",
        "metalauncher check --inventory {app}",
    ),
    # Of writing.
    "source-moved": ("is another image now than the one that was planned: {about}", *_ANEW),
    "differs": ("what comes of it is not what was planned: {about}", *_ANEW),
    "moved": ("{about}", "find out who writes there, and plan another target, with a new journal", _LOOK_AT_TARGET),
    "immutable": ("{about}", "plan another target, with a new journal", _PLAN),
    "unwritable": ("can't be written: {about}", "check that you may write there", _LOOK_AT_TARGET),
    "not-as-written": (
        "its target has another image than the one written: {about}",
        "find out who writes there; do not deploy this image",
        _LOOK_AT_TARGET,
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


def words_of(code: str, about: str, app: str, target: str = "") -> Words:
    """Return what is said of an app.

    Args:
        code: one of the table's.
        about: what is known besides.
        app: its reference, for the command.
        target: where it is written to, likewise, where the code is one of writing.
    """
    reason, do, command = _TEXTS[code]
    command = command.replace("{app}", shlex.quote(app)).replace("{target}", shlex.quote(target))
    return Words(code, reason.replace("{about}", about), do, command)


def words_of_verdict(refused: NotProved, app: str) -> Words:
    """Return what is said of an app that was not proved: what `check` says to do goes before what is said of all."""
    words, proof = words_of(refused.code, refused.about, app), refused.decisive
    if proof is None:
        return words
    if proof.kind == "refused":  # by metalauncher: what is wrong is which launchers there are, not the app's start
        words = words._replace(command=f"{_GAPS} {shlex.quote(proof.run_image) if proof.run_image else 'IMAGE'}")
    if not proof.remedy:
        return words
    return words._replace(do=f"{proof.remedy}; or {words.do}" if refused.code == "unknown" else proof.remedy)


def words_of_refusal(refused: Refused, app: str) -> Words:
    """Return what is said of an app whose image can't be rewritten."""
    text = text_of(refused, app)
    return Words(refused.code, f"{text.reason}: {text.have}" if text.have else text.reason, text.do, text.command)
