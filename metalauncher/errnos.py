"""Errnos and kinds of files in words, the same whatever the C library. Loaded only when one is said."""

from __future__ import annotations

# In Go's wording, which is what the launchers themselves print; the C libraries differ among each other (musl says
# "Symbolic link loop"), and both forms of metalauncher have to say the same.
_ERRNO_TEXTS = {
    1: "operation not permitted",
    2: "no such file or directory",
    5: "input/output error",
    6: "no such device or address",
    7: "argument list too long",
    8: "exec format error",
    9: "bad file descriptor",
    11: "resource temporarily unavailable",
    12: "cannot allocate memory",
    13: "permission denied",
    20: "not a directory",
    21: "is a directory",
    23: "too many open files in system",
    24: "too many open files",
    26: "text file busy",
    27: "file too large",
    28: "no space left on device",
    30: "read-only file system",
    32: "broken pipe",
    36: "file name too long",
    40: "too many levels of symbolic links",
    122: "disk quota exceeded",
}

_KINDS = {
    0o040000: "a directory",
    0o010000: "a FIFO",
    0o020000: "a character device",
    0o060000: "a block device",
    0o140000: "a socket",
}


def errno_text(number: int | None) -> str:
    """Return the text for an errno of Linux, the same whatever the C library."""
    return _ERRNO_TEXTS.get(number or 0) or f"errno {number}"


def kind_text(kind: int) -> str:
    """Name a kind of file, `st_mode & S_IFMT`, with an article: "a FIFO"."""
    return _KINDS.get(kind, "no file")
