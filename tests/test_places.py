"""places.py: which path is opened for a path of the image, under each kind of root."""

from __future__ import annotations

import posix
from pathlib import Path

import pytest

from metalauncher.places import Root, root_from


@pytest.mark.parametrize("prefix", [b"", b"relative", b"./x", b"../x"])
def test_relative_root_is_ignored(prefix: bytes) -> None:
    """METALAUNCHER_ROOT counts only where it is absolute: the working directory configures nothing."""
    assert root_from({b"METALAUNCHER_ROOT": prefix}).prefix == b""
    assert root_from({}).prefix == b""


@pytest.mark.parametrize(("real", "effective"), [("getuid", "geteuid"), ("getgid", "getegid")])
def test_root_is_ignored_in_a_set_id_process(real: str, effective: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a set-id process METALAUNCHER_ROOT is somebody else's, and ignored."""
    monkeypatch.setattr(posix, real, lambda: 1000)
    monkeypatch.setattr(posix, effective, lambda: 0)
    assert root_from({b"METALAUNCHER_ROOT": b"/x"}).prefix == b""
    monkeypatch.setattr(posix, effective, lambda: 1000)
    assert root_from({b"METALAUNCHER_ROOT": b"/x"}).prefix == b"/x"


def test_prefix() -> None:
    """METALAUNCHER_ROOT prefixes metalauncher's own places, and the layers not at all: the launcher uses those."""
    root = Root(b"/x//")
    assert root.locate(b"/usr/lib") == b"/x/usr/lib"
    assert root.locate_layers(b"/layers") == b"/layers"
    assert Root(b"/").locate(b"/usr") == b"/usr"
    assert Root(b"/XX/X//").prefix == b"/XX/X"


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/plain", "/plain"),
        ("/usr/lib/x", "/usr/lib/x"),
        ("/absolute/x", "/usr/lib/x"),
        ("/relative/x", "/usr/lib/x"),
        ("/up/x", "/usr/lib/x"),
        ("/out/x", "/usr/lib/x"),
        ("/chain/x", "/usr/lib/x"),
        ("/missing/x", "/nowhere/x"),
        ("/dots/x", "/usr/lib/x"),
        ("//usr/./lib/../lib/x", "/usr/lib/x"),
        ("/../../usr", "/usr"),
        ("not/absolute", "/not/absolute"),
    ],
)
def test_whole_root(path: str, found: str, tmp_path: Path) -> None:
    """Under --root the layers lie inside too, and every link, absolute or climbing, stays inside."""
    (tmp_path / "usr/lib").mkdir(parents=True)
    for name, target in (
        ("absolute", "/usr/lib"),
        ("relative", "usr/lib"),
        ("up", "usr/../usr/lib/"),
        ("out", "../../../../../../../usr/lib"),
        ("chain", "/absolute"),
        ("missing", "/nowhere"),
        ("dots", "./usr//.///lib/./"),
    ):
        (tmp_path / name).symlink_to(target)
    root = Root(str(tmp_path).encode(), whole=True)
    assert root.locate(path.encode()).decode() == str(tmp_path) + found
    assert root.locate_layers(path.encode()).decode() == str(tmp_path) + found


@pytest.mark.parametrize("links", [2, 50])
def test_whole_root_with_too_many_links(links: int, tmp_path: Path) -> None:
    """A loop, or more links than the kernel follows, leads to no file at all: above all to none outside."""
    for number in range(links):
        (tmp_path / f"{number}").symlink_to(f"/{(number + 1) % links}")
    (tmp_path / "49").unlink(missing_ok=True)
    (tmp_path / "49").symlink_to("/etc")
    place = Root(str(tmp_path).encode(), whole=True).locate(b"/0/passwd")
    with pytest.raises(OSError, match="File name too long"):
        posix.stat(place)


def test_as_many_links_as_the_kernel_follows(tmp_path: Path) -> None:
    """Forty are followed, and the forty-first is not (path_resolution(7))."""
    (tmp_path / "0").mkdir()
    for number in range(1, 42):
        (tmp_path / f"{number}").symlink_to(f"{number - 1}")
    root = Root(bytes(tmp_path), whole=True)
    assert posix.stat(tmp_path / "40")
    assert root.locate(b"/40/x") == bytes(tmp_path) + b"/0/x"
    for place in (bytes(tmp_path / "41"), root.locate(b"/41/x")):
        with pytest.raises(OSError, match=r"Too many levels of symbolic links|File name too long"):
            posix.stat(place)


def test_as_long_as_a_path_may_be(tmp_path: Path) -> None:
    """4,095 bytes are resolved; one more and the path is passed on for the kernel to refuse."""
    (tmp_path / "link").symlink_to("target")
    root = Root(bytes(tmp_path), whole=True)
    for length, found in ((4095, bytes(tmp_path) + b"/target/x"), (4096, None)):
        path = b"/link" + b"/x".rjust(length - len(b"/link"), b"/")
        assert root.locate(path) == (found or bytes(tmp_path) + path)


def test_as_long_as_links_may_make_it(tmp_path: Path) -> None:
    """Where links lead to a place of 4,096 bytes, resolving ends there; a byte less, and it goes on."""
    room = 4096 - len(bytes(tmp_path))
    root = Root(bytes(tmp_path), whole=True)
    for length, more in ((room - 1, b"/x"), (room, b"")):
        parts = -(-length // 200)
        sizes = [length // parts + (number < length % parts) for number in range(parts)]
        target = b"".join([b"/".ljust(size, b"a") for size in sizes])
        (tmp_path / f"link{length}").symlink_to(target.decode())
        assert root.locate(f"/link{length}/x".encode()) == bytes(tmp_path) + target + more


def test_a_path_that_no_kernel_takes_is_not_resolved(tmp_path: Path) -> None:
    """A path beyond PATH_MAX is passed on whole, for the kernel to refuse: resolving it part by part is quadratic."""
    path = b"/a" * 100_000
    assert Root(bytes(tmp_path), whole=True).locate(path) == bytes(tmp_path) + path
