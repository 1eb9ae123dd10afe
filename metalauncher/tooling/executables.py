"""The static executables that come with the package: those of a release's wheel, or that a checkout has built."""

from __future__ import annotations

import os
from typing import Final

import metalauncher
from metalauncher.tooling.architectures import this_architecture, to_uname
from metalauncher.tooling.console import Unable

PREFIX: Final = "metalauncher-linux-"
_HERE = os.path.dirname(os.path.abspath(metalauncher.__file__))
_ABOVE = os.path.dirname(_HERE)
# The wheel has them as data of the package; `make static` leaves them in dist/ of the checkout that this lies in.
_WHEEL = os.path.join(_HERE, "executables")
_CHECKOUT = (os.path.join(_ABOVE, "image", "static", "build"), os.path.join(_ABOVE, "dist"))
RELEASED: Final = ("x86-64", "arm64")  # the architectures of a release


def packaged() -> dict[str, str]:
    """Return the file of each executable that there is, by architecture as lifecycle's tarballs name it."""
    recipe, built = _CHECKOUT
    folders = [_WHEEL, built] if os.path.isfile(recipe) else [_WHEEL]
    files = {name: [os.path.join(folder, PREFIX + to_uname(name)) for folder in folders] for name in RELEASED}
    found = {name: next(filter(os.path.isfile, places), "") for name, places in files.items()}
    return {name: file for name, file in found.items() if file}


def packaged_for(architecture: str | None, option: str) -> str:
    """Return the file of the executable for an architecture, this machine's for None.

    Args:
        architecture: as lifecycle's tarballs name it.
        option: what to write to name another executable, or another architecture.

    Raises:
        Unable: there is none.
    """
    wanted = architecture or this_architecture()
    there = packaged()
    if wanted in there:
        return there[wanted]
    checkout = os.path.isfile(_CHECKOUT[0])
    raise Unable(
        f"there is no executable of metalauncher for {wanted}",
        need=f"one that came with the package, or {option}",
        have=[f"one for {name}: {file}" for name, file in sorted(there.items())]
        or ["none: this package was made from source; the wheel of a release has them"],
        do="build it" if checkout else "take the wheel of a release",
        command=f"make static ARCH={to_uname(wanted)}" if checkout else "pip install --only-binary=:all: metalauncher",
    )
