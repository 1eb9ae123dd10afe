"""Parse TOML that may be hostile: a document, or one clear error. Must not know what a document means."""

from __future__ import annotations

import sys

import tomli

from metalauncher.files import Unreadable, read_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

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


def read_toml(path: bytes, limit: int) -> dict[str, Any]:
    """Read and parse the regular file at `path`, of at most `limit` bytes; a UTF-8 BOM and CRLF are accepted.

    Raises:
        Unreadable: it is missing, not a regular file, larger than `limit`, not UTF-8, not TOML.
    """
    return parse_toml(read_file(path, limit))


def parse_toml(data: bytes) -> dict[str, Any]:
    """Parse a file's content; a UTF-8 BOM and CRLF are accepted.

    Raises:
        Unreadable: it is not UTF-8, or not TOML; its cause has the place, as numbers.
    """
    try:
        return tomli.loads(data.removeprefix(BOM).decode())
    except tomli.TOMLDecodeError as error:
        raise Unreadable(f"toml: {error}", line=error.lineno) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise Unreadable(f"toml: invalid UTF-8 (at line {line})", line=line) from error
    except RecursionError as error:  # tomli's own: nested too deeply
        raise Unreadable(f"toml: {error}") from None
    except ValueError:
        raise Unreadable(f"toml: an integer has more than {_DIGITS_LIMIT} digits") from None


def kind_of(value: Any) -> str:
    """Name the type of a TOML value as its specification does, with an article: "a float"."""
    if isinstance(value, bool):
        return "a boolean"
    for types, name in _TYPES:
        if isinstance(value, types):
            return name
    return "a date or time"


_TYPES = ((str, "a string"), (int, "an integer"), (float, "a float"), (list, "an array"), (dict, "a table"))
