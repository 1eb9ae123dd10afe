"""What `metalauncher bundle` did, as text and as JSON."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, NamedTuple

from metalauncher import __version__
from metalauncher.explain.messages import span
from metalauncher.tooling.console import BOLD, Console, decode
from metalauncher.tooling.elf import HEAD, inspect
from metalauncher.tooling.installed import Installed, digest_of
from metalauncher.tooling.launcher_json import launcher_document
from metalauncher.tooling.launchers.tarball import SBOMS
from metalauncher.tooling.reading import ReadError, open_regular

if TYPE_CHECKING:
    from metalauncher.explain.jsontext import Json
    from metalauncher.places import Root

SCHEMA_VERSION = 1  # schemas/bundle.schema.json


class Outcome(NamedTuple):
    """What a command did.

    Attributes:
        action: `added`, `replaced`, `completed` (some of it was missing), `unchanged`, `removed` or `shown`.
        bundles: those it did it to.
        cleaned: leftover temporary files that were removed.
        warnings: what a vendor should know of.
    """

    action: str
    bundles: tuple[Installed, ...]
    cleaned: tuple[bytes, ...] = ()
    warnings: tuple[str, ...] = ()


def lines(outcome: Outcome, root: Root, console: Console) -> list[str]:
    """Return what was done, for people."""
    text: list[str] = []
    for item in outcome.bundles:
        launcher = item.launcher
        done = "already there, nothing to do:" if outcome.action == "unchanged" else outcome.action
        text.append(" ".join([*([done] if outcome.action != "shown" else []), console.paint(repr(launcher), BOLD)]))
        text += [f"  {label:<11}{value}" for label, value in _facts(item, root)]
    text += [f"cleaned up {decode(file)}" for file in outcome.cleaned]
    return text


def _facts(item: Installed, root: Root) -> list[tuple[str, str]]:
    launcher = item.launcher
    facts = [
        ("descriptor", decode(item.file)),
        ("launcher", decode(root.locate(launcher.path.encode()))),
        ("sha256", launcher.sha256 or "not declared"),
        ("platform", f"API {span(launcher.platform)}"),
        ("buildpack", f"API {span(launcher.buildpack)}"),
    ]
    if launcher.platform.default is not None:
        facts.append(("default", f"serves apps that recorded no API, as Platform API {launcher.platform.default}"))
    if launcher.priority:
        facts.append(("priority", str(launcher.priority)))
    if launcher.opt_in_env:
        facts.append(("opt-in", f"only with {launcher.opt_in_env}=true"))
    if launcher.requires:
        facts.append(("requires", f"{', '.join(launcher.requires)} in metadata.toml"))
    if launcher.cannot_read:
        facts.append(("can't read", f"{', '.join(launcher.cannot_read)} in metadata.toml"))
    return facts


def document(outcome: Outcome, root: Root) -> dict[str, Json]:
    """Return the same as the document that schemas/bundle.schema.json describes."""
    return {
        "schema_version": SCHEMA_VERSION,
        "metalauncher": __version__,
        "action": outcome.action,
        "bundles": [_bundle_document(item, root) for item in outcome.bundles],
        "cleaned": [decode(file) for file in outcome.cleaned],
        "warnings": list(outcome.warnings),
    }


def _bundle_document(item: Installed, root: Root) -> dict[str, Json]:
    path = root.locate(item.launcher.path.encode())
    folder = os.path.dirname(path)
    head = b""
    with contextlib.suppress(ReadError), open_regular(path) as file:
        head = file.read(HEAD)
    binary = inspect(head)
    return {
        **launcher_document(item.launcher),
        "descriptor": decode(item.file),
        "into": item.into,
        "executable": {
            "path": decode(path),
            "present": os.path.exists(path),
            "sha256": digest_of(path),
            "kind": None if isinstance(binary, str) else binary.kind,
            "architecture": None if isinstance(binary, str) else binary.machine or None,
        },
        "sboms": [
            decode(folder + b"/" + name.encode()) for name in SBOMS if os.path.isfile(folder + b"/" + name.encode())
        ],
    }
