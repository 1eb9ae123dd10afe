"""Layers applied as umoci and containerd apply them: cases, and a search by chance.

A tree without doubts is what all of them make of the layers; one with doubts is that everywhere else. What is refused
here, at least one of them refuses.
"""

from __future__ import annotations

import base64
import io
import os
from functools import cache
from pathlib import Path
from typing import Any

import goreaders
import pytest
from layer_stacks import Place, Stacks, covered, digest
from raw_tar import END, base256, long_name, member, old_sparse, pax, sparse_1_0

from metalauncher.tooling.oci import tree as tree_module
from metalauncher.tooling.oci.layer_reader import read_tar
from metalauncher.tooling.oci.model import ImageError
from metalauncher.tooling.oci.tar_header import TarError
from metalauncher.tooling.oci.tree import Tree


def _layer(*members: bytes) -> bytes:
    return b"".join(members) + END


def _file(name: str) -> bytes:
    return member(name.encode(), name.encode()[-9:])


def _folder(name: str, mode: int = 0o755) -> bytes:
    return member(name.encode(), kind=b"5", mode=mode)


def _link(name: str, target: str) -> bytes:
    return member(name.encode(), kind=b"2", target=target.encode(), mode=0o777)


def _hard(name: str, target: str, mode: int = 0o644) -> bytes:
    return member(name.encode(), kind=b"1", target=target.encode(), mode=mode)


_OVERLAY = [("usr", "has an attribute of overlayfs, or one that not every unpacker sets")]


@cache
def programs() -> tuple[Path, Path]:
    """Return those that unpack."""
    return goreaders.build("layers/umoci"), goreaders.build("layers/containerd")


def merged(layers: list[bytes]) -> Tree:
    """Return what the layers come to here."""
    tree = Tree()
    for number, layer in enumerate(layers):
        for each in read_tar(io.BytesIO(layer)):
            if each.doubt is not None:
                tree.doubt(*each.doubt)
            tree.apply(each, digest(each.read(1 << 20)) if each.kind == "file" else "", number)
    return tree


def places(tree: Tree) -> dict[str, Place]:
    """Return what there is."""
    return {
        path: Place(
            node.kind,
            0 if node.kind == "link" else node.mode,
            node.owner,
            node.group,
            node.target if node.kind == "link" else node.content,
        )
        for path, node in [("", tree.root), *tree.walk()]
    }


def unpacked(stacks: list[list[bytes]], folder: Path) -> list[dict[str, dict[str, Place] | str]]:
    """Return what each program makes of each of the stacks: a tree, or an error."""
    inputs = [goreaders.frames(layers) for layers in stacks]
    answers: list[dict[str, Any]] = [{} for _ in stacks]
    for program in programs():
        for answer, found in zip(answers, goreaders.ask(program, inputs, folder), strict=True):
            answer.update(found)
    return [{name: one["error"] or _places(one["tree"]) for name, one in answer.items()} for answer in answers]


def _places(tree: dict[str, dict[str, Any]]) -> dict[str, Place]:
    return {
        path: Place(
            one["kind"],
            one["mode"],
            one["owner"],
            one["group"],
            os.fsdecode(base64.b64decode(one["target"] or "")) if one["kind"] == "link" else one["content"],
        )
        for path, one in tree.items()
    }


def wrong(layers: list[bytes], results: dict[str, dict[str, Place] | str]) -> list[str]:
    """Return where the tree differs from what programs make, and no doubt says so."""
    try:
        tree = merged(layers)
    except (ImageError, TarError) as error:
        refused = any([isinstance(one, str) for one in results.values()])
        return [] if refused else [f"all take what is refused: {error}"]
    if covered("", tree.doubts):
        return []
    ours = places(tree)
    found = []
    for name, theirs in results.items():
        if isinstance(theirs, str):
            found.append(f"{name} refuses: {theirs}")
            continue
        found += [
            f"{name} has at {path!r} {theirs.get(path)}, not {ours.get(path)}"
            for path in sorted(ours.keys() | theirs.keys())
            if ours.get(path) != theirs.get(path) and not covered(path, tree.doubts)
        ]
    return found


# Layers -> what is doubted, or the reason of a refusal; nothing where all agree.
_BASE = _layer(
    *(_folder("usr"), _folder("usr/lib"), _folder("opt", 0o700), _file("usr/a"), _file("usr/lib/b"), _file("opt/c")),
    _link("lib", "usr/lib"),
)
CASES: dict[str, tuple[list[bytes], list[tuple[str, str]] | str]] = {
    "another-content": ([_layer(_file("usr/a"))], []),
    "names": ([_layer(_file("/usr/a"), _file("./usr/x"), _file("../opt/d"), _folder("usr//y/"))], []),
    "file-with-slash": ([_layer(_file("usr/x/"))], []),
    "no-name": ([_layer(_file(""))], [("", "has a member in place of the root directory")]),
    "root": ([_layer(_folder("./"))], []),
    "root-closed": (
        [_layer(_folder("./", 0o700))],
        [("", "gives the root directory another mode or owner: not every unpacker takes them")],
    ),
    "whiteout-of-a-file": ([_layer(_folder("usr"), _file("usr/.wh.a"))], []),
    "whiteout-of-a-directory": ([_layer(_file("usr/.wh.lib"))], []),
    "whiteout-of-nothing": ([_layer(_file("usr/.wh.none"))], []),
    "whiteout-of-another-type": ([_layer(_folder("usr/.wh.lib"))], []),
    "whiteout-without-name": ([_layer(_file("usr/.wh."))], [("", "has a whiteout of no name in /usr")]),
    "whiteout-of-a-dot": ([_layer(_file("usr/.wh.."))], [("", "has a whiteout of no name in /usr")]),
    "whiteout-and-then-file": ([_layer(_file("usr/.wh.lib"), _file("usr/lib"))], []),
    "whiteout-and-then-directory": (
        [_layer(_file("usr/.wh.lib"), _folder("usr/lib"))],
        [("usr/lib", "is made again by the layer that removes it: on overlayfs the removed files come back")],
    ),
    "whiteout-behind-its-entry": (
        [_layer(_file("usr/a"), _file("usr/.wh.a"))],
        [("", "whites out /usr/a in the layer that has it, or twice")],
    ),
    "whiteout-twice": (
        [_layer(_file("usr/.wh.a"), _file("usr/.wh.a"))],
        [("", "whites out /usr/a in the layer that has it, or twice")],
    ),
    "whiteout-in-no-directory": (
        [_layer(_file("no/.wh.a"))],
        [("no", "is not there, but something in it is whited out")],
    ),
    "opaque-first": ([_layer(_folder("usr"), _file("usr/.wh..wh..opq"), _file("usr/n"))], []),
    "opaque-last": ([_layer(_folder("usr"), _file("usr/n"), _file("usr/.wh..wh..opq"))], []),
    "opaque-in-the-middle": ([_layer(_folder("usr"), _file("usr/n"), _file("usr/.wh..wh..opq"), _file("usr/m"))], []),
    "opaque-behind-a-directory-without-member": (
        [_layer(_file("usr/lib/n"), _file("usr/.wh..wh..opq"))],
        [("", "has members below /usr/lib, and then makes /usr opaque")],
    ),
    "opaque-root": ([_layer(_file(".wh..wh..opq"))], [("", "has an opaque root directory")]),
    "below-what-was-removed": (
        [_layer(_file(".wh.usr")), _layer(_file("usr/lib/n"))],
        [
            ("", "has a member below /usr, which was removed, and not made again"),
            ("", "has a member below /usr/lib, which was removed, and not made again"),
        ],
    ),
    "through-a-link-of-a-lower-layer": (
        [_layer(_file("lib/n"))],
        [
            ("lib", "is a link that a higher layer has members through"),
            ("usr/lib/n", "is reached through a link of a lower layer"),
        ],
    ),
    "opaque-through-a-link-of-a-lower-layer": (
        [_layer(_file("lib/.wh..wh..opq"))],
        [
            ("lib", "is a link that a higher layer has members through"),
            ("usr/lib", "is reached through a link of a lower layer"),
        ],
    ),
    "through-a-link-to-what-was-a-file": (
        [_layer(_folder("usr/a"), _link("x", "/usr/a")), _layer(_folder("x/n/m"))],
        [
            ("usr/a/n", "is made through a link of a lower layer"),
            ("", "has a member below /usr/a/n, which was removed, and not made again"),
            ("x", "is a link that a higher layer has members through"),
            ("", "reaches /usr/a/n/m through a link, where a lower layer had something else"),
            ("usr/a/n/m", "is reached through a link of a lower layer"),
        ],
    ),
    "through-its-own-link": ([_layer(_link("new", "usr/lib"), _file("new/n"))], []),
    "through-its-own-dangling-link": ([_layer(_link("new", "/none/more"), _file("new/n"))], []),
    "through-a-loop": (
        [_layer(_link("x", "y"), _link("y", "x"), _file("x/n"))],
        "has a layer with a loop of links at 'x/n'",
    ),
    "below-a-file": ([_layer(_file("usr/a/n"))], [("", "has a member below /usr/a, which is not a directory")]),
    "directory-over-a-file": ([_layer(_folder("usr/a"), _file("usr/a/n"))], []),
    "directory-over-a-link": ([_layer(_folder("lib"), _file("lib/n"))], []),
    "file-over-a-directory": ([_layer(_file("usr/lib"))], []),
    "link-over-a-directory": ([_layer(_link("opt", "usr"))], []),
    "hard-link": ([_layer(_file("usr/x"), _hard("usr/y", "usr/x"))], []),
    "hard-link-to-a-link": ([_layer(_link("usr/x", "none"), _hard("usr/y", "usr/x"))], []),
    "hard-link-of-a-hard-link": ([_layer(_file("usr/x"), _hard("usr/y", "/usr/x"), _hard("usr/z", "./usr/y"))], []),
    "hard-link-to-a-lower-layer": (
        [_layer(_hard("usr/y", "usr/a"))],
        [("", "has a hard link to /usr/a, which is not of its own layer")],
    ),
    "hard-link-of-another-mode": (
        [_layer(_file("usr/x"), _hard("usr/y", "usr/x", 0o600))],
        [
            ("usr/x", "is a hard link of another mode or owner than the file that it leads to"),
            ("usr/y", "is a hard link of another mode or owner than the file that it leads to"),
        ],
    ),
    "hard-link-to-itself": (
        [_layer(_hard("usr/a", "usr/a"))],
        "has a hard link to 'usr/a', which is not a file of the image",
    ),
    "hard-link-forward": (
        [_layer(_hard("usr/y", "usr/x"), _file("usr/x"))],
        "has a hard link to 'usr/x', which is not a file of the image",
    ),
    "device-of-a-whiteout": (
        [_layer(member(b"usr/a", kind=b"3", device=(0, 0)))],
        [("usr/a", "is a device 0:0, which overlayfs takes for a whiteout")],
    ),
    "fifo": ([_layer(member(b"usr/f", kind=b"6"))], []),
    "contiguous": ([_layer(member(b"f", b"x", b"7"))], "has a layer with a member of type '7', which nothing unpacks"),
    "old-sparse": (
        [_layer(old_sparse([(0, 1)], 9, b"x"))],
        "has a layer with a member of type 'S', which nothing unpacks",
    ),
    "sparse": ([_layer(sparse_1_0([(1, 2)], 9, b"ab", b"usr/s"))], []),
    "global-header": (
        [_layer(pax([(b"comment", b"x")], b"g"))],
        [("", "has a global PAX header, which umoci refuses")],
    ),
    "attribute": ([_layer(pax([(b"SCHILY.xattr.user.overlay.opaque", b"y")]), _folder("usr"))], _OVERLAY),
    "attribute-trusted": ([_layer(pax([(b"SCHILY.xattr.trusted.overlay.opaque", b"y")]), _folder("usr"))], _OVERLAY),
    "link-to-nothing": ([_layer(_link("x", ""))], [("", "has a link at /x that no file system takes")]),
    "long-name": (
        [_layer(long_name(b"n" * 256) + _file("n"))],
        [("", "has a name that is too long for most file systems")],
    ),
    "owner": (
        [_layer(member(b"x", owner=base256(-1, 8)))],
        [("x", "belongs to a user or group whose number is invalid")],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_case(tmp_path: Path, case: str) -> None:
    """Each case is unpacked as here, or what is odd about it is said."""
    above, expected = CASES[case]
    layers = [_BASE, *above]
    assert wrong(layers, unpacked([layers], tmp_path)[0]) == []
    if isinstance(expected, str):
        with pytest.raises(ImageError) as caught:
            merged(layers)
        assert (caught.value.kind, caught.value.reason) == ("damaged", expected)
    else:
        assert merged(layers).doubts == expected


@pytest.mark.parametrize(("first", "count"), [(0, 60), pytest.param(60, 2000, marks=pytest.mark.thorough)])
def test_search(tmp_path: Path, first: int, count: int) -> None:
    """Layers by chance are unpacked as here; where they are not, it is said."""
    stacks = [Stacks(seed).layers() for seed in range(first, first + count)]
    found = [wrong(layers, results) for layers, results in zip(stacks, unpacked(stacks, tmp_path), strict=True)]
    assert {first + number: each for number, each in enumerate(found) if each} == {}
    # A fifth is without a doubt: else that nothing was found would say little.
    assert sum([_sure(layers) for layers in stacks]) > count / 6


def _sure(layers: list[bytes]) -> bool:
    try:
        return not merged(layers).doubts
    except (ImageError, TarError):
        return False


def test_many_doubts() -> None:
    """What is said of an image is bounded."""
    doubts = merged([_layer(*[member(b"%d" % number, owner=base256(-1, 8)) for number in range(1500)])]).doubts
    assert (len(doubts), doubts[-1]) == (1001, ("", "has more than 1000 places that unpackers read differently"))


def test_opaque_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Directories in directories, each made opaque over many files, are not looked through for ever."""
    monkeypatch.setattr(tree_module, "_STEPS_LIMIT", 10_000)
    paths = ["/".join("d" * depth) for depth in range(1, 30)]
    files = [_file(f"{paths[-1]}/{number}") for number in range(500)]
    layer = _layer(*[_folder(path) for path in paths], *files, *[_file(f"{path}/.wh..wh..opq") for path in paths])
    with pytest.raises(ImageError, match="has layers that hide the same directories again and again"):
        merged([layer])
