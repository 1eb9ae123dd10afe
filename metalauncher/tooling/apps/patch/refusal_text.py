"""Say why an app image is not rewritten, and what to do about it: one row for each code of `refusals`. Pure."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from metalauncher.tooling.apps.patch.refusals import RefusalCode, Refused

_LIMIT = 200  # characters of a fact that comes from the image

_CHECK: Final = "metalauncher check --inventory {app}"
SHOW_MANIFEST: Final = "skopeo inspect --raw docker://{app}"
# Of an image whose Docker manifest lists media types of OCI, as a rebase may leave it, skopeo shows the manifest alone.
SHOW_CONFIG: Final = f"skopeo inspect --config --raw docker://{{app}} || {SHOW_MANIFEST}"
_REBUILD: Final = "rebuild the app"
# What is wrong with a document, or with a value in one.
_WRONG: Final[Mapping[str, str]] = {
    "too-large": "is too large",
    "not-utf-8": "is not UTF-8",
    "not-json": "is not JSON",
    "too-deep": "is nested more than 200 deep",
    "missing": "is missing",
    "type": "is of a wrong type",
}


class Text(NamedTuple):
    """What is said of one app.

    Attributes:
        reason: why, in one line, without the app's name.
        need: what would be needed.
        have: what there is; "" where the reason says it.
        do: what to do; "" where the command says it all.
        command: to run next.
    """

    reason: str
    need: str
    have: str
    do: str
    command: str


# In each text {place} and {found} are the facts, and {app} is the app's name as a shell takes it.
_TEXTS: Final[Mapping[RefusalCode, Text]] = {
    "not-matched": Text(
        "its launcher's layer is none of those asked for",
        "a launcher's layer that --must-match-sha names",
        "{place}",
        "name this one too, if it is to be replaced",
        "metalauncher patch --must-match-sha {place} {app} …",
    ),
    "delegates": Text(
        "its launcher is not a program, but leads to {found}",
        "a launcher of the app's own",
        "",
        "nothing to do: there is no launcher to replace",
        _CHECK,
    ),
    "schema-1": Text(
        "its manifest is of Docker's schema 1, which registries take no more",
        "a manifest of OCI, or of Docker's schema 2",
        "",
        _REBUILD,
        SHOW_MANIFEST,
    ),
    "index": Text(
        "is an index of several images",
        "one image",
        "{place}",
        "name the platform",
        "metalauncher patch --platform linux/amd64 {app} …",
    ),
    "no-image": Text("{found}", "an app image", "", _REBUILD, SHOW_MANIFEST),
    "damaged-document": Text(
        "{place} {wrong}", "a manifest and a config that can be edited in place", "", _REBUILD, SHOW_CONFIG
    ),
    "repeated-key": Text(
        "{place} is there twice",
        "every key once, in whatever case: programs differ in which one they take",
        "",
        _REBUILD,
        SHOW_CONFIG,
    ),
    "unequal-layers": Text(
        "its manifest and its config do not have the same number of layers",
        "a config that names every layer of the manifest",
        "{found}",
        _REBUILD,
        SHOW_CONFIG,
    ),
    "descriptor": Text(
        "its manifest says {place} of a blob that would be replaced",
        "a descriptor with media type, digest and size alone",
        "",
        "patch the image as it was before a tool for lazy pulling or a mirror added that",
        SHOW_MANIFEST,
    ),
    "layer-type": Text(
        "a layer that would be replaced is {found}",
        "a layer that is a tar, or one compressed with gzip",
        "{place}",
        "patch the image as it was before it was converted or encrypted",
        SHOW_MANIFEST,
    ),
    "mixed-types": Text(
        "its manifest is {place} and lists {found}, which has no counterpart in that family",
        "media types of one family",
        "",
        _REBUILD,
        SHOW_MANIFEST,
    ),
    "digest": Text("{place} {found}", "the bytes that the digest names", "", "push the image again", SHOW_MANIFEST),
    "no-label": Text(
        "has no label {place}",
        "that label, which says which layer is the launcher's",
        "",
        f"{_REBUILD}: squashed images and those of other builders can't be patched",
        SHOW_CONFIG,
    ),
    "damaged-label": Text("its label {place} {wrong}", "the label as lifecycle writes it", "", _REBUILD, SHOW_CONFIG),
    "not-rebasable": Text(
        "its label {place} is false",
        "an app that may start on another run image",
        "",
        "pass --force if you know that it may",
        _CHECK,
    ),
    "no-layer": Text(
        "its label names a layer as {found} that it does not have",
        "the layers that lifecycle exported",
        "{place}",
        f"{_REBUILD}: squashed images can't be patched",
        SHOW_CONFIG,
    ),
    "repeated-layer": Text(
        "its label names a layer as {found} that is there twice, or named twice",
        "one layer for one purpose",
        "{place}",
        _REBUILD,
        SHOW_CONFIG,
    ),
    "run-image-layer": Text(
        "its label counts the layer that it names as {found} among the run image's",
        "layers of the launcher and of SBOMs above those of the run image",
        "{place}",
        _REBUILD,
        SHOW_CONFIG,
    ),
    "damaged-layer": Text(
        "{found}", "the layer that its digests name, in a form that is read here", "{place}", _REBUILD, SHOW_MANIFEST
    ),
    "large-layer": Text(
        "{found}", "a layer of at most 64 MiB, which is read whole", "{place}", _REBUILD, SHOW_MANIFEST
    ),
    "launcher-layer": Text(
        "its launcher's layer {found}",
        "/cnb, /cnb/lifecycle and the launcher there, a file, and nothing else",
        "{place}",
        f"{_REBUILD}: flattened layers can't be patched",
        _CHECK,
    ),
    "sbom-layer": Text(
        "its SBOMs' layer {found}",
        "the launcher's SBOMs by themselves",
        "{place}",
        _REBUILD,
        SHOW_MANIFEST,
    ),
}


def text_of(refused: Refused, app: str) -> Text:
    """Return what is said of an app that is not rewritten.

    Args:
        refused: why.
        app: its reference, for the command.
    """
    place, found = [_short(fact) for fact in (refused.place, refused.found)]
    wrong = _WRONG.get(found, f"has no {found}")
    facts = {"place": place, "found": found, "wrong": wrong, "app": shlex.quote(app)}
    return Text(*[part.format_map(facts) for part in _TEXTS[refused.code]])


def _short(fact: str) -> str:
    return fact if len(fact) <= _LIMIT else f"{fact[:_LIMIT]}…"
