"""What all commands' parsers have in common: the parser itself, and options that several commands have."""

from __future__ import annotations

import argparse
from typing import IO, TYPE_CHECKING, Any, NoReturn

from metalauncher.explain.options import TOOLS
from metalauncher.explain.terminal import print_text
from metalauncher.tooling.console import Unable
from metalauncher.tooling.oci.platforms import parse_platform
from metalauncher.tooling.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH = 80
EXIT_CODES = "Exit codes: 0 done, 1 findings, 3 could not finish."
_FOREVER = 1e6  # seconds
# All that some command has; what is none of these is no format anywhere.
FORMATS = (
    *("text", "json", "jsonl", "markdown", "html"),
    *("dockerfile", "args"),
    *("cyclonedx", "spdx", "openvex"),
)
_FORMER = {"md": "markdown"}


class Parser(argparse.ArgumentParser):
    """An argument parser that answers as the rest of the program does."""

    def __init__(
        self, prog: str, description: str, examples: Sequence[str] = (), *, summary: str = "", helps: bool = True
    ) -> None:
        """Take the command's name and what it does.

        Args:
            prog: its name.
            description: what it does, one paragraph.
            examples: command lines.
            summary: the same in a few words, for lists of commands; that of `TOOLS` for those it has.
            helps: whether it has `--help`.
        """
        self.examples = tuple(examples)
        self.summary = summary or TOOLS.get(prog.partition(" ")[2], "")
        self.instead: dict[str, str] = {}  # options that it has not, and what to do about each
        text = "examples:\n" + "".join([f"  $ {example}\n" for example in examples]) if examples else ""
        super().__init__(
            prog=prog,
            description=description,
            epilog=f"{text}\n{EXIT_CODES}" if text else EXIT_CODES,
            formatter_class=_Formatter,
            allow_abbrev=False,
            add_help=False,
        )
        if helps:
            self.add_argument("-h", "--help", action="help", help="show this and exit")

    def _print_message(self, message: str, file: IO[str] | None = None) -> None:  # type: ignore[override]  # typeshed wants a protocol of its own
        del file  # help is what was asked for: it goes to stdout
        print_text(message)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse; what is left over is refused here, by the command it was given to, not by the whole program."""
        found, left = super().parse_known_args(args, namespace)
        if left:
            guesses = [self._guess(word) for word in left if word.startswith("-")]
            self._refuse(f"unrecognized arguments: {' '.join(left)}", "".join(guesses[:1]))
        return found, left

    def _guess(self, word: str) -> str:
        """Return what is to be written in place of an option that there is not; "" where that is unknown."""
        name, _, value = word.partition("=")
        if name in self.instead:
            return self.instead[name]
        own = {option: action for action in self._actions for option in action.option_strings}
        form = name.removeprefix("--")
        if form in FORMATS and "--format" in own:
            forms = own["--format"].choices or ()
            if form in forms:
                return f"write --format {form}" + (f" --output {value or 'FILE'}" if form == "html" else "")
            return f"the formats of this command are {', '.join(forms)}"
        return did_you_mean(word, own)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            choices = [str(choice) for choice in action.choices]
            name = "/".join(action.option_strings) or action.metavar or action.dest
            message = f"argument {name}: invalid choice: {value!r} (choose from {', '.join(choices)})"
            guess = f"write --format {_FORMER[value]}" if _FORMER.get(value) in choices else ""
            self._refuse(message, guess or did_you_mean(str(value), choices))

    def error(self, message: str) -> NoReturn:
        """Refuse the command line."""
        self._refuse(message, "")

    def _refuse(self, message: str, guess: str) -> NoReturn:
        raise Unable(message, do=guess, command=f"{self.prog} --help")


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Lays out alike whatever the terminal's width."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26, width=WIDTH)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        # Descriptions are wrapped, the lines of examples are kept.
        blocks = text.split("\n")
        wrapped = [
            line if line.startswith("  ") else argparse.HelpFormatter._fill_text(self, line, width, indent)
            for line in blocks
        ]
        return "\n".join(wrapped)


def graft(subparsers: argparse._SubParsersAction[Parser], command: Parser) -> None:
    """Hang a parser that is made already under another one."""
    name = command.prog.rpartition(" ")[2]
    subparsers._name_parser_map[name] = command
    subparsers._choices_actions.append(subparsers._ChoicesPseudoAction(name, [], command.summary))


def add_root(command: Parser) -> None:
    """Add `--root`."""
    command.add_argument(
        "--root", metavar="DIR", help="an unpacked root filesystem to work on (default: this one, or METALAUNCHER_ROOT)"
    )


def add_log(command: Parser) -> None:
    """Add how a command says what it does: `--log-format`, `--log-level`."""
    command.add_argument(
        "--log-format",
        choices=("console", "json"),
        default="console",
        help="what to write on stderr: lines for people, or JSON events (default: console)",
    )
    command.add_argument(
        "--log-level",
        choices=("debug", "info", "warning", "error"),
        default="info",
        help="the lowest level to write; debug has each app, start, case and retry (default: info)",
    )


def add_platform(command: Parser, help_text: str) -> None:
    """Add `--platform`, whose value is a platform in Go's names, however it was written; None where it is not given."""
    command.add_argument("--platform", metavar="OS/ARCH", type=_platform, help=help_text)


def add_platforms(command: Parser, help_text: str) -> None:
    """Add `--platform`, which may be repeated: a list of platforms in Go's names; None where it is not given."""
    command.add_argument("--platform", metavar="OS/ARCH", type=_platform, action="append", help=help_text)


def _platform(text: str) -> str:
    try:
        return parse_platform(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_registries(command: Parser) -> None:
    """Add how to speak to registries."""
    command.add_argument(
        "--insecure",
        metavar="HOST",
        action="append",
        default=[],
        help="a registry, HOST or HOST:PORT, to use without TLS (those on this machine always are); may be repeated",
    )
    command.add_argument(
        "--mirror",
        metavar="HOST=URL",
        action="append",
        default=[],
        help="a mirror to ask first for images of a registry; may be repeated",
    )
    command.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=positive,
        help="how long to wait for one answer of a registry, or for one that limits requests (default: 60)",
    )
    command.add_argument("--ca-file", metavar="FILE", help="certificates in PEM to trust besides the system's")


def add_run_image(command: Parser) -> None:
    """Add `--root`, and `--run-image` with all that says how to read one: `image` of the options is then what it is."""
    add_root(command)
    command.add_argument(
        "--run-image",
        metavar="IMAGE",
        help="an image to work on instead: oci:DIR[:NAME], oci-archive:FILE[:NAME], docker-archive:FILE[:NAME],"
        " dir:ROOTFS, or a name in a registry",
    )
    add_platform(command, "which image of an index to take (default: all)")
    add_registries(command)
    command.set_defaults(image=None, every_platform=False, unasked=())


def add_format(command: Parser, *formats: str, default: str | None = None, more: str = "") -> None:
    """Add in which format and to which file the findings go: `--format`, for JSON also `--json`, and `--output`.

    Args:
        command: whose.
        formats: that it has; of one that it has not is said which these are.
        default: one of them; the first if it is not given.
        more: what else is to be said of them.
    """
    add_formats(command, formats, default or formats[0], more)
    add_output(command)


def add_output(command: Parser) -> None:
    """Add `--output`."""
    command.add_argument(
        "--output",
        metavar="FILE",
        help="write the result to FILE, whole or not at all; - for standard output (default: -)",
    )


def add_formats(command: Parser, formats: Sequence[str], default: str | None, more: str = "") -> None:
    """Add `--format`, and for JSON also `--json`, alone."""
    text = formats[0] if len(formats) == 1 else f"{', '.join(formats[:-1])} or {formats[-1]}"
    text += f" (default: {default})" if default and len(formats) > 1 else ""
    command.add_argument(
        "--format",
        metavar="FORMAT",
        choices=formats,
        default=default,
        action=_Format,
        help=text + (f"; {more}" if more else ""),
    )
    if "json" in formats:
        command.add_argument(
            "--json",
            dest="format",
            const="json",
            default=default,
            nargs=0,
            action=_Format,
            help="the same as --format json",
        )


class _Format(argparse.Action):
    """Takes a format; two different ones contradict each other."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        chosen = self.const or values
        before = getattr(namespace, "format_by", None)
        if before is not None and namespace.format != chosen:
            parser.error(f"argument {option_string}: not allowed with {before}")
        namespace.format = chosen
        namespace.format_by = option_string if self.const else f"{option_string} {chosen}"


def positive(text: str) -> float:
    """Return the number of seconds that an argument says.

    Raises:
        argparse.ArgumentTypeError: it is none, or not above 0.
    """
    number = float(text)
    if not 0 < number < _FOREVER:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return number


def positive_integer(text: str) -> int:
    """Return the whole number that an argument says.

    Raises:
        argparse.ArgumentTypeError: it is none, or below 1.
    """
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return number
