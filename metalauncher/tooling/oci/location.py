"""Where an image is to be found, as people write it. Pure, but for `lies_here`, which looks.

The forms are those of containers-transports(5), so that skopeo's references work here; `dir:` alone means another
thing, an unpacked root filesystem.
"""

from __future__ import annotations

import os
import shlex
from typing import Final, Literal, NamedTuple

Kind = Literal["oci", "oci-archive", "docker-archive", "dir", "registry"]
_LOCAL: Final[tuple[Kind, ...]] = ("oci", "oci-archive", "docker-archive", "dir")
# containers-transports(5) has more of them: what to do about each.
_FOREIGN = {
    "docker-daemon": "skopeo copy {} docker-archive:FILE:NAME",
    "containers-storage": "skopeo copy {} oci-archive:FILE:NAME",
    "ostree": "skopeo copy {} oci-archive:FILE:NAME",
    "sif": "skopeo copy {} oci-archive:FILE:NAME",
    "tarball": "skopeo copy {} oci-archive:FILE:NAME",
}


class Location(NamedTuple):
    """A reference.

    Attributes:
        kind: of what holds the image.
        place: a directory, a file, or for a registry the whole name.
        tag: which of the images there; None for the only one.
    """

    kind: Kind
    place: str
    tag: str | None

    def __str__(self) -> str:
        """Return what is read as the same reference."""
        if self.kind == "registry":
            return _REGISTRY_SCHEME + self.place if _is_other(self.place) else self.place
        return f"{self.kind}:{self.place}" + ("" if self.tag is None else f":{self.tag}")


_REGISTRY_SCHEME = "docker://"  # skopeo's
# With which a text can be nothing but a reference.
SCHEMES: Final = (*[f"{kind}:" for kind in _LOCAL], _REGISTRY_SCHEME)
FORMS: Final = (
    "oci:DIR[:NAME], oci-archive:FILE[:NAME], docker-archive:FILE[:NAME], dir:ROOTFS, or a name in a registry"
)


def parse_location(text: str) -> Location:
    """Parse a reference; the name of an image in a registry is not looked at any closer.

    Raises:
        ValueError: it names nothing; the message says what is missing.
    """
    for kind in _LOCAL:
        if text.startswith(f"{kind}:") and not text.startswith("dir://"):
            return _local(kind, text.removeprefix(f"{kind}:"), text)
    if text.startswith(("/", "./", "../")):
        raise ValueError(f"{text!r} is a path: write oci:{text} for a layout, docker-archive:{text} for an archive")
    foreign, colon, _ = text.partition(":")
    if colon and foreign in _FOREIGN:
        raise ValueError(f"{text!r} is not read here: {_FOREIGN[foreign].format(text)}")
    name = text.removeprefix(_REGISTRY_SCHEME)
    if not name:
        raise ValueError(f"{text!r} names no image: write {FORMS}")
    return Location("registry", name, None)


def _is_other(place: str) -> bool:
    """Tell whether a registry's image, `oci:1`, would be read as something else without its scheme."""
    kind, colon, _ = place.partition(":")
    return place.startswith(("/", "./", "../")) or bool(colon and kind in {*_LOCAL, *_FOREIGN, "docker"})


def _local(kind: Kind, rest: str, text: str) -> Location:
    # The place ends at the first colon: names have colons of their own, and slashes.
    place, colon, name = rest.partition(":") if kind != "dir" else (rest, "", "")
    if not place or (colon and not name):
        raise ValueError(f"{text!r} names no {'tag' if place else 'place'}: write {FORMS}")
    return Location(kind, place, name if colon else None)


def lies_here(text: str) -> str:
    """Say how to name a file or a layout of this machine that was named as if it were in a registry; "" if it is none.

    An image of a registry that has the same name can be named in full.
    """
    try:
        if parse_location(text).kind != "registry":
            return ""
    except ValueError:
        return ""
    quoted = shlex.quote(text)
    if os.path.isfile(os.path.join(text, "oci-layout")):
        return f"{text!r} is a layout here: write oci:{quoted}"
    place, colon, _ = text.partition(":")
    if colon and "/" not in place and os.path.isfile(os.path.join(place, "oci-layout")):
        return f"{place!r} is a layout here: write oci:{quoted}, or for a registry's image docker://{quoted}"
    if os.path.isfile(text):
        forms = f"docker-archive:{quoted} or oci-archive:{quoted}"
        return f"{text!r} is a file here, and no image's name: an archive is {forms}"
    return ""
