"""A terminal recording for the README: commands are really run, and what they print is drawn as an SVG.

`python3 tools/record.py EXECUTABLE OUTPUT`: EXECUTABLE is a dispatching form. The run image and the apps are the
demo's, with real launchers of lifecycle. What is drawn depends on nothing else, so that a test can run it again and
compare. One thing is changed: the folder that the run image is laid out in is left out of paths, as in a container it
is `/`.

Not with rich's SVG, which loads its fonts from a server.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
from html import escape
from pathlib import Path
from typing import NamedTuple

PROJECT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(PROJECT / "demo")]

import demo

COLUMNS = 112
NEWEST, OLDER = "0.21.17", "0.17.7"
OLD_APP, NEW_APP = "p04", "p15"
LIFECYCLE = "usr/lib/cnb/launchers/buildpacks/lifecycle"
# What is run, each after what a person would say of it; `start` gives an app the environment of its image.
SCENES = (
    ("two apps, built in 2020 and in 2025, over a run image with two launchers", f"ls {LIFECYCLE}"),
    ("", f"METALAUNCHER_LOG=text start {OLD_APP} 2>&1 | grep -E '^(launcher|server)'"),
    ("", f"METALAUNCHER_LOG=text start {NEW_APP} 2>&1 | grep -E '^(launcher|server)'"),
    (
        "the next run image has the newest launcher alone",
        f"metalauncher bundle remove buildpacks/lifecycle@{OLDER} | head -n 1",
    ),
    ("", f'start {OLD_APP}; echo "exit code $?"'),
)
START = """#!/bin/sh
image="$METALAUNCHER_ROOT/apps/$1-symlink"
export $(cat "$image/image-env") CNB_LAYERS_DIR="$image/layers" CNB_APP_DIR="$image/workspace"
exec "$image/cnb/process/web"
"""
TOOLING = f"""#!/bin/sh
PYTHONPATH="{PROJECT}" exec "{sys.executable}" -m metalauncher "$@"
"""
_SGR = re.compile(r"\x1b\[([0-9;]*)m")
# By the last number of the escape sequence: bold alone is no colour.
_COLOURS = {"31": "#ff8a80", "32": "#5fd08e", "33": "#f0c05a", "2": "#9aa4b0", "1": "#ffffff"}
_WIDTH, _HEIGHT, _MARGIN = 7.83, 19, 20  # of a character at 13 px, of a line, around all; px
_STEP, _PAUSE = 0.06, 1.2  # seconds from line to line, and before a command


class Piece(NamedTuple):
    """Some characters of one colour.

    Attributes:
        text: of one line.
        colour: of the sheet, "" for that of all.
    """

    text: str
    colour: str


def lay_out(root: Path, executable: Path, tools: Path) -> None:
    """Lay out the run image with two launchers, the two apps, and the programs that the commands name."""
    launchers, called = demo.choose("")
    if called == "stand-ins":
        sys.exit("a recording is of real launchers: let pip reach a package index, or put Go on PATH")
    demo.lay_out(root, executable, launchers)
    for app in (OLD_APP, NEW_APP):
        demo.export(root, app, "symlink")
    tools.mkdir()
    for name, text in (("start", START), ("metalauncher", TOOLING)):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    environ = {"PATH": f"{tools}:/usr/bin:/bin", "METALAUNCHER_ROOT": str(root)}
    for version in demo.versions():
        if version not in (NEWEST, OLDER):
            words = ["metalauncher", "bundle", "remove", f"buildpacks/lifecycle@{version}"]
            subprocess.run([tools / words[0], *words[1:]], env=environ, check=True, capture_output=True)


def run(command: str, root: Path, tools: Path) -> str:
    """Run a command at a terminal, in the run image's root, and return what it prints there."""
    terminal, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
    environ = {
        "PATH": f"{tools}:/usr/bin:/bin",
        "METALAUNCHER_ROOT": str(root),
        "TERM": "xterm-256color",
        "LC_ALL": "C.UTF-8",
    }
    with subprocess.Popen(
        ["bash", "-c", command], cwd=root, env=environ, stdin=subprocess.DEVNULL, stdout=side, stderr=side
    ):
        os.close(side)
        printed = b""
        with contextlib.suppress(OSError):  # EIO: nobody writes there any more
            while data := os.read(terminal, 1 << 16):
                printed += data
    os.close(terminal)
    return printed.decode().replace("\r\n", "\n").replace(str(root), "")


def lines(printed: str) -> list[list[Piece]]:
    """Return what a terminal shows of a text: its lines, those that are too long going on in the next."""
    found: list[list[Piece]] = []
    colour = ""
    for line in printed.expandtabs().removesuffix("\n").split("\n"):
        pieces: list[Piece] = []
        column = 0
        for number, part in enumerate(_SGR.split(line)):
            if number % 2:
                colour = next((_COLOURS[code] for code in part.split(";") if code in _COLOURS), "")
                continue
            rest = part
            while rest:
                if column == COLUMNS:
                    found.append(pieces)
                    pieces, column = [], 0
                shown, rest = rest[: COLUMNS - column], rest[COLUMNS - column :]
                pieces.append(Piece(shown, colour))
                column += len(shown)
        found.append(pieces)
    return found


def draw(scenes: list[tuple[str, str, str]]) -> str:
    """Return the SVG of commands: each a remark, the command line, and what it printed.

    Lines come one after the other, and stay. Where animation is not known or not wanted, all is there at once.
    """
    rows: list[tuple[float, list[Piece]]] = []
    time = 0.0
    for remark, command, printed in scenes:
        time += _PAUSE
        typed = [[Piece(f"# {remark}", _COLOURS["2"])]] if remark else []
        if remark and rows:
            typed.insert(0, [])
        typed.append([Piece("$ ", _COLOURS["32"]), Piece(command, _COLOURS["1"])])
        for pieces in [*typed, *lines(printed)]:
            rows.append((time, pieces))
            time += _STEP
    width, height = round(COLUMNS * _WIDTH) + 2 * _MARGIN, len(rows) * _HEIGHT + 2 * _MARGIN
    tops = [_MARGIN + (number + 1) * _HEIGHT - 6 for number in range(len(rows))]
    text = "".join(
        [
            f'<text y="{top}" style="animation-delay:{at:.2f}s">{_spans(pieces)}</text>\n'
            for top, (at, pieces) in zip(tops, rows, strict=True)
        ]
    )
    told = "; ".join([remark or command for remark, command, _ in scenes])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        f' role="img" aria-labelledby="title">\n<title id="title">A terminal: {escape(told)}</title>\n'
        "<style>\n"
        'text { font: 13px ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #d5dae1;'
        " white-space: pre; animation: come .01s backwards }\n"
        "@keyframes come { from { opacity: 0 } }\n"
        "@media (prefers-reduced-motion: reduce), print { text { animation: none } }\n"
        f'</style>\n<rect width="{width}" height="{height}" rx="8" fill="#16191d"/>\n'
        f'<g transform="translate({_MARGIN})">\n{text}</g>\n</svg>\n'
    )


def _spans(pieces: list[Piece]) -> str:
    return "".join(
        [
            f'<tspan fill="{piece.colour}">{escape(piece.text)}</tspan>' if piece.colour else escape(piece.text)
            for piece in pieces
        ]
    )


def main() -> None:
    """Record."""
    executable, output = Path(sys.argv[1]), Path(sys.argv[2])
    with tempfile.TemporaryDirectory(prefix="metalauncher-record-") as scratch:
        root, tools = Path(scratch, "root"), Path(scratch, "tools")
        lay_out(root, executable, tools)
        scenes = [(remark, command, run(command, root, tools)) for remark, command in SCENES]
    output.write_text(draw(scenes), encoding="utf-8")


if __name__ == "__main__":
    main()
