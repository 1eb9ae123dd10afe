"""Platforms as image tools write them: `os/architecture[/variant]`. Pure.

Source: containerd's platforms package (platforms.go, database.go): what it takes for the same is the same here.
"""

from __future__ import annotations

import re
from typing import Final

DEFAULT_SYSTEM: Final = "linux"
# Go's names, which configs and indexes have, with those that uname and Debian use for the same.
_ARCHITECTURES = {
    "386": "386",
    "i386": "386",
    "amd64": "amd64",
    "x86_64": "amd64",
    "x86-64": "amd64",
    "arm": "arm",
    "armhf": "arm/v7",
    "armel": "arm/v6",
    "arm64": "arm64",
    "aarch64": "arm64",
    "loong64": "loong64",
    "mips": "mips",
    "mips64": "mips64",
    "mips64le": "mips64le",
    "mipsle": "mipsle",
    "ppc64": "ppc64",
    "ppc64le": "ppc64le",
    "riscv64": "riscv64",
    "s390x": "s390x",
    "wasm": "wasm",
}
_SYSTEMS = {"macos": "darwin"}
# The variant that an architecture has where none is named, and those that are left out for being just that.
_USUAL = {"arm": "v7"}
_LEFT_OUT = {"amd64": ("v1", "1"), "arm64": ("v8", "8", "v8.0", "8.0")}
_PART = re.compile(r"[A-Za-z0-9_.-]+")


def normal(platform: str) -> str:
    """Return a platform as all that mean it are written: `linux/arm64` for `linux/aarch64` and `linux/arm64/v8`.

    Args:
        platform: `os/architecture[/variant]`; "" and anything else comes back as it is, but for its case.
    """
    system, slash, rest = platform.lower().partition("/")
    if not slash:
        return system
    architecture, _, variant = rest.partition("/")
    known = _ARCHITECTURES.get(architecture, architecture)
    architecture, _, implied = known.partition("/")
    variant = implied or variant or _USUAL.get(architecture, "")
    if architecture == "arm" and variant.isdigit():
        variant = f"v{variant}"
    parts = [_SYSTEMS.get(system, system), architecture]
    return "/".join([*parts, variant] if variant and variant not in _LEFT_OUT.get(architecture, ()) else parts)


def parse_platform(text: str) -> str:
    """Return the platform that a person names: `OS/ARCH[/VARIANT]`, or `ARCH[/VARIANT]`, which is Linux.

    Raises:
        ValueError: it names none.
    """
    parts = text.split("/")
    if len(parts) <= 3 and all(_PART.fullmatch(part) for part in parts):
        if parts[0].lower() in _ARCHITECTURES and len(parts) < 3:
            return normal(f"{DEFAULT_SYSTEM}/{text}")
        if len(parts) > 1:
            return normal(text)
    raise ValueError(f"{text!r} is not a platform, OS/ARCH[/VARIANT] such as linux/amd64 or linux/arm64")


def serves(image: str, wanted: str) -> bool:
    """Tell whether an image for one platform is one for another: with a variant if that is asked for, else with any."""
    return normal(image) == normal(wanted) or _any_variant(image, wanted)


def one_machine(image: str, other: str) -> bool:
    """Tell whether two images may be for one machine: a variant does not count, as in a rebase; "" is for any."""
    return not image or not other or normal(image).split("/")[:2] == normal(other).split("/")[:2]


def under(platforms: list[str], wanted: str) -> str | None:
    """Return the run image's platform that an app for one runs on; None if none is.

    The one that `select` finds, else the first for the same machine: a variant does not count, as in a rebase.
    """
    number = select(platforms, wanted) if wanted else None
    if number is not None:
        return platforms[number]
    return next((one for one in platforms if wanted and one_machine(one, wanted)), None)


def _any_variant(image: str, wanted: str) -> bool:
    asked, has = wanted.lower().split("/"), normal(image).split("/")
    return len(asked) == 2 and normal(wanted).split("/")[:2] == has[:2]


def contradict(listed: str, own: str) -> bool:
    """Tell whether an index has an image for another system or architecture than its config names, if it names both."""
    first, second = normal(listed).split("/")[:2], normal(own).split("/")[:2]
    return len(first) == len(second) == 2 and all((*first, *second)) and first != second


def select(platforms: list[str], wanted: str) -> int | None:
    """Return which of several platforms is the one that is wanted; None if none is.

    The first that is just that one goes before those with another variant (image-index.md: the first is preferred).
    """
    exact = [number for number, platform in enumerate(platforms) if platform and normal(platform) == normal(wanted)]
    near = [number for number, platform in enumerate(platforms) if platform and _any_variant(platform, wanted)]
    found = exact or near
    return found[0] if found else None
