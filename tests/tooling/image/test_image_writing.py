"""How `metalauncher image` writes: whole or not at all, whatever happens midway, and beside others."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bundles import tree
from harness import PROJECT
from images import REF_NAME, Layout, base, folder, pack, sha
from kit import Kit, debian

from metalauncher.tooling.oci.sources.layout import LayoutStore
from metalauncher.tooling.oci.write import write_layout
from metalauncher.tooling.writing import TEMPORARY, lock


def test_other_tags_are_kept(kit: Kit) -> None:
    """A tag is added or replaced; others, and what is not known, stay; a blob that is there is not written again."""
    layout = Layout(kit.out)
    base(kit.out, [pack([folder("etc")])], tag="other")
    index = json.loads((kit.out / "index.json").read_text()) | {"annotations": {"a": "b"}}
    (kit.out / "index.json").write_text(json.dumps(index))
    first = kit.build(out=f"oci:{kit.out}:run").document
    inode = layout.blob(first["layer"]["digest"]).stat().st_ino
    kit.build(out=f"oci:{kit.out}:again")
    kit.build(out=f"oci:{kit.out}:run")
    found = json.loads((kit.out / "index.json").read_text())
    assert [entry_["annotations"][REF_NAME] for entry_ in found["manifests"]] == ["other", "again", "run"]
    assert found["manifests"][0] == index["manifests"][0]
    assert found["annotations"] == {"a": "b"}
    assert layout.blob(first["layer"]["digest"]).stat().st_ino == inode


def test_damaged_blob_in_the_layout_is_mended(kit: Kit) -> None:
    """A blob of the right name and other content is written anew; what an interrupted run left is removed."""
    document = kit.build().document
    blob = Layout(kit.out).blob(document["layer"]["digest"])
    good = blob.read_bytes()
    blob.write_bytes(good[:-1] + b"x")
    left = blob.parent / f"{TEMPORARY.decode()}0123"
    left.write_bytes(b"half")
    kit.build()
    assert blob.read_bytes() == good
    assert not left.exists()


def test_two_at_once(kit: Kit) -> None:
    """Several writers of one layout wait for each other: every tag is there."""
    base(kit.out, [pack([folder("etc")])])
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "metalauncher", *map(str, kit.options(out=f"oci:{kit.out}:{number}"))],
            cwd=PROJECT,
            stdout=subprocess.DEVNULL,
        )
        for number in range(4)
    ]
    assert [process.wait(timeout=120) for process in running] == [0] * 4
    index = json.loads((kit.out / "index.json").read_text())
    assert {entry_["annotations"][REF_NAME] for entry_ in index["manifests"]} == {"base", "0", "1", "2", "3"}


def test_told_to_stop(kit: Kit) -> None:
    """SIGTERM ends the command as it ends any, and nothing of its own is left: neither here nor in the layout."""
    base(kit.out, [pack([folder("etc")])])
    scratch = kit.folder / "scratch"
    scratch.mkdir()
    with lock(os.fsencode(kit.out), lambda: None):  # so that it has everything but its output
        before = tree(kit.out)
        process = subprocess.Popen(
            [sys.executable, "-m", "metalauncher", *map(str, kit.options())],
            cwd=PROJECT,
            env={**os.environ, "TMPDIR": str(scratch)},
        )
        until = time.monotonic() + 60
        while not list(scratch.glob("*/0/layer")):
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.01)
        process.terminate()
        assert process.wait(timeout=60) == -signal.SIGTERM
    assert list(scratch.iterdir()) == []
    assert tree(kit.out) == before


@pytest.mark.parametrize("fail_at", [1, 3, 6])
@pytest.mark.parametrize("place", ["layout", "new layout", "archive"])
def test_full_disk(kit: Kit, monkeypatch: pytest.MonkeyPatch, fail_at: int, place: str) -> None:
    """Where writing fails midway the output is as it was, and nothing is left beside it."""
    if place == "layout":
        base(kit.out, [pack([folder("etc")])], tag="other")
    reference = debian(kit)
    out = f"docker-archive:{kit.folder}/run.tar" if place == "archive" else f"oci:{kit.out}"
    left = [fail_at if place != "archive" else 1]
    real = os.fsync

    def fsync(descriptor: int) -> None:
        # Not of the scratch root that the layer is made from.
        if str(kit.folder) in os.readlink(f"/proc/self/fd/{descriptor}"):
            left[0] -= 1
            if left[0] == 0:
                raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    kit.refuse("no space left on device", base=reference, out=out)
    assert left[0] == 0


def test_full_disk_while_a_blob_is_written(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader of a base is not blamed for a disk that is full."""
    reference = debian(kit)
    real = os.write

    def write(descriptor: int, data: bytes) -> int:
        if str(kit.folder) in os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(28, "No space left on device")
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    for out in (f"oci:{kit.out}", f"docker-archive:{kit.folder}/run.tar"):
        kit.refuse(f"--out {out}: no space left on device", base=reference, out=out)


def test_full_temporary_folder(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder is named, and neither the base nor a file of the image."""
    reference = debian(kit)
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if "/metalauncher-image-" in os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    place = tempfile.gettempdir()
    answer = kit.tool(*kit.options(base=reference))
    assert (answer.code, answer.out) == (3, "")
    assert answer.err.startswith(f"ERROR: {place}: no space left on device, where the layer is put together\n")
    assert answer.err.endswith(f"  need:    room in {place}, or another TMPDIR\n  do:      df {place}\n")


CHANGES = ("rename", "unlink", "mkdir", "rmdir", "chmod", "fchmod", "fsync")


def write_until(step: int, source: Path, target: Path) -> int:
    """Copy the image in a process of its own that is killed before its change number `step`; return how it ended."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    left = step

    def count(change: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*given: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return change(*given, **named)

        return counted

    for name in CHANGES:
        setattr(os, name, count(getattr(os, name)))
    status = 70
    try:
        write_layout(LayoutStore(str(source), "latest"), str(target), "run", lambda _: None)
        status = 0
    finally:
        os._exit(status)


def test_into_an_empty_directory(kit: Kit) -> None:
    """It stays the same directory: it may be a mount, or lie where nothing else may be made; a failure empties it."""
    kit.out.mkdir(0o700)
    before = kit.out.stat()
    debian(kit)
    Layout(kit.folder / "base").blob(Layout(kit.folder / "base").image("12")[0]["layers"][1]["digest"]).unlink()
    kit.refuse("is not there", base=f"oci:{kit.folder}/base:12")
    assert list(kit.out.iterdir()) == []
    kit.build()
    after = kit.out.stat()
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)
    run = ["skopeo", "inspect", f"oci:{kit.out}:latest"]
    subprocess.run(run, check=True, capture_output=True, timeout=60)


@pytest.mark.parametrize("place", ["new", "empty", "existing"])
def test_killed_at_every_step(kit: Kit, place: str) -> None:
    """`kill -9` before any change of the file system leaves the old image or the new one, whole; the next run mends."""
    source = kit.folder / "source"
    digest = kit.build(base=debian(kit), out=f"oci:{source}").document["manifest"]
    seen = []
    for step in range(200):
        shutil.rmtree(kit.out, ignore_errors=True)
        if place == "existing":
            base(kit.out, [pack([folder("etc")])], tag="run")
        if place == "empty":
            kit.out.mkdir()
        code = write_until(step, source, kit.out)
        layout = Layout(kit.out) if (kit.out / "index.json").exists() else None
        for entry_ in layout.entries if layout else []:
            assert layout is not None
            manifest = layout.read(entry_["digest"])
            for blob in (entry_, manifest["config"], *manifest["layers"]):
                assert sha(layout.blob(blob["digest"]).read_bytes()) == blob["digest"]
        seen.append([entry_["digest"] for entry_ in layout.entries] == [digest] if layout else False)
        assert place == "empty" or kit.out.exists() == (layout is not None)
        if code == 0:
            break
        assert code == -signal.SIGKILL
        assert write_until(1000, source, kit.out) == 0
        assert Layout(kit.out).entries[0]["digest"] == digest
        assert not list(kit.out.rglob(TEMPORARY.decode() + "*"))
    assert code == 0
    assert len(seen) > 15
    assert not seen[0]
    assert seen[-1]
