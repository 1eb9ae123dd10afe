"""A real browser, without a window: what it makes of a page, and how that looks."""

from __future__ import annotations

import struct
import subprocess
import tempfile
import zlib
from collections import Counter
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

_OPTIONS = (
    "--headless",
    "--no-sandbox",  # tests run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND",  # nothing is to be loaded from anywhere
)
_VOID = frozenset(("meta", "input", "rect", "wbr", "br", "link", "img"))


def browse(page: Path, *options: str, fragment: str = "") -> str:
    """Open a page, and return what the browser says: with `--dump-dom` the document as it is then."""
    with tempfile.TemporaryDirectory() as profile:
        command = ["chromium", *_OPTIONS, f"--user-data-dir={profile}", *options, f"{page.as_uri()}{fragment}"]
        environ = {"HOME": profile, "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
        run = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=180)
    assert run.returncode == 0, run.stderr
    return run.stdout


@dataclass
class Element:
    """An element of a page."""

    tag: str
    attributes: dict[str, str]
    children: list[Element | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All text in it."""
        return "".join([child if isinstance(child, str) else child.text for child in self.children])

    def find(self, tag: str, **attributes: str) -> list[Element]:
        """Return the elements in it of a kind, with these attributes."""
        found = []
        for child in self.children:
            if isinstance(child, Element):
                if child.tag == tag and attributes.items() <= child.attributes.items():
                    found.append(child)
                found += child.find(tag, **attributes)
        return found


def table(page: Element, name: str) -> list[list[str]]:
    """Return the texts of a table's cells, row by row, without its head; rows that are hidden are left out."""
    (found,) = page.find("table", id=name)
    rows = [row for body in found.find("tbody") for row in body.find("tr") if "hidden" not in row.attributes]
    return [[cell.text for cell in row.children if isinstance(cell, Element)] for row in rows]


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open = [Element("", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), attrs
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in _VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].children.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID:
            assert self.open[-1].tag == tag, (self.open[-1].tag, tag)
            self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def parse(text: str) -> Element:
    """Return the document that a text is; every element is closed in its turn."""
    parser = _Parser()
    parser.feed(text)
    parser.close()
    assert len(parser.open) == 1, parser.open[-1].tag
    return parser.open[0]


@dataclass(frozen=True)
class Picture:
    """A screenshot: width, height, and the colours of its pixels, row by row."""

    width: int
    height: int
    pixels: tuple[bytes, ...]

    def at(self, x: int, y: int) -> bytes:
        """Return the colour of a pixel."""
        return self.pixels[y][3 * x : 3 * x + 3]

    def colours(self) -> Counter[bytes]:
        """Count the pixels of each colour."""
        return Counter([row[at : at + 3] for row in self.pixels for at in range(0, len(row), 3)])


def screenshot(page: Path, file: Path, *options: str) -> Picture:
    """Open a page, write how it looks, at half its size, to a file, and return it."""
    browse(
        page,
        "--hide-scrollbars",
        "--window-size=1100,1000",
        "--force-device-scale-factor=0.5",
        f"--screenshot={file}",
        *options,
    )
    return read_png(file.read_bytes())


def read_png(data: bytes) -> Picture:
    """Return what a PNG shows, of the one kind that Chromium writes: 8 bits, RGB or RGBA, not interlaced."""
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    at, compressed = 8, b""
    width = height = channels = 0
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + length]
        at += length + 12
        if kind == b"IHDR":
            width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", body)
            assert (depth, interlaced) == (8, 0)
            channels = {2: 3, 6: 4}[colour]
        elif kind == b"IDAT":
            compressed += body
    raw = zlib.decompress(compressed)
    stride = width * channels
    above = bytes(stride)
    rows = []
    for number in range(height):
        start = number * (stride + 1)
        line = _unfilter(raw[start], bytearray(raw[start + 1 : start + 1 + stride]), above, channels)
        rows.append(b"".join([line[pixel : pixel + 3] for pixel in range(0, stride, channels)]))
        above = line
    return Picture(width, height, tuple(rows))


def _unfilter(kind: int, line: bytearray, above: bytes, channels: int) -> bytes:
    """Undo a row's filter (PNG specification, clause 9)."""
    for at, value in enumerate(line):
        left = line[at - channels] if at >= channels else 0
        up = above[at]
        corner = above[at - channels] if at >= channels else 0
        if kind == 1:
            guess = left
        elif kind == 2:
            guess = up
        elif kind == 3:
            guess = (left + up) // 2
        elif kind == 4:
            estimate = left + up - corner
            guess = min((left, up, corner), key=lambda each: abs(estimate - each))
        else:
            guess = 0
        line[at] = (value + guess) & 255
    return bytes(line)
