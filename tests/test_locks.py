"""What is installed is pinned by hash, all of it: the locks are whole, and are those of the lists beside them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from harness import PROJECT
from packaging.requirements import Requirement

STATIC = PROJECT / "image/static"

IGNORED = (".venv", "build", "data", ".git")
LOCKS = sorted(
    file
    for pattern in ("*requirements*.txt", "*/*requirements*.txt", "*/*/*requirements*.txt")
    for file in PROJECT.glob(pattern)
    if not set(file.relative_to(PROJECT).parts) & set(IGNORED)
)
NAMES = [str(lock.relative_to(PROJECT)) for lock in LOCKS]
PINNED = re.compile(r"([A-Za-z0-9._-]+)(?:\[[a-z,-]+\])?==([^\s;]+)( ; .+)?((?: --hash=sha256:[0-9a-f]{64})+)")


def requirements(file: Path) -> list[str]:
    """Return the requirements of a file, one a line, without comments."""
    text = file.read_text().replace("\\\n", " ")
    lines = [re.sub(r"\s+", " ", re.sub(r"(^|\s)#.*", "", line)).strip() for line in text.splitlines()]
    return [line for line in lines if line]


def normal(name: str) -> str:
    """Return a distribution's name as it is compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(lock: Path) -> dict[str, str]:
    """Return the versions of a lock by their distributions' names; a line without a version or a hash fails."""
    found: dict[str, str] = {}
    for line in requirements(lock):
        match = PINNED.fullmatch(line)
        assert match, f"{lock}: not pinned by hash: {line}"
        found[normal(match[1])] = match[2]
    return found


def test_there_are_locks() -> None:
    """The globs above find them."""
    expected = {"requirements-dev.txt", "fuzz/requirements.txt", "image/static/mypyc-requirements.txt"}
    assert expected <= set(NAMES)


@pytest.mark.parametrize("lock", LOCKS, ids=NAMES)
def test_all_is_pinned_by_hash(lock: Path) -> None:
    """Every requirement of every lock has one version and at least one sha256."""
    assert pins(lock)


def test_what_has_no_list_says_why() -> None:
    """A lock that `make lock` does not write is written by hand, of few files, with the reason first."""
    for lock in LOCKS:
        if not lock.with_suffix(".in").exists():
            assert lock.read_text().startswith("# ")
            assert "make lock" not in lock.read_text()


@pytest.mark.parametrize("lock", [lock for lock in LOCKS if lock.with_suffix(".in").exists()], ids=str)
def test_lock_is_of_its_list(lock: Path) -> None:
    """Each version that the readable list names is the lock's: `make lock` was not forgotten."""
    source = lock.with_suffix(".in")
    listed = [line for line in requirements(source) if not line.startswith("-")]
    assert listed
    found = pins(lock)
    for line in listed:
        name, version = re.split(r"(?:\[.*\])?==", line)
        assert found[normal(name)] == version, f"{line}: run `make lock`"


def test_what_is_installed_is_a_lock() -> None:
    """Each file of requirements that the Makefile installs is a lock, and pip is told to refuse what has no hash."""
    makefile = (PROJECT / "Makefile").read_text()
    installs = re.findall(r"^\t\S+/pip (.*)$", makefile, flags=re.MULTILINE)
    assert len(installs) >= 3
    assert "--require-hashes" in re.findall(r"^INSTALL := (.*)$", makefile, flags=re.MULTILINE)[0]
    for line in installs:
        assert line.startswith("$(INSTALL) "), line
    files = set(re.findall(r"-r (\S+\.txt)", makefile))
    assert files
    assert files <= set(NAMES)
    # `make lock` makes all of them, and no other.
    (made,) = re.findall(r"^LOCKED := (.*)$", makefile.replace("\\\n", ""), flags=re.MULTILINE)
    assert {f"{name}.txt" for name in made.split()} == {
        name for name, lock in zip(NAMES, LOCKS, strict=True) if lock.with_suffix(".in").exists()
    }


def test_nothing_else_is_installed() -> None:
    """Outside the Makefile what is installed comes from a lock too, but for the package itself."""
    sources = [*STATIC.glob("*.py"), *(PROJECT / "tests/real").rglob("*.py")]
    texts = [file.read_text() for file in sources if re.search(r'"pip"|pip\(', file.read_text())]
    assert len(texts) >= 2
    assert all("--require-hashes" in text for text in texts)
    dockerfile = (PROJECT / "image/Dockerfile").read_text()
    first, second = re.findall(r"pip install (.*?)(?: \\|;)", dockerfile)
    assert first == "--no-cache-dir --require-hashes -r /src/requirements.txt"
    assert second == "--no-cache-dir --no-deps --no-build-isolation /src"


def test_the_image_gets_what_it_needs() -> None:
    """The lock of image/Dockerfile has what the package needs for `metalauncher image`, in versions that it takes."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    found = pins(PROJECT / "image/requirements.txt")
    wanted = [
        *project["build-system"]["requires"],
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"]["image"],
    ]
    for requirement in map(Requirement, wanted):
        assert found[normal(requirement.name)] in requirement.specifier, requirement


def test_a_line_without_a_hash_is_found(tmp_path: Path) -> None:
    """The check above can fail."""
    lock = tmp_path / "requirements.txt"
    digest = "0" * 64
    lock.write_text(f"good==1.0 \\\n    --hash=sha256:{digest}\n    # via x\n")
    assert pins(lock) == {"good": "1.0"}
    for line in ("bad==1.0", f"bad>=1.0 --hash=sha256:{digest}", "bad==1.0 --hash=sha256:abc", "-r other.txt"):
        lock.write_text(f"good==1.0 \\\n    --hash=sha256:{digest}\n{line}\n")
        with pytest.raises(AssertionError, match="not pinned by hash"):
            pins(lock)
