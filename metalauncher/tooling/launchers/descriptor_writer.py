"""What a bundle's descriptor is to say, from a release's `lifecycle.toml` and the command line. Pure."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, NamedTuple

import tomli

from metalauncher.descriptor import InvalidValue, Launcher, parse_descriptor
from metalauncher.explain.readers import LIFECYCLE, cannot_read
from metalauncher.tooling.console import Unable
from metalauncher.tooling.launchers.bundle_source import COMMAND
from metalauncher.tooling.launchers.tarball import TOML
from metalauncher.tooling.pep440 import parse_version

if TYPE_CHECKING:
    from collections.abc import Mapping

    from metalauncher.tooling.launchers.bundle_source import Bundle

# Launchers below this serve apps that recorded no API at all; later ones fail on the first buildpack's layers.
_SERVES_UNRECORDED_BELOW = parse_version("0.10.dev0")
_KINDS = ("platform", "buildpack")
_LIFECYCLE_KEYS = ("supported", "deprecated", "default")


class Wishes(NamedTuple):
    """What the command line says about a launcher; None where it says nothing."""

    identifier: str | None = None
    version: str | None = None
    priority: int | None = None
    opt_in_env: str | None = None
    requires: tuple[str, ...] | None = None
    cannot_read: tuple[str, ...] | None = None
    platform_apis: str | None = None
    buildpack_apis: str | None = None


def declare(bundle: Bundle, wishes: Wishes, path: str | None = None) -> tuple[Launcher, str]:
    """Return the launcher as the registry will read it, and the descriptor's text.

    Args:
        bundle: what is to be installed.
        wishes: they go before what `lifecycle.toml` says.
        path: the executable's, where it is not the default place.

    Raises:
        Unable: something is missing, or not of the descriptor's format.
    """
    document = _read(bundle)
    if bundle.lifecycle_toml is None:
        _refuse_silence(bundle, wishes)
    launcher = _launcher_table(document, bundle, wishes) | ({"path": path} if path else {})
    apis = _apis(document, wishes)
    lifecycle = document.get("lifecycle")
    version = lifecycle.get("version") if isinstance(lifecycle, dict) else None
    if launcher["id"] == LIFECYCLE and _is_below(launcher.get("version", version)):
        for kind in _KINDS:
            _add_default(apis.get(kind))
    if "cannot-read" not in launcher:
        known = cannot_read(launcher["id"], version if isinstance(version, str) else launcher.get("version"))
        launcher |= {"cannot-read": list(known)} if known else {}
    descriptor: dict[str, Any] = {"schema-version": "1", "launcher": launcher}
    if version is not None:
        descriptor["lifecycle"] = {"version": version}
    descriptor["apis"] = apis
    try:
        found = parse_descriptor(descriptor, "")
    except InvalidValue as error:
        raise _unable(bundle, f"{error.key}: {error.reason}") from None
    if not isinstance(found, Launcher):
        raise _unable(bundle, "launcher.masked: a mask is not a bundle")
    return found, render(descriptor)


def _read(bundle: Bundle) -> dict[str, Any]:
    if bundle.lifecycle_toml is None:
        return {}
    try:
        return tomli.loads(bundle.lifecycle_toml.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise _unable(bundle, f"is not TOML: {error}") from None


def _launcher_table(document: Mapping[str, Any], bundle: Bundle, wishes: Wishes) -> dict[str, Any]:
    given = document.get("launcher", {})
    if not isinstance(given, dict):
        raise _unable(bundle, "launcher: is not a table")
    if "path" in given:
        raise _unable(bundle, "launcher.path: the launcher goes to its default place")
    if given.get("sha256", bundle.sha256) != bundle.sha256:
        raise _unable(bundle, f"launcher.sha256: is {given['sha256']!r}, but the launcher's is {bundle.sha256}")
    table = dict(given)
    wished = {
        "id": wishes.identifier,
        "version": wishes.version,
        "priority": wishes.priority,
        "opt-in-env": wishes.opt_in_env,
        "requires": None if wishes.requires is None else list(wishes.requires),
        "cannot-read": None if wishes.cannot_read is None else list(wishes.cannot_read),
    }
    table |= {key: value for key, value in wished.items() if value is not None}
    table.setdefault("id", LIFECYCLE)
    return table | {"sha256": bundle.sha256}


def _apis(document: Mapping[str, Any], wishes: Wishes) -> dict[str, Any]:
    """Return the `[apis]` table.

    Lifecycle 0.8 and earlier had only `[api]`, with one version of each kind: that is all they support (pack reads it
    the same way, internal/builder/descriptor.go).
    """
    apis: dict[str, Any] = {}
    found = document.get("apis")
    legacy = document.get("api")
    for kind in _KINDS:
        table = found.get(kind) if isinstance(found, dict) else None
        if isinstance(table, dict):
            apis[kind] = {key: table[key] for key in _LIFECYCLE_KEYS if key in table}
        elif table is not None:
            apis[kind] = table
        elif isinstance(legacy, dict) and kind in legacy:
            apis[kind] = {"supported": [legacy[kind]]}
        wished = wishes.platform_apis if kind == "platform" else wishes.buildpack_apis
        if wished is not None:
            apis[kind] = {"supported": _parse_apis(wished)}
    return apis


def _parse_apis(text: str) -> str | list[str]:
    return text if text[:1] in "<>=!" else [part.strip() for part in text.split(",")]


def _is_below(version: Any) -> bool:
    try:
        return isinstance(version, str) and parse_version(version) < _SERVES_UNRECORDED_BELOW
    except ValueError:
        return False


def _add_default(table: Any) -> None:
    if isinstance(table, dict) and isinstance(table.get("supported"), list) and table["supported"]:
        table.setdefault("default", table["supported"][0])


def render(descriptor: Mapping[str, Any]) -> str:
    """Return a descriptor as TOML: top-level keys, then its tables.

    By hand, for people read descriptors: tomli-w writes each API on a line of its own, two or three times the lines,
    and leaves invisible characters and those that turn the direction of writing as they are.
    """
    lines = [f"{key} = {_value(value)}" for key, value in descriptor.items() if not isinstance(value, dict)]
    for key, value in descriptor.items():
        if isinstance(value, dict):
            lines += _table((key,), value)
    return "\n".join(lines) + "\n"


def _table(name: tuple[str, ...], table: Mapping[str, Any]) -> list[str]:
    plain = [f"{key} = {_value(value)}" for key, value in table.items() if not isinstance(value, dict)]
    lines = ["", f"[{'.'.join(name)}]", *plain] if plain else []
    for key, value in table.items():
        if isinstance(value, dict):
            lines += _table((*name, key), value)
    return lines


def _value(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join([_value(item) for item in value])}]"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + "".join([c if c.isprintable() else f"\\U{ord(c):08x}" for c in escaped]) + '"'
    return str(value).lower()  # an integer or a boolean


def _unable(bundle: Bundle, reason: str) -> Unable:
    where = f"{bundle.source}: {TOML}" if bundle.lifecycle_toml is not None else bundle.source
    return Unable(
        f"{where}: {reason}",
        need="what docs/reference/descriptor.md says of a descriptor",
        do="give it on the command line, or take a sound bundle",
        command=COMMAND,
    )


def _refuse_silence(bundle: Bundle, wishes: Wishes) -> None:
    """See that the command line says what no `lifecycle.toml` does.

    Raises:
        Unable: it does not, naming every option that is missing.
    """
    needed = {
        "--id": wishes.identifier,
        "--version": wishes.version,
        "--platform-apis": wishes.platform_apis,
        "--buildpack-apis": wishes.buildpack_apis,
    }
    missing = [option for option, value in needed.items() if value is None]
    if not missing:
        return
    *first, last = missing
    named = f"{', '.join(first)} and {last}" if first else last
    what = "a bare executable" if bundle.member is None else f"a launcher without {TOML}"
    raise Unable(
        f"{bundle.source}: {what} has no metadata: {named} must be given",
        need="--id, --version, --platform-apis and --buildpack-apis",
        do="its release notes or its README say which APIs it supports",
        command=f"metalauncher bundle add {shlex.quote(bundle.source)} --id {wishes.identifier or 'ID'}"
        f" --version {wishes.version or 'V'} --platform-apis {shlex.quote(wishes.platform_apis or '0.7,0.8')}"
        f" --buildpack-apis {shlex.quote(wishes.buildpack_apis or '>=0.7,<=0.12')}",
    )
