"""What a dispatch loads: start-up is the product's headline number, so each module on its way is accounted for.

tests/data/hot-path-modules.txt has the list; a module more is a decision, to be measured (bench/) and written there.
So is a call to the kernel more than tests/data/hot-path-system-calls.txt has.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from harness import DATA, PROJECT, REFERENCE_REGISTRY, Image, python_form

EXPECTED = (DATA / "hot-path-modules.txt").read_text().split()
CALLS = (DATA / "hot-path-system-calls.txt").read_text().splitlines()
DUMP = """\
import sys
{0}
print(" ".join(sorted(sys.modules)))
"""
DISPATCH = """\
sys.path.insert(0, {pyz!r})
from metalauncher.__main__ import start
from metalauncher.process import PythonProcess  # as `main` does
status = start([b"web"], {environ!r}, b"/cnb/process/web", lambda path, skip: print(" ".join(sorted(sys.modules))) or 7)
sys.exit(0)
"""


def loaded(code: str) -> set[str]:
    """Return the modules that a bare interpreter has loaded at the end of `code`."""
    result = subprocess.run(
        [sys.executable, "-I", "-S", "-c", DUMP.format(code)], capture_output=True, text=True, check=True
    )
    return set(result.stdout.splitlines()[0].split())


@pytest.fixture
def environ(tmp_path: Path) -> list[bytes]:
    """Return the environment of an app that a launcher of the reference registry covers."""
    directory = tmp_path / "usr/lib/cnb/launchers.d"
    directory.parent.mkdir(parents=True)
    directory.symlink_to(REFERENCE_REGISTRY)
    config = tmp_path / "config"
    config.mkdir()
    (config / "metadata.toml").write_text('[[buildpacks]]\nid = "a/b"\napi = "0.7"\nwhen = 2024-01-01T00:00:00Z\n')
    root = os.fsencode(tmp_path)
    return [
        b"CNB_PLATFORM_API=0.9",
        b"METALAUNCHER_ROOT=" + root,
        b"CNB_LAYERS_DIR=" + root,
    ]


def dispatched(environ: list[bytes]) -> set[str]:
    """Return what a dispatch has loaded, beyond a bare interpreter, at the moment of its exec."""
    pyz = python_form().executable
    if not pyz.exists():
        pytest.skip(f"{pyz} is missing: run `make pyz`")
    # Python 3.11's datetime, which tomli needs, takes math along, and 3.13's re takes collections.abc; others don't.
    return loaded(DISPATCH.format(pyz=str(pyz), environ=environ)) - loaded("") - {"math", "collections.abc"}


def test_modules_of_a_dispatch(environ: list[bytes]) -> None:
    """From start to exec a dispatch of the Python form loads exactly the modules of the list."""
    assert sorted(dispatched(environ)) == EXPECTED


def test_a_pin_loads_what_reads_it(environ: list[bytes]) -> None:
    """A pin costs the one module that knows ranges, and nobody else pays for it."""
    pinned = dispatched([*environ, b"METALAUNCHER_PIN=buildpacks/lifecycle@>=0.9,<1.0"])
    assert pinned - dispatched(environ) == {"metalauncher.pins"}


def test_words_are_loaded_only_to_be_said(environ: list[bytes]) -> None:
    """A dispatch that succeeds loads no wording, no command line, no prediction, and nothing of others' but tomli."""
    found = dispatched(environ)
    assert not {name for name in found if name.startswith(("metalauncher.explain", "metalauncher.tooling"))}
    assert not {"packaging", "structlog", "json", "os", "pathlib", "subprocess", "zlib"} & found
    assert {name.partition(".")[0] for name in found if "metalauncher" not in name and "tomli" not in name} <= {
        *sys.stdlib_module_names
    }


def test_what_is_left_out_loads_no_words(environ: list[bytes], tmp_path: Path) -> None:
    """A descriptor that can't be read takes nothing from the others, not even a module to say so with."""
    operator = tmp_path / "etc/cnb/launchers.d"
    operator.mkdir(parents=True)
    (operator / "dangling.toml").symlink_to("nowhere")
    (operator / "a-directory.toml").mkdir()
    (operator / "circle.toml").symlink_to("circle.toml")
    assert dispatched(environ) == set(EXPECTED)


def test_what_dispatches_imports_tomli_alone() -> None:
    """No module of the dispatching forms imports a distribution but tomli, not even where it is seldom needed."""
    imported: set[str] = set()
    for file in (PROJECT / "metalauncher").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add((node.module or "").partition(".")[0])
    newer = {"_sha2"}  # CPython's own from 3.12 on
    assert imported - set(sys.stdlib_module_names) - newer == {"metalauncher", "tomli"}


def test_only_the_log_loads_its_writer(environ: list[bytes]) -> None:
    """METALAUNCHER_LOG=json loads what it takes, and that is not the standard library's json."""
    found = dispatched([*environ, b"METALAUNCHER_LOG=json"])
    assert "metalauncher.explain.events" in found
    assert "json" not in found


DESCRIPTOR = """\
[launcher]
id = "acme/x"
version = "{0}"
[apis]
platform.supported = ["0.9"]
buildpack.supported = ["0.7"]
"""


@pytest.mark.only("static")
def test_system_calls_of_a_start(image: Image, tmp_path: Path) -> None:
    """From its own start to the launcher's the static executable asks the kernel for exactly what the list has.

    One call more is a decision, to be measured (bench/) and written there.
    """
    for version in ("1", "2"):
        (image.usr / f"{version}.toml").write_text(DESCRIPTOR.format(version))
        image.install("acme/x", version, Path("/bin/true").resolve())
    image.use_metadata('[[buildpacks]]\nid = "a/b"\napi = "0.7"\n')
    image.environ["CNB_PLATFORM_API"] = "0.9"
    log = tmp_path / "log"
    run = subprocess.run(
        ["strace", "-qq", "-o", str(log), "--", str(image.by_link())],
        env=image.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    calls = re.findall(r'^(\w+)\((?:AT_FDCWD, )?(?:"(?:[^"]*/)?([^"/]*)")?', log.read_text(), re.MULTILINE)
    _, launcher = [number for number, (name, _) in enumerate(calls) if name == "execve"][:2]
    assert [" ".join(filter(None, call)) for call in calls[: launcher + 1]] == CALLS


def test_list_is_sorted() -> None:
    """The list is one module a line, sorted, so that a change of it reads well."""
    text: Any = (DATA / "hot-path-modules.txt").read_text()
    assert text.splitlines() == sorted(set(EXPECTED))
    assert json.dumps(EXPECTED).isascii()
