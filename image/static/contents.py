"""What the finished executable is made of, read out of it and of the linker's map: the SBOM's and the VEX's facts.

Nothing here is a list of what ought to be in it. A library that this module does not know fails the build, so that what
is said about the executable can't silently become less than the truth.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fetch import CPYTHON_VERSION, MYPYC, TOMLI, cpython_sha256, pins
from linkmap import read_map

if TYPE_CHECKING:
    from toolchain import Toolchain

_MEMBER = re.compile(r"(.+\.a)\((?:.*/)?([^/]+)\.l?o\)")
_LOAD = 1  # PT_LOAD
_NAME_LIMIT = 200


class ContentsError(Exception):
    """What is in the executable can't be told."""


class Linked(NamedTuple):
    """What the linker put into the executable.

    Attributes:
        libraries: for each archive, by its path, the members whose sections have a place.
        objects: single object files.
    """

    libraries: dict[Path, set[str]]
    objects: set[str]


def linked_into(image: Image, text: str) -> Linked:
    """Return what is in the executable, by the linker's map; what only the build needs does not lie in its memory."""
    linked = Linked({}, set())
    for placed in read_map(text):
        if not image.holds(placed.address):
            continue
        member = _MEMBER.fullmatch(placed.file)
        if member:
            linked.libraries.setdefault(Path(member[1]), set()).add(member[2])
        elif placed.file.endswith(".o"):
            linked.objects.add(Path(placed.file).name)
    return linked


class Image:
    """The executable's memory as its file has it."""

    def __init__(self, data: bytes) -> None:
        """Take the file's bytes: an ELF file for x86-64."""
        self.data = data
        table, entry_size, entries = (
            struct.unpack_from("<Q", data, 32)[0], *struct.unpack_from("<HH", data, 54)
        )  # fmt: skip
        self._segments: list[tuple[int, int, int]] = []  # address, offset, size in the file
        self._memory: list[tuple[int, int]] = []  # address, size
        for number in range(entries):
            kind, _, offset, address, _, size, memory = struct.unpack_from(
                "<IIQQQQQ", data, table + number * entry_size
            )
            if kind == _LOAD:
                self._segments.append((address, offset, size))
                self._memory.append((address, memory))

    def holds(self, address: int) -> bool:
        """Tell whether there is memory at this address."""
        return any(start <= address < start + size for start, size in self._memory)

    def offset(self, address: int) -> int | None:
        """Return where in the file the memory at this address is."""
        for start, offset, size in self._segments:
            if start <= address < start + size:
                return offset + address - start
        return None

    def _text(self, address: int) -> str | None:
        """Return the C string at this address if it may be a module's name."""
        offset = self.offset(address)
        if offset is None:
            return None
        found = re.compile(rb"([A-Za-z_][\w.]*)\0").match(self.data, offset, offset + _NAME_LIMIT)
        return found[1].decode() if found else None

    def built_in_modules(self) -> list[str]:
        """Return the names in CPython's table of built-in modules: pairs of a name and a function, the last one empty.

        The table itself and the copy that a started interpreter works with say the same.
        """
        tables = set()
        for _, offset, size in self._segments:
            for place in range(offset, offset + size - 15, 8):
                (name,) = struct.unpack_from("<Q", self.data, place)
                if name and self._text(name) == "_abc":  # the table is sorted
                    tables.add(self._table(place))
        tables = {table for table in tables if {"builtins", "sys"} <= set(table)}
        if len(tables) != 1:
            raise ContentsError(f"{len(tables)} different tables of built-in modules")
        return sorted(tables.pop())

    def _table(self, place: int) -> tuple[str, ...]:
        names: list[str] = []
        while place + 16 <= len(self.data):
            name, function = struct.unpack_from("<QQ", self.data, place)
            text = self._text(name) if name else None
            if text is None:
                return tuple(names) if not name and not function else ()
            names.append(text)
            place += 16
        return ()

    def has_code_of(self, module: str) -> bool:
        """Tell whether code of a Python module is in it: each code object leads to its file's name, a Python string."""
        name = f"<{module}>".encode()
        place = -1
        while (place := self.data.find(name + b"\0", place + 1)) >= 0:
            # struct PyASCIIObject: count, type, length, hash, state; then the text.
            kind, length = struct.unpack_from("<QQ", self.data, place - 32)
            if length == len(name) and self.offset(kind) is not None:
                return True
        return False


def frozen_modules(source: str) -> list[str]:
    """Return the modules in the table that freeze.py wrote."""
    return re.findall(r'\{"([\w.]+)", code_\d+,', source)


def describe(program: Path, work: Path, source: Path, version: str, tools: Toolchain) -> bytes:
    """Return the description of an executable, a JSON document.

    Args:
        program: the executable.
        work: the folder it was linked in, with the linker's map and frozen.c.
        source: CPython's.
        version: the application's.
        tools: what it was compiled and linked with.
    """
    data = program.read_bytes()
    image = Image(data)
    linked = linked_into(image, (work / "map").read_text())
    python = {name for name in frozen_modules((work / "frozen.c").read_text()) if image.has_code_of(name)}
    own = {name for name in python if name.partition(".")[0] in ("metalauncher", "tomli")}
    built_in = image.built_in_modules()
    document = {
        "schema_version": 1,
        "sha256": hashlib.sha256(data).hexdigest(),
        "components": list_components(linked, source, version, tools, built_in),
        "modules": {
            "cpython": sorted({name for name in built_in if not name.startswith("tomli.")} | (python - own)),
            "application": sorted(own | {name for name in built_in if name.startswith("tomli.")}),
        },
    }
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def list_components(
    linked: Linked, source: Path, version: str, tools: Toolchain, built_in: list[str]
) -> list[dict[str, Any]]:
    """Return what is linked into the executable, as its SBOM lists it.

    Raises:
        ContentsError: something is linked that nobody has described.
    """
    members = {path.name: names for path, names in linked.libraries.items()}
    python = members.get("libpython3.13.a", set())
    if not python or "native.o" not in linked.objects:
        raise ContentsError("the linker's map names neither CPython nor the parser")
    components = [
        _component("metalauncher", version, "Apache-2.0"),
        _component(
            "cpython", CPYTHON_VERSION, "PSF-2.0", sha256=cpython_sha256(),
            cpe=f"cpe:2.3:a:python:python:{CPYTHON_VERSION}:*:*:*:*:*:*:*",
        ) | {"objects": sorted(python)},
        _pinned("tomli", "tomli", TOMLI),
        # Its run-time library, lib-rt, which the translated parser is compiled with.
        _pinned("mypyc", "mypy", MYPYC),
    ]  # fmt: skip
    if any(member.startswith("Hacl_") for member in python) != ("_sha2" in built_in):
        raise ContentsError("the linker's map and the table of built-in modules differ about _sha2")
    if "_sha2" in built_in:
        components.append(_hacl(source))
    for library, names in sorted(linked.libraries.items()):
        match library.name:
            case "libpython3.13.a":
                pass
            case "libc.a":
                components.append(_musl(tools, names))
            case "libzigc.a" | "libcompiler_rt.a":
                zig = _component(
                    "zig", tools.version, "MIT", purl=f"pkg:pypi/ziglang@{tools.version}", sha256=tools.sha256
                )
                if zig not in components:
                    components.append(zig)
            case _:
                raise ContentsError(f"{library} is linked in, and contents.py does not know what that is")
    return components


def _component(
    name: str, version: str, licence: str, *, purl: str = "", cpe: str = "", sha256: str = ""
) -> dict[str, Any]:
    return {
        "name": name,
        "version": version,
        "licence": licence,
        "purl": purl or f"pkg:generic/{name}@{version}",
        "cpe": cpe or None,
        "source_sha256": sha256 or None,
    }


def _pinned(name: str, distribution: str, requirements: Path) -> dict[str, Any]:
    """Describe what comes from a pinned wheel, all of the MIT licence."""
    version, (sha256,) = pins(requirements)[distribution]
    return _component(name, version, "MIT", purl=f"pkg:pypi/{distribution}@{version}", sha256=sha256)


def _hacl(source: Path) -> dict[str, Any]:
    """Describe the part of CPython that comes from HACL*, by what CPython's own SBOM says."""
    packages = json.loads((source / "Misc" / "sbom.spdx.json").read_text())["packages"]
    (package,) = [package for package in packages if package["name"] == "hacl-star"]
    (cpe,) = [reference["referenceLocator"] for reference in package["externalRefs"]]
    (sha256,) = [checksum["checksumValue"] for checksum in package["checksums"]]
    if "MIT License" not in (source / "Modules/_hacl/Hacl_Hash_SHA2.c").read_text()[:20]:
        raise ContentsError("HACL* has another licence")
    version = package["versionInfo"]
    purl = f"pkg:github/hacl-star/hacl-star@{version}"
    return _component("hacl-star", version, "MIT", purl=purl, cpe=cpe, sha256=sha256)


def _musl(tools: Toolchain, members: set[str]) -> dict[str, Any]:
    """Describe musl, whose sources are in the toolchain's wheel, and its parts that are linked in."""
    version = tools.musl_version()
    cpe = f"cpe:2.3:a:musl-libc:musl:{version}:*:*:*:*:*:*:*"
    return _component("musl", version, "MIT", cpe=cpe, sha256=tools.sha256) | {"objects": sorted(members)}


def application_version(tree: Path) -> str:
    """Return the version that the application has."""
    found = re.search(r'^__version__ = (".*")$', (tree / "metalauncher/__init__.py").read_text(), re.MULTILINE)
    if found is None:
        raise ContentsError("metalauncher has no version")
    return str(tomllib.loads(f"version = {found[1]}")["version"])
