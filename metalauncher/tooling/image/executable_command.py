"""`metalauncher executable`: write out the static executable that came with the package."""

from __future__ import annotations

import hashlib
import os
import shlex
import stat
from typing import TYPE_CHECKING, Final

from metalauncher.explain.terminal import STDOUT
from metalauncher.tooling.console import Unable
from metalauncher.tooling.executables import packaged_for
from metalauncher.tooling.image.executable import read_executable
from metalauncher.tooling.output import STDOUT_NAME, open_output, regular_place
from metalauncher.tooling.sbom.contents import SUFFIX

if TYPE_CHECKING:
    from argparse import Namespace

    from metalauncher.places import Root
    from metalauncher.tooling.console import Console
    from metalauncher.tooling.image.executable import Executable

_PROGRAM: Final = 0o755
_DATA: Final = 0o644
_COMMAND: Final = "metalauncher executable --output metalauncher"


def run(options: Namespace, root: Root, console: Console) -> int:
    """Write it, and beside a file its contents.json; return 0.

    Raises:
        Unable: there is none for that architecture, or it is not what its description says.
        Unwritable: it can't be written.
    """
    del root
    executable = read_executable(packaged_for(options.arch, "--arch with an architecture that there is one for"))
    place = regular_place(options.file)
    if place is None:
        _write_directly(executable, options.file)
        return 0
    # Beside what a link leads to: whatever is given to `image --executable` is looked for there.
    named = place if os.path.islink(options.file) else options.file
    description = f"{named}{SUFFIX}"
    # Both places are looked at before anything is written. The inner block ends first: first what it is, then what it
    # is made of; alone, each is known for what it is by its digest.
    with open_output(description, _DATA) as beside, open_output(named, _PROGRAM) as output:
        output.write(executable.data)
        beside.write(executable.contents)
    digest = hashlib.sha256(executable.data).hexdigest()
    console.say(f"{named}: for {executable.platform}, {len(executable.data):,} bytes, sha256 {digest}")
    console.say(f"{description}: what it is made of")
    if not (mode := stat.S_IMODE(os.stat(named).st_mode)) & stat.S_IXUSR:
        console.warn(f"{named} keeps its mode {mode:04o}, and can't be executed: chmod 755 {shlex.quote(named)}")
    return 0


def _write_directly(executable: Executable, file: str | None) -> None:
    """Write it alone, to what can't be replaced; its description has no place beside that."""
    with open_output(file) as output:
        if file in (None, STDOUT_NAME) and os.isatty(STDOUT):
            raise Unable(
                "standard output is a terminal, which can't show an executable",
                need="a file, or a pipe",
                command=_COMMAND,
            )
        output.write(executable.data)
