"""Damaged documents and layers by chance: refused in words, or rewritten in the fields of the table alone."""

from __future__ import annotations

import gzip
import json
import random
from collections import Counter
from functools import partial

import pytest
from images import Json, Layer, sha
from patchable import FAMILIES, SBOMS, Patchable, patchable, spelled
from raw_tar import BLOCK, Composer

from metalauncher.tooling.apps.patch.held import Held
from metalauncher.tooling.apps.patch.launcher_layer import check_launcher_layer
from metalauncher.tooling.apps.patch.refusal_text import Text, text_of
from metalauncher.tooling.apps.patch.refusals import Refused
from metalauncher.tooling.apps.patch.rewriting import rewrite
from metalauncher.tooling.apps.patch.sbom_layer import replace_sboms
from metalauncher.tooling.apps.patch.source import Source
from metalauncher.tooling.oci import image
from metalauncher.tooling.oci.model import ImageError, describe

PIECES = (
    b'"',
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"null",
    b"1e999",
    b"-",
    b"\xff",
    b"\xed\xa0\x80",
    b"\\ud800",
    b"\0",
)
FILES = {"sbom.cdx.json": b"{}"}


def damaged(chance: random.Random, data: bytes) -> bytes:
    """Return a document with a piece of it lost, doubled, moved, or another one in its place."""
    begin = chance.randrange(len(data))
    end = min(len(data), begin + chance.choice((1, 1, 1, 4, 30)))
    match chance.randrange(4):
        case 0:
            return data[:begin] + data[end:]
        case 1:
            return data[:end] + data[begin:]
        case 2:
            return data[:begin] + chance.choice(PIECES) + data[end:]
        case _:
            other = chance.randrange(len(data))
            return data[:begin] + data[other : other + end - begin] + data[end:]


def mutated(chance: random.Random, app: Patchable) -> Source:
    """Return an app with one of its documents damaged, and digests that are right."""
    source = app.source()
    manifest, config = source.manifest, source.config
    if chance.random() < 0.5:
        config = damaged(chance, config)
        document: Json = json.loads(manifest)
        document["config"] |= {"size": len(config), "digest": sha(config)}
        manifest = app.encode(document)
    else:
        manifest = damaged(chance, manifest)
    return Source(describe(FAMILIES[app.family][0], manifest), manifest, config)


@pytest.mark.parametrize(
    ("first", "count"), [(0, 400), pytest.param(400, 8000, marks=pytest.mark.thorough, id="thorough")]
)
def test_documents(first: int, count: int) -> None:
    """Nothing but a refusal is raised; what is rewritten is an image that others read, with the same layers."""
    codes: Counter[str] = Counter()
    texts: list[Text] = []
    for seed in range(first, first + count):
        chance = random.Random(seed)
        app = patchable(chance.choice(list(FAMILIES)))
        if chance.random() < 0.3:
            app.encode = spelled(seed)
        source = mutated(chance, app)
        held = Held(app.blobs)
        try:
            result = rewrite(source, "shim", partial(held.fetch, limit=1 << 30), "1")
        except ImageError:
            codes["absent"] += 1  # another layer than the image has
            continue
        except Refused as error:
            codes[error.code] += 1
            texts.append(text_of(error, "app"))
            continue
        codes["rewritten"] += 1
        made = Source(result.manifest.descriptor, result.manifest.data, result.config.data)
        app.layers += [Layer(blob.data, "") for blob in result.blobs]
        with pytest.raises(Refused) as again:
            rewrite(made, "shim", app.read, "1")
        assert again.value.code == "delegates", seed
    assert codes["rewritten"] > count / 20
    assert len(codes) > 5
    assert all([text.reason and text.command for text in texts])


def archive(seed: int) -> bytes:
    """Return a tar by chance, of which some names are those of the launcher and of its SBOMs."""
    chance = random.Random(seed)
    data = bytearray(Composer(seed).archive())
    names = (b"/cnb", b"/cnb/lifecycle", b"/cnb/lifecycle/launcher", f"{SBOMS}/a".encode(), f"{SBOMS}/b".encode())
    for at in range(0, len(data) - BLOCK, BLOCK):
        if bytes(data[at + 257 : at + 262]) == b"ustar" and chance.random() < 0.6:
            data[at : at + 100] = chance.choice(names).ljust(100, b"\0")
            data[at + 148 : at + 156] = b" " * 8
            data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + BLOCK])
    return bytes(data)


@pytest.mark.parametrize(
    ("first", "count"), [(0, 300), pytest.param(300, 8000, marks=pytest.mark.thorough, id="thorough")]
)
def test_layers(first: int, count: int) -> None:
    """Nothing but a refusal is raised; what comes out holds the other members, byte for byte."""
    replaced = refused = 0
    for seed in range(first, first + count):
        content = archive(seed)
        data = gzip.compress(content, 1)
        layer = image.Layer(describe("", data), sha(content), "")
        try:
            check_launcher_layer(layer, data)
        except Refused:
            refused += 1
        try:
            made = replace_sboms(layer, data, FILES)
        except Refused:
            refused += 1
            continue
        if made is not None:
            replaced += 1
            assert replace_sboms(image.Layer(describe("", made.data), made.diff_id, ""), made.data, FILES) is not None
    assert replaced > count / 50
    assert refused > count
