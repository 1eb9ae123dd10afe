"""The path that was exec'd decides: dispatch, or metalauncher's own command line. Imports exactly one of them.

It must not know what either does.

Not argv[0]: anyone may set that. An app's process may itself be called `metalauncher`.
"""

from __future__ import annotations

from metalauncher.places import PROCESSES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from metalauncher.execute import Become

# As installed, and as built: what `make` writes and vendors download has to answer under the name it comes with.
OWN_NAMES = (b"metalauncher", b"metalauncher.pyz")
OWN_PREFIX = b"metalauncher-linux-"


def start(argv: list[bytes], environ: list[bytes], execfn: bytes, become: Become) -> int:
    """Go the way that the path given to exec says; returns only where no launcher was exec'd.

    Args:
        argv: as exec'd.
        environ: as exec'd, entry by entry.
        execfn: the path given to exec: `AT_EXECFN`, or for the Python form, itself a script, the script's path.
        become: execs a path with the original arguments less the first so many.

    Returns:
        The exit code.
    """
    try:
        if _is_own_name(execfn):
            from metalauncher.explain.cli import run

            return run(argv[1:], environ, execfn, become)
        from metalauncher.launch import launch

        if _is_shim(argv, execfn):
            return launch(environ, become, 2, argv[0], argv[2])
        return launch(environ, become, 0, execfn)
    except Exception as error:  # a bug, or no memory left: one line, never a traceback in an app's log
        # Without the frames it came through: they hold the memory that is needed now.
        error.__context__ = None
        failure = error.with_traceback(None)
    from metalauncher.explain.report import report_bug

    return report_bug(failure)


def _basename(path: bytes) -> bytes:
    return path.rpartition(b"/")[2]


def _is_own_basename(path: bytes) -> bool:
    name = _basename(path)
    return name in OWN_NAMES or name.startswith(OWN_PREFIX)


def _is_shim(argv: list[bytes], execfn: bytes) -> bool:
    """Tell whether the kernel started this process as the interpreter of a shim, `#!METALAUNCHER --launch`.

    The kernel hands a script's interpreter the script's path, as its argument after the option. That is the very path
    that was exec'd, except where the shim is itself the interpreter of a script: then the path that was exec'd is that
    script's (Linux, fs/exec.c, fs/binfmt_script.c: `bprm->filename` stays, `bprm->interp` changes).
    """
    if len(argv) < 3 or argv[1] != b"--launch" or not _is_own_basename(argv[0]):
        return False
    if argv[2] == execfn:
        return True
    from metalauncher.execute import SCRIPTS_LIMIT, interpreter_of
    from metalauncher.files import read_head

    script = execfn
    for _ in range(SCRIPTS_LIMIT):
        script = interpreter_of(read_head(script))
        if not script or script == argv[2]:
            break
    # And that is a shim: an app's own argument may name any interpreter.
    return bool(script) and interpreter_of(read_head(script)) == argv[0]


def _is_own_name(execfn: bytes) -> bool:
    if not _is_own_basename(execfn):
        return False
    # Spelled in whatever way: "/cnb//process/./metalauncher".
    parts = [part for part in execfn.rpartition(b"/")[0].split(b"/") if part not in (b"", b".")]
    return not execfn.startswith(b"/") or b"/" + b"/".join(parts) != PROCESSES


def main() -> None:
    """Start as a script of the Python form, the zipapp; does not return."""
    import posix
    import sys

    from metalauncher.process import PythonProcess

    process = PythonProcess(sys.orig_argv, len(sys.orig_argv) - len(sys.argv))
    try:
        status = start(process.argv, process.environ, process.argv[0], process.become)
    except KeyboardInterrupt:
        status = process.interrupt()
    posix._exit(status)


def console() -> None:
    """Start as the command that pip installs, or `python -m metalauncher`: the command line, whatever the name."""
    import posix
    import sys

    from metalauncher.explain.cli import run
    from metalauncher.process import PythonProcess

    process = PythonProcess(sys.orig_argv, len(sys.orig_argv) - len(sys.argv[1:]))
    try:
        status = run(process.argv, process.environ, sys.argv[0].encode("utf-8", "surrogateescape"), None)
    except KeyboardInterrupt:
        status = process.interrupt()
    posix._exit(status)


if __name__ == "__main__":
    console()
