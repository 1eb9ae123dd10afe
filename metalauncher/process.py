"""Undo what CPython changed while it started, for the Python form alone. Must not know launchers, or why one is exec'd.

The static executable brings its own `become` (image/static), which hands the kernel the arrays it was given itself.
"""

from __future__ import annotations

import _signal  # noqa: PLC2701  # what `signal` is made of: its own import costs more than a dispatch
import posix

from metalauncher.files import close_read

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ctypes
    from typing import Final

OWN_VARIABLES = b"METALAUNCHER_"
_EINVAL = 22


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
