"""What the bytes of an app's launcher say, read as its layer streams by."""

from __future__ import annotations

import hashlib
import tempfile
from typing import TYPE_CHECKING, Final, NamedTuple

from metalauncher.tooling.apps.go_build_info import read_build_info

if TYPE_CHECKING:
    from collections.abc import Callable

    from metalauncher.tooling.apps.go_build_info import GoBuildInfo

LAUNCHER: Final = "cnb/lifecycle/launcher"
LAUNCHER_LIMIT: Final = 64 << 20  # bytes of a launcher; lifecycle's have 2 to 5 million
_PIECE: Final = 1 << 18


class LauncherFile(NamedTuple):
    """What a program's bytes say.

    Attributes:
        digest: `sha256:` and lower-case hex; None where it was not read.
        info: what Go recorded in it; None of other programs.
        note: why it was not read, "" where it was.
    """

    digest: str | None
    info: GoBuildInfo | None
    note: str = ""


def read_launcher_file(read: Callable[[int], bytes], head: bytes, size: int) -> LauncherFile:
    """Read a program to its end.

    Args:
        read: returns so many of its next bytes, b"" at its end.
        head: what was read of it already.
        size: of all of it, in bytes.
    """
    if size > LAUNCHER_LIMIT:
        note = f"it has {size >> 20} MiB and was not read: at most {LAUNCHER_LIMIT >> 20} are"
        return LauncherFile(None, None, note)
    with tempfile.TemporaryFile() as file:
        digest = hashlib.sha256()
        data, left = head, size
        while data:
            digest.update(data)
            file.write(data)
            left -= len(data)
            data = read(min(_PIECE, left)) if left > 0 else b""
        return LauncherFile(f"sha256:{digest.hexdigest()}", read_build_info(file))
