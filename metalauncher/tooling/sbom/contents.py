"""What the executable is made of: the `contents.json` that its build wrote beside it, held against the file."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from metalauncher.places import EXECUTABLE
from metalauncher.tooling.console import Unable, decode
from metalauncher.tooling.executables import packaged_for
from metalauncher.tooling.installed import digest_of
from metalauncher.tooling.reading import ReadError, read_regular
from metalauncher.tooling.sbom.model import is_cpe, is_hash, is_purl

if TYPE_CHECKING:
    from argparse import Namespace

    from metalauncher.places import Root

PLACE = "/usr/lib/cnb/metalauncher"
CONTENTS = f"{PLACE}/contents.json"
SUFFIX = ".contents.json"  # of the file beside the executable that was built
_LIMIT = 256 << 10  # bytes; the static executable's has 9 KB


class Part(NamedTuple):
    """One component of the executable.

    Attributes:
        name: as the build calls it.
        version: of the source.
        licence: an SPDX expression.
        purl: package URL.
        cpe: CPE 2.3, "" for none.
        source_sha256: of the archive it was built from, "" where there is none.
        objects: its object files that are linked in; empty where the build can't tell.
        modules: its Python modules, built-in or as code, that are in.
    """

    name: str
    version: str
    licence: str
    purl: str
    cpe: str
    source_sha256: str
    objects: frozenset[str]
    modules: frozenset[str]


class Contents(NamedTuple):
    """The executable and its parts, the application first."""

    sha256: str
    parts: tuple[Part, ...]

    def part(self, name: str) -> Part | None:
        """Return the part of that name."""
        return next((part for part in self.parts if part.name == name), None)


class WrongContents(Exception):
    """The text says what is wrong."""


def read_contents(root: Root) -> Contents | None:
    """Return what the executable under `root` is made of; None if there is no executable.

    Raises:
        Unable: the description is missing, is none, or describes another executable.
    """
    executable = root.locate(EXECUTABLE.encode())
    if not os.path.lexists(executable):
        return None
    return _read(executable, root.locate(CONTENTS.encode()))


def packaged_contents(architecture: str | None) -> Contents:
    """Return what the executable that came with the package is made of.

    Args:
        architecture: which one, as lifecycle's tarballs name it; None for this machine's.

    Raises:
        Unable: there is none, or its description is missing, is none, or describes another executable.
    """
    executable = os.fsencode(packaged_for(architecture, "--root DIR, of one that has it"))
    return _read(executable, executable + os.fsencode(SUFFIX))


def refuse_arch(options: Namespace) -> None:
    """Refuse `--arch`, where a root or an image is looked at.

    Raises:
        Unable: it was given: two executables are named.
    """
    if options.arch:
        raise Unable(
            "--arch: is of the executable that came with the package, and a root or an image is named as well",
            need="one of the two",
            command=f"metalauncher {options.command} --help",
        )


def speaks_of_package(options: Namespace, root: Root, *, empty: bool) -> bool:
    """Tell whether a document is to be about the executable that came with the package.

    Args:
        options: with `arch`, of that very executable, and where else one could be looked for.
        root: that is looked at.
        empty: nothing was found there. Who has named no root asks about what they have.

    Raises:
        Unable: two executables are named.
    """
    elsewhere = bool(root.prefix)
    if elsewhere:
        refuse_arch(options)
    return bool(options.arch) or (empty and not elsewhere)


def _read(executable: bytes, file: bytes) -> Contents:
    digest = digest_of(executable)
    if digest is None:
        raise Unable(f"{decode(executable)}: is not a file that can be read", command=f"ls -l {decode(executable)}")
    try:
        contents = parse_contents(read_regular(file, _LIMIT))
    except (ReadError, WrongContents) as error:
        if isinstance(error, ReadError) and error.fault == "absent":
            raise _unable(file, "is missing: nothing says what the executable is made of") from None
        raise _unable(file, str(error)) from None
    if contents.sha256 != digest:
        raise Unable(
            f"{decode(file)}: describes another executable than {decode(executable)}",
            need=f"the description of sha256 {digest}",
            have=[f"that of sha256 {contents.sha256}"],
            do="install both files from the same build",
            command=f"sha256sum {decode(executable)}",
        )
    return contents


def _unable(file: bytes, reason: str) -> Unable:
    return Unable(
        f"{decode(file)}: {reason}",
        need=f"the file that the build wrote beside the executable, its name with {SUFFIX}",
        do="copy it there",
        command=f"install -D -m 644 dist/metalauncher-linux-x86_64{SUFFIX} {decode(file)}",
    )


def parse_contents(data: bytes) -> Contents:
    """Return what a `contents.json` says.

    Raises:
        WrongContents: it is none.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise WrongContents("is not JSON") from None
    if not isinstance(document, dict) or document.get("schema_version") != 1:
        raise WrongContents("is not a description of version 1, the one that this metalauncher knows")
    sha256 = _string(document, "sha256")
    if not is_hash("SHA-256", sha256):
        raise WrongContents("sha256: is not 64 hexadecimal digits in lower case")
    modules = document.get("modules")
    components = document.get("components")
    if not isinstance(modules, dict) or not isinstance(components, list) or not components:
        raise WrongContents("has no modules, or no components")
    parts = tuple([_part(item, modules) for item in components])
    if len({part.name for part in parts}) != len(parts):
        raise WrongContents("names a component twice")
    if parts[0].name != "metalauncher":
        raise WrongContents("does not begin with metalauncher")
    return Contents(sha256, parts)


def _part(item: Any, modules: dict[str, Any]) -> Part:
    if not isinstance(item, dict):
        raise WrongContents("components: one is not an object")
    name = _string(item, "name")
    purl, cpe = _string(item, "purl"), item.get("cpe") or ""
    if not is_purl(purl):
        raise WrongContents(f"{name}: purl: {purl!r} is not a package URL")
    if not isinstance(cpe, str) or (cpe and not is_cpe(cpe)):
        raise WrongContents(f"{name}: cpe: {cpe!r} is not a CPE 2.3 name")
    source = item.get("source_sha256") or ""
    if source and not (isinstance(source, str) and is_hash("SHA-256", source)):
        raise WrongContents(f"{name}: source_sha256: is not 64 hexadecimal digits in lower case")
    return Part(
        name, _string(item, "version"), _string(item, "licence"), purl, cpe, source,
        _names(item, "objects"), _names(modules, "application" if name == "metalauncher" else name),
    )  # fmt: skip


def _string(table: dict[str, Any], key: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value:
        raise WrongContents(f"{key}: is missing, or is not a string")
    return value


def _names(table: dict[str, Any], key: str) -> frozenset[str]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise WrongContents(f"{key}: is not an array of names")
    return frozenset(value)
