"""The VEX of a pushed image, beside it: an in-toto statement in a manifest that refers to the image's. Unsigned.

Sources: in-toto Statement v1; the OCI image specification 1.1 (manifest.md, "Guidelines for Artifact Usage"); the media
type and the annotation are those that BuildKit gives its attestations, by which scanners tell which of them is a VEX.
"""

from __future__ import annotations

import io
import json
import shlex
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from metalauncher.tooling.console import Unable
from metalauncher.tooling.oci.model import OCI_MANIFEST, Descriptor, ImageError, describe
from metalauncher.tooling.oci.referring import refer
from metalauncher.tooling.sbom.as_openvex import CONTEXT, document
from metalauncher.tooling.sbom.model import image_purl, within

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from metalauncher.tooling.oci.destination import Destination
    from metalauncher.tooling.oci.reference import Reference
    from metalauncher.tooling.sbom.model import Stated

STATEMENT: Final = "application/vnd.in-toto+json"
PREDICATE_TYPE: Final = "in-toto.io/predicate-type"
_TYPE = "https://in-toto.io/Statement/v1"
_EMPTY = "application/vnd.oci.empty.v1+json"
_NOTHING = b"{}"  # what that is, always


class Attachment(NamedTuple):
    """What is to be written.

    Attributes:
        subject: of the image's manifest.
        statement: the in-toto statement.
        manifest: that refers to the one and has the other.
    """

    subject: Descriptor
    statement: bytes
    manifest: bytes


class Attached(NamedTuple):
    """What became of it.

    Attributes:
        subject: digest of the image's manifest.
        manifest: digest of the one that refers to it.
        was_there: it was there already, and nothing was written.
    """

    subject: str
    manifest: str
    was_there: bool


def attachment(stated: Stated, created: datetime, target: Reference, subject: Descriptor) -> Attachment:
    """Return what says of an image what `vex --image` says of it. Pure.

    Args:
        stated: about what is in the image.
        created: the time that the document carries.
        target: where the image lies.
        subject: its manifest, not an index.
    """
    name = f"{target.host}/{target.repository}"
    _, _, digits = subject.digest.partition(":")
    statement = _encode(
        {
            "_type": _TYPE,
            "subject": [{"name": name, "digest": {"sha256": digits}}],
            "predicateType": CONTEXT,
            "predicate": document(within(stated, image_purl(target.host, target.repository, subject.digest)), created),
        }
    )
    kind = {PREDICATE_TYPE: CONTEXT}
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": STATEMENT,
        "config": _refer(describe(_EMPTY, _NOTHING)),
        "layers": [{**_refer(describe(STATEMENT, statement)), "annotations": kind}],
        "subject": _refer(subject),
        "annotations": kind,
    }
    return Attachment(subject, statement, _encode(manifest))


def attach(what: Iterable[Attachment], target: Reference, destination: Destination) -> tuple[Attached, ...]:
    """Write what is to be attached to images that are there.

    Raises:
        Unable: one is not there now.
    """
    found: list[Attached] = []
    for one in what:
        try:
            for blob, data in (
                (describe(STATEMENT, one.statement), one.statement),
                (describe(_EMPTY, _NOTHING), _NOTHING),
            ):
                destination.upload(blob, partial(_opened, data))
            was_written = refer(destination, one.manifest)
        except ImageError as error:
            raise Unable(
                f"--attach to {target.host}/{target.repository}@{one.subject.digest}: {error.reason}",
                need="a registry that takes it; the image itself is pushed",
                do="see what is there; the same command attaches what is missing",
                command=f"skopeo inspect docker://{shlex.quote(str(target))}",
            ) from None
        found.append(Attached(one.subject.digest, describe(OCI_MANIFEST, one.manifest).digest, not was_written))
    return tuple(found)


def _opened(data: bytes) -> nullcontext[io.BytesIO]:
    return nullcontext(io.BytesIO(data))


def _refer(blob: Descriptor) -> dict[str, Any]:
    return {"mediaType": blob.media_type, "digest": blob.digest, "size": blob.size}


def _encode(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")
