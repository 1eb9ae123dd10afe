"""`metalauncher sbom`: print the SBOM of what is under a root, or compare one with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metalauncher.tooling.console import Unable, format_of
from metalauncher.tooling.platforms import of_each
from metalauncher.tooling.sbom.contents import packaged_contents, refuse_arch, speaks_of_package
from metalauncher.tooling.sbom.inventory import ORDER, everything, of_executable
from metalauncher.tooling.sbom.model import moment, of_platforms

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping

    from metalauncher.places import Root
    from metalauncher.tooling.console import Console
    from metalauncher.tooling.sbom.model import Inventory


def run(options: Namespace, root: Root, console: Console) -> int:
    """Print the document; return 0, or 1 where `--verify` finds a difference.

    Raises:
        Unable: there is nothing to describe, the executable's description is wanting, or the document is none.
    """
    if options.verify is not None:
        from metalauncher.tooling.sbom.verify import Place, verify

        form = format_of(options, "text", "json", when="with --verify")
        # Once for all platforms, with the first: which of them the run image has none of.
        every = options.unasked if options.platform in {None, *options.unasked[:1]} else ()
        place = Place(root, options.run_image or "", options.platform or "", every)
        return verify(options.verify, place, console, as_json=form == "json")
    form = format_of(options, *ORDER, when="without --verify")
    inventory = everything(root, form)
    if speaks_of_package(options, root, empty=not inventory.tops):
        inventory = of_executable(packaged_contents(options.arch))
    return _print(inventory, form, console)


def run_together(options: Namespace, roots: Mapping[str, Root], console: Console) -> int:
    """Print one document of a run image for several platforms; return 0.

    Args:
        options: of the command line.
        roots: by platform.
        console: where to.

    Raises:
        Unable: as `run`.
    """
    form = format_of(options, *ORDER, when="without --verify")
    refuse_arch(options)
    return _print(of_platforms(of_each(roots, lambda root: everything(root, form))), form, console)


def _print(inventory: Inventory, form: str, console: Console) -> int:
    created = moment(console.environment.get(b"SOURCE_DATE_EPOCH"))
    for warning in inventory.warnings:
        console.warn(warning)
    if not inventory.tops:
        raise Unable(
            "there is nothing to describe: neither metalauncher nor a launcher",
            need="a run image with at least one of them",
            command="metalauncher list --all",
        )
    from metalauncher.tooling.sbom.files import document

    console.document(document(inventory, form, created))
    return 0
