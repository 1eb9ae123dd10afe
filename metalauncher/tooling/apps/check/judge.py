"""Judge one app image: where its start leads, and what becomes of it there. Composes; prints nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from metalauncher.places import EXECUTABLE
from metalauncher.record import metadata_path
from metalauncher.refusals import errno_text
from metalauncher.selection import Selection
from metalauncher.tooling.apps.check.appimage import AppImage, inside
from metalauncher.tooling.apps.check.entrypoint import Ends, follow
from metalauncher.tooling.apps.check.label_lists import REMEDY, is_union, judge_lists
from metalauncher.tooling.apps.check.layer_scan import RUN_PLACES, Search
from metalauncher.tooling.apps.check.own_launcher import Launchers, add_own_launcher, add_unpacked_launcher
from metalauncher.tooling.apps.check.remedies import reason_of, remedy_of
from metalauncher.tooling.apps.check.unpacked import UnpackedApp
from metalauncher.tooling.apps.check.verdict import Before, Chosen, Result
from metalauncher.tooling.console import decode
from metalauncher.tooling.oci.image import load_image
from metalauncher.tooling.oci.model import ImageError
from metalauncher.tooling.run_image.model import Metadata

if TYPE_CHECKING:
    from collections.abc import Mapping

    from metalauncher.decision import Decision
    from metalauncher.descriptor import Launcher
    from metalauncher.tooling.apps.check.entrypoint import Leads
    from metalauncher.tooling.oci.model import Store
    from metalauncher.tooling.oci.tree import Tree
    from metalauncher.tooling.run_image.model import Found, RunImage

# With one buildpack they can't be told from a descriptor that lacks its api; with all of them it is this.
_RESTORED = (
    "no buildpack has an api in its metadata.toml: it was restored from the image's labels, which never carry it"
)


_READ_IT = (
    "rebuild the app, or add a launcher to the run image that reads it: that of the lifecycle which the app was built"
    " with does"
)


class Judge:
    """Judges app images against a run image. For several threads at once."""

    def __init__(self, run: RunImage, against: RunImage | None, platform: str, *, thorough: bool = False) -> None:
        """Take what to judge against.

        Args:
            run: the run image that apps are to be started on.
            against: one of before, to say what changes; None not to.
            platform: `os/architecture[/variant]`, looked up in indexes.
            thorough: read every layer above the run image's, and assume nothing.
        """
        del thorough  # nothing is assumed yet
        self._launchers: Final = Launchers()
        self._run: Final = run
        self._against: Final = against
        self._platform: Final = platform
        self._search: Final = Search()
        runs = (run,) if against is None else (run, against)
        self._places: Final = (*RUN_PLACES, *sorted({inside(path) for one in runs for path in one.starts}))

    def judge(self, name: str, store: Store) -> Result:
        """Return the verdict over one app image; what can't be had of it makes it unknown.

        Args:
            name: as it was given.
            store: where it is.
        """
        digest = None
        try:
            image = load_image(store, self._platform)
            digest = image.manifest.digest
            result = self._verdict(AppImage(image, self._search, self._places))
            if result.kind == "keeps-own-launcher":
                result = add_own_launcher(result, image, self._launchers)
            return result._replace(app=name, digest=digest)
        except ImageError as error:
            return Result(name, digest, "unknown", error.reason, wrong_name=error.trouble == "other-platform")

    def judge_unpacked(self, name: str, directory: str) -> Result:
        """Return the verdict over an app whose root filesystem is a directory."""
        try:
            result = self._verdict(UnpackedApp(directory))._replace(app=name)
            return add_unpacked_launcher(result, directory) if result.kind == "keeps-own-launcher" else result
        except ImageError as error:
            return Result(name, None, "unknown", error.reason)

    def _verdict(self, app: AppImage) -> Result:
        result = _under(app, self._run)
        before = None if self._against is None else _under(app, self._against)
        return result._replace(before=None if before is None else Before(before.kind, before.launcher))


def _under(app: AppImage, run: RunImage) -> Result:
    """Return the verdict under one run image."""
    if app.is_run_image:
        return _result("unknown", "is a run image: there is no app in it")._replace(wrong_name=True)
    if not app.is_built:
        return _result("unknown", "is no app image that buildpacks built: it has no launcher")
    app.read_launcher()
    found = follow(app, app.over(run.tree), run)
    if isinstance(found, Ends):
        return _ended(app, run, found)
    mismatch = _mismatch(app, run)
    if mismatch:
        return _result("unknown", mismatch)._replace(route=found.route, notes=app.shape.notes)
    app.read_record()
    tree = app.over(run.tree)
    changed = app.changed_places()
    if changed:
        reason = f"its own layers change /{changed[0]}, which belongs to the run image"
        return _result("unknown", reason)._replace(route=found.route, notes=app.shape.notes)
    results = [_decided(app, tree, run, environment, found) for environment in app.environments]
    if any([_essence(result) != _essence(results[0]) for result in results]):
        names = ", ".join(_differing(app.environments))
        reason = f"its config has {names} twice, and whether the first or the last counts decides"
        return results[0]._replace(kind="unknown", reason=reason, launcher=None, exit_code=None, remedy="")
    return results[0]


def _result(kind: str, reason: str) -> Result:
    return Result("", None, kind, reason)  # type: ignore[arg-type]  # one of the kinds


def _ended(app: AppImage, run: RunImage, found: Ends) -> Result:
    """Return what is to be said of an image whose start does not lead to metalauncher."""
    notes = app.shape.notes if found.kind != "keeps-own-launcher" else ()
    mismatch = _mismatch(app, run)
    if mismatch and found.kind != "keeps-own-launcher":
        return _result("unknown", mismatch)._replace(route=found.route, notes=notes)
    return Result(
        "",
        None,
        found.kind,
        found.reason,
        exit_code=found.exit_code,
        platform_api=_recorded(app.environments[0]),
        route=found.route,
        remedy=found.remedy,
        notes=notes,
    )


def _mismatch(app: AppImage, run: RunImage) -> str:
    """Say where the two images are for different machines; a variant does not count, as in a rebase."""
    ours, theirs = (image.platform.split("/")[:2] for image in (app.image, run))
    if not run.platform or not app.image.platform or ours == theirs:
        return ""
    return f"is for {app.image.platform}, the run image for {run.platform}"


def _decided(app: AppImage, tree: Tree, run: RunImage, environment: Mapping[bytes, bytes], leads: Leads) -> Result:
    """Return what the dispatch would do, with one reading of the environment."""
    platform_api = _recorded(environment)
    if environment.get(b"METALAUNCHER_ROOT", b"").startswith(b"/"):
        reason = "its config sets METALAUNCHER_ROOT: its launchers are not those of the run image"
        return _result("unknown", reason)._replace(platform_api=platform_api, route=leads.route)
    layers = environment.get(b"CNB_LAYERS_DIR", b"")
    if layers and not layers.startswith(b"/"):
        reason = f"its config has CNB_LAYERS_DIR={decode(layers)}, which depends on the directory that it is started in"
        return _result("unknown", reason)._replace(platform_api=platform_api, route=leads.route)
    found = run.decide(environment, _metadata(app, tree, environment), by_files=leads.route == "copy")
    launcher = found.launcher
    doubt, note = judge_lists(found) if is_union(found.decision.registry) else ("", "")
    if doubt:
        return Result(
            "",
            None,
            "unknown",
            doubt,
            platform_api=platform_api,
            buildpacks=tuple([(one.id, one.text) for one in found.buildpacks]),
            route=leads.route,
            remedy=REMEDY,
            notes=(*app.shape.notes, *leads.notes, *_notes(found)),
        )
    refused = None if isinstance(found.outcome, Selection) else found.outcome
    if launcher is not None and (found.forecast.reason or found.forecast.doubt):
        return _foretold(found, launcher, platform_api, leads, (*app.shape.notes, *leads.notes, *_notes(found)))
    return Result(
        "",
        None,
        "starts" if refused is None else "refused",
        found.rule if refused is None else run.clean(reason_of(refused)),
        launcher=None if launcher is None else Chosen(launcher.id, launcher.version, launcher.path),
        exit_code=None if refused is None else refused.exit_code,
        platform_api=platform_api,
        buildpacks=tuple([(one.id, one.text) for one in found.buildpacks]),
        route=leads.route,
        remedy="" if refused is None else run.clean(remedy_of(refused, found)),
        notes=(*app.shape.notes, *leads.notes, *_notes(found), *([note] if note else []), *_closed(app, tree, found)),
    )


def _foretold(
    found: Found, launcher: Launcher, platform_api: str | None, leads: Leads, notes: tuple[str, ...]
) -> Result:
    """Return the verdict where the launcher that is chosen is known to fail, or it can't be told whether it does."""
    forecast = found.forecast
    return Result(
        "",
        None,
        "unknown" if forecast.doubt else "does-not-start",
        f"its {forecast.doubt}" if forecast.doubt else f"{launcher!r} is chosen, and {forecast.reason}",
        launcher=Chosen(launcher.id, launcher.version, launcher.path),
        exit_code=forecast.exit_code,
        platform_api=platform_api,
        buildpacks=tuple([(one.id, one.text) for one in found.buildpacks]),
        route=leads.route,
        remedy=_READ_IT,
        notes=notes,
    )


def _metadata(app: AppImage, tree: Tree, environment: Mapping[bytes, bytes]) -> Metadata:
    path = decode(metadata_path(environment))
    place = tree.get(path)
    if place is None:
        return Metadata(path, None, errno_text(2))
    kind = place[1].kind
    if kind == "link":
        raise ImageError("unsupported", f"has a link at /{inside(path)}")
    if kind != "file":
        return Metadata(path, None, f"is {'a directory' if kind == 'directory' else 'no file'}, not a regular file")
    if not app.owns(place[1]):
        raise ImageError("unsupported", f"takes its metadata.toml from the run image, at {path}")
    data = app.data(place[1])
    if len(data) != place[1].size:  # a hard link to a file of which only the head was read
        raise ImageError("unsupported", f"has a hard link at /{inside(path)}")
    return Metadata(path, data)


def _notes(found: Found) -> list[str]:
    decision: Decision = found.decision
    notes: list[str] = []
    record = decision.record
    buildpacks = () if record is None or record.platform_api is None else record.buildpacks
    if buildpacks and not any([buildpack.text for buildpack in buildpacks]):
        notes.append(_RESTORED)
    if decision.environment.get(b"METALAUNCHER_PIN"):
        notes.append(f"its config pins METALAUNCHER_PIN={decode(decision.environment[b'METALAUNCHER_PIN'])}")
    return notes


def _closed(app: AppImage, tree: Tree, found: Found) -> list[str]:
    """Say what an app that does not run as root may not be able to read or start. Whose the files are is not known."""
    run = app.image.config.get("config")
    user = str(run.get("User") or "") if isinstance(run, dict) else ""
    if user.partition(":")[0] in ("", "0", "root"):
        return []
    needed = [(EXECUTABLE, 0o001), (decode(metadata_path(found.decision.environment)), 0o004)]
    needed += [(found.launcher.path, 0o001)] if found.launcher is not None else []
    places = [(path, tree.find(path), bit) for path, bit in needed]
    return [
        f"runs as {user}, and {path} may be closed to it: its mode is {place[1].mode:04o}"
        for path, place, bit in places
        if place is not None and not place[1].mode & bit
    ]


def _recorded(environment: Mapping[bytes, bytes]) -> str | None:
    return decode(environment.get(b"CNB_PLATFORM_API", b"")) or None


def _essence(result: Result) -> tuple[object, ...]:
    return result.kind, result.launcher, result.exit_code, result.reason


def _differing(environments: tuple[Mapping[bytes, bytes], ...]) -> list[str]:
    first, *others = environments
    names = {name for other in others for name in other if other[name] != first.get(name)}
    deciding = (b"CNB_", b"METALAUNCHER_")
    return sorted([decode(name) for name in names if name.startswith(deciding)]) or sorted(map(decode, names))
