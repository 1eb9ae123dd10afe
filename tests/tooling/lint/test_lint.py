"""`metalauncher lint`: every rule finds what it is for, and nothing where it has no reason to.

A case is a file, `tests/data/tooling/lint/RULE-name.txt`: lines that lay out a root, and the findings expected.

    @sound usr|etc ID VERSION       a sound descriptor and executable; lines that follow go into [launcher]
    @file PATH                      a file; its lines follow
    @link PATH TARGET               a link
    @launcher PATH KIND             an executable: elf, arm64, dynamic, script, text, shim, empty, or a directory
    @mode PATH MODE, @owner PATH UID
    @run OPTION...                  of lint, besides --root
    @expect CODE                    the findings follow, the root's path left out

HERE and OTHER stand for architectures, DIGEST for the digest of an `elf`.
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from bundles import MACHINE, TOOLING, Tool, elf, release
from harness import DATA, PROJECT, Image

from metalauncher.descriptor import Launcher
from metalauncher.registry import InvalidDescriptor, read_descriptor
from metalauncher.tooling.lint.descriptor import lint_text
from metalauncher.tooling.lint.positions import positions
from metalauncher.tooling.lint.rules import RULES

CASES = sorted((TOOLING / "lint").glob("*.txt"))
NAMES = [case.stem for case in CASES]
SOUND = """[launcher]
id = "{id}"
version = "{version}"
{more}
[apis.platform]
supported = ["0.7", "0.8"]
[apis.buildpack]
supported = ["0.7", "0.8"]
"""


def dynamic() -> bytes:
    """Return an ELF file that names a loader."""
    loader = b"/lib64/ld-linux-x86-64.so.2\0"
    header = elf(MACHINE, size=64 + 56)
    segment = struct.pack("<IIQQQQQQ", 3, 4, 120, 0, 0, len(loader), len(loader), 1)
    return header[:64] + segment + loader


KINDS = {
    "elf": elf(MACHINE),
    "other": elf(62 if MACHINE != 62 else 183),
    "dynamic": dynamic(),
    "script": b"#!/bin/of-the-image\n\n",
    "text": b"hello\n",
    "shim": b"#!/usr/bin/metalauncher --launch\n",
    "nameless": b"#!\n\n",
    "empty": b"",
}


def fill(text: str) -> str:
    """Put this machine's architecture, another one, the digest of `elf` and this group in the places of their names."""
    here = "x86-64" if MACHINE == 62 else "arm64"
    other = "arm64" if MACHINE == 62 else "x86-64"
    digest = hashlib.sha256(KINDS["elf"]).hexdigest()
    return (
        text.replace("HERE", here).replace("OTHER", other).replace("DIGEST", digest).replace("GROUP", str(os.getegid()))
    )


def lay_out(root: Path, recipe: str) -> tuple[list[str], int, list[str]]:  # noqa: C901  # one case for each verb
    """Follow a case's recipe; return options, exit code and findings expected."""
    options: list[str] = []
    late: list[tuple[str, list[str]]] = []
    for step in re.split(r"^@", recipe, flags=re.MULTILINE)[1:]:
        line, _, body = step.partition("\n")
        verb, *words = line.split()
        match verb:
            case "sound":
                into, identifier, version = words
                folder = root / {"usr": "usr/lib/cnb/launchers.d", "etc": "etc/cnb/launchers.d"}[into]
                folder.mkdir(parents=True, exist_ok=True)
                text = SOUND.format(id=identifier, version=version, more=body)
                (folder / f"{identifier.replace('/', '_')}@{version}.toml").write_text(text)
                write(root / f"usr/lib/cnb/launchers/{identifier}/{version}/launcher", KINDS["elf"])
            case "file":
                write(root / words[0], body.encode("latin-1"), 0o644)
            case "link":
                (root / words[0]).parent.mkdir(parents=True, exist_ok=True)
                (root / words[0]).symlink_to(words[1])
            case "launcher" if words[1] == "directory":
                (root / words[0]).mkdir(parents=True)
            case "launcher":
                write(root / words[0], KINDS[words[1]])
            case "mode" | "owner":
                late.append((verb, words))
            case "run":
                options = words
            case "expect":
                expected = body.splitlines()
                code = int(words[0])
    for verb, (path, value) in late:
        if verb == "mode":
            (root / path).chmod(int(value, 8))
        else:
            os.chown(root / path, int(value), -1)
    return options, code, expected


def write(file: Path, data: bytes, mode: int = 0o755) -> None:
    """Write a file and the directories above it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    file.chmod(mode)


def rules_in(case: Path) -> set[str]:
    """Return the rules among a case's expected findings."""
    return set(re.findall(r"(?:error|warning|note): (ML\d+):", case.read_text()))


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_has_both_cases(rule: str) -> None:
    """Some case of each rule's own triggers it, and some does not."""
    own = [case for case in CASES if case.stem.startswith(f"{rule}-")]
    assert any(rule in rules_in(case) for case in own)
    assert any(rule not in rules_in(case) for case in own)


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_case(tool: Tool, case: Path) -> None:
    """The findings are those of the case's file, and so is the exit code."""
    recipe = fill(case.read_text())
    if "@owner" in recipe and os.geteuid() != 0:
        pytest.skip("only root can give files away")
    before = os.umask(0o022)
    try:
        options, code, expected = lay_out(tool.root, recipe)
    finally:
        os.umask(before)
    answer = tool.on("lint", *[option.replace("ROOT", str(tool.root)) for option in options])
    assert answer.out.replace(str(tool.root), "").splitlines() == expected
    assert answer.code == code
    document = tool.on("lint", "--json", *[option.replace("ROOT", str(tool.root)) for option in options]).document
    assert len(document["findings"]) == len(expected)


def test_documented() -> None:
    """The page on descriptors lists every rule with its level and what it finds, and no other."""
    page = (PROJECT / "docs/reference/descriptor.md").read_text()
    listed = re.findall(r"^\| (ML\d+) \| (\w+) \| (.+?) \| .{20,} \|$", page, flags=re.MULTILINE)
    assert {number: (level, what) for number, level, what in listed} == RULES
    assert len(listed) == len(RULES)


@pytest.mark.parametrize("file", sorted((DATA / "descriptors").glob("*/*.toml")), ids=lambda path: path.stem)
def test_agrees_with_the_parser(file: Path) -> None:
    """Lint finds an error in a descriptor's text exactly where the parser refuses it, with the parser's reason."""
    launcher, findings = lint_text(bytes(file), str(file), link=False)
    errors = [finding for finding in findings if finding.level == "error"]
    try:
        found = read_descriptor(bytes(file), str(file))
    except InvalidDescriptor as error:
        assert launcher is None
        message = f"{error.key}: {error.reason}" if error.key else error.reason
        assert message.partition(" (at ")[0] in [finding.message.partition(" (at ")[0] for finding in errors]
    else:
        assert errors == []
        assert isinstance(found, Launcher) == (launcher is not None)


def test_reference_registry_is_clean(tool: Tool) -> None:
    """The registry that the project itself ships has nothing to find."""
    answer = tool("lint", "--strict", PROJECT / "launchers.d")
    assert (answer.code, answer.out, answer.err) == (0, "", "clean: 4 descriptors checked\n")


def test_added_bundles_are_clean(image: Image, tool: Tool, tmp_path: Path) -> None:
    """What `bundle add` leaves has nothing to find, with a dispatching form in its place."""
    for version in ("0.15.3", "0.21.17"):
        assert tool("bundle", "add", release(tmp_path, version), "--root", image.root).code == 0
    answer = tool("lint", "--strict", environ={"METALAUNCHER_ROOT": str(image.root)})
    assert (answer.code, answer.out, answer.err) == (0, "", "clean: 2 descriptors checked\n")


def test_metalauncher_as_launcher(image: Image, tool: Tool) -> None:
    """A link to the dispatching form in a launcher's place would start itself for ever."""
    image.use_registry()
    place = image.root / "usr/lib/cnb/launchers/buildpacks/lifecycle/0.17.7/launcher"
    place.parent.mkdir(parents=True)
    place.symlink_to(image.executable)
    answer = tool("lint", environ={"METALAUNCHER_ROOT": str(image.root)})
    assert f"error: ML027: {place}: is metalauncher itself" in answer.out


@pytest.mark.parametrize("kind", ["root", "directory"])
def test_baseline(tool: Tool, tmp_path: Path, kind: str) -> None:
    """Whatever the baseline served and the registry does not is found, be it a root or a directory of descriptors."""
    old = tmp_path / "old"
    old.mkdir()
    for version in ("0.9.3", "0.17.7", "0.21.17"):
        assert tool("bundle", "add", release(tmp_path, version, elf(MACHINE)), "--root", old).code == 0
    assert tool.on("bundle", "add", release(tmp_path, "0.21.17", elf(MACHINE))).code == 0
    baseline = old if kind == "root" else old / "usr/lib/cnb/launchers.d"
    answer = tool.on("lint", "--baseline", baseline)
    assert answer.code == 1
    expected = (TOOLING / "baseline.txt").read_text()
    assert answer.out.replace(str(tool.root), "") == expected
    assert tool("lint", "--root", old, "--baseline", tool.root).code == 0
    for folder, text in ((tmp_path / "none", "no such file"), (tmp_path / "empty", "no launcher to compare with")):
        if folder.name == "empty":
            folder.mkdir()
        answer = tool.on("lint", "--baseline", folder)
        assert answer.code == 3
        assert text in answer.err


WATCHED = """
import sys
seen = []
sys.addaudithook(lambda event, found: seen.append(found[0]) if event in ("open", "os.listdir", "os.scandir") else None)
from metalauncher.explain.cli import run
code = run([argument.encode() for argument in sys.argv[1:]], [], b"metalauncher", None)
print(*[path.decode() if isinstance(path, bytes) else path for path in seen if not isinstance(path, int)], sep="\\n")
sys.exit(code)
"""


def test_interpreters_that_can_not_be_started(tool: Tool, tmp_path: Path) -> None:
    """That there is one is not enough: what the kernel would not start is found, as `list` and the dispatch find it."""
    assert tool("bundle", "add", release(tmp_path, "0.17.7"), "--root", tool.root).code == 0
    program = tool.root / "usr/lib/cnb/launchers/buildpacks/lifecycle/0.17.7/launcher"
    descriptor = tool.root / "usr/lib/cnb/launchers.d/buildpacks_lifecycle@0.17.7.toml"
    descriptor.write_text(re.sub("sha256 = .*\n", "", descriptor.read_text()))
    (tool.root / "opt/folder").mkdir(parents=True)
    (tool.root / "opt/closed").write_bytes(elf(MACHINE))
    (tool.root / "opt/text").write_text("no program\n")
    (tool.root / "opt/text").chmod(0o755)
    (tool.root / "opt/fine").write_bytes(elf(MACHINE))
    (tool.root / "opt/fine").chmod(0o755)
    own = f"/{program.relative_to(tool.root)}"
    for interpreter, reason in (
        ("/opt/none", "is missing"),
        ("/opt/folder", "can't be started: permission denied"),
        ("/opt/closed", "can't be started: permission denied"),
        ("/opt/text", "can't be started: exec format error"),
        (own, "can't be started: too many levels of symbolic links"),
        ("/opt/fine", ""),
    ):
        program.write_text(f"#!{interpreter}\n")
        findings = [one["message"] for one in tool("lint", "--root", tool.root, "--json").document["findings"]]
        assert findings == ([f"{program}: needs {interpreter}, which {reason}"] if reason else [])
        states = [one["state"] for one in tool("list", "--root", tool.root, "--json").document["launchers"]]
        assert states == ["broken" if reason else "in-effect"]


def test_nothing_outside_the_root_is_opened(tool: Tool, tmp_path: Path) -> None:
    """A root's absolute links mean places inside: of what lies there on the machine, FIFOs also, nothing is opened."""
    outside = tmp_path / "outside"
    inside = tool.root / str(outside)[1:]
    for folder in (outside, inside, tool.root / "usr/lib/cnb/launchers.d", tool.root / "etc"):
        folder.mkdir(parents=True)
    names = {"usr/lib/cnb/launchers.d/a.toml": "a.toml", "usr/lib/cnb/launchers/a/b/1/launcher": "launcher"}
    names["etc/cnb"] = "cnb"
    for place, name in names.items():
        (tool.root / place).parent.mkdir(parents=True, exist_ok=True)
        (tool.root / place).symlink_to(outside / name)
        os.mkfifo(outside / name)
    (inside / "a.toml").write_text(SOUND.format(id="a/b", version="1", more=""))
    (inside / "launcher").write_bytes(b"no program\n")
    (inside / "cnb/launchers.d").mkdir(parents=True)
    run = subprocess.run(
        [sys.executable, "-c", WATCHED, "lint", "--root", tool.root],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 1, run.stderr
    findings = [line for line in run.stdout.splitlines() if "ML022" in line]
    assert len(findings) == 1
    assert findings[0].startswith(f"{tool.root}/usr/lib/cnb/launchers.d/a.toml:1:")
    opened = [line for line in run.stdout.splitlines() if line.startswith("/")]
    assert str(inside / "a.toml") in opened
    assert [path for path in opened if path.startswith(str(outside))] == []


def test_paths(tool: Tool, tmp_path: Path) -> None:
    """Files and directories given by name are checked as one registry, their executables left aside."""
    for name in ("a", "b"):
        text = SOUND.format(id=name, version="1", more="")
        write(tmp_path / "folder" / f"{name}@1.toml", text.encode(), 0o644)
    (tmp_path / "mask.toml").symlink_to("/dev/null")
    answer = tool("lint", tmp_path / "folder/a@1.toml", tmp_path / "mask.toml")
    assert (answer.code, answer.out, answer.err) == (0, "", "clean: 2 descriptors checked\n")
    answer = tool("lint", tmp_path / "folder")
    assert answer.code == 1
    assert f"{tmp_path}/folder/b@1.toml: error: ML010: b@1 ties with a@1" in answer.out


def test_each_finding_once(tool: Tool) -> None:
    """What several descriptors share is found once, and what is found is in the order of files and lines."""
    folder = tool.root / "usr/lib/cnb/launchers.d"
    for name in ("a", "b"):
        more = 'path = "/opt/launcher"\nsha256 = "x"\n' if name == "b" else 'path = "/opt/launcher"\n'
        write(folder / f"{name}.toml", SOUND.format(id=name, version="1", more=more).encode(), 0o644)
    write(folder / "c.toml", b"x\n", 0o646)
    lines = tool.on("lint").out.splitlines()
    assert len(lines) == len(set(lines)) > 2
    assert [line.partition(".toml")[0][-1] for line in lines] == sorted(
        [line.partition(".toml")[0][-1] for line in lines]
    )
    once = tool("lint", folder / "c.toml").out
    assert once
    assert tool("lint", folder / "c.toml", folder / "c.toml").out == once


def test_can_not_finish(tool: Tool, tmp_path: Path) -> None:
    """A path that isn't there, or a directory that is none, ends it with 3."""
    answer = tool("lint", tmp_path / "none.toml")
    assert (answer.code, answer.out) == (3, "")
    assert answer.err.startswith(f"ERROR: {tmp_path}/none.toml: no such file or directory\n")
    place = tool.root / "etc/cnb/launchers.d"
    place.parent.mkdir(parents=True)
    place.write_text("")
    answer = tool.on("lint")
    assert answer.code == 3
    assert answer.err.startswith(f"ERROR: {place}: not a directory\n")


def test_positions() -> None:
    """Keys are found in every way of writing them, values of every kind being passed over."""
    text = (TOOLING / "positions.toml").read_text()
    found = positions(text)
    lines = text.splitlines()
    marked = {
        tuple(match[1].split()): (number, len(line) - len(line.lstrip()) + 1)
        for number, line in enumerate(lines, 1)
        if (match := re.search(r"#: (.*)$", line))
    }
    assert len(marked) > 10
    assert {path: found[path] for path in marked} == marked


def test_large_files(tool: Tool) -> None:
    """A descriptor as large as one may be is checked in a moment, however it is filled."""
    folder = tool.root / "usr/lib/cnb/launchers.d"
    folder.mkdir(parents=True)
    keys = "".join(f"k{number} = 1\n" for number in range(6000))
    (folder / "keys.toml").write_text(f"{keys}[launcher]\nid = 1\n")
    versions = ", ".join(['"9.9"', '"0.7"'] * 4500)
    (folder / "versions.toml").write_text(
        f'[launcher]\nid = "a"\nversion = "1"\n[apis.platform]\nsupported = [{versions}]\n'
        '[apis.buildpack]\nsupported = ["0.7"]\n'
    )
    begin = time.monotonic()
    document = tool.on("lint", "--json").document
    assert time.monotonic() - begin < 30
    assert len(document["findings"]) > 6000
