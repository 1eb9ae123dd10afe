"""`metalauncher sbom`: valid by the formats' own rules, true of the files, the same for the same, and never a crash."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from bundles import MACHINE, Answer, Tool, elf, release
from harness import PROJECT, python_form
from sboms import (
    MODULES,
    by_name,
    check_cyclonedx,
    check_openvex,
    check_spdx,
    depends,
    install_dispatcher,
    purl,
    release_with_sboms,
    sha256,
)

from metalauncher.places import Root
from metalauncher.tooling.sbom import bundled
from metalauncher.tooling.sbom.files import SHIM_TEXT, image_files

NEW, OLD = "buildpacks/lifecycle@0.21.17", "buildpacks/lifecycle@0.17.7"
LAUNCHER = "usr/lib/cnb/launchers/buildpacks/lifecycle/0.21.17/launcher"
FORMATS = ("cyclonedx", "spdx")


def add(tool: Tool, tarball: Path, *options: str) -> Path:
    """Install a bundle and return its launcher."""
    answer = tool.on("bundle", "add", tarball, *options, "--json")
    assert answer.code == 0, answer.err
    path: str = answer.document["bundles"][0]["path"]
    return tool.root / path[1:]


@pytest.fixture
def run_image(tool: Tool, tmp_path: Path) -> Tool:
    """Return a run image with the static executable and two launchers, one with SBOMs and one without."""
    install_dispatcher(tool.root)
    add(tool, release_with_sboms(tmp_path / "a", "0.21.17"))
    add(tool, release(tmp_path / "b", "0.17.7", elf(MACHINE, size=300), sboms=False))
    return tool


def sound(answer: Answer) -> dict[str, Any]:
    """Return a document that came without a word and is valid."""
    assert (answer.code, answer.err) == (0, "")
    document = answer.document
    if "bomFormat" in document:
        check_cyclonedx(answer.out)
    else:
        check_spdx(document)
    return document


def test_cyclonedx(run_image: Tool) -> None:
    """The dispatcher and each bundle are there with the digests of their files, what they are made of below them."""
    document = sound(run_image.on("sbom"))
    components = document["components"]
    files = {
        component["evidence"]["occurrences"][0]["location"]: component["hashes"]
        for component in components
        if "evidence" in component
    }
    assert set(files) == {"/usr/bin/metalauncher", f"/{LAUNCHER}", f"/{LAUNCHER.replace('0.21.17', '0.17.7')}"}
    for path, hashes in files.items():
        assert hashes == [{"alg": "SHA-256", "content": sha256(run_image.root / path[1:])}]
    assert [component["purl"] for component in components if component["name"] == "buildpacks/lifecycle"] == [
        "pkg:generic/buildpacks/lifecycle@0.17.7",
        "pkg:generic/buildpacks/lifecycle@0.21.17",
    ]
    tree = depends(document)
    assert tree["run-image-launchers"] == {"metalauncher", "buildpacks/lifecycle"}
    assert tree["metalauncher"] >= {"cpython", "musl", "tomli", "mypyc", "hacl-star"}
    named = by_name(document)
    assert named["cpython"]["cpe"] == "cpe:2.3:a:python:python:3.13.5:*:*:*:*:*:*:*"
    modules = next(p["value"] for p in named["cpython"]["properties"] if p["name"] == "metalauncher:modules").split()
    assert {"sys", "posix", "_sre"} <= set(modules)
    assert not {"socket", "_socket", "tarfile", "zlib"} & set(modules)


def test_cyclonedx_of_a_bundle_is_merged(run_image: Tool) -> None:
    """What the bundle's SBOM says is below the bundle: names, versions, licences, package URLs, who needs whom."""
    document = sound(run_image.on("sbom"))
    named = by_name(document)
    for name, version, licence, _ in MODULES:
        component = named[name]
        assert (component["version"], component["purl"]) == (version, purl(name, version))
        assert component["licenses"] == [{"license": {"id": licence}}]
        assert component["bom-ref"].startswith(f"{NEW}#")
    assert named["stdlib"]["cpe"].startswith("cpe:2.3:a:golang:go:")
    tree = depends(document)
    assert tree["buildpacks/lifecycle"] == {"github.com/buildpacks/lifecycle", "github.com/pkg/errors"}
    assert tree["github.com/buildpacks/lifecycle"] == {"github.com/BurntSushi/toml", "stdlib"}
    assert tree["github.com/BurntSushi/toml"] == {"stdlib"}


def test_spdx(run_image: Tool) -> None:
    """The same as SPDX: what the document describes are the dispatcher and the bundles; the rest is below them."""
    document = sound(run_image.on("sbom", "--format", "spdx"))
    packages = {package["SPDXID"]: package for package in document["packages"]}
    described = [
        packages[relation["relatedSpdxElement"]]
        for relation in document["relationships"]
        if relation["relationshipType"] == "DESCRIBES"
    ]
    assert [(package["name"], package["versionInfo"]) for package in described] == [
        ("buildpacks/lifecycle", "0.17.7"),
        ("buildpacks/lifecycle", "0.21.17"),
        ("metalauncher", packages_named(document, "metalauncher")[0]["versionInfo"]),
    ]
    for package in described:
        digest = sha256(run_image.root / package["packageFileName"][1:])
        assert package["checksums"] == [{"algorithm": "SHA256", "checksumValue": digest}]
    below = {
        (packages[relation["spdxElementId"]]["name"], packages[relation["relatedSpdxElement"]]["name"])
        for relation in document["relationships"]
        if relation["relationshipType"] == "DEPENDS_ON"
    }
    assert ("metalauncher", "musl") in below
    assert ("buildpacks/lifecycle", "github.com/pkg/errors") in below
    assert ("github.com/BurntSushi/toml", "stdlib") in below
    assert packages_named(document, "zig")[0]["licenseDeclared"] == "MIT"
    assert packages_named(document, "stdlib")[0]["licenseDeclared"] == "BSD-3-Clause"


def packages_named(document: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Return an SPDX document's packages of that name."""
    return [package for package in document["packages"] if package["name"] == name]


@pytest.mark.parametrize("kind", ["cdx", "spdx", "syft"])
@pytest.mark.parametrize("style", FORMATS, ids=["to-cyclonedx", "to-spdx"])
def test_each_kind_into_each(tool: Tool, tmp_path: Path, kind: str, style: str) -> None:
    """Whichever SBOM a bundle has, each format has all its parts and their relationships."""
    add(tool, release_with_sboms(tmp_path / "a", "0.21.17", (kind,)))
    answer = tool.on("sbom", "--format", style)
    assert answer.err.startswith("Warning: there is no ")
    document = answer.document
    if style == "spdx":
        check_spdx(document)
        names = {package["SPDXID"]: package["name"] for package in document["packages"]}
        pairs = {
            (names[r["spdxElementId"]], names[r["relatedSpdxElement"]])
            for r in document["relationships"]
            if r["relationshipType"] == "DEPENDS_ON"
        }
    else:
        check_cyclonedx(answer.out)
        pairs = {(above, below) for above, all_ in depends(document).items() for below in all_}
    expected = {(name, other) for name, _, _, needs in MODULES for other in needs}
    assert pairs == expected | {
        ("buildpacks/lifecycle", "github.com/buildpacks/lifecycle"),
        ("buildpacks/lifecycle", "github.com/pkg/errors"),
    }


NESTED = b'{"bomFormat": "CycloneDX", "components": ' + b"[" * 100_000
BROKEN: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is not JSON"),
    "cut off": (b'{"bomFormat": "CycloneDX", "compo', "is not JSON"),
    "not UTF-8": (b"\xff\xfe\x00", "is not JSON"),
    "a list": (b"[]", "is not a JSON object"),
    "another format": (b'{"a": 1}', "is neither CycloneDX, nor SPDX 2, nor syft's JSON"),
    "nested": (NESTED, "is nested too deeply"),
    "a number without end": (b'{"artifacts": [' + b"9" * 5000 + b"]}", "is not JSON"),
    "huge": (b" " * (bundled.MERGE_LIMIT + 1), "is larger than 4 MiB"),
    "too many": (
        json.dumps({"artifacts": [{"id": str(n), "name": "x"} for n in range(10_001)]}).encode(),
        "has more than 10000 components",
    ),
    "too many relationships": (
        json.dumps(
            {
                "bomFormat": "CycloneDX",
                "dependencies": [{"ref": str(n), "dependsOn": list("abcdefghijk")} for n in range(9999)],
            }
        ).encode(),
        "has more than 100000 relationships",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("style", FORMATS)
def test_broken_sboms(tool: Tool, tmp_path: Path, name: str, style: str) -> None:
    """An SBOM that nothing can be made of is a warning; the document has the bundle, and what its next SBOM says."""
    launcher = add(tool, release_with_sboms(tmp_path / "a", "0.21.17"))
    install_dispatcher(tool.root)
    data, reason = BROKEN[name]
    kind = {"cyclonedx": "cdx", "spdx": "spdx"}[style]
    file = launcher.with_name(f"sbom.{kind}.json")
    file.write_bytes(data)
    answer = tool.on("sbom", "--format", style)
    assert answer.code == 0
    assert answer.err == f"Warning: {file}: {reason}: what it says is not in the document\n"
    names = {item["name"] for item in answer.document["packages" if style == "spdx" else "components"]}
    assert {"buildpacks/lifecycle", "github.com/pkg/errors"} <= names
    for other in ("cdx", "spdx", "syft"):
        launcher.with_name(f"sbom.{other}.json").write_bytes(data)
    answer = tool.on("sbom", "--format", style)
    assert (answer.code, answer.err.count("Warning: ")) == (0, 3)
    names = {item["name"] for item in answer.document["packages" if style == "spdx" else "components"]}
    assert "buildpacks/lifecycle" in names
    assert "github.com/pkg/errors" not in names


HOSTILE: dict[str, Any] = {
    "bomFormat": "CycloneDX",
    "metadata": {"component": {"bom-ref": "self"}},
    "components": [
        {"name": "a\x00\x1b[31m\ud800" + "x" * 10_000, "version": 7, "purl": "pkg:", "cpe": "cpe:/x", "bom-ref": "1"},
        {"name": "b", "licenses": [{"license": {"name": "Beer; or (wine"}}, {"expression": "MIT OR Nonsense-1"}]},
        {"name": "b", "licenses": [{"license": {"name": "Beer; or (wine"}}, {"expression": "MIT OR Nonsense-1"}]},
        {"name": "c", "bom-ref": "1", "licenses": "MIT", "hashes": [{"alg": "SHA-256", "content": "zz"}, 3, {}]},
        {
            "name": "d",
            "bom-ref": "self",
            "purl": "pkg:golang/%ZZ@?#",
            "type": "firmware",
            "components": [{"name": "e"}],
        },
        {"name": ""},
        {"bom-ref": "nameless", "components": [{"name": "f", "bom-ref": "f"}, None, "g"]},
        None,
        "text",
        {
            "name": "h",
            "bom-ref": "h",
            "hashes": [{"alg": "SHA-1", "content": "A" * 40}, {"alg": "MD5", "content": "0"}],
        },
    ],
    "dependencies": [
        {"ref": "f", "dependsOn": ["h"]},
        {"ref": "h", "dependsOn": ["f", "self", "nobody", 5]},
        {"ref": "self", "dependsOn": ["self"]},
        {"ref": ["f"], "dependsOn": "h"},
        None,
    ],
}


@pytest.mark.parametrize("style", FORMATS)
def test_hostile_values(tool: Tool, tmp_path: Path, style: str) -> None:
    """Values that no format allows are left out or made harmless; the document stays valid, and circles are no trap."""
    install_dispatcher(tool.root)
    launcher = add(tool, release(tmp_path / "a", "0.21.17", elf(MACHINE), sboms=False))
    launcher.with_name("sbom.cdx.json").write_text(json.dumps(HOSTILE))
    document = sound(tool.on("sbom", "--format", style))
    items = document["packages" if style == "spdx" else "components"]
    names = sorted(item["name"] for item in items)
    assert names.count("b") == 1
    assert {"b", "c", "e", "f", "h"} <= set(names)
    (first,) = [name for name in names if name.startswith("a ")]
    assert first == "a  [31m?" + "x" * (512 - 8)
    if style == "cyclonedx":
        tree = depends(document)
        assert tree["buildpacks/lifecycle"] == {first, "b", "c", "e", "f"}
        assert tree["f"] == {"h"}
        assert tree["h"] == {"f"}
        assert by_name(document)["h"]["hashes"] == [{"alg": "SHA-1", "content": "a" * 40}]
    else:
        (beer,) = packages_named(document, "b")
        assert beer["licenseDeclared"] == "NOASSERTION"
        assert beer["licenseComments"] == "declared: Beer; or (wine; MIT OR Nonsense-1"


def test_an_sbom_that_is_no_file(tool: Tool, tmp_path: Path) -> None:
    """A link, which could lead out of the root, and a directory are not read."""
    install_dispatcher(tool.root)
    launcher = add(tool, release(tmp_path / "a", "0.21.17", elf(MACHINE), sboms=False))
    launcher.with_name("sbom.cdx.json").symlink_to("/etc/passwd")
    launcher.with_name("sbom.spdx.json").mkdir()
    answer = tool.on("sbom")
    assert answer.code == 0
    assert answer.err.splitlines() == [
        f"Warning: {launcher.with_name('sbom.cdx.json')}: is a link, which is not followed here: "
        "what it says is not in the document",
        f"Warning: {launcher.with_name('sbom.spdx.json')}: is a directory: what it says is not in the document",
    ]
    check_cyclonedx(answer.out)


@pytest.mark.parametrize("style", FORMATS)
def test_the_same_for_the_same(run_image: Tool, tmp_path: Path, style: str) -> None:
    """Two runs give the same bytes, whatever directory, time zone and hash seed; another file gives other ids."""
    first = run_image.on("sbom", "--format", style)
    outs = set()
    for seed, zone, folder in (("1", "UTC", tmp_path), ("2", "Asia/Tokyo", tmp_path / "a")):
        done = subprocess.run(
            [sys.executable, "-m", "metalauncher", "sbom", "--format", style, "--root", run_image.root],
            cwd=folder,
            env={"PYTHONHASHSEED": seed, "TZ": zone, "PYTHONPATH": str(PROJECT)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, done.stderr) == (0, "")
        outs.add(done.stdout)
    assert outs == {first.out}
    with (run_image.root / LAUNCHER).open("ab") as file:
        file.write(b"x")
    changed = run_image.on("sbom", "--format", style).document
    key = "serialNumber" if style == "cyclonedx" else "documentNamespace"
    assert changed[key] != first.document[key]


def test_source_date_epoch(run_image: Tool) -> None:
    """SOURCE_DATE_EPOCH is the documents' time; what is no time is refused."""
    epoch = {"SOURCE_DATE_EPOCH": "1700000000"}
    assert run_image.on("sbom", environ=epoch).document["metadata"]["timestamp"] == "2023-11-14T22:13:20+00:00"
    document = run_image.on("sbom", "--format", "spdx", environ=epoch).document
    assert document["creationInfo"]["created"] == "2023-11-14T22:13:20Z"
    assert run_image.on("sbom").document["metadata"]["timestamp"] == "1980-01-01T00:00:00+00:00"
    latest = run_image.on("sbom", environ={"SOURCE_DATE_EPOCH": "253402300799"}).document
    assert latest["metadata"]["timestamp"] == "9999-12-31T23:59:59+00:00"
    for late in ("253402300800", "9" * 30):
        answer = run_image.on("sbom", environ={"SOURCE_DATE_EPOCH": late})
        assert answer.err.startswith(f"ERROR: SOURCE_DATE_EPOCH: '{late}' is after the year 9999\n")
    for wrong in ("soon", "-1", "1_000", " 5 ", "9" * 41):
        answer = run_image.on("sbom", environ={"SOURCE_DATE_EPOCH": wrong})
        assert (answer.code, answer.out) == (3, "")
        assert answer.err == (
            f"ERROR: SOURCE_DATE_EPOCH: '{wrong}' is not seconds since 1970\n"
            "  do:      export SOURCE_DATE_EPOCH=$(git log -1 --pretty=%ct)\n"
        )


@pytest.mark.parametrize("style", FORMATS)
def test_verify(run_image: Tool, tmp_path: Path, style: str) -> None:
    """A document holds as long as the files are as they were: one changed byte is found, and the file named."""
    file = tmp_path / "sbom.json"
    answer = run_image.on("sbom", "--format", style, "--output", file)
    assert (answer.code, answer.out, answer.err) == (0, "", "")
    answer = run_image.on("sbom", "--verify", file)
    assert (answer.code, answer.out, answer.err) == (0, f"3 files as {file} says\n", "")
    launcher = run_image.root / LAUNCHER
    before = sha256(launcher)
    data = bytearray(launcher.read_bytes())
    data[-1] ^= 1
    launcher.write_bytes(data)
    answer = run_image.on("sbom", "--verify", file)
    assert (answer.code, answer.err) == (1, "")
    assert answer.out == f"/{LAUNCHER}: has the sha256 {sha256(launcher)}, the document says {before}\n"
    launcher.unlink()
    answer = run_image.on("sbom", "--verify", file)
    assert (answer.code, answer.out) == (1, f"/{LAUNCHER}: is not a file that can be read\n")


def test_verify_finds_what_is_not_in_it(run_image: Tool, tmp_path: Path) -> None:
    """A bundle that came later is a difference, too; `--json` has every file."""
    file = tmp_path / "sbom.json"
    run_image.on("sbom", "--output", file)
    later = add(run_image, release(tmp_path / "c", "0.9.3", elf(MACHINE)))
    path = f"/{later.relative_to(run_image.root)}"
    answer = run_image.on("sbom", "--verify", file)
    assert (answer.code, answer.out) == (1, f"{path}: the document has no digest of it\n")
    answer = run_image.on("sbom", "--verify", file, "--json")
    assert answer.code == 1
    verdicts = {row["path"]: row["verdict"] for row in answer.document["files"]}
    assert verdicts.pop(path) == "undocumented"
    assert set(verdicts.values()) == {"same"}
    assert len(verdicts) == 3


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "no such file or directory"),
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "is not a JSON object"),
        ('{"components": [{"evidence": 1, "hashes": {}}, null], "packages": {}}', "has no file with a digest in it"),
        (
            '{"packages": [{"packageFileName": "/a", "checksums": [{"algorithm": "SHA256", "checksumValue": "1"},'
            ' {"algorithm": "SHA256", "checksumValue": "2"}]}]}',
            "has two digests of /a",
        ),
    ],
)
def test_verify_what_is_no_sbom(tool: Tool, tmp_path: Path, text: str | None, reason: str) -> None:
    """What is no document with files in it is refused."""
    file = tmp_path / "sbom.json"
    if text is not None:
        file.write_text(text)
    answer = tool.on("sbom", "--verify", file)
    assert (answer.code, answer.out) == (3, "")
    assert answer.err == (
        f"ERROR: {file}: {reason}\n"
        "  need:    a CycloneDX or SPDX document that `metalauncher sbom` wrote\n"
        "  do:      metalauncher sbom --help\n"
    )


def test_verify_reads_files_alone(tool: Tool, tmp_path: Path) -> None:
    """What is no file, or has no end, is not read as a document."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for name in (pipe, Path("/dev/zero")):
        answer = tool.on("sbom", "--verify", name)
        assert (answer.code, answer.err.splitlines()[0]) == (3, f"ERROR: {name}: is not a regular file")


def test_verify_stays_under_the_root(run_image: Tool, tmp_path: Path) -> None:
    """A document's paths lead nowhere outside, and to no file without end."""
    secret = tmp_path / "secret"
    secret.write_text("x")
    (run_image.root / "zero").symlink_to("/dev/zero")
    checksums = [{"algorithm": "SHA256", "checksumValue": sha256(secret)}]
    paths = [f"/..{secret}", "/zero", "/dev/zero", "/a\udcff"]
    file = tmp_path / "sbom.json"
    file.write_text(json.dumps({"packages": [{"packageFileName": p, "checksums": checksums} for p in paths]}))
    answer = run_image.on("sbom", "--verify", file, "--json")
    assert answer.code == 1
    verdicts = {row["path"]: row["verdict"] for row in answer.document["files"]}
    assert [verdicts[path] for path in paths] == ["missing"] * 4


def test_output_that_cannot_be_written(run_image: Tool, tmp_path: Path) -> None:
    """The file is written whole or not at all."""
    target = tmp_path / "none" / "sbom.json"
    answer = run_image.on("sbom", "--output", target)
    assert (answer.code, answer.out) == (3, "")
    assert answer.err == (
        f"ERROR: --output: '{target}': no such file or directory\n"
        "  need:    a file in a directory that can be written\n"
        f"  do:      ls -ld {target.parent}\n"
    )


def test_nothing_to_describe(tool: Tool) -> None:
    """An empty root is no run image."""
    answer = tool.on("sbom")
    assert (answer.code, answer.out) == (3, "")
    assert "ERROR: there is nothing to describe: neither metalauncher nor a launcher\n" in answer.err


def test_launcher_without_executable(run_image: Tool) -> None:
    """A bundle whose executable is missing is left out, and that is said."""
    (run_image.root / LAUNCHER).unlink()
    answer = run_image.on("sbom")
    assert answer.code == 0
    expected = f"Warning: {NEW} is left out: {run_image.root / LAUNCHER} is not a file that can be read\n"
    assert answer.err == expected
    versions = {c["version"] for c in answer.document["components"] if c["name"] == "buildpacks/lifecycle"}
    assert versions == {"0.17.7"}


def test_zipapp(tool: Tool) -> None:
    """The zipapp is described as well: what it brings is metalauncher and tomli, not the image's Python."""
    install_dispatcher(tool.root, python_form())
    document = sound(tool.on("sbom"))
    assert document["metadata"]["component"]["name"] == "metalauncher"
    assert set(by_name(document)) == {"tomli"}


def test_wrong_contents(run_image: Tool) -> None:
    """A description of another executable, a broken one and none at all are refused, with what to do."""
    contents = run_image.root / "usr/lib/cnb/metalauncher/contents.json"
    executable = run_image.root / "usr/bin/metalauncher"
    told = json.loads(contents.read_text())["sha256"]
    with executable.open("ab") as file:
        file.write(b"x")
    for command in ("sbom", "vex"):
        answer = run_image.on(command)
        assert (answer.code, answer.out) == (3, "")
        assert answer.err == (
            f"ERROR: {contents}: describes another executable than {executable}\n"
            f"  need:    the description of sha256 {sha256(executable)}\n"
            f"  have:    that of sha256 {told}\n"
            "  do:      install both files from the same build\n"
            f"           sha256sum {executable}\n"
        )
    contents.write_text("{")
    assert run_image.on("sbom").err.startswith(f"ERROR: {contents}: is not JSON\n")
    contents.unlink()
    answer = run_image.on("sbom")
    assert answer.code == 3
    assert answer.err == (
        f"ERROR: {contents}: is missing: nothing says what the executable is made of\n"
        "  need:    the file that the build wrote beside the executable, its name with .contents.json\n"
        "  do:      copy it there\n"
        f"           install -D -m 644 dist/metalauncher-linux-x86_64.contents.json {contents}\n"
    )


def test_contents_that_are_no_file(run_image: Tool) -> None:
    """A directory, a file without end and a huge one are not read, in the executable's place neither."""
    contents = run_image.root / "usr/lib/cnb/metalauncher/contents.json"
    contents.write_text(" " * (300 << 10))
    assert run_image.on("sbom").err.startswith(f"ERROR: {contents}: is larger than 256 KiB\n")
    contents.unlink()
    os.mkfifo(contents)
    assert run_image.on("sbom").err.startswith(f"ERROR: {contents}: is not a regular file\n")
    contents.unlink()
    contents.mkdir()
    assert run_image.on("sbom").err.startswith(f"ERROR: {contents}: is a directory\n")
    executable = run_image.root / "usr/bin/metalauncher"
    executable.unlink()
    executable.mkdir()
    answer = run_image.on("sbom")
    assert (answer.code, answer.err) == (
        3,
        f"ERROR: {executable}: is not a file that can be read\n  do:      ls -l {executable}\n",
    )


def test_missing_extra(run_image: Tool, tmp_path: Path) -> None:
    """Without the libraries the command says which extra has them; commands that need none work."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nfor name in ('cyclonedx', 'spdx_tools'):\n    sys.modules[name] = None\n"
    )

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "metalauncher", *arguments, "--root", run_image.root],
            env={"PYTHONPATH": f"{tmp_path}:{PROJECT}"},
            capture_output=True,
            text=True,
            timeout=60,
        )

    for style, module in (("cyclonedx", "cyclonedx"), ("spdx", "spdx_tools")):
        done = run("sbom", "--format", style)
        assert (done.returncode, done.stdout) == (3, "")
        assert done.stderr == (
            f"ERROR: sbom needs the Python module '{module}', which is not installed\n"
            "  do:      pip install 'metalauncher[sbom]'\n"
        )
    assert run("vex").returncode == 0


def test_image_files(run_image: Tool) -> None:
    """What belongs in the image is valid, small, and the shim's part of it speaks of the shim alone."""
    root = Root(bytes(run_image.root), whole=True)
    files = image_files(root)
    own, shim = "usr/lib/cnb/metalauncher", "usr/lib/cnb/shim"
    assert set(files) == {
        f"{own}/openvex.json",
        *[f"{folder}/sbom.{kind}.json" for folder in (own, shim) for kind in ("cdx", "spdx")],
    }
    assert image_files(root) == files
    check_openvex(json.loads(files[f"{own}/openvex.json"]))
    for folder in (own, shim):
        check_cyclonedx(files[f"{folder}/sbom.cdx.json"].decode())
        check_spdx(json.loads(files[f"{folder}/sbom.spdx.json"]))
    subject = json.loads(files[f"{own}/sbom.cdx.json"])["metadata"]["component"]
    assert subject["hashes"] == [{"alg": "SHA-256", "content": sha256(run_image.root / "usr/bin/metalauncher")}]
    document = json.loads(files[f"{shim}/sbom.cdx.json"])
    assert "components" not in document
    assert document["metadata"]["component"]["name"] == "metalauncher-shim"
    for name, data in files.items():
        if name.startswith(shim):
            assert b"lifecycle" not in data
            assert b"cpython" not in data
    contents = (run_image.root / own / "contents.json").stat().st_size
    assert sum(map(len, files.values())) + contents < 64 << 10


def test_shim_sbom_outlives_the_run_image(run_image: Tool) -> None:
    """It is copied into the app: it stays the same whatever launchers the run image has."""
    root = Root(bytes(run_image.root), whole=True)
    before = image_files(root)
    assert run_image.on("bundle", "remove", OLD).code == 0
    (run_image.root / "usr/bin/metalauncher").unlink()
    after = image_files(root)
    shims = {name for name in before if "/shim/" in name}
    assert len(shims) == 2
    assert {name: after[name] for name in shims} == {name: before[name] for name in shims}
    assert not {name for name in after if "/metalauncher/" in name}
    assert len(SHIM_TEXT.splitlines()) == 1


def test_two_descriptors_of_one_launcher(run_image: Tool) -> None:
    """The operator's descriptor of the same launcher doesn't make two of it; another executable does."""
    etc = run_image.root / "etc/cnb/launchers.d"
    etc.mkdir(parents=True)
    usr = run_image.root / "usr/lib/cnb/launchers.d/buildpacks_lifecycle@0.21.17.toml"
    shutil.copy(usr, etc)
    assert len(packages(run_image)) == 2
    other = run_image.root / "opt/launcher"
    other.parent.mkdir()
    other.write_bytes(elf(MACHINE, size=400))
    text = usr.read_text().replace("[launcher]", '[launcher]\npath = "/opt/launcher"')
    (etc / usr.name).write_text("\n".join(line for line in text.splitlines() if not line.startswith("sha256")))
    found = packages(run_image)
    assert {component["bom-ref"] for component in found} == {OLD, NEW, f"{NEW}:2"}


def packages(tool: Tool) -> list[dict[str, Any]]:
    """Return the components that are bundles."""
    document = tool.on("sbom").document
    return [component for component in document["components"] if component["name"] == "buildpacks/lifecycle"]


OWN_LICENCE = "LicenseRef-Fedora-Public-Domain"  # the library knows one that is called so, and would rename it


def with_licences(
    tool: Tool, folder: Path, version: str, packages: list[dict[str, str]], texts: dict[str, Any]
) -> None:
    """Install a bundle whose own SBOM says this of its packages' licences."""
    launcher = add(tool, release(folder, version, elf(MACHINE), sboms=False))
    document = {
        "spdxVersion": "SPDX-2.3",
        "packages": [
            {"name": f"{version}-{number}", "SPDXID": f"SPDXRef-{number}", **package}
            for number, package in enumerate(packages)
        ],
        "hasExtractedLicensingInfos": [{"licenseId": name, "extractedText": text} for name, text in texts.items()],
    }
    launcher.with_name("sbom.spdx.json").write_text(json.dumps(document))


def test_licence_references(tool: Tool, tmp_path: Path) -> None:
    """A vendor's LicenseRef keeps its name, and is defined in the document that uses it, by all texts that it has."""
    install_dispatcher(tool.root)
    declared = {"licenseDeclared": f"MIT AND {OWN_LICENCE}"}
    unknown = {"licenseDeclared": "LicenseRef-Lost OR Apache-2.0"}
    foreign = {"licenseDeclared": "DocumentRef-other:LicenseRef-x"}
    with_licences(tool, tmp_path / "a", "0.21.17", [declared, unknown, foreign], {OWN_LICENCE: "free\nfor all\x1b"})
    with_licences(tool, tmp_path / "b", "0.17.7", [declared], {OWN_LICENCE: "another", "LicenseRef-Unused": "x"})
    document = sound(tool.on("sbom", "--format", "spdx"))
    said = {package["name"]: package["licenseDeclared"] for package in document["packages"]}
    assert said["0.21.17-0"] == said["0.17.7-0"] == f"MIT AND {OWN_LICENCE}"
    assert said["0.21.17-1"] == "LicenseRef-Lost OR Apache-2.0"
    assert said["0.21.17-2"] == "NOASSERTION"  # of a document that is not here
    defined = {item["licenseId"]: item["extractedText"] for item in document["hasExtractedLicensingInfos"]}
    assert defined == {
        OWN_LICENCE: "another\n\nfree\nfor all ",
        "LicenseRef-Lost": "The SBOM that names LicenseRef-Lost does not have its text.",
    }
    sound(tool.on("sbom", "--format", "cyclonedx"))


@pytest.mark.parametrize("style", FORMATS)
def test_which_licence_counts(tool: Tool, tmp_path: Path, style: str) -> None:
    """What was declared; what was concluded where nothing was declared; SPDX 2.3 lets either be absent."""
    install_dispatcher(tool.root)
    packages = [
        {"licenseDeclared": "MIT"},
        {"licenseDeclared": "MIT", "licenseConcluded": "NOASSERTION"},
        {"licenseDeclared": "MIT", "licenseConcluded": "Apache-2.0"},
        {"licenseConcluded": "MIT"},
        {"licenseConcluded": "MIT", "licenseDeclared": "NONE"},
        {},
    ]
    with_licences(tool, tmp_path / "a", "0.21.17", packages, {})
    document = sound(tool.on("sbom", "--format", style))
    items = {item["name"]: item for item in document["packages" if style == "spdx" else "components"]}
    for number in range(5):
        item = items[f"0.21.17-{number}"]
        assert (item["licenseDeclared"] if style == "spdx" else item["licenses"][0]["license"]["id"]) == "MIT", number
    last = items["0.21.17-5"]
    assert last.get("licenseDeclared", "NOASSERTION") == "NOASSERTION"
    assert "licenses" not in last
