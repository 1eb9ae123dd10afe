"""Which executable and which bundles go into the image of which platform. Reads, and writes nothing.

One image has one registry, of launchers that its machine runs: of several platforms each gets its own. What a bundle is
for is told by its launcher's ELF header, not by its file's name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from metalauncher.tooling.architectures import from_go
from metalauncher.tooling.console import Unable
from metalauncher.tooling.launchers.bundle_source import machine_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from metalauncher.tooling.image.executable import Executable

_COMMAND: Final = "metalauncher image --help"


class Part(NamedTuple):
    """What one image is made of, beside its base.

    Attributes:
        platform: that was asked for, `linux/ARCHITECTURE[/VARIANT]`; "" for whatever the executable is for.
        executable: metalauncher's.
        bundles: of launchers for it, as they were named.
    """

    platform: str
    executable: Executable
    bundles: tuple[str, ...]


def parts(platforms: Sequence[str], executables: Sequence[Executable], bundles: Sequence[str]) -> tuple[Part, ...]:
    """Return the images to be built, one for each platform; without one, the one that the executable is for.

    Args:
        platforms: in Go's names; one that is there twice counts once.
        executables: at least one. What is a script serves each platform that has none of its own.
        bundles: tarballs, directories, executables.

    Raises:
        Unable: a platform has no executable, or several; or something is for none of the platforms.
    """
    if not platforms:
        if len(executables) > 1:
            raise Unable(
                f"there are {len(executables)} executables, and no platform",
                need="--platform for each of them, or one --executable",
                have=[_described(executable) for executable in executables],
                command=_COMMAND,
            )
        return (Part("", executables[0], tuple(bundles)),)
    wanted = tuple(dict.fromkeys(platforms))
    chosen = {platform: _executable(platform, executables) for platform in wanted}
    for executable in executables:
        if executable not in chosen.values():
            raise Unable(
                f"--executable {executable.file}: is for no platform that is asked for",
                need=f"one for {' or '.join(wanted)}",
                have=[_described(executable)],
                do=f"take it out, or add --platform {executable.platform or 'linux/ARCHITECTURE'}",
                command=_COMMAND,
            )
    machines = {bundle: _machine(bundle) for bundle in bundles}
    known = {architecture_of(platform): platform for platform in wanted}
    for bundle, machine in machines.items():
        if machine and machine not in known:
            raise for_another(bundle, machine, tuple(known))
    return tuple(
        [
            Part(
                platform,
                chosen[platform],
                tuple([bundle for bundle in bundles if machines[bundle] in ("", architecture_of(platform))]),
            )
            for platform in wanted
        ]
    )


def for_another(bundle: str, machine: str, architectures: Sequence[str]) -> Unable:
    """Return what to say of a bundle for an architecture that is not built for.

    Args:
        bundle: as it was named.
        machine: its launcher's, as lifecycle's tarballs name it.
        architectures: that are built for.
    """
    tarballs = " or ".join([f"+linux.{name}.tgz" for name in architectures])
    return Unable(
        f"--bundle {bundle}: is for another architecture",
        need=f"a launcher for {' or '.join(architectures)}: a lifecycle release has it in its …{tarballs}",
        have=[f"one for {machine}"],
        do="take the tarball of that architecture; or add --platform, and what the other one needs besides",
        command=_COMMAND,
    )


def architecture_of(platform: str) -> str:
    """Return the architecture of a platform, as lifecycle's tarballs name it."""
    architecture = platform.split("/")[1]
    return from_go(architecture) or architecture


def _executable(platform: str, executables: Sequence[Executable]) -> Executable:
    if not platform.startswith("linux/"):
        raise Unable(f"--platform {platform}: is not Linux", need="linux/ARCHITECTURE", command=_COMMAND)
    found = [one for one in executables if one.binary.machine == architecture_of(platform)]
    found = found or [one for one in executables if not one.binary.machine]
    if len(found) == 1:
        return found[0]
    raise Unable(
        f"--platform {platform}: there {'are several executables' if found else 'is no executable'} for it",
        need=f"one --executable of metalauncher for {platform}, with the contents.json beside it",
        have=[_described(executable) for executable in found or executables],
        command=_COMMAND,
    )


def _machine(bundle: str) -> str:
    try:
        return machine_of(bundle)
    except Unable as unable:
        raise Unable(f"--bundle {unable.headline}", need=unable.need, have=unable.have, command=_COMMAND) from None


def _described(executable: Executable) -> str:
    return f"{executable.file}, for {executable.platform or 'any machine that has Python'}"
