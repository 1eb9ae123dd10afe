"""toml.py: what is wrong with a text, and where. What files of each kind hold is tested with those."""

from __future__ import annotations

from pathlib import Path

import pytest

from metalauncher.files import Unreadable
from metalauncher.toml import kind_of, read_toml

TEXT = b"a = 1\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return where the file is."""
    return tmp_path / "file.toml"


def failure(file: Path, limit: int = 1 << 20) -> Unreadable:
    """Return why a file gives no document."""
    with pytest.raises(Unreadable) as caught:
        read_toml(bytes(file), limit)
    assert str(caught.value) == caught.value.detail
    return caught.value


@pytest.mark.parametrize(
    ("data", "line"),
    [
        *((b"\xff", 1), (b"\n\xff", 2), (b"\n\n\n\xff\n\xff", 4), (b"\xef\xbb\xbf\n\xff", 2)),
        *((b"a = 1\nb =", 2), (b"\n\n=", 3)),
    ],
)
def test_lines(data: bytes, line: int, file: Path) -> None:
    """The line of what is wrong is counted from 1, whatever is wrong with it."""
    file.write_bytes(data)
    assert failure(file).line == line


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        *(('"x"', "a string"), ("1", "an integer"), ("1.0", "a float"), ("true", "a boolean"), ("[]", "an array")),
        *(("{}", "a table"), ("2024-01-01", "a date or time"), ("00:00:00", "a date or time")),
    ],
)
def test_kinds(text: str, kind: str, file: Path) -> None:
    """Each type of TOML has its name."""
    file.write_text(f"a = {text}")
    assert kind_of(read_toml(bytes(file), 100)["a"]) == kind
