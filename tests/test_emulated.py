"""The executable for another architecture, beyond what the tests of all forms show: its pages, its system calls.

What qemu-user changes is in tests/support/emulated.py.
"""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from contents import Image as Memory
from emulated import OTHER, Emulation
from harness import APPS, Form, Image, static_form
from native import Jail, Native, Starter
from sboms import sha256, sidecar
from test_confined import ALLOWED, APP, WEB

from metalauncher.tooling.sbom.contents import parse_contents

pytestmark = [pytest.mark.only("emulated"), pytest.mark.emulated]

LAUNCHED = 42  # tests/native/answer.c


@pytest.fixture
def app(image: Image, native: Native) -> Image:
    """Return an image with an app, and launchers that exit with 42."""
    image.use_registry()
    for version in ("0.21.17", "0.17.7"):
        image.install("buildpacks/lifecycle", version, native.of(image.form).program("answer"))
    image.use_metadata((APPS / "p12/layers/config/metadata.toml").read_bytes())
    image.environ["CNB_PLATFORM_API"] = "0.12"
    return image


def by_name(image: Image, *options: str, apart: bool = False) -> subprocess.CompletedProcess[str]:
    """Start the app's `web` by the emulator's own name.

    Args:
        image: with the app.
        options: the emulator's.
        apart: where binfmt_misc is not registered, so that it can't become a program of its own architecture.
    """
    assert image.form.emulation
    return subprocess.run(
        [image.form.emulation.command, *options, image.by_link()],
        env=image.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=None if apart else image.form.enter,
    )


def test_without_binfmt_misc(app: Image) -> None:
    """Started by the emulator's name it decides as it does anywhere; but this kernel execs no such launcher."""
    app.environ["CNB_PLATFORM_API"] = "99.9"
    refused = by_name(app, apart=True)
    app.executable.write_bytes(static_form().executable.read_bytes())
    own = app.dispatch()
    assert (refused.returncode, refused.stdout, refused.stderr) == (11, "", own.stderr)
    assert (own.returncode, own.stdout) == (11, "")


def test_this_kernel_knows_no_such_program(app: Image) -> None:
    """Outside the namespace nothing is registered: what runs in these tests runs by what they brought."""
    done = by_name(app, apart=True)
    assert done.returncode == 82
    assert "exec format error" in done.stderr


def test_pages_of_64_kb_by_qemu_before_9(app: Image) -> None:
    """With pages of 64 KB, as kernels for arm64 may have them: it dispatches, and refuses."""
    assert app.form.emulation
    if "-p pagesize" not in subprocess.run([app.form.emulation.command, "-h"], capture_output=True, text=True).stdout:
        pytest.fail("this qemu has one size of pages: qemu 7.2, Debian 12's, has more")
    for size in ("4096", "16384", "65536"):
        done = by_name(app, "-p", size)
        assert (done.returncode, done.stdout, done.stderr) == (LAUNCHED, "", ""), size
    app.use_metadata((APPS / "p06-bom300k/layers/config/metadata.toml").read_bytes())  # takes more than the reserve
    app.environ["CNB_PLATFORM_API"] = "0.6"
    assert by_name(app, "-p", "65536").returncode == LAUNCHED
    app.environ["CNB_PLATFORM_API"] = "99.9"
    refused = by_name(app, "-p", "65536")
    assert (refused.returncode, refused.stdout) == (11, "")
    assert refused.stderr == by_name(app).stderr


def test_a_set_id_executable_has_no_root(form: Form, public: Path, native: Native, starter: Starter) -> None:
    """Where effective and real user differ (AT_SECURE), METALAUNCHER_ROOT is somebody else's, and ignored."""
    with closing(Emulation(OTHER, "PFC")) as emulation:
        _set_id(Jail(public / "secure", Form(form.name, form.executable, emulation)), native, starter)


def _set_id(jail: Jail, native: Native, starter: Starter) -> None:
    jail.use_registry()
    jail.install("buildpacks/lifecycle", "0.21.17", native.of(jail.form).program("probe"))
    jail.use_metadata((APPS / "p12/layers/config/metadata.toml").read_bytes())
    jail.lead("link", "web")
    environ = (*APP, b"METALAUNCHER_ROOT=/nowhere")
    user = ("user", 65534, 65534)
    assert starter.start(WEB, (WEB.encode(),), environ, *jail.entered(), user).exit_code == 80
    if os.geteuid():
        return  # nobody else's executable can be made
    executable = jail.root / "usr/bin/metalauncher"
    executable.chmod(executable.stat().st_mode | stat.S_ISUID)
    started = starter.start(WEB, (WEB.encode(),), environ, *jail.entered(), user)
    assert (started.exit_code, started.stderr) == (0, b"")
    assert started.values("uid") == ["65534 0 0"]


def test_its_description(form: Form) -> None:
    """What the build says of it is what it says of this machine's own: modules and components, but for object files."""
    own, other = [json.loads(sidecar(kind).read_text()) for kind in (form, static_form())]
    assert own["sha256"] == sha256(form.executable)
    assert set(Memory(form.executable.read_bytes()).built_in_modules()) <= {
        name for names in own["modules"].values() for name in names
    }
    assert own["modules"] == other["modules"]
    for component in own["components"] + other["components"]:
        component.pop("objects", None)
    assert own["components"] == other["components"]
    assert parse_contents(sidecar(form).read_bytes()).sha256 == own["sha256"]


def test_system_calls(app: Image) -> None:
    """A dispatch makes only the calls that docs/reference/security.md lists, without the one that is x86-64's alone."""
    app.use_metadata((APPS / "p06-bom300k/layers/config/metadata.toml").read_bytes())
    app.environ["CNB_PLATFORM_API"] = "0.6"
    app.etc.mkdir(parents=True)
    (app.etc / "a.toml").symlink_to("/dev/null")
    done = by_name(app, "-strace")
    assert done.returncode == LAUNCHED
    made = set(re.findall(r"^\d+ (\w+)\(", done.stderr, re.MULTILINE))
    assert made <= set(ALLOWED.split()) - {"arch_prctl", "exit_group"}
    assert made >= {"set_tid_address", "openat", "newfstatat", "readlinkat", "fstat", "getdents64", "mmap", "execve"}
