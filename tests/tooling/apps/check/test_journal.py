"""Results in a file: taken up wherever a run was cut off, never mixed with those of another question."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metalauncher import __version__
from metalauncher.tooling.apps.check.journal import Asked, Journal, read, resume
from metalauncher.tooling.apps.check.targets import Shard
from metalauncher.tooling.apps.check.verdict import Before, Chosen, Result
from metalauncher.tooling.apps.line_file import LINE_LIMIT
from metalauncher.tooling.console import Unable

RUN_IMAGE: dict[str, Any] = {"name": "run:new", "digest": "sha256:" + "a" * 64, "registry_digest": "b" * 64}
ASKED = Asked(RUN_IMAGE, None, "linux/amd64", None, 3)
CHOSEN = Chosen("buildpacks/lifecycle", "0.21.17", "/launcher")
RESULTS = (
    Result("a:1", "sha256:" + "1" * 64, "starts", "covers", CHOSEN, None, "0.12", (("x/y", "0.7"),), "shim"),
    Result("b:1", None, "unknown", "no answer"),
    Result("c:\udcff1", None, "refused", "é\n\u2028", None, 12, before=Before("starts", CHOSEN)),
)
APPS = tuple(result.app for result in RESULTS)
KNOWN = {result.app: result for result in RESULTS if result.kind != "unknown"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return the file of a whole run."""
    path = tmp_path / "results.jsonl"
    journal, known = resume(str(path), ASKED, APPS)
    assert known == {}
    for result in RESULTS:
        journal.add(result)
    journal.close()
    return path


def test_there_and_back(file: Path) -> None:
    """All is as it was: read as it stands, and taken over but for what could not be told."""
    assert read(str(file)) == (ASKED, {result.app: result for result in RESULTS})
    journal, known = resume(str(file), ASKED, APPS)
    journal.close()
    assert known == KNOWN
    assert file.read_bytes().count(b"\n") == 4
    assert all(json.loads(line)["schema_version"] == 1 for line in file.read_text().splitlines())


def test_each_line_is_out_before_the_next(tmp_path: Path) -> None:
    """A line is in the file as soon as it was added: a kill -9 loses none."""
    path = tmp_path / "results.jsonl"
    journal, _ = resume(str(path), ASKED, APPS)
    for number, result in enumerate(RESULTS):
        journal.add(result)
        assert path.read_bytes().count(b"\n") == number + 2
    journal.close()


def test_cut_off_anywhere(file: Path) -> None:
    """Wherever it was cut off, the whole lines before are taken over, and what is added makes a whole file again."""
    whole = file.read_bytes()
    ends = [at + 1 for at, byte in enumerate(whole) if byte == 10]
    for length in [*range(0, len(whole), 7), *ends, *[end - 1 for end in ends]]:
        file.write_bytes(whole[:length])
        journal, known = resume(str(file), ASKED, APPS)
        lines = whole[:length].count(b"\n")
        assert list(known) == [result.app for result in RESULTS[: max(0, lines - 1)] if result.kind != "unknown"]
        for result in RESULTS:
            if result.app not in known:
                journal.add(result)
        journal.close()
        assert read(str(file)) == (ASKED, {result.app: result for result in RESULTS})


def test_only_what_is_wanted(file: Path) -> None:
    """Results of apps that are not asked about any more are passed over."""
    journal, known = resume(str(file), ASKED, ["a:1", "z:1"])
    journal.close()
    assert list(known) == ["a:1"]


def test_more_apps_than_before(file: Path) -> None:
    """A longer list goes on from the same file, which then says so."""
    longer = ASKED._replace(apps=5)
    journal, known = resume(str(file), longer, APPS)
    journal.add(Result("d:1", None, "starts", ""))
    journal.close()
    assert known == KNOWN
    asked, results = read(str(file))
    assert asked == longer
    assert list(results) == [*APPS, "d:1"]


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"run_image": RUN_IMAGE | {"digest": "sha256:" + "c" * 64}}, "its run image is sha256:aaa"),
        ({"run_image": RUN_IMAGE | {"registry_digest": "c" * 64}}, "its run image is sha256:aaa"),
        ({"run_image": RUN_IMAGE | {"fingerprint": "d" * 64}}, "its run image is sha256:aaa"),
        ({"against": RUN_IMAGE}, "its run image compared against is none"),
        ({"platform": "linux/arm64"}, "its platform is linux/amd64"),
        ({"shard": Shard(1, 2)}, "its shard is None"),
        ({"metalauncher": "99"}, f"its metalauncher is {__version__}"),
    ],
)
def test_another_question(file: Path, other: dict[str, Any], said: str) -> None:
    """Results to another question are refused, saying what differs, and the file stays as it is."""
    before = file.read_bytes()
    with pytest.raises(Unable) as refusal:
        resume(str(file), ASKED._replace(**other), APPS)
    assert said in refusal.value.headline
    assert file.read_bytes() == before


def test_the_same_run_image_by_another_name(file: Path) -> None:
    """The digests decide, not what the run image is called."""
    journal, known = resume(str(file), ASKED._replace(run_image=RUN_IMAGE | {"name": "run@sha256:aaa"}), APPS)
    journal.close()
    assert known == KNOWN


DAMAGED = {
    b"\n": "line 1 is not JSON",
    b"hello\nworld": "line 1 is not JSON",
    b"[]\n": "line 1 says nothing of a run image",
    b'{"app": "a:1"}\n': "line 1 says nothing of a run image",
    b'{"run_image": {}, "schema_version": 2}\n': "line 1 is of schema version 2, not 1",
    b'{"run_image": {}, "schema_version": 1, "apps": "x"}\n': "line 1 has against or apps of a wrong type",
    b'{"run_image": {}, "schema_version": 1, "apps": 1, "shard": [1]}\n': "line 1 has a shard that is not I/N",
    b"[" * 100_000 + b"\n": "line 1 is nested too deep",
    b"\xff\n": "line 1 is not JSON",
    b"my diary": "is not a file of results",
    b"x" * (LINE_LIMIT + 1): "line 1 is longer than 1 MiB",
    ASKED.line().encode() + b"\n{}\n": "line 2 is of schema version None, not 1",
    ASKED.line().encode() + b'\n{"schema_version": 1, "app": "a"}\n': "line 2 kind is not a string",
    ASKED.line().encode()
    + b"\n"
    + ASKED._replace(platform="x").line().encode()
    + b"\n": "line 2 belongs to another run",
}


@pytest.mark.parametrize("content", DAMAGED, ids=list(DAMAGED.values()))
def test_damaged(tmp_path: Path, content: bytes) -> None:
    """What is not a file of results, or damaged, is refused with its line, and is not touched."""
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(Unable) as refusal:
        resume(str(path), ASKED, APPS)
    assert refusal.value.headline.startswith(f"{path}: ")
    assert DAMAGED[content] in refusal.value.headline
    assert path.read_bytes() == content
    with pytest.raises(Unable):
        read(str(path))


@given(junk=st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_junk(tmp_path: Path, junk: bytes) -> None:
    """Whatever the file holds, it is taken up or refused, and nothing else is raised."""
    path = tmp_path / "junk"
    path.write_bytes(ASKED.line().encode() + b"\n" + junk)
    try:
        journal, known = resume(str(path), ASKED, APPS)
    except Unable:
        return
    journal.close()
    assert known == {}


def test_two_at_once(file: Path) -> None:
    """Two runs don't write to one file."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(Unable, match="another run is writing to it"):
            resume(str(file), ASKED, APPS)
    finally:
        os.close(descriptor)


def test_no_file(tmp_path: Path) -> None:
    """What is no regular file is refused; what can't be read is said by its name."""
    with pytest.raises(Unable, match="is not a regular file"):
        resume("/dev/null", ASKED, APPS)
    with pytest.raises(IsADirectoryError):
        resume(str(tmp_path), ASKED, APPS)
    with pytest.raises(Unable, match=r"nowhere: no such file or directory$"):
        read(str(tmp_path / "nowhere"))
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(Unable, match="fifo: is not a regular file"):
        read(str(tmp_path / "fifo"))


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    """A line that can't be written is an error, not a result less."""
    with open("/dev/full", "r+b", buffering=0) as full:
        journal = Journal(full)
        with pytest.raises(OSError, match="No space left"):
            journal.add(RESULTS[0])
    assert list(tmp_path.iterdir()) == []
