"""`metalauncher completion`: what a shell needs to complete this command line, made from its definition.

Not with shtab (1.13, tried): it completes what one argparse parser has, so neither `--which` nor its options, which the
dispatching forms parse without argparse; every file and directory would have to be marked in each option; and every
installation would have one distribution more.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from metalauncher.tooling.cli.model import outline

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

    from metalauncher.places import Root
    from metalauncher.tooling.cli.model import Command, Option, Wanted
    from metalauncher.tooling.console import Console

_BASH = """\
# bash completion for metalauncher: source <(metalauncher completion bash)
_metalauncher() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} at= index
    for ((index = 1; index < COMP_CWORD; index++)); do
        case "$at ${COMP_WORDS[index]}" in
            @PATHS@) at="$at ${COMP_WORDS[index]}" ;;
        esac
    done
    COMPREPLY=()
    case "$at $previous" in
@VALUES@
    esac
    case "$at" in
@WORDS@
    esac
}
complete -F _metalauncher metalauncher
"""
_BASH_WANTED = {
    "nothing": ":",
    "file": 'compopt -o filenames; COMPREPLY+=($(compgen -f -- "$current"))',
    "directory": 'compopt -o filenames; COMPREPLY+=($(compgen -d -- "$current"))',
}

_ZSH = """\
#compdef metalauncher
# zsh completion for metalauncher: source <(metalauncher completion zsh), or as _metalauncher in $fpath
_metalauncher() {
    local at= previous=${words[CURRENT-1]} index
    for ((index = 2; index < CURRENT; index++)); do
        case "$at ${words[index]}" in
            @PATHS@) at="$at ${words[index]}" ;;
        esac
    done
    case "$at $previous" in
@VALUES@
    esac
    case "$at" in
@WORDS@
    esac
}
if [[ ${funcstack[1]} == _metalauncher ]]; then _metalauncher "$@"; else compdef _metalauncher metalauncher; fi
"""
_ZSH_WANTED = {"nothing": ":", "file": "_files", "directory": "_files -/"}

_FISH = """\
# fish completion for metalauncher: metalauncher completion fish | source
function __metalauncher_at
    set -l at
    for word in (commandline -opc)[2..]
        switch "$at $word"
            case @PATHS@
                set at "$at $word"
        end
    end
    test "$at" = "$argv"
end
complete -c metalauncher -f
"""


def run(options: Namespace, root: Root, console: Console) -> int:
    """Give the completion for a shell; return 0."""
    del root
    console.text({"bash": bash, "zsh": zsh, "fish": fish}[options.shell]())
    return 0


def bash() -> str:
    """Return the completion for bash."""

    def words(texts: list[str]) -> str:
        return f'COMPREPLY+=($(compgen -W {shlex.quote(" ".join(texts))} -- "$current"))'

    return _posix(_BASH, _BASH_WANTED, words)


def zsh() -> str:
    """Return the completion for zsh."""
    return _posix(_ZSH, _ZSH_WANTED, lambda texts: "compadd -- " + " ".join([shlex.quote(text) for text in texts]))


def _posix(frame: str, wanted: dict[str, str], words: Callable[[list[str]], str]) -> str:
    def complete(kind: Wanted, choices: tuple[str, ...]) -> str:
        return words(list(choices)) if kind == "word" else wanted[kind]

    values: list[str] = []
    places: list[str] = []
    for command in outline():
        at = _at(command)
        for option in command.options:
            if option.metavar:
                patterns = "|".join([shlex.quote(f"{at} {name}") for name in option.names])
                values.append(f"        {patterns}) {complete(option.wanted, option.choices)}; return ;;")
        own = [name for option in command.options for name in option.names if name.startswith("--")]
        steps = [words([*own, *[name for name, _ in command.actions]])]
        steps += [complete(one.wanted, one.choices) for one in command.arguments if one.wanted != "nothing"]
        places.append(f"        {shlex.quote(at)}) {'; '.join(steps)} ;;")
    paths = "|".join([shlex.quote(_at(command)) for command in outline() if command.path])
    return frame.replace("@PATHS@", paths).replace("@VALUES@", "\n".join(values)).replace("@WORDS@", "\n".join(places))


def _at(command: Command) -> str:
    return "".join([f" {word}" for word in command.path])


def fish() -> str:
    """Return the completion for fish."""
    paths = " ".join([shlex.quote(_at(command)) for command in outline() if command.path])
    lines = [_FISH.replace("@PATHS@", paths)]
    for command in outline():
        begin = f"complete -c metalauncher -n {shlex.quote(f'__metalauncher_at {shlex.quote(_at(command))}')}"
        for name, summary in command.actions:
            # What begins with a dash is offered as an option is: only to who has typed one.
            word = f"-l {name.removeprefix('--')}" if name.startswith("--") else f"-a {name}"
            lines.append(f"{begin} {word} -d {shlex.quote(summary)}\n")
        for option in command.options:
            names = [f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names]
            lines.append(f"{begin} {' '.join(names)}{_fish_value(option)} -d {shlex.quote(option.text)}\n")
        lines += [
            f"{begin}{_fish_value(argument).replace(' -x', '').replace(' -r', '')}\n"
            for argument in command.arguments
            if argument.wanted != "nothing"
        ]
    return "".join(lines)


def _fish_value(option: Option) -> str:
    if not option.metavar:
        return ""
    match option.wanted:
        case "word":
            return f" -x -a {shlex.quote(' '.join(option.choices))}"
        case "directory":
            return " -x -a '(__fish_complete_directories)'"
        case "file":
            return " -r -F"
        case "nothing":
            return " -x"
