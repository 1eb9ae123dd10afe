"""Plan one app: read it, make its patched image, prove that, and say what writing it takes. Writes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from metalauncher import __version__
from metalauncher.tooling.apps.check.bounds import SENTENCE_LIMIT, shorten
from metalauncher.tooling.apps.patch.entry import Entry, Referrer
from metalauncher.tooling.apps.patch.outcome_text import Words, words_of, words_of_refusal, words_of_verdict
from metalauncher.tooling.apps.patch.patched_store import PatchedStore
from metalauncher.tooling.apps.patch.proof import NotProved, bases_of
from metalauncher.tooling.apps.patch.refusals import Refused
from metalauncher.tooling.apps.patch.rewriting import rewrite
from metalauncher.tooling.apps.patch.source import Source
from metalauncher.tooling.apps.patch.template import source_of
from metalauncher.tooling.apps.patch.turn import Turn, Turns
from metalauncher.tooling.oci.go_json import MANIFEST
from metalauncher.tooling.oci.http.errors import status_of
from metalauncher.tooling.oci.image import DEFAULT_PLATFORM, load_image
from metalauncher.tooling.oci.location import parse_location
from metalauncher.tooling.oci.model import (
    CONFIG_LIMIT,
    INDEXES,
    MANIFEST_LIMIT,
    ImageError,
    parse_descriptor,
    parse_json,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager
    from typing import IO

    from metalauncher.tooling.apps.patch.entry import Decision
    from metalauncher.tooling.apps.patch.journal import Asked
    from metalauncher.tooling.apps.patch.rewriting import Rewritten
    from metalauncher.tooling.apps.patch.run_images import RunImages
    from metalauncher.tooling.oci.destination import Destination
    from metalauncher.tooling.oci.image import Image
    from metalauncher.tooling.oci.model import Descriptor, Store
    from metalauncher.tooling.oci.reference import Reference
    from metalauncher.tooling.oci.sources.stores import Stores

    SeenLayers = dict[tuple[str, str], Refused | None]

LAYER_LIMIT: Final = 64 << 20  # bytes of a layer that is read whole: the launcher's, and the SBOMs'
_REFERRERS_LIMIT = 64  # of one app that the plan lists
# What is not refused, by its code.
_DECISIONS: Final[dict[str, Decision]] = {
    "unreachable": "failed",
    "defect": "failed",
    "starts-already": "left-alone",
    "starts-otherwise": "left-alone",
}


class OneImage:
    """A store of which the name stands for one manifest, whatever becomes of the tag meanwhile."""

    def __init__(self, store: Store, top: tuple[Descriptor, bytes]) -> None:
        """Take the store, and the manifest."""
        self._store: Final = store
        self._top: Final = top

    def top(self) -> tuple[Descriptor, bytes]:
        """Return the manifest."""
        return self._top

    def fetch(self, descriptor: Descriptor, limit: int) -> bytes:
        """Return a blob's whole content."""
        return self._store.fetch(descriptor, limit)

    def open(self, descriptor: Descriptor) -> AbstractContextManager[IO[bytes]]:
        """Open a blob for reading."""
        return self._store.open(descriptor)


class Read(NamedTuple):
    """An app as it lies in its registry.

    Attributes:
        source: its documents.
        store: that has it, and no other image.
        image: the same as others read it.
    """

    source: Source
    store: OneImage
    image: Image


def read_app(app: str, stores: Stores, platform: str | None) -> Read:
    """Read an app.

    Args:
        app: its reference.
        stores: what holds it.
        platform: that is taken out of an index; None: an index is refused.

    Raises:
        Refused: it is an index, and no platform is asked for.
        ImageError: it can't be had.
    """
    store = stores.open(parse_location(app))
    top = store.top()
    if top[0].media_type in INDEXES and platform is None:
        raise Refused("index", top[0].media_type)
    image = load_image(OneImage(store, top), platform or DEFAULT_PLATFORM)
    manifest = top[1] if image.manifest == top[0] else store.fetch(image.manifest, MANIFEST_LIMIT)
    config = parse_descriptor(parse_json(manifest, "the manifest", MANIFEST).get("config"), "the config")
    one = OneImage(store, (image.manifest, manifest))
    return Read(Source(image.manifest, manifest, store.fetch(config, CONFIG_LIMIT)), one, image)


def make_patched(read: Read, asked: Asked, seen: SeenLayers, turn: Turn) -> Rewritten:
    """Return an app's patched image.

    Args:
        read: the app.
        asked: how.
        seen: what launchers' layers were found to be, shared by a run.
        turn: the app's, to hold large layers.

    Raises:
        Refused: it can't be made, or there is nothing to do.
        ImageError: a layer that it takes can't be had.
    """
    return rewrite(
        read.source,
        asked.launcher,
        lambda blob: read.store.fetch(blob, LAYER_LIMIT),
        __version__,
        force=asked.force,
        must_match=frozenset(asked.must_match),
        seen=seen,
        turn=turn,
    )


class Look(NamedTuple):
    """What was seen at an app's target.

    Attributes:
        app: its reference.
        taken: what lies there that its plan did not write; "" for nothing.
        unseen: the app's entry where that can't be told; None where it can.
    """

    app: str
    taken: str = ""
    unseen: Entry | None = None


class Planner:
    """Plans apps. For several threads at once."""

    def __init__(self, asked: Asked, targets: Mapping[str, Reference], stores: Stores, runs: RunImages) -> None:
        """Take what is asked.

        Args:
            asked: it.
            targets: where each app's patched image goes.
            stores: what holds the apps.
            runs: the run images of the run.
        """
        self._asked: Final = asked
        self._targets: Final = targets
        self._stores: Final = stores
        self._runs: Final = runs
        self._seen: Final[SeenLayers] = {}
        self._turns: Final = Turns()

    def plan(self, app: str) -> Entry:
        """Return what is to be done about an app; whatever is wrong with it is said there."""
        entry = Entry(app, "failed", target=str(self._targets[app]))
        try:
            read = read_app(app, self._stores, self._asked.platform)
            entry = entry._replace(digest=read.image.manifest.digest, platform=shorten(read.image.platform))
            with Turn(self._turns) as turn:
                return self._plan(entry, read, turn)
        except Refused as refused:
            words = words_of_refusal(refused, app)
            return _with(entry._replace(decision="left-alone" if refused.left_alone else "refused"), words)
        except NotProved as refused:
            return self._not_proved(entry, refused)
        except ImageError as error:
            code = "unreachable" if error.kind == "unreachable" else "unreadable"
            return self.fail(entry._replace(status=status_of(error)), code, error.reason)

    def look_at_target(self, app: str, written: str | None) -> Look:
        """Look what lies at an app's target.

        Args:
            app: its reference.
            written: the digest that the plan writes there, None where it does not say one.
        """
        target = self._targets[app]
        try:
            there = self._stores.destination(target).tagged(target.tag)
        except ImageError as error:
            code = "unreachable" if error.kind == "unreachable" else "unwritable"
            words = words_of(code, f"what lies at {target} is not known: {error.reason}", str(target), str(target))
            entry = Entry(app, _DECISIONS.get(code, "refused"), target=str(target), status=status_of(error))
            return Look(app, unseen=_with(entry, words))
        if there is None or there.digest == written:
            return Look(app)
        return Look(app, f"{target}: is there already, as {there.digest}")

    def fail(self, entry: Entry, code: str, about: str) -> Entry:
        """Return the entry of an app that is not planned."""
        return _with(entry._replace(decision=_DECISIONS.get(code, "refused")), words_of(code, about, entry.app))

    def _not_proved(self, entry: Entry, refused: NotProved) -> Entry:
        hosts = entry.label_hosts or self._label_hosts(entry.app, refused.hosts)
        decision = _DECISIONS.get(refused.code, "refused")
        entry = entry._replace(decision=decision, proofs=refused.proofs, label_hosts=hosts)
        return _with(entry, words_of_verdict(refused, entry.app))

    def _label_hosts(self, app: str, hosts: tuple[str, ...]) -> tuple[str, ...]:
        """Return of the registries that were asked those that nobody named but the app's label."""
        named = source_of(app).api_host, self._targets[app].api_host
        return tuple([host for host in hosts if host not in named])

    def _plan(self, entry: Entry, read: Read, turn: Turn) -> Entry:
        rewritten = make_patched(read, self._asked, self._seen, turn)
        with bases_of(read.image, self._runs, self._targets[entry.app]) as bases:
            now = bases.now(entry.app, read.store)
            entry = entry._replace(
                before=now.kind,
                launcher=now.own_launcher,
                launcher_layer=rewritten.old_launcher_layer,
                label_hosts=self._label_hosts(entry.app, bases.hosts),
            )
            if now.kind == "starts" and now.route != "copy":  # a metalauncher of its own is worth replacing
                return self.fail(entry, "starts-already", f"it starts with {now.launcher}")
            try:
                proofs = bases.prove(entry.app, PatchedStore(rewritten, read.store), force=self._asked.force)
            except NotProved as refused:
                return self._not_proved(entry, refused)
        referrers, unknown = self._referrers(entry)
        return entry._replace(
            decision="planned",
            proofs=proofs,
            new_digest=rewritten.manifest.descriptor.digest,
            upload=len(rewritten.manifest.data) + sum([len(blob.data) for blob in rewritten.blobs]),
            kept=len(rewritten.kept),
            kept_bytes=sum([layer.size for layer in rewritten.kept]),
            referrers=referrers,
            referrers_unknown=unknown,
        )

    def _referrers(self, entry: Entry) -> tuple[tuple[Referrer, ...], str]:
        """Return what refers to the old digest, and stays behind; and why that is not all, "" where it is.

        It is said, and nothing is decided by it: a registry that does not list it keeps no app from being patched.
        """
        source = self._stores.destination(source_of(entry.app))
        digest = entry.digest or ""
        found: list[Referrer] = []
        unknown: list[str] = []
        for ask in (_listed, _attached):
            try:
                found += ask(source, digest)
            except ImageError as error:
                unknown.append(error.reason)
        return tuple(found[:_REFERRERS_LIMIT]), shorten("; ".join(dict.fromkeys(unknown)), SENTENCE_LIMIT)


def _listed(source: Destination, digest: str) -> list[Referrer]:
    return [Referrer(one.digest, shorten(one.artifact_type or one.media_type)) for one in source.referrers(digest)]


def _attached(source: Destination, digest: str) -> list[Referrer]:
    attached = source.attachments(digest)
    return [Referrer(there, f"cosign {tag.rpartition('.')[2]}") for tag, there in attached.items()]


def _with(entry: Entry, words: Words) -> Entry:
    return entry._replace(
        code=words.code,
        reason=shorten(words.reason, SENTENCE_LIMIT),
        remedy=shorten(words.do, SENTENCE_LIMIT),
        command=words.command,
    )
