"""An inventory as an SPDX 2.3 document. The only module that knows spdx-tools."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

from license_expression import ExpressionError, LicenseSymbol, Licensing, get_spdx_licensing
from spdx_tools.spdx.jsonschema.document_converter import DocumentConverter
from spdx_tools.spdx.model.actor import Actor, ActorType
from spdx_tools.spdx.model.checksum import Checksum, ChecksumAlgorithm
from spdx_tools.spdx.model.document import CreationInfo, Document
from spdx_tools.spdx.model.extracted_licensing_info import ExtractedLicensingInfo
from spdx_tools.spdx.model.package import (
    ExternalPackageRef,
    ExternalPackageRefCategory,
    Package,
    PackagePurpose,
)
from spdx_tools.spdx.model.relationship import Relationship, RelationshipType
from spdx_tools.spdx.model.spdx_no_assertion import SpdxNoAssertion

from metalauncher import __version__
from metalauncher.tooling.sbom.model import LICENCE_REF, PLATFORM

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from typing import Any

    from metalauncher.tooling.sbom.model import Component, Inventory

_DOCUMENT = "SPDXRef-DOCUMENT"
_PURPOSES = {
    "application": PackagePurpose.APPLICATION,
    "file": PackagePurpose.FILE,
    "library": PackagePurpose.LIBRARY,
}
_NOT_ALLOWED = re.compile(r"[^A-Za-z0-9.-]+")


def document(inventory: Inventory, created: datetime) -> dict[str, Any]:
    """Return the document."""
    ids = {
        component.ref: f"SPDXRef-{number}-{_NOT_ALLOWED.sub('-', component.name)}"
        for number, component in enumerate(inventory.components, start=1)
    }
    relationships = [Relationship(_DOCUMENT, RelationshipType.DESCRIBES, ids[top]) for top in inventory.tops]
    relationships += [
        Relationship(ids[component.ref], RelationshipType.DEPENDS_ON, ids[other])
        for component in inventory.components
        for other in component.depends
    ]
    namespace = f"https://spdx.org/spdxdocs/{inventory.name}-{inventory.identity('spdx')}"
    info = CreationInfo(
        "SPDX-2.3",
        _DOCUMENT,
        inventory.name,
        namespace,
        [Actor(ActorType.TOOL, f"metalauncher-{__version__}")],
        created.replace(tzinfo=None),
    )
    packages = [_package(component, ids[component.ref]) for component in inventory.components]
    used = {reference for package in packages for reference in LICENCE_REF.findall(str(package.license_declared))}
    extracted = [ExtractedLicensingInfo(reference, _text_of(reference, inventory)) for reference in sorted(used)]
    converter = DocumentConverter()  # type: ignore[no-untyped-call]  # spdx-tools has no types there
    result: dict[str, Any] = converter.convert(
        Document(info, packages, relationships=relationships, extracted_licensing_info=extracted)
    )
    return result


def _package(component: Component, identifier: str) -> Package:
    notes = dict(component.notes)
    source = notes.get("source-sha256")
    licence, comment = _licence(component.licences)
    references = [
        ExternalPackageRef(category, kind, locator)
        for category, kind, locator in (
            (ExternalPackageRefCategory.PACKAGE_MANAGER, "purl", component.purl),
            (ExternalPackageRefCategory.SECURITY, "cpe23Type", component.cpe),
        )
        if locator
    ]
    return Package(
        identifier,
        component.name,
        SpdxNoAssertion(),
        component.version or None,
        component.path or None,
        files_analyzed=False,
        checksums=[Checksum(ChecksumAlgorithm[name.replace("-", "")], value) for name, value in component.hashes],
        source_info=f"built from the archive with the sha256 {source}" if source else None,
        license_concluded=SpdxNoAssertion(),
        license_declared=licence,
        license_comment=comment,
        copyright_text=SpdxNoAssertion(),
        comment=_comment(notes),
        external_references=references,
        primary_package_purpose=_PURPOSES[component.kind],
    )


def _comment(notes: Mapping[str, str]) -> str | None:
    """Return what SPDX has no field for, a line each."""
    return "\n".join([f"{name}: {notes[name]}" for name in (PLATFORM, "modules") if name in notes]) or None


@functools.cache
def _licensing(references: frozenset[str]) -> Licensing:
    """Return the licences of SPDX's list, and these references, each under its own name.

    The library's own list has references as well, and takes some for others: a vendor's would be renamed.
    """
    listed = [symbol for key, symbol in get_spdx_licensing().known_symbols.items() if not key.startswith("LicenseRef-")]
    bare = [
        LicenseSymbol(
            symbol.key,
            aliases=[alias for alias in symbol.aliases if not alias.lower().startswith("licenseref-")],
            is_exception=symbol.is_exception,
        )
        for symbol in listed
    ]
    return Licensing([*bare, *[LicenseSymbol(reference) for reference in sorted(references)]])


def _text_of(reference: str, inventory: Inventory) -> str:
    """Return what a reference stands for: the text of each SBOM that has one, where they differ all of them."""
    texts = sorted({text for component in inventory.components for name, text in component.texts if name == reference})
    return "\n\n".join(texts) or f"The SBOM that names {reference} does not have its text."


def _licence(texts: tuple[str, ...]) -> tuple[Any, str | None]:
    """Return the licence, and what to say where a text is no SPDX expression."""
    if not texts:
        return SpdxNoAssertion(), None
    whole = texts[0] if len(texts) == 1 else " AND ".join([f"({text})" for text in texts])
    references = frozenset(LICENCE_REF.findall(whole))
    try:
        return _licensing(references).parse(whole, validate=True, strict=True), None
    except (ExpressionError, ValueError, RecursionError):
        return SpdxNoAssertion(), f"declared: {'; '.join(texts)}"
