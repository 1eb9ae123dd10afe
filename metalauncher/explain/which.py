"""`metalauncher --which`: what the dispatch would do, and why, from the very decision that it makes. Runs nothing."""

from __future__ import annotations

import posix

from metalauncher import __version__
from metalauncher.decision import Decision, decide
from metalauncher.environment import metadata_path
from metalauncher.execute import Itself
from metalauncher.explain.forecast import NOTHING_AGAINST, foretell
from metalauncher.explain.jsontext import dump
from metalauncher.explain.messages import GIVEN, app_needs, can_not_read, decided_by, describe, name_oddities, why
from metalauncher.explain.predict import foretell_failure, locate
from metalauncher.explain.refusal_text import refusal_lines
from metalauncher.explain.terminal import (
    RED,
    STDERR,
    STDOUT,
    print_bytes,
    print_lines,
    print_text,
    write_lines,
    write_message,
)
from metalauncher.files import Unreadable, read_file
from metalauncher.places import EXECUTABLE, Root, root_from
from metalauncher.record import METADATA_LIMIT, Buildpack, Record, read_record
from metalauncher.refusals import MetadataUnreadable, NothingExecuted, PlatformApiAbsent
from metalauncher.registry import load_registry
from metalauncher.selection import Selection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from metalauncher.apis import ApiSet
    from metalauncher.descriptor import Launcher
    from metalauncher.environment import Policy
    from metalauncher.explain.forecast import Forecast
    from metalauncher.explain.jsontext import Json
    from metalauncher.refusals import Refusal
    from metalauncher.registry import Registry
    from metalauncher.versions import VersionKey

_NO_FILE = "--buildpack-api"  # stands in for the file's path where there is none
_NO_CONFIG = (
    "note: --root has no image's config: pass its CNB_PLATFORM_API with --platform-api V, and its other CNB_* and"
    " METALAUNCHER_* as variables"
)
SCHEMA_VERSION = 1  # of the JSON document: schemas/which.schema.json


class Question:
    """What `--which` is asked, beyond what the environment says."""

    __slots__ = ("as_json", "buildpack_apis", "metadata", "platform_api", "quiet", "root")

    def __init__(self) -> None:
        """Ask about the app of this container."""
        self.as_json = False
        self.quiet = False
        self.platform_api: bytes | None = None
        self.buildpack_apis: list[tuple[str, str]] = []
        self.metadata: bytes | None = None
        self.root: bytes | None = None


class Answer:
    """A decision, and which of its launchers could be exec'd."""

    __slots__ = ("decision", "forecast", "obstacles", "outcome", "root")

    def __init__(self, decision: Decision, root: Root, itself: Itself) -> None:
        """Foretell the execs; where none would succeed, the outcome is the refusal that the dispatch would end in."""
        self.decision: Final = decision
        self.root: Final = root
        self.outcome: Selection | Refusal = decision.outcome
        obstacles: list[tuple[Launcher, str | None]] = []
        if isinstance(decision.outcome, Selection):
            ranked = decision.outcome.ranked
            foretold = [foretell_failure(launcher, root, itself) for launcher in ranked]
            obstacles = [
                (launcher, failure.reason if failure else None)
                for launcher, failure in zip(ranked, foretold, strict=True)
            ]
            failures = [failure for failure in foretold if failure]
            if len(failures) == len(obstacles):
                self.outcome = NothingExecuted(tuple(failures))
        self.obstacles: Final = obstacles
        self.forecast: Final = _foretell(self.launcher, decision)

    @property
    def launcher(self) -> Launcher | None:
        """The launcher that would run."""
        return next((launcher for launcher, reason in self.obstacles if reason is None), None)

    @property
    def exit_code(self) -> int:
        """The dispatch's: 0 where it would become a launcher."""
        return 0 if isinstance(self.outcome, Selection) else self.outcome.exit_code


def _foretell(launcher: Launcher | None, decision: Decision) -> Forecast:
    """Say what the launcher will make of the app's metadata.toml; nothing where there is no such file."""
    record = decision.record
    if launcher is None or record is None or record.metadata == _NO_FILE:
        return NOTHING_AGAINST
    try:
        data = read_file(record.metadata.encode("utf-8", "surrogateescape"), METADATA_LIMIT)
    except Unreadable:  # it has gone meanwhile
        return NOTHING_AGAINST
    return foretell(data, launcher)


def which(question: Question, environment: Mapping[bytes, bytes], execfn: bytes) -> int:
    """Answer: the path on stdout, the reasons on stderr, or one JSON document on stdout; return the exit code."""
    if question.platform_api is not None:
        environment = {**environment, b"CNB_PLATFORM_API": question.platform_api, GIVEN: b""}
    root = root_from(environment) if question.root is None else Root(question.root, whole=True)
    registry = load_registry(root)
    metadata = question.metadata or root.locate_layers(metadata_path(environment))
    decision = decide(environment, registry, lambda policy: _read(question, metadata, registry, policy))
    answer = Answer(decision, root, Itself(root, execfn, root.locate(EXECUTABLE.encode())))
    if question.as_json:
        print_text(dump(document(answer), indent=2) + "\n")
        return answer.exit_code
    if answer.launcher is not None:
        _write_path(locate(answer.launcher, root))
    if not isinstance(answer.outcome, Selection):
        write_message("ERROR: ", RED, refusal_lines(answer.outcome, decision, asked=True), environment)
    if question.root is not None and isinstance(answer.outcome, PlatformApiAbsent):
        write_lines(STDERR, [_NO_CONFIG])
    if not question.quiet:
        write_lines(STDERR, explanation(answer))
    return answer.exit_code


def _write_path(path: bytes) -> None:
    """Write the path as it is, so that a script can use it; on a terminal, nothing raw."""
    text = path.decode("utf-8", "surrogateescape")
    if posix.isatty(STDOUT):
        print_lines([text])
    else:
        print_bytes(path + b"\n")


def _read(question: Question, metadata: bytes, registry: Registry, policy: Policy) -> Record:
    """Read the record asked about: the app's, with the Buildpack APIs given in place of those it recorded.

    Where Buildpack APIs are given and no file, no file is needed: it is a question about an app yet to be.
    """
    given = [Buildpack(identifier, text or None) for identifier, text in question.buildpack_apis]
    if given and question.metadata is None:
        keys = frozenset([key for launcher in registry.launchers for key in launcher.requires])
        return Record(policy.platform_api, policy.platform_text, tuple(given), keys, _NO_FILE)
    record = read_record(metadata, policy)
    replaced = {buildpack.id: buildpack for buildpack in given}
    buildpacks = [replaced.pop(buildpack.id, buildpack) for buildpack in record.buildpacks]
    return Record(
        record.platform_api,
        record.platform_text,
        (*buildpacks, *replaced.values()),
        record.keys,
        record.metadata,
        record.oddities,
        record.defect,
    )


def explanation(answer: Answer) -> list[str]:
    """Return the reasons: the choice and its rule, the app's needs, every other launcher, the files left aside."""
    decision = answer.decision
    lines: list[str] = []
    if isinstance(answer.outcome, Selection) and answer.launcher is not None:
        lines.append(f"launcher: {answer.launcher!r} ({answer.launcher.descriptor})")
        lines.append(f"  because it is {rule(answer, answer.outcome)}")
        lines += [
            f"  warning: {other!r} ranks first, but can't be started: {reason}"
            for other, reason in _passed_over(answer)
        ]
        lines += _forecast_lines(answer.forecast)
    needs = app_needs(decision)
    lines += [f"{'the app needs:' if number == 0 else '':<15}{need}" for number, need in enumerate(needs)]
    if decision.record is not None and decision.record.oddities:
        lines.append(f"{'':<15}a launcher that can read {name_oddities(decision.record.oddities)}")
    others = _others(answer)
    if others:
        lines.append("other launchers:")
        lines += [f"  {describe(launcher)} ({launcher.descriptor})\n    {reason}" for launcher, reason in others]
    for label, texts in (
        ("masked", [f"{image or 'nothing'} by {mask}" for image, mask in decision.registry.masked]),
        ("overridden", [f"{image} by {other}" for image, other in decision.registry.overridden]),
        ("invalid", [str(invalid) for invalid in decision.registry.invalid]),
    ):
        lines += [f"{label}: {text}" for text in texts]
    return [line for text in lines for line in text.split("\n")]


def _forecast_lines(forecast: Forecast) -> list[str]:
    if forecast.doubt:
        return [f"  warning: whether it starts the app is unknown: {forecast.doubt}"]
    code = "" if forecast.exit_code is None else f", but end with exit code {forecast.exit_code}"
    return [f"  warning: it will not start the app{code}: it {forecast.reason}"] if forecast.reason else []


def rule(answer: Answer, selection: Selection) -> str:
    """Say which rule chose the launcher that would run."""
    if answer.launcher is selection.ranked[0]:
        return decided_by(selection)
    return "the first in the ranking that can be started"


def _passed_over(answer: Answer) -> list[tuple[Launcher, str]]:
    """Return the launchers ranked before the one that would run, each with what stops it."""
    passed: list[tuple[Launcher, str]] = []
    for launcher, reason in answer.obstacles:
        if reason is None:
            break
        passed.append((launcher, reason))
    return passed


def _others(answer: Answer) -> list[tuple[Launcher, str]]:
    """Return every launcher but the one that would run, with its reason."""
    decision = answer.decision
    chosen = answer.launcher
    if isinstance(decision.outcome, Selection):
        ranked = [
            (
                launcher,
                _covering(launcher, decision, f"covers the app, number {rank} in the ranking")
                if reason is None
                else f"can't be started: {reason}",
            )
            for rank, (launcher, reason) in enumerate(answer.obstacles, 1)
            if launcher is not chosen
        ]
        return ranked + [(launcher, why(reason)) for launcher, reason in decision.outcome.left_out]
    ranked = [(launcher, _covering(launcher, decision, "covers the app")) for launcher in decision.sifted.covering]
    return ranked + [(launcher, why(reason)) for launcher, reason in decision.sifted.left_out]


def _covering(launcher: Launcher, decision: Decision, text: str) -> str:
    """Say of a launcher that covers the app what of its metadata.toml it can't read, if anything."""
    unread = can_not_read(launcher, decision.record.oddities if decision.record else ())
    return f"{text}, but {unread}" if unread else text


def document(answer: Answer) -> dict[str, Json]:
    """Return the answer as the document that schemas/which.schema.json describes."""
    decision = answer.decision
    selection = answer.outcome if isinstance(answer.outcome, Selection) else None
    launcher = answer.launcher
    return {
        "schema_version": SCHEMA_VERSION,
        "metalauncher": __version__,
        "exit_code": answer.exit_code,
        "launcher": None
        if launcher is None
        else {
            "id": launcher.id,
            "version": launcher.version,
            "path": locate(launcher, answer.root).decode("utf-8", "surrogateescape"),
            "descriptor": launcher.descriptor,
            "sha256": launcher.sha256,
        },
        "decided_by": rule(answer, selection) if selection else None,
        "forecast": forecast_document(answer),
        "error": None
        if isinstance(answer.outcome, Selection)
        else {"kind": answer.outcome.kind, "text": refusal_lines(answer.outcome, decision, asked=True)},
        "need": _need_document(decision),
        "launchers": _launchers_document(answer),
        "registry": {
            "digest": digest(decision.registry),
            "directories": list(decision.registry.directories),
            "masked": [{"file": image or None, "by": mask} for image, mask in decision.registry.masked],
            "overridden": [{"file": image, "by": other} for image, other in decision.registry.overridden],
            "invalid": [
                {"file": broken.file, "line": broken.line, "key": broken.key or None, "reason": broken.reason}
                for broken in decision.registry.invalid
            ],
        },
    }


def forecast_document(answer: Answer) -> Json:
    """Return what is foretold of the launcher that would run, as `--which` and the log have it."""
    forecast = answer.forecast
    if not forecast.reason and not forecast.doubt:
        return None
    return {
        "starts": None if forecast.doubt else False,
        "exit_code": forecast.exit_code,
        "reason": forecast.doubt or forecast.reason,
    }


def _need_document(decision: Decision) -> dict[str, Json]:
    record = decision.record
    metadata = metadata_path(decision.environment).decode("utf-8", "surrogateescape")
    if record is not None:
        metadata = record.metadata
    elif isinstance(decision.outcome, MetadataUnreadable):
        metadata = decision.outcome.path
    return {
        "platform_api": decision.policy.platform_text or None,
        "metadata": metadata,
        "metadata_read": record is not None,
        "unrecorded": record.unrecorded if record is not None else None,
        "oddities": list(record.oddities) if record is not None else [],
        "buildpacks": [{"id": b.id, "api": b.text} for b in record.buildpacks] if record is not None else [],
    }


def _launchers_document(answer: Answer) -> list[Json]:
    decision = answer.decision
    ranked = {id(launcher): (rank, reason) for rank, (launcher, reason) in enumerate(answer.obstacles, 1)}
    reasons = {id(launcher): reason for launcher, reason in _others(answer)}
    return [
        {
            "id": launcher.id,
            "version": launcher.version,
            "path": launcher.path,
            "descriptor": launcher.descriptor,
            "priority": launcher.priority,
            "opt_in_env": launcher.opt_in_env,
            "requires": list(launcher.requires),
            "cannot_read": list(launcher.cannot_read),
            "sha256": launcher.sha256,
            "platform": api_set_document(launcher.platform),
            "buildpack": api_set_document(launcher.buildpack),
            "rank": ranked.get(id(launcher), (None, None))[0],
            "obstacle": ranked.get(id(launcher), (None, None))[1],
            "reason": reasons.get(id(launcher)),
        }
        for launcher in sorted(decision.registry.launchers, key=_by_name)
    ]


def _by_name(launcher: Launcher) -> tuple[str, VersionKey, str]:
    return launcher.id, launcher.version_key, launcher.descriptor


def api_set_document(apis: ApiSet) -> dict[str, Json]:
    """Return a set of API versions as `--which --format json` has it, and the digest of a registry takes it."""
    supported = apis.supported
    return {
        "supported": [str(v) for v in supported] if isinstance(supported, tuple) else supported.text,
        "deprecated": [str(version) for version in apis.deprecated],
        "default": None if apis.default is None else str(apis.default),
    }


def digest(registry: Registry) -> str:
    """Return one digest of all that can decide a selection: equal on two machines that decide alike.

    sha256 over one line per launcher, sorted; where the files lie does not count.
    """
    try:
        from _sha2 import sha256
    except ImportError:  # before Python 3.12 the module had another name
        from hashlib import sha256  # type: ignore[assignment]  # the same function by its public name
    lines = sorted(
        [
            dump(
                [
                    *(launcher.id, launcher.version, launcher.path, launcher.priority, launcher.opt_in_env),
                    *(list(launcher.requires), launcher.sha256),
                    # Only where there is any: a registry without has the digest that it always had.
                    *([sorted(set(launcher.cannot_read))] if launcher.cannot_read else []),
                    *(api_set_document(launcher.platform), api_set_document(launcher.buildpack)),
                ]
            )
            for launcher in registry.launchers
        ]
    )
    return "sha256:" + sha256("\n".join(lines).encode()).hexdigest()
