"""Lay out a case's place: what a container's root has, in a scratch directory, with one of the launchers in it."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, NamedTuple

from metalauncher.tooling.launchers.compare import reporter
from metalauncher.tooling.launchers.compare.case import APP, LAUNCHER, PLACE, PYTHON, File, Folder, Link, Program

if TYPE_CHECKING:
    from metalauncher.tooling.launchers.compare.case import Case

_FOLDERS = ("out", "app", "layers", "layers/config", "cnb", "cnb/lifecycle", "cnb/process")
_SHEBANG_LIMIT = 127  # bytes of a script's first line that every kernel reads (execve(2); more since Linux 5.1)


class Site(NamedTuple):
    """Where a case runs.

    Attributes:
        place: the directory that stands for the root; both launchers use the same, one after the other.
        interpreter: the Python that runs the reports.
    """

    place: str
    interpreter: str

    def fill(self, data: bytes) -> bytes:
        """Return `data` with the place in it."""
        return data.replace(PLACE, self.place.encode())

    def fill_text(self, text: str) -> str:
        """Return `text` with the place in it."""
        return text.replace(PLACE.decode(), self.place)

    def shebang_fits(self) -> bool:
        """Tell whether the scripts' first line is short enough."""
        return len(f"#!{self.fill_text(PYTHON)} -IS\n".encode()) <= _SHEBANG_LIMIT


def lay_out(case: Case, site: Site, executable: str) -> None:
    """Make the place anew.

    Args:
        case: what is to be in it.
        site: where it is.
        executable: the launcher's own file, on the same file system: it is linked, not copied.

    Raises:
        OSError: it can't be made.
    """
    place = site.place
    shutil.rmtree(place, ignore_errors=True)
    os.mkdir(place)
    os.chmod(place, 0o755)  # noqa: S103  # whatever the umask: what a container's root has
    for folder in _FOLDERS:
        _folder(f"{place}/{folder}")
    _file(f"{place}/{reporter.REPORTS}", b"", 0o644)  # not made by its writers: they may have any umask
    os.link(executable, f"{place}/{LAUNCHER}")
    os.symlink(site.interpreter, site.fill_text(PYTHON))
    folder, _, started = case.path.rpartition("/")
    for name in {"web", started} if folder == "cnb/process" else {"web"}:
        os.symlink(f"{place}/{LAUNCHER}", f"{place}/cnb/process/{name}")
    if case.metadata is not None:
        _file(f"{place}/layers/config/metadata.toml", site.fill(case.metadata), 0o644)
    app = Program(APP.removeprefix("@PLACE@/"), "app", case.then)
    for item in (app, *case.items):
        _make(item, site)


def _make(item: File | Link | Folder | Program, site: Site) -> None:
    path = f"{site.place}/{item.path}"
    _folder(os.path.dirname(path))
    match item:
        case File(_, content, mode):
            _file(path, site.fill(content), mode)
        case Link(_, target):
            os.symlink(site.fill_text(target), path)
        case Folder():
            _folder(path)
        case Program():
            then = tuple([tuple([site.fill(v) if isinstance(v, bytes) else v for v in step]) for step in item.then])
            script = reporter.script(item._replace(then=then), site.place, site.fill_text(PYTHON))
            _file(path, script, 0o755)


def _folder(path: str) -> None:
    if not os.path.isdir(path):
        _folder(os.path.dirname(path))
        os.mkdir(path)
        os.chmod(path, 0o755)  # noqa: S103  # as above


def _file(path: str, content: bytes, mode: int) -> None:
    with open(path, "wb") as file:
        file.write(content)
    os.chmod(path, mode)
