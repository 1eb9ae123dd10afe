"""The base of a run image: what it is named, opened once, and read for each platform that is built for."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final

from metalauncher.tooling.architectures import this_architecture, to_go
from metalauncher.tooling.console import Unable
from metalauncher.tooling.executables import packaged
from metalauncher.tooling.oci.image import Images
from metalauncher.tooling.oci.location import lies_here, parse_location
from metalauncher.tooling.oci.media_types import family_of
from metalauncher.tooling.oci.model import ImageError, NotNamed
from metalauncher.tooling.oci.platforms import DEFAULT_SYSTEM, one_machine
from metalauncher.tooling.oci.reference import Reference
from metalauncher.tooling.run_image.opener import look_there

if TYPE_CHECKING:
    from collections.abc import Iterable

    from metalauncher.tooling.image.parts import Part
    from metalauncher.tooling.oci.image import Image
    from metalauncher.tooling.oci.media_types import Family
    from metalauncher.tooling.oci.sources.stores import Stores

SCRATCH: Final = "scratch"
_COMMAND = "metalauncher image --help"
_PLACES = "a name in a registry, oci:DIR[:NAME], oci-archive:FILE[:NAME] or docker-archive:FILE[:NAME]"


class Base:
    """What an image is built on.

    Attributes:
        text: as it was named.
        reference: its name in a registry; None where it is in none.
    """

    def __init__(self, text: str, stores: Stores) -> None:
        """Open it; all that is read of it later is of what its name names when that is asked for first.

        Raises:
            Unable: it names no image, or none that can be opened.
        """
        self.text: Final = text
        self.reference: Reference | None = None
        self._images: Images | None = None
        if text == SCRATCH:
            return
        try:
            location = parse_location(text)
            if location.kind == "registry" and (instead := lies_here(text)):
                raise Unable(f"--base {text}: {instead}", command=_COMMAND)
            self._images = Images(stores.open(location))
            self.reference = Reference.parse(location.place) if location.kind == "registry" else None
        except (ValueError, ImageError) as error:
            raise Unable(f"--base: {error}", need=f"an image: {_PLACES}; or scratch", command=_COMMAND) from None

    def family(self) -> Family:
        """Return whose media types it has; OCI's for an empty one.

        Raises:
            Unable: it can't be read.
        """
        try:
            return family_of(self._images.top().media_type) if self._images else "oci"
        except ImageError as error:
            raise self.unusable(error) from None

    def platform(self) -> str:
        """Return what it is for: of several this machine's, as for an empty one.

        Raises:
            Unable: it can't be read.
        """
        here = f"linux/{to_go(this_architecture())}"
        try:
            return here if self._images is None else self._images.load(here).platform or here
        except ImageError as error:
            raise self.unusable(error) from None

    def others(self, built: Iterable[str]) -> list[str]:
        """Return the platforms for Linux that its index has, and that nothing is built for.

        Raises:
            Unable: it can't be read.
        """
        if self._images is None:
            return []
        try:
            listed = self._images.platforms()
        except ImageError as error:
            raise self.unusable(error) from None
        have = tuple(built)
        linux = [one for one in listed if one.startswith(f"{DEFAULT_SYSTEM}/")]
        return [one for one in linux if not any(one_machine(another, one) for another in have)]

    def image(self, part: Part) -> Image | None:
        """Return the base for a platform, which the executable has to run on; None for an empty one.

        Raises:
            Unable: it is for another platform.
            ImageError: it can't be read.
        """
        executable = part.executable
        if self._images is None:
            if not executable.platform:
                raise Unable(
                    f"--executable {executable.file}: is a script, which an empty image can't start",
                    need="an executable without dependencies",
                    command="make static",
                )
            return None
        asked = part.platform or executable.platform
        base = self._images.load(asked or f"linux/{to_go(this_architecture())}")
        wanted = asked or base.platform
        if not f"{base.platform}/".startswith(f"{wanted}/") or not base.platform.startswith("linux/"):
            whose = f"--platform {part.platform}" if part.platform else f"--executable {executable.file}"
            if not part.platform and executable.file in packaged().values():  # nobody named it
                whose = f"the executable that came with the package, {executable.platform}"
            raise Unable(
                f"--base {self.text}: is for another platform than {whose}",
                need=f"a base for {wanted or 'linux'}, or an executable for {base.platform or 'it'}",
                have=[f"a base for {base.platform or 'no platform that it names'}"],
                command=_COMMAND,
            )
        return base

    def unusable(self, error: ImageError) -> Unable:
        """Return what to say where it can't be read, or not be built on."""
        headline = f"--base {self.text}: {error.reason}"
        if self.reference is not None:
            return _not_had(headline, self.reference, error)
        if error.kind == "denied" or isinstance(error, NotNamed):
            do, command = look_there(parse_location(self.text), error)
            return Unable(headline, need="a base that can be read", do=do, command=command)
        return Unable(
            headline,
            need=f"a whole image for linux: {_PLACES}, or scratch",
            do="fetch it again into a new layout",
            command="skopeo copy docker://NAME:TAG oci:DIR:TAG",
        )


def _not_had(headline: str, reference: Reference, error: ImageError) -> Unable:
    if error.kind == "denied":
        return Unable(
            headline,
            need="a base that can be read",
            do=f"log in to the registry of {reference}; or write oci:DIR[:NAME], if you meant a layout",
            command=f"skopeo login {shlex.quote(reference.host)}",
        )
    return Unable(
        headline,
        need=f"a whole image for linux: {_PLACES}, or scratch",
        do=f"check that the registry answers, and has {reference}; or write oci:DIR[:NAME], if you meant a layout",
        command=f"skopeo inspect docker://{shlex.quote(str(reference))}",
    )
