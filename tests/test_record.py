"""record.py: environment + metadata.toml -> Record. A case is a file of tests/data/metadata, `.expect` beside it.

A case's `.expect` has a line for each buildpack, `ID API` in file order (`-` for no API, `malformed` after one that is
no version), the top-level keys, and where there are any the oddities and why the file is not TOML; or `error` and the
text.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import APPS, DATA
from making import apis, launcher, unprivileged

from metalauncher.decision import decide
from metalauncher.environment import Policy, metadata_path, read_environment
from metalauncher.places import Root
from metalauncher.record import InvalidMetadata, Record, parse_record, read_record
from metalauncher.refusals import MetadataUnreadable, PlatformApiMalformed
from metalauncher.registry import Registry

CASES = sorted((DATA / "metadata").glob("*.toml"))
EXPECTED = sorted((DATA / "metadata").glob("*.expect"))


def read(file: Path) -> Record:
    """Read the record of an app without CNB_PLATFORM_API whose metadata.toml is `file`."""
    return read_record(str(file).encode(), Policy({}))


def error_of(file: Path) -> str:
    """Return what is wrong with `file`."""
    with pytest.raises(InvalidMetadata) as invalid:
        read(file)
    error = invalid.value
    refusal = decide({}, Registry((launcher(),)), lambda policy: read_record(str(file).encode(), policy)).outcome
    assert isinstance(refusal, MetadataUnreadable)
    assert refusal.exit_code == 1
    assert (refusal.path, refusal.detail, refusal.errno) == (error.path, error.detail, error.errno)
    assert error.path == str(file)
    return error.detail


def summary(file: Path) -> str:
    """Return a record's content, or what is wrong with the file, as `.expect` files have it."""
    try:
        record = read(file)
    except InvalidMetadata as error:
        return f"error {error.detail}\n"
    lines: list[str] = []
    for buildpack in record.buildpacks:
        identifier = buildpack.id.encode("unicode_escape").decode()
        malformed = " malformed" if buildpack.text is not None and buildpack.api is None else ""
        lines.append(f"{identifier} {buildpack.text or '-'}{malformed}")
    lines.append(" ".join(["keys", *[key.encode("unicode_escape").decode() for key in sorted(record.keys)]]))
    lines += [" ".join(["oddities", *record.oddities])] if record.oddities else []
    lines += [f"defect {record.defect}"] if record.defect is not None else []
    return "\n".join(lines) + "\n"


def test_there_are_cases() -> None:
    """Every case has its expectation, and there are some."""
    assert len(CASES) > 40
    assert [file.stem for file in CASES] == [file.stem for file in EXPECTED]


@pytest.mark.parametrize("file", CASES, ids=lambda file: file.stem)
def test_case(file: Path) -> None:
    """What is read of a metadata.toml is what Go's decoder reads of it, or one clear error."""
    if os.environ.get("METALAUNCHER_UPDATE"):
        file.with_suffix(".expect").write_text(summary(file))
    assert summary(file) == file.with_suffix(".expect").read_text()


@pytest.mark.parametrize("app", sorted(path.name for path in APPS.iterdir()))
def test_real_app(app: str) -> None:
    """What real lifecycles left in an image is read: every buildpack, with its API if it is of 0.9.0 or later."""
    record = read(APPS / app / "layers/config/metadata.toml")
    assert record.buildpacks
    assert all((buildpack.api is None) == (app == "p03-unrecorded") for buildpack in record.buildpacks)
    assert {"buildpacks", "processes"} <= record.keys


def test_large_bill_of_materials() -> None:
    """300 KB of [[bom]], each entry with a [bom.buildpack], change nothing."""
    large = APPS / "p06-bom300k/layers/config/metadata.toml"
    assert large.stat().st_size > 290_000
    assert [(buildpack.id, buildpack.text) for buildpack in read(large).buildpacks] == [("example/java", "0.6")]


def test_what_a_record_keeps(tmp_path: Path) -> None:
    """The Platform API as it came, and the file's path whatever its bytes are."""
    file = bytes(tmp_path) + b"/\xff.toml"
    with open(file, "wb") as out:
        out.write(b"x = 1\n")
    record = read_record(file, Policy({b"CNB_PLATFORM_API": b"v0.09"}))
    assert (record.platform_text, str(record.platform_api)) == ("v0.09", "0.9")
    assert record.metadata == f"{tmp_path}/\udcff.toml"
    assert (record.oddities, record.defect) == ((), None)
    alone = parse_record(b"", "m", Policy({}))
    assert (alone.platform_api, alone.platform_text, alone.metadata) == (None, "", "m")


def test_missing(tmp_path: Path) -> None:
    """An absent file is Go's own text."""
    assert error_of(tmp_path / "metadata.toml") == "no such file or directory"


def test_below_a_file(tmp_path: Path) -> None:
    """A path through a file is no file."""
    (tmp_path / "config").touch()
    assert error_of(tmp_path / "config/metadata.toml") == "not a directory"


def _fifo(path: Path) -> str:
    os.mkfifo(path)
    return "is a FIFO, not a regular file"


def _directory(path: Path) -> str:
    path.mkdir()
    return "is a directory, not a regular file"


def _socket(path: Path) -> str:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    return "no such device or address"


def _character_device(path: Path) -> str:
    path.symlink_to("/dev/zero")
    return "is a character device, not a regular file"


def _loop(path: Path) -> str:
    path.symlink_to(path)
    return "too many levels of symbolic links"


def _too_large(path: Path) -> str:
    with path.open("wb") as file:
        file.truncate((64 << 20) + 1)
    return "is larger than 64 MiB"


@pytest.mark.parametrize("make", [_fifo, _directory, _socket, _character_device, _loop, _too_large])
def test_no_regular_file(make: Callable[[Path], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no file of a sane size is a clear error at once: it is never waited for, nor read into memory."""
    monkeypatch.chdir(tmp_path)  # a socket's path is limited to 108 bytes
    expected = make(Path("metadata.toml"))
    assert error_of(Path("metadata.toml")) == expected


def test_link(tmp_path: Path) -> None:
    """A link to a file is read."""
    file = tmp_path / "metadata.toml"
    file.symlink_to(CASES[0])
    assert read(file).metadata == str(file)


def test_unreadable(tmp_path: Path) -> None:
    """A file that may not be read says so."""
    file = tmp_path / "metadata.toml"
    file.touch(mode=0)
    with unprivileged():
        assert error_of(file) == "permission denied"


def test_file_of_procfs() -> None:
    """A file whose size is said to be 0 is read to its end (procfs, and files that grow)."""
    assert error_of(Path("/proc/self/status")).startswith("toml: ")


def test_file_that_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that grew after its size was asked is read to its end, up to the limit."""
    import posix
    from types import SimpleNamespace

    file = tmp_path / "metadata.toml"
    file.write_text('[[buildpacks]]\nid = "a/b"\napi = "0.7"\n' + "#" * 200_000)
    real = posix.fstat
    monkeypatch.setattr(posix, "fstat", lambda fd: SimpleNamespace(st_mode=real(fd).st_mode, st_size=20))
    assert [buildpack.id for buildpack in read(file).buildpacks] == ["a/b"]
    monkeypatch.setattr("metalauncher.record.METADATA_LIMIT", 1 << 17)
    assert error_of(file) == "is larger than 128 KiB"


def test_read_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the disk says so."""
    import posix

    def fail(_descriptor: int, _length: int) -> bytes:
        raise OSError(5, "Input/output error")

    file = tmp_path / "metadata.toml"
    file.touch()
    monkeypatch.setattr(posix, "read", fail)
    assert error_of(file) == "input/output error"


DEEP = 10_000
NESTED = {
    "arrays": "x = " + "[" * DEEP + "]" * DEEP,
    "unclosed arrays": "x = " + "[" * DEEP,
    "inline tables": "x = " + "{a = " * DEEP + "1" + "}" * DEEP,
    "dotted keys": "x" + ".a" * DEEP + " = 1",
    "a table's header": "[x" + ".a" * DEEP + "]",
    "an array of tables' header": "[[x" + ".a" * DEEP + "]]\n[[x" + ".a" * DEEP + "]]",
    "tables one in another": "\n".join(f"[[{'.'.join('x' * level)}]]" for level in range(1, 300)),
}


@pytest.mark.parametrize("kind", NESTED)
def test_nesting(kind: str, tmp_path: Path) -> None:
    """Nesting 10,000 deep is read or is a clear error, and never a crash."""
    file = tmp_path / "metadata.toml"
    file.write_text(NESTED[kind] + '\n[[buildpacks]]\nid = "a/b"\napi = "0.7"\n')
    try:
        assert [buildpack.id for buildpack in read(file).buildpacks] == ["a/b"]
    except InvalidMetadata as error:
        detail = error.detail
    else:
        detail = "toml: "
    assert detail.startswith("toml: ")
    assert "\n" not in detail


def test_nesting_in_a_small_stack(tmp_path: Path) -> None:
    """The same holds on a thread's stack of 512 KB, for a container may set any limit."""
    failures: list[str] = []

    def run() -> None:
        for kind in NESTED:
            try:
                test_nesting(kind, tmp_path)
            except AssertionError as error:
                failures.append(f"{kind}: {error}")

    before = threading.stack_size(512 << 10)
    try:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    assert failures == []


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([], {}),
        ([b"A=1", b"B=2"], {b"A": b"1", b"B": b"2"}),
        ([b"A=1", b"A=2"], {b"A": b"1"}),
        ([b"A=", b"A=2"], {b"A": b""}),
        ([b"A", b"A=2"], {b"A": b"2"}),
        ([b"=x=1", b"A==", b"\xff=\xfe"], {b"": b"x=1", b"A": b"=", b"\xff": b"\xfe"}),
    ],
)
def test_read_environment(entries: list[bytes], expected: dict[bytes, bytes]) -> None:
    """Of two entries of one name the first counts, as in Go; one without "=" is no variable."""
    assert read_environment(entries) == expected


@pytest.mark.parametrize(
    ("value", "api", "text"),
    [
        (None, None, ""),
        (b"", None, ""),
        (b"0.12", (0, 12), "0.12"),
        (b"v0.012", (0, 12), "v0.012"),
    ],
)
def test_platform_api(value: bytes | None, api: tuple[int, int] | None, text: str) -> None:
    """CNB_PLATFORM_API is parsed by CNB's grammar and kept as it came; empty means absent."""
    variables = {} if value is None else {b"CNB_PLATFORM_API": value}
    policy = Policy(variables)
    assert (policy.platform_api, policy.platform_text) == (api, text)


@pytest.mark.parametrize(
    "value", [b" ", b"0.12 ", b"\n0.12", b"junk", b"\xff", b"0.\xff", b"0.7.1", b"99999999999999999999"]
)
def test_malformed_platform_api(value: bytes) -> None:
    """A Platform API of another grammar is refused with 11, and kept for the message."""
    text = value.decode("utf-8", "surrogateescape")
    policy = Policy({b"CNB_PLATFORM_API": value})
    assert (policy.platform_api, policy.platform_text) == (None, text)
    opened: list[Policy] = []

    def read(policy: Policy) -> Record:
        opened.append(policy)
        return read_record(str(CASES[0]).encode(), policy)

    # Also where a launcher has a default, which is for apps that recorded nothing.
    registry = Registry((launcher(platform=apis("0.7", default="0.7"), buildpack=apis("0.7", default="0.7")),))
    refusal = decide({b"CNB_PLATFORM_API": value}, registry, read).outcome
    assert isinstance(refusal, PlatformApiMalformed)
    assert (refusal.text, refusal.exit_code, opened) == (text, 11, [])


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (None, b"/layers/config/metadata.toml"),
        (b"", b"/layers/config/metadata.toml"),
        (b"/other", b"/other/config/metadata.toml"),
        (b"/\xff", b"/\xff/config/metadata.toml"),
    ],
)
def test_layers_directory(value: bytes | None, path: bytes) -> None:
    """CNB_LAYERS_DIR names the layers, /layers if it is absent or empty."""
    assert metadata_path({} if value is None else {b"CNB_LAYERS_DIR": value}) == path


def test_whole_root(tmp_path: Path) -> None:
    """Under --root the layers lie inside, and what is named is the host's path."""
    file = tmp_path / "real/config/metadata.toml"
    file.parent.mkdir(parents=True)
    file.write_text('[[buildpacks]]\nid = "a/b"\napi = "0.7"\n')
    (tmp_path / "layers").symlink_to("/real")
    root = Root(str(tmp_path).encode(), whole=True)
    record = read_record(root.locate_layers(metadata_path({})), Policy({b"CNB_PLATFORM_API": b"0.7"}))
    assert record.metadata == str(file)
    assert record.platform_api == (0, 7)


@pytest.mark.parametrize(
    ("platform", "case", "unrecorded"),
    [
        (b"", "api-absent", True),
        (b"", "api-empty", True),
        (b"", "empty-file", True),
        (b"", "api-absent-in-one-of-two", False),
        (b"", "api-junk", False),
        (b"0.4", "api-absent", False),
        (b"0.4", "empty-file", False),
    ],
)
def test_unrecorded(platform: bytes, case: str, unrecorded: bool) -> None:
    """Nothing was recorded only if there is neither a Platform API nor any buildpack with an api."""
    file = DATA / "metadata" / f"{case}.toml"
    assert read_record(str(file).encode(), Policy({b"CNB_PLATFORM_API": platform})).unrecorded == unrecorded
