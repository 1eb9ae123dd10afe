"""Read a launcher's bundle out of a tarball that may be hostile. Writes nothing: returns the few members needed.

The layout is that of a lifecycle release (buildpacks/lifecycle tools/packager): `lifecycle.toml`, `lifecycle/launcher`,
SBOMs from 0.16 on, and the other phases of the lifecycle, which are links to one program and of no interest here.
Or it is flat, that of a launcher which is released by itself (hone/launcher-rs): `launcher`, and SBOMs.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import tarfile
import zlib
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from metalauncher.registry import DESCRIPTOR_LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

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


LIMITS = (
    {TOML: TOML_LIMIT}
    | dict.fromkeys((LAUNCHER, FLAT_LAUNCHER), LAUNCHER_LIMIT)
    | dict.fromkeys((*sboms_of(LAUNCHER), *sboms_of(FLAT_LAUNCHER)), SBOM_LIMIT)
)

_SPECIAL = {
    tarfile.CHRTYPE: "a character device",
    tarfile.BLKTYPE: "a block device",
    tarfile.FIFOTYPE: "a FIFO",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
    tarfile.CONTTYPE: "a contiguous file",
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
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, ValueError, OverflowError) as error:
        if "Error -" in str(error):  # zlib's own words depend on which zlib it is
            raise Unacceptable("is damaged: what it holds can't be decompressed") from None
        raise Unacceptable(f"is damaged: {error}") from None
    while hashed.read(_CHUNK):
        pass
    return Contents(members, hashed.digest.hexdigest())


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


@contextlib.contextmanager
def _as_unacceptable() -> Iterator[None]:
    """Refuse a damaged header: tarfile takes one, unless it is the first, for the end."""
    try:
        yield
    except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # typeshed leaves it out
        raise
    except tarfile.HeaderError as error:
        text = str(error)
        raise Unacceptable(
            "ends without an end mark: it is cut off" if "empty" in text or "trunc" in text else f"is damaged: {text}"
        ) from None


class _Member(tarfile.TarInfo):
    """A header that is not passed over in silence where it is damaged, nor held in memory where it is huge."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        with _as_unacceptable():
            return super().frombuf(buf, encoding, errors)

    @classmethod
    def _frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str, **more: Any) -> Any:
        # What Pythons since mid-2025 call in its place.
        with _as_unacceptable():
            return super()._frombuf(buf, encoding, errors, **more)  # type: ignore[misc]  # typeshed leaves it out

    def _proc_member(self, archive: tarfile.TarFile) -> Any:
        if self.type in (
            tarfile.XHDTYPE,
            tarfile.XGLTYPE,
            tarfile.SOLARIS_XHDTYPE,
            tarfile.GNUTYPE_LONGNAME,
            tarfile.GNUTYPE_LONGLINK,
        ) and not (0 <= self.size <= _HEADER_LIMIT):
            raise Unacceptable(f"has an extended header of {self.size} bytes; {_HEADER_LIMIT} are allowed")
        if self.size < 0:
            raise Unacceptable(f"has a member of {self.size} bytes")
        return super()._proc_member(archive)  # type: ignore[misc]  # typeshed leaves it out


def _read_members(stream: Any) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    names: set[str] = set()
    with tarfile.open(fileobj=stream, mode="r|", tarinfo=_Member, bufsize=_CHUNK) as archive:
        for number, member in enumerate(archive, 1):
            if number > MEMBERS_LIMIT:
                raise Unacceptable(f"has more than {MEMBERS_LIMIT} members")
            name = _name(member.name)
            if name in names:
                spelled = "" if member.name == name else f", one spelled {member.name!r}"
                raise Unacceptable(f"has two members named {name!r}{spelled}")
            names.add(name)
            _check(member, name)
            if member.isreg() and name in LIMITS:
                found[name] = _extract(archive, member, name)
        _check_end(archive.fileobj)
    if not found.keys() & {TOML, LAUNCHER, FLAT_LAUNCHER}:
        below = sorted([name for name in names if name.endswith((f"/{TOML}", f"/{FLAT_LAUNCHER}"))], key=_depth)
        if below:
            raise Unacceptable(f"has {below[0]!r}: its files belong at the top, not in a folder")
    return found


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


def _check(member: tarfile.TarInfo, name: str) -> None:
    if member.type in _SPECIAL or member.issparse():
        raise Unacceptable(f"has {_SPECIAL.get(member.type, 'a sparse file')}, {name!r}")
    if member.islnk():
        raise Unacceptable(f"has a hard link, {name!r}")
    if member.size < 0:
        raise Unacceptable(f"has a member of {member.size} bytes, {name!r}")
    if member.isreg() and member.mode & 0o6000:  # a directory's only say whose its new files are
        raise Unacceptable(f"has a member with set-id bits, {name!r} (mode {member.mode & 0o7777:04o})")
    if member.issym():
        _check_link(member, name)
    elif not (member.isreg() or member.isdir()):
        raise Unacceptable(f"has a member of unknown type {member.type!r}, {name!r}")
    elif member.isdir() and name in LIMITS:
        raise Unacceptable(f"has a directory named {name!r}")
    elif member.isreg() and any(needed.startswith(name + "/") for needed in LIMITS):
        raise Unacceptable(f"has a file named {name!r}, where a directory belongs")


def _check_link(member: tarfile.TarInfo, name: str) -> None:
    """Let pass the links that releases have, `lifecycle/detector -> lifecycle`: aside, and to a neighbour."""
    if name in LIMITS or any(needed.startswith(name + "/") for needed in LIMITS):
        raise Unacceptable(f"has a link in the place of {name!r}")
    target = member.linkname.removeprefix("./")
    if not target or "/" in target or target == "..":
        raise Unacceptable(f"has a link that leads elsewhere, {name!r} -> {member.linkname!r}")


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, name: str) -> bytes:
    if member.size > LIMITS[name]:
        raise Unacceptable(f"has a {name!r} of {member.size} bytes; {LIMITS[name]} are allowed")
    file = archive.extractfile(member)
    data = file.read() if file else b""
    if len(data) != member.size:
        raise Unacceptable(f"is cut off inside {name!r}")
    return data


def _check_end(stream: Any) -> None:
    """Let only zeros follow the end mark: what hides there one program would unpack, and another not."""
    while data := stream.read(_CHUNK):
        if data.strip(b"\0"):
            raise Unacceptable("goes on after its end mark")
