"""Compare an SBOM with the files that it describes: those it names, and those that it should."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from metalauncher import __version__
from metalauncher.places import EXECUTABLE, Root
from metalauncher.tooling.console import Unable, count, decode
from metalauncher.tooling.installed import digest_of
from metalauncher.tooling.reading import ReadError, read_regular
from metalauncher.tooling.sbom.inventory import bundles
from metalauncher.tooling.sbom.model import PLATFORM

if TYPE_CHECKING:
    from collections.abc import Iterable

    from metalauncher.explain.jsontext import Json
    from metalauncher.tooling.console import Console

_LIMIT = 64 << 20  # bytes


class File(NamedTuple):
    """A file of the image.

    Attributes:
        path: inside the image.
        expected: its sha256 by the document; None: the document has none for it.
        found: its sha256; None: it can't be read.
    """

    path: str
    expected: str | None
    found: str | None

    @property
    def verdict(self) -> str:
        """`same`, `changed`, `missing` (the file), or `undocumented`."""
        if self.expected is None:
            return "undocumented"
        if self.found is None:
            return "missing"
        return "same" if self.found == self.expected else "changed"

    def text(self) -> str:
        """Return what is wrong with it."""
        match self.verdict:
            case "undocumented":
                return f"{self.path}: the document has no digest of it"
            case "missing":
                return f"{self.path}: is not a file that can be read"
            case _:
                return f"{self.path}: has the sha256 {self.found}, the document says {self.expected}"


class Place(NamedTuple):
    """Where the files are that a document is compared with.

    Attributes:
        root: with the files.
        name: what that is called; "" for its directory.
        platform: that it is for: of a document of several, what it says of others does not count. "" where unknown.
        every: all platforms that the run image is there for, where the document is to have no other; empty else.
    """

    root: Root
    name: str = ""
    platform: str = ""
    every: tuple[str, ...] = ()


def verify(name: str, place: Place, console: Console, *, as_json: bool) -> int:
    """Report on the document in the file `name`; return 0 if all is as it says, else 1.

    Args:
        name: of the document's file.
        place: with the files.
        console: is told.
        as_json: whether the report is a document, too.

    Raises:
        Unable: it can't be read, or is no SBOM with files in it.
    """
    root = place.root
    claimed = _claimed(_read(name))
    claims = _claims(claimed, name, place.platform)
    lacking = sorted({whose for _, _, whose in claimed} - {"", *place.every}) if place.every else []
    installed = {launcher.path for launcher in bundles(root)}
    if os.path.lexists(root.locate(EXECUTABLE.encode())):
        installed.add(EXECUTABLE)
    files = [
        File(path, claims.get(path), digest_of(root.locate(path.encode("utf-8", "surrogateescape"))))
        for path in sorted(claims.keys() | installed)
    ]
    wrong = [file for file in files if file.verdict != "same"]
    if as_json:
        rows: list[Json] = [
            {"path": file.path, "verdict": file.verdict, "expected": file.expected, "found": file.found}
            for file in files
        ]
        console.document(
            {
                "schema_version": 1,
                "metalauncher": __version__,
                "document": name,
                "root": place.name or decode(root.prefix) or "/",
                "files": rows,
                **({"lacking": lacking} if lacking else {}),
            }
        )
    else:
        console.out([file.text() for file in wrong])
        if not wrong:
            console.out([f"{count(len(files), 'file')} as {name} says"])
        console.out([f"{platform}: the document has files for it, the run image has no image" for platform in lacking])
    return 1 if wrong or lacking else 0


def _read(name: str) -> dict[str, Any]:
    try:
        document = json.loads(read_regular(name, _LIMIT))
    except ReadError as error:
        raise _no_sbom(name, str(error)) from None
    except (ValueError, RecursionError):
        raise _no_sbom(name, "is not JSON") from None
    if not isinstance(document, dict):
        raise _no_sbom(name, "is not a JSON object")
    return document


def _no_sbom(name: str, reason: str) -> Unable:
    return Unable(
        f"{name}: {reason}",
        need="a CycloneDX or SPDX document that `metalauncher sbom` wrote",
        command="metalauncher sbom --help",
    )


def _claimed(document: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return path, digest and platform ("" for none) of each file that the document speaks of."""
    return [
        (path, digest.lower(), whose)
        for path, digest, whose in [*_cyclonedx(document), *_spdx(document)]
        if isinstance(path, str) and isinstance(digest, str) and path.startswith("/") and "\0" not in path
    ]


def _claims(claimed: Iterable[tuple[str, str, str]], name: str, platform: str) -> dict[str, str]:
    """Return the digest of each file by its path; of one platform where it is named.

    Raises:
        Unable: there is no file of any platform, or there are two digests of one.
    """
    claims: dict[str, str] = {}
    is_empty = True
    for path, digest, whose in claimed:
        is_empty = False
        if platform and whose not in ("", platform):
            continue
        if claims.setdefault(path, digest) != digest:
            of_several = f", of several platforms: name one with --{PLATFORM}" if whose else ""
            raise _no_sbom(name, f"has two digests of {path}{of_several}")
    if is_empty:
        raise _no_sbom(name, "has no file with a digest in it")
    return claims


def _cyclonedx(document: dict[str, Any]) -> list[tuple[Any, Any, str]]:
    components = [_table(document.get("metadata")).get("component"), *_list(document.get("components"))]
    return [
        (_table(place).get("location"), _table(item).get("content"), _property(component, f"metalauncher:{PLATFORM}"))
        for component in map(_table, components)
        for place in _list(_table(component.get("evidence")).get("occurrences"))
        for item in _list(component.get("hashes"))
        if _table(item).get("alg") == "SHA-256"
    ]


def _property(component: dict[str, Any], name: str) -> str:
    found = [_table(one).get("value") for one in _list(component.get("properties")) if _table(one).get("name") == name]
    return str(found[0]) if found else ""


def _spdx(document: dict[str, Any]) -> list[tuple[Any, Any, str]]:
    return [
        (package.get("packageFileName"), _table(item).get("checksumValue"), _commented(package.get("comment")))
        for package in map(_table, _list(document.get("packages")))
        for item in _list(package.get("checksums"))
        if _table(item).get("algorithm") == "SHA256"
    ]


def _commented(comment: Any) -> str:
    lines = comment.splitlines() if isinstance(comment, str) else []
    start = f"{PLATFORM}: "
    return next((line.removeprefix(start) for line in lines if line.startswith(start)), "")


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
