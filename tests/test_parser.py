"""The parser in the final files answers as tomli does as published: the static executable's is compiled, and faster."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tomli
from cache import Cache
from fetch import cpython_sha256, fetch_cpython
from harness import Image
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples

from metalauncher.explain.terminal import printable
from metalauncher.files import Unreadable
from metalauncher.record import METADATA_LIMIT
from metalauncher.toml import read_toml


@pytest.fixture(scope="session")
def corpus() -> Path:
    """Return tomli's valid and invalid documents, as CPython's source has them: tomli's own archive has none."""
    source = Cache().step("source", cpython_sha256(), make=fetch_cpython, say="fetching the source of CPython")
    return source / "source/Lib/test/test_tomllib/data"


@pytest.fixture
def ready(image: Image) -> Image:
    """Return an image with a launcher that covers an app without buildpacks."""
    image.use_registry()
    image.install("buildpacks/lifecycle", "0.21.17", "#!/bin/sh\necho started\n")
    image.environ["CNB_PLATFORM_API"] = "0.15"
    return image


def verdict(file: Path) -> tuple[int, str, str]:
    """Return how a dispatch of an app with this metadata.toml ends, by tomli in this interpreter."""
    try:
        read_toml(bytes(file), METADATA_LIMIT)
    except Unreadable as error:
        return 1, "", printable(f"ERROR: failed to read metadata: open {file}: {error.detail}")
    return 0, "started\n", ""


@pytest.mark.parametrize("kind", ["valid", "invalid"])
def test_documents(kind: str, corpus: Path, ready: Image) -> None:
    """Every document is accepted, or refused with the same words at the same place, as by tomli in CPython."""
    files = sorted((corpus / kind).rglob("*.toml"))
    assert len(files) > 10
    wrong = []
    for file in files:
        metadata = ready.use_metadata(file.read_bytes())
        run = ready.dispatch()
        got = (run.returncode, run.stdout, run.stderr.partition("\n")[0])
        if got != verdict(metadata) or (got[0] == 0) != (kind == "valid"):
            wrong.append((file.name, got))
    assert wrong == []


TEXT = st.text(st.characters(codec="utf-8"), max_size=30)
ESCAPES = st.sampled_from(
    ["\\n", "\\t", '\\"', "\\\\", "\\u00e9", "\\U0001F600", "\\e", "\\x41", "\\b", "\\q", "\\ud800", "\\"]
)
PIECES = st.lists(st.one_of(TEXT.filter(lambda text: "\n" not in text), ESCAPES), max_size=4).map("".join)


@examples(40)
@given(st.lists(PIECES, min_size=1, max_size=60))
def test_strings(ready: Image, bodies: list[str]) -> None:
    """What stands between quotation marks is the same text, or the same error, as by tomli in CPython."""
    good = [body for body in bodies if _is_valid(f'x = "{body}"')]
    bad = [body for body in bodies if not _is_valid(f'x = "{body}"')]
    document = "".join([f'[[buildpacks]]\napi = "0.7"\nid = "{body}"\n' for body in good])
    ready.use_metadata(document)
    run = ready.which("--json")
    assert run.returncode == 0, run.stderr
    got = [buildpack["id"] for buildpack in json.loads(run.stdout)["need"]["buildpacks"]]
    assert got == [buildpack["id"] for buildpack in tomli.loads(document).get("buildpacks", [])]
    for body in bad[:2]:
        metadata = ready.use_metadata(f'x = "{body}"')
        run = ready.dispatch()
        assert (run.returncode, run.stdout, run.stderr.partition("\n")[0]) == verdict(metadata)


def _is_valid(text: str) -> bool:
    try:
        tomli.loads(text)
    except tomli.TOMLDecodeError:
        return False
    return True
