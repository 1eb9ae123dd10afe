"""registry.py: launchers.d -> Registry. A descriptor's case is a file of tests/data/descriptors.

Beside a valid one stands a `.json` with every value read, beside an invalid one an `.expect` with key, line and reason.
"""

from __future__ import annotations

import json
import os
import posix
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import DATA, Image
from making import launcher, unprivileged

from metalauncher.apis import ApiRange, ApiSet, ApiVersion
from metalauncher.descriptor import Launcher
from metalauncher.places import Root
from metalauncher.registry import InvalidDescriptor, Registry, load_registry, read_descriptor

VALID = sorted((DATA / "descriptors/valid").glob("*.toml"))
INVALID = sorted((DATA / "descriptors/invalid").glob("*.toml"))
UPDATE = bool(os.environ.get("METALAUNCHER_UPDATE"))

DESCRIPTOR = """\
[launcher]
id = "{0}"
version = "1"
[apis]
platform.supported = ["0.7"]
buildpack.supported = ["0.7"]
"""
MASK = "[launcher]\nmasked = true\n"


def _set(apis: ApiSet) -> dict[str, object]:
    return {
        "supported": apis.supported.text if isinstance(apis.supported, ApiRange) else list(map(str, apis.supported)),
        "deprecated": list(map(str, apis.deprecated)),
        "default": None if apis.default is None else str(apis.default),
    }


def test_there_are_cases() -> None:
    """Every descriptor has its expectation, and there are some of both kinds."""
    assert len(VALID) > 15
    assert len(INVALID) > 70
    assert [file.stem for file in VALID] == [file.stem for file in sorted(VALID[0].parent.glob("*.json"))]
    assert [file.stem for file in INVALID] == [file.stem for file in sorted(INVALID[0].parent.glob("*.expect"))]


@pytest.mark.parametrize("file", VALID, ids=lambda file: file.stem)
def test_valid(file: Path) -> None:
    """Every field of a descriptor is read as docs/reference/descriptor.md says."""
    found = read_descriptor(str(file).encode(), "shown")
    assert isinstance(found, Launcher)
    assert {
        "id": found.id,
        "version": found.version,
        "path": found.path,
        "priority": found.priority,
        "opt_in_env": found.opt_in_env,
        "requires": list(found.requires),
        **({"cannot_read": list(found.cannot_read)} if found.cannot_read else {}),
        "sha256": found.sha256,
        "platform": _set(found.platform),
        "buildpack": _set(found.buildpack),
    } == json.loads(file.with_suffix(".json").read_text())
    assert found.descriptor == "shown"


@pytest.mark.parametrize("file", INVALID, ids=lambda file: file.stem)
def test_invalid(file: Path) -> None:
    """An invalid descriptor is refused with its key, the line where the parser gives one, and what is wrong."""
    with pytest.raises(InvalidDescriptor) as refused:
        read_descriptor(str(file).encode(), "shown")
    error = refused.value
    text = f"key: {error.key}\nline: {error.line or '-'}\nreason: {error.reason}\n"
    if UPDATE:
        file.with_suffix(".expect").write_text(text)
    assert text == file.with_suffix(".expect").read_text()
    assert error.file == "shown"
    # Whoever has a line says it: nobody has to add it.
    assert error.line is None or f"(at line {error.line}" in error.reason or "(at end of document)" in error.reason


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (InvalidDescriptor("/f", "launcher.id", "is missing"), "/f: launcher.id: is missing"),
        (InvalidDescriptor("/f", "", "is empty"), "/f: is empty"),
        (InvalidDescriptor("/f", "", "toml: bad (at line 7, column 1)", 7), "/f: toml: bad (at line 7, column 1)"),
    ],
)
def test_invalid_in_words(error: InvalidDescriptor, text: str) -> None:
    """The line is said once."""
    assert str(error) == text


def test_launcher_in_words() -> None:
    """A launcher is called id@version, and lies at the default place if its descriptor says nothing else."""
    assert repr(launcher("a/b@1.0")) == "a/b@1.0"
    assert launcher("a/b@1.0").path == "/usr/lib/cnb/launchers/a/b/1.0/launcher"
    with pytest.raises(ValueError, match="is not a PEP 440 version"):
        launcher("a/b@x")


def test_a_launcher_of_nothing_but_its_apis() -> None:
    """What a descriptor need not say has the value that docs/reference/descriptor.md gives it."""
    versions = ApiSet([ApiVersion.parse("0.7")])
    found = Launcher(identifier="a/b", version="1.0", platform=versions, buildpack=versions)
    assert (found.priority, found.opt_in_env, found.requires, found.sha256, found.descriptor) == (0, None, (), None, "")
    assert found.path == "/usr/lib/cnb/launchers/a/b/1.0/launcher"


def test_every_fate_at_once(places: Directories) -> None:
    """What is replaced, masked or broken takes nothing from the files after it."""
    for directory, files in (
        (places.etc, {"a": "x/a", "b": MASK, "c": "broken", "d": "x/d"}),
        (places.usr, {"a": "y/a", "b": "y/b", "c": "y/c", "d": "y/d", "e": MASK, "f": "broken", "g": "y/g"}),
    ):
        for name, text in files.items():
            (directory / f"{name}.toml").write_text(DESCRIPTOR.format(text) if "/" in text else text)
    registry = places.load()
    assert [found.id for found in registry.launchers] == ["x/a", "x/d", "y/c", "y/g"]
    assert registry.overridden == tuple(
        (str(places.usr / name), str(places.etc / name)) for name in ("a.toml", "d.toml")
    )
    assert registry.masked == (
        (str(places.usr / "b.toml"), str(places.etc / "b.toml")),
        (str(places.usr / "e.toml"), str(places.usr / "e.toml")),
    )
    assert [places.short(error.file) for error in registry.invalid] == [
        "etc/cnb/launchers.d/c.toml",
        "usr/lib/cnb/launchers.d/f.toml",
    ]
    assert [error.key for error in registry.invalid] == ["", ""]


def test_what_was_a_link_when_it_was_listed(places: Directories, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link that has become a file since is no mask: what it holds is read."""

    def gone(_path: bytes) -> bytes:
        raise OSError(22, "Invalid argument")

    (places.usr / "b.toml").symlink_to("a.toml")
    monkeypatch.setattr(posix, "readlink", gone)
    assert places.ids() == ["image/a", "image/a"]


def test_nothing_dangles_but_a_link(tmp_path: Path) -> None:
    """Of a file that is not there no more is said than that."""
    for link, reason in (({}, "no such file or directory"), ({"link": True}, "dangling link")):
        with pytest.raises(InvalidDescriptor) as refused:
            read_descriptor(bytes(tmp_path / "none.toml"), "shown", **link)
        assert (refused.value.key, refused.value.reason) == ("", reason)


class Directories:
    """The operator's and the image's descriptor directories below a scratch root."""

    def __init__(self, root: Path) -> None:
        """Make both, unless they are there."""
        self.root = root
        self.etc = root / "etc/cnb/launchers.d"
        self.usr = root / "usr/lib/cnb/launchers.d"
        for directory in (self.etc, self.usr):
            directory.mkdir(parents=True, exist_ok=True)

    def load(self, *, whole: bool = False) -> Registry:
        """Read them."""
        return load_registry(Root(str(self.root).encode(), whole=whole))

    def ids(self) -> list[str]:
        """Return the ids of the launchers in effect."""
        return sorted(found.id for found in self.load().launchers)

    def invalid(self) -> list[tuple[str, str]]:
        """Return (file below the root, reason) of what is left out."""
        return [(self.short(error.file), error.reason) for error in self.load().invalid]

    def short(self, path: str) -> str:
        """Return a path below the root without it."""
        return path.removeprefix(str(self.root) + "/")


@pytest.fixture
def places(tmp_path: Path) -> Directories:
    """Return both directories, the image's with one launcher in a.toml."""
    directories = Directories(tmp_path)
    (directories.usr / "a.toml").write_text(DESCRIPTOR.format("image/a"))
    return directories


def test_both_directories(places: Directories) -> None:
    """Launchers of both directories are in effect; where they were looked for is kept, the operator's first."""
    (places.etc / "b.toml").write_text(DESCRIPTOR.format("operator/b"))
    assert places.ids() == ["image/a", "operator/b"]
    registry = places.load()
    assert registry.directories == (str(places.etc), str(places.usr))
    assert {places.short(found.descriptor) for found in registry.launchers} == {
        "etc/cnb/launchers.d/b.toml",
        "usr/lib/cnb/launchers.d/a.toml",
    }
    assert (registry.invalid, registry.masked, registry.overridden) == ((), (), ())


def test_missing_directories(tmp_path: Path) -> None:
    """A missing directory is normal, both missing too."""
    registry = load_registry(Root(str(tmp_path).encode()))
    assert (registry.launchers, registry.invalid) == ((), ())


def test_override(places: Directories) -> None:
    """The operator's file of the same name replaces the image's, whatever launcher it declares."""
    (places.etc / "a.toml").write_text(DESCRIPTOR.format("operator/other"))
    assert places.ids() == ["operator/other"]
    assert places.load().overridden == ((str(places.usr / "a.toml"), str(places.etc / "a.toml")),)


def test_override_of_a_broken_one(places: Directories) -> None:
    """The operator's file heals a broken one of the image: that is not even read."""
    (places.usr / "a.toml").write_text("broken")
    (places.etc / "a.toml").write_text(DESCRIPTOR.format("operator/a"))
    assert places.ids() == ["operator/a"]
    assert places.invalid() == []


def test_broken_override(places: Directories) -> None:
    """A broken file of the operator replaces nothing: it is reported, and the image's stays in force."""
    (places.etc / "a.toml").write_text("[launcher]\n")
    assert places.ids() == ["image/a"]
    assert places.invalid() == [("etc/cnb/launchers.d/a.toml", "is missing")]
    assert places.load().overridden == ()


def test_mask_by_link(places: Directories) -> None:
    """A link to /dev/null takes the image's file of the same name away, whether or not there is a /dev."""
    (places.etc / "a.toml").symlink_to("/dev/null")
    assert places.ids() == []
    registry = places.load()
    assert registry.masked == ((str(places.usr / "a.toml"), str(places.etc / "a.toml")),)
    assert registry.invalid == ()
    assert places.load(whole=True).masked == registry.masked


@pytest.mark.parametrize("text", [MASK, 'schema-version = "1"\n' + MASK, "launcher = {masked = true}"])
def test_mask_by_file(text: str, places: Directories) -> None:
    """`masked = true` alone masks as well: a ConfigMap can't hold a link."""
    (places.etc / "a.toml").write_text(text)
    assert places.ids() == []
    assert places.load().masked == ((str(places.usr / "a.toml"), str(places.etc / "a.toml")),)


@pytest.mark.parametrize("link", [True, False])
def test_mask_of_nothing(link: bool, places: Directories) -> None:
    """A mask that meets no file changes nothing, and is kept: its name may be misspelt."""
    mask = places.etc / "aa.toml"
    mask.symlink_to("/dev/null") if link else mask.write_text(MASK)
    assert places.ids() == ["image/a"]
    assert places.load().masked == (("", str(mask)),)


def test_masked_broken_file(places: Directories) -> None:
    """A mask also takes a broken file away, and with it the report."""
    (places.usr / "a.toml").write_text("broken")
    (places.etc / "a.toml").symlink_to("/dev/null")
    assert places.invalid() == []


@pytest.mark.parametrize("link", [True, False])
def test_mask_in_the_image(link: bool, places: Directories) -> None:
    """A mask in the image's directory masks only itself: it must not take a launcher of the operator away."""
    (places.etc / "b.toml").write_text(DESCRIPTOR.format("operator/b"))
    for name in ("a.toml", "b.toml"):
        (places.usr / name).unlink(missing_ok=True)
        (places.usr / name).symlink_to("/dev/null") if link else (places.usr / name).write_text(MASK)
    assert places.ids() == ["operator/b"]
    registry = places.load()
    assert registry.masked == ((str(places.usr / "a.toml"), str(places.usr / "a.toml")),)
    assert registry.overridden == ((str(places.usr / "b.toml"), str(places.etc / "b.toml")),)


def test_kubernetes_volume(places: Directories) -> None:
    """A mounted ConfigMap, whose files are links into `..data`, itself a link, is read once each."""
    stamp = places.etc / "..2024_01_01_00_00_00.123456789"
    stamp.mkdir()
    (places.etc / "..data").symlink_to(stamp.name)
    for name, text in (("a.toml", MASK), ("b.toml", DESCRIPTOR.format("operator/b"))):
        (stamp / name).write_text(text)
        (places.etc / name).symlink_to(f"..data/{name}")
    assert places.ids() == ["operator/b"]
    assert places.invalid() == []
    assert [places.short(found.descriptor) for found in places.load(whole=True).launchers] == [
        "etc/cnb/launchers.d/b.toml"
    ]


def _dangling(file: Path) -> None:
    file.symlink_to("nowhere.toml")


def _loop(file: Path) -> None:
    file.symlink_to(file.name)


def _to_directory(file: Path) -> None:
    file.symlink_to(".")


def _fifo(file: Path) -> None:
    os.mkfifo(file)


def _socket(file: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(file.name)


def _device(file: Path) -> None:
    file.symlink_to("/dev/zero")


def _too_large(file: Path) -> None:
    file.write_text(DESCRIPTOR.format("x/y") + "#" * (64 << 10))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_dangling, "dangling link"),
        (_loop, "too many levels of symbolic links"),
        (_to_directory, "is a directory, not a regular file"),
        (Path.mkdir, "is a directory, not a regular file"),
        (_fifo, "is a FIFO, not a regular file"),
        (_socket, "no such device or address"),
        (_device, "is a character device, not a regular file"),
        (_too_large, "is larger than 64 KiB"),
        (Path.touch, "is empty"),
    ],
)
@pytest.mark.parametrize("directory", ["etc", "usr"])
def test_no_file(
    directory: str, make: Callable[[Path], None], reason: str, places: Directories, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is no readable file is left out with its reason, never waited for, and the others still serve."""
    place = getattr(places, directory)
    monkeypatch.chdir(place)  # a socket's path is limited to 108 bytes
    make(place / "x.toml")
    assert places.ids() == ["image/a"]
    assert places.invalid() == [(f"{places.short(str(place))}/x.toml", reason)]


def test_unreadable_file_and_directory(places: Directories, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file, or a whole directory, that may not be read is reported, and the others still serve."""
    places.root.chmod(0o755)
    monkeypatch.chdir(places.root)  # what lies above is root's alone
    here = Directories(Path())
    (places.usr / "b.toml").touch(mode=0)
    (places.etc / "c.toml").write_text(DESCRIPTOR.format("operator/c"))
    with unprivileged():
        assert here.ids() == ["image/a", "operator/c"]
        assert here.invalid() == [("usr/lib/cnb/launchers.d/b.toml", "permission denied")]
    places.etc.chmod(0)
    try:
        with unprivileged():
            assert here.ids() == ["image/a"]
            assert here.invalid()[0] == ("etc/cnb/launchers.d", "permission denied")
    finally:
        places.etc.chmod(0o755)


def test_directory_is_a_file(places: Directories) -> None:
    """A file where a directory should be is reported, and the other directory still serves."""
    places.etc.rmdir()
    places.etc.touch()
    assert places.ids() == ["image/a"]
    assert places.invalid() == [("etc/cnb/launchers.d", "not a directory")]
    assert [error.key for error in places.load().invalid] == [""]


def test_directory_is_a_link(places: Directories) -> None:
    """A directory may be a link."""
    places.usr.rename(places.root / "real")
    places.usr.symlink_to(places.root / "real")
    assert places.ids() == ["image/a"]


@pytest.mark.parametrize(
    "name", [".a.toml", "..data", "b.toml.bak", "b.TOML", "b.json", "toml", "b.toml~", "README", ".toml", "#b.toml#"]
)
def test_not_a_descriptors_name(name: str, places: Directories) -> None:
    """Only names that end in .toml and begin with no dot are looked at."""
    (places.usr / name).write_text("broken")
    assert places.ids() == ["image/a"]
    assert places.invalid() == []


def test_name_that_is_not_utf_8(places: Directories) -> None:
    """Any bytes may be a file's name."""
    with open(os.fsencode(places.usr) + b"/\xff\n.toml", "w") as file:
        file.write(DESCRIPTOR.format("image/odd"))
    assert places.ids() == ["image/a", "image/odd"]
    assert places.load().launchers[1].descriptor.endswith("/\udcff\n.toml")


def test_one_broken_among_all_kinds(places: Directories) -> None:
    """Every invalid case at once stops none of the valid ones."""
    for file in (*VALID, *INVALID):
        shutil.copy(file, places.usr)
    registry = places.load()
    assert len(registry.launchers) == len(VALID) + 1
    assert {Path(error.file).name for error in registry.invalid} == {file.name for file in INVALID}


def test_ten_thousand_files(places: Directories) -> None:
    """10,000 files, some of them broken, are read; the number is no limit."""
    for number in range(5000):
        (places.usr / f"{number}.toml").write_text(DESCRIPTOR.format(f"image/{number}"))
        (places.etc / f"{number}.toml").write_text(DESCRIPTOR.format(f"x/{number}") if number % 2 else "broken")
    registry = places.load()
    assert len(registry.launchers) == 5001
    assert len(registry.invalid) == 2500
    assert len(registry.overridden) == 2500


def test_order_of_creation_does_not_count(tmp_path: Path) -> None:
    """The result is sorted by name, whatever order a directory yields."""
    names = ["b", "a", "c", "0", "z"]
    loaded: list[list[str]] = []
    for attempt in (names, names[::-1]):
        places = Directories(tmp_path / attempt[0])
        for name in attempt:
            (places.usr / f"{name}.toml").write_text(DESCRIPTOR.format(f"x/{name}"))
        loaded.append([found.id for found in places.load().launchers])
    assert loaded[0] == loaded[1] == [f"x/{name}" for name in sorted(names)]


def test_whole_root_links_stay_inside(places: Directories) -> None:
    """Under --root a link's absolute target means a path inside; the file named is the one in the directory."""
    (places.root / "store").mkdir()
    (places.usr / "a.toml").rename(places.root / "store/a.toml")
    (places.usr / "a.toml").symlink_to("/store/a.toml")
    (places.usr / "d.toml").symlink_to("/store/none.toml")
    registry = places.load(whole=True)
    assert [found.descriptor for found in registry.launchers] == [str(places.usr / "a.toml")]
    assert [str(error) for error in registry.invalid] == [f"{places.usr / 'd.toml'}: dangling link"]


def test_hostile_registry_still_serves(image: Image) -> None:
    """Either form dispatches while every invalid descriptor, a FIFO and a dangling link lie beside the good one."""
    for file in INVALID:
        shutil.copy(file, image.usr)
    os.mkfifo(image.usr / "fifo.toml")
    (image.usr / "dangling.toml").symlink_to("nowhere")
    (image.usr / "good.toml").write_text(DESCRIPTOR.format("acme/good"))
    image.install("acme/good", "1", "#!/bin/sh\necho served\n")
    image.use_metadata('[[buildpacks]]\nid = "a/b"\napi = "0.7"\n')
    image.environ["CNB_PLATFORM_API"] = "0.7"
    result = image.dispatch()
    assert (result.returncode, result.stdout, result.stderr) == (0, "served\n", "")
