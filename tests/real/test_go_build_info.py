"""What is read of a Go program is what Go itself reads of it, whatever the program is; and nothing of others."""

from __future__ import annotations

import io
import itertools
import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import golang
import launchers
import pytest
from elf_programs import MAGIC, Program
from harness import PROJECT, static_form

from metalauncher.tooling.apps.go_build_info import GoBuildInfo, read_build_info

SEED = 14
INTERESTING = (0, 1, 2, 3, 7, 8, 0x7F, 0x80, 0xFE, 0xFF)
NUMBERS = (0, 1, 16, 31, 32, 64, 255, 0xFF00, 0xFFFF, 1 << 20, (1 << 31) - 1, 1 << 32, (1 << 63) - 1, 1 << 63, -1)
TEXTS = (
    "",
    "\n",
    "\t",
    '"',
    "`",
    "\\",
    "=",
    "mod\t",
    "dep\t",
    "=>\t",
    "build\t",
    "path\t",
    '"\\x41"=`b`',
    "\udcff",
    "é",
)
MODULES = (
    "path\tcommand-line-arguments\n",
    "path\ta\nmod\ta\t(devel)\t\ndep\tb\tv1\th1:x=\n=>\t./c\t(devel)\t\nbuild\t-ldflags=\"-X 'a/cmd.Version=1'\"\n",
    'path\ta\nmod\ta\tv1\n=>\tc\tv2\th1:y=\nbuild\t"a b"=`c d`\nbuild\t-tags=x,y\nbuild\t-tags=z\nbuild\te=\n',
    'mod\ta\tv1\tsum\nbuild\tk="\\a\\n\\x41\\101\\u00e9\\U0001F600\\"\\\\"\nno line of ours\nbuild\tcut=off',
)

Ask = Callable[[Iterable[Path]], list[GoBuildInfo | None]]


@pytest.fixture(scope="module")
def go() -> golang.Go:
    """Return Go."""
    try:
        return golang.find()
    except golang.Unavailable as missing:
        pytest.fail(str(missing))


@pytest.fixture(scope="module")
def ask(go: golang.Go) -> Ask:
    """Return what tells how Go reads files."""
    folder = PROJECT / "tests/real/build_info"
    program = go.program("build_info", folder, ".", ldflags="-s -w") / "build_info"

    # From 1.27 on Go does not look for it in the data where no section says where it is: where it says nothing, it is
    # no witness against who does.
    by_section_alone = golang.numbers(go.version) >= (1, 27)

    def ask(files: Iterable[Path]) -> list[GoBuildInfo | None]:
        files = list(files)
        names = "".join([f"{file}\n" for file in files])
        done = subprocess.run([program], input=names, capture_output=True, text=True, check=True, timeout=120)
        said = [_as_ours(json.loads(line)) for line in done.stdout.split("\n")[:-1]]
        if by_section_alone:
            return [ours(file) if one is None else one for file, one in zip(files, said, strict=True)]
        return said

    return ask


def _as_ours(said: dict[str, Any] | None) -> GoBuildInfo | None:
    if said is None:
        return None
    main = said["Main"]
    instead = main.get("Replace") or {}
    return GoBuildInfo(
        said["GoVersion"],
        said.get("Path", ""),
        main.get("Path", ""),
        main.get("Version", ""),
        "@".join([part for part in (instead.get("Path"), instead.get("Version")) if part]),
        {setting["Key"]: setting.get("Value", "") for setting in said.get("Settings") or []},
    )


def ours(file: Path) -> GoBuildInfo | None:
    """Return what we read of a file."""
    with file.open("rb") as opened:
        return read_build_info(opened)


def differences(files: list[Path], ask: Ask) -> list[str]:
    """Return where we say something that Go does not, or nothing where Go says something that is text."""
    found = []
    for file, theirs in zip(files, ask(files), strict=True):
        mine = ours(file)
        if mine != theirs and not (mine is None and "\ufffd" in repr(theirs)):
            found.append(f"{file.name}: {mine}, and Go: {theirs}")
    return found


def _said_by_command(go: golang.Go, file: Path) -> GoBuildInfo | None:
    done = subprocess.run([go.command, "version", "-m", "-json", file], capture_output=True, text=True, timeout=60)
    return _as_ours(json.loads(done.stdout)) if done.stdout else None


@pytest.mark.parametrize(
    "version",
    [
        pytest.param(version, marks=() if version in launchers.QUICK else (pytest.mark.thorough,))
        for version in launchers.versions()
    ],
)
def test_real_launchers(version: str, go: golang.Go) -> None:
    """Built through the module: its version is there, and no flags."""
    file = launchers.build(version, go).executable
    found = ours(file)
    assert found is not None
    assert found == _said_by_command(go, file)
    assert (found.go_version, found.module) == (go.version, launchers.LIFECYCLE)
    assert (found.module_version, "-ldflags" in found.settings) == (f"v{version}", False)


@pytest.mark.parametrize("version", ["0.17.7", pytest.param("0.20.11", marks=pytest.mark.thorough)])
def test_launchers_as_upstream_builds_them(version: str, go: golang.Go) -> None:
    """Built in a checkout: the flags are there, and no version."""
    file = launchers.build_upstream(version, go)
    found = ours(file)
    assert found is not None
    assert found == _said_by_command(go, file)
    assert (found.module, found.module_version) == (launchers.LIFECYCLE, "(devel)")
    assert f"-X '{launchers.LIFECYCLE}/cmd.Version={version}'" in found.settings["-ldflags"]


def test_other_programs(go: golang.Go, ask: Ask) -> None:
    """Go's own command says little; what is not built by Go says nothing."""
    command = ours(go.command)
    assert command is not None
    assert (command.path, command.module) == ("cmd/go", "")
    others = [Path(sys.executable).resolve(), Path("/bin/sh").resolve(), static_form().executable, Path(__file__)]
    assert differences([go.command, *others], ask) == []
    assert [ours(file) for file in others] == [None] * len(others)


def programs() -> list[Program]:
    """Return programs of every kind."""
    kinds = itertools.product((64, 32), (False, True), (False, True), (False, True), (0, 16, 1 << 20))
    return [
        Program(
            modules=MODULES[number % len(MODULES)], bits=bits, big=big, inline=inline, section=section, before=before
        )
        for number, (bits, big, inline, section, before) in enumerate(kinds)
    ]


def test_every_form(ask: Ask, tmp_path: Path) -> None:
    """Inline and by pointers, of 32 and 64 bits, in both orders, found by a section and in the data."""
    files = [tmp_path / str(number) for number in range(len(programs()))]
    for file, program in zip(files, programs(), strict=True):
        file.write_bytes(bytes(program))
    assert differences(files, ask) == []
    assert None not in [ours(file) for file in files]


def test_cut_off(go: golang.Go, ask: Ask, tmp_path: Path) -> None:
    """A real launcher's beginning, however much of it."""
    whole = launchers.build("0.17.7", go).executable.read_bytes()
    at = whole.index(MAGIC)
    files = []
    for size in (0, 3, 16, 63, 64, 400, 4096, at, at + 14, at + 32, at + 40, at + 60, at + 1500, len(whole) - 1):
        files.append(tmp_path / str(size))
        files[-1].write_bytes(whole[:size])
    assert differences(files, ask) == []


@pytest.mark.parametrize("count", [400, pytest.param(20_000, marks=pytest.mark.thorough)])
def test_what_is_said_of_mutated_programs_is_what_go_says(count: int, ask: Ask, tmp_path: Path) -> None:
    """Nothing but what Go says, and nothing raised: bytes, numbers and words changed, parts moved and cut off."""
    choice = random.Random(SEED)
    kinds = [program for program in programs() if program.before < 100]
    said = 0
    for _ in range(0, count, 200):
        files = []
        for number in range(200):
            files.append(tmp_path / str(number))
            files[-1].write_bytes(_mutated(choice.choice(kinds), choice))
        assert differences(files, ask) == [], f"seed {SEED}"
        said += sum([ours(file) is not None for file in files])
    assert count * 0.2 < said < count * 0.9, said


def _mutated(program: Program, choice: random.Random) -> bytes:
    modules, go = program.modules, program.go
    for _ in range(choice.choice((0, 0, 1, 1, 2))):
        at = choice.randrange(len(modules) + 1)
        modules = modules[:at] + choice.choice(TEXTS) + modules[at + choice.randrange(3) :]
    if not choice.randrange(8):
        go = choice.choice(("", "\udcff", "devel go1.27-abc X:none", "go1.17"))
    kind = Program(go, modules, program.bits, program.big, program.inline, program.section, program.before)
    data = bytearray(bytes(kind))
    header = 64 + 56 + 32
    for _ in range(choice.choice((0, 1, 1, 1, 2, 4))):
        spots = (choice.randrange(header), choice.randrange(len(data)), data.find(MAGIC) + choice.randrange(96))
        at = choice.choice(spots) % len(data)
        if choice.randrange(2):
            data[at] = choice.choice(INTERESTING)
        else:
            size = choice.choice((2, 4, 8))
            number = choice.choice((*NUMBERS, choice.randrange(len(data))))
            data[at : at + size] = (number & ((1 << 8 * size) - 1)).to_bytes(size, "big" if program.big else "little")
    if not choice.randrange(10):
        del data[choice.randrange(len(data)) :]
    return bytes(data)


def test_limits() -> None:
    """A list of modules of a megabyte is read; of more nothing is, and neither is a version that is a book."""
    line = "dep\texample.com/m\tv1.0.0\n"
    many = line * ((1 << 20) // len(line) - 2)
    assert read_build_info(io.BytesIO(bytes(Program(modules=many)))) is not None
    assert read_build_info(io.BytesIO(bytes(Program(modules=many + 3 * line)))) is None
    assert read_build_info(io.BytesIO(bytes(Program(go="go1.26.8" + "x" * 300)))) is None
