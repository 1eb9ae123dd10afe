"""The executables that come with the package: found, written out, and taken by the commands that need one."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from bundles import Answer, Tool, elf, on_terminal, release
from harness import PROJECT, static_form
from images import Layout, base, config_of, folder, pack, sha
from sboms import check_cyclonedx, check_openvex, sidecar

NAMES = {"x86-64": "metalauncher-linux-x86_64", "arm64": "metalauncher-linux-aarch64"}
MACHINES = {"x86-64": 62, "arm64": 183}


class Site:
    """The package as a wheel installs it, beside nothing of a checkout."""

    def __init__(self, folder: Path) -> None:
        """Install it into an empty folder, without executables."""
        self.folder = folder
        ignored = shutil.ignore_patterns("__pycache__", "executables")
        shutil.copytree(PROJECT / "metalauncher", folder / "metalauncher", ignore=ignored)

    def bring(self, *architectures: str) -> None:
        """Let it have come with executables, of these architectures."""
        place = self.folder / "metalauncher/executables"
        place.mkdir()
        for architecture in architectures:
            data = elf(MACHINES[architecture], size=5000)
            document = json.loads(sidecar(static_form()).read_text()) | {"sha256": sha(data).removeprefix("sha256:")}
            (place / NAMES[architecture]).write_bytes(data)
            (place / f"{NAMES[architecture]}.contents.json").write_text(json.dumps(document))

    def data(self, architecture: str) -> bytes:
        """Return the executable for an architecture."""
        return (self.folder / "metalauncher/executables" / NAMES[architecture]).read_bytes()

    def raw(self, *arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
        """Run the command line."""
        command = [sys.executable, "-B", "-m", "metalauncher", *arguments]
        environ = {"PYTHONPATH": str(self.folder)}
        return subprocess.run(command, cwd=self.folder, env=environ, capture_output=True, timeout=120)

    def __call__(self, *arguments: str | Path) -> Answer:
        """Run the command line, which answers in text."""
        done = self.raw(*arguments)
        return Answer(done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Return an installed package."""
    return Site(tmp_path / "site")


@pytest.mark.parametrize(
    ("spelled", "architecture"),
    [("x86-64", "x86-64"), ("amd64", "x86-64"), ("x86_64", "x86-64"), ("arm64", "arm64"), ("aarch64", "arm64")],
)
def test_to_standard_output(site: Site, spelled: str, architecture: str) -> None:
    """Of the architecture that is asked for, by whichever of its names, byte for byte, and nothing is said."""
    site.bring("x86-64", "arm64")
    done = site.raw("executable", "--arch", spelled)
    assert (done.returncode, done.stdout, done.stderr) == (0, site.data(architecture), b"")


def test_to_a_file(site: Site, tmp_path: Path) -> None:
    """It may be executed, whatever the umask; what it is made of lies beside it, as `image --executable` wants it."""
    site.bring("arm64")
    file = tmp_path / "out"
    answer = site("executable", "--arch", "arm64", "--output", file)
    digest = sha(site.data("arm64")).removeprefix("sha256:")
    assert answer == Answer(
        0,
        "",
        f"{file}: for linux/arm64, 5,000 bytes, sha256 {digest}\n{file}.contents.json: what it is made of\n",
    )
    assert file.read_bytes() == site.data("arm64")
    assert stat.S_IMODE(file.stat().st_mode) == 0o755
    assert json.loads((tmp_path / "out.contents.json").read_text())["sha256"] == digest
    answer = site("executable", "--arch", "arm64", "--output", tmp_path / "none/out")
    assert (answer.code, answer.out) == (3, "")
    assert answer.err.startswith(f"ERROR: --output: '{tmp_path}/none/out': no such file or directory\n")


def test_in_place_of_a_file(site: Site, tmp_path: Path) -> None:
    """Mode and owner stay, as by any `--output`; that it may not be executed is said."""
    site.bring("arm64")
    file = tmp_path / "out"
    for mode, warned in ((0o700, False), (0o640, True)):
        file.write_text("of before")
        file.chmod(mode)
        if not os.getuid():
            os.chown(file, 1234, 1235)
        owner = file.stat().st_uid, file.stat().st_gid
        answer = site("executable", "--arch", "arm64", "--output", file)
        assert answer.code == 0
        assert (f"Warning: {file} keeps its mode {mode:04o}, and can't be executed: chmod 755" in answer.err) == warned
        status = file.stat()
        assert (stat.S_IMODE(status.st_mode), (status.st_uid, status.st_gid)) == (mode, owner)
        assert file.read_bytes() == site.data("arm64")


def test_to_what_can_not_be_replaced(site: Site, tmp_path: Path) -> None:
    """A FIFO, a device and an open file are written to, and are what they were; nothing is written beside them."""
    site.bring("arm64")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE) as reader:
        answer = site("executable", "--arch", "arm64", "--output", pipe)
        assert reader.communicate(timeout=60)[0] == site.data("arm64")
    assert answer == Answer(0, "", "")
    assert pipe.is_fifo()
    (tmp_path / "null").symlink_to("/dev/null")
    assert site("executable", "--arch", "arm64", "--output", tmp_path / "null") == Answer(0, "", "")
    assert Path("/dev/null").is_char_device()
    done = site.raw("executable", "--arch", "arm64", "--output", "/dev/stdout")
    assert (done.returncode, done.stdout, done.stderr) == (0, site.data("arm64"), b"")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["null", "pipe", "site"]


def test_through_a_link(site: Site, tmp_path: Path) -> None:
    """What is named is what was written: both lie where the link leads, and the link stays."""
    site.bring("arm64")
    link, target = tmp_path / "link", tmp_path / "target"
    link.symlink_to("target")
    answer = site("executable", "--arch", "arm64", "--output", link)
    assert answer.code == 0
    assert answer.err.splitlines()[0].startswith(f"{target}: for linux/arm64, ")
    assert answer.err.splitlines()[1] == f"{target}.contents.json: what it is made of"
    assert link.is_symlink()
    assert target.read_bytes() == site.data("arm64")
    assert json.loads((tmp_path / "target.contents.json").read_text())


def test_nothing_where_the_description_has_no_place(site: Site, tmp_path: Path) -> None:
    """Both places are looked at before anything is written, and the error names the right one."""
    site.bring("arm64")
    file = tmp_path / "out"
    file.write_text("of before")
    (tmp_path / "out.contents.json").mkdir()
    answer = site("executable", "--arch", "arm64", "--output", file)
    assert (answer.code, answer.out) == (3, "")
    assert answer.err.startswith(f"ERROR: --output: '{file}.contents.json': is a directory\n")
    assert file.read_text() == "of before"


def test_of_a_checkout(tool: Tool, tmp_path: Path) -> None:
    """From a checkout it is what `make static` left in dist/."""
    answer = tool("executable", "--arch", "x86_64", "--output", tmp_path / "metalauncher")
    assert answer.code == 0
    assert (tmp_path / "metalauncher").read_bytes() == static_form().executable.read_bytes()


def test_not_to_a_terminal() -> None:
    """An executable is nothing to read."""
    said = on_terminal(None, "executable", "--arch", "x86_64").replace("\r", "")
    assert "standard output is a terminal" in said
    assert said.endswith("  do:      metalauncher executable --output metalauncher\n")


def test_none(site: Site) -> None:
    """A package that was made from source has none, and says which one has."""
    answer = site("executable", "--arch", "arm64")
    assert answer == Answer(
        3,
        "",
        "ERROR: there is no executable of metalauncher for arm64\n"
        "  need:    one that came with the package, or --arch with an architecture that there is one for\n"
        "  have:    none: this package was made from source; the wheel of a release has them\n"
        "  do:      take the wheel of a release\n"
        "           pip install --only-binary=:all: metalauncher\n",
    )
    site.bring("x86-64")
    answer = site("executable", "--arch", "arm64")
    assert f"  have:    one for x86-64: {site.folder}/metalauncher/executables/{NAMES['x86-64']}\n" in answer.err
    # Another checkout's dist/ is none of an installed package's business.
    (site.folder / "dist").mkdir()
    (site.folder / "dist" / NAMES["arm64"]).write_bytes(b"whatever")
    assert site("executable", "--arch", "arm64").err == answer.err
    answer = site("executable", "--arch", "s390x")
    assert "argument --arch: invalid choice: 's390x' (choose from x86-64, arm64)" in answer.err


def test_damaged(site: Site) -> None:
    """What is not as its description says is not passed on."""
    site.bring("x86-64")
    (site.folder / "metalauncher/executables" / NAMES["x86-64"]).write_bytes(elf(62, size=6000))
    answer = site("executable", "--arch", "x86-64")
    assert (answer.code, answer.out) == (3, "")
    assert "describes another executable" in answer.err.splitlines()[0]


def _executable_of(layout: Path) -> dict[str, bytes]:
    """Return metalauncher's executable in each image of a layout, by architecture."""
    import gzip
    import io
    import tarfile

    found: dict[str, bytes] = {}
    files = Layout(layout)
    top = json.loads((layout / "index.json").read_text())["manifests"][0]
    document = json.loads(files.blob(top["digest"]).read_text())
    for manifest in document.get("manifests", [top]):
        image: dict[str, Any] = json.loads(files.blob(manifest["digest"]).read_text())
        config = json.loads(files.blob(image["config"]["digest"]).read_text())
        layer = gzip.decompress(files.blob(image["layers"][-1]["digest"]).read_bytes())
        with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
            member = archive.extractfile("usr/bin/metalauncher")
            assert member is not None
            found[config["architecture"]] = member.read()
    return found


def test_image(site: Site, tmp_path: Path) -> None:
    """An image gets the one that it is for: by its platforms, or else by its base."""
    site.bring("x86-64", "arm64")
    (tmp_path / "intel").mkdir()
    tarballs = [release(tmp_path, "0.21.17", elf(machine), architecture=name) for name, machine in MACHINES.items()]
    both = [option for tarball in tarballs for option in ("--bundle", tarball)]
    platforms = ("--platform", "linux/amd64", "--platform", "linux/arm64")
    answer = site("image", "--base", "scratch", *platforms, *both, "--out", f"oci:{tmp_path}/both")
    assert answer.code == 0, answer.err
    assert _executable_of(tmp_path / "both") == {"amd64": site.data("x86-64"), "arm64": site.data("arm64")}
    arm = base(tmp_path / "arm", [pack([folder("etc")])], architecture="arm64")
    answer = site("image", "--base", arm, "--bundle", tarballs[1], "--out", f"oci:{tmp_path}/one")
    assert answer.code == 0, answer.err
    assert _executable_of(tmp_path / "one") == {"arm64": site.data("arm64")}


def test_image_on_another_system(site: Site, tmp_path: Path) -> None:
    """A base that is not Linux's is blamed on no option that nobody gave."""
    site.bring("x86-64", "arm64")
    layout, layer = Layout(tmp_path / "base"), pack([folder("etc")])
    blob = layout.put(layer.data, layer.media_type)
    layout.add(config_of([layer]) | {"os": "windows"}, [blob], "base")
    layout.save()
    tarball = release(tmp_path, "0.21.17", elf(62))
    answer = site("image", "--base", f"oci:{tmp_path}/base", "--bundle", tarball, "--out", f"oci:{tmp_path}/out")
    assert (answer.code, answer.out) == (3, "")
    assert answer.err.startswith(
        f"ERROR: --base oci:{tmp_path}/base: is for another platform than the executable that came with the package,"
        " linux/amd64\n"
    )
    assert "  have:    a base for windows/amd64\n" in answer.err


def test_image_says_which_is_missing(site: Site, tmp_path: Path) -> None:
    """Without one, what to name instead."""
    tarball = release(tmp_path, "0.21.17", elf(183), architecture="arm64")
    answer = site(
        *("image", "--base", "scratch", "--platform", "linux/arm64", "--bundle", tarball),
        *("--out", f"oci:{tmp_path}/out"),
    )
    assert (answer.code, answer.out) == (3, "")
    assert "  need:    one that came with the package, or --executable FILE\n" in answer.err
    assert not (tmp_path / "out").exists()


def test_sbom_and_vex(site: Site, tmp_path: Path) -> None:
    """Whoever names no root is told of what they have: what came with the package."""
    site.bring("arm64")
    digest = sha(site.data("arm64")).removeprefix("sha256:")
    sbom = site("sbom", "--arch", "aarch64")
    assert (sbom.code, sbom.err) == (0, "")
    check_cyclonedx(sbom.out)
    hashes = sbom.document["metadata"]["component"]["hashes"]
    assert hashes == [{"alg": "SHA-256", "content": digest}]
    vex = site("vex", "--arch", "aarch64")
    assert (vex.code, vex.err) == (0, "")
    check_openvex(vex.document)
    assert {one["products"][0]["hashes"]["sha-256"] for one in vex.document["statements"]} == {digest}
    for command in ("sbom", "vex"):
        answer = site(command, "--arch", "arm64", "--root", tmp_path)
        assert (answer.code, answer.out) == (3, "")
        assert answer.err.startswith("ERROR: --arch: is of the executable that came with the package, and a root")


def test_vex_of_this_machine(site: Site) -> None:
    """Where no root is named and none is installed, it is the package's for this machine."""
    if Path("/usr/bin/metalauncher").exists():
        pytest.skip("there is one on this machine")
    site.bring("x86-64", "arm64")
    assert site("vex").document == site("vex", "--arch", static_form().executable.name.rpartition("-")[2]).document
