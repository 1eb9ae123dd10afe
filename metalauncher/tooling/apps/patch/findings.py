"""What a run of `patch` came to, as far as the reports say it. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, get_args

from metalauncher.tooling.apps.check.gate import FINDINGS, UNFINISHED
from metalauncher.tooling.apps.launcher_inventory import Release, count_releases

if TYPE_CHECKING:
    from collections.abc import Mapping

    from metalauncher.tooling.apps.patch.entry import Entry, Progress, Proof
    from metalauncher.tooling.apps.patch.journal import Asked

# planned: to be written. The rest as in `entry`.
Outcome = Literal["written", "planned", "left-alone", "refused", "failed"]
OUTCOMES: Final[tuple[Outcome, ...]] = get_args(Outcome)
WORDS: Final[dict[Outcome, str]] = {
    "written": "written",
    "planned": "to be written",
    "left-alone": "left alone",
    "refused": "refused",
    "failed": "not finished",
}
# In a few words, why an app is left alone, refused or not finished, by code.
_EDIT, _LAYER, _TARGET = "its documents can't be edited", "a layer can't be replaced", "the target can't be written"
CODES: Final[Mapping[str, str]] = {
    "delegates": "left alone, as its launcher leads to the run image's",
    "not-matched": "left alone, as its launcher's layer is none of --must-match-sha",
    "starts-already": "left alone, as it starts the run image's launcher already",
    "starts-otherwise": "left alone, as its start does not come by the launcher that would be replaced",
    "inside-without-metalauncher": "the run image inside it has no metalauncher",
    "named-without-metalauncher": "the run image that its label names has no metalauncher",
    "no-run-image-inside": "where its run image ends is not known",
    "no-named-run-image": "its label names no run image",
    "named-unreadable": "the run image that its label names can't be read",
    "does-not-start": "it would not start when it is patched",
    "unknown": "whether it would start when it is patched is unknown",
    "not-rebasable": "its label io.buildpacks.rebasable is false",
    "index": "it is an index of several images: name the platform",
    "schema-1": "its manifest is of Docker's schema 1",
    "no-image": "it is no app image",
    "unreadable": "it can't be read",
    **dict.fromkeys(("no-label", "damaged-label", "damaged-document", "repeated-key"), _EDIT),
    **dict.fromkeys(("descriptor", "unequal-layers", "mixed-types"), _EDIT),
    **dict.fromkeys(("launcher-layer", "sbom-layer", "layer-type", "large-layer", "damaged-layer"), _LAYER),
    **dict.fromkeys(("no-layer", "repeated-layer", "run-image-layer", "digest"), _LAYER),
    "source-moved": "it is another image than the one that was planned",
    "differs": "another image comes of it than was planned",
    **dict.fromkeys(("moved", "immutable", "unwritable"), _TARGET),
    "not-as-written": "its target has something else than was written",
    "unreachable": "a registry did not answer",
    "defect": "a defect in metalauncher",
}
GOING: Final[tuple[Outcome, ...]] = ("written", "planned")
_ORDER: Final[tuple[Outcome, ...]] = ("refused", "failed", "planned", "written", "left-alone")


class App(NamedTuple):
    """One app.

    Attributes:
        entry: its plan.
        progress: what became of it; None where nothing did yet.
    """

    entry: Entry
    progress: Progress | None

    @property
    def outcome(self) -> Outcome:
        """How it stands."""
        if self.progress is not None:
            return self.progress.state
        return self.entry.decision

    @property
    def why(self) -> Entry | Progress:
        """What says why it stands so: a code, a reason, a remedy and a command."""
        return self.entry if self.progress is None else self.progress

    @property
    def proofs(self) -> tuple[Proof, ...]:
        """The verdicts over its patched image."""
        return self.why.proofs or self.entry.proofs


class Findings(NamedTuple):
    """All of a run.

    Attributes:
        asked: what was asked.
        journal: its file.
        apps: those that need a decision first.
        missing: how many have no plan yet.
        applied: whether the plan is being applied; else it is made.
    """

    asked: Asked
    journal: str
    apps: tuple[App, ...]
    missing: int
    applied: bool

    @property
    def counts(self) -> dict[Outcome, int]:
        """How many apps stand how."""
        found = Counter([app.outcome for app in self.apps])
        return {kind: found[kind] for kind in OUTCOMES}

    @property
    def codes(self) -> dict[str, int]:
        """How many apps are left alone, refused or not finished for which reason, the most first."""
        return dict(Counter([app.why.code for app in self.apps if app.why.code]).most_common())

    @property
    def unplanned(self) -> int:
        """How many apps failed to be planned, so that nothing comes of applying the plan again."""
        return sum([app.progress is None and app.entry.decision == "failed" for app in self.apps])

    @property
    def going(self) -> tuple[App, ...]:
        """The apps that are written, or to be."""
        return self.of(*GOING)

    def of(self, *kinds: Outcome) -> tuple[App, ...]:
        """Return the apps of these kinds."""
        return tuple([app for app in self.apps if app.outcome in kinds])

    @property
    def to_decide(self) -> tuple[App, ...]:
        """The apps that need a decision."""
        return self.of("refused", "failed")

    @property
    def unfinished(self) -> int:
        """How many apps the same command has still to deal with."""
        counts = self.counts
        return self.missing + counts["failed"] + (counts["planned"] if self.applied else 0)

    @property
    def headline(self) -> str:
        """The whole in one sentence."""
        counts, total = self.counts, len(self.apps) + self.missing
        if not self.apps:
            return "No app was looked at"
        parts = (
            (counts["refused"], "refused"),
            (self.unfinished, "not finished"),
            (counts["planned"], "to be written"),
            (counts["written"], "written"),
            (total, "left alone"),
        )
        number, words = next(part for part in parts if part[0])
        if total == 1:
            return f"The app is {words}"
        who = f"All {total:,}" if number == total else f"{number:,} of {total:,}"
        return f"{who} apps are {words}"

    @property
    def kept(self) -> tuple[int, int]:
        """How many layers of these are kept, and of how many bytes."""
        return sum([app.entry.kept for app in self.going]), sum([app.entry.kept_bytes for app in self.going])

    @property
    def behind(self) -> int:
        """How much refers to the old digests of these, and stays there."""
        return sum([len(app.entry.referrers) for app in self.going])

    @property
    def unlisted(self) -> int:
        """Of how many of these it is not known what refers to their old digests."""
        return sum([bool(app.entry.referrers_unknown) for app in self.going])

    @property
    def label_hosts(self) -> dict[str, int]:
        """Which registries were asked because labels name them, and for how many apps, the most first."""
        return dict(Counter([host for app in self.apps for host in app.entry.label_hosts]).most_common())

    @property
    def launchers(self) -> list[Release]:
        """The launchers that these carried, those of most apps first."""
        return count_releases([app.entry.launcher for app in self.going if app.entry.launcher is not None])

    @property
    def fragile(self) -> int:
        """How many of these are covered by the newest launcher of a run image alone."""
        return sum([any([proof.covering and not proof.remaining for proof in app.proofs]) for app in self.going])

    @property
    def exit_code(self) -> int:
        """3 where the same command is to be run again, as something is not finished; else 1 where apps are refused."""
        if self.unfinished:
            return UNFINISHED
        return FINDINGS if self.counts["refused"] else 0


def find(
    asked: Asked, journal: str, entries: Mapping[str, Entry], progress: Mapping[str, Progress], *, applied: bool
) -> Findings:
    """Put what is known of all apps in order."""
    apps = [App(entry, progress.get(app)) for app, entry in entries.items()]
    apps.sort(key=lambda app: (_ORDER.index(app.outcome), app.entry.app))
    return Findings(asked, journal, tuple(apps), asked.apps - len(entries), applied)
