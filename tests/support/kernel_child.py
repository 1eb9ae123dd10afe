"""Asks the kernel, in a root of its own and as another user. Started by `kernel.py`, as a program.

In: a line of JSON for each question, `[root, cwd, uid, gid, groups, capable, [[operation, path], ...]]`. Out: a line
with the answers, `[errno, inode]` each; the inode where the operation has one. A process of its own answers each
question, and another one each exec, since there is no way back from either.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import sys

_CAPABILITY_VERSION = 0x20080522  # linux/capability.h, of two words for each set
_DAC_OVERRIDE, _DAC_READ_SEARCH = 1 << 1, 1 << 2


def become(uid: int, gid: int, groups: list[int], *, capable: bool) -> None:
    """Become a user; root keeps CAP_DAC_OVERRIDE where it is to be capable, and never CAP_DAC_READ_SEARCH."""
    os.setgroups(groups)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    if uid:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    sets = (ctypes.c_uint32 * 6)()
    if libc.capget(header, sets):
        raise OSError(ctypes.get_errno(), "capget")
    dropped = _DAC_READ_SEARCH if capable else _DAC_READ_SEARCH | _DAC_OVERRIDE
    for at in range(3):
        sets[at] &= ~dropped
    if libc.capset(header, sets):
        raise OSError(ctypes.get_errno(), "capset")


def ask(operation: str, path: str) -> list[int]:
    """Return the errno of one operation, and the inode that it came to.

    Where the kernel begins a walk anew, because something changed beside it, it goes on counting links: what it calls a
    loop is one if it says so again and again.
    """
    for _ in range(10):
        told = once(operation, path)
        if told[0] != errno.ELOOP:
            break
    return told


def once(operation: str, path: str) -> list[int]:
    """Ask once."""
    try:
        if operation == "find":
            return [0, os.stat(path).st_ino]
        if operation == "read":
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            found = os.fstat(descriptor).st_ino
            os.close(descriptor)
            return [0, found]
        return [execute(path), 0]
    except OSError as error:
        return [error.errno or -1, 0]


def execute(path: str) -> int:
    """Exec a path in another process; return the errno, 0 where it was started."""
    reading, writing = os.pipe()  # closed by an exec
    child = os.fork()
    if not child:
        try:
            os.execve(path, [path], {})  # noqa: S606  # what it is for
        except OSError as error:
            os.write(writing, bytes([error.errno or 255]))
        os._exit(1)
    os.close(writing)
    said = os.read(reading, 1)
    os.close(reading)
    os.waitpid(child, 0)
    return said[0] if said else 0


def answer(root: str, cwd: str, user: tuple[int, int, list[int], bool], asked: list[list[str]]) -> bytes:
    """Return the answers to one question."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.chdir(os.path.join(root, cwd))
            os.chroot(root)
            uid, gid, groups, capable = user
            become(uid, gid, groups, capable=capable)
            said = json.dumps([ask(operation, path) for operation, path in asked]).encode()
            while said:
                said = said[os.write(writing, said) :]
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        said = file.read()
    os.waitpid(child, 0)
    return said


def main() -> None:
    """Answer until nothing more is asked."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None)
    for line in sys.stdin:
        root, cwd, uid, gid, groups, capable, asked = json.loads(line)
        sys.stdout.buffer.write(answer(root, cwd, (uid, gid, groups, capable), asked) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
