"""The script that brings about the state a case wants, and then becomes the launcher.

A process of its own: what it sets, a program of threads must not set in itself. It restores what CPython changed
before it execs (SIGPIPE, SIGXFSZ), and passes on arguments and environment as bytes, in order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from metalauncher.tooling.launchers.compare.case import State

OBSTACLE = "out/obstacle"  # why the launcher was not exec'd, below the place
OUTPUT_LIMIT = 8 << 20  # bytes of each file that is written: nobody's disk is to be filled

_BODY = r"""
import posix, resource, _signal

def fail(what, error):
    posix.umask(0o022)
    with open(OBSTACLE, "w") as file:
        file.write(what + "\n" + (error.strerror or str(error) if isinstance(error, OSError) else str(error)))
    posix._exit(125)

def open_at(number, descriptor):
    if descriptor != number:
        posix.dup2(descriptor, number)
        posix.close(descriptor)
    posix.set_inheritable(number, True)

class Environment:
    # All that posix.execve asks a mapping for (CPython, Modules/posixmodule.c, parse_envlist):
    # order and duplicates stay.
    def __init__(self, entries):
        splits = [(entry, entry.find(b"=", 1)) for entry in entries]
        self.names = [entry[:at] for entry, at in splits]
        self.texts = [entry[at + 1:] for entry, at in splits]
    def __len__(self):
        return len(self.names)
    def __getitem__(self, name):
        raise KeyError(name)
    def keys(self):
        return self.names
    def values(self):
        return self.texts

def execve(path, argv, environ):
    if argv and argv[0] and all(b"=" in entry[1:] for entry in environ):
        posix.execve(path, argv, Environment(environ))
    try:
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)
    except (ImportError, OSError) as error:
        fail("state: a Python with ctypes, for arguments and variables of this kind", error)
    arrays = [(ctypes.c_char_p * (len(items) + 1))(*items, None) for items in (argv, environ)]
    libc.execve(path, *arrays)
    raise OSError(ctypes.get_errno(), posix.strerror(ctypes.get_errno()))

try:
    posix.umask(STATE["umask"])
    if STATE["priority"]:
        posix.nice(STATE["priority"])
    for name, soft, hard in STATE["limits"]:
        resource.setrlimit(getattr(resource, name), (soft, hard))
    for number, kind in STATE["descriptors"]:
        if kind == "read":
            open_at(number, posix.open(PLACE + b"/app/report", posix.O_RDONLY))
        elif kind == "append":
            open_at(number, posix.open(PLACE + b"/out/more", posix.O_WRONLY | posix.O_CREAT | posix.O_APPEND, 0o644))
        else:
            reading, writing = posix.pipe()
            posix.write(writing, b"in a pipe\n")
            posix.close(writing)
            open_at(number, reading)
    for number, kind in enumerate((STATE["stdin"], STATE["stdout"], STATE["stderr"])):
        if kind == "pipe":
            reading, writing = posix.pipe()
            posix.write(writing, b"a line of input\n")
            posix.close(writing)
            open_at(number, reading)
        elif kind == "nobody":
            reading, writing = posix.pipe()
            posix.close(reading)
            open_at(number, writing)
        elif kind == "full":
            open_at(number, posix.open(b"/dev/full", posix.O_WRONLY))
    for number, kind in enumerate((STATE["stdin"], STATE["stdout"], STATE["stderr"])):
        if kind == "closed":
            posix.close(number)
    posix.chdir(PLACE + b"/" + STATE["directory"].encode())
    for number in range(1, _signal.NSIG):
        try:
            _signal.signal(number, _signal.SIG_IGN if number in STATE["ignored"] else _signal.SIG_DFL)
        except (OSError, ValueError):
            pass  # KILL, STOP, and those that libc keeps to itself
    _signal.pthread_sigmask(_signal.SIG_SETMASK, STATE["blocked"])
except (OSError, ValueError) as error:
    fail("state: what the case starts from", error)
try:
    execve(PATH, ARGV, ENVIRON)
except (OSError, ValueError) as error:
    fail("exec", error)
"""


class Start(NamedTuple):
    """What is to be exec'd, and in which state.

    Attributes:
        place: the directory that stands for the root.
        path: of the launcher.
        argv: its arguments.
        environ: its environment.
        state: what else it is to find.
    """

    place: str
    path: bytes
    argv: tuple[bytes, ...]
    environ: tuple[bytes, ...]
    state: State


def script(start: Start) -> bytes:
    """Return the script, its task written into it."""
    state = start.state._asdict()
    limits = dict.fromkeys(["RLIMIT_CORE"], 0) | {"RLIMIT_FSIZE": OUTPUT_LIMIT}
    named = {name for name, _, _ in start.state.limits}
    state["limits"] = [
        *[(name, limit, limit) for name, limit in limits.items() if name not in named],
        *start.state.limits,
    ]
    head = [
        ("PLACE", start.place.encode()),
        ("OBSTACLE", f"{start.place}/{OBSTACLE}"),
        ("STATE", state),
        ("PATH", start.path),
        ("ARGV", list(start.argv)),
        ("ENVIRON", list(start.environ)),
    ]
    return ("".join([f"{name} = {value!r}\n" for name, value in head]) + _BODY).encode()
