"""`image/Dockerfile`, really built: by buildah, from bases of a registry on loopback, without a daemon."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shlex
import shutil
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from bundles import MACHINE, as_process, elf, release
from containers import Bundle, call, debian_members, machine_files, need, registry
from harness import PROJECT, static_form
from images import base, file, folder, index, pack
from kit import ARM, arm_executable
from sboms import sidecar

DOCKERFILE = PROJECT / "image/Dockerfile"
# Limits of a container that every buildah may set: newer ones raise them to 1048576 where nothing is said, which root
# may not without CAP_SYS_RESOURCE, and 1.28 has 32768 processes itself.
LIMITS = ("--ulimit", "nproc=4096:4096", "--ulimit", "nofile=1024:1024")
WRAPPER = """\
#!/bin/sh
export LD_LIBRARY_PATH={libraries} PYTHONPATH=/src:/opt
exec {interpreter} -m metalauncher "$@"
"""
SBOM = ("cyclonedx-python-lib", "spdx-tools")
PATH = "PATH=/usr/local/bin:/usr/bin:/bin"
NOT_NEEDED = (
    "__pycache__",
    "config-",
    "test",
    "idlelib",
    "lib2to3",
    "tkinter",
    "turtledemo",
    "ensurepip",
    "site-packages",
)


def distributions(*names: str) -> dict[str, Path]:
    """Return the files of installed distributions and of all that they need, by their place in site-packages."""
    found: dict[str, Path] = {}
    seen: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # for another system or Python
        for file_ in distribution.files or ():
            if ".." not in file_.parts and "__pycache__" not in file_.parts:
                found[str(file_)] = Path(str(distribution.locate_file(file_)))
        needed = [each for each in distribution.requires or () if "extra ==" not in each]
        todo += [re.split(r"[^A-Za-z0-9._-]", each)[0] for each in needed]
    return found


def tools(directory: Path) -> str:
    """Write an image with this machine's Python, what the extra needs, and a command `metalauncher`."""
    interpreter, library = Path(os.path.realpath(sys.executable)), Path(sysconfig.get_path("stdlib"))
    programs = [Path("/usr/bin") / name for name in ("dash", "tar", "mkdir", "uname")]
    found = machine_files(interpreter, *programs, *library.glob("lib-dynload/*.so"))
    found |= {
        str(path): path
        for path in library.rglob("*.py")
        if not path.relative_to(library).parts[0].startswith(NOT_NEEDED)
    }
    needed = distributions("tomli", "packaging", "structlog", "zstandard", *SBOM)
    packages = {name: path for name, path in needed.items() if path.exists()}
    extensions = [path for path in packages.values() if path.suffix == ".so"]
    found |= {name: path for name, path in machine_files(*extensions).items() if path not in extensions}
    libraries = sorted({str(Path(name).parent) for name in found if ".so" in name and "dynload" not in name})
    wrapper = WRAPPER.format(libraries=":".join(libraries), interpreter=interpreter)
    found |= {f"/opt/{name}": path for name, path in packages.items()}
    members = debian_members(found)
    members += [
        folder("usr/local"),
        folder("usr/local/bin"),
        file("usr/local/bin/metalauncher", wrapper.encode(), 0o755),
    ]
    return base(directory, [pack(members)], Env=[PATH])


class Buildah:
    """buildah with a storage of its own; newer ones want netavark beside them, whatever they build."""

    def __init__(self, folder: Path, address: str) -> None:
        """Take where to keep everything, and the registry's address."""
        self.folder = folder
        self.address = address
        store = ("--root", folder / "root", "--runroot", folder / "run", "--storage-driver", "vfs")
        self._command = ("buildah", *store)

    def __call__(self, *arguments: str | Path) -> str:
        """Run it."""
        return call(*self._command, *arguments)

    def build(self, tag: str, *options: str, context: Path) -> None:
        """Build `image/Dockerfile`, the same on every build."""
        self(*self._first(), *options, *self._last(tag, context))

    def _first(self) -> tuple[str, ...]:
        arguments = [f"BASE={self.address}/base:1", f"TOOLS={self.address}/tools:1"]
        given = [option for argument in arguments for option in ("--build-arg", argument)]
        same = ("--timestamp=0", "--identity-label=false")
        return "bud", "--isolation=chroot", *LIMITS, "--tls-verify=false", "-q", *same, *given

    def build_as_the_page_says(self, tag: str, labels: Sequence[str], *options: str, context: Path) -> None:
        """Build with labels as docs/vendors/run-image.md has it: their arguments go before the context."""
        (recipe,) = re.findall(
            r"^xargs -a labels\.args sh -c 'buildah build .*?(\"\$@\" \.)' --$",
            (PROJECT / "docs/vendors/run-image.md").read_text(),
            flags=re.MULTILINE,
        )
        command = [*self._command, *self._first(), *options, *self._last(tag, context)[:-1]]
        file = self.folder / "labels.args"
        file.write_text("".join([f"--label {shlex.quote(label)}\n" for label in labels[1::2]]))
        script = f"cd {shlex.quote(str(context))} && {shlex.join(map(str, command))} {recipe}"
        call("xargs", "-a", file, "sh", "-c", script, "--")

    @staticmethod
    def _last(tag: str, context: Path) -> tuple[str | Path, ...]:
        return "-f", DOCKERFILE, "-t", tag, context


@pytest.fixture(scope="module")
def buildah(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Buildah]:
    """Return buildah, and a registry that holds a base and the tools."""
    need("buildah", "skopeo", "docker-registry", "umoci")
    folder = tmp_path_factory.mktemp("buildah")
    images = {
        "tools": tools(folder / "tools"),
        "base": base(
            folder / "base",
            [pack(debian_members(machine_files(Path("/usr/bin/dash"))))],
            Env=["LANG=C.UTF-8", PATH],
            Cmd=["sh"],
        ),
    }
    (folder / "registry").mkdir()
    with registry(folder / "registry") as address:
        for name, reference in images.items():
            target = f"docker://{address}/{name}:1"
            call("skopeo", "--insecure-policy", "copy", "-q", "--dest-tls-verify=false", reference, target)
        yield Buildah(folder, address)
    shutil.rmtree(folder / "root", ignore_errors=True)


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a build context: the project's own files that the Dockerfile copies, and two releases."""
    folder = tmp_path_factory.mktemp("context")
    (folder / "image").mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "image/requirements.txt"):
        shutil.copy(PROJECT / name, folder / name)
    shutil.copytree(PROJECT / "metalauncher", folder / "metalauncher", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(PROJECT / "licences", folder / "licences")
    (folder / "dist").mkdir()
    for source in (static_form().executable, sidecar(static_form())):
        shutil.copy2(source, folder / "dist")
    for version in ("0.17.7", "0.21.17"):
        release(folder / "bundles", version, elf(size=int(version.split(".")[1]) * 100))
    return folder


def test_built_by_buildah(buildah: Buildah, context: Path, tmp_path: Path) -> None:
    """Built twice it is the same: what `metalauncher image` makes of that base, its labels true; and it starts."""
    buildah.build("tools", "--target", "metalauncher", context=context)
    container = buildah("from", *LIMITS, "--name", "ask", "localhost/tools").strip()
    ask = ("metalauncher", "labels", "--root", "/rootfs", "--format", "args")
    labels = shlex.split(buildah("run", "--isolation=chroot", container, "--", *ask))
    buildah.build("run", *labels, context=context)
    buildah.build_as_the_page_says("again", labels, "--no-cache", context=context)
    for name in ("run", "again"):
        buildah("push", "-q", f"localhost/{name}", f"oci:{tmp_path}/built:{name}")
    index = json.loads((tmp_path / "built/index.json").read_text())
    assert len({entry["digest"] for entry in index["manifests"]}) == 1
    answer = as_process("labels", "--verify", f"oci:{tmp_path}/built:run")
    assert (answer.code, answer.out, answer.err) == (0, "", "the labels are correct\n")
    options = [option for tarball in sorted((context / "bundles").iterdir()) for option in ("--bundle", tarball)]
    made = as_process(
        *("image", "--base", f"oci:{buildah.folder}/base:base", "--executable", static_form().executable),
        *(*options, "--out", f"oci:{tmp_path}/made:run"),
    )
    assert made.code == 0
    built, ours = (Bundle(tmp_path / name, "run", tmp_path / f"{name}-bundle") for name in ("built", "made"))
    assert contents(built.rootfs) == contents(ours.rootfs)
    kept = ("Entrypoint", "Env", "Cmd")
    assert {key: built.image.get(key) for key in kept} == {key: ours.image.get(key) for key in kept}
    assert built.image["Labels"] == ours.image["Labels"]
    ended = built.run("crun")
    assert ended.code == 1
    assert ended.err.startswith("ERROR: failed to read metadata: ")


@pytest.mark.thorough
def test_built_for_another_platform(buildah: Buildah, context: Path, tmp_path: Path) -> None:
    """Built for arm64 on whatever machine: the base for arm64, and what `metalauncher image --platform` makes of it."""
    executable = arm_executable()
    both = tmp_path / "context"
    shutil.copytree(context, both)
    for source in (executable, Path(f"{executable}.contents.json")):
        shutil.copy2(source, both / "dist")
    for version in ("0.17.7", "0.21.17"):
        release(both / "bundles", version, elf(ARM, size=int(version.split(".")[1]) * 100), architecture="arm64")
    layers = [pack(debian_members({}))]
    for go in ("amd64", "arm64"):
        base(tmp_path / "base", layers, go, go, Env=[PATH])
    reference = index(tmp_path / "base", {"linux/amd64": "amd64", "linux/arm64": "arm64"}, "both")
    target = f"docker://{buildah.address}/both:1"
    call("skopeo", "--insecure-policy", "copy", "-q", "--all", "--dest-tls-verify=false", reference, target)
    build = f"BUILDPLATFORM=linux/{'amd64' if MACHINE == 62 else 'arm64'}"
    options = ("--platform", "linux/arm64", "--build-arg", build, "--build-arg", f"BASE={buildah.address}/both:1")
    buildah.build("arm", *options, context=both)
    buildah("push", "-q", "localhost/arm", f"oci:{tmp_path}/built:run")
    tarballs = [option for file in sorted((both / "bundles").glob("*arm64.tgz")) for option in ("--bundle", file)]
    made = as_process(
        *("image", "--platform", "linux/arm64", "--base", reference, "--executable", executable, *tarballs),
        *("--out", f"oci:{tmp_path}/made:run"),
    )
    assert made.code == 0, made.err
    built, ours = (Bundle(tmp_path / name, "run", tmp_path / f"{name}-bundle") for name in ("built", "made"))
    assert contents(built.rootfs) == contents(ours.rootfs)
    for name in ("built", "made"):
        listed = as_process("list", "--run-image", f"oci:{tmp_path}/{name}:run", "--platform", "linux/arm64", "--json")
        assert [one["state"] for one in listed.document["launchers"]] == ["in-effect", "in-effect"]


def test_two_lines_of_a_vendor(buildah: Buildah, context: Path, tmp_path: Path) -> None:
    """A vendor's own Dockerfile with the page's two lines gives the files that `metalauncher image` does."""
    options = [option for tarball in sorted((context / "bundles").iterdir()) for option in ("--bundle", tarball)]
    made = as_process(
        *("image", "--base", "scratch", "--executable", static_form().executable, *options),
        *("--out", f"oci:{tmp_path}/made:metalauncher", "--out", f"docker-archive:{tmp_path}/made.tar:metalauncher"),
    )
    assert made.code == 0
    buildah("pull", "-q", f"docker-archive:{tmp_path}/made.tar")
    (lines,) = re.findall(
        r"```dockerfile\n(.*?)```", (PROJECT / "docs/vendors/run-image.md").read_text(), flags=re.DOTALL
    )
    lines = lines.replace("--from=metalauncher", "--from=localhost/metalauncher")
    (tmp_path / "Dockerfile").write_text(f"FROM {buildah.address}/base:1\n{lines}")
    buildah("bud", "-q", "--tls-verify=false", "-f", tmp_path / "Dockerfile", "-t", "vendor", tmp_path)
    buildah("push", "-q", "localhost/vendor", f"oci:{tmp_path}/made:vendor")
    ours, vendors = (Bundle(tmp_path / "made", tag, tmp_path / tag) for tag in ("metalauncher", "vendor"))
    found = contents(vendors.rootfs)
    assert found["usr/bin"][0] & 0o7777 == 0o751
    for path, what in contents(ours.rootfs).items():
        assert found[path] == what or path == "usr/bin", path


def contents(rootfs: Path) -> dict[str, tuple[int, int, int, bytes | str]]:
    """Return everything in a root file system: mode, owners, content or target."""
    found: dict[str, tuple[int, int, int, bytes | str]] = {}
    for path in rootfs.rglob("*"):
        status = path.lstat()
        content: bytes | str = "a directory"
        if path.is_symlink():
            content = str(path.readlink())
        elif path.is_file():
            content = path.read_bytes()
        found[str(path.relative_to(rootfs))] = (status.st_mode, status.st_uid, status.st_gid, content)
    return found


def test_both_builders_can_read_it() -> None:
    """Nothing in it is known to one builder alone: no heredocs, no `COPY --link`, no syntax directive, no mounts."""
    text = DOCKERFILE.read_text()
    instructions = [line for line in text.splitlines() if re.match(r"[A-Z]+ ", line)]
    assert {line.split()[0] for line in instructions} == {"ARG", "FROM", "COPY", "RUN", "ENTRYPOINT"}
    assert "ARG TARGETARCH" in instructions
    assert instructions[-1] == 'ENTRYPOINT ["/usr/lib/cnb/launcher"]'
    last = text[text.rindex("FROM ") :]
    assert [line.split()[0] for line in last.splitlines()] == ["FROM", "COPY", "COPY", "ENTRYPOINT"]
    assert not re.search(r"<<|--link|--mount|# syntax", text)
