"""`metalauncher lint`: check descriptors and their launchers against numbered rules (docs/reference/descriptor.md)."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, NamedTuple

from metalauncher import __version__
from metalauncher.errnos import errno_text
from metalauncher.explain.terminal import RED, YELLOW
from metalauncher.places import IMAGE_DESCRIPTORS, Root
from metalauncher.registry import DESCRIPTOR_LIMIT, InvalidDescriptor, Registry, list_descriptors, load_registry
from metalauncher.tooling.console import FAINT, Console, Unable, count, decode, encode
from metalauncher.tooling.installed import DIRECTORIES, installed
from metalauncher.tooling.lint.descriptor import lint_text
from metalauncher.tooling.lint.files import (
    architecture_of,
    lint_architectures,
    lint_executable,
    lint_leftovers,
    lint_owners,
    whose,
    whose_in,
)
from metalauncher.tooling.lint.positions import locate, positions
from metalauncher.tooling.lint.registry import lint_baseline, lint_registry
from metalauncher.tooling.lint.rules import RULES, Finding, in_order
from metalauncher.tooling.oci.files import open_regular
from metalauncher.tooling.oci.location import SCHEMES
from metalauncher.tooling.oci.model import ImageError
from metalauncher.tooling.oci.platforms import contradict, one_machine

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from metalauncher.descriptor import Launcher
    from metalauncher.explain.jsontext import Json
    from metalauncher.tooling.run_image.model import RunImage

SCHEMA_VERSION = 1  # schemas/lint.schema.json
_BASELINE = (
    "an unpacked root filesystem, a directory of descriptors, or an image: oci:DIR[:NAME], oci-archive:FILE[:NAME],"
    " docker-archive:FILE[:NAME] or a name in a registry"
)
_COLOURS = {"error": RED, "warning": YELLOW, "note": FAINT}


class Source(NamedTuple):
    """One descriptor's file.

    Attributes:
        file: the path to open.
        shown: the path to name.
        link: whether it is a symbolic link.
    """

    file: bytes
    shown: str
    link: bool


def run(options: Namespace, root: Root, console: Console) -> int:
    """Check; return 1 if there are errors, with `--strict` also if there are warnings; else 0."""
    if options.paths and options.image is not None:
        raise Unable(
            f"there are two registries: {options.paths[0]} and --run-image {options.run_image}",
            need="either descriptors, or a run image",
            command="metalauncher lint --help",
        )
    baseline = None if options.baseline is None else _read_baseline(options, console)
    if options.paths:
        registry, findings, number = check_paths([encode(path) for path in options.paths])
    else:
        registry, findings, number = check_root(root, options.arch, options.image)
    if options.image is not None and contradict(options.platform or "", options.image.platform):
        message = f"the index has it for {options.platform}, and its config says {options.image.platform}"
        findings.append(Finding(options.run_image, None, None, "ML028", message))
    if baseline is not None:
        findings += lint_baseline(registry, baseline)
    if options.baseline is not None:
        findings += _lost_platforms(options, console)
    findings = sorted(set(findings), key=in_order)
    counting = ("error", "warning") if options.strict else ("error",)
    if options.format == "json":
        console.document(_document(findings, number))
    else:
        console.out([console.paint(str(finding), _COLOURS[finding.level]) for finding in findings])
        console.say(_summary(findings, number))
    return int(any(finding.level in counting for finding in findings))


def check_root(
    root: Root, architecture: str | None, image: RunImage | None = None
) -> tuple[Registry, list[Finding], int]:
    """Check both directories of a root, the executables, and who may change them.

    Args:
        root: where to look.
        architecture: that launchers have to run on; None: that of metalauncher there, or of the image.
        image: of which that is the root; None where it is a root filesystem itself.

    Returns:
        What is in effect, the findings, and the number of descriptors.

    Raises:
        Unable: a directory can't be read.
    """
    sources: list[Source] = []
    for place in DIRECTORIES.values():
        directory = root.locate(place)
        for name, link in _names(directory):
            shown = decode(directory + b"/" + name)
            sources.append(Source(root.locate(place + b"/" + name), shown, link))
    _, findings = _check_texts(sources)
    registry = load_registry(root)
    hidden = {decode(item.file): item.launcher for item in installed(root)}
    findings += lint_registry(registry, hidden)
    findings += lint_architectures(registry, root, None if image is None else image.architecture)
    wanted = architecture or architecture_of(root, None if image is None else image.architecture)
    files = [source.file for source in sources]
    opened = {source.shown: source.file for source in sources}
    for launcher in registry.launchers:
        findings += lint_executable(launcher, root, wanted, _place(opened.get(launcher.descriptor)))
        files.append(root.locate(launcher.path.encode()))
    findings += lint_owners(files, root, whose if image is None else whose_in(image))
    findings += lint_leftovers(root)
    return registry, findings, len(sources)


def check_paths(paths: Sequence[bytes]) -> tuple[Registry, list[Finding], int]:
    """Check files, and directories of files, as one registry; their executables are not looked at.

    Returns:
        As `check_root`.

    Raises:
        Unable: a path can't be read.
    """
    sources: list[Source] = []
    for path in paths:
        if os.path.isdir(path):
            sources += [
                Source(path.rstrip(b"/") + b"/" + name, decode(path.rstrip(b"/") + b"/" + name), link)
                for name, link in _names(path)
            ]
        elif os.path.lexists(path):
            sources.append(Source(path, decode(path), os.path.islink(path)))
        else:
            raise _unreadable(decode(path), "no such file or directory")
    launchers, findings = _check_texts(sources)
    registry = Registry(tuple(launchers), directories=(decode(paths[0]),))
    return registry, findings + lint_registry(registry, {}), len(sources)


def _check_texts(sources: Sequence[Source]) -> tuple[list[Launcher], list[Finding]]:
    launchers: list[Launcher] = []
    findings: list[Finding] = []
    for source in sources:
        launcher, found = lint_text(source.file, source.shown, link=source.link)
        findings += found
        if launcher is not None:
            launchers.append(launcher)
    return launchers, findings


def _names(directory: bytes) -> list[tuple[bytes, bool]]:
    unreadable: list[InvalidDescriptor] = []
    names = list_descriptors(directory, unreadable)
    for error in unreadable:
        raise _unreadable(error.file, error.reason)
    return names


def _unreadable(path: str, reason: str) -> Unable:
    return Unable(
        f"{path}: {reason}",
        need="descriptors, or directories of descriptors, that can be read",
        command="metalauncher lint --help",
    )


def _place(file: bytes | None) -> tuple[int, int]:
    """Return where a descriptor speaks of its executable.

    Args:
        file: what its name leads to inside the root; None where it has come since the directory was read.
    """
    try:
        with open_regular(decode(file or b"")) as opened:
            found = positions(opened.read(DESCRIPTOR_LIMIT).decode("utf-8-sig"))
    except (ImageError, ValueError):
        return 1, 1
    return locate(found, ("launcher", "path"))


def _read_baseline(options: Namespace, console: Console) -> Registry | None:
    """Return what a baseline declares: an unpacked root filesystem, a directory of descriptors, or a run image.

    None where it is an image, and has none for one of several platforms that are checked.

    Raises:
        Unable: it can't be read, or has no launcher.
    """
    given: str = options.baseline
    if _names_image(given):
        from metalauncher.tooling.run_image.opener import NoSuchPlatform, opened_run_image

        command = f"metalauncher list --all --run-image {shlex.quote(given)}"
        try:
            with opened_run_image(given, options, console, "--baseline") as opened:
                _hold(opened.image, options)
                before = load_registry(opened.root)
        except NoSuchPlatform:
            if not options.every_platform:
                raise
            console.warn(f"--baseline {given}: has no image for this platform: nothing was served there before")
            return None
        except Unable as unable:
            if given.startswith(SCHEMES):
                raise
            have = (*unable.have, f"no directory of this name: {given}")
            raise Unable(unable.headline, need=_BASELINE, have=have, do=unable.do, command=unable.command) from None
    else:
        command = f"metalauncher lint {shlex.quote(given)}"
        before = _read_directory(given)
    if not before.launchers:
        raise Unable(f"--baseline {given}: has no launcher to compare with", need=_BASELINE, command=command)
    return before


def _names_image(given: str) -> bool:
    """Tell whether a baseline is an image: what is here or is written as a path is none, without one of `SCHEMES`."""
    is_path = given.startswith(("/", "./", "../")) or os.path.lexists(encode(given))
    return given.startswith(SCHEMES) or not is_path


def _hold(before: RunImage | None, options: Namespace) -> None:
    """Refuse a baseline for another machine: its launchers served none of the apps of the run image.

    Raises:
        Unable: it is.
    """
    image: RunImage | None = options.image
    if before is None or image is None or one_machine(before.platform, image.platform):
        return
    raise Unable(
        f"--baseline {options.baseline}: is for {before.platform}, and {options.run_image} for {image.platform}",
        need=_BASELINE,
        command=f"metalauncher list --all --run-image {shlex.quote(options.baseline)}",
    )


def _lost_platforms(options: Namespace, console: Console) -> list[Finding]:
    """Return a finding for each platform that a baseline's index has and the run image has not; once for all of them.

    Raises:
        Unable: the baseline can't be read.
    """
    now: tuple[str, ...] = options.unasked
    if not now or options.platform not in {None, now[0]} or not _names_image(options.baseline):
        return []
    from metalauncher.tooling.run_image.opener import listed_platforms

    before = listed_platforms(options.baseline, options, console, "--baseline")
    lost = [one for one in before if not any(one_machine(another, one) for another in now)]
    text = "the baseline has an image for it, and now there is none: no app for it can be rebased"
    return [Finding(options.run_image, None, None, "ML015", f"{one}: {text}") for one in lost]


def _read_directory(given: str) -> Registry:
    directory = encode(given).rstrip(b"/") or b"/"
    if not os.path.isdir(directory):
        raise Unable(
            f"--baseline {given}: {errno_text(20 if os.path.lexists(directory) else 2)}",
            need=_BASELINE,
            command="metalauncher lint --baseline DIR",
        )
    root = Root(directory, whole=True)
    if os.path.isdir(root.locate(IMAGE_DESCRIPTORS)):
        return load_registry(root)
    launchers, _ = _check_texts(
        [Source(directory + b"/" + name, decode(directory + b"/" + name), link) for name, link in _names(directory)]
    )
    return Registry(tuple(launchers))


def _summary(findings: list[Finding], number: int) -> str:
    levels = [(level, sum([finding.level == level for finding in findings])) for level in _COLOURS]
    found = ", ".join([count(amount, level) for level, amount in levels if amount])
    return f"{found or 'clean'}: {count(number, 'descriptor')} checked"


def _document(findings: list[Finding], number: int) -> dict[str, Json]:
    return {
        "schema_version": SCHEMA_VERSION,
        "metalauncher": __version__,
        "descriptors": number,
        "findings": [
            {
                "rule": finding.rule,
                "level": finding.level,
                "file": finding.file,
                "line": finding.line,
                "column": finding.column,
                "message": finding.message,
                "about": RULES[finding.rule][1],
            }
            for finding in findings
        ],
    }
