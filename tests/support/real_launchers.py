"""Lifecycle's own launchers for the tests, and releases of the official layout made from them."""

from __future__ import annotations

from pathlib import Path

import golang
import launchers
import pytest
from bundles import release
from harness import Form

GO = {"x86_64": "amd64", "aarch64": "arm64"}  # architectures, as Go calls them
# For `parametrize`: `make test` takes those of launchers.d, `make test-all` all that can be built.
EACH = [
    pytest.param(version, marks=() if version in launchers.QUICK else pytest.mark.thorough)
    for version in launchers.versions()
]


class Launchers:
    """Launchers by version, each built when a test first asks for it, by whichever process of a session comes first."""

    def __init__(self, goarch: str = "") -> None:
        """Take the architecture that they are for, as Go calls it; this machine's if it is empty."""
        self.goarch = goarch

    def of(self, form: Form) -> Launchers:
        """Return the launchers of a form's architecture."""
        return Launchers(GO[form.emulation.architecture.name]) if form.emulation else self

    def __getitem__(self, version: str) -> launchers.Real:
        """Return one, or fail the test that asks for it."""
        try:
            return launchers.build(version, goarch=self.goarch)
        except golang.Unavailable as missing:
            pytest.fail(f"lifecycle's launcher {version} is needed. {missing}", pytrace=False)

    def release(self, folder: Path, version: str) -> Path:
        """Write the tarball of a release, the launcher and its descriptor being the real ones."""
        real = self[version]
        return release(folder, version, real.executable.read_bytes(), descriptor=real.lifecycle_toml)
