"""docs/reference/promises.md: what it says is versioned is, and it leaves nothing out."""

from __future__ import annotations

import json
import re

from harness import PROJECT
from releases import ARCHITECTURES, BUILT

from metalauncher.places import EXECUTABLE
from metalauncher.tooling.cli.commands import SCHEMAS
from metalauncher.tooling.run_image.labels import ENTRYPOINT
from metalauncher.tooling.sbom.contents import PLACE
from metalauncher.tooling.sbom.files import SHIM

PAGE = (PROJECT / "docs/reference/promises.md").read_text()


def test_every_schema_is_listed() -> None:
    """With the version that its id and its documents have."""
    listed = dict(re.findall(r"^\| `([a-z-]+)` \| (\d+) \|", PAGE, re.MULTILINE))
    assert sorted(listed) == sorted(SCHEMAS)
    for name, version in listed.items():
        schema = json.loads((PROJECT / f"metalauncher/schemas/{name}.schema.json").read_text())
        assert schema["$id"] == f"urn:metalauncher:{name}:{version}"
        if name == "descriptor":
            assert schema["$defs"]["descriptor"]["properties"]["schema-version"] == {"const": version}
        else:
            assert schema["properties"]["schema_version"] == {"const": int(version)}, name
            assert "schema_version" in schema["required"]


def test_descriptions_of_builds() -> None:
    """Those of what was built have their version as well."""
    assert "`contents.json` beside an executable has `schema_version` 1 as well" in PAGE
    for name in ARCHITECTURES:
        document = json.loads((BUILT / f"metalauncher-linux-{name}.contents.json").read_text())
        assert document["schema_version"] == 1


def test_schemas_are_exact() -> None:
    """The page says that a schema has every key that its documents have; descriptors are for people to write."""
    assert "The schema that a release prints is exact" in PAGE
    for name in SCHEMAS:
        schema = json.loads((PROJECT / f"metalauncher/schemas/{name}.schema.json").read_text())
        assert (schema.get("additionalProperties") is False) == (name != "descriptor"), name


def test_places() -> None:
    """The places that are promised are those that there are."""
    for place in (EXECUTABLE, ENTRYPOINT, SHIM, PLACE, "/usr/lib/cnb/launchers.d", "/etc/cnb/launchers.d"):
        assert f"`{place}`" in PAGE


def test_typed() -> None:
    """The package is marked as typed."""
    assert (PROJECT / "metalauncher/py.typed").is_file()
