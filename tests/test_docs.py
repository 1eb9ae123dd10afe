"""The docs tell the truth: their commands run, their links lead somewhere, their tables are the program's."""

from __future__ import annotations

import re
import subprocess
import textwrap
import tomllib
from pathlib import Path
from typing import Any

import pytest
from bundles import MACHINE, Tool, elf, release
from containers import debian_members, machine_files, need
from harness import PROJECT, Image, static_form
from images import Layout, base, export, index, make_app, pack
from kit import ARM, arm_executable
from pages import agrees, blocks, follow
from sboms import install_dispatcher, sha256

from metalauncher import descriptor
from metalauncher import refusals as errors
from metalauncher.descriptor import Launcher
from metalauncher.explain.options import help_text
from metalauncher.places import Root
from metalauncher.registry import read_descriptor
from metalauncher.tooling.run_image.labels import MIRRORS

PAGES = sorted([*PROJECT.glob("*.md"), *PROJECT.glob("docs/**/*.md"), *PROJECT.glob("launchers.d/*.md")])
NAMES = [str(page.relative_to(PROJECT)) for page in PAGES]


def test_there_are_pages() -> None:
    """The globs above find the pages at all."""
    assert {"README.md", "docs/reference/descriptor.md", "docs/on-call/exit-codes.md", "launchers.d/README.md"} <= set(
        NAMES
    )


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_to_files(page: Path) -> None:
    """Every relative link of every page names a file of the project, and a heading of it where it names one."""
    for target, anchor in re.findall(r"\]\(([^)#:\s]*)(?:#([^)]*))?\)", page.read_text()):
        file = page.parent / target if target else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), f"{target}#{anchor}"


def anchors(page: Path) -> set[str]:
    """Return what links may name of a page: its headings, as GitHub makes anchors of them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_make_commands_exist(page: Path) -> None:
    """Every `make` command that a page shows is a target of the Makefile."""
    for target in re.findall(r"(?:^\$ |`)make ([a-z]+)", page.read_text(), flags=re.MULTILINE):
        run = subprocess.run(["make", "-n", target], cwd=PROJECT, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr


READERS = ("vendors", "platforms", "on-call", "reference", "contributors")


@pytest.mark.parametrize(
    "page", sorted(PROJECT.glob("docs/*/*.md")), ids=lambda page: f"{page.parent.name}/{page.name}"
)
def test_pages_begin_with_their_reader(page: Path) -> None:
    """Below its title each page says whom it is for, and what they will have done at its end."""
    assert page.parent.name in READERS
    title, first = page.read_text().split("\n\n", 2)[:2]
    assert re.fullmatch(r"# .+", title)
    assert re.match(r"\*\*For\*\* .+\. \*\*At the end\*\* .+\.", first, flags=re.DOTALL), first


def test_pages_are_listed() -> None:
    """The list of all pages has each of them, and the README leads to it."""
    index = (PROJECT / "docs/README.md").read_text()
    listed = set(re.findall(r"^\|.*\]\(([^)]+)\)", index, flags=re.MULTILINE))
    there = {str(page.relative_to(PROJECT / "docs")) for page in PROJECT.glob("docs/**/*.md")} - {"README.md"}
    assert listed == there | {"metalauncher.1", "../CONTRIBUTING.md"}
    assert "(docs/README.md)" in (PROJECT / "README.md").read_text()


def test_which_of_the_troubleshooting_page(image: Image) -> None:
    """`metalauncher --which` answers as the page shows it."""
    shown = next(
        block for block in blocks(PROJECT / "docs/on-call/troubleshooting.md", "console") if "--which" in block
    )
    command, path, *reasons = shown.splitlines()
    image.use_registry()
    image.use_app("p09-mixed")
    for version in ("0.9.3", "0.17.7", "0.21.17"):
        image.install("buildpacks/lifecycle", version, "#!/bin/sh\n")
    run = image.run(image.executable, *command.split()[2:])
    assert run.returncode == 0
    assert run.stdout.replace(str(image.root), "") == path + "\n"
    *begins, rest = reasons
    assert rest == "…"
    assert run.stderr.replace(str(image.root), "").splitlines()[: len(begins)] == begins


def test_descriptor_example(tmp_path: Path) -> None:
    """The example of the descriptor's page is a valid descriptor, of the launcher it speaks of."""
    (example,) = blocks(PROJECT / "docs/reference/descriptor.md", "toml")
    file = tmp_path / "example.toml"
    file.write_text(example)
    launcher = read_descriptor(bytes(file), str(file))
    assert isinstance(launcher, Launcher)
    assert (launcher.id, launcher.version) == ("buildpacks/lifecycle", "0.17.7")
    assert launcher.path == Root().locate(b"/usr/lib/cnb/launchers/buildpacks/lifecycle/0.17.7/launcher").decode()


def test_descriptor_fields() -> None:
    """The descriptor's page lists every key that [launcher] may have, and no other: an unlisted one is refused."""
    page = (PROJECT / "docs/reference/descriptor.md").read_text()
    listed = set(re.findall(r"^\| `launcher\.([a-z0-9-]+)`", page, flags=re.MULTILINE))
    assert listed == descriptor.LAUNCHER_KEYS


def test_exit_codes() -> None:
    """The page of exit codes has every code that the program can exit with, and no other."""
    page = (PROJECT / "docs/on-call/exit-codes.md").read_text()
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", page, flags=re.MULTILINE)}
    owned = {kind.exit_code for kind in errors.Refused.__subclasses__()}
    owned |= {errors.USAGE, errors.INTERNAL, errors.DRY_RUN}
    assert listed == owned
    in_help = {int(code) for code in re.findall(r"\b(\d+) [A-Za-z]", help_text().partition("Exit codes:")[2])}
    assert in_help == owned - {errors.INTERNAL} | {0}


def test_reference_registry_is_listed() -> None:
    """The README of launchers.d names every descriptor in it, by the name that its content gives it."""
    page = (PROJECT / "launchers.d/README.md").read_text()
    files = sorted((PROJECT / "launchers.d").glob("*.toml"))
    assert files
    for file in files:
        content = tomllib.loads(file.read_text())
        version = content["launcher"].get("version") or content["lifecycle"]["version"]
        assert file.name == f"{content['launcher']['id'].replace('/', '_')}@{version}.toml"
        assert f"`{file.name}`" in page


def test_troubleshooting_has_every_message() -> None:
    """Every refusal's first line, as the files under tests/data/refusals have it, is a heading of the page."""
    page = (PROJECT / "docs/on-call/troubleshooting.md").read_text()
    headings = re.findall(r"^## (.*)$", page, flags=re.MULTILINE)
    known = [
        re.compile(re.escape(text).replace("…", ".*"))
        for heading in headings
        for text in re.findall(r"`([^`]+)`", heading)
    ]
    files = sorted((PROJECT / "tests/data/refusals").glob("*.txt"))
    assert files
    for file in files:
        errors_ = [line for line in file.read_text().splitlines() if line.startswith("ERROR: ")]
        assert errors_, file
        first = errors_[0].removeprefix("ERROR: ")
        assert any(pattern.match(first) for pattern in known), first


def test_what_agrees() -> None:
    """The comparison holds lines apart, and says no where it should."""
    assert agrees(["a …", "…", "d"], ["a b", "c", "c", "d"])
    assert agrees([], [])
    assert not agrees(["a …"], ["a b", "c"])
    assert not agrees(["a"], [])
    assert not agrees([], ["a"])


# What CNB asks of a run image: without it there is a warning.
OF_CNB: dict[str, Any] = {
    "User": "1000:1000",
    "Labels": {"io.buildpacks.base.distro.name": "debian", "io.buildpacks.base.distro.version": "12"},
}


def test_run_image_page(tmp_path: Path) -> None:
    """Every command of docs/vendors/run-image.md does what the page says, one after another, in one directory."""
    need("umoci")
    for version in ("0.17.7", "0.20.20", "0.21.17"):
        release(tmp_path, version, elf(size=int(version.split(".")[1]) * 100))
    base(
        tmp_path / "debian",
        [pack(debian_members(machine_files(Path("/usr/bin/dash"))))],
        tag="12",
        Cmd=["sh"],
        **OF_CNB,
    )
    assert follow(PROJECT / "docs/vendors/run-image.md", tmp_path) > 15


@pytest.mark.thorough
def test_multi_platform_page(tmp_path: Path) -> None:
    """Every command of docs/vendors/multi-platform.md does what the page says, with both executables."""
    need("skopeo")
    executables = {"x86_64": static_form().executable, "aarch64": arm_executable()}
    for machine, source in executables.items():
        for end in ("", ".contents.json"):
            (tmp_path / f"metalauncher-linux-{machine}{end}").write_bytes(Path(f"{source}{end}").read_bytes())
    for version in ("0.17.7", "0.20.20"):
        for name, machine_ in (("x86-64", 62), ("arm64", ARM)):
            release(tmp_path, version, elf(machine_, size=int(version.split(".")[1]) * 100), architecture=name)
    both = {"linux/amd64": "amd64", "linux/arm64": "arm64"}
    members = pack(debian_members(machine_files(Path("/usr/bin/dash"))))
    for folder, tag in (("debian", "12"), ("apps", "base")):
        for go in both.values():
            base(tmp_path / folder, [members], go, go, Cmd=["sh"], **OF_CNB)
        index(tmp_path / folder, both, tag)
    metadata = '[[buildpacks]]\nid = "acme/node"\nversion = "1"\napi = "{}"\n'
    for name, api in (("shop", "0.10"), ("blog", "0.99")):
        apps = Layout(tmp_path / "apps")
        for go in both.values():
            export(apps, go, make_app(name, metadata.format(api), "0.12", web=False), "symlink", f"{name}-{go}")
        apps.save()
        index(tmp_path / "apps", {platform: f"{name}-{go}" for platform, go in both.items()}, name)
    assert follow(PROJECT / "docs/vendors/multi-platform.md", tmp_path) > 6


def test_mask_of_the_run_image_page(tool: Tool, tmp_path: Path) -> None:
    """The ConfigMap's content, mounted as the page says, masks the launcher that it names."""
    text = next(block for block in blocks(PROJECT / "docs/vendors/run-image.md", "yaml") if "kind: ConfigMap" in block)
    name, content = re.findall(r"^  (\S+\.toml): \|\n((?:    .*\n)+)", text, flags=re.MULTILINE)[0]
    assert tool.on("bundle", "add", release(tmp_path, "0.20.20", elf())).code == 0
    (place,) = re.findall(r"mountPath: (\S+)", (PROJECT / "docs/vendors/run-image.md").read_text())
    file = tool.root / place.lstrip("/") / name
    file.parent.mkdir(parents=True)
    file.write_text(textwrap.dedent(content))
    assert [launcher["state"] for launcher in tool.on("list", "--all", "--json").document["launchers"]] == ["masked"]


def test_two_lines_of_a_vendor() -> None:
    """The page and our own Dockerfile have the same two lines."""
    (page,) = blocks(PROJECT / "docs/vendors/run-image.md", "dockerfile")
    own = (PROJECT / "image/Dockerfile").read_text()
    for line in page.splitlines():
        assert line.startswith("COPY --from=metalauncher ")
        assert line.replace("=metalauncher ", "=metalauncher /rootfs") in own


def test_labels_of_the_run_image_page() -> None:
    """The page lists the labels that there are."""
    listed = re.findall(
        r"^\| `(io\.buildpacks\.[^`]+)`", (PROJECT / "docs/vendors/run-image.md").read_text(), flags=re.MULTILINE
    )
    assert set(listed) == set(MIRRORS)


def test_sbom_page(tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands of the page about SBOMs do what it shows, and its statements are valid."""
    page = PROJECT / "docs/vendors/sbom.md"
    monkeypatch.chdir(tmp_path)
    tool.root.rename(tmp_path / "rootfs")
    root = tmp_path / "rootfs"
    install_dispatcher(root)
    for version in ("0.17.7", "0.21.17"):
        add = tool("bundle", "add", release(tmp_path, version, elf(MACHINE), sboms=False), "--root", "rootfs")
        assert add.code == 0
    first, scanners = blocks(page, "console")
    assert all(line.startswith(("$ trivy ", "$ grype ")) for line in scanners.splitlines())
    *commands, shown = first.splitlines()
    assert [command.split()[2] for command in commands] == ["sbom", "sbom", "vex", "sbom"]
    for command in commands:
        answer = tool(*command.split()[2:])
        assert (answer.code, answer.err) == (0, "")
    assert answer.out == f"{shown}\n"
    (statements,) = blocks(page, "toml")
    launcher = root / "usr/lib/cnb/launchers/buildpacks/lifecycle/0.21.17/launcher"
    launcher.with_name("vex.toml").write_text(statements.replace("SHA256", sha256(launcher)))
    answer = tool("vex", "--root", "rootfs")
    assert answer.code == 0
    names = {statement["vulnerability"]["name"] for statement in answer.document["statements"]}
    assert {"CVE-2024-24790", "CVE-2025-0001"} <= names
