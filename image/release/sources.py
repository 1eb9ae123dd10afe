"""The files that a release is made from: what git tracks, as the working tree has it, and nothing else."""

from __future__ import annotations

import hashlib
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

from contents import application_version
from packaging.version import Version

HERE = Path(__file__).resolve().parent
TREE = HERE.parent.parent


class ReleaseError(Exception):
    """A release can't be made; the text says why, and what to do."""


class Sources(NamedTuple):
    """The tracked files.

    Attributes:
        tree: the folder that they are in.
        files: path and content of each, sorted; there are no links.
        executable: the paths of those that may be executed.
        version: that the tree says it is.
        commit: that is checked out.
        changed: paths that differ from it.
    """

    tree: Path
    files: dict[str, bytes]
    executable: frozenset[str]
    version: str
    commit: str
    changed: tuple[str, ...]

    @property
    def sha256(self) -> str:
        """Of all paths, rights and contents together."""
        digest = hashlib.sha256()
        for path, data in self.files.items():
            digest.update(f"{path}\0{path in self.executable:d}\0{len(data)}\0".encode() + data)
        return digest.hexdigest()


def read_sources(tree: Path = TREE) -> Sources:
    """Read them.

    Raises:
        ReleaseError: there is no git checkout.
    """
    modes = {path: mode for mode, path in _listed(tree)}
    files: dict[str, bytes] = {}
    for path, mode in sorted(modes.items()):
        if mode == "120000":
            raise ReleaseError(f"{path} is a link, which not everybody who unpacks a source distribution can make")
        place = tree / path
        if place.is_file():  # else it is deleted, which `changed` says
            files[path] = place.read_bytes()
    changed = [line[3:] for line in _git(tree, "status", "--porcelain", "-z").split("\0") if line]
    return Sources(
        tree,
        files,
        frozenset([path for path, mode in modes.items() if mode == "100755"]),
        application_version(tree),
        _git(tree, "rev-parse", "HEAD").strip(),
        tuple(changed),
    )


def check_version(sources: Sources, asked: str) -> None:
    """See that these files may become this release.

    Args:
        sources: the tracked files.
        asked: the version that is to be released, "" for a development version's artefacts.

    Raises:
        ReleaseError: they may not.
    """
    if not asked:
        if not Version(sources.version).is_devrelease:
            raise ReleaseError(
                f"metalauncher/__init__.py says {sources.version}, which is no development version:"
                f" make release VERSION={sources.version}"
            )
        return
    if sources.version != asked:
        raise ReleaseError(
            f"metalauncher/__init__.py says {sources.version}, and VERSION={asked} is asked for: write it there, its"
            " one place, and commit it"
        )
    if Version(asked).is_devrelease or str(Version(asked)) != asked:
        raise ReleaseError(f"VERSION={asked} is no version to be released: {Version(asked).base_version} is one")
    if sources.changed:
        raise ReleaseError(
            f"the working tree is not what was committed: {', '.join(sources.changed[:5])}: commit it, or put it back"
        )
    changelog = sources.files.get("CHANGELOG.md", b"").decode()
    if not re.search(rf"^## {re.escape(asked)}( |$)", changelog, re.MULTILINE):
        raise ReleaseError(f"CHANGELOG.md has no heading '## {asked}': say there what is new in it")


def _listed(tree: Path) -> list[tuple[str, str]]:
    """Return mode and path of each tracked file."""
    found = re.findall(r"(\d{6}) [0-9a-f]+ \d\t([^\0]+)\0", _git(tree, "ls-files", "-z", "--stage"))
    return [(str(mode), str(path)) for mode, path in found]


def _git(tree: Path, *arguments: str) -> str:
    # Whoever builds may not own the folder.
    command = ["git", "-c", "safe.directory=*", "-C", str(tree), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except FileNotFoundError:
        raise ReleaseError("there is no git here: apt-get install git") from None
    except subprocess.CalledProcessError as error:
        raise ReleaseError(f"{tree} is no checkout of git: {error.stderr.strip()}") from None
