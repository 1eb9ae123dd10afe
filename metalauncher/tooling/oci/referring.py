"""Write a manifest that refers to another one, so that who asks for what refers to that one finds it.

Most registries keep the lists of referrers themselves, and say so when such a manifest is written. For the others it is
put into an index with a tag that is made of the digest, which all who write there share: what others put into it stays.
Source: the OCI distribution specification 1.1 ("Pushing Manifests with Subject", "Referrers Tag Schema").
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from metalauncher.tooling.oci.go_json import MANIFEST
from metalauncher.tooling.oci.model import (
    MANIFEST_LIMIT,
    OCI_INDEX,
    OCI_MANIFEST,
    ImageError,
    describe,
    parse_descriptor,
    parse_json,
    to_json,
)
from metalauncher.tooling.oci.referrers import tag_of

if TYPE_CHECKING:
    from metalauncher.tooling.oci.destination import Destination
    from metalauncher.tooling.oci.model import Descriptor

_TRIES: Final = 5  # where others write the same index at the same time
_WHAT = "the list of referrers"
_EMPTY: Final = {"schemaVersion": 2, "mediaType": OCI_INDEX}


def refer(destination: Destination, manifest: bytes) -> bool:
    """Write a manifest that refers to another one, and see that it is listed there.

    Args:
        destination: that has the other one, and the blobs.
        manifest: an OCI manifest with a `subject`.

    Returns:
        Whether anything was written: not where it was there, and listed.

    Raises:
        ImageError: it is not there now, or not listed.
    """
    digest = describe(OCI_MANIFEST, manifest).digest
    subject = parse_descriptor(parse_json(manifest, "the manifest", MANIFEST).get("subject"), "its subject").digest
    if _is_listed(destination, subject, digest) and destination.tagged(digest) is not None:
        return False
    # Some registries say that they list it, and have no lists.
    if destination.put_referrer(OCI_MANIFEST, manifest) != subject or not _is_listed(destination, subject, digest):
        _list_by_tag(destination, tag_of(subject), manifest)
    return True


def _is_listed(destination: Destination, subject: str, digest: str) -> bool:
    return digest in {entry.digest for entry in destination.referrers(subject)}


def _list_by_tag(destination: Destination, tag: str, manifest: bytes) -> None:
    for attempt in range(1, _TRIES + 1):
        there = destination.content(tag)
        if there is not None and there.media_type != OCI_INDEX:
            raise ImageError("unsupported", f"the tag {tag}, which is to name {_WHAT}, names a {there.media_type}")
        index = extended(there.data if there else None, manifest)
        if index is None:
            return
        try:
            destination.put_tag(tag, OCI_INDEX, index, there.tagged if there else None)
        except ImageError as error:
            if error.kind != "moved" or attempt == _TRIES:
                raise
        else:
            return


def extended(index: bytes | None, manifest: bytes) -> bytes | None:
    """Return an index of referrers with one more at its end, all else as it was; None where it lists that already.

    Args:
        index: None where there is none yet.
        manifest: an OCI manifest.

    Raises:
        ImageError: the index can't be added to, or would be larger than registries take.
    """
    before = _listed(index) if index is not None else []
    blob = describe(OCI_MANIFEST, manifest)
    if blob.digest in [entry.digest for entry in before]:
        return None
    said = json.loads(manifest)
    entry: dict[str, Any] = {"mediaType": OCI_MANIFEST, "digest": blob.digest, "size": blob.size}
    # As lists have it that registries keep: of one without a type of its own, that of its config.
    entry["artifactType"] = said.get("artifactType") or said["config"]["mediaType"]
    if said.get("annotations"):
        entry["annotations"] = said["annotations"]
    try:
        document: dict[str, Any] = json.loads(index) if index is not None else dict(_EMPTY)
    except UnicodeDecodeError:  # which Go mends, and so changes
        raise ImageError("unsupported", f"{_WHAT} is not UTF-8: it can't be added to and kept as it is") from None
    document["manifests"] = [*(document.get("manifests") or []), entry]
    text = to_json(document)
    if len(text) > MANIFEST_LIMIT:
        raise ImageError("too-large", f"{_WHAT} would be larger than {MANIFEST_LIMIT >> 20} MiB")
    if [each.digest for each in _listed(text)] != [*[each.digest for each in before], blob.digest]:
        raise ImageError("unsupported", f"{_WHAT} is written so that programs differ in what it lists")
    return text


def _listed(index: bytes) -> list[Descriptor]:
    entries = parse_json(index, _WHAT, MANIFEST).get("manifests") or []
    return [parse_descriptor(entry, f"an entry of {_WHAT}") for entry in entries]
