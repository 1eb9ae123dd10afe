"""`metalauncher labels`: print a run image's labels, or hold those of an image against the registry inside it."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
from typing import TYPE_CHECKING, NamedTuple

from metalauncher import __version__
from metalauncher.places import Root
from metalauncher.registry import Registry, load_registry
from metalauncher.terminal import RED
from metalauncher.tooling.arguments import format_of
from metalauncher.tooling.labels import (
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
from metalauncher.tooling.oci.image import DEFAULT_PLATFORM, load_image
from metalauncher.tooling.oci.model import ImageError
from metalauncher.tooling.oci.platforms import serves
from metalauncher.tooling.oci.reference import FORMS, parse_reference
from metalauncher.tooling.oci.stores import Stores
from metalauncher.tooling.oci.tree import materialise, read_tree
from metalauncher.tooling.scratch import scratch_folder
from metalauncher.tooling.talk import GREEN, Console, Unable, count

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Mapping

    from metalauncher.jsontext import Json
    from metalauncher.tooling.oci.image import Image
    from metalauncher.tooling.oci.layers import Member
    from metalauncher.tooling.oci.tree import Tree

SCHEMA_VERSION = 1  # schemas/labels.schema.json
_PLACES = ("usr/lib/cnb/launchers.d", "etc/cnb/launchers.d")
_DESCRIPTOR_LIMIT = 128 << 10  # bytes: more than a descriptor may have, so that one too large shows as that
_LISTS = frozenset((PLATFORM_APIS, BUILDPACK_APIS, MIRRORS[PLATFORM_APIS], MIRRORS[BUILDPACK_APIS]))


class Lie(NamedTuple):
    """A label that says something else than the registry.

    Attributes:
        label: its name.
        says: its value; None if it is not there.
        true: what it should be; None if it should not be there.
        difference: in words.
    """

    label: str
    says: str | None
    true: str | None
    difference: str


def run(options: Namespace, root: Root, console: Console) -> int:
    """Print, and return 0; with `--verify` return 1 if a label lies.

    Raises:
        Unable: the image can't be read, or there is no launcher to speak of.
    """
    if options.verify is not None:
        return _verify(options, console)
    form = format_of(options, "dockerfile", "args", "json", when="without --verify")
    registry = _startable(load_registry(root), lambda path: os.access(root.locate(path.encode()), os.X_OK), console)
    if not registry.launchers:
        raise Unable(
            "there is no launcher to make labels of",
            need="a valid descriptor, and its executable",
            have=[f"nothing usable in {' or '.join(registry.directories)}"],
            command="metalauncher list --all",
        )
    found = labels(registry)
    if form == "json":
        console.document(_document(found, None, []))
    else:
        console.out(FORMATS[form](found))
    return 0


def _startable(registry: Registry, is_there: Callable[[str], bool], console: Console) -> Registry:
    """Leave out the launchers whose executable is not there: they serve nobody."""
    for broken in registry.invalid:
        console.warn(f"left out: {broken}")
    missing = [launcher for launcher in registry.launchers if not is_there(launcher.path)]
    for launcher in missing:
        console.warn(f"left out: {launcher!r} ({launcher.descriptor}): {launcher.path} is not there, or no executable")
    kept = tuple([launcher for launcher in registry.launchers if launcher not in missing])
    return Registry(kept, registry.invalid, registry.masked, registry.overridden, registry.directories)


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
    try:
        reference = parse_reference(options.verify)
        stores = Stores(
            console.environment,
            insecure=options.insecure,
            mirrors=options.mirror,
            ca_file=options.ca_file,
            connections=1,
            cache="",
        )
        with contextlib.closing(stores), scratch_folder("metalauncher-labels-") as folder:
            image = load_image(stores.open(reference), options.platform or DEFAULT_PLATFORM)
            if options.platform is not None and image.platform and not serves(image.platform, options.platform):
                raise ImageError("unsupported", f"is for {image.platform}, not for --platform {options.platform}")
            true = _derive(image, folder, console)
    except ValueError as error:
        raise Unable(f"--verify: {error}", command="metalauncher labels --help") from None
    except ImageError as error:
        raise Unable(
            f"--verify {options.verify}: {error.reason}",
            need=f"a run image: {FORMS}",
            command="metalauncher labels --help",
        ) from None
    finally:
        console.progress("")
    lies = compare(image.labels, true)
    if not true and not lies:
        raise Unable(
            f"--verify {options.verify}: there is no launcher in the image, and no label that speaks of one",
            need="a run image with metalauncher",
            command="metalauncher image --help",
        )
    if form == "json":
        console.document(_document(true, options.verify, lies))
        return 1 if lies else 0
    for lie in lies:
        console.out([console.paint(f"{lie.label}: {lie.difference}", RED)])
        console.out([f"  says  {_shown(lie.says)}", f"  true  {_shown(lie.true)}"])
    console.say(
        f"{count(len(lies), 'label')} of {options.verify} {'lies' if len(lies) == 1 else 'lie'}"
        if lies
        else console.paint("the labels are true", GREEN)
    )
    return 1 if lies else 0


def _shown(value: str | None) -> str:
    return "nothing: it is not there" if value is None else value


def _derive(image: Image, folder: str, console: Console) -> dict[str, str]:
    """Return the labels that the image's registry gives; empty where no launcher could be started."""
    kept, root = os.path.join(folder, "kept"), os.path.join(folder, "root")
    os.mkdir(kept)
    os.mkdir(root)
    tree = _read(image, _is_descriptor, kept, console)
    linked = _linked(tree)
    if linked:
        again = os.path.join(folder, "again")
        os.mkdir(again)
        tree = _read(image, lambda path: _is_descriptor(path) or path in linked, again, console)
    materialise(tree, _PLACES, root)
    registry = load_registry(Root(os.fsencode(root), whole=True))
    usable = _startable(registry, lambda path: _is_executable(tree, path), console)
    found = labels(usable) if usable.launchers else {}
    if not _is_executable(tree, ENTRYPOINT):
        for name in (PATH, MIRRORS[PATH]):
            found.pop(name, None)
    return found


def _read(image: Image, is_wanted: Callable[[str], bool], kept: str, console: Console) -> Tree:
    def wanted(member: Member) -> int:
        return min(member.size, _DESCRIPTOR_LIMIT) if is_wanted(member.path) else 0

    def say(number: int) -> None:
        console.progress(f"reading layer {number} of {len(image.layers)}")

    tree = read_tree(image, wanted, kept, say=say)
    console.progress("")
    return tree


def _is_descriptor(path: str) -> bool:
    return path.endswith(".toml")


def _linked(tree: Tree) -> set[str]:
    """Return the files that descriptors are links to and that were not kept, for their names tell nothing."""
    found: set[str] = set()
    for place in _PLACES:
        directory = tree.find(place)
        for name in directory[1].children if directory else ():
            target = tree.find(f"{place}/{name}")
            if _is_descriptor(name) and target and target[1].kind == "file" and not target[1].content:
                found.add(target[0])
    return found


def _is_executable(tree: Tree, path: str) -> bool:
    found = tree.find(path)
    return found is not None and found[1].kind == "file" and bool(found[1].mode & 0o111)


def compare(have: Mapping[str, str], true: Mapping[str, str]) -> list[Lie]:
    """Return every label that means something else than it should, sorted by name."""
    lies: list[Lie] = []
    for name in sorted({*MIRRORS, *MIRRORS.values()}):
        says, should = have.get(name), true.get(name)
        if _meaning(name, says) != _meaning(name, should):
            lies.append(Lie(name, says, should, _difference(name, says, should)))
    return lies


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
        return "should not be there: there is nothing behind it"
    if name in _LISTS:
        claimed, real = set(parse_list(says)), set(parse_list(true))
        parts = [
            f"{verb} {', '.join([str(version) for version in sorted(versions)])}"
            for verb, versions in (("claims", claimed - real), ("leaves out", real - claimed))
            if versions
        ]
        return " and ".join(parts) if claimed else "is no list of versions"
    if name in (APIS, MIRRORS[APIS]):
        return _difference_of_launchers(says, true)
    return "is another than the registry gives"


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
    return " and ".join(parts) or "says something else of the same launchers"


def _document(found: Mapping[str, str], image: str | None, lies: list[Lie]) -> dict[str, Json]:
    return {
        "schema_version": SCHEMA_VERSION,
        "metalauncher": __version__,
        "labels": dict(found),
        "image": image,
        "lies": [
            {"label": lie.label, "says": lie.says, "true": lie.true, "difference": lie.difference} for lie in lies
        ],
    }
