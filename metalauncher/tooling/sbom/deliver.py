"""Where a document goes: to stdout, or into a file, whole or not at all."""

from __future__ import annotations

import json
import os
import shlex
from typing import TYPE_CHECKING

from metalauncher.errors import errno_text
from metalauncher.tooling.talk import Unable
from metalauncher.tooling.writing import write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from metalauncher.jsontext import Json
    from metalauncher.tooling.talk import Console


def deliver(document: Mapping[str, Json], output: str | None, console: Console) -> None:
    """Print the document, or write it into the file `output`.

    Raises:
        Unable: the file can't be written.
    """
    if output is None:
        console.document(document)
        return
    directory, name = os.path.split(os.fsencode(output))
    try:
        write_whole(directory or b".", name, json.dumps(document, indent=2).encode() + b"\n", 0o644)
    except OSError as error:
        raise Unable(
            f"--output: {output!r}: {errno_text(error.errno)}",
            need="a file in a directory that can be written",
            command=f"ls -ld {shlex.quote(os.path.dirname(output) or '.')}",
        ) from None
