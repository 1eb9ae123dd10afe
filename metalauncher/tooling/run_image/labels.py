"""What a run image's labels say of its launchers, and what may be concluded from labels. Pure: knows no files.

Sources: buildpacks/rfcs #336 (the two lists, and the launcher's path). Two flat lists say yes to pairs of APIs that no
single launcher serves, hence a third label with every launcher's own sets. An exporter copies the labels of the run
image into the app; of these a rebase refreshes those under `io.buildpacks.base` only, hence the second set of names.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from metalauncher.apis import ApiRange, ApiSet, ApiVersion
from metalauncher.descriptor import Launcher
from metalauncher.explain.messages import by_rank
from metalauncher.explain.releases import RELEASES
from metalauncher.registry import Registry
from metalauncher.toml import ODDITIES
from metalauncher.tooling.launcher_json import launcher_document
from metalauncher.tooling.launchers.coverage import enumerate_apis

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from metalauncher.explain.jsontext import Json

# On app images alone: lifecycle platform/files, LayersMetadata.
APP_LABEL: Final = "io.buildpacks.lifecycle.metadata"
ENTRYPOINT: Final = "/usr/lib/cnb/launcher"
PLATFORM_APIS: Final = "io.buildpacks.run-image.launcher.platform-apis"
BUILDPACK_APIS: Final = "io.buildpacks.run-image.launcher.buildpack-apis"
APIS: Final = "io.buildpacks.run-image.launcher.apis"
PATH: Final = "io.buildpacks.run.launcher.path"
# What a rebase refreshes: the same values under the names that it copies from the new run image.
MIRRORS: Final = {
    name: f"io.buildpacks.base.launcher.{name.rpartition('.')[2]}"
    for name in (PLATFORM_APIS, BUILDPACK_APIS, APIS, PATH)
}

SCHEMA_VERSION: Final = 1  # schemas/apis-label.schema.json
# The id of the one launcher that stands for a whole registry where there are only the two lists.
UNION: Final = "union-of-all-launchers"
_LIMIT = 256 << 10  # characters of a label that are looked at; a hundred launchers need 30 KB
_KINDS = ("platform", "buildpack")


def labels(registry: Registry) -> dict[str, str]:
    """Return every label that a run image with this registry has, sorted by name."""
    known = {kind: _known(registry, kind) for kind in _KINDS}
    launchers = sorted(registry.launchers, key=by_rank, reverse=True)
    documents = [_document(launcher, known) for launcher in launchers]
    found = {
        PLATFORM_APIS: _union(launchers, "platform", known),
        BUILDPACK_APIS: _union(launchers, "buildpack", known),
        PATH: ENTRYPOINT,
        APIS: json.dumps(
            {"launchers": documents, "schema_version": SCHEMA_VERSION}, separators=(",", ":"), sort_keys=True
        ),
    }
    return dict(sorted({**found, **{MIRRORS[name]: value for name, value in found.items()}}.items()))


def _known(registry: Registry, kind: str) -> frozenset[ApiVersion]:
    """Return the versions known to exist: lifecycle releases had them, or a descriptor names them.

    Ranges are written out in these: that `>=0.3,<=0.12` holds a Platform API 0.4 is worth saying, a 0.3.9 is not.
    """
    known: set[ApiVersion] = set()
    for _, _, *platform, oldest, newest in RELEASES:
        low, high = platform if kind == "platform" else (oldest, newest)
        known |= {ApiVersion((0, minor)) for minor in range(low, high + 1)}
    for launcher in registry.launchers:
        supported = _set(launcher, kind).supported
        if isinstance(supported, ApiRange):
            known |= {version for operator, version in supported.clauses if operator in ("<=", "==", ">=")}
        else:
            known |= set(supported)
    return frozenset(known)


def _set(launcher: Launcher, kind: str) -> ApiSet:
    return launcher.platform if kind == "platform" else launcher.buildpack


def _versions(apis: ApiSet, known: frozenset[ApiVersion]) -> list[ApiVersion]:
    if isinstance(apis.supported, ApiRange):
        return sorted([version for version in known if apis.covers(version)])
    return enumerate_apis(apis)


def _union(launchers: Iterable[Launcher], kind: str, known: Mapping[str, frozenset[ApiVersion]]) -> str:
    """Return what some launcher covers for apps that have not opted in to anything."""
    sets = [_set(launcher, kind) for launcher in launchers if not launcher.opt_in_env]
    return ",".join([str(version) for version in sorted({v for one in sets for v in _versions(one, known[kind])})])


def _document(launcher: Launcher, known: Mapping[str, frozenset[ApiVersion]]) -> dict[str, Json]:
    """Return what selection looks at: files are the image's own affair, and a label is no place for what is empty."""
    document = launcher_document(launcher)
    unused = ("path", "sha256") if launcher.cannot_read else ("path", "sha256", "cannot_read")
    for kind in _KINDS:
        apis = _set(launcher, kind)
        document[kind] = {
            "supported": [str(version) for version in _versions(apis, known[kind])],
            "deprecated": [str(version) for version in sorted(set(apis.deprecated))],
            "default": None if apis.default is None else str(apis.default),
        }
    return {key: value for key, value in document.items() if key not in unused}


def registry_from_labels(found: Mapping[str, str]) -> Registry | None:
    """Return the launchers that an image's labels speak of; None where they say nothing that can be understood.

    The names that a rebase refreshes go first. Where there are only the two lists, one launcher stands for all: it
    claims every pair of the two, which is more than may be true; its id is `UNION`.
    """
    for name in (MIRRORS[APIS], APIS):
        registry = _from_structured(found.get(name, ""), name)
        if registry is not None:
            return registry
    for platform, buildpack in ((MIRRORS[PLATFORM_APIS], MIRRORS[BUILDPACK_APIS]), (PLATFORM_APIS, BUILDPACK_APIS)):
        lists = [parse_list(found.get(name, "")) for name in (platform, buildpack)]
        if all(lists):
            sets = [ApiSet(versions) for versions in lists]
            return Registry((_launcher({"id": UNION, "version": "0"}, sets[0], sets[1], platform),))
    return None


def parse_list(text: str) -> tuple[ApiVersion, ...]:
    """Return the versions of a comma-separated list; empty where it is none."""
    try:
        return (
            tuple(sorted({ApiVersion.parse(part.strip()) for part in text.split(",")})) if len(text) <= _LIMIT else ()
        )
    except ValueError:
        return ()


def _from_structured(text: str, name: str) -> Registry | None:
    if not text or len(text) > _LIMIT:
        return None
    try:
        document = json.loads(text)
        if document["schema_version"] != SCHEMA_VERSION:
            return None
        entries = [
            (entry, _parse_set(entry["platform"]), _parse_set(entry["buildpack"])) for entry in document["launchers"]
        ]
        # A range of which no version is known to exist was written out as nothing: such a launcher claims nothing.
        launchers = [
            _launcher(entry, platform, buildpack, name)
            for entry, platform, buildpack in entries
            if platform.supported and buildpack.supported
        ]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return Registry(tuple(launchers))


def _parse_set(document: Mapping[str, Any]) -> ApiSet:
    default = document["default"]
    return ApiSet(
        [ApiVersion.parse(text) for text in _strings(document["supported"])],
        [ApiVersion.parse(text) for text in _strings(document["deprecated"])],
        None if default is None else ApiVersion.parse(default),
    )


def _launcher(entry: Mapping[str, Any], platform: ApiSet, buildpack: ApiSet, label: str) -> Launcher:
    identifier, version, priority = entry["id"], entry["version"], entry.get("priority", 0)
    opt_in_env = entry.get("opt_in_env")
    if not isinstance(priority, int) or not isinstance(opt_in_env, str | None):
        raise TypeError
    requires = tuple(_strings(entry.get("requires", [])))
    identifier, version = _strings([identifier, version])
    return Launcher(
        identifier=identifier,
        version=version,
        platform=platform,
        buildpack=buildpack,
        priority=priority,
        opt_in_env=opt_in_env,
        requires=requires,
        # What a later metalauncher knows besides is of no use here: nothing is known to hold it.
        cannot_read=tuple([kind for kind in _strings(entry.get("cannot_read", [])) if kind in ODDITIES]),
        descriptor=label,
    )


def _strings(value: Any) -> list[str]:
    if not isinstance(value, list) or not all([isinstance(item, str) for item in value]):
        raise TypeError
    return value
