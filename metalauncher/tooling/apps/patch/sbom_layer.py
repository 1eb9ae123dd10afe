"""Take the launcher's SBOMs out of the layer of SBOMs, and put others in. Pure.

What else is in the layer stays byte for byte, headers too. Source: lifecycle's phase/exporter.go, which puts them into
`sbom/launch/buildpacksio_lifecycle/launcher` below the layers' directory.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from metalauncher.tooling.apps.patch.held import Held
from metalauncher.tooling.apps.patch.layer_bytes import NAME_LIMIT, NewLayer, layer, member
from metalauncher.tooling.apps.patch.refusals import Refused
from metalauncher.tooling.oci.layer_reader import clean, open_tar, text
from metalauncher.tooling.oci.model import ImageError
from metalauncher.tooling.oci.tar_header import BLOCK, TarError
from metalauncher.tooling.oci.tar_reader import TarReader

if TYPE_CHECKING:
    from collections.abc import Mapping

    from metalauncher.tooling.apps.patch.refusals import RefusalCode
    from metalauncher.tooling.oci.image import Layer

# Bytes of the layer, uncompressed or not: the new one is held whole, and uploaded as it is. One of an app with a
# thousand dependencies has 10 MB.
LAYER_LIMIT: Final = 64 << 20
_OF_LAUNCHER = re.compile(r"(?:.*/)?sbom/launch/buildpacksio_lifecycle/launcher", re.DOTALL)
_HARD_LINK = b"1"
_NUMBER_LIMIT = 1 << 21  # of what owners are written as without extended headers
_CHUNK = 1 << 20


class _Member(NamedTuple):
    """A member of the old layer: its path, its bytes, and of what it is."""

    path: str
    raw: bytes | memoryview
    kind: bytes
    target: str
    name: str
    owner: int
    group: int


def replace_sboms(old: Layer, data: bytes, files: Mapping[str, bytes]) -> NewLayer | None:
    """Return the layer with other SBOMs of the launcher in the place of the old ones; None where it has none of it.

    Args:
        old: which layer.
        data: its blob.
        files: what goes in, by file names; empty where there is no file of ours in the image that one could describe.

    Raises:
        Refused: it can't be done, or the blob is not what its digests say.
    """
    members = _members(old, data)
    stale = [each for each in members if _is_stale(each)]
    if not stale:
        return None
    gone = {each.path for each in stale}
    for each in members:
        if each.kind == _HARD_LINK and each.path not in gone and each.target in gone:
            raise Refused("sbom-layer", old.blob.digest, f"has a hard link to one of them, /{each.path}")
    parts: list[bytes | memoryview] = []
    for each in members:
        if each is stale[0]:
            parts += _new(each, files, old.blob.digest)
        emptied = not files and _OF_LAUNCHER.fullmatch(each.path)
        if each.path not in gone and not emptied:
            parts.append(each.raw)
    return layer(parts)


def _is_stale(each: _Member) -> bool:
    folder, _, name = each.path.rpartition("/")
    while folder:
        if _OF_LAUNCHER.fullmatch(folder):
            return bool(name)
        folder = folder.rpartition("/")[0]
    return False


def _new(first: _Member, files: Mapping[str, bytes], digest: str) -> list[bytes]:
    """Return the members that go in: in the directory, and of the owner, of the first that goes out."""
    folder = first.path.rpartition("/")[0]
    while not _OF_LAUNCHER.fullmatch(folder):
        folder = folder.rpartition("/")[0]
    # Numbers that need an extended header are not worth one: everybody may read these files.
    owned = all([0 <= number < _NUMBER_LIMIT for number in (first.owner, first.group)])
    owner, group = (first.owner, first.group) if owned else (0, 0)
    made: list[bytes] = []
    for name, content in sorted(files.items()):
        path = f"{'/' if first.name.startswith('/') else ''}{folder}/{name}"
        if len(path.encode("utf-8", "surrogateescape")) > NAME_LIMIT:
            raise Refused("sbom-layer", digest, f"has them at a path of more than {NAME_LIMIT} bytes, {folder}")
        made.append(member(path, "file", content, mode=0o644, owner=owner, group=group))
    return made


def _members(old: Layer, data: bytes) -> list[_Member]:
    tar = _tar(old, data)
    reader = TarReader(io.BytesIO(tar))
    found: list[_Member] = []
    begins: list[int] = []
    try:
        for header in reader:
            name = text(header.name)
            target = clean(text(header.target)) if header.kind == _HARD_LINK else ""
            found.append(_Member(clean(name), b"", header.kind, target, name, header.owner, header.group))
            begins.append(reader.begin)
    except TarError as error:
        raise Refused("damaged-layer", old.blob.digest, str(error)) from None
    ends = [*begins, reader.begin][1:]
    view = memoryview(tar)  # the layer is there once
    return [each._replace(raw=_blocks(view[begin:end])) for each, begin, end in zip(found, begins, ends, strict=True)]


def _blocks(raw: memoryview) -> bytes | memoryview:
    """Return a member padded to whole blocks, which the last of an archive need not be."""
    return raw if len(raw) % BLOCK == 0 else bytes(raw) + bytes(-len(raw) % BLOCK)


def _tar(old: Layer, data: bytes) -> bytes:
    parts: list[bytes] = []
    try:
        with open_tar(Held({old.blob.digest: data}), old, LAYER_LIMIT) as tar:
            while part := tar.read(_CHUNK):
                parts.append(part)
    except ImageError as error:
        code: RefusalCode = "large-layer" if error.kind == "too-large" else "damaged-layer"
        raise Refused(code, old.blob.digest, error.reason) from None
    return b"".join(parts)
