"""The run images that a check judges under: one, or one for each platform of an index; read, and described."""

from __future__ import annotations

import hashlib
import json
import shlex
from typing import TYPE_CHECKING, Any, NamedTuple

from metalauncher.explain.which import digest
from metalauncher.tooling.apps.check.findings import RunImage as ShownRunImage
from metalauncher.tooling.apps.check.findings import describe, rank
from metalauncher.tooling.apps.check.fingerprint import fingerprint
from metalauncher.tooling.apps.check.judge import Judge
from metalauncher.tooling.apps.check.platforms import Judges
from metalauncher.tooling.console import Unable, decode
from metalauncher.tooling.oci.image import DEFAULT_PLATFORM
from metalauncher.tooling.oci.platforms import contradict, one_machine, under

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from metalauncher.places import Root
    from metalauncher.tooling.run_image.model import RunImage
    from metalauncher.tooling.run_image.opener import RunImages

_NO_DESCRIPTORS = ("descriptors", "obstacles", "fingerprint")


class One(NamedTuple):
    """What is judged under for one platform.

    Attributes:
        platform: `os/architecture[/variant]`.
        image: the run image.
        against: that of before, None where there is none, or none for this platform.
    """

    platform: str
    image: RunImage
    against: RunImage | None

    @property
    def warning(self) -> str:
        """What is wrong with the run image whatever apps there are, "" for nothing."""
        if not contradict(self.platform, self.image.platform):
            return ""
        what = f"the run image's index has an image for {self.platform}, and its config says {self.image.platform}"
        return f"{what}: containers for {self.platform} can't start on it"


class Under(NamedTuple):
    """What a check judges under.

    Attributes:
        ones: by platform; at least one.
        name: of the run image, as it was given.
        digest: of the run image, or of its index; None for a directory.
        against: the name of that of before, "" for none.
        against_digest: of it, or of its index; None for a directory, and where there is none.
        chosen: whether somebody named the platform: then only that counts, of whatever else apps are there for.
    """

    ones: tuple[One, ...]
    name: str
    digest: str | None
    against: str = ""
    against_digest: str | None = None
    chosen: bool = False

    @property
    def platform(self) -> str:
        """The platforms, with commas."""
        return ",".join([one.platform for one in self.ones])

    @property
    def images(self) -> tuple[RunImage, ...]:
        """All that were read, each once."""
        found = [image for one in self.ones for image in (one.image, one.against) if image is not None]
        return tuple({id(image): image for image in found}.values())

    def judges(self, *, thorough: bool) -> Judge | Judges:
        """Return what judges apps, as `Judge` says."""
        judges = {one.platform: Judge(one.image, one.against, one.platform, thorough=thorough) for one in self.ones}
        return judges[self.ones[0].platform] if self.chosen else Judges(judges)

    def shown(self) -> ShownRunImage:
        """Return the run image as reports show it."""
        shown = [_shown(one) for one in self.ones]
        if len(shown) == 1:
            return shown[0]._replace(platform="")
        return ShownRunImage(self.name, self.digest, (), (), platforms=tuple(shown))

    def described(self) -> dict[str, Any]:
        """Return the run image as JSON, with all that decides a verdict."""
        found = [(one.platform, _described(one)) for one in self.ones]
        return found[0][1] if len(found) == 1 else _of_all(self.name, self.digest, found)

    def described_against(self) -> dict[str, Any] | None:
        """Return that of before as JSON."""
        found = [(one.platform, _document(one.against)) for one in self.ones if one.against is not None]
        if not self.against or not found:
            return None
        distinct = {id(one.against) for one in self.ones if one.against is not None}
        return found[0][1] if len(distinct) == 1 else _of_all(self.against, self.against_digest, found)


def read_under(options: Namespace, root: Root, reader: RunImages) -> Under:
    """Read the run images that a command line names.

    Args:
        options: of the command line.
        root: in place of a run image, where none is named.
        reader: of run images for the platform that is asked for, or for all there are.

    Raises:
        Unable: one can't be read.
    """
    return _read(options, root, reader)._replace(chosen=options.platform is not None)


def _read(options: Namespace, root: Root, reader: RunImages) -> Under:
    against = _Before(options.against, reader)
    if options.run_image is None:
        image = reader.read_directory(decode(root.prefix) or "/")
        platform = options.platform or DEFAULT_PLATFORM
        return against.join([(platform, image)], image.name, None)
    platforms = reader.platforms(options.run_image)
    if not platforms:
        image = reader.read(options.run_image)
        return against.join([(image.platform or DEFAULT_PLATFORM, image)], image.name, image.digest)
    images = [(platform, reader.on(platform).read(options.run_image)) for platform in platforms]
    whole = reader.digest(options.run_image) if len(images) > 1 else images[0][1].digest
    return against.join(images, options.run_image, whole)


class _Before:
    """The run image of before."""

    def __init__(self, name: str | None, reader: RunImages) -> None:
        self._name = name
        self._reader = reader

    def join(self, images: Sequence[tuple[str, RunImage]], name: str, whole: str | None) -> Under:
        """Put the run images of before beside those that are judged under."""
        if self._name is None:
            return Under(tuple([One(platform, image, None) for platform, image in images]), name, whole)
        if len(images) == 1:
            platform, image = images[0]
            listed = self._reader.platforms(self._name)
            before = (self._reader.on(platform) if listed else self._reader).read(self._name)
            self._hold(before, image, name)
            return Under((One(platform, image, before),), name, whole, self._name, before.digest)
        found = self._by_platform(self._name, [platform for platform, _ in images])
        if not found:
            have = ", ".join([platform for platform, _ in images])
            raise Unable(
                f"{self._name}: has no image for a platform of {name}",
                need=f"an old run image for one of {have}",
                command=f"metalauncher list --run-image {self._name}",
            )
        for platform, image in images:
            if platform in found:
                self._hold(found[platform], image, name)
        ones = tuple([One(platform, image, found.get(platform)) for platform, image in images])
        distinct = {one.digest for one in found.values()}
        digest_ = next(iter(distinct)) if len(distinct) == 1 else self._reader.digest(self._name)
        return Under(ones, name, whole, self._name, digest_)

    def _hold(self, before: RunImage, image: RunImage, name: str) -> None:
        """Refuse a run image of before for another machine: no app of the one would have started on the other.

        Raises:
            Unable: it is.
        """
        if one_machine(before.platform, image.platform):
            return
        raise Unable(
            f"--against {self._name}: is for {before.platform}, and {name} for {image.platform}",
            need="the run image that the apps ran on before",
            command=f"metalauncher list --run-image {shlex.quote(self._name or '')}",
        )

    def _by_platform(self, name: str, platforms: Sequence[str]) -> dict[str, RunImage]:
        """Return that of before for each platform that it is there for; one that names none is for all."""
        listed = self._reader.platforms(name)
        if listed:
            have = {one: under(list(listed), one) for one in platforms}
            return {one: self._reader.on(other).read(name) for one, other in have.items() if other is not None}
        alone = self._reader.read(name)
        return {one: alone for one in platforms if one_machine(alone.platform, one)}


def _shown(one: One) -> ShownRunImage:
    launchers = rank(one.image.registry.launchers)
    obstacles = tuple([one.image.obstacle_of(launcher) for launcher in launchers])
    return ShownRunImage(one.image.name, one.image.digest, launchers, obstacles, one.platform, warning=one.warning)


def _described(one: One) -> dict[str, Any]:
    image = one.image
    launchers = rank(image.registry.launchers)
    return {
        **_document(image),
        "descriptors": [describe(launcher) for launcher in launchers],
        "obstacles": [image.obstacle_of(launcher) for launcher in launchers],
        **({"warning": one.warning} if one.warning else {}),
    }


def _document(image: RunImage) -> dict[str, Any]:
    return {
        "name": image.name,
        "digest": image.digest,
        "registry_digest": digest(image.registry),
        "source": image.source,
        "launchers": [repr(launcher) for launcher in rank(image.registry.launchers)],
        "fingerprint": fingerprint(image),
    }


def _of_all(name: str, whole: str | None, found: Sequence[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """Return what describes the images of an index: what is true of all of them, and each."""
    digests = [(platform, document["registry_digest"]) for platform, document in found]
    alike = len({one for _, one in digests}) == 1
    joined = hashlib.sha256(json.dumps(digests).encode()).hexdigest()
    return {
        "name": name,
        "digest": whole,
        "registry_digest": digests[0][1] if alike else f"sha256:{joined}",
        "source": "labels" if any(document["source"] == "labels" for _, document in found) else "descriptors",
        "launchers": list(dict.fromkeys([launcher for _, document in found for launcher in document["launchers"]])),
        "fingerprint": "".join([document["fingerprint"] for _, document in found]),
        "platforms": [{"platform": platform, **document} for platform, document in found],
    }


def without_descriptors(image: dict[str, Any]) -> dict[str, Any]:
    """Return a described run image as reports have it."""
    kept = {key: value for key, value in image.items() if key not in _NO_DESCRIPTORS}
    if "platforms" in kept:
        kept["platforms"] = [without_descriptors({**one, "name": None}) for one in kept["platforms"]]
        for one in kept["platforms"]:
            del one["name"]
    return kept
