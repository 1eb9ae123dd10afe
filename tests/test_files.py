"""files.py: one file that may be hostile, to its very limits."""

from __future__ import annotations

import posix
from pathlib import Path
from types import SimpleNamespace

import pytest

from metalauncher.files import Unreadable, read_file, size_text

TEXT = b"a = 1\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return where the file is."""
    return tmp_path / "file.toml"


def failure(file: Path, limit: int = 1 << 20) -> Unreadable:
    """Return why a file can't be read."""
    with pytest.raises(Unreadable) as caught:
        read_file(bytes(file), limit)
    assert str(caught.value) == caught.value.detail
    return caught.value


def test_the_limit(file: Path) -> None:
    """A file of just as many bytes as are allowed is read; one of a byte more is not."""
    file.write_bytes(TEXT)
    assert read_file(bytes(file), len(TEXT)) == TEXT
    assert failure(file, len(TEXT) - 1).detail == "is larger than 0 KiB"


@pytest.mark.parametrize("said", [0, 1, len(TEXT) - 2, len(TEXT) - 1, len(TEXT), len(TEXT) + 1])
@pytest.mark.parametrize("more", [0, 1, 1 << 17])
def test_the_limit_of_a_file_that_changes(said: int, more: int, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever size it was said to have, nothing beyond the limit is taken, and nothing cut off passes for whole."""
    file.write_bytes(TEXT + b"#" * more)
    real = posix.fstat
    monkeypatch.setattr(posix, "fstat", lambda fd: SimpleNamespace(st_mode=real(fd).st_mode, st_size=said))
    assert read_file(bytes(file), len(TEXT) + 1 + more) == file.read_bytes()
    if said <= len(TEXT) + more:
        assert read_file(bytes(file), len(TEXT) + more) == file.read_bytes()
    if said <= len(TEXT):
        assert failure(file, len(TEXT) + more - 1).detail.startswith("is larger than ")


def test_what_is_missing(file: Path) -> None:
    """No file, and a path through a file, are nothing that is there; all else is there and can't be read."""
    assert failure(file).missing
    assert failure(file / "below").missing
    assert failure(file).errno == 2
    file.touch()
    assert failure(file / "below").missing
    assert failure(file / "below").errno == 20
    assert failure(file / "below").line is None
    file.unlink()
    file.mkdir()
    assert not failure(file).missing
    assert not failure(file, -1).missing
    assert failure(file).errno is None


@pytest.mark.parametrize(
    ("size", "text"),
    [(1 << 10, "1 KiB"), (64 << 10, "64 KiB"), ((1 << 20) - 1, "1023 KiB"), (1 << 20, "1 MiB"), (64 << 20, "64 MiB")],
)
def test_size_text(size: int, text: str) -> None:
    """From a MiB on in MiB."""
    assert size_text(size) == text
