"""Processor architectures and their names: lifecycle's tarballs', Go's, uname's and ELF's. Pure.

Inside the package an architecture has the name of lifecycle's tarballs: `x86-64`, `arm64`. Images have Go's names.
"""

from __future__ import annotations

import os
from typing import Final, NamedTuple

from metalauncher.explain.elf import MACHINES


class Architecture(NamedTuple):
    """One architecture.

    Attributes:
        name: as lifecycle's tarballs have it, or Go's name where there is none.
        go: GOARCH, as image configs have it.
        uname: as uname(2) has it.
        elf: the machine's number in an ELF header (elf.h, EM_*).
        runs: the 32-bit architecture whose programs its kernel runs as well, "" for none.
    """

    name: str
    go: str
    uname: str
    elf: int
    runs: str = ""


_KNOWN: Final = (
    Architecture("x86-64", "amd64", "x86_64", MACHINES["x86_64"][0], "386"),
    Architecture("arm64", "arm64", "aarch64", MACHINES["aarch64"][0], "arm"),
    *[Architecture(name, name, name, MACHINES[name][0]) for name in ("ppc64le", "s390x", "riscv64")],
)
_OLDER: Final = (
    Architecture("386", "386", "i686", MACHINES["x86_64"][1]),
    Architecture("arm", "arm", "armv7l", MACHINES["aarch64"][1]),
)
ARCHITECTURES: Final = tuple([known.name for known in _KNOWN])  # that lifecycle is released for
_BY_ELF = {known.elf: known.name for known in (*_KNOWN, *_OLDER)}
_LITTLE = {known.elf for known in (*_KNOWN, *_OLDER) if known.name != "s390x"}  # whose order of bytes is little
_BY_GO = {known.go: known.name for known in _KNOWN}
_BY_UNAME = {known.uname: known.name for known in _KNOWN}
_GO = {known.name: known.go for known in (*_KNOWN, *_OLDER)}
_UNAME = {known.name: known.uname for known in (*_KNOWN, *_OLDER)}
_RUNS = {known.name: (known.name, known.runs) for known in _KNOWN if known.runs}


def this_architecture(machine: str = os.uname().machine) -> str:
    """Return the architecture that uname(2) calls by this name, this machine's by default."""
    return _BY_UNAME.get(machine, machine)


def from_elf(machine: int, *, big_endian: bool) -> str:
    """Return the architecture that an ELF file's header names, which is none of ours if its order is another one."""
    if machine == 21 and big_endian:  # EM_PPC64 stands for both
        return "ppc64"
    name = _BY_ELF.get(machine, f"machine {machine}")
    return f"{name}, big-endian" if big_endian and machine in _LITTLE else name


def from_go(architecture: str) -> str | None:
    """Return the architecture of a GOARCH; None for one that lifecycle is not released for."""
    return _BY_GO.get(architecture)


def to_go(name: str) -> str:
    """Return the GOARCH of an architecture; an unknown one keeps its name."""
    return _GO.get(name, name)


def named(text: str) -> str:
    """Return the architecture that any of its names means; what is none stays as it is."""
    return next((known.name for known in _KNOWN if text in (known.name, known.go, known.uname)), text)


def to_uname(name: str) -> str:
    """Return what uname(2) calls an architecture; an unknown one keeps its name."""
    return _UNAME.get(name, name)


def runs(host: str, program: str) -> bool:
    """Tell whether a machine of one architecture runs programs of another."""
    return program in _RUNS.get(host, (host,))
