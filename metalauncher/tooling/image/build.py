"""`metalauncher image`: a run image from a base, metalauncher and bundles; no daemon, and equal on every build.

For several platforms it is one image for each, in an index.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import os
import shlex
import tempfile
from typing import TYPE_CHECKING, NamedTuple

from metalauncher.registry import load_registry
from metalauncher.tooling.console import Unable, decode, system_text
from metalauncher.tooling.executables import packaged_for
from metalauncher.tooling.image.attach import attach, attachment
from metalauncher.tooling.image.base import Base
from metalauncher.tooling.image.distribution import lacking
from metalauncher.tooling.image.executable import read_executable
from metalauncher.tooling.image.outputs import named_output, parse_output, refuse_single, write_output
from metalauncher.tooling.image.own_layers import CREATED_BY, without
from metalauncher.tooling.image.parts import architecture_of, parts
from metalauncher.tooling.image.push import Push, parse_target
from metalauncher.tooling.image.report import Built, Written, report
from metalauncher.tooling.image.scratch_root import Scratch, check_interpreters, read_base
from metalauncher.tooling.oci.append_layer import AmendedStore, Changes
from metalauncher.tooling.oci.index_store import IndexStore
from metalauncher.tooling.oci.layer_writer import write_layer
from metalauncher.tooling.oci.model import ImageError
from metalauncher.tooling.run_image.labels import ENTRYPOINT, labels
from metalauncher.tooling.run_image.opener import open_stores
from metalauncher.tooling.sbom.model import moment
from metalauncher.tooling.sbom.vex import gather
from metalauncher.tooling.scratch import scratch_folder

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterable, Sequence

    from metalauncher.places import Root
    from metalauncher.tooling.console import Console
    from metalauncher.tooling.image.parts import Part
    from metalauncher.tooling.image.push import Pushed
    from metalauncher.tooling.oci.image import Image
    from metalauncher.tooling.oci.layer_writer import NewLayer
    from metalauncher.tooling.oci.location import Location
    from metalauncher.tooling.oci.media_types import Family
    from metalauncher.tooling.oci.model import Store

_RFC_3339 = "%Y-%m-%dT%H:%M:%SZ"
_DOCKER_LAYERS = 127  # that Docker's storage drivers take of one image
_COMMAND = "metalauncher image --help"


class _Shape(NamedTuple):
    """What all images of a run have in common: time, media types, annotations."""

    created: dt.datetime | None
    family: Family
    annotations: tuple[tuple[str, str], ...]


def run(options: Namespace, root: Root, console: Console) -> int:
    """Build the image, or one for each of several platforms, write it and push it; return 0.

    Raises:
        Unable: it could not be built, or not be written everywhere; what is written is whole.
    """
    del root
    outputs = tuple([parse_output(text) for text in options.out])
    targets = tuple([parse_target(text) for text in options.push])
    if not outputs and not targets:
        raise Unable(
            "no target is given for the image",
            need="--push HOST/REPOSITORY:TAG, for a registry, or --out oci:DIR, for this machine; or both",
            command=_COMMAND,
        )
    if options.attach and not targets:
        raise Unable("--attach: there is no --push", need="a registry to attach the VEX in", command=_COMMAND)
    annotations = _annotations(options.annotation)
    epoch = console.environment.get(b"SOURCE_DATE_EPOCH")
    created = moment(epoch) if epoch else None
    with contextlib.ExitStack() as stack:
        stores = stack.enter_context(contextlib.closing(open_stores(options, console)))
        folder = stack.enter_context(scratch_folder("metalauncher-image-"))
        base = Base(options.base, stores)
        platforms = options.platform or ()
        files = options.executable or _packaged(platforms or (base.platform(),))
        todo = parts(platforms, [read_executable(file) for file in files], options.bundle)
        if len(todo) > 1:
            refuse_single(outputs)
        shape = _Shape(created, _family(options.media_types, base, outputs, annotations), annotations)
        built = _build_all(base, todo, shape, folder, console)
        store = _joined(built, shape)
        digest = store.top()[0].digest
        pushes = [Push(target, base.reference, stores, force=options.force) for target in targets]
        for push in pushes:
            push.look(digest)
        for reference in outputs:
            write_output(store, reference, console)
        kept = frozenset().union(*[one.store.kept for one in built])
        pushed = tuple([push.write(store, kept, console.progress) for push in pushes])
        failed: Unable | None = None
        if options.attach:
            pushed, failed = _attach_all(pushes, pushed, built, created)
        console.progress("")
        _warn_of_base(base, built, all_platforms=not options.platform, console=console)
        written = Written(options.base, digest, tuple(map(named_output, outputs)), pushed)
        report(built, written, console, options.format)  # also where attaching failed: this much is there
    if failed is not None:
        raise failed
    return 0


def _attach_all(
    pushes: Iterable[Push], pushed: Iterable[Pushed], built: Sequence[Built], created: dt.datetime | None
) -> tuple[tuple[Pushed, ...], Unable | None]:
    """Attach wherever it was pushed to; return what became of each, and the first failure."""
    done: list[Pushed] = []
    failed: Unable | None = None
    for push, one in zip(pushes, pushed, strict=True):
        try:
            done.append(_attached(push, one, built, created))
        except Unable as unable:
            done.append(one)
            failed = failed or unable
    return tuple(done), failed


def _warn_of_base(base: Base, built: Sequence[Built], *, all_platforms: bool, console: Console) -> None:
    """Say what the base has more than the image, if that is asked, and what it lacks."""
    if all_platforms and (others := base.others([one.platform for one in built])):
        asked = " ".join([f"--platform {one}" for one in (*[one.platform for one in built], *others)])
        console.warn(
            f"--base {base.text} is also for {', '.join(others)}, the image is not:"
            f" apps for that can't be rebased onto it; to build for all: {asked}"
        )
    if missing := dict.fromkeys([text for one in built for text in one.missing]):
        console.warn(
            f"--base {base.text} lacks what CNB asks of a run image: {'; '.join(missing)}:"
            " platforms may refuse to build on it or to rebase onto it; add it to the base,"
            " by `umoci config` or a Dockerfile (docs/vendors/run-image.md#the-base)"
        )


def _attached(push: Push, pushed: Pushed, built: Iterable[Built], created: dt.datetime | None) -> Pushed:
    """Attach to each image what is known of it; to an index nothing: what is known differs by platform."""
    what = [
        attachment(one.stated, created or one.stated.reviewed, push.target, one.store.top()[0])
        for one in sorted(built, key=lambda one: one.platform)
    ]
    return pushed._replace(attached=attach(what, push.target, push.destination))


def _annotations(texts: Iterable[str]) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise Unable(f"--annotation: {text!r} is not KEY=VALUE", need="a key and its value", command=_COMMAND)
        if text.encode("utf-8", "ignore").decode() != text:
            raise Unable(f"--annotation: {text!r} is not UTF-8", need="a key and its value as text", command=_COMMAND)
        found[key] = value
    return tuple(sorted(found.items()))


def _family(
    asked: Family | None, base: Base, outputs: Iterable[Location], annotations: tuple[tuple[str, str], ...]
) -> Family:
    """Return whose media types the image has: those asked for, else the base's, but OCI's in a layout, which is OCI's.

    Raises:
        Unable: what was asked for can't be written there, or can't have annotations.
    """
    layouts = [output for output in outputs if output.kind in ("oci", "oci-archive")]
    family = asked or ("oci" if layouts else base.family())
    if family == "docker" and layouts:
        raise Unable(
            f"--out {layouts[0]}: is OCI's, and holds no image of Docker's media types",
            need="--media-types oci, or no layout",
            command=_COMMAND,
        )
    if family == "docker" and annotations:
        whose = "--media-types docker has" if asked else f"--base {base.text} has Docker's media types, which have"
        raise Unable(
            f"--annotation: {whose} no annotations",
            need="OCI's media types",
            command="metalauncher image … --media-types oci",
        )
    return family


def _build_all(base: Base, todo: Sequence[Part], shape: _Shape, folder: str, console: Console) -> list[Built]:
    """Build each image, and say where they differ."""
    built: list[Built] = []
    for number, part in enumerate(todo):
        os.mkdir(os.path.join(folder, str(number)))
        try:
            image = _base_image(base, part)
            built.append(_build(base, image, part, shape, os.path.join(folder, str(number)), console))
        except Unable as unable:
            raise unable if len(todo) == 1 else unable.about(part.platform) from None
        platform = built[-1].platform
        if platform in [one.platform for one in built[:-1]]:
            raise Unable(
                f"--platform {part.platform}: the base's image for it is for {platform}, which is asked for too",
                need="platforms that the base has an image for each",
                command=_COMMAND,
            )
    _warn_of_differences(built, console)
    return built


def _base_image(base: Base, part: Part) -> Image | None:
    try:
        return base.image(part)
    except ImageError as error:
        raise base.unusable(error) from None


def _joined(built: Sequence[Built], shape: _Shape) -> Store:
    if len(built) == 1:
        return built[0].store
    return IndexStore({one.platform: one.store for one in built}, shape.family, dict(shape.annotations))


def _packaged(platforms: Iterable[str]) -> list[str]:
    """Return the files of the executables that came with the package, one for each architecture."""
    wanted = dict.fromkeys([architecture_of(platform) for platform in platforms])
    return [packaged_for(architecture, "--executable FILE") for architecture in wanted]


def _warn_of_differences(built: Iterable[Built], console: Console) -> None:
    """Say which launchers one platform has and another one lacks: an app is refused there, and not here."""
    every = dict.fromkeys([name for one in built for name in one.launchers])
    for one in built:
        lacking = [name for name in every if name not in one.launchers]
        if lacking:
            console.warn(f"the image for {one.platform} lacks {', '.join(lacking)}, which another platform has")


def _build(base: Base, image: Image | None, part: Part, shape: _Shape, folder: str, console: Console) -> Built:
    executable, created = part.executable, shape.created
    kept, scratch_folder = os.path.join(folder, "kept"), os.path.join(folder, "root")
    os.mkdir(kept)
    os.mkdir(scratch_folder)
    try:
        read = read_base(image, kept, console)
    except (ImageError, OSError) as error:
        if full := _is_full(error):
            raise full from None
        if isinstance(error, OSError):
            raise
        raise base.unusable(error) from None
    # A base says it with its variant, which stays in the config, and so belongs into the index.
    platform = image.platform if image else part.platform or executable.platform
    time = created or dt.datetime.fromtimestamp(0, dt.UTC)
    scratch = Scratch(read, scratch_folder)
    try:
        scratch.install(executable, part.bundles, architecture_of(platform), created, console)
        registry = load_registry(scratch.root)
        for broken in registry.invalid:
            console.warn(f"invalid descriptor: {broken}".replace(scratch_folder, ""))
        if not registry.launchers:
            raise Unable(
                "the image would have no launcher",
                need="a bundle, or a base that has one",
                command=f"metalauncher image --bundle lifecycle-v0.21.17+linux.{architecture_of(platform)}.tgz …",
            )
        check_interpreters(executable, registry, scratch, read.tree)
        console.progress("compressing the layer")
        found = labels(registry)
        layer = _write(scratch, os.path.join(folder, "layer"), int(time.timestamp()))
    except OSError as error:
        if full := _is_full(error):
            raise full from None
        place = decode(os.fsencode(error.filename)).removeprefix(scratch_folder) if error.filename else "a file"
        raise Unable(f"{place}: {system_text(error)}", need="a place for it in the image", command=_COMMAND) from None
    changes = Changes(platform, (ENTRYPOINT,), found, time.strftime(_RFC_3339), shape.family, shape.annotations)
    try:
        store = AmendedStore(without(image, scratch.replaced) if image else None, layer, changes)
    except ImageError as error:
        raise base.unusable(error) from None
    if (layers := (len(image.layers) - scratch.replaced if image else 0) + (layer is not None)) > _DOCKER_LAYERS:
        console.warn(f"the image has {layers} layers: Docker takes {_DOCKER_LAYERS}; squash --base {base.text}")
    launchers = tuple(sorted(map(repr, registry.launchers)))
    missing = tuple(lacking(image, read.tree))
    was = image.manifest.digest if image else ""
    return Built(platform, store, layer, found, launchers, gather(scratch.root), missing, was)


def _is_full(error: BaseException | None) -> Unable | None:
    """Return what to say where an error, or one that it came of, is that the disk of the temporary folder is full."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            place = tempfile.gettempdir()
            return Unable(
                f"{place}: {system_text(error)}, where the layer is put together",
                need=f"room in {place}, or another TMPDIR",
                command=f"df {shlex.quote(place)}",
            )
        error = error.__cause__ or error.__context__
    return None


def _write(scratch: Scratch, file: str, time: int) -> NewLayer | None:
    """Write the layer, unless the base has all that it would bring: a run image that was made otherwise."""
    entries = scratch.entries()
    return write_layer(entries, file, time=time, created_by=CREATED_BY) if entries else None
