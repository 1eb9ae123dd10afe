"""`metalauncher vex`: what known vulnerabilities mean for the dispatcher and the bundles, as an OpenVEX document."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from metalauncher.tooling.console import Unable
from metalauncher.tooling.installed import digest_of
from metalauncher.tooling.platforms import of_each
from metalauncher.tooling.sbom.as_openvex import document
from metalauncher.tooling.sbom.contents import packaged_contents, read_contents, refuse_arch, speaks_of_package
from metalauncher.tooling.sbom.inventory import bundles
from metalauncher.tooling.sbom.model import PROJECT, Product, Stated, Statement, bundle_purl, is_purl, moment, within
from metalauncher.tooling.sbom.statements import STATEMENTS, read_statements
from metalauncher.tooling.sbom.vulnerabilities import judge, known

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterable, Mapping

    from metalauncher.places import Root
    from metalauncher.tooling.console import Console
    from metalauncher.tooling.sbom.contents import Contents


def run(options: Namespace, root: Root, console: Console) -> int:
    """Print the document; return 0.

    Raises:
        Unable: the executable has no description, a file of statements can't be used, or there is nothing to state.
    """
    stated = gather(root, _files(options))
    if speaks_of_package(options, root, empty=not stated.statements):
        stated = gather(root, _files(options), packaged_contents(options.arch))
    return _print(options, stated, console)


def run_together(options: Namespace, roots: Mapping[str, Root], console: Console) -> int:
    """Print one document of a run image for several platforms; return 0.

    Products are told apart by the digests of their files, which differ by platform.

    Args:
        options: of the command line.
        roots: by platform.
        console: where to.

    Raises:
        Unable: as `run`.
    """
    refuse_arch(options)
    if options.product_image is not None:
        raise Unable(
            f"--image {options.product_image}: is there for several platforms, each an image of its own",
            need="--platform for one of them",
            have=list(roots),
            command=f"metalauncher vex --image {options.product_image} --platform {next(iter(roots))}",
        )
    found = list(of_each(roots, lambda root: gather(root, _files(options))).values())
    statements = sorted({statement for one in found for statement in one.statements})
    authors = sorted({author for one in found for author in one.authors})
    return _print(options, Stated(tuple(statements), tuple(authors), found[0].reviewed), console)


def _files(options: Namespace) -> list[bytes]:
    return [os.fsencode(path) for path in options.statements or ()]


def _print(options: Namespace, stated: Stated, console: Console) -> int:
    if not stated.statements:
        raise Unable(
            "there is nothing to state: no static executable, and no statements of a vendor",
            need=f"the executable with its contents.json, or a {STATEMENTS} beside a launcher, or --statements FILE",
            command="metalauncher vex --help",
        )
    if options.product is not None:
        if not is_purl(options.product):
            raise Unable(
                f"--product: {options.product!r} is not a package URL",
                need="one of an image, such as pkg:oci/run@sha256%3ADIGEST?repository_url=registry.example.com/run",
                command="metalauncher vex --help",
            )
        stated = within(stated, options.product)
    created = moment(console.environment.get(b"SOURCE_DATE_EPOCH"), stated.reviewed)
    console.document(document(stated, created))
    return 0


def gather(root: Root, given: Iterable[bytes] = (), contents: Contents | None = None) -> Stated:
    """Return all that is to be stated about what is under `root`.

    Args:
        root: with the executable, its `contents.json` and the bundles.
        given: further files of statements.
        contents: of the executable; None: of the one under `root`.

    Raises:
        Unable: the executable has no description, or a file of statements can't be used.
    """
    vulnerabilities, reviewed = known()
    contents = contents or read_contents(root)
    statements: set[Statement] = set(judge(contents, vulnerabilities)) if contents else set()
    authors = {PROJECT} if statements else set()
    launchers: dict[str, Product] = {}
    files: list[tuple[bytes, Product | None]] = []
    for launcher in bundles(root):
        path = root.locate(launcher.path.encode())
        digest = digest_of(path)
        if digest is None:
            continue
        product = Product(bundle_purl(launcher.id, launcher.version), digest)
        launchers[repr(launcher)] = product
        beside = os.path.dirname(path) + b"/" + STATEMENTS.encode()
        if os.path.lexists(beside):
            # A link in another root leads to a place in that root, not on this machine.
            files.append((root.locate(beside[len(root.prefix) :]) if root.whole else beside, product))
    for file, own in [*files, *[(path, None) for path in given]]:
        said = read_statements(file, launchers, own)
        statements |= set(said.statements)
        authors.add(said.author or PROJECT)
    return Stated(tuple(sorted(statements)), tuple(sorted(authors)), reviewed)
