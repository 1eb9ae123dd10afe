"""Write an image, or an index of several, into an OCI layout or an archive; no half of it is ever seen under its name.

Into a layout, and into an empty directory, go the blobs first, each whole, and last `index.json` by one rename. A new
layout, and an archive, are written beside their place and renamed. What is written depends on the image alone.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
from typing import TYPE_CHECKING, Any

from metalauncher.tooling.oci.files import Folder, open_regular
from metalauncher.tooling.oci.go_json import MANIFEST
from metalauncher.tooling.oci.image import load_image
from metalauncher.tooling.oci.layer_reader import open_tar
from metalauncher.tooling.oci.model import (
    MANIFEST_LIMIT,
    OCI_INDEX,
    Descriptor,
    ImageError,
    parse_descriptor,
    parse_json,
    to_json,
)
from metalauncher.tooling.oci.parts import parts_of
from metalauncher.tooling.oci.sources.layout import NAME, TAG, read_index
from metalauncher.tooling.oci.tree import EXPANDED_LIMIT
from metalauncher.tooling.oci.verified import Verified
from metalauncher.tooling.oci.write_files import append, append_bytes, whole_tar, write_stream
from metalauncher.tooling.writing import TEMPORARY, leftovers, lock, sync, temporary_name, write_whole

if TYPE_CHECKING:
    from collections.abc import Callable

    from metalauncher.tooling.oci.model import Store

    Say = Callable[[str], None]

_CHUNK = 1 << 20
_BEGUN = ("blobs", "oci-layout")
_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
_EMPTY_INDEX = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}


def write_layout(store: Store, directory: str, tag: str, say: Say) -> None:
    """Add an image to a layout, in place of the one that has its tag; a layout that is not there is made.

    Args:
        store: what it is read from, every byte checked.
        directory: the layout.
        tag: of the image.
        say: told of how far it has come.

    Raises:
        ImageError: the image can't be read, or the directory holds something else than a layout.
        OSError: it can't be written. Either way the directory is as before.
    """
    if os.path.lexists(directory):
        # In place, and not by a rename: it may be mounted, or lie where nothing else may be written.
        if not _is_begun(directory):
            read_index(Folder(directory))  # nothing is written into what is no layout
        with lock(os.fsencode(directory), lambda: say("waiting for another process that writes the layout")):
            for file in leftovers(os.fsencode(directory)):  # nobody's: who writes has the lock
                os.unlink(file)
            _add(store, directory, tag, say)
        return
    place = os.path.realpath(directory)
    new = os.fsdecode(temporary_name(os.fsencode(os.path.dirname(place))))
    os.mkdir(new)
    try:
        os.chmod(new, 0o755)  # noqa: S103  # whatever the umask
        _add(store, new, tag, say)
        os.rename(new, place)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    sync(os.fsencode(os.path.dirname(place)))


def _is_begun(directory: str) -> bool:
    """Tell whether a directory is empty, or has what a killed run leaves of a layout, and no index."""
    return os.path.isdir(directory) and all(
        [name in _BEGUN or name.startswith(os.fsdecode(TEMPORARY)) for name in os.listdir(directory)]
    )


def _add(store: Store, directory: str, tag: str, say: Say) -> None:
    parts = parts_of(store)
    index = _with_image(_index(directory), parts.top[0], tag)
    made: list[str] = []
    try:
        for number, blob in enumerate(parts.blobs, 1):
            say(f"writing {directory}: blob {number} of {len(parts.blobs)}")
            _put(store, blob, directory, made)
        for descriptor, data in (*parts.children, parts.top):
            _put_bytes(data, descriptor, directory, made)
        version = os.path.join(directory, "oci-layout")
        if not os.path.lexists(version):
            write_stream(contextlib.nullcontext(io.BytesIO(_LAYOUT)), directory, version, made)
        write_whole(os.fsencode(directory), b"index.json", index, 0o644)
    except BaseException:
        for path in reversed(made):
            with contextlib.suppress(OSError):  # a directory that is not empty is somebody else's
                os.rmdir(path) if os.path.isdir(path) else os.unlink(path)
        raise


def _index(directory: str) -> dict[str, Any]:
    file = os.path.join(directory, "index.json")
    if not os.path.lexists(file):
        return dict(_EMPTY_INDEX)
    with open_regular(file) as opened:
        return parse_json(opened.read(MANIFEST_LIMIT), "index.json", MANIFEST)


def _with_image(index: dict[str, Any], image: Descriptor, tag: str) -> bytes:
    """Return a layout's index with an image in place of the one that has its tag. Pure.

    Raises:
        ImageError: the tag is that of several images, which other names tell apart; or the index would be too large.
    """
    entries = index.get("manifests")
    kept: list[Any] = []
    names: set[str] = set()
    for entry in entries if isinstance(entries, list) else []:
        annotations = entry.get("annotations") or {}
        if annotations.get(TAG) != tag:
            kept.append(entry)
        elif annotations.get(NAME):
            names.add(annotations[NAME])
    if len(names) > 1:
        reason = f"has the tag {tag} for several images, {', '.join(sorted(names))}: name another one"
        raise ImageError("ambiguous", reason)
    index["manifests"] = [*kept, _entry(image, tag)]
    data = to_json(index)
    if len(data) > MANIFEST_LIMIT:
        raise ImageError("too-large", f"index.json would have {len(data)} bytes; {MANIFEST_LIMIT} are allowed")
    return data


def _put(store: Store, blob: Descriptor, directory: str, made: list[str]) -> None:
    """Write a blob, unless it is there already, and whole."""
    folder, path = _place(blob, directory, made)
    if not _is_whole(path, blob):
        write_stream(store.open(blob), folder, path, made)


def _entry(descriptor: Descriptor, name: str | None) -> dict[str, Any]:
    """Return what an index lists a manifest as."""
    entry = {"mediaType": descriptor.media_type, "digest": descriptor.digest, "size": descriptor.size}
    return {**entry, "annotations": {TAG: name}} if name else entry


def _put_bytes(data: bytes, blob: Descriptor, directory: str, made: list[str]) -> None:
    folder, path = _place(blob, directory, made)
    if not _is_whole(path, blob):
        write_stream(contextlib.nullcontext(io.BytesIO(data)), folder, path, made)


def _place(blob: Descriptor, directory: str, made: list[str]) -> tuple[str, str]:
    algorithm, _, digest = blob.digest.partition(":")
    folder = os.path.join(directory, "blobs", algorithm)
    for path in (os.path.dirname(folder), folder):
        with contextlib.suppress(FileExistsError):
            os.mkdir(path)
            made.append(path)
            os.chmod(path, 0o755)  # noqa: S103  # whatever the umask
    return folder, os.path.join(folder, digest)


def _is_whole(path: str, blob: Descriptor) -> bool:
    """Tell whether the blob is there with the right content."""
    try:
        with open_regular(path) as file:
            verified = Verified(file, blob)
            while verified.read(_CHUNK):
                pass
    except ImageError:
        return False
    return True


def write_archive(store: Store, file: str, name: str | None, say: Say) -> None:
    """Write what `docker load` reads: the config, the layers uncompressed, and manifest.json.

    Args:
        store: what it is read from, every byte checked.
        file: the archive, replaced if it is there.
        name: that the image is to have, `repository:tag`.
        say: told of how far it has come.

    Raises:
        ImageError: the image can't be read.
        OSError: it can't be written. Either way the file is as before.
    """
    image = load_image(store, "")
    config = parse_descriptor(parse_json(store.top()[1], "the manifest", MANIFEST).get("config"), "the config")
    data = store.fetch(config, config.size)
    config_name = f"{config.digest.partition(':')[2]}.json"
    with whole_tar(file) as (archive, scratch):
        names: list[str] = []
        for number, layer in enumerate(image.layers, 1):
            say(f"writing {file}: layer {number} of {len(image.layers)}")
            names.append(f"{layer.diff_id.partition(':')[2]}.tar")
            if names[-1] in names[:-1]:  # an empty layer may be there twice
                continue
            try:
                # How large it is uncompressed shows only when it is.
                write_stream(open_tar(store, layer, EXPANDED_LIMIT), os.path.dirname(scratch), scratch, [])
                with open(scratch, "rb") as source:
                    append(archive, names[-1], os.fstat(source.fileno()).st_size, source)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(scratch)
        tags = [name if ":" in name.rpartition("/")[2] else f"{name}:latest"] if name else []
        append_bytes(archive, config_name, data)
        listing = [{"Config": config_name, "RepoTags": tags, "Layers": names}]
        append_bytes(archive, "manifest.json", to_json(listing))


def write_oci_archive(store: Store, file: str, name: str | None, say: Say) -> None:
    """Write an OCI layout as one tar: what `skopeo copy oci-archive:` and `podman load` read.

    Args:
        store: what it is read from, every byte checked.
        file: the archive, replaced if it is there.
        name: that the image is to have, None for none.
        say: told of how far it has come.

    Raises:
        ImageError: the image can't be read.
        OSError: it can't be written. Either way the file is as before.
    """
    parts = parts_of(store)
    index = _EMPTY_INDEX | {"manifests": [_entry(parts.top[0], name)]}
    with whole_tar(file) as (archive, _):
        append_bytes(archive, "oci-layout", _LAYOUT)
        append_bytes(archive, "index.json", to_json(index))
        for descriptor, data in (parts.top, *parts.children):
            append_bytes(archive, _member(descriptor), data)
        for number, blob in enumerate(parts.blobs, 1):
            say(f"writing {file}: blob {number} of {len(parts.blobs)}")
            with store.open(blob) as source:
                append(archive, _member(blob), blob.size, source)
                source.read(1)  # its end, where its digest is looked at


def _member(blob: Descriptor) -> str:
    algorithm, _, digest = blob.digest.partition(":")
    return f"blobs/{algorithm}/{digest}"
