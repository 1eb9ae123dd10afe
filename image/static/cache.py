"""Results of build steps, kept outside the tree and found again by the content they were made from."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Cache:
    """A directory with one folder per step and content."""

    def __init__(self, speaker: str = "static") -> None:
        """Choose the directory: METALAUNCHER_CACHE, or `metalauncher` in the user's cache.

        Args:
            speaker: who says what is being made.
        """
        self.speaker = speaker
        user = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        self.root = Path(os.environ.get("METALAUNCHER_CACHE") or Path(user) / "metalauncher").resolve()

    def step(self, name: str, *inputs: str | bytes | Path, make: Callable[[Path], None], say: str) -> Path:
        """Return the folder of a step's results; make it if there is none yet for these inputs.

        Args:
            name: of the step.
            inputs: everything that the result depends on: text, a file, or another step's folder (by its name).
            make: fills the folder it is given.
            say: what to tell people while it is made.
        """
        digest = hashlib.sha256()
        for item in inputs:
            content = _content(item)
            digest.update(b"%d:" % len(content) + content)
        folder = self.root / f"{name}-{digest.hexdigest()[:16]}"
        if folder.is_dir():
            return folder
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / f".{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # another build may be at the same step
            if not folder.is_dir():
                print(f"{self.speaker}: {say} …", flush=True)
                self._make(name, folder, make)
        return folder

    def _make(self, name: str, folder: Path, make: Callable[[Path], None]) -> None:
        scratch = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=self.root))
        try:
            make(scratch)
            scratch.chmod(0o755)
            scratch.rename(folder)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _content(item: str | bytes | Path) -> bytes:
    if isinstance(item, Path):
        return item.read_bytes() if item.is_file() else item.name.encode()
    return item if isinstance(item, bytes) else item.encode()
