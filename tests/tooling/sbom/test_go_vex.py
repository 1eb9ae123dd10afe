"""OpenVEX's own module as the judge: for which images and parts a document counts, and what is attached to an image.

go-vex is what trivy and grype match with, openvex/discovery is where grype has an image's names from, and
go-containerregistry lists referrers as trivy does: by the registry, or by the tag.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import golang
import goreaders
import pytest
from kit import Kit, said
from platforms import BOTH, Platforms
from registries import RealRegistry, start_registry

ELSEWHERE = "pkg:generic/elsewhere@1.0"


@pytest.fixture(scope="module")
def program() -> Path:
    """Return what asks OpenVEX's module."""
    try:
        return goreaders.build("vex")
    except golang.Unavailable as missing:
        pytest.fail(str(missing))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RealRegistry]:
    """Run a registry."""
    (tmp_path / "registry").mkdir()
    with contextlib.closing(start_registry(tmp_path / "registry")) as registry:
        yield registry


def _said(program: Path, *arguments: str) -> list[Any]:
    done = subprocess.run([program, *arguments], check=True, stdout=subprocess.PIPE, timeout=120)
    return [json.loads(line) for line in done.stdout.splitlines()]


class Asked(NamedTuple):
    """One question about a document: the status that a scanner takes from it, if any."""

    vulnerability: str
    product: str
    subcomponent: str


def _matches(program: Path, folder: Path, document: Any, questions: list[Asked]) -> list[list[str]]:
    file = folder / "openvex.json"
    file.write_text(json.dumps(document))
    names = ("Vulnerability", "Product", "Subcomponent")
    frames = [json.dumps(dict(zip(names, one, strict=True))).encode() for one in questions]
    return goreaders.ask(program, frames, file)


def _push(kit: Kit, *targets: str, **more: str) -> str:
    pushes = [word for target in targets for word in ("--push", target)]
    answer = kit.tool(*kit.options()[:-2], "--json", *pushes, "--attach", environ=more)
    assert (answer.code, said(answer)) == (0, ""), answer.err
    return str(answer.document["manifest"])


def _purls(kit: Kit, run: str) -> set[str]:
    """Return what the SBOM of a run image names."""
    document = kit.tool("sbom", "--run-image", run).document
    return {component["purl"] for component in document["components"] if component.get("purl")}


def test_image(program: Path, kit: Kit, server: RealRegistry, tmp_path: Path) -> None:
    """Each statement counts for the image by every name scanners have for it, and its parts; for no other image."""
    run, other = f"{server.host}/acme/run", f"{server.host}/acme/other"
    digest = _push(kit, f"{run}:1", f"{other}:1")
    later = _push(kit, f"{run}:2", SOURCE_DATE_EPOCH="1700000000")
    assert digest != later
    mine, by_digest, same, moved, older = _said(
        program, "named", f"{run}:1", f"{run}@{digest}", f"{other}:1", f"{run}:2", f"{run}@{later}"
    )
    mine, by_digest, same, moved, older = [
        [name for name in names if name.startswith("pkg:")] for names in (mine, by_digest, same, moved, older)
    ]
    purls = _purls(kit, f"{run}:1")
    document = kit.tool("vex", "--image", f"{run}:1").document
    yes: list[Asked] = []
    no: list[Asked] = []
    for statement in document["statements"]:
        (product,) = statement["products"]
        parts = [part["@id"] for part in product["subcomponents"]]
        name = statement["vulnerability"]["name"]
        assert set(parts) <= purls
        for part in parts:
            yes += [Asked(name, image, part) for image in (*mine, *by_digest)]
            no += [Asked(name, image, part) for image in (*same, *moved, *older)]
            no.append(Asked("CVE-1999-0001", mine[0], part))
        no.append(Asked(name, mine[0], ELSEWHERE))
    assert len(yes) > 100
    answers = _matches(program, tmp_path, document, yes + no)
    statuses = {statement["vulnerability"]["name"]: statement["status"] for statement in document["statements"]}
    assert answers[: len(yes)] == [[statuses[one.vulnerability]] for one in yes]
    assert not any(answers[len(yes) :])
    by_product = kit.tool("vex", "--run-image", f"{run}:1", "--product", product["@id"]).document
    assert by_product == document
    # A purl without a digest is every image of the repository, and of no other.
    wide = kit.tool("vex", "--run-image", f"{run}:1", "--product", f"pkg:oci/run?repository_url={run}").document
    assert all(_matches(program, tmp_path, wide, yes))
    assert not any(_matches(program, tmp_path, wide, [one for one in no if one.product in same]))


def test_attached(program: Path, kit: Kit, server: RealRegistry, tmp_path: Path) -> None:
    """What is attached to each platform's image is found there, and counts for that image alone."""
    run = f"{server.host}/acme/run"
    found = Platforms(kit).build(*BOTH, "--base", "scratch", "--push", f"{run}:1", "--attach").document
    (pushed,) = found["pushed"]
    amd64, arm64 = [each["manifest"] for each in found["platforms"]]
    (index,) = _said(program, "attached", f"{run}@{found['index']}")
    assert index == []
    mine, theirs = _said(program, "attached", f"{run}@{amd64}", f"{run}@{arm64}")
    assert [one["digest"] for one in (*mine, *theirs)] == [one["manifest"] for one in pushed["attached"]]
    (one,), (two,) = mine, theirs
    kind = {"in-toto.io/predicate-type": "https://openvex.dev/ns/v0.2.0"}
    assert (one["artifactType"], one["annotations"]) == ("application/vnd.in-toto+json", kind)
    documents = [each["layers"][0]["predicate"] for each in (one, two)]
    # By the index's tag: its names are of the index and of the image for this platform.
    (names,) = _said(program, "named", f"{run}:1")
    questions = [
        Asked(statement["vulnerability"]["name"], name, statement["products"][0]["subcomponents"][-1]["@id"])
        for statement in documents[0]["statements"]
        for name in names
        if amd64.partition(":")[2] in name and name.startswith("pkg:")
    ]
    assert all(_matches(program, tmp_path, documents[0], questions))
    assert not any(_matches(program, tmp_path, documents[1], questions))
    assert len(questions) == 2 * len(documents[0]["statements"])


def test_vendors_statements(program: Path, kit: Kit, tmp_path: Path) -> None:
    """Every status that a vendor may state makes a statement that go-vex holds valid."""
    texts = {
        "not_affected": 'justification = "vulnerable_code_not_present"\nimpact-statement = "none"',
        "affected": 'action-statement = "rebase"',
        "fixed": 'status-notes = "since 1.2"',
        "under_investigation": 'status-notes = "soon"',
    }
    head = '[[statement]]\nproduct = "pkg:generic/a@1"'
    tables = [
        f'{head}\nvulnerability = "CVE-2020-{number:04}"\nstatus = "{status}"\n{text}'
        for number, (status, text) in enumerate(texts.items(), 1)
    ]
    (tmp_path / "vex.toml").write_text("\n".join(tables))
    kit.build()
    document = kit.tool("vex", "--run-image", f"oci:{kit.out}", "--statements", tmp_path / "vex.toml").document
    asked = [Asked(f"CVE-2020-{number:04}", "pkg:generic/a@1", "") for number in range(1, 5)]
    assert _matches(program, tmp_path, document, asked) == [[status] for status in texts]
