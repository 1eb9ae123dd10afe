"""The SBOMs of the shim, byte for byte as `files.render` makes them, without the libraries of the formats.

Of every app that is patched they are part, so that its digest depends on them: on no release of a library, then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from metalauncher.tooling.sbom.files import pack, shim

if TYPE_CHECKING:
    from collections.abc import Mapping

    from metalauncher.explain.jsontext import Json


def shim_files(version: str) -> Mapping[str, bytes]:
    """Return the documents, by the names that lifecycle's exporter looks for.

    Args:
        version: of metalauncher, which writes them.
    """
    return {"sbom.cdx.json": pack(_cyclonedx(version)), "sbom.spdx.json": pack(_spdx(version))}


def _cyclonedx(version: str) -> dict[str, Json]:
    inventory = shim()
    (component,) = inventory.components
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": inventory.identity("cyclonedx").urn,
        "version": 1,
        "metadata": {
            "timestamp": "1980-01-01T00:00:00+00:00",
            "tools": {
                "components": [
                    {"bom-ref": "tool", "name": "metalauncher", "type": "application", "version": version},
                ],
            },
            "component": {
                "bom-ref": component.ref,
                "evidence": {"occurrences": [{"location": component.path}]},
                "hashes": [{"alg": "SHA-256", "content": component.sha256}],
                "licenses": [{"license": {"id": component.licences[0]}}],
                "name": component.name,
                "purl": component.purl,
                "type": component.kind,
                "version": component.version,
            },
        },
        "dependencies": [{"ref": component.ref}],
    }


def _spdx(version: str) -> dict[str, Json]:
    inventory = shim()
    (component,) = inventory.components
    identifier = f"SPDXRef-1-{component.name}"
    purl: dict[str, Json] = {
        "referenceCategory": "PACKAGE_MANAGER",
        "referenceLocator": component.purl,
        "referenceType": "purl",
    }
    return {
        "SPDXID": "SPDXRef-DOCUMENT",
        "spdxVersion": "SPDX-2.3",
        "creationInfo": {"created": "1980-01-01T00:00:00Z", "creators": [f"Tool: metalauncher-{version}"]},
        "dataLicense": "CC0-1.0",
        "documentNamespace": f"https://spdx.org/spdxdocs/{inventory.name}-{inventory.identity('spdx')}",
        "name": inventory.name,
        "packages": [
            {
                "SPDXID": identifier,
                "checksums": [{"algorithm": "SHA256", "checksumValue": component.sha256}],
                "copyrightText": "NOASSERTION",
                "downloadLocation": "NOASSERTION",
                "externalRefs": [purl],
                "filesAnalyzed": False,
                "licenseConcluded": "NOASSERTION",
                "licenseDeclared": component.licences[0],
                "name": component.name,
                "packageFileName": component.path,
                "primaryPackagePurpose": component.kind.upper(),
                "versionInfo": component.version,
            },
        ],
        "relationships": [
            {
                "relatedSpdxElement": identifier,
                "relationshipType": "DESCRIBES",
                "spdxElementId": "SPDXRef-DOCUMENT",
            },
        ],
    }
