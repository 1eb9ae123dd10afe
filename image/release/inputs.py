"""What a release is made from, each by its hash: what a signer's CI puts into its statement of provenance."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from typing import Any

from fetch import CPYTHON_VERSION, MYPYC, TOMLI, cpython_sha256, pins
from sources import Sources
from toolchain import REQUIREMENTS

SCHEMA_VERSION = 1
# What is installed where the release is made; each lock holds the hash of all that pip may take.
_LOCKS = ("requirements-dev.txt",)
_PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[a-z,-]+\])?==([^\s;]+)", re.MULTILINE)


def inputs_json(sources: Sources, architectures: Iterable[str], *, whole: bool) -> bytes:
    """Return the document.

    Args:
        sources: the tracked files.
        architectures: that there is an executable for, as uname(2) names them.
        whole: whether these are all that a release has.
    """
    document = {
        "schema_version": SCHEMA_VERSION,
        "name": "metalauncher",
        "version": sources.version,
        "whole": whole,
        "architectures": sorted(architectures),
        "source": {
            "commit": sources.commit,
            "changed": list(sources.changed),
            "files": len(sources.files),
            "sha256": sources.sha256,
        },
        "inputs": [
            {
                "name": "cpython",
                "version": CPYTHON_VERSION,
                "file": f"Python-{CPYTHON_VERSION}.tar.xz",
                "sha256": [cpython_sha256()],
            },
            *[_pinned(name, lock) for name, lock in (("ziglang", REQUIREMENTS), ("tomli", TOMLI))],
            *[_pinned(name, MYPYC) for name in sorted(pins(MYPYC))],
        ],
        "locks": [_lock(sources, path) for path in _LOCKS],
    }
    return json.dumps(document, indent=1).encode() + b"\n"


def _pinned(name: str, lock: Any) -> dict[str, Any]:
    pin = pins(lock)[name]
    return {"name": name, "version": pin.version, "purl": f"pkg:pypi/{name}@{pin.version}", "sha256": list(pin.sha256)}


def _lock(sources: Sources, path: str) -> dict[str, Any]:
    data = sources.files[path]
    return {
        "file": path,
        "sha256": hashlib.sha256(data).hexdigest(),
        "distributions": dict(sorted(_PIN.findall(data.decode()))),
    }
