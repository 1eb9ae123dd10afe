"""What an image is made of, and where that comes from. Pure: knows no files and no network.

Sources: the OCI image specification 1.1 (descriptor.md, manifest.md, image-index.md, config.md), and for the older
media types Docker's image manifest version 2, schema 2.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import IO, TYPE_CHECKING, Any, Final, Literal, NamedTuple, Protocol

from metalauncher.tooling.oci.go_json import MergedError, NotJsonError, decode

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from metalauncher.tooling.oci.go_json import Shape

INDEXES: Final = frozenset(
    ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
)
MANIFESTS: Final = frozenset(
    ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
)
OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
OCI_LAYER: Final = "application/vnd.oci.image.layer.v1.tar+gzip"

MANIFEST_LIMIT: Final = 4 << 20  # bytes; registries (distribution, Docker Hub) take no larger ones
CONFIG_LIMIT: Final = 8 << 20  # bytes; one with all labels of a large build has 100 KB

VALUES_LIMIT: Final = 500_000  # brackets, braces and commas of a document: each may take 100 bytes of memory or more

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")

if TYPE_CHECKING:
    # absent: there is no such image, tag or blob. ambiguous: there are several, and nothing says which one is meant.
    # denied: it may not be read with these credentials. other-platform: there are only others than the one asked for.
    # unsupported: it is of a kind that is not read (schema 1, no image at all). damaged: it is not what its digest or
    # its format says. too-large: it is larger than a stated limit. unreachable: whoever has it did not answer, or not
    # in time. refused: whoever has it, or is to take it, answered that it will not. moved: a tag that was to be written
    # names something else by now. immutable: a tag that was to be written is one that the registry lets nobody move.
    ErrorKind = Literal[
        "absent",
        "ambiguous",
        "denied",
        "other-platform",
        "unsupported",
        "damaged",
        "too-large",
        "unreachable",
        "refused",
        "moved",
        "immutable",
    ]


class ImageError(Exception):
    """An image, or a part of one, can't be had.

    Attributes:
        kind: of which kind the error is.
        reason: what is wrong, in a few words, without the image's name.
    """

    def __init__(self, kind: ErrorKind, reason: str) -> None:
        """Hold what is wrong."""
        super().__init__(kind, reason)
        self.kind: Final = kind
        self.reason: Final = reason

    def __str__(self) -> str:
        """Return the reason."""
        return self.reason


class NotNamed(ImageError):
    """A layout or an archive has images, and none, or not just one, of the name that was asked for."""


class Descriptor(NamedTuple):
    """What one part of an image refers to another with (descriptor.md).

    Attributes:
        media_type: of the content.
        digest: of the content, `sha256:` or `sha512:` and hex.
        size: of the content in bytes.
        platform: `os/architecture` and, if there is one, `/variant`; "" where an index says nothing.
        urls: where else to fetch it, only of foreign layers.
        annotations: as they stand.
        artifact_type: what an index says of an entry that is no image.
    """

    media_type: str
    digest: str
    size: int
    platform: str = ""
    urls: tuple[str, ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()
    artifact_type: str = ""


class Store(Protocol):
    """Where the parts of one image come from: a registry's repository, a layout, an archive.

    All raise ImageError, and nothing else, where something can't be had. Whoever holds a store may use it from several
    threads at once.
    """

    def top(self) -> tuple[Descriptor, bytes]:
        """Return the descriptor of the manifest or index that the reference names, and its content."""

    def fetch(self, descriptor: Descriptor, limit: int) -> bytes:
        """Return a manifest's or blob's whole content: of the size and digest that the descriptor says, else an error.

        Args:
            descriptor: of the content.
            limit: bytes; what is larger is refused before it is fetched.
        """

    def open(self, descriptor: Descriptor) -> AbstractContextManager[IO[bytes]]:
        """Open a blob for reading from its beginning to its end.

        What is read is to be trusted only when the end was reached: then, and as soon as there are more bytes than the
        descriptor says, `read` raises ImageError if it is not what the descriptor says.
        """


def describe(media_type: str, data: bytes) -> Descriptor:
    """Return what others refer to `data` with."""
    return Descriptor(media_type, f"sha256:{hashlib.sha256(data).hexdigest()}", len(data))


def parse_json(data: bytes, what: str, shape: Mapping[str, Shape] | None = None) -> dict[str, Any]:
    """Return the object that `data` is, as Go decodes it.

    Args:
        data: the document.
        what: it is, for messages.
        shape: one of `go_json`, whose keys match regardless of case; None where keys are what they are.

    Raises:
        ImageError: it is another thing, or no JSON, or too much of it; or what it says depends on how Go merges.
    """
    if sum([data.count(mark) for mark in (b"[", b"{", b",")]) > VALUES_LIMIT:
        raise ImageError("too-large", f"{what} has more than {VALUES_LIMIT} brackets, braces and commas")
    try:
        value = decode(data, shape or {})
    except NotJsonError as error:
        wrong = f"has a {str(error)[:100]!r} of a wrong type" if str(error) else "is not JSON"
        raise ImageError("damaged", f"{what} {wrong}") from None
    except MergedError as error:
        reason = f"{what} has {str(error)!r} twice, in whatever case: programs differ in how they merge them"
        raise ImageError("unsupported", reason) from None
    if not isinstance(value, dict):
        raise ImageError("damaged", f"{what} is not a JSON object")
    return value


def to_json(document: Any) -> bytes:
    """Return a document as JSON in UTF-8, without spaces.

    Raises:
        ImageError: it has a number that a double can't hold, which was read from elsewhere: it would be written as
            what is not JSON.
    """
    try:
        text = json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except ValueError:
        raise ImageError("unsupported", "has a number too large for a double: it can't be written again") from None
    try:
        return text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair: only as an escape it is valid JSON
        return json.dumps(document, separators=(",", ":")).encode()


def parse_digest(value: Any) -> str:
    """Return a digest of the form that is read here.

    Raises:
        ImageError: it is another thing.
    """
    if not isinstance(value, str) or not _DIGEST.fullmatch(value):
        raise ImageError("damaged", f"{str(value)[:100]!r} is not a digest")
    return value


def parse_descriptor(value: Any, what: str) -> Descriptor:
    """Parse a descriptor as it stands in a manifest or index.

    Args:
        value: from the JSON.
        what: it is, for messages.

    Raises:
        ImageError: something required is missing or of a wrong type.
    """
    if not isinstance(value, dict):
        raise ImageError("damaged", f"{what} is not described by an object")
    media_type, size = value.get("mediaType"), value.get("size")
    if not isinstance(media_type, str) or isinstance(size, bool) or not isinstance(size, int) or not 0 <= size < 2**63:
        raise ImageError("damaged", f"{what} has no media type, or no size")
    urls, annotations = value.get("urls") or [], value.get("annotations") or {}
    if not isinstance(urls, list) or not isinstance(annotations, dict):
        raise ImageError("damaged", f"{what} has urls or annotations of a wrong type")
    return Descriptor(
        media_type,
        parse_digest(value.get("digest")),
        size,
        platform_of(value.get("platform")),
        tuple([str(url) for url in urls]),
        tuple([(str(key), str(text)) for key, text in annotations.items()]),
        str(value.get("artifactType") or ""),
    )


def platform_of(value: Any) -> str:
    """Return `os/architecture[/variant]` as a config, or the platform of an index's entry, has it; "" for none."""
    if not isinstance(value, dict):
        return ""
    parts = [value.get("os"), value.get("architecture"), value.get("variant")]
    return "/".join([str(part) for part in parts if part])
