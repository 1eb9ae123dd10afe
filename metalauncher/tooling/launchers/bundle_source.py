"""Where a bundle comes from: a release's tarball, a directory of that shape, or a bare executable. Writes nothing."""

from __future__ import annotations

import hashlib
import json
import os
from typing import IO, TYPE_CHECKING, Final, NamedTuple

from metalauncher.files import size_text
from metalauncher.tooling.console import Unable
from metalauncher.tooling.elf import HEAD, inspect
from metalauncher.tooling.launchers.checksums import NoDigest, digest_for, parse_digest
from metalauncher.tooling.launchers.tarball import (
    FLAT_LAUNCHER,
    LAUNCHER,
    LAUNCHER_LIMIT,
    LIMITS,
    TOML,
    Unacceptable,
    read_tarball,
    sboms_of,
    statements_of,
)
from metalauncher.tooling.reading import ReadError, open_regular, read_named, read_regular

if TYPE_CHECKING:
    from collections.abc import Mapping

COMMAND = "metalauncher bundle add --help"
_DIGEST_FILE_LIMIT = 16 << 20  # bytes; that of a release with all its files has some KB, of a mirror some MB
_TAR_MAGIC = (257, b"ustar")


class Bundle(NamedTuple):
    """What is to be installed.

    Attributes:
        source: as named on the command line.
        launcher: the executable's bytes.
        lifecycle_toml: the release's descriptor, None for a bare executable, and where the tarball has none.
        sboms: by the name that each is to have beside the launcher.
        member: the launcher's name in the tarball or directory, None for a bare executable.
        statements: the vendor's about vulnerabilities, None where there are none.
    """

    source: str
    launcher: bytes
    lifecycle_toml: bytes | None
    sboms: Mapping[str, bytes]
    member: str | None
    statements: bytes | None = None

    @property
    def sha256(self) -> str:
        """The executable's digest, lower-case hex."""
        return hashlib.sha256(self.launcher).hexdigest()


def read_source(source: str, architecture: str, digest: str | None) -> Bundle:
    """Read and check the bundle.

    Args:
        source: a path.
        architecture: that the launcher has to run on, `x86-64` and so on.
        digest: of the tarball or executable (of a directory: of its launcher): hex, or a file that holds it; None: a
            file `SOURCE.sha256`, if there is one.

    Raises:
        Unable: it is not a bundle, or not a sound one.
    """
    expected = _expected_digest(source, digest)
    bundle, found = _read(source)
    if expected and found != expected[0]:
        raise Unable(
            f"{source}: has another digest than expected",
            need=f"sha256 {expected[0]} ({expected[1]})",
            have=[f"sha256 {found}"],
            do="fetch the file again; if it is another release's, give that one's digest",
            command=f"sha256sum {source}",
        )
    _check_launcher(bundle, architecture)
    return bundle


def machine_of(source: str) -> str:
    """Return the architecture that a bundle's launcher is for, as its ELF header has it; "" for a script.

    Raises:
        Unable: it is no bundle, or its launcher no executable.
    """
    bundle, _ = _read(source)
    binary = inspect(bundle.launcher)
    if isinstance(binary, str):
        raise _refuse(_named(bundle), binary)
    return binary.machine


def _read(source: str) -> tuple[Bundle, str]:
    """Return the bundle, and the digest of what was read."""
    try:
        if os.path.isdir(source):
            bundle = _read_directory(source)
            return bundle, bundle.sha256
        with open_regular(source) as file:
            return _read_file(source, file)
    except (ReadError, Unacceptable) as error:
        raise _refuse(source, str(error)) from None


def _named(bundle: Bundle) -> str:
    return bundle.source if bundle.member is None else f"{bundle.source}: {bundle.member}"


class WrongArchitecture(Unable):
    """A launcher is for another architecture than the run image.

    Attributes:
        source: the bundle, as it was named.
        machine: its launcher's.
        wanted: the run image's.
    """

    def __init__(self, bundle: Bundle, machine: str, wanted: str) -> None:
        """Hold which."""
        super().__init__(
            f"{_named(bundle)}: is for another architecture",
            need=f"an executable for {wanted}",
            have=[f"one for {machine}"],
            do="take the tarball of that architecture, or say which one the run image has with --arch",
            command=f"metalauncher bundle add {bundle.source} --arch {machine}",
        )
        self.source: Final = bundle.source
        self.machine: Final = machine
        self.wanted: Final = wanted


def _refuse(source: str, reason: str) -> Unable:
    return Unable(
        f"{source}: {reason}",
        need=f"a tarball or a directory with {TOML} and {LAUNCHER}, or with {FLAT_LAUNCHER} alone; or an executable",
        command=COMMAND,
    )


def _read_file(source: str, file: IO[bytes]) -> tuple[Bundle, str]:
    head = file.read(512)
    file.seek(0)
    at, magic = _TAR_MAGIC
    if head[:2] == b"\x1f\x8b" or head[at : at + len(magic)] == magic:
        contents = read_tarball(file)
        return _bundle(source, contents.members), contents.sha256
    if not head.startswith((b"\x7fELF", b"#!")):
        reason = (
            "is empty" if not head else "is neither a tarball (.tgz or .tar), nor an ELF file, nor a script with #!"
        )
        raise _refuse(source, reason)
    data = file.read(LAUNCHER_LIMIT + 1)
    if len(data) > LAUNCHER_LIMIT:
        raise _refuse(source, f"is larger than {size_text(LAUNCHER_LIMIT)}")
    bundle = Bundle(source, data, None, {}, None)
    return bundle, bundle.sha256


def _read_directory(source: str) -> Bundle:
    members: dict[str, bytes] = {}
    for name, limit in LIMITS.items():
        path = os.path.join(source, name)
        try:
            members[name] = read_regular(path, limit)
        except ReadError as error:
            if error.fault != "absent":
                raise _refuse(path, str(error)) from None
    return _bundle(source, members)


def _bundle(source: str, members: Mapping[str, bytes]) -> Bundle:
    found = [name for name in (LAUNCHER, FLAT_LAUNCHER) if name in members]
    if len(found) > 1:
        raise _refuse(source, f"has {LAUNCHER} and {FLAT_LAUNCHER}: which of them is meant?")
    if found != [FLAT_LAUNCHER]:  # a lifecycle's release, which says itself what its launcher supports
        missing = [name for name in (TOML, LAUNCHER) if name not in members]
        if missing:
            raise _refuse(source, f"has no {' and no '.join(missing)}")
    (launcher,) = found
    sboms = {name: members[member] for member, name in sboms_of(launcher).items() if member in members}
    for member, name in sboms_of(launcher).items():
        if name in sboms and not _is_document(sboms[name]):
            raise Unable(
                f"{source}: {member} is not an SBOM: it is not a JSON object",
                need="SBOMs in JSON, as CycloneDX, SPDX or syft write them; or none",
                do="take the file out, or ask whoever released it",
                command=COMMAND,
            )
    wanted, other = (
        statements_of(name) for name in (launcher, LAUNCHER if launcher == FLAT_LAUNCHER else FLAT_LAUNCHER)
    )
    if other in members:
        raise _refuse(source, f"has {other}, which belongs beside the launcher: as {wanted}")
    return Bundle(source, members[launcher], members.get(TOML), sboms, launcher, members.get(wanted))


def _is_document(data: bytes) -> bool:
    try:
        return isinstance(json.loads(data), dict)
    except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError
        return False


def _check_launcher(bundle: Bundle, architecture: str) -> None:
    binary = inspect(bundle.launcher)
    name = _named(bundle)
    if isinstance(binary, str):
        raise _refuse(name, binary)
    if binary.kind == "elf" and binary.machine != architecture:
        raise WrongArchitecture(bundle, binary.machine, architecture)
    if len(bundle.launcher) < binary.size:
        raise _refuse(name, f"is cut off: an ELF file of {len(bundle.launcher)} bytes that needs {binary.size}")
    if binary.kind == "script" and os.path.basename(binary.interpreter) == "metalauncher":
        raise _refuse(name, "is the shim: it would start metalauncher again")
    if binary.kind == "script" and b"\n" not in bundle.launcher[:HEAD]:
        raise _refuse(name, "is a script without a second line")


def _expected_digest(source: str, given: str | None) -> tuple[str, str] | None:
    """Return the digest that the source has to have and who says so; None if nobody does."""
    if given is not None and (digest := parse_digest(given)):
        return digest, "--sha256"
    file = given if given is not None else f"{source}.sha256"
    try:
        # What lies beside the source is looked at unasked. What is named may be a pipe.
        data = (read_regular if given is None else read_named)(file, _DIGEST_FILE_LIMIT)
    except ReadError as error:
        if given is None and error.fault == "absent":
            return None
        if given is None or error.fault == "large":
            raise _bad_digest(f"{file}: {error}") from None
        raise _bad_digest(f"--sha256 {given!r} is neither 64 hexadecimal digits nor a file that can be read") from error
    try:
        return digest_for(data, source), file
    except NoDigest as error:
        raise _bad_digest(f"{file}: {error}") from None


def _bad_digest(headline: str) -> Unable:
    return Unable(
        headline,
        need="64 hexadecimal digits, or a file with them as sha256sum, shasum, openssl or PowerShell write it",
        command="metalauncher bundle add TARBALL --sha256 HEX",
    )
