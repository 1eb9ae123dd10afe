"""Where `metalauncher image --out` writes: layouts and archives of this machine."""

from __future__ import annotations

import os
import re
import shlex
from typing import TYPE_CHECKING, Final

from metalauncher.tooling.console import Unable, system_text
from metalauncher.tooling.oci.location import Location, parse_location
from metalauncher.tooling.oci.model import ImageError
from metalauncher.tooling.oci.reference import Reference
from metalauncher.tooling.oci.write import write_archive, write_layout, write_oci_archive

if TYPE_CHECKING:
    from collections.abc import Iterable

    from metalauncher.tooling.console import Console
    from metalauncher.tooling.oci.model import Store

_WRITTEN: Final = ("oci", "oci-archive", "docker-archive")
_PLACES: Final = "oci:DIR[:NAME], oci-archive:FILE[:NAME] or docker-archive:FILE[:NAME]"
_COMMAND: Final = "metalauncher image --help"
_TAG: Final = "latest"
# The grammar of org.opencontainers.image.ref.name (annotations.md of the OCI image specification), as skopeo has it.
_PART: Final = r"[A-Za-z0-9]+(?:(?:[-._:@+]|--)[A-Za-z0-9]+)*"
_NAME: Final = re.compile(rf"{_PART}(?:/{_PART})*")


def parse_output(text: str) -> Location:
    """Return where an image is to be written to.

    Raises:
        Unable: it is no layout and no archive, or the image can't have that name there.
    """
    try:
        place = parse_location(text)
        if place.kind in _WRITTEN:
            _check_name(place)
            return place
    except ValueError as error:
        raise Unable(f"--out: {error}", need=_PLACES, command=_COMMAND) from None
    if place.kind == "registry":
        raise Unable(
            f"--out {text}: is the name of an image in a registry",
            need=f"a place on this machine: {_PLACES}",
            do=f"push it there, or write oci:{text} for a layout",
            command=f"metalauncher image … --push {shlex.quote(text)}",
        )
    raise Unable(f"--out {text}: is neither a layout nor an archive", need=_PLACES, command=_COMMAND)


def _check_name(place: Location) -> None:
    """Raise ValueError where others could not name the image that is written."""
    name = place.tag
    if name is None:
        return
    if place.kind == "docker-archive":
        if Reference.parse(name).digest:
            raise ValueError(f"{name!r} has a digest, which no name in an archive of docker save has")
    elif not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} names no image in a layout: letters, digits, and single '-._:@+/' between them")


def refuse_single(outputs: Iterable[Location]) -> None:
    """Refuse places that hold an image for one platform alone.

    Raises:
        Unable: there is one.
    """
    for reference in outputs:
        if reference.kind == "docker-archive":
            raise Unable(
                f"--out {reference}: an archive of docker save holds an image for one platform",
                need="oci:DIR[:NAME] or oci-archive:FILE[:NAME]; or one --platform",
                do="write an OCI archive: docker load reads it as well, where Docker keeps images of several platforms",
                command=f"metalauncher image … --out oci-archive:{shlex.quote(reference.place)}",
            )


def write_output(store: Store, reference: Location, console: Console) -> None:
    """Write the image, whole or not at all.

    Raises:
        Unable: it can't be read or written.
    """
    try:
        match reference.kind:
            case "oci":
                write_layout(store, reference.place, reference.tag or _TAG, console.progress)
            case "oci-archive":
                write_oci_archive(store, reference.place, reference.tag, console.progress)
            case _:
                write_archive(store, reference.place, reference.tag, console.progress)
    except ImageError as error:
        raise Unable(
            f"--out {reference}: {error.reason}",
            need="a layout, a new or empty directory, or a file; and a base that is whole",
            do="name another place, or fix the base image",
            command=_COMMAND,
        ) from None
    except OSError as error:
        raise Unable(
            f"--out {reference}: {system_text(error)}",
            need="a place that can be written",
            command=f"ls -ld {os.path.dirname(os.path.abspath(reference.place))}",
        ) from None


def named_output(reference: Location) -> str:
    """Return an output in full, with the tag that it gets where none was given."""
    return str(reference._replace(tag=reference.tag or _TAG) if reference.kind == "oci" else reference)
