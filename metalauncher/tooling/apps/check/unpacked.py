"""An app that is unpacked already: a root filesystem, and beside it the `config.json` of an OCI runtime bundle.

That is what `umoci unpack` and others lay out, and what runc and crun start. A root filesystem alone does not say with
which environment, and so not which Platform API, its app is started.

Source: the OCI runtime specification, config.md (`root`, `process`).
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

from metalauncher.tooling.apps.check.appimage import AppImage
from metalauncher.tooling.apps.check.layer_map import Shape
from metalauncher.tooling.apps.check.layer_scan import CNB, HEAD, METADATA_LIMIT, Fact, Search
from metalauncher.tooling.oci.files import open_regular
from metalauncher.tooling.oci.image import Image
from metalauncher.tooling.oci.model import CONFIG_LIMIT, Descriptor, ImageError, parse_json
from metalauncher.tooling.oci.sources.layout import LayoutStore

if TYPE_CHECKING:
    from typing import Any

_FILES_LIMIT = 10_000  # below /cnb
_NO_REBASE = "is unpacked: what of it is the run image's is not known, only what the app itself brings is looked at"


class UnpackedApp(AppImage):
    """One unpacked app."""

    def __init__(self, directory: str) -> None:
        """Take the root filesystem.

        Raises:
            ImageError: it, or the config.json beside it, is not there or can't be read.
        """
        if not os.path.isdir(directory):
            raise ImageError("absent", "there is no such directory")
        process = _read_process(os.path.join(directory, os.pardir, "config.json"))
        config = {"Env": process.get("env"), "Entrypoint": process.get("args"), "WorkingDir": process.get("cwd")}
        nothing = Descriptor("", "sha256:" + "0" * 64, 0)
        image = Image(LayoutStore(directory, None), nothing, {"config": config}, ())
        super().__init__(image, Search(), (), Shape(None, None, None, frozenset(), (_NO_REBASE,)))
        self._directory: Final = directory

    def read_launcher(self) -> None:
        """Read what decides where the start leads."""
        facts = list(self._walk(CNB))
        for path in self._interest.metadata:
            folders = [path[:at] for at, letter in enumerate(path) if letter == "/"]
            for folder in folders:
                if os.path.islink(os.path.join(self._directory, folder)):
                    raise ImageError("unsupported", f"has a link at /{folder}, where app images have a directory")
            found = [self._fact(folder, HEAD) for folder in folders] + [self._fact(path, METADATA_LIMIT)]
            facts += [fact for fact in found if fact is not None]
        self._facts[0] = tuple(facts)

    def read_record(self) -> None:
        """Do nothing: it was read along."""

    def _walk(self, top: str) -> list[Fact]:
        facts: list[Fact] = []
        pending = [top]
        while pending:
            path = pending.pop()
            fact = self._fact(path, HEAD)
            if fact is None:
                continue
            facts.append(fact)
            if len(facts) > _FILES_LIMIT:
                raise ImageError("too-large", f"has more than {_FILES_LIMIT} files in /{top}")
            if fact.kind == "directory":
                pending += [f"{path}/{name}" for name in sorted(os.listdir(os.path.join(self._directory, path)))]
        return facts

    def _fact(self, path: str, limit: int) -> Fact | None:
        place = os.path.join(self._directory, path)
        try:
            status = os.lstat(place)
        except OSError:
            return None
        mode = stat.S_IMODE(status.st_mode)
        if stat.S_ISDIR(status.st_mode):
            return Fact(path, "directory", mode, 0, "")
        if stat.S_ISLNK(status.st_mode):
            return Fact(path, "link", mode, 0, os.readlink(place))
        if not stat.S_ISREG(status.st_mode):
            return Fact(path, "other", mode, 0, "")
        with open_regular(place) as file:
            data = file.read(limit + 1 if limit == METADATA_LIMIT else limit)
        if len(data) > METADATA_LIMIT:
            raise ImageError("too-large", f"has a metadata.toml of more than {METADATA_LIMIT >> 10} KiB")
        return Fact(path, "file", mode, status.st_size, "", data)


def _read_process(file: str) -> dict[str, Any]:
    try:
        with open_regular(file) as opened:
            data = opened.read(CONFIG_LIMIT + 1)
    except ImageError as error:
        if error.trouble != "absent":
            raise
        reason = "has no config.json beside it, as OCI bundles do: with which environment it is started is not known"
        raise ImageError("unsupported", reason) from None
    if len(data) > CONFIG_LIMIT:
        raise ImageError("too-large", f"has a config.json of more than {CONFIG_LIMIT >> 20} MiB")
    process = parse_json(data, "config.json").get("process")
    if not isinstance(process, dict):
        raise ImageError("damaged", "config.json has no process")
    return process
