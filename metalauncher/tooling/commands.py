"""The one definition of the command line: help texts, completions and the manual page come from it."""

from __future__ import annotations

import argparse
from typing import IO, TYPE_CHECKING, Any, NoReturn

from metalauncher.terminal import STDOUT, write_text
from metalauncher.tooling.binary import ARCHITECTURES
from metalauncher.tooling.oci.image import DEFAULT_PLATFORM
from metalauncher.tooling.talk import Unable

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH = 80
SCHEMAS = (
    "descriptor",
    "which",
    "bundle",
    "list",
    "matrix",
    "lint",
    "probe",
    "image",
    "labels",
    "apis-label",
    "sbom",
)
_FOREVER = 1e6  # seconds
EXIT_CODES = "Exit codes: 0 done, 1 findings, 3 could not finish."
EXIT_STATUS = (
    ("0", "Done; for --which: an app would be started."),
    ("1", "There are findings; for a dispatch and --which: metadata.toml is absent, unreadable or malformed."),
    ("3", "The command line is wrong, or the command could not finish; nothing was changed."),
    ("11", "No launcher covers the Platform API."),
    ("12", "No launcher covers all Buildpack APIs."),
    ("70", "A defect in metalauncher."),
    ("80", "No launcher is installed."),
    ("81", "No launcher that the pin names covers the app."),
    ("82", "No launcher that covers the app could be started."),
)


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
        write_text(STDOUT, message)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse; what is left over is refused here, by the command it was given to, not by the whole program."""
        found, left = super().parse_known_args(args, namespace)
        if left:
            self.error(f"unrecognized arguments: {' '.join(left)}")
        return found, left

    def error(self, message: str) -> NoReturn:
        """Refuse the command line."""
        raise Unable(message, command=f"{self.prog} --help")


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


def _commands() -> tuple[Parser, ...]:
    launchers = (_bundle(), _list(), _matrix(), _lint(), _probe())
    return (*launchers, _image(), _labels(), _sbom(), _vex(), _schema(), _completion())


def parser() -> Parser:
    """Return the parser of all commands; what it returns names the `module` that runs it."""
    whole = Parser("metalauncher", "At container start, become the launcher that covers the app's CNB APIs.")
    subparsers = whole.add_subparsers(metavar="COMMAND", required=True, dest="command", title="commands")
    for command in _commands():
        _graft(subparsers, command)
    return whole


def dispatching() -> tuple[Parser, ...]:
    """Return what the forms that dispatch have; `metalauncher.cli` parses it, without argparse, which they lack."""
    which = Parser(
        "metalauncher --which",
        "Print the path of the launcher that would run on stdout, and why on stderr; exit as the dispatch would; run"
        " nothing.",
        ("metalauncher --which --platform-api 0.12 --buildpack-api acme/node=0.10 --root rootfs",),
        summary="print the path of the launcher that would run, and why",
        helps=False,
    )
    which.add_argument("--quiet", action="store_true", help="the path alone")
    which.add_argument("--platform-api", metavar="V", help="in place of CNB_PLATFORM_API")
    which.add_argument(
        "--buildpack-api", metavar="ID=V", action="append", help="the API of a buildpack, in place of metadata.toml"
    )
    which.add_argument("--metadata", metavar="FILE", help="in place of $CNB_LAYERS_DIR/config/metadata.toml")
    which.add_argument("--root", metavar="DIR", help="an unpacked root filesystem to look in")
    _json(which)
    launch = Parser(
        "metalauncher --launch",
        "Dispatch as if exec'd as ARGV0: what the shim does.",
        summary="dispatch as if exec'd as ARGV0 (what the shim does)",
        helps=False,
    )
    launch.add_argument("argv0", metavar="ARGV0", help="the path as it was invoked")
    launch.add_argument("arguments", metavar="ARG", nargs="*", help="the app's arguments")
    version = Parser("metalauncher --version", "Print the version.", summary="print the version", helps=False)
    return which, launch, version


def _graft(subparsers: argparse._SubParsersAction[Parser], command: Parser) -> None:
    """Hang a parser that is made already under another one."""
    name = command.prog.rpartition(" ")[2]
    subparsers._name_parser_map[name] = command
    subparsers._choices_actions.append(subparsers._ChoicesPseudoAction(name, [], command.summary))


def _root(command: Parser) -> None:
    command.add_argument(
        "--root", metavar="DIR", help="an unpacked root filesystem to work on (default: this one, or METALAUNCHER_ROOT)"
    )


def _json(command: Parser) -> None:
    command.add_argument("--json", action="store_true", help="one JSON document on stdout instead")


def _bundle() -> Parser:
    command = Parser(
        "metalauncher bundle",
        "Install launchers in a run image, show them, and take them out again. Each is a bundle: a descriptor, an"
        " executable, and its SBOMs.",
        summary="install, remove and show launchers",
    )
    command.set_defaults(module="bundle")
    actions = command.add_subparsers(metavar="ACTION", required=True, dest="action", title="actions")
    for action in (_bundle_add(), _bundle_remove(), _bundle_show()):
        _graft(actions, action)
    return command


def _bundle_add() -> Parser:
    command = Parser(
        "metalauncher bundle add",
        "Install a launcher: its executable, its SBOMs, and last its descriptor, each whole or not at all. SOURCE is a"
        " lifecycle release's tarball as it is, a directory of the same shape, or a bare executable. Doing it again"
        " changes nothing.",
        (
            "metalauncher bundle add lifecycle-v0.21.17+linux.x86-64.tgz --root rootfs",
            "metalauncher bundle add ./rebuilt --version 0.17.7+vendor.1",
            "metalauncher bundle add launcher --id acme/launcher --version 1.0 \\\n      --platform-apis"
            " '>=0.7,<=0.15' --buildpack-apis 0.7,0.8,0.9",
        ),
        summary="install a launcher",
    )
    command.add_argument("source", metavar="SOURCE", help="a tarball, a directory, or an executable")
    _root(command)
    command.add_argument("--id", metavar="ID", help="the launcher's id (default: buildpacks/lifecycle)")
    command.add_argument("--version", metavar="V", help="its version (default: what lifecycle.toml says)")
    command.add_argument("--priority", metavar="N", type=int, help="higher goes first (default: 0)")
    command.add_argument("--opt-in-env", metavar="VAR", help="it takes part only where VAR is true")
    command.add_argument(
        "--requires", metavar="KEY", action="append", help="a key that metadata.toml must have; may be repeated"
    )
    command.add_argument(
        "--platform-apis", metavar="APIS", help="versions with commas, or a range such as >=0.7,<=0.12"
    )
    command.add_argument("--buildpack-apis", metavar="APIS", help="the same for Buildpack APIs")
    command.add_argument(
        "--sha256", metavar="HEX", help="the digest SOURCE must have, or a file with it (default: SOURCE.sha256)"
    )
    command.add_argument("--arch", choices=ARCHITECTURES, help="the run image's architecture (default: this machine's)")
    command.add_argument(
        "--into",
        choices=("usr", "etc"),
        default="usr",
        help="whose descriptor it is: the image's, in /usr, or the operator's, in /etc (default: usr)",
    )
    command.add_argument(
        "--replace", action="store_true", help="replace a different launcher of the same id and version"
    )
    _json(command)
    return command


def _bundle_remove() -> Parser:
    command = Parser(
        "metalauncher bundle remove",
        "Remove a launcher: first its descriptors, in both directories, then its executable and SBOMs.",
        ("metalauncher bundle remove buildpacks/lifecycle@0.17.7 --root rootfs",),
        summary="take a launcher out",
    )
    command.add_argument("name", metavar="ID[@VERSION]", help="the launcher; VERSION where there are several")
    _root(command)
    _json(command)
    return command


def _bundle_show() -> Parser:
    command = Parser(
        "metalauncher bundle show",
        "Show what is installed: descriptor, executable, digest, APIs.",
        ("metalauncher bundle show buildpacks/lifecycle",),
        summary="show what is installed",
    )
    command.add_argument("name", metavar="ID[@VERSION]", nargs="?", help="the launcher (default: all)")
    _root(command)
    _json(command)
    return command


def _list() -> Parser:
    command = Parser(
        "metalauncher list",
        "Show the launchers in effect, in the order in which they are tried, and what is left aside: overridden,"
        " masked, invalid, or without a sound executable.",
        ("metalauncher list --all", "metalauncher list --root rootfs --json"),
        summary="show the launchers in effect, and what is left aside",
    )
    command.set_defaults(module="listing")
    command.add_argument("--all", action="store_true", help="what is overridden and masked as well")
    _root(command)
    _json(command)
    return command


def _matrix() -> Parser:
    command = Parser(
        "metalauncher matrix",
        "Show which launcher serves which combination of Platform API and Buildpack API, and where the gaps are against"
        " what lifecycle releases since 0.9.0 could export. Launchers that take part only by opt-in don't count.",
        (
            "metalauncher matrix",
            "metalauncher matrix --gaps --root rootfs",
            "metalauncher matrix --minimal --platform-apis '>=0.7,<=0.15'",
        ),
        summary="show which launcher serves which APIs, and the gaps",
    )
    command.set_defaults(module="matrix")
    command.add_argument(
        "--format", choices=("text", "md", "json"), default="text", help="a picture, a Markdown table, or JSON"
    )
    command.add_argument("--gaps", action="store_true", help="list the gaps instead; exit 1 if there are any")
    command.add_argument(
        "--minimal", action="store_true", help="name the smallest set of known launchers that leaves no gap"
    )
    command.add_argument("--platform-apis", metavar="APIS", help="only these: versions with commas, or a range")
    command.add_argument("--buildpack-apis", metavar="APIS", help="the same for Buildpack APIs")
    _root(command)
    _json(command)
    return command


def _lint() -> Parser:
    command = Parser(
        "metalauncher lint",
        "Check descriptors and their launchers against the numbered rules of docs/descriptor.md. Without PATH: the"
        " registry under the root, the executables, and who may change them. With PATH: the descriptors alone, as one"
        " registry.",
        (
            "metalauncher lint --root rootfs --strict",
            "metalauncher lint launchers.d",
            "metalauncher lint --root new-rootfs --baseline old-rootfs",
        ),
        summary="check the descriptors and their launchers",
    )
    command.set_defaults(module="lint")
    command.add_argument("paths", metavar="PATH", nargs="*", help="a descriptor, or a directory of descriptors")
    command.add_argument("--strict", action="store_true", help="warnings count as well: exit 1")
    command.add_argument(
        "--baseline", metavar="DIR", help="a root or directory of before: whatever it served is to be served still"
    )
    command.add_argument(
        "--arch", choices=ARCHITECTURES, help="the run image's (default: that of its metalauncher, or this machine's)"
    )
    _root(command)
    _json(command)
    return command


def _probe() -> Parser:
    command = Parser(
        "metalauncher probe",
        "Run each launcher in a scratch directory for every API that its descriptor claims, and for those just outside,"
        " and compare claim and behaviour. Accepting less than claimed is an error; accepting more is a note. The"
        " launchers run on this machine, also those of another root.",
        ("metalauncher probe --root rootfs", "metalauncher probe buildpacks/lifecycle@0.17.7 --json"),
        summary="run the launchers to prove what they claim",
    )
    command.set_defaults(module="probe")
    command.add_argument("names", metavar="ID[@VERSION]", nargs="*", help="the launchers (default: all in effect)")
    command.add_argument(
        "--timeout", metavar="SECONDS", type=_positive, default=10.0, help="for each start (default: 10)"
    )
    command.add_argument(
        "--jobs", metavar="N", type=_positive_integer, help="starts at a time (default: one for each processor)"
    )
    _root(command)
    _json(command)
    return command


def _image() -> Parser:
    command = Parser(
        "metalauncher image",
        "Build a run image without a daemon: one layer on a base, with metalauncher, launchers installed as by bundle"
        " add, the shim, SBOMs and a VEX; labels; and the ENTRYPOINT /usr/lib/cnb/launcher. Everything else of the"
        " base's config is kept, but CMD, which an ENTRYPOINT clears. The same input gives the same digests;"
        " SOURCE_DATE_EPOCH is the time of everything (default: 0).",
        (
            "metalauncher image --base oci:debian:12 --out oci:run:12 \\\n"
            "      --executable metalauncher-linux-x86_64 \\\n"
            "      --bundle lifecycle-v0.17.7+linux.x86-64.tgz \\\n"
            "      --bundle lifecycle-v0.21.17+linux.x86-64.tgz",
            "metalauncher image --base scratch --executable metalauncher-linux-x86_64 \\\n"
            "      --bundle ./rebuilt --out docker-archive:run.tar:acme/run:1",
        ),
        summary="build a run image without a daemon",
    )
    command.set_defaults(module="image", extra="image")
    command.add_argument(
        "--base", metavar="IMAGE", required=True, help="oci:DIR[:TAG], docker-archive:FILE[:NAME], or scratch"
    )
    command.add_argument(
        "--executable",
        metavar="FILE",
        required=True,
        help="metalauncher's, FILE.contents.json beside it",
    )
    command.add_argument(
        "--bundle", metavar="SOURCE", action="append", default=[], help="what bundle add takes; may be repeated"
    )
    command.add_argument(
        "--out",
        metavar="IMAGE",
        action="append",
        required=True,
        help="where to: oci:DIR[:TAG] or docker-archive:FILE[:NAME]; may be repeated",
    )
    _json(command)
    return command


def _labels() -> Parser:
    command = Parser(
        "metalauncher labels",
        "Print the labels that tell what a run image can launch. With --verify, read an image, derive its labels from"
        " the registry inside, and report each label that says something else.",
        (
            "metalauncher labels --root rootfs",
            "metalauncher labels --root rootfs --format args",
            "metalauncher labels --verify oci:run:12",
        ),
        summary="print a run image's labels, or check them",
    )
    command.set_defaults(module="labelling")
    command.add_argument(
        "--format",
        choices=("dockerfile", "args", "json"),
        default="dockerfile",
        help="a LABEL instruction, --label arguments, or JSON (default: dockerfile)",
    )
    command.add_argument("--verify", metavar="IMAGE", help="oci:DIR[:TAG] or docker-archive:FILE[:NAME]")
    command.add_argument(
        "--platform",
        metavar="OS/ARCH",
        default=DEFAULT_PLATFORM,
        help=f"which image of an index to verify (default: {DEFAULT_PLATFORM})",
    )
    _root(command)
    _json(command)
    return command


def _sbom() -> Parser:
    command = Parser(
        "metalauncher sbom",
        "Print the SBOM of a run image's launchers: of metalauncher itself and of every bundle, with what came with it."
        " The digests are those of the files. The same files give the same document.",
        (
            "metalauncher sbom --root rootfs --format spdx --output launchers.spdx.json",
            "metalauncher sbom --root rootfs --verify launchers.spdx.json",
        ),
        summary="print the SBOM of metalauncher and the launchers",
    )
    command.set_defaults(module="sbom.command", extra="sbom")
    command.add_argument(
        "--format",
        choices=("cyclonedx", "spdx"),
        default="cyclonedx",
        help="as CycloneDX 1.6 or as SPDX 2.3 (default: cyclonedx)",
    )
    command.add_argument("--output", metavar="FILE", help="write it there, whole or not at all")
    command.add_argument(
        "--verify", metavar="FILE", help="compare a document with the files instead; exit 1 where they differ"
    )
    _root(command)
    command.add_argument("--json", action="store_true", help="with --verify: one JSON document on stdout")
    return command


def _vex() -> Parser:
    command = Parser(
        "metalauncher vex",
        "Print an OpenVEX document: which known vulnerabilities of CPython and musl concern metalauncher's executable,"
        " by what is linked in, and what vendors state in vex.toml beside their launchers.",
        (
            "metalauncher vex --root rootfs --output openvex.json",
            "metalauncher vex --root rootfs --statements acme.toml",
        ),
        summary="print what known vulnerabilities mean for them",
    )
    command.set_defaults(module="sbom.vex")
    command.add_argument(
        "--statements", metavar="FILE", action="append", help="a file of further statements; may be repeated"
    )
    command.add_argument("--output", metavar="FILE", help="write it there, whole or not at all")
    _root(command)
    return command


def _schema() -> Parser:
    command = Parser(
        "metalauncher schema",
        "Print the JSON Schema (draft 2020-12) of a descriptor, or of the document that a command prints with --json.",
        ("metalauncher schema descriptor > descriptor.schema.json",),
        summary="print the JSON Schema of a file or a document",
    )
    command.set_defaults(module="schema")
    command.add_argument("name", metavar="NAME", choices=SCHEMAS, help=", ".join(SCHEMAS))
    return command


def _completion() -> Parser:
    command = Parser(
        "metalauncher completion",
        "Print a shell's completion of this command line.",
        ("source <(metalauncher completion bash)",),
        summary="print a shell's completion of this command line",
    )
    command.set_defaults(module="completion")
    command.add_argument("shell", metavar="SHELL", choices=("bash", "zsh", "fish"), help="bash, zsh or fish")
    return command


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < _FOREVER:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return number


def _positive_integer(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return number
