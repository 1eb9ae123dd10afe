"""A launcher as the JSON documents of the commands have it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metalauncher.explain.which import api_set_document
from metalauncher.toml import ODDITIES

if TYPE_CHECKING:
    from metalauncher.descriptor import Launcher
    from metalauncher.explain.jsontext import Json


def launcher_name(launcher: Launcher) -> dict[str, Json]:
    """Return which launcher it is, and the file that declares it."""
    return {"id": launcher.id, "version": launcher.version, "descriptor": launcher.descriptor}


def launcher_document(launcher: Launcher) -> dict[str, Json]:
    """Return all that a descriptor decides: equal for two descriptors that mean the same."""
    return {
        "id": launcher.id,
        "version": launcher.version,
        "path": launcher.path,
        "sha256": launcher.sha256,
        "priority": launcher.priority,
        "opt_in_env": launcher.opt_in_env,
        "requires": list(launcher.requires),
        "cannot_read": sorted(set(launcher.cannot_read), key=ODDITIES.index),
        "platform": api_set_document(launcher.platform),
        "buildpack": api_set_document(launcher.buildpack),
    }
