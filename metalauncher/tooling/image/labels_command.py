"""`metalauncher labels`: print a run image's labels, or hold those of an image against the registry inside it."""

from __future__ import annotations

import json
import os
import shlex
from typing import TYPE_CHECKING, NamedTuple

from metalauncher import __version__
from metalauncher.explain.terminal import RED
from metalauncher.registry import Registry, load_registry
from metalauncher.tooling.console import GREEN, Console, Unable, count, decode, format_of
from metalauncher.tooling.oci.platforms import contradict
from metalauncher.tooling.platforms import for_each, of_all, of_each
from metalauncher.tooling.roots import on_root
from metalauncher.tooling.run_image.labels import (
    APIS,
    BUILDPACK_APIS,
    ENTRYPOINT,
    MIRRORS,
    PATH,
    PLATFORM_APIS,
    labels,
    parse_list,
    registry_from_labels,
)
from metalauncher.tooling.run_image.opener import opened_run_images

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping

    from metalauncher.explain.jsontext import Json
    from metalauncher.places import Root
    from metalauncher.tooling.run_image.opener import Opened

SCHEMA_VERSION = 1  # schemas/labels.schema.json
_SHOWN = 200  # characters of a label that are shown
_LISTS = frozenset((PLATFORM_APIS, BUILDPACK_APIS, MIRRORS[PLATFORM_APIS], MIRRORS[BUILDPACK_APIS]))


class Mismatch(NamedTuple):
    """A label that says something else than the registry.

    Attributes:
        label: its name.
        found: its value; None if it is not there.
        expected: what it should be; None if it should not be there.
        difference: in words.
    """

    label: str
    found: str | None
    expected: str | None
    difference: str


def run(options: Namespace, root: Root, console: Console) -> int:
    """Print, and return 0; with `--verify` return 1 if a label says something else.

    Raises:
        Unable: the image can't be read, or there is no launcher to speak of.
    """
    if options.verify is not None:
        return _verify(options, console)
    form = format_of(options, "dockerfile", "args", "json", when="without --verify")
    found = _labels_of(root, console)
    if form == "json":
        console.document(_document(found, None, []))
    else:
        console.out(FORMATS[form](found))
    return 0


def run_together(options: Namespace, roots: Mapping[str, Root], console: Console) -> int:
    """Print the labels of a run image for several platforms, which in a Dockerfile are those of all; return 0.

    Args:
        options: of the command line.
        roots: by platform.
        console: where to.

    Raises:
        Unable: one has no launcher; or their labels differ, and only JSON can say so.
    """
    form = format_of(options, "dockerfile", "args", "json", when="without --verify")
    found = of_each(roots, lambda root: _labels_of(root, console))
    if form == "json":
        console.document(of_all([(platform, _document(one, None, [])) for platform, one in found.items()]))
        return 0
    first, *others = found
    if any(found[other] != found[first] for other in others):
        raise Unable(
            "the labels are not the same for every platform",
            need=f"--platform, one of {', '.join(found)}",
            do="see what each has: the same launchers give the same labels",
            command=f"metalauncher list --run-image {shlex.quote(options.run_image)}",
        )
    console.out(FORMATS[form](found[first]))
    return 0


def _labels_of(root: Root, console: Console) -> dict[str, str]:
    registry = _startable(root, console)
    if not registry.launchers:
        raise Unable(
            "there is no launcher to make labels of",
            need="a valid descriptor, and its executable",
            have=[f"nothing usable in {' or '.join(registry.directories)}"],
            command=on_root("metalauncher list --all", root),
        )
    return labels(registry)


def _startable(root: Root, console: Console) -> Registry:
    """Return what is in effect, without the launchers whose executable is not there: they serve nobody."""
    registry = load_registry(root)
    for broken in registry.invalid:
        console.warn(f"invalid descriptor: {broken}")
    missing = [launcher for launcher in registry.launchers if not _is_executable(launcher.path, root)]
    for launcher in missing:
        console.warn(f"left out: {launcher!r} ({launcher.descriptor}): {launcher.path} is missing, or not executable")
    kept = tuple([launcher for launcher in registry.launchers if launcher not in missing])
    return Registry(kept, registry.invalid, registry.masked, registry.overridden, registry.directories)


def _is_executable(path: str, root: Root) -> bool:
    place = root.locate(path.encode())
    return os.path.isfile(place) and os.access(place, os.X_OK)


def _dockerfile(found: Mapping[str, str]) -> list[str]:
    r"""Return one LABEL instruction; in its quotes `\`, `"` and `$` mean something (Dockerfile reference)."""
    pairs = []
    for name, value in found.items():
        escaped = "".join([f"\\{c}" if c in '\\"$' else c for c in value])
        pairs.append(f'{name}="{escaped}"')
    return [
        ("LABEL " if number == 0 else "      ") + pair + ("" if number == len(pairs) - 1 else " \\")
        for number, pair in enumerate(pairs)
    ]


def _args(found: Mapping[str, str]) -> list[str]:
    """Return arguments of `docker build` and `buildah config`, quoted so that a shell and xargs take them apart."""
    return [f"--label {shlex.quote(f'{name}={value}')}" for name, value in found.items()]


FORMATS = {"dockerfile": _dockerfile, "args": _args}


def _verify(options: Namespace, console: Console) -> int:
    form = format_of(options, "text", "json", when="with --verify")
    for option, given in (("--root", options.root), ("--run-image", options.run_image)):
        if given is not None:
            raise Unable(
                f"--verify and {option}: which image?",
                need="--verify IMAGE alone",
                command=f"metalauncher labels --verify {shlex.quote(options.verify)}",
            )
    with opened_run_images(options.verify, options, console, "--verify") as images:
        return for_each(
            images, console, None, lambda opened, console: _verify_one(opened, options.verify, form, console)
        )


def _verify_one(opened: Opened, name: str, form: str, console: Console) -> int:
    root, image = opened.root, opened.image
    if image is None:
        raise Unable(
            f"--verify {name}: is an unpacked root filesystem, without an image's config",
            need="a run image with labels",
            command=f"metalauncher labels --root {shlex.quote(decode(root.prefix))}",
        )
    if contradict(opened.platform, image.platform):
        raise Unable(
            f"--verify {name}: the index has it for {opened.platform}, and its config says {image.platform}",
            need="an index whose images are for the platforms that it names",
            command=f"metalauncher lint --run-image {shlex.quote(name)}",
        )
    registry = _startable(root, console)
    true = labels(registry) if registry.launchers else {}
    if not _is_executable(ENTRYPOINT, root):
        for label in (PATH, MIRRORS[PATH]):
            true.pop(label, None)
    found = compare(image.labels, true)
    if not true and not found:
        raise Unable(
            f"--verify {name}: the image has neither a launcher nor a label about one",
            need="a run image with metalauncher",
            command="metalauncher image --help",
        )
    if form == "json":
        console.document(_document(true, name, found))
        return 1 if found else 0
    for mismatch in found:
        console.out([console.paint(f"{mismatch.label}: {mismatch.difference}", RED), *_values(mismatch)])
    console.say(*_summary(name, found, console, registry=bool(true)))
    return 1 if found else 0


def _values(mismatch: Mismatch) -> list[str]:
    """Return both values, where a person can compare them; of those with JSON the difference is said."""
    values = (("says", mismatch.found), ("should", mismatch.expected))
    return [f"  {word:<7} {text}" for word, text in values if text is not None and len(text) <= _SHOWN]


def _summary(image: str, found: list[Mismatch], console: Console, *, registry: bool) -> list[str]:
    if not found:
        return [console.paint("the labels are correct", GREEN)]
    missing = sum([mismatch.found is None for mismatch in found])
    wrong = len(found) - missing
    parts = [
        text
        for number, text in ((missing, f"{count(missing, 'label')} missing"), (wrong, f"{count(wrong, 'label')} wrong"))
        if number
    ]
    command = f"metalauncher labels --run-image {shlex.quote(image)} --format args"
    advice = (
        f"  do:      set those of its launchers: {command}" if registry else "  do:      remove them, or add launchers"
    )
    return [f"{image}: {' and '.join(parts)}", advice]


def compare(have: Mapping[str, str], true: Mapping[str, str]) -> list[Mismatch]:
    """Return every label that means something else than it should, sorted by name."""
    found: list[Mismatch] = []
    for name in sorted({*MIRRORS, *MIRRORS.values()}):
        says, should = have.get(name), true.get(name)
        if _meaning(name, says) != _meaning(name, should):
            found.append(Mismatch(name, says, should, _difference(name, says, should)))
    return found


def _meaning(name: str, value: str | None) -> object:
    """Return what is equal for two values that mean the same."""
    if value is None:
        return None
    if name in _LISTS:
        return parse_list(value) or value
    if name in (APIS, MIRRORS[APIS]):
        try:
            return json.dumps(json.loads(value), sort_keys=True)
        except (ValueError, RecursionError):
            pass
    return value


def _difference(name: str, says: str | None, true: str | None) -> str:
    if says is None:
        return "is missing"
    if true is None:
        return "should not be there: the image's launchers do not give it"
    if name in _LISTS:
        claimed, real = set(parse_list(says)), set(parse_list(true))
        parts = [
            f"{verb} {', '.join([str(version) for version in sorted(versions)])}"
            for verb, versions in (("claims", claimed - real), ("leaves out", real - claimed))
            if versions
        ]
        return " and ".join(parts) if claimed else "is not a list of versions"
    if name in (APIS, MIRRORS[APIS]):
        return _difference_of_launchers(says, true)
    return "differs from what the launchers give"


def _difference_of_launchers(says: str, true: str) -> str:
    claimed, real = (registry_from_labels({APIS: value}) for value in (says, true))
    if claimed is None or real is None:
        return "can't be understood"
    names, true_names = ({repr(launcher) for launcher in one.launchers} for one in (claimed, real))
    parts = [
        f"{verb} {', '.join(sorted(which))}"
        for verb, which in (("claims", names - true_names), ("leaves out", true_names - names))
        if which
    ]
    return " and ".join(parts) or "describes the same launchers differently"


def _document(found: Mapping[str, str], image: str | None, mismatches: list[Mismatch]) -> dict[str, Json]:
    return {
        "schema_version": SCHEMA_VERSION,
        "metalauncher": __version__,
        "labels": dict(found),
        "image": image,
        "mismatches": [one._asdict() for one in mismatches],
    }
