"""Run images as the command line names them: read for `check`, and laid out for the commands that look at a root."""

from __future__ import annotations

import contextlib
import shlex
import tempfile
from typing import TYPE_CHECKING, Final, NamedTuple

from metalauncher.tooling.console import Unable, decode
from metalauncher.tooling.oci.image import DEFAULT_PLATFORM
from metalauncher.tooling.oci.location import lies_here, parse_location
from metalauncher.tooling.oci.model import ImageError
from metalauncher.tooling.oci.platforms import serves
from metalauncher.tooling.oci.reference import Reference
from metalauncher.tooling.oci.sources.stores import Stores
from metalauncher.tooling.run_image.reader import (
    open_directory,
    read_run_directory,
    read_run_image,
    read_whole_run_image,
)
from metalauncher.tooling.scratch import scratch_folder

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Iterator

    from metalauncher.places import Root
    from metalauncher.tooling.console import Console
    from metalauncher.tooling.oci.location import Location
    from metalauncher.tooling.run_image.model import RunImage


class RunImages:
    """Reads run images."""

    def __init__(
        self, stores: Stores, platform: str | None, scratch: str, console: Console, command: str, option: str = ""
    ) -> None:
        """Take how to read them.

        Args:
            stores: what holds them.
            platform: that was asked for; None for the default one.
            scratch: a directory that outlives them.
            console: is told how far it has come.
            command: to run next where one is not named as images are.
            option: that names them, where an error is to begin with it.
        """
        self._stores: Final = stores
        self._platform: Final = platform
        self._scratch: Final = scratch
        self._console: Final = console
        self._command: Final = command
        self._option: Final = option

    def parse(self, name: str) -> Location:
        """Return what a name refers to.

        Raises:
            Unable: it names no image, or by mistake one in a registry.
        """
        try:
            reference = parse_location(name)
        except ValueError as error:
            raise Unable(f"{self._option}: {error}" if self._option else str(error), command=self._command) from None
        if instead := lies_here(name):
            raise Unable(instead, need="a run image", command=self._command)
        return reference

    def read(self, name: str) -> RunImage:
        """Read what apps are judged by of a run image, however it is named.

        Raises:
            Unable: it can't be read, is no run image, or is for another platform than was asked for.
        """
        reference = self.parse(name)
        if reference.kind == "dir":
            return self.read_directory(reference.place, name)
        return self._read(name, reference, read_run_image)

    def read_whole(self, name: str, reference: Location) -> RunImage:
        """Read all that the commands look at of a run image that is no directory.

        Raises:
            Unable: as `read`.
        """
        return self._read(name, reference, read_whole_run_image)

    def _read(self, name: str, reference: Location, read: Callable[..., RunImage]) -> RunImage:
        scratch = tempfile.mkdtemp(dir=self._scratch)

        def say(number: int) -> None:
            self._console.progress(f"reading {name}, layer {number}")

        try:
            image = read(name, self._stores.open(reference), self._platform or DEFAULT_PLATFORM, scratch, say)
        except (ImageError, ValueError) as error:
            denied = isinstance(error, ImageError) and error.kind == "denied"
            raise self._unreadable(name, reference.kind, reference.place, str(error), denied=denied) from None
        finally:
            self._console.progress("")
        launchers = [repr(launcher) for launcher in image.registry.launchers]
        self._console.note("run-image-read", image=name, digest=image.digest, launchers=launchers)
        # An image alone is taken whatever it is for; one that is asked for by its platform is not.
        if self._platform is not None and image.platform and not serves(image.platform, self._platform):
            image.close()
            reason = f"is for {image.platform}, not for --platform {self._platform}"
            raise self._unreadable(name, reference.kind, reference.place, reason)
        return image

    def read_directory(self, directory: str, name: str | None = None) -> RunImage:
        """Read an unpacked root filesystem in place of a run image.

        Raises:
            Unable: there is none, or it can't be read.
        """
        try:
            return read_run_directory(name or directory, directory, tempfile.mkdtemp(dir=self._scratch))
        except ImageError as error:
            raise self._unreadable(name or directory, "dir", directory, error.reason) from None

    def open_directory(self, name: str, directory: str) -> Root:
        """Return the root that an unpacked root filesystem is; nothing of it is read.

        Raises:
            Unable: it is none.
        """
        try:
            return open_directory(directory)
        except ImageError as error:
            raise self._unreadable(name, "dir", directory, error.reason) from None

    def _unreadable(self, name: str, kind: str, place: str, reason: str, *, denied: bool = False) -> Unable:
        do, command = "see what is there", f"ls -ld {shlex.quote(place)}"
        if kind == "registry" and denied:
            do = "log in as somebody who may read it; docs/registries.md says where logins are looked for"
            command = f"skopeo login {shlex.quote(Reference.parse(place).host)}"
        elif kind == "registry":
            do, command = (
                "see whether the registry answers, and has it",
                f"skopeo inspect docker://{shlex.quote(place)}",
            )
        option = f"{self._option} " if self._option else ""
        return Unable(f"{option}{name}: {reason}", need="a run image that can be read", do=do, command=command)


def open_stores(options: Namespace, console: Console, *, connections: int = 1, cache: str | None = None) -> Stores:
    """Return the stores that a command reads images from, with what its options say about registries.

    Args:
        options: those of `cli.arguments.add_registries`.
        console: is told what is wrong, and what happens on the way.
        connections: to keep open per host.
        cache: a directory for blobs; "" for none, None for that of the user.

    Raises:
        Unable: a mirror or a host is none, or the cache is somebody else's.
    """
    return Stores(
        console.environment,
        insecure=options.insecure,
        mirrors=options.mirror,
        ca_file=options.ca_file,
        seconds=options.timeout,
        warn=console.warn,
        note=console.note,
        connections=connections,
        cache=cache,
    )


class Opened(NamedTuple):
    """A run image as the commands look at it.

    Attributes:
        root: with all that they look at.
        image: of which that is the root; None where it is an unpacked root filesystem.
        rename: makes of a text with paths in the root, and commands for it, one for the image.
    """

    root: Root
    image: RunImage | None
    rename: Callable[[str], str]


@contextlib.contextmanager
def opened_run_image(name: str, options: Namespace, console: Console, option: str = "") -> Iterator[Opened]:
    """Give a run image, its root as if it were unpacked as far as the commands look at it.

    Args:
        name: of the command line.
        options: say how to speak to registries, and which platform is meant.
        console: is told how far it has come.
        option: that names it, where errors are to begin with it.

    Raises:
        Unable: it can't be read.
    """
    with contextlib.closing(open_stores(options, console)) as stores, scratch_folder("metalauncher-image-") as scratch:
        images = RunImages(stores, options.platform, scratch, console, f"metalauncher {options.command} --help", option)
        reference = images.parse(name)
        if reference.kind == "dir":
            yield Opened(images.open_directory(name, reference.place), None, str)
            return
        with contextlib.closing(images.read_whole(name, reference)) as image:
            here = f"--root {shlex.quote(decode(image.root.prefix))}"
            yield Opened(
                image.root, image, lambda text: image.clean(text.replace(here, f"--run-image {shlex.quote(name)}"))
            )
