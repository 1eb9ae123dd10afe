"""`metalauncher executable`: write out the static executable that came with the package."""

from __future__ import annotations

import hashlib
import os
import shlex
from typing import TYPE_CHECKING, Final

from metalauncher.explain.terminal import STDOUT
from metalauncher.tooling.console import Unable, system_text
from metalauncher.tooling.executables import packaged_for
from metalauncher.tooling.image.executable import read_executable
from metalauncher.tooling.output import STDOUT_NAME
from metalauncher.tooling.sbom.contents import SUFFIX
from metalauncher.tooling.writing import write_whole

if TYPE_CHECKING:
    from argparse import Namespace

    from metalauncher.places import Root
    from metalauncher.tooling.console import Console

_COMMAND: Final = "metalauncher executable --output metalauncher"


def run(options: Namespace, root: Root, console: Console) -> int:
    """Write it, and beside a file its contents.json; return 0.

    Raises:
        Unable: there is none for that architecture, it is not what its description says, or it can't be written.
    """
    del root
    executable = read_executable(packaged_for(options.arch, "--arch with an architecture that there is one for"))
    if options.file in (None, STDOUT_NAME):
        if os.isatty(STDOUT):
            raise Unable(
                "standard output is a terminal, which can't show an executable",
                need="a file, or a pipe",
                command=_COMMAND,
            )
        console.output.write(executable.data)
        return 0
    directory, name = os.path.split(os.path.realpath(os.fsencode(options.file)))
    try:
        # First what it is, then what it is made of: alone, each is known for what it is by its digest.
        write_whole(directory, name, executable.data, 0o755)
        write_whole(directory, name + os.fsencode(SUFFIX), executable.contents, 0o644)
    except OSError as error:
        raise Unable(
            f"--output {options.file}: {system_text(error)}",
            need="a file in a directory that can be written",
            command=f"ls -ld {shlex.quote(os.path.dirname(options.file) or '.')}",
        ) from None
    digest = hashlib.sha256(executable.data).hexdigest()
    console.say(f"{options.file}: for {executable.platform}, {len(executable.data):,} bytes, sha256 {digest}")
    console.say(f"{options.file}{SUFFIX}: what it is made of")
    return 0
