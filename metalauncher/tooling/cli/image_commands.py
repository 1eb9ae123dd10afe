"""The commands that look at images, and what they are made of. Parsers only: the modules they name do the work."""

from __future__ import annotations

from metalauncher.tooling.architectures import named
from metalauncher.tooling.cli.arguments import (
    Parser,
    add_format,
    add_formats,
    add_log,
    add_output,
    add_platform,
    add_registries,
    add_run_image,
    positive_integer,
)
from metalauncher.tooling.executables import RELEASED
from metalauncher.tooling.oci.image import DEFAULT_PLATFORM

_OF_PACKAGE = "of the executable that came with the package, for these processors, as where this machine has none"


def check() -> Parser:
    """Return the parser of `check`."""
    command = Parser(
        "metalauncher check",
        "Prove that apps will start on a run image, without running or pulling them: before a rebase, of one app or a"
        " whole fleet. APP and IMAGE are names in registries, oci:DIR[:NAME], oci-archive:FILE[:NAME] or"
        " docker-archive:FILE[:NAME]; or dir:ROOTFS. What decides is what decides when a container starts.",
        (
            "metalauncher check registry.example.com/app:1 --run-image acme/run:noble",
            "metalauncher check oci:app --run-image oci:new-run --against oci:run",
            "metalauncher check --inventory --from apps.txt",
            "metalauncher check --from apps.txt --run-image acme/run:noble \\\n      --resume results.jsonl --format"
            " html --output report.html",
        ),
    )
    command.set_defaults(module="apps.check.command")
    _add_apps(command)
    command.add_argument("--run-image", metavar="IMAGE", help="the run image that the apps are to start on")
    command.add_argument(
        "--root",
        "--registry-root",
        metavar="DIR",
        dest="root",
        help="an unpacked root filesystem in place of --run-image",
    )
    command.add_argument("--against", metavar="IMAGE", help="the old run image: say what changes")
    add_platform(command, f"which image of an index to take, and what --run-image is for (default: {DEFAULT_PLATFORM})")
    _add_judgement(command)
    add_format(
        command,
        *("text", "json", "jsonl", "markdown", "html"),
        more="jsonl has one line for each result, as it arrives; markdown is a comment for a pull request;"
        " html is a page",
    )
    _add_parts(command)
    _add_fleet(command)
    return command


def _add_apps(command: Parser) -> None:
    """Add which apps."""
    command.add_argument("apps", metavar="APP", nargs="*", help="an app image; - reads a list on stdin")
    command.add_argument(
        "--from",
        metavar="FILE",
        dest="from_files",
        action="append",
        default=[],
        help="a list of apps, one a line, with # comments, or JSON lines; may be repeated",
    )


def _add_fleet(command: Parser) -> None:
    """Add how many apps of registries are gone through."""
    command.add_argument("--jobs", metavar="N", type=positive_integer, help="apps at a time (default: 16)")
    add_registries(command)
    command.add_argument(
        "--cache", metavar="DIR", help="the directory of the cache (default: ~/.cache/metalauncher/blobs)"
    )
    command.add_argument("--no-cache", action="store_true", help="use no cache")
    add_log(command)


def _add_judgement(command: Parser) -> None:
    """Add what is looked at, and what of it makes the command fail."""
    command.add_argument(
        "--fail-on",
        choices=("any", "regressions"),
        default="any",
        help="exit 1 for any app that would not start, or only for those that start under --against (default: any)",
    )
    command.add_argument(
        "--unknown",
        choices=("fail", "warn"),
        default="fail",
        help="an app whose verdict is unknown: exit 3, or only say so (default: fail)",
    )
    command.add_argument(
        "--inventory",
        action="store_true",
        help="give no verdicts: say which launcher each app carries; needs no --run-image",
    )
    command.add_argument(
        "--thorough",
        action="store_true",
        help="read every layer of the apps, and assume nothing of those that lifecycle's labels name",
    )
    _add_all(command)


def _add_all(command: Parser) -> None:
    """Add whether text has all apps."""
    command.add_argument(
        "--all", action="store_true", help="list every app in text, not only those that need a decision"
    )


def _add_parts(command: Parser) -> None:
    """Add what takes up and puts together parts of a run."""
    command.add_argument(
        "--resume", metavar="FILE", help="save results there as they arrive, and continue an interrupted run"
    )
    command.add_argument(
        "--shard", metavar="I/N", help="only the I-th of N parts of the list; auto/N takes I from a Kubernetes Job"
    )
    command.add_argument(
        "--merge",
        metavar="FILE",
        nargs="+",
        default=[],
        help="check nothing: report the results in these files, which --resume or --format jsonl wrote",
    )


def patch() -> Parser:
    """Return the parser of `patch`."""
    command = Parser(
        "metalauncher patch",
        "Make existing apps use the run image's launcher, without a rebuild: write each under another tag, with its"
        " launcher's layer replaced, if it is proved to start. Without --apply this is a plan: only the journal is"
        " written. APP is a name in a registry. Read docs/platforms/patch.md first: it begins with how to undo this."
        " Exit 1: apps are refused; 3: something is not finished, or the command line is wrong.",
        (
            "metalauncher patch --from apps.txt --launcher shim \\\n      --to '{repository}:{tag}-shim' --journal"
            " patch.jsonl",
            "metalauncher patch --apply patch.jsonl --record records",
        ),
    )
    command.set_defaults(module="apps.patch.command")
    _add_apps(command)
    command.add_argument(
        "--launcher",
        choices=("shim", "symlink"),
        help="what replaces the launcher in the apps: the shim, or a symlink (experimental)",
    )
    command.add_argument(
        "--to",
        metavar="TEMPLATE",
        help="names of the new images: {repository}, with its host, and {tag} are filled in; nothing is overwritten",
    )
    command.add_argument(
        "--journal", metavar="FILE", help="the file for the plan; the same command continues one that is not complete"
    )
    command.add_argument(
        "--must-match-sha",
        metavar="SHA",
        action="append",
        default=[],
        help="replace only launcher layers with this diffID; may be repeated",
    )
    command.add_argument(
        "--force",
        action="store_true",
        help="also write apps that are not known to start, and those whose label says that they can't be rebased",
    )
    add_platform(command, "take the image for this platform where APP is an index; else such an app is refused")
    command.add_argument(
        "--apply",
        metavar="FILE",
        dest="apply_journal",
        help="carry out the plan in that journal; the same command continues after an interruption",
    )
    command.add_argument(
        "--record", metavar="DIR", help="with --apply: write a record for each app to this directory, to be signed"
    )
    _add_all(command)
    add_format(
        command,
        *("text", "json", "markdown", "html"),
        more="markdown is a comment for a pull request; html is a page",
    )
    _add_fleet(command)
    return command


def executable() -> Parser:
    """Return the parser of `executable`."""
    command = Parser(
        "metalauncher executable",
        "Save the static executable for run images that comes with the package, and beside FILE its description,"
        " FILE.contents.json.",
        (
            "metalauncher executable --output rootfs/usr/bin/metalauncher",
            "metalauncher executable --arch arm64 > metalauncher",
        ),
    )
    command.set_defaults(module="image.executable_command")
    _add_arch(command, "the architecture to save it for (default: this machine's)")
    # Not `output`: what is written may be executed, and comes with a second file.
    command.add_argument(
        "--output", metavar="FILE", dest="file", help="write it to FILE; - for standard output (default: -)"
    )
    return command


def _add_arch(command: Parser, text: str) -> None:
    """Add `--arch`, which takes any of an architecture's names."""
    command.add_argument(
        "--arch", metavar="ARCH", type=named, choices=RELEASED, help=f"{text}: {' or '.join(RELEASED)}"
    )


def labels() -> Parser:
    """Return the parser of `labels`."""
    command = Parser(
        "metalauncher labels",
        "Print the labels that tell what a run image can launch. With --verify, read an image, compute its labels from"
        " the launchers inside, and report each label that differs.",
        (
            "metalauncher labels --run-image acme/run:noble",
            "metalauncher labels --root rootfs --format args",
            "metalauncher labels --verify oci:run:12",
        ),
    )
    command.set_defaults(module="image.labels_command", together=True)
    command.add_argument(
        "--verify",
        metavar="IMAGE",
        help="oci:DIR[:NAME], oci-archive:FILE[:NAME], docker-archive:FILE[:NAME], or a name in a registry",
    )
    add_run_image(command)
    add_formats(
        command,
        ("text", "json", "dockerfile", "args"),
        None,
        "dockerfile, the default, is a LABEL instruction, args are --label arguments; text is for --verify, and the"
        " default there",
    )
    add_output(command)
    return command


def sbom() -> Parser:
    """Return the parser of `sbom`."""
    command = Parser(
        "metalauncher sbom",
        "Print the SBOM of a run image's launchers: of metalauncher itself and of every bundle, with what came with it."
        " The digests are those of the files. The same files give the same document.",
        (
            "metalauncher sbom --run-image acme/run:noble --output launchers.cdx.json",
            "metalauncher sbom --root rootfs --verify launchers.spdx.json",
        ),
    )
    command.set_defaults(module="sbom.command", extra="sbom", together=True)
    _add_arch(command, _OF_PACKAGE)
    command.add_argument(
        "--verify", metavar="FILE", help="compare a document with the files instead; exit 1 where they differ"
    )
    add_run_image(command)
    add_formats(
        command,
        ("text", "json", "cyclonedx", "spdx"),
        None,
        "CycloneDX 1.6 (default) or SPDX 2.3; with --verify text (default) or JSON",
    )
    add_output(command)
    return command


def vex() -> Parser:
    """Return the parser of `vex`."""
    command = Parser(
        "metalauncher vex",
        "Print an OpenVEX document: which known vulnerabilities of CPython and musl affect metalauncher's executable,"
        " by what is linked in, and what vendors state in vex.toml beside their launchers.",
        (
            "metalauncher vex --root rootfs --output openvex.json",
            "metalauncher vex --run-image acme/run:noble --statements acme.toml",
        ),
    )
    command.set_defaults(module="sbom.vex", together=True)
    _add_arch(command, _OF_PACKAGE)
    command.add_argument(
        "--statements", metavar="FILE", action="append", help="a file of further statements; may be repeated"
    )
    command.add_argument(
        "--product",
        metavar="PURL",
        help="the image that all of it is in, such as pkg:oci/NAME@sha256%%3A...: scanners of images look for it",
    )
    command.add_argument(
        "--image",
        metavar="IMAGE",
        dest="product_image",
        help="the same as --run-image, an image in a registry, and its package URL as --product",
    )
    add_run_image(command)
    add_format(command, "openvex")
    return command
