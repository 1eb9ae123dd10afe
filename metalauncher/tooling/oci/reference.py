"""Where an image is to be found, as people write it. Pure: opens nothing.

The forms are those of containers-transports(5), so that skopeo's references work here; `dir:` alone means another
thing, an unpacked root filesystem.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple


class Reference(NamedTuple):
    """A reference.

    Attributes:
        kind: of what holds the image.
        place: a directory, a file, or for a registry the whole name.
        tag: which of the images there; None for the only one.
    """

    kind: Literal["oci", "docker-archive", "dir", "registry"]
    place: str
    tag: str | None

    def __str__(self) -> str:
        """Return it as it was written."""
        if self.kind == "registry":
            return self.place
        return f"{self.kind}:{self.place}" + ("" if self.tag is None else f":{self.tag}")


_REGISTRY_SCHEME = "docker://"  # skopeo's
FORMS: Final = "oci:DIR[:TAG], docker-archive:FILE[:NAME], dir:ROOTFS, or a name in a registry"


def parse_reference(text: str) -> Reference:
    """Parse a reference; the name of an image in a registry is not looked at any closer.

    Raises:
        ValueError: it names nothing; the message says what is missing.
    """
    for kind in ("oci", "docker-archive", "dir"):
        if text.startswith(f"{kind}:") and not text.startswith("dir://"):
            return _local(kind, text.removeprefix(f"{kind}:"), text)
    if text.startswith(("/", "./", "../")):
        raise ValueError(f"{text!r} is a path: write oci:{text} for a layout, docker-archive:{text} for an archive")
    name = text.removeprefix(_REGISTRY_SCHEME)
    if not name:
        raise ValueError(f"{text!r} names no image: write {FORMS}")
    return Reference("registry", name, None)


def _local(kind: Literal["oci", "docker-archive", "dir"], rest: str, text: str) -> Reference:
    place, tag = rest, None
    if kind == "oci":
        head, colon, tail = rest.rpartition(":")
        if colon and "/" not in tail:
            place, tag = head, tail
    elif kind == "docker-archive":
        place, colon, tail = rest.partition(":")  # the name has colons of its own
        tag = tail if colon else None
    if not place or tag == "":
        raise ValueError(f"{text!r} names no {'tag' if place else 'place'}: write {FORMS}")
    return Reference(kind, place, tag)
