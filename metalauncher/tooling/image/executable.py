"""metalauncher's own executable as `metalauncher image` is given it, with the description of what it is made of."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from typing import Final, NamedTuple

from metalauncher.tooling.architectures import to_go
from metalauncher.tooling.console import Unable
from metalauncher.tooling.elf import Binary, has_note, inspect
from metalauncher.tooling.reading import ReadError, read_regular
from metalauncher.tooling.sbom.contents import SUFFIX, WrongContents, parse_contents

SIZE_LIMIT: Final = 64 << 20  # bytes; it has 4 MB
_WANTED = f"metalauncher's static executable, or its zipapp where the base has Python, and NAME{SUFFIX} beside it"
_DESCRIPTION = "the description that the executable's build wrote beside it"


class Executable(NamedTuple):
    """metalauncher itself.

    Attributes:
        file: where it was read.
        data: its content.
        contents: what it is made of, as its build wrote it.
        binary: what kind of executable it is.
    """

    file: str
    data: bytes
    contents: bytes
    binary: Binary

    @property
    def platform(self) -> str:
        """`linux/ARCHITECTURE`, "" for a script."""
        return f"linux/{to_go(self.binary.machine)}" if self.binary.machine else ""


def read_executable(file: str) -> Executable:
    """Read metalauncher's executable.

    Raises:
        Unable: it is none.
    """
    data = _read(file)
    binary = inspect(data)
    if isinstance(binary, str):
        raise _no_executable(file, binary)
    if len(data) < binary.size:
        raise _no_executable(file, f"is cut off: an ELF file of {len(data)} bytes that needs {binary.size}")
    if not os.path.lexists(f"{file}{SUFFIX}") and not _is_ours(data):
        raise Unable(
            f"--executable {file}: is not metalauncher's executable",
            need=_WANTED,
            have=[f"a file without metalauncher's mark, and no {os.path.basename(file)}{SUFFIX}"],
            command="make static",
        )
    executable = Executable(file, data, _read(f"{file}{SUFFIX}"), binary)
    _check_contents(executable)
    return executable


def _is_ours(data: bytes) -> bool:
    """Tell whether a file is metalauncher's static executable, by its note, or a zipapp that holds metalauncher."""
    if has_note(data):
        return True
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return "metalauncher/__main__.pyc" in archive.namelist()
    except zipfile.BadZipFile:
        return False


def _check_contents(executable: Executable) -> None:
    """See that the description is the executable's own, while the files' names are those that were given."""
    description = f"--executable {executable.file}{SUFFIX}"
    try:
        described = parse_contents(executable.contents).sha256
    except WrongContents as error:
        raise Unable(f"{description}: {error}", need=_DESCRIPTION, command="make static") from None
    digest = hashlib.sha256(executable.data).hexdigest()
    if described != digest:
        raise Unable(
            f"{description}: describes another executable",
            need=f"the description of sha256 {digest}",
            have=[f"that of sha256 {described}"],
            do="take both files from the same build",
            command="make static",
        )


def _read(file: str) -> bytes:
    try:
        return read_regular(file, SIZE_LIMIT)
    except ReadError as error:
        raise _no_executable(file, str(error)) from None


def _no_executable(file: str, reason: str) -> Unable:
    return Unable(
        f"--executable {file}: {reason}",
        need=_WANTED,
        command="make static",
    )
