"""`metalauncher vex`: what is not linked in lights up nothing, what is linked in is never explained away."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from bundles import MACHINE, Tool, elf, release
from cache import Cache
from harness import PROJECT, python_form, static_form
from sboms import check_openvex, install_dispatcher, sha256, sidecar
from steps import inputs

from metalauncher.tooling.sbom.contents import parse_contents
from metalauncher.tooling.sbom.statements import JUSTIFICATIONS, KEYS, STATEMENT_KEYS, STATUSES
from metalauncher.tooling.sbom.vulnerabilities import Vulnerability, judge, known

LAUNCHER = "usr/lib/cnb/launchers/buildpacks/lifecycle/0.21.17/launcher"
PURL = "pkg:generic/buildpacks/lifecycle@0.21.17"
HEAD = "  need:    statements as docs/vendors/sbom.md describes them\n  do:      metalauncher vex --help\n"


@pytest.fixture
def run_image(tool: Tool, tmp_path: Path) -> Tool:
    """Return a run image with the static executable and a launcher."""
    install_dispatcher(tool.root)
    assert tool.on("bundle", "add", release(tmp_path, "0.21.17", elf(MACHINE), sboms=False)).code == 0
    return tool


def beside(tool: Tool, text: str, *, digest: bool = True) -> Path:
    """Write a vendor's statements beside the launcher."""
    launcher = tool.root / LAUNCHER
    file = launcher.with_name("vex.toml")
    file.write_text((f'sha256 = "{sha256(launcher)}"\n' if digest else "") + text)
    return file


def by_name(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the statements by their vulnerability."""
    found = {statement["vulnerability"]["name"]: statement for statement in document["statements"]}
    assert len(found) == len(document["statements"])
    return found


def test_dispatcher(run_image: Tool) -> None:
    """All that is known is in modules that the executable has not, and so it says; each names its source."""
    answer = run_image.on("vex")
    assert (answer.code, answer.err) == (0, "")
    document = answer.document
    check_openvex(document)
    assert document["@context"] == "https://openvex.dev/ns/v0.2.0"
    assert document["author"] == "The metalauncher project"
    found = by_name(document)
    assert {"CVE-2025-8194", "CVE-2025-6069", "CVE-2026-19445", "CVE-2025-26519"} <= set(found)
    digest = sha256(run_image.root / "usr/bin/metalauncher")
    for statement in found.values():
        assert (statement["status"], statement["justification"]) == ("not_affected", "vulnerable_code_not_present")
        (product,) = statement["products"]
        assert product["@id"].startswith("pkg:generic/metalauncher@")
        assert product["hashes"] == {"sha-256": digest}
        assert product["subcomponents"][0]["@id"] in ("pkg:generic/cpython@3.13.5", "pkg:generic/musl@1.2.5")
        assert "https://" in statement["status_notes"]
    assert found["CVE-2025-8194"]["status_notes"].startswith("The vulnerable code is in tarfile, which the executable")


def test_products_are_those_of_the_sbom(run_image: Tool) -> None:
    """Package URL and digest of a product, and those of the part that is meant, are as in the SBOM."""
    sbom = run_image.on("sbom").document
    purls = {component["purl"]: component for component in sbom["components"]}
    beside(run_image, '[[statement]]\nvulnerability = "CVE-1"\nstatus = "fixed"\n')
    for statement in run_image.on("vex").document["statements"]:
        (product,) = statement["products"]
        component = purls[product["@id"]]
        assert component["hashes"] == [{"alg": "SHA-256", "content": product["hashes"]["sha-256"]}]
        for part in product.get("subcomponents", []):
            assert purls[part["@id"]]["cpe"] == part["identifiers"]["cpe23"]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"modules": ("_sre",)}, "_sre"),
        ({"modules": ("metalauncher", "types")}, "types"),
        ({"objects": ("unicodeobject",)}, "unicodeobject.o"),
        ({"modules": ("socket",), "objects": ("ceval", "socketmodule")}, "ceval.o"),
        ({"component": "musl", "objects": ("execve",)}, "execve.o"),
    ],
)
def test_what_is_linked_in_is_never_not_affected(change: dict[str, Any], what: str) -> None:
    """Code that is in the file is under investigation, with what to do: whether it can be reached is not guessed."""
    contents = parse_contents(sidecar(static_form()).read_bytes())
    vulnerability = Vulnerability("CVE-1", "cpython", (), (), "https://example.org/CVE-1")._replace(**change)
    (statement,) = judge(contents, [vulnerability])
    assert (statement.status, statement.justification) == ("under_investigation", "")
    name = vulnerability.component
    said, _, todo = statement.notes.partition(". ")
    assert said == f"The executable has {what} of {name}: https://example.org/CVE-1"
    assert todo.startswith("Update the run image's metalauncher to a version that was built with a fixed ")
    assert statement.action == ""  # go-vex takes no document that has it


def test_a_module_that_was_added(run_image: Tool) -> None:
    """The statements follow the description: were tarfile linked in, its vulnerabilities would no longer be denied."""
    file = run_image.root / "usr/lib/cnb/metalauncher/contents.json"
    contents = json.loads(file.read_text())
    contents["modules"]["cpython"] += ["tarfile", "xml.dom.minidom"]
    file.write_text(json.dumps(contents))
    document = run_image.on("vex").document
    check_openvex(document)
    found = by_name(document)
    assert {name for name, statement in found.items() if statement["status"] == "under_investigation"} == {
        vulnerability.identifier
        for vulnerability in known()[0]
        if set(vulnerability.modules) & {"tarfile", "xml.dom.minidom"}
    }
    statement = found["CVE-2025-8194"]
    assert ". Update the run image's metalauncher " in statement["status_notes"]
    assert not statement.keys() & {"justification", "action_statement"}


def test_submodules_count(run_image: Tool) -> None:
    """Vulnerable code in a package is in each of its modules."""
    file = run_image.root / "usr/lib/cnb/metalauncher/contents.json"
    contents = json.loads(file.read_text())
    contents["modules"]["cpython"] += ["email.generator", "tarfiles"]
    file.write_text(json.dumps(contents))
    found = by_name(run_image.on("vex").document)
    assert found["CVE-2026-1299"]["status"] == "under_investigation"
    assert found["CVE-2025-8194"]["status"] == "not_affected"


def test_without_knowing_what_is_linked_in(run_image: Tool) -> None:
    """Where the description doesn't say what is linked in, nothing is denied."""
    file = run_image.root / "usr/lib/cnb/metalauncher/contents.json"
    contents = json.loads(file.read_text())
    for component in contents["components"]:
        component.pop("objects", None)
    file.write_text(json.dumps(contents))
    statuses = {statement["status"] for statement in run_image.on("vex").document["statements"]}
    assert statuses == {"under_investigation"}


def test_without_knowing_the_modules(run_image: Tool) -> None:
    """Where object files are named and modules are not, what is in modules is not denied."""
    file = run_image.root / "usr/lib/cnb/metalauncher/contents.json"
    contents = json.loads(file.read_text())
    del contents["modules"]["cpython"]
    file.write_text(json.dumps(contents))
    found = by_name(run_image.on("vex").document)
    for vulnerability in known()[0]:
        wanted = "under_investigation" if vulnerability.modules else "not_affected"
        assert found[vulnerability.identifier]["status"] == wanted
    assert found["CVE-2025-8194"]["status_notes"].startswith("The executable has tarfile of cpython: ")


def test_data() -> None:
    """Each vulnerability is one, once, with its source; the modules and objects are real: a typo would deny one."""
    vulnerabilities, reviewed = known()
    names = [vulnerability.identifier for vulnerability in vulnerabilities]
    assert len(set(names)) == len(names) > 40
    assert reviewed.year >= 2026
    tools = inputs(Cache()).tools
    listed = subprocess.run([tools.ar, "t", tools.folder / "lib/libc.a"], capture_output=True, text=True, check=True)
    members = {Path(member).stem for member in listed.stdout.split()}
    for vulnerability in vulnerabilities:
        assert re.fullmatch(r"CVE-\d{4}-\d{4,}", vulnerability.identifier)
        assert vulnerability.source.startswith("https://")
        assert vulnerability.modules or vulnerability.objects
        for module in vulnerability.modules:
            assert module.partition(".")[0] in sys.stdlib_module_names | {"_frozen_importlib_external"}, module
            assert "." not in module or find_spec(module) is not None, module
        for name in vulnerability.objects:
            assert (name in members) if vulnerability.component == "musl" else name == "getpath", name


def test_zipapp_and_nothing(tool: Tool, tmp_path: Path) -> None:
    """The zipapp brings no CPython; without statements there is no document to be made."""
    install_dispatcher(tool.root, python_form())
    answer = tool.on("vex")
    assert (answer.code, answer.out) == (3, "")
    assert answer.err == (
        "ERROR: there is nothing to state: no static executable, and no statements of a vendor\n"
        "  need:    the executable with its contents.json, or a vex.toml beside a launcher, or --statements FILE\n"
        "  do:      metalauncher vex --help\n"
    )
    file = tmp_path / "acme.toml"
    file.write_text('[[statement]]\nvulnerability = "CVE-1"\nstatus = "fixed"\nproduct = "pkg:generic/acme@1"\n')
    document = tool.on("vex", "--statements", file).document
    check_openvex(document)
    assert document["statements"] == [
        {
            "vulnerability": {"name": "CVE-1"},
            "products": [{"@id": "pkg:generic/acme@1", "identifiers": {"purl": "pkg:generic/acme@1"}}],
            "status": "fixed",
        }
    ]


ALL = """\
schema-version = "1"
author = "Acme <security@acme.example>"

[[statement]]
vulnerability = "CVE-2024-24790"
aliases = ["GHSA-49gw-vxvf-fc2g", "GO-2024-2887"]
status = "not_affected"
justification = "vulnerable_code_not_in_execute_path"
impact-statement = "The launcher parses no address."
subcomponent = "pkg:golang/stdlib@1.22.1"
status-notes = "govulncheck"

[[statement]]
vulnerability = "CVE-2025-0001"
status = "affected"
action-statement = "Rebase onto 2026-12."
product = "pkg:golang/github.com/buildpacks/lifecycle@v0.21.17"
"""


def test_vendor(run_image: Tool) -> None:
    """A vendor's statements are about the launcher beside them, or about the product that they name."""
    beside(run_image, ALL)
    document = run_image.on("vex").document
    check_openvex(document)
    assert document["author"] == "Acme <security@acme.example>; The metalauncher project"
    found = by_name(document)
    assert found["CVE-2024-24790"] == {
        "vulnerability": {"name": "CVE-2024-24790", "aliases": ["GHSA-49gw-vxvf-fc2g", "GO-2024-2887"]},
        "products": [
            {
                "@id": PURL,
                "identifiers": {"purl": PURL},
                "hashes": {"sha-256": sha256(run_image.root / LAUNCHER)},
                "subcomponents": [
                    {"@id": "pkg:golang/stdlib@1.22.1", "identifiers": {"purl": "pkg:golang/stdlib@1.22.1"}}
                ],
            }
        ],
        "status": "not_affected",
        "justification": "vulnerable_code_not_in_execute_path",
        "impact_statement": "The launcher parses no address.",
        "status_notes": "govulncheck",
    }
    assert found["CVE-2025-0001"]["products"][0]["@id"] == "pkg:golang/github.com/buildpacks/lifecycle@v0.21.17"
    assert found["CVE-2025-0001"]["action_statement"] == "Rebase onto 2026-12."


def test_statements_option(run_image: Tool, tmp_path: Path) -> None:
    """A file of its own names its launchers; it may be given more than once."""
    files: list[str | Path] = []
    for number in (1, 2):
        file = tmp_path / f"{number}.toml"
        file.write_text(
            f'[[statement]]\nvulnerability = "CVE-{number}"\nstatus = "under_investigation"\n'
            'launcher = "buildpacks/lifecycle@0.21.17"\n'
        )
        files += ["--statements", file]
    document = run_image.on("vex", *files).document
    check_openvex(document)
    found = by_name(document)
    for number in (1, 2):
        (product,) = found[f"CVE-{number}"]["products"]
        assert (product["@id"], product["hashes"]["sha-256"]) == (PURL, sha256(run_image.root / LAUNCHER))


def statement(**keys: str) -> str:
    """Return a statement that is right but for these keys."""
    values = {"vulnerability": '"CVE-1"', "status": '"fixed"'} | {key.replace("_", "-"): v for key, v in keys.items()}
    return "[[statement]]\n" + "".join(f"{key} = {value}\n" for key, value in values.items() if value)


STATEMENTS: list[tuple[str, str]] = [
    ("[", "toml: Invalid initial character for a key part (at end of document)"),
    ("frob = 1\n", "frob: unknown key"),
    ('schema-version = "2"\n' + statement(), 'schema-version: is not "1", the one that this metalauncher knows'),
    ("author = 1\n" + statement(), "author: is an integer, not a string in quotes"),
    ("", "statement: is missing"),
    ("[statement]\n", "statement: is not an array of tables: [[statement]]"),
    ("statement = [1]\n", "statement 1: is an integer, not a table"),
    (statement() + statement(frob="1"), "statement 2: frob: unknown key"),
    (statement(vulnerability=""), "statement 1: vulnerability: is missing"),
    (statement(vulnerability='" "'), "statement 1: vulnerability: is empty"),
    (statement(status=""), f"statement 1: status: is missing: one of {', '.join(STATUSES)}"),
    (statement(status='"maybe"'), f"statement 1: status: 'maybe' is not one of {', '.join(STATUSES)}"),
    (
        statement(status='"not_affected"'),
        "statement 1: justification: is missing: not_affected needs it, or an impact-statement",
    ),
    (
        statement(status='"not_affected"', justification='"safe"'),
        f"statement 1: justification: 'safe' is not one of {', '.join(JUSTIFICATIONS)}",
    ),
    (
        statement(impact_statement='"none"'),
        "statement 1: impact-statement: belongs to not_affected, not to fixed",
    ),
    (statement(status='"affected"'), "statement 1: action-statement: is missing: affected needs it"),
    (
        statement(status='"fixed"', **{"action-statement": '"x"'}),
        "statement 1: action-statement: belongs to affected, not to fixed",
    ),
    (statement(aliases='"GHSA"'), "statement 1: aliases: is not an array of names in quotes"),
    (statement(product='"lifecycle"'), "statement 1: product: 'lifecycle' is not a package URL: pkg:TYPE/NAME@VERSION"),
    (
        statement(subcomponent='"go 1.22"'),
        "statement 1: subcomponent: 'go 1.22' is not a package URL: pkg:TYPE/NAME@VERSION",
    ),
    (
        statement(launcher='"buildpacks/lifecycle@0.21.17"'),
        "statement 1: launcher: belongs in a file of its own: this one lies beside its launcher",
    ),
    (statement(status_notes='"' + "x" * 4097 + '"'), "statement 1: status-notes: is longer than 4096 characters"),
]


@pytest.mark.parametrize(("text", "reason"), STATEMENTS, ids=[reason[:60] for _, reason in STATEMENTS])
def test_wrong_statements(run_image: Tool, text: str, reason: str) -> None:
    """Each key is checked, and the message names the file, the statement and the key."""
    file = beside(run_image, text)
    answer = run_image.on("vex")
    assert (answer.code, answer.out) == (3, "")
    assert answer.err == f"ERROR: {file}: {reason}\n{HEAD}"


def test_wrong_launcher(run_image: Tool, tmp_path: Path) -> None:
    """A file of its own has to say what it is about, and of what is there."""
    file = tmp_path / "acme.toml"
    for text, reason in (
        (statement(), "statement 1: launcher: is missing: ID@VERSION of the launcher that it is about, or product"),
        (
            statement(launcher='"acme@1"'),
            "statement 1: launcher: 'acme@1' is not installed; ID@VERSION of those that are:"
            " buildpacks/lifecycle@0.21.17",
        ),
        (
            statement(launcher='"buildpacks/lifecycle@0.21.17"', product='"pkg:generic/a@1"'),
            "statement 1: launcher: goes without product",
        ),
        (
            f'sha256 = "{"0" * 64}"\n' + statement(),
            "sha256: belongs in a file beside a launcher; here, statements name theirs",
        ),
    ):
        file.write_text(text)
        answer = run_image.on("vex", "--statements", file)
        assert (answer.code, answer.out, answer.err) == (3, "", f"ERROR: {file}: {reason}\n{HEAD}")
    file.unlink()
    answer = run_image.on("vex", "--statements", file)
    assert (answer.code, answer.err) == (3, f"ERROR: {file}: no such file or directory\n{HEAD}")


def test_statements_are_about_these_bytes(run_image: Tool) -> None:
    """What was stated of one launcher is not carried over to another one that took its place."""
    launcher = run_image.root / LAUNCHER
    file = beside(run_image, statement(), digest=False)
    answer = run_image.on("vex")
    assert (answer.code, answer.err) == (
        3,
        f"ERROR: {file}: sha256: is missing: of the launcher that the statements are about; the one here has"
        f" {sha256(launcher)}\n{HEAD}",
    )
    beside(run_image, statement())
    assert run_image.on("vex").code == 0
    with launcher.open("ab") as opened:
        opened.write(b"x")
    answer = run_image.on("vex")
    assert (answer.code, answer.err) == (
        3,
        f"ERROR: {file}: sha256: is of another launcher: look through the statements again; the one here has"
        f" {sha256(launcher)}\n{HEAD}",
    )
    file.write_text('sha256 = "x"\n')
    assert run_image.on("vex").err == f"ERROR: {file}: sha256: 'x' is not 64 hexadecimal digits\n{HEAD}"


def test_removed_with_its_bundle(run_image: Tool) -> None:
    """`bundle remove` leaves no statements about nothing."""
    beside(run_image, statement())
    assert run_image.on("bundle", "remove", "buildpacks/lifecycle").code == 0
    assert not (run_image.root / "usr/lib/cnb/launchers/buildpacks").exists()


def test_the_same_for_the_same(run_image: Tool, tmp_path: Path) -> None:
    """The same files give the same bytes, wherever and whenever; another statement, another id and no other time."""
    beside(run_image, ALL)
    first = run_image.on("vex")
    for seed, zone in (("1", "UTC"), ("2", "Asia/Tokyo")):
        done = subprocess.run(
            [sys.executable, "-m", "metalauncher", "vex", "--root", run_image.root],
            cwd=tmp_path,
            env={"PYTHONHASHSEED": seed, "TZ": zone, "PYTHONPATH": str(PROJECT)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, first.out, "")
    beside(run_image, statement())
    second = run_image.on("vex").document
    assert second["@id"] != first.document["@id"]
    assert second["timestamp"] == first.document["timestamp"] == known()[1].strftime("%Y-%m-%dT%H:%M:%SZ")
    later = run_image.on("vex", environ={"SOURCE_DATE_EPOCH": "1800000000"}).document
    assert later["timestamp"] == "2027-01-15T08:00:00Z"


def test_output(run_image: Tool, tmp_path: Path) -> None:
    """`--output` writes what is printed otherwise."""
    file = tmp_path / "openvex.json"
    answer = run_image.on("vex", "--output", file)
    assert (answer.code, answer.out, answer.err) == (0, "", "")
    assert file.read_text() == run_image.on("vex").out


def test_keys_are_documented() -> None:
    """The page lists every key of the file, every status and every justification, and no other key."""
    page = (PROJECT / "docs/vendors/sbom.md").read_text()
    listed = set(re.findall(r"^\| `([a-z0-9-]+)`", page, flags=re.MULTILINE))
    assert listed == set(KEYS) - {"statement"} | set(STATEMENT_KEYS)
    for word in (*STATUSES, *JUSTIFICATIONS):
        assert f"`{word}`" in page


IMAGE = "pkg:oci/run@sha256%3A" + "0" * 64 + "?repository_url=registry.example.com/acme/run"


def test_of_an_image(run_image: Tool, tmp_path: Path) -> None:
    """With `--product` every statement is about the image, and what it was about is a subcomponent of that."""
    file = tmp_path / "acme.toml"
    file.write_text('[[statement]]\nvulnerability = "CVE-1"\nstatus = "fixed"\nproduct = "pkg:generic/acme@1"\n')
    plain = by_name(run_image.on("vex", "--statements", file).document)
    document = run_image.on("vex", "--statements", file, "--product", IMAGE).document
    check_openvex(document)
    found = by_name(document)
    assert set(found) == set(plain)
    for name, statement in found.items():
        (product,) = statement["products"]
        (before,) = plain[name]["products"]
        assert (product["@id"], product["identifiers"]) == (IMAGE, {"purl": IMAGE})
        assert "hashes" not in product
        below = [part["@id"] for part in product["subcomponents"]]
        assert below == [before["@id"], *[part["@id"] for part in before.get("subcomponents", ())]]
        assert {key: value for key, value in statement.items() if key != "products"} == {
            key: value for key, value in plain[name].items() if key != "products"
        }
    answer = run_image.on("vex", "--product", "registry.example.com/acme/run:1")
    assert (answer.code, answer.out) == (3, "")
    assert answer.err.startswith("ERROR: --product: 'registry.example.com/acme/run:1' is not a package URL\n")
