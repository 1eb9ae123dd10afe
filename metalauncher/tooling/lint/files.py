"""The rules about files: executables, digests, and who may change what a container starts with."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from metalauncher.errnos import errno_text
from metalauncher.execute import Itself
from metalauncher.explain.predict import exec_errno
from metalauncher.files import read_head
from metalauncher.places import EXECUTABLE, LAUNCHERS
from metalauncher.tooling.architectures import this_architecture
from metalauncher.tooling.console import decode
from metalauncher.tooling.elf import HEAD, inspect
from metalauncher.tooling.installed import DIRECTORIES, digest_of
from metalauncher.tooling.lint.rules import Finding
from metalauncher.tooling.writing import leftovers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from metalauncher.descriptor import Launcher
    from metalauncher.places import Root
    from metalauncher.registry import Registry
    from metalauncher.tooling.elf import Binary
    from metalauncher.tooling.run_image.model import RunImage

_EVERY_USER_EXECUTES = 0o555


def architecture_of(root: Root, known: str | None = None) -> str:
    """Return the architecture that the root's metalauncher is for, else the one known, else this machine's."""
    return _machine(root.locate(EXECUTABLE.encode())) or known or this_architecture()


def lint_executable(launcher: Launcher, root: Root, architecture: str, place: tuple[int, int]) -> Iterator[Finding]:
    """Yield what speaks against a launcher's executable.

    Args:
        launcher: a launcher in effect.
        root: where to look.
        architecture: that it has to run on.
        place: line and column of its table in the descriptor.
    """
    path = root.locate(launcher.path.encode())

    def find(rule: str, message: str) -> Finding:
        return Finding(launcher.descriptor, *place, rule, f"{decode(path)}: {message}")

    if Itself(root, root.locate(EXECUTABLE.encode())).is_at(path):
        yield find("ML027", "is metalauncher itself: it would start itself, and so counts as failed")
        return
    try:
        status = os.stat(path)
    except OSError as error:
        yield find("ML020", f"is missing: {errno_text(error.errno)}")
        return
    if not stat.S_ISREG(status.st_mode):
        yield find("ML021", "is not a regular file")
        return
    if status.st_mode & _EVERY_USER_EXECUTES != _EVERY_USER_EXECUTES:
        yield find("ML021", f"has mode {status.st_mode & 0o7777:04o}: a container may run as any user (chmod 0755)")
    for rule, message in _lint_program(inspect(read_head(path, HEAD)), root, architecture):
        yield find(rule, message)
    digest = digest_of(path)
    if launcher.sha256 is not None and digest not in (None, launcher.sha256):
        yield find("ML026", f"has sha256 {digest}; {launcher.sha256} is declared")


def _lint_program(binary: Binary | str, root: Root, architecture: str) -> Iterator[tuple[str, str]]:
    """Yield rule and message of what speaks against an executable, by its beginning."""
    if isinstance(binary, str):
        yield "ML022", binary
        return
    if os.path.basename(binary.interpreter) == "metalauncher":
        yield "ML027", "is the shim, which starts metalauncher again"
        return
    if binary.machine and binary.machine != architecture:
        yield "ML023", f"is for {binary.machine}, not for {architecture}"
    elif binary.kind == "elf" and binary.interpreter:
        yield "ML024", f"is dynamically linked, with {binary.interpreter}: not every run image has that"
    reason = _why_not_started(binary.interpreter, root, architecture) if binary.interpreter else ""
    if reason:
        yield "ML025", f"needs {binary.interpreter}, which {reason}"


def _why_not_started(interpreter: str, root: Root, architecture: str) -> str:
    """Return why the kernel would not start what is to start an executable, after its name; "" where it would."""
    number = exec_errno(root.locate_layers(interpreter.encode()), root, 1)
    if number == errno.ENOENT:
        return "is missing"
    # Of another machine's programs this one's kernel says nothing.
    foreign = number == errno.ENOEXEC and architecture != this_architecture()
    return f"can't be started: {errno_text(number)}" if number and not foreign else ""


def lint_architectures(registry: Registry, root: Root, image: str | None) -> Iterator[Finding]:
    """Yield where the launchers of one registry, or metalauncher and its image, are for different architectures.

    Scripts are for any; of files that can't be read or are no programs another rule speaks.

    Args:
        registry: what is in effect.
        root: where to look.
        image: the architecture that the image says it is for; None where nothing says it.
    """
    machines: dict[str, list[str]] = {}
    for launcher in sorted(registry.launchers, key=repr):
        machine = _machine(root.locate(launcher.path.encode()))
        if machine:
            machines.setdefault(machine, []).append(repr(launcher))
    if len(machines) > 1:
        each = "; ".join([f"{machine}: {', '.join(names)}" for machine, names in machines.items()])
        message = f"has launchers for {len(machines)} architectures ({each}): one image, one registry, one architecture"
        yield Finding(registry.directories[-1], None, None, "ML028", message)
    own = root.locate(EXECUTABLE.encode())
    machine = _machine(own)
    if image is not None and machine and machine != image:
        yield Finding(decode(own), None, None, "ML028", f"is for {machine}, and its image for {image}")


def _machine(path: bytes) -> str:
    """Return the architecture of an ELF file; "" of anything else."""
    binary = inspect(read_head(path, HEAD))
    return "" if isinstance(binary, str) else binary.machine


class Whose(NamedTuple):
    """Whose a file or directory is.

    Attributes:
        mode: its type and permission bits, as in `stat`.
        owner: the number of the user.
        group: that of the group.
    """

    mode: int
    owner: int
    group: int


def whose(path: bytes) -> Whose | None:
    """Return whose the file at a path is; None where there is none."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return Whose(status.st_mode, status.st_uid, status.st_gid)


def whose_in(image: RunImage) -> Callable[[bytes], Whose | None]:
    """Return what says whose a file of an image is, by its path in the root in which the image is laid out.

    There everything belongs to who laid it out, and directories are open to that user.
    """
    kinds = {"file": stat.S_IFREG, "directory": stat.S_IFDIR, "link": stat.S_IFLNK}

    def look(path: bytes) -> Whose | None:
        found = image.tree.get(decode(path[len(image.root.prefix) :]))
        return found and Whose(kinds.get(found[1].kind, 0) | found[1].mode, found[1].owner, found[1].group)

    return look


def lint_owners(files: Iterable[bytes], root: Root, look: Callable[[bytes], Whose | None] = whose) -> Iterator[Finding]:
    """Yield each of the files, and of the directories above them, that somebody else could change.

    Above the root nothing is looked at: there, it is the root that is unpacked, not the image.

    Args:
        files: in the root.
        root: that they are in.
        look: says whose each is.
    """
    base = root.prefix or b"/"
    owner = os.stat(base).st_uid if root.prefix and look is whose else 0
    seen: set[bytes] = set()
    for file in files:
        real = os.path.realpath(file) if not root.whole else file
        inside = os.path.relpath(real, os.path.realpath(base) if not root.whole else base)
        steps = [] if inside.startswith(b"..") else inside.split(b"/")
        for length in range(len(steps) + 1):
            path = os.path.join(base, *steps[:length])
            if path in seen:
                continue
            seen.add(path)
            # How the unpacked root itself is kept from others is its owner's affair.
            found = look(path)
            if found is not None and not stat.S_ISLNK(found.mode):  # what is missing is another rule's
                yield from _lint_owner(path, found, owner, unpacked=bool(root.prefix) and not length)


def _lint_owner(path: bytes, found: Whose, owner: int, *, unpacked: bool) -> Iterator[Finding]:
    what = "directory" if stat.S_ISDIR(found.mode) else "file"
    if found.mode & 0o022:
        who = "every user" if found.mode & 0o002 else f"group {found.group}"
        message = f"this {what} can be written by {who} (mode {found.mode & 0o7777:04o}): chmod go-w"
        yield Finding(decode(path), None, None, "ML030", message)
    if found.owner not in (0, owner):
        yield Finding(
            decode(path), None, None, "ML031", f"this {what} belongs to user {found.owner}, not to user {owner}"
        )
    # An executable is another rule's: to be started it need not be read.
    needed, add = (0o005, "o+rx") if what == "directory" else (0o004, "o+r") if path.endswith(b".toml") else (0, "")
    if found.mode & needed != needed and not unpacked:
        message = f"this {what} can't be read by every user (mode {found.mode & 0o7777:04o}): chmod {add}"
        yield Finding(decode(path), None, None, "ML032", message)


def lint_leftovers(root: Root) -> Iterator[Finding]:
    """Yield the temporary files of an interrupted `bundle add`."""
    for file in leftovers(*[root.locate(place) for place in (*DIRECTORIES.values(), LAUNCHERS.encode())]):
        message = "was left over by an interrupted `metalauncher bundle add`; the next one removes it"
        yield Finding(decode(file), None, None, "ML016", message)
