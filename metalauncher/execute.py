"""Become a launcher: try the ranked ones in turn, and leave no trace of an interpreter in it. Knows no APIs.

The static executable brings its own `become` (image/static), which hands the kernel the arrays it was given itself.
The Python form has to undo what CPython changed while it started: `PythonProcess`.
"""

from __future__ import annotations

import _signal
import posix

from metalauncher.places import close_read
from metalauncher.refusals import Failure, NothingExecuted, errno_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ctypes
    from collections.abc import Callable, Sequence
    from typing import Final

    from metalauncher.descriptor import Launcher
    from metalauncher.places import Root

    # (path, number of leading arguments to drop) -> errno; does not return where it succeeds.
    Become = Callable[[bytes, int], int]

OWN_VARIABLES = b"METALAUNCHER_"

# E2BIG, ENOMEM, EAGAIN: another launcher would meet the same.
_FINAL_ERRNOS = frozenset((7, 12, 11))

# A file as small as this may be a shim that leads back here; launchers are megabytes.
_SHIM_LIMIT = 4096
_PIECE = 1 << 16  # bytes of two files that are compared at a time
_SCRIPT_HEAD = 256  # bytes that the kernel looks at for a script's interpreter
_EINVAL = 22
SCRIPTS_LIMIT = 5  # scripts whose interpreter is a script, as the kernel's


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


def read_head(path: bytes, length: int = _SCRIPT_HEAD) -> bytes:
    """Return the first `length` bytes of the file at `path`, b"" where it can't be read."""
    try:
        descriptor = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK)
    except OSError:
        return b""
    try:
        return posix.read(descriptor, length)
    except OSError:
        return b""
    finally:
        close_read(descriptor)


def interpreter_of(head: bytes) -> bytes:
    """Return the interpreter that a script's first bytes name, b"" if they name none (Linux, fs/binfmt_script.c)."""
    line, newline, _ = head[:_SCRIPT_HEAD].replace(b"\t", b" ").partition(b"\n")
    if not line.startswith(b"#!"):
        return b""
    interpreter, end, _ = line[2:].lstrip(b" ").partition(b" ")
    interpreter, zero, _ = interpreter.partition(b"\0")
    # Where the kernel doesn't see its end it takes none of it: half a path is another program.
    return interpreter if newline or end or zero or len(line) < _SCRIPT_HEAD else b""


def _same_bytes(one: bytes, other: bytes) -> bool:
    """Tell whether two files hold the same; piece by piece, for a container may have little memory."""
    descriptors: list[int] = []
    flags = posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK
    try:
        descriptors.append(posix.open(one, flags))
        descriptors.append(posix.open(other, flags))
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
) -> NothingExecuted:
    """Try the launchers in turn; returns only if none is left, or if a failure was one that all of them would share.

    Args:
        ranked: best first.
        root: where their paths are to be found.
        become: execs; returns only where that failed.
        skip: how many leading arguments are metalauncher's own.
        itself: what must not be exec'd.
        warn: called for each that could not be exec'd, when another is tried; the last one's is the refusal's to say.
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
        failures.append(Failure(launcher, path, errno_text(errno) if errno else "is metalauncher itself"))
        if errno in _FINAL_ERRNOS:
            break
    return NothingExecuted(tuple(failures))


class PythonProcess:
    """The process as it was before CPython started in it: its arguments and environment, and how to pass them on.

    What can't be told from inside, a script can't restore: a SIGPIPE or SIGXFSZ that the parent had ignored (CPython
    ignores both in any case, Python/pylifecycle.c), and, where /proc/self/environ can't be read, an `LC_CTYPE` that
    CPython added (PEP 538) and duplicate names.
    """

    __slots__ = ("argv", "environ")

    def __init__(self, orig_argv: list[str], own: int) -> None:
        """Recover both.

        Args:
            orig_argv: `sys.orig_argv`.
            own: how many of its leading elements are the interpreter and its options.
        """
        self.argv: Final = _original_argv(orig_argv)[own:]
        self.environ: Final = _original_environ()

    def become(self, path: bytes, skip: int) -> int:
        """Exec `path` with the original arguments less the first `skip`, and the original environment less our own.

        Returns:
            The errno, where it failed.
        """
        environ = [entry for entry in self.environ if not entry.startswith(OWN_VARIABLES)]
        _set_handlers(_signal.SIG_DFL)
        argv = self.argv[skip:]
        try:
            odd = argv[0] == b"" or any([b"=" not in entry[1:] for entry in environ])
            if odd and (libc := _libc()) is not None:
                return _execve_raw(libc, path, argv, environ)
            posix.execve(path, argv, _Environment(environ))  # type: ignore[arg-type]  # see _Environment
        except OSError as error:
            return error.errno or _EINVAL
        finally:
            # Still here: the warning that follows may meet a closed pipe, and the next launcher is to be tried.
            _set_handlers(_signal.SIG_IGN)

    @staticmethod
    def interrupt() -> int:
        """End as SIGINT ends a process that has no handler for it; CPython turned it into KeyboardInterrupt."""
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
        posix.kill(posix.getpid(), _signal.SIGINT)
        return 128 + _signal.SIGINT  # PID 1 survives it


def _set_handlers(handler: int) -> None:
    for number in (_signal.SIGPIPE, _signal.SIGXFSZ):
        _signal.signal(number, handler)


class _Environment:
    """What `posix.execve` takes for a mapping, only with order and duplicates kept.

    It calls `len`, `keys` and `values` and nothing else (CPython, Modules/posixmodule.c, parse_envlist).
    """

    def __init__(self, environ: list[bytes]) -> None:
        # From the second byte on: "=x=1" is a name that begins with "=". What has none at all can't be passed this way.
        splits = [(entry, entry.find(b"=", 1)) for entry in environ]
        self._keys = [entry[:split] for entry, split in splits if split > 0]
        self._values = [entry[split + 1 :] for entry, split in splits if split > 0]

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, key: bytes) -> bytes:
        raise KeyError(key)

    def keys(self) -> list[bytes]:
        return self._keys

    def values(self) -> list[bytes]:
        return self._values


def _libc() -> ctypes.CDLL | None:
    """Return libc, for what `posix.execve` refuses: entries that are no NAME=VALUE, an empty argv[0].

    None in a Python without ctypes.
    """
    try:
        import ctypes
    except ImportError:
        return None
    return ctypes.CDLL(None, use_errno=True)


def _execve_raw(libc: ctypes.CDLL, path: bytes, argv: list[bytes], environ: list[bytes]) -> int:
    import ctypes

    vectors = [(ctypes.c_char_p * (len(items) + 1))(*items, None) for items in (argv, environ)]
    libc.execve(path, *vectors)
    return ctypes.get_errno()


def _original_argv(orig_argv: list[str]) -> list[bytes]:
    if all([argument.isascii() for argument in orig_argv]):
        return [argument.encode() for argument in orig_argv]
    # Some locales do not give back the bytes they decoded.
    raw = _read_proc(b"/proc/self/cmdline")
    argv = raw.split(b"\0")[:-1] if raw else []
    if len(argv) == len(orig_argv) and all(
        [was.encode() == given for was, given in zip(orig_argv, argv, strict=True) if was.isascii()]
    ):
        return argv
    import os

    return [os.fsencode(argument) for argument in orig_argv]


def _original_environ() -> list[bytes]:
    # What the kernel put on the stack: setenv() leaves it alone.
    raw = _read_proc(b"/proc/self/environ")
    known = [name + b"=" + value for name, value in posix.environ.items()]
    if raw is not None:
        entries = raw.split(b"\0")[:-1]
        # CPython sets LC_CTYPE alone (PEP 538).
        if {entry for entry in known if not entry.startswith(b"LC_CTYPE=")} <= {*entries}:
            return entries
    return known


def _read_proc(path: bytes) -> bytes | None:
    try:
        descriptor = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return None
    parts: list[bytes] = []
    try:
        if posix.fstat(descriptor).st_size:  # no file of procfs has one: this is the image's, where nothing is mounted
            return None
        while part := posix.read(descriptor, 1 << 20):
            parts.append(part)
    except OSError:
        return None
    finally:
        close_read(descriptor)
    return b"".join(parts)
