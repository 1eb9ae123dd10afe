"""A run image as the product of a VEX document: its package URL. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metalauncher.tooling.console import Unable
from metalauncher.tooling.oci.location import parse_location
from metalauncher.tooling.oci.reference import Reference
from metalauncher.tooling.sbom.model import image_purl

if TYPE_CHECKING:
    from argparse import Namespace

_COMMAND = "metalauncher vex --help"


def refuse_second(options: Namespace) -> None:
    """Refuse what `--image` stands for already, and what has no package URL.

    Raises:
        Unable: there is `--run-image` or `--product` as well, or it names no image in a registry.
    """
    name = options.product_image
    for option, value in (("--run-image", options.run_image), ("--product", options.product)):
        if value is not None:
            raise Unable(f"--image stands for {option} as well", need=f"--image or {option}", command=_COMMAND)
    try:
        kind = parse_location(name).kind
        if kind == "registry":
            Reference.parse(parse_location(name).place)
    except ValueError as error:
        raise Unable(f"--image: {error}", need="the name of an image in a registry", command=_COMMAND) from None
    if kind != "registry":
        raise Unable(
            f"--image {name}: is not in a registry, so that it has no package URL",
            need="the name of an image in a registry; else --run-image, and --product for the URL",
            command=_COMMAND,
        )


def product_of(name: str, digest: str) -> str:
    """Return the package URL of an image in a registry.

    Args:
        name: of the image, one that `refuse_second` let pass.
        digest: of its manifest.
    """
    reference = Reference.parse(parse_location(name).place)
    return image_purl(reference.host, reference.repository, digest)
