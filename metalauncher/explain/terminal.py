"""Write text to a descriptor: whole, coloured only where a person looks, with nothing raw in it."""

from __future__ import annotations

import _signal
import posix

from metalauncher.environment import TRUE_VALUES
from metalauncher.errnos import errno_text
from metalauncher.refusals import USAGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Final

STDOUT = 1
STDERR = 2

BROKEN_PIPE = 141  # exit code: as a shell says of who was ended by SIGPIPE
BROKEN_PIPE_ERRNO = 32
_EIO = 5

RED = "\x1b[31;1m"  # as launchers colour
YELLOW = "\x1b[33;1m"
_RESET = "\x1b[0m"

# What a write to a closed pipe, or to a file at its limit, raises besides its error: it must not end a dispatch that
# only warns, nor change the exit code of one that refuses.
_DEADLY = frozenset((_signal.SIGPIPE, _signal.SIGXFSZ))

_LINE_LIMIT = 2000  # characters; a record may hold a megabyte in one string


def printable(text: str) -> str:
    """Return one line that is safe on a terminal: what is not printable is escaped, what is too long is cut."""
    if not text.isprintable():
        # ascii(), for the static executable has no other codecs than UTF-8.
        text = "".join([c if c.isprintable() else ascii(c)[1:-1] for c in text])
    return text if len(text) <= _LINE_LIMIT else text[:_LINE_LIMIT] + "…"


def write_lines(descriptor: int, lines: Iterable[str]) -> None:
    """Write each line, made printable, in one call where the descriptor takes it; a closed descriptor is no error."""
    write_text(descriptor, "".join([printable(line) + "\n" for line in lines]))


def write_text(descriptor: int, text: str) -> None:
    """Write `text` as it is, as UTF-8."""
    write_bytes(descriptor, text.encode("utf-8", "backslashreplace"))


def write_bytes(descriptor: int, data: bytes) -> int:
    """Write `data` whole; that nobody can read it is no error here.

    Returns:
        0, or the errno for which a part of it was not written.
    """
    # Blocked meanwhile, and taken back where it came: the launcher has to find mask and dispositions as they were.
    mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, _DEADLY)
    waiting = _signal.sigpending()
    try:
        while data and (written := posix.write(descriptor, data)):
            data = data[written:]
    except OSError as error:
        # Closed, full, or nobody reads: a dispatch has nobody left to tell.
        if raised := (_signal.sigpending() - waiting) & _DEADLY:
            _signal.sigtimedwait(raised, 0)
        return error.errno or _EIO
    finally:
        # Only what was blocked here: CPython can't pass back a mask that has glibc's own signals 32 and 33 in it.
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, _DEADLY - mask)
    return _EIO if data else 0


class Unwritten(Exception):
    """Standard output took less than all that a command found: what stands there is cut off."""

    def __init__(self, errno: int) -> None:
        """Hold why."""
        super().__init__(errno)
        self.errno: Final = errno


def print_bytes(data: bytes) -> None:
    """Write a command's findings on standard output, whole.

    Raises:
        Unwritten: it can't take them.
    """
    errno = write_bytes(STDOUT, data)
    if errno:
        raise Unwritten(errno)


def print_text(text: str) -> None:
    """Write findings on standard output as they are, as UTF-8.

    Raises:
        Unwritten: it can't take them.
    """
    print_bytes(text.encode("utf-8", "backslashreplace"))


def print_lines(lines: Iterable[str]) -> None:
    """Write findings on standard output, each line made printable.

    Raises:
        Unwritten: it can't take them.
    """
    print_text("".join([printable(line) + "\n" for line in lines]))


def is_coloured(descriptor: int, environment: Mapping[bytes, bytes]) -> bool:
    """Tell whether to colour: on a terminal, unless `NO_COLOR` is set or `CNB_NO_COLOR` is true."""
    if environment.get(b"NO_COLOR") or environment.get(b"CNB_NO_COLOR") in TRUE_VALUES:
        return False
    return posix.isatty(descriptor)


def write_message(label: str, colour: str, lines: list[str], environment: Mapping[bytes, bytes]) -> None:
    """Write a message on stderr, each line made printable, every `label` at a line's beginning coloured."""
    safe = [printable(line) for line in lines]
    if is_coloured(STDERR, environment):
        safe = [colour + label + _RESET + line.removeprefix(label) if line.startswith(label) else line for line in safe]
    write_text(STDERR, "".join([line + "\n" for line in safe]))


def report_unwritten(failure: Unwritten, environment: Mapping[bytes, bytes]) -> int:
    """Say in one line that standard output is cut off; return the exit code for it.

    Who closed a pipe has read enough, and knows: nothing is said.
    """
    if failure.errno == BROKEN_PIPE_ERRNO:
        return BROKEN_PIPE
    write_message("ERROR: ", RED, [f"ERROR: standard output: {errno_text(failure.errno)}"], environment)
    return USAGE
