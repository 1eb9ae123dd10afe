"""`tools/vulnerabilities.py`: what an export of OSV's database proposes for the list, and what it leaves alone."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from harness import PROJECT, static_form
from sboms import sidecar

TOOL = PROJECT / "tools/vulnerabilities.py"
CPYTHON = {"ranges": [{"type": "GIT", "repo": "https://github.com/python/cpython", "events": [{"introduced": "0"}]}]}


def record(name: str, *affected: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a record as OSV has it."""
    return {"id": name, "affected": list(affected), **more}


def ask(*exports: Path) -> tuple[int, str, str]:
    """Run it over exports."""
    command = [sys.executable, "-B", str(TOOL), "--contents", str(sidecar(static_form())), *map(str, exports)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """Return a folder with one record of each kind."""
    folder = tmp_path / "export"
    folder.mkdir()
    records = [
        record(
            "PSF-2099-1",
            {**CPYTHON, "versions": ["v3.13.4", "v3.13.5"]},
            aliases=["CVE-2099-1", "BIT-python-2099-1"],
            summary="Quadratic time in `tarfile.open` and the http.cookies module",
        ),
        record("PSF-2099-2", {**CPYTHON, "versions": ["v3.13.6"]}, aliases=["CVE-2099-2"], summary="not in ours"),
        record("PSF-2099-3", CPYTHON, aliases=["CVE-2099-3"], summary="says no versions"),
        record("PSF-2099-4", CPYTHON, aliases=["CVE-2099-4"], withdrawn="2099-01-01T00:00:00Z", summary="withdrawn"),
        # Two on the list: one says nothing new, one was withdrawn.
        record("PSF-2025-11", {**CPYTHON, "versions": ["v3.13.5"]}, aliases=["CVE-2025-8194"], summary="as listed"),
        record("PSF-2025-12", CPYTHON, aliases=["CVE-2025-8291"], withdrawn="2099-01-01T00:00:00Z", summary="no more"),
        record("PSF-2025-10", {**CPYTHON, "versions": ["v3.13.0"]}, aliases=["CVE-2025-6069"], summary="older alone"),
        record(
            "ALPINE-CVE-2099-5",
            {
                "package": {"ecosystem": "Alpine:v3.22", "name": "musl"},
                "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.2.5-r9"}]}],
                "versions": ["1.2.5-r0"],
            },
            upstream=["CVE-2099-5"],
            summary="in the resolver of musl",
        ),
        record(
            "GHSA-0",
            {
                "package": {"ecosystem": "PyPI", "name": "tomli"},
                "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.0"}]}],
            },
            summary="long ago",
        ),
        record("GHSA-1", {"package": {"ecosystem": "PyPI", "name": "django"}}, summary="of others"),
    ]
    for each in records:
        (folder / f"{each['id']}.json").write_text(json.dumps(each))
    return folder


def test_proposals(export: Path) -> None:
    """New ones as rows to be completed, with the modules that the text names; old ones where something has changed."""
    code, out, err = ask(export)
    assert code == 1
    assert err.startswith("10 records, 9 of them about what is linked in; the list has ")
    assert err.endswith(": 5 proposals\n")
    assert out == (
        "# CVE-2025-6069 is listed, and does not affect the version that is linked in: older alone\n\n"
        "# CVE-2025-8291 is listed, and was withdrawn: no more\n\n"
        "# Quadratic time in `tarfile.open` and the http.cookies module\n[[cve]]\n"
        'id = "CVE-2099-1"\ncomponent = "cpython"\n'
        'modules = ["http.cookies", "tarfile"]  # by its text; look at the fix\n'
        'source = "https://osv.dev/vulnerability/PSF-2099-1"\n\n'
        "# says no versions No versions are named: look whether ours has it.\n[[cve]]\n"
        'id = "CVE-2099-3"\ncomponent = "cpython"\n'
        "modules = []  # not told by its text: look at the fix\n"
        'source = "https://osv.dev/vulnerability/PSF-2099-3"\n\n'
        "# in the resolver of musl\n[[cve]]\n"
        'id = "CVE-2099-5"\ncomponent = "musl"\n'
        "objects = []  # not told by its text: look at the fix\n"
        'source = "https://osv.dev/vulnerability/ALPINE-CVE-2099-5"\n\n'
    )


def test_archives_and_files(export: Path, tmp_path: Path) -> None:
    """osv.dev exports an archive for each ecosystem; a single record will do as well."""
    archive = tmp_path / "all.zip"
    with zipfile.ZipFile(archive, "w") as target:
        for file in export.iterdir():
            target.write(file, file.name)
    assert ask(archive)[:2] == ask(export)[:2]
    code, out, err = ask(export / "PSF-2025-11.json", export / "GHSA-1.json")
    assert (code, out) == (0, "")
    assert err.endswith(": 0 proposals\n")


@pytest.mark.parametrize(
    ("text", "reason"), [("[]", "is no record of OSV: it has no id"), ("{", "is not JSON"), (None, "has no records")]
)
def test_what_is_no_export(tmp_path: Path, text: str | None, reason: str) -> None:
    """Nothing is told of what can't be read, and that is not taken for a list that has all."""
    folder = tmp_path / "export"
    folder.mkdir()
    if text is not None:
        (folder / "one.json").write_text(text)
    code, out, err = ask(folder)
    assert (code, out) == (3, "")
    assert reason in err
