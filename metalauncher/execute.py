"""Become a launcher: try the ranked ones in turn, and never metalauncher itself. Must not know APIs or records."""

from __future__ import annotations

import posix

from metalauncher.files import SCRIPT_HEAD, close_read, open_read, read_head

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Final

    from metalauncher.descriptor import Launcher
    from metalauncher.places import Root

    # (path, number of leading arguments to drop) -> errno; does not return where it succeeds.
    Become = Callable[[bytes, int], int]

ITSELF = "is metalauncher itself"  # what stands against a launcher that is
# E2BIG, ENOMEM, EAGAIN: another launcher would meet the same.
_FINAL_ERRNOS = frozenset((7, 12, 11))

# A file as small as this may be a shim that leads back here; launchers are megabytes.
_SHIM_LIMIT = 4096
_PIECE = 1 << 16  # bytes of two files that are compared at a time
SCRIPTS_LIMIT = 5  # scripts whose interpreter is a script, as the kernel's


class Failure:
    """A launcher that covers the app but can't be exec'd."""

    __slots__ = ("errno", "launcher", "path", "reason")

    def __init__(self, launcher: Launcher, path: bytes, reason: str, errno: int | None = None) -> None:
        """Hold the launcher, the path that was to be exec'd, what stands against it, and the kernel's errno if any."""
        self.launcher: Final = launcher
        self.path: Final = path.decode("utf-8", "surrogateescape")
        self.reason: Final = reason
        self.errno: Final = errno

    def __str__(self) -> str:
        """Return `id@version at path can't be started: reason`."""
        return f"{self.launcher!r} at {self.path} can't be started: {self.reason}"


class Itself:
    """Tells metalauncher's own files, which it must never exec: that would go round for ever."""

    __slots__ = ("_files", "_root")

    def __init__(self, root: Root, *paths: bytes) -> None:
        """Take where interpreters are to be found, the executable's path, and on the shim route the path invoked.

        A path that can't be found does not count.
        """
        self._root: Final = root
        files: list[tuple[bytes, posix.stat_result]] = []
        for path in paths:
            try:
                files.append((path, posix.stat(path)))
            except OSError:
                continue
        self._files: Final = files

    def was_invoked_as(self, path: bytes) -> bool:
        """Tell whether `path` is how metalauncher was started, to the letter."""
        return any([path == own for own, _ in self._files])

    def is_at(self, path: bytes, depth: int = SCRIPTS_LIMIT) -> bool:
        """Tell whether `path` is one of them, a copy of one, or a script that one of them interprets."""
        try:
            status = posix.stat(path)
        except OSError:
            return False
        for own, own_status in self._files:
            if (status.st_dev, status.st_ino) == (own_status.st_dev, own_status.st_ino):
                return True
            if status.st_size == own_status.st_size and _same_bytes(path, own):
                return True
        # No other file of this size is opened: launchers are megabytes, and so is their reading.
        if status.st_size > _SHIM_LIMIT or status.st_mode & 0o170000 != 0o100000 or not depth:
            return False
        interpreter = interpreter_of(read_head(path))
        return bool(interpreter) and self.is_at(self._root.locate_layers(interpreter), depth - 1)


def interpreter_of(head: bytes) -> bytes:
    """Return the interpreter that a script's first bytes name, b"" if they name none (Linux, fs/binfmt_script.c)."""
    line, newline, _ = head[:SCRIPT_HEAD].replace(b"\t", b" ").partition(b"\n")
    if not line.startswith(b"#!"):
        return b""
    interpreter, end, _ = line[2:].lstrip(b" ").partition(b" ")
    interpreter, zero, _ = interpreter.partition(b"\0")
    # Where the kernel doesn't see its end it takes none of it: half a path is another program.
    return interpreter if newline or end or zero or len(line) < SCRIPT_HEAD else b""


def _same_bytes(one: bytes, other: bytes) -> bool:
    """Tell whether two files hold the same; piece by piece, for a container may have little memory."""
    descriptors: list[int] = []
    try:
        descriptors.append(open_read(one))
        descriptors.append(open_read(other))
        pieces = [posix.read(descriptor, _PIECE) for descriptor in descriptors]
        if not pieces[0]:  # nothing in it, or nothing to be read: it is no copy
            return False
        while pieces[0] and pieces[0] == pieces[1]:
            pieces = [posix.read(descriptor, _PIECE) for descriptor in descriptors]
        return pieces[0] == pieces[1]
    except OSError:
        return False
    finally:
        for descriptor in descriptors:
            close_read(descriptor)


def execute(
    ranked: Sequence[Launcher],
    root: Root,
    become: Become,
    skip: int,
    itself: Itself,
    warn: Callable[[Failure], None],
) -> tuple[Failure, ...]:
    """Try the launchers in turn; returns only if none is left, or if a failure was one that all of them would share.

    Args:
        ranked: best first.
        root: where their paths are to be found.
        become: execs; returns only where that failed.
        skip: how many leading arguments are metalauncher's own.
        itself: what must not be exec'd.
        warn: called for each that could not be exec'd, when another is tried; the last one's is the refusal's to say.

    Returns:
        What was tried, in order.
    """
    failures: list[Failure] = []
    paths = [root.locate(launcher.path.encode()) for launcher in ranked]
    # Exec'd as one of them, by another build of metalauncher: only those after it are left to try, or the two would
    # send each other round for ever.
    first = max([rank for rank, path in enumerate(paths) if itself.was_invoked_as(path)], default=0)
    for launcher, path in list(zip(ranked, paths, strict=True))[first:]:
        if failures:
            warn(failures[-1])
        errno = 0 if itself.is_at(path) else become(path, skip)
        failures.append(_failure(launcher, path, errno))
        if errno in _FINAL_ERRNOS:
            break
    return tuple(failures)


def _failure(launcher: Launcher, path: bytes, errno: int) -> Failure:
    from metalauncher.errnos import errno_text  # words are loaded when there is something to say

    return Failure(launcher, path, errno_text(errno) if errno else ITSELF, errno or None)
