"""The rules about one descriptor's text: the parser's own checks, all of them at once, each with its place."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from tomli import TOMLDecodeError

from metalauncher.descriptor import (
    APP_PATH,
    DIRECTORY_PATH,
    INVALID,
    OPEN_RANGE,
    UNKNOWN_KEY,
    WRONG_TYPE,
    InvalidValue,
    Launcher,
    parse_descriptor,
)
from metalauncher.files import Unreadable
from metalauncher.registry import DESCRIPTOR_LIMIT, is_mask
from metalauncher.toml import read_toml
from metalauncher.tooling.lint.positions import locate, positions
from metalauncher.tooling.lint.rules import Finding
from metalauncher.tooling.reading import ReadError, read_regular

if TYPE_CHECKING:
    from collections.abc import Iterator

    from metalauncher.tooling.lint.positions import Path

_PROBLEMS_LIMIT = 50  # in one file
_SOUND_APIS = {"supported": ["0.1"]}

# The permanent number of each code of a descriptor's problems.
_RULES = {
    INVALID: "ML002",
    WRONG_TYPE: "ML003",
    UNKNOWN_KEY: "ML004",
    OPEN_RANGE: "ML005",
    APP_PATH: "ML006",
    DIRECTORY_PATH: "ML017",
}
# What the format knows, and what lifecycle's own files have besides.
_KNOWN: dict[Path, frozenset[str]] = {
    (): frozenset(("schema-version", "launcher", "lifecycle", "apis", "api")),
    ("lifecycle",): frozenset(("version", "sbom-formats")),
    ("api",): frozenset(("platform", "buildpack")),
    ("apis",): frozenset(("platform", "buildpack")),
    ("apis", "platform"): frozenset(("supported", "deprecated", "default")),
    ("apis", "buildpack"): frozenset(("supported", "deprecated", "default")),
}


def lint_text(file: bytes, shown: str, *, link: bool) -> tuple[Launcher | None, list[Finding]]:
    """Return what the file declares, None if it is no valid launcher's, and what the rules find in its text.

    Args:
        file: the path to open.
        shown: the path to name; under a root, the entry's own, of which `file` is what it leads to.
        link: it is a symbolic link, which may be a mask.
    """
    if link and is_mask(shown.encode("utf-8", "surrogateescape")):
        return None, []
    try:
        document = read_toml(file, DESCRIPTOR_LIMIT)
        text = read_regular(file, DESCRIPTOR_LIMIT).decode("utf-8-sig")
    except (Unreadable, ReadError, UnicodeDecodeError) as error:  # the last two where it changed while it was read
        return None, [_unreadable(shown, error, link=link)]
    places = positions(text)

    def finding(rule: str, path: Path, message: str) -> Finding:
        return Finding(shown, *locate(places, path), rule, message)

    findings = [finding(*found) for found in _lint_keys(document)]
    if any(one.level == "error" for one in findings):
        return None, findings
    launcher = parse_descriptor(document, shown)
    if not isinstance(launcher, Launcher):
        return None, findings
    findings += [finding(*found) for found in _lint_deprecated(launcher)]
    wanted = f"{launcher.id.replace('/', '_')}@{launcher.version}.toml"
    if shown.rpartition("/")[2] != wanted:
        findings.append(Finding(shown, None, None, "ML009", f"is not named {wanted}: `bundle` would not find it again"))
    return launcher, findings


def _lint_keys(document: dict[str, Any]) -> Iterator[tuple[str, Path, str]]:
    """Yield rule, place and message of each key that is wrong or unknown."""
    for key, reason, code in _problems(document):
        path = tuple(key.split(".", 2) if key.startswith("apis") else key.split(".", 1)) if key else ()
        yield _RULES[code], path, f"{key}: {reason}" if key else reason
    for path, key in _unknown(document):
        yield "ML008", (*path, key), f"{'.'.join((*path, key))}: unknown key, ignored"


def _lint_deprecated(launcher: Launcher) -> Iterator[tuple[str, Path, str]]:
    """Yield the same for deprecated APIs that are not supported at all."""
    for kind, apis in (("platform", launcher.platform), ("buildpack", launcher.buildpack)):
        stray = [str(version) for version in apis.deprecated if not apis.covers(version)]
        if stray:
            message = f"apis.{kind}.deprecated: {', '.join(stray)} is not among those supported"
            yield "ML007", ("apis", kind, "deprecated"), message


def _unreadable(shown: str, error: Unreadable | ReadError | UnicodeDecodeError, *, link: bool) -> Finding:
    """Return the finding of a file without a document: its place where findings have theirs, and not in the words."""
    if link and isinstance(error, Unreadable) and error.missing:
        return Finding(shown, None, None, "ML001", "dangling link")
    line = error.line if isinstance(error, Unreadable) else None
    match error.__cause__:
        case TOMLDecodeError(lineno=row, colno=column, msg=reason) as cause if cause.pos < len(cause.doc):
            return Finding(shown, row, column, "ML001", f"toml: {reason}")
        case UnicodeDecodeError():
            return Finding(shown, line, None, "ML001", "toml: invalid UTF-8")
    return Finding(shown, line, None, "ML001", str(error))


def _problems(document: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield each key that the parser refuses, with reason and code: each is repaired, and the rest is parsed again."""
    document = copy.deepcopy(document)
    seen: set[tuple[str, str, str]] = set()
    while len(seen) < _PROBLEMS_LIMIT:
        try:
            parse_descriptor(document, "")
        except InvalidValue as wrong:
            problem = (wrong.key, wrong.reason, wrong.code)
            if problem in seen:
                return
            seen.add(problem)
            yield problem
            if not _repair(document, wrong.key):
                return
        else:
            return


def _repair(document: dict[str, Any], key: str) -> bool:
    """Put something sound in the place of what is wrong; return whether there is a way."""
    section, _, name = key.partition(".")
    table = document.get("launcher")
    match section:
        case "":
            return False
        case "launcher" if name == "masked":  # whether it is to be a mask or a launcher nobody knows
            return False
        case "launcher" if not isinstance(table, dict):
            document["launcher"] = {"id": "x", "version": "0"}
        case "launcher" if name == "id":
            document["launcher"]["id"] = "x"
        case "launcher" if name == "version":
            document["launcher"]["version"] = "0"
        case "launcher":
            document["launcher"].pop(name, None)
        case "lifecycle":
            document["launcher"]["version"] = "0"
        case "apis":
            _repair_apis(document, name)
        case _:
            document.pop(section, None)
    return True


def _repair_apis(document: dict[str, Any], name: str) -> None:
    apis = document.get("apis")
    if not name or not isinstance(apis, dict):
        document["apis"] = {"platform": dict(_SOUND_APIS), "buildpack": dict(_SOUND_APIS)}
        return
    kind, _, key = name.partition(".")
    if key in ("deprecated", "default"):
        apis[kind].pop(key, None)
    else:
        apis[kind] = dict(_SOUND_APIS)


def _unknown(document: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    for path, known in _KNOWN.items():
        table: Any = document
        for part in path:
            table = table.get(part) if isinstance(table, dict) else None
        if isinstance(table, dict):
            yield from ((path, key) for key in table if key not in known)
