"""Judge one app image: where its start leads, and what becomes of it there. Composes; prints nothing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from metalauncher.selection import Selection
from metalauncher.tooling.apps.check.app_image import AppImage, RunTree
from metalauncher.tooling.apps.check.contents import NotKept
from metalauncher.tooling.apps.check.dispatch import Dispatcher, Found
from metalauncher.tooling.apps.check.entrypoint import Ends, follow
from metalauncher.tooling.apps.check.label_lists import REMEDY, is_union, judge_lists
from metalauncher.tooling.apps.check.launcher_file import LAUNCHER
from metalauncher.tooling.apps.check.layer_scan import Scanner, is_at
from metalauncher.tooling.apps.check.own_launcher import UNKNOWN, add_unpacked_launcher, describe_kept
from metalauncher.tooling.apps.check.remedies import reason_of, remedy_of
from metalauncher.tooling.apps.check.unpacked import UnpackedApp
from metalauncher.tooling.apps.check.user import UnknownUser
from metalauncher.tooling.apps.check.verdict import Before, Chosen, Result
from metalauncher.tooling.apps.check.walk import NoDirectory, Walk
from metalauncher.tooling.architectures import this_architecture
from metalauncher.tooling.console import decode
from metalauncher.tooling.oci.image import Images
from metalauncher.tooling.oci.model import ImageError
from metalauncher.tooling.oci.platforms import contradict, normal, one_machine
from metalauncher.tooling.run_image.model import architecture_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from metalauncher.descriptor import Launcher
    from metalauncher.tooling.apps.check.contents import Contents
    from metalauncher.tooling.apps.check.entrypoint import Leads
    from metalauncher.tooling.apps.check.verdict import Kind
    from metalauncher.tooling.oci.image import Image
    from metalauncher.tooling.oci.model import Store
    from metalauncher.tooling.oci.tree import Tree
    from metalauncher.tooling.run_image.model import RunImage

LIFECYCLE_LAYERS: Final = "lifecycle-layers"
RUN_IMAGE: Final = "unknown-run-image"
LABELS: Final = "labels"
# With one buildpack they can't be told from a descriptor that lacks its api; with all of them it is this.
_RESTORED = (
    "no buildpack has an api in its metadata.toml: it was restored from the image's labels, which never carry it"
)
_READ_IT = (
    "rebuild the app, or add a launcher to the run image that reads it: that of the lifecycle which the app was built"
    " with does"
)
_DRY_RUN = "its config sets METALAUNCHER_DRYRUN, which starts nothing"


class Judge:
    """Judges app images against a run image. For several threads at once."""

    def __init__(self, run: RunImage, against: RunImage | None, platform: str, *, thorough: bool = False) -> None:
        """Take what to judge against.

        Args:
            run: the run image that apps are to be started on.
            against: one of before, to say what changes; None not to.
            platform: `os/architecture[/variant]`, looked up in indexes.
            thorough: read every layer of the apps, and assume nothing of them.
        """
        self._platform: Final = platform
        self._thorough: Final = thorough
        self._scanner: Final = Scanner()
        self._run: Final = _Under(run)
        self._against: Final = None if against is None else _Under(against)

    def judge(self, name: str, store: Store) -> Result:
        """Return the verdict over one app image; what can't be had of it makes it unknown.

        Args:
            name: as it was given.
            store: where it is.
        """
        return self.judge_listed(name, Images(store))

    def judge_listed(self, name: str, images: Images) -> Result:
        """Return the same, of an app of which something may have been read already."""
        try:
            image = images.load(self._platform)
        except ImageError as error:
            return unreadable(name, error)
        return self.judge_image(name, image)

    def judge_image(self, name: str, image: Image) -> Result:
        """Return the verdict over one app image of which the config is known already."""

        def under(run: _Under) -> Result:
            return run.judge(AppImage(image, run.files, self._scanner, thorough=self._thorough))

        try:
            result = self._verdict(under)
            notes = (*_contradiction(image), *result.notes)
            return result._replace(app=name, digest=image.manifest.digest, notes=notes)
        except ImageError as error:
            return unreadable(name, error)._replace(digest=image.manifest.digest)

    def judge_unpacked(self, name: str, directory: str) -> Result:
        """Return the verdict over an app whose root filesystem is a directory."""
        try:
            result = self._verdict(lambda run: run.judge(UnpackedApp(directory, run.files)))
            if result.kind == "keeps-own-launcher":
                result = add_unpacked_launcher(result, directory)
            return result._replace(app=name)
        except ImageError as error:
            return Result(name, None, "unknown", error.reason)

    def _verdict(self, under: Callable[[_Under], Result]) -> Result:
        result = under(self._run)
        if self._against is None:
            return result
        before = under(self._against)
        return result._replace(before=Before(before.kind, before.launcher))


def unreadable(name: str, error: ImageError) -> Result:
    """Return what is to be said of an app of which something can't be had."""
    return Result(name, None, "unknown", error.reason, wrong_name=error.kind == "other-platform")


class _Under:
    """What is judged under one run image."""

    def __init__(self, run: RunImage) -> None:
        self._run: Final = run
        self._dispatcher: Final = Dispatcher(run)
        self.files: Final = RunTree(run.tree, run.links)

    def judge(self, app: AppImage) -> Result:
        """Return the verdict over one app image.

        Raises:
            ImageError: a layer can't be read.
        """
        if app.is_run_image:
            return _result("unknown", "is a run image: there is no app in it")._replace(wrong_name=True)
        if not app.is_built:
            return _result("unknown", "is not an app image built by buildpacks: it has no launcher")
        if app.odd:
            return _result("unknown", app.odd)
        app.begin()
        asked: set[str] = set()
        while True:
            tree, contents = app.merge()
            try:
                result, touched = self._look(app, tree, contents)
            except NotKept as error:
                if not error.name or error.name in asked:
                    raise ImageError("too-large", "starts with a file of which not enough was read") from None
                asked.add(error.name)
                app.keep_whole(error.name)
                continue
            if not app.read_on(touched):
                break
        self._run.refuse_closed()  # what was found is not what is there any more
        return result._replace(
            assumes=self._assumptions(app, result), layers_read=app.layers_read, bytes_read=app.bytes_read
        )

    def _assumptions(self, app: AppImage, result: Result) -> tuple[str, ...]:
        if result.kind == "unknown":
            return ()
        layers = (LIFECYCLE_LAYERS,) if app.assumes_layers else ()
        return (*layers, *((RUN_IMAGE,) if app.replaces_run_image else ()), *result.assumes)

    def _look(self, app: AppImage, tree: Tree, contents: Contents) -> tuple[Result, set[str]]:
        """Return the verdict over what was read so far, and the places that it rests on."""
        machine = architecture_of(app.image.platform) or self._run.architecture or this_architecture(os.uname().machine)
        walk = Walk(tree, contents, machine)
        try:
            walk.begin(app)
            result = self._follow(app, walk)
        except UnknownUser as error:
            reason = f"its config's User is {app.user!r}: {error}"
            result = Result("", None, "does-not-start", reason, exit_code=126)
            for doubt in error.doubts:
                walk.resolver.doubt(doubt)
        except NoDirectory as error:
            result = Result("", None, "does-not-start", str(error))
        touched = walk.touched
        doubts = [*walk.resolver.doubts, *_tree_doubts(tree, touched), *_volume_doubts(app, tree, touched)]
        if doubts and result.kind != "unknown":
            result = result._replace(kind="unknown", reason=doubts[0], launcher=None, exit_code=None, remedy="")
        return result, touched

    def _follow(self, app: AppImage, walk: Walk) -> Result:
        results = [self._follow_with(app, walk, environment) for environment in app.environments]
        if any([_essence(result) != _essence(results[0]) for result in results]):
            names = ", ".join(_differing(app.environments))
            reason = f"its config has {names} twice, and whether the first or the last counts decides"
            return results[0]._replace(kind="unknown", reason=reason, launcher=None, exit_code=None, remedy="")
        return results[0]

    def _follow_with(self, app: AppImage, walk: Walk, environment: Mapping[bytes, bytes]) -> Result:
        """Return where the start leads, with one reading of the environment."""
        found = follow(app, walk, self._run, environment)
        if isinstance(found, Ends):
            return _ended(app, self._run, found)
        mismatch = _mismatch(app, self._run)
        if mismatch:
            return _result("unknown", mismatch)._replace(route=found.route, notes=app.map.notes)
        return self._decided(app, walk, environment, found)

    def _decided(self, app: AppImage, walk: Walk, environment: Mapping[bytes, bytes], leads: Leads) -> Result:
        """Return what the dispatch would do, with one reading of the environment."""
        platform_api = _recorded(environment)
        if reason := _odd_variables(environment):
            return _result("unknown", reason)._replace(platform_api=platform_api, route=leads.route)
        by_files = leads.route == "copy"
        found = self._dispatcher.dispatch(environment, walk, leads, by_files=by_files)
        launcher = found.launcher
        doubt, note = judge_lists(found) if is_union(found.decision.registry) else ("", "")
        result = Result(
            "",
            None,
            "starts",
            found.rule,
            launcher=None if launcher is None else Chosen(launcher.id, launcher.version, launcher.path),
            platform_api=platform_api,
            buildpacks=tuple([(one.id, one.text) for one in found.buildpacks]),
            route=leads.route,
            notes=(*app.map.notes, *leads.notes, *_notes(found)),
            assumes=(*leads.assumes, *((LABELS,) if self._run.labelled is not None and not by_files else ())),
        )
        if doubt:
            return result._replace(kind="unknown", reason=doubt, launcher=None, remedy=REMEDY)
        refused = None if isinstance(found.outcome, Selection) else found.outcome
        notes = (*result.notes, *([note] if note else []))
        if refused is not None:
            return result._replace(
                kind="refused",
                reason=reason_of(refused, found),
                exit_code=refused.exit_code,
                remedy=remedy_of(refused, found),
                notes=notes,
            )
        if launcher is not None and (found.forecast.reason or found.forecast.doubt):
            return _foretold(found, launcher, result)
        if environment.get(b"METALAUNCHER_DRYRUN"):
            return result._replace(kind="does-not-start", reason=_DRY_RUN, launcher=None)
        return result._replace(notes=notes)


def _result(kind: Kind, reason: str) -> Result:
    return Result("", None, kind, reason)


def _ended(app: AppImage, run: RunImage, found: Ends) -> Result:
    """Return what is to be said of an image whose start does not lead to metalauncher."""
    notes = app.map.notes if found.kind != "keeps-own-launcher" else ()
    mismatch = _mismatch(app, run)
    if mismatch and found.kind != "keeps-own-launcher":
        return _result("unknown", mismatch)._replace(route=found.route, notes=notes)
    own = None if found.own is None else describe_kept(app.image, found.own)
    if found.own is not None and own is None and app.image.layers:
        notes = (*notes, f"{UNKNOWN}: it does not lie at /{LAUNCHER}")
    return Result(
        "",
        None,
        found.kind,
        found.reason,
        own_launcher=own,
        exit_code=found.exit_code,
        platform_api=_recorded(app.environments[0]),
        route=found.route,
        remedy=found.remedy,
        notes=notes,
        assumes=found.assumes,
    )


def _tree_doubts(tree: Tree, touched: set[str]) -> list[str]:
    """Return why unpackers make different things of the places that were looked at."""
    return [reason for place, reason in tree.doubts if not place or any([is_at(path, place) for path in touched])]


def _volume_doubts(app: AppImage, tree: Tree, touched: set[str]) -> list[str]:
    """Return the volumes that hold what was looked at: some engines copy there what the image has, some do not."""
    return [
        f"its config has a volume at /{volume}, where not every engine leaves what the image has"
        for volume in app.volumes
        if any([path.startswith(f"{volume}/") for path in touched])
        or (volume in touched and (found := tree.get(volume)) is not None and found[1].kind != "directory")
    ]


def _mismatch(app: AppImage, run: RunImage) -> str:
    """Say where the two images are for different machines; a variant does not count, as in a rebase."""
    if one_machine(app.image.platform, run.platform):
        return ""
    return f"is for {app.image.platform}, the run image for {run.platform}"


def _contradiction(image: Image) -> list[str]:
    """Say where an index has an image for another machine than its config says: containers of it won't start there."""
    listed = image.manifest.platform
    if not contradict(listed, image.platform):
        return []
    return [f"its index has it for {normal(listed)}, and its config says {image.platform}"]


def _odd_variables(environment: Mapping[bytes, bytes]) -> str:
    """Say which variable leads the dispatch elsewhere than into the image's own places."""
    if environment.get(b"METALAUNCHER_ROOT", b"").startswith(b"/"):
        return "its config sets METALAUNCHER_ROOT: its launchers are not those of the run image"
    layers = environment.get(b"CNB_LAYERS_DIR", b"")
    if layers and not layers.startswith(b"/"):
        return f"its config has CNB_LAYERS_DIR={decode(layers)}, which depends on the directory that it is started in"
    return ""


def _foretold(found: Found, launcher: Launcher, result: Result) -> Result:
    """Return the verdict where the launcher that is chosen is known to fail, or whether it does is not known."""
    forecast = found.forecast
    return result._replace(
        kind="unknown" if forecast.doubt else "does-not-start",
        reason=f"its {forecast.doubt}" if forecast.doubt else f"{launcher!r} is chosen, and {forecast.reason}",
        exit_code=forecast.exit_code,
        remedy=_READ_IT,
    )


def _notes(found: Found) -> list[str]:
    notes: list[str] = []
    record = found.decision.record
    buildpacks = () if record is None or record.platform_api is None else record.buildpacks
    if buildpacks and not any([buildpack.text for buildpack in buildpacks]):
        notes.append(_RESTORED)
    pin = found.decision.environment.get(b"METALAUNCHER_PIN")
    if pin:
        notes.append(f"its config pins METALAUNCHER_PIN={decode(pin)}")
    return notes


def _recorded(environment: Mapping[bytes, bytes]) -> str | None:
    return decode(environment.get(b"CNB_PLATFORM_API", b"")) or None


def _essence(result: Result) -> tuple[object, ...]:
    return result.kind, result.launcher, result.exit_code, result.reason


def _differing(environments: tuple[Mapping[bytes, bytes], ...]) -> list[str]:
    first, *others = environments
    names = {name for other in others for name in other if other[name] != first.get(name)}
    deciding = (b"CNB_", b"METALAUNCHER_")
    return sorted([decode(name) for name in names if name.startswith(deciding)]) or sorted(map(decode, names))
