"""What all commands' parsers have in common: the parser itself, and options that several commands have."""

from __future__ import annotations

import argparse
from typing import IO, TYPE_CHECKING, Any, NoReturn

from metalauncher.terminal import print_text
from metalauncher.tooling.oci.platforms import parse_platform
from metalauncher.tooling.suggest import did_you_mean
from metalauncher.tooling.talk import Unable

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH = 80
EXIT_CODES = "Exit codes: 0 done, 1 findings, 3 could not finish."
_FOREVER = 1e6  # seconds


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
            summary: the same in a few words, for lists of commands.
            helps: whether it has `--help`.
        """
        self.examples = tuple(examples)
        self.summary = summary
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

    def _print_message(self, message: str, file: IO[str] | None = None) -> None:  # type: ignore[override]
        del file  # help is what was asked for: it goes to stdout
        print_text(message)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse; what is left over is refused here, by the command it was given to, not by the whole program."""
        found, left = super().parse_known_args(args, namespace)
        if left:
            options = [name for action in self._actions for name in action.option_strings]
            guesses = [did_you_mean(word, options) for word in left if word.startswith("-")]
            self._refuse(f"unrecognized arguments: {' '.join(left)}", "".join(guesses[:1]))
        return found, left

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            choices = [str(choice) for choice in action.choices]
            name = "/".join(action.option_strings) or action.metavar or action.dest
            message = f"argument {name}: invalid choice: {value!r} (choose from {', '.join(choices)})"
            self._refuse(message, did_you_mean(str(value), choices))

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


def add_platform(command: Parser, help_text: str) -> None:
    """Add `--platform`, whose value is a platform in Go's names, however it was written; None where it is not given."""
    command.add_argument("--platform", metavar="OS/ARCH", type=_platform, help=help_text)


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
        help="a registry, HOST or HOST:PORT, that may be asked without TLS, as this machine's may; may be repeated",
    )
    command.add_argument(
        "--mirror",
        metavar="HOST=URL",
        action="append",
        default=[],
        help="where to ask first for images of a registry; may be repeated",
    )
    command.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=positive,
        help="how long to wait for one thing from a registry, and for one that is asked too much (default: 60)",
    )
    command.add_argument("--ca-file", metavar="FILE", help="certificates in PEM to trust besides the system's")


def add_json(command: Parser) -> None:
    """Add `--json`."""
    add_json_in(command)


def add_json_in(group: argparse._ActionsContainer) -> None:
    """Add `--json` to a group of options."""
    group.add_argument("--json", action="store_true", help="one JSON document on stdout instead")


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
