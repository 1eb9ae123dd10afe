"""Would the kernel exec a file, and through which interpreters? As Linux goes, over a merged file system; runs nothing.

Sources: Linux, fs/exec.c, fs/binfmt_script.c, fs/binfmt_elf.c.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from metalauncher.execute import SCRIPTS_LIMIT, interpreter_of
from metalauncher.explain.elf import HEADER_SIZE, INTERPRETER, MAGIC, Elf
from metalauncher.tooling.apps.check.permissions import EXECUTE, READ
from metalauncher.tooling.apps.check.resolver import EACCES, ELOOP
from metalauncher.tooling.console import decode
from metalauncher.tooling.elf import inspect, odd_header

if TYPE_CHECKING:
    from metalauncher.tooling.apps.check.contents import Contents
    from metalauncher.tooling.apps.check.resolver import Place, Resolver

ENOEXEC: Final = 8
_EIO = 5
_SCRIPT = 256  # bytes of a file that the kernel looks at for a script's first line
_ARGUMENT = re.compile(rb"[^ \t\0]+[ \t]+([^\0]+)")
_HEADERS_LIMIT = 1 << 16  # bytes of all program headers (load_elf_phdrs)
_PATH_LIMIT = 4096  # bytes of a loader's path, with its final zero
# They look at an ELF file's machine, and neither at its class nor at its byte order.
_TRUSTING = {"x86-64": 62, "arm64": 183}
_WIDE = 2  # of an ELF file of 64 bits
_LITTLE_64 = b"\2\1"  # its class and byte order on these
_OLDER = {"x86-64": "386", "arm64": "arm"}  # what these run where the kernel was built for it


class Step(NamedTuple):
    """One file of an exec.

    Attributes:
        path: as the kernel was given it.
        place: where that leads.
        argument: of a script, what its first line gives the interpreter; "" where it gives none.
        is_script: the next step is its interpreter.
        loader: of a dynamically linked program, where its loader lies; None of others.
    """

    path: str
    place: Place
    argument: str = ""
    is_script: bool = False
    loader: Place | None = None


class Exec(NamedTuple):
    """What the kernel makes of an exec.

    Attributes:
        errno: with which it refuses; 0 where it starts the last step.
        steps: the file that was asked for, then each interpreter.
        culprit: the path that it stopped at.
    """

    errno: int
    steps: tuple[Step, ...]
    culprit: str = ""

    @property
    def files(self) -> list[Place]:
        """Where all lies that the kernel reads to start it: its steps, each with its loader."""
        return [place for step in self.steps for place in (step.place, step.loader) if place is not None]


def follow_exec(path: str, resolver: Resolver, contents: Contents, machine: str | None, cwd: str = "") -> Exec:
    """Follow an exec.

    Args:
        path: as it is given to the kernel.
        resolver: of the user who asks.
        contents: of the tree's files.
        machine: the image's, as `tooling.elf` names it; None where that is not known.
        cwd: the real path of the working directory.
    """
    steps: list[Step] = []
    while True:
        place = resolver.find(path, cwd)
        errno = place.errno or _closed(place, resolver)
        if errno:
            return Exec(errno, (*steps, Step(path, place)), path)
        if not resolver.access(place, READ):
            resolver.doubt(f"/{place.path} may be started and not be read, and then gVisor does not start it")
        if len(steps) > SCRIPTS_LIMIT:
            return Exec(ELOOP, tuple(steps), path)
        head = contents.head(place)
        if not head.startswith(b"#!"):
            errno, culprit, loader = _load(path, place, head, resolver, contents, machine, cwd)
            return Exec(errno, (*steps, Step(path, place, loader=loader)), culprit)
        interpreter = decode(interpreter_of(head))
        if not interpreter:
            return Exec(ENOEXEC, (*steps, Step(path, place, is_script=True)), path)
        steps.append(Step(path, place, argument_of(head), is_script=True))
        path = interpreter


def _closed(place: Place, resolver: Resolver) -> int:
    """Return the errno where something is there that nobody, or not this user, may exec."""
    if place.node is None or place.node.kind != "file":
        return EACCES
    return 0 if resolver.access(place, EXECUTE) else EACCES


def _load(
    path: str, place: Place, head: bytes, resolver: Resolver, contents: Contents, machine: str | None, cwd: str
) -> tuple[int, str, Place | None]:
    """Return what loading a program comes to: an errno, the path that it is about, and its loader."""
    _doubt_header(head, machine, place, resolver)
    binary = inspect(head)
    if place.node is not None and (odd := odd_header(head, place.node.size)):
        resolver.doubt(f"/{place.path} is an ELF file with {odd}")
    if isinstance(binary, str) or binary.kind != "elf":
        return ENOEXEC, path, None
    _doubt_machine(binary.machine, machine, place, resolver)
    if machine is not None and binary.machine not in (machine, _OLDER.get(machine)):
        return ENOEXEC, path, None
    if place.node is not None and binary.size > place.node.size:
        resolver.doubt(f"/{place.path} is cut off: it has {place.node.size} of {binary.size} bytes")
    errno, interpreter = _loader_of(head, place, resolver) if head[4] == _WIDE else (0, "")
    if errno:
        return errno, path, None
    if not interpreter:
        return 0, "", None
    loader = resolver.find(interpreter, cwd)
    errno = loader.errno or _closed(loader, resolver)
    if errno:
        return errno, interpreter, loader
    if not _is_loader(contents.head(loader), binary.machine, loader, resolver):
        resolver.doubt(f"/{loader.path}, which loads /{place.path}, is not a loader for its machine")
    return 0, "", loader


def _loader_of(  # noqa: PLR0911  # one return for each thing that the kernel looks at
    head: bytes, place: Place, resolver: Resolver
) -> tuple[int, str]:
    """Return the loader that a program names, "" for none, or the errno with which its headers are refused."""
    size = 0 if place.node is None else place.node.size
    elf = Elf(head)
    end = elf.start + elf.entries * HEADER_SIZE
    if elf.entry_size != HEADER_SIZE or not 0 < end - elf.start <= _HEADERS_LIMIT or end > size:
        return ENOEXEC, ""
    if end > len(head):
        resolver.doubt(f"/{place.path} has its program headers far behind its beginning")
        return 0, ""
    found = [(offset, length) for kind, offset, length, _ in elf.segments() if kind == INTERPRETER]
    if not found:
        return 0, ""
    offset, length = found[0]
    if not 2 <= length <= _PATH_LIMIT:
        return ENOEXEC, ""
    if offset + length > size:
        return _EIO, ""
    if offset + length > len(head):
        resolver.doubt(f"/{place.path} names its loader far behind its beginning")
        return 0, ""
    path = head[offset : offset + length]
    return (0, decode(path.partition(b"\0")[0])) if path.endswith(b"\0") else (ENOEXEC, "")


def _is_loader(head: bytes, machine: str, place: Place, resolver: Resolver) -> bool:
    """Tell whether a file may load programs of a machine: it is whole, and one of them itself."""
    found = inspect(head)
    if isinstance(found, str) or found.machine != machine or place.node is None or found.size > place.node.size:
        return False
    return not _loader_of(head, place, resolver)[0]


def _doubt_header(head: bytes, machine: str | None, place: Place, resolver: Resolver) -> None:
    """Doubt an ELF file that says two things of its machine; gVisor looks at both."""
    number = int.from_bytes(head[18:20], "little")
    if head.startswith(MAGIC) and head[4:6] != _LITTLE_64 and number == _TRUSTING.get(machine or ""):
        resolver.doubt(f"/{place.path} has an ELF header that not every kernel takes")


def _doubt_machine(found: str, machine: str | None, place: Place, resolver: Resolver) -> None:
    if machine is None:
        resolver.doubt(f"/{place.path} is for {found}, but the machine of the image is not known")
    elif found != machine and found == _OLDER.get(machine):
        resolver.doubt(f"/{place.path} is for {found}, which not every kernel on {machine} runs")


def argument_of(head: bytes) -> str:
    """Return the one argument that a script's first line gives its interpreter, "" if none."""
    match = _ARGUMENT.match(head[2 : _SCRIPT - 1].partition(b"\n")[0].strip(b" \t"))
    return decode(match[1]) if match else ""
