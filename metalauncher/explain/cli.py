"""metalauncher's own command line, reached only under its own name. Parses, and calls."""

from __future__ import annotations

import posix

from metalauncher import __version__
from metalauncher.environment import read_environment
from metalauncher.explain.options import FORMATS, TOOLS, WHICH, help_text
from metalauncher.explain.terminal import RED, Unwritten, print_text, report_unwritten, write_message
from metalauncher.refusals import USAGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from metalauncher.execute import Become
    from metalauncher.explain.which import Question

_OPTIONS = {name.encode(): bool(value) for name, (value, _) in WHICH.items()}  # whether each takes a value


class UsageError(Exception):
    """The command line is wrong."""


def run(arguments: list[bytes], environ: list[bytes], execfn: bytes, become: Become | None) -> int:
    """Run the command that `arguments` name and return its exit code.

    Args:
        arguments: without metalauncher's own name.
        environ: the environment, entry by entry.
        execfn: the path of metalauncher itself.
        become: execs a path; None where this form does not dispatch.
    """
    environment = read_environment(environ)
    try:
        return _run(arguments, environ, environment, execfn, become)
    except UsageError as error:
        lines = [f"ERROR: {error}", "  do:      metalauncher --help"]
        write_message("ERROR: ", RED, lines, environment)
        return USAGE
    except Unwritten as failure:
        return report_unwritten(failure, environment)


def _run(
    arguments: list[bytes],
    environ: list[bytes],
    environment: Mapping[bytes, bytes],
    execfn: bytes,
    become: Become | None,
) -> int:
    command = arguments[0] if arguments else b""
    match command:
        case b"--which":
            from metalauncher.explain.which import which

            return which(_question(arguments[1:]), environment, execfn)
        case b"--launch":
            if len(arguments) < 2:
                raise UsageError("--launch needs ARGV0, the path as it was invoked")
            if become is None:
                raise UsageError("the pip package does not dispatch: use the static executable or the zipapp")
            from metalauncher.launch import launch

            return launch(environ, become, 2, execfn, arguments[1])
        case b"--version" | b"--help" | b"-h":
            if len(arguments) > 1:
                raise UsageError(f"{_text(command)} takes no argument")
            print_text(f"metalauncher {__version__}\n" if command == b"--version" else help_text())
            return 0
        case b"":
            raise UsageError("no command: use --which, --launch, --version or --help")
        case _:
            return _tool(arguments, environment)


def _tool(arguments: list[bytes], environment: Mapping[bytes, bytes]) -> int:
    """Run a command of the package; the forms that dispatch hold no other modules than those beside this one."""
    command = _text(arguments[0])
    if command not in TOOLS:
        guess = _guess(command)
        raise UsageError(f"there is no command {command!r}" + (f": {guess}" if guess else ""))
    try:
        from metalauncher.tooling.cli.main import main
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("metalauncher.tooling"):
            raise
        text = f"{command!r} needs the Python package: pip install metalauncher"
        raise UsageError(text) from None
    return main(arguments, environment)


def _guess(command: str) -> str:
    """Return what may have been meant, as a question; "" where nothing is like it, and in the forms that dispatch."""
    try:
        from metalauncher.tooling.suggest import did_you_mean
    except ModuleNotFoundError:
        return ""
    return did_you_mean(command, (*TOOLS, "--which", "--launch", "--version", "--help"))


def _question(arguments: list[bytes]) -> Question:
    from metalauncher.explain.which import Question

    question = Question()
    formats: dict[bytes, bytes] = {}  # by the option that chose it
    rest = iter(arguments)
    for argument in rest:
        option, equals, value = argument.partition(b"=")
        if option == b"--output":
            raise UsageError("--which has no --output: use metalauncher --which > FILE")
        takes_value = _OPTIONS.get(option)
        if takes_value is None or (equals and not takes_value):
            raise UsageError(f"--which has no option {_text(argument)!r}")
        if takes_value and not equals:
            value = _next(rest, option)
        if option in (b"--format", b"--json"):
            formats[option] = value if takes_value else b"json"
        else:
            _set(question, option, value)
    question.as_json = _is_json(formats)
    if question.root is not None and not _is_directory(question.root):
        raise UsageError(f"--root: {_text(question.root)!r} is not a directory")
    if question.root is not None and (within := _root_within(question.root)):
        raise UsageError(f"--root: {_text(question.root)!r} is not a root filesystem, but contains one: {within!r}")
    if question.metadata is not None and not _is_there(question.metadata):
        raise UsageError(f"--metadata: {_text(question.metadata)!r} is not there")
    return question


def _is_json(formats: Mapping[bytes, bytes]) -> bool:
    for chosen in formats.values():
        if _text(chosen) not in FORMATS:
            raise UsageError(f"--which has no format {_text(chosen)!r}: choose from {', '.join(FORMATS)}")
    if len(set(formats.values())) > 1:
        raise UsageError("--json: not allowed with --format text")
    return b"json" in formats.values()


def _root_within(directory: bytes) -> str:
    """Return the root filesystem that a directory holds and is not; "" where there is none, or it can't be told."""
    try:
        from metalauncher.tooling.roots import root_within
    except ModuleNotFoundError:  # the forms that dispatch
        return ""
    return _text(root_within(directory) or b"")


def _is_there(path: bytes) -> bool:
    try:
        posix.lstat(path)
    except FileNotFoundError:
        return False
    except (OSError, ValueError):  # reading it will tell
        return True
    return True


def _is_directory(path: bytes) -> bool:
    try:
        return posix.stat(path).st_mode & 0o170000 == 0o040000
    except (OSError, ValueError):
        return False


def _next(rest: Iterator[bytes], option: bytes) -> bytes:
    for value in rest:
        return value
    raise UsageError(f"{_text(option)} needs a value")


def _set(question: Question, option: bytes, value: bytes) -> None:
    if option == b"--quiet":
        question.quiet = True
    elif option == b"--platform-api":
        question.platform_api = value
    elif option == b"--buildpack-api":
        identifier, equals, api = value.rpartition(b"=")
        if not equals:
            raise UsageError(f"--buildpack-api needs ID=V, such as acme/node=0.10; not {_text(value)!r}")
        question.buildpack_apis.append((_text(identifier), _text(api)))
    elif not value:
        raise UsageError(f"{_text(option)} needs a path")
    elif option == b"--metadata":
        question.metadata = value
    else:
        question.root = value


def _text(argument: bytes) -> str:
    return argument.decode("utf-8", "surrogateescape")
