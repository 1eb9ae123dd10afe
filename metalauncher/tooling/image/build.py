"""`metalauncher image`: a run image from a base, metalauncher and bundles; no daemon, and equal on every build."""

from __future__ import annotations

import datetime as dt
import os
import shlex
from typing import TYPE_CHECKING, Final, NamedTuple

from metalauncher import __version__
from metalauncher.registry import load_registry
from metalauncher.tooling.architectures import from_go, this_architecture, to_go
from metalauncher.tooling.console import Unable, count, decode, system_text
from metalauncher.tooling.image.executable import read_executable
from metalauncher.tooling.image.scratch_root import Scratch, check_interpreters, read_base
from metalauncher.tooling.oci.append_layer import AmendedStore, Changes
from metalauncher.tooling.oci.image import load_image
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

    from metalauncher.explain.jsontext import Json
    from metalauncher.places import Root
    from metalauncher.tooling.console import Console
    from metalauncher.tooling.image.executable import Executable
    from metalauncher.tooling.oci.image import Image
    from metalauncher.tooling.oci.layer_writer import NewLayer

SCHEMA_VERSION = 1  # schemas/image.schema.json
CREATED_BY: Final = "metalauncher image"
SCRATCH: Final = "scratch"
_TAG = "latest"
_RFC_3339 = "%Y-%m-%dT%H:%M:%SZ"
_COMMAND = "metalauncher image --help"
_PLACES = "oci:DIR[:NAME], oci-archive:FILE[:NAME] or docker-archive:FILE[:NAME]"


class Built(NamedTuple):
    """What was made.

    Attributes:
        base: as it was named.
        store: holds the image.
        layer: the one that was added.
        labels: that were added.
        launchers: their names, as the registry has them.
        outputs: where it was written.
    """

    base: str
    store: AmendedStore
    layer: NewLayer
    labels: dict[str, str]
    launchers: tuple[str, ...]
    outputs: tuple[Location, ...]


def run(options: Namespace, root: Root, console: Console) -> int:
    """Build the image and write it; return 0.

    Raises:
        Unable: it could not be built, or not be written everywhere; what is written is whole.
    """
    del root
    outputs = tuple([_parse(text, "--out") for text in options.out])
    epoch = console.environment.get(b"SOURCE_DATE_EPOCH")
    created = moment(epoch) if epoch else None
    executable = read_executable(options.executable)
    with scratch_folder("metalauncher-image-") as folder:
        built = _build(options, executable, created, folder, outputs, console)
        for reference in outputs:
            _write(built, reference, console)
        console.progress("")
        _report(built, console, as_json=options.format == "json")
    return 0


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


def _build(
    options: Namespace,
    executable: Executable,
    created: dt.datetime | None,
    folder: str,
    outputs: tuple[Location, ...],
    console: Console,
) -> Built:
    try:
        base = _base(options.base, executable)
        kept, scratch_folder = os.path.join(folder, "kept"), os.path.join(folder, "root")
        os.mkdir(kept)
        os.mkdir(scratch_folder)
        tree = read_base(base, kept, console)
    except ImageError as error:
        raise _bad_base(options.base, error) from None
    platform = base.platform if base else executable.platform
    architecture = platform.split("/")[1]
    scratch = Scratch(tree, scratch_folder)
    time = created or dt.datetime.fromtimestamp(0, dt.UTC)
    try:
        scratch.install(executable, options.bundle, from_go(architecture) or architecture, created, console)
        registry = load_registry(scratch.root)
        for broken in registry.invalid:
            console.warn(f"left out: {broken}")
        if not registry.launchers:
            raise Unable(
                "there would be no launcher in the image",
                need="a bundle, or a base that has one",
                command="metalauncher image --bundle lifecycle-v0.21.17+linux.x86-64.tgz …",
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
        raise _bad_base(options.base, error) from None
    return Built(options.base, store, layer, found, tuple(sorted(map(repr, registry.launchers))), outputs)


def _base(text: str, executable: Executable) -> Image | None:
    """Return the base, which the executable has to run on; None for an empty one."""
    if text == SCRATCH:
        if not executable.platform:
            raise Unable(
                f"--executable {executable.file}: is a script, which an empty image can't start",
                need="an executable without dependencies",
                command="make static",
            )
        return None
    base = load_image(open_local(_parse(text, "--base")), executable.platform or f"linux/{to_go(this_architecture())}")
    wanted = executable.platform or base.platform
    if not f"{base.platform}/".startswith(f"{wanted}/") or not base.platform.startswith("linux/"):
        raise Unable(
            f"--base {text}: is for another platform than --executable {executable.file}",
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


def _write(built: Built, reference: Location, console: Console) -> None:
    try:
        match reference.kind:
            case "oci":
                write_layout(built.store, reference.place, reference.tag or _TAG, console.progress)
            case "oci-archive":
                write_oci_archive(built.store, reference.place, reference.tag, console.progress)
            case _:
                write_archive(built.store, reference.place, reference.tag, console.progress)
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


def _report(built: Built, console: Console, *, as_json: bool) -> None:
    manifest = built.store.top()[0]
    blob = built.layer.layer.blob
    if as_json:
        outputs: list[Json] = [_where(reference) for reference in built.outputs]
        layer: dict[str, Json] = {
            "digest": blob.digest,
            "diff_id": built.layer.layer.diff_id,
            "size": blob.size,
            "expanded": built.layer.expanded,
        }
        console.document(
            {
                "schema_version": SCHEMA_VERSION,
                "metalauncher": __version__,
                "base": built.base,
                "manifest": manifest.digest,
                "layer": layer,
                "launchers": list(built.launchers),
                "labels": dict(built.labels),
                "outputs": outputs,
            }
        )
        return
    console.out([f"{_where(reference)} {manifest.digest}" for reference in built.outputs])
    console.say(
        f"one layer of {blob.size:,} bytes ({built.layer.expanded:,} unpacked) on {built.base}:"
        f" metalauncher and {count(len(built.launchers), 'launcher')}"
    )


def _where(reference: Location) -> str:
    return str(reference._replace(tag=reference.tag or _TAG) if reference.kind == "oci" else reference)
