"""Write an image into an OCI layout or an archive, so that no half of it is ever seen under its name.

Into a layout go the blobs first, each whole, and last `index.json` by one rename. A new layout, and an archive, are
written beside their place and renamed. What is written depends on the image alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import tarfile
from typing import TYPE_CHECKING, Any

from metalauncher.tooling.oci.image import load_image
from metalauncher.tooling.oci.layers import open_tar
from metalauncher.tooling.oci.layout import TAG, open_regular, read_index
from metalauncher.tooling.oci.model import (
    MANIFEST_LIMIT,
    OCI_CONFIG,
    Descriptor,
    ImageError,
    parse_descriptor,
    parse_json,
)
from metalauncher.tooling.oci.tree import EXPANDED_LIMIT
from metalauncher.tooling.oci.verified import Verified
from metalauncher.tooling.writing import TEMPORARY, leftovers, lock, sync, write_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from metalauncher.tooling.oci.model import Store
    from metalauncher.tooling.oci.verified import Readable

    Say = Callable[[str], None]

_CHUNK = 1 << 20
_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
_EMPTY_INDEX = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []}


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
    if os.path.lexists(directory) and not (os.path.isdir(directory) and not os.listdir(directory)):
        read_index(directory)  # nothing is written into what is no layout
        with lock(os.fsencode(directory), lambda: say("waiting: somebody else writes the layout")):
            for file in leftovers(os.fsencode(directory)):  # nobody's: who writes has the lock
                os.unlink(file)
            _add(store, directory, tag, say)
        return
    place = os.path.realpath(directory)
    new = f"{os.path.dirname(place)}/{TEMPORARY.decode()}{secrets.token_hex(8)}"
    os.mkdir(new)
    try:
        os.chmod(new, 0o755)  # noqa: S103  # whatever the umask
        write_whole(os.fsencode(new), b"oci-layout", _LAYOUT, 0o644)
        write_whole(os.fsencode(new), b"index.json", _encode(_EMPTY_INDEX), 0o644)
        _add(store, new, tag, say)
        os.rename(new, place)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    sync(os.fsencode(os.path.dirname(place)))


def _add(store: Store, directory: str, tag: str, say: Say) -> None:
    descriptor, manifest = store.top()
    with open_regular(os.path.join(directory, "index.json")) as file:
        index = parse_json(file.read(MANIFEST_LIMIT), "index.json")
    document = parse_json(manifest, "the manifest")
    blobs = [parse_descriptor(entry, "a part") for entry in (*document["layers"], document["config"])]
    made: list[str] = []
    try:
        for number, blob in enumerate(blobs, 1):
            say(f"writing {directory}: blob {number} of {len(blobs)}")
            _put(store, blob, directory, made)
        _put_bytes(manifest, descriptor, directory, made)
        entries = index.get("manifests")
        kept = [
            entry
            for entry in (entries if isinstance(entries, list) else [])
            if (entry.get("annotations") or {}).get(TAG) != tag
        ]
        entry = {"mediaType": descriptor.media_type, "digest": descriptor.digest, "size": descriptor.size}
        index["manifests"] = [*kept, {**entry, "annotations": {TAG: tag}}]
        write_whole(os.fsencode(directory), b"index.json", _encode(index), 0o644)
    except BaseException:
        for path in reversed(made):
            with contextlib.suppress(OSError):  # a directory that is not empty is somebody else's
                os.rmdir(path) if os.path.isdir(path) else os.unlink(path)
        raise


def _put(store: Store, blob: Descriptor, directory: str, made: list[str]) -> None:
    """Write a blob, unless it is there already, and whole."""
    folder, path = _place(blob, directory, made)
    if not _is_whole(path, blob):
        opened = store.open(blob) if blob.media_type != OCI_CONFIG else _opened(store, blob)
        write_stream(opened, folder, path, made)


@contextlib.contextmanager
def _opened(store: Store, blob: Descriptor) -> Iterator[Readable]:
    yield _Bytes(store.fetch(blob, blob.size))


class _Bytes:
    """Bytes, read in parts."""

    def __init__(self, data: bytes) -> None:
        self._rest = memoryview(data)

    def read(self, size: int, /) -> bytes:
        part, self._rest = self._rest[:size], self._rest[size:]
        return bytes(part)


def _put_bytes(data: bytes, blob: Descriptor, directory: str, made: list[str]) -> None:
    folder, path = _place(blob, directory, made)
    if not _is_whole(path, blob):
        write_stream(contextlib.nullcontext(_Bytes(data)), folder, path, made)


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


class _Unwritten(Exception):
    """Carries an error of writing past a reader's context, which takes every OSError for one of reading."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error)
        self.error = error


def write_stream(opened: AbstractContextManager[Readable], folder: str, path: str, made: list[str]) -> None:
    """Write all that is read as the file `path` in `folder`; it is there whole or not at all.

    Args:
        opened: gives what to read from; that, or its end, raises where the bytes are not the right ones.
        folder: for the temporary file.
        path: the file.
        made: is told of a file that was not there before.
    """
    temporary = os.path.join(folder, TEMPORARY.decode() + secrets.token_hex(8))
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            with opened as source:
                _copy(source, descriptor)
            os.fchmod(descriptor, 0o644)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        new = not os.path.lexists(path)
        os.rename(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, _Unwritten):
            raise error.error from None
        raise
    if new:
        made.append(path)


def _copy(source: Readable, descriptor: int) -> None:
    while data := source.read(_CHUNK):
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(descriptor, view) :]
        except OSError as error:
            raise _Unwritten(error) from error


def _encode(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


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
    config = parse_descriptor(parse_json(store.top()[1], "the manifest").get("config"), "the config")
    data = store.fetch(config, config.size)
    config_name = f"{config.digest.partition(':')[2]}.json"
    folder = os.path.dirname(os.path.abspath(file))
    temporary = os.path.join(folder, TEMPORARY.decode() + secrets.token_hex(8))
    try:
        with tarfile.open(temporary, "x", format=tarfile.USTAR_FORMAT) as archive:
            names: list[str] = []
            for number, layer in enumerate(image.layers, 1):
                say(f"writing {file}: layer {number} of {len(image.layers)}")
                names.append(f"{layer.diff_id.partition(':')[2]}.tar")
                if names[-1] in names[:-1]:  # an empty layer may be there twice
                    continue
                content = f"{temporary}-layer"
                try:
                    write_stream(open_tar(store, layer, EXPANDED_LIMIT), folder, content, [])
                    with open(content, "rb") as source:
                        _append(archive, names[-1], os.fstat(source.fileno()).st_size, source)
                finally:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(content)
            tags = [name if ":" in name.rpartition("/")[2] else f"{name}:latest"] if name else []
            listing = _encode([{"Config": config_name, "RepoTags": tags, "Layers": names}])
            for member, content_bytes in ((config_name, data), ("manifest.json", listing)):
                _append(archive, member, len(content_bytes), _Bytes(content_bytes))
        os.chmod(temporary, 0o644)
        descriptor = os.open(temporary, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(temporary, file)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    sync(os.fsencode(folder))


def _append(archive: tarfile.TarFile, name: str, size: int, source: Any) -> None:
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0o644
    archive.addfile(info, source)
