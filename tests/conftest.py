"""All dispatching forms run the one suite: a test that takes `form` or `image` runs once over each.

Over the executable for another architecture, which is emulated, only those run that are marked so.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import images
import pytest
from bundles import Tool
from emulated import changed, emulated_form, left_out
from harness import Form, Image, python_form, static_form
from keeping import Kept
from kit import Kit
from native import Native, Starter, need, public_folder
from platforms import Platforms, Shelf
from real_launchers import Launchers
from rebased import Rig, World
from releases import Release, make_release
from strategies import choose_profile

FORMS = {form.name: form for form in (python_form(), static_form(), emulated_form())}

choose_profile()
# Started in the background, or by nohup, all programs of the tests would ignore these as well.
signal.signal(signal.SIGINT, signal.default_int_handler)
for number in (signal.SIGHUP, signal.SIGQUIT):
    signal.signal(number, signal.SIG_DFL)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give every test that asks for a form each form there is."""
    if "form" in metafunc.fixturenames:
        only = metafunc.definition.get_closest_marker("only")
        is_emulated = metafunc.definition.get_closest_marker("emulated") is not None
        names = only.args if only else tuple(name for name, form in FORMS.items() if form.emulation is None)
        chosen = [FORMS[name] for name in names if name in FORMS]
        if is_emulated:
            chosen += [form for form in FORMS.values() if form.emulation]
        marks = {form: (pytest.mark.thorough,) if form.emulation else () for form in chosen}
        parameters = [pytest.param(form, id=form.name, marks=marks[form]) for form in chosen]
        metafunc.parametrize("form", parameters, scope="session")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What an emulator changes is expected of a test over an emulated form: that it fails."""
    emulated = [item for item in items if (form := _form_of(item)) and form.emulation]
    for item in emulated:
        reason = changed(item.name)
        if reason:
            item.add_marker(pytest.mark.xfail(reason=reason))
    without = [item for item in emulated if left_out(item.name)]
    if without:
        config.hook.pytest_deselected(items=without)
        items[:] = [item for item in items if item not in without]


def _form_of(item: pytest.Item) -> Form | None:
    callspec = getattr(item, "callspec", None)
    form = callspec.params.get("form") if callspec else None
    return form if isinstance(form, Form) else None


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A form that is not built is skipped by hand, and fails in CI."""
    form = _form_of(item)
    if form and not form.executable.exists():
        message = f"{form.executable} is missing: run `make pyz static ARCH=all`"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a skipped test is a failure: what is missing there is missing for everybody."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_unconfigure() -> None:
    """Let go of what the forms took to run."""
    for form in FORMS.values():
        if form.emulation:
            form.emulation.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests ran over each form."""
    ran: Counter[str] = Counter()
    for outcome in ("passed", "failed", "xfailed"):
        for report in terminalreporter.stats.get(outcome, []):
            parameters = report.nodeid.partition("[")[2].rstrip("]").split("-")
            ran.update(name for name in FORMS if name in parameters)
    for name in FORMS:
        terminalreporter.write_line(f"{ran[name]} tests ran over the {name} form")


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """Return what `make release` makes of this tree."""
    return make_release(tmp_path_factory.mktemp("release") / "out")


@pytest.fixture
def image(tmp_path: Path, form: Form) -> Image:
    """Return an empty run image with metalauncher in it, and an empty environment."""
    return Image(tmp_path / "image", form)


@pytest.fixture
def tool(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Tool:
    """Return the package's command line, run in this process, and an empty root."""
    root = tmp_path / "root"
    root.mkdir()
    return Tool(capfd, root)


@pytest.fixture
def kit(tool: Tool, tmp_path: Path) -> Kit:
    """Return what run images are made of."""
    place = tmp_path / "kit"
    place.mkdir()
    return Kit(tool, place)


@pytest.fixture
def platforms(kit: Kit) -> Platforms:
    """Return what run images for two platforms are made of."""
    return Platforms(kit)


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """Return run images for two platforms, to be copied."""
    return Shelf(tmp_path_factory.mktemp("shelf"))


@pytest.fixture(scope="session")
def public() -> Iterator[Path]:
    """Return a folder that every user can reach, unlike pytest's own."""
    folder = public_folder()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def native(public: Path) -> Native:
    """Return the compiler of the tests' own programs."""
    folder = public / "native"
    folder.mkdir()
    return Native(folder)


@pytest.fixture(scope="session")
def starter(native: Native, public: Path) -> Starter:
    """Return what starts programs from a chosen state."""
    return Starter(native, public / "scratch")


@pytest.fixture(scope="session")
def real() -> Launchers:
    """Return lifecycle's own launchers; a test fails, saying what is missing, where the one it needs can't be built."""
    return Launchers()


@pytest.fixture(scope="session")
def rig(public: Path, native: Native, starter: Starter) -> Rig:
    """Return what run images are made of: the static executable, which runs with nothing else in a root."""
    need(starter, ("mounts",))
    folder = public / "check"
    folder.mkdir()
    return Rig(static_form(), native, starter, folder)


@pytest.fixture
def kept() -> Kept:
    """Return what a registry has that a test runs by `keeping`."""
    return Kept()


@pytest.fixture(scope="module")
def world(rig: Rig, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return a layout with run images: `old`, that apps are exported on, and others to rebase them onto."""
    world = World(rig, images.Layout(tmp_path_factory.mktemp("world") / "layout"))
    world.run("old", rig.run_layer("0.9.3+", "0.14.3", "0.17.7"))
    world.run("two", rig.run_layer("0.17.7", "0.21.17"))
    world.run("new", rig.run_layer("0.21.17"))
    world.run("run17", rig.run_layer("0.17.7"))
    world.run("legacy", rig.run_layer("0.9.3+", "0.21.17"))
    world.run("none", rig.run_layer())
    world.run("bare", images.pack([images.folder("/usr"), images.folder("/usr/bin")]))
    return world
