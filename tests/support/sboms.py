"""SBOMs of a launcher as syft writes them for a lifecycle release, and the formats' own checks."""

from __future__ import annotations

import copy
import functools
import hashlib
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest
from bundles import MACHINE, elf, entry, pack, release_members
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from harness import DATA, Form, python_form, static_form
from jsonschema import Draft202012Validator, FormatChecker
from spdx_tools.spdx.parser.jsonlikedict.json_like_dict_parser import JsonLikeDictParser
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

OPENVEX = json.loads((DATA / "schemas/openvex-0.2.0.schema.json").read_text())
# Name, version, licence, and what it needs, of a launcher's Go modules.
MODULES = (
    ("github.com/buildpacks/lifecycle", "v0.21.17", "Apache-2.0", ("github.com/BurntSushi/toml", "stdlib")),
    ("github.com/BurntSushi/toml", "v1.5.0", "MIT", ("stdlib",)),
    ("github.com/pkg/errors", "v0.9.1", "BSD-2-Clause", ()),
    ("stdlib", "go1.24.6", "BSD-3-Clause", ()),
)


def purl(name: str, version: str) -> str:
    """Return a Go module's package URL."""
    return f"pkg:golang/{name}@{version}"


def cyclonedx() -> dict[str, Any]:
    """Return the CycloneDX document."""
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": "urn:uuid:9a1a1b5e-6a3c-4c5e-9f6d-0d2f4f1f2c11",
        "version": 1,
        "metadata": {
            "timestamp": "2026-01-02T03:04:05Z",
            "tools": {"components": [{"type": "application", "author": "anchore", "name": "syft", "version": "1.4.1"}]},
            "component": {"bom-ref": "af63bd4c8601b7f1", "type": "file", "name": "out/lifecycle/launcher"},
        },
        "components": [
            {
                "bom-ref": f"{purl(name, version)}?package-id={number}",
                "type": "library",
                "name": name,
                "version": version,
                "licenses": [{"license": {"id": licence}}],
                "cpe": f"cpe:2.3:a:golang:go:{version}:*:*:*:*:*:*:*" if name == "stdlib" else None,
                "purl": purl(name, version),
                "properties": [{"name": "syft:package:language", "value": "go"}],
            }
            for number, (name, version, licence, _) in enumerate(MODULES)
        ],
        "dependencies": [
            {"ref": _ref(name), "dependsOn": [_ref(other) for other in needs]} for name, _, _, needs in MODULES if needs
        ],
    }


def _ref(name: str) -> str:
    number, version = next((number, m[1]) for number, m in enumerate(MODULES) if m[0] == name)
    return f"{purl(name, version)}?package-id={number}"


def spdx() -> dict[str, Any]:
    """Return the SPDX document."""
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": "launcher",
        "documentNamespace": "https://anchore.com/syft/file/launcher-0c9d6e5d",
        "creationInfo": {"created": "2026-01-02T03:04:05Z", "creators": ["Tool: syft-1.4.1"]},
        "packages": [
            {"name": "launcher", "SPDXID": "SPDXRef-DocumentRoot-File-launcher", "downloadLocation": "NOASSERTION"},
            *[
                {
                    "name": name,
                    "SPDXID": f"SPDXRef-Package-go-module-{number}",
                    "versionInfo": version,
                    "downloadLocation": "NOASSERTION",
                    "filesAnalyzed": False,
                    "licenseConcluded": "NOASSERTION",
                    "licenseDeclared": licence,
                    "externalRefs": [
                        {
                            "referenceCategory": "PACKAGE-MANAGER",
                            "referenceType": "purl",
                            "referenceLocator": purl(name, version),
                        }
                    ],
                }
                for number, (name, version, licence, _) in enumerate(MODULES)
            ],
        ],
        "relationships": [
            {
                "spdxElementId": "SPDXRef-DOCUMENT",
                "relationshipType": "DESCRIBES",
                "relatedSpdxElement": "SPDXRef-DocumentRoot-File-launcher",
            },
            *[
                {
                    "spdxElementId": f"SPDXRef-Package-go-module-{_number(other)}",
                    "relationshipType": "DEPENDENCY_OF",
                    "relatedSpdxElement": f"SPDXRef-Package-go-module-{_number(name)}",
                }
                for name, _, _, needs in MODULES
                for other in needs
            ],
        ],
    }


def syft() -> dict[str, Any]:
    """Return syft's own document."""
    return {
        "artifacts": [
            {
                "id": f"{number:016x}",
                "name": name,
                "version": version,
                "type": "go-module",
                "licenses": [{"value": licence, "spdxExpression": licence, "type": "declared"}],
                "cpes": [{"cpe": f"cpe:2.3:a:acme:x:{version}:*:*:*:*:*:*:*", "source": "syft-generated"}],
                "purl": purl(name, version),
            }
            for number, (name, version, licence, _) in enumerate(MODULES)
        ],
        "artifactRelationships": [
            {"parent": f"{_number(other):016x}", "child": f"{_number(name):016x}", "type": "dependency-of"}
            for name, _, _, needs in MODULES
            for other in needs
        ],
        "source": {"id": "af63bd4c8601b7f1", "name": "launcher", "type": "file"},
        "schema": {"version": "16.0.7"},
    }


def _number(name: str) -> int:
    return next(number for number, module in enumerate(MODULES) if module[0] == name)


SBOMS = {"cdx": cyclonedx, "spdx": spdx, "syft": syft}


def release_with_sboms(
    folder: Path, version: str, kinds: tuple[str, ...] = ("cdx", "spdx", "syft"), launcher: bytes = b""
) -> Path:
    """Write a release's tarball with real SBOMs of these kinds in it."""
    members: list[tuple[tarfile.TarInfo, bytes]] = release_members(version, launcher or elf(MACHINE), sboms=False)
    members += [
        entry(f"lifecycle/launcher.sbom.{kind}.json", json.dumps(SBOMS[kind]()).encode(), mode=0o644) for kind in kinds
    ]
    folder.mkdir(exist_ok=True)
    file = folder / f"lifecycle-v{version}+linux.x86-64.tgz"
    file.write_bytes(pack(members))
    return file


def install_dispatcher(root: Path, form: Form | None = None) -> Path:
    """Install the static executable and its description where run images have them; return the description's place."""
    form = form or static_form()
    executable = root / "usr/bin/metalauncher"
    contents = root / "usr/lib/cnb/metalauncher/contents.json"
    for target, source in ((executable, form.executable), (contents, sidecar(form))):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
    return contents


def sidecar(form: Form) -> Path:
    """Return the description that the build wrote beside the form's file."""
    file = form.executable.with_name(f"{form.executable.name}.contents.json")
    if not file.exists():
        pytest.fail(f"{file} is missing: run `make pyz static`")
    return file


FORMS = {"static": static_form, "python": python_form}


def sha256(file: Path) -> str:
    """Return a file's digest."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def check_cyclonedx(text: str) -> None:
    """Hold a document against CycloneDX's own JSON schema."""
    problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    assert problem is None, problem


def check_spdx(document: dict[str, Any]) -> None:
    """Hold a document against the rules of SPDX 2.3, by the project that specifies it."""
    parsed = JsonLikeDictParser().parse(document)  # type: ignore[no-untyped-call]  # spdx-tools has no types there
    assert validate_full_spdx_document(parsed, "SPDX-2.3") == []


@functools.cache
def _formats() -> FormatChecker:
    """Return what checks formats: an IRI once, which takes 0.2 seconds and stands in a document a hundred times."""
    checker: FormatChecker = copy.deepcopy(Draft202012Validator.FORMAT_CHECKER)
    is_iri, raises = checker.checkers["iri"]
    checker.checkers["iri"] = (functools.cache(is_iri), raises)
    return checker


def check_openvex(document: Any) -> None:
    """Hold a document against the schema of OpenVEX 0.2.0."""
    Draft202012Validator.check_schema(OPENVEX)
    checker = Draft202012Validator(OPENVEX, format_checker=_formats())
    assert [error.message for error in checker.iter_errors(document)] == []


def by_name(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return a CycloneDX document's components by name."""
    return {component["name"]: component for component in document["components"]}


def depends(document: dict[str, Any]) -> dict[str, set[str]]:
    """Return a CycloneDX document's dependencies, by names of components in place of refs."""
    names = {component["bom-ref"]: component["name"] for component in document["components"]}
    subject = document["metadata"]["component"]
    names[subject["bom-ref"]] = subject["name"]
    return {
        names[item["ref"]]: {names[other] for other in item["dependsOn"]}
        for item in document["dependencies"]
        if item.get("dependsOn")
    }
