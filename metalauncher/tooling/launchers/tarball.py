"""Read a launcher's bundle out of a tarball that may be hostile. Writes nothing: returns the few members needed.

The layout is that of a lifecycle release (buildpacks/lifecycle tools/packager): `lifecycle.toml`, `lifecycle/launcher`,
SBOMs from 0.16 on, and the other phases of the lifecycle, which are links to one program and of no interest here.
Or it is flat, that of a launcher which is released by itself (hone/launcher-rs): `launcher`, and SBOMs.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from typing import IO, Any, NamedTuple

from metalauncher.registry import DESCRIPTOR_LIMIT
from metalauncher.tooling.oci.tar_header import GLOBAL, Header, TarError
from metalauncher.tooling.oci.tar_reader import TarReader
from metalauncher.tooling.sbom.statements import STATEMENTS, STATEMENTS_LIMIT

MEMBERS_LIMIT = 256  # a release has about 20
EXPANDED_LIMIT = 512 << 20  # bytes of the whole archive; a release has 40 MiB
LAUNCHER_LIMIT = 64 << 20  # bytes; launchers have 1 to 4 MiB
TOML_LIMIT = DESCRIPTOR_LIMIT  # bytes
SBOM_LIMIT = 16 << 20  # bytes
_HEADER_LIMIT = 64 << 10  # bytes of a long name or of PAX headers, which are held in memory
_CHUNK = 1 << 16

TOML = "lifecycle.toml"
LAUNCHER = "lifecycle/launcher"
FLAT_LAUNCHER = "launcher"
# Their names beside the installed launcher are those that `exporter -launcher-sbom` looks for.
SBOMS = tuple([f"sbom.{kind}.json" for kind in ("cdx", "spdx", "syft")])


def sboms_of(launcher: str) -> dict[str, str]:
    """Return the names that the SBOMs of a tarball's `launcher` have there, and those they are to have installed."""
    return {f"{launcher}.{name}": name for name in SBOMS}


def statements_of(launcher: str) -> str:
    """Return the name that the vendor's statements about a tarball's `launcher` have there: beside it, as installed."""
    return launcher.removesuffix(FLAT_LAUNCHER) + STATEMENTS


LIMITS = (
    {TOML: TOML_LIMIT}
    | dict.fromkeys((LAUNCHER, FLAT_LAUNCHER), LAUNCHER_LIMIT)
    | dict.fromkeys((*sboms_of(LAUNCHER), *sboms_of(FLAT_LAUNCHER)), SBOM_LIMIT)
    | dict.fromkeys((statements_of(LAUNCHER), statements_of(FLAT_LAUNCHER)), STATEMENTS_LIMIT)
)

_FILE, _HARD_LINK, _LINK, _DIRECTORY = b"0", b"1", b"2", b"5"
_SPECIAL = {
    b"3": "a character device",
    b"4": "a block device",
    b"6": "a FIFO",
    b"S": "a sparse file",
    b"7": "a contiguous file",
}


class Unacceptable(Exception):
    """The tarball is damaged, hostile, or not a launcher's; the text says in what way."""


class Contents(NamedTuple):
    """What a tarball gave.

    Attributes:
        members: the needed ones by name.
        sha256: of the tarball itself, lower-case hex.
    """

    members: dict[str, bytes]
    sha256: str


def read_tarball(file: IO[bytes]) -> Contents:
    """Read the tarball, plain or gzipped, from its beginning to its end, and return the members needed.

    Raises:
        Unacceptable: a member is not what a launcher's tarball has, a limit is passed, or the file is damaged.
        OSError: the file can't be read.
    """
    hashed = _Hashed(file)
    try:
        head = file.read(2)
        file.seek(0)
        stream: Any = gzip.GzipFile(fileobj=hashed, mode="rb") if head == b"\x1f\x8b" else hashed
        members = _read_members(_Limited(stream))
    except EOFError:
        raise Unacceptable("is damaged: the compressed data is cut off") from None
    except TarError as error:
        raise Unacceptable(_damage(error)) from None
    except (gzip.BadGzipFile, zlib.error) as error:
        if "Error -" in str(error):  # zlib's own words depend on which zlib it is
            raise Unacceptable("is damaged: what it holds can't be decompressed") from None
        raise Unacceptable(f"is damaged: {error}") from None
    while hashed.read(_CHUNK):
        pass
    return Contents(members, hashed.digest.hexdigest())


def _damage(error: TarError) -> str:
    if error.code == "too-long":
        return f"has an extended header of {error.size} bytes; {_HEADER_LIMIT} are allowed"
    if error.code == "negative-size":
        return f"has a member of {error.size} bytes, {_text(error.name)!r}"
    return f"is damaged: {error}"


class _Hashed(io.RawIOBase):
    """Passes on what is read, and remembers its digest."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.digest.update(data)
        return data


class _Limited:
    """Passes on what is read, up to the limit of the whole archive."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._left = EXPANDED_LIMIT

    def read(self, size: int) -> bytes:
        data = self._file.read(min(size, self._left + 1))
        self._left -= len(data)
        if self._left < 0:
            raise Unacceptable(f"expands to more than {EXPANDED_LIMIT >> 20} MiB")
        return data


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _read_members(stream: Any) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    names: set[str] = set()
    archive = TarReader(stream, _HEADER_LIMIT)
    for number, member in enumerate(archive, 1):
        if number > MEMBERS_LIMIT:
            raise Unacceptable(f"has more than {MEMBERS_LIMIT} members")
        if member.kind == GLOBAL:
            _check_global(member)
            continue
        full = _text(member.name)
        if member.kind == _DIRECTORY:
            full = full.rstrip("/") or full
        name = _name(full)
        if name in names:
            spelled = "" if full == name else f", one spelled {full!r}"
            raise Unacceptable(f"has two members named {name!r}{spelled}")
        names.add(name)
        _check(member, name)
        if member.kind == _FILE and name in LIMITS:
            found[name] = _extract(archive, member, name)
    if not archive.marked:
        raise Unacceptable("ends without an end mark: it is cut off")
    _check_end(archive)
    if not found.keys() & {TOML, LAUNCHER, FLAT_LAUNCHER}:
        below = sorted([name for name in names if name.endswith((f"/{TOML}", f"/{FLAT_LAUNCHER}"))], key=_depth)
        if below:
            raise Unacceptable(f"has {below[0]!r}: its files belong at the top, not in a folder")
    return found


def _check_global(header: Header) -> None:
    """Let pass the comment that `git archive` writes: what else is there changes the members for some readers."""
    keys = sorted([_text(key) for key in header.records.keys() - {b"comment"}])
    if keys:
        raise Unacceptable(f"has a global header that sets {keys[0]!r}")


def _depth(name: str) -> tuple[int, str]:
    return name.count("/"), name


def _name(name: str) -> str:
    """Return the member's name without a leading `./`.

    Raises:
        Unacceptable: it could lead anywhere but below the place of unpacking.
    """
    if name.startswith("/"):
        raise Unacceptable(f"has a member with an absolute name, {name!r}")
    if ".." in name.split("/"):
        raise Unacceptable(f"has a member whose name leads upwards, {name!r}")
    if not name.isprintable() or "\\" in name:
        raise Unacceptable(f"has a member with an odd name, {name!r}")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return "/".join(parts)


def _check(member: Header, name: str) -> None:
    if member.kind in _SPECIAL or member.sparse:
        raise Unacceptable(f"has {_SPECIAL.get(member.kind, 'a sparse file')}, {name!r}")
    if member.kind == _HARD_LINK:
        raise Unacceptable(f"has a hard link, {name!r}")
    if member.kind == _FILE and member.mode & 0o6000:  # a directory's only say whose its new files are
        raise Unacceptable(f"has a member with set-id bits, {name!r} (mode {member.mode & 0o7777:04o})")
    if member.kind == _LINK:
        _check_link(_text(member.target), name)
    elif member.kind not in {_FILE, _DIRECTORY}:
        raise Unacceptable(f"has a member of unknown type {member.kind!r}, {name!r}")
    elif member.kind == _DIRECTORY and name in LIMITS:
        raise Unacceptable(f"has a directory named {name!r}")
    elif member.kind == _FILE and any(needed.startswith(name + "/") for needed in LIMITS):
        raise Unacceptable(f"has a file named {name!r}, where a directory belongs")


def _check_link(target: str, name: str) -> None:
    """Let pass the links that releases have, `lifecycle/detector -> lifecycle`: aside, and to a neighbour."""
    if name in LIMITS or any(needed.startswith(name + "/") for needed in LIMITS):
        raise Unacceptable(f"has a link in the place of {name!r}")
    to = target.removeprefix("./")
    if not to or "/" in to or to == "..":
        raise Unacceptable(f"has a link that leads elsewhere, {name!r} -> {target!r}")


def _extract(archive: TarReader, member: Header, name: str) -> bytes:
    if member.size > LIMITS[name]:
        raise Unacceptable(f"has a {name!r} of {member.size} bytes; {LIMITS[name]} are allowed")
    return archive.read(member.size)


def _check_end(archive: TarReader) -> None:
    """Let only zeros follow the end mark: what hides there one program would unpack, and another not."""
    while data := archive.behind(_CHUNK):
        if data.strip(b"\0"):
            raise Unacceptable("goes on after its end mark")
