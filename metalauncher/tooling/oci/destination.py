"""Where an image is written to: one repository of a registry. What is written is never taken away: DELETE is not sent.

Blobs first, then the manifest by its digest, then the tag. A tag is looked at before and after it is written, and is
not written where somebody else moved it. Source: the OCI distribution specification 1.1 ("Push").
"""

from __future__ import annotations

import hashlib
import re
from typing import IO, TYPE_CHECKING, Final, NamedTuple

from metalauncher.tooling.oci import uploads
from metalauncher.tooling.oci.http.deadlines import TransportError
from metalauncher.tooling.oci.http.errors import Refused, status_text
from metalauncher.tooling.oci.http.request import Body
from metalauncher.tooling.oci.media_types import ACCEPT, manifest_type
from metalauncher.tooling.oci.model import MANIFEST_LIMIT, ImageError, parse_digest
from metalauncher.tooling.oci.referrers import list_referrers

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from metalauncher.tooling.oci.http.deadlines import Deadline
    from metalauncher.tooling.oci.http.response import Answer
    from metalauncher.tooling.oci.model import Descriptor
    from metalauncher.tooling.oci.repository import Repository

# What a registry answers that lets nobody move a tag: ECR and Google 400 (or 403), Azure 405, Harbor 412, others 409.
_FIXED = frozenset((405, 409, 412))
_PERHAPS_FIXED = frozenset((400, 403))
_FIXED_WORDS = re.compile(r"immutab|alreadyexist|already exist|overw|precondition|locked", re.IGNORECASE)
_ATTACHED = ("sig", "att", "sbom")  # cosign, SIGNATURE_SPEC.md, and so for the other two
_STEM_LIMIT = 123  # characters before these: a tag has 128 at most, so that one made of a SHA-512 is none
_PUT = frozenset((200, 201, 202))  # as go-containerregistry has it: older Quay says 202
_FOUND = frozenset((200, 404))
_ETAG = re.compile(r'"[\x21\x23-\x7e]{0,512}"')  # a strong one: a weak one matches nothing (RFC 9110, 13.1.1)


class Tagged(NamedTuple):
    """What a tag names.

    Attributes:
        digest: of the manifest or index, by SHA-256 whatever the registry calls it by.
        etag: what the registry calls this state of the tag; "" where it has no name for it.
    """

    digest: str
    etag: str


class Content(NamedTuple):
    """What a tag names, whole.

    Attributes:
        tagged: its digest, and what the registry calls this state of the tag.
        media_type: of the content.
        data: it.
    """

    tagged: Tagged
    media_type: str
    data: bytes


class Destination:
    """One repository that is written to; threads may share it.

    What only asks (`tagged`, `referrers`, `attachments`) asks as who may read, so that a plan takes no right to write.
    """

    def __init__(self, repository: Repository) -> None:
        """Take where to write; nothing is asked yet."""
        self._repository: Final = repository

    def tagged(self, tag: str) -> Tagged | None:
        """Return what a tag names; None where there is no such tag, or no such repository.

        Raises:
            ImageError: the registry does not say.
        """
        try:
            return self._tagged(tag, None, to_write=False)
        except ImageError as error:
            if error.kind != "denied":
                raise
        # A registry may let nobody but those ask who may write what is not there yet.
        return self._tagged(tag, None, to_write=True)

    def has(self, blob: Descriptor) -> bool:
        """Whether a blob is there.

        Raises:
            ImageError: the registry does not say.
        """
        return uploads.has(self._repository, blob)

    def mount(self, blob: Descriptor, source: str) -> bool:
        """Have the registry take a blob from another of its repositories; return whether it did.

        Args:
            blob: that the other has.
            source: the other repository, one of those that the destination was made to read.
        """
        return self._mount(blob, source) is None

    def upload(self, blob: Descriptor, open_blob: Callable[[], AbstractContextManager[IO[bytes]]]) -> int:
        """Send a blob if it is not there.

        Args:
            blob: what it is.
            open_blob: opens it for reading; may be called several times.

        Returns:
            The bytes sent; 0 where it was there.

        Raises:
            ImageError: it is not there now, or is not what `blob` says.
        """
        if self.has(blob):
            return 0
        uploads.send(self._repository, blob, open_blob)
        return blob.size

    def copy(self, blob: Descriptor, source: str, open_blob: Callable[[], AbstractContextManager[IO[bytes]]]) -> int:
        """Have a blob here that another repository has: mounted, else sent.

        Args:
            blob: what it is.
            source: the repository of the same registry that has it; "" for none.
            open_blob: opens it for reading; may be called several times, or never.

        Returns:
            The bytes sent; 0 where it was there, or was mounted.

        Raises:
            ImageError: it is not there now, or is not what `blob` says.
        """
        session = None
        if source and source != self._repository.name:
            # Mounted first: that is one request where it works, also for what is there already.
            try:
                session = self._mount(blob, source)
            except ImageError:
                pass  # whatever is wrong with mounting: what is wrong with writing shows when it is sent
            else:
                if session is None:
                    return 0
        if self.has(blob):
            return 0
        uploads.send(self._repository, blob, open_blob, session)
        return blob.size

    def put_manifest(self, media_type: str, data: bytes) -> str:
        """Write a manifest or an index by its digest, which is returned. What it refers to is there already.

        Raises:
            ImageError: it is not there now.
        """
        digest = _digest(data)
        was_sent = False

        def put(deadline: Deadline) -> None:
            nonlocal was_sent
            if was_sent and (there := self._tagged(digest, deadline, to_write=True)) and there.digest == digest:
                return  # the answer alone was lost
            was_sent = True
            self._put(digest, media_type, data, {}, deadline)

        self._repository.retry(put)
        return digest

    def put_referrer(self, media_type: str, data: bytes) -> str:
        """Write a manifest that refers to another one (`subject`) by its digest; all else that it has is there.

        Returns:
            The digest of the manifest that the registry from now on lists it for; "" where it keeps no such lists.

        Raises:
            ImageError: it is not there now.
        """
        digest = _digest(data)
        return self._repository.retry(lambda deadline: self._put(digest, media_type, data, {}, deadline))

    def content(self, tag: str) -> Content | None:
        """Return what a tag names, with its content; None where there is no such tag.

        Raises:
            ImageError: the registry does not say, or it is no manifest and no index.
        """
        return self._repository.retry(lambda deadline: self._content(tag, deadline))

    def put_tag(self, tag: str, media_type: str, data: bytes, before: Tagged | None) -> None:
        """Let a tag name a manifest or an index that is there, unless somebody else moved it in the meantime.

        Between the last look at the tag and the write there is a moment in which another may write it. Registries that
        know conditional requests (`If-Match`, `If-None-Match`) close it; most do not.

        Args:
            tag: to write.
            media_type: of the manifest or index.
            data: it.
            before: what the tag named when it was decided to write it; None where there was none.

        Raises:
            ImageError: `moved`: the tag names something else; `immutable`: the registry lets nobody move it; or it is
                not known to have been written.
        """
        digest = _digest(data)

        def put(deadline: Deadline) -> None:
            now = self._tagged(tag, deadline, to_write=True)
            if now is not None and now.digest == digest:
                return
            self._refuse_moved(tag, now, before)
            condition = {"If-None-Match": "*"} if now is None else {"If-Match": now.etag} if now.etag else {}
            try:
                self._put(tag, media_type, data, condition, deadline)
            except Refused as refused:
                self._explain(tag, refused, digest, before, deadline)
                return
            after = self._tagged(tag, deadline, to_write=True)
            if after is None or after.digest != digest:
                self._refuse_moved(tag, after, before)
                raise TransportError(f"{self._repository.host} took the tag {tag}, and does not have it")

        self._repository.retry(put)

    def referrers(self, digest: str) -> tuple[Descriptor, ...]:
        """Return what refers to a manifest: signatures, attestations, SBOMs.

        Raises:
            ImageError: the registry does not say, or names too many.
        """
        return list_referrers(self._repository, digest)

    def attachments(self, digest: str) -> dict[str, str]:
        """Return what cosign attached to a manifest by tags, which no list of referrers has: by tag, what that names.

        Raises:
            ImageError: the registry does not say.
        """
        stem = digest.replace(":", "-")
        if len(stem) > _STEM_LIMIT:
            return {}
        tags = [f"{stem}.{what}" for what in _ATTACHED]
        found = {tag: self._tagged(tag, None, to_write=False) for tag in tags}
        return {tag: there.digest for tag, there in found.items() if there is not None}

    def _mount(self, blob: Descriptor, source: str) -> uploads.Session | None:
        return uploads.begin(self._repository, blob, source)

    def _put(self, reference: str, media_type: str, data: bytes, condition: dict[str, str], deadline: Deadline) -> str:
        """Write it, once; return of which manifest the registry says that it lists it as a referrer, "" for none."""
        headers = {"Content-Type": media_type, **condition}
        path = f"manifests/{reference}"
        with self._repository.write(
            "PUT", path, "repository", deadline, headers=headers, body=Body.of(data), expected=_PUT
        ) as answer:
            named = answer.headers.get("Docker-Content-Digest", "")
            uploads.check_digest(answer, _digest(data, "sha512" if named.startswith("sha512:") else "sha256"))
            return answer.headers.get("OCI-Subject", "")

    def _content(self, tag: str, deadline: Deadline) -> Content | None:
        with self._ask("GET", f"manifests/{tag}", deadline, to_write=True) as answer:
            if answer.status == 404:
                return None
            data = answer.whole(MANIFEST_LIMIT, "the manifest")
            kind = manifest_type(data, answer.headers.get("Content-Type"))
            return Content(Tagged(_digest(data), _etag(answer)), kind, data)

    def _tagged(self, reference: str, deadline: Deadline | None, *, to_write: bool) -> Tagged | None:
        return self._repository.retry(lambda until: self._look(reference, until, to_write=to_write), deadline)

    def _look(self, reference: str, deadline: Deadline, *, to_write: bool) -> Tagged | None:
        """Look what a tag names, once."""
        for method in ("HEAD", "GET"):
            try:
                with self._ask(method, f"manifests/{reference}", deadline, to_write=to_write) as answer:
                    if answer.status == 404:
                        return None
                    if (found := _named(answer, method)) is not None:
                        return found
            except Refused as refused:
                # Some don't know HEAD of manifests. GET is asked for what they say.
                if method == "GET" or refused.status in {401, 403}:
                    raise
        raise AssertionError

    def _ask(self, method: str, path: str, deadline: Deadline, *, to_write: bool) -> AbstractContextManager[Answer]:
        what = "tag or manifest"
        if to_write:
            headers = {"Accept": ACCEPT}
            return self._repository.write(method, path, what, deadline, headers=headers, expected=_FOUND)
        return self._repository.read(path, what, deadline, method=method, accept=ACCEPT, expected=_FOUND)

    def _refuse_moved(self, tag: str, now: Tagged | None, before: Tagged | None) -> None:
        """Raise ImageError where a tag does not name what it did."""
        if (now and now.digest) != (before and before.digest):
            have = f"names {now.digest}" if now else "is not there"
            was = f"not {before.digest}" if before else "and was not there"
            raise ImageError("moved", f"somebody else moved the tag {tag}: it {have}, {was}")

    def _explain(self, tag: str, refused: Refused, digest: str, before: Tagged | None, deadline: Deadline) -> None:
        """Raise what it means that a tag was not taken; return where it was written all the same."""
        now = self._tagged(tag, deadline, to_write=True)
        if now is not None and now.digest == digest:
            return
        self._refuse_moved(tag, now, before)
        worded = bool(_FIXED_WORDS.search(refused.said))
        if (refused.status in _FIXED and (now or worded)) or (refused.status in _PERHAPS_FIXED and worded):
            said = f" ({refused.said})" if refused.said else ""
            reason = f"{self._repository.host} does not allow moving the tag {tag}"
            raise ImageError("immutable", f"{reason}: it answered {status_text(refused.status)}{said}")
        raise refused


def _digest(data: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def _etag(answer: Answer) -> str:
    etag = answer.headers.get("ETag", "")
    return etag if _ETAG.fullmatch(etag) else ""


def _named(answer: Answer, method: str) -> Tagged | None:
    """Return what an answer says that a tag names; None where it does not say."""
    etag = _etag(answer)
    if method == "GET":
        return Tagged(_digest(answer.whole(MANIFEST_LIMIT, "the manifest")), etag)
    try:
        digest = parse_digest(answer.headers.get("Docker-Content-Digest"))
    except ImageError:
        return None
    # Another algorithm's says nothing of what is to be compared: GET gives the content.
    return Tagged(digest, etag) if digest.startswith("sha256:") else None
