"""An inventory as a CycloneDX 1.6 document. The only module that knows cyclonedx-python-lib."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.bom_ref import BomRef
from cyclonedx.model.component import Component as CdxComponent
from cyclonedx.model.component import ComponentType
from cyclonedx.model.component_evidence import ComponentEvidence, Occurrence
from cyclonedx.model.dependency import Dependency
from cyclonedx.model.license import DisjunctiveLicense, LicenseExpression
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.spdx import fixup_id, is_expression
from packageurl import PackageURL

from metalauncher import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from cyclonedx.model.license import License

    from metalauncher.explain.jsontext import Json
    from metalauncher.tooling.sbom.model import Component, Inventory

_KINDS = {"application": ComponentType.APPLICATION, "file": ComponentType.FILE, "library": ComponentType.LIBRARY}


def document(inventory: Inventory, created: datetime) -> dict[str, Json]:
    """Return the document."""
    components = {component.ref: _component(component) for component in inventory.components}
    dependencies = [_dependency(component.ref, component.depends) for component in inventory.components]
    if len(inventory.tops) == 1:
        subject = components.pop(inventory.tops[0])
    else:
        subject = CdxComponent(name=inventory.name, type=ComponentType.CONTAINER, bom_ref=f"{inventory.name}/")
        dependencies.append(_dependency(f"{inventory.name}/", inventory.tops))
    tool = CdxComponent(name="metalauncher", version=__version__, type=ComponentType.APPLICATION, bom_ref="tool")
    bom = Bom(
        serial_number=inventory.identity("cyclonedx"),
        metadata=BomMetaData(timestamp=created, component=subject, tools=ToolRepository(components=[tool])),
        components=components.values(),
        dependencies=dependencies,
    )
    result: dict[str, Json] = json.loads(JsonV1Dot6(bom).output_as_string())
    return result


def _dependency(ref: str, depends: Iterable[str]) -> Dependency:
    return Dependency(BomRef(ref), [Dependency(BomRef(other)) for other in depends])


def _component(component: Component) -> CdxComponent:
    return CdxComponent(
        name=component.name,
        version=component.version or None,
        type=_KINDS[component.kind],
        bom_ref=component.ref,
        licenses=_licences(component.licences),
        purl=_purl(component.purl),
        cpe=component.cpe or None,
        hashes=[HashType(alg=HashAlgorithm(name), content=value) for name, value in component.hashes],
        evidence=ComponentEvidence(occurrences=[Occurrence(location=component.path)]) if component.path else None,
        properties=[Property(name=f"metalauncher:{name}", value=value) for name, value in component.notes],
    )


def _licences(texts: tuple[str, ...]) -> list[License]:
    if len(texts) == 1 and fixup_id(texts[0]) is None and is_expression(texts[0]):
        return [LicenseExpression(texts[0])]
    return [
        DisjunctiveLicense(id=known) if (known := fixup_id(text)) else DisjunctiveLicense(name=text) for text in texts
    ]


def _purl(text: str) -> PackageURL | None:
    try:
        return PackageURL.from_string(text) if text else None
    except ValueError:  # it had the form of one
        return None
