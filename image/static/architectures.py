"""What the build knows of each architecture; what C code has to know is in arch/."""

from __future__ import annotations

import os
from typing import NamedTuple


class Architecture(NamedTuple):
    """An architecture that there is a static executable for.

    Attributes:
        name: as `uname -m` has it, and the executable's own name.
        target: what the compiler calls it.
        headers: of the toolchain's wheel, the folders with the headers of musl and Linux.
        options: the compiler's, beyond those of all architectures.
    """

    name: str
    target: str
    headers: tuple[str, ...]
    options: tuple[str, ...]

    @property
    def emulator(self) -> str | None:
        """The command that runs its programs here; None where the processor does."""
        return None if self.name == HOST.name else f"qemu-{self.name}-static"


_ALL = (
    Architecture(
        "x86_64",
        "x86_64-linux-musl",
        ("x86_64-linux-musl", "generic-musl", "x86-linux-any", "any-linux-any"),
        ("-fcf-protection=none",),
    ),
    Architecture(
        "aarch64",
        "aarch64-linux-musl",
        ("aarch64-linux-musl", "generic-musl", "aarch64-linux-any", "any-linux-any"),
        # Outlined, atomic operations ask a variable which instructions the CPU has: the building machine's would be in
        # the snapshot.
        ("-mno-outline-atomics",),
    ),
)
ARCHITECTURES = {architecture.name: architecture for architecture in _ALL}
# The machine that builds.
HOST = ARCHITECTURES[os.uname().machine]
# Of the emulators: command -> Debian package.
EMULATORS = {"qemu-aarch64-static": "qemu-user-static", "qemu-x86_64-static": "qemu-user-static"}
