"""Layers read member by member, and what they come to: whiteouts, links, hostile and damaged ones."""

from __future__ import annotations

import gzip
import os
import random
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from bundles import tree as files_under
from layouts import OCI, Layout, Packed, directory, file, link, packed, tar

from metalauncher.tooling.oci import layer_reader as limits
from metalauncher.tooling.oci import tree as tree_module
from metalauncher.tooling.oci.image import Image, load_image
from metalauncher.tooling.oci.layer_reader import Member, clean, open_layer
from metalauncher.tooling.oci.materialise import materialise
from metalauncher.tooling.oci.model import ImageError
from metalauncher.tooling.oci.sources.layout import LayoutStore
from metalauncher.tooling.oci.tree import Tree, read_tree

KIND = {"hard": tarfile.LNKTYPE}


def image_of(tmp_path: Path, *layers: Packed) -> Image:
    """Return an image of these layers."""
    layout = Layout(tmp_path / "layout").image(*layers)
    return load_image(LayoutStore(str(layout.directory), None))


def merged(tmp_path: Path, *layers: Packed, keep: int = 100) -> Tree:
    """Return what the layers come to, the first bytes of each file kept."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return read_tree(image_of(tmp_path, *layers), lambda _: keep, str(scratch))


def content(tree: Tree) -> dict[str, str]:
    """Return every path but directories, with a file's content, or a link's target."""
    return {
        path: Path(node.content).read_text() if node.kind == "file" else f"-> {node.target}"
        for path, node in tree.walk()
        if node.kind != "directory"
    }


BASE = packed(directory("usr"), file("usr/a", b"a"), file("usr/b", b"b"), file("opt/x/y", b"y"), file("opt/z", b"z"))

# Incompressible, so that no buffer takes it whole.
LARGE = packed(*[file(name, random.Random(name).randbytes(400_000)) for name in "abc"])

# what is put over BASE -> what there then is
OVER: dict[str, tuple[list[tuple[tarfile.TarInfo, bytes]], dict[str, str]]] = {
    "nothing": ([], {"opt/x/y": "y", "opt/z": "z", "usr/a": "a", "usr/b": "b"}),
    "another-content": (
        [file("usr/a", b"new")],
        {"opt/x/y": "y", "opt/z": "z", "usr/a": "new", "usr/b": "b"},
    ),
    "names-with-a-slash-or-dot-in-front": (
        [file("/usr/a", b"1"), file("./usr/b", b"2"), file("../../opt/z", b"3")],
        {"opt/x/y": "y", "opt/z": "3", "usr/a": "1", "usr/b": "2"},
    ),
    "whiteout-of-a-file": ([file("usr/.wh.a")], {"opt/x/y": "y", "opt/z": "z", "usr/b": "b"}),
    "whiteout-of-a-directory": ([file("opt/.wh.x")], {"opt/z": "z", "usr/a": "a", "usr/b": "b"}),
    "whiteout-of-nothing": (
        [file("opt/.wh.none")],
        {"opt/x/y": "y", "opt/z": "z", "usr/a": "a", "usr/b": "b"},
    ),
    "whiteout-does-not-hide-its-own-layer": (
        [file("usr/a", b"new"), file("usr/.wh.a")],
        {"opt/x/y": "y", "opt/z": "z", "usr/a": "new", "usr/b": "b"},
    ),
    "whiteout-of-a-directory-that-its-own-layer-has": (
        [file("opt/x/new", b"new"), file(".wh.opt")],
        {"opt/x/new": "new", "usr/a": "a", "usr/b": "b"},
    ),
    "opaque-directory": (
        [file("opt/.wh..wh..opq"), file("opt/n", b"n")],
        {"opt/n": "n", "usr/a": "a", "usr/b": "b"},
    ),
    "opaque-directory-after-its-content": (
        [file("opt/x/n", b"n"), file("opt/.wh..wh..opq")],
        {"opt/x/n": "n", "usr/a": "a", "usr/b": "b"},
    ),
    "file-in-place-of-a-directory": (
        [file("opt", b"o")],
        {"opt": "o", "usr/a": "a", "usr/b": "b"},
    ),
    "directory-in-place-of-a-file": (
        [directory("opt/z"), file("opt/z/in", b"i")],
        {"opt/x/y": "y", "opt/z/in": "i", "usr/a": "a", "usr/b": "b"},
    ),
    "hard-link": (
        [link("opt/hard", "usr/a", KIND["hard"])],
        {"opt/hard": "a", "opt/x/y": "y", "opt/z": "z", "usr/a": "a", "usr/b": "b"},
    ),
    "through-a-link": (
        [link("lib", "usr"), file("lib/c", b"c"), file("lib/.wh.a")],
        {"lib": "-> usr", "opt/x/y": "y", "opt/z": "z", "usr/b": "b", "usr/c": "c"},
    ),
    "through-a-link-upwards": (
        [link("opt/x/up", "../../../usr"), file("opt/x/up/c", b"c")],
        {"opt/x/up": "-> ../../../usr", "opt/x/y": "y", "opt/z": "z", "usr/a": "a", "usr/b": "b", "usr/c": "c"},
    ),
}


@pytest.mark.parametrize("case", OVER)
def test_over(tmp_path: Path, case: str) -> None:
    """A layer changes what is below it as the image specification says."""
    members, expected = OVER[case]
    assert content(merged(tmp_path, BASE, packed(*members))) == expected


@pytest.mark.parametrize("case", OVER)
def test_as_the_merged_layer(tmp_path: Path, case: str) -> None:
    """Laid out as files, the tree is what it says it is."""
    members, expected = OVER[case]
    root = tmp_path / "scratch/root"
    tree = merged(tmp_path, BASE, packed(*members))
    root.mkdir()
    materialise(tree, [""], str(root))
    found = {
        path: value.decode() if isinstance(value, bytes) else f"-> {value}"
        for path, (_, value) in files_under(root).items()
        if value != "a directory"
    }
    assert found == expected


@pytest.mark.parametrize("case", OVER)
def test_forks(tmp_path: Path, case: str) -> None:
    """A fork becomes what the merged layers are; what it was forked from, and its other forks, stay as they were."""
    members, expected = OVER[case]
    base = merged(tmp_path, BASE)
    before = content(base)
    forks = [base.fork(), base.fork()]
    for number, (info, data) in enumerate(members):
        (tmp_path / f"new{number}").write_bytes(data)
        kind = {tarfile.DIRTYPE: "directory", tarfile.SYMTYPE: "link", tarfile.LNKTYPE: "hard link"}.get(
            info.type, "file"
        )
        member = Member(clean(info.name), kind, info.mode, info.size, info.linkname, lambda _: b"")
        forks[0].apply(member, str(tmp_path / f"new{number}") if kind == "file" else "", 1)
    assert content(forks[0]) == expected
    assert content(base) == content(forks[1]) == before


SKIPPED = b"\x5f\x2a\x4d\x18\x05\0\0\0other"  # a zstd frame that holds no data, as zstd:chunked and pzstd write them
COMPRESSIONS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "gzip": (gzip.compress, "tar+gzip"),
    "gzip-in-two-parts": (lambda data: gzip.compress(data[:700]) + gzip.compress(data[700:]), "tar+gzip"),
    "zstd": (zstandard.compress, "tar+zstd"),
    "zstd-among-others": (lambda data: zstandard.compress(data) + b"\x50\x2a\x4d\x18\x02\0\0\0xx", "tar+zstd"),
    "zstd-behind-others": (lambda data: SKIPPED + b"\x50\x2a\x4d\x18\0\0\0\0" + zstandard.compress(data), "tar+zstd"),
    "zstd-between-others": (
        lambda data: SKIPPED + zstandard.compress(data[:700]) + SKIPPED + zstandard.compress(data[700:]) + SKIPPED,
        "tar+zstd",
    ),
    "zstd-in-many-parts": (
        lambda data: b"".join([SKIPPED + zstandard.compress(data[at : at + 99]) for at in range(0, len(data), 99)]),
        "tar+zstd",
    ),
    "zstd-named-as-gzip": (lambda data: SKIPPED + zstandard.compress(data), "tar+gzip"),
    "zstd-in-two-parts": (lambda data: zstandard.compress(data[:700]) + zstandard.compress(data[700:]), "tar+zstd"),
    "none": (bytes, "tar"),
    "gzip-called-plain": (gzip.compress, "tar"),
}


@pytest.mark.parametrize("case", COMPRESSIONS)
def test_compression(tmp_path: Path, case: str) -> None:
    """A layer is read however it is compressed, also where its media type is wrong."""
    compress, media_type = COMPRESSIONS[case]
    data = tar(file("a", b"a" * 3000), file("b", b"b"))
    layer = Packed(compress(data), data, f"{OCI}.layer.v1.{media_type}")
    assert content(merged(tmp_path, layer)) == {"a": "a" * 100, "b": "b"}


def test_no_bytes_at_all(tmp_path: Path) -> None:
    """A layer without a byte is one without members."""
    assert content(merged(tmp_path, Packed(b"", b""), packed(file("a", b"1")))) == {"a": "1"}


def test_links(tmp_path: Path) -> None:
    """Links resolve inside the image, relative and absolute ones, and loops end."""
    tree = merged(
        tmp_path,
        packed(
            file("usr/lib/x", b"x"),
            link("lib", "usr/lib"),
            link("abs", "/lib/x"),
            link("up", "../../../usr/lib/x"),
            link("loop", "loop/more"),
            link("a", "b"),
            link("b", "a"),
            link("gone", "nowhere"),
        ),
    )
    found = {path: tree.find(path) for path in ("lib/x", "abs", "up", "loop", "a", "gone", "usr/lib/x/y", "")}
    assert {path: result[0] if result else None for path, result in found.items()} == {
        "lib/x": "usr/lib/x",
        "abs": "usr/lib/x",
        "up": "usr/lib/x",
        "loop": None,
        "a": None,
        "gone": None,
        "usr/lib/x/y": None,
        "": "",
    }
    assert (tree.get("abs") or ("", tree.root))[1].target == "/lib/x"
    assert tree.get("a/x") is None


def test_lay_out_a_part(tmp_path: Path) -> None:
    """Of a part that is laid out, what its links lead to is laid out too, and nothing else."""
    tree = merged(
        tmp_path,
        packed(
            file("usr/lib/cnb/launchers.d/a.toml", b"a", 0o640),
            link("usr/lib/cnb/launchers.d/b.toml", "/opt/b.toml"),
            link("usr/lib/cnb/launchers.d/c.toml", "nowhere"),
            link("usr/lib/cnb/launchers.d/self", "self/self"),
            link("usr/lib/cnb/launchers.d/up", "../../../lib/cnb/launchers.d"),
            file("opt/b.toml", b"b"),
            file("opt/other", b"o"),
            link("etc/cnb", "../usr/lib/cnb"),
        ),
    )
    root = tmp_path / "scratch/root"
    root.mkdir()
    materialise(tree, ["etc/cnb/launchers.d", "none"], str(root))
    found = files_under(root)
    assert {path: value for path, (_, value) in found.items() if value != "a directory"} == {
        "etc/cnb": "../usr/lib/cnb",
        "opt/b.toml": b"b",
        "usr/lib/cnb/launchers.d/a.toml": b"a",
        "usr/lib/cnb/launchers.d/b.toml": "/opt/b.toml",
        "usr/lib/cnb/launchers.d/c.toml": "nowhere",
        "usr/lib/cnb/launchers.d/self": "self/self",
        "usr/lib/cnb/launchers.d/up": "../../../lib/cnb/launchers.d",
    }
    assert found["usr/lib/cnb/launchers.d/a.toml"][0] == 0o640


def test_what_is_not_wanted(tmp_path: Path) -> None:
    """Of files that are not wanted no content is kept, but they are there."""
    tree = merged(tmp_path, packed(file("a", b"1")), keep=0)
    found = tree.find("a")
    assert found is not None
    assert (found[1].kind, found[1].size, found[1].content) == ("file", 1, "")
    assert os.listdir(tmp_path / "scratch") == []


def refusal(tmp_path: Path, *layers: Packed) -> tuple[str, str]:
    """Return what speaks against these layers."""
    with pytest.raises(ImageError) as caught:
        merged(tmp_path, *layers)
    return caught.value.kind, caught.value.reason


def _damaged(data: bytes) -> Packed:
    return Packed(data, data)


def _flipped() -> bytes:
    data = bytearray(tar(file("one", b"1"), file("two", b"2")))
    data[1024 + 3] ^= 0xFF
    return bytes(data)


def _large_header() -> bytes:
    info, _ = file("a")
    info.pax_headers = {"comment": "x" * (2 << 20)}
    return tar((info, b""))


WRONG: dict[str, tuple[Packed, str, str]] = {
    "cut-inside-a-file": (
        _damaged(tar(file("a", b"a" * 5000))[:2000]),
        "damaged",
        "has a layer that is damaged: unexpected end of data",
    ),
    "cut-inside-a-header": (_damaged(tar(file("a"))[:300]), "damaged", "has a layer that is damaged: "),
    "second-header-damaged": (_damaged(_flipped()), "damaged", "has a layer that is damaged: bad checksum"),
    "no-tar": (_damaged(b"hello " * 500), "damaged", "has a layer that is damaged: "),
    "gzip-cut": (_damaged(BASE.blob[:-30]), "damaged", "has a layer that is damaged: "),
    "gzip-crc": (
        _damaged(BASE.blob[:-8] + bytes(8)),
        "damaged",
        "has a layer that is damaged: CRC check failed",
    ),
    "zstd-cut": (_damaged(zstandard.compress(LARGE.tar)[:-9999]), "damaged", "has a layer that is damaged: "),
    "zstd-cut-small": (
        _damaged(zstandard.compress(tar(file("etc/hosts", b"x")))[:-4]),
        "damaged",
        "has a layer that is damaged: a zstd frame is cut off",
    ),
    "zstd-damaged": (_damaged(b"\x28\xb5\x2f\xfd" + b"\xff" * 40), "damaged", "has a layer that is damaged: "),
    "header-of-megabytes": (_damaged(_large_header()), "damaged", "has a layer with a header of 2097"),
    "hard-link-to-nothing": (
        packed(link("a", "none", KIND["hard"])),
        "damaged",
        "has a hard link to 'none', which is not a file of the image",
    ),
    "hard-link-to-a-directory": (
        packed(directory("d"), link("d/again", "d", KIND["hard"])),
        "damaged",
        "has a hard link to 'd', which is not a file of the image",
    ),
    "through-a-loop": (
        packed(link("a", "b"), link("b", "a"), file("a/x")),
        "damaged",
        "has a layer with a loop of links at 'a/x'",
    ),
    "foreign": (
        Packed(
            BASE.blob,
            BASE.tar,
            "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
            {"urls": ["https://example.com/layer"]},
        ),
        "unsupported",
        "has a foreign layer, which its registry does not hold",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong(tmp_path: Path, case: str) -> None:
    """Each damaged or hostile layer is refused with its own words."""
    layer, kind, reason = WRONG[case]
    found = refusal(tmp_path, layer)
    assert (found[0], found[1][: len(reason)]) == (kind, reason)


@pytest.mark.parametrize("read", [0, 1, 2])
def test_changed_layer(tmp_path: Path, read: int) -> None:
    """A layer that is not the one of its digest is refused at its end, however far its members were looked at."""
    image = image_of(tmp_path, LARGE)
    blob = tmp_path / "layout/blobs" / image.layers[0].blob.digest.replace(":", "/")
    other = bytearray(LARGE.blob)
    other[4] ^= 1  # gzip's own time stamp: the tar inside is the same
    blob.write_bytes(other)
    with open_layer(image.store, image.layers[0], 4 << 20) as members:
        for _ in range(read):
            next(members)
        with pytest.raises(ImageError, match="has another digest than sha256:"):
            list(members)


def test_expands_too_far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small layer that expands beyond the limit is refused when it does."""
    monkeypatch.setattr(tree_module, "EXPANDED_LIMIT", 1 << 20)
    assert refusal(tmp_path, packed(file("a", bytes(2 << 20)))) == (
        "too-large",
        "has a layer that expands to more than 1 MiB",
    )


def test_many_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of members is bounded, in one layer and in all together."""
    monkeypatch.setattr(limits, "MEMBERS_LIMIT", 3)
    (tmp_path / "one").mkdir()
    assert refusal(tmp_path / "one", BASE) == ("too-large", "has a layer with more than 3 members")
    monkeypatch.setattr(limits, "MEMBERS_LIMIT", 6)
    monkeypatch.setattr(tree_module, "MEMBERS_LIMIT", 6)
    (tmp_path / "all").mkdir()
    assert refusal(tmp_path / "all", BASE, BASE) == ("too-large", "has more than 6 files")


def test_much_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept of all files together is bounded."""
    monkeypatch.setattr(tree_module, "_KEPT_LIMIT", 150)
    assert refusal(tmp_path, packed(file("a", b"a" * 100), file("b", b"b" * 100)))[0] == "too-large"


def test_zstd_window(tmp_path: Path) -> None:
    """A frame that would make us hold gigabytes is refused."""
    parameters = zstandard.ZstdCompressionParameters(window_log=28)
    data = bytes(200 << 20)
    large = zstandard.ZstdCompressor(compression_params=parameters).compress(data)
    kind, reason = refusal(tmp_path, Packed(large, data))
    assert (kind, reason[:44]) == ("damaged", "has a layer that is damaged: zstd decompress")
