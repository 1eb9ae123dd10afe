"""What the finished executable is made of, read out of it and of the linker's map: the SBOM's and the VEX's facts.

Nothing here is a list of what ought to be in it. A library that this module does not know fails the build, so that what
is said about the executable can't silently become less than the truth.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
import subprocess
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

from fetch import CPYTHON_VERSION, WHEELS, cpython_sha256

# In the map: where a section of an object went, and how large it is.
_PLACED = re.compile(r"0x([0-9a-f]+)\s+0x([0-9a-f]+) (\S+)$", re.MULTILINE)
_MEMBER = re.compile(r"(.+\.a)\((.+)\.l?o\)")
_PLACEMENT = "Linker script and memory map"
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


def read_map(text: str, image: Image) -> Linked:
    """Read a map of GNU ld; what was dropped, and what only the build needs, does not lie in the image's memory."""
    linked = Linked({}, set())
    start = text.find(_PLACEMENT)
    if start < 0:
        raise ContentsError("the linker's map has no placement")
    for address, size, file in _PLACED.findall(text, start):
        if not int(size, 16) or not image.holds(int(address, 16)):
            continue
        member = _MEMBER.fullmatch(file)
        if member:
            linked.libraries.setdefault(Path(member[1]), set()).add(member[2])
        elif file.endswith(".o"):
            linked.objects.add(Path(file).name)
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


def describe(program: Path, work: Path, source: Path, version: str, mypy: Path) -> bytes:
    """Return the description of an executable, a JSON document.

    Args:
        program: the executable.
        work: the folder it was linked in, with the linker's map and frozen.c.
        source: CPython's.
        version: the application's.
        mypy: the requirements with the version of mypyc.
    """
    data = program.read_bytes()
    image = Image(data)
    linked = read_map((work / "map").read_text(), image)
    python = {name for name in frozen_modules((work / "frozen.c").read_text()) if image.has_code_of(name)}
    own = {name for name in python if name.partition(".")[0] in ("metalauncher", "tomli")}
    built_in = image.built_in_modules()
    document = {
        "schema_version": 1,
        "sha256": hashlib.sha256(data).hexdigest(),
        "components": _components(linked, source, version, mypy, built_in),
        "modules": {
            "cpython": sorted({name for name in built_in if not name.startswith("tomli.")} | (python - own)),
            "application": sorted(own | {name for name in built_in if name.startswith("tomli.")}),
        },
    }
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def _components(linked: Linked, source: Path, version: str, mypy: Path, built_in: list[str]) -> list[dict[str, Any]]:
    members = {path.name: names for path, names in linked.libraries.items()}
    python = members.get("libpython3.13.a", set())
    if not python or "native.o" not in linked.objects:
        raise ContentsError("the linker's map names neither CPython nor the parser")
    tomli_version, tomli_sha256 = WHEELS["tomli"]
    mypy_version = re.search(r"^mypy==(\S+)", mypy.read_text(), re.MULTILINE)
    if mypy_version is None:
        raise ContentsError(f"{mypy.name} has no version of mypy")
    components = [
        _component("metalauncher", version, "Apache-2.0"),
        _component(
            "cpython", CPYTHON_VERSION, "PSF-2.0", sha256=cpython_sha256(),
            cpe=f"cpe:2.3:a:python:python:{CPYTHON_VERSION}:*:*:*:*:*:*:*",
        ) | {"objects": sorted(python)},
        _component("tomli", tomli_version, "MIT", purl=f"pkg:pypi/tomli@{tomli_version}", sha256=tomli_sha256),
        # Its run-time library, lib-rt, which the translated parser is compiled with.
        _component("mypyc", mypy_version[1], "MIT", purl=f"pkg:pypi/mypy@{mypy_version[1]}"),
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
                components.append(_musl(library, names))
            case "libgcc.a" | "libgcc_eh.a":
                components.append(_component("libgcc", _gcc_version(), "GPL-3.0-or-later WITH GCC-exception-3.1"))
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


def _musl(library: Path, members: set[str]) -> dict[str, Any]:
    """Describe musl with the version that its library was built as, and its parts that are linked in."""
    built = subprocess.run(["ar", "p", str(library), "version.lo"], check=True, capture_output=True).stdout
    version = re.search(rb"\0(\d+\.\d+\.\d+)\0", built)
    if version is None:
        raise ContentsError(f"{library} does not say which version it is")
    number = version[1].decode()
    cpe = f"cpe:2.3:a:musl-libc:musl:{number}:*:*:*:*:*:*:*"
    return _component("musl", number, "MIT", cpe=cpe) | {"objects": sorted(members)}


def _gcc_version() -> str:
    return _print(["gcc", "-dumpfullversion"]).strip()


def _print(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def application_version(tree: Path) -> str:
    """Return the version that the application has."""
    found = re.search(r'^__version__ = (".*")$', (tree / "metalauncher/__init__.py").read_text(), re.MULTILINE)
    if found is None:
        raise ContentsError("metalauncher has no version")
    return str(tomllib.loads(f"version = {found[1]}")["version"])
