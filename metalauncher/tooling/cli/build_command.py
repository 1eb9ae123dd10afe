"""The command that builds run images, and what it is made of. A parser only: the module that it names does the work."""

from __future__ import annotations

from metalauncher.tooling.cli.arguments import Parser, add_formats, add_platforms, add_registries


def image() -> Parser:
    """Return the parser of `image`."""
    command = Parser(
        "metalauncher image",
        "Build a run image without a daemon: one layer on a base, with metalauncher, launchers installed as by bundle"
        " add, the shim, SBOMs and a VEX; labels; and the ENTRYPOINT /usr/lib/cnb/launcher. Everything else of the"
        " base's config is kept, but CMD, which an ENTRYPOINT clears. The same input gives the same digests;"
        " SOURCE_DATE_EPOCH is the time of everything (default: 0 for files and image; SBOMs and VEX have days of their"
        " own).",
        (
            "metalauncher image --base registry.example.com/debian:12 \\\n"
            "      --bundle lifecycle-v0.21.17+linux.x86-64.tgz \\\n"
            "      --push registry.example.com/acme/run:12",
            "metalauncher image --base oci:debian:12 --out oci:run:12 \\\n"
            "      --bundle lifecycle-v0.17.7+linux.x86-64.tgz \\\n"
            "      --bundle lifecycle-v0.21.17+linux.x86-64.tgz",
            "metalauncher image --base scratch --executable metalauncher-linux-x86_64 \\\n"
            "      --bundle ./rebuilt --out docker-archive:run.tar:acme/run:1",
            "metalauncher image --platform linux/amd64 --platform linux/arm64 \\\n"
            "      --base oci:debian:12 --out oci:run \\\n"
            "      --bundle lifecycle-v0.21.17+linux.x86-64.tgz \\\n"
            "      --bundle lifecycle-v0.21.17+linux.arm64.tgz",
        ),
    )
    command.set_defaults(module="image.build", extra="image")
    command.add_argument(
        "--base",
        metavar="IMAGE",
        required=True,
        help="a name in a registry, oci:DIR[:NAME], oci-archive:FILE[:NAME], docker-archive:FILE[:NAME], or scratch",
    )
    _add_what_goes_in(command)
    command.add_argument(
        "--out",
        metavar="IMAGE",
        action="append",
        default=[],
        help="target on this machine: oci:DIR[:NAME], oci-archive:FILE[:NAME] or docker-archive:FILE[:NAME]; may be"
        " repeated",
    )
    _add_push(command)
    add_registries(command)
    add_formats(command, ("text", "json"), "text")
    # An image is what it makes: a second word for where to would be taken for this one.
    command.instead["--output"] = "write --out for the image; what is said of it goes to standard output"
    return command


def _add_what_goes_in(command: Parser) -> None:
    """Add what an image is made of, beside its base, and for which platforms."""
    add_platforms(
        command,
        "platform to build for (default: that of --executable, or else of the base); may be repeated: several give an"
        " index, of images with the executable and the bundles for each",
    )
    command.add_argument(
        "--executable",
        metavar="FILE",
        action="append",
        help="metalauncher's, FILE.contents.json beside it; may be repeated, one for each platform (default: those that"
        " came with the package)",
    )
    command.add_argument(
        "--bundle",
        metavar="SOURCE",
        action="append",
        default=[],
        help="what bundle add takes; may be repeated. Of several platforms, it goes where its launcher runs",
    )


def _add_push(command: Parser) -> None:
    """Add where in a registry an image is pushed to, and as what."""
    command.add_argument(
        "--push",
        metavar="IMAGE",
        action="append",
        default=[],
        help="target in a registry, HOST/REPOSITORY:TAG; layers of a base in the same registry are mounted, not sent;"
        " may be repeated",
    )
    command.add_argument("--force", action="store_true", help="let --push move a tag that names another image")
    command.add_argument(
        "--attach",
        action="store_true",
        help="with --push: attach the image's VEX to it, unsigned, as a referrer of its manifest; of several platforms"
        " to each image",
    )
    command.add_argument(
        "--annotation",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="of the image's manifest, and of the index; may be repeated",
    )
    command.add_argument(
        "--media-types",
        choices=("oci", "docker"),
        help="whose media types the image has (default: the base's, and OCI's in a layout)",
    )
