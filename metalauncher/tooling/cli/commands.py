"""The one definition of the command line: help texts, completions and the manual page come from it."""

from __future__ import annotations

from typing import Any

from metalauncher.explain.options import FORMATS, WHICH
from metalauncher.toml import ODDITIES
from metalauncher.tooling.architectures import ARCHITECTURES
from metalauncher.tooling.cli.arguments import (
    Parser,
    add_format,
    add_log,
    add_output,
    add_root,
    add_run_image,
    graft,
    positive,
    positive_integer,
)
from metalauncher.tooling.cli.build_command import image
from metalauncher.tooling.cli.image_commands import check, executable, labels, patch, sbom, vex

SCHEMAS = (
    "descriptor",
    "which",
    "bundle",
    "list",
    "matrix",
    "lint",
    "probe",
    "compare",
    "check",
    "inventory",
    "patch",
    "patch-journal",
    "patch-record",
    "image",
    "labels",
    "apis-label",
    "sbom",
    "inputs",
)
EXIT_STATUS = (
    ("0", "Done; for --which: an app would be started."),
    ("1", "There are findings; for a dispatch and --which: metadata.toml is absent, unreadable or malformed."),
    ("3", "The command line is wrong, or the command could not finish; nothing was changed."),
    ("11", "No launcher supports the Platform API."),
    ("12", "No launcher supports all Buildpack APIs."),
    ("70", "A defect in metalauncher."),
    ("80", "No launcher is installed."),
    ("81", "No launcher that METALAUNCHER_PIN names supports the app."),
    ("82", "No launcher that supports the app could be started."),
    ("83", "A dry run (METALAUNCHER_DRYRUN=1): a launcher would have been started."),
)


def _commands() -> tuple[Parser, ...]:
    launchers = (_bundle(), _list(), _matrix(), _lint(), _probe(), _compare())
    return (*launchers, check(), patch(), image(), executable(), labels(), sbom(), vex(), _schema(), _completion())


def parser() -> Parser:
    """Return the parser of all commands; what it returns names the `module` that runs it."""
    whole = Parser("metalauncher", "At container start, become the launcher that supports the app's CNB APIs.")
    subparsers = whole.add_subparsers(metavar="COMMAND", required=True, dest="command", title="commands")
    for command in _commands():
        graft(subparsers, command)
    return whole


def dispatching() -> tuple[Parser, ...]:
    """Return what the forms that dispatch have; `explain.cli` parses it, without argparse, which they lack."""
    which = Parser(
        "metalauncher --which",
        "Print the path of the launcher that would run on stdout, and why on stderr; exit as the dispatch would; run"
        " nothing.",
        ("metalauncher --which --platform-api 0.12 --buildpack-api acme/node=0.10 --root rootfs",),
        summary="print the path of the launcher that would run, and why",
        helps=False,
    )
    for option, (value, text) in WHICH.items():
        more: dict[str, Any] = {"metavar": value} if value else {"action": "store_true"}
        if option == "--format":
            more["choices"] = FORMATS
        which.add_argument(option, help=text.replace("\n", " "), **more)
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


def _bundle() -> Parser:
    command = Parser(
        "metalauncher bundle",
        "Install launchers in a run image, show them, and take them out again. Each is a bundle: a descriptor, an"
        " executable, and its SBOMs.",
    )
    command.set_defaults(module="launchers.bundle")
    actions = command.add_subparsers(metavar="ACTION", required=True, dest="action", title="actions")
    for action in (_bundle_add(), _bundle_remove(), _bundle_show()):
        graft(actions, action)
    return command


def _bundle_add() -> Parser:
    command = Parser(
        "metalauncher bundle add",
        "Install a launcher: its executable, its SBOMs, and last its descriptor, each whole or not at all. SOURCE is a"
        " lifecycle release's tarball as it is, the flat tarball of a launcher that is released by itself, a directory"
        " of either shape, or a bare executable. What has no lifecycle.toml needs --id, --version, --platform-apis and"
        " --buildpack-apis. Doing it again changes nothing.",
        (
            "metalauncher bundle add lifecycle-v0.21.17+linux.x86-64.tgz --root rootfs",
            "metalauncher bundle add ./rebuilt --version 0.17.7+vendor.1",
            "metalauncher bundle add launcher.tgz --id acme/launcher --version 1.0 \\\n      --platform-apis"
            " '>=0.7,<=0.15' --buildpack-apis 0.7,0.8,0.9",
        ),
        summary="install a launcher",
    )
    command.add_argument("source", metavar="SOURCE", help="a tarball, a directory, or an executable")
    add_root(command)
    command.add_argument("--id", metavar="ID", help="the launcher's id (default: buildpacks/lifecycle)")
    command.add_argument("--version", metavar="V", help="its version (default: what lifecycle.toml says)")
    command.add_argument("--priority", metavar="N", type=int, help="higher goes first (default: 0)")
    command.add_argument("--opt-in-env", metavar="VAR", help="it is eligible only where VAR is true")
    command.add_argument(
        "--requires", metavar="KEY", action="append", help="a key that metadata.toml must have; may be repeated"
    )
    command.add_argument(
        "--cannot-read",
        metavar="KIND",
        choices=ODDITIES,
        action="append",
        help="what of a metadata.toml it can't read; may be repeated (default: what is known of lifecycle's releases)",
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
    add_format(command, "text", "json")
    return command


def _bundle_remove() -> Parser:
    command = Parser(
        "metalauncher bundle remove",
        "Remove a launcher: first its descriptors, in both directories, then its executable and SBOMs.",
        ("metalauncher bundle remove buildpacks/lifecycle@0.17.7 --root rootfs",),
        summary="take a launcher out",
    )
    command.add_argument(
        "name", metavar="ID[@VERSION]", help="the launcher; VERSION, or a range such as >=1,<2, where there are several"
    )
    add_root(command)
    add_format(command, "text", "json")
    return command


def _bundle_show() -> Parser:
    command = Parser(
        "metalauncher bundle show",
        "Show what is installed: descriptor, executable, digest, APIs.",
        ("metalauncher bundle show buildpacks/lifecycle",),
        summary="show what is installed",
    )
    command.add_argument("name", metavar="ID[@VERSION]", nargs="?", help="the launcher (default: all)")
    add_root(command)
    add_format(command, "text", "json")
    return command


def _list() -> Parser:
    command = Parser(
        "metalauncher list",
        "Show the launchers in effect, in the order in which they are tried, and those that are not: overridden,"
        " masked, invalid, or without a working executable.",
        ("metalauncher list --all", "metalauncher list --run-image acme/run:noble --json"),
    )
    command.set_defaults(module="launchers.list_command")
    command.add_argument("--all", action="store_true", help="also list what is overridden and masked")
    add_run_image(command)
    add_format(command, "text", "json")
    return command


def _matrix() -> Parser:
    command = Parser(
        "metalauncher matrix",
        "Show which launcher serves which combination of Platform API and Buildpack API, and where the gaps are against"
        " what lifecycle releases since 0.9.0 could export. Launchers that are eligible only by opt-in don't count.",
        (
            "metalauncher matrix",
            "metalauncher matrix --gaps --run-image oci:run:12",
            "metalauncher matrix --minimal --platform-apis '>=0.7,<=0.15'",
        ),
    )
    command.set_defaults(module="launchers.matrix")
    command.add_argument("--gaps", action="store_true", help="list the gaps instead; exit 1 if there are any")
    command.add_argument(
        "--minimal", action="store_true", help="name the smallest set of known launchers that leaves no gap"
    )
    command.add_argument("--platform-apis", metavar="APIS", help="only these: versions with commas, or a range")
    command.add_argument("--buildpack-apis", metavar="APIS", help="the same for Buildpack APIs")
    add_run_image(command)
    add_format(command, "text", "markdown", "json")
    return command


def _lint() -> Parser:
    command = Parser(
        "metalauncher lint",
        "Check descriptors and their launchers against the numbered rules of docs/reference/descriptor.md. Without"
        " PATH: the registry under the root, the executables, and who may change them. With PATH: the descriptors"
        " alone, as one registry.",
        (
            "metalauncher lint --root rootfs --strict",
            "metalauncher lint launchers.d",
            "metalauncher lint --run-image oci:run:2 --baseline oci:run:1",
        ),
    )
    command.set_defaults(module="lint.command")
    command.add_argument("paths", metavar="PATH", nargs="*", help="a descriptor, or a directory of descriptors")
    command.add_argument("--strict", action="store_true", help="warnings count as well: exit 1")
    command.add_argument(
        "--baseline",
        metavar="DIR|IMAGE",
        help="an old root, directory of descriptors, or image (oci:DIR[:NAME], ..., or a name in a registry):"
        " whatever it served must still be served",
    )
    command.add_argument(
        "--arch", choices=ARCHITECTURES, help="the run image's (default: that of its metalauncher, or this machine's)"
    )
    add_run_image(command)
    add_format(command, "text", "json")
    return command


def _probe() -> Parser:
    command = Parser(
        "metalauncher probe",
        "Run each launcher in a scratch directory for every API that its descriptor claims, and for those just outside,"
        " and compare claim and behaviour. Accepting less than claimed is an error; accepting more is a note. The"
        " launchers run on this machine, also those of another root; of an image none is run: unpack it.",
        ("metalauncher probe --root rootfs", "metalauncher probe buildpacks/lifecycle@0.17.7 --json"),
    )
    command.set_defaults(module="launchers.probe.command")
    command.add_argument("names", metavar="ID[@VERSION]", nargs="*", help="the launchers (default: all in effect)")
    command.add_argument(
        "--timeout", metavar="SECONDS", type=positive, default=10.0, help="for each start (default: 10)"
    )
    command.add_argument(
        "--jobs", metavar="N", type=positive_integer, help="starts at a time (default: one for each processor)"
    )
    add_root(command)
    add_format(command, "text", "json")
    add_log(command)
    command.instead["--run-image"] = (
        "unpack the image first, and name its root with --root: probe runs launchers with all that you may do, and runs"
        " none that you have only named"
    )
    return command


def _compare() -> Parser:
    command = Parser(
        "metalauncher compare",
        "Run two launchers over a thousand small apps, each in the same scratch directory, and compare what came"
        " of it: exit status, output, and all that the app got. Nothing of the machine is changed, and no root is"
        " needed. Exit 1 where something differs; 3 where a case did not finish.",
        (
            "metalauncher compare lifecycle-v0.20.11+linux.x86-64.tgz ./rebuilt",
            "metalauncher compare buildpacks/lifecycle@0.17.7 ./launcher --root rootfs",
            "metalauncher compare go-launcher rust-launcher --allow go-rust --json",
        ),
    )
    command.set_defaults(module="launchers.compare.command")
    command.add_argument(
        "a", metavar="A", help="an executable, a release's tarball, or ID[@VERSION] of an installed one"
    )
    command.add_argument("b", metavar="B", help="the other one")
    command.add_argument(
        "--only",
        metavar="NAME",
        action="append",
        default=[],
        help="cases: AREA, AREA/NAME or a pattern with *; may be repeated",
    )
    command.add_argument(
        "--allow",
        metavar="FILE",
        action="append",
        default=[],
        help="differences that are known, in TOML; go-rust comes with metalauncher; may be repeated",
    )
    command.add_argument("--all", action="store_true", help="show also what is alike, and what is allowed")
    command.add_argument(
        "--platform-api", metavar="V", help="of the apps that are not about APIs (default: the newest that both accept)"
    )
    command.add_argument("--buildpack-api", metavar="V", help="the same; both go together")
    command.add_argument(
        "--timeout", metavar="SECONDS", type=positive, default=30.0, help="for each start (default: 30)"
    )
    command.add_argument(
        "--jobs", metavar="N", type=positive_integer, help="cases at a time (default: one for each processor)"
    )
    add_root(command)
    add_format(command, "text", "json")
    add_log(command)
    return command


def _schema() -> Parser:
    command = Parser(
        "metalauncher schema",
        "Print the JSON Schema (draft 2020-12) of a descriptor, or of the document that a command prints with --json.",
        ("metalauncher schema descriptor > descriptor.schema.json",),
    )
    command.set_defaults(module="cli.schema")
    command.add_argument("name", metavar="NAME", choices=SCHEMAS, help=", ".join(SCHEMAS))
    add_format(command, "json")
    return command


def _completion() -> Parser:
    command = Parser(
        "metalauncher completion",
        "Print a shell's completion of this command line.",
        ("source <(metalauncher completion bash)",),
    )
    command.set_defaults(module="cli.completion")
    command.add_argument("shell", metavar="SHELL", choices=("bash", "zsh", "fish"), help="bash, zsh or fish")
    add_output(command)
    return command
