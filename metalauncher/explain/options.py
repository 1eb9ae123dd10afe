"""What the command line has: the one table of the options of `--which` and of the package's commands. Pure.

`cli` parses by it and makes its help of it; the package's own parser, completions and the manual page take it over.
"""

from __future__ import annotations

FORMATS = ("text", "json")
# The options of `--which`: the name of the value that one takes, "" for none; and what it does, as its help has lines.
WHICH = {
    "--format": ("FORMAT", "text or json, one document on stdout (default: text)"),
    "--json": ("", "the same as --format json"),
    "--quiet": ("", "the path alone"),
    "--platform-api": ("V", "in place of CNB_PLATFORM_API"),
    "--buildpack-api": (
        "ID=V",
        "the API of a buildpack, in place of metadata.toml, or\nwith --metadata in place of what that file records",
    ),
    "--metadata": ("FILE", "in place of $CNB_LAYERS_DIR/config/metadata.toml"),
    "--root": ("DIR", "an unpacked root filesystem to look in"),
}
# Commands of the package (metalauncher.tooling), which the forms that dispatch do not hold.
TOOLS = {
    "bundle": "install, remove and show launchers",
    "list": "show the launchers in effect, and those that are not",
    "matrix": "show which launcher serves which APIs, and the gaps",
    "lint": "check the descriptors and their launchers",
    "probe": "run the launchers to prove what they claim",
    "compare": "run two launchers side by side, and say what differs",
    "check": "prove that apps will start on a run image",
    "patch": "make existing apps use the run image's launcher",
    "image": "build a run image without a daemon",
    "executable": "save the static executable for run images",
    "labels": "print a run image's labels, or check them",
    "sbom": "print the SBOM of metalauncher and the launchers",
    "vex": "print which known vulnerabilities affect them",
    "schema": "print the JSON Schema of a file or a document",
    "completion": "print a shell's completion of this command line",
}
_COLUMN = 24  # where the help's second column begins


def help_text() -> str:
    """Return what `--help` prints."""
    options = "".join([_row(f"    {name} {value}".rstrip(), text) for name, (value, text) in WHICH.items()])
    tools = "".join([_row(f"  {name}", text) for name, text in TOOLS.items()])
    return f"""\
usage: metalauncher --which [--format FORMAT] [--json] [--quiet]
                    [--platform-api V] [--buildpack-api ID=V]...
                    [--metadata FILE] [--root DIR]
       metalauncher --launch ARGV0 [ARG...]
       metalauncher --version
       metalauncher --help

At container start, become the launcher that supports the app's CNB APIs.

  --which               print the path of the launcher that would run, and why;
                        exit as the dispatch would; run nothing
{options}\
  --launch ARGV0 [ARG...]
                        dispatch as if exec'd as ARGV0 (what the shim does)

With the package (pip install metalauncher) also, each with --help:
{tools}\

Under any other name every argument is the app's.
Exit codes: 0 done, 1 metadata.toml, 3 usage, 11 Platform API, 12 Buildpack API,
80 no launcher installed, 81 pin, 82 no launcher could be started, 83 dry run.
"""


def _row(name: str, text: str) -> str:
    margin = "\n" + " " * _COLUMN
    gap = margin if len(name) >= _COLUMN else " " * (_COLUMN - len(name))
    return f"{name}{gap}{text.replace(chr(10), margin)}\n"
