"""Say it: warnings and refusals on stderr, and a refusal where Kubernetes looks for a container's last words.

Loaded only when something is said.
"""

from __future__ import annotations

import posix

from metalauncher.explain.refusal_text import refusal_lines
from metalauncher.explain.terminal import RED, STDERR, YELLOW, printable, write_bytes, write_lines, write_message
from metalauncher.refusals import INTERNAL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from metalauncher.decision import Decision
    from metalauncher.refusals import Refusal

_TERMINATION_LOG = b"/dev/termination-log"  # Kubernetes' terminationMessagePath, by default
_TERMINATION_LIMIT = 4096  # bytes that Kubernetes reads of it
_SEEK_CUR = 1
# No O_CREAT: where nobody mounted it, nobody reads it.
_FLAGS = posix.O_WRONLY | posix.O_NOFOLLOW | posix.O_NONBLOCK | posix.O_CLOEXEC


def warn(text: str, environment: Mapping[bytes, bytes]) -> None:
    """Write one warning line on stderr."""
    if environment.get(b"METALAUNCHER_LOG") == b"json":
        from metalauncher.explain.events import log_warning

        log_warning(text)
        return
    write_message("Warning: ", YELLOW, [f"Warning: {text}"], environment)


def refuse(refusal: Refusal, decision: Decision) -> None:
    """Write a refusal on stderr, and as the container's termination message."""
    lines = refusal_lines(refusal, decision)
    if decision.environment.get(b"METALAUNCHER_LOG") == b"json":
        from metalauncher.explain.events import log_refusal

        log_refusal(refusal, lines)
    else:
        write_message("ERROR: ", RED, lines, decision.environment)
    leave_message(lines, decision.environment)


def leave_message(lines: list[str], environment: Mapping[bytes, bytes]) -> None:
    """Write `lines` to the termination log, cut at a line's end; that there is none is no error.

    `METALAUNCHER_TERMINATION_LOG` names another file, or none where it is empty. In a set-id process the variable is
    somebody else's, and not read.
    """
    path = _TERMINATION_LOG
    if posix.getuid() == posix.geteuid() and posix.getgid() == posix.getegid():
        path = environment.get(b"METALAUNCHER_TERMINATION_LOG", path)
    if not path:
        return
    try:
        descriptor = posix.open(path, _FLAGS)
    except (OSError, ValueError):
        return
    try:
        if posix.fstat(descriptor).st_mode & 0o170000 != 0o100000:
            return
        data = _cut("".join([printable(line) + "\n" for line in lines]).encode("utf-8", "backslashreplace"))
        write_bytes(descriptor, data)
        # As far as it was written: on a full disk there would be NULs, and beyond a limit a deadly signal.
        posix.ftruncate(descriptor, posix.lseek(descriptor, 0, _SEEK_CUR))
    except OSError:
        return
    finally:
        posix.close(descriptor)


def _cut(data: bytes) -> bytes:
    if len(data) <= _TERMINATION_LIMIT:
        return data
    data = data[:_TERMINATION_LIMIT]
    return data[: data.rfind(b"\n") + 1] or data.decode("utf-8", "ignore").encode()


def report_bug(error: Exception) -> int:
    """Write one line about an exception that should not have been; return the exit code for it."""
    write_lines(STDERR, [f"ERROR: metalauncher: internal error: {type(error).__name__}: {error}"])
    return INTERNAL
