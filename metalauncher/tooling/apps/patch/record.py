"""What was done to an app, as a predicate for whoever signs it: `cosign attest`.

Nothing is signed here, and nothing unsigned is pushed. The predicate's type is `urn:metalauncher:patch-record:1`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from metalauncher.tooling.apps.launcher_inventory import own_launcher_to_json
from metalauncher.tooling.apps.patch.entry import proof_to_json
from metalauncher.tooling.console import Unable, encode, system_text
from metalauncher.tooling.writing import make_directories, write_whole

if TYPE_CHECKING:
    from metalauncher.explain.jsontext import Json
    from metalauncher.tooling.apps.patch.entry import Entry, Progress
    from metalauncher.tooling.apps.patch.journal import Asked

SCHEMA_VERSION: Final = 1
_NAME_LIMIT = 180  # characters of a target's name in a file's name, which has 255 at most


class Records:
    """A directory of records."""

    def __init__(self, directory: str, asked: Asked) -> None:
        """Take the directory, which is made if need be, and what the plan was asked for.

        Raises:
            Unable: it can't be made.
        """
        self._directory: Final = os.path.abspath(encode(directory))
        self._asked: Final = asked
        try:
            make_directories(self._directory)
        except OSError as error:
            raise Unable(
                f"--record: {directory}: {system_text(error)}",
                need="a directory that can be written to",
                command=f"ls -ld {shlex.quote(directory)}",
            ) from None

    def write(self, entry: Entry, progress: Progress) -> None:
        """Write an app's record, whole, in place of what is there.

        Raises:
            OSError: it can't be written.
        """
        data = json.dumps(predicate(self._asked, entry, progress), indent=2) + "\n"
        write_whole(self._directory, file_name(entry.target), data.encode(), 0o644)


def file_name(target: str) -> bytes:
    """Return the name of a target's record: its own, with what a file's name can't have written as in URLs."""
    name = quote(target, safe=":@")
    if len(name) > _NAME_LIMIT:
        name = f"{name[:_NAME_LIMIT]}-{hashlib.sha256(target.encode()).hexdigest()[:16]}"
    return f"{name}.json".encode()


def predicate(asked: Asked, entry: Entry, progress: Progress) -> dict[str, Json]:
    """Return what is stated of the new image, as schemas/patch-record.schema.json describes it. Of no time or place."""
    return {
        "schema_version": SCHEMA_VERSION,
        "metalauncher": asked.metalauncher,
        "source": {"name": entry.app, "digest": entry.digest},
        "target": {"name": entry.target, "digest": progress.digest},
        "platform": entry.platform,
        "launcher": {
            "before": None if entry.launcher is None else own_launcher_to_json(entry.launcher),
            "layer_before": entry.launcher_layer,
            "now": asked.launcher,
        },
        "forced": asked.force,
        "verdict_before": entry.before,
        "proofs": [proof_to_json(proof) for proof in progress.proofs],
    }
