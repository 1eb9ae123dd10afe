"""What is to be done about one app, and what was done: as values, and as the journal's JSON. Pure.

What is read back may be anything: a journal is a file, and says where images are written to. Every key is checked, and
one that is not known is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, get_args

from metalauncher.tooling.apps.check.verdict import KINDS, Kind
from metalauncher.tooling.apps.json_fields import (
    array,
    exactly,
    natural,
    one_of,
    optional_integer,
    optional_text,
    text,
    texts,
)
from metalauncher.tooling.apps.launcher_inventory import OwnLauncher, own_launcher_from_json, own_launcher_to_json
from metalauncher.tooling.oci.model import ImageError, parse_digest

if TYPE_CHECKING:
    from metalauncher.explain.jsontext import Json

# planned: it is written when the plan is applied. left-alone: there is nothing to be done about it, or it was not asked
# for. refused: it is not written, for a reason that somebody has to do something about. failed: it could not be told;
# the same command tries again.
Decision = Literal["planned", "left-alone", "refused", "failed"]
DECISIONS: Final[tuple[Decision, ...]] = get_args(Decision)
# written: its target is what was planned, and was proved again as it lies there. refused, failed: as above.
State = Literal["written", "refused", "failed"]
STATES: Final[tuple[State, ...]] = get_args(State)
# inside: the run image that the app has. named: the one that its label names today, which the next rebase takes.
Over = Literal["inside", "named"]
OVERS: Final[tuple[Over, ...]] = get_args(Over)


class Proof(NamedTuple):
    """What comes of the app over one run image.

    Attributes:
        over: which run image.
        run_image: what it is called; "" inside.
        digest: of its manifest; inside, the diffID of its topmost layer.
        kind: the verdict of `check`.
        reason: why, one line for people.
        remedy: what `check` says to do about it; "" where it says nothing.
        launcher: that would run, `id@version`; None where none would.
        assumes: on what the verdict rests besides what was read, as codes.
        covering: how many of its launchers cover the app.
        remaining: how many are left of these when the newest launcher goes.
    """

    over: Over
    run_image: str
    digest: str
    kind: Kind
    reason: str
    launcher: str | None
    assumes: tuple[str, ...]
    covering: int
    remaining: int
    remedy: str = ""


class Referrer(NamedTuple):
    """What refers to the old image by its digest, such as a signature: it stays behind.

    Attributes:
        digest: of its manifest.
        artifact_type: what it is.
    """

    digest: str
    artifact_type: str


class Entry(NamedTuple):
    """The plan for one app.

    Attributes:
        app: the reference as it was given.
        decision: what is to be done.
        code: why it is not planned, for programs; "" where it is.
        status: with which a registry answered, where that is why; None else.
        reason: the same for people, one line.
        remedy: what to do about it; "" where there is nothing.
        command: to run next; "" where there is none.
        target: the reference that it is written to.
        digest: of its manifest; None where it was not had.
        new_digest: of the manifest that is written; None where none is.
        platform: `os/architecture[/variant]`, "" where it was not had.
        before: the verdict over the run image inside as the app is now; None where it was not reached.
        proofs: the verdicts over the app as it would be; empty where it did not come to that.
        launcher: that it carries now; None where that is not known, or it carries none.
        launcher_layer: the diffID of the layer that is replaced; None where none is.
        upload: bytes that are uploaded besides kept layers.
        kept: how many layers are kept.
        kept_bytes: of these as they are stored: what is moved where the target can't mount them.
        referrers: what refers to the old digest.
        referrers_unknown: why these are not all listed; "" where they are.
        label_hosts: registries that were asked because its label names them, beside its own and that of its target.
    """

    app: str
    decision: Decision
    code: str = ""
    reason: str = ""
    remedy: str = ""
    command: str = ""
    target: str = ""
    digest: str | None = None
    new_digest: str | None = None
    platform: str = ""
    before: Kind | None = None
    proofs: tuple[Proof, ...] = ()
    launcher: OwnLauncher | None = None
    launcher_layer: str | None = None
    upload: int = 0
    kept: int = 0
    kept_bytes: int = 0
    referrers: tuple[Referrer, ...] = ()
    referrers_unknown: str = ""
    status: int | None = None
    label_hosts: tuple[str, ...] = ()


class Progress(NamedTuple):
    """What became of one planned app.

    Attributes:
        app: the reference as it was given.
        state: what became of it.
        code: why it is not written, for programs; "" where it is.
        status: with which a registry answered, where that is why; None else.
        reason: the same for people.
        remedy: what to do about it; "" where there is nothing.
        command: to run next; "" where there is none.
        digest: of the manifest at the target, read back; None where it is not written.
        sent: bytes of blobs that were uploaded.
        proofs: the verdicts over what was read back.
    """

    app: str
    state: State
    code: str = ""
    reason: str = ""
    remedy: str = ""
    command: str = ""
    digest: str | None = None
    sent: int = 0
    proofs: tuple[Proof, ...] = ()
    status: int | None = None


def entry_to_json(entry: Entry) -> dict[str, Json]:
    """Return an entry as a JSON object, `$defs/entry` of the schema without its `kind`."""
    return {
        **entry._asdict(),
        "proofs": [proof_to_json(proof) for proof in entry.proofs],
        "launcher": None if entry.launcher is None else own_launcher_to_json(entry.launcher),
        "referrers": [{**referrer._asdict()} for referrer in entry.referrers],
        "label_hosts": list(entry.label_hosts),
    }


def progress_to_json(progress: Progress) -> dict[str, Json]:
    """Return progress as a JSON object, `$defs/progress` of the schema without its `kind`."""
    return {**progress._asdict(), "proofs": [proof_to_json(proof) for proof in progress.proofs]}


def proof_to_json(proof: Proof) -> dict[str, Json]:
    """Return a proof as a JSON object, `$defs/proof` of the schema."""
    return {**proof._asdict(), "assumes": list(proof.assumes)}


def entry_from_json(value: Any) -> Entry:
    """Return the entry that a JSON object says.

    Raises:
        ValueError: it is not what `entry_to_json` returns, or contradicts itself.
    """
    table = exactly(value, "the entry", Entry._fields)
    launcher = table["launcher"]
    entry = Entry(
        app=text(table, "app"),
        decision=one_of(table, "decision", DECISIONS),
        code=text(table, "code"),
        reason=text(table, "reason"),
        remedy=text(table, "remedy"),
        command=text(table, "command"),
        target=text(table, "target"),
        digest=_digest(table, "digest"),
        new_digest=_digest(table, "new_digest"),
        platform=text(table, "platform"),
        before=None if table["before"] is None else one_of(table, "before", KINDS),
        proofs=_proofs(table),
        launcher=None
        if launcher is None
        else own_launcher_from_json(exactly(launcher, "the launcher", OwnLauncher._fields)),
        launcher_layer=_digest(table, "launcher_layer"),
        upload=natural(table, "upload"),
        kept=natural(table, "kept"),
        kept_bytes=natural(table, "kept_bytes"),
        referrers=tuple([_referrer(item) for item in array(table, "referrers")]),
        referrers_unknown=text(table, "referrers_unknown"),
        status=optional_integer(table, "status"),
        label_hosts=texts(table, "label_hosts"),
    )
    if entry.decision == "planned" and None in (entry.digest, entry.new_digest, entry.launcher_layer):
        raise ValueError("is planned without its digests")
    if (entry.decision == "planned") == bool(entry.code):
        raise ValueError(f"is {entry.decision}, and its code is {entry.code[:60]!r}")
    if entry.decision == "planned" and not {"inside", "named"} <= {proof.over for proof in entry.proofs}:
        raise ValueError("is planned without its proofs")
    return entry


def progress_from_json(value: Any) -> Progress:
    """Return the progress that a JSON object says.

    Raises:
        ValueError: it is not what `progress_to_json` returns, or contradicts itself.
    """
    table = exactly(value, "the progress", Progress._fields)
    progress = Progress(
        app=text(table, "app"),
        state=one_of(table, "state", STATES),
        code=text(table, "code"),
        reason=text(table, "reason"),
        remedy=text(table, "remedy"),
        command=text(table, "command"),
        digest=_digest(table, "digest"),
        sent=natural(table, "sent"),
        proofs=_proofs(table),
        status=optional_integer(table, "status"),
    )
    if (progress.state == "written") != (progress.digest is not None) or (progress.state == "written") == bool(
        progress.code
    ):
        raise ValueError(f"is {progress.state}, and its digest or code says another thing")
    return progress


def _proofs(table: dict[str, Any]) -> tuple[Proof, ...]:
    return tuple([_proof(item) for item in array(table, "proofs")])


def _proof(value: Any) -> Proof:
    table = exactly(value, "the proof", Proof._fields)
    digest = _digest(table, "digest")
    if digest is None:
        raise ValueError("digest is null")
    return Proof(
        over=one_of(table, "over", OVERS),
        run_image=text(table, "run_image"),
        digest=digest,
        kind=one_of(table, "kind", KINDS),
        reason=text(table, "reason"),
        launcher=optional_text(table, "launcher"),
        assumes=texts(table, "assumes"),
        covering=natural(table, "covering"),
        remaining=natural(table, "remaining"),
        remedy=text(table, "remedy"),
    )


def _referrer(value: Any) -> Referrer:
    table = exactly(value, "the referrer", Referrer._fields)
    return Referrer(_digest(table, "digest") or "", text(table, "artifact_type"))


def _digest(table: dict[str, Any], key: str) -> str | None:
    """Return the digest at a key, None where it is null.

    Raises:
        ValueError: it is another thing.
    """
    try:
        return None if table[key] is None else parse_digest(table[key])
    except ImageError as error:
        raise ValueError(f"{key}: {error.reason}") from None
