"""Read one TOML file that may be hostile, huge, half-written or no file at all: a document or one clear error."""

from __future__ import annotations

import posix
import sys

import tomli

from metalauncher.places import close_read
from metalauncher.refusals import errno_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

# Both after tomli's import: it takes the limit of recursion that it finds for the parts of a key as well. Its own limit
# is 400 levels of nesting, and where it is Python source each takes three frames.
sys.setrecursionlimit(max(sys.getrecursionlimit(), 3000))
# CPython's default, said because an interpreter that is resumed from a snapshot has lost it: digits of an integer are
# read in quadratic time.
_DIGITS_LIMIT = 4300
sys.set_int_max_str_digits(_DIGITS_LIMIT)

BOM = b"\xef\xbb\xbf"
# What a file may hold that one parser reads and another refuses; a descriptor's `cannot-read` is of these. The order is
# that in which people are told.
CONTROL_CHARACTERS = "control-characters"
INVALID_UTF_8 = "invalid-utf-8"
REPLACEMENT_CHARACTERS = "replacement-characters"
BYTE_ORDER_MARK = "byte-order-mark"
ODDITIES = (CONTROL_CHARACTERS, INVALID_UTF_8, REPLACEMENT_CHARACTERS, BYTE_ORDER_MARK)
# O_NONBLOCK: a FIFO without a writer must not hold up the start of a container.
_FLAGS = posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK | posix.O_NOCTTY

_KINDS = {
    0o040000: "a directory",
    0o010000: "a FIFO",
    0o020000: "a character device",
    0o060000: "a block device",
    0o140000: "a socket",
}


class Unreadable(Exception):
    """The file gives no document."""

    def __init__(self, detail: str, *, line: int | None = None, missing: bool = False) -> None:
        """Hold what is wrong, the line (from 1) where the parser gave one, and whether there is no such file."""
        super().__init__(detail)
        self.detail: Final = detail
        self.line: Final = line
        self.missing: Final = missing


def read_toml(path: bytes, limit: int) -> dict[str, Any]:
    """Read and parse the regular file at `path`, of at most `limit` bytes; a UTF-8 BOM and CRLF are accepted.

    Raises:
        Unreadable: it is missing, not a regular file, larger than `limit`, not UTF-8, not TOML.
    """
    return parse_toml(read_file(path, limit))


def parse_toml(data: bytes) -> dict[str, Any]:
    """Parse a file's content; a UTF-8 BOM and CRLF are accepted.

    Raises:
        Unreadable: it is not UTF-8, or not TOML.
    """
    try:
        return tomli.loads(data.removeprefix(BOM).decode())
    except tomli.TOMLDecodeError as error:
        raise Unreadable(f"toml: {error}", line=error.lineno) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise Unreadable(f"toml: invalid UTF-8 (at line {line})", line=line) from None
    except RecursionError as error:  # tomli's own: nested too deeply
        raise Unreadable(f"toml: {error}") from None
    except ValueError:
        raise Unreadable(f"toml: an integer has more than {_DIGITS_LIMIT} digits") from None


def read_file(path: bytes, limit: int) -> bytes:
    """Read the regular file at `path`, of at most `limit` bytes.

    Raises:
        Unreadable: it is missing, not a regular file, larger than `limit`.
    """
    try:
        descriptor = posix.open(path, _FLAGS)
    except OSError as error:
        # 2 ENOENT, 20 ENOTDIR
        raise Unreadable(errno_text(error.errno), missing=error.errno in (2, 20)) from None
    try:
        status = posix.fstat(descriptor)
        kind = status.st_mode & 0o170000
        if kind != 0o100000:
            raise Unreadable(f"is {_KINDS.get(kind, 'no file')}, not a regular file")
        # One byte more than there should be, so that one call shows the end of an ordinary file.
        data = posix.read(descriptor, status.st_size + 1) if status.st_size <= limit else None
        if data is not None and len(data) != status.st_size:
            data = _read_on(descriptor, data, limit)
    except OSError as error:
        raise Unreadable(errno_text(error.errno)) from None
    finally:
        close_read(descriptor)
    if data is None:
        raise Unreadable(f"is larger than {size_text(limit)}")
    return data


def _read_on(descriptor: int, data: bytes, limit: int) -> bytes | None:
    """Read to its end a file whose size was not what `fstat` said: one that grows, or one of procfs.

    Returns None where it is larger than `limit`.
    """
    parts = [data]
    length = len(data)
    while data and length <= limit:
        data = posix.read(descriptor, 1 << 16)
        parts.append(data)
        length += len(data)
    return b"".join(parts) if length <= limit else None


def size_text(size: int) -> str:
    """Write a limit in bytes as people do: `64 KiB`, `64 MiB`."""
    return f"{size >> 20} MiB" if size >= 1 << 20 else f"{size >> 10} KiB"


def kind_of(value: Any) -> str:
    """Name the type of a TOML value as its specification does, with an article: "a float"."""
    if isinstance(value, bool):
        return "a boolean"
    for types, name in _TYPES:
        if isinstance(value, types):
            return name
    return "a date or time"


_TYPES = ((str, "a string"), (int, "an integer"), (float, "a float"), (list, "an array"), (dict, "a table"))
