"""Blobs on disk: whole or not there, believed by their digest alone, bounded, private, and fetched but once."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import pytest
from harness import PROJECT
from making import unprivileged

from metalauncher.tooling.oci.model import OCI_INDEX, OCI_LAYER, OCI_MANIFEST, Descriptor, ImageError
from metalauncher.tooling.oci.sources import blob_pool as sharing
from metalauncher.tooling.oci.sources.blob_pool import Blobs, SharingStore
from metalauncher.tooling.oci.sources.cache import MARKER, BlobCache
from metalauncher.tooling.oci.verified import Verified, read_whole

BIG = os.urandom(3 << 20)
DAY = 24 * 3600


def descriptor(data: bytes, media_type: str = OCI_LAYER) -> Descriptor:
    """Return what refers to a blob."""
    return Descriptor(media_type, f"sha256:{hashlib.sha256(data).hexdigest()}", len(data))


class CountingStore:
    """Has some blobs, and counts how often each is asked for; `wait` lets those who ask wait for each other."""

    def __init__(self, *blobs: bytes, wait: float = 0, failure: ImageError | None = None) -> None:
        """Take the blobs; the first is the manifest."""
        self.blobs = {descriptor(blob).digest: blob for blob in blobs}
        self.manifest = blobs[0]
        self.asked: list[str] = []
        self.wait = wait
        self.failure = failure

    def top(self) -> tuple[Descriptor, bytes]:
        """Return the manifest."""
        self.asked.append("top")
        return descriptor(self.manifest, OCI_MANIFEST), self.manifest

    def fetch(self, wanted: Descriptor, limit: int) -> bytes:
        """Return a blob."""
        with self.open(wanted) as file:
            return read_whole(file, wanted, limit)

    @contextlib.contextmanager
    def open(self, wanted: Descriptor) -> Iterator[IO[bytes]]:
        """Open a blob."""
        self.asked.append(wanted.digest)
        time.sleep(self.wait)
        if self.failure:
            raise self.failure
        yield Verified(io.BytesIO(self.blobs[wanted.digest]), wanted)  # type: ignore[misc]  # a RawIOBase is read as an IO[bytes] is


def entries(folder: Path) -> list[Path]:
    """Return the files of a cache, but for its marker."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MARKER)


def read(store: SharingStore, data: bytes) -> bytes:
    """Read a blob to its end."""
    with store.open(descriptor(data)) as file:
        return b"".join(iter(lambda: file.read(1 << 16), b""))


def test_a_second_run_asks_for_nothing_but_the_tag(tmp_path: Path) -> None:
    """Whatever was fetched or read to its end is not asked for again by another process."""
    manifest, config = b'{"schemaVersion": 2}', b"{}"
    first, second = CountingStore(manifest, config, BIG), CountingStore(manifest, config, BIG)
    for store in (first, second):
        sharing_store = SharingStore(store, Blobs(BlobCache(str(tmp_path / "cache"))), "host")
        assert sharing_store.top()[1] == manifest
        assert sharing_store.fetch(descriptor(config), 100) == config
        assert read(sharing_store, config) == config
        assert read(sharing_store, BIG) == BIG
    assert first.asked == ["top", descriptor(config).digest, descriptor(BIG).digest]
    assert second.asked == ["top"]


@pytest.mark.parametrize(("manifest", "kind"), [(b'{"layers": []}', OCI_MANIFEST), (b'{"manifests": []}', OCI_INDEX)])
def test_a_digest_is_not_asked_for(tmp_path: Path, manifest: bytes, kind: str) -> None:
    """An image named by its digest needs no registry at all once it was read."""
    digest = descriptor(manifest).digest
    store = CountingStore(manifest)
    for _ in range(2):
        found, data = SharingStore(store, Blobs(BlobCache(str(tmp_path))), "host", digest).top()
        assert (found.digest, data) == (digest, manifest)
    assert store.asked == ["top"]
    assert found.media_type == kind


@pytest.mark.parametrize("text", [b"[]", b'{"mediaType": "application/x", "layers": []}', b"\xff"])
def test_another_blob_under_a_digest_is_no_manifest(tmp_path: Path, text: bytes) -> None:
    """That something with this digest is on disk does not make an image of it."""
    cache = BlobCache(str(tmp_path))
    cache.write(descriptor(text), [text])
    store = CountingStore(text)
    SharingStore(store, Blobs(cache), "host", descriptor(text).digest).top()
    assert store.asked == ["top"]


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "longer", "directory", "unreadable"])
@pytest.mark.parametrize("data", [b"small", BIG], ids=["small", "big"])
def test_damaged_entry_is_fetched_anew(tmp_path: Path, damage: str, data: bytes) -> None:
    """An entry that is not what its name says is never given to anybody; the registry's is, and replaces it."""
    BlobCache(str(tmp_path)).write(descriptor(data), [data])
    (file,) = entries(tmp_path)
    match damage:
        case "flip":
            file.write_bytes(bytes([data[0] ^ 1]) + data[1:])
        case "cut":
            file.write_bytes(data[:-1])
        case "empty":
            file.write_bytes(b"")
        case "longer":
            file.write_bytes(data + b"x")
        case "directory":
            file.unlink()
            file.mkdir()
        case "unreadable":
            file.chmod(0)
    store = CountingStore(data)
    with unprivileged() if damage == "unreadable" else contextlib.nullcontext():
        assert read(SharingStore(store, Blobs(BlobCache(str(tmp_path))), "host"), data) == data
    assert store.asked == [descriptor(data).digest] * len(store.asked)
    assert store.asked
    if damage not in ("directory", "unreadable"):
        assert file.read_bytes() == data


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """An entry is a file of the cache, not a link to elsewhere."""
    cache = BlobCache(str(tmp_path))
    cache.write(descriptor(b"data"), [b"data"])
    (file,) = entries(tmp_path)
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    assert cache.read(descriptor(b"data")) is None


def test_it_is_private(tmp_path: Path) -> None:
    """Nobody else may look at what registries gave this user."""
    before = os.umask(0)
    try:
        BlobCache(str(tmp_path / "a/b")).write(descriptor(b"x"), [b"x"])
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "a").rglob("*") if path.is_dir()}
    assert modes == {0o700}
    assert [stat.S_IMODE(path.stat().st_mode) for path in entries(tmp_path)] == [0o600]


def test_what_can_not_be_kept_is_read_all_the_same(tmp_path: Path) -> None:
    """A cache that can't be written, a full disk, a file in its place: the run goes on without."""
    (tmp_path / "file").write_text("")
    for place in (str(tmp_path / "file"), "/proc/nowhere", "/dev/full/x"):
        store = CountingStore(BIG)
        assert read(SharingStore(store, Blobs(BlobCache(place)), "host"), BIG) == BIG
        assert store.asked


def test_a_full_disk(tmp_path: Path) -> None:
    """A write that fails half way leaves nothing under the name, nor beside it."""
    script = (
        "import sys, resource, signal\n"
        "from metalauncher.tooling.oci.sources.cache import MARKER, BlobCache\n"
        "from metalauncher.tooling.oci.model import Descriptor\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "BlobCache(sys.argv[1]).write(Descriptor('', 'sha256:' + 'a' * 64, 4000), [b'x' * 900, b'y' * 3100])\n"
    )
    subprocess.run([sys.executable, "-c", script, tmp_path], cwd=PROJECT, check=True)
    assert entries(tmp_path) == []


def test_nothing_is_kept_of_a_blob_that_fails(tmp_path: Path) -> None:
    """What breaks off, or is not what its digest says, leaves nothing."""
    wrong = Descriptor(OCI_LAYER, descriptor(BIG).digest, len(BIG))
    store = CountingStore(BIG)
    store.blobs[wrong.digest] = BIG[:-1] + bytes([BIG[-1] ^ 1])
    with pytest.raises(ImageError, match="another digest"):
        read(SharingStore(store, Blobs(BlobCache(str(tmp_path))), "host"), BIG)
    assert entries(tmp_path) == []


def test_the_limit_is_kept(tmp_path: Path) -> None:
    """What was used longest ago goes first, abandoned temporary files before all; what is used stays."""
    cache = BlobCache(str(tmp_path), limit=100_000)
    blobs = [bytes([number]) * 10_000 for number in range(9)]
    for number, blob in enumerate(blobs):
        cache.write(descriptor(blob), [blob])
        for file in entries(tmp_path):
            if file.name == descriptor(blob).digest[7:]:
                os.utime(file, (0, DAY + number))
    assert cache.read(descriptor(blobs[0])) == blobs[0]  # which is marked as used again
    abandoned = entries(tmp_path)[0].parent / ".tmp-0123456789abcdef"
    abandoned.write_bytes(bytes(10_000))
    os.utime(abandoned, (0, 0))
    fresh = abandoned.with_name(".tmp-fedcba9876543210")
    fresh.write_bytes(bytes(10_000))
    more = [bytes([number]) * 10_000 for number in range(9, 12)]
    for blob in more:
        cache.write(descriptor(blob), [blob])
    cache.trim()
    assert not abandoned.exists()
    assert fresh.exists()
    left = {file.name for file in entries(tmp_path)} - {fresh.name}
    assert sum(file.stat().st_size for file in entries(tmp_path)) - 10_000 <= 100_000
    assert {descriptor(blob).digest[7:] for blob in (blobs[0], *more)} <= left
    assert descriptor(blobs[1]).digest[7:] not in left


def test_the_limit_is_kept_by_itself(tmp_path: Path) -> None:
    """However much is written, there is never much more than the limit."""
    cache = BlobCache(str(tmp_path), limit=80_000)
    for number in range(100):
        blob = number.to_bytes(4, "big") * 1000
        cache.write(descriptor(blob), [blob])
        assert sum(file.stat().st_size for file in entries(tmp_path)) <= 80_000 * 9 // 8 + 4000


def test_threads_fetch_a_blob_once(tmp_path: Path) -> None:
    """However many want it at the same time, small or big, on disk or in memory alone."""
    small = b"small" * 100
    store = CountingStore(small, BIG, wait=0.05)
    for blobs, wanted in ((Blobs(BlobCache(str(tmp_path))), (small, BIG)), (Blobs(None), (small,))):
        store.asked.clear()
        shared = SharingStore(store, blobs, "host")
        with ThreadPoolExecutor(16) as pool:
            found = list(pool.map(read, [shared] * 16 * len(wanted), wanted * 16))
        assert found == list(wanted * 16)
        assert sorted(store.asked) == sorted(descriptor(data).digest for data in wanted)


def test_processes_share_it(tmp_path: Path) -> None:
    """Several processes write and read the same blobs, with one throwing out, and none gets a wrong or half one."""
    script = (
        "import hashlib, sys\n"
        "from metalauncher.tooling.oci.sources.cache import MARKER, BlobCache\n"
        "from metalauncher.tooling.oci.model import Descriptor\n"
        "cache = BlobCache(sys.argv[1], limit=300_000)\n"
        "hits = 0\n"
        "for turn in range(12):\n"
        "    for number in range(40):\n"
        "        data = bytes([number]) * 10_000\n"
        "        wanted = Descriptor('', 'sha256:' + hashlib.sha256(data).hexdigest(), len(data))\n"
        "        found = cache.read(wanted)\n"
        "        assert found in (None, data)\n"
        "        hits += found is not None\n"
        "        if found is None:\n"
        "            cache.write(wanted, [data[:5000], data[5000:]])\n"
        "print(hits)\n"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", script, tmp_path], cwd=PROJECT, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    hits = [int(process.communicate(timeout=60)[0]) for process in running]
    assert [process.returncode for process in running] == [0] * 4
    assert sum(hits) > 0
    assert not [file for file in entries(tmp_path) if file.name.startswith(".tmp-")]


def test_who_waits_for_a_dead_registry_is_told_with_the_first(tmp_path: Path) -> None:
    """Sixteen threads that want one blob of a registry that does not answer wait once, not one after the other."""
    store = CountingStore(BIG, wait=0.3, failure=ImageError("unreachable", "no answer"))
    shared = SharingStore(store, Blobs(BlobCache(str(tmp_path))), "host")
    began = threading.Barrier(16)

    def ask(_: int) -> str:
        began.wait()
        with pytest.raises(ImageError) as error:
            read(shared, BIG)
        return error.value.kind

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(ask, range(16))) == ["unreachable"] * 16
    assert len(store.asked) == 1
    store.failure = None  # the failure is not remembered beyond that
    assert read(shared, BIG) == BIG


def test_a_refusal_of_one_repository_is_not_another_s(tmp_path: Path) -> None:
    """Who may not read a blob in one repository may in another: each asks its own."""
    blobs = Blobs(BlobCache(str(tmp_path)))
    denied = SharingStore(CountingStore(BIG, wait=0.1, failure=ImageError("denied", "not you")), blobs, "host")
    allowed = SharingStore(CountingStore(BIG), blobs, "host")
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(read, denied, BIG)
        time.sleep(0.03)
        second = pool.submit(read, allowed, BIG)
        assert second.result() == BIG
        with pytest.raises(ImageError, match="not you"):
            first.result()


def test_one_digest_with_another_size_is_not_believed(tmp_path: Path) -> None:
    """A manifest that gives a blob a wrong size is told so by its own store, whatever is on disk."""
    blobs = Blobs(BlobCache(str(tmp_path)))
    store = CountingStore(b"data")
    shared = SharingStore(store, blobs, "host")
    assert shared.fetch(descriptor(b"data"), 10) == b"data"
    with pytest.raises(ImageError, match="longer than the 3 bytes"):
        shared.fetch(descriptor(b"data")._replace(size=3), 10)
    with pytest.raises(ImageError, match="ends after 4 of 5"):
        shared.fetch(descriptor(b"data")._replace(size=5), 10)
    with pytest.raises(ImageError, match="has 4 bytes; 3 are allowed"):
        shared.fetch(descriptor(b"data"), 3)
    assert shared.fetch(descriptor(b"data"), 10) == b"data"


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is held in memory alone is thrown out in turn; what is in use stays."""
    monkeypatch.setattr(sharing, "RECENT_LIMIT", 10_000)
    blobs = Blobs(None)
    for number in range(100):
        data = bytes([number]) * 1000
        blobs.keep(descriptor(data), data)
        assert blobs.find(descriptor(bytes(1000))) == bytes(1000)
    assert sum(len(data) for data in blobs._recent.values()) == 10_000
    assert blobs.find(descriptor(bytes([50]) * 1000)) is None


def test_what_is_too_big_to_keep_streams(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A layer over the limit passes by and leaves nothing on disk."""
    monkeypatch.setattr(sharing, "KEPT_LIMIT", len(BIG) - 1)
    store = CountingStore(BIG)
    shared = SharingStore(store, Blobs(BlobCache(str(tmp_path))), "host")
    assert read(shared, BIG) == BIG
    assert read(shared, BIG) == BIG
    assert len(store.asked) == 2
    assert entries(tmp_path) == []


# Only its own.


def _fill(folder: Path) -> dict[Path, bytes]:
    """Put into a folder what other people keep there, old and large."""
    files = {
        "letter.txt": b"dear",
        ".tmp-notes": b"notes",
        "photos/2020/one.jpg": bytes(200_000),
        "sha256/readme": bytes(200_000),
        f"sha256/ab/{'cd' * 32}": bytes(200_000),  # a name of another shard
        f"sha256/ab/{'ab' * 31}": bytes(200_000),
        f"sha256/abc/{'ab' * 32}": bytes(200_000),
        f"sha1/ab/{'ab' * 20}": bytes(200_000),
        f"deep/sha256/ab/{'ab' * 32}": bytes(200_000),
    }
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (0, 0))
    return {folder / name: data for name, data in files.items()}


def _use(folder: Path) -> None:
    cache = BlobCache(str(folder), limit=50_000)
    for number in range(20):
        blob = number.to_bytes(4, "big") * 2500
        cache.write(descriptor(blob), [blob])
    cache.trim()


def test_somebody_elses_directory_is_left_alone(tmp_path: Path) -> None:
    """Nothing is removed from it, and nothing written to it."""
    files = _fill(tmp_path)
    _use(tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == files
    assert BlobCache(str(tmp_path)).foreign() == "is neither empty nor a cache of metalauncher"


def test_what_others_put_into_ours_stays(tmp_path: Path) -> None:
    """In a cache that is marked only names of its own shape, at its own depth, count as its entries."""
    _use(tmp_path)
    assert (tmp_path / MARKER).exists()
    files = _fill(tmp_path)
    _use(tmp_path)
    assert all(path.read_bytes() == data for path, data in files.items())
    assert sum(path.stat().st_size for path in set(entries(tmp_path)) - set(files)) <= 50_000


@pytest.mark.parametrize("level", ["algorithm", "shard", "entry"])
def test_links_in_a_cache_lead_nowhere(level: str, tmp_path: Path) -> None:
    """What lies behind a link in the cache is not the cache's."""
    elsewhere = tmp_path / "elsewhere"
    entry = elsewhere / f"sha256/ab/{'ab' * 32}"
    entry.parent.mkdir(parents=True)
    entry.write_bytes(bytes(200_000))
    os.utime(entry, (0, 0))
    cache = tmp_path / "cache"
    BlobCache(str(cache), limit=50_000).write(descriptor(b"x"), [b"x"])
    target = {"algorithm": "sha256", "shard": "sha256/ab", "entry": f"sha256/ab/{'ab' * 32}"}[level]
    link = cache / target
    if level == "algorithm":
        (cache / "sha256").rename(cache / "sha512")
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(elsewhere / target)
    _use(cache)
    assert entry.stat().st_size == 200_000


@pytest.mark.parametrize("level", ["algorithm", "shard"])
def test_nothing_is_written_or_dropped_through_a_link(level: str, tmp_path: Path) -> None:
    """Not even under names of the cache's own, where what lies there is no entry that could be believed."""
    blob = descriptor(b"blob")
    name = blob.digest.partition(":")[2]
    elsewhere = tmp_path / "elsewhere"
    entry = elsewhere / "sha256" / name[:2] / name
    entry.parent.mkdir(parents=True)
    cache = BlobCache(str(tmp_path / "cache"))
    cache.write(descriptor(b"x"), [b"x"])
    link = tmp_path / "cache/sha256"
    if level == "algorithm":
        link.rename(tmp_path / "cache/sha512")
        link.symlink_to(elsewhere / "sha256")
    else:
        (link / name[:2]).symlink_to(entry.parent)
    cache.write(blob, [b"blob"])
    assert list(entry.parent.iterdir()) == []
    entry.write_bytes(b"mine")
    assert cache.read(blob) is None
    with cache.open_checked(blob) as file:
        assert file is None
    assert entry.read_bytes() == b"mine"


def test_a_marker_of_another_program_is_none(tmp_path: Path) -> None:
    """The tag alone does not make a directory ours."""
    (tmp_path / MARKER).write_text("Signature: 8a477f597d28d172789f06886806bc55\n# by another program\n")
    files = _fill(tmp_path)
    _use(tmp_path)
    assert all(path.read_bytes() == data for path, data in files.items())


def test_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    """In the place of an entry, of the marker, or of the directory itself."""
    cache = BlobCache(str(tmp_path / "cache"))
    cache.write(descriptor(b"data"), [b"data"])
    (file,) = entries(tmp_path)
    file.unlink()
    os.mkfifo(file)
    assert cache.read(descriptor(b"data")) is None
    (tmp_path / "cache" / MARKER).unlink()
    os.mkfifo(tmp_path / "cache" / MARKER)
    assert BlobCache(str(tmp_path / "cache")).foreign() is not None
    os.mkfifo(tmp_path / "fifo")
    assert BlobCache(str(tmp_path / "fifo")).foreign() == "is not a directory"
    _use(tmp_path / "fifo")


def test_a_relative_directory_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is made where the command runs; looking for what is above it ends."""
    monkeypatch.chdir(tmp_path)
    for name in ("cache", "./a/b", "c/../d"):
        BlobCache(name).write(descriptor(b"x"), [b"x"])
        assert BlobCache(name).read(descriptor(b"x")) == b"x"
    assert {path.parent for path in tmp_path.rglob(MARKER)} >= {tmp_path / "cache", tmp_path / "a/b", tmp_path / "d"}


def test_two_who_make_it_at_once(tmp_path: Path) -> None:
    """Whoever comes second finds a directory with a marker that is being written, and uses it all the same."""
    (tmp_path / ".tmp-0123456789abcdef").write_bytes(b"Sig")
    cache = BlobCache(str(tmp_path))
    cache.write(descriptor(b"x"), [b"x"])
    assert cache.read(descriptor(b"x")) == b"x"
