"""An inventory's document in either format, and the documents that belong in an image."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Final

from metalauncher.places import EXECUTABLE
from metalauncher.tooling.sbom.as_openvex import document as openvex
from metalauncher.tooling.sbom.contents import PLACE
from metalauncher.tooling.sbom.inventory import dispatcher
from metalauncher.tooling.sbom.model import EPOCH, Component, Inventory
from metalauncher.tooling.sbom.vex import gather

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from metalauncher.explain.jsontext import Json
    from metalauncher.places import Root

FORMATS: Final = ("cyclonedx", "spdx")
SHIM: Final = "/usr/lib/cnb/shim/launcher"
SHIM_TEXT: Final = f"#!{EXECUTABLE} --launch\n".encode()
SHIM_VERSION: Final = (
    "1"  # of its bytes, not of metalauncher: it stays in an app's image when a rebase brings another one
)
_NAMES = {"cyclonedx": "sbom.cdx.json", "spdx": "sbom.spdx.json"}  # that `exporter -launcher-sbom` looks for


def image_files(root: Root, created: datetime | None = None) -> dict[str, bytes]:
    """Return the documents of an image: path without leading slash, content.

    The shim's SBOMs always, the dispatcher's where there is one, with the VEX of all there is. Bundles have theirs
    beside their launchers.

    Args:
        root: with the executable, its `contents.json` and the bundles in their places.
        created: the time that the documents carry; None: the fixed one.

    Raises:
        Unable: the executable has no description or another one's, or a vendor's statements can't be used.
    """
    files: dict[str, bytes] = {}
    own = dispatcher(root)
    for form in FORMATS:
        files[f"{SHIM.rpartition('/')[0][1:]}/{_NAMES[form]}"] = render(shim(), form, created or EPOCH)
        if own is not None:
            files[f"{PLACE[1:]}/{_NAMES[form]}"] = render(own, form, created or EPOCH)
    stated = gather(root)
    if stated.statements:
        files[f"{PLACE[1:]}/openvex.json"] = pack(openvex(stated, created or stated.reviewed))
    return files


def shim() -> Inventory:
    """Return what the shim is: one line of our own, which starts whatever metalauncher the run image has."""
    component = Component(
        "metalauncher-shim",
        "metalauncher-shim",
        SHIM_VERSION,
        "application",
        ("Apache-2.0",),
        f"pkg:generic/metalauncher-shim@{SHIM_VERSION}",
        hashes=(("SHA-256", hashlib.sha256(SHIM_TEXT).hexdigest()),),
        path=SHIM,
    )
    return Inventory("metalauncher-shim", (component,), (component.ref,))


def render(inventory: Inventory, form: str, created: datetime) -> bytes:
    """Return an inventory's document in one of FORMATS."""
    return pack(document(inventory, form, created))


def document(inventory: Inventory, form: str, created: datetime) -> dict[str, Json]:
    """Return an inventory's document; the format's library, an extra of the package, is needed from here on."""
    if form == "spdx":
        from metalauncher.tooling.sbom.as_spdx import document as spdx

        return spdx(inventory, created)
    from metalauncher.tooling.sbom.as_cyclonedx import document as cyclonedx

    return cyclonedx(inventory, created)


def pack(document: Mapping[str, Json]) -> bytes:
    """Return a document as an image has it: small."""
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode() + b"\n"
