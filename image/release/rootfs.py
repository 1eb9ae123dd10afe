"""What a run image gets of metalauncher before any launcher: a layer for each architecture, and all in one index."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from metalauncher.places import EXECUTABLE
from metalauncher.tooling.architectures import to_go
from metalauncher.tooling.console import Console
from metalauncher.tooling.image.scratch_root import Scratch, read_base
from metalauncher.tooling.oci.append_layer import AmendedStore, Changes
from metalauncher.tooling.oci.index_store import IndexStore
from metalauncher.tooling.oci.layer_writer import NewLayer, write_layer
from metalauncher.tooling.oci.write import write_oci_archive

if TYPE_CHECKING:
    from metalauncher.tooling.image.executable import Executable

_CREATED = "1970-01-01T00:00:00Z"


def make_layer(executable: Executable, file: Path) -> NewLayer:
    """Write the layer, by the code of `metalauncher image`; a tar.gz to be unpacked over a root, too."""
    with tempfile.TemporaryDirectory(prefix="metalauncher-rootfs-") as folder:
        console = Console({})
        root = Scratch(read_base(None, "", console), folder)
        root.install(executable, (), executable.binary.machine, None, console)
        return write_layer(root.entries(), os.fspath(file), time=0, created_by="make release")


def write_index(layers: Mapping[str, NewLayer], version: str, file: Path) -> str:
    """Write an archive of an OCI layout with one image for each architecture, for `COPY --from`; return its digest.

    Args:
        layers: by architecture, as lifecycle's tarballs name it.
        version: metalauncher's.
        file: where to.
    """
    labels = {
        "org.opencontainers.image.title": "metalauncher",
        "org.opencontainers.image.version": version,
        "org.opencontainers.image.licenses": "Apache-2.0 AND PSF-2.0 AND MIT",
        "org.opencontainers.image.description": f"For COPY --from: {EXECUTABLE} and /usr/lib/cnb",
    }
    images = {}
    for architecture, layer in layers.items():
        platform = f"linux/{to_go(architecture)}"
        images[platform] = AmendedStore(None, layer, Changes(platform, (EXECUTABLE,), labels, _CREATED))
    index = IndexStore(images)
    write_oci_archive(index, os.fspath(file), version, lambda _: None)
    return index.top()[0].digest
