"""Becoming the launcher: one after another in the ranking, never itself, and `--which` foretells it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from harness import APPS, Form, Image
from native import CANNOT, Jail, Native, Starter, Words, need

FIRST, SECOND = "example/first@2.0", "example/second@1.0"
RUNS = '#!/bin/sh\necho second ran: "$@"\n'

DESCRIPTOR = """\
[launcher]
id = "{id}"
version = "{version}"
{more}
[apis.platform]
supported = ["0.12"]
[apis.buildpack]
supported = ["0.10"]
"""

METADATA = """\
[[buildpacks]]
id = "example/bp"
version = "1"
api = "0.10"
"""


@pytest.fixture
def app(image: Image) -> Image:
    """Return an image whose app two launchers cover: `first`, which is not there yet, and `second`, which runs."""
    image.environ["CNB_PLATFORM_API"] = "0.12"
    image.use_metadata(METADATA)
    declare(image, FIRST)
    declare(image, SECOND)
    image.install("example/second", "1.0", RUNS)
    return image


def declare(image: Image, launcher: str, more: str = "") -> None:
    """Write a descriptor."""
    identifier, _, version = launcher.partition("@")
    file = image.usr / f"{launcher.replace('/', '_')}.toml"
    file.write_text(DESCRIPTOR.format(id=identifier, version=version, more=more))


def alone(image: Image) -> None:
    """Take the second launcher away."""
    (image.usr / f"{SECOND.replace('/', '_')}.toml").unlink()


def place(image: Image) -> Path:
    """Return the first launcher's path; its directory is there."""
    path = image.root / "usr/lib/cnb/launchers/example/first/2.0/launcher"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def script(path: Path, text: str | bytes, mode: int = 0o755) -> None:
    """Write a file that may be exec'd."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)


def _elf(path: Path, native: Native, edit: Callable[[bytearray], None]) -> None:
    program = bytearray(native.program("answer").read_bytes())
    edit(program)
    script(path, bytes(program))


def _wrong_machine(program: bytearray) -> None:
    program[18:20] = (243 if os.uname().machine == "x86_64" else 62).to_bytes(2, "little")


def _cut_short(program: bytearray) -> None:
    del program[20:]


def _no_headers(program: bytearray) -> None:
    program[54:58] = bytes(4)  # size and number of the program headers


def _core_dump(program: bytearray) -> None:
    program[16:18] = (4).to_bytes(2, "little")


def _missing_interpreter(path: Path, native: Native) -> None:
    source = native.folder / "hello.c"
    source.write_text("int main(void) { return 0; }\n")
    native.compile(source, path, "-Wl,--dynamic-linker=/nowhere/ld.so")


def _a_socket(path: Path, native: Native) -> None:
    del native
    folder = os.open(path.parent, os.O_PATH)  # the path itself is too long for a socket
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)


def _scripts(path: Path, depth: int, first: str = "#!/bin/sh\n") -> None:
    """Write a script whose interpreter is a script, and so on."""
    text = first
    for number in range(depth):
        interpreter = path.with_name(f"script-{number}")
        script(interpreter, text)
        text = f"#!{interpreter}\n"
    script(path, text)


def _under_a_file(path: Path) -> None:
    path.parent.rmdir()
    path.parent.write_text("")


MISSING, DENIED, FORMAT = "no such file or directory", "permission denied", "exec format error"
LOOP = "too many levels of symbolic links"

Obstacle = tuple[Callable[[Path, Native], object], str]

OBSTACLES: dict[str, Obstacle] = {
    "missing": (lambda *_: None, MISSING),
    "dangling-link": (lambda path, _: path.symlink_to("/nowhere"), MISSING),
    "link-to-itself": (lambda path, _: path.symlink_to(path), LOOP),
    "under-a-file": (lambda path, _: _under_a_file(path), "not a directory"),
    "not-executable": (lambda path, _: script(path, RUNS, 0o644), DENIED),
    "directory": (lambda path, _: path.mkdir(), DENIED),
    "fifo": (lambda path, _: os.mkfifo(path, 0o755), DENIED),
    "socket": (_a_socket, DENIED),
    "device": (lambda path, _: path.symlink_to("/dev/null"), DENIED),
    "empty": (lambda path, _: script(path, ""), FORMAT),
    "text": (lambda path, _: script(path, "echo no interpreter\n"), FORMAT),
    "one-byte": (lambda path, _: script(path, "#"), FORMAT),
    "binary-of-nothing": (lambda path, _: script(path, b"\0\1\2\3" * 2000), FORMAT),
    "script-without-interpreter": (lambda path, _: script(path, "#!\n"), FORMAT),
    "script-of-blanks": (lambda path, _: script(path, "#! \t \n"), FORMAT),
    "script-missing-interpreter": (lambda path, _: script(path, "#!/nowhere/sh\n"), MISSING),
    "script-missing-interpreter-crlf": (lambda path, _: script(path, "#!/bin/sh\r\n"), MISSING),
    "script-missing-interpreter-option": (lambda path, _: script(path, "#! /nowhere/sh -e x\n"), MISSING),
    "script-interpreter-too-long": (lambda path, _: script(path, f"#!/{'d/' * 130}sh\n"), FORMAT),
    "script-interpreter-cut-off": (lambda path, _: script(path, "#!" + "/" * 300 + "bin/sh\n"), FORMAT),
    "script-directory-as-interpreter": (lambda path, _: script(path, "#!/usr\n"), DENIED),
    "script-interpreter-not-executable": (lambda path, _: script(path, "#!/etc/passwd\n"), DENIED),
    "script-interpreter-text": (lambda path, _: _scripts(path, 1, "echo no interpreter\n"), FORMAT),
    "script-interpreters-missing": (lambda path, _: _scripts(path, 1, "#!/nowhere/sh\n"), MISSING),
    "scripts-too-many": (lambda path, _: _scripts(path, 6), LOOP),
    "elf-other-machine": (lambda path, native: _elf(path, native, _wrong_machine), FORMAT),
    "elf-cut-short": (lambda path, native: _elf(path, native, _cut_short), FORMAT),
    "elf-without-headers": (lambda path, native: _elf(path, native, _no_headers), FORMAT),
    "elf-core-dump": (lambda path, native: _elf(path, native, _core_dump), FORMAT),
    "elf-missing-interpreter": (_missing_interpreter, MISSING),
}


def _line(path: Path, reason: str) -> str:
    return f"{FIRST} at {path} can't be started: {reason}"


@pytest.mark.parametrize("name", OBSTACLES)
def test_the_next_in_the_ranking_runs(name: str, app: Image, native: Native) -> None:
    """One warning line says what stands against the first; `--which` says the same, and names the second."""
    make, reason = OBSTACLES[name]
    make(place(app), native)
    done = app.dispatch("a", "b")
    assert (done.returncode, done.stdout) == (0, "second ran: a b\n")
    assert done.stderr == f"Warning: {_line(place_only(app), reason)}\n"
    foretold = app.which()
    assert (foretold.returncode, foretold.stdout) == (
        0,
        f"{app.root}/usr/lib/cnb/launchers/example/second/1.0/launcher\n",
    )
    assert f"  warning: {FIRST} ranks first, but can't be started: {reason}\n" in foretold.stderr


def place_only(image: Image) -> Path:
    """Return the first launcher's path."""
    return image.root / "usr/lib/cnb/launchers/example/first/2.0/launcher"


@pytest.mark.parametrize("name", OBSTACLES)
def test_alone_it_is_82(name: str, app: Image, native: Native) -> None:
    """With no other launcher the dispatch ends; `--which` ends with the same code and text, its commands apart."""
    make, reason = OBSTACLES[name]
    make(place(app), native)
    alone(app)
    path = place_only(app)
    done = app.dispatch()
    refusal = done.stderr.splitlines(keepends=True)
    assert (done.returncode, done.stdout) == (82, "")
    assert refusal[0] == f"ERROR: failed to launch: {path}: {reason}\n"
    assert f"  have:    {_line(path, reason)}\n" in refusal
    foretold = app.which()
    assert (foretold.returncode, foretold.stdout) == (82, "")
    same = [line for line in refusal if not line.endswith(" --which\n")]
    assert foretold.stderr.splitlines(keepends=True)[: len(same)] == same
    document = json.loads(app.which("--json").stdout)
    assert (document["exit_code"], document["launcher"]) == (82, None)
    assert [launcher["obstacle"] for launcher in document["launchers"]] == [reason]


def test_what_can_be_started(app: Image, native: Native) -> None:
    """Scripts of scripts as deep as Linux goes, links, and programs with an interpreter are no obstacles."""
    path = place(app)
    for make in (
        lambda: _scripts(path, 4),
        lambda: script(path, "#! /bin/sh -e\nexit 0\n"),
        lambda: script(path, "#!/bin/sh"),
        lambda: script(path, "#!\t/bin/sh" + " " * 300 + "\n"),
        lambda: script(path, "#!" + "/" * 200 + "bin/sh\n"),
        lambda: path.symlink_to("/bin/true"),
        lambda: shutil.copy(shutil.which("true") or "", path),
        lambda: native.compile(native.folder / "hello.c", path),
    ):
        (native.folder / "hello.c").write_text("int main(void) { return 0; }\n")
        path.unlink(missing_ok=True)
        make()
        done, foretold = app.dispatch(), app.which("--quiet")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert (foretold.returncode, foretold.stdout, foretold.stderr) == (0, f"{path}\n", "")


def test_every_one_that_fails_is_warned_of(app: Image) -> None:
    """Three fail, one line for each in the order of the ranking, then the fourth runs."""
    declare(app, "example/a@9.0")
    declare(app, "example/b@8.0")
    app.install("example/b", "8.0", "no interpreter")
    done = app.dispatch()
    assert (done.returncode, done.stdout) == (0, "second ran:\n")
    launchers = app.root / "usr/lib/cnb/launchers/example"
    assert done.stderr.splitlines() == [
        f"Warning: example/a@9.0 at {launchers}/a/9.0/launcher can't be started: {MISSING}",
        f"Warning: example/b@8.0 at {launchers}/b/8.0/launcher can't be started: {FORMAT}",
        f"Warning: {FIRST} at {launchers}/first/2.0/launcher can't be started: {MISSING}",
    ]


def test_a_pin_has_no_other(app: Image) -> None:
    """What a pin names and can't be started is 82: the others are not the operator's choice."""
    app.environ["METALAUNCHER_PIN"] = "example/first"
    done, foretold = app.dispatch(), app.which()
    assert (done.returncode, foretold.returncode) == (82, 82)
    assert (done.stdout, done.stderr.count("Warning: ")) == ("", 0)  # the refusal names the one there is


def test_a_file_that_is_being_written(app: Image) -> None:
    """Text busy: the next runs, where the kernel still says so."""
    path = place(app)
    shutil.copy(shutil.which("true") or "", path)
    with path.open("ab"):
        try:
            subprocess.run([path], check=True)
            expected = ""
        except OSError:
            expected = f"Warning: {_line(path, 'text file busy')}\n"
        done = app.dispatch()
    assert (done.returncode, done.stderr) == (0, expected)


def test_too_large_arguments_end_it(app: Image, native: Native, starter: Starter) -> None:
    """E2BIG would meet every launcher: no other is tried, though the second has a shorter path."""
    deep = "/opt" + ("/" + "d" * 200) * 7 + "/launcher"
    declare(app, FIRST, f'path = "{deep}"')
    path = Path(f"{app.root}{deep}")
    path.parent.mkdir(parents=True)
    shutil.copy(native.program("answer"), path)
    link = app.by_link()
    environ = tuple(f"{name}={value}".encode() for name, value in app.environ.items())
    stack: Words = ("limit", 3, 1 << 20, 8 << 20)  # a quarter of it is what exec takes

    def filled(size: int) -> tuple[bytes, ...]:
        return (*environ, *[b"X" * min(size - at, 100_000) for at in range(0, size, 100_000)])

    def fits(size: int) -> bool:
        try:
            return starter.start(native.program("answer"), (b"x",), filled(size), stack).exit_code != CANNOT
        except AssertionError:
            return False

    low, high = 1000, 1 << 20
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    done = starter.start(link, (b"web",), filled(low - 700), stack)
    assert (done.exit_code, done.stdout) == (82, b"")
    lines = done.stderr.decode().splitlines()
    assert lines[0] == f"ERROR: failed to launch: {path}: argument list too long"
    assert f"  have:    {_line(path, 'argument list too long')}" in lines
    assert "second" not in done.stderr.decode()


# Never itself.


def _hard_link(image: Image, path: Path) -> None:
    os.link(image.executable, path)


def _copy(image: Image, path: Path) -> None:
    shutil.copy2(image.executable, path)


def _fresh_copy(image: Image, path: Path) -> None:
    path.write_bytes(image.executable.read_bytes())
    path.chmod(0o711)


def _symlink(image: Image, path: Path) -> None:
    path.symlink_to(image.executable)


def _links(image: Image, path: Path) -> None:
    path.symlink_to("over")
    path.with_name("over").symlink_to(image.link)


def _shim(image: Image, path: Path) -> None:
    script(path, f"#!{image.executable} --launch\n")


def _shim_by_link(image: Image, path: Path) -> None:
    script(path, f"#! {image.link} --launch\n")


def _script_of_shim(image: Image, path: Path) -> None:
    script(path.with_name("shim"), f"#!{image.executable} --launch\n")
    script(path, f"#!{path.with_name('shim')}\n")


def _the_apps_launcher(image: Image, path: Path) -> None:
    path.symlink_to(image.root / "cnb/lifecycle/launcher")


def _hard_link_of_the_apps_launcher(image: Image, path: Path) -> None:
    os.link(image.root / "cnb/lifecycle/launcher", path)


ITSELF = {
    "hard-link": _hard_link,
    "copy": _copy,
    "fresh-copy": _fresh_copy,
    "symlink": _symlink,
    "symlinks": _links,
    "shim": _shim,
    "shim-by-link": _shim_by_link,
    "script-of-shim": _script_of_shim,
    "the-apps-launcher": _the_apps_launcher,
    "hard-link-of-the-apps-launcher": _hard_link_of_the_apps_launcher,
}


@pytest.mark.parametrize("name", ITSELF)
@pytest.mark.parametrize("way", ["link", "shim"])
def test_never_itself(way: str, name: str, app: Image) -> None:
    """A launcher that is metalauncher, in whatever guise, counts as failed; it does not go round."""
    process = app.by_link() if way == "link" else app.by_shim()
    ITSELF[name](app, place(app))
    reason = "is metalauncher itself"
    done = app.run(process, "a")
    assert (done.returncode, done.stdout) == (0, "second ran: a\n")
    assert done.stderr == f"Warning: {_line(place_only(app), reason)}\n"
    foretold = app.which()
    assert foretold.stdout.endswith("/second/1.0/launcher\n")
    assert f"can't be started: {reason}\n" in foretold.stderr
    alone(app)
    done, foretold = app.run(process), app.which()
    assert (done.returncode, foretold.returncode) == (82, 82)
    assert f"ERROR: failed to launch: {place_only(app)}: {reason}\n" in done.stderr
    assert foretold.stderr.startswith(f"ERROR: failed to launch: {place_only(app)}: {reason}\n")


@pytest.mark.parametrize("way", ["link", "straight", "shim"])
@pytest.mark.parametrize("builds", ["of-one-build", "of-two-builds"])
def test_two_copies_do_not_send_each_other_round(
    builds: str, way: str, form: Form, public: Path, starter: Starter
) -> None:
    """Two launchers that both are metalauncher end in 82, under the root that each of them looks in."""
    need(starter, ("mounts",))
    root = public / f"copies-{form.name}"
    shutil.rmtree(root, ignore_errors=True)
    jail = Jail(root, form)
    jail.use_metadata(METADATA)
    jail.bind(Path("/proc"))
    jail.lead(way, "web")
    declare(jail, FIRST)
    declare(jail, SECOND)
    for launcher in (FIRST, SECOND):
        identifier, _, version = launcher.partition("@")
        copy = jail.install(identifier, version, jail.executable)
        if builds == "of-two-builds":
            with copy.open("ab") as file:
                file.write(version.encode() * len(identifier))  # not the same bytes, neither by length nor by content
    environ = (b"CNB_PLATFORM_API=0.12",)
    state = (*jail.entered(), ("limit", 0, 5, 5))  # seconds of computing: for ever ends then
    done = starter.start("/cnb/process/web", (b"/cnb/process/web",), environ, *state)
    assert (done.exit_code, done.stdout) == (82, b"")
    assert done.stderr.count(b"Warning: ") == 1  # for the first, whoever says it; the refusal is about the second
    assert b"ERROR: failed to launch: /usr/lib/cnb/launchers/" in done.stderr


def test_another_build_goes_on_with_those_after_it(form: Form, public: Path, starter: Starter, native: Native) -> None:
    """A launcher that is another build of metalauncher leaves the choice where it was: the next in the ranking runs."""
    need(starter, ("mounts",))
    jail = Jail(public / f"build-{form.name}", form)
    jail.use_metadata(METADATA)
    jail.bind(Path("/proc"))
    jail.lead("link", "web")
    declare(jail, FIRST)
    declare(jail, SECOND)
    with jail.install("example/first", "2.0", jail.executable).open("ab") as file:
        file.write(b"another")
    jail.install("example/second", "1.0", native.program("answer"))
    done = starter.start("/cnb/process/web", (b"/cnb/process/web",), (b"CNB_PLATFORM_API=0.12",), *jail.entered())
    assert (done.exit_code, done.stdout, done.stderr.count(b"\n")) == (42, b"", 1)
    assert done.stderr.endswith(b"is metalauncher itself\n")


# METALAUNCHER_ROOT.


def test_the_root_prefixes_our_places_alone(app: Image) -> None:
    """Descriptors and launchers are looked for below it, the layers are not."""
    app.environ["CNB_LAYERS_DIR"] = "/layers-below-the-root"
    os.rename(app.root / "layers", app.root / "layers-below-the-root")
    done = app.dispatch()
    assert done.returncode == 1
    assert done.stderr.startswith(
        "ERROR: failed to read metadata: open /layers-below-the-root/config/metadata.toml: no such file or directory\n"
    )


def test_the_root_with_a_slash(app: Image) -> None:
    """A slash at its end makes no difference."""
    app.environ["METALAUNCHER_ROOT"] = f"{app.root}/"
    app.install("example/first", "2.0", "#!/bin/sh\necho first\n")
    assert app.dispatch().stdout == "first\n"
    assert app.which().stdout == f"{place_only(app)}\n"


@pytest.mark.parametrize("root", ["/nowhere", "{root}/usr"])
def test_a_root_without_descriptors(root: str, app: Image) -> None:
    """What is not there is an empty registry."""
    app.environ["METALAUNCHER_ROOT"] = root.format(root=app.root)
    done, foretold = app.dispatch(), app.which()
    assert (done.returncode, foretold.returncode) == (80, 80)
    assert done.stderr.startswith("ERROR: no launcher is installed: ")


@pytest.mark.parametrize("root", ["image", ".", "./image", ""])
def test_a_root_that_is_not_absolute_is_none(root: str, app: Image) -> None:
    """The working directory configures nothing: a relative root is as if there were none."""
    app.environ["METALAUNCHER_ROOT"] = root
    done = subprocess.run(
        [app.by_link()],
        env=app.environ,
        cwd=app.root if root == "." else app.root.parent,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 80
    assert done.stderr.startswith("ERROR: no launcher is installed: ")


# METALAUNCHER_LOG.


def _events(stderr: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in stderr.splitlines() if line.startswith("{")]


@pytest.mark.parametrize("way", ["link", "shim"])
def test_the_log_of_a_dispatch(way: str, app: Image) -> None:
    """One JSON line on stderr: what was needed, what was chosen, and by which rule."""
    app.environ["METALAUNCHER_LOG"] = "json"
    path = app.install("example/first", "2.0", '#!/bin/sh\necho first "$@"\n')
    done = app.run(app.by_link() if way == "link" else app.by_shim(), "a")
    assert (done.returncode, done.stdout) == (0, "first a\n")
    assert done.stderr.count("\n") == 1
    (event,) = _events(done.stderr)
    version = app.run(app.executable, "--version").stdout.split()[1]
    written = datetime.fromisoformat(str(event.pop("timestamp")))
    assert abs((datetime.now(UTC) - written).total_seconds()) < 3600  # it is this clock's, in UTC
    assert event == {
        "level": "info",
        "event": "dispatch",
        "dry_run": False,
        "metalauncher": version,
        "platform_api": "0.12",
        "buildpacks": [{"id": "example/bp", "api": "0.10"}],
        "launcher": {"id": "example/first", "version": "2.0", "path": str(path).removeprefix(str(app.root))},
        "descriptor": f"{app.usr}/example_first@2.0.toml",
        "decided_by": f"the highest version that covers the app, before {SECOND}",
        "forecast": None,
    }


def test_the_log_foretells(app: Image) -> None:
    """What is known against the launcher that runs stands in its event, before it runs."""
    app.environ["METALAUNCHER_LOG"] = "json"
    app.install("buildpacks/lifecycle", "0.17.7", "#!/bin/sh\n")
    app.use_metadata('processes = ["type"]\n\n[[buildpacks]]\nid = "example/bp"\napi = "0.10"\n')
    declare(app, "buildpacks/lifecycle@0.17.7")
    alone(app)
    done = app.dispatch()
    event = _events(done.stderr)[0]
    assert event["forecast"] == {
        "starts": False,
        "exit_code": 1,
        "reason": "can't read metadata.toml: processes[0] is a string, not a table",
    }


@pytest.mark.parametrize("name", ["missing", "text", "elf-other-machine", "script-missing-interpreter"])
def test_the_log_names_the_one_that_runs(name: str, app: Image, native: Native) -> None:
    """The event is written before the exec, and foretells it: the warning follows, and the second runs."""
    app.environ["METALAUNCHER_LOG"] = "json"
    OBSTACLES[name][0](place(app), native)
    done = app.dispatch()
    assert done.stdout == "second ran:\n"
    event, warning = _events(done.stderr)
    assert (warning["level"], warning["event"]) == ("warning", "warning")
    assert str(warning["text"]).startswith(f"{FIRST} at ")
    assert event["launcher"] == {
        "id": "example/second",
        "version": "1.0",
        "path": "/usr/lib/cnb/launchers/example/second/1.0/launcher",
    }
    assert done.stderr.count("\n") == 2


@pytest.mark.parametrize(
    ("variable", "value", "exit_code", "kind"),
    [
        ("CNB_PLATFORM_API", "x", 11, "platform-api-malformed"),
        ("CNB_PLATFORM_API", "99.9", 11, "platform-api-not-covered"),
        ("CNB_PLATFORM_API", "", 11, "platform-api-absent"),
        ("CNB_LAYERS_DIR", "/nowhere", 1, "metadata-unreadable"),
        ("METALAUNCHER_ROOT", "/nowhere", 80, "no-launcher-installed"),
        ("METALAUNCHER_PIN", "example/none", 81, "pin-unsatisfied"),
    ],
)
def test_the_log_of_a_refusal(variable: str, value: str, exit_code: int, kind: str, app: Image) -> None:
    """The event has the exit code, the kind, and CNB's line; another holds the whole text, and that is all."""
    app.environ |= {"METALAUNCHER_LOG": "json", variable: value}
    done = app.dispatch()
    event, refusal = _events(done.stderr)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (exit_code, "", 2)
    assert (event["level"], event["exit_code"], event["kind"], event["launcher"]) == ("error", exit_code, kind, None)
    assert (refusal["level"], refusal["exit_code"], refusal["kind"]) == ("error", exit_code, kind)
    del app.environ["METALAUNCHER_LOG"]
    text = app.dispatch().stderr.splitlines()
    assert refusal["text"] == text
    assert text[0] == f"ERROR: {event['error']}"


def test_the_log_holds_what_is_not_text(app: Image) -> None:
    """Ids with quotes, newlines and what is not ASCII are one line of valid JSON."""
    app.environ["METALAUNCHER_LOG"] = "json"
    app.use_metadata('[[buildpacks]]\nid = "a\\"b\\n\\u00e9\\U0001f600\\u0000"\napi = "0.10"\n')
    done = app.dispatch()
    event, warning = _events(done.stderr)
    assert event["buildpacks"] == [{"id": 'a"b\né😀\0', "api": "0.10"}]
    assert warning["event"] == "warning"


@pytest.mark.parametrize("value", [None, "", "JSON", "1"])
def test_no_log_unless_asked(value: str | None, app: Image) -> None:
    """Unset or empty prints nothing; what it does not know is said to be unknown, and the app starts."""
    if value is not None:
        app.environ["METALAUNCHER_LOG"] = value
    app.install("example/first", "2.0", "#!/bin/sh\nexit 7\n")
    done = app.dispatch()
    warning = f"Warning: METALAUNCHER_LOG is text or json, not {value!r}: nothing is logged\n" if value else ""
    assert (done.returncode, done.stdout, done.stderr) == (7, "", warning)


def test_every_exit_code_of_the_app_arrives(app: Image) -> None:
    """The process is the app's from the exec on: its exit codes are nobody else's."""
    app.install("example/first", "2.0", '#!/bin/sh\nexit "$1"\n')
    link = app.by_link()
    codes = [*range(0, 256, 17), 1, 11, 12, 70, 80, 81, 82, 255]
    assert [app.run(link, str(code)).returncode for code in codes] == codes


def test_real_apps_reach_a_launcher(image: Image, native: Native) -> None:
    """The reference registry starts every app that there is among the tests' data."""
    image.use_registry()
    for version in ("0.21.17", "0.17.7", "0.9.3"):
        image.install("buildpacks/lifecycle", version, native.program("answer"))
    environ = dict(image.environ)
    for app in sorted(APPS.iterdir()):
        image.environ = dict(environ)
        image.use_app(app.name)
        done = image.dispatch()
        assert (app.name, done.returncode, done.stdout, done.stderr) == (app.name, 42, "", "")
