"""The published schemas: each is sound, the documents obey them, and that of the descriptor agrees with the parser."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli
from bundles import MACHINE, Tool, elf, release
from harness import DATA, PROJECT, REFERENCE_REGISTRY
from jsonschema import Draft202012Validator

from metalauncher.files import Unreadable
from metalauncher.registry import DESCRIPTOR_LIMIT, InvalidDescriptor, read_descriptor
from metalauncher.toml import read_toml
from metalauncher.tooling.cli.commands import SCHEMAS

FILES = sorted((DATA / "descriptors").glob("*/*.toml"))
# What the parser knows and JSON Schema can't say: that one key's value is among another's, and that 1.0 is no integer.
BEYOND_SCHEMA = {"default-not-supported", "priority-float"}
COMMANDS: dict[str, tuple[str, ...]] = {
    "which": ("--which", "--platform-api", "0.12", "--buildpack-api", "a=0.10"),
    "list": ("list",),
    "matrix": ("matrix", "--minimal"),
    "lint": ("lint",),
    "probe": ("probe",),
    "bundle": ("bundle", "show"),
}


def validator(tool: Tool, name: str) -> Draft202012Validator:
    """Return what checks documents against the schema that the program prints."""
    answer = tool("schema", name)
    assert (answer.code, answer.err) == (0, "")
    Draft202012Validator.check_schema(answer.document)
    return Draft202012Validator(answer.document)


def test_each_schema_is_printed(tool: Tool) -> None:
    """There is one for each name and each file; every document's schema fixes its version."""
    folder = PROJECT / "metalauncher/schemas"
    assert {path.name for path in folder.iterdir()} == {f"{name}.schema.json" for name in SCHEMAS}
    for name in SCHEMAS:
        schema: Any = validator(tool, name).schema
        assert schema["$id"] == f"urn:metalauncher:{name}:1"
        assert (name == "descriptor") != ("schema_version" in schema.get("properties", {}))
    answer = tool("schema", "none")
    assert (answer.code, answer.out) == (3, "")
    assert "invalid choice: 'none'" in answer.err


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_descriptor_agrees_with_the_parser(tool: Tool, file: Path) -> None:
    """The schema accepts a file exactly where the parser does, but for what it can't say."""
    try:
        document = read_toml(bytes(file), DESCRIPTOR_LIMIT)
    except Unreadable:
        return  # no schema is asked: there is no document
    try:
        read_descriptor(bytes(file), "")
        accepted = True
    except InvalidDescriptor:
        accepted = file.stem in BEYOND_SCHEMA
    assert validator(tool, "descriptor").is_valid(document) == accepted


def test_there_are_files() -> None:
    """The glob finds descriptors of either kind, those beyond the schema among them."""
    assert {path.parent.name for path in FILES} == {"valid", "invalid"}
    assert {path.stem for path in FILES} >= BEYOND_SCHEMA
    assert len(FILES) > 100


@pytest.mark.parametrize("file", sorted(REFERENCE_REGISTRY.glob("*.toml")), ids=lambda path: path.stem)
def test_reference_registry(tool: Tool, file: Path) -> None:
    """The reference registry's descriptors are valid."""
    validator(tool, "descriptor").validate(tomli.loads(file.read_text()))


@pytest.fixture
def registries(tool: Tool, tmp_path: Path) -> list[Callable[[], None]]:
    """Return the steps that lead from an empty root to one with a bit of everything."""
    usr, etc = tool.root / "usr/lib/cnb/launchers.d", tool.root / "etc/cnb/launchers.d"

    def add() -> None:
        assert tool.on("bundle", "add", release(tmp_path, "0.21.17", elf(MACHINE))).code == 0
        assert tool.on("bundle", "add", release(tmp_path, "0.9.3", elf(MACHINE)), "--opt-in-env", "OLD").code == 0

    def spoil() -> None:
        etc.mkdir(parents=True)
        (etc / "wrong.toml").write_text("[launcher]\nid = 1\n")
        (etc / "mask.toml").symlink_to("/dev/null")
        (etc / "buildpacks_lifecycle@0.9.3.toml").symlink_to("/dev/null")
        (usr / "broken.toml").write_text("[")
        range_of = 'supported = ">=0.7,<=0.8"'
        apis = f"[apis.platform]\n{range_of}\n[apis.buildpack]\n{range_of}\n"
        (usr / "acme@1.toml").write_text(f'[launcher]\nid = "acme"\nversion = "1"\n{apis}')

    return [lambda: None, add, spoil]


@pytest.mark.parametrize("name", COMMANDS)
def test_documents(tool: Tool, name: str, registries: list[Callable[[], None]]) -> None:
    """What each command prints with --json obeys its schema: over no registry, a sound one, and a broken one."""
    checked = validator(tool, name)
    for number, step in enumerate(registries):
        step()
        answer = tool.on(*COMMANDS[name], "--json")
        if name == "probe" and not number:  # nothing was proved: that is an error, and no document
            assert (answer.code, answer.out) == (3, "")
            continue
        document = json.loads(answer.out)
        assert list(checked.iter_errors(document)) == []
        assert document["schema_version"] == 1


def test_documents_of_sbom(tool: Tool, tmp_path: Path) -> None:
    """So does what `sbom --verify` says of files that are as they were, changed, gone, and new."""
    checked = validator(tool, "sbom")
    for version in ("0.17.7", "0.21.17", "0.9.3"):
        assert tool.on("bundle", "add", release(tmp_path, version, elf(MACHINE), sboms=False)).code == 0
    sbom = tmp_path / "sbom.json"
    assert tool.on("sbom", "--output", sbom).code == 0
    places = tool.root / "usr/lib/cnb/launchers/buildpacks/lifecycle"
    (places / "0.17.7/launcher").unlink()
    (places / "0.21.17/launcher").write_text("")
    assert tool.on("bundle", "add", release(tmp_path, "0.10.0", elf(MACHINE), sboms=False)).code == 0
    answer = tool.on("sbom", "--verify", sbom, "--json")
    assert answer.code == 1
    assert list(checked.iter_errors(answer.document)) == []
    verdicts = [file["verdict"] for file in answer.document["files"]]
    assert verdicts == ["undocumented", "missing", "changed", "same"]


def test_documents_of_bundle(tool: Tool, tmp_path: Path) -> None:
    """So do the documents of what changes something."""
    checked = validator(tool, "bundle")
    tarball = release(tmp_path, "0.17.7", elf(MACHINE))
    actions = []
    for arguments in (
        ("bundle", "add", tarball),
        ("bundle", "add", tarball),
        ("bundle", "add", tarball, "--replace", "--priority", "1"),
        ("bundle", "remove", "buildpacks/lifecycle"),
    ):
        document = tool.on(*arguments, "--json").document
        assert list(checked.iter_errors(document)) == []
        actions.append(document["action"])
    assert actions == ["added", "unchanged", "replaced", "removed"]
