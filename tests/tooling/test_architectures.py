"""One architecture has four names, and each leads to the others."""

from __future__ import annotations

import os

import pytest

from metalauncher.tooling.architectures import ARCHITECTURES, from_elf, from_go, runs, this_architecture, to_go
from metalauncher.tooling.elf import inspect


@pytest.mark.parametrize(
    ("name", "go", "uname", "elf"),
    [
        ("x86-64", "amd64", "x86_64", 62),
        ("arm64", "arm64", "aarch64", 183),
        ("ppc64le", "ppc64le", "ppc64le", 21),
        ("s390x", "s390x", "s390x", 22),
        ("riscv64", "riscv64", "riscv64", 243),
    ],
)
def test_names(name: str, go: str, uname: str, elf: int) -> None:
    """Every name leads to the package's own, and that to Go's."""
    assert name in ARCHITECTURES
    assert (from_go(go), this_architecture(uname), from_elf(elf, big_endian=False)) == (name, name, name)
    assert to_go(name) == go


def test_32_bits() -> None:
    """What a 64-bit machine runs as well is known by ELF's number alone: lifecycle is not released for it."""
    assert (from_elf(3, big_endian=False), from_elf(40, big_endian=False)) == ("386", "arm")
    assert (from_go("386"), to_go("386")) == (None, "386")
    assert "386" not in ARCHITECTURES
    assert runs("x86-64", "386")
    assert runs("arm64", "arm")
    assert runs("s390x", "s390x")
    assert not runs("x86-64", "arm64")
    assert not runs("s390x", "386")


def test_order_of_bytes() -> None:
    """A program of the other order is for another machine: arm64's kernels start none for big-endian arm64."""
    assert from_elf(183, big_endian=True) == "arm64, big-endian"
    assert from_elf(62, big_endian=True) == "x86-64, big-endian"
    assert (from_elf(22, big_endian=True), from_elf(21, big_endian=True)) == ("s390x", "ppc64")
    head = bytearray(64)
    head[:7], head[16:20] = b"\x7fELF\x02\x02\x01", b"\x00\x02\x00\xb7"
    binary = inspect(bytes(head))
    assert not isinstance(binary, str)
    assert not runs("arm64", binary.machine)


def test_unknown() -> None:
    """An unknown architecture keeps its name, or gets one from its number."""
    assert from_elf(21, big_endian=True) == "ppc64"
    assert from_elf(8, big_endian=True) == "machine 8"
    assert from_go("mips") is None
    assert (to_go("mips"), this_architecture("mips")) == ("mips", "mips")
    assert this_architecture() == this_architecture(os.uname().machine)
