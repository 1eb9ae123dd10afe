"""Choose among the images that an index, a layout or an archive holds: by name, and by platform. Pure.

What is ambiguous is not guessed at. An image index is no such case: it has one image for each platform, and of several
for one the first is preferred (image-index.md).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NamedTuple

from metalauncher.tooling.oci.artifacts import is_beside_images
from metalauncher.tooling.oci.model import INDEXES, MANIFESTS, OCI_INDEX, Descriptor, ImageError, NotNamed
from metalauncher.tooling.oci.platforms import normal, select
from metalauncher.tooling.oci.reference import InvalidReference, Reference

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_PLATFORMS_LIMIT = 32  # that an index names; the official images with most have a dozen
_SHOWN = 10  # names, or images, in a message


class Named(NamedTuple):
    """One of the images that a layout or an archive holds.

    Attributes:
        names: that it has there, as they stand; the first is what people call it.
        manifest: of it; its platform is that of the image, where the holder knows it.
        place: among the others there, from 0.
    """

    names: tuple[str, ...]
    manifest: Descriptor
    place: int


class Index:
    """What an index lists, looked through once; for several threads at once."""

    def __init__(self, entries: Sequence[Descriptor]) -> None:
        """Take its entries, in its order."""
        self._entries: Final = entries
        self._images: Final = _images(entries)

    def platforms(self) -> tuple[str, ...]:
        """Return the platforms that it says it has images for, each once, in its order and in Go's names.

        Raises:
            ImageError: it has too many; or says so of some, and not of others: which machines get those is not known.
        """
        found = tuple(dict.fromkeys([normal(entry.platform) for entry in self._images if _is_whole(entry.platform)]))
        if len(found) > _PLATFORMS_LIMIT:
            raise ImageError("too-large", f"is an index for {len(found)} platforms; {_PLATFORMS_LIMIT} are allowed")
        unnamed = next((entry for entry in self._images if not _is_whole(entry.platform)), None)
        if found and unnamed is not None:
            number = self._entries.index(unnamed) + 1
            reason = f"is an index that names the platform of some images, and not that of manifest {number}"
            raise ImageError("unsupported", reason)
        return found

    def for_platform(self, platform: str) -> Descriptor:
        """Return its first entry for a platform.

        Raises:
            ImageError: it has none.
        """
        number = select([entry.platform for entry in self._images], platform)
        if number is not None:
            return self._images[number]
        nested = [entry for entry in self._images if not entry.platform]
        if len(nested) == 1:
            return nested[0]
        raise ImageError("other-platform", f"has no image for {platform}; {_had(self._images, self._entries)}")


def _had(images: Sequence[Descriptor], entries: Sequence[Descriptor]) -> str:
    """Say which platforms an index has images for."""
    names = sorted({normal(entry.platform) for entry in images if entry.platform})
    if names:
        more = " and images whose platform it does not say" if not all(entry.platform for entry in images) else ""
        return f"it has {', '.join(names[:_SHOWN])}{more}"
    if images:
        return "it does not say which platforms its images are for"
    return "it has only attestations and the like, and no image" if entries else "it has no image"


def _is_whole(platform: str) -> bool:
    return "/" in platform


def _images(entries: Sequence[Descriptor]) -> list[Descriptor]:
    """Return the images; of what says that it is none, that which alone is for a platform: runtimes take it there."""
    known = [entry for entry in entries if entry.media_type in INDEXES | MANIFESTS]
    images = [entry for entry in known if not is_beside_images(entry)]
    have = {"unknown/unknown", *[normal(entry.platform) for entry in images]}
    return images + [
        entry
        for entry in known
        if is_beside_images(entry) and _is_whole(entry.platform) and normal(entry.platform) not in have
    ]


def wanted(images: Sequence[Named], name: str | None, what: str) -> list[Named]:
    """Return the images of a name, each manifest once: several, where there is one for each of several platforms.

    A name that is there to the letter goes first. Otherwise names count as Docker reads them: `app:1`,
    `library/app:1` and `docker.io/library/app:1` are one. `@N` is the N-th image, from 0, whatever its name.

    Args:
        images: all that there are.
        name: None for the only one.
        what: holds them, for messages: `the layout`.

    Raises:
        ImageError: there is none, or without a name more than one.
    """
    if name is None:
        found = _only(images, what)
    elif name.startswith("@") and name[1:].isdigit() and len(name) < 9:
        if int(name[1:]) >= len(images):
            raise NotNamed("absent", f"there is no image {name}: {what} holds {len(images)}, from @0")
        found = [images[int(name[1:])]]
    else:
        full = _full(name)
        found = [image for image in images if name in image.names] or [
            image for image in images if full is not None and full in [_full(text) for text in image.names]
        ]
        if not found:
            raise NotNamed("absent", f"there is no image {name!r}; {_listed(images)}")
    return list({image.manifest.digest: image for image in found}.values())


def _only(images: Sequence[Named], what: str) -> list[Named]:
    """Return all of the images if they have but one name between them."""
    found = [image for image in images if not is_beside_images(image.manifest)] or list(images)
    if not found:
        raise ImageError("absent", f"{what} holds no image")
    if len({image.names for image in found}) > 1 or (len(found) > 1 and not found[0].names):
        raise NotNamed("ambiguous", f"{what} holds {len(found)} images: name one; {_listed(found)}")
    return found


def _full(text: str) -> Reference | None:
    try:
        return Reference.parse(text)
    except InvalidReference:
        return None


def _listed(images: Iterable[Named]) -> str:
    names = sorted({name for image in images for name in image.names})
    return (
        f"there is {', '.join(names[:_SHOWN])}{', …' if len(names) > _SHOWN else ''}"
        if names
        else "none has a name: @0 is the first"
    )


def as_index(images: Sequence[Named], name: str | None, what: str) -> bytes:
    """Return an index of the images of one name, from which a platform chooses.

    Args:
        images: all of that name.
        name: as it was asked for, None for all there are.
        what: holds them, for messages.

    Raises:
        ImageError: two are for one platform, so that none is meant more than the other.
    """
    seen: dict[str, Named] = {}
    for image in images:
        other = seen.setdefault(normal(image.manifest.platform), image)
        if other is not image:
            which = f"{name!r} names" if name is not None else f"{what} holds"
            platform = f" for {other.manifest.platform}" if other.manifest.platform else ""
            have = ", ".join([f"@{each.place} is {each.manifest.digest}" for each in images[:_SHOWN]])
            raise NotNamed("ambiguous", f"{which} {len(images)} images{platform}: name one by its place; {have}")
    entries = [_entry(image.manifest) for image in images]
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode()


def _entry(manifest: Descriptor) -> dict[str, object]:
    keys = ("os", "architecture", "variant")
    entry: dict[str, object] = {
        "mediaType": manifest.media_type,
        "digest": manifest.digest,
        "size": manifest.size,
    }
    if manifest.platform:
        entry["platform"] = dict(zip(keys, manifest.platform.split("/"), strict=False))
    return entry
