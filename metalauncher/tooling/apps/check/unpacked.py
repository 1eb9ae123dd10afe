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
from metalauncher.tooling.apps.check.layer_scan import (
    HEAD,
    WHOLE_LIMIT,
    Fact,
    Scan,
    Scanner,
    ancestors,
    refuse_many,
    scan_of,
)
from metalauncher.tooling.apps.check.user import User
from metalauncher.tooling.oci.files import open_regular
from metalauncher.tooling.oci.image import Image
from metalauncher.tooling.oci.model import CONFIG_LIMIT, Descriptor, ImageError, parse_json
from metalauncher.tooling.oci.sources.layout import LayoutStore

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet
    from typing import Any

    from metalauncher.tooling.apps.check.app_image import RunTree

_NO_REBASE = "is unpacked: which files are the run image's is not known; only the app's own are looked at"


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
        self._looked_at: Final[set[str]] = set()
        self._found: Final[dict[str, Fact]] = {}
        self.read_on({above for path in (*self.records, CNB) for above in ancestors(path)})

    @property
    def assumes_app(self) -> bool:
        """The app's own directory is taken to be there: it need not have been looked at."""
        return True

    def read_on(self, touched: AbstractSet[str]) -> bool:
        """Look at these places, as far as that was not done; return False where there were none."""
        new = sorted(path for path in touched if path not in self._looked_at)
        for path in new:
            self._looked_at.add(path)
            if path.endswith("/"):
                self._list(path.rstrip("/"))
            elif (fact := self._fact(path, WHOLE_LIMIT if path in self.records else HEAD)) is not None:
                self._found[path] = fact
        refuse_many(len(self._found), sum([len(fact.data) for fact in self._found.values()]))
        self.scans[0] = self._scan()
        return bool(new)

    def keep_whole(self, path: str) -> None:
        """Read a file again, all that is looked at."""
        if (fact := self._fact(path, WHOLE_LIMIT)) is not None:
            self._found[path] = fact
            self.scans[0] = self._scan()

    def _scan(self) -> Scan:
        return scan_of([self._found[path] for path in sorted(self._found)])

    def _list(self, folder: str) -> None:
        """Look at what a directory holds."""
        place = os.path.join(self._directory, folder)
        if os.path.realpath(place) == os.path.join(os.path.realpath(self._directory), folder) and os.path.isdir(place):
            for name in sorted(os.listdir(place)):
                if (fact := self._fact(f"{folder}/{name}", HEAD)) is not None:
                    self._found[fact.path] = fact

    def _fact(self, path: str, limit: int) -> Fact | None:
        place = os.path.join(self._directory, path)
        folder, name = os.path.split(place.rstrip("/"))
        top = os.path.realpath(self._directory)
        real = os.path.realpath(folder)
        if path and real != top and not real.startswith(top + "/"):  # a link on the way leads out of it
            return None
        try:
            status = os.lstat(os.path.join(real, name) if path else place)
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
        raise ImageError("damaged", "config.json has an invalid process.user")
    return User(f"{uid}:{gid}", uid, gid, frozenset(groups))


def _read_process(file: str) -> dict[str, Any]:
    try:
        with open_regular(file) as opened:
            data = opened.read(CONFIG_LIMIT + 1)
    except ImageError as error:
        if error.kind != "absent":
            raise
        reason = "has no config.json beside it, as OCI bundles do: with which environment it is started is not known"
        raise ImageError("unsupported", reason) from None
    if len(data) > CONFIG_LIMIT:
        raise ImageError("too-large", f"has a config.json of more than {CONFIG_LIMIT >> 20} MiB")
    process = parse_json(data, "config.json").get("process")
    if not isinstance(process, dict):
        raise ImageError("damaged", "config.json has no process")
    return process
