"""`metalauncher check --inventory`: which launcher each app carries. Needs no run image, and judges nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple, get_args

from metalauncher.tooling.apps.check.app_image import AppImage
from metalauncher.tooling.apps.check.launcher_file import LAUNCHER
from metalauncher.tooling.apps.check.layer_scan import Scanner
from metalauncher.tooling.apps.check.own_launcher import (
    NO_RUN_IMAGE,
    describe_kept,
    find_launcher,
    find_unpacked,
    read_unpacked,
)
from metalauncher.tooling.apps.launcher_inventory import count_releases, own_launcher_to_json
from metalauncher.tooling.oci.image import load_image
from metalauncher.tooling.oci.model import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from metalauncher.explain.jsontext import Json
    from metalauncher.tooling.apps.check.own_launcher import Carried
    from metalauncher.tooling.apps.launcher_inventory import OwnLauncher, Release
    from metalauncher.tooling.oci.model import Store

# own: a launcher. run-image: a link or a script to the run image's. copy: of metalauncher, which starts what the run
# image has. unknown: not known; the reason says why.
Kind = Literal["own", "run-image", "copy", "unknown"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)


class Entry(NamedTuple):
    """What one app carries.

    Attributes:
        app: the reference as it was given.
        digest: of the image's manifest; None where it was not had.
        kind: of what.
        reason: where that leads, or why it is unknown.
        launcher: which launcher, of its own.
        wrong_name: what was named is no app for this platform.
    """

    app: str
    digest: str | None
    kind: Kind
    reason: str
    launcher: OwnLauncher | None = None
    wrong_name: bool = False


class Stock:
    """Takes stock of apps. For several threads at once."""

    def __init__(self, platform: str) -> None:
        """Take the platform that is looked up in indexes."""
        self._platform: Final = platform
        self._scanner: Final = Scanner()

    def look(self, name: str, store: Store) -> Entry:
        """Return what one app image carries.

        Args:
            name: as it was given.
            store: where it is.
        """
        digest = None
        try:
            image = load_image(store, self._platform)
            digest = image.manifest.digest
            app = AppImage(image, NO_RUN_IMAGE, self._scanner)
            if app.is_run_image:
                return Entry(name, digest, "unknown", "is a run image: there is no app in it", wrong_name=True)
            if not app.is_built:
                return Entry(name, digest, "unknown", "is not an app image built by buildpacks: it has no launcher")
            carried, kept = find_launcher(image, self._scanner)
            launcher = describe_kept(image, kept) if carried.kind == "own" and kept is not None else None
            return Entry(name, digest, carried.kind, _reason(carried), launcher)
        except ImageError as error:
            wrong = error.kind == "other-platform"
            return Entry(name, digest, "unknown", error.reason, wrong_name=wrong)

    @staticmethod
    def look_unpacked(name: str, directory: str) -> Entry:
        """Return what an app carries whose root filesystem is a directory."""
        try:
            carried = find_unpacked(directory)
            launcher = read_unpacked(directory, carried) if carried.kind == "own" else None
            return Entry(name, None, carried.kind, _reason(carried), launcher)
        except ImageError as error:
            return Entry(name, None, "unknown", error.reason)


def _reason(carried: Carried) -> str:
    match carried.kind:
        case "own":
            return f"{carried.path} is the app's own program"
        case "copy":
            return f"{carried.path} is a copy of metalauncher, which starts the run image's"
        case "run-image":
            return f"/{LAUNCHER} leads to {carried.path}, the run image's"


def releases(entries: Iterable[Entry]) -> list[Release]:
    """Return the launchers that apps carry, those of most apps first."""
    return count_releases([entry.launcher for entry in entries if entry.launcher is not None])


def entry_to_json(entry: Entry) -> dict[str, Json]:
    """Return an entry as a JSON object, `$defs/entry` of the schema."""
    return {
        "app": entry.app,
        "digest": entry.digest,
        "kind": entry.kind,
        "reason": entry.reason,
        "launcher": None if entry.launcher is None else own_launcher_to_json(entry.launcher),
        "wrong_name": entry.wrong_name,
    }
