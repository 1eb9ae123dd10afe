"""Push a run image to a registry: the base's layers mounted where they lie, all else sent, the tag last.

Wherever this ends, the tag names what it named before, or the whole image.
"""

from __future__ import annotations

import shlex
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from metalauncher.tooling.console import Unable
from metalauncher.tooling.oci.location import parse_location
from metalauncher.tooling.oci.model import ImageError
from metalauncher.tooling.oci.parts import parts_of
from metalauncher.tooling.oci.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Callable

    from metalauncher.tooling.image.attach import Attached
    from metalauncher.tooling.oci.destination import Destination, Tagged
    from metalauncher.tooling.oci.model import Store
    from metalauncher.tooling.oci.sources.stores import Stores

_HELP: Final = "metalauncher image --help"


class Pushed(NamedTuple):
    """What became of one push.

    Attributes:
        target: the image's name in full.
        sent: bytes of blobs that were sent; those of mounted layers are not.
        was_there: the tag named this image already, and was not written.
        attached: what was attached to the image, or to those of the index, in the order of their manifests.
    """

    target: Reference
    sent: int
    was_there: bool
    attached: tuple[Attached, ...] = ()


def parse_target(text: str) -> Reference:
    """Return where an image is to be pushed to.

    Raises:
        Unable: it is no tag in a registry.
    """
    try:
        place = parse_location(text)
        if place.kind != "registry":
            raise Unable(
                f"--push {text}: is a place on this machine, not in a registry",
                need="a name in a registry, HOST/REPOSITORY:TAG",
                do="write it there",
                command=f"metalauncher image … --out {shlex.quote(text)}",
            )
        target = Reference.parse(place.place)
    except ValueError as error:
        raise Unable(f"--push: {error}", need="a name in a registry, HOST/REPOSITORY:TAG", command=_HELP) from None
    if target.digest:
        raise Unable(
            f"--push {text}: has a digest, which only the finished image has",
            need="a tag to give it: HOST/REPOSITORY:TAG",
            command=f"metalauncher image … --push {target.host}/{target.repository}:{target.tag or 'TAG'}",
        )
    return target


class Push:
    """One push: looked at before anything is written, then done."""

    def __init__(self, target: Reference, base: Reference | None, stores: Stores, *, force: bool) -> None:
        """Take what to push to; nothing is asked yet.

        Args:
            target: with its tag.
            base: what the image was built on, where that is in a registry.
            stores: that registries are spoken to with.
            force: whether a tag that names another image is written all the same.
        """
        self.target: Final = target
        beside = base is not None and base.api_host == target.api_host
        self._source: Final = base.repository if base is not None and beside else ""
        self._force: Final = force
        self.destination: Final[Destination] = stores.destination(target, (self._source,) if self._source else ())
        self._before: Tagged | None = None

    def look(self, digest: str) -> None:
        """See what the tag names.

        Args:
            digest: of what is to be pushed.

        Raises:
            Unable: it names another image, and there is no --force; or the registry does not say.
        """
        try:
            self._before = self.destination.tagged(self.target.tag)
        except ImageError as error:
            raise self._not_pushed(error) from None
        if self._before is None or self._force or self._before.digest == digest:
            return
        raise Unable(
            f"--push {self.target}: the tag already names another image",
            need="a tag that is not there yet, or --force to have it name this image from now on",
            have=[f"{self.target} is {self._before.digest}", f"to be pushed is {digest}"],
            command=f"metalauncher image … --push {shlex.quote(str(self.target))} --force",
        )

    def write(self, store: Store, kept: frozenset[str], say: Callable[[str], None]) -> Pushed:
        """Write the image, and see that it is there.

        Args:
            store: that it is read from, every byte checked.
            kept: digests of the layers that are the base's.
            say: told of how far it has come.

        Raises:
            Unable: it is not there now.
        """
        try:
            parts = parts_of(store)
            top, data = parts.top
            was_there = self._before is not None and self._before.digest == top.digest
            sent = 0
            for number, blob in enumerate(parts.blobs, 1):
                say(f"pushing {self.target}: blob {number} of {len(parts.blobs)}")
                open_blob = partial(store.open, blob)
                if not was_there:
                    sent += self.destination.copy(blob, self._source if blob.digest in kept else "", open_blob)
                # Mounted, it may be said to be there, and not be; of an image that was, it may be gone.
                sent += self.destination.upload(blob, open_blob)
            if not was_there:
                for child, content in parts.children:
                    self.destination.put_manifest(child.media_type, content)
                self.destination.put_manifest(top.media_type, data)
                self.destination.put_tag(self.target.tag, top.media_type, data, self._before)
            # Asked at the registry itself, and not at a mirror, which may not know of it yet.
            there = self.destination.tagged(self.target.tag)
            if there is None or there.digest != top.digest:
                raise ImageError("moved", f"it names {there.digest if there else 'nothing'}, not {top.digest}")
        except ImageError as error:
            raise self._not_pushed(error) from None
        return Pushed(self.target, sent, was_there)

    def _not_pushed(self, error: ImageError) -> Unable:
        host = shlex.quote(self.target.host)
        do, command = "check that the registry answers; the same command does the rest", ""
        match error.kind:
            case "denied":
                do = "log in as a user who may write there (docs/reference/container-registries.md)"
                command = f"skopeo login {host}"
            case "moved" | "immutable":
                do = "find out who writes that tag, or push to another one"
            case "damaged" | "absent" | "too-large" | "unsupported":
                do = "check the base and the registry"
        return Unable(
            f"--push {self.target}: {error.reason}",
            need="a registry that takes the image",
            do=do,
            command=command or f"skopeo inspect docker://{shlex.quote(str(self.target))}",
        )
