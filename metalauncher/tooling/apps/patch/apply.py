"""Write one planned app: make its image again, prove it again, write it, read it back, and prove what lies there.

Wherever this ends, the target's tag names what it named before, or the image that was planned: blobs come first, then
the manifest by its digest, then the tag. Doing it again does what is missing.
"""

from __future__ import annotations

import io
import threading
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Final

from metalauncher.tooling.apps.check.bounds import SENTENCE_LIMIT, shorten
from metalauncher.tooling.apps.patch.entry import Progress
from metalauncher.tooling.apps.patch.outcome_text import Words, words_of, words_of_refusal, words_of_verdict
from metalauncher.tooling.apps.patch.patched_store import PatchedStore
from metalauncher.tooling.apps.patch.plan import OneImage, make_patched, read_app
from metalauncher.tooling.apps.patch.proof import NotProved, bases_of
from metalauncher.tooling.apps.patch.refusals import Refused
from metalauncher.tooling.apps.patch.template import source_of
from metalauncher.tooling.apps.patch.turn import Turn, Turns
from metalauncher.tooling.oci.http.errors import status_of
from metalauncher.tooling.oci.location import Location
from metalauncher.tooling.oci.model import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager
    from typing import IO

    from metalauncher.tooling.apps.patch.entry import Entry, Proof
    from metalauncher.tooling.apps.patch.journal import Asked
    from metalauncher.tooling.apps.patch.plan import Read, SeenLayers
    from metalauncher.tooling.apps.patch.proof import Bases
    from metalauncher.tooling.apps.patch.rewriting import Rewritten
    from metalauncher.tooling.apps.patch.run_images import RunImages
    from metalauncher.tooling.oci.reference import Reference
    from metalauncher.tooling.oci.sources.stores import Stores


class _NotWritten(Exception):
    """An app is not written: why, what is known besides, and what a registry answered if that is why."""

    def __init__(self, code: str, about: str, status: int | None = None) -> None:
        super().__init__(code, about)
        self.code: Final = code
        self.about: Final = about
        self.status: Final = status


class _Blobs:
    """What a run has put into repositories: each blob once, however many apps want it at a time.

    Registries answer 400 where a blob is sent twice at a time, or where a manifest names one that is being sent again.
    """

    def __init__(self) -> None:
        self._lock: Final = threading.Lock()
        self._locks: Final[dict[tuple[str, str, str], threading.Lock]] = {}
        self._there: Final[set[tuple[str, str, str]]] = set()

    def put(self, target: Reference, digest: str, put: Callable[[], int]) -> int:
        """Put a blob into a repository unless that was done; return how many bytes were sent for it now."""
        key = target.api_host, target.repository, digest
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key in self._there:
                return 0
            sent = put()
            self._there.add(key)
            return sent


class Applier:
    """Writes planned apps. For several threads at once."""

    def __init__(
        self,
        asked: Asked,
        entries: Mapping[str, Entry],
        targets: Mapping[str, Reference],
        stores: Stores,
        runs: RunImages,
    ) -> None:
        """Take the plan.

        Args:
            asked: what it was asked for.
            entries: of each app.
            targets: what its template makes of the apps: nothing else is written to.
            stores: what holds the apps, and takes them.
            runs: the run images of the run.
        """
        self._asked: Final = asked
        self._entries: Final = entries
        self._targets: Final = targets
        self._stores: Final = stores
        self._runs: Final = runs
        self._blobs: Final = _Blobs()
        self._seen: Final[SeenLayers] = {}
        self._turns: Final = Turns()

    def apply(self, app: str) -> Progress:
        """Write an app; what keeps it from that is said in what is returned."""
        entry = self._entries[app]
        try:
            with Turn(self._turns) as turn:
                return self._apply(entry, turn)
        except Refused as refused:
            return _not(app, words_of_refusal(refused, app))
        except NotProved as refused:
            return _not(app, words_of_verdict(refused, app))._replace(proofs=refused.proofs)
        except _NotWritten as refused:
            return _not(app, words_of(refused.code, refused.about, app, entry.target))._replace(status=refused.status)
        except ImageError as error:
            code = error.kind if error.kind in ("unreachable", "moved", "immutable") else "unwritable"
            return _not(app, words_of(code, error.reason, app, entry.target))._replace(status=status_of(error))

    def _apply(self, entry: Entry, turn: Turn) -> Progress:
        try:
            read = self._read(entry)
            rewritten = make_patched(read, self._asked, self._seen, turn)
        except ImageError as error:
            code = error.kind if error.kind == "unreachable" else "unreadable"
            raise _NotWritten(code, error.reason, status_of(error)) from None
        if rewritten.manifest.descriptor.digest != entry.new_digest:
            raise _NotWritten("differs", f"{rewritten.manifest.descriptor.digest}, and {entry.new_digest} was planned")
        with bases_of(read.image, self._runs, self._targets[entry.app]) as bases:
            bases.prove(entry.app, PatchedStore(rewritten, read.store), force=self._asked.force)
            sent = self._write(entry, read, rewritten)
            proofs = self._read_back(entry, rewritten, bases)
        return Progress(entry.app, "written", digest=entry.new_digest, sent=sent, proofs=proofs)

    def _read(self, entry: Entry) -> Read:
        """Read an app, which is to be the one that was planned."""
        read = read_app(entry.app, self._stores, self._asked.platform)
        if read.image.manifest.digest != entry.digest:
            raise _NotWritten("source-moved", f"{read.image.manifest.digest}, and {entry.digest} was planned")
        return read

    def _write(self, entry: Entry, read: Read, rewritten: Rewritten) -> int:
        """Write an app's image, and then its tag; return how many bytes of blobs were sent.

        Raises:
            ImageError: it could not be written, or somebody else wrote the tag.
        """
        source, target = source_of(entry.app), self._targets[entry.app]
        beside = source.api_host == target.api_host
        destination = self._stores.destination(target, (source.repository,) if beside else ())
        manifest = rewritten.manifest
        there = destination.tagged(target.tag)
        if there is not None and there.digest == manifest.descriptor.digest:
            return 0
        if there is not None:
            raise ImageError("moved", f"somebody else wrote {target}: it names {there.digest}, and was not there")
        sent = 0
        if not beside or source.repository != target.repository:
            where = source.repository if beside else ""
            for blob in rewritten.kept:
                copy = partial(destination.copy, blob, where, partial(read.store.open, blob))
                sent += self._blobs.put(target, blob.digest, copy)
        for new in rewritten.blobs:
            upload = partial(destination.upload, new.descriptor, partial(_opened, new.data))
            sent += self._blobs.put(target, new.descriptor.digest, upload)
        destination.put_manifest(manifest.descriptor.media_type, manifest.data)
        destination.put_tag(target.tag, manifest.descriptor.media_type, manifest.data, None)
        return sent

    def _read_back(self, entry: Entry, rewritten: Rewritten, bases: Bases) -> tuple[Proof, ...]:
        """Return the proofs of what lies at the target now."""
        target = self._targets[entry.app]
        # Not from a mirror, which may not know of it yet.
        store = self._stores.open(Location("registry", str(target), None), mirrored=False)
        top = store.top()
        if top[0].digest != entry.new_digest:
            raise _NotWritten("not-as-written", f"{target} names {top[0].digest}")
        destination = self._stores.destination(target)
        for blob in rewritten.blobs:  # what the proof looks at may be remembered from another app
            if not destination.has(blob.descriptor):
                raise _NotWritten("not-as-written", f"{target} has no blob {blob.descriptor.digest}")
        try:
            return bases.prove(entry.app, OneImage(store, top), force=self._asked.force)
        except NotProved as refused:
            raise _NotWritten("not-as-written", refused.about) from None


def _opened(data: bytes) -> AbstractContextManager[IO[bytes]]:
    return nullcontext(io.BytesIO(data))


def _not(app: str, words: Words) -> Progress:
    return Progress(
        app,
        "failed" if words.code in ("unreachable", "defect") else "refused",
        words.code,
        shorten(words.reason, SENTENCE_LIMIT),
        words.do,
        words.command,
    )
