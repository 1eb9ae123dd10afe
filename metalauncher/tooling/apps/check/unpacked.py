"""An app that is unpacked already: a root filesystem, and beside it the `config.json` of an OCI runtime bundle.

That is what `umoci unpack` and others lay out, and what runc and crun start. A root filesystem alone does not say with
which environment, and so not which Platform API, its app is started.

Source: the OCI runtime specification, config.md (`root`, `process`).
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

from metalauncher.tooling.apps.check.app_image import CNB, AppImage
from metalauncher.tooling.apps.check.layer_map import LayerMap
from metalauncher.tooling.apps.check.layer_scan import HEAD, WHOLE_LIMIT, Fact, Scan, Scanner, ancestors
from metalauncher.tooling.apps.check.user import User
from metalauncher.tooling.oci.files import open_regular
from metalauncher.tooling.oci.image import Image
from metalauncher.tooling.oci.model import CONFIG_LIMIT, Descriptor, ImageError, parse_json
from metalauncher.tooling.oci.sources.layout import LayoutStore

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet
    from typing import Any

    from metalauncher.tooling.apps.check.app_image import RunTree

_FILES_LIMIT = 10_000  # below /cnb
_NO_REBASE = "is unpacked: what of it is the run image's is not known, only what the app itself brings is looked at"


class UnpackedApp(AppImage):
    """One unpacked app."""

    def __init__(self, directory: str, run: RunTree) -> None:
        """Take the root filesystem.

        Args:
            directory: it.
            run: what the app is to lie over.

        Raises:
            ImageError: it, or the config.json beside it, is not there or can't be read.
        """
        if not os.path.isdir(directory):
            raise ImageError("absent", "there is no such directory")
        process = _read_process(os.path.join(directory, os.pardir, "config.json"))
        config = {"Env": process.get("env"), "Entrypoint": process.get("args"), "WorkingDir": process.get("cwd")}
        nothing = Descriptor("", "sha256:" + "0" * 64, 0)
        image = Image(LayoutStore(directory, None), nothing, {"config": config}, ())
        super().__init__(image, run, Scanner(), layer_map=LayerMap(None, frozenset(), (_NO_REBASE,)))
        self.numeric_user = _user(process.get("user"))
        self._directory: Final = directory
        self._scans[0] = Scan(tuple(self._facts()), frozenset(), frozenset(), 0)

    @property
    def assumes_app(self) -> bool:
        """The app's own files, but for those that decide, were not looked at."""
        return True

    def read_on(self, _touched: AbstractSet[str]) -> bool:
        """Read nothing: all was read at once."""
        return False

    def keep_whole(self, path: str) -> None:
        """Refuse to read a file again of which as much was read as is looked at."""
        raise ImageError("unsupported", f"starts with /{path}, of which only the beginning is looked at")

    def _facts(self) -> list[Fact]:
        facts = list(self._walk(CNB))
        for path in sorted(self.records):
            for folder in ancestors(path)[-2:0:-1]:
                if os.path.islink(os.path.join(self._directory, folder)):
                    raise ImageError("unsupported", f"has a link at /{folder}, where app images have a directory")
                if (fact := self._fact(folder, HEAD)) is not None:
                    facts.append(fact)
            if (fact := self._fact(path, WHOLE_LIMIT)) is not None:
                facts.append(fact)
        return facts

    def _walk(self, top: str) -> list[Fact]:
        facts: list[Fact] = []
        pending = [top]
        while pending:
            path = pending.pop()
            fact = self._fact(path, HEAD)
            if fact is None:
                continue
            if fact.kind == "link" and path == top:
                raise ImageError("unsupported", f"has a link at /{path}, where app images have a directory")
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
        kind, size, target, data = "other", 0, "", b""
        if stat.S_ISDIR(status.st_mode):
            kind = "directory"
        elif stat.S_ISLNK(status.st_mode):
            kind, target = "link", os.readlink(place)
        elif stat.S_ISREG(status.st_mode):
            kind, size = "file", status.st_size
            with open_regular(place) as file:
                data = file.read(limit)
        return Fact(
            *(path, kind, stat.S_IMODE(status.st_mode), size, target),
            owner=status.st_uid,
            group=status.st_gid,
            data=data,
        )


def _user(value: Any) -> User:
    """Return the process's user (config.md, "POSIX-platform User").

    Raises:
        ImageError: it is none.
    """
    user = value if isinstance(value, dict) else {}
    uid, gid, groups = user.get("uid", 0), user.get("gid", 0), user.get("additionalGids") or []
    if not isinstance(groups, list) or not all([type(number) is int for number in (uid, gid, *groups)]):
        raise ImageError("damaged", "config.json has a process.user that is none")
    return User(f"{uid}:{gid}", uid, gid, frozenset(groups))


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
