"""A real browser, without a window: what it makes of a page, and what a person meets there."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from dataclasses import dataclass, field
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

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


def page_facts(pages: dict[str, tuple[str, int]], folder: Path, *options: str) -> dict[str, dict[str, Any]]:
    """Open pages, each in a frame of its own and under its own policy; return what `page_facts.js` met in each.

    Args:
        pages: the text of each, and how wide it is looked at, in CSS pixels.
        folder: where the page with the frames is written.
        options: of the browser.
    """
    frames = [
        f'<iframe title="{name}" width="{width}" height="900" style="border: 0" srcdoc="{escape(text)}"></iframe>'
        for name, (text, width) in pages.items()
    ]
    script = Path(__file__).with_name("page_facts.js").read_text()
    outer = folder / "frames.html"
    # What a frame prefers is what the element around it prefers.
    scheme = '<meta name="color-scheme" content="light dark">'
    outer.write_text(f"<!doctype html>{scheme}<body>{''.join(frames)}<script>{script}</script>", encoding="utf-8")
    (told,) = parse(browse(outer, "--dump-dom", "--hide-scrollbars", *options)).find("pre", id="facts")
    found: dict[str, dict[str, Any]] = json.loads(told.text)
    assert found.keys() == pages.keys()
    return found


def print_pages(page: Path, file: Path, fragment: str = "") -> int:
    """Print a page to a PDF, and return how many sheets that takes."""
    browse(page, "--no-pdf-header-footer", f"--print-to-pdf={file}", fragment=fragment)
    data = file.read_bytes()
    assert data.startswith(b"%PDF-")
    return len(re.findall(rb"/Type\s*/Page\b", data))
