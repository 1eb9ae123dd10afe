"""The layer of SBOMs without the launcher's: every other member as it stands, whatever headers it has."""

from __future__ import annotations

import gzip
import io
import re
import tarfile

import pytest
from images import sha
from patchable import SBOMS
from raw_tar import END, GNU, base256, long_name, member, pax, sparse_1_0

from metalauncher import __version__
from metalauncher.tooling.apps.patch.layer_bytes import NewLayer, stored_gzip
from metalauncher.tooling.apps.patch.refusals import Refused
from metalauncher.tooling.apps.patch.sbom_layer import replace_sboms
from metalauncher.tooling.oci.image import Layer
from metalauncher.tooling.oci.model import describe
from metalauncher.tooling.sbom.files import render, shim
from metalauncher.tooling.sbom.model import EPOCH
from metalauncher.tooling.sbom.shim import shim_files

FILES = {"sbom.spdx.json": b"s", "sbom.cdx.json": b"c" * 600}
STALE = SBOMS.encode() + b"/sbom.cdx.json"
OTHER = [
    member(b"/layers", kind=b"5"),
    pax([(b"path", b"/layers/" + b"long" * 60), (b"SCHILY.xattr.user.a", b"\xff")]) + member(b"short", b"x" * 700),
    long_name(b"/layers/" + b"gnu" * 60) + member(b"short", b"y", magic=GNU),
    pax([(b"comment", b"of all")], b"g"),
    member(b"/layers/link", kind=b"2", target=STALE),
    sparse_1_0([(1, 3), (10, 2)], 12, b"abcde"),
    member(b"/layers/sbom/launch/buildpacksio_lifecycle/launcher.d/a", b"a"),
    member(b"/layers/sbom/build/buildpacksio_lifecycle/launcher/a", b"a"),
    member(SBOMS.encode().upper() + b"/a", b"a"),
    member(b"/z", b"z" * 1024),
]


def replaced(tar: bytes, files: dict[str, bytes] = FILES) -> bytes | None:
    """Return the new layer's tar; None where the old one stays."""
    data = gzip.compress(tar)
    made = replace_sboms(Layer(describe("", data), sha(tar), ""), data, files)
    if made is None:
        return None
    assert isinstance(made, NewLayer)
    content = gzip.decompress(made.data)
    assert (made.digest, made.diff_id) == (sha(made.data), sha(content))
    return content


def new(owner: int = 0, folder: str = SBOMS) -> bytes:
    """Return the members that go in."""
    return b"".join(
        [
            member(f"{folder}/{name}".encode(), FILES[name], owner=owner, group=owner, time=315532801)
            for name in ("sbom.cdx.json", "sbom.spdx.json")
        ]
    )


@pytest.mark.parametrize("at", range(len(OTHER) + 1))
def test_other_members_stay_byte_for_byte(at: int) -> None:
    """PAX and GNU headers go with their members, a map of holes with its data; what is gone is gone with its own."""
    stale = [
        member(STALE, b"old", owner=1000, group=1000),
        pax([(b"path", STALE + b"x")]) + member(b"short", b"z" * 513),
    ]
    before, behind = b"".join(OTHER[:at]), b"".join(OTHER[at:])
    folder = member(SBOMS.encode(), kind=b"5")
    tar = folder + before + stale[0] + behind + stale[1] + END
    assert replaced(tar) == folder + before + new(1000) + behind + END
    assert replaced(tar, {}) == before + behind + END


def test_a_layer_without_them_stays() -> None:
    """It is not written anew; the directory by itself is none of them."""
    assert replaced(b"".join(OTHER) + END) is None
    assert replaced(member(SBOMS.encode(), kind=b"5") + END) is None
    assert replaced(END) is None
    assert replaced(b"") is None


def test_what_is_below_the_directory_goes() -> None:
    """Directories and links too; where the layers lie elsewhere, there the new ones are put, spelled alike."""
    place = "srv/layers/sbom/launch/buildpacksio_lifecycle/launcher"
    tar = member(f"./{place}/sub".encode(), kind=b"5") + member(f"{place}/sub/a".encode(), kind=b"2", target=b"b") + END
    assert replaced(tar) == new(folder=place) + END


def test_owners_that_need_an_extended_header() -> None:
    """OpenShift's have ten digits: then root owns the SBOMs, which everybody may read."""
    for owner in (1 << 21, -1):
        tar = member(STALE, b"old", owner=base256(owner, 8)) + END
        assert replaced(tar) == new() + END
    assert replaced(member(STALE, b"", owner=(1 << 21) - 1, group=(1 << 21) - 1) + END) == new((1 << 21) - 1) + END


def test_archives_without_an_end() -> None:
    """Go takes them; the last member is filled up to a whole block."""
    kept = member(b"/a", b"a")
    tar = member(STALE, b"old") + kept
    assert replaced(tar) == new() + kept + END
    assert replaced(tar[: 1024 + 513]) == new() + kept + END
    assert replaced(tar + END + b"behind it") == new() + kept + END


@pytest.mark.parametrize("size", [0, 1, 65_534, 65_535, 65_536, 131_070, 131_071])
def test_stored_gzip(size: int) -> None:
    """Every reader makes of it what went in, and its bytes are the ones that RFC 1951 has for stored blocks."""
    data = bytes([number % 251 for number in range(size)])
    stored = stored_gzip(data)
    assert gzip.decompress(stored) == data
    assert len(stored) == 18 + size + 5 * max(1, -(-size // 65_535))
    assert stored[:10] == bytes.fromhex("1f8b08000000000000ff")


def test_tarfile_reads_it() -> None:
    """Python's reader finds the new members as they were meant."""
    content = replaced(member(STALE, b"old", owner=7, group=8) + END)
    assert content is not None
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        found = [(info.name, info.mode, info.uid, info.gid, info.mtime, info.uname) for info in archive]
    assert found == [(f"{SBOMS}/{name}", 0o644, 7, 8, 315532801, "") for name in sorted(FILES)]


def test_a_hard_link_to_what_is_gone() -> None:
    """It would lead nowhere; one of those that go may go with them."""
    gone = member(STALE, b"old")
    with pytest.raises(Refused, match=re.escape("/layers/a")) as error:
        replaced(gone + member(b"/layers/a", kind=b"1", target=STALE.lstrip(b"/")) + END)
    assert error.value.code == "sbom-layer"
    assert replaced(gone + member(STALE + b"x", kind=b"1", target=STALE) + END) == new() + END
    other = member(b"/layers/a", b"a") + member(b"/layers/b", kind=b"1", target=b"/layers/a")
    assert replaced(gone + other + END) == new() + other + END


def test_the_shims_sboms_are_those_of_an_image() -> None:
    """Byte for byte what the formats' libraries make of the same inventory, and of this version."""
    assert shim_files(__version__) == {
        "sbom.cdx.json": render(shim(), "cyclonedx", EPOCH),
        "sbom.spdx.json": render(shim(), "spdx", EPOCH),
    }
