"""The command line as plain values, read from its one definition, for completions and the manual page."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, NamedTuple

from metalauncher.tooling.cli.commands import dispatching, parser

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Literal

    from metalauncher.tooling.cli.arguments import Parser

    Wanted = Literal["nothing", "word", "file", "directory"]


class Option(NamedTuple):
    """An option.

    Attributes:
        names: such as `--root`.
        metavar: its value's name, "" if it takes none.
        choices: the values there are, if they are few.
        wanted: what kind of value.
        text: its help.
    """

    names: tuple[str, ...]
    metavar: str
    choices: tuple[str, ...]
    wanted: Wanted
    text: str


class Command(NamedTuple):
    """A command, or one of its actions.

    Attributes:
        path: its words, `metalauncher` left out.
        summary: what it does in a few words.
        description: what it does.
        usage: its arguments in one line.
        options: in the order of the definition.
        arguments: those without a name: what is wanted, its choices, metavar and help.
        actions: the words that may follow, each with its summary.
        examples: command lines.
    """

    path: tuple[str, ...]
    summary: str
    description: str
    usage: str
    options: tuple[Option, ...]
    arguments: tuple[Option, ...]
    actions: tuple[tuple[str, str], ...]
    examples: tuple[str, ...]


def outline() -> list[Command]:
    """Return all commands: first the program itself, then what dispatches, then the package's commands."""
    top = _command(parser(), ())
    commands = [_command(option, (option.prog.rpartition(" ")[2],)) for option in dispatching()]
    actions = tuple([(command.path[0], command.summary) for command in commands])
    return [top._replace(actions=actions + top.actions), *commands, *_below(parser(), ())]


def _below(whole: Parser, path: tuple[str, ...]) -> Iterator[Command]:
    for action in whole._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                yield _command(command, (*path, name))
                yield from _below(command, (*path, name))


def _command(command: Parser, path: tuple[str, ...]) -> Command:
    options: list[Option] = []
    arguments: list[Option] = []
    actions: list[tuple[str, str]] = []
    for action in command._actions:
        if isinstance(action, argparse._SubParsersAction):
            actions += [(name, choice.summary) for name, choice in action.choices.items()]
        elif action.option_strings:
            options.append(_option(action, tuple(action.option_strings)))
        else:
            arguments.append(_option(action, ()))
    required = {name for action in command._actions if action.required for name in action.option_strings}
    words = [
        _usage(option) if option.names[-1] in required else f"[{_usage(option)}]"
        for option in options
        if option.names[-1] != "--help"
    ]
    words += [_argument(action) for action in command._actions if not action.option_strings and action.metavar]
    usage = " ".join([command.prog, *words])
    return Command(
        path,
        command.summary,
        command.description or "",
        usage,
        tuple(options),
        tuple(arguments),
        tuple(actions),
        command.examples,
    )


def _usage(option: Option) -> str:
    return f"{option.names[0]} {option.metavar}".rstrip()


def _argument(action: argparse.Action) -> str:
    if isinstance(action, argparse._SubParsersAction):
        return str(action.metavar)
    match action.nargs:
        case "*":
            return f"[{action.metavar}...]"
        case "?":
            return f"[{action.metavar}]"
        case _:
            return str(action.metavar)


def _option(action: argparse.Action, names: tuple[str, ...]) -> Option:
    choices = tuple([str(choice) for choice in action.choices or ()])
    takes = action.nargs != 0
    metavar = str(action.metavar or ("|".join(choices) if choices else "")) if takes else ""
    wanted: Wanted = "nothing"
    if choices:
        wanted = "word"
    elif metavar == "DIR":
        wanted = "directory"
    elif metavar in ("FILE", "SOURCE", "PATH"):
        wanted = "file"
    return Option(names, metavar, choices, wanted, action.help or "")
