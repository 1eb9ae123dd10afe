"""The package's commands: parse, call, and turn what went wrong into a message and an exit code."""

from __future__ import annotations

import contextlib
import importlib
import os
import shlex
from argparse import Namespace
from typing import TYPE_CHECKING, Any

from metalauncher.explain.report import report_bug
from metalauncher.explain.terminal import Unwritten
from metalauncher.places import Root, root_from
from metalauncher.refusals import USAGE
from metalauncher.tooling.cli.commands import parser
from metalauncher.tooling.console import Console, Unable, decode, encode, system_text, without_module
from metalauncher.tooling.output import Unwritable, open_output
from metalauncher.tooling.roots import root_within

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from types import ModuleType

    from metalauncher.tooling.log import EventLog
    from metalauncher.tooling.run_image.opener import Opened

_INTERRUPTED = 130  # as a shell reports SIGINT


def main(arguments: Sequence[bytes], environment: Mapping[bytes, bytes]) -> int:
    """Run the command that `arguments` name and return its exit code: 0 done, 1 findings, 3 could not finish."""
    _occupy_standard_streams()
    console = Console(environment)
    options: Namespace | None = None
    try:
        words = [decode(argument) for argument in arguments]
        options = parser().parse_args(words)
        options.command_line = shlex.join(["metalauncher", *words])
        log = None
        if "log_format" in options:
            from metalauncher.tooling.log import EventLog

            log = EventLog(options.log_format, options.log_level, environment)
            console = Console(environment, log=log)
        with contextlib.ExitStack() as stack:
            output = stack.enter_context(open_output(options.output if "output" in options else None))
            console = Console(environment, output, log=log)
            root = _root(getattr(options, "root", None), environment)
            module = importlib.import_module(f"metalauncher.tooling.{options.module}")
            if getattr(options, "product_image", None) is not None:
                from metalauncher.tooling.run_image.product import refuse_second

                refuse_second(options)
                options.run_image = options.product_image
            if "image" in options and options.run_image is not None:
                images = stack.enter_context(_open_images(options, console))
                console = Console(environment, output, _renaming(images), log)  # also for what goes wrong
                status = _run_on_images(module, options, images, console, log)
            else:
                status = module.run(options, root, console)
    except (Unable, Unwritable, OSError, ModuleNotFoundError) as error:
        failure = _failure(error, options)
        if failure is None:
            return report_bug(error)
        console.progress("")
        console.fail(failure)
        return USAGE
    except Unwritten:
        console.progress("")
        raise
    except SystemExit as end:  # argparse's, after --help
        return end.code if isinstance(end.code, int) else 0
    except KeyboardInterrupt:
        console.progress("")
        return _INTERRUPTED
    except Exception as error:
        return report_bug(error)
    return int(status)


def _failure(error: Unable | Unwritable | OSError | ModuleNotFoundError, options: Namespace | None) -> Unable | None:
    """Return what to say of an error; None where it is a defect."""
    match error:
        case Unable():
            return error
        case Unwritable():
            return Unable(str(error), need=error.need, command=error.command)
        case OSError():
            where = decode(os.fsencode(error.filename)) + ": " if error.filename else ""
            return Unable(where + system_text(error), command="metalauncher --help")
        case _:
            return _missing_extra(error, options)


def _occupy_standard_streams() -> None:
    """Let no file that a command opens become its standard output: where 0, 1 or 2 is closed, writing there fails."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open("/dev/null", os.O_RDONLY)  # the lowest number that is free


def _root(given: str | None, environment: Mapping[bytes, bytes]) -> Root:
    """Return the root to work on, absolute: commands start programs that run in other directories.

    The dispatch ignores a METALAUNCHER_ROOT that is relative: nothing in a container is to depend on its working
    directory. Whoever runs a command of the package stands in a directory of their own.

    Args:
        given: `--root`, None where it was not given.
        environment: has METALAUNCHER_ROOT, or not.

    Raises:
        Unable: there is no such directory.
    """
    if given is not None:
        who, named = "--root", encode(given)
        root = Root(_absolute(named), whole=True)
    else:
        who, named = "METALAUNCHER_ROOT", environment.get(b"METALAUNCHER_ROOT", b"")
        root = root_from({b"METALAUNCHER_ROOT": _absolute(named)}) if named else Root()
    if given == "" or (root.prefix and not os.path.isdir(root.prefix)):
        raise Unable(
            f"{who}: {decode(named)!r} is not a directory",
            need="an unpacked root filesystem",
            command=f"ls -ld {shlex.quote(decode(named))}",
        )
    within = root_within(root.prefix) if root.prefix else None
    if within is not None:
        raise Unable(
            f"{who}: {decode(named)!r} is not a root filesystem, but contains one",
            need="the directory that stands for /, with usr or etc in it",
            do=f"name {decode(within)}, or whichever is meant",
            command=f"ls {shlex.quote(decode(within))}",
        )
    return root


def _open_images(options: Namespace, console: Console) -> AbstractContextManager[tuple[Opened, ...]]:
    """Open the run image that a command looks at in place of a root: of an index each of its images.

    Raises:
        Unable: there is a root as well, or the image can't be read.
    """
    if options.root is not None:
        raise Unable(
            "--run-image and --root are both given",
            need="one of --run-image IMAGE and --root DIR",
            command=f"metalauncher {options.command} --help",
        )
    from metalauncher.tooling.run_image.opener import opened_run_images

    return opened_run_images(options.run_image, options, console)


def _renaming(images: tuple[Opened, ...]) -> Callable[[str], str]:
    """Return what makes of a text about the roots of images one about the images."""

    def rename(text: str) -> str:
        for opened in images:
            text = opened.rename(text)
        return text

    return rename


def _run_on_images(
    module: ModuleType, options: Namespace, images: tuple[Opened, ...], console: Console, log: EventLog | None
) -> int:
    """Run a command on a run image; of an index on each of its images, or on all of them together."""
    from metalauncher.tooling.oci.platforms import contradict
    from metalauncher.tooling.platforms import for_each

    for opened in images if options.command != "lint" else ():  # which has a rule for it
        if opened.image is not None and contradict(opened.platform, opened.image.platform):
            console.warn(
                f"{options.run_image}: the index has an image for {opened.platform}, and its config says"
                f" {opened.image.platform}: what is said of {opened.platform} is of that image"
            )
    # What the image is there for, where nobody said which of it is meant.
    unasked = () if options.platform is not None else tuple([_platform_of(opened) for opened in images])

    def run(opened: Opened, console: Console) -> int:
        own: dict[str, Any] = {
            "image": opened.image,
            "platform": opened.platform or None,
            "every_platform": len(images) > 1,
            "unasked": unasked,
        }
        if getattr(options, "product_image", None) is not None and opened.image is not None:
            from metalauncher.tooling.run_image.product import product_of

            own["product"] = product_of(options.product_image, opened.image.digest or "")
        status: int = module.run(Namespace(**{**vars(options), **own}), opened.root, console)
        return status

    if len(images) > 1 and "together" in options and not getattr(options, "verify", None):
        status: int = module.run_together(options, {opened.platform: opened.root for opened in images}, console)
        return status
    return for_each(images, console, log, run)


def _platform_of(opened: Opened) -> str:
    return opened.platform or (opened.image.platform if opened.image is not None else "")


def _absolute(path: bytes) -> bytes:
    # `..` after a link leads to where the link's target lies: only the file system can tell.
    return path if path.startswith(b"/") else os.path.realpath(path)


def _missing_extra(error: ModuleNotFoundError, options: Namespace | None) -> Unable | None:
    """Return what to say where a command's libraries are missing; None where it needs none: that is a defect."""
    module = (error.name or "").partition(".")[0]
    if options is None or "extra" not in options or module in ("", "metalauncher"):
        return None
    return without_module(options.command, module, options.extra)
