"""Run images and apps on them, as platforms run them: through a registry, by each runtime, as PID 1 of a container."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from bundles import as_process, release
from containers import RUNTIMES, Bundle, call, debian_members, machine_files, need, registry
from harness import static_form
from images import App, Layout, base, export, load_app, make_app, pack
from native import FLAGS, SOURCES, Native, public_folder

VERSIONS = ("0.17.7", "0.21.17")
BASES = ("scratch", "debian")
ROUTES = ("symlink", "shim")
APP_METADATA = """\
[[buildpacks]]
  id = "acme/native"
  version = "1.0.0"
  api = "{api}"

[[processes]]
  type = "serve"
  command = ["/workspace/app", "serve"]
  args = []
  direct = true
  buildpack-id = "acme/native"

[[processes]]
  type = "web"
  command = ["/workspace/app"]
  args = ["--port", "8080"]
  direct = true
  buildpack-id = "acme/native"
"""


def debian_base(directory: Path) -> str:
    """Write the image of a small Debian with sh and env."""
    members = debian_members(machine_files(Path("/usr/bin/dash"), Path("/usr/bin/env")))
    environ = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"]
    return base(directory, [pack(members, "debian")], Env=environ, Cmd=["sh"], Labels={"io.buildpacks.base.id": "acme"})


class Shipped:
    """Run images of both bases and apps on them, as pulled; each is unpacked when it is first asked for."""

    def __init__(self, layout: Path, scratch: Path) -> None:
        """Take the layout that was pulled, and where to unpack to."""
        self.layout = layout
        self._scratch = scratch
        self._bundles: dict[str, Bundle] = {}

    def bundle(self, tag: str) -> Bundle:
        """Return the image of that tag, unpacked."""
        if tag not in self._bundles:
            self._bundles[tag] = Bundle(self.layout, tag, self._scratch / tag)
        return self._bundles[tag]


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory, native: Native) -> list[Path]:
    """Return releases whose launchers really launch, and say which they are."""
    folder = tmp_path_factory.mktemp("releases")
    made = []
    for version in VERSIONS:
        name = f'-DNAME="buildpacks/lifecycle@{version}"'
        program = native.compile(SOURCES / "launcher.c", folder / f"launcher-{version}", *FLAGS, name)
        made.append(release(folder, version, program.read_bytes()))
    return made


def apps(native: Native) -> list[App]:
    """Return the apps for FROM scratch: an old one, a new one, and one that nothing covers."""
    program = {"app": native.program("app").read_bytes()}
    return [
        make_app("old", APP_METADATA.format(api="0.5"), "0.6", files=program),
        make_app("new", APP_METADATA.format(api="0.12"), "0.15", files=program),
        make_app("refused", APP_METADATA.format(api="0.12"), "0.6", files=program),
    ]


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory, native: Native, releases: list[Path]) -> Iterator[Shipped]:
    """Build the run images, export the apps onto them, push all to a registry and pull it back."""
    need("skopeo", "umoci", "docker-registry")
    folder = tmp_path_factory.mktemp("images")
    bases = {"scratch": "scratch", "debian": debian_base(folder / "debian")}
    tags = []
    for name, reference in bases.items():
        bundles = [option for tarball in releases for option in ("--bundle", tarball)]
        options = ("--executable", static_form().executable, "--out", f"oci:{folder}/out:{name}")
        answer = as_process("image", "--base", reference, *bundles, *options)
        assert answer.code == 0, answer.err
        layout = Layout(folder / "out")
        wanted = [(app, route, f"{name}-{app.name}-{route}") for app in apps(native) for route in ROUTES]
        if name == "debian":
            wanted += [(load_app(app), "symlink", f"{name}-{app}") for app in ("p06", "p12")]
        for app, route, tag in wanted:
            export(layout, name, app, route, tag)
        layout.save()
        tags += [name, *[tag for _, _, tag in wanted]]
    data, pulled, scratch = folder / "registry", folder / "pulled", public_folder()
    data.mkdir()
    try:
        with registry(data) as address:
            for tag in tags:
                image = f"docker://{address}/acme:{tag}"
                copy = ("skopeo", "--insecure-policy", "copy", "-q")
                call(*copy, "--dest-tls-verify=false", f"oci:{folder}/out:{tag}", image)
                call(*copy, "--src-tls-verify=false", image, f"oci:{pulled}:{tag}")
        yield Shipped(pulled, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def lines(text: str, word: str) -> list[str]:
    """Return what follows `word` in the lines that begin with it."""
    return [line.partition(" ")[2] for line in text.splitlines() if line.partition(" ")[0] == word]


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("where", BASES)
@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(("app", "version"), [("old", "0.17.7"), ("new", "0.21.17")])
def test_web(shipped: Shipped, where: str, route: str, app: str, version: str, runtime: str) -> None:
    """`web` starts by the launcher that covers the app: PID 1, uid 1000 without passwd, read-only root, no network."""
    bundle = shipped.bundle(f"{where}-{app}-{route}")
    ended = bundle.run(runtime)
    assert (ended.code, ended.err) == (0, "")
    first, rest = ended.out.split("\n", 1)
    assert first == f"launcher buildpacks/lifecycle@{version} starts the process web"
    assert lines(rest, "argument") == ["--port", "8080"]
    assert [lines(rest, word) for word in ("uid", "gid", "pid", "cwd")] == [["1000"], ["1000"], ["1"], ["/workspace"]]
    # gVisor looks at a directory's owner first, Linux at what is mounted.
    assert lines(rest, "root") == ["Permission denied" if runtime == "runsc" else "Read-only file system"]
    assert lines(rest, "interface") in ([], ["lo"])
    environ = dict(entry.split("=", 1) for entry in lines(rest, "env"))
    expected = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    expected |= {"LANG": "C.UTF-8"} if where == "debian" else {}
    assert {name: value for name, value in environ.items() if name != "HOME"} == expected


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("app", ["p06", "p12"])
def test_app_with_a_shell(shipped: Shipped, app: str, runtime: str) -> None:
    """An app of buildpacks, a shell script, runs on the Debian."""
    version = {"p06": "0.17.7", "p12": "0.21.17"}[app]
    ended = shipped.bundle(f"debian-{app}").run(runtime, ["/cnb/process/web"])
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == (
        f"launcher buildpacks/lifecycle@{version} starts the process web\nserver argc=2 args=--port 8080\n"
    )


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("route", ROUTES)
def test_command_instead(shipped: Shipped, route: str, runtime: str) -> None:
    """`--entrypoint launcher IMAGE -- env` runs `env` in the app's environment, whatever the route."""
    ended = shipped.bundle(f"debian-new-{route}").run(runtime, ["launcher", "--", "env"], environ={"EXTRA": "1"})
    assert (ended.code, ended.err) == (0, "")
    first, *rest = ended.out.splitlines()
    assert first == "launcher buildpacks/lifecycle@0.21.17 starts the command env"
    assert {"EXTRA=1", "LANG=C.UTF-8"} <= set(rest)
    assert not [entry for entry in rest if entry.startswith(("CNB_", "METALAUNCHER_"))]
    ended = shipped.bundle(f"scratch-new-{route}").run(runtime, ["launcher", "--", "/workspace/app", "--which"])
    assert lines(ended.out, "argument") == ["--which"]


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("where", BASES)
def test_which_inside(shipped: Shipped, where: str, runtime: str) -> None:
    """`metalauncher --which` tells, inside the container, what would run and why."""
    ended = shipped.bundle(f"{where}-old-shim").run(runtime, ["/usr/bin/metalauncher", "--which"])
    assert ended.code == 0
    assert ended.out == "/usr/lib/cnb/launchers/buildpacks/lifecycle/0.17.7/launcher\n"
    assert "because it is the only launcher that covers the app" in ended.err
    assert "buildpacks/lifecycle@0.21.17" in ended.err


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("route", ROUTES)
def test_refused(shipped: Shipped, route: str, runtime: str) -> None:
    """An app that no launcher covers is not started: exit code 12, CNB's text, and what to do."""
    ended = shipped.bundle(f"scratch-refused-{route}").run(runtime)
    assert (ended.code, ended.out) == (12, "")
    assert ended.err.splitlines()[0] == (
        "ERROR: failed to set API for buildpack 'acme/native': buildpack API version '0.12' is incompatible with the"
        " lifecycle"
    )
    assert "buildpacks/lifecycle@0.21.17: Platform API 0.7 to 0.15" in ended.err


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("route", ROUTES)
def test_signal_reaches_the_app(shipped: Shipped, route: str, runtime: str) -> None:
    """While it runs the app is the only process of the container; SIGTERM reaches it, and its exit code comes back."""
    with shipped.bundle(f"scratch-new-{route}").start(runtime, ["/cnb/process/serve"]) as container:
        assert container.process.stdout is not None
        assert container.process.stdout.readline() == (
            "launcher buildpacks/lifecycle@0.21.17 starts the process serve\n"
        )
        assert container.process.stdout.readline() == "ready\n"
        assert container.processes() == ["app"]
        if runtime != "runsc":
            assert (Path("/proc") / str(container.pid) / "cmdline").read_bytes() == b"/workspace/app\0serve\0"
        container.kill("TERM")
        out, err = container.process.communicate(timeout=60)
    assert (container.process.returncode, out, err) == (7, "SIGTERM\n", "")
    assert not Path(f"/proc/{container.pid}").exists()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_mask_by_a_mounted_directory(shipped: Shipped, tmp_path: Path, runtime: str) -> None:
    """A directory mounted over /etc/cnb/launchers.d masks a launcher: the app that needs it is refused."""
    bundle = shipped.bundle("scratch-old-symlink")
    tmp_path.chmod(0o755)
    (tmp_path / "buildpacks_lifecycle@0.17.7.toml").write_text("[launcher]\nmasked = true\n")
    mount = {
        "destination": "/etc/cnb/launchers.d",
        "type": "bind",
        "source": str(tmp_path),
        "options": ["bind", "ro"],
    }
    (bundle.rootfs / "etc/cnb/launchers.d").mkdir(parents=True, exist_ok=True)
    ended = bundle.run(runtime, mounts=[mount])
    assert (ended.code, ended.out) == (11, "")
    assert "masked: /usr/lib/cnb/launchers.d/buildpacks_lifecycle@0.17.7.toml by /etc/cnb/launchers.d" in ended.err


def test_what_the_run_image_is(shipped: Shipped) -> None:
    """The labels and the entrypoint are seen by skopeo; the base's own config is kept, its CMD is not."""
    inspected = json.loads(call("skopeo", "inspect", f"oci:{shipped.layout}:debian"))
    assert inspected["Architecture"] == "amd64"
    assert inspected["Labels"]["io.buildpacks.base.id"] == "acme"
    assert inspected["Labels"]["io.buildpacks.run.launcher.path"] == "/usr/lib/cnb/launcher"
    platform = "0.3,0.4,0.5,0.6,0.7,0.8,0.9,0.10,0.11,0.12,0.13,0.14,0.15"
    for prefix in ("io.buildpacks.run-image", "io.buildpacks.base"):
        assert inspected["Labels"][f"{prefix}.launcher.platform-apis"] == platform
    config = shipped.bundle("debian").image
    assert config["Entrypoint"] == ["/usr/lib/cnb/launcher"]
    assert "Cmd" not in config
    assert "LANG=C.UTF-8" in config["Env"]
    bundle = shipped.bundle("debian")
    assert (bundle.rootfs / "usr/bin").stat().st_mode & 0o7777 == 0o751
    assert (bundle.rootfs / "usr/lib/cnb/launcher").readlink() == Path("/usr/bin/metalauncher")
    assert (bundle.rootfs / "bin/sh").is_symlink()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_run_image_alone(shipped: Shipped, runtime: str) -> None:
    """The run image's own ENTRYPOINT is a dispatch: without an app it says what is not there."""
    ended = shipped.bundle("scratch").run(runtime)
    assert ended.code == 1
    assert ended.err.startswith("ERROR: failed to read metadata: ")


def mount(source: Path, destination: str, *options: str) -> dict[str, object]:
    """Return a bind mount."""
    return {"destination": destination, "type": "bind", "source": str(source), "options": ["bind", *options]}


LAST_WORDS = "/dev/termination-log"
BEFORE = "what the container before had to say\n" * 200


@pytest.fixture
def words(tmp_path: Path) -> Path:
    """Return a file for a container's last words, as kubelet makes it: there, for every user to write."""
    tmp_path.chmod(0o755)
    file = tmp_path / "termination-log"
    file.write_text(BEFORE)
    file.chmod(0o666)
    return file


REFUSALS = {
    "nothing recorded": ("scratch", 1),
    "no buildpack API": ("scratch-refused-symlink", 12),
    "no platform API": ("scratch-old-symlink", 11),
    "no descriptor": ("scratch-old-symlink", 80),
    "a pin": ("scratch-old-symlink", 81),
    "nothing to execute": ("scratch-old-symlink", 82),
}


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("kind", REFUSALS)
def test_last_words(shipped: Shipped, words: Path, tmp_path: Path, kind: str, runtime: str) -> None:
    """A refusal's text, and nothing else, is in the file that Kubernetes mounts and shows."""
    tag, code = REFUSALS[kind]
    bundle = shipped.bundle(tag)
    other, environ, mounts = tmp_path / "other", {}, [mount(words, LAST_WORDS, "rw")]
    match kind:
        case "no platform API":
            other.mkdir(mode=0o755)
            (other / "buildpacks_lifecycle@0.17.7.toml").write_text("[launcher]\nmasked = true\n")
            (bundle.rootfs / "etc/cnb/launchers.d").mkdir(parents=True, exist_ok=True)
            mounts.append(mount(other, "/etc/cnb/launchers.d", "ro"))
        case "no descriptor":
            environ["METALAUNCHER_ROOT"] = "/nowhere"
        case "a pin":
            environ["METALAUNCHER_PIN"] = "acme/launcher"
        case "nothing to execute":
            other.write_bytes(b"\x7fELF")
            mounts.append(mount(other, "/usr/lib/cnb/launchers/buildpacks/lifecycle/0.17.7/launcher", "ro"))
    ended = bundle.run(runtime, environ=environ, mounts=mounts)
    assert (ended.code, ended.out) == (code, "")
    assert ended.err.startswith("ERROR: ")
    assert words.read_text() == ended.err


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_no_last_words_of_an_app(shipped: Shipped, words: Path, runtime: str) -> None:
    """Where a launcher is started the file is the app's alone."""
    ended = shipped.bundle("scratch-old-symlink").run(runtime, mounts=[mount(words, LAST_WORDS, "rw")])
    assert (ended.code, ended.err) == (0, "")
    assert words.read_text() == BEFORE


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("kind", ["missing", "read-only", "not for this user", "directory", "link"])
def test_nowhere_to_put_last_words(shipped: Shipped, words: Path, tmp_path: Path, kind: str, runtime: str) -> None:
    """What is no file that can be written is left as it is; the refusal is the same, and waits for nothing."""
    bundle = shipped.bundle("scratch-refused-symlink")
    expected = bundle.run(runtime)
    other, environ = tmp_path / "other", {}
    match kind:
        case "missing":
            mounts = []
        case "read-only":
            mounts = [mount(words, LAST_WORDS, "ro")]
        case "not for this user":
            words.chmod(0o644)
            mounts = [mount(words, LAST_WORDS, "rw")]
        case "directory":
            other.mkdir()
            other.chmod(0o777)
            # Where no file was mounted before: runtimes leave what they mount it on.
            environ["METALAUNCHER_TERMINATION_LOG"] = "/directory"
            mounts = [mount(other, "/directory", "rw")]
        case _:
            link = bundle.rootfs / "words"
            if not link.is_symlink():
                link.symlink_to(LAST_WORDS)
            environ["METALAUNCHER_TERMINATION_LOG"] = "/words"
            mounts = [mount(words, LAST_WORDS, "rw")]
    ended = bundle.run(runtime, environ=environ, mounts=mounts)
    assert ended.code == 12
    assert ended == expected
    assert words.read_text() == BEFORE
    assert not other.is_dir() or not list(other.iterdir())


@pytest.mark.parametrize("runtime", RUNTIMES[:2])  # gVisor mounts no FIFO
def test_no_last_words_into_a_fifo(shipped: Shipped, tmp_path: Path, runtime: str) -> None:
    """Nobody reads from it: it is not waited for."""
    bundle = shipped.bundle("scratch-refused-symlink")
    tmp_path.chmod(0o755)
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "fifo").chmod(0o666)
    ended = bundle.run(runtime, mounts=[mount(tmp_path / "fifo", LAST_WORDS, "rw")])
    assert ended.code == 12
    assert ended == bundle.run(runtime)
