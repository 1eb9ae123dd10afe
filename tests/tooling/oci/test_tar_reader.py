"""Tar archives as Go's archive/tar reads them, held against it: cases as files, and a search by chance.

A difference is a bug. Nothing is taken otherwise on purpose.
"""

from __future__ import annotations

import hashlib
import io
from functools import cache
from pathlib import Path

import goreaders
import pytest
import tar_cases
from goreaders import Read, TarMember
from harness import DATA
from raw_tar import Composer

from metalauncher.tooling.oci.tar_header import TarError
from metalauncher.tooling.oci.tar_reader import TarReader

CASES = DATA / "tooling/oci/tar"
_LIMIT = 1 << 20  # bytes of a content that are looked at


@cache
def program() -> Path:
    """Return the program that reads with Go."""
    return goreaders.build("tar")


def read(data: bytes) -> Read:
    """Return what is read here, in the form in which Go's answer is."""
    members = []
    reader = TarReader(io.BytesIO(data))
    try:
        for header in reader:
            content = hashlib.sha256(reader.read(_LIMIT)).hexdigest()
            members.append(
                TarMember(
                    header.kind,
                    b"" if header.kind == b"g" else header.name,
                    header.target,
                    header.size,
                    header.mode,
                    header.owner,
                    header.group,
                    header.device,
                    content,
                )
            )
    except TarError as error:
        return Read(tuple(members), str(error))
    return Read(tuple(members), "")


def differences(archives: list[bytes]) -> list[str]:
    """Return each archive that is read otherwise than by Go."""
    found = []
    for number, (data, theirs) in enumerate(zip(archives, goreaders.read_tars(program(), archives), strict=True)):
        ours = read(data)
        if (ours.members, bool(ours.error)) != (theirs.members, bool(theirs.error)):
            found.append(f"{number}: {ours}\n  Go: {theirs}\n  {data[:6000]!r}")
    return found


def test_cases_as_files() -> None:
    """The files are those that their script writes."""
    assert {file.stem: file.read_bytes() for file in CASES.iterdir()} == tar_cases.CASES


@pytest.mark.parametrize("case", sorted([file.stem for file in CASES.iterdir()]))
def test_case(case: str) -> None:
    """Each oddity is read as by Go, and what Go refuses is refused."""
    assert differences([(CASES / f"{case}.tar").read_bytes()]) == []


@pytest.mark.parametrize(
    ("first", "count"),
    [(0, 300), *[pytest.param(number, 5000, marks=pytest.mark.thorough) for number in range(300, 20_300, 5000)]],
)
def test_search(first: int, count: int) -> None:
    """Archives composed and mutated by chance are read as by Go; some wholly, some until an error."""
    archives = [Composer(seed).archive() for seed in range(first, first + count)]
    assert differences(archives) == []
    errors = [bool(read(data).error) for data in archives]
    assert 0.1 < sum(errors) / count < 0.9


# What the cases are about, so that it is seen here which way Go decides; the rest Go alone knows.
NAMES: dict[str, list[bytes]] = {
    "v7-with-prefix": [b"name"],
    "gnu-prefix-of-old-go": [b"a/b/name"],
    "pax-path-empty": [b"short"],
    "pax-then-long-name": [b"gnu"],
    "pax-twice": [b"short"],
    "zeros-in-the-middle": [b"file"],
    "behind-the-end": [b"file"],
    "sparse-1-0": [b"sparse", b"next"],
}


@pytest.mark.parametrize("case", NAMES)
def test_names(case: str) -> None:
    """Where readers of tar disagree, the names are Go's."""
    assert [member.name for member in read((CASES / f"{case}.tar").read_bytes()).members] == NAMES[case]
