"""Known differences: what a file of them may say, and what the one that comes with the package allows."""

from __future__ import annotations

from pathlib import Path

import pytest

from metalauncher.tooling.console import Unable
from metalauncher.tooling.launchers.compare.allowances import SHIPPED, Allowance, read_allowances
from metalauncher.tooling.launchers.compare.case import Apis
from metalauncher.tooling.launchers.compare.cases import all_cases
from metalauncher.tooling.launchers.compare.comparison import Difference

CASES = {case.name: case for case in all_cases(Apis("0.12", "0.10"))}
HEAD = 'schema-version = "1"\n'


def read(tmp_path: Path, text: str) -> list[Allowance]:
    """Read a file of known differences."""
    file = tmp_path / "known.toml"
    file.write_text(text)
    return read_allowances(str(file))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[", "Unclosed"),
        ("", 'has no schema-version = "1"'),
        ('schema-version = "2"', 'has no schema-version = "1"'),
        (HEAD + "x = 1", "has an unknown key 'x'"),
        (HEAD + "allow = 1", "allow is not an array of tables"),
        (HEAD + "allow = [1]", "[[allow]] number 1: all its values are strings"),
        (HEAD + '[[allow]]\ncase = "*"\n', "[[allow]] number 1: has no reason"),
        (HEAD + '[[allow]]\ncase = "*"\nreason = " "\n', "[[allow]] number 1: has no reason"),
        (HEAD + '[[allow]]\nreason = "x"\n', "[[allow]] number 1: has no case"),
        (HEAD + '[[allow]]\ncase = "*"\nreason = 1\n', "[[allow]] number 1: all its values are strings"),
        (HEAD + '[[allow]]\ncase = "*"\nreason = "x"\nnew = "x"\n', "[[allow]] number 1: unknown key 'new'"),
        (HEAD + '[[allow]]\ncase = "*"\nreason = "x"\na = "("\n', "[[allow]] number 1: a is not a regular expression"),
    ],
)
def test_wrong_files(tmp_path: Path, text: str, reason: str) -> None:
    """What a file may not say is told with what is wrong; a difference without a reason is not known."""
    with pytest.raises(Unable) as refused:
        read(tmp_path, text)
    assert reason in refused.value.headline
    assert "known.toml" in refused.value.headline


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """It is named, and so are those that come with the package."""
    with pytest.raises(Unable, match=r"none\.toml: no such file") as refused:
        read_allowances(str(tmp_path / "none.toml"))
    assert "go-rust" in refused.value.have[0]


@pytest.mark.parametrize(
    ("table", "allows"),
    [
        ('case = "route/link"', True),
        ('case = "route/*"\nfield = "exit*"', True),
        ('case = "route/*"\nfield = "stdout"', False),
        ('case = "path/*"', False),
        ('case = "*"\na = "exit 1"\nb = "82$"', True),
        ('case = "*"\na = "exit 2"', False),
        ('case = "*"\nb = "exit 1"', False),
    ],
)
def test_what_is_allowed(tmp_path: Path, table: str, allows: bool) -> None:
    """Case, field and both values have to be what the table says, as far as it says anything."""
    (allowance,) = read(tmp_path, f'{HEAD}[[allow]]\n{table}\nreason = "known"\n')
    difference = Difference("exit status", b"exit 1", b"exit 82")
    assert allowance.allows(CASES["route/link"], difference) is allows


GO, RUST = b"ERROR: failed to read metadata: x\n", b"ERROR: failed to read metadata: y\n"


@pytest.mark.parametrize(
    ("case", "field", "a", "b", "allowed"),
    [
        ("metadata/missing", "exit status", b"exit 1", b"exit 82", True),
        ("metadata/missing", "exit status", b"exit 1", b"exit 1 ", False),
        ("metadata/missing", "exit status", b"exit 82", b"exit 1", False),
        ("metadata/missing", "stdout", GO, b"", True),
        ("metadata/missing", "stderr", b"", RUST, True),
        ("metadata/missing", "stdout", b"", RUST, False),
        ("route/link", "stdout", b"from the app\n", b"", False),
        ("buildpack-api/far-too-new", "stderr", b"", b"ERROR: API for buildpack 'x' for buildpack 'x'\n", True),
        ("deprecation/platform-error", "exit status", b"exit 11", b"exit 0", True),
        ("deprecation/platform-error", "programs started", b"(none)", b"app", True),
        ("deprecation/platform-quiet", "exit status", b"exit 11", b"exit 0", False),
        ("deprecation/platform-warn", "stdout", b"Warning: Platform requested deprecated API '0.6'\n", b"", True),
        ("platform-api/three-parts", "exit status", b"exit 11", b"exit 0", True),
        ("platform-api/three-parts", "programs started", b"(none)", b"app", True),
        ("platform-api/junk", "exit status", b"exit 11", b"exit 0", False),
        ("colour/terminal-1", "stdout", b"ERROR: x", b"\x1b[31;1mERROR: \x1b[0mx", True),
        ("colour/terminal-true", "stdout", b"ERROR: x", b"\x1b[31;1mERROR: \x1b[0mx", False),
        ("route/link", "app: variable HOME", b"/home/cnb", b"", False),
    ],
)
def test_go_and_rust(case: str, field: str, a: bytes, b: bytes, allowed: bool) -> None:
    """What is known of Go and Rust is allowed, in that direction; nothing near it is."""
    known = read_allowances("go-rust")
    assert any(one.allows(CASES[case], Difference(field, a, b)) for one in known) is allowed


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_files_speak_of_cases_that_there_are(name: str) -> None:
    """Each pattern meets a case, and each reason says something."""
    from fnmatch import fnmatchcase

    for allowance in read_allowances(name):
        assert any(fnmatchcase(case, allowance.case) for case in CASES), allowance.case
        assert len(allowance.reason) > 20
