"""`metalauncher image`: a run image from a base, metalauncher and bundles; no daemon, and equal on every build.

For several platforms it is one image for each, in an index.
"""

from __future__ import annotations

import datetime as dt
import os
import shlex
from typing import TYPE_CHECKING, Final

from metalauncher.registry import load_registry
from metalauncher.tooling.architectures import this_architecture, to_go
from metalauncher.tooling.console import Unable, decode, system_text
from metalauncher.tooling.executables import packaged_for
from metalauncher.tooling.image.executable import read_executable
from metalauncher.tooling.image.parts import architecture_of, parts
from metalauncher.tooling.image.report import Built, Written, report
from metalauncher.tooling.image.scratch_root import Scratch, check_interpreters, read_base
from metalauncher.tooling.oci.append_layer import AmendedStore, Changes
from metalauncher.tooling.oci.image import load_image
from metalauncher.tooling.oci.index_store import IndexStore
from metalauncher.tooling.oci.layer_writer import write_layer
from metalauncher.tooling.oci.location import Location, parse_location
from metalauncher.tooling.oci.model import ImageError
from metalauncher.tooling.oci.sources.stores import open_local
from metalauncher.tooling.oci.write import write_archive, write_layout, write_oci_archive
from metalauncher.tooling.run_image.labels import ENTRYPOINT, labels
from metalauncher.tooling.sbom.model import moment
from metalauncher.tooling.scratch import scratch_folder

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterable

    from metalauncher.places import Root
    from metalauncher.tooling.console import Console
    from metalauncher.tooling.image.parts import Part
    from metalauncher.tooling.oci.image import Image
    from metalauncher.tooling.oci.model import Store

CREATED_BY: Final = "metalauncher image"
SCRATCH: Final = "scratch"
_TAG = "latest"
_RFC_3339 = "%Y-%m-%dT%H:%M:%SZ"
_COMMAND = "metalauncher image --help"
_PLACES = "oci:DIR[:NAME], oci-archive:FILE[:NAME] or docker-archive:FILE[:NAME]"


def run(options: Namespace, root: Root, console: Console) -> int:
    """Build the image, or one for each of several platforms, and write it; return 0.

    Raises:
        Unable: it could not be built, or not be written everywhere; what is written is whole.
    """
    del root
    outputs = tuple([_parse(text, "--out") for text in options.out])
    epoch = console.environment.get(b"SOURCE_DATE_EPOCH")
    created = moment(epoch) if epoch else None
    platforms = options.platform or ()
    files = options.executable or _packaged(platforms or (_platform_of(options.base),))
    todo = parts(platforms, [read_executable(file) for file in files], options.bundle)
    if len(todo) > 1:
        _refuse_single(outputs)
    with scratch_folder("metalauncher-image-") as folder:
        built: list[Built] = []
        for number, part in enumerate(todo):
            os.mkdir(os.path.join(folder, str(number)))
            try:
                built.append(_build(options.base, part, created, os.path.join(folder, str(number)), console))
            except Unable as unable:
                raise unable if len(todo) == 1 else unable.about(part.platform) from None
        _warn_of_differences(built, console)
        store = built[0].store if len(built) == 1 else IndexStore({one.platform: one.store for one in built})
        for reference in outputs:
            _write(store, reference, console)
        console.progress("")
        report(
            built, Written(options.base, store.top()[0].digest, tuple(map(_where, outputs))), console, options.format
        )
    return 0


def _packaged(platforms: Iterable[str]) -> list[str]:
    """Return the files of the executables that came with the package, one for each architecture."""
    wanted = dict.fromkeys([architecture_of(platform) for platform in platforms])
    return [packaged_for(architecture, "--executable FILE") for architecture in wanted]


def _platform_of(text: str) -> str:
    """Return what the base is for: of several this machine's, as for an empty one."""
    here = f"linux/{to_go(this_architecture())}"
    try:
        return here if text == SCRATCH else load_image(open_local(_parse(text, "--base")), here).platform or here
    except ImageError as error:
        raise _bad_base(text, error) from None


def _refuse_single(outputs: Iterable[Location]) -> None:
    """Refuse places that hold an image for one platform alone."""
    for reference in outputs:
        if reference.kind == "docker-archive":
            raise Unable(
                f"--out {reference}: an archive of docker save holds an image for one platform",
                need="oci:DIR[:NAME] or oci-archive:FILE[:NAME]; or one --platform",
                do="write an OCI archive: docker load reads it as well, where Docker keeps images of several platforms",
                command=f"metalauncher image … --out oci-archive:{shlex.quote(reference.place)}",
            )


def _warn_of_differences(built: Iterable[Built], console: Console) -> None:
    """Say which launchers one platform has and another one lacks: an app is refused there, and not here."""
    every = dict.fromkeys([name for one in built for name in one.launchers])
    for one in built:
        lacking = [name for name in every if name not in one.launchers]
        if lacking:
            console.warn(f"the image for {one.platform} lacks {', '.join(lacking)}, which another platform has")


_WRITTEN: Final = ("oci", "oci-archive", "docker-archive")
_SCHEMES = ("oci:", "oci-archive:", "docker-archive:", "dir:", "docker://")


def _parse(text: str, option: str) -> Location:
    """Parse a reference; a plain DIR[:TAG] is a layout."""
    try:
        reference = parse_location(text if text.startswith(_SCHEMES) else f"oci:{text}")
    except ValueError as error:
        raise Unable(f"{option}: {error}", command=_COMMAND) from None
    if reference.kind in _WRITTEN:
        return reference
    raise Unable(
        f"{option} {text}: is neither a layout nor an archive",
        need=_PLACES,
        do="copy the image from or to the registry with a tool that does that",
        command="skopeo copy docker://NAME oci:DIR:TAG",
    )


def _build(text: str, part: Part, created: dt.datetime | None, folder: str, console: Console) -> Built:
    executable = part.executable
    try:
        base = _base(text, part)
        kept, scratch_folder = os.path.join(folder, "kept"), os.path.join(folder, "root")
        os.mkdir(kept)
        os.mkdir(scratch_folder)
        tree = read_base(base, kept, console)
    except ImageError as error:
        raise _bad_base(text, error) from None
    platform = part.platform or (base.platform if base else executable.platform)
    scratch = Scratch(tree, scratch_folder)
    time = created or dt.datetime.fromtimestamp(0, dt.UTC)
    try:
        scratch.install(executable, part.bundles, architecture_of(platform), created, console)
        registry = load_registry(scratch.root)
        for broken in registry.invalid:
            console.warn(f"left out: {broken}")
        if not registry.launchers:
            raise Unable(
                "there would be no launcher in the image",
                need="a bundle, or a base that has one",
                command=f"metalauncher image --bundle lifecycle-v0.21.17+linux.{architecture_of(platform)}.tgz …",
            )
        check_interpreters(executable, registry, scratch, tree)
        console.progress("compressing the layer")
        found = labels(registry)
        layer = write_layer(
            scratch.entries(), os.path.join(folder, "layer"), time=int(time.timestamp()), created_by=CREATED_BY
        )
    except OSError as error:
        place = decode(os.fsencode(error.filename)).removeprefix(scratch_folder) if error.filename else "a file"
        raise Unable(f"{place}: {system_text(error)}", need="a place for it in the image", command=_COMMAND) from None
    try:
        store = AmendedStore(base, layer, Changes(platform, (ENTRYPOINT,), found, time.strftime(_RFC_3339)))
    except ImageError as error:
        raise _bad_base(text, error) from None
    return Built(platform, store, layer, found, tuple(sorted(map(repr, registry.launchers))))


def _base(text: str, part: Part) -> Image | None:
    """Return the base for a platform, which the executable has to run on; None for an empty one."""
    executable = part.executable
    if text == SCRATCH:
        if not executable.platform:
            raise Unable(
                f"--executable {executable.file}: is a script, which an empty image can't start",
                need="an executable without dependencies",
                command="make static",
            )
        return None
    asked = part.platform or executable.platform
    base = load_image(open_local(_parse(text, "--base")), asked or f"linux/{to_go(this_architecture())}")
    wanted = asked or base.platform
    if not f"{base.platform}/".startswith(f"{wanted}/") or not base.platform.startswith("linux/"):
        whose = f"--platform {part.platform}" if part.platform else f"--executable {executable.file}"
        raise Unable(
            f"--base {text}: is for another platform than {whose}",
            need=f"a base for {wanted or 'linux'}, or an executable for {base.platform or 'it'}",
            have=[f"a base for {base.platform or 'no platform that it names'}"],
            command=_COMMAND,
        )
    return base


def _bad_base(text: str, error: ImageError) -> Unable:
    if error.kind == "denied":
        place = parse_location(text).place if text.startswith(_SCHEMES) else text
        return Unable(
            f"--base {text}: {error.reason}",
            need="a base that may be read",
            command=f"ls -ld {shlex.quote(place)}",
        )
    return Unable(
        f"--base {text}: {error.reason}",
        need=f"a whole image for linux: {_PLACES}, or scratch",
        do="fetch it again into a new layout",
        command="skopeo copy docker://NAME:TAG oci:DIR:TAG",
    )


def _write(store: Store, reference: Location, console: Console) -> None:
    try:
        match reference.kind:
            case "oci":
                write_layout(store, reference.place, reference.tag or _TAG, console.progress)
            case "oci-archive":
                write_oci_archive(store, reference.place, reference.tag, console.progress)
            case _:
                write_archive(store, reference.place, reference.tag, console.progress)
    except ImageError as error:
        raise Unable(
            f"--out {reference}: {error.reason}",
            need="a layout, a new or empty directory, or a file; and a base that is whole",
            do="name another place, or fix the base image",
            command=_COMMAND,
        ) from None
    except OSError as error:
        raise Unable(
            f"--out {reference}: {system_text(error)}",
            need="a place that can be written",
            command=f"ls -ld {os.path.dirname(os.path.abspath(reference.place))}",
        ) from None


def _where(reference: Location) -> str:
    return str(reference._replace(tag=reference.tag or _TAG) if reference.kind == "oci" else reference)
