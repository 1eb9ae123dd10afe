"""Which of some files are exec'd, in order, as the kernel tells it (fanotify(7)), in whatever container."""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

# <linux/fanotify.h>
_CLOEXEC, _NONBLOCK, _MARK_ADD, _OPEN_EXEC = 0x1, 0x2, 0x1, 0x1000
_CWD = -100  # AT_FDCWD
_EVENT = struct.Struct("=IBBHQii")  # struct fanotify_event_metadata
_LIBC = ctypes.CDLL(None, use_errno=True)


class Execs:
    """What was exec'd of the files that are watched; a script is, and then its interpreter."""

    def __init__(self, group: int, names: Mapping[tuple[int, int], Path]) -> None:
        self._group = group
        self._names = names

    def read(self) -> list[Path]:
        """Return the files that were exec'd since it was last asked, in order. To read a file is not to exec it."""
        found = []
        while data := self._next():
            while data:
                length, _, _, _, _, descriptor, _ = _EVENT.unpack_from(data)
                found.append(self._names[_identity(os.fstat(descriptor))])  # the name it has may be a container's
                os.close(descriptor)
                data = data[length:]
        return found

    def _next(self) -> bytes:
        try:
            return os.read(self._group, 1 << 16)
        except BlockingIOError:
            return b""


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


@contextlib.contextmanager
def watch(files: Iterable[Path]) -> Iterator[Execs]:
    """Watch files for being exec'd.

    Args:
        files: to watch, followed where they are links.

    Raises:
        OSError: this user may not (it takes CAP_SYS_ADMIN), or a file is not there.
    """
    names = {_identity(file.stat()): file for file in files}
    group = _LIBC.fanotify_init(_CLOEXEC | _NONBLOCK, os.O_RDONLY | os.O_CLOEXEC)
    if group < 0:
        raise OSError(ctypes.get_errno(), "fanotify_init: it takes root, and a kernel with fanotify")
    try:
        for file in names.values():
            if _LIBC.fanotify_mark(group, _MARK_ADD, ctypes.c_uint64(_OPEN_EXEC), _CWD, os.fsencode(file)):
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number), str(file))
        yield Execs(group, names)
    finally:
        os.close(group)
