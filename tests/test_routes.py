"""The ways in: which path was exec'd decides who gets the arguments, and argv[0] arrives as the route says.

Under a root of its own, where `/cnb/process`, `/usr/bin/metalauncher` and the run image's link are those very paths.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import APPS, Form
from native import Jail, Native, Started, Starter, Words, need

PATH = b"PATH=/cnb/process:/cnb/lifecycle:/usr/bin:/bin"
APP = (b"CNB_PLATFORM_API=0.12", PATH)

pytestmark = pytest.mark.emulated

# (path, argv, the directives before it, the environment)
Enter = Callable[..., Started]


@pytest.fixture(scope="session")
def jail(public: Path, native: Native, form: Form, starter: Starter) -> Jail:
    """Return a root whose one fitting launcher is the probe."""
    need(starter, ("mounts",))
    jail = Jail(public / f"routes-{form.name}", form)
    jail.use_registry()
    jail.install("buildpacks/lifecycle", "0.21.17", native.of(form).program("probe"))
    jail.install("buildpacks/lifecycle", "0.9.3", native.of(form).program("probe"))
    jail.use_metadata((APPS / "p12/layers/config/metadata.toml").read_bytes())
    jail.bind(Path("/proc"))
    return jail


@pytest.fixture
def enter(jail: Jail, starter: Starter) -> Enter:
    """Return a function that execs a path under the jail's root."""

    def start(path: str, argv: tuple[bytes, ...], *state: Words, environ: tuple[bytes, ...] = APP) -> Started:
        return starter.start(path, argv, environ, *jail.entered(), *state)

    return start


def arguments(started: Started) -> list[str]:
    """Return the launcher's argv, once nothing was printed on the way to it."""
    assert (started.exit_code, started.stdout, started.stderr) == (0, b"", b"")
    assert started.values("execfn") == ["/usr/lib/cnb/launchers/buildpacks/lifecycle/0.21.17/launcher"]
    return started.values("argument")


STARTS = {
    "process": ("/cnb/process/web", b"/cnb/process/web"),
    "process-by-PATH": ("/cnb/process/web", b"web"),
    "launcher": ("/cnb/lifecycle/launcher", b"/cnb/lifecycle/launcher"),
    "launcher-by-PATH": ("/cnb/lifecycle/launcher", b"launcher"),
    "process-relative": ("process/web", b"process/web"),
    "launcher-dot": ("./lifecycle/launcher", b"launcher"),
    "doubled-slashes": ("//cnb//process/./web", b"web"),
    "argv0-ours": ("/cnb/process/web", b"metalauncher"),
    "argv0-our-path": ("/cnb/process/web", b"/usr/bin/metalauncher"),
    "argv0-empty": ("/cnb/process/web", b""),
    "argv0-not-utf8": ("/cnb/process/web", b"w\xffb"),
}


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("way", ["link", "straight", "shim"])
def test_argv_by_route(way: str, start: str, jail: Jail, enter: Enter) -> None:
    """By a link argv[0] arrives as it came, by the shim as the path invoked; a script knows the path only."""
    path, argv0 = STARTS[start]
    jail.lead(way, "web")
    started = enter(path, (argv0, b"one", b"", b"--two", b"\xff"), ("chdir", "/cnb"))
    as_it_came = argv0.decode("latin-1").replace("\xff", "\\xff")
    first = path if way == "shim" or jail.form.is_script else as_it_came
    assert arguments(started) == [first, "one", "", "--two", "\\xff"]


@pytest.mark.parametrize("argv0", [b"/usr/lib/cnb/launcher", b"launcher", b"metalauncher"])
def test_the_run_images_own_link(argv0: bytes, jail: Jail, enter: Enter) -> None:
    """`/usr/lib/cnb/launcher` as ENTRYPOINT dispatches as well."""
    jail.lead("link")
    started = enter("/usr/lib/cnb/launcher", (argv0, b"--", b"bash"))
    assert arguments(started) == ["/usr/lib/cnb/launcher" if jail.form.is_script else argv0.decode(), "--", "bash"]


OPTIONS = [(b"--which",), (b"--help",), (b"--version",), (b"-h",), (b"--launch", b"x"), (b"list",), ()]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: b" ".join(options).decode() or "nothing")
@pytest.mark.parametrize("path", ["/cnb/lifecycle/launcher", "/cnb/process/web", "/cnb/process/metalauncher"])
@pytest.mark.parametrize("way", ["link", "shim"])
def test_our_options_are_the_apps(way: str, path: str, options: tuple[bytes, ...], jail: Jail, enter: Enter) -> None:
    """Under any name but its own every argument is the app's."""
    jail.lead(way, "web", "metalauncher")
    started = enter(path, (path.encode(), *options))
    assert arguments(started) == [path, *[option.decode() for option in options]]


@pytest.mark.parametrize(
    "name", ["metalauncher", "python3", "env", "launcher", "sh", "--launch", "-", "a b", "w\u00e9b"]
)
@pytest.mark.parametrize("by", ["path", "PATH"])
@pytest.mark.parametrize("way", ["link", "straight", "shim"])
def test_a_process_of_any_name(way: str, by: str, name: str, jail: Jail, enter: Enter) -> None:
    """A process type may be called as metalauncher is, or as what its form is started with."""
    jail.lead(way, "web", name)
    path = f"/cnb/process/{name}"
    started = enter(path, (os.fsencode(path if by == "path" else name), b"--which"))
    first = path if by == "path" or way == "shim" or jail.form.is_script else name
    assert arguments(started) == [first.replace("\u00e9", "\\xc3\\xa9"), "--which"]


@pytest.mark.parametrize("path", ["//cnb/process/metalauncher", "/cnb/./process//metalauncher"])
def test_a_process_by_another_spelling(path: str, jail: Jail, enter: Enter) -> None:
    """However `/cnb/process` is spelled, a process of our name is the app's."""
    jail.lead("link", "metalauncher")
    assert arguments(enter(path, (path.encode(), b"--version"))) == [path, "--version"]


@pytest.mark.parametrize("argv0", [b"metalauncher", b"/cnb/process/web", b"web", b"launcher", b""])
@pytest.mark.parametrize("path", ["/usr/bin/metalauncher", "/opt/metalauncher", "metalauncher"])
def test_its_own_name(path: str, argv0: bytes, jail: Jail, enter: Enter) -> None:
    """Exec'd as `metalauncher`, anywhere but in /cnb/process, it has its own command line, whatever argv[0] says."""
    link = jail.root / "opt/metalauncher"
    link.parent.mkdir(exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to("/usr/bin/metalauncher")
    started = enter(path, (argv0, b"--version"), ("chdir", "/usr/bin"))
    assert started.stdout.startswith(b"metalauncher ")
    assert (started.exit_code, started.stderr, started.report) == (0, b"", [])


BUILT = ["metalauncher.pyz", "metalauncher-linux-x86_64", "metalauncher-linux-aarch64"]


@pytest.mark.parametrize("name", BUILT)
def test_the_names_of_what_is_built(name: str, jail: Jail, enter: Enter) -> None:
    """As downloaded it answers, too; but a process type of that name is the app's."""
    link = jail.root / "opt" / name
    link.parent.mkdir(exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to("/usr/bin/metalauncher")
    started = enter(f"/opt/{name}", (b"anything", b"--version"))
    assert started.stdout.startswith(b"metalauncher ")
    assert (started.exit_code, started.stderr, started.report) == (0, b"", [])
    for way in ("link", "shim"):
        jail.lead(way, name)
        path = f"/cnb/process/{name}"
        assert arguments(enter(path, (path.encode(), b"--version"))) == [path, "--version"]


@pytest.mark.parametrize("name", ["metalauncher-linux", "metalauncherx", "metalauncher.py", "Metalauncher"])
def test_a_name_that_is_nearly_ours(name: str, jail: Jail, enter: Enter) -> None:
    """It is anybody's."""
    link = jail.root / "opt" / name
    link.parent.mkdir(exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to("/usr/bin/metalauncher")
    assert arguments(enter(f"/opt/{name}", (f"/opt/{name}".encode(), b"--version"))) == [f"/opt/{name}", "--version"]


SCRIPTS = {
    "script": ["#!/cnb/lifecycle/launcher bash"],
    "script-of-a-script": ["#!/cnb/lifecycle/launcher bash", "#!/opt/script0"],
    "no-option": ["#!/cnb/lifecycle/launcher"],
}


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize("way", ["link", "shim"])
def test_the_launcher_as_a_scripts_interpreter(way: str, name: str, jail: Jail, enter: Enter) -> None:
    """The launcher gets what the kernel would give it as that interpreter, by either route."""
    jail.lead(way, "web")
    lines = SCRIPTS[name]
    for number, line in enumerate(lines):
        file = jail.root / f"opt/script{number}"
        file.parent.mkdir(exist_ok=True)
        file.write_text(line + "\n")
        file.chmod(0o755)
    path = f"/opt/script{len(lines) - 1}"
    started = enter(path, (path.encode(), b"one"))
    option = ["bash"] if "bash" in lines[0] else []
    scripts = [f"/opt/script{number}" for number in range(len(lines))]
    assert arguments(started) == ["/cnb/lifecycle/launcher", *option, *scripts, "one"]


@pytest.mark.parametrize("script", ["#!/bin/sh\n", "#!/usr/bin/metalauncher --launch\n", ""])
def test_arguments_as_a_shim_would_have_them(script: str, jail: Jail, enter: Enter) -> None:
    """They are the app's, where no shim is on the way, whatever file they name."""
    jail.lead("straight", "web")
    file = jail.root / "opt/named"
    file.parent.mkdir(exist_ok=True)
    file.write_text(script)
    given = ("/usr/bin/metalauncher", "--launch", "/opt/named", "x")
    started = enter("/cnb/process/web", tuple([argument.encode() for argument in given]))
    first = "/cnb/process/web" if jail.form.is_script else given[0]
    assert arguments(started) == [first, *given[1:]]


@pytest.mark.parametrize("argv0", [b"/cnb/process/web", b"worker", b"", b"--which", b"\xff"])
def test_launch_by_hand(argv0: bytes, jail: Jail, enter: Enter) -> None:
    """`metalauncher --launch ARGV0 ARG…` dispatches with that argv."""
    jail.lead("shim", "web")
    started = enter("/usr/bin/metalauncher", (b"metalauncher", b"--launch", argv0, b"", b"--help", b"two"))
    assert arguments(started) == [argv0.decode("latin-1").replace("\xff", "\\xff"), "", "--help", "two"]


def test_launch_needs_an_argument(enter: Enter) -> None:
    """Alone it is a usage error."""
    started = enter("/usr/bin/metalauncher", (b"metalauncher", b"--launch"))
    assert (started.exit_code, started.stdout, started.report) == (3, b"", [])
    assert started.stderr.startswith(b"ERROR: --launch needs ARGV0")


def test_an_empty_argv(jail: Jail, enter: Enter) -> None:
    """Linux makes one empty argument of it (since 5.18), which is passed on; a script's is the path."""
    jail.lead("link", "web")
    assert arguments(enter("/cnb/process/web", ())) == ["/cnb/process/web" if jail.form.is_script else ""]
    jail.lead("shim", "web")
    assert arguments(enter("/cnb/process/web", ())) == ["/cnb/process/web"]


@pytest.mark.parametrize("way", ["link", "shim"])
def test_an_empty_environment(way: str, jail: Jail, enter: Enter) -> None:
    """`env -i`: an app that recorded nothing is dispatched, and its launcher's environment is empty too."""
    jail.lead(way, "web")
    file = jail.root / "layers/config/metadata.toml"
    recorded = file.read_bytes()
    file.write_bytes((APPS / "p03-unrecorded/layers/config/metadata.toml").read_bytes())
    try:
        started = enter("/cnb/process/web", (b"/cnb/process/web",), environ=())
    finally:
        file.write_bytes(recorded)
    assert (started.exit_code, started.stdout, started.stderr) == (0, b"", b"")
    assert started.values("execfn") == ["/usr/lib/cnb/launchers/buildpacks/lifecycle/0.9.3/launcher"]
    assert started.values("variable") == []


@pytest.mark.parametrize("way", ["link", "shim"])
def test_a_name_that_python_would_take(way: str, jail: Jail, enter: Enter) -> None:
    """A `python3` in /cnb/process, first in PATH, is never what starts us: it would go round for ever."""
    jail.lead(way, "python3")
    (jail.root / "cnb/process/env").symlink_to("/cnb/lifecycle/launcher")
    started = enter("/cnb/process/env", (b"env", b"python3"), ("chdir", "/cnb/process"))
    assert arguments(started)[1:] == ["python3"]


def test_the_working_directory_configures_nothing(jail: Jail, enter: Enter) -> None:
    """Modules and descriptors that lie where the app does change nothing."""
    jail.lead("link", "web")
    trap = jail.root / "workspace"
    for name in ("posix.py", "metalauncher.py", "tomli.py", "os.py", "sitecustomize.py", "etc/cnb/launchers.d/x.toml"):
        (trap / name).parent.mkdir(parents=True, exist_ok=True)
        (trap / name).write_text("raise SystemExit('trap')\n")
    environ = (*APP, b"PYTHONPATH=/workspace", b"HOME=/workspace", b"METALAUNCHER_ROOT=.", b"PYTHONSTARTUP=os.py")
    started = enter("/cnb/process/web", (b"/cnb/process/web", b"x"), ("chdir", "/workspace"), environ=environ)
    assert arguments(started) == ["/cnb/process/web", "x"]
