"""Judge apps for each of their platforms: each app's image under the run image's for the same platform."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from metalauncher.tooling.apps.check.judge import unreadable
from metalauncher.tooling.apps.check.verdict import Result, in_sum
from metalauncher.tooling.oci.image import DEFAULT_PLATFORM, Images
from metalauncher.tooling.oci.model import ImageError
from metalauncher.tooling.oci.platforms import DEFAULT_SYSTEM, under

if TYPE_CHECKING:
    from collections.abc import Mapping

    from metalauncher.tooling.apps.check.judge import Judge
    from metalauncher.tooling.oci.model import Store


class Judges:
    """A judge for each platform of a run image, or the one of a run image alone. For several threads at once."""

    def __init__(self, judges: Mapping[str, Judge]) -> None:
        """Take the judges by platform, `os/architecture[/variant]`; at least one."""
        self._judges: Final = dict(judges)
        self._platforms: Final = list(judges)
        self._default: Final = DEFAULT_PLATFORM if DEFAULT_PLATFORM in judges else self._platforms[0]
        self._alone: Final = judges[self._default] if len(judges) == 1 else None

    def judge(self, name: str, store: Store) -> Result:
        """Return the verdict over one app; of one for several platforms over each, and what they come to.

        Args:
            name: as it was given.
            store: where it is.
        """
        images = Images(store)
        try:
            listed = images.platforms()
            digest = images.top().digest
        except ImageError as error:
            return unreadable(name, error)
        if self._alone is not None and (len(listed) < 2 or not any([self._of(one) for one in listed])):
            return self._alone.judge_listed(name, images)  # as with --platform: there is nothing beside it
        parts = tuple([self._judge_one(name, images, platform) for platform in listed or ("",)])
        return parts[0]._replace(unserved=False) if len(parts) == 1 else in_sum(name, digest, parts)

    def _judge_one(self, name: str, images: Images, listed: str) -> Result:
        """Return the verdict over an app's image for one platform, as its index has it; "" where there is no index."""
        if listed and self._of(listed) is None:
            return self._not_there(name, None, listed)
        try:
            image = images.load(listed or DEFAULT_PLATFORM)
        except ImageError as error:
            return unreadable(name, error)._replace(platform=listed or None)
        platform = listed or image.platform
        mine = self._of(platform)
        if mine is not None:
            return self._judges[mine].judge_image(name, image)._replace(platform=platform)
        return self._not_there(name, image.manifest.digest, platform)

    def _not_there(self, name: str, digest: str | None, platform: str) -> Result:
        have = ", ".join(self._platforms)
        return Result(
            name,
            digest,
            "unknown",
            f"is for {platform}, which the run image is not there for: it has {have}"
            if platform
            else f"does not say which platform it is for, and the run image is there for {have}",
            remedy=_remedy(platform),
            platform=platform or None,
            unserved=bool(platform),
        )

    def judge_unpacked(self, name: str, directory: str) -> Result:
        """Return the verdict over an app whose root filesystem is a directory, which names no platform."""
        result = self._judges[self._default].judge_unpacked(name, directory)
        return result if self._alone is not None else result._replace(platform=self._default)

    def _of(self, platform: str) -> str | None:
        """Return on which of the run image's platforms an app's starts."""
        return under(self._platforms, platform)


def _remedy(platform: str) -> str:
    """Return what to do about an app's image that no run image is there for."""
    if not platform:
        return "name the platform with --platform"
    if not platform.startswith(f"{DEFAULT_SYSTEM}/"):
        return "launchers exist only for Linux: leave it as it is"
    return f"build the run image for {platform} too, or take the app's image for it off the index"
