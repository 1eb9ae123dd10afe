"""What an exec comes to: as the kernel says. Examples as files, and chains of scripts and programs by chance."""

from __future__ import annotations

import os
import random
import struct
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import strategies
from harness import DATA
from kernel import Kernel, Laid, as_user, asking, fact, lay, written

from metalauncher.tooling.apps.check.layer_scan import HEAD, Fact
from metalauncher.tooling.apps.check.programs import Exec, argument_of, follow_exec
from metalauncher.tooling.apps.check.resolver import Resolver
from metalauncher.tooling.architectures import this_architecture

if TYPE_CHECKING:
    from metalauncher.tooling.apps.check.user import User

CASES = {path.stem: path for path in sorted((DATA / "tooling/apps/check/execs").glob("*.toml"))}
SEARCHED = 200 if strategies.PROFILE == "quick" else 5000
MACHINE = this_architecture(os.uname().machine)
# Machine code that ends a program with 0.
CODE = {
    "x86-64": bytes.fromhex("31ff b8e7000000 0f05"),
    "arm64": bytes.fromhex("000080d2 c80b80d2 010000d4"),
}[MACHINE]
NUMBER = {"x86-64": 62, "arm64": 183}[MACHINE]
# What is said where it depends on more than the image, or more than the kernel looks at before it starts a program.
OPEN = ("not every kernel takes", "is cut off", "is not a loader for its machine", "which not every kernel")
ERRNOS = {"started": 0, "ENOENT": 2, "ENOEXEC": 8, "EACCES": 13, "ENOTDIR": 20, "ENAMETOOLONG": 36, "ELOOP": 40}


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    """Return what asks the kernel."""
    with asking() as found:
        yield found


@pytest.fixture
def folder(public: Path) -> Path:
    """Return where trees are laid out."""
    return public / "tree"


def program(
    interpreter: bytes = b"",
    *,
    base: int = 0x400000,
    machine: int = NUMBER,
    kind: int = 2,
    wide: int = 2,
    order: int = 1,
    entry_size: int = 56,
    more: int = 0,
) -> bytes:
    """Return an ELF file that ends with 0 where it is started, with a loader if one is named.

    Args:
        interpreter: the loader's path, with its final zero.
        base: where it is loaded.
        machine: ELF's number.
        kind: 2 is a program, 3 one that may lie anywhere, 1 and 4 none.
        wide: 2 for 64 bits.
        order: of bytes, 1 for the lowest first.
        entry_size: of a program header.
        more: bytes that it says that it has, and has not.
    """
    headers = 2 if interpreter else 1
    start = 64 + 56 * headers
    size = start + len(CODE) + len(interpreter)
    data = b"\x7fELF" + bytes([wide, order, 1]) + bytes(9)
    data += struct.pack("<HHIQQQIHHHHHH", kind, machine, 1, base + start, 64, 0, 0, 64, entry_size, headers, 0, 0, 0)
    if interpreter:
        data += struct.pack("<IIQQQQQQ", 3, 4, start + len(CODE), 0, 0, len(interpreter), len(interpreter), 1)
    data += struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size + more, size + more, 4096)
    return data + CODE + interpreter


def hold(kernel: Kernel, laid: Laid, user: User, path: str, cwd: str = "") -> Exec:
    """Hold what we say against the kernel; return what we say."""
    resolver = Resolver(laid.tree, user)
    found = follow_exec(path, resolver, laid.contents, MACHINE, cwd)
    (told,) = kernel.ask(laid, user, [("exec", path)], cwd)
    shown = f"{path!r} in /{cwd} as {user}: we say {found}, {list(resolver.doubts)}, the kernel {told}\n"
    if not any(words in doubt for words in OPEN for doubt in resolver.doubts):
        # What names no interpreter, but has a zero, stands for the working directory, which nobody can start.
        nameless = found.errno == ERRNOS["ENOEXEC"] and found.steps[-1].is_script
        assert found.errno == told.errno or (nameless and told.errno == ERRNOS["EACCES"]), shown + written(laid.facts)
    assert bool(found.culprit) == bool(found.errno), shown
    assert [step.place for step in found.steps] == [resolver.find(step.path, cwd) for step in found.steps], shown
    return found


@pytest.mark.parametrize("name", CASES)
def test_an_example(name: str, kernel: Kernel, folder: Path) -> None:
    """What the file says, we say, and the kernel says."""
    case: dict[str, Any] = tomllib.loads(CASES[name].read_text())
    facts = [fact(line) for line in case["tree"]]
    programs = {"@program": program(), "@loaded": program(b"/ld\0")}
    facts = [
        one._replace(data=programs[one.data.decode()], size=len(programs[one.data.decode()]))
        if one.data.startswith(b"@")
        else one
        for one in facts
    ]
    laid = lay(folder, facts)
    user = as_user(case.get("user", "0:0"))
    for path, wanted in case["exec"].items():
        errno, *steps = wanted.replace("\\ ", "\0").split(" ")
        steps = [step.replace("\0", " ") for step in steps]
        found = hold(kernel, laid, user, path, case.get("cwd", ""))
        said = [f"{step.path}({step.argument})" if step.argument else step.path for step in found.steps]
        said += [f"ld={step.loader.path}" for step in found.steps if step.loader is not None]
        said += [f"!{found.culprit}"] if found.culprit else []
        assert (found.errno, said) == (ERRNOS[errno], steps), path
        assert [step.is_script for step in found.steps[:-1]] == [True] * (len(found.steps) - 1)


def elf(data: bytes, *, headers_at: int = 0, loader_at: int = 0, headers: int = 0) -> bytes:
    """Return an ELF file whose program headers, or whose loader's name, lie elsewhere, or with so many headers."""
    moved = bytearray(data)
    if headers_at:
        number = struct.unpack_from("<H", data, 56)[0]
        moved = moved.ljust(headers_at, b"\0") + data[64 : 64 + 56 * number]
        struct.pack_into("<Q", moved, 32, headers_at)
    if loader_at:
        at, size = struct.unpack_from("<Q", data, 72)[0], struct.unpack_from("<Q", data, 96)[0]
        moved = moved.ljust(loader_at, b"\0") + data[at : at + size]
        struct.pack_into("<Q", moved, 72, loader_at)
    if headers:
        struct.pack_into("<H", moved, 56, headers - 1)
    return bytes(moved)


NUMBER_OF_OLDER = {"x86-64": 3, "arm64": 40}[MACHINE]
OLDER = {"x86-64": "386", "arm64": "arm"}[MACHINE]
NO_LOADER = "/ld, which loads /p, is not a loader for its machine"
ODD = "/p is an ELF file with program headers that not every kernel reads"
ODD_LOADER = "/p is an ELF file with a loader's name that not every kernel reads"
# What /p is, and /ld; with which errno it is refused, and why that may be otherwise.
DOUBTED: dict[str, tuple[bytes, bytes, int, list[str]]] = {
    "a program": (program(), b"", 0, []),
    "one that is cut off": (
        program(more=1),
        b"",
        0,
        [f"/p is cut off: it has {len(program())} of {len(program()) + 1}"],
    ),
    "one with odd headers": (program(entry_size=55), b"", 8, [ODD]),
    "one without headers": (elf(program(), headers=1), b"", 8, [ODD]),
    "one with distant headers": (elf(program(), headers_at=40_000), b"", 0, [ODD, "/p has its program headers far"]),
    "one whose headers end with what is kept of it": (elf(program(), headers_at=4096 - 56), b"", 0, []),
    "one whose loader's name is cut off": (program(b"/ld\0")[:-1], program(), 5, [ODD_LOADER, "/p is cut off: it has"]),
    "one whose loader's name is kept in part": (
        elf(program(b"/ld\0"), loader_at=4094),
        program(),
        0,
        [ODD_LOADER, "/p names its loader far behind its beginning"],
    ),
    "one whose loader's name is the longest": (
        program(b"/" + b"./" * 2046 + b"ld\0"),
        program(),
        0,
        [ODD_LOADER, "/p names its loader far behind"],
    ),
    "one whose loader's name is too long": (program(b"/" + b"./" * 2046 + b"ld \0"), program(), 8, [ODD_LOADER]),
    "one of 32 bits": (
        program(machine=NUMBER_OF_OLDER, wide=1, entry_size=32),
        b"",
        0,
        [f"/p is for {OLDER}, which not every kernel on {MACHINE} runs"],
    ),
    "a loader": (program(b"/ld\0"), program(), 0, []),
    "a loader in the working directory": (program(b"../ld\0"), program(), 0, []),
    "one that is named at a distance": (
        elf(program(b"/ld\0"), loader_at=5000),
        program(),
        0,
        [ODD_LOADER, "/p names its loader far behind its beginning"],
    ),
    "a program of another machine": (program(machine=243), b"", 8, []),
    "a loader that is not in the working directory": (program(b"ld\0"), program(), 2, []),
    "one of another machine": (program(b"/ld\0"), program(machine=243), 0, [NO_LOADER]),
    "one that is cut off as well": (program(b"/ld\0"), program(more=1), 0, [NO_LOADER]),
    "one with odd headers as well": (program(b"/ld\0"), program(entry_size=55), 0, [NO_LOADER]),
    "one with distant headers as well": (
        program(b"/ld\0"),
        elf(program(), headers_at=40_000),
        0,
        ["/ld has its program headers far behind its beginning"],
    ),
}


@pytest.mark.parametrize("name", DOUBTED)
def test_what_is_doubted(name: str, folder: Path) -> None:
    """Where it depends on more than the kernel's own rules."""
    data, loader, errno, doubts = DOUBTED[name]
    facts = [Fact("d", "directory", 0o755, 0, ""), Fact("p", "file", 0o755, len(data), "", data=data[:HEAD])]
    facts += [Fact("ld", "file", 0o755, len(loader), "", data=loader[:HEAD])] if loader else []
    laid = lay(folder, facts)
    resolver = Resolver(laid.tree, as_user("1000:1000"))
    assert follow_exec("/p", resolver, laid.contents, MACHINE, "d").errno == errno
    assert len(resolver.doubts) == len(doubts), list(resolver.doubts)
    for said, wanted in zip(resolver.doubts, doubts, strict=True):
        assert said.startswith(wanted)


def test_a_machine_that_is_not_known(folder: Path) -> None:
    """An image may say nothing of it."""
    laid = lay(folder, [Fact("p", "file", 0o755, len(program()), "", data=program())])
    resolver = Resolver(laid.tree, as_user("1000:1000"))
    assert follow_exec("/p", resolver, laid.contents, None).errno == 0
    assert list(resolver.doubts) == [f"/p is for {MACHINE}, but the machine of the image is not known"]


def test_what_can_not_be_read(folder: Path) -> None:
    """Linux starts it, and gVisor does not."""
    for mode, doubts in (
        (0o755, []),
        (0o711, ["/p may be started and not be read, and then gVisor does not start it"]),
    ):
        laid = lay(folder, [Fact("p", "file", mode, len(program()), "", data=program())])
        resolver = Resolver(laid.tree, as_user("1000:1000"))
        assert follow_exec("p", resolver, laid.contents, MACHINE).errno == 0
        assert list(resolver.doubts) == doubts


@pytest.mark.parametrize(
    ("line", "argument"),
    [
        ("#!/p", ""),
        ("#!/p a b \t", "a b"),
        ("#! \t/p\t a", "a"),
        ("#!p a", "a"),
        ("#!/p aX", "aX"),
        ("#!/p a\r\n", "a\r"),
        ("#!/p a\nmore\n", "a"),
        ("#!/p a\0b\n", "a"),
        ("#!/p " + "x" * 300, "x" * 250),
    ],
)
def test_argument(line: str, argument: str) -> None:
    """What stands behind the interpreter is one, without blanks around it (Linux, fs/binfmt_script.c)."""
    assert argument_of(line.encode()) == argument


BLANKS = ("", "", "", " ", "\t", "  ", "\t ", " " * 250, " " * 260, "\0", "\r")


def some_file(chance: random.Random, known: list[str]) -> bytes:
    """Return a file that may be started, or nearly."""
    if chance.random() < 0.6:
        path = chance.choice(known) + chance.choice(("", "", "", "", "", "/", "\0", "/x", "n" * 256, "n" * 230))
        path = chance.choice(("/", "/", "/", "", "./", "//")) + path
        line = "#!" + chance.choice(BLANKS) + chance.choice((path, path, path, path, path, "")) + chance.choice(BLANKS)
        line += chance.choice(("", "", "-x", "-x y ", "x\0y", "é" * 120)) + chance.choice(BLANKS)
        if chance.random() < 0.1:
            line = line.ljust(chance.choice((253, 254, 255, 256, 257, 258)), chance.choice("x \0"))
        data = (line + chance.choice(("\n", "\n", "\n", "", "\nmore\n", "\n\0"))).encode()
        return data[: chance.choice((999, 999, 999, 999, len(data), 2, 3, 5))]
    if chance.random() < 0.15:
        return chance.choice((b"", b"#", b"# !", b"text\n", b"\x7fEL", b"\x7fELF", bytes(300)))
    loader = b""
    if chance.random() < 0.4:
        loader = (
            chance.choice(("/", "/", "")).encode()
            + chance.choice(known).encode()
            + chance.choice((b"\0", b"\0", b"\0", b"", b"\0x", b"\0\0"))
        )
    if chance.random() < 0.02:
        loader = b"/" + b"n" * 256 + b"\0"
    odd = chance.random() < 0.5
    data = program(
        loader,
        base=chance.choice((0x400000, 0x800000)),
        machine=chance.choice((62, 183, 3, 40, 0, 62 << 8)) if odd else NUMBER,
        kind=chance.choice((1, 2, 3, 3, 4, 0)) if odd else 2,
        wide=chance.choice((2, 2, 2, 1, 0, 3)) if odd else 2,
        order=chance.choice((1, 1, 1, 2, 0)) if odd else 1,
        entry_size=chance.choice((56, 56, 56, 55, 0, 64)) if odd else 56,
        more=chance.choice((0, 0, 0, 1, 5000)) if odd else 0,
    )
    return data[: chance.choice((9999, 9999, 9999, 9999, 63, 64, 65, 100, len(data) - 1))]


def some_tree(chance: random.Random) -> list[Fact]:
    """Return a few files that may start each other."""
    facts = [Fact("d", "directory", chance.choice((0o755, 0o755, 0o711, 0o700)), 0, "")]
    names = ["a", "b", "c", "e", "d/f", "d/g"]
    chance.shuffle(names)
    for at, path in enumerate(names):
        # Mostly to what comes behind, lest all be circles.
        known = names[at + 1 :] * 3 + names + ["nowhere", "d"]
        if chance.random() < 0.1:
            facts.append(Fact(path, "link", 0o777, 0, "/" + chance.choice(known)))
            continue
        if chance.random() < 0.05:
            facts.append(Fact(path, "other", 0o777, 0, ""))
            continue
        data = some_file(chance, known)
        mode = chance.choice((0o755, 0o755, 0o755, 0o755, 0o755, 0o711, 0o700, 0o644, 0o001, 0o010))
        group = chance.choice((0, 50))
        facts.append(Fact(path, "file", mode, len(data), "", group=group, data=data[:HEAD]))
    if chance.random() < 0.2:  # as many scripts as there may be
        length = chance.randint(4, 7)
        facts += [script(f"s{n}", f"/s{n + 1}") for n in range(length)]
        end = chance.choice(names)
        facts.append(
            script(f"s{length}", f"/{end}") if chance.random() < 0.3 else Fact(f"s{length}", "link", 0o777, 0, end)
        )
    return facts


def script(path: str, interpreter: str) -> Fact:
    """Return a script."""
    data = f"#!{interpreter}\n".encode()
    return Fact(path, "file", 0o755, len(data), "", data=data)


@pytest.mark.parametrize("part", range(10))
def test_any_chain(part: int, kernel: Kernel, folder: Path) -> None:
    """Whatever the files are, whoever starts them."""
    seen: set[int] = set()
    for seed in range(part, SEARCHED, 10):
        chance = random.Random(seed)
        facts = some_tree(chance)
        laid = lay(folder, facts)
        user = as_user(chance.choice(("0:0", "0:0", "1000:1000", "1000:50", "1000:0")))
        for one in facts:
            path = chance.choice(("/", "/", "", "./")) + one.path + chance.choice(("", "", "", "", "", "/"))
            seen.add(hold(kernel, laid, user, path).errno)
    # 36, a name that is too long, is rare: an example has it.
    assert seen >= {*ERRNOS.values()} - {36} or SEARCHED < 1000, "each errno is to be found"
