"""Lists of apps: every form they come in, each app once, all that is wrong at once, and the same parts every time."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metalauncher.tooling.apps.check import targets
from metalauncher.tooling.apps.check.targets import Shard, parse_shard, read_targets
from metalauncher.tooling.apps.line_file import LINE_LIMIT
from metalauncher.tooling.console import Unable

LIST = """\
\ufeff# the fleet
registry.example.com/team/app:1

  registry.example.com/team/app:2   # the second
"registry.example.com/team/app:3"\r
{"image": "registry.example.com/team/app:4", "replicas": 3}
{"app": "registry.example.com/team/app:5", "kind": "starts"}
registry.example.com/team/app:1
oci:layout:a#b
"""
NEXT = "metalauncher check"


def _read(arguments: tuple[str, ...], files: tuple[str, ...]) -> tuple[str, ...]:
    return read_targets(arguments, files, command=NEXT)


APPS = tuple(f"registry.example.com/team/app:{number}" for number in range(1, 6))

WRONG = {
    "Registry.example.com/Team/App": "a repository is written in lower case",
    "{": "is not JSON, though it begins like it",
    '{"name": "app"}': "is JSON without an app or image",
    '{"image": 3}': "is JSON without an app or image",
    '["app"]': "is JSON without an app or image",
    '""': "is JSON without an app or image",
    '"a/b:1\\n"': "'a/b:1\\n' is not an image's name",
    "[" * 100_000: "is not JSON, though it begins like it",
    "oci:": "'oci:' names no place",
    "app:1\x1b[31m": "is not 1 to 128",
    "https://example.com/app": "it is a URL",
}


def test_every_form(tmp_path: Path) -> None:
    """Arguments come first, then lists; comments, blanks, a BOM and CR are nothing; each app counts once."""
    file = tmp_path / "apps.txt"
    file.write_text(LIST)
    assert _read((APPS[4], "dir:rootfs"), (str(file), str(file))) == (
        APPS[4],
        "dir:rootfs",
        *APPS[:4],
        "oci:layout:a#b",
    )


def test_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    """`-` is a list on stdin."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(LIST.encode())))
    assert _read(("-",), ())[:5] == APPS


def test_pipe(tmp_path: Path) -> None:
    """`--from <(...)` is a pipe, not a file."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(LIST,))
    writer.start()
    assert _read((), (str(pipe),))[:5] == APPS
    writer.join()


@pytest.mark.parametrize("line", WRONG, ids=[line[:20] for line in WRONG])
def test_wrong_line(tmp_path: Path, line: str) -> None:
    """What names no image is refused with file and line, and why."""
    file = tmp_path / "apps.txt"
    file.write_text(f"app:1\n{line}\n")
    with pytest.raises(Unable) as refusal:
        _read((), (str(file),))
    assert refusal.value.headline.startswith(f"{file}:2: ")
    assert WRONG[line] in refusal.value.headline


def test_all_that_is_wrong_at_once(tmp_path: Path) -> None:
    """Of many wrong lines the first ten are shown, and how many more there are; a wrong argument is one of them."""
    file = tmp_path / "apps.txt"
    file.write_bytes(b"\xff\n" * 14)
    with pytest.raises(Unable) as refusal:
        _read(("App",), (str(file),))
    assert refusal.value.headline == "15 names are not image names"
    assert refusal.value.have == (
        "'App' is not an image's name: a repository is written in lower case",
        *[f"{file}:{number}: is not UTF-8" for number in range(1, 10)],
        "and 5 more",
    )


def test_long_line(tmp_path: Path) -> None:
    """A line without an end is not read to its end."""
    file = tmp_path / "apps.txt"
    file.write_bytes(b"app:1\n" + b"a" * (LINE_LIMIT + 1))
    with pytest.raises(Unable, match=r"apps\.txt:2: is longer than 1 MiB"):
        _read((), (str(file),))


def test_endless_list(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """There is a limit to how many are taken."""
    monkeypatch.setattr(targets, "APPS_LIMIT", 3)
    file = tmp_path / "apps.txt"
    file.write_text("".join(f"app:{number}\n" for number in range(4)))
    with pytest.raises(Unable, match="more than 3 apps are named"):
        _read((), (str(file),))


def test_directory_as_a_list(tmp_path: Path) -> None:
    """A directory is no list, and a file that is not there is said by name."""
    with pytest.raises(Unable, match=f"--from: {tmp_path}: is a directory"):
        _read((), (str(tmp_path),))
    with pytest.raises(Unable, match="nowhere: no such file or directory"):
        _read((), (str(tmp_path / "nowhere"),))


@given(apps=st.sets(st.from_regex(r"[a-z0-9]{1,12}:[a-z0-9]{1,8}", fullmatch=True)), of=st.integers(1, 9))
def test_parts_are_the_whole(apps: set[str], of: int) -> None:
    """Every app is in exactly one part."""
    parts = [{app for app in apps if Shard(number, of).holds(app)} for number in range(1, of + 1)]
    assert sum(len(part) for part in parts) == len(apps)
    assert set().union(*parts) == apps


def test_parts_stay_the_same() -> None:
    """The parts do not change from one release to the next, or an interrupted fleet would be taken up wrongly."""
    apps = [f"registry.example.com/team/app-{number}:1" for number in range(12)]
    assert [app[-4:-2] for app in apps if Shard(2, 3).holds(app)] == ["-1", "-4", "-9", "10", "11"]


@pytest.mark.parametrize(
    ("text", "index", "part"),
    [("1/1", None, (1, 1)), ("3/16", None, (3, 16)), ("auto/4", "0", (1, 4)), ("auto/4", "3", (4, 4))],
)
def test_shard(text: str, index: str | None, part: tuple[int, int]) -> None:
    """A part counts from 1, Kubernetes from 0."""
    assert parse_shard(text, {} if index is None else {b"JOB_COMPLETION_INDEX": index.encode()}) == part


@pytest.mark.parametrize(
    ("text", "index", "said"),
    [
        ("0/4", None, "--shard 0/4: is not a part"),
        ("5/4", None, "--shard 5/4: is not a part"),
        ("1", None, "--shard 1: is not a part"),
        ("-1/4", None, "--shard -1/4: is not a part"),
        ("1/٤", None, "--shard 1/٤: is not a part"),
        ("auto/4", "4", "--shard auto/4: is not a part"),
        ("auto/4", None, "--shard auto/4: JOB_COMPLETION_INDEX is not set"),
        ("auto/4", "x", "--shard auto/4: JOB_COMPLETION_INDEX is 'x'"),
    ],
)
def test_wrong_shard(text: str, index: str | None, said: str) -> None:
    """What is no part is refused."""
    with pytest.raises(Unable) as refusal:
        parse_shard(text, {} if index is None else {b"JOB_COMPLETION_INDEX": index.encode()})
    assert refusal.value.headline == said
