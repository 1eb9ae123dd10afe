"""With lifecycle's own launchers behind it, an app gets what it gets where there is no metalauncher.

Each case is started twice, by a starter in C that brings about the same state: once the launcher itself, once the
app's process through metalauncher. Exit status, stdout and stderr are compared, and what the app got where it is a
probe. Where metalauncher is a script, or is reached by one, argv[0] is the path that was exec'd, as for any script; so
the launcher started directly is given that as well.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import launchers
import pytest
from _pytest.mark import ParameterSet
from bundles import as_process
from harness import APPS, PROJECT, REFERENCE_REGISTRY, Form, Image
from native import Native, Started, Starter
from reading import NEWEST
from real_launchers import EACH, Launchers
from test_transparency import BREAKS, CASES, PRETEND, Case, names_the_path

from metalauncher.tooling.architectures import this_architecture

WAYS = ("link", "shim")
LAUNCHER = "usr/lib/cnb/launchers/buildpacks/lifecycle/{}/launcher"
ALL_APPS = sorted(folder.name for folder in APPS.iterdir())


@dataclass(frozen=True)
class World:
    """A run image with one launcher of lifecycle, and the ways to start it: by metalauncher, and without."""

    image: Image
    version: str
    starter: Starter

    def both(self, way: str, name: str, case: Case) -> tuple[Started, Started]:
        """Start a process type, or `launcher`, directly and through metalauncher."""
        make = self.image.by_shim if way == "shim" else self.image.by_link
        path = make("web" if name == "launcher" else name)
        if name == "launcher":
            path = self.image.root / "cnb/lifecycle/launcher"
        given = _argv(case, path)
        is_script = way == "shim" or self.image.form.is_script
        plain = [entry for entry in case.environ if not entry.startswith(b"METALAUNCHER_")]
        launcher = self.image.root / LAUNCHER.format(self.version)
        seen = (os.fsencode(path), *case.arguments) if is_script else given
        state = (*self.image.form.state, *case.state)
        direct = self.starter.start(launcher, seen, tuple(plain), *state)
        ours = (b"METALAUNCHER_ROOT=" + os.fsencode(self.image.root), b"METALAUNCHER_NOTE=\xff")
        dispatched = self.starter.start(path, given, (ours[0], *case.environ, ours[1]), *state)
        if case.script and case.script is not names_the_path and self.image.form.is_script:
            direct = replace(direct, report=case.script(direct.report, path))
        return _unordered(direct), _unordered(dispatched)


def _unordered(started: Started) -> Started:
    """Leave aside what two starts of the same launcher may differ in, by Go's doing.

    The order of the app's variables, which are a map; and the signal at the parent's death, which is a thread's own
    (prctl(2)): it is lost where another thread of the launcher than the first starts the app.
    """
    variables = sorted(line for line in started.report if line.startswith("variable "))
    left_out = ("variable ", "parent-death-signal ")
    return replace(started, report=[line for line in started.report if not line.startswith(left_out)] + variables)


def _argv(case: Case, path: Path) -> tuple[bytes, ...]:
    if case.argv0 is None:
        return case.arguments
    return (os.fsencode(path) if case.argv0 == PRETEND else case.argv0, *case.arguments)


Worlds = Callable[[Form, str], World]


@pytest.fixture(scope="session")
def worlds(public: Path, real: Launchers, starter: Starter, native: Native) -> Worlds:
    """Return a function that gives the run image of a form and a version, made once."""
    made: dict[tuple[str, str], World] = {}

    def world(form: Form, version: str) -> World:
        key = (form.name, version)
        if key not in made:
            root = public / f"real-{form.name}-{version}"
            made[key] = World(prepare(root, form, version, real, native), version, starter)
        return made[key]

    return world


def prepare(root: Path, form: Form, version: str, real: Launchers, native: Native) -> Image:
    """Install a launcher from its release's tarball, as users do."""
    image = Image(root, form)
    release = real.of(form).release(root / "releases", version)
    named = ("--arch", this_architecture(form.emulation.architecture.name)) if form.emulation else ()
    added = as_process("bundle", "add", release, "--root", root, *named)
    assert added.code == 0, added.err
    descriptor = REFERENCE_REGISTRY / f"buildpacks_lifecycle@{version}.toml"
    if descriptor.exists():  # it also says which APIs stand for none at all
        shutil.copy(descriptor, image.usr)
    shutil.copy(native.of(form).program("probe"), root / "probe")
    (root / "layers").chmod(0o755) if (root / "layers").exists() else (root / "layers").mkdir()
    (root / "workspace").mkdir()
    return image


def probing(world: World) -> tuple[bytes, ...]:
    """Give the image an app whose `web` is the probe, exported for the newest APIs; return its environment."""
    platform, buildpack = NEWEST[world.version]
    root = world.image.root
    command = str(root / "probe")
    is_list = tuple(map(int, platform.split("."))) >= (0, 10)
    world.image.use_metadata(
        f'[[buildpacks]]\nid = "acme/bp"\nversion = "1"\napi = "{buildpack}"\n\n'
        f'[[processes]]\ntype = "web"\ncommand = {[command] if is_list else repr(command)}\n'
        'args = ["from", "the build"]\ndirect = true\nbuildpack-id = "acme/bp"\n'
    )
    env = root / "layers/acme_bp/one/env.launch"
    env.mkdir(parents=True, exist_ok=True)
    (env / "LAYER.override").write_bytes(b"\xff and more")
    (env / "PATH.prepend").write_bytes(b"/layer/bin")
    return (
        b"CNB_PLATFORM_API=" + platform.encode(),
        b"CNB_LAYERS_DIR=" + os.fsencode(root / "layers"),
        b"CNB_APP_DIR=" + os.fsencode(root / "workspace"),
    )


# Those that `make test` tries with every launcher of its own; with the newest it tries all.
SOME = (
    *("plain", "env-order", "env-duplicates", "env-no-equals", "env-not-utf8-and-no-equals", "env-lc-ctype-c"),
    *("argv-empty-strings", "argv-not-utf8", "argv-like-options", "argv0-ours", "argv-empty", "ignored-sigpipe"),
    *("ignored-sigint", "blocked-all", "closed-0-1-2", "descriptors-more", "umask-077", "cwd-deleted", "uid-unknown"),
)


def states() -> Iterator[ParameterSet]:
    """Every launcher and every state."""
    for version, name in product(launchers.versions(), CASES):
        quick = version == "0.21.17" or (version in launchers.QUICK and name in SOME)
        yield pytest.param(version, name, marks=() if quick else pytest.mark.thorough)


@pytest.mark.parametrize(("version", "name"), list(states()))
def test_from_any_state(version: str, name: str, form: Form, worlds: Worlds) -> None:
    """Started from every state, with every odd argument and environment, by both routes, the app gets the same."""
    world = worlds(form, version)
    app = probing(world)
    case = replace(CASES[name], environ=(*app, *CASES[name].environ))
    for way in WAYS:
        direct, dispatched = world.both(way, "web", case)
        assert dispatched == direct, way


@pytest.mark.only("emulated")
@pytest.mark.emulated
@pytest.mark.parametrize("name", SOME)
@pytest.mark.parametrize("version", launchers.QUICK)
def test_from_some_states_emulated(version: str, name: str, form: Form, worlds: Worlds) -> None:
    """The same, with the launchers of another architecture: from some states, for each start takes an emulator."""
    test_from_any_state(version, name, form, worlds)


@pytest.mark.only("static")
def test_the_states_reach_the_app(form: Form, worlds: Worlds) -> None:
    """The app is started from all of them but those named; else two failures would be equal for nothing."""
    world = worlds(form, "0.21.17")
    app = probing(world)

    def seen(name: str) -> Started:
        case = replace(CASES[name], environ=(*app, *CASES[name].environ))
        return world.both("link", "web", case)[1]

    # Without a process of that name the arguments are a command, and there is none called `one`. And Go's runtime
    # unblocks all signals in the launcher, which ends by the one that was pending.
    unknown = {name for name, case in CASES.items() if case.script is names_the_path} - {"argv0-a-name"}
    assert {name for name in CASES if not seen(name).report} == unknown | {"pending"}
    plain = seen("plain")
    assert plain.values("argument")[0] == str(world.image.root / "probe")
    assert plain.values("argument")[1:] == ["one", "two"]
    assert "LAYER=\\xff and more" in plain.values("variable")
    assert "PATH=/layer/bin/usr/bin:/bin" in plain.values("variable")  # no delimiter was given
    assert "umask 0077" in seen("umask-077").report


@dataclass(frozen=True)
class Start:
    """A way to start an app: the process type, or `launcher`; with these arguments and variables more."""

    name: str
    arguments: tuple[bytes, ...] = ()
    environ: tuple[bytes, ...] = ()


def starts(app: str, probe: Path) -> Iterator[Start]:
    """Every process type of an app, with and without arguments; the user's own commands; variables for the launcher."""
    odd = (b"--extra", b"", b"a b", b"$HOME", b"'\"\\", b"\xff\n", b"*")
    names = (
        sorted(file.name for file in (APPS / app / "process").iterdir()) if (APPS / app / "process").exists() else []
    )
    for name, arguments in product(names or ["web"], ((), odd)):
        yield Start(name, arguments)
    program = os.fsencode(probe)
    yield Start("launcher")
    yield Start("launcher", (b"web",))
    yield Start("launcher", (b"--", program, *odd))
    yield Start("launcher", (program, b"$HOME", b"a b", b"'\xff"))  # by the shell
    yield Start("launcher", (program + b' "$SOME_VAR" "$0"',))
    yield Start("launcher", (b"--", b"/nothing/there"))
    yield Start("launcher", (b"--", b"sh", b"-c", b"exit 197"))
    yield Start("launcher", (b"kill -SEGV $$",))
    yield Start("web", (), (b"CNB_PROCESS_TYPE=worker",))
    yield Start("web", (), (b"CNB_DEPRECATION_MODE=warn",))
    yield Start("web", (), (b"CNB_NO_COLOR=true", b"CNB_EXEC_ENV=test", b"CNB_LOG_LEVEL=debug"))
    yield Start("unknown", (b"echo", b"as a command"))


def environment(app: str) -> tuple[bytes, ...]:
    """Return the image's environment, its folders being where they lie here."""
    own = {"CNB_LAYERS_DIR": str(APPS / app / "layers"), "CNB_APP_DIR": str(APPS / app / "workspace")}
    lines = (APPS / app / "image-env").read_text().splitlines()
    variables = dict(line.split("=", 1) for line in lines) | own
    return tuple([f"{name}={value}".encode() for name, value in variables.items()])


def covers(toml: str, app: str) -> bool:
    """Tell whether a launcher supports all that an app was built with, by the lists of its own source."""
    apis = tomllib.loads(toml)["apis"]
    metadata = tomllib.loads((APPS / app / "layers/config/metadata.toml").read_text())
    variables = dict(entry.decode().split("=", 1) for entry in environment(app))
    return variables.get("CNB_PLATFORM_API") in apis["platform"]["supported"] and all(
        buildpack.get("api") in apis["buildpack"]["supported"] for buildpack in metadata["buildpacks"]
    )


@pytest.mark.parametrize(
    "app", [pytest.param(app, marks=pytest.mark.thorough if "300k" in app else ()) for app in ALL_APPS]
)
@pytest.mark.parametrize("version", EACH)
def test_apps(version: str, app: str, form: Form, worlds: Worlds, real: Launchers) -> None:
    """Apps as exporters wrote them: each is started as by the launcher itself, or refused where that refuses."""
    world = worlds(form, version)
    # Which launcher serves an app that recorded nothing at all is said by its descriptor, not by the launcher.
    covered = covers(real[version].lifecycle_toml, app) or (app == "p03-unrecorded" and version == "0.9.3")
    probed = 0
    for way, start in product(WAYS, starts(app, world.image.root / "probe")):
        case = Case(environ=(*environment(app), *start.environ), arguments=start.arguments)
        direct, dispatched = world.both(way, start.name, case)
        if not covered:
            assert dispatched.exit_code in {11, 12}
            assert dispatched.exit_code == direct.exit_code or app == "p03-unrecorded", (way, start)
            break  # whatever the process
        assert dispatched == direct, (way, start)
        probed += bool(direct.report)
    assert probed == (6 if covered else 0)


@pytest.mark.parametrize(
    ("name", "case"),
    [
        ("the environment goes through a dict", "env-duplicates"),
        ("our own variables stay", "plain"),
        ("a descriptor leaks", "plain"),
        ("the arguments are text", "argv-not-utf8"),
        ("SIGINT is reset", "ignored-sigint"),
        ("something is warned of", "plain"),
    ],
)
def test_a_deliberate_break_is_seen(
    name: str, case: str, public: Path, real: Launchers, starter: Starter, native: Native
) -> None:
    """Spoiled ways of dispatching are seen through a real launcher too."""
    broken = BREAKS[name]
    source = public / "broken-real"
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(PROJECT / "metalauncher", source / "metalauncher", ignore=shutil.ignore_patterns("__pycache__"))
    file = source / "metalauncher" / broken.file
    file.write_text(file.read_text().replace(broken.old, broken.new))
    path = [part for part in (os.environ.get("PYTHONPATH"),) if part]
    form = Form("python", source / "metalauncher.pyz")
    subprocess.run(
        [sys.executable, PROJECT / "image/pyz.py", form.executable],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(source), *path])},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    root = public / "real-broken"
    shutil.rmtree(root, ignore_errors=True)
    world = World(prepare(root, form, "0.21.17", real, native), "0.21.17", starter)
    app = probing(world)
    direct, dispatched = world.both("link", "web", replace(CASES[case], environ=(*app, *CASES[case].environ)))
    assert dispatched.report  # broken as meant, not altogether: the app was reached
    assert dispatched != direct
