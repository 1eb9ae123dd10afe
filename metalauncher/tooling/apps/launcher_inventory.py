"""Which launcher a program is: told from what Go recorded in it, else from what the image's label claims. Pure.

Source: lifecycle's Makefile links the release into `cmd.Version` (`-X`), which Go records among its settings unless
-trimpath was given; built as a module, Go records the module's version. The label is `io.buildpacks.build.metadata`
(buildpacks/lifecycle platform/files, BuildMetadata): what the exporter was told, and false once a layer was replaced.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, get_args

from metalauncher.tooling.apps.json_fields import integer, optional_text, text, texts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from metalauncher.explain.jsontext import Json
    from metalauncher.tooling.apps.go_build_info import GoBuildInfo

BUILD_LABEL: Final = "io.buildpacks.build.metadata"
_LABEL_LIMIT: Final = 4 << 20  # bytes; with hundreds of buildpacks and processes it has 100 KB
TEXT_LIMIT: Final = 256  # characters of a release, a version of Go or a module; what is longer is none
_VERSION_VARIABLE: Final = "/cmd.Version"
_DEVELOPED: Final = "(devel)"

# Where a release was read: ldflags: what was linked into cmd.Version. module: the version of the main module. label:
# what the image's build label claims. unknown: nowhere.
Source = Literal["ldflags", "module", "label", "unknown"]
SOURCES: Final[tuple[Source, ...]] = get_args(Source)
SOURCE_WORDS: Final[dict[Source, str]] = {
    "ldflags": "linked in",
    "module": "module version",
    "label": "image label",
    "unknown": "unknown",
}


class OwnLauncher(NamedTuple):
    """A launcher that an app image carries.

    Attributes:
        release: as `0.20.11`; None where nothing says it.
        go_version: of the Go that built it, as `go1.26.8`; None where it is no Go program.
        module: path of its main module; None where it is not said.
        source: where the release was read.
        path: of the file in the image.
        layer: digest of the layer that has it, as it is stored; None where there are no layers.
        digest: of the file, `sha256:…`; None where it was not read to its end.
        size: of the file, in bytes.
        notes: what else is to be known about it, each one line.
        diff_id: of that layer, as the config names it: what `patch --must-match-sha` takes; None where there are none.
    """

    release: str | None
    go_version: str | None
    module: str | None
    source: Source
    path: str = ""
    layer: str | None = None
    digest: str | None = None
    size: int = 0
    notes: tuple[str, ...] = ()
    diff_id: str | None = None

    @property
    def name(self) -> str:
        """What it is called: its module's last parts, and the release."""
        module = self.module or ("launcher" if self.go_version is None else "Go program")
        return f"{module.removeprefix('github.com/')} {self.release or 'of an unknown release'}"


class Release(NamedTuple):
    """A launcher, and how many apps carry it.

    Attributes:
        name: for people.
        launcher: of the first of them.
        apps: how many.
    """

    name: str
    launcher: OwnLauncher
    apps: int


def count_releases(launchers: Iterable[OwnLauncher]) -> list[Release]:
    """Return launchers by module and release, and of how many apps each is, those of most apps first."""
    first: dict[str, OwnLauncher] = {}
    apps: Counter[str] = Counter()
    for launcher in launchers:
        first.setdefault(launcher.name, launcher)
        apps[launcher.name] += 1
    found = [Release(name, first[name], number) for name, number in apps.items()]
    return sorted(found, key=lambda one: (-one.apps, one.name))


def own_launcher_to_json(launcher: OwnLauncher) -> dict[str, Json]:
    """Return a launcher as a JSON object, `$defs/own_launcher` of the schema."""
    return {**launcher._asdict(), "notes": list(launcher.notes)}


def own_launcher_from_json(table: dict[str, Any]) -> OwnLauncher:
    """Return the launcher that a JSON object says.

    Raises:
        ValueError: it is not what `own_launcher_to_json` returns; other keys than those do not matter.
    """
    said = text(table, "source")
    source = next((one for one in SOURCES if one == said), None)
    if source is None:
        raise ValueError(f"source is {said!r}, not one of {', '.join(SOURCES)}")
    return OwnLauncher(
        release=optional_text(table, "release"),
        go_version=optional_text(table, "go_version"),
        module=optional_text(table, "module"),
        source=source,
        path=text(table, "path"),
        layer=optional_text(table, "layer"),
        digest=optional_text(table, "digest"),
        size=integer(table, "size"),
        notes=texts(table, "notes"),
        diff_id=optional_text(table, "diff_id"),
    )


def identify(info: GoBuildInfo | None, label: str | None) -> OwnLauncher:
    """Return which launcher a program is.

    Args:
        info: what Go recorded in it; None where it is no Go program.
        label: the image's label `io.buildpacks.build.metadata`, None where there is none.
    """
    claimed = _claimed(label or "")
    go_version = None if info is None else _text(info.go_version)
    module = None if info is None else _text(info.module)
    release, source, notes = _recorded(info)
    if release is None:
        return OwnLauncher(claimed, go_version, module, "unknown" if claimed is None else "label", notes=notes)
    if claimed is not None and claimed != release:
        notes = (*notes, f"the image's label {BUILD_LABEL} says {claimed}, the program says {release}")
    return OwnLauncher(release, go_version, module, source, notes=notes)


def _recorded(info: GoBuildInfo | None) -> tuple[str | None, Source, tuple[str, ...]]:
    """Return the release that a program says, where it says it, and what is odd about that."""
    if info is None:
        return None, "unknown", ()
    linked = _linked(info)
    if linked is not None:
        return linked, "ldflags", ()
    if info.replacement:  # of which the version says nothing
        return None, "unknown", (f"its module was replaced when it was built, by {info.replacement[:TEXT_LIMIT]}",)
    if info.module_version in ("", _DEVELOPED):
        return None, "unknown", ()
    release = _text(info.module_version.removeprefix("v"))
    return release, "unknown" if release is None else "module", ()


def _linked(info: GoBuildInfo) -> str | None:
    """Return what was linked into `cmd.Version`: of several the main module's, and the last, which counts in Go."""
    found = {
        name: value
        for name, equals, value in [word.partition("=") for word in _variables(info.settings.get("-ldflags", ""))]
        if equals and name.endswith(_VERSION_VARIABLE) and not {"'", '"'}.intersection(name)
    }
    own = found.get(info.module + _VERSION_VARIABLE)
    return _text(own if own is not None else next(iter(found.values()), ""))


def _variables(flags: str) -> Iterator[str]:
    """Give what each `-X` of the linker's flags says, `name=value`."""
    words = iter(_split(flags))
    for word in words:
        option, equals, value = word.partition("=")
        if option in ("-X", "--X"):
            yield value if equals else next(words, "")


def _split(flags: str) -> Iterator[str]:
    """Split flags at blanks as Go does (cmd/internal/quoted): a whole word may be in quotes, and nothing escapes."""
    for single, double, plain in re.findall(r"'([^']*)'|\"([^\"]*)\"|([^ \t\r\n]+)", flags):
        yield single or double or plain


def _claimed(label: str) -> str | None:
    """Return the release that a build label claims, None where it claims none."""
    if len(label) > _LABEL_LIMIT:
        return None
    try:
        document: Any = json.loads(label)
    except (ValueError, RecursionError):
        return None
    launcher = document.get("launcher") if isinstance(document, dict) else None
    version = launcher.get("version") if isinstance(launcher, dict) else None
    return _text(version.removeprefix("v")) if isinstance(version, str) else None


def _text(text: str) -> str | None:
    """Return a short text, None of one that says nothing or can't be what it is taken for."""
    return text if 0 < len(text) <= TEXT_LIMIT and text.isprintable() else None
