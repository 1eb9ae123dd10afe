"""Words that are gone from what users read stay gone: pages, help, messages, reports, what is new."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import DATA, PROJECT

LIST = DATA / "gone-words.txt"
PAGES = [
    PROJECT / "README.md",
    PROJECT / "CONTRIBUTING.md",
    *PROJECT.glob("docs/**/*.md"),
    *PROJECT.glob("launchers.d/*.md"),
]
TEXTS = [
    *PROJECT.glob("docs/*.1"),
    *PROJECT.glob("metalauncher/**/*.js"),
    *(DATA / "refusals").glob("*.txt"),
    *PROJECT.glob("metalauncher/**/*.json"),
]
MODULES = [file for file in PROJECT.glob("metalauncher/**/*.py") if "compare" not in file.parts]


def gone() -> dict[str, str]:
    """Return the words that are gone, each with what to say instead."""
    lines = [line for line in LIST.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split(" | ") for line in lines)


def found(text: str) -> list[str]:
    """Return the words in a text that are gone."""
    flat = " ".join(text.lower().split())
    return [word for word in gone() if re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", flat)]


def said(module: Path) -> Iterator[str]:
    """Give the texts of a module that are not its documentation."""
    tree = ast.parse(module.read_text())
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.value


def test_the_list() -> None:
    """Each word has a replacement that is not itself gone; it is found across lines, and not within other words."""
    words = gone()
    assert len(words) > 30
    assert [word for word, instead in words.items() if found(instead)] == []
    assert found("It strands\n  none, a stand-in for good.") == ["strands", "stand-in", "for good"]
    assert found("recommended departed understands told") == []


@pytest.mark.parametrize("file", [*PAGES, *TEXTS], ids=lambda file: str(file.relative_to(PROJECT)))
def test_not_in_pages_and_texts(file: Path) -> None:
    """No page, no help, no refusal, no description in a schema has one."""
    assert found(file.read_text()) == []


def test_not_in_what_is_new() -> None:
    """Nor has what CHANGELOG.md says of the next release."""
    unreleased = (PROJECT / "CHANGELOG.md").read_text().partition("## Unreleased")[2].partition("\n## ")[0]
    assert unreleased
    assert found(unreleased) == []


def test_not_in_what_the_program_says() -> None:
    """No text in the source has one: messages, help, reports."""
    assert len(MODULES) > 100
    texts = {file: [text for text in said(file) if found(text)] for file in MODULES}
    assert {str(file.relative_to(PROJECT)): bad for file, bad in texts.items() if bad} == {}


# Of these two registries each page names the one that it means; these pages say at their beginning which.
REGISTRY = re.compile(r"(?<!launcher )(?<!container )(?<![\w./`-])registr(?:y|ies)\b(?![\w.`-]|\()")
SAY_WHICH = ("check.md", "patch.md", "container-registries.md", "architecture.md", "static-executable.md")


@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in SAY_WHICH], ids=lambda page: page.name)
def test_one_registry_is_not_taken_for_the_other(page: Path) -> None:
    """It is the launcher registry or the container registry."""
    flat = " ".join(page.read_text().lower().split())
    assert [flat[max(0, match.start() - 40) : match.end() + 20] for match in REGISTRY.finditer(flat)] == []
