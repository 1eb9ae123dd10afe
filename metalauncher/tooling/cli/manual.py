"""The manual page, from the one definition: `python -m metalauncher.tooling.cli.manual > docs/metalauncher.1`.

Not with argparse-manpage: it has no wheel, and what is installed here is wheels alone; and it knows what one argparse
parser has, so neither `--which` nor the environment, the files and the exit codes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from metalauncher import __version__
from metalauncher.explain.terminal import print_text
from metalauncher.tooling.cli.commands import EXIT_STATUS
from metalauncher.tooling.cli.model import outline

if TYPE_CHECKING:
    from metalauncher.tooling.cli.model import Command, Option

_ENVIRONMENT = (
    ("METALAUNCHER_PIN", "ID[@SPEC]: only this launcher, if it covers the app; SPEC is a version or a PEP 440 range."),
    (
        "METALAUNCHER_LOG",
        "text or json: say on stderr at each start what is chosen and why, as --which does, or as JSON, one object a"
        " line.",
    ),
    (
        "METALAUNCHER_DRYRUN",
        "1: say what would be started, and end with 83, or with the code of the refusal; exit0: with 0 in place of 83.",
    ),
    (
        "METALAUNCHER_TERMINATION_LOG",
        "Where a refusal is left, if that file is there; /dev/termination-log by default, none where it is empty.",
    ),
    ("METALAUNCHER_ROOT", "A directory under which metalauncher's own places lie."),
    ("CNB_DEPRECATION_MODE", "error: what a launcher deprecates counts as unsupported."),
    ("NO_COLOR, CNB_NO_COLOR", "No colour, also on a terminal."),
)
_FILES = (
    ("/etc/cnb/launchers.d", "The operator's descriptors: they go before the image's of the same name."),
    ("/usr/lib/cnb/launchers.d", "The image's descriptors."),
    ("/usr/lib/cnb/launchers/ID/VERSION/launcher", "The launchers."),
)
_ABOUT = (
    "A run image carries several launchers of Cloud Native Buildpacks. At container start metalauncher reads which API"
    " versions the app was built with, picks the one launcher whose declared APIs cover them all, and becomes it. Under"
    " any other name than its own every argument is the app's; this page is about its own name. The dispatching forms,"
    " the static executable and the zipapp, have the options; the package that pip installs has the commands as well."
)


def manual() -> str:
    """Return the page, in the man macros of roff."""
    top, *commands = outline()
    lines = [
        f'.TH METALAUNCHER 1 "" "metalauncher {__version__}" "User Commands"',
        ".SH NAME",
        r"metalauncher \- at container start, become the launcher that covers the app",
        ".SH SYNOPSIS",
    ]
    for command in commands:
        if not command.actions:
            lines += [".nf" if command is commands[0] else "", _text(command.usage)]
    lines = [line for line in lines if line] + [".fi", ".SH DESCRIPTION", _text(_ABOUT)]
    lines += _options(tuple([option for option in top.options if option.names[-1] != "--help"]))
    lines.append(".SH COMMANDS")
    for command in commands:
        lines += _section(command)
    lines.append(".SH ENVIRONMENT")
    lines += _pairs(_ENVIRONMENT)
    lines.append(".SH FILES")
    lines += _pairs(_FILES)
    lines.append(".SH EXIT STATUS")
    lines += _pairs(EXIT_STATUS)
    lines += [".SH EXAMPLES", ".nf"]
    lines += [_text(f"$ {line}") for command in commands for line in command.examples]
    lines += [
        ".fi",
        ".SH SEE ALSO",
        "docs/reference/descriptor.md, docs/vendors/bundles.md and docs/on-call/exit-codes.md of the project",
    ]
    return "\n".join(lines) + "\n"


def _section(command: Command) -> list[str]:
    lines = [f".SS {_text(' '.join(command.path))}", _text(command.description)]
    for argument in command.arguments:
        lines += [".TP", rf"\fI{_text(argument.metavar)}\fR", _text(argument.text)]
    return lines + _options(tuple([option for option in command.options if option.names[-1] != "--help"]))


def _options(options: tuple[Option, ...]) -> list[str]:
    lines: list[str] = []
    for option in options:
        value = rf" \fI{_text(option.metavar)}\fR" if option.metavar else ""
        names = ", ".join([rf"\fB{_text(name)}\fR" for name in option.names])
        lines += [".TP", names + value, _text(option.text)]
    return lines


def _pairs(pairs: tuple[tuple[str, str], ...]) -> list[str]:
    return [line for name, text in pairs for line in (".TP", rf"\fB{_text(name)}\fR", _text(text))]


def _text(text: str) -> str:
    r"""Return text as roff takes it: a `-` is one, and no line begins with a control character."""
    escaped = text.replace("\\", r"\e").replace("-", r"\-")
    return "\n".join([rf"\&{line}" if line[:1] in (".", "'") else line for line in escaped.split("\n")])


if __name__ == "__main__":
    print_text(manual())
