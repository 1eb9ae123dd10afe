"""What there is under a root: the dispatcher and every installed bundle, with the digests of the files as they are."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from metalauncher.places import EXECUTABLE
from metalauncher.tooling.console import decode
from metalauncher.tooling.installed import digest_of, installed
from metalauncher.tooling.reading import ReadError, read_regular
from metalauncher.tooling.sbom.bundled import MERGE_LIMIT, Unusable, merge, parse
from metalauncher.tooling.sbom.contents import read_contents
from metalauncher.tooling.sbom.model import Component, Inventory, bundle_purl
from metalauncher.tooling.sbom.statements import STATEMENTS

if TYPE_CHECKING:
    from metalauncher.descriptor import Launcher
    from metalauncher.places import Root
    from metalauncher.tooling.sbom.contents import Contents

# In which order a bundle's own SBOMs are tried for each format: what is converted least comes first.
ORDER = {"cyclonedx": ("cdx", "spdx", "syft"), "spdx": ("spdx", "cdx", "syft")}
LAUNCHERS_NAME = "run-image-launchers"


def dispatcher(root: Root) -> Inventory | None:
    """Return the dispatcher with its parts; None if there is no executable under `root`."""
    contents = read_contents(root)
    if contents is None:
        return None
    return of_executable(contents)


def of_executable(contents: Contents) -> Inventory:
    """Return the dispatcher with its parts, of an executable that is in no image."""
    return Inventory("metalauncher", _dispatcher(contents), ("metalauncher",))


def everything(root: Root, form: str) -> Inventory:
    """Return the dispatcher and every bundle, with what each bundle's own SBOM says it is made of."""
    warnings: list[str] = []
    contents = read_contents(root)
    components = list(_dispatcher(contents)) if contents else []
    tops = ["metalauncher"] if contents else []
    if contents is None:
        warnings.append(f"there is no {decode(root.locate(EXECUTABLE.encode()))}: the document is of the bundles alone")
    for launcher in bundles(root):
        path = root.locate(launcher.path.encode())
        digest = digest_of(path)
        if digest is None:
            warnings.append(f"{launcher!r} is left out: {decode(path)} is not a file that can be read")
            continue
        top = bundle_component(launcher, digest, taken={component.ref for component in components})
        tops.append(top.ref)
        parts, said = _own_parts(os.path.dirname(path), form, top)
        warnings += said
        components += parts
    return Inventory(LAUNCHERS_NAME, tuple(sorted(components)), tuple(sorted(tops)), tuple(warnings))


def is_beside_launcher(name: str) -> bool:
    """Tell whether a file of this name, beside a launcher, speaks of the launcher."""
    return name == STATEMENTS or any([name == _sbom_name(kind) for kind in ORDER["spdx"]])


def _sbom_name(kind: str) -> str:
    return f"sbom.{kind}.json"


def bundles(root: Root) -> list[Launcher]:
    """Return the launchers of all descriptors, one for each executable, sorted."""
    found = {(item.launcher.path, repr(item.launcher)): item.launcher for item in installed(root)}
    return sorted(found.values(), key=lambda launcher: (launcher.id, launcher.version_key, launcher.path))


def bundle_component(launcher: Launcher, digest: str, taken: set[str]) -> Component:
    """Return a bundle's component; `taken` are refs that others have."""
    ref = next(
        candidate
        for number in range(1, len(taken) + 2)
        if (candidate := repr(launcher) if number == 1 else f"{launcher!r}:{number}") not in taken
    )
    return Component(
        ref,
        launcher.id,
        launcher.version,
        "application",
        purl=bundle_purl(launcher.id, launcher.version),
        hashes=(("SHA-256", digest),),
        path=launcher.path,
    )


def _dispatcher(contents: Contents) -> tuple[Component, ...]:
    own, *others = contents.parts
    parts = [
        Component(
            f"metalauncher/{part.name}",
            part.name,
            part.version,
            licences=(part.licence,),
            purl=part.purl,
            cpe=part.cpe,
            notes=tuple(
                [
                    (name, value)
                    for name, value in (
                        ("source-sha256", part.source_sha256),
                        ("modules", " ".join(sorted(part.modules))),
                    )
                    if value
                ]
            ),
        )
        for part in others
    ]
    top = Component(
        "metalauncher",
        own.name,
        own.version,
        "application",
        (own.licence,),
        own.purl,
        hashes=(("SHA-256", contents.sha256),),
        path=EXECUTABLE,
        depends=tuple(sorted([part.ref for part in parts])),
    )
    return (top, *parts)


def _own_parts(folder: bytes, form: str, top: Component) -> tuple[list[Component], list[str]]:
    """Return the bundle with what its SBOM adds to it, and what is to be said about SBOMs that could not be used."""
    warnings: list[str] = []
    for kind in ORDER[form]:
        file = folder + b"/" + _sbom_name(kind).encode()
        try:
            return merge(top, parse(read_regular(file, MERGE_LIMIT, follow=False))), warnings
        except Unusable as error:
            warnings.append(f"{decode(file)}: {error}: what it says is not in the document")
        except ReadError as error:
            if error.fault != "absent":
                warnings.append(f"{decode(file)}: {error}: what it says is not in the document")
    return [top], warnings
