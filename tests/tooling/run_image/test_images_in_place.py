"""Run images where they are: what the commands say of a layout, an archive or a registry is what they say of a root.

The root to compare with is unpacked by umoci, a tool that knows nothing of ours.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from bundles import MACHINE, Answer, Tool, elf
from containers import call, need
from fleets import stock
from harness import PROJECT, REFERENCE_REGISTRY, static_form
from images import Layer, Layout, base, fifo, file, folder, hard_link, link, pack, sha
from images import tar as pack_tar
from registries import start_registry
from sboms import cyclonedx, sidecar

USR, ETC = "usr/lib/cnb/launchers.d", "etc/cnb/launchers.d"
Member = tuple[tarfile.TarInfo, bytes]
COMMANDS = (
    "list",
    "list --all",
    "list --all --json",
    "matrix",
    "matrix --gaps --format markdown",
    "matrix --json",
    "lint",
    "lint --json",
    "lint --strict",
    "labels",
    "labels --format args",
    "labels --json",
    "sbom",
    "sbom --format spdx",
)


def descriptor(version: str, more: str = "") -> bytes:
    """Return a descriptor of the reference registry, with more under `[launcher]`."""
    text = (REFERENCE_REGISTRY / f"buildpacks_lifecycle@{version}.toml").read_text()
    return text.replace("[launcher]\n", f"[launcher]\n{more}", 1).encode()


def launcher(version: str, path: str = "", mode: int = 0o755) -> list[Member]:
    """Return a launcher's executable and descriptor."""
    more = f'path = "{path}"\n' if path else ""
    place = path or f"usr/lib/cnb/launchers/buildpacks/lifecycle/{version}/launcher"
    return [
        file(place, elf(MACHINE, size=300 + len(version)), mode),
        file(f"{USR}/buildpacks_lifecycle@{version}.toml", descriptor(version, more)),
    ]


def metalauncher() -> list[Member]:
    """Return an executable in metalauncher's place, and what its build would say of it."""
    program = elf(MACHINE, size=5000)
    described = json.loads(sidecar(static_form()).read_text()) | {"sha256": sha(program).removeprefix("sha256:")}
    return [
        *[folder(name) for name in ("etc", "usr", "usr/bin", "usr/lib", "usr/lib/cnb", USR)],
        file("usr/bin/metalauncher", program, 0o755),
        file("usr/lib/cnb/metalauncher/contents.json", json.dumps(described).encode()),
        link("usr/lib/cnb/launcher", "/usr/bin/metalauncher"),
    ]


def plain() -> list[Layer]:
    """Return a run image as vendors make them; one launcher has an SBOM."""
    sbom = file("usr/lib/cnb/launchers/buildpacks/lifecycle/0.21.17/sbom.cdx.json", json.dumps(cyclonedx()).encode())
    return [pack([*metalauncher(), *launcher("0.17.7"), *launcher("0.21.17"), sbom])]


def odd() -> list[Layer]:
    """Return one with launchers elsewhere, links, masks, whiteouts, and something of everything that lint finds."""
    first = pack([*metalauncher(), *launcher("0.9.3"), *launcher("0.21.17", "/opt/new/launcher")])
    wrong = [
        file(f"{USR}/empty.toml", b""),
        file(f"{USR}/torn.toml", b"[launcher\n"),
        file(f"{USR}/.metalauncher-tmp-0123456789abcdef", b""),
        file(f"{USR}/.wh.buildpacks_lifecycle@0.9.3.toml", b""),
        folder("etc/cnb", 0o777),
        folder(ETC, 0o775),
        link(f"{ETC}/mask.toml", "/dev/null"),
        file(f"{ETC}/buildpacks_lifecycle@0.17.7.toml", b"[launcher]\nmasked = true\n"),
    ]
    elsewhere = [
        folder("opt"),
        file("opt/new/sbom.cdx.json", json.dumps(cyclonedx()).encode()),
        file("opt/linked", descriptor("0.17.7")),
        link(f"{USR}/buildpacks_lifecycle@0.17.7.toml", "../../../../opt/linked"),
        file("opt/script", b"#!/opt/none\n", 0o711),
        file(f"{USR}/script.toml", descriptor("0.17.7", 'path = "/opt/script"\nversion = "1"\npriority = 1\n')),
        file(f"{USR}/closed.toml", descriptor("0.17.7", 'path = "/opt/closed"\nversion = "2"\npriority = 2\n'), 0o600),
        file("opt/closed", elf(MACHINE), 0o644),
        file(f"{USR}/hollow.toml", descriptor("0.17.7", 'path = "/opt/hollow"\nversion = "3"\npriority = 3\n')),
        file("opt/hollow", b"", 0o644),
    ]
    return [first, pack([*wrong, *elsewhere])]


def behind_links() -> list[Layer]:
    """Return one whose /usr/lib is a link, as is metalauncher's own folder in it."""
    moved = [("usr/lib/cnb/", "opt/cnb/"), ("usr/lib", "lib")]

    def move(member: Member) -> Member:
        info, data = member
        for old, new in moved:
            if info.name.startswith(old):
                info.name = info.name.replace(old, new, 1)
        return info, data

    links = [folder("lib"), link("lib/cnb", "/opt/cnb"), link("usr/lib", "../lib"), folder("opt"), folder("opt/cnb")]
    own = [one for one in metalauncher() if one[0].name not in ("usr/lib", "usr/lib/cnb", USR)]
    ordered = [*[one for one in own if one[0].isdir()], *links, *[one for one in own if not one[0].isdir()]]
    return [pack([move(one) for one in [*ordered, *launcher("0.17.7"), *launcher("0.21.17")]])]


def under_other_names() -> list[Layer]:
    """Return one whose files came under other names than they have, one not of the owner alone, and a FIFO."""
    place = "usr/lib/cnb/launchers/buildpacks/lifecycle"
    first = [
        folder("./", 0o777),
        *metalauncher(),
        file("opt/launcher", elf(MACHINE, size=70_000), 0o755),
        file("opt/descriptor", descriptor("0.17.7")),
        link("srv", "/opt"),
    ]
    second = [
        file("srv/newer", elf(MACHINE, size=80_000), 0o755),  # through a link
        hard_link(f"{place}/0.17.7/launcher", "opt/launcher"),
        hard_link(f"{USR}/buildpacks_lifecycle@0.17.7.toml", "opt/descriptor"),
        hard_link(f"{place}/0.21.17/launcher", "opt/newer"),
        file(f"{USR}/buildpacks_lifecycle@0.21.17.toml", descriptor("0.21.17")),
        fifo(f"{USR}/waiting.toml"),
    ]
    return [pack(first), pack(second), pack([file("opt/.wh.launcher", b"")])]


def without_metalauncher() -> list[Layer]:
    """Return one with a launcher alone."""
    return [pack([folder("usr"), *launcher("0.17.7")])]


def without_anything() -> list[Layer]:
    """Return one with nothing to speak of."""
    return [pack([folder("usr"), folder("etc"), file("etc/os-release", b"ID=acme\n")])]


IMAGES: dict[str, Callable[[], list[Layer]]] = {
    one.__name__: one for one in (plain, odd, behind_links, under_other_names, without_metalauncher, without_anything)
}


@dataclass
class Places:
    """One image in every place.

    Attributes:
        root: it, unpacked.
        names: by kind of place.
    """

    root: Path
    names: dict[str, str]


@pytest.fixture(scope="module", params=IMAGES)
def places(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    """Put an image everywhere, and unpack it."""
    need("umoci", "docker-registry")
    place = tmp_path_factory.mktemp(request.param)
    base(place / "layout", IMAGES[request.param]())
    layout = Layout(place / "layout")
    call("umoci", "unpack", *(["--rootless"] if os.geteuid() else []), "--image", f"{place}/layout:base", place / "as")
    with tarfile.open(place / "oci.tar", "w") as archive:
        archive.add(layout.directory, ".")
    manifest, config = layout.image("base")
    layers = [one["digest"].removeprefix("sha256:") for one in manifest["layers"]]
    listed = [{"Config": "config.json", "RepoTags": ["run:1"], "Layers": layers}]
    members = [file("config.json", json.dumps(config).encode()), file("manifest.json", json.dumps(listed).encode())]
    members += [file(name, layout.blob(f"sha256:{name}").read_bytes()) for name in layers]
    (place / "docker.tar").write_bytes(pack_tar(members))
    (place / "registry").mkdir()
    stock(place / "registry", layout, {"acme/run:1": "base", "acme/other:1": "base"})
    with contextlib.closing(start_registry(place / "registry")) as registry:
        names = {
            "oci": f"oci:{layout.directory}:base",
            "oci-archive": f"oci-archive:{place}/oci.tar:base",
            "docker-archive": f"docker-archive:{place}/docker.tar:run:1",
            "registry": f"{registry.host}/acme/run:1",
            "dir": f"dir:{place}/as/rootfs",
        }
        yield Places(place / "as/rootfs", names)


@pytest.mark.parametrize("kind", ["oci", "oci-archive", "docker-archive", "registry", "dir"])
def test_as_of_the_unpacked_root(tool: Tool, places: Places, kind: str) -> None:
    """Every command says the same, and ends alike; files of an image are named as they are called in it."""
    name = places.names[kind]
    for command in COMMANDS:
        expected = tool(*command.split(), "--root", places.root)
        found = tool(*command.split(), "--run-image", name)
        if kind != "dir":
            expected = _in_image(expected, places.root, name)
        assert found == expected, command


def _in_image(answer: Answer, root: Path, name: str) -> Answer:
    """Return an answer about a root as it is to be about the image."""

    def rename(text: str) -> str:
        return text.replace(f"--root {root}", f"--run-image {name}").replace(str(root), "")

    return Answer(answer.code, rename(answer.out), rename(answer.err))


def test_the_images_are_what_they_are_for(tool: Tool, tmp_path: Path) -> None:
    """The odd one shows something of every kind: else that all places agree would say little."""
    name = base(tmp_path / "odd", odd())
    states = {one["state"] for one in tool("list", "--run-image", name, "--json").document["launchers"]}
    assert states == {"in-effect", "broken", "masked", "invalid"}
    rules = {one["rule"] for one in tool("lint", "--run-image", name, "--json").document["findings"]}
    assert rules >= {"ML001", "ML002", "ML012", "ML016", "ML021", "ML025", "ML030", "ML032"}
    parts = tool("sbom", "--run-image", name).document["components"]
    assert {"github.com/BurntSushi/toml", "buildpacks/lifecycle"} <= {one["name"] for one in parts}


def test_what_no_file_system_takes(tool: Tool, tmp_path: Path) -> None:
    """Names and links that can't be are the image's fault, which is said of the image."""
    wrong, nul = file(f"{USR}/other.toml", b""), link(f"{USR}/other.toml", "x")
    wrong[0].pax_headers = {"path": f"{USR}/a\0b.toml"}
    nul[0].pax_headers = {"linkpath": "a\0b"}
    long = f"{USR}/{'x' * 300}.toml"
    for number, (member, reason) in enumerate(
        (
            (file(long, b""), f"has /{long}, which no file system takes: file name too long"),
            (link(f"{USR}/a.toml", ""), f"has /{USR}/a.toml, a link to nothing"),
            (link(f"{USR}/a.toml", "a/" * 3000), f"has /{USR}/a.toml, which no file system takes: file name too long"),
            (wrong, "has a layer that is damaged: invalid PAX records"),
            (nul, "has a layer that is damaged: invalid PAX records"),
        )
    ):
        name = base(tmp_path / str(number), [pack([*launcher("0.17.7"), member])])
        answer = tool("list", "--run-image", name)
        assert (answer.code, answer.out) == (3, "")
        assert answer.err.startswith(f"ERROR: {name}: {reason}\n"), answer.err


def test_memory(tmp_path: Path) -> None:
    """What is large is not held in memory."""
    name = base(tmp_path / "layout", [pack([*launcher("0.17.7"), file("usr/lib/cnb/large", bytes(200 << 20))])])
    script = (
        "import sys; from metalauncher.tooling.cli.main import main;"
        " status = main([word.encode() for word in sys.argv[1:]], {});"
        " print(status, *[line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')])"
    )
    command = [sys.executable, "-B", "-c", script, "list", "--run-image", name]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    status, peak = done.stdout.splitlines()[-1].split()
    assert (status, done.stderr) == ("0", "1 launcher in effect\n")
    assert int(peak) < 100 << 10  # KiB


def test_whose_files_are(tool: Tool, tmp_path: Path) -> None:
    """What lint says of owners is of the image's, whoever reads it."""
    path = "usr/lib/cnb/launchers/buildpacks/lifecycle/0.17.7/launcher"
    name = base(tmp_path / "layout", [pack([*launcher("0.17.7"), file(path, elf(MACHINE), 0o775, owner=1234)])])
    answer = tool("lint", "--run-image", name)
    assert f"/{path}: error: ML030: this file can be written by group 1234 (mode 0775): chmod go-w\n" in answer.out
    assert f"/{path}: error: ML031: this file belongs to user 1234, not to user 0\n" in answer.out


def test_another_machine(tool: Tool, tmp_path: Path) -> None:
    """Launchers of an image for another architecture are held against that one, not against this machine."""
    other, machine = (("arm64", 183), ("amd64", 62))[MACHINE == 183]
    path = "usr/lib/cnb/launchers/buildpacks/lifecycle/0.17.7/launcher"
    members = [*launcher("0.17.7"), file(path, elf(machine), 0o755)]
    name = base(tmp_path / "layout", [pack(members)], architecture=other)
    assert tool("list", "--run-image", name).err == "1 launcher in effect\n"
    assert tool("lint", "--run-image", name, "--json").document["findings"] == []
    answer = tool("list", "--run-image", name, "--platform", "linux/s390x")
    assert (answer.code, answer.out) == (3, "")
    assert answer.err.startswith(f"ERROR: {name}: is for linux/{other}, not for --platform linux/s390x\n")


def test_baseline_in_an_image(tool: Tool, tmp_path: Path) -> None:
    """Of before, too, an image will do: what it served and the new one does not is found."""
    old, new = (
        base(tmp_path / version, [pack([*metalauncher(), *launcher(version)])]) for version in ("0.17.7", "0.21.17")
    )
    answer = tool("lint", "--run-image", new, "--baseline", old)
    assert answer.code == 1
    assert (
        "/usr/lib/cnb/launchers.d: error: ML015: Platform API 0.10 with Buildpack API 0.2 to 0.6:"
        " buildpacks/lifecycle@0.17.7 served that, and now no launcher does\n"
    ) in answer.out
    assert tool("lint", "--run-image", old, "--baseline", old).code == 0
    nothing = base(tmp_path / "nothing", without_anything())
    answer = tool("lint", "--run-image", new, "--baseline", nothing)
    assert answer.err == (
        f"ERROR: --baseline {nothing}: has no launcher to compare with\n"
        "  need:    an unpacked root filesystem, a directory of descriptors, or an image: oci:DIR[:NAME],"
        " oci-archive:FILE[:NAME], docker-archive:FILE[:NAME] or a name in a registry\n"
        f"  do:      metalauncher list --all --run-image {nothing}\n"
    )
    answer = tool("lint", "--run-image", new, "--baseline", "oci:/none-such")
    assert answer.err.startswith("ERROR: --baseline oci:/none-such: there is no such directory\n")


def test_baseline_by_name(tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A baseline is named as a run image is; only what lies here, or is written as a path, is a directory."""
    need("docker-registry")
    for version in ("0.17.7", "0.21.17"):
        base(tmp_path / version, [pack([*metalauncher(), *launcher(version)])])
    new = f"oci:{tmp_path}/0.21.17:base"
    (tmp_path / "registry").mkdir()
    stock(tmp_path / "registry", Layout(tmp_path / "0.17.7"), {"acme/run:1": "base"})
    with contextlib.closing(start_registry(tmp_path / "registry")) as registry:
        name = f"{registry.host}/acme/run:1"
        answer = tool("lint", "--run-image", new, "--baseline", name)
        assert (answer.code, "ML015" in answer.out) == (1, True)
        assert tool("lint", "--run-image", new, "--baseline", f"docker://{name}").out == answer.out
        missing = name.replace(":1", ":2")
        answer = tool("lint", "--run-image", new, "--baseline", missing)
        assert (answer.code, answer.out) == (3, "")
        assert f"  have:    no directory of this name: {missing}\n" in answer.err
        # The same name, and here is a directory with it.
        monkeypatch.chdir(tmp_path)
        Path(name).mkdir(parents=True)
        answer = tool("lint", "--run-image", new, "--baseline", name)
        assert answer.err.startswith(f"ERROR: --baseline {name}: has no launcher to compare with\n")
    answer = tool("lint", "--run-image", new, "--baseline", "./none")
    assert answer.err.startswith("ERROR: --baseline ./none: no such file or directory\n")


def test_verify_of_an_image(tool: Tool, places: Places) -> None:
    """An SBOM is held against an image as against a root."""
    answer = tool("sbom", "--root", places.root)
    if answer.code:
        return
    document = places.root.parent / "sbom.json"
    document.write_text(answer.out)
    expected = tool("sbom", "--root", places.root, "--verify", document)
    for kind in ("oci", "docker-archive"):
        name = places.names[kind]
        assert tool("sbom", "--run-image", name, "--verify", document) == _in_image(expected, places.root, name)
        report = tool("sbom", "--run-image", name, "--verify", document, "--json").document
        assert report["root"] == name


WRONG = {
    "two": ("oci:/x --root /", "--run-image and --root are both given"),
    "no name": ("oci:", "'oci:' names no place"),
    "nothing there": ("oci:/none-such", "oci:/none-such: there is no such directory"),
    "no root": ("dir:/none-such", "dir:/none-such: there is no such directory"),
    "a path": ("/run", "'/run' is a path: write oci:/run for a layout"),
    "a daemon": ("docker-daemon:x:1", "'docker-daemon:x:1' is not read here"),
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("command", ["list", "matrix", "lint", "labels", "sbom"])
def test_what_can_not_be_read(tool: Tool, command: str, wrong: str) -> None:
    """Errors are those of check."""
    arguments, headline = WRONG[wrong]
    answer = tool(command, "--run-image", *arguments.split())
    assert (answer.code, answer.out) == (3, "")
    assert answer.err.startswith(f"ERROR: {headline}")
    if "two" not in wrong:
        of_check = tool("check", "oci:/app", "--run-image", arguments).err
        assert answer.err == of_check.replace("metalauncher check --help", f"metalauncher {command} --help")


def test_an_app_is_no_run_image(tool: Tool, tmp_path: Path) -> None:
    """Nor is it taken for one."""
    name = base(tmp_path / "app", [pack([folder("cnb")])], Labels={"io.buildpacks.lifecycle.metadata": "{}"})
    answer = tool("list", "--run-image", name)
    assert (answer.code, answer.out) == (3, "")
    assert answer.err.startswith(f"ERROR: {name}: is an app image, not a run image")


def test_descriptors_and_an_image(tool: Tool, tmp_path: Path) -> None:
    """`lint` of files and of an image at once is no question."""
    name = base(tmp_path / "layout", without_anything())
    answer = tool("lint", REFERENCE_REGISTRY, "--run-image", name)
    assert (answer.code, answer.out) == (3, "")
    assert answer.err.startswith(f"ERROR: there are two registries: {REFERENCE_REGISTRY} and --run-image {name}\n")


def test_probe_runs_nothing_of_an_image(tool: Tool, tmp_path: Path) -> None:
    """It says why, and what to do."""
    answer = tool("probe", "--run-image", f"oci:{tmp_path}")
    assert (answer.code, answer.out) == (3, "")
    assert "unpack the image first, and name its root with --root" in answer.err
    assert "of an image none is run" in " ".join(tool("probe", "--help").out.split())


def test_nothing_is_left(tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scratch root is gone afterwards, also where the image can't be read to its end."""
    name = base(tmp_path / "layout", plain())
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert tool("list", "--run-image", name).code == 0
    layout = Layout(tmp_path / "layout")
    blob = layout.blob(layout.image("base")[0]["layers"][0]["digest"])
    blob.write_bytes(blob.read_bytes()[:-5])
    assert tool("list", "--run-image", name).code == 3
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("places", ["plain"], indirect=True)
def test_the_tag_that_is_assumed(tool: Tool, places: Places) -> None:
    """Where a name has no tag and there is none called latest, it is said that this one was asked for."""
    host = places.names["registry"].partition("/")[0]
    said = "(the name has no tag: 'latest' was asked for)\n"
    for command in (("list", "--run-image"), ("check", "oci:/x", "--run-image")):
        answer = tool(*command, f"{host}/acme/other")
        assert (answer.code, answer.out) == (3, "")
        assert answer.err.splitlines(keepends=True)[0].endswith(said)
        assert "latest' was" not in tool(*command, f"{host}/acme/other:latest").err
    answer = tool("check", f"{host}/acme/other", "--run-image", places.names["oci"], "--json")
    assert answer.document["results"][0]["reason"].endswith(said.rstrip("\n"))
