"""Run images as the command line names them: read for `check`, and laid out for the commands that look at a root."""

from __future__ import annotations

import contextlib
import os
import shlex
import tempfile
from typing import TYPE_CHECKING, Final, NamedTuple

from metalauncher.tooling.console import Unable, decode
from metalauncher.tooling.oci.image import DEFAULT_PLATFORM, Images
from metalauncher.tooling.oci.location import Location, lies_here, parse_location
from metalauncher.tooling.oci.model import ImageError, NotNamed
from metalauncher.tooling.oci.platforms import DEFAULT_SYSTEM, serves
from metalauncher.tooling.oci.reference import Reference
from metalauncher.tooling.oci.sources.stores import Stores
from metalauncher.tooling.run_image.reader import (
    AppInstead,
    load_run_image,
    open_directory,
    read_loaded,
    read_run_directory,
    read_whole_run_image,
)
from metalauncher.tooling.scratch import scratch_folder

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Iterator

    from metalauncher.places import Root
    from metalauncher.tooling.console import Console
    from metalauncher.tooling.run_image.model import RunImage


class NoSuchPlatform(Unable):
    """A run image is there, and not for the platform that was asked for."""


class RunImages:
    """Reads run images."""

    def __init__(
        self,
        stores: Stores,
        platform: str | None,
        scratch: str,
        console: Console,
        command: str,
        option: str = "",
        *,
        listed: bool = False,
        opened: dict[Location, Images] | None = None,
    ) -> None:
        """Take how to read them.

        Args:
            stores: what holds them.
            platform: that was asked for; None for the default one.
            scratch: a directory that outlives them.
            console: is told how far it has come.
            command: to run next where one is not named as images are.
            option: that names them, where an error is to begin with it.
            listed: the platform is what an index says, and nobody asked for it: its image may say less of it.
            opened: the images that were asked for before, so that all that is read of one name is of one image.
        """
        self._opened: Final = {} if opened is None else opened
        self._listed: Final = listed
        self._stores: Final = stores
        self._platform: Final = platform
        self._scratch: Final = scratch
        self._console: Final = console
        self._command: Final = command
        self._option: Final = option

    def on(self, platform: str) -> RunImages:
        """Return what reads the run images for one of `platforms`."""
        listed = self._listed or self._platform is None
        more = self._command, self._option
        scratch, console, opened = self._scratch, self._console, self._opened
        return RunImages(self._stores, platform, scratch, console, *more, listed=listed, opened=opened)

    def platforms(self, name: str) -> tuple[str, ...]:
        """Return the platforms that a run image is to be read for: the one asked for, else all that its index has.

        Of an index, those for Linux alone: there are no launchers for others. Empty where there is none.

        Raises:
            Unable: it can't be read.
        """
        if self._platform is not None:
            return (self._platform,)
        reference = self.parse(name)
        if reference.kind == "dir":
            return ()
        try:
            found = self._open(reference).platforms()
        except (ImageError, ValueError) as error:
            raise self._unreadable(name, reference, error) from None
        return tuple([one for one in found if one.startswith(f"{DEFAULT_SYSTEM}/")])

    def digest(self, name: str) -> str:
        """Return the digest of what a name of no directory names: of an index, where it is one.

        Raises:
            Unable: it can't be read.
        """
        reference = self.parse(name)
        try:
            return self._open(reference).top().digest
        except (ImageError, ValueError) as error:
            raise self._unreadable(name, reference, error) from None

    def _open(self, reference: Location) -> Images:
        if reference not in self._opened:
            self._opened[reference] = Images(self._stores.open(reference))
        return self._opened[reference]

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
        return self._read(name, reference, read_loaded)

    def read_whole(self, name: str, reference: Location) -> RunImage:
        """Read all that the commands look at of a run image that is not a directory.

        Raises:
            Unable: as `read`.
        """
        return self._read(name, reference, read_whole_run_image)

    def _read(self, name: str, reference: Location, read: Callable[..., RunImage]) -> RunImage:
        scratch = tempfile.mkdtemp(dir=self._scratch)

        def say(number: int) -> None:
            self._console.progress(f"reading {name}, layer {number}")

        try:
            loaded = load_run_image(self._open(reference), self._platform or DEFAULT_PLATFORM)
            image = read(name, loaded, scratch, say)
        except (ImageError, ValueError) as error:
            raise self._unreadable(name, reference, error) from None
        finally:
            self._console.progress("")
        launchers = [repr(launcher) for launcher in image.registry.launchers]
        self._console.note("run-image-read", image=name, digest=image.digest, launchers=launchers)
        # An image alone is taken whatever it is for; one that is asked for by its platform is not.
        asked = None if self._listed else self._platform
        if asked is not None and image.platform and not serves(image.platform, asked):
            image.close()
            reason = f"is for {image.platform}, not for --platform {self._platform}"
            raise self._unreadable(name, reference, ImageError("other-platform", reason))
        return image

    def read_directory(self, directory: str, name: str | None = None) -> RunImage:
        """Read an unpacked root filesystem in place of a run image.

        Raises:
            Unable: there is none, or it can't be read.
        """
        try:
            return read_run_directory(name or directory, directory, tempfile.mkdtemp(dir=self._scratch))
        except ImageError as error:
            raise self._unreadable(name or directory, Location("dir", directory, None), error) from None

    def open_directory(self, name: str, directory: str) -> Root:
        """Return the root that an unpacked root filesystem is; nothing of it is read.

        Raises:
            Unable: it is none.
        """
        try:
            return open_directory(directory)
        except ImageError as error:
            raise self._unreadable(name, Location("dir", directory, None), error) from None

    def _unreadable(self, name: str, reference: Location, error: ImageError | ValueError) -> Unable:
        place, kind = reference.place, error.kind if isinstance(error, ImageError) else ""
        do, command = look_there(reference, error)
        if reference.kind == "registry" and kind == "denied":
            do = "log in as a user who may read it (docs/reference/container-registries.md)"
            command = f"skopeo login {shlex.quote(Reference.parse(place).host)}"
        elif isinstance(error, AppInstead):
            do, command = "name the run image, not an app", self._command
        elif kind == "other-platform" and self._platform is not None:
            do = f"name the run image for {self._platform}, or leave --platform out"
            command = f"metalauncher list --run-image {shlex.quote(name)}"
        elif reference.kind == "registry":
            do = "check that the registry answers, and has the image"
            command = f"skopeo inspect docker://{shlex.quote(place)}"
        option = f"{self._option} " if self._option else ""
        unable = NoSuchPlatform if kind == "other-platform" else Unable
        return unable(f"{option}{name}: {error}", need="a run image that can be read", do=do, command=command)


def look_there(reference: Location, error: Exception) -> tuple[str, str]:
    """Return what to do about an image on this machine that can't be read, and a command for it.

    Args:
        reference: its name.
        error: why it can't.
    """
    if reference.kind == "oci" and isinstance(error, NotNamed):
        index = os.path.join(reference.place, "index.json")
        return "name an image that is in the layout", f"cat {shlex.quote(index)}"
    return "look at what is there", f"ls -ld {shlex.quote(reference.place)}"


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
        platform: that it is read for, where that was asked for or an index has it; "" else.
    """

    root: Root
    image: RunImage | None
    rename: Callable[[str], str]
    platform: str = ""


@contextlib.contextmanager
def opened_run_images(
    name: str, options: Namespace, console: Console, option: str = ""
) -> Iterator[tuple[Opened, ...]]:
    """Give a run image for each of its platforms: the root of each as if it were unpacked, as far as anybody looks.

    Args:
        name: of the command line.
        options: say how to speak to registries, and which platform is meant; None: all that it has.
        console: is told how far it has come.
        option: that names it, where errors are to begin with it.

    Raises:
        Unable: it can't be read.
    """
    with contextlib.ExitStack() as stack:
        images = stack.enter_context(_reader(options, console, option))
        platforms = images.platforms(name)
        found: list[Opened] = []
        for platform in platforms or ("",):
            reader = images.on(platform) if platform else images
            which = f" --platform {platform}" if len(platforms) > 1 else ""
            opened = stack.enter_context(_opened(reader, name, which))
            found.append(opened._replace(platform=platform) if opened.image is not None else opened)
        yield tuple(found)


@contextlib.contextmanager
def opened_run_image(name: str, options: Namespace, console: Console, option: str = "") -> Iterator[Opened]:
    """Give a run image for one platform, the default one where none is asked for.

    Args:
        name: as for `opened_run_images`.
        options: as for it.
        console: as for it.
        option: as for it.

    Raises:
        NoSuchPlatform: it is not there for that platform.
        Unable: it can't be read.
    """
    with _reader(options, console, option) as images, _opened(images, name, "") as opened:
        yield opened


@contextlib.contextmanager
def _reader(options: Namespace, console: Console, option: str) -> Iterator[RunImages]:
    """Give what reads the run images of a command."""
    with contextlib.closing(open_stores(options, console)) as stores, scratch_folder("metalauncher-image-") as scratch:
        yield RunImages(stores, options.platform, scratch, console, f"metalauncher {options.command} --help", option)


@contextlib.contextmanager
def _opened(images: RunImages, name: str, which: str) -> Iterator[Opened]:
    """Give one run image; `which` is the option that tells it from others of that name, "" for none."""
    reference = images.parse(name)
    if reference.kind == "dir":
        yield Opened(images.open_directory(name, reference.place), None, str)
        return
    with contextlib.closing(images.read_whole(name, reference)) as image:
        yield Opened(image.root, image, _renaming(image, f"--run-image {shlex.quote(name)}{which}"))


def listed_platforms(name: str, options: Namespace, console: Console, option: str = "") -> tuple[str, ...]:
    """Return all platforms for Linux that the index of a run image has, whichever is asked for; empty without one.

    Args:
        name: as for `opened_run_images`.
        options: as for it.
        console: as for it.
        option: as for it.

    Raises:
        Unable: it can't be read.
    """
    with contextlib.closing(open_stores(options, console)) as stores:
        return RunImages(stores, None, "", console, f"metalauncher {options.command} --help", option).platforms(name)


def _renaming(image: RunImage, option: str) -> Callable[[str], str]:
    """Return what makes of a text about the root of an image one about the image, which `option` names."""
    here = f"--root {shlex.quote(decode(image.root.prefix))}"
    return lambda text: image.clean(text.replace(here, option))
